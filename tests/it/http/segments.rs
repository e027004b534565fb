//! Segments: the buyers of a campaign in a period, saved under a name (R57).

use std::collections::BTreeSet;

use http::Method;
use revtrail_core::value::id::{CampaignId, CustomerId, MarketplaceId};
use revtrail_core::value::time::{Day, Instant};
use revtrail_store::market::segments::{Segment, SegmentSaved};
use serde_json::{Value, json};

use crate::support::fixtures::{NOW, Shop, assert_part, order};
use crate::support::promotion_lists::all;
use crate::support::service::ADMIN;

const EVENTS: [&str; 4] = [
    "E email sent,opened ann 16T10:00",
    "E email sent,opened bob 16T10:00",
    "E email sent,opened =cyd 16T10:00",
    "F push delivered dee 16T10:00",
];
const ORDERS: [&str; 6] = [
    "o1 ann COMPLETE 10.00 USD 16T11:00",
    "o2 ann COMPLETE 10.00 USD 17T11:00",
    "o3 bob COMPLETE 10.00 USD 18T11:00",
    "o4 =cyd CANCELLED 10.00 USD 16T11:00",
    "o5 dee COMPLETE 10.00 USD 16T11:00",
    "o6 =cyd COMPLETE 10.00 USD 19T11:00",
];

async fn shop() -> Shop {
    Shop::after(json!({"supersede": "none"}), &EVENTS, &ORDERS).await
}

fn body(name: &str, from: &str, to: &str) -> Value {
    json!({ "name": name, "campaign_id": "E", "from": from, "to": to })
}

impl Shop {
    async fn save(&self, body: Value) -> (u16, Value) {
        self.call(Method::POST, "segments", body).await
    }

    /// The customers of a segment, as JSON and as CSV.
    async fn saved(&self, id: &str) -> [Vec<String>; 2] {
        let shown = self.get(&format!("segments/{id}?limit=1000")).await;
        let customers = serde_json::from_value(shown["customers"].clone()).unwrap();
        let table = self.csv(&format!("segments/{id}?raw=true")).await;
        [
            customers,
            table.lines().skip(1).map(str::to_owned).collect(),
        ]
    }
}

#[tokio::test]
async fn r57_a_segment_and_the_exported_purchases_hold_the_same_contacts() {
    let shop = shop().await;
    for (name, from, to, expected) in [
        (
            "all",
            "2026-11-01",
            "2026-12-01",
            vec!["=cyd", "ann", "bob"],
        ),
        ("a day", "2026-11-17", "2026-11-18", vec!["ann"]),
        ("nobody", "2026-11-01", "2026-11-16", vec![]),
        (
            "before what is seen",
            "2020-01-01",
            "2026-11-17",
            vec!["ann"],
        ),
    ] {
        let (status, made) = shop.save(body(name, from, to)).await;
        assert_eq!(
            (status, &made["customers"]),
            (201, &json!(expected.len())),
            "{name}: {made}"
        );
        let id = made["segment_id"].as_str().unwrap();
        let [shown, exported] = shop.saved(id).await;
        assert_eq!(
            (&shown, &exported),
            (
                &expected.iter().map(|id| (*id).to_owned()).collect(),
                &shown
            ),
            "{name}"
        );
        let purchases = shop
            .csv(&format!(
                "reports/campaigns/E/purchases?from={from}&to={to}&raw=true"
            ))
            .await;
        let contacts: BTreeSet<&str> = purchases
            .lines()
            .skip(1)
            .map(|line| line.split(',').next().unwrap())
            .collect();
        assert_eq!(contacts.into_iter().collect::<Vec<_>>(), shown, "{name}");
    }
    // A segment stays as it was saved, whatever is bought later.
    shop.service
        .feed(
            "m",
            "events",
            &crate::support::fixtures::events("E email sent,opened eve 16T10:00"),
            10,
        )
        .await;
    shop.service
        .feed(
            "m",
            "orders",
            &[order("o7 eve COMPLETE 1.00 USD 16T12:00")],
            10,
        )
        .await;
    shop.run().await;
    let list = shop.get("segments").await;
    let names: Vec<&Value> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names.len(), 4, "{list}");
    let all = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "all")
        .unwrap();
    assert_part(
        "all",
        all,
        &json!({ "campaign_id": "E", "from": "2026-11-01", "to": "2026-12-01", "customers": 3, "saved_at": "2026-11-20T12:00:00.000Z" }),
    );
    let [shown, _] = shop.saved(all["segment_id"].as_str().unwrap()).await;
    assert_eq!(shown, ["=cyd", "ann", "bob"]);
}

#[tokio::test]
async fn a_body_that_asks_for_no_segment_says_all_that_is_wrong() {
    let shop = shop().await;
    for (body, codes) in [
        (
            json!({}),
            "name missing, campaign_id missing, from missing, to missing",
        ),
        (
            json!({"name": "", "campaign_id": 7, "from": "2026-11-31", "to": 1, "nme": "x"}),
            "nme unknown_field, name unknown_value, campaign_id wrong_type, from bad_time, to wrong_type",
        ),
        (
            json!({"name": "x", "campaign_id": "none", "from": "2026-11-02", "to": "2026-11-02"}),
            "campaign_id unknown_value, from unknown_value",
        ),
    ] {
        let (status, told) = shop.save(body.clone()).await;
        let problems = told["errors"].as_array().unwrap().iter();
        let problems: Vec<String> = problems
            .map(|one| {
                format!(
                    "{} {}",
                    one["field"].as_str().unwrap(),
                    one["code"].as_str().unwrap()
                )
            })
            .collect();
        assert_eq!(
            (status, problems.join(", ").as_str()),
            (422, codes),
            "{body}"
        );
    }
    assert_eq!(
        shop.get("segments").await,
        json!({"items": [], "next_cursor": null})
    );
}

#[tokio::test]
async fn a_name_is_taken_until_its_segment_is_deleted() {
    let shop = shop().await;
    let all = || body("all", "2026-11-01", "2026-12-01");
    let (_, made) = shop.save(all()).await;
    let id = made["segment_id"].as_str().unwrap();
    let (status, told) = shop.save(all()).await;
    assert_eq!(
        (status, &told["errors"][0]["code"]),
        (409, &json!("name_taken"))
    );
    for (path, expected) in [
        (format!("segments/{id}"), 204),
        (format!("segments/{id}"), 404),
        ("segments/none".into(), 404),
    ] {
        assert_eq!(
            shop.call(Method::DELETE, &path, json!({})).await.0,
            expected,
            "{path}"
        );
        assert_eq!(shop.status_for(ADMIN, &path).await, 404, "{path}");
    }
    assert_eq!(shop.save(all()).await.0, 201);
}

#[tokio::test]
async fn the_same_call_saves_one_segment() {
    let shop = shop().await;
    let save = async |key: &str, body: Value| {
        let bearer = format!("Bearer {ADMIN}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("idempotency-key", key),
            ("content-type", "application/json"),
        ];
        let (status, _, told) = shop
            .service
            .send(
                Method::POST,
                &shop.path("segments"),
                &headers,
                body.to_string().into_bytes(),
            )
            .await;
        (
            status.as_u16(),
            serde_json::from_slice::<Value>(&told).unwrap(),
        )
    };
    let all = || body("all", "2026-11-01", "2026-12-01");
    let first = save("k", all()).await;
    assert_eq!(first.0, 201);
    assert_eq!(save("k", all()).await, first);
    assert_eq!(
        save("k", body("b", "2026-11-01", "2026-12-01")).await.1["errors"][0]["code"],
        "idempotency_conflict"
    );
    // A call that is refused leaves its key free.
    assert_eq!(save("l", all()).await.1["errors"][0]["code"], "name_taken");
    assert_eq!(
        save("l", body("b", "2026-11-01", "2026-12-01")).await.0,
        201
    );
    assert_eq!(
        shop.get("segments").await["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

/// Three chunks, which are shown in pages that begin anywhere in them.
#[tokio::test]
async fn a_large_segment_is_shown_in_pages_and_exported_whole() {
    let shop = shop().await;
    let market = shop
        .service
        .store
        .market(&MarketplaceId::new("m").unwrap(), shop.service.retention);
    let customers: Vec<CustomerId> = (0..4_500)
        .map(|n| CustomerId::new(&format!("c{n:05}")).unwrap())
        .collect();
    let now = Instant::parse(NOW).unwrap();
    let day = |text| Day::parse(text).unwrap();
    let segment = Segment {
        segment_id: Segment::new_id(now),
        name: "large".to_owned(),
        campaign_id: CampaignId::new("E").unwrap(),
        from: day("2026-11-01"),
        to: day("2026-12-01"),
        customers: 0,
        saved_at: now,
        saved_by: "a test".to_owned(),
    };
    let saved = market
        .segments()
        .save(&segment, &customers, 0, None)
        .await
        .unwrap();
    assert_eq!(saved, SegmentSaved::Saved);
    // Whoever was erased since the customers were gathered must not be saved.
    let late = Segment {
        segment_id: Segment::new_id(now),
        name: "late".to_owned(),
        ..segment.clone()
    };
    let outdated = market
        .segments()
        .save(&late, &customers, 1, None)
        .await
        .unwrap();
    assert_eq!(outdated, SegmentSaved::Outdated);
    let path = format!("segments/{}", segment.segment_id);
    let shown = all(&shop.service, &shop.path(&path), "customers", 700).await;
    let expected: Vec<String> = customers.iter().map(ToString::to_string).collect();
    assert_eq!(json!(shown), json!(expected));
    let table = shop.csv(&path).await;
    assert_eq!(table.lines().skip(1).collect::<Vec<_>>(), expected);
    let page = shop.get(&format!("{path}?limit=1")).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    for other in ["segments", "access-log"] {
        assert_eq!(
            shop.status_for(ADMIN, &format!("{other}?cursor={cursor}"))
                .await,
            400,
            "{other}"
        );
    }
}
