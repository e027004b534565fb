//! The built program over files: standard input, standard output, and how it ends.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const EVENTS: &str = "event_id,kind,channel,campaign_id,customer_id,occurred_at\ne2,clicked,email,spring,c1,2026-11-20T10:15:00Z\n";
const ORDERS: &str = "order_id,customer_id,status,total,currency,placed_at\no1,c1,COMPLETE,100.00,USD,2026-11-20T11:00:00Z\n";
const LINE: &str = "{\"event_id\":\"e2\",\"kind\":\"clicked\",\"channel\":\"email\",\"campaign_id\":\"spring\",\"customer_id\":\"c1\",\"occurred_at\":\"2026-11-20T10:15:00Z\"}\n";
const CREDITED: &str = "o1,c1,spring,email,,clicked,";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("revtrail-{name}-{}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        for (name, text) in [("ev.csv", EVENTS), ("or.csv", ORDERS)] {
            fs::write(folder.0.join(name), text).unwrap();
        }
        folder
    }

    /// Runs in the folder; the exit code, and what standard output and error say.
    fn run(&self, line: &str, input: &[u8], out: Stdio) -> (i32, String, String) {
        let mut run = Command::new(env!("CARGO_BIN_EXE_revtrail"))
            .arg("attribute")
            .args(line.split(' '))
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that refuses its arguments reads nothing.
        let _ = run.stdin.take().unwrap().write_all(input);
        let ended = run.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = ended.status.code().unwrap();
        (code, text(ended.stdout), text(ended.stderr))
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn gz(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zst(text: &str) -> Vec<u8> {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
}

#[test]
fn one_input_may_be_standard_input_whatever_it_holds() {
    let folder = Folder::new("input");
    let cr = EVENTS.replace('\n', "\r");
    for (line, input, expected) in [
        ("--events - --orders or.csv", EVENTS.as_bytes(), 0),
        ("--events - --orders or.csv", LINE.as_bytes(), 0),
        ("--events - --orders or.csv", &gz(EVENTS), 0),
        ("--events - --orders or.csv", &gz(LINE), 0),
        ("--events - --orders or.csv", &zst(EVENTS), 0),
        ("--events - --orders or.csv", &zst(LINE), 0),
        ("--events - --orders or.csv", cr.as_bytes(), 0),
        ("--events /dev/stdin --orders or.csv", EVENTS.as_bytes(), 0),
        ("--events ev.csv --orders -", ORDERS.as_bytes(), 0),
        (
            "--events ev.csv --orders or.csv --campaigns -",
            b"campaign_id\nspring\n",
            0,
        ),
        (
            "--events ev.csv --orders or.csv --settings -",
            b"{\"preset\":\"redbox\"}",
            0,
        ),
        ("--events ev.csv --orders or.csv --settings -", b"{", 2),
        ("--events - - --orders or.csv", EVENTS.as_bytes(), 2),
        ("--events - --orders -", EVENTS.as_bytes(), 2),
        ("--events - --orders /dev/stdin", EVENTS.as_bytes(), 2),
        (
            "--events - --orders or.csv --settings -",
            EVENTS.as_bytes(),
            2,
        ),
        ("--events - --orders or.csv", b"", 1),
        ("--events - --orders or.csv", b"PK\x03\x04\x14\0", 1),
        ("--events - --orders or.csv", b"event_id\ne1\n", 1),
    ] {
        let (code, out, err) = folder.run(&format!("{line} --credits -"), input, Stdio::piped());
        assert_eq!(code, expected, "{line}: {err}");
        assert_eq!(out.contains(CREDITED), code == 0, "{line}: {out}");
    }
}

/// Case 1, as it was reported: the paths are those of the working directory, and of the shell's redirections.
#[cfg(unix)]
#[test]
fn case_01_no_input_is_overwritten() {
    let folder = Folder::new("overwritten");
    let absolute = folder.0.join("or.csv").display().to_string();
    for outputs in [
        "--credits or.csv",
        "--credits ./or.csv",
        &format!("--credits {absolute}"),
        "--credits out.csv --explain ./out.csv",
        "--credits - --explain /dev/stdout",
    ] {
        let line = format!("--events ev.csv --orders or.csv {outputs}");
        let (code, out, err) = folder.run(&line, b"", Stdio::piped());
        assert_eq!((code, out.as_str()), (2, ""), "{outputs}: {err}");
        assert_eq!(folder.text("or.csv"), ORDERS, "{outputs}");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2, "{outputs}");
    }
    // What the shell opens is a file as well.
    for (line, into) in [
        ("--events ev.csv --orders or.csv", "or.csv"),
        ("--events ev.csv --orders or.csv --credits -", "ev.csv"),
        (
            "--events ev.csv --orders or.csv --credits out.csv",
            "out.csv",
        ),
    ] {
        let mut options = File::options();
        let opened = options.append(true).create(true).open(folder.0.join(into));
        let (code, _, err) = folder.run(line, b"", opened.unwrap().into());
        assert_eq!(code, 2, "{line} >> {into}: {err}");
        assert_eq!(
            (folder.text("ev.csv"), folder.text("or.csv")),
            (EVENTS.into(), ORDERS.into())
        );
    }
    let out = File::create(folder.0.join("table.txt")).unwrap();
    let line = "--events ev.csv --orders or.csv --credits out.csv";
    assert_eq!(folder.run(line, b"", out.into()).0, 0);
    assert!(folder.text("table.txt").contains("spring"));
    // By its path standard output is still one, and no file is put in its place.
    let out = File::create(folder.0.join("table.txt")).unwrap();
    let line = "--events ev.csv --orders or.csv --credits /dev/stdout";
    let (code, _, err) = folder.run(line, b"", out.into());
    assert_eq!(code, 0, "{err}");
    assert!(folder.text("table.txt").starts_with("order_id,"));
    assert!(err.contains("spring"), "{err}");
}

/// Rows that are read while ^C comes: more than a pipe holds, so some of them were read when all are written.
#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing_half_written() {
    use rustix::process::{Pid, Signal, kill_process};

    let folder = Folder::new("interrupted");
    let files = || fs::read_dir(&folder.0).unwrap().count();
    let mut run = Command::new(env!("CARGO_BIN_EXE_revtrail"))
        .args("attribute --events - --orders or.csv --rejects out.csv".split(' '))
        .current_dir(&folder.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut rows = run.stdin.take().unwrap();
    let text = [EVENTS, &"e,,,,,\n".repeat(200_000)].concat();
    rows.write_all(text.as_bytes()).unwrap();
    assert_eq!(files(), 3, "the two inputs, and a part");
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(files(), 2);
}

/// A disk that is full while the larger of two files is written: the other one does not appear either.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let folder = Folder::new("full");
    let more: String = (2..6)
        .map(|n| format!("o{n},c1,COMPLETE,1,USD,2026-11-20T11:00:00Z\n"))
        .collect();
    fs::write(folder.0.join("or.csv"), [ORDERS, &more].concat()).unwrap();
    let files = || fs::read_dir(&folder.0).unwrap().count();
    for (outputs, expected) in [
        ("--credits c.csv --rejects r.csv", 0),
        ("--credits c.csv --explain x.jsonl --rejects r.csv", 1),
    ] {
        // No file gets larger than two blocks, and whoever writes on is told so.
        let limits = "trap '' XFSZ; ulimit -f 2; exec \"$0\" \"$@\"";
        let line = format!("attribute --events ev.csv --orders or.csv {outputs}");
        let run = Command::new("sh")
            .args(["-c", limits, env!("CARGO_BIN_EXE_revtrail")])
            .args(line.split(' '))
            .current_dir(&folder.0)
            .output()
            .unwrap();
        let err = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(expected), "{err}");
        assert_eq!(
            err.contains("failed to write x.jsonl"),
            expected == 1,
            "{err}"
        );
        assert_eq!(files(), if expected == 0 { 4 } else { 2 }, "{outputs}");
        for name in ["c.csv", "r.csv"] {
            drop(fs::remove_file(folder.0.join(name)));
        }
    }
}
