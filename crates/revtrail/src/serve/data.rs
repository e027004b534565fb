//! The data folder: nobody else may read it, and one process uses it at a time.

use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use revtrail_storage::beneath::{self, Kind};
use revtrail_storage::file::{INBOX, OUTBOX};
use revtrail_store::table::embedded::Embedded;
use rustix::fs::OFlags;

use crate::serve::ServeError;

/// The file of the admin key that was made up.
pub(super) const KEY_FILE: &str = "admin-key";
pub(crate) const DATABASE: &str = "revtrail.db";
const LOCK: &str = "lock";
/// What lies in the folder beside the inbox and the outbox. The log and the index of SQLite are as open as its database.
const FILES: [&str; 5] = [
    DATABASE,
    "revtrail.db-wal",
    "revtrail.db-shm",
    LOCK,
    KEY_FILE,
];
const FOLDERS: [&str; 2] = [INBOX, OUTBOX];
/// The bits of a mode that let others in.
const OTHERS: u32 = 0o077;

/// How deep folders are looked into. Revtrail makes none that lie deeper.
const DEPTH_MAX: usize = 32;

/// Opens the database. The returned files keep a second process out for as long as they are open.
pub(super) fn open(data: Option<&Path>) -> Result<(Embedded, Vec<File>), ServeError> {
    let Some(folder) = data else {
        return Ok((Embedded::memory()?, Vec::new()));
    };
    let failed = |source| ServeError::Folder {
        path: folder.to_owned(),
        source,
    };
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed)?;
    match make_private(folder) {
        Ok(0) => {}
        Ok(mended) => tracing::warn!(
            mended,
            "others could read the data folder, or files and folders in it; now only their owner can"
        ),
        Err(error) => tracing::warn!(%error, "failed to keep others out of the data folder"),
    }
    let in_use = || ServeError::InUse(folder.to_owned());
    let lock =
        lockable(&folder.join(LOCK), OFlags::NOFOLLOW).map_err(|source| ServeError::Folder {
            path: folder.join(LOCK),
            source,
        })?;
    let mut locks = vec![lock];
    // The lock file may be deleted, and a link leads from another folder to the same database: so it is locked itself. Elsewhere
    // than on Linux such a lock would keep SQLite out too. Whatever cannot be opened, the database says why.
    if cfg!(target_os = "linux") {
        locks.extend(lockable(&folder.join(DATABASE), OFlags::empty()));
    }
    for lock in &locks {
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    Ok((Embedded::file(&folder.join(DATABASE))?, locks))
}

/// Opens a file to be locked, and makes it if it is missing. What it holds stays.
fn lockable(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = (flags | OFlags::NONBLOCK).bits() as i32;
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false);
    file.mode(0o600).custom_flags(flags).open(path)
}

/// Takes from others what they may do with the folder and with what revtrail made in it; says of how many things. An older version
/// left them open. What is below inbox and outbox is looked at only if the folder itself was open. The folder is closed last: so
/// all of it is done again if the process ends in between.
fn make_private(folder: &Path) -> io::Result<usize> {
    let mut mended = 0;
    for name in FILES {
        if let Ok(Some(file)) = beneath::open(folder, name) {
            mended += close(&file)?;
        }
    }
    let itself = File::open(folder)?;
    if itself.metadata()?.permissions().mode() & OTHERS != 0 {
        for name in FOLDERS {
            mended += close_below(folder, name, 0)?;
        }
    }
    Ok(mended + close(&itself)?)
}

fn close_below(root: &Path, key: &str, depth: usize) -> io::Result<usize> {
    let at = match beneath::folder(root, key, false) {
        Ok(at) if depth < DEPTH_MAX => File::from(at),
        // Nothing is there, or a link, which is not followed.
        _ => return Ok(0),
    };
    let mut mended = close(&at)?;
    for (name, kind) in beneath::list(root, key)? {
        let Some(name) = name.to_str() else { continue };
        let key = format!("{key}/{name}");
        mended += match kind {
            Kind::Folder => close_below(root, &key, depth + 1)?,
            Kind::File { .. } => match beneath::open(root, &key) {
                Ok(Some(file)) => close(&file)?,
                // It is gone, or nobody may read it.
                _ => 0,
            },
            Kind::Shared | Kind::Other => 0,
        };
    }
    Ok(mended)
}

/// Takes from others what they may do with a file or a folder; 1 if there was something to take.
fn close(file: &File) -> io::Result<usize> {
    let mode = file.metadata()?.permissions().mode();
    if mode & OTHERS == 0 {
        return Ok(0);
    }
    file.set_permissions(Permissions::from_mode(mode & 0o7700))?;
    Ok(1)
}
