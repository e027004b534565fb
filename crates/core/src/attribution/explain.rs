//! Why an order was credited as it was: the decision with every candidate, as the interface shows it (rule 4.5).

use serde::Serialize;

use crate::attribution::campaign::Catalog;
use crate::attribution::decide::{Candidate, CandidateOutcome, Rules, candidates};
use crate::attribution::event::{Channel, EventKind};
use crate::attribution::formula::sale_formula;
use crate::attribution::order::{Order, Status};
use crate::attribution::timeline::{Timeline, Timelines, Touchpoint};
use crate::figures::fold::{LineCredit, World};
use crate::value::id::{CampaignId, CustomerId, OrderId};
use crate::value::money::Currency;
use crate::value::time::Instant;

/// The most candidates that an explanation shows.
const CANDIDATES_MAX: usize = 1_000;

/// The complete explanation of one order's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The id of the order.
    pub order_id: OrderId,
    /// The customer who placed the order.
    pub customer_id: CustomerId,
    /// When the order was placed, in UTC.
    pub placed_at: Instant,
    /// The current status of the order.
    pub status: Status,
    /// The amount that the order adds to revenue, if it counts.
    pub amount: String,
    /// The currency of the amount.
    pub currency: Currency,
    /// True where the order enters revenue.
    pub counted: bool,
    /// Why the order is not counted. If it is counted, why nobody earned it; `None` where somebody did.
    pub reason: Option<&'static str>,
    /// The campaign that earned the order, if any did.
    pub credited_to: Option<LineCredit>,
    /// The candidates: first those that passed all gates, the best first, then the others, the newest sent first; at most 1,000.
    pub candidates: Vec<ShownCandidate>,
    /// The number of all candidates, including those not shown.
    pub candidates_total: usize,
    /// What counts as a sale, in words.
    pub sale_formula: String,
    /// The version of the settings that decides the order: the one in force when it was placed, or that of a replay.
    pub settings_version: u32,
}

/// One message to the customer or to an address of the order, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownCandidate {
    /// The campaign of the message.
    pub campaign_id: CampaignId,
    /// The channel of the message.
    pub channel: Channel,
    /// The id of the message, where it has one.
    pub message_id: Option<String>,
    /// When the message was sent, in UTC.
    pub sent_at: Instant,
    /// The kind of event that would connect the message to the order.
    pub touch_kind: Option<EventKind>,
    /// When that event happened, in UTC.
    pub touch_at: Option<Instant>,
    /// What became of the message at the gates.
    pub outcome: CandidateOutcome,
    /// The later campaign that ended the run of this message's campaign, if one did.
    pub superseded_by: Option<CampaignId>,
}

/// Why an order does not count, or, where it counts, why nobody earned it (rule 7.4, API).
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

/// Explains an order from the timelines of its customer.
pub fn explain(order: &Order, timelines: &Timelines<'_>, world: &World<'_>) -> Explanation {
    let all = all_candidates(order, timelines, world);
    explanation(order, timelines, world, &all)
}

/// Explains an order, with a lane for each candidate that is shown, in the same order.
pub fn explain_with_lanes(
    order: &Order,
    timelines: &Timelines<'_>,
    world: &World<'_>,
) -> (Explanation, Vec<Lane>) {
    let all = all_candidates(order, timelines, world);
    let (rules, timeline) = (world.rules_for(order), world.timeline_of(order, timelines));
    let shown = all.iter().take(CANDIDATES_MAX);
    let lanes = shown.map(|candidate| lane(candidate, timeline, rules));
    (explanation(order, timelines, world, &all), lanes.collect())
}

fn all_candidates<'e>(
    order: &Order,
    timelines: &Timelines<'e>,
    world: &World<'_>,
) -> Vec<Candidate<'e>> {
    let (rules, timeline) = (world.rules_for(order), world.timeline_of(order, timelines));
    candidates(order, timeline, rules, world.look_back_ms)
}

fn explanation(
    order: &Order,
    timelines: &Timelines<'_>,
    world: &World<'_>,
    all: &[Candidate<'_>],
) -> Explanation {
    let rules = world.rules_for(order);
    let decision = world.decide(order, timelines);
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
            .iter()
            .take(CANDIDATES_MAX)
            .map(|candidate| shown(candidate, world.catalog))
            .collect(),
        sale_formula: sale_formula(rules.settings, channels),
        settings_version: world.versions.for_order(order.placed_at).version,
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
        superseded_by: candidate.superseded_by.map(|(_, by)| id(by)),
    }
}

/// What happened to one candidate, for a picture of the decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lane {
    /// All that happened to the message, oldest first, also after the order and before the look-back.
    pub events: Vec<LaneEvent>,
    /// When the window of the message began, in UTC; `None` where no touch was chosen.
    pub window_from: Option<Instant>,
    /// The last instant of that window, in UTC.
    pub window_to: Option<Instant>,
    /// When the campaign was sent that superseded this one, in UTC.
    pub superseded_at: Option<Instant>,
}

/// One event of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneEvent {
    /// What happened.
    pub kind: EventKind,
    /// When it happened, in UTC.
    pub at: Instant,
    /// True where a machine did it.
    pub machine: bool,
}

fn lane(candidate: &Candidate<'_>, timeline: &Timeline<'_>, rules: &Rules<'_>) -> Lane {
    let message = candidate.message;
    let is_of = |touchpoints: &&[Touchpoint<'_>]| {
        let first = &touchpoints[0];
        (
            first.campaign,
            first.channel,
            first.message,
            first.recipient,
        ) == (
            message.campaign,
            message.channel,
            message.message,
            message.recipient,
        )
    };
    let touchpoints = timeline.messages().find(is_of).unwrap_or_default();
    let event = |touchpoint: &Touchpoint<'_>| LaneEvent {
        kind: touchpoint.kind,
        at: touchpoint.at,
        machine: touchpoint.machine,
    };
    let window = candidate.window(rules);
    Lane {
        events: touchpoints.iter().map(event).collect(),
        window_from: window.map(|(from, _)| from),
        window_to: window.map(|(_, to)| to),
        superseded_at: candidate.superseded_by.map(|(at, _)| at),
    }
}
