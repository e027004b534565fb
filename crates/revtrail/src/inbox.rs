//! The inbox of `revtrail serve`: files in `DIR/inbox/<marketplace>/redemptions/` are taken in as a bucket's are, and their results
//! lie in `DIR/outbox/…`.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use redemption_batch::Batches;
use redemption_batch::file::{File, INBOX, REDEMPTIONS};
use redemption_batch::files::{Files, FilesError, Folder};
use revtrail_aws::clock::Clock;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::{Store, StoreError};

/// How often the inbox is looked into.
const LOOK: Duration = Duration::from_secs(1);
/// Batches are asked for in pages of so many when the process starts.
const PAGE: usize = 100;

/// Looks into the inbox for as long as the process lives. A file that fails is tried again at the next look, and keeps no other
/// from its turn.
pub(crate) async fn watch(store: Store, retention: Retention, clock: Clock, root: PathBuf) {
    let folder = Folder::new(root);
    let batches = Batches::new(store, retention, Files::Folder(folder.clone()));
    let mut inbox = Inbox {
        batches,
        folder,
        clock,
        ended: HashMap::new(),
        refused: HashSet::new(),
    };
    if let Err(error) = inbox.take_up().await {
        tracing::error!(%error, "what was left of files is not all taken up");
    }
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if let Err(error) = inbox.look().await {
            tracing::error!(%error, "failed to look into the inbox");
        }
    }
}

struct Inbox {
    batches: Batches,
    folder: Folder,
    clock: Clock,
    /// ETags of files whose batches have ended.
    ended: HashMap<String, String>,
    /// Files that were told to be none of ours.
    refused: HashSet<String>,
}

impl Inbox {
    /// Goes on with the batches that a process before left. Those whose files are not what they were fail now, for nothing else
    /// will ever point at them.
    async fn take_up(&mut self) -> Result<(), StoreError> {
        for marketplace in self.batches.store.marketplaces().await? {
            let id = &marketplace.marketplace_id;
            let market = self.batches.store.market(id, self.batches.retention);
            let mut after = None;
            loop {
                let (batches, next) = market.batches(after, PAGE, self.clock.now()).await?;
                for batch in batches.iter().filter(|batch| !batch.has_ended()) {
                    if let Some(file) = File::at(&batch.file) {
                        self.work(&file, &batch.etag).await;
                    }
                }
                match next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Takes in the files that are there.
    async fn look(&mut self) -> Result<(), StoreError> {
        for marketplace in self.batches.store.marketplaces().await? {
            let keys = match self.names(&marketplace.marketplace_id) {
                Ok(keys) => keys,
                Err(error) => {
                    tracing::error!(marketplace = %marketplace.marketplace_id, %error, "failed to read an inbox");
                    continue;
                }
            };
            for key in keys {
                let Some(file) = File::at(&key) else {
                    if self.refused.insert(key.clone()) {
                        tracing::warn!(
                            file = key,
                            "not taken: its name does not end in .csv, .jsonl, .csv.gz or .jsonl.gz"
                        );
                    }
                    continue;
                };
                let (folder, of) = (self.folder.clone(), key.clone());
                let etag = tokio::task::spawn_blocking(move || folder.etag(&of)).await;
                match etag {
                    Ok(Ok(etag)) if self.ended.get(&key) != Some(&etag) => {
                        self.work(&file, &etag).await;
                    }
                    Ok(Ok(_) | Err(FilesError::Vanished)) => {}
                    Ok(Err(error)) => tracing::error!(file = key, %error, "a file is not taken"),
                    Err(error) => tracing::error!(file = key, %error, "a file is not taken"),
                }
            }
        }
        Ok(())
    }

    /// The files of a marketplace by their keys, sorted; its folder is made where there is none. Names that begin with a dot are
    /// not complete yet.
    fn names(&self, marketplace: &MarketplaceId) -> std::io::Result<Vec<String>> {
        let prefix = format!("{INBOX}/{marketplace}/{REDEMPTIONS}");
        let folder = self.folder.path(&prefix);
        std::fs::create_dir_all(&folder)?;
        let mut keys = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            // A name that is no UTF-8 is no file of redemptions.
            if let Ok(name) = entry.file_name().into_string()
                && !name.starts_with('.')
                && entry.path().is_file()
            {
                keys.push(format!("{prefix}/{name}"));
            }
        }
        keys.sort();
        Ok(keys)
    }

    async fn work(&mut self, file: &File, etag: &str) {
        let clock = self.clock.clone();
        let worked = self
            .batches
            .work(file, etag, &|| clock.now(), Instant::MAX)
            .await;
        match worked {
            Ok(_) => drop(self.ended.insert(file.key.clone(), etag.to_owned())),
            Err(error) => {
                tracing::error!(file = file.key, %error, "a file failed and will be tried again");
            }
        }
    }
}
