//! One batch: its file is read on a thread of its own, a chunk at a time, taken in, and checkpointed.
//!
//! Whoever works at a batch begins where its checkpoint stands. What is done again, because a worker died between taking a chunk in
//! and moving the checkpoint, or because two work at once, has the same answers: each row is taken in under its place in the
//! batch, and held against the time at which the batch was received.

use revtrail_core::promotion::redemption::Redemption;
use revtrail_core::record::{AcceptanceWindow, Problem};
use revtrail_core::value::time::{Instant, Retention};
use revtrail_files::{Fault, Records};
use revtrail_store::batches::{Batch, BatchState, RowCounts};
use revtrail_store::market::Market;
use revtrail_store::promotions::redeem::{Arrival, PromotionRecord, Taken};
use revtrail_store::{Store, StoreError};
use tokio::sync::mpsc;

use crate::file::{File, Kind};
use crate::files::{Files, FilesError};
use crate::rows::rows;

/// Turns in a row without a row after which a batch fails: then reading up to the checkpoint takes longer than a call may.
const STALLS_MAX: u32 = 3;
/// How often the clock is looked at while the file is read up to the checkpoint.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// Why a turn ended early. The batch stands as its checkpoint says, and may be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What holds the file, or the results.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The thread that reads.
    #[error("the reader of the file died")]
    Reader,
}

/// How a turn at a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invocation {
    /// The batch is done, or has failed.
    Ended,
    /// The file is gone, or another one: the batch has failed, and goes on when the same content is there again.
    Interrupted,
    /// Time was up, or enough rows were taken; the batch waits to be gone on with.
    Later,
}

/// How much at once; what may differ between a test and a deployment, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most rows of a chunk: what is done again after a worker died.
    pub chunk_rows: usize,
    /// Most bytes of a chunk, where it is more than one row: all of it may have to be kept as rejected, in one transaction, and a
    /// quote takes two bytes there.
    pub chunk_bytes: usize,
    /// Rows of a turn, after which others may have theirs. Whoever goes on reads up to the checkpoint again, a million rows in
    /// about a second; so a turn is some minutes of taking rows in.
    pub invocation_rows: u64,
}

impl BatchLimits {
    /// What is deployed.
    pub const DEFAULT: Self = Self {
        chunk_rows: 500,
        chunk_bytes: 1 << 20,
        invocation_rows: 20_000,
    };
}

/// The batches over a table and the place where files lie. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Batches {
    /// The table.
    pub store: Store,
    /// The deployment's retention.
    pub retention: Retention,
    /// Where files lie.
    pub files: Files,
    /// How much at once.
    pub limits: BatchLimits,
}

/// A row that was read, by its place among the rows.
struct Read {
    row: u64,
    line: u64,
    text: String,
    redemption: Result<Redemption, Problem>,
}

/// What the reader says next.
enum Next {
    Chunk(Vec<Read>),
    End(End),
}

/// How the reading ended.
enum End {
    Whole,
    /// The file is at fault.
    Broken(String),
    /// The file is not what it was.
    Gone(FilesError),
    /// What holds the file is.
    Failed(FilesError),
}

impl From<FilesError> for End {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::Vanished | FilesError::Overwritten => Self::Gone(error),
            FilesError::Mixed => Self::Broken(error.to_string()),
            FilesError::Failed { .. } => Self::Failed(error),
        }
    }
}

impl Batches {
    /// The batches as they are deployed.
    pub fn new(store: Store, retention: Retention, files: Files) -> Self {
        Self {
            store,
            retention,
            files,
            limits: BatchLimits::DEFAULT,
        }
    }

    /// Works at the batch of a file and its ETag until it has ended or the clock shows `stop_at`. One that has ended is left alone.
    ///
    /// # Errors
    /// The table, or what holds the file: the same may be tried again.
    pub async fn work(
        &self,
        file: &File,
        etag: &str,
        clock: &(dyn Fn() -> Instant + Sync),
        stop_at: Instant,
    ) -> Result<Invocation, BatchError> {
        let market = self.store.market(&file.marketplace, self.retention);
        let mut batch = market
            .batches()
            .receive_batch(&file.key, etag, clock())
            .await?;
        if batch.interrupted && self.files.holds(&file.key, etag).await? {
            batch = resume(&market, batch, clock()).await?;
        }
        let kind = match &file.kind {
            Ok(kind) => *kind,
            Err(why) => {
                let refused = End::Broken(why.clone());
                let ended = match batch.has_ended() {
                    true => batch,
                    false => self.finish(&market, file, batch, refused, clock()).await?,
                };
                return Ok(ended_invocation(&ended));
            }
        };
        let begun_at = batch.tally.rows;
        let mut reader = self.read(file, kind, &batch);
        loop {
            if batch.has_ended() {
                return Ok(ended_invocation(&batch));
            }
            if batch.tally.rows - begun_at >= self.limits.invocation_rows {
                return Ok(Invocation::Later);
            }
            let next = match tokio::time::timeout(LOOK, reader.recv()).await {
                Ok(next) => Some(next.ok_or(BatchError::Reader)?),
                Err(_) => None,
            };
            batch = match next {
                _ if clock() >= stop_at => {
                    let moved = batch.tally.rows > begun_at;
                    return self.later(&market, file, batch, moved, clock()).await;
                }
                Some(Next::End(end)) => {
                    let end = self.looked_at_again(file, etag, end).await?;
                    self.finish(&market, file, batch, end, clock()).await?
                }
                Some(Next::Chunk(chunk)) => take(&market, batch, &chunk, clock()).await?,
                None => batch,
            };
        }
    }

    /// Reads a file from a batch's checkpoint on, on a thread of its own, one chunk ahead.
    fn read(&self, file: &File, kind: Kind, batch: &Batch) -> mpsc::Receiver<Next> {
        let (sender, receiver) = mpsc::channel(1);
        let (files, key, limits) = (self.files.clone(), file.key.clone(), self.limits);
        let (etag, skip, ended) = (batch.etag.clone(), batch.tally.rows, batch.has_ended());
        // The time of the batch and not of the turn: whether a row is let in must not change when it is read again.
        let acceptance_window = AcceptanceWindow {
            now: batch.started_at,
            retention: self.retention,
        };
        if !ended {
            tokio::task::spawn_blocking(move || {
                let end = read(
                    &files,
                    &key,
                    kind,
                    &etag,
                    skip,
                    acceptance_window,
                    limits,
                    &sender,
                );
                // Nobody listens where the turn is over.
                drop(sender.blocking_send(Next::End(end)));
            });
        }
        receiver
    }

    /// What looks broken may have been overwritten while it was read.
    async fn looked_at_again(&self, file: &File, etag: &str, end: End) -> Result<End, FilesError> {
        match end {
            End::Broken(_) if !self.files.holds(&file.key, etag).await? => {
                Ok(End::Gone(FilesError::Overwritten))
            }
            end => Ok(end),
        }
    }

    /// Ends a batch whose file was read, with its results beside it. Results of a file that is not what it was would take the place
    /// of those of its new content.
    async fn finish(
        &self,
        market: &Market,
        file: &File,
        mut batch: Batch,
        end: End,
        now: Instant,
    ) -> Result<Batch, BatchError> {
        let (state, detail, interrupted) = match end {
            End::Whole => (BatchState::Done, None, false),
            End::Broken(why) => (BatchState::Failed, Some(why), false),
            End::Gone(error) => {
                let why = format!(
                    "{error}: at least {} rows of what it held before were taken",
                    batch.tally.rows
                );
                (BatchState::Failed, Some(why), true)
            }
            End::Failed(error) => return Err(error.into()),
        };
        loop {
            let ended = Batch {
                state,
                detail: detail.clone(),
                finished_at: Some(now),
                interrupted,
                ..batch.clone()
            };
            if !interrupted {
                self.write_results(market, file, &ended).await?;
            }
            match market.batches().move_batch(&batch, ended, "", now).await? {
                Some(ended) => return Ok(ended),
                None => batch = again(market, &batch, now).await?,
            }
            if batch.has_ended() {
                return Ok(batch);
            }
        }
    }

    /// `rejected.csv`, and then `result.json`: where that is, all is.
    async fn write_results(
        &self,
        market: &Market,
        file: &File,
        batch: &Batch,
    ) -> Result<(), BatchError> {
        let key = file.result("rejected.csv");
        let mut rejected = self.files.write(&key, "text/csv; charset=utf-8")?;
        rejected.add(b"line,code,detail,record\n").await?;
        let mut after = None;
        loop {
            let (pieces, next) = market.batches().batch_rejected(batch, after).await?;
            for piece in pieces {
                rejected.add(piece.as_bytes()).await?;
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        rejected.finish().await?;
        let key = file.result("result.json");
        let mut result = self.files.write(&key, "application/json")?;
        let json = serde_json::to_string_pretty(batch).unwrap_or_default();
        result.add(format!("{json}\n").as_bytes()).await?;
        Ok(result.finish().await?)
    }

    /// Leaves a batch to the next turn; one in which nobody gets on is given up.
    async fn later(
        &self,
        market: &Market,
        file: &File,
        batch: Batch,
        moved: bool,
        now: Instant,
    ) -> Result<Invocation, BatchError> {
        if moved {
            return Ok(Invocation::Later);
        }
        let stalls = batch.stalls + 1;
        if stalls < STALLS_MAX {
            let to = Batch {
                stalls,
                ..batch.clone()
            };
            // Where another moved it, it did not stall.
            market.batches().move_batch(&batch, to, "", now).await?;
            return Ok(Invocation::Later);
        }
        let why = format!(
            "reading the {} rows that were taken before takes longer than a call may: split the file into smaller ones",
            batch.tally.rows
        );
        self.finish(market, file, batch, End::Broken(why), now)
            .await?;
        Ok(Invocation::Ended)
    }
}

fn ended_invocation(batch: &Batch) -> Invocation {
    match batch.interrupted {
        true => Invocation::Interrupted,
        false => Invocation::Ended,
    }
}

/// Has a batch go on whose file is there again.
async fn resume(market: &Market, mut batch: Batch, now: Instant) -> Result<Batch, StoreError> {
    while batch.interrupted {
        let to = Batch {
            state: match batch.tally.rows {
                0 => BatchState::Received,
                _ => BatchState::Running,
            },
            detail: None,
            finished_at: None,
            stalls: 0,
            interrupted: false,
            ..batch.clone()
        };
        batch = match market.batches().move_batch(&batch, to, "", now).await? {
            Some(resumed) => resumed,
            None => again(market, &batch, now).await?,
        };
    }
    Ok(batch)
}

/// The batch as another left it.
async fn again(market: &Market, batch: &Batch, now: Instant) -> Result<Batch, StoreError> {
    let stands = market.batches().batch_by_id(&batch.batch_id, now).await?;
    stands.ok_or(StoreError::Contended {
        op: "working at a batch",
    })
}

/// Takes a chunk in, but for the rows that another has taken, and moves the checkpoint.
async fn take(
    market: &Market,
    mut batch: Batch,
    chunk: &[Read],
    now: Instant,
) -> Result<Batch, StoreError> {
    loop {
        let taken = chunk.partition_point(|read| read.row < batch.tally.rows);
        let rest = &chunk[taken..];
        if rest.is_empty() || batch.has_ended() {
            return Ok(batch);
        }
        let (tally, rejected) = outcomes(market, &batch, rest, now).await?;
        let to = Batch {
            state: BatchState::Running,
            tally,
            stalls: 0,
            ..batch.clone()
        };
        match market
            .batches()
            .move_batch(&batch, to, &rejected, now)
            .await?
        {
            Some(moved) => return Ok(moved),
            None => batch = again(market, &batch, now).await?,
        }
    }
}

/// Takes rows in; says what the batch counts then, and the lines of `rejected.csv` that they make.
async fn outcomes(
    market: &Market,
    batch: &Batch,
    rows: &[Read],
    now: Instant,
) -> Result<(RowCounts, String), StoreError> {
    let arrival = |read: &Read| {
        let redemption = read.redemption.as_ref().ok()?.clone();
        Some(Arrival {
            entry: PromotionRecord::Redeemed(redemption),
            source: Some(format!("{}/{}", batch.batch_id, read.line)),
        })
    };
    let arrivals: Vec<Arrival> = rows.iter().filter_map(arrival).collect();
    let taken = match arrivals.is_empty() {
        true => Vec::new(),
        false => market.redemptions().take_in(&arrivals, now).await?,
    };
    let mut taken = taken.into_iter();
    let mut tally = batch.tally;
    let mut rejected = csv::Writer::from_writer(Vec::new());
    for read in rows {
        let outcome = match &read.redemption {
            Err(problem) => Taken::Rejected(problem.clone()),
            Ok(_) => taken.next().ok_or(StoreError::Contended {
                op: "taking redemptions in",
            })?,
        };
        tally.rows += 1;
        match outcome {
            Taken::Accepted => tally.accepted += 1,
            Taken::Duplicate => tally.duplicates += 1,
            Taken::Quarantined => tally.quarantined += 1,
            Taken::Rejected(problem) => {
                tally.rejected += 1;
                let (line, code) = (read.line.to_string(), problem.code.text());
                // Writing to memory does not fail.
                let _ = rejected.write_record([&line, &code, &problem.detail, &read.text]);
            }
        }
    }
    let rejected = rejected.into_inner().unwrap_or_default();
    Ok((tally, String::from_utf8_lossy(&rejected).into_owned()))
}

/// Reads a file to its end, and sends its rows from `skip` on in chunks.
#[expect(clippy::too_many_arguments, reason = "what a thread is given")]
fn read(
    files: &Files,
    key: &str,
    kind: Kind,
    etag: &str,
    skip: u64,
    acceptance_window: AcceptanceWindow,
    limits: BatchLimits,
    to: &mpsc::Sender<Next>,
) -> End {
    let bytes = match files.open(key, etag) {
        Ok(bytes) => bytes,
        Err(error) => return error.into(),
    };
    let rows = rows(bytes, kind.format, kind.gzipped);
    match rows.and_then(|mut rows| read_rows(&mut rows, skip, acceptance_window, limits, to)) {
        Ok(()) => End::Whole,
        Err(Fault::Content(why)) => End::Broken(why),
        Err(Fault::Source(error)) => match error.downcast::<FilesError>() {
            Ok(error) => error.into(),
            Err(error) => End::Failed(FilesError::failed("read", key, error)),
        },
    }
}

fn read_rows<R: std::io::Read>(
    rows: &mut Records<R>,
    skip: u64,
    acceptance_window: AcceptanceWindow,
    limits: BatchLimits,
    to: &mpsc::Sender<Next>,
) -> Result<(), Fault> {
    for row in 0..skip {
        // Now and then, or reading up to a checkpoint goes on after its turn.
        let unheard = row % 1_000 == 0 && to.is_closed();
        if unheard || !rows.skip()? {
            return Ok(());
        }
    }
    let (mut row, mut bytes, mut chunk) = (skip, 0, Vec::new());
    let send = |chunk: Vec<Read>| chunk.is_empty() || to.blocking_send(Next::Chunk(chunk)).is_ok();
    loop {
        let line = match rows.next_line() {
            Ok(Some(line)) => line,
            // Rows before a fault are taken.
            end => {
                send(chunk);
                return end.map(drop);
            }
        };
        let read = Read {
            row,
            line: line.number,
            redemption: line
                .record
                .and_then(|r| Redemption::read(&r, &acceptance_window)),
            text: line.text.into_owned(),
        };
        row += 1;
        let full = chunk.len() >= limits.chunk_rows || bytes + read.text.len() > limits.chunk_bytes;
        if full {
            bytes = 0;
            if !send(std::mem::take(&mut chunk)) {
                return Ok(());
            }
        }
        bytes += read.text.len();
        chunk.push(read);
    }
}
