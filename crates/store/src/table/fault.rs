//! Why a call of the table failed, and whether it may be made again.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::CancellationReason;
use aws_sdk_dynamodb::types::error::TransactionCanceledException;

/// What is behind an error: the SDK's own error, or a sentence.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What the table answered, with the SDK's error behind it.
#[derive(Debug, thiserror::Error)]
#[error("{code} {message}")]
struct Answer {
    code: String,
    message: String,
    #[source]
    sdk: Cause,
}

/// Why the table did not do what it was asked to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Throttled, timed out or unreachable: the same call may be made again.
    #[error("the table is busy, {op} may be repeated: {source}")]
    Busy {
        /// The operation that failed, like `TransactWriteItems`.
        op: &'static str,
        /// The SDK's error.
        source: Cause,
    },
    /// Other calls changed the same item at the same time, too often: the same call may be made again.
    #[error("{op} met too many changes at the same time and may be repeated")]
    Contended {
        /// The operation that failed, like `TransactWriteItems`.
        op: &'static str,
    },
    /// The table refused the call, and repeating it will not help.
    #[error("the table refused {op}: {source}")]
    Refused {
        /// The operation that was refused, like `TransactWriteItems`.
        op: &'static str,
        /// The SDK's error, or why the SDK was not even asked.
        source: Cause,
    },
    /// A stored item is not in a form that this version writes.
    #[error("an item of {family} cannot be read: {source}")]
    Unreadable {
        /// The partition of the item, without the id of a customer or an order.
        family: String,
        /// What is wrong with the item.
        source: Cause,
    },
    /// A value cannot be written as JSON, so nothing is stored. Repeating the call will not help.
    #[error("a value cannot be stored: {source}")]
    Unwritable {
        /// What is wrong with the value.
        #[from]
        source: serde_json::Error,
    },
}

impl StoreError {
    /// True if the same call may be made again.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Contended { .. })
    }
}

pub(crate) fn failed<E, R>(op: &'static str, error: SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let passing = [
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "InternalServerError",
        "ServiceUnavailable",
        "TransactionConflictException",
        "TransactionInProgressException",
    ];
    let (code, message) = match &error {
        SdkError::ServiceError(context) => (
            context.err().code().map(str::to_owned),
            context.err().to_string(),
        ),
        // Its own words are “dispatch failure” and the like; what lies behind says why.
        other => (None, chain(other)),
    };
    let refused = code
        .as_ref()
        .is_some_and(|code| !passing.contains(&code.as_str()));
    let source = Cause::from(Answer {
        code: code.unwrap_or_default(),
        message,
        sdk: error.into(),
    });
    if refused {
        StoreError::Refused { op, source }
    } else {
        StoreError::Busy { op, source }
    }
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

/// Why one write of a cancelled transaction failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This write was not at fault.
    None,
    /// The write's condition failed.
    Condition,
    /// The write met another transaction or was throttled, so it is worth another try.
    Passing,
}

/// The fault of each write of a transaction; `None` if one of the faults is such that no repetition helps.
pub(crate) fn faults(cancelled: &TransactionCanceledException) -> Option<Vec<Fault>> {
    let fault = |reason: &CancellationReason| match reason.code().unwrap_or("None") {
        "None" => Some(Fault::None),
        "ConditionalCheckFailed" => Some(Fault::Condition),
        "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded" => {
            Some(Fault::Passing)
        }
        _ => None,
    };
    cancelled.cancellation_reasons().iter().map(fault).collect()
}
