//! The one reader of files: it reads bytes and returns records, each with the line it starts on. Only this crate knows the rules
//! of CSV (RFC 4180), of line ends, of encodings and of what is packed. A file is streamed: whatever its size, only one record is held in
//! memory, or of Parquet one batch of rows.
//!
//! This crate does not know what a record means or where a file is stored.

mod blocks;
mod bytes;
mod content;
mod layout;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
mod plain;
mod records;
mod row;
mod scan;
mod text;
mod zstd;

pub use blocks::{BLOCK_BYTES, read_blocks};
pub use content::what_is;
pub use layout::{ENDINGS, Format, Layout, Packing};
pub use lines::Block;
#[cfg(feature = "parquet")]
pub use parquet::{ParquetFile, RowBatch};
pub use plain::{Field, NotPlain, PlainRow, Plan, SLOTS};
pub use records::{FileRules, Line, NotUtf8, Records, Spoilt};
pub use row::{first_row, row_in_quotes};
pub use text::utf8;

/// The longest record, in bytes. What is stored of a fact has at most 400 KB.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Replaces bytes that are not UTF-8, where such bytes do not fail the file. No id, time, amount or word may hold a control
/// character. So a bad byte in such a field is refused, while a bad byte in free text refuses no record.
pub const SUBSTITUTE: char = '\u{1a}';

/// Why a file cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The storage that holds the file failed. Reading may be tried again.
    #[error("failed to read the file: {0}")]
    Source(std::io::Error),
    /// The content of the file is wrong. The sentence tells whoever made the file what is wrong.
    #[error("{0}")]
    Content(String),
}
