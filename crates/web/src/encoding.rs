//! Text encodings of addresses, cursors and Basic passwords; each a few lines, so not a dependency each.

use std::fmt::Write as _;

/// Percent-encodes a text as one segment of a path, for `Location`.
pub fn path_segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The path as the client sent it, from the path in an event of Lambda. An HTTP API with explicit routes has decoded it
/// once, and puts the name of a stage before it; a function URL, or anything that has no routes, passes it on.
///
/// So no id is decoded twice: `%2541` is `%41`. What an HTTP API has lost cannot be brought back: it tells `%2F` from `/`
/// no more, and lets no id with a `/` or `?` through to a route.
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

/// Decodes `%XX`; what is no escape stays as it is.
pub(crate) fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let escaped = if bytes[i] == b'%' {
            bytes.get(i + 1..i + 3).and_then(hex_byte)
        } else {
            None
        };
        out.push(escaped.unwrap_or(bytes[i]));
        i += if escaped.is_some() { 3 } else { 1 };
    }
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

pub(crate) fn hex_decode(text: &str) -> Option<Vec<u8>> {
    text.as_bytes().chunks(2).map(hex_byte).collect()
}

fn hex_byte(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match pair {
        &[high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    }
}

/// Decodes base64 in the standard alphabet, with or without padding.
pub(crate) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut held, mut bits) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits & 0xff) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent() {
        for (encoded, plain) in [
            ("a%2Fb%2523%C3%BC", "a/b%23ü"),
            ("a%2", "a%2"),
            ("100%zz%", "100%zz%"),
        ] {
            assert_eq!(percent_decode(encoded), plain.as_bytes(), "{encoded}");
        }
        assert_eq!(path_segment("a/b%23ü ~"), "a%2Fb%2523%C3%BC%20~");
    }

    #[test]
    fn a_path_of_lambda_is_what_the_client_sent() {
        let routed = Some("GET /o/{id}");
        for (told, route_key, stage, sent) in [
            // An HTTP API: decoded, so that decoding it once more must not change it.
            ("/o/a#b", routed, Some("$default"), "/o/a%23b"),
            ("/o/🙂", routed, Some("$default"), "/o/%F0%9F%99%82"),
            ("/o/%41", routed, Some("$default"), "/o/%2541"),
            ("/o/100%", routed, Some("$default"), "/o/100%25"),
            ("/o/..", routed, Some("$default"), "/o/.."),
            ("/o/a\\b c+d", routed, None, "/o/a%5Cb%20c%2Bd"),
            ("/v1/o/a", routed, Some("v1"), "/o/a"),
            ("/v1", routed, Some("v1"), "/v1"),
            ("/v10/o", routed, Some("v1"), "/v10/o"),
            // A function URL: as it came.
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

    #[test]
    fn hex_and_base64() {
        assert_eq!(hex_decode(&hex(b"{\x00\xff")).unwrap(), b"{\x00\xff");
        for bad in ["0", "0g", "éé", "+1"] {
            assert!(hex_decode(bad).is_none(), "{bad}");
        }
        for (encoded, plain) in [
            ("", ""),
            ("YQ==", "a"),
            ("YWI=", "ab"),
            ("YWJj", "abc"),
            ("fn5+Pz8/", "~~~???"),
        ] {
            assert_eq!(base64_decode(encoded).unwrap(), plain.as_bytes());
        }
    }
}
