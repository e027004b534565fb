//! One batch: its file is read on a thread of its own, a chunk at a time, taken in, and checkpointed.
//!
//! Whoever works on a batch begins at its checkpoint. Some rows may be done again, because a worker died between taking a chunk
//! in and moving the checkpoint, or because two work at once. They get the same answers, because each row is taken in under its
//! place in the batch, and checked against the time at which the batch was received.

use std::sync::Arc;

use revtrail_core::promotion::redemption::Redemption;
use revtrail_core::record::{AcceptanceWindow, RecordProblem};
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_files::{FileFault, Layout, Records};
use revtrail_storage::fault::FilesError;
use revtrail_storage::files::Files;
use revtrail_store::batches::{Batch, BatchState, RejectedRows};
use revtrail_store::market::Market;
use revtrail_store::promotions::redeem::{Arrival, PromotionRecord, Taken};
use revtrail_store::{Store, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use crate::rows::rows;
use revtrail_storage::file::File;

/// How many turns in a row may take in no row before the batch fails. By then, reading up to the checkpoint takes longer than a
/// call may.
const STALLS_MAX: u32 = 3;
/// How many batches take a chunk in at the same time.
const TURNS: usize = 2;
/// How often the clock is checked while the file is read up to the checkpoint.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// Why a turn ended early. The batch is at its checkpoint, and another turn may go on with it.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The storage of the file, or of the results, failed.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The thread that reads the file died.
    #[error("the reader of the file died")]
    Reader,
}

/// How a turn on a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchEnd {
    /// The batch is done, or has failed.
    Ended,
    /// The file is gone, or has another content. The batch has failed, and goes on when the same content is there again.
    Interrupted,
    /// Time was up, or enough rows were taken in. The batch waits for its next turn.
    Later,
}

/// How much is done at once. This is all that may differ between a test and a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most rows of a chunk, which is what is done again after a worker died.
    pub chunk_rows: usize,
    /// The most bytes of a chunk that has more than one row. All of the chunk may have to be stored as rejected, in one
    /// transaction, where a quote takes two bytes.
    pub chunk_bytes: usize,
    /// How many rows a turn takes in before others have their turn. The next turn reads up to the checkpoint again, a million
    /// rows in about a second. So a turn should be some minutes of taking rows in.
    pub invocation_rows: u64,
    /// The most bytes of a file after decompression. A file with more fails behind them, because a few bytes of gzip may hold any
    /// number of rows.
    pub unpacked_bytes: u64,
    /// How many rejected rows of a batch are listed at most. The others are only counted.
    pub listed_rows: u64,
    /// The most bytes of the lines that list them.
    pub listed_bytes: u64,
}

impl BatchLimits {
    /// The limits of a deployment.
    pub const DEFAULT: Self = Self {
        chunk_rows: 500,
        chunk_bytes: 1 << 20,
        invocation_rows: 20_000,
        unpacked_bytes: 1 << 30,
        listed_rows: 100_000,
        listed_bytes: 64 << 20,
    };
}

/// The batches over a table, and the place where files are stored. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct BatchWorker {
    /// The table that the batches are stored in.
    pub store: Store,
    /// The deployment's retention.
    pub retention: Retention,
    /// Where the files are stored.
    pub files: Files,
    /// How much is done at once.
    pub limits: BatchLimits,
    /// How many batches take a chunk in at the same time. Whoever waits the longest is next, so each marketplace has its turn
    /// after a chunk of each other one.
    pub turns: Arc<Semaphore>,
}

/// A row that was read, by its place among the rows.
struct Read {
    row: u64,
    line: u64,
    text: String,
    redemption: Result<Redemption, RecordProblem>,
}

/// What the reader sends next.
enum Next {
    Chunk(Vec<Read>),
    End(End),
}

/// How the reading ended.
enum End {
    Whole,
    /// The file cannot be read to its end, and why.
    Broken(String),
    /// The file is no longer what it was.
    Gone(FilesError),
    /// The storage of the file failed.
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

impl BatchWorker {
    /// The batches with the limits of a deployment.
    pub fn new(store: Store, retention: Retention, files: Files) -> Self {
        Self {
            store,
            retention,
            files,
            limits: BatchLimits::DEFAULT,
            turns: Arc::new(Semaphore::new(TURNS)),
        }
    }

    /// Waits for a turn, which lasts as long as the value that is returned. The semaphore is never closed.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// Works on the batch of a file and its ETag until it has ended or the clock shows `stop_at`. A batch that has ended is left
    /// alone.
    ///
    /// # Errors
    /// The table, or the storage of the file, failed: the same call may be tried again.
    pub async fn work(
        &self,
        file: &File,
        etag: &str,
        clock: &(dyn Fn() -> Instant + Sync),
        stop_at: Instant,
    ) -> Result<BatchEnd, BatchError> {
        let market = self.store.market(&file.marketplace, self.retention);
        let mut batch = market
            .batches()
            .receive_batch(&file.key, etag, clock())
            .await?;
        if batch.interrupted && self.files.holds(&file.key, etag).await? {
            batch = resume(&market, batch, clock()).await?;
        }
        let layout = match &file.kind {
            Ok(layout) => *layout,
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
        let mut reader = self.read(file, layout, &batch);
        loop {
            if batch.has_ended() {
                return Ok(ended_invocation(&batch));
            }
            if batch.tally.rows - begun_at >= self.limits.invocation_rows {
                return Ok(BatchEnd::Later);
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
                Some(Next::Chunk(chunk)) => {
                    let _turn = self.turn().await;
                    take(&market, batch, &chunk, self.limits, clock()).await?
                }
                None => batch,
            };
        }
    }

    /// Reads a file from the batch's checkpoint on, on a thread of its own, one chunk ahead.
    fn read(&self, file: &File, layout: Layout, batch: &Batch) -> mpsc::Receiver<Next> {
        let (sender, receiver) = mpsc::channel(1);
        let (files, key, limits) = (self.files.clone(), file.key.clone(), self.limits);
        let (etag, skip, ended) = (batch.etag.clone(), batch.tally.rows, batch.has_ended());
        // The time is that of the batch and not of the turn: whether a row is accepted must not change when the row is read
        // again.
        let acceptance_window = AcceptanceWindow {
            now: batch.started_at,
            retention: self.retention,
        };
        if !ended {
            tokio::task::spawn_blocking(move || {
                let end = read(
                    &files,
                    &key,
                    layout,
                    &etag,
                    skip,
                    acceptance_window,
                    limits,
                    &sender,
                );
                // If the turn is over, nobody receives this.
                drop(sender.blocking_send(Next::End(end)));
            });
        }
        receiver
    }

    /// Checks a file again that looks broken, because it may have been overwritten while it was read.
    async fn looked_at_again(&self, file: &File, etag: &str, end: End) -> Result<End, FilesError> {
        match end {
            End::Broken(_) if !self.files.holds(&file.key, etag).await? => {
                Ok(End::Gone(FilesError::Overwritten))
            }
            end => Ok(end),
        }
    }

    /// Ends a batch whose file was read, with its results beside it. If the file has changed, no results are written, because
    /// they would replace those of its new content.
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
            match market
                .batches()
                .move_batch(&batch, ended, &RejectedRows::default(), now)
                .await?
            {
                Some(ended) => return Ok(ended),
                None => batch = again(market, &batch, now).await?,
            }
            if batch.has_ended() {
                return Ok(batch);
            }
        }
    }

    /// Writes `rejected.csv`, and then `result.json`. Where the second exists, both do.
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

    /// Writes the results of batches again which named a customer who was erased since, if they are still the results beside the file.
    ///
    /// # Errors
    /// The table, or the storage of the results, failed: the same call may be tried again.
    pub async fn write_outdated(
        &self,
        marketplace: &MarketplaceId,
        now: Instant,
    ) -> Result<(), BatchError> {
        let market = self.store.market(marketplace, self.retention);
        for id in market.batches().with_outdated_results().await? {
            let batch = market.batches().batch_by_id(&id, now).await?;
            match batch.as_ref().map(|batch| (batch, File::at(&batch.file))) {
                // Its results are written when it ends.
                Some((batch, _)) if !batch.has_ended() => continue,
                Some((batch, Some(file)))
                    if !batch.interrupted && market.batches().has_results(batch, now).await? =>
                {
                    self.write_results(&market, &file, batch).await?;
                }
                _ => {}
            }
            market.batches().results_written(&id).await?;
        }
        Ok(())
    }

    /// Leaves a batch to the next turn. A batch in which no turn gets on is given up.
    async fn later(
        &self,
        market: &Market,
        file: &File,
        batch: Batch,
        moved: bool,
        now: Instant,
    ) -> Result<BatchEnd, BatchError> {
        if moved {
            return Ok(BatchEnd::Later);
        }
        let stalls = batch.stalls + 1;
        if stalls < STALLS_MAX {
            let to = Batch {
                stalls,
                ..batch.clone()
            };
            // If another worker moved the batch, the batch did not stall.
            market
                .batches()
                .move_batch(&batch, to, &RejectedRows::default(), now)
                .await?;
            return Ok(BatchEnd::Later);
        }
        let why = format!(
            "reading the {} rows that were taken before takes longer than a call may: split the file into smaller ones",
            batch.tally.rows
        );
        self.finish(market, file, batch, End::Broken(why), now)
            .await?;
        Ok(BatchEnd::Ended)
    }
}

fn ended_invocation(batch: &Batch) -> BatchEnd {
    match batch.interrupted {
        true => BatchEnd::Interrupted,
        false => BatchEnd::Ended,
    }
}

/// Lets a batch go on whose file is there again.
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
        batch = match market
            .batches()
            .move_batch(&batch, to, &RejectedRows::default(), now)
            .await?
        {
            Some(resumed) => resumed,
            None => again(market, &batch, now).await?,
        };
    }
    Ok(batch)
}

/// The batch as another worker left it.
async fn again(market: &Market, batch: &Batch, now: Instant) -> Result<Batch, StoreError> {
    let stands = market.batches().batch_by_id(&batch.batch_id, now).await?;
    stands.ok_or(StoreError::Contended {
        op: "working at a batch",
    })
}

/// Takes a chunk in, except for rows that another worker has taken in, and moves the checkpoint.
async fn take(
    market: &Market,
    mut batch: Batch,
    chunk: &[Read],
    limits: BatchLimits,
    now: Instant,
) -> Result<Batch, StoreError> {
    loop {
        let taken = chunk.partition_point(|read| read.row < batch.tally.rows);
        let rest = &chunk[taken..];
        if rest.is_empty() || batch.has_ended() {
            return Ok(batch);
        }
        let (to, rejected) = outcomes(market, &batch, rest, limits, now).await?;
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

/// Takes rows in. Returns the batch as it is afterwards, and the rows that were rejected.
async fn outcomes(
    market: &Market,
    batch: &Batch,
    rows: &[Read],
    limits: BatchLimits,
    now: Instant,
) -> Result<(Batch, RejectedRows), StoreError> {
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
    let mut to = Batch {
        state: BatchState::Running,
        stalls: 0,
        ..batch.clone()
    };
    let mut rejected = RejectedRows::default();
    for read in rows {
        let outcome = match &read.redemption {
            Err(problem) => Taken::Rejected(problem.clone()),
            Ok(_) => taken.next().ok_or(StoreError::Contended {
                op: "taking redemptions in",
            })?,
        };
        to.tally.rows += 1;
        match outcome {
            Taken::Accepted => to.tally.accepted += 1,
            Taken::Duplicate => to.tally.duplicates += 1,
            Taken::Quarantined => to.tally.quarantined += 1,
            Taken::Rejected(problem) => {
                to.tally.rejected += 1;
                *rejected.by_code.entry(problem.code.text()).or_default() += 1;
                // Where one row is not listed, no later one is: the list is a beginning, and not a choice.
                let is_listed =
                    to.rejected_unlisted == 0 && to.tally.rejected <= limits.listed_rows;
                let line = is_listed.then(|| rejected_line(read, &problem));
                let room = limits.listed_bytes - to.rejected_bytes;
                match line.filter(|line| line.len() as u64 <= room) {
                    Some(line) => {
                        to.rejected_bytes += line.len() as u64;
                        rejected.lines.push_str(&line);
                    }
                    None => to.rejected_unlisted += 1,
                }
            }
        }
    }
    Ok((to, rejected))
}

/// A line of `rejected.csv`.
fn rejected_line(read: &Read, problem: &RecordProblem) -> String {
    let (line, code) = (read.line.to_string(), problem.code.text());
    let mut csv = csv::Writer::from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = csv.write_record([&line, &code, &problem.detail, &read.text]);
    let written = csv.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&written).into_owned()
}

/// Reads a file to its end, and sends its rows from `skip` on in chunks.
#[expect(clippy::too_many_arguments, reason = "what a thread is given")]
fn read(
    files: &Files,
    key: &str,
    layout: Layout,
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
    let rows = rows(bytes, layout);
    match rows.and_then(|mut rows| read_rows(&mut rows, skip, acceptance_window, limits, to)) {
        Ok(()) => End::Whole,
        Err(FileFault::Content(why)) => End::Broken(why),
        Err(FileFault::Source(error)) => match error.downcast::<FilesError>() {
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
) -> Result<(), FileFault> {
    for row in 0..skip {
        // The channel is checked now and then. Otherwise reading up to a checkpoint would go on after its turn.
        let unheard = row % 1_000 == 0 && to.is_closed();
        if unheard || !rows.skip()? {
            return Ok(());
        }
    }
    let (mut row, mut bytes, mut chunk) = (skip, 0, Vec::new());
    let send = |chunk: Vec<Read>| chunk.is_empty() || to.blocking_send(Next::Chunk(chunk)).is_ok();
    loop {
        let line = match too_much(rows.bytes_read(), limits).and_then(|()| rows.next_line()) {
            Ok(Some(line)) => line,
            // Rows before a fault are taken in.
            end => {
                let ended = end.map(drop);
                send(chunk);
                return ended.and_then(|()| too_much(rows.bytes_read(), limits));
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

/// Whether this is more than a file may hold after decompression.
fn too_much(bytes: u64, limits: BatchLimits) -> Result<(), FileFault> {
    match bytes > limits.unpacked_bytes {
        true => Err(FileFault::Content(too_large(limits))),
        false => Ok(()),
    }
}

/// Why a file of more bytes than it may hold is not read to its end.
pub fn too_large(limits: BatchLimits) -> String {
    format!(
        "the file holds more than {} MiB unpacked: split it, or let whoever runs revtrail raise this limit (--file-mib-max, FileMibMax)",
        limits.unpacked_bytes >> 20
    )
}
