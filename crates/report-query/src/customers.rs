//! The contact card: what one customer got, bought and redeemed.

use std::collections::{BTreeMap, BTreeSet};

use revtrail_core::attribution::event::Event;
use revtrail_core::attribution::order::Order;
use revtrail_core::promotion::account::{Account, Offer};
use revtrail_core::value::address::AddressHash;
use revtrail_core::value::id::{CustomerId, PromotionId};
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde_json::{Value, json};

use crate::orders::{Rulebook, shown, too_large};
use crate::seen_from;

pub(crate) async fn customer(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let id = call.id("id", CustomerId::new)?;
    let rules = Rulebook::of(&market, &call).await?;
    let known = rules.customer(&market, &id, &call).await?;
    let known = known.ok_or_else(too_large)?;
    let seen_from = seen_from(&call);
    let facts = &known.facts;
    let is_seen = |event: &&Event| event.occurred_at >= seen_from;
    let events: Vec<&Event> = facts.events.iter().filter(is_seen).collect();
    let mut decided = known.decided();
    decided.retain(|(order, _)| order.placed_at >= seen_from);
    let accounts = market.lists().accounts_of(&id).await?;
    let mut redemptions = market.lists().redemptions_by(&accounts, call.now).await?;
    redemptions.retain(|fact| fact.at >= seen_from);
    let mut offers = offers_in(accounts);
    offers.retain(|(_, offer, _)| offer.at >= seen_from);
    if events.is_empty() && decided.is_empty() && redemptions.is_empty() && offers.is_empty() {
        return Err(Problem::not_found(
            "this marketplace has no facts of such a customer",
        ));
    }
    let orders = decided.iter().map(|(order, line)| {
        shown(
            order,
            line.figures.credit.as_ref(),
            line.figures.not_counted,
            &call,
        )
    });
    let orders: Vec<Value> = orders.collect::<Result<_, _>>()?;
    // The customer's name and addresses are in their orders; the latest order counts.
    let mut copies: Vec<&Order> = decided.iter().map(|(order, _)| *order).collect();
    copies.sort_by(|a, b| {
        (b.updated_at.unwrap_or(b.placed_at), &b.order_id)
            .cmp(&(a.updated_at.unwrap_or(a.placed_at), &a.order_id))
    });
    let latest = |field: fn(&Order) -> &Option<String>| {
        copies.iter().find_map(|order| field(order).as_ref())
    };
    // The messages to the addresses of the orders that are shown.
    let shown_orders = decided.iter();
    let addresses: BTreeSet<AddressHash> = shown_orders
        .flat_map(|(order, _)| order.addresses(market.id()))
        .collect();
    let by_address = facts.by_address.iter();
    let by_address = by_address.filter(|(address, _)| addresses.contains(address));
    let by_address = by_address.flat_map(|(_, events)| events).filter(is_seen);
    let events = events.into_iter().chain(by_address).collect();
    let offer = |(promotion_id, offer, redeemed): &(PromotionId, Offer, bool)| {
        json!({
            "promotion_id": promotion_id, "assignment_id": offer.assignment_id, "assigned_at": offer.at, "tier_id": offer.tier_id,
            "segment": offer.segment, "voucher_code": offer.voucher_code, "result": offer.result, "redeemed": redeemed,
        })
    };
    let body = json!({
        "customer_id": id,
        "email": latest(|order| &order.email), "phone": latest(|order| &order.phone),
        "first_name": latest(|order| &order.first_name), "last_name": latest(|order| &order.last_name),
        "orders": orders, "messages": messages(events),
        "offers": offers.iter().map(offer).collect::<Vec<_>>(),
        "redemptions": redemptions.iter().map(crate::promotions::lists::redemption).collect::<Vec<_>>(),
    });
    Ok(json(StatusCode::OK, &body))
}

/// Events by message, newest message first.
fn messages(events: Vec<&Event>) -> Vec<Value> {
    let mut by_message: BTreeMap<_, Vec<&Event>> = BTreeMap::new();
    for event in events {
        by_message
            .entry((
                &event.campaign_id,
                event.channel,
                &event.message_id,
                &event.recipient,
            ))
            .or_default()
            .push(event);
    }
    let mut messages = Vec::new();
    for ((campaign_id, channel, message_id, recipient), mut events) in by_message {
        events.sort_by_key(|event| (event.occurred_at, event.kind));
        let shown = |event: &&Event| json!({ "kind": event.kind, "occurred_at": event.occurred_at, "url": event.url, "machine": event.machine });
        let first = events.first().map(|event| event.occurred_at);
        let body = json!({
            "campaign_id": campaign_id, "channel": channel, "message_id": message_id,
            "by_address": recipient.address().is_some(), "first_event_at": first,
            "events": events.iter().map(shown).collect::<Vec<_>>(),
        });
        messages.push((first, body));
    }
    messages.sort_by_key(|(first, _)| std::cmp::Reverse(*first));
    messages.into_iter().map(|(_, body)| body).collect()
}

/// What a customer with these accounts was offered: the promotion, the offer, and whether it was redeemed. Latest first.
fn offers_in(accounts: Vec<(PromotionId, Account)>) -> Vec<(PromotionId, Offer, bool)> {
    let mut offers = Vec::new();
    for (promotion, account) in accounts {
        let redeemed = account.redeemed_offers();
        let own = account.offers.into_iter().map(|offer| {
            let is_redeemed = redeemed.contains(&offer.assignment_id);
            (promotion.clone(), offer, is_redeemed)
        });
        offers.extend(own);
    }
    offers.sort_by(|(_, a, _), (_, b, _)| (b.at, &b.assignment_id).cmp(&(a.at, &a.assignment_id)));
    offers
}
