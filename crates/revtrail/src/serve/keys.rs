//! The admin key: where it comes from, and which is acceptable.

use std::io::Write;
use std::path::Path;

use revtrail_storage::beneath::Draft;
use revtrail_store::random_hex;

use crate::serve::data::KEY_FILE;
use crate::serve::{ServeArgs, ServeError};

/// The key of `--demo`. It is the only key that may be short.
pub(super) const DEMO_KEY: &str = "demo";
/// The fewest characters of a key; nobody finds so many by trying.
const KEY_CHARS_MIN: usize = 16;

/// The admin key that was given; `None` if none was.
pub(super) fn given_key(args: &ServeArgs) -> Result<Option<String>, ServeError> {
    match (&args.admin_key, &args.admin_key_file) {
        (Some(key), _) => checked_key(key, "of --admin-key or REVTRAIL_ADMIN_KEY").map(Some),
        (None, Some(path)) => read_key(path).map(Some),
        (None, None) => Ok(None),
    }
}

fn read_key(path: &Path) -> Result<String, ServeError> {
    let text = std::fs::read_to_string(path).map_err(|source| key_file(path, source))?;
    let key = text.trim_end_matches(['\r', '\n']);
    checked_key(key, &format!("in the file {}", path.display()))
}

fn key_file(path: &Path, source: std::io::Error) -> ServeError {
    ServeError::KeyFile {
        path: path.to_owned(),
        source,
    }
}

fn checked_key(key: &str, from: &str) -> Result<String, ServeError> {
    let bad = |why: String| ServeError::AdminKey {
        from: from.to_owned(),
        why,
    };
    let length = key.chars().count();
    if length < KEY_CHARS_MIN && key != DEMO_KEY {
        return Err(bad(format!(
            "has {length} characters: give one of at least {KEY_CHARS_MIN}, or none, and one is made up"
        )));
    }
    // Other characters cannot be sent in a header.
    if !key.chars().all(|c| c.is_ascii_graphic()) {
        let why = "holds blanks or characters beyond ASCII: give one of letters, digits and signs";
        return Err(bad(why.to_owned()));
    }
    Ok(key.to_owned())
}

/// The key that an earlier process made and left in the folder; a new one if there is none.
pub(super) fn kept_key(folder: &Path) -> Result<String, ServeError> {
    let path = folder.join(KEY_FILE);
    let failed = |source| key_file(&path, source);
    // A link without a target is no reason to make a key in its place.
    if std::fs::symlink_metadata(&path).is_ok() {
        return read_key(&path);
    }
    let key = random_hex();
    let draft = Draft::new(folder, KEY_FILE, format!(".{KEY_FILE}-{}", random_hex()));
    let mut draft = draft.map_err(failed)?;
    writeln!(draft.file, "{key}")
        .and_then(|()| draft.finish(KEY_FILE))
        .map_err(failed)?;
    Ok(key)
}

/// Says in the log that a key is where others see it.
pub(super) fn warn_of_arguments() {
    let option = |argument: std::ffi::OsString| {
        let text = argument.to_string_lossy().into_owned();
        text == "--admin-key" || text.starts_with("--admin-key=")
    };
    if std::env::args_os().any(option) {
        tracing::warn!(
            "the admin key is on the command line, where the list of processes shows it: give it by --admin-key-file or REVTRAIL_ADMIN_KEY"
        );
    }
}
