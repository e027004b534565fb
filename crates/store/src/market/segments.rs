//! Segments: buyers of a campaign, saved under a name as they were then. The customers of a segment lie in chunks, sorted by their
//! ids, and the segment is there once all its chunks are.
//!
//! The chunks of all segments share a partition, so that whoever must leave all segments is found by one walk, even in chunks
//! whose segment was never finished because the call that made it died.

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::value::id::{CampaignId, CustomerId};
use revtrail_core::value::time::{Day, Instant};
use serde::{Deserialize, Serialize};

use crate::jobs::runs::new_run_id;
use crate::market::once::{CallRecord, Once};
use crate::market::{Market, TRIES_MAX};
use crate::table::attributes::segment as attributes;
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, key_of, number, sk};
use crate::table::keys;
use crate::table::write::{TRANSACTION_BYTES_MAX, TRANSACTION_ITEMS_MAX, Transacted, Write};

/// The most customers of a chunk: with ids of 128 bytes it has 262 KB, and an item has at most 400 KB.
const CHUNK_CUSTOMERS: usize = 2_000;
/// The most chunks that are written with their segment, in one transaction; it has four more items.
const CHUNKS_WITH_SEGMENT: usize = TRANSACTION_ITEMS_MAX - 4;

/// A segment without its customers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The id of the segment. Ids sort by the time when the segments were saved.
    pub segment_id: String,
    /// The name of the segment, of which the marketplace has one.
    pub name: String,
    /// The campaign whose buyers were saved.
    pub campaign_id: CampaignId,
    /// The first day of the period.
    pub from: Day,
    /// The first day that is not in the period.
    pub to: Day,
    /// How many customers the segment has.
    #[serde(skip_deserializing)]
    pub customers: i64,
    /// When the segment was saved.
    pub saved_at: Instant,
    /// The name of the key that saved it.
    pub saved_by: String,
}

impl Segment {
    /// The id of a new segment.
    pub fn new_id(now: Instant) -> String {
        new_run_id(now)
    }
}

/// How saving a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentSaved {
    /// The segment is there.
    Saved,
    /// Another segment has the name.
    NameTaken,
    /// The same call was made before.
    KnownCall,
    /// A customer was erased since the customers were gathered: gather them again.
    Outdated,
}

/// A place in the customers of a segment: the chunk, and the last customer that was shown.
pub type SegmentPlace = (usize, String);

/// The segments of one marketplace. Reached by [`Market::segments`].
#[derive(Debug, Clone, Copy)]
pub struct Segments<'m> {
    market: &'m Market,
}

impl Market {
    /// The segments of one marketplace.
    pub fn segments(&self) -> Segments<'_> {
        Segments { market: self }
    }
}

/// The number of customers is an attribute of its own, so that it can be counted down.
fn read_segment(item: &Item) -> Result<Segment, StoreError> {
    Ok(Segment {
        customers: number(item, attributes::CUSTOMERS).unwrap_or(0),
        ..data(item)?
    })
}

/// True for a segment that is being deleted.
fn is_gone(item: &Item) -> bool {
    item.contains_key(attributes::GONE)
}

impl Segments<'_> {
    /// Saves a segment with its customers, who are sorted by their ids. `erasures` is the count of [`Market::meta`] before the
    /// customers were gathered. Chunks that do not fit into the transaction of the segment are written before it.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn save(
        self,
        segment: &Segment,
        customers: &[CustomerId],
        erasures: i64,
        once: Option<(&Once, &CallRecord)>,
    ) -> Result<SegmentSaved, StoreError> {
        let store = &self.market.store;
        let chunk = |(place, some): (usize, &[CustomerId])| {
            let key = keys::segment_chunk(&self.market.id, &segment.segment_id, place);
            store.put_write(NewItem::at(&key).packed(&some), None)
        };
        let all = customers.chunks(CHUNK_CUSTOMERS).enumerate();
        let mut chunks: Vec<Write> = all.map(chunk).collect();
        let mut last = Vec::new();
        let mut bytes = 0;
        while let Some(one) = chunks.pop() {
            bytes += one.bytes();
            if last.len() == CHUNKS_WITH_SEGMENT || bytes > TRANSACTION_BYTES_MAX / 2 {
                chunks.push(one);
                break;
            }
            last.push(one);
        }
        for one in chunks {
            let writes = vec![self.market.check_erasures(erasures), one];
            if let Transacted::Cancelled(faults) = store.transact(writes).await? {
                return self.refused(&faults);
            }
        }
        let item = NewItem::at(&keys::segment(&self.market.id, &segment.segment_id))
            .data(segment)
            .number(attributes::CUSTOMERS, customers.len());
        let name = NewItem::at(&keys::segment_name(&self.market.id, &segment.name))
            .text(attributes::SEGMENT, segment.segment_id.as_str());
        let mut writes = vec![
            self.market.check_erasures(erasures),
            store.put_write(name, Some(Condition::absent())),
            store.put_write(item, Some(Condition::absent())),
        ];
        writes.append(&mut last);
        writes.extend(once.map(|(once, record)| store.call_record_write(once, record)));
        match store.transact(writes).await? {
            Transacted::Done => Ok(SegmentSaved::Saved),
            Transacted::Cancelled(faults) => self.refused(&faults),
        }
    }

    fn refused(self, faults: &[Fault]) -> Result<SegmentSaved, StoreError> {
        match faults.iter().position(|fault| *fault == Fault::Condition) {
            Some(0) => Ok(SegmentSaved::Outdated),
            // The record of the call is the last item. A call that was made before has taken the name itself.
            Some(_) if faults.len() > 3 && faults.last() == Some(&Fault::Condition) => {
                Ok(SegmentSaved::KnownCall)
            }
            Some(_) => Ok(SegmentSaved::NameTaken),
            None => Err(StoreError::Contended {
                op: "saving a segment",
            }),
        }
    }

    /// A page of segments by their places, newest first, starting after one, and the place where the next page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn list(
        self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<(String, Segment)>, Option<String>), StoreError> {
        let list = keys::segments(&self.market.id);
        let (items, next) = self.market.store.newest(&list, after, limit).await?;
        let shown = items.iter().filter(|item| !is_gone(item));
        let shown = shown.map(|item| Ok((sk(item).to_owned(), read_segment(item)?)));
        Ok((shown.collect::<Result<_, StoreError>>()?, next))
    }

    /// The segment of an id; `None` if there is none.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn segment(self, id: &str) -> Result<Option<Segment>, StoreError> {
        let key = keys::segment(&self.market.id, id);
        let item = self.market.store.get(&key, true).await?;
        let there = item.filter(|item| !is_gone(item));
        there.as_ref().map(read_segment).transpose()
    }

    /// A part of the customers of a segment in the order of their ids, starting after a place; at least `wanted` of them if there
    /// are so many. Each comes with the chunk that it lies in.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn customers(
        self,
        segment: &str,
        after: Option<SegmentPlace>,
        wanted: usize,
    ) -> Result<Vec<(usize, CustomerId)>, StoreError> {
        let (mut place, last) = after.unwrap_or_default();
        let mut found = Vec::new();
        while found.len() < wanted {
            let key = keys::segment_chunk(&self.market.id, segment, place);
            let Some(item) = self.market.store.get(&key, true).await? else {
                break;
            };
            let chunk: Vec<CustomerId> = data(&item)?;
            let rest = chunk.into_iter().filter(|one| one.as_str() > last.as_str());
            found.extend(rest.map(|one| (place, one)));
            place += 1;
        }
        Ok(found)
    }

    /// Deletes a segment: it is gone with its name, and then its chunks. False if there is none. A call that died is made again.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn delete(self, id: &str) -> Result<bool, StoreError> {
        let (store, key) = (&self.market.store, keys::segment(&self.market.id, id));
        for _ in 0..TRIES_MAX {
            let Some(item) = store.get(&key, true).await? else {
                return Ok(false);
            };
            if !is_gone(&item) {
                let name = keys::segment_name(&self.market.id, &read_segment(&item)?.name);
                let gone = vec![(":t", AttributeValue::Bool(true))];
                let there = Some(Condition::without(attributes::GONE));
                let writes = vec![
                    store.update_write(
                        &key,
                        &format!("SET {} = :t", attributes::GONE),
                        gone,
                        there,
                    ),
                    store.delete_write(&name, None),
                ];
                if !matches!(store.transact(writes).await?, Transacted::Done) {
                    continue;
                }
            }
            let pk = keys::segment_customers(&self.market.id);
            let range = Range::prefix(&keys::segment_chunks(id));
            for chunk in store.query(&pk, &range, Reading::STRONG).await? {
                store.delete(&key_of(&chunk)).await?;
            }
            store.delete(&key).await?;
            return Ok(true);
        }
        Err(StoreError::Contended {
            op: "deleting a segment",
        })
    }
}
