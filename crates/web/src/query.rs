//! The part of an address after `?`, read value by value, and the cursors in it.
//!
//! An empty value is an absent one, of a name given twice the first counts, and unknown names are ignored.

use revtrail_core::attribution::event::Channel;
use revtrail_core::record::{self, Code};
use revtrail_core::value::id::BadId;
use revtrail_core::value::time::{Day, Instant};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::encoding::{hex, hex_decode, percent_decode};
use crate::problem::Problem;

/// Most rows of one page.
pub const LIMIT_MAX: usize = 1000;
/// Rows of one page where nothing is said.
pub const LIMIT_DEFAULT: usize = 50;

/// Splits and decodes; bytes that are no UTF-8 become U+FFFD.
pub(crate) fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    let decode =
        |text: &str| String::from_utf8_lossy(&percent_decode(&text.replace('+', " "))).into_owned();
    query
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

/// Reads the query; what is wrong is gathered and told by [`Query::done`], all at once.
pub struct Query<'a> {
    pairs: &'a [(String, String)],
    list: u64,
    problems: Vec<record::Problem>,
    bad_cursor: bool,
}

impl<'a> Query<'a> {
    pub(crate) fn new(path: &str, pairs: &'a [(String, String)]) -> Self {
        Self {
            pairs,
            list: fingerprint(path, pairs),
            problems: Vec::new(),
            bad_cursor: false,
        }
    }

    /// A text, whatever it says.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let found = self.pairs.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The values whose names begin so, like `metadata.`; the names without that beginning.
    pub fn prefixed(&self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.pairs
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    /// A value that `parse` must take; else `code`, and a sentence that says what was `expected`.
    pub fn read<T>(
        &mut self,
        name: &str,
        code: Code,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let value = parse(text);
        if value.is_none() {
            let detail = format!("{name}: {text:?} is not {expected}");
            self.wrong(record::Problem::of(name, code, detail));
        }
        value
    }

    /// A calendar day.
    pub fn day(&mut self, name: &str) -> Option<Day> {
        let expected = "a day, like 2026-11-20";
        self.read(name, Code::BadTime, expected, Day::parse)
    }

    /// An instant; a space is taken for the `+` of an offset that was not encoded.
    pub fn instant(&mut self, name: &str) -> Option<Instant> {
        let expected = "a time with an offset, like 2026-11-20T10:15:00Z";
        self.read(name, Code::BadTime, expected, |text| {
            Instant::parse(&text.replace(' ', "+")).ok()
        })
    }

    /// A channel.
    pub fn channel(&mut self, name: &str) -> Option<Channel> {
        let expected = "one of email, push, sms";
        self.read(name, Code::UnknownChannel, expected, Channel::parse)
    }

    /// An id.
    pub fn id<T>(&mut self, name: &str, new: impl Fn(&str) -> Result<T, BadId>) -> Option<T> {
        let expected = "an id: 1 to 128 bytes without control characters";
        self.read(name, Code::BadId, expected, |text| new(text).ok())
    }

    /// `true` or `false`; absent is false.
    pub fn flag(&mut self, name: &str) -> bool {
        self.read(name, Code::UnknownValue, "true or false", |text| {
            text.parse().ok()
        })
        .unwrap_or(false)
    }

    /// How many rows a page has, from `limit`: 1 to [`LIMIT_MAX`].
    pub fn limit(&mut self) -> usize {
        self.read("limit", Code::UnknownValue, "1 to 1000", |text| {
            text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n))
        })
        .unwrap_or(LIMIT_DEFAULT)
    }

    /// Where `cursor` says to continue: what was given to `Call::next_cursor` for this path with these parameters.
    pub fn cursor<T: DeserializeOwned>(&mut self) -> Option<T> {
        let text = self.text("cursor")?;
        let bytes = hex_decode(text).unwrap_or_default();
        match serde_json::from_slice::<(u64, T)>(&bytes) {
            Ok((list, at)) if list == self.list => Some(at),
            _ => {
                self.bad_cursor = true;
                None
            }
        }
    }

    /// Notes something else that is wrong.
    pub fn wrong(&mut self, problem: record::Problem) {
        self.problems.push(problem);
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 for a bad cursor, else 422 with all that is wrong.
    pub fn done(self) -> Result<(), Problem> {
        if self.bad_cursor {
            let detail = "this cursor is of another list, or none: begin again without it";
            Err(Problem::unreadable(detail))
        } else if self.problems.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(self.problems))
        }
    }
}

/// A cursor that continues at `at`, bound to the path and to the parameters but `limit`.
pub(crate) fn next_cursor(
    path: &str,
    pairs: &[(String, String)],
    at: &impl Serialize,
) -> Result<String, Problem> {
    serde_json::to_vec(&(fingerprint(path, pairs), at))
        .map(|json| hex(&json))
        .map_err(|error| Problem::internal(&error))
}

/// FNV-1a over the path and the parameters, in any order: it catches mistakes, and guards nothing.
fn fingerprint(path: &str, pairs: &[(String, String)]) -> u64 {
    let mut parts: Vec<[&str; 2]> = pairs
        .iter()
        .filter(|(name, _)| !["cursor", "limit"].contains(&name.as_str()))
        .map(|(name, value)| [name.as_str(), value.as_str()])
        .collect();
    parts.sort_unstable();
    let texts = std::iter::once(path).chain(parts.into_iter().flatten());
    texts
        .flat_map(|text| text.bytes().chain([0xff]))
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(problem: Problem) -> (u16, Vec<(String, String)>) {
        use axum::response::IntoResponse;
        let status = problem.status().as_u16();
        let body = problem.into_response().into_body();
        let bytes = futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(body));
        let bytes = bytes.unwrap().unwrap().to_bytes();
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let error = |e: &serde_json::Value| {
            let text = |name: &str| e[name].as_str().unwrap_or_default().to_owned();
            (text("field"), text("code"))
        };
        (
            status,
            json["errors"]
                .as_array()
                .unwrap()
                .iter()
                .map(error)
                .collect(),
        )
    }

    #[test]
    fn values() {
        let given = pairs(Some(
            "from=2026-11-20&channel=push&revenue=true&limit=1000&tag=&name=a+b%2Bc&x&metadata.k=v&since=2026-11-20T10:15:00+02:00&limit=7",
        ));
        let mut query = Query::new("/p", &given);
        assert_eq!(query.day("from"), Day::parse("2026-11-20"));
        assert_eq!(query.channel("channel"), Some(Channel::Push));
        assert!(query.flag("revenue") && !query.flag("absent"));
        assert_eq!(query.limit(), 1000);
        assert_eq!((query.text("tag"), query.text("x")), (None, None));
        assert_eq!(query.text("name"), Some("a b+c"));
        assert_eq!(
            query.prefixed("metadata.").collect::<Vec<_>>(),
            [("k", "v")]
        );
        assert!(query.instant("since").is_some());
        assert!(query.done().is_ok());
        assert_eq!(Query::new("/p", &[]).limit(), 50);
    }

    #[test]
    fn wrong_values_are_told_all_at_once() {
        let given = pairs(Some(
            "from=20261120&channel=fax&revenue=yes&limit=1001&id=%00",
        ));
        let mut query = Query::new("/p", &given);
        query.day("from");
        query.channel("channel");
        query.flag("revenue");
        query.limit();
        query.id("id", revtrail_core::value::id::CustomerId::new);
        let expected = [
            ("from", "bad_time"),
            ("channel", "unknown_channel"),
            ("revenue", "unknown_value"),
            ("limit", "unknown_value"),
            ("id", "bad_id"),
        ]
        .map(|(field, code)| (field.to_owned(), code.to_owned()));
        assert_eq!(codes(query.done().unwrap_err()), (422, expected.to_vec()));
        for limit in ["limit=0", "limit=-1", "limit=1.0", "limit=ten"] {
            let given = pairs(Some(limit));
            let mut query = Query::new("/p", &given);
            query.limit();
            assert_eq!(query.done().unwrap_err().status(), 422, "{limit}");
        }
    }

    #[test]
    fn a_cursor_continues_its_own_list_only() {
        let first = pairs(Some("tag=a&from=2026-11-20&limit=2"));
        let cursor = next_cursor("/p", &first, &("o-1", 7)).unwrap();
        for (path, query, good) in [
            (
                "/p",
                format!("tag=a&from=2026-11-20&limit=2&cursor={cursor}"),
                true,
            ),
            (
                "/p",
                format!("cursor={cursor}&from=2026-11-20&tag=a&name="),
                true,
            ),
            (
                "/p",
                format!("tag=b&from=2026-11-20&cursor={cursor}"),
                false,
            ),
            (
                "/q",
                format!("tag=a&from=2026-11-20&cursor={cursor}"),
                false,
            ),
            ("/p", "cursor=zz&limit=0".to_owned(), false),
            ("/p", "cursor=7b7d".to_owned(), false),
        ] {
            let given = pairs(Some(&query));
            let mut query_reader = Query::new(path, &given);
            query_reader.limit();
            let at = query_reader.cursor::<(String, u32)>();
            assert_eq!(at.is_some(), good, "{path} {query}");
            match query_reader.done() {
                Ok(()) => assert!(good),
                Err(problem) => assert_eq!((problem.status().as_u16(), good), (400, false)),
            }
        }
    }
}
