//! The campaign report as a table for people. Colours are used only if they are asked for. The figures come from `revtrail-core`.

use std::collections::{BTreeMap, BTreeSet};

use revtrail_core::attribution::event::Channel;
use revtrail_core::attribution::formula::sale_formula;
use revtrail_core::attribution::settings::Settings;
use revtrail_core::figures::report::{
    Balance, CampaignReport, CampaignRow, Engagement, PurchaseFigures, Sales, sort_rows,
};
use revtrail_core::figures::sort::Sorting;
use revtrail_core::value::money::{Currency, Sums};

/// How many characters a text has at most; longer ones are cut with an ellipsis.
const TEXT_CHARS_MAX: usize = 40;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// The table: rows by revenue, the greatest first; then totals, the balance, and what a sale is.
pub(crate) fn render(report: &CampaignReport, newest: &Settings, colours: bool) -> String {
    let paint = |style: &'static str| if colours { style } else { "" };
    let mut rows = report.campaigns.clone();
    let by_revenue = Sorting {
        column: "revenue",
        descending: true,
        currency: report.sort_currency,
    };
    sort_rows(&mut rows, &by_revenue);
    let columns = Columns::of(&rows);
    let mut lines = vec![columns.header(report.totals.sales.is_some())];
    lines.extend(rows.iter().map(|row| columns.row(row)));
    lines.push(columns.line(
        &[format!("total: {}", plural(rows.len(), "campaign"))],
        &report.totals.engagement,
        report.totals.sales.as_ref(),
    ));

    let widths = widths(&lines);
    let last = lines.len() - 1;
    let mut text = String::new();
    for (i, line) in lines.iter().enumerate() {
        let style = match i {
            0 => BOLD,
            _ if i == last => BOLD,
            _ if rows[i - 1].sales.as_ref().is_some_and(|s| s.purchases == 0) => DIM,
            _ => "",
        };
        if i == last {
            text += &format!(
                "{}\n",
                "─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1))
            );
        }
        let (on, off) = if style.is_empty() {
            ("", "")
        } else {
            (paint(style), paint(PLAIN))
        };
        text += &format!("{on}{}{off}\n", aligned(line, &widths, columns.texts));
    }
    if let (Some(balance), Some(share)) = (&report.balance, &report.totals.share) {
        text += &balance_lines(balance, share);
        let used: BTreeSet<Channel> = rows.iter().flat_map(|row| row.channels.clone()).collect();
        text += &format!("a sale: {}\n", sale_formula(newest, used));
        text += "revenue is an estimate\n";
    }
    text
}

/// Which columns this report needs.
struct Columns {
    /// True if some name differs from its id.
    names: bool,
    /// True if somebody unsubscribed or complained.
    losses: bool,
    /// How many columns of text come first.
    texts: usize,
    currencies: BTreeSet<Currency>,
}

impl Columns {
    fn of(rows: &[CampaignRow]) -> Self {
        let names = rows.iter().any(|row| row.name != row.campaign_id.as_str());
        let sales = rows.iter().filter_map(|row| row.sales.as_ref());
        Self {
            names,
            losses: rows
                .iter()
                .map(|row| &row.engagement)
                .any(|seen| (seen.unsubscribes, seen.complaints) != (0, 0)),
            texts: 2 + usize::from(names),
            currencies: sales
                .flat_map(|sales| sales.revenue.iter().map(|(currency, _)| currency))
                .collect(),
        }
    }

    fn header(&self, sales: bool) -> Vec<String> {
        let mut cells = vec!["campaign"];
        if self.names {
            cells.push("name");
        }
        cells.extend(["channels", "delivered", "opened", "open rate", "clicked"]);
        if self.losses {
            cells.extend(["unsubscribed", "complained"]);
        }
        let mut cells: Vec<String> = cells.into_iter().map(str::to_owned).collect();
        if sales {
            cells.extend(["purchases", "buyers", "order rate"].map(str::to_owned));
            for currency in &self.currencies {
                cells.push(format!("revenue {currency}"));
                cells.extend(["average", "per delivery"].map(str::to_owned));
            }
        }
        cells
    }

    fn row(&self, row: &CampaignRow) -> Vec<String> {
        let mut texts = vec![printable(row.campaign_id.as_str())];
        if self.names {
            texts.push(printable(&row.name));
        }
        let channels: Vec<&str> = row.channels.iter().map(|channel| channel.name()).collect();
        let touchpoint = if row.excluded { " (excluded)" } else { "" };
        texts.push(channels.join(" ") + touchpoint);
        self.line(&texts, &row.engagement, row.sales.as_ref())
    }

    fn line(&self, texts: &[String], seen: &Engagement, sales: Option<&Sales>) -> Vec<String> {
        let mut cells = texts.to_vec();
        cells.resize(self.texts, String::new());
        let count = |n: i64| grouped(&n.to_string());
        cells.push(count(seen.deliveries));
        cells.push(count(seen.unique_opens));
        cells.push(percent(seen.open_rate.as_deref()));
        cells.push(count(seen.unique_clicks));
        if self.losses {
            cells.extend([seen.unsubscribes, seen.complaints].map(count));
        }
        if let Some(sales) = sales {
            cells.push(count(sales.purchases));
            cells.push(count(sales.purchasers));
            cells.push(percent(sales.order_rate.as_deref()));
            for &currency in &self.currencies {
                cells.push(amount(&sales.revenue, currency));
                for quotient in [&sales.average_check, &sales.revenue_per_delivery] {
                    let of = quotient.get(&currency);
                    cells.push(of.map_or("–".to_owned(), |quotient| grouped(quotient)));
                }
            }
        }
        cells
    }
}

fn balance_lines(balance: &Balance, share: &BTreeMap<Currency, String>) -> String {
    let Balance {
        counted,
        credited,
        uncredited,
    } = balance;
    let mut text = String::from("\norders: ");
    let count = |part: &PurchaseFigures| grouped(&part.purchases.to_string());
    let orders = [counted, credited, uncredited].map(count);
    text += &balance_line(&orders, None);
    for (currency, _) in counted.revenue.iter() {
        let money = |part: &PurchaseFigures| amount(&part.revenue, currency);
        let share = share.get(&currency).map(String::as_str);
        let money = [counted, credited, uncredited].map(money);
        text += &format!("{currency}: {}", balance_line(&money, share));
    }
    text
}

fn balance_line([counted, credited, uncredited]: &[String; 3], share: Option<&str>) -> String {
    let share = share.map(|share| format!(" ({})", percent(Some(share))));
    let share = share.unwrap_or_default();
    format!("{counted} counted = {credited} credited{share} + {uncredited} uncredited\n")
}

fn amount(sums: &Sums, currency: Currency) -> String {
    grouped(&sums.get(currency).in_currency(currency))
}

/// Aligns columns of text to the left, and figures to the right.
fn aligned(cells: &[String], widths: &[usize], texts: usize) -> String {
    let padded = cells
        .iter()
        .zip(widths)
        .enumerate()
        .map(|(i, (cell, &width))| {
            if i < texts {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
    let line = padded.collect::<Vec<_>>().join("  ");
    line.trim_end().to_owned()
}

fn widths(lines: &[Vec<String>]) -> Vec<usize> {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| {
        let cells = lines.iter().filter_map(|cells| cells.get(i));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    (0..columns).map(width).collect()
}

/// Replaces characters that would steer a terminal by `�`, because names are free text.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut printable: String = text.chars().map(shown).take(TEXT_CHARS_MAX).collect();
    if text.chars().count() > TEXT_CHARS_MAX {
        printable.pop();
        printable.push('…');
    }
    printable
}

/// Groups digits: `48901.5` becomes `48,901.5`.
pub(crate) fn grouped(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut text = sign.to_owned();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

/// A count with its noun: `1 order`, `155,848 orders`.
pub(crate) fn plural(count: impl ToString, one: &str) -> String {
    let count = count.to_string();
    let end = if count == "1" { "" } else { "s" };
    format!("{} {one}{end}", grouped(&count))
}

/// A rate with 4 decimals, in percent with 1 decimal, rounded half-even; `–` if there is no rate.
fn percent(rate: Option<&str>) -> String {
    let digits = rate.map(|rate| rate.replace('.', ""));
    let Some(basis_points) = digits.and_then(|digits| digits.parse::<u64>().ok()) else {
        return "–".to_owned();
    };
    let (mut tenths, rest) = (basis_points / 10, basis_points % 10);
    if rest > 5 || (rest == 5 && tenths % 2 == 1) {
        tenths += 1;
    }
    format!("{}.{}%", grouped(&(tenths / 10).to_string()), tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (number, shown) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("-123456.7800", "-123,456.7800"),
            ("1234567", "1,234,567"),
        ] {
            assert_eq!(grouped(number), shown);
        }
        for (rate, shown) in [
            (None, "–"),
            (Some("0.3200"), "32.0%"),
            (Some("0.3205"), "32.0%"),
            (Some("0.3215"), "32.2%"),
            (Some("0.3216"), "32.2%"),
            (Some("12.0000"), "1,200.0%"),
            (Some("0.0000"), "0.0%"),
        ] {
            assert_eq!(percent(rate), shown);
        }
        assert_eq!(printable("a\x1b[31m"), "a\u{fffd}[31m");
    }
}
