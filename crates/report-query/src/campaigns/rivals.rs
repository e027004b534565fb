//! What a campaign took from others and lost to them, found on demand: the orders of the period are decided again, with every
//! candidate.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::attribution::campaign::Catalog;
use revtrail_core::attribution::event::Channel;
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::figures::rivals::{Contested, Rivals};
use revtrail_core::value::id::{CampaignId, CustomerId, OrderId};
use revtrail_core::value::time::Day;
use revtrail_store::market::Market;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde_json::{Value, json};

use super::{aggregates, find, known};
use crate::orders::Rulebook;
use crate::period::Period;
use crate::{Freshness, Report, versions};

/// How many orders are looked at, the newest first: some seconds' work.
const ORDERS_MAX: usize = 20_000;
/// How many customers are read at the same time.
const CUSTOMERS_AT_ONCE: usize = 16;

pub(crate) async fn rivals(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let mut query = call.query();
    let period = Period::read(&mut query, &call, &versions);
    let channel = query.channel("channel");
    query.done()?;
    let campaign = known(&call, &market).await?.campaign_id;
    let freshness = Freshness::of(&market, &call).await?;
    let days = aggregates(&market, period, &freshness, &call).await?;
    let earned = Earned::find(&market, &days, &call).await?;
    let (rivals, left_out) = earned.rivals(&market, &campaign, channel, &call).await?;
    let catalog = market.campaigns().catalog_shown().await?;
    let enabled = versions.newest().settings.enabled;
    let figures = json!({
        "campaign_id": campaign,
        "taken_from": rows(rivals.taken_from, &catalog, enabled),
        "lost_to": rows(rivals.lost_to, &catalog, enabled),
        "orders": earned.orders, "orders_more": earned.more, "customers_left_out": left_out,
    });
    let report = Report {
        figures,
        period,
        freshness,
    };
    Ok(json(StatusCode::OK, &report))
}

/// One row a campaign, the most orders first.
fn rows(of: BTreeMap<CampaignId, Contested>, catalog: &Catalog, enabled: bool) -> Vec<Value> {
    let mut all: Vec<_> = of.into_iter().collect();
    all.sort_by(|(a, one), (b, other)| (other.orders, a).cmp(&(one.orders, b)));
    let row = |(id, contested): (CampaignId, Contested)| {
        let mut row = json!({ "campaign_id": id, "name": find(catalog, &id).name });
        if enabled {
            row["orders"] = contested.orders.into();
            row["revenue"] = json!(contested.revenue);
        }
        row
    };
    all.into_iter().map(row).collect()
}

/// The orders of a period that count and that somebody earned, by customer.
#[derive(Default)]
struct Earned {
    of: BTreeMap<CustomerId, BTreeSet<OrderId>>,
    orders: usize,
    /// True where there are more orders than were looked at.
    more: bool,
}

impl Earned {
    async fn find(
        market: &Market,
        days: &BTreeMap<Day, Aggregate<CampaignId>>,
        call: &Call,
    ) -> Result<Self, Problem> {
        let mut earned = Self::default();
        for (day, aggregate) in days.iter().rev() {
            let one = BTreeMap::from([(*day, aggregate.clone())]);
            let mut rows = market.purchases().rows(&one, None, call.now);
            while let Some(page) = rows.next().await? {
                let counts = |row: &revtrail_store::ledger::purchases::PurchaseRow| {
                    let figures = &row.line.figures;
                    figures.credit.is_some() && figures.not_counted.is_none()
                };
                for row in page.into_iter().filter(counts) {
                    if earned.orders == ORDERS_MAX {
                        earned.more = true;
                        return Ok(earned);
                    }
                    earned.orders += 1;
                    let orders = earned.of.entry(row.customer_id).or_default();
                    orders.insert(row.line.order_id);
                }
            }
        }
        Ok(earned)
    }

    /// Looks at all these orders. With the sums comes how many customers have too many facts to be looked at.
    async fn rivals(
        &self,
        market: &Market,
        campaign: &CampaignId,
        channel: Option<Channel>,
        call: &Call,
    ) -> Result<(Rivals, usize), Problem> {
        let rules = &Rulebook::of(market, call).await?;
        let of_customer = |(customer, orders): (&'_ CustomerId, &'_ BTreeSet<OrderId>)| {
            let (customer, orders) = (customer.clone(), orders.clone());
            async move {
                let Some(known) = rules.customer(market, &customer, call).await? else {
                    return Ok::<_, Problem>(None);
                };
                let world = known.world();
                let timelines = known.facts.timelines(&world);
                let mut rivals = Rivals::default();
                let asked = known.facts.orders.iter();
                for order in asked.filter(|order| orders.contains(&order.order_id)) {
                    rivals.add_order(campaign, channel, order, &timelines, &world);
                }
                Ok(Some(rivals))
            }
        };
        let reads: Vec<_> = self.of.iter().map(of_customer).collect();
        let mut reads = stream::iter(reads).buffer_unordered(CUSTOMERS_AT_ONCE);
        let (mut sum, mut left_out) = (Rivals::default(), 0);
        while let Some(rivals) = reads.try_next().await? {
            match rivals {
                Some(rivals) => sum.add(rivals),
                None => left_out += 1,
            }
        }
        Ok((sum, left_out))
    }
}
