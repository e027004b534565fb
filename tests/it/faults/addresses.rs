//! Addresses far above the usual (rule 3.5): ten thousand customers at one keep nobody else waiting, and whoever names one that is too
//! large is parked with it.

use hourly_attributor::{Attributor, JobLimits};
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::Instant;
use revtrail_store::jobs::job::{JobMessage, Work};
use serde_json::{Value, json};

use crate::faults::two_at_once::plan;
use crate::support::fault_client::FaultClient;
use crate::support::fixtures::{Shop, assert_part, order, with};
use crate::support::service::Service;

/// More than a plan and a page of links take: the job of the rest is handed over.
const CALLERS: usize = 1_150;

/// The jobs that have the rest of an address, each with the link that it comes to next.
async fn rests(service: &Service) -> Vec<(String, String)> {
    let id = MarketplaceId::new("m").unwrap();
    let market = service.store.market(&id, service.retention);
    let jobs = market.jobs().jobs().await.unwrap().into_iter();
    let rest = jobs.filter_map(|job| match job.work {
        Work::FoldLinked { after, .. } => Some((job.job_id, after.unwrap())),
        _ => None,
    });
    rest.collect()
}

/// Handles messages, each with no more time than for one step, and gives back what follows.
async fn turn(service: &Service, messages: Vec<JobMessage>) -> Vec<JobMessage> {
    let limits = JobLimits {
        job_customers: 200,
        ..JobLimits::DEFAULT
    };
    let attributor = Attributor {
        limits,
        ..service.attributor()
    };
    let (mut more, now) = (Vec::new(), service.now());
    for message in messages {
        more.extend(attributor.handle(&message, &|| now, now).await.unwrap());
    }
    more
}

#[tokio::test]
async fn a_job_of_thousands_of_callers_is_handed_over_and_keeps_nobody_waiting() {
    let shop = Shop::open(json!({})).await;
    let call = |n: usize| {
        with(
            order(&format!("o{n} c{n} READY 1 EUR 17T11:00")),
            &json!({"email": "calls@x.org"}),
        )
    };
    let calls: Vec<Value> = (0..CALLERS).map(call).collect();
    shop.service.feed("m", "orders", &calls, 1_000).await;
    // The campaigns are known: a new one would have everybody decided again.
    shop.events(&["A email sent eve 17T09:00", "B email sent eve 17T09:00"])
        .await;
    shop.run().await;
    shop.events(&[
        "A email sent,opened to:calls@x.org 17T10:00",
        "B email sent,opened ann 17T10:00",
    ])
    .await;
    shop.orders(&["oa ann READY 7 EUR 17T11:00"]).await;
    // A plan that has no time may need several turns.
    let mut messages = vec![plan()];
    while rests(&shop.service).await.is_empty() {
        messages = turn(&shop.service, messages).await;
        assert!(!messages.is_empty(), "the address has a hundred and more");
    }
    let first = rests(&shop.service).await;
    assert_eq!(first.len(), 1, "one job has the rest of the address");
    let is_rest = |message: &JobMessage| matches!(message, JobMessage::Work { job_id, .. } if *job_id == first[0].0);
    // The plan folds the first hundred, and whoever has nothing to do with the address.
    let (mut rest, mut folds): (Vec<_>, Vec<_>) = messages.drain(..).partition(is_rest);
    while !folds.is_empty() {
        folds = turn(&shop.service, folds).await;
        folds.retain(|message| !is_rest(message));
    }
    assert_part("B", &shop.row("B").await, &json!({"purchases": 1}));
    assert_part("A", &shop.row("A").await, &json!({"purchases": 100}));
    // A turn reads a page of the rest, plans it, and hands over.
    rest = turn(&shop.service, rest).await;
    let second = rests(&shop.service).await;
    assert!(
        second.len() == 1 && second[0].0 == first[0].0 && second[0].1 > first[0].1,
        "{first:?} {second:?}"
    );
    while !rest.is_empty() {
        rest = turn(&shop.service, rest).await;
    }
    let all = json!({"purchases": CALLERS, "purchasers": CALLERS});
    assert_part("A", &shop.row("A").await, &all);
    let report = shop.get("reports/campaigns").await;
    assert_eq!(report["pending"], json!(0));
    let run = shop.service.run_with("m", &json!({"verify": "all"})).await;
    assert_part("verified", &run["verify"], &json!({"differences": 0}));
}

#[tokio::test]
async fn whoever_names_an_address_that_is_too_large_is_parked_with_it() {
    const NAMING: usize = 50;
    let line = FaultClient::new();
    let shop = Shop::over(&line).await;
    let named = |n: usize| {
        with(
            order(&format!("o{n} c{n} READY 1 EUR 17T11:00")),
            &json!({"email": "bots@x.org"}),
        )
    };
    let orders: Vec<Value> = (0..NAMING).map(named).collect();
    shop.service.feed("m", "orders", &orders, 100).await;
    shop.events(&["A email sent,opened to:bots@x.org 17T10:00"])
        .await;
    shop.run().await;
    assert_part("A", &shop.row("A").await, &json!({"purchases": NAMING}));
    for n in 0..40 {
        let events = format!(
            "B email sent,opened to:bots@x.org 17T10:{:02} message_id=m{n}",
            n + 10
        );
        shop.events(&[&events]).await;
    }
    shop.events(&["B email sent,opened ann 17T10:00"]).await;
    shop.orders(&["oa ann READY 7 EUR 17T11:00"]).await;
    let limits = JobLimits {
        timeline_bytes: 6_000,
        ..JobLimits::DEFAULT
    };
    let attributor = Attributor {
        limits,
        ..shop.service.attributor()
    };
    let now = shop.service.now().plus_ms(1_000);
    line.clear();
    attributor.drain(vec![plan()], &|| now).await.unwrap();
    shop.service.set_now(Instant::from_ms(now.ms()));
    // Each customer and the address are read beside the others, and then each customer alone; the address is read whole once a job.
    let calls = line.calls().into_iter();
    let queries = calls.filter(|call| call.operation == "Query").count();
    assert!(queries < 4 * NAMING, "{queries} queries");
    let run = shop.get("runs?limit=1").await["runs"][0].clone();
    assert_part(
        "run",
        &run,
        &json!({"state": "done", "errors": 0, "parked": NAMING + 1}),
    );
    let told = shop.get("reports/reconciliation").await;
    assert_eq!(told["parked_total"], json!(NAMING + 1));
    let parked = told["parked"].as_array().unwrap();
    let addresses = parked.iter().filter(|one| one["address"].is_string());
    assert_eq!((addresses.count(), parked.len()), (1, NAMING + 1));
    assert!(
        parked
            .iter()
            .all(|one| one["reason"] == "timeline_too_large"),
        "{told}"
    );
    // Their last figures stay, and nobody else waits.
    assert_part("A", &shop.row("A").await, &json!({"purchases": NAMING}));
    assert_part("B", &shop.row("B").await, &json!({"purchases": 1}));
    // Whoever asks for a run has them tried again.
    let run = shop.run().await;
    assert_part("asked", &run, &json!({"parked": 0}));
    let told = shop.get("reports/reconciliation").await;
    assert_eq!(
        (&told["parked"], &told["parked_total"]),
        (&json!([]), &json!(0))
    );
    assert_part("B", &shop.row("B").await, &json!({"purchases": NAMING + 1}));
}
