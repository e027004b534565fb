//! The layout of records in a file, as far as its name tells.

use crate::zstd::is_zstd;

/// The endings that a name may have, in any case; each may have `.gz` or `.zst` behind it.
pub const ENDINGS: [(&str, Format); 3] = [
    (".csv", Format::Csv),
    (".jsonl", Format::JsonLines),
    (".ndjson", Format::JsonLines),
];

/// The format of the records in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A header, and then one row for each record.
    Csv,
    /// One JSON object on each line.
    JsonLines,
}

/// How the bytes of a file are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

impl Packing {
    /// How a file is packed that begins like this.
    pub(crate) fn of(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Self::Gzip,
            _ if is_zstd(beginning) => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// What the name of a file says about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The format of the records.
    pub format: Format,
    /// How the file is packed.
    pub packing: Packing,
}

impl Layout {
    /// Reads the ending of a file name, in upper or lower case; `None` where the ending is not known.
    ///
    /// # Example
    /// ```
    /// use revtrail_files::{Format, Layout, Packing};
    ///
    /// let layout = Layout { format: Format::JsonLines, packing: Packing::Gzip };
    /// assert_eq!(Layout::of_name("Week-48.NDJSON.gz"), Some(layout));
    /// assert_eq!(Layout::of_name("week-48.txt"), None);
    /// ```
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let packed = [(".gz", Packing::Gzip), (".zst", Packing::Zstd)];
        let packed = packed
            .iter()
            .find_map(|(ending, packing)| Some((name.strip_suffix(ending)?, *packing)));
        let (plain, packing) = packed.unwrap_or((&name, Packing::Plain));
        let ends = |(ending, _): &&(&str, Format)| plain.ends_with(ending);
        ENDINGS
            .iter()
            .find(ends)
            .map(|&(_, format)| Self { format, packing })
    }
}
