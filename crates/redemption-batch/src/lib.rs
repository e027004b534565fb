//! Redemptions by files: each file is a batch, taken in a chunk at a time, to be gone on with wherever it was left. Telling of a
//! file twice, two workers at once, or killing one anywhere changes no figure.

#[cfg(feature = "lambda")]
pub mod bucket;
pub mod envelope;
pub mod file;
pub mod files;
mod job;
pub mod rows;

pub use job::{BatchError, BatchLimits, Batches, Invocation};
