//! Plain rows: rows whose fields can be found where they are, by column number or, in JSON, without a map. A row that is not plain
//! is made a record by the one reader, and a block whose lines are not its rows is none of this module's.

use revtrail_core::record::{Record, RecordProblem};
use revtrail_core::value::time::Instant;

use crate::RECORD_BYTES_MAX;
use crate::layout::Format;
use crate::lines::Block;
use crate::row::{CsvRow, LineOutcome, row};
use crate::scan::{Delimiters, Scan, Value, is_calm, look};

/// How many fields of a record can be asked for.
pub const SLOTS: usize = 16;
/// The slot of all fields that nobody asked for.
const IGNORED: u8 = SLOTS as u8 - 1;

/// A field that can be asked for, and how it is written in JSON. In CSV, any cell may hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// A text.
    Text(&'static str),
    /// An instant, written as a text.
    Instant(&'static str),
    /// A truth value.
    Flag(&'static str),
    /// A text or a number.
    Amount(&'static str),
    /// A list. An object that has one is not plain.
    List(&'static str),
}

impl Field {
    /// The name of the field.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text(name)
            | Self::Instant(name)
            | Self::Flag(name)
            | Self::Amount(name)
            | Self::List(name) => name,
        }
    }
}

/// Where in the rows of one file the fields are.
#[derive(Debug)]
pub struct Plan {
    format: Format,
    fields: &'static [Field],
    header: Vec<String>,
    /// For each column, the slot of its field.
    slots: Vec<u8>,
}

/// One row of a block.
#[derive(Debug)]
pub struct PlainRow<'b> {
    /// The number of the line in the file.
    pub line: u64,
    /// The text of the line, without its end.
    pub text: &'b str,
    /// The texts of the fields in the order of the plan, each empty where the row has none; `None` where the row is no plain one.
    pub cells: Option<&'b [&'b str; SLOTS]>,
    /// The instants of the fields that the file has as numbers, and of which the text is empty then.
    pub instants: &'b [Option<Instant>; SLOTS],
    /// True where no text holds a control character.
    pub calm: bool,
    /// The row, if a cell of its line is quoted.
    quoted: Option<&'b CsvRow>,
}

#[cfg(feature = "parquet")]
impl<'b> PlainRow<'b> {
    /// A row that is no line of text.
    pub(crate) fn of_cells(
        line: u64,
        cells: &'b [&'b str; SLOTS],
        instants: &'b [Option<Instant>; SLOTS],
        calm: bool,
    ) -> Self {
        Self {
            line,
            text: "",
            cells: Some(cells),
            instants,
            calm,
            quoted: None,
        }
    }
}

/// The instants of a row of text.
const NO_INSTANTS: [Option<Instant>; SLOTS] = [None; SLOTS];

/// How many bytes of a block are looked at before their rows are read: as many as the cache nearest to a core holds.
const NEAR_BYTES: usize = 256 << 10;

/// Where the lines end of which [`NEAR_BYTES`] hold as many as they can, or else the first line. The bytes end with a line.
fn whole_lines(bytes: &[u8]) -> usize {
    let Some(near) = bytes.get(..NEAR_BYTES) else {
        return bytes.len();
    };
    let end = memchr::memrchr(b'\n', near).or_else(|| memchr::memchr(b'\n', bytes));
    end.map_or(bytes.len(), |at| at + 1)
}

/// The block is none of plain rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPlain;

impl Plan {
    pub(crate) fn new(format: Format, header: &[String], fields: &'static [Field]) -> Self {
        let slot = |name: &String| {
            let slot = fields.iter().position(|field| field.name() == name);
            slot.map_or(IGNORED, |slot| slot as u8)
        };
        Self {
            format,
            fields,
            header: header.to_vec(),
            slots: header.iter().map(slot).collect(),
        }
    }

    /// Makes a record of a row, as [`Records`](crate::Records) does.
    ///
    /// # Errors
    /// The problem why the row is not a record.
    pub fn record<'r>(&'r self, of: &PlainRow<'r>) -> Result<Record<'r>, RecordProblem> {
        match (self.format, of.quoted) {
            (Format::JsonLines, _) => Record::from_json(of.text.trim_ascii()),
            (Format::Csv, None) => row(&self.header, of.text.split(',').collect()),
            (Format::Csv, Some(quoted)) => row(&self.header, quoted.cells()),
        }
    }

    /// Calls `each` with every row of a block, in the order of the lines.
    ///
    /// # Errors
    /// [`NotPlain`] where the block must be read record by record. `each` may have been called by then.
    pub fn rows(&self, block: &Block, mut each: impl FnMut(&PlainRow<'_>)) -> Result<(), NotPlain> {
        let (mut rest, mut line, mut any) = (&block.bytes[..], block.line, false);
        while !rest.is_empty() {
            let (bytes, after) = rest.split_at(whole_lines(rest));
            rest = after;
            let text = std::str::from_utf8(bytes).map_err(|_| NotPlain)?;
            let (is_simple, has_quote) = look(bytes);
            // A CR within a line ends that line.
            let lone = |at: usize| bytes.get(at + 1) != Some(&b'\n');
            if !is_simple && memchr::memchr_iter(b'\r', bytes).any(lone) {
                return Err(NotPlain);
            }
            let calm = is_simple || is_calm(bytes);
            let each = |row: &PlainRow<'_>| {
                any = true;
                each(row);
            };
            line = match self.format {
                Format::JsonLines => self.json_rows(text, line, calm, each),
                Format::Csv if has_quote => self.quoted_rows(text, line, calm, each),
                Format::Csv => self.csv_rows(text, line, calm, each),
            }?;
        }
        // A block without a record counts towards the bytes that may hold none.
        any.then_some(()).ok_or(NotPlain)
    }

    /// Rows of which each is one line, though cells are quoted. As the others do, it returns the number of the last line. What was read before ended with a row, so this block begins with one.
    fn quoted_rows(
        &self,
        text: &str,
        mut line: u64,
        calm: bool,
        mut each: impl FnMut(&PlainRow<'_>),
    ) -> Result<u64, NotPlain> {
        let mut quoted = CsvRow::default();
        for whole in text.split_inclusive('\n') {
            line += 1;
            let row = whole.trim_end_matches(['\r', '\n']);
            if row.is_empty() {
                continue;
            }
            quoted.clear();
            if row.len() > RECORD_BYTES_MAX || quoted.take(whole.as_bytes()) != LineOutcome::Whole {
                return Err(NotPlain);
            }
            let mut cells = [""; SLOTS];
            let texts = quoted.cells();
            for (slot, text) in self.slots.iter().zip(&texts) {
                cells[*slot as usize % SLOTS] = text;
            }
            each(&PlainRow {
                line,
                text: row,
                cells: (texts.len() == self.slots.len()).then_some(&cells),
                instants: &NO_INSTANTS,
                calm,
                quoted: Some(&quoted),
            });
        }
        Ok(line)
    }

    fn csv_rows(
        &self,
        text: &str,
        mut line: u64,
        calm: bool,
        mut each: impl FnMut(&PlainRow<'_>),
    ) -> Result<u64, NotPlain> {
        let bytes = text.as_bytes();
        let mut cells = [""; SLOTS];
        let mut delimiters = Delimiters::new(bytes);
        let mut first = 0;
        while first < bytes.len() {
            let (mut start, mut end, mut columns) = (first, None, 0);
            for (slot, at) in self.slots.iter().zip(&mut delimiters) {
                cells[*slot as usize % SLOTS] = &text[start..at];
                columns += 1;
                start = at + 1;
                if bytes[at] == b'\n' {
                    end = Some(at);
                    break;
                }
            }
            let mut is_plain = columns == self.slots.len();
            // A row with more cells than the header ends somewhere behind them.
            let end = end.or_else(|| {
                is_plain = false;
                delimiters.find(|at| bytes[*at] == b'\n')
            });
            let Some(end) = end else {
                break;
            };
            line += 1;
            let mut row = &text[first..end];
            if let Some(shorter) = row.strip_suffix('\r') {
                row = shorter;
                let last = self.slots[columns.saturating_sub(1)];
                let cell = &mut cells[last as usize % SLOTS];
                *cell = cell.strip_suffix('\r').unwrap_or(cell);
            }
            if row.len() > RECORD_BYTES_MAX {
                return Err(NotPlain);
            }
            if !row.is_empty() {
                each(&PlainRow {
                    line,
                    text: row,
                    cells: is_plain.then_some(&cells),
                    instants: &NO_INSTANTS,
                    calm,
                    quoted: None,
                });
            }
            first = end + 1;
        }
        Ok(line)
    }

    fn json_rows(
        &self,
        text: &str,
        mut line: u64,
        calm: bool,
        mut each: impl FnMut(&PlainRow<'_>),
    ) -> Result<u64, NotPlain> {
        let mut keys = Keys::default();
        let mut start = 0;
        for at in memchr::memchr_iter(b'\n', text.as_bytes()) {
            let row = &text[start..at];
            let row = row.strip_suffix('\r').unwrap_or(row);
            (start, line) = (at + 1, line + 1);
            if row.len() > RECORD_BYTES_MAX {
                return Err(NotPlain);
            }
            if row.trim_ascii().is_empty() {
                continue;
            }
            let mut cells = [""; SLOTS];
            let is_plain = self.json_cells(row, &mut keys, &mut cells).is_some();
            each(&PlainRow {
                line,
                text: row,
                cells: is_plain.then_some(&cells),
                instants: &NO_INSTANTS,
                calm,
                quoted: None,
            });
        }
        Ok(line)
    }

    /// Finds the values of a JSON object without nested values and escapes; `None` for any other text.
    fn json_cells<'b>(
        &self,
        row: &'b str,
        keys: &mut Keys<'b>,
        cells: &mut [&'b str; SLOTS],
    ) -> Option<()> {
        let mut rest = Scan(row);
        rest.take(b'{')?;
        for nth in 0.. {
            let key = rest.text()?;
            rest.take(b':')?;
            let slot = keys.slot(nth, key, self.fields) as usize;
            let cell = match (rest.value()?, self.fields.get(slot)) {
                (Value::Null, _) | (_, None) => "",
                (Value::Text(""), _) => return None,
                (
                    Value::Text(text),
                    Some(Field::Text(_) | Field::Instant(_) | Field::Amount(_)),
                ) => text,
                (Value::Number(text), Some(Field::Amount(_))) => text,
                (Value::Flag(text), Some(Field::Flag(_))) => text,
                _ => return None,
            };
            cells[slot % SLOTS] = cell;
            match rest.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        rest.skip_blank();
        rest.0.is_empty().then_some(())
    }
}

/// The keys of the last object, each with its slot. Most objects of a file have the same keys in the same order.
#[derive(Default)]
struct Keys<'b>(Vec<(&'b str, u8)>);

impl<'b> Keys<'b> {
    fn slot(&mut self, nth: usize, key: &'b str, fields: &[Field]) -> u8 {
        match self.0.get(nth) {
            Some((known, slot)) if *known == key => return *slot,
            _ => self.0.truncate(nth),
        }
        let slot = fields.iter().position(|field| field.name() == key);
        let slot = slot.map_or(IGNORED, |slot| slot as u8);
        self.0.push((key, slot));
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BLOCK_BYTES, FileRules, Layout, NotUtf8, Records};

    const FIELDS: &[Field] = &[
        Field::Text("a"),
        Field::Flag("b"),
        Field::Amount("c"),
        Field::List("d"),
    ];

    /// The cells of each row of a file, or what [`Records`] says of the row; `None` where the first block is not plain.
    fn rows(name: &str, content: &str) -> Option<Vec<String>> {
        let rules = FileRules {
            needed: &["a"],
            not_utf8: NotUtf8::SpoilsField,
        };
        let layout = Layout::of_name(name);
        let mut records = Records::open(content.as_bytes(), layout, rules).unwrap();
        let plan = records.plan(FIELDS).unwrap();
        let mut block = Block::default();
        assert!(records.next_block(&mut block, BLOCK_BYTES));
        let mut rows = Vec::new();
        let read = plan.rows(&block, |row| {
            let cells = row.cells.map(|cells| cells[..4].join("|"));
            let problem = || {
                plan.record(row)
                    .map_or_else(|problem| problem.detail, |_| "?".into())
            };
            rows.push(format!("{} {}", row.line, cells.unwrap_or_else(problem)));
        });
        read.ok().map(|()| rows)
    }

    #[test]
    fn which_rows_are_plain() {
        for (name, content, expected) in [
            (
                "x.csv",
                "a,b\n1,2\n\n3,4\n",
                Some(&["2 1|2||", "4 3|4||"][..]),
            ),
            ("x.csv", "b,x,a\r\n1,2,3\r\n", Some(&["2 3|1||"])),
            (
                "x.csv",
                "a\n1,2\n3\n",
                Some(&["2 this row has 2 cells, the header has 1", "3 3|||"]),
            ),
            ("x.csv", "a,b\n1,\"2,\"\"\"\n", Some(&["2 1|2,\"||"])),
            (
                "x.csv",
                "a,b\n\"1\"\n2,\n",
                Some(&["2 this row has 1 cell, the header has 2", "3 2|||"]),
            ),
            ("x.csv", "a,b\n1,\"2\n3\"\n", None),
            ("x.csv", "a,b\n1,\"2\"3\n", None),
            ("x.csv", "a,b\n1,2\r3,4\n", None),
            ("x.csv", "a,b\n\n\n", None),
            (
                "x.jsonl",
                "{\"a\":\"1\"}\n \n{ \"c\" : 2 ,\"x\":null}\n",
                Some(&["1 1|||", "3 ||2|"]),
            ),
            (
                "x.jsonl",
                "{\"a\":\"1\",\"b\":true,\"c\":\"3\"}\n",
                Some(&["1 1|true|3|"]),
            ),
            (
                "x.jsonl",
                "{\"a\":\"1\",\"a\":\"2\",\"x\":\"\"}\n",
                Some(&["1 2|||"]),
            ),
            (
                "x.jsonl",
                "{\"d\":null,\"x\":-1.5,\"y\":false}\n",
                Some(&["1 |||"]),
            ),
            // What `Records` must look at: it takes these.
            (
                "x.jsonl",
                "{\"a\":1}\n{\"a\":\"\"}\n{\"a\":\"\\u0041\"}\n",
                Some(&["1 ?", "2 ?", "3 ?"]),
            ),
            (
                "x.jsonl",
                "{\"b\":\"true\"}\n{\"d\":\"e\"}\n{\"x\":[]}\n{}\n",
                Some(&["1 ?", "2 ?", "3 ?", "4 ?"]),
            ),
            (
                "x.jsonl",
                "{\"x\":1e3}\n{\"c\":0}\n",
                Some(&["1 ?", "2 ||0|"]),
            ),
            ("x.jsonl", "{\"a\":\"1\"}\r{\"a\":\"2\"}\n", None),
        ] {
            let expected = expected.map(|rows| rows.iter().map(|row| (*row).to_owned()).collect());
            assert_eq!(rows(name, content), expected, "{content}");
        }
        for bad in [
            "01",
            "1.",
            ".5",
            "-",
            "nul",
            "1}",
            "{\"a\":\"1\"} x",
            "\"\t\"",
        ] {
            let found = rows("x.jsonl", &format!("{{\"x\":{bad}}}\n")).unwrap();
            assert!(
                found[0].starts_with("1 this is no JSON"),
                "{bad}: {found:?}"
            );
        }
    }
}
