//! What reading a file takes, whatever its size: files are made on the fly, and the most that the process ever held is looked at.
//!
//! `REVTRAIL_ROWS=10000000 cargo test --release -p redemption-batch --test memory -- --nocapture` asks for another number of rows.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::io::{Cursor, Read, Write};
use std::time::Instant as Moment;

use redemption_batch::rows::rows;
use revtrail_core::promotion::redemption::Redemption;
use revtrail_core::record::AcceptanceWindow;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_files::{FileFault, Format, Layout, Packing};

/// The most that this process may ever hold, in KiB, whatever the file.
const HELD_KIB_MAX: u64 = 64 << 10;
/// Rows of a block that is repeated.
const BLOCK_ROWS: usize = 1_000;

const HEADER: &str =
    "redemption_id,promotion_id,customer_id,voucher_code,redeemed_at,reward_amount,currency\n";
const ROW: &str =
    "r-000123456789,spring-2026,customer-000123,SAVE10,2026-11-20T10:15:00Z,5.00,EUR\n";
const JSON: &str = "{\"redemption_id\":\"r-000123456789\",\"promotion_id\":\"spring-2026\",\"customer_id\":\"customer-000123\",\"reward_amount\":\"5.00\",\"currency\":\"EUR\"}\n";

/// A head, and a body again and again.
struct Repeated {
    head: Cursor<Vec<u8>>,
    body: Vec<u8>,
    at: usize,
    times: usize,
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.head.read(buffer)?;
        if read > 0 || self.times == 0 {
            return Ok(read);
        }
        let read = (&self.body[self.at..]).read(buffer)?;
        self.at += read;
        if self.at == self.body.len() {
            (self.at, self.times) = (0, self.times - 1);
        }
        Ok(read)
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn repeated(head: &[u8], body: &[u8], times: usize, gzipped: bool) -> Repeated {
    let (head, body) = match gzipped {
        true => (packed(head), packed(body)),
        false => (head.to_vec(), body.to_vec()),
    };
    let head = Cursor::new(head);
    Repeated {
        head,
        body,
        at: 0,
        times,
    }
}

/// Rows that were read as redemptions, and others; and how it ended.
fn count(bytes: Repeated, format: Format, gzipped: bool) -> (usize, usize, Result<(), String>) {
    let acceptance_window = AcceptanceWindow {
        now: Instant::parse("2026-11-20T12:00:00Z").unwrap(),
        retention: Retention::DEFAULT,
    };
    let packing = match gzipped {
        true => Packing::Gzip,
        false => Packing::Plain,
    };
    let mut rows = rows(bytes, Layout { format, packing }).unwrap();
    let (mut good, mut bad) = (0, 0);
    loop {
        match rows.next_line() {
            Ok(None) => return (good, bad, Ok(())),
            Ok(Some(line)) => match line
                .record
                .and_then(|record| Redemption::read(&record, &acceptance_window))
            {
                Ok(_) => good += 1,
                Err(_) => bad += 1,
            },
            Err(FileFault::Content(why)) => return (good, bad, Err(why)),
            Err(FileFault::Source(error)) => panic!("{error}"),
        }
    }
}

/// The most that this process ever held, in KiB; `None` where the system does not tell.
fn held_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn files_of_any_size_take_as_much_as_one_record() {
    let rows: usize = std::env::var("REVTRAIL_ROWS").map_or(200_000, |text| text.parse().unwrap());
    let blocks = rows.div_ceil(BLOCK_ROWS);
    let csv = ROW.repeat(BLOCK_ROWS);
    let json = JSON.repeat(BLOCK_ROWS);
    for (name, head, body, format) in [
        ("CSV", HEADER, &csv, Format::Csv),
        ("JSON lines", "", &json, Format::JsonLines),
    ] {
        for gzipped in [false, true] {
            let began = Moment::now();
            let file = repeated(head.as_bytes(), body.as_bytes(), blocks, gzipped);
            let read = count(file, format, gzipped);
            assert_eq!(read, (blocks * BLOCK_ROWS, 0, Ok(())), "{name}");
            let seconds = began.elapsed().as_secs_f64();
            println!(
                "{name}, gzipped {gzipped}: {:.0} rows a second",
                rows as f64 / seconds
            );
        }
    }

    // Files that are made to hurt: they end, and say why. The last is a gzip bomb.
    let hurts = |byte: u8, format: Format, gzipped: bool| {
        let head = if format == Format::Csv { HEADER } else { "" };
        // 2 GiB, unpacked.
        let file = repeated(head.as_bytes(), &vec![byte; 1 << 20], 2_048, gzipped);
        let (good, bad, ended) = count(file, format, gzipped);
        let why = ended.unwrap_err();
        assert!(
            (good, bad) == (0, 0) && why.starts_with("there is no record in 1 GiB"),
            "{byte} {format:?}: {good} {bad} {why}"
        );
    };
    std::thread::scope(|scope| {
        for (byte, format, gzipped) in [
            (b'\n', Format::Csv, false),
            (b'\n', Format::JsonLines, true),
            (b'x', Format::Csv, false),
            (b'x', Format::JsonLines, false),
        ] {
            scope.spawn(move || hurts(byte, format, gzipped));
        }
    });
    // Each line opens a quote wherever one begins to read, and closes it nowhere.
    let quotes = "a\",\"b\n".repeat(64 << 10);
    let (good, bad, ended) = count(
        repeated(HEADER.as_bytes(), quotes.as_bytes(), 16, false),
        Format::Csv,
        false,
    );
    assert!(good == 0 && bad < 10_000, "{good} {bad}");
    assert!(
        ended
            .unwrap_err()
            .contains("again and again quotes are opened")
    );

    if let Some(held) = held_kib() {
        println!("held at most: {} MiB", held >> 10);
        assert!(held <= HELD_KIB_MAX, "{held} KiB");
    }
}
