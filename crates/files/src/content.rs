//! Recognises files that are neither CSV nor JSON lines by their first bytes, and tells the sender what they are and what to do.

/// Beginnings of files that people mistake for lists of records. Those of letters are long, since a header may begin alike.
const BEGINNINGS: [(&[u8], &str); 20] = [
    (
        b"\xd0\xcf\x11\xe0",
        "the file is an old Excel workbook (.xls): save it as “CSV UTF-8”",
    ),
    (
        b"PAR1\x15",
        "the file is Parquet: write it as CSV or JSON lines",
    ),
    (
        b"Obj\x01",
        "the file is Avro: write it as CSV or JSON lines",
    ),
    (
        b"ARROW1\0",
        "the file is Arrow: write it as CSV or JSON lines",
    ),
    (
        b"SQLite format 3\0",
        "the file is an SQLite database: export its table as CSV",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "the file is compressed with zstd: unpack it, or compress it with gzip",
    ),
    (
        b"BZh91AY&SY",
        "the file is compressed with bzip2: unpack it, or compress it with gzip",
    ),
    (
        b"\xfd7zXZ\0",
        "the file is compressed with xz: unpack it, or compress it with gzip",
    ),
    (
        b"\x04\x22\x4d\x18",
        "the file is compressed with lz4: unpack it, or compress it with gzip",
    ),
    (
        b"7z\xbc\xaf\x27\x1c",
        "the file is a 7z archive: unpack it, and give the files in it",
    ),
    (
        b"Rar!\x1a",
        "the file is a RAR archive: unpack it, and give the files in it",
    ),
    (
        b"PK\x03\x04",
        "the file is a zip archive: unpack it, and give the files in it",
    ),
    (
        b"PK\x05\x06",
        "the file is an empty zip archive: give the files that should be in it",
    ),
    (
        b"PK\x07\x08",
        "the file is a part of a zip archive: unpack it, and give the files in it",
    ),
    (b"%PDF-", "the file is a PDF: export the table as CSV"),
    (
        b"{\\rtf",
        "the file is a text document (RTF): save it as plain text, in UTF-8",
    ),
    (
        b"<!doctype",
        "the file is a web page: was a login page saved in its place? Export it as CSV again",
    ),
    (
        b"<html",
        "the file is a web page: was a login page saved in its place? Export it as CSV again",
    ),
    (b"<?xml", "the file is XML: export it as CSV"),
    (
        b"<error",
        "the file is an error message in XML: download it again",
    ),
];

/// Names of entries, one of which is at or near the beginning of a zip archive that is a workbook.
const WORKBOOK_ENTRIES: [&[u8]; 5] = [
    b"[Content_Types].xml",
    b"_rels/",
    b"docProps/",
    b"xl/",
    b"customXml/",
];

/// Says what kind of file begins like this, and what to do. `None` for gzip and for what may be text in UTF-8.
///
/// # Example
/// ```
/// let what = revtrail_files::what_is(b"PK\x03\x04\x14\x00");
/// assert_eq!(what, Some("the file is a zip archive: unpack it, and give the files in it"));
/// assert_eq!(revtrail_files::what_is(b"event_id,kind"), None);
/// ```
pub fn what_is(beginning: &[u8]) -> Option<&'static str> {
    if beginning.starts_with(b"PK\x03\x04") {
        let holds = |part: &[u8]| beginning.windows(part.len()).any(|bytes| bytes == part);
        if WORKBOOK_ENTRIES.iter().any(|entry| holds(entry)) {
            return Some("the file is an Excel workbook (.xlsx): save it as “CSV UTF-8”");
        }
        if holds(b"opendocument.spreadsheet") {
            return Some("the file is a spreadsheet (.ods): save it as CSV in UTF-8");
        }
    }
    let text = beginning.trim_ascii_start();
    let begins = |with: &[u8]| match with.first() {
        Some(b'<') => text.len() >= with.len() && text[..with.len()].eq_ignore_ascii_case(with),
        _ => beginning.starts_with(with),
    };
    // The mark of UTF-32 begins like that of UTF-16, so UTF-32 is checked first.
    if beginning.starts_with(b"\xff\xfe\0\0") || beginning.starts_with(b"\0\0\xfe\xff") {
        return Some("the file is UTF-32: save it as UTF-8");
    }
    let marked = beginning.starts_with(b"\xff\xfe") || beginning.starts_with(b"\xfe\xff");
    if marked || every_other_byte_is_zero(beginning) {
        return Some("the file is UTF-16: save it as UTF-8 (in a spreadsheet, “CSV UTF-8”)");
    }
    if !beginning.is_empty() && beginning.iter().all(|byte| *byte == 0) {
        return Some("the file holds zero bytes only: it was not written whole; send it again");
    }
    let found = BEGINNINGS.into_iter().find(|(with, _)| begins(with));
    found.map(|(_, what)| what)
}

/// True for UTF-16 without a mark. Each ASCII character in it has a zero byte on one side, and names of columns are ASCII.
fn every_other_byte_is_zero(beginning: &[u8]) -> bool {
    let zeros = |from: usize| {
        let bytes = beginning.iter().skip(from).step_by(2);
        bytes.filter(|byte| **byte == 0).count()
    };
    let (more, fewer) = (zeros(0).max(zeros(1)), zeros(0).min(zeros(1)));
    // At least half of the characters have a zero byte on one side. On the other side a zero byte may occur now and then.
    more > 0 && more * 4 >= beginning.len() && fewer * 4 <= more
}

/// Says which byte is not UTF-8, and what to do.
pub(crate) fn not_utf8(byte: u8) -> String {
    format!(
        "the byte 0x{byte:02X} is not UTF-8; is it Windows-1252 or Latin-1? Save the file as UTF-8 (in a spreadsheet, “CSV UTF-8”)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn files_that_are_something_else_are_named() {
        let header = "event_id,kind,größe,имя\n";
        for (beginning, what) in [
            (utf16(header, u16::to_le_bytes), "UTF-16"),
            (utf16(header, u16::to_be_bytes), "UTF-16"),
            (
                utf16(&format!("\u{feff}{header}"), u16::to_le_bytes),
                "UTF-16",
            ),
            (utf16("имя,event_id,kind", u16::to_le_bytes), "UTF-16"),
            (utf16("\u{feff}", u16::to_be_bytes), "UTF-16"),
            (b"\xff\xfe\0\0a\0\0\0".into(), "UTF-32"),
            (vec![0; 300], "zero bytes"),
            (b"PK\x03\x04\x14\0\0\0\0\0week.csv".into(), "zip archive"),
            (
                b"PK\x03\x04\x14\0\x06\0\x08\0[Content_Types].xml".into(),
                ".xlsx",
            ),
            (
                b"PK\x03\x04\x14\0\0\0\0\0xl/worksheets/sheet1.xml".into(),
                ".xlsx",
            ),
            (
                b"PK\x03\x04\x14\0mimetypeapplication/vnd.oasis.opendocument.spreadsheet".into(),
                ".ods",
            ),
            (b"PAR1\x15\x04".into(), "Parquet"),
            (b"\n<!DOCTYPE html><html>".into(), "web page"),
            (b"\x28\xb5\x2f\xfd".into(), "zstd"),
        ] {
            let told = what_is(&beginning).unwrap_or_default();
            assert!(told.contains(what), "{what}: {told}");
        }
        for text in [
            "",
            "a",
            header,
            "{\"event_id\":1}",
            "a\0b,c\n",
            "PK,event_id",
            "<a>,b",
        ] {
            assert_eq!(what_is(text.as_bytes()), None, "{text}");
        }
    }
}
