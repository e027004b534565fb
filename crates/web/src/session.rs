//! Sessions of people: a key is typed once, and a signed cookie names it by its hash. Role and revocation come from the key at each
//! call, as ever. Module `dispatch` asks here on the routes of pages only; the API takes no cookie.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::Mac;
use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue};
use revtrail_core::value::time::{HOUR_MS, Instant};
use revtrail_store::StoreError;
use revtrail_store::market::access::key_hash;

use crate::app::App;
use crate::caller::Caller;
use crate::hosts::{is_this_machine, name_of};
use crate::problem::Problem;

/// The name of the session's cookie.
const NAME: &str = "revtrail-session";
/// What names the deployment's key where this process was given it: of that one no hash is kept.
const DEPLOYMENT: &str = "deployment";
/// How long a session lasts, by the clock of the service.
const LASTS_MS: i64 = 12 * HOUR_MS;

/// The value of a cookie that a browser sent.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let texts = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// A `Set-Cookie` that only pages get back, and no script. It goes over TLS only, but on the reader's own machine.
fn set_cookie(headers: &HeaderMap, name: &str, value: &str, max_age_s: i64) -> HeaderValue {
    let secure = if is_loopback(headers) { "" } else { "; Secure" };
    let text =
        format!("{name}={value}; Path=/app; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A `Set-Cookie` for a choice of the reader, kept for a year. `value` holds letters, digits and `-` only.
pub fn remember(headers: &HeaderMap, name: &str, value: &str) -> HeaderValue {
    set_cookie(headers, name, value, 365 * 86_400)
}

/// Where the caller reaches this service, like `https://shop.example`.
pub fn origin(headers: &HeaderMap) -> String {
    let scheme = if is_loopback(headers) {
        "http"
    } else {
        "https"
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

fn is_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.and_then(name_of).is_some_and(is_this_machine)
}

/// Checks that a call that changes something comes from a page of this service, and from no other site.
///
/// # Errors
/// 403 where the browser says that it comes from elsewhere, or says nothing.
pub(crate) fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let same = match text("sec-fetch-site") {
        Some(site) => ["same-origin", "none"].contains(&site),
        None => {
            let origin = text(ORIGIN.as_str()).and_then(|origin| origin.split_once("://"));
            origin.is_some_and(|(_, host)| Some(host) == text(HOST.as_str()))
        }
    };
    match same {
        true => Ok(()),
        false => Err(Problem::other_site()),
    }
}

impl App {
    /// Begins a session for whoever has this key: the `Set-Cookie` of it. `None` where nobody has the key.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn sign_in(
        &self,
        secret: &str,
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<Option<HeaderValue>, StoreError> {
        if self.caller(secret, true, now).await?.is_none() {
            return Ok(None);
        }
        let hash = match self.is_deployment_key(secret) {
            true => DEPLOYMENT.to_owned(),
            false => key_hash(secret),
        };
        let until = now.plus_ms(LASTS_MS).ms().to_string();
        let tag = self.sign(&["session", &hash, &until]).finalize();
        let tag = BASE64_URL_SAFE_NO_PAD.encode(tag.into_bytes());
        let value = format!("{hash}.{until}.{tag}");
        Ok(Some(set_cookie(headers, NAME, &value, LASTS_MS / 1000)))
    }

    /// The `Set-Cookie` that ends a session.
    pub fn sign_out(&self, headers: &HeaderMap) -> HeaderValue {
        set_cookie(headers, NAME, "", 0)
    }

    /// Whose session this is; `None` where it is nobody's, for whatever cause, and where the call carries a key. `fresh` asks the
    /// table about the key.
    pub(crate) async fn session(
        &self,
        headers: &HeaderMap,
        fresh: bool,
        now: Instant,
    ) -> Result<Option<Caller>, StoreError> {
        let named = cookie(headers, NAME).and_then(|value| self.opened(value, now));
        match named.filter(|_| !headers.contains_key(AUTHORIZATION)) {
            Some(DEPLOYMENT) => Ok(self.has_deployment_key().then(Caller::deployment)),
            Some(hash) => self.caller_by_hash(hash.to_owned(), fresh, now).await,
            None => Ok(None),
        }
    }

    /// The hash of the key that a cookie names, where this deployment signed it and its time is not over.
    fn opened<'c>(&self, value: &'c str, now: Instant) -> Option<&'c str> {
        let (hash, rest) = value.split_once('.')?;
        let (until, tag) = rest.split_once('.')?;
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).ok()?;
        self.sign(&["session", hash, until])
            .verify_slice(&tag)
            .ok()?;
        let until = until.parse().map(Instant::from_ms).ok()?;
        (now < until && until <= now.plus_ms(LASTS_MS)).then_some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            let name = http::HeaderName::from_static(name);
            (name, HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(header).collect()
    }

    #[test]
    fn which_calls_may_change_something() {
        for (given, may) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://shop.example"),
                    ("host", "shop.example"),
                ],
                false,
            ),
            (
                &[("origin", "https://shop.example"), ("host", "shop.example")],
                true,
            ),
            (
                &[
                    ("origin", "http://localhost:8080"),
                    ("host", "localhost:8080"),
                ],
                true,
            ),
            (
                &[("origin", "http://localhost:9"), ("host", "localhost:8080")],
                false,
            ),
            (
                &[("origin", "https://evil.example"), ("host", "shop.example")],
                false,
            ),
            (&[("origin", "null"), ("host", "shop.example")], false),
            (&[("host", "shop.example")], false),
            (&[], false),
        ] {
            assert_eq!(same_origin(&headers(given)).is_ok(), may, "{given:?}");
        }
    }

    #[test]
    fn a_cookie_goes_over_tls_but_on_this_machine() {
        for (host, secure) in [
            ("localhost:8080", false),
            ("127.0.0.1", false),
            ("[::1]:80", false),
            ("shop.example", true),
            ("localhost.evil.example", true),
        ] {
            let set = remember(&headers(&[("host", host)]), "a", "b");
            let set = set.to_str().unwrap();
            assert_eq!(set.ends_with("; Secure"), secure, "{host}");
            assert!(set.contains("HttpOnly; SameSite=Lax"), "{set}");
        }
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let sent = headers(&[("cookie", "a=1; revtrail-session=x.y; b=2")]);
        assert_eq!(cookie(&sent, NAME), Some("x.y"));
        assert_eq!(cookie(&sent, "session"), None);
        assert_eq!(cookie(&sent, "b"), Some("2"));
    }
}
