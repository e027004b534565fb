//! `revtrail backup`: copies the database of a service that may go on running. The copy is whole, and as of one moment.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use revtrail_store::table::embedded::{Embedded, OpenError};

use crate::serve::data::DATABASE;

/// What `revtrail backup` is asked for.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:
  revtrail backup --data ./data --to ./backup/2026-11-30.db

To begin with it again, put the file into a new folder as revtrail.db, and serve that folder. The admin key is not in it (DIR/admin-key),
nor are files in inbox and outbox.")]
pub struct BackupArgs {
    /// The folder that the service keeps everything in
    #[arg(long, value_name = "DIR", env = "REVTRAIL_DATA")]
    pub data: PathBuf,
    /// The file that is written; it is not there yet
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder has no database.
    #[error("{0} is not there: --data names the folder of a service")]
    Nothing(PathBuf),
    /// Something has the name of the copy.
    #[error("{0} is there already: --to names a file that is not")]
    There(PathBuf),
    /// The database cannot be read, or the copy cannot be written.
    #[error(transparent)]
    Copy(#[from] OpenError),
    /// The copy cannot be given its name.
    #[error("failed to write {path}: {source}")]
    Write {
        /// The path of the copy.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
}

/// Copies, with this process's output.
pub fn on_this_terminal(args: &BackupArgs) -> ExitCode {
    // A copy has the same customers in it as the database, which is its owner's alone too.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    match copy(&args.data, &args.to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to hear of a failure here.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Copies the database in a folder. The copy has its name once it is whole and on disk.
///
/// # Errors
/// Why there is no copy.
pub fn copy(data: &Path, to: &Path) -> Result<(), BackupError> {
    let from = data.join(DATABASE);
    if !from.is_file() {
        return Err(BackupError::Nothing(from));
    }
    if std::fs::symlink_metadata(to).is_ok() {
        return Err(BackupError::There(to.to_owned()));
    }
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let failed = |source| BackupError::Write {
        path: to.to_owned(),
        source,
    };
    // What a copy that was killed left is no copy.
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    Embedded::copy_file(&from, &part)?;
    File::open(&part)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(&part, to))
        .map_err(failed)
}
