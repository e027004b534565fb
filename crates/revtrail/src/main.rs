//! The program `revtrail`: reads the command line and starts what it names.

use std::process::ExitCode;

use clap::Parser;
use revtrail::cli::{Cli, Command};
use revtrail::{admin_key, attribute, backup, import, serve};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Attribute(args) => attribute::on_this_terminal(&args).into(),
        Command::Import(args) => import::on_this_terminal(&args).into(),
        Command::AdminKey(args) => admin_key::on_this_terminal(&args),
        Command::Backup(args) => backup::on_this_terminal(&args),
        Command::Serve(args) => serve::on_this_terminal(&args),
    }
}
