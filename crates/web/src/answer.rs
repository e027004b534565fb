//! Answers of calls that succeeded, except CSV.

use axum::body::HttpBody;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::problem::Problem;

/// A JSON answer that must not be cached; 500 where the body cannot be written as JSON.
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

/// A JSON answer with `Location`. The segments of the location are already encoded by [`crate::encoding::path_segment`].
pub fn located(status: StatusCode, location: &str, body: &impl Serialize) -> Response {
    let mut response = json(status, body);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The most bytes of an answer on Lambda. Lambda allows 6 MB as a JSON text, in which quotes and line ends count twice.
pub const LAMBDA_BYTES_MAX: u64 = 4_500_000;

/// The answer, or a problem in its place where it is too large for Lambda.
pub fn within(bytes_max: u64, response: Response) -> Response {
    match response.body().size_hint().exact() {
        Some(bytes) if bytes > bytes_max => Problem::answer_too_large().into_response(),
        _ => response,
    }
}

/// An answer with status 204 and no body.
pub fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
