//! Items: what is stored under a key, how a value becomes attributes, and how it is read back.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Write as _};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::value::money::Money;
use revtrail_core::value::time::Instant;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attributes::{COMPRESSED, DATA, PARTITION_KEY, SORT_KEY, TTL_ATTRIBUTE, VERSION};
use super::fault::{Cause, StoreError};
use super::keys::{self, Key};

/// JSON texts of up to this many bytes are stored uncompressed, because a write unit is 1 KB and they fit into one.
const PACKED_BYTES_MIN: usize = 900;

/// A stored item: its attributes by name.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The first byte of a compressed value. It names the format, so that another format can follow later. Older compressed values
/// have no such byte and begin with their first block of RFC 1951. No block begins with this byte, because its block type is the
/// reserved one.
const DEFLATED_JSON: u8 = 0b0000_0111;
/// The bits of a first byte that distinguish a format from a block.
const IS_FORMAT: u8 = 0b0000_0110;

/// An item that is being built. A value that cannot be written as JSON is remembered, and fails the call that would store the
/// item.
#[derive(Debug)]
pub(crate) struct NewItem {
    pub(super) item: Item,
    pub(super) unwritable: Option<serde_json::Error>,
}

/// A value in the form in which it is stored.
pub(crate) enum Packed {
    /// The JSON text, for `d`.
    Text(String),
    /// The JSON text, compressed, behind the byte of its format, for `z`.
    Compressed(Vec<u8>),
}

impl Packed {
    /// The value is compressed where its JSON text is larger than a write unit of 1 KB. Figures and lists of orders shrink to a
    /// fifth or less. So does their cost, and they stay further below the 400 KB limit of an item.
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

    /// An item with all attributes of another, but for its key.
    pub(crate) fn copied(key: &Key, from: &Item) -> Self {
        let mut copy = Self::at(key);
        let keys = copy.item.clone();
        copy.item.clone_from(from);
        copy.item.extend(keys);
        copy
    }

    /// The attributes that are texts, in the JSON of the AWS command line.
    pub(crate) fn texts_as_json(&self) -> String {
        let texts = self.item.iter().filter_map(|(name, value)| match value {
            AttributeValue::S(text) => Some((name, serde_json::json!({ "S": text }))),
            _ => None,
        });
        serde_json::json!(texts.collect::<BTreeMap<_, _>>()).to_string()
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.item.remove(name);
        self
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

    /// Puts a value as JSON text into an attribute.
    pub(crate) fn json(mut self, name: &str, value: &impl Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(json) => self.text(name, json),
            Err(error) => {
                self.unwritable = Some(error);
                self
            }
        }
    }

    /// Sets the item's value, as JSON text in the attribute `d`.
    pub(crate) fn data(self, value: &impl Serialize) -> Self {
        self.json(DATA, value)
    }

    /// Sets the item's value, in `d` or compressed in `z`.
    pub(crate) fn packed(mut self, value: &impl Serialize) -> Self {
        match Packed::new(value) {
            Ok(Packed::Text(json)) => self.text(DATA, json),
            Ok(Packed::Compressed(bytes)) => {
                self.set(COMPRESSED, AttributeValue::B(Blob::new(bytes)))
            }
            Err(error) => {
                self.unwritable = Some(error);
                self
            }
        }
    }

    pub(crate) fn expires(self, at: Instant) -> Self {
        // The time is rounded up, so that the table never deletes an item too early.
        self.number(TTL_ATTRIBUTE, at.ms().div_euclid(1000) + 1)
    }

    pub(crate) fn bytes(&self) -> usize {
        item_bytes(&self.item)
    }
}

/// About the size that DynamoDB counts for an item, in bytes: its names and values.
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
        (PARTITION_KEY.to_owned(), AttributeValue::S(key.pk.clone())),
        (SORT_KEY.to_owned(), AttributeValue::S(key.sk.clone())),
    ])
}

/// The key of an item.
pub(crate) fn key_of(item: &Item) -> Key {
    Key {
        pk: pk(item).to_owned(),
        sk: sk(item).to_owned(),
    }
}

/// The partition key of an item.
pub(crate) fn pk(item: &Item) -> &str {
    text(item, PARTITION_KEY)
}

/// The sort key of an item.
pub(crate) fn sk(item: &Item) -> &str {
    text(item, SORT_KEY)
}

/// The version of an item; 0 if it has none.
pub(crate) fn version(item: &Item) -> i64 {
    number(item, VERSION).unwrap_or(0)
}

pub(crate) fn text<'i>(item: &'i Item, name: &str) -> &'i str {
    item.get(name)
        .and_then(|value| value.as_s().ok())
        .map_or("", String::as_str)
}

pub(crate) fn number(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// A numeric attribute of an item; zero if there is none.
pub(crate) fn amount(item: Option<&Item>, attribute: &str) -> Money {
    item.and_then(|item| item.get(attribute))
        .and_then(|value| value.as_n().ok())
        .and_then(|text| Money::stored(text))
        .unwrap_or(Money::ZERO)
}

/// Reads the value in `d`, or the compressed one in `z`.
pub(crate) fn data<T: DeserializeOwned>(item: &Item) -> Result<T, StoreError> {
    let Some(AttributeValue::B(packed)) = item.get(COMPRESSED) else {
        return serde_json::from_str(text(item, DATA)).map_err(|why| unreadable(item, why));
    };
    let deflated = match packed.as_ref() {
        [DEFLATED_JSON, deflated @ ..] => deflated,
        [format, ..] if format & IS_FORMAT == IS_FORMAT => {
            let why = format!("its format {format} is of a newer version of revtrail");
            return Err(unreadable(item, why));
        }
        before_there_were_formats => before_there_were_formats,
    };
    // JSON is read from memory several times as fast as from a reader.
    let mut json = Vec::new();
    let inflated = flate2::read::DeflateDecoder::new(deflated).read_to_end(&mut json);
    inflated.map_err(|why| unreadable(item, why))?;
    serde_json::from_slice(&json).map_err(|why| unreadable(item, why))
}

pub(crate) fn unreadable(item: &Item, why: impl Into<Cause>) -> StoreError {
    StoreError::Unreadable {
        family: keys::family(pk(item)).to_owned(),
        source: why.into(),
    }
}

/// True if an item's time is over: the table deletes such an item days later, but readers ignore it now.
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

    /// A compressed value is read back, even one from before formats were named. A later format is reported as unknown, not
    /// guessed at.
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

    /// A map whose keys are not texts cannot be JSON. The item remembers the error, and no call stores it.
    #[test]
    fn what_cannot_be_written_is_remembered() {
        let no_json = HashMap::from([(vec![1], 2)]);
        let key = keys::retention();
        assert!(NewItem::at(&key).data(&no_json).unwritable.is_some());
        assert!(NewItem::at(&key).packed(&no_json).unwritable.is_some());
    }
}
