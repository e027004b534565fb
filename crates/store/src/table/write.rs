//! Transactions: several writes, all or nothing.

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::builders::TransactWriteItemBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem, Update,
};

use super::client::Store;
use super::condition::Condition;
use super::fault::{Fault, StoreError, failed, faults};
use super::item::{NewItem, key_item};
use super::keys::Key;

/// The most items of a transaction (DynamoDB's limit).
pub(crate) const TRANSACTION_ITEMS_MAX: usize = 100;
/// The most bytes of a transaction: DynamoDB takes 4 MiB, and an eighth of that is left for names and keys.
pub(crate) const TRANSACTION_BYTES_MAX: usize = 3_500_000;

/// The most bytes of an update of a few attributes.
const UPDATE_BYTES: usize = 256;

/// One write of a transaction.
#[derive(Debug)]
pub(crate) struct Write {
    item: Result<TransactWriteItem, StoreError>,
    bytes: usize,
}

impl Write {
    /// A write of one kind: what the SDK built of it, and which kind that is. A write that cannot be built fails the whole
    /// transaction, so that the transaction never goes out without it.
    pub(crate) fn new<T>(
        built: Result<T, BuildError>,
        into: impl FnOnce(TransactWriteItemBuilder, T) -> TransactWriteItemBuilder,
        bytes: usize,
    ) -> Self {
        let item = match built {
            Ok(built) => Ok(into(TransactWriteItem::builder(), built).build()),
            Err(error) => Err(StoreError::Refused {
                op: "TransactWriteItems",
                source: error.into(),
            }),
        };
        Self { item, bytes }
    }

    /// The same write; it fails its transaction if one of its values could not be written as JSON.
    pub(crate) fn unless(mut self, unwritable: Option<serde_json::Error>) -> Self {
        if let Some(error) = unwritable {
            self.item = Err(error.into());
        }
        self
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// How a transaction ended.
#[derive(Debug)]
pub(crate) enum Transacted {
    Done,
    /// Nothing was written. There is a fault for each write, in the order of the writes.
    Cancelled(Vec<Fault>),
}

impl Store {
    /// A put as a write of a transaction.
    pub(crate) fn put_write(&self, item: NewItem, condition: Option<Condition>) -> Write {
        let bytes = item.bytes();
        let condition = condition.unwrap_or_default();
        let put = Put::builder()
            .table_name(&*self.table)
            .set_item(Some(item.item))
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .set_condition_expression(condition.expression())
            .build();
        Write::new(put, TransactWriteItemBuilder::put, bytes).unless(item.unwritable)
    }

    /// A delete as a write of a transaction.
    pub(crate) fn delete_write(&self, key: &Key, condition: Option<Condition>) -> Write {
        let condition = condition.unwrap_or_default();
        let delete = Delete::builder()
            .table_name(&*self.table)
            .set_key(Some(key_item(key)))
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .set_condition_expression(condition.expression())
            .build();
        let bytes = key.pk.len() + key.sk.len();
        Write::new(delete, TransactWriteItemBuilder::delete, bytes)
    }

    /// A condition alone as a write of a transaction.
    pub(crate) fn check_write(&self, key: &Key, condition: Condition) -> Write {
        let check = ConditionCheck::builder()
            .table_name(&*self.table)
            .set_key(Some(key_item(key)))
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .condition_expression(condition.expression)
            .build();
        let bytes = key.pk.len() + key.sk.len();
        Write::new(check, TransactWriteItemBuilder::condition_check, bytes)
    }

    /// An update as a write of a transaction.
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
        Write::new(update, TransactWriteItemBuilder::update, UPDATE_BYTES)
    }

    /// Makes all writes or none. They may be at most [`TRANSACTION_ITEMS_MAX`] items.
    pub(crate) async fn transact(&self, writes: Vec<Write>) -> Result<Transacted, StoreError> {
        let count = writes.len();
        let items = writes.into_iter().map(|write| write.item);
        let items = items.collect::<Result<Vec<_>, _>>()?;
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
        // Each write needs one reason. If there are fewer, the writes without one are treated as conflicts.
        faults.resize(count, Fault::Passing);
        Ok(Transacted::Cancelled(faults))
    }
}
