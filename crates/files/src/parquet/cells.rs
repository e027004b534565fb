//! The texts of a column: what a CSV cell with the same value would hold.

use std::io::Write;

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{DataType, Int96};
use parquet::errors::Result as ParquetResult;
use parquet::schema::types::ColumnDescriptor;
use revtrail_core::value::time::Instant;

use crate::row::CsvRow;

/// The most decimals that an amount has. A column has more where its type has, and then they are zeros.
const DECIMALS_MAX: usize = 6;
/// The most bytes of a number of a decimal column.
const DECIMAL_BYTES_MAX: usize = 16;

/// How the values of a column are made texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Text,
    Flag,
    Signed,
    Unsigned,
    /// An amount with so many decimals.
    Decimal(usize),
    /// An instant, of which so many units are a millisecond.
    Instant {
        per_ms: i64,
        is_utc: bool,
    },
    /// An instant as older programs write it.
    LegacyInstant,
}

impl Reading {
    /// How a column is read; `None` where no text can be made of its type.
    pub(super) fn of(column: &ColumnDescriptor) -> Option<Self> {
        if column.max_rep_level() > 0 || column.path().parts().len() > 1 {
            return None;
        }
        let kind = column.physical_type();
        let is_integer = matches!(kind, Type::INT32 | Type::INT64);
        match (column.logical_type_ref(), column.converted_type()) {
            (Some(LogicalType::Decimal(decimal)), _) => {
                Self::decimal(column, usize::try_from(decimal.scale).ok()?)
            }
            (Some(LogicalType::Timestamp(at)), _) if kind == Type::INT64 => Some(Self::Instant {
                per_ms: match at.unit {
                    TimeUnit::MILLIS => 1,
                    TimeUnit::MICROS => 1_000,
                    TimeUnit::NANOS => 1_000_000,
                },
                is_utc: at.is_adjusted_to_u_t_c,
            }),
            (Some(LogicalType::Integer(integer)), _) if is_integer => {
                Some(match integer.is_signed {
                    true => Self::Signed,
                    false => Self::Unsigned,
                })
            }
            (Some(LogicalType::String | LogicalType::Enum | LogicalType::Json), _) => {
                (kind == Type::BYTE_ARRAY).then_some(Self::Text)
            }
            (Some(_), _) => None,
            (None, converted) => Self::of_old(column, converted),
        }
    }

    /// How a column is read that only has a type of the first version of the format.
    fn of_old(column: &ColumnDescriptor, converted: ConvertedType) -> Option<Self> {
        let kind = column.physical_type();
        Some(match (kind, converted) {
            (_, ConvertedType::DECIMAL) => {
                Self::decimal(column, usize::try_from(column.type_scale()).ok()?)?
            }
            (
                Type::BYTE_ARRAY,
                ConvertedType::NONE
                | ConvertedType::UTF8
                | ConvertedType::ENUM
                | ConvertedType::JSON,
            ) => Self::Text,
            (Type::BOOLEAN, ConvertedType::NONE) => Self::Flag,
            (Type::INT96, ConvertedType::NONE) => Self::LegacyInstant,
            (Type::INT64, ConvertedType::TIMESTAMP_MILLIS) => Self::Instant {
                per_ms: 1,
                is_utc: true,
            },
            (Type::INT64, ConvertedType::TIMESTAMP_MICROS) => Self::Instant {
                per_ms: 1_000,
                is_utc: true,
            },
            (
                Type::INT32 | Type::INT64,
                ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64,
            ) => Self::Unsigned,
            (
                Type::INT32 | Type::INT64,
                ConvertedType::NONE
                | ConvertedType::INT_8
                | ConvertedType::INT_16
                | ConvertedType::INT_32
                | ConvertedType::INT_64,
            ) => Self::Signed,
            _ => return None,
        })
    }

    fn decimal(column: &ColumnDescriptor, scale: usize) -> Option<Self> {
        let fits = match column.physical_type() {
            Type::FIXED_LEN_BYTE_ARRAY => column.type_length() as usize <= DECIMAL_BYTES_MAX,
            kind => matches!(kind, Type::INT32 | Type::INT64 | Type::BYTE_ARRAY),
        };
        fits.then_some(Self::Decimal(scale))
    }

    pub(super) fn is_without_zone(self) -> bool {
        matches!(
            self,
            Self::Instant { is_utc: false, .. } | Self::LegacyInstant
        )
    }

    /// Appends a cell for each of the next rows. Returns how many rows there were.
    pub(super) fn read(
        self,
        column: &mut ColumnReader,
        rows: usize,
        levels: &mut Vec<i16>,
        to: &mut CsvRow,
    ) -> ParquetResult<usize> {
        match column {
            ColumnReader::BoolColumnReader(column) => {
                read(column, rows, levels, to, |value, to| {
                    to.extend_from_slice(if *value { b"true" } else { b"false" });
                })
            }
            ColumnReader::Int32ColumnReader(column) => {
                read(column, rows, levels, to, |value, to| match self {
                    Self::Unsigned => self.number((*value as u32).into(), to),
                    _ => self.number((*value).into(), to),
                })
            }
            ColumnReader::Int64ColumnReader(column) => {
                read(column, rows, levels, to, |value, to| match self {
                    Self::Unsigned => self.number((*value as u64).into(), to),
                    _ => self.number((*value).into(), to),
                })
            }
            ColumnReader::Int96ColumnReader(column) => {
                read(column, rows, levels, to, |value, to| {
                    put_instant(legacy_ms(value), to);
                })
            }
            ColumnReader::ByteArrayColumnReader(column) => {
                read(column, rows, levels, to, |value, to| {
                    self.bytes(value.data(), to);
                })
            }
            ColumnReader::FixedLenByteArrayColumnReader(column) => {
                read(column, rows, levels, to, |value, to| {
                    self.bytes(value.data(), to);
                })
            }
            // No reading is made of these.
            ColumnReader::FloatColumnReader(_) | ColumnReader::DoubleColumnReader(_) => Ok(0),
        }
    }

    /// The milliseconds since 1970 of a number that is an instant.
    pub(super) fn ms(self, value: i128) -> Option<i64> {
        let value = i64::try_from(value).ok()?;
        match self {
            // To divide by a number that is known beforehand is quicker.
            Self::Instant { per_ms: 1_000, .. } => Some(value.div_euclid(1_000)),
            Self::Instant { per_ms, .. } => Some(value.div_euclid(per_ms)),
            _ => None,
        }
    }

    pub(super) fn number(self, value: i128, to: &mut Vec<u8>) {
        match self {
            Self::Decimal(scale) => put_decimal(value, scale, to),
            Self::Instant { per_ms, .. } => put_instant(value.div_euclid(per_ms.into()) as i64, to),
            _ => put(format_args!("{value}"), to),
        }
    }

    fn bytes(self, bytes: &[u8], to: &mut Vec<u8>) {
        match self {
            Self::Decimal(_) if bytes.len() > DECIMAL_BYTES_MAX => {
                put(format_args!("a decimal of {} bytes", bytes.len()), to);
            }
            Self::Decimal(scale) => {
                let sign = bytes.first().map_or(0, |first| *first as i8 >> 7) as i128;
                let value = bytes
                    .iter()
                    .fold(sign, |value, byte| value << 8 | i128::from(*byte));
                put_decimal(value, scale, to);
            }
            _ => to.extend_from_slice(bytes),
        }
    }
}

/// What a column holds that no text can be made of, and what to do.
pub(super) fn instead(column: &ColumnDescriptor) -> String {
    if column.max_rep_level() > 0 {
        return "lists: join the texts of each by | into one text".to_owned();
    }
    if column.path().parts().len() > 1 {
        return "nested values: write it as text".to_owned();
    }
    let kind = match (column.logical_type_ref(), column.converted_type()) {
        (Some(logical), _) => format!("{logical:?}"),
        (None, ConvertedType::NONE) => column.physical_type().to_string(),
        (None, converted) => converted.to_string(),
    };
    let kind = kind.to_ascii_uppercase();
    match column.physical_type() {
        Type::FLOAT | Type::DOUBLE => format!(
            "{kind}, a binary float, which no amount and no id is read from: write it as DECIMAL, as an integer, or as text"
        ),
        _ => format!("{kind}: write it as text, TIMESTAMP, BOOLEAN, DECIMAL or an integer"),
    }
}

fn read<T: DataType>(
    column: &mut ColumnReaderImpl<T>,
    rows: usize,
    levels: &mut Vec<i16>,
    to: &mut CsvRow,
    put: impl Fn(&T::T, &mut Vec<u8>),
) -> ParquetResult<usize> {
    levels.clear();
    let mut values = Vec::with_capacity(rows);
    let (read, ..) = column.read_records(rows, Some(levels), None, &mut values)?;
    let mut values = values.iter();
    for row in 0..read {
        // A column of the top level that can be null has one level of definition. A column that cannot has none.
        let is_null = levels.get(row) == Some(&0);
        to.push(|to| {
            if !is_null && let Some(value) = values.next() {
                put(value, to);
            }
        });
    }
    Ok(read)
}

fn put(text: std::fmt::Arguments<'_>, to: &mut Vec<u8>) {
    // Memory takes everything.
    let _ = to.write_fmt(text);
}

pub(super) fn put_instant(ms: i64, to: &mut Vec<u8>) {
    let at = Instant::from_ms(ms);
    match at.ms() == ms {
        true => to.extend_from_slice(&at.text()),
        false => put(format_args!("{ms} ms since 1970"), to),
    }
}

/// The Julian day of 1970-01-01.
const JULIAN_DAY_1970: i64 = 2_440_588;

fn legacy_ms(value: &Int96) -> i64 {
    let [low, high, day] = [value.data()[0], value.data()[1], value.data()[2]].map(i64::from);
    let nanos = high << 32 | low;
    (day - JULIAN_DAY_1970) * 86_400_000 + nanos.div_euclid(1_000_000)
}

fn put_decimal(value: i128, scale: usize, to: &mut Vec<u8>) {
    match u64::try_from(value.unsigned_abs()) {
        Ok(digits) if scale <= DECIMALS_MAX => put_short_decimal(digits, scale, value < 0, to),
        _ => put_long_decimal(value, scale, to),
    }
}

/// Writes what [`put_long_decimal`] does, without the machinery of formats: most amounts are short.
fn put_short_decimal(mut digits: u64, scale: usize, is_negative: bool, to: &mut Vec<u8>) {
    // Twenty digits, a point and a sign.
    let mut text = [0; 22];
    let mut at = text.len();
    let mut put = |byte| {
        at -= 1;
        text[at] = byte;
    };
    let mut written = 0;
    while digits > 0 || written <= scale {
        if written == scale && scale > 0 {
            put(b'.');
        }
        put(b'0' + (digits % 10) as u8);
        digits /= 10;
        written += 1;
    }
    if is_negative {
        put(b'-');
    }
    to.extend_from_slice(&text[at..]);
}

fn put_long_decimal(value: i128, scale: usize, to: &mut Vec<u8>) {
    let digits = format!("{:0>1$}", value.unsigned_abs(), scale + 1);
    let (whole, decimals) = digits.split_at(digits.len() - scale);
    let kept = decimals.trim_end_matches('0').len().max(DECIMALS_MAX);
    let decimals = &decimals[..kept.min(decimals.len())];
    let sign = if value < 0 { "-" } else { "" };
    let point = if decimals.is_empty() { "" } else { "." };
    put(format_args!("{sign}{whole}{point}{decimals}"), to);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut bytes = Vec::new();
        put(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn numbers_as_a_cell_holds_them() {
        for (value, scale, expected) in [
            (0, 0, "0"),
            (7, 0, "7"),
            (7, 2, "0.07"),
            (1950, 2, "19.50"),
            (-1950, 2, "-19.50"),
            (1, 6, "0.000001"),
            (15_000_000_000_000_000_000, 18, "15.000000"),
            (15_000_000_000_000_000_001, 18, "15.000000000000000001"),
            (1_234_500, 7, "0.123450"),
            (u64::MAX.into(), 6, "18446744073709.551615"),
            (-i128::from(u64::MAX), 0, "-18446744073709551615"),
            (1 << 64, 2, "184467440737095516.16"),
        ] {
            assert_eq!(text(|to| put_decimal(value, scale, to)), expected);
            assert_eq!(text(|to| put_long_decimal(value, scale, to)), expected);
        }
        for (bytes, expected) in [
            (&[0x07, 0x9e][..], "19.50"),
            (&[0xff, 0xff], "-0.01"),
            (&[0xff; 16], "-0.01"),
            (&[0x80], "-1.28"),
            (&[], "0.00"),
            (&[0; 17], "a decimal of 17 bytes"),
        ] {
            assert_eq!(text(|to| Reading::Decimal(2).bytes(bytes, to)), expected);
        }
        let micros = Reading::Instant {
            per_ms: 1_000,
            is_utc: true,
        };
        for (value, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_795_608_000_123_999, "2026-11-25T12:00:00.123Z"),
            (i64::MAX, "9223372036854775 ms since 1970"),
        ] {
            assert_eq!(text(|to| micros.number(value.into(), to)), expected);
        }
        let mut noon = Int96::new();
        noon.set_data(0x48a7_8000, 0x0000_274a, 2_440_589);
        assert_eq!(
            text(|to| put_instant(legacy_ms(&noon), to)),
            "1970-01-02T12:00:00.000Z"
        );
    }
}
