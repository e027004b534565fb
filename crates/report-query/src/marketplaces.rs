//! Marketplaces and their settings, as they are stored.

use revtrail_core::attribution::settings::Version;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::etag::tagged;
use revtrail_web::problem::Problem;
use serde_json::{Value, json};

/// The marketplaces of the caller's key.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let caller = call.caller()?;
    let mut own = call.app.store().marketplaces().await?;
    own.retain(|marketplace| caller.sees(&marketplace.marketplace_id));
    Ok(json(StatusCode::OK, &json!({ "marketplaces": own })))
}

fn shown(version: &Version) -> Value {
    let settings = version.settings.without_secrets();
    json!({ "version": version.version, "saved_at": version.saved_at, "saved_by": version.saved_by, "replaced": version.replaced, "settings": settings })
}

pub(crate) async fn settings(call: Call) -> Result<Response, Problem> {
    let versions = crate::versions(&call.market()?).await?;
    let newest = versions.newest();
    Ok(tagged(json(StatusCode::OK, &shown(newest)), newest))
}

pub(crate) async fn versions(call: Call) -> Result<Response, Problem> {
    let versions = crate::versions(&call.market()?).await?;
    let newest_first: Vec<Value> = versions.all().iter().rev().map(shown).collect();
    Ok(json(StatusCode::OK, &json!({ "versions": newest_first })))
}
