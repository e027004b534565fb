//! All that the table holds of a marketplace, as lines that can be compared; and the invariant that holds at every instant:
//! the daily aggregates are the sums of the contributions, the purchase rows are their orders, and every daily aggregate adds up.

use std::collections::{BTreeMap, BTreeSet};

use revtrail_core::figures::daily::{Aggregate, IntakeCounts};
use revtrail_core::value::address::Recipient;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::time::{Day, Instant};
use revtrail_store::Reading;
use revtrail_store::ledger::facts::CustomerFacts;
use revtrail_store::market::Market;
use revtrail_store::table::keys::{PurchaseList, UNCREDITED_SHARDS};

/// The facts of some customers, who are all that have any; after the invariant held on the days from `first` on.
pub async fn consistent(
    market: &Market,
    customers: &[&str],
    campaigns: &[&str],
    first: Day,
    now: Instant,
) -> Vec<(Recipient, CustomerFacts)> {
    let last = now.day(chrono_tz::UTC).plus(3);
    let mut figures: BTreeMap<Day, Aggregate<CampaignId>> = market
        .daily()
        .aggregates(first, last, Reading::STRONG, now)
        .await
        .unwrap();
    for (day, aggregate) in &figures {
        assert!(aggregate.adds_up(), "{day}: {aggregate:?}");
    }
    let rows: Vec<String> = rows(market, campaigns, first, now).await;
    let mut listed = BTreeSet::new();
    let all = everybody(market, customers, now).await;
    for (customer, facts) in &all {
        for (&day, part) in &facts.stored.since(first).days {
            figures.entry(day).or_default().subtract(&part.aggregate());
            let line = |line| format!("{day} {customer} {line:?}");
            listed.extend(part.orders.iter().map(line));
        }
    }
    for (day, rest) in figures {
        // What arrived is of calls, not of customers.
        let rest = rest.without_intake();
        assert!(
            rest.is_empty(),
            "{day}: the sheet is more than its contributions by {rest:?}"
        );
    }
    let sorted: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(
        sorted.len(),
        rows.len(),
        "an order is listed twice: {rows:#?}"
    );
    assert_eq!(
        sorted, listed,
        "purchase rows, and the orders in the contributions"
    );
    all
}

/// The facts of some customers, and of addresses by their texts.
pub async fn everybody(
    market: &Market,
    customers: &[&str],
    now: Instant,
) -> Vec<(Recipient, CustomerFacts)> {
    let mut all = Vec::new();
    for &customer in customers {
        let id = Recipient::parse(customer).unwrap();
        let facts = market.facts().customer(&id, usize::MAX, now).await.unwrap();
        all.push((id, facts.unwrap()));
    }
    all
}

/// The purchase rows of all campaigns and of none.
async fn rows(market: &Market, campaigns: &[&str], first: Day, now: Instant) -> Vec<String> {
    let last = now.day(chrono_tz::UTC).plus(3);
    let earned = campaigns
        .iter()
        .map(|id| PurchaseList::Of(CampaignId::new(id).unwrap()));
    let uncredited = (0..UNCREDITED_SHARDS).map(PurchaseList::Uncredited);
    let mut rows = Vec::new();
    for list in earned.chain(uncredited) {
        let mut after = None;
        loop {
            let days = first..=last;
            let page = market
                .purchases()
                .of_list(&list, days, after, None, Reading::STRONG, now);
            let (page, next) = page.await.unwrap();
            rows.extend(page.into_iter().map(|(key, row)| {
                let earner = row.line.figures.credit.as_ref();
                let listed = match &list {
                    PurchaseList::Of(campaign) => Some(campaign),
                    PurchaseList::Uncredited(_) => None,
                };
                assert_eq!(
                    earner.map(|credit| &credit.campaign_id),
                    listed,
                    "listed under another: {row:?}"
                );
                format!("{} {} {:?}", &key[..10], row.customer_id, row.line)
            }));
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    rows
}

/// Everything but when runs were, and versions: two ways to the same end hold the same. With how many records arrived, or
/// without: a call that died may have stored what the next one finds as duplicates.
pub async fn held(
    market: &Market,
    customers: &[&str],
    campaigns: &[&str],
    now: Instant,
    arrived: bool,
) -> Vec<String> {
    let first = market.retention().first_visible(now.day(chrono_tz::UTC));
    let mut lines = Vec::new();
    for (customer, facts) in consistent(market, customers, campaigns, first, now).await {
        lines.push(format!("{customer}: {:?}", facts.stored.since(first)));
        let mut events: Vec<String> = facts
            .events
            .iter()
            .map(|event| format!("{event:?}"))
            .collect();
        events.extend(facts.orders.iter().map(|order| order.standing()));
        events.sort();
        lines.extend(events);
    }
    let aggregates = market
        .daily()
        .aggregates(first, now.day(chrono_tz::UTC).plus(3), Reading::STRONG, now)
        .await
        .unwrap();
    for (day, mut aggregate) in aggregates {
        if !arrived {
            (aggregate.orders_in, aggregate.events_in) =
                (IntakeCounts::default(), IntakeCounts::default());
        }
        if !aggregate.is_empty() {
            lines.push(format!("{day}: {aggregate:?}"));
        }
    }
    let catalog = market.campaigns().catalog().await.unwrap();
    lines.extend(catalog.iter().map(|(_, campaign)| format!("{campaign:?}")));
    let versions = market.settings().versions().await.unwrap();
    lines.extend(
        versions
            .iter()
            .flat_map(|versions| versions.all())
            .map(|version| format!("{version:?}")),
    );
    lines.extend(
        market
            .intake()
            .markers()
            .await
            .unwrap()
            .iter()
            .map(|marker| format!("{marker:?}")),
    );
    lines.extend(
        market
            .jobs()
            .jobs()
            .await
            .unwrap()
            .iter()
            .map(|job| format!("{job:?}")),
    );
    lines
}

/// Fails where two lists of lines differ, and says in which.
#[track_caller]
pub fn assert_same(got: &[String], expected: &[String]) {
    let without = |some: &[String], others: &[String]| -> Vec<String> {
        some.iter()
            .filter(|line| !others.contains(line))
            .cloned()
            .collect()
    };
    assert!(
        got == expected,
        "held: {:#?}\nexpected: {:#?}",
        without(got, expected),
        without(expected, got)
    );
}
