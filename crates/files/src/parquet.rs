//! Files of Parquet. A row is what a CSV row with the same texts is, so a null is an empty cell. Its columns are read in batches, and
//! its row groups by several workers.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use revtrail_core::record::{Record, RecordProblem};
use revtrail_core::value::time::Instant;

use crate::FileFault;
use crate::bytes::SourceFailed;
use crate::content::what_is;
use crate::plain::{Field, PlainRow, SLOTS};
use crate::records::{Spoilt, missing, shown};

mod cells;
mod chunk;
mod groups;
mod hybrid;
mod pages;

use cells::Reading;
use chunk::{Cells, Chunk};

/// How many rows of a row group are read at a time. Their texts fit into a cache.
const BATCH_ROWS: usize = 2_048;
/// How a file of Parquet begins and ends.
const MAGIC: &[u8; 4] = b"PAR1";

/// A file of Parquet.
pub struct ParquetFile {
    reader: SerializedFileReader<Shared>,
    columns: Vec<Column>,
    /// The names of the columns.
    header: Vec<String>,
    /// For each row group, the number of its first row.
    starts: Vec<u64>,
    /// How many bytes the file has.
    length: u64,
}

/// A column that is read.
struct Column {
    /// The index of the column in the file.
    index: usize,
    slot: usize,
    field: Field,
    reading: Reading,
}

impl std::fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetFile")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl ParquetFile {
    /// Opens a file and finds the columns of the given fields in it. All other columns are ignored.
    ///
    /// # Errors
    /// [`FileFault::Source`]; [`FileFault::Content`] where this is no whole file of Parquet, where it lacks a needed column, or
    /// where a column has a type that no text can be made of.
    pub fn open(file: File, fields: &[Field], needed: &[&str]) -> Result<Self, FileFault> {
        let shared = Shared::new(file).map_err(FileFault::Source)?;
        shared.check_ends()?;
        let length = shared.length;
        let reader = whatever_it_holds(|| SerializedFileReader::new(shared));
        let reader = reader.map_err(|error| fault(error, |why| {
            format!("the end of the file, where Parquet lists its columns, cannot be read: {why}; was it written whole?")
        }))?;
        let (columns, header) = columns(reader.metadata(), fields, needed)?;
        let groups = reader.metadata().row_groups().iter();
        let starts = groups.scan(1, |next, group| {
            let start = *next;
            *next += group.num_rows().max(0) as u64;
            Some(start)
        });
        let file = Self {
            starts: starts.collect(),
            length,
            reader,
            columns,
            header,
        };
        file.check_packing()?;
        Ok(file)
    }

    /// The columns of instants of which the file does not say whether they are in UTC. They are read as if they were.
    pub fn without_zone(&self) -> impl Iterator<Item = &str> {
        let without = |column: &&Column| column.reading.is_without_zone();
        let columns = self.columns.iter().zip(&self.header);
        columns
            .filter(move |(column, _)| without(column))
            .map(|(_, name)| name.as_str())
    }

    fn check_packing(&self) -> Result<(), FileFault> {
        for (number, group) in self.reader.metadata().row_groups().iter().enumerate() {
            for (column, name) in self.columns.iter().zip(&self.header) {
                let packing = group.column(column.index).compression();
                if let Compression::LZO
                | Compression::BROTLI(_)
                | Compression::LZ4
                | Compression::LZ4_RAW = packing
                {
                    let number = number + 1;
                    return Err(content(format!(
                        "row group {number}: the column {name} is packed with {packing}: write the file with SNAPPY, ZSTD or GZIP"
                    )));
                }
            }
        }
        Ok(())
    }

    fn row_groups(&self) -> usize {
        self.reader.metadata().num_row_groups()
    }

    /// Reads a row group, and calls `each` with one batch of rows after the other.
    fn read_group(&self, group: usize, mut each: impl FnMut(&RowBatch<'_>)) -> ParquetResult<()> {
        let reader = self.reader.get_row_group(group)?;
        let mut left = reader.metadata().num_rows().max(0) as usize;
        let mut batch = RowBatch {
            file: self,
            first: self.starts[group],
            rows: 0,
            is_last: false,
            columns: Vec::new(),
        };
        for column in &self.columns {
            batch.columns.push(Chunk::new(&*reader, column)?);
        }
        while left > 0 {
            let mut rows = left.min(BATCH_ROWS);
            for column in &mut batch.columns {
                rows = column.rows(&*reader, rows)?;
            }
            for column in &mut batch.columns {
                column.read(&*reader, rows)?;
            }
            left -= rows;
            batch.rows = rows;
            batch.is_last = left == 0;
            each(&batch);
            batch.first += rows as u64;
        }
        Ok(())
    }

    /// Why a row group cannot be read.
    fn fault(&self, group: usize, error: ParquetError) -> FileFault {
        let (first, groups) = (self.starts[group], self.row_groups());
        let rows = self.reader.metadata().row_group(group).num_rows();
        let number = group + 1;
        fault(error, |why| {
            format!(
                "row group {number} of {groups}, {rows} rows from row {first} on, is broken: {why}; write the file again"
            )
        })
    }
}

/// Some rows of a file, one behind the other.
#[derive(Debug)]
pub struct RowBatch<'f> {
    file: &'f ParquetFile,
    /// The number of the first row.
    first: u64,
    rows: usize,
    is_last: bool,
    columns: Vec<Chunk>,
}

impl RowBatch<'_> {
    /// True for the last batch of a row group.
    pub fn ends_group(&self) -> bool {
        self.is_last
    }

    /// The part of the file's bytes that these rows are, about.
    pub fn share(&self) -> u64 {
        let rows = self
            .file
            .reader
            .metadata()
            .file_metadata()
            .num_rows()
            .max(1);
        let share = u128::from(self.file.length) * self.rows as u128 / rows as u128;
        share as u64
    }

    /// How many bytes the texts of all rows have.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(Chunk::bytes).sum()
    }

    /// Calls `each` with every row. Its line is the number of the row in the file; the first has the number 1.
    pub fn rows(&self, mut each: impl FnMut(&PlainRow<'_>)) {
        let calm = self.columns.iter().all(Chunk::is_calm);
        let slots = self.file.columns.iter().map(|column| column.slot % SLOTS);
        let columns: Vec<(usize, Cells<'_>)> =
            slots.zip(self.columns.iter().map(Chunk::cells)).collect();
        let (mut cells, mut instants) = ([""; SLOTS], [None; SLOTS]);
        for row in 0..self.rows {
            for (slot, column) in &columns {
                match column {
                    Cells::Texts(texts) => cells[*slot] = texts[row],
                    Cells::Codes(codes, entries) => cells[*slot] = entries.entry(codes[row]),
                    Cells::Times(times) => {
                        let at = times[row].map(|ms| (Instant::from_ms(ms), ms));
                        let within = at.filter(|(at, ms)| at.ms() == *ms);
                        instants[*slot] = within.map(|(at, _)| at);
                        // A number beyond all years is no instant, and not nothing either.
                        cells[*slot] = if at.is_some() && within.is_none() {
                            "beyond"
                        } else {
                            ""
                        };
                    }
                }
            }
            let line = self.first + row as u64;
            each(&PlainRow::of_cells(line, &cells, &instants, calm));
        }
    }

    /// Calls `take` with the record of a row.
    pub fn record<T>(&self, row: &PlainRow<'_>, take: impl FnOnce(&Record<'_>) -> T) -> T {
        let index = (row.line - self.first) as usize;
        let texts: Vec<String> = self
            .columns
            .iter()
            .map(|column| column.text(index))
            .collect();
        let cells = texts.iter().map(String::as_str).collect();
        take(&Record::Row(&self.file.header, cells))
    }

    /// Adds to a problem of a row what is wrong with the bytes of its field.
    pub fn explain(&self, row: u64, problem: RecordProblem) -> RecordProblem {
        let index = (row - self.first) as usize;
        let columns = self.file.header.iter().zip(&self.columns);
        let named =
            columns.filter_map(|(name, column)| Some((name.clone(), column.spoilt(index)?)));
        Spoilt::new(named.collect()).explain(problem)
    }
}

/// Finds the columns of the fields, with their names.
fn columns(
    metadata: &ParquetMetaData,
    fields: &[Field],
    needed: &[&str],
) -> Result<(Vec<Column>, Vec<String>), FileFault> {
    let schema = metadata.file_metadata().schema_descr();
    let tops = schema.root_schema().get_fields();
    let names: Vec<&str> = tops.iter().map(|top| top.name()).collect();
    if let Some(missing) = missing(needed, &names) {
        return Err(content(format!(
            "the file has no column {missing}; it has {}",
            shown(&names.join(", "))
        )));
    }
    let (mut columns, mut header) = (Vec::new(), Vec::new());
    for (slot, field) in fields.iter().enumerate() {
        let name = field.name();
        let mut found =
            (0..schema.num_columns()).filter(|i| schema.get_column_root(*i).name() == name);
        let Some(index) = found.next() else {
            continue;
        };
        let column = schema.column(index);
        if names.iter().filter(|other| **other == name).count() > 1 {
            return Err(content(format!(
                "the file names the column {name} twice: which of the two counts?"
            )));
        }
        // What a CSV cell cannot hold is no part of a row of either.
        if schema.get_column_root(index).is_group() && name == "items" {
            continue;
        }
        let reading = Reading::of(&column).ok_or_else(|| {
            content(format!(
                "the column {name} holds {}",
                cells::instead(&column)
            ))
        })?;
        columns.push(Column {
            index,
            slot,
            field: *field,
            reading,
        });
        header.push(name.to_owned());
    }
    Ok((columns, header))
}

fn content(why: impl Into<String>) -> FileFault {
    FileFault::Content(why.into())
}

/// Calls what decodes bytes. It panics where it finds some that no writer writes, and here that is an error as any other.
fn whatever_it_holds<T>(decode: impl FnOnce() -> ParquetResult<T>) -> ParquetResult<T> {
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    let why = "its bytes are none that a writer of Parquet writes";
    decoded.unwrap_or_else(|_| Err(ParquetError::General(why.to_owned())))
}

/// Makes a fault of an error: the storage failed, or a sentence with what the error says.
fn fault(error: ParquetError, sentence: impl FnOnce(&str) -> String) -> FileFault {
    let why = match error {
        ParquetError::General(why) | ParquetError::NYI(why) | ParquetError::EOF(why) => why,
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => match error.downcast::<SourceFailed>() {
                Ok(SourceFailed(error)) => return FileFault::Source(error),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        },
        other => other.to_string(),
    };
    content(sentence(&why))
}

/// A file that several workers read at once, each from where it is.
#[derive(Debug, Clone)]
struct Shared {
    file: Arc<Mutex<File>>,
    length: u64,
}

/// A place in a file.
#[derive(Debug)]
struct At {
    shared: Shared,
    at: u64,
}

impl Shared {
    fn new(file: File) -> io::Result<Self> {
        let found = file.metadata()?;
        if !found.is_file() {
            let why = "this is no plain file, and Parquet is read from its end: save it as a file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
            length: found.len(),
        })
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file
            .seek(SeekFrom::Start(at))
            .and_then(|_| file.read(buffer));
        read.map_err(|error| io::Error::new(error.kind(), SourceFailed(error)))
    }

    fn from(&self, at: u64) -> At {
        At {
            shared: self.clone(),
            at,
        }
    }

    /// Checks that the file begins and ends as Parquet does.
    fn check_ends(&self) -> Result<(), FileFault> {
        let read = |at: u64, most: u64| {
            let mut bytes = Vec::new();
            let read = self.from(at).take(most).read_to_end(&mut bytes);
            read.map(|_| bytes).map_err(FileFault::Source)
        };
        let beginning = read(0, 512)?;
        if beginning.is_empty() {
            return Err(content("the file is empty: was it written whole?"));
        }
        if !beginning.starts_with(MAGIC) {
            let unknown = "the file is not Parquet: let its name end in what it is";
            return Err(content(what_is(&beginning).unwrap_or(unknown)));
        }
        let end = read(self.length.saturating_sub(4).max(4), 4)?;
        match &end[..] {
            b"PAR1" => Ok(()),
            b"PARE" => Err(content(
                "the file is encrypted: write it without encryption",
            )),
            _ => Err(content(
                "the Parquet file ends in the middle: was it written, or copied, whole?",
            )),
        }
    }
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.shared.read_at(self.at, buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Length for Shared {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Shared {
    type T = BufReader<At>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(BufReader::new(self.from(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let mut bytes = Vec::new();
        let read = self
            .from(start)
            .take(length as u64)
            .read_to_end(&mut bytes)?;
        if read < length {
            let why =
                format!("at byte {start} there should be {length} bytes, and there are {read}");
            return Err(ParquetError::EOF(why));
        }
        Ok(bytes.into())
    }
}
