//! The page of campaigns: what they earned in a period, beside the period before; the table; and that nothing is left out.

use std::collections::BTreeMap;

use askama::Template;
use http::StatusCode;
use revtrail_core::value::time::{Day, Instant};
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde::Deserialize;

use self::columns::{Column, columns};
use self::tiles::tiles;
use crate::answer;
use crate::asked::{Api, CAMPAIGNS};
use crate::change::Tile;
use crate::chart::{self, Areas, Point};
use crate::frame::{Filters, Frame, Freshness, Link, Period};
use crate::numbers::Figure;
use crate::times::{self, Moment};

mod columns;
mod tiles;

/// Money by currency, as exact text.
pub(crate) type Sums = BTreeMap<String, String>;

/// The figures of a row, of a day or of the totals. Those of sales are absent where revenue is hidden.
#[derive(Deserialize, Default)]
pub(crate) struct Figures {
    pub(crate) deliveries: i64,
    pub(crate) opens: i64,
    pub(crate) unique_opens: i64,
    pub(crate) open_rate: Option<String>,
    pub(crate) bounces: i64,
    pub(crate) bounce_rate: Option<String>,
    pub(crate) clicks: i64,
    pub(crate) unique_clicks: i64,
    pub(crate) unsubscribes: i64,
    pub(crate) purchases: Option<i64>,
    pub(crate) purchasers: Option<i64>,
    #[serde(default)]
    pub(crate) revenue: Sums,
    #[serde(default)]
    pub(crate) refunded: Sums,
    #[serde(default)]
    pub(crate) average_check: Sums,
    #[serde(default)]
    pub(crate) revenue_per_delivery: Sums,
    pub(crate) purchase_to_open_rate: Option<String>,
    pub(crate) purchase_to_click_rate: Option<String>,
    pub(crate) order_rate: Option<String>,
}

impl Figures {
    /// The currency of all its money, if there is one only.
    fn only_currency(&self) -> Option<String> {
        let mut known = self.revenue.keys();
        known.next().filter(|_| known.next().is_none()).cloned()
    }
}

#[derive(Deserialize)]
struct Totals {
    campaigns: i64,
    #[serde(flatten)]
    figures: Figures,
    #[serde(default)]
    share: Sums,
}

#[derive(Deserialize)]
pub(crate) struct Row {
    pub(crate) campaign_id: String,
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
    pub(crate) channels: Vec<String>,
    pub(crate) sent_at: Option<Instant>,
    pub(crate) excluded: bool,
    pub(crate) sale_formula: Option<String>,
    #[serde(flatten)]
    pub(crate) figures: Figures,
}

#[derive(Deserialize, Default)]
struct Purchases {
    purchases: i64,
    revenue: Sums,
}

#[derive(Deserialize)]
struct Balance {
    counted: Purchases,
    credited: Purchases,
    uncredited: Purchases,
}

impl Balance {
    fn is_nothing(&self) -> bool {
        self.counted.purchases == 0
    }
}

#[derive(Deserialize)]
struct DayBalance {
    date: String,
    #[serde(flatten)]
    balance: Balance,
}

#[derive(Deserialize)]
pub(crate) struct DayFigures {
    pub(crate) date: String,
    #[serde(flatten)]
    pub(crate) figures: Figures,
}

#[derive(Deserialize)]
struct Report {
    totals: Totals,
    campaigns: Vec<Row>,
    #[serde(flatten)]
    balance: Option<Balance>,
    previous: Option<Previous>,
    days: Option<Vec<DayBalance>>,
    first_weeks: Option<BTreeMap<String, Vec<DayFigures>>>,
    sort_currency: Option<String>,
    next_cursor: Option<String>,
    period: Period,
    #[serde(flatten)]
    freshness: Freshness,
}

#[derive(Deserialize)]
struct Previous {
    totals: Totals,
    days: Option<Vec<DayBalance>>,
    period: Period,
}

struct RowView {
    href: String,
    name: String,
    tags: Vec<Link>,
    channels: String,
    sent: Option<Moment>,
    excluded: String,
    cells: Vec<Figure>,
    sales: Option<SalesView>,
}

/// The cells behind the `$` switch.
struct SalesView {
    purchases: Figure,
    average: Vec<Figure>,
    revenue: Vec<Figure>,
    bar: String,
    per_delivery: Vec<Figure>,
    to_open: Figure,
    to_click: Figure,
    week: Option<WeekView>,
}

struct WeekView {
    told: String,
    bars: Vec<(usize, String, String)>,
}

/// counted = credited + uncredited, in one unit.
struct BalanceView {
    what: String,
    counted: Figure,
    credited: Figure,
    uncredited: Figure,
}

struct ChartView {
    areas: Areas,
    currency: String,
    others: bool,
    filtered: bool,
    has_before: bool,
    rows: Vec<(String, Vec<Figure>)>,
}

#[derive(Template)]
#[template(path = "campaigns.html")]
struct CampaignsPage {
    frame: Frame,
    fresh: String,
    filters: Filters,
    /// True where nothing came in at all, rather than nothing that fits.
    empty: bool,
    enabled: bool,
    with_revenue: bool,
    switch: String,
    export: String,
    chips: Vec<Link>,
    tiles: Vec<Tile>,
    before: Option<String>,
    chart: Option<ChartView>,
    columns: Vec<Column>,
    rows: Vec<RowView>,
    totals: RowView,
    campaigns: Figure,
    balance: Vec<BalanceView>,
    first: Option<String>,
    next: Option<String>,
    /// Where all rows are on one page, as far as one may have so many.
    all: Option<String>,
}

/// The parameters of the page, as the API takes them.
fn asked<'a>(frame: &'a Frame, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut pairs = frame.address.pairs();
    pairs.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
    pairs.extend_from_slice(more);
    pairs
}

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    let frame = Frame::of(&api, &call, "Campaigns", "").await?;
    // The reader may name the comparison, and the API knows which there are.
    let compare = frame
        .address
        .get("compare")
        .unwrap_or("previous")
        .to_owned();
    let query = asked(&frame, &[("compare", &compare), ("days", "true")]);
    let report: Report = api
        .says(&call, CAMPAIGNS, (Some(&frame.marketplace), &[]), &query)
        .await?;
    let page = CampaignsPage::new(frame, report);
    answer::page(StatusCode::OK, &call.headers, &page)
}

impl CampaignsPage {
    fn new(frame: Frame, mut report: Report) -> Self {
        let enabled = report.totals.figures.purchases.is_some();
        let with_revenue = enabled && frame.address.get("revenue") == Some("true");
        let narrowed = ["tag", "name", "channel"].map(|name| frame.address.get(name).is_some());
        let bar_of = |row: &Row| {
            row.figures
                .revenue
                .get(report.sort_currency.as_deref()?)
                .cloned()
        };
        let revenues: Vec<String> = report.campaigns.iter().filter_map(bar_of).collect();
        let scale = Scale {
            currency: report.sort_currency.clone().unwrap_or_default(),
            unit: report.totals.figures.only_currency().unwrap_or_default(),
            greatest: chart::greatest(revenues.iter()),
            weeks: report.first_weeks.take().unwrap_or_default(),
        };
        let rows = report
            .campaigns
            .iter()
            .map(|row| RowView::of(&frame, row, &scale, with_revenue));
        let switch = if with_revenue { "" } else { "true" };
        let before = report.previous.as_ref().map(|previous| &previous.totals);
        Self {
            fresh: report.freshness.sentence(&frame),
            filters: Filters::new(&frame, &report.period),
            empty: report.totals.campaigns == 0
                && report.balance.as_ref().is_none_or(Balance::is_nothing)
                && !narrowed.contains(&true),
            enabled,
            with_revenue,
            switch: frame.address.with("revenue", switch).href(),
            export: Self::export(&frame),
            chips: chips(&frame),
            tiles: if enabled {
                tiles(&frame, &report.totals, before)
            } else {
                Vec::new()
            },
            before: report
                .previous
                .as_ref()
                .map(|previous| Filters::new(&frame, &previous.period).words),
            chart: ChartView::of(&frame, &report, narrowed.contains(&true)),
            columns: columns(&frame, with_revenue, &scale.unit),
            rows: rows.collect(),
            totals: RowView::totals(&frame, &report.totals, &scale, with_revenue),
            campaigns: frame.numbers.count(report.totals.campaigns),
            balance: report
                .balance
                .as_ref()
                .map(|balance| balances(&frame, balance))
                .unwrap_or_default(),
            first: frame
                .address
                .get("cursor")
                .map(|_| frame.address.with("cursor", "").href()),
            all: report.next_cursor.as_ref().map(|_| frame.all_rows()),
            next: report
                .next_cursor
                .as_ref()
                .map(|cursor| frame.address.with("cursor", cursor).href()),
            frame,
        }
    }

    fn export(frame: &Frame) -> String {
        let csv = frame.to("/campaigns.csv");
        let kept = ["tag", "name", "sort", "revenue"]
            .iter()
            .filter_map(|name| Some((*name, frame.address.get(name)?)));
        kept.fold(csv, |address, (name, value)| address.with(name, value))
            .href()
    }
}

/// What the rows of a page share.
struct Scale {
    currency: String,
    /// The unit of all money of the table, which the header says then; empty where there are several.
    unit: String,
    greatest: f64,
    weeks: BTreeMap<String, Vec<DayFigures>>,
}

/// Money as figures, one for each currency.
pub(crate) fn money(frame: &Frame, sums: &Sums) -> Vec<Figure> {
    sums.iter()
        .map(|(currency, amount)| frame.numbers.exact(amount, currency))
        .collect()
}

/// The names of channels, for people.
pub(crate) fn channel_name(channel: &str) -> &str {
    match channel {
        "email" => "e-mail",
        "sms" => "SMS",
        other => other,
    }
}

fn chips(frame: &Frame) -> Vec<Link> {
    let chip = |name: &&str| {
        let value = frame.address.get(name)?;
        let shown = if *name == "channel" {
            channel_name(value)
        } else {
            value
        };
        let label = format!("{name}: {shown}");
        Some(Link {
            href: frame.address.with(name, "").href(),
            label,
            current: false,
        })
    };
    ["channel", "tag", "name"].iter().filter_map(chip).collect()
}

impl RowView {
    fn of(frame: &Frame, row: &Row, scale: &Scale, with_revenue: bool) -> Self {
        let tag = |tag: &String| Link {
            href: frame.address.with("tag", tag).href(),
            label: tag.clone(),
            current: frame.address.get("tag") == Some(tag),
        };
        let stopping = row
            .tags
            .iter()
            .find(|tag| frame.excluded_tags.contains(tag));
        let excluded = match (row.excluded, stopping) {
            (true, Some(tag)) => format!("not counted: tag {tag}"),
            (true, None) => "not counted: excluded by a tag".to_owned(),
            (false, _) => String::new(),
        };
        let channels: Vec<&str> = row
            .channels
            .iter()
            .map(|channel| channel_name(channel))
            .collect();
        Self {
            href: frame.to("/campaign").with("id", &row.campaign_id).href(),
            name: row.name.clone(),
            tags: row.tags.iter().map(tag).collect(),
            channels: channels.join(", "),
            sent: row.sent_at.map(|at| frame.moment(at)),
            excluded,
            cells: engagement(frame, &row.figures),
            sales: with_revenue.then(|| SalesView::of(frame, &row.figures, scale, Some(row))),
        }
    }

    fn totals(frame: &Frame, totals: &Totals, scale: &Scale, with_revenue: bool) -> Self {
        Self {
            href: String::new(),
            name: String::new(),
            tags: Vec::new(),
            channels: String::new(),
            sent: None,
            excluded: String::new(),
            cells: engagement(frame, &totals.figures),
            sales: with_revenue.then(|| SalesView::of(frame, &totals.figures, scale, None)),
        }
    }
}

fn engagement(frame: &Frame, figures: &Figures) -> Vec<Figure> {
    let numbers = &frame.numbers;
    vec![
        numbers.count(figures.deliveries),
        numbers.rate(figures.open_rate.as_deref()),
        numbers.rate(figures.bounce_rate.as_deref()),
        numbers.count(figures.clicks),
        numbers.count(figures.unsubscribes),
    ]
}

impl SalesView {
    fn of(frame: &Frame, figures: &Figures, scale: &Scale, row: Option<&Row>) -> Self {
        let numbers = &frame.numbers;
        let week = row.and_then(|row| WeekView::of(frame, row, scale));
        let bar = row.and_then(|_| {
            let amount = figures.revenue.get(&scale.currency)?;
            Some(chart::percent(amount, scale.greatest))
        });
        let money = |sums: &Sums| -> Vec<Figure> {
            let all = money(frame, sums).into_iter();
            let shown = |figure: Figure| match scale.unit.is_empty() {
                true => figure,
                false => figure.unitless(),
            };
            all.map(shown).collect()
        };
        Self {
            purchases: figures
                .purchases
                .map_or(Figure::default(), |n| numbers.count(n)),
            average: money(&figures.average_check),
            revenue: money(&figures.revenue),
            bar: bar.unwrap_or_default(),
            per_delivery: money(&figures.revenue_per_delivery),
            to_open: numbers.rate(figures.purchase_to_open_rate.as_deref()),
            to_click: numbers.rate(figures.purchase_to_click_rate.as_deref()),
            week,
        }
    }
}

impl WeekView {
    /// The week of a row from the day on which it was sent; `None` where that is not in the report.
    fn of(frame: &Frame, row: &Row, scale: &Scale) -> Option<Self> {
        let (days, currency) = (scale.weeks.get(&row.campaign_id)?, &scale.currency);
        let first = row.sent_at?.day(frame.zone);
        let amount = |offset: u32| {
            let date = first.plus(offset).to_string();
            let day = days.iter().find(|day| day.date == date);
            day.and_then(|day| day.figures.revenue.get(currency))
                .map_or("0".to_owned(), String::clone)
        };
        let amounts: Vec<String> = (0..7).map(amount).collect();
        let told = amounts
            .iter()
            .map(|amount| frame.numbers.exact(amount, currency).text());
        let told = format!(
            "revenue of the first seven days from {}: {}",
            times::day(&first.to_string(), false),
            told.collect::<Vec<_>>().join(", ")
        );
        Some(Self {
            told,
            bars: chart::bars(&amounts),
        })
    }
}

fn balances(frame: &Frame, balance: &Balance) -> Vec<BalanceView> {
    let Balance {
        counted,
        credited,
        uncredited,
    } = balance;
    let count = |of: &Purchases| frame.numbers.count(of.purchases);
    let mut views = vec![BalanceView {
        what: "orders".to_owned(),
        counted: count(counted),
        credited: count(credited),
        uncredited: count(uncredited),
    }];
    for currency in counted.revenue.keys() {
        let amount = |of: &Purchases| {
            let amount = of.revenue.get(currency).map_or("0", String::as_str);
            frame.numbers.exact(amount, currency)
        };
        views.push(BalanceView {
            what: format!("in {currency}"),
            counted: amount(counted),
            credited: amount(credited),
            uncredited: amount(uncredited),
        });
    }
    views
}

impl ChartView {
    /// The chart of a report; `None` where there is no money in it.
    fn of(frame: &Frame, report: &Report, filtered: bool) -> Option<Self> {
        let currency = report.sort_currency.clone()?;
        let days: BTreeMap<&str, &Balance> = by_date(report.days.as_deref()?);
        let previous = report.previous.as_ref();
        let days_before = previous
            .and_then(|previous| previous.days.as_deref())
            .map(by_date);
        let first = Day::parse(&report.period.from)?;
        let last = Day::parse(&report.period.to)?.min(frame.now.day(frame.zone).plus(1));
        let first_before = previous.and_then(|previous| Day::parse(&previous.period.from));
        let amount = |of: Option<&Purchases>| {
            of.and_then(|of| of.revenue.get(&currency))
                .map_or("0", String::as_str)
                .to_owned()
        };
        let figure = |amount: &str| frame.numbers.exact(amount, &currency);
        let (mut points, mut rows) = (Vec::new(), Vec::new());
        let length = u32::try_from(last.since(first)).ok()?;
        for offset in 0..length {
            let date = first.plus(offset).to_string();
            let day = days.get(date.as_str());
            let layers = [
                amount(day.map(|day| &day.credited)),
                amount(day.map(|day| &day.uncredited)),
            ];
            let before = first_before.zip(days_before.as_ref()).map(|(first, days)| {
                let date = first.plus(offset).to_string();
                amount(days.get(date.as_str()).map(|day| &day.counted))
            });
            let label = times::day(&date, false);
            let mut cells: Vec<Figure> = layers.iter().map(|amount| figure(amount)).collect();
            let mut told = format!(
                "{label}: {} credited, {} uncredited",
                cells[0].text(),
                cells[1].text()
            );
            if let Some(before) = &before {
                cells.push(figure(before));
                told = format!("{told}; {} in the period before", figure(before).text());
            }
            rows.push((label.clone(), cells));
            points.push(Point {
                label,
                layers,
                before,
                told,
            });
        }
        let any = report
            .balance
            .as_ref()
            .is_some_and(|balance| balance.counted.purchases > 0);
        (any && !points.is_empty()).then(|| Self {
            areas: Areas::new(&points, figure),
            others: report
                .balance
                .as_ref()
                .is_some_and(|balance| balance.counted.revenue.len() > 1),
            currency: currency.clone(),
            filtered,
            has_before: days_before.is_some(),
            rows,
        })
    }
}

fn by_date(days: &[DayBalance]) -> BTreeMap<&str, &Balance> {
    days.iter()
        .map(|day| (day.date.as_str(), &day.balance))
        .collect()
}
