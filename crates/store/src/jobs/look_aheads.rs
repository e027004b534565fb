//! Looks ahead: what-ifs and replays as they are stored. A look ahead has a root, with how far its walk through the customers is,
//! and chunks with what was found so far. Both are written in one transaction, so that every customer is in the result once.

use revtrail_core::attribution::models::Model;
use revtrail_core::attribution::settings::{Period, Settings};
use revtrail_core::figures::preview::Preview;
use revtrail_core::value::address::Recipient;
use revtrail_core::value::money::rate;
use revtrail_core::value::time::{DAY_MS, Instant};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::jobs::job::{Job, Work};
use crate::market::once::{CallRecord, Once};
use crate::market::{Market, TRIES_MAX};
use crate::random::random_hex;
use crate::table::attributes::VERSION;
use crate::table::chunks::{chunks_of, joined};
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{self, Item, NewItem, data, expired};
use crate::table::keys::{self, Key, LookAheadKind as Kind};
use crate::table::write::{Transacted, Write};

/// How long the result of a what-if is kept, in milliseconds.
const WHAT_IF_KEPT_MS: i64 = DAY_MS;

/// What a look ahead is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Tries settings. Nothing follows from it.
    WhatIf {
        /// The settings that are tried.
        settings: Box<Settings>,
        /// The models beside them.
        models: Vec<Model>,
    },
    /// Applies a saved version, unless it is a dry run.
    Replay {
        /// The number of the version.
        version: u32,
        /// True where the version is not applied in the end.
        dry_run: bool,
    },
}

/// How far a look ahead is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookState {
    /// Some customers are not looked at yet.
    Running,
    /// All customers are looked at, and a replay that is no dry run is applied.
    Done,
    /// The result is too large to be stored. Nothing was applied.
    Failed,
}

/// A what-if or a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookAhead {
    /// The name of the look ahead. The names of replays sort by the time at which they were asked for.
    #[serde(skip)]
    pub id: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The period in which the orders were placed.
    pub period: Period,
    /// The name of the access key that asked for it.
    pub by: String,
    /// When it was asked for, in UTC.
    pub at: Instant,
    /// How far it is.
    pub state: LookState,
    /// How many orders of the period the figures had when it was asked for. The progress is measured by it.
    pub expected: i64,
    /// The customers up to this one are looked at; `None` at the beginning of the walk, and after its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<Recipient>,
    /// The newest version of the settings and the number of replays when the walk began. It begins again where they change.
    #[serde(default)]
    pub(crate) seen: (u32, usize),
    /// Customers whose facts are too many, or cannot be read.
    #[serde(default)]
    pub skipped: i64,
    /// The number of chunks that hold the preview.
    #[serde(default)]
    chunks: usize,
    /// The explanation of the one order that was asked for, by the proposed settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<Value>,
    /// What was found so far.
    #[serde(skip)]
    pub preview: Preview,
    /// The version of the stored root, which every write raises.
    #[serde(skip)]
    version: i64,
}

/// How writing what was found ended.
pub(crate) enum SavedLook {
    /// It is written.
    Done,
    /// Another worker goes on with this walk.
    Overtaken,
    /// What was to be written beside it may not be.
    Refused,
}

impl LookAhead {
    /// A new look ahead, at its beginning.
    pub fn new(purpose: Purpose, period: Period, by: &str, expected: i64, at: Instant) -> Self {
        let drawn = random_hex();
        let id = match purpose {
            Purpose::WhatIf { .. } => drawn[..16].to_owned(),
            Purpose::Replay { .. } => format!("{at}-{}", &drawn[..8]),
        };
        let mut ahead = Self {
            id,
            purpose,
            period,
            by: by.to_owned(),
            at,
            state: LookState::Running,
            expected,
            after: None,
            seen: (0, 0),
            skipped: 0,
            chunks: 0,
            attribution: None,
            preview: Preview::default(),
            version: 0,
        };
        ahead.begin((0, 0));
        ahead
    }

    /// Begins the walk, or begins it again.
    pub(crate) fn begin(&mut self, seen: (u32, usize)) {
        self.preview = Preview::new(self.models());
        (self.after, self.skipped, self.seen) = (None, 0, seen);
    }

    /// The models that are asked for.
    pub fn models(&self) -> &[Model] {
        match &self.purpose {
            Purpose::WhatIf { models, .. } => models,
            Purpose::Replay { .. } => &[],
        }
    }

    /// How much of the walk is done, as a rate with four decimals. It is 1 only at the end.
    pub fn progress(&self) -> String {
        let orders = self.preview.orders;
        let parts = match self.state {
            LookState::Done => 10_000,
            _ => orders * 10_000 / self.expected.max(orders + 1),
        };
        rate(parts, 10_000).unwrap_or_default()
    }

    /// A job that works on it.
    fn job(&self) -> Job {
        let work = Work::LookAhead {
            replays: self.kind() == Kind::Replays,
            id: self.id.clone(),
        };
        Job::new(work, None, 0, 0, self.at)
    }

    fn kind(&self) -> Kind {
        match self.purpose {
            Purpose::WhatIf { .. } => Kind::WhatIfs,
            Purpose::Replay { .. } => Kind::Replays,
        }
    }

    /// The item as it is stored: replays are a log and stay, and what-ifs expire.
    fn item(&self, key: &Key) -> NewItem {
        let item = NewItem::at(key).number(VERSION, self.version);
        match self.kind() {
            Kind::WhatIfs => item.expires(self.at.plus_ms(WHAT_IF_KEPT_MS)),
            Kind::Replays => item,
        }
    }
}

/// The what-ifs and replays of one marketplace. Reached by [`Market::look_aheads`].
#[derive(Debug, Clone, Copy)]
pub struct LookAheads<'m> {
    pub(crate) market: &'m Market,
}

impl Market {
    /// The what-ifs and replays of the marketplace.
    pub fn look_aheads(&self) -> LookAheads<'_> {
        LookAheads { market: self }
    }
}

impl LookAheads<'_> {
    /// Puts a new look ahead on record, with the job that works on it. `None` if there is one of that name.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn begin(self, ahead: &mut LookAhead) -> Result<Option<Job>, StoreError> {
        let job = ahead.job();
        Ok(self.put_new(ahead, &job, None).await?.then_some(job))
    }

    /// The same for a call that names itself. Its answer is the names of the look ahead and of its job.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn begin_named(
        self,
        ahead: &mut LookAhead,
        named: &Once,
        record: CallRecord,
    ) -> Result<Option<CallRecord>, StoreError> {
        let job = ahead.job();
        let record = record.answered(serde_json::json!([ahead.id, job.job_id]));
        let begun = self.put_new(ahead, &job, Some((named, &record))).await?;
        Ok(begun.then_some(record))
    }

    async fn put_new(
        self,
        ahead: &mut LookAhead,
        job: &Job,
        once: Option<(&Once, &CallRecord)>,
    ) -> Result<bool, StoreError> {
        let mut beside = vec![self.market.jobs().put_job(job)];
        beside.extend(once.map(|(once, record)| self.market.store.call_record_write(once, record)));
        let saved = self.save(ahead, beside).await?;
        Ok(matches!(saved, SavedLook::Done))
    }

    /// Puts a look ahead on record that is done.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn put_done(self, ahead: &mut LookAhead) -> Result<(), StoreError> {
        ahead.state = LookState::Done;
        self.save(ahead, Vec::new()).await.map(drop)
    }

    /// A what-if; `None` if there is none, or if its day is over.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn what_if(self, id: &str, now: Instant) -> Result<Option<LookAhead>, StoreError> {
        self.read(Kind::WhatIfs, id, now).await
    }

    /// A replay; `None` if there is none.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn replay(self, id: &str, now: Instant) -> Result<Option<LookAhead>, StoreError> {
        self.read(Kind::Replays, id, now).await
    }

    /// A page of the looks ahead of a kind with their names, the last by name first, starting after one, and the place where the next page starts.
    /// Of replays, the newest is the first.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn list(
        self,
        kind: Kind,
        after: Option<String>,
        limit: usize,
        now: Instant,
    ) -> Result<(Vec<(String, LookAhead)>, Option<String>), StoreError> {
        let list = keys::look_aheads(&self.market.id, kind);
        let (items, next) = self.market.store.newest(&list, after, limit).await?;
        let mut listed = Vec::new();
        for item in &items {
            let id = item::sk(item).to_owned();
            let ahead = self.read(kind, &id, now).await?;
            listed.extend(ahead.map(|ahead| (id, ahead)));
        }
        Ok((listed, next))
    }

    pub(crate) async fn read(
        self,
        kind: Kind,
        id: &str,
        now: Instant,
    ) -> Result<Option<LookAhead>, StoreError> {
        let key = keys::look_ahead(&self.market.id, kind, id);
        let chunks = keys::look_ahead_chunks(&self.market.id, id);
        for _ in 0..TRIES_MAX {
            let root = self.market.store.get(&key, true).await?;
            let Some(root) = root.filter(|root| !expired(root, now)) else {
                return Ok(None);
            };
            let version = item::version(&root);
            let ahead: LookAhead = data(&root)?;
            let found = self
                .market
                .store
                .query(&chunks, &Range::All, Reading::STRONG)
                .await?;
            // A worker that wrote in between wrote all chunks anew.
            let found = found.get(..ahead.chunks).unwrap_or_default();
            let whole = |chunk: &Item| item::version(chunk) == version;
            if found.len() == ahead.chunks && found.iter().all(whole) {
                return Ok(Some(LookAhead {
                    id: id.to_owned(),
                    preview: joined(found)?.unwrap_or_default(),
                    version,
                    ..ahead
                }));
            }
        }
        Err(StoreError::Contended {
            op: "reading a look ahead",
        })
    }

    /// Writes what was found, with the place that it belongs to, and what is to be written beside it, in one transaction.
    pub(crate) async fn save(
        self,
        ahead: &mut LookAhead,
        beside: Vec<Write>,
    ) -> Result<SavedLook, StoreError> {
        let condition = Condition::version(ahead.version);
        ahead.version += 1;
        let pieces = chunks_of(&ahead.preview)?;
        ahead.chunks = pieces.len();
        let root = keys::look_ahead(&self.market.id, ahead.kind(), &ahead.id);
        let root = ahead.item(&root).packed(ahead);
        let mut writes = vec![self.market.store.put_write(root, Some(condition))];
        writes.extend(beside);
        for (i, (attribute, value)) in pieces.into_iter().enumerate() {
            let key = keys::look_ahead_chunk(&self.market.id, &ahead.id, i);
            let chunk = ahead.item(&key).set(attribute, value);
            writes.push(self.market.store.put_write(chunk, None));
        }
        let written = self.market.store.transact(writes).await;
        if !matches!(written, Ok(Transacted::Done)) {
            ahead.version -= 1;
        }
        match written? {
            Transacted::Done => Ok(SavedLook::Done),
            Transacted::Cancelled(faults) if faults.first() == Some(&Fault::Condition) => {
                Ok(SavedLook::Overtaken)
            }
            Transacted::Cancelled(faults) if faults.contains(&Fault::Condition) => {
                Ok(SavedLook::Refused)
            }
            Transacted::Cancelled(_) => Err(StoreError::Contended {
                op: "writing a look ahead",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;
    use revtrail_core::figures::preview::Change;
    use revtrail_core::value::id::CampaignId;

    use super::*;

    /// The names are random, so compression does not make the chunks one.
    #[test]
    fn a_large_preview_is_cut_into_chunks_and_put_together_again() {
        let name = |_| CampaignId::new(&[random_hex(), random_hex()].concat());
        for (campaigns, many) in [(0, false), (3, false), (20_000, true)] {
            let names: Result<Vec<CampaignId>, _> = (0..campaigns).map(name).collect();
            let rows = names.unwrap().into_iter().map(|id| (id, Change::default()));
            let preview = Preview {
                campaigns: rows.collect(),
                orders: campaigns,
                ..Preview::default()
            };
            let pieces = chunks_of(&preview).unwrap();
            assert_eq!(pieces.len() > 1, many, "{} chunks", pieces.len());
            let chunk =
                |(name, value): (&str, AttributeValue)| Item::from([(name.to_owned(), value)]);
            let chunks: Vec<Item> = pieces.into_iter().map(chunk).collect();
            assert!(chunks.iter().all(|chunk| item::item_bytes(chunk) < 400_000));
            assert_eq!(joined(&chunks).unwrap(), Some(preview));
        }
    }
}
