//! Calls that name themselves by an `Idempotency-Key`: what such a call makes is made once, and for a day the first answer is
//! told again.
//!
//! What is made in one transaction has its marker in that transaction. What takes several has it before the first of them; all
//! that is drawn by lot follows from the marker's seed, so whoever goes on makes the same and nothing more. A marker holds no
//! secret: one that is told again is derived again.

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
    /// Where.
    pub marketplace: MarketplaceId,
    /// A hash of who calls, on which route, and the name that they gave the call.
    pub name: String,
    /// A hash of what the call says.
    pub body: String,
}

/// What is remembered of a call that named itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The hash of what the first call said.
    body: String,
    /// When the first call came.
    pub begun_at: Instant,
    /// Hexadecimal digits that were drawn for the first call, and stand for no secret by themselves.
    pub seed: String,
    /// What was answered, without secrets; `None` until all is made.
    pub answer: Option<Value>,
}

impl Marker {
    /// The marker of a first call.
    pub fn new(once: &Once, now: Instant) -> Self {
        Self {
            body: once.body.clone(),
            begun_at: now,
            seed: format!("{}{}", random_hex(), random_hex()),
            answer: None,
        }
    }

    /// The same, answered.
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
    /// Nothing.
    New,
    /// It was made before, or is being made.
    Same(Marker),
    /// The name was given to a call that said something else.
    Other,
}

impl Store {
    /// What is known of a call.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn met(&self, once: &Once, now: Instant) -> Result<Met, StoreError> {
        let key = keys::once(&once.marketplace, &once.name);
        let item = self.get(&key, true).await?;
        let marker: Option<Marker> = item
            .filter(|item| !expired(item, now))
            .map(|item| data(&item))
            .transpose()?;
        Ok(match marker {
            None => Met::New,
            Some(marker) if marker.body == once.body => Met::Same(marker),
            Some(_) => Met::Other,
        })
    }

    fn marker(once: &Once, marker: &Marker) -> NewItem {
        NewItem::at(&keys::once(&once.marketplace, &once.name))
            .data(marker)
            .expires(marker.begun_at.plus_ms(REMEMBERED_MS))
    }

    /// A marker for the transaction that makes the thing; it is cancelled where the call was met meanwhile.
    pub(crate) fn marker_write(&self, once: &Once, marker: &Marker) -> Write {
        let new = Condition::absent_or_expired(marker.begun_at);
        self.put_write(Self::marker(once, marker), Some(new))
    }

    /// Remembers a call before what it makes. False where it was met meanwhile.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn begin(&self, once: &Once, marker: &Marker) -> Result<bool, StoreError> {
        let new = Condition::absent_or_expired(marker.begun_at);
        let put = self.put(Self::marker(once, marker), Some(new)).await?;
        Ok(matches!(put, PutOutcome::Done(_)))
    }

    /// Remembers what was answered, when all is made. Whoever made the same answers the same.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn end(&self, once: &Once, marker: &Marker) -> Result<(), StoreError> {
        self.put(Self::marker(once, marker), None).await.map(drop)
    }

    /// Forgets a call whose making failed, so that the next of its name makes it anew.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn forget(&self, once: &Once) -> Result<(), StoreError> {
        let key = keys::once(&once.marketplace, &once.name);
        self.delete(&key).await
    }
}
