//! Redemptions by files. Each file is a batch, which is taken in a chunk at a time and goes on wherever it was left. No figure
//! changes if a file is announced twice, if two workers work at once, or if a worker is killed anywhere.

pub mod envelope;
mod job;
pub mod rows;

pub use job::{BatchEnd, BatchError, BatchLimits, BatchWorker, too_large};
