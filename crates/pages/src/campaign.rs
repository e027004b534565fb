//! The page of one campaign: what counts as a sale, the way from delivery to purchase, its days, and who bought.

use std::collections::BTreeMap;

use askama::Template;
use http::header::IF_MATCH;
use revtrail_core::value::time::{Day, Instant, Span};
use revtrail_web::access::MARKETING;
use revtrail_web::api::Method;
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer;
use crate::asked::{Api, CAMPAIGN, Doing, FACTS, PURCHASES, RIVALS, SEGMENT, SEGMENTS};
use crate::campaigns::{DayFigures, Figures, Row, Sums, channel_name, money};
use crate::chart::{self, Areas, Point};
use crate::field::Kind;
use crate::form::{self, ASKS, Form, Input, ONCE, SEEN, Sent, Tried};
use crate::frame::{Filters, Frame, Freshness, Period, Windows};
use crate::lists::knows_tables;
use crate::numbers::Figure;
use crate::runs::IDEMPOTENCY_KEY;
use crate::sheet::text;
use crate::table_file;
use crate::times::{self, Moment};

/// The form that saves a segment.
const SAVE_SEGMENT: &str = "segment";

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

/// What the campaign took from others and lost to them.
#[derive(Deserialize)]
struct Rivals {
    taken_from: Vec<Rival>,
    lost_to: Vec<Rival>,
    orders: i64,
    orders_more: bool,
}

#[derive(Deserialize)]
struct Rival {
    campaign_id: String,
    name: String,
    orders: Option<i64>,
    #[serde(default)]
    revenue: Sums,
}

/// The rivals as tables; `None` before anybody asked.
struct RivalsView {
    tables: [(&'static str, &'static str, Vec<RivalView>); 2],
    orders: Figure,
    more: bool,
}

struct RivalView {
    href: String,
    name: String,
    orders: Figure,
    revenue: Vec<Figure>,
}

/// A step from delivery to purchase.
struct Step {
    label: &'static str,
    figure: Figure,
    /// The rates, each with what it is a part of.
    rates: Vec<(Figure, &'static str)>,
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
    all: Option<String>,
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
    /// The days as a file, for those who may have one.
    days_csv: Option<String>,
    bought: Option<Bought>,
    rivals: Option<RivalsView>,
    /// Where the rivals are asked for, or left away.
    rivals_href: String,
    forms: Vec<Form>,
    /// The name of the segment that was saved just now, and its page.
    saved: Option<(String, String)>,
}

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    show(&api, &call, None).await
}

async fn show(api: &Api, call: &Call, tried: Option<&Tried>) -> Result<Response, Problem> {
    knows_tables(call, &["id", "cursor", "limit", "rivals", "segment"])?;
    let id = call.query().text("id").unwrap_or_default().to_owned();
    let frame = Frame::of(api, call, &id, "/campaign").await?;
    let about = (Some(&frame.marketplace), &[("id", id.as_str())][..]);
    let mut asked = frame.address.only(&["from", "to", "channel"]);
    let report: Report = api.says(call, CAMPAIGN, about, &asked).await?;
    let rivals: Option<Rivals> = match frame.address.get("rivals") {
        Some(_) => Some(api.says(call, RIVALS, about, &asked).await?),
        None => None,
    };
    let forms = match frame.may_export {
        true => {
            let now = api.says_tagged(call, FACTS, about).await?;
            let here = frame.address.with("segment", "").href();
            vec![
                edit(here.clone(), &now, &frame).after(tried),
                segment(here, &report.period).after(tried),
            ]
        }
        false => Vec::new(),
    };
    let saved = match frame.address.get("segment") {
        Some(id) => {
            let of_it = (about.0, &[("id", id)][..]);
            let told: Value = api.says(call, SEGMENT, of_it, &[("limit", "1")]).await?;
            let page = frame.to("/segments").with("id", id);
            Some((text(&told, "name"), page.href()))
        }
        None => None,
    };
    let bought: Option<PurchaseList> = match api.tells(frame.who, PURCHASES) {
        true => {
            asked.extend(frame.address.only(&["limit"]));
            asked.extend(frame.address.get("cursor").map(|cursor| ("cursor", cursor)));
            Some(api.says(call, PURCHASES, about, &asked).await?)
        }
        false => None,
    };
    let mut page = CampaignPage::new(frame, report, bought);
    page.rivals = rivals.map(|rivals| RivalsView::of(&page.frame, rivals));
    (page.forms, page.saved) = (forms, saved);
    let status = form::status(tried);
    table_file::page(call, &page.frame.address, MARKETING, status, &page)
}

/// The form of what people say of a campaign.
fn edit(action: String, (facts, tag): &(Value, String), frame: &Frame) -> Form {
    let inputs = vec![
        Input::new("name", "Name", Kind::Text),
        Input::new("tags", "Tags", Kind::List).hint("one a line"),
        Input::new("sent_at", "Sent", Kind::Time).hint("empty: at its first event"),
        Input::new(
            "triggered",
            "Sent to each customer at a time of its own",
            Kind::Flag,
        ),
    ];
    let mut form = Form {
        asks: Some("What would it change?"),
        ..Form::new("edit", "Edit name, tags and send time", action)
    }
    .about(
        "Tags and the send time have a say in who earns an order, so orders can be decided anew.",
    )
    .of(inputs, facts, frame.zone);
    form.hidden.push((SEEN, tag.clone()));
    form
}

/// Changes a campaign, or says what that would do.
pub(crate) async fn sent(api: Api, call: Call) -> Result<Response, Problem> {
    let sent = Sent::of(&call)?;
    let frame = Frame::of(&api, &call, "", "/campaign").await?;
    if sent.is(SAVE_SEGMENT) {
        return match saved(&api, &call, &sent, &frame).await {
            Ok(id) => Ok(answer::see(&frame.address.with("segment", &id).href())),
            Err(problem) => {
                let tried = Tried::refused(sent, problem)?;
                show(&api, &call, Some(&tried)).await
            }
        };
    }
    let tried = match changed(&api, &call, &sent, &frame).await {
        Ok(None) => return Ok(answer::see(&frame.address.href())),
        Ok(Some(says)) => Tried::asked(sent, says),
        Err(problem) => Tried::refused(sent, problem)?,
    };
    show(&api, &call, Some(&tried)).await
}

/// Changes a campaign; what that would do, where only that was asked.
async fn changed(
    api: &Api,
    call: &Call,
    sent: &Sent,
    frame: &Frame,
) -> Result<Option<String>, Problem> {
    let id = frame.address.get("id").unwrap_or_default();
    let about = (Some(&frame.marketplace), &[("id", id)][..]);
    let now = api.says_tagged(call, FACTS, about).await?;
    if sent.text(SEEN) != now.1 {
        return Err(Problem::precondition_failed());
    }
    let changes = sent.changes(&edit(String::new(), &now, frame), frame.zone);
    let asks = !sent.text(ASKS).is_empty();
    let doing = Doing {
        query: if asks { &[("dry_run", "true")] } else { &[] },
        header: Some((IF_MATCH, &now.1)),
        ..Doing::json(&changes)
    };
    let told = api
        .does(call, (&Method::PATCH, FACTS), about, doing)
        .await?;
    Ok(asks.then(|| redecided(frame, &told["redecided"])))
}

/// The form that saves the buyers of a period as a segment.
fn segment(action: String, period: &Period) -> Form {
    let name = Input::new("name", "Name of the segment", Kind::Text).needed();
    let mut form = Form {
        inputs: vec![name],
        button: "Save the segment",
        ..Form::new(
            SAVE_SEGMENT,
            "Save the buyers of these days as a segment",
            action,
        )
    }
    .about("It holds the customers as they are now, on all channels.")
    .once();
    let period = [("from", period.from.clone()), ("to", period.to.clone())];
    form.hidden.extend(period);
    form
}

/// Saves the buyers of a period, and returns the id of the segment.
async fn saved(api: &Api, call: &Call, sent: &Sent, frame: &Frame) -> Result<String, Problem> {
    let field = |name| sent.text(name);
    let body = json!({
        "name": field("name"), "campaign_id": frame.address.get("id"), "from": field("from"), "to": field("to"),
    });
    let once = field(ONCE);
    let doing = Doing {
        header: Some((IDEMPOTENCY_KEY, once)).filter(|_| !once.is_empty()),
        ..Doing::json(&body)
    };
    let about = (Some(&frame.marketplace), &[][..]);
    let told = api
        .does(call, (&Method::POST, SEGMENTS), about, doing)
        .await?;
    Ok(text(&told, "segment_id"))
}

/// How many orders would be decided anew, in words.
fn redecided(frame: &Frame, told: &Value) -> String {
    let day = |field: &str| Day::parse(told[field].as_str()?);
    match (told["orders_max"].as_i64(), day("from"), day("to")) {
        (Some(n), Some(from), Some(to)) if n > 0 => format!(
            "Saving this decides up to {} orders anew: those of {} – {}. Reports show it after the next run.",
            frame.numbers.count(n).text(),
            times::day(&from.to_string(), false),
            times::day(&to.minus(1).to_string(), true)
        ),
        _ => "Saving this decides no order anew.".to_owned(),
    }
}

impl RivalsView {
    fn of(frame: &Frame, rivals: Rivals) -> Self {
        let view = |one: Rival| RivalView {
            href: frame.to("/campaign").with("id", &one.campaign_id).href(),
            name: one.name,
            orders: one
                .orders
                .map_or(Figure::default(), |n| frame.numbers.count(n)),
            revenue: money(frame, &one.revenue),
        };
        let views = |all: Vec<Rival>| all.into_iter().map(view).collect();
        Self {
            tables: [
                ("taken", "Taken from", views(rivals.taken_from)),
                ("lost", "Lost to", views(rivals.lost_to)),
            ],
            orders: frame.numbers.count(rivals.orders),
            more: rivals.orders_more,
        }
    }
}

/// When the longest window of a campaign ends that was sent at one time: after it no order can be its.
fn window_end(row: &Row, windows: &Windows) -> Option<Instant> {
    let of = |channel: &String| windows.get(channel);
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
    fn new(mut frame: Frame, report: Report, bought: Option<PurchaseList>) -> Self {
        let row = &report.row;
        let figures = &row.figures;
        let enabled = figures.purchases.is_some();
        frame.title.clone_from(&row.name);
        let window = row
            .sent_at
            .zip(window_end(row, &frame.windows))
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
            days_csv: frame.may_export.then(|| {
                let csv = frame.to("/days.csv").with("id", &row.campaign_id);
                csv.with("revenue", if enabled { "true" } else { "" })
                    .href()
            }),
            bought: bought.map(|list| Bought::of(&frame, &row.campaign_id, list)),
            name: row.name.clone(),
            tags: row.tags.clone(),
            channels: channels.join(", "),
            sent: row.sent_at.map(|at| frame.moment(at)),
            excluded: row.excluded,
            formula: row.sale_formula.clone().unwrap_or_default(),
            enabled,
            rivals: None,
            rivals_href: {
                let asked = frame.address.get("rivals").is_some();
                frame
                    .address
                    .with("rivals", if asked { "" } else { "true" })
                    .href()
            },
            forms: Vec::new(),
            saved: None,
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
    let step = |label, n: i64, rates: &[(&Option<String>, &'static str)]| Step {
        label,
        figure: frame.numbers.count(n),
        rates: rates
            .iter()
            .map(|(rate, of)| (frame.numbers.rate(rate.as_deref()), *of))
            .collect(),
        width: chart::percent(&n.to_string(), greatest as f64),
    };
    let of_bought = [
        (&figures.order_rate, "of messages delivered"),
        (&figures.purchase_to_open_rate, "of messages opened"),
        (&figures.purchase_to_click_rate, "of messages clicked"),
    ];
    let opened = [(&figures.open_rate, "of e-mails and pushes delivered")];
    let mut steps = vec![
        step("delivered", figures.deliveries, &[]),
        step("opened", figures.unique_opens, &opened),
        step("clicked", figures.unique_clicks, &[]),
    ];
    steps.extend(figures.purchases.map(|n| step("bought", n, &of_bought)));
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
            all: list.next_cursor.as_ref().map(|_| frame.all_rows()),
            next: list
                .next_cursor
                .map(|cursor| frame.address.with("cursor", &cursor).href()),
            export: export
                .with("revenue", frame.address.get("revenue").unwrap_or_default())
                .href(),
        }
    }
}
