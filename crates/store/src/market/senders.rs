//! The last post of each sender of webhooks, so that people see whether a sender reaches them and what became of what it said. It holds no
//! personal data: counts, the sender's words, names of fields, and codes.

use std::collections::BTreeMap;

use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};

use crate::market::Market;
use crate::table::client::{Range, Reading};
use crate::table::fault::StoreError;
use crate::table::item::{NewItem, data, expired};
use crate::table::keys;

/// The last post of a sender.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPost {
    /// How many of its records were accepted.
    pub accepted: usize,
    /// How many of its records were stored before.
    pub duplicates: usize,
    /// How many of its records were rejected.
    pub rejected: usize,
    /// Why the first of them was.
    #[serde(default)]
    pub problem: Option<PostProblem>,
    /// How many things in it mean nothing here, by the sender's words.
    #[serde(default)]
    pub ignored: BTreeMap<String, i64>,
    /// The fields of a post in which something was ignored: names and kinds of values.
    #[serde(default)]
    pub shape: Option<String>,
    /// Why nothing of it was taken: `unreadable` or `bad_signature`.
    #[serde(default)]
    pub refused: Option<String>,
}

/// Why a record of a post was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostProblem {
    /// The code of the problem.
    pub code: String,
    /// The field that is wrong; `None` where it is the record.
    pub field: Option<String>,
}

/// A sender with its last post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedLast {
    /// The name of the sender in its address.
    pub sender: String,
    /// When the post arrived.
    pub at: Instant,
    /// What became of it.
    #[serde(flatten)]
    pub post: LastPost,
}

/// The senders of one marketplace. Reached by [`Market::senders`].
#[derive(Debug, Clone, Copy)]
pub struct Senders<'m> {
    market: &'m Market,
}

impl Market {
    /// The senders of one marketplace.
    pub fn senders(&self) -> Senders<'_> {
        Senders { market: self }
    }
}

impl Senders<'_> {
    /// Remembers a post as the last one of its sender, with one write. It is kept for the retention.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn remember(self, posted: &PostedLast) -> Result<(), StoreError> {
        let key = keys::sender(&self.market.id, &posted.sender);
        let gone_at = posted.at.plus_ms(self.market.retention.ms());
        let item = NewItem::at(&key).data(posted).expires(gone_at);
        self.market.store.put(item, None).await.map(drop)
    }

    /// The last post of each sender, by name. There are as many as settings allow, and the built-in ones.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn list(self, now: Instant) -> Result<Vec<PostedLast>, StoreError> {
        let list = keys::senders(&self.market.id);
        let items = self
            .market
            .store
            .query(&list, &Range::All, Reading::STRONG)
            .await?;
        let kept = items.iter().filter(|item| !expired(item, now));
        kept.map(data).collect()
    }
}
