//! Why an order was credited as it was: the decision with every candidate, as the interface shows it (rule 4.5).

use serde::Serialize;

use crate::attribution::campaign::Catalog;
use crate::attribution::decide::{CandidateOutcome, Timeline, candidates};
use crate::attribution::event::{Channel, EventKind};
use crate::attribution::formula::sale_formula;
use crate::attribution::order::{Order, Status};
use crate::figures::fold::{LineCredit, World};
use crate::value::id::{CampaignId, CustomerId, OrderId};
use crate::value::money::Currency;
use crate::value::time::Instant;

/// Most candidates shown.
const CANDIDATES_MAX: usize = 1_000;

/// An order's decision, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Which order.
    pub order_id: OrderId,
    /// Whose.
    pub customer_id: CustomerId,
    /// When it was placed.
    pub placed_at: Instant,
    /// Where it stands.
    pub status: Status,
    /// What it brings in, if it counts.
    pub amount: String,
    /// Of the amount.
    pub currency: Currency,
    /// Whether it enters revenue.
    pub counted: bool,
    /// Why it is not counted, else why nobody earned it, else nothing.
    pub reason: Option<&'static str>,
    /// Who earned it.
    pub credited_to: Option<LineCredit>,
    /// Best first, then those stopped at a gate, newest sent first; at most 1,000.
    pub candidates: Vec<ShownCandidate>,
    /// How many there are.
    pub candidates_total: usize,
    /// What a sale is, in words.
    pub sale_formula: String,
    /// The version in force when the order was placed.
    pub settings_version: u32,
}

/// One message of the customer, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownCandidate {
    /// Whose message.
    pub campaign_id: CampaignId,
    /// Where.
    pub channel: Channel,
    /// Which.
    pub message_id: Option<String>,
    /// When it was sent.
    pub sent_at: Instant,
    /// What would connect it to the order.
    pub touch_kind: Option<EventKind>,
    /// When that happened.
    pub touch_at: Option<Instant>,
    /// What became of it.
    pub outcome: CandidateOutcome,
    /// The campaign that ended its run.
    pub superseded_by: Option<CampaignId>,
}

/// Why an order does not count, else why nobody earned it (rule 7.4, API).
pub fn reason(
    not_counted: Option<crate::attribution::decide::NotCounted>,
    credited: bool,
    linked: bool,
) -> Option<&'static str> {
    match not_counted {
        Some(reason) => Some(reason.name()),
        None if credited => None,
        None if linked => Some("no_candidate"),
        None => Some("linking_off"),
    }
}

/// Explains an order from its customer's timeline.
pub fn explain(order: &Order, timeline: &Timeline<'_>, world: &World<'_>) -> Explanation {
    let rules = world.rules_at(order.placed_at);
    let decision = world.decide(order, timeline);
    let all = candidates(order, timeline, rules, world.look_back_ms);
    let credited_to = decision
        .credit
        .map(|credit| LineCredit::of(&credit, world.catalog));
    let channels = credited_to
        .as_ref()
        .map_or(Channel::ALL.to_vec(), |credit| vec![credit.channel]);
    Explanation {
        order_id: order.order_id.clone(),
        customer_id: order.customer_id.clone(),
        placed_at: order.placed_at,
        status: order.status,
        amount: decision.amount.in_currency(order.currency),
        currency: order.currency,
        counted: decision.not_counted.is_none(),
        reason: reason(
            decision.not_counted,
            decision.credit.is_some(),
            rules.settings.link,
        ),
        credited_to,
        candidates_total: all.len(),
        candidates: all
            .into_iter()
            .take(CANDIDATES_MAX)
            .map(|candidate| shown(&candidate, world.catalog))
            .collect(),
        sale_formula: sale_formula(rules.settings, channels),
        settings_version: world.versions.at(order.placed_at).version,
    }
}

fn shown(
    candidate: &crate::attribution::decide::Candidate<'_>,
    catalog: &Catalog,
) -> ShownCandidate {
    let id = |place| catalog.at(place).campaign_id.clone();
    ShownCandidate {
        campaign_id: id(candidate.message.campaign),
        channel: candidate.message.channel,
        message_id: candidate.message.message.map(str::to_owned),
        sent_at: candidate.message.sent_at,
        touch_kind: candidate.touch.map(|touch| touch.kind),
        touch_at: candidate.touch.map(|touch| touch.at),
        outcome: candidate.outcome,
        superseded_by: candidate.superseded_by.map(id),
    }
}
