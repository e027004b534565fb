//! Answers of calls that succeeded, except CSV.

use std::error::Error;

use axum::Router;
use axum::body::Body;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;

use crate::problem::Problem;

/// Lets every answer say that it is what its type says: no browser is to look for a page or a script in what a shop sent.
pub(crate) fn nosniff(router: Router) -> Router {
    router.layer(map_response(async |mut response: Response| {
        let nosniff = HeaderValue::from_static("nosniff");
        response
            .headers_mut()
            .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    }))
}

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

/// What the access log says of a call besides the ids that it names: a name and a text.
#[derive(Debug, Clone)]
pub(crate) struct AccessNote(pub(crate) &'static str, pub(crate) String);

/// An answer of whose call the access log says something more. The client does not see it.
pub fn with_note(
    mut response: Response,
    (name, text): (&'static str, impl Into<String>),
) -> Response {
    response
        .extensions_mut()
        .insert(AccessNote(name, text.into()));
    response
}

/// The most bytes of an answer on Lambda. Lambda allows 6 MB as a JSON text, in which quotes and line ends count twice.
pub const LAMBDA_BYTES_MAX: usize = 4_500_000;

/// The whole answer, or a problem in its place where it is too large for Lambda or breaks off. Of an answer that is too large no
/// more is read than Lambda could give.
pub async fn within(bytes_max: usize, response: Response) -> Response {
    let (head, body) = response.into_parts();
    let error = match Limited::new(body, bytes_max).collect().await {
        Ok(whole) => return Response::from_parts(head, Body::from(whole.to_bytes())),
        Err(error) => error,
    };
    if error.is::<LengthLimitError>() {
        return Problem::answer_too_large().into_response();
    }
    let first: &(dyn Error + 'static) = &*error;
    let mut causes = std::iter::successors(Some(first), |&error| error.source());
    let problem = causes.find_map(|error| error.downcast_ref::<Problem>().cloned());
    let problem = problem.unwrap_or_else(|| Problem::internal(&error));
    problem.into_response()
}

/// An answer with status 204 and no body.
pub fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
