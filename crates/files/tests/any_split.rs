//! Whatever the lines end in, whatever blocks the bytes come in, packed or not: a file has the same records, on the same lines.
//! The records are drawn by lot and worked out without the reader; `REVTRAIL_FILES=100000` asks for another number of files, and
//! `REVTRAIL_SEED` for one again.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::io::{self, Read, Write};

use revtrail_core::record::Record;
use revtrail_files::{FileFault, FileRules, Format, Layout, NotUtf8, Packing, Records};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// Numbers by lot (SplitMix64).
struct Lot(u64);

impl Lot {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % most as u64) as usize
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// Gives bytes in blocks by lot, and is interrupted now and then.
struct Blocks {
    bytes: Vec<u8>,
    at: usize,
    most: usize,
    lot: Lot,
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.lot.below(8) == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let most = (1 + self.lot.below(self.most)).min(buffer.len());
        let read = (&self.bytes[self.at..]).read(&mut buffer[..most])?;
        self.at += read;
        Ok(read)
    }
}

/// What a record comes to: its line, and its cells or the code that refuses it.
type Told = (u64, Result<Vec<String>, String>);

fn read(bytes: Blocks, layout: Option<Layout>) -> Result<Vec<Told>, String> {
    let content = |fault| match fault {
        FileFault::Content(why) => why,
        FileFault::Source(error) => panic!("{error}"),
    };
    let rules = FileRules {
        needed: &["a"],
        not_utf8: NotUtf8::FailsFile,
    };
    let mut records = Records::open(bytes, layout, rules).map_err(content)?;
    let mut told = Vec::new();
    while let Some(line) = records.next_line().map_err(content)? {
        let cells = match line.record {
            Ok(Record::Row(_, cells)) => Ok(cells.into_iter().map(str::to_owned).collect()),
            Ok(record) => Ok(vec![record.text("a").unwrap().unwrap().into_owned()]),
            Err(problem) => Err(problem.code.text()),
        };
        told.push((line.number, cells));
    }
    Ok(told)
}

/// Members of gzip, or frames of zstd, one after the other.
fn packed(bytes: &[u8], packing: Packing, lot: &mut Lot) -> Vec<u8> {
    let mut all = Vec::new();
    let mut rest = bytes;
    loop {
        let (member, after) = rest.split_at(lot.below(rest.len() + 1));
        if packing == Packing::Zstd {
            // A frame that holds no data says how many bytes are to be skipped.
            if lot.below(3) == 0 {
                all.extend_from_slice(b"\x5a\x2a\x4d\x18\x03\0\0\0abc");
            }
            all.extend(compress_to_vec(member, CompressionLevel::Fastest));
        } else {
            let mut gzip = flate2::write::GzEncoder::new(&mut all, flate2::Compression::fast());
            gzip.write_all(member).unwrap();
            gzip.finish().unwrap();
        }
        all.resize(all.len() + lot.below(3) * 400, 0);
        rest = after;
        if rest.is_empty() {
            return all;
        }
    }
}

/// A file, and what its records are.
fn drawn(format: Format, ends: &[&str], lot: &mut Lot) -> (String, Vec<Told>) {
    let (mut text, mut told, mut line) = (String::new(), Vec::new(), 1);
    if format == Format::Csv {
        text += lot.of(&["a,b", "\"a\",b", "b,a", "a,"]);
        text += lot.of(ends);
        line += 1;
    }
    let records = lot.below(12);
    for record in 0..records {
        // A blank line says nothing, but counts.
        for _ in 0..lot.below(6).saturating_sub(3) {
            text += lot.of(ends);
            line += 1;
        }
        let begins = line;
        let written = match format {
            Format::Csv => row(ends, &mut line, lot),
            Format::JsonLines => json(lot),
        };
        text += &written.0;
        told.push((begins, written.1));
        if record + 1 < records || lot.below(2) == 0 {
            text += lot.of(ends);
            line += 1;
        }
    }
    (text, told)
}

type Written = (String, Result<Vec<String>, String>);

fn row(ends: &[&str], line: &mut u64, lot: &mut Lot) -> Written {
    let (mut texts, mut cells) = (Vec::new(), Vec::new());
    // One cell too few or too many now and then; a row of nothing would be a blank line.
    let count = [2, 2, 2, 2, 1, 3][lot.below(6)];
    for _ in 0..count {
        let plain = lot.of(&["x", "5\" pipe", "ü€😀", " y ", "0"]);
        if lot.below(3) > 0 {
            texts.push(plain.to_owned());
            cells.push(plain.to_owned());
            continue;
        }
        let mut cell = String::new();
        for _ in 0..lot.below(4) {
            let part = lot.of(&["x", "\"", ",", "ü", "end", "{"]);
            if part == "end" {
                let end = lot.of(ends);
                // A line feed after a carriage return would be its second half.
                if !(cell.ends_with('\r') && end.starts_with('\n')) {
                    cell += end;
                    *line += 1;
                }
            } else {
                cell += part;
            }
        }
        texts.push(format!("\"{}\"", cell.replace('"', "\"\"")));
        cells.push(cell);
    }
    let told = if count == 2 {
        Ok(cells)
    } else {
        Err("not_csv".to_owned())
    };
    (texts.join(","), told)
}

fn json(lot: &mut Lot) -> Written {
    let value = lot.of(&["x", "ü€😀", "a,b"]);
    match lot.below(5) {
        0 => ("[]".to_owned(), Err("wrong_type".to_owned())),
        1 => ("{\"a\"".to_owned(), Err("not_json".to_owned())),
        _ => (
            format!(" {{\"a\":\"{value}\"}}\t"),
            Ok(vec![value.to_owned()]),
        ),
    }
}

#[test]
fn any_split_and_any_line_ends_give_the_same_records() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let seeds = match number("REVTRAIL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("REVTRAIL_FILES").unwrap_or(1_500),
    };
    let mut records = 0;
    for seed in seeds.clone() {
        let mut lot = Lot(seed);
        let format = [Format::Csv, Format::JsonLines][lot.below(2)];
        let ends: &[&str] = lot.of(&[
            &["\n"][..],
            &["\r\n"],
            &["\r"],
            &["\n", "\r\n"],
            // A blank line that ends in LF behind a line that ends in CR cannot be told from CR LF.
            &["\r", "\r\n"],
        ]);
        let (text, expected) = drawn(format, ends, &mut lot);
        let mut bytes = text.clone().into_bytes();
        if lot.below(3) == 0 {
            bytes.splice(..0, *b"\xef\xbb\xbf");
        }
        let packings = [Packing::Plain, Packing::Gzip, Packing::Zstd];
        let packing = packings[[0, 0, 0, 0, 1, 2][lot.below(6)]];
        if packing != Packing::Plain {
            bytes = packed(&bytes, packing, &mut lot);
        }
        let named = Layout { format, packing };
        // What has no name is known by its content, where there is any.
        let unnamed = text.trim_start().starts_with(['{', 'a', 'b', '"']) && lot.below(3) == 0;
        for most in [1, 2, 7, 300, 1 << 20] {
            let lot = Lot(seed ^ most as u64);
            let blocks = Blocks {
                bytes: bytes.clone(),
                at: 0,
                most,
                lot,
            };
            let got = read(blocks, (!unnamed).then_some(named));
            assert_eq!(
                got.as_ref(),
                Ok(&expected),
                "REVTRAIL_SEED={seed}, blocks of at most {most}: {text:?}"
            );
        }
        records += expected.len();
    }
    println!("files: {}", seeds.end - seeds.start);
    assert!(seeds.end - seeds.start == 1 || records > 1_000, "{records}");
}

/// Cut anywhere, or with any byte changed, a zstd file is never taken for another one.
#[test]
fn a_spoilt_zstd_file_is_refused() {
    let text = "a,b\n1,2\n3,4\n".repeat(40);
    let whole = compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
    let rows = |bytes: Vec<u8>| {
        let layout = Layout::of_name("x.csv.zst");
        let (at, most, lot) = (0, 1 << 20, Lot(1));
        read(
            Blocks {
                bytes,
                at,
                most,
                lot,
            },
            layout,
        )
    };
    let expected = rows(whole.clone()).unwrap();
    assert_eq!(expected.len(), 119);
    for end in 1..whole.len() {
        let why = rows(whole[..end].to_vec()).unwrap_err();
        let known = ["it ends in the middle", "not compressed with zstd"];
        assert!(known.iter().any(|part| why.contains(part)), "{end}: {why}");
    }
    for at in 0..whole.len() {
        let mut spoilt = whole.clone();
        spoilt[at] ^= 0x11;
        if let Ok(rows) = rows(spoilt) {
            assert_eq!(rows, expected, "{at}");
        }
    }
    for (bytes, why) in [
        (Vec::new(), "the file is empty"),
        (
            b"a,b\n".to_vec(),
            "compress it, or let its name not end in .zst",
        ),
        (b"\x1f\x8b\x08".to_vec(), "let its name end in .gz"),
        (
            compress_to_vec(&whole[..], CompressionLevel::Fastest),
            "packed twice",
        ),
        (
            [&whole[..], b"a,b\n"].concat(),
            "something that is no zstd follows its end",
        ),
        (
            [&whole[..], b"\x5a\x2a\x4d\x18\x09\0\0\0abc"].concat(),
            "it ends in the middle",
        ),
        (
            // A frame that asks for a window of 4 GiB.
            b"\x28\xb5\x2f\xfd\x00\xb0\x01\0\0".to_vec(),
            "pack it without --long",
        ),
    ] {
        let told = rows(bytes).unwrap_err();
        assert!(told.contains(why), "{why}: {told}");
    }
}
