//! The figures of promotions: the page of all promotions. They show every record as soon as it is accepted, and read sums only.

pub(crate) mod dashboard;
pub(crate) mod lists;

use std::collections::{BTreeMap, BTreeSet};

use revtrail_core::figures::sort::{SortValue, Sorting};
use revtrail_core::promotion::account::{CellFigures, TierAndSegment};
use revtrail_core::promotion::result::worst_case;
use revtrail_core::promotion::{Promotion, PromotionKind, PromotionState};
use revtrail_core::record::Code;
use revtrail_core::value::id::{PromotionId, SegmentName, TierId};
use revtrail_core::value::money::{Currency, Money, Sums, rate, share};
use revtrail_core::value::time::Instant;
use revtrail_store::market::Market;
use revtrail_store::market::access::Role;
use revtrail_store::promotions::{Breakdown, PromotionFigures};
use revtrail_web::access::Access;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::csv::{self, Style};
use revtrail_web::etag::tagged;
use revtrail_web::list::{PageRequest, Position};
use revtrail_web::problem::Problem;
use revtrail_web::query::Query;
use serde::Serialize;
use serde_json::{Value, json};

use crate::campaigns::{Sorted, sort};
use crate::versions;

/// Who gets promotions as CSV: every role that sees them, except analysts.
pub(crate) const CSV: Access = Access::Roles(&[Role::Admin, Role::Marketer, Role::Partner]);

/// The promotion named in the path.
pub(crate) async fn known(call: &Call, market: &Market) -> Result<Promotion, Problem> {
    let id = call.id("id", PromotionId::new)?;
    let found = market.promotions().promotion(&id).await?;
    found.ok_or_else(|| Problem::not_found("this marketplace has no such promotion"))
}

pub(crate) async fn facts(call: Call) -> Result<Response, Problem> {
    let shown = known(&call, &call.market()?).await?.shown();
    Ok(tagged(json(StatusCode::OK, &shown), &shown))
}

/// How much of a budget was spent.
#[derive(Debug, Serialize)]
struct BudgetUse {
    amount: String,
    currency: Currency,
    spent: String,
    usage: Option<String>,
}

/// How much of a cap was used.
#[derive(Debug, Serialize)]
struct CapUse {
    limit: i64,
    used: i64,
    usage: Option<String>,
}

/// The money of a promotion: its limits, orders and rewards, and whether it runs.
#[derive(Debug, Serialize)]
struct PromotionMoney {
    state: PromotionState,
    budget: Option<BudgetUse>,
    /// What is not spent of the budget; negative where rewards went over it.
    budget_left: Option<String>,
    cap: Option<CapUse>,
    result: Option<Sums>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worst_case: Option<Sums>,
}

impl PromotionMoney {
    fn of(promotion: &Promotion, figures: &PromotionFigures, now: Instant) -> Self {
        let spent = spent(promotion, figures);
        Self {
            state: promotion.state(spent, figures.redemptions, now),
            budget: promotion.budget.map(|budget| BudgetUse {
                amount: budget.amount.in_currency(budget.currency),
                currency: budget.currency,
                spent: spent.in_currency(budget.currency),
                usage: share(spent, budget.amount),
            }),
            budget_left: promotion
                .budget
                .map(|budget| (budget.amount - spent).in_currency(budget.currency)),
            cap: promotion.cap.map(|cap| CapUse {
                limit: cap,
                used: figures.redemptions,
                usage: rate(figures.redemptions, cap),
            }),
            result: figures.result(),
            worst_case: worst_case(
                promotion,
                spent,
                figures.redemptions,
                figures.bounding_uses(),
            ),
        }
    }
}

/// What rewards took of the budget, in its currency.
fn spent(promotion: &Promotion, figures: &PromotionFigures) -> Money {
    let budget = promotion.budget;
    budget.map_or(Money::ZERO, |budget| figures.spent(budget.currency))
}

/// The row of a promotion in the list.
#[derive(Debug, Serialize)]
struct PromotionRow {
    promotion_id: PromotionId,
    name: String,
    kind: PromotionKind,
    starts_at: Option<Instant>,
    ends_at: Option<Instant>,
    assigned: i64,
    redeemed: i64,
    redemptions: i64,
    redemption_rate: Option<String>,
    #[serde(flatten)]
    money: PromotionMoney,
}

/// The share of assignments that were redeemed; `None` before any record came in, which shows as a dash.
fn redemption_rate(figures: CellFigures, any: bool) -> Option<String> {
    rate(figures.redeemed, figures.assigned).filter(|_| any)
}

fn total(figures: &PromotionFigures) -> CellFigures {
    CellFigures {
        assigned: figures.assigned,
        redeemed: figures.redeemed,
        redemptions: figures.redemptions,
    }
}

impl PromotionRow {
    /// A row whose counts are of a part of a promotion. Budget, cap, result and worst case are those of the whole promotion.
    fn new(
        promotion: &Promotion,
        figures: &PromotionFigures,
        part: CellFigures,
        now: Instant,
    ) -> Self {
        Self {
            promotion_id: promotion.promotion_id.clone(),
            name: promotion.name.clone(),
            kind: promotion.kind,
            starts_at: promotion.starts_at,
            ends_at: promotion.ends_at,
            assigned: part.assigned,
            redeemed: part.redeemed,
            redemptions: part.redemptions,
            redemption_rate: redemption_rate(part, figures.any()),
            money: PromotionMoney::of(promotion, figures, now),
        }
    }
}

pub(crate) const COLUMNS: [&str; 11] = [
    "promotion_id",
    "name",
    "kind",
    "assigned",
    "redeemed",
    "redemptions",
    "redemption_rate",
    "budget",
    "cap",
    "result",
    "worst_case",
];

fn sort_value(row: &PromotionRow, by: &Sorting) -> Option<SortValue> {
    let decimal = |text: &Option<String>| {
        let number = text.as_deref().and_then(Money::stored);
        number.map(SortValue::Number)
    };
    let money = |sums: &Sums| {
        let of = by.currency?;
        let amount = sums.iter().find(|(currency, _)| *currency == of)?.1;
        Some(SortValue::Number(amount))
    };
    let count = |n: i64| Some(SortValue::Number(n.into()));
    match by.column {
        "name" => Some(SortValue::Text(row.name.clone())),
        "kind" => count(row.kind as i64),
        "assigned" => count(row.assigned),
        "redeemed" => count(row.redeemed),
        "redemptions" => count(row.redemptions),
        "redemption_rate" => decimal(&row.redemption_rate),
        "budget" => decimal(&row.money.budget.as_ref()?.usage),
        "cap" => decimal(&row.money.cap.as_ref()?.usage),
        "result" => money(row.money.result.as_ref()?),
        "worst_case" => money(row.money.worst_case.as_ref()?),
        _ => Some(SortValue::Text(row.promotion_id.as_str().to_owned())),
    }
}

/// The currency to sort rows by if the settings name none: that of the most rows, and of equals the first by its code.
fn most_rows(rows: &[PromotionRow]) -> Option<Currency> {
    let mut counts: BTreeMap<Currency, usize> = BTreeMap::new();
    for row in rows {
        let sums = [row.money.result.as_ref(), row.money.worst_case.as_ref()];
        let of = |sums: &'_ Sums| -> Vec<Currency> { sums.iter().map(|(of, _)| of).collect() };
        let currencies: BTreeSet<Currency> = sums.into_iter().flatten().flat_map(of).collect();
        for currency in currencies {
            *counts.entry(currency).or_default() += 1;
        }
    }
    // If several are equal, `max_by_key` takes the last.
    let most = counts.into_iter().rev().max_by_key(|(_, rows)| *rows);
    most.map(|(currency, _)| currency)
}

/// Which promotions are asked for, and which part of them.
struct PromotionFilter<'q> {
    name: Option<String>,
    kind: Option<PromotionKind>,
    segment: Option<SegmentName>,
    tier: Option<TierId>,
    metadata: Vec<(&'q str, &'q str)>,
}

impl<'q> PromotionFilter<'q> {
    fn read(query: &mut Query<'q>) -> Self {
        let kind = |text: &str| {
            let found = PromotionKind::NAMES
                .into_iter()
                .find(|(name, _)| *name == text);
            found.map(|(_, kind)| kind)
        };
        let expected = "global, tiered or personalised";
        Self {
            name: query.text("name").map(str::to_lowercase),
            kind: query.read("kind", Code::UnknownValue, expected, kind),
            segment: query.id("segment", SegmentName::new),
            tier: query.id("tier", TierId::new),
            metadata: query.prefixed("metadata."),
        }
    }

    fn takes(&self, promotion: &Promotion) -> bool {
        let says = |(key, value): &(&str, &str)| match promotion.metadata.get(*key) {
            Some(Value::String(text)) => text == value,
            Some(other) => *other.to_string() == **value,
            None => false,
        };
        let named = |name: &String| promotion.name.to_lowercase().contains(name);
        self.name.as_ref().is_none_or(named)
            && self.kind.is_none_or(|kind| kind == promotion.kind)
            && self.metadata.iter().all(says)
    }

    fn is_part(&self) -> bool {
        self.segment.is_some() || self.tier.is_some()
    }

    fn takes_cell(&self, (tier, segment): &TierAndSegment) -> bool {
        (self.tier.is_none() || self.tier == *tier)
            && (self.segment.is_none() || self.segment == *segment)
    }
}

pub(crate) async fn report(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let wanted = PromotionFilter::read(&mut query);
    let (column, descending) = sort(&mut query, &COLUMNS, ("promotion_id", false));
    let asked: PageRequest<Sorted> = PageRequest::json_or_csv(&mut query, &call, CSV)?;
    query.done()?;
    let mut rows = rows(&market, &wanted, call.now).await?;
    let set = versions(&market).await?.newest().settings.currency;
    let before = asked.after.as_ref().map(|place| place.value.0);
    let by = Sorting {
        column,
        descending,
        currency: before.unwrap_or_else(|| set.or_else(|| most_rows(&rows))),
    };
    by.sort(&mut rows, |row| {
        (sort_value(row, &by), row.promotion_id.clone())
    });
    if let Some(style) = asked.csv {
        return Ok(as_csv(style, &rows));
    }
    let place = |row: &PromotionRow| Position {
        value: (by.currency, sort_value(row, &by)),
        id: row.promotion_id.as_str().to_owned(),
    };
    let compare = |row: &PromotionRow, place: &Position<Sorted>| {
        let row = (sort_value(row, &by), row.promotion_id.as_str());
        by.compare(&row, &(place.value.1.clone(), place.id.as_str()))
    };
    let page = asked.page_of(rows, place, compare);
    let body = json!({
        "promotions": page.rows, "sort_currency": by.currency, "as_of": call.now, "next_cursor": page.next_cursor(&call)?,
    });
    Ok(json(StatusCode::OK, &body))
}

/// The rows of all promotions that are asked for. Promotions are read page by page, and only their rows are kept.
async fn rows(
    market: &Market,
    wanted: &PromotionFilter<'_>,
    now: Instant,
) -> Result<Vec<PromotionRow>, Problem> {
    let promotions = market.promotions();
    let mut figures = promotions.promotions_figures().await?;
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = promotions.page(after).await?;
        for promotion in page.iter().filter(|promotion| wanted.takes(promotion)) {
            let figures = figures.remove(&promotion.promotion_id).unwrap_or_default();
            let mut part = total(&figures);
            if wanted.is_part() && part != CellFigures::default() {
                let breakdown = promotions.promotion_breakdown(&promotion.promotion_id);
                part = sum(&breakdown.await?, |cell| wanted.takes_cell(cell));
            }
            if !wanted.is_part() || part != CellFigures::default() {
                rows.push(PromotionRow::new(promotion, &figures, part, now));
            }
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(rows),
        }
    }
}

fn sum(breakdown: &Breakdown, takes: impl Fn(&TierAndSegment) -> bool) -> CellFigures {
    let mut sum = CellFigures::default();
    for (_, cell) in breakdown.cells.iter().filter(|(cell, _)| takes(cell)) {
        sum.assigned += cell.assigned;
        sum.redeemed += cell.redeemed;
        sum.redemptions += cell.redemptions;
    }
    sum
}

fn as_csv(style: Style, rows: &[PromotionRow]) -> Response {
    let sums = rows
        .iter()
        .flat_map(|row| [&row.money.result, &row.money.worst_case]);
    let sums = sums.flatten().flat_map(Sums::iter);
    let mut currencies: Vec<Currency> = sums.map(|(currency, _)| currency).collect();
    currencies.sort();
    currencies.dedup();
    let mut columns: Vec<String> = [
        "promotion_id",
        "name",
        "kind",
        "assigned",
        "redeemed",
        "redemptions",
        "redemption_rate",
        "budget_amount",
        "budget_currency",
        "budget_spent",
        "budget_usage",
        "cap_limit",
        "cap_used",
        "cap_usage",
    ]
    .map(str::to_owned)
    .to_vec();
    for name in ["result", "worst_case"] {
        columns.extend(
            currencies
                .iter()
                .map(|currency| format!("{name}_{currency}")),
        );
    }
    let mut table = csv::Table::new(style, columns.iter().map(String::as_str));
    for row in rows {
        let kind = PromotionKind::NAMES
            .into_iter()
            .find(|(_, kind)| *kind == row.kind);
        let (budget, cap) = (row.money.budget.as_ref(), row.money.cap.as_ref());
        let number = |n: i64| csv::Cell::number(n.to_string());
        let mut cells = vec![
            csv::Cell::text(row.promotion_id.as_str()),
            csv::Cell::text(row.name.as_str()),
            csv::Cell::maybe_text(kind.map(|(name, _)| name)),
            number(row.assigned),
            number(row.redeemed),
            number(row.redemptions),
            csv::Cell::maybe_number(row.redemption_rate.as_deref()),
            csv::Cell::maybe_number(budget.map(|budget| budget.amount.as_str())),
            csv::Cell::maybe_text(budget.map(|budget| budget.currency.code())),
            csv::Cell::maybe_number(budget.map(|budget| budget.spent.as_str())),
            csv::Cell::maybe_number(budget.and_then(|budget| budget.usage.as_deref())),
            csv::Cell::maybe_number(cap.map(|cap| cap.limit.to_string())),
            csv::Cell::maybe_number(cap.map(|cap| cap.used.to_string())),
            csv::Cell::maybe_number(cap.and_then(|cap| cap.usage.as_deref())),
        ];
        for sums in [&row.money.result, &row.money.worst_case] {
            let amount = |currency: &Currency| {
                sums.as_ref()
                    .map(|sums| sums.get(*currency).in_currency(*currency))
            };
            cells.extend(
                currencies
                    .iter()
                    .map(|currency| csv::Cell::maybe_number(amount(currency))),
            );
        }
        table.row(cells);
    }
    table.answer("promotions.csv")
}
