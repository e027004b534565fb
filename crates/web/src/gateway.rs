//! Calls as an HTTP API of API Gateway hands them to a function (payload 2.0), and answers as it takes them. A function URL does
//! the same. Whatever a client sends, nothing here panics: a call that is none of HTTP is refused before anybody asks for its key.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body_util::BodyExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize};

use crate::answer::{self, LAMBDA_BYTES_MAX};
use crate::encoding::path_as_sent;
use crate::problem::Problem;

/// What a query may hold as it is (RFC 3986), and `%`, since it was encoded by the client.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'%')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/')
    .remove(b'?');
/// A path may hold the same but the sign that ends it.
const IN_PATH: &AsciiSet = &IN_QUERY.add(b'?');

/// The error for an event that no HTTP API sends. The function fails with it, and the gateway answers 500.
#[derive(Debug, thiserror::Error)]
#[error("this is no call of an HTTP API (payload 2.0): {0}")]
pub struct NoCall(#[from] serde_json::Error);

/// A call, as far as revtrail looks at it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(default, deserialize_with = "null_is_absent")]
    raw_path: String,
    #[serde(default, deserialize_with = "null_is_absent")]
    raw_query_string: String,
    /// Headers that were sent several times are joined by commas.
    #[serde(default, deserialize_with = "null_is_absent")]
    headers: BTreeMap<String, String>,
    cookies: Option<Vec<String>>,
    request_context: Context,
    body: Option<String>,
    #[serde(default, deserialize_with = "null_is_absent")]
    is_base64_encoded: bool,
}

/// Not everything that makes such events leaves out what is absent.
fn null_is_absent<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    http: Http,
    route_key: Option<String>,
    stage: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Http {
    method: String,
}

/// An answer, as the gateway takes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    status_code: u16,
    headers: BTreeMap<String, String>,
    /// Always empty. AWS does not read it, but readers on a developer's machine ask for it.
    multi_value_headers: BTreeMap<String, Vec<String>>,
    cookies: Vec<String>,
    body: String,
    is_base64_encoded: bool,
}

/// The call in an event, or the answer where a client sent something that is no call of HTTP.
///
/// # Errors
/// [`NoCall`] for an event that no HTTP API sends.
pub fn request(event: &str) -> Result<Result<Request, Response>, NoCall> {
    let event: Event = serde_json::from_str(event)?;
    Ok(event.request().map_err(IntoResponse::into_response))
}

impl Event {
    fn request(self) -> Result<Request, Problem> {
        let malformed = |what: &str| Problem::unreadable(format!("{what} cannot be read"));
        let (route_key, stage) = (&self.request_context.route_key, self.request_context.stage);
        let path = path_as_sent(&self.raw_path, route_key.as_deref(), stage.as_deref());
        let path = utf8_percent_encode(path.trim_start_matches('/'), IN_PATH);
        let query = utf8_percent_encode(&self.raw_query_string, IN_QUERY).to_string();
        let address = match query.is_empty() {
            true => format!("/{path}"),
            false => format!("/{path}?{query}"),
        };
        let address = Uri::try_from(address).map_err(|_| malformed("the address"))?;
        let method = self.request_context.http.method;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| malformed("the method"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            // One that is left out would change what is asked for.
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_bytes(value.as_bytes());
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(malformed("a header"));
            };
            headers.append(name, value);
        }
        if let Some(cookies) = self.cookies {
            let cookies = HeaderValue::try_from(cookies.join("; "));
            headers.insert(COOKIE, cookies.map_err(|_| malformed("a cookie"))?);
        }
        let body = self.body.unwrap_or_default();
        let body = match self.is_base64_encoded {
            true => BASE64_STANDARD
                .decode(body)
                .map_err(|_| malformed("the body"))?,
            false => body.into_bytes(),
        };
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = address;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// An answer in the gateway's form, or a problem in its place where it is too large.
pub async fn answer(response: Response) -> Answer {
    let (head, body) = answer::within(LAMBDA_BYTES_MAX, response)
        .await
        .into_parts();
    // All of it was read before.
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let (mut headers, mut cookies) = (BTreeMap::<String, String>::new(), Vec::new());
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if name == SET_COOKIE {
            cookies.push(value);
            continue;
        }
        let joined = headers.entry(name.to_string()).or_default();
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(&value);
    }
    let (body, is_base64_encoded) = match std::str::from_utf8(&body) {
        Ok(text) if is_shorter_as_text(text) => (text.to_owned(), false),
        _ => (BASE64_STANDARD.encode(&body), true),
    };
    Answer {
        status_code: head.status.as_u16(),
        headers,
        multi_value_headers: BTreeMap::new(),
        cookies,
        body,
        is_base64_encoded,
    }
}

/// True where a text takes fewer bytes as a JSON text than in base64, which is a third longer. So an answer of
/// [`LAMBDA_BYTES_MAX`] fits, whatever it holds.
fn is_shorter_as_text(text: &str) -> bool {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    });
    escaped.sum::<usize>() <= text.len() + text.len() / 3
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::{Value, json};

    use super::*;

    fn event(more: &Value) -> String {
        let mut event = json!({
            "version": "2.0", "routeKey": "GET /o/{id}", "rawPath": "/o/a", "rawQueryString": "",
            "headers": { "host": "api.example.com" }, "isBase64Encoded": false,
            "requestContext": { "http": { "method": "GET" }, "routeKey": "GET /o/{id}", "stage": "$default" },
        });
        for (field, value) in more.as_object().unwrap() {
            event[field] = value.clone();
        }
        event.to_string()
    }

    fn asked(more: &Value) -> Result<String, u16> {
        match request(&event(more)).unwrap() {
            Ok(request) => Ok(request.uri().to_string()),
            Err(answer) => Err(answer.status().as_u16()),
        }
    }

    #[test]
    fn an_address_is_what_the_client_sent_or_means_the_same() {
        for (path, query, expected) in [
            ("/o/a", "", "/o/a"),
            ("/o/a#b", "x=1&x=2", "/o/a%23b?x=1&x=2"),
            // What other readers panic over.
            ("/o/a", "x=\"<a b>\"", "/o/a?x=%22%3Ca%20b%3E%22"),
            ("/o/a", "x=%22%2B+", "/o/a?x=%22%2B+"),
            (
                "/o/a",
                "x=é\u{0}\n{}|^`\\",
                "/o/a?x=%C3%A9%00%0A%7B%7D%7C%5E%60%5C",
            ),
            ("/o/a", "?x=/?", "/o/a??x=/?"),
            ("/o/ \"\\", "", "/o/%20%22%5C"),
            ("", "", "/"),
            ("//o//a", "", "/o//a"),
            ("o/a", "", "/o/a"),
        ] {
            let more = json!({ "rawPath": path, "rawQueryString": query });
            assert_eq!(asked(&more).as_deref(), Ok(expected), "{path} {query}");
        }
        let nulls = json!({ "rawPath": "/o/a", "rawQueryString": null, "headers": null, "isBase64Encoded": null });
        assert_eq!(asked(&nulls).as_deref(), Ok("/o/a"));
        let long = "x".repeat(70_000);
        for more in [
            json!({ "rawPath": long }),
            json!({ "headers": { "a b": "1" } }),
            json!({ "headers": { "a": "1\n2" } }),
            json!({ "headers": { "": "1" } }),
            json!({ "cookies": ["a=\u{0}"] }),
            json!({ "body": "?", "isBase64Encoded": true }),
            json!({ "requestContext": { "http": { "method": "G E T" } } }),
            json!({ "requestContext": { "http": { "method": "" } } }),
        ] {
            assert_eq!(asked(&more), Err(400), "{more:.80}");
        }
    }

    #[tokio::test]
    async fn headers_cookies_and_bodies_come_through() {
        let context = json!({ "http": { "method": "POST" } });
        for (body, is_base64_encoded, bytes) in [
            (json!("é"), false, "é".as_bytes()),
            (json!("H4sI/w=="), true, b"\x1f\x8b\x08\xff"),
            (json!(""), true, b""),
            (Value::Null, false, b""),
        ] {
            let more = json!({
                "body": body, "isBase64Encoded": is_base64_encoded, "requestContext": context,
                "headers": { "X-A": "1,2", "authorization": "Bearer ключ" }, "cookies": ["a=1", "b=2"],
            });
            let (head, body) = request(&event(&more)).unwrap().unwrap().into_parts();
            assert_eq!(head.method, Method::POST);
            let of = |name: &str| String::from_utf8_lossy(head.headers[name].as_bytes());
            let told = ["x-a", "authorization", "cookie"].map(of);
            assert_eq!(told, ["1,2", "Bearer ключ", "a=1; b=2"]);
            assert_eq!(body.collect().await.unwrap().to_bytes(), bytes);
        }
    }

    #[test]
    fn what_no_http_api_sends_is_named() {
        for (event, part) in [
            ("", "EOF"),
            ("null", "invalid type: null"),
            ("[]", "invalid length"),
            ("{}", "missing field `requestContext`"),
            (r#"{"requestContext":{}}"#, "missing field `http`"),
            (
                r#"{"Records":[{"eventSource":"aws:sqs"}]}"#,
                "missing field `requestContext`",
            ),
            (
                r#"{"version":"1.0","httpMethod":"GET","path":"/","requestContext":{}}"#,
                "missing field `http`",
            ),
            (
                r#"{"requestContext":{"http":{"method":7}}}"#,
                "expected a string",
            ),
        ] {
            let told = request(event).unwrap_err().to_string();
            assert!(told.contains(part), "{event}: {told}");
            assert!(told.starts_with("this is no call of an HTTP API"), "{told}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_text_or_base64_and_its_cookies_stand_apart() {
        let response = Response::builder()
            .status(StatusCode::CREATED)
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("vary", "accept")
            .header("vary", "cookie")
            .body(Body::from("an answer of é\"\n"))
            .unwrap();
        assert_eq!(
            serde_json::to_value(answer(response).await).unwrap(),
            json!({ "statusCode": 201, "headers": { "vary": "accept, cookie" }, "multiValueHeaders": {}, "cookies": ["a=1", "b=2"],
                "body": "an answer of é\"\n", "isBase64Encoded": false })
        );
        for (body, encoded) in [
            (vec![0xff, 0], true),
            (b"\"".repeat(9), true),
            (vec![1; 9], true),
            (b"\"aaa".repeat(9), false),
            (Vec::new(), false),
        ] {
            let told = answer(Response::new(Body::from(body.clone()))).await;
            let sent = match told.is_base64_encoded {
                true => BASE64_STANDARD.decode(&told.body).unwrap(),
                false => told.body.clone().into_bytes(),
            };
            assert_eq!((told.is_base64_encoded, &sent), (encoded, &body));
        }
        // The largest answer there is, in the way that is longest.
        for byte in [b'a', b'"', 1, 0xff] {
            let largest = Body::from(vec![byte; LAMBDA_BYTES_MAX]);
            let told = serde_json::to_string(&answer(Response::new(largest)).await).unwrap();
            assert!(told.len() < 6_000_200, "{byte}: {}", told.len());
        }
        let too_large = Body::from(vec![b'a'; LAMBDA_BYTES_MAX + 1]);
        assert_eq!(answer(Response::new(too_large)).await.status_code, 422);
    }
}
