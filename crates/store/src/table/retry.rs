//! What the SDK may send again by itself.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::OrchestratorError;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority,
};

use crate::random::random_below;
use crate::table::fault::{Fault, faults};

/// How often in a row keys may be asked for in vain.
const IN_VAIN_MAX: u32 = 8;

/// How long to wait before keys are asked for again of which none was looked up, so many times in a row: at random, up to 50 ms at
/// first, and up to twice as long each time. `None` where it has been tried often enough, after 13 s at most.
pub(crate) fn pause(in_vain: u32) -> Option<Duration> {
    let longest_ms = 25_u64 << in_vain.min(IN_VAIN_MAX);
    (in_vain <= IN_VAIN_MAX).then(|| Duration::from_millis(random_below(longest_ms)))
}

/// The same client, which also repeats two kinds of refusals: a call that met a transaction on its way, and a transaction for
/// some of whose items the table had no capacity. In both cases all of it was refused, and only for now, but the SDK does not
/// repeat them.
pub(crate) fn what_was_refused(client: &Client) -> Client {
    let config = client.config().to_builder();
    Client::from_conf(config.retry_classifier(RefusedForNow).build())
}

/// The same client for plain writes: it repeats a write only if the write was refused for now.
///
/// A write whose answer was lost may be done. If it were sent again, its condition would meet the write itself, and this call
/// would report what it stored as a duplicate of another's; an addition would be made twice. So such a write ends as unknown: the
/// call fails, and whoever repeats it finds the intake marker that it left. Transactions carry a token, and reads change nothing,
/// so both may be repeated.
pub(crate) fn only_refused(client: &Client) -> Client {
    let config = client.config().to_builder();
    Client::from_conf(config.retry_classifier(OnlyRefused).build())
}

#[derive(Debug)]
struct RefusedForNow;

impl ClassifyRetry for RefusedForNow {
    fn classify_retry(&self, ctx: &InterceptorContext) -> RetryAction {
        let error = ctx.output_or_error().and_then(Result::err);
        let error = error.and_then(OrchestratorError::as_operation_error);
        let refused = error.is_some_and(|error| {
            use {DeleteItemError as D, PutItemError as P, UpdateItemError as U};
            let put = matches!(
                error.downcast_ref(),
                Some(P::TransactionConflictException(_))
            );
            let update = matches!(
                error.downcast_ref(),
                Some(U::TransactionConflictException(_))
            );
            let delete = matches!(
                error.downcast_ref(),
                Some(D::TransactionConflictException(_))
            );
            let cancelled = match error.downcast_ref() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    faults(cancelled).is_some_and(|faults| !faults.contains(&Fault::Condition))
                }
                _ => false,
            };
            put || update || delete || cancelled
        });
        if refused {
            RetryAction::throttling_error()
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "what met a transaction"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

#[derive(Debug)]
struct OnlyRefused;

impl ClassifyRetry for OnlyRefused {
    fn classify_retry(&self, _: &InterceptorContext) -> RetryAction {
        RetryAction::RetryForbidden
    }

    fn classify_retry_v2(&self, ctx: &InterceptorContext, others: &RetryAction) -> RetryAction {
        if *others == RetryAction::throttling_error() {
            return RetryAction::NoActionIndicated;
        }
        self.classify_retry(ctx)
    }

    fn name(&self) -> &'static str {
        "only what was refused"
    }

    /// This classifier runs after all others, because it looks at their verdict.
    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RefusedForNow.priority())
    }
}

#[cfg(test)]
#[cfg(feature = "embedded")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use serde_json::{Value, json};

    use super::*;
    use crate::Store;
    use crate::table::embedded::{self, Embedded};
    use crate::table::item::NewItem;
    use crate::table::keys::Key;

    /// A database that is too busy to look any key up, as often as it is told.
    #[derive(Debug, Clone)]
    struct Busy {
        database: Embedded,
        left: Arc<AtomicUsize>,
        calls: Arc<AtomicUsize>,
    }

    impl HttpConnector for Busy {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let operation = request.headers().get("x-amz-target").unwrap_or_default();
            if !operation.ends_with(".BatchGetItem") {
                return self.database.call(request);
            }
            self.calls.fetch_add(1, Ordering::SeqCst);
            let one_less = |left: usize| left.checked_sub(1);
            let (a, b) = (Ordering::SeqCst, Ordering::SeqCst);
            if self.left.fetch_update(a, b, one_less).is_err() {
                return self.database.call(request);
            }
            let asked: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
            let answer = json!({ "Responses": {}, "UnprocessedKeys": asked["RequestItems"] });
            let answer = SdkBody::from(answer.to_string());
            HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), answer)))
        }
    }

    #[tokio::test]
    async fn keys_that_were_left_over_are_asked_for_again_after_a_pause() {
        let busy = Busy {
            database: Embedded::memory().unwrap(),
            left: Arc::new(AtomicUsize::new(2)),
            calls: Arc::default(),
        };
        let store = Store::new(embedded::client(busy.clone()), "revtrail");
        store.create_table().await.unwrap();
        let key = |n: usize| Key {
            pk: "p".to_owned(),
            sk: format!("{n:03}"),
        };
        for n in 0..3 {
            let item = NewItem::at(&key(n));
            store.put(item, None).await.unwrap();
        }
        let keys: Vec<Key> = (0..150).map(key).collect();
        let found = store.get_all(&keys, true).await.unwrap();
        assert_eq!((found.len(), busy.calls.load(Ordering::SeqCst)), (3, 4));
    }

    #[test]
    fn pauses_grow_and_end() {
        for in_vain in 1..=IN_VAIN_MAX {
            let longest = Duration::from_millis(25 << in_vain);
            assert!(pause(in_vain).unwrap() < longest, "{in_vain}");
        }
        assert_eq!(pause(IN_VAIN_MAX + 1), None);
    }
}
