//! The layout of records in a file, as far as its name tells.

/// The endings that a name may have, in any case; each may have `.gz` behind it.
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

/// What the name of a file says about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The format of the records.
    pub format: Format,
    /// True where the file is compressed with gzip.
    pub gzipped: bool,
}

impl Layout {
    /// Reads the ending of a file name, in upper or lower case; `None` where the ending is not known.
    ///
    /// # Example
    /// ```
    /// use revtrail_files::{Format, Layout};
    ///
    /// let layout = Layout { format: Format::JsonLines, gzipped: true };
    /// assert_eq!(Layout::of_name("Week-48.NDJSON.gz"), Some(layout));
    /// assert_eq!(Layout::of_name("week-48.txt"), None);
    /// ```
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let plain = name.strip_suffix(".gz");
        let ends = |(ending, _): &&(&str, Format)| plain.unwrap_or(&name).ends_with(ending);
        ENDINGS.iter().find(ends).map(|&(_, format)| Self {
            format,
            gzipped: plain.is_some(),
        })
    }
}
