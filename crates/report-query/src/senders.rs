//! The senders of webhooks, each with its last post.

use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde_json::json;

pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let senders = call.market()?.senders().list(call.now).await?;
    Ok(json(StatusCode::OK, &json!({ "senders": senders })))
}
