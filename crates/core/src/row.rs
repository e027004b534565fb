//! One CSV row into cells (RFC 4180). Not by the `csv` crate, which joins what follows a closing quote to the cell, lets an
//! unclosed quote swallow the rest of the file, and miscounts lines that end in CR LF or are blank.

/// A row as far as it was read; used again for the next.
#[derive(Debug, Default)]
pub struct Row {
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
pub enum Taken {
    /// The row is complete.
    Whole,
    /// A quoted cell goes on in the next line.
    Open,
    /// This is no CSV, and why.
    Broken(String),
}

impl Row {
    /// Forgets the row.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.at = At::Start;
    }

    /// Takes a line with its end. A quote inside a cell that does not begin with one stands for itself.
    pub fn take(&mut self, line: &[u8]) -> Taken {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
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

    /// Puts the control character SUBSTITUTE for what is not UTF-8: no id, time, amount or word holds it, so each such cell is
    /// refused by itself where it matters, and free text that is damaged refuses no row.
    pub fn mend(&mut self) {
        let whole = |text: &str| self.ends.iter().all(|end| text.is_char_boundary(*end));
        if std::str::from_utf8(&self.bytes).is_ok_and(whole) {
            return;
        }
        let (mut mended, mut ends, mut start) = (Vec::new(), Vec::new(), 0);
        for &end in &self.ends {
            for chunk in self.bytes[start..end].utf8_chunks() {
                mended.extend_from_slice(chunk.valid().as_bytes());
                if !chunk.invalid().is_empty() {
                    mended.push(0x1a);
                }
            }
            ends.push(mended.len());
            start = end;
        }
        (self.bytes, self.ends) = (mended, ends);
    }

    /// The cells of a whole row.
    ///
    /// # Errors
    /// Which cell is not UTF-8.
    pub fn cells(&self) -> Result<Vec<&str>, String> {
        let mut start = 0;
        let mut cells = Vec::with_capacity(self.ends.len());
        for &end in &self.ends {
            let cell = std::str::from_utf8(&self.bytes[start..end])
                .map_err(|_| format!("cell {} is not UTF-8", cells.len() + 1))?;
            cells.push(cell);
            start = end;
        }
        Ok(cells)
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
                    assert_eq!(row.cells().unwrap(), cells, "{lines:?}");
                }
                None => assert!(matches!(last, Taken::Broken(_)), "{lines:?}"),
            }
        }
        let mut row = Row::default();
        assert_eq!(row.take(b"\xc3,\xa9\n"), Taken::Whole);
        assert_eq!(row.cells(), Err("cell 1 is not UTF-8".to_owned()));
        row.mend();
        assert_eq!(row.cells().unwrap(), ["\u{1a}", "\u{1a}"]);
    }
}
