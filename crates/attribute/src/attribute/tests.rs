//! Whole runs over small files, as tables: what is read, what is rejected, how a run ends.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Parser;
use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: AttributeArgs,
}

const EVENTS: &str = "event_id,kind,channel,campaign_id,customer_id,occurred_at\n";
const EVENT: &str = "e1,clicked,email,spring,c1,2026-11-20T10:00:00Z\n";
const ORDERS: &str = "order_id,customer_id,status,total,currency,placed_at\n";
const ORDER: &str = "o1,c1,COMPLETE,10,USD,2026-11-20T11:00:00Z\n";
const CREDITED: &str = "o1,c1,spring,email,,clicked,2026-11-20T10:00:00.000Z,2026-11-20T10:00:00.000Z,10.00,USD,true,\n";

/// A folder of its own for each test, deleted at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("revtrail-attribute-{}-{next}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        for (name, bytes) in files {
            fs::write(folder.0.join(name), bytes).unwrap();
        }
        folder
    }

    /// Runs as from the command line; `@` in the line means the folder.
    fn run(&self, line: &str) -> (Exit, String, String) {
        let line = line.replace('@', &format!("{}/", self.0.display()));
        let words = ["attribute"].into_iter().chain(line.split(' '));
        let Line { args } = Line::parse_from(words);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = run(&args, &mut out, &mut err, Watched::default());
        (
            exit,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// `file:line:code` of each rejected row.
    fn rejects(&self) -> Vec<String> {
        let folder = format!("{}/", self.0.display());
        let text = self.text("rejects.csv").replace(&folder, "");
        assert!(text.starts_with("file,line,code,detail\n"));
        let mut rows = csv::Reader::from_reader(text.as_bytes());
        let rows = rows.records().map(|row| row.unwrap());
        rows.map(|row| format!("{}:{}:{}", &row[0], &row[1], &row[2]))
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn gz(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zst(text: &str) -> Vec<u8> {
    compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
}

/// Credits of a run over the given events and orders.
fn credits(events: (&str, &[u8]), orders: (&str, &[u8])) -> String {
    let folder = Folder::new(&[events, orders]);
    let line = format!(
        "--events @{} --orders @{} --credits @credits.csv",
        events.0, orders.0
    );
    let (exit, _, err) = folder.run(&line);
    assert_eq!(exit, Exit::Clean, "{err}");
    let text = folder.text("credits.csv");
    let header = "order_id,customer_id,campaign_id,channel,message_id,touch_kind,touch_at,sent_at,amount,currency,counted,reason\n";
    text.strip_prefix(header).unwrap().to_owned()
}

#[test]
fn files_that_say_the_same() {
    let order = [ORDERS, ORDER].concat();
    let expected = credits(
        ("e.csv", [EVENTS, EVENT].concat().as_bytes()),
        ("o.csv", order.as_bytes()),
    );
    assert_eq!(expected, CREDITED);
    let json = r#"{"occurred_at":"2026-11-20T12:00:00+02:00","event_id":"e1","kind":"clicked","channel":"email","campaign_id":"spring","customer_id":"c1","message_id":null,"more":[1]}"#;
    let two = [gz(EVENTS), gz(EVENT)].concat();
    for (name, events) in [
        ("e.csv", format!("\u{feff}{EVENTS}{EVENT}").into_bytes()),
        ("e.csv", [EVENTS, "\n\r\n", EVENT.trim_end()].concat().into_bytes()),
        ("e.CSV", [EVENTS, EVENT].concat().replace('\n', "\r\n").into_bytes()),
        ("e.csv.gz", gz(&[EVENTS, EVENT].concat())),
        ("e.csv.gz", two),
        ("e.jsonl", json.into()),
        ("e.ndjson", format!("\u{feff}{json}\r\n\n  \n{json}\n").into_bytes()),
        ("e.jsonl.gz", gz(json)),
        ("e.csv.zst", zst(&[EVENTS, EVENT].concat())),
        ("e.CSV.ZST", [zst(EVENTS), zst(EVENT)].concat()),
        ("e.ndjson.zst", zst(json)),
        (
            "e.csv",
            b"customer_id,x,\"campaign_id\",occurred_at,machine,kind,event_id,channel,message_id,y,\nc1,\"a,\n\"\"b\",spring,\"2026-11-20T10:00:00Z\",,clicked,e1,email,,,\n".into(),
        ),
    ] {
        let got = credits((name, &events), ("o.csv", order.as_bytes()));
        assert_eq!(got, expected, "{}", String::from_utf8_lossy(&events));
    }
    let json = r#"{"order_id":"o1","customer_id":"c1","status":"complete","total":10.0,"currency":"USD","placed_at":"2026-11-20T11:00:00Z","email":7,"items":"none"}"#;
    let got = credits(
        ("e.csv", [EVENTS, EVENT].concat().as_bytes()),
        ("o.jsonl", json.as_bytes()),
    );
    assert_eq!(got, expected);
}

#[test]
fn free_text_that_is_not_utf8_rejects_no_row() {
    let orders = [
        b"email,items,order_id,customer_id,status,total,currency,placed_at,unknown\n".as_slice(),
        b"\xff,\"\xc3\",o1,c1,COMPLETE,10,EUR,2026-11-20T11:00:00Z,\xe9\n",
        b"x,y,o2,c1,COMPLETE,1\xff,EUR,2026-11-20T11:00:00Z,\n",
    ]
    .concat();
    let folder = Folder::new(&[
        ("e.csv", [EVENTS, EVENT].concat().as_bytes()),
        ("o.csv", &orders),
    ]);
    let line = "--events @e.csv --orders @o.csv --rejects @rejects.csv --credits @credits.csv";
    let (exit, ..) = folder.run(line);
    assert_eq!(exit, Exit::Rejected);
    assert_eq!(folder.rejects(), ["o.csv:3:bad_money"]);
}

#[test]
fn rows_that_are_rejected() {
    let events = [
        EVENTS,
        "e0,clicked,email,spring,\"c\n1\",2026-11-20T10:00:00Z\n",
        EVENT,
        "\n",
        "e2,seen,email,spring,c1,2026-11-20T10:00:00Z\n",
        "e3,clicked,email,spring,c1\n",
        "e4,clicked,email,spring,c1,2026-11-20T10:00:00Z,\n",
        "\"e5,clicked,email,spring,c1,2026-11-20T10:00:00Z\n",
        "e6,clicked,email,spring,c1,\"2026-11-20\"T10:00:00Z\n",
        ",clicked,email,spring,c1,2026-11-20T10:00:00Z\n",
        "e7,\"clicked\",email,spring,c1,never\n",
        "\"e8,clicked",
    ]
    .concat();
    let orders = [
        &[ORDERS, ORDER].concat().into_bytes()[..],
        b"o1,c2,COMPLETE,10,EUR,2026-11-20T11:00:00Z\n",
        b"o1,c1,COMPLETE,10,EUR,2026-11-20T11:00:01Z\n",
        b"o1,c1,COMPLETE,10,USD,2026-11-20T11:00:01Z\n",
        b"o2,c\xff,COMPLETE,10,USD,2026-11-20T11:00:00Z\n",
        b"o3,c1,LOST,10,USD,2026-11-20T11:00:00Z\n",
        b"o4,c1,COMPLETE,-1,USD,2026-11-20T11:00:00Z\n",
    ]
    .concat();
    let campaigns = "{\"campaign_id\":\"spring\"}\n{\"name\":\"x\"}\n\n{\"campaign_id\n[]\n{\"campaign_id\":\"a\",\"tags\":3,\"sent_at\":\"x\"}\n";
    let folder = Folder::new(&[
        ("e.csv", events.as_bytes()),
        ("o.csv", &orders),
        ("c.jsonl", campaigns.as_bytes()),
    ]);
    let line = "--events @e.csv --orders @o.csv --campaigns @c.jsonl --rejects @rejects.csv --credits @credits.csv";
    let (exit, _, err) = folder.run(line);
    assert_eq!(exit, Exit::Rejected);
    let expected = [
        "c.jsonl:2:missing",
        "c.jsonl:4:not_json",
        "c.jsonl:5:wrong_type",
        "c.jsonl:6:wrong_type",
        "e.csv:2:bad_id",
        "e.csv:6:unknown_kind",
        "e.csv:7:not_csv",
        "e.csv:8:not_csv",
        "e.csv:9:not_csv",
        "e.csv:10:not_csv",
        "e.csv:11:missing",
        "e.csv:12:bad_time",
        "e.csv:13:not_csv",
        "o.csv:3:immutable_field",
        "o.csv:4:immutable_field",
        "o.csv:5:immutable_field",
        "o.csv:6:bad_id",
        "o.csv:7:unknown_status",
        "o.csv:8:bad_money",
    ];
    assert_eq!(folder.rejects(), expected);
    assert!(
        err.contains("rejected 19 rows: 2 bad_id, 1 bad_money"),
        "{err}"
    );
    let fields = ["currency of", "placed_at of"];
    let rejects = folder.text("rejects.csv");
    assert!(
        fields.iter().all(|field| rejects.contains(field)),
        "{rejects}"
    );
    assert!(folder.text("credits.csv").ends_with(CREDITED));
    for (most, exit) in [(18, Exit::Rejected), (19, Exit::Clean)] {
        assert_eq!(folder.run(&format!("{line} --max-rejects {most}")).0, exit);
    }
}

#[test]
fn how_a_run_ends() {
    let whole = gz(&[EVENTS, EVENT].concat());
    let folder = Folder::new(&[
        ("e.csv", [EVENTS, EVENT].concat().as_bytes()),
        ("o.csv", [ORDERS, ORDER].concat().as_bytes()),
        ("header.csv", EVENTS.as_bytes()),
        ("empty.csv", b""),
        ("empty.jsonl", b""),
        ("e.txt", EVENTS.as_bytes()),
        ("short.csv", b"event_id,kind,channel,campaign_id,customer_id\n"),
        ("twice.csv", b"event_id,kind,channel,campaign_id,customer_id,occurred_at,kind\n"),
        ("utf16.csv", b"\xff\xfee\0v\0"),
        ("e.Parquet", EVENTS.as_bytes()),
        ("cut.csv.gz", &whole[..whole.len() - 9]),
        ("no.csv.gz", EVENTS.as_bytes()),
        ("good.json", b"{\"preset\":\"yespo_v1\",\"currency\":\"USD\"}"),
        ("year.json", b"{\"channels\":{\"sms\":{\"connect_on\":[\"sent\"],\"window\":\"52w\",\"window_from\":\"sent\"}}}"),
        ("long.json", b"{\"channels\":{\"sms\":{\"connect_on\":[\"sent\"],\"window\":\"365d\",\"window_from\":\"sent\"}}}"),
        ("bad.json", b"{\"winner\":\"me\",\"colour\":1}"),
        ("cut.json", b"{"),
        ("utf16.json", b"\xff\xfe{\0}\0"),
        ("latin1.json", b"{\"winner\":\"\xe9\"}"),
    ]);
    for (line, expected, told) in [
        (
            "--events @e.csv --orders @o.csv",
            Exit::Clean,
            "attributed 1 order by 1 event in",
        ),
        (
            "--events @e.csv @e.csv --orders @o.csv @o.csv",
            Exit::Clean,
            "1 order (and 1 duplicate) by 1 event (and 1 duplicate)",
        ),
        (
            "--events @header.csv @empty.jsonl --orders @o.csv",
            Exit::Clean,
            "by 0 events",
        ),
        (
            "--events @e.csv --orders @o.csv --settings @good.json",
            Exit::Clean,
            "",
        ),
        (
            "--events @e.csv --orders @o.csv --settings @year.json",
            Exit::Clean,
            "",
        ),
        (
            "--events @e.csv --orders @o.csv --settings yespo_v2",
            Exit::Clean,
            "",
        ),
        (
            "--events @none.csv --orders @o.csv",
            Exit::Failed,
            "none.csv",
        ),
        (
            "--events @empty.csv --orders @o.csv",
            Exit::Failed,
            "the file is empty",
        ),
        (
            "--events @e.txt --orders @o.csv",
            Exit::Failed,
            ".csv, .jsonl",
        ),
        (
            "--events @short.csv --orders @o.csv",
            Exit::Failed,
            "no column occurred_at",
        ),
        (
            "--events @twice.csv --orders @o.csv",
            Exit::Failed,
            "column kind twice",
        ),
        (
            "--events @utf16.csv --orders @o.csv",
            Exit::Failed,
            "the file is UTF-16: save it as UTF-8",
        ),
        (
            "--events @e.Parquet --orders @o.csv",
            Exit::Failed,
            match cfg!(feature = "parquet") {
                true => "the file is not Parquet: let its name end in what it is",
                false => "cargo build --release -p revtrail --features parquet",
            },
        ),
        (
            "--events @cut.csv.gz --orders @o.csv",
            Exit::Failed,
            "cut.csv.gz",
        ),
        (
            "--events @no.csv.gz --orders @o.csv",
            Exit::Failed,
            "no.csv.gz",
        ),
        (
            "--events @e.csv --orders @o.csv --credits @none/c.csv",
            Exit::Failed,
            "failed to write",
        ),
        (
            "--events @e.csv --orders @o.csv --settings yespo",
            Exit::Usage,
            "none of the presets",
        ),
        (
            "--events @e.csv --orders @o.csv --settings @cut.json",
            Exit::Usage,
            "no JSON",
        ),
        (
            "--events @e.csv --orders @o.csv --settings @utf16.json",
            Exit::Usage,
            "UTF-16: save it as UTF-8",
        ),
        (
            "--events @e.csv --orders @o.csv --settings @latin1.json",
            Exit::Usage,
            "not UTF-8: save it as UTF-8",
        ),
        (
            "--events @e.csv --orders @o.csv --settings @long.json",
            Exit::Usage,
            "channels.sms.window",
        ),
        (
            "--events @e.csv --orders @o.csv --settings @bad.json",
            Exit::Usage,
            "colour is no setting",
        ),
        (
            "--events @e.csv --orders @o.csv --settings @bad.json",
            Exit::Usage,
            "winner is",
        ),
        (
            "--events @e.csv --orders @o.csv --credits @o.csv",
            Exit::Usage,
            "the same file as",
        ),
        (
            "--events @e.csv --orders @o.csv --credits - --json",
            Exit::Usage,
            "the same file as",
        ),
        (
            "--events @e.csv --orders @o.csv --rejects -",
            Exit::Usage,
            "--rejects needs a file",
        ),
    ] {
        let (exit, out, err) = folder.run(line);
        assert_eq!(exit, expected, "{line}: {err}");
        assert!(err.contains(told), "{line}: {err}");
        assert_eq!(out.is_empty(), exit != Exit::Clean, "{line}");
    }
    let left = fs::read_dir(&folder.0)
        .unwrap()
        .map(|file| file.unwrap().path());
    let parts: Vec<PathBuf> = left
        .filter(|p| p.extension().is_some_and(|e| e == "part"))
        .collect();
    assert!(parts.is_empty(), "{parts:?}");
}

#[test]
fn events_by_address_earn_the_orders_that_name_it() {
    let events = "event_id,kind,channel,campaign_id,email,phone,occurred_at\n\
        e1,clicked,email,spring, Ann@Example.com ,,2026-11-20T10:00:00Z\n\
        e1,clicked,email,autumn,ann@example.COM,,2026-11-20T10:30:00Z\n\
        e1,delivered,sms,spring,,+353 87 123456,2026-11-20T10:00:00Z\n\
        e2,clicked,email,spring,bob@example.com,,2026-11-20T10:00:00Z\n\
        e3,clicked,email,spring,,12345,2026-11-20T10:00:00Z\n\
        e4,clicked,email,spring,,,2026-11-20T10:00:00Z\n";
    let orders = "order_id,customer_id,status,total,currency,placed_at,email,phone,updated_at\n\
        o1,c1,COMPLETE,10,USD,2026-11-20T11:00:00Z,ann@example.com,,\n\
        o2,c2,COMPLETE,20,USD,2026-11-20T11:00:00Z,ANN@example.com,,\n\
        o3,c3,COMPLETE,40,USD,2026-11-20T11:00:00Z,bob@example.com,,\n\
        o3,c3,COMPLETE,40,USD,2026-11-20T11:00:00Z,carl@example.com,,2026-11-20T12:00:00Z\n\
        o4,c4,COMPLETE,80,USD,2026-11-20T11:00:00Z,,00,\n\
        o5,c4,COMPLETE,160,USD,2026-11-20T11:00:00Z,bob,(353) 87-123456,\n";
    let folder = Folder::new(&[
        ("e.csv", events.as_bytes()),
        ("o.csv", orders.as_bytes()),
        (
            "nobody.csv",
            b"event_id,kind,channel,campaign_id,occurred_at\n",
        ),
    ]);
    let line = "--events @e.csv --orders @o.csv --credits @c.csv --rejects @rejects.csv";
    let (exit, _, err) = folder.run(line);
    assert_eq!(exit, Exit::Rejected, "{err}");
    assert_eq!(folder.rejects(), ["e.csv:6:bad_address", "e.csv:7:missing"]);
    assert!(err.contains("by 3 events (and 1 duplicate)"), "{err}");
    assert!(
        err.contains("customers with orders who have no event: 1 of 4"),
        "{err}"
    );
    let credits = folder.text("c.csv");
    let earned: Vec<String> = credits
        .lines()
        .skip(1)
        .map(|line| line.split(',').take(4).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        earned,
        [
            "o1 c1 spring email",
            "o2 c2 spring email",
            "o3 c3  ",
            "o4 c4  ",
            "o5 c4 spring sms"
        ]
    );
    // One message to one address, whoever named it.
    let report = folder.run("--events @e.csv --orders @o.csv --json").1;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["totals"]["unique_clicks"], 2);
    assert_eq!(report["totals"]["deliveries"], 1);
    assert_eq!(report["totals"]["purchases"], 3);
    assert_eq!(report["totals"]["purchasers"], 3);
    let (exit, _, err) = folder.run("--events @nobody.csv --orders @o.csv");
    assert_eq!(exit, Exit::Failed);
    assert!(
        err.contains("no column customer_id or email or phone"),
        "{err}"
    );
}

#[test]
fn a_pattern_names_files_as_in_a_shell() {
    let order = [ORDERS, ORDER].concat();
    let at = |n: u8| {
        let event = EVENT.replace("e1", &format!("e{n}"));
        [EVENTS, &event].concat()
    };
    let folder = Folder::new(&[
        ("b-2.csv", at(2).as_bytes()),
        ("b-1.csv.gz", &gz(&at(1))),
        ("b-1.csv", at(3).as_bytes()),
        ("c[1].csv", at(4).as_bytes()),
        (".b-5.csv", at(5).as_bytes()),
        ("o.csv", order.as_bytes()),
    ]);
    fs::create_dir(folder.0.join("b-9.csv")).unwrap();
    for (events, expected) in [
        ("@b-*.csv", Ok(2)),
        ("@b-?.csv*", Ok(3)),
        ("@*.csv.gz", Ok(1)),
        ("@b-[13].csv", Ok(1)),
        ("@b-1.csv @b-*.csv", Ok(2)),
        // A file that exists is no pattern.
        ("@c[1].csv", Ok(1)),
        ("@c[1].csv @b-*", Ok(4)),
        (
            "@none-*.csv",
            Err("none-*.csv: no file has a name like this"),
        ),
        ("@b-9*", Err("b-9*: no file has a name like this")),
        ("@b-1.csv @x*", Err("x*: no file has a name like this")),
        ("@b-[.csv", Err("this is no pattern of file names")),
    ] {
        let (exit, _, err) = folder.run(&format!("--events {events} --orders @o.csv"));
        match expected {
            Ok(count) => {
                assert_eq!(exit, Exit::Clean, "{events}: {err}");
                assert!(err.contains(&format!(" by {count} event")), "{err}");
            }
            Err(why) => {
                assert_eq!(exit, Exit::Usage, "{events}: {err}");
                assert!(err.contains(why), "{events}: {err}");
            }
        }
    }
    // Rows arrive in the order of the paths, and of two events with one id the first stands.
    fs::write(folder.0.join("d-0.csv"), at(1).replace("spring", "autumn")).unwrap();
    fs::write(folder.0.join("d-1.csv"), at(1)).unwrap();
    let line = "--events @d-*.csv --orders @o.csv --credits @out.csv";
    assert_eq!(folder.run(line).0, Exit::Clean);
    assert!(folder.text("out.csv").contains("o1,c1,autumn,"));
    let line = "--events @b-*.csv --orders @*.csv --credits @o.csv";
    let (exit, _, err) = folder.run(line);
    assert_eq!(exit, Exit::Usage);
    assert!(err.contains("is the same file as --orders"), "{err}");
}

#[test]
fn the_order_of_rows_means_nothing() {
    let mut events: Vec<String> = Vec::new();
    let mut orders: Vec<String> = Vec::new();
    for i in 0..60 {
        let (customer, campaign) = (i % 7, i % 5);
        events.push(format!(
            "e{i},{},email,k{campaign},c{customer},2026-11-{:02}T10:00:00Z\n",
            ["sent", "opened", "clicked"][i % 3],
            1 + i % 20
        ));
        for status in ["PENDING", "COMPLETE"] {
            orders.push(format!(
                "o{i},c{customer},{status},{i}.50,{},2026-11-{:02}T12:00:00Z\n",
                ["USD", "EUR"][i % 2],
                1 + i % 25
            ));
        }
    }
    let mut results = Vec::new();
    for step in [1, 7, 11, 49] {
        let shuffled = |rows: &[String]| -> String {
            (0..rows.len())
                .map(|i| rows[i * step % rows.len()].as_str())
                .collect()
        };
        let folder = Folder::new(&[
            (
                "e.csv",
                [EVENTS, &shuffled(&events), &events[3]].concat().as_bytes(),
            ),
            ("o.csv", [ORDERS, &shuffled(&orders)].concat().as_bytes()),
        ]);
        let (exit, out, err) = folder
            .run("--events @e.csv --orders @o.csv --json --credits @c.csv --explain @x.jsonl");
        assert_eq!(exit, Exit::Clean, "{err}");
        assert!(
            err.contains("60 orders (and 60 older copies) by 60 events (and 1 duplicate)"),
            "{err}"
        );
        results.push((out, folder.text("c.csv"), folder.text("x.jsonl")));
    }
    assert!(results[0].1.contains(",k"), "something is credited");
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn which_copy_stands() {
    let events = [
        EVENTS,
        EVENT,
        "e1,opened,email,autumn,c1,2026-11-20T10:30:00Z\n",
    ]
    .concat();
    let orders = [
        ORDERS,
        "o1,c1,REFUNDED,10,USD,2026-11-20T11:00:00Z\n",
        ORDER,
    ]
    .concat();
    let campaigns = "campaign_id,name,tags\nspring,First,a|b\nspring,,c\nunseen,,\n";
    let folder = Folder::new(&[
        ("e.csv", events.as_bytes()),
        ("o.csv", orders.as_bytes()),
        ("c.csv", campaigns.as_bytes()),
        (
            "s.json",
            br#"{"counted_statuses":["REFUNDED"],"refunds":"gross"}"#,
        ),
    ]);
    let line = "--events @e.csv --orders @o.csv --campaigns @c.csv --settings @s.json --json";
    let report: serde_json::Value = serde_json::from_str(&folder.run(line).1).unwrap();
    assert_eq!(report["totals"]["campaigns"], 1);
    assert_eq!(report["campaigns"][0]["campaign_id"], "spring");
    assert_eq!(report["campaigns"][0]["name"], "spring");
    assert_eq!(report["campaigns"][0]["tags"], serde_json::json!(["c"]));
    assert_eq!(report["credited"], report["counted"]);
    assert_eq!(report["counted"]["revenue"]["USD"], "10.00");
}

#[test]
fn what_is_printed() {
    let seen = "e2,delivered,email,spring,c1,2026-11-20T10:00:00Z\ne3,delivered,email,spring,c3,2026-11-20T10:00:00Z
e4,unsubscribed,email,spring,c3,2026-11-20T10:00:00Z\ne5,delivered,email,spring,c4,2026-11-20T10:00:00Z
e6,complained,email,spring,c3,2026-11-20T10:00:00Z\ne7,unsubscribed,email,spring,c3,2026-11-20T10:00:00Z
e8,unsubscribed,email,spring,c4,2026-11-20T10:00:00Z\n";
    let folder = Folder::new(&[
        ("e.csv", [EVENTS, EVENT, seen].concat().as_bytes()),
        (
            "o.csv",
            [
                ORDERS,
                ORDER,
                "o0,\"c,2\",COMPLETE,1234.5,EUR,2026-11-20T11:00:00Z\n",
            ]
            .concat()
            .as_bytes(),
        ),
        ("s.json", br#"{"enabled":false}"#),
    ]);
    let files = "--events @e.csv --orders @o.csv";
    let table = folder.run(files).1;
    let expected = "\
campaign           channels  delivered  opened  open rate  clicked  unsubscribed  complained  purchases  buyers  order rate  revenue USD  average  per delivery
spring             email             3       0       0.0%        1             2           1          1       1       33.3%        10.00    10.00        3.3333
───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
total: 1 campaign                    3       0       0.0%        1             2           1          1       1       33.3%        10.00    10.00        3.3333

orders: 2 counted = 1 credited + 1 uncredited
EUR: 1,234.50 counted = 0.00 credited (0.0%) + 1,234.50 uncredited
USD: 10.00 counted = 10.00 credited (100.0%) + 0.00 uncredited
a sale: an order within 7 days of the send, after an open of an email or a click in an email
revenue is an estimate
";
    assert_eq!(table, expected);
    let (_, out, err) = folder.run(&format!("{files} --credits -"));
    let first = "o0,\"c,2\",,,,,,,1234.50,EUR,true,no_candidate\n";
    assert!(out.ends_with(&[first, CREDITED].concat()), "{out}");
    assert!(err.starts_with("campaign"), "{err}");
    let (_, out, _) = folder.run(&format!("{files} --explain -"));
    let explained: Vec<serde_json::Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(explained[0]["order_id"], "o0");
    assert_eq!(explained[1]["credited_to"]["campaign_id"], "spring");
    assert_eq!(explained[1]["decided"], "run");
    let hidden: serde_json::Value =
        serde_json::from_str(&folder.run(&format!("{files} --json --settings @s.json")).1).unwrap();
    let keys: Vec<&String> = hidden.as_object().unwrap().keys().collect();
    let expected = [
        "campaigns",
        "customers_with_orders",
        "customers_without_event",
        "hints",
        "orders_of_counted_statuses",
        "statuses_seen",
        "totals",
    ];
    assert_eq!(keys, expected);
    let (_, hidden, _) = folder.run(&format!("{files} --settings @s.json"));
    assert!(!hidden.contains("revenue"), "{hidden}");
}

#[test]
fn a_stray_quote_or_an_endless_line_costs_one_row() {
    let mut events = format!("{EVENTS}\"e0{EVENT}");
    for i in 0..120_000 {
        events += &format!("e{i},clicked,email,spring,c1,2026-11-20T10:00:00Z\n");
    }
    let endless = "x".repeat(5 * 1024 * 1024);
    events += &format!("{endless},clicked,email,spring,c1,2026-11-20T10:00:00Z\n");
    let json = format!("{{\"event_id\":\"{endless}\"}}\n[]\n");
    let folder = Folder::new(&[
        ("e.csv", events.as_bytes()),
        ("e.jsonl", json.as_bytes()),
        ("o.csv", [ORDERS, ORDER].concat().as_bytes()),
    ]);
    let (exit, _, err) =
        folder.run("--events @e.csv @e.jsonl --orders @o.csv --rejects @rejects.csv");
    assert_eq!(exit, Exit::Rejected);
    assert!(err.contains("by 120,000 events in"), "{err}");
    let rejected = [
        "e.csv:2:not_csv",
        "e.csv:120003:not_csv",
        "e.jsonl:1:not_json",
        "e.jsonl:2:wrong_type",
    ];
    assert_eq!(folder.rejects(), rejected);
}

/// Counters take two bytes at first.
#[test]
fn a_counter_counts_further_than_two_bytes() {
    let mut events = EVENTS.to_owned();
    for i in 0..70_000 {
        let (event, customer) = (i, i % 7);
        events += &format!("e{event},clicked,email,spring,c{customer},2026-11-20T10:00:00Z\n");
    }
    let orders = [ORDERS, ORDER].concat();
    let folder = Folder::new(&[("e.csv", events.as_bytes()), ("o.csv", orders.as_bytes())]);
    let line = "--events @e.csv --orders @o.csv --json --threads 1";
    let (exit, out, err) = folder.run(line);
    assert_eq!(exit, Exit::Clean, "{err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["campaigns"][0]["clicks"], 70_000);
    assert_eq!(report["campaigns"][0]["unique_clicks"], 7);
}
