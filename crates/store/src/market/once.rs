//! Calls that name themselves by an `Idempotency-Key`: what such a call makes is made once, and for a day the first answer is
//! given again.
//!
//! What is made in one transaction has its record in that transaction. What takes several transactions has its record before the
//! first of them. Everything random follows from the record's seed, so whoever goes on makes the same and nothing more. A record
//! holds no secret: a secret that is part of the answer is derived from the seed again.

use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{DAY_MS, Instant};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::random::random_hex;
use crate::table::client::{PutOutcome, Store};
use crate::table::condition::Condition;
use crate::table::fault::StoreError;
use crate::table::item::{NewItem, data, expired};
use crate::table::keys;
use crate::table::write::Write;

/// How long a name is remembered, in milliseconds.
const REMEMBERED_MS: i64 = DAY_MS;

/// A call that names itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// The marketplace that the call is for.
    pub marketplace: MarketplaceId,
    /// A hash of the caller, the route, and the name that the caller gave the call.
    pub name: String,
    /// A hash of the body of the call.
    pub body: String,
}

/// What is remembered of a call that named itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The hash of the body of the first call.
    body: String,
    /// When the first call arrived.
    pub begun_at: Instant,
    /// Random hexadecimal digits, drawn for the first call. By themselves they reveal no secret.
    pub seed: String,
    /// The answer, without secrets; `None` until everything is made.
    pub answer: Option<Value>,
}

impl CallRecord {
    /// The record of a first call.
    pub fn new(once: &Once, now: Instant) -> Self {
        Self {
            body: once.body.clone(),
            begun_at: now,
            seed: format!("{}{}", random_hex(), random_hex()),
            answer: None,
        }
    }

    /// The same record, with its answer.
    pub fn answered(self, answer: Value) -> Self {
        Self {
            answer: Some(answer),
            ..self
        }
    }
}

/// What is known of a call by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// The name is new.
    New,
    /// The same call was made before, or is being made.
    Same(CallRecord),
    /// The name belongs to a call with another body.
    Other,
}

impl Store {
    /// What is known of a call, by its name.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn met(&self, once: &Once, now: Instant) -> Result<Met, StoreError> {
        let key = keys::once(&once.marketplace, &once.name);
        let item = self.get(&key, true).await?;
        let record: Option<CallRecord> = item
            .filter(|item| !expired(item, now))
            .map(|item| data(&item))
            .transpose()?;
        Ok(match record {
            None => Met::New,
            Some(record) if record.body == once.body => Met::Same(record),
            Some(_) => Met::Other,
        })
    }

    fn call_record(once: &Once, record: &CallRecord) -> NewItem {
        NewItem::at(&keys::once(&once.marketplace, &once.name))
            .data(record)
            .expires(record.begun_at.plus_ms(REMEMBERED_MS))
    }

    /// A write of the record, for the transaction that makes the thing. The transaction is cancelled if the same call arrived
    /// before.
    pub(crate) fn call_record_write(&self, once: &Once, record: &CallRecord) -> Write {
        let new = Condition::absent_or_expired(record.begun_at);
        self.put_write(Self::call_record(once, record), Some(new))
    }

    /// Remembers a call before it makes anything. False if the same call arrived before.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn begin(&self, once: &Once, record: &CallRecord) -> Result<bool, StoreError> {
        let new = Condition::absent_or_expired(record.begun_at);
        let put = self.put(Self::call_record(once, record), Some(new)).await?;
        Ok(matches!(put, PutOutcome::Done(_)))
    }

    /// Remembers the answer, once everything is made. Whoever makes the same answers the same.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn end(&self, once: &Once, record: &CallRecord) -> Result<(), StoreError> {
        self.put(Self::call_record(once, record), None)
            .await
            .map(drop)
    }

    /// Forgets a call that failed to make its thing, so that the next call of that name makes it anew.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn forget(&self, once: &Once) -> Result<(), StoreError> {
        let key = keys::once(&once.marketplace, &once.name);
        self.delete(&key).await
    }
}
