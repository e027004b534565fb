//! Answers of pages: documents with their headers, and the three assets, each named by a hash of its content.

use std::io::Write;
use std::sync::LazyLock;

use askama::Template;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    LOCATION, REFERRER_POLICY, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use sha2::{Digest, Sha256};

/// The path of the assets. No marketplace can be called `_`.
pub(crate) const ASSETS: &str = "/app/_/{asset}";

const HTML: &str = "text/html; charset=utf-8";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// An asset as it is served.
pub(crate) struct Asset {
    pub(crate) href: String,
    media: &'static str,
    plain: Vec<u8>,
    zipped: Vec<u8>,
}

/// The style sheet, the script and the icons.
pub(crate) static ALL: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        Asset::new(
            "css",
            "text/css; charset=utf-8",
            include_bytes!("../assets/style.css"),
        ),
        Asset::new(
            "js",
            "text/javascript; charset=utf-8",
            include_bytes!("../assets/script.js"),
        ),
        Asset::new(
            "svg",
            "image/svg+xml",
            include_bytes!("../assets/icons.svg"),
        ),
    ]
});

impl Asset {
    fn new(end: &str, media: &'static str, plain: &'static [u8]) -> Self {
        // Between the rules of a style sheet the ends of lines say nothing.
        let mut plain = plain.to_vec();
        plain.retain(|byte| end != "css" || *byte != b'\n');
        let hash = hex::encode(Sha256::digest(&plain));
        Self {
            href: format!("/app/_/{}.{end}", &hash[..16]),
            media,
            zipped: gzip(&plain, Compression::best()).unwrap_or_default(),
            plain,
        }
    }
}

fn gzip(bytes: &[u8], level: Compression) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let texts = headers.get_all(ACCEPT_ENCODING).iter();
    let mut codings = texts.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    codings.any(|coding| {
        let coding = coding.trim();
        coding.starts_with("gzip") && !coding.ends_with("q=0")
    })
}

fn headed(
    status: StatusCode,
    media: &'static str,
    cached: &'static str,
    body: impl Into<Bytes>,
) -> Response {
    let mut response = Response::new(body.into().into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cached));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Whole addresses stay here; forms still say where they come from.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

fn zipped(mut response: Response) -> Response {
    let gzip = HeaderValue::from_static("gzip");
    response.headers_mut().insert(CONTENT_ENCODING, gzip);
    response
}

/// A page that is the same for everybody, as text and packed.
#[derive(Clone)]
pub(crate) struct Document {
    plain: Bytes,
    zipped: Bytes,
}

impl Document {
    pub(crate) fn new(template: &impl Template) -> Result<Self, Problem> {
        let text = template
            .render()
            .map_err(|error| Problem::internal(&error))?;
        let zipped = gzip(text.as_bytes(), Compression::best());
        Ok(Self {
            zipped: zipped.map_err(|error| Problem::internal(&error))?.into(),
            plain: text.into(),
        })
    }

    /// The answer. It tells nothing of its reader, but is asked for again, since a service is renewed.
    pub(crate) fn answer(&self, headers: &HeaderMap) -> Response {
        let page = |body: &Bytes| headed(StatusCode::OK, HTML, "no-cache", body.clone());
        match takes_gzip(headers) {
            true => zipped(page(&self.zipped)),
            false => page(&self.plain),
        }
    }
}

/// A page. It is the reader's own, and no cache keeps it.
pub(crate) fn page(
    status: StatusCode,
    headers: &HeaderMap,
    template: &impl Template,
) -> Result<Response, Problem> {
    let text = template
        .render()
        .map_err(|error| Problem::internal(&error))?;
    let page = |body| headed(status, HTML, "private, no-store", body);
    if !takes_gzip(headers) {
        return Ok(page(text.into_bytes()));
    }
    let body = gzip(text.as_bytes(), Compression::default());
    Ok(zipped(page(
        body.map_err(|error| Problem::internal(&error))?,
    )))
}

/// Sends the reader to another page.
pub(crate) fn see(location: &str) -> Response {
    let mut response = headed(StatusCode::SEE_OTHER, HTML, "private, no-store", Vec::new());
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

pub(crate) async fn asset(call: Call) -> Result<Response, Problem> {
    let wanted = format!("/app/_/{}", call.param("asset")?);
    let found = ALL.iter().find(|asset| asset.href == wanted);
    let asset = found.ok_or_else(|| Problem::not_found("there is no such file"))?;
    let served = |body| {
        headed(
            StatusCode::OK,
            asset.media,
            "public, max-age=31536000, immutable",
            body,
        )
    };
    Ok(match takes_gzip(&call.headers) {
        true => zipped(served(asset.zipped.clone())),
        false => served(asset.plain.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_small() {
        let [style, script, icons] = &*ALL;
        assert!(style.plain.len() <= 10 << 10, "{}", style.plain.len());
        assert!(script.zipped.len() <= 4 << 10, "{}", script.zipped.len());
        assert!(icons.zipped.len() <= 4 << 10, "{}", icons.zipped.len());
    }

    #[test]
    fn who_takes_gzip() {
        for (accept, takes) in [
            ("gzip, deflate, br", true),
            ("br", false),
            ("gzip;q=0", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));
            assert_eq!(takes_gzip(&headers), takes, "{accept}");
        }
    }
}
