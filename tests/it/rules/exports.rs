//! Files of shops and mail tools: what `--show-map` prints of them, and what a run over them says. The files in `tests/exports` were
//! made by hand; those of real senders are read where they are there.

use std::path::{Path, PathBuf};

use clap::Parser;
use revtrail::attribute::{Watched, run};
use revtrail::cli::{Cli, Command};
use serde_json::Value;

use crate::support::root::Root;

fn here(rest: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(rest)
}

/// How a run ends, and what standard output and error say. `@` stands for a folder.
pub fn attribute(line: &str, folder: &Path) -> (String, String, String) {
    let words = line.split(' ').map(|word| match word.strip_prefix('@') {
        Some(file) => folder.join(file).display().to_string(),
        None => word.to_owned(),
    });
    let words = ["revtrail", "attribute"]
        .map(str::to_owned)
        .into_iter()
        .chain(words);
    let Command::Attribute(args) = Cli::parse_from(words).command else {
        unreachable!("the words say attribute")
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(&args, &mut out, &mut err, Watched::default());
    let text = |bytes| {
        let text = String::from_utf8(bytes).unwrap();
        text.replace(&format!("{}/", folder.display()), "@")
    };
    (format!("{exit:?}"), text(out), text(err))
}

/// What `--show-map` understands of each file: its name and its records, a line each.
fn understood(out: &str) -> String {
    let maps: Vec<Value> = serde_json::from_str(out).unwrap();
    let mut text = String::new();
    for map in maps {
        text += &format!("{}\n", map["name"].as_str().unwrap());
        for record in map["example"].as_array().unwrap() {
            text += &format!("{record}\n");
        }
    }
    text
}

/// Every line that begins with `$` is a run; below it stands what is said.
#[test]
fn what_is_understood_of_files() {
    let expected = std::fs::read_to_string(here("exports/expected.txt")).unwrap();
    let mut actual = String::new();
    for line in expected.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let (exit, out, err) = attribute(line, &here("exports"));
        let out = match line.contains("--show-map") && !out.is_empty() {
            true => understood(&out),
            false => String::new(),
        };
        let took = |line: &&str| !line.starts_with("attributed ");
        let err: String = err
            .lines()
            .filter(took)
            .map(|line| format!("! {line}\n"))
            .collect();
        actual += &format!("$ {line}\n{out}{err}{exit}\n\n");
    }
    if actual != expected {
        println!("{actual}");
    }
    assert!(
        actual == expected,
        "tests/exports/expected.txt is not what is printed above"
    );
}

/// What `--show-map` prints is taken by `--map`, and then means the same.
#[test]
fn a_map_that_was_printed_can_be_given_back() {
    let root = Root::new();
    std::fs::create_dir_all(&root.0).unwrap();
    let map = root.0.join("map.json");
    let expected = std::fs::read_to_string(here("exports/expected.txt")).unwrap();
    let lines = expected.lines().filter_map(|line| line.strip_prefix("$ "));
    let mut runs = 0;
    for line in lines.filter(|line| line.contains("--show-map")) {
        let (exit, out, _) = attribute(line, &here("exports"));
        if exit != "Clean" {
            continue;
        }
        std::fs::write(&map, &out).unwrap();
        let again = format!("{line} --map {}", map.display());
        let (exit, again, err) = attribute(&again, &here("exports"));
        assert_eq!(exit, "Clean", "{line}: {err}");
        assert_eq!(understood(&again), understood(&out), "{line}");
        runs += 1;
    }
    assert!(runs >= 10, "{runs} files");
}

/// The files of real senders: how many orders and events they hold, and how many rows are rejected.
#[test]
fn files_of_real_senders() {
    let given = here("../../shared/data/exports");
    if !given.exists() {
        println!("{} is not there: nothing was read", given.display());
        return;
    }
    let root = Root::new();
    std::fs::create_dir_all(&root.0).unwrap();
    let header = |name: &str, text: &str| {
        let path = root.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let no_orders = header(
        "o.csv",
        "order_id,customer_id,status,total,currency,placed_at\n",
    );
    let no_events = header(
        "e.csv",
        "event_id,kind,channel,campaign_id,customer_id,occurred_at\n",
    );
    for (line, attributed, rejected, counted) in [
        (
            "--orders @shopify-orders_export.csv",
            "9 orders",
            "",
            "5 USD 262.00",
        ),
        (
            "--orders @shopify-orders_export-cod-voided.csv",
            "6 orders",
            "",
            "3 USD 236.40",
        ),
        (
            "--orders @shopify-orders_export-line-in-quotes.csv",
            "4 orders",
            "",
            "4 USD 218.70",
        ),
        (
            "--orders @shopify-orders_export-resaved-by-excel.csv",
            "0 orders",
            "5 bad_id",
            "0 ",
        ),
        (
            "--orders @woocommerce-webtoffee-order_export.csv --zone Europe/Kyiv",
            "2 orders",
            "",
            "1 EUR 95.00",
        ),
        (
            "--orders @woocommerce-advanced-order-export.csv --zone Europe/Kyiv --currency EUR",
            "2 orders",
            "",
            "1 EUR 95.00",
        ),
        (
            "--orders @magento-order-grid-export.csv --zone Europe/Kyiv --currency EUR",
            "1 order",
            "",
            "1 EUR 95.00",
        ),
        (
            "--orders @square-transactions.csv --currency USD",
            "1 order",
            "1 unknown_status",
            "1 USD 22.50",
        ),
        (
            "--orders @yespo-orders-from-woocommerce-plugin.json",
            "2 orders",
            "",
            "0 ",
        ),
        (
            "--events @sfmc-extract-Sent.csv @sfmc-extract-Opens.csv @sfmc-extract-Clicks.csv @sfmc-extract-Bounces.csv \
             --campaigns @sfmc-extract-SendJobs.csv",
            "0 orders by 5 events",
            "",
            "0 ",
        ),
    ] {
        let line = match line.contains("--orders") {
            true => format!("--json --events {no_events} {line}"),
            false => format!("--json --orders {no_orders} {line}"),
        };
        let (_, out, err) = attribute(&line, &given);
        assert!(
            err.contains(&format!("attributed {attributed} ")),
            "{line}: {err}"
        );
        assert_eq!(
            err.contains("rejected "),
            !rejected.is_empty(),
            "{line}: {err}"
        );
        assert!(err.contains(rejected), "{line}: {err}");
        let report: Value = serde_json::from_str(&out).unwrap();
        let revenue = report["counted"]["revenue"].as_object().unwrap();
        let revenue: Vec<String> = revenue
            .iter()
            .map(|(code, sum)| format!("{code} {}", sum.as_str().unwrap()))
            .collect();
        let actual = format!("{} {}", report["counted"]["purchases"], revenue.join(" "));
        assert_eq!(actual, counted, "{line}");
    }
}
