//! The records of a file as JSON, whatever file it is.

use std::collections::BTreeMap;
use std::path::Path;

use indicatif::ProgressBar;
use revtrail_core::record::{Code, Record, RecordProblem};
#[cfg(feature = "parquet")]
use revtrail_files::Field;
use revtrail_providers::exports::Makes;
use serde_json::{Map as Object, Value};

use crate::attribute::Failure;
#[cfg(feature = "parquet")]
use crate::attribute::parquet::Rows;
use crate::attribute::read::{failure, is_parquet, open, plain};
use crate::exports::{Exports, Opened};

/// A file that is open.
pub(super) enum Source<'e> {
    Text(Opened<'e>),
    #[cfg(feature = "parquet")]
    Parquet(Rows<'e>, &'e ProgressBar),
}

/// What the records of a file are, and the columns that it must have.
type Kind = (Makes, &'static [&'static str]);

impl<'e> Source<'e> {
    /// Opens a file.
    ///
    /// # Errors
    /// The file cannot be read, is no file for this, or lacks a column that is needed.
    pub(super) fn open(
        path: &'e Path,
        (makes, needed): Kind,
        exports: &'e Exports,
        bar: &'e ProgressBar,
    ) -> Result<Self, Failure> {
        if !is_parquet(path) {
            return open(path, (makes, needed), exports, bar).map(Self::Text);
        }
        #[cfg(feature = "parquet")]
        {
            let field = |name: &&'static str| match *name {
                "coupon_codes" | "tags" | "items" => Field::List(name),
                name => Field::Text(name),
            };
            let fields: Vec<Field> = makes.fields().iter().map(field).collect();
            let rows = Rows::open(path, &fields, needed)?;
            exports.note(rows.notes());
            Ok(Self::Parquet(rows, bar))
        }
        #[cfg(not(feature = "parquet"))]
        Err(crate::attribute::read::without_parquet(path))
    }

    /// True where the status of a finished order must be known.
    pub(super) fn says_finished(&self) -> bool {
        matches!(self, Self::Text(Opened::Export(export)) if export.map.says_finished())
    }
}

/// Gives each record, or why there is none, to `take`, with its line.
///
/// # Errors
/// The file cannot be read to its end, or `take` fails.
pub(super) fn each_record(
    path: &Path,
    source: Source<'_>,
    (makes, needed): Kind,
    exports: &Exports,
    mut take: impl FnMut(u64, Result<String, RecordProblem>) -> Result<(), Failure> + Send,
) -> Result<(), Failure> {
    let fault = |fault| failure(path, fault);
    let bytes = match source {
        #[cfg(feature = "parquet")]
        Source::Parquet(rows, bar) => {
            return rows.each(bar, |number, with_record| {
                let mut text = String::new();
                let made = with_record(&mut |record| {
                    text = json(record, makes)?;
                    Ok(())
                });
                take(number, made.map(|()| text))
            });
        }
        Source::Text(Opened::Plain(bytes)) => bytes,
        Source::Text(Opened::Export(export)) => {
            let name = export.map.name.clone();
            let notes = export.each(fault, |line, record| take(line, record.map(str::to_owned)))?;
            exports.remark(path, &name, &notes);
            return Ok(());
        }
    };
    let mut records = plain(path, bytes, needed)?;
    while let Some(line) = records.next_line().map_err(fault)? {
        let record = line.record.and_then(|record| json(&record, makes));
        let record = record.map_err(|problem| line.spoilt.explain(problem));
        take(line.number, record)?;
    }
    Ok(())
}

/// A record as JSON, with the fields that such a record can have. Of JSON each value stays as it was written.
fn json(record: &Record<'_>, makes: Makes) -> Result<String, RecordProblem> {
    let no_json = |error: serde_json::Error| RecordProblem::whole(Code::NotJson, error.to_string());
    if let Record::Json(fields) = record {
        let known = makes.fields();
        let known: BTreeMap<_, _> = fields
            .iter()
            .filter(|(name, _)| known.contains(&name.as_str()))
            .collect();
        return serde_json::to_string(&known).map_err(no_json);
    }
    let mut fields: Object<String, Value> = Object::new();
    for &name in makes.fields() {
        if let Some(value) = cell(record, name)? {
            fields.insert(name.to_owned(), value);
        }
    }
    serde_json::to_string(&fields).map_err(no_json)
}

/// The cell of a column. A word that is none of its type stays a text, so that the service rejects it and says why.
fn cell(record: &Record<'_>, name: &str) -> Result<Option<Value>, RecordProblem> {
    Ok(match name {
        // Only JSON has items.
        "items" => None,
        "coupon_codes" | "tags" => match record.free_list(name) {
            list if list.is_empty() => None,
            list => Some(list.into()),
        },
        _ => record
            .text(name)?
            .map(|text| match (name, &*text.to_ascii_lowercase()) {
                ("machine" | "triggered", "true") => true.into(),
                ("machine" | "triggered", "false") => false.into(),
                ("limit", digits) => digits
                    .parse::<i64>()
                    .map_or_else(|_| text.into(), Value::from),
                _ => text.into(),
            }),
    })
}
