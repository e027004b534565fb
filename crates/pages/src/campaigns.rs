//! The page of campaigns: what they earned in a period, beside the period before; the table; and that nothing is left out.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use http::StatusCode;
use revtrail_core::value::money::{Money, share};
use revtrail_core::value::time::{Day, Instant};
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde::Deserialize;

use crate::answer;
use crate::asked::{Api, CAMPAIGNS};
use crate::chart::{self, Areas, Point};
use crate::frame::{Filters, Frame, Freshness, Link, Period};
use crate::numbers::Figure;
use crate::times::{self, Moment};

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

/// A figure at the head of the page, and how it changed.
pub(crate) struct Tile {
    pub(crate) label: &'static str,
    pub(crate) about: &'static str,
    pub(crate) parts: Vec<(Figure, Change)>,
}

/// How a figure changed against the period before.
pub(crate) struct Change {
    /// `up`, `down`, `same` or `none`.
    pub(crate) way: &'static str,
    pub(crate) by: Figure,
    pub(crate) was: Figure,
}

/// A column of the table, and how the table is sorted by it.
pub(crate) struct Column {
    pub(crate) label: String,
    pub(crate) about: &'static str,
    pub(crate) href: String,
    pub(crate) sorted: &'static str,
    pub(crate) is_number: bool,
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

impl Change {
    /// The change from one amount to another, as a part of the first. It is a dash where there is nothing to compare.
    pub(crate) fn new(frame: &Frame, now: Option<&str>, before: Option<&str>, was: Figure) -> Self {
        let both = || Some((Money::stored(now?)?, Money::stored(before?)?));
        let by = || {
            let (now, before) = both()?;
            share(now.checked_sub(before)?, before)
        };
        let by = by();
        let way = match by.as_deref() {
            None => "none",
            Some("0.0000") => "same",
            Some(by) if by.starts_with('-') => "down",
            Some(_) => "up",
        };
        Self {
            way,
            by: frame.numbers.rate(by.as_deref()),
            was,
        }
    }
}

fn tiles(frame: &Frame, now: &Totals, before: Option<&Totals>) -> Vec<Tile> {
    // `absent` is what a figure is in a currency that is not there; `None` where it cannot be told.
    let by_currency = |(now, absent): (&Sums, Option<&str>),
                       before: Option<&Sums>,
                       print: &dyn Fn(&str, &str) -> Figure| {
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
            (figure(is), Change::new(frame, is, was, figure(was)))
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
            ),
        ),
        tile(
            "Share of all revenue",
            "Credited / counted revenue; no filter applies to it",
            by_currency(
                (&now.share, None),
                before.map(|before| &before.share),
                &rate,
            ),
        ),
    ]
}

fn columns(frame: &Frame, with_revenue: bool, unit: &str) -> Vec<Column> {
    let sorted = frame.address.get("sort").unwrap_or("-revenue").to_owned();
    let column = |(name, label, about): &(&'static str, &'static str, &'static str)| {
        let is_number = !["name", "channels"].contains(name);
        let descending = format!("-{name}");
        let way = match &sorted {
            given if *given == *name => "ascending",
            given if *given == descending => "descending",
            _ => "",
        };
        let next = match (way, is_number) {
            ("descending", _) | ("", false) => (*name).to_owned(),
            _ => descending,
        };
        let is_money =
            !unit.is_empty() && ["average_check", "revenue", "revenue_per_delivery"].contains(name);
        Column {
            label: match is_money {
                true => format!("{label}, {unit}"),
                false => (*label).to_owned(),
            },
            about,
            href: frame.address.with("sort", &next).href(),
            sorted: way,
            is_number,
        }
    };
    const ENGAGEMENT: [(&str, &str, &str); 8] = [
        ("name", "Campaign", "Its name, and its tags"),
        ("channels", "Channels", "The channels of its messages"),
        (
            "sent_at",
            "Sent",
            "When it was sent; a dash where it is sent to each customer at a time of its own",
        ),
        (
            "deliveries",
            "Delivered",
            "Messages delivered, on all channels",
        ),
        (
            "open_rate",
            "Open",
            "Messages opened / delivered, e-mail and push",
        ),
        ("bounce_rate", "Bounce", "E-mails returned / e-mails"),
        ("clicks", "Clicks", "All clicks, repeated ones too"),
        (
            "unsubscribes",
            "Unsubs.",
            "Messages whose recipient unsubscribed",
        ),
    ];
    const SALES: [(&str, &str, &str); 6] = [
        ("purchases", "Purchases", "Counted orders that it earned"),
        ("average_check", "Average", "Revenue / purchases"),
        (
            "revenue",
            "Revenue",
            "What its purchases brought: an estimate",
        ),
        (
            "revenue_per_delivery",
            "Per delivery",
            "Revenue / messages delivered",
        ),
        (
            "purchase_to_open_rate",
            "To open",
            "Purchases / messages opened",
        ),
        (
            "purchase_to_click_rate",
            "To click",
            "Purchases / messages clicked",
        ),
    ];
    let sales = SALES.iter().filter(|_| with_revenue);
    ENGAGEMENT.iter().chain(sales).map(column).collect()
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
