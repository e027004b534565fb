//! What-ifs and replays over HTTP: what is refused, what is made once, what is kept, and one story worked out by hand.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use http::Method;
use revtrail_core::value::time::{DAY_MS, Instant, Retention};
use revtrail_store::Store;
use revtrail_store::table::embedded::{self, Embedded, TABLE};
use serde_json::{Value, json};

use crate::support::fixtures::{NOW, Shop, assert_part};
use crate::support::service::{ADMIN, Service};
use crate::support::tripwire::Tripwire;

/// A shop where an e-mail and a later text message lead to an order, which the text message earns.
async fn shop() -> Shop {
    let settings = json!({"supersede": "none", "counted_statuses": ["COMPLETE"]});
    let shop = Shop::after(
        settings,
        &[
            "mail email sent,clicked ann 16T10:00",
            "text sms sent,delivered ann 17T10:00",
            "mail email sent,clicked bob 16T10:00",
        ],
        &[
            "o1 ann COMPLETE 10.01 EUR 18T10:00",
            "o2 bob PENDING 20.00 EUR 18T10:00",
            "o3 cyd COMPLETE 40.00 EUR 18T10:00",
        ],
    )
    .await;
    shop.put(
        "settings",
        json!({"supersede": "none", "counted_statuses": ["COMPLETE", "PENDING"], "channels": {
            "email": {"connect_on": ["clicked"], "window": "7d", "window_from": "sent"}}}),
    )
    .await;
    shop
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_refused_and_every_fault_is_named() {
    let shop = shop().await;
    let days = json!({"from": "2026-11-18", "to": "2026-11-19"});
    let with = |more: Value| crate::support::fixtures::with(days.clone(), &more);
    // The columns: what is asked, with which body; the status, and the faults as `field code`.
    for (path, body, status, faults) in [
        (
            "what-if",
            json!({}),
            422,
            "settings missing, from missing, to missing",
        ),
        (
            "what-if",
            with(
                json!({"settings": {"winner": "me", "channels": {"email": {}}, "x": 1}, "models": ["best"], "order_id": 1}),
            ),
            422,
            "settings.channels.email.connect_on missing, settings.channels.email.window missing, \
             settings.channels.email.window_from missing, settings.winner unknown_value, settings.x unknown_field, \
             models unknown_value, order_id wrong_type",
        ),
        (
            "what-if",
            json!({"settings": {}, "from": "yesterday", "to": 7}),
            422,
            "from bad_time, to wrong_type",
        ),
        (
            "what-if",
            json!({"settings": {}, "from": "2026-11-18", "to": "2026-11-18"}),
            422,
            "from unknown_value",
        ),
        (
            "what-if",
            json!({"settings": {}, "from": "2020-01-01", "to": "2020-02-01"}),
            422,
            "to too_old",
        ),
        (
            "what-if",
            with(json!({"settings": {}, "order_id": "none"})),
            404,
            "",
        ),
        (
            "replays",
            json!({}),
            422,
            "version missing, from missing, to missing",
        ),
        (
            "replays",
            json!({"version": "1", "from": "2026-11-18", "to": "2026-11-17", "dry_run": 1}),
            422,
            "version wrong_type, from unknown_value, dry_run wrong_type",
        ),
        (
            "replays",
            with(json!({"version": -1})),
            422,
            "version unknown_value",
        ),
        (
            "replays",
            json!({"version": 1, "from": "2026-08-21", "to": "2026-11-19"}),
            422,
            "from too_old",
        ),
        ("replays", with(json!({"version": 3})), 404, ""),
        (
            "replays",
            with(json!({"version": 1, "x": 1})),
            422,
            "x unknown_field",
        ),
    ] {
        let (is, answer) = shop.call(Method::POST, path, body.clone()).await;
        let fault = |fault: &Value| {
            let text = |name: &str| fault[name].as_str().unwrap().to_owned();
            format!("{} {}", text("field"), text("code"))
        };
        let mut named: Vec<String> = answer["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(fault)
            .collect();
        let mut expected: Vec<&str> = faults.split(", ").filter(|one| !one.is_empty()).collect();
        named.sort();
        expected.sort_unstable();
        assert_eq!(
            (is, named),
            (status, expected.into_iter().map(str::to_owned).collect()),
            "{path} {body}: {answer}"
        );
    }
    assert_eq!(shop.get("replays").await["replays"], json!([]));
}

#[tokio::test]
async fn a_what_if_says_what_moves_and_moves_nothing() {
    let shop = shop().await;
    let before = shop.get("reports/campaigns").await;
    let settings = json!({"supersede": "none", "counted_statuses": ["PENDING", "COMPLETE"], "winner": "last_sent",
        "channels": {"email": {"connect_on": ["clicked"], "window": "7d", "window_from": "sent"},
            "sms": {"connect_on": ["delivered"], "window": "1h", "window_from": "sent"}}});
    let asked = json!({"settings": settings, "from": "2026-11-18", "to": "2026-11-19", "models": ["linear"]});
    let (status, shown) = shop.call(Method::POST, "what-if", asked).await;
    assert_eq!(status, 200, "{shown}");
    let euro = |purchases: i64, amount: &str| {
        let revenue = if amount.is_empty() {
            json!({})
        } else {
            json!({ "EUR": amount })
        };
        json!({"purchases": purchases, "revenue": revenue})
    };
    let totals = |credited: Value, counted: Value| {
        let all = json!({"counted": counted, "credited": credited, "uncredited": euro(1, "40.00")});
        crate::support::fixtures::with(credited, &all)
    };
    assert_part(
        "what-if",
        &shown,
        &json!({
            "state": "done", "progress": "1.0000", "orders": 3, "moved_total": 2, "skipped": 0,
            "period": {"from": "2026-11-18", "to": "2026-11-19"},
            "current": totals(euro(1, "10.01"), euro(2, "50.01")),
            "proposed": totals(euro(2, "30.01"), euro(3, "70.01")),
            "campaigns": [
                {"campaign_id": "mail", "current": euro(0, ""), "proposed": euro(2, "30.01")},
                {"campaign_id": "text", "current": euro(1, "10.01"), "proposed": euro(0, "")},
            ],
            "models": [{"model": "linear", "campaigns": [{"campaign_id": "mail", "revenue": {"EUR": "30.01"}, "orders": 2}]}],
        }),
    );
    for (moved, from, to) in [
        (
            0,
            json!({"campaign_id": "text", "amount": "10.01"}),
            "10.01",
        ),
        (1, Value::Null, "20.00"),
    ] {
        let to = json!({"campaign_id": "mail", "amount": to});
        assert_part(
            "moved",
            &shown["moved"][moved],
            &json!({"from": from, "to": to, "reason": null}),
        );
    }
    let (_, after) = shop
        .call(Method::GET, "reports/campaigns", Value::Null)
        .await;
    assert_eq!(after["campaigns"], before["campaigns"]);
    // It is kept for a day.
    let path = format!("what-ifs/{}", shown["what_if_id"].as_str().unwrap());
    assert_eq!(shop.get(&path).await, shown);
    shop.service
        .set_now(shop.service.now().plus_ms(DAY_MS + 1_000));
    assert_eq!(shop.call(Method::GET, &path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_replay_that_is_asked_for_again_is_one() {
    let shop = shop().await;
    let ask = async |body: &Value| {
        let headers = [
            ("authorization", format!("Bearer {ADMIN}")),
            ("content-type", "application/json".to_owned()),
            ("idempotency-key", "once".to_owned()),
        ];
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let path = shop.path("replays");
        let (status, _, answer) = shop
            .service
            .send(Method::POST, &path, &headers, body.to_string().into_bytes())
            .await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        (status.as_u16(), answer)
    };
    let body = json!({"version": 2, "from": "2026-11-18", "to": "2026-11-19"});
    let (status, first) = ask(&body).await;
    assert_eq!(status, 202, "{first}");
    assert_eq!(ask(&body).await, (202, first.clone()));
    shop.service.work_off().await;
    assert_eq!(ask(&body).await, (202, first.clone()));
    let other = json!({"version": 1, "from": "2026-11-18", "to": "2026-11-19"});
    assert_eq!(ask(&other).await.0, 409);
    let listed = shop.get("replays").await;
    let [replay] = listed["replays"].as_array().unwrap().as_slice() else {
        panic!("{listed}");
    };
    assert_part(
        "replay",
        replay,
        &json!({"replay_id": first["replay_id"], "state": "done", "version": 2, "orders": 3, "moved": 2, "dry_run": false}),
    );
    // The order is mail's now, in its explanation and in the report.
    let explained = shop.get("orders/o1/attribution").await;
    assert_part(
        "o1",
        &explained,
        &json!({"settings_version": 2, "decided": "run"}),
    );
    assert_eq!(explained["credited_to"]["campaign_id"], "mail");
    let report = shop.get("reports/campaigns").await;
    assert_part(
        "totals",
        &report["totals"],
        &json!({"purchases": 2, "revenue": {"EUR": "30.01"}}),
    );
}

/// A table of which each call takes so many milliseconds by the clock of the service.
#[derive(Debug, Clone)]
struct SlowTable {
    line: Tripwire,
    clock: Arc<OnceLock<Arc<AtomicI64>>>,
    call_ms: Arc<AtomicI64>,
}

impl HttpConnector for SlowTable {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if let Some(clock) = self.clock.get() {
            clock.fetch_add(self.call_ms.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        self.line.call(request)
    }
}

/// A what-if that is not done in the time of a call becomes a job, which ends in the same bytes.
#[tokio::test]
async fn a_what_if_that_runs_out_of_its_time_goes_on_as_a_job_and_ends_in_the_same() {
    let line = Tripwire::over(Embedded::memory().unwrap());
    let (clock, call_ms) = (Arc::<OnceLock<_>>::default(), Arc::<AtomicI64>::default());
    let table = SlowTable {
        line: line.clone(),
        clock: Arc::clone(&clock),
        call_ms: Arc::clone(&call_ms),
    };
    let store = Store::new(embedded::client(table), TABLE);
    store.create_table().await.unwrap();
    let now = Instant::parse(NOW).unwrap();
    let service = Service::on(store, line, now, Retention::DEFAULT);
    clock.set(Arc::clone(&service.clock)).unwrap();
    service.make("m", &json!({"supersede": "none"})).await;
    let shop = Shop { service, id: "m" };
    let (mut events, mut orders) = (Vec::new(), Vec::new());
    for n in 0..60 {
        events.push(format!("E{} email sent,clicked c{n} 16T10:00", n % 3));
        events.push(format!("S sms sent,delivered c{n} 16T11:00"));
        orders.push(format!("o{n} c{n} COMPLETE {n}.01 EUR 16T12:{n:02}"));
    }
    shop.events(&events.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    shop.orders(&orders.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    shop.run().await;
    let settings = json!({"supersede": "none", "winner": "last_interaction", "channels": {
        "email": {"connect_on": ["clicked"], "window": "7d", "window_from": "sent"}}});
    let asked = json!({"settings": settings, "from": "2026-11-16", "to": "2026-11-17",
        "models": ["linear", "first", "position_based", "time_decay"]});
    let (status, whole) = shop.call(Method::POST, "what-if", asked.clone()).await;
    assert_eq!((status, &whole["state"]), (200, &json!("done")), "{whole}");
    assert_eq!(
        (&whole["orders"], &whole["moved_total"]),
        (&json!(60), &json!(60))
    );
    // With a tenth of a second a call, the time is over after some customers.
    call_ms.store(100, Ordering::SeqCst);
    let (status, begun) = shop.call(Method::POST, "what-if", asked).await;
    call_ms.store(0, Ordering::SeqCst);
    assert_eq!(
        (status, &begun["state"]),
        (202, &json!("running")),
        "{begun}"
    );
    let progress: f64 = begun["progress"].as_str().unwrap().parse().unwrap();
    assert!(progress > 0.0 && progress < 1.0, "{begun}");
    let looked_at = begun["orders"].as_i64().unwrap();
    assert!(looked_at > 0 && looked_at < 60, "{begun}");
    shop.service.work_off().await;
    let path = format!("what-ifs/{}", begun["what_if_id"].as_str().unwrap());
    let bytes = |answer: &Value| {
        let id = answer["what_if_id"].as_str().unwrap();
        answer.to_string().replace(id, "its id")
    };
    assert_eq!(bytes(&shop.get(&path).await), bytes(&whole));
}
