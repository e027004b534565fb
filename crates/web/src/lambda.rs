//! Runs a router on Lambda, with paths as clients sent them.

use std::convert::Infallible;

use axum::Router;
use http::Uri;
pub use lambda_http::Error;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use tower::ServiceExt;

use crate::answer;
use crate::encoding::{path_as_sent, path_segment};

/// Answers calls until Lambda stops this process.
///
/// # Errors
/// The error of the Lambda runtime.
pub async fn run(router: Router) -> Result<(), Error> {
    lambda_http::tracing::init_default_subscriber();
    let answer = move |request| {
        let answer = router.clone().oneshot(as_sent(request));
        async { Ok::<_, Infallible>(answer::within(answer::LAMBDA_BYTES_MAX, answer.await?).await) }
    };
    lambda_http::run(lambda_http::service_fn(answer)).await
}

/// Restores the path. The runtime parses it as an address, and so loses ids: `..` is resolved away, and `#` cuts off the rest.
fn as_sent(mut request: Request) -> Request {
    let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else {
        return request;
    };
    let (route_key, stage) = (context.route_key.as_deref(), context.stage.as_deref());
    let path = path_as_sent(request.raw_http_path(), route_key, stage);
    let pair =
        |(name, value): (&str, &str)| format!("{}={}", path_segment(name), path_segment(value));
    let query = match (request.uri().query(), request.query_string_parameters_ref()) {
        (Some(query), _) => query.to_owned(),
        (None, Some(pairs)) => pairs.iter().map(pair).collect::<Vec<_>>().join("&"),
        (None, None) => String::new(),
    };
    if let Ok(uri) = Uri::try_from(format!("{path}?{query}")) {
        *request.uri_mut() = uri;
    }
    request
}
