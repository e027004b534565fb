//! Entity tags: a caller may say which state of a thing they want to change, and is refused if somebody else was faster.

use http::HeaderValue;
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::call::{Call, Response};
use crate::problem::Problem;

/// The tag of a thing as it is shown: half of the SHA-256 of its JSON text.
fn tag(shown: &impl Serialize) -> String {
    tag_of(&serde_json::to_string(shown).unwrap_or_default())
}

/// The tag of a text: half of its SHA-256.
pub fn tag_of(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    format!("\"{}\"", hex::encode(&hash[..16]))
}

/// Adds to an answer the tag of what it shows.
pub fn tagged(mut response: Response, shown: &impl Serialize) -> Response {
    if let Ok(tag) = HeaderValue::try_from(tag(shown)) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

impl Call {
    /// True where the caller has what has this tag, as `If-None-Match` tells.
    pub fn has(&self, tag: &str) -> bool {
        let is = |one: &str| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag;
        let mut asked = self.headers.get_all(IF_NONE_MATCH).iter();
        asked.any(|value| {
            value
                .to_str()
                .unwrap_or_default()
                .split(',')
                .any(|one| is(one.trim()))
        })
    }

    /// Compares the current thing with `If-Match`; `current` is `None` where there is no such thing. `If-None-Match: *` lets a call
    /// make a thing and never replace one.
    ///
    /// # Errors
    /// 412 where the thing is in another state than the caller has seen.
    pub fn if_match(&self, current: Option<&impl Serialize>) -> Result<(), Problem> {
        let only_new = self.headers.get(IF_NONE_MATCH);
        if current.is_some() && only_new.is_some_and(|tags| tags.as_bytes() == b"*") {
            return Err(Problem::precondition_failed());
        }
        let mut asked = self.headers.get_all(IF_MATCH).iter().peekable();
        if asked.peek().is_none() {
            return Ok(());
        }
        let tag = current.map(tag);
        let is = |one: &str| match &tag {
            Some(tag) => one == "*" || one == tag,
            None => false,
        };
        let meets = |value: &HeaderValue| {
            let text = value.to_str().unwrap_or_default();
            text.split(',').any(|one| is(one.trim()))
        };
        match asked.any(meets) {
            true => Ok(()),
            false => Err(Problem::precondition_failed()),
        }
    }
}
