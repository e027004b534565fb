//! The changes of a transaction, gathered by item. Several reasons to change one item become one write, because DynamoDB demands
//! it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::builders::TransactWriteItemBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Update};
use revtrail_core::value::money::Money;
use revtrail_core::value::time::Instant;
use serde::Serialize;

use crate::table::attributes::{COMPRESSED, DATA, PARTITION_KEY, TTL_ATTRIBUTE, VERSION};
use crate::table::client::Store;
use crate::table::item::{Packed, key_item};
use crate::table::keys::Key;
use crate::table::write::Write;

/// All changes of a transaction, by the key of the item.
#[derive(Debug, Default)]
pub(crate) struct Changes(BTreeMap<Key, ItemChange>);

/// What changes in an item, and what must hold for the change to be made.
#[derive(Debug, Default)]
pub(crate) struct ItemChange {
    add: BTreeMap<String, Money>,
    set: BTreeMap<String, AttributeValue>,
    remove: BTreeSet<String>,
    least: BTreeMap<String, Money>,
    equal: BTreeMap<String, Option<AttributeValue>>,
    delete: bool,
    unwritable: Option<serde_json::Error>,
}

impl Changes {
    /// The change of the item at a key; a new, empty one where the item was not changed yet.
    pub(crate) fn at(&mut self, key: &Key) -> &mut ItemChange {
        self.0.entry(key.clone()).or_default()
    }

    /// What is added to which attribute of which item.
    pub(crate) fn added(&self) -> impl Iterator<Item = (&Key, &str, Money)> {
        self.0.iter().flat_map(|(key, change)| {
            let add = change.add.iter();
            add.map(move |(attribute, more)| (key, attribute.as_str(), *more))
        })
    }

    /// How many items change.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Turns the changes into the writes of a transaction.
    pub(crate) fn writes(self, store: &Store) -> Vec<Write> {
        let write = |(key, change): (Key, ItemChange)| change.write(&key, store);
        let says_something = |(_, change): &(Key, ItemChange)| !change.is_empty();
        self.0
            .into_iter()
            .filter(says_something)
            .map(write)
            .collect()
    }
}

impl ItemChange {
    /// Adds an amount to a numeric attribute, which may not exist yet.
    pub(crate) fn add(&mut self, attribute: &str, amount: impl Into<Money>) -> &mut Self {
        let amount = amount.into();
        if !amount.is_zero() {
            *self.add.entry(attribute.to_owned()).or_default() += amount;
        }
        self
    }

    pub(crate) fn set(&mut self, attribute: &str, value: AttributeValue) -> &mut Self {
        self.set.insert(attribute.to_owned(), value);
        self
    }

    pub(crate) fn number(&mut self, attribute: &str, number: impl ToString) -> &mut Self {
        self.set(attribute, AttributeValue::N(number.to_string()))
    }

    pub(crate) fn mark(&mut self, attribute: &str) -> &mut Self {
        self.set(attribute, AttributeValue::Bool(true))
    }

    /// Sets the item's value, as JSON text in `d`.
    pub(crate) fn data(&mut self, value: &impl Serialize) -> &mut Self {
        match serde_json::to_string(value) {
            Ok(json) => self.set(DATA, AttributeValue::S(json)),
            Err(error) => self.not_writable(error),
        }
    }

    /// Sets the item's value, compressed into `z` where it is large.
    pub(crate) fn packed(&mut self, value: &impl Serialize) -> &mut Self {
        match Packed::new(value) {
            Ok(Packed::Text(json)) => self.remove(COMPRESSED).set(DATA, AttributeValue::S(json)),
            Ok(Packed::Compressed(bytes)) => self
                .remove(DATA)
                .set(COMPRESSED, AttributeValue::B(Blob::new(bytes))),
            Err(error) => self.not_writable(error),
        }
    }

    fn not_writable(&mut self, error: serde_json::Error) -> &mut Self {
        self.unwritable = Some(error);
        self
    }

    pub(crate) fn expires(&mut self, at: Instant) -> &mut Self {
        self.number(TTL_ATTRIBUTE, at.ms().div_euclid(1000) + 1)
    }

    pub(crate) fn remove(&mut self, attribute: &str) -> &mut Self {
        self.remove.insert(attribute.to_owned());
        self
    }

    /// Deletes the item, whatever other changes were asked for.
    pub(crate) fn delete(&mut self) -> &mut Self {
        self.delete = true;
        self
    }

    /// Requires that a numeric attribute is at least this much.
    pub(crate) fn require_least(&mut self, attribute: &str, least: Money) -> &mut Self {
        self.least.insert(attribute.to_owned(), least);
        self
    }

    pub(crate) fn require_number(&mut self, attribute: &str, number: impl ToString) -> &mut Self {
        self.require(attribute, Some(AttributeValue::N(number.to_string())))
    }

    /// Requires that an attribute still has the value that was read; `None` where the item had no such attribute.
    pub(crate) fn require(&mut self, attribute: &str, value: Option<AttributeValue>) -> &mut Self {
        self.equal.insert(attribute.to_owned(), value);
        self
    }

    pub(crate) fn require_absent(&mut self) -> &mut Self {
        self.require(PARTITION_KEY, None)
    }

    /// Requires that the version is the one that was read (0 where the item did not exist), and raises it by one.
    pub(crate) fn next_version(&mut self, read: i64) -> &mut Self {
        let current = (read > 0).then(|| AttributeValue::N(read.to_string()));
        self.require(VERSION, current).number(VERSION, read + 1)
    }

    /// The same for an item that may be deleted and made again: its versions begin with the clock, so that none comes twice.
    pub(crate) fn next_version_since(&mut self, read: i64, now: Instant) -> &mut Self {
        self.next_version(read);
        match read {
            0 => self.number(VERSION, now.ms()),
            _ => self,
        }
    }

    fn is_empty(&self) -> bool {
        let adds = self.add.values().any(|amount| !amount.is_zero());
        let asks = !self.least.is_empty() || !self.equal.is_empty() || self.unwritable.is_some();
        !(adds || asks || self.delete || !self.set.is_empty() || !self.remove.is_empty())
    }

    fn write(self, key: &Key, store: &Store) -> Write {
        let mut names = Names::default();
        let mut conditions = Vec::new();
        for (attribute, least) in &self.least {
            let value = AttributeValue::N(least.to_string());
            conditions.push(format!(
                "{} >= {}",
                names.name(attribute),
                names.value(value)
            ));
        }
        for (attribute, value) in self.equal {
            let name = names.name(&attribute);
            conditions.push(match value {
                Some(value) => format!("{name} = {}", names.value(value)),
                None => format!("attribute_not_exists({name})"),
            });
        }
        let condition = Some(conditions.join(" AND ")).filter(|text| !text.is_empty());
        if self.delete {
            let delete = Delete::builder()
                .table_name(&*store.table)
                .set_key(Some(key_item(key)))
                .set_condition_expression(condition)
                .set_expression_attribute_names(names.names())
                .set_expression_attribute_values(names.values());
            return Write::new(
                delete.build(),
                TransactWriteItemBuilder::delete,
                names.bytes,
            )
            .unless(self.unwritable);
        }
        let mut clauses = Vec::new();
        let mut clause = |word: &str, parts: Vec<String>| {
            if !parts.is_empty() {
                clauses.push(format!("{word} {}", parts.join(", ")));
            }
        };
        let set = self.set.into_iter().map(|(attribute, value)| {
            format!("{} = {}", names.name(&attribute), names.value(value))
        });
        clause("SET", set.collect());
        let add = self.add.iter().filter(|(_, amount)| !amount.is_zero());
        let add = add.map(|(attribute, amount)| {
            let value = AttributeValue::N(amount.to_string());
            format!("{} {}", names.name(attribute), names.value(value))
        });
        clause("ADD", add.collect());
        let remove = self.remove.iter().map(|attribute| names.name(attribute));
        clause("REMOVE", remove.collect());
        if clauses.is_empty() {
            let check = aws_sdk_dynamodb::types::ConditionCheck::builder()
                .table_name(&*store.table)
                .set_key(Some(key_item(key)))
                .set_condition_expression(condition)
                .set_expression_attribute_names(names.names())
                .set_expression_attribute_values(names.values());
            return Write::new(
                check.build(),
                TransactWriteItemBuilder::condition_check,
                names.bytes,
            )
            .unless(self.unwritable);
        }
        let update = Update::builder()
            .table_name(&*store.table)
            .set_key(Some(key_item(key)))
            .update_expression(clauses.join(" "))
            .set_condition_expression(condition)
            .set_expression_attribute_names(names.names())
            .set_expression_attribute_values(names.values());
        Write::new(
            update.build(),
            TransactWriteItemBuilder::update,
            names.bytes,
        )
        .unless(self.unwritable)
    }
}

/// The placeholders for attribute names and values in an expression.
#[derive(Default)]
struct Names {
    names: BTreeMap<String, String>,
    values: Vec<AttributeValue>,
    bytes: usize,
}

impl Names {
    fn name(&mut self, attribute: &str) -> String {
        let next = format!("#{}", self.names.len());
        self.names
            .entry(attribute.to_owned())
            .or_insert(next)
            .clone()
    }

    fn value(&mut self, value: AttributeValue) -> String {
        self.bytes += match &value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::B(bytes) => bytes.as_ref().len(),
            _ => 8,
        };
        self.values.push(value);
        format!(":{}", self.values.len() - 1)
    }

    fn names(&self) -> Option<std::collections::HashMap<String, String>> {
        let turned = self
            .names
            .iter()
            .map(|(name, key)| (key.clone(), name.clone()));
        (!self.names.is_empty()).then(|| turned.collect())
    }

    fn values(&self) -> Option<crate::table::item::Item> {
        let named = self.values.iter().enumerate();
        let named = named.map(|(n, value)| (format!(":{n}"), value.clone()));
        (!self.values.is_empty()).then(|| named.collect())
    }
}
