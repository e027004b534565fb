//! Why a file cannot be read or written, wherever it is stored.

/// Why a file cannot be read, or a result cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The file no longer exists.
    #[error("the file is gone")]
    Vanished,
    /// The content of the file is not the one that was announced.
    #[error("the file was overwritten")]
    Overwritten,
    /// The file was written to while it was read, and its time was set back. Nobody can say which rows were read of which
    /// content.
    #[error("the file was written into while it was read: put it there again under another name")]
    Mixed,
    /// The storage does not work; the same call may be tried again.
    // The file's name may be anything, so it stays out of the log.
    #[error("failed to {what} a file: {why}")]
    Failed {
        /// The operation that was tried.
        what: &'static str,
        /// The key of the file.
        key: String,
        /// Why the operation failed.
        why: String,
    },
}

impl FilesError {
    /// The storage failed at an operation with a file.
    pub fn failed(what: &'static str, key: &str, why: impl ToString) -> Self {
        Self::Failed {
            what,
            key: key.to_owned(),
            why: why.to_string(),
        }
    }
}
