//! A retailer's promotions: who got them and who used them, sent twice, with figures that anybody can count in the files.

use std::collections::{BTreeMap, BTreeSet};

use revtrail_core::value::time::Retention;
use serde_json::{Value, json};

use crate::rules::journey::{DATA, records};
use crate::support::fixtures::strip;
use crate::support::promotion_lists::{promotion, redemptions, rows, vouchers};
use crate::support::service::Service;

/// Posts records in calls of a thousand; how many were accepted, were known, waited, and were rejected.
async fn post(service: &Service, what: &str, records: &[Value]) -> [u64; 4] {
    let mut sums = [0; 4];
    for some in records.chunks(1_000) {
        let path = format!("/v1/marketplaces/m/{what}");
        let (status, told) = service.post(&path, &json!(some)).await;
        assert_eq!(status, 202, "{told}");
        let rejected = told["rejected"].as_array().unwrap().len() as u64;
        let count = |name: &str| told[name].as_u64().unwrap_or(0);
        let counts = [
            count("accepted"),
            count("duplicates"),
            count("quarantined"),
            rejected,
        ];
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    sums
}

/// Values of a column, by promotion.
fn by_promotion(records: &[Value], column: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for record in records {
        let of = |name: &str| record[name].as_str().unwrap().to_owned();
        groups
            .entry(of("promotion_id"))
            .or_default()
            .insert(of(column));
    }
    groups
}

#[tokio::test]
async fn every_redemption_of_a_year_is_there_once() {
    let service = Service::with("2018-01-02T00:00:00Z", Retention::days(500).unwrap()).await;
    service
        .make("m", &json!({ "timezone": "America/New_York" }))
        .await;
    let plans = std::fs::read_to_string(format!("{DATA}/promotions.jsonl")).unwrap();
    let plans: Vec<Value> = plans
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for plan in &plans {
        let path = promotion(plan["promotion_id"].as_str().unwrap(), "");
        // How many vouchers it has is counted below, and is no field of a promotion.
        let mut body = plan.clone();
        strip(&mut body, &["vouchers"]);
        let (status, told) = service.put(&path, &body).await;
        assert_eq!(status, 201, "{told}");
    }
    let codes = by_promotion(&records("vouchers.csv.gz"), "voucher_code");
    let (assigned, redeemed) = (records("assignments.csv.gz"), records("redemptions.csv.gz"));
    let got = by_promotion(&assigned, "customer_id");
    let used = by_promotion(&redeemed, "customer_id");
    let ids = by_promotion(&redeemed, "redemption_id");
    for again in [false, true] {
        for (id, codes) in &codes {
            let (status, told) = service
                .post(&promotion(id, "/vouchers"), &json!({ "codes": codes }))
                .await;
            let counts = if again {
                [0, codes.len()]
            } else {
                [codes.len(), 0]
            };
            assert_eq!(status, 201, "{told}");
            assert_eq!(
                [&told["created"], &told["existing"]],
                [&json!(counts[0]), &json!(counts[1])]
            );
        }
        let once = |n: u64| if again { [0, n, 0, 0] } else { [n, 0, 0, 0] };
        assert_eq!(post(&service, "assignments", &assigned).await, once(6_589));
        assert_eq!(post(&service, "redemptions", &redeemed).await, once(2_102));

        let rows = rows(&service, 10).await;
        assert_eq!(rows.len(), 27);
        for row in &rows {
            let id = row["promotion_id"].as_str().unwrap();
            // Nobody got a promotion twice, so who got it and used it redeemed his assignment.
            let none = BTreeSet::new();
            let (got, used) = (got.get(id).unwrap_or(&none), used.get(id).unwrap_or(&none));
            assert_eq!(row["assigned"], got.len(), "{row}");
            assert_eq!(row["redeemed"], got.intersection(used).count(), "{row}");
            let history = redemptions(&service, id, 500).await;
            let listed: BTreeSet<String> = history.as_object().unwrap().keys().cloned().collect();
            assert_eq!(listed, ids.get(id).cloned().unwrap_or_default(), "{id}");
            assert_eq!(row["redemptions"], listed.len(), "{row}");
            let made = vouchers(&service, id, 500).await;
            assert_eq!(
                made.as_object().unwrap().len(),
                codes.get(id).map_or(0, BTreeSet::len),
                "{id}"
            );
        }
        let faces = ["camp18", "camp24"].map(|id| {
            let row = rows.iter().find(|row| row["promotion_id"] == id).unwrap();
            ["assigned", "redeemed", "redemption_rate"].map(|name| row[name].clone())
        });
        assert_eq!(
            faces,
            [
                [json!(1_133), json!(214), json!("0.1889")],
                [json!(12), json!(0), Value::Null],
            ]
        );
    }
}
