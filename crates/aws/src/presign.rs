//! Addresses of a bucket that are good for one call, signed by the credentials of this function (Signature Version 4 in the query).
//! Nothing is asked of AWS for that, so the function that gives them needs no client of S3.

use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::config::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningError,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use revtrail_core::value::time::Instant;

use crate::environment::{BadEnvironment, credentials, needed};

/// What S3 leaves as it is in a path and in a query (RFC 3986); in a path the slash too.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const IN_PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// The error for an address that cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum PresignError {
    /// The bucket or the key makes no address.
    #[error("failed to sign an address of the bucket: {0}")]
    Signing(#[from] SigningError),
    /// Nothing makes the signer refuse its parameters.
    #[error("failed to sign an address of the bucket: {0}")]
    Parameters(#[from] v4::signing_params::BuildError),
}

/// Signs addresses of one bucket.
#[derive(Debug)]
pub struct Presigner {
    /// The address of the bucket, without a slash at its end.
    bucket: String,
    region: String,
    identity: Identity,
}

impl Presigner {
    /// The bucket of `REVTRAIL_BUCKET`, with the region and the credentials that Lambda sets. `AWS_ENDPOINT_URL_S3` names another
    /// endpoint, which has no host name for each bucket.
    ///
    /// # Errors
    /// [`BadEnvironment`] where a variable is missing.
    pub fn from_env() -> Result<Self, BadEnvironment> {
        let (name, region) = (needed("REVTRAIL_BUCKET")?, needed("AWS_REGION")?);
        let bucket = match std::env::var("AWS_ENDPOINT_URL_S3") {
            Ok(endpoint) => format!("{}/{name}", endpoint.trim_end_matches('/')),
            Err(_) => format!("https://{name}.s3.{region}.{}", domain(&region)),
        };
        Ok(Self::new(bucket, region, credentials()?))
    }

    /// Signs for the bucket at an address, which is without a slash at its end.
    pub fn new(bucket: String, region: String, credentials: Credentials) -> Self {
        let identity = credentials.into();
        Self {
            bucket,
            region,
            identity,
        }
    }

    /// The address that is good for one call of this method on this key, from `now` on for as long as `good_for`; and no longer
    /// than the credentials, which Lambda changes every few hours.
    ///
    /// # Errors
    /// [`PresignError::Signing`] where the bucket's address is none.
    pub fn address(
        &self,
        method: &str,
        key: &str,
        now: Instant,
        good_for: Duration,
    ) -> Result<String, PresignError> {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(good_for);
        // S3 takes a path as it is, encoded once.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let now = Duration::from_millis(u64::try_from(now.ms()).unwrap_or_default());
        let parameters = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::UNIX_EPOCH + now)
            .settings(settings)
            .build()?
            .into();
        let address = format!("{}/{}", self.bucket, utf8_percent_encode(key, IN_PATH));
        let unsigned = SignableBody::UnsignedPayload;
        let request = SignableRequest::new(method, address.as_str(), std::iter::empty(), unsigned)?;
        let (signed, _) = sign(request, &parameters)?.into_parts();
        let encoded = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
        let pair = |(name, value): &(&str, std::borrow::Cow<'_, str>)| {
            format!("{name}={}", encoded(value))
        };
        let query: Vec<String> = signed.params().iter().map(pair).collect();
        Ok(format!("{address}?{}", query.join("&")))
    }
}

/// The domain of AWS that a region belongs to.
fn domain(region: &str) -> &'static str {
    match region.starts_with("cn-") {
        true => "amazonaws.com.cn",
        false => "amazonaws.com",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presigner(token: Option<&str>) -> Presigner {
        let credentials = Credentials::new(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            token.map(str::to_owned),
            None,
            "test",
        );
        let bucket = "https://examplebucket.s3.amazonaws.com".to_owned();
        Presigner::new(bucket, "us-east-1".to_owned(), credentials)
    }

    /// The example that Amazon's page “Authenticating Requests: Using Query Parameters” works out.
    #[test]
    fn an_address_is_signed_as_amazon_s_example() {
        let now = Instant::parse("2013-05-24T00:00:00Z").unwrap();
        let day = Duration::from_secs(86_400);
        let address = presigner(None).address("GET", "test.txt", now, day);
        assert_eq!(
            address.unwrap(),
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn a_key_is_encoded_once_and_a_session_is_named() {
        let now = Instant::parse("2026-11-20T12:00:00Z").unwrap();
        let key = "inbox/m/redemptions/week 7+é 100%.csv";
        let good_for = Duration::from_secs(900);
        let address = presigner(Some("a+b/c=")).address("PUT", key, now, good_for);
        let address = address.unwrap();
        let path = "/inbox/m/redemptions/week%207%2B%C3%A9%20100%25.csv?X-Amz-Algorithm=";
        assert!(address.contains(path), "{address}");
        assert!(
            address.contains("&X-Amz-Security-Token=a%2Bb%2Fc%3D"),
            "{address}"
        );
        assert!(address.contains("&X-Amz-Expires=900&"), "{address}");
        assert_eq!(
            (domain("eu-west-1"), domain("cn-north-1")),
            ("amazonaws.com", "amazonaws.com.cn")
        );
    }
}
