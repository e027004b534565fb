//! What tests of promotions share: the lists of a promotion read to their end, and what is shown of it as it can be compared.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use redemption_batch::{BatchEnd, BatchWorker};
use revtrail_storage::file::File;
use revtrail_storage::files::{Files, Folder};
use serde_json::{Map, Value, json};

use crate::support::fixtures::segment;
use crate::support::service::Service;

/// The path of a promotion, or of what is under it.
pub fn promotion(id: &str, rest: &str) -> String {
    format!("/v1/marketplaces/m/promotions/{}{rest}", segment(id))
}

/// Of what is shown, the fields that are expected.
pub fn part(shown: &Value, expected: &Value) -> Value {
    let fields = expected.as_object().unwrap().keys();
    Value::Object(
        fields
            .map(|name| (name.clone(), shown[name].clone()))
            .collect(),
    )
}

/// All entries of a list, page by page.
pub async fn all(service: &Service, path: &str, list: &str, page: usize) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut cursor = String::new();
    loop {
        let told = service.get(&format!("{path}?limit={page}{cursor}")).await;
        let part = told[list].as_array().unwrap();
        assert!(part.len() <= page, "{path}: {told}");
        entries.extend(part.iter().cloned());
        match told["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", segment(next)),
            None => return entries,
        }
    }
}

/// The rows of `reports/promotions`, by id.
pub async fn rows(service: &Service, page: usize) -> Vec<Value> {
    let mut rows = all(
        service,
        "/v1/marketplaces/m/reports/promotions",
        "promotions",
        page,
    )
    .await;
    rows.sort_by_key(|row| row["promotion_id"].as_str().unwrap().to_owned());
    rows
}

/// A list of `{key, …}` as an object by key, without entries that are nothing; one figure stands for itself.
fn by_key(list: &Value, key: &str) -> Value {
    let mut shown = Map::new();
    for entry in list.as_array().unwrap() {
        let mut rest = entry.as_object().unwrap().clone();
        let key = rest.remove(key).unwrap();
        let nothing = |value: &Value| value.is_null() || *value == json!(0);
        if rest.values().all(nothing) {
            continue;
        }
        let value = match rest.len() {
            1 => rest.into_iter().next().unwrap().1,
            _ => Value::Object(rest),
        };
        // A share has a key that may be missing; a day and a result have none.
        let key = match key.as_str() {
            Some(text) if !value.is_object() || entry.get("date").is_some() => text.to_owned(),
            _ => key.to_string(),
        };
        assert!(shown.insert(key, value).is_none(), "a key twice in {list}");
    }
    Value::Object(shown)
}

/// The figures of `GET …/dashboard`, the lists as objects by key.
pub async fn dashboard(service: &Service, id: &str) -> Value {
    let told = service.get(&promotion(id, "/dashboard")).await;
    let breakdown = &told["breakdown"];
    json!({
        "vouchers": told["vouchers"],
        "publications": told["publications"],
        "messages": told["messages"],
        "redemptions_by_day": by_key(&told["redemptions_by_day"], "date"),
        "breakdown": {
            "tier": by_key(&breakdown["tier"], "key"), "segment": by_key(&breakdown["segment"], "key"),
            "day": by_key(&breakdown["day"], "key"), "result": by_key(&breakdown["result"], "key"),
        },
    })
}

/// Each redemption in the history of a promotion, by id.
pub async fn redemptions(service: &Service, id: &str, page: usize) -> Value {
    let mut shown = Map::new();
    for item in all(service, &promotion(id, "/redemptions"), "items", page).await {
        let back = item["result"] == "rolled_back";
        assert_eq!(back, !item["rolled_back_at"].is_null(), "{item}");
        let mut flags: Vec<&str> = item["flags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|flag| flag.as_str().unwrap())
            .collect();
        flags.sort_unstable();
        let told = json!({
            "customer_id": item["customer_id"], "voucher_code": item["voucher_code"], "result": item["result"],
            "failure_code": item["failure_code"], "flags": flags,
        });
        let id = item["redemption_id"].as_str().unwrap().to_owned();
        assert!(shown.insert(id, told).is_none(), "listed twice: {item}");
    }
    Value::Object(shown)
}

/// Each voucher of a promotion, by code.
pub async fn vouchers(service: &Service, id: &str, page: usize) -> Value {
    let items = all(service, &promotion(id, "/vouchers"), "items", page).await;
    let told = |item: &Value| {
        let told =
            json!({"limit": item["limit"], "disabled": item["disabled"], "used": item["uses"]});
        (item["voucher_code"].as_str().unwrap().to_owned(), told)
    };
    let shown: BTreeMap<String, Value> = items.iter().map(told).collect();
    assert_eq!(shown.len(), items.len(), "listed twice: {items:?}");
    json!(shown)
}

/// Puts a file into the inbox of the marketplace and works it off; the batch as it is listed then, with the codes of the rows
/// that were rejected.
pub async fn upload(service: &Service, name: &str, text: &str) -> Value {
    static FOLDERS: AtomicUsize = AtomicUsize::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let root = std::env::temp_dir().join(format!("revtrail-files-{}-{number}", std::process::id()));
    let folder = Folder::new(root.clone());
    let file = File::at(&format!("inbox/m/redemptions/{name}")).unwrap();
    let path = folder.root().join(&file.key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    let files = Files::Folder(folder.clone());
    let batches = BatchWorker::new(service.store.clone(), service.retention, files);
    let etag = folder.etag(&file.key).unwrap();
    let now = service.now();
    let turn = batches
        .work(&file, &etag, &|| now, now.plus_ms(60_000))
        .await;
    assert_eq!(turn.unwrap(), BatchEnd::Ended);
    let listed = all(service, "/v1/marketplaces/m/batches", "batches", 1_000).await;
    let of_it = |batch: &&Value| batch["file"].as_str().unwrap().ends_with(name);
    let mut batch = listed.iter().find(of_it).cloned().unwrap();
    let rejected =
        std::fs::read(folder.root().join(file.result("rejected.csv"))).unwrap_or_default();
    let mut rows = csv::Reader::from_reader(rejected.as_slice());
    let codes = rows.records().map(|row| row.unwrap()[1].to_owned());
    batch["codes"] = codes.collect();
    std::fs::remove_dir_all(root).unwrap();
    batch
}

/// All that is shown of promotions and of what waits for others, as lines that can be compared.
pub async fn shown(service: &Service) -> Vec<String> {
    let rows = rows(service, 100).await;
    let mut lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    for row in &rows {
        let id = row["promotion_id"].as_str().unwrap();
        lines.push(dashboard(service, id).await.to_string());
        lines.push(redemptions(service, id, 100).await.to_string());
        lines.push(vouchers(service, id, 100).await.to_string());
        for list in [
            "/publications",
            "/distributions",
            "/changes",
            "/validation-rules",
        ] {
            let mut items: Vec<String> = all(service, &promotion(id, list), "items", 100)
                .await
                .iter()
                .map(Value::to_string)
                .collect();
            items.sort();
            lines.push(format!("{id}{list}: {items:?}"));
        }
        lines.push(service.get(&promotion(id, "")).await.to_string());
    }
    let quarantine = all(service, "/v1/marketplaces/m/quarantine", "items", 100).await;
    lines.extend(quarantine.iter().map(Value::to_string));
    lines
}
