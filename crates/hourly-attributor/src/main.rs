//! The hourly-attributor function on Lambda, fired by a schedule.

use hourly_attributor::Attributor;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use revtrail_store::aws;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let attributor = Attributor::new(aws::store_from_env()?, aws::retention_from_env()?);
    let tick = async |_: LambdaEvent<Value>| {
        let nudges = attributor.tick().await?;
        Ok::<(), Error>(attributor.drain(nudges, &aws::clock).await?)
    };
    lambda_runtime::run(service_fn(tick)).await
}
