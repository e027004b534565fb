//! Rows of which memory holds only so many. The others are in a file that has no name, cut by partitions, so that each is read once.

use std::fs::{self, File};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::Failure;
use super::segments::{Segments, Spare};

/// Rows in the order in which they arrived.
#[derive(Debug)]
pub(super) struct SpillingRows {
    /// The rows that are in memory. They arrived after all that are in the file.
    segments: Vec<Segments>,
    bytes: usize,
    bytes_max: usize,
    /// Where the memory of rows goes that are in the file.
    spare: Spare,
    spilled: Option<Spilled>,
}

#[derive(Debug)]
struct Spilled {
    path: PathBuf,
    file: Mutex<File>,
    length: u64,
    batches: Vec<Batch>,
}

/// Rows that went to the file at once, the first partition first: where each partition begins, and where the last ends.
#[derive(Debug)]
struct Batch(Vec<u64>);

impl SpillingRows {
    /// No rows, of which at most so many bytes will be kept in memory.
    pub(super) fn new(bytes_max: usize, spare: &Spare) -> Self {
        Self {
            segments: Vec::new(),
            bytes: 0,
            bytes_max,
            spare: spare.clone(),
            spilled: None,
        }
    }

    /// How many bytes are in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`Failure::Write`] where the file cannot be written.
    pub(super) fn push(&mut self, segments: Segments) -> Result<(), Failure> {
        self.bytes += segments.len();
        self.segments.push(segments);
        match self.bytes > self.bytes_max {
            true => self.spill(),
            false => Ok(()),
        }
    }

    fn spill(&mut self) -> Result<(), Failure> {
        if self.spilled.is_none() {
            self.spilled = Some(Spilled::create()?);
        }
        self.bytes = 0;
        let segments = std::mem::take(&mut self.segments);
        let Some(spilled) = &mut self.spilled else {
            return Ok(());
        };
        let written = spilled.write(&segments);
        written.map_err(|source| Failure::Write {
            path: spilled.path.clone(),
            source,
        })?;
        let rows = segments.into_iter();
        rows.for_each(|segments| self.spare.give(segments));
        Ok(())
    }

    /// Reads the rows of a partition into a buffer.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn part(&self, partition: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        if let Some(spilled) = &self.spilled {
            spilled.read(partition, buffer)?;
        }
        for segments in &self.segments {
            buffer.extend_from_slice(segments.part(partition).rest());
        }
        Ok(())
    }
}

impl Spilled {
    fn create() -> Result<Self, Failure> {
        let (path, file) = temporary_file()?;
        Ok(Self {
            path,
            file: Mutex::new(file),
            length: 0,
            batches: Vec::new(),
        })
    }

    fn write(&mut self, segments: &[Segments]) -> io::Result<()> {
        let file = self.file.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut starts = vec![self.length];
        let partitions = segments.first().map_or(0, Segments::parts);
        let mut slices = Vec::with_capacity(SLICES_MAX);
        for partition in 0..partitions {
            for segments in segments {
                let rows = segments.part(partition).rest();
                self.length += rows.len() as u64;
                if !rows.is_empty() {
                    slices.push(IoSlice::new(rows));
                }
                if slices.len() == SLICES_MAX {
                    write_all(file, &mut slices)?;
                }
            }
            starts.push(self.length);
        }
        write_all(file, &mut slices)?;
        self.batches.push(Batch(starts));
        Ok(())
    }

    fn read(&self, partition: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        for Batch(starts) in &self.batches {
            let length = starts[partition + 1] - starts[partition];
            file.seek(SeekFrom::Start(starts[partition]))?;
            let start = buffer.len();
            buffer.resize(start + length as usize, 0);
            file.read_exact(&mut buffer[start..])?;
        }
        Ok(())
    }
}

impl Drop for Spilled {
    fn drop(&mut self) {
        // Where an open file keeps its name, it goes now.
        let _ = fs::remove_file(&self.path);
    }
}

/// How many slices are written with one call. Systems take as many.
const SLICES_MAX: usize = 1_024;

/// Writes all slices, and removes them from the list.
fn write_all(file: &mut File, slices: &mut Vec<IoSlice<'_>>) -> io::Result<()> {
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    slices.clear();
    Ok(())
}

/// A new file, which was at a path. Where a name can be taken away from an open file, nothing is left of it when the process ends,
/// however it ends.
///
/// # Errors
/// [`Failure::Write`] where there can be none.
pub(super) fn temporary_file() -> Result<(PathBuf, File), Failure> {
    let mut number = std::process::id();
    loop {
        let path = std::env::temp_dir().join(format!("revtrail-{number}.rows"));
        let opened = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        match opened {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(source) => return Err(Failure::Write { path, source }),
            Ok(file) => {
                let _ = fs::remove_file(&path);
                return Ok((path, file));
            }
        }
    }
}
