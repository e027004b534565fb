//! Names of files that come in: which are files of redemptions, whose files they are, and where the results of a file are stored.

use revtrail_core::value::id::MarketplaceId;
use revtrail_files::{ENDINGS, Layout, Packing};

/// The folder that files come into. Results are stored elsewhere, so no result is ever taken for a file.
pub const INBOX: &str = "inbox";
/// The folder that results come into.
pub const OUTBOX: &str = "outbox";
/// The folder of a marketplace that has its files of redemptions.
pub const REDEMPTIONS: &str = "redemptions";
/// The longest name of a file, in bytes: the most that file systems take. The folder of its results has the same name.
const NAME_BYTES_MAX: usize = 255;

/// A file that was put into the inbox of a marketplace, as its name describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The path of the file, like `inbox/shop/redemptions/week-7.csv.gz`.
    pub key: String,
    /// The marketplace that the file belongs to.
    pub marketplace: MarketplaceId,
    /// How the file is read. Otherwise why it is not read, in a sentence for whoever put it there; then its batch fails and says
    /// so.
    pub kind: Result<Layout, String>,
    /// The path of the file in the folder of its marketplace, like `redemptions/week-7.csv.gz`.
    path: String,
}

impl File {
    /// The file at a path. `None` if no marketplace can own it, or if it is not complete. A file is not complete while its own
    /// name, or that of a folder around it, begins with a dot.
    pub fn at(key: &str) -> Option<Self> {
        let (marketplace, path) = key
            .strip_prefix(INBOX)?
            .strip_prefix('/')?
            .split_once('/')?;
        let hidden = path.split('/').any(|part| part.starts_with('.'));
        if path.is_empty() || hidden {
            return None;
        }
        Some(Self {
            key: key.to_owned(),
            marketplace: MarketplaceId::new(marketplace).ok()?,
            kind: kind(marketplace, path),
            path: path.to_owned(),
        })
    }

    /// The file of redemptions that has this name in the inbox of a marketplace.
    ///
    /// # Errors
    /// Why nobody may put a file of this name there, in a sentence.
    pub fn new(marketplace: &MarketplaceId, name: &str) -> Result<Self, String> {
        if name.len() > NAME_BYTES_MAX {
            return Err(format!(
                "its name has {} bytes, and may have at most {NAME_BYTES_MAX}: shorten it",
                name.len()
            ));
        }
        let file = Self::at(&format!("{INBOX}/{marketplace}/{REDEMPTIONS}/{name}"))
            .ok_or("its name begins with a dot: rename it")?;
        match &file.kind {
            Ok(_) => Ok(file),
            Err(why) => Err(why.clone()),
        }
    }

    /// The path of a result of this file.
    pub fn result(&self, name: &str) -> String {
        format!("{OUTBOX}/{}/{}/{name}", self.marketplace, self.path)
    }
}

fn kind(marketplace: &str, path: &str) -> Result<Layout, String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if path.contains(char::is_control) {
        return Err("its name holds control characters: rename it".to_owned());
    }
    // This character replaces what is not UTF-8.
    if path.contains(char::REPLACEMENT_CHARACTER) {
        return Err("its name is not UTF-8: rename it".to_owned());
    }
    if folder != REDEMPTIONS {
        let lies = [INBOX, marketplace, folder].join("/");
        return Err(format!(
            "it lies in {}: put it into {INBOX}/{marketplace}/{REDEMPTIONS} itself",
            lies.trim_end_matches('/')
        ));
    }
    if name.is_empty() {
        return Err("its name ends in /, as that of a folder: rename it".to_owned());
    }
    let layout = Layout::of_name(name).filter(|layout| layout.packing != Packing::Zstd);
    layout.ok_or_else(|| {
        let endings = ["", ".gz"]
            .map(|gzip| ENDINGS.map(|(ending, _)| format!("{ending}{gzip}")))
            .concat();
        format!(
            "“{name}” ends in none of {}: save it as one of these (a spreadsheet as “CSV UTF-8”)",
            endings.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use revtrail_files::Format;

    use super::*;

    #[test]
    fn which_names_are_files_of_redemptions() {
        const CSV: Result<(Format, Packing), &str> = Ok((Format::Csv, Packing::Plain));
        const CSV_GZ: Result<(Format, Packing), &str> = Ok((Format::Csv, Packing::Gzip));
        const JSON: Result<(Format, Packing), &str> = Ok((Format::JsonLines, Packing::Plain));
        const JSON_GZ: Result<(Format, Packing), &str> = Ok((Format::JsonLines, Packing::Gzip));
        for (name, expected) in [
            ("a.csv", CSV),
            ("A.CSV", CSV),
            ("a.b.Jsonl.gZ", JSON_GZ),
            ("é +%20.csv.gz", CSV_GZ),
            ("week.ndjson", JSON),
            ("week.NDJSON.GZ", JSON_GZ),
            ("week.csv.csv", CSV),
            ("a.csv.zip", Err("ends in none of .csv, .jsonl, ")),
            ("a.csv.zst", Err("ends in none of .csv, .jsonl, ")),
            ("a.txt", Err("ends in none of")),
            ("a.xlsx", Err("a spreadsheet as “CSV UTF-8”")),
            ("a", Err("“a” ends in none of")),
            ("csv", Err("ends in none of")),
            ("a.csv ", Err("“a.csv ” ends in none of")),
            ("a.gz", Err("ends in none of")),
            ("a.ｃｓｖ", Err("ends in none of")),
            ("a\n.csv", Err("control characters")),
            ("a\u{fffd}.csv", Err("not UTF-8")),
            ("2026/a.csv", Err("it lies in inbox/m/redemptions/2026: ")),
            ("2026/11/a.csv", Err("in inbox/m/redemptions/2026/11: ")),
            ("/a.csv", Err("it lies in inbox/m/redemptions: ")),
            ("2026/", Err("it lies in inbox/m/redemptions/2026: ")),
            ("", Err("ends in /")),
        ] {
            let file = File::at(&format!("inbox/m/redemptions/{name}")).unwrap();
            match (file.kind, expected) {
                (Ok(kind), expected) => {
                    assert_eq!(Ok((kind.format, kind.packing)), expected, "{name}");
                }
                (Err(why), Err(part)) => assert!(why.contains(part), "{name}: {why}"),
                (Err(why), Ok(_)) => panic!("{name}: {why}"),
            }
        }
        for (key, part) in [
            ("inbox/m/orders/a.csv", "it lies in inbox/m/orders: "),
            ("inbox/m/a.csv", "it lies in inbox/m: "),
            ("inbox/m/redemptions", "it lies in inbox/m: "),
            (
                "inbox/m/Redemptions/a.csv",
                "it lies in inbox/m/Redemptions: ",
            ),
        ] {
            let why = File::at(key).unwrap().kind.unwrap_err();
            assert!(why.contains(part), "{key}: {why}");
        }
        for key in [
            "inbox/m/redemptions/.csv",
            "inbox/m/redemptions/.a.csv",
            "inbox/m/redemptions/..csv.jsonl",
            "inbox/m/redemptions/.parts/a.csv",
            "inbox/m/redemptions/../m2/a.csv",
            "inbox/m/.a.csv",
            "inbox/M/redemptions/a.csv",
            "inbox//redemptions/a.csv",
            "inbox/../redemptions/a.csv",
            "/inbox/m/redemptions/a.csv",
            "inbox/a.csv",
            "inbox/m/",
            "inbox/m",
            "inbox",
            "inboxes/m/redemptions/a.csv",
            "outbox/m/redemptions/a.csv",
            "",
        ] {
            assert_eq!(File::at(key), None, "{key}");
        }
    }

    #[test]
    fn which_names_a_file_may_be_put_by() {
        let m = MarketplaceId::new("m").unwrap();
        let long = |bytes: usize| "x".repeat(bytes - 4) + ".csv";
        for (name, why) in [
            ("week 48.csv.gz", None),
            ("é.NDJSON", None),
            (&long(255), None),
            (&long(256), Some("has 256 bytes")),
            ("a.xlsx", Some("ends in none of")),
            (".csv", Some("begins with a dot")),
            ("a/b.csv", Some("it lies in")),
            ("../../x.csv", Some("begins with a dot")),
            ("a\n.csv", Some("control characters")),
            ("", Some("ends in /")),
        ] {
            match (File::new(&m, name), why) {
                (Ok(file), None) => assert_eq!(file.key, format!("inbox/m/redemptions/{name}")),
                (Err(told), Some(part)) => assert!(told.contains(part), "{name}: {told}"),
                (got, _) => panic!("{name}: {got:?}"),
            }
        }
    }

    #[test]
    fn no_result_is_a_file_and_no_two_files_share_one() {
        let mut results = std::collections::BTreeSet::new();
        let names = [
            "a.csv",
            "a.jsonl",
            "a.csv.gz",
            "a.CSV",
            "a",
            "a/result.json",
            "b/a.csv",
        ];
        for name in names {
            let file = File::at(&format!("inbox/m/redemptions/{name}")).unwrap();
            for result in ["result.json", "rejected.csv"] {
                let at = file.result(result);
                assert_eq!(at, format!("outbox/m/redemptions/{name}/{result}"));
                assert!(File::at(&at).is_none() && results.insert(at));
            }
        }
    }
}
