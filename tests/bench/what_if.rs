//! How fast a what-if is, with four models more: by `core` alone over facts in memory, and as the service answers it on its embedded
//! database, from the call to the end. Every order has ten events of five messages before it. Prints a table in Markdown.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Moment};

use axum::Router;
use clap::Parser;
use hourly_attributor::Attributor;
use http::Method;
use revtrail_aws::clock::Clock;
use revtrail_core::attribution::campaign::{Campaign, Catalog};
use revtrail_core::attribution::decide::Rules;
use revtrail_core::attribution::event::Event;
use revtrail_core::attribution::models::Model;
use revtrail_core::attribution::order::Order;
use revtrail_core::attribution::settings::{Bound, Period, Settings, Versions};
use revtrail_core::figures::fold::World;
use revtrail_core::figures::preview::{Comparison, Proposal};
use revtrail_core::record::Record;
use revtrail_core::value::id::{CampaignId, MarketplaceId};
use revtrail_core::value::time::{DAY_MS, Instant, Retention};
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::table::embedded::{self, Embedded};
use revtrail_web::app::App;
use serde_json::{Value, json};

mod call;

use call::{KEY, Outcome};

/// Measures what-ifs.
#[derive(Parser)]
struct Args {
    /// How many orders `core` looks at
    #[arg(long, default_value_t = 1_000_000)]
    orders: usize,
    /// How many orders the service looks at, after it took them in and folded them
    #[arg(long, default_value_t = 20_000)]
    served: usize,
    /// Where the table of the service is kept: taking the orders in takes most of the time, so it is done once
    #[arg(long, default_value = "target/what-if")]
    folder: PathBuf,
    /// Cargo tells every benchmark that it is one
    #[arg(long, hide = true)]
    bench: bool,
}

/// When the service and the facts are.
const NOW: &str = "2026-11-20T12:00:00Z";
const CAMPAIGNS: usize = 50;
/// Orders of a customer, a day apart.
const ORDERS_OF_ONE: usize = 4;
/// Messages before an order; each is delivered and opened.
const MESSAGES: usize = 5;
/// How many customers `core` looks at between two looks at the clock.
const AT_ONCE: usize = 500;
/// Records of a call.
const CALL: usize = 1_000;
const MODELS: [&str; 4] = ["linear", "first", "position_based", "time_decay"];

/// The records of a customer: events, and orders.
fn facts_of(customer: usize, now: Instant) -> (Vec<Value>, Vec<Value>) {
    let (mut events, mut orders) = (Vec::new(), Vec::new());
    for nth in 0..ORDERS_OF_ONE {
        let placed = now.minus_ms((nth as i64 + 1) * DAY_MS + customer as i64 % 40_000);
        orders.push(json!({
            "order_id": format!("o-{customer}-{nth}"), "customer_id": format!("c-{customer}"), "status": "COMPLETE",
            "total": format!("{}.{:02}", 10 + customer % 90, nth * 7), "currency": "EUR", "placed_at": placed,
        }));
        for message in 0..MESSAGES {
            let sent = placed.minus_ms((message as i64 + 1) * 3_600_000);
            // The message that was sent first is opened last, so the winner is another by the other rule.
            let opened_ms = [600_000, 17_640_000][usize::from(message + 1 == MESSAGES)];
            for (kind, after_ms) in [("delivered", 0), ("opened", opened_ms)] {
                events.push(json!({
                    "event_id": format!("e-{customer}-{nth}-{message}-{kind}"), "kind": kind, "channel": "email",
                    "campaign_id": format!("k-{}", (customer * 7 + nth * 3 + message) % CAMPAIGNS),
                    "customer_id": format!("c-{customer}"), "message_id": format!("m-{nth}"),
                    "occurred_at": sent.plus_ms(after_ms),
                }));
            }
        }
    }
    (events, orders)
}

fn settings(tried: bool) -> Value {
    let winner = if tried {
        "last_interaction"
    } else {
        "last_sent"
    };
    json!({"supersede": "none", "winner": winner, "counted_statuses": ["COMPLETE"]})
}

fn main() -> Outcome<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut table = "| what | orders | events | seconds | orders a second | of a processor, s | orders a second of it | aim |\n|---|---|---|---|---|---|---|---|\n".to_owned();
    let mut line = |what: &str, orders: usize, [took, busy]: [Duration; 2], aim: &str| {
        let [seconds, busy] = [took, busy].map(|time| time.as_secs_f64());
        let events = orders * MESSAGES * 2;
        let [rate, of_it] = [seconds, busy].map(|seconds| orders as f64 / seconds);
        table += &format!(
            "| {what} | {orders} | {events} | {seconds:.2} | {rate:.0} | {busy:.2} | {of_it:.0} | {aim} |\n"
        );
    };
    if args.orders > 0 {
        let took = core_alone(args.orders)?;
        line(
            "`core`, one thread",
            args.orders,
            took,
            "100,000 orders a second",
        );
    }
    if args.served > 0 {
        let folder = args.folder.join(format!("orders-{}", args.served));
        fs::create_dir_all(&folder)?;
        let took = runtime.block_on(served(args.served, &folder));
        line(
            "the service, from the call to the end",
            args.served,
            took?,
            "1,000,000 in 60 seconds: 16,667 a second, 8,333 of each of two processors",
        );
    }
    println!("{table}");
    Ok(())
}

/// How long the processors were busy with this process; nothing where the system does not say. It counts in hundredths of a second.
fn busy() -> Duration {
    let told = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name of the program, which can hold blanks, the 12th and the 13th: for the program, and for the system on its behalf.
    let behind = told.rsplit(')').next().unwrap_or_default();
    let ticks = behind.split_whitespace().skip(11).take(2);
    Duration::from_millis(10 * ticks.filter_map(|one| one.parse::<u64>().ok()).sum::<u64>())
}

/// How long `core` looks at so many orders, without the making of their facts, and how long the processor was busy with it.
fn core_alone(orders: usize) -> Outcome<[Duration; 2]> {
    let read = |of: Value| Settings::read(&of, Retention::DEFAULT.look_back_ms());
    let bad = |why| format!("bad settings: {why:?}");
    let versions = Versions::only(read(settings(false)).map_err(bad)?);
    let tried = read(settings(true)).map_err(bad)?;
    let campaign = |n| Ok(Campaign::named_by_id(CampaignId::new(&format!("k-{n}"))?));
    let campaigns = (0..CAMPAIGNS).map(campaign).collect::<Outcome<Vec<_>>>()?;
    let (catalog, marketplace) = (Catalog::new(campaigns), MarketplaceId::of_files());
    let world = World::new(
        &marketplace,
        &catalog,
        &versions,
        Some(Retention::DEFAULT.look_back_ms()),
    );
    let models: Vec<Model> = serde_json::from_value(json!(MODELS))?;
    let now = Instant::parse(NOW)?;
    let proposal = Proposal {
        period: Period {
            from: Bound::Instant(now.minus_ms(30 * DAY_MS)),
            to: Bound::Instant(now),
        },
        rules: Rules::new(&tried, &catalog),
        models: &models,
    };
    let by_address = BTreeMap::new();
    let (mut took, mut ran) = (Duration::ZERO, Duration::ZERO);
    let mut compared = Comparison::new(&world, &proposal);
    let customers = Vec::from_iter(0..orders / ORDERS_OF_ONE);
    for some in customers.chunks(AT_ONCE) {
        let facts = some
            .iter()
            .map(|customer| read_facts(*customer, now, &marketplace));
        let facts = facts.collect::<Outcome<Vec<_>>>()?;
        let (began, was_busy) = (Moment::now(), busy());
        for (events, orders) in &facts {
            let timelines = world.timelines(events, &by_address, orders);
            compared.add_customer(&timelines, orders);
        }
        took += began.elapsed();
        ran += busy() - was_busy;
    }
    let preview = compared.preview();
    assert_eq!(
        preview.orders as usize,
        orders / ORDERS_OF_ONE * ORDERS_OF_ONE
    );
    assert_eq!(preview.moved_total, preview.orders);
    Ok([took, ran])
}

/// The facts of a customer, as `core` has them.
fn read_facts(
    customer: usize,
    now: Instant,
    marketplace: &MarketplaceId,
) -> Outcome<(Vec<Event>, Vec<Order>)> {
    let (events, orders) = facts_of(customer, now);
    let events = events.iter().map(|one| {
        let text = one.to_string();
        let record = Record::from_json(&text).map_err(|why| why.detail)?;
        Ok(Event::read(&record, marketplace, None).map_err(|why| why.detail)?)
    });
    let events = events.collect::<Outcome<Vec<Event>>>()?;
    let orders = orders.iter().map(|one| {
        let text = one.to_string();
        let record = Record::from_json(&text).map_err(|why| why.detail)?;
        Ok(Order::read(&record, None).map_err(|why| why.detail)?)
    });
    Ok((events, orders.collect::<Outcome<Vec<Order>>>()?))
}

/// A service in this process, without the socket, and the job messages that it would send.
struct Service {
    router: Router,
    attributor: Attributor,
    clock: Clock,
    enqueued: Arc<Mutex<Vec<JobMessage>>>,
}

/// How long a what-if takes from the call to the end, in a service that has so many orders, and how long the processors were busy with it.
async fn served(orders: usize, folder: &Path) -> Outcome<[Duration; 2]> {
    let store = embedded::store(Embedded::file(&folder.join("bench.db"))?).await?;
    let enqueued: Arc<Mutex<Vec<JobMessage>>> = Arc::default();
    let waiting = Arc::clone(&enqueued);
    let enqueue = manage::in_process(move |message| {
        if let Ok(mut waiting) = waiting.lock() {
            waiting.push(message);
        }
    });
    let now = Instant::parse(NOW)?;
    let clock = Clock::starting_at(now);
    let app = App::new(store.clone(), clock.clone(), Retention::DEFAULT, KEY);
    let service = Service {
        router: revtrail_web::dispatch::router(revtrail::serve::routes(enqueue), app),
        attributor: Attributor::new(store, Retention::DEFAULT),
        clock,
        enqueued,
    };
    let (customers, made) = (orders / ORDERS_OF_ONE, folder.join("made"));
    if !made.exists() {
        service.take_in(customers, now).await?;
        fs::write(&made, "")?;
    }
    let asked = json!({"settings": settings(true), "from": "2026-11-01", "to": "2026-11-21", "models": MODELS});
    let (began, was_busy) = (Moment::now(), busy());
    let mut answer = service.call(Method::POST, "/what-if", &asked).await?;
    eprintln!(
        "the call answered after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let path = format!(
        "/what-ifs/{}",
        answer["what_if_id"].as_str().ok_or("no what_if_id")?
    );
    let done = AtomicBool::new(false);
    let work = async {
        let worked = service.work_off().await;
        done.store(true, Ordering::SeqCst);
        worked
    };
    let watch = async {
        while !done.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let told = service.call(Method::GET, &path, &Value::Null).await?;
            let seconds = began.elapsed().as_secs_f64();
            eprintln!("progress {} after {seconds:.1} s", told["progress"]);
        }
        Ok::<(), Box<dyn Error>>(())
    };
    if answer["state"] == "running" {
        let (worked, watched) = tokio::join!(work, watch);
        worked?;
        watched?;
        answer = service.call(Method::GET, &path, &Value::Null).await?;
    }
    let took = [began.elapsed(), busy() - was_busy];
    assert_eq!(answer["state"], "done", "{}", answer["state"]);
    assert_eq!(answer["orders"], json!(customers * ORDERS_OF_ONE));
    Ok(took)
}

impl Service {
    /// Takes in the facts of so many customers, and folds them.
    async fn take_in(&self, customers: usize, now: Instant) -> Outcome<()> {
        let made = json!({"name": "Bench", "settings": settings(false)});
        self.call(Method::PUT, "", &made).await?;
        let (mut events, mut copies) = (Vec::new(), Vec::new());
        for customer in 0..customers {
            let (of_one, orders_of_one) = facts_of(customer, now);
            events.extend(of_one);
            copies.extend(orders_of_one);
            let is_last = customer + 1 == customers;
            for (what, records) in [("events", &mut events), ("orders", &mut copies)] {
                while records.len() >= CALL || is_last && !records.is_empty() {
                    let some: Vec<Value> = records.drain(..records.len().min(CALL)).collect();
                    self.call(Method::POST, &format!("/{what}"), &json!(some))
                        .await?;
                }
            }
            if customer % (customers / 20).max(1) == 0 {
                eprintln!("taken in: {customer} of {customers} customers");
            }
        }
        self.call(Method::POST, "/runs", &json!({})).await?;
        eprintln!("folding");
        self.work_off().await?;
        Ok(())
    }

    /// Does what the job messages point at, and all that follows.
    async fn work_off(&self) -> Outcome<()> {
        let messages = self
            .enqueued
            .lock()
            .map(|mut all| std::mem::take(&mut *all));
        let messages = messages.map_err(|_| "a thread that held the messages panicked")?;
        let clock = || self.clock.now();
        Ok(self.attributor.drain(messages, &clock).await?)
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Outcome<Value> {
        call::call(&self.router, method, path, body).await
    }
}
