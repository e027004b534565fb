//! The program `revtrail`: reads the command line and starts what it names.

use std::process::ExitCode;

use clap::Parser;
use revtrail::cli::{Cli, Command};
use revtrail::{attribute, serve};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Attribute(args) => attribute::on_this_terminal(&args).into(),
        Command::Serve(args) => serve::on_this_terminal(&args),
    }
}
