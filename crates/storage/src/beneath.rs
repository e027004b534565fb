//! Files below a folder, whoever may write into that folder. No link is followed, neither in the place of a file nor in that of a
//! folder on the way, and nothing is waited for.
//!
//! Each folder on the way is opened from the one above it, so nobody can put a link in its place between two steps. Linux would do
//! the same in one call (`openat2`); the steps are taken everywhere, so that there is one way only.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// The mode of what is made: its owner's alone.
const FOLDER_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
/// How a folder is opened.
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// How a file is opened that already exists. Whatever else has its name by then is not waited for.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file that has this name only.
    File {
        /// The size of the file, in bytes.
        bytes: u64,
    },
    /// A file that has other names too (hard links). It may be somebody else's.
    Shared,
    /// A link, a device, a socket or a pipe.
    Other,
}

impl Kind {
    fn of(about: &rustix::fs::Stat) -> Self {
        match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory => Self::Folder,
            FileType::RegularFile if about.st_nlink == 1 => Self::File {
                bytes: about.st_size as u64,
            },
            FileType::RegularFile => Self::Shared,
            _ => Self::Other,
        }
    }
}

/// True where the error says that something on the way is a link, or no folder.
pub fn is_link(error: &io::Error) -> bool {
    let links = [Errno::LOOP, Errno::NOTDIR, Errno::MLINK, Errno::NXIO];
    links
        .map(|link| Some(link.raw_os_error()))
        .contains(&error.raw_os_error())
}

/// Opens a folder below `root`. With `make`, folders that are missing are made.
///
/// # Errors
/// The folder is missing or cannot be opened, or a link is in its way ([`is_link`]).
pub fn folder(root: &Path, key: &str, make: bool) -> io::Result<OwnedFd> {
    if make {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)?;
    }
    let mut at = rustix::fs::open(root, FOLDER, Mode::empty())?;
    for name in key.split('/') {
        match name {
            // Two slashes are one.
            "" => continue,
            "." | ".." => return Err(Errno::INVAL.into()),
            _ => {}
        }
        let open = || rustix::fs::openat(&at, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
        at = match open() {
            Err(Errno::NOENT) if make => match rustix::fs::mkdirat(&at, name, FOLDER_MODE) {
                Ok(()) | Err(Errno::EXIST) => open()?,
                Err(error) => return Err(error.into()),
            },
            opened => opened?,
        };
    }
    Ok(at)
}

/// The entries of a folder below `root`, by name.
///
/// # Errors
/// As [`folder`].
pub fn list(root: &Path, key: &str) -> io::Result<Vec<(OsString, Kind)>> {
    let at = folder(root, key, false)?;
    let mut entries = Vec::new();
    for entry in Dir::read_from(&at)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        match rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => entries.push((name.to_owned(), Kind::of(&about))),
            // It went in the meantime.
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

fn parent(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}

/// Opens a file below `root` to read it; `None` where something else has its name, or where the file has other names too.
///
/// # Errors
/// As [`folder`]; or the file cannot be opened.
pub fn open(root: &Path, key: &str) -> io::Result<Option<File>> {
    let (above, name) = parent(key);
    let at = folder(root, above, false)?;
    // Some devices do something as soon as they are opened, so what it is, is asked before too.
    let named = rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if !matches!(Kind::of(&named), Kind::File { .. }) {
        return Ok(None);
    }
    let file = rustix::fs::openat(&at, name, FILE, Mode::empty())?;
    let opened = rustix::fs::fstat(&file)?;
    let is_file = matches!(Kind::of(&opened), Kind::File { .. });
    Ok(is_file.then(|| file.into()))
}

/// Deletes a file below `root`. A link is deleted itself, and not what it leads to. A file that is not there is deleted.
///
/// # Errors
/// As [`folder`]; or the file cannot be deleted.
pub fn delete(root: &Path, key: &str) -> io::Result<()> {
    let (above, name) = parent(key);
    let deleted = folder(root, above, false)
        .and_then(|at| Ok(rustix::fs::unlinkat(at, name, AtFlags::empty())?));
    unless_gone(deleted)
}

/// Deletes a folder below `root` with everything in it. No link is followed. A folder that is not there is deleted.
///
/// # Errors
/// As [`folder`]; or something in the folder cannot be deleted.
pub fn delete_folder(root: &Path, key: &str) -> io::Result<()> {
    let entries = match list(root, key) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for (name, kind) in entries {
        // Revtrail makes no other names. Where somebody else did, the folder is not empty, and stays.
        let Some(name) = name.to_str() else { continue };
        let below = format!("{key}/{name}");
        match kind {
            Kind::Folder => delete_folder(root, &below)?,
            Kind::File { .. } | Kind::Shared | Kind::Other => delete(root, &below)?,
        }
    }
    let (above, name) = parent(key);
    let deleted = folder(root, above, false)
        .and_then(|at| Ok(rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR)?));
    unless_gone(deleted)
}

fn unless_gone(deleted: io::Result<()>) -> io::Result<()> {
    match deleted {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        deleted => deleted,
    }
}

/// A file that is being written, under a name of its own until it is whole. Dropped before that, it is gone.
#[derive(Debug)]
pub struct Draft {
    at: OwnedFd,
    draft: Option<String>,
    /// The file that is written to.
    pub file: File,
}

impl Draft {
    /// Begins to write a file below `root`. `draft` is the name until the file is whole; no other file may have it.
    ///
    /// # Errors
    /// As [`folder`]; or the file cannot be made.
    pub fn new(root: &Path, key: &str, draft: String) -> io::Result<Self> {
        let at = folder(root, parent(key).0, true)?;
        let new =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(at.as_fd(), &draft, new, FILE_MODE)?;
        Ok(Self {
            at,
            draft: Some(draft),
            file: file.into(),
        })
    }

    /// Gives the file its name, once it is on disk. It replaces what has the name, be it a link.
    ///
    /// # Errors
    /// The file cannot be written to the disk, or something has its name that cannot be replaced.
    pub fn finish(mut self, key: &str) -> io::Result<()> {
        self.file.sync_all()?;
        if let Some(draft) = &self.draft {
            rustix::fs::renameat(&self.at, draft, &self.at, parent(key).1)?;
        }
        self.draft = None;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(draft) = &self.draft {
            // Its name begins with a dot, so nobody takes what stays for a result.
            let _ = rustix::fs::unlinkat(&self.at, draft, AtFlags::empty());
        }
    }
}
