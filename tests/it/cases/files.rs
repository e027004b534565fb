//! Cases from the world: what public bug reports found wrong, each with its whole kind; numbers are those of the list that `tests/it/cases/README.md` tells of.
//!
//! Files, whoever reads them: the command line, the inbox, vouchers as CSV. Standard input and output are played in
//! `crates/revtrail/tests/attribute.rs`, with the built program.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Parser;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Method;
use redemption_batch::{BatchEnd, BatchLimits};
use revtrail::attribute::{Exit, Watched, run};
use revtrail::cli::{Cli, Command};
use revtrail_core::value::time::Instant;
use revtrail_store::random_hex;
use serde_json::{Value, json};

use crate::faults::batches::batches;
use crate::support::fixtures::NOW;
use crate::support::root::Root;
use crate::support::service::{ADMIN, Service};

const EVENTS: &str = "event_id,kind,channel,campaign_id,customer_id,occurred_at\n";
const EVENT: &str = "e2,clicked,email,spring,c1,2026-11-20T10:15:00Z\n";
const ORDERS: &str = "order_id,customer_id,status,total,currency,placed_at\n";
const ORDER: &str = "o1,c1,COMPLETE,100.00,USD,2026-11-20T11:00:00Z\n";
const REDEMPTIONS: &str = "redemption_id,promotion_id,customer_id\n";

fn ev() -> Vec<u8> {
    [EVENTS, EVENT].concat().into_bytes()
}

fn or() -> Vec<u8> {
    [ORDERS, ORDER].concat().into_bytes()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn utf16(text: &str, bytes: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

/// The same bytes with other line ends.
fn ended(text: &str, ends: &[&str]) -> Vec<u8> {
    let mut other = String::new();
    for (at, line) in text.split_inclusive('\n').enumerate() {
        match line.strip_suffix('\n') {
            Some(line) => other += &format!("{line}{}", ends[at % ends.len()]),
            None => other += line,
        }
    }
    other.into_bytes()
}

/// A blank line that ends in LF behind a line that ends in CR is no line: the two are one CR LF.
const ENDS: [&[&str]; 5] = [
    &["\n"],
    &["\r\n"],
    &["\r"],
    &["\r\n", "\r"],
    &["\n", "\r\n"],
];

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let name = format!("revtrail-cases-{}", random_hex());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        for (name, bytes) in files {
            fs::write(folder.0.join(name), bytes).unwrap();
        }
        folder
    }

    /// Runs as from the command line, where `@` stands for the folder; how it ends, and what standard output and error say.
    fn run(&self, line: &str) -> (Exit, String, String) {
        let line = line.replace('@', &format!("{}/", self.0.display()));
        let words = ["revtrail", "attribute"].into_iter().chain(line.split(' '));
        let Command::Attribute(args) = Cli::parse_from(words).command else {
            unreachable!("the words say attribute")
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = run(&args, &mut out, &mut err, Watched::default());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (exit, text(out), text(err))
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// Every file with its content.
    fn all(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(&self.0).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.is_file());
        files
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    }

    /// `file:line:code` of each rejected row, and the details.
    fn rejects(&self) -> (Vec<String>, String) {
        let folder = format!("{}/", self.0.display());
        let text = self.text("rejects.csv").replace(&folder, "");
        let mut rows = csv::Reader::from_reader(text.as_bytes());
        let rows = rows.records().map(|row| row.unwrap());
        let places = rows.map(|row| format!("{}:{}:{}", &row[0], &row[1], &row[2]));
        (places.collect(), text)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Runs over the one file, with what the other one needs.
fn attribute(option: &str, name: &str, bytes: &[u8]) -> (Exit, String, String) {
    let folder = Folder::new(&[("ev.csv", &ev()), ("or.csv", &or()), (name, bytes)]);
    let line = match option {
        "--events" => format!("--events @{name} --orders @or.csv"),
        "--orders" => format!("--events @ev.csv --orders @{name}"),
        _ => format!("--events @ev.csv --orders @or.csv {option} @{name}"),
    };
    let (exit, _, err) = folder.run(&format!("{line} --credits @credits.csv"));
    let credits = folder.0.join("credits.csv");
    let credits = fs::read_to_string(credits).unwrap_or_default();
    (exit, credits, err)
}

/// What became of a file in the inbox.
async fn batch(name: &str, bytes: &[u8]) -> Value {
    let (service, root) = (Service::at(NOW).await, Root::new());
    service.make("m", &json!({})).await;
    let promotion = json!({"name": "P", "kind": "global", "tracking_from": "2026-11-01T00:00:00Z"});
    let made = service
        .put("/v1/marketplaces/m/promotions/p-1", &promotion)
        .await;
    assert!(made.0.is_success(), "{}", made.1);
    let file = root.put(name, bytes);
    let etag = root.folder().etag(&file.key).unwrap();
    let clock = || Instant::parse(NOW).unwrap();
    let batches = batches(&service.store, &root, BatchLimits::DEFAULT);
    let turn = batches.work(&file, &etag, &clock, Instant::MAX).await;
    assert_eq!(turn.unwrap(), BatchEnd::Ended);
    service.get("/v1/marketplaces/m/batches").await["batches"][0].take()
}

/// Posts vouchers as CSV; the status, the answer, and the codes that there are.
async fn vouchers(body: &[u8]) -> (u16, Value, Vec<String>) {
    let service = Service::at(NOW).await;
    service.make("m", &json!({})).await;
    let promotion = json!({"name": "P", "kind": "global"});
    service
        .put("/v1/marketplaces/m/promotions/p", &promotion)
        .await;
    let path = "/v1/marketplaces/m/promotions/p/vouchers";
    let media = Some("text/csv");
    let (status, _, told) = service
        .raw(Method::POST, path, Some(ADMIN), media, body.into())
        .await;
    let listed = crate::support::promotion_lists::vouchers(&service, "p", 60).await;
    let codes = listed.as_object().unwrap().iter();
    let codes = codes.map(|(code, shown)| format!("{code}:{}", shown["limit"]));
    let told = serde_json::from_slice(&told).unwrap();
    (status.as_u16(), told, codes.collect())
}

/// Checks that a body is refused for these fields, and makes nothing.
async fn refused(body: &[u8], fields: &[&str]) -> Value {
    let shown = String::from_utf8_lossy(body).into_owned();
    let (status, told, made) = vouchers(body).await;
    assert_eq!((status, made.len()), (422, 0), "{shown:?}: {told}");
    let errors = told["errors"].as_array().unwrap();
    let got = errors.iter().map(|error| {
        let (field, code) = (&error["field"], &error["code"]);
        format!("{} {}", field.as_str().unwrap(), code.as_str().unwrap())
    });
    assert_eq!(got.collect::<Vec<_>>(), fields, "{shown:?}: {told}");
    told
}

fn link(target: impl AsRef<Path>, at: &Path) {
    std::os::unix::fs::symlink(target, at).unwrap();
}

#[test]
fn case_01_no_output_is_an_input_or_another_output_however_it_is_spelled() {
    let folder = Folder::new(&[
        ("ev.csv", &ev()),
        ("or.csv", &or()),
        ("ca.csv", b"campaign_id,name\nspring,Spring\n"),
        ("s.json", b"{\"preset\":\"redbox\"}"),
        ("redbox", b"no settings"),
    ]);
    let at = |name: &str| folder.0.join(name);
    link("or.csv", &at("link.csv"));
    link(at("link.csv"), &at("chain.csv"));
    fs::hard_link(at("or.csv"), at("hard.csv")).unwrap();
    link(".", &at("same"));
    link("new.csv", &at("dangling.csv"));
    fs::create_dir(at("below")).unwrap();
    let up = "../".repeat(std::env::current_dir().unwrap().components().count());
    let name = folder.0.file_name().unwrap().to_str().unwrap();
    let inputs = "--events @ev.csv --orders @or.csv --campaigns @ca.csv --settings @s.json";
    let before = folder.all();
    for outputs in [
        "--credits @or.csv".to_owned(),
        "--credits @./or.csv".to_owned(),
        "--credits @below/../or.csv".to_owned(),
        format!("--credits @../{name}/or.csv"),
        format!("--credits {up}{}/or.csv", folder.0.display()),
        "--credits @link.csv".to_owned(),
        "--credits @chain.csv".to_owned(),
        "--credits @hard.csv".to_owned(),
        "--credits @same/or.csv".to_owned(),
        "--credits @same/same/link.csv".to_owned(),
        "--explain @./ev.csv".to_owned(),
        "--rejects @same/ca.csv".to_owned(),
        "--explain @same/s.json".to_owned(),
        "--credits @out.csv --explain @out.csv".to_owned(),
        "--credits @out.csv --explain @./out.csv".to_owned(),
        "--credits @same/out.csv --rejects @below/../out.csv".to_owned(),
        "--credits @new.csv --explain @dangling.csv".to_owned(),
        "--explain @new.csv --rejects @same/dangling.csv".to_owned(),
        "--credits - --explain -".to_owned(),
        "--credits - --explain /dev/stdout".to_owned(),
        "--credits /dev/stdout --json".to_owned(),
    ] {
        let (exit, out, err) = folder.run(&format!("{inputs} {outputs}"));
        assert_eq!((exit, out.as_str()), (Exit::Usage, ""), "{outputs}: {err}");
        assert!(err.contains("is the same file as"), "{outputs}: {err}");
        assert_eq!(folder.all(), before, "{outputs}");
    }
    // The input may be the one that is spelled otherwise.
    let (exit, ..) = folder.run("--events @ev.csv --orders @same/chain.csv --credits @hard.csv");
    assert_eq!((exit, folder.all()), (Exit::Usage, before));

    // What only looks the same is another file: a preset is none, and what lies beside an output is not its part.
    let part = format!("new.csv.{}.part", std::process::id());
    fs::write(at(&part), "somebody's").unwrap();
    let outputs = "--credits @dangling.csv --explain @below/new.csv --rejects @same/redbox";
    let line = "--events @ev.csv @ev.csv --orders @or.csv --settings redbox";
    let (exit, _, err) = folder.run(&format!("{line} {outputs}"));
    assert_eq!(exit, Exit::Clean, "{err}");
    assert!(folder.text("new.csv").contains("o1,c1,spring"));
    assert_eq!(
        fs::read_link(at("dangling.csv")).unwrap(),
        Path::new("new.csv")
    );
    assert!(
        folder
            .text("below/new.csv")
            .starts_with("{\"order_id\":\"o1\"")
    );
    assert_eq!(folder.text("redbox"), "file,line,code,detail\n");
    assert_eq!(folder.text(&part), "somebody's");
}

#[test]
fn case_01_an_output_is_never_the_part_of_another() {
    let folder = Folder::new(&[("ev.csv", &ev()), ("or.csv", &or())]);
    let line = "--events @ev.csv --orders @or.csv --rejects @r.csv --credits @r.csv.part";
    let (exit, _, err) = folder.run(line);
    assert_eq!(exit, Exit::Clean, "{err}");
    assert_eq!(folder.text("r.csv"), "file,line,code,detail\n");
    assert!(folder.text("r.csv.part").starts_with("order_id,"));
}

/// A header with one optional column last: read as one line, such a file has all its needed columns.
#[test]
fn case_02_rows_are_the_same_whatever_their_lines_end_in() {
    let events = "event_id,kind,channel,campaign_id,customer_id,occurred_at,url\n\
        e0,seen,email,spring,c1,2026-11-20T10:15:00Z,\n\
        \n\
        e1,opened,email,spring,c1,2026-11-20T10:15:00Z,\"a\nb\n\"\n\
        e2,clicked,email,\"spring\",c1,2026-11-20T10:15:00Z,https://example.com\n\
        \"e3,clicked,email,spring,c1,2026-11-20T10:15:00Z,\n\
        e4,clicked\n";
    let orders = "order_id,customer_id,status,total,currency,placed_at,source\n\
        \n\
        o1,c1,COMPLETE,100.00,USD,2026-11-20T11:00:00Z,website\n\
        o2,c1,LOST,100.00,USD,2026-11-20T11:00:00Z,\n";
    let lines = "{\"event_id\":\"e9\",\"kind\":\"sent\",\"channel\":\"email\",\"campaign_id\":\"spring\",\"customer_id\":\"c1\",\"occurred_at\":\"2026-11-20T09:00:00Z\"}\n\n[]\n";
    let mut expected = None;
    for ends in ENDS {
        for gzipped in [false, true] {
            let pack = |bytes: Vec<u8>| if gzipped { gz(&bytes) } else { bytes };
            let ending = if gzipped { ".gz" } else { "" };
            let (e, o) = (format!("e.csv{ending}"), format!("o.csv{ending}"));
            let j = format!("j.jsonl{ending}");
            let folder = Folder::new(&[
                (&e, &pack(ended(events, ends))),
                (&o, &pack(ended(orders, ends))),
                (&j, &pack(ended(lines, ends))),
            ]);
            let line = format!("--events @{e} @{j} --orders @{o} --rejects @rejects.csv");
            let (exit, out, err) = folder.run(&format!("{line} --credits @credits.csv"));
            assert_eq!(exit, Exit::Rejected, "{ends:?}: {err}");
            let (rejects, _) = folder.rejects();
            let rejects: Vec<String> = rejects.iter().map(|row| row.replace(".gz", "")).collect();
            let got = (rejects, folder.text("credits.csv"), out);
            let expected = expected.get_or_insert_with(|| got.clone());
            assert_eq!(got, *expected, "{ends:?}, gzipped {gzipped}");
        }
    }
    let (rejects, credits, _) = expected.unwrap();
    let places = [
        "e.csv:2:unknown_kind",
        "e.csv:8:not_csv",
        "e.csv:9:not_csv",
        "j.jsonl:3:wrong_type",
        "o.csv:4:unknown_status",
    ];
    assert_eq!(rejects, places);
    assert!(credits.contains("o1,c1,spring,email,,clicked"), "{credits}");
}

#[tokio::test]
async fn case_02_batches_and_vouchers_end_their_lines_alike() {
    let csv = "redemption_id,promotion_id,customer_id,order_id\n\
        r-1,p-1,c-1,o-1\n\
        \n\
        r-2,p-1,\"c\n2\",\n\
        r-3,p-1,c-3,\"o\n3\"\n\
        r-4,p-1,c-4,\n";
    let jsonl = "{\"redemption_id\":\"r-1\",\"promotion_id\":\"p-1\",\"customer_id\":\"c-1\"}\n\n{\"redemption_id\":\"r-2\",\"promotion_id\":\"p-1\",\"customer_id\":\"c-1\"}\n";
    for ends in ENDS {
        for (name, text, counts) in [("a.csv", csv, [4, 2]), ("a.jsonl", jsonl, [2, 2])] {
            let told = batch(name, &ended(text, ends)).await;
            let got = [&told["rows"], &told["accepted"]].map(|count| count.as_u64().unwrap());
            assert_eq!(
                (&told["state"], got),
                (&json!("done"), counts),
                "{ends:?}: {told}"
            );
        }
        let (status, told, made) = vouchers(&ended("code,limit\nA,1\n\nB,\n", ends)).await;
        assert_eq!(status, 201, "{ends:?}: {told}");
        assert_eq!(made, ["A:1", "B:null"], "{ends:?}");
    }
}

#[tokio::test]
async fn case_03_a_column_that_is_named_twice_fails_the_file() {
    for (option, header, row, column) in [
        (
            "--orders",
            "refunded_total,refunded_total",
            "100.00,0",
            "refunded_total",
        ),
        (
            "--orders",
            "updated_at,source,updated_at",
            ",,",
            "updated_at",
        ),
        ("--orders", "note,\"note\"", ",", "note"),
        ("--orders", "total", "100.00", "total"),
        ("--events", "machine,machine", "true,false", "machine"),
        ("--events", "message_id,message_id", ",", "message_id"),
        ("--events", "größe,größe", ",", "größe"),
        ("--events", "event_id", "e9", "event_id"),
        ("--campaigns", "tags,tags", "a,b", "tags"),
        ("--campaigns", "x,x", ",", "x"),
    ] {
        let (first, values) = match option {
            "--orders" => (ORDERS, ORDER),
            "--events" => (EVENTS, EVENT),
            _ => ("campaign_id\n", "spring\n"),
        };
        let text = format!(
            "{},{header}\n{},{row}\n",
            first.trim_end(),
            values.trim_end()
        );
        for (name, bytes) in [
            ("x.csv", text.clone().into_bytes()),
            ("x.csv.gz", gz(text.as_bytes())),
        ] {
            let (exit, credits, err) = attribute(option, name, &bytes);
            assert_eq!(
                (exit, credits.as_str()),
                (Exit::Failed, ""),
                "{header}: {err}"
            );
            let told = format!("names the column {column} twice");
            assert!(err.contains(&told) && err.contains(name), "{header}: {err}");
        }
    }
    // Names are compared to the byte, and columns without a name, as spreadsheets leave them at the right, are ignored.
    let text = format!(
        "{},Source,source,,\n{},a,b,,\n",
        ORDERS.trim_end(),
        ORDER.trim_end()
    );
    assert_eq!(
        attribute("--orders", "x.csv", text.as_bytes()).0,
        Exit::Clean
    );
    let mut bytes = format!("{},", ORDERS.trim_end()).into_bytes();
    bytes.extend_from_slice(
        b"gr\xfc\xdfe,gr\xf6\xdfe\no1,c1,COMPLETE,1,USD,2026-11-20T11:00:00Z,a,b\n",
    );
    assert_eq!(attribute("--orders", "x.csv", &bytes).0, Exit::Clean);

    for column in ["order_id", "note", "redemption_id"] {
        let header = REDEMPTIONS.trim_end();
        let told = batch(
            "a.csv",
            format!("{header},{column},{column}\nr-1,p-1,c-1,a,b\n").as_bytes(),
        )
        .await;
        assert_eq!(
            (&told["state"], &told["rows"]),
            (&json!("failed"), &json!(0)),
            "{told}"
        );
        let detail = told["detail"].as_str().unwrap();
        assert!(
            detail.contains(&format!("the column {column} twice")),
            "{detail}"
        );
    }
    for (body, column) in [
        ("code,limit,limit\nA,1,2\n", "limit"),
        ("code,limit,note,note\nA,1,,\n", "note"),
    ] {
        let told = refused(body.as_bytes(), &["line 1 not_csv"]).await;
        assert!(told["detail"].as_str().unwrap().contains(column), "{told}");
    }
}

#[tokio::test]
async fn case_08_vouchers_that_are_no_csv_make_nothing() {
    for (body, fields) in [
        ("code,limit\nTA,1\nTB\nTC,1", &["line 3 not_csv"][..]),
        ("code,limit\nSAVE,10,5", &["line 2 not_csv"]),
        ("code,limit\nA,1\n\"B,1\nC,1\nD,1\n", &["line 3 not_csv"]),
        ("code,code,limit\nA,B,1\n", &["line 1 not_csv"]),
        (
            "code,limit\nA,1\n\"B\"x,1\nC\nD,1\n",
            &["line 3 not_csv", "line 4 not_csv"],
        ),
        (
            "code,limit\nA,x\n,1\nC,-1\n",
            &[
                "line 2, limit wrong_type",
                "line 3, code missing",
                "line 4, limit wrong_type",
            ],
        ),
        ("code,limit\nA,1\n\"B", &["line 3 not_csv"]),
        ("\"code,limit\nA,1\n", &["line 1 not_csv"]),
        ("limit\n1\n", &["line 1 not_csv"]),
        ("code;limit\nA;1\n", &["line 1 not_csv"]),
        ("", &["line 1 not_csv"]),
        ("\n\n", &["line 2 not_csv"]),
    ] {
        refused(body.as_bytes(), fields).await;
    }
    for (body, expected) in [
        ("code\nA\nB\n", &["A:null", "B:null"][..]),
        (
            "\u{feff}limit,code,note\n5,\"a,\"\"b\",\n,C,x\n",
            &["C:null", "a,\"b:5"],
        ),
        ("code,limit\n", &[]),
    ] {
        let (status, told, made) = vouchers(body.as_bytes()).await;
        assert_eq!(
            (status, &told["created"]),
            (201, &json!(expected.len())),
            "{told}"
        );
        assert_eq!(made, expected, "{body:?}");
    }
}

#[tokio::test]
async fn case_09_the_line_that_is_named_is_where_the_record_begins() {
    let text = "code,limit\n\nA,1\n\n\nB\n\"C\nc\",1\n\"D\nd\",1,2\nE\n";
    let fields = [
        "line 6 not_csv",
        "line 7, code bad_id",
        "line 9 not_csv",
        "line 11 not_csv",
    ];
    for ends in ENDS {
        let told = refused(&ended(text, ends), &fields).await;
        let detail = told["errors"][0]["detail"].as_str().unwrap();
        assert_eq!(detail, "line 6: this row has 1 cell, the header has 2");
    }
}

#[tokio::test]
async fn case_23_zero_bytes_behind_good_gzip_are_nothing() {
    let zeros = |count: usize| vec![0; count];
    let tail = |text: &str| gz(text.as_bytes());
    for (parts, good) in [
        (vec![zeros(1)], true),
        (vec![zeros(10_000)], true),
        (vec![tail(""), zeros(511)], true),
        (vec![zeros(3), tail("\n"), zeros(1 << 20)], true),
        (vec![b"garbage that is long".to_vec()], false),
        (vec![b"x".to_vec()], false),
        (vec![zeros(512), b"x".to_vec()], false),
        (vec![zeros(1), b"\x1f".to_vec()], false),
        (vec![zeros(1), tail("x")[..9].to_vec()], false),
    ] {
        let rest = parts.concat();
        let told = format!("{:?}", &rest[..rest.len().min(20)]);
        let (exit, _, err) = attribute("--orders", "x.csv.gz", &[gz(&or()), rest.clone()].concat());
        let expected = if good { Exit::Clean } else { Exit::Failed };
        assert_eq!(exit, expected, "{told}: {err}");
        assert_eq!(
            err.contains("the gzip stream is broken after line 2"),
            !good,
            "{told}: {err}"
        );
        let text = format!("{REDEMPTIONS}r-1,p-1,c-1\n");
        let batch = batch("a.csv.gz", &[gz(text.as_bytes()), rest].concat()).await;
        let expected = (json!(if good { "done" } else { "failed" }), json!(1));
        assert_eq!(
            (batch["state"].clone(), batch["accepted"].clone()),
            expected,
            "{told}: {batch}"
        );
    }
}

/// Says the same of a file wherever it is sent.
#[tokio::test]
async fn case_25_a_file_that_is_something_else_is_called_by_its_name() {
    let local = |name: &str| {
        [
            b"PK\x03\x04\x14\0\0\0\0\0".as_slice(),
            name.as_bytes(),
            &[0; 40],
        ]
        .concat()
    };
    let big = |text: &str| utf16(text, u16::to_be_bytes);
    let little = |text: &str| utf16(text, u16::to_le_bytes);
    for (name, bytes, what, to_do) in [
        (".csv", little("\u{feff}{}"), "UTF-16", "save it as UTF-8"),
        (".csv", big("\u{feff}{}"), "UTF-16", "save it as UTF-8"),
        (".csv", little("{}"), "UTF-16", "save it as UTF-8"),
        (".csv", big("größe,{}"), "UTF-16", "save it as UTF-8"),
        (".csv.gz", gz(&little("{}")), "UTF-16", "save it as UTF-8"),
        (".jsonl", little("[]"), "UTF-16", "save it as UTF-8"),
        (".csv.gz", gz(&gz(b"{}")), "gzipped twice", "unpack it once"),
        (".csv", gz(b"{}"), "gzipped", "let its name end in .gz"),
        (".csv.gz", b"{}".to_vec(), "not gzipped", "gzip it"),
        (".csv.gz", Vec::new(), "the file is empty", "uploaded whole"),
        (".csv", Vec::new(), "the file is empty", "names its columns"),
        (".csv", local("week.csv"), "zip archive", "unpack it"),
        (".csv.gz", local("week.csv"), "zip archive", "unpack it"),
        (
            ".csv",
            local("[Content_Types].xml"),
            "Excel workbook",
            "CSV UTF-8",
        ),
        (
            ".jsonl",
            local("xl/workbook.xml"),
            "Excel workbook",
            "CSV UTF-8",
        ),
        (
            ".csv",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(),
            ".xls",
            "CSV UTF-8",
        ),
        (
            ".csv",
            b"PAR1\x15\x04\x15".to_vec(),
            "Parquet",
            "CSV or JSON lines",
        ),
        (
            ".csv",
            b"\x28\xb5\x2f\xfd\x04\0".to_vec(),
            "zstd",
            "unpack it",
        ),
        (
            ".csv",
            b"<!doctype html><html>".to_vec(),
            "web page",
            "again",
        ),
        (".csv", vec![0; 4096], "zero bytes", "send it again"),
        (
            ".csv",
            b"event_id;kind;channel\n".to_vec(),
            "semicolons",
            "save it with commas",
        ),
        (
            ".csv",
            b"event_id\tkind\n".to_vec(),
            "tabs",
            "save it with commas",
        ),
        (
            ".csv",
            b"{\"event_id\":\"e1\"}\n".to_vec(),
            "JSON",
            ".jsonl",
        ),
    ] {
        let told = |detail: &str| {
            assert!(
                detail.contains(what) && detail.contains(to_do),
                "{what}: {detail}"
            );
        };
        for option in ["--events", "--orders", "--campaigns"] {
            let (exit, credits, err) = attribute(option, &format!("x{name}"), &bytes);
            assert_eq!(
                (exit, credits.as_str()),
                (Exit::Failed, ""),
                "{what}: {err}"
            );
            told(&err);
        }
        let batch = batch(&format!("x{name}"), &bytes).await;
        assert_eq!(
            (&batch["state"], &batch["rows"]),
            (&json!("failed"), &json!(0)),
            "{batch}"
        );
        told(batch["detail"].as_str().unwrap());
        if name == ".csv" {
            told(
                refused(&bytes, &["line 1 not_csv"]).await["detail"]
                    .as_str()
                    .unwrap(),
            );
        }
    }
    // A name that says nothing is told too, unless the content says what the file is.
    for (name, bytes, what) in [
        ("x.xlsx", local("xl/workbook.xml"), "Excel workbook"),
        ("x.zip", local("week.csv"), "zip archive"),
        ("x.parquet", b"PAR1\x15\x04\x15".to_vec(), "Parquet"),
        ("x.txt", ev(), "its name must end in .csv"),
    ] {
        let (exit, _, err) = attribute("--events", name, &bytes);
        assert!(exit == Exit::Failed && err.contains(what), "{name}: {err}");
    }
}

#[tokio::test]
async fn case_25_text_in_windows_1252_is_told_where_it_matters() {
    let is = "is not UTF-8; is it Windows-1252";
    // An id, a word, an amount: the row, by its column. Free text: nothing.
    let orders = b"order_id,customer_id,status,total,currency,placed_at,source,items,gr\xf6\xdfe\n\
        o1,J\xfcrgen,COMPLETE,1,USD,2026-11-20T11:00:00Z,,,\n\
        o2,c1,COMPL\xc9TE,1,USD,2026-11-20T11:00:00Z,,,\n\
        o3,c1,COMPLETE,1\x80,USD,2026-11-20T11:00:00Z,,,\n\
        o4,c1,COMPLETE,1,USD,2026-11-20T11:00:00Z,caf\xe9,\"caf\xe9\",gro\xdf\n\
        o5,\x1a,COMPLETE,1,USD,2026-11-20T11:00:00Z,caf\xe9,,\n";
    let rest = "\"status\":\"COMPLETE\",\"total\":\"1\",\"currency\":\"USD\",\"placed_at\":\"2026-11-20T11:00:00Z\"}\n";
    let json = [
        b"{\"order_id\":\"o6\",\"customer_id\":\"J\xfcrgen\",".as_slice(),
        rest.as_bytes(),
        b"{\"gr\xf6\xdfe\":1,\"email\":\"J\xfcrgen\",\"items\":[{\"name\":\"caf\xe9\"}],\"order_id\":\"o7\",\"customer_id\":\"c1\",",
        rest.as_bytes(),
        b"{\"order_id\":\"o8\",\"customer_id\":\xfc,",
        rest.as_bytes(),
        b"{\"order_id\":\"o\\\xfc\",\"customer_id\":\"c1\",",
        rest.as_bytes(),
    ]
    .concat();
    let campaigns = b"campaign_id,name,tags\nspring,Fr\xfchling,a\nautumn,Herbst,gro\xdf\n";
    let folder = Folder::new(&[
        ("ca.csv", campaigns),
        ("ev.csv", &ev()),
        ("or.csv", orders),
        ("or.jsonl", &json),
    ]);
    let line = "--events @ev.csv --orders @or.csv @or.jsonl --campaigns @ca.csv";
    let (exit, out, err) = folder.run(&format!(
        "{line} --rejects @rejects.csv --credits @credits.csv"
    ));
    assert_eq!(exit, Exit::Rejected, "{err}");
    let (places, text) = folder.rejects();
    let expected = [
        "ca.csv:3:wrong_type",
        "or.csv:2:bad_id",
        "or.csv:3:unknown_status",
        "or.csv:4:bad_money",
        "or.csv:6:bad_id",
        "or.jsonl:1:bad_id",
        "or.jsonl:3:not_json",
        "or.jsonl:4:not_json",
    ];
    assert_eq!(places, expected);
    for told in [
        "ca.csv,3,wrong_type,\"tags: the byte 0xDF",
        "or.csv,2,bad_id,\"customer_id: the byte 0xFC",
        "or.csv,3,unknown_status,\"status: the byte 0xC9",
        "or.csv,4,bad_money,\"total: the byte 0x80",
        "or.jsonl,1,bad_id,\"customer_id: the byte 0xFC",
        "or.jsonl,3,not_json,\"the byte 0xFC",
        "or.jsonl,4,not_json,\"the byte 0xFC",
    ] {
        assert!(text.contains(&format!("{told} {is}")), "{told}: {text}");
    }
    // What is no bad encoding is not called so.
    assert!(
        text.contains("6,bad_id,customer_id: an id holds no control characters"),
        "{text}"
    );
    let credits = folder.text("credits.csv");
    assert!(credits.contains("\no4,c1,spring,") && credits.contains("\no7,c1,spring,"));
    assert!(out.contains("Fr\u{fffd}hling"), "{out}");

    let bytes = b"redemption_id,promotion_id,customer_id\nr-1,p-1,c-1\nr-2,p-1,J\xfcrgen\n";
    let told = batch("a.csv", bytes).await;
    assert_eq!(
        (&told["state"], &told["accepted"]),
        (&json!("failed"), &json!(1)),
        "{told}"
    );
    let detail = told["detail"].as_str().unwrap();
    assert!(
        detail.starts_with(&format!("line 3, byte 10: the byte 0xFC {is}")),
        "{detail}"
    );
    let told = refused(b"code,limit\nA,1\nCAF\xc9,1\n", &["line 3 not_csv"]).await;
    assert!(told["detail"].as_str().unwrap().contains(is), "{told}");
}
