//! The hourly-attributor function on Lambda, fired by a schedule.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use revtrail_store::aws;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (store, retention) = (aws::store_from_env()?, aws::retention_from_env()?);
    let tick = async |_: LambdaEvent<Value>| {
        Ok::<(), Error>(hourly_attributor::hourly(&store, retention, aws::clock).await?)
    };
    lambda_runtime::run(service_fn(tick)).await
}
