//! The body of a post as a tree in which paths are looked up. Numbers stay as they were written: ids and money are never read
//! through a binary float.

use std::borrow::Cow;
use std::collections::BTreeMap;

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
    Object(BTreeMap<String, Node>),
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
        let no_json = |error: serde_json::Error| NotATree::NoJson(error.to_string());
        let raw: &RawValue = serde_json::from_str(text).map_err(no_json)?;
        Self::of_raw(raw.get(), DEPTH_MAX)
    }

    fn of_raw(raw: &str, depth: usize) -> Result<Self, NotATree> {
        let no_json = |error: serde_json::Error| NotATree::NoJson(error.to_string());
        let below = depth.checked_sub(1).ok_or(NotATree::TooDeep);
        Ok(match raw.as_bytes().first() {
            Some(b'{') => {
                let fields: BTreeMap<String, &RawValue> =
                    serde_json::from_str(raw).map_err(no_json)?;
                let below = below?;
                let node =
                    |(name, raw): (String, &RawValue)| Ok((name, Self::of_raw(raw.get(), below)?));
                Self::Object(fields.into_iter().map(node).collect::<Result<_, _>>()?)
            }
            Some(b'[') => {
                let entries: Vec<&RawValue> = serde_json::from_str(raw).map_err(no_json)?;
                let below = below?;
                let entries = entries
                    .into_iter()
                    .map(|raw| Self::of_raw(raw.get(), below));
                Self::List(entries.collect::<Result<_, _>>()?)
            }
            Some(b'"') => Self::Text(serde_json::from_str(raw).map_err(no_json)?),
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            _ => Self::Number(raw.to_owned()),
        })
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
        Self::Object(fields)
    }

    /// The value at a dotted path. A step into a list takes the entry with this number, or the value of the entry with this name, as
    /// mail headers are listed. A step into a text reads the JSON in it.
    pub(crate) fn get(&self, path: &str) -> Option<Cow<'_, Node>> {
        if path.is_empty() {
            return Some(Cow::Borrowed(self));
        }
        // A name may hold a dot.
        if let Self::Object(fields) = self
            && let Some(whole) = fields.get(path)
        {
            return Some(Cow::Borrowed(whole));
        }
        let (step, rest) = path.split_once('.').unwrap_or((path, ""));
        match self {
            Self::Object(fields) => fields.get(step)?.get(rest),
            Self::List(entries) => match step.parse::<usize>() {
                Ok(index) => entries.get(index)?.get(rest),
                Err(_) => entries
                    .iter()
                    .find_map(|entry| entry.named(step))?
                    .get(rest),
            },
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
        let Self::Object(fields) = self else {
            return None;
        };
        let is =
            matches!(fields.get("name"), Some(Self::Text(own)) if own.eq_ignore_ascii_case(name));
        fields.get("value").filter(|_| is)
    }

    /// The text of a value. A list gives that of its first entry; an empty text, an object and `null` have none.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text.as_str())).filter(|text| !text.is_empty()),
            Self::Number(number) => Some(Cow::Borrowed(number.as_str())),
            Self::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
            Self::List(entries) => entries.first()?.text(),
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
        } else if path.is_empty() {
            found.push(self);
        } else if let Self::Object(fields) = self {
            let (step, rest) = path.split_once('.').unwrap_or((path, ""));
            let below = fields
                .iter()
                .filter(|(name, _)| step == "*" || *name == step);
            below.for_each(|(_, node)| node.all(rest, found));
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

    #[test]
    fn a_deep_body_is_no_tree() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Node::parse(&deep(32)).is_ok());
        assert_eq!(Node::parse(&deep(33)), Err(NotATree::TooDeep));
        assert!(Node::parse(&deep(100_000)).is_err());
        assert!(Node::parse("{").is_err());
    }
}
