//! Crash points: every call that a handler makes to the table fails once, in every way; the caller tries again, the attributor
//! ticks, and the figures are those of a run in which nothing failed. What was answered with 202 is there.

use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use http::Method;
use revtrail_core::id::MarketplaceId;
use revtrail_core::time::{Instant, Retention};
use revtrail_store::Store;
use revtrail_store::embedded::{self, Embedded};
use serde_json::{Value, json};

use crate::service::{ADMIN, Service};
use crate::tripwire::Tripwire;

const NOW: &str = "2026-11-20T12:00:00Z";

/// What goes wrong at one call to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The request never arrives.
    RequestLost,
    /// It is done, and the answer never arrives.
    AnswerLost,
    /// It is refused for now.
    Throttled,
    /// It is done, and answered with a server error.
    ErrorAfterCommit,
    /// It, and everything after it, never arrives: the process is gone.
    KilledBefore,
    /// It is done, and everything after it never arrives.
    KilledAfter,
    /// A transaction meets another one.
    Conflict,
}

const FAULTS: [Fault; 7] = [
    Fault::RequestLost,
    Fault::AnswerLost,
    Fault::Throttled,
    Fault::ErrorAfterCommit,
    Fault::KilledBefore,
    Fault::KilledAfter,
    Fault::Conflict,
];

/// The embedded database behind a line that fails at one call.
#[derive(Debug, Clone)]
struct Faulty {
    line: Tripwire,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    calls: usize,
    fault: Option<(usize, Fault)>,
}

enum Now {
    Pass,
    Lose,
    PassAndLose,
    Answer(u16, &'static str),
    Conflict,
    PassAndAnswer(u16, &'static str),
}

const THROTTLED: &str =
    r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}"#;
const BROKEN: &str =
    r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"broken"}"#;
impl Faulty {
    fn now(&self, operation: &str) -> Now {
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        let Some((at, fault)) = state.fault else {
            return Now::Pass;
        };
        let (here, later) = (state.calls == at, state.calls > at);
        match fault {
            Fault::RequestLost if here => Now::Lose,
            Fault::AnswerLost if here => Now::PassAndLose,
            Fault::Throttled if here => Now::Answer(400, THROTTLED),
            Fault::ErrorAfterCommit if here => Now::PassAndAnswer(500, BROKEN),
            Fault::KilledBefore if here || later => Now::Lose,
            Fault::KilledAfter if here => Now::PassAndLose,
            Fault::KilledAfter if later => Now::Lose,
            Fault::Conflict if here && operation == "TransactWriteItems" => Now::Conflict,
            _ => Now::Pass,
        }
    }
}

/// The answer to a transaction whose first item meets another one; a reason for each item.
fn conflict(request: &[u8]) -> HttpResponse {
    let request: Value = serde_json::from_slice(request).unwrap();
    let items = request["TransactItems"].as_array().unwrap().len();
    let reason = |i| json!({"Code": if i == 0 { "TransactionConflict" } else { "None" }});
    let reasons: Vec<Value> = (0..items).map(reason).collect();
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    let body = json!({"__type": kind, "Message": "cancelled", "CancellationReasons": reasons});
    HttpResponse::new(400.try_into().unwrap(), body.to_string().into())
}

impl HttpConnector for Faulty {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let now = self.now(target.rsplit('.').next().unwrap_or_default());
        let line = self.line.clone();
        HttpConnectorFuture::new(async move {
            let lost = || ConnectorError::timeout("the line is dead".into());
            let answer = |status: u16, body: &'static str| {
                Ok(HttpResponse::new(status.try_into().unwrap(), body.into()))
            };
            match now {
                Now::Pass => line.call(request).await,
                Now::Lose => Err(lost()),
                Now::PassAndLose => line.call(request).await.and(Err(lost())),
                Now::Answer(status, body) => answer(status, body),
                Now::Conflict => Ok(conflict(request.body().bytes().unwrap_or_default())),
                Now::PassAndAnswer(status, body) => {
                    line.call(request).await?;
                    answer(status, body)
                }
            }
        })
    }
}

impl HttpClient for Faulty {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// What a caller does.
#[derive(Debug, Clone)]
enum Act {
    Call(Method, &'static str, Value),
    Tick,
}

fn call(method: Method, path: &'static str, body: Value) -> Act {
    Act::Call(method, path, body)
}

fn event(id: &str, kind: &str, campaign: &str, customer: &str, at: &str) -> Value {
    json!({"event_id": id, "kind": kind, "channel": "email", "campaign_id": campaign, "customer_id": customer, "occurred_at": format!("2026-11-{at}:00Z")})
}

fn order(id: &str, customer: &str, status: &str, total: &str, at: &str, updated: &str) -> Value {
    json!({"order_id": id, "customer_id": customer, "status": status, "total": total, "currency": "EUR",
        "placed_at": format!("2026-11-{at}:00Z"), "updated_at": format!("2026-11-{updated}:00Z")})
}

/// A life of a marketplace in which every handler has something to do, and something to do again: what each act changes
/// shows in the figures.
fn acts() -> Vec<(&'static str, Act)> {
    let events = "/v1/marketplaces/m/events";
    let orders = "/v1/marketplaces/m/orders";
    vec![
        (
            "make",
            call(
                Method::PUT,
                "/v1/marketplaces/m",
                json!({"name": "m", "settings": {"timezone": "Europe/Dublin"}}),
            ),
        ),
        (
            "first events",
            call(
                Method::POST,
                events,
                json!([
                    event("1", "sent", "spring", "ann", "16T10:00"),
                    event("2", "delivered", "spring", "ann", "16T10:01"),
                    event("3", "opened", "spring", "ann", "16T11:00"),
                    event("1", "sent", "spring", "bob", "16T10:00"),
                    event("2", "clicked", "spring", "bob", "16T12:00"),
                ]),
            ),
        ),
        (
            "settings before the first order",
            call(
                Method::PUT,
                "/v1/marketplaces/m/settings",
                json!({"timezone": "America/New_York"}),
            ),
        ),
        ("tick", Act::Tick),
        (
            "first orders",
            call(
                Method::POST,
                orders,
                json!([
                    order("o1", "ann", "COMPLETE", "10.00", "17T10:00", "17T10:00"),
                    order("o2", "bob", "PENDING", "20.00", "17T11:00", "17T11:00"),
                    order("o3", "cyd", "COMPLETE", "40.00", "18T11:00", "18T11:00"),
                ]),
            ),
        ),
        ("tick", Act::Tick),
        // Supersedes spring for o1, o2 and o3's customers, who have no other new fact.
        (
            "a campaign heard of late",
            call(
                Method::POST,
                events,
                json!([
                    event("9", "sent", "summer", "dee", "17T10:30"),
                    event("8", "opened", "summer", "cyd", "17T12:00")
                ]),
            ),
        ),
        ("tick", Act::Tick),
        (
            "orders change",
            call(
                Method::POST,
                orders,
                json!([
                    order("o2", "bob", "COMPLETE", "20.00", "17T11:00", "18T11:00"),
                    order("o1", "ann", "REFUNDED", "10.00", "17T10:00", "19T10:00")
                ]),
            ),
        ),
        (
            "a campaign is sent later",
            call(
                Method::PUT,
                "/v1/marketplaces/m/campaigns/summer",
                json!({"name": "Summer", "sent_at": "2026-11-17T11:30:00Z"}),
            ),
        ),
        (
            "settings",
            call(
                Method::PUT,
                "/v1/marketplaces/m/settings",
                json!({"timezone": "America/New_York", "supersede": "none"}),
            ),
        ),
        ("tick", Act::Tick),
        (
            "a campaign is excluded",
            call(
                Method::PUT,
                "/v1/marketplaces/m/campaigns/spring",
                json!({"name": "Spring", "tags": ["technical"]}),
            ),
        ),
        ("tick", Act::Tick),
    ]
}

struct World {
    database: Embedded,
    tripwire: Tripwire,
    state: Arc<Mutex<State>>,
}

impl World {
    fn new() -> Self {
        let database = Embedded::memory().unwrap();
        Self {
            tripwire: Tripwire::over(database.clone()),
            database,
            state: Arc::default(),
        }
    }

    /// A service over the line, with nothing in memory: as after a crash.
    fn service(&self, now: Instant) -> Service {
        let faulty = Faulty {
            line: self.tripwire.clone(),
            state: self.state.clone(),
        };
        Service::on(
            Store::new(embedded::client(faulty), "revtrail"),
            self.tripwire.clone(),
            now,
            Retention::DEFAULT,
        )
    }

    /// Does an act; true where it is known to be done.
    async fn act(&self, service: &Service, act: &Act) -> bool {
        match act {
            Act::Call(method, path, body) => {
                let (status, answer) = service
                    .call_as(ADMIN, method.clone(), path, Some(body))
                    .await;
                assert!(
                    status.is_success() || status.is_server_error(),
                    "{path}: {status} {answer}"
                );
                status.is_success()
            }
            Act::Tick => service.tick("m").await.is_ok(),
        }
    }

    /// Does an act until it is known to be done; after a failure with a process that remembers nothing.
    async fn insist(&self, now: Instant, act: &Act) {
        for _ in 0..5 {
            if self.act(&self.service(now), act).await {
                return;
            }
            // The caller tries again over a line that works: what it does is counted no more.
            self.state.lock().unwrap().fault = None;
        }
        panic!("{act:?} does not get through");
    }

    /// Plays the acts, with a fault at the `k`-th call of one of them, and says how many calls that one made.
    async fn play(&self, failing: Option<(usize, usize, Fault)>, counted: usize) -> usize {
        Store::new(embedded::client(self.database.clone()), "revtrail")
            .create_table()
            .await
            .unwrap();
        let start = Instant::parse(NOW).unwrap();
        let mut calls = 0;
        for (i, (_, act)) in acts().iter().enumerate() {
            let now = start.plus_ms(i as i64 * 1000);
            {
                let mut state = self.state.lock().unwrap();
                state.calls = 0;
                state.fault = failing
                    .filter(|(at, ..)| *at == i)
                    .map(|(_, k, fault)| (k, fault));
            }
            self.insist(now, act).await;
            let mut state = self.state.lock().unwrap();
            state.fault = None;
            if i == counted {
                calls = state.calls;
            }
        }
        // The note of a call that died is taken for one after a quarter of an hour.
        let later = start.plus_ms(20 * 60 * 1000);
        self.insist(later, &Act::Tick).await;
        self.insist(later, &Act::Tick).await;
        calls
    }

    /// All that a user can see, but for times of runs and counters of calls: a call that died may have stored what the next one
    /// finds as duplicates.
    async fn seen(&self) -> Value {
        let service = self.service(Instant::parse(NOW).unwrap().plus_ms(21 * 60 * 1000));
        let mut seen = Vec::new();
        for path in [
            "reports/campaigns",
            "reports/campaigns/spring",
            "reports/campaigns/summer",
            "reports/campaigns/spring/purchases",
            "reports/campaigns/summer/purchases",
            "reports/orders",
            "orders",
            "orders/o1/attribution",
            "orders/o2/attribution",
            "orders/o3/attribution",
            "customers/ann",
            "settings",
            "settings/versions",
        ] {
            let mut body = service.get(&format!("/v1/marketplaces/m/{path}")).await;
            assert!(
                body.get("pending")
                    .is_none_or(|pending| *pending == json!(0)),
                "{path}: {body}"
            );
            forget(&mut body);
            seen.push(body);
        }
        let reconciliation = service
            .get("/v1/marketplaces/m/reports/reconciliation")
            .await;
        for class in [
            "stored",
            "counted",
            "credited",
            "uncredited",
            "other_status",
            "other_currency",
            "refunded",
        ] {
            seen.push(reconciliation["orders"][class].clone());
        }
        let market = service
            .store
            .market(&MarketplaceId::new("m").unwrap(), Retention::DEFAULT);
        assert!(
            market.notes().await.unwrap().is_empty() && market.units().await.unwrap().is_empty()
        );
        json!(seen)
    }
}

/// Takes out times of saving and of runs: a call that is made again is made later.
fn forget(body: &mut Value) {
    match body {
        Value::Object(fields) => {
            ["as_of", "saved_at"]
                .iter()
                .for_each(|name| drop(fields.remove(*name)));
            fields.values_mut().for_each(forget);
        }
        Value::Array(values) => values.iter_mut().for_each(forget),
        _ => {}
    }
}

/// One place where something goes wrong: an act, a call of it, and how.
type Point = (usize, usize, Fault);

#[test]
fn every_crash_point_ends_in_the_same_figures() {
    let only: Option<usize> = std::env::var("REVTRAIL_ACT")
        .ok()
        .map(|text| text.parse().unwrap());
    let play = |failing: Option<Point>, counted: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let world = World::new();
            let calls = world.play(failing, counted).await;
            (calls, world.seen().await)
        })
    };
    let (_, expected) = play(None, 0);
    assert_eq!(
        expected[0]["counted"]["purchases"],
        json!(2),
        "{expected:#}"
    );
    let mut points: Vec<Point> = Vec::new();
    for act in (0..acts().len()).filter(|act| only.is_none_or(|only| only == *act)) {
        let (calls, _) = play(None, act);
        assert!(calls > 0, "act {act} makes no call");
        for call in 1..=calls {
            points.extend(FAULTS.map(|fault| (act, call, fault)));
        }
    }
    let check = |&(act, call, fault): &Point| {
        let (_, seen) = play(Some((act, call, fault)), act);
        let name = acts()[act].0;
        assert_eq!(
            seen, expected,
            "act {act} ({name}), call {call}, {fault:?}; replay: REVTRAIL_ACT={act} cargo test -p revtrail-tests --test it crash"
        );
    };
    std::thread::scope(|scope| {
        for some in points.chunks(points.len().div_ceil(2)) {
            scope.spawn(move || some.iter().for_each(check));
        }
    });
    println!("crash points: {}", points.len());
}
