//! The sweep: items whose time is over are deleted, a page at a turn, found through an index of their times.

use std::time::Duration;

use revtrail_core::value::time::Instant;
use rusqlite::{Connection, TransactionBehavior};

use super::{Embedded, TABLE, off_thread};
use crate::table::attributes::TTL_ATTRIBUTE;
use crate::table::fault::StoreError;

/// The most items that a page deletes.
const PAGE_ITEMS_MAX: usize = 100;
/// The most bytes that a page deletes, unless one item alone has more.
const PAGE_BYTES_MAX: i64 = 1024 * 1024;
/// From one page to the next. A report makes dozens of calls, one after the other, and each of them would meet a page.
const PAUSE: Duration = Duration::from_millis(25);

/// Whose turn it is when the sweep works. No marketplace has this name.
const SWEEP: &str = "/sweep";

/// What a page of the sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Swept {
    items: usize,
    bytes: i64,
    more: bool,
}

/// The time of an item, as dynoxide keeps it in SQLite. The index and the statement that uses it must spell it alike.
fn time() -> String {
    format!("CAST(json_extract(item_json, '$.{TTL_ATTRIBUTE}.N') AS INTEGER)")
}

/// Items that expire first come first, by their times.
fn expired() -> String {
    let time = time();
    format!(
        "SELECT rowid, octet_length(item_json) FROM \"{TABLE}\" WHERE {time} IS NOT NULL AND {time} <= ?1 ORDER BY {time} LIMIT ?2"
    )
}

fn sqlite(error: rusqlite::Error) -> StoreError {
    StoreError::Refused {
        op: "the sweep of the embedded database",
        source: Box::new(error),
    }
}

impl Embedded {
    /// Deletes the items whose time is over at `now`, as DynamoDB does by itself by its own clock; gives the number of deleted
    /// items. Between two pages, all calls that wait have their turn.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if SQLite fails; what was deleted before stays deleted, and the next sweep goes on.
    pub async fn sweep(&self, now: Instant) -> Result<usize, StoreError> {
        let mut items = 0;
        loop {
            let embedded = self.clone();
            let page = off_thread(move || embedded.sweep_page(now)).await;
            let page = page.map_err(|error| StoreError::Refused {
                op: "the sweep of the embedded database",
                source: error.into(),
            })??;
            items += page.items;
            if !page.more {
                return Ok(items);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn sweep_page(&self, now: Instant) -> Result<Swept, StoreError> {
        let _turn = self.turns.take(SWEEP);
        self.delete_expired(now).map_err(sqlite)
    }

    fn delete_expired(&self, now: Instant) -> rusqlite::Result<Swept> {
        let mut database = Connection::open(&self.name)?;
        // Nobody waits for the disk: what a crash brings back is swept again.
        database.pragma_update(None, "synchronous", "NORMAL")?;
        index(&database)?;
        let page = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut swept = Swept {
            items: 0,
            bytes: 0,
            more: false,
        };
        {
            let mut find = page.prepare(&expired())?;
            let limit = i64::try_from(PAGE_ITEMS_MAX).unwrap_or(i64::MAX);
            let found = find.query_map((now.ms().div_euclid(1000), limit), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            let found: Vec<(i64, i64)> = found.collect::<Result<_, _>>()?;
            let mut delete = page.prepare(&format!("DELETE FROM \"{TABLE}\" WHERE rowid = ?1"))?;
            for (row, bytes) in &found {
                if swept.items > 0 && swept.bytes + bytes > PAGE_BYTES_MAX {
                    break;
                }
                delete.execute([row])?;
                swept.items += 1;
                swept.bytes += bytes;
            }
            swept.more = swept.items < found.len() || found.len() == PAGE_ITEMS_MAX;
        }
        page.commit()?;
        Ok(swept)
    }

    /// Makes the index of times in a table that is new.
    pub(super) fn index_times(&self) -> rusqlite::Result<()> {
        index(&Connection::open(&self.name)?)
    }
}

/// Makes the index of times where there is none. In a database of an earlier version that reads the whole table once, so it is not
/// done before the first sweep.
fn index(database: &Connection) -> rusqlite::Result<()> {
    let time = time();
    database.execute_batch(&format!(
        "CREATE INDEX IF NOT EXISTS \"{TABLE} by time\" ON \"{TABLE}\" ({time}) WHERE {time} IS NOT NULL"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::embedded::run;
    use crate::table::embedded::tests::{change, rows};
    use serde_json::json;

    fn now() -> Instant {
        Instant::from_ms(1_000_000)
    }

    /// Items of so many bytes that expire in this second; `None` for those that never do.
    fn put(embedded: &Embedded, count: usize, bytes: usize, expires_at: Option<i64>) {
        for _ in 0..count {
            let name = format!("{:05}", left(embedded));
            let mut item =
                json!({ "pk": { "S": "p" }, "sk": { "S": name }, "d": { "S": "x".repeat(bytes) } });
            if let Some(second) = expires_at {
                item[TTL_ATTRIBUTE] = json!({ "N": second.to_string() });
            }
            let put = json!({ "TableName": TABLE, "Item": item }).to_string();
            run(put.as_bytes(), |q| embedded.database.put_item(q)).unwrap();
        }
    }

    fn left(embedded: &Embedded) -> usize {
        let count = "SELECT CAST(COUNT(*) AS TEXT), '' FROM revtrail";
        rows(embedded, count)[0].0.parse().unwrap()
    }

    fn plan(embedded: &Embedded) -> String {
        let database = Connection::open(&embedded.name).unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {}", expired());
        let mut steps = database.prepare(&sql).unwrap();
        let steps = steps.query_map((0, 0), |row| row.get::<_, String>(3));
        let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
        steps.join("; ")
    }

    async fn empty() -> Embedded {
        let embedded = Embedded::memory().unwrap();
        crate::table::embedded::store(embedded.clone())
            .await
            .unwrap();
        embedded
    }

    /// Items as (how many, bytes each, the second in which they expire; now is 1000), the pages of a sweep, and what it leaves.
    #[tokio::test]
    async fn a_page_deletes_few_items_and_few_bytes() {
        for (name, items, pages, leaves) in [
            ("nothing", &[][..], &[0][..], 0),
            ("what never expires", &[(300, 10, None)], &[0], 300),
            (
                "this second, not the next",
                &[(1, 10, Some(1_000)), (1, 10, Some(1_001))],
                &[1],
                1,
            ),
            ("long ago", &[(1, 10, Some(0)), (1, 10, Some(-5))], &[2], 0),
            (
                "many",
                &[(250, 10, Some(7)), (50, 10, None)],
                &[100, 100, 50],
                50,
            ),
            ("full pages", &[(200, 10, Some(7))], &[100, 100, 0], 0),
            ("large ones", &[(8, 300_000, Some(7))], &[3, 3, 2], 0),
            (
                "few of many",
                &[(300, 10, Some(9_999)), (2, 10, Some(7))],
                &[2],
                300,
            ),
        ] {
            let embedded = empty().await;
            for (count, bytes, expires_at) in items {
                put(&embedded, *count, *bytes, *expires_at);
            }
            let mut swept = Vec::new();
            loop {
                let page = embedded.sweep_page(now()).unwrap();
                assert!(page.bytes <= PAGE_BYTES_MAX, "{name}: {page:?}");
                swept.push(page.items);
                if !page.more {
                    break;
                }
            }
            assert_eq!(swept, pages, "{name}");
            assert_eq!(left(&embedded), leaves, "{name}");
            assert_eq!(embedded.sweep(now()).await.unwrap(), 0, "{name}");
        }
    }

    /// A sweep finds what expired through the index, however much else there is: in a new table, and in one from before the index.
    #[tokio::test]
    async fn a_sweep_reads_only_what_expired() {
        let embedded = empty().await;
        put(&embedded, 3, 10, Some(7));
        let indexed = format!("USING INDEX {TABLE} by time");
        for before in ["", "DROP INDEX \"revtrail by time\""] {
            change(&embedded, before);
            assert_eq!(plan(&embedded).contains(&indexed), before.is_empty());
            embedded.sweep_page(Instant::from_ms(0)).unwrap();
            let plan = plan(&embedded);
            assert!(
                plan.starts_with("SEARCH") && plan.contains(&indexed),
                "{plan}"
            );
            // Neither sorted nor read to the end.
            assert!(!plan.contains(';'), "{plan}");
        }
        assert_eq!(embedded.sweep(now()).await.unwrap(), 3);
    }

    /// An item that is written anew has its new time.
    #[tokio::test]
    async fn a_new_time_takes_the_place_of_the_old_one() {
        let embedded = empty().await;
        let write = |expires_at: i64| {
            let item = json!({ "pk": { "S": "p" }, "sk": { "S": "a" }, TTL_ATTRIBUTE: { "N": expires_at.to_string() } });
            let put = json!({ "TableName": TABLE, "Item": item }).to_string();
            run(put.as_bytes(), |q| embedded.database.put_item(q)).unwrap();
        };
        write(7);
        write(2_000);
        assert_eq!(embedded.sweep(now()).await.unwrap(), 0);
        write(7);
        assert_eq!(embedded.sweep(now()).await.unwrap(), 1);
    }
}
