//! What is asked of the service itself, without a key: whether it answers, and what its interface is.

use std::sync::LazyLock;

use revtrail_store::StoreError;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, IntoResponse, Response, StatusCode};
use revtrail_web::etag::tag_of;
use revtrail_web::problem::Problem;
use serde_json::json;

/// The document of the interface. A test holds it to the routes.
const OPENAPI: &str = include_str!("../../../docs/openapi.json");

/// This process answers.
pub(crate) async fn health(_: Call) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, &json!({ "status": "ok" })))
}

/// The table answers.
pub(crate) async fn readiness(call: Call) -> Result<Response, Problem> {
    // Whatever fails: it is logged as what it is, and whoever asks is to ask again.
    let busy = |error: StoreError| {
        let _logged = Problem::from(error);
        Problem::busy()
    };
    call.app.store().answers().await.map_err(busy)?;
    Ok(json(StatusCode::OK, &json!({ "status": "ok" })))
}

pub(crate) async fn openapi(call: Call) -> Result<Response, Problem> {
    static TAG: LazyLock<String> = LazyLock::new(|| tag_of(OPENAPI));
    let head = [
        ("content-type", "application/json"),
        ("cache-control", "no-cache"),
        ("etag", TAG.as_str()),
    ];
    Ok(match call.has(&TAG) {
        true => (StatusCode::NOT_MODIFIED, head).into_response(),
        false => (head, OPENAPI).into_response(),
    })
}
