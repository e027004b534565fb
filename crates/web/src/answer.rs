//! Answers that are no failure and no CSV.

use axum::body::HttpBody;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::problem::Problem;

/// A JSON answer that nobody may cache; 500 where the body cannot be written as JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = match serde_json::to_string(body) {
        Ok(text) => text,
        Err(error) => return Problem::internal(&error).into_response(),
    };
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A JSON answer with `Location`, whose segments are encoded by [`crate::encoding::path_segment`].
pub fn located(status: StatusCode, location: &str, body: &impl Serialize) -> Response {
    let mut response = json(status, body);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Most bytes of an answer on Lambda: it gives 6 MB, as a JSON text, in which quotes and ends of lines count twice.
pub const LAMBDA_BYTES_MAX: u64 = 4_500_000;

/// An answer, or in its place why Lambda would not give it.
pub fn within(bytes_max: u64, response: Response) -> Response {
    match response.body().size_hint().exact() {
        Some(bytes) if bytes > bytes_max => Problem::answer_too_large().into_response(),
        _ => response,
    }
}

/// 204.
pub fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
