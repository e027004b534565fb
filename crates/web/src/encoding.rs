//! How paths encode text: ids in segments, and the path as a client sent it.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The characters that a segment of a path cannot hold as they are.
const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Percent-encodes a text as one segment of a path.
pub fn path_segment(text: &str) -> String {
    utf8_percent_encode(text, IN_SEGMENT).to_string()
}

/// The text of a segment of a path: it is percent-encoded, or is `~` followed by base64url without padding. `None` where the text
/// is not UTF-8, or where what follows `~` is not base64url.
///
/// An HTTP API of API Gateway decodes paths before it routes them. So an id with `/` reaches a function only in the second way.
/// So does an id that begins with `~`, because the `%7E` that distinguishes it from an encoded one arrives as `~`.
pub(crate) fn segment_text(segment: &str) -> Option<String> {
    match segment.strip_prefix('~') {
        Some(encoded) => String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?).ok(),
        None => Some(percent_decode_str(segment).decode_utf8().ok()?.into_owned()),
    }
}

/// The path as the client sent it, from the path in an event of Lambda. An HTTP API with explicit routes has decoded the path
/// once, and puts the name of a stage before it. A function URL, or anything else without routes, passes the path on unchanged.
///
/// So no id is decoded twice: `%2541` is read as `%41`. What an HTTP API has lost cannot be restored: it does not distinguish
/// `%2F` from `/` any more, and it routes no id that contains `/` or `?`.
pub fn path_as_sent(told: &str, route_key: Option<&str>, stage: Option<&str>) -> String {
    let path = match stage.filter(|stage| *stage != "$default") {
        Some(stage) => told
            .strip_prefix('/')
            .and_then(|rest| rest.strip_prefix(stage))
            .filter(|rest| rest.starts_with('/'))
            .unwrap_or(told),
        None => told,
    };
    if route_key.is_none_or(|route| route == "$default") {
        return path.to_owned();
    }
    let segments: Vec<String> = path.split('/').map(path_segment).collect();
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments() {
        for (segment, text) in [
            ("a%2Fb%2523%C3%BC", Some("a/b%23ü")),
            ("a%2", Some("a%2")),
            ("100%zz%", Some("100%zz%")),
            ("%+1", Some("%+1")),
            ("a+b~", Some("a+b~")),
            ("%FF", None),
            ("~YS9i", Some("a/b")),
            ("%7EYS9i", Some("~YS9i")),
            ("~fn5-Pz8_", Some("~~~???")),
            ("~", Some("")),
            ("~YQ==", None),
            ("~YR", None),
            ("~_w", None),
            ("~a b", None),
        ] {
            assert_eq!(segment_text(segment).as_deref(), text, "{segment}");
        }
        assert_eq!(path_segment("a/b%23ü ~"), "a%2Fb%2523%C3%BC%20~");
    }

    #[test]
    fn a_path_of_lambda_is_what_the_client_sent() {
        let routed = Some("GET /o/{id}");
        for (told, route_key, stage, sent) in [
            // An HTTP API has decoded the path, so decoding it once more must not change it.
            ("/o/a#b", routed, Some("$default"), "/o/a%23b"),
            ("/o/🙂", routed, Some("$default"), "/o/%F0%9F%99%82"),
            ("/o/%41", routed, Some("$default"), "/o/%2541"),
            ("/o/100%", routed, Some("$default"), "/o/100%25"),
            ("/o/..", routed, Some("$default"), "/o/.."),
            ("/o/a\\b c+d", routed, None, "/o/a%5Cb%20c%2Bd"),
            ("/v1/o/a", routed, Some("v1"), "/o/a"),
            ("/v1", routed, Some("v1"), "/v1"),
            ("/v10/o", routed, Some("v1"), "/v10/o"),
            // A function URL passes the path on as it came.
            (
                "/o/a%2Fb%23%25",
                Some("$default"),
                Some("$default"),
                "/o/a%2Fb%23%25",
            ),
            ("/o/%2E%2E", None, None, "/o/%2E%2E"),
        ] {
            let got = path_as_sent(told, route_key, stage);
            assert_eq!(got, sent, "{told} {route_key:?} {stage:?}");
        }
    }
}
