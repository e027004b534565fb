//! The query: the part of an address after `?`, which is read parameter by parameter, with the cursor in it.
//!
//! An empty value counts as an absent one, since forms send empty fields. The name of a parameter is checked even where its value
//! is empty: a name that the route does not know, or that is given twice, is refused.

use std::collections::BTreeMap;

use revtrail_core::attribution::event::Channel;
use revtrail_core::record::{self, Code, Problems, quoted};
use revtrail_core::value::id::BadId;
use revtrail_core::value::time::{Day, Instant};
use serde::de::DeserializeOwned;

use crate::cursor::Seal;
use crate::problem::Problem;

/// The most rows of one page.
pub const LIMIT_MAX: usize = 1000;
/// The number of rows of one page where no limit is given.
pub const LIMIT_DEFAULT: usize = 50;

/// Splits and decodes the query. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

/// The parameters that define which list is read: all that have a value, in a fixed order, except where to continue and how far.
pub(crate) fn filters(pairs: &[(String, String)]) -> Vec<&str> {
    let mut filters: Vec<_> = pairs
        .iter()
        .filter(|(name, value)| !value.is_empty() && !["cursor", "limit"].contains(&name.as_str()))
        .collect();
    filters.sort_unstable();
    filters
        .into_iter()
        .flat_map(|(name, value)| [name.as_str(), value.as_str()])
        .collect()
}

/// The problem of a cursor that is not of the list that is asked for.
fn bad_cursor() -> Problem {
    Problem::unreadable("this cursor is of another list, or none: begin again without it")
}

/// Reads the query. Problems are collected, and [`Query::done`] returns all of them at once. The route knows exactly the
/// parameters that are read here.
#[must_use = "a query that is not done refuses nothing"]
pub struct Query<'a> {
    pairs: &'a [(String, String)],
    seal: Seal,
    /// The names that were read. A name that ends in a dot stands for all names that begin with it.
    known: Vec<String>,
    problems: Problems,
    bad_cursor: bool,
}

impl<'a> Query<'a> {
    pub(crate) fn new(pairs: &'a [(String, String)], seal: Seal, known: &[&str]) -> Self {
        Self {
            pairs,
            seal,
            known: known.iter().map(|name| (*name).to_owned()).collect(),
            problems: Problems::new(),
            bad_cursor: false,
        }
    }

    /// A text with any content.
    pub fn text(&mut self, name: &str) -> Option<&'a str> {
        self.known.push(name.to_owned());
        let found = self.pairs.iter().find(|(given, _)| given == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The parameters whose names begin with a prefix, like `metadata.`. The prefix is cut from the names.
    pub fn prefixed(&mut self, prefix: &str) -> Vec<(&'a str, &'a str)> {
        self.known.push(prefix.to_owned());
        let pairs = self.pairs.iter().filter(|(_, value)| !value.is_empty());
        pairs
            .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
            .collect()
    }

    /// A value that `parse` must accept. Otherwise it is a problem with `code`, and a sentence that says what was `expected`.
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
            let detail = format!("{name}: {} is not {expected}", quoted(text));
            self.wrong(record::RecordProblem::of(name, code, detail));
        }
        value
    }

    /// A calendar day.
    pub fn day(&mut self, name: &str) -> Option<Day> {
        let expected = "a day, like 2026-11-20";
        self.read(name, Code::BadTime, expected, Day::parse)
    }

    /// An instant. A space is read as the `+` of an offset, which the client did not encode.
    pub fn instant(&mut self, name: &str) -> Option<Instant> {
        let expected = "a time with an offset, like 2026-11-20T10:15:00Z";
        self.read(name, Code::BadTime, expected, |text| {
            Instant::parse(&text.replace(' ', "+")).ok()
        })
    }

    /// A channel, by its name.
    pub fn channel(&mut self, name: &str) -> Option<Channel> {
        let expected = "one of email, push, sms";
        self.read(name, Code::UnknownChannel, expected, Channel::parse)
    }

    /// An id that `new` accepts.
    pub fn id<T>(&mut self, name: &str, new: impl Fn(&str) -> Result<T, BadId>) -> Option<T> {
        let expected = "an id: 1 to 128 bytes without control characters";
        self.read(name, Code::BadId, expected, |text| new(text).ok())
    }

    /// `true` or `false`; an absent parameter is false.
    pub fn flag(&mut self, name: &str) -> bool {
        self.read(name, Code::UnknownValue, "true or false", |text| {
            text.parse().ok()
        })
        .unwrap_or(false)
    }

    /// The number of rows of a page, from `limit`: 1 to [`LIMIT_MAX`].
    pub fn limit(&mut self) -> usize {
        self.read("limit", Code::UnknownValue, "1 to 1000", |text| {
            text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n))
        })
        .unwrap_or(LIMIT_DEFAULT)
    }

    /// The place from which `cursor` continues. It was the place of a [`crate::list::Page`] of this list.
    pub fn cursor<T: DeserializeOwned>(&mut self) -> Option<T> {
        let cursor = self.text("cursor")?;
        let place = self.seal.open(cursor);
        self.bad_cursor = place.is_none();
        place
    }

    /// Checks that this list signed its cursor, if one is given. A forged one costs nothing more.
    ///
    /// # Errors
    /// 400 for any other cursor.
    pub(crate) fn cursor_is_signed(&self) -> Result<(), Problem> {
        let mut cursors = self.pairs.iter().filter(|(name, _)| name == "cursor");
        let good = |cursor: &str| cursor.is_empty() || self.seal.signed(cursor).is_some();
        match cursors.all(|(_, cursor)| good(cursor)) {
            true => Ok(()),
            false => Err(bad_cursor()),
        }
    }

    /// Adds another problem.
    pub fn wrong(&mut self, problem: record::RecordProblem) {
        self.problems.push(problem);
    }

    fn knows(&self, name: &str) -> bool {
        let is = |known: &String| known == name || known.ends_with('.') && name.starts_with(known);
        self.known.iter().any(is)
    }

    /// A problem for each parameter that the route does not know, and for each that is given twice.
    fn unknown_parameters(&self) -> Problems {
        let mut given: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, _) in self.pairs {
            *given.entry(name).or_default() += 1;
        }
        let wrong = |(name, times): (&str, usize)| {
            let detail = match (self.knows(name), times) {
                (false, _) if self.known.is_empty() => {
                    format!("{} is no parameter: this route takes none", quoted(name))
                }
                (false, _) => {
                    let known = self.known.join(", ");
                    let name = quoted(name);
                    format!("{name} is no parameter of this route, which takes {known}")
                }
                (true, 1) => return None,
                (true, _) => format!("{} is given {times} times: give it once", quoted(name)),
            };
            Some(record::RecordProblem::of(
                name,
                Code::UnknownParameter,
                detail,
            ))
        };
        given.into_iter().filter_map(wrong).collect()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 for a bad cursor, otherwise 422 with all problems.
    pub fn done(self) -> Result<(), Problem> {
        if self.bad_cursor {
            return Err(bad_cursor());
        }
        let mut problems = self.unknown_parameters();
        problems.append(self.problems);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(problems))
        }
    }
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};

    use super::*;

    /// The seal of a list, made like [`Call::seal`] makes it.
    fn seal(path: &str, pairs: &[(String, String)]) -> Seal {
        let mut signature = Hmac::new_from_slice(b"a key").unwrap();
        signature.update([&[path], &*filters(pairs)].concat().join("\n").as_bytes());
        Seal(signature)
    }

    fn reader(pairs: &[(String, String)]) -> Query<'_> {
        Query::new(pairs, seal("/p", pairs), &[])
    }

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
            "from=2026-11-20&channel=push&revenue=true&limit=1000&tag=&name=a+b%2Bc&x&metadata.k=v&since=2026-11-20T10:15:00+02:00",
        ));
        let mut query = reader(&given);
        assert_eq!(query.day("from"), Day::parse("2026-11-20"));
        assert_eq!(query.channel("channel"), Some(Channel::Push));
        assert!(query.flag("revenue") && !query.flag("absent"));
        assert_eq!(query.limit(), 1000);
        assert_eq!((query.text("tag"), query.text("x")), (None, None));
        assert_eq!(query.text("name"), Some("a b+c"));
        assert_eq!(query.prefixed("metadata."), [("k", "v")]);
        assert!(query.instant("since").is_some());
        assert!(query.done().is_ok());
        assert_eq!(reader(&[]).limit(), 50);
    }

    #[test]
    fn wrong_values_are_told_all_at_once() {
        let given = pairs(Some(
            "from=20261120&channel=fax&revenue=yes&limit=1001&id=%00",
        ));
        let mut query = reader(&given);
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
            let mut query = reader(&given);
            query.limit();
            assert_eq!(query.done().unwrap_err().status(), 422, "{limit}");
        }
    }

    #[test]
    fn names_that_are_not_known_or_come_twice() {
        for (given, wrong) in [
            ("tag=a&metadata.k=v&metadata.l=v", ""),
            ("tag=&metadata.=", ""),
            ("&&tag=a&", ""),
            ("tagg=a&Tag=b&tag=c", "Tag tagg"),
            ("tagg=", "tagg"),
            ("tag=a&tag=a", "tag"),
            ("tag=&tag=a", "tag"),
            (
                "metadata.k=v&metadata.k=w&metadata=x",
                "metadata metadata.k",
            ),
            ("t%61g=a&tag=b", "tag"),
            ("tag", ""),
            ("x&x", "x"),
        ] {
            let pairs = pairs(Some(given));
            let mut query = reader(&pairs);
            query.text("tag");
            query.prefixed("metadata.");
            let told = query.done().err().map(codes);
            let (status, told) = told.unwrap_or((200, Vec::new()));
            let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names.join(" "), wrong, "{given}");
            assert_eq!(status, if told.is_empty() { 200 } else { 422 }, "{given}");
            assert!(told.iter().all(|(_, code)| code == "unknown_parameter"));
        }
    }

    #[test]
    fn a_cursor_continues_its_own_list_only() {
        let first = pairs(Some("tag=a&from=2026-11-20&limit=2"));
        let cursor = seal("/p", &first).close(&("o-1", 7)).unwrap();
        let changed = |at: usize| {
            let mut bytes = cursor.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        };
        let (tag, place) = (changed(3), changed(30));
        let short = &cursor[..12];
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
            ("/p", format!("tag=a&cursor={cursor}"), false),
            (
                "/q",
                format!("tag=a&from=2026-11-20&cursor={cursor}"),
                false,
            ),
            ("/p", format!("tag=a&from=2026-11-20&cursor={tag}"), false),
            ("/p", format!("tag=a&from=2026-11-20&cursor={place}"), false),
            ("/p", format!("tag=a&from=2026-11-20&cursor={short}"), false),
            ("/p", "cursor=zz&limit=0&unknown=1".to_owned(), false),
            ("/p", "cursor=7b7d".to_owned(), false),
        ] {
            let given = pairs(Some(&query));
            let mut reader = Query::new(&given, seal(path, &given), &["tag", "from", "name"]);
            let at = reader.cursor::<(String, u32)>();
            reader.limit();
            assert_eq!(at.is_some(), good, "{path} {query}");
            match reader.done() {
                Ok(()) => assert!(good),
                Err(problem) => assert_eq!((problem.status().as_u16(), good), (400, false)),
            }
        }
    }
}
