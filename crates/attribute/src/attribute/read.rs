//! Turns files into records with their lines, through the one reader of files. This module does not know what a record means.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use indicatif::ProgressBar;
use revtrail_core::record::{Record, RecordProblem};
use revtrail_files::{FileFault, FileRules, Layout, NotUtf8, Records, what_is};
use revtrail_providers::exports::Makes;

use super::Failure;
use super::paths::is_standard_input;
use crate::exports::{Export, Exports, Opened};

/// How many bytes of a file are looked at if its name does not show the layout.
const BEGINNING_BYTES: u64 = 512;

/// Calls `take` with every record of a file, and `reject` with each problem and the line on which its record starts; the first
/// line is 1.
///
/// # Errors
/// The name does not show the layout, the file cannot be read to its end, or a CSV header is without one of the `needed` columns.
pub(crate) fn each_record(
    path: &Path,
    (makes, needed): (Makes, &'static [&'static str]),
    exports: &Exports,
    bar: &ProgressBar,
    mut take: impl FnMut(&Record<'_>) -> Result<(), RecordProblem> + Send,
    mut reject: impl FnMut(u64, &RecordProblem) -> Result<(), Failure> + Send,
) -> Result<(), Failure> {
    #[cfg(feature = "parquet")]
    if is_parquet(path) {
        return super::parquet::each_record(path, needed, bar, take, reject);
    }
    let bytes = match open(path, (makes, needed), exports, bar)? {
        Opened::Plain(bytes) => bytes,
        Opened::Export(export) => {
            return each_of_export(path, export, exports, |line, record| {
                match record.and_then(&mut take) {
                    Ok(()) => Ok(()),
                    Err(problem) => reject(line, &problem),
                }
            });
        }
    };
    let mut records = plain(path, bytes, needed)?;
    while let Some(line) = records.next_line().map_err(|fault| failure(path, fault))? {
        if let Err(problem) = line.record.and_then(|record| take(&record)) {
            reject(line.number, &line.spoilt.explain(problem))?;
        }
    }
    Ok(())
}

/// Gives each record of an export, or why there is none, to `take`, with its line.
///
/// # Errors
/// The file cannot be read to its end, or `take` fails.
pub(super) fn each_of_export(
    path: &Path,
    export: Export<'_>,
    exports: &Exports,
    mut take: impl FnMut(u64, Result<&Record<'_>, RecordProblem>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let name = export.map.name.clone();
    let notes = export.each(
        |fault| failure(path, fault),
        |line, text| match text.and_then(Record::from_json) {
            Ok(record) => take(line, Ok(&record)),
            Err(problem) => take(line, Err(problem)),
        },
    )?;
    exports.remark(path, &name, &notes);
    Ok(())
}

/// The records of a file.
pub(crate) type FileRecords = Records<Box<dyn Read + Send>>;

/// Opens a file, of which `bar` shows how far it is read, and finds out what it is.
///
/// # Errors
/// The file cannot be read, is known and is no file for this, or does not say what only people know.
pub(crate) fn open<'e>(
    path: &Path,
    kind: (Makes, &[&str]),
    exports: &'e Exports,
    bar: &ProgressBar,
) -> Result<Opened<'e>, Failure> {
    let opened = look(path, kind, exports, bar)?;
    match &opened {
        Opened::Export(Export {
            map,
            missing: Some(missing),
            ..
        }) => Err(Failure::Usage(vec![format!(
            "{}: the file is known as {:?}, but {missing}",
            path.display(),
            map.name
        )])),
        _ => Ok(opened),
    }
}

/// Opens a file as [`open`] does, whatever it does not say.
///
/// # Errors
/// The file cannot be read, or is known and is no file for this.
pub(super) fn look<'e>(
    path: &Path,
    (makes, needed): (Makes, &[&str]),
    exports: &'e Exports,
    bar: &ProgressBar,
) -> Result<Opened<'e>, Failure> {
    let failed = |source| failure(path, FileFault::Source(source));
    let bytes: Box<dyn Read + Send> = match is_standard_input(path) {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(failed)?),
    };
    let opened = exports.open(Box::new(bar.wrap_read(bytes)), makes, needed);
    opened.map_err(|fault| failure(path, fault))
}

/// The records of a file with our own columns.
///
/// # Errors
/// The name does not show the layout, or the file cannot be read.
pub(crate) fn plain(
    path: &Path,
    bytes: Box<dyn Read + Send>,
    needed: &'static [&'static str],
) -> Result<FileRecords, Failure> {
    let layout = match is_standard_input(path) {
        true => None,
        false => layout_of(path)?,
    };
    // Bad rows never stop a file run.
    let rules = FileRules {
        needed,
        not_utf8: NotUtf8::SpoilsField,
    };
    Records::open(bytes, layout, rules).map_err(|fault| failure(path, fault))
}

/// Why a file cannot be read, as the failure of the run.
pub(crate) fn failure(path: &Path, fault: FileFault) -> Failure {
    match fault {
        FileFault::Source(source) => Failure::Read {
            path: path.into(),
            source,
        },
        FileFault::Content(detail) => content(path, detail),
    }
}

fn content(path: &Path, detail: impl Into<String>) -> Failure {
    Failure::Content {
        path: path.into(),
        detail: detail.into(),
    }
}

/// Why a file of Parquet cannot be read by this program.
pub(crate) fn without_parquet(path: &Path) -> Failure {
    let how = "this program was built without Parquet; the command that builds it with it is: cargo build --release -p revtrail --features parquet";
    content(path, how)
}

/// True for a file that is Parquet by its name.
pub(crate) fn is_parquet(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"))
}

/// The layout of a file, by its name. If it is not a plain file, like a pipe of the shell, its content shows the layout.
fn layout_of(path: &Path) -> Result<Option<Layout>, Failure> {
    // Where this program reads Parquet, such a file does not come here.
    if is_parquet(path) {
        return Err(without_parquet(path));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let layout = Layout::of_name(&name);
    if layout.is_some() || !fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return Ok(layout);
    }
    let mut beginning = Vec::new();
    // If the file cannot be read, the error names it.
    let _ =
        File::open(path).and_then(|file| file.take(BEGINNING_BYTES).read_to_end(&mut beginning));
    let unknown =
        "its name must end in .csv, .jsonl or .ndjson, each also with .gz or .zst, or in .parquet";
    Err(content(path, what_is(&beginning).unwrap_or(unknown)))
}
