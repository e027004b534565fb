//! What the shops among the senders share: whose an order is, what its status means, and sums of refunds.

use std::borrow::Cow;

use revtrail_core::value::address::{normalised_email, normalised_phone};
use revtrail_core::value::money::Money;

use crate::node::Node;
use crate::row::Around;

/// A record in the making, as JSON. A field without a value is left out.
#[derive(Default)]
pub(super) struct Draft {
    json: Vec<u8>,
    fields: Vec<&'static str>,
}

impl Draft {
    pub(super) fn put(&mut self, field: &'static str, value: impl Into<Option<String>>) {
        if let Some(text) = value.into() {
            self.begin(field);
            write_text(&mut self.json, &text);
        }
    }

    /// Puts the texts of all values at a path.
    pub(super) fn put_texts(&mut self, field: &'static str, order: &Node, path: &str) {
        let mut found = Vec::new();
        order.all(path, &mut found);
        let texts: Vec<_> = found.into_iter().filter_map(Node::text).collect();
        if !texts.is_empty() {
            self.begin(field);
            write_all(&mut self.json, b"[]", texts, |json, text| {
                write_text(json, &text)
            });
        }
    }

    /// Puts the items of an order, as people read them: each field of an item is at the first of its paths that has a text.
    pub(super) fn put_items(&mut self, order: &Node, list: &str, fields: [(&str, &str); 4]) {
        let Some(mut list) = order.get(list) else {
            return;
        };
        // A list may come as a text.
        if let Node::Text(text) = &*list {
            list = Cow::Owned(Node::parse(text).unwrap_or(Node::Null));
        }
        let Node::List(items) = &*list else {
            return;
        };
        if items.is_empty() {
            return;
        }
        self.begin("items");
        write_all(&mut self.json, b"[]", items, |json, item| {
            let fields = fields.iter();
            let told = fields.filter_map(|(field, paths)| Some((field, item.text_at(paths)?)));
            write_all(json, b"{}", told, |json, (field, text)| {
                write_text(json, field);
                json.push(b':');
                write_text(json, &text);
            });
        });
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.contains(&field)
    }

    pub(super) fn text(mut self) -> String {
        if self.fields.is_empty() {
            self.json.push(b'{');
        }
        self.json.push(b'}');
        String::from_utf8(self.json).unwrap_or_default()
    }

    fn begin(&mut self, field: &'static str) {
        self.json
            .push(if self.fields.is_empty() { b'{' } else { b',' });
        self.fields.push(field);
        write_text(&mut self.json, field);
        self.json.push(b':');
    }
}

fn write_text(json: &mut Vec<u8>, text: &str) {
    // Memory takes whatever is written.
    drop(serde_json::to_writer(json, text));
}

/// Writes entries between two brackets.
fn write_all<T>(
    json: &mut Vec<u8>,
    [opens, closes]: &[u8; 2],
    entries: impl IntoIterator<Item = T>,
    write: impl Fn(&mut Vec<u8>, T),
) {
    json.push(*opens);
    for (n, entry) in entries.into_iter().enumerate() {
        if n > 0 {
            json.push(b',');
        }
        write(json, entry);
    }
    json.push(*closes);
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
