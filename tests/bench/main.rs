//! How fast the service is on one machine, as a share of the floor: one small item after another, put through the SDK into the same
//! database. What is measured takes turns, round by round, so that whatever else the machine does meets all of it alike; a figure
//! is the median of its rounds. Prints a table in Markdown, of which `cargo xtask bench` makes a page.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks"
)]

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Instant;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use http::Method;
use redemption_batch::{BatchEnd, BatchWorker};
use revtrail_aws::clock::Clock;
use revtrail_core::value::time::Retention;
use revtrail_storage::file::File;
use revtrail_storage::files::{Files, Folder};
use revtrail_store::random_hex;
use revtrail_store::table::embedded::{self, Embedded, TABLE};
use revtrail_web::app::App;
use serde_json::{Value, json};

mod call;

use call::{KEY, Outcome};

const ROUNDS: usize = 7;
/// Of each thing in a round; redeems are calls of their own, and so fewer.
const PUTS: usize = 2_000;
const RECORDS: usize = 2_000;
const REDEEMS: usize = 500;
/// Records of a call.
const CALL: usize = 100;
const PROMOTIONS: usize = 20;
const CAMPAIGNS: usize = 50;
/// Characters of the floor's item: what an event takes in the table.
const ITEM_CHARS: usize = 200;

/// What is measured beside the floor.
const WHAT: [&str; 4] = [
    "events accepted, 100 in a call",
    "assignments accepted, 100 in a call",
    "rows of a file of redemptions",
    "redeems under a cap, one after another",
];

/// One service on a database, as `revtrail serve` has it, without the socket.
struct Bench {
    client: Client,
    router: Router,
    batches: BatchWorker,
    folder: Folder,
    clock: Clock,
}

fn main() -> Outcome<()> {
    // Cargo tells every benchmark that it is one; there is nothing to choose.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let scratch = std::env::temp_dir().join(format!("revtrail-bench-{}", random_hex()));
    fs::create_dir_all(&scratch)?;
    let page = runtime.block_on(page(&scratch));
    fs::remove_dir_all(&scratch)?;
    println!("{}", page?);
    Ok(())
}

async fn page(scratch: &Path) -> Outcome<String> {
    let mut page = String::new();
    for (place, database) in [
        ("in memory", Embedded::memory()?),
        ("in a file", Embedded::file(&scratch.join("bench.db"))?),
    ] {
        let bench = Bench::on(database, scratch).await?;
        let mut rounds = Vec::new();
        for round in 0..=ROUNDS {
            eprintln!("{place}: round {round} of {ROUNDS}");
            let rates = bench.round(round).await?;
            // The first one warms up.
            if round > 0 {
                rounds.push(rates);
            }
        }
        table(&mut page, place, &rounds)?;
    }
    Ok(page)
}

fn table(page: &mut String, place: &str, rounds: &[[f64; 5]]) -> Outcome<()> {
    let floor = median(rounds.iter().map(|rates| rates[0]));
    writeln!(page, "| {place} | a second | share of the floor |")?;
    writeln!(page, "|---|---|---|")?;
    writeln!(
        page,
        "| floor: items put one after another | {floor:.0} | 100 % |"
    )?;
    for (i, what) in WHAT.iter().enumerate() {
        let rate = median(rounds.iter().map(|rates| rates[i + 1]));
        let share = 100.0 * median(rounds.iter().map(|rates| rates[i + 1] / rates[0]));
        writeln!(page, "| {what} | {rate:.0} | {share:.0} % |")?;
    }
    writeln!(page)?;
    Ok(())
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

impl Bench {
    async fn on(database: Embedded, scratch: &Path) -> Outcome<Self> {
        let store = embedded::store(database.clone()).await?;
        let clock = Clock::REAL;
        let routes = revtrail::serve::routes(manage::in_process(drop));
        let app = App::new(store.clone(), clock.clone(), Retention::DEFAULT, KEY);
        let folder = Folder::new(scratch.to_owned());
        let files = Files::Folder(folder.clone());
        let bench = Self {
            client: embedded::client(database),
            router: revtrail_web::dispatch::router(routes, app),
            batches: BatchWorker::new(store, Retention::DEFAULT, files),
            folder,
            clock,
        };
        bench
            .call(Method::PUT, "", &json!({"name": "Bench"}))
            .await?;
        for promotion in 0..PROMOTIONS {
            let path = format!("/promotions/p-{promotion}");
            let told = json!({"name": "P", "type": "amount", "value": "5.00", "currency": "EUR", "cap": 1_000_000,
                "tracking_from": bench.clock.now().minus_ms(60_000)});
            bench.call(Method::PUT, &path, &told).await?;
            let codes = json!({"codes": ["SAVE5"]});
            bench
                .call(Method::POST, &format!("{path}/vouchers"), &codes)
                .await?;
        }
        Ok(bench)
    }

    /// Everything once; what it does in a second, the floor first.
    async fn round(&self, round: usize) -> Outcome<[f64; 5]> {
        let ids: Vec<usize> = (round * RECORDS..(round + 1) * RECORDS).collect();
        Ok([
            self.floor(round).await?,
            self.feed("events", &ids, event).await?,
            self.feed("assignments", &ids, assignment).await?,
            self.file(round, &ids).await?,
            self.redeem(&ids[..REDEEMS]).await?,
        ])
    }

    async fn floor(&self, round: usize) -> Outcome<f64> {
        let text = |text: String| AttributeValue::S(text);
        let began = Instant::now();
        for n in 0..PUTS {
            self.client
                .put_item()
                .table_name(TABLE)
                .item("pk", text(format!("floor/{round}/{n}")))
                .item("sk", text("floor".to_owned()))
                .item("d", text("x".repeat(ITEM_CHARS)))
                .send()
                .await?;
        }
        Ok(rate(PUTS, began))
    }

    async fn feed(
        &self,
        what: &str,
        ids: &[usize],
        record: fn(usize, String) -> Value,
    ) -> Outcome<f64> {
        let at = self.clock.now().to_string();
        let record = |id: &usize| record(*id, at.clone());
        let calls: Vec<Value> = ids
            .chunks(CALL)
            .map(|some| some.iter().map(record).collect())
            .collect();
        let began = Instant::now();
        for call in calls {
            let answer = self.call(Method::POST, &format!("/{what}"), &call).await?;
            assert_eq!(answer["accepted"], CALL, "{answer}");
        }
        Ok(rate(ids.len(), began))
    }

    async fn file(&self, round: usize, ids: &[usize]) -> Outcome<f64> {
        let at = self.clock.now();
        let mut rows = "redemption_id,promotion_id,customer_id,voucher_code,redeemed_at,reward_amount,currency\n".to_owned();
        for id in ids {
            let promotion = id % PROMOTIONS;
            writeln!(
                rows,
                "file-{id},p-{promotion},customer-{id},SAVE5,{at},5.00,EUR"
            )?;
        }
        let key = format!("inbox/bench/redemptions/{round}.csv");
        let path = self.folder.root().join(&key);
        path.parent().map(fs::create_dir_all).transpose()?;
        fs::write(path, rows)?;
        let file = File::at(&key).ok_or("no file of redemptions")?;
        let etag = self.folder.etag(&key)?;
        let clock = || self.clock.now();
        let never = revtrail_core::value::time::Instant::MAX;
        let began = Instant::now();
        let turn = self.batches.work(&file, &etag, &clock, never).await?;
        let rate = rate(ids.len(), began);
        let batches = self.call(Method::GET, "/batches", &Value::Null).await?;
        let accepted = &batches["batches"][0]["accepted"];
        assert_eq!(
            (turn, accepted),
            (BatchEnd::Ended, &json!(ids.len())),
            "{batches}"
        );
        Ok(rate)
    }

    async fn redeem(&self, ids: &[usize]) -> Outcome<f64> {
        let began = Instant::now();
        for id in ids {
            let path = format!("/promotions/p-{}/vouchers/SAVE5/redeem", id % PROMOTIONS);
            let asked = json!({"redemption_id": format!("redeem-{id}"), "customer_id": format!("customer-{id}"),
                "reward_amount": "5.00"});
            let answer = self.call(Method::POST, &path, &asked).await?;
            assert_eq!(answer["result"], "success", "{answer}");
        }
        Ok(rate(ids.len(), began))
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Outcome<Value> {
        call::call(&self.router, method, path, body).await
    }
}

fn rate(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

fn event(id: usize, at: String) -> Value {
    json!({"event_id": format!("event-{id}"), "kind": "delivered", "channel": "email", "campaign_id": format!("campaign-{}", id % CAMPAIGNS),
        "customer_id": format!("customer-{id}"), "message_id": format!("message-{id}"), "occurred_at": at})
}

fn assignment(id: usize, at: String) -> Value {
    json!({"assignment_id": format!("assignment-{id}"), "promotion_id": format!("p-{}", id % PROMOTIONS),
        "customer_id": format!("customer-{id}"), "tier_id": format!("tier-{}", id % 3), "segment": format!("segment-{}", id % 5),
        "assigned_at": at})
}
