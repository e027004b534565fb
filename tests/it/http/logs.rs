//! What comes into the log: no customer, no address, no code and no key, whatever is sent, refused, or goes wrong below it.

use std::io;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Method, Request};
use redemption_batch::envelope;
use revtrail_core::value::time::Instant;
use revtrail_storage::files::Files;
use revtrail_web::observed::Observed;
use serde_json::json;
use tower::ServiceExt;

use crate::support::fault_client::FaultClient;
use crate::support::fixtures::{Shop, segment};
use crate::support::root::Root;
use crate::support::service::{ADMIN, block_on};

/// What must be in no line. Each of them is a part of what the story sends.
const PERSONAL: [&str; 6] = [
    "ann-of-cork",
    "ann%2Dof%2Dcork",
    "53870001",
    "code-of-ann",
    "key-of-ann",
    ADMIN,
];

/// Methods, paths within the marketplace, and bodies: good ones, bad ones, and such as are no JSON.
fn story() -> Vec<(Method, String, String)> {
    let event = json!({ "event_id": "e ann-of-cork", "kind": "sent", "channel": "email", "campaign_id": "A",
        "occurred_at": "2026-11-17T10:00:00Z", "customer_id": "ann-of-cork", "url": "https://shop.example/?u=ann-of-cork" });
    let order = json!({ "order_id": "o ann-of-cork", "status": "COMPLETE", "total": "10.00", "currency": "EUR",
        "placed_at": "2026-11-17T11:00:00Z", "customer_id": "ann-of-cork", "email": "ann-of-cork@example.com", "phone": "+35353870001" });
    let with = |one: &serde_json::Value, name: &str, value: serde_json::Value| {
        let mut one = one.clone();
        one[name] = value;
        one
    };
    let of_an_address = json!({ "event_id": "a", "kind": "opened", "channel": "email", "campaign_id": "A",
        "occurred_at": "2026-11-17T10:00:00Z", "email": "ann-of-cork@example.com" });
    let assignment = json!({ "assignment_id": "s", "promotion_id": "p", "customer_id": "ann-of-cork", "voucher_code": "code-of-ann" });
    let redemption = json!({ "redemption_id": "r", "promotion_id": "p", "customer_id": "ann-of-cork", "voucher_code": "code-of-ann",
        "order_id": "o ann-of-cork" });
    let card = format!("customers/{}", segment("ann-of-cork"));
    let long = "ann-of-cork ".repeat(400);
    let calls = [
        ("POST", "events", event.to_string()),
        (
            "POST",
            "events",
            json!([
                event,
                of_an_address,
                with(&event, "kind", json!("ann-of-cork"))
            ])
            .to_string(),
        ),
        (
            "POST",
            "events",
            with(&event, "customer_id", json!(long)).to_string(),
        ),
        ("POST", "events", "{\"ann-of-cork".to_owned()),
        ("POST", "orders", order.to_string()),
        (
            "POST",
            "orders",
            with(&order, "status", json!("CANCELLED")).to_string(),
        ),
        (
            "POST",
            "orders",
            with(&order, "total", json!("ann-of-cork")).to_string(),
        ),
        (
            "PUT",
            "promotions/p",
            json!({ "name": "P", "cap": 5 }).to_string(),
        ),
        (
            "POST",
            "promotions/p/vouchers",
            json!({ "codes": ["code-of-ann"] }).to_string(),
        ),
        ("POST", "assignments", assignment.to_string()),
        ("POST", "redemptions", redemption.to_string()),
        (
            "POST",
            "redemptions",
            with(&redemption, "promotion_id", json!("waits")).to_string(),
        ),
        (
            "POST",
            "vouchers/code-of-ann/redeem",
            json!({ "customer_id": "ann-of-cork" }).to_string(),
        ),
        (
            "POST",
            "webhooks/sendgrid?key=key-of-ann",
            json!([{ "email": "ann-of-cork@example.com" }]).to_string(),
        ),
        (
            "POST",
            "webhooks/brevo",
            json!({ "email": "ann-of-cork@example.com", "event": "opened", "ts_epoch": 1 })
                .to_string(),
        ),
        ("GET", "reports/campaigns", String::new()),
        ("GET", "orders?customer_id=ann-of-cork", String::new()),
        ("GET", "orders?cursor=ann-of-cork", String::new()),
        ("GET", "access-log", String::new()),
        ("GET", &card, String::new()),
        (
            "POST",
            "what-if",
            json!({ "settings": {}, "order_id": "o ann-of-cork" }).to_string(),
        ),
        ("POST", "runs", json!({ "verify": "all" }).to_string()),
        ("POST", "exports", json!({ "what": "orders" }).to_string()),
        (
            "POST",
            "keys",
            json!({ "name": "of ann-of-cork", "role": "analyst" }).to_string(),
        ),
        ("DELETE", &card, String::new()),
        ("GET", "no/such/ann-of-cork", String::new()),
    ];
    let call = |(method, rest, body): (&str, &str, String)| {
        (method.parse().unwrap(), rest.to_owned(), body)
    };
    calls.into_iter().map(call).collect()
}

/// What was written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file whose name and rows name somebody, with a turn of the function that takes it in.
async fn batch(shop: &Shop) {
    let root = Root::new();
    let text = "redemption_id,promotion_id,customer_id,voucher_code\nb1,p,ann-of-cork,code-of-ann\nb2,,ann-of-cork,\n";
    let file = root.put("ann-of-cork@example.com.csv", text.as_bytes());
    let worker = redemption_batch::BatchWorker::new(
        shop.service.store.clone(),
        shop.service.retention,
        Files::Folder(root.folder()),
    );
    let etag = root.folder().etag(&file.key).unwrap();
    for key in [&file.key, "elsewhere/ann-of-cork.csv"] {
        let body = json!({ "own": true, "Own": true, "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": "files" }, "object": { "key": key, "eTag": etag } } }] });
        let record =
            json!({ "messageId": "m", "eventSource": "aws:sqs", "body": body.to_string() });
        let event = json!({ "Records": [record] });
        let send = async |_: &[envelope::FileMessage], _| Ok::<_, io::Error>(());
        let clock = || shop.service.now();
        let answer = envelope::answer(&worker, "files", &event, &clock, Instant::MAX, send);
        let _whatever = answer.await;
    }
}

/// The story under a key, while so many of a hundred calls to the table go wrong; what is told of each call.
async fn play(seed: u64, percent: usize) -> Vec<Observed> {
    let line = FaultClient::new();
    let shop = Shop::over(&line).await;
    let mut told = Vec::new();
    line.throw_dice(seed, percent);
    for (method, rest, body) in story() {
        for key in [ADMIN, "key-of-ann"] {
            let request = Request::builder()
                .method(&method)
                .uri(shop.path(&rest).replace(' ', "%20"))
                .header("authorization", format!("Bearer {key}"))
                .header("content-type", "application/json")
                .body(Body::from(body.clone()))
                .unwrap();
            let answer = shop.service.router().oneshot(request).await.unwrap();
            told.push(Observed::of(&answer));
        }
    }
    batch(&shop).await;
    for _ in 0..2 {
        let _whatever = shop.service.tick("m").await;
        // A process that was killed is another one now.
        line.throw_dice(seed + 1, percent);
    }
    told
}

#[test]
fn nobody_is_named_in_the_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let mut told = Vec::new();
    tracing::subscriber::with_default(subscriber, || {
        for seed in 0..40 {
            told.extend(block_on(play(seed, seed as usize % 8)));
        }
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<String> = text
        .lines()
        .map(str::to_owned)
        .chain(told.iter().map(|one| format!("{one:?}")))
        .collect();
    for line in &lines {
        let lower = line.to_lowercase();
        let named = PERSONAL.iter().find(|personal| lower.contains(**personal));
        assert_eq!(named, None, "{line}");
    }
    // Something was written: of faults below, and of each call.
    assert!(text.lines().count() > 100, "{text}");
    assert!(told.iter().any(|one| one.status >= 500));
    assert!(told.iter().any(|one| one.key_id.is_some()));
}
