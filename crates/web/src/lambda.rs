//! Runs a router on Lambda.

use axum::Router;
pub use lambda_runtime::Error;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;
use tower::ServiceExt;

use crate::gateway;

/// Answers calls until Lambda stops this process.
///
/// # Errors
/// The error of the Lambda runtime.
pub async fn run(router: Router) -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let answer = async |call: LambdaEvent<Box<RawValue>>| {
        let response = match gateway::request(call.payload.get())? {
            Ok(request) => router.clone().oneshot(request).await?,
            Err(refused) => refused,
        };
        Ok::<_, Error>(gateway::answer(response).await)
    };
    lambda_runtime::run(service_fn(answer)).await
}
