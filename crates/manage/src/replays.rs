//! Replays: a saved version of the settings is applied to the orders of a period.

use revtrail_core::attribution::settings::Versions;
use revtrail_core::figures::preview::{Change, PreviewTotals};
use revtrail_core::figures::report::PurchaseFigures;
use revtrail_core::record::{Code, Problems, RecordProblem as Bad};
use revtrail_store::jobs::look_aheads::{LookAhead, Purpose};
use revtrail_store::market::once::CallRecord;
use revtrail_store::table::keys::LookAheadKind;
use revtrail_web::answer::{json, located};
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::list::PageRequest;
use revtrail_web::problem::Problem;
use serde_json::{Map, Value, json};

use crate::look_ahead::{begun, expected, names, period, point_at};
use crate::{Enqueue, once, valid};

/// Asks for a replay, or for what a replay would do.
pub(crate) async fn start(call: Call, enqueue: Enqueue) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = market.settings().versions_there().await?;
    let mut problems = Problems::new();
    let fields = call.fields(&["version", "from", "to", "dry_run"], &mut problems)?;
    let version = version(&fields, &mut problems);
    let asked = period(&fields, &versions, &call, &mut problems);
    if let Some((period, visible)) = asked
        && period.first_day(versions.newest().settings.timezone) < visible
    {
        let detail = format!(
            "from: {} is too old: orders can be replayed from {visible} on",
            period.from
        );
        problems.push(Bad::of("from", Code::TooOld, detail));
    }
    let dry_run = dry_run(&fields, &mut problems);
    valid(problems)?;
    let (Some(version), Some((period, _))) = (version, asked) else {
        return Err(Problem::internal(&"a replay without a version or a period"));
    };
    if versions.numbered(version).is_none() {
        return Err(no_version(version, &versions));
    }
    let purpose = Purpose::Replay { version, dry_run };
    let expected = expected(&market, period, &versions, &call).await?;
    let by = &call.caller()?.name;
    let look = || LookAhead::new(purpose.clone(), period, by, expected, call.now);
    let [replay_id, job_id] = match call.once()? {
        None => {
            let mut ahead = look();
            let job = begun(market.look_aheads().begin(&mut ahead).await?)?;
            [ahead.id, job.job_id]
        }
        Some(named) => {
            let (market, named, look) = (&market, &named, &look);
            let make = |record: CallRecord| async move {
                let looks = market.look_aheads();
                Ok(looks.begin_named(&mut look(), named, record).await?)
            };
            let record = once::only(&call, named, make).await?;
            let answer = record.answer.unwrap_or_default();
            [0, 1].map(|i| answer[i].as_str().unwrap_or_default().to_owned())
        }
    };
    point_at(&market, &job_id, &enqueue).await;
    let location = format!("{}/{replay_id}", call.path());
    let body = json!({ "replay_id": replay_id });
    Ok(located(StatusCode::ACCEPTED, &location, &body))
}

/// The replays, newest first.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let mut query = call.query();
    let asked = PageRequest::json(&mut query);
    query.done()?;
    let market = call.market()?;
    let looks = market.look_aheads();
    let replays = |after, limit| looks.list(LookAheadKind::Replays, after, limit, call.now);
    let page = asked
        .gather_by_id(replays, |ahead| Some(shown(&ahead)))
        .await?;
    let body = json!({ "replays": page.rows, "next_cursor": page.next_cursor(&call)? });
    Ok(json(StatusCode::OK, &body))
}

/// One replay.
pub(crate) async fn one(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let ahead = market
        .look_aheads()
        .replay(call.own_id("id")?, call.now)
        .await?
        .ok_or_else(|| Problem::not_found("there is no such replay"))?;
    let mut body = shown(&ahead);
    body["names"] = names(&market, &ahead).await?;
    Ok(json(StatusCode::OK, &body))
}

fn version(fields: &Map<String, Value>, problems: &mut Problems) -> Option<u32> {
    let bad = match fields.get("version") {
        None | Some(Value::Null) => Bad::of(
            "version",
            Code::Missing,
            "version is missing: the number of a saved version of the settings",
        ),
        Some(Value::Number(number)) => match number.as_u64() {
            // No version has a greater number, so that one is not found.
            Some(number) => return Some(u32::try_from(number).unwrap_or(u32::MAX)),
            None => Bad::of(
                "version",
                Code::UnknownValue,
                format!("version: {number} is no number of a version: they count from 1"),
            ),
        },
        Some(_) => Bad::of("version", Code::WrongType, "version is a number"),
    };
    problems.push(bad);
    None
}

fn dry_run(fields: &Map<String, Value>, problems: &mut Problems) -> bool {
    match fields.get("dry_run") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(dry_run)) => *dry_run,
        Some(_) => {
            let detail = "dry_run is true or false";
            problems.push(Bad::of("dry_run", Code::WrongType, detail));
            false
        }
    }
}

fn no_version(version: u32, versions: &Versions) -> Problem {
    Problem::not_found(format!(
        "there is no version {version} of the settings: the newest is {}",
        versions.newest().version
    ))
}

fn shown(ahead: &LookAhead) -> Value {
    let (version, dry_run) = match ahead.purpose {
        Purpose::Replay { version, dry_run } => (version, dry_run),
        Purpose::WhatIf { .. } => (0, true),
    };
    let preview = &ahead.preview;
    let totals = |totals: &PreviewTotals, of: fn(&Change) -> &PurchaseFigures| {
        let rows = preview
            .campaigns
            .iter()
            .map(|(id, change)| (id, of(change)));
        let rows = rows.filter(|(_, earned)| earned.purchases > 0);
        let row = |(campaign_id, earned): (_, &PurchaseFigures)| json!({ "campaign_id": campaign_id, "purchases": earned.purchases, "revenue": earned.revenue });
        let mut shown = totals.shown();
        shown["campaigns"] = rows.map(row).collect();
        shown
    };
    json!({
        "replay_id": ahead.id, "state": ahead.state, "progress": ahead.progress(), "version": version,
        "from": ahead.period.from, "to": ahead.period.to, "dry_run": dry_run, "by": ahead.by, "at": ahead.at,
        "orders": preview.orders, "moved": preview.moved_total, "skipped": ahead.skipped,
        "before": totals(&preview.current, |change| &change.current),
        "after": totals(&preview.proposed, |change| &change.proposed),
    })
}
