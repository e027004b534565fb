//! Files into records with their lines, by the one reader of files. What a record means is not known here.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use indicatif::ProgressBar;
use revtrail_core::record::{Problem, Record};
use revtrail_files::{Fault, Layout, NotUtf8, Records, Rules, what_is};

use super::Failure;
use super::paths::is_standard_input;

/// As much of a file is looked at where its name says nothing, in bytes.
const BEGINNING_BYTES: u64 = 512;

/// Calls `take` with every record of a file, and `reject` with what is wrong with one and the line it starts on; the first line is 1.
///
/// # Errors
/// A name that tells no layout; a file that cannot be read to its end; a CSV header without one of the `needed` columns.
pub(crate) fn each_record(
    path: &Path,
    needed: &'static [&'static str],
    bar: &ProgressBar,
    mut take: impl FnMut(&Record<'_>) -> Result<(), Problem>,
    mut reject: impl FnMut(u64, &Problem) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |source| Failure::Read {
        path: path.into(),
        source,
    };
    let fault = |fault| match fault {
        Fault::Source(source) => failed(source),
        Fault::Content(detail) => content(path, detail),
    };
    let (bytes, layout): (Box<dyn Read>, _) = if is_standard_input(path) {
        (Box::new(io::stdin()), None)
    } else {
        (
            Box::new(File::open(path).map_err(failed)?),
            layout_of(path)?,
        )
    };
    // Bad rows never stop a file run.
    let rules = Rules {
        needed,
        not_utf8: NotUtf8::SpoilsField,
    };
    let mut records = Records::open(bar.wrap_read(bytes), layout, rules).map_err(fault)?;
    while let Some(line) = records.next_line().map_err(fault)? {
        if let Err(problem) = line.record.and_then(|record| take(&record)) {
            reject(line.number, &line.spoilt.explain(problem))?;
        }
    }
    Ok(())
}

fn content(path: &Path, detail: impl Into<String>) -> Failure {
    Failure::Content {
        path: path.into(),
        detail: detail.into(),
    }
}

/// By its name; what is no plain file, like a pipe of the shell's, is known by its content.
fn layout_of(path: &Path) -> Result<Option<Layout>, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let layout = Layout::of_name(&name);
    if layout.is_some() || !fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return Ok(layout);
    }
    let mut beginning = Vec::new();
    // Where it cannot be read, its name is told.
    let _ =
        File::open(path).and_then(|file| file.take(BEGINNING_BYTES).read_to_end(&mut beginning));
    let unknown = "its name must end in .csv, .jsonl or .ndjson, each also with .gz";
    Err(content(path, what_is(&beginning).unwrap_or(unknown)))
}
