//! The access log as it is shown.

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
    let entries = |after, limit| market.access_log().list(after, limit, call.now);
    let page = asked.gather_by_id(entries, Some).await?;
    let body = json!({ "items": page.rows, "next_cursor": page.next_cursor(&call)? });
    Ok(json(StatusCode::OK, &body))
}
