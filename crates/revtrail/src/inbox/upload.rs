//! Files that people upload through a page: they are put into the inbox as files that come by other means.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use redemption_batch::file::{File, INBOX, REDEMPTIONS};
use revtrail_core::record::{Code, RecordProblem};
use revtrail_core::value::id::MarketplaceId;
use revtrail_storage::beneath::{self, Draft};
use revtrail_store::random_hex;
use revtrail_web::app::TakeFile;
use revtrail_web::problem::Problem;

/// Puts files into the inbox below a folder.
pub(crate) fn taker(root: PathBuf) -> TakeFile {
    Box::new(move |marketplace, name, bytes| {
        let root = root.clone();
        Box::pin(async move {
            let put = move || put(&root, &marketplace, &name, &bytes);
            let put = tokio::task::spawn_blocking(put).await;
            put.unwrap_or_else(|error| Err(Problem::internal(&error)))
        })
    })
}

/// Puts a file into the inbox. No file that is there is replaced, since it may be on its way.
fn put(root: &Path, marketplace: &MarketplaceId, name: &str, bytes: &[u8]) -> Result<(), Problem> {
    let wrong = |says: String| {
        let problem = RecordProblem::of("file", Code::UnknownValue, says);
        Err(Problem::invalid(problem.into()))
    };
    let key = format!("{INBOX}/{marketplace}/{REDEMPTIONS}/{name}");
    match File::at(&key).map(|file| file.kind) {
        Some(Ok(_)) => {}
        Some(Err(why)) => return wrong(why),
        None => return wrong("its name begins with a dot: rename it".to_owned()),
    }
    match beneath::open(root, &key) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if !beneath::is_link(&error) => return Err(Problem::internal(&error)),
        _ => {
            return wrong(format!(
                "there is a file {name:?} in the inbox already: rename this one"
            ));
        }
    }
    let written = || {
        let mut draft = Draft::new(root, &key, format!(".{}", random_hex()))?;
        draft.file.write_all(bytes)?;
        draft.finish(&key)
    };
    written().map_err(|error: io::Error| Problem::internal(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_files_are_put_into_the_inbox() {
        let root = std::env::temp_dir().join(format!("revtrail-upload-{}", random_hex()));
        let m = MarketplaceId::new("m").unwrap();
        let put = |name: &str| {
            let put = put(&root, &m, name, b"a\n");
            put.map_err(|problem| problem.sentences()[0].to_owned())
        };
        for (name, says) in [
            ("week 48.csv.gz", None),
            ("week 48.csv.gz", Some("already: rename this one")),
            ("é.jsonl", None),
            ("a.xlsx", Some("ends in none of")),
            (".csv", Some("begins with a dot")),
            ("a/b.csv", Some("it lies in")),
            ("../../x.csv", Some("begins with a dot")),
            ("", Some("ends in /")),
        ] {
            match (put(name), says) {
                (Ok(()), None) => {}
                (Err(told), Some(part)) => assert!(told.contains(part), "{name}: {told}"),
                (got, _) => panic!("{name}: {got:?}"),
            }
        }
        let mut there: Vec<_> = std::fs::read_dir(root.join("inbox/m/redemptions"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        assert_eq!(there, ["week 48.csv.gz", "é.jsonl"]);
        std::fs::remove_dir_all(root).unwrap();
    }
}
