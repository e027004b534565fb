//! WooCommerce: orders, whole at every change, by times of UTC without an offset. It tries an address with an unsigned form. An order
//! that is deleted is only named: its last copy stays.

use chrono_tz::Tz;

use super::shop::{Draft, FINISHED, put_customer, status, sum};
use super::{Reads, Sender};
use crate::Outcome;
use crate::node::Node;
use crate::proof::{Scheme, Spelling};
use crate::row::Around;
use crate::time::{Unit, instant};

pub(crate) const SENDER: Sender = Sender {
    name: "woocommerce",
    in_settings: "woocommerce",
    proof: Scheme::Hmac {
        header: "x-wc-webhook-signature",
        spelling: Spelling::Base64,
        over: "{body}",
        timestamp: None,
    },
    is_trial: is_ping,
    reads: Reads::Facts(orders),
};

pub(super) const STATUSES: [(&str, &str); 10] = [
    ("pending", "PENDING"),
    ("on-hold", "INITIALIZED"),
    ("processing", "PREPARING"),
    ("completed", FINISHED),
    ("cancelled", "CANCELLED"),
    ("trash", "CANCELLED"),
    ("refunded", "REFUNDED"),
    ("failed", "REJECTED"),
    ("checkout-draft", "ABANDONED_SHOPPING_CART"),
    ("draft", "ABANDONED_SHOPPING_CART"),
];

/// `webhook_id=3` and nothing else.
fn is_ping(body: &Node) -> bool {
    matches!(body, Node::Object(fields) if fields.len() == 1 && fields[0].0 == "webhook_id")
}

fn orders(body: &Node, around: &Around<'_>) -> Vec<Outcome> {
    let topic = around
        .headers
        .get("x-wc-webhook-topic")
        .and_then(|topic| topic.to_str().ok());
    // A subscription looks like an order.
    let is_order = topic.is_none_or(|topic| topic.starts_with("order."))
        && body.text_at("total").is_some()
        && body.text_at("status").is_some();
    match is_order {
        true => vec![Outcome::Order(order(body, around))],
        false => vec![Outcome::Ignored(topic.unwrap_or("no order").to_owned())],
    }
}

fn order(body: &Node, around: &Around<'_>) -> String {
    // Those of UTC, else the site's own.
    let at = |name: &str| {
        let utc = body
            .text_at(&format!("{name}_gmt"))
            .map(|text| (text, Tz::UTC));
        let zone = around.mapping.zone.unwrap_or(around.zone);
        let (text, zone) = utc.or_else(|| Some((body.text_at(name)?, zone)))?;
        Some(instant(&text, Unit::Any, zone).map_or(text, |at| at.to_string()))
    };
    let mut record = Draft::default();
    record.put("order_id", body.text_at("id"));
    put_customer(
        &mut record,
        body,
        around,
        (
            "customer_id",
            "billing.email",
            "billing.phone|shipping.phone",
        ),
    );
    let word = body.text_at("status").unwrap_or_default().to_lowercase();
    let word = word.strip_prefix("wc-").unwrap_or(&word).to_owned();
    record.put("status", status(&[word], &STATUSES, around));
    record.put("total", body.text_at("total"));
    record.put("currency", body.text_at("currency"));
    record.put("placed_at", at("date_created"));
    record.put("updated_at", at("date_modified"));
    let mut refunds = Vec::new();
    body.all("refunds.total", &mut refunds);
    let refunded =
        sum(refunds.into_iter()).map_or_else(|| "no amount".to_owned(), |sum| sum.to_string());
    record.put("refunded_total", refunded);
    record.put("source", body.text_at("created_via"));
    record.put("first_name", body.text_at("billing.first_name"));
    record.put("last_name", body.text_at("billing.last_name"));
    record.put_texts("coupon_codes", body, "coupon_lines.code");
    let fields = [
        ("id", "sku|product_id"),
        ("name", "name"),
        ("quantity", "quantity"),
        ("cost", "total"),
    ];
    record.put_items(body, "line_items", fields);
    record.text()
}
