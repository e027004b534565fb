//! The page of an order: why it was credited as it was. One time axis shows what happened to each message, and the same stands in a
//! table. The decision, its reasons and its windows are the API's.

use std::collections::BTreeMap;

use askama::Template;
use futures_util::future::try_join_all;
use http::{Method, StatusCode};
use revtrail_core::attribution::settings::Preset;
use revtrail_core::value::time::Instant;
use revtrail_web::access::MARKETING;
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde::Deserialize;
use serde_json::json;

use crate::asked::{Api, Doing, ORDER, WHAT_IF, WHY};
use crate::campaigns::channel_name;
use crate::frame::Frame;
use crate::lists::knows_tables;
use crate::numbers::Figure;
use crate::settings::{self, Version};
use crate::settings_form::SettingsForm;
use crate::table_file;
use crate::times::{self, Moment};

/// How many saved versions are tried on an order; each reads its customer again.
const VERSIONS_MAX: usize = 4;

/// How many lanes are drawn; the table has all.
const LANES_MAX: usize = 12;

#[derive(Deserialize)]
struct Explanation {
    order_id: String,
    customer_id: String,
    placed_at: Instant,
    status: String,
    amount: String,
    currency: String,
    counted: bool,
    reason: Option<String>,
    credited_to: Option<Credit>,
    candidates: Vec<Candidate>,
    candidates_total: i64,
    sale_formula: String,
    /// `None` where the settings are tried only.
    settings_version: Option<u32>,
    #[serde(default)]
    decided: String,
    #[serde(default)]
    lanes: Vec<Lane>,
    /// The names of campaigns by their ids.
    #[serde(default)]
    names: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Credit {
    campaign_id: String,
    channel: String,
    touch_kind: String,
    touch_at: Instant,
}

#[derive(Deserialize)]
struct Candidate {
    campaign_id: String,
    channel: String,
    message_id: Option<String>,
    sent_at: Instant,
    touch_kind: Option<String>,
    touch_at: Option<Instant>,
    outcome: String,
    superseded_by: Option<String>,
    /// True where the message went to an address of the order, and not to its customer.
    #[serde(default)]
    by_address: bool,
}

/// The channel of a message and, where that is not the customer themselves, whom it went to.
fn way(candidate: &Candidate) -> String {
    let channel = channel_name(&candidate.channel);
    match candidate.by_address {
        true => format!("{channel}, to an address of the order"),
        false => channel.to_owned(),
    }
}

#[derive(Deserialize)]
struct Lane {
    events: Vec<Event>,
    window_from: Option<Instant>,
    window_to: Option<Instant>,
    superseded_at: Option<Instant>,
}

#[derive(Deserialize)]
struct Event {
    kind: String,
    at: Instant,
    machine: bool,
}

/// The standing copy of the order.
#[derive(Deserialize)]
struct Copy {
    total: String,
    refunded_total: String,
    updated_at: Option<Instant>,
    source: Option<String>,
    #[serde(default)]
    coupon_codes: Vec<String>,
}

/// What other settings would make of the order.
struct Tried {
    label: String,
    /// Where the page of settings starts with them.
    start: String,
    why: Explanation,
}

/// The same, as a line of the page.
struct OtherView {
    label: String,
    href: String,
    winner: String,
    amount: Figure,
    says: String,
    is_same: bool,
}

impl OtherView {
    fn new(frame: &Frame, tried: &Tried, now: &Explanation, name: &dyn Fn(&str) -> String) -> Self {
        let why = &tried.why;
        let holder = |why: &Explanation| {
            let credit = why.credited_to.as_ref().filter(|_| why.counted);
            let to = credit.map(|credit| credit.campaign_id.clone());
            let amount = why.counted.then(|| why.amount.clone());
            (to, amount)
        };
        let credit = why.credited_to.as_ref().filter(|_| why.counted);
        let winner = credit.map(|credit| name(&credit.campaign_id));
        Self {
            label: tried.label.clone(),
            href: frame.to("/settings").with("start", &tried.start).href(),
            winner: winner.unwrap_or_else(|| "nobody".to_owned()),
            // What does not count is nobody's, whoever would have earned it.
            amount: match why.counted {
                true => frame.numbers.exact(&why.amount, &why.currency),
                false => Figure::default(),
            },
            says: if why.counted { said(why) } else { verdict(why) },
            is_same: holder(why) == holder(now),
        }
    }
}

/// A lane of the time axis, in units of a drawing that is 1000 wide.
struct Drawn {
    name: String,
    /// What became of the message, in words.
    said: String,
    top: usize,
    won: bool,
    band: Option<(String, String)>,
    marks: Vec<Mark>,
    cut: Option<Cut>,
}

struct Cut {
    x: String,
    told: String,
}

struct Mark {
    x: String,
    kind: &'static str,
    told: String,
}

struct RowView {
    href: String,
    name: String,
    channel: String,
    message: String,
    sent: Moment,
    touch: String,
    window: String,
    outcome: String,
    won: bool,
    events: String,
}

#[derive(Template)]
#[template(path = "why.html")]
struct WhyPage {
    frame: Frame,
    order: String,
    customer: String,
    /// The page of the customer, for those who may see it.
    customer_href: Option<String>,
    status: String,
    placed: Moment,
    updated: Option<Moment>,
    source: String,
    coupons: String,
    total: Figure,
    refunded: Option<Figure>,
    amount: Figure,
    verdict: String,
    winner: Option<(String, String)>,
    pending: bool,
    formula: String,
    version: u32,
    others: Vec<OtherView>,
    lanes: Vec<Drawn>,
    height: usize,
    order_x: String,
    ticks: Vec<(String, String)>,
    left_out: usize,
    rows: Vec<RowView>,
    candidates: Figure,
}

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    knows_tables(&call, &["id"])?;
    let id = &*call.query().text("id").unwrap_or_default().to_owned();
    let frame = Frame::of(&api, &call, &format!("Order {id}"), "/order").await?;
    let about = (Some(&frame.marketplace), &[("id", id)][..]);
    let why: Explanation = api.says(&call, WHY, about, &[("lanes", "true")]).await?;
    let copy: Copy = api.says(&call, ORDER, about, &[]).await?;
    let others = others(&api, &call, &frame, &why).await?;
    let page = WhyPage::new(frame, why, copy, &others);
    table_file::page(&call, &page.frame.address, MARKETING, StatusCode::OK, &page)
}

/// Other settings that could have been in force, by what they are called: every preset, with what no preset says as it is now, and
/// the newest versions but the one that decides the order.
async fn others(
    api: &Api,
    call: &Call,
    frame: &Frame,
    why: &Explanation,
) -> Result<Vec<Tried>, Problem> {
    let about = (Some(&frame.marketplace), &[][..]);
    let versions = settings::versions(api, call, frame).await?;
    let Some(newest) = versions.first() else {
        return Ok(Vec::new());
    };
    let preset = |preset: &Preset| {
        let form = SettingsForm::of_preset(*preset, &newest.settings);
        (
            format!("preset {}", preset.name()),
            preset.name().to_owned(),
            form,
        )
    };
    let saved = versions.iter();
    let saved = saved.filter(|one| !one.replaced && Some(one.version) != why.settings_version);
    let version = |one: &Version| {
        let number = one.version.to_string();
        (
            format!("version {number}"),
            number,
            SettingsForm::new(&one.settings),
        )
    };
    let all = Preset::ALL
        .iter()
        .map(preset)
        .chain(saved.take(VERSIONS_MAX).map(version));
    let placed = why.placed_at.day(frame.zone);
    let (from, to) = (placed.to_string(), placed.plus(1).to_string());
    let ask = |(label, start, form): (String, String, SettingsForm)| {
        let body = json!({ "settings": form.settings(), "from": from, "to": to, "order_id": why.order_id });
        async move {
            let doing = Doing::json(&body);
            let told = api.does(call, (&Method::POST, WHAT_IF), about, doing).await;
            match told.map(|mut told| serde_json::from_value(told["attribution"].take())) {
                Ok(Ok(why)) => Ok(Some(Tried { label, start, why })),
                // Its customer has too many facts to be looked at here.
                Ok(Err(_)) => Ok(None),
                // The order is older than what can be looked at.
                Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => Ok(None),
                Err(problem) => Err(problem),
            }
        }
    };
    let tried = try_join_all(all.map(ask)).await?;
    Ok(tried.into_iter().flatten().collect())
}

/// A reason in words.
fn outcome(
    candidate: &Candidate,
    lane: Option<&Lane>,
    why: &Explanation,
    name: &dyn Fn(&str) -> String,
) -> String {
    let till = |at: Option<Instant>| at.map_or(String::new(), |at| times::apart(at, why.placed_at));
    match candidate.outcome.as_str() {
        "credited" => "earned the order".to_owned(),
        "earlier_sent" => "lost: it was sent earlier than the winner".to_owned(),
        "earlier_interaction" => {
            "lost: the customer acted on it earlier than on the winner".to_owned()
        }
        "tag_excluded" => "its campaign carries an excluded tag".to_owned(),
        "channel_off" => "its channel earns nothing under the settings".to_owned(),
        "no_connecting_event" => "nothing happened to it that connects".to_owned(),
        "after_order" => "what connects came after the order".to_owned(),
        "machine_event" => "only a machine opened or clicked it".to_owned(),
        "app_version_too_old" => "opened in an app below version 5.1".to_owned(),
        "outside_window" => format!(
            "over {} before: its window had ended",
            till(lane.and_then(|lane| lane.window_to))
        ),
        "superseded" => {
            let by = candidate
                .superseded_by
                .as_deref()
                .map_or("another campaign".to_owned(), name);
            format!(
                "over {} before: {by} was sent",
                till(lane.and_then(|lane| lane.superseded_at))
            )
        }
        other => other.replace('_', " "),
    }
}

fn verdict(why: &Explanation) -> String {
    let credited = why.credited_to.is_some();
    match why.reason.as_deref() {
        None if credited => "counted, and credited".to_owned(),
        Some("status") => format!("not counted: its status is {}", why.status),
        Some("currency") => format!(
            "not counted: only orders in another currency than {} are",
            why.currency
        ),
        Some("refunded") => "not counted: it was refunded".to_owned(),
        Some("linking_off") => "counted, and credited to nobody: linking is off".to_owned(),
        _ if why.counted => {
            "counted, and credited to nobody: no message passed all gates".to_owned()
        }
        Some(other) => other.replace('_', " "),
        None => "not counted".to_owned(),
    }
}

/// The verdict, and what connects the order with its campaign.
fn said(why: &Explanation) -> String {
    let verdict = verdict(why);
    let Some(credit) = &why.credited_to else {
        return verdict;
    };
    format!(
        "{verdict}; {} {} before the order, by {}",
        credit.touch_kind,
        times::apart(credit.touch_at, why.placed_at),
        channel_name(&credit.channel)
    )
}

/// A part of time as places of the drawing.
struct Axis {
    from: i64,
    to: i64,
}

impl Axis {
    /// From the first event of the lanes to a bit after the order.
    fn new(why: &Explanation, lanes: &[(&Candidate, &Lane)]) -> Self {
        let sent = lanes.iter().map(|(candidate, _)| candidate.sent_at.ms());
        let events = lanes
            .iter()
            .filter_map(|(_, lane)| Some(lane.events.first()?.at.ms()));
        let order = why.placed_at.ms();
        let first = sent
            .chain(events)
            .min()
            .unwrap_or(order - 3_600_000)
            .min(order - 60_000);
        let margin = (order - first) / 20;
        Self {
            from: first - margin,
            to: order + 3 * margin,
        }
    }

    fn x(&self, at: Instant) -> String {
        let part = (at.ms() - self.from) as f64 / (self.to - self.from).max(1) as f64;
        format!("{:.1}", 1000.0 * part.clamp(0.0, 1.0))
    }

    fn holds(&self, at: Instant) -> bool {
        (self.from..=self.to).contains(&at.ms())
    }

    fn ticks(&self, frame: &Frame) -> Vec<(String, String)> {
        let tick = |i: i64| {
            let at = Instant::from_ms(self.from + (self.to - self.from) * (2 * i + 1) / 10);
            (format!("{}%", 10 + 20 * i), frame.moment(at).shown)
        };
        (0..5).map(tick).collect()
    }
}

/// The mark of a kind of event.
fn mark(kind: &str) -> &'static str {
    match kind {
        "sent" => "sent",
        "delivered" => "delivered",
        "opened" => "opened",
        "clicked" => "clicked",
        _ => "other",
    }
}

/// The height of a lane of the drawing.
const LANE: usize = 44;

impl Drawn {
    fn new(
        frame: &Frame,
        axis: &Axis,
        place: usize,
        of: (&Candidate, &Lane),
        why: &Explanation,
        name: &dyn Fn(&str) -> String,
    ) -> Self {
        let (candidate, lane) = of;
        let events = lane.events.iter().filter(|event| axis.holds(event.at));
        let shown = |event: &Event| {
            let by = if event.machine { " by a machine" } else { "" };
            let told = format!("{}{by}, {}", event.kind, frame.moment(event.at).shown);
            Mark {
                x: axis.x(event.at),
                kind: mark(&event.kind),
                told,
            }
        };
        // A window ends where another campaign took over.
        let end = |to: Instant| lane.superseded_at.map_or(to, |at| at.min(to));
        let band = lane.window_from.zip(lane.window_to).map(|(from, to)| {
            let (x, end) = (axis.x(from), axis.x(end(to)));
            let width = end.parse::<f64>().unwrap_or(0.0) - x.parse::<f64>().unwrap_or(0.0);
            (x, format!("{:.1}", width.max(0.0)))
        });
        let by = candidate
            .superseded_by
            .as_deref()
            .map_or(String::new(), name);
        Self {
            name: format!("{} · {}", name(&candidate.campaign_id), way(candidate)),
            said: outcome(candidate, Some(lane), why, name),
            top: place * LANE + 24,
            won: candidate.outcome == "credited",
            band,
            marks: events.map(shown).collect(),
            cut: lane.superseded_at.map(|at| Cut {
                x: axis.x(at),
                told: format!("{by} was sent, {}", frame.moment(at).shown),
            }),
        }
    }
}

impl WhyPage {
    fn new(frame: Frame, why: Explanation, copy: Copy, others: &[Tried]) -> Self {
        let name = |id: &str| why.names.get(id).map_or(id, String::as_str).to_owned();
        let other = |tried: &Tried| OtherView::new(&frame, tried, &why, &name);
        let others = others.iter().map(other).collect();
        let pairs: Vec<(&Candidate, &Lane)> = why.candidates.iter().zip(&why.lanes).collect();
        let drawn = &pairs[..pairs.len().min(LANES_MAX)];
        let axis = Axis::new(&why, drawn);
        let lane = |(place, of): (usize, &(&Candidate, &Lane))| {
            Drawn::new(&frame, &axis, place, *of, &why, &name)
        };
        let lanes: Vec<Drawn> = drawn.iter().enumerate().map(lane).collect();
        let row =
            |(place, candidate)| RowView::new(&frame, candidate, why.lanes.get(place), &why, &name);
        let rows = why.candidates.iter().enumerate().map(row).collect();
        let money = |amount: &str| frame.numbers.exact(amount, &why.currency);
        let winner = why.credited_to.as_ref().map(|credit| {
            let href = frame.to("/campaign").with("id", &credit.campaign_id).href();
            (href, name(&credit.campaign_id))
        });
        let verdict = said(&why);
        Self {
            customer_href: frame.to_customer(&why.customer_id),
            placed: frame.moment(why.placed_at),
            updated: copy.updated_at.map(|at| frame.moment(at)),
            source: copy.source.unwrap_or_default(),
            coupons: copy.coupon_codes.join(", "),
            total: money(&copy.total),
            refunded: (!copy.refunded_total.trim_matches(['0', '.']).is_empty())
                .then(|| money(&copy.refunded_total)),
            amount: money(&why.amount),
            verdict,
            winner,
            pending: why.decided == "pending",
            height: lanes.len() * LANE + 24,
            order_x: axis.x(why.placed_at),
            ticks: axis.ticks(&frame),
            left_out: why.candidates.len() - lanes.len(),
            lanes,
            rows,
            candidates: frame.numbers.count(why.candidates_total),
            order: why.order_id,
            customer: why.customer_id,
            status: why.status,
            formula: why.sale_formula,
            version: why.settings_version.unwrap_or_default(),
            others,
            frame,
        }
    }
}

impl RowView {
    fn new(
        frame: &Frame,
        candidate: &Candidate,
        lane: Option<&Lane>,
        why: &Explanation,
        name: &dyn Fn(&str) -> String,
    ) -> Self {
        let touch = candidate.touch_kind.as_ref().zip(candidate.touch_at);
        let window = lane.and_then(|lane| lane.window_from.zip(lane.window_to));
        let event = |event: &Event| {
            let by = if event.machine { " by a machine" } else { "" };
            format!("{}{by} {}", event.kind, frame.moment(event.at).shown)
        };
        let events: Vec<String> =
            lane.map_or(Vec::new(), |lane| lane.events.iter().map(event).collect());
        Self {
            href: frame
                .to("/campaign")
                .with("id", &candidate.campaign_id)
                .href(),
            name: name(&candidate.campaign_id),
            channel: way(candidate),
            message: candidate.message_id.clone().unwrap_or_default(),
            sent: frame.moment(candidate.sent_at),
            touch: touch.map_or("–".to_owned(), |(kind, at)| {
                format!("{kind} {}", frame.moment(at).shown)
            }),
            window: window.map_or("–".to_owned(), |(from, to)| {
                format!("{} – {}", frame.moment(from).shown, frame.moment(to).shown)
            }),
            outcome: outcome(candidate, lane, why, name),
            won: candidate.outcome == "credited",
            events: events.join("; "),
        }
    }
}
