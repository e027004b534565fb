//! Exports: rows of days as files, for other programs.

use std::collections::BTreeSet;

use revtrail_core::record::{Code, Problems, RecordProblem as Bad};
use revtrail_core::value::time::Day;
use revtrail_store::jobs::export::{Export, ExportFile, ExportKind, ExportState};
use revtrail_store::market::Market;
use revtrail_store::market::once::CallRecord;
use revtrail_web::answer::{json, located};
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde_json::{Map, Value, json};

use crate::days::days;
use crate::look_ahead::point_at;
use crate::{Enqueue, once, valid};

/// How many days ahead of today facts may be: they may be ten minutes ahead of the clock, in a time zone that was in force before.
const DAYS_AHEAD: u32 = 3;

/// Asks for an export.
pub(crate) async fn start(call: Call, enqueue: Enqueue) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut problems = Problems::new();
    let fields = call.fields(&["what", "from", "to"], &mut problems)?;
    let what = what(&fields, &mut problems);
    let period = days(&fields, &mut problems);
    let period = match period {
        Some(period) => visible(&call, &market, period, &mut problems).await?,
        None => None,
    };
    valid(problems)?;
    let Some(period) = period else {
        return Err(Problem::internal(&"an export without a period"));
    };
    if !call.app.keeps_files() {
        let detail = "revtrail keeps everything in memory and has nowhere to write files: start it with --data DIR";
        return Err(Problem::conflict("no_files", detail));
    }
    let as_of = market.meta().await?.as_of;
    let by = &call.caller()?.name;
    let new = || Export::new(what.clone(), period, by, as_of, call.now);
    let [export_id, job_id] = match call.once()? {
        None => {
            let mut export = new();
            let job_id = market.exports().begin(&mut export).await?;
            [export.id, job_id]
        }
        Some(named) => {
            let (market, named, new) = (&market, &named, &new);
            let make = |record: CallRecord| async move {
                let exports = market.exports();
                Ok(exports.begin_named(&mut new(), named, record).await?)
            };
            let record = once::only(&call, named, make).await?;
            let answer = record.answer.unwrap_or_default();
            [0, 1].map(|i| answer[i].as_str().unwrap_or_default().to_owned())
        }
    };
    point_at(&market, &job_id, &enqueue).await;
    let location = format!("{}/{export_id}", call.path());
    let body = json!({ "export_id": export_id });
    Ok(located(StatusCode::ACCEPTED, &location, &body))
}

/// An export, with its files once all of them are there.
pub(crate) async fn one(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let export = market.exports().export(call.own_id("id")?).await?;
    let export = export
        .filter(|export| call.now < export.expires_at())
        .ok_or_else(|| Problem::not_found("there is no such export: it is kept for a day"))?;
    let files = match export.state {
        ExportState::Done => market.exports().files(&export).await?,
        ExportState::Running | ExportState::Removed => Vec::new(),
    };
    Ok(json(StatusCode::OK, &shown(&market, &export, &files)))
}

fn shown(market: &Market, export: &Export, files: &[ExportFile]) -> Value {
    let folder = export.folder(market.id());
    let file = |file: &ExportFile| {
        let key = format!("{folder}/{}", file.name());
        json!({ "file": key, "rows": file.rows, "bytes": file.bytes })
    };
    let manifest = export.state == ExportState::Done;
    let detail = match export.state {
        ExportState::Removed => Some("a customer was erased since: ask for another export"),
        ExportState::Running | ExportState::Done => None,
    };
    json!({
        "export_id": export.id, "state": export.state, "what": export.what, "from": export.from, "to": export.to,
        "by": export.by, "at": export.at, "as_of": export.as_of, "expires_at": export.expires_at(), "detail": detail,
        "manifest": manifest.then(|| format!("{folder}/manifest.json")),
        "files": files.iter().map(file).collect::<Vec<_>>(),
    })
}

fn what(fields: &Map<String, Value>, problems: &mut Problems) -> BTreeSet<ExportKind> {
    let bad = match fields.get("what") {
        Some(Value::Array(list)) if !list.is_empty() => {
            let kind = |one: &Value| serde_json::from_value(one.clone()).map_err(|_| one.clone());
            let kinds: Result<BTreeSet<ExportKind>, Value> = list.iter().map(kind).collect();
            match kinds {
                Ok(kinds) => return kinds,
                Err(one) => {
                    let known = ExportKind::ALL.map(ExportKind::name).join(", ");
                    let detail = format!("what: {one} is none of {known}");
                    Bad::of("what", Code::UnknownValue, detail)
                }
            }
        }
        None | Some(Value::Null | Value::Array(_)) => {
            let known = ExportKind::ALL.map(ExportKind::name).join(", ");
            let detail = format!("what is missing: a list of {known}");
            Bad::of("what", Code::Missing, detail)
        }
        Some(_) => Bad::of("what", Code::WrongType, "what is a list of texts"),
    };
    problems.push(bad);
    BTreeSet::new()
}

/// The part of a period that can be seen, as in reports.
async fn visible(
    call: &Call,
    market: &Market,
    (from, to): (Day, Day),
    problems: &mut Problems,
) -> Result<Option<(Day, Day)>, Problem> {
    let versions = market.settings().versions_there().await?;
    let today = call.now.day(versions.newest().settings.timezone);
    let first = call.app.retention().first_visible(today);
    if to <= first {
        let detail = format!("to: {to} is too old: facts can be seen from {first} on");
        problems.push(Bad::of("to", Code::TooOld, detail));
        return Ok(None);
    }
    let behind = today.plus(DAYS_AHEAD);
    Ok(Some((from.max(first).min(behind), to.min(behind))))
}
