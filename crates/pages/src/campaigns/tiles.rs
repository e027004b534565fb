//! The figures at the head of the page of campaigns, each with its change against the period before.

use std::collections::BTreeSet;

use super::{Sums, Totals};
use crate::change::{Change, Tile};
use crate::frame::Frame;
use crate::numbers::Figure;

/// How a change is told.
type ChangeOf = fn(&Frame, Option<&str>, Option<&str>, Figure) -> Change;

pub(super) fn tiles(frame: &Frame, now: &Totals, before: Option<&Totals>) -> Vec<Tile> {
    // `absent` is what a figure is in a currency that is not there; `None` where it cannot be told.
    let by_currency = |(now, absent): (&Sums, Option<&str>),
                       before: Option<&Sums>,
                       print: &dyn Fn(&str, &str) -> Figure,
                       change: ChangeOf| {
        let known = now
            .keys()
            .chain(before.into_iter().flat_map(Sums::keys))
            .collect::<BTreeSet<_>>();
        let part = |currency: &String| {
            let was = before
                .and_then(|sums| sums.get(currency))
                .map(String::as_str);
            let is = now.get(currency).map(String::as_str).or(absent);
            let figure = |of: Option<&str>| of.map_or(Figure::default(), |of| print(of, currency));
            (figure(is), change(frame, is, was, figure(was)))
        };
        let parts: Vec<_> = known.into_iter().map(part).collect();
        if parts.is_empty() {
            vec![(
                Figure::default(),
                Change::new(frame, None, None, Figure::default()),
            )]
        } else {
            parts
        }
    };
    let count = |now: Option<i64>, before: Option<i64>| {
        let text = |n: Option<i64>| n.map(|n| n.to_string());
        let figure = |n: Option<i64>| n.map_or(Figure::default(), |n| frame.numbers.count(n));
        let change = Change::new(
            frame,
            text(now).as_deref(),
            text(before).as_deref(),
            figure(before),
        );
        vec![(figure(now), change)]
    };
    let old = before.map(|before| &before.figures);
    let exact = |amount: &str, currency: &str| frame.numbers.exact(amount, currency);
    let rate = |rate: &str, _: &str| frame.numbers.rate(Some(rate));
    let tile = |label, about, parts| Tile {
        label,
        about,
        parts,
    };
    vec![
        tile(
            "Revenue",
            "What counted orders brought that a campaign earned",
            by_currency(
                (&now.figures.revenue, Some("0")),
                old.map(|old| &old.revenue),
                &exact,
                Change::new,
            ),
        ),
        tile(
            "Purchases",
            "Counted orders that a campaign earned",
            count(now.figures.purchases, old.and_then(|old| old.purchases)),
        ),
        tile(
            "Average check",
            "Revenue / purchases",
            by_currency(
                (&now.figures.average_check, None),
                old.map(|old| &old.average_check),
                &exact,
                Change::new,
            ),
        ),
        tile(
            "Buyers",
            "The sum of the buyers of each campaign",
            count(now.figures.purchasers, old.and_then(|old| old.purchasers)),
        ),
        tile(
            "Revenue per delivery",
            "Revenue / messages delivered",
            by_currency(
                (
                    &now.figures.revenue_per_delivery,
                    (now.figures.deliveries > 0).then_some("0"),
                ),
                old.map(|old| &old.revenue_per_delivery),
                &exact,
                Change::new,
            ),
        ),
        tile(
            "Share of all revenue",
            "Credited / counted revenue; no filter applies to it",
            by_currency(
                (&now.share, None),
                before.map(|before| &before.share),
                &rate,
                Change::in_points,
            ),
        ),
    ]
}
