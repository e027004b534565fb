//! Where files and results are stored: in a folder of this machine, or in a bucket of S3.

use std::io::Read;

#[cfg(feature = "bucket")]
use futures_util::{StreamExt, TryStreamExt, stream};

#[cfg(feature = "bucket")]
pub use crate::bucket::Bucket;
use crate::fault::FilesError;
pub use crate::folder::{Folder, ResultFile};

/// How many files of a bucket are deleted at the same time.
#[cfg(feature = "bucket")]
const DELETIONS_AT_ONCE: usize = 16;

/// Where files and results are stored. It is cheap to clone.
#[derive(Debug, Clone)]
pub enum Files {
    /// A folder on this machine.
    Folder(Folder),
    /// A bucket in AWS.
    #[cfg(feature = "bucket")]
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
            #[cfg(feature = "bucket")]
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
            #[cfg(feature = "bucket")]
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
            #[cfg(feature = "bucket")]
            Self::Bucket(bucket) => Ok(Writing::Bucket(bucket.write(key, media_type))),
        }
    }

    /// Writes a whole file, which replaces an earlier one of the same name.
    ///
    /// # Errors
    /// [`FilesError::Failed`]: the same call may be tried again.
    pub async fn put(
        &self,
        key: &str,
        media_type: &'static str,
        bytes: Vec<u8>,
    ) -> Result<(), FilesError> {
        match self {
            Self::Folder(folder) => {
                let _ = media_type;
                let (folder, to) = (folder.clone(), key.to_owned());
                // The file is on disk before the call returns, and others need not wait for that.
                let put = tokio::task::spawn_blocking(move || {
                    let mut draft = folder.write(&to)?;
                    draft.add(&bytes)?;
                    draft.finish()
                });
                put.await
                    .map_err(|error| FilesError::failed("write", key, error))?
            }
            #[cfg(feature = "bucket")]
            Self::Bucket(_) => {
                let mut writing = self.write(key, media_type)?;
                writing.add(&bytes).await?;
                writing.finish().await
            }
        }
    }

    /// Deletes a file. A file that is not there is deleted.
    ///
    /// # Errors
    /// [`FilesError::Failed`]: the same call may be tried again.
    pub async fn delete(&self, key: &str) -> Result<(), FilesError> {
        match self {
            Self::Folder(folder) => folder.delete(key),
            #[cfg(feature = "bucket")]
            Self::Bucket(bucket) => bucket.delete(key).await,
        }
    }

    /// Deletes a folder. `files` are the keys of all files that may be in it: a bucket has no folders, and is not asked what it
    /// holds.
    ///
    /// # Errors
    /// [`FilesError::Failed`]: the same call may be tried again.
    pub async fn delete_folder(&self, key: &str, files: &[String]) -> Result<(), FilesError> {
        match self {
            // Whoever was killed while writing has left a draft, under a name that nobody knows.
            Self::Folder(folder) => {
                let _ = files;
                folder.delete_folder(key)
            }
            #[cfg(feature = "bucket")]
            Self::Bucket(bucket) => {
                let deletions: Vec<_> = files.iter().map(|file| bucket.delete(file)).collect();
                let deletions = stream::iter(deletions).buffer_unordered(DELETIONS_AT_ONCE);
                deletions.try_collect().await
            }
        }
    }
}

/// A result that is being written.
#[derive(Debug)]
pub enum Writing {
    /// A file on this machine.
    Folder(ResultFile),
    /// An upload to AWS.
    #[cfg(feature = "bucket")]
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
            #[cfg(feature = "bucket")]
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
            #[cfg(feature = "bucket")]
            Self::Bucket(upload) => upload.finish().await,
        }
    }
}
