//! What calls the function on Lambda: messages of a queue, each with notifications of S3 inside. The function answers for each
//! message separately.

use std::error::Error;

use revtrail_aws::delivery::{self, HOPS_MAX, NoDelivery, QueueMessage};
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{DAY_MS, Instant};
use revtrail_store::StoreError;
use revtrail_store::batches::Batch;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BatchEnd, BatchError, BatchWorker};
use revtrail_storage::file::File;

/// The milliseconds that a call keeps for the chunk that is under way when time is up, and for handing over. A chunk of 500 rows
/// is some hundred transactions of about 20 ms, and results of a hundred MB are read and written in half a minute.
const MARGIN_MS: i64 = 90_000;

/// When a call that must end at `deadline` stops beginning new work.
pub fn stop_at(now: Instant, deadline: Instant) -> Instant {
    delivery::stop_at(now, deadline, MARGIN_MS)
}

/// Seconds until a file of a marketplace that does not exist is checked again: the longest delay of the queue.
const UNKNOWN_DELAY_S: i32 = 900;

/// For how long a batch stands still before the tick announces its file again. A turn moves it every few seconds, so its message was
/// lost, or waits behind a very long queue; a second one does no harm.
const STILL_MS: i64 = 30 * 60_000;
/// For how long after they came files are announced again: as long as the queue keeps a message.
const ANNOUNCED_MS: i64 = 14 * DAY_MS;
/// How many files of a marketplace a tick announces again at most. The next one goes on.
const STILL_MAX: usize = 100;

/// Why a call failed as a whole. Lambda delivers all of it again.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The records are not messages of the queue.
    #[error(transparent)]
    Delivery(#[from] NoDelivery),
    /// The list of marketplaces could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Results could not be written again.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The messages of batches that stand still could not be sent.
    #[error("failed to announce files again: {0}")]
    Send(Box<dyn Error + Send + Sync>),
}

/// The notifications of a message. Everything else in the message does not matter.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Notifications {
    records: Vec<Notification>,
    /// True if the message was sent by this function.
    #[serde(default)]
    own: bool,
}

/// A message about one file that this function sends to its own queue, in the format of S3. S3 does not say which marketplace a
/// file belongs to, and the queue is fair only among messages that say so.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FileMessage {
    records: [Notification; 1],
    own: bool,
    /// The marketplace that the file belongs to.
    #[serde(skip)]
    pub marketplace: MarketplaceId,
    /// Seconds until the message should be delivered.
    #[serde(skip)]
    pub delay_s: i32,
}

const S3: &str = "aws:s3";
const CREATED: &str = "ObjectCreated:";

/// A notification that something happened to an object.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    event_source: String,
    event_name: String,
    s3: ObjectChange,
}

impl Notification {
    /// What S3 tells of a file that came.
    fn created(bucket: &str, key: &str, etag: &str) -> Self {
        Self {
            event_source: S3.to_owned(),
            event_name: format!("{CREATED}Put"),
            s3: ObjectChange {
                bucket: Named {
                    name: bucket.to_owned(),
                },
                object: Object {
                    key: encode(key),
                    etag: etag.to_owned(),
                    size: 0,
                },
            },
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ObjectChange {
    bucket: Named,
    object: Object,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Object {
    /// The key, encoded as in the address of a form: `+` is a space, and `%XX` a byte.
    key: String,
    /// The ETag; empty for a removed object.
    #[serde(rename = "eTag", default)]
    etag: String,
    /// The size of the object, in bytes.
    #[serde(default)]
    size: u64,
}

/// The notifications in a message's text; none in the test message that S3 sends when the queue is connected.
fn notifications(text: &str) -> Result<Notifications, String> {
    let told: Value =
        serde_json::from_str(text).map_err(|error| format!("its body is no JSON: {error}"))?;
    if told["Event"] == "s3:TestEvent" {
        return Ok(Notifications {
            records: Vec::new(),
            own: false,
        });
    }
    Notifications::deserialize(told)
        .map_err(|error| format!("its body holds no notifications of S3: {error}"))
}

/// Answers a call: works on the files that its messages announce, and names the messages that must be delivered again. `send`
/// takes messages that this function must be called with later.
///
/// What S3 announces is sent on under the name of the marketplace, and worked on when it comes back. A file of a marketplace that
/// does not exist goes round until the marketplace exists, or the file is gone. A file that no marketplace can own is left alone,
/// and its message is acknowledged. A message that cannot be understood fails, and ends in the dead letters.
///
/// The hourly tick writes results again which name customers who were erased since, and announces files again whose batches stand
/// still.
///
/// # Errors
/// The call comes neither from a queue nor from the schedule. For a tick, also the errors of the table and of the storage.
pub async fn answer<E: Into<Box<dyn Error + Send + Sync>>>(
    batches: &BatchWorker,
    bucket: &str,
    event: &Value,
    clock: &(dyn Fn() -> Instant + Sync),
    stop_at: Instant,
    send: impl AsyncFn(&[FileMessage], u32) -> Result<(), E>,
) -> Result<Value, EnvelopeError> {
    if delivery::is_tick(event) {
        let mut outcome = Ok(Value::Null);
        for marketplace in batches.store.marketplaces().await? {
            let id = &marketplace.marketplace_id;
            // A marketplace that fails does not keep the others from their turn.
            if let Err(error) = batches.write_outdated(id, clock()).await {
                tracing::error!(marketplace = %id, %error, "results that name an erased customer will be written again");
                outcome = Err(error.into());
            }
            if let Err(error) = announce_again(batches, bucket, id, clock(), &send).await {
                tracing::error!(marketplace = %id, %error, "files whose batches stand still will be announced again");
                outcome = Err(error);
            }
        }
        return outcome;
    }
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

/// Sends a message for each batch of a marketplace that stands still.
async fn announce_again<E: Into<Box<dyn Error + Send + Sync>>>(
    batches: &BatchWorker,
    bucket: &str,
    id: &MarketplaceId,
    now: Instant,
    send: &impl AsyncFn(&[FileMessage], u32) -> Result<(), E>,
) -> Result<(), EnvelopeError> {
    let market = batches.store.market(id, batches.retention);
    let times = (now.minus_ms(ANNOUNCED_MS), now.minus_ms(STILL_MS));
    let still = market.batches().standing_still(times, STILL_MAX, now);
    let still = still.await.map_err(BatchError::from)?;
    if still.is_empty() {
        return Ok(());
    }
    let files = still.len();
    tracing::warn!(marketplace = %id, files, "batches stand still, and their files are announced again");
    let message = |batch: &Batch| FileMessage {
        records: [Notification::created(bucket, &batch.file, &batch.etag)],
        own: true,
        marketplace: id.clone(),
        delay_s: 0,
    };
    let messages: Vec<FileMessage> = still.iter().map(message).collect();
    send(&messages, 0)
        .await
        .map_err(|error| EnvelopeError::Send(error.into()))
}

async fn work<E: Into<Box<dyn Error + Send + Sync>>>(
    batches: &BatchWorker,
    bucket: &str,
    message: &QueueMessage,
    clock: &(dyn Fn() -> Instant + Sync),
    stop_at: Instant,
    send: &impl AsyncFn(&[FileMessage], u32) -> Result<(), E>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut later = Vec::new();
    let mut outcome = Ok(());
    let told = notifications(message.body())?;
    let Some(hops) = message.next_hop() else {
        let id = message.message_id.as_str();
        tracing::error!(
            id,
            hops = HOPS_MAX,
            "a message was sent on too often and is left alone; the tick announces files whose batches stand still"
        );
        return Ok(());
    };
    for one in &told.records {
        let etag = one.s3.object.etag.trim_matches('"');
        let again_in = match file(bucket, one) {
            Ok(Ok(file)) => {
                match invocation(batches, &file, etag, told.own, clock, stop_at).await {
                    Ok(again_in) => again_in.map(|delay_s| (file, delay_s)),
                    // A file that fails does not keep the others from their turn.
                    Err(error) => {
                        outcome = Err(error);
                        None
                    }
                }
            }
            Ok(Err(why)) => {
                // The key may be anything, so it stays out of the log.
                tracing::warn!(id = message.message_id, why, "a file is refused");
                None
            }
            Err(error) => {
                outcome = Err(error);
                None
            }
        };
        later.extend(again_in.map(|(file, delay_s)| FileMessage {
            records: [one.clone()],
            own: true,
            marketplace: file.marketplace,
            delay_s,
        }));
    }
    send(&later, hops).await.map_err(Into::into)?;
    outcome
}

/// Works on a file for a turn, if the message is this function's `own`. Returns after how many seconds the file must be announced
/// again.
async fn invocation(
    batches: &BatchWorker,
    file: &File,
    etag: &str,
    own: bool,
    clock: &(dyn Fn() -> Instant + Sync),
    stop_at: Instant,
) -> Result<Option<i32>, Box<dyn Error + Send + Sync>> {
    let marketplace = &file.marketplace;
    if !batches.store.marketplace_exists(marketplace).await? {
        if !own {
            tracing::warn!(%marketplace, "a file waits: there is no such marketplace yet");
        } else if !batches.files.holds(&file.key, etag).await? {
            tracing::info!(%marketplace, "a file that waited for its marketplace is gone");
            return Ok(None);
        }
        return Ok(Some(UNKNOWN_DELAY_S));
    }
    if !own || clock() >= stop_at {
        return Ok(Some(0));
    }
    let worked = batches.work(file, etag, clock, stop_at).await?;
    Ok((worked == BatchEnd::Later).then_some(0))
}

/// The file that a notification announces, or why revtrail does not take it.
fn file(
    bucket: &str,
    told: &Notification,
) -> Result<Result<File, &'static str>, Box<dyn Error + Send + Sync>> {
    if told.event_source != S3 {
        return Err("it is told by something else than S3".into());
    }
    if !told.event_name.starts_with(CREATED) {
        return Ok(Err("nothing was created"));
    }
    if told.s3.bucket.name != bucket {
        return Ok(Err("it lies in another bucket"));
    }
    if told.s3.object.etag.is_empty() {
        return Err("an object was created without an eTag".into());
    }
    let key = decode(&told.s3.object.key);
    if key.ends_with('/') && told.s3.object.size == 0 {
        return Ok(Err("it stands for a folder"));
    }
    Ok(File::at(&key)
        .ok_or("its name is not inbox/<marketplace>/redemptions/<name>, or begins with a dot"))
}

/// A key as S3 tells it.
fn encode(key: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    key.bytes().map(byte).collect()
}

/// What is not UTF-8 becomes U+FFFD, which no file's name may have.
fn decode(key: &str) -> String {
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
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_s3_tells_them() {
        for (told, key) in [
            ("inbox/m/a.csv", "inbox/m/a.csv"),
            ("a+b%20c%2Bd", "a b c+d"),
            ("%C3%A9%F0%9F%A6%80", "é🦀"),
            ("50%25%zz%2", "50%%zz%2"),
            ("%é1", "%é1"),
            ("%C3", "\u{fffd}"),
            ("", ""),
        ] {
            assert_eq!(decode(told), key, "{told}");
            assert_eq!(decode(&encode(key)), key, "{key}");
        }
        assert_eq!(encode("a b+é%/x.csv"), "a%20b%2B%C3%A9%25/x.csv");
    }
}
