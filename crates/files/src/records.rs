//! The records of a file, one after the other.

use std::borrow::Cow;
use std::io::Read;

use revtrail_core::record::{Code, Record, RecordProblem};

use crate::bytes::{Begun, Source, Unpacked};
use crate::content::{not_utf8, what_is};
use crate::layout::{Format, Layout, Packing};
use crate::lines::{Block, Lines, fault, without_end};
use crate::plain::{Field, Plan};
use crate::row::{CsvRow, LineOutcome, not_csv, row};
use crate::{FileFault, RECORD_BYTES_MAX, SUBSTITUTE};

/// How many bytes of a longer record are shown when it is rejected.
const SHOWN_BYTES_MAX: usize = 1 << 10;
/// How many bytes of a header are shown in a message.
const HEADER_BYTES_MAX: usize = 300;

/// What happens to text that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotUtf8 {
    /// Such text fails the whole file.
    FailsFile,
    /// Such text spoils only the field that holds it, and matters only where that field does.
    SpoilsField,
}

/// What a file must fulfil.
#[derive(Debug, Clone, Copy)]
pub struct FileRules {
    /// The columns that a file must have. Of names joined by `|`, one is enough.
    pub needed: &'static [&'static str],
    /// What happens to text that is not UTF-8.
    pub not_utf8: NotUtf8,
}

/// One record of a file.
#[derive(Debug)]
pub struct Line<'r> {
    /// The number of the line that the record starts on. The first line of the file has the number 1.
    pub number: u64,
    /// The text of the record as it is in the file, without the end of its last line. Of a record that is too long it is only the
    /// beginning.
    pub text: Cow<'r, str>,
    /// The record, or the problem why it is not a record.
    pub record: Result<Record<'r>, RecordProblem>,
    /// The fields of the record that are not UTF-8.
    pub spoilt: Spoilt,
}

/// The names of fields that are not UTF-8, each with one of its bad bytes.
#[derive(Debug)]
pub struct Spoilt(Vec<(String, u8)>);

impl Spoilt {
    #[cfg(feature = "parquet")]
    pub(crate) fn new(fields: Vec<(String, u8)>) -> Self {
        Self(fields)
    }

    /// Adds this reason to a problem with such a field. An id in Windows-1252 is not an id, but nobody can see the bad character.
    pub fn explain(&self, problem: RecordProblem) -> RecordProblem {
        let named = |field: &str| problem.field.as_deref() == Some(field);
        match self.0.iter().find(|(field, _)| named(field)) {
            Some((field, byte)) => RecordProblem {
                detail: format!("{field}: {}", not_utf8(*byte)),
                ..problem
            },
            None => problem,
        }
    }
}

/// A reader that returns the records of a file one after the other.
#[derive(Debug)]
pub struct Records<R: Read> {
    lines: Lines<R>,
    format: Format,
    needed: &'static [&'static str],
    header: Option<Vec<String>>,
    /// The record that was read last: its line, its bytes, and its cells or, where the bytes are not UTF-8, its JSON text.
    number: u64,
    text: Vec<u8>,
    row: CsvRow,
    mended: String,
}

impl<R: Read> Records<R> {
    /// Opens a file at its beginning. Where its name says nothing about the layout, its content decides.
    ///
    /// # Errors
    /// [`FileFault::Source`]; [`FileFault::Content`] where the first bytes show another kind of file.
    pub fn open(bytes: R, layout: Option<Layout>, rules: FileRules) -> Result<Self, FileFault> {
        let mut packed = Begun::new(Source(bytes));
        if let Some(error) = packed.take_failure() {
            return Err(fault(error, "file", "at its beginning"));
        }
        let found = Packing::of(packed.beginning());
        let packing = layout.map_or(found, |layout| layout.packing);
        if packing != Packing::Plain && packing != found {
            return Err(FileFault::Content(not_packed(packing, packed.beginning())));
        }
        let mut bytes = Begun::new(Unpacked::new(packed, packing));
        let beginning = bytes.beginning();
        let what = match (Packing::of(beginning), packing) {
            (Packing::Gzip, Packing::Plain) => {
                Some("the file is gzipped: unpack it, or let its name end in .gz")
            }
            (Packing::Gzip, Packing::Gzip) => Some("the file is gzipped twice: unpack it once"),
            (Packing::Gzip | Packing::Zstd, Packing::Gzip | Packing::Zstd) => {
                Some("the file is packed twice: unpack it once")
            }
            _ => what_is(beginning),
        };
        if let Some(what) = what {
            return Err(FileFault::Content(what.to_owned()));
        }
        let beginning = bytes.skip_byte_order_mark().trim_ascii_start();
        let by_content = match beginning.first() {
            Some(b'{') => Format::JsonLines,
            _ => Format::Csv,
        };
        Ok(Self {
            format: layout.map_or(by_content, |layout| layout.format),
            lines: Lines::new(bytes, rules.not_utf8 == NotUtf8::FailsFile),
            needed: rules.needed,
            header: None,
            number: 0,
            text: Vec::new(),
            row: CsvRow::default(),
            mended: String::new(),
        })
    }

    /// The names of the columns of a CSV file; empty for JSON lines. The header is read for it.
    ///
    /// # Errors
    /// The same as [`Records::next_line`].
    pub fn header(&mut self) -> Result<&[String], FileFault> {
        self.begin()?;
        Ok(self.header.as_deref().unwrap_or_default())
    }

    /// Reads the cells of a CSV file between these characters instead of commas. It is said before the first record is read.
    pub fn parted_by(mut self, delimiter: char) -> Self {
        self.row.delimiter = delimiter as u8;
        self
    }

    /// The next record; `None` at the end of the file.
    ///
    /// # Errors
    /// [`FileFault`] where the file cannot be read any further. Records that were returned before stay valid.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, FileFault> {
        let Some(whole) = self.advance()? else {
            return Ok(None);
        };
        let content = without_end(&self.text);
        let text = match content.len() {
            ..=RECORD_BYTES_MAX => String::from_utf8_lossy(content),
            _ => String::from_utf8_lossy(&content[..SHOWN_BYTES_MAX]),
        };
        let header = self.header.as_deref().unwrap_or_default();
        let (record, spoilt) = match (whole, self.format) {
            (Err(problem), _) => (Err(problem), Vec::new()),
            (Ok(()), Format::JsonLines) => json(content, &mut self.mended),
            (Ok(()), Format::Csv) => {
                let spoilt = self.row.mend().into_iter();
                let named =
                    spoilt.filter_map(|(cell, byte)| Some((header.get(cell)?.clone(), byte)));
                let spoilt = named.collect();
                (row(header, self.row.cells()), spoilt)
            }
        };
        Ok(Some(Line {
            number: self.number,
            text,
            record,
            spoilt: Spoilt(spoilt),
        }))
    }

    /// Where the rows of this file have the given fields, so that blocks of it can be read. The header of a CSV file is read for it.
    ///
    /// # Errors
    /// The same as [`Records::next_line`].
    pub fn plan(&mut self, fields: &'static [Field]) -> Result<Plan, FileFault> {
        self.begin()?;
        let header = self.header.as_deref().unwrap_or_default();
        Ok(Plan::new(self.format, header, fields))
    }

    /// Fills a block with whole lines; returns false where what follows is to be read record by record.
    pub(crate) fn next_block(&mut self, block: &mut Block, bytes_max: usize) -> bool {
        self.lines.next_block(block, bytes_max)
    }

    /// Gives the last blocks back, to be read record by record.
    pub(crate) fn give_back(&mut self, blocks: &[Block]) {
        self.lines.give_back(blocks);
    }

    /// Skips the next record; returns false at the end of the file.
    ///
    /// # Errors
    /// The same as [`Records::next_line`].
    pub fn skip(&mut self) -> Result<bool, FileFault> {
        Ok(self.advance()?.is_some())
    }

    /// The number of the line that was read last. It tells where a [`FileFault`] occurred.
    pub fn line(&self) -> u64 {
        self.lines.number().max(1)
    }

    /// The number of bytes that were read so far, after decompression.
    pub fn bytes_read(&self) -> u64 {
        self.lines.bytes_read()
    }

    /// Reads the bytes of the next record, or finds what is wrong with them.
    fn advance(&mut self) -> Result<Option<Result<(), RecordProblem>>, FileFault> {
        let advanced = match self.format {
            Format::JsonLines => self.advance_line(),
            Format::Csv => {
                self.begin()?;
                self.advance_row()
            }
        };
        self.lines.end_record();
        advanced
    }

    fn begin(&mut self) -> Result<(), FileFault> {
        if self.format == Format::Csv && self.header.is_none() {
            self.header = Some(self.read_header()?);
        }
        Ok(())
    }

    fn advance_line(&mut self) -> Result<Option<Result<(), RecordProblem>>, FileFault> {
        loop {
            self.text.clear();
            self.lines.skip_blank()?;
            if !self.lines.read(&mut self.text)? {
                return Ok(None);
            }
            self.number = self.lines.number();
            if without_end(&self.text).len() > RECORD_BYTES_MAX {
                return Ok(Some(Err(too_long(Code::NotJson))));
            }
            if !self.text.trim_ascii().is_empty() {
                return Ok(Some(Ok(())));
            }
        }
    }

    /// Reads a CSV row. If the row breaks off, only its first line is lost: one stray quote must not swallow the rows below.
    fn advance_row(&mut self) -> Result<Option<Result<(), RecordProblem>>, FileFault> {
        self.row.clear();
        self.text.clear();
        loop {
            let start = self.text.len();
            if start == 0 {
                self.lines.skip_blank()?;
            }
            let more = self.lines.read(&mut self.text)?;
            let is_long = without_end(&self.text).len() > RECORD_BYTES_MAX;
            if start == 0 {
                if !more {
                    return Ok(None);
                }
                if without_end(&self.text).is_empty() {
                    self.text.clear();
                    continue;
                }
                self.number = self.lines.number();
                if is_long {
                    return Ok(Some(Err(too_long(Code::NotCsv))));
                }
            }
            let taken = match more {
                true if !is_long => self.row.take(&self.text[start..]),
                true => LineOutcome::Broken(format!(
                    "a quote that opens in this row is not closed within {} MiB",
                    RECORD_BYTES_MAX >> 20
                )),
                false => {
                    LineOutcome::Broken("a quote that opens in this row is not closed".to_owned())
                }
            };
            match taken {
                LineOutcome::Whole => return Ok(Some(Ok(()))),
                LineOutcome::Open => {}
                LineOutcome::Broken(why) => {
                    self.lines.put_back_after(self.number, &mut self.text)?;
                    return Ok(Some(Err(not_csv(why))));
                }
            }
        }
    }

    fn read_header(&mut self) -> Result<Vec<String>, FileFault> {
        let row = self.advance_row()?.ok_or_else(|| {
            FileFault::Content(format!(
                "the file is empty: the first line of a CSV file names its columns, at least {}",
                listed(self.needed)
            ))
        })?;
        let hint = hint(without_end(&self.text));
        row.map_err(|problem| {
            let why = problem.detail;
            FileFault::Content(format!("the header cannot be read: {why}{hint}"))
        })?;
        let twice = named_twice(&self.row);
        self.row.mend();
        let names = self.row.cells();
        if let Some(missing) = missing(self.needed, &names) {
            return Err(FileFault::Content(format!(
                "the header has no column {missing}; it has {}{hint}",
                shown(&names.join(", ")),
            )));
        }
        if let Some(name) = twice {
            return Err(FileFault::Content(format!(
                "the header names the column {} twice: which of the two counts?",
                shown(&name)
            )));
        }
        Ok(names.into_iter().map(str::to_owned).collect())
    }
}

/// A name that a header gives to two columns. Spreadsheets leave columns without a name at the right end, and these are ignored.
fn named_twice(header: &CsvRow) -> Option<String> {
    let mut names: Vec<&[u8]> = header.raw().filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1])?;
    Some(String::from_utf8_lossy(twice[0]).into_owned())
}

/// Which of the needed columns are not among the names, in words; `None` where none is missing.
pub(crate) fn missing(needed: &[&str], names: &[&str]) -> Option<String> {
    let is_there = |column: &&str| column.split('|').any(|name| names.contains(&name));
    let missing = needed.iter().copied().filter(|column| !is_there(column));
    let missing: Vec<&str> = missing.collect();
    (!missing.is_empty()).then(|| listed(&missing))
}

fn listed(columns: &[&str]) -> String {
    columns.join(", ").replace('|', " or ")
}

/// Names as part of a sentence, with control characters replaced and long lists cut.
pub(crate) fn shown(names: &str) -> String {
    let text = names.replace(char::is_control, " ");
    let end = text.floor_char_boundary(HEADER_BYTES_MAX);
    let more = if end < text.len() { " …" } else { "" };
    format!("{}{more}", &text[..end])
}

/// A hint at what a header may be that does not have the needed columns.
fn hint(header: &[u8]) -> &'static str {
    let holds = |byte: u8| header.contains(&byte);
    if header.trim_ascii_start().starts_with(b"{") || header.trim_ascii_start().starts_with(b"[") {
        ". It looks like JSON: write one object a line, and let the name end in .jsonl"
    } else if holds(b';') && !holds(b',') {
        ". Its cells are parted by semicolons: save it with commas"
    } else if holds(b'\t') && !holds(b',') {
        ". Its cells are parted by tabs: save it with commas"
    } else {
        ""
    }
}

/// What a file may be that is not packed as its name says.
fn not_packed(packing: Packing, beginning: &[u8]) -> String {
    let (packed, pack, ending) = match packing {
        Packing::Zstd => ("compressed with zstd", "compress it", ".zst"),
        _ => ("gzipped", "gzip it", ".gz"),
    };
    match what_is(beginning) {
        _ if beginning.is_empty() => format!(
            "the file is empty, and its name says that it is {packed}: was it uploaded whole?"
        ),
        _ if Packing::of(beginning) == Packing::Gzip => {
            "the file is gzipped: let its name end in .gz".to_owned()
        }
        Some(what) => what.to_owned(),
        None => format!("the file is not {packed}: {pack}, or let its name not end in {ending}"),
    }
}

type Told<'r> = (Result<Record<'r>, RecordProblem>, Vec<(String, u8)>);

/// Reads a JSON text. A text that is not UTF-8 is mended first, and the fields that were mended are returned with it.
fn json<'r>(line: &'r [u8], mended: &'r mut String) -> Told<'r> {
    let error = match std::str::from_utf8(line) {
        Ok(text) => return (Record::from_json(text.trim_ascii()), Vec::new()),
        Err(error) => error,
    };
    let byte = line[error.valid_up_to()];
    mend_json(line, mended);
    match Record::from_json(mended.trim_ascii()) {
        Ok(Record::Json(fields)) => {
            let spoilt = fields.iter().filter(|(_, raw)| raw.get().contains(ESCAPED));
            let spoilt = spoilt.map(|(name, _)| (name.clone(), byte)).collect();
            (Ok(Record::Json(fields)), spoilt)
        }
        _ => (
            Err(RecordProblem::whole(Code::NotJson, not_utf8(byte))),
            Vec::new(),
        ),
    }
}

/// [`SUBSTITUTE`] as it is escaped in JSON.
const ESCAPED: &str = "\\u001a";

fn mend_json(line: &[u8], mended: &mut String) {
    mended.clear();
    for chunk in line.utf8_chunks() {
        mended.push_str(chunk.valid());
        if chunk.invalid().is_empty() {
            continue;
        }
        // After a backslash the escape would have another meaning. The bare character instead makes the text invalid JSON.
        match mended.ends_with('\\') {
            true => mended.push(SUBSTITUTE),
            false => mended.push_str(ESCAPED),
        }
    }
}

fn too_long(code: Code) -> RecordProblem {
    let detail = format!(
        "a record has at most {} MiB; only the beginning of this one is shown",
        RECORD_BYTES_MAX >> 20
    );
    RecordProblem::whole(code, detail)
}
