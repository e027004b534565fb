//! Lines with their numbers. A line ends in LF, CR LF or CR, also mixed in one file. Lines can be put back to be read again.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use crate::bytes::{Begun, Source, SourceFailed, Unpacked};
use crate::content::not_utf8;
use crate::{FileFault, RECORD_BYTES_MAX};

/// The most bytes without a record. A file with more is not a list of records: a gzip bomb of 1 MiB unpacks to as much.
const SILENT_BYTES_MAX: u64 = 1 << 30;
/// How many bytes may be read again because of unclosed quotes: this many, plus `AGAIN_TIMES_MAX` times the bytes read so far.
/// One stray quote costs the length of a record, but a file full of them must not cost the square of its length.
const AGAIN_BYTES_MAX: u64 = 64 << 20;
const AGAIN_TIMES_MAX: u64 = 16;

const BUFFER_BYTES: usize = 128 << 10;
/// Empty lines are compared with these at once; a file of a gibibyte of them would take seconds byte by byte.
const LINE_FEEDS: [u8; 4 << 10] = [b'\n'; 4 << 10];

pub(crate) type Bytes<R> = Begun<Unpacked<Begun<Source<R>>>>;

/// Some whole lines of a file.
#[derive(Debug, Default)]
pub struct Block {
    pub(crate) bytes: Vec<u8>,
    /// The number of the line before the first.
    pub(crate) line: u64,
    /// How many bytes of the file were read up to the end of the last record before this block.
    pub(crate) silent_since: u64,
}

#[derive(Debug)]
pub(crate) struct Lines<R: Read> {
    bytes: BufReader<Bytes<R>>,
    put_back: Cursor<Vec<u8>>,
    /// What was read as a part of a block that was given back, or behind the last line of one. It counts as not read.
    given_back: Cursor<Vec<u8>>,
    /// The error that occurred when only the next byte was looked at. It is returned by the next read.
    failed: Option<io::Error>,
    /// True where a line that is not UTF-8 fails the file.
    utf8_only: bool,
    /// The number of the line that was read last; 0 before the first line.
    number: u64,
    /// The number of bytes of the file that were read.
    read: u64,
    /// The number of bytes that were read up to the end of the last record.
    silent_since: u64,
    /// The number of bytes that were put back.
    again: u64,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(bytes: Bytes<R>, utf8_only: bool) -> Self {
        Self {
            bytes: BufReader::with_capacity(BUFFER_BYTES, bytes),
            put_back: Cursor::default(),
            given_back: Cursor::default(),
            failed: None,
            utf8_only,
            number: 0,
            read: 0,
            silent_since: 0,
            again: 0,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The number of bytes of the file that were read, after decompression.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Notes that a record ends here.
    pub(crate) fn end_record(&mut self) {
        self.silent_since = self.read;
    }

    /// Skips blank lines, as far as they are in the buffer already. A file of only blank lines is read as fast as it arrives.
    pub(crate) fn skip_blank(&mut self) -> Result<(), FileFault> {
        loop {
            let block = match self.fill() {
                Ok(block) => block,
                Err(error) => return Err(self.fault(error)),
            };
            let (mut length, mut lines) = (0, 0);
            while block[length..].starts_with(&LINE_FEEDS) {
                length += LINE_FEEDS.len();
            }
            lines += length as u64;
            loop {
                length += match &block[length..] {
                    [b'\r', b'\n', ..] => 2,
                    // What follows a CR at the end of the buffer is not known yet, so that CR is left for later.
                    [b'\n', ..] | [b'\r', _, ..] => 1,
                    _ => break,
                };
                lines += 1;
            }
            if length == 0 {
                return Ok(());
            }
            self.consume(length);
            self.number += lines;
            self.check_silence()?;
        }
    }

    /// Appends the next line with its line end; returns false at the end of the file. Of a line that is too long, only the bytes
    /// up to the first byte beyond [`RECORD_BYTES_MAX`] are appended, and the line end.
    pub(crate) fn read(&mut self, line: &mut Vec<u8>) -> Result<bool, FileFault> {
        let start = line.len();
        let mut any = false;
        loop {
            let block = match self.fill() {
                Ok(block) => block,
                Err(error) => return Err(self.fault(error)),
            };
            if block.is_empty() {
                break;
            }
            let end = memchr::memchr2(b'\n', b'\r', block);
            let content = &block[..end.unwrap_or(block.len())];
            let room = (RECORD_BYTES_MAX + 1).saturating_sub(line.len() - start);
            line.extend_from_slice(&content[..content.len().min(room)]);
            let (length, end) = (content.len(), end.map(|end| block[end]));
            any = true;
            let Some(end) = end else {
                self.consume(length);
                self.check_silence()?;
                continue;
            };
            line.push(end);
            self.consume(length + 1);
            self.check_silence()?;
            if end == b'\r' && self.line_feed_follows() {
                line.push(b'\n');
                self.consume(1);
            }
            break;
        }
        self.number += u64::from(any);
        if self.utf8_only && without_end(&line[start..]).len() <= RECORD_BYTES_MAX {
            self.check_utf8(&line[start..])?;
        }
        Ok(any)
    }

    /// Puts back all lines of `text` except the first, which stays in `text`. The next line read is then the one after line
    /// `first`.
    pub(crate) fn put_back_after(
        &mut self,
        first: u64,
        text: &mut Vec<u8>,
    ) -> Result<(), FileFault> {
        let end = memchr::memchr2(b'\n', b'\r', text).map_or(text.len(), |at| {
            at + 1 + usize::from(text[at..].starts_with(b"\r\n"))
        });
        let mut rest = text.split_off(end);
        if !rest.is_empty() {
            let unread = self.put_back.position() as usize;
            rest.extend_from_slice(&self.put_back.get_ref()[unread..]);
            self.again += rest.len() as u64;
            if self.again > AGAIN_BYTES_MAX + AGAIN_TIMES_MAX * self.read {
                return Err(FileFault::Content(format!(
                    "line {first}: again and again quotes are opened and not closed; is every quote inside a cell doubled?"
                )));
            }
            self.put_back = Cursor::new(rest);
        }
        self.number = first;
        Ok(())
    }

    fn is_put_back(&self) -> bool {
        is_left(&self.put_back)
    }

    /// Reads as many whole lines as fit into so many bytes. Returns false where there are none: at the end of the file, before an
    /// error, or where a line is longer. What was read then is still to be read.
    pub(crate) fn next_block(&mut self, block: &mut Block, bytes_max: usize) -> bool {
        block.line = self.number;
        block.silent_since = self.silent_since;
        if self.is_put_back() {
            block.bytes.clear();
            return false;
        }
        // What the block held before is overwritten: to clear that much memory first takes as long as to parse some of it.
        let mut length = 0;
        while length < bytes_max {
            if length == block.bytes.len() {
                let more = (2 * length).max(BUFFER_BYTES).min(bytes_max);
                block.bytes.resize(more, 0);
            }
            let room = block.bytes.len().min(bytes_max);
            match self.read_some(&mut block.bytes[length..room]) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        block.bytes.truncate(length);
        let whole = memchr::memrchr(b'\n', &block.bytes).map_or(0, |at| at + 1);
        self.return_unread(&block.bytes[whole..]);
        block.bytes.truncate(whole);
        if whole == 0 {
            return false;
        }
        self.number += memchr::memchr_iter(b'\n', &block.bytes).count() as u64;
        // The last record ends with its line. Blank lines behind it are silent.
        let blank = block.bytes.trim_ascii_end().len();
        let blank = &block.bytes[blank..];
        let end = 1 + usize::from(blank.starts_with(b"\r\n"));
        self.silent_since = self.read - blank.len().saturating_sub(end) as u64;
        true
    }

    /// Gives blocks back that were read one after the other, the last ones. They are read again.
    pub(crate) fn give_back(&mut self, blocks: &[Block]) {
        let Some(first) = blocks.first() else {
            return;
        };
        let bytes: Vec<&[u8]> = blocks.iter().map(|block| &block.bytes[..]).collect();
        self.return_unread(&bytes.concat());
        self.number = first.line;
        self.silent_since = first.silent_since;
    }

    fn return_unread(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let left = self.given_back.position() as usize;
        let left = &self.given_back.get_ref()[left..];
        self.given_back = Cursor::new([bytes, left].concat());
        self.read -= bytes.len() as u64;
    }

    /// The next bytes of the file; empty at its end.
    fn fill(&mut self) -> io::Result<&[u8]> {
        if self.is_put_back() {
            return self.put_back.fill_buf();
        }
        if is_left(&self.given_back) {
            return self.given_back.fill_buf();
        }
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.bytes.fill_buf(),
        }
    }

    /// Reads some of the next bytes, of which none is put back; 0 at the end of the file.
    fn read_some(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = match (is_left(&self.given_back), self.failed.take()) {
            (true, failed) => {
                self.failed = failed;
                self.given_back.read(to)
            }
            (false, Some(error)) => Err(error),
            (false, None) => self.bytes.read(to),
        }?;
        self.read += read as u64;
        Ok(read)
    }

    fn consume(&mut self, bytes: usize) {
        if self.is_put_back() {
            self.put_back.consume(bytes);
            return;
        }
        match is_left(&self.given_back) {
            true => self.given_back.consume(bytes),
            false => self.bytes.consume(bytes),
        }
        self.read += bytes as u64;
    }

    fn line_feed_follows(&mut self) -> bool {
        match self.fill() {
            Ok(block) => block.first() == Some(&b'\n'),
            // The line before the error is complete, so the error is kept for the next read.
            Err(error) => {
                self.failed = Some(error);
                false
            }
        }
    }

    fn check_utf8(&self, line: &[u8]) -> Result<(), FileFault> {
        let Err(error) = std::str::from_utf8(line) else {
            return Ok(());
        };
        let at = error.valid_up_to();
        let why = not_utf8(line.get(at).copied().unwrap_or_default());
        let (line, byte) = (self.number, at + 1);
        Err(FileFault::Content(format!(
            "line {line}, byte {byte}: {why}"
        )))
    }

    fn check_silence(&self) -> Result<(), FileFault> {
        if self.read - self.silent_since <= SILENT_BYTES_MAX {
            return Ok(());
        }
        Err(FileFault::Content(format!(
            "there is no record in {} GiB before the end of line {}: this is no list of records",
            SILENT_BYTES_MAX >> 30,
            self.number + 1
        )))
    }

    fn fault(&self, error: io::Error) -> FileFault {
        let place = match self.number {
            0 => "at its beginning".to_owned(),
            line => format!("after line {line}"),
        };
        fault(error, self.bytes.get_ref().source().name(), &place)
    }
}

fn is_left(bytes: &Cursor<Vec<u8>>) -> bool {
    (bytes.position() as usize) < bytes.get_ref().len()
}

/// Makes a fault of a failure of the storage or of what unpacks, which is called `what`.
pub(crate) fn fault(error: io::Error, what: &str, place: &str) -> FileFault {
    let packed = match error.downcast::<SourceFailed>() {
        Ok(SourceFailed(error)) => return FileFault::Source(error),
        Err(error) => error,
    };
    let why = match packed.kind() {
        io::ErrorKind::UnexpectedEof => "it ends in the middle: was it uploaded whole?".to_owned(),
        _ => packed.to_string(),
    };
    FileFault::Content(format!("the {what} is broken {place}: {why}"))
}

/// A line without its line end.
pub(crate) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
