//! The records in a text of JSON documents: one document, or one a line, or lists in lists. Each record knows the line that it begins on.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::node::Node;

/// The deepest nesting of a record.
const DEPTH_MAX: usize = 32;

/// A record, and what stands around it.
#[derive(Debug)]
pub struct Entry {
    /// The line on which it begins. The first line of the text is 1.
    pub line: u64,
    /// The record itself, then what is around it from the inside out. A name that stands for a value is the field `@name`.
    pub(super) nodes: Vec<Node>,
}

impl Entry {
    /// The record as JSON, where numbers are texts.
    pub fn value(&self) -> Option<Value> {
        Some(value(self.nodes.first()?))
    }
}

fn value(node: &Node) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(flag) => Value::Bool(*flag),
        Node::Number(text) | Node::Text(text) => Value::String(text.clone()),
        Node::List(list) => Value::Array(list.iter().map(value).collect()),
        Node::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, node)| (name.clone(), value(node)));
            Value::Object(fields.collect())
        }
        Node::Shared(node) => value(node),
    }
}

/// The records of a text, and why its reading ended early.
#[derive(Debug, Default)]
pub struct Entries {
    /// The records, in their order.
    pub found: Vec<Entry>,
    /// The line that is no JSON, and why; what is before it was read.
    pub broken: Option<(u64, String)>,
}

/// Finds the records of a text. `path` is the way to them: names of fields with dots between them, where `*` is any field. Lists on
/// the way are gone through.
pub fn entries(text: &str, path: &str) -> Entries {
    let steps: Vec<&str> = path.split('.').filter(|step| !step.is_empty()).collect();
    let mut walk = Walk {
        text,
        entries: Entries::default(),
        line: (0, 1),
    };
    let documents = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    for document in documents {
        match document {
            Ok(document) => walk.enter(document, &steps, &[], DEPTH_MAX),
            Err(error) => {
                // The place is counted from the text's own beginning.
                walk.entries.broken = Some((error.line() as u64, error.to_string()));
                break;
            }
        }
    }
    walk.entries
}

struct Walk<'t> {
    text: &'t str,
    entries: Entries,
    /// A place in the text, and its line. Records are found in the order of the text.
    line: (usize, u64),
}

impl<'t> Walk<'t> {
    fn enter(&mut self, raw: &'t RawValue, steps: &[&str], around: &[Node], depth: usize) {
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        if raw.get().starts_with('[')
            && let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(raw.get())
        {
            for entry in list {
                self.enter(entry, steps, around, depth);
            }
            return;
        }
        let Some((step, steps)) = steps.split_first() else {
            return self.add(raw, around);
        };
        let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(raw.get()) else {
            return self.add(raw, around);
        };
        let is_on_the_way = |name: &String| *step == "*" || name == step;
        let (on_the_way, beside): (Vec<_>, Vec<_>) = fields
            .into_iter()
            .partition(|(name, _)| is_on_the_way(name));
        let nodes = beside
            .into_iter()
            .filter_map(|(name, raw)| Some((name, Node::parse(raw.get()).ok()?)));
        let mut own: BTreeMap<String, Node> = nodes.collect();
        for (name, raw) in on_the_way {
            own.insert("@name".to_owned(), Node::Text(name));
            let fields = own.clone().into_iter().collect();
            let around = [&[Node::Object(fields)], around].concat();
            self.enter(raw, steps, &around, depth);
        }
    }

    fn add(&mut self, raw: &'t RawValue, around: &[Node]) {
        let at = raw.get().as_ptr().addr() - self.text.as_ptr().addr();
        let (before, line) = self.line;
        // Fields are walked in the order of their names, so a record may stand before the last.
        let line = match self.text.get(before..at) {
            Some(between) => line + between.bytes().filter(|byte| *byte == b'\n').count() as u64,
            None => {
                1 + self.text[..at]
                    .bytes()
                    .filter(|byte| *byte == b'\n')
                    .count() as u64
            }
        };
        self.line = (at, line);
        let own = Node::parse(raw.get()).unwrap_or(Node::Null);
        self.entries.found.push(Entry {
            line,
            nodes: [&[own], around].concat(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_records_are() {
        let pages = "{\"id\":7,\"pages\":[\n{\"who\":\"a\",\"acts\":[{\"n\":1},\n{\"n\":2}]},{\"who\":\"b\",\"acts\":[]}]}\n";
        for (text, path, expected) in [
            ("{\"n\":1}\n\n{\"n\":2}\n", "", "1:1 3:2"),
            ("[{\"n\":1},\n{\"n\":2}]", "", "1:1 2:2"),
            ("{\"list\":[\n{\"n\":1}]}", "list", "2:1"),
            (pages, "pages.acts", "2:1 3:2"),
            ("{\"a\":[{\"n\":1}]}\n{\"b\":[]}", "*", "1:1"),
            ("{\"n\":1}\n{\"n\":", "", "1:1 broken 2"),
        ] {
            let entries = entries(text, path);
            let mut found: Vec<String> = entries
                .found
                .iter()
                .map(|e| format!("{}:{}", e.line, e.nodes[0].text_at("n").unwrap_or_default()))
                .collect();
            found.extend(entries.broken.map(|(line, _)| format!("broken {line}")));
            assert_eq!(found.join(" "), expected, "{text}");
        }
        let around = &entries(pages, "pages.acts").found[1].nodes;
        let texts: Vec<_> = around.iter().map(|n| n.text_at("who|id")).collect();
        assert_eq!(texts, [None, Some("a".into()), Some("7".into())]);
        let named = entries("{\"ann@example.com\":[{\"n\":1}]}", "*");
        let name = named.found[0].nodes[1].text_at("@name");
        assert_eq!(name.as_deref(), Some("ann@example.com"));
    }
}
