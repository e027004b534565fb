//! From files to rows: blocks of plain rows by several workers, and everything else by the one reader of records.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use indicatif::ProgressBar;
use revtrail_core::attribution::event::{self, Event};
use revtrail_core::attribution::order::{self, Order};
use revtrail_core::attribution::plain::{PlainEvent, PlainOrder, PlainRecipient};
use revtrail_core::record::{Code, Record, RecordProblem};
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::Instant;
use revtrail_files::{BLOCK_BYTES, Block, Field, FileFault, NotPlain, PlainRow, Plan, read_blocks};
use revtrail_providers::exports::Makes;

use super::Failure;
use super::numbers::{Ends, Numbers};
use super::read::{each_of_export, failure, open, plain};
use super::rows::Free;
use super::segments::{Partitioning, RowWriter, Segments};
use crate::exports::{Export, Exports, Opened};

/// How a run reads. The answer does not depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// How many threads read and decide.
    pub threads: usize,
    /// How many bytes a worker reads at a time.
    pub block_bytes: usize,
    /// False where every record goes through the one reader.
    pub by_blocks: bool,
    /// How many bytes of events are kept in memory. The others go to a temporary file.
    pub memory_bytes: usize,
    /// Into how many parts customers are cut; `None` for as many as the size of the files asks for.
    pub partitions: Option<usize>,
}

/// How many bytes of events are kept in memory if nobody says it.
const MEMORY_BYTES: usize = 24 << 20;

impl Tuning {
    /// As many threads as were asked for, or else as many as the machine has cores; and as much memory.
    pub(super) fn new(threads: Option<usize>, memory_bytes: Option<usize>) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads: threads.unwrap_or_else(cores).max(1),
            block_bytes: BLOCK_BYTES,
            by_blocks: true,
            memory_bytes: memory_bytes.unwrap_or(MEMORY_BYTES),
            partitions: None,
        }
    }
}

/// Reads the rows of one kind of fact.
pub(super) trait RowReader: Send {
    /// What the rows are.
    const MAKES: Makes;
    /// The columns that a file must have.
    const NEEDED: &'static [&'static str];
    /// The fields that a plain row is read by.
    const FIELDS: &'static [Field];

    /// Takes a plain row; returns false where the one reader must look.
    fn take_plain(&mut self, row: &PlainRow<'_>) -> bool;

    /// Takes a record.
    fn take(&mut self, line: u64, record: &Record<'_>) -> Result<(), RecordProblem>;

    fn rows(&mut self) -> &mut RowWriter;
}

/// What was read of a file.
#[derive(Debug)]
pub(super) enum Taken {
    Rows(Segments),
    /// A row that was rejected: its line, and why.
    Rejected(u64, RecordProblem),
}

/// Reads a file, and gives what it holds to `take`, in the order of the lines.
///
/// # Errors
/// The file cannot be read to its end, or `take` fails.
pub(super) fn read_file<W: RowReader>(
    path: &Path,
    file: usize,
    workers: &mut [W],
    tuning: &Tuning,
    exports: &Exports,
    bar: &ProgressBar,
    mut take: impl FnMut(Taken) -> Result<(), Failure> + Send,
) -> Result<(), Failure> {
    #[cfg(feature = "parquet")]
    if super::read::is_parquet(path) {
        return super::parquet::read_file(path, file, workers, tuning, bar, take);
    }
    let fault = |fault| failure(path, fault);
    let bytes = match open(path, (W::MAKES, W::NEEDED), exports, bar)? {
        Opened::Plain(bytes) => bytes,
        Opened::Export(export) => {
            return read_export(path, file, export, exports, &mut workers[0], take);
        }
    };
    let mut records = plain(path, bytes, W::NEEDED)?;
    let plan = records.plan(W::FIELDS);
    let plan = plan.map_err(|why| failure(path, or_unknown(why)))?;
    let mut one_by_one = 0;
    loop {
        let (mut taken, mut blocks) = (Ok(()), 0);
        if tuning.by_blocks {
            let not_plain = read_blocks(
                &mut records,
                workers,
                tuning.block_bytes,
                |worker, block| {
                    let rejects = read_block(worker, &plan, block)?;
                    Ok((worker.rows().take(file), rejects))
                },
                |(rows, rejects)| {
                    blocks += 1;
                    let rejects = rejects
                        .into_iter()
                        .map(|(line, problem)| Taken::Rejected(line, problem));
                    let all = std::iter::once(Taken::Rows(rows)).chain(rejects);
                    let before = std::mem::replace(&mut taken, Ok(()));
                    taken = before.and_then(|()| all.into_iter().try_for_each(&mut take));
                },
            );
            // Where one block after the other is not plain, fewer of them are tried.
            one_by_one = match blocks {
                0 => not_plain.max(2 * one_by_one),
                _ => not_plain,
            };
        }
        taken?;
        let until = match tuning.by_blocks {
            true => records.bytes_read() + one_by_one,
            false => u64::MAX,
        };
        let worker = &mut workers[0];
        let mut kept_from = records.bytes_read();
        loop {
            let line = records.next_line().map_err(fault)?;
            let ended = line.is_none();
            if let Some(line) = line {
                let record = line
                    .record
                    .and_then(|record| worker.take(line.number, &record));
                if let Err(problem) = record {
                    take(Taken::Rejected(line.number, line.spoilt.explain(problem)))?;
                }
            }
            let read = records.bytes_read();
            if ended || read >= until || read - kept_from > tuning.block_bytes as u64 {
                kept_from = read;
                take(Taken::Rows(worker.rows().take(file)))?;
            }
            if ended {
                return Ok(());
            }
            if read >= until {
                break;
            }
        }
    }
}

/// A header without our columns may be that of another program.
fn or_unknown(fault: FileFault) -> FileFault {
    match fault {
        FileFault::Content(why) if why.starts_with("the header has no column") => {
            let hint = "is it an export of another program? --show-map helps to describe it";
            FileFault::Content(format!("{why}; {hint}"))
        }
        fault => fault,
    }
}

/// How many records of an export are given on at a time, unless they are long.
const RECORDS_AT_A_TIME: usize = 10_000;

fn read_export<W: RowReader>(
    path: &Path,
    file: usize,
    export: Export<'_>,
    exports: &Exports,
    worker: &mut W,
    mut take: impl FnMut(Taken) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut records = 0;
    each_of_export(path, export, exports, |line, record| {
        if let Err(problem) = record.and_then(|record| worker.take(line, record)) {
            take(Taken::Rejected(line, problem))?;
        }
        records += 1;
        match records % RECORDS_AT_A_TIME == 0 || worker.rows().bytes() > BLOCK_BYTES {
            true => take(Taken::Rows(worker.rows().take(file))),
            false => Ok(()),
        }
    })?;
    take(Taken::Rows(worker.rows().take(file)))
}

/// A rejected row: its line and why.
type Reject = (u64, RecordProblem);

fn read_block<W: RowReader>(
    worker: &mut W,
    plan: &Plan,
    block: &Block,
) -> Result<Vec<Reject>, NotPlain> {
    let mut rejects = Vec::new();
    let read = plan.rows(block, |row| {
        if worker.take_plain(row) {
            return;
        }
        let record = plan.record(row);
        if let Err(problem) = record.and_then(|record| worker.take(row.line, &record)) {
            rejects.push((row.line, problem));
        }
    });
    if read.is_err() {
        worker.rows().clear();
    }
    read.map(|()| rejects)
}

/// A campaign that events name, with the earliest of them on each channel.
pub(super) type SeenCampaign = (Box<str>, [Option<Instant>; 3]);

/// The numbers of campaigns, the same for all workers. A worker asks once for each campaign.
#[derive(Debug, Clone, Default)]
pub(super) struct CampaignNumbers(Arc<Mutex<HashMap<Box<str>, u32, RandomState>>>);

impl CampaignNumbers {
    fn of(&self, id: &str) -> u32 {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = numbers.len() as u32;
        *numbers.entry(id.into()).or_insert(next)
    }
}

/// Reads events.
#[derive(Debug)]
pub(super) struct EventReader {
    rows: RowWriter,
    marketplace: MarketplaceId,
    /// True where the files are exports of the marketplace, so that their events name addresses by its hashes.
    is_export: bool,
    numbers: CampaignNumbers,
    /// The places of campaigns in the next lists. Each list is short, so that a cache holds it.
    places: Numbers,
    ends: Vec<Ends>,
    campaigns: Vec<(Box<str>, u32)>,
    /// When the earliest event of each campaign was on each channel, or [`i64::MAX`].
    first_ms: Vec<[i64; 3]>,
    /// True once an event went to an address.
    pub(super) by_address: bool,
}

impl EventReader {
    pub(super) fn new(
        partitioning: Partitioning,
        numbers: CampaignNumbers,
        export_of: Option<MarketplaceId>,
    ) -> Self {
        Self {
            rows: RowWriter::new(partitioning),
            is_export: export_of.is_some(),
            marketplace: export_of.unwrap_or_else(MarketplaceId::of_files),
            numbers,
            places: Numbers::default(),
            ends: Vec::new(),
            campaigns: Vec::new(),
            first_ms: Vec::new(),
            by_address: false,
        }
    }

    /// The campaigns that some readers saw, by number.
    pub(super) fn campaigns_of(readers: Vec<Self>) -> Vec<SeenCampaign> {
        let mut all: Vec<SeenCampaign> = Vec::new();
        let of_reader = |reader: Self| reader.campaigns.into_iter().zip(reader.first_ms);
        for ((campaign, number), first_ms) in readers.into_iter().flat_map(of_reader) {
            let number = number as usize;
            all.resize_with(all.len().max(number + 1), SeenCampaign::default);
            let (id, firsts) = &mut all[number];
            *id = campaign;
            for (first, ms) in firsts.iter_mut().zip(first_ms) {
                let other = (ms < i64::MAX).then(|| Instant::from_ms(ms));
                *first = first.iter().copied().chain(other).min();
            }
        }
        all
    }

    #[inline]
    fn put(&mut self, event: &PlainEvent<'_>) {
        let id = event.campaign_id;
        let (known, campaigns) = (&self.ends, &self.campaigns);
        let (hash, ends) = (
            self.rows.hashing().of(id.as_bytes()),
            Ends::of(id.as_bytes()),
        );
        let (place, is_new) = self.places.number(hash, |place| {
            let place = place as usize;
            known[place] == ends && (ends.is_all() || *campaigns[place].0 == *id)
        });
        if is_new {
            self.ends.push(ends);
            self.campaigns.push((id.into(), self.numbers.of(id)));
            self.first_ms.push([i64::MAX; 3]);
        }
        let first = &mut self.first_ms[place as usize][event.channel as usize];
        *first = event.occurred_at.ms().min(*first);
        self.by_address |= matches!(event.recipient, PlainRecipient::Address(_));
        let (_, number) = self.campaigns[place as usize];
        self.rows.put_event(event, number);
    }
}

impl RowReader for EventReader {
    const MAKES: Makes = Makes::Events;
    const NEEDED: &'static [&'static str] = &event::NEEDED;
    const FIELDS: &'static [Field] = &{
        let [a, b, c, d, e, email, phone, f, g, machine, h, i, j] = PlainEvent::FIELDS;
        [
            Field::Text(a),
            Field::Text(b),
            Field::Text(c),
            Field::Text(d),
            Field::Text(e),
            Field::Text(email),
            Field::Text(phone),
            Field::Text(f),
            Field::Instant(g),
            Field::Flag(machine),
            Field::Text(h),
            Field::Text(i),
            Field::Text(j),
        ]
    };

    fn take_plain(&mut self, row: &PlainRow<'_>) -> bool {
        let fields = row.cells.and_then(|cells| cells.first_chunk());
        let files = &self.marketplace;
        let at = row.instants[PlainEvent::OCCURRED_AT];
        let event = fields.and_then(|fields| PlainEvent::read(fields, at, files, row.calm));
        event.inspect(|event| self.put(event)).is_some()
    }

    fn take(&mut self, _: u64, record: &Record<'_>) -> Result<(), RecordProblem> {
        let event = match self.is_export {
            true => Event::read_exported(record, &self.marketplace)?,
            false => Event::read(record, &self.marketplace, None)
                .map_err(|problem| ask_for_marketplace(record, problem))?,
        };
        self.put(&PlainEvent::from(&event));
        Ok(())
    }

    fn rows(&mut self) -> &mut RowWriter {
        &mut self.rows
    }
}

/// What is wrong with an event that says nothing but the hash of an address: the hash is that of a marketplace.
fn ask_for_marketplace(record: &Record<'_>, problem: RecordProblem) -> RecordProblem {
    let is_hash = matches!(record.text("address"), Ok(Some(_)));
    match is_hash
        && problem.code == Code::Missing
        && problem.field.as_deref() == Some("customer_id")
    {
        true => RecordProblem::of("address", Code::BadAddress, ASK_FOR_MARKETPLACE),
        false => problem,
    }
}

const ASK_FOR_MARKETPLACE: &str = "address: the hash of an address is one of a marketplace: name the marketplace of this export by --marketplace";

/// Reads orders.
#[derive(Debug)]
pub(super) struct OrderReader(RowWriter);

impl OrderReader {
    pub(super) fn new(partitioning: Partitioning) -> Self {
        Self(RowWriter::new(partitioning))
    }
}

impl RowReader for OrderReader {
    const MAKES: Makes = Makes::Orders;
    const NEEDED: &'static [&'static str] = &order::NEEDED;
    const FIELDS: &'static [Field] = &{
        let [a, b, c, total, d, e, f, refunded] = PlainOrder::FIELDS;
        let [g, h, i, j, k, l] = PlainOrder::FREE_FIELDS;
        [
            Field::Text(a),
            Field::Text(b),
            Field::Text(c),
            Field::Amount(total),
            Field::Text(d),
            Field::Instant(e),
            Field::Instant(f),
            Field::Amount(refunded),
            Field::Text(g),
            Field::List(h),
            Field::Text(i),
            Field::Text(j),
            Field::Text(k),
            Field::Text(l),
            Field::List("items"),
        ]
    };

    fn take_plain(&mut self, row: &PlainRow<'_>) -> bool {
        let Some(cells) = row.cells else {
            return false;
        };
        let fields = cells.first_chunk();
        let free = cells
            .get(8..)
            .and_then(|cells| cells.first_chunk().copied());
        let times = PlainOrder::TIMES.map(|field| row.instants[field]);
        let order = fields.and_then(|fields| PlainOrder::read(fields, times, row.calm));
        match (order, free) {
            (Some(order), Some(free)) => {
                self.0.put_order(&order, Free::Cells(free), row.line);
                true
            }
            _ => false,
        }
    }

    fn take(&mut self, line: u64, record: &Record<'_>) -> Result<(), RecordProblem> {
        let order = Order::read(record, None)?;
        let json = serde_json::to_string(&order)
            .map_err(|error| RecordProblem::whole(Code::NotJson, error.to_string()))?;
        self.0
            .put_order(&PlainOrder::from(&order), Free::Json(&json), line);
        Ok(())
    }

    fn rows(&mut self) -> &mut RowWriter {
        &mut self.0
    }
}
