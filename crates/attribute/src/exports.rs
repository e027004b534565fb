//! Files of shops and mail tools: which of them a file is, by its columns, and its records. Files with our own columns are read as they
//! always were. `revtrail-providers` has the maps and what they make of a row.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use clap::Args;
use revtrail_core::attribution::order::Status;
use revtrail_core::record::{Record, RecordProblem};
use revtrail_core::value::money::Currency;
use revtrail_files::{
    FileFault, FileRules, Format, Layout, NotUtf8, Packing, RECORD_BYTES_MAX, Records, first_row,
    row_in_quotes, utf8,
};
use revtrail_providers::exports::{
    Entry, Given, Made, Makes, Map, Missing, Notes, Reader, Row, entries, known,
};

/// How much of a file is looked at. The longest record of our own form fits in.
const BEGINNING_BYTES: u64 = RECORD_BYTES_MAX as u64 + 1;
/// How many records of JSON are looked at; the first few can be without some fields.
const LOOKED_AT: usize = 100;
/// How much of a text with a record on each line is looked at, unless the first record is longer.
const SAMPLE_BYTES: usize = 64 << 10;
/// The longest text of JSON that is not one record a line. Such a text is in memory as a whole.
const JSON_BYTES_MAX: u64 = 1 << 30;
/// What can stand between two cells.
pub(crate) const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// What the command line says of files that people exported elsewhere.
#[derive(Debug, Clone, Default, Args)]
pub struct ExportArgs {
    /// The zone of times that have none, in exports that do not say it, like Europe/Kyiv
    #[arg(long, value_name = "ZONE", value_parser = read_zone)]
    pub zone: Option<Tz>,
    /// The currency of amounts, in exports that do not say it, like EUR
    #[arg(long, value_name = "CODE", value_parser = read_currency)]
    pub currency: Option<Currency>,
    /// The campaign of messages, in exports that do not say it
    #[arg(long, value_name = "ID")]
    pub campaign: Option<String>,
    /// A JSON file that says how to read other files; --show-map prints such maps
    #[arg(long, num_args = 1.., value_name = "M.json")]
    pub map: Vec<PathBuf>,
}

fn read_zone(name: &str) -> Result<Tz, String> {
    let unknown = |_| format!("{name} is no zone of the IANA database, like Europe/Kyiv");
    name.parse().map_err(unknown)
}

fn read_currency(code: &str) -> Result<Currency, String> {
    Currency::parse(code).ok_or_else(|| format!("{code} is no currency of ISO 4217, like EUR"))
}

fn content(why: impl Into<String>) -> FileFault {
    FileFault::Content(why.into())
}

/// A file that was opened.
pub(crate) enum Opened<'e> {
    /// Its columns are ours, or it is no file that is known. These are all of its bytes.
    Plain(Box<dyn Read + Send>),
    /// It is an export.
    Export(Export<'e>),
}

/// The maps of a run, and what the command line says.
#[derive(Debug)]
pub(crate) struct Exports {
    own: Vec<Map>,
    known: Vec<Map>,
    given: Given,
    /// What people should know of files that were read.
    remarks: RefCell<Vec<String>>,
}

impl Exports {
    /// Reads the maps of the command line. `finished` is the status of an order that its shop has finished.
    ///
    /// # Errors
    /// A sentence for each map that cannot be used.
    pub(crate) fn new(args: &ExportArgs, finished: Option<Status>) -> Result<Self, Vec<String>> {
        let (mut own, mut problems) = (Vec::new(), Vec::new());
        for path in &args.map {
            let read = std::fs::read_to_string(path).map_err(|error| error.to_string());
            match read.and_then(|text| Map::read(&text)) {
                Ok(maps) => own.extend(maps),
                Err(why) => problems.push(format!("--map {}: {why}", path.display())),
            }
        }
        let given = Given {
            zone: args.zone,
            currency: args.currency,
            campaign: args.campaign.clone(),
            finished,
        };
        match problems.is_empty() {
            true => Ok(Self {
                own,
                known: known(),
                given,
                remarks: RefCell::default(),
            }),
            false => Err(problems),
        }
    }

    /// Opens a file by its bytes. Its columns say what it is: the maps of the command line come first, then our own columns, then the
    /// files that are known.
    ///
    /// # Errors
    /// The file cannot be read, or is known and cannot be used, or not for this.
    pub(crate) fn open(
        &self,
        mut bytes: Box<dyn Read + Send>,
        makes: Makes,
        needed: &[&str],
    ) -> Result<Opened<'_>, FileFault> {
        let mut beginning = Vec::new();
        let read = (&mut bytes)
            .take(BEGINNING_BYTES)
            .read_to_end(&mut beginning);
        let mut text = Vec::new();
        // Where the beginning of a packed file ends is an error, and so is a file that cannot be unpacked, which is told later.
        let _ = utf8(&beginning[..])
            .take(BEGINNING_BYTES)
            .read_to_end(&mut text);
        let whole = match read {
            Ok(_) => Cursor::new(beginning).chain(bytes),
            Err(error) => return Err(FileFault::Source(error)),
        };
        // Most beginnings are UTF-8, which is quickly known.
        let text = match std::str::from_utf8(&text) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(&text),
        };
        if text.trim_start().starts_with(['{', '[']) {
            return self.open_json(&text, Box::new(whole), makes, needed);
        }
        let Some((map, delimiter)) = self.map_of_rows(&text, needed) else {
            return Ok(Opened::Plain(Box::new(whole)));
        };
        let header = first_row(&text, delimiter).unwrap_or_default();
        check(map, makes)?;
        let layout = Layout {
            format: Format::Csv,
            packing: Packing::Plain,
        };
        let rules = FileRules {
            needed: &[],
            not_utf8: NotUtf8::SpoilsField,
        };
        let records = Records::open(utf8(whole), Some(layout), rules)?;
        let rows = Rows::Csv(Box::new(records.parted_by(delimiter)), delimiter);
        Ok(Opened::Export(Export {
            map,
            missing: map.missing(|column| has(&header, column), &self.given),
            given: &self.given,
            rows,
        }))
    }

    /// The map of a file with a header, and what is between its cells; `None` where the file is read as it is.
    fn map_of_rows(&self, text: &str, needed: &[&str]) -> Option<(&Map, char)> {
        let headers =
            DELIMITERS.map(|delimiter| (delimiter, first_row(text, delimiter).unwrap_or_default()));
        let find = |maps: &'_ [Map]| -> Option<(usize, char)> {
            headers.iter().find_map(|(delimiter, header)| {
                Some((best(maps, |column| has(header, column))?, *delimiter))
            })
        };
        if let Some((place, delimiter)) = find(&self.own) {
            return Some((&self.own[place], delimiter)).filter(|(map, _)| !map.plain);
        }
        // Of names joined by `|`, one is enough.
        let has_one = |column: &&str| {
            let mut names = column.split('|');
            names.any(|name| headers[0].1.iter().any(|own| own == name))
        };
        let is_ours = needed.iter().all(has_one);
        if is_ours {
            return None;
        }
        find(&self.known).map(|(place, delimiter)| (&self.known[place], delimiter))
    }

    /// Opens a file of JSON. Where its records are one a line, its beginning shows what it is; any other is read as a whole.
    fn open_json(
        &self,
        beginning: &str,
        mut bytes: Box<dyn Read + Send>,
        makes: Makes,
        needed: &[&str],
    ) -> Result<Opened<'_>, FileFault> {
        let mut documents =
            serde_json::Deserializer::from_str(beginning).into_iter::<serde::de::IgnoredAny>();
        let mut whole = Vec::new();
        let sample = match documents.next() {
            Some(Err(error)) if error.is_eof() => {
                let read = (&mut bytes).take(JSON_BYTES_MAX).read_to_end(&mut whole);
                read.map_err(FileFault::Source)?;
                Cow::Owned(text_of(&whole[..])?)
            }
            _ => {
                let end = documents.byte_offset().max(SAMPLE_BYTES);
                Cow::Borrowed(&beginning[..beginning.floor_char_boundary(end)])
            }
        };
        let bytes: Box<dyn Read + Send> = Box::new(Cursor::new(whole).chain(bytes));
        let mut samples: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
        let ours = entries(&sample, "").found;
        let is_ours = needed.first().is_some_and(|id| in_sample(&ours, id));
        samples.insert("", ours);
        let known = if is_ours { &[][..] } else { &self.known };
        let map = self.own.iter().chain(known).find(|map| {
            let path = map.rows.as_deref().unwrap_or_default();
            let found = samples
                .entry(path)
                .or_insert_with(|| entries(&sample, path).found);
            map.fits(|column| in_sample(found, column))
        });
        let Some(map) = map else {
            return Ok(Opened::Plain(bytes));
        };
        if map.plain {
            return Ok(Opened::Plain(bytes));
        }
        let text = text_of(bytes)?;
        let found = entries(&text, map.rows.as_deref().unwrap_or_default());
        if let Some((line, why)) = found.broken {
            let why = format!("line {line} is no JSON: {why}; was the file written whole?");
            return Err(content(why));
        }
        check(map, makes)?;
        let missing = map.missing(|column| in_sample(&found.found, column), &self.given);
        Ok(Opened::Export(Export {
            map,
            missing,
            given: &self.given,
            rows: Rows::Json(found.found.into_iter()),
        }))
    }

    /// The status of an order that its shop has finished, where somebody said it.
    pub(crate) fn finished(&self) -> Option<Status> {
        self.given.finished
    }

    /// What is said of files, so that what was said before can be compared.
    pub(crate) fn said(&self) -> String {
        format!("{:?} {:?}", self.given, self.own)
    }

    /// Takes something that people should know of a file.
    #[cfg(feature = "parquet")]
    pub(crate) fn note(&self, notes: impl Iterator<Item = String>) {
        self.remarks.borrow_mut().extend(notes);
    }

    /// Takes what a file's words were, for the summary.
    pub(crate) fn remark(&self, path: &Path, name: &str, notes: &Notes) {
        let words = |words: &BTreeMap<String, u64>| -> String {
            let words: Vec<String> = words
                .iter()
                .map(|(word, times)| format!("{word:?} {times}"))
                .collect();
            words.join(", ")
        };
        let path = path.display();
        let mut remarks = self.remarks.borrow_mut();
        remarks.push(format!("{path} was read as {name:?}"));
        if !notes.ignored.is_empty() {
            remarks.push(format!(
                "{path}: rows with these words are not of use here: {}",
                words(&notes.ignored)
            ));
        }
        if !notes.unknown.is_empty() {
            remarks.push(format!(
                "{path}: these words have no meaning, and their rows were rejected: {}; give them one in a map (--show-map prints it, --map takes it)",
                words(&notes.unknown)
            ));
        }
    }

    /// What people should know of the files that were read, a line each.
    pub(crate) fn remarks(&self) -> Vec<String> {
        self.remarks.borrow().clone()
    }
}

/// Checks that a file of this kind is what is asked for, and can be used.
fn check(map: &Map, makes: Makes) -> Result<(), FileFault> {
    let name = &map.name;
    if let Some(why) = &map.refused {
        return Err(content(format!("the file is known as {name:?}: {why}")));
    }
    if map.makes != makes {
        let (are, asked) = (map.makes.name(), makes.name());
        return Err(content(format!(
            "the file is known as {name:?}, and its rows are {are}: give it as --{are}, not as --{asked}"
        )));
    }
    Ok(())
}

/// The place of the map that says the most of a file with such columns.
fn best(maps: &[Map], has: impl Fn(&str) -> bool) -> Option<usize> {
    let fitting = maps.iter().enumerate().filter(|(_, map)| map.fits(&has));
    let best = fitting.rev().max_by_key(|(_, map)| map.header.len());
    best.map(|(place, _)| place)
}

/// True for a column of a header, or for a path into the JSON of its cells.
fn has(header: &[String], column: &str) -> bool {
    let named = |name: &str| header.iter().any(|own| own == name);
    named(column)
        || column
            .split_once('.')
            .is_some_and(|(first, _)| named(first))
}

fn in_sample(sample: &[Entry], column: &str) -> bool {
    sample
        .iter()
        .take(LOOKED_AT)
        .any(|entry| Row::Json(entry).has(column))
}

enum Rows {
    Csv(Box<Records<Box<dyn Read + Send>>>, char),
    Json(std::vec::IntoIter<Entry>),
}

/// An export that was recognised.
pub(crate) struct Export<'e> {
    /// What it is.
    pub(crate) map: &'e Map,
    /// What must be said before it can be read.
    pub(crate) missing: Option<Missing>,
    given: &'e Given,
    rows: Rows,
}

impl Export<'_> {
    /// Gives each record, or why there is none, to `take`, with the line it begins on. Returns which words had no use.
    ///
    /// # Errors
    /// The file cannot be read to its end, which `fault` makes an error of, or `take` fails.
    pub(crate) fn each<E>(
        self,
        fault: impl Fn(FileFault) -> E,
        mut take: impl FnMut(u64, Result<&str, RecordProblem>) -> Result<(), E>,
    ) -> Result<Notes, E> {
        let mut reader = Reader::new(self.map, self.given);
        let mut give = |made: Option<Made>| match made {
            None => Ok(()),
            Some(Made { line, record }) => take(line, record.as_deref().map_err(Clone::clone)),
        };
        match self.rows {
            Rows::Json(entries) => {
                for entry in entries {
                    give(reader.take(entry.line, Row::Json(&entry)))?;
                }
            }
            Rows::Csv(mut records, delimiter) => {
                let header = records.header().map_err(&fault)?.to_vec();
                while let Some(line) = records.next_line().map_err(&fault)? {
                    let number = line.number;
                    let problem = match line.record {
                        Ok(Record::Row(_, cells)) => {
                            let made = reader.take(number, Row::Cells(&header, &cells));
                            give(made.map(|made| Made {
                                line: made.line,
                                record: made.record.map_err(|problem| line.spoilt.explain(problem)),
                            }))?;
                            continue;
                        }
                        Ok(Record::Json(_)) => continue,
                        Err(problem) => problem,
                    };
                    let cells = row_in_quotes(&line.text, delimiter);
                    if let Some(cells) = cells.filter(|cells| cells.len() == header.len()) {
                        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
                        give(reader.take(number, Row::Cells(&header, &cells)))?;
                    } else {
                        give(reader.finish())?;
                        let record = Err(problem);
                        give(Some(Made {
                            line: number,
                            record,
                        }))?;
                    }
                }
            }
        }
        give(reader.finish())?;
        Ok(reader.notes)
    }
}

/// The text of a document, whatever program saved it.
fn text_of(bytes: impl Read + Send) -> Result<String, FileFault> {
    let mut text = String::new();
    let read = utf8(bytes).take(JSON_BYTES_MAX).read_to_string(&mut text);
    match read.map_err(FileFault::Source)? {
        length if length as u64 == JSON_BYTES_MAX => Err(content(
            "JSON of 1 GiB and more is not read as a whole: cut it, or write one record a line",
        )),
        _ => Ok(text),
    }
}
