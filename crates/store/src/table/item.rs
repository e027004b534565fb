//! Items: what is stored under a key, how a value becomes attributes, and back.

use std::collections::HashMap;
use std::io::Write as _;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::value::time::Instant;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fault::{Cause, StoreError};
use super::keys::{self, Key};

/// The table's TTL attribute, in epoch seconds.
pub const TTL_ATTRIBUTE: &str = "expires_at";
/// JSON texts up to here are stored as they are: a write unit is 1 KB.
const PACKED_BYTES_MIN: usize = 900;

/// A stored item.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The first byte of what is compressed, so that another format can come after it. Before there was one, what is compressed began
/// with its first block of RFC 1951; no block begins with this byte, whose type is the reserved one.
const DEFLATED_JSON: u8 = 0b0000_0111;
/// The bits of a first byte that tell a format from a block.
const IS_FORMAT: u8 = 0b0000_0110;

/// An item being put together. A value that cannot be written as JSON is remembered and fails the call that would store it.
#[derive(Debug)]
pub(crate) struct NewItem {
    pub(super) item: Item,
    pub(super) unwritable: Option<serde_json::Error>,
}

/// A value as it is stored.
pub(crate) enum Packed {
    /// Its JSON text, for `d`.
    Text(String),
    /// Its JSON text, compressed behind its format, for `z`.
    Compressed(Vec<u8>),
}

impl Packed {
    /// Compressed where the JSON text is above a write unit's 1 KB: figures and lists of orders shrink to a fifth or less, and so do
    /// what they cost and how far they are from an item's 400 KB.
    pub(crate) fn new(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_string(value)?;
        if json.len() <= PACKED_BYTES_MIN {
            return Ok(Self::Text(json));
        }
        let mut packer =
            flate2::write::DeflateEncoder::new(vec![DEFLATED_JSON], flate2::Compression::default());
        packer
            .write_all(json.as_bytes())
            .and_then(|()| packer.finish())
            .map(Self::Compressed)
            .map_err(serde_json::Error::io)
    }
}

impl NewItem {
    pub(crate) fn at(key: &Key) -> Self {
        Self {
            item: key_item(key),
            unwritable: None,
        }
    }

    pub(crate) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        self.item.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn text(self, name: &str, text: impl Into<String>) -> Self {
        self.set(name, AttributeValue::S(text.into()))
    }

    pub(crate) fn number(self, name: &str, number: impl ToString) -> Self {
        self.set(name, AttributeValue::N(number.to_string()))
    }

    /// A value as JSON text in an attribute.
    pub(crate) fn json(mut self, name: &str, value: &impl Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(json) => self.text(name, json),
            Err(error) => {
                self.unwritable = Some(error);
                self
            }
        }
    }

    /// The item's value, as JSON text in the attribute `d`.
    pub(crate) fn data(self, value: &impl Serialize) -> Self {
        self.json("d", value)
    }

    /// The item's value, in `d` or compressed in `z`.
    pub(crate) fn packed(mut self, value: &impl Serialize) -> Self {
        match Packed::new(value) {
            Ok(Packed::Text(json)) => self.text("d", json),
            Ok(Packed::Compressed(bytes)) => self.set("z", AttributeValue::B(Blob::new(bytes))),
            Err(error) => {
                self.unwritable = Some(error);
                self
            }
        }
    }

    pub(crate) fn expires(self, at: Instant) -> Self {
        // Rounded up: an item never goes before its time.
        self.number(TTL_ATTRIBUTE, at.ms().div_euclid(1000) + 1)
    }

    pub(crate) fn bytes(&self) -> usize {
        item_bytes(&self.item)
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
    let Some(AttributeValue::B(packed)) = item.get("z") else {
        return serde_json::from_str(text(item, "d")).map_err(|why| unreadable(item, why));
    };
    let deflated = match packed.as_ref() {
        [DEFLATED_JSON, deflated @ ..] => deflated,
        [format, ..] if format & IS_FORMAT == IS_FORMAT => {
            let why = format!("its format {format} is of a newer version of revtrail");
            return Err(unreadable(item, why));
        }
        before_there_were_formats => before_there_were_formats,
    };
    let json = flate2::read::DeflateDecoder::new(deflated);
    serde_json::from_reader(std::io::BufReader::new(json)).map_err(|why| unreadable(item, why))
}

pub(crate) fn unreadable(item: &Item, why: impl Into<Cause>) -> StoreError {
    StoreError::Unreadable {
        family: keys::family(text(item, "pk")).to_owned(),
        source: why.into(),
    }
}

/// True where an item's time is over: the table deletes it days later, readers drop it now.
pub(crate) fn expired(item: &Item, now: Instant) -> bool {
    number(item, TTL_ATTRIBUTE).is_some_and(|seconds| seconds.saturating_mul(1000) <= now.ms())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item_with(z: Vec<u8>) -> Item {
        Item::from([
            ("pk".to_owned(), AttributeValue::S("m/shop/d/0".to_owned())),
            ("z".to_owned(), AttributeValue::B(Blob::new(z))),
        ])
    }

    /// What is compressed is read back, be it from before there was a format; a format of later is told, not guessed at.
    #[test]
    fn what_is_compressed_names_its_format() {
        let value: Vec<u32> = (0..1_000).collect();
        let key = keys::retention();
        let packed = NewItem::at(&key).packed(&value).item;
        let Some(AttributeValue::B(bytes)) = packed.get("z") else {
            panic!("it is not compressed");
        };
        assert_eq!(data::<Vec<u32>>(&packed).unwrap(), value);
        let mut before = bytes.as_ref().to_vec();
        assert_eq!(before.remove(0), DEFLATED_JSON);
        assert_ne!(
            before[0] & IS_FORMAT,
            IS_FORMAT,
            "a block of the reserved type"
        );
        assert_eq!(data::<Vec<u32>>(&item_with(before.clone())).unwrap(), value);
        before.insert(0, DEFLATED_JSON | 0b1000);
        let why = data::<Vec<u32>>(&item_with(before))
            .unwrap_err()
            .to_string();
        assert!(why.contains("newer version"), "{why}");
    }

    /// A map whose keys are no texts is no JSON: the item remembers it, and is stored by nobody.
    #[test]
    fn what_cannot_be_written_is_remembered() {
        let no_json = HashMap::from([(vec![1], 2)]);
        let key = keys::retention();
        assert!(NewItem::at(&key).data(&no_json).unwritable.is_some());
        assert!(NewItem::at(&key).packed(&no_json).unwritable.is_some());
    }
}
