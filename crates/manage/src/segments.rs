//! Segments: the buyers of a campaign in a period, saved under a name.

use std::collections::BTreeSet;

use revtrail_core::record::{Code, Problems, RecordProblem as Bad};
use revtrail_core::value::id::{CampaignId, CustomerId};
use revtrail_store::Reading;
use revtrail_store::market::Market;
use revtrail_store::market::once::{CallRecord, Once};
use revtrail_store::market::segments::{Segment, SegmentSaved};
use revtrail_web::answer::{located, no_content};
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde_json::{Map, Value, json};

use crate::days::days;
use crate::{name, once, valid};

/// How many purchase rows are read at once.
const ROWS_AT_ONCE: usize = 1_000;
/// How often the buyers are gathered again because somebody was erased meanwhile.
const TRIES_MAX: usize = 8;

pub(crate) async fn save(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let segment = read(&call, &market).await?;
    let Some(named) = call.once()? else {
        let saved = gather_and_save(&call, &market, &segment, None).await?;
        let customers = saved.ok_or_else(Problem::busy)?.0;
        return Ok(answer(&call, &segment.segment_id, customers));
    };
    let (call, market, segment, named) = (&call, &market, &segment, &named);
    let make = |marker: CallRecord| async move {
        let saved = gather_and_save(call, market, segment, Some((named, marker))).await?;
        Ok::<_, Problem>(saved.and_then(|(_, marker)| marker))
    };
    let made = once::only(call, named, make)
        .await?
        .answer
        .unwrap_or_default();
    let (segment_id, customers): (String, usize) =
        serde_json::from_value(made).map_err(|error| Problem::internal(&error))?;
    Ok(answer(call, &segment_id, customers))
}

fn answer(call: &Call, segment_id: &str, customers: usize) -> Response {
    let body = json!({ "segment_id": segment_id, "customers": customers });
    let location = format!("{}/{segment_id}", call.path());
    located(StatusCode::CREATED, &location, &body)
}

/// Gathers the buyers and saves them: how many they are, and the marker of the call as it was put. `None` if the same call arrived
/// before.
async fn gather_and_save(
    call: &Call,
    market: &Market,
    segment: &Segment,
    once: Option<(&Once, CallRecord)>,
) -> Result<Option<(usize, Option<CallRecord>)>, Problem> {
    for _ in 0..TRIES_MAX {
        // The count comes first: whoever is erased after it is not written.
        let erasures = market.meta().await?.erasures;
        let buyers = buyers(call, market, segment).await?;
        let made = json!([segment.segment_id, buyers.len()]);
        let marked = once
            .as_ref()
            .map(|(once, marker)| (*once, marker.clone().answered(made)));
        let with = marked.as_ref().map(|(once, marker)| (*once, marker));
        match market
            .segments()
            .save(segment, &buyers, erasures, with)
            .await?
        {
            SegmentSaved::Saved => {
                return Ok(Some((buyers.len(), marked.map(|(_, marker)| marker))));
            }
            SegmentSaved::KnownCall => return Ok(None),
            SegmentSaved::NameTaken => {
                let detail = format!(
                    "there is a segment with the name {:?}: give another, or delete that one",
                    segment.name
                );
                return Err(Problem::conflict("name_taken", detail));
            }
            SegmentSaved::Outdated => {}
        }
    }
    Err(Problem::busy())
}

/// The customers with a counted order that the campaign earned in the period, as the list of its purchases has them.
async fn buyers(
    call: &Call,
    market: &Market,
    segment: &Segment,
) -> Result<Vec<CustomerId>, Problem> {
    let today = call.now.day(
        market
            .settings()
            .versions_there()
            .await?
            .newest()
            .settings
            .timezone,
    );
    let first = segment.from.max(market.retention().first_visible(today));
    let mut buyers = BTreeSet::new();
    if first >= segment.to {
        return Ok(Vec::new());
    }
    let mut after = None;
    loop {
        let days = first..=segment.to.minus(1);
        let (rows, next) = market
            .purchases()
            .purchases_of(
                &segment.campaign_id,
                days,
                after,
                ROWS_AT_ONCE,
                Reading::STRONG,
                call.now,
            )
            .await?;
        let counted = rows
            .into_iter()
            .filter(|(_, row)| row.line.figures.not_counted.is_none());
        buyers.extend(counted.map(|(_, row)| row.customer_id));
        match next {
            Some(next) => after = Some(next),
            None => return Ok(buyers.into_iter().collect()),
        }
    }
}

/// The segment that a body asks for.
async fn read(call: &Call, market: &Market) -> Result<Segment, Problem> {
    let mut problems = Problems::new();
    let fields = call.fields(&["name", "campaign_id", "from", "to"], &mut problems)?;
    let name = name(&fields, &mut problems);
    if name.is_none()
        && !problems
            .iter()
            .any(|bad| bad.field.as_deref() == Some("name"))
    {
        problems.push(missing("name", "name is needed: what to call the segment"));
    }
    let campaign = campaign(&fields, market, &mut problems).await?;
    let period = days(&fields, &mut problems);
    valid(problems)?;
    let (Some(name), Some(campaign_id), Some((from, to))) = (name, campaign, period) else {
        return Err(Problem::internal(&"a segment was read without a problem"));
    };
    Ok(Segment {
        segment_id: Segment::new_id(call.now),
        name,
        campaign_id,
        from,
        to,
        customers: 0,
        saved_at: call.now,
        saved_by: call.caller()?.name.clone(),
    })
}

fn missing(field: &str, detail: &str) -> Bad {
    Bad::of(field, Code::Missing, detail)
}

async fn campaign(
    fields: &Map<String, Value>,
    market: &Market,
    problems: &mut Problems,
) -> Result<Option<CampaignId>, Problem> {
    const FIELD: &str = "campaign_id";
    let problem = match fields.get(FIELD) {
        None | Some(Value::Null) => missing(FIELD, "campaign_id is needed: whose buyers to save"),
        Some(Value::String(id)) => match CampaignId::new(id) {
            Ok(id) if market.campaigns().campaign(&id).await?.is_some() => return Ok(Some(id)),
            Ok(id) => {
                let detail = format!(
                    "campaign_id: this marketplace has no campaign {:?}; a new one appears with the next run",
                    id.as_str()
                );
                Bad::of(FIELD, Code::UnknownValue, detail)
            }
            Err(why) => Bad::of(FIELD, Code::BadId, format!("campaign_id: {why}")),
        },
        Some(_) => Bad::of(FIELD, Code::WrongType, "campaign_id is a text"),
    };
    problems.push(problem);
    Ok(None)
}

pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    match call.market()?.segments().delete(call.own_id("id")?).await? {
        true => Ok(no_content()),
        false => Err(Problem::not_found("this marketplace has no such segment")),
    }
}
