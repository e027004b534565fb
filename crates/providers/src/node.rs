//! The body of a post as a tree in which paths are looked up. Numbers stay as they were written: ids and money are never read
//! through a binary float.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;

/// How deep the values of a post may be nested. The deepest of a known sender is 8.
const DEPTH_MAX: usize = 32;

/// One value of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    /// A JSON number, as it was written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// The fields in their order. Most objects are small, so a field is looked for from the last on; of two of a name the last counts.
    Object(Vec<(String, Node)>),
    /// A value that several events have: a report on many recipients is not copied for each.
    Shared(Arc<Node>),
}

/// Why a text is no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotATree {
    #[error("the body is no JSON: {0}")]
    NoJson(String),
    #[error("the body is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

impl Node {
    /// Reads a JSON text.
    pub(crate) fn parse(text: &str) -> Result<Self, NotATree> {
        let raw = serde_json::from_str::<&RawValue>(text);
        let raw = raw.map_err(|error| NotATree::NoJson(error.to_string()))?;
        // From here on the text is known to be JSON, and is read once.
        let mut rest = Rest(raw.get());
        rest.value(DEPTH_MAX)
    }

    /// The fields of a form. A name that is given more than once holds the list of its values.
    pub(crate) fn of_form(pairs: impl Iterator<Item = (String, String)>) -> Self {
        let mut fields: BTreeMap<String, Node> = BTreeMap::new();
        for (name, value) in pairs {
            let value = Self::Text(value);
            match fields.get_mut(&name) {
                None => drop(fields.insert(name, value)),
                Some(Self::List(values)) => values.push(value),
                Some(first) => *first = Self::List(vec![first.clone(), value]),
            }
        }
        Self::Object(fields.into_iter().collect())
    }

    /// The field of an object.
    fn field(&self, name: &str) -> Option<&Node> {
        let fields = match self {
            Self::Object(fields) => fields,
            Self::Shared(node) => return node.field(name),
            _ => return None,
        };
        let mut named = fields.iter().rev().filter(|(own, _)| own == name);
        named.next().map(|(_, node)| node)
    }

    /// The value at a dotted path. A step into a list takes the entry with this number, or the value of the entry with this name, as
    /// mail headers are listed. A step into a text reads the JSON in it.
    pub(crate) fn get(&self, path: &str) -> Option<Cow<'_, Node>> {
        if path.is_empty() {
            return Some(Cow::Borrowed(self));
        }
        // A name may hold a dot.
        if let Some(whole) = self.field(path) {
            return Some(Cow::Borrowed(whole));
        }
        let (step, rest) = path.split_once('.').unwrap_or((path, ""));
        match self {
            Self::Object(_) if rest.is_empty() => None,
            Self::Object(_) => self.field(step)?.get(rest),
            Self::List(entries) => match step.parse::<usize>() {
                Ok(index) => entries.get(index)?.get(rest),
                Err(_) => entries
                    .iter()
                    .find_map(|entry| entry.named(step))?
                    .get(rest),
            },
            Self::Shared(node) => node.get(path),
            // One tag is a text, where several are a list.
            Self::Text(_) if path == "0" => Some(Cow::Borrowed(self)),
            Self::Text(text) if text.starts_with(['{', '[']) => {
                let inner = Self::parse(text).ok()?;
                inner.get(path).map(|node| Cow::Owned(node.into_owned()))
            }
            _ => None,
        }
    }

    /// The value of an entry like `{"name":"X-Tag","value":"spring"}`.
    fn named(&self, name: &str) -> Option<&Node> {
        let is =
            matches!(self.field("name"), Some(Self::Text(own)) if own.eq_ignore_ascii_case(name));
        self.field("value").filter(|_| is)
    }

    /// The text of a value. A list gives that of its first entry; an empty text, an object and `null` have none.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text.as_str())).filter(|text| !text.is_empty()),
            Self::Number(number) => Some(Cow::Borrowed(number.as_str())),
            Self::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
            Self::List(entries) => entries.first()?.text(),
            Self::Shared(node) => node.text(),
            Self::Null | Self::Object(_) => None,
        }
    }

    /// The text of the first of several paths, separated by `|`, that has one.
    pub(crate) fn text_at(&self, paths: &str) -> Option<String> {
        paths
            .split('|')
            .find_map(|path| Some(self.get(path)?.text()?.into_owned()))
    }

    /// All values at a dotted path, through all entries of the lists on the way; a step `*` takes every field.
    pub(crate) fn all<'n>(&'n self, path: &str, found: &mut Vec<&'n Node>) {
        if let Self::List(entries) = self {
            entries.iter().for_each(|entry| entry.all(path, found));
        } else if let Self::Shared(node) = self {
            node.all(path, found);
        } else if path.is_empty() {
            found.push(self);
        } else if let Self::Object(fields) = self {
            let (step, rest) = path.split_once('.').unwrap_or((path, ""));
            match step {
                "*" => fields.iter().for_each(|(_, node)| node.all(rest, found)),
                _ => self
                    .field(step)
                    .into_iter()
                    .for_each(|node| node.all(rest, found)),
            }
        }
    }
}

/// The rest of a text that is known to be JSON.
struct Rest<'t>(&'t str);

impl<'t> Rest<'t> {
    /// Takes so many bytes.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.0.split_at_checked(bytes).unwrap_or((self.0, ""));
        self.0 = rest;
        taken
    }

    /// The next byte that is no blank; it stays.
    fn next(&mut self) -> u8 {
        self.0 = self.0.trim_ascii_start();
        self.0.bytes().next().unwrap_or_default()
    }

    fn value(&mut self, depth: usize) -> Result<Node, NotATree> {
        Ok(match self.next() {
            b'{' => Node::Object(self.entries(depth, |rest, depth| {
                rest.next();
                let name = rest.text()?;
                // The colon.
                rest.next();
                rest.take(1);
                Ok((name, rest.value(depth)?))
            })?),
            b'[' => Node::List(self.entries(depth, Self::value)?),
            b'"' => Node::Text(self.text()?),
            _ => {
                let ends =
                    |byte: u8| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
                let word = self.take(self.0.bytes().position(ends).unwrap_or(self.0.len()));
                match word {
                    "null" => Node::Null,
                    "true" => Node::Bool(true),
                    "false" => Node::Bool(false),
                    number => Node::Number(number.to_owned()),
                }
            }
        })
    }

    /// What stands between two brackets.
    fn entries<T, C: FromIterator<T>>(
        &mut self,
        depth: usize,
        entry: fn(&mut Self, usize) -> Result<T, NotATree>,
    ) -> Result<C, NotATree> {
        let below = depth.checked_sub(1).ok_or(NotATree::TooDeep)?;
        self.take(1);
        let entries = std::iter::from_fn(|| match self.next() {
            b']' | b'}' | 0 => {
                self.take(1);
                None
            }
            b',' => {
                self.take(1);
                Some(entry(self, below))
            }
            _ => Some(entry(self, below)),
        });
        entries.collect()
    }

    fn text(&mut self) -> Result<String, NotATree> {
        let inner = &self.0.as_bytes()[1..];
        let mut at = 0;
        // A quote behind a backslash does not end a text.
        while let Some(found) = memchr::memchr2(b'"', b'\\', &inner[at..]) {
            at += found;
            if inner[at] == b'"' {
                break;
            }
            at += 2;
        }
        let quoted = self.take(at + 2);
        match quoted.contains('\\') {
            true => {
                serde_json::from_str(quoted).map_err(|error| NotATree::NoJson(error.to_string()))
            }
            false => Ok(quoted[1..quoted.len() - 1].to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_finds() {
        let tree = Node::parse(
            r#"{"id":12345678901234567890,"a":{"b":[{"c":1.50},{"c":2}],"d.e":"x"},"empty":"","none":null,
                "inner":"{\"k\":[7]}","headers":[{"name":"X-Tag","value":"t1"},{"name":"x-meta","value":"{\"m\":\"v\"}"}]}"#,
        )
        .unwrap();
        for (paths, found) in [
            ("id", Some("12345678901234567890")),
            ("a.b.0.c", Some("1.50")),
            ("a.b.1.c", Some("2")),
            ("a.b.2.c", None),
            ("a.d.e", Some("x")),
            ("empty", None),
            ("none", None),
            ("none|empty|id", Some("12345678901234567890")),
            ("inner.k", Some("7")),
            ("headers.x-tag", Some("t1")),
            ("headers.X-Meta.m", Some("v")),
            ("headers.X-Meta.n", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(tree.text_at(paths).as_deref(), found, "{paths}");
        }
        let mut found = Vec::new();
        tree.all("a.b.c", &mut found);
        assert_eq!(found.len(), 2);
    }

    /// What is read in one pass is what serde reads.
    #[test]
    fn every_json_is_read_as_it_is_written() {
        fn plain(node: &Node) -> serde_json::Value {
            match node {
                Node::Null => serde_json::Value::Null,
                Node::Bool(flag) => (*flag).into(),
                Node::Number(number) => serde_json::from_str(number).unwrap(),
                Node::Text(text) => text.as_str().into(),
                Node::List(entries) => entries.iter().map(plain).collect(),
                Node::Object(fields) => fields
                    .iter()
                    .map(|(name, node)| (name.clone(), plain(node)))
                    .collect(),
                Node::Shared(node) => plain(node),
            }
        }
        for text in [
            "{}",
            "[]",
            " [ ] ",
            "[[],{}]",
            "\"\"",
            "-1.5e+3",
            "null",
            "[1,-2.50,1e9,true,false,null]",
            r#"{"a" : "b" , "c":[ {"d":"e\"f"} , "\\", "\u00e9\ud83d\ude00", "\n" ]}"#,
            r#"{"\"":{"":[""]},"ключ":"}]{[,:"}"#,
            r#"{"twice":1,"twice":{"x":2}}"#,
            "\t{\r\n\"a\":\n[1\n,\n2]}\n",
        ] {
            let expected: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(plain(&Node::parse(text).unwrap()), expected, "{text}");
        }
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\"}",
            "tru",
            "\"\\x\"",
            "1 2",
            "{\"a\":1}}",
            "\"\\ud800\"",
        ] {
            assert!(Node::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_deep_body_is_no_tree() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Node::parse(&deep(32)).is_ok());
        assert_eq!(Node::parse(&deep(33)), Err(NotATree::TooDeep));
        assert!(Node::parse(&deep(100_000)).is_err());
        assert!(Node::parse("{").is_err());
    }
}
