//! The queues in AWS that point at work. They carry no truth: the work is in the table, and the files are in their bucket.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::BehaviorVersion;
use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, SendMessageBatchRequestEntry};
use revtrail_core::value::id::MarketplaceId;
use serde::Serialize;
use serde_json::Value;

use crate::delivery::{Again, again};
use crate::environment::{BadEnvironment, OPERATION, credentials, https, needed, region, timeouts};
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::random_below;

/// The most messages of one call, a limit of SQS.
const BATCH_MAX: usize = 10;
/// How often a message is sent that the queue failed to accept through no fault of the sender. A call that fails as a whole is
/// repeated by the SDK.
const TRIES_MAX: usize = 3;

/// How a message is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// The marketplace of the message. The queue is a fair one: no marketplace delays the messages of another.
    pub marketplace: MarketplaceId,
    /// The delay until the message is delivered, in seconds; at most 900.
    pub delay_s: i32,
    /// How often the message was sent on, see [`crate::delivery::HOPS_MAX`].
    pub hops: u32,
}

/// The text of a message: its fields, and how often it was sent on.
#[derive(Serialize)]
struct Body<'m, M> {
    #[serde(flatten)]
    message: &'m M,
    #[serde(skip_serializing_if = "is_first")]
    hops: u32,
}

fn is_first(hops: &u32) -> bool {
    *hops == 0
}

/// The error for messages that were not sent. The work they point at stays in the table, so that other messages can point at it.
#[derive(Debug, thiserror::Error)]
#[error("failed to send {unsent} of {all} messages: {why}")]
pub struct Unsent {
    /// The number of messages that were not sent.
    pub unsent: usize,
    /// The number of all messages.
    pub all: usize,
    /// What the queue answered for the last message that was not sent.
    pub why: String,
}

/// The sending end of the queue. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// Makes the sending end of the queue with this URL, which the client calls.
    pub fn new(client: Client, url: &str) -> Self {
        let url = url.to_owned();
        Self { client, url }
    }

    /// The queue of `REVTRAIL_QUEUE_URL`, with the region and the credentials that Lambda sets. `AWS_ENDPOINT_URL_SQS` names
    /// another endpoint.
    ///
    /// # Errors
    /// [`BadEnvironment`] where a variable is missing.
    pub fn from_env() -> Result<Self, BadEnvironment> {
        let url = needed("REVTRAIL_QUEUE_URL")?;
        let mut config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region()?)
            .credentials_provider(credentials()?)
            .timeout_config(timeouts(OPERATION))
            .http_client(https());
        config.set_endpoint_url(std::env::var("AWS_ENDPOINT_URL_SQS").ok());
        Ok(Self::new(Client::from_conf(config.build()), &url))
    }

    /// Sends messages as JSON texts, ten in a call. After a call that fails, the remaining calls are still made.
    ///
    /// # Errors
    /// [`Unsent`] for the messages that the queue did not accept, after all were tried.
    pub async fn send<M: Serialize>(
        &self,
        messages: &[M],
        how: impl Fn(&M) -> Sending,
    ) -> Result<(), Unsent> {
        let (mut unsent, mut why) = (0, String::new());
        for ten in messages.chunks(BATCH_MAX) {
            if let Err((left, told)) = self.send_ten(ten, &how).await {
                unsent += left;
                why = told;
            }
        }
        let all = messages.len();
        match unsent {
            0 => Ok(()),
            unsent => Err(Unsent { unsent, all, why }),
        }
    }

    /// Sends job messages, which are delivered without a delay, after so many hops.
    ///
    /// # Errors
    /// The same as [`Queue::send`].
    pub async fn send_messages(&self, messages: &[JobMessage], hops: u32) -> Result<(), Unsent> {
        let how = |message: &JobMessage| Sending {
            marketplace: message.marketplace().clone(),
            delay_s: 0,
            hops,
        };
        self.send(messages, how).await
    }

    /// Sends up to ten messages. Returns how many the queue did not accept, and why. The queue answers 200 and names the messages
    /// it accepted, so a message that is named nowhere was not accepted either.
    /// Lets the messages of a call be delivered again soon that its answer names as failed. Where that fails, they are delivered again
    /// when the queue believes that this call is over, so nothing is lost.
    pub async fn deliver_again(&self, event: &Value, answer: &Value) {
        let failed = again(event, answer, random_below);
        for ten in failed.chunks(BATCH_MAX) {
            let entry = |(place, one): (usize, &Again)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder();
                let entry = entry.receipt_handle(&one.receipt_handle);
                entry
                    .id(place.to_string())
                    .visibility_timeout(one.after_s)
                    .build()
            };
            let entries: Result<Vec<_>, _> = ten.iter().enumerate().map(entry).collect();
            let call = self.client.change_message_visibility_batch();
            let call = call.queue_url(&self.url).set_entries(entries.ok());
            let told = match call.send().await {
                Ok(told) if told.failed().is_empty() => continue,
                Ok(told) => format!("{:?}", told.failed()),
                Err(error) => DisplayErrorContext(&error).to_string(),
            };
            tracing::warn!(
                why = told,
                "messages that failed come again later than they could"
            );
        }
    }

    async fn send_ten<M: Serialize>(
        &self,
        messages: &[M],
        how: impl Fn(&M) -> Sending,
    ) -> Result<(), (usize, String)> {
        let mut left: Vec<(String, Sending, String)> = Vec::new();
        for (place, message) in messages.iter().enumerate() {
            let how = how(message);
            let hops = how.hops;
            let body = serde_json::to_string(&Body { message, hops });
            let body = body.map_err(|error| (messages.len(), error.to_string()))?;
            left.push((place.to_string(), how, body));
        }
        let mut why = String::new();
        for _ in 0..TRIES_MAX {
            let entries = left.iter().map(|(id, how, body)| {
                let entry = SendMessageBatchRequestEntry::builder();
                let entry = entry.message_group_id(how.marketplace.to_string());
                // Without a value, the delay that is set for the queue itself applies.
                let entry = entry.set_delay_seconds((how.delay_s > 0).then_some(how.delay_s));
                entry.id(id).message_body(body).build()
            });
            let entries: Result<Vec<_>, _> = entries.collect();
            let entries = entries.map_err(|error| (left.len(), error.to_string()))?;
            let call = self.client.send_message_batch().queue_url(&self.url);
            let told = call
                .set_entries(Some(entries))
                .send()
                .await
                .map_err(|error| {
                    let code = error.code().unwrap_or_default();
                    (
                        left.len(),
                        format!("{code} {}", DisplayErrorContext(&error)),
                    )
                })?;
            left.retain(|(id, ..)| told.successful().iter().all(|sent| sent.id() != id));
            if left.is_empty() {
                return Ok(());
            }
            let blamed =
                |failed: &&aws_sdk_sqs::types::BatchResultErrorEntry| failed.sender_fault();
            let fault = told.failed().iter().find(blamed).or(told.failed().first());
            why = fault.map_or("not named in the answer".to_owned(), |failed| {
                format!("{} {}", failed.code(), failed.message().unwrap_or_default())
            });
            // The sender is at fault, so sending the same message again does not help.
            if told.failed().iter().any(|failed| failed.sender_fault()) {
                break;
            }
        }
        Err((left.len(), why))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use serde_json::json;

    use super::*;

    /// What becomes of the messages of a call, one character for each: `+` accepted, `x` not accepted, `!` not accepted through
    /// the sender's fault, `?` not named in the answer. A call without a plan accepts all; `5` and `4` answer with that class of
    /// status.
    #[derive(Debug, Clone, Default)]
    struct Faulty {
        plan: Arc<Mutex<VecDeque<&'static str>>>,
        seen: Arc<Mutex<Vec<usize>>>,
        delays: Arc<Mutex<Vec<Value>>>,
        /// What is to be hidden for how long.
        hidden: Arc<Mutex<Vec<Value>>>,
    }

    impl HttpConnector for Faulty {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let asked: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
            let operation = request.headers().get("x-amz-target").unwrap();
            if operation == "AmazonSQS.ChangeMessageVisibilityBatch" {
                self.hidden.lock().unwrap().push(asked["Entries"].clone());
                let answer = json!({ "Successful": [], "Failed": [] }).to_string();
                let answer = HttpResponse::new(200.try_into().unwrap(), SdkBody::from(answer));
                return HttpConnectorFuture::ready(Ok(answer));
            }
            let entries = asked["Entries"].as_array().unwrap();
            assert!(entries.iter().all(|entry| entry["MessageGroupId"] == "m"));
            self.seen.lock().unwrap().push(entries.len());
            let delays = entries.iter().map(|entry| entry["DelaySeconds"].clone());
            self.delays.lock().unwrap().extend(delays);
            let plan = self
                .plan
                .lock()
                .unwrap()
                .pop_front()
                .unwrap_or("++++++++++");
            let (mut taken, mut failed) = (Vec::new(), Vec::new());
            for (entry, outcome) in entries.iter().zip(plan.chars()) {
                let id = &entry["Id"];
                match outcome {
                    '+' => {
                        taken.push(json!({ "Id": id, "MessageId": "m", "MD5OfMessageBody": "" }))
                    }
                    '?' => {}
                    _ => failed.push(
                        json!({ "Id": id, "Code": "Because", "SenderFault": outcome == '!' }),
                    ),
                }
            }
            let (status, answer) = match plan {
                "5" => (500, json!({ "__type": "InternalError" })),
                "4" => (400, json!({ "__type": "QueueDoesNotExist" })),
                _ => (200, json!({ "Successful": taken, "Failed": failed })),
            };
            let answer = HttpResponse::new(
                status.try_into().unwrap(),
                SdkBody::from(answer.to_string()),
            );
            HttpConnectorFuture::ready(Ok(answer))
        }
    }

    fn queue_over(faulty: &Faulty) -> Queue {
        let connector = SharedHttpConnector::new(faulty.clone());
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(aws_sdk_sqs::config::Region::from_static("local"))
            .endpoint_url("http://queue.invalid")
            .allow_no_auth()
            .retry_config(
                aws_sdk_sqs::config::retry::RetryConfig::standard()
                    .with_initial_backoff(std::time::Duration::from_millis(1)),
            )
            .http_client(http_client_fn(move |_, _| connector.clone()));
        Queue::new(
            Client::from_conf(config.build()),
            "http://queue.invalid/0/work",
        )
    }

    #[tokio::test]
    async fn a_message_waits_as_long_as_it_is_to() {
        let faulty = Faulty::default();
        let how = |message: &Value| Sending {
            marketplace: MarketplaceId::new("m").unwrap(),
            delay_s: message["in"].as_i64().unwrap() as i32,
            hops: 0,
        };
        let messages = [json!({ "in": 900 }), json!({ "in": 0 })];
        queue_over(&faulty).send(&messages, how).await.unwrap();
        let delays = faulty.delays.lock().unwrap().clone();
        assert_eq!(delays, [json!(900), Value::Null]);
    }

    #[tokio::test]
    async fn what_failed_is_hidden_for_minutes() {
        let faulty = Faulty::default();
        let id = |n: usize| format!("m{n}");
        let record = |n: usize| json!({ "messageId": id(n), "receiptHandle": format!("h{n}"), "eventSource": "aws:sqs" });
        let event = json!({ "Records": (0..12).map(record).collect::<Value>() });
        let failed: Vec<String> = (1..12).map(id).collect();
        let failed: Vec<&str> = failed.iter().map(String::as_str).collect();
        let answer = crate::delivery::answer(&failed);
        queue_over(&faulty).deliver_again(&event, &answer).await;
        let none = crate::delivery::answer(&[]);
        queue_over(&faulty).deliver_again(&event, &none).await;
        let hidden = faulty.hidden.lock().unwrap().clone();
        let sizes: Vec<usize> = hidden
            .iter()
            .map(|ten| ten.as_array().unwrap().len())
            .collect();
        assert_eq!(sizes, [10, 1]);
        assert_eq!(hidden[1][0]["ReceiptHandle"], "h11");
        for entry in hidden.iter().flat_map(|ten| ten.as_array().unwrap()) {
            let after_s = entry["VisibilityTimeout"].as_u64().unwrap();
            assert!((30..=300).contains(&after_s), "{entry}");
        }
    }

    #[tokio::test]
    async fn what_is_not_taken_is_sent_again_and_then_told() {
        for (messages, plan, calls, unsent) in [
            (0, &[][..], &[][..], 0),
            (10, &[], &[10], 0),
            (23, &[], &[10, 10, 3], 0),
            (3, &["+x+"], &[3, 1], 0),
            (3, &["???", "x++"], &[3, 3, 1], 0),
            (3, &["xx+", "x+", "x"], &[3, 2, 1], 1),
            (3, &["?+?", "??", "??"], &[3, 2, 2], 2),
            (3, &["+!x"], &[3], 2),
            (12, &["4"], &[10, 2], 10),
            (12, &["++++++++++", "4"], &[10, 2], 2),
            (12, &["5"], &[10, 10, 2], 0),
        ] {
            let faulty = Faulty {
                plan: Arc::new(Mutex::new(plan.iter().copied().collect())),
                ..Faulty::default()
            };
            let queue = queue_over(&faulty);
            let marketplace = MarketplaceId::new("m").unwrap();
            let message = |n: usize| JobMessage::Work {
                marketplace: marketplace.clone(),
                job_id: n.to_string(),
            };
            let all: Vec<JobMessage> = (0..messages).map(message).collect();
            let told = queue
                .send_messages(&all, 1)
                .await
                .map_err(|error| (error.unsent, error.all));
            let expected = if unsent == 0 {
                Ok(())
            } else {
                Err((unsent, messages))
            };
            assert_eq!(
                (told, &faulty.seen.lock().unwrap()[..]),
                (expected, calls),
                "{messages} {plan:?}"
            );
        }
    }
}
