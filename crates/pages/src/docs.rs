//! The page of the interface, made of the document that describes it: routes by tag, with their roles, parameters, bodies, answers
//! and a line to paste; and the kinds of problems.

use std::sync::{Mutex, OnceLock, PoisonError};

use askama::Template;
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use revtrail_web::session;
use serde_json::{Map, Value, json};

use crate::answer::{self, Asset, Document};
use crate::asked::{Api, OPENAPI};
use crate::lists::items;
use crate::sheet::text;

/// How deep the fields of an object are listed.
const DEPTH: usize = 3;
/// How many words of a list of words are named.
const WORDS_MAX: usize = 12;

/// The methods, in the order in which they are shown.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// A part of a sentence: a text, or what stands between backticks.
struct Said {
    text: String,
    is_code: bool,
}

/// A parameter or a field.
struct Row {
    name: String,
    kind: String,
    needed: bool,
    about: String,
}

struct Answer {
    status: String,
    meaning: String,
    media: String,
    fields: Vec<Row>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    about: Vec<Said>,
    roles: String,
    parameters: Vec<Row>,
    media: String,
    body: Vec<Row>,
    /// A body to begin with; empty where the route takes none.
    example: String,
    answers: Vec<Answer>,
    /// The kinds of problems of a refusal.
    refusals: Vec<String>,
}

struct Tag {
    name: String,
    about: String,
    operations: Vec<Operation>,
}

struct Kind {
    name: String,
    status: String,
    title: String,
    advice: Vec<Said>,
}

/// The document as it is shown.
struct Shown {
    version: String,
    tags: Vec<Tag>,
    kinds: Vec<Kind>,
}

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    assets: &'static [Asset; 3],
    origin: String,
    shown: &'static Shown,
}

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    static SHOWN: OnceLock<Shown> = OnceLock::new();
    let shown = match SHOWN.get() {
        Some(shown) => shown,
        None => {
            let document: Value = api.says(&call, OPENAPI, (None, &[]), &[]).await?;
            SHOWN.get_or_init(|| Shown::new(&document))
        }
    };
    // The page is made and packed once for an origin, and there is hardly ever more than one.
    static MADE: Mutex<Option<(String, Document)>> = Mutex::new(None);
    let origin = session::origin(&call.headers);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, page)) = made.as_ref().filter(|(of, _)| *of == origin) {
        return Ok(page.answer(&call.headers));
    }
    let page = Document::new(&DocsPage {
        assets: &answer::ALL,
        origin: origin.clone(),
        shown,
    })?;
    *made = Some((origin, page.clone()));
    Ok(page.answer(&call.headers))
}

/// The operations of a document: the method, the path, and what is said of it.
pub(crate) fn operations(document: &Value) -> impl Iterator<Item = (&'static str, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, of)| {
        let of_method = |method: &'static str| Some((method, path.as_str(), of.get(method)?));
        METHODS.into_iter().filter_map(of_method)
    })
}

/// The texts of a list.
pub(crate) fn texts<'v>(told: &'v Value, field: &str) -> Vec<&'v str> {
    items(told, field).filter_map(Value::as_str).collect()
}

/// A sentence in its parts.
fn said(sentence: &str) -> Vec<Said> {
    let part = |(place, text): (usize, &str)| Said {
        text: text.to_owned(),
        is_code: place % 2 == 1,
    };
    let parts = sentence.split('`').enumerate().map(part);
    parts.filter(|part| !part.text.is_empty()).collect()
}

impl Shown {
    fn new(document: &Value) -> Self {
        let tag = |tag: &Value| Tag {
            name: text(tag, "name"),
            about: text(tag, "description"),
            operations: operations(document)
                .filter(|(_, _, told)| told["tags"][0] == tag["name"])
                .map(|(method, path, told)| Operation::new(document, method, path, told))
                .collect(),
        };
        let kind = |kind: &Value| Kind {
            name: text(kind, "name"),
            status: text(kind, "status"),
            title: text(kind, "title"),
            advice: said(&text(kind, "advice")),
        };
        Self {
            version: text(&document["info"], "version"),
            tags: items(document, "tags").map(tag).collect(),
            kinds: items(document, "x-problems").map(kind).collect(),
        }
    }
}

impl Operation {
    fn new(document: &Value, method: &str, path: &str, told: &Value) -> Self {
        let schemas = Schemas(document);
        let parameter = |one: &Value| {
            let one = schemas.resolved(one);
            Row {
                name: match one["in"] == "header" {
                    true => format!("{} (a header)", text(one, "name")),
                    false => text(one, "name"),
                },
                kind: schemas.kind(&one["schema"]),
                needed: one["required"] == true,
                about: text(one, "description"),
            }
        };
        let contents = told["requestBody"]["content"].as_object();
        let media: Vec<&str> = contents
            .into_iter()
            .flatten()
            .map(|(media, _)| media.as_str())
            .collect();
        let schema = contents.and_then(|of| of.get("application/json").or(of.values().next()));
        let schema = schema.map_or(&Value::Null, |of| &of["schema"]);
        let roles = texts(told, "x-roles");
        let (mut answers, mut refusals) = (Vec::new(), Vec::new());
        for (status, answer) in told["responses"].as_object().into_iter().flatten() {
            let named = schemas.resolved(answer);
            refusals.extend(texts(named, "x-problems").into_iter().map(str::to_owned));
            if status.starts_with('2') {
                answers.push(Answer::new(&schemas, status, named));
            }
        }
        Self {
            id: text(told, "operationId"),
            method: method.to_uppercase(),
            path: path.to_owned(),
            summary: text(told, "summary"),
            about: said(&text(told, "description")),
            roles: match roles.is_empty() {
                true => "without a key".to_owned(),
                false => roles.join(", "),
            },
            parameters: items(told, "parameters").map(parameter).collect(),
            body: schemas.rows(schema, "", 0),
            example: match media.first() {
                Some(&"application/json") => schemas.example(schema, 0).to_string(),
                _ => String::new(),
            },
            media: media.join(", "),
            answers,
            refusals,
        }
    }

    /// The line to paste, for a service at an origin.
    fn curl(&self, origin: &str) -> String {
        let path = self
            .path
            .replace("{marketplace}", "shop")
            .replace(['{', '}'], "");
        let mut line = "curl".to_owned();
        if self.method != "GET" {
            line = format!("{line} -X {}", self.method);
        }
        line = format!("{line} '{origin}{path}'");
        if self.roles != "without a key" {
            line.push_str(" \\\n  -H 'Authorization: Bearer <key>'");
        }
        if !self.example.is_empty() {
            let body = self.example.replace('\'', "'\\''");
            line = format!("{line} \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'");
        }
        line
    }
}

impl Answer {
    fn new(schemas: &Schemas<'_>, status: &str, told: &Value) -> Self {
        let contents = told["content"].as_object();
        let media: Vec<&str> = contents
            .into_iter()
            .flatten()
            .map(|(media, _)| media.as_str())
            .collect();
        let schema = contents.and_then(|of| of.get("application/json"));
        Self {
            status: status.to_owned(),
            meaning: text(told, "description"),
            media: media.join(", "),
            fields: schema.map_or(Vec::new(), |of| schemas.rows(&of["schema"], "", 0)),
        }
    }
}

/// Reads the schemas of a document.
struct Schemas<'d>(&'d Value);

impl<'d> Schemas<'d> {
    /// What a reference leads to; anything else is itself.
    fn resolved(&self, told: &'d Value) -> &'d Value {
        let at = told["$ref"].as_str().and_then(|at| at.strip_prefix('#'));
        at.and_then(|at| self.0.pointer(at)).unwrap_or(told)
    }

    /// The object that a schema is, has in a list, or can be; and what its name gets.
    fn object(
        &self,
        schema: &'d Value,
    ) -> Option<(&'d Map<String, Value>, &'d Value, &'static str)> {
        let schema = self.resolved(schema);
        if let Some(properties) = schema["properties"].as_object() {
            return Some((properties, schema, ""));
        }
        if let Some(list) = schema.get("items") {
            return self.object(list).map(|(of, schema, _)| (of, schema, "[]"));
        }
        items(schema, "anyOf").find_map(|one| self.object(one))
    }

    /// The fields of an object, and of objects in it.
    fn rows(&self, schema: &'d Value, prefix: &str, depth: usize) -> Vec<Row> {
        let Some((properties, of, _)) = self.object(schema).filter(|_| depth < DEPTH) else {
            return Vec::new();
        };
        let needed = texts(of, "required");
        let mut rows = Vec::new();
        for (name, field) in properties {
            let told = self.resolved(field);
            let about = match text(field, "description") {
                none if none.is_empty() => text(told, "description"),
                about => about,
            };
            rows.push(Row {
                name: format!("{prefix}{name}"),
                kind: self.kind(field),
                needed: needed.contains(&name.as_str()),
                about,
            });
            let many = self.object(field).map_or("", |(_, _, many)| many);
            rows.extend(self.rows(field, &format!("{prefix}{name}{many}."), depth + 1));
        }
        rows
    }

    /// What a value is, in words.
    fn kind(&self, schema: &'d Value) -> String {
        let schema = self.resolved(schema);
        if let Some(words) = schema["enum"].as_array() {
            let shown = words.iter().filter_map(Value::as_str).take(WORDS_MAX);
            let more = if words.len() > WORDS_MAX { ", …" } else { "" };
            return format!("one of {}{more}", shown.collect::<Vec<_>>().join(", "));
        }
        if schema["anyOf"].is_array() {
            let mut kinds: Vec<String> = items(schema, "anyOf").map(|one| self.kind(one)).collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
            _ => return "anything".to_owned(),
        };
        let kinds = types.into_iter().map(|one| self.of_type(schema, one));
        kinds.collect::<Vec<_>>().join(" or ")
    }

    fn of_type(&self, schema: &'d Value, name: &str) -> String {
        let [least, most] = ["minimum", "maximum"].map(|limit| schema[limit].as_i64());
        match (name, schema["format"].as_str()) {
            ("string", Some("date-time")) => "time".to_owned(),
            ("string", Some("date")) => "day".to_owned(),
            ("string", _) => match schema["maxLength"].as_u64() {
                Some(most) => format!("text of 1 to {most} bytes"),
                None => "text".to_owned(),
            },
            ("integer", _) => match (least, most) {
                (Some(least), Some(most)) => format!("whole number from {least} to {most}"),
                _ => "whole number".to_owned(),
            },
            ("boolean", _) => "true or false".to_owned(),
            ("array", _) => {
                let most = schema["maxItems"].as_u64();
                let most = most.map_or(String::new(), |most| format!("at most {most}, each "));
                format!("list: {most}{}", self.kind(&schema["items"]))
            }
            ("object", _) if schema["additionalProperties"].is_object() => {
                format!(
                    "object: {} by name",
                    self.kind(&schema["additionalProperties"])
                )
            }
            (other, _) => other.to_owned(),
        }
    }

    /// A value to begin with: what is needed, and what has an example.
    fn example(&self, schema: &'d Value, depth: usize) -> Value {
        let schema = self.resolved(schema);
        if let Some(example) = schema["examples"].get(0).or(schema.get("default")) {
            return example.clone();
        }
        if let Some(word) = schema["enum"].get(0) {
            return word.clone();
        }
        if let Some(first) = items(schema, "anyOf").next() {
            return self.example(first, depth);
        }
        let is = |name: &str| schema["type"] == name || schema["type"][0] == name;
        if let Some(properties) = schema["properties"].as_object().filter(|_| depth < DEPTH) {
            let needed = texts(schema, "required");
            let has = |(name, field): &(&String, &'d Value)| {
                needed.contains(&name.as_str()) || !self.resolved(field)["examples"].is_null()
            };
            let fields = properties.iter().filter(has);
            let fields = fields.map(|(name, field)| (name.clone(), self.example(field, depth + 1)));
            return Value::Object(fields.collect());
        }
        if is("array") {
            return json!([self.example(&schema["items"], depth + 1)]);
        }
        if is("object") {
            return json!({});
        }
        if is("integer") || is("number") {
            return schema["minimum"]
                .as_i64()
                .map_or(json!(1), |least| json!(least.max(1)));
        }
        if is("boolean") {
            json!(true)
        } else {
            json!("a-1")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        json!({
            "components": { "schemas": {
                "Id": { "type": "string", "minLength": 1, "maxLength": 128 },
                "Tier": { "type": "object", "properties": { "tier_id": { "$ref": "#/components/schemas/Id" },
                    "value": { "type": ["string", "null"], "examples": ["5.00"], "description": "What it is worth." } }, "required": ["tier_id"] },
            } },
        })
    }

    #[test]
    fn what_schemas_say_in_words() {
        let document = document();
        let schemas = Schemas(&document);
        for (schema, kind, example) in [
            (
                json!({ "$ref": "#/components/schemas/Id" }),
                "text of 1 to 128 bytes",
                json!("a-1"),
            ),
            (
                json!({ "type": ["string", "null"], "format": "date-time" }),
                "time or null",
                json!("a-1"),
            ),
            (
                json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 50 }),
                "whole number from 1 to 1000",
                json!(50),
            ),
            (json!({ "enum": ["a", "b"] }), "one of a, b", json!("a")),
            (
                json!({ "anyOf": [{ "$ref": "#/components/schemas/Tier" }, { "type": "null" }] }),
                "object or null",
                json!({"tier_id": "a-1", "value": "5.00"}),
            ),
            (
                json!({ "type": "array", "maxItems": 3, "items": { "type": "boolean" } }),
                "list: at most 3, each true or false",
                json!([true]),
            ),
            (
                json!({ "type": "object", "additionalProperties": { "type": "integer" } }),
                "object: whole number by name",
                json!({}),
            ),
            (json!({}), "anything", json!("a-1")),
        ] {
            let schemas = Schemas(schemas.0);
            assert_eq!(schemas.kind(&schema), kind);
            assert_eq!(schemas.example(&schema, 0), example, "{kind}");
        }
    }

    #[test]
    fn fields_of_objects_in_objects_are_listed() {
        let document = document();
        let schemas = Schemas(&document);
        let schema = json!({ "type": "object", "required": ["tiers"], "properties": {
            "tiers": { "type": "array", "items": { "$ref": "#/components/schemas/Tier" } } } });
        let rows = schemas.rows(&schema, "", 0);
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row.name.as_str(), row.needed, row.about.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("tiers", true, ""),
                ("tiers[].tier_id", true, ""),
                ("tiers[].value", false, "What it is worth.")
            ]
        );
    }

    #[test]
    fn backticks_are_code() {
        let parts = said("Send `a` or `b`.");
        let told: Vec<_> = parts
            .iter()
            .map(|part| (part.text.as_str(), part.is_code))
            .collect();
        assert_eq!(
            told,
            [
                ("Send ", false),
                ("a", true),
                (" or ", false),
                ("b", true),
                (".", false)
            ]
        );
    }
}
