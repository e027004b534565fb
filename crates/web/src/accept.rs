//! In which form a caller wants to be answered.

use http::HeaderMap;
use http::header::ACCEPT;

/// True where `Accept` names `text/csv` and does not prefer JSON.
pub(crate) fn wants_csv(headers: &HeaderMap) -> bool {
    let (mut csv, mut json) = (0.0, 0.0);
    for value in headers.get_all(ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight: f32 = weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
            match name.as_str() {
                "text/csv" => csv = weight,
                "application/json" => json = weight,
                _ => {}
            }
        }
    }
    csv > json
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn who_wants_csv() {
        for (accept, wants) in [
            ("text/csv", true),
            ("Text/CSV; header=present", true),
            ("text/csv, */*", true),
            ("text/csv;q=0.9, application/json;q=0.1", true),
            ("application/json, text/csv;q=0.5", false),
            ("application/json, text/csv", false),
            ("text/csv;q=0", false),
            ("*/*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(wants_csv(&headers), wants, "{accept}");
        }
    }
}
