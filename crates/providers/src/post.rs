//! One post as it came: its headers, and its body as a tree. Bodies are JSON, forms, or multipart forms.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::Refused;
use crate::node::{Node, NotATree};

/// A post of a sender, whose key was good.
#[derive(Debug, Clone, Copy)]
pub struct Post<'p> {
    /// The headers of the request.
    pub headers: &'p HeaderMap,
    /// The body, unpacked.
    pub body: &'p [u8],
    /// What the address holds that [`certificate_url`](crate::certificate_url) found in it; `None` where it found none.
    pub certificate: Option<&'p [u8]>,
}

impl Post<'_> {
    /// The text of a header; `None` where it is absent or no text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as UTF-8, without a byte order mark.
    pub(crate) fn text(&self) -> Result<&str, Refused> {
        let text = std::str::from_utf8(self.body)
            .map_err(|_| Refused::Unreadable("the body is not UTF-8".to_owned()))?;
        Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    /// The body as a tree. An empty body is a list without entries: some senders try an address that way.
    pub(crate) fn tree(&self) -> Result<Node, Refused> {
        let content_type = self.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        let media = content_type.split(';').next().unwrap_or_default().trim();
        let media = media.to_ascii_lowercase();
        match media.as_str() {
            "application/x-www-form-urlencoded" => {
                let pairs = form_urlencoded::parse(self.body);
                Ok(Node::of_form(pairs.into_owned()))
            }
            "multipart/form-data" => multipart(self.body, content_type),
            "application/x-ndjson" => Ok(lines(self.text()?)?),
            _ => match self.text()?.trim() {
                "" => Ok(Node::List(Vec::new())),
                // Some senders post lines of JSON under any type.
                text => match (Node::parse(text), text.contains('\n')) {
                    (Err(why), true) => lines(text).map_err(|_| why.into()),
                    (tree, _) => Ok(tree?),
                },
            },
        }
    }
}

/// A list with the JSON of each line.
fn lines(text: &str) -> Result<Node, NotATree> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(Node::List(
        lines.map(Node::parse).collect::<Result<_, _>>()?,
    ))
}

/// The fields of a multipart form (RFC 7578). Files and nested parts count as fields too: nobody sends them here.
fn multipart(body: &[u8], content_type: &str) -> Result<Node, Refused> {
    let unreadable =
        |why: &str| Refused::Unreadable(format!("the body is no multipart form: {why}"));
    let boundary = content_type
        .split(';')
        .find_map(|part| part.trim().strip_prefix("boundary="))
        .map(|name| name.trim_matches('"'))
        .filter(|name| !name.is_empty())
        .ok_or_else(|| unreadable("its type names no boundary"))?;
    // A delimiter is a line of its own. The line before the first one may be missing.
    let delimiter = format!("\r\n--{boundary}");
    let body = [b"\r\n", body].concat();
    let starts: Vec<usize> = memchr::memmem::find_iter(&body, delimiter.as_bytes()).collect();
    if starts.len() < 2 {
        return Err(unreadable("it does not end"));
    }
    let mut fields = Vec::new();
    for pair in starts.windows(2) {
        let part = &body[pair[0] + delimiter.len()..pair[1]];
        let part = part.strip_prefix(b"\r\n").unwrap_or(part);
        let split = memchr::memmem::find(part, b"\r\n\r\n");
        let at = split.ok_or_else(|| unreadable("a part has no header"))?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned);
        let header = text(&part[..at]).map_err(|_| unreadable("a header is not UTF-8"))?;
        let value = text(&part[at + 4..]).map_err(|_| unreadable("a value is not UTF-8"))?;
        let name = header
            .split(';')
            .find_map(|piece| piece.trim().strip_prefix("name=\""))
            .and_then(|rest| rest.split('"').next())
            .ok_or_else(|| unreadable("a part has no name"))?;
        fields.push((name.to_owned(), value));
    }
    Ok(Node::of_form(fields.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(content_type: &str, body: &[u8]) -> Result<Node, Refused> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        Post {
            headers: &headers,
            body,
            certificate: None,
        }
        .tree()
    }

    #[test]
    fn what_bodies_hold() {
        let multipart = b"--B\r\nContent-Disposition: form-data; name=\"tag\"\r\n\r\na\r\n--B\r\nContent-Disposition: \
            form-data; name=\"tag\"\r\n\r\nb\r\nb\r\n--B--\r\n";
        for (content_type, body, path, found) in [
            ("application/json", &b"{\"a\":1}"[..], "a", Some("1")),
            (
                "text/plain; charset=UTF-8",
                b"\xef\xbb\xbf{\"a\":1}",
                "a",
                Some("1"),
            ),
            ("application/json", b" ", "a", None),
            (
                "application/x-www-form-urlencoded",
                b"a=1&b=%D0%B6&a=2",
                "b",
                Some("ж"),
            ),
            (
                "application/x-www-form-urlencoded",
                b"a=1&b=%D0%B6&a=2",
                "a.1",
                Some("2"),
            ),
            (
                "multipart/form-data; boundary=B",
                multipart,
                "tag.1",
                Some("b\r\nb"),
            ),
            (
                "application/x-ndjson",
                b"{\"a\":1}\n\n{\"a\":2}\n",
                "1.a",
                Some("2"),
            ),
            (
                "application/jsonlines",
                b"{\"a\":1}\r\n{\"a\":2}",
                "1.a",
                Some("2"),
            ),
            ("application/json", b"{\n\"a\":\n3}", "a", Some("3")),
        ] {
            let tree = tree(content_type, body).unwrap();
            assert_eq!(
                tree.text_at(path).as_deref(),
                found,
                "{content_type} {path}"
            );
        }
        for (content_type, body) in [
            ("application/json", &b"{\"a\""[..]),
            ("application/json", b"{\"a\":1}\n{\"a\""),
            ("application/json", b"\xff"),
            ("multipart/form-data; boundary=B", b"--B\r\nx"),
            ("multipart/form-data; boundary=B", b"--B\r\nx\r\n--B--"),
            ("multipart/form-data", multipart),
        ] {
            assert!(tree(content_type, body).is_err(), "{content_type}");
        }
    }
}
