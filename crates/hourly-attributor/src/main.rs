//! The hourly-attributor function on Lambda, called by a schedule and by the queue of its own job messages.

use hourly_attributor::{Attributor, envelope};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use revtrail_aws::{clock::Clock, environment, log, metrics, queue::Queue, units};
use revtrail_core::value::time::Instant;
use revtrail_storage::files::{Bucket, Files};
use serde_json::{Map, Value};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    log::begin();
    let attributor = Attributor {
        outbox: Some(Files::Bucket(Bucket::from_env()?)),
        ..Attributor::new(
            environment::store_from_env()?,
            environment::retention_from_env()?,
        )
    };
    let Attributor {
        store, retention, ..
    } = &attributor;
    store.hold_retention(*retention).await??;
    let queue = Queue::from_env()?;
    let answer = async |call: LambdaEvent<Value>| {
        let deadline = i64::try_from(call.context.deadline).unwrap_or(i64::MAX);
        let stop_at = envelope::stop_at(Clock::REAL.now(), Instant::from_ms(deadline));
        let send = async |messages: &[_], hops| queue.send_messages(messages, hops).await;
        let answer = envelope::answer(
            &attributor,
            &call.payload,
            &|| Clock::REAL.now(),
            stop_at,
            send,
        );
        // The future is on the heap, because the compiler gives up on the layout of futures that nest as deep as the SDK's.
        let (answer, units) = units::counted(Box::pin(answer)).await;
        metrics::tell(Clock::REAL.now(), Map::new(), &[("units", "Count", units)]);
        let answer = answer?;
        queue.deliver_again(&call.payload, &answer).await;
        Ok::<_, Error>(answer)
    };
    lambda_runtime::run(service_fn(answer)).await
}
