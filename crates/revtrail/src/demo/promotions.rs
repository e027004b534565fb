//! The promotions of the sample: a code for every customer who is welcomed, an offer with two tiers that a till redeems, one that is
//! over, one whose budget is nearly spent, and one that has not begun. Their facts are records, as a partner would send them.

use std::collections::BTreeMap;

use revtrail_core::attribution::event::{Event, EventKind};
use revtrail_core::attribution::order::{Order, Status};
use revtrail_core::promotion::PromotionInput;
use revtrail_core::promotion::redemption::{Assignment, Redemption, Rollback};
use revtrail_core::record::{AcceptanceWindow, Record, RecordProblem};
use revtrail_core::value::id::{CustomerId, PromotionId, RedemptionId, VoucherCode};
use revtrail_core::value::time::{DAY_MS, HOUR_MS, Instant};
use revtrail_store::StoreError;
use revtrail_store::market::Market;
use revtrail_store::promotions::redeem::{Arrival, PromotionRecord};
use revtrail_store::promotions::vouchers::NewVoucher;
use serde_json::{Value, json};

use super::{BY, DAYS, Dice, SampleShop, refused};

const WELCOME: &str = "welcome-gift";
const WARMERS: &str = "winter-warmers";
const HARVEST: &str = "harvest-thanks";
const FRIDAY: &str = "black-friday";
/// The promotion that the files of the till redeem.
pub(super) const LUNCH: &str = "lunch-club";
/// How many records one call has.
const CALL: usize = 500;

/// Adds codes: every message of a welcome carries a code of its customer's own.
pub(super) fn add_codes(events: &mut [Event]) {
    for event in events {
        if event.campaign_id.as_str() == "welcome"
            && let Some(customer) = event.recipient.customer()
        {
            event.promotion_id = PromotionId::new(WELCOME).ok();
            event.voucher_code = VoucherCode::new(&code_of(customer)).ok();
        }
    }
}

fn code_of(customer: &CustomerId) -> String {
    customer.as_str().replace("customer-", "WELCOME-")
}

/// Defines the promotions, and submits which customers got them and used them.
pub(super) async fn load(
    market: &Market,
    acceptance_window: &AcceptanceWindow,
    sample: &SampleShop,
    dice: &mut Dice,
) -> Result<(), StoreError> {
    let now = acceptance_window.now;
    // The customers to whom a campaign was sent, and when.
    let sent = |campaign: &'static str| {
        let of = move |event: &Event| {
            let is = event.campaign_id.as_str() == campaign && event.kind == EventKind::Sent;
            is.then_some(event.occurred_at)
        };
        let events = sample.events.iter();
        events.filter_map(move |event| Some((event.recipient.customer()?, of(event)?)))
    };
    let codes = sent("welcome").map(|(customer, _)| code_of(customer));
    make(market, WELCOME, &welcome(now), codes, now).await?;
    for (id, body) in [
        (WARMERS, warmers(now)),
        (HARVEST, harvest(now)),
        (LUNCH, lunch(now)),
    ] {
        make(market, id, &body, std::iter::empty(), now).await?;
    }
    let code = ["BLACK10".to_owned()].into_iter();
    make(market, FRIDAY, &friday(now), code, now).await?;

    let mut offers: BTreeMap<(&CustomerId, &str), (Instant, &str)> = BTreeMap::new();
    let mut assigned = Vec::new();
    for (customer, at) in sent("welcome") {
        offers.insert((customer, WELCOME), (at, "5.00"));
        // Some of them were handed out at the counter.
        let channel = if customer.as_str().ends_with('7') {
            "manual"
        } else {
            "api"
        };
        assigned.push(
            json!({"assignment_id": format!("{WELCOME}/{customer}"), "promotion_id": WELCOME,
            "customer_id": customer, "voucher_code": code_of(customer), "segment": "new", "assigned_at": at, "channel": channel}),
        );
    }
    for (customer, at) in sent("winter-warmers") {
        let bought = |order: &Order| order.customer_id == *customer && order.placed_at < at;
        let regular = sample.orders.iter().any(bought);
        let (tier, reward) = if regular && dice.percent(60) {
            ("gold", "6.00")
        } else {
            ("silver", "3.00")
        };
        offers.insert((customer, WARMERS), (at, reward));
        assigned.push(json!({"assignment_id": format!("{WARMERS}/{customer}"), "promotion_id": WARMERS, "customer_id": customer,
            "tier_id": tier, "segment": if regular { "regular" } else { "occasional" }, "assigned_at": at}));
    }
    for (customer, at) in sent("harvest-sale") {
        offers.insert((customer, HARVEST), (at, "2.00"));
        assigned.push(json!({"assignment_id": format!("{HARVEST}/{customer}"), "promotion_id": HARVEST, "customer_id": customer,
            "segment": "newsletter", "assigned_at": at}));
    }
    let entry = |submitted: &Record<'_>| {
        Assignment::read(submitted, acceptance_window).map(PromotionRecord::Assigned)
    };
    take_in(market, &assigned, entry, now).await?;

    let mut redeemed = Vec::new();
    let mut taken_back = Vec::new();
    for order in &sample.orders {
        for promotion in [WELCOME, WARMERS, HARVEST] {
            let place = (&order.customer_id, promotion);
            let offer = offers.get(&place).copied();
            let Some((_, reward)) = offer.filter(|(at, _)| order.placed_at > *at) else {
                continue;
            };
            // A till that is late takes an offer now and then whose time is over.
            let is_over = promotion == HARVEST && order.placed_at > harvest_ends(now);
            if !dice.percent(if is_over { 2 } else { 55 }) {
                continue;
            }
            offers.remove(&place);
            let id = format!("{promotion}/{}", order.order_id);
            let code = (promotion == WELCOME).then(|| code_of(&order.customer_id));
            let fails = dice.percent(6);
            redeemed.push(json!({"redemption_id": id, "promotion_id": promotion, "customer_id": order.customer_id,
                "voucher_code": code, "order_id": order.order_id, "redeemed_at": order.placed_at,
                "result": if fails { "failure" } else { "success" },
                "failure_code": fails.then_some("basket_too_small"), "reward_amount": reward, "currency": "EUR"}));
            if order.status == Status::Refunded && !fails {
                taken_back.push(id);
            }
        }
    }
    let entry = |submitted: &Record<'_>| {
        Redemption::read(submitted, acceptance_window).map(PromotionRecord::Redeemed)
    };
    take_in(market, &redeemed, entry, now).await?;
    for id in taken_back {
        let submitted =
            json!({"rollback_id": format!("{id}/back"), "reason": "the order was refunded"})
                .to_string();
        let rollback =
            Record::from_json(&submitted).and_then(|submitted| Rollback::read(&submitted));
        let redemption = RedemptionId::new(&id).map_err(refused)?;
        market
            .redemptions()
            .roll_back(&redemption, rollback.map_err(wrong)?, now)
            .await?;
    }
    Ok(())
}

fn welcome(now: Instant) -> Value {
    json!({"name": "Welcome gift", "kind": "personalised", "type": "amount", "value": "5.00", "currency": "EUR",
        "redemption_limit": 1, "budget": {"amount": "1500.00", "currency": "EUR"}, "tracking_from": now.minus_ms(DAYS * DAY_MS),
        "description": "Five euro off the first order, by a code of one's own.",
        "validation_rules": [{"id": "first-order", "name": "First order only", "text": "The customer has not ordered before."}],
        "metadata": {"owner": "lifecycle", "market": "IE"}})
}

fn warmers(now: Instant) -> Value {
    json!({"name": "Winter warmers", "kind": "tiered", "type": "amount", "value": "3.00", "currency": "EUR", "cap": 400,
        "tiers": [{"tier_id": "silver", "name": "Silver", "value": "3.00"}, {"tier_id": "gold", "name": "Gold", "value": "6.00"}],
        "starts_at": now.minus_ms(10 * DAY_MS), "ends_at": now.plus_ms(20 * DAY_MS), "tracking_from": now.minus_ms(DAYS * DAY_MS),
        "metadata": {"owner": "seasonal", "market": "IE"}})
}

fn harvest_ends(now: Instant) -> Instant {
    now.minus_ms(55 * DAY_MS)
}

fn harvest(now: Instant) -> Value {
    json!({"name": "Harvest thanks", "kind": "global", "type": "percent", "value": "15",
        "starts_at": now.minus_ms(76 * DAY_MS), "ends_at": harvest_ends(now), "tracking_from": now.minus_ms(DAYS * DAY_MS),
        "metadata": {"owner": "seasonal", "market": "IE"}})
}

fn lunch(now: Instant) -> Value {
    json!({"name": "Lunch club", "kind": "global", "type": "amount", "value": "2.50", "currency": "EUR",
        "budget": {"amount": "105.00", "currency": "EUR"}, "tracking_from": now.minus_ms(DAYS * DAY_MS),
        "description": "Two fifty off a weekday lunch, redeemed at the till.", "metadata": {"owner": "lunch", "market": "IE"}})
}

fn friday(now: Instant) -> Value {
    json!({"name": "Black Friday", "kind": "global", "type": "amount", "value": "10.00", "currency": "EUR", "redemption_limit": 500,
        "cap": 500, "budget": {"amount": "5000.00", "currency": "EUR"}, "starts_at": now.plus_ms(6 * HOUR_MS),
        "ends_at": now.plus_ms(4 * DAY_MS), "metadata": {"owner": "seasonal", "market": "all"}})
}

async fn make(
    market: &Market,
    id: &str,
    body: &Value,
    codes: impl Iterator<Item = String>,
    now: Instant,
) -> Result<(), StoreError> {
    let id = PromotionId::new(id).map_err(refused)?;
    let body = body.to_string();
    let record = Record::from_json(&body).map_err(wrong)?;
    let submitted = PromotionInput::read(id.clone(), &record, now)
        .map_err(|bad| refused(format!("{bad:?}")))?;
    let (_, promotion) = market
        .promotions()
        .put_promotion(&id, &submitted, BY, now)
        .await?;
    let mut new = Vec::new();
    for code in codes {
        let code = VoucherCode::new(&code).map_err(refused)?;
        new.push(NewVoucher { code, limit: None });
    }
    market
        .vouchers()
        .make_vouchers(&promotion, &new, BY, now, None)
        .await
        .map(drop)
}

async fn take_in(
    market: &Market,
    records: &[Value],
    entry: impl Fn(&Record<'_>) -> Result<PromotionRecord, RecordProblem>,
    now: Instant,
) -> Result<(), StoreError> {
    for some in records.chunks(CALL) {
        let mut arrivals = Vec::new();
        for record in some {
            let text = record.to_string();
            let entry = Record::from_json(&text).and_then(|submitted| entry(&submitted));
            arrivals.push(Arrival {
                entry: entry.map_err(wrong)?,
                source: None,
            });
        }
        market.redemptions().take_in(&arrivals, now).await?;
    }
    Ok(())
}

fn wrong(problem: RecordProblem) -> StoreError {
    refused(problem.detail)
}
