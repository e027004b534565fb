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
    /// The name of this delivery of the message, by which the queue is told when to deliver it again.
    #[serde(default)]
    receipt_handle: Option<String>,
    #[serde(default)]
    attributes: Value,
}

impl QueueMessage {
    /// The text of the message; empty where the body is not a text.
    pub fn body(&self) -> &str {
        self.body.as_str().unwrap_or_default()
    }

    /// How often the message will have been sent on where this call sends it on; `None` where it has come round too often.
    pub fn next_hop(&self) -> Option<u32> {
        #[derive(Deserialize)]
        struct Sent {
            #[serde(default)]
            hops: u32,
        }
        let sent: Option<Sent> = serde_json::from_str(self.body()).ok();
        let hops = sent.map_or(0, |sent| sent.hops);
        (hops < HOPS_MAX).then(|| hops + 1)
    }

    /// How often the message was delivered, this time included; 1 where the queue does not say.
    fn deliveries(&self) -> u32 {
        let count = self.attributes["ApproximateReceiveCount"].as_str();
        count.and_then(|count| count.parse().ok()).unwrap_or(1)
    }
}

/// How often the functions send a message on, since Lambda's own brake on loops is off. A job that is handed over every four minutes
/// goes on for 27 days, and a file of 20,000 rows a turn may have 2·10^8; a loop without end stops after some minutes.
pub const HOPS_MAX: u32 = 10_000;

/// The least and the most seconds after which a message is delivered again that failed.
const AGAIN_S: [u64; 2] = [30, 300];

/// A message that failed, and when it is delivered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// The name of its last delivery.
    pub receipt_handle: String,
    /// The seconds until the next one.
    pub after_s: i32,
}

/// When the messages of a call are delivered again that an [`answer`] names as failed. The time is random, so that what failed
/// together does not come together: from 30 s on, up to twice as long after each delivery, and up to 300 s. Without that, a message
/// would stay hidden for as long as it may be worked on. `below` draws a random number below its argument.
pub fn again(event: &Value, answer: &Value, below: impl Fn(u64) -> u64) -> Vec<Again> {
    let failed = answer["batchItemFailures"].as_array();
    let failed: Vec<&Value> = failed
        .into_iter()
        .flatten()
        .map(|one| &one["itemIdentifier"])
        .collect();
    let messages = messages(&event["Records"]).unwrap_or_default();
    let failed = messages
        .into_iter()
        .filter(|message| failed.iter().any(|id| **id == *message.message_id));
    let again = |message: QueueMessage| {
        let [least, most] = AGAIN_S;
        let longest = most.min(least << message.deliveries().min(4));
        let after_s = i32::try_from(least + below(longest - least + 1)).ok()?;
        let receipt_handle = message.receipt_handle?;
        Some(Again {
            receipt_handle,
            after_s,
        })
    };
    failed.filter_map(again).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_comes_again_within_minutes() {
        let record = |id: &str, deliveries: Value| {
            json!({ "messageId": id, "receiptHandle": format!("handle {id}"), "eventSource": "aws:sqs", "body": "",
                "attributes": { "ApproximateReceiveCount": deliveries } })
        };
        let mut records = vec![
            record("a", json!("1")),
            record("b", json!("1")),
            record("c", json!("2")),
            record("d", json!("9")),
            record("e", json!(null)),
            record("f", json!("none")),
        ];
        // No delivery has a name here, so nothing can be said of it.
        records.push(json!({ "messageId": "g", "eventSource": "aws:sqs" }));
        let event = json!({ "Records": records });
        let failed = answer(&["b", "c", "d", "e", "f", "g"]);
        for (draw, expected) in [(0, [30; 5]), (u64::MAX, [60, 120, 300, 60, 60])] {
            let told = again(&event, &failed, |below| draw.min(below - 1));
            let handles = ["b", "c", "d", "e", "f"].map(|id| format!("handle {id}"));
            let expected = handles.into_iter().zip(expected);
            let expected = expected.map(|(receipt_handle, after_s)| Again {
                receipt_handle,
                after_s,
            });
            assert_eq!(told, expected.collect::<Vec<_>>());
        }
        for (event, answer) in [
            (&event, answer(&[])),
            (&event, Value::Null),
            (&json!({ "source": "aws.events" }), answer(&["a"])),
        ] {
            assert_eq!(again(event, &answer, |_| 0), []);
        }
    }
}
