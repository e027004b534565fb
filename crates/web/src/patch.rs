//! RFC 7396: applies a merge patch to a JSON text. Values are kept as they are written, so no amount passes through a float.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

type Fields<'t> = BTreeMap<String, &'t RawValue>;

/// Applies a patch to a JSON text. Objects are merged field by field, `null` removes a field, and any other value replaces the
/// old one. A text that is not JSON counts as absent.
pub fn merge(target: &str, patch: &str) -> String {
    let Ok(patched) = serde_json::from_str::<Fields<'_>>(patch) else {
        return patch.to_owned();
    };
    let current: Fields<'_> = serde_json::from_str(target).unwrap_or_default();
    let mut merged: BTreeMap<&str, String> = current
        .iter()
        .map(|(name, value)| (name.as_str(), value.get().to_owned()))
        .collect();
    for (name, value) in &patched {
        if value.get() == "null" {
            merged.remove(name.as_str());
        } else {
            let target = merged.remove(name.as_str()).unwrap_or_default();
            merged.insert(name, merge(&target, value.get()));
        }
    }
    let field = |(name, value): (&str, String)| format!("{}:{value}", serde_json::json!(name));
    let fields: Vec<String> = merged.into_iter().map(field).collect();
    format!("{{{}}}", fields.join(","))
}

#[cfg(test)]
mod tests {
    use super::merge;

    #[test]
    fn the_examples_of_the_rfc() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            (r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            // Numbers stay as they are written, and names stay as they are escaped.
            (
                r#"{"v":123456789012345.123456}"#,
                r#"{"w":0.10}"#,
                r#"{"v":123456789012345.123456,"w":0.10}"#,
            ),
            ("{}", r#"{"a\"\u00fc":1}"#, "{\"a\\\"ü\":1}"),
        ] {
            assert_eq!(merge(target, patch), result, "{target} {patch}");
        }
    }
}
