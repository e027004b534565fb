//! Deliver everything twice, shuffled, late, and change one's mind: the figures follow, once.

use http::Method;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{DAY_MS, Instant};
use revtrail_oracle::worlds::Rng;
use serde_json::{Value, json};

use crate::support::fault_client::{Fault, FaultClient};
use crate::support::fixtures::{NOW, Shop, assert_part, at, events, order, strip};
use crate::support::service::Service;

/// What a shop shows, but for the counters of copies.
async fn shown(shop: &Shop) -> String {
    let mut shown = shop.figures().await;
    strip(&mut shown, &["received", "duplicates", "older_copies"]);
    shown.to_string()
}

/// The invariant: counted = credited + uncredited, and the purchases of each campaign sum to its row.
async fn assert_sums(shop: &Shop) {
    let report = shop.get("reports/campaigns?limit=1000").await;
    let cents = |sums: &Value| {
        sums["USD"]
            .as_str()
            .map_or(0, |text| text.replace('.', "").parse::<i64>().unwrap())
    };
    let part = |name: &str| {
        (
            report[name]["purchases"].as_i64().unwrap(),
            cents(&report[name]["revenue"]),
        )
    };
    let (counted, credited, uncredited) = (part("counted"), part("credited"), part("uncredited"));
    assert_eq!(
        counted,
        (credited.0 + uncredited.0, credited.1 + uncredited.1),
        "{report}"
    );
    let mut sum = (0, 0);
    for row in report["campaigns"].as_array().unwrap() {
        let listed = shop.purchases(row["campaign_id"].as_str().unwrap()).await;
        let amount = |line: &String| {
            line.rsplit(' ')
                .next()
                .unwrap()
                .replace('.', "")
                .parse::<i64>()
                .unwrap()
        };
        let revenue: i64 = listed.iter().map(amount).sum();
        assert_eq!(
            (row["purchases"].as_u64(), cents(&row["revenue"])),
            (Some(listed.len() as u64), revenue),
            "{row}"
        );
        sum = (sum.0 + listed.len() as i64, sum.1 + revenue);
    }
    assert_eq!(sum, credited, "{report}");
    assert_eq!(report["pending"], 0);
}

/// The revenue of campaigns, each in cents of USD; a campaign without a row has none.
async fn revenue<const N: usize>(shop: &Shop, campaigns: [&str; N]) -> [i64; N] {
    let report = shop.get("reports/campaigns?limit=1000").await;
    campaigns.map(|campaign| {
        let row = report["campaigns"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["campaign_id"] == campaign);
        row.and_then(|row| row["revenue"]["USD"].as_str())
            .map_or(0, |text| text.replace('.', "").parse().unwrap())
    })
}

#[tokio::test]
async fn twice_and_shuffled_gives_the_same() {
    let lines: Vec<String> = (0..40)
        .map(|n| {
            let (channel, kinds) = [
                ("email", "sent,delivered,opened"),
                ("sms", "sent,delivered"),
                ("push", "delivered,clicked"),
            ][n % 3];
            format!(
                "K{} {channel} {kinds} c{} {}T{:02}:00 message_id=m{n}",
                n % 7,
                n % 5,
                10 + n % 9,
                n % 24
            )
        })
        .collect();
    let statuses = ["PENDING", "COMPLETE", "READY", "REFUNDED"];
    let copies: Vec<String> = (0..60)
        .map(|n| {
            let (id, copy) = (n % 30, n / 30);
            let day = 11 + id % 8;
            format!(
                "o{id} c{} {} {}.50 USD {day}T{:02}:30 updated_at=19T0{copy}:00 refunded_total={}",
                id % 6,
                statuses[(id + copy) % 4],
                1 + id,
                id % 24,
                copy
            )
        })
        .collect();
    let mut facts: Vec<(&str, Value)> = lines
        .iter()
        .flat_map(|line| events(line))
        .map(|event| ("events", event))
        .collect();
    facts.extend(copies.iter().map(|line| ("orders", order(line))));
    for settings in [
        json!({}),
        json!({ "preset": "yespo_v2", "currency": "USD", "counted_statuses": ["COMPLETE", "READY"] }),
    ] {
        let mut plain = None;
        for seed in 0..4 {
            let shop = Shop::open(settings.clone()).await;
            let mut order = facts.clone();
            if seed > 0 {
                order.extend(facts.clone());
                Rng::new(seed).shuffle(&mut order);
            }
            let mut calls: Vec<(&str, Vec<Value>)> = Vec::new();
            for (what, fact) in order {
                match calls.last_mut() {
                    Some((same, call)) if *same == what => call.push(fact),
                    _ => calls.push((what, vec![fact])),
                }
            }
            for (n, (what, call)) in calls.iter().enumerate() {
                shop.service.feed("m", what, call, 1_000).await;
                if seed == 3 && n % 9 == 0 {
                    shop.run().await;
                }
            }
            shop.run().await;
            assert_sums(&shop).await;
            let shown = shown(&shop).await;
            assert_eq!(
                plain.get_or_insert_with(|| shown.clone()),
                &shown,
                "seed {seed} of {settings}"
            );
        }
    }
}

#[tokio::test]
async fn settings_replace_each_other_until_the_first_order() {
    // 03:00 UTC is the day before in New York.
    let event = ["E sms sent,delivered c 16T03:00"];
    let day = async |shop: &Shop| {
        shop.get("reports/campaigns/E").await["days"][0]["date"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    for run_between in [false, true] {
        let shop = Shop::open(json!({})).await;
        shop.events(&event).await;
        if run_between {
            shop.run().await;
            assert_eq!(day(&shop).await, "2026-11-16");
        }
        let saved = shop
            .put("settings", json!({ "timezone": "Asia/Tokyo" }))
            .await;
        assert_part(
            "saved",
            &saved,
            &json!({ "version": 2, "orders_before": 0 }),
        );
        shop.service.set_now(at("20T12:05"));
        let saved = shop
            .put("settings", json!({ "timezone": "America/New_York" }))
            .await;
        assert_part(
            "saved",
            &saved,
            &json!({ "version": 3, "orders_before": 0 }),
        );
        let versions = shop.get("settings/versions").await;
        let numbers: Vec<_> = versions["versions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["version"].clone())
            .collect();
        assert_eq!(numbers, [3, 2, 1].map(|n| json!(n)));
        shop.run().await;
        assert_eq!(day(&shop).await, "2026-11-15", "run between: {run_between}");
        // The orders that come are decided under the last of them, however long ago they were placed.
        shop.orders(&["o c COMPLETE 10.00 USD 16T04:00"]).await;
        assert_part(
            "o",
            &shop.get("orders/o/attribution").await,
            &json!({ "settings_version": 3, "counted": true }),
        );
        shop.run().await;
        assert_part(
            "day",
            &shop.get("reports/campaigns/E").await["days"][0],
            &json!({ "date": "2026-11-15", "purchases": 1 }),
        );
        // From the first order on a change holds from its instant: these days stay.
        let saved = shop
            .put("settings", json!({ "timezone": "Asia/Tokyo" }))
            .await;
        assert_part(
            "saved",
            &saved,
            &json!({ "version": 4, "orders_before": 1 }),
        );
        shop.run().await;
        assert_eq!(day(&shop).await, "2026-11-15");
        assert_sums(&shop).await;
    }
}

#[tokio::test]
async fn settings_hold_from_their_instant() {
    let shop = Shop::after(
        json!({}),
        &["E sms sent,delivered c 19T10:00"],
        &["a c COMPLETE 1.00 USD 20T11:00"],
    )
    .await;
    let saved = shop.put("settings", json!({ "link": false })).await;
    assert_part(
        "saved",
        &saved,
        &json!({ "version": 2, "orders_before": 1, "saved_at": "2026-11-20T12:00:00.000Z" }),
    );
    assert_eq!(saved["settings"]["link"], false);
    // An equal object makes no new version.
    shop.service.set_now(at("20T12:01"));
    assert_part(
        "same",
        &shop
            .put("settings", json!({ "link": false, "enabled": true }))
            .await,
        &json!({ "version": 2, "saved_at": "2026-11-20T12:00:00.000Z" }),
    );
    shop.orders(&[
        "b c COMPLETE 2.00 USD 20T11:59:59.999",
        "d c COMPLETE 4.00 USD 20T12:00",
    ])
    .await;
    for (order, who, version) in [("a", "E", 1), ("b", "E", 1), ("d", "nobody linking_off", 2)] {
        assert_eq!(shop.earner(order).await, who, "{order}");
        assert_eq!(
            shop.get(&format!("orders/{order}/attribution")).await["settings_version"],
            version
        );
    }
    shop.run().await;
    assert_eq!(revenue(&shop, ["E"]).await, [300]);
    assert_sums(&shop).await;
    let saved = shop.put("settings", json!({})).await;
    assert_part(
        "saved",
        &saved,
        &json!({ "version": 3, "orders_before": 3 }),
    );
    shop.run().await;
    assert_eq!(revenue(&shop, ["E"]).await, [300]);
    // An order placed ahead of the clock, before the settings that are in force at its instant were saved.
    shop.orders(&["f c COMPLETE 8.00 USD 20T12:09"]).await;
    shop.run().await;
    assert_eq!(revenue(&shop, ["E"]).await, [1_100]);
    shop.service.set_now(at("20T12:08"));
    assert_part(
        "saved",
        &shop.put("settings", json!({ "link": false })).await,
        &json!({ "version": 4, "orders_before": 3 }),
    );
    shop.run().await;
    assert_eq!(
        (revenue(&shop, ["E"]).await, shop.earner("f").await.as_str()),
        ([300], "nobody linking_off")
    );
    assert_sums(&shop).await;
}

/// What comes late.
enum Late {
    Events(&'static str),
    Orders(&'static str),
    Campaign(&'static str, Value),
}

#[tokio::test]
async fn what_comes_late_moves_the_credit_once() {
    let base = [
        "A email sent,delivered,opened c 16T10:00",
        "B email sent,delivered c 16T11:00",
        "T email opened d 12T10:00",
    ];
    let orders = [
        "o c COMPLETE 10.00 USD 17T10:00",
        "p d COMPLETE 5.00 USD 13T10:00",
    ];
    // B was sent after A, so that nobody earns `o` under redbox until B is opened; under `customers` likewise.
    let none = json!({ "supersede": "none" });
    for (name, settings, late, before, after) in [
        (
            "a late open changes the winner",
            none.clone(),
            Late::Events("B email opened c 17T09:00"),
            [1_000, 0, 500],
            [0, 1_000, 500],
        ),
        (
            "a refund takes it out",
            none.clone(),
            Late::Orders("o c REFUNDED 10.00 USD 17T10:00"),
            [1_000, 0, 500],
            [0, 0, 500],
        ),
        (
            "a cancelled order goes",
            none.clone(),
            Late::Orders("o c CANCELLED 10.00 USD 17T10:00"),
            [1_000, 0, 500],
            [0, 0, 500],
        ),
        (
            "a tag takes the winner out",
            json!({ "supersede": "none", "excluded_tags": ["x"] }),
            Late::Campaign("A", json!({ "tags": ["x"] })),
            [1_000, 0, 500],
            [0, 0, 500],
        ),
        (
            "a tag takes the superseder out",
            json!({ "excluded_tags": ["x"] }),
            Late::Campaign("B", json!({ "tags": ["x"] })),
            [0, 0, 500],
            [1_000, 0, 500],
        ),
        (
            "sent_at before the other",
            json!({}),
            Late::Campaign("B", json!({ "sent_at": "2026-11-16T09:00:00Z" })),
            [0, 0, 500],
            [1_000, 0, 500],
        ),
        (
            "sent_at after the order",
            json!({}),
            Late::Campaign("B", json!({ "sent_at": "2026-11-18T09:00:00Z" })),
            [0, 0, 500],
            [1_000, 0, 500],
        ),
        (
            "triggered supersedes nobody",
            json!({}),
            Late::Campaign("B", json!({ "triggered": true })),
            [0, 0, 500],
            [1_000, 0, 500],
        ),
        (
            "a campaign heard of late, by another customer",
            json!({}),
            Late::Events("L sms sent z 13T09:00"),
            [0, 0, 500],
            [0, 0, 0],
        ),
        (
            "a campaign told of late, without events",
            json!({}),
            Late::Campaign("L", json!({ "sent_at": "2026-11-13T09:00:00Z" })),
            [0, 0, 500],
            [0, 0, 0],
        ),
        (
            "an earlier event of a known campaign",
            json!({}),
            Late::Events("B email sent z 13T09:00"),
            [0, 0, 500],
            [1_000, 0, 0],
        ),
        (
            "a window that opens earlier",
            none.clone(),
            Late::Events("T email sent d 05T10:00"),
            [1_000, 0, 500],
            [1_000, 0, 0],
        ),
    ] {
        let shop = Shop::open(settings).await;
        shop.events(&base).await;
        shop.orders(&orders).await;
        shop.run().await;
        assert_eq!(revenue(&shop, ["A", "B", "T"]).await, before, "{name}");
        let counted = shop.get("reports/campaigns").await["counted"].clone();
        for time in 0..2 {
            match &late {
                Late::Events(line) => shop.events(&[line]).await,
                Late::Orders(line) => shop.orders(&[line]).await,
                Late::Campaign(id, body) => {
                    drop(shop.put(&format!("campaigns/{id}"), body.clone()).await)
                }
            }
            let run = shop.run().await;
            assert_eq!(
                revenue(&shop, ["A", "B", "T"]).await,
                after,
                "{name}, time {time}"
            );
            assert_sums(&shop).await;
            if time == 1 {
                assert_part(
                    name,
                    &run,
                    &json!({ "credits_changed": 0, "revenue_moved": {} }),
                );
            }
        }
        if !matches!(late, Late::Orders(_)) {
            assert_eq!(
                shop.get("reports/campaigns").await["counted"],
                counted,
                "{name}: what counts is not moved"
            );
        }
        // Whatever the way, the figures are those of a shop that knew it all from the start.
        let at_once = Shop::open(shop.get("settings").await["settings"].clone()).await;
        if let Late::Campaign(id, body) = &late {
            at_once.put(&format!("campaigns/{id}"), body.clone()).await;
        }
        match late {
            Late::Events(line) => at_once.events(&[line]).await,
            Late::Orders(line) => at_once.orders(&[line]).await,
            Late::Campaign(..) => {}
        }
        at_once.events(&base).await;
        if !matches!(late, Late::Orders(_)) {
            at_once.orders(&orders).await;
        } else {
            at_once.orders(&orders[1..]).await;
        }
        at_once.run().await;
        assert_eq!(shown(&shop).await, shown(&at_once).await, "{name}");
    }
}

#[tokio::test]
async fn a_run_without_news_changes_nothing() {
    let shop = Shop::after(
        json!({}),
        &["A email sent,opened c 16T10:00"],
        &["o c COMPLETE 10.00 USD 17T10:00"],
    )
    .await;
    let before = shop.figures().await;
    for _ in 0..2 {
        let run = shop.run().await;
        assert_part(
            "run",
            &run,
            &json!({ "customers": 0, "orders": 0, "credits_changed": 0, "revenue_moved": {} }),
        );
        assert_eq!(shop.figures().await, before);
    }
    let (status, told) = shop.call(Method::POST, "runs", json!({})).await;
    assert_eq!(status, 202, "{told}");
    let runs = shop.get("runs?limit=2").await;
    assert_eq!(runs["runs"].as_array().unwrap().len(), 2);
    assert_eq!(shop.get("reports/campaigns").await["as_of"], json!(at(NOW)));
}

/// A day that is on its way out comes back where a later clock, or a zone further west, still sees it. What the figures hold of it
/// must be known then.
#[tokio::test]
async fn a_day_that_leaves_and_comes_back_is_counted_once() {
    let settings = |zone: &str| json!({ "timezone": zone });
    let shop = Shop::open(settings("UTC")).await;
    let oldest = "reports/campaigns?from=2026-08-22&to=2026-08-23";
    // The second order comes in while nobody sees its day.
    for (zone, order, counted) in [
        ("UTC", "o1 c1 COMPLETE 10.00 EUR 2026-08-22T13:00:00Z", 1),
        (
            "Pacific/Kiritimati",
            "o2 c1 COMPLETE 20.00 EUR 2026-08-22T14:00:00Z",
            0,
        ),
        ("UTC", "p c2 COMPLETE 1.00 EUR 20T10:00", 2),
        ("Pacific/Kiritimati", "q c1 COMPLETE 1.00 EUR 20T10:00", 0),
        ("UTC", "r c1 COMPLETE 1.00 EUR 20T10:01", 2),
    ] {
        shop.put("settings", settings(zone)).await;
        shop.orders(&[order]).await;
        shop.run().await;
        assert_eq!(
            shop.get(oldest).await["counted"]["purchases"],
            counted,
            "{order}"
        );
    }
}

/// Found from outside: settings that come into force at the instant of an event that was taken in before, and there is no order.
#[tokio::test]
async fn settings_hold_for_events_that_are_ahead_of_a_clock() {
    // When the event happened, by which clocks it is folded and settings are saved, and when they are in force then.
    for (event, folded_by, saved_by, in_force) in [
        ("20T12:09", "20T12:00", "20T12:00", "20T12:00"),
        ("20T12:09", "20T12:00", "20T12:09", "20T12:09"),
        ("20T12:00", "20T12:00", "20T12:00", "20T12:00"),
        // By a clock that is behind that of the run before.
        ("20T12:03", "20T12:05", "20T12:01", "20T12:05"),
    ] {
        let what = format!("{event}, saved by a clock of {saved_by}");
        let shop = Shop::open(json!({ "timezone": "Pacific/Pago_Pago" })).await;
        shop.orders(&["o other COMPLETE 1.00 EUR 18T10:00"]).await;
        let opened = format!("E email opened c {event} machine=true");
        shop.events(&[&opened]).await;
        shop.service.set_now(at(folded_by));
        shop.run().await;
        shop.service.set_now(at(saved_by));
        let settings = json!({ "timezone": "Pacific/Kiritimati", "machine_events": "count" });
        let saved = shop.put("settings", settings).await;
        assert_eq!(saved["saved_at"], json!(at(in_force)), "{what}");
        let counts = at(event) >= at(in_force);
        for minutes in [1, 30, 60] {
            shop.service.set_now(at(NOW).plus_ms(minutes * 60_000));
            shop.run().await;
            let report = shop.get("reports/campaigns").await;
            assert_eq!(
                (&report["totals"]["opens"], &report["pending"]),
                (&json!(i32::from(counts)), &json!(0)),
                "{what}, {minutes} minutes on: {report}"
            );
        }
        let id = MarketplaceId::new("m").unwrap();
        let market = shop.service.store.market(&id, shop.service.retention);
        assert!(
            market.intake().markers().await.unwrap().is_empty(),
            "{what}"
        );
        let run = shop
            .service
            .run_with("m", &json!({ "verify": "all" }))
            .await;
        assert_eq!(run["verify"]["differences"], 0, "{what}: {run}");
        assert_sums(&shop).await;
    }
}

/// Found by a tester: an order lies on the day of the zone it was placed under, which can be two days ahead of where settings are saved.
#[tokio::test]
async fn orders_before_settings_are_counted_on_whatever_day_they_lie() {
    for (from, to, now) in [
        ("UTC", "America/New_York", "21T03:00"),
        ("Pacific/Kiritimati", "Pacific/Pago_Pago", "21T10:30"),
        ("Pacific/Pago_Pago", "Pacific/Kiritimati", "21T10:30"),
    ] {
        let shop = Shop::open(json!({ "timezone": from })).await;
        shop.service.set_now(at(now));
        let short = |ms| at(now).plus_ms(ms).to_string()[8..23].to_owned();
        let order = format!("o c COMPLETE 1.00 EUR {}", short(-1));
        let ahead = format!("p c COMPLETE 1.00 EUR {}", short(60_000));
        shop.orders(&[&order, &ahead]).await;
        for (run, excluded) in [(false, "a"), (true, "b")] {
            if run {
                shop.run().await;
            }
            let settings = json!({ "timezone": to, "excluded_tags": [excluded] });
            let saved = shop.put("settings", settings).await;
            assert_eq!(saved["orders_before"], 1, "{from} to {to}, a run: {run}");
        }
    }
}

/// Found by a history: how many orders stay under older versions is asked of the days up to the version's, which all left.
#[tokio::test]
async fn settings_saved_again_after_their_days_left_stay_as_they_are() {
    let shop = Shop::open(json!({})).await;
    shop.orders(&["o c COMPLETE 1.00 EUR 16T10:00"]).await;
    let settings = json!({ "winner": "last_interaction" });
    let saved = shop.put("settings", settings.clone()).await;
    assert_eq!(saved["orders_before"], 1, "no run has seen it yet: {saved}");
    let version = saved["version"].clone();
    shop.service.set_now(at(NOW).plus_ms(100 * DAY_MS));
    let saved = shop.put("settings", settings).await;
    assert_eq!(
        (&saved["version"], &saved["orders_before"]),
        (&version, &json!(0))
    );
}

/// A plain write whose answer was lost is not sent again, unless what it meets says the same: its call is answered 503 where nobody knows
/// what was done, and the call that repeats it is told. No record is told as new by two answers, and none counts twice.
#[tokio::test]
async fn a_lost_answer_is_unknown_until_the_call_is_repeated() {
    let line = FaultClient::new();
    let shop = Shop::over(&line).await;
    shop.orders(&["o0 ann COMPLETE 1.00 EUR 17T11:00"]).await;
    let before = line.database.copy().unwrap();
    let facts = [
        (
            "events",
            json!(events("spring email sent,opened ann 17T10:00")),
        ),
        (
            "orders",
            json!([
                order("o1 ann COMPLETE 10.00 EUR 17T11:00"),
                order("o2 bob COMPLETE 5.00 EUR 17T12:00")
            ]),
        ),
    ];
    for (what, records) in &facts {
        let (mut unknown, mut points) = (0, 0);
        for fault in [Fault::AnswerLost, Fault::ErrorAfterCommit] {
            for call in 1.. {
                let mut line = FaultClient::over(before.copy().unwrap());
                line.sends_again = true;
                let service = Service::over(&line, Instant::parse(NOW).unwrap());
                let shop = Shop { service, id: "m" };
                line.fail_at(call, fault);
                let mut told = vec![shop.call(Method::POST, what, records.clone()).await];
                let was_met = line.calls().len() >= call;
                line.clear();
                told.push(shop.call(Method::POST, what, records.clone()).await);
                let at = format!("{what}, {fault:?} at call {call}: {told:?}");
                assert_eq!(told[1].0, 202, "{at}");
                assert!([202, 503].contains(&told[0].0), "{at}");
                points += 1;
                unknown += usize::from(told[0].0 == 503);
                told.retain(|(status, _)| *status == 202);
                let sum = |name: &str| -> i64 {
                    told.iter()
                        .filter_map(|(_, told)| told[name].as_i64())
                        .sum()
                };
                assert_eq!(
                    sum("accepted") + sum("duplicates"),
                    2 * told.len() as i64,
                    "{at}"
                );
                assert!(sum("accepted") <= 2, "{at}");
                // The marker of a call that died is taken for one after a quarter of an hour.
                shop.service
                    .set_now(shop.service.now().plus_ms(20 * 60_000));
                shop.run().await;
                let counted = &shop.get("reports/reconciliation").await[*what];
                let is_orders = *what == "orders";
                let (arrived, first) = if is_orders {
                    ("arrived", 1)
                } else {
                    ("stored", 0)
                };
                let number = |name: &str| counted[name].as_i64().unwrap();
                let (received, stored) = (number("received") - first, number(arrived) - first);
                // Of a call that was not answered both are counted or none, as its marker says.
                assert_eq!(received, stored + number("duplicates"), "{at}: {counted}");
                assert!([sum("accepted"), 2].contains(&stored), "{at}: {counted}");
                assert_eq!(number("duplicates"), sum("duplicates"), "{at}: {counted}");
                let figures = shop.get("reports/campaigns").await;
                let orders = if is_orders { 3 } else { 1 };
                assert_eq!(figures["counted"]["purchases"], orders, "{at}");
                if !was_met {
                    break;
                }
            }
        }
        assert!(points > 10 && unknown > 3, "{what}: {unknown} of {points}");
    }
}
