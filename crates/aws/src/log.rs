//! What a function logs. The SDK of the runtime could set this up too, with filters that bring a machine for regular expressions.

use std::env;
use std::io;

use tracing_subscriber::filter::LevelFilter;

/// From now on, writes what is logged to the standard output, a line of JSON each, from the level on that `AWS_LAMBDA_LOG_LEVEL` names:
/// Lambda sets it from the settings of the function. Without it that is `INFO`.
///
/// # Panics
/// Where something was called before that takes what is logged.
pub fn begin() {
    let level = env::var("AWS_LAMBDA_LOG_LEVEL").ok();
    let level = level.and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .json()
        .with_target(false)
        .without_time()
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .with_writer(io::stdout)
        .init();
}
