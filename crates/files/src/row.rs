//! Splits one CSV row into cells (RFC 4180). The `csv` crate does not serve here: it joins what follows a closing quote to the
//! cell, lets an unclosed quote swallow the rest of the file, and miscounts lines that end in CR LF or are blank.

use revtrail_core::record::{Code, Record, RecordProblem};

use crate::SUBSTITUTE;
use crate::lines::without_end;

/// The part of a row that was read so far. The same value is used again for the next row.
#[derive(Debug)]
pub(crate) struct CsvRow {
    /// What stands between two cells.
    pub(crate) delimiter: u8,
    bytes: Vec<u8>,
    /// For each finished cell, where in `bytes` it ends.
    ends: Vec<usize>,
    at: CellState,
}

impl Default for CsvRow {
    fn default() -> Self {
        Self {
            delimiter: b',',
            bytes: Vec::new(),
            ends: Vec::new(),
            at: CellState::Start,
        }
    }
}

/// The position of the reader within a cell.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum CellState {
    #[default]
    Start,
    Plain,
    Quoted,
    /// After a quote inside a quoted cell. It is either the end of the cell or the first half of a doubled quote.
    Quote,
}

/// The state of the row after a line was added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LineOutcome {
    /// The row is complete.
    Whole,
    /// A quoted cell continues in the next line.
    Open,
    /// The row is not CSV, for this reason.
    Broken(String),
}

impl CsvRow {
    /// Empties the row, so that the next one can be read.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.at = CellState::Start;
    }

    /// Adds a line with its line end. A quote inside a cell that does not begin with a quote is an ordinary character.
    pub(crate) fn take(&mut self, line: &[u8]) -> LineOutcome {
        let content = without_end(line);
        let delimiter = self.delimiter;
        for &byte in content {
            self.at = match (self.at, byte) {
                (CellState::Start | CellState::Plain | CellState::Quote, byte)
                    if byte == delimiter =>
                {
                    self.ends.push(self.bytes.len());
                    CellState::Start
                }
                (CellState::Start, b'"') => CellState::Quoted,
                (CellState::Quoted, b'"') => CellState::Quote,
                (CellState::Quote, byte) if byte != b'"' => {
                    let cell = self.ends.len() + 1;
                    return LineOutcome::Broken(format!(
                        "cell {cell} goes on after its closing quote"
                    ));
                }
                (at, byte) => {
                    self.bytes.push(byte);
                    match at {
                        CellState::Quoted | CellState::Quote => CellState::Quoted,
                        CellState::Start | CellState::Plain => CellState::Plain,
                    }
                }
            };
        }
        if self.at == CellState::Quoted {
            self.bytes.extend_from_slice(&line[content.len()..]);
            return LineOutcome::Open;
        }
        self.ends.push(self.bytes.len());
        LineOutcome::Whole
    }

    /// The bytes of each cell of a complete row.
    pub(crate) fn raw(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.bytes[*start..*end])
    }

    /// Appends a cell, which `put` writes.
    #[cfg(feature = "parquet")]
    pub(crate) fn push(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        put(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// The bytes of all cells.
    #[cfg(feature = "parquet")]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All cells as one text, after `mend` was called, and where in it each ends; `None` where it is too long for that.
    #[cfg(feature = "parquet")]
    pub(crate) fn into_text(self) -> Option<(String, Vec<u32>)> {
        let ends = self.ends.into_iter().map(u32::try_from);
        Some((
            String::from_utf8(self.bytes).ok()?,
            ends.collect::<Result<_, _>>().ok()?,
        ))
    }

    /// One cell, after `mend` was called.
    #[cfg(feature = "parquet")]
    pub(crate) fn cell(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        std::str::from_utf8(&self.bytes[start..self.ends[index]]).unwrap_or_default()
    }

    /// Replaces bytes that are not UTF-8 by [`SUBSTITUTE`]. Returns the index of each cell that had one, with its first one.
    pub(crate) fn mend(&mut self) -> Vec<(usize, u8)> {
        let whole = |text: &str| self.ends.iter().all(|end| text.is_char_boundary(*end));
        if std::str::from_utf8(&self.bytes).is_ok_and(whole) {
            return Vec::new();
        }
        let (mut mended, mut ends, mut spoilt) = (Vec::new(), Vec::new(), Vec::new());
        for (cell, bytes) in self.raw().enumerate() {
            if let Err(error) = std::str::from_utf8(bytes) {
                spoilt.push((cell, bytes[error.valid_up_to()]));
            }
            for chunk in bytes.utf8_chunks() {
                mended.extend_from_slice(chunk.valid().as_bytes());
                if !chunk.invalid().is_empty() {
                    mended.push(SUBSTITUTE as u8);
                }
            }
            ends.push(mended.len());
        }
        (self.bytes, self.ends) = (mended, ends);
        spoilt
    }

    /// The cells of a complete row, after `mend` was called.
    pub(crate) fn cells(&self) -> Vec<&str> {
        let text = std::str::from_utf8(&self.bytes).unwrap_or_default();
        let starts = std::iter::once(&0).chain(&self.ends);
        let cells = starts
            .zip(&self.ends)
            .map(|(start, end)| text.get(*start..*end));
        cells.map(Option::unwrap_or_default).collect()
    }
}

/// The cells of the first row of a text, as far as it is CSV whose cells stand between such characters.
pub fn first_row(text: &str, delimiter: char) -> Option<Vec<String>> {
    let mut row = CsvRow {
        delimiter: u8::try_from(delimiter).ok()?,
        ..CsvRow::default()
    };
    for line in text.split_inclusive(['\n', '\r']) {
        let is_blank = row.bytes.is_empty() && without_end(line.as_bytes()).is_empty();
        if is_blank && row.at == CellState::Start {
            continue;
        }
        match row.take(line.as_bytes()) {
            LineOutcome::Whole => {
                return Some(row.cells().into_iter().map(str::to_owned).collect());
            }
            LineOutcome::Open => {}
            LineOutcome::Broken(_) => return None,
        }
    }
    None
}

/// The cells of a row that was saved as one quoted cell, as spreadsheets of some countries do, with the semicolons behind it that
/// they add.
///
/// # Example
/// ```
/// let cells = revtrail_files::row_in_quotes("\"#1,\"\"a,b\"\",2\";", ',');
/// assert_eq!(cells.as_deref(), Some(&["#1".to_owned(), "a,b".to_owned(), "2".to_owned()][..]));
/// assert_eq!(revtrail_files::row_in_quotes("#1,2", ','), None);
/// ```
pub fn row_in_quotes(text: &str, delimiter: char) -> Option<Vec<String>> {
    let inner = text
        .trim_end_matches(';')
        .strip_prefix('"')?
        .strip_suffix('"')?;
    first_row(&inner.replace("\"\"", "\""), delimiter)
}

/// Makes a record of the cells of a row.
pub(crate) fn row<'r>(
    header: &'r [String],
    cells: Vec<&'r str>,
) -> Result<Record<'r>, RecordProblem> {
    if cells.len() == header.len() {
        return Ok(Record::Row(header, cells));
    }
    let (has, named) = (cells.len(), header.len());
    let plural = if has == 1 { "" } else { "s" };
    Err(not_csv(format!(
        "this row has {has} cell{plural}, the header has {named}"
    )))
}

pub(crate) fn not_csv(why: String) -> RecordProblem {
    RecordProblem::whole(Code::NotCsv, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_a_row() {
        for (lines, expected) in [
            (&["a,b,c\n"][..], Some(&["a", "b", "c"][..])),
            (&["a,b,\r\n"], Some(&["a", "b", ""])),
            (&[",,"], Some(&["", "", ""])),
            (&["\"a,b\",c\n"], Some(&["a,b", "c"])),
            (&["\"say \"\"hi\"\"\",\"\"\n"], Some(&["say \"hi\"", ""])),
            (&["\"a\r\n", "b\",c\r\n"], Some(&["a\r\nb", "c"])),
            (&["5\" pipe,x\"\"y\n"], Some(&["5\" pipe", "x\"\"y"])),
            (&[" \"a\",b\n"], Some(&[" \"a\"", "b"])),
            (&["\"a\r", "\n", "b\",c\r"], Some(&["a\r\nb", "c"])),
            (&["a,b\r"], Some(&["a", "b"])),
            (&["\"a\"b,c\n"], None),
            (&["\"a\" ,c\n"], None),
        ] {
            let mut row = CsvRow::default();
            let taken: Vec<LineOutcome> =
                lines.iter().map(|line| row.take(line.as_bytes())).collect();
            let (last, before) = taken.split_last().unwrap();
            assert!(before.iter().all(|t| *t == LineOutcome::Open), "{lines:?}");
            match expected {
                Some(cells) => {
                    assert_eq!(*last, LineOutcome::Whole, "{lines:?}");
                    assert_eq!(row.cells(), cells, "{lines:?}");
                }
                None => assert!(matches!(last, LineOutcome::Broken(_)), "{lines:?}"),
            }
        }
        let mut row = CsvRow::default();
        assert_eq!(row.take(b"\xc3,\xa9\n"), LineOutcome::Whole);
        assert_eq!(row.mend(), [(0, 0xc3), (1, 0xa9)]);
        assert_eq!(row.cells(), ["\u{1a}", "\u{1a}"]);
    }
}
