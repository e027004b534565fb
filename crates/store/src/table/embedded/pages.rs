//! Reads of many items, a part at a turn.
//!
//! A page of a partition is read from SQLite here. Its rows hold their items as the answer spells them, so nothing is parsed; and a row is
//! read when the page has room for it. Dynoxide would read and parse all that a query may give before it cuts off a page, so a page of
//! a long partition would cost what all of it costs, and paging through it the square.

use std::collections::HashSet;
use std::sync::PoisonError;

use dynoxide::actions::batch_get_item::{BatchGetItemRequest, BatchGetItemResponse};
use dynoxide::actions::query::QueryRequest;
use dynoxide::types::item_size;
use dynoxide::{DynoxideError, Item};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{DEPLOYMENT, Embedded, TABLE, broken, owner, owner_of, run};
use crate::table::attributes::{PART_OF_PARTITION, PARTITION_KEY, SORT_KEY, WHOLE_PARTITION};
use crate::table::keys;

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
        let asked = serde_json::from_slice::<PartitionQuery>(body).ok();
        let Some(part) = asked.and_then(Part::of) else {
            return run(body, |q: QueryRequest| {
                let values = q.expression_attribute_values.as_ref();
                let whose = values.and_then(|values| values.get(":pk"));
                let _turn = self.turns.take(whose.map_or(DEPLOYMENT, owner_of));
                self.database.query(q)
            });
        };
        let owner = keys::marketplace_of(&part.pk).unwrap_or(DEPLOYMENT);
        let mut page = Page::default();
        let end = loop {
            let _turn = self.turns.take(owner);
            match self.read_on(&part, &mut page)? {
                TurnEnd::OutOfTurn => {}
                end => break end,
            }
        };
        let Page { items, count, .. } = page;
        let next = match (end, page.last.strip_prefix(KEY_IS_TEXT)) {
            (TurnEnd::PageIsFull, Some(sk)) => {
                let key = json!({ PARTITION_KEY: { "S": part.pk }, SORT_KEY: { "S": sk } });
                format!(",\"LastEvaluatedKey\":{key}")
            }
            _ => String::new(),
        };
        Ok(format!(
            "{{\"Items\":[{items}],\"Count\":{count},\"ScannedCount\":{count}{next}}}"
        ))
    }

    /// Reads on where a page ends, as much as a turn may.
    fn read_on(&self, part: &Part, page: &mut Page) -> rusqlite::Result<TurnEnd> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = match &*reader {
            Some(reader) => reader,
            None => reader.insert(Connection::open(&self.name)?),
        };
        let mut statement = reader.prepare_cached(&part.sql())?;
        let after = Some(&page.last).filter(|last| !last.is_empty());
        let after = after.or(part.after.as_ref()).cloned();
        // The rows before this one were read, and need not be looked at again.
        let (from, to) = match &after {
            Some(after) if part.backwards => (&part.from, after),
            Some(after) => (after, &part.to),
            None => (&part.from, &part.to),
        };
        let mut rows = statement.query((&part.pk_is_text(), from, to, &after))?;
        let until = page.bytes + TURN_BYTES;
        loop {
            if part.limit == Some(page.count) {
                return Ok(TurnEnd::PageIsFull);
            }
            if page.bytes >= until {
                return Ok(TurnEnd::OutOfTurn);
            }
            let Some(row) = rows.next()? else {
                return Ok(TurnEnd::NothingIsLeft);
            };
            let bytes: usize = row.get(2)?;
            if page.bytes + bytes > PAGE_BYTES_MAX && page.count > 0 {
                return Ok(TurnEnd::PageIsFull);
            }
            page.add(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?, bytes);
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

/// A query of a partition, as the store asks it. Of every other one dynoxide knows what is to be said.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PartitionQuery {
    table_name: String,
    key_condition_expression: String,
    expression_attribute_values: Values,
    #[serde(default)]
    exclusive_start_key: Option<StartKey>,
    #[serde(default)]
    scan_index_forward: Option<bool>,
    #[serde(default)]
    limit: Option<usize>,
    /// Everything that is written is seen at once.
    #[serde(default, rename = "ConsistentRead")]
    _consistent_read: Option<bool>,
    /// Nobody is billed.
    #[serde(default, rename = "ReturnConsumedCapacity")]
    _return_consumed_capacity: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    #[serde(rename = ":pk")]
    pk: Text,
    #[serde(default, rename = ":a")]
    from: Option<Text>,
    #[serde(default, rename = ":b")]
    to: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartKey {
    pk: Text,
    sk: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(rename = "S")]
    text: String,
}

/// What a key that is a text begins with in SQLite. The one who follows on it in the alphabet sorts after all such keys.
const KEY_IS_TEXT: &str = "S:";
const BEHIND_TEXTS: &str = "S;";

/// A part of a partition. Its sort keys are as SQLite has them.
struct Part {
    pk: String,
    from: String,
    to: String,
    after: Option<String>,
    backwards: bool,
    limit: Option<usize>,
}

impl Part {
    /// `None` where the query is none of a partition, or is to be refused.
    fn of(asked: PartitionQuery) -> Option<Self> {
        let key = |text: &str| format!("{KEY_IS_TEXT}{text}");
        let PartitionQuery {
            expression_attribute_values: Values { pk, from, to },
            ..
        } = asked;
        let (from, to) = match (asked.key_condition_expression.as_str(), from, to) {
            (WHOLE_PARTITION, None, None) => (key(""), BEHIND_TEXTS.to_owned()),
            (PART_OF_PARTITION, Some(from), Some(to)) => (key(&from.text), key(&to.text)),
            _ => return None,
        };
        let after = match asked.exclusive_start_key {
            Some(start) if start.pk.text != pk.text => return None,
            start => start.map(|start| key(&start.sk.text)),
        };
        let is_within = |after: &String| (&from..=&to).contains(&after);
        let is_good = asked.table_name == TABLE
            && asked.limit != Some(0)
            && !pk.text.is_empty()
            && from <= to
            && after.as_ref().is_none_or(is_within);
        is_good.then_some(Self {
            pk: pk.text,
            from,
            to,
            after,
            backwards: asked.scan_index_forward == Some(false),
            limit: asked.limit,
        })
    }

    fn pk_is_text(&self) -> String {
        format!("{KEY_IS_TEXT}{}", self.pk)
    }

    /// The statement. Its parameters are a partition, the first and the last sort key, and one that is left out.
    fn sql(&self) -> String {
        let order = if self.backwards { "DESC" } else { "ASC" };
        format!(
            "SELECT sk, item_json, item_size FROM \"{TABLE}\" \
             WHERE pk = ?1 AND sk BETWEEN ?2 AND ?3 AND sk IS NOT ?4 ORDER BY sk {order}"
        )
    }
}

/// How a turn of reading ended.
enum TurnEnd {
    OutOfTurn,
    PageIsFull,
    NothingIsLeft,
}

/// The items of a page, as JSON.
#[derive(Default)]
struct Page {
    items: String,
    count: usize,
    bytes: usize,
    /// The last sort key, as SQLite has it.
    last: String,
}

impl Page {
    fn add(&mut self, sort_key: &str, item: &str, bytes: usize) {
        if self.count > 0 {
            self.items.push(',');
        }
        self.items.push_str(item);
        sort_key.clone_into(&mut self.last);
        self.count += 1;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::client::{Range, Reading, Store};
    use crate::table::embedded::client;
    use crate::table::embedded::tests::{change, put};
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

    /// What is read from SQLite is what dynoxide answers. The columns: what is asked beside the partition, and how many items come;
    /// `None` where it is refused.
    #[tokio::test]
    async fn a_page_is_what_dynoxide_answers() {
        let embedded = Embedded::memory().unwrap();
        let store = Store::new(client(embedded.clone()), TABLE);
        store.create_table().await.unwrap();
        for sk in ["a", "b", "b/1", "ü\"\\", "～", "🙂"] {
            put(&embedded, sk);
        }
        let start = |pk: &str, sk: &str| json!({ "pk": { "S": pk }, "sk": { "S": sk } });
        let between = |from: &str, to: &str| {
            let values = json!({ ":pk": { "S": "p" }, ":a": { "S": from }, ":b": { "S": to } });
            json!({ "KeyConditionExpression": PART_OF_PARTITION, "ExpressionAttributeValues": values })
        };
        let with = |mut asked: Value, more: Value| {
            let more = more.as_object().unwrap().clone();
            asked.as_object_mut().unwrap().extend(more);
            asked
        };
        let back = json!({ "ScanIndexForward": false });
        for (asked, comes) in [
            (json!({}), Some(6)),
            (
                json!({ "ConsistentRead": true, "ScanIndexForward": true }),
                Some(6),
            ),
            (back.clone(), Some(6)),
            (json!({ "Limit": 6 }), Some(6)),
            (json!({ "Limit": 7 }), Some(6)),
            (json!({ "Limit": 2 }), Some(2)),
            (json!({ "Limit": 4 }), Some(4)),
            (with(back.clone(), json!({ "Limit": 2 })), Some(2)),
            (json!({ "ExclusiveStartKey": start("p", "b") }), Some(4)),
            (json!({ "ExclusiveStartKey": start("p", "bb") }), Some(3)),
            (json!({ "ExclusiveStartKey": start("p", "🙂") }), Some(0)),
            (
                with(
                    back.clone(),
                    json!({ "ExclusiveStartKey": start("p", "b") }),
                ),
                Some(1),
            ),
            (json!({ "ExclusiveStartKey": start("q", "b") }), None),
            (between("b", "b0"), Some(2)),
            (between("b", "b"), Some(1)),
            (between("c", "b"), None),
            (with(between("a", "～"), back), Some(5)),
            (
                with(
                    between("a", "～"),
                    json!({ "ExclusiveStartKey": start("p", "a") }),
                ),
                Some(4),
            ),
            (
                with(
                    between("b", "～"),
                    json!({ "ExclusiveStartKey": start("p", "a") }),
                ),
                None,
            ),
            (json!({ "Limit": 0 }), None),
            (json!({ "TableName": "another" }), None),
            (json!({ "FilterExpression": "sk = :pk" }), None),
            (json!({ "ProjectionExpression": "n" }), Some(6)),
        ] {
            let query = json!({
                "TableName": TABLE, "KeyConditionExpression": WHOLE_PARTITION,
                "ExpressionAttributeValues": { ":pk": { "S": "p" } },
            });
            let asked = with(query, asked).to_string();
            let answer = |answer: Result<String, DynoxideError>| {
                let told = answer.map_err(|error| error.to_json());
                told.map(|told| serde_json::from_str::<Value>(&told).unwrap())
            };
            let read = answer(embedded.query(asked.as_bytes()));
            let dynoxide = answer(run(asked.as_bytes(), |q| embedded.database.query(q)));
            assert_eq!(read, dynoxide, "{asked}");
            let count = read.ok().and_then(|read| read["Count"].as_u64());
            assert_eq!(count, comes, "{asked}");
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
