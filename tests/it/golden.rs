//! The golden tables: every folder of `tests/golden` through `revtrail attribute`, compared to the byte.
//!
//! A folder holds `README.md`, `events.csv`, `orders.csv` and `expected.csv` (= credits.csv), and may hold `campaigns.csv`,
//! `settings.json` (else redbox), `rejects.csv` (else no row may be rejected) and `report.json`: a part of the answer of
//! `--json`, in which campaigns are found by their `campaign_id`.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops where it is"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use revtrail::attribute::{AttributeArgs, Exit, Watched, run};
use serde_json::Value;

/// One test a folder.
macro_rules! golden {
    ($($folder:ident)*) => {
        const LISTED: &[&str] = &[$(stringify!($folder)),*];
        $(
            #[test]
            fn $folder() {
                check(stringify!($folder));
            }
        )*
    };
}

golden! {}

#[test]
fn every_golden_folder_has_its_test() {
    let listed: BTreeSet<String> = LISTED.iter().map(|name| (*name).to_owned()).collect();
    let found: BTreeSet<String> = fs::read_dir(root())
        .map(|entries| {
            entries
                .map(|entry| entry.unwrap())
                .filter(|entry| entry.path().is_dir())
                .map(|entry| entry.file_name().into_string().unwrap())
                .collect()
        })
        .unwrap_or_default();
    println!("{} golden cases", found.len());
    let unlisted: Vec<&String> = found.difference(&listed).collect();
    assert!(
        unlisted.is_empty(),
        "add these folders to golden! in tests/it/golden.rs: {unlisted:?}"
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn check(name: &str) {
    let folder = root().join(name);
    assert!(folder.is_dir(), "{} is no folder", folder.display());
    let there = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
    let outputs =
        std::env::temp_dir().join(format!("revtrail-golden-{}-{name}", std::process::id()));
    fs::create_dir_all(&outputs).unwrap();
    let (credits, rejects) = (outputs.join("credits.csv"), outputs.join("rejects.csv"));
    let settings = there("settings.json").map(|path| path.to_str().unwrap().to_owned());
    let args = AttributeArgs {
        events: vec![folder.join("events.csv")],
        orders: vec![folder.join("orders.csv")],
        campaigns: there("campaigns.csv").into_iter().collect(),
        settings: settings.unwrap_or_else(|| "redbox".to_owned()),
        credits: Some(credits.clone()),
        explain: None,
        json: true,
        rejects: Some(rejects.clone()),
        max_rejects: None,
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(&args, &mut out, &mut err, Watched::default());
    let told = String::from_utf8(err).unwrap();
    assert!(
        matches!(exit, Exit::Clean | Exit::Rejected),
        "{name}: {told}"
    );

    let mut differences = Vec::new();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let rejected = read(&rejects).replace(&format!("{}/", folder.display()), "");
    let none = "file,line,code,detail\n".to_owned();
    let expected = there("rejects.csv").map_or(none, |path| read(&path));
    compare_lines("rejects.csv", &expected, &rejected, &mut differences);
    compare_lines(
        "credits.csv",
        &read(&folder.join("expected.csv")),
        &read(&credits),
        &mut differences,
    );
    if let Some(path) = there("report.json") {
        let expected: Value = serde_json::from_str(&read(&path)).unwrap();
        let got: Value = serde_json::from_slice(&out).unwrap();
        compare_part("report", &expected, &got, &mut differences);
    }
    fs::remove_dir_all(&outputs).unwrap();
    assert!(differences.is_empty(), "{name}\n{}", differences.join("\n"));
}

/// Lines only expected (`-`) or only found (`+`); rows are named by their first cell, so a table without them tells enough.
fn compare_lines(file: &str, expected: &str, got: &str, differences: &mut Vec<String>) {
    if expected == got {
        return;
    }
    differences.push(format!("{file}:"));
    let (wanted, found): (BTreeSet<&str>, BTreeSet<&str>) =
        (expected.lines().collect(), got.lines().collect());
    differences.extend(wanted.difference(&found).map(|line| format!("  - {line}")));
    differences.extend(found.difference(&wanted).map(|line| format!("  + {line}")));
    if wanted == found {
        differences
            .push("  the same lines in another order, number, or with other line ends".into());
    }
}

/// Every key that is expected must be found with that value.
fn compare_part(at: &str, expected: &Value, got: &Value, differences: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(fields), Value::Object(_)) => {
            for (key, value) in fields {
                match got.get(key) {
                    Some(found) => compare_part(&format!("{at}.{key}"), value, found, differences),
                    None => differences.push(format!("{at}.{key}: expected {value}, it is absent")),
                }
            }
        }
        (Value::Array(rows), Value::Array(found))
            if rows.iter().all(|row| row["campaign_id"].is_string()) && !rows.is_empty() =>
        {
            for row in rows {
                let id = &row["campaign_id"];
                match found.iter().find(|found| found["campaign_id"] == *id) {
                    Some(found) => compare_part(&format!("{at}[{id}]"), row, found, differences),
                    None => differences.push(format!("{at}: there is no {id}")),
                }
            }
        }
        _ if expected == got => {}
        _ => differences.push(format!("{at}: expected {expected}, got {got}")),
    }
}
