//! The shape of a post: the names of its fields and the kinds of their values, so that a person sees what a sender says without seeing
//! about whom.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::node::Node;
use crate::{Post, Refused, is_personal};

/// How deep fields are listed.
const DEPTH_MAX: usize = 5;
/// How many fields of an object are listed.
const FIELDS_MAX: usize = 40;
/// The most bytes of a shape.
const BYTES_MAX: usize = 2_000;
/// The longest name of a field that is shown.
const NAME_BYTES_MAX: usize = 60;

/// What a value is. The entries of a list are one shape together.
#[derive(Default)]
struct Shape {
    word: &'static str,
    is_list: bool,
    fields: BTreeMap<String, Shape>,
}

/// The shape of a post, like `[{"event":text,"tags":[text]}]`.
///
/// # Errors
/// [`Refused::Unreadable`] for a body that is not what its type says.
pub fn shape(post: &Post<'_>) -> Result<String, Refused> {
    let mut shape = Shape::default();
    shape.add(&post.tree()?, DEPTH_MAX);
    let mut text = shape.to_string();
    if text.len() > BYTES_MAX {
        text.truncate(text.floor_char_boundary(BYTES_MAX));
        text.push('…');
    }
    Ok(text)
}

impl Shape {
    fn add(&mut self, node: &Node, depth: usize) {
        let word = match node {
            Node::List(entries) => {
                self.is_list = true;
                return entries.iter().for_each(|entry| self.add(entry, depth));
            }
            Node::Object(fields) => {
                for (name, value) in fields.iter().filter(|_| depth > 0) {
                    let is_shown = name.len() <= NAME_BYTES_MAX && !is_personal(name);
                    let name = if is_shown { name } else { "…" };
                    if self.fields.len() < FIELDS_MAX || self.fields.contains_key(name) {
                        let field = self.fields.entry(name.to_owned()).or_default();
                        field.add(value, depth - 1);
                    }
                }
                return;
            }
            Node::Shared(node) => return self.add(node, depth),
            Node::Null => return,
            Node::Bool(_) => "flag",
            Node::Number(_) => "number",
            Node::Text(_) => "text",
        };
        self.word = word;
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.is_list { ("[", "]") } else { ("", "") };
        f.write_str(open)?;
        match (self.fields.is_empty(), self.word) {
            (true, "") if !self.is_list => f.write_str("nothing")?,
            (true, word) => f.write_str(word)?,
            (false, _) => {
                f.write_char('{')?;
                for (place, (name, field)) in self.fields.iter().enumerate() {
                    let between = if place > 0 { "," } else { "" };
                    write!(f, "{between}\"{name}\":{field}")?;
                }
                f.write_char('}')?;
            }
        }
        f.write_str(close)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_shape_names_fields_and_nobody() {
        for (body, told) in [
            (
                r#"[{"event":"open","email":"ann@example.com","at":1},{"event":"x","tags":["a","b"],"ok":true}]"#,
                r#"[{"at":number,"email":text,"event":text,"ok":flag,"tags":[text]}]"#,
            ),
            (
                r#"{"ann@example.com":{"n":1},"380501234567":"x","none":null,"empty":[]}"#,
                r#"{"empty":[],"none":nothing,"…":{"n":number}}"#,
            ),
            (
                r#"{"a":{"b":{"c":{"d":{"e":{"f":1}}}}}}"#,
                r#"{"a":{"b":{"c":{"d":{"e":nothing}}}}}"#,
            ),
            ("", "[]"),
        ] {
            let headers = HeaderMap::new();
            let post = Post {
                certificate: None,
                headers: &headers,
                body: body.as_bytes(),
            };
            assert_eq!(shape(&post).unwrap(), told);
        }
        let long: Vec<String> = (0..200)
            .map(|n| format!("\"{n}é\":{{\"{}\":1}}", "n".repeat(58)))
            .collect();
        let body = format!("{{{}}}", long.join(","));
        let headers = HeaderMap::new();
        let post = Post {
            certificate: None,
            headers: &headers,
            body: body.as_bytes(),
        };
        assert!(shape(&post).unwrap().len() <= BYTES_MAX + "…".len());
    }
}
