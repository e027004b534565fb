//! Where files and results are stored: in a folder of this machine, or in a bucket of S3.

use std::io::Read;

#[cfg(feature = "lambda")]
pub use crate::bucket::Bucket;
use crate::fault::FilesError;
pub use crate::folder::{Folder, ResultFile};

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
