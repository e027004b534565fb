//! What the shops among the senders share: whose an order is, what its status means, and sums of refunds.

use revtrail_core::value::address::{normalised_email, normalised_phone};
use revtrail_core::value::money::Money;
use serde_json::{Map, Value};

use crate::node::Node;
use crate::row::Around;

/// A record in the making. A field without a value is left out.
#[derive(Default)]
pub(super) struct Draft(Map<String, Value>);

impl Draft {
    pub(super) fn put(&mut self, field: &str, value: impl Into<Option<String>>) {
        if let Some(text) = value.into() {
            self.0.insert(field.to_owned(), Value::String(text));
        }
    }

    pub(super) fn put_list(&mut self, field: &str, list: Vec<Value>) {
        if !list.is_empty() {
            self.0.insert(field.to_owned(), Value::Array(list));
        }
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    pub(super) fn text(self) -> String {
        Value::Object(self.0).to_string()
    }
}

/// Puts whose an order is: the shop's id or that of the mapping and, for guests, their address.
pub(super) fn put_customer(
    record: &mut Draft,
    order: &Node,
    around: &Around<'_>,
    (id, email, phone): (&str, &str, &str),
) {
    let own = around.mapping.customer_id.as_deref().unwrap_or(id);
    let known = order.text_at(own).filter(|id| id != "0");
    let (email, phone) = (order.text_at(email), order.text_at(phone));
    let address = || email.as_deref().and_then(normalised_email);
    let number = || phone.as_deref().and_then(normalised_phone);
    record.put("customer_id", known.or_else(address).or_else(number));
    record.put("email", email);
    record.put("phone", phone);
}

/// The items of an order, as people read them.
pub(super) fn items(order: &Node, list: &str, fields: [(&str, &str); 4]) -> Vec<Value> {
    let list = order.get(list).map(|list| match list.text() {
        // A list may come as a text.
        Some(text) => Node::parse(&text).unwrap_or(Node::Null),
        None => list.into_owned(),
    });
    let Some(Node::List(items)) = list else {
        return Vec::new();
    };
    let item = |item: &Node| {
        let fields = fields.iter().filter_map(|(field, paths)| {
            Some(((*field).to_owned(), Value::String(item.text_at(paths)?)))
        });
        Value::Object(fields.collect())
    };
    items.iter().map(item).collect()
}

/// The texts of all values at a path.
pub(super) fn texts(order: &Node, path: &str) -> Vec<Value> {
    let mut found = Vec::new();
    order.all(path, &mut found);
    let texts = found
        .into_iter()
        .filter_map(|node| Some(Value::String(node.text()?.into_owned())));
    texts.collect()
}

/// The exact sum of amounts, without their signs; `None` where one is no amount, so that no sum is made up.
pub(super) fn sum<'n>(amounts: impl Iterator<Item = &'n Node>) -> Option<Money> {
    let mut amounts = amounts.map(|amount| {
        let text = amount.text()?;
        Money::parse(text.trim_start_matches('-')).ok()
    });
    amounts.try_fold(Money::default(), |sum, amount| sum.checked_add(amount?))
}

/// The word of a table for an order that its shop has finished.
pub(super) const FINISHED: &str = "finished";

/// What the first of a shop's words means that the mapping or the table knows. An unknown word stays as it is, so that the order is
/// rejected and names it.
pub(super) fn status(words: &[String], table: &[(&str, &str)], around: &Around<'_>) -> String {
    let mapped = |word: &String| {
        let own = around
            .mapping
            .statuses
            .get(word)
            .map(|status| status.name());
        own.or_else(|| Some(table.iter().find(|(own, _)| own == word)?.1))
    };
    match words.iter().find_map(mapped) {
        Some(FINISHED) => around.finished().to_owned(),
        Some(status) => status.to_owned(),
        None => words.last().cloned().unwrap_or_default(),
    }
}
