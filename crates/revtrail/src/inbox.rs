//! The inbox of `revtrail serve`: files in `DIR/inbox/<marketplace>/redemptions/` are taken in like those of a bucket, and their
//! results are written to `DIR/outbox/…`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redemption_batch::fault::FilesError;
use redemption_batch::file::{File, INBOX, REDEMPTIONS};
use redemption_batch::files::{Files, Folder};
use redemption_batch::{BatchEnd, BatchError, BatchLimits, BatchWorker};
use revtrail_aws::clock::Clock;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::{Store, StoreError};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// How often the inbox is checked for files.
const LOOK: Duration = Duration::from_secs(1);
/// How many batches a page has when unfinished ones are looked for after the process started.
const PAGE: usize = 100;
/// How many files are taken in at once, at most one of each marketplace. Each takes some MiB, and one of the 512 threads of tokio
/// that may block.
const TURNS_AT_ONCE: usize = 64;
/// After how many rows a file gives its turn to one that waits: about a minute.
const INVOCATION_ROWS: u64 = 100_000;
/// What replaces the ETag if a link, or something else without content of its own, has the name of a file.
const NO_CONTENT: &str = "none";

/// Checks the inbox for as long as the process lives. A file that fails is tried again at the next look, and does not keep the
/// others from their turn.
pub(crate) async fn watch(store: Store, retention: Retention, clock: Clock, root: PathBuf) {
    let mut inbox = Inbox::new(store, retention, clock, root);
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if let Err(error) = inbox.look().await {
            tracing::error!(%error, "failed to look into the inbox");
        }
    }
}

/// One entry of a folder.
struct Entry {
    key: String,
    /// True for a folder that can be read.
    folder: bool,
    /// True for a file that can be read: it is no link and no device, and its name is UTF-8.
    regular: bool,
}

/// The inbox in a folder. Each marketplace has a worker of its own, which takes its files in one after the other.
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
    workers: HashMap<MarketplaceId, JoinHandle<()>>,
}

/// What the workers share.
#[derive(Debug)]
struct Shared {
    batches: BatchWorker,
    folder: Folder,
    clock: Clock,
    turns: Semaphore,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The ETags of files whose batches have ended, by the keys of the files.
    ended: HashMap<String, String>,
    /// What was last logged about a file or a folder, so that the log does not say the same at every look.
    logged: HashMap<String, String>,
    /// The marketplaces whose unfinished batches were looked at.
    taken_up: HashSet<MarketplaceId>,
}

impl Inbox {
    /// The inbox below `root`.
    pub fn new(store: Store, retention: Retention, clock: Clock, root: PathBuf) -> Self {
        let folder = Folder::new(root);
        let batches = BatchWorker {
            limits: BatchLimits {
                invocation_rows: INVOCATION_ROWS,
                ..BatchLimits::DEFAULT
            },
            ..BatchWorker::new(store, retention, Files::Folder(folder.clone()))
        };
        let shared = Shared {
            batches,
            folder,
            clock,
            turns: Semaphore::new(TURNS_AT_ONCE),
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
        let shared = self.shared.clone();
        let found = tokio::task::spawn_blocking(move || shared.find(&known)).await;
        self.workers.retain(|_, worker| !worker.is_finished());
        for (id, files) in found.unwrap_or_default() {
            if !self.workers.contains_key(&id) {
                let work = self.shared.clone().work_off(id.clone(), files);
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

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs what is wrong with a file or a folder, unless the last log about it says the same.
    fn warn(&self, key: &str, what: &str) {
        let before = self.seen().logged.insert(key.to_owned(), what.to_owned());
        if before.as_deref() != Some(what) {
            tracing::warn!(?key, "{what}");
        }
    }

    /// The files that are there, by marketplace. Missing folders of marketplaces are made. The call blocks.
    fn find(&self, known: &BTreeSet<MarketplaceId>) -> BTreeMap<MarketplaceId, Vec<(File, bool)>> {
        let mut found = BTreeMap::new();
        for id in known {
            let key = format!("{INBOX}/{id}/{REDEMPTIONS}");
            if let Err(error) = std::fs::create_dir_all(self.folder.path(&key)) {
                self.warn(&key, &format!("failed to make this folder: {error}"));
            }
            found.insert(id.clone(), Vec::new());
        }
        for entry in self.list(INBOX) {
            let name = entry.key.split('/').next_back().unwrap_or_default();
            let what = match MarketplaceId::new(name) {
                Ok(id) if entry.folder => {
                    if let Some(files) = found.get_mut(&id) {
                        self.collect(&entry.key, files);
                        continue;
                    }
                    "there is no marketplace of this name: files in this folder wait until it is made"
                }
                Err(_) if entry.folder => {
                    "no marketplace can have this name, so files in this folder are not taken: rename it"
                }
                _ => "not taken: put files of redemptions into inbox/<marketplace>/redemptions",
            };
            self.warn(&entry.key, what);
        }
        found
    }

    /// Collects the files in a folder and below it, each with whether it can be read.
    fn collect(&self, folder: &str, files: &mut Vec<(File, bool)>) {
        for entry in self.list(folder) {
            if entry.folder {
                self.collect(&entry.key, files);
            } else if let Some(mut file) = File::at(&entry.key) {
                if !entry.regular && file.kind.is_ok() {
                    let why = "it is a link, or something else that is no file: put the file itself there";
                    file.kind = Err(why.to_owned());
                }
                files.push((file, entry.regular));
            }
        }
    }

    /// The entries of a folder, sorted, without those that are not complete yet, whose names begin with a dot.
    fn list(&self, folder: &str) -> Vec<Entry> {
        let entry = |entry: io::Result<std::fs::DirEntry>| {
            let (name, kind) =
                entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?)))?;
            let readable = name.to_str().is_some();
            Ok(Entry {
                key: format!("{folder}/{}", name.to_string_lossy()),
                folder: readable && kind.is_dir(),
                regular: readable && kind.is_file(),
            })
        };
        let listed = std::fs::read_dir(self.folder.path(folder))
            .and_then(|entries| entries.map(entry).collect::<io::Result<Vec<_>>>());
        let mut entries = listed.unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                self.warn(folder, &format!("failed to read this folder: {error}"));
            }
            Vec::new()
        });
        entries.retain(|entry| !entry.key[folder.len() + 1..].starts_with('.'));
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        entries
    }

    /// Takes the files of a marketplace in, one after the other.
    async fn work_off(self: Arc<Self>, id: MarketplaceId, files: Vec<(File, bool)>) {
        let is_new = self.seen().taken_up.insert(id.clone());
        if is_new && let Err(error) = self.take_up(&id).await {
            tracing::error!(marketplace = %id, %error, "failed to take up unfinished files");
            self.seen().taken_up.remove(&id);
        }
        for (file, regular) in files {
            if let Err(error) = self.take(&file, regular).await {
                let what = format!("failed, and will be tried again: {error}");
                self.warn(&file.key, &what);
                // If the file goes before that, nothing else points at its batch.
                self.seen().taken_up.remove(&id);
            }
        }
    }

    /// Ends the unfinished batches of files that have changed or are gone, because nothing else will ever point at them. The
    /// other batches are found by their files.
    async fn take_up(&self, id: &MarketplaceId) -> Result<(), BatchError> {
        let market = self.batches.store.market(id, self.batches.retention);
        let mut after = None;
        loop {
            let (batches, next) = market.batches().list(after, PAGE, self.clock.now()).await?;
            for batch in batches.iter().filter(|batch| !batch.has_ended()) {
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

    async fn take(&self, file: &File, regular: bool) -> Result<(), BatchError> {
        let etag = match self.etag(file, regular).await {
            Ok(etag) => etag,
            // The next look finds what is there by then.
            Err(FilesError::Vanished | FilesError::Overwritten) => return Ok(()),
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

    async fn etag(&self, file: &File, regular: bool) -> Result<String, FilesError> {
        if !regular {
            return Ok(NO_CONTENT.to_owned());
        }
        let (folder, key) = (self.folder.clone(), file.key.clone());
        let etag = tokio::task::spawn_blocking(move || folder.etag(&key)).await;
        etag.unwrap_or(Err(FilesError::Vanished))
    }

    async fn turn(&self, file: &File, etag: &str) -> Result<BatchEnd, BatchError> {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let clock = || self.clock.now();
        self.batches.work(file, etag, &clock, Instant::MAX).await
    }
}
