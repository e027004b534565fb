//! Where files and results are stored: in a folder of this machine, or in a bucket of S3.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use revtrail_store::random_hex;
use sha2::{Digest, Sha256};

#[cfg(feature = "lambda")]
pub use crate::bucket::Bucket;
use crate::fault::FilesError;

/// Where files and results are stored. It is cheap to clone.
#[derive(Debug, Clone)]
pub enum Files {
    /// A folder on this machine.
    Folder(Folder),
    /// A bucket in AWS.
    #[cfg(feature = "lambda")]
    Bucket(Bucket),
}

impl Files {
    /// Opens a file if its content is still the one with this ETag. The call blocks, and so does the reader. A failure inside the
    /// reader is a [`FilesError`] too.
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

    /// True if the file exists with the content of this ETag.
    ///
    /// # Errors
    /// [`FilesError::Failed`] if this cannot be found out now.
    pub async fn holds(&self, key: &str, etag: &str) -> Result<bool, FilesError> {
        let is = match self {
            Self::Folder(folder) => {
                let (folder, of) = (folder.clone(), key.to_owned());
                let etag = tokio::task::spawn_blocking(move || folder.etag(&of)).await;
                etag.map_err(|error| FilesError::failed("read", key, error))?
            }
            #[cfg(feature = "lambda")]
            Self::Bucket(bucket) => bucket.etag(key).await,
        };
        match is {
            Ok(is) => Ok(is == etag),
            Err(FilesError::Vanished | FilesError::Overwritten) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Begins to write a result, which exists once it is finished.
    ///
    /// # Errors
    /// The result cannot be written.
    pub fn write(&self, key: &str, media_type: &'static str) -> Result<Writing, FilesError> {
        match self {
            Self::Folder(folder) => {
                // In a folder, the file's name shows the type.
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
    /// A file on this machine.
    Folder(ResultFile),
    /// An upload to AWS.
    #[cfg(feature = "lambda")]
    Bucket(crate::bucket::Upload),
}

impl Writing {
    /// Adds bytes to the result.
    ///
    /// # Errors
    /// The bytes cannot be written.
    pub async fn add(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        match self {
            Self::Folder(draft) => draft.add(bytes),
            #[cfg(feature = "lambda")]
            Self::Bucket(upload) => upload.add(bytes).await,
        }
    }

    /// Publishes the result, which replaces an earlier one of the same name.
    ///
    /// # Errors
    /// The result cannot be written.
    pub async fn finish(self) -> Result<(), FilesError> {
        match self {
            Self::Folder(draft) => draft.finish(),
            #[cfg(feature = "lambda")]
            Self::Bucket(upload) => upload.finish().await,
        }
    }
}

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

#[cfg(unix)]
fn looks(about: &fs::Metadata) -> Looks {
    use std::os::unix::fs::MetadataExt;
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

#[cfg(not(unix))]
fn looks(about: &fs::Metadata) -> Looks {
    let since = |time: io::Result<SystemTime>| {
        let since = time
            .ok()
            .and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        let since = since.unwrap_or_default();
        [since.as_secs() as i64, i64::from(since.subsec_nanos())]
    };
    let ([written, written_ns], [made, made_ns]) =
        (since(about.modified()), since(about.created()));
    [0, 0, about.len() as i64, made, made_ns, written, written_ns]
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

    /// The path of a file on this machine.
    pub fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// The ETag of a file's content, which is its hash. A file that did not change since it was read is not read again. The call
    /// blocks.
    ///
    /// # Errors
    /// The file is gone, changes while it is read, or cannot be read.
    pub fn etag(&self, key: &str) -> Result<String, FilesError> {
        let failed = |error| Self::failed(key, error);
        let mut file = self.open_file(key)?;
        let is = looks(&file.metadata().map_err(failed)?);
        if let Some((known, etag)) = self.known().get(key)
            && *known == is
        {
            return Ok(etag.clone());
        }
        let settled = is_settled(&is);
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; BUFFER_BYTES]);
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => hash.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if looks(&file.metadata().map_err(failed)?) != is {
            return Err(FilesError::Overwritten);
        }
        let etag = etag_of(hash);
        if settled {
            let known = (is, etag.clone());
            self.known().insert(key.to_owned(), known);
        }
        Ok(etag)
    }

    fn open(&self, key: &str, etag: &str) -> Result<Checked, FilesError> {
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
        let failed = |error| Self::failed(key, error);
        let path = self.path(key);
        let named = fs::symlink_metadata(&path).map_err(failed)?;
        if !named.is_file() {
            return Err(FilesError::Overwritten);
        }
        let file = fs::File::open(path).map_err(failed)?;
        let opened = file.metadata().map_err(failed)?;
        // Compares device and inode.
        if looks(&named)[..2] != looks(&opened)[..2] {
            return Err(FilesError::Overwritten);
        }
        Ok(file)
    }

    fn failed(key: &str, error: io::Error) -> FilesError {
        match error.kind() {
            io::ErrorKind::NotFound => FilesError::Vanished,
            _ => FilesError::failed("read", key, error),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Looks, String)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, key: &str) -> Result<ResultFile, FilesError> {
        let failed = |error| FilesError::failed("write", key, error);
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(failed)?;
        // Two workers that write the same result each write a draft of their own.
        let draft = folder.join(format!(".{}", random_hex()));
        Ok(ResultFile {
            key: key.to_owned(),
            file: fs::File::create(&draft).map_err(failed)?,
            draft,
            path,
        })
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

/// A draft beside the file that it becomes.
#[derive(Debug)]
pub struct ResultFile {
    key: String,
    file: fs::File,
    draft: PathBuf,
    path: PathBuf,
}

impl ResultFile {
    fn failed(&self, error: io::Error) -> FilesError {
        FilesError::failed("write", &self.key, error)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| self.failed(error))
    }

    fn finish(self) -> Result<(), FilesError> {
        // The result must be on disk before its batch counts as done.
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
