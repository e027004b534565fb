//! What a campaign took from others and lost to them: the candidates of counted orders that won nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::attribution::decide::{CandidateOutcome, candidates};
use crate::attribution::event::Channel;
use crate::attribution::order::Order;
use crate::attribution::timeline::Timelines;
use crate::figures::fold::World;
use crate::value::id::CampaignId;
use crate::value::money::Sums;

/// Orders for which two campaigns had a message, and what these orders brought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Contested {
    /// The number of orders.
    pub orders: i64,
    /// Their amounts, by currency.
    pub revenue: Sums,
}

/// What lies between one campaign and the others. An order of which several lost is with each of them, so these parts do not add up
/// to the figures of the campaign.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rivals {
    /// Orders that the campaign earned and for which another campaign had a message too, by that other campaign.
    pub taken_from: BTreeMap<CampaignId, Contested>,
    /// Orders that another campaign earned and for which this campaign had a message too, by the one that earned them.
    pub lost_to: BTreeMap<CampaignId, Contested>,
}

impl Rivals {
    /// Adds an order, if it is counted and somebody earned it. A message lost where it was superseded, or where it passed all gates
    /// and another was better. With a channel, only messages of `campaign` on this channel are looked at.
    pub fn add_order(
        &mut self,
        campaign: &CampaignId,
        channel: Option<Channel>,
        order: &Order,
        timelines: &Timelines<'_>,
        world: &World<'_>,
    ) {
        use CandidateOutcome::{EarlierInteraction, EarlierSent, Superseded};
        let decision = world.decide(order, timelines);
        let Some(own) = world.catalog.place(campaign) else {
            return;
        };
        let Some(winner) = decision.credit.filter(|_| decision.not_counted.is_none()) else {
            return;
        };
        let winner = winner.message;
        let asked = |on: Channel| channel.is_none_or(|only| only == on);
        let timeline = world.timeline_of(order, timelines);
        let all = candidates(order, timeline, world.rules_for(order), world.look_back_ms);
        let losers: BTreeSet<_> = all
            .iter()
            .filter(|one| [EarlierInteraction, EarlierSent, Superseded].contains(&one.outcome))
            .filter(|one| one.message.campaign != winner.campaign)
            .filter(|one| one.message.campaign != own || asked(one.message.channel))
            .map(|one| one.message.campaign)
            .collect();
        let id = |place| world.catalog.at(place).campaign_id.clone();
        let add = |to: &mut BTreeMap<_, Contested>, other| {
            let contested = to.entry(id(other)).or_default();
            contested.orders += 1;
            contested.revenue.add(order.currency, decision.amount);
        };
        if winner.campaign != own {
            if losers.contains(&own) {
                add(&mut self.lost_to, winner.campaign);
            }
        } else if asked(winner.channel) {
            for loser in losers {
                add(&mut self.taken_from, loser);
            }
        }
    }

    /// Adds what lies between the same campaign and others in other orders.
    pub fn add(&mut self, other: Self) {
        let parts = [
            (&mut self.taken_from, other.taken_from),
            (&mut self.lost_to, other.lost_to),
        ];
        for (mine, theirs) in parts {
            for (campaign, contested) in theirs {
                let sum = mine.entry(campaign).or_default();
                sum.orders += contested.orders;
                for (currency, amount) in contested.revenue.iter() {
                    sum.revenue.add(currency, amount);
                }
            }
        }
    }
}
