//! The command line as clap reads it: one subcommand on each line. The arguments of a subcommand are in its own file.

use clap::{Parser, Subcommand};

use crate::admin_key::AdminKeyArgs;
use crate::attribute::AttributeArgs;
use crate::backup::BackupArgs;
use crate::import::ImportArgs;
use crate::serve::ServeArgs;

/// Which campaign earned which order.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attribute the orders in files to the campaigns in files
    Attribute(AttributeArgs),
    /// Send files into a running service
    Import(ImportArgs),
    /// Make up an admin key for a deployment on AWS
    AdminKey(AdminKeyArgs),
    /// Copy the database of a service, which may go on running
    Backup(BackupArgs),
    /// Run the whole service in this process, on an embedded database
    Serve(ServeArgs),
}
