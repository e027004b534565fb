//! Promotions in figures: the page of all, and the dashboard of one. They show everything from the 202 on, and read sums only.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use revtrail_core::promotion::claim::{Cell, CellFigures};
use revtrail_core::promotion::result::worst_case;
use revtrail_core::promotion::{Kind, Promotion};
use revtrail_core::record::Code;
use revtrail_core::value::id::{PromotionId, SegmentName, TierId};
use revtrail_core::value::money::{Currency, Money, Sums, rate, share};
use revtrail_store::market::Market;
use revtrail_store::market::access::Role;
use revtrail_store::promotions::{Breakdown, PromotionFigures};
use revtrail_web::access::Access;
use revtrail_web::answer::json;
use revtrail_web::csv;
use revtrail_web::problem::Problem;
use revtrail_web::query::Query;
use revtrail_web::route::{Call, Method, Response, Route, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::promotion_lists::change;
use crate::versions;

/// Who sees promotions: analysts as JSON only.
pub(crate) const PROMOTIONS: Access =
    Access::Roles(&[Role::Admin, Role::Marketer, Role::Analyst, Role::Partner]);

/// Changes on the dashboard.
const CHANGES: usize = 10;

pub(crate) fn routes() -> Vec<Route> {
    let get = |path, handler: crate::Handler| Route::new(Method::GET, path, PROMOTIONS, handler);
    vec![
        get(
            "/v1/marketplaces/{marketplace}/reports/promotions",
            |call| Box::pin(promotions(call)),
        ),
        get("/v1/marketplaces/{marketplace}/promotions/{id}", |call| {
            Box::pin(promotion(call))
        }),
        get(
            "/v1/marketplaces/{marketplace}/promotions/{id}/dashboard",
            |call| Box::pin(dashboard(call)),
        ),
    ]
}

/// True where the caller asks for CSV, which analysts do not get.
pub(crate) fn csv_wanted(call: &Call) -> Result<bool, Problem> {
    if call.wants_csv() {
        call.must_be(&[Role::Admin, Role::Marketer, Role::Partner])?;
    }
    Ok(call.wants_csv())
}

/// The promotion of the path.
pub(crate) async fn known(call: &Call, market: &Market) -> Result<Promotion, Problem> {
    let id = call.id("id", PromotionId::new)?;
    let found = market.promotion(&id).await?;
    found.ok_or_else(|| Problem::not_found("this marketplace has no such promotion"))
}

async fn promotion(call: Call) -> Result<Response, Problem> {
    let promotion = known(&call, &call.market()?).await?;
    Ok(json(StatusCode::OK, &promotion.shown()))
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

/// What a promotion's limits, orders and rewards come to.
#[derive(Debug, Serialize)]
struct Money4 {
    budget: Option<BudgetUse>,
    cap: Option<CapUse>,
    result: Option<Sums>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worst_case: Option<Sums>,
}

impl Money4 {
    fn of(promotion: &Promotion, figures: &PromotionFigures) -> Self {
        let spent = promotion
            .budget
            .map_or(Money::ZERO, |budget| figures.spent(budget.currency));
        Self {
            budget: promotion.budget.map(|budget| BudgetUse {
                amount: budget.amount.in_currency(budget.currency),
                currency: budget.currency,
                spent: spent.in_currency(budget.currency),
                usage: share(spent, budget.amount),
            }),
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

/// A promotion in the list.
#[derive(Debug, Serialize)]
struct Row {
    promotion_id: PromotionId,
    name: String,
    kind: Kind,
    assigned: i64,
    redeemed: i64,
    redemptions: i64,
    redemption_rate: Option<String>,
    #[serde(flatten)]
    money: Money4,
}

/// The share of assignments that were redeemed; a dash before anything was told.
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

impl Row {
    /// A row whose counts are of a part; budget, cap, result and worst case are the whole promotion's.
    fn new(promotion: &Promotion, figures: &PromotionFigures, part: CellFigures) -> Self {
        Self {
            promotion_id: promotion.promotion_id.clone(),
            name: promotion.name.clone(),
            kind: promotion.kind,
            assigned: part.assigned,
            redeemed: part.redeemed,
            redemptions: part.redemptions,
            redemption_rate: redemption_rate(part, figures.any()),
            money: Money4::of(promotion, figures),
        }
    }
}

/// What a row is sorted by; an absent one comes last either way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Number(Money),
    Text(String),
}

const COLUMNS: [&str; 11] = [
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

fn sort_key(row: &Row, column: &str, currency: Option<Currency>) -> Option<SortKey> {
    let decimal = |text: &Option<String>| {
        let number = text.as_deref().and_then(Money::stored);
        number.map(SortKey::Number)
    };
    let money = |sums: &Sums| {
        let of = currency.or(sums.iter().next().map(|(currency, _)| currency))?;
        Some(SortKey::Number(sums.get(of)))
    };
    let count = |n: i64| Some(SortKey::Number(Money::from(n)));
    match column {
        "name" => Some(SortKey::Text(row.name.clone())),
        "kind" => Some(SortKey::Number(Money::from(row.kind as i64))),
        "assigned" => count(row.assigned),
        "redeemed" => count(row.redeemed),
        "redemptions" => count(row.redemptions),
        "redemption_rate" => decimal(&row.redemption_rate),
        "budget" => decimal(&row.money.budget.as_ref()?.usage),
        "cap" => decimal(&row.money.cap.as_ref()?.usage),
        "result" => money(row.money.result.as_ref()?),
        "worst_case" => money(row.money.worst_case.as_ref()?),
        _ => Some(SortKey::Text(row.promotion_id.as_str().to_owned())),
    }
}

fn sort_rows(rows: &mut [Row], column: &str, descending: bool, currency: Option<Currency>) {
    rows.sort_by(|a, b| {
        let order = match (sort_key(a, column, currency), sort_key(b, column, currency)) {
            (Some(a), Some(b)) if descending => b.cmp(&a),
            (Some(a), Some(b)) => a.cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        match order {
            Ordering::Equal => a.promotion_id.cmp(&b.promotion_id),
            order => order,
        }
    });
}

/// Which promotions, and which part of them.
struct Wanted<'q> {
    name: Option<String>,
    kind: Option<Kind>,
    segment: Option<SegmentName>,
    tier: Option<TierId>,
    metadata: Vec<(&'q str, &'q str)>,
}

impl<'q> Wanted<'q> {
    fn read(query: &mut Query<'q>) -> Self {
        let kind = |text: &str| {
            let found = Kind::NAMES.into_iter().find(|(name, _)| *name == text);
            found.map(|(_, kind)| kind)
        };
        let expected = "global, tiered or personalised";
        Self {
            name: query.text("name").map(str::to_lowercase),
            kind: query.read("kind", Code::UnknownValue, expected, kind),
            segment: query.id("segment", SegmentName::new),
            tier: query.id("tier", TierId::new),
            metadata: query.prefixed("metadata.").collect(),
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

    fn takes_cell(&self, (tier, segment): &Cell) -> bool {
        (self.tier.is_none() || self.tier == *tier)
            && (self.segment.is_none() || self.segment == *segment)
    }
}

#[derive(Serialize, Deserialize)]
struct RowCursor {
    after: usize,
}

async fn promotions(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let wanted = Wanted::read(&mut query);
    let column = |text: &str| {
        let (name, descending) = text
            .strip_prefix('-')
            .map_or((text, false), |name| (name, true));
        let found = COLUMNS.into_iter().find(|column| *column == name);
        found.map(|column| (column, descending))
    };
    let expected = "a column of the report, with - before it for descending";
    let (column, descending) = query
        .read("sort", Code::UnknownValue, expected, column)
        .unwrap_or(("promotion_id", false));
    let limit = query.limit();
    let cursor: Option<RowCursor> = query.cursor();
    let csv = csv_wanted(&call)?;
    query.done()?;
    let mut figures = market.promotions_figures().await?;
    let mut rows = Vec::new();
    for promotion in market.promotions().await? {
        if !wanted.takes(&promotion) {
            continue;
        }
        let figures = figures.remove(&promotion.promotion_id).unwrap_or_default();
        let part = if wanted.is_part() {
            let breakdown = market.promotion_breakdown(&promotion.promotion_id).await?;
            let part = sum(&breakdown, |cell| wanted.takes_cell(cell));
            if part == CellFigures::default() {
                continue;
            }
            part
        } else {
            total(&figures)
        };
        rows.push(Row::new(&promotion, &figures, part));
    }
    let currency = versions(&market).await?.newest().settings.currency;
    sort_rows(&mut rows, column, descending, currency);
    if csv {
        return Ok(as_csv(&rows));
    }
    let start = cursor.map_or(0, |cursor| cursor.after).min(rows.len());
    let more = rows.len() > start + limit;
    let page = &rows[start..(start + limit).min(rows.len())];
    let next = RowCursor {
        after: start + limit,
    };
    let next_cursor = match more {
        true => Some(call.next_cursor(&next)?),
        false => None,
    };
    let body = json!({"promotions": page, "as_of": call.now, "next_cursor": next_cursor});
    Ok(json(StatusCode::OK, &body))
}

fn sum(breakdown: &Breakdown, takes: impl Fn(&Cell) -> bool) -> CellFigures {
    let mut sum = CellFigures::default();
    for (_, cell) in breakdown.cells.iter().filter(|(cell, _)| takes(cell)) {
        sum.assigned += cell.assigned;
        sum.redeemed += cell.redeemed;
        sum.redemptions += cell.redemptions;
    }
    sum
}

fn as_csv(rows: &[Row]) -> Response {
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
    let mut table = csv::Table::new(columns.iter().map(String::as_str));
    for row in rows {
        let kind = Kind::NAMES.into_iter().find(|(_, kind)| *kind == row.kind);
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

/// A breakdown by one half of the cells' names, in order of the keys; what has none comes first.
fn by<K: Ord + Clone + Serialize>(
    breakdown: &Breakdown,
    any: bool,
    key: impl Fn(&Cell) -> Option<K>,
) -> Vec<Value> {
    let mut parts: BTreeMap<Option<K>, CellFigures> = BTreeMap::new();
    for (cell, figures) in &breakdown.cells {
        let part = parts.entry(key(cell)).or_default();
        part.assigned += figures.assigned;
        part.redeemed += figures.redeemed;
        part.redemptions += figures.redemptions;
    }
    let row = |(key, part): (Option<K>, CellFigures)| {
        json!({
            "key": key, "assigned": part.assigned, "redeemed": part.redeemed,
            "redemption_rate": redemption_rate(part, any),
        })
    };
    parts.into_iter().map(row).collect()
}

async fn dashboard(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let promotion = known(&call, &market).await?;
    let id = &promotion.promotion_id;
    let figures = market.promotion_figures(id).await?;
    let breakdown = market.promotion_breakdown(id).await?;
    let (changes, _) = market.promotion_changes(id, None, CHANGES).await?;
    let any = figures.any();
    let days = breakdown.days.iter();
    let by_day: Vec<Value> = days
        .clone()
        .filter(|(_, day)| day.success + day.failure != 0)
        .map(|(date, day)| json!({"date": date, "success": day.success, "failure": day.failure}))
        .collect();
    let redeemed: Vec<Value> = days
        .filter(|(_, day)| day.redeemed != 0)
        .map(|(date, day)| json!({"key": date, "redeemed": day.redeemed}))
        .collect();
    let mut body = json!({
        "promotion": promotion.shown(),
        "assigned": figures.assigned, "redeemed": figures.redeemed, "redemptions": figures.redemptions,
        "redemption_rate": redemption_rate(total(&figures), any),
        "vouchers": figures.vouchers,
        "publications": {"success": figures.publications[0], "failure": figures.publications[1]},
        "messages": {"delivered": figures.messages[0], "failed": figures.messages[1]},
        "redemptions_by_day": by_day,
        "breakdown": {
            "tier": by(&breakdown, any, |(tier, _)| tier.clone()),
            "segment": by(&breakdown, any, |(_, segment)| segment.clone()),
            "day": redeemed,
            "result": [
                {"key": "success", "redemptions": figures.redemptions},
                {"key": "failure", "redemptions": figures.failures},
                {"key": "rolled_back", "redemptions": figures.rolled_back},
            ],
        },
        "changes": changes.iter().map(change).collect::<Vec<_>>(),
    });
    if let (Value::Object(body), Ok(Value::Object(money))) = (
        &mut body,
        serde_json::to_value(Money4::of(&promotion, &figures)),
    ) {
        body.extend(money);
    }
    Ok(json(StatusCode::OK, &body))
}
