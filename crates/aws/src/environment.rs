//! The table in AWS: a client of the SDK over TLS, made from the environment of a function.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use revtrail_core::value::time::Retention;

use revtrail_store::Store;

/// The error for a variable that is missing or makes no sense. No value is ever guessed.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {name} {why}")]
pub struct BadEnvironment {
    name: &'static str,
    why: &'static str,
}

/// The value of a variable that must be set.
///
/// # Errors
/// [`BadEnvironment`] where the variable is not set.
pub fn needed(name: &'static str) -> Result<String, BadEnvironment> {
    std::env::var(name).map_err(|_| BadEnvironment {
        name,
        why: "is needed and is not set",
    })
}

/// The region that Lambda sets.
///
/// # Errors
/// [`BadEnvironment`] where a variable is missing.
pub fn region() -> Result<Region, BadEnvironment> {
    Ok(Region::new(needed("AWS_REGION")?))
}

/// The credentials that Lambda sets. They stay valid as long as this process lives.
///
/// # Errors
/// [`BadEnvironment`] where a variable is missing.
pub fn credentials() -> Result<Credentials, BadEnvironment> {
    let (id, secret) = (
        needed("AWS_ACCESS_KEY_ID")?,
        needed("AWS_SECRET_ACCESS_KEY")?,
    );
    let token = std::env::var("AWS_SESSION_TOKEN").ok();
    Ok(Credentials::new(id, secret, token, None, "environment"))
}

/// A client for HTTPS that uses rustls and ring.
pub fn https() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// How often a call is repeated that is refused for now. The waits are random: 25 ms on average at first, and twice as long each
/// time. All of them together take some three seconds.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(8)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_secs(2))
}

/// How long to wait for an answer before it counts as lost. Without a limit, a call over a connection that went silent would wait
/// until its function is stopped.
pub fn timeouts(answer: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .read_timeout(answer)
        .build()
}

/// The table named by `REVTRAIL_TABLE`, with the region and the credentials that Lambda sets. `AWS_ENDPOINT_URL_DYNAMODB`
/// names another endpoint.
///
/// # Errors
/// [`BadEnvironment`] where a variable is missing.
pub fn store_from_env() -> Result<Store, BadEnvironment> {
    let table = needed("REVTRAIL_TABLE")?;
    let mut config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region()?)
        .credentials_provider(credentials()?)
        .retry_config(retries())
        .timeout_config(timeouts(Duration::from_secs(8)))
        .http_client(https());
    config.set_endpoint_url(std::env::var("AWS_ENDPOINT_URL_DYNAMODB").ok());
    Ok(Store::new(Client::from_conf(config.build()), &table))
}

/// The retention in days from `REVTRAIL_RETENTION_DAYS`.
///
/// # Errors
/// [`BadEnvironment`] where the variable is missing, is no number, or is below 30.
pub fn retention_from_env() -> Result<Retention, BadEnvironment> {
    const NAME: &str = "REVTRAIL_RETENTION_DAYS";
    let days = needed(NAME)?.parse().ok().and_then(Retention::days);
    days.ok_or(BadEnvironment {
        name: NAME,
        why: "is no number of days of at least 30",
    })
}

/// The deployment's admin key from `REVTRAIL_ADMIN_KEY`.
///
/// # Errors
/// [`BadEnvironment`] where the variable is missing.
pub fn admin_key_from_env() -> Result<String, BadEnvironment> {
    needed("REVTRAIL_ADMIN_KEY")
}

/// The most bytes of a file after decompression, from the MiB in `REVTRAIL_FILE_MIB_MAX`.
///
/// # Errors
/// [`BadEnvironment`] where the variable is missing, or is no number of MiB.
pub fn file_bytes_max_from_env() -> Result<u64, BadEnvironment> {
    const NAME: &str = "REVTRAIL_FILE_MIB_MAX";
    let mib = needed(NAME)?.parse().ok().filter(|mib| *mib > 0);
    mib.and_then(|mib: u64| mib.checked_mul(1 << 20))
        .ok_or(BadEnvironment {
            name: NAME,
            why: "is no number of MiB from 1 on",
        })
}
