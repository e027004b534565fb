//! What calls the function on Lambda: the hour's tick, or messages of the queue. What the function answers, a message at a time.

use std::error::Error;

use revtrail_aws::delivery::{self, QueueMessage};
use revtrail_core::value::time::Instant;
use revtrail_store::jobs::job::JobMessage;
use serde_json::Value;

use crate::{Attributor, AttributorError};

/// What a call keeps for the step that is under way when time is up, and for handing over: a step folds
/// [`JobLimits::batch_customers`](crate::JobLimits) customers, eight at a time, so 12 after each other; one as large as customers
/// may be is read in 32 pages of 1 MB at 50 ms, 1.6 s. 12 × 1.6 s = 20 s, once more for throttled calls, and the rest for sending.
const MARGIN_MS: i64 = 60_000;

/// Why a call failed as a whole: Lambda delivers it again, all of it.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Neither the schedule nor the queue sends such a thing.
    #[error("this is neither a schedule's event nor one of a queue: {0}")]
    Unknown(&'static str),
    /// Records that are no messages.
    #[error(transparent)]
    Delivery(#[from] delivery::NoDelivery),
    /// The tick.
    #[error(transparent)]
    Attributor(#[from] AttributorError),
    /// The tick's job messages.
    #[error("failed to send the tick's nudges: {0}")]
    Send(Box<dyn Error + Send + Sync>),
}

/// When a call that must end at `deadline` stops taking up work.
pub fn stop_at(now: Instant, deadline: Instant) -> Instant {
    delivery::stop_at(now, deadline, MARGIN_MS)
}

/// Answers a call: a tick's job messages are sent; of messages, those that are to be delivered again are named. An answer that names
/// none acknowledges all, so whatever cannot be told of single messages is an error.
///
/// # Errors
/// A call that is none of the two; for a tick also what the table and the queue say.
pub async fn answer<E: Into<Box<dyn Error + Send + Sync>>>(
    attributor: &Attributor,
    event: &Value,
    clock: &(dyn Fn() -> Instant + Sync),
    stop_at: Instant,
    send: impl AsyncFn(&[JobMessage]) -> Result<(), E>,
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
    if event["source"] == "aws.events" && event["detail-type"] == "Scheduled Event" {
        let messages = attributor.tick().await?;
        send(&messages)
            .await
            .map_err(|error| EnvelopeError::Send(error.into()))?;
        return Ok(Value::Null);
    }
    Err(EnvelopeError::Unknown("no Records, and no Scheduled Event"))
}

/// Does what a message points at and sends what follows. Where time is up, the message itself follows: reported as failed it
/// would be hidden for as long as it may be worked at, and come nearer to the dead letters for no fault of its own.
async fn work<E: Into<Box<dyn Error + Send + Sync>>>(
    attributor: &Attributor,
    message: &QueueMessage,
    clock: &(dyn Fn() -> Instant + Sync),
    stop_at: Instant,
    send: &impl AsyncFn(&[JobMessage]) -> Result<(), E>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let message: JobMessage = serde_json::from_str(message.body())
        .map_err(|error| format!("its body is no nudge: {error}"))?;
    let follow = if clock() < stop_at {
        attributor.handle(&message, clock, stop_at).await?
    } else {
        vec![message]
    };
    send(&follow).await.map_err(Into::into)
}
