//! A look ahead: what other settings would make of the orders of a period (rule 4.5). It is filled customer by customer, and parts
//! of it add up. It has no rule of its own: it decides every order twice, and compares.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::attribution::campaign::CampaignIx;
use crate::attribution::decide::{Decision, Rules, decide, eligible};
use crate::attribution::explain::reason;
use crate::attribution::models::Model;
use crate::attribution::order::Order;
use crate::attribution::plain::Decidable;
use crate::attribution::settings::Period;
use crate::attribution::timeline::{Timeline, Timelines};
use crate::figures::fold::{LineCredit, World};
use crate::figures::report::PurchaseFigures;
use crate::value::id::{CampaignId, CustomerId, OrderId};
use crate::value::money::{Currency, Money};

/// The most orders that are listed among those that would move.
pub const MOVED_MAX: usize = 1_000;

/// What a look ahead asks.
#[derive(Debug)]
pub struct Proposal<'a> {
    /// The period in which the orders were placed.
    pub period: Period,
    /// The rules that would decide the orders.
    pub rules: Rules<'a>,
    /// The models that share the orders out beside the proposed rules.
    pub models: &'a [Model],
}

/// The counted orders of the period, by whether a campaign earns them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PreviewTotals {
    /// The counted orders that a campaign earned.
    pub credited: PurchaseFigures,
    /// The counted orders that no campaign earned.
    pub uncredited: PurchaseFigures,
}

/// What one campaign earns now, and what it would earn.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Change {
    /// By the rules that decide each order now.
    pub current: PurchaseFigures,
    /// By the proposed rules.
    pub proposed: PurchaseFigures,
}

/// A campaign that has the counted amount of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The amount.
    pub amount: Money,
}

/// An order that would move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedOrder {
    /// The customer who placed the order.
    pub customer_id: CustomerId,
    /// The currency of the amounts.
    pub currency: Currency,
    /// Which campaign has the order's counted amount now; `None` where no campaign has any.
    pub from: Option<Holder>,
    /// Which campaign would have it.
    pub to: Option<Holder>,
    /// Why the order would not count or, where it would count, why nobody would earn it; `None` where somebody would.
    pub reason: Option<String>,
    /// The campaign and the touch that would earn the order, whether or not the order would count.
    pub credited_to: Option<LineCredit>,
}

/// What other settings would make of the orders of a period.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Preview {
    /// The number of orders that were placed in the period, whether or not they count.
    pub orders: i64,
    /// What counts now, and whether a campaign earns it.
    pub current: PreviewTotals,
    /// What would count.
    pub proposed: PreviewTotals,
    /// What each campaign earns, and would earn.
    pub campaigns: BTreeMap<CampaignId, Change>,
    /// The number of orders that would move.
    pub moved_total: i64,
    /// The first orders that would move, at most [`MOVED_MAX`].
    pub moved: BTreeMap<OrderId, MovedOrder>,
    /// What each model gives each campaign. A campaign has an order where it has a part in it.
    pub models: BTreeMap<Model, BTreeMap<CampaignId, PurchaseFigures>>,
}

impl Preview {
    /// A preview of no order, with the models that are asked for.
    pub fn new(models: &[Model]) -> Self {
        Self {
            models: models
                .iter()
                .map(|model| (*model, BTreeMap::new()))
                .collect(),
            ..Self::default()
        }
    }

    /// Adds the orders of one customer that were placed in the period.
    pub fn add_customer(
        &mut self,
        timelines: &Timelines<'_>,
        orders: &[Order],
        world: &World<'_>,
        proposal: &Proposal<'_>,
    ) {
        let is_asked = |order: &&Order| {
            let day = world.day(order.placed_at);
            proposal.period.holds(order.placed_at, day)
        };
        for order in orders.iter().filter(is_asked) {
            let current = world.decide(order, timelines);
            let timeline = world.timeline_of(order, timelines);
            let proposed = decide(
                &order.plain(),
                timeline,
                &proposal.rules,
                world.look_back_ms,
            );
            self.add_order(order, &current, &proposed, world, proposal);
            if proposed.not_counted.is_none() && !proposal.models.is_empty() {
                self.add_models(order, proposed.amount, timeline, world, proposal);
            }
        }
    }

    fn add_order(
        &mut self,
        order: &Order,
        current: &Decision<'_>,
        proposed: &Decision<'_>,
        world: &World<'_>,
        proposal: &Proposal<'_>,
    ) {
        self.orders += 1;
        self.current.add_decision(order, current);
        self.proposed.add_decision(order, proposed);
        let id = |campaign: CampaignIx| &world.catalog.at(campaign).campaign_id;
        let (from, to) = (held(current), held(proposed));
        if let Some((campaign, amount)) = from {
            let change = self.campaigns.entry(id(campaign).clone()).or_default();
            change.current.add_order(order.currency, amount);
        }
        if let Some((campaign, amount)) = to {
            let change = self.campaigns.entry(id(campaign).clone()).or_default();
            change.proposed.add_order(order.currency, amount);
        }
        if from == to {
            return;
        }
        self.moved_total += 1;
        let last = self.moved.last_key_value();
        if self.moved.len() == MOVED_MAX && last.is_some_and(|(last, _)| *last < order.order_id) {
            return;
        }
        let holder = |(campaign, amount)| Holder {
            campaign_id: id(campaign).clone(),
            amount,
        };
        let linked = proposal.rules.settings.link;
        let why = reason(proposed.not_counted, proposed.credit.is_some(), linked);
        let moved = MovedOrder {
            customer_id: order.customer_id.clone(),
            currency: order.currency,
            from: from.map(holder),
            to: to.map(holder),
            reason: why.map(str::to_owned),
            credited_to: proposed
                .credit
                .map(|credit| LineCredit::of(&credit, world.catalog)),
        };
        self.moved.insert(order.order_id.clone(), moved);
        self.keep_first_moved();
    }

    fn add_models(
        &mut self,
        order: &Order,
        amount: Money,
        timeline: &Timeline<'_>,
        world: &World<'_>,
        proposal: &Proposal<'_>,
    ) {
        let eligible = eligible(order, timeline, &proposal.rules, world.look_back_ms);
        for model in proposal.models {
            let mut by_campaign: BTreeMap<CampaignIx, Money> = BTreeMap::new();
            for (campaign, share) in
                model.shares(order.placed_at, amount, order.currency, &eligible)
            {
                *by_campaign.entry(campaign).or_default() += share;
            }
            let rows = self.models.entry(*model).or_default();
            for (campaign, amount) in by_campaign {
                let campaign_id = world.catalog.at(campaign).campaign_id.clone();
                let earned = rows.entry(campaign_id).or_default();
                earned.add_order(order.currency, amount);
            }
        }
    }

    /// Adds what was made of other customers.
    pub fn add(&mut self, other: Self) {
        self.orders += other.orders;
        self.current.add(&other.current);
        self.proposed.add(&other.proposed);
        for (campaign, change) in other.campaigns {
            let sum = self.campaigns.entry(campaign).or_default();
            sum.current.add(&change.current);
            sum.proposed.add(&change.proposed);
        }
        self.moved_total += other.moved_total;
        self.moved.extend(other.moved);
        self.keep_first_moved();
        for (model, rows) in other.models {
            let sums = self.models.entry(model).or_default();
            for (campaign, earned) in rows {
                sums.entry(campaign).or_default().add(&earned);
            }
        }
    }

    fn keep_first_moved(&mut self) {
        while self.moved.len() > MOVED_MAX {
            self.moved.pop_last();
        }
    }

    /// The preview as the interface shows it. Campaigns and orders are in the order of the bytes of their ids.
    pub fn shown(&self) -> Value {
        let campaigns = self.campaigns.iter().map(|(campaign_id, change)| {
            json!({ "campaign_id": campaign_id, "current": change.current, "proposed": change.proposed })
        });
        let moved = self.moved.iter().map(|(order_id, moved)| {
            let holder = |holder: &Holder| {
                let amount = holder.amount.in_currency(moved.currency);
                json!({ "campaign_id": holder.campaign_id, "amount": amount })
            };
            json!({
                "order_id": order_id, "customer_id": moved.customer_id, "currency": moved.currency,
                "from": moved.from.as_ref().map(holder), "to": moved.to.as_ref().map(holder),
                "reason": moved.reason, "credited_to": moved.credited_to,
            })
        });
        let models = self.models.iter().map(|(model, rows)| {
            let campaigns = rows.iter().map(|(campaign_id, earned)| {
                json!({ "campaign_id": campaign_id, "revenue": earned.revenue, "orders": earned.purchases })
            });
            json!({ "model": model, "campaigns": campaigns.collect::<Vec<_>>() })
        });
        json!({
            "orders": self.orders, "current": self.current.shown(), "proposed": self.proposed.shown(),
            "campaigns": campaigns.collect::<Vec<_>>(), "moved": moved.collect::<Vec<_>>(),
            "moved_total": self.moved_total, "models": models.collect::<Vec<_>>(),
        })
    }
}

impl PreviewTotals {
    fn add_decision(&mut self, order: &Order, decision: &Decision<'_>) {
        if decision.not_counted.is_none() {
            let earned = match decision.credit {
                Some(_) => &mut self.credited,
                None => &mut self.uncredited,
            };
            earned.add_order(order.currency, decision.amount);
        }
    }

    fn add(&mut self, other: &Self) {
        self.credited.add(&other.credited);
        self.uncredited.add(&other.uncredited);
    }

    /// What all campaigns together earn, and the balance of the counted orders.
    pub fn shown(&self) -> Value {
        let mut counted = self.credited.clone();
        counted.add(&self.uncredited);
        json!({
            "purchases": self.credited.purchases, "revenue": self.credited.revenue, "counted": counted,
            "credited": self.credited, "uncredited": self.uncredited,
        })
    }
}

/// The campaign that has the counted amount of an order, and the amount.
fn held(decision: &Decision<'_>) -> Option<(CampaignIx, Money)> {
    let credit = decision.credit.filter(|_| decision.not_counted.is_none())?;
    Some((credit.message.campaign, decision.amount))
}
