//! A look ahead: what other settings would make of the orders of a period (rule 4.5). It is filled customer by customer, and parts
//! of it add up. It has no rule of its own: it decides every order twice, and compares.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::attribution::campaign::CampaignIx;
use crate::attribution::decide::{Credit, Decision, Rules, decide_among};
use crate::attribution::explain::reason;
use crate::attribution::models::{Model, Touches};
use crate::attribution::order::Order;
use crate::attribution::plain::Decidable;
use crate::attribution::settings::Period;
use crate::attribution::timeline::Timelines;
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

/// The look ahead of some customers. It keeps its sums by the index of a campaign, which is quicker than by its id, so everything that it
/// finds is of one catalog.
#[derive(Debug)]
pub struct Comparison<'p> {
    world: &'p World<'p>,
    proposal: &'p Proposal<'p>,
    /// What is not by campaign.
    found: Preview,
    changes: Vec<Change>,
    /// What each model of the proposal gives each campaign.
    models: Vec<Vec<PurchaseFigures>>,
}

impl<'p> Comparison<'p> {
    /// Begins with no customer. The rules of the proposal and the world have the same catalog.
    pub fn new(world: &'p World<'p>, proposal: &'p Proposal<'p>) -> Self {
        let campaigns = world.catalog.len();
        let models = proposal.models.iter();
        Self {
            world,
            proposal,
            found: Preview::new(proposal.models),
            changes: vec![Change::default(); campaigns],
            models: models
                .map(|_| vec![PurchaseFigures::default(); campaigns])
                .collect(),
        }
    }

    /// Adds the orders of one customer that were placed in the period.
    pub fn add_customer(&mut self, timelines: &Timelines<'_>, orders: &[Order]) {
        let (world, proposal) = (self.world, self.proposal);
        let is_asked = |order: &&Order| {
            let day = world.day(order.placed_at);
            proposal.period.holds(order.placed_at, day)
        };
        for order in orders.iter().filter(is_asked) {
            let current = world.decide(order, timelines);
            let timeline = world.timeline_of(order, timelines);
            let (proposed, eligible) = decide_among(
                &order.plain(),
                timeline,
                &proposal.rules,
                world.look_back_ms,
            );
            self.add_order(order, &current, &proposed);
            if proposed.not_counted.is_none() && !proposal.models.is_empty() {
                self.add_models(order, proposed.amount, eligible);
            }
        }
    }

    fn add_order(&mut self, order: &Order, current: &Decision<'_>, proposed: &Decision<'_>) {
        let (catalog, found) = (self.world.catalog, &mut self.found);
        found.orders += 1;
        found.current.add_decision(order, current);
        found.proposed.add_decision(order, proposed);
        let (from, to) = (held(current), held(proposed));
        if let Some((campaign, amount)) = from {
            let change = &mut self.changes[campaign.index()];
            change.current.add_order(order.currency, amount);
        }
        if let Some((campaign, amount)) = to {
            let change = &mut self.changes[campaign.index()];
            change.proposed.add_order(order.currency, amount);
        }
        if from == to {
            return;
        }
        found.moved_total += 1;
        let last = found.moved.last_key_value();
        if found.moved.len() == MOVED_MAX && last.is_some_and(|(last, _)| *last < order.order_id) {
            return;
        }
        let holder = |(campaign, amount)| Holder {
            campaign_id: catalog.at(campaign).campaign_id.clone(),
            amount,
        };
        let linked = self.proposal.rules.settings.link;
        let why = reason(proposed.not_counted, proposed.credit.is_some(), linked);
        let moved = MovedOrder {
            customer_id: order.customer_id.clone(),
            currency: order.currency,
            from: from.map(holder),
            to: to.map(holder),
            reason: why.map(str::to_owned),
            credited_to: proposed
                .credit
                .map(|credit| LineCredit::of(&credit, catalog)),
        };
        found.moved.insert(order.order_id.clone(), moved);
        found.keep_first_moved();
    }

    fn add_models(&mut self, order: &Order, amount: Money, eligible: Vec<Credit<'_>>) {
        let touches = Touches::new(order.placed_at, eligible);
        for (model, earned) in self.proposal.models.iter().zip(&mut self.models) {
            let mut shares = model.shares(&touches, amount, order.currency);
            // An order counts once for a campaign that has several of its messages.
            shares.sort_unstable_by_key(|(campaign, _)| *campaign);
            for parts in shares.chunk_by(|a, b| a.0 == b.0) {
                let sum = parts.iter().fold(Money::ZERO, |sum, part| sum + part.1);
                earned[parts[0].0.index()].add_order(order.currency, sum);
            }
        }
    }

    /// What was found.
    pub fn preview(self) -> Preview {
        let mut preview = self.found;
        let ids = || {
            let campaigns = self.world.catalog.iter();
            campaigns.map(|(_, campaign)| campaign.campaign_id.clone())
        };
        let changes = ids().zip(self.changes);
        let some = |change: &Change| change.current.purchases + change.proposed.purchases > 0;
        preview
            .campaigns
            .extend(changes.filter(|(_, change)| some(change)));
        for (model, earned) in self.proposal.models.iter().zip(self.models) {
            let rows = preview.models.entry(*model).or_default();
            rows.extend(ids().zip(earned).filter(|(_, one)| one.purchases > 0));
        }
        preview
    }
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
