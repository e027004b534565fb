//! Turns files into records with their lines, through the one reader of files. This module does not know what a record means.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use indicatif::{ProgressBar, ProgressBarIter};
use revtrail_core::record::{Record, RecordProblem};
use revtrail_files::{FileFault, FileRules, Layout, NotUtf8, Records, what_is};

use super::Failure;
use super::paths::is_standard_input;

/// How many bytes of a file are looked at if its name does not show the layout.
const BEGINNING_BYTES: u64 = 512;

/// Calls `take` with every record of a file, and `reject` with each problem and the line on which its record starts; the first
/// line is 1.
///
/// # Errors
/// The name does not show the layout, the file cannot be read to its end, or a CSV header is without one of the `needed` columns.
pub(crate) fn each_record(
    path: &Path,
    needed: &'static [&'static str],
    bar: &ProgressBar,
    mut take: impl FnMut(&Record<'_>) -> Result<(), RecordProblem> + Send,
    mut reject: impl FnMut(u64, &RecordProblem) -> Result<(), Failure> + Send,
) -> Result<(), Failure> {
    #[cfg(feature = "parquet")]
    if is_parquet(path) {
        return super::parquet::each_record(path, needed, take, reject);
    }
    let mut records = open(path, needed, bar)?;
    while let Some(line) = records.next_line().map_err(|fault| failure(path, fault))? {
        if let Err(problem) = line.record.and_then(|record| take(&record)) {
            reject(line.number, &line.spoilt.explain(problem))?;
        }
    }
    Ok(())
}

/// The records of a file, and of what `bar` shows how far they are read.
pub(super) type FileRecords = Records<ProgressBarIter<Box<dyn Read + Send>>>;

/// Opens a file.
///
/// # Errors
/// The name does not show the layout, or the file cannot be read.
pub(super) fn open(
    path: &Path,
    needed: &'static [&'static str],
    bar: &ProgressBar,
) -> Result<FileRecords, Failure> {
    let failed = |source| failure(path, FileFault::Source(source));
    let (bytes, layout): (Box<dyn Read + Send>, _) = if is_standard_input(path) {
        (Box::new(io::stdin()), None)
    } else {
        (
            Box::new(File::open(path).map_err(failed)?),
            layout_of(path)?,
        )
    };
    // Bad rows never stop a file run.
    let rules = FileRules {
        needed,
        not_utf8: NotUtf8::SpoilsField,
    };
    Records::open(bar.wrap_read(bytes), layout, rules).map_err(|fault| failure(path, fault))
}

/// Why a file cannot be read, as the failure of the run.
pub(super) fn failure(path: &Path, fault: FileFault) -> Failure {
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

/// True for a file that is Parquet by its name.
pub(super) fn is_parquet(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"))
}

/// The layout of a file, by its name. If it is not a plain file, like a pipe of the shell, its content shows the layout.
fn layout_of(path: &Path) -> Result<Option<Layout>, Failure> {
    // Where this program reads Parquet, such a file does not come here.
    if is_parquet(path) {
        let how = "this program was built without Parquet; the command that builds it with it is: cargo build --release -p revtrail --features parquet";
        return Err(content(path, how));
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
