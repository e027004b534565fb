//! What-ifs: settings that are tried on the orders of a period. Nothing of a what-if moves a figure.

use revtrail_core::attribution::models::Model;
use revtrail_core::attribution::settings::{Bound, Period, Settings, Versions};
use revtrail_core::record::{Code, Problems, RecordProblem as Bad};
use revtrail_core::value::id::OrderId;
use revtrail_core::value::time::Day;
use revtrail_store::jobs::look_ahead::LookLimits;
use revtrail_store::jobs::look_aheads::{LookAhead, LookState, Purpose};
use revtrail_store::market::Market;
use revtrail_web::answer::{json, located};
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde_json::{Map, Value, json};

use crate::look_ahead::{begun, expected, names, period, point_at};
use crate::{Enqueue, valid};

/// How long a call works at a what-if itself, in milliseconds. Its answer is there within 3 seconds.
const WORK_MS_MAX: i64 = 2_500;
/// A call works at a what-if itself where the figures have at most so many orders in the period. More take longer than a call has.
const ORDERS_MAX: i64 = 50_000;

/// Tries settings: answers with the result where it is there at once, and else with what there is and where to ask again.
pub(crate) async fn start(call: Call, enqueue: Enqueue) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = market.settings().versions_there().await?;
    let mut problems = Problems::new();
    let known = ["settings", "from", "to", "models", "order_id"];
    let fields = call.fields(&known, &mut problems)?;
    let settings = settings(&fields, &call, &mut problems);
    let asked = period(&fields, &versions, &call, &mut problems);
    let models = models(&fields, &mut problems);
    let order = order(&fields, &mut problems);
    valid(problems)?;
    let (Some(settings), Some((period, visible))) = (settings, asked) else {
        return Err(Problem::internal(&"a what-if without settings or a period"));
    };
    let purpose = Purpose::WhatIf {
        settings: Box::new(settings),
        models,
    };
    let period = visible_part(period, visible, &versions);
    let by = &call.caller()?.name;
    if let Some(order) = order {
        let mut ahead = LookAhead::new(purpose, period, by, 1, call.now);
        let looks = market.look_aheads();
        if !looks.look_at_order(&mut ahead, &order, call.now).await? {
            return Err(Problem::not_found("there is no such order"));
        }
        looks.put_done(&mut ahead).await?;
        return Ok(json(StatusCode::OK, &shown(&market, &ahead).await?));
    }
    let expected = expected(&market, period, &versions, &call).await?;
    let ahead = LookAhead::new(purpose, period, by, expected, call.now);
    begin(&call, &market, ahead, &enqueue).await
}

async fn begin(
    call: &Call,
    market: &Market,
    mut ahead: LookAhead,
    enqueue: &Enqueue,
) -> Result<Response, Problem> {
    let looks = market.look_aheads();
    let job = begun(looks.begin(&mut ahead).await?)?;
    if ahead.expected <= ORDERS_MAX {
        let app = &call.app;
        let clock = move || app.now();
        let stop_at = clock().plus_ms(WORK_MS_MAX);
        // What fails here is on record, and the attributor goes on with it.
        match looks.work(&job, LookLimits::DEFAULT, &clock, stop_at).await {
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "a what-if is left to the attributor"),
        }
        let there = looks.what_if(&ahead.id, call.now).await?;
        ahead = there.ok_or_else(Problem::busy)?;
    }
    if ahead.state != LookState::Running {
        return Ok(json(StatusCode::OK, &shown(market, &ahead).await?));
    }
    point_at(market, &job.job_id, enqueue).await;
    let location = format!("/v1/marketplaces/{}/what-ifs/{}", market.id(), ahead.id);
    let body = shown(market, &ahead).await?;
    Ok(located(StatusCode::ACCEPTED, &location, &body))
}

/// A what-if, with what was found so far.
pub(crate) async fn one(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let ahead = market
        .look_aheads()
        .what_if(call.own_id("id")?, call.now)
        .await?
        .ok_or_else(|| Problem::not_found("there is no such what-if: it is kept for a day"))?;
    Ok(json(StatusCode::OK, &shown(&market, &ahead).await?))
}

fn settings(fields: &Map<String, Value>, call: &Call, problems: &mut Problems) -> Option<Settings> {
    let told = fields.get("settings").filter(|told| !told.is_null());
    let Some(told) = told else {
        let detail = "settings is missing: the settings to try, as PUT settings takes them";
        problems.push(Bad::of("settings", Code::Missing, detail));
        return None;
    };
    match Settings::read(told, call.app.retention().look_back_ms()) {
        Ok(settings) => Some(settings),
        Err(bad) => {
            problems.append(bad.within("settings"));
            None
        }
    }
}

fn models(fields: &Map<String, Value>, problems: &mut Problems) -> Vec<Model> {
    let told = match fields.get("models") {
        None | Some(Value::Null) => return Vec::new(),
        Some(told) => told,
    };
    let read = serde_json::from_value::<Vec<Model>>(told.clone());
    let mut models = read.unwrap_or_else(|_| {
        let detail = "models is a list of last_sent, last_interaction, linear, first, position_based, time_decay";
        problems.push(Bad::of("models", Code::UnknownValue, detail));
        Vec::new()
    });
    models.sort();
    models.dedup();
    models
}

fn order(fields: &Map<String, Value>, problems: &mut Problems) -> Option<OrderId> {
    let told = match fields.get("order_id") {
        None | Some(Value::Null) => return None,
        Some(Value::String(told)) => told,
        Some(_) => {
            problems.push(Bad::of("order_id", Code::WrongType, "order_id is a text"));
            return None;
        }
    };
    OrderId::new(told)
        .inspect_err(|why| {
            let detail = format!("order_id: {why}");
            problems.push(Bad::of("order_id", Code::BadId, detail));
        })
        .ok()
}

/// The part of a period whose orders can be seen, as in reports.
fn visible_part(period: Period, visible: Day, versions: &Versions) -> Period {
    let zone = versions.newest().settings.timezone;
    if period.first_day(zone) >= visible {
        return period;
    }
    Period {
        from: Bound::Day(visible),
        ..period
    }
}

async fn shown(market: &Market, ahead: &LookAhead) -> Result<Value, Problem> {
    let settings = match &ahead.purpose {
        Purpose::WhatIf { settings, .. } => json!(settings.without_secrets()),
        Purpose::Replay { .. } => Value::Null,
    };
    let mut body = json!({
        "what_if_id": ahead.id, "state": ahead.state, "progress": ahead.progress(), "period": ahead.period,
        "settings": settings, "skipped": ahead.skipped, "names": names(market, ahead).await?,
    });
    if let (Some(body), Value::Object(found)) = (body.as_object_mut(), ahead.preview.shown()) {
        body.extend(found);
        if let Some(attribution) = &ahead.attribution {
            body.insert("attribution".to_owned(), attribution.clone());
        }
    }
    Ok(body)
}
