//! Tables that earlier releases wrote, in `tests/corpus/releases`: this code shows the same figures of them, finds no difference, and
//! goes on with them. `REVTRAIL_WRITE=1` writes the table of this release; a release that was made is never written again.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use revtrail_core::value::time::{DAY_MS, Instant};
use revtrail_store::table::embedded::{self, Embedded, TABLE};
use serde_json::{Value, json};

use crate::faults::crash;
use crate::support::fault_client::FaultClient;
use crate::support::fixtures::{NOW, Shop, assert_part};
use crate::support::service::Service;

/// What wrote them: tables of `tests/corpus` that say what happened.
const LIVES: [&str; 2] = ["life", "life_of_promotions"];

fn releases() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/releases"))
}

fn value(of: &Value) -> AttributeValue {
    let (kind, value) = of.as_object().unwrap().iter().next().unwrap();
    let text = || value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "B" => AttributeValue::B(Blob::new(BASE64_STANDARD.decode(text()).unwrap())),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        other => panic!("no item has a value of kind {other}"),
    }
}

/// A database that holds the items of a file.
async fn read(items: &str) -> Embedded {
    let database = Embedded::memory().unwrap();
    let client = embedded::client(database.clone());
    let store = revtrail_store::Store::new(client.clone(), TABLE);
    store.create_table().await.unwrap();
    for line in items.lines() {
        let item: Value = serde_json::from_str(line).unwrap();
        let item = item.as_object().unwrap().iter();
        let item: HashMap<String, AttributeValue> =
            item.map(|(name, of)| (name.clone(), value(of))).collect();
        let put = client.put_item().table_name(TABLE).set_item(Some(item));
        put.send().await.unwrap();
    }
    database
}

fn shop(database: Embedded) -> Shop {
    let now = Instant::parse(NOW).unwrap();
    let service = Service::over(&FaultClient::over(database), now);
    Shop { service, id: "m" }
}

/// What readers see, and what they see after more has happened.
async fn shown(shop: &Shop) -> Value {
    let mut seen = json!([]);
    for more in [false, true] {
        if more {
            shop.events(&["spring email sent,opened release 17T10:00"])
                .await;
            let orders = ["after release COMPLETE 12.34 EUR 17T11:00"];
            shop.orders(&orders).await;
            shop.run().await;
        }
        let verified = json!({ "verify": "all" });
        let verified = shop.service.run_with(shop.id, &verified).await;
        assert_part(
            "verified",
            &verified["verify"],
            &json!({ "differences": 0 }),
        );
        seen.as_array_mut().unwrap().push(json!({
            "figures": shop.figures().await,
            "promotions": shop.get("reports/promotions").await,
            "settings": shop.get("settings/versions").await,
        }));
    }
    seen
}

/// Whether an answer says all that an earlier release said: fields may have come in since.
fn says(got: &Value, earlier: &Value) -> bool {
    match (got, earlier) {
        (Value::Object(got), Value::Object(earlier)) => earlier
            .iter()
            .all(|(name, value)| got.get(name).is_some_and(|got| says(got, value))),
        (Value::Array(got), Value::Array(earlier)) => {
            got.len() == earlier.len() && got.iter().zip(earlier).all(|(got, one)| says(got, one))
        }
        _ => got == earlier,
    }
}

/// The table of this release, where it is not there yet.
async fn write() {
    let folder = releases().join(env!("CARGO_PKG_VERSION"));
    fs::create_dir_all(&folder).unwrap();
    for life in LIVES {
        let items = folder.join(format!("{life}.items.jsonl"));
        if items.exists() {
            continue;
        }
        let database = crash::after_all(&format!("{life}.txt")).await;
        let lines: Vec<String> = database
            .items()
            .unwrap()
            .iter()
            .map(Value::to_string)
            .collect();
        fs::write(items, lines.join("\n") + "\n").unwrap();
        let seen = serde_json::to_string_pretty(&shown(&shop(database)).await).unwrap();
        fs::write(folder.join(format!("{life}.shown.json")), seen + "\n").unwrap();
    }
}

#[tokio::test]
async fn what_earlier_releases_wrote_is_read_and_carried_on() {
    if std::env::var_os("REVTRAIL_WRITE").is_some() {
        write().await;
    }
    let mut tables = 0;
    for release in fs::read_dir(releases()).unwrap() {
        let folder = release.unwrap().path();
        for life in LIVES {
            let read_file = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
            let database = read(&read_file(&format!("{life}.items.jsonl"))).await;
            let earlier = serde_json::from_str(&read_file(&format!("{life}.shown.json"))).unwrap();
            let got = shown(&shop(database)).await;
            let release = folder.file_name().unwrap().to_string_lossy();
            assert!(says(&got, &earlier), "{release} {life}: {got:#}");
            tables += 1;
        }
    }
    assert!(tables >= LIVES.len(), "{tables}");
}

/// Orders that nobody earned, in the first shard as an earlier release left them and spread as they are from some days later on: each is
/// listed once, wherever its row is, and a row that leaves its list is gone from where it was.
#[tokio::test]
async fn rows_of_an_earlier_release_are_listed_beside_new_ones() {
    let items = releases().join("0.1.0").join("life.items.jsonl");
    let database = read(&fs::read_to_string(items).unwrap()).await;
    let shop = shop(database.clone());
    let send = async |from: usize, day: &str, status: &str| {
        let one = |i| format!("nobodys{i} nobody{i} {status} 1.00 EUR {day}T11:0{i}");
        let orders: Vec<String> = (from..from + 5).map(one).collect();
        let orders: Vec<&str> = orders.iter().map(String::as_str).collect();
        shop.orders(&orders).await;
        shop.run().await;
    };
    send(0, "17", "PREPARING").await;
    shop.service.set_now(shop.service.now().plus_ms(6 * DAY_MS));
    send(0, "17", "COMPLETE").await;
    send(5, "25", "COMPLETE").await;
    let listed = async || {
        let page = shop.get("orders?limit=100").await;
        let orders = page["orders"].as_array().unwrap().iter();
        let ids = orders.map(|order| order["order_id"].as_str().unwrap().to_owned());
        ids.filter(|id| id.starts_with("nobodys"))
            .collect::<Vec<_>>()
    };
    let newest_first: Vec<String> = (0..10).rev().map(|i| format!("nobodys{i}")).collect();
    assert_eq!(listed().await, newest_first);
    // In how many shards the rows of the orders of a day are, and how many rows.
    let rows = |day: &str| {
        let mut rows = Vec::new();
        for item in database.items().unwrap() {
            let key = ["pk", "sk"].map(|name| item[name]["S"].as_str().unwrap().to_owned());
            if let [pk, sk] = &key
                && pk.starts_with("m/m/u/")
                && sk.starts_with(day)
                && sk.contains("/nobodys")
            {
                rows.push(pk.clone());
            }
        }
        let shards = rows.iter().collect::<BTreeSet<_>>().len();
        (shards, rows.len())
    };
    assert_eq!((rows("2026-11-17"), rows("2026-11-25")), ((1, 5), (4, 5)));
    // A late click earns one of the old ones, and one of the new ones.
    shop.events(&[
        "spring email sent,clicked nobody0 17T10:30",
        "spring email sent,clicked nobody5 25T10:30",
    ])
    .await;
    shop.run().await;
    assert_eq!(listed().await, newest_first);
    assert_eq!((rows("2026-11-17").1, rows("2026-11-25").1), (4, 4));
    let verified = shop
        .service
        .run_with(shop.id, &json!({ "verify": "all" }))
        .await;
    assert_part(
        "verified",
        &verified["verify"],
        &json!({ "differences": 0 }),
    );
}
