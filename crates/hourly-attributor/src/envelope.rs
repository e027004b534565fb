//! What calls the function on Lambda: the hourly tick, or messages of the queue. The function answers for each message
//! separately.

use std::error::Error;

use revtrail_aws::delivery::{self, HOPS_MAX, QueueMessage};
use revtrail_aws::metrics;
use revtrail_core::value::time::Instant;
use revtrail_store::jobs::job::JobMessage;
use serde_json::{Map, Value};

use crate::{Attributor, AttributorError};

/// The milliseconds that a call keeps for the step that is under way when time is up, and for handing over. A step folds
/// [`JobLimits::batch_customers`](crate::JobLimits) customers, eight at a time, so 12 one after the other. The largest customer
/// that is allowed is read in 32 pages of 1 MB at 50 ms, 1.6 s. 12 × 1.6 s = 20 s, once more for throttled calls, and the rest
/// for sending.
const MARGIN_MS: i64 = 60_000;

/// Why a call failed as a whole. Lambda delivers all of it again.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Neither the schedule nor the queue sends such a call.
    #[error("this is neither a schedule's event nor one of a queue: {0}")]
    Unknown(&'static str),
    /// The records are not messages of the queue.
    #[error(transparent)]
    Delivery(#[from] delivery::NoDelivery),
    /// The tick failed.
    #[error(transparent)]
    Attributor(#[from] AttributorError),
    /// The tick's job messages could not be sent.
    #[error("failed to send the tick's nudges: {0}")]
    Send(Box<dyn Error + Send + Sync>),
}

/// When a call that must end at `deadline` stops beginning new work.
pub fn stop_at(now: Instant, deadline: Instant) -> Instant {
    delivery::stop_at(now, deadline, MARGIN_MS)
}

/// Answers a call. A tick's job messages are sent; `send` takes them and how often they were sent on. Of the queue's messages, those that must be delivered again are named. An
/// answer that names none acknowledges all, so an error that belongs to no single message fails the whole call.
///
/// # Errors
/// The call is neither of the two. For a tick, also the errors of the table and of the queue.
pub async fn answer<E: Into<Box<dyn Error + Send + Sync>>>(
    attributor: &Attributor,
    event: &Value,
    clock: &(dyn Fn() -> Instant + Sync),
    stop_at: Instant,
    send: impl AsyncFn(&[JobMessage], u32) -> Result<(), E>,
) -> Result<Value, EnvelopeError> {
    if let Some(records) = event.get("Records") {
        let messages = delivery::messages(records)?;
        let mut failed: Vec<&str> = Vec::new();
        for message in &messages {
            if let Err(error) = work(attributor, message, clock, stop_at, &send).await {
                let id = message.message_id.as_str();
                tracing::error!(id, error, "a message failed and will be delivered again");
                failed.push(id);
            }
        }
        return Ok(delivery::answer(&failed));
    }
    if delivery::is_tick(event) {
        let messages = attributor.tick().await?;
        send(&messages, 0)
            .await
            .map_err(|error| EnvelopeError::Send(error.into()))?;
        let age_s = attributor.oldest_figures_s(clock()).await?;
        let measures = [("figures_age", "Seconds", age_s)];
        metrics::tell(clock(), Map::new(), &measures);
        return Ok(Value::Null);
    }
    Err(EnvelopeError::Unknown("no Records, and no Scheduled Event"))
}

/// Does what a message points at and sends what follows. If time is up, the same message is sent again. If it were reported as
/// failed, it would stay hidden for as long as it may be worked on, and would come nearer to the dead letters through no fault of
/// its own.
async fn work<E: Into<Box<dyn Error + Send + Sync>>>(
    attributor: &Attributor,
    message: &QueueMessage,
    clock: &(dyn Fn() -> Instant + Sync),
    stop_at: Instant,
    send: &impl AsyncFn(&[JobMessage], u32) -> Result<(), E>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let next_hop = message.next_hop();
    let message: JobMessage = serde_json::from_str(message.body())
        .map_err(|error| format!("its body is no nudge: {error}"))?;
    let Some(hops) = next_hop else {
        let marketplace = message.marketplace();
        tracing::error!(%marketplace, hops = HOPS_MAX, "a message was sent on too often and is left alone; the next tick points at its work");
        return Ok(());
    };
    let follow = if clock() < stop_at {
        attributor.handle(&message, clock, stop_at).await?
    } else {
        vec![message]
    };
    send(&follow, hops).await.map_err(Into::into)
}
