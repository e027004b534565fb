//! `revtrail admin-key`: makes up an admin key for a deployment on AWS. The deployment gets only its hash, as an item of its table.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use revtrail_aws::clock::Clock;
use revtrail_store::market::access::deployment_key_item;
use revtrail_store::random_hex;

/// What `revtrail admin-key` is asked for.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  revtrail admin-key --item admin-key.json
  aws dynamodb put-item --table-name TABLE --item file://admin-key.json

The key is printed once and kept nowhere. It is good as soon as the item is in the table. Keep the item: whoever deletes it from the
table takes the key back, within a minute. For a new key, put the new item first, and then delete the old one.")]
pub struct AdminKeyArgs {
    /// Write the item of the table into this file; it holds the hash of the key, and is no secret
    #[arg(long, value_name = "FILE")]
    pub item: PathBuf,
}

/// Prints a new key. Its item is in the file before that.
pub fn on_this_terminal(args: &AdminKeyArgs) -> ExitCode {
    let key = format!("rt_{}{}", random_hex(), random_hex());
    let written = write_new(&args.item, &deployment_key_item(&key, Clock::REAL.now()));
    let printed = written.and_then(|()| writeln!(std::io::stdout(), "{key}"));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let path = args.item.display();
            // Nobody is left to hear of a failure here.
            let _ = writeln!(
                std::io::stderr(),
                "failed to write {path}: {error}; --item names a file that is not there yet"
            );
            ExitCode::FAILURE
        }
    }
}

/// Writes a file that is not there yet: an item that is overwritten could not be taken back any more.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::File::create_new(path)?;
    writeln!(file, "{text}")
}
