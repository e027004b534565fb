//! Erasures: a customer is forgotten, and every figure stays.

use revtrail_core::value::id::CustomerId;
use revtrail_store::erasures::Started;
use revtrail_web::answer::{json, located};
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde_json::json;

use crate::look_ahead::point_at;
use crate::runs::Enqueue;

/// Puts an erasure on record and hands it to the attributor. It is on record before it is handed over, so if that fails, the next
/// tick takes it up.
pub(crate) async fn start(call: Call, enqueue: Enqueue) -> Result<Response, Problem> {
    let market = call.market()?;
    let customer = call.id("id", CustomerId::new)?;
    let by = &call.caller()?.name;
    let (erasure, job) = match market.erasures().start(&customer, by, call.now).await? {
        Started::Erases(erasure, job) => (Some(erasure), job),
        Started::TooMuch(job) => (None, job),
    };
    point_at(&market, &job.job_id, &enqueue).await;
    let Some(erasure) = erasure else {
        let detail =
            "the customer has so many facts that these are erased first: repeat this call later";
        return Err(Problem::busy_with(detail));
    };
    let location = format!("/v1/marketplaces/{}/erasures/{erasure}", market.id());
    let body = json!({ "erasure_id": erasure });
    Ok(located(StatusCode::ACCEPTED, &location, &body))
}

pub(crate) async fn one(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let erasure = market
        .erasures()
        .erasure(call.own_id("id")?, call.now)
        .await?;
    let erasure = erasure.ok_or_else(|| Problem::not_found("there is no such erasure"))?;
    Ok(json(StatusCode::OK, &erasure))
}
