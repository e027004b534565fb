//! Which actions each function needs, seen under the SDK's client while it is called in every way, and held against what its role
//! in `template.yaml` may do: no action more, none less.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use axum::Router;
use axum::body::Body;
use hourly_attributor::{Attributor, JobLimits};
use http::{Method, Request};
use http_body_util::BodyExt;
use redemption_batch::{BatchEnd, BatchWorker};
use revtrail_aws::clock::Clock;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_storage::files::Files;
use revtrail_store::Store;
use revtrail_store::table::embedded::{self, Embedded};
use revtrail_web::api::Route;
use revtrail_web::app::App;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::deploy::template::{FUNCTIONS, actions, template};
use crate::faults::batches::FILE;
use crate::support::fixtures::{NOW, events, order, with};
use crate::support::root::Root;
use crate::support::service::ADMIN;

/// A function's own client to the one database.
#[derive(Debug, Clone)]
struct Recorder {
    database: Embedded,
    seen: Arc<Mutex<BTreeSet<String>>>,
}

/// The actions that a request needs. A transaction needs those of the writes in it.
fn needed(operation: &str, body: &[u8]) -> Vec<String> {
    if operation != "TransactWriteItems" {
        return vec![operation.to_owned()];
    }
    let request: Value = serde_json::from_slice(body).unwrap();
    let kind = |write: &Value| {
        let kind = write.as_object().unwrap().keys().next().unwrap();
        if kind == "ConditionCheck" {
            "ConditionCheckItem".to_owned()
        } else {
            format!("{kind}Item")
        }
    };
    request["TransactItems"]
        .as_array()
        .unwrap()
        .iter()
        .map(kind)
        .collect()
}

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap();
        let operation = target.rsplit('.').next().unwrap();
        let needed = needed(operation, request.body().bytes().unwrap());
        self.seen.lock().unwrap().extend(needed);
        self.database.call(request)
    }
}

struct World {
    recorders: Vec<Recorder>,
    routers: Vec<Router>,
    attributor: Attributor,
    batches: BatchWorker,
    root: Root,
    now: Instant,
}

impl World {
    async fn new() -> Self {
        let database = Embedded::memory().unwrap();
        embedded::store(database.clone()).await.unwrap();
        let recorders: Vec<Recorder> = FUNCTIONS
            .iter()
            .map(|_| Recorder {
                database: database.clone(),
                seen: Arc::default(),
            })
            .collect();
        let store =
            |place: usize| Store::new(embedded::client(recorders[place].clone()), "revtrail");
        let now = Instant::parse(NOW).unwrap();
        let lists: [Vec<Route>; 4] = [
            ingest_event::routes(),
            ingest_order::routes(),
            manage::routes(manage::in_process(drop)),
            report_query::routes(),
        ];
        let router = |(place, routes): (usize, Vec<Route>)| {
            let app = App::new(
                store(place),
                Clock::starting_at(now),
                Retention::DEFAULT,
                ADMIN,
            );
            revtrail_web::dispatch::router(routes, app)
        };
        let routers = lists.into_iter().enumerate().map(router).collect();
        let limits = JobLimits {
            job_customers: 2,
            batch_customers: 2,
            shards: 3,
            ..JobLimits::DEFAULT
        };
        let attributor = Attributor {
            limits,
            ..Attributor::new(store(4), Retention::DEFAULT)
        };
        let root = Root::new();
        let attributor = Attributor {
            outbox: Some(Files::Folder(root.folder())),
            ..attributor
        };
        let batches =
            crate::faults::batches::batches(&store(5), &root, crate::faults::batches::SMALL);
        Self {
            recorders,
            routers,
            attributor,
            batches,
            root,
            now,
        }
    }

    /// One call of the function that has the route, under a key.
    async fn call_as(&self, key: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        for router in &self.routers {
            let request = Request::builder()
                .method(Method::from_bytes(method.as_bytes()).unwrap())
                .uri(path);
            let request = request
                .header("authorization", format!("Bearer {key}"))
                .header("content-type", "application/json");
            let body = if body.is_null() {
                Body::empty()
            } else {
                Body::from(body.to_string())
            };
            let answer = router
                .clone()
                .oneshot(request.body(body).unwrap())
                .await
                .unwrap();
            let status = answer.status().as_u16();
            let bytes = answer.into_body().collect().await.unwrap().to_bytes();
            let told: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            if status != 405 && told["detail"] != "there is no such route" {
                return (status, told);
            }
        }
        panic!("no function answers {method} {path}");
    }

    async fn call(&self, method: &str, rest: &str, body: Value) -> Value {
        let (status, told) = self
            .call_as(ADMIN, method, &format!("/v1/marketplaces/m{rest}"), &body)
            .await;
        assert!(
            (200..300).contains(&status),
            "{method} {rest}: {status} {told}"
        );
        told
    }

    async fn run(&self) {
        let messages = self.attributor.tick().await.unwrap();
        self.attributor.drain(messages, &|| self.now).await.unwrap();
    }

    /// A file of redemptions comes, and is told of twice.
    async fn file(&self, name: &str, text: &str) {
        let file = self.root.put(name, text.as_bytes());
        let etag = self.root.folder().etag(&file.key).unwrap();
        for _ in 0..2 {
            assert!(
                self.batches
                    .store
                    .marketplace_exists(&file.marketplace)
                    .await
                    .unwrap()
            );
            let clock = || self.now;
            let worked = self.batches.work(&file, &etag, &clock, Instant::MAX);
            assert_eq!(worked.await.unwrap(), BatchEnd::Ended);
        }
    }

    async fn read_all(&self, key: &str) {
        let mut paths: Vec<String> = report_query::routes()
            .iter()
            .map(|route| route.path().to_owned())
            .collect();
        for path in [
            "orders?customer_id=c1",
            "orders?limit=1",
            "reports/campaigns?channel=email",
        ] {
            paths.push(format!("/v1/marketplaces/{{marketplace}}/{path}"));
        }
        for path in paths {
            let id = if path.contains("orders") {
                "o1"
            } else if path.contains("customers") {
                "c1"
            } else {
                "A"
            };
            let path = path.replace("{marketplace}", "m").replace("{id}", id);
            let (status, told) = self.call_as(key, "GET", &path, &Value::Null).await;
            assert!(status < 500, "{path}: {status} {told}");
        }
    }
}

/// All that comes in for a promotion, before it is told and after.
async fn promotions(world: &World) {
    let assigned = |id: &str| json!({"assignment_id": id, "promotion_id": "A", "customer_id": "c1", "voucher_code": "s"});
    let redeemed = |id: &str| {
        json!({"redemption_id": id, "promotion_id": "A", "customer_id": "c1", "voucher_code": "s",
            "assignment_id": "a2", "order_id": "o1", "reward_amount": "1", "currency": "USD"})
    };
    for n in ["1", "2"] {
        let id = |kind: &str| format!("{kind}{n}");
        world
            .call(
                "POST",
                "/redemptions",
                json!([redeemed(&id("r")), redeemed(&id("w"))]),
            )
            .await;
        world.call("POST", "/assignments", assigned(&id("a"))).await;
        let told = json!({"name": n, "type": "amount", "value": "1", "currency": "USD", "cap": 5,
            "budget": {"amount": "9", "currency": "USD"}});
        world.call("PUT", "/promotions/A", told).await;
        world
            .call(
                "POST",
                "/promotions/A/vouchers",
                json!({"codes": ["s"], "limit": 200}),
            )
            .await;
        world
            .call("POST", "/promotions/A/vouchers", json!({"generate": 2}))
            .await;
        world
            .call(
                "PUT",
                "/promotions/A/vouchers/s",
                json!({"limit": n.len() + 200}),
            )
            .await;
        for path in ["/vouchers/s/redeem", "/promotions/A/vouchers/s/redeem"] {
            let asked = json!({"redemption_id": id(path), "customer_id": "c1", "order_id": "o2"});
            world.call("POST", path, asked).await;
        }
        let path = format!("/redemptions/{}/rollback", id("r"));
        world
            .call("POST", &path, json!({"rollback_id": id("b")}))
            .await;
        // A promotion that is told while something waits for it, and a run that looks after what waits.
        world
            .call(
                "POST",
                "/redemptions",
                json!({"redemption_id": id("q"), "promotion_id": id("Q"), "customer_id": "c1"}),
            )
            .await;
        world.run().await;
        world
            .call("PUT", &format!("/promotions/{}", id("Q")), json!({}))
            .await;
        world.run().await;
    }
    let order = order("o1 c1 COMPLETE 10.10 USD 18T11:00 updated_at=19T23:00");
    world.call("POST", "/orders", order).await;
}

#[tokio::test]
async fn every_role_may_do_what_its_function_does_and_nothing_else() {
    let world = World::new().await;
    world
        .call("PUT", "", json!({ "name": "M", "preset": "redbox" }))
        .await;
    world.call("PUT", "", json!({ "name": "N" })).await;
    world
        .call("PUT", "/settings", json!({ "winner": "last_interaction" }))
        .await;
    let key = world
        .call("POST", "/keys", json!({ "name": "k", "role": "admin" }))
        .await;
    let secret = key["key"].as_str().unwrap();
    let lines = [
        "A email sent,opened c1 17T10:00",
        "B email sent,clicked c2 17T11:00",
        "A sms sent c3 18T10:00",
        "C push delivered c4 18T10:00",
    ];
    let facts: Vec<Value> = lines.iter().flat_map(|line| events(line)).collect();
    // Before the first order: settings replace each other, and customers folded before are folded again.
    world.call("POST", "/events", json!(facts[..2])).await;
    world.run().await;
    world
        .call("PUT", "/settings", json!({ "winner": "last_sent" }))
        .await;
    world.run().await;
    let orders = |status: &str| {
        let order = |n: usize| {
            order(&format!(
                "o{n} c{n} {status} 10.10 USD 18T11:00 updated_at=19T{:02}:00",
                status.len()
            ))
        };
        json!((1..=6).map(order).collect::<Vec<_>>())
    };
    let days = json!({"from": "2026-11-18", "to": "2026-11-19"});
    for status in ["PENDING", "COMPLETE", "COMPLETE", "REJECTED"] {
        let tried = with(days.clone(), &json!({"settings": {}}));
        let tried = world.call("POST", "/what-if", tried).await;
        let id = tried["what_if_id"].as_str().unwrap();
        world
            .call("GET", &format!("/what-ifs/{id}"), Value::Null)
            .await;
        let replay = with(days.clone(), &json!({"version": 1}));
        world.call("POST", "/replays", replay).await;
        world.call("GET", "/replays", Value::Null).await;
        world.call("POST", "/orders", orders(status)).await;
        world.call("POST", "/events", json!(facts)).await;
        world.read_all(ADMIN).await;
        world.read_all(secret).await;
        world.run().await;
        world.read_all(secret).await;
        world
            .call(
                "PUT",
                "/campaigns/A",
                json!({ "name": status, "tags": [status] }),
            )
            .await;
        world
            .call("PUT", "/settings", json!({ "excluded_tags": [status] }))
            .await;
        world
            .call_as(secret, "POST", "/v1/marketplaces/m/runs", &json!({}))
            .await;
        world.run().await;
    }
    promotions(&world).await;
    let buyers =
        json!({ "name": "s", "campaign_id": "A", "from": "2026-11-01", "to": "2026-12-01" });
    let segment = world.call("POST", "/segments", buyers).await;
    let path = format!("/segments/{}", segment["segment_id"].as_str().unwrap());
    for method in ["GET", "DELETE"] {
        world.call(method, &path, Value::Null).await;
    }
    world.call("GET", "/access-log", Value::Null).await;
    let kinds = [
        "events",
        "orders",
        "credits",
        "campaign_days",
        "redemptions",
    ];
    let export = with(days.clone(), &json!({ "what": kinds }));
    let export = world.call("POST", "/exports", export).await;
    world.run().await;
    let export = format!("/exports/{}", export["export_id"].as_str().unwrap());
    let state = world.call("GET", &export, Value::Null).await["state"].take();
    assert_eq!(state, "done");
    let rejected = "redemption_id,promotion_id,customer_id,redeemed_at\nz,A,c4,soon\n";
    world.file("rejected.csv", rejected).await;
    let erasure = world.call("DELETE", "/customers/c4", Value::Null).await;
    world.run().await;
    let id = MarketplaceId::new("m").unwrap();
    world.batches.write_outdated(&id, world.now).await.unwrap();
    let path = format!("/erasures/{}", erasure["erasure_id"].as_str().unwrap());
    assert_eq!(world.call("GET", &path, Value::Null).await["state"], "done");
    let state = world.call("GET", &export, Value::Null).await["state"].take();
    assert_eq!(state, "removed");
    world.read_all(secret).await;
    // With a key of its own, so that each function looks one up.
    for (method, path) in [("POST", "events"), ("POST", "orders"), ("GET", "keys")] {
        let path = format!("/v1/marketplaces/m/{path}");
        let (status, told) = world.call_as(secret, method, &path, &json!([])).await;
        assert!(status < 500, "{path}: {status} {told}");
    }
    world.call("GET", "/keys", Value::Null).await;
    world
        .call(
            "DELETE",
            &format!("/keys/{}", key["key_id"].as_str().unwrap()),
            Value::Null,
        )
        .await;
    let two = json!({ "name": "k", "role": "ingest", "marketplaces": ["m", "n"] });
    world
        .call_as(ADMIN, "PUT", "/v1/marketplaces/n", &json!({ "name": "N" }))
        .await;
    let key = world.call("POST", "/keys", two).await;
    world
        .call(
            "DELETE",
            &format!("/keys/{}", key["key_id"].as_str().unwrap()),
            Value::Null,
        )
        .await;

    let promotion = json!({ "name": "P", "kind": "global", "tracking_from": "2026-11-01T00:00:00Z", "cap": 100 });
    world.call("PUT", "/promotions/p-1", promotion).await;
    world.file("a.csv", FILE).await;
    world.file("b.csv", FILE).await;
    world.file("c.csv", "no header\n").await;
    world.read_all(secret).await;

    let template = template();
    let mut wrong = Vec::new();
    for ((name, _), recorder) in FUNCTIONS.iter().zip(&world.recorders) {
        let seen: BTreeSet<String> = recorder
            .seen
            .lock()
            .unwrap()
            .iter()
            .map(|action| format!("dynamodb:{action}"))
            .collect();
        let may = actions(&template, name)["Table"].clone();
        if may != seen {
            wrong.push(format!("{name} may {may:?} and needs {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
