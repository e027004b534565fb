//! Marketplaces, settings and runs, as they are on record.

use revtrail_core::attribution::settings::Version;
use revtrail_web::answer::json;
use revtrail_web::problem::Problem;
use revtrail_web::route::{Call, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The marketplaces of the caller's key.
pub(crate) async fn marketplaces(call: Call) -> Result<Response, Problem> {
    let caller = call.caller()?;
    let mut own = call.app.store().marketplaces().await?;
    own.retain(|marketplace| caller.sees(&marketplace.marketplace_id));
    Ok(json(StatusCode::OK, &json!({ "marketplaces": own })))
}

fn shown(version: &Version) -> Value {
    json!({ "version": version.version, "saved_at": version.saved_at, "saved_by": version.saved_by, "replaced": version.replaced, "settings": version.settings })
}

pub(crate) async fn settings(call: Call) -> Result<Response, Problem> {
    let versions = crate::versions(&call.market()?).await?;
    Ok(json(StatusCode::OK, &shown(versions.newest())))
}

pub(crate) async fn versions(call: Call) -> Result<Response, Problem> {
    let versions = crate::versions(&call.market()?).await?;
    let newest_first: Vec<Value> = versions.all().iter().rev().map(shown).collect();
    Ok(json(StatusCode::OK, &json!({ "versions": newest_first })))
}

#[derive(Serialize, Deserialize)]
struct RunCursor {
    after: String,
}

pub(crate) async fn runs(call: Call) -> Result<Response, Problem> {
    let mut query = call.query();
    let limit = query.limit();
    let cursor: Option<RunCursor> = query.cursor();
    query.done()?;
    let (runs, next) = call
        .market()?
        .runs(cursor.map(|cursor| cursor.after), limit, call.now)
        .await?;
    let next_cursor = next
        .map(|after| call.next_cursor(&RunCursor { after }))
        .transpose()?;
    Ok(json(
        StatusCode::OK,
        &json!({ "runs": runs, "next_cursor": next_cursor }),
    ))
}

pub(crate) async fn run(call: Call) -> Result<Response, Problem> {
    let run = call
        .market()?
        .run(call.own_id("id")?, call.now)
        .await?
        .ok_or_else(|| Problem::not_found("there is no such run"))?;
    Ok(json(StatusCode::OK, &run))
}
