//! A meter under the SDK's client: the read and write units of every request, as AWS bills them on demand.
//!
//! The embedded database counts what AWS publishes: a write unit a started KB of the larger of the old and the new item, two of them
//! in a transaction, a check of a condition too; a strong read unit a started 4 KB, of a query's items together, half of
//! it when read eventually, and never nothing. What fails says no figure, neither there nor on AWS, and is billed all the
//! same; so the meter counts it here: a refused conditional write as the item that stands (at least one unit), a cancelled
//! transaction as if every item of it had been written.

use std::collections::BTreeMap;
use std::ops::Sub;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde_json::Value;

use crate::support::tripwire::Tripwire;

/// What was spent on one operation, or on all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Units {
    pub calls: f64,
    pub writes: f64,
    pub reads: f64,
    /// Bytes of the items that were put one by one: facts and intake markers.
    pub bytes_put: f64,
}

/// What was spent, by operation.
#[derive(Debug, Clone, Default)]
pub struct Spent(pub BTreeMap<String, Units>);

impl Spent {
    pub fn all(&self) -> Units {
        let mut all = Units::default();
        for units in self.0.values() {
            all.calls += units.calls;
            all.writes += units.writes;
            all.reads += units.reads;
            all.bytes_put += units.bytes_put;
        }
        all
    }
}

/// What was spent since an earlier reading.
impl Sub for &Spent {
    type Output = Spent;

    fn sub(self, earlier: &Spent) -> Spent {
        let mut spent = self.clone();
        for (operation, before) in &earlier.0 {
            let units = spent.0.entry(operation.clone()).or_default();
            units.calls -= before.calls;
            units.writes -= before.writes;
            units.reads -= before.reads;
            units.bytes_put -= before.bytes_put;
        }
        spent
    }
}

/// The partition key and the sort key of an item.
pub type ItemKey = (String, String);

#[derive(Debug, Clone)]
pub struct Meter {
    line: Tripwire,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    spent: Spent,
    /// Write and read units by item; what is queried has no sort key.
    by_item: BTreeMap<ItemKey, [f64; 2]>,
    forbidden: Vec<String>,
}

impl Meter {
    pub fn over(line: Tripwire) -> Self {
        Self {
            line,
            state: Arc::default(),
        }
    }

    pub fn read(&self) -> Spent {
        self.state.lock().unwrap().spent.clone()
    }

    /// The write and the read units of each item, and none from here on.
    pub fn take_items(&self) -> BTreeMap<ItemKey, [f64; 2]> {
        std::mem::take(&mut self.state.lock().unwrap().by_item)
    }

    /// Fails where a request scanned the table, or went through an index, or made one.
    pub fn assert_plain(&self) {
        let forbidden = &self.state.lock().unwrap().forbidden;
        assert!(forbidden.is_empty(), "{forbidden:?}");
    }

    /// Asks for the units, and intake markers what may never be asked for.
    fn request(&self, operation: &str, body: &str) -> String {
        if operation == "Scan" || body.contains("\"IndexName\"") || body.contains("Indexes\":[{") {
            self.state
                .lock()
                .unwrap()
                .forbidden
                .push(format!("{operation} {body}"));
        }
        match operation {
            "CreateTable" | "DescribeTable" | "UpdateTimeToLive" => body.to_owned(),
            _ => format!("{{\"ReturnConsumedCapacity\":\"TOTAL\",{}", &body[1..]),
        }
    }

    fn count(&self, operation: &str, request: &str, status: u16, answer: &[u8]) {
        let answer: Value = serde_json::from_slice(answer).unwrap();
        let units = match status {
            200 if operation == "Query" => queried(request, &answer),
            200 if operation == "BatchGetItem" => batched(request, &answer),
            200 => told(&answer["ConsumedCapacity"]),
            _ => failed(request, &answer),
        };
        let mut state = self.state.lock().unwrap();
        let spent = state.spent.0.entry(operation.to_owned()).or_default();
        spent.calls += 1.0;
        match operation {
            "GetItem" | "BatchGetItem" | "Query" => spent.reads += units,
            _ => spent.writes += units,
        }
        let reads = matches!(operation, "GetItem" | "BatchGetItem" | "Query");
        for (key, units) in by_item(request, units) {
            state.by_item.entry(key).or_default()[usize::from(reads)] += units;
        }
        let spent = state.spent.0.entry(operation.to_owned()).or_default();
        if operation == "PutItem" {
            let request: Value = serde_json::from_str(request).unwrap();
            spent.bytes_put += item_bytes(&request["Item"]) as f64;
        }
    }
}

/// The items of a request, with their units of the `units` of the whole. What is put has its size; whatever has no size in the
/// request shares the rest.
fn by_item(request: &str, units: f64) -> Vec<(ItemKey, f64)> {
    let request: Value = serde_json::from_str(request).unwrap();
    let mut parts: Vec<(ItemKey, Option<f64>)> = Vec::new();
    let mut part = |one: &Value, factor: f64| {
        let item = &one["Item"];
        let keys = if item.is_null() { &one["Key"] } else { item };
        if let Some(partition) = keys["pk"]["S"].as_str() {
            let size = (!item.is_null()).then(|| factor * kilobytes(item));
            let sort_key = keys["sk"]["S"].as_str().unwrap_or_default();
            parts.push(((partition.to_owned(), sort_key.to_owned()), size));
        }
    };
    part(&request, 1.0);
    for item in request["TransactItems"].as_array().into_iter().flatten() {
        // One of Put, Update, Delete and ConditionCheck.
        let writes = item.as_object().into_iter().flatten();
        writes.for_each(|(_, one)| part(one, 2.0));
    }
    let tables = request["RequestItems"].as_object().into_iter().flatten();
    for key in tables.flat_map(|(_, table)| table["Keys"].as_array().into_iter().flatten()) {
        part(&serde_json::json!({ "Key": key }), 1.0);
    }
    // A query names its partition in its values: the first one that is a partition of ours.
    let values = request["ExpressionAttributeValues"].as_object();
    let values = values
        .into_iter()
        .flatten()
        .filter_map(|(_, value)| value["S"].as_str());
    if parts.is_empty() {
        let queried = values.filter(|text| text.starts_with("m/")).take(1);
        parts.extend(queried.map(|text| ((text.to_owned(), String::new()), None)));
    }
    let put: f64 = parts.iter().filter_map(|(_, size)| *size).sum();
    let others = parts.iter().filter(|(_, size)| size.is_none()).count();
    let each = (units - put).max(0.0) / others.max(1) as f64;
    let sized = parts.into_iter();
    sized
        .map(|(key, size)| (key, size.unwrap_or(each)))
        .collect()
}

fn told(capacity: &Value) -> f64 {
    match capacity {
        Value::Array(tables) => tables.iter().map(told).sum(),
        one => one["CapacityUnits"].as_f64().unwrap_or(0.0),
    }
}

/// A batch of reads, of which the embedded database says nothing either: each item by itself, and one that is not there as one of 4 KB.
fn batched(request: &str, answer: &Value) -> f64 {
    let request: Value = serde_json::from_str(request).unwrap();
    let tables = request["RequestItems"].as_object().into_iter().flatten();
    tables
        .map(|(name, table)| {
            let found = answer["Responses"][name].as_array();
            let sizes = found.into_iter().flatten().map(item_bytes);
            let units: usize = sizes.map(|bytes| bytes.div_ceil(4096).max(1)).sum();
            let later = answer["UnprocessedKeys"][name]["Keys"].as_array();
            let [asked, found, later] =
                [table["Keys"].as_array(), found, later].map(|list| list.map_or(0, Vec::len));
            let absent = asked - later - found;
            let half = if table["ConsistentRead"] == true {
                1.0
            } else {
                0.5
            };
            half * (units + absent) as f64
        })
        .sum()
}

/// A page of a query. The embedded database puts it together of parts, and does not say what it consumed: its items together, in
/// units of 4 KB, half of that when they are read eventually, and never nothing.
fn queried(request: &str, answer: &Value) -> f64 {
    let request: Value = serde_json::from_str(request).unwrap();
    let items = answer["Items"].as_array().into_iter().flatten();
    let bytes: usize = items.map(item_bytes).sum();
    let units = bytes.div_ceil(4096).max(1) as f64;
    match request["ConsistentRead"] == Value::Bool(true) {
        true => units,
        false => units / 2.0,
    }
}

fn failed(request: &str, answer: &Value) -> f64 {
    let kind = answer["__type"].as_str().unwrap();
    if kind.ends_with("#ConditionalCheckFailedException") {
        return kilobytes(&answer["Item"]);
    }
    assert!(
        kind.ends_with("#TransactionCanceledException"),
        "what fails otherwise costs nothing, and nothing does here: {answer}"
    );
    let request: Value = serde_json::from_str(request).unwrap();
    let items = request["TransactItems"].as_array().unwrap();
    items
        .iter()
        .map(|item| 2.0 * kilobytes(&item["Put"]["Item"]))
        .sum()
}

fn kilobytes(item: &Value) -> f64 {
    item_bytes(item).div_ceil(1024).max(1) as f64
}

/// What AWS counts an item as: names and values; a number two digits a byte and one more.
fn item_bytes(item: &Value) -> usize {
    let value = |value: &Value| {
        let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
        let length = value.as_str().map_or(0, str::len);
        match kind.as_str() {
            "S" => length,
            "N" => length.div_ceil(2) + 1,
            "B" => length / 4 * 3,
            _ => 1,
        }
    };
    let attributes = item.as_object().into_iter().flatten();
    attributes
        .map(|(name, attribute)| name.len() + value(attribute))
        .sum()
}

impl HttpConnector for Meter {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap_or_default();
        let body = self.request(&operation, std::str::from_utf8(body).unwrap());
        *request.body_mut() = body.clone().into();
        let meter = self.clone();
        HttpConnectorFuture::new(async move {
            let answer = meter.line.call(request).await?;
            let bytes = answer.body().bytes().unwrap_or_default();
            meter.count(&operation, &body, answer.status().as_u16(), bytes);
            Ok(answer)
        })
    }
}
