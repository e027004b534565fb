//! The pages of a column that are plain, or that name entries of a dictionary.

use bytes::{Buf, Bytes};
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};

use super::cells::Reading;
use super::hybrid::Hybrid;
use crate::row::CsvRow;
use crate::scan::is_calm;

/// The pages of a chunk, and the one that is open.
pub(super) struct Pages {
    reader: Box<dyn PageReader>,
    is_optional: bool,
    /// How many bytes a number has; 0 of texts.
    pub(super) width: usize,
    /// Which of the next rows are not null, where some can be.
    pub(super) levels: Option<Hybrid>,
    pub(super) values: Values,
    /// How many rows of the page are not read yet.
    pub(super) left: usize,
}

pub(super) enum Values {
    Plain(Bytes),
    Codes(Hybrid),
}

/// The entries that rows name.
#[derive(Default)]
pub(super) struct Dictionary {
    text: String,
    /// For each entry, where in the text it ends.
    ends: Vec<u32>,
    /// The index and a byte of each entry that is not UTF-8.
    pub(super) spoilt: Vec<(usize, u8)>,
    pub(super) is_calm: bool,
    /// The entries as milliseconds since 1970, where instants are wanted.
    pub(super) times: Vec<Option<i64>>,
}

impl Pages {
    pub(super) fn new(reader: Box<dyn PageReader>, is_optional: bool, width: usize) -> Self {
        Self {
            reader,
            is_optional,
            width,
            levels: None,
            values: Values::Plain(Bytes::new()),
            left: 0,
        }
    }

    /// How many rows of the page that is open are left, or else of the next one. `None` where there is none, or where it is odd.
    pub(super) fn rows(
        &mut self,
        dictionary: &mut Dictionary,
        how: (Reading, bool),
    ) -> Option<usize> {
        while self.left == 0 {
            match self.reader.get_next_page().ok()?? {
                Page::DictionaryPage {
                    buf,
                    num_values,
                    encoding: Encoding::PLAIN | Encoding::PLAIN_DICTIONARY,
                    ..
                } => *dictionary = Dictionary::read(&buf, num_values, self.width, how)?,
                Page::DataPage {
                    mut buf,
                    num_values,
                    encoding,
                    def_level_encoding,
                    ..
                } => {
                    let mut levels = None;
                    if self.is_optional {
                        let length = buf.try_get_u32_le().ok()? as usize;
                        let is_known = def_level_encoding == Encoding::RLE && length <= buf.len();
                        levels = Some(buf.split_to(is_known.then_some(length)?));
                    }
                    self.open(levels, buf, encoding, num_values)?;
                }
                Page::DataPageV2 {
                    mut buf,
                    num_values,
                    encoding,
                    def_levels_byte_len,
                    rep_levels_byte_len: 0,
                    ..
                } => {
                    let length = def_levels_byte_len as usize;
                    let levels = buf.split_to(Some(length).filter(|length| *length <= buf.len())?);
                    self.open(
                        self.is_optional.then_some(levels),
                        buf,
                        encoding,
                        num_values,
                    )?;
                }
                _ => return None,
            }
        }
        Some(self.left)
    }

    fn open(
        &mut self,
        levels: Option<Bytes>,
        mut values: Bytes,
        encoding: Encoding,
        rows: u32,
    ) -> Option<()> {
        self.levels = match levels {
            Some(levels) => Some(Hybrid::new(levels, 1)?),
            None => None,
        };
        self.values = match encoding {
            Encoding::PLAIN => Values::Plain(values),
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => {
                // Where all rows are null, there may be no values, and no width of them.
                let bits = values.try_get_u8().unwrap_or(0);
                Values::Codes(Hybrid::new(values, bits)?)
            }
            _ => return None,
        };
        self.left = rows as usize;
        Some(())
    }
}

impl Dictionary {
    pub(super) fn entries(&self) -> usize {
        self.ends.len().max(self.times.len())
    }

    /// The text of an entry; empty where there is none.
    #[inline]
    pub(super) fn entry(&self, code: u32) -> &str {
        let (index, ends) = (code as usize, &self.ends);
        let Some(end) = ends.get(index) else {
            return "";
        };
        let start = index.checked_sub(1).map_or(0, |before| ends[before]);
        let entry = self.text.get(start as usize..*end as usize);
        entry.unwrap_or_default()
    }

    fn read(
        bytes: &[u8],
        entries: u32,
        width: usize,
        (reading, wants_instants): (Reading, bool),
    ) -> Option<Self> {
        let mut bytes = bytes;
        let (mut cells, mut times) = (CsvRow::default(), Vec::new());
        for _ in 0..entries {
            if wants_instants {
                times.push(Some(reading.ms(number(&mut bytes, width, reading)?)?));
                continue;
            }
            let mut put = None;
            cells.push(|to| put = put_plain(&mut bytes, width, reading, to));
            put?;
        }
        let spoilt = cells.mend();
        let is_calm = is_calm_in_all(cells.bytes());
        let (text, ends) = cells.into_text()?;
        Some(Self {
            text,
            ends,
            spoilt,
            is_calm,
            times,
        })
    }
}

/// Takes the next number off plain values.
#[inline]
pub(super) fn number(bytes: &mut &[u8], width: usize, reading: Reading) -> Option<i128> {
    let is_unsigned = reading == Reading::Unsigned;
    Some(match width {
        4 if is_unsigned => u32::from_le_bytes(take(bytes)?).into(),
        4 => i32::from_le_bytes(take(bytes)?).into(),
        8 if is_unsigned => u64::from_le_bytes(take(bytes)?).into(),
        8 => i64::from_le_bytes(take(bytes)?).into(),
        _ => return None,
    })
}

#[inline]
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// Takes the next value off plain values, and writes it as a text.
#[inline]
pub(super) fn put_plain(
    bytes: &mut &[u8],
    width: usize,
    reading: Reading,
    to: &mut Vec<u8>,
) -> Option<()> {
    if width > 0 {
        reading.number(number(bytes, width, reading)?, to);
        return Some(());
    }
    let length = u32::from_le_bytes(take(bytes)?) as usize;
    let (text, rest) = bytes.split_at_checked(length)?;
    to.extend_from_slice(text);
    *bytes = rest;
    Some(())
}

/// No line ends in a cell, so line ends are control characters too.
pub(super) fn is_calm_in_all(bytes: &[u8]) -> bool {
    is_calm(bytes) && memchr::memchr2(b'\n', b'\r', bytes).is_none()
}
