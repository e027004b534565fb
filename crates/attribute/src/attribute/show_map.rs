//! `--show-map`: how each file is understood, printed as maps that `--map` takes, each with three records of its file.

use std::io::{Read, Write};
use std::path::Path;

use indicatif::ProgressBar;
use revtrail_core::attribution::{event, order};
use revtrail_files::{first_row, utf8};
use revtrail_providers::exports::{Makes, Map, entries};
use serde_json::Value;

use super::read::{failure, is_parquet, look};
use super::{AttributeArgs, Exit, Failure};
use crate::exports::{DELIMITERS, Export, Exports, Opened};

/// How many records of a file are printed.
const RECORDS: usize = 3;
/// How much of a file with our own columns is looked at.
const BEGINNING_BYTES: u64 = 1 << 20;

/// Prints the maps of all inputs. What is not understood is said on standard error, and makes the run a wrong use.
pub(super) fn show(
    args: &AttributeArgs,
    exports: &Exports,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let events = args
        .events
        .iter()
        .map(|path| (path, Makes::Events, &event::NEEDED[..]));
    let orders = args
        .orders
        .iter()
        .map(|path| (path, Makes::Orders, &order::NEEDED[..]));
    let campaigns = args.campaigns.iter();
    let campaigns = campaigns.map(|path| (path, Makes::Campaigns, &["campaign_id"][..]));
    let (mut maps, mut problems) = (Vec::new(), Vec::new());
    for (path, makes, needed) in events.chain(orders).chain(campaigns) {
        if is_parquet(path) {
            let why = "columns of Parquet are ours: there is no map of them";
            problems.push(format!("{}: {why}", path.display()));
            continue;
        }
        let opened = look(path, (makes, needed), exports, &ProgressBar::hidden());
        let understood = opened.and_then(|opened| match opened {
            Opened::Plain(bytes) => of_plain(path, bytes, makes, needed),
            Opened::Export(export) => of_export(path, export),
        });
        match understood {
            Ok((mut map, problem)) => {
                map.file = Some(path.display().to_string().into());
                problems.extend(problem.map(|why| format!("{}: {why}", path.display())));
                maps.push(map);
            }
            Err(why) => problems.push(why.to_string()),
        }
    }
    let text = serde_json::to_string_pretty(&maps).map_err(std::io::Error::from);
    text.and_then(|text| writeln!(out, "{text}"))
        .map_err(|source| Failure::Write {
            path: "standard output".into(),
            source,
        })?;
    for problem in &problems {
        // If standard error is gone, nobody is left to be told.
        let _ = writeln!(err, "{problem}");
    }
    match problems.is_empty() {
        true => Ok(Exit::Clean),
        false => Ok(Exit::Usage),
    }
}

type Understood = (Map, Option<String>);

fn of_export(path: &Path, export: Export<'_>) -> Result<Understood, Failure> {
    let mut map = export.map.clone();
    let mut problem = export.missing.as_ref().map(ToString::to_string);
    let (mut records, mut seen) = (Vec::new(), 0);
    // An error that stands for enough.
    let read = export.each(
        |fault| Some(failure(path, fault)),
        |line, record| {
            match record {
                Ok(text) => records.extend(serde_json::from_str::<Value>(text)),
                Err(why) if problem.is_none() => {
                    problem = Some(format!("line {line}: {}", why.detail));
                }
                Err(_) => {}
            }
            seen += 1;
            match records.len() < RECORDS && seen < 100 * RECORDS {
                true => Ok(()),
                false => Err(None),
            }
        },
    );
    map.example = Some(records.into());
    match read {
        Err(Some(failure)) => Err(failure),
        _ => Ok((map, problem)),
    }
}

/// A file with our own columns or, where they are not ours, the beginning of a map.
fn of_plain(
    path: &Path,
    bytes: Box<dyn Read + Send>,
    makes: Makes,
    needed: &[&str],
) -> Result<Understood, Failure> {
    let mut beginning = Vec::new();
    let read = utf8(bytes)
        .take(BEGINNING_BYTES)
        .read_to_end(&mut beginning);
    read.map_err(|source| Failure::Read {
        path: path.into(),
        source,
    })?;
    let text = String::from_utf8_lossy(&beginning);
    let (header, records) = match text.trim_start().starts_with(['{', '[']) {
        true => of_json(&text),
        false => of_rows(&text),
    };
    let is_ours = needed
        .iter()
        .all(|column| header.iter().any(|own| own == column));
    let mut map = match is_ours {
        true => Map::plain(makes, needed),
        false => Map::unknown(&path.display().to_string(), makes, header.into_iter()),
    };
    map.example = Some(records.into());
    let why = format!(
        "the file is not known: fill in the \"fields\" of the map that is printed for it, like \"{}\": \"a column\", and give it as --map",
        needed.first().unwrap_or(&"")
    );
    Ok((map, (!is_ours).then_some(why)))
}

fn of_json(text: &str) -> (Vec<String>, Vec<Value>) {
    let found = entries(text, "").found;
    let records: Vec<Value> = found
        .iter()
        .take(RECORDS)
        .filter_map(|entry| entry.value())
        .collect();
    let mut names: Vec<String> = Vec::new();
    for name in records
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|fields| fields.keys())
    {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    (names, records)
}

fn of_rows(text: &str) -> (Vec<String>, Vec<Value>) {
    let header = |delimiter: &char| first_row(text, *delimiter).unwrap_or_default();
    let delimiter = DELIMITERS
        .iter()
        .rev()
        .max_by_key(|delimiter| header(delimiter).len());
    let delimiter = delimiter.copied().unwrap_or(',');
    let header = header(&delimiter);
    let mut rest = text.trim_start();
    let mut records = Vec::new();
    for _ in 0..=RECORDS {
        let row = first_row(rest, delimiter).unwrap_or_default();
        let cells = header.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        let cells = cells.map(|(name, cell)| (name.clone(), Value::String(cell)));
        records.push(Value::Object(cells.collect()));
        // A cell over several lines is cut here, which matters only to what is shown.
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        if rest.is_empty() {
            break;
        }
    }
    records.remove(0);
    (header, records)
}
