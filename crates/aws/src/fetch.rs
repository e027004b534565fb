//! Reads what Amazon serves to everybody over HTTPS, such as the certificates of SNS. Whoever calls has checked whose the address is; here the
//! connection is checked: only the authorities of AWS are believed, and no redirect is followed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::AMAZON_ROOTS;

/// How long an answer is waited for. SNS waits 15 seconds for ours.
const WITHIN: Duration = Duration::from_secs(5);
/// The most bytes of an answer. A certificate has some 2,000.
const BYTES_MAX: usize = 32 << 10;

/// What an address of Amazon holds.
///
/// # Errors
/// Why it cannot be read, without the address, which may hold a token. Another try may do better.
pub async fn amazon(url: String) -> Result<Bytes, String> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(AMAZON_ROOTS.as_bytes()) {
        let root = root.map_err(|error| error.to_string())?;
        roots.add(root).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http1()
        .build();
    held(connector, &url).await
}

async fn held<C>(connector: C, url: &str) -> Result<Bytes, String>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let uri: Uri = url.parse().map_err(|_| "it is no address".to_owned())?;
    let answer = async {
        let answer = client.get(uri).await;
        let answer = answer.map_err(|error| reason(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answers {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), BYTES_MAX).collect().await;
        Ok(body.map_err(|error| error.to_string())?.to_bytes())
    };
    let late = |_| format!("it does not answer within {} seconds", WITHIN.as_secs());
    tokio::time::timeout(WITHIN, answer).await.map_err(late)?
}

/// The innermost reason of an error.
fn reason(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(inner) => reason(inner),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::client::legacy::connect::HttpConnector;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// The address of a server that answers one call.
    async fn answering(answer: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x.pem", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1_024];
            drop(stream.read(&mut asked).await);
            drop(stream.write_all(answer.as_bytes()).await);
        });
        url
    }

    #[tokio::test]
    async fn what_is_taken_of_an_answer() {
        let answer = |status: &str, body: String| {
            let n = body.len();
            format!("HTTP/1.1 {status}\r\nlocation: /y.pem\r\ncontent-length: {n}\r\n\r\n{body}")
        };
        let most = "x".repeat(BYTES_MAX);
        for (answer, expected) in [
            (answer("200 OK", most.clone()), Ok(most.clone())),
            (
                answer("200 OK", format!("{most}x")),
                Err("length limit exceeded"),
            ),
            (answer("302 Found", "x".to_owned()), Err("302")),
            (answer("403 Forbidden", "x".to_owned()), Err("403")),
            ("garbage\r\n\r\n".to_owned(), Err("")),
        ] {
            let url = answering(answer).await;
            let found = held(HttpConnector::new(), &url).await;
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(why), Err(word)) => assert!(why.contains(word), "{why}"),
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        }
    }

    #[tokio::test]
    async fn nothing_is_read_but_over_tls() {
        let url = answering("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx".to_owned()).await;
        for url in [
            url.replace("http://", "https://"),
            url,
            "nowhere".to_owned(),
        ] {
            assert!(amazon(url.clone()).await.is_err(), "{url}");
        }
    }
}
