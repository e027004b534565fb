//! From files of Parquet to rows and records.

use std::fs::File;
use std::path::Path;

use indicatif::ProgressBar;
use revtrail_core::record::{Record, RecordProblem};
use revtrail_files::{Field, FileFault, ParquetFile, RowBatch};

use super::intake::{EventReader, OrderReader, RowReader, Taken, Tuning};
use super::read::{failure, is_parquet};
use super::{AttributeArgs, Failure};

/// The fields that a row of campaigns can have.
const CAMPAIGN_FIELDS: [Field; 5] = [
    Field::Text("campaign_id"),
    Field::Text("name"),
    Field::List("tags"),
    Field::Text("sent_at"),
    Field::Flag("triggered"),
];

fn open(path: &Path, fields: &[Field], needed: &[&str]) -> Result<ParquetFile, Failure> {
    let file = File::open(path).map_err(|error| failure(path, FileFault::Source(error)))?;
    ParquetFile::open(file, fields, needed).map_err(|fault| failure(path, fault))
}

/// Of which columns of the files nobody says in which time zone they are.
///
/// # Errors
/// A file cannot be opened.
pub(super) fn notes(args: &AttributeArgs) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    for (paths, fields) in [
        (&args.campaigns, &CAMPAIGN_FIELDS[..]),
        (&args.events, EventReader::FIELDS),
        (&args.orders, OrderReader::FIELDS),
    ] {
        for path in paths.iter().filter(|path| is_parquet(path)) {
            notes.extend(Rows::open(path, fields, &[])?.notes());
        }
    }
    Ok(notes)
}

/// Reads a file, and gives what it holds to `take`, in the order of its rows.
///
/// # Errors
/// The file cannot be read to its end, or `take` fails.
pub(super) fn read_file<W: RowReader>(
    path: &Path,
    file: usize,
    workers: &mut [W],
    tuning: &Tuning,
    bar: &ProgressBar,
    mut take: impl FnMut(Taken) -> Result<(), Failure> + Send,
) -> Result<(), Failure> {
    let parquet = open(path, W::FIELDS, W::NEEDED)?;
    let mut taken = Ok(());
    let mut workers: Vec<(&mut W, usize)> = workers.iter_mut().map(|worker| (worker, 0)).collect();
    let read = parquet.read(
        &mut workers,
        |(worker, bytes), batch| {
            let rejects = read_batch(&mut **worker, batch, tuning.by_blocks);
            *bytes += batch.bytes();
            let is_full = batch.ends_group() || *bytes >= tuning.block_bytes;
            let rows = is_full.then(|| worker.rows().take(file));
            *bytes = if is_full { 0 } else { *bytes };
            (rows, rejects, batch.share())
        },
        |(rows, rejects, share)| {
            let rejects = rejects
                .into_iter()
                .map(|(row, problem)| Taken::Rejected(row, problem));
            let mut all = rows.map(Taken::Rows).into_iter().chain(rejects);
            let before = std::mem::replace(&mut taken, Ok(()));
            taken = before.and_then(|()| all.try_for_each(&mut take));
            bar.inc(share);
        },
    );
    taken?;
    read.map_err(|fault| failure(path, fault))
}

fn read_batch<W: RowReader>(
    worker: &mut W,
    batch: &RowBatch<'_>,
    at_a_glance: bool,
) -> Vec<(u64, RecordProblem)> {
    let mut rejects = Vec::new();
    batch.rows(|row| {
        if at_a_glance && worker.take_plain(row) {
            return;
        }
        let taken = batch.record(row, |record| worker.take(row.line, record));
        if let Err(problem) = taken {
            rejects.push((row.line, batch.explain(row.line, problem)));
        }
    });
    rejects
}

/// Calls `take` with every campaign of a file, and `reject` with each problem and the number of its row; the first row is 1.
///
/// # Errors
/// The file cannot be read to its end, or `reject` fails.
pub(super) fn each_record(
    path: &Path,
    needed: &[&str],
    bar: &ProgressBar,
    mut take: impl FnMut(&Record<'_>) -> Result<(), RecordProblem> + Send,
    mut reject: impl FnMut(u64, &RecordProblem) -> Result<(), Failure> + Send,
) -> Result<(), Failure> {
    let file = Rows::open(path, &CAMPAIGN_FIELDS, needed)?;
    file.each(bar, |number, record| {
        let taken = record(&mut |record| take(record));
        taken.or_else(|problem| reject(number, &problem))
    })
}

/// The rows of a file, one after the other.
pub(crate) struct Rows<'p> {
    path: &'p Path,
    file: ParquetFile,
}

type Outcome = Result<(), RecordProblem>;

/// Calls a function with the record of a row, and adds to a problem what is wrong with the bytes of its field.
type WithRecord<'r> = dyn FnMut(&mut dyn FnMut(&Record<'_>) -> Outcome) -> Outcome + 'r;

impl<'p> Rows<'p> {
    /// Opens a file.
    ///
    /// # Errors
    /// The file cannot be read, or lacks a column that is needed.
    pub(crate) fn open(path: &'p Path, fields: &[Field], needed: &[&str]) -> Result<Self, Failure> {
        let file = open(path, fields, needed)?;
        Ok(Self { path, file })
    }

    /// What the reader of the file must know: of which columns nobody says in which time zone they are.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        let path = self.path.display();
        let columns = self.file.without_zone();
        columns.map(move |name| {
            format!("{path}: the column {name} names no time zone and was read as UTC")
        })
    }

    /// Calls `each` with every row: its number, from 1 on, and how to get its record.
    ///
    /// # Errors
    /// The file cannot be read to its end, or `each` fails.
    pub(crate) fn each(
        &self,
        bar: &ProgressBar,
        each: impl FnMut(u64, &mut WithRecord<'_>) -> Result<(), Failure> + Send,
    ) -> Result<(), Failure> {
        let mut one = [(each, Ok(()))];
        let read = self.file.read(
            &mut one,
            |(each, failed), batch| {
                batch.rows(|row| {
                    if failed.is_ok() {
                        let mut record = |take: &mut dyn FnMut(&Record<'_>) -> Outcome| {
                            let taken = batch.record(row, |record| take(record));
                            taken.map_err(|problem| batch.explain(row.line, problem))
                        };
                        *failed = each(row.line, &mut record);
                    }
                });
                batch.share()
            },
            |share| bar.inc(share),
        );
        let [(_, failed)] = one;
        failed?;
        read.map_err(|fault| failure(self.path, fault))
    }
}
