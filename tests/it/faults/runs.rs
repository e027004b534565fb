//! The ledger of runs, verification, and customers who are parked.

use std::collections::VecDeque;

use aws_sdk_dynamodb::types::AttributeValue;
use hourly_attributor::{Attributor, JobLimits};
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::figures::fold::Contribution;
use revtrail_core::value::address::Recipient;
use revtrail_core::value::id::{CampaignId, CustomerId, MarketplaceId};
use revtrail_core::value::time::{DAY_MS, Day, Instant, Retention};
use revtrail_store::Reading;
use revtrail_store::jobs::job::{Job, JobMessage, Progress, Work};
use revtrail_store::jobs::verification::{SavedVerification, Verification};
use revtrail_store::ledger::contribution::{Move, Moved};
use revtrail_store::ledger::daily::AggregateCache;
use revtrail_store::market::Market;
use revtrail_store::table::embedded::{self, TABLE};
use revtrail_store::table::keys;
use serde_json::{Value, json};

use crate::support::fault_client::{Fault, FaultClient};
use crate::support::fixtures::{NOW, Shop, assert_part, with};
use crate::support::service::{ADMIN, Service};

fn market(shop: &Shop) -> Market {
    let id = MarketplaceId::new(shop.id).unwrap();
    shop.service.store.market(&id, Retention::DEFAULT)
}

/// A shop with as many customers as asked for, each with a click and an order of 10.
async fn shop_of(customers: usize) -> Shop {
    let shop = Shop::open(json!({})).await;
    fill(&shop, 0..customers).await;
    shop
}

async fn fill(shop: &Shop, customers: std::ops::Range<usize>) {
    for i in customers {
        shop.events(&[&format!("spring email sent,clicked c{i} 17T10:00")])
            .await;
        shop.orders(&[&format!("o{i} c{i} COMPLETE 10.00 EUR 17T11:00")])
            .await;
    }
}

fn plan(shop: &Shop, run_id: Option<String>) -> JobMessage {
    JobMessage::Plan {
        marketplace: MarketplaceId::new(shop.id).unwrap(),
        run_id,
    }
}

/// A tick under other limits, all that follows from it; a second after the last, so that runs have an order.
async fn tick(shop: &Shop, limits: JobLimits) {
    shop.service.set_now(shop.service.now().plus_ms(1_000));
    let attributor = Attributor {
        limits,
        ..shop.service.attributor()
    };
    let now = shop.service.now();
    attributor
        .drain(vec![plan(shop, None)], &|| now)
        .await
        .unwrap();
}

async fn run_with(shop: &Shop, body: Value) -> Value {
    shop.service.run_with(shop.id, &body).await
}

async fn newest_run(shop: &Shop) -> Value {
    shop.get("runs?limit=1").await["runs"][0].clone()
}

#[tokio::test]
async fn what_runs_moved_adds_up_to_the_figures() {
    let shop = shop_of(7).await;
    let small = JobLimits {
        job_customers: 2,
        batch_customers: 1,
        ..JobLimits::DEFAULT
    };
    tick(&shop, small).await;
    let first = newest_run(&shop).await;
    // Four jobs of customers, and the re-decision that a new campaign asks for.
    let expected = json!({"state": "done", "units": 5, "units_done": 5, "customers": 7, "orders": 7, "credits_changed": 7,
        "revenue_moved": {"EUR": "70.00"}, "errors": 0, "parked": 0, "verify": null});
    assert_part("first run", &first, &expected);
    shop.orders(&[
        "o1 c1 REFUNDED 10.00 EUR 17T11:00 updated_at=18T10:00",
        "o2 c2 COMPLETE 10.00 EUR 17T11:00 updated_at=18T10:00",
        // Nobody earned it: there is no credit that could change.
        "nobody n COMPLETE 10.00 EUR 17T11:00",
    ])
    .await;
    tick(&shop, small).await;
    let second = newest_run(&shop).await;
    let expected = json!({"customers": 3, "orders": 3, "credits_changed": 1, "revenue_moved": {"EUR": "-10.00"}});
    assert_part("second run", &second, &expected);
    let report = shop.get("reports/campaigns").await;
    assert_part(
        "report",
        &report["credited"],
        &json!({"purchases": 6, "revenue": {"EUR": "60.00"}}),
    );
    // A tick that finds nothing leaves no run, and the figures are as of it.
    let before = shop.get("runs").await;
    shop.service.set_now(shop.service.now().plus_ms(3_600_000));
    tick(&shop, small).await;
    assert_eq!(shop.get("runs").await, before);
    let as_of = shop.get("reports/campaigns").await["as_of"].clone();
    assert_eq!(as_of, json!("2026-11-20T13:00:03.000Z"));
}

#[tokio::test]
async fn a_verification_finds_what_is_not_so_and_nothing_else() {
    let shop = shop_of(5).await;
    for verify in ["all", "sample"] {
        let run = run_with(&shop, json!({ "verify": verify })).await;
        let expected = json!({"state": "done", "verify": {"checked": 5, "differences": 0}});
        assert_part(verify, &run, &expected);
    }
    // Folded again by another job: still five customers, each compared once.
    fill(&shop, 0..2).await;
    shop.events(&["spring email opened c1 17T10:30"]).await;
    let run = run_with(&shop, json!({ "verify": "all" })).await;
    let expected = json!({"customers": 1, "verify": {"checked": 5, "differences": 0}});
    assert_part("again", &run, &expected);

    // A worker with a bug: it says that a customer bought nothing.
    let market = market(&shop);
    let customer = Recipient::from(CustomerId::new("c3").unwrap());
    let now = shop.service.now();
    let facts = market
        .facts()
        .customer(&customer, usize::MAX, now)
        .await
        .unwrap();
    let stored = facts.unwrap().stored;
    let job = Job::new(Work::Fold { next: 0 }, None, 0, 0, now);
    market
        .jobs()
        .add_fold(&job, std::slice::from_ref(&customer), 0, now)
        .await
        .unwrap();
    let moves = vec![Move {
        customer,
        stored,
        new: Contribution::default(),
    }];
    let rules = market.settings().rules_seen(0).await.unwrap();
    let first = Retention::DEFAULT.first_visible(now.day(chrono_tz::UTC));
    let mut desk = AggregateCache::of(0);
    let moved = market
        .contributions()
        .move_all(&job, moves, rules, first, &mut desk, now);
    assert_eq!(moved.await.unwrap(), Moved::Again(vec![]));
    market.jobs().job_done(&job).await.unwrap();
    let run = run_with(&shop, json!({ "verify": "all" })).await;
    assert_part(
        "with the bug",
        &run,
        &json!({"verify": {"checked": 5, "differences": 1}}),
    );
    let (status, body) = shop
        .call(http::Method::POST, "runs", json!({"verify": "most"}))
        .await;
    assert_eq!(
        (status, &body["errors"][0]["field"]),
        (422, &json!("verify"))
    );
}

#[tokio::test]
async fn who_cannot_be_folded_is_parked_and_keeps_nobody_waiting() {
    let shop = shop_of(3).await;
    let mut limits = JobLimits::DEFAULT;
    tick(&shop, limits).await;
    for i in 0..20 {
        shop.events(&[&format!(
            "autumn email sent c1 18T10:{i:02} message_id=m{i}"
        )])
        .await;
    }
    shop.orders(&[
        "late1 c1 COMPLETE 1.00 EUR 19T11:00",
        "late2 c2 COMPLETE 2.00 EUR 19T11:00",
    ])
    .await;
    limits.timeline_bytes = 3_000;
    tick(&shop, limits).await;
    assert_part(
        "run",
        &newest_run(&shop).await,
        &json!({"state": "done", "parked": 1, "errors": 0}),
    );
    let told = shop.get("reports/reconciliation").await;
    assert_part(
        "reconciliation",
        &told["parked"][0],
        &json!({"customer_id": "c1", "reason": "timeline_too_large"}),
    );
    // The others are folded; his last contribution stands.
    let counted = async || shop.get("reports/campaigns").await["counted"].clone();
    assert_eq!(
        counted().await,
        json!({"purchases": 4, "revenue": {"EUR": "32.00"}})
    );
    // Whoever asks for a run wants him tried again.
    let run = shop.run().await;
    assert_part("asked", &run, &json!({"customers": 1, "parked": 0}));
    let told = shop.get("reports/reconciliation").await;
    assert_eq!(told["parked"], json!([]));
    assert_eq!(
        counted().await,
        json!({"purchases": 5, "revenue": {"EUR": "33.00"}})
    );
}

#[tokio::test]
async fn shards_of_quiet_days_are_put_together() {
    let shop = shop_of(9).await;
    let many = JobLimits {
        job_customers: 2,
        ..JobLimits::DEFAULT
    };
    tick(&shop, many).await;
    let figures = shop.figures().await;
    let client = embedded::client(shop.service.tripwire.clone());
    let id = MarketplaceId::new(shop.id).unwrap();
    let day = Day::parse("2026-11-17").unwrap();
    let shards = async || {
        let mut shards = 0;
        for shard in 0..keys::AGGREGATE_SHARDS {
            let key = keys::aggregate(&id, shard, day);
            let (pk, sk) = (AttributeValue::S(key.pk), AttributeValue::S(key.sk));
            let get = client
                .get_item()
                .table_name(TABLE)
                .key("pk", pk)
                .key("sk", sk);
            let item = get.send().await.unwrap().item.unwrap_or_default();
            let holds = |d: &AttributeValue| {
                let aggregate: Aggregate<CampaignId> =
                    serde_json::from_str(d.as_s().unwrap()).unwrap();
                usize::from(!aggregate.is_empty())
            };
            shards += item.get("d").map_or(0, holds);
        }
        shards
    };
    assert_eq!(shards().await, 5, "five units, each in a stripe of its own");
    shop.service
        .set_now(shop.service.now().plus_ms(3 * 86_400_000));
    shop.run().await;
    assert_eq!(shards().await, 1);
    assert_eq!(shop.figures().await, figures);
    assert_eq!(
        run_with(&shop, json!({"verify": "all"})).await["verify"],
        json!({"checked": 9, "differences": 0})
    );
}

#[tokio::test]
async fn a_report_that_meets_a_merge_shows_each_figure_once() {
    let line = FaultClient::new();
    let on = |line: &FaultClient| Service::over(line, Instant::parse(NOW).unwrap());
    let service = on(&line);
    service.store.create_table().await.unwrap();
    service.make("m", &json!({})).await;
    let shop = Shop { service, id: "m" };
    fill(&shop, 0..9).await;
    let many = JobLimits {
        job_customers: 2,
        ..JobLimits::DEFAULT
    };
    tick(&shop, many).await;
    let (first, day) = ("2026-11-10", "2026-11-18");
    let [first, day] = [first, day].map(|day| Day::parse(day).unwrap());
    let shown = async |market: &Market| {
        let (last, now) = (day.plus(3), shop.service.now());
        let aggregates = market
            .daily()
            .aggregates(first, last, Reading::EVENTUAL, now);
        format!("{:?}", aggregates.await.unwrap())
    };
    let expected = shown(&market(&shop)).await;
    // Each shard in turn is read as it was before the merge, and the others as they are after it; and all as they are.
    for call in 0..=usize::from(keys::AGGREGATE_SHARDS) {
        let line = FaultClient::over(line.database.copy().unwrap());
        let market = market(&Shop {
            service: on(&line),
            id: "m",
        });
        line.remember();
        line.clear();
        market
            .daily()
            .merge_quiet(day, &|| Instant::from_ms(0), Instant::MAX)
            .await
            .unwrap();
        if call > 0 {
            line.fail_at(call, Fault::StaleRead);
        }
        assert_eq!(shown(&market).await, expected, "stripe {call} is stale");
    }
}

/// Handles job messages and all that follow, each without any time; says how many turns that took.
async fn hurried(shop: &Shop, messages: Vec<JobMessage>) -> usize {
    let (attributor, now) = (shop.service.attributor(), shop.service.now());
    let mut waiting = VecDeque::from(messages);
    for turn in 0..200 {
        let Some(message) = waiting.pop_front() else {
            return turn;
        };
        waiting.extend(attributor.handle(&message, &|| now, now).await.unwrap());
    }
    panic!("it never ends");
}

#[tokio::test]
async fn many_redemptions_are_counted_anew_in_as_many_turns_as_it_takes() {
    // Without an order settings replace each other, and everything is of the new ones.
    let shop = Shop::open(json!({})).await;
    for (promotion, count) in [("p", 250), ("q", 0), ("r", 150)] {
        let told = json!({"name": promotion, "tracking_from": "2026-11-01T00:00:00Z"});
        shop.put(&format!("promotions/{promotion}"), told).await;
        let of = |n: usize, more: Value| {
            let record = json!({"promotion_id": promotion, "customer_id": format!("c{n}")});
            with(record, &more)
        };
        let id = |n: usize| format!("{promotion}{n}");
        let assigned = |n| {
            let at = "2026-11-16T12:00:00Z";
            of(n, json!({"assignment_id": id(n), "assigned_at": at}))
        };
        let redeemed = |n| {
            let at = "2026-11-17T23:30:00Z";
            of(n, json!({"redemption_id": id(n), "redeemed_at": at}))
        };
        let (assigned, redeemed): (Vec<Value>, Vec<Value>) =
            (0..count).map(|n| (assigned(n), redeemed(n))).unzip();
        for (what, told) in [("assignments", assigned), ("redemptions", redeemed)] {
            shop.service.feed(shop.id, what, &told, 250).await;
        }
    }
    shop.run().await;
    shop.put("settings", json!({"timezone": "Asia/Tokyo"}))
        .await;
    shop.service.set_now(shop.service.now().plus_ms(1_000));
    let turns = hurried(&shop, vec![plan(&shop, None)]).await;
    assert!(turns > 5, "more than a page of each: {turns}");
    assert_part("run", &newest_run(&shop).await, &json!({"state": "done"}));
    for (promotion, count) in [("p", 250), ("r", 150)] {
        let board = shop.get(&format!("promotions/{promotion}/dashboard")).await;
        let expected = json!([{"key": "2026-11-18", "redeemed": count}]);
        assert_eq!(board["breakdown"]["day"], expected, "{promotion}");
    }
}

/// An assignment that redemptions of a hundred tiers wait for fits into no transaction.
#[tokio::test]
async fn what_cannot_be_taken_in_keeps_no_run_waiting() {
    let shop = shop_of(2).await;
    let waiting = |n: usize| {
        json!({"redemption_id": format!("r{n}"), "promotion_id": "p", "customer_id": "c0", "tier_id": format!("t{n}"),
            "redeemed_at": "2026-11-17T10:00:00Z"})
    };
    let waiting: Vec<Value> = (0..110).map(waiting).collect();
    shop.service
        .feed(shop.id, "redemptions", &waiting, 110)
        .await;
    let assigned = |id: &str, customer: &str| json!({"assignment_id": id, "promotion_id": "p", "customer_id": customer, "assigned_at": "2026-11-17T09:00:00Z"});
    // Behind them.
    shop.service.set_now(shop.service.now().plus_ms(1_000));
    let both = [assigned("a0", "c0"), assigned("a1", "c1")];
    shop.service.feed(shop.id, "assignments", &both, 2).await;
    shop.put("promotions/p", json!({"name": "P"})).await;
    let run = run_with(&shop, json!({})).await;
    assert_part("run", &run, &json!({"state": "done", "customers": 2}));
    let row = &shop.get("reports/promotions").await["promotions"][0];
    assert_part(
        "p",
        row,
        &json!({"assigned": 1, "redeemed": 0, "redemptions": 110}),
    );
    // The same where nothing waits, in one call with another.
    let both = json!([assigned("a2", "c0"), assigned("a3", "c2")]);
    let (status, told) = shop.call(http::Method::POST, "assignments", both).await;
    assert_eq!(status, 202, "{told}");
    assert_part("told", &told, &json!({"accepted": 1}));
    assert_eq!(told["rejected"][0]["code"], "conflict", "{told}");
}

#[tokio::test]
async fn whom_a_change_touches_is_found_in_as_many_turns_as_it_takes() {
    let settings = json!({"excluded_tags": ["x"], "supersede": "none"});
    let shop = Shop::open(settings).await;
    for i in 0..12 {
        if i % 4 < 3 {
            let campaign = ["a", "b", "c"][i % 4];
            shop.events(&[&format!("{campaign} email sent,clicked c{i} 16T10:00")])
                .await;
        }
        let day = 16 + i / 6;
        shop.orders(&[&format!("o{i} c{i} COMPLETE 10.00 EUR {day}T11:00")])
            .await;
    }
    shop.run().await;
    shop.put("campaigns/a", json!({"tags": ["x"]})).await;
    shop.service.set_now(shop.service.now().plus_ms(1_000));
    let turns = hurried(&shop, vec![plan(&shop, None)]).await;
    assert!(turns > 8, "a list of a day in each: {turns}");
    let expected =
        json!({"state": "done", "customers": 12, "orders": 12, "credits_changed": 3, "errors": 0});
    assert_part("run", &newest_run(&shop).await, &expected);
    let earned = async |campaign| shop.row(campaign).await["purchases"].clone();
    assert_eq!(earned("a").await, 0);
    assert_eq!(earned("b").await, 3);
}

#[tokio::test]
async fn a_verification_counts_each_customer_once_whoever_goes_on_with_it() {
    let shop = shop_of(5).await;
    let single = JobLimits {
        job_customers: 1,
        ..JobLimits::DEFAULT
    };
    tick(&shop, single).await;
    let (status, asked) = shop
        .call(http::Method::POST, "runs", json!({"verify": "all"}))
        .await;
    assert_eq!(status, 202, "{asked}");
    let market = market(&shop);
    let (attributor, now) = (shop.service.attributor(), shop.service.now());
    let mut waiting = VecDeque::from(shop.service.enqueued());
    let mut behind: Option<(Job, Verification)> = None;
    while let Some(message) = waiting.pop_front() {
        waiting.extend(attributor.handle(&message, &|| now, now).await.unwrap());
        let jobs = market.jobs().jobs().await.unwrap();
        let verifies = |job: &Job| matches!(job.work, Work::Verify { .. });
        // A worker that read the job before: it must not count, and not move it back.
        if let Some((mut behind, mut known)) = behind.take() {
            let found = Progress {
                checked: 100,
                ..Progress::default()
            };
            let verifications = market.verifications();
            let saved = verifications.save(&mut behind, &mut known, &found, now);
            assert_eq!(saved.await.unwrap(), SavedVerification::Overtaken);
        }
        if let Some(job) = jobs.into_iter().find(verifies) {
            let known = market.verifications().load(&job, []).await.unwrap();
            behind = Some((job, known.unwrap()));
        }
    }
    let run = shop
        .get(&format!("runs/{}", asked["run_id"].as_str().unwrap()))
        .await;
    let expected = json!({"state": "done", "verify": {"checked": 5, "differences": 0}});
    assert_part("run", &run, &expected);
}

#[tokio::test]
async fn figures_are_not_as_of_what_another_plan_has_in_hand() {
    let shop = shop_of(2).await;
    shop.run().await;
    let as_of = async || shop.get("reports/campaigns").await["as_of"].clone();
    let before = as_of().await;
    // Another plan, whose clock is ahead, made a job of facts and died, or goes on, before it said how far it is.
    let (market, now) = (market(&shop), shop.service.now().plus_ms(60_000));
    let run_id = market.runs().start_run(None, now).await.unwrap();
    market.runs().plans(&run_id, 1).await.unwrap();
    let at = now.plus_ms(300_000);
    let job = Job::new(Work::Fold { next: 0 }, Some(run_id), 0, 0, at);
    let customer = CustomerId::new("c1").unwrap().into();
    market
        .jobs()
        .add_fold(&job, &[customer], 0, now)
        .await
        .unwrap();
    shop.service.set_now(now);
    let attributor = shop.service.attributor();
    let messages = attributor
        .handle(&plan(&shop, None), &|| now, now)
        .await
        .unwrap();
    assert_eq!(as_of().await, before);
    attributor.drain(messages, &|| now).await.unwrap();
    attributor
        .drain(vec![plan(&shop, None)], &|| now)
        .await
        .unwrap();
    assert_eq!(as_of().await, json!(now.to_string()));
}

#[tokio::test]
async fn a_run_is_not_done_before_the_jobs_that_stood_when_it_was_planned() {
    let shop = shop_of(2).await;
    let attributor = shop.service.attributor();
    let now = shop.service.now();
    let clock = || now;
    // The facts are in the jobs of one run; another is asked for, and finds nothing new.
    let jobs = attributor
        .handle(&plan(&shop, None), &clock, now)
        .await
        .unwrap();
    let second = market(&shop).runs().start_run(None, now).await.unwrap();
    attributor
        .handle(&plan(&shop, Some(second.clone())), &clock, now)
        .await
        .unwrap();
    let state = async || shop.get(&format!("runs/{second}")).await["state"].clone();
    assert_eq!(state().await, "running");
    attributor.drain(jobs, &clock).await.unwrap();
    assert_eq!(state().await, "done");
    assert_eq!(shop.get("reports/campaigns").await["pending"], 0);
}

#[tokio::test]
async fn what_a_change_asks_for_waits_for_a_plan_that_takes_it_over() {
    let shop = shop_of(2).await;
    shop.run().await;
    shop.put(
        "campaigns/spring",
        json!({"sent_at": "2026-11-17T12:00:00Z"}),
    )
    .await;
    let asked = market(&shop).jobs().jobs().await.unwrap();
    assert_eq!(asked.len(), 1);
    let work = JobMessage::Work {
        marketplace: MarketplaceId::new(shop.id).unwrap(),
        job_id: asked[0].job_id.clone(),
    };
    let now = shop.service.now();
    shop.service
        .attributor()
        .drain(vec![work], &|| now)
        .await
        .unwrap();
    let expected = json!({"state": "done", "customers": 2, "errors": 0});
    let runs = shop.get("runs").await;
    let run = runs["runs"].as_array().unwrap().iter();
    let run = run
        .clone()
        .find(|run| run["customers"] == 2 && run["credits_changed"] == 0);
    assert_part("the run that took it over", run.unwrap(), &expected);
}

#[tokio::test]
async fn every_run_ends_however_many_are_asked_for_at_once() {
    let shop = shop_of(1).await;
    let now = shop.service.now();
    let market = market(&shop);
    let mut plans = Vec::new();
    for i in 0..120 {
        // Names of later ones may sort before: the clock of another function, or one that was put back.
        let run_id = market
            .runs()
            .start_run(None, now.minus_ms(i))
            .await
            .unwrap();
        plans.push(plan(&shop, Some(run_id)));
    }
    let attributor = shop.service.attributor();
    attributor.drain(plans, &|| now).await.unwrap();
    let runs = shop.get("runs?limit=1000").await;
    let states = runs["runs"].as_array().unwrap().iter();
    assert_eq!(states.filter(|run| run["state"] == "done").count(), 120);
    // The last page is full, and is the last.
    let all = runs["runs"].as_array().unwrap().len();
    let page = shop.get(&format!("runs?limit={all}")).await;
    assert_eq!(page["next_cursor"], Value::Null);
    let page = shop.get(&format!("runs?limit={}", all - 1)).await;
    assert_ne!(page["next_cursor"], Value::Null);
}

#[tokio::test]
async fn runs_leave_the_ledger_when_their_time_is_over() {
    let shop = Shop::open(json!({})).await;
    let run = shop.run().await;
    let path = format!("runs/{}", run["run_id"].as_str().unwrap());
    shop.get(&path).await;
    let listed = async || shop.get("runs").await["runs"].as_array().unwrap().len();
    assert_ne!(listed().await, 0);
    shop.service
        .set_now(shop.service.now().plus_ms(400 * DAY_MS));
    assert_eq!(listed().await, 0);
    assert_eq!(shop.status_for(ADMIN, &path).await, 404);
}
