//! A file into records with their lines: CSV (RFC 4180) and JSON lines, plain or gzipped, UTF-8. The file streams: what is held is
//! one record, whatever the file's size. What a record means is not known here.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;
use revtrail_core::record::{Code, Problem, Record};
use revtrail_core::row::{Row, Taken};

/// The longest record, in bytes: a redemption is some hundred.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// As much of a longer record is shown in what is rejected, in bytes.
const SHOWN_BYTES_MAX: usize = 1 << 10;
/// Bytes without one record after which a file is no list of records: a gzip bomb of 1 MiB unpacks to as much.
const SILENT_BYTES_MAX: u64 = 1 << 30;
/// Bytes that may be read again because of quotes that were not closed, and as many times what was read: a stray quote costs a
/// record's length, and a file of nothing else must not cost its square.
const AGAIN_BYTES_MAX: u64 = 64 << 20;
const AGAIN_TIMES_MAX: u64 = 16;
/// The columns that a CSV file must have.
const NEEDED: [&str; 3] = ["redemption_id", "promotion_id", "customer_id"];
/// Those that it may have.
const OPTIONAL: [&str; 9] = [
    "voucher_code",
    "tier_id",
    "assignment_id",
    "order_id",
    "redeemed_at",
    "result",
    "failure_code",
    "reward_amount",
    "currency",
];

const BUFFER_BYTES: usize = 128 << 10;

/// How records stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A header, and a row a record.
    Csv,
    /// A JSON object a line.
    JsonLines,
}

/// Why a file cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// What holds the file failed: the same may be tried again.
    #[error("failed to read the file: {0}")]
    Source(io::Error),
    /// The file itself is at fault, and the sentence says how, to whoever made it.
    #[error("{0}")]
    Content(String),
}

/// One record of a file.
#[derive(Debug)]
pub struct Line<'r> {
    /// The line it starts on; the first of the file is 1.
    pub number: u64,
    /// As it stands in the file, without the end of its last line; of a record that is too long only the beginning.
    pub text: Cow<'r, str>,
    /// The record, or why it is none.
    pub record: Result<Record<'r>, Problem>,
}

/// The records of a file, one after the other.
#[derive(Debug)]
pub struct Rows<R: Read> {
    lines: Lines<R>,
    format: Format,
    header: Option<Vec<String>>,
    /// The record read last: its line, its bytes and, of CSV, its cells.
    number: u64,
    text: Vec<u8>,
    row: Row,
}

impl<R: Read> Rows<R> {
    /// Reads from the beginning of a file.
    pub fn new(bytes: R, format: Format, gzipped: bool) -> Self {
        let source = BufReader::with_capacity(BUFFER_BYTES, Source(bytes));
        let bytes = match gzipped {
            true => Bytes::Gzipped(MultiGzDecoder::new(source)),
            false => Bytes::Plain(source),
        };
        Self {
            lines: Lines {
                bytes: BufReader::with_capacity(BUFFER_BYTES, bytes),
                put_back: Cursor::default(),
                number: 0,
                read: 0,
                silent_since: 0,
                again: 0,
            },
            format,
            header: None,
            number: 0,
            text: Vec::new(),
            row: Row::default(),
        }
    }

    /// The next record; `None` at the end of the file.
    ///
    /// # Errors
    /// Why the file cannot be read on. What was read before stays good.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, Fault> {
        let Some(whole) = self.advance()? else {
            return Ok(None);
        };
        let text = match self.text.len() {
            ..=RECORD_BYTES_MAX => String::from_utf8_lossy(without_end(&self.text)),
            _ => String::from_utf8_lossy(&self.text[..SHOWN_BYTES_MAX]),
        };
        let header = self.header.as_deref().unwrap_or_default();
        let record = match (whole, self.format) {
            (Err(problem), _) => Err(problem),
            (Ok(()), Format::JsonLines) => match std::str::from_utf8(&self.text) {
                Ok(text) => Record::from_json(text.trim_ascii()),
                Err(_) => Err(Problem::whole(Code::NotJson, "this line is not UTF-8")),
            },
            (Ok(()), Format::Csv) => match self.row.cells() {
                Ok(cells) if cells.len() == header.len() => Ok(Record::Row(header, cells)),
                Ok(cells) => Err(not_csv(format!(
                    "this row has {} cells, the header has {}",
                    cells.len(),
                    header.len()
                ))),
                Err(why) => Err(not_csv(why)),
            },
        };
        Ok(Some(Line {
            number: self.number,
            text,
            record,
        }))
    }

    /// Goes past the next record; false at the end of the file.
    ///
    /// # Errors
    /// As [`Rows::next_line`].
    pub fn skip(&mut self) -> Result<bool, Fault> {
        Ok(self.advance()?.is_some())
    }

    /// Reads the bytes of the next record, or what is wrong with them.
    fn advance(&mut self) -> Result<Option<Result<(), Problem>>, Fault> {
        let advanced = match self.format {
            Format::JsonLines => self.advance_line(),
            Format::Csv => {
                if self.header.is_none() {
                    self.header = Some(self.read_header()?);
                }
                self.advance_row()
            }
        };
        self.lines.silent_since = self.lines.read;
        advanced
    }

    fn advance_line(&mut self) -> Result<Option<Result<(), Problem>>, Fault> {
        loop {
            self.text.clear();
            if !self.lines.read(&mut self.text)? {
                return Ok(None);
            }
            self.number = self.lines.number;
            if self.text.len() > RECORD_BYTES_MAX {
                return Ok(Some(Err(too_long(Code::NotJson))));
            }
            if !self.text.trim_ascii().is_empty() {
                return Ok(Some(Ok(())));
            }
        }
    }

    /// Of a row that breaks off in the middle only the first line is lost: one stray quote must not swallow the rows below it.
    fn advance_row(&mut self) -> Result<Option<Result<(), Problem>>, Fault> {
        self.row.clear();
        self.text.clear();
        loop {
            let start = self.text.len();
            let more = self.lines.read(&mut self.text)?;
            if start == 0 {
                if !more {
                    return Ok(None);
                }
                if without_end(&self.text).is_empty() {
                    self.text.clear();
                    continue;
                }
                self.number = self.lines.number;
                if self.text.len() > RECORD_BYTES_MAX {
                    return Ok(Some(Err(too_long(Code::NotCsv))));
                }
            }
            let taken = match more {
                true if self.text.len() <= RECORD_BYTES_MAX => self.row.take(&self.text[start..]),
                true => Taken::Broken(format!(
                    "a quote that opens in this row is not closed within {} MiB",
                    RECORD_BYTES_MAX >> 20
                )),
                false => Taken::Broken("a quote that opens in this row is not closed".to_owned()),
            };
            match taken {
                Taken::Whole => return Ok(Some(Ok(()))),
                Taken::Open => {}
                Taken::Broken(why) => {
                    self.lines.put_back_after(self.number, &mut self.text)?;
                    return Ok(Some(Err(not_csv(why))));
                }
            }
        }
    }

    fn read_header(&mut self) -> Result<Vec<String>, Fault> {
        let needed = NEEDED.join(", ");
        let row = self.advance_row()?.ok_or_else(|| {
            Fault::Content(format!(
                "the file is empty: the first line of a CSV file names its columns, at least {needed}"
            ))
        })?;
        let unreadable = |why: String| Fault::Content(format!("the header cannot be read: {why}"));
        row.map_err(|problem| unreadable(problem.detail))?;
        let names = self.row.cells().map_err(unreadable)?;
        let times = |column: &str| names.iter().filter(|name| **name == column).count();
        let missing: Vec<&str> = NEEDED.into_iter().filter(|c| times(c) == 0).collect();
        if !missing.is_empty() {
            return Err(Fault::Content(format!(
                "the header has no column {}; it has {}",
                missing.join(", "),
                some_of(&names)
            )));
        }
        match NEEDED.into_iter().chain(OPTIONAL).find(|c| times(c) > 1) {
            Some(name) => Err(Fault::Content(format!(
                "the header has the column {name} twice"
            ))),
            None => Ok(names.into_iter().map(str::to_owned).collect()),
        }
    }
}

/// Names for a sentence, which stays one whatever they are.
fn some_of(names: &[&str]) -> String {
    let text = names.join(", ").replace(char::is_control, " ");
    let end = text.floor_char_boundary(300);
    let more = if end < text.len() { " …" } else { "" };
    format!("{}{more}", &text[..end])
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn not_csv(why: String) -> Problem {
    Problem::whole(Code::NotCsv, why)
}

fn too_long(code: Code) -> Problem {
    let detail = format!(
        "a record has at most {} MiB; only the beginning of this one is shown",
        RECORD_BYTES_MAX >> 20
    );
    Problem::whole(code, detail)
}

/// What holds the file, its failures marked as such: the gzip reader has failures of its own.
#[derive(Debug)]
struct Source<R>(R);

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SourceFailed(io::Error);

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            // Readers try again by themselves.
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, SourceFailed(error)),
        })
    }
}

#[derive(Debug)]
enum Bytes<R: Read> {
    Plain(BufReader<Source<R>>),
    Gzipped(MultiGzDecoder<BufReader<Source<R>>>),
}

impl<R: Read> Read for Bytes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(bytes) => bytes.read(buffer),
            Self::Gzipped(bytes) => bytes.read(buffer),
        }
    }
}

/// Lines with their numbers; lines can be put back. A byte order mark is skipped.
#[derive(Debug)]
struct Lines<R: Read> {
    bytes: BufReader<Bytes<R>>,
    put_back: Cursor<Vec<u8>>,
    /// Of the line read last; 0 before the first.
    number: u64,
    /// Bytes of the file.
    read: u64,
    /// Bytes up to the last record.
    silent_since: u64,
    /// Bytes put back.
    again: u64,
}

impl<R: Read> Lines<R> {
    /// Appends the next line, with its end; false at the end of the file. Of a line that is too long only a part beyond
    /// [`RECORD_BYTES_MAX`] is appended, enough to see that it is too long.
    fn read(&mut self, line: &mut Vec<u8>) -> Result<bool, Fault> {
        let start = line.len();
        // Memory does not fail.
        if self.put_back.read_until(b'\n', line).unwrap_or(0) == 0 {
            let most = RECORD_BYTES_MAX + 1;
            let read = (&mut self.bytes)
                .take(most as u64)
                .read_until(b'\n', line)
                .map_err(|error| self.fault(error))?;
            if read == 0 {
                return Ok(false);
            }
            self.read += read as u64;
            self.number += 1;
            if read == most && !line.ends_with(b"\n") {
                self.skip_rest_of_line()?;
            }
            self.check_silence()?;
        } else {
            self.number += 1;
        }
        if self.number == 1 {
            self.begin(line)?;
        }
        if line.len() - start <= RECORD_BYTES_MAX {
            self.check_utf8(&line[start..])?;
        }
        Ok(true)
    }

    /// Looks at the first line for how the file is encoded.
    fn begin(&self, line: &mut Vec<u8>) -> Result<(), Fault> {
        let marked = line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff");
        if marked || line.iter().take(2).any(|byte| *byte == 0) {
            let why = "the file is UTF-16: save it as UTF-8 (in a spreadsheet, “CSV UTF-8”)";
            return Err(Fault::Content(why.to_owned()));
        }
        if line.starts_with(b"\x1f\x8b") {
            let why = "the file is gzipped, and its name does not end in .gz";
            return Err(Fault::Content(why.to_owned()));
        }
        if line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        Ok(())
    }

    fn check_utf8(&self, line: &[u8]) -> Result<(), Fault> {
        let Err(error) = std::str::from_utf8(line) else {
            return Ok(());
        };
        let at = error.valid_up_to();
        Err(Fault::Content(format!(
            "line {} is not UTF-8: its byte {} is 0x{:02X}; save the file as UTF-8",
            self.number,
            at + 1,
            line.get(at).copied().unwrap_or_default()
        )))
    }

    fn skip_rest_of_line(&mut self) -> Result<(), Fault> {
        loop {
            let (found, length) = match self.bytes.fill_buf() {
                Ok([]) => return Ok(()),
                Ok(buffer) => match buffer.iter().position(|byte| *byte == b'\n') {
                    Some(end) => (true, end + 1),
                    None => (false, buffer.len()),
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.fault(error)),
            };
            self.bytes.consume(length);
            self.read += length as u64;
            if found {
                return Ok(());
            }
            self.check_silence()?;
        }
    }

    fn check_silence(&self) -> Result<(), Fault> {
        if self.read - self.silent_since <= SILENT_BYTES_MAX {
            return Ok(());
        }
        Err(Fault::Content(format!(
            "there is no record in {} GiB before the end of line {}: this is no list of records",
            SILENT_BYTES_MAX >> 30,
            self.number
        )))
    }

    /// Puts back all lines of `text` but the first, which stays: the next line read is the one after `first`.
    fn put_back_after(&mut self, first: u64, text: &mut Vec<u8>) -> Result<(), Fault> {
        let end = text.iter().position(|&byte| byte == b'\n');
        let mut rest = text.split_off(end.map_or(text.len(), |end| end + 1));
        if !rest.is_empty() {
            let unread = self.put_back.position() as usize;
            rest.extend_from_slice(&self.put_back.get_ref()[unread..]);
            self.again += rest.len() as u64;
            if self.again > AGAIN_BYTES_MAX + AGAIN_TIMES_MAX * self.read {
                return Err(Fault::Content(format!(
                    "line {first}: again and again quotes are opened and not closed; is every quote inside a cell doubled?"
                )));
            }
            self.put_back = Cursor::new(rest);
        }
        self.number = first;
        Ok(())
    }

    fn fault(&self, error: io::Error) -> Fault {
        let gzip = match error.downcast::<SourceFailed>() {
            Ok(SourceFailed(error)) => return Fault::Source(error),
            Err(error) => error,
        };
        let why = match gzip.kind() {
            io::ErrorKind::UnexpectedEof => {
                "it ends in the middle: was it uploaded whole?".to_owned()
            }
            _ => gzip.to_string(),
        };
        let place = match self.number {
            0 => "at its beginning".to_owned(),
            line => format!("after line {line}"),
        };
        Fault::Content(format!("the gzip stream is broken {place}: {why}"))
    }
}
