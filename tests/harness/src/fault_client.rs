//! The line to the table, under the real SDK: counts calls, and at one of them, or at those a dice names, does what a network
//! and DynamoDB do to a caller.
//!
//! A stale answer is made from the true one: of every write the line keeps what its keys held before, and an eventually
//! consistent read is answered as if the writes since the last [`FaultClient::watch`] but one had not been seen yet. Strong reads never are.
//!
//! A read that is asked again while nobody wrote to its partitions gets the same answer, without the table: that is half of all
//! that a history asks. One in so many is asked again all the same, and must be the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use revtrail_core::value::time::Instant;
use revtrail_oracle::worlds::Rng;
use revtrail_store::Store;
use revtrail_store::table::embedded::{self, Embedded, TABLE};
use serde_json::{Value, json};

use crate::tier::{number, proves, share};
use crate::tripwire::{Tripwire, partitions};

/// What goes wrong at one call to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request never arrives.
    RequestLost,
    /// It is done, and the answer never arrives.
    AnswerLost,
    /// It is refused for now.
    Throttled,
    /// It and the next ones are refused for now.
    ThrottledLong,
    /// It is done, and answered with a server error.
    ErrorAfterCommit,
    /// It, and everything after it, never arrives: the process is gone.
    KilledBefore,
    /// It is done, and everything after it never arrives.
    KilledAfter,
    /// A transaction meets another one.
    Conflict,
    /// A plain write meets a transaction.
    Met,
    /// An eventually consistent read shows what stood some writes ago.
    StaleRead,
    /// A page holds one item, and the next one none.
    CutPages,
    /// A batch of reads leaves half of the keys for later.
    Unprocessed,
    /// Others that are on their way at the same time arrive first.
    Delayed,
}

pub const FAULTS: [Fault; 13] = [
    Fault::RequestLost,
    Fault::AnswerLost,
    Fault::Throttled,
    Fault::ThrottledLong,
    Fault::ErrorAfterCommit,
    Fault::KilledBefore,
    Fault::KilledAfter,
    Fault::Conflict,
    Fault::Met,
    Fault::StaleRead,
    Fault::CutPages,
    Fault::Unprocessed,
    Fault::Delayed,
];

/// Calls that a long throttling refuses.
const THROTTLED_CALLS: usize = 12;

/// A call to the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub operation: String,
    /// It asks for what surely stands.
    strong: bool,
}

impl Call {
    /// Whether a fault can happen to such a call.
    pub fn takes(&self, fault: Fault) -> bool {
        let operation = self.operation.as_str();
        match fault {
            Fault::Conflict => operation == "TransactWriteItems",
            Fault::Met => matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem"),
            Fault::StaleRead => !self.strong && self.reads(),
            Fault::CutPages => operation == "Query",
            Fault::Unprocessed => operation == "BatchGetItem",
            // Those that a handler makes several of at the same time.
            Fault::Delayed => matches!(operation, "PutItem" | "GetItem" | "Query"),
            _ => true,
        }
    }

    /// One fault of each kind that can happen to such a call. Faults are of one kind where nobody can tell them apart: the same is
    /// done, or nothing, and the caller is told the same. A test proves it of each operation that is named here.
    pub fn faults(&self) -> Vec<Fault> {
        let proved = [
            "GetItem",
            "Query",
            "PutItem",
            "UpdateItem",
            "TransactWriteItems",
        ];
        let alone = |fault: &Fault| match fault {
            // As a request that was lost.
            Fault::Throttled | Fault::Met => false,
            // As an answer that was lost.
            Fault::ErrorAfterCommit => false,
            // Nothing is done by a read: as a request that was lost, and one that never arrives.
            Fault::AnswerLost | Fault::KilledAfter => !self.reads(),
            _ => true,
        };
        let one = |fault: &Fault| !proved.contains(&self.operation.as_str()) || alone(fault);
        let mut faults = FAULTS.to_vec();
        faults.retain(|fault| self.takes(*fault) && one(fault));
        faults
    }

    pub fn reads(&self) -> bool {
        matches!(
            self.operation.as_str(),
            "GetItem" | "Query" | "BatchGetItem"
        )
    }
}

/// Which calls of an act fail, counted from 1, and what happens to each: one fault in turn at the calls of which `fails` says so, counted
/// from 0, and in `cargo xtask prove` everything that can. `REVTRAIL_CALL` asks for everything at one call alone.
pub fn points(calls: &[Call], fails: impl Fn(usize) -> bool) -> Vec<(usize, Fault)> {
    let only = number("REVTRAIL_CALL").map(|only| only as usize);
    let whole = proves() || only.is_some();
    let asked = |n: usize| only.is_none_or(|only| only == n + 1);
    let is_played = |n: usize| asked(n) && (whole || fails(n));
    let failing = calls.iter().enumerate().filter(|(n, _)| is_played(*n));
    let points = failing.flat_map(|(n, call)| {
        let faults = share(&call.faults(), n + n / 4, whole);
        faults.into_iter().map(move |fault| (n + 1, fault))
    });
    points.collect()
}

#[derive(Debug, Default)]
enum Plan {
    #[default]
    Clear,
    /// At a call, counted from 1.
    At(usize, Fault),
    /// At so many of a hundred calls, one of these, where the call can suffer it.
    Dice(Rng, usize, &'static [Fault]),
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    plan: Plan,
    dead: bool,
    throttled: usize,
    /// After a page that was cut: the page that goes on from here is empty.
    empty_next: bool,
    /// Keys written since the last watch but one, the oldest first, with what they held before; none where it is not asked for.
    writes: Option<[Written; 2]>,
}

/// Keys, each with what stood there before.
type Written = Vec<(Value, Option<Value>)>;

/// One recalled answer in so many is held against the table's.
const RECALLED_ASKED_AGAIN: usize = 64;

/// The answers to reads, each with how often its partitions had been written to.
#[derive(Debug, Default)]
struct Recall {
    written: HashMap<String, usize>,
    answers: HashMap<(String, Vec<u8>), (usize, Vec<u8>)>,
    recalled: usize,
}

impl Recall {
    fn written(&self, partitions: &[String]) -> usize {
        let times = |pk| self.written.get(pk).copied().unwrap_or_default();
        partitions.iter().map(times).sum()
    }

    fn write(&mut self, partitions: &[String]) {
        for pk in partitions {
            *self.written.entry(pk.clone()).or_default() += 1;
        }
    }
}

/// A database that nobody else writes to, the tripwire, and the line to both. Clones share all of it.
#[derive(Debug, Clone)]
pub struct FaultClient {
    pub database: Embedded,
    pub tripwire: Tripwire,
    /// The SDK sends again what it may, as it does on AWS.
    pub sends_again: bool,
    state: Arc<Mutex<State>>,
    recall: Arc<Mutex<Recall>>,
}

const THROTTLED: &str =
    r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}"#;
const MET: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException","message":"met a transaction"}"#;
const BROKEN: &str =
    r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"broken"}"#;

impl FaultClient {
    /// A line to a database that is empty.
    pub fn new() -> Self {
        Self::over(Embedded::memory().unwrap())
    }

    pub fn over(database: Embedded) -> Self {
        Self {
            tripwire: Tripwire::over(database.clone()),
            database,
            sends_again: false,
            state: Arc::default(),
            recall: Arc::default(),
        }
    }

    /// A table at the other end.
    pub fn store(&self) -> Store {
        let mut config = embedded::client(self.clone()).config().to_builder();
        if self.sends_again {
            let at_once = RetryConfig::standard().with_initial_backoff(Duration::ZERO);
            config = config.retry_config(at_once);
        }
        Store::new(Client::from_conf(config.build()), TABLE)
    }

    /// From here on the line remembers what was written over, so that reads can be stale.
    pub fn remember(&self) {
        self.state.lock().unwrap().writes = Some([Vec::new(), Vec::new()]);
    }

    /// Deletes the items whose time is over.
    pub async fn sweep(&self, now: Instant) -> usize {
        self.recall.lock().unwrap().answers.clear();
        self.database.sweep(now).await.unwrap()
    }

    /// Counts calls from here on, and does to them what is planned; a process that was killed is another one now.
    fn watch(&self, plan: Plan) {
        let mut state = self.state.lock().unwrap();
        let writes = state.writes.take().map(|[_, last]| [last, Vec::new()]);
        *state = State {
            plan,
            writes,
            ..State::default()
        };
    }

    /// A line that works.
    pub fn clear(&self) {
        self.watch(Plan::Clear);
    }

    /// A fault at a call, counted from 1.
    pub fn fail_at(&self, call: usize, fault: Fault) {
        self.watch(Plan::At(call, fault));
    }

    /// Faults of all kinds at so many of a hundred calls.
    pub fn throw_dice(&self, seed: u64, percent: usize) {
        self.watch(Plan::Dice(Rng::new(seed), percent, &FAULTS));
    }

    /// So many of a hundred transactions meet another one.
    pub fn cancel(&self, seed: u64, percent: usize) {
        self.watch(Plan::Dice(Rng::new(seed), percent, &[Fault::Conflict]));
    }

    /// The calls since the line was last told what to do.
    pub fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().calls.clone()
    }

    fn next(&self, call: Call) -> Option<Fault> {
        let state = &mut *self.state.lock().unwrap();
        state.calls.push(call.clone());
        if state.dead {
            return Some(Fault::RequestLost);
        }
        if state.throttled > 0 {
            state.throttled -= 1;
            return Some(Fault::Throttled);
        }
        let fault = match &mut state.plan {
            Plan::Clear => None,
            Plan::At(at, fault) => (*at == state.calls.len()).then_some(*fault),
            Plan::Dice(rng, percent, faults) => rng.chance(*percent).then(|| *rng.pick(faults)),
        };
        let fault = fault.filter(|fault| call.takes(*fault));
        match fault {
            Some(Fault::KilledBefore | Fault::KilledAfter) => state.dead = true,
            Some(Fault::ThrottledLong) => state.throttled = THROTTLED_CALLS - 1,
            _ => {}
        }
        fault
    }

    async fn answer(
        self,
        operation: String,
        request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let strong = String::from_utf8_lossy(&body).contains(r#""ConsistentRead":true"#);
        let fault = self.next(Call {
            operation: operation.clone(),
            strong,
        });
        let lost = || Err(ConnectorError::timeout("the line is dead".into()));
        let Some(fault) = fault else {
            if operation == "Query" && self.goes_on_empty(&body) {
                let after = &read(&body)["ExclusiveStartKey"];
                let page =
                    json!({"Items": [], "Count": 0, "ScannedCount": 0, "LastEvaluatedKey": after});
                return Ok(response(200, page));
            }
            return self.pass(&operation, request, &body).await;
        };
        match fault {
            Fault::RequestLost | Fault::KilledBefore => lost(),
            Fault::AnswerLost | Fault::KilledAfter => {
                self.pass(&operation, request, &body).await?;
                lost()
            }
            Fault::Throttled | Fault::ThrottledLong => {
                Ok(response(400, read(THROTTLED.as_bytes())))
            }
            Fault::ErrorAfterCommit => {
                self.pass(&operation, request, &body).await?;
                Ok(response(500, read(BROKEN.as_bytes())))
            }
            Fault::Conflict => Ok(conflict(&read(&body))),
            Fault::Met => Ok(response(400, read(MET.as_bytes()))),
            Fault::StaleRead => {
                let answer = self.tripwire.call(request).await?;
                let mut shown = read(answer.body().bytes().unwrap_or_default());
                if answer.status().is_success() {
                    self.undo(&operation, &read(&body), &mut shown);
                }
                Ok(response(answer.status().as_u16(), shown))
            }
            Fault::CutPages => {
                self.state.lock().unwrap().empty_next = true;
                let mut cut = read(&body);
                cut["Limit"] = json!(1);
                self.tripwire.call(asking(&operation, &cut)).await
            }
            Fault::Unprocessed => self.half(&operation, read(&body)).await,
            Fault::Delayed => {
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
                self.pass(&operation, request, &body).await
            }
        }
    }

    fn goes_on_empty(&self, body: &[u8]) -> bool {
        let empty = &mut self.state.lock().unwrap().empty_next;
        let goes_on = *empty && !read(body)["ExclusiveStartKey"].is_null();
        *empty = *empty && !goes_on;
        goes_on
    }

    async fn pass(
        &self,
        operation: &str,
        request: HttpRequest,
        body: &[u8],
    ) -> Result<HttpResponse, ConnectorError> {
        let before = match operation {
            "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems"
                if self.state.lock().unwrap().writes.is_some() =>
            {
                self.held(&read(body)).await?
            }
            _ => Vec::new(),
        };
        let answer = self.recall(operation, request, body).await?;
        if answer.status().is_success()
            && let Some(writes) = &mut self.state.lock().unwrap().writes
        {
            writes[1].extend(before);
        }
        Ok(answer)
    }

    /// The answer from before, if it still stands; else the table's.
    async fn recall(
        &self,
        operation: &str,
        request: HttpRequest,
        body: &[u8],
    ) -> Result<HttpResponse, ConnectorError> {
        let mut touched = Vec::new();
        partitions(&read(body), &mut touched);
        if !matches!(operation, "GetItem" | "Query" | "BatchGetItem") {
            // Before it and after it: what is read meanwhile does not stand.
            self.recall.lock().unwrap().write(&touched);
            let answer = self.tripwire.call(request).await;
            self.recall.lock().unwrap().write(&touched);
            return answer;
        }
        let key = (operation.to_owned(), body.to_vec());
        let (written, stands, again) = {
            let recall = &mut *self.recall.lock().unwrap();
            let written = recall.written(&touched);
            let stands = recall.answers.get(&key).filter(|(at, _)| *at == written);
            recall.recalled += usize::from(stands.is_some());
            let again = recall.recalled.is_multiple_of(RECALLED_ASKED_AGAIN);
            (written, stands.map(|(_, answer)| answer.clone()), again)
        };
        if let Some(answer) = &stands
            && !again
        {
            self.tripwire.check(body)?;
            return Ok(HttpResponse::new(
                200_u16.try_into().unwrap(),
                answer.clone().into(),
            ));
        }
        let answer = self.tripwire.call(request).await?;
        let recall = &mut *self.recall.lock().unwrap();
        if answer.status().is_success() && recall.written(&touched) == written {
            let bytes = answer.body().bytes().unwrap_or_default();
            if let Some(stands) = stands {
                assert_eq!(read(bytes), read(&stands), "{operation} is not what it was");
            }
            recall.answers.insert(key, (written, bytes.to_vec()));
        }
        Ok(answer)
    }

    /// What the keys that a request writes hold now.
    async fn held(&self, request: &Value) -> Result<Vec<(Value, Option<Value>)>, ConnectorError> {
        let whole = [request.clone()];
        let parts: Vec<&Value> = match request["TransactItems"].as_array() {
            None => whole.iter().collect(),
            Some(parts) => parts
                .iter()
                .flat_map(|part| part.as_object().unwrap().values())
                .collect(),
        };
        let mut held = Vec::new();
        for part in parts {
            let of = if part["Key"].is_null() {
                &part["Item"]
            } else {
                &part["Key"]
            };
            let key = json!({"pk": of["pk"], "sk": of["sk"]});
            let get = json!({"TableName": part["TableName"], "Key": key, "ConsistentRead": true});
            let answer = self.database.call(asking("GetItem", &get)).await?;
            let item = read(answer.body().bytes().unwrap_or_default())["Item"].take();
            held.push((key, Some(item).filter(|item| !item.is_null())));
        }
        Ok(held)
    }

    /// Turns an answer into the one before the writes that are remembered.
    fn undo(&self, operation: &str, request: &Value, answer: &mut Value) {
        let state = self.state.lock().unwrap();
        let Some(writes) = &state.writes else { return };
        // The oldest of a key comes last, and stands.
        for (key, before) in writes.iter().flatten().rev() {
            match operation {
                "GetItem" if request["Key"] == *key => {
                    answer["Item"] = before.clone().unwrap_or_default();
                }
                "BatchGetItem" => {
                    for (table, asked) in request["RequestItems"].as_object().unwrap() {
                        if asked["Keys"].as_array().unwrap().contains(key) {
                            let items = answer["Responses"][table].as_array_mut().unwrap();
                            items.retain(|item| !is_at(item, key));
                            items.extend(before.clone());
                        }
                    }
                }
                "Query" if in_page(request, answer, key) => {
                    let forward = request["ScanIndexForward"] != json!(false);
                    let items = answer["Items"].as_array_mut().unwrap();
                    items.retain(|item| !is_at(item, key));
                    items.extend(before.clone());
                    items.sort_by(|a, b| sort_key(a).cmp(sort_key(b)));
                    if !forward {
                        items.reverse();
                    }
                    answer["Count"] = json!(items.len());
                }
                _ => {}
            }
        }
        if answer["Item"].is_null() && operation == "GetItem" {
            answer.as_object_mut().unwrap().remove("Item");
        }
    }

    /// Answers half of the keys of a batch and leaves the rest; of one key nothing.
    async fn half(
        &self,
        operation: &str,
        mut asked: Value,
    ) -> Result<HttpResponse, ConnectorError> {
        let (table, keys) = asked["RequestItems"]
            .as_object_mut()
            .unwrap()
            .iter_mut()
            .next()
            .unwrap();
        let table = table.clone();
        let all = keys["Keys"].as_array_mut().unwrap();
        let rest = all.split_off(all.len() / 2);
        let nothing = all.is_empty();
        let left = json!({"Keys": rest, "ConsistentRead": keys["ConsistentRead"]});
        let mut answer = json!({"Responses": {&table: []}});
        if !nothing {
            let answered = self.tripwire.call(asking(operation, &asked)).await?;
            answer = read(answered.body().bytes().unwrap_or_default());
        }
        answer["UnprocessedKeys"] = json!({ table: left });
        Ok(response(200, answer))
    }
}

fn sort_key(item: &Value) -> &str {
    item["sk"]["S"].as_str().unwrap()
}

fn is_at(item: &Value, key: &Value) -> bool {
    item["pk"] == key["pk"] && item["sk"] == key["sk"]
}

/// Whether a page of a partition reaches over a key.
fn in_page(request: &Value, answer: &Value, key: &Value) -> bool {
    let values = &request["ExpressionAttributeValues"];
    let forward = request["ScanIndexForward"] != json!(false);
    let at = sort_key(key);
    let within = |from: Option<&str>, to: Option<&str>| {
        from.is_none_or(|from| from <= at) && to.is_none_or(|to| at <= to)
    };
    let (start, end) = (
        request["ExclusiveStartKey"]["sk"]["S"].as_str(),
        answer["LastEvaluatedKey"]["sk"]["S"].as_str(),
    );
    key["pk"] == values[":pk"]
        && within(values[":a"]["S"].as_str(), values[":b"]["S"].as_str())
        && start != Some(at)
        && if forward {
            within(start, end)
        } else {
            within(end, start)
        }
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

fn response(status: u16, body: Value) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), body.to_string().into())
}

fn asking(operation: &str, body: &Value) -> HttpRequest {
    let mut request = HttpRequest::new(body.to_string().into());
    let target = format!("DynamoDB_20120810.{operation}");
    request.headers_mut().insert("x-amz-target", target);
    request
}

/// The answer to a transaction whose first item meets another one; a reason for each item.
fn conflict(request: &Value) -> HttpResponse {
    let items = request["TransactItems"].as_array().unwrap().len();
    let reason = |i| json!({"Code": if i == 0 { "TransactionConflict" } else { "None" }});
    let reasons: Vec<Value> = (0..items).map(reason).collect();
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    response(
        400,
        json!({"__type": kind, "Message": "cancelled", "CancellationReasons": reasons}),
    )
}

impl HttpConnector for FaultClient {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        HttpConnectorFuture::new(self.clone().answer(operation, request))
    }
}
