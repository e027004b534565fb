//! The one reader of files: a reader of bytes goes in, records come out, each with the line it starts on. The rules of CSV (RFC 4180),
//! of line ends, of encodings and of gzip stand here and nowhere else. A file streams: one record is held, whatever its size.
//!
//! What a record means is not known here, nor where a file lies.

mod bytes;
mod content;
mod layout;
mod lines;
mod records;
mod row;

pub use content::what_is;
pub use layout::{Format, Layout};
pub use records::{Line, NotUtf8, Records, Rules, Spoilt};

/// The longest record, in bytes: what is kept of a fact has at most 400 KB.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Stands for what is not UTF-8, where that does not fail the file: no id, time, amount or word holds a control character, so each is
/// refused where it matters, and free text that is spoilt refuses no record.
pub const SUBSTITUTE: char = '\u{1a}';

/// Why a file cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// What holds the file failed: the same may be tried again.
    #[error("failed to read the file: {0}")]
    Source(std::io::Error),
    /// The file itself is at fault, and the sentence says how, to whoever made it.
    #[error("{0}")]
    Content(String),
}
