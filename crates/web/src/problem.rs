//! Failures as they are sent: RFC 9457 `application/problem+json`. The callers decide which failure a call gets.

pub mod kinds;

use std::borrow::Cow;
use std::fmt::Display;

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use revtrail_core::record::Problems;
use revtrail_core::value::text::shortened;
use revtrail_store::StoreError;
use revtrail_store::market::access::Role;
use serde::Serialize;

use self::kinds::Kind;

/// The most bytes of the sentence of a problem.
const DETAIL_BYTES_MAX: usize = 400;
/// How long to wait before a call with a busy answer is repeated, in seconds.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// A call that failed: its kind, a sentence, and what is wrong with which field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: &'static Kind,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    /// How many errors there are. Not all of them are listed.
    errors_total: usize,
    allow: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct FieldError {
    field: Option<String>,
    code: Cow<'static, str>,
    detail: String,
}

impl Problem {
    fn new(kind: &'static Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: match detail.into() {
                Cow::Owned(detail) => shortened(detail, DETAIL_BYTES_MAX).into(),
                fixed => fixed,
            },
            errors: Vec::new(),
            errors_total: 0,
            allow: None,
        }
    }

    /// 401: the call has no key or an unknown key. The answer is the same for all causes.
    pub fn unauthorized() -> Self {
        let detail = "this needs a key: Authorization: Bearer <key>";
        Self::new(&kinds::UNAUTHORIZED, detail)
    }

    /// 401 of a route that senders of webhooks call. The answer is the same for all causes, so it names each.
    pub fn unauthorized_sender() -> Self {
        let detail = "this needs one good key, as ?key=, as a Basic password or as Authorization: Bearer <key>; of two in one call, none counts";
        Self::new(&kinds::UNAUTHORIZED, detail)
    }

    /// 403: the marketplace belongs to others or does not exist. The answer does not say which of the two.
    pub fn forbidden() -> Self {
        let detail = "this key is not good for this marketplace";
        Self::new(&kinds::FORBIDDEN, detail)
    }

    /// 403: the key is good for the marketplace, but its role may not call the route.
    pub fn role_forbidden(role: Role) -> Self {
        let detail = format!("a key with the role {} may not do this", role.name());
        Self::new(&kinds::ROLE_FORBIDDEN, detail)
    }

    /// 403: a sender's signature is missing, or is not of this post.
    pub fn unproven(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(&kinds::BAD_SIGNATURE, detail)
    }

    /// 403: the address that a file is sent to is not one that was given for it, or its time is over.
    pub fn bad_upload() -> Self {
        let detail =
            "this address was not given for this file, or its time is over: ask for a new one";
        Self::new(&kinds::BAD_UPLOAD, detail)
    }

    /// 403: a page of another site has sent a form here.
    pub fn other_site() -> Self {
        let detail = "this form was not sent by a page of this service: open the page here, and send it again";
        Self::new(&kinds::OTHER_SITE, detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(&kinds::NOT_FOUND, detail)
    }

    /// 405: the path has no such method. `allow` lists the methods it has.
    pub fn method_not_allowed(allow: String) -> Self {
        let detail = format!("this route takes {allow}");
        Self {
            allow: Some(allow),
            ..Self::new(&kinds::METHOD_NOT_ALLOWED, detail)
        }
    }

    /// 421: the call names a host that this service does not answer to.
    pub fn misdirected(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(&kinds::MISDIRECTED, detail)
    }

    /// 412: the thing is in another state than the caller believes.
    pub fn precondition_failed() -> Self {
        let detail = "somebody was faster: read it again, and then say what is to be changed with the new ETag in If-Match";
        Self::new(&kinds::PRECONDITION_FAILED, detail)
    }

    /// 413: the body is too large.
    pub fn too_large(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(&kinds::TOO_LARGE, detail)
    }

    /// 422: the answer would be larger than a function may return. A CSV knows no limit of rows.
    pub fn answer_too_large() -> Self {
        let detail = "this answer would be larger than a function may give: ask for a shorter period, for JSON and fewer rows with limit, or \
                      for an export, which has no such bound";
        Self::new(&kinds::ANSWER_TOO_LARGE, detail)
    }

    /// 415: the body has a media type or a coding that the route does not take.
    pub fn media_type(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(&kinds::MEDIA_TYPE, detail)
    }

    /// 400: a body or a cursor cannot be read at all.
    pub fn unreadable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(&kinds::UNREADABLE, detail)
    }

    /// 422: says what is wrong with each field, all at once. Beyond the first hundred, problems are only counted.
    pub fn invalid(problems: Problems) -> Self {
        let errors_total = problems.total();
        let detail = match (&*problems, errors_total) {
            ([one], _) => one.detail.clone(),
            (listed, all) if listed.len() < all => {
                let listed = listed.len();
                format!("{all} fields are wrong, of which the first {listed} are listed")
            }
            (_, all) => format!("{all} fields are wrong"),
        };
        let errors = problems.into_iter().map(|problem| FieldError {
            code: problem.code.text().into(),
            field: problem.field,
            detail: problem.detail,
        });
        Self {
            errors: errors.collect(),
            errors_total,
            ..Self::new(&kinds::INVALID, detail)
        }
    }

    /// 409 with the code of the conflict, like `ambiguous_code`.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let error = FieldError {
            field: None,
            code: code.into(),
            detail: detail.clone(),
        };
        Self {
            errors: vec![error],
            errors_total: 1,
            ..Self::new(Kind::of_conflict(code), detail)
        }
    }

    /// 429: this marketplace has too many calls at once. The same call may be repeated after the time in `Retry-After`.
    pub fn too_many_calls() -> Self {
        let detail = "this marketplace has too many calls at once: repeat this call in a second";
        Self::new(&kinds::TOO_MANY_CALLS, detail)
    }

    /// 429: this key has made too many calls of late. The same call may be repeated after the time in `Retry-After`.
    pub fn key_calls_too_often() -> Self {
        let detail = "this key calls too often: repeat this call in a second";
        Self::new(&kinds::TOO_MANY_CALLS, detail)
    }

    /// 503: the same call may be repeated after the time in `Retry-After`.
    pub fn busy() -> Self {
        Self::busy_with("something behind this service is busy: repeat this call in a second")
    }

    /// 503: the same, with what it is that must end first.
    pub fn busy_with(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(&kinds::BUSY, detail)
    }

    /// 500: a failure inside revtrail. The cause is logged here, once, and the caller is not told it.
    pub fn internal(cause: &dyn Display) -> Self {
        tracing::error!(%cause, "a call failed");
        let detail = "something failed here; the call may be repeated";
        Self::new(&kinds::INTERNAL, detail)
    }

    /// What is wrong, in a sentence for each wrong field, or in one for all.
    pub fn sentences(&self) -> Vec<&str> {
        self.wrong().into_iter().map(|(_, says)| says).collect()
    }

    /// What is wrong with which field: the field, where there is one, and a sentence. A problem of no field is one sentence.
    pub fn wrong(&self) -> Vec<(Option<&str>, &str)> {
        match self.errors.is_empty() {
            true => vec![(None, &self.detail)],
            false => self
                .errors
                .iter()
                .map(|error| (error.field.as_deref(), error.detail.as_str()))
                .collect(),
        }
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        self.kind.status
    }
}

/// Shown where an answer that has begun breaks off.
impl Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status(), self.detail)
    }
}

impl std::error::Error for Problem {}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_busy() {
            tracing::warn!(%error, "a call was put off");
            Self::busy()
        } else {
            Self::internal(&error)
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "type": self.kind.uri(),
            "title": self.kind.title,
            "status": self.status().as_u16(),
            "detail": self.detail,
            "errors": self.errors,
            "errors_total": self.errors_total,
        });
        let mut response = (self.status(), body.to_string()).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, json);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.status() {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, RETRY_AFTER_S);
            }
            _ => {}
        }
        if let Some(Ok(allow)) = self.allow.map(HeaderValue::try_from) {
            headers.insert(ALLOW, allow);
        }
        response
    }
}
