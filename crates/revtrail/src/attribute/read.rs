//! Files into records with their lines: CSV and JSONL, plain or gzipped. What a record means is not known here.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;
use revtrail_core::record::{Code, Problem, Record};

use super::Failure;
use revtrail_core::row::{Row, Taken};

/// The longest line, and the longest CSV row: as much as one call of the HTTP interface takes.
const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

const BUFFER_BYTES: usize = 128 * 1024;

#[derive(Clone, Copy)]
enum Format {
    Csv,
    JsonLines,
}

/// Calls `each` with every record, or what is wrong with it, and the line it starts on; the first line is 1.
///
/// # Errors
/// A name that tells no format; a file that cannot be read to its end; a CSV header without one of the `needed` columns.
pub(crate) fn each_record(
    path: &Path,
    needed: &[&str],
    bar: &ProgressBar,
    mut each: impl FnMut(u64, Result<Record<'_>, Problem>),
) -> Result<(), Failure> {
    let (format, gzipped) = format_of(path).ok_or_else(|| Failure::UnknownFormat(path.into()))?;
    let failed = |source| Failure::Read {
        path: path.into(),
        source,
    };
    let file = bar.wrap_read(File::open(path).map_err(failed)?);
    let bytes: Box<dyn Read> = if gzipped {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(
            BUFFER_BYTES,
            file,
        )))
    } else {
        Box::new(file)
    };
    let mut lines = Lines::new(bytes);
    match format {
        Format::JsonLines => each_json(&mut lines, &mut each).map_err(failed),
        Format::Csv => {
            let header = header(&mut lines, needed)
                .map_err(failed)?
                .map_err(|detail| Failure::Header {
                    path: path.into(),
                    detail,
                })?;
            each_row(&mut lines, &header, &mut each).map_err(failed)
        }
    }
}

fn format_of(path: &Path) -> Option<(Format, bool)> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let (name, gzipped) = match name.strip_suffix(".gz") {
        Some(name) => (name, true),
        None => (name.as_str(), false),
    };
    let format = match name.rsplit_once('.')?.1 {
        "csv" => Format::Csv,
        "jsonl" | "ndjson" => Format::JsonLines,
        _ => return None,
    };
    Some((format, gzipped))
}

/// Lines with their numbers; lines can be put back. A byte order mark is skipped.
struct Lines {
    bytes: BufReader<Box<dyn Read>>,
    put_back: Cursor<Vec<u8>>,
    /// Of the line read last; 0 before the first.
    number: u64,
}

impl Lines {
    fn new(bytes: Box<dyn Read>) -> Self {
        Self {
            bytes: BufReader::with_capacity(BUFFER_BYTES, bytes),
            put_back: Cursor::default(),
            number: 0,
        }
    }

    /// Appends the next line, with its end; false at the end of the file. Of a line that is too long only a part beyond
    /// [`RECORD_BYTES_MAX`] is appended, enough to see that it is too long.
    fn read(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        if self.put_back.read_until(b'\n', line)? == 0 {
            let most = RECORD_BYTES_MAX + 1;
            let read = (&mut self.bytes)
                .take(most as u64)
                .read_until(b'\n', line)?;
            if read == 0 {
                return Ok(false);
            }
            if read == most && !line.ends_with(b"\n") {
                self.bytes.skip_until(b'\n')?;
            }
        }
        if self.number == 0 && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        self.number += 1;
        Ok(true)
    }

    /// Puts back all lines of `text` but the first: the next line read is the one after `first`.
    fn put_back_after(&mut self, first: u64, text: &[u8]) {
        let end = text.iter().position(|&b| b == b'\n');
        let mut rest = end.map_or_else(Vec::new, |end| text[end + 1..].to_vec());
        if !rest.is_empty() {
            let unread = self.put_back.position() as usize;
            rest.extend_from_slice(&self.put_back.get_ref()[unread..]);
            self.put_back = Cursor::new(rest);
        }
        self.number = first;
    }
}

fn too_long(code: Code) -> Problem {
    let mib = RECORD_BYTES_MAX / 1024 / 1024;
    Problem::whole(code, format!("a record has at most {mib} MiB"))
}

fn each_json(
    lines: &mut Lines,
    each: &mut impl FnMut(u64, Result<Record<'_>, Problem>),
) -> io::Result<()> {
    let mut line = Vec::new();
    while lines.read(&mut line)? {
        if line.len() > RECORD_BYTES_MAX {
            each(lines.number, Err(too_long(Code::NotJson)));
        } else if !line.trim_ascii().is_empty() {
            let record = std::str::from_utf8(&line)
                .map_err(|_| Problem::whole(Code::NotJson, "this line is not UTF-8"))
                .and_then(Record::from_json);
            each(lines.number, record);
        }
        line.clear();
    }
    Ok(())
}

fn each_row(
    lines: &mut Lines,
    header: &[String],
    each: &mut impl FnMut(u64, Result<Record<'_>, Problem>),
) -> io::Result<()> {
    let mut row = Row::default();
    let mut text = Vec::new();
    while let Some((line, taken)) = next_row(lines, &mut row, &mut text)? {
        row.mend();
        let record =
            taken
                .and_then(|()| row.cells())
                .and_then(|cells| match cells.len() == header.len() {
                    true => Ok(Record::Row(header, cells)),
                    false => Err(format!(
                        "this row has {} cells, the header has {}",
                        cells.len(),
                        header.len()
                    )),
                });
        each(
            line,
            record.map_err(|why| Problem::whole(Code::NotCsv, why)),
        );
    }
    Ok(())
}

type NextRow = Option<(u64, Result<(), String>)>;

/// Reads the next row that is not blank, and tells its first line. Of a row that breaks off in the middle only the first
/// line is lost: one stray quote must not swallow the rows below it.
fn next_row(lines: &mut Lines, row: &mut Row, text: &mut Vec<u8>) -> io::Result<NextRow> {
    row.clear();
    text.clear();
    let mut first = 0;
    loop {
        let start = text.len();
        let more = lines.read(text)?;
        if start == 0 {
            if !more {
                return Ok(None);
            }
            if matches!(&text[..], b"\n" | b"\r\n" | b"\r") {
                text.clear();
                continue;
            }
            first = lines.number;
        }
        if text.len() - start > RECORD_BYTES_MAX {
            return Ok(Some((first, Err(too_long(Code::NotCsv).detail))));
        }
        let taken = if more && text.len() <= RECORD_BYTES_MAX {
            row.take(&text[start..])
        } else {
            Taken::Broken("a quote that opens in this row is not closed".to_owned())
        };
        match taken {
            Taken::Whole => return Ok(Some((first, Ok(())))),
            Taken::Open => {}
            Taken::Broken(why) => {
                lines.put_back_after(first, text);
                return Ok(Some((first, Err(why))));
            }
        }
    }
}

fn header(lines: &mut Lines, needed: &[&str]) -> io::Result<Result<Vec<String>, String>> {
    let (mut row, mut text) = (Row::default(), Vec::new());
    let Some((_, taken)) = next_row(lines, &mut row, &mut text)? else {
        return Ok(Err(format!(
            "it is empty; the first line of a CSV file names its columns, at least {}",
            needed.join(", ")
        )));
    };
    Ok(taken.and_then(|()| row.cells()).and_then(|names| {
        let times = |column: &str| names.iter().filter(|name| **name == column).count();
        let missing: Vec<&str> = needed.iter().copied().filter(|c| times(c) == 0).collect();
        if !missing.is_empty() {
            return Err(format!(
                "its header has no column {}; it has {}",
                missing.join(", "),
                names.join(", ")
            ));
        }
        match needed.iter().find(|column| times(column) > 1) {
            Some(column) => Err(format!("its header has the column {column} twice")),
            None => Ok(names.into_iter().map(str::to_owned).collect()),
        }
    }))
}
