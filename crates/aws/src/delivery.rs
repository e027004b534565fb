//! What a queue delivers to a function on Lambda: its messages, when to stop working on them, and which to deliver again.

use revtrail_core::value::time::Instant;
use serde::Deserialize;
use serde_json::{Value, json};

/// The error for a call that no queue makes. Lambda then delivers the whole call again.
#[derive(Debug, thiserror::Error)]
#[error("this is no delivery of a queue: {0}")]
pub struct NoDelivery(&'static str);

/// A message as the queue delivers it. Its other fields are ignored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueMessage {
    /// The id that names the message in the answer.
    pub message_id: String,
    #[serde(default)]
    body: Value,
}

impl QueueMessage {
    /// The text of the message; empty where the body is not a text.
    pub fn body(&self) -> &str {
        self.body.as_str().unwrap_or_default()
    }
}

/// True for the call that a schedule makes every hour.
pub fn is_tick(event: &Value) -> bool {
    event["source"] == "aws.events" && event["detail-type"] == "Scheduled Event"
}

/// The messages of a call, from its `Records`. If a message has no id, it cannot be named, so the call as a whole fails.
///
/// # Errors
/// [`NoDelivery`] for a call that no queue makes.
pub fn messages(records: &Value) -> Result<Vec<QueueMessage>, NoDelivery> {
    let Some(records) = records.as_array().filter(|records| !records.is_empty()) else {
        return Err(NoDelivery("Records holds no records"));
    };
    let message = |record: &Value| {
        if record["eventSource"] != "aws:sqs" {
            return Err(NoDelivery("a record is not of a queue"));
        }
        QueueMessage::deserialize(record)
            .ok()
            .filter(|message| !message.message_id.is_empty())
            .ok_or(NoDelivery("a record has no messageId"))
    };
    records.iter().map(message).collect()
}

/// The answer that makes the queue deliver some messages again. All others are acknowledged.
pub fn answer(failed: &[&str]) -> Value {
    let mut ids: Vec<&str> = Vec::new();
    for id in failed {
        if !ids.contains(id) {
            ids.push(id);
        }
    }
    let named = ids.iter().map(|id| json!({ "itemIdentifier": id }));
    json!({ "batchItemFailures": named.collect::<Value>() })
}

/// When a call that must end at `deadline` stops starting new work: `margin_ms` before, or a third of a short time before. A
/// deadline that is past when the call begins does not count. `cargo lambda watch` gives such a deadline, and a function that
/// obeyed it would hand over at once, again and again.
pub fn stop_at(now: Instant, deadline: Instant, margin_ms: i64) -> Instant {
    match deadline.ms() - now.ms() {
        left_ms @ 1.. => deadline.plus_ms(-margin_ms.min(left_ms / 3)),
        _ => now.plus_ms(margin_ms),
    }
}
