//! The ingest-event function: it takes in message events and, in `promotions`, assignments, redemptions and redeems; in `webhooks`, what
//! mail and coupon tools post.

mod docs;
mod promotions;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::attribution::event::{self, Event};
use revtrail_core::figures::daily::IntakeCounts as Counts;
use revtrail_core::record::Record;
use revtrail_core::value::address::Recipient;
use revtrail_core::value::id::EventId;
use revtrail_core::value::time::Instant;
use revtrail_store::StoreError;
use revtrail_store::ledger::facts::EventOutcome;
use revtrail_store::ledger::intake::IntakeMarker;
use revtrail_store::market::Market;
use revtrail_store::market::campaigns::observed;
use revtrail_web::access::{Access, INTAKE, REPORTING};
use revtrail_web::api::Route;
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use revtrail_web::records::Intake;

pub use docs::docs;

/// How many events are written at the same time.
const WRITES_AT_ONCE: usize = 16;

/// The routes that this function answers.
pub fn routes() -> Vec<Route> {
    revtrail_web::routes! {
        POST "/events",                                  INTAKE    => post_events;
        POST "/assignments",                             REPORTING => promotions::post_assignments;
        POST "/redemptions",                             REPORTING => promotions::post_redemptions;
        POST "/redemptions/{id}/rollback",               REPORTING => promotions::post_rollback;
        POST "/promotions/{id}/vouchers/{code}/redeem",  REPORTING => promotions::post_redeem;
        POST "/vouchers/{code}/redeem",                  REPORTING => promotions::post_redeem_by_code;
        POST "/webhooks/{provider}",                     INTAKE, sender       => webhooks::post;
        GET  "/webhooks/{provider}",                     Access::Open, sender => webhooks::probe;
    }
}

async fn post_events(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let acceptance_window = call.acceptance_window();
    let mut answer = Intake::default();
    let mut events = Vec::new();
    for (index, record) in call.records()?.into_iter().enumerate() {
        let read = |record: Record<'_>| {
            answer.ignore(&record, &event::FIELDS);
            Event::read(&record, market.id(), Some(&acceptance_window))
        };
        match record.and_then(Record::from_json).and_then(read) {
            Ok(event) => events.push(event),
            Err(problem) => answer.reject(index, problem),
        }
    }
    let stored = ingest(&market, &events, answer.rejections(EVENTS), call.now).await?;
    answer.accepted = stored;
    answer.duplicates = events.len() - stored;
    Ok(answer.answer())
}

/// What the records of events are called where rejected ones are counted.
pub(crate) const EVENTS: &str = "events";

/// Stores the events of one call, between an open intake marker and a closed one. Returns how many of them are new facts.
///
/// # Errors
/// As every call of the table: what is stored stays, the intake marker stays open, and the same call may be made again.
pub async fn ingest(
    market: &Market,
    events: &[Event],
    rejections: BTreeMap<String, i64>,
    now: Instant,
) -> Result<usize, StoreError> {
    take_in(market, events, rejections, now, false).await
}

/// The same for events of a marketplace that has none of them, each with an id of its own: they are stored many at a time.
///
/// # Errors
/// [`StoreError::Contended`] where one of them is there; otherwise as every call of the table.
pub async fn ingest_first(
    market: &Market,
    events: &[Event],
    now: Instant,
) -> Result<usize, StoreError> {
    take_in(market, events, BTreeMap::new(), now, true).await
}

async fn take_in(
    market: &Market,
    events: &[Event],
    rejections: BTreeMap<String, i64>,
    now: Instant,
    are_first: bool,
) -> Result<usize, StoreError> {
    if events.is_empty() {
        return Ok(0);
    }
    let mut seen: HashSet<(&Recipient, &EventId)> = HashSet::new();
    let distinct = events
        .iter()
        .filter(|event| seen.insert((&event.recipient, &event.event_id)));
    let recipients = |events: &[&Event]| -> BTreeSet<Recipient> {
        events.iter().map(|event| event.recipient.clone()).collect()
    };
    let distinct: Vec<&Event> = distinct.collect();
    let latest = distinct.iter().map(|event| event.occurred_at).max();
    let mut marker =
        IntakeMarker::open(recipients(&distinct), now).with_events_to(latest.unwrap_or(now));
    market.intake().put_marker(&marker).await?;
    let outcomes: Vec<(&Event, EventOutcome)> = if are_first {
        market.first_facts().put_events(&distinct).await?;
        let stored = distinct.into_iter();
        stored.map(|event| (event, EventOutcome::Stored)).collect()
    } else {
        let writes: Vec<_> = distinct
            .into_iter()
            .map(|event| put(market, event))
            .collect();
        let writes = stream::iter(writes).buffer_unordered(WRITES_AT_ONCE);
        writes.try_collect().await?
    };
    // This is done for duplicates too, because the call that stored the event may have died before this.
    let standing = outcomes.iter().map(|(event, outcome)| match outcome {
        EventOutcome::Stored => *event,
        EventOutcome::Duplicate(stands) => stands,
    });
    market
        .distributions()
        .distribute(&standing.collect::<Vec<_>>(), now)
        .await?;
    let stored = outcomes
        .iter()
        .filter(|(_, outcome)| *outcome == EventOutcome::Stored);
    let stored: Vec<&Event> = stored.map(|(event, _)| *event).collect();
    marker.closed = true;
    marker.customers = recipients(&stored);
    marker.campaigns = observed(stored.iter().copied());
    market.campaigns().note_observed(&marker.campaigns).await?;
    let rejected: i64 = rejections.values().sum();
    marker.rejections = rejections;
    marker.events_in = Counts {
        received: events.len() as i64 + rejected,
        stored: stored.len() as i64,
        duplicates: (events.len() - stored.len()) as i64,
        rejected,
        ..Counts::default()
    };
    market.intake().put_marker(&marker).await?;
    Ok(stored.len())
}

async fn put<'e>(
    market: &Market,
    event: &'e Event,
) -> Result<(&'e Event, EventOutcome), StoreError> {
    Ok((event, market.facts().put_event(event).await?))
}
