//! The rows of an export that are in memory, by the file that they belong to.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use revtrail_core::value::time::Day;
use revtrail_storage::fault::FilesError;
use revtrail_store::StoreError;
use revtrail_store::jobs::export::{ExportFile, ExportKind};
use serde::Serialize;

use crate::AttributorError;

/// Rows as JSON lines. They are compressed when they are written, one file after the other, because a compressor of each file would
/// take more memory than the rows.
#[derive(Debug, Default)]
pub(super) struct FileBuffers {
    files: BTreeMap<(ExportKind, Day), FileBuffer>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct FileBuffer {
    lines: Vec<u8>,
    rows: u64,
}

impl FileBuffers {
    /// Adds a row.
    pub(super) fn add(
        &mut self,
        what: ExportKind,
        day: Day,
        row: &impl Serialize,
    ) -> Result<(), StoreError> {
        let file = self.files.entry((what, day)).or_default();
        let before = file.lines.len();
        serde_json::to_writer(&mut file.lines, row)?;
        file.lines.push(b'\n');
        file.rows += 1;
        self.bytes += file.lines.len() - before;
        Ok(())
    }

    /// The size of all rows, not compressed.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The files with their contents.
    pub(super) fn finish(
        self,
        attempt: u32,
    ) -> Result<Vec<(ExportFile, Vec<u8>)>, AttributorError> {
        let file = |((what, day), buffer): (_, FileBuffer)| {
            let bytes = compressed(&buffer.lines)
                .map_err(|error| FilesError::failed("compress", "", error))?;
            let file = ExportFile {
                what,
                day,
                attempt,
                rows: buffer.rows,
                bytes: bytes.len() as u64,
            };
            Ok((file, bytes))
        };
        self.files.into_iter().map(file).collect()
    }
}

fn compressed(lines: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(lines)?;
    gzip.finish()
}
