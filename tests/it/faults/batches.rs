//! Files of redemptions end to end, over the embedded database and a folder: a corpus of odd files, hand-overs, crash points, two
//! workers at once.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use http::Method;
use redemption_batch::{BatchEnd, BatchError, BatchLimits, BatchWorker, envelope};
use revtrail_core::value::time::{Instant, Retention};
use revtrail_storage::file::File;
use revtrail_storage::files::Files;
use revtrail_store::Store;
use revtrail_store::table::embedded::{self, Embedded, TABLE};
use serde_json::{Value, json};

use crate::faults::schedule::{Access, Gate, Orders, Window, drive};
use crate::support::fault_client::{Call, Fault, FaultClient};
use crate::support::fixtures::NOW;
use crate::support::root::Root;
use crate::support::script::rows;
use crate::support::service::{Service, block_on};
use crate::support::tier::{proves, share, spread};
use crate::support::tripwire::Tripwire;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/redemptions");
pub const M: &str = "/v1/marketplaces/m";

pub fn now() -> Instant {
    Instant::parse(NOW).unwrap()
}

pub fn batches(store: &Store, root: &Root, limits: BatchLimits) -> BatchWorker {
    BatchWorker {
        limits,
        ..BatchWorker::new(
            store.clone(),
            Retention::DEFAULT,
            Files::Folder(root.folder()),
        )
    }
}

pub async fn with_promotion(service: &Service) {
    service
        .make("m", &json!({ "timezone": "Europe/Dublin" }))
        .await;
    promotion(service, "p-1").await;
}

async fn promotion(service: &Service, id: &str) {
    let told = json!({ "name": "P", "kind": "global", "tracking_from": "2026-11-01T00:00:00Z" });
    let (status, answer) = service.put(&format!("{M}/promotions/{id}"), &told).await;
    assert!(status.is_success(), "{answer}");
}

/// Works at a file until its batch has ended; turns end after so many looks at the clock, which goes on by a millisecond at each.
async fn work_off(batches: &BatchWorker, root: &Root, file: &File, looks: i64) -> usize {
    let etag = root.folder().etag(&file.key).unwrap();
    let ms = AtomicI64::new(now().ms());
    let clock = || Instant::from_ms(ms.fetch_add(1, Ordering::SeqCst));
    for turn in 1..1_000 {
        let stop_at = Instant::from_ms(ms.load(Ordering::SeqCst)).plus_ms(looks);
        match batches.work(file, &etag, &clock, stop_at).await.unwrap() {
            BatchEnd::Ended | BatchEnd::Interrupted => return turn,
            BatchEnd::Later => {}
        }
    }
    panic!("it is handed over without an end");
}

const ALL: i64 = 1 << 40;

/// The batch of the newest file, as the interface shows it, but for its times.
pub async fn newest(service: &Service) -> Value {
    let mut shown = service.get(&format!("{M}/batches")).await["batches"][0].take();
    let id = shown["batch_id"].as_str().unwrap();
    let mut one = service.get(&format!("{M}/batches/{id}")).await;
    let first = one.as_object_mut().unwrap().remove("first_rejected");
    assert_eq!(one, shown);
    let first = first.unwrap().as_array().unwrap().len() as u64;
    let listed = ["rejected", "rejected_unlisted"].map(|name| shown[name].as_u64().unwrap());
    let listed = listed[0] - listed[1];
    assert!(
        first <= listed.min(20) && (first > 0) == (listed > 0),
        "{first} of {listed}"
    );
    let sum: u64 = COUNTS[1..]
        .iter()
        .map(|name| shown[name].as_u64().unwrap())
        .sum();
    assert_eq!(shown["rows"], json!(sum), "{shown}");
    for time in ["started_at", "finished_at"] {
        assert!(shown[time].take().is_string());
    }
    shown
}

pub const COUNTS: [&str; 5] = ["rows", "accepted", "duplicates", "quarantined", "rejected"];

pub fn counts(batch: &Value) -> [u64; 5] {
    COUNTS.map(|name| batch[name].as_u64().unwrap())
}

/// The rows of `rejected.csv`.
fn rejected(text: &str) -> Vec<[String; 4]> {
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let header: Vec<&str> = rows.headers().unwrap().iter().collect();
    assert_eq!(header, ["line", "code", "detail", "record"]);
    let row = |row: csv::StringRecord| [0, 1, 2, 3].map(|cell| row[cell].to_owned());
    rows.records().map(|read| row(read.unwrap())).collect()
}

/// A line of the table: the file, what its batch comes to, which lines are rejected, and a part of why it failed.
fn told(name: &str, batch: &Value, rejected: &[[String; 4]]) -> String {
    let rejected: Vec<String> = rejected
        .iter()
        .map(|[line, code, ..]| format!("{line}:{code}"))
        .collect();
    let counts = counts(batch).map(|count| count.to_string()).join(" ");
    format!(
        "{name} | {} {counts} | {} | {}",
        batch["state"].as_str().unwrap(),
        rejected.join(" "),
        batch["detail"].as_str().unwrap_or("")
    )
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    // As far as it goes.
    drop(flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut text));
    if text.is_empty() {
        bytes.to_vec()
    } else {
        text
    }
}

#[test]
fn every_file_of_the_corpus_ends_as_the_table_says() {
    let table = std::fs::read_to_string(format!("{CORPUS}/expected.txt")).unwrap_or_default();
    let lines: Vec<&str> = rows(&table).collect();
    let mut names: Vec<String> = std::fs::read_dir(CORPUS)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "expected.txt")
        .collect();
    names.sort();
    let mut wrong = Vec::new();
    for name in &names {
        let got = block_on(play(name));
        if !lines.iter().any(|line| line.trim_end() == got.trim_end()) {
            wrong.push(got);
        }
    }
    assert!(
        wrong.is_empty(),
        "not in expected.txt:\n{}",
        wrong.join("\n")
    );
    assert_eq!(lines.len(), names.len());
    println!("corpus: {} cases", names.len());
}

/// Plays a file: in one turn, row by row in many, told of again, and under another name.
async fn play(name: &str) -> String {
    let bytes = std::fs::read(format!("{CORPUS}/{name}")).unwrap();
    let (service, root) = (Service::at(NOW).await, Root::new());
    with_promotion(&service).await;
    let file = root.put(name, &bytes);
    let whole = batches(&service.store, &root, BatchLimits::DEFAULT);
    assert_eq!(work_off(&whole, &root, &file, ALL).await, 1, "{name}");
    let batch = newest(&service).await;
    let text = root.result(&file, "rejected.csv");
    let lines = rejected(&text);
    assert_eq!(lines.len() as u64, counts(&batch)[4], "{name}: {text}");
    // Exact, and no apostrophes.
    let raw = String::from_utf8_lossy(&unpacked(&bytes)).into_owned();
    for [line, _, detail, record] in &lines {
        assert!(
            raw.contains(record) && !detail.is_empty(),
            "{name}:{line} {record}"
        );
        let number: usize = line.parse().unwrap();
        let ends = raw.replace("\r\n", "\n").replace('\r', "\n");
        let mut lines = ends.trim_start_matches('\u{feff}').split('\n');
        let begins = lines.nth(number - 1).unwrap();
        let first = record.split(['\n', '\r']).next().unwrap();
        assert!(begins.starts_with(first), "{name}:{line} {begins}");
    }
    let mut shown: Value = serde_json::from_str(&root.result(&file, "result.json")).unwrap();
    for time in ["started_at", "finished_at"] {
        shown[time].take();
    }
    assert_eq!(shown, batch, "{name}");

    let mut by_code: BTreeMap<&str, usize> = BTreeMap::new();
    for [_, code, _, _] in &lines {
        *by_code.entry(code).or_default() += 1;
    }
    let by_code = match lines.is_empty() {
        true => Value::Null,
        false => json!(by_code),
    };
    let rejections = async |service: &Service| {
        let told = service.get(&format!("{M}/reports/reconciliation")).await;
        told["rejections"]["redemptions"].clone()
    };
    assert_eq!(rejections(&service).await, by_code, "{name}");

    // Told of again, it is the same batch, and nothing happens.
    assert_eq!(work_off(&whole, &root, &file, ALL).await, 1);
    assert_eq!(
        service.get(&format!("{M}/batches")).await["batches"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(newest(&service).await, batch);

    // Row by row, handed over after each.
    let (again, small_root) = (Service::at(NOW).await, Root::new());
    with_promotion(&again).await;
    small_root.put(name, &bytes);
    let small = BatchLimits {
        chunk_rows: 1,
        chunk_bytes: 1,
        ..BatchLimits::DEFAULT
    };
    let turns = work_off(
        &batches(&again.store, &small_root, small),
        &small_root,
        &file,
        3,
    )
    .await as u64;
    assert!(turns >= counts(&batch)[0], "{name}: {turns} turns");
    assert_eq!(newest(&again).await, batch, "{name}, row by row");
    assert_eq!(
        small_root.result(&file, "rejected.csv"),
        text,
        "{name}, row by row"
    );
    assert_eq!(rejections(&again).await, by_code, "{name}, row by row");

    // Under another name nothing is new.
    let other = root.put(&format!("other-{name}"), &bytes);
    work_off(&whole, &root, &other, ALL).await;
    let list = service.get(&format!("{M}/batches")).await;
    let copy = list["batches"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["file"] == other.key.as_str())
        .unwrap();
    let [rows, accepted, duplicates, quarantined, refused] = counts(&batch);
    let known = accepted + duplicates + quarantined;
    assert_eq!(
        counts(copy),
        [rows, 0, known, 0, refused],
        "{name}, under another name"
    );
    told(name, &batch, &lines)
}

/// Rows of every fate.
pub const FILE: &str = "redemption_id,promotion_id,customer_id,reward_amount,currency,order_id
r-1,p-1,ann,1.00,EUR,
r-2,p-1,bob,2.00,EUR,o-1
r-2,p-1,bob,2.00,EUR,o-1
r-3,p-2,cyd,,,
r-2,p-1,eve,,,
r-4,p-1,ann,x,EUR,
r-5,p-1,\"cyd\",4.00,EUR,
r-6
r-7,p-3,fay,,,
";

/// All that readers see of it.
pub async fn held(service: &Service, root: &Root, file: &File) -> Vec<Value> {
    let mut held = vec![
        newest(service).await,
        json!(root.result(file, "rejected.csv")),
        serde_json::from_str(&root.result(file, "result.json")).unwrap(),
    ];
    for path in [
        "promotions/p-1/redemptions",
        "promotions/p-1/dashboard",
        "reports/promotions",
        "quarantine",
        "reports/reconciliation",
    ] {
        held.push(service.get(&format!("{M}/{path}")).await);
    }
    let mut held = json!(held);
    crate::support::fixtures::strip(
        &mut held,
        &[
            "started_at",
            "finished_at",
            "as_of",
            "arrived_at",
            "redeemed_at",
            "rolled_back_at",
        ],
    );
    held.as_array().unwrap().clone()
}

/// What the table holds before a file comes.
pub async fn before() -> Embedded {
    let line = FaultClient::new();
    let service = service(&line);
    service.store.create_table().await.unwrap();
    with_promotion(&service).await;
    line.database.copy().unwrap()
}

pub fn service(line: &FaultClient) -> Service {
    Service::over(line, now())
}

pub const SMALL: BatchLimits = BatchLimits {
    chunk_rows: 3,
    ..BatchLimits::DEFAULT
};

pub async fn turn(batches: &BatchWorker, root: &Root, file: &File) -> Result<BatchEnd, BatchError> {
    let etag = root.folder().etag(&file.key).unwrap();
    batches.work(file, &etag, &now, Instant::MAX).await
}

/// Plays the file with faults at calls to the table; what is held then, and which calls there were.
async fn crash(before: &Embedded, faults: &[(usize, Fault)]) -> (Vec<Value>, Vec<Call>) {
    let (line, root) = (FaultClient::over(before.copy().unwrap()), Root::new());
    let file = root.put("a.csv", FILE.as_bytes());
    let mut faults = VecDeque::from(faults.to_vec());
    let mut ended = false;
    for _ in 0..4 {
        match faults.pop_front() {
            Some((call, fault)) => line.fail_at(call, fault),
            None => line.clear(),
        }
        let store = line.store();
        ended = matches!(
            turn(&batches(&store, &root, SMALL), &root, &file).await,
            Ok(BatchEnd::Ended)
        );
        if ended {
            break;
        }
    }
    assert!(ended, "it does not get through");
    let calls = line.calls();
    line.clear();
    (held(&service(&line), &root, &file).await, calls)
}

#[test]
fn a_worker_that_dies_anywhere_changes_nothing() {
    let before = block_on(before());
    let (expected, calls) = block_on(crash(&before, &[]));
    let batch = &expected[0];
    assert_eq!(
        (counts(batch), &batch["state"]),
        ([9, 3, 1, 2, 3], &json!("done")),
        "{batch}"
    );
    assert!(calls.len() >= 12, "{}", calls.len());
    let mut points: Vec<Vec<(usize, Fault)>> = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        let mut faults = call.faults();
        faults.retain(|fault| *fault != Fault::StaleRead);
        points.extend(
            share(&faults, at, proves())
                .into_iter()
                .map(|fault| vec![(at + 1, fault)]),
        );
    }
    // A worker that dies, and so does the one after him.
    let kills: Vec<_> = (1..=calls.len())
        .map(|at| (at, Fault::KilledAfter))
        .collect();
    for (n, first) in kills.iter().enumerate() {
        points.extend(
            share(&kills, n, proves())
                .into_iter()
                .map(|second| vec![*first, second]),
        );
    }
    spread(
        &points,
        |faults| format!("{faults:?}; cargo t --test it faults::batches"),
        |faults| {
            let (held, _) = block_on(crash(&before, faults));
            assert_eq!(held, expected, "{faults:?}");
        },
    );
    println!("crash points: {}", points.len());
    assert!(points.len() >= 2 * calls.len(), "{}", points.len());
}

/// Plays two workers at the same file, whose calls to the table go in this order.
async fn two(before: &Embedded, turns: &[usize]) -> Vec<Value> {
    let (database, root) = (before.copy().unwrap(), Root::new());
    let file = root.put("a.csv", FILE.as_bytes());
    let gates = [Gate::over(&database), Gate::over(&database)];
    let over: [AtomicUsize; 2] = Default::default();
    let worker = async |i: usize| {
        let store = Store::new(embedded::client(gates[i].clone()), TABLE);
        let turned = turn(&batches(&store, &root, SMALL), &root, &file).await;
        over[i].store(1, Ordering::SeqCst);
        turned
    };
    let driver = drive(&gates, &over, turns);
    let (one, other, ()) = tokio::join!(worker(0), worker(1), driver);
    for turned in [one, other] {
        assert!(matches!(turned, Ok(BatchEnd::Ended)), "{turned:?}");
    }
    let tripwire = Tripwire::over(database.clone());
    let store = Store::new(embedded::client(tripwire.clone()), TABLE);
    let service = Service::on(store, tripwire, now(), Retention::DEFAULT);
    held(&service, &root, &file).await
}

#[test]
fn two_workers_at_one_batch_change_nothing() {
    let before = block_on(before());
    let expected = block_on(two(&before, &[0; 100]));
    let calls = if proves() { 6 } else { 3 };
    let mut windows = vec![Window {
        alone: [0, 0],
        calls,
    }];
    // Later on, and one of them long frozen.
    let later: Vec<usize> = (1..24).collect();
    let later = later.chunks(6).enumerate();
    let later = later.flat_map(|(n, some)| share(some, n, proves()));
    windows.extend(later.map(|alone| Window {
        alone: [alone, 0],
        calls: 2,
    }));
    let orders = spread(
        &windows,
        |window| format!("{window:?}; cargo t --test it faults::batches"),
        |window| {
            window.orders(|turns| {
                assert_eq!(block_on(two(&before, turns)), expected, "{turns:?}");
                // They meet in files, too.
                [0, 1].map(|_| vec![Access::unknown(); turns.len()])
            })
        },
    );
    let orders: Orders = orders.into_iter().sum();
    assert_eq!(orders.played, orders.all);
    println!("interleavings: {}", orders.all);
}

#[tokio::test]
async fn a_file_that_is_not_what_it_was_fails_its_batch_and_leaves_the_results_alone() {
    let (service, root) = (Service::at(NOW).await, Root::new());
    with_promotion(&service).await;
    let small = batches(&service.store, &root, SMALL);
    let file = root.put("a.csv", FILE.as_bytes());
    let etag = root.folder().etag(&file.key).unwrap();
    let look = AtomicI64::new(now().ms());
    let clock = || Instant::from_ms(look.fetch_add(1, Ordering::SeqCst));
    // One chunk of it.
    let turned = small
        .work(&file, &etag, &clock, now().plus_ms(3))
        .await
        .unwrap();
    assert_eq!(turned, BatchEnd::Later);
    let header = FILE.lines().next().unwrap();
    root.put("a.csv", format!("{header}\nr-9,p-1,zoe,,,\n").as_bytes());
    work_off(&small, &root, &file, ALL).await;
    let result = root.result(&file, "result.json");
    assert_eq!(
        small.work(&file, &etag, &now, Instant::MAX).await.unwrap(),
        BatchEnd::Interrupted
    );
    let list = service.get(&format!("{M}/batches")).await;
    let states: Vec<_> = list["batches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["state"].as_str().unwrap(),
                one["rows"].as_u64().unwrap(),
                one["detail"].as_str().unwrap_or(""),
            )
        })
        .collect();
    let why = "the file was overwritten: at least 3 rows of what it held before were taken";
    let mut sorted = states.clone();
    sorted.sort();
    assert_eq!(sorted, [("done", 1, ""), ("failed", 3, why)]);
    assert_eq!(root.result(&file, "result.json"), result);

    // Gone.
    let gone = root.put("b.csv", FILE.as_bytes());
    let etag = root.folder().etag(&gone.key).unwrap();
    std::fs::remove_file(root.0.join(&gone.key)).unwrap();
    assert_eq!(
        small.work(&gone, &etag, &now, Instant::MAX).await.unwrap(),
        BatchEnd::Interrupted
    );
    let list = service.get(&format!("{M}/batches")).await;
    let batch = list["batches"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["file"] == gone.key.as_str())
        .unwrap()
        .clone();
    assert_eq!(
        (&batch["state"], &batch["detail"]),
        (
            &json!("failed"),
            &json!("the file is gone: at least 0 rows of what it held before were taken")
        )
    );
    assert_eq!(root.result(&gone, "result.json"), "");

    // Pages of the list hold each once, the newest first.
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = service.get(&format!("{M}/batches?limit=1{cursor}")).await;
        seen.extend(page["batches"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(json!(seen), list["batches"]);
    let times: Vec<&str> = seen
        .iter()
        .map(|one| one["started_at"].as_str().unwrap())
        .collect();
    assert!(
        times.is_sorted_by(|a, b| a >= b) && seen.len() == 3,
        "{times:?}"
    );
    for id in ["0".repeat(32), "x".to_owned(), "y".repeat(3_000)] {
        let (status, _) = service
            .call_as(
                crate::support::service::ADMIN,
                Method::GET,
                &format!("{M}/batches/{id}"),
                None,
            )
            .await;
        assert_eq!(status, 404);
    }
}

/// Both ways give the same from the same records.
#[tokio::test]
async fn a_file_comes_to_what_calls_come_to() {
    let rows: Vec<Value> = FILE
        .lines()
        .skip(1)
        .map(|line| {
            let names = FILE.lines().next().unwrap().split(',');
            let cells = line.split(',').map(|cell| cell.trim_matches('"'));
            names
                .zip(cells)
                .filter(|(_, cell)| !cell.is_empty())
                .map(|(name, cell)| (name.to_owned(), json!(cell)))
                .collect()
        })
        .collect();
    let called = Service::at(NOW).await;
    with_promotion(&called).await;
    let (_, answer) = called.post(&format!("{M}/redemptions"), &json!(rows)).await;
    assert_eq!(
        (&answer["accepted"], &answer["quarantined"]),
        (&json!(3), &json!(2)),
        "{answer}"
    );
    let (service, root) = (Service::at(NOW).await, Root::new());
    with_promotion(&service).await;
    let jsonl: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let file = root.put("a.jsonl", jsonl.as_bytes());
    work_off(
        &batches(&service.store, &root, BatchLimits::DEFAULT),
        &root,
        &file,
        ALL,
    )
    .await;
    let stripped = async |service: &Service, path: &str| {
        let mut shown = service.get(&format!("{M}/{path}")).await;
        crate::support::fixtures::strip(&mut shown, &["arrived_at", "redeemed_at", "as_of"]);
        shown
    };
    for promotion_too in [false, true] {
        if promotion_too {
            promotion(&called, "p-2").await;
            promotion(&service, "p-2").await;
        }
        for path in [
            "reports/promotions",
            "promotions/p-1/dashboard",
            "quarantine",
            "reports/reconciliation",
        ] {
            assert_eq!(
                stripped(&service, path).await,
                stripped(&called, path).await,
                "{path}"
            );
        }
    }
}

const NOTIFICATIONS: &str = include_str!("../../corpus/notifications.txt");

/// Messages of the queue, named `0`, `1`, …
pub fn messages(bodies: &[String]) -> Value {
    let record = |(place, body): (usize, &String)| json!({ "messageId": place.to_string(), "eventSource": "aws:sqs", "body": body });
    json!({ "Records": bodies.iter().enumerate().map(record).collect::<Value>() })
}

#[tokio::test]
async fn every_message_is_answered_as_the_corpus_says() {
    let mut cases = 0;
    for line in rows(NOTIFICATIONS) {
        let (expected, text) = line.split_once('|').unwrap();
        let (service, root) = (Service::at(NOW).await, Root::new());
        with_promotion(&service).await;
        let content = "redemption_id,promotion_id,customer_id\nr-1,p-1,ann\n";
        for name in ["a.csv", "é a.csv", "1+1=2 a.csv", "50%a.csv", "b a.csv"] {
            root.put(name, content.as_bytes());
        }
        let etag = root.folder().etag("inbox/m/redemptions/a.csv").unwrap();
        let one = |key: &str| {
            json!({ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
                "s3": { "bucket": { "name": "files" }, "object": { "key": key, "eTag": etag } } })
            .to_string()
        };
        let text = text.trim();
        let mut body = match text.strip_prefix("FILE") {
            Some(key) => format!("{{\"Records\":[{}]}}", one(key.trim())),
            None => text.replace("ETAG", &etag),
        };
        while let Some(start) = body.find("ONE ") {
            let end = start + body[start..].find([',', ']']).unwrap();
            let whole = one(&body[start + 4..end]);
            body.replace_range(start..end, &whole);
        }
        let batches = batches(&service.store, &root, BatchLimits::DEFAULT);
        let (mut answers, mut waits) = (Vec::new(), 0);
        let mut queue = VecDeque::from([body]);
        while let Some(body) = queue.pop_front() {
            let sent = Mutex::new(Vec::new());
            let send = async |later: &[envelope::FileMessage], _| {
                let texts = later
                    .iter()
                    .map(|one| (one.delay_s, serde_json::to_string(one).unwrap()));
                sent.lock().unwrap().extend(texts);
                Ok::<_, std::convert::Infallible>(())
            };
            let event = messages(&[body]);
            let answer = envelope::answer(&batches, "files", &event, &now, Instant::MAX, send);
            answers.push(answer.await.unwrap()["batchItemFailures"].take());
            for (delay_s, text) in sent.into_inner().unwrap() {
                // One that waits for its marketplace goes round.
                match delay_s {
                    0 => queue.push_back(text),
                    _ => waits += 1,
                }
            }
        }
        let list = service.get(&format!("{M}/batches")).await;
        let mut files: Vec<&str> = list["batches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["file"].as_str().unwrap())
            .collect();
        files.sort_unstable();
        let failed = answers.iter().any(|failed| *failed != json!([]));
        let mut told = match (failed, files.is_empty()) {
            (true, _) => "failed".to_owned(),
            (false, true) => "-".to_owned(),
            (false, false) => files.join(" "),
        };
        if waits > 0 {
            told = format!("{told} waits").replace("- ", "");
        }
        let told = told.replace('\n', "\\n").replace('\u{fffd}', "\\uFFFD");
        assert_eq!(told, expected.trim(), "{line} {answers:?}");
        for one in list["batches"].as_array().unwrap() {
            let taken = ["a.csv", "é a.csv", "1+1=2 a.csv", "50%a.csv", "b a.csv"];
            let is_taken = taken.map(|name| format!("inbox/m/redemptions/{name}"));
            let is_taken = is_taken.iter().any(|key| one["file"] == key.as_str());
            let state = if is_taken { "done" } else { "failed" };
            assert_eq!(one["state"], state, "{line}: {one}");
        }
        cases += 1;
    }
    println!("corpus: {cases} cases");
}

/// Where time is up the batch goes into the queue again, and whoever takes it out goes on; delivered twice, shuffled and late.
#[tokio::test]
async fn a_batch_that_is_handed_over_comes_back_by_the_queue() {
    let before = before().await;
    let (expected, _) = crash(&before, &[]).await;
    for copies in [1, 2] {
        let (line, root) = (FaultClient::over(before.copy().unwrap()), Root::new());
        let file = root.put("a.csv", FILE.as_bytes());
        let etag = root.folder().etag(&file.key).unwrap();
        let store = line.store();
        let batches = batches(&store, &root, SMALL);
        let first = json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": "files" }, "object": { "key": file.key, "eTag": etag } } }] });
        let mut queue = VecDeque::from(vec![first.to_string(); copies]);
        let ms = AtomicI64::new(now().ms());
        let clock = || Instant::from_ms(ms.fetch_add(1, Ordering::SeqCst));
        let mut calls = 0;
        while let Some(body) = queue.pop_back() {
            let sent = Mutex::new(Vec::new());
            let send = async |follow: &[envelope::FileMessage], _| {
                sent.lock()
                    .unwrap()
                    .extend(follow.iter().map(|one| serde_json::to_string(one).unwrap()));
                Ok::<_, std::convert::Infallible>(())
            };
            // Four looks: one chunk.
            let stop_at = Instant::from_ms(ms.load(Ordering::SeqCst)).plus_ms(4);
            let bodies = vec![body; copies];
            let answer =
                envelope::answer(&batches, "files", &messages(&bodies), &clock, stop_at, send)
                    .await
                    .unwrap();
            assert_eq!(answer, json!({ "batchItemFailures": [] }));
            for one in sent.into_inner().unwrap() {
                // It may overtake others.
                if calls % 2 == 0 {
                    queue.push_back(one)
                } else {
                    queue.push_front(one)
                }
            }
            calls += 1;
            assert!(calls < 100, "the queue does not get empty");
        }
        assert!(calls >= 3, "{calls} calls");
        line.clear();
        assert_eq!(
            held(&service(&line), &root, &file).await,
            expected,
            "{copies} copies"
        );
    }
}

/// A message can be lost, or come to the dead letters while the table was away. The batch is on record, and the tick finds it.
#[tokio::test]
async fn a_batch_that_stands_still_is_gone_on_with_by_the_tick() {
    let (service, root) = (Service::at(NOW).await, Root::new());
    with_promotion(&service).await;
    let batches = batches(&service.store, &root, SMALL);
    let (begun, whole) = (
        root.put("é 1%.csv", FILE.as_bytes()),
        root.put("whole.csv", FILE.as_bytes()),
    );
    let etag = |file: &File| root.folder().etag(&file.key).unwrap();
    let ms = AtomicI64::new(now().ms());
    let clock = || Instant::from_ms(ms.fetch_add(1, Ordering::SeqCst));
    // One chunk of the first file, and all of the other.
    let stop_at = now().plus_ms(3);
    let worked = batches.work(&begun, &etag(&begun), &clock, stop_at).await;
    assert_eq!(worked.unwrap(), BatchEnd::Later);
    let worked = batches
        .work(&whole, &etag(&whole), &clock, Instant::MAX)
        .await;
    assert_eq!(worked.unwrap(), BatchEnd::Ended);
    let tick = json!({ "source": "aws.events", "detail-type": "Scheduled Event" });
    const MINUTE_MS: i64 = 60_000;
    let mut announced = Vec::new();
    for (minutes, expected) in [(29, 0), (31, 1), (60, 1), (15 * 24 * 60, 0)] {
        let at = now().plus_ms(minutes * MINUTE_MS);
        let sent = Mutex::new(Vec::new());
        let send = async |follow: &[envelope::FileMessage], _| {
            let texts = follow.iter().map(|one| serde_json::to_string(one).unwrap());
            sent.lock().unwrap().extend(texts);
            Ok::<_, std::convert::Infallible>(())
        };
        let answer = envelope::answer(&batches, "files", &tick, &|| at, Instant::MAX, send).await;
        assert_eq!(answer.unwrap(), Value::Null);
        let sent = sent.into_inner().unwrap();
        assert_eq!(sent.len(), expected, "after {minutes} minutes: {sent:?}");
        announced.extend(sent);
    }
    // Told twice, it is taken in once.
    let later = now().plus_ms(31 * MINUTE_MS);
    let send = async |_: &[envelope::FileMessage], _| Ok::<_, std::convert::Infallible>(());
    let event = messages(&announced);
    let answer = envelope::answer(&batches, "files", &event, &|| later, Instant::MAX, send).await;
    assert_eq!(answer.unwrap(), json!({ "batchItemFailures": [] }));
    let list = service.get(&format!("{M}/batches")).await;
    let states = list["batches"].as_array().unwrap().iter();
    let states: Vec<&Value> = states.map(|one| &one["state"]).collect();
    assert_eq!(states, [&json!("done"); 2], "{list}");
}

/// A file that is too large to be read up to its checkpoint within a turn does not go round for ever.
#[tokio::test]
async fn a_batch_that_nobody_gets_on_with_fails_and_says_what_to_do() {
    let (service, root) = (Service::at(NOW).await, Root::new());
    with_promotion(&service).await;
    let small = batches(&service.store, &root, SMALL);
    let file = root.put("a.csv", FILE.as_bytes());
    let etag = root.folder().etag(&file.key).unwrap();
    let ms = AtomicI64::new(now().ms());
    let clock = || Instant::from_ms(ms.fetch_add(1, Ordering::SeqCst));
    // Turns of so many looks: of 1 nothing comes, of 3 a chunk.
    let mut turns = Vec::new();
    for looks in [1, 1, 3, 1, 1, 1] {
        let stop_at = Instant::from_ms(ms.load(Ordering::SeqCst)).plus_ms(looks);
        turns.push(small.work(&file, &etag, &clock, stop_at).await.unwrap());
    }
    assert_eq!(
        turns,
        [[BatchEnd::Later; 5].as_slice(), &[BatchEnd::Ended]].concat()
    );
    let batch = newest(&service).await;
    assert_eq!((counts(&batch)[0], &batch["state"]), (3, &json!("failed")));
    assert!(
        batch["detail"]
            .as_str()
            .unwrap()
            .ends_with("split the file into smaller ones"),
        "{batch}"
    );
    assert_eq!(rejected(&root.result(&file, "rejected.csv")).len(), 0);
}
