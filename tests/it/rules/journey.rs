//! A retailer's year: the known answer from files, and the same answer from the service for a part of it, sent twice.

use clap::Parser;
use revtrail::attribute::{Exit, Watched, run};
use revtrail::cli::{Cli, Command};
use revtrail_core::value::time::Retention;
use serde_json::{Map, Value, json};

use crate::support::service::Service;

pub const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/complete-journey");
/// What a file run says beside its figures.
const HINTS: [&str; 5] = [
    "statuses_seen",
    "orders_of_counted_statuses",
    "customers_with_orders",
    "customers_without_event",
    "hints",
];
/// Orders sent over HTTP; all of them take a minute.
const PART: usize = 4_000;

/// Runs `attribute --json` over the events, the campaigns and some orders.
fn report(orders: &str) -> Value {
    let file = |name: &str| format!("{DATA}/{name}");
    let (events, campaigns, settings) = (
        file("events.csv.gz"),
        file("campaigns.jsonl"),
        file("settings-30d.json"),
    );
    let line = [
        "revtrail",
        "attribute",
        "--events",
        &events,
        "--orders",
        orders,
        "--campaigns",
        &campaigns,
        "--settings",
        &settings,
        "--json",
    ];
    let Command::Attribute(args) = Cli::parse_from(line).command else {
        panic!("attribute was asked for")
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let watched = Watched {
        out: false,
        err: false,
    };
    let exit = run(&args, &mut out, &mut err, watched);
    assert_eq!(exit, Exit::Clean, "{}", String::from_utf8_lossy(&err));
    serde_json::from_slice(&out).unwrap()
}

/// The rows of a CSV file, as the records of the interface.
pub fn records(name: &str) -> Vec<Value> {
    let file = std::fs::File::open(format!("{DATA}/{name}")).unwrap();
    let mut reader = csv::Reader::from_reader(flate2::read::MultiGzDecoder::new(file));
    let header = reader.headers().unwrap().clone();
    let record = |row: csv::StringRecord| -> Value {
        let cells = header
            .iter()
            .zip(row.iter())
            .filter(|(_, cell)| !cell.is_empty());
        Value::Object(
            cells
                .map(|(name, cell)| (name.to_owned(), json!(cell)))
                .collect::<Map<_, _>>(),
        )
    };
    reader.records().map(|row| record(row.unwrap())).collect()
}

#[test]
fn the_whole_year_from_files() {
    let report = report(&format!("{DATA}/orders.csv.gz"));
    assert_eq!(report["totals"]["campaigns"], json!(27));
    assert_eq!(
        report["counted"],
        json!({"purchases": 155_848, "revenue": {"USD": "4596039.58"}})
    );
    assert_eq!(
        report["credited"],
        json!({"purchases": 48_901, "revenue": {"USD": "1550367.41"}})
    );
    let earned = |row: &&Value| row["purchases"] != json!(0);
    assert_eq!(
        report["campaigns"]
            .as_array()
            .unwrap()
            .iter()
            .filter(earned)
            .count(),
        26
    );
}

#[tokio::test]
async fn a_part_of_it_over_http_says_the_same() {
    // The last orders of the year: by then every campaign was delivered.
    let mut orders = records("orders.csv.gz");
    let orders = orders.split_off(orders.len() - PART);
    let folder = std::env::temp_dir().join(format!("revtrail-journey-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("orders.jsonl");
    let lines: Vec<String> = orders.iter().map(Value::to_string).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    let mut expected = report(path.to_str().unwrap());
    let fields = expected.as_object_mut().unwrap();
    fields.retain(|name, _| !HINTS.contains(&name.as_str()));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(expected["credited"]["purchases"].as_u64().unwrap() > 500);

    let service = Service::with("2018-01-02T00:00:00Z", Retention::days(500).unwrap()).await;
    let settings = std::fs::read_to_string(format!("{DATA}/settings-30d.json")).unwrap();
    service
        .make("m", &serde_json::from_str(&settings).unwrap())
        .await;
    for line in std::fs::read_to_string(format!("{DATA}/campaigns.jsonl"))
        .unwrap()
        .lines()
    {
        let campaign: Value = serde_json::from_str(line).unwrap();
        let id = campaign["campaign_id"].as_str().unwrap();
        let (status, body) = service
            .put(&format!("/v1/marketplaces/m/campaigns/{id}"), &campaign)
            .await;
        assert!(status.is_success(), "{body}");
    }
    for _ in 0..2 {
        service
            .feed("m", "events", &records("events.csv.gz"), 1_000)
            .await;
        service.feed("m", "orders", &orders, 1_000).await;
        assert_eq!(service.run("m").await["state"], json!("done"));
        let path = "/v1/marketplaces/m/reports/campaigns?from=2016-10-01&to=2018-02-01&limit=1000&sort=campaign_id";
        let mut shown = service.get(path).await;
        for name in [
            "as_of",
            "estimate",
            "next_cursor",
            "pending",
            "period",
            "sort_currency",
        ] {
            shown.as_object_mut().unwrap().remove(name);
        }
        assert_eq!(shown, expected);
    }
}
