//! Runs a router on Lambda.

use axum::Router;
use axum::response::Response;
pub use lambda_runtime::Error;
use lambda_runtime::{LambdaEvent, service_fn};
use revtrail_aws::clock::Clock;
use revtrail_aws::{log, metrics, units};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tower::ServiceExt;

use crate::gateway;
use crate::observed::Observed;

/// Answers calls until Lambda stops this process.
///
/// # Errors
/// The error of the Lambda runtime.
pub async fn run(router: Router) -> Result<(), Error> {
    log::begin();
    let answer = async |call: LambdaEvent<Box<RawValue>>| {
        let response = match gateway::request(call.payload.get())? {
            Ok(request) => {
                let answer = router.clone().oneshot(request);
                let (answer, units) = units::counted(answer).await;
                let answer = answer?;
                tell(&call.context.request_id, &answer, units);
                answer
            }
            Err(refused) => refused,
        };
        Ok::<_, Error>(gateway::answer(response).await)
    };
    lambda_runtime::run(service_fn(answer)).await
}

/// Writes the line of a call to the log.
fn tell(request_id: &str, answer: &Response, units: f64) {
    let observed = Observed::of(answer);
    let fields = json!({
        "id": request_id, "route": observed.route, "status": observed.status, "key_id": observed.key_id,
        "marketplace": observed.marketplace,
    });
    let fields: Map<String, Value> = serde_json::from_value(fields).unwrap_or_default();
    let ms = i32::try_from(observed.ms).map_or(0.0, f64::from);
    let measures = [("ms", "Milliseconds", ms), ("units", "Count", units)];
    metrics::tell(Clock::REAL.now(), fields, &measures);
}
