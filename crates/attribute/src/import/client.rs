//! The calls to the service: each is repeated while the service is not there or says that it has too much to do, for a while.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use revtrail_core::attribution::order::Status;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

/// How long an answer is waited for. A function of the service ends its calls after 30 seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How long a call is repeated, waits and all.
const PATIENCE: Duration = Duration::from_secs(600);
/// The wait before a call is repeated first; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The most bytes of an answer: 1,000 rejected records, as long as they get.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody answered.
    #[error("{0}; what was answered is on record, so the same command goes on from there")]
    NoAnswer(String),
    /// The service refused the call.
    #[error("it answers {status}: {detail}")]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// Why, in the service's words.
        detail: String,
    },
}

/// A marketplace of the service.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: Http<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    bearer: HeaderValue,
}

impl Client {
    /// A client of the service at an address.
    ///
    /// # Errors
    /// A sentence, where the address or the key is none.
    pub(super) fn new(url: &str, marketplace: &str, key: &str) -> Result<Self, String> {
        let base = format!(
            "{}/v1/marketplaces/{marketplace}",
            url.trim_end_matches('/')
        );
        let uri: Uri = base
            .parse()
            .map_err(|_| format!("--url {url} is no address, like https://revtrail.example"))?;
        let mut roots = RootCertStore::empty();
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            _ => {
                return Err(format!(
                    "--url {url} begins with neither https:// nor http://"
                ));
            }
        }
        let bearer = HeaderValue::from_str(&format!("Bearer {key}"));
        let mut bearer =
            bearer.map_err(|_| "the key holds characters that no key has".to_owned())?;
        bearer.set_sensitive(true);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            http: Http::builder(TokioExecutor::new()).build(connector),
            base,
            bearer,
        })
    }

    /// The status of an order that its shop has finished, as the settings say; `None` where this key may not read them. It is the first
    /// call, so a wrong address or key shows at once.
    pub(super) async fn finished(&self) -> Result<Option<Status>, ClientError> {
        let answer = self.once(&Method::GET, "settings", "", &Bytes::new()).await;
        let (status, _, body) = answer.map_err(ClientError::NoAnswer)?;
        match status {
            StatusCode::FORBIDDEN => return Ok(None),
            StatusCode::OK => {}
            status => return Err(refused(status, &body)),
        }
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let counted = body["settings"]["counted_statuses"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let counts = |status: Status| counted.iter().any(|own| own == status.name());
        Ok(Some(
            match counts(Status::Delivered) && !counts(Status::Complete) {
                true => Status::Delivered,
                false => Status::Complete,
            },
        ))
    }

    /// One call, repeated while it may succeed later.
    ///
    /// # Errors
    /// [`ClientError::NoAnswer`] where it did not within some minutes.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        media: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let (mut waited, mut times) = (Duration::ZERO, 0);
        loop {
            let (why, after) = match self.once(&method, path, media, &body).await {
                Ok((status, after, _)) if is_for_now(status) => {
                    (format!("it answers {status}"), after)
                }
                Ok((status, _, body)) => return Ok((status, body)),
                Err(why) => (why, None),
            };
            let wait = wait(times, after);
            waited += wait;
            if waited > PATIENCE {
                return Err(ClientError::NoAnswer(why));
            }
            tokio::time::sleep(wait).await;
            times += 1;
        }
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        media: &str,
        body: &Bytes,
    ) -> Result<(StatusCode, Option<Duration>, Bytes), String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.base))
            .header(AUTHORIZATION, &self.bearer);
        if !media.is_empty() {
            request = request.header(CONTENT_TYPE, media);
        }
        let request = request
            .body(Full::new(body.clone()))
            .map_err(|error| error.to_string())?;
        let answer = async {
            let answer = self
                .http
                .request(request)
                .await
                .map_err(|error| reason(&error))?;
            let after = answer
                .headers()
                .get(RETRY_AFTER)
                .and_then(|after| after.to_str().ok()?.parse().ok());
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok((status, after.map(Duration::from_secs), body))
        };
        let late = |_| {
            format!(
                "it does not answer within {} seconds",
                ANSWER_WITHIN.as_secs()
            )
        };
        tokio::time::timeout(ANSWER_WITHIN, answer)
            .await
            .map_err(late)?
    }
}

/// The innermost reason of an error: `connection refused` says more than `client error`.
fn reason(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(inner) => reason(inner),
        None => error.to_string(),
    }
}

/// True for an answer that another try may better.
fn is_for_now(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status.is_server_error()
}

/// How long to wait before a call is repeated that failed so many times before: as long as the service says, or twice as long each time.
fn wait(times: u32, after: Option<Duration>) -> Duration {
    let own = FIRST_WAIT.saturating_mul(1 << times.min(16));
    after.unwrap_or(own).min(LONGEST_WAIT)
}

/// What the answer to a refused call says.
pub(super) fn refused(status: StatusCode, body: &[u8]) -> ClientError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = body["errors"][0]["detail"]
        .as_str()
        .or(body["detail"].as_str())
        .or(body["title"].as_str());
    let hint = match status {
        StatusCode::UNAUTHORIZED => "the key is not good",
        StatusCode::FORBIDDEN => {
            "this key may not do this: events and orders take a key of the role ingest, campaigns and vouchers one of marketer"
        }
        _ => "no reason",
    };
    ClientError::Refused {
        status,
        detail: detail.unwrap_or(hint).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_is_waited() {
        let s = Duration::from_secs;
        for (times, after, expected) in [
            (0, None, FIRST_WAIT),
            (3, None, FIRST_WAIT * 8),
            (30, None, LONGEST_WAIT),
            (0, Some(s(0)), s(0)),
            (5, Some(s(2)), s(2)),
            (0, Some(s(3_600)), LONGEST_WAIT),
        ] {
            assert_eq!(wait(times, after), expected, "{times} {after:?}");
        }
    }
}
