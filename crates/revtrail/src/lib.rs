//! The command line of revtrail: a free function for each subcommand, called by `main` and by tests.

pub mod admin_key;
pub mod backup;
pub mod cli;
mod demo;
pub mod hints;
pub mod inbox;
mod recover;
pub mod serve;

pub use revtrail_attribute::{attribute, import};
