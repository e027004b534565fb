//! What a write requires of the item that is stored.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::value::time::Instant;

use super::attributes::{COMPRESSED, DATA, PARTITION_KEY, TTL_ATTRIBUTE, VERSION};
use super::item::Item;

/// What a write requires of the item that is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Condition {
    pub(super) expression: String,
    names: HashMap<String, String>,
    values: Item,
}

impl Condition {
    pub(crate) fn absent() -> Self {
        Self {
            expression: format!("attribute_not_exists({PARTITION_KEY})"),
            ..Self::default()
        }
    }

    pub(crate) fn present() -> Self {
        Self {
            expression: format!("attribute_exists({PARTITION_KEY})"),
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

    /// The version is the one that was read; version 0 means that the item does not exist.
    pub(crate) fn version(version: i64) -> Self {
        if version == 0 {
            Self::absent()
        } else {
            Self::equals(VERSION, AttributeValue::N(version.to_string()))
        }
    }

    pub(crate) fn equals(attribute: &str, value: AttributeValue) -> Self {
        Self {
            expression: "#a = :a".to_owned(),
            names: HashMap::from([("#a".to_owned(), attribute.to_owned())]),
            values: Item::from([(":a".to_owned(), value)]),
        }
    }

    /// The item still has the value that was read.
    pub(crate) fn unchanged(item: &Item) -> Self {
        let name = match item.contains_key(COMPRESSED) {
            true => COMPRESSED,
            false => DATA,
        };
        let value = item.get(name).cloned();
        value.map_or_else(Self::present, |value| Self::equals(name, value))
    }

    /// What was read still stands: the item, or that there was none.
    pub(crate) fn as_read(item: Option<&Item>) -> Self {
        item.map_or_else(Self::absent, Self::unchanged)
    }

    /// The item has no such attribute, or has a lesser text in it.
    pub(crate) fn absent_or_less(attribute: &str, value: &str) -> Self {
        Self {
            expression: "attribute_not_exists(#a) OR #a < :a".to_owned(),
            names: HashMap::from([("#a".to_owned(), attribute.to_owned())]),
            values: Item::from([(":a".to_owned(), AttributeValue::S(value.to_owned()))]),
        }
    }

    /// The item does not exist, or it expires sooner than an item that [`NewItem::expires`](super::item::NewItem::expires) says this of.
    pub(crate) fn absent_or_sooner(expires: Instant) -> Self {
        let seconds = (expires.ms().div_euclid(1000) + 1).to_string();
        Self {
            expression: format!("attribute_not_exists({PARTITION_KEY}) OR #a < :a"),
            names: HashMap::from([("#a".to_owned(), TTL_ATTRIBUTE.to_owned())]),
            values: Item::from([(":a".to_owned(), AttributeValue::N(seconds))]),
        }
    }

    /// The item does not exist, or it expired and the table has not deleted it yet.
    pub(crate) fn absent_or_expired(now: Instant) -> Self {
        let seconds = AttributeValue::N(now.ms().div_euclid(1000).to_string());
        Self {
            expression: format!("attribute_not_exists({PARTITION_KEY}) OR #a <= :a"),
            names: HashMap::from([("#a".to_owned(), TTL_ATTRIBUTE.to_owned())]),
            values: Item::from([(":a".to_owned(), seconds)]),
        }
    }

    pub(super) fn names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    pub(super) fn values(&self) -> Option<Item> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }

    /// The values of the condition, together with those of an update expression that it accompanies.
    pub(super) fn values_with(&self, more: Vec<(&str, AttributeValue)>) -> Option<Item> {
        let mut values = self.values.clone();
        values.extend(
            more.into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        (!values.is_empty()).then_some(values)
    }

    pub(super) fn expression(&self) -> Option<String> {
        Some(self.expression.clone()).filter(|expression| !expression.is_empty())
    }
}
