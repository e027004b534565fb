//! Reads of many items, a few at a turn. Dynoxide reads and parses all that a query may give before it cuts off a page, so a page
//! of a long partition would cost what all of it costs, and paging through it the square.

use std::collections::HashSet;

use dynoxide::actions::batch_get_item::{BatchGetItemRequest, BatchGetItemResponse};
use dynoxide::actions::query::{QueryRequest, QueryResponse};
use dynoxide::types::item_size;
use dynoxide::{DynoxideError, Item};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{DEPLOYMENT, Embedded, TABLE, broken, owner, owner_of, run};

/// The largest page of a query, as DynamoDB has it.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// The largest answer of a batch, as DynamoDB has it.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most keys of a batch, as DynamoDB has it.
const BATCH_KEYS_MAX: usize = 100;
/// About what a turn may read: some milliseconds of work.
const TURN_BYTES: usize = 256 * 1024;
/// How many items are read while nothing is known of their size: of the largest items, these are 6 MB.
const FIRST_ITEMS: usize = 16;
/// The most items of a turn. If items suddenly become the largest there are, these are 50 MB.
const TURN_ITEMS_MAX: usize = 128;

/// What shapes the items of a query. Their size in the table is not known from what is given then, so such a query is answered a
/// turn at a time: a page may be shorter than it must be.
const SHAPES: [&str; 4] = [
    "FilterExpression",
    "ProjectionExpression",
    "Select",
    "IndexName",
];

/// How many items the next turn reads, by the size of those before.
#[derive(Debug)]
struct Pace(usize);

impl Pace {
    const FIRST: Self = Self(FIRST_ITEMS);

    fn next(&mut self, items: usize, bytes: usize) {
        let fit = TURN_BYTES * items.max(1) / bytes.max(1);
        self.0 = fit.clamp(1, TURN_ITEMS_MAX).min(self.0 * 4);
    }
}

impl Embedded {
    pub(super) fn query(&self, body: &[u8]) -> Result<String, DynoxideError> {
        let mut asked: Value = serde_json::from_slice(body).map_err(broken)?;
        let QueryRequest {
            limit,
            expression_attribute_values: values,
            ..
        } = QueryRequest::deserialize(&asked).map_err(broken)?;
        let whose = values.as_ref().and_then(|values| values.get(":pk"));
        let whose = whose.map_or(DEPLOYMENT, owner_of);
        let shaped = SHAPES.iter().any(|name| asked.get(name).is_some());
        let (mut page, mut bytes, mut pace) = (QueryResponse::default(), 0, Pace::FIRST);
        page.items = Some(Vec::new());
        loop {
            let left = limit.map_or(usize::MAX, |limit| limit - page.scanned_count);
            let most = pace.0.min(left);
            asked["Limit"] = json!(most);
            let request = QueryRequest::deserialize(&asked).map_err(broken)?;
            let part = {
                let _turn = self.turns.take(whose);
                self.database.query(request)?
            };
            if shaped {
                return serde_json::to_string(&part).map_err(broken);
            }
            let (held, before) = (page.count, bytes);
            let full = append(&mut page, &mut bytes, part, most);
            pace.next(page.count - held, bytes - before);
            match &page.last_evaluated_key {
                Some(after) if !full && limit != Some(page.scanned_count) => {
                    asked["ExclusiveStartKey"] = serde_json::to_value(after).map_err(broken)?;
                }
                _ => return serde_json::to_string(&page).map_err(broken),
            }
        }
    }

    pub(super) fn batch_get(&self, body: &[u8]) -> Result<String, DynoxideError> {
        let mut asked: Value = serde_json::from_slice(body).map_err(broken)?;
        let keys = asked["RequestItems"][TABLE]["Keys"].as_array().cloned();
        let mut keys = keys.unwrap_or_default();
        // Dynoxide refuses what it sees as one request.
        let distinct: HashSet<String> = keys.iter().map(Value::to_string).collect();
        if keys.is_empty() || keys.len() > BATCH_KEYS_MAX || distinct.len() < keys.len() {
            return run(body, |q: BatchGetItemRequest| {
                let _turn = self.turns.take(reader(&q));
                self.database.batch_get_item(q)
            });
        }
        let (mut items, mut bytes, mut pace) = (Vec::<Item>::new(), 0, Pace::FIRST);
        while !keys.is_empty() && bytes < BATCH_BYTES_MAX {
            let some = keys.drain(..pace.0.min(keys.len())).collect::<Vec<_>>();
            let read = some.len();
            asked["RequestItems"][TABLE]["Keys"] = Value::Array(some);
            let request = Deserialize::deserialize(&asked).map_err(broken)?;
            let mut part: BatchGetItemResponse = {
                let _turn = self.turns.take(reader(&request));
                self.database.batch_get_item(request)?
            };
            if let Some(Value::Array(rest)) = part
                .unprocessed_keys
                .get_mut(TABLE)
                .map(|rest| rest["Keys"].take())
            {
                keys.extend(rest);
            }
            let part = part.responses.into_values().flatten();
            let before = bytes;
            items.extend(part.inspect(|item| bytes += item_size(item)));
            pace.next(read, bytes - before);
        }
        let mut answer = BatchGetItemResponse::default();
        answer.responses.insert(TABLE.to_owned(), items);
        if !keys.is_empty() {
            asked["RequestItems"][TABLE]["Keys"] = Value::Array(keys);
            let rest = asked["RequestItems"][TABLE].take();
            answer.unprocessed_keys.insert(TABLE.to_owned(), rest);
        }
        serde_json::to_string(&answer).map_err(broken)
    }
}

/// Whose turn it is for a batch of keys: they are all of one marketplace, or of none.
fn reader(request: &BatchGetItemRequest) -> &str {
    let asked = request.request_items.get(TABLE);
    asked
        .and_then(|asked| asked.keys.first())
        .map_or(DEPLOYMENT, owner)
}

/// Appends what a turn read to a page; true if the page is full. A page holds one item at least.
fn append(page: &mut QueryResponse, bytes: &mut usize, part: QueryResponse, most: usize) -> bool {
    let items = page.items.get_or_insert_default();
    let read = part.items.unwrap_or_default();
    // Dynoxide cut off what alone is more than a page. The item after that does not fit behind anything else either.
    let mut full = read.len() < most && part.last_evaluated_key.is_some();
    for item in read {
        let size = item_size(&item);
        if *bytes + size > PAGE_BYTES_MAX && !items.is_empty() {
            full = true;
            break;
        }
        *bytes += size;
        items.push(item);
    }
    page.last_evaluated_key = match items.last() {
        Some(last) if full => {
            let key = |name: &str| Some((name.to_owned(), last.get(name)?.clone()));
            Some(["pk", "sk"].iter().filter_map(|name| key(name)).collect())
        }
        _ => part.last_evaluated_key,
    };
    (page.count, page.scanned_count) = (items.len(), items.len());
    full
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::client::{Range, Reading, Store};
    use crate::table::embedded::client;
    use crate::table::embedded::tests::change;
    use crate::table::item::text;
    use crate::table::keys::Key;

    /// A table whose partition `p` holds items of so many bytes, named by their places; those of `unread` cannot be read.
    async fn partition(sizes: &[(usize, usize)], unread: std::ops::Range<usize>) -> Store {
        let embedded = Embedded::memory().unwrap();
        let store = Store::new(client(embedded.clone()), TABLE);
        store.create_table().await.unwrap();
        let sizes = sizes
            .iter()
            .flat_map(|(count, bytes)| std::iter::repeat_n(bytes, *count));
        for (place, bytes) in sizes.enumerate() {
            let item = json!({
                "pk": { "S": "p" }, "sk": { "S": format!("{place:05}") }, "d": { "S": "x".repeat(bytes - 11) },
            });
            let put = json!({ "TableName": TABLE, "Item": item }).to_string();
            run(put.as_bytes(), |q| embedded.database.put_item(q)).unwrap();
        }
        // Dynoxide fails when it meets one of these.
        let broken = format!(
            "UPDATE revtrail SET item_json = x'00' WHERE substr(sk, -5) >= '{:05}' AND substr(sk, -5) < '{:05}'",
            unread.start, unread.end
        );
        change(&embedded, &broken);
        store
    }

    /// What a page may be, and how far it must not read: the items of a partition as (how many, bytes each), the limit, the items
    /// that come, and those that are not touched. A negative limit begins at the end.
    #[tokio::test]
    async fn a_page_reads_little_more_than_it_holds() {
        for (name, sizes, limit, comes, unread) in [
            ("small", &[(6_000, 256)][..], None, 4_096, 4_224..6_000),
            ("large", &[(40, 300_000)], None, 3, 16..40),
            ("limit", &[(300, 256)], Some(200), 200, 200..300),
            ("backwards", &[(300, 256)], Some(-200), 200, 0..100),
            ("page before limit", &[(40, 300_000)], Some(20), 3, 16..40),
            ("one", &[(40, 300_000)], Some(1), 1, 1..40),
            // Each is larger than what a turn may read.
            (
                "small, then large",
                &[(200, 256), (150, 390_000)],
                None,
                202,
                208..350,
            ),
        ] {
            let store = partition(sizes, unread).await;
            let reading = Reading {
                strong: true,
                newest_first: limit.is_some_and(|limit| limit < 0),
            };
            let page = store.page("p", &Range::All, reading, None, limit.map(i32::abs));
            let (items, next) = page.await.expect(name);
            assert_eq!(items.len(), comes, "{name}");
            assert_eq!(
                next.as_deref(),
                items.last().map(|last| text(last, "sk")),
                "{name}"
            );
        }
    }

    /// All pages together hold every item once, whatever sizes follow each other.
    #[tokio::test]
    async fn pages_leave_nothing_out() {
        for sizes in [
            &[(16, 256)][..],
            &[(17, 256)],
            &[(144, 256)],
            &[(3, 256), (9, 390_000), (200, 256)],
            &[(5_000, 256)],
            &[(4_096, 256)],
        ] {
            let store = partition(sizes, 0..0).await;
            let items = store
                .query("p", &Range::All, Reading::STRONG)
                .await
                .unwrap();
            let count: usize = sizes.iter().map(|(count, _)| count).sum();
            let expected: Vec<String> = (0..count).map(|place| format!("{place:05}")).collect();
            let read: Vec<&str> = items.iter().map(|item| text(item, "sk")).collect();
            assert_eq!(read, expected, "{sizes:?}");
        }
    }

    /// An answer that became larger than one may be names the keys that it left, also those of its last turn.
    #[tokio::test]
    async fn a_batch_leaves_nothing_out() {
        let store = partition(&[(16, 256), (80, 390_000)], 0..0).await;
        let key = |place: usize| Key {
            pk: "p".to_owned(),
            sk: format!("{place:05}"),
        };
        let keys: Vec<Key> = (0..100).map(key).collect();
        let items = store.get_all(&keys, true).await.unwrap();
        let mut read: Vec<&str> = items.iter().map(|item| text(item, "sk")).collect();
        read.sort_unstable();
        let expected: Vec<String> = (0..96).map(|place| key(place).sk).collect();
        assert_eq!(read, expected);
    }

    /// What was read before, and how many items the next turn reads.
    #[test]
    fn a_turn_reads_what_fits() {
        for (name, before, next) in [
            ("nothing is known", &[][..], 16),
            ("nothing was there", &[(16, 0)], 64),
            ("small ones", &[(16, 16 * 200)], 64),
            ("many small ones", &[(16, 3_200), (64, 12_800)], 128),
            ("those that fit", &[(16, 16 * 16_384)], 16),
            ("large ones", &[(16, 16 * 131_072)], 2),
            ("the largest", &[(16, 16 * 400_000)], 1),
            ("small after large ones", &[(16, 16 * 400_000), (1, 200)], 4),
        ] {
            let mut pace = Pace::FIRST;
            before
                .iter()
                .for_each(|(items, bytes)| pace.next(*items, *bytes));
            assert_eq!(pace.0, next, "{name}");
        }
    }
}
