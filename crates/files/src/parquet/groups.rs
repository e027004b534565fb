//! The row groups of a file, read by several workers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use parquet::errors::ParquetError;

use super::{ParquetFile, RowBatch};
use crate::FileFault;
use crate::blocks::side_by_side;

/// What the workers share.
struct Shared<T, A> {
    /// The next row group that nobody reads yet, and the first that is not accepted wholly.
    next: usize,
    accepted: usize,
    /// What was made of row groups behind the first that is not accepted.
    waiting: BTreeMap<usize, Waiting<T>>,
    /// The first row group that is broken, and why.
    broken: Option<(usize, ParquetError)>,
    accept: A,
}

struct Waiting<T> {
    made: Vec<T>,
    is_whole: bool,
}

impl ParquetFile {
    /// Reads the file with a thread for each worker. What `make` makes of a batch of rows is given to `accept`, in the order of the
    /// rows.
    ///
    /// # Errors
    /// The first row group that is broken. What stands before it may have been accepted.
    pub fn read<W: Send, T: Send>(
        &self,
        workers: &mut [W],
        make: impl Fn(&mut W, &RowBatch<'_>) -> T + Sync,
        accept: impl FnMut(T) + Send,
    ) -> Result<(), FileFault> {
        let shared = Mutex::new(Shared {
            next: 0,
            accepted: 0,
            waiting: BTreeMap::new(),
            broken: None,
            accept,
        });
        let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        let work = |worker: &mut W| {
            loop {
                let group = lock().take(self.row_groups());
                let Some(group) = group else {
                    return;
                };
                let read = self.read_group(group, |batch| {
                    let made = make(worker, batch);
                    lock().give(group, made);
                });
                lock().end(group, read.err());
            }
        };
        side_by_side(workers, work);
        let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        match shared.broken {
            Some((group, error)) => Err(self.fault(group, error)),
            None => Ok(()),
        }
    }
}

impl<T, A: FnMut(T)> Shared<T, A> {
    fn take(&mut self, groups: usize) -> Option<usize> {
        let group = Some(self.next).filter(|next| *next < groups && self.broken.is_none())?;
        self.next += 1;
        Some(group)
    }

    fn give(&mut self, group: usize, made: T) {
        match group == self.accepted {
            true => (self.accept)(made),
            false => self.waiting(group).made.push(made),
        }
    }

    /// Ends a row group, and accepts those behind it that were waiting for it.
    fn end(&mut self, group: usize, error: Option<ParquetError>) {
        if let Some(error) = error {
            // Row groups are taken in their order, so the first that is broken is found by whoever is slow.
            if self.broken.as_ref().is_none_or(|(first, _)| group < *first) {
                self.broken = Some((group, error));
            }
            return;
        }
        self.waiting(group).is_whole = true;
        while let Some(mut entry) = self.waiting.first_entry()
            && *entry.key() == self.accepted
        {
            let made = std::mem::take(&mut entry.get_mut().made);
            let is_whole = entry.get().is_whole;
            made.into_iter().for_each(&mut self.accept);
            if !is_whole {
                return;
            }
            entry.remove();
            self.accepted += 1;
        }
    }

    fn waiting(&mut self, group: usize) -> &mut Waiting<T> {
        self.waiting.entry(group).or_insert(Waiting {
            made: Vec::new(),
            is_whole: false,
        })
    }
}
