//! What what-ifs and replays share: the period that they are asked for, and how much work lies in it.

use revtrail_core::attribution::campaign::Catalog;
use revtrail_core::attribution::settings::{Bound, Period, Versions};
use revtrail_core::figures::daily::Tally;
use revtrail_core::record::{Code, Problems, RecordProblem as Bad};
use revtrail_core::value::time::Day;
use revtrail_store::Reading;
use revtrail_store::jobs::job::{Job, JobMessage};
use revtrail_store::jobs::look_aheads::LookAhead;
use revtrail_store::market::Market;
use revtrail_web::call::Call;
use revtrail_web::problem::Problem;
use serde_json::{Map, Value};

use crate::Enqueue;

/// The period `from` to `to` of a body, and the first day that is visible; `None` where the body names none that holds visible
/// orders.
pub(crate) fn period(
    fields: &Map<String, Value>,
    versions: &Versions,
    call: &Call,
    problems: &mut Problems,
) -> Option<(Period, Day)> {
    let from = bound("from", fields, problems);
    let to = bound("to", fields, problems);
    let (from, to) = from.zip(to)?;
    let zone = versions.newest().settings.timezone;
    let visible = call.app.retention().first_visible(call.now.day(zone));
    let period = Period { from, to };
    if period.is_empty(zone) {
        let detail = format!("from: {from} is not before to: {to}, which is not in the period");
        problems.push(Bad::of("from", Code::UnknownValue, detail));
    } else if period.last_day(zone) < visible {
        let detail = format!("to: {to} is too old: orders can be seen from {visible} on");
        problems.push(Bad::of("to", Code::TooOld, detail));
    } else {
        return Some((period, visible));
    }
    None
}

fn bound(name: &str, fields: &Map<String, Value>, problems: &mut Problems) -> Option<Bound> {
    let problem = match fields.get(name) {
        Some(Value::String(text)) => match Bound::parse(text) {
            Some(bound) => return Some(bound),
            None => {
                let detail = format!(
                    "{name}: {text:?} is neither a day like 2026-11-20 nor a time of RFC 3339"
                );
                Bad::of(name, Code::BadTime, detail)
            }
        },
        None | Some(Value::Null) => Bad::of(
            name,
            Code::Missing,
            format!("{name} is missing: a day or a time"),
        ),
        Some(_) => Bad::of(name, Code::WrongType, format!("{name} is a text")),
    };
    problems.push(problem);
    None
}

/// How many orders of a period the figures have.
pub(crate) async fn expected(
    market: &Market,
    period: Period,
    versions: &Versions,
    call: &Call,
) -> Result<i64, Problem> {
    let zone = versions.newest().settings.timezone;
    let (first, last) = (period.first_day(zone), period.last_day(zone));
    let visible = call.app.retention().first_visible(call.now.day(zone));
    let last = last.min(call.now.day(zone).plus(1));
    let aggregates = market
        .daily()
        .aggregates(first.max(visible), last, Reading::EVENTUAL, call.now)
        .await?;
    let tallies = aggregates
        .values()
        .flat_map(|aggregate| aggregate.statuses.values());
    Ok(tallies.map(|Tally(orders, _)| orders).sum())
}

/// The names, as they are now, of the campaigns that a look ahead speaks of.
pub(crate) async fn names(market: &Market, ahead: &LookAhead) -> Result<Value, Problem> {
    let campaigns = ahead.preview.campaigns.keys();
    let catalog = match ahead.preview.campaigns.is_empty() {
        true => Catalog::default(),
        false => market.campaigns().catalog_shown().await?,
    };
    let named =
        campaigns.filter_map(|id| Some((id.as_str().to_owned(), catalog.get(id)?.name.clone())));
    Ok(Value::Object(
        named.map(|(id, name)| (id, name.into())).collect(),
    ))
}

/// Points the attributor at a job. Where the message is lost, the next tick points at the job again.
pub(crate) async fn point_at(market: &Market, job_id: &str, enqueue: &Enqueue) {
    let message = JobMessage::Work {
        marketplace: market.id().clone(),
        job_id: job_id.to_owned(),
    };
    if let Err(error) = enqueue(message).await {
        tracing::error!(error, job_id, "a job waits for the next tick");
    }
}

/// The job of a look ahead that was put on record.
pub(crate) fn begun(job: Option<Job>) -> Result<Job, Problem> {
    // The name of a look ahead is drawn anew for each, so nobody else can have it.
    job.ok_or_else(Problem::busy)
}
