//! The access log: which key did what. Entries are kept for the retention, and spread over shards by a random name, so that many
//! calls at once do not meet in one partition.

use std::collections::BTreeMap;

use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};

use crate::market::Market;
use crate::market::access::Role;
use crate::promotions::lists::ListPart;
use crate::random::random_hex;
use crate::table::fault::StoreError;
use crate::table::item::{NewItem, data, expired, sk};
use crate::table::keys::{self, ACCESS_LOG_SHARDS};

/// Why a call is in the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessKind {
    /// The call was refused, although its key is good.
    Refusal,
    /// The call took out who somebody is, or a whole list.
    Export,
    /// The call changed something, or tried to.
    Change,
}

/// How a call in the access log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessOutcome {
    /// The call was done.
    Done,
    /// The call was refused, and did nothing.
    Refused,
    /// The call failed, and may be done or not.
    Failed,
}

/// An entry of the access log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedAccess {
    /// When the call arrived.
    pub at: Instant,
    /// The id of the key that made the call.
    pub key_id: String,
    /// The name that the key had then.
    pub key: String,
    /// The role of the key.
    pub role: Role,
    /// Why the call is in the log.
    pub kind: AccessKind,
    /// The method and the route of the call, like `PUT M/settings`.
    pub what: String,
    /// True if the call asked for CSV.
    #[serde(default)]
    pub csv: bool,
    /// The ids that the call named, and the one that it made. A customer stands here as a keyed hash.
    pub on: BTreeMap<String, String>,
    /// How the call ended.
    pub outcome: AccessOutcome,
    /// The HTTP status of the answer.
    pub status: u16,
}

/// The access log of one marketplace. Reached by [`Market::access_log`].
#[derive(Debug, Clone, Copy)]
pub struct AccessLog<'m> {
    market: &'m Market,
}

impl Market {
    /// The access log of one marketplace.
    pub fn access_log(&self) -> AccessLog<'_> {
        AccessLog { market: self }
    }
}

impl AccessLog<'_> {
    /// Enters a call, with one write.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn enter(self, entry: &LoggedAccess) -> Result<(), StoreError> {
        let key = keys::logged_access(&self.market.id, entry.at, &random_hex());
        let gone_at = entry.at.plus_ms(self.market.retention.ms());
        let item = NewItem::at(&key).data(entry).expires(gone_at);
        self.market.store.put(item, None).await.map(drop)
    }

    /// A page of entries by their places, newest first, starting after a place, and the place where the next page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn list(
        self,
        after: Option<String>,
        limit: usize,
        now: Instant,
    ) -> Result<(Vec<(String, LoggedAccess)>, Option<String>), StoreError> {
        let shards = (0..ACCESS_LOG_SHARDS).map(|shard| keys::access_log(&self.market.id, shard));
        let part = ListPart {
            prefix: String::new(),
            newest_first: true,
            after,
            limit,
        };
        let (items, next) = self.market.lists().merged(shards.collect(), &part).await?;
        let kept = items.iter().filter(|item| !expired(item, now));
        let kept = kept.map(|item| Ok((sk(item).to_owned(), data(item)?)));
        Ok((kept.collect::<Result<_, StoreError>>()?, next))
    }
}
