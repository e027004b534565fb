//! Batches of redemptions: which files came, how far each is taken in, and what was rejected of it.
//!
//! A batch is a file's name and the ETag of its content. Its record is the durable checkpoint. The checkpoint moves together with
//! what was rejected since the last one, in one transaction under the version that was read, so that of two workers only one
//! moves it.

use std::collections::{BTreeMap, HashMap};

use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::market::{Market, TRIES_MAX};
use crate::random::hex;
use crate::table::attributes::{VERSION, listed_batch};
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::contention::backoff;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, expired, sk, text, version};
use crate::table::keys;
use crate::table::write::{Transacted, Write};

/// The most bytes of a piece of the rejected rows, so that it stays below an item's 400 KB, whatever it holds.
const PIECE_BYTES_MAX: usize = 256 << 10;

/// How many batches are read at once where the last one of a file is looked for.
const BATCHES_AT_ONCE: usize = 100;

/// The state of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// The file is there, and none of its rows is taken in yet.
    Received,
    /// Some rows are taken in.
    Running,
    /// All rows are taken in, and the results are stored beside the file.
    Done,
    /// The file cannot be read to its end, and the batch says why. The rows taken in before stay.
    Failed,
}

/// What became of the rows of a batch; `rows` is the sum of the other counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RowCounts {
    pub rows: u64,
    pub accepted: u64,
    pub duplicates: u64,
    pub quarantined: u64,
    pub rejected: u64,
}

/// A batch, with its checkpoint: as many rows are taken in as `tally` counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The id of the batch, made from the file's name and its ETag.
    pub batch_id: String,
    /// The path of the file, like `inbox/shop/redemptions/week-7.csv`.
    pub file: String,
    /// The state of the batch.
    pub state: BatchState,
    /// What became of the rows that were taken in.
    #[serde(flatten)]
    pub tally: RowCounts,
    /// How many of the rejected rows are counted only, because `rejected.csv` lists enough of them.
    #[serde(default)]
    pub rejected_unlisted: u64,
    /// Why the batch failed.
    pub detail: Option<String>,
    /// When the file was received.
    pub started_at: Instant,
    /// When the batch was done, or failed.
    pub finished_at: Option<Instant>,
    /// The ETag of the file's content.
    pub etag: String,
    /// How many turns in a row did not get beyond the checkpoint.
    #[serde(default, skip_serializing)]
    pub stalls: u32,
    /// True if the batch failed because its file was gone or overwritten. It goes on if the same content is there again.
    #[serde(default, skip_serializing)]
    pub interrupted: bool,
    /// How many bytes the lines of the rejected rows have that are listed.
    #[serde(default, skip_serializing)]
    pub rejected_bytes: u64,
    /// When the batch moved last; `None` in records of before this was kept.
    #[serde(default, skip_serializing)]
    pub moved_at: Option<Instant>,
    /// The version of the record, which every move raises.
    #[serde(skip)]
    pub version: i64,
}

/// Rows of a batch that were rejected: those since it moved last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RejectedRows {
    /// The lines of `rejected.csv` that they make.
    pub lines: String,
    /// How many there are by each code, listed or not.
    pub by_code: BTreeMap<String, i64>,
}

impl Batch {
    /// True if the batch is done or failed: nothing more happens to it, unless it was interrupted.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, BatchState::Done | BatchState::Failed)
    }
}

/// The record as it is stored: what the interface shows, and what it does not show.
#[derive(Serialize)]
struct Stored<'b> {
    #[serde(flatten)]
    batch: &'b Batch,
    stalls: u32,
    interrupted: bool,
    rejected_bytes: u64,
    moved_at: Option<Instant>,
}

fn read_batch(item: &Item) -> Result<Batch, StoreError> {
    let batch: Batch = data(item)?;
    Ok(Batch {
        version: version(item),
        ..batch
    })
}

/// The id of a batch. The same file with the same content is the same batch, however often it is announced.
pub fn batch_id(file: &str, etag: &str) -> String {
    let mut hash = Sha256::new();
    // The length shows where the name ends and the ETag begins.
    hash.update((file.len() as u64).to_be_bytes());
    hash.update(file);
    hash.update(etag);
    hex(&hash.finalize()[..16])
}

/// Cuts a text into pieces of whole characters.
fn pieces(mut text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while !text.is_empty() {
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE_BYTES_MAX));
        pieces.push(piece);
        text = rest;
    }
    pieces
}

/// Batches of redemptions of one marketplace. Reached by [`Market::batches`].
#[derive(Debug, Clone, Copy)]
pub struct Batches<'m> {
    market: &'m Market,
}

impl Market {
    /// Batches of redemptions of one marketplace.
    pub fn batches(&self) -> Batches<'_> {
        Batches { market: self }
    }
}

impl Batches<'_> {
    /// The batch of a file and its content. A batch that is new is put on record.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn receive_batch(
        self,
        file: &str,
        etag: &str,
        now: Instant,
    ) -> Result<Batch, StoreError> {
        let batch = Batch {
            batch_id: batch_id(file, etag),
            file: file.to_owned(),
            state: BatchState::Received,
            tally: RowCounts::default(),
            detail: None,
            started_at: now,
            finished_at: None,
            etag: etag.to_owned(),
            stalls: 0,
            interrupted: false,
            rejected_unlisted: 0,
            rejected_bytes: 0,
            moved_at: Some(now),
            version: 0,
        };
        let key = keys::batch(&self.market.id, &batch.batch_id);
        for _ in 0..TRIES_MAX {
            let current = self.market.store.get(&key, true).await?;
            let over = match current {
                Some(item) if !expired(&item, now) => return read_batch(&item),
                Some(item) => version(&item),
                None => 0,
            };
            let new = Batch {
                version: over,
                ..batch.clone()
            };
            let listed = NewItem::at(&keys::listed_batch(&self.market.id, now, &batch.batch_id))
                .text(listed_batch::BATCH, batch.batch_id.as_str())
                .expires(now.plus_ms(self.market.retention.keep_ms()));
            let writes = vec![
                self.put_batch(&new),
                self.market.store.put_write(listed, None),
            ];
            if let Transacted::Done = self.market.store.transact(writes).await? {
                return Ok(Batch {
                    version: over + 1,
                    ..batch
                });
            }
        }
        Err(StoreError::Contended {
            op: "receiving a batch",
        })
    }

    /// The batch of an id; `None` if there is none.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn batch_by_id(
        self,
        batch_id: &str,
        now: Instant,
    ) -> Result<Option<Batch>, StoreError> {
        let item = self
            .market
            .store
            .get(&keys::batch(&self.market.id, batch_id), true)
            .await?;
        item.filter(|item| !expired(item, now))
            .map(|item| read_batch(&item))
            .transpose()
    }

    /// A page of batches, newest first, each with its place, starting after one; and the place where the next page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn list(
        self,
        after: Option<String>,
        limit: usize,
        now: Instant,
    ) -> Result<(Vec<(String, Batch)>, Option<String>), StoreError> {
        let list = keys::batch_list(&self.market.id);
        let (listed, next) = self.market.store.newest(&list, after, limit).await?;
        let shown = listed.iter().filter(|item| !expired(item, now));
        let shown: Vec<(&str, &str)> = shown
            .map(|item| (sk(item), text(item, listed_batch::BATCH)))
            .collect();
        let keys: Vec<_> = shown
            .iter()
            .map(|(_, id)| keys::batch(&self.market.id, id))
            .collect();
        let items = self.market.store.get_all(&keys, true).await?;
        let mut batches = HashMap::new();
        for item in &items {
            let batch = read_batch(item)?;
            batches.insert(batch.batch_id.clone(), batch);
        }
        let placed = |(place, id): (&str, &str)| Some((place.to_owned(), batches.remove(id)?));
        Ok((shown.into_iter().filter_map(placed).collect(), next))
    }

    /// The batches that have not ended and have not moved since a time, newest first; of those that were received since `received`, and
    /// at most so many.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn standing_still(
        self,
        (received, since): (Instant, Instant),
        limit: usize,
        now: Instant,
    ) -> Result<Vec<Batch>, StoreError> {
        let (mut still, mut after) = (Vec::new(), None);
        loop {
            let (batches, next) = self.list(after, BATCHES_AT_ONCE, now).await?;
            for (_, batch) in batches {
                if batch.started_at < received || still.len() >= limit {
                    return Ok(still);
                }
                let moved_at = batch.moved_at.unwrap_or(batch.started_at);
                if !batch.has_ended() && moved_at <= since {
                    still.push(batch);
                }
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(still),
            }
        }
    }

    /// Moves a batch on, together with what was rejected since; `None` if another worker moved it since it was read. Rows that
    /// changed nothing are counted among the redemptions that came in on the day of `now`. The rows that were taken in are
    /// already counted.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn move_batch(
        self,
        from: &Batch,
        to: Batch,
        rejected: &RejectedRows,
        now: Instant,
    ) -> Result<Option<Batch>, StoreError> {
        let to = Batch {
            version: from.version,
            moved_at: Some(now),
            ..to
        };
        let gone_at = to.started_at.plus_ms(self.market.retention.keep_ms());
        let since = |of: fn(&RowCounts) -> u64| (of(&to.tally) - of(&from.tally)) as usize;
        let duplicates = since(|t| t.duplicates);
        for attempt in 0..TRIES_MAX {
            let mut writes = vec![self.put_batch(&to)];
            if duplicates > 0 || !rejected.by_code.is_empty() {
                writes.push(
                    self.market
                        .redemptions()
                        .redemptions_counted(duplicates, &rejected.by_code, now)
                        .await?,
                );
            }
            for (place, piece) in pieces(&rejected.lines).into_iter().enumerate() {
                let key = keys::batch_reject(&self.market.id, &to.batch_id, from.tally.rows, place);
                let item = NewItem::at(&key).packed(&piece).expires(gone_at);
                writes.push(self.market.store.put_write(item, None));
            }
            match self.market.store.transact(writes).await? {
                Transacted::Done => {
                    return Ok(Some(Batch {
                        version: from.version + 1,
                        ..to
                    }));
                }
                Transacted::Cancelled(faults) if faults.contains(&Fault::Condition) => {
                    return Ok(None);
                }
                Transacted::Cancelled(_) => backoff(attempt).await,
            }
        }
        Err(StoreError::Contended {
            op: "moving a batch",
        })
    }

    /// A write of a batch under its version, which the write raises.
    fn put_batch(self, batch: &Batch) -> Write {
        let stored = Stored {
            batch,
            stalls: batch.stalls,
            interrupted: batch.interrupted,
            rejected_bytes: batch.rejected_bytes,
            moved_at: batch.moved_at,
        };
        let item = NewItem::at(&keys::batch(&self.market.id, &batch.batch_id))
            .data(&stored)
            .number(VERSION, batch.version + 1)
            .expires(batch.started_at.plus_ms(self.market.retention.keep_ms()));
        self.market
            .store
            .put_write(item, Some(Condition::version(batch.version)))
    }

    /// A page of what was rejected of a batch, in the order of its rows, starting after a piece, and the place where the next
    /// page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn batch_rejected(
        self,
        batch: &Batch,
        after: Option<String>,
    ) -> Result<(Vec<String>, Option<String>), StoreError> {
        let pk = keys::batch_rejects(&self.market.id, &batch.batch_id);
        let (items, next) = self
            .market
            .store
            .page(&pk, &Range::All, Reading::STRONG, after, None)
            .await?;
        // The other items belong to an expired batch of the same content.
        let own = items.iter().filter(|item| !expired(item, batch.started_at));
        Ok((own.map(data).collect::<Result<_, _>>()?, next))
    }
}

impl Batches<'_> {
    /// The batches whose results name a customer who was erased since, by their ids.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn with_outdated_results(self) -> Result<Vec<String>, StoreError> {
        let pk = keys::outdated_results(&self.market.id);
        let store = &self.market.store;
        let items = store.query(&pk, &Range::All, Reading::STRONG).await?;
        Ok(items.iter().map(|item| sk(item).to_owned()).collect())
    }

    /// A write that says that the results of a batch are to be written again.
    pub(crate) fn outdate_results(self, batch_id: &str, now: Instant) -> Write {
        let item = NewItem::at(&keys::outdated_result(&self.market.id, batch_id));
        let gone_at = now.plus_ms(self.market.retention.keep_ms());
        self.market.store.put_write(item.expires(gone_at), None)
    }

    /// Records that the results of a batch were written again.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn results_written(self, batch_id: &str) -> Result<(), StoreError> {
        let key = keys::outdated_result(&self.market.id, batch_id);
        self.market.store.delete(&key).await
    }

    /// True if a batch is the last of its file that has ended: the results beside the file are its own.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn has_results(self, batch: &Batch, now: Instant) -> Result<bool, StoreError> {
        let mut after = None;
        loop {
            let (batches, next) = self.list(after, BATCHES_AT_ONCE, now).await?;
            let later = |other: &Batch| {
                other.file == batch.file
                    && !other.interrupted
                    && other.finished_at > batch.finished_at
            };
            if batches.iter().any(|(_, other)| later(other)) {
                return Ok(false);
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(true),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_its_file_and_its_content() {
        let names = ["a", "b", "ab", "", "aa"];
        let ids = names
            .iter()
            .flat_map(|file| names.map(|etag| batch_id(file, etag)));
        let ids: std::collections::BTreeSet<String> = ids.collect();
        assert_eq!(ids.len(), names.len() * names.len());
        assert_eq!(batch_id("a", "b"), batch_id("a", "b"));
        assert!(ids.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn pieces_are_whole_characters() {
        assert_eq!(pieces(""), Vec::<&str>::new());
        let text = "aé🦀".repeat(PIECE_BYTES_MAX / 3);
        let cut = pieces(&text);
        assert!(cut.len() > 2 && cut.iter().all(|piece| piece.len() <= PIECE_BYTES_MAX));
        assert_eq!(cut.concat(), text);
    }
}
