//! What is said of files of Parquet that cannot be read, or of which a column cannot.

#![cfg(feature = "parquet")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{
    ByteArrayType, DataType, DoubleType, Int32Type, Int64Type, Int96, Int96Type,
};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use revtrail_core::value::time::Instant;
use revtrail_files::{Field, FileFault, ParquetFile};

type Group<'a, 'b, 'c> = &'a mut SerializedRowGroupWriter<'b, &'c mut Vec<u8>>;
/// Writes the columns of a row group.
type Put<'p> = &'p dyn Fn(Group<'_, '_, '_>);

const FIELDS: [Field; 4] = [
    Field::Text("a"),
    Field::Text("b"),
    Field::List("items"),
    Field::Instant("at"),
];

/// A file that is gone at the end.
struct Written(PathBuf);

impl Written {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let name = format!("revtrail-parquet-{}-{name}", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        fs::write(&file.0, bytes).unwrap();
        file
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// The cells of `a` and `b` of each row, or why the file is not read.
fn rows(name: &str, bytes: &[u8]) -> Result<Vec<String>, String> {
    let written = Written::new(name, bytes);
    let content = |fault| match fault {
        FileFault::Content(why) => why,
        FileFault::Source(error) => panic!("{error}"),
    };
    let file = ParquetFile::open(File::open(&written.0).unwrap(), &FIELDS, &["a"]);
    let mut rows = Vec::new();
    let make = |(): &mut (), batch: &revtrail_files::RowBatch<'_>| {
        let mut made = Vec::new();
        batch.rows(|row| {
            let [a, b, _, at, ..] = row.cells.unwrap();
            let mut shown = format!("{} {a}|{b}", row.line);
            // A page that is left to others gives texts of instants too. A number beyond all years is no instant, and not nothing.
            let at = match (row.instants[3], *at) {
                (None, text) => Instant::parse(text).map_err(|_| text),
                (Some(instant), text) => Some(instant).filter(|_| text.is_empty()).ok_or(text),
            };
            match at {
                Ok(instant) => shown += &format!("|{instant}"),
                Err("") => {}
                Err(_) => shown += "|beyond",
            }
            // Whoever asks for the record sees the same.
            batch.record(row, |record| {
                let said = ["a", "b"].map(|name| record.text(name).unwrap().unwrap_or_default());
                assert_eq!(said, [*a, *b]);
            });
            made.push(shown);
        });
        made
    };
    let file = file.map_err(content)?;
    let read = file.read(&mut [(), ()], make, |mut made| rows.append(&mut made));
    read.map_err(content).map(|()| rows)
}

/// A file of some row groups, each of which `group` writes.
fn file(
    schema: &str,
    packing: Compression,
    groups: usize,
    group: impl Fn(usize, Group<'_, '_, '_>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(packing).build();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    for number in 0..groups {
        let mut writer = file.next_row_group().unwrap();
        group(number, &mut writer);
        writer.close().unwrap();
    }
    file.close().unwrap();
    bytes
}

fn put<T: DataType>(
    group: Group<'_, '_, '_>,
    values: &[T::T],
    levels: Option<&[i16]>,
    repeats: Option<&[i16]>,
) {
    let mut column = group.next_column().unwrap().unwrap();
    let written = column.typed::<T>().write_batch(values, levels, repeats);
    written.unwrap();
    column.close().unwrap();
}

/// Three row groups, of which the second is empty; `a` is a dictionary with nulls.
fn plain(packing: Compression) -> Vec<u8> {
    let schema = "message rows { optional binary a (UTF8); required int64 b; }";
    file(schema, packing, 3, |number, group| {
        let texts = if number == 1 {
            vec![]
        } else {
            vec!["x".into(), "y".into(), "x".into()]
        };
        let levels: &[i16] = if number == 1 { &[] } else { &[1, 0, 1, 1] };
        put::<ByteArrayType>(group, &texts, Some(levels), None);
        let numbers: &[i64] = if number == 1 { &[] } else { &[7, -7, 0, 8] };
        put::<Int64Type>(group, numbers, None, None);
    })
}

const PACKINGS: [fn() -> Compression; 4] = [
    || Compression::UNCOMPRESSED,
    || Compression::SNAPPY,
    || Compression::ZSTD(Default::default()),
    || Compression::GZIP(Default::default()),
];

#[test]
fn nulls_and_empty_row_groups_are_read() {
    let expected = [
        "1 x|7", "2 |-7", "3 y|0", "4 x|8", "5 x|7", "6 |-7", "7 y|0", "8 x|8",
    ];
    for packing in PACKINGS {
        let packing = packing();
        let found = rows("whole", &plain(packing));
        assert_eq!(found.unwrap(), expected, "{packing}");
    }
    let none = file(
        "message rows { optional binary a (UTF8); }",
        PACKINGS[0](),
        0,
        |_, _| {},
    );
    assert_eq!(rows("none", &none).unwrap(), [""; 0]);
}

/// However the pages are written, the cells are the same: each entry of a dictionary that many rows name, texts as they are, and both
/// in one chunk, where a dictionary grew too long; with nulls, and instants that are none.
#[test]
fn pages_of_all_kinds_say_the_same() {
    let schema = "message rows { optional binary a (UTF8); optional int64 b (DECIMAL(18,2)); optional int64 at (TIMESTAMP_MICROS); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let rows = 5_000_usize;
    let is_null = |row: usize, column: usize| row.is_multiple_of(7 + column) || row / 100 == 7;
    let ms = |row: usize| 1_795_608_000_000 + (row % 9) as i64;
    let beyond = |row: usize| row.is_multiple_of(1_000) && row > 0;
    let expected: Vec<String> = (0..rows)
        .map(|row| {
            let a = if is_null(row, 0) {
                String::new()
            } else {
                format!("é{}", row * row % 601)
            };
            let b = if is_null(row, 1) {
                String::new()
            } else {
                format!("{}.05", row % 50)
            };
            let at = match () {
                () if is_null(row, 2) => String::new(),
                () if beyond(row) => "|beyond".to_owned(),
                () => format!("|{}", Instant::from_ms(ms(row))),
            };
            format!("{} {a}|{b}{at}", row + 1)
        })
        .collect();
    let levels = |column| -> Vec<i16> {
        (0..rows)
            .map(|row| i16::from(!is_null(row, column)))
            .collect()
    };
    let of = |column| (0..rows).filter(move |row| !is_null(*row, column));
    for dictionary_bytes in [0, 100, 3_000, 1 << 20] {
        for (page, version) in [(1, 1), (333, 2), (1_000, 1), (10_000, 2)] {
            let version = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0][version - 1];
            let properties = WriterProperties::builder()
                .set_dictionary_enabled(dictionary_bytes > 0)
                .set_dictionary_page_size_limit(dictionary_bytes)
                .set_data_page_row_count_limit(page)
                .set_write_batch_size(100)
                .set_writer_version(version);
            let (mut bytes, properties) = (Vec::new(), Arc::new(properties.build()));
            let mut file =
                SerializedFileWriter::new(&mut bytes, schema.clone(), properties).unwrap();
            let mut group = file.next_row_group().unwrap();
            let texts: Vec<_> = of(0)
                .map(|row| format!("é{}", row * row % 601).as_str().into())
                .collect();
            put::<ByteArrayType>(&mut group, &texts, Some(&levels(0)), None);
            let cents: Vec<i64> = of(1).map(|row| 100 * (row % 50) as i64 + 5).collect();
            put::<Int64Type>(&mut group, &cents, Some(&levels(1)), None);
            let micros = |row| {
                if beyond(row) {
                    i64::MAX
                } else {
                    1_000 * ms(row) + 999
                }
            };
            let micros: Vec<i64> = of(2).map(micros).collect();
            put::<Int64Type>(&mut group, &micros, Some(&levels(2)), None);
            group.close().unwrap();
            file.close().unwrap();
            let found = self::rows("pages", &bytes).unwrap();
            assert!(
                found == expected,
                "{dictionary_bytes} {page}: {:?}",
                found.iter().zip(&expected).find(|(a, b)| a != b)
            );
        }
    }
}

#[test]
fn columns_that_are_no_texts_are_named() {
    let one = |schema: &str, put: &dyn Fn(Group<'_, '_, '_>)| {
        file(schema, PACKINGS[0](), 1, |_, group| put(group))
    };
    let text = |group: Group<'_, '_, '_>| {
        put::<ByteArrayType>(group, &["x".into()], None, None);
    };
    let listed = |group: Group<'_, '_, '_>| {
        put::<ByteArrayType>(
            group,
            &["x".into(), "y".into()],
            Some(&[2, 2]),
            Some(&[0, 1]),
        );
    };
    let list =
        "optional group NAME (LIST) { repeated group list { required binary element (UTF8); } }";
    let cases: [(&str, Put<'_>, Result<&str, &str>); 15] = [
        (
            "required double a;",
            (&|group| put::<DoubleType>(group, &[1.5], None, None)),
            Err("the column a holds DOUBLE, a binary float"),
        ),
        (
            "required int32 a (DATE);",
            &|group| put::<Int32Type>(group, &[1], None, None),
            Err("the column a holds DATE: write it as text"),
        ),
        (
            "required int64 a (TIME_MICROS);",
            &|group| put::<Int64Type>(group, &[1], None, None),
            Err("the column a holds TIME"),
        ),
        (
            &list.replace("NAME", "a"),
            &listed,
            Err("the column a holds lists: join the texts of each by |"),
        ),
        (
            "required group a { required binary x (UTF8); }",
            &text,
            Err("the column a holds nested values"),
        ),
        (
            "required binary c (UTF8);",
            &text,
            Err("the file has no column a; it has c"),
        ),
        (
            "required binary A (UTF8);",
            &text,
            Err("the file has no column a; it has A"),
        ),
        (
            "required binary a (UTF8); required binary a (UTF8);",
            &|group| {
                text(group);
                text(group);
            },
            Err("names the column a twice"),
        ),
        // What nobody asks for can be anything, and items are none of a row.
        (
            "required binary a (UTF8); required double c;",
            &|group| {
                text(group);
                put::<DoubleType>(group, &[1.5], None, None);
            },
            Ok("1 x|"),
        ),
        (
            &format!(
                "required binary a (UTF8); {}",
                list.replace("NAME", "items")
            ),
            &|group| {
                text(group);
                listed(group);
            },
            Ok("1 x|"),
        ),
        // Older types.
        (
            "required int96 a;",
            &|group| put::<Int96Type>(group, &[Int96::from(vec![0, 0, 2_440_589])], None, None),
            Ok("1 1970-01-02T00:00:00.000Z|"),
        ),
        ("required binary a;", &text, Ok("1 x|")),
        (
            "required int64 a (TIMESTAMP_MICROS);",
            &|group| put::<Int64Type>(group, &[-1], None, None),
            Ok("1 1969-12-31T23:59:59.999Z|"),
        ),
        (
            "required int32 a (UINT_32);",
            &|group| put::<Int32Type>(group, &[-1], None, None),
            Ok("1 4294967295|"),
        ),
        (
            "required int32 a (DECIMAL(9,2));",
            &|group| put::<Int32Type>(group, &[-1], None, None),
            Ok("1 -0.01|"),
        ),
    ];
    for (schema, values, expected) in cases {
        let bytes = one(&format!("message rows {{ {schema} }}"), values);
        match (rows("column", &bytes), expected) {
            (Ok(rows), Ok(row)) => assert_eq!(rows, [row], "{schema}"),
            (Err(told), Err(why)) => assert!(told.contains(why), "{schema}: {told}"),
            (found, _) => panic!("{schema}: {found:?}"),
        }
    }
}

#[test]
fn a_spoilt_file_is_refused() {
    for (bytes, why) in [
        (&b""[..], "the file is empty"),
        (b"PAR1", "the Parquet file ends in the middle"),
        (b"PAR1PAR1", "cannot be read"),
        (b"PAR1\0\0\0\0PARE", "the file is encrypted"),
        (
            b"a,b\n1,2\n",
            "the file is not Parquet: let its name end in what it is",
        ),
        (b"PK\x03\x04\x14\0", "zip archive"),
        (b"PAR1\xff\xff\xff\x7fPAR1", "cannot be read"),
    ] {
        let told = rows("spoilt", bytes).unwrap_err();
        assert!(told.contains(why), "{why}: {told}");
    }
    for packing in PACKINGS {
        let packing = packing();
        let whole = plain(packing);
        let expected = rows("spoilt", &whole).unwrap();
        for end in 0..whole.len() {
            rows("spoilt", &whole[..end]).unwrap_err();
        }
        let mut told = Vec::new();
        for at in 0..whole.len() {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 0x81;
            // Without checksums a changed value is a value. What cannot be is told, and nothing panics.
            match rows("spoilt", &spoilt) {
                Ok(rows) => assert!(rows.len() <= 2 * expected.len(), "{at}"),
                Err(why) => told.push(why),
            }
        }
        let group = "row group 3 of 3, 4 rows from row 5 on, is broken: ";
        assert!(told.iter().any(|why| why.contains(group)), "{packing}");
    }
}
