//! A call of the service that a benchmark holds in its own process.

use std::error::Error;

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

pub(crate) const KEY: &str = "bench";
const MARKET: &str = "/v1/marketplaces/bench";

/// The answer to a call of the marketplace; whatever is refused is an error.
pub(crate) async fn call(
    router: &Router,
    method: Method,
    path: &str,
    body: &Value,
) -> Outcome<Value> {
    let request = Request::builder()
        .method(method)
        .uri(format!("{MARKET}{path}"))
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))?;
    let answer = router.clone().oneshot(request).await?;
    let status = answer.status();
    let bytes = answer.into_body().collect().await?.to_bytes();
    let told = serde_json::from_slice(&bytes)?;
    if !status.is_success() {
        return Err(format!("{path}: {status} {told}").into());
    }
    Ok(told)
}
