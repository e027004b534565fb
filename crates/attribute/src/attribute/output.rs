//! A file that a run writes: it appears when it is complete, or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Failure;
use super::paths::{is_standard_output, resolve};

/// The files that are written, as long as they are not complete.
static PARTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn parts() -> MutexGuard<'static, Vec<PathBuf>> {
    PARTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what is not complete and ends the process.
pub(super) fn abandon(code: i32) -> ! {
    // While it is locked, no file becomes complete.
    let parts = parts();
    for part in parts.iter() {
        let _ = fs::remove_file(part);
    }
    std::process::exit(code)
}

/// A file that is written under another name. It appears under its own name when it is complete.
#[derive(Debug)]
pub(crate) struct Output {
    pub(super) path: PathBuf,
    part: PathBuf,
    writer: BufWriter<File>,
}

impl Output {
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        // If the path is a link, the file behind it is written, and the link stays.
        let real = resolve(path);
        let mut parts = parts();
        let (file, part) = open(&real).map_err(failed(path))?;
        if part != real {
            parts.push(part.clone());
        }
        Ok(Self {
            path: real,
            part,
            writer: BufWriter::new(file),
        })
    }

    /// Lets the file appear. It was written wholly before, by [`Output::write_all`] or a flush.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        if self.part == self.path {
            return Ok(());
        }
        let mut parts = parts();
        parts.retain(|part| *part != self.part);
        fs::rename(&self.part, &self.path).map_err(failed(&self.path))
    }

    /// Writes a whole file, which is still to be finished, or writes to `out` if the path is `-`.
    pub(crate) fn write_all(
        path: &Path,
        out: &mut dyn Write,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Option<Self>, Failure> {
        if is_standard_output(path) {
            let mut buffered = BufWriter::new(out);
            return content(&mut buffered)
                .and_then(|()| buffered.flush())
                .map(|()| None)
                .map_err(failed(path));
        }
        let mut output = Self::create(path)?;
        content(&mut output)
            .and_then(|()| output.flush())
            .map_err(failed(path))?;
        Ok(Some(output))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.part != self.path {
            let mut parts = parts();
            parts.retain(|part| *part != self.part);
            // The file is already gone if it was completed.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Opens a new file beside the final one, with a random name. So another run writes to another file, and no file that already
/// exists is touched. A path that is not a plain file, like /dev/null, must not be replaced by one, and is opened itself.
fn open(path: &Path) -> io::Result<(File, PathBuf)> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Ok((File::create(path)?, path.to_owned()));
    }
    let mut number = std::process::id();
    loop {
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{number}.part"));
        match File::create_new(&part) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            created => return Ok((created?, part.into())),
        }
    }
}

pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |source| Failure::Write {
        path: path.to_owned(),
        source,
    }
}
