//! Files of redemptions, and how far each is taken in.

use revtrail_web::answer::json;
use revtrail_web::problem::Problem;
use revtrail_web::route::{Call, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Serialize, Deserialize)]
struct BatchCursor {
    after: String,
}

pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let mut query = call.query();
    let limit = query.limit();
    let cursor: Option<BatchCursor> = query.cursor();
    query.done()?;
    let (batches, next) = call
        .market()?
        .batches(cursor.map(|cursor| cursor.after), limit, call.now)
        .await?;
    let next_cursor = next
        .map(|after| call.next_cursor(&BatchCursor { after }))
        .transpose()?;
    Ok(json(
        StatusCode::OK,
        &json!({ "batches": batches, "next_cursor": next_cursor }),
    ))
}

pub(crate) async fn one(call: Call) -> Result<Response, Problem> {
    let batch = call
        .market()?
        .batch_by_id(call.own_id("id")?, call.now)
        .await?
        .ok_or_else(|| Problem::not_found("there is no such batch"))?;
    Ok(json(StatusCode::OK, &batch))
}
