//! What shops send to Yespo, sent here instead: orders, and events of orders. Dates without an offset are the marketplace's, an order
//! without a currency is in the marketplace's. Nothing is ignored for want of a field: intake rejects it and says why.

use super::shop::{Draft, put_customer};
use super::{Reads, Sender, no_trial};
use crate::Outcome;
use crate::node::Node;
use crate::proof::Scheme;
use crate::row::Around;
use crate::time::{Unit, instant};

/// `POST …/compat/yespo/orders`: `{"orders":[…]}`.
pub(crate) const ORDERS: Sender = Sender {
    name: "compat/yespo/orders",
    in_settings: "yespo",
    proof: Scheme::Unsigned,
    is_trial: no_trial,
    reads: Reads::Facts(orders),
};

/// `POST …/compat/yespo/event`: an event with parameters, each a name and a value.
pub(crate) const EVENT: Sender = Sender {
    name: "compat/yespo/event",
    in_settings: "yespo",
    proof: Scheme::Unsigned,
    is_trial: no_trial,
    reads: Reads::Facts(event),
};

/// The events of orders, with the status that an event implies where it states none.
const EVENTS: [(&str, Option<&str>); 4] = [
    ("orderCreated", Some("INITIALIZED")),
    ("orderUpdated", None),
    ("orderDelivered", Some("DELIVERED")),
    ("orderCancelled", Some("CANCELLED")),
];

fn orders(body: &Node, around: &Around<'_>) -> Vec<Outcome> {
    let mut orders = Vec::new();
    body.all("orders", &mut orders);
    if orders.is_empty() && body.get("orders").is_none() {
        return vec![Outcome::Ignored("no list at orders".to_owned())];
    }
    let orders = orders
        .into_iter()
        .map(|order| Outcome::Order(record(order, order, None, around)));
    orders.collect()
}

fn event(body: &Node, around: &Around<'_>) -> Vec<Outcome> {
    let key = body.text_at("eventTypeKey").unwrap_or_default();
    let Some((_, implied)) = EVENTS.iter().find(|(own, _)| *own == key) else {
        return vec![Outcome::Ignored(key)];
    };
    let params = body
        .get("params")
        .map_or(Node::Null, |params| params.into_owned());
    vec![Outcome::Order(record(&params, body, *implied, around))]
}

/// `whole` has the key of the contact where an event names nobody else.
fn record(order: &Node, whole: &Node, implied: Option<&str>, around: &Around<'_>) -> String {
    let mut record = Draft::default();
    record.put("order_id", order.text_at("externalOrderId"));
    put_customer(
        &mut record,
        order,
        around,
        ("externalCustomerId", "email", "phone"),
    );
    if !record.has("customer_id") {
        record.put("customer_id", whole.text_at("keyValue"));
    }
    record.put(
        "status",
        order.text_at("status").or(implied.map(str::to_owned)),
    );
    record.put("total", order.text_at("totalCost"));
    let own = around.currency.map(|currency| currency.code().to_owned());
    record.put("currency", order.text_at("currency").or(own));
    let zone = around.mapping.zone.unwrap_or(around.zone);
    let placed_at = order.text_at("date");
    record.put(
        "placed_at",
        placed_at.map(|text| instant(&text, Unit::Any, zone).map_or(text, |at| at.to_string())),
    );
    record.put("source", order.text_at("source"));
    record.put("first_name", order.text_at("firstName"));
    record.put("last_name", order.text_at("lastName"));
    let fields = [
        ("id", "externalItemId"),
        ("name", "name"),
        ("quantity", "quantity"),
        ("cost", "cost"),
    ];
    record.put_items(order, "items", fields);
    record.text()
}
