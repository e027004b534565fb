//! What the SDK may send again by itself.

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

use crate::table::fault::{Fault, faults};

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
