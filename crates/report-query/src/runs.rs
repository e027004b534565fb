//! Runs, as they are stored.

use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::list::PageRequest;
use revtrail_web::problem::Problem;
use serde_json::json;

pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let mut query = call.query();
    let asked = PageRequest::json(&mut query);
    query.done()?;
    let market = call.market()?;
    let runs = |after, limit| market.runs().list(after, limit, call.now);
    let page = asked.gather_by_id(runs, Some).await?;
    let body = json!({ "runs": page.rows, "next_cursor": page.next_cursor(&call)? });
    Ok(json(StatusCode::OK, &body))
}

pub(crate) async fn one(call: Call) -> Result<Response, Problem> {
    let run = call
        .market()?
        .runs()
        .run(call.own_id("id")?, call.now)
        .await?
        .ok_or_else(|| Problem::not_found("there is no such run"))?;
    Ok(json(StatusCode::OK, &run))
}
