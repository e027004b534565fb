//! Campaigns as CSV, for a spreadsheet. Revenue columns are in it only if they are asked for, with one column for each currency.

use std::collections::BTreeSet;

use futures_util::{Stream, StreamExt};
use revtrail_core::figures::report::{CampaignReport, DayRow, Engagement, Sales};
use revtrail_core::value::money::{Currency, Sums};
use revtrail_store::ledger::purchases::PurchaseRow;
use revtrail_web::call::Response;
use revtrail_web::csv::{Cell, Style, Table};
use revtrail_web::problem::Problem;

fn amount(sums: &Sums, currency: Currency) -> Cell<'static> {
    Cell::number(sums.get(currency).in_currency(currency))
}

fn count(n: i64) -> Cell<'static> {
    Cell::number(n.to_string())
}

fn rate(rate: Option<&str>) -> Cell<'_> {
    Cell::maybe_number(rate)
}

/// The columns of engagement, in the order of [`engagement`].
const ENGAGEMENT: [&str; 10] = [
    "deliveries",
    "opens",
    "unique_opens",
    "open_rate",
    "bounces",
    "bounce_rate",
    "clicks",
    "unique_clicks",
    "unsubscribes",
    "complaints",
];

fn engagement(seen: &Engagement) -> [Cell<'_>; 10] {
    [
        count(seen.deliveries),
        count(seen.opens),
        count(seen.unique_opens),
        rate(seen.open_rate.as_deref()),
        count(seen.bounces),
        rate(seen.bounce_rate.as_deref()),
        count(seen.clicks),
        count(seen.unique_clicks),
        count(seen.unsubscribes),
        count(seen.complaints),
    ]
}

/// The columns of sales in these currencies, in the order of [`sales`].
fn sales_columns(currencies: &BTreeSet<Currency>) -> Vec<String> {
    let fixed = [
        "purchases",
        "purchasers",
        "purchase_to_open_rate",
        "purchase_to_click_rate",
        "order_rate",
    ];
    let by_currency = [
        "revenue",
        "refunded",
        "average_check",
        "revenue_per_delivery",
    ]
    .map(|name| {
        currencies
            .iter()
            .map(move |currency| format!("{name}_{currency}"))
    });
    fixed
        .map(str::to_owned)
        .into_iter()
        .chain(by_currency.into_iter().flatten())
        .collect()
}

fn sales<'s>(sales: &'s Sales, currencies: &BTreeSet<Currency>) -> Vec<Cell<'s>> {
    let mut cells = vec![count(sales.purchases), count(sales.purchasers)];
    cells.push(rate(sales.purchase_to_open_rate.as_deref()));
    cells.push(rate(sales.purchase_to_click_rate.as_deref()));
    cells.push(rate(sales.order_rate.as_deref()));
    cells.extend(currencies.iter().map(|&of| amount(&sales.revenue, of)));
    cells.extend(currencies.iter().map(|&of| amount(&sales.refunded, of)));
    for quotient in [&sales.average_check, &sales.revenue_per_delivery] {
        let of = |currency| quotient.get(currency).map(String::as_str);
        cells.extend(currencies.iter().map(|one| Cell::maybe_number(of(one))));
    }
    cells
}

fn currencies<'s>(all: impl Iterator<Item = &'s Option<Sales>>) -> BTreeSet<Currency> {
    let of = |sales: &Sales| -> Vec<Currency> {
        let both = sales.revenue.iter().chain(sales.refunded.iter());
        both.map(|(currency, _)| currency).collect()
    };
    all.flatten().flat_map(of).collect()
}

fn start(style: Style, first: &[&str], sales: Option<&BTreeSet<Currency>>) -> Table {
    let sales = sales.map(sales_columns).unwrap_or_default();
    let columns = first.iter().chain(&ENGAGEMENT).copied();
    Table::new(style, columns.chain(sales.iter().map(String::as_str)))
}

pub(crate) fn campaigns(style: Style, report: &CampaignReport, with_revenue: bool) -> Response {
    let currencies =
        with_revenue.then(|| currencies(report.campaigns.iter().map(|row| &row.sales)));
    let first = [
        "campaign_id",
        "name",
        "tags",
        "channels",
        "sent_at",
        "excluded",
    ];
    let mut table = start(style, &first, currencies.as_ref());
    for row in &report.campaigns {
        let channels: Vec<&str> = row.channels.iter().map(|channel| channel.name()).collect();
        let mut cells = vec![
            Cell::text(row.campaign_id.as_str()),
            Cell::text(row.name.as_str()),
            Cell::text(row.tags.join("|")),
            Cell::text(channels.join("|")),
            Cell::maybe_text(row.sent_at.map(|at| at.to_string())),
            Cell::text(row.excluded.to_string()),
        ];
        cells.extend(engagement(&row.engagement));
        if let (Some(currencies), Some(of)) = (&currencies, &row.sales) {
            cells.extend(sales(of, currencies));
        }
        table.row(cells);
    }
    table.answer("campaigns.csv")
}

pub(crate) fn campaign(style: Style, days: &[DayRow], with_revenue: bool) -> Response {
    let currencies = with_revenue.then(|| currencies(days.iter().map(|row| &row.sales)));
    let mut table = start(style, &["date"], currencies.as_ref());
    for row in days {
        let mut cells = vec![Cell::text(row.date.to_string())];
        cells.extend(engagement(&row.engagement));
        if let (Some(currencies), Some(of)) = (&currencies, &row.sales) {
            cells.extend(sales(of, currencies));
        }
        table.row(cells);
    }
    table.answer("campaign.csv")
}

/// Parts of a list with amounts in these currencies, if any are asked for. A row in another currency came in since these were found
/// out. It has no column, so the answer fails: no money may be missing in it.
pub(crate) fn with_columns<T>(
    parts: impl Stream<Item = Result<Vec<T>, Problem>>,
    currencies: Option<BTreeSet<Currency>>,
    currency: fn(&T) -> Currency,
) -> impl Stream<Item = Result<Vec<T>, Problem>> {
    parts.map(move |part| {
        let rows = part?;
        let has_column = |row: &T| {
            let known = currencies.as_ref();
            known.is_none_or(|known| known.contains(&currency(row)))
        };
        match rows.iter().all(has_column) {
            true => Ok(rows),
            false => Err(Problem::busy()),
        }
    })
}

/// The purchases, with amounts in these currencies, if any are asked for.
pub(crate) async fn purchases(
    style: Style,
    parts: impl Stream<Item = Result<Vec<PurchaseRow>, Problem>> + Send + 'static,
    currencies: Option<BTreeSet<Currency>>,
) -> Result<Response, Problem> {
    let parts = with_columns(parts, currencies.clone(), |row| row.line.figures.currency);
    let currencies = currencies.unwrap_or_default();
    let amounts: Vec<String> = currencies
        .iter()
        .map(|currency| format!("amount_{currency}"))
        .collect();
    let columns = [
        "customer_id",
        "order_id",
        "placed_at",
        "channel",
        "message_id",
        "touch_kind",
        "touch_at",
    ];
    let amounts = amounts.iter().map(String::as_str);
    let table = Table::new(style, columns.into_iter().chain(amounts));
    table
        .streamed("purchases.csv", parts, move |row| {
            purchase(row, &currencies)
        })
        .await
}

fn purchase<'r>(row: &'r PurchaseRow, currencies: &BTreeSet<Currency>) -> Vec<Cell<'r>> {
    let credit = row.line.figures.credit.as_ref();
    let mut cells = vec![
        Cell::text(row.customer_id.as_str()),
        Cell::text(row.line.order_id.as_str()),
        Cell::text(row.line.placed_at.to_string()),
        Cell::maybe_text(credit.map(|credit| credit.channel.name())),
        Cell::maybe_text(
            credit
                .and_then(|credit| credit.message_id.as_ref())
                .map(|id| id.as_str()),
        ),
        Cell::maybe_text(credit.map(|credit| credit.touch_kind.name())),
        Cell::maybe_text(credit.map(|credit| credit.touch_at.to_string())),
    ];
    let of = |currency| {
        (row.line.figures.currency == currency)
            .then(|| row.line.figures.amount.in_currency(currency))
    };
    cells.extend(
        currencies
            .iter()
            .map(|&currency| Cell::maybe_number(of(currency))),
    );
    cells
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures_util::{FutureExt, stream};

    use super::*;

    /// A purchase that comes in between the currencies and the rows.
    #[test]
    fn no_amount_is_left_out_for_want_of_a_column() {
        let row: PurchaseRow = serde_json::from_value(serde_json::json!({
            "c": "c", "l": {"i": "o", "p": "2026-11-20T10:00:00.000Z", "y": "EUR", "s": "COMPLETE", "t": "1", "a": "1"},
        }))
        .unwrap();
        for (currencies, status) in [
            (None, 200),
            (Some(vec!["USD", "EUR"]), 200),
            (Some(vec!["USD"]), 503),
            (Some(vec![]), 503),
        ] {
            let known = |codes: &Vec<&str>| {
                let code = |code: &&str| Currency::parse(code).unwrap();
                codes.iter().map(code).collect()
            };
            let parts = stream::iter([Ok(vec![row.clone()])]);
            let answer = purchases(Style::default(), parts, currencies.as_ref().map(known));
            let answer = answer.now_or_never().unwrap();
            let found = answer.map_or_else(|problem| problem.status(), |found| found.status());
            assert_eq!(found, status, "{currencies:?}");
        }
    }
}
