//! Shopify: orders, whole at every change. `total_price` stays what was ordered; what was paid back is in the order's refunds, which a
//! post of a refund alone has too, but without the order: those of `orders/updated` count.

use super::shop::{Draft, FINISHED, put_customer, status, sum};
use super::{Reads, Sender, no_trial};
use crate::Outcome;
use crate::node::Node;
use crate::proof::{Scheme, Spelling};
use crate::row::Around;

pub(crate) const SENDER: Sender = Sender {
    name: "shopify",
    in_settings: "shopify",
    proof: Scheme::Hmac {
        header: "x-shopify-hmac-sha256",
        spelling: Spelling::Base64,
        over: "{body}",
        timestamp: None,
    },
    is_trial: no_trial,
    reads: Reads::Facts(orders),
};

/// From the strongest word to the weakest: `cancelled_at` is `cancelled`, then the financial status, then that of the fulfilment.
pub(super) const STATUSES: [(&str, &str); 14] = [
    ("cancelled", "CANCELLED"),
    ("refunded", "REFUNDED"),
    ("voided", "CANCELLED"),
    ("expired", "CANCELLED"),
    ("fulfilled", FINISHED),
    ("restocked", "CANCELLED"),
    ("paid", "PREPARING"),
    ("partially_refunded", "PREPARING"),
    ("partially_paid", "IN_PROGRESS"),
    ("partial", "IN_PROGRESS"),
    ("authorized", "INITIALIZED"),
    ("pending", "PENDING"),
    ("unpaid", "PENDING"),
    ("none", "INITIALIZED"),
];

fn orders(body: &Node, around: &Around<'_>) -> Vec<Outcome> {
    let topic = ["x-shopify-topic", "shopify-topic"];
    let topic = topic
        .iter()
        .find_map(|name| around.headers.get(*name)?.to_str().ok());
    // A checkout and a draft look like an order.
    let is_order = topic.is_none_or(|topic| topic.starts_with("orders/"))
        && body.text_at("total_price").is_some()
        && body.text_at("created_at").is_some();
    if !is_order {
        return vec![Outcome::Ignored(topic.unwrap_or("no order").to_owned())];
    }
    if body.text_at("test").as_deref() == Some("true") {
        return vec![Outcome::Ignored("test order".to_owned())];
    }
    vec![Outcome::Order(order(body, around))]
}

fn order(body: &Node, around: &Around<'_>) -> String {
    let mut record = Draft::default();
    record.put("order_id", body.text_at("id"));
    let phone = "phone|customer.phone|billing_address.phone|shipping_address.phone";
    put_customer(
        &mut record,
        body,
        around,
        ("customer.id", "email|contact_email|customer.email", phone),
    );
    record.put("status", status(&words(body), &STATUSES, around));
    record.put("total", body.text_at("total_price"));
    record.put("currency", body.text_at("currency"));
    record.put("placed_at", body.text_at("created_at"));
    record.put("updated_at", body.text_at("updated_at"));
    record.put("refunded_total", refunded(body));
    record.put("source", body.text_at("source_name"));
    record.put(
        "first_name",
        body.text_at("customer.first_name|billing_address.first_name"),
    );
    record.put(
        "last_name",
        body.text_at("customer.last_name|billing_address.last_name"),
    );
    record.put_texts("coupon_codes", body, "discount_codes.code");
    let fields = [
        ("id", "sku|variant_id|product_id"),
        ("name", "name|title"),
        ("quantity", "quantity"),
        ("cost", "price"),
    ];
    record.put_items(body, "line_items", fields);
    record.text()
}

/// The words of an order in the order in which they count.
fn words(body: &Node) -> Vec<String> {
    let cancelled = body.text_at("cancelled_at").map(|_| "cancelled".to_owned());
    let own = [
        cancelled,
        body.text_at("financial_status"),
        body.text_at("fulfillment_status"),
    ];
    let own: Vec<String> = own
        .into_iter()
        .flatten()
        .map(|word| word.to_lowercase())
        .collect();
    let strongest = STATUSES
        .iter()
        .find(|(word, _)| own.iter().any(|own| own == word));
    match strongest {
        Some((word, _)) => vec![(*word).to_owned()],
        None if own.is_empty() => vec!["none".to_owned()],
        None => own,
    }
}

/// What was paid back: the refunds of an order that succeeded, in the currency of the order. An amount that is none, or is in another
/// currency, is passed on as none, so that the order is rejected.
fn refunded(body: &Node) -> String {
    let mut transactions = Vec::new();
    body.all("refunds.transactions", &mut transactions);
    let currency = body.text_at("currency");
    let is = |node: &Node, field: &str, word: &str| node.text_at(field).as_deref() == Some(word);
    let done = transactions
        .into_iter()
        .filter(|one| is(one, "kind", "refund") && is(one, "status", "success"));
    let amounts: Vec<Node> = done
        .map(|one| {
            let own = one.text_at("currency");
            let in_shops = one.text_at("amount_set.shop_money.amount");
            let plain = one
                .text_at("amount")
                .filter(|_| own.is_none() || own == currency);
            in_shops.or(plain).map_or(Node::Null, Node::Text)
        })
        .collect();
    sum(amounts.iter()).map_or_else(|| "no amount".to_owned(), |sum| sum.to_string())
}
