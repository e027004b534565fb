//! Items: what is stored under a key, how a value becomes attributes, and back.

use std::collections::HashMap;
use std::io::Write as _;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::value::time::Instant;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fault::StoreError;
use super::keys::{self, Key};

/// The table's TTL attribute, in epoch seconds.
pub const TTL_ATTRIBUTE: &str = "expires_at";
/// JSON texts up to here are stored as they are: a write unit is 1 KB.
const PACKED_BYTES_MIN: usize = 900;

/// A stored item.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// An item being put together.
#[derive(Debug, Clone)]
pub(crate) struct NewItem(pub(super) Item);

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
