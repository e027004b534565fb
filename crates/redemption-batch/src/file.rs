//! Names of files: which are files of redemptions, whose they are, and where the results of one lie.

use revtrail_core::value::id::MarketplaceId;
use revtrail_files::Format;

/// The folder that files come into. Whatever results are written lies elsewhere, so no result is ever taken for a file.
pub const INBOX: &str = "inbox";
const OUTBOX: &str = "outbox";
/// The folder of a marketplace in which files of redemptions lie.
pub const REDEMPTIONS: &str = "redemptions";

const ENDINGS: [(&str, Format, bool); 4] = [
    (".csv", Format::Csv, false),
    (".jsonl", Format::JsonLines, false),
    (".csv.gz", Format::Csv, true),
    (".jsonl.gz", Format::JsonLines, true),
];

/// A file of redemptions, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it lies, like `inbox/shop/redemptions/week-7.csv.gz`.
    pub key: String,
    /// Whose it is.
    pub marketplace: MarketplaceId,
    /// Its name without the ending.
    pub name: String,
    /// How records stand in it.
    pub format: Format,
    /// It is compressed.
    pub gzipped: bool,
}

impl File {
    /// The file that lies there; `None` where no file of redemptions lies, or one that is not complete: its name begins with a dot.
    pub fn at(key: &str) -> Option<Self> {
        let mut parts = key.split('/');
        let (inbox, marketplace) = (parts.next()?, parts.next()?);
        let (redemptions, full) = (parts.next()?, parts.next()?);
        if (inbox, redemptions, parts.next()) != (INBOX, REDEMPTIONS, None) {
            return None;
        }
        let (name, format, gzipped) =
            ENDINGS.into_iter().find_map(|(ending, format, gzipped)| {
                Some((full.strip_suffix(ending)?, format, gzipped))
            })?;
        // What is left names a folder of results.
        let good = !name.is_empty() && !name.starts_with('.') && !name.contains(char::is_control);
        good.then_some(Self {
            key: key.to_owned(),
            marketplace: MarketplaceId::new(marketplace).ok()?,
            name: name.to_owned(),
            format,
            gzipped,
        })
    }

    /// Where a result of this file lies.
    pub fn result(&self, name: &str) -> String {
        format!(
            "{OUTBOX}/{}/{REDEMPTIONS}/{}/{name}",
            self.marketplace, self.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_names_are_files_of_redemptions() {
        for (key, expected) in [
            ("inbox/m/redemptions/a.csv", Some(("a", Format::Csv, false))),
            (
                "inbox/m/redemptions/a.b.jsonl.gz",
                Some(("a.b", Format::JsonLines, true)),
            ),
            (
                "inbox/m/redemptions/é +%20.csv.gz",
                Some(("é +%20", Format::Csv, true)),
            ),
            (
                "inbox/m/redemptions/..csv.jsonl",
                None, // Its name begins with a dot.
            ),
            ("inbox/m/redemptions/.csv", None),
            ("inbox/m/redemptions/.a.csv", None),
            ("inbox/m/redemptions/...csv", None),
            ("inbox/m/redemptions/a.CSV", None),
            ("inbox/m/redemptions/a.txt", None),
            ("inbox/m/redemptions/a.csv.zip", None),
            ("inbox/m/redemptions/a", None),
            ("inbox/m/redemptions/a\n.csv", None),
            ("inbox/m/redemptions/", None),
            ("inbox/m/redemptions", None),
            ("inbox/m/redemptions/2026/a.csv", None),
            ("inbox/m/redemptions/../m2/a.csv", None),
            ("inbox/m/orders/a.csv", None),
            ("inbox/M/redemptions/a.csv", None),
            ("inbox//redemptions/a.csv", None),
            ("inbox/../redemptions/a.csv", None),
            ("/inbox/m/redemptions/a.csv", None),
            ("inbox/redemptions/a.csv", None),
            ("outbox/m/redemptions/a.csv", None),
            ("", None),
        ] {
            let file = File::at(key);
            let told = file
                .as_ref()
                .map(|f| (f.name.as_str(), f.format, f.gzipped));
            assert_eq!(told, expected, "{key}");
        }
    }

    #[test]
    fn no_result_is_a_file() {
        for key in ["inbox/m/redemptions/a.csv", "inbox/m/redemptions/inbox.csv"] {
            let file = File::at(key).unwrap();
            for result in ["result.json", "rejected.csv"] {
                let at = file.result(result);
                assert!(at.starts_with("outbox/m/redemptions/") && File::at(&at).is_none());
            }
        }
    }
}
