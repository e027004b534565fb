//! Discriminating stories with answers worked out by hand, and properties that hold in every random world.

use chrono::Days;
use serde_json::json;

use super::*;
use crate::worlds;

const DAY_MS: i64 = 24 * 3_600_000;

fn channel(connect_on: &[&str], window: &str, window_from: &str) -> Value {
    json!({"connect_on": connect_on, "window": window, "window_from": window_from})
}

fn redbox() -> Value {
    json!({
        "enabled": true, "link": true, "timezone": "UTC", "currency": null,
        "channels": {
            "email": channel(&["opened", "clicked"], "7d", "sent"),
            "push": channel(&["delivered"], "7d", "sent"),
            "sms": channel(&["delivered"], "7d", "sent"),
        },
        "winner": "last_sent", "supersede": "marketplace", "excluded_tags": [],
        "counted_statuses": ["PREPARING", "READY", "COMPLETE"],
        "refunds": "drop_order", "machine_events": "ignore",
    })
}

fn yespo_v1() -> Value {
    json!({
        "enabled": true, "link": true, "timezone": "UTC", "currency": "USD",
        "channels": {
            "email": channel(&["clicked"], "24h", "event"),
            "push": channel(&["delivered"], "24h", "event"),
            "sms": channel(&["delivered"], "24h", "event"),
        },
        "winner": "last_sent", "supersede": "none", "excluded_tags": [],
        "counted_statuses": ["DELIVERED"],
        "refunds": "gross", "machine_events": "ignore",
    })
}

fn yespo_v2() -> Value {
    let mut settings = yespo_v1();
    settings["winner"] = json!("last_interaction");
    settings
}

/// `16 10:00` is 10:00 UTC on 16 November 2026, a Monday; a fraction of the second may follow.
fn time(at: &str) -> String {
    let (day, clock) = at.split_once(' ').unwrap();
    let seconds = if clock.len() == 5 { ":00" } else { "" };
    format!("2026-11-{day}T{clock}{seconds}Z")
}

/// `kind channel campaign day time`, to customer c.
fn event(line: &str) -> Value {
    let words: Vec<&str> = line.split(' ').collect();
    json!({
        "event_id": line, "kind": words[0], "channel": words[1], "campaign_id": words[2],
        "customer_id": "c", "occurred_at": time(&format!("{} {}", words[3], words[4])),
    })
}

fn order(status: &str, placed_at: &str) -> Value {
    json!({
        "order_id": "o", "customer_id": "c", "status": status, "total": "100.00", "currency": "USD",
        "placed_at": time(placed_at),
    })
}

fn world(settings: Value, events: &[&str], order: Value) -> World {
    World {
        events: events.iter().map(|line| event(line)).collect(),
        orders: vec![order],
        campaigns: vec![],
        versions: vec![Version {
            number: 1,
            in_force_from: None,
            settings,
        }],
        replays: vec![],
        look_back: Some(30 * DAY_MS),
    }
}

/// The campaign credited, or `-`.
fn credited(world: &World) -> String {
    let decision = attribution(world, "o");
    let campaign = decision["credited_to"]["campaign_id"].as_str();
    campaign.unwrap_or("-").to_owned()
}

/// `campaign:outcome` of all candidates in their order, with `<campaign` where superseded by it.
fn outcomes(world: &World) -> String {
    let decision = attribution(world, "o");
    let mut words = Vec::new();
    for candidate in decision["candidates"].as_array().unwrap() {
        let campaign = candidate["campaign_id"].as_str().unwrap();
        let outcome = candidate["outcome"].as_str().unwrap();
        let by = candidate["superseded_by"].as_str();
        let by = by.map_or(String::new(), |by| format!("<{by}"));
        words.push(format!("{campaign}:{outcome}{by}"));
    }
    words.join(" ")
}

/// One customer, an order on Tuesday at 11:30, four campaigns before it.
fn story(settings: Value) -> World {
    let counted = settings["counted_statuses"].as_array().unwrap();
    let status = counted.last().unwrap().as_str().unwrap().to_owned();
    let events = [
        "sent email E1 16 10:00",
        "delivered email E1 16 10:00",
        "opened email E1 16 11:00",
        "clicked email E1 16 12:00",
        "clicked email E1 17 11:00",
        "sent sms S1 17 09:00",
        "delivered sms S1 17 09:00",
        "sent email X1 17 09:30",
        "opened email X1 17 09:31",
        "sent push P1 17 10:00",
        "delivered push P1 17 10:00",
    ];
    let mut world = world(settings, &events, order(&status, "17 11:30"));
    world.campaigns = vec![json!({"campaign_id": "X1", "tags": ["technical"]})];
    world
}

fn push_to_another(world: &mut World) {
    for event in &mut world.events {
        if event["campaign_id"] == "P1" {
            event["customer_id"] = json!("somebody else");
        }
    }
}

#[test]
fn story_redbox_credits_the_last_campaign_sent() {
    let world = story(redbox());
    assert_eq!(
        outcomes(&world),
        "P1:credited X1:superseded<P1 S1:superseded<P1 E1:superseded<P1"
    );
    let decision = attribution(&world, "o");
    assert_eq!(
        decision["credited_to"],
        json!({
            "campaign_id": "P1", "channel": "push", "message_id": null, "touch_kind": "delivered",
            "touch_at": "2026-11-17T10:00:00.000Z", "sent_at": "2026-11-17T10:00:00.000Z",
        })
    );
    assert_eq!(decision["amount"], "100.00");
    assert_eq!(decision["counted"], true);
    assert_eq!(decision["reason"], Value::Null);
    assert_eq!(decision["candidates_total"], 4);
}

#[test]
fn story_redbox_a_send_to_others_ends_it_for_everybody() {
    let mut world = story(redbox());
    push_to_another(&mut world);
    assert_eq!(credited(&world), "-");
    assert_eq!(attribution(&world, "o")["reason"], "no_candidate");

    world.versions[0].settings["supersede"] = json!("customer");
    assert_eq!(
        outcomes(&world),
        "X1:credited S1:superseded<X1 E1:superseded<X1"
    );
    world.versions[0].settings["excluded_tags"] = json!(["technical"]);
    assert_eq!(
        outcomes(&world),
        "S1:credited X1:tag_excluded E1:superseded<S1"
    );
}

#[test]
fn story_yespo_v1_and_v2() {
    let mut world = story(yespo_v1());
    assert_eq!(
        outcomes(&world),
        "P1:credited S1:earlier_sent E1:earlier_sent X1:no_connecting_event"
    );
    world.versions[0].settings = yespo_v2();
    assert_eq!(
        outcomes(&world),
        "E1:credited P1:earlier_interaction S1:earlier_interaction X1:no_connecting_event"
    );
    world
        .events
        .retain(|event| event["event_id"] != "clicked email E1 17 11:00");
    assert_eq!(credited(&world), "P1");
}

#[test]
fn story_in_the_report() {
    let report = campaign_report(&story(redbox()), None, None, None);
    let ids: Vec<&Value> = report["campaigns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["campaign_id"])
        .collect();
    assert_eq!(ids, ["E1", "P1", "S1", "X1"]);
    assert_eq!(
        report["campaigns"][0],
        json!({
            "campaign_id": "E1", "name": "E1", "tags": [], "channels": ["email"], "excluded": false,
            "sent_at": "2026-11-16T10:00:00.000Z", "deliveries": 1, "opens": 1, "unique_opens": 1,
            "open_rate": "1.0000", "bounces": 0, "bounce_rate": "0.0000", "clicks": 2,
            "unique_clicks": 1, "purchases": 0, "purchasers": 0, "revenue": {}, "refunded": {},
            "average_check": {}, "purchase_to_open_rate": "0.0000", "purchase_to_click_rate": "0.0000",
        })
    );
    assert_eq!(
        report["totals"],
        json!({
            "campaigns": 4, "deliveries": 3, "opens": 2, "unique_opens": 2, "open_rate": "1.0000",
            "bounces": 0, "bounce_rate": "0.0000", "clicks": 2, "unique_clicks": 1, "purchases": 1,
            "purchasers": 1, "revenue": {"USD": "100.00"}, "refunded": {},
            "average_check": {"USD": "100.00"}, "purchase_to_open_rate": "0.5000",
            "purchase_to_click_rate": "1.0000",
        })
    );
    let all = json!({"purchases": 1, "revenue": {"USD": "100.00"}});
    assert_eq!(report["counted"], all);
    assert_eq!(report["credited"], all);
    assert_eq!(report["uncredited"], json!({"purchases": 0, "revenue": {}}));
}

#[test]
fn r019_the_window_from_the_send_includes_its_last_millisecond() {
    let events = ["sent push P 10 10:00", "delivered push P 10 10:05"];
    for (placed_at, expect) in [
        ("17 10:00", "P:credited"),
        ("17 10:00:00.001", "P:outside_window"),
        // Digits beyond the millisecond are cut.
        ("17 10:00:00.000999", "P:credited"),
        ("10 10:05", "P:credited"),
        ("10 10:04:59.999", "P:after_order"),
    ] {
        let world = world(redbox(), &events, order("COMPLETE", placed_at));
        assert_eq!(outcomes(&world), expect, "{placed_at}");
    }
}

#[test]
fn r029_the_window_from_the_event_includes_its_last_millisecond() {
    let events = ["sent email E 10 10:00", "clicked email E 12 10:00"];
    for (placed_at, expect) in [
        ("13 09:59:59", "E:credited"),
        ("13 10:00", "E:credited"),
        ("13 10:00:00.001", "E:outside_window"),
    ] {
        let world = world(yespo_v1(), &events, order("DELIVERED", placed_at));
        assert_eq!(outcomes(&world), expect, "{placed_at}");
    }
}

#[test]
fn the_look_back_is_an_edge_too_but_not_in_file_runs() {
    let mut settings = yespo_v1();
    settings["channels"]["email"] = channel(&["clicked"], "24h", "sent");
    let events = ["sent email E 10 10:00", "clicked email E 11 09:00"];
    let mut world = world(settings, &events, order("DELIVERED", "11 10:00"));
    // Else the campaign's send time, which is its earliest event ever, would stand in for the forgotten `sent`.
    world.campaigns = vec![json!({"campaign_id": "E", "triggered": true})];
    world.look_back = Some(DAY_MS);
    assert_eq!(
        attribution(&world, "o")["credited_to"]["sent_at"],
        "2026-11-10T10:00:00.000Z"
    );
    world.look_back = Some(DAY_MS - 1);
    assert_eq!(
        attribution(&world, "o")["credited_to"]["sent_at"],
        "2026-11-11T09:00:00.000Z"
    );
    world.look_back = None;
    assert_eq!(
        attribution(&world, "o")["credited_to"]["sent_at"],
        "2026-11-10T10:00:00.000Z"
    );
}

#[test]
fn a_campaign_supersedes_after_the_send_and_up_to_the_order() {
    for (sent, expect) in [
        ("10 10:00", "P:credited"),
        ("10 10:00:00.001", "P:superseded<Q"),
        ("11 10:00", "P:superseded<Q"),
        ("11 10:00:00.001", "P:credited"),
    ] {
        let events = ["sent push P 10 10:00", "delivered push P 10 10:00"];
        let mut world = world(redbox(), &events, order("COMPLETE", "11 10:00"));
        world.campaigns = vec![json!({"campaign_id": "Q", "sent_at": time(sent)})];
        assert_eq!(outcomes(&world), expect, "marketplace, {sent}");

        // Whatever the fate: a bounce is enough to know that it was sent.
        world.versions[0].settings["supersede"] = json!("customer");
        assert_eq!(outcomes(&world), "P:credited");
        world.campaigns.clear();
        world.events.push(event(&format!("bounced email Q {sent}")));
        let bounced_too = attribution(&world, "o");
        let expect = expect.strip_prefix("P:").unwrap();
        let expect = expect.split('<').next().unwrap();
        let candidates = bounced_too["candidates"].as_array().unwrap();
        let push = candidates.iter().find(|one| one["campaign_id"] == "P");
        assert_eq!(push.unwrap()["outcome"], expect, "customer, {sent}");
    }
}

#[test]
fn who_supersedes_nobody_and_who_is_named() {
    let events = ["sent push P 10 10:00", "delivered push P 10 10:00"];
    let mut world = world(redbox(), &events, order("COMPLETE", "12 10:00"));
    world.versions[0].settings["excluded_tags"] = json!(["technical"]);
    let tagged = json!({"campaign_id": "T", "sent_at": time("11 12:00"), "tags": ["technical"]});
    let triggered = json!({"campaign_id": "W", "sent_at": time("11 12:00"), "triggered": true});
    world.campaigns = vec![tagged, triggered];
    assert_eq!(outcomes(&world), "P:credited");

    for id in ["Q", "R", "Z"] {
        let at = if id == "Z" { "11 08:00" } else { "11 09:00" };
        world
            .campaigns
            .push(json!({"campaign_id": id, "sent_at": time(at)}));
    }
    assert_eq!(outcomes(&world), "P:superseded<R");
}

#[test]
fn the_winner_of_ties() {
    // (events, last_sent, last_interaction); window from the send, nobody supersedes.
    let table: [(&[&str], &str, &str); 4] = [
        // Sent together: the later touch.
        (
            &[
                "sent email A 10 10:00",
                "sent email B 10 10:00",
                "clicked email A 10 12:00",
                "clicked email B 10 11:00",
            ],
            "A",
            "A",
        ),
        // Touched together: the later send.
        (
            &[
                "sent email A 10 10:01",
                "sent email B 10 10:00",
                "clicked email A 10 12:00",
                "clicked email B 10 12:00",
            ],
            "A",
            "A",
        ),
        // The two rules apart.
        (
            &[
                "sent email A 10 10:01",
                "sent email B 10 10:00",
                "clicked email A 10 11:00",
                "clicked email B 10 12:00",
            ],
            "A",
            "B",
        ),
        // All equal: the greater id by bytes, and a capital is below a small letter.
        (
            &["clicked email a 10 12:00", "clicked email B 10 12:00"],
            "a",
            "a",
        ),
    ];
    for (events, last_sent, last_interaction) in table {
        let mut world = world(yespo_v1(), events, order("DELIVERED", "10 13:00"));
        assert_eq!(credited(&world), last_sent, "{events:?}");
        world.versions[0].settings = yespo_v2();
        assert_eq!(credited(&world), last_interaction, "{events:?}");
    }
}

#[test]
fn at_last_the_message_id_and_the_channel_decide() {
    let mut settings = yespo_v1();
    settings["channels"]["email"] =
        channel(&["sent", "delivered", "opened", "clicked"], "1d", "sent");
    let events = [
        "delivered email A 10 12:00",
        "delivered push A 10 12:00",
        "delivered sms A 10 12:00",
    ];
    let mut world = world(settings, &events, order("DELIVERED", "10 13:00"));
    assert_eq!(attribution(&world, "o")["credited_to"]["channel"], "sms");
    world.events[0]["message_id"] = json!(" ");
    let credit = attribution(&world, "o")["credited_to"].clone();
    assert_eq!(credit["channel"], "email");
    assert_eq!(credit["message_id"], " ");

    // Several touches at one instant.
    for kind in ["sent", "clicked", "opened"] {
        let mut another = event(&format!("{kind} email A 10 12:00"));
        another["message_id"] = json!(" ");
        world.events.push(another);
    }
    assert_eq!(
        attribution(&world, "o")["credited_to"]["touch_kind"],
        "clicked"
    );
}

#[test]
fn the_send_time_of_the_campaign_stands_in_for_a_missing_sent() {
    let settings = redbox();
    let mut world = world(
        settings,
        &["delivered push P 17 10:00"],
        order("COMPLETE", "17 11:00"),
    );
    for (sent_at, expect) in [
        ("2026-11-16T10:00:00Z", "2026-11-16T10:00:00.000Z"),
        ("2026-10-18T10:00:00Z", "2026-10-18T10:00:00.000Z"),
        ("2026-10-18T09:59:59.999Z", "2026-11-17T10:00:00.000Z"),
        ("2026-11-17T10:30:00Z", "2026-11-17T10:00:00.000Z"),
    ] {
        world.campaigns = vec![json!({"campaign_id": "P", "sent_at": sent_at})];
        assert_eq!(
            attribution(&world, "o")["candidates"][0]["sent_at"],
            expect,
            "{sent_at}"
        );
    }
}

#[test]
fn machines_and_old_apps_do_not_touch() {
    let mut settings = redbox();
    settings["channels"]["push"] = channel(&["delivered", "opened"], "7d", "sent");
    let events = ["opened push P 17 10:00", "opened push P 17 10:01"];
    let mut world = world(settings, &events, order("COMPLETE", "17 11:00"));
    world.events[0]["machine"] = json!(true);
    world.events[1]["app_version"] = json!("5.0.9");
    assert_eq!(outcomes(&world), "P:app_version_too_old");
    let report = campaign_report(&world, None, None, None);
    assert_eq!(report["campaigns"][0]["opens"], 0);

    world.events[1]["machine"] = json!(true);
    assert_eq!(outcomes(&world), "P:machine_event");
    world.versions[0].settings["machine_events"] = json!("count");
    assert_eq!(outcomes(&world), "P:credited");
    let report = campaign_report(&world, None, None, None);
    assert_eq!(report["campaigns"][0]["opens"], 1);

    // On other kinds the mark means nothing.
    world.versions[0].settings["machine_events"] = json!("ignore");
    world.events[0]["kind"] = json!("delivered");
    assert_eq!(outcomes(&world), "P:credited");
}

#[test]
fn the_standing_copy() {
    let copies = |copies: Vec<Value>| {
        let mut world = world(redbox(), &[], order("PENDING", "17 11:30"));
        world.orders.clear();
        for copy in copies {
            let mut body = order("PENDING", "17 11:30");
            for (field, value) in copy.as_object().unwrap() {
                body[field] = value.clone();
            }
            world.orders.push(body);
        }
        let there = attribution(&world, "o");
        world.orders.reverse();
        assert_eq!(there, attribution(&world, "o"), "in either order");
        format!("{} {}", there["status"], there["amount"]).replace('"', "")
    };
    // The latest update stands, even with an earlier status.
    let earlier = json!({"status": "READY", "updated_at": time("17 12:00")});
    let later = json!({"status": "pending", "updated_at": time("17 12:01")});
    assert_eq!(copies(vec![earlier, later]), "PENDING 100.00");
    // Without updates the later status; no update is an update when it was placed.
    let placed = json!({"status": "READY", "updated_at": time("17 11:30")});
    let without = json!({"status": "COMPLETE"});
    assert_eq!(copies(vec![placed, without]), "COMPLETE 100.00");
    let before = json!({"status": "COMPLETE", "updated_at": time("17 11:29")});
    assert_eq!(copies(vec![before, json!({})]), "PENDING 100.00");
    // Then the greater refund, as a number; then the greater bytes.
    let more = json!({"status": "COMPLETE", "refunded_total": "10"});
    let less = json!({"status": "COMPLETE", "refunded_total": "9", "total": "99"});
    assert_eq!(copies(vec![less, more]), "COMPLETE 100.00");
    let bytes = json!({"status": "COMPLETE", "total": "99"});
    assert_eq!(
        copies(vec![bytes, json!({"status": "COMPLETE"})]),
        "COMPLETE 99.00"
    );
}

#[test]
fn whether_it_counts_and_for_how_much() {
    // (refunds, status, total, refunded_total) → (reason, amount), uncredited throughout.
    for (refunds, status, total, refund, reason, amount) in [
        ("drop_order", "READY", "50", "0", "no_candidate", "50.00"),
        (
            "drop_order",
            "READY",
            "50",
            "49.999999",
            "no_candidate",
            "50.00",
        ),
        ("drop_order", "READY", "50", "50.0", "refunded", "0.00"),
        ("drop_order", "READY", "0", "0", "no_candidate", "0.00"),
        ("drop_order", "REFUNDED", "50", "0", "refunded", "0.00"),
        ("drop_order", "PENDING", "50", "50", "status", "0.00"),
        ("gross", "REFUNDED", "50", "10", "no_candidate", "50.00"),
        ("net", "REFUNDED", "50", "10", "no_candidate", "0.00"),
        ("net", "READY", "50", "10", "no_candidate", "40.00"),
        ("net", "PENDING", "50", "10", "status", "40.00"),
        ("net", "READY", "50", "80", "no_candidate", "0.00"),
        ("drop_order", "READY", "50", "80", "refunded", "0.00"),
        ("drop_order", "READY", "0", "80", "no_candidate", "0.00"),
    ] {
        let mut settings = redbox();
        settings["refunds"] = json!(refunds);
        settings["counted_statuses"] = json!(["READY", "REFUNDED"]);
        let mut world = world(settings, &[], order(status, "17 11:30"));
        world.orders[0]["total"] = json!(total);
        world.orders[0]["refunded_total"] = json!(refund);
        let decision = attribution(&world, "o");
        assert_eq!(decision["reason"], reason, "{refunds} {status} {refund}");
        assert_eq!(decision["amount"], amount, "{refunds} {status} {refund}");

        // The status comes before the currency, the currency before the refund.
        world.versions[0].settings["currency"] = json!("EUR");
        let expect = if reason == "status" {
            "status"
        } else {
            "currency"
        };
        assert_eq!(attribution(&world, "o")["reason"], expect);
    }
}

#[test]
fn without_links_there_are_no_candidates() {
    let mut world = story(redbox());
    world.versions[0].settings["link"] = json!(false);
    let decision = attribution(&world, "o");
    assert_eq!(decision["reason"], "linking_off");
    assert_eq!(decision["candidates_total"], 0);
    world.orders[0]["status"] = json!("PENDING");
    assert_eq!(attribution(&world, "o")["reason"], "status");
}

#[test]
fn first_means_none_in_the_look_back_before() {
    let events = [
        "opened email E 01 10:00",
        "opened email E 03 10:00",
        "opened email E 05 10:00",
        "opened email E 07 10:00:00.001",
    ];
    let mut world = world(redbox(), &events, order("READY", "07 11:00"));
    let uniques =
        |world: &World| campaign_report(world, None, None, None)["totals"]["unique_opens"].clone();
    world.look_back = Some(2 * DAY_MS);
    // Each has the one before it in the look-back, also where that one is not itself a first; the last has not.
    assert_eq!(uniques(&world), 2);
    world.look_back = None;
    assert_eq!(uniques(&world), 1);
    // Of two at one instant exactly one is the first.
    world.events.push(event("opened email E 01 10:00:00.000"));
    assert_eq!(uniques(&world), 1);
}

#[test]
fn days_follow_the_zone_in_force_at_the_fact() {
    let mut world = world(
        redbox(),
        &["opened email E 09 20:00", "opened email E 10 20:00"],
        order("READY", "10 20:00"),
    );
    let mut kathmandu = redbox();
    kathmandu["timezone"] = json!("Asia/Kathmandu");
    let from = chrono::DateTime::parse_from_rfc3339(&time("10 20:00")).unwrap();
    world.versions.push(Version {
        number: 2,
        in_force_from: Some(from.timestamp_millis()),
        settings: kathmandu,
    });
    let opens = |day: u32| {
        let day = NaiveDate::from_ymd_opt(2026, 11, day).unwrap();
        let next = day + Days::new(1);
        campaign_report(&world, Some(day), Some(next), None)["totals"]["opens"].clone()
    };
    assert_eq!([opens(9), opens(10), opens(11)], [1, 0, 1]);
}

#[test]
fn hidden_revenue_leaves_no_key() {
    let mut settings = redbox();
    settings["enabled"] = json!(false);
    let report = campaign_report(&story(settings), None, None, None);
    let text = report.to_string();
    for key in [
        "purchase", "revenue", "refunded", "average", "counted", "credited",
    ] {
        assert!(!text.contains(key), "{key} in {text}");
    }
    assert_eq!(report["campaigns"].as_array().unwrap().len(), 4);
}

// Properties of every world, so that the judge does not contradict itself.

fn order_ids(world: &World) -> std::collections::BTreeSet<String> {
    let ids = world.orders.iter().map(|order| order["order_id"].as_str());
    ids.map(|id| id.unwrap().to_owned()).collect()
}

#[test]
fn the_order_of_arrival_changes_nothing() {
    for seed in 0..300 {
        let mut world = worlds::world(seed);
        // Of one id with two contents the first stands: here the order of arrival does matter.
        let mut contents = std::collections::BTreeMap::new();
        let one_content = |event: &Value| {
            let id = format!("{} {}", event["customer_id"], event["event_id"]);
            contents.entry(id).or_insert_with(|| event.clone()) == event
        };
        let mut one_content = one_content;
        world.events.retain(|event| one_content(event));
        // The first copy of an order says whose it is, and a later one no more.
        let mut came_with = std::collections::BTreeMap::new();
        for order in &mut world.orders {
            let customer = came_with.entry(order["order_id"].to_string());
            let customer = customer.or_insert(order["customer_id"].clone());
            order["customer_id"] = customer.clone();
        }
        let mut shuffled = world.clone();
        let rng = &mut worlds::Rng::new(seed);
        rng.shuffle(&mut shuffled.events);
        rng.shuffle(&mut shuffled.orders);
        rng.shuffle(&mut shuffled.campaigns);
        for id in order_ids(&world) {
            assert_eq!(
                attribution(&world, &id),
                attribution(&shuffled, &id),
                "seed {seed}"
            );
        }
        assert_eq!(
            campaign_report(&world, None, None, None),
            campaign_report(&shuffled, None, None, None),
            "seed {seed}"
        );
    }
}

#[test]
fn counted_is_credited_and_uncredited_and_days_and_channels_add_up() {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    for seed in 0..150 {
        let mut world = worlds::world(seed);
        for version in &mut world.versions {
            version.settings["enabled"] = json!(true);
        }
        let facts = Facts::read(&world);
        let classes = facts.order_classes(None, None);
        let sum = |names: &[&str]| names.iter().map(|name| count(&classes[*name])).sum::<u64>();
        assert_eq!(
            count(&classes["stored"]),
            sum(&["counted", "other_status", "other_currency", "refunded"])
        );
        assert_eq!(count(&classes["counted"]), sum(&["credited", "uncredited"]));

        let all = facts.campaign_report(None, None, None);
        assert_eq!(
            all["counted"]["purchases"], classes["counted"],
            "seed {seed}"
        );
        assert_eq!(all["credited"]["purchases"], classes["credited"]);
        assert_eq!(all["totals"]["purchases"], classes["credited"]);
        assert_eq!(all["totals"]["revenue"], all["credited"]["revenue"]);

        let now = chrono::DateTime::from_timestamp_millis(worlds::NOW_MS).unwrap();
        let cut = now.date_naive() - Days::new(1 + seed % 40);
        let next = cut + Days::new(1);
        let days = [
            facts.campaign_report(None, Some(cut), None),
            facts.campaign_report(Some(cut), Some(next), None),
            facts.campaign_report(Some(next), None, None),
        ];
        let channels = ["email", "push", "sms"]
            .map(|channel| facts.campaign_report(None, None, Some(channel)));
        for parts in [days, channels] {
            for figure in [
                "deliveries",
                "opens",
                "unique_opens",
                "bounces",
                "clicks",
                "unique_clicks",
                "purchases",
                "purchasers",
            ] {
                let sum: u64 = parts
                    .iter()
                    .map(|part| count(&part["totals"][figure]))
                    .sum();
                assert_eq!(sum, count(&all["totals"][figure]), "seed {seed}: {figure}");
            }
        }
    }
}
