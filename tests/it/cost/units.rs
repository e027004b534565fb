//! What revtrail costs in read and write units: every scenario through the real routes and the attributor, over a meter. A figure above
//! what it must be fails; prices are those of DynamoDB on demand in us-east-1.

use std::sync::{LazyLock, Mutex};

use http::{Method, StatusCode};
use revtrail_core::attribution::event::{Channel, EventKind};
use revtrail_core::attribution::order::Status;
use revtrail_core::figures::counters::{Counter, Counters};
use revtrail_core::figures::daily::OrderFigures;
use revtrail_core::figures::fold::{Contribution, DayPart, LineCredit, OrderLine};
use revtrail_core::value::address::Recipient;
use revtrail_core::value::id::{CampaignId, MarketplaceId, OrderId};
use revtrail_core::value::money::{Currency, Money};
use revtrail_core::value::time::{DAY_MS, Instant, Retention};
use revtrail_store::Store;
use revtrail_store::jobs::job::{Job, Work};
use revtrail_store::ledger::contribution::{Move, StoredContribution};
use revtrail_store::ledger::daily::AggregateCache;
use revtrail_store::table::embedded::{self, Embedded};
use serde_json::{Value, json};

use crate::cost::campaigns::{AMONG_FEW, AMONG_MANY};
use crate::cost::meter::{Meter, Spent, Units};
use crate::support::service::{ADMIN, Service, block_on};
use crate::support::tripwire::Tripwire;

const NOW: &str = "2026-04-14T12:00:00Z";
pub const CAMPAIGN: &str = "spring-sale-2026-04";

/// Dollars of a million units, on demand.
const WRITE_JOBS: f64 = 0.625;
const READ_JOBS: f64 = 0.125;

pub struct Shop {
    pub service: Service,
    pub meter: Meter,
    /// A key that may take facts in, known to the service already, as after a function's first call.
    key: String,
}

/// Something with the looks of a UUID, always the same for the same words.
pub fn uuid(words: &str) -> String {
    let digit = |seed: u64| {
        let start = 0xcbf2_9ce4_8422_2325 ^ seed;
        let mixed = words.bytes().fold(start, |hash, b| {
            (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        mixed ^ (mixed >> 29)
    };
    let (a, b) = (digit(1), digit(2));
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 48 & 0xfff,
        b & 0xffff_ffff_ffff
    )
}

pub fn customer(i: usize) -> String {
    format!("customer-{i:06}")
}

/// An event of a customer, some seconds after a time.
fn event(campaign: &str, kind: &str, i: usize, since: Instant) -> Value {
    let customer = customer(i);
    json!({
        "event_id": uuid(&format!("{campaign} {kind} {customer}")), "kind": kind, "channel": "email",
        "campaign_id": campaign, "customer_id": customer, "occurred_at": since.plus_ms(i as i64 % 600 * 1_000).to_string(),
    })
}

/// What a campaign does to customers in an hour: sent and delivered to all, opened by 30 %, clicked by 5 %.
pub fn blast(campaign: &str, customers: std::ops::Range<usize>, since: Instant) -> Vec<Value> {
    let kinds = [
        ("sent", 100),
        ("delivered", 100),
        ("opened", 30),
        ("clicked", 5),
    ];
    let each = kinds
        .into_iter()
        .zip(0..)
        .flat_map(|((kind, percent), step)| {
            customers
                .clone()
                .filter(move |i| i * 37 % 100 < percent)
                .map(move |i| event(campaign, kind, i, since.plus_ms(step * 600_000)))
        });
    each.collect()
}

pub fn order(i: usize, status: &str, updated_at: Instant) -> Value {
    let customer = customer(i);
    json!({
        "order_id": uuid(&format!("order {customer}")), "customer_id": customer, "status": status,
        "total": format!("{}.{:02}", 20 + i % 80, i % 100), "currency": "EUR", "source": "website",
        "placed_at": "2026-04-14T11:30:00Z", "updated_at": updated_at.to_string(),
        "items": [{"id": "sku-104711", "name": "Olive oil, 500 ml", "quantity": 2, "cost": "8.90"},
                  {"id": "sku-100815", "name": "Sourdough bread", "quantity": 1, "cost": "4.20"}],
        "email": format!("{customer}@example.com"), "first_name": "Ann", "last_name": "Example",
    })
}

impl Shop {
    fn over(database: Embedded) -> Self {
        let tripwire = Tripwire::over(database);
        let meter = Meter::over(tripwire.clone());
        let store = Store::new(embedded::client(meter.clone()), "revtrail");
        let now = Instant::parse(NOW).unwrap();
        Self {
            service: Service::on(store, tripwire, now, Retention::DEFAULT),
            meter,
            key: String::new(),
        }
    }

    pub async fn open() -> Self {
        Self::open_over(Embedded::memory().unwrap()).await
    }

    async fn open_over(database: Embedded) -> Self {
        let mut shop = Self::over(database);
        let service = &shop.service;
        service.store.create_table().await.unwrap();
        service
            .make("shop", &json!({"timezone": "Europe/Dublin"}))
            .await;
        let (status, made) = service
            .post(
                "/v1/marketplaces/shop/keys",
                &json!({"name": "in", "role": "ingest"}),
            )
            .await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made["key"].as_str().unwrap().clone_into(&mut shop.key);
        let now = shop.service.now();
        // Facts that nobody measures: the marketplace holds an order, the campaign is known, functions are warm.
        let first = [order(999_999, "COMPLETE", now)];
        shop.feed("orders", &first, 100).await;
        shop.feed(
            "events",
            &blast(CAMPAIGN, 999_900..999_999, shop.ago(60)),
            100,
        )
        .await;
        shop.run().await;
        shop
    }

    pub fn ago(&self, minutes: i64) -> Instant {
        self.service.now().minus_ms(minutes * 60_000)
    }

    /// Sends records in calls of a size; all of them are new facts.
    pub async fn feed(&self, what: &str, records: &[Value], size: usize) {
        for some in records.chunks(size) {
            let path = format!("/v1/marketplaces/shop/{what}");
            let (status, body) = self
                .service
                .call_as(&self.key, Method::POST, &path, Some(&json!(some)))
                .await;
            assert_eq!(status, StatusCode::ACCEPTED, "{body}");
            assert_eq!(body["accepted"], json!(some.len()), "{body}");
        }
    }

    /// What the schedule does every hour.
    pub async fn run(&self) {
        self.service.tick("shop").await.unwrap();
        let report = self
            .service
            .get("/v1/marketplaces/shop/reports/campaigns")
            .await;
        assert_eq!(report["pending"], json!(0), "{report}");
    }

    /// What is spent on something.
    pub async fn spent(&self, what: impl Future<Output = ()>) -> Spent {
        let before = self.meter.read();
        what.await;
        self.meter.assert_plain();
        &self.meter.read() - &before
    }

    /// What is spent on an hourly run, without the report that is asked for after it.
    pub async fn spent_on_run(&self) -> Spent {
        let tick = async { self.service.tick("shop").await.unwrap() };
        let spent = self.spent(tick).await;
        self.run().await;
        spent
    }
}

/// A scenario's figures, for one of what it is counted by.
#[derive(Debug, Clone)]
pub struct Row {
    pub per: Units,
    by: Vec<(String, Units)>,
}

impl Row {
    pub fn of(all: &[Spent], count: usize) -> Self {
        let share = |units: Units| Units {
            calls: units.calls / count as f64,
            writes: units.writes / count as f64,
            reads: units.reads / count as f64,
            bytes_put: units.bytes_put / count as f64,
        };
        let mut sum = Units::default();
        let mut by: Vec<(String, Units)> = Vec::new();
        for (i, spent) in all.iter().enumerate() {
            let units = spent.all();
            sum.writes += units.writes;
            sum.reads += units.reads;
            sum.calls += units.calls;
            sum.bytes_put += units.bytes_put;
            let name = |operation: &str| format!("{operation} of part {}", i + 1);
            by.extend(
                spent
                    .0
                    .iter()
                    .map(|(operation, units)| (name(operation), share(*units))),
            );
        }
        Self {
            per: share(sum),
            by,
        }
    }

    /// Dollars of a million.
    fn dollars(&self) -> f64 {
        self.per.writes * WRITE_JOBS + self.per.reads * READ_JOBS
    }

    /// Prints the figures, and fails where one is above what it must be.
    #[track_caller]
    pub fn check(&self, what: &str, must: (Option<f64>, Option<f64>), reach: Option<f64>) {
        let (writes, reads) = (self.per.writes, self.per.reads);
        let bound =
            |bound: Option<f64>| bound.map_or("–".to_owned(), |bound| format!("{bound:.2}"));
        println!(
            "cost | {what} | {writes:.3} W | {reads:.3} R | must {} W, {} R | reach {} | ${:.2} a million",
            bound(must.0),
            bound(must.1),
            bound(reach),
            self.dollars()
        );
        for (operation, units) in self.by.iter().filter(|(_, units)| units.calls > 0.0) {
            println!(
                "       {operation}: {:.3} calls, {:.3} W, {:.3} R",
                units.calls, units.writes, units.reads
            );
        }
        for (figure, must) in [(writes, must.0), (reads, must.1)] {
            assert!(
                must.is_none_or(|must| figure <= must),
                "{what}: {figure} units, must be at most {must:?}"
            );
        }
    }
}

static EVENT_OF_100: LazyLock<Row> = LazyLock::new(|| {
    block_on(async {
        let shop = Shop::open().await;
        let events = blast(CAMPAIGN, 0..1_000, shop.ago(60));
        Row::of(
            &[shop.spent(shop.feed("events", &events, 100)).await],
            events.len(),
        )
    })
});

/// The same, where each event went to an e-mail address.
static EVENT_BY_ADDRESS: LazyLock<Row> = LazyLock::new(|| {
    block_on(async {
        let shop = Shop::open().await;
        let mut events = blast(CAMPAIGN, 0..1_000, shop.ago(60));
        for event in &mut events {
            let fields = event.as_object_mut().unwrap();
            let customer = fields.remove("customer_id").unwrap();
            let email = format!("{}@example.com", customer.as_str().unwrap());
            fields.insert("email".to_owned(), json!(email));
        }
        Row::of(
            &[shop.spent(shop.feed("events", &events, 100)).await],
            events.len(),
        )
    })
});

static EVENT_ALONE: LazyLock<Row> = LazyLock::new(|| {
    block_on(async {
        let shop = Shop::open().await;
        let events = blast(CAMPAIGN, 0..50, shop.ago(60));
        Row::of(
            &[shop.spent(shop.feed("events", &events, 1)).await],
            events.len(),
        )
    })
});

static EVENT_OF_NEW: LazyLock<Row> = LazyLock::new(|| {
    block_on(async {
        let shop = Shop::open().await;
        let events = blast(CAMPAIGN, 0..2_000, shop.ago(60));
        let fed = shop.spent(shop.feed("events", &events, 100)).await;
        Row::of(&[fed, shop.spent_on_run().await], events.len())
    })
});

const OLD_CUSTOMERS: usize = 450;

/// Customers with 90 events each, of 30 campaigns in three months: the key that took them in, and the table.
static HISTORY: LazyLock<(String, Mutex<Embedded>)> = LazyLock::new(|| block_on(history()));

/// A shop over a copy of that table, warm as any other.
async fn over_history((key, database): &(String, Mutex<Embedded>)) -> Shop {
    let mut shop = Shop::over(database.lock().unwrap().copy().unwrap());
    shop.key.clone_from(key);
    // The key is known then, and the rules.
    shop.feed(
        "events",
        &blast(CAMPAIGN, 999_800..999_899, shop.ago(60)),
        100,
    )
    .await;
    shop.run().await;
    shop
}

async fn history() -> (String, Mutex<Embedded>) {
    let database = Embedded::memory().unwrap();
    let shop = Shop::open_over(database.clone()).await;
    for month in 0..3 {
        for campaign in 0..10 {
            let name = format!("newsletter-2026-{month:02}-{campaign:02}");
            let sent = shop.ago((85 - month * 28 - campaign * 2) * 24 * 60);
            let kinds = ["sent", "delivered", "opened"];
            let events = kinds
                .iter()
                .flat_map(|kind| (0..OLD_CUSTOMERS).map(|i| event(&name, kind, i, sent)));
            shop.feed("events", &events.collect::<Vec<_>>(), 900).await;
        }
        shop.run().await;
    }
    (shop.key, Mutex::new(database))
}

static EVENT_OF_OLD: LazyLock<Row> = LazyLock::new(|| {
    let history = &*HISTORY;
    block_on(async {
        let shop = over_history(history).await;
        let events = blast(CAMPAIGN, 0..OLD_CUSTOMERS, shop.ago(60));
        let fed = shop.spent(shop.feed("events", &events, 100)).await;
        Row::of(&[fed, shop.spent_on_run().await], events.len())
    })
});

static ONE_EVENT_OF_OLD: LazyLock<Row> = LazyLock::new(|| {
    let history = &*HISTORY;
    block_on(async {
        let shop = over_history(history).await;
        let one = |i| event(CAMPAIGN, "sent", i, shop.ago(60));
        let events: Vec<Value> = (0..OLD_CUSTOMERS).map(one).collect();
        let fed = shop.spent(shop.feed("events", &events, 100)).await;
        Row::of(&[fed, shop.spent_on_run().await], events.len())
    })
});

/// Customers who clicked and then buy: an order, its next status, and a run after both or after each. The orders name an e-mail address
/// that is new, or none.
async fn orders(run_between: bool, with_address: bool) -> Row {
    let shop = Shop::open().await;
    let customers = 0..900;
    let mut events = blast(CAMPAIGN, customers.clone(), shop.ago(60));
    events.extend(
        customers
            .clone()
            .map(|i| event("reminder-2026-04", "clicked", i, shop.ago(40))),
    );
    shop.feed("events", &events, 100).await;
    shop.run().await;
    let copies = |status: &str, minutes: i64| -> Vec<Value> {
        customers
            .clone()
            .map(|i| order(i, status, shop.ago(minutes)))
            .map(|mut order| {
                if !with_address {
                    order["email"] = Value::Null;
                }
                order
            })
            .collect()
    };
    let mut all = vec![
        shop.spent(shop.feed("orders", &copies("PREPARING", 20), 100))
            .await,
    ];
    if run_between {
        all.push(shop.spent_on_run().await);
    }
    all.push(
        shop.spent(shop.feed("orders", &copies("COMPLETE", 10), 100))
            .await,
    );
    all.push(shop.spent_on_run().await);
    let report = shop
        .service
        .get("/v1/marketplaces/shop/reports/campaigns")
        .await;
    assert_eq!(
        report["credited"]["purchases"],
        json!(customers.len()),
        "{report}"
    );
    Row::of(&all, customers.len())
}

static ORDER_ONE_RUN: LazyLock<Row> = LazyLock::new(|| block_on(orders(false, false)));
static ORDER_OF_NEW_ADDRESS: LazyLock<Row> = LazyLock::new(|| block_on(orders(false, true)));
static ORDER_TWO_RUNS: LazyLock<Row> = LazyLock::new(|| block_on(orders(true, false)));

/// An hourly run over 200 changed customers, beside some who did not change.
async fn run_beside(cold: usize) -> Row {
    let shop = Shop::open().await;
    let cold = 1_000..1_000 + cold;
    shop.feed(
        "events",
        &blast(CAMPAIGN, cold.clone(), shop.ago(24 * 60)),
        1_000,
    )
    .await;
    let some = cold.filter(|i| i % 10 == 0);
    let orders: Vec<Value> = some.map(|i| order(i, "COMPLETE", shop.ago(20))).collect();
    shop.feed("orders", &orders, 1_000).await;
    shop.run().await;
    shop.feed("events", &blast(CAMPAIGN, 0..200, shop.ago(60)), 100)
        .await;
    Row::of(&[shop.spent_on_run().await], 1)
}

static RUN: LazyLock<Row> = LazyLock::new(|| block_on(run_beside(200)));

/// A tick where nothing changed.
static IDLE_RUN: LazyLock<Row> = LazyLock::new(|| {
    block_on(async {
        let shop = Shop::open().await;
        Row::of(&[shop.spent_on_run().await], 1)
    })
});

/// The counters of a campaign on a day, in the digits of a large shop.
pub fn counters(campaign: usize, ago: u32) -> Counters {
    let c = campaign as i64;
    let sent = 20_000 + (c * 7_919 + i64::from(ago) * 104_729) % 20_000;
    let of = |percent: i64| sent * percent / 100 + c % 7;
    let few = |of: i64| (c + i64::from(ago)) % of;
    let counters = [
        of(227),
        of(97),
        of(36),
        of(29),
        of(2),
        of(99),
        of(6),
        of(4),
        few(90),
        few(5),
        0,
        0,
    ];
    counters.into()
}

/// Puts what somebody adds to a day into the first shard of its daily aggregate.
pub async fn put_day(shop: &Shop, ago: u32, part: DayPart) {
    let market = shop
        .service
        .store
        .market(&MarketplaceId::new("shop").unwrap(), Retention::DEFAULT);
    let now = shop.service.now();
    let today = now.day("Europe/Dublin".parse().unwrap());
    let new = Contribution {
        days: [(today.minus(ago), part)].into(),
    };
    let customer = Recipient::parse(&format!("all-of-day-{ago}")).unwrap();
    let unit = Job::new(Work::Fold { next: 0 }, None, 0, 0, now);
    market
        .jobs()
        .add_fold(&unit, std::slice::from_ref(&customer), 0, now)
        .await
        .unwrap();
    let stored = StoredContribution::default();
    let rules = market.settings().rules_seen(0).await.unwrap();
    let moves = vec![Move {
        customer,
        stored,
        new,
    }];
    let first_visible = Retention::DEFAULT.first_visible(today);
    let mut cache = AggregateCache::of(0);
    let moved =
        market
            .contributions()
            .move_all(&unit, moves, rules, first_visible, &mut cache, now);
    moved.await.unwrap();
    market.jobs().job_done(&unit).await.unwrap();
}

/// 500 campaigns, each with figures on ten days of every so many days that are seen, in the digits of a large shop. The report is
/// of the first so many days, and of the days before where it is compared.
async fn report(days: u32, compared: bool) -> Row {
    const CAMPAIGNS: usize = 500;
    const DAYS: u32 = 10;
    let periods = if compared { 2 } else { 1 };
    let shop = Shop::open().await;
    let name = |c: usize| format!("campaign-{c:03}-2026-{:02}", c % 3 + 1);
    for c in 0..CAMPAIGNS {
        let told = json!({"name": format!("Newsletter no. {c} of the season"), "tags": ["newsletter", "food"]});
        let path = format!("/v1/marketplaces/shop/campaigns/{}", name(c));
        assert_eq!(shop.service.put(&path, &told).await.0, StatusCode::CREATED);
    }
    shop.run().await;
    let now = shop.service.now();
    let noon = |ago: u32| now.minus_ms(i64::from(ago) * DAY_MS);
    let today = now.day("Europe/Dublin".parse().unwrap());
    let mut campaign_days = 0;
    for ago in 0..days * periods {
        let mut part = DayPart::default();
        let first = |c: usize| c as u32 % (days - DAYS + 1);
        for c in (0..CAMPAIGNS).filter(|&c| (first(c)..first(c) + DAYS).contains(&(ago % days))) {
            let id = CampaignId::new(&name(c)).unwrap();
            part.counters
                .push((id.clone(), Channel::Email, counters(c, ago)));
            let sent = counters(c, ago)[Counter::Deliveries];
            let amount = Money::parse(&format!("{}.{:02}", sent / 5, c % 100)).unwrap();
            part.orders.push(OrderLine {
                order_id: OrderId::new(&uuid(&format!("{c} {ago}"))).unwrap(),
                placed_at: noon(ago),
                figures: OrderFigures {
                    currency: Currency::parse("EUR").unwrap(),
                    status: Status::Complete,
                    total: amount,
                    refunded: Money::default(),
                    amount,
                    not_counted: None,
                    credit: Some(LineCredit {
                        campaign_id: id,
                        channel: Channel::Email,
                        message_id: None,
                        touch_kind: EventKind::Clicked,
                        touch_at: noon(ago),
                        sent_at: noon(ago),
                    }),
                    first_purchase: true,
                },
            });
            campaign_days += 1;
        }
        put_day(&shop, ago, part).await;
    }
    // Not in the seconds after figures moved, in which a report reads strongly, for twice as much.
    shop.service.set_now(now.plus_ms(60_000));
    assert_eq!(campaign_days, CAMPAIGNS * (DAYS * periods) as usize);
    let path = format!(
        "/v1/marketplaces/shop/reports/campaigns?from={}&to={}&limit=100{}",
        today.plus(1).minus(days),
        today.plus(1),
        if compared { "&compare=previous" } else { "" },
    );
    let read = async {
        let (status, body) = shop.service.call_as(ADMIN, Method::GET, &path, None).await;
        assert_eq!(
            (status, &body["totals"]["campaigns"]),
            (StatusCode::OK, &json!(CAMPAIGNS + 1)),
            "{body}"
        );
        let before = &body["previous"]["totals"]["campaigns"];
        let expected = compared.then_some(CAMPAIGNS);
        assert_eq!(before, &json!(expected), "{body}");
    };
    Row::of(&[shop.spent(read).await], 1)
}

static REPORT: LazyLock<Row> = LazyLock::new(|| block_on(report(90, false)));

#[test]
fn an_event_in_a_call_of_100() {
    EVENT_OF_100.check(
        "an accepted event, in calls of 100",
        (Some(1.05), None),
        None,
    );
}

#[test]
fn an_event_by_address() {
    EVENT_BY_ADDRESS.check(
        "an accepted event by address, in calls of 100",
        (Some(1.05), None),
        None,
    );
}

/// The two items of its link, and a little more of the intake marker and of the list of a job; and reading the link, and the address at
/// the fold.
#[test]
fn an_orders_first_address() {
    let plain = ORDER_ONE_RUN.per;
    ORDER_OF_NEW_ADDRESS.check(
        "the same of an order that names a new address",
        (Some(plain.writes + 2.2), Some(plain.reads + 6.0)),
        None,
    );
}

#[test]
fn an_event_in_a_call_of_its_own() {
    EVENT_ALONE.check(
        "an accepted event, in a call of its own",
        (Some(4.1), None),
        Some(3.0),
    );
}

#[test]
fn an_event_of_a_new_customer() {
    EVENT_OF_NEW.check(
        "an event of a new customer, hourly run included",
        (Some(2.2), Some(1.0)),
        Some(1.95),
    );
}

#[test]
fn an_event_of_a_customer_with_a_history() {
    EVENT_OF_OLD.check(
        "an event of a customer with 90 events before",
        (Some(2.5), Some(3.0)),
        None,
    );
}

#[test]
fn the_one_new_event_of_a_customer_with_a_history() {
    ONE_EVENT_OF_OLD.check(
        "the only new event of a customer with 90 before",
        (None, Some(6.0)),
        None,
    );
}

#[test]
fn an_order_that_changes_before_the_run() {
    ORDER_ONE_RUN.check(
        "a credited order with a later status, one run",
        (Some(8.0), Some(6.0)),
        Some(7.0),
    );
}

#[test]
fn an_order_that_changes_after_a_run() {
    ORDER_TWO_RUNS.check(
        "a credited order with a later status, two runs",
        (Some(12.5), Some(6.0)),
        Some(11.0),
    );
}

#[test]
fn a_run_does_not_read_what_did_not_change() {
    let warm = RUN.per.reads;
    let among_ten_times_more = block_on(run_beside(2_000));
    RUN.check(
        "an hourly run over 200 changed customers beside 200 others",
        (None, None),
        None,
    );
    among_ten_times_more.check(
        "the same beside 2,000 others",
        (None, Some(1.05 * warm)),
        None,
    );
}

#[test]
fn a_report_of_500_campaigns() {
    REPORT.check(
        "a report of 500 campaigns and 5,000 campaign-days",
        (None, Some(60.0)),
        Some(45.0),
    );
}

#[test]
fn a_report_of_500_campaigns_over_30_days_alone_and_compared() {
    for (compared, must) in [(false, 60.0), (true, 110.0)] {
        let what = format!("a report of 500 campaigns over 30 days, compared: {compared}");
        block_on(report(30, compared)).check(&what, (None, Some(must)), None);
    }
}

/// Every customer of the marketplace is read, since the facts say who ordered: here a thousand, with an order and a history of two
/// events each. Written are the what-if, its chunks and its job.
#[test]
fn a_what_if_over_a_thousand_orders() {
    const ORDERS: usize = 1_000;
    let row = block_on(async {
        let shop = Shop::open().await;
        let now = shop.service.now();
        let events = blast(CAMPAIGN, 0..ORDERS, shop.ago(90));
        shop.feed("events", &events, 1_000).await;
        let orders: Vec<Value> = (0..ORDERS).map(|i| order(i, "COMPLETE", now)).collect();
        shop.feed("orders", &orders, 1_000).await;
        shop.run().await;
        let tried = json!({"winner": "last_interaction", "timezone": "Europe/Dublin"});
        let asked = json!({"settings": tried, "from": "2026-04-14", "to": "2026-04-15",
            "models": ["linear", "first", "position_based", "time_decay"]});
        let ask = async {
            let path = "/v1/marketplaces/shop/what-if";
            let (status, body) = shop
                .service
                .call_as(ADMIN, Method::POST, path, Some(&asked))
                .await;
            assert_eq!((status, &body["state"]), (StatusCode::OK, &json!("done")));
            // With the one that the shop was opened with.
            assert_eq!(body["orders"], json!(ORDERS + 1), "{}", body["orders"]);
        };
        Row::of(&[shop.spent(ask).await], ORDERS)
    });
    row.check(
        "an order of a what-if over HTTP",
        (Some(0.1), Some(2.5)),
        None,
    );
}

#[test]
fn a_run_that_finds_nothing() {
    IDLE_RUN.check(
        "an hourly run that finds nothing",
        (Some(3.0), Some(20.0)),
        None,
    );
}

/// A month's bill; every line says what it is the product of.
#[derive(Default)]
struct Bill {
    dollars: f64,
}

impl Bill {
    fn line(&mut self, what: &str, count: f64, of: &str, dollars_a_million: f64) {
        let dollars = count * dollars_a_million / 1e6;
        println!(
            "bill | {what} | {count:.0} {of} x ${dollars_a_million:.4} a million | ${dollars:.2}"
        );
        self.dollars += dollars;
    }
}

/// A million events and ten thousand orders a day, a month of 30 days. What is measured here is read from the rows above; what is
/// assumed stands here with its reason.
#[test]
fn what_a_month_of_a_million_events_a_day_costs() {
    const DAYS: f64 = 30.0;
    const EVENTS: f64 = 1e6 * DAYS;
    const ORDERS: f64 = 1e4 * DAYS;
    const REPORTS: f64 = 1e3 * DAYS;
    const RUNS: f64 = 24.0 * DAYS;
    /// Events of a changed customer in an hour, as a campaign makes them: sent, delivered, 30 % opened, 5 % clicked.
    const EVENTS_OF_ONE: f64 = 2.35;
    const JOB_CUSTOMERS: f64 = 2_500.0;
    const CALL: f64 = 100.0;
    /// 100 puts, 16 at a time, and two intake markers, at 5 ms each: 45 ms; doubled for what is slower.
    const CALL_SECONDS: f64 = 0.1;
    /// 90 reads, 8 at a time, at 5 ms and a transaction of 30 ms: 90 ms; doubled.
    const BATCH_SECONDS: f64 = 0.2;
    /// What the template gives the functions that take facts in, and the others.
    const INTAKE_GB: f64 = 0.25;
    const OTHERS_GB: f64 = 1.0;
    const REPORT_SECONDS: f64 = 0.1;
    /// Lambda on x86-64, dollars of a million GB-seconds and of a million calls; SQS, of a million requests.
    const GB_SECONDS: f64 = 16.6667;
    const CALLS: f64 = 0.20;
    const REQUESTS: f64 = 0.40;
    /// Lambda's five pollers ask a quiet queue every 20 s.
    const POLLS: f64 = 5.0 * 3.0 * 60.0 * 24.0 * DAYS;
    /// A table's GB for a month, and the same of its point-in-time recovery; each item is stored with 100 bytes more.
    const GB: f64 = 0.25 + 0.20;
    const ITEM_BYTES: f64 = 100.0;

    let mut bill = Bill::default();
    let (event, order) = (&*EVENT_OF_OLD, &*ORDER_TWO_RUNS);
    bill.line(
        "events, of customers with 90 before, runs included",
        EVENTS,
        "events",
        event.dollars(),
    );
    let (few, many) = (&*AMONG_FEW, &*AMONG_MANY);
    bill.line(
        "the same events, what 1,000 campaigns a day on three channels add",
        EVENTS,
        "events",
        many.dollars() - few.dollars(),
    );
    bill.line(
        "orders, one later status, runs included",
        ORDERS,
        "orders",
        order.dollars(),
    );
    bill.line(
        "orders, the first that names an address: each",
        ORDERS,
        "orders",
        2.2 * WRITE_JOBS + 6.0 * READ_JOBS,
    );
    bill.line(
        "hourly runs, what they cost without customers",
        RUNS,
        "runs",
        IDLE_RUN.dollars(),
    );
    bill.line(
        "campaign reports of 500 campaigns",
        REPORTS,
        "reports",
        REPORT.dollars(),
    );
    let calls = (EVENTS + 2.0 * ORDERS) / CALL;
    bill.line(
        "HTTP API, calls of 100 (function URLs: nothing)",
        calls + REPORTS,
        "calls",
        1.0,
    );
    bill.line(
        "Lambda, calls taking facts in, and reports",
        calls + REPORTS,
        "calls",
        CALLS,
    );
    bill.line(
        "Lambda, time of calls taking facts in, 256 MB",
        calls * CALL_SECONDS * INTAKE_GB,
        "GB-seconds",
        GB_SECONDS,
    );
    bill.line(
        "Lambda, time of reports, 1 GB",
        REPORTS * REPORT_SECONDS * OTHERS_GB,
        "GB-seconds",
        GB_SECONDS,
    );
    let customers = EVENTS / EVENTS_OF_ONE + 2.0 * ORDERS;
    bill.line(
        "Lambda, time of folding 90 at once, 1 GB",
        customers / 90.0 * BATCH_SECONDS * OTHERS_GB,
        "GB-seconds",
        GB_SECONDS,
    );
    let messages = RUNS + customers / JOB_CUSTOMERS;
    bill.line(
        "SQS: send, receive, delete, and asking",
        3.0 * messages + POLLS,
        "requests",
        REQUESTS,
    );
    let kept_days = Retention::DEFAULT.keep_ms() as f64 / DAY_MS as f64;
    let day = EVENTS / DAYS * (EVENT_OF_100.per.bytes_put + ITEM_BYTES)
        + ORDERS / DAYS * (order.per.bytes_put + 2.0 * ITEM_BYTES);
    let gigabytes = day * kept_days / 1e9;
    let dollars = gigabytes * GB;
    println!(
        "bill | table and its backup, facts of {kept_days:.0} days | {gigabytes:.1} GB x ${GB:.2} | ${dollars:.2}"
    );
    bill.dollars += dollars;
    println!("bill | a month in all | | ${:.2}", bill.dollars);
    assert!(
        bill.dollars > 0.0 && bill.dollars < 100.0,
        "{}",
        bill.dollars
    );
}
