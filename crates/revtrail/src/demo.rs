//! The sample marketplace of `serve --demo`: campaigns on three channels over thirteen weeks, some thousand customers, refunds, late
//! opens, opens by machines, an excluded tag, promotions, files, two versions of the settings, and a replay that was only tried. The
//! sample is the same every time, except for its dates. Its facts come in as those of any marketplace do, only many in one transaction.

mod campaigns;
mod files;
mod promotions;
mod rules;
mod senders;

use std::path::Path;

use hourly_attributor::Attributor;
use indicatif::{ProgressBar, ProgressStyle};
use revtrail_core::attribution::event::{Channel, Event, EventKind};
use revtrail_core::attribution::order::{Order, Status};
use revtrail_core::record::AcceptanceWindow;
use revtrail_core::value::id::{
    BadId, CampaignId, CustomerId, EventId, MarketplaceId, MessageId, OrderId,
};
use revtrail_core::value::money::{Currency, Money};
use revtrail_core::value::time::{DAY_MS, HOUR_MS, Instant, Retention};
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::market::Created;
use revtrail_store::table::fault::Cause;
use revtrail_store::{Store, StoreError};

/// The id of the sample marketplace.
pub(crate) const MARKETPLACE: &str = "demo";
/// The id of an order whose explanation is interesting.
pub(crate) const AN_ORDER: &str = "order-00001";

const CUSTOMERS: u64 = 800;
const CALL: usize = 2_000;
/// Who did what was not done by a shop or a mail tool.
const BY: &str = "demo";

/// How many days back the sample goes: thirteen weeks, less what is no longer seen at their beginning.
const DAYS: i64 = 88;

/// A tiny generator of numbers that look random; the same seed gives the same numbers (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.roll(100) < chance
    }

    fn ms(&mut self, below: i64) -> i64 {
        self.roll(below.unsigned_abs().max(1)) as i64
    }
}

/// All facts of the sample marketplace.
struct SampleShop {
    events: Vec<Event>,
    orders: Vec<Order>,
}

/// Loads the sample if the marketplace does not exist yet, and runs the attributor once.
///
/// # Errors
/// As every call of the table: [`StoreError::is_busy`] says whether to try again.
pub(crate) async fn load(
    store: &Store,
    retention: Retention,
    now: Instant,
    data: Option<&Path>,
    terminal: bool,
) -> Result<(), StoreError> {
    let id = MarketplaceId::new(MARKETPLACE).map_err(refused)?;
    let market = store.market(&id, retention);
    let first = rules::first(&retention)?;
    let began = now.minus_ms((DAYS + 1) * DAY_MS);
    if let Created::Exists(_) = market
        .create("Harbour Kitchen (sample)", first, BY, began)
        .await?
    {
        return Ok(());
    }
    campaigns::load(&market, now).await?;
    let mut dice = Dice(20_261_122);
    let mut sample = sample(&mut dice, now).map_err(refused)?;
    promotions::add_codes(&mut sample.events);
    senders::by_address(&mut sample.events, &id);
    let bar = if terminal {
        ProgressBar::new((sample.events.len() + sample.orders.len()) as u64)
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) =
        ProgressStyle::with_template("loading the sample {wide_bar} {pos}/{len} facts")
    {
        bar.set_style(style);
    }
    for some in sample.events.chunks(CALL) {
        ingest_event::ingest_first(&market, some, now).await?;
        bar.inc(some.len() as u64);
    }
    for some in sample.orders.chunks(CALL) {
        ingest_order::ingest_first(&market, some, now).await?;
        bar.inc(some.len() as u64);
    }
    let acceptance_window = AcceptanceWindow { now, retention };
    promotions::load(&market, &acceptance_window, &sample, &mut dice).await?;
    files::load(store, retention, now, data, &sample).await?;
    senders::load(&market, now).await?;
    rules::change(&market, now).await?;
    let attributor = Attributor::new(store.clone(), retention);
    let drain = async |message| {
        let drained = attributor.drain(vec![message], &|| now).await;
        drained.map_err(refused)
    };
    drain(JobMessage::Plan {
        marketplace: id,
        run_id: None,
    })
    .await?;
    drain(rules::try_a_replay(&market, now).await?).await?;
    bar.finish_and_clear();
    Ok(())
}

fn refused(why: impl Into<Cause>) -> StoreError {
    StoreError::Refused {
        op: "loading the sample",
        source: why.into(),
    }
}

fn sample(dice: &mut Dice, now: Instant) -> Result<SampleShop, BadId> {
    let mut sample = SampleShop {
        events: Vec::new(),
        orders: Vec::new(),
    };
    // Campaigns go out at ten in the morning.
    let today = now.minus_ms(now.ms().rem_euclid(DAY_MS));
    for customer in 0..CUSTOMERS {
        let customer = format!("customer-{customer:04}");
        let mut urge: Vec<Instant> = Vec::new();
        for (name, channel, _, days_ago, share, triggered) in campaigns::ALL {
            if !dice.percent(share) {
                continue;
            }
            let spread = if triggered {
                dice.ms(days_ago * DAY_MS)
            } else {
                10 * HOUR_MS + dice.ms(20 * 60 * 1000)
            };
            let sent = today.minus_ms(days_ago * DAY_MS).plus_ms(spread);
            message(
                &mut sample,
                dice,
                name,
                channel,
                &customer,
                sent,
                now,
                &mut urge,
            )?;
        }
        let by_themselves = dice.roll(100);
        for _ in 0..(by_themselves < 55) as u8 + (by_themselves < 20) as u8 {
            urge.push(now.minus_ms(HOUR_MS + dice.ms(DAYS * DAY_MS)));
        }
        for at in urge.into_iter().filter(|at| *at < now) {
            order(&mut sample, dice, &customer, at, now)?;
        }
    }
    Ok(sample)
}

#[expect(clippy::too_many_arguments, reason = "one message is that many things")]
fn message(
    sample: &mut SampleShop,
    dice: &mut Dice,
    campaign: &str,
    channel: Channel,
    customer: &str,
    sent: Instant,
    now: Instant,
    urge: &mut Vec<Instant>,
) -> Result<(), BadId> {
    let app_version = if dice.percent(12) { "5.0.4" } else { "5.2.1" };
    let mut add = |kind: EventKind, at: Instant, machine: bool| -> Result<(), BadId> {
        if at < now {
            let push = channel == Channel::Push;
            sample.events.push(Event {
                event_id: EventId::new(&format!("event-{:06}", sample.events.len()))?,
                kind,
                channel,
                campaign_id: CampaignId::new(campaign)?,
                recipient: CustomerId::new(customer)?.into(),
                message_id: Some(MessageId::new(&format!("{campaign}/{customer}"))?),
                occurred_at: at,
                url: (kind == EventKind::Clicked)
                    .then(|| format!("https://harbour-kitchen.example/{campaign}")),
                machine,
                promotion_id: None,
                voucher_code: None,
                app_version: push.then(|| app_version.to_owned()),
            });
        }
        Ok(())
    };
    add(EventKind::Sent, sent, false)?;
    if channel == Channel::Email && dice.percent(2) {
        return add(EventKind::Bounced, sent.plus_ms(40_000), false);
    }
    if dice.percent(2) {
        return add(EventKind::Failed, sent.plus_ms(30_000), false);
    }
    let delivered = sent.plus_ms(5_000 + dice.ms(60_000));
    add(EventKind::Delivered, delivered, false)?;
    if channel == Channel::Sms {
        if dice.percent(6) {
            urge.push(delivered.plus_ms(dice.ms(10 * HOUR_MS)));
        }
        return Ok(());
    }
    if channel == Channel::Email && dice.percent(9) {
        add(EventKind::Opened, delivered.plus_ms(2_000), true)?;
    }
    if !dice.percent(if channel == Channel::Email { 34 } else { 18 }) {
        return Ok(());
    }
    // Most customers open within hours, some of them days later.
    let wait = if dice.percent(15) {
        3 * DAY_MS + dice.ms(4 * DAY_MS)
    } else {
        dice.ms(9 * HOUR_MS)
    };
    let opened = delivered.plus_ms(wait);
    add(EventKind::Opened, opened, false)?;
    if dice.percent(22) {
        let clicked = opened.plus_ms(15_000 + dice.ms(180_000));
        add(EventKind::Clicked, clicked, false)?;
        if dice.percent(20) {
            add(EventKind::Clicked, clicked.plus_ms(dice.ms(HOUR_MS)), false)?;
        }
        if dice.percent(45) {
            urge.push(clicked.plus_ms(120_000 + dice.ms(5 * HOUR_MS)));
        }
    } else if dice.percent(7) {
        urge.push(opened.plus_ms(dice.ms(2 * DAY_MS)));
    }
    Ok(())
}

fn order(
    sample: &mut SampleShop,
    dice: &mut Dice,
    customer: &str,
    placed_at: Instant,
    now: Instant,
) -> Result<(), BadId> {
    let number = sample.orders.len() + 1;
    let total =
        Money::parse(&format!("{}.{:02}", 9 + dice.roll(52), dice.roll(100))).unwrap_or_default();
    let (status, refunded_total) = match dice.roll(100) {
        0..=3 => (Status::Cancelled, Money::ZERO),
        4..=5 => (Status::Refunded, total),
        6..=8 => (
            Status::Complete,
            Money::parse(&format!("{}.50", 1 + dice.roll(7))).unwrap_or_default(),
        ),
        9..=11 => (Status::Pending, Money::ZERO),
        _ => (Status::Complete, Money::ZERO),
    };
    let currency = if dice.percent(3) { "GBP" } else { "EUR" };
    let order_id = OrderId::new(&format!("order-{number:05}"))?;
    let confirmed = placed_at.plus_ms(60_000);
    sample.orders.push(Order {
        coupon_codes: vec![],
        currency: Currency::parse(currency).unwrap_or_else(|| unreachable!("both are in ISO 4217")),
        customer_id: CustomerId::new(customer)?,
        email: Some(format!("{customer}@example.com")),
        erased_addresses: vec![],
        first_name: None,
        items: vec![],
        last_name: None,
        order_id,
        phone: None,
        placed_at,
        refunded_total,
        sent_with: None,
        source: Some(if dice.percent(55) { "website" } else { "app" }.to_owned()),
        status,
        total,
        updated_at: Some(confirmed.plus_ms(dice.ms(HOUR_MS))).filter(|at| *at < now),
    });
    // The confirmation is a message too: its tag keeps it from earning the next order.
    let mut no_urge = Vec::new();
    message(
        sample,
        dice,
        "order-confirmation",
        Channel::Email,
        customer,
        confirmed,
        now,
        &mut no_urge,
    )
}
