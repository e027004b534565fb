//! What the store expects of a table, as one list of cases. Tests play the list on the embedded database and on Amazon's own
//! DynamoDB Local. Where the two differ, a test on the embedded database proves nothing.

#![allow(clippy::unwrap_used, reason = "tests")]

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::value::time::Instant;

use crate::table::client::{PutOutcome, Range, Reading, Store};
use crate::table::condition::Condition;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, number, text};
use crate::table::keys::Key;
use crate::table::write::{Transacted, Write};

/// The case, what is done, and what comes of it. Each case has a partition of its own, and its items have the names used in the
/// program. An item is created with `d` = its name and `v` = 1.
const CASES: &[(&str, &str)] = &[
    (
        "put where nothing stands",
        "put a absent -> done; put a absent -> refused a; put b -> done; put b -> done over b",
    ),
    (
        "put under a version",
        "put a v0 -> done; put a v0 -> refused a; put a v1 -> done over a; put a v2 -> refused a; put b v1 -> refused",
    ),
    (
        "put where something stands",
        "put a present -> refused; put a -> done; put a present -> done over a",
    ),
    (
        "put where an attribute lacks",
        "put a -> done; put a without-v -> refused a; put a without-x -> done over a",
    ),
    (
        "put over what is less",
        "put a less-a -> done; put a less-b -> done over a; put a less-a -> refused a; put a less-Z -> refused a",
    ),
    (
        "updates make and add",
        "add a 1 -> done; see a -> v=1; add a 41 -> done; see a -> v=42; add a -0.5 -> done; see a -> v=41.5",
    ),
    (
        "updates under a condition",
        "add a 1 present -> refused; see a -> nothing; put a -> done; add a 1 v1 -> done; add a 1 v1 -> refused; see a -> v=2",
    ),
    (
        "deletes",
        "delete a -> done; put a -> done; delete a -> done; see a -> nothing",
    ),
    (
        "sums are exact",
        "add a 0.1 -> done; add a 0.2 -> done; see a -> v=0.3; add a 999999999999999.000001 -> done; see a -> v=999999999999999.300001",
    ),
    (
        "strong and eventual reads",
        "see a -> nothing; put a -> done; see a -> v=1",
    ),
    (
        "a transaction does all",
        "all put:a put:b add:c -> done; list -> a b c; all del:a check:b -> done; list -> b c",
    ),
    (
        "or nothing, and says who is at fault",
        "put b -> done; all put:a put:b!absent put:c -> cancelled . C .; list -> b",
    ),
    (
        "two at fault",
        "all check:a put:b del:c!present -> cancelled C . C; list -> ",
    ),
    (
        "a check is none on what passes",
        "put a -> done; all check:a put:b -> done; list -> a b",
    ),
    ("a delete of nothing is done", "all del:a -> done; list -> "),
    (
        "the same item twice in a transaction",
        "all put:a del:a -> refused; list -> ",
    ),
    (
        "a hundred items in a transaction",
        "all many:100 -> done; count -> 100",
    ),
    ("and not one more", "all many:101 -> refused; count -> 0"),
    (
        "four megabytes in a transaction",
        "all large:11 -> done; count -> 11; all large:15 -> refused",
    ),
    (
        "an item has 400 KB",
        "big a 390 -> done; big b 410 -> refused; list -> a",
    ),
    (
        "pages of a megabyte",
        "big a 300 -> done; big b 300 -> done; big c 300 -> done; big d 300 -> done; big e 300 -> done; pages -> several; list -> a b c d e",
    ),
    (
        "pages with a limit",
        "put a -> done; put b -> done; put c -> done; page 2 -> a b; page 2 b -> c; page 2 c -> ; page -2 -> c b; page -2 b -> a",
    ),
    (
        "all pages with a limit",
        "all many:100 -> done; paged 40 -> 40 40 20; paged 20 -> 20 20 20 20 20 0; paged -33 -> 33 33 33 1; paged 100 -> 100 0; paged 101 -> 100",
    ),
    (
        "pages of large items with a limit",
        "fill 5 -> done; paged 2 -> 2 2 1; paged -3 -> 3 2; count -> 5",
    ),
    (
        "a range holds both its ends",
        "put a -> done; put b -> done; put c -> done; between a b -> a b; between aa z -> b c; between x z -> ",
    ),
    (
        "keys sort by their bytes",
        "put Z -> done; put a -> done; put é -> done; put a# -> done; put a%2F -> done; put a/ -> done; put 🙂 -> done; put ～ -> done; list -> Z a a# a%2F a/ é ～ 🙂",
    ),
    ("many keys at once", "all many:100 -> done; get 250 -> 100"),
    ("more than an answer holds", "fill 60 -> done; get 60 -> 60"),
    (
        "a key that is asked for twice",
        "put a -> done; twice a -> refused",
    ),
    (
        "values that are packed",
        "pack a 100 -> 100; pack a 200000 -> 200000",
    ),
];

/// Plays all cases on a store whose table exists; gives the number of cases.
///
/// # Panics
/// A case has another outcome than expected.
pub async fn play(store: &Store) -> usize {
    for (place, (name, case)) in CASES.iter().enumerate() {
        let place = Place {
            store,
            pk: format!("case/{place}"),
        };
        for step in case.split(';') {
            let (step, expected) = step.split_once("->").unwrap();
            let got = place.step(step.trim()).await;
            assert_eq!(got, expected.trim(), "{name}: {step}");
        }
    }
    // The table exists, and creating it again changes nothing.
    store.create_table().await.unwrap();
    CASES.len()
}

/// The partition of one case.
struct Place<'s> {
    store: &'s Store,
    pk: String,
}

fn told(done: Result<Transacted, StoreError>) -> String {
    let letter = |fault: &Fault| match fault {
        Fault::None => ".",
        Fault::Condition => "C",
        Fault::Passing => "P",
    };
    match done {
        Ok(Transacted::Done) => "done".to_owned(),
        Ok(Transacted::Cancelled(faults)) => {
            let faults: Vec<&str> = faults.iter().map(letter).collect();
            format!("cancelled {}", faults.join(" "))
        }
        Err(error) => refused(&error),
    }
}

/// A refusal must be permanent: if it counted as worth repeating, the functions would repeat the call for ever.
fn refused(error: &StoreError) -> String {
    if error.is_busy() {
        format!("busy: {error}")
    } else {
        "refused".to_owned()
    }
}

fn condition(word: &str) -> Condition {
    match word {
        "absent" => Condition::absent(),
        "present" => Condition::present(),
        _ if word.starts_with('v') => Condition::version(word[1..].parse().unwrap()),
        _ => match word.split_once('-').unwrap() {
            ("without", attribute) => Condition::without(attribute),
            ("less", text) => Condition::absent_or_less("d", text),
            _ => panic!("there is no condition {word}"),
        },
    }
}

fn names(items: &[Item]) -> String {
    let names: Vec<&str> = items.iter().map(|item| text(item, "sk")).collect();
    names.join(" ")
}

impl Place<'_> {
    fn key(&self, name: &str) -> Key {
        Key {
            pk: self.pk.clone(),
            sk: name.to_owned(),
        }
    }

    fn item(&self, name: &str) -> NewItem {
        NewItem::at(&self.key(name)).text("d", name).number("v", 1)
    }

    /// An item of this many KB, whose content does not compress.
    fn big(&self, name: &str, kb: usize) -> NewItem {
        self.item(name).text("f", "x".repeat(kb * 1000))
    }

    fn write(&self, word: &str) -> Vec<Write> {
        let (what, rest) = word.split_once(':').unwrap();
        let (name, under) = rest
            .split_once('!')
            .map_or((rest, None), |(name, word)| (name, Some(condition(word))));
        let one = |value: &str| vec![(":n", AttributeValue::N(value.to_owned()))];
        vec![match what {
            "put" => self.store.put_write(self.item(name), under),
            "del" => self.store.delete_write(&self.key(name), under),
            "check" => self
                .store
                .check_write(&self.key(name), Condition::present()),
            "add" => self
                .store
                .update_write(&self.key(name), "ADD v :n", one("1"), None),
            "many" | "large" => {
                let each = |n: usize| match what {
                    "many" => self.item(&n.to_string()),
                    _ => self.big(&n.to_string(), 300),
                };
                return (0..name.parse().unwrap())
                    .map(|n| self.store.put_write(each(n), None))
                    .collect();
            }
            _ => panic!("there is no write {word}"),
        }]
    }

    async fn list(&self, range: Range) -> Vec<Item> {
        self.store
            .query(&self.pk, &range, Reading::STRONG)
            .await
            .unwrap()
    }

    async fn step(&self, step: &str) -> String {
        let words: Vec<&str> = step.split_whitespace().collect();
        match words[..] {
            ["put", name] => self.put(self.item(name), None).await,
            ["put", name, under] => self.put(self.item(name), Some(condition(under))).await,
            ["big", name, kb] => self.put(self.big(name, kb.parse().unwrap()), None).await,
            ["fill", count] => {
                for n in 0..count.parse().unwrap() {
                    self.put(self.big(&n.to_string(), 300), None).await;
                }
                "done".to_owned()
            }
            ["add", name, value] => {
                let values = vec![(":n", AttributeValue::N(value.to_owned()))];
                let key = self.key(name);
                let done = self.store.update(&key, "ADD v :n", values, None).await;
                if done.unwrap() { "done" } else { "refused" }.to_owned()
            }
            ["delete", name] => {
                self.store.delete(&self.key(name)).await.unwrap();
                "done".to_owned()
            }
            ["add", name, value, under] => {
                let values = vec![(":n", AttributeValue::N(value.to_owned()))];
                let (key, under) = (self.key(name), Some(condition(under)));
                let done = self.store.update(&key, "ADD v :n", values, under).await;
                if done.unwrap() { "done" } else { "refused" }.to_owned()
            }
            ["see", name] => {
                let strong = self.store.get(&self.key(name), true).await.unwrap();
                assert_eq!(
                    strong,
                    self.store.get(&self.key(name), false).await.unwrap()
                );
                strong.map_or("nothing".to_owned(), |item| {
                    format!("v={}", item["v"].as_n().unwrap())
                })
            }
            ["all", ref writes @ ..] => told(
                self.store
                    .transact(writes.iter().flat_map(|word| self.write(word)).collect())
                    .await,
            ),
            ["list"] => names(&self.list(Range::All).await),
            ["count"] => self.list(Range::All).await.len().to_string(),
            ["between", from, to] => names(
                &self
                    .list(Range::Between(from.to_owned(), to.to_owned()))
                    .await,
            ),
            ["page", limit, ref after @ ..] => {
                let limit: i32 = limit.parse().unwrap();
                let reading = Reading {
                    strong: true,
                    newest_first: limit < 0,
                };
                let after = after.first().map(|name| (*name).to_owned());
                let page =
                    self.store
                        .page(&self.pk, &Range::All, reading, after, Some(limit.abs()));
                names(&page.await.unwrap().0)
            }
            ["paged", limit] => self.paged(limit.parse().unwrap()).await,
            ["twice", name] => {
                let keys = [self.key(name), self.key(name)];
                match self.store.get_all(&keys, true).await {
                    Ok(_) => "done".to_owned(),
                    Err(error) => refused(&error),
                }
            }
            ["pages"] => {
                let page = self
                    .store
                    .page(&self.pk, &Range::All, Reading::EVENTUAL, None, None);
                let (_, next) = page.await.unwrap();
                if next.is_some() { "several" } else { "one" }.to_owned()
            }
            ["get", count] => {
                let keys: Vec<Key> = (0..count.parse().unwrap())
                    .map(|n: usize| self.key(&n.to_string()))
                    .collect();
                let items = self.store.get_all(&keys, true).await.unwrap();
                items
                    .iter()
                    .filter(|item| number(item, "v") == Some(1))
                    .count()
                    .to_string()
            }
            ["pack", name, bytes] => {
                let value = "y".repeat(bytes.parse().unwrap());
                let item = NewItem::at(&self.key(name))
                    .packed(&value)
                    .expires(Instant::from_ms(4_102_444_800_000));
                self.put(item, None).await;
                let item = self
                    .store
                    .get(&self.key(name), true)
                    .await
                    .unwrap()
                    .unwrap();
                data::<String>(&item).unwrap().len().to_string()
            }
            _ => panic!("there is no step {step}"),
        }
    }

    /// How many items each page holds; a negative limit begins at the end.
    async fn paged(&self, limit: i32) -> String {
        let reading = Reading {
            strong: true,
            newest_first: limit < 0,
        };
        let (mut counts, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .store
                .page(&self.pk, &Range::All, reading, after, Some(limit.abs()));
            let (items, next) = page.await.unwrap();
            counts.push(items.len().to_string());
            after = next;
            if after.is_none() {
                return counts.join(" ");
            }
        }
    }

    async fn put(&self, item: NewItem, under: Option<Condition>) -> String {
        match self.store.put(item, under).await {
            Ok(PutOutcome::Done(None)) => "done".to_owned(),
            Ok(PutOutcome::Done(Some(old))) => format!("done over {}", text(&old, "d")),
            Ok(PutOutcome::Refused(old)) => {
                format!("refused {}", text(&old, "d")).trim().to_owned()
            }
            Err(error) => refused(&error),
        }
    }
}
