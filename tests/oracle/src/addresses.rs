//! Worlds in which mail tools name an address where shops name a customer (rule 3.5).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::rng::Rng;

/// E-mail addresses, each in spellings that are the same address. Some of them differ in little.
const EMAILS: [&[&str]; 4] = [
    &[
        "ann@example.com",
        "Ann@Example.com",
        " ANN@example.com ",
        "ann@EXAMPLE.COM  ",
    ],
    &["ann@example.co", "ann@example.CO"],
    &["ann+a@example.com", " Ann+A@example.com"],
    &["jö@bücher.example", "JÖ@bücher.example "],
];
/// Phones, as above.
const PHONES: [&[&str]; 4] = [
    &[
        "+4930123456",
        "4930123456",
        "+49 (30) 123-456",
        "49.30.12.34.56",
    ],
    &["030123456", "030 123456"],
    &["123456", "+123456", "12 34 56"],
    &["+49301234567", "49 30 1234567"],
];
/// What no message went to. Of an order it rejects nothing.
const NO_PHONES: [&str; 3] = ["12345", "+1 2 3", "call me"];

/// An address: the field that names it, and its spellings.
pub(crate) type Address = (&'static str, &'static [&'static str]);

/// Which addresses there are in a world.
pub(crate) fn used(rng: &mut Rng) -> Vec<Address> {
    let mut all: Vec<Address> = Vec::new();
    all.extend(EMAILS.map(|spellings| ("email", spellings)));
    all.extend(PHONES.map(|spellings| ("phone", spellings)));
    let count = 1 + rng.below(4);
    rng.some(&all, count)
}

/// Lets about half of the messages go to these addresses, and most orders name one.
pub(crate) fn by_address(
    rng: &mut Rng,
    used: &[Address],
    events: &mut [Value],
    orders: &mut [Value],
) {
    let mut recipients: BTreeMap<String, Option<Address>> = BTreeMap::new();
    for event in events {
        let message = ["customer_id", "campaign_id", "channel", "message_id"];
        let message = message.map(|field| event[field].to_string()).join(" ");
        let drawn = rng.chance(55).then(|| *rng.pick(used));
        // Now and then an event of a message went elsewhere than the others.
        let to = match rng.chance(5) {
            true => drawn,
            false => *recipients.entry(message).or_insert(drawn),
        };
        if let Some((field, spellings)) = to {
            event[field] = json!(rng.pick(spellings));
            // Beside an e-mail address a phone says nothing, and beside a customer neither does.
            if field == "email" && rng.chance(20) {
                event["phone"] = json!(rng.pick(&NO_PHONES));
            }
            match rng.chance(10) {
                true => event["customer_id"] = Value::Null,
                false => drop(
                    event
                        .as_object_mut()
                        .and_then(|event| event.remove("customer_id")),
                ),
            }
        } else if rng.chance(20) {
            let (field, spellings) = *rng.pick(used);
            event[field] = json!(rng.pick(spellings));
        }
    }
    let mut named: BTreeMap<String, Vec<Address>> = BTreeMap::new();
    for copy in orders {
        let count = *rng.pick(&[0, 1, 1, 2, 2, 3]);
        let drawn = rng.some(used, count);
        // Of the copies of an order one in five names other addresses.
        let addresses = named.entry(copy["order_id"].to_string());
        let addresses = match rng.chance(20) {
            true => &drawn,
            false => &*addresses.or_insert(drawn.clone()),
        };
        for (field, spellings) in addresses {
            copy[field] = json!(rng.pick(spellings));
        }
        if copy["phone"].is_null() && rng.chance(10) {
            copy["phone"] = json!(rng.pick(&NO_PHONES));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::naive::Facts;
    use crate::worlds::world;

    /// A generator that never earns by an address proves nothing about addresses.
    #[test]
    fn addresses_earn_orders_often() {
        let (mut by_address, mut alone, mut with) = (0, 0, 0);
        for seed in 0..2_000 {
            let mut one = world(seed);
            let facts = Facts::read(&one);
            let ids: std::collections::BTreeSet<String> = one
                .orders
                .iter()
                .map(|order| order["order_id"].as_str().unwrap_or_default().to_owned())
                .collect();
            let credits = ids
                .iter()
                .map(|id| facts.attribution(id)["credited_to"].clone());
            let credits: Vec<_> = credits.collect();
            let events = one.events.iter();
            by_address += events
                .filter(|event| event["customer_id"].is_null())
                .count();
            with += one.events.len();
            one.events.retain(|event| !event["customer_id"].is_null());
            let facts = Facts::read(&one);
            let without = ids
                .iter()
                .map(|id| facts.attribution(id)["credited_to"].clone());
            alone += credits
                .into_iter()
                .zip(without)
                .filter(|(a, b)| a != b)
                .count();
        }
        assert!(by_address * 3 > with, "{by_address} of {with}");
        assert!(alone > 500, "{alone}");
    }
}
