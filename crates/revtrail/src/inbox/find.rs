//! What lies in the inbox, and whose it is. Each marketplace's folder is looked through on its own, so that one that holds very much
//! does not hold up the others.

use std::collections::BTreeSet;
use std::io;

use redemption_batch::too_large;
use revtrail_core::value::id::MarketplaceId;
use revtrail_storage::beneath::{self, Kind};
use revtrail_storage::file::{File, INBOX, REDEMPTIONS};

use crate::inbox::InboxShared;

/// What replaces the ETag of that which has no content of its own.
const NO_CONTENT: &str = "none";
/// How deep folders are looked into. A folder further below is named itself, as a file that lies in the wrong place.
const DEPTH_MAX: usize = 16;
/// The most files of a marketplace at one look. They take some hundred bytes each.
const FILES_MAX: usize = 100_000;

/// Something that lies in the folder of a marketplace.
pub(super) struct FoundFile {
    pub(super) file: File,
    /// What stands for the ETag where the content is not read; then the file has a reason why.
    pub(super) etag: Option<String>,
}

/// One entry of a folder.
struct Entry {
    key: String,
    name: String,
    kind: Kind,
}

impl InboxShared {
    /// Logs what lies beside the folders of the marketplaces that exist. The call blocks.
    pub(super) fn look_around(&self, known: &BTreeSet<MarketplaceId>) {
        for Entry { key, name, kind } in self.list(INBOX) {
            let what = match (MarketplaceId::new(&name), kind) {
                (Ok(id), _) if known.contains(&id) => continue,
                (Ok(_), Kind::Folder) => {
                    "there is no marketplace of this name: files in this folder wait until it is made"
                }
                (Err(_), Kind::Folder) => {
                    "no marketplace can have this name, so files in this folder are not taken: rename it"
                }
                _ => "not taken: put files of redemptions into inbox/<marketplace>/redemptions",
            };
            self.warn(&key, what);
        }
    }

    /// What lies in the folder of a marketplace. The folder is made if it is missing. The call blocks.
    pub(super) fn find(&self, id: &MarketplaceId) -> Vec<FoundFile> {
        let (folder, mut found) = (format!("{INBOX}/{id}"), Vec::new());
        let key = format!("{folder}/{REDEMPTIONS}");
        match beneath::folder(self.folder.root(), &key, true) {
            Ok(_) => {}
            Err(error) if beneath::is_link(&error) => {
                let why = "it, or a folder around it, is a link, or something else that is no folder: make it a folder".to_owned();
                found.extend(refused(&key, why));
            }
            Err(error) => self.warn(&key, &format!("failed to make this folder: {error}")),
        }
        self.collect(&folder, 0, &mut found);
        if found.len() > FILES_MAX {
            self.warn(
                &folder,
                &format!(
                    "only the first {FILES_MAX} files are looked at: move away those that are done"
                ),
            );
            found.truncate(FILES_MAX);
        }
        found
    }

    /// Collects what lies in a folder and below it.
    fn collect(&self, folder: &str, depth: usize, found: &mut Vec<FoundFile>) {
        for Entry { key, kind, .. } in self.list(folder) {
            let before = found.len();
            if before > FILES_MAX {
                return;
            }
            match kind {
                Kind::Folder if depth < DEPTH_MAX => {
                    self.collect(&key, depth + 1, found);
                    let is_named_as_file = File::at(&key).is_some_and(|file| file.kind.is_ok());
                    if found.len() == before && is_named_as_file {
                        found.extend(refused(
                            &key,
                            "it is a folder: put the file itself there".to_owned(),
                        ));
                    }
                }
                Kind::File { bytes } => found.extend(self.sized(&key, bytes)),
                Kind::Shared => {
                    let why = "it has another name too (a hard link), so it may be another's file: copy it here instead";
                    found.extend(refused(&key, why.to_owned()));
                }
                Kind::Folder | Kind::Other => {
                    let why = "it is a link, or something else that is no file: put the file itself there";
                    found.extend(refused(&key, why.to_owned()));
                }
            }
        }
    }

    /// A file of this many bytes. One that is larger than what it may hold unpacked is refused before it is read.
    fn sized(&self, key: &str, bytes: u64) -> Option<FoundFile> {
        let limits = self.batches.limits;
        if bytes > limits.unpacked_bytes {
            let found = refused(key, too_large(limits))?;
            let etag = Some(format!("{bytes} bytes"));
            return Some(FoundFile { etag, ..found });
        }
        let file = File::at(key)?;
        // Nothing is made of the name of what is not UTF-8, so its content cannot be reached by it.
        let is_reachable = !key.contains(char::REPLACEMENT_CHARACTER);
        let etag = (!is_reachable).then(|| NO_CONTENT.to_owned());
        Some(FoundFile { file, etag })
    }

    /// The entries of a folder, sorted, without those that are not complete yet, whose names begin with a dot.
    fn list(&self, folder: &str) -> Vec<Entry> {
        let listed = beneath::list(self.folder.root(), folder);
        let entries = listed.unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                self.warn(folder, &format!("failed to read this folder: {error}"));
            }
            Vec::new()
        });
        let entry = |(name, kind): (std::ffi::OsString, Kind)| {
            let is_text = name.to_str().is_some();
            let name = name.to_string_lossy().into_owned();
            let kind = match kind {
                Kind::Folder if !is_text => Kind::Other,
                kind => kind,
            };
            let key = format!("{folder}/{name}");
            (!name.starts_with('.')).then_some(Entry { key, name, kind })
        };
        entries.into_iter().filter_map(entry).collect()
    }
}

/// What is refused for a reason, unless its name is a reason already. `None` where it is not complete yet.
fn refused(key: &str, why: String) -> Option<FoundFile> {
    let mut file = File::at(key)?;
    if file.kind.is_ok() || key.ends_with(REDEMPTIONS) {
        file.kind = Err(why);
    }
    let etag = Some(NO_CONTENT.to_owned());
    Some(FoundFile { file, etag })
}
