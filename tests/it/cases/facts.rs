//! Cases from the world: what public bug reports found wrong, each with its whole kind; numbers are those of the list that `tests/it/cases/README.md` tells of.
//! Here: the facts as they come in, and figures of them that were ruled anew.

use std::collections::BTreeMap;
use std::fs;

use aws_sdk_dynamodb::types::AttributeValue;
use hourly_attributor::{Attributor, JobLimits};
use http::Method;
use revtrail::attribute::{AttributeArgs, Exit, ExportArgs, Watched, run};
use revtrail_core::value::address::Recipient;
use revtrail_core::value::id::{CustomerId, MarketplaceId};
use revtrail_core::value::money::Money;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::jobs::job::{Job, JobMessage, Work};
use revtrail_store::ledger::contribution::{Move, Moved};
use revtrail_store::ledger::daily::AggregateCache;
use revtrail_store::ledger::intake::IntakeMarker;
use revtrail_store::table::{embedded, keys};
use serde_json::{Value, json};

use crate::support::fixtures::{Shop, assert_part, events, order, with};
use crate::support::invariants::consistent;

const EVENTS: &str = "event_id,kind,channel,campaign_id,customer_id,occurred_at\n";
const ORDERS: &str =
    "order_id,customer_id,status,total,currency,placed_at,updated_at,refunded_total\n";

/// What a file run answered.
struct FileRun {
    exit: Exit,
    /// The report as JSON.
    report: Value,
    /// What the terminal shows beside the report.
    told: String,
    /// `order customer campaign amount counted reason` of each order.
    credits: Vec<String>,
    /// `line code` of each row that was rejected.
    rejects: Vec<String>,
}

/// `revtrail attribute` over rows of events and orders, under settings.
fn attribute(name: &str, settings: &Value, events: &str, orders: &str) -> FileRun {
    let folder = std::env::temp_dir().join(format!("revtrail-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (credits, rejects) = (folder.join("credits.csv"), folder.join("rejects.csv"));
    let args = AttributeArgs {
        events: vec![write("e.csv", format!("{EVENTS}{events}"))],
        orders: vec![write("o.csv", format!("{ORDERS}{orders}"))],
        campaigns: vec![],
        settings: write("s.json", settings.to_string()).display().to_string(),
        marketplace: None,
        credits: Some(credits.clone()),
        explain: None,
        json: true,
        rejects: Some(rejects.clone()),
        max_rejects: None,
        threads: None,
        memory: None,
        exports: ExportArgs::default(),
        show_map: false,
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(&args, &mut out, &mut err, Watched::default());
    let rows = |path, columns: &[usize]| {
        let mut rows = csv::Reader::from_path(path).unwrap();
        let rows = rows.records().map(|row| {
            let row = row.unwrap();
            let cells: Vec<&str> = columns.iter().map(|column| &row[*column]).collect();
            cells.join(" ").trim_end().to_owned()
        });
        rows.collect::<Vec<_>>()
    };
    let answered = FileRun {
        exit,
        report: serde_json::from_slice(&out).unwrap(),
        told: String::from_utf8(err).unwrap(),
        credits: rows(&credits, &[0, 1, 2, 8, 10, 11]),
        rejects: rows(&rejects, &[1, 2]),
    };
    fs::remove_dir_all(&folder).unwrap();
    answered
}

impl Shop {
    /// The answer of intake to one call.
    async fn submit(&self, what: &str, records: &[Value]) -> (u16, Value) {
        self.call(Method::POST, what, json!(records)).await
    }

    /// The same for lines of orders.
    async fn submit_orders(&self, lines: &[&str]) -> Value {
        let records: Vec<Value> = lines.iter().map(|line| order(line)).collect();
        self.submit("orders", &records).await.1
    }

    /// A field of an order as it is listed; `null` where the order is not.
    async fn listed_order(&self, query: &str, id: &str) -> Value {
        let list = self.get(&format!("orders{query}")).await;
        let orders = list["orders"].as_array().unwrap();
        let found = orders.iter().find(|order| order["order_id"] == id);
        found.cloned().unwrap_or_default()
    }

    fn ledger(&self) -> revtrail_store::market::Market {
        let id = MarketplaceId::new(self.id).unwrap();
        self.service.store.market(&id, Retention::DEFAULT)
    }

    /// The customers that the markers of calls name, sorted.
    async fn marked_customers(&self) -> Vec<String> {
        let markers = self.ledger().intake().markers().await.unwrap();
        let customers = markers
            .iter()
            .flat_map(|marker: &IntakeMarker| &marker.customers);
        let mut customers: Vec<String> = customers.map(ToString::to_string).collect();
        customers.sort();
        customers.dedup();
        customers
    }
}

#[tokio::test]
async fn case_05_a_time_is_rfc_3339_and_nothing_looser() {
    let shop = Shop::open(json!({})).await;
    let texts = [
        ("2026-11-20T10:15:00Z", true),
        ("2026-11-20T10:15:59.999999999Z", true),
        ("2026-11-20T10:15:00-00:00", true),
        ("2026-11-20t10:15:00z", true),
        ("2026-11-20T23:14:00+13:59", true),
        ("2026-11-20T10:15:60Z", false),
        ("2026-11-20T10:15:60+00:00", false),
        ("2026-06-30T23:59:60Z", false),
        ("2026-11-20T11:15:00\u{2212}01:00", false),
        ("2026-11-20T11:15:00\u{2013}01:00", false),
        ("2026-11-20T11:15:00\u{ff0b}01:00", false),
        ("2026\u{2212}11\u{2212}20T10:15:00Z", false),
        ("2026-11-20T10:15:0\u{ff10}Z", false),
        ("2026-11-20 10:15:00Z", false),
        ("2026-11-20T10:15:00+0100", false),
        ("2026-11-20T10:15:00+01", false),
        ("2026-11-20T10:15:00+24:00", false),
        ("2026-11-20T10:15:00+01:60", false),
        ("2026-11-20T10:15Z", false),
        ("2026-11-20T10:15:00", false),
        ("2026-11-20T24:00:00Z", false),
        ("2026-11-20T10:15:00,5Z", false),
        ("2026-11-20T10:15:00.Z", false),
        (" 2026-11-20T10:15:00Z", false),
        ("2026-11-20T10:15:00Z\t", false),
        ("+2026-11-20T10:15:00Z", false),
    ];
    let event = events("E email clicked c 20T10:00").remove(0);
    let sale = order("o c COMPLETE 10.00 USD 20T10:00");
    for (i, (text, good)) in texts.into_iter().enumerate() {
        let records = [
            ("events", "occurred_at", &event, "event_id"),
            ("orders", "placed_at", &sale, "order_id"),
            ("orders", "updated_at", &sale, "order_id"),
            (
                "assignments",
                "assigned_at",
                &json!({"promotion_id": "p", "customer_id": "c"}),
                "assignment_id",
            ),
            (
                "redemptions",
                "redeemed_at",
                &json!({"promotion_id": "p", "customer_id": "c"}),
                "redemption_id",
            ),
        ];
        for (what, field, record, id) in records {
            let record = with(
                record.clone(),
                &json!({ id: format!("{field}{i}"), field: text }),
            );
            let (status, told) = shop.submit(what, &[record]).await;
            let code = &told["rejected"][0]["code"];
            let right = if good {
                (202, &json!(null))
            } else {
                (422, &json!("bad_time"))
            };
            assert_eq!((status, code), right, "{what} {field} {text:?}: {told}");
        }
        let (status, told) = shop
            .call(Method::PUT, "campaigns/E", json!({ "sent_at": text }))
            .await;
        assert_eq!(status < 300, good, "{text:?}: {told}");
        if !good {
            assert_eq!(told["errors"][0]["code"], "bad_time", "{text:?}");
        }
        // In a file a bad time is a bad row, and the others stand.
        let row = format!(
            "o1,c1,COMPLETE,10,USD,\"{text}\",,\no2,c1,COMPLETE,10,USD,2026-11-20T10:15:00Z,,\n"
        );
        let run = attribute(&format!("case05-{i}"), &json!({}), "", &row);
        let (exit, rejects): (_, &[&str]) = if good {
            (Exit::Clean, &[])
        } else {
            (Exit::Rejected, &["2 bad_time"])
        };
        assert_eq!(run.exit, exit, "{text:?}");
        assert_eq!(run.rejects, rejects, "{text:?}");
    }
}

#[tokio::test]
async fn case_16_an_order_stays_with_its_first_customer_and_its_refund_finds_it() {
    // A click of each customer on a campaign of their own; the order's first copy decides which of the two counts.
    let clicks = [
        "OLD email sent,clicked old 17T10:00",
        "NEW email sent,clicked new 17T10:30",
    ];
    let settings = json!({"supersede": "none"});
    for (first, second) in [("old", "new"), ("new", "old")] {
        let shop = Shop::open(settings.clone()).await;
        shop.events(&clicks).await;
        let sold = format!("o {first} COMPLETE 100.00 USD 17T11:00 updated_at=17T11:00");
        let back = format!("o {second} REFUNDED 100.00 USD 17T11:00 updated_at=18T11:00");
        let campaign = first.to_uppercase();
        assert_part(
            first,
            &shop.submit_orders(&[&sold]).await,
            &json!({"accepted": 1, "older": 0, "duplicates": 0, "rejected": []}),
        );
        let run = shop.run().await;
        assert_eq!(run["revenue_moved"], json!({"USD": "100.00"}));

        // The refund comes with the other customer: it is taken, and it is the first whom the run has to fold.
        assert_part(
            second,
            &shop.submit_orders(&[&back]).await,
            &json!({"accepted": 1, "older": 0, "rejected": []}),
        );
        assert_eq!(shop.marked_customers().await, [first]);
        assert_eq!(shop.listed_order("", "o").await["customer_id"], first);
        let run = shop.run().await;
        assert_part(
            "run",
            &run,
            &json!({"customers": 1, "orders": 1, "revenue_moved": {"USD": "-100.00"}}),
        );
        assert_eq!(shop.earner("o").await, format!("{campaign} status"));
        assert_part(
            &campaign,
            &shop.row(&campaign).await,
            &json!({"purchases": 0, "revenue": {}, "refunded": {"USD": "100.00"}}),
        );
        let listed = shop
            .listed_order(&format!("?customer_id={first}"), "o")
            .await;
        assert_part(
            "listed",
            &listed,
            &json!({"customer_id": first, "status": "REFUNDED", "counted": false}),
        );
        let other = shop
            .listed_order(&format!("?customer_id={second}"), "o")
            .await;
        assert_eq!(other, json!(null));
        let told = shop.get("orders/o/attribution").await;
        assert_eq!(told["customer_id"], first);
        let card = shop.get(&format!("customers/{second}")).await;
        assert_eq!(card["orders"], json!([]), "{card}");

        // Both copies again: the one is older, the other stands as it was sent.
        let again = shop.submit_orders(&[&sold, &back]).await;
        assert_part(
            "again",
            &again,
            &json!({"accepted": 1, "older": 1, "duplicates": 1}),
        );
        let all = ["old", "new"];
        let now = shop.service.now();
        let day = now.day(chrono_tz::UTC).minus(30);
        consistent(&shop.ledger(), &all, &["OLD", "NEW"], day, now).await;
        let verified = shop
            .service
            .run_with(shop.id, &json!({"verify": "all"}))
            .await;
        assert_eq!(verified["verify"]["differences"], 0, "{verified}");

        // The same over files: rows in file order count as arrival.
        let rows = format!(
            "o,{first},COMPLETE,100.00,USD,2026-11-17T11:00:00Z,2026-11-17T11:00:00Z,\n\
             o,{second},REFUNDED,100.00,USD,2026-11-17T11:00:00Z,2026-11-18T11:00:00Z,\n"
        );
        let events = "e1,clicked,email,OLD,old,2026-11-17T10:00:00Z\ne1,clicked,email,NEW,new,2026-11-17T10:30:00Z\n";
        let run = attribute(&format!("case16-{first}"), &settings, events, &rows);
        assert_eq!(run.exit, Exit::Clean, "{}", run.told);
        assert_eq!(
            run.credits,
            [format!("o {first} {campaign} 0.00 false status")]
        );
    }
}

#[tokio::test]
async fn case_16_what_of_a_known_order_may_differ() {
    let first = "o c COMPLETE 100.00 USD 17T11:00";
    for (copy, rejected) in [
        ("o d COMPLETE 100.00 USD 17T11:00", None),
        ("o d REFUNDED 90.00 USD 17T11:00 refunded_total=95", None),
        ("o d COMPLETE 100.00 USD 2026-11-17T12:00:00+01:00", None),
        ("o d COMPLETE 100.00 USD 17T11:00:00.001", Some("placed_at")),
        ("o c COMPLETE 100.00 USD 17T11:00:00.001", Some("placed_at")),
        ("o d COMPLETE 100.00 EUR 17T11:00", Some("currency")),
        ("o c COMPLETE 100.00 EUR 18T11:00", Some("currency")),
    ] {
        // In one call, in two, and after a run.
        for way in 0..3 {
            let shop = Shop::open(json!({})).await;
            let told = if way == 0 {
                shop.submit_orders(&[first, copy]).await
            } else {
                shop.submit_orders(&[first]).await;
                if way == 2 {
                    shop.run().await;
                }
                shop.submit_orders(&[copy]).await
            };
            let code = |field: &str| json!(["immutable_field", field]);
            let problem = &told["rejected"][0];
            let shown = json!([problem["code"], problem["field"]]);
            let expected = rejected.map_or(json!([null, null]), code);
            assert_eq!(shown, expected, "{copy}, way {way}: {told}");
            shop.run().await;
            let listed = shop.get("orders").await["orders"].clone();
            assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
            assert_eq!(listed[0]["customer_id"], "c");
        }
    }
}

#[tokio::test]
async fn case_16_a_refund_above_the_total_is_taken_and_counts_as_the_total() {
    let click = ["E email sent,clicked c 17T10:00"];
    for (refunds, counted, revenue, amount) in [
        ("drop_order", false, json!({}), "0.00"),
        ("gross", true, json!({"USD": "50.00"}), "50.00"),
        ("net", true, json!({}), "0.00"),
    ] {
        let settings = json!({ "refunds": refunds });
        let shop = Shop::after(
            settings.clone(),
            &click,
            &["o c COMPLETE 100.00 USD 17T11:00 updated_at=17T11:00 refunded_total=20"],
        )
        .await;
        // The shop took half of the order out, and gave back more than what is left of it.
        let edited = "o c COMPLETE 50.00 USD 17T11:00 updated_at=18T11:00 refunded_total=80";
        let told = shop.submit_orders(&[edited]).await;
        assert_part(refunds, &told, &json!({"accepted": 1, "rejected": []}));
        shop.run().await;
        let row = shop.row("E").await;
        let purchases = i64::from(counted);
        assert_part(
            refunds,
            &row,
            &json!({"purchases": purchases, "revenue": revenue, "refunded": {"USD": "50.00"}}),
        );
        let listed = shop.listed_order("", "o").await;
        assert_part(
            refunds,
            &listed,
            &json!({"total": "50.00", "refunded_total": "80.00", "counted": counted}),
        );
        let shown = shop.get("orders/o/attribution").await;
        assert_eq!(shown["amount"], amount, "{refunds}");
        let again = shop.submit_orders(&[edited]).await;
        assert_eq!(again["duplicates"], 1, "{again}");

        let rows = "o,c,COMPLETE,50,USD,2026-11-17T11:00:00Z,2026-11-18T11:00:00Z,80\n";
        let events = "e,clicked,email,E,c,2026-11-17T10:00:00Z\n";
        let run = attribute(&format!("case16-{refunds}"), &settings, events, rows);
        assert_eq!(run.exit, Exit::Clean, "{}", run.told);
        assert_part(
            refunds,
            &run.report["campaigns"][0],
            &json!({"revenue": revenue, "refunded": {"USD": "50.00"}}),
        );
    }
    // With nothing to give back there is no refund: the order counts.
    let shop = Shop::after(
        json!({}),
        &click,
        &["o c COMPLETE 0 USD 17T11:00 refunded_total=5"],
    )
    .await;
    assert_eq!(shop.earner("o").await, "E");
    assert_eq!(shop.row("E").await["refunded"], json!({}));
}

#[tokio::test]
async fn case_17_the_answer_counts_copies_that_changed_nothing() {
    // Each copy after those before it: what the answer says of it, and which status then stands.
    let copies = [
        ("CANCELLED 10", "accepted", "CANCELLED"),
        ("COMPLETE 10", "older", "CANCELLED"),
        ("CANCELLED 10", "duplicates", "CANCELLED"),
        ("COMPLETE 10 updated_at=17T10:59", "older", "CANCELLED"),
        ("COMPLETE 10 updated_at=17T11:00", "older", "CANCELLED"),
        ("COMPLETE 10 updated_at=17T12:00", "accepted", "COMPLETE"),
        // It says less than it knows: without a time of its own it is as old as the order.
        ("REFUNDED 10", "older", "COMPLETE"),
        ("READY 10 updated_at=17T12:00", "older", "COMPLETE"),
        (
            "COMPLETE 9 updated_at=17T12:00 refunded_total=11",
            "accepted",
            "COMPLETE",
        ),
        (
            "COMPLETE 10 updated_at=17T12:00 refunded_total=10.5",
            "older",
            "COMPLETE",
        ),
        (
            "COMPLETE 9.5 updated_at=17T12:00 refunded_total=11",
            "accepted",
            "COMPLETE",
        ),
        (
            "COMPLETE 9 updated_at=17T12:00 refunded_total=11",
            "older",
            "COMPLETE",
        ),
        (
            "complete 9.50 updated_at=2026-11-17T13:00:00+01:00 refunded_total=11.000",
            "duplicates",
            "COMPLETE",
        ),
        ("DELIVERED 1 updated_at=17T12:00", "accepted", "DELIVERED"),
    ];
    let line = |copy: &str| {
        let (status, rest) = copy.split_once(' ').unwrap();
        let (total, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        format!("o c {status} {total} USD 17T11:00 {rest}")
    };
    let shop = Shop::open(json!({})).await;
    for (copy, what, stands) in copies {
        let told = shop.submit_orders(&[&line(copy)]).await;
        let n = |is: bool| i64::from(is);
        let expected = json!({"accepted": n(what != "duplicates"), "older": n(what == "older"), "duplicates": n(what == "duplicates"),
            "rejected": []});
        assert_eq!(told, expected, "{copy}");
        assert_eq!(shop.listed_order("", "o").await["status"], stands, "{copy}");
    }
    // In one call the copies come one after the other, and the counts are the same.
    let shop = Shop::open(json!({})).await;
    let lines: Vec<String> = copies.iter().map(|(copy, ..)| line(copy)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(
        shop.submit_orders(&lines).await,
        json!({"accepted": 12, "older": 7, "duplicates": 2, "rejected": []})
    );
    shop.run().await;
    let orders = shop.get("reports/reconciliation").await["orders"].clone();
    assert_part(
        "orders",
        &orders,
        &json!({"received": 14, "stored": 1, "duplicates": 2, "older_copies": 11, "rejected": 0}),
    );
    assert_eq!(
        shop.submit_orders(&[]).await,
        json!({"accepted": 0, "older": 0, "duplicates": 0, "rejected": []})
    );
    // Only orders have copies.
    let event = events("E email clicked c 17T10:00").remove(0);
    let told = shop.submit("events", &[event]).await.1;
    assert_eq!(
        told,
        json!({"accepted": 1, "duplicates": 0, "rejected": []})
    );
}

#[tokio::test]
async fn case_18_an_open_rate_above_one_is_none() {
    let open = |n: usize, of: &str| {
        (0..n)
            .map(|i| format!("{of} opened c{i} 17T10:00"))
            .collect::<Vec<_>>()
    };
    for (delivered, opened, rate) in [
        (0, 0, json!(null)),
        (0, 3, json!(null)),
        (1, 3, json!(null)),
        (2, 3, json!(null)),
        (3, 3, json!("1.0000")),
        (3, 2, json!("0.6667")),
        (3, 0, json!("0.0000")),
    ] {
        let mut lines = open(opened, "E email");
        lines.extend((0..delivered).map(|i| format!("E email delivered c{i} 17T09:00")));
        // A row of its own, whatever the others have; a text message is not opened.
        lines.push("E sms delivered other 17T09:00".to_owned());
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let shop = Shop::after(json!({}), &lines, &[]).await;
        let what = format!("{opened} of {delivered}");
        assert_eq!(shop.row("E").await["open_rate"], rate, "{what}");
        let report = shop.get("reports/campaigns").await;
        assert_eq!(report["totals"]["open_rate"], rate, "{what}");
        let one = shop.get("reports/campaigns/E").await;
        assert_eq!(one["days"][0]["open_rate"], rate, "{what}");
        let csv = shop.csv("reports/campaigns").await;
        let mut csv = csv::Reader::from_reader(csv.as_bytes());
        let column = csv
            .headers()
            .unwrap()
            .iter()
            .position(|name| name == "open_rate");
        let row = csv.records().next().unwrap().unwrap();
        assert_eq!(
            row[column.unwrap()],
            *rate.as_str().unwrap_or_default(),
            "{what}"
        );

        let row = |kind: &str, i| format!("{kind}{i},{kind},email,E,c{i},2026-11-17T10:00:00Z\n");
        let opens = (0..opened).map(|i| row("opened", i));
        let rows: String = opens
            .chain((0..delivered).map(|i| row("delivered", i)))
            .chain(["s,sent,email,E,other,2026-11-17T10:00:00Z\n".to_owned()])
            .collect();
        let run = attribute(
            &format!("case18-{opened}-{delivered}"),
            &json!({}),
            &rows,
            "",
        );
        assert_eq!(run.report["campaigns"][0]["open_rate"], rate, "{what}");
    }
    // What one campaign lacks another has: the totals are of all.
    let shop = Shop::after(
        json!({}),
        &[
            "A email opened c 17T10:00",
            "B push delivered c 17T10:00",
            "B push delivered d 17T10:00",
        ],
        &[],
    )
    .await;
    let report = shop.get("reports/campaigns").await;
    assert_eq!(report["totals"]["open_rate"], "0.5000");
    assert_eq!(shop.row("A").await["open_rate"], json!(null));
}

/// Job messages and all that follows, each handled so often and handed over after every batch: as queues that deliver twice do.
async fn drain(shop: &Shop, messages: Vec<JobMessage>, limits: JobLimits, times: usize) {
    let attributor = Attributor {
        limits,
        ..shop.service.attributor()
    };
    let now = shop.service.now();
    let mut waiting = std::collections::VecDeque::from(messages);
    let mut handled = 0;
    while let Some(message) = waiting.pop_front() {
        for _ in 0..times {
            // The time is up at once: a worker does one batch and hands over.
            waiting.extend(attributor.handle(&message, &|| now, now).await.unwrap());
        }
        handled += 1;
        assert!(handled < 10_000, "it does not end");
        let mut seen = std::collections::BTreeSet::new();
        waiting.retain(|message| seen.insert(format!("{message:?}")));
    }
}

/// A shop of so many customers, each with a click and two orders, all folded. The orders are ahead of the clock, so that settings
/// that are saved now decide them again.
async fn folded(customers: usize) -> Shop {
    let shop = Shop::open(json!({})).await;
    for i in 0..customers {
        shop.events(&[&format!("spring email sent,clicked c{i} 17T10:00")])
            .await;
        shop.orders(&[
            &format!("a{i} c{i} COMPLETE 10.00 EUR 20T12:05"),
            &format!("b{i} c{i} COMPLETE 10.00 EUR 20T12:06"),
        ])
        .await;
    }
    shop.run().await;
    shop
}

#[tokio::test]
async fn case_28_a_run_counts_each_customer_and_each_order_once() {
    let small = JobLimits {
        job_customers: 2,
        batch_customers: 1,
        ..JobLimits::DEFAULT
    };
    let ask = async |shop: &Shop| {
        let (status, run) = shop.call(Method::POST, "runs", json!({})).await;
        assert_eq!(status, 202, "{run}");
        let messages = shop.service.enqueued();
        (run["run_id"].as_str().unwrap().to_owned(), messages)
    };
    let counted = async |shop: &Shop, run: &str| {
        let run = shop.get(&format!("runs/{run}")).await;
        assert_eq!(run["state"], "done", "{run}");
        json!([run["customers"], run["orders"]])
    };
    // Settings, facts, both, and a campaign: each asks for folds of its own.
    for (what, limits, times) in [
        ("at once", JobLimits::DEFAULT, 1),
        ("in pieces", small, 1),
        ("in pieces, twice", small, 2),
    ] {
        let shop = folded(5).await;
        shop.put("settings", json!({"counted_statuses": ["COMPLETE"]}))
            .await;
        let (run, messages) = ask(&shop).await;
        drain(&shop, messages, limits, times).await;
        assert_eq!(
            counted(&shop, &run).await,
            json!([5, 10]),
            "{what}: settings"
        );

        shop.put("settings", json!({"counted_statuses": ["READY"]}))
            .await;
        shop.put("campaigns/spring", json!({"tags": ["x"]})).await;
        shop.events(&["spring email opened c1 20T10:05"]).await;
        shop.orders(&["new c1 COMPLETE 10.00 EUR 20T12:07"]).await;
        let (run, messages) = ask(&shop).await;
        drain(&shop, messages, limits, times).await;
        assert_eq!(counted(&shop, &run).await, json!([5, 11]), "{what}: all");

        // Nothing new: nobody is folded.
        let (run, messages) = ask(&shop).await;
        drain(&shop, messages, limits, times).await;
        assert_eq!(counted(&shop, &run).await, json!([0, 0]), "{what}: nothing");
    }
}

#[tokio::test]
async fn case_28_also_where_runs_take_turns_and_an_order_comes_between() {
    let shop = folded(1).await;
    let market = shop.ledger();
    let attributor = shop.service.attributor();
    let now = shop.service.now();
    let customers = [CustomerId::new("c0").unwrap().into()];
    let mut counts: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let runs = [
        market.runs().start_run(None, now).await.unwrap(),
        market.runs().start_run(None, now).await.unwrap(),
    ];
    // Each line is a fold: of which run, and what it adds to the run's counts of customers and orders.
    for (order, run, adds) in [
        (None, 0, (1, 2)),
        (None, 0, (0, 0)),
        (Some("n1 c0 COMPLETE 1 EUR 20T11:40"), 0, (0, 1)),
        (None, 1, (1, 3)),
        (None, 0, (0, 0)),
        (Some("n2 c0 COMPLETE 1 EUR 20T11:41"), 1, (0, 1)),
        (None, 0, (0, 1)),
        (None, 1, (0, 0)),
    ] {
        if let Some(order) = order {
            shop.orders(&[order]).await;
        }
        let work = Work::Fold { next: 0 };
        let job = Job::new(work, Some(runs[run].clone()), 0, 0, now);
        market
            .jobs()
            .add_fold(&job, &customers, 0, now)
            .await
            .unwrap();
        let message = JobMessage::Work {
            marketplace: market.id().clone(),
            job_id: job.job_id.clone(),
        };
        attributor
            .handle(&message, &|| now, Instant::MAX)
            .await
            .unwrap();
        let shown = market.runs().run(&runs[run], now).await.unwrap().unwrap();
        let before = counts.entry(runs[run].clone()).or_default();
        let added = (shown.customers - before.0, shown.orders - before.1);
        assert_eq!(added, adds, "{order:?} by run {run}");
        *before = (shown.customers, shown.orders);
    }
}

#[tokio::test]
async fn case_29_refunded_is_of_orders_that_count_or_would_but_for_their_refund() {
    let settings = json!({"currency": "EUR", "counted_statuses": ["COMPLETE"], "refunds": "net", "supersede": "none"});
    // An order, and what of its refund the campaign has.
    let cases = [
        ("COMPLETE 10 EUR refunded_total=4", "4.00"),
        ("COMPLETE 10 EUR refunded_total=10", "10.00"),
        ("COMPLETE 10 EUR refunded_total=11", "10.00"),
        ("COMPLETE 10 EUR", ""),
        ("REFUNDED 10 EUR refunded_total=3", "10.00"),
        ("REFUNDED 10 EUR", "10.00"),
        ("PREPARING 10 EUR refunded_total=4", ""),
        ("CANCELLED 10 EUR refunded_total=10", ""),
        ("COMPLETE 10 GBP refunded_total=4", ""),
        ("REFUNDED 10 GBP", ""),
        ("PREPARING 10 GBP refunded_total=4", ""),
    ];
    for refunds in ["drop_order", "gross", "net"] {
        let settings = with(settings.clone(), &json!({ "refunds": refunds }));
        let shop = Shop::open(settings.clone()).await;
        let (mut rows, mut events) = (String::new(), String::new());
        for (i, (copy, _)) in cases.iter().enumerate() {
            let mut words = copy.splitn(4, ' ');
            let mut word = || words.next().unwrap_or_default();
            let (status, total, currency, rest) = (word(), word(), word(), word());
            shop.events(&[&format!("E{i} email sent,clicked c{i} 17T10:00")])
                .await;
            shop.orders(&[&format!(
                "o{i} c{i} {status} {total} {currency} 17T11:00 {rest}"
            )])
            .await;
            let refund = rest.strip_prefix("refunded_total=").unwrap_or_default();
            rows +=
                &format!("o{i},c{i},{status},{total},{currency},2026-11-17T11:00:00Z,,{refund}\n");
            events += &format!("e,clicked,email,E{i},c{i},2026-11-17T10:00:00Z\n");
        }
        shop.run().await;
        let run = attribute(&format!("case29-{refunds}"), &settings, &events, &rows);
        let in_file = |id: &str| {
            let rows = run.report["campaigns"].as_array().unwrap();
            rows.iter().find(|row| row["campaign_id"] == id).cloned()
        };
        for (i, (copy, refunded)) in cases.iter().enumerate() {
            let expected = if refunded.is_empty() {
                json!({})
            } else {
                json!({ "EUR": refunded })
            };
            let id = format!("E{i}");
            let what = format!("{refunds}: {copy}");
            assert_eq!(shop.row(&id).await["refunded"], expected, "{what}");
            assert_eq!(in_file(&id).unwrap()["refunded"], expected, "{what}");
        }
        let total = &shop.get("reports/campaigns").await["totals"]["refunded"];
        assert_eq!(*total, json!({"EUR": "44.00"}), "{refunds}");
    }
}

#[tokio::test]
async fn case_29_refunded_follows_the_status_and_the_settings() {
    let settings = json!({"counted_statuses": ["COMPLETE"], "refunds": "gross"});
    let shop = Shop::after(
        settings,
        &["E email sent,clicked c 20T10:00"],
        &["o c PREPARING 10 EUR 20T11:00 refunded_total=4 updated_at=20T11:00"],
    )
    .await;
    let refunded = async || shop.row("E").await["refunded"].clone();
    assert_eq!(refunded().await, json!({}));
    for (status, at, expected) in [
        ("COMPLETE", "20T11:01", json!({"EUR": "4.00"})),
        ("CANCELLED", "20T11:02", json!({})),
        ("REFUNDED", "20T11:03", json!({"EUR": "10.00"})),
        ("READY", "20T11:04", json!({})),
    ] {
        let copy = format!("o c {status} 10 EUR 20T11:00 refunded_total=4 updated_at={at}");
        shop.orders(&[&copy]).await;
        shop.run().await;
        assert_eq!(refunded().await, expected, "{status}");
    }
}

#[tokio::test]
async fn case_29_what_was_folded_before_is_folded_again_once() {
    // An order of a status that does not count, as it was folded before: its refund was the campaign's.
    let settings = json!({"counted_statuses": ["COMPLETE"]});
    let shop = Shop::after(
        settings,
        &["E email sent,clicked c 17T10:00"],
        &["o c PREPARING 10 EUR 17T11:00 refunded_total=4"],
    )
    .await;
    let (market, now) = (shop.ledger(), shop.service.now());
    let customer = Recipient::from(CustomerId::new("c").unwrap());
    let facts = market
        .facts()
        .customer(&customer, usize::MAX, now)
        .await
        .unwrap();
    let stored = facts.unwrap().stored;
    let first = Retention::DEFAULT.first_visible(now.day(chrono_tz::UTC));
    let mut old = stored.since(first);
    for line in old.days.values_mut().flat_map(|part| &mut part.orders) {
        line.figures.refunded = Money::parse("4").unwrap();
    }
    let job = Job::new(Work::Fold { next: 0 }, None, 0, 0, now);
    market
        .jobs()
        .add_fold(&job, std::slice::from_ref(&customer), 0, now)
        .await
        .unwrap();
    let moves = vec![Move {
        customer,
        stored,
        new: old,
    }];
    let rules = market.settings().rules_seen(0).await.unwrap();
    let mut desk = AggregateCache::of(0);
    let moved = market
        .contributions()
        .move_all(&job, moves, rules, first, &mut desk, now);
    assert_eq!(moved.await.unwrap(), Moved::Again(vec![]));
    market.jobs().job_done(&job).await.unwrap();
    let refunded = async || shop.row("E").await["refunded"].clone();
    assert_eq!(refunded().await, json!({"EUR": "4.00"}));
    // By a program that knows the rule, nothing happens by itself.
    shop.service.tick(shop.id).await.unwrap();
    assert_eq!(refunded().await, json!({"EUR": "4.00"}));

    // The table is one that the program before has left.
    let key = keys::meta(market.id());
    embedded::client(shop.service.tripwire.clone())
        .update_item()
        .table_name("revtrail")
        .key("pk", AttributeValue::S(key.pk.clone()))
        .key("sk", AttributeValue::S(key.sk.clone()))
        .update_expression("REMOVE fold_version")
        .send()
        .await
        .unwrap();
    shop.service.tick(shop.id).await.unwrap();
    assert_eq!(refunded().await, json!({}));
    let runs = shop.get("runs").await["runs"].as_array().unwrap().len();
    shop.service.tick(shop.id).await.unwrap();
    assert_eq!(
        shop.get("runs").await["runs"].as_array().unwrap().len(),
        runs
    );
}

#[tokio::test]
async fn case_30_fields_that_mean_nothing_are_named() {
    let shop = Shop::open(json!({})).await;
    shop.put("promotions/p", json!({"kind": "global"})).await;
    shop.call(
        Method::POST,
        "promotions/p/vouchers",
        json!({"codes": ["V"]}),
    )
    .await;
    let event = || events("E email clicked c 20T10:00").remove(0);
    let sale = || order("o c COMPLETE 10.00 USD 20T10:00");
    let offer = || json!({"assignment_id": "a", "promotion_id": "p", "customer_id": "c"});
    let use_ = || json!({"redemption_id": "r", "promotion_id": "p", "customer_id": "c", "voucher_code": "V"});
    let long = "x".repeat(200);
    let many: Value = (0..12).map(|i| (format!("f{i:02}"), json!(i))).collect();
    for (what, record, more, named) in [
        ("orders", sale(), json!({}), json!(null)),
        (
            "orders",
            sale(),
            json!({"source": null, "email": "a@b", "items": [{"sku": 1}]}),
            json!(null),
        ),
        (
            "orders",
            sale(),
            json!({"refund": "5.00"}),
            json!(["refund"]),
        ),
        (
            "orders",
            sale(),
            json!({"updatd_at": "20T10:00"}),
            json!(["updatd_at"]),
        ),
        (
            "orders",
            sale(),
            json!({"b": 1, "a": {"b": []}, "Total": "1"}),
            json!(["Total", "a", "b"]),
        ),
        (
            "orders",
            sale(),
            json!({"customer": "c", "status": "LOST"}),
            json!(["customer"]),
        ),
        (
            "orders",
            sale(),
            many,
            json!((0..10).map(|i| format!("f{i:02}")).collect::<Vec<_>>()),
        ),
        (
            "orders",
            sale(),
            json!({ long.clone(): 1 }),
            json!(["x".repeat(128)]),
        ),
        (
            "orders",
            sale(),
            json!({ "é".repeat(100): 1 }),
            json!(["é".repeat(64)]),
        ),
        (
            "orders",
            sale(),
            json!({"\u{1b}[31m\n\u{85}": 1}),
            json!(["\u{fffd}[31m\u{fffd}\u{fffd}"]),
        ),
        (
            "events",
            event(),
            json!({"email": "a@b.c", "phone": "123456"}),
            json!(null),
        ),
        (
            "events",
            event(),
            json!({"ocurred_at": 1, "message": "m"}),
            json!(["message", "ocurred_at"]),
        ),
        (
            "assignments",
            offer(),
            json!({"tier": "gold"}),
            json!(["tier"]),
        ),
        (
            "redemptions",
            use_(),
            json!({"reward": "5"}),
            json!(["reward"]),
        ),
        (
            "promotions/p/vouchers/V/redeem",
            json!({"redemption_id": "x", "customer_id": "c"}),
            json!({"amount": "5"}),
            json!(["amount"]),
        ),
        (
            "vouchers/V/redeem",
            json!({"redemption_id": "y", "customer_id": "c"}),
            json!({"order": "o"}),
            json!(["order"]),
        ),
        (
            "vouchers/V/redeem",
            json!({"redemption_id": "z", "customer_id": "c"}),
            json!({}),
            json!(null),
        ),
        (
            "redemptions/x/rollback",
            json!({"redemption_id": "x", "rollback_id": "b"}),
            json!({"reasn": "no"}),
            json!(["reasn"]),
        ),
    ] {
        let record = with(record, &more);
        let (status, told) = shop.call(Method::POST, what, record.clone()).await;
        let wrong = record["status"] == "LOST";
        assert_eq!(status == 422, wrong, "{what}: {told}");
        assert_eq!(told["ignored_fields"], named, "{what} {more}");
        assert_eq!(told.get("ignored_fields").is_none(), named.is_null());
    }
    // Each once, over all records of a call, those refused too; a line that is no JSON has none.
    let body = [
        with(sale(), &json!({"b": 1, "a": 1})).to_string(),
        "nonsense".to_owned(),
        with(json!({}), &json!({"c": 1, "a": 2})).to_string(),
    ]
    .join("\n");
    let (_, _, bytes) = shop
        .service
        .raw(
            Method::POST,
            &shop.path("orders"),
            Some(crate::support::service::ADMIN),
            Some("application/x-ndjson"),
            body.into_bytes(),
        )
        .await;
    let told: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(told["ignored_fields"], json!(["a", "b", "c"]), "{told}");
}

#[tokio::test]
async fn case_30_a_campaign_has_no_unknown_field() {
    let shop = Shop::open(json!({})).await;
    for (body, errors) in [
        (json!({"nme": "Spring"}), json!([["nme", "unknown_field"]])),
        (
            json!({"name": "Spring", "tag": ["a"], "sentAt": null}),
            json!([["sentAt", "unknown_field"], ["tag", "unknown_field"]]),
        ),
        (
            json!({"name": 5, "x": 1}),
            json!([["x", "unknown_field"], ["name", "wrong_type"]]),
        ),
        (json!({"a\nb": 1}), json!([["a\u{fffd}b", "unknown_field"]])),
        (
            json!({"campaign_id": "summer"}),
            json!([["campaign_id", "unknown_value"]]),
        ),
    ] {
        let (status, told) = shop
            .call(Method::PUT, "campaigns/spring", body.clone())
            .await;
        let shown: Vec<Value> = told["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| json!([error["field"], error["code"]]))
            .collect();
        assert_eq!((status, json!(shown)), (422, errors), "{body}");
    }
    assert_eq!(shop.get("reports/campaigns").await["campaigns"], json!([]));
    // What an answer holds may be sent again.
    let full = json!({"campaign_id": "spring", "name": "Spring", "tags": ["a"], "sent_at": "2026-11-20T10:00:00Z",
        "triggered": false, "metadata": {"nme": 1}});
    let answer = shop.put("campaigns/spring", full).await;
    shop.put("campaigns/spring", answer).await;
}

#[tokio::test]
async fn case_40_zeros_say_why() {
    const CLICK: &str = "e,clicked,email,spring,c1,2026-11-20T10:15:00Z\n";
    let row = |id: &str, customer: &str, status: &str| {
        format!("{id},{customer},{status},10,USD,2026-11-20T11:00:00Z,,\n")
    };
    let delivered = json!({"preset": "yespo_v1", "currency": "USD"});
    let other_currency = json!({"preset": "yespo_v1", "currency": "EUR"});
    let rows = |rows: &[(&str, &str, &str)]| -> String {
        rows.iter()
            .map(|(id, c, status)| row(id, c, status))
            .collect()
    };
    for (name, settings, orders, fields, hints) in [
        (
            "none counts",
            &delivered,
            rows(&[
                ("1", "c1", "COMPLETE"),
                ("2", "c1", "PREPARING"),
                ("3", "c1", "COMPLETE"),
            ]),
            json!([["PREPARING", "COMPLETE"], 0, 1, 0]),
            vec![
                "statuses seen: PREPARING, COMPLETE, none counts: the settings count DELIVERED; name in counted_statuses those that are sales",
            ],
        ),
        (
            "one counts",
            &delivered,
            rows(&[("1", "c1", "COMPLETE"), ("2", "c1", "DELIVERED")]),
            json!([["COMPLETE", "DELIVERED"], 1, 1, 0]),
            vec![],
        ),
        (
            "its status would count",
            &other_currency,
            rows(&[("1", "c1", "DELIVERED")]),
            json!([["DELIVERED"], 1, 1, 0]),
            vec![],
        ),
        (
            "nobody has an event",
            &delivered,
            rows(&[
                ("1", "C1", "DELIVERED"),
                ("2", "c 1", "DELIVERED"),
                ("3", "c 1", "DELIVERED"),
            ]),
            json!([["DELIVERED"], 3, 2, 2]),
            vec![
                "customers with orders who have no event: 2 of 2; where that is too many, see that events and orders name a customer by the same id",
            ],
        ),
        (
            "both",
            &delivered,
            rows(&[("1", "c1", "READY"), ("2", "c2", "READY")]),
            json!([["READY"], 0, 2, 1]),
            vec![
                "statuses seen: READY, none counts: the settings count DELIVERED; name in counted_statuses those that are sales",
                "customers with orders who have no event: 1 of 2; where that is too many, see that events and orders name a customer by the same id",
            ],
        ),
        (
            "no orders",
            &delivered,
            String::new(),
            json!([[], 0, 0, 0]),
            vec![],
        ),
    ] {
        let run = attribute(
            &format!("case40-{}", name.replace(' ', "-")),
            settings,
            CLICK,
            &orders,
        );
        assert_eq!(run.exit, Exit::Clean, "{name}");
        let report = &run.report;
        let shown = json!([
            report["statuses_seen"],
            report["orders_of_counted_statuses"],
            report["customers_with_orders"],
            report["customers_without_event"]
        ]);
        assert_eq!(shown, fields, "{name}");
        assert_eq!(report["hints"], json!(hints), "{name}");
        // Behind the line that says what was attributed.
        let lines: Vec<&str> = run.told.lines().skip(1).collect();
        assert_eq!(lines, hints, "{name}");
    }
}

#[tokio::test]
async fn money_is_read_from_its_text() {
    let shop = Shop::open(json!({})).await;
    let send = async |field: &str, text: &str| {
        let mut record = order("o c COMPLETE 10 KWD 20T10:00");
        record.as_object_mut().unwrap().remove(field);
        let body = record.to_string();
        let body = format!("{},\"{field}\":{text}}}", &body[..body.len() - 1]);
        let (_, _, bytes) = shop
            .service
            .raw(
                Method::POST,
                &shop.path("orders"),
                Some(crate::support::service::ADMIN),
                None,
                body.into_bytes(),
            )
            .await;
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    for text in [
        "1e3",
        "1E3",
        "-0",
        "-0.0",
        "\"-0\"",
        "\"00\"",
        "\"01\"",
        "\"0.\"",
        "0.1234567",
        "\"1.0000000\"",
        "1000000000000000",
        "\"1\\u0660\"",
        "\"1 \"",
        "\"0x1\"",
        "1e-3",
    ] {
        for field in ["total", "refunded_total"] {
            let told = send(field, text).await;
            assert_eq!(told["rejected"][0]["code"], "bad_money", "{field} {text}");
        }
    }
    // The last six digits of an amount that no binary float holds.
    for (text, shown) in [
        ("999999999999999.123457", "999999999999999.123457"),
        ("0.1", "0.100"),
        ("\"0.100000\"", "0.100"),
        ("0.000001", "0.000001"),
        ("\"\\u0031\"", "1.000"),
    ] {
        let id = json!(format!("o {text}"));
        let body = with(
            order("o c COMPLETE 1 KWD 20T10:00"),
            &json!({ "order_id": id }),
        );
        let body = body
            .to_string()
            .replacen("\"total\":\"1\"", &format!("\"total\":{text}"), 1);
        let (status, ..) = shop
            .service
            .raw(
                Method::POST,
                &shop.path("orders"),
                Some(crate::support::service::ADMIN),
                None,
                body.into_bytes(),
            )
            .await;
        assert_eq!(status, 202, "{text}");
        assert_eq!(
            shop.listed_order("", id.as_str().unwrap()).await["total"],
            shown
        );
    }
}
