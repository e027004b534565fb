//! The table through the SDK's client: items, conditions, all pages, transactions. What stands behind the client is not known here.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, CancellationReason, ConditionCheck, Delete,
    KeySchemaElement, KeyType, KeysAndAttributes, Put, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TimeToLiveSpecification,
    TransactWriteItem, Update,
};
use revtrail_core::time::Instant;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::keys::{self, Key};
use crate::resend;

/// The table's TTL attribute, in epoch seconds.
pub const TTL_ATTRIBUTE: &str = "expires_at";
/// Most items of a transaction (DynamoDB's limit).
pub(crate) const TRANSACTION_ITEMS_MAX: usize = 100;
/// Most bytes of a transaction: DynamoDB takes 4 MiB; an eighth is left for names and keys.
pub(crate) const TRANSACTION_BYTES_MAX: usize = 3_500_000;

/// JSON texts up to here are stored as they are: a write unit is 1 KB.
const PACKED_BYTES_MIN: usize = 900;

/// A stored item.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Why the table did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Throttled, timed out or unreachable: the same call may be made again.
    #[error("the table is busy, {op} may be repeated: {why}")]
    Busy {
        /// Which call.
        op: &'static str,
        /// What the SDK said.
        why: String,
    },
    /// Another call changed the same thing at the same time, too often: the same call may be made again.
    #[error("{op} met too many changes at the same time and may be repeated")]
    Contended {
        /// Which call.
        op: &'static str,
    },
    /// The table refused the call: repeating it will not help.
    #[error("the table refused {op}: {why}")]
    Refused {
        /// Which call.
        op: &'static str,
        /// What the SDK said.
        why: String,
    },
    /// A stored item is not what this version writes.
    #[error("an item of {family} cannot be read: {why}")]
    Unreadable {
        /// Where it lies: its partition, without the id of a customer or order.
        family: String,
        /// What is wrong.
        why: String,
    },
}

impl StoreError {
    /// True where the same call may be made again.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Contended { .. })
    }
}

pub(crate) fn failed<E, R>(op: &'static str, error: SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let passing = [
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "InternalServerError",
        "ServiceUnavailable",
        "TransactionConflictException",
        "TransactionInProgressException",
    ];
    let (code, why) = match &error {
        SdkError::ServiceError(context) => (
            context.err().code().map(str::to_owned),
            context.err().to_string(),
        ),
        other => (None, other.to_string()),
    };
    let why = format!("{} {why}", code.as_deref().unwrap_or_default());
    match code {
        Some(code) if !passing.contains(&code.as_str()) => StoreError::Refused { op, why },
        _ => StoreError::Busy { op, why },
    }
}

/// The one table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) client: Client,
    /// For plain writes.
    writer: Client,
    pub(crate) table: Arc<str>,
}

/// An item being put together.
#[derive(Debug, Clone)]
pub(crate) struct NewItem(Item);

impl NewItem {
    pub(crate) fn at(key: &Key) -> Self {
        Self(key_item(key))
    }

    pub(crate) fn text(mut self, name: &str, text: impl Into<String>) -> Self {
        self.0
            .insert(name.to_owned(), AttributeValue::S(text.into()));
        self
    }

    pub(crate) fn number(mut self, name: &str, number: impl ToString) -> Self {
        self.0
            .insert(name.to_owned(), AttributeValue::N(number.to_string()));
        self
    }

    /// The item's value, as JSON text in the attribute `d`.
    pub(crate) fn data(self, value: &impl Serialize) -> Self {
        self.text("d", serde_json::to_string(value).unwrap_or_default())
    }

    /// The item's value, compressed into `z` where its JSON text is above a write unit's 1 KB: figures and lists of orders
    /// shrink to a fifth or less, and so do what they cost and how far they are from an item's 400 KB.
    pub(crate) fn packed(mut self, value: &impl Serialize) -> Self {
        match Self::packed_value(value) {
            Ok(json) => self.text("d", json),
            Err(packed) => {
                self.0
                    .insert("z".to_owned(), AttributeValue::B(Blob::new(packed)));
                self
            }
        }
    }

    /// The JSON text of a value or, where it is large, its compressed bytes.
    pub(crate) fn packed_value(value: &impl Serialize) -> Result<String, Vec<u8>> {
        let json = serde_json::to_string(value).unwrap_or_default();
        if json.len() <= PACKED_BYTES_MIN {
            return Ok(json);
        }
        let mut packer =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        // Writing to memory does not fail.
        let packed = packer
            .write_all(json.as_bytes())
            .and_then(|()| packer.finish());
        Err(packed.unwrap_or_default())
    }

    pub(crate) fn expires(self, at: Instant) -> Self {
        // Rounded up: an item never goes before its time.
        self.number(TTL_ATTRIBUTE, at.ms().div_euclid(1000) + 1)
    }

    pub(crate) fn bytes(&self) -> usize {
        item_bytes(&self.0)
    }
}

/// About what DynamoDB takes an item for: names and values.
pub(crate) fn item_bytes(item: &Item) -> usize {
    let of = |(name, value): (&String, &AttributeValue)| {
        name.len()
            + match value {
                AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
                AttributeValue::B(bytes) => bytes.as_ref().len(),
                _ => 8,
            }
    };
    item.iter().map(of).sum()
}

pub(crate) fn key_item(key: &Key) -> Item {
    HashMap::from([
        ("pk".to_owned(), AttributeValue::S(key.pk.clone())),
        ("sk".to_owned(), AttributeValue::S(key.sk.clone())),
    ])
}

/// Where an item lies.
pub(crate) fn key_of(item: &Item) -> Key {
    let [pk, sk] = ["pk", "sk"].map(|name| text(item, name).to_owned());
    Key { pk, sk }
}

pub(crate) fn text<'i>(item: &'i Item, name: &str) -> &'i str {
    item.get(name)
        .and_then(|value| value.as_s().ok())
        .map_or("", String::as_str)
}

pub(crate) fn number(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The value in `d`, or compressed in `z`.
pub(crate) fn data<T: DeserializeOwned>(item: &Item) -> Result<T, StoreError> {
    if let Some(AttributeValue::B(packed)) = item.get("z") {
        let json = flate2::read::DeflateDecoder::new(packed.as_ref());
        return serde_json::from_reader(std::io::BufReader::new(json))
            .map_err(|why| unreadable(item, why));
    }
    serde_json::from_str(text(item, "d")).map_err(|why| unreadable(item, why))
}

pub(crate) fn unreadable(item: &Item, why: impl ToString) -> StoreError {
    StoreError::Unreadable {
        family: keys::family(text(item, "pk")).to_owned(),
        why: why.to_string(),
    }
}

/// True where an item's time is over: the table deletes it days later, readers drop it now.
pub(crate) fn expired(item: &Item, now: Instant) -> bool {
    number(item, TTL_ATTRIBUTE).is_some_and(|seconds| seconds.saturating_mul(1000) <= now.ms())
}

/// What a write requires of the item that stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Condition {
    expression: String,
    names: HashMap<String, String>,
    values: Item,
}

impl Condition {
    pub(crate) fn absent() -> Self {
        Self {
            expression: "attribute_not_exists(pk)".to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn present() -> Self {
        Self {
            expression: "attribute_exists(pk)".to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn without(attribute: &str) -> Self {
        Self {
            expression: "attribute_not_exists(#a)".to_owned(),
            names: HashMap::from([("#a".to_owned(), attribute.to_owned())]),
            values: Item::new(),
        }
    }

    /// The version is what was read; 0 is an item that does not exist.
    pub(crate) fn version(version: i64) -> Self {
        if version == 0 {
            Self::absent()
        } else {
            Self::equals("v", AttributeValue::N(version.to_string()))
        }
    }

    pub(crate) fn equals(attribute: &str, value: AttributeValue) -> Self {
        Self {
            expression: "#a = :a".to_owned(),
            names: HashMap::from([("#a".to_owned(), attribute.to_owned())]),
            values: Item::from([(":a".to_owned(), value)]),
        }
    }

    /// No such attribute stands, or a lesser text.
    pub(crate) fn absent_or_less(attribute: &str, value: &str) -> Self {
        Self {
            expression: "attribute_not_exists(#a) OR #a < :a".to_owned(),
            names: HashMap::from([("#a".to_owned(), attribute.to_owned())]),
            values: Item::from([(":a".to_owned(), AttributeValue::S(value.to_owned()))]),
        }
    }

    fn names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    fn values(&self) -> Option<Item> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }

    /// The condition's values and those of an update beside it.
    fn values_with(&self, more: Vec<(&str, AttributeValue)>) -> Option<Item> {
        let mut values = self.values.clone();
        values.extend(
            more.into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        (!values.is_empty()).then_some(values)
    }

    fn expression(&self) -> Option<String> {
        Some(self.expression.clone()).filter(|expression| !expression.is_empty())
    }
}

/// What became of a conditional put; with the item that stood before.
#[derive(Debug)]
pub(crate) enum PutOutcome {
    Done(Option<Item>),
    Refused(Item),
}

/// One write of a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    item: TransactWriteItem,
    bytes: usize,
}

impl Write {
    pub(crate) fn new(
        item: aws_sdk_dynamodb::types::builders::TransactWriteItemBuilder,
        bytes: usize,
    ) -> Self {
        Self {
            item: item.build(),
            bytes,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Why one write of a cancelled transaction was at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It was not.
    None,
    /// Its condition failed.
    Condition,
    /// It met another transaction, or was throttled: worth another try.
    Passing,
}

/// How a transaction ended.
#[derive(Debug)]
pub(crate) enum Transacted {
    Done,
    /// Nothing was written; a fault for each write, in their order.
    Cancelled(Vec<Fault>),
}

/// Which part of a partition.
#[derive(Debug, Clone)]
pub(crate) enum Range {
    All,
    Between(String, String),
}

impl Range {
    /// All that begins with a prefix.
    pub(crate) fn prefix(prefix: &str) -> Self {
        Self::Between(prefix.to_owned(), last(prefix))
    }
}

/// Comes after all sort keys that begin with a prefix: they go on with at most a few ids, and an id has 128 bytes, 32 of the
/// last characters there are.
pub(crate) fn last(prefix: &str) -> String {
    format!("{prefix}{}", "\u{10ffff}".repeat(130))
}

/// How to read a partition.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    pub(crate) strong: bool,
    pub(crate) newest_first: bool,
}

impl Reading {
    /// Everything written before is seen.
    pub const STRONG: Self = Self {
        strong: true,
        newest_first: false,
    };
    /// What was written a moment before may not be seen yet; half the price.
    pub const EVENTUAL: Self = Self {
        strong: false,
        newest_first: false,
    };
}

impl Store {
    /// The table of a name behind a client.
    pub fn new(client: Client, table: &str) -> Self {
        let client = resend::what_was_refused(&client);
        Self {
            writer: resend::only_refused(&client),
            client,
            table: table.into(),
        }
    }

    /// Creates the table with its TTL attribute, where it does not exist yet, and waits until it is active.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn create_table(&self) -> Result<(), StoreError> {
        let build = |error: aws_sdk_dynamodb::error::BuildError| StoreError::Refused {
            op: "CreateTable",
            why: error.to_string(),
        };
        let mut create = self
            .client
            .create_table()
            .table_name(&*self.table)
            .billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let definition = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build();
            let element = KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build();
            create = create
                .attribute_definitions(definition.map_err(build)?)
                .key_schema(element.map_err(build)?);
        }
        if let Err(error) = create.send().await
            && !error
                .as_service_error()
                .is_some_and(|error| error.is_resource_in_use_exception())
        {
            return Err(failed("CreateTable", error));
        }
        loop {
            let described = self
                .client
                .describe_table()
                .table_name(&*self.table)
                .send()
                .await
                .map_err(|error| failed("DescribeTable", error))?;
            let status = described.table().and_then(|table| table.table_status());
            if status == Some(&aws_sdk_dynamodb::types::TableStatus::Active) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let ttl = TimeToLiveSpecification::builder()
            .attribute_name(TTL_ATTRIBUTE)
            .enabled(true)
            .build()
            .map_err(build)?;
        match self
            .client
            .update_time_to_live()
            .table_name(&*self.table)
            .time_to_live_specification(ttl)
            .send()
            .await
        {
            Ok(_) => Ok(()),
            // It was enabled before.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.code() == Some("ValidationException")) =>
            {
                Ok(())
            }
            Err(error) => Err(failed("UpdateTimeToLive", error)),
        }
    }

    pub(crate) async fn get(&self, key: &Key, strong: bool) -> Result<Option<Item>, StoreError> {
        let request = self
            .client
            .get_item()
            .table_name(&*self.table)
            .set_key(Some(key_item(key)))
            .consistent_read(strong);
        Ok(request
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?
            .item)
    }

    /// Puts an item; `old` asks for the item that stood.
    pub(crate) async fn put(
        &self,
        item: NewItem,
        condition: Option<Condition>,
    ) -> Result<PutOutcome, StoreError> {
        let mut request = self
            .writer
            .put_item()
            .table_name(&*self.table)
            .set_item(Some(item.0))
            .return_values(ReturnValue::AllOld);
        if let Some(condition) = condition {
            request = request
                .set_expression_attribute_names(condition.names())
                .set_expression_attribute_values(condition.values())
                .condition_expression(condition.expression)
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                );
        }
        match request.send().await {
            Ok(done) => Ok(PutOutcome::Done(
                done.attributes.filter(|old| !old.is_empty()),
            )),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failure)) => Ok(
                    PutOutcome::Refused(failure.item.clone().unwrap_or_default()),
                ),
                _ => Err(failed("PutItem", error)),
            },
        }
    }

    /// Changes an item by an update expression; without a condition, one that is not there is made. False where the condition
    /// does not hold.
    pub(crate) async fn update(
        &self,
        key: &Key,
        expression: &str,
        values: Vec<(&str, AttributeValue)>,
        condition: Option<Condition>,
    ) -> Result<bool, StoreError> {
        let condition = condition.unwrap_or_default();
        let update = self
            .writer
            .update_item()
            .table_name(&*self.table)
            .set_key(Some(key_item(key)))
            .update_expression(expression)
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values_with(values))
            .set_condition_expression(condition.expression());
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(false)
            }
            Err(error) => Err(failed("UpdateItem", error)),
        }
    }

    /// Deletes an item, whether it is there or not.
    pub(crate) async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&*self.table)
            .set_key(Some(key_item(key)));
        let sent = delete.send().await;
        sent.map(drop).map_err(|error| failed("DeleteItem", error))
    }

    /// All items of a part of a partition, through all pages.
    pub(crate) async fn query(
        &self,
        pk: &str,
        range: &Range,
        reading: Reading,
    ) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut from = None;
        loop {
            let (page, next) = self.page(pk, range, reading, from, None).await?;
            items.extend(page);
            match next {
                Some(next) => from = Some(next),
                None => return Ok(items),
            }
        }
    }

    /// One page of a part of a partition, from after a sort key, and where to go on. An empty page can still go on; a range that ends
    /// before it begins holds nothing, nor does one that was left already: the table would refuse to say so.
    pub(crate) async fn page(
        &self,
        pk: &str,
        range: &Range,
        reading: Reading,
        after: Option<String>,
        limit: Option<i32>,
    ) -> Result<(Vec<Item>, Option<String>), StoreError> {
        let mut after = after;
        if let Range::Between(from, to) = range {
            let (left, ahead) = match &after {
                Some(after) if reading.newest_first => (after < from, after > to),
                Some(after) => (after > to, after < from),
                None => (false, false),
            };
            if from > to || left {
                return Ok((Vec::new(), None));
            }
            after = after.filter(|_| !ahead);
        }
        let mut request = self
            .client
            .query()
            .table_name(&*self.table)
            .consistent_read(reading.strong)
            .scan_index_forward(!reading.newest_first)
            .set_limit(limit)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()));
        request = match range {
            Range::All => request.key_condition_expression("pk = :pk"),
            Range::Between(from, to) => request
                .key_condition_expression("pk = :pk AND sk BETWEEN :a AND :b")
                .expression_attribute_values(":a", AttributeValue::S(from.clone()))
                .expression_attribute_values(":b", AttributeValue::S(to.clone())),
        };
        if let Some(sk) = after {
            request = request.set_exclusive_start_key(Some(key_item(&Key {
                pk: pk.to_owned(),
                sk,
            })));
        }
        let page = request
            .send()
            .await
            .map_err(|error| failed("Query", error))?;
        let next = page
            .last_evaluated_key
            .map(|key| text(&key, "sk").to_owned());
        Ok((page.items.unwrap_or_default(), next))
    }

    /// A page of a partition, newest first, and where to go on; nowhere where nothing is left.
    pub(crate) async fn newest(
        &self,
        pk: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Item>, Option<String>), StoreError> {
        let reading = Reading {
            newest_first: true,
            ..Reading::STRONG
        };
        // The table goes on from a full page, whether there is more or not: one item more tells.
        let one_more = i32::try_from(limit.saturating_add(1)).unwrap_or(i32::MAX);
        let page = self.page(pk, &Range::All, reading, after, Some(one_more));
        let (mut items, mut next) = page.await?;
        if items.len() > limit {
            items.truncate(limit);
            next = items.last().map(|last| text(last, "sk").to_owned());
        }
        Ok((items, next))
    }

    /// The items of some keys, in no order, those that exist.
    pub(crate) async fn get_all(
        &self,
        keys: &[Key],
        strong: bool,
    ) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        for hundred in keys.chunks(100) {
            let mut wanted: Vec<Item> = hundred.iter().map(key_item).collect();
            while !wanted.is_empty() {
                let keys = KeysAndAttributes::builder()
                    .set_keys(Some(wanted))
                    .consistent_read(strong)
                    .build();
                let keys = keys.map_err(|error| StoreError::Refused {
                    op: "BatchGetItem",
                    why: error.to_string(),
                })?;
                let request = self
                    .client
                    .batch_get_item()
                    .request_items(&*self.table, keys);
                let answer = request
                    .send()
                    .await
                    .map_err(|error| failed("BatchGetItem", error))?;
                items.extend(
                    answer
                        .responses
                        .into_iter()
                        .flat_map(|mut tables| tables.remove(&*self.table).unwrap_or_default()),
                );
                let rest = answer
                    .unprocessed_keys
                    .and_then(|mut tables| tables.remove(&*self.table));
                wanted = rest.map(|rest| rest.keys).unwrap_or_default();
            }
        }
        Ok(items)
    }

    /// The items of some keys, those that exist, read strongly, by their keys.
    pub(crate) async fn get_map(&self, keys: &[Key]) -> Result<HashMap<Key, Item>, StoreError> {
        let items = self.get_all(keys, true).await?;
        Ok(items
            .into_iter()
            .map(|item| (key_of(&item), item))
            .collect())
    }

    /// A put for a transaction.
    pub(crate) fn put_write(&self, item: NewItem, condition: Option<Condition>) -> Write {
        let bytes = item.bytes();
        let condition = condition.unwrap_or_default();
        let put = Put::builder()
            .table_name(&*self.table)
            .set_item(Some(item.0))
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .set_condition_expression(condition.expression())
            .build();
        Write {
            item: TransactWriteItem::builder().set_put(put.ok()).build(),
            bytes,
        }
    }

    /// A delete for a transaction.
    pub(crate) fn delete_write(&self, key: &Key, condition: Option<Condition>) -> Write {
        let condition = condition.unwrap_or_default();
        let delete = Delete::builder()
            .table_name(&*self.table)
            .set_key(Some(key_item(key)))
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .set_condition_expression(condition.expression())
            .build();
        Write {
            item: TransactWriteItem::builder().set_delete(delete.ok()).build(),
            bytes: key.pk.len() + key.sk.len(),
        }
    }

    /// A condition alone, for a transaction.
    pub(crate) fn check_write(&self, key: &Key, condition: Condition) -> Write {
        let check = ConditionCheck::builder()
            .table_name(&*self.table)
            .set_key(Some(key_item(key)))
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .condition_expression(condition.expression)
            .build();
        Write {
            item: TransactWriteItem::builder()
                .set_condition_check(check.ok())
                .build(),
            bytes: key.pk.len() + key.sk.len(),
        }
    }

    /// An update for a transaction.
    pub(crate) fn update_write(
        &self,
        key: &Key,
        expression: &str,
        values: Vec<(&str, AttributeValue)>,
        condition: Option<Condition>,
    ) -> Write {
        let condition = condition.unwrap_or_default();
        let update = Update::builder()
            .table_name(&*self.table)
            .set_key(Some(key_item(key)))
            .update_expression(expression)
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values_with(values))
            .set_condition_expression(condition.expression())
            .build();
        Write {
            item: TransactWriteItem::builder().set_update(update.ok()).build(),
            bytes: 256,
        }
    }

    /// Writes all or nothing. At most [`TRANSACTION_ITEMS_MAX`] items.
    pub(crate) async fn transact(&self, writes: Vec<Write>) -> Result<Transacted, StoreError> {
        let count = writes.len();
        let items = writes.into_iter().map(|write| write.item).collect();
        let Err(error) = self
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .send()
            .await
        else {
            return Ok(Transacted::Done);
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
            error.as_service_error()
        else {
            return Err(failed("TransactWriteItems", error));
        };
        let Some(mut faults) = faults(cancelled) else {
            return Err(failed("TransactWriteItems", error));
        };
        // One reason a write; fewer would be read as a conflict of the rest.
        faults.resize(count, Fault::Passing);
        Ok(Transacted::Cancelled(faults))
    }
}

/// What was at fault with each write of a transaction; `None` where it is something that no repetition mends.
pub(crate) fn faults(cancelled: &TransactionCanceledException) -> Option<Vec<Fault>> {
    let fault = |reason: &CancellationReason| match reason.code().unwrap_or("None") {
        "None" => Some(Fault::None),
        "ConditionalCheckFailed" => Some(Fault::Condition),
        "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded" => {
            Some(Fault::Passing)
        }
        _ => None,
    };
    cancelled.cancellation_reasons().iter().map(fault).collect()
}

/// Random hexadecimal digits, 16 bytes of them, for names that must not be guessed or meet.
pub fn random_hex() -> String {
    let mut bytes = [0_u8; 16];
    // The system's source of randomness does not fail on any system revtrail runs on; without it nothing here is safe.
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    hex(&bytes)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
