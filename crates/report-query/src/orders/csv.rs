//! Orders as CSV, for a spreadsheet. Amounts are in it only if they are asked for, with one column for each currency.

use std::collections::BTreeSet;

use futures_util::Stream;
use revtrail_core::attribution::order::Order;
use revtrail_core::figures::report::{OrdersAmount, OrdersReport};
use revtrail_core::value::money::Currency;
use revtrail_web::call::Response;
use revtrail_web::csv::{Cell, Style, Table};
use revtrail_web::problem::Problem;
use serde::Serialize;

use super::listed::ListedOrder;
use crate::campaigns::csv::with_columns;

/// The list of orders, with amounts in these currencies, if any are asked for.
pub(crate) async fn list(
    style: Style,
    parts: impl Stream<Item = Result<Vec<(ListedOrder, Order)>, Problem>> + Send + 'static,
    currencies: Option<BTreeSet<Currency>>,
) -> Result<Response, Problem> {
    let parts = with_columns(parts, currencies.clone(), |(_, order)| order.currency);
    let currencies = currencies.unwrap_or_default();
    let amounts: Vec<String> = ["total", "refunded"]
        .iter()
        .flat_map(|name| currencies.iter().map(move |of| format!("{name}_{of}")))
        .collect();
    let columns = [
        "order_id",
        "customer_id",
        "status",
        "placed_at",
        "updated_at",
        "source",
        "counted",
        "campaign_id",
        "channel",
    ];
    let amounts = amounts.iter().map(String::as_str);
    let table = Table::new(style, columns.into_iter().chain(amounts));
    table
        .streamed("orders.csv", parts, move |row| cells(row, &currencies))
        .await
}

fn cells<'o>(
    (listed, order): &'o (ListedOrder, Order),
    currencies: &BTreeSet<Currency>,
) -> Vec<Cell<'o>> {
    let credit = listed.credit.as_ref();
    let mut cells = vec![
        Cell::text(order.order_id.as_str()),
        Cell::text(order.customer_id.as_str()),
        Cell::text(order.status.name()),
        Cell::text(order.placed_at.to_string()),
        Cell::maybe_text(order.updated_at.map(|at| at.to_string())),
        Cell::maybe_text(order.source.as_deref()),
        Cell::text(listed.not_counted.is_none().to_string()),
        Cell::maybe_text(credit.map(|credit| credit.campaign_id.as_str())),
        Cell::maybe_text(credit.map(|credit| credit.channel.name())),
    ];
    for amount in [order.total, order.refunded_total] {
        let of = |of: &Currency| (order.currency == *of).then(|| amount.in_currency(*of));
        cells.extend(currencies.iter().map(|one| Cell::maybe_number(of(one))));
    }
    cells
}

pub(crate) fn statuses(style: Style, report: &OrdersReport, with_revenue: bool) -> Response {
    let all = || {
        let statuses = report
            .statuses
            .iter()
            .map(|row| (row.status.name(), &row.orders));
        statuses.chain([("total", &report.total), ("cancelled", &report.cancelled)])
    };
    let currencies: BTreeSet<Currency> = all()
        .flat_map(|(_, orders)| orders.amount.iter().map(|(currency, _)| currency))
        .filter(|_| with_revenue)
        .collect();
    let amounts: Vec<String> = currencies
        .iter()
        .map(|currency| format!("amount_{currency}"))
        .collect();
    let mut table = Table::new(
        style,
        ["status", "orders"]
            .into_iter()
            .chain(amounts.iter().map(String::as_str)),
    );
    for (
        name,
        OrdersAmount {
            orders,
            amount: sums,
        },
    ) in all()
    {
        let mut cells = vec![Cell::text(name), Cell::number(orders.to_string())];
        cells.extend(
            currencies
                .iter()
                .map(|&of| Cell::number(sums.get(of).in_currency(of))),
        );
        table.row(cells);
    }
    table.answer("statuses.csv")
}

pub(crate) fn reconciliation(style: Style, report: &impl Serialize) -> Response {
    let mut table = Table::new(style, ["of", "figure", "records"]);
    let shown = serde_json::to_value(report).unwrap_or_default();
    for (of, figures) in shown.as_object().into_iter().flatten() {
        for (figure, records) in figures.as_object().into_iter().flatten() {
            table.row([
                Cell::text(of.as_str()),
                Cell::text(figure.as_str()),
                Cell::number(records.to_string()),
            ]);
        }
    }
    table.answer("reconciliation.csv")
}
