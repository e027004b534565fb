//! The page of one campaign: what counts as a sale, the way from delivery to purchase, its days, and who bought.

use std::collections::BTreeMap;

use askama::Template;
use http::StatusCode;
use revtrail_core::value::time::{Day, Instant, Span};
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde::Deserialize;

use crate::answer;
use crate::asked::{Api, CAMPAIGN, PURCHASES, SETTINGS};
use crate::campaigns::{DayFigures, Figures, Row, channel_name, money};
use crate::chart::{self, Areas, Point};
use crate::frame::{Filters, Frame, Freshness, Period};
use crate::lists::knows;
use crate::numbers::Figure;
use crate::times::{self, Moment};

#[derive(Deserialize)]
struct Report {
    #[serde(flatten)]
    row: Row,
    days: Vec<DayFigures>,
    period: Period,
    #[serde(flatten)]
    freshness: Freshness,
}

#[derive(Deserialize)]
struct PurchaseList {
    purchases: Vec<Purchase>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Purchase {
    customer_id: String,
    order_id: String,
    placed_at: Instant,
    amount: Option<String>,
    currency: Option<String>,
    channel: Option<String>,
    touch_kind: Option<String>,
    touch_at: Option<Instant>,
}

#[derive(Deserialize)]
struct Settings {
    settings: Windows,
}

#[derive(Deserialize)]
struct Windows {
    channels: BTreeMap<String, Window>,
}

#[derive(Deserialize)]
struct Window {
    window: String,
    window_from: String,
}

/// A step from delivery to purchase.
struct Step {
    label: &'static str,
    figure: Figure,
    rate: Figure,
    rate_is: &'static str,
    width: String,
}

struct BoughtView {
    order: String,
    href: String,
    customer: String,
    customer_href: Option<String>,
    placed: Moment,
    amount: Figure,
    touch: String,
    after: String,
}

struct DayView {
    label: String,
    in_window: bool,
    cells: Vec<Figure>,
    revenue: Vec<Figure>,
}

struct ChartView {
    areas: Areas,
    currency: String,
    /// Where the window lies in the drawing: its left end and its width.
    window: Option<(String, String)>,
}

/// The purchases, for those who may see who bought.
struct Bought {
    rows: Vec<BoughtView>,
    first: Option<String>,
    next: Option<String>,
    export: String,
}

#[derive(Template)]
#[template(path = "campaign.html")]
struct CampaignPage {
    frame: Frame,
    fresh: String,
    filters: Filters,
    name: String,
    tags: Vec<String>,
    channels: String,
    sent: Option<Moment>,
    excluded: bool,
    formula: String,
    enabled: bool,
    tiles: Vec<(&'static str, Vec<Figure>)>,
    steps: Vec<Step>,
    chart: Option<ChartView>,
    days: Vec<DayView>,
    bought: Option<Bought>,
}

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    knows(&call, &["id", "from", "to", "channel", "revenue", "cursor"])?;
    let id = call.query().text("id").unwrap_or_default().to_owned();
    let frame = Frame::of(&api, &call, &id, "/campaign").await?;
    let about = (Some(&frame.marketplace), &[("id", id.as_str())][..]);
    let mut asked = frame.address.only(&["from", "to", "channel"]);
    let report: Report = api.says(&call, CAMPAIGN, about, &asked).await?;
    let settings: Settings = api.says(&call, SETTINGS, (about.0, &[]), &[]).await?;
    let bought = match api.tells(call.caller()?.role, PURCHASES) {
        true => {
            asked.extend(frame.address.get("cursor").map(|cursor| ("cursor", cursor)));
            Some(
                api.says::<PurchaseList>(&call, PURCHASES, about, &asked)
                    .await?,
            )
        }
        false => None,
    };
    let page = CampaignPage::new(frame, report, &settings.settings, bought);
    answer::page(StatusCode::OK, &call.headers, &page)
}

/// When the longest window of a campaign ends that was sent at one time: after it no order can be its.
fn window_end(row: &Row, windows: &Windows) -> Option<Instant> {
    let of = |channel: &String| windows.channels.get(channel);
    let windows = row
        .channels
        .iter()
        .filter_map(of)
        .filter(|window| window.window_from == "sent");
    let longest = windows
        .filter_map(|window| Some(Span::parse(&window.window)?.ms()))
        .max()?;
    Some(row.sent_at?.plus_ms(longest))
}

impl CampaignPage {
    fn new(
        mut frame: Frame,
        report: Report,
        windows: &Windows,
        bought: Option<PurchaseList>,
    ) -> Self {
        let row = &report.row;
        let figures = &row.figures;
        let enabled = figures.purchases.is_some();
        frame.title.clone_from(&row.name);
        let window = row
            .sent_at
            .zip(window_end(row, windows))
            .map(|(from, to)| (from.day(frame.zone), to.day(frame.zone)));
        let days = report
            .days
            .iter()
            .map(|day| DayView::of(&frame, day, window));
        let channels: Vec<&str> = row
            .channels
            .iter()
            .map(|channel| channel_name(channel))
            .collect();
        Self {
            fresh: report.freshness.sentence(&frame),
            filters: Filters::new(&frame, &report.period),
            tiles: if enabled {
                tiles(&frame, figures)
            } else {
                Vec::new()
            },
            steps: steps(&frame, figures),
            chart: ChartView::of(&frame, &report, window),
            days: days.collect(),
            bought: bought.map(|list| Bought::of(&frame, &row.campaign_id, list)),
            name: row.name.clone(),
            tags: row.tags.clone(),
            channels: channels.join(", "),
            sent: row.sent_at.map(|at| frame.moment(at)),
            excluded: row.excluded,
            formula: row.sale_formula.clone().unwrap_or_default(),
            enabled,
            frame,
        }
    }
}

fn tiles(frame: &Frame, figures: &Figures) -> Vec<(&'static str, Vec<Figure>)> {
    let count = |n: Option<i64>| vec![n.map_or(Figure::default(), |n| frame.numbers.count(n))];
    let sums = |sums| match money(frame, sums) {
        none if none.is_empty() => vec![Figure::default()],
        some => some,
    };
    vec![
        ("Revenue", sums(&figures.revenue)),
        ("Purchases", count(figures.purchases)),
        ("Average check", sums(&figures.average_check)),
        ("Buyers", count(figures.purchasers)),
        ("Revenue per delivery", sums(&figures.revenue_per_delivery)),
        ("Refunded, apart", sums(&figures.refunded)),
    ]
}

/// From delivered to bought. The rates are those of the API, each with what it is a part of.
fn steps(frame: &Frame, figures: &Figures) -> Vec<Step> {
    let counts = [
        Some(figures.deliveries),
        Some(figures.unique_opens),
        Some(figures.unique_clicks),
        figures.purchases,
    ];
    let greatest = counts.iter().flatten().copied().max().unwrap_or(0);
    let step = |label, n: i64, rate: Option<&String>, rate_is| Step {
        label,
        figure: frame.numbers.count(n),
        rate: frame.numbers.rate(rate.map(String::as_str)),
        rate_is,
        width: chart::percent(&n.to_string(), greatest as f64),
    };
    let bought = figures.purchases.map(|n| {
        step(
            "bought",
            n,
            figures.purchase_to_click_rate.as_ref(),
            "purchases to messages clicked",
        )
    });
    let mut steps = vec![
        step("delivered", figures.deliveries, None, ""),
        step(
            "opened",
            figures.unique_opens,
            figures.open_rate.as_ref(),
            "of e-mails and pushes delivered",
        ),
        step("clicked", figures.unique_clicks, None, ""),
    ];
    steps.extend(bought);
    steps
}

impl DayView {
    fn of(frame: &Frame, day: &DayFigures, window: Option<(Day, Day)>) -> Self {
        let figures = &day.figures;
        let counts = [
            figures.deliveries,
            figures.opens,
            figures.clicks,
            figures.bounces,
            figures.unsubscribes,
        ];
        let in_window = Day::parse(&day.date)
            .zip(window)
            .is_some_and(|(day, (from, to))| (from..=to).contains(&day));
        let mut cells: Vec<Figure> = counts.map(|n| frame.numbers.count(n)).into();
        cells.extend(figures.purchases.map(|n| frame.numbers.count(n)));
        Self {
            label: times::day(&day.date, false),
            in_window,
            cells,
            revenue: money(frame, &figures.revenue),
        }
    }
}

impl ChartView {
    /// The revenue of the campaign by day, in the currency that brought most purchases; `None` where it brought nothing.
    fn of(frame: &Frame, report: &Report, window: Option<(Day, Day)>) -> Option<Self> {
        let mut days_of: BTreeMap<&String, usize> = BTreeMap::new();
        for currency in report
            .days
            .iter()
            .flat_map(|day| day.figures.revenue.keys())
        {
            *days_of.entry(currency).or_default() += 1;
        }
        let currency = days_of.into_iter().max_by_key(|(_, days)| *days)?.0;
        let first = Day::parse(&report.period.from)?;
        let last = Day::parse(&report.period.to)?.min(frame.now.day(frame.zone).plus(1));
        let length = u32::try_from(last.since(first))
            .ok()
            .filter(|days| *days > 0)?;
        let amounts: BTreeMap<&str, &String> = report
            .days
            .iter()
            .filter_map(|day| Some((day.date.as_str(), day.figures.revenue.get(currency)?)))
            .collect();
        let point = |offset| {
            let date = first.plus(offset).to_string();
            let amount = amounts
                .get(date.as_str())
                .map_or("0", |amount| amount.as_str());
            let label = times::day(&date, false);
            let told = format!("{label}: {}", frame.numbers.exact(amount, currency).text());
            Point {
                label,
                layers: [amount.to_owned(), "0".to_owned()],
                before: None,
                told,
            }
        };
        let points: Vec<Point> = (0..length).map(point).collect();
        let place =
            |day: Day| chart::WIDTH * (day.since(first) as f64 / f64::from(length)).clamp(0.0, 1.0);
        let window = window.map(|(from, to)| (place(from), place(to.plus(1))));
        Some(Self {
            areas: Areas::new(&points, |amount| frame.numbers.exact(amount, currency)),
            currency: currency.clone(),
            window: window
                .filter(|(from, to)| from < to)
                .map(|(from, to)| (format!("{from:.1}"), format!("{:.1}", to - from))),
        })
    }
}

impl Bought {
    fn of(frame: &Frame, id: &str, list: PurchaseList) -> Self {
        let export = frame.to("/purchases.csv").with("id", id);
        let view = |one: Purchase| BoughtView {
            href: frame.to("/order").with("id", &one.order_id).href(),
            order: one.order_id,
            customer_href: frame.to_customer(&one.customer_id),
            customer: one.customer_id,
            placed: frame.moment(one.placed_at),
            amount: one
                .amount
                .zip(one.currency)
                .map_or(Figure::default(), |(amount, currency)| {
                    frame.numbers.exact(&amount, &currency)
                }),
            touch: format!(
                "{} {}",
                one.channel.as_deref().map_or("", channel_name),
                one.touch_kind.unwrap_or_default()
            ),
            after: one
                .touch_at
                .map_or(String::new(), |at| times::apart(at, one.placed_at)),
        };
        Self {
            rows: list.purchases.into_iter().map(view).collect(),
            first: frame
                .address
                .get("cursor")
                .map(|_| frame.address.with("cursor", "").href()),
            next: list
                .next_cursor
                .map(|cursor| frame.address.with("cursor", &cursor).href()),
            export: export
                .with("revenue", frame.address.get("revenue").unwrap_or_default())
                .href(),
        }
    }
}
