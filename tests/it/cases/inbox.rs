//! Cases from the world: what public bug reports found wrong, each with its whole kind; numbers are those of the list that `tests/it/cases/README.md` tells of.
//!
//! Here: files that are put into an inbox, and what `serve` starts with.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, SystemTime};

use clap::Parser;
use redemption_batch::{BatchEnd, BatchLimits, BatchWorker, envelope};
use revtrail::cli::{Cli, Command};
use revtrail::inbox::{Inbox, LIMITS};
use revtrail::serve;
use revtrail_aws::clock::Clock;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_storage::fault::FilesError;
use revtrail_storage::file::File;
use revtrail_storage::files::Files;
use revtrail_store::Store;
use revtrail_store::batches::Batch;
use revtrail_store::table::embedded::{self, Embedded, TABLE};
use serde_json::{Value, json};

use crate::faults::batches::{
    FILE, SMALL, batches, before, counts, held, messages, now, service, turn,
};
use crate::support::fault_client::{Fault, FaultClient};
use crate::support::root::Root;
use crate::support::service::{Service, block_on};
use crate::support::tripwire::Tripwire;

pub const HEADER: &str = "redemption_id,promotion_id,customer_id\n";

/// A folder with an inbox, and a table with the marketplaces `m` and `n`, each with a promotion `p-1`.
pub struct World {
    pub root: Root,
    database: Embedded,
}

impl World {
    pub async fn new() -> Self {
        let world = Self {
            root: Root::new(),
            database: Embedded::memory().unwrap(),
        };
        world.store().create_table().await.unwrap();
        for id in ["m", "n"] {
            world.make(id).await;
        }
        world
    }

    pub fn store(&self) -> Store {
        Store::new(embedded::client(self.database.clone()), TABLE)
    }

    fn service(&self) -> Service {
        let tripwire = Tripwire::over(self.database.clone());
        let store = Store::new(embedded::client(tripwire.clone()), TABLE);
        Service::on(store, tripwire, now(), Retention::DEFAULT)
    }

    pub async fn make(&self, id: &str) {
        let service = self.service();
        service.make(id, &json!({})).await;
        let promotion =
            json!({ "name": "P", "kind": "global", "tracking_from": "2026-11-01T00:00:00Z" });
        let path = format!("/v1/marketplaces/{id}/promotions/p-1");
        assert!(service.put(&path, &promotion).await.0.is_success());
    }

    /// An inbox that remembers nothing, as after a start.
    pub fn inbox(&self) -> Inbox {
        let clock = Clock::Set(Arc::new(AtomicI64::new(now().ms())));
        Inbox::new(
            self.store(),
            Retention::DEFAULT,
            clock,
            self.root.0.clone(),
            LIMITS,
        )
    }

    /// Puts a file there, at once.
    pub fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        let path = self.root.0.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let draft = self.root.0.join("draft");
        fs::write(&draft, bytes).unwrap();
        fs::rename(draft, path).unwrap();
    }

    /// All batches of a marketplace, by file.
    pub async fn batches(&self, id: &str) -> Vec<Batch> {
        let id = MarketplaceId::new(id).unwrap();
        let store = self.store();
        let market = store.market(&id, Retention::DEFAULT);
        let (batches, next) = market.batches().list(None, 1_000, now()).await.unwrap();
        assert_eq!(next, None);
        let mut batches: Vec<Batch> = batches.into_iter().map(|(_, batch)| batch).collect();
        batches.sort_by(|a, b| (&a.file, a.tally.rows).cmp(&(&b.file, b.tally.rows)));
        batches
    }

    /// What is listed: each file's state and accepted rows, and why it failed.
    pub async fn listed(&self, id: &str) -> Vec<(String, Value, u64, String)> {
        let line = |batch: Batch| {
            let tally = batch.tally;
            let sum = tally.accepted + tally.duplicates + tally.quarantined + tally.rejected;
            assert_eq!(tally.rows, sum, "{batch:?}");
            let state = json!(batch.state);
            let why = batch.detail.unwrap_or_default();
            (batch.file, state, tally.accepted, why)
        };
        self.batches(id).await.into_iter().map(line).collect()
    }
}

pub async fn look(inbox: &mut Inbox) {
    inbox.look().await.unwrap();
    inbox.idle().await;
}

pub fn row(id: &str) -> String {
    format!("{HEADER}{id},p-1,ann\n")
}

fn json_row(id: &str) -> String {
    json!({ "redemption_id": id, "promotion_id": "p-1", "customer_id": "ann" }).to_string()
}

pub fn gzipped(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

const LINK: &str = "it is a link, or something else that is no file";

#[tokio::test]
async fn case_04_nothing_that_is_put_into_the_inbox_is_passed_over() {
    let world = World::new().await;
    let taken: [(&str, Vec<u8>); 9] = [
        ("WEEK.CSV", row("r-0").into()),
        ("Week.Csv", row("r-1").into()),
        ("week.Csv.GZ", gzipped(&row("r-2"))),
        ("week.ndjson", json_row("r-3").into()),
        ("week.NDJSON", json_row("r-4").into()),
        ("week.ndjson.gz", gzipped(&json_row("r-5"))),
        ("week.JSONL", json_row("r-6").into()),
        ("week.jsonL.gZ", gzipped(&json_row("r-7"))),
        ("week.txt.csv", row("r-8").into()),
    ];
    for (name, bytes) in &taken {
        world.put(&format!("inbox/m/redemptions/{name}"), bytes);
    }
    let wrong = [
        ("redemptions/week.txt", "“week.txt” ends in none of .csv"),
        ("redemptions/week.xlsx", "a spreadsheet as “CSV UTF-8”"),
        ("redemptions/week.csv.zip", "ends in none of"),
        ("redemptions/week.csv.gz.bak", "ends in none of"),
        ("redemptions/week", "ends in none of"),
        ("redemptions/csv", "ends in none of"),
        ("redemptions/week.csv ", "ends in none of"),
        ("redemptions/week.gz", "ends in none of"),
        ("redemptions/a\nb.csv", "control characters: rename it"),
        (
            "redemptions/sub/week.csv",
            "it lies in inbox/m/redemptions/sub: put it into inbox/m/redemptions itself",
        ),
        (
            "redemptions/sub/deep/week.csv",
            "inbox/m/redemptions/sub/deep",
        ),
        (
            "redemptions/folder.csv/week.csv",
            "it lies in inbox/m/redemptions/folder.csv",
        ),
        ("redemption/week.csv", "it lies in inbox/m/redemption: "),
        ("week.csv", "it lies in inbox/m: "),
    ];
    for (path, _) in wrong {
        world.put(&format!("inbox/m/{path}"), row("never"));
    }
    // Not complete yet.
    for path in [
        ".week.csv",
        ".parts/week.csv",
        "sub/.week.csv",
        ".txt",
        "..csv",
    ] {
        world.put(&format!("inbox/m/redemptions/{path}"), row("never"));
    }
    let inbox = world.root.0.join("inbox/m/redemptions");
    world.put("elsewhere.csv", row("never"));
    std::os::unix::fs::symlink("../../../elsewhere.csv", inbox.join("link.csv")).unwrap();
    std::os::unix::fs::symlink("../../..", inbox.join("up")).unwrap();
    std::os::unix::fs::symlink("nowhere", inbox.join("nowhere.csv")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(inbox.join("socket.csv")).unwrap();
    fs::write(
        inbox.join(std::ffi::OsStr::from_bytes(b"w\xffk.csv")),
        row("never"),
    )
    .unwrap();
    let others = [
        ("link.csv", LINK),
        ("nowhere.csv", LINK),
        ("socket.csv", LINK),
        ("up", "ends in none of"),
        ("w\u{fffd}k.csv", "its name is not UTF-8: rename it"),
    ];

    let mut expected: Vec<(String, &str)> = Vec::new();
    expected.extend(
        taken
            .iter()
            .map(|(name, _)| (format!("inbox/m/redemptions/{name}"), "")),
    );
    expected.extend(wrong.map(|(path, why)| (format!("inbox/m/{path}"), why)));
    expected.extend(others.map(|(name, why)| (format!("inbox/m/redemptions/{name}"), why)));
    expected.sort();
    let mut inbox = world.inbox();
    // Looked at again, and again after a start, nothing more happens.
    for look_again in 0..4 {
        if look_again == 2 {
            inbox = world.inbox();
        }
        look(&mut inbox).await;
        let listed = world.listed("m").await;
        let files: Vec<&str> = listed.iter().map(|(file, ..)| file.as_str()).collect();
        let all: Vec<&str> = expected.iter().map(|(file, _)| file.as_str()).collect();
        assert_eq!(files, all);
        for ((file, state, accepted, why), (_, part)) in listed.iter().zip(&expected) {
            let taken = part.is_empty();
            let told = (state.as_str().unwrap(), *accepted, why.is_empty());
            let ends = if taken {
                ("done", 1, true)
            } else {
                ("failed", 0, false)
            };
            assert!(
                told == ends && why.contains(part),
                "{file}: {state} {accepted} {why}"
            );
            // Beside it, also of one that failed.
            let result = format!("{}/result.json", file.replacen("inbox", "outbox", 1));
            let result = fs::read_to_string(world.root.0.join(result)).unwrap();
            let result: Value = serde_json::from_str(&result).unwrap();
            assert_eq!((&result["state"], &result["file"]), (state, &json!(file)));
        }
    }
    assert_eq!(world.listed("n").await, []);
}

/// Delivers messages of the queue until none is left but those that wait; these.
async fn deliver(batches: &BatchWorker, bodies: Vec<String>) -> Vec<(String, String)> {
    let (mut queue, mut waiting) = (VecDeque::from(bodies), Vec::new());
    while let Some(body) = queue.pop_front() {
        let sent = Mutex::new(Vec::new());
        let send = async |later: &[envelope::FileMessage], _| {
            let text = |one: &envelope::FileMessage| serde_json::to_string(one).unwrap();
            let of = |one: &envelope::FileMessage| (one.marketplace.to_string(), one.delay_s);
            sent.lock()
                .unwrap()
                .extend(later.iter().map(|one| (of(one), text(one))));
            Ok::<_, std::convert::Infallible>(())
        };
        let event = messages(&[body]);
        let answer = envelope::answer(batches, "files", &event, &now, Instant::MAX, send).await;
        assert_eq!(answer.unwrap(), json!({ "batchItemFailures": [] }));
        for ((marketplace, delay_s), text) in sent.into_inner().unwrap() {
            match delay_s {
                0 => queue.push_back(text),
                _ => waiting.push((marketplace, text)),
            }
        }
    }
    waiting
}

/// What S3 tells of a file.
fn notification(key: &str, etag: &str) -> String {
    let object = json!({ "key": key.replace(' ', "+"), "eTag": etag, "size": 1 });
    json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": "files" }, "object": object } }] })
    .to_string()
}

fn batches_of(world: &World, limits: BatchLimits) -> BatchWorker {
    batches(&world.store(), &world.root, limits)
}

#[tokio::test]
async fn case_04_nothing_that_is_put_into_the_bucket_is_passed_over() {
    let world = World::new().await;
    let batches = batches_of(&world, BatchLimits::DEFAULT);
    for (name, state) in [
        ("WEEK.CSV", "done"),
        ("week 7.Csv", "done"),
        ("week.txt", "failed"),
        ("week", "failed"),
        ("sub/week.csv", "failed"),
        ("/week.csv", "failed"),
        ("sub_$folder$", "failed"),
    ] {
        let key = format!("inbox/m/redemptions/{name}");
        world.put(&key.replace("//", "/"), row(name));
        let etag = world.root.folder().etag(&key).unwrap();
        assert_eq!(deliver(&batches, vec![notification(&key, &etag)]).await, []);
        let listed = world.listed("m").await;
        let found = listed.iter().find(|(file, ..)| *file == key);
        assert_eq!(
            found.map(|one| &one.1),
            Some(&json!(state)),
            "{name}: {listed:?}"
        );
    }
    let before = world.listed("m").await.len();
    for name in ["", "sub/", "sub/deep/", ".week.csv", ".parts/week.csv"] {
        let told = notification(&format!("inbox/m/redemptions/{name}"), "0");
        let told = told.replace("\"size\":1", "\"size\":0");
        assert_eq!(deliver(&batches, vec![told]).await, []);
    }
    assert_eq!(world.listed("m").await.len(), before);
}

/// A table and a folder in which a batch was interrupted after `chunks` chunks of its file.
async fn interrupted(
    before: &Embedded,
    chunks: i64,
    overwritten: bool,
) -> (FaultClient, Root, File) {
    let (line, root) = (FaultClient::over(before.copy().unwrap()), Root::new());
    let file = root.put("a.csv", FILE.as_bytes());
    let etag = root.folder().etag(&file.key).unwrap();
    let limits = BatchLimits {
        invocation_rows: 3,
        ..SMALL
    };
    let small = batches(&line.store(), &root, limits);
    for _ in 0..chunks {
        let turned = small.work(&file, &etag, &now, Instant::MAX).await.unwrap();
        assert_eq!(turned, BatchEnd::Later);
    }
    match overwritten {
        true => drop(root.put("a.csv", b"another file")),
        false => fs::remove_file(root.0.join(&file.key)).unwrap(),
    }
    for _ in 0..2 {
        let turned = small.work(&file, &etag, &now, Instant::MAX).await.unwrap();
        assert_eq!(turned, BatchEnd::Interrupted);
    }
    let id = &MarketplaceId::new("m").unwrap();
    let store = line.store();
    let market = store.market(id, Retention::DEFAULT);
    let batch = market
        .batches()
        .receive_batch(&file.key, &etag, now())
        .await
        .unwrap();
    assert_eq!(
        (batch.has_ended(), batch.tally.rows),
        (true, 3 * chunks as u64)
    );
    root.put("a.csv", FILE.as_bytes());
    (line, root, file)
}

/// What is held after a file that nothing happened to.
async fn undisturbed(before: &Embedded) -> Vec<Value> {
    let (line, root) = (FaultClient::over(before.copy().unwrap()), Root::new());
    let file = root.put("a.csv", FILE.as_bytes());
    let turned = turn(&batches(&line.store(), &root, SMALL), &root, &file).await;
    assert_eq!(turned.unwrap(), BatchEnd::Ended);
    held(&service(&line), &root, &file).await
}

#[tokio::test]
async fn case_06_an_interrupted_batch_goes_on_when_its_content_is_back() {
    let before = before().await;
    let expected = undisturbed(&before).await;
    for chunks in [0, 1, 2] {
        for overwritten in [false, true] {
            let (line, root, file) = interrupted(&before, chunks, overwritten).await;
            let small = batches(&line.store(), &root, SMALL);
            assert_eq!(turn(&small, &root, &file).await.unwrap(), BatchEnd::Ended);
            let what = format!("after {chunks} chunks, overwritten {overwritten}");
            assert_eq!(
                held(&service(&line), &root, &file).await,
                expected,
                "{what}"
            );
            assert_eq!(counts(&expected[0])[0], 9);
            // Done is done, also where it goes away once more.
            let etag = root.folder().etag(&file.key).unwrap();
            fs::remove_file(root.0.join(&file.key)).unwrap();
            let again = small.work(&file, &etag, &now, Instant::MAX).await;
            assert_eq!(again.unwrap(), BatchEnd::Ended, "{what}");
            assert_eq!(
                held(&service(&line), &root, &file).await,
                expected,
                "{what}"
            );
        }
    }
}

#[test]
fn case_06_a_worker_that_dies_when_it_goes_on_changes_nothing() {
    let before = block_on(before());
    let expected = block_on(undisturbed(&before));
    let mut points = 0;
    for fault in [Fault::KilledAfter, Fault::AnswerLost, Fault::KilledBefore] {
        for at in 1.. {
            let (got_through, now_held) = block_on(async {
                let (line, root, file) = interrupted(&before, 1, false).await;
                line.clear();
                line.fail_at(at, fault);
                let first = turn(&batches(&line.store(), &root, SMALL), &root, &file).await;
                let got_through = first.is_ok() && line.calls().len() < at;
                line.clear();
                let then = turn(&batches(&line.store(), &root, SMALL), &root, &file).await;
                assert_eq!(then.unwrap(), BatchEnd::Ended);
                (got_through, held(&service(&line), &root, &file).await)
            });
            assert_eq!(now_held, expected, "{fault:?} at call {at}");
            points += 1;
            if got_through {
                break;
            }
        }
    }
    println!("crash points: {points}");
    assert!(points >= 20, "{points}");
}

#[tokio::test]
async fn case_06_a_file_that_comes_back_is_found_by_a_look() {
    let world = World::new().await;
    let rows: String = (0..4).map(|n| format!("r-{n},p-1,ann\n")).collect();
    let text = format!("{HEADER}{rows}");
    let key = "inbox/m/redemptions/week.csv";
    world.put(key, &text);
    let file = File::at(key).unwrap();
    let etag = world.root.folder().etag(key).unwrap();
    let small = BatchLimits {
        chunk_rows: 2,
        invocation_rows: 2,
        ..BatchLimits::DEFAULT
    };
    let small = batches_of(&world, small);
    let first = small.work(&file, &etag, &now, Instant::MAX);
    assert_eq!(first.await.unwrap(), BatchEnd::Later);
    let path = world.root.0.join(key);
    let away = world.root.0.join("away");
    let state = |listed: Vec<(String, Value, u64, String)>| {
        let told = listed
            .into_iter()
            .map(|(_, state, accepted, why)| (state, accepted, why));
        told.collect::<Vec<_>>()
    };
    let gone = "the file is gone: at least 2 rows of what it held before were taken".to_owned();
    // A process is started while the file is away. It comes back under its eyes, or before the next start.
    for (restart, back) in [(true, false), (false, false), (true, true)] {
        let mut inbox = world.inbox();
        fs::rename(&path, &away).unwrap();
        look(&mut inbox).await;
        look(&mut inbox).await;
        let listed = state(world.listed("m").await);
        match listed[0].0 == json!("failed") {
            true => assert_eq!(listed, [(json!("failed"), 2, gone.clone())]),
            false => assert_eq!(listed, [(json!("done"), 4, String::new())]),
        }
        fs::rename(&away, &path).unwrap();
        if restart && !back {
            inbox = world.inbox();
        }
        look(&mut inbox).await;
        assert_eq!(
            state(world.listed("m").await),
            [(json!("done"), 4, String::new())]
        );
    }
}

#[tokio::test]
async fn case_07_the_content_decides_which_batch_it_is() {
    let world = World::new().await;
    let key = "inbox/m/redemptions/week.csv";
    let path = world.root.0.join(key);
    let long_ago = SystemTime::now() - Duration::from_secs(100_000);
    let dated = |path: &Path| {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    };
    let mut inbox = world.inbox();
    // Each of one size and one time. Renamed over the one before, written into it, or after it was removed.
    for (n, how) in ["rename", "write", "remove", "rename", "write"]
        .iter()
        .enumerate()
    {
        let text = row(&format!("r-{n}"));
        match *how {
            "rename" => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let draft = world.root.0.join("draft");
                fs::write(&draft, text).unwrap();
                dated(&draft);
                fs::rename(draft, &path).unwrap();
            }
            "write" => fs::write(&path, text).unwrap(),
            _ => {
                fs::remove_file(&path).unwrap();
                fs::write(&path, text).unwrap();
            }
        }
        dated(&path);
        look(&mut inbox).await;
        look(&mut inbox).await;
        assert_eq!(world.listed("m").await.len(), n + 1, "{how}");
    }
    // A content that was there before is the batch that it was.
    fs::write(&path, row("r-0")).unwrap();
    look(&mut inbox).await;
    let before: Vec<u64> = world
        .batches("m")
        .await
        .iter()
        .map(|one| one.tally.accepted)
        .collect();
    assert_eq!(before, [1; 5]);
    // Told of twice it is one batch; under another name, duplicates.
    look(&mut world.inbox()).await;
    world.put("inbox/m/redemptions/again.csv", row("r-0"));
    look(&mut inbox).await;
    let counts: Vec<[u64; 3]> = world
        .batches("m")
        .await
        .iter()
        .map(|one| [one.tally.rows, one.tally.accepted, one.tally.duplicates])
        .collect();
    assert_eq!(
        counts,
        [
            [1, 0, 1],
            [1, 1, 0],
            [1, 1, 0],
            [1, 1, 0],
            [1, 1, 0],
            [1, 1, 0]
        ]
    );
}

/// A file that is written into while it is read is not taken for the content that was told of.
#[tokio::test]
async fn case_07_a_content_that_changes_while_it_is_read_is_another() {
    let world = World::new().await;
    let key = "inbox/m/redemptions/week.csv";
    let text = |n: usize| format!("{HEADER}{}", format!("r-{n},p-1,ann\n").repeat(50_000));
    let path = world.root.0.join(key);
    for (n, in_secret) in [false, true].into_iter().enumerate() {
        world.put(key, text(n));
        let folder = world.root.folder();
        let etag = folder.etag(key).unwrap();
        let files = Files::Folder(folder);
        let mut reader = files.open(key, &etag).unwrap();
        let mut bytes = vec![0; 1_000];
        reader.read_exact(&mut bytes).unwrap();
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let earlier = time - Duration::from_secs(1);
        // Times tell in steps: it is set, and either told or not.
        let file = fs::File::options().write(true).open(&path).unwrap();
        fs::write(&path, text(n + 5)).unwrap();
        file.set_modified(if in_secret { time } else { earlier })
            .unwrap();
        let error = reader.read_to_end(&mut bytes).unwrap_err();
        let error = error.downcast::<FilesError>().unwrap();
        match in_secret {
            false => {
                assert!(matches!(error, FilesError::Overwritten), "{error}");
                // Nothing of the other content was handed over.
                assert_eq!(bytes.len(), 1_000);
            }
            true => assert!(matches!(error, FilesError::Mixed), "{error}"),
        }
        let again = files.open(key, &etag);
        assert!(matches!(again.err(), Some(FilesError::Overwritten)));
    }
    // One that was only renamed is read to its end.
    let folder = world.root.folder();
    let mut reader = Files::Folder(folder.clone())
        .open(key, &folder.etag(key).unwrap())
        .unwrap();
    fs::rename(&path, world.root.0.join("away")).unwrap();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, text(6).into_bytes());
}

#[tokio::test]
async fn case_22_results_lie_under_the_whole_name() {
    let world = World::new().await;
    let names = [
        "week.csv",
        "week.jsonl",
        "week.ndjson",
        "week.csv.gz",
        "WEEK.csv",
        "week.b.csv",
    ];
    for (n, name) in names.iter().enumerate() {
        let text = match name.contains("json") {
            true => json_row(&format!("r-{n}")),
            false => row(&format!("r-{n}")),
        };
        let bytes = match name.ends_with(".gz") {
            true => gzipped(&text),
            false => text.into_bytes(),
        };
        world.put(&format!("inbox/m/redemptions/{name}"), bytes);
    }
    look(&mut world.inbox()).await;
    for name in names {
        let folder = world.root.0.join(format!("outbox/m/redemptions/{name}"));
        let result = fs::read_to_string(folder.join("result.json")).unwrap();
        let result: Value = serde_json::from_str(&result).unwrap();
        let told = (&result["file"], &result["accepted"]);
        assert_eq!(
            told,
            (&json!(format!("inbox/m/redemptions/{name}")), &json!(1))
        );
        let rejected = fs::read_to_string(folder.join("rejected.csv")).unwrap();
        assert_eq!(rejected, "line,code,detail,record\n");
    }
    let folders = fs::read_dir(world.root.0.join("outbox/m/redemptions")).unwrap();
    assert_eq!(folders.count(), names.len());
}

#[tokio::test]
async fn case_26_files_of_one_marketplace_do_not_hold_up_anothers() {
    let world = World::new().await;
    let rows: String = (0..4_000).map(|n| format!("r-{n},p-1,c-{n}\n")).collect();
    for name in ["a.csv", "b.csv"] {
        world.put(
            &format!("inbox/m/redemptions/{name}"),
            format!("{HEADER}{rows}"),
        );
    }
    let mut inbox = world.inbox();
    // One that comes with them, and one that comes when they are long at work.
    for (place, id) in ["r-1", "r-2"].iter().enumerate() {
        world.put(&format!("inbox/n/redemptions/{id}.csv"), row(id));
        inbox.look().await.unwrap();
        loop {
            let small = world.listed("n").await;
            if small.len() == place + 1 && small.iter().all(|one| one.1 == "done") {
                break;
            }
            inbox.look().await.unwrap();
        }
        let large = world.listed("m").await;
        assert!(large.iter().all(|one| one.1 != "done"), "{large:?}");
    }
}

/// In AWS: what S3 tells comes back under the name of the marketplace, and a turn ends after so many rows.
#[tokio::test]
async fn case_26_messages_say_whose_they_are_and_turns_end() {
    let world = World::new().await;
    let rows: String = (0..10).map(|n| format!("r-{n},p-1,c-{n}\n")).collect();
    let limits = BatchLimits {
        chunk_rows: 2,
        invocation_rows: 4,
        ..BatchLimits::DEFAULT
    };
    let batches = batches_of(&world, limits);
    let mut queue = VecDeque::new();
    for id in ["m", "n"] {
        let key = format!("inbox/{id}/redemptions/week.csv");
        world.put(&key, format!("{HEADER}{rows}"));
        let etag = world.root.folder().etag(&key).unwrap();
        queue.push_back(notification(&key, &etag));
    }
    let mut groups = Vec::new();
    while let Some(body) = queue.pop_front() {
        let sent = Mutex::new(Vec::new());
        let send = async |later: &[envelope::FileMessage], _| {
            let told = |one: &envelope::FileMessage| {
                assert_eq!(one.delay_s, 0);
                (
                    one.marketplace.to_string(),
                    serde_json::to_string(one).unwrap(),
                )
            };
            sent.lock().unwrap().extend(later.iter().map(told));
            Ok::<_, std::convert::Infallible>(())
        };
        let event = messages(&[body]);
        let answer = envelope::answer(&batches, "files", &event, &now, Instant::MAX, send);
        answer.await.unwrap();
        for (group, text) in sent.into_inner().unwrap() {
            groups.push(group);
            queue.push_back(text);
        }
    }
    // One each when S3 tells, and after 4 and 8 rows.
    assert_eq!(groups, ["m", "n", "m", "n", "m", "n"]);
    for id in ["m", "n"] {
        let listed = world.listed(id).await;
        assert_eq!((&listed[0].1, listed[0].2), (&json!("done"), 10));
    }
}

#[tokio::test]
async fn case_38_a_file_is_taken_when_its_marketplace_is_made() {
    let world = World::new().await;
    world.put("inbox/later/redemptions/week.csv", row("r-1"));
    for path in [
        "inbox/week.csv",
        "inbox/Not An Id/redemptions/week.csv",
        "inbox/.new/week.csv",
    ] {
        world.put(path, row("never"));
    }
    let mut inbox = world.inbox();
    look(&mut inbox).await;
    look(&mut inbox).await;
    world.make("later").await;
    look(&mut inbox).await;
    let listed = world.listed("later").await;
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].1, listed[0].2), (&json!("done"), 1));
}

#[tokio::test]
async fn case_38_a_message_goes_round_until_its_marketplace_is_made() {
    let world = World::new().await;
    let batches = batches_of(&world, BatchLimits::DEFAULT);
    let told: Vec<String> = ["week.csv", "gone.csv", "other.csv"]
        .map(|name| {
            let key = format!("inbox/later/redemptions/{name}");
            world.put(&key, row(name));
            notification(&key, &world.root.folder().etag(&key).unwrap())
        })
        .into();
    let texts = |waiting: Vec<(String, String)>| -> Vec<String> {
        waiting
            .into_iter()
            .map(|(marketplace, text)| {
                assert_eq!(marketplace, "later");
                text
            })
            .collect()
    };
    let mut waiting = texts(deliver(&batches, told).await);
    waiting = texts(deliver(&batches, waiting).await);
    assert_eq!(waiting.len(), 3);
    // One that is gone, or another, waits no longer.
    fs::remove_file(world.root.0.join("inbox/later/redemptions/gone.csv")).unwrap();
    world.put("inbox/later/redemptions/other.csv", row("another"));
    waiting = texts(deliver(&batches, waiting).await);
    assert_eq!(waiting.len(), 1);
    world.make("later").await;
    assert_eq!(deliver(&batches, waiting).await, []);
    let listed = world.listed("later").await;
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].1, listed[0].2), (&json!("done"), 1));
}

/// What `serve` says that is started so, and cannot start.
fn refused(args: &[&str]) -> String {
    let cli = match Cli::try_parse_from([&["revtrail", "serve", "--port", "0"], args].concat()) {
        Ok(cli) => cli,
        Err(error) => return error.to_string(),
    };
    let Command::Serve(args) = cli.command else {
        panic!("it is not `serve`");
    };
    let mut out = Vec::new();
    let served =
        async { tokio::time::timeout(Duration::from_secs(60), serve::run(&args, &mut out)).await };
    let error = block_on(served).expect("it starts").unwrap_err();
    assert_eq!(out, b"", "nothing is said before that");
    error.to_string()
}

#[test]
fn case_36_an_admin_key_that_anybody_guesses_is_refused() {
    let root = Root::new();
    fs::create_dir_all(root.0.join("data")).unwrap();
    let file = |name: &str, text: &str| {
        let path = root.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let short = file("short", "short\n");
    let nothing = file("nothing", "\n");
    let two_lines = file("two-lines", "0123456789abcdef\n0123456789abcdef\n");
    let missing = root.0.join("missing").to_str().unwrap().to_owned();
    let data = root.0.join("data").to_str().unwrap().to_owned();
    file("data/admin-key", "changed by hand");
    let option = "the admin key of --admin-key or REVTRAIL_ADMIN_KEY ";
    for (args, parts) in [
        (
            &["--admin-key", "short"][..],
            &[option, "has 5 characters: give one of at least 16"][..],
        ),
        (
            &["--admin-key", "fifteen-letters"],
            &[option, "15 characters"],
        ),
        (&["--admin-key", ""], &[option, "has 0 characters"]),
        (&["--admin-key", "demo1"], &[option, "5 characters"]),
        (
            &["--demo", "--admin-key", "DEMO"],
            &[option, "4 characters"],
        ),
        // In bytes it is long enough.
        (&["--admin-key", "ключключ"], &[option, "8 characters"]),
        (
            &["--admin-key", "ключключключключ"],
            &[option, "beyond ASCII"],
        ),
        (
            &["--admin-key", "with a blank in it"],
            &[option, "holds blanks"],
        ),
        (
            &["--admin-key-file", &short],
            &["the admin key in the file ", &short, "has 5 characters"],
        ),
        (
            &["--admin-key-file", &nothing],
            &[&nothing, "has 0 characters"],
        ),
        (
            &["--admin-key-file", &two_lines],
            &[&two_lines, "holds blanks"],
        ),
        (
            &["--admin-key-file", &missing],
            &["failed to use", &missing, "admin key"],
        ),
        (&["--data", &data], &["data/admin-key", "has 15 characters"]),
        (
            &[
                "--admin-key",
                "0123456789abcdef",
                "--admin-key-file",
                &short,
            ],
            &["cannot be used with"],
        ),
        (&["--host", "http://shop.example"], &["without http://"]),
        (&["--host", "shop.example:80"], &["without a port"]),
        (
            &["--bind", "shop.example"],
            &["invalid value 'shop.example' for '--bind"],
        ),
        (&["--retention", "29d"], &["at least 30 days"]),
        (&["--now", "yesterday"], &["--now"]),
    ] {
        let told = refused(args);
        for part in parts {
            assert!(told.contains(part), "{args:?}: {told}");
        }
        // A key does not come into a log, not even a bad one.
        for key in ["fifteen-letters", "ключ", "with a blank in it"] {
            assert!(!told.contains(key), "{told}");
        }
    }
}

/// A database of this program, with something in it.
async fn with_something(path: &Path, table: &str) {
    let database = Embedded::file(path).unwrap();
    let store = Store::new(embedded::client(database), table);
    store.create_table().await.unwrap();
    let id = MarketplaceId::new("m").unwrap();
    let market = store.market(&id, Retention::DEFAULT);
    for n in 0..50 {
        market
            .batches()
            .receive_batch(&format!("file-{n}"), "0", now())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn case_37_a_data_file_that_is_no_database_of_ours_is_named_and_left_alone() {
    let root = Root::new();
    let whole = root.0.join("whole");
    fs::create_dir_all(&root.0).unwrap();
    with_something(&whole, TABLE).await;
    let whole = fs::read(whole).unwrap();
    assert!(whole.len() > 16_384, "{}", whole.len());
    let others = root.0.join("others");
    let connection = rusqlite::Connection::open(&others).unwrap();
    let sql = "CREATE TABLE notes (body TEXT); INSERT INTO notes VALUES ('mine'); CREATE TABLE b (x); CREATE TABLE c (x); CREATE TABLE d (x)";
    connection.execute_batch(sql).unwrap();
    drop(connection);
    let others = fs::read(others).unwrap();
    let dynoxide = root.0.join("dynoxide");
    with_something(&dynoxide, "others").await;
    let dynoxide = fs::read(dynoxide).unwrap();
    let not_ours = "is no database of revtrail: ";
    let do_what = "Move it away, or give a folder of revtrail's own";
    let junk = "it does not begin as a file of SQLite does";
    for (what, bytes, parts) in [
        ("junk", b"this is junk".to_vec(), [not_ours, junk, do_what]),
        ("long junk", vec![7; 100_000], [not_ours, junk, do_what]),
        ("a line end", b"\n".to_vec(), [not_ours, junk, do_what]),
        ("zeros", vec![0; 8_192], [not_ours, junk, do_what]),
        ("a gzip", gzipped("{}"), [not_ours, junk, do_what]),
        (
            "another program's",
            others,
            [
                not_ours,
                r#"another program keeps its tables in it ("b", "c", "d", …)"#,
                do_what,
            ],
        ),
        (
            "another program's, on dynoxide",
            dynoxide,
            [
                not_ours,
                r#"another program keeps its tables in it ("others")"#,
                do_what,
            ],
        ),
        (
            "cut to its first bytes",
            whole[..16].to_vec(),
            ["is damaged (", "put back a copy", "begin anew"],
        ),
        (
            "cut in its first page",
            whole[..1_000].to_vec(),
            ["is damaged (", "put back a copy", "begin anew"],
        ),
        (
            "cut in half",
            whole[..whole.len() / 2].to_vec(),
            ["is damaged (", "put back a copy", "begin anew"],
        ),
        (
            "cut within a page",
            whole[..whole.len() - 1].to_vec(),
            ["is damaged (", "put back a copy", "begin anew"],
        ),
        (
            "its beginning written over",
            [&whole[..16], &[9; 4_080], &whole[4_096..]].concat(),
            ["is damaged (", "put back a copy", "begin anew"],
        ),
    ] {
        let folder = root.0.join("data");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("revtrail.db");
        fs::write(&path, &bytes).unwrap();
        let (at, of) = (
            folder.to_str().unwrap().to_owned(),
            path.display().to_string(),
        );
        let told = std::thread::spawn(move || refused(&["--data", &at]))
            .join()
            .unwrap();
        for part in parts.into_iter().chain([of.as_str()]) {
            assert!(told.contains(part), "{what}: {told}");
        }
        assert!(!told.contains("Database::"), "{what}: {told}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what} is as it was");
        fs::remove_dir_all(folder).unwrap();
    }
    // A folder in its place, and a file in the place of the folder.
    let folder = root.0.join("data");
    fs::create_dir_all(folder.join("revtrail.db")).unwrap();
    let at = folder.to_str().unwrap().to_owned();
    let told = std::thread::spawn(move || refused(&["--data", &at]))
        .join()
        .unwrap();
    assert!(
        told.contains("revtrail.db is no database of revtrail: it is a folder"),
        "{told}"
    );
    fs::write(root.0.join("file"), "").unwrap();
    let at = root.0.join("file").to_str().unwrap().to_owned();
    let told = std::thread::spawn(move || refused(&["--data", &at]))
        .join()
        .unwrap();
    assert!(
        told.contains("--data names a folder that revtrail may write to"),
        "{told}"
    );
    // Ours, and one that was just made.
    for bytes in [&whole[..], b""] {
        let path = root.0.join("ours");
        fs::write(&path, bytes).unwrap();
        let store = embedded::store(Embedded::file(&path).unwrap())
            .await
            .unwrap();
        store.marketplaces().await.unwrap();
    }
    let made = root.0.join("made");
    drop(Embedded::file(&made).unwrap());
    drop(Embedded::file(&made).unwrap());
}
