//! The walk of a look ahead, cut into as many turns as there are customers, with workers that die and that come twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use hourly_attributor::{Attributor, JobLimits};
use http::Method;
use revtrail_core::value::time::Instant;
use revtrail_store::jobs::job::JobMessage;
use serde_json::{Value, json};

use crate::support::fixtures::Shop;
use crate::support::service::block_on;

/// A shop with a purchase of each of some customers; nobody was folded who comes last.
async fn shop(customers: usize) -> Shop {
    let events: Vec<String> = (0..customers)
        .map(|n| format!("mail email sent,clicked c{n} 16T10:00"))
        .collect();
    let orders: Vec<String> = (0..customers)
        .map(|n| format!("o{n} c{n} COMPLETE 1.00 EUR 17T10:00"))
        .collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let orders: Vec<&str> = orders.iter().map(String::as_str).collect();
    let shop = Shop::open(json!({"supersede": "none"})).await;
    let late = customers - 1;
    shop.events(&events[..late]).await;
    shop.orders(&orders[..late]).await;
    shop.run().await;
    // Folded again, so that they are in two lists.
    shop.events(&["text sms sent,delivered c1 16T11:00"]).await;
    shop.run().await;
    shop.events(&events[late..]).await;
    shop.orders(&orders[late..]).await;
    shop
}

async fn asked(shop: &Shop) -> (String, Vec<JobMessage>) {
    let body = json!({"version": 1, "from": "2026-11-17", "to": "2026-11-18", "dry_run": true});
    let (status, answer) = shop.call(Method::POST, "replays", body).await;
    assert_eq!(status, 202, "{answer}");
    let id = answer["replay_id"].as_str().unwrap();
    (format!("replays/{id}"), shop.service.enqueued())
}

fn found(replay: &Value) -> Value {
    let names = [
        "state", "progress", "orders", "moved", "skipped", "before", "after",
    ];
    names.iter().map(|name| replay[name].clone()).collect()
}

#[tokio::test]
async fn a_look_ahead_has_each_customer_once_in_as_many_turns_as_it_takes() {
    let customers = 7;
    let shop = shop(customers).await;
    let (whole, messages) = asked(&shop).await;
    let now = shop.service.now();
    shop.service
        .attributor()
        .drain(messages, &|| now)
        .await
        .unwrap();
    let whole = shop.get(&whole).await;
    assert_eq!(
        (&whole["orders"], &whole["state"]),
        (&json!(customers), &json!("done"))
    );

    for job_customers in [1, 3] {
        let (path, messages) = asked(&shop).await;
        let [message] = messages.as_slice() else {
            panic!("{messages:?}");
        };
        let limits = JobLimits {
            job_customers,
            ..JobLimits::DEFAULT
        };
        let attributor = Attributor {
            limits,
            ..shop.service.attributor()
        };
        let clock = || now;
        let (mut turns, mut progress) = (0, String::new());
        loop {
            turns += 1;
            // Another worker is at it too: whoever is slower has done nothing.
            let (one, other) = tokio::join!(
                attributor.handle(message, &clock, now),
                attributor.handle(message, &clock, now)
            );
            let shown = shop.get(&path).await;
            let is = shown["progress"].as_str().unwrap().to_owned();
            assert!(progress <= is, "{progress}, then {is}");
            progress = is;
            if one.unwrap().is_empty() && other.unwrap().is_empty() && shown["state"] == "done" {
                assert_eq!(found(&shown), found(&whole));
                break;
            }
            assert!(turns < 100, "it goes on without an end: {shown}");
        }
        assert!(turns > 1, "{job_customers} at a time: {turns} turns");
    }
}

/// A worker that was held up while another came to the end: what it found is nothing any more.
#[tokio::test]
async fn whoever_is_overtaken_leaves_what_was_found() {
    let shop = shop(4).await;
    let (path, messages) = asked(&shop).await;
    let attributor = shop.service.attributor();
    let now = shop.service.now();
    let looks = AtomicI64::new(0);
    // It looks at the clock for the second time once it has read how far the walk is.
    let clock = || {
        if looks.fetch_add(1, Ordering::SeqCst) == 1 {
            let other = || block_on(attributor.drain(messages.clone(), &|| now)).unwrap();
            thread::scope(|scope| scope.spawn(other).join().unwrap());
        }
        now
    };
    let left = attributor.handle(&messages[0], &clock, now).await.unwrap();
    assert_eq!(left, []);
    let shown = shop.get(&path).await;
    assert_eq!(
        (&shown["state"], &shown["orders"]),
        (&json!("done"), &json!(4))
    );
}

/// What waits for a look ahead is nothing that figures wait for.
#[tokio::test]
async fn no_figure_waits_for_a_look_ahead() {
    let shop = shop(3).await;
    asked(&shop).await;
    let clock = Arc::new(AtomicI64::new(shop.service.now().ms()));
    let (run, messages) = {
        let (status, answer) = shop.call(Method::POST, "runs", json!({})).await;
        assert_eq!(status, 202, "{answer}");
        (
            answer["run_id"].as_str().unwrap().to_owned(),
            shop.service.enqueued(),
        )
    };
    // The run's own messages only: the look ahead is left as it is.
    let attributor = shop.service.attributor();
    let now = || Instant::from_ms(clock.load(Ordering::SeqCst));
    let mut waiting = messages;
    while let Some(message) = waiting.pop() {
        let more = attributor
            .handle(&message, &now, Instant::MAX)
            .await
            .unwrap();
        let jobs = shop
            .service
            .store
            .market(message.marketplace(), shop.service.retention);
        for next in more {
            let is_look = match &next {
                JobMessage::Work { job_id, .. } => {
                    let job = jobs.jobs().job(job_id).await.unwrap();
                    job.is_some_and(|job| !job.work.holds_facts())
                }
                _ => false,
            };
            if !is_look {
                waiting.push(next);
            }
        }
    }
    let run = shop.get(&format!("runs/{run}")).await;
    assert_eq!(run["state"], "done", "{run}");
    let report = shop.get("reports/campaigns").await;
    assert_eq!(report["pending"], 0, "{report}");
}
