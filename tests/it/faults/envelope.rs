//! hourly-attributor as Lambda calls it: events of the schedule and of the queue, in `tests/corpus/envelopes.txt`, and what
//! follows from them. Also what becomes of a run that cannot be sent to the queue.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use hourly_attributor::{Attributor, JobLimits, envelope};
use http::{Method, Request};
use revtrail_aws::clock::Clock;
use revtrail_aws::delivery::HOPS_MAX;
use revtrail_core::value::time::Instant;
use revtrail_store::jobs::job::JobMessage;
use revtrail_web::app::App;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::fixtures::{Shop, at};
use crate::support::script::rows;
use crate::support::service::ADMIN;

const ENVELOPES: &str = include_str!("../../corpus/envelopes.txt");

/// Messages of a queue, named `0`, `1`, …
fn messages(messages: &[JobMessage]) -> Value {
    let record = |(place, message): (usize, &JobMessage)| {
        json!({
            "messageId": place.to_string(), "eventSource": "aws:sqs", "body": serde_json::to_string(message).unwrap(),
        })
    };
    json!({ "Records": messages.iter().enumerate().map(record).collect::<Value>() })
}

fn scheduled() -> Value {
    json!({ "source": "aws.events", "detail-type": "Scheduled Event" })
}

/// Calls the function with a queue that takes everything but what `refused` says: the answer, and what was sent.
async fn call(
    attributor: &Attributor,
    event: &Value,
    now: Instant,
    stop_at: Instant,
    refused: impl Fn(&[JobMessage]) -> bool,
) -> (Result<Value, String>, Vec<JobMessage>) {
    let sent = Mutex::new(Vec::new());
    let send = async |messages: &[JobMessage], _| {
        if refused(messages) {
            return Err("the queue is away");
        }
        sent.lock().unwrap().extend_from_slice(messages);
        Ok(())
    };
    let answer = envelope::answer(attributor, event, &|| now, stop_at, send).await;
    (
        answer.map_err(|error| error.to_string()),
        sent.into_inner().unwrap(),
    )
}

#[tokio::test]
async fn every_envelope_is_answered_as_the_corpus_says() {
    let shop = Shop::open(json!({})).await;
    let attributor = shop.service.attributor();
    let mut cases = 0;
    for line in rows(ENVELOPES) {
        let (expected, event) = line.split_once('|').unwrap();
        let event = serde_json::from_str(&event.replace("HUGE", &"x".repeat(200 << 10))).unwrap();
        let now = shop.service.now();
        let (answer, sent) = call(&attributor, &event, now, Instant::MAX, |_| false).await;
        let told = match &answer {
            Err(_) => "error".to_owned(),
            Ok(Value::Null) => format!("sent {}", sent.len()),
            Ok(answer) => {
                let failed = answer["batchItemFailures"].as_array().unwrap();
                let ids: Vec<_> = failed
                    .iter()
                    .map(|one| one["itemIdentifier"].as_str().unwrap())
                    .collect();
                if ids.is_empty() {
                    "-".to_owned()
                } else {
                    ids.join(",")
                }
            }
        };
        assert_eq!(told, expected.trim(), "{:.300} {answer:?}", line);
        cases += 1;
    }
    println!("corpus: {cases} cases");
}

const EVENTS: [&str; 3] = [
    "A email sent,opened c1 17T10:00",
    "B email sent,opened c2 17T10:00",
    "A email sent c3 18T10:00",
];
const ORDERS: [&str; 3] = [
    "o1 c1 COMPLETE 10.10 USD 18T11:00",
    "o2 c2 COMPLETE 20.20 USD 18T11:00",
    "o3 c4 COMPLETE 30.30 USD 18T11:00",
];

/// A tick, and all that follows from it, in calls of a few messages each, delivered twice where asked; as the queue does.
#[tokio::test]
async fn what_follows_from_a_tick_comes_to_the_figures_of_a_run_in_process() {
    let expected = Shop::after(json!({}), &EVENTS, &ORDERS)
        .await
        .figures()
        .await;
    for (size, copies) in [(1, 1), (2, 1), (10, 1), (1, 2), (3, 2)] {
        let shop = Shop::open(json!({})).await;
        shop.events(&EVENTS).await;
        shop.orders(&ORDERS).await;
        let attributor = Attributor {
            limits: JobLimits {
                job_customers: 2,
                batch_customers: 2,
                shards: 3,
                ..JobLimits::DEFAULT
            },
            ..shop.service.attributor()
        };
        let now = shop.service.now();
        let (answer, mut waiting) =
            call(&attributor, &scheduled(), now, Instant::MAX, |_| false).await;
        assert_eq!((answer, waiting.len()), (Ok(Value::Null), 1));
        for _ in 0..100 {
            if waiting.is_empty() {
                break;
            }
            let some: Vec<JobMessage> = waiting.drain(..waiting.len().min(size)).collect();
            for _ in 0..copies {
                let (answer, more) =
                    call(&attributor, &messages(&some), now, Instant::MAX, |_| false).await;
                assert_eq!(answer, Ok(json!({ "batchItemFailures": [] })));
                waiting.extend(more);
            }
        }
        assert_eq!(waiting, [], "calls of {size}, {copies} times");
        assert_eq!(
            shop.figures().await,
            expected,
            "calls of {size}, {copies} times"
        );
    }
}

#[tokio::test]
async fn what_is_not_done_is_handed_over_or_delivered_again() {
    let shop = Shop::after(json!({}), &EVENTS, &[]).await;
    let attributor = shop.service.attributor();
    let plan = JobMessage::Plan {
        marketplace: shop
            .service
            .store
            .marketplaces()
            .await
            .unwrap()
            .remove(0)
            .marketplace_id,
        run_id: None,
    };
    let two = [plan.clone(), plan.clone()];
    let now = at("20T12:00");
    for (what, stop_at, refused, failed, sent) in [
        ("in time", "20T12:01", false, &[][..], 0),
        ("time is up: both are sent again", "20T12:00", false, &[], 2),
        (
            "time is up, the queue is away: both are delivered again",
            "20T12:00",
            true,
            &["0", "1"],
            0,
        ),
    ] {
        // Nothing follows from these plans, and no message carries nothing.
        let refuse = |messages: &[JobMessage]| refused && !messages.is_empty();
        let (answer, told) = call(&attributor, &messages(&two), now, at(stop_at), refuse).await;
        let failed: Value = failed
            .iter()
            .map(|id| json!({ "itemIdentifier": id }))
            .collect();
        assert_eq!(answer, Ok(json!({ "batchItemFailures": failed })), "{what}");
        assert_eq!(told, two[..sent], "{what}");
    }
    let (answer, sent) = call(&attributor, &scheduled(), now, Instant::MAX, |_| true).await;
    assert!(answer.is_err_and(|error| error.contains("the queue is away")) && sent.is_empty());
}

#[test]
fn work_stops_a_minute_before_the_deadline_or_a_third_of_a_short_time() {
    let now = at("20T12:00");
    for (deadline, stop_at) in [
        ("20T12:15", "20T12:14"),
        ("20T12:03", "20T12:02"),
        ("20T12:00:30", "20T12:00:20"),
        ("20T12:00:00.003", "20T12:00:00.002"),
        ("20T12:00", "20T12:01"),
        ("2000-01-01T00:10:00Z", "20T12:01"),
    ] {
        assert_eq!(
            envelope::stop_at(now, at(deadline)),
            at(stop_at),
            "{deadline}"
        );
    }
}

#[tokio::test]
async fn a_run_that_cannot_be_started_is_told_so_and_on_record_as_failed() {
    let shop = Shop::open(json!({})).await;
    let service = &shop.service;
    let away: manage::Enqueue = Arc::new(|_| Box::pin(async { Err("the queue is away".into()) }));
    let app = App::new(
        service.store.clone(),
        Clock::starting_at(service.now()),
        service.retention,
        ADMIN,
    );
    let router = revtrail_web::dispatch::router(manage::routes(away), app);
    let request = Request::builder()
        .method(Method::POST)
        .uri(shop.path("runs"));
    let request = request.header("authorization", format!("Bearer {ADMIN}"));
    let answer = router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["retry-after"].as_bytes()
        ),
        (503, &b"1"[..])
    );
    let runs = shop.get("runs").await;
    let states: Vec<&Value> = runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| &run["state"])
        .collect();
    assert_eq!(states, [&json!("failed")], "{runs}");
}

/// Lambda's own brake on loops is off, so a message counts how often it was sent on. One that came round too often is left alone,
/// and the next tick points at its work again.
#[tokio::test]
async fn a_message_that_goes_round_without_end_is_left_alone() {
    let shop = Shop::after(json!({}), &EVENTS, &ORDERS).await;
    let attributor = shop.service.attributor();
    let now = shop.service.now();
    let (_, planned) = call(&attributor, &scheduled(), now, Instant::MAX, |_| false).await;
    for (hops, expected) in [
        (json!(null), Some(1)),
        (json!(7), Some(8)),
        (json!(HOPS_MAX - 1), Some(HOPS_MAX)),
        (json!(HOPS_MAX), None),
        (json!(u32::MAX), None),
    ] {
        let mut body = serde_json::to_value(&planned[0]).unwrap();
        if !hops.is_null() {
            body["hops"] = hops.clone();
        }
        let record =
            json!({ "messageId": "a", "eventSource": "aws:sqs", "body": body.to_string() });
        let sent = Mutex::new(None);
        let send = async |messages: &[JobMessage], hops| {
            *sent.lock().unwrap() = Some((messages.to_vec(), hops));
            Ok::<_, String>(())
        };
        // Time is up, so the message is handed over as it is.
        let event = json!({ "Records": [record] });
        let answer = envelope::answer(&attributor, &event, &|| now, now, send).await;
        assert_eq!(
            answer.unwrap(),
            json!({ "batchItemFailures": [] }),
            "{hops}"
        );
        let expected = expected.map(|hops| (planned.clone(), hops));
        assert_eq!(sent.into_inner().unwrap(), expected, "{hops}");
    }
    let (_, again) = call(&attributor, &scheduled(), now, Instant::MAX, |_| false).await;
    assert_eq!(again, planned);
}
