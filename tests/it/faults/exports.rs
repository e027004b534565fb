//! Exports while calls fail, while workers die, come twice or freeze: each row is in one file of those that the manifest names.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use hourly_attributor::{Attributor, AttributorError, JobLimits};
use http::Method;
use revtrail_core::value::time::Instant;
use revtrail_storage::files::Files;
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::table::embedded::Embedded;
use serde_json::{Value, json};

use crate::faults::batches::{M, now};
use crate::http::exports::{Exported, KINDS, exported, files_below};
use crate::support::fault_client::{Call, Fault, FaultClient, points};
use crate::support::fixtures::{Shop, events, order};
use crate::support::root::Root;
use crate::support::service::{ADMIN, Service, block_on};
use crate::support::tier::{fails_among, spread};

/// The customers of the shop. Each has two events and an order on each of two days.
const CUSTOMERS: usize = 4;

/// A shop with something of each kind, and an export of all of it that is asked for; the job message that points at it.
async fn before() -> (Embedded, Vec<JobMessage>, String) {
    let line = FaultClient::new();
    let shop = Shop::over(&line).await;
    let facts =
        (0..CUSTOMERS).flat_map(|n| events(&format!("mail email sent,clicked c{n} 16T10:00")));
    shop.service
        .feed("m", "events", &Vec::from_iter(facts), 9)
        .await;
    let orders = (0..CUSTOMERS).flat_map(|n| {
        let order = |day: usize| order(&format!("o{n}-{day} c{n} COMPLETE {n}.10 EUR {day}T11:00"));
        [order(16), order(17)]
    });
    shop.service
        .feed("m", "orders", &Vec::from_iter(orders), 9)
        .await;
    for promotion in ["p", "q"] {
        shop.put(
            &format!("promotions/{promotion}"),
            json!({"name": "P", "tracking_from": "2026-11-01T00:00:00Z"}),
        )
        .await;
        let redeemed = (0..2).map(|n| {
            json!({"redemption_id": format!("{promotion}{n}"), "promotion_id": promotion, "customer_id": "c1",
                "redeemed_at": "2026-11-16T12:00:00Z"})
        });
        shop.service
            .feed("m", "redemptions", &Vec::from_iter(redeemed), 9)
            .await;
    }
    shop.run().await;
    let body = json!({"what": KINDS, "from": "2026-11-16", "to": "2026-11-18"});
    let (status, told) = shop.call(Method::POST, "exports", body).await;
    assert_eq!(status, 202, "{told}");
    let id = told["export_id"].as_str().unwrap().to_owned();
    (line.database.copy().unwrap(), shop.service.enqueued(), id)
}

/// An attributor that writes after every few rows into a folder.
fn attributor(service: &Service, root: &Root, export_bytes: usize) -> Attributor {
    Attributor {
        limits: JobLimits {
            export_bytes,
            ..JobLimits::DEFAULT
        },
        outbox: Some(Files::Folder(root.folder())),
        ..service.attributor()
    }
}

/// Handles messages and all that follow, in turns of so many looks at the clock.
async fn work(
    attributor: &Attributor,
    mut messages: Vec<JobMessage>,
    looks: i64,
) -> Result<(), AttributorError> {
    let ms = AtomicI64::new(now().ms());
    let clock = || Instant::from_ms(ms.fetch_add(1, Ordering::SeqCst));
    for _ in 0..2_000 {
        let Some(message) = messages.pop() else {
            return Ok(());
        };
        let stop_at = Instant::from_ms(ms.load(Ordering::SeqCst)).plus_ms(looks);
        messages.extend(attributor.handle(&message, &clock, stop_at).await?);
    }
    panic!("it is handed over without an end");
}

fn folder(root: &Root, id: &str) -> PathBuf {
    root.0.join("outbox/m/exports").join(id)
}

/// The rows of an export that is done. Beside the files that it names there is none.
async fn done(service: &Service, root: &Root, id: &str) -> Exported {
    let shown = service.get(&format!("{M}/exports/{id}")).await;
    assert_eq!(shown["state"], "done", "{shown}");
    let prefix = format!("outbox/m/exports/{id}/");
    let files = shown["files"].as_array().unwrap().iter();
    let files = files.map(|file| {
        file["file"]
            .as_str()
            .unwrap()
            .strip_prefix(&prefix)
            .unwrap()
    });
    let mut named: Vec<&str> = files.chain(["manifest.json"]).collect();
    named.sort_unstable();
    let there = files_below(&folder(root, id));
    assert_eq!(Vec::from_iter(&there), named, "in the folder, and named");
    exported(&folder(root, id))
}

/// Every call that a worker makes fails once; its message is delivered again. However small the parts are, the rows are the same.
#[test]
fn every_crash_point_of_an_export_ends_in_the_same_rows() {
    let (before, messages, id) = block_on(before());
    let all = i64::from(i32::MAX);
    let mut expected: Option<Exported> = None;
    for (looks, bytes) in [(all, usize::MAX), (all, 1), (4, usize::MAX)] {
        let play = |failing: Option<(usize, Fault)>| -> (Exported, Vec<Call>) {
            let line = FaultClient::over(before.copy().unwrap());
            let root = Root::new();
            block_on(async {
                if let Some((call, fault)) = failing {
                    line.fail_at(call, fault);
                }
                let first = Service::over(&line, now());
                let worked = work(&attributor(&first, &root, bytes), messages.clone(), looks).await;
                let calls = line.calls();
                line.clear();
                let again = Service::over(&line, now());
                if worked.is_err() || failing.is_some() {
                    let worker = attributor(&again, &root, bytes);
                    work(&worker, messages.clone(), looks).await.unwrap();
                }
                (done(&again, &root, &id).await, calls)
            })
        };
        let (smooth, calls) = play(None);
        let rows = |what: &str| -> usize {
            let of_kind = smooth.iter().filter(|((kind, _), _)| kind == what);
            of_kind.map(|(_, rows)| rows.len()).sum()
        };
        assert_eq!(
            KINDS.map(rows),
            [2 * CUSTOMERS, 2 * CUSTOMERS, 2 * CUSTOMERS, 2, 4]
        );
        assert_eq!(
            *expected.get_or_insert_with(|| smooth.clone()),
            smooth,
            "parts of {bytes}, turns of {looks}"
        );
        let points = points(&calls, |n| fails_among(n, calls.len()));
        let replay = |(call, fault): &(usize, Fault)| {
            format!(
                "REVTRAIL_CALL={call} cargo t --test it faults::exports ({fault:?}, parts of {bytes}, turns of {looks})"
            )
        };
        spread(&points, replay, |point| {
            assert_eq!(play(Some(*point)).0, smooth)
        });
        println!(
            "crash points of exports: {} at {} calls",
            points.len(),
            calls.len()
        );
    }
}

/// Two workers are at it in turns as short as they can be: whoever is slower has done nothing.
#[tokio::test]
async fn two_workers_write_each_row_once() {
    let (before, messages, id) = before().await;
    let line = FaultClient::over(before);
    let (service, root) = (Service::over(&line, now()), Root::new());
    let worker = attributor(&service, &root, 1);
    let clock = || now();
    for turn in 0.. {
        assert!(turn < 200, "it goes on without an end");
        let (one, other) = tokio::join!(
            worker.handle(&messages[0], &clock, now()),
            worker.handle(&messages[0], &clock, now())
        );
        if one.unwrap().is_empty() && other.unwrap().is_empty() {
            let shown = service.get(&format!("{M}/exports/{id}")).await;
            if shown["state"] == "done" {
                break;
            }
        }
    }
    let rows = done(&service, &root, &id).await;
    assert_eq!(
        rows.values().map(Vec::len).sum::<usize>(),
        6 * CUSTOMERS + 6
    );
}

/// A worker that froze with rows in hand, and thaws when another has come to the end, adds nothing to what the manifest names.
#[tokio::test]
async fn whoever_thaws_writes_nothing_that_counts() {
    let (before, messages, id) = before().await;
    let mut freeze = 0;
    loop {
        let line = FaultClient::over(before.copy().unwrap());
        let (service, root) = (Service::over(&line, now()), Root::new());
        let worker = || attributor(&service, &root, usize::MAX);
        let looks = AtomicI64::new(0);
        // It freezes when it looks at the clock, as it does before each write.
        let clock = || {
            if looks.fetch_add(1, Ordering::SeqCst) == freeze {
                let other = worker();
                let rest = || work(&other, messages.clone(), i64::from(i32::MAX));
                let finish = || block_on(rest()).unwrap();
                thread::scope(|scope| scope.spawn(finish).join().unwrap());
            }
            now()
        };
        let frozen = worker();
        let handled = frozen.handle(&messages[0], &clock, Instant::MAX).await;
        handled.unwrap();
        let shown = service.get(&format!("{M}/exports/{id}")).await;
        assert_eq!(shown["state"], "done", "frozen at look {freeze}: {shown}");
        let rows = exported(&folder(&root, &id));
        let rows: usize = rows.values().map(Vec::len).sum();
        assert_eq!(rows, 6 * CUSTOMERS + 6, "frozen at look {freeze}");
        if looks.into_inner() <= freeze {
            break;
        }
        freeze += 1;
    }
    assert!(freeze > 5, "it looks at the clock {freeze} times");
}

/// While the facts of a customer move to a pseudonym, only a part of them is in each place: so an export waits.
#[tokio::test]
async fn an_export_waits_for_an_erasure_and_is_removed_by_it() {
    let (before, messages, id) = before().await;
    let line = FaultClient::over(before);
    let (service, root) = (Service::over(&line, now()), Root::new());
    let worker = attributor(&service, &root, usize::MAX);
    let path = format!("{M}/customers/c2");
    let (status, told) = service
        .call_as(ADMIN, Method::DELETE, &path, Some(&Value::Null))
        .await;
    assert_eq!(status, 202, "{told}");
    // The erasure has marked the customer, and its time is up.
    let erasing = service.enqueued();
    let clock = || now();
    let left = worker.handle(&erasing[0], &clock, now()).await.unwrap();
    assert_eq!(left, erasing, "the erasure goes on");
    assert_eq!(
        worker
            .handle(&messages[0], &clock, Instant::MAX)
            .await
            .unwrap(),
        []
    );
    let shown = service.get(&format!("{M}/exports/{id}")).await;
    assert_eq!(shown["state"], "running", "{shown}");
    work(&worker, left, i64::from(i32::MAX)).await.unwrap();
    let shown = service.get(&format!("{M}/exports/{id}")).await;
    assert_eq!(shown["state"], "removed", "{shown}");
    assert!(!folder(&root, &id).exists());
}
