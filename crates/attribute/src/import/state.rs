//! How far the import of a file is: a file beside it, with a line for each batch that was answered. A line that was not written whole
//! counts as not written, and then its batch is sent again.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use revtrail_core::record::RecordProblem;
use serde::{Deserialize, Serialize};

use super::lanes::Answered;
use crate::attribute::Failure;
use crate::attribute::paths::is_standard_input;

/// What an import is of. Another import of the same file begins anew.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Of {
    import: Vec<String>,
    parallel: u8,
    bytes: u64,
    modified_ns: u128,
}

/// A batch that was answered.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    lane: usize,
    batch: u64,
    accepted: usize,
    duplicates: usize,
    older: usize,
    rejected: Vec<(u64, RecordProblem)>,
}

/// How far an import is.
#[derive(Debug)]
pub(super) struct State {
    file: Option<(PathBuf, File)>,
    /// For each lane, how many batches were answered.
    pub(super) done: Vec<u64>,
    /// What became of their records.
    pub(super) answered: Answered,
}

impl State {
    /// The state of an import without a file.
    pub(super) fn none(parallel: u8) -> Self {
        Self {
            file: None,
            done: vec![0; parallel.into()],
            answered: Answered::default(),
        }
    }

    /// Opens the state of an import of a file, or begins it. Standard input has none. `of` says which import it is.
    ///
    /// # Errors
    /// The state cannot be read or written, or another process is importing the file.
    pub(super) fn open(path: &Path, of: &[&str], parallel: u8) -> Result<Self, Failure> {
        let mut state = Self::none(parallel);
        let is_file = fs::metadata(path).is_ok_and(|found| found.is_file());
        if is_standard_input(path) || !is_file {
            return Ok(state);
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".revtrail-import");
        let beside = path.with_file_name(name);
        let failed = |source| Failure::Write {
            path: beside.clone(),
            source,
        };
        let found = fs::metadata(path).map_err(failed)?;
        let modified = found
            .modified()
            .ok()
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let of = Of {
            import: of.iter().map(|text| (*text).to_owned()).collect(),
            parallel,
            bytes: found.len(),
            modified_ns: modified.unwrap_or_default().as_nanos(),
        };
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&beside);
        let mut file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let why = "another process is importing this file: wait for it, or stop it";
                return Err(Failure::Usage(vec![format!("{}: {why}", path.display())]));
            }
            // A file system without locks.
            Err(TryLockError::Error(_)) => {}
        }
        let length = state.read(&mut file, &of).map_err(failed)?;
        file.set_len(length)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(failed)?;
        if length == 0 {
            write_line(&mut file, &of).map_err(failed)?;
        }
        state.file = Some((beside, file));
        Ok(state)
    }

    /// Reads what is on record of this import; returns how many bytes of the file are whole lines of it.
    fn read(&mut self, file: &mut File, of: &Of) -> io::Result<u64> {
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let mut lines = text.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        if serde_json::from_slice::<Of>(first).ok().as_ref() != Some(of) {
            return Ok(0);
        }
        let mut length = first.len();
        for text in lines {
            let Ok(line) = serde_json::from_slice::<Line>(text) else {
                break;
            };
            if !text.ends_with(b"\n") || self.done.get(line.lane) != Some(&line.batch) {
                break;
            }
            self.done[line.lane] += 1;
            self.answered.add(Answered {
                accepted: line.accepted,
                duplicates: line.duplicates,
                older: line.older,
                rejected: line.rejected,
            });
            length += text.len();
        }
        Ok(length as u64)
    }

    /// Notes what became of a batch.
    pub(super) fn note(
        &mut self,
        lane: usize,
        batch: u64,
        answered: Answered,
    ) -> Result<(), Failure> {
        if let Some((path, file)) = &mut self.file {
            let line = Line {
                lane,
                batch,
                accepted: answered.accepted,
                duplicates: answered.duplicates,
                older: answered.older,
                rejected: answered.rejected.clone(),
            };
            let failed = |source| Failure::Write {
                path: path.clone(),
                source,
            };
            write_line(file, &line).map_err(failed)?;
        }
        self.answered.add(answered);
        Ok(())
    }

    /// Removes the file: all was answered.
    pub(super) fn remove(self) -> Result<(), Failure> {
        let Some((path, _)) = self.file else {
            return Ok(());
        };
        fs::remove_file(&path).map_err(|source| Failure::Write { path, source })
    }
}

fn write_line(file: &mut File, line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text)
}
