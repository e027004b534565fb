//! What calls the function on Lambda: messages of a queue, each with notifications of S3 inside. What the function answers, a
//! message at a time.

use std::error::Error;

use revtrail_aws::delivery::{self, Message, NoDelivery};
use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::file::File;
use crate::{Batches, Turn};

/// What a call keeps for the chunk that is under way when time is up, and for handing over: a chunk of 500 rows is some hundred
/// transactions of about 20 ms, and results of a hundred MB are read and written in half a minute.
const MARGIN_MS: i64 = 90_000;

/// When a call that must end at `deadline` stops taking up work.
pub fn stop_at(now: Instant, deadline: Instant) -> Instant {
    delivery::stop_at(now, deadline, MARGIN_MS)
}

/// The notifications of a message. What else they hold does not matter.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Notifications {
    records: Vec<Notification>,
}

/// Something happened to an object.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    event_source: String,
    event_name: String,
    s3: Change,
}

#[derive(Debug, Serialize, Deserialize)]
struct Change {
    bucket: Named,
    object: Object,
}

#[derive(Debug, Serialize, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Object {
    /// As in the address of a form: `+` is a space, and `%XX` a byte.
    key: String,
    /// That of a removed object has none.
    #[serde(rename = "eTag", default)]
    etag: String,
}

impl Notifications {
    /// What S3 would tell of a file.
    fn of(bucket: &str, file: &File, etag: &str) -> Self {
        let record = Notification {
            event_source: "aws:s3".to_owned(),
            event_name: "ObjectCreated:Put".to_owned(),
            s3: Change {
                bucket: Named {
                    name: bucket.to_owned(),
                },
                object: Object {
                    key: encode(&file.key),
                    etag: etag.to_owned(),
                },
            },
        };
        Self {
            records: vec![record],
        }
    }
}

/// The notifications of a message's text; none of the one that S3 sends when it is told of the queue.
fn notifications(text: &str) -> Result<Vec<Notification>, String> {
    let told: Value =
        serde_json::from_str(text).map_err(|error| format!("its body is no JSON: {error}"))?;
    if told["Event"] == "s3:TestEvent" {
        return Ok(Vec::new());
    }
    Notifications::deserialize(told)
        .map(|told| told.records)
        .map_err(|error| format!("its body holds no notifications of S3: {error}"))
}

/// Answers a call: works at the files that its messages tell of, and names the messages that are to be delivered again. `send`
/// takes the batches that are to be gone on with.
///
/// A file that is none of ours is left alone, and its message acknowledged; a message that cannot be understood fails, and comes
/// to the dead letters.
///
/// # Errors
/// A call that no queue makes.
pub async fn answer<E: Into<Box<dyn Error + Send + Sync>>>(
    batches: &Batches,
    bucket: &str,
    event: &Value,
    clock: &(dyn Fn() -> Instant + Sync),
    stop_at: Instant,
    send: impl AsyncFn(&[Notifications]) -> Result<(), E>,
) -> Result<Value, NoDelivery> {
    let messages = delivery::messages(&event["Records"])?;
    let mut failed: Vec<&str> = Vec::new();
    for message in &messages {
        if let Err(error) = work(batches, bucket, message, clock, stop_at, &send).await {
            let id = message.message_id.as_str();
            tracing::error!(id, error, "a message failed and will be delivered again");
            failed.push(id);
        }
    }
    Ok(delivery::answer(&failed))
}

async fn work<E: Into<Box<dyn Error + Send + Sync>>>(
    batches: &Batches,
    bucket: &str,
    message: &Message,
    clock: &(dyn Fn() -> Instant + Sync),
    stop_at: Instant,
    send: &impl AsyncFn(&[Notifications]) -> Result<(), E>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut follow = Vec::new();
    let mut outcome = Ok(());
    for told in notifications(message.body())? {
        match file(batches, bucket, &told).await {
            Ok(Ok(file)) => {
                let etag = told.s3.object.etag.trim_matches('"');
                // One that fails keeps no other from its turn.
                match turn(batches, &file, etag, clock, stop_at).await {
                    Ok(Turn::Ended) => {}
                    Ok(Turn::Later) => follow.push(Notifications::of(bucket, &file, etag)),
                    Err(error) => outcome = Err(error),
                }
            }
            // The key may hold anything, and stays out of the log.
            Ok(Err(why)) => tracing::warn!(id = message.message_id, why, "a file is refused"),
            Err(error) => outcome = Err(error),
        }
    }
    send(&follow).await.map_err(Into::into)?;
    outcome
}

async fn turn(
    batches: &Batches,
    file: &File,
    etag: &str,
    clock: &(dyn Fn() -> Instant + Sync),
    stop_at: Instant,
) -> Result<Turn, Box<dyn Error + Send + Sync>> {
    if clock() >= stop_at {
        return Ok(Turn::Later);
    }
    Ok(batches.work(file, etag, clock, stop_at).await?)
}

/// The file that a notification tells of, or why it is none of ours.
async fn file(
    batches: &Batches,
    bucket: &str,
    told: &Notification,
) -> Result<Result<File, &'static str>, Box<dyn Error + Send + Sync>> {
    if told.event_source != "aws:s3" {
        return Err("it is told by something else than S3".into());
    }
    if !told.event_name.starts_with("ObjectCreated:") {
        return Ok(Err("nothing was created"));
    }
    if told.s3.bucket.name != bucket {
        return Ok(Err("it lies in another bucket"));
    }
    if told.s3.object.etag.is_empty() {
        return Err("an object was created without an eTag".into());
    }
    let key = decode(&told.s3.object.key);
    let Some(file) = key.as_deref().and_then(File::at) else {
        return Ok(Err(
            "its name is not inbox/<marketplace>/redemptions/<name>.csv, .jsonl, .csv.gz or .jsonl.gz",
        ));
    };
    if !batches.store.marketplace_exists(&file.marketplace).await? {
        return Ok(Err("there is no such marketplace"));
    }
    Ok(Ok(file))
}

fn decode(key: &str) -> Option<String> {
    let bytes = key.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = match bytes[at] {
            b'%' => key
                .get(at + 1..at + 3)
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        out.push(match (escaped, bytes[at]) {
            (Some(byte), _) => byte,
            (None, b'+') => b' ',
            (None, byte) => byte,
        });
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).ok()
}

fn encode(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b' ' => out.push('+'),
            _ if byte.is_ascii_alphanumeric() || b"/-._".contains(&byte) => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_s3_tells_them() {
        for (told, key) in [
            ("inbox/m/a.csv", Some("inbox/m/a.csv")),
            ("a+b%20c%2Bd", Some("a b c+d")),
            ("%C3%A9%F0%9F%A6%80", Some("é🦀")),
            ("50%25%zz%2", Some("50%%zz%2")),
            ("%é1", Some("%é1")),
            ("%C3", None),
            ("", Some("")),
        ] {
            assert_eq!(decode(told).as_deref(), key, "{told}");
        }
        for key in ["a b+c%20", "é🦀/x", "\"\\\n", "~*'()"] {
            assert_eq!(decode(&encode(key)).as_deref(), Some(key));
        }
    }
}
