//! The command line of revtrail: a free function for each subcommand, called by `main` and by tests.

pub mod admin_key;
pub mod attribute;
pub mod backup;
pub mod cli;
mod demo;
mod exports;
pub mod hints;
pub mod import;
pub mod inbox;
mod recover;
pub mod serve;
mod stop;
