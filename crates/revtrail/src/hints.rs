//! The calls that `revtrail serve` suggests to a person. They work when they are pasted one after the other.

use revtrail_core::attribution::settings::Preset;
use revtrail_core::value::time::Instant;
use serde_json::{Value, json};

use crate::demo;

/// The marketplace of the hints. It is not the shop's own, because its first order fixes the settings for all orders before it.
pub const MARKETPLACE: &str = "try";

/// A call to try, and what it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Hint {
    /// What the call is for, as a sentence.
    pub says: String,
    /// The HTTP method, like `GET`.
    pub method: &'static str,
    /// The part of the address after the host.
    pub path: String,
    /// The body, as JSON; `None` with `GET`.
    pub body: Option<Value>,
}

impl Hint {
    /// The call as a line for a shell. `host` is like `http://127.0.0.1:8080`; `auth` is the header with the key, as the shell
    /// reads it.
    pub fn curl(&self, host: &str, auth: &str) -> String {
        let url = format!("'{host}{}'", self.path);
        match &self.body {
            None => format!("curl -H {auth} {url}"),
            Some(body) => format!(
                "curl -X {} -H {auth} -H 'Content-Type: application/json' {url} -d '{body}'",
                self.method
            ),
        }
    }
}

/// The last `days` days with today, as parameters of a period.
fn period(now: Instant, days: u32) -> String {
    let tomorrow = now.day(Preset::Redbox.settings().timezone).plus(1);
    format!("from={}&to={tomorrow}", tomorrow.minus(days))
}

fn get(says: &str, path: String) -> Hint {
    Hint {
        says: says.to_owned(),
        method: "GET",
        path,
        body: None,
    }
}

/// Hints for the sample marketplace.
pub fn of_the_sample(now: Instant) -> Vec<Hint> {
    let m = format!("/v1/marketplaces/{}", demo::MARKETPLACE);
    let weeks = period(now, 42);
    vec![
        get(
            "what the campaigns earned in these six weeks; the order of the rows changes with the period",
            format!("{m}/reports/campaigns?{weeks}&limit=3"),
        ),
        get(
            "what the promotions cost, since they began",
            format!("{m}/reports/promotions"),
        ),
        get(
            "why an order was credited as it was",
            format!("{m}/orders/{}/attribution", demo::AN_ORDER),
        ),
    ]
}

/// Hints for somebody who begins with nothing: settings, facts of a campaign, an order, a run, a report.
pub fn from_nothing(now: Instant) -> Vec<Hint> {
    let m = format!("/v1/marketplaces/{MARKETPLACE}");
    let send = |says: &str, method, path: String, body| Hint {
        says: says.to_owned(),
        method,
        path,
        body: Some(body),
    };
    let before = |minutes: i64| now.minus_ms(60_000 * minutes);
    let event = |id: &str, kind: &str, at: Instant| {
        json!({
            "event_id": id, "kind": kind, "channel": "email", "campaign_id": "spring", "customer_id": "c-1", "occurred_at": at,
        })
    };
    let order = json!({
        "order_id": "o-1", "customer_id": "c-1", "status": "COMPLETE", "total": "100.00", "currency": "EUR", "placed_at": now,
    });
    vec![
        send(
            "a marketplace to try things in; your shop's own comes later, so that no test order is in it",
            "PUT",
            m.clone(),
            json!({ "name": "Try" }),
        ),
        send(
            "settings first: those saved before the first order cover all orders, later ones only orders placed from then on",
            "PUT",
            format!("{m}/settings"),
            json!({ "preset": "redbox", "timezone": "UTC", "currency": "EUR" }),
        ),
        send(
            "a campaign",
            "PUT",
            format!("{m}/campaigns/spring"),
            json!({ "name": "Spring", "tags": ["sale"] }),
        ),
        send(
            "its e-mail to a customer, who clicks",
            "POST",
            format!("{m}/events"),
            json!([
                event("e-1", "sent", before(10)),
                event("e-2", "clicked", before(5))
            ]),
        ),
        send("the customer's order", "POST", format!("{m}/orders"), order),
        get(
            "who earned it, and why: at once",
            format!("{m}/orders/o-1/attribution"),
        ),
        send(
            "a run: reports show what came in before the last one, and one comes every hour",
            "POST",
            format!("{m}/runs"),
            json!({}),
        ),
        get(
            "what the campaigns earned in these 30 days",
            format!("{m}/reports/campaigns?{}", period(now, 30)),
        ),
    ]
}
