//! Every key of the table, and no other file spells one.
//!
//! A key is its fixed parts, each of an alphabet without `/` or of fixed width, and at most one free id, which stands last:
//! so two different ids never meet, whatever characters they hold, and nothing needs escaping. Where a key holds a time,
//! its text is of fixed width and sorts as the time does.

use revtrail_core::id::{CampaignId, CustomerId, EventId, MarketplaceId, OrderId};
use revtrail_core::time::{Day, Instant};

/// The partition of the list of marketplaces; not of one marketplace.
pub const MARKETPLACES: &str = "marketplaces";

/// Lanes that notes are spread over: a lane bears about 500 calls a second.
pub const NOTE_LANES: u8 = 8;

/// A partition key and a sort key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Partition key.
    pub pk: String,
    /// Sort key.
    pub sk: String,
}

fn key(pk: String, sk: impl Into<String>) -> Key {
    Key { pk, sk: sk.into() }
}

/// A marketplace in the list.
pub fn marketplace(id: &MarketplaceId) -> Key {
    key(MARKETPLACES.to_owned(), id.as_str())
}

/// An access key by its hash; not of one marketplace.
pub fn access_key(hash: &str) -> Key {
    key(format!("key/{hash}"), "key")
}

/// The marketplace that a partition belongs to, for the tripwire; `None` for the list of marketplaces and access keys.
pub fn marketplace_of(pk: &str) -> Option<&str> {
    pk.strip_prefix("m/")?.split('/').next()
}

fn part(id: &MarketplaceId, rest: &str) -> String {
    format!("m/{id}/{rest}")
}

/// What a marketplace is as a whole: whether it holds orders, and when its figures are as of.
pub fn meta(id: &MarketplaceId) -> Key {
    key(part(id, "meta"), "meta")
}

/// Most stripes: a day's sheets are spread over them, so that workers at once do not meet. A report reads all of them.
pub const STRIPES: u8 = 8;

/// The version of what decisions depend on besides facts: campaigns and settings. Every change raises it in all stripes, a
/// fold checks it in its own.
pub fn rules(id: &MarketplaceId, stripe: u8) -> Key {
    key(part(id, &format!("v/{stripe}")), "v")
}

/// The partition of a marketplace's list of access keys.
pub fn key_list(id: &MarketplaceId) -> String {
    part(id, "k")
}

/// An access key in its marketplace's list.
pub fn listed_key(id: &MarketplaceId, key_id: &str) -> Key {
    key(key_list(id), key_id)
}

/// The partition of the settings' versions.
pub fn settings(id: &MarketplaceId) -> String {
    part(id, "s")
}

/// A version of the settings.
pub fn settings_version(id: &MarketplaceId, version: u32) -> Key {
    key(settings(id), format!("{version:010}"))
}

/// The partition of the campaigns.
pub fn campaigns(id: &MarketplaceId) -> String {
    part(id, "g")
}

/// A campaign.
pub fn campaign(id: &MarketplaceId, campaign: &CampaignId) -> Key {
    key(campaigns(id), campaign.as_str())
}

/// The partition of all that is a customer's. Its sort keys are so made that the head comes first: a reader that goes
/// through the partition has seen the version before the first fact.
pub fn customer(id: &MarketplaceId, customer: &CustomerId) -> String {
    part(id, &format!("c/{customer}"))
}

/// What sorts first in a customer's partition: the head of the contribution, with its version.
pub const HEAD: &str = "a";
/// What the keys of a contribution's older pieces begin with.
pub const PIECE_PREFIX: &str = "b/";
/// What the keys of events begin with.
pub const EVENT_PREFIX: &str = "e/";
/// What the keys of orders begin with.
pub const ORDER_PREFIX: &str = "o/";

/// The head of a customer's contribution.
pub fn head(id: &MarketplaceId, of: &CustomerId) -> Key {
    key(customer(id, of), HEAD)
}

/// A piece of a customer's contribution, named by its month or, where a day lies alone, by that day.
pub fn piece(id: &MarketplaceId, of: &CustomerId, name: &str) -> Key {
    key(customer(id, of), format!("{PIECE_PREFIX}{name}"))
}

/// An event of a customer.
pub fn event(id: &MarketplaceId, of: &CustomerId, event: &EventId) -> Key {
    key(customer(id, of), format!("{EVENT_PREFIX}{event}"))
}

/// An order of a customer.
pub fn order(id: &MarketplaceId, of: &CustomerId, order: &OrderId) -> Key {
    key(customer(id, of), format!("{ORDER_PREFIX}{order}"))
}

/// From an order's id to what never changes of it.
pub fn order_pointer(id: &MarketplaceId, order: &OrderId) -> Key {
    key(part(id, &format!("o/{order}")), "o")
}

/// The partition of a lane of notes.
pub fn notes(id: &MarketplaceId, lane: u8) -> String {
    part(id, &format!("n/{lane}"))
}

/// The note of an ingest call.
pub fn note(id: &MarketplaceId, call: &str) -> Key {
    let lane = call
        .bytes()
        .fold(0_u8, |sum, b| sum.wrapping_mul(31).wrapping_add(b))
        % NOTE_LANES;
    key(notes(id, lane), call)
}

/// The partition of the units of work.
pub fn units(id: &MarketplaceId) -> String {
    part(id, "w")
}

/// A unit of work.
pub fn unit(id: &MarketplaceId, unit: &str) -> Key {
    key(units(id), unit)
}

/// Lanes that the lists of units are spread over, by the first digit of the unit's name.
pub const LIST_LANES: &str = "0123456789abcdef";

/// The partition of a lane of the lists of customers that units fold, or folded.
pub fn unit_lists(id: &MarketplaceId, lane: &str) -> String {
    part(id, &format!("j/{lane}"))
}

/// The list of the customers of a unit, whose name is hexadecimal digits.
pub fn unit_list(id: &MarketplaceId, unit: &str) -> Key {
    let lane = LIST_LANES.find(|lane| unit.starts_with(lane)).unwrap_or(0);
    key(unit_lists(id, &LIST_LANES[lane..=lane]), unit)
}

/// The partition of the customers who are parked.
pub fn parked(id: &MarketplaceId) -> String {
    part(id, "x")
}

/// A customer who is parked.
pub fn parked_customer(id: &MarketplaceId, customer: &CustomerId) -> Key {
    key(parked(id), customer.as_str())
}

/// The partition of a stripe of the day sheets.
pub fn sheets(id: &MarketplaceId, stripe: u8) -> String {
    part(id, &format!("d/{stripe}"))
}

/// The sheet of a day, as far as it lies in a stripe.
pub fn sheet(id: &MarketplaceId, stripe: u8, day: Day) -> Key {
    key(sheets(id, stripe), day.to_string())
}

/// The partition of the orders that a campaign earned, or that nobody earned.
pub fn purchases(id: &MarketplaceId, campaign: Option<&CampaignId>) -> String {
    match campaign {
        Some(campaign) => part(id, &format!("p/0/{campaign}")),
        None => part(id, "u/0"),
    }
}

/// A stored order in the list of the campaign that earned it.
pub fn purchase(
    id: &MarketplaceId,
    campaign: Option<&CampaignId>,
    day: Day,
    placed_at: Instant,
    order: &OrderId,
) -> Key {
    key(
        purchases(id, campaign),
        format!("{day}/{placed_at}/{order}"),
    )
}

/// The partition of the runs.
pub fn runs(id: &MarketplaceId) -> String {
    part(id, "r")
}

/// The partition of the names of runs that have not ended.
pub fn open_runs(id: &MarketplaceId) -> String {
    part(id, "q")
}

/// The name of a run that has not ended.
pub fn open_run(id: &MarketplaceId, run: &str) -> Key {
    key(open_runs(id), run)
}

/// A run.
pub fn run(id: &MarketplaceId, run: &str) -> Key {
    key(runs(id), run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_ids_never_meet() {
        let id = MarketplaceId::new("shop").unwrap();
        let other = MarketplaceId::new("shop-2").unwrap();
        let names = [
            "a", "a/", "/a", "a/e/x", "a#", "a%2F", "%23", "#", "/", "0", "meta", "o", "c/a", "🦀",
            " ",
        ];
        let mut seen = std::collections::BTreeSet::new();
        let mut add = |key: Key| {
            assert!(
                seen.insert((key.pk.clone(), key.sk.clone())),
                "{key:?} twice"
            )
        };
        let (day, at) = (Day::parse("2026-11-20").unwrap(), Instant::from_ms(0));
        for id in [&id, &other] {
            for name in names {
                let customer = CustomerId::new(name).unwrap();
                add(campaign(id, &CampaignId::new(name).unwrap()));
                add(order_pointer(id, &OrderId::new(name).unwrap()));
                add(head(id, &customer));
                add(parked_customer(id, &customer));
                add(piece(id, &customer, "2026-11"));
                for inner in names {
                    add(event(id, &customer, &EventId::new(inner).unwrap()));
                    add(order(id, &customer, &OrderId::new(inner).unwrap()));
                    add(purchase(
                        id,
                        Some(&CampaignId::new(name).unwrap()),
                        day,
                        at,
                        &OrderId::new(inner).unwrap(),
                    ));
                }
                add(purchase(id, None, day, at, &OrderId::new(name).unwrap()));
            }
            add(meta(id));
            for stripe in 0..STRIPES {
                add(rules(id, stripe));
                add(sheet(id, stripe, day));
            }
            for lane in LIST_LANES.chars() {
                add(unit(id, &lane.to_string()));
                add(unit_list(id, &lane.to_string()));
            }
        }
    }

    #[test]
    fn every_tenant_key_names_its_marketplace() {
        let id = MarketplaceId::new("shop").unwrap();
        let customer = CustomerId::new("m/other/x").unwrap();
        assert_eq!(marketplace_of(&head(&id, &customer).pk), Some("shop"));
        assert_eq!(marketplace_of(MARKETPLACES), None);
        assert_eq!(marketplace_of(&access_key("00").pk), None);
    }
}
