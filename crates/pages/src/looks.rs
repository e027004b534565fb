//! What a what-if or a replay found, as pages show it: what all campaigns would earn, which campaigns move most, other models, and
//! the first orders that move, with their reasons. All figures are the API's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use revtrail_core::attribution::settings::Settings;
use revtrail_core::value::money::Money;
use revtrail_core::value::time::Instant;
use serde::Deserialize;

use crate::campaigns::{Sums, channel_name};
use crate::change::{Change, Tile};
use crate::frame::{Frame, Period};
use crate::numbers::Figure;

/// What no campaign earns: more of it is neither good nor bad.
const NOBODY: &str = "Credited to nobody";

/// How many campaigns are shown at once; the others that move are behind them.
const MOVERS: usize = 10;
/// How many campaigns are shown at all.
const ROWS_MAX: usize = 100;
/// How many of the orders that move are shown.
const MOVED: usize = 20;

/// What counted orders bring.
#[derive(Deserialize, Default, Clone)]
pub(crate) struct Earned {
    #[serde(alias = "orders")]
    purchases: i64,
    revenue: Sums,
}

/// What the counted orders of a period bring, and who earned them.
#[derive(Deserialize)]
struct Totals {
    counted: Earned,
    credited: Earned,
    uncredited: Earned,
    /// Of a replay: what each campaign earns.
    #[serde(default)]
    campaigns: Vec<EarnedBy>,
}

#[derive(Deserialize)]
struct EarnedBy {
    campaign_id: String,
    #[serde(flatten)]
    earned: Earned,
}

#[derive(Deserialize)]
struct CampaignChange {
    campaign_id: String,
    current: Earned,
    proposed: Earned,
}

#[derive(Deserialize)]
struct Model {
    model: String,
    campaigns: Vec<EarnedBy>,
}

#[derive(Deserialize)]
struct Holder {
    campaign_id: String,
    amount: String,
}

#[derive(Deserialize)]
struct Touch {
    channel: String,
    touch_kind: String,
    touch_at: Instant,
}

#[derive(Deserialize)]
struct Moved {
    order_id: String,
    currency: String,
    from: Option<Holder>,
    to: Option<Holder>,
    reason: Option<String>,
    credited_to: Option<Touch>,
}

/// What `POST what-if` and `GET what-ifs/{id}` answer.
#[derive(Deserialize)]
pub(crate) struct WhatIf {
    pub(crate) what_if_id: String,
    pub(crate) state: String,
    pub(crate) progress: String,
    pub(crate) period: Period,
    pub(crate) settings: Settings,
    pub(crate) orders: i64,
    moved_total: i64,
    skipped: i64,
    current: Totals,
    proposed: Totals,
    campaigns: Vec<CampaignChange>,
    moved: Vec<Moved>,
    models: Vec<Model>,
    names: BTreeMap<String, String>,
}

/// What `GET replays/{id}` answers.
#[derive(Deserialize)]
pub(crate) struct Replay {
    pub(crate) replay_id: String,
    pub(crate) state: String,
    pub(crate) progress: String,
    pub(crate) version: u32,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) dry_run: bool,
    pub(crate) by: String,
    pub(crate) at: Instant,
    pub(crate) orders: i64,
    pub(crate) moved: i64,
    skipped: i64,
    before: Totals,
    after: Totals,
    #[serde(default)]
    names: BTreeMap<String, String>,
}

/// A campaign: what it earns now, and what it would earn.
pub(crate) struct Mover {
    pub(crate) href: String,
    pub(crate) name: String,
    pub(crate) purchases: [Figure; 2],
    pub(crate) revenue: [Vec<Figure>; 2],
    pub(crate) changes: Vec<Change>,
}

/// What the models give the campaigns: a column for each model.
pub(crate) struct Models {
    pub(crate) names: Vec<&'static str>,
    /// True where every model gives every campaign the same.
    pub(crate) agree: bool,
    /// The campaigns, each with its link and its revenue by each model.
    pub(crate) rows: Vec<(String, String, Vec<Vec<Figure>>)>,
    pub(crate) left_out: Option<Figure>,
}

/// An order that would move.
pub(crate) struct MovedOrder {
    pub(crate) href: String,
    pub(crate) order: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) amounts: [Figure; 2],
    pub(crate) why: String,
}

/// What was found.
pub(crate) struct Found {
    pub(crate) orders: Figure,
    pub(crate) moved: Figure,
    pub(crate) moves: bool,
    pub(crate) skipped: Option<Figure>,
    pub(crate) tiles: Vec<Tile>,
    /// The campaigns that move most.
    pub(crate) movers: Vec<Mover>,
    /// The campaigns after those.
    pub(crate) others: Vec<Mover>,
    pub(crate) left_out: Option<Figure>,
    pub(crate) models: Option<Models>,
    pub(crate) listed: Vec<MovedOrder>,
}

type Rows = BTreeMap<String, [Earned; 2]>;

impl Found {
    pub(crate) fn of_what_if(frame: &Frame, told: &WhatIf) -> Self {
        let row = |row: &CampaignChange| {
            let both = [row.current.clone(), row.proposed.clone()];
            (row.campaign_id.clone(), both)
        };
        let rows = told.campaigns.iter().map(row).collect();
        let counts = [told.orders, told.moved_total, told.skipped];
        let of = Of {
            frame,
            names: &told.names,
            currency: main_currency(&told.current, &told.proposed),
        };
        let listed = told.moved.iter().take(MOVED).map(|moved| of.moved(moved));
        Self {
            models: (!told.models.is_empty()).then(|| of.models(&told.models)),
            listed: listed.collect(),
            ..of.found(counts, [&told.current, &told.proposed], rows)
        }
    }

    pub(crate) fn of_replay(frame: &Frame, told: &Replay) -> Self {
        let mut rows = Rows::new();
        for (side, totals) in [&told.before, &told.after].into_iter().enumerate() {
            for row in &totals.campaigns {
                rows.entry(row.campaign_id.clone()).or_default()[side] = row.earned.clone();
            }
        }
        let of = Of {
            frame,
            names: &told.names,
            currency: main_currency(&told.before, &told.after),
        };
        let counts = [told.orders, told.moved, told.skipped];
        of.found(counts, [&told.before, &told.after], rows)
    }
}

/// The currency by which campaigns are put in order: the first that the counted orders have.
fn main_currency(now: &Totals, then: &Totals) -> String {
    let mut known = now
        .counted
        .revenue
        .keys()
        .chain(then.counted.revenue.keys());
    known.next().cloned().unwrap_or_default()
}

/// What the parts of a result share.
struct Of<'f> {
    frame: &'f Frame,
    names: &'f BTreeMap<String, String>,
    currency: String,
}

fn amount<'s>(sums: &'s Sums, currency: &str) -> &'s str {
    sums.get(currency).map_or("0", String::as_str)
}

impl Of<'_> {
    fn found(&self, counts: [i64; 3], [now, then]: [&Totals; 2], rows: Rows) -> Found {
        let count = |n| self.frame.numbers.count(n);
        let [orders, moved, skipped] = counts;
        let mut sorted: Vec<(&String, &[Earned; 2])> = rows.iter().collect();
        // The order in which rows stand is no figure.
        let moves = |[now, then]: &[Earned; 2]| {
            let of = |earned: &Earned| Money::stored(amount(&earned.revenue, &self.currency));
            let money = of(then)
                .zip(of(now))
                .map(|(then, now)| (then - now).micros().abs());
            Reverse((money, (then.purchases - now.purchases).abs(), now.purchases))
        };
        sorted.sort_by_key(|(_, both)| moves(both));
        let left_out = sorted.len().saturating_sub(ROWS_MAX);
        sorted.truncate(ROWS_MAX);
        let mut movers: Vec<Mover> = sorted
            .iter()
            .map(|(id, both)| self.mover(id, both))
            .collect();
        let others = movers.split_off(movers.len().min(MOVERS));
        Found {
            orders: count(orders),
            moved: count(moved),
            moves: moved > 0,
            skipped: (skipped > 0).then(|| count(skipped)),
            tiles: self.tiles(now, then),
            movers,
            others,
            left_out: (left_out > 0).then(|| count(i64::try_from(left_out).unwrap_or(i64::MAX))),
            models: None,
            listed: Vec::new(),
        }
    }

    fn name(&self, id: &str) -> String {
        self.names.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    fn href(&self, id: &str) -> String {
        self.frame.to("/campaign").with("id", id).href()
    }

    /// An amount now and then, in each currency that either side has, with its change.
    fn money(&self, [now, then]: [&Sums; 2]) -> Vec<([Figure; 2], Change)> {
        let known: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
        let part = |currency: &String| {
            let both = [now, then].map(|sums| amount(sums, currency));
            let [was, is] = both.map(|amount| self.frame.numbers.exact(amount, currency));
            let change = Change::new(self.frame, Some(both[1]), Some(both[0]), was.clone());
            ([was, is], change)
        };
        known.into_iter().map(part).collect()
    }

    fn count(&self, [now, then]: [i64; 2]) -> ([Figure; 2], Change) {
        let figures = [now, then].map(|n| self.frame.numbers.count(n));
        let (was, is) = (now.to_string(), then.to_string());
        let change = Change::new(self.frame, Some(&is), Some(&was), figures[0].clone());
        (figures, change)
    }

    fn tiles(&self, now: &Totals, then: &Totals) -> Vec<Tile> {
        let then_of = |([_, then], change): ([Figure; 2], Change)| (then, change);
        let tile = |label, about, of: fn(&Totals) -> &Earned, money: bool| {
            let parts = match money {
                true => self.money([&of(now).revenue, &of(then).revenue]),
                false => vec![self.count([of(now).purchases, of(then).purchases])],
            };
            let mut parts: Vec<_> = parts.into_iter().map(then_of).collect();
            for (_, change) in parts.iter_mut().filter(|_| label == NOBODY) {
                change.colour = "";
            }
            Tile {
                label,
                about,
                parts,
            }
        };
        vec![
            tile(
                "Revenue",
                "What campaigns would have earned",
                |of| &of.credited,
                true,
            ),
            tile(
                "Purchases",
                "Orders that a campaign would have earned",
                |of| &of.credited,
                false,
            ),
            tile(
                NOBODY,
                "What no campaign would have earned",
                |of| &of.uncredited,
                true,
            ),
            tile(
                "Orders that count",
                "Credited or not",
                |of| &of.counted,
                false,
            ),
        ]
    }

    fn mover(&self, id: &str, [now, then]: &[Earned; 2]) -> Mover {
        let (purchases, of_purchases) = self.count([now.purchases, then.purchases]);
        let (mut revenue, mut changes) = ([Vec::new(), Vec::new()], Vec::new());
        for ([was, is], change) in self.money([&now.revenue, &then.revenue]) {
            revenue[0].push(was);
            revenue[1].push(is);
            changes.push(change);
        }
        if changes.is_empty() {
            changes.push(of_purchases);
        }
        Mover {
            href: self.href(id),
            name: self.name(id),
            purchases,
            revenue,
            changes,
        }
    }

    fn models(&self, told: &[Model]) -> Models {
        let mut rows: BTreeMap<&String, Vec<Vec<Figure>>> = BTreeMap::new();
        let mut greatest: BTreeMap<&String, i128> = BTreeMap::new();
        for (place, model) in told.iter().enumerate() {
            for row in &model.campaigns {
                let revenue = &row.earned.revenue;
                let figures = revenue
                    .iter()
                    .map(|(currency, amount)| self.frame.numbers.exact(amount, currency));
                let cells = rows
                    .entry(&row.campaign_id)
                    .or_insert_with(|| vec![Vec::new(); told.len()]);
                cells[place] = figures.collect();
                let micros =
                    Money::stored(amount(revenue, &self.currency)).map_or(0, Money::micros);
                let most = greatest.entry(&row.campaign_id).or_default();
                *most = micros.max(*most);
            }
        }
        let alike = |cells: &Vec<Vec<Figure>>| cells.iter().all(|cell| *cell == cells[0]);
        let agree = rows.values().all(alike);
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by_key(|(id, _)| Reverse(greatest.get(id)));
        let left_out = rows.len().saturating_sub(MOVED);
        rows.truncate(MOVED);
        let row = |(id, cells): (&String, Vec<Vec<Figure>>)| (self.href(id), self.name(id), cells);
        Models {
            names: told.iter().map(|model| model_name(&model.model)).collect(),
            agree,
            rows: rows.into_iter().map(row).collect(),
            left_out: i64::try_from(left_out)
                .ok()
                .filter(|n| *n > 0)
                .map(|n| self.frame.numbers.count(n)),
        }
    }

    fn moved(&self, moved: &Moved) -> MovedOrder {
        let name = |of: &Option<Holder>| {
            let of = of.as_ref().map(|of| self.name(&of.campaign_id));
            of.unwrap_or_else(|| "nobody".to_owned())
        };
        let amount = |of: &Option<Holder>| {
            let of = of
                .as_ref()
                .map(|of| self.frame.numbers.exact(&of.amount, &moved.currency));
            of.unwrap_or_default()
        };
        MovedOrder {
            href: self.frame.to("/order").with("id", &moved.order_id).href(),
            order: moved.order_id.clone(),
            from: name(&moved.from),
            to: name(&moved.to),
            amounts: [amount(&moved.from), amount(&moved.to)],
            why: self.why(moved),
        }
    }

    /// Why the order would be whose it would be, in words.
    fn why(&self, moved: &Moved) -> String {
        match (moved.reason.as_deref(), &moved.credited_to) {
            (None, Some(touch)) => format!(
                "{}, {} {}",
                channel_name(&touch.channel),
                touch.touch_kind,
                self.frame.moment(touch.touch_at).shown
            ),
            (Some(reason), _) => reason_words(reason).to_owned(),
            (None, None) => String::new(),
        }
    }
}

/// Why an order would not count, or nobody would earn it.
pub(crate) fn reason_words(reason: &str) -> &str {
    match reason {
        "status" => "its status would not count",
        "currency" => "its currency would not count",
        "refunded" => "it was refunded, and would not count",
        "linking_off" => "orders would be connected to nothing",
        "no_candidate" => "no message would pass all gates",
        other => other,
    }
}

/// A model of attribution, for people.
fn model_name(model: &str) -> &'static str {
    match model {
        "last_sent" => "Sent last",
        "last_interaction" => "Acted on last",
        "first" => "First touch",
        "linear" => "Equal parts",
        "position_based" => "First and last",
        "time_decay" => "Time decay",
        _ => "Another",
    }
}
