//! Where files and results lie: in a folder of this machine, or in a bucket of S3.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Seek, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use revtrail_store::random_hex;
use sha2::{Digest, Sha256};

#[cfg(feature = "lambda")]
pub use crate::bucket::Bucket;

/// Why a file cannot be read, or a result not be written.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// It is not there any more.
    #[error("the file is gone")]
    Vanished,
    /// Its content is another one than was told of.
    #[error("the file was overwritten")]
    Overwritten,
    /// What holds it does not work: the same may be tried again.
    // Its name may hold anything, and stays out of the log.
    #[error("failed to {what} a file: {why}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// With which file.
        key: String,
        /// Why not.
        why: String,
    },
}

impl FilesError {
    pub(crate) fn failed(what: &'static str, key: &str, why: impl ToString) -> Self {
        Self::Failed {
            what,
            key: key.to_owned(),
            why: why.to_string(),
        }
    }
}

/// Where files and results lie. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Files {
    /// On this machine.
    Folder(Folder),
    /// In AWS.
    #[cfg(feature = "lambda")]
    Bucket(Bucket),
}

impl Files {
    /// Opens a file, if its content is still the one with this ETag. Blocks, and so does the reader; a failure inside it is a
    /// [`FilesError`] too.
    ///
    /// # Errors
    /// The file is gone, overwritten, or cannot be read.
    pub fn open(&self, key: &str, etag: &str) -> Result<Box<dyn Read + Send>, FilesError> {
        match self {
            Self::Folder(folder) => Ok(Box::new(folder.open(key, etag)?)),
            #[cfg(feature = "lambda")]
            Self::Bucket(bucket) => Ok(Box::new(bucket.open(key, etag)?)),
        }
    }

    /// Begins to write a result, which is there once it is finished.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, key: &str, media_type: &'static str) -> Result<Writing, FilesError> {
        match self {
            Self::Folder(folder) => {
                // A folder tells it by the name.
                let _ = media_type;
                Ok(Writing::Folder(folder.write(key)?))
            }
            #[cfg(feature = "lambda")]
            Self::Bucket(bucket) => Ok(Writing::Bucket(bucket.write(key, media_type))),
        }
    }
}

/// A result that is being written.
#[derive(Debug)]
pub enum Writing {
    /// On this machine.
    Folder(Draft),
    /// In AWS.
    #[cfg(feature = "lambda")]
    Bucket(crate::bucket::Upload),
}

impl Writing {
    /// Adds bytes.
    ///
    /// # Errors
    /// They cannot be written.
    pub async fn add(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        match self {
            Self::Folder(draft) => draft.add(bytes),
            #[cfg(feature = "lambda")]
            Self::Bucket(upload) => upload.add(bytes).await,
        }
    }

    /// Makes the result be there, in place of one that was there.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn finish(self) -> Result<(), FilesError> {
        match self {
            Self::Folder(draft) => draft.finish(),
            #[cfg(feature = "lambda")]
            Self::Bucket(upload) => upload.finish().await,
        }
    }
}

/// A folder with the same keys as a bucket.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    /// ETags by what tells without reading that a file is the same.
    known: Arc<Mutex<HashMap<String, (Looks, String)>>>,
}

type Looks = (u64, SystemTime);

impl Folder {
    /// The folder at a path.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            known: Arc::default(),
        }
    }

    /// Where a file lies.
    pub fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// The ETag of a file's content: its hash. A file of the size and the time of one that was read is taken for that one. Blocks.
    ///
    /// # Errors
    /// The file is gone, or cannot be read.
    pub fn etag(&self, key: &str) -> Result<String, FilesError> {
        self.hashed(key).map(|(_, etag)| etag)
    }

    fn open(&self, key: &str, etag: &str) -> Result<fs::File, FilesError> {
        let (file, is) = self.hashed(key)?;
        if is == etag {
            Ok(file)
        } else {
            Err(FilesError::Overwritten)
        }
    }

    fn hashed(&self, key: &str) -> Result<(fs::File, String), FilesError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => FilesError::Vanished,
            _ => FilesError::failed("read", key, error),
        };
        let mut file = fs::File::open(self.path(key)).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let looks = (about.len(), about.modified().map_err(failed)?);
        let known = |known: &HashMap<_, (Looks, String)>| {
            let (seen, etag) = known.get(key)?;
            (*seen == looks).then(|| etag.clone())
        };
        if let Some(etag) = known(&self.known.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok((file, etag));
        }
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 128 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => hash.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        file.rewind().map_err(failed)?;
        let digest = hash.finalize();
        let etag: String = digest[..16].iter().map(|b| format!("{b:02x}")).collect();
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.to_owned(), (looks, etag.clone()));
        Ok((file, etag))
    }

    fn write(&self, key: &str) -> Result<Draft, FilesError> {
        let failed = |error| FilesError::failed("write", key, error);
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(failed)?;
        // Two who write the same each write their own.
        let draft = folder.join(format!(".{}", random_hex()));
        Ok(Draft {
            key: key.to_owned(),
            file: fs::File::create(&draft).map_err(failed)?,
            draft,
            path,
        })
    }
}

/// A file beside the one that it becomes.
#[derive(Debug)]
pub struct Draft {
    key: String,
    file: fs::File,
    draft: PathBuf,
    path: PathBuf,
}

impl Draft {
    fn failed(&self, error: io::Error) -> FilesError {
        FilesError::failed("write", &self.key, error)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| self.failed(error))
    }

    fn finish(self) -> Result<(), FilesError> {
        // On disk before its batch is said to be done.
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.draft, &self.path))
            .map_err(|error| self.failed(error))
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
}
