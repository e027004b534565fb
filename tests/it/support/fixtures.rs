//! One marketplace of a service, in the words that tests are written in: facts are lines of text, answers are JSON.

use http::{Method, StatusCode};
use revtrail_core::value::time::Instant;
use serde_json::{Value, json};

use crate::support::fault_client::FaultClient;
use crate::support::service::{ADMIN, Service};

/// What the clock of every shop shows: a Friday.
pub const NOW: &str = "2026-11-20T12:00:00Z";

/// A time in the lines: `17T11:30` is the 17th of November 2026, and so are `17T11:30:01.001`; a whole one stays.
pub fn time(text: &str) -> String {
    match (text.starts_with("20") && text.len() > 15, text.len()) {
        (true, _) => text.to_owned(),
        (false, 8) => format!("2026-11-{text}:00Z"),
        (false, _) => format!("2026-11-{text}Z"),
    }
}

/// An instant in the lines.
pub fn at(text: &str) -> Instant {
    Instant::parse(&time(text)).unwrap()
}

/// `more` over `value`, field by field.
pub fn with(mut value: Value, more: &Value) -> Value {
    for (name, field) in more.as_object().unwrap() {
        value[name] = field.clone();
    }
    value
}

/// What stands behind the fixed columns of a line: `name=value`, where times are written short and flags are flags.
pub fn rest<'l>(words: impl Iterator<Item = &'l str>) -> Value {
    let field = |word: &str| {
        let (name, value) = word.split_once('=').unwrap();
        let value = match value {
            "true" | "false" => json!(value == "true"),
            _ if name.ends_with("_at") => json!(time(value)),
            _ => json!(value),
        };
        (name.to_owned(), value)
    };
    Value::Object(words.map(field).collect())
}

/// Events of a line: campaign, channel, kinds joined by commas, customer, time, and more fields as `name=value`. A customer that begins
/// with `to:` is an e-mail address or a phone number instead.
pub fn events(line: &str) -> Vec<Value> {
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap();
    let (campaign, channel, kinds, customer, at) = (word(), word(), word(), word(), time(word()));
    let more = rest(words);
    let event = |kind: &str| {
        let id = format!("{campaign} {channel} {kind} {at} {}", more["message_id"]);
        let (whom, who) = match customer.strip_prefix("to:") {
            None => ("customer_id", customer),
            Some(phone) if phone.starts_with('+') => ("phone", phone),
            Some(email) => ("email", email),
        };
        let event = json!({
            "event_id": id, "kind": kind, "channel": channel, "campaign_id": campaign, whom: who, "occurred_at": at,
        });
        with(event, &more)
    };
    kinds.split(',').map(event).collect()
}

/// The order of a line: id, customer, status, total, currency, `placed_at`, and more fields as `name=value`.
pub fn order(line: &str) -> Value {
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap();
    let order = json!({
        "order_id": word(), "customer_id": word(), "status": word(), "total": word(), "currency": word(), "placed_at": time(word()),
    });
    with(order, &rest(words))
}

/// A part of an answer: every field that is named must be there with that value.
#[track_caller]
pub fn assert_part(what: &str, got: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(got.get(name), Some(value), "{what}: {name} in {got}");
    }
}

pub struct Shop {
    pub service: Service,
    pub id: &'static str,
}

impl Shop {
    /// A new service with one marketplace in it.
    pub async fn open(settings: Value) -> Self {
        let service = Service::at(NOW).await;
        service.make("m", &settings).await;
        Self { service, id: "m" }
    }

    /// A new service at the end of a line, with one marketplace in it.
    pub async fn over(line: &FaultClient) -> Self {
        let service = Service::over(line, Instant::parse(NOW).unwrap());
        service.store.create_table().await.unwrap();
        service.make("m", &json!({})).await;
        Self { service, id: "m" }
    }

    /// A shop in which all this happened, and a run after it.
    pub async fn after(settings: Value, events: &[&str], orders: &[&str]) -> Self {
        let shop = Self::open(settings).await;
        shop.events(events).await;
        shop.orders(orders).await;
        shop.run().await;
        shop
    }

    /// A shop with figures to be moved.
    pub async fn lively() -> Self {
        let (events, orders) = (
            [
                "E email sent,delivered,opened c 16T10:00",
                "S sms sent d 15T10:00",
            ],
            [
                "a c COMPLETE 10.00 USD 16T11:00",
                "b c PENDING 5.00 EUR 16T12:00",
            ],
        );
        Self::after(json!({}), &events, &orders).await
    }

    pub fn path(&self, rest: &str) -> String {
        format!("/v1/marketplaces/{}/{rest}", self.id)
    }

    pub async fn events(&self, lines: &[&str]) {
        let facts: Vec<Value> = lines.iter().flat_map(|line| events(line)).collect();
        self.service.feed(self.id, "events", &facts, 1_000).await;
    }

    pub async fn orders(&self, lines: &[&str]) {
        let facts: Vec<Value> = lines.iter().map(|line| order(line)).collect();
        self.service.feed(self.id, "orders", &facts, 1_000).await;
    }

    pub async fn run(&self) -> Value {
        let run = self.service.run(self.id).await;
        assert_part("run", &run, &json!({ "state": "done", "errors": 0 }));
        run
    }

    pub async fn get(&self, rest: &str) -> Value {
        self.service.get(&self.path(rest)).await
    }

    /// A call under the deployment's key.
    pub async fn call(&self, method: Method, rest: &str, body: Value) -> (u16, Value) {
        let (status, body) = self
            .service
            .call_as(ADMIN, method, &self.path(rest), Some(&body))
            .await;
        (status.as_u16(), body)
    }

    pub async fn put(&self, rest: &str, body: Value) -> Value {
        let (status, body) = self.call(Method::PUT, rest, body).await;
        assert!(
            status == 200 || status == 201,
            "PUT {rest}: {status} {body}"
        );
        body
    }

    /// A new key of this shop.
    pub async fn key(&self, role: &str) -> String {
        let (status, key) = self
            .call(Method::POST, "keys", json!({ "name": role, "role": role }))
            .await;
        assert_eq!(status, 201, "{key}");
        key["key"].as_str().unwrap().to_owned()
    }

    /// The status of reading something under a key.
    pub async fn status_for(&self, key: &str, rest: &str) -> u16 {
        let (status, ..) = self
            .service
            .raw(Method::GET, &self.path(rest), Some(key), None, Vec::new())
            .await;
        status.as_u16()
    }

    /// Asks for CSV under a key: status, media type, bytes.
    pub async fn table_for(&self, key: &str, rest: &str) -> (StatusCode, String, Vec<u8>) {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("accept", "text/csv")];
        self.service
            .send(Method::GET, &self.path(rest), &headers, Vec::new())
            .await
    }

    pub async fn csv(&self, rest: &str) -> String {
        let (status, media, body) = self.table_for(ADMIN, rest).await;
        assert_eq!(
            (status, media.split(';').next()),
            (StatusCode::OK, Some("text/csv")),
            "{rest}"
        );
        String::from_utf8(body).unwrap()
    }

    /// The campaign's row of the campaign report; `null` where it has none.
    pub async fn row(&self, campaign: &str) -> Value {
        self.row_of("", campaign).await
    }

    pub async fn row_of(&self, query: &str, campaign: &str) -> Value {
        let report = self.get(&format!("reports/campaigns{query}")).await;
        let rows = report["campaigns"].as_array().unwrap();
        rows.iter()
            .find(|row| row["campaign_id"] == campaign)
            .cloned()
            .unwrap_or_default()
    }

    /// Who earned an order, and why nobody did or it does not count: `P1`, `P1 status`, `nobody no_candidate`.
    pub async fn earner(&self, order: &str) -> String {
        let told = self.get(&format!("orders/{order}/attribution")).await;
        let who = told["credited_to"]["campaign_id"]
            .as_str()
            .unwrap_or("nobody");
        told["reason"]
            .as_str()
            .map_or(who.to_owned(), |reason| format!("{who} {reason}"))
    }

    /// Who earns the order of a line, told the same before a run and after, by the explanation and by the figures.
    pub async fn earner_of(&self, line: &str) -> String {
        self.orders(&[line]).await;
        let id = line.split(' ').next().unwrap();
        let decided =
            async || self.get(&format!("orders/{id}/attribution")).await["decided"].clone();
        let before = self.earner(id).await;
        assert_eq!(decided().await, "pending");
        self.run().await;
        assert_eq!(
            (decided().await, self.earner(id).await),
            (json!("run"), before.clone())
        );
        let report = self.get("reports/campaigns").await;
        let purchases = |of: &Value| of["purchases"].as_u64().unwrap();
        assert_eq!(
            purchases(&report["counted"]),
            purchases(&report["credited"]) + purchases(&report["uncredited"])
        );
        for row in report["campaigns"].as_array().unwrap() {
            let campaign = row["campaign_id"].as_str().unwrap();
            let listed = self.purchases(&segment(campaign)).await;
            let earned = listed
                .iter()
                .any(|purchase| purchase.split(' ').next() == Some(id));
            assert_eq!(
                (purchases(row), before == campaign),
                (listed.len() as u64, earned),
                "{campaign} where {before} earned it"
            );
        }
        before
    }

    /// The purchases of a campaign, as `order amount`.
    pub async fn purchases(&self, campaign: &str) -> Vec<String> {
        let told = self
            .get(&format!("reports/campaigns/{campaign}/purchases"))
            .await;
        let row = |row: &Value| {
            format!(
                "{} {}",
                row["order_id"].as_str().unwrap(),
                row["amount"].as_str().unwrap()
            )
        };
        told["purchases"]
            .as_array()
            .unwrap()
            .iter()
            .map(row)
            .collect()
    }

    /// What every reader of figures shows, but for how fresh it is.
    pub async fn figures(&self) -> Value {
        let mut shown = json!({
            "campaigns": self.get("reports/campaigns?limit=1000").await, "orders": self.get("reports/orders").await,
            "reconciliation": self.get("reports/reconciliation").await, "list": self.get("orders?limit=1000").await,
        });
        let ids: Vec<String> = shown["campaigns"]["campaigns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["campaign_id"].as_str().unwrap().to_owned())
            .collect();
        for id in ids {
            let id = segment(&id);
            shown[&id] = json!([
                self.get(&format!("reports/campaigns/{id}")).await,
                self.get(&format!("reports/campaigns/{id}/purchases?limit=1000"))
                    .await
            ]);
        }
        strip(&mut shown, &["as_of", "pending", "period"]);
        shown
    }
}

/// A text as one segment of a path.
pub fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// Takes fields out, however deep they stand.
pub fn strip(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !names.contains(&name.as_str()));
            fields.values_mut().for_each(|value| strip(value, names));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| strip(value, names)),
        _ => {}
    }
}
