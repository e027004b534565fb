//! Random worlds as files, through `revtrail attribute`: the same bytes however a run reads them, and what the second implementation
//! says of them. Among good rows stand rows that are rejected, and everything that makes a block one that is not plain.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Parser;
use flate2::Compression;
use flate2::write::GzEncoder;
use revtrail::attribute::{Exit, Tuning, Watched, run_tuned};
use revtrail::cli::{Cli, Command};
use revtrail_oracle::naive;
use revtrail_oracle::worlds::{Rng, world};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Map, Value};

use crate::support::tier::{seeds, spread};

pub(crate) mod parquet;

/// How many worlds, of a share and of all; `REVTRAIL_FILE_WORLDS` asks for others.
const WORLDS: [u64; 2] = [400, 5_000];

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A world as a file run can have it: one version of the settings, and no look-back.
fn file_world(seed: u64) -> naive::World {
    let mut world = world(seed);
    world.versions.truncate(1);
    world.versions[0].number = 1;
    world.versions[0].in_force_from = None;
    world.replays.clear();
    world.look_back = None;
    world
}

/// The text of a value in a cell.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(texts) => {
            let texts: Vec<&str> = texts.iter().map(|text| text.as_str().unwrap()).collect();
            texts.join("|")
        }
        other => other.to_string(),
    }
}

/// The cell of a value in CSV.
fn cell(rng: &mut Rng, value: Option<&Value>) -> Vec<u8> {
    let text = value.map(text).unwrap_or_default();
    match text.contains([',', '"', '\n', '\r']) || rng.chance(1) {
        true => format!("\"{}\"", text.replace('"', "\"\"")).into_bytes(),
        false => text.into_bytes(),
    }
}

/// Some bodies as columns, and among them rows that are no facts.
fn columns(
    rng: &mut Rng,
    bodies: &[Value],
    names: Vec<String>,
) -> Vec<(String, Vec<parquet::Cell>)> {
    let mut columns: Vec<_> = names.into_iter().map(|name| (name, Vec::new())).collect();
    let noisy = *rng.pick(&[0, 0, 3, 20]);
    for body in bodies {
        while rng.chance(noisy) {
            for (_, cells) in &mut columns {
                let cell: &[Option<&[u8]>] =
                    &[None, None, Some(b"x"), Some(b"a\nb"), Some(b"\xff")];
                cells.push(rng.pick(cell).map(<[u8]>::to_vec));
            }
        }
        for (name, cells) in &mut columns {
            let value = body.get(&*name).map(text);
            let value = value.filter(|text| !text.is_empty() || rng.chance(50));
            cells.push(value.map(String::into_bytes));
        }
    }
    columns
}

/// Rows that are no facts, and blank lines.
fn noise(rng: &mut Rng, is_csv: bool) -> &'static [u8] {
    let csv: [&[u8]; 7] = [
        b"",
        b"a,b",
        b"\"e",
        b"\"a\" b",
        b",,,,,,,",
        b"\"two\n\rlines\"",
        b"caf\xe9,x",
    ];
    let json: [&[u8]; 8] = [
        b"",
        b"  ",
        b"[]",
        b"{",
        b"{}",
        b"{\"event_id\":\"\\u0041\",\"order_id\":1e3}",
        b"{\"kind\":\"\xff\"}",
        b"{\"event_id\":\"a\",\"more\":[1],\"customer_id\":null} x",
    ];
    match is_csv {
        true => csv[rng.below(csv.len())],
        false => json[rng.below(json.len())],
    }
}

/// Some bodies as a file: its ending, and its bytes.
fn file(rng: &mut Rng, bodies: &[Value], needed: &[&str]) -> (&'static str, Vec<u8>) {
    let is_csv = rng.chance(60);
    let mut columns: Vec<String> = needed.iter().map(|name| (*name).to_owned()).collect();
    let recipients = ["customer_id", "email", "phone"];
    let named = |field: &&str| bodies.iter().any(|body| body.get(*field).is_some());
    if needed.contains(&"event_id") && !recipients.iter().any(named) {
        columns.push((*rng.pick(&recipients)).to_owned());
    }
    columns.push("unknown".to_owned());
    let fields = bodies
        .iter()
        .flat_map(|body| body.as_object().unwrap().keys());
    columns.extend(fields.cloned());
    columns.sort();
    columns.dedup();
    rng.shuffle(&mut columns);
    if rng.chance(25) {
        let columns = self::columns(rng, bodies, columns);
        return ("parquet", parquet::written(rng, &columns));
    }
    let ends: [&[u8]; 5] = [b"\n", b"\n", b"\n", b"\r\n", b"\r"];
    let end = ends[rng.below(ends.len())];
    let noisy = *rng.pick(&[0, 0, 3, 20]);
    let mut bytes = Vec::new();
    if is_csv {
        bytes.extend_from_slice(columns.join(",").as_bytes());
        bytes.extend_from_slice(end);
    }
    for body in bodies {
        while rng.chance(noisy) {
            bytes.extend_from_slice(noise(rng, is_csv));
            bytes.extend_from_slice(end);
        }
        let fields: &Map<String, Value> = body.as_object().unwrap();
        match is_csv {
            true => {
                let cells: Vec<Vec<u8>> = columns
                    .iter()
                    .map(|name| cell(rng, fields.get(name)))
                    .collect();
                bytes.extend_from_slice(&cells.join(&b","[..]));
            }
            false if rng.chance(10) => {
                // The last of two keys counts, and blanks mean nothing.
                let text = body.to_string();
                bytes
                    .extend_from_slice(format!(" {{\t\"kind\" : null ,{} ", &text[1..]).as_bytes());
            }
            false => bytes.extend_from_slice(body.to_string().as_bytes()),
        }
        bytes.extend_from_slice(end);
    }
    if rng.chance(30) {
        bytes.truncate(bytes.len().saturating_sub(end.len()));
    }
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
    match (is_csv, rng.below(20)) {
        (true, 0) => ("csv.zst", zstd(&bytes)),
        (true, 1) => ("csv.gz", gzip(&bytes)),
        (true, _) => ("csv", bytes),
        (false, 0) => ("jsonl.zst", zstd(&bytes)),
        (false, 1) => ("jsonl.gz", gzip(&bytes)),
        (false, _) => ("jsonl", bytes),
    }
}

/// Writes a world into a folder, each kind of fact as one or two files; the arguments of a run over it.
fn write(rng: &mut Rng, world: &naive::World, folder: &Path) -> Vec<String> {
    let mut args: Vec<String> = ["revtrail", "attribute"].map(str::to_owned).into();
    let campaigns = [
        &["campaign_id"][..],
        &[
            "order_id",
            "customer_id",
            "status",
            "total",
            "currency",
            "placed_at",
        ],
    ];
    let events = ["event_id", "kind", "channel", "campaign_id", "occurred_at"];
    for (option, bodies, needed) in [
        ("campaigns", &world.campaigns, campaigns[0]),
        ("events", &world.events, &events[..]),
        ("orders", &world.orders, campaigns[1]),
    ] {
        args.push(format!("--{option}"));
        let cut = rng.below(bodies.len() + 1);
        let parts = match rng.chance(50) {
            true => vec![&bodies[..cut], &bodies[cut..]],
            false => vec![&bodies[..]],
        };
        for (n, bodies) in parts.into_iter().enumerate() {
            let (ending, bytes) = file(rng, bodies, needed);
            let path = folder.join(format!("{option}-{n}.{ending}"));
            fs::write(&path, bytes).unwrap();
            args.push(path.to_str().unwrap().to_owned());
        }
    }
    let settings = folder.join("settings.json");
    fs::write(&settings, world.versions[0].settings.to_string()).unwrap();
    for (option, path) in [
        ("--settings", settings),
        ("--credits", folder.join("credits.csv")),
        ("--explain", folder.join("explain.jsonl")),
        ("--rejects", folder.join("rejects.csv")),
    ] {
        args.extend([option.to_owned(), path.to_str().unwrap().to_owned()]);
    }
    args.push("--json".to_owned());
    args
}

/// The same run without explanations. It leaves out early what can earn no order, since nobody asks why it did not.
fn without_explanations(args: &[String]) -> Vec<String> {
    let at = args.iter().position(|word| word == "--explain").unwrap();
    [&args[..at], &args[at + 2..]].concat()
}

/// All that a run says: how it ends, the report, the summary but for the time, and its files.
fn said(args: &[String], folder: &Path, tuning: &Tuning) -> BTreeMap<&'static str, String> {
    let Command::Attribute(args) = Cli::parse_from(args).command else {
        unreachable!("the words say attribute")
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run_tuned(&args, tuning, &mut out, &mut err, Watched::default());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let err = text(err);
    assert!(matches!(exit, Exit::Clean | Exit::Rejected), "{err}");
    let (before, after) = err.split_once(" in ").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    let read = |name| fs::read_to_string(folder.join(name)).unwrap();
    BTreeMap::from([
        ("exit", format!("{exit:?}")),
        ("report", text(out)),
        ("summary", format!("{before}\n{after}")),
        ("credits", read("credits.csv")),
        ("explanations", read("explain.jsonl")),
        ("rejects", read("rejects.csv")),
    ])
}

/// Compares what a run says with the second implementation.
fn judge(said: &BTreeMap<&str, String>, world: &naive::World) {
    let facts = naive::Facts::read(world);
    let mut explained = 0;
    for line in said["explanations"].lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let fields = line.as_object_mut().unwrap();
        fields.remove("sale_formula");
        fields.remove("decided");
        let order_id = line["order_id"].as_str().unwrap();
        assert_eq!(line, facts.attribution(order_id));
        explained += 1;
    }
    let ids = world.orders.iter().map(|order| order["order_id"].as_str());
    let ids: std::collections::BTreeSet<_> = ids.collect();
    assert_eq!(explained, ids.len());
    let mut report: Value = serde_json::from_str(&said["report"]).unwrap();
    for row in report["campaigns"].as_array_mut().unwrap() {
        row.as_object_mut().unwrap().remove("sale_formula");
    }
    let expected = facts.campaign_report(None, None, None);
    for (key, expected) in expected.as_object().unwrap() {
        if key != "sort_currency" {
            assert_eq!(report[key], *expected, "{key}");
        }
    }
}

#[test]
fn a_run_says_the_same_however_it_reads() {
    let [share, all] = WORLDS;
    let seeds: Vec<u64> = seeds("REVTRAIL_FILE_WORLDS", share, all).collect();
    let replay = |seed: &u64| format!("REVTRAIL_SEED={seed} cargo t --test it rules::files");
    let ended = spread(&seeds, replay, |&seed| {
        let rng = &mut Rng::new(seed ^ 0xF11E);
        let world = file_world(seed);
        let folder =
            std::env::temp_dir().join(format!("revtrail-files-{}-{seed}", std::process::id()));
        let folder = Folder(folder);
        fs::create_dir_all(&folder.0).unwrap();
        let args = write(rng, &world, &folder.0);
        let one_by_one = Tuning {
            threads: 1,
            block_bytes: 1 << 20,
            by_blocks: false,
            memory_bytes: 1 << 30,
            partitions: Some(1),
        };
        let expected = said(&args, &folder.0, &one_by_one);
        judge(&expected, &world);
        // The file of explanations stays where it is.
        let shorter = without_explanations(&args);
        for threads in [1, 2, 3] {
            let tuning = Tuning {
                threads,
                block_bytes: *rng.pick(&[100, 300, 1_000, 1 << 20]),
                by_blocks: true,
                memory_bytes: *rng.pick(&[0, 1_000, 1 << 30]),
                partitions: *rng.pick(&[None, Some(2), Some(300)]),
            };
            let args = if rng.chance(50) { &args } else { &shorter };
            assert_eq!(said(args, &folder.0, &tuning), expected, "{tuning:?}");
        }
        expected["exit"] == "Clean"
    });
    let clean = ended.iter().filter(|clean| **clean).count();
    println!(
        "worlds as files: {}, of which {clean} are clean",
        ended.len()
    );
}
