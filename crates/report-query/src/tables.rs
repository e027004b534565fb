//! Reports as CSV, for a spreadsheet: revenue columns only when asked for, one column a currency.

use std::collections::BTreeSet;

use revtrail_core::event::Channel;
use revtrail_core::money::{Currency, Sums};
use revtrail_core::report::{CampaignReport, OrdersAmount, OrdersReport, Reconciliation};
use revtrail_store::sheets::PurchaseRow;
use revtrail_web::csv::{Cell, Table};
use revtrail_web::route::Response;

fn amount(sums: &Sums, currency: Currency) -> Cell<'static> {
    Cell::number(sums.get(currency).in_currency(currency))
}

fn count(n: i64) -> Cell<'static> {
    Cell::number(n.to_string())
}

fn rate(rate: Option<&str>) -> Cell<'_> {
    Cell::maybe_number(rate)
}

pub(crate) fn campaigns(report: &CampaignReport, with_revenue: bool) -> Response {
    let currencies: BTreeSet<Currency> = report
        .campaigns
        .iter()
        .filter_map(|row| row.sales.as_ref().filter(|_| with_revenue))
        .flat_map(|sales| {
            sales
                .revenue
                .iter()
                .chain(sales.refunded.iter())
                .map(|(currency, _)| currency)
                .collect::<Vec<_>>()
        })
        .collect();
    let mut columns: Vec<String> = [
        "campaign_id",
        "name",
        "tags",
        "channels",
        "sent_at",
        "excluded",
        "deliveries",
        "opens",
        "unique_opens",
        "open_rate",
        "bounces",
        "bounce_rate",
        "clicks",
        "unique_clicks",
    ]
    .map(str::to_owned)
    .to_vec();
    if with_revenue {
        columns.extend(
            [
                "purchases",
                "purchasers",
                "purchase_to_open_rate",
                "purchase_to_click_rate",
            ]
            .map(str::to_owned),
        );
        for name in ["revenue", "refunded", "average_check"] {
            columns.extend(
                currencies
                    .iter()
                    .map(|currency| format!("{name}_{currency}")),
            );
        }
    }
    let mut table = Table::new(columns.iter().map(String::as_str));
    for row in &report.campaigns {
        let seen = &row.engagement;
        let mut cells = vec![
            Cell::text(row.campaign_id.as_str()),
            Cell::text(row.name.as_str()),
            Cell::text(row.tags.join("|")),
            Cell::text(
                row.channels
                    .iter()
                    .copied()
                    .map(Channel::name)
                    .collect::<Vec<_>>()
                    .join("|"),
            ),
            Cell::maybe_text(row.sent_at.map(|at| at.to_string())),
            Cell::text(row.excluded.to_string()),
            count(seen.deliveries),
            count(seen.opens),
            count(seen.unique_opens),
            rate(seen.open_rate.as_deref()),
            count(seen.bounces),
            rate(seen.bounce_rate.as_deref()),
            count(seen.clicks),
            count(seen.unique_clicks),
        ];
        if let Some(sales) = row.sales.as_ref().filter(|_| with_revenue) {
            cells.extend([count(sales.purchases), count(sales.purchasers)]);
            cells.extend([
                rate(sales.purchase_to_open_rate.as_deref()),
                rate(sales.purchase_to_click_rate.as_deref()),
            ]);
            cells.extend(
                currencies
                    .iter()
                    .map(|&currency| amount(&sales.revenue, currency)),
            );
            cells.extend(
                currencies
                    .iter()
                    .map(|&currency| amount(&sales.refunded, currency)),
            );
            cells.extend(currencies.iter().map(|currency| {
                Cell::maybe_number(sales.average_check.get(currency).map(String::as_str))
            }));
        }
        table.row(cells);
    }
    table.answer("campaigns.csv")
}

pub(crate) fn purchases(rows: &[(String, PurchaseRow)], with_revenue: bool) -> Response {
    let currencies: BTreeSet<Currency> = rows
        .iter()
        .map(|(_, row)| row.line.currency)
        .filter(|_| with_revenue)
        .collect();
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
    let mut table = Table::new(
        columns
            .into_iter()
            .chain(amounts.iter().map(String::as_str)),
    );
    for (_, row) in rows {
        let credit = row.line.credit.as_ref();
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
            (row.line.currency == currency).then(|| row.line.amount.in_currency(currency))
        };
        cells.extend(
            currencies
                .iter()
                .map(|&currency| Cell::maybe_number(of(currency))),
        );
        table.row(cells);
    }
    table.answer("purchases.csv")
}

pub(crate) fn orders(report: &OrdersReport) -> Response {
    let all = || {
        let statuses = report
            .statuses
            .iter()
            .map(|row| (row.status.name(), &row.orders));
        statuses.chain([("total", &report.total), ("cancelled", &report.cancelled)])
    };
    let currencies: BTreeSet<Currency> = all()
        .flat_map(|(_, orders)| orders.amount.iter().map(|(currency, _)| currency))
        .collect();
    let amounts: Vec<String> = currencies
        .iter()
        .map(|currency| format!("amount_{currency}"))
        .collect();
    let mut table = Table::new(
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
        let mut cells = vec![Cell::text(name), count(*orders)];
        cells.extend(currencies.iter().map(|&currency| amount(sums, currency)));
        table.row(cells);
    }
    table.answer("orders.csv")
}

pub(crate) fn reconciliation(report: &Reconciliation) -> Response {
    let mut table = Table::new(["of", "figure", "records"]);
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
