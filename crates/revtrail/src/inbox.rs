//! The inbox of `revtrail serve`: files in `DIR/inbox/<marketplace>/redemptions/` are taken in like those of a bucket, and their
//! results are written to `DIR/outbox/…`.

mod find;
mod upload;

pub(crate) use upload::{sweep, taker, with_uploads};

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redemption_batch::{BatchEnd, BatchError, BatchLimits, BatchWorker};
use revtrail_aws::clock::Clock;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_storage::fault::FilesError;
use revtrail_storage::file::File;
use revtrail_storage::files::{Files, Folder};
use revtrail_store::{Store, StoreError};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::inbox::find::FoundFile;

/// How often the inbox is checked for files.
const LOOK: Duration = Duration::from_secs(1);
/// How many batches a page has when unfinished ones are looked for after the process started.
const PAGE: usize = 100;
/// How many marketplaces have a file open at once. Each takes some MiB, and one of the 512 threads of tokio that may block.
const OPEN_AT_ONCE: usize = 64;
/// How many bytes of a file are hashed before others have their turn: about a tenth of a second.
const SLICE_BYTES: u64 = 32 << 20;
/// The largest file that is hashed although its hash will not be kept, because it has changed just now.
const UNSETTLED_BYTES_MAX: u64 = 32 << 20;
/// How often a pause is doubled after a file failed. The longest is 255 looks: about four minutes.
const PAUSE_DOUBLED_MAX: u32 = 8;
/// How much is done at once. A chunk is what another marketplace waits for: about a tenth of a second. After so many rows, about a
/// minute, a file gives its place to one of a marketplace that has none open.
pub const LIMITS: BatchLimits = BatchLimits {
    chunk_rows: 100,
    invocation_rows: 100_000,
    ..BatchLimits::DEFAULT
};

/// Checks the inbox for as long as the process lives. A file that fails is tried again at the next look, and does not keep the
/// others from their turn.
pub(crate) async fn watch(mut inbox: Inbox) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if let Err(error) = inbox.look().await {
            tracing::error!(%error, "failed to look into the inbox");
        }
    }
}

/// The inbox in a folder. Each marketplace has a worker of its own, which takes its files in one after the other.
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<InboxShared>,
    workers: HashMap<MarketplaceId, JoinHandle<()>>,
}

/// What the workers share.
#[derive(Debug)]
struct InboxShared {
    batches: BatchWorker,
    folder: Folder,
    clock: Clock,
    /// The places of those marketplaces that have a file open.
    open: Semaphore,
    seen: Mutex<SeenFile>,
}

#[derive(Debug, Default)]
struct SeenFile {
    /// The ETags of files whose batches have ended, by the keys of the files.
    ended: HashMap<String, String>,
    /// What was last logged about a file or a folder, so that the log does not say the same at every look.
    logged: HashMap<String, String>,
    /// The files that failed, by their keys.
    failing: HashMap<String, Failing>,
    /// The marketplaces whose unfinished batches were looked at.
    taken_up: HashSet<MarketplaceId>,
}

/// A file that failed at its last tries.
#[derive(Debug, Default)]
struct Failing {
    failures: u32,
    /// For how many looks it is still left alone.
    looks: u32,
}

impl Inbox {
    /// The inbox below `root`.
    pub fn new(
        store: Store,
        retention: Retention,
        clock: Clock,
        root: PathBuf,
        limits: BatchLimits,
    ) -> Self {
        let folder = Folder::new(root);
        let batches = BatchWorker {
            limits,
            ..BatchWorker::new(store, retention, Files::Folder(folder.clone()))
        };
        let shared = InboxShared {
            batches,
            folder,
            clock,
            open: Semaphore::new(OPEN_AT_ONCE),
            seen: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            workers: HashMap::new(),
        }
    }

    /// Checks what is there, and starts workers for those marketplaces that have none at work.
    ///
    /// # Errors
    /// The table does not answer which marketplaces exist.
    pub async fn look(&mut self) -> Result<(), StoreError> {
        let known = self.shared.batches.store.marketplaces().await?;
        let known: BTreeSet<MarketplaceId> = known.into_iter().map(|m| m.marketplace_id).collect();
        let (shared, among) = (self.shared.clone(), known.clone());
        // Nobody waits for what the thread returns, but for its end.
        drop(tokio::task::spawn_blocking(move || shared.look_around(&among)).await);
        self.workers.retain(|_, worker| !worker.is_finished());
        for id in known {
            if !self.workers.contains_key(&id) {
                let work = self.shared.clone().work_off(id.clone());
                self.workers.insert(id, tokio::spawn(work));
            }
        }
        Ok(())
    }

    /// Waits until all workers are done with what was there at the last look.
    pub async fn idle(&mut self) {
        for (_, worker) in self.workers.drain() {
            drop(worker.await);
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.workers.values().for_each(JoinHandle::abort);
    }
}

impl InboxShared {
    fn seen(&self) -> MutexGuard<'_, SeenFile> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs what is wrong with a file or a folder, unless the last log about it says the same.
    fn warn(&self, key: &str, what: &str) {
        let before = self.seen().logged.insert(key.to_owned(), what.to_owned());
        if before.as_deref() != Some(what) {
            tracing::warn!(?key, "{what}");
        }
    }

    /// Takes the files of a marketplace in, one after the other.
    async fn work_off(self: Arc<Self>, id: MarketplaceId) {
        let is_new = self.seen().taken_up.insert(id.clone());
        if is_new && let Err(error) = self.take_up(&id).await {
            let what = format!("failed to take up unfinished files: {error}");
            self.warn(&id.to_string(), &what);
            self.seen().taken_up.remove(&id);
        }
        if let Err(error) = self.batches.write_outdated(&id, self.clock.now()).await {
            let what =
                format!("results that name an erased customer will be written again: {error}");
            self.warn(&format!("outbox/{id}"), &what);
        }
        let (shared, whose) = (self.clone(), id.clone());
        let found = {
            // The semaphore is never closed.
            let _open = self.open.acquire().await;
            tokio::task::spawn_blocking(move || shared.find(&whose)).await
        };
        for found in found.unwrap_or_default() {
            let key = &found.file.key;
            if self.is_paused(key) {
                continue;
            }
            match self.take(&found).await {
                Ok(()) => drop(self.seen().failing.remove(key)),
                Err(error) => {
                    self.pause(key);
                    self.warn(key, &format!("failed, and will be tried again: {error}"));
                    // If the file goes before that, nothing else points at its batch.
                    self.seen().taken_up.remove(&id);
                }
            }
        }
    }

    /// True if a file is left alone at this look, because it failed before.
    fn is_paused(&self, key: &str) -> bool {
        match self.seen().failing.get_mut(key) {
            Some(failing) if failing.looks > 0 => {
                failing.looks -= 1;
                true
            }
            _ => false,
        }
    }

    /// Leaves a file alone that failed: not at all after its first failure, then for 1, 3, 7 … looks.
    fn pause(&self, key: &str) {
        let mut seen = self.seen();
        let failing = seen.failing.entry(key.to_owned()).or_default();
        failing.looks = (1 << failing.failures.min(PAUSE_DOUBLED_MAX)) - 1;
        failing.failures += 1;
    }

    /// Ends the unfinished batches of files that have changed or are gone, because nothing else will ever point at them. The
    /// other batches are found by their files.
    async fn take_up(&self, id: &MarketplaceId) -> Result<(), BatchError> {
        let market = self.batches.store.market(id, self.batches.retention);
        let mut after = None;
        loop {
            let (batches, next) = market.batches().list(after, PAGE, self.clock.now()).await?;
            for (_, batch) in batches.iter().filter(|(_, batch)| !batch.has_ended()) {
                let (key, etag) = (&batch.file, &batch.etag);
                if let Some(file) = File::at(key)
                    && !self.batches.files.holds(key, etag).await?
                {
                    self.turn(&file, etag).await?;
                }
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn take(&self, found: &FoundFile) -> Result<(), BatchError> {
        let file = &found.file;
        let etag = match self.etag(found).await {
            Ok(Some(etag)) => etag,
            // The next look finds what is there by then.
            Ok(None) | Err(FilesError::Vanished | FilesError::Overwritten) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if self.seen().ended.get(&file.key) == Some(&etag) {
            return Ok(());
        }
        loop {
            match self.turn(file, &etag).await? {
                BatchEnd::Later => {}
                BatchEnd::Interrupted => return Ok(()),
                BatchEnd::Ended => {
                    let mut seen = self.seen();
                    seen.logged.remove(&file.key);
                    seen.ended.insert(file.key.clone(), etag);
                    return Ok(());
                }
            }
        }
    }

    /// The ETag of what was found; `None` if it is left to a later look. Large files are hashed in turns with those of other
    /// marketplaces.
    async fn etag(&self, found: &FoundFile) -> Result<Option<String>, FilesError> {
        if let Some(etag) = &found.etag {
            return Ok(Some(etag.clone()));
        }
        let gone = |_| FilesError::Vanished;
        let (folder, key) = (self.folder.clone(), found.file.key.clone());
        let begin = move || {
            let mut hashing = folder.hash(&key)?;
            // Nothing is read for an ETag that is known, so nobody waits for a turn.
            let known = hashing.step(0)?;
            Ok::<_, FilesError>((hashing, known))
        };
        let (mut hashing, known) = tokio::task::spawn_blocking(begin).await.map_err(gone)??;
        if known.is_some() {
            return Ok(known);
        }
        if hashing.bytes() > UNSETTLED_BYTES_MAX && !hashing.is_kept() {
            return Ok(None);
        }
        loop {
            let _turn = self.batches.turn().await;
            let step = move || {
                let etag = hashing.step(SLICE_BYTES);
                (hashing, etag)
            };
            let (rest, etag) = tokio::task::spawn_blocking(step).await.map_err(gone)?;
            if let Some(etag) = etag? {
                return Ok(Some(etag));
            }
            hashing = rest;
        }
    }

    async fn turn(&self, file: &File, etag: &str) -> Result<BatchEnd, BatchError> {
        // The semaphore is never closed.
        let _open = self.open.acquire().await;
        let clock = || self.clock.now();
        self.batches.work(file, etag, &clock, Instant::MAX).await
    }
}
