//! The redemption-batch function on Lambda, called by the queue to which S3 announces files.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use redemption_batch::envelope::FileMessage;
use redemption_batch::{BatchLimits, BatchWorker, envelope};
use revtrail_aws::queue::{Queue, Sending};
use revtrail_aws::{clock::Clock, environment, log, metrics, units};
use revtrail_core::value::time::Instant;
use revtrail_storage::files::{Bucket, Files};
use serde_json::{Map, Value};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    log::begin();
    let (bucket, queue) = (Bucket::from_env()?, Queue::from_env()?);
    let files = Files::Bucket(bucket.clone());
    let (store, retention) = (
        environment::store_from_env()?,
        environment::retention_from_env()?,
    );
    store.hold_retention(retention).await??;
    let batches = BatchWorker {
        limits: BatchLimits {
            unpacked_bytes: environment::file_bytes_max_from_env()?,
            ..BatchLimits::DEFAULT
        },
        ..BatchWorker::new(store, retention, files)
    };
    let answer = async |call: LambdaEvent<Value>| {
        let deadline = i64::try_from(call.context.deadline).unwrap_or(i64::MAX);
        let stop_at = envelope::stop_at(Clock::REAL.now(), Instant::from_ms(deadline));
        let (name, event) = (bucket.name(), &call.payload);
        let send = async |later: &[FileMessage], hops| {
            let how = |message: &FileMessage| Sending {
                marketplace: message.marketplace.clone(),
                delay_s: message.delay_s,
                hops,
            };
            queue.send(later, how).await
        };
        let answer = envelope::answer(&batches, name, event, &|| Clock::REAL.now(), stop_at, send);
        // The future is on the heap, because the compiler gives up on the layout of futures that nest as deep as the SDK's.
        let (answer, units) = units::counted(Box::pin(answer)).await;
        metrics::tell(Clock::REAL.now(), Map::new(), &[("units", "Count", units)]);
        let answer = answer?;
        queue.deliver_again(event, &answer).await;
        Ok::<_, Error>(answer)
    };
    lambda_runtime::run(service_fn(answer)).await
}
