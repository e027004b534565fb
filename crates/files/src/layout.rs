//! How records stand in a file, by its name.

/// How records stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A header, and a row a record.
    Csv,
    /// A JSON object a line.
    JsonLines,
}

/// What the name of a file says of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// How records stand in it.
    pub format: Format,
    /// It is compressed with gzip.
    pub gzipped: bool,
}

impl Layout {
    /// Reads the ending of a name, in any case; `None` where it says nothing.
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
        let format = match plain.unwrap_or(&name).rsplit_once('.')?.1 {
            "csv" => Format::Csv,
            "jsonl" | "ndjson" => Format::JsonLines,
            _ => return None,
        };
        Some(Self {
            format,
            gzipped: plain.is_some(),
        })
    }
}
