//! The redemption-batch function on Lambda, called by the queue that S3 tells of files.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use redemption_batch::bucket::Bucket;
use redemption_batch::files::Files;
use redemption_batch::{Batches, envelope};
use revtrail_core::time::Instant;
use revtrail_store::{aws, queue::Queue};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let (bucket, queue) = (Bucket::from_env()?, Queue::from_env()?);
    let files = Files::Bucket(bucket.clone());
    let batches = Batches::new(aws::store_from_env()?, aws::retention_from_env()?, files);
    let answer = async |call: LambdaEvent<Value>| {
        let deadline = i64::try_from(call.context.deadline).unwrap_or(i64::MAX);
        let stop_at = envelope::stop_at(aws::clock(), Instant::from_ms(deadline));
        let (name, event) = (bucket.name(), &call.payload);
        let send = async |follow: &[_]| queue.send(follow, |_| None).await;
        let answer = envelope::answer(&batches, name, event, &aws::clock, stop_at, send);
        // On the heap: the compiler gives up on the layout of what nests as deep as the SDK.
        Ok::<_, Error>(Box::pin(answer).await?)
    };
    lambda_runtime::run(service_fn(answer)).await
}
