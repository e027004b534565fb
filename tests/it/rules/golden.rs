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

use revtrail::attribute::{AttributeArgs, Exit, ExportArgs, Watched, run};
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

golden! {
    r004_deliveries_over_all_channels
    r005_open_rate_over_email_and_push
    r006_old_app_open_does_not_hide_a_good_one
    r006_push_opens_from_app_5_1
    r007_bounce_rate_is_email_only
    r008_every_click_counts
    r010_email_opened_or_clicked
    r011_push_delivered_is_enough
    r012_sms_delivered_is_enough
    r013_order_after_send_and_act
    r014_app_order_after_email_open
    r015_r016_counted_statuses
    r017_status_change_moves_revenue_once
    r017_statuses_in_sequence_without_updated_at
    r019_seven_days_from_the_send
    r020_new_campaign_ends_the_window
    r021_counting_goes_to_the_new_campaign
    r028_email_connects_on_click_only
    r029_24_hours_from_the_click
    r030_only_the_chosen_currency_is_income
    r032_excluded_tags_earn_nothing
    r033_excluded_messages_keep_their_figures
    r034_header_four_numbers
    r040_email_connects_on_clicked
    r040_email_connects_on_delivered
    r040_email_connects_on_opened
    r040_email_connects_on_sent
    r041_credited_or_a_stated_reason
    r042_last_sent_wins
    r044_linking_switched_off
    r045_a_week_is_168_hours
    r046_settings_for_each_channel
    r055_purchase_rates_over_unique_opens_and_clicks
    r063_only_delivered_orders_count
    r065_last_interaction_wins
    r066_refunds_drop_order
    r066_refunds_gross
    r066_refunds_net
    ruling_big_amounts
    ruling_campaign_does_not_supersede_itself
    ruling_campaign_send_time_from_the_list
    ruling_currencies_apart
    ruling_duplicate_event_id
    ruling_events_in_any_order
    ruling_excluded_steps_aside_customer
    ruling_excluded_steps_aside_marketplace
    ruling_ids_that_join_alike
    ruling_instants_offsets_and_cut_digits
    ruling_late_message_of_an_old_campaign
    ruling_machine_events_count
    ruling_machine_events_ignore
    ruling_message_id_elsewhere_is_another_message
    ruling_odd_ids
    ruling_open_rate_above_one_is_none
    ruling_order_stays_with_its_first_customer
    ruling_rates_half_even
    ruling_reason_not_counted
    ruling_refund_above_the_total
    ruling_refunded_of_orders_that_count
    ruling_same_instant_supersedes_nobody_customer
    ruling_same_instant_supersedes_nobody_marketplace
    ruling_send_time_of_a_message_without_sent
    ruling_send_time_of_a_triggered_message
    ruling_settings_left_out_are_redbox
    ruling_standing_copy_ties
    ruling_supersede_customer
    ruling_supersede_customer_own_message
    ruling_supersede_marketplace
    ruling_supersede_marketplace_campaign_time
    ruling_supersede_none
    ruling_ties_last_interaction
    ruling_ties_last_sent
    ruling_touch_kinds_at_one_instant
    ruling_triggered_campaign_is_superseded
    ruling_triggered_campaign_supersede_customer
    ruling_triggered_campaign_supersede_marketplace
    ruling_unsubscribed_and_complained_are_no_touch
    ruling_window_from_event
    ruling_window_from_sent
    ruling_window_from_the_latest_touch
    story_redbox
    story_redbox_push_to_others
    story_redbox_supersede_customer
    story_redbox_supersede_customer_technical_excluded
    story_yespo_v1
    story_yespo_v2
    story_yespo_v2_without_second_click
}

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
        marketplace: None,
        credits: Some(credits.clone()),
        explain: None,
        json: true,
        rejects: Some(rejects.clone()),
        max_rejects: None,
        threads: None,
        memory: None,
        exports: ExportArgs::default(),
        show_map: false,
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
