//! The table through the SDK's client: reads through all pages, and plain writes. This module does not know what answers the
//! client.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, KeysAndAttributes,
    ReturnValue, ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TimeToLiveSpecification,
};

use super::attributes::{
    PART_OF_PARTITION, PARTITION_KEY, SORT_KEY, TTL_ATTRIBUTE, WHOLE_PARTITION,
};
use super::condition::Condition;
use super::fault::{StoreError, failed};
use super::item::{Item, NewItem, key_item, key_of, sk};
use super::keys::Key;
use super::retry;

/// How a conditional put ended; a put that was refused gives the item that was stored before.
#[derive(Debug)]
pub(crate) enum PutOutcome {
    Done(Option<Item>),
    Refused(Item),
}

/// Which sort keys of a partition to read.
#[derive(Debug, Clone)]
pub(crate) enum Range {
    All,
    Between(String, String),
}

impl Range {
    /// All sort keys that begin with a prefix.
    pub(crate) fn prefix(prefix: &str) -> Self {
        Self::Between(prefix.to_owned(), last(prefix))
    }
}

/// A text that sorts after all sort keys that begin with a prefix. After the prefix, a sort key has at most a few ids of 128
/// bytes each; 32 of the last character that exists are as long as one id.
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
    /// A strongly consistent read: it sees everything that was written before.
    pub const STRONG: Self = Self {
        strong: true,
        newest_first: false,
    };
    /// An eventually consistent read: it may miss what was written a moment ago, and costs half as much.
    pub const EVENTUAL: Self = Self {
        strong: false,
        newest_first: false,
    };
}

/// The one table. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) client: Client,
    /// The client for plain writes, which repeats fewer of them.
    writer: Client,
    pub(crate) table: Arc<str>,
}

impl Store {
    /// The table of this name, behind this client.
    pub fn new(client: Client, table: &str) -> Self {
        let client = retry::what_was_refused(&client);
        Self {
            writer: retry::only_refused(&client),
            client,
            table: table.into(),
        }
    }

    /// Creates the table with its TTL attribute if it does not exist yet, and waits until it is active.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn create_table(&self) -> Result<(), StoreError> {
        let build = |error: aws_sdk_dynamodb::error::BuildError| StoreError::Refused {
            op: "CreateTable",
            source: error.into(),
        };
        let mut create = self
            .client
            .create_table()
            .table_name(&*self.table)
            .billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in [(PARTITION_KEY, KeyType::Hash), (SORT_KEY, KeyType::Range)] {
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
            // TTL was enabled before.
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

    /// Puts an item, and gives the one that was stored before.
    pub(crate) async fn put(
        &self,
        item: NewItem,
        condition: Option<Condition>,
    ) -> Result<PutOutcome, StoreError> {
        self.put_through(&self.writer, item, condition).await
    }

    /// The same for an item that the caller takes as it stands, be it by this put or by another: so a put whose answer was lost may be
    /// sent again, and meets itself.
    pub(crate) async fn put_or_find(
        &self,
        item: NewItem,
        condition: Condition,
    ) -> Result<PutOutcome, StoreError> {
        self.put_through(&self.client, item, Some(condition)).await
    }

    async fn put_through(
        &self,
        client: &Client,
        item: NewItem,
        condition: Option<Condition>,
    ) -> Result<PutOutcome, StoreError> {
        if let Some(error) = item.unwritable {
            return Err(error.into());
        }
        let mut request = client
            .put_item()
            .table_name(&*self.table)
            .set_item(Some(item.item))
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

    /// Changes an item by an update expression. Without a condition, an item that does not exist is created. The answer is false
    /// where the condition does not hold.
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

    /// Deletes an item, whether it exists or not.
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

    /// One page of a part of a partition, starting after a sort key, and the place where the next page starts. An empty page can
    /// have a next one. A range that ends before it begins is empty, and so is a range that `after` has passed; the table itself
    /// would refuse both.
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
            Range::All => request.key_condition_expression(WHOLE_PARTITION),
            Range::Between(from, to) => request
                .key_condition_expression(PART_OF_PARTITION)
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
        let next = page.last_evaluated_key.map(|key| sk(&key).to_owned());
        Ok((page.items.unwrap_or_default(), next))
    }

    /// A page of a partition, newest first, and the place where the next page starts; `None` where nothing is left.
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
        // After a full page the table always names a next place, even if nothing is left. One more item shows whether there is
        // more.
        let one_more = i32::try_from(limit.saturating_add(1)).unwrap_or(i32::MAX);
        let page = self.page(pk, &Range::All, reading, after, Some(one_more));
        let (mut items, mut next) = page.await?;
        if items.len() > limit {
            items.truncate(limit);
            next = items.last().map(|last| sk(last).to_owned());
        }
        Ok((items, next))
    }

    /// Those items of some keys that exist, in no order.
    pub(crate) async fn get_all(
        &self,
        keys: &[Key],
        strong: bool,
    ) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut in_vain = 0;
        for hundred in keys.chunks(100) {
            let mut wanted: Vec<Item> = hundred.iter().map(key_item).collect();
            while !wanted.is_empty() {
                let asked = wanted.len();
                let keys = KeysAndAttributes::builder()
                    .set_keys(Some(wanted))
                    .consistent_read(strong)
                    .build();
                let keys = keys.map_err(|error| StoreError::Refused {
                    op: "BatchGetItem",
                    source: error.into(),
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
                // An answer holds 16 MB, so some keys are left over. Where none was looked up, the table is busy.
                in_vain = if wanted.len() < asked { 0 } else { in_vain + 1 };
                if in_vain > 0 {
                    let pause = retry::pause(in_vain).ok_or_else(|| StoreError::Busy {
                        op: "BatchGetItem",
                        source: "no key was looked up, again and again".into(),
                    })?;
                    tokio::time::sleep(pause).await;
                }
            }
        }
        Ok(items)
    }

    /// Those items of some keys that exist, by their keys, read strongly.
    pub(crate) async fn get_map(&self, keys: &[Key]) -> Result<HashMap<Key, Item>, StoreError> {
        let items = self.get_all(keys, true).await?;
        Ok(items
            .into_iter()
            .map(|item| (key_of(&item), item))
            .collect())
    }
}
