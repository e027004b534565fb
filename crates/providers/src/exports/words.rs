//! What the words of a file mean: a table in an order, since the earlier word is the stronger one where several columns have words.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a word means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Meaning {
    /// A word of ours.
    Is(String),
    /// The row is rejected, for this reason.
    Rejected { rejected: String },
    /// The row is none of our facts.
    Nothing,
}

/// Words with their meanings. In JSON it is an object whose order counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Words(pub(super) Vec<(String, Meaning)>);

impl Words {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The place of a word in the table, and its meaning. Case counts for nothing, and `-` and `_` are blanks.
    pub(super) fn find(&self, word: &str) -> Option<(usize, &Meaning)> {
        let word = folded(word);
        let place = self.0.iter().position(|(own, _)| folded(own) == word)?;
        Some((place, &self.0[place].1))
    }
}

fn folded(word: &str) -> String {
    word.trim().replace(['-', '_'], " ").to_lowercase()
}

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        for (word, meaning) in &self.0 {
            object.serialize_entry(word, meaning)?;
        }
        object.end()
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from words to what they mean: a word of ours, null, or {\"rejected\": \"why\"}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(entry) = object.next_entry()? {
                    words.push(entry);
                }
                Ok(Words(words))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
