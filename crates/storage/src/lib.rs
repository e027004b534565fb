//! Where files lie that revtrail takes in or hands out: in a folder of this machine, or in a bucket of S3, under the same keys.

pub mod beneath;
#[cfg(feature = "bucket")]
pub mod bucket;
pub mod fault;
pub mod file;
pub mod files;
mod folder;
