//! Rows as a file of Parquet: of each column in one of the types that people have, and laid out by lot.

use std::sync::Arc;

use chrono::DateTime;
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArrayType, DataType, FixedLenByteArrayType, Int64Type};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use revtrail_oracle::worlds::Rng;

/// What a cell holds, if anything.
pub(crate) type Cell = Option<Vec<u8>>;

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Integer {
        signed: bool,
    },
    Instant {
        unit: TimeUnit,
        utc: bool,
    },
    /// A decimal of a fixed length, or of any.
    Decimal {
        fixed: bool,
    },
}

const DECIMALS: i32 = 6;
const DIGITS: i32 = 27;
const DECIMAL_BYTES: i32 = 16;

impl Kind {
    /// A type that can hold all texts of a column.
    fn of(rng: &mut Rng, name: &str, cells: &[Cell]) -> Self {
        let all = |fits: &dyn Fn(&str) -> bool| {
            let texts = cells.iter().flatten();
            let mut texts = texts.map(|text| std::str::from_utf8(text).unwrap_or("\0"));
            texts.all(fits)
        };
        let (signed, utc, fixed) = (rng.chance(50), rng.chance(50), rng.chance(50));
        let unit = *rng.pick(&[TimeUnit::MILLIS, TimeUnit::MICROS, TimeUnit::NANOS]);
        match name {
            _ if rng.chance(30) => Self::Text,
            _ if all(&|text| text == "true" || text == "false") => Self::Flag,
            "total" | "refunded_total" if all(&|text| millionths(text).is_some()) => {
                Self::Decimal { fixed }
            }
            _ if all(&|text| integer(text).is_some()) => Self::Integer { signed },
            _ if all(&|text| DateTime::parse_from_rfc3339(text).is_ok()) => {
                Self::Instant { unit, utc }
            }
            _ => Self::Text,
        }
    }

    fn physical(self) -> (Physical, Option<LogicalType>) {
        match self {
            Self::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Flag => (Physical::BOOLEAN, None),
            Self::Integer { signed } => (Physical::INT64, Some(LogicalType::integer(64, signed))),
            Self::Instant { unit, utc } => {
                (Physical::INT64, Some(LogicalType::timestamp(utc, unit)))
            }
            Self::Decimal { fixed } => {
                let decimal = Some(LogicalType::decimal(DECIMALS, DIGITS));
                match fixed {
                    true => (Physical::FIXED_LEN_BYTE_ARRAY, decimal),
                    false => (Physical::BYTE_ARRAY, decimal),
                }
            }
        }
    }
}

fn integer(text: &str) -> Option<i64> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number.into())
}

fn millionths(text: &str) -> Option<i128> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{decimals:0<6}").parse().ok()
}

/// Writes the columns as a file. A row group may be empty.
pub(crate) fn written(rng: &mut Rng, columns: &[(String, Vec<Cell>)]) -> Vec<u8> {
    let rows = columns.first().map_or(0, |(_, cells)| cells.len());
    let mut kinds = Vec::new();
    let mut fields = Vec::new();
    for (name, cells) in columns {
        let kind = Kind::of(rng, name, cells);
        let is_needed = cells.iter().all(Option::is_some) && rng.chance(50);
        let (physical, logical) = kind.physical();
        let field = Type::primitive_type_builder(name, physical)
            .with_logical_type(logical)
            .with_repetition(match is_needed {
                true => Repetition::REQUIRED,
                false => Repetition::OPTIONAL,
            })
            .with_length(DECIMAL_BYTES)
            .with_precision(if matches!(kind, Kind::Decimal { .. }) {
                DIGITS
            } else {
                -1
            })
            .with_scale(if matches!(kind, Kind::Decimal { .. }) {
                DECIMALS
            } else {
                -1
            });
        fields.push(Arc::new(field.build().unwrap()));
        kinds.push(kind);
    }
    let schema = Type::group_type_builder("rows").with_fields(fields);
    let packings = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(Default::default()),
        Compression::GZIP(Default::default()),
    ];
    let versions = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0];
    let properties = WriterProperties::builder()
        .set_compression(*rng.pick(&packings))
        .set_dictionary_enabled(rng.chance(70))
        // A dictionary that grew too long ends in the middle of a column.
        .set_dictionary_page_size_limit(*rng.pick(&[20, 1 << 20]))
        .set_data_page_row_count_limit(*rng.pick(&[1, 3, 1_000]))
        .set_write_batch_size(*rng.pick(&[1, 2, 1_000]))
        .set_writer_version(*rng.pick(&versions));
    let schema = Arc::new(schema.build().unwrap());
    let mut file =
        SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build())).unwrap();
    let mut start = 0;
    while start < rows || rng.chance(20) {
        let end = (start + rng.below(rows + 1)).min(rows);
        let mut group = file.next_row_group().unwrap();
        for ((_, cells), kind) in columns.iter().zip(&kinds) {
            let mut column = group.next_column().unwrap().unwrap();
            write(&mut column, *kind, &cells[start..end]);
            column.close().unwrap();
        }
        group.close().unwrap();
        start = end;
    }
    file.into_inner().unwrap()
}

fn write(column: &mut SerializedColumnWriter<'_>, kind: Kind, cells: &[Cell]) {
    let text = |cell: &[u8]| String::from_utf8(cell.to_vec()).unwrap();
    match kind {
        Kind::Text => put::<ByteArrayType>(column, cells, |cell| cell.to_vec().into()),
        Kind::Flag => put::<BoolType>(column, cells, |cell| cell == b"true"),
        Kind::Integer { .. } => {
            put::<Int64Type>(column, cells, |cell| integer(&text(cell)).unwrap());
        }
        Kind::Instant { unit, .. } => put::<Int64Type>(column, cells, |cell| {
            let at = DateTime::parse_from_rfc3339(&text(cell)).unwrap();
            match unit {
                TimeUnit::MILLIS => at.timestamp_millis(),
                TimeUnit::MICROS => at.timestamp_micros(),
                TimeUnit::NANOS => at.timestamp_nanos_opt().unwrap(),
            }
        }),
        Kind::Decimal { fixed: false } => {
            put::<ByteArrayType>(column, cells, |cell| decimal(&text(cell)).into());
        }
        Kind::Decimal { fixed: true } => {
            put::<FixedLenByteArrayType>(column, cells, |cell| {
                parquet::data_type::ByteArray::from(decimal(&text(cell))).into()
            });
        }
    }
}

fn decimal(text: &str) -> Vec<u8> {
    millionths(text).unwrap().to_be_bytes().into()
}

fn put<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    cells: &[Cell],
    value: impl Fn(&[u8]) -> T::T,
) {
    let values: Vec<T::T> = cells.iter().flatten().map(|cell| value(cell)).collect();
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    // A column that cannot be null has no levels, and ignores them.
    let written = column
        .typed::<T>()
        .write_batch(&values, Some(&levels), None);
    written.unwrap();
}
