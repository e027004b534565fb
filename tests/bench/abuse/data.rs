//! The data that every attack begins with: the same for the same size, made once. The service makes the first part, and customers of it
//! are copied until the table is as large as it must be: by the service alone, a gigabyte takes twenty minutes.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::Outcome;
use crate::service::{Service, Target};

/// The columns of a file of redemptions.
pub(crate) const HEADER: &str = "redemption_id,promotion_id,customer_id,redeemed_at";
const PROMOTIONS: usize = 300;
/// Events of a customer.
const EVENTS: usize = 20;
const CALL: usize = 1_000;
/// So many calls come between two looks at the size.
const CALLS: usize = 50;
/// What the service makes: half of it are promotions.
const SERVED_MB: u64 = 100;

/// An event of a customer.
pub(crate) fn event(id: &str, customer: usize, at: &str) -> Value {
    json!({"event_id": id, "kind": "delivered", "channel": "email", "campaign_id": format!("campaign-{}", customer % 50),
        "customer_id": format!("customer-{customer}"), "message_id": format!("message-{id}"), "occurred_at": at})
}

/// The folder with a table of so many megabytes, which is made if it is not there.
pub(crate) fn folder(program: &Path, place: &Path, megabytes: u64) -> Outcome<PathBuf> {
    let folder = place.join(format!("{megabytes}-mb"));
    if folder.try_exists()? {
        return Ok(folder);
    }
    let draft = place.join("draft");
    if draft.try_exists()? {
        fs::remove_dir_all(&draft)?;
    }
    fs::create_dir_all(&draft)?;
    let service = Service::start(program, &draft, 0)?;
    let made = make(&service.target, megabytes.min(SERVED_MB));
    service.stop()?;
    made?;
    copy_customers(&draft.join("revtrail.db"), megabytes)?;
    fs::rename(draft, &folder)?;
    Ok(folder)
}

fn make(target: &Target, megabytes: u64) -> Outcome<()> {
    let now = target.now();
    for marketplace in ["loud", "quiet"] {
        target.send(
            "PUT",
            &format!("/{marketplace}"),
            &json!({"name": marketplace}),
        )?;
        let promotions = if marketplace == "loud" { PROMOTIONS } else { 1 };
        for promotion in 0..promotions {
            let path = format!("/{marketplace}/promotions/p-{promotion}");
            // About as large as a promotion may be, but for the first.
            let tiers = (1..=(promotion.min(1) * 40))
                .map(|tier| json!({"tier_id": format!("tier-{tier}"), "name": "t".repeat(3_900)}));
            let body = json!({"name": "P", "kind": "global", "tracking_from": now, "tiers": tiers.collect::<Vec<_>>()});
            target.send("PUT", &path, &body)?;
        }
    }
    let orders: Vec<Value> = (0..3_000)
        .map(|n| json!({"order_id": format!("order-{n}"), "customer_id": format!("customer-{n}"), "status": "delivered", "total": "10.00",
            "currency": "EUR", "placed_at": now}))
        .collect();
    let redemptions: Vec<Value> = (0..3_000)
        .map(|n| json!({"redemption_id": format!("r-{n}"), "promotion_id": "p-0", "customer_id": format!("customer-{n}"), "redeemed_at": now}))
        .collect();
    for (what, records) in [("orders", orders), ("redemptions", redemptions)] {
        for call in records.chunks(CALL) {
            target.send("POST", &format!("/loud/{what}"), &call.into())?;
        }
    }
    let (database, mut sent) = (target.folder.join("revtrail.db"), 0);
    while fs::metadata(&database)?.len() >> 20 < megabytes {
        for _ in 0..CALLS {
            let events: Vec<Value> = (sent..sent + CALL)
                .map(|n| event(&format!("event-{n}"), n / EVENTS, &now))
                .collect();
            target.send("POST", "/loud/events", &events.into())?;
            sent += CALL;
        }
        fold(target)?;
        eprintln!("{} MB of {megabytes}", fs::metadata(&database)?.len() >> 20);
    }
    Ok(())
}

/// Copies what is stored of each customer, under names of their own, until the database has so many megabytes. Reports do not know
/// these customers, and nobody asks for them: they make the table deep.
fn copy_customers(database: &Path, megabytes: u64) -> Outcome<()> {
    let table = Connection::open(database)?;
    table.pragma_update(None, "synchronous", "OFF")?;
    let mut copies = 0;
    while fs::metadata(database)?.len() >> 20 < megabytes {
        copies += 1;
        let copy = format!("copy-{copies}-");
        let copied = table.execute(
            "INSERT INTO revtrail (pk, sk, item_json, item_size, cached_at, hash_prefix)
                SELECT replace(pk, 'customer-', ?1), sk, replace(item_json, 'customer-', ?1), item_size, cached_at, hash_prefix
                FROM revtrail WHERE pk BETWEEN 'S:m/loud/c/customer-' AND 'S:m/loud/c/customer-:'",
            [copy],
        )?;
        if copied == 0 {
            return Err("no customer is there to be copied".into());
        }
        // Nothing shows in the file itself before.
        table.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        eprintln!("{} MB of {megabytes}", fs::metadata(database)?.len() >> 20);
    }
    Ok(())
}

/// Folds what came, so that an attack does not begin with its work.
fn fold(target: &Target) -> Outcome<()> {
    let run = target.send("POST", "/loud/runs", &json!({}))?;
    let run = run["run_id"]
        .as_str()
        .ok_or("a run without an id")?
        .to_owned();
    while target.get(&format!("/loud/runs/{run}"))?["state"] == "running" {
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// A copy of the data for one attack.
pub(crate) fn copy(from: &Path, to: &Path) -> Outcome<()> {
    if to.try_exists()? {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        if file.file_type()?.is_file() {
            fs::copy(file.path(), to.join(file.file_name()))?;
        }
    }
    Ok(())
}
