//! What the SDK may send again by itself.

use aws_sdk_dynamodb::Client;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority,
};

/// The same client for plain writes: it sends one again only where it was refused for now.
///
/// A write whose answer was lost may be done. Sent again, a condition would meet the write itself, so that what this call
/// stored would be told as a duplicate of another's; and what is added would be added twice. So it ends as it is, unknown: the
/// call fails, and whoever repeats it finds the note that it left. Transactions carry a token, and reads do nothing.
pub(crate) fn only_refused(client: &Client) -> Client {
    let config = client.config().to_builder();
    Client::from_conf(config.retry_classifier(OnlyRefused).build())
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

    /// After all others, whose verdict it looks at.
    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}
