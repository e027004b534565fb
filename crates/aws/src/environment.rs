//! The table in AWS: a client of the SDK over TLS, made from the environment of a function.

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use revtrail_core::value::time::Retention;

use revtrail_store::Store;

use crate::AMAZON_ROOTS;
use crate::units::Units;

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

/// How long a connection may be unused. While a function is frozen between two calls the other side closes its connections, and a
/// call over a closed one is lost.
const IDLE: Duration = Duration::from_secs(5);

/// The one client for HTTPS of this process, which uses rustls and ring. Clients with the same [`timeouts`] for a call share its
/// settings of TLS and its connections.
///
/// It believes the authorities of AWS, so nothing is read from the disk of a function that starts. With the feature `system-roots`
/// it believes those of the machine, for endpoints that are not Amazon's.
///
/// # Panics
/// Never, since an explicit set of authorities is always taken.
pub fn https() -> SharedHttpClient {
    static HTTPS: OnceLock<SharedHttpClient> = OnceLock::new();
    let make = || {
        let trusted = match cfg!(feature = "system-roots") {
            true => TrustStore::default(),
            false => TrustStore::empty().with_pem_certificate(AMAZON_ROOTS),
        };
        let context = TlsContext::builder().with_trust_store(trusted).build();
        Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.expect("a set of authorities is taken"))
            .pool_idle_timeout(IDLE)
            .build_https()
    };
    HTTPS.get_or_init(make).clone()
}

/// How often a call is repeated that is refused for now. The waits are random: 25 ms on average at first, and twice as long each
/// time. All of them together take some three seconds.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(8)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_secs(2))
}

/// How long to wait for an answer before it counts as lost, and for a call with all its repetitions, `operation`. Without a limit, a
/// call over a connection that went silent would wait until its function is stopped, and nobody would be told why.
pub fn timeouts(operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .read_timeout(Duration::from_secs(10))
        .operation_timeout(operation)
        .build()
}

/// The longest that a call of the table or of the queue takes, with its repetitions. An HTTP API waits for 30 s, and a function
/// that answers it for 29 s: so its caller is told to come back.
pub const OPERATION: Duration = Duration::from_secs(20);

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
        .timeout_config(timeouts(OPERATION))
        .interceptor(Units)
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

/// The key that cursors and sessions are signed under, from `REVTRAIL_SIGNING_KEY`. It is good for no call.
///
/// # Errors
/// [`BadEnvironment`] where the variable is missing, or is too short to be secret.
pub fn signing_key_from_env() -> Result<String, BadEnvironment> {
    const NAME: &str = "REVTRAIL_SIGNING_KEY";
    let key = needed(NAME)?;
    (key.len() >= 16).then_some(key).ok_or(BadEnvironment {
        name: NAME,
        why: "has less than 16 characters",
    })
}

/// How many calls a second a key may make in one process, from `REVTRAIL_KEY_CALLS_PER_SECOND`; `None` where it is not set.
///
/// # Errors
/// [`BadEnvironment`] where the variable is no number from 1 on.
pub fn calls_per_second_from_env() -> Result<Option<NonZeroU32>, BadEnvironment> {
    const NAME: &str = "REVTRAIL_KEY_CALLS_PER_SECOND";
    let set = std::env::var(NAME).ok().map(|calls| calls.parse());
    set.transpose().map_err(|_| BadEnvironment {
        name: NAME,
        why: "is no number of calls from 1 on",
    })
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

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use sha2::{Digest, Sha256};

    use super::*;

    /// The fingerprints that Amazon publishes of its authorities.
    #[test]
    fn the_authorities_are_those_of_amazon() {
        let blocks = AMAZON_ROOTS.split("-----BEGIN CERTIFICATE-----").skip(1);
        let fingerprint = |block: &str| {
            let text = block.split("-----END").next().unwrap();
            let text: String = text.split_whitespace().collect();
            hex::encode(Sha256::digest(BASE64_STANDARD.decode(text).unwrap()))
        };
        assert_eq!(
            blocks.map(fingerprint).collect::<Vec<_>>(),
            [
                "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
                "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
                "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
                "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
                "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
            ]
        );
    }

    #[test]
    fn a_call_ends_before_its_function_does() {
        let timeouts = timeouts(OPERATION);
        assert!(timeouts.read_timeout() < timeouts.operation_timeout());
        assert!(timeouts.operation_timeout() < Some(Duration::from_secs(29)));
    }
}
