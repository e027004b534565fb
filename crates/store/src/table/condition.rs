//! What a write requires of the item that stands.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::value::time::Instant;

use super::item::{Item, TTL_ATTRIBUTE};

/// What a write requires of the item that stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Condition {
    pub(super) expression: String,
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

    /// Nothing stands there, or what expired and lingers.
    pub(crate) fn absent_or_expired(now: Instant) -> Self {
        let seconds = AttributeValue::N(now.ms().div_euclid(1000).to_string());
        Self {
            expression: "attribute_not_exists(pk) OR #a <= :a".to_owned(),
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

    /// The condition's values and those of an update beside it.
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
