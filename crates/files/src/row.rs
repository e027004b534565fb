//! One CSV row into cells (RFC 4180). Not by the `csv` crate, which joins what follows a closing quote to the cell, lets an
//! unclosed quote swallow the rest of the file, and miscounts lines that end in CR LF or are blank.

use crate::SUBSTITUTE;
use crate::lines::without_end;

/// A row as far as it was read; used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Row {
    bytes: Vec<u8>,
    /// Where in `bytes` each finished cell ends.
    ends: Vec<usize>,
    at: At,
}

/// Where in a cell the reading stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    Plain,
    Quoted,
    /// After a quote inside a quoted cell: its end, or the first half of a doubled quote.
    Quote,
}

/// What became of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The row is complete.
    Whole,
    /// A quoted cell goes on in the next line.
    Open,
    /// This is no CSV, and why.
    Broken(String),
}

impl Row {
    /// Forgets the row.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.at = At::Start;
    }

    /// Takes a line with its end. A quote inside a cell that does not begin with one stands for itself.
    pub(crate) fn take(&mut self, line: &[u8]) -> Taken {
        let content = without_end(line);
        for &byte in content {
            self.at = match (self.at, byte) {
                (At::Start | At::Plain | At::Quote, b',') => {
                    self.ends.push(self.bytes.len());
                    At::Start
                }
                (At::Start, b'"') => At::Quoted,
                (At::Quoted, b'"') => At::Quote,
                (At::Quote, byte) if byte != b'"' => {
                    let cell = self.ends.len() + 1;
                    return Taken::Broken(format!("cell {cell} goes on after its closing quote"));
                }
                (at, byte) => {
                    self.bytes.push(byte);
                    match at {
                        At::Quoted | At::Quote => At::Quoted,
                        At::Start | At::Plain => At::Plain,
                    }
                }
            };
        }
        if self.at == At::Quoted {
            self.bytes.extend_from_slice(&line[content.len()..]);
            return Taken::Open;
        }
        self.ends.push(self.bytes.len());
        Taken::Whole
    }

    /// The bytes of each cell of a whole row.
    pub(crate) fn raw(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.bytes[*start..*end])
    }

    /// Puts [`SUBSTITUTE`] for what is not UTF-8; says in which cells, by their index, and the first such byte of each.
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

    /// The cells of a whole row that was mended.
    pub(crate) fn cells(&self) -> Vec<&str> {
        let text = std::str::from_utf8(&self.bytes).unwrap_or_default();
        let starts = std::iter::once(&0).chain(&self.ends);
        let cells = starts
            .zip(&self.ends)
            .map(|(start, end)| text.get(*start..*end));
        cells.map(Option::unwrap_or_default).collect()
    }
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
            let mut row = Row::default();
            let taken: Vec<Taken> = lines.iter().map(|line| row.take(line.as_bytes())).collect();
            let (last, before) = taken.split_last().unwrap();
            assert!(before.iter().all(|t| *t == Taken::Open), "{lines:?}");
            match expected {
                Some(cells) => {
                    assert_eq!(*last, Taken::Whole, "{lines:?}");
                    assert_eq!(row.cells(), cells, "{lines:?}");
                }
                None => assert!(matches!(last, Taken::Broken(_)), "{lines:?}"),
            }
        }
        let mut row = Row::default();
        assert_eq!(row.take(b"\xc3,\xa9\n"), Taken::Whole);
        assert_eq!(row.mend(), [(0, 0xc3), (1, 0xa9)]);
        assert_eq!(row.cells(), ["\u{1a}", "\u{1a}"]);
    }
}
