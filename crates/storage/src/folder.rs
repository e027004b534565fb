//! A folder of this machine with the same keys as a bucket.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use revtrail_store::random_hex;
use sha2::{Digest, Sha256};

use crate::beneath::{self, Draft};
use crate::fault::FilesError;

/// How long after its last change a file counts as settled. Until then another change may leave no trace, because file systems
/// keep times in steps, of 2 s at the worst.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// How many bytes are read at once.
const BUFFER_BYTES: usize = 128 << 10;

/// A folder with the same keys as a bucket. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    /// The ETags of settled files, with the metadata by which a file is recognised as unchanged without reading it.
    known: Arc<Mutex<HashMap<String, (Looks, String)>>>,
}

/// Device, inode, size, and the times of the last change of the content and of the metadata. Nobody can set the last one at will,
/// so a file that replaces another differs in it, whatever its size and its own time.
type Looks = [i64; 7];

fn looks(about: &fs::Metadata) -> Looks {
    [
        about.dev() as i64,
        about.ino() as i64,
        about.size() as i64,
        about.mtime(),
        about.mtime_nsec(),
        about.ctime(),
        about.ctime_nsec(),
    ]
}

/// True if the last change is so old that the next one will be noticed.
fn is_settled(looks: &Looks) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let changed = Duration::from_secs(looks[5].max(0) as u64);
    now.is_ok_and(|now| now > changed + SETTLED_AFTER)
}

fn etag_of(hash: Sha256) -> String {
    let digest = hash.finalize();
    digest[..16].iter().map(|b| format!("{b:02x}")).collect()
}

impl Folder {
    /// The folder at a path.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            known: Arc::default(),
        }
    }

    /// The path of the folder on this machine.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The ETag of a file's content, which is its hash. A file that did not change since it was read is not read again. The call
    /// blocks.
    ///
    /// # Errors
    /// The file is gone, changes while it is read, or cannot be read.
    pub fn etag(&self, key: &str) -> Result<String, FilesError> {
        let mut hashing = self.hash(key)?;
        loop {
            if let Some(etag) = hashing.step(u64::MAX)? {
                return Ok(etag);
            }
        }
    }

    /// Begins to hash a file's content.
    ///
    /// # Errors
    /// The file is gone, or cannot be read.
    pub fn hash(&self, key: &str) -> Result<Hashing, FilesError> {
        let file = self.open_file(key)?;
        let is = looks(&file.metadata().map_err(|error| Self::failed(key, error))?);
        let known = self
            .known()
            .get(key)
            .filter(|(known, _)| *known == is)
            .map(|(_, etag)| etag.clone());
        Ok(Hashing {
            folder: self.clone(),
            key: key.to_owned(),
            file,
            settled: is_settled(&is),
            is,
            hash: Sha256::new(),
            known,
        })
    }

    pub(crate) fn open(&self, key: &str, etag: &str) -> Result<Checked, FilesError> {
        let file = self.open_file(key)?;
        let written = written(&file.metadata().map_err(|e| Self::failed(key, e))?);
        if self.etag(key)? != etag {
            return Err(FilesError::Overwritten);
        }
        Ok(Checked {
            file,
            written,
            etag: etag.to_owned(),
            hash: Sha256::new(),
        })
    }

    /// Opens a file, and nothing else: no link is followed, and nothing is waited for.
    fn open_file(&self, key: &str) -> Result<fs::File, FilesError> {
        let opened = beneath::open(&self.root, key).map_err(|error| Self::failed(key, error))?;
        opened.ok_or(FilesError::Overwritten)
    }

    fn failed(key: &str, error: io::Error) -> FilesError {
        match error.kind() {
            io::ErrorKind::NotFound => FilesError::Vanished,
            _ if beneath::is_link(&error) => FilesError::Overwritten,
            _ => FilesError::failed("read", key, error),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Looks, String)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self, key: &str) -> Result<ResultFile, FilesError> {
        // Two workers that write the same result each write a draft of their own.
        let draft = Draft::new(&self.root, key, format!(".{}", random_hex()));
        Ok(ResultFile {
            key: key.to_owned(),
            draft: draft.map_err(|error| FilesError::failed("write", key, error))?,
        })
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), FilesError> {
        let deleted = beneath::delete(&self.root, key);
        deleted.map_err(|error| FilesError::failed("delete", key, error))
    }

    pub(crate) fn delete_folder(&self, key: &str) -> Result<(), FilesError> {
        let deleted = beneath::delete_folder(&self.root, key);
        deleted.map_err(|error| FilesError::failed("delete", key, error))
    }
}

/// A content that is being hashed, a part at a time.
#[derive(Debug)]
pub struct Hashing {
    folder: Folder,
    key: String,
    file: fs::File,
    is: Looks,
    settled: bool,
    hash: Sha256,
    known: Option<String>,
}

impl Hashing {
    /// The size of the file in bytes.
    pub fn bytes(&self) -> u64 {
        self.is[2] as u64
    }

    /// True if the ETag will be known from now on. That of a file that has just changed will not.
    pub fn is_kept(&self) -> bool {
        self.settled
    }

    /// Hashes about so many bytes more. At the end of the file it returns the ETag. The call blocks.
    ///
    /// # Errors
    /// The file changes while it is read, or cannot be read.
    pub fn step(&mut self, bytes: u64) -> Result<Option<String>, FilesError> {
        if let Some(etag) = &self.known {
            return Ok(Some(etag.clone()));
        }
        let failed = |error| Folder::failed(&self.key, error);
        let (mut buffer, mut done) = (vec![0; BUFFER_BYTES], 0);
        while done < bytes {
            match self.file.read(&mut buffer) {
                Ok(0) => return self.end().map(Some),
                Ok(read) => {
                    self.hash.update(&buffer[..read]);
                    done += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(None)
    }

    fn end(&self) -> Result<String, FilesError> {
        let about = self
            .file
            .metadata()
            .map_err(|error| Folder::failed(&self.key, error))?;
        if looks(&about) != self.is {
            return Err(FilesError::Overwritten);
        }
        let etag = etag_of(self.hash.clone());
        if self.settled {
            let known = (self.is, etag.clone());
            self.folder.known().insert(self.key.clone(), known);
        }
        Ok(etag)
    }
}

/// A file that is checked against its ETag while it is read. Bytes that were read after somebody wrote to the file are not handed
/// over. A change that neither size nor time shows is found by the hash at the end.
#[derive(Debug)]
pub(crate) struct Checked {
    file: fs::File,
    written: [i64; 3],
    etag: String,
    hash: Sha256,
}

/// The size and the time of the last change of the content. A file that was only renamed is read to its end.
fn written(about: &fs::Metadata) -> [i64; 3] {
    let [_, _, size, modified, modified_ns, ..] = looks(about);
    [size, modified, modified_ns]
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        if written(&self.file.metadata()?) != self.written {
            return Err(io::Error::other(FilesError::Overwritten));
        }
        self.hash.update(&buffer[..read]);
        if read == 0 && !buffer.is_empty() && etag_of(self.hash.clone()) != self.etag {
            return Err(io::Error::other(FilesError::Mixed));
        }
        Ok(read)
    }
}

/// A result that is being written beside the name that it will have.
#[derive(Debug)]
pub struct ResultFile {
    key: String,
    draft: Draft,
}

impl ResultFile {
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        let written = self.draft.file.write_all(bytes);
        written.map_err(|error| FilesError::failed("write", &self.key, error))
    }

    /// The result is on disk before its batch counts as done.
    pub(crate) fn finish(self) -> Result<(), FilesError> {
        let finished = self.draft.finish(&self.key);
        finished.map_err(|error| FilesError::failed("write", &self.key, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_knows_what_a_file_holds() {
        let root = std::env::temp_dir().join(format!("revtrail-files-{}", random_hex()));
        let folder = Folder::new(root.clone());
        let read = |etag: &str| {
            let mut text = String::new();
            let mut file = folder.open("a/b", etag)?;
            file.read_to_string(&mut text).unwrap();
            Ok::<_, FilesError>(text)
        };
        assert!(matches!(folder.etag("a/b"), Err(FilesError::Vanished)));
        for content in ["", "one", "two!", "one"] {
            let mut draft = folder.write("a/b").unwrap();
            draft.add(content.as_bytes()).unwrap();
            draft.finish().unwrap();
            let etag = folder.etag("a/b").unwrap();
            assert_eq!(read(&etag).unwrap(), content);
            assert_eq!(read(&etag).unwrap(), content, "also where it is known");
            assert!(matches!(read("0"), Err(FilesError::Overwritten)));
        }
        assert_eq!(fs::read_dir(root.join("a")).unwrap().count(), 1);
        fs::remove_dir_all(root).unwrap();
        assert!(matches!(read("0"), Err(FilesError::Vanished)));
    }

    #[test]
    fn a_folder_is_deleted_with_all_that_is_in_it_and_no_link_is_followed() {
        let root = std::env::temp_dir().join(format!("revtrail-deleted-{}", random_hex()));
        let folder = Folder::new(root.clone());
        let files = ["a/b/1", "a/b/c/.2", "a/b/c/3", "a/kept", "other/kept"];
        for key in files {
            folder.write(key).unwrap().finish().unwrap();
        }
        for (link, to) in [("a/b/file", "a/kept"), ("a/b/c/folder", "other")] {
            std::os::unix::fs::symlink(root.join(to), root.join(link)).unwrap();
        }
        std::os::unix::fs::symlink(root.join("a"), root.join("way")).unwrap();
        assert!(folder.delete_folder("way/b").is_err(), "a link on the way");
        assert!(folder.delete("way/kept").is_err(), "a link on the way");
        folder.delete("a/b/1").unwrap();
        assert!(!root.join("a/b/1").exists());
        for _ in 0..2 {
            folder.delete_folder("a/b").unwrap();
            folder.delete("a/b/1").unwrap();
            assert!(!root.join("a/b").exists());
        }
        assert!(root.join("a/kept").exists() && root.join("other/kept").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_content_is_hashed_a_part_at_a_time() {
        let root = std::env::temp_dir().join(format!("revtrail-parts-{}", random_hex()));
        let folder = Folder::new(root.clone());
        let mut draft = folder.write("a/b").unwrap();
        draft.add(&vec![7; 3 * BUFFER_BYTES + 1]).unwrap();
        draft.finish().unwrap();
        let whole = folder.etag("a/b").unwrap();
        let mut hashing = folder.hash("a/b").unwrap();
        // Each step reads one buffer; the last finds the end.
        let steps: Vec<Option<String>> = (0..5).map(|_| hashing.step(1).unwrap()).collect();
        assert_eq!(steps, [None, None, None, None, Some(whole)]);
        let mut changed = folder.hash("a/b").unwrap();
        assert_eq!(changed.step(1).unwrap(), None);
        fs::write(folder.root().join("a/b"), "another").unwrap();
        assert!(matches!(
            changed.step(u64::MAX),
            Err(FilesError::Overwritten)
        ));
        fs::remove_dir_all(root).unwrap();
    }
}
