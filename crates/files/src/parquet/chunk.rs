//! One column of a row group, batch by batch. Pages that are plain, or that name entries of a dictionary, are read here: an entry is
//! made a text once, however many rows name it. All other pages are left to the readers of the crate `parquet`, which also say what is
//! wrong with a page.

use bytes::Buf;
use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::RowGroupReader;

use super::cells::{Reading, put_instant};
use super::pages::{Dictionary, Pages, Values, is_calm_in_all, number, put_plain};
use super::{Column, whatever_it_holds};
use crate::plain::Field;
use crate::row::CsvRow;

/// The index of no entry, for a row that is null.
const NULL: u32 = u32::MAX;

/// A column of a row group, and what was read of it last.
pub(super) struct Chunk {
    index: usize,
    reading: Reading,
    /// True where instants are wanted as such.
    wants_instants: bool,
    source: Source,
    /// How many rows were read before the last batch.
    before: usize,
    levels: Vec<i16>,
    present: Vec<u32>,
    /// What the cells of the batch are.
    form: Form,
    texts: CsvRow,
    /// The row and a byte of each text that is not UTF-8.
    spoilt: Vec<(usize, u8)>,
    codes: Vec<u32>,
    /// Milliseconds since 1970.
    times: Vec<Option<i64>>,
    dictionary: Dictionary,
}

enum Source {
    Pages(Pages),
    Records(Box<ColumnReader>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Texts,
    Codes,
    Times,
}

/// The cells of a column for one batch, as texts.
pub(super) enum Cells<'b> {
    Texts(Vec<&'b str>),
    Codes(&'b [u32], &'b Dictionary),
    Times(&'b [Option<i64>]),
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunk")
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

impl Chunk {
    pub(super) fn new(group: &dyn RowGroupReader, column: &Column) -> ParquetResult<Self> {
        let Column {
            index,
            field,
            reading,
            ..
        } = *column;
        let column = group.metadata().column(index).column_descr_ptr();
        let is_text = reading == Reading::Text && column.physical_type() == Type::BYTE_ARRAY;
        let width = match column.physical_type() {
            Type::INT32 => Some(4),
            Type::INT64 => Some(8),
            _ => None,
        };
        let source = match is_text || width.is_some() {
            true => Source::Pages(Pages::new(
                whatever_it_holds(|| group.get_column_page_reader(index))?,
                column.max_def_level() > 0,
                width.unwrap_or(0),
            )),
            false => Source::Records(whatever_it_holds(|| group.get_column_reader(index))?.into()),
        };
        Ok(Self {
            index,
            reading,
            wants_instants: matches!(
                (field, reading),
                (Field::Instant(_), Reading::Instant { .. })
            ),
            source,
            before: 0,
            levels: Vec::new(),
            present: Vec::new(),
            form: Form::Texts,
            texts: CsvRow::default(),
            spoilt: Vec::new(),
            codes: Vec::new(),
            times: Vec::new(),
            dictionary: Dictionary::default(),
        })
    }

    /// How many of so many rows can be read at once: a page is not left.
    pub(super) fn rows(&mut self, group: &dyn RowGroupReader, most: usize) -> ParquetResult<usize> {
        if let Source::Pages(pages) = &mut self.source {
            let (dictionary, how) = (&mut self.dictionary, (self.reading, self.wants_instants));
            match whatever_it_holds(|| Ok(pages.rows(dictionary, how))) {
                Ok(Some(rows)) => return Ok(rows.min(most)),
                _ => self.leave_pages(group)?,
            }
        }
        Ok(most)
    }

    /// Reads the next rows. There are at least so many, unless the chunk is broken.
    pub(super) fn read(&mut self, group: &dyn RowGroupReader, rows: usize) -> ParquetResult<()> {
        if self.read_pages(rows).is_none() {
            self.leave_pages(group)?;
            self.clear();
            self.form = Form::Texts;
            if let Source::Records(column) = &mut self.source {
                let (reading, levels, texts) = (self.reading, &mut self.levels, &mut self.texts);
                let read = whatever_it_holds(|| reading.read(column, rows, levels, texts))?;
                if read < rows {
                    return Err(self.too_short(group));
                }
            }
        }
        self.spoilt = self.texts.mend();
        self.before += rows;
        Ok(())
    }

    fn too_short(&self, group: &dyn RowGroupReader) -> ParquetError {
        let column = group.metadata().column(self.index);
        let name = column.column_descr().name();
        ParquetError::EOF(format!(
            "the column {name} has fewer rows than the row group"
        ))
    }

    fn clear(&mut self) {
        self.present.clear();
        self.texts.clear();
        self.codes.clear();
        self.times.clear();
    }

    /// Goes on with a reader that knows everything, where the rows before this batch end.
    fn leave_pages(&mut self, group: &dyn RowGroupReader) -> ParquetResult<()> {
        if matches!(self.source, Source::Records(_)) {
            return Ok(());
        }
        let (index, before) = (self.index, self.before);
        let mut column = whatever_it_holds(|| group.get_column_reader(index))?;
        let skipped = whatever_it_holds(|| match &mut column {
            ColumnReader::ByteArrayColumnReader(column) => column.skip_records(before),
            ColumnReader::Int32ColumnReader(column) => column.skip_records(before),
            ColumnReader::Int64ColumnReader(column) => column.skip_records(before),
            _ => Ok(0),
        })?;
        if skipped < before {
            return Err(self.too_short(group));
        }
        self.source = Source::Records(column.into());
        Ok(())
    }

    /// Reads rows of the page that is open; `None` where there is none, or where it is odd.
    fn read_pages(&mut self, rows: usize) -> Option<()> {
        self.clear();
        let Source::Pages(pages) = &mut self.source else {
            return None;
        };
        if let Some(levels) = &mut pages.levels
            && !levels.skip_run(1, rows)
        {
            levels.read(rows, &mut self.present)?;
        }
        // Without a level for each row, no row is null.
        let is_whole = !self.present.contains(&0);
        match &mut pages.values {
            Values::Codes(codes) => {
                let nulls = self.present.iter().filter(|level| **level == 0).count();
                codes.read(rows - nulls, &mut self.codes)?;
                let entries = self.dictionary.entries();
                if self.codes.iter().any(|code| *code as usize >= entries) {
                    return None;
                }
                if !is_whole {
                    let mut codes = self.codes.iter();
                    let spread = self.present.iter().map(|level| match level {
                        0 => Some(NULL),
                        _ => codes.next().copied(),
                    });
                    self.codes = spread.collect::<Option<Vec<u32>>>()?;
                }
                self.form = Form::Codes;
                if self.wants_instants {
                    let times = &self.dictionary.times;
                    let time = |code: &u32| times.get(*code as usize).copied().flatten();
                    self.times.extend(self.codes.iter().map(time));
                    self.form = Form::Times;
                }
            }
            Values::Plain(bytes) => {
                let is_null = |row: usize| !is_whole && self.present[row] == 0;
                let mut rest = &bytes[..];
                for row in 0..rows {
                    if self.wants_instants {
                        let mut ms = || {
                            self.reading
                                .ms(number(&mut rest, pages.width, self.reading)?)
                        };
                        self.times
                            .push(if is_null(row) { None } else { Some(ms()?) });
                        continue;
                    }
                    let mut put = Some(());
                    self.texts.push(|to| {
                        if !is_null(row) {
                            put = put_plain(&mut rest, pages.width, self.reading, to);
                        }
                    });
                    put?;
                }
                let read = bytes.len() - rest.len();
                bytes.advance(read);
                self.form = match self.wants_instants {
                    true => Form::Times,
                    false => Form::Texts,
                };
            }
        }
        pages.left -= rows;
        Some(())
    }

    /// The cells of the batch.
    pub(super) fn cells(&self) -> Cells<'_> {
        match self.form {
            Form::Texts => Cells::Texts(self.texts.cells()),
            Form::Codes => Cells::Codes(&self.codes, &self.dictionary),
            Form::Times => Cells::Times(&self.times),
        }
    }

    /// A cell of the batch as a text, whatever it is.
    pub(super) fn text(&self, row: usize) -> String {
        let mut text = Vec::new();
        match self.form {
            Form::Texts => text.extend_from_slice(self.texts.cell(row).as_bytes()),
            Form::Codes => {
                text.extend_from_slice(self.dictionary.entry(self.codes[row]).as_bytes())
            }
            Form::Times => {
                if let Some(ms) = self.times[row] {
                    put_instant(ms, &mut text);
                }
            }
        }
        String::from_utf8(text).unwrap_or_default()
    }

    /// A byte of a cell that is not UTF-8.
    pub(super) fn spoilt(&self, row: usize) -> Option<u8> {
        let (all, index) = match self.form {
            Form::Texts => (&self.spoilt, row),
            Form::Codes => (&self.dictionary.spoilt, *self.codes.get(row)? as usize),
            Form::Times => return None,
        };
        all.iter()
            .find(|(spoilt, _)| *spoilt == index)
            .map(|(_, byte)| *byte)
    }

    /// True where no cell of the batch holds a control character.
    pub(super) fn is_calm(&self) -> bool {
        match self.form {
            Form::Texts => is_calm_in_all(self.texts.bytes()),
            Form::Codes => self.dictionary.is_calm,
            Form::Times => true,
        }
    }

    /// How many bytes the cells of the batch have, about.
    pub(super) fn bytes(&self) -> usize {
        self.texts.bytes().len() + 8 * (self.codes.len() + self.times.len())
    }
}
