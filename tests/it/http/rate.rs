//! A key that calls too often.

use std::num::NonZeroU32;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::fixtures::Shop;

/// A service that holds keys to two calls a second answers the fifth at once with 429, says when to call again, and takes in nothing of
/// it. Other keys do not feel it, and a second later the key may call again.
#[tokio::test]
async fn a_key_that_calls_too_often_is_told_when_to_call_again() {
    let shop = Shop::open(json!({})).await;
    let (busy, other) = (shop.key("admin").await, shop.key("ingest").await);
    shop.service.app.hold_keys_to(NonZeroU32::new(2).unwrap());
    let path = shop.path("events");
    let call = async |key: &str, n: i64| -> (StatusCode, Value) {
        let at = "2026-11-17T10:00:00Z";
        let event = json!([{"event_id": format!("{key} {n}"), "kind": "sent", "channel": "email", "campaign_id": "spring",
            "customer_id": "ann", "occurred_at": at}]);
        shop.service
            .call_as(key, Method::POST, &path, Some(&event))
            .await
    };
    for n in 0..4 {
        assert_eq!(call(&busy, n).await.0, StatusCode::ACCEPTED, "{n}");
    }
    let (status, told) = call(&busy, 4).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let detail = "this key calls too often: repeat this call in a second";
    let kind = (&told["type"], &told["detail"]);
    assert_eq!(
        kind,
        (&json!("/docs#problem-too_many_calls"), &json!(detail))
    );
    let answer = shop.status_for(&busy, "reports/campaigns").await;
    assert_eq!(answer, 429, "whatever it asks for");
    assert_eq!(call(&other, 0).await.0, StatusCode::ACCEPTED);
    shop.service.set_now(shop.service.now().plus_ms(1_000));
    let answers = [
        call(&busy, 4).await,
        call(&busy, 5).await,
        call(&busy, 6).await,
    ];
    let statuses = answers.map(|(status, _)| status.as_u16());
    assert_eq!(statuses, [202, 202, 429]);
    shop.service.set_now(shop.service.now().plus_ms(60_000));
    shop.run().await;
    let row = shop.row("spring").await;
    assert_eq!(row["deliveries"], 0, "{row}");
    let told = shop.get("reports/reconciliation").await;
    assert_eq!(told["events"]["received"], 7);
}
