//! The inbox of `revtrail serve`: files in `DIR/inbox/<marketplace>/redemptions/` are taken in as a bucket's are, and their results
//! lie in `DIR/outbox/…`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redemption_batch::file::{File, INBOX, REDEMPTIONS};
use redemption_batch::files::{Files, FilesError, Folder};
use redemption_batch::{BatchError, BatchLimits, Batches, Invocation};
use revtrail_aws::clock::Clock;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::{Store, StoreError};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// How often the inbox is looked into.
const LOOK: Duration = Duration::from_secs(1);
/// Batches are asked for in pages of so many when the process starts.
const PAGE: usize = 100;
/// Files that are taken in at once, at most one of each marketplace. Each holds some MiB, and one of tokio's 512 threads that may
/// block.
const TURNS_AT_ONCE: usize = 64;
/// Rows after which a file gives its turn to one that waits: about a minute.
const INVOCATION_ROWS: u64 = 100_000;
/// In place of an ETag, where a link or something else that holds no content of its own has the name of a file.
const NO_CONTENT: &str = "none";

/// Looks into the inbox for as long as the process lives. A file that fails is tried again at the next look, and keeps no other
/// from its turn.
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

/// What lies in a folder.
struct Entry {
    key: String,
    /// A folder that can be looked into.
    folder: bool,
    /// A file that can be read: no link, no device, and a name in UTF-8.
    regular: bool,
}

/// The inbox in a folder. Each marketplace has a worker of its own, which takes its files one after the other.
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
    workers: HashMap<MarketplaceId, JoinHandle<()>>,
}

/// What the workers share.
#[derive(Debug)]
struct Shared {
    batches: Batches,
    folder: Folder,
    clock: Clock,
    turns: Semaphore,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// ETags of files whose batches have ended.
    ended: HashMap<String, String>,
    /// What the log said last of a file or a folder: it does not say the same at every look.
    logged: HashMap<String, String>,
    /// Marketplaces whose unfinished batches were looked at.
    taken_up: HashSet<MarketplaceId>,
}

impl Inbox {
    /// The inbox below `root`.
    pub fn new(store: Store, retention: Retention, clock: Clock, root: PathBuf) -> Self {
        let folder = Folder::new(root);
        let batches = Batches {
            limits: BatchLimits {
                invocation_rows: INVOCATION_ROWS,
                ..BatchLimits::DEFAULT
            },
            ..Batches::new(store, retention, Files::Folder(folder.clone()))
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

    /// Looks at what is there, and sets the workers of those marketplaces to it that have none at work.
    ///
    /// # Errors
    /// The table: it does not say which marketplaces there are.
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

    /// Waits until all workers are through with what was there at the last look.
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

    /// Logs what is wrong with a file or a folder, unless that is what was logged of it last.
    fn warn(&self, key: &str, what: &str) {
        let before = self.seen().logged.insert(key.to_owned(), what.to_owned());
        if before.as_deref() != Some(what) {
            tracing::warn!(?key, "{what}");
        }
    }

    /// The files that are there, by marketplace; folders of marketplaces are made where there are none. Blocks.
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

    /// The files in a folder and below, each with whether it can be read.
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

    /// What lies in a folder, sorted. Names that begin with a dot are not complete yet.
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

    /// Takes a marketplace's files in, one after the other.
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
                // Should the file go before that, nothing else would point at its batch.
                self.seen().taken_up.remove(&id);
            }
        }
    }

    /// Ends the unfinished batches of files that are not what they were: nothing else will ever point at them. The others are
    /// found where they lie.
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
            // The next look tells what is there.
            Err(FilesError::Vanished | FilesError::Overwritten) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if self.seen().ended.get(&file.key) == Some(&etag) {
            return Ok(());
        }
        loop {
            match self.turn(file, &etag).await? {
                Invocation::Later => {}
                Invocation::Interrupted => return Ok(()),
                Invocation::Ended => {
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

    async fn turn(&self, file: &File, etag: &str) -> Result<Invocation, BatchError> {
        // Nobody closes it.
        let _turn = self.turns.acquire().await;
        let clock = || self.clock.now();
        self.batches.work(file, etag, &clock, Instant::MAX).await
    }
}
