//! The records of a file as JSON, whatever file it is.

use std::collections::BTreeMap;
use std::path::Path;

use revtrail_core::record::{Code, Record, RecordProblem};
use revtrail_providers::exports::Makes;
use serde_json::{Map as Object, Value};

use crate::attribute::Failure;
use crate::attribute::read::{failure, plain};
use crate::exports::{Exports, Opened};

/// Gives each record, or why there is none, to `take`, with its line.
///
/// # Errors
/// The file cannot be read to its end, or `take` fails.
pub(super) fn each_record(
    path: &Path,
    opened: Opened<'_>,
    (makes, needed): (Makes, &'static [&'static str]),
    exports: &Exports,
    mut take: impl FnMut(u64, Result<String, RecordProblem>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let fault = |fault| failure(path, fault);
    let bytes = match opened {
        Opened::Plain(bytes) => bytes,
        Opened::Export(export) => {
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
