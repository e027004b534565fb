//! Many redeems at once: a limit is met exactly, whatever it limits, wherever the ids fall, and while transactions are cancelled;
//! and a redeem alone is few calls to the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use revtrail_core::value::time::Instant;
use revtrail_store::promotions::promotion_shard_of;
use serde_json::{Value, json};

use crate::support::fault_client::FaultClient;
use crate::support::fixtures::{NOW, with};
use crate::support::promotion_lists::{dashboard, part, promotion, rows};
use crate::support::service::Service;
use crate::support::tier::proves;

/// Redeems at once, in the large: of a share, and of all.
const MANY: [usize; 2] = [1_500, 10_000];
/// What is there to take: enough that limits are pools.
const LIMIT: usize = 100;

/// Plays a future on several threads.
fn on_threads<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

/// A service over a line, with one promotion of which everybody may have five euros off.
async fn service(line: &FaultClient, more: Value, limit: Option<usize>) -> Arc<Service> {
    let service = Service::over(line, Instant::parse(NOW).unwrap());
    service.store.create_table().await.unwrap();
    service.make("m", &json!({})).await;
    let body = json!({"name": "P", "kind": "global", "type": "amount", "value": "5.00", "currency": "EUR"});
    let (status, told) = service.put(&promotion("p", ""), &with(body, &more)).await;
    assert_eq!(status, StatusCode::CREATED, "{told}");
    let vouchers = json!({"codes": ["C"], "limit": limit});
    let (status, told) = service.post(&promotion("p", "/vouchers"), &vouchers).await;
    assert_eq!(status, StatusCode::CREATED, "{told}");
    Arc::new(service)
}

/// One redeem, asked again until it is answered.
async fn redeem(service: &Service, id: &str) -> Value {
    let body = json!({"redemption_id": id, "customer_id": format!("c {id}"), "reward_amount": "5.00", "currency": "EUR"});
    for _ in 0..1_000 {
        let (status, told) = service
            .post(&promotion("p", "/vouchers/C/redeem"), &body)
            .await;
        if !status.is_server_error() {
            assert_eq!(status, StatusCode::OK, "{told}");
            return told;
        }
    }
    panic!("{id} is not answered");
}

/// All at once; the answers by id.
async fn redeem_all(service: &Arc<Service>, ids: &[String]) -> BTreeMap<String, Value> {
    let mut tasks = Vec::new();
    for id in ids.iter().cloned() {
        let service = service.clone();
        tasks.push(tokio::spawn(async move {
            let told = redeem(&service, &id).await;
            (id, told)
        }));
    }
    let mut answers = BTreeMap::new();
    for task in tasks {
        let (id, told) = task.await.unwrap();
        answers.insert(id, told);
    }
    answers
}

fn successes(answers: &BTreeMap<String, Value>) -> Vec<&String> {
    let success = |(_, told): &(&String, &Value)| told["result"] == "success";
    answers.iter().filter(success).map(|(id, _)| id).collect()
}

/// As many succeed as there is to take, all others are refused for that reason, a retry is told the same, and what is rolled back
/// can be taken again.
async fn exactly(service: &Arc<Service>, ids: &[String], reason: &str) {
    let answers = redeem_all(service, ids).await;
    let won = successes(&answers);
    assert_eq!(won.len(), LIMIT.min(ids.len()), "{reason}");
    for (id, told) in &answers {
        let expected = match told["result"] == "success" {
            true => json!({"redemption_id": id, "result": "success", "reason": null}),
            false => json!({"redemption_id": id, "result": "failure", "reason": reason}),
        };
        assert_eq!(part(told, &expected), expected);
    }
    assert_eq!(redeem_all(service, ids).await, answers, "asked again");
    let back = 7;
    for id in &won[..back] {
        let path = format!("/v1/marketplaces/m/redemptions/{id}/rollback");
        let body = json!({"rollback_id": format!("b {id}"), "reason": "came back"});
        let told = loop {
            let (status, told) = service.post(&path, &body).await;
            if !status.is_server_error() {
                break told;
            }
        };
        assert_eq!(told["result"], "rolled_back", "{told}");
    }
    let later: Vec<String> = ids
        .iter()
        .take(50)
        .map(|id| format!("{id} later"))
        .collect();
    let again = redeem_all(service, &later).await;
    assert_eq!(successes(&again).len(), back, "{reason}");
    let row = &rows(service, 10).await[0];
    assert_eq!(row["redemptions"], LIMIT);
    let refused = ids.len() - LIMIT + later.len() - back;
    assert_eq!(
        dashboard(service, "p").await["breakdown"]["result"],
        json!({"success": LIMIT, "failure": refused, "rolled_back": back})
    );
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("r{n}")).collect()
}

/// What limits redeems to a hundred: of the promotion, of the voucher, and what a refusal says.
fn limits() -> [(Value, Option<usize>, &'static str); 3] {
    let budget = json!({"amount": "500.00", "currency": "EUR"});
    [
        (json!({}), Some(LIMIT), "limit_reached"),
        (json!({"cap": LIMIT}), None, "cap_reached"),
        (json!({"budget": budget}), None, "budget_reached"),
    ]
}

#[test]
fn as_many_succeed_as_there_is_to_take() {
    for (more, limit, reason) in limits() {
        on_threads(async {
            let service = service(&FaultClient::new(), more, limit).await;
            exactly(&service, &ids(MANY[usize::from(proves())]), reason).await;
        });
    }
}

/// A pool is spread over shards by the redemption's id; whoever finds his own empty finds what lies in the others.
#[test]
fn one_shard_finds_what_there_is() {
    let of_one = |n: usize| {
        Some(format!("r{n}")).filter(|id| promotion_shard_of(id) == promotion_shard_of("r0"))
    };
    let ids: Vec<String> = (0..).filter_map(of_one).take(300).collect();
    for (more, limit, reason) in limits() {
        on_threads(async {
            let service = service(&FaultClient::new(), more, limit).await;
            exactly(&service, &ids, reason).await;
        });
    }
}

#[test]
fn cancelled_transactions_change_no_answer() {
    for (seed, (more, limit, reason)) in limits().into_iter().enumerate() {
        on_threads(async {
            let line = FaultClient::new();
            let service = service(&line, more, limit).await;
            line.cancel(seed as u64, 30);
            exactly(&service, &ids(500), reason).await;
        });
    }
}

#[tokio::test]
async fn a_redeem_is_few_calls() {
    let budget = json!({"amount": "100000.00", "currency": "EUR"});
    for (more, limit) in [
        (json!({}), None),
        (json!({}), Some(50)),
        (json!({}), Some(1_000)),
        (json!({"cap": 1_000}), Some(1_000)),
        (json!({"cap": 1_000, "budget": budget}), Some(1_000)),
    ] {
        let line = FaultClient::new();
        let service = service(&line, more.clone(), limit).await;
        let mut calls = Vec::new();
        for id in ids(50) {
            line.clear();
            assert_eq!(redeem(&service, &id).await["result"], "success", "{id}");
            calls.push(line.calls().len());
        }
        calls.sort_unstable();
        println!("redeem under {more} and {limit:?}: {calls:?} calls");
        assert!(
            calls[calls.len() / 2] <= 4,
            "{more} and {limit:?}: {calls:?}"
        );
    }
}
