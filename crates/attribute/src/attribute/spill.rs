//! Rows of which memory holds only so many. The others are in a file that has no name, cut by partitions, so that each is read once.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::Failure;
use super::rows::{Bytes, Segments};

/// Rows in the order in which they arrived.
#[derive(Debug)]
pub(super) struct SpillingRows {
    /// The rows that are in memory. They arrived after all that are in the file.
    segments: Vec<Segments>,
    bytes: usize,
    bytes_max: usize,
    spilled: Option<Spilled>,
}

#[derive(Debug)]
struct Spilled {
    path: PathBuf,
    file: Mutex<File>,
    length: u64,
    batches: Vec<Batch>,
}

/// Segments that went to the file at once: first all rows of the first partition.
#[derive(Debug)]
struct Batch {
    /// Where each partition begins in the file.
    starts: Vec<u64>,
    /// The segments, without their rows.
    segments: Vec<Segments>,
}

impl SpillingRows {
    /// No rows, of which at most so many bytes will be kept in memory.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            segments: Vec::new(),
            bytes: 0,
            bytes_max,
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
        let written = spilled.write(segments);
        written.map_err(|source| Failure::Write {
            path: spilled.path.clone(),
            source,
        })
    }

    /// The rows of a partition, with the workers that made them. What is in the file is read into `buffer`.
    pub(super) fn part<'a>(
        &'a self,
        partition: usize,
        buffer: &'a mut Vec<u8>,
    ) -> io::Result<Vec<(usize, Bytes<'a>)>> {
        buffer.clear();
        let mut rows = Vec::new();
        if let Some(spilled) = &self.spilled {
            spilled.read(partition, buffer)?;
            let mut at = 0;
            for segments in spilled.batches.iter().flat_map(|batch| &batch.segments) {
                let end = at + segments.part_len(partition);
                rows.push((segments.worker, Bytes::new(&buffer[at..end])));
                at = end;
            }
        }
        let kept = self.segments.iter();
        rows.extend(kept.map(|segments| (segments.worker, segments.part(partition))));
        Ok(rows)
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

    fn write(&mut self, mut segments: Vec<Segments>) -> io::Result<()> {
        let file = self.file.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut starts = Vec::new();
        let partitions = segments.first().map_or(0, Segments::parts);
        let mut to = BufWriter::with_capacity(1 << 20, file);
        for partition in 0..partitions {
            starts.push(self.length);
            for segments in &segments {
                let rows = segments.part(partition).rest();
                to.write_all(rows)?;
                self.length += rows.len() as u64;
            }
        }
        to.flush()?;
        segments.iter_mut().for_each(Segments::drop_rows);
        self.batches.push(Batch { starts, segments });
        Ok(())
    }

    fn read(&self, partition: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in &self.batches {
            let lengths = batch.segments.iter().map(|one| one.part_len(partition));
            let length: usize = lengths.sum();
            file.seek(SeekFrom::Start(batch.starts[partition]))?;
            let start = buffer.len();
            (&mut *file).take(length as u64).read_to_end(buffer)?;
            if buffer.len() - start < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
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
