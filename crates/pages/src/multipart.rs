//! A form with a file, as a browser sends it (RFC 7578).

use bytes::Bytes;

/// A field of a form, with the name of the file where it is one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) file: Option<String>,
    pub(crate) bytes: Bytes,
}

/// The fields of a body with this media type; `None` where it is not such a form, or breaks off.
pub(crate) fn parts(media: &str, body: &Bytes) -> Option<Vec<Part>> {
    let (kind, of) = media.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = of.trim().strip_prefix("boundary=")?.trim_matches('"');
    let first = format!("--{boundary}");
    let between = format!("\r\n--{boundary}");
    let mut at = find(body, first.as_bytes(), 0)? + first.len();
    let mut parts = Vec::new();
    while body.get(at..at + 2)? == b"\r\n" {
        // A part without headers has an empty line at once.
        let head = find(body, b"\r\n\r\n", at)?;
        let end = find(body, between.as_bytes(), head + 2)?;
        let lines = std::str::from_utf8(&body[at..head]).ok()?;
        let bytes = body.slice((head + 4).min(end)..end);
        parts.push(part(lines, bytes)?);
        at = end + between.len();
    }
    (body.get(at..at + 2)? == b"--").then_some(parts)
}

fn part(lines: &str, bytes: Bytes) -> Option<Part> {
    let is_it = |line: &&str| {
        line.to_ascii_lowercase()
            .starts_with("content-disposition:")
    };
    let line = lines.lines().find(is_it)?;
    Some(Part {
        name: parameter(line, "name")?,
        file: parameter(line, "filename"),
        bytes,
    })
}

/// A quoted parameter of a header. A browser writes a quote in it as `%22`.
fn parameter(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!("; {name}=\""))?;
    Some(rest.split('"').next()?.replace("%22", "\""))
}

fn find(body: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let within = body.get(from..)?.windows(wanted.len());
    within
        .enumerate()
        .find(|(_, window)| *window == wanted)
        .map(|(place, _)| from + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_send() {
        const MEDIA: &str = "multipart/form-data; boundary=--x";
        let file = "----x\r\nContent-Disposition: form-data; name=\"form\"\r\n\r\nupload\r\n----x\r\nContent-Disposition: form-data; \
                    name=\"file\"; filename=\"a%22é.csv\"\r\nContent-Type: text/csv\r\n\r\na,b\r\n\r\n--x\r\n1,2\r\n\r\n----x--\r\n";
        let told = |media: &str, body: &str| {
            let parts = parts(media, &Bytes::copy_from_slice(body.as_bytes()))?;
            let part = |part: Part| {
                let bytes = String::from_utf8(part.bytes.to_vec()).unwrap();
                (part.name, part.file, bytes)
            };
            Some(parts.into_iter().map(part).collect::<Vec<_>>())
        };
        let form = ("form".to_owned(), None, "upload".to_owned());
        let upload = (
            "file".to_owned(),
            Some("a\"é.csv".to_owned()),
            "a,b\r\n\r\n--x\r\n1,2\r\n".to_owned(),
        );
        assert_eq!(told(MEDIA, file), Some(vec![form, upload]));
        assert_eq!(told(MEDIA, "----x--\r\n"), Some(vec![]));
        let empty = "----x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n----x--";
        assert_eq!(
            told(MEDIA, empty),
            Some(vec![("a".to_owned(), None, String::new())])
        );
        for (media, body) in [
            ("application/x-www-form-urlencoded", file),
            ("multipart/form-data", file),
            ("multipart/form-data; boundary=y", file),
            (MEDIA, &file[..file.len() - 4]),
            (MEDIA, &file[..120]),
            (MEDIA, "----x\r\nno header\r\n\r\na\r\n----x--"),
            (MEDIA, "----x\r\n----x--"),
            (MEDIA, "----x"),
            (MEDIA, ""),
        ] {
            assert_eq!(told(media, body), None, "{media} {body}");
        }
    }
}
