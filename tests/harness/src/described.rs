//! The document of the interface, and whether an answer is one that it describes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, Mutex};

use http::{HeaderMap, Method, Response, StatusCode};
use regex_lite::Regex;
use revtrail_web::openapi::{Function, document};
use serde_json::{Map, Value, json};

/// The document, and what is wrong with it.
pub static DOCUMENT: LazyLock<(Value, Vec<String>)> = LazyLock::new(|| document(functions()));

/// All functions that answer calls.
pub fn functions() -> Vec<Function> {
    let function = |name, routes, docs| Function { name, routes, docs };
    vec![
        function("ingest-event", ingest_event::routes(), ingest_event::docs()),
        function("ingest-order", ingest_order::routes(), ingest_order::docs()),
        function(
            "manage",
            manage::routes(manage::in_process(drop)),
            manage::docs(),
        ),
        function("report-query", report_query::routes(), report_query::docs()),
    ]
}

/// Of a longer list so many rows are looked at, at its beginning and at its end: all are made alike.
const ROWS_SEEN: usize = 25;

/// How values are held to their schemas.
#[derive(Clone, Copy)]
pub enum Strictness {
    /// As the schema says.
    AsWritten,
    /// A field that the schema does not name is a fault too. For readers, the schemas of answers are open: fields may be added.
    AllFieldsNamed,
}

/// A call, as far as the document says something of it.
pub struct Called<'c> {
    pub method: &'c Method,
    pub path: &'c str,
    pub headers: &'c HeaderMap,
    pub body: &'c [u8],
}

/// Asserts that an answer is one that the document describes and, where it is a success, that the body of the call is.
pub fn assert_described(called: &Called<'_>, answer: &Response<Vec<u8>>) {
    let path = called.path.split('?').next().unwrap();
    // The pages are for people, and no part of the document.
    if path.starts_with("/app") || path == "/docs" {
        return;
    }
    let faults = faults_of(called, path, answer);
    let shown = String::from_utf8_lossy(&answer.body()[..answer.body().len().min(2_000)]);
    assert!(
        faults.is_empty(),
        "{} {}: {} is not as the document says: {faults:#?}\n{shown}",
        called.method,
        called.path,
        answer.status()
    );
}

fn faults_of(called: &Called<'_>, path: &str, answer: &Response<Vec<u8>>) -> Vec<String> {
    let document = &DOCUMENT.0;
    let method = match *called.method {
        Method::HEAD => "get".to_owned(),
        _ => called.method.as_str().to_ascii_lowercase(),
    };
    let described = described_path(path);
    let operation = described.and_then(|operations| operations.get(&method));
    let status = answer.status();
    let response = match (operation, described, status) {
        (Some(operation), ..) => &operation["responses"][status.as_str()],
        (None, Some(_), StatusCode::METHOD_NOT_ALLOWED) => {
            &document["components"]["responses"]["MethodNotAllowed"]
        }
        // Of a path that is there, the first route decides who may see that it lacks the method.
        (
            None,
            Some(_),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND,
        ) => return Vec::new(),
        (None, None, StatusCode::NOT_FOUND) => &document["components"]["responses"]["NotFound"],
        _ => return vec!["there is no such operation".to_owned()],
    };
    let response = resolved(response);
    if response.is_null() {
        return vec![format!("no answer {status} is described")];
    }
    let mut faults = answer_faults(response, called, answer);
    if let Some(operation) = operation
        && status.is_success()
    {
        faults.extend(body_faults(operation, called, answer));
    }
    faults
}

/// The operations of the path in the document that a path is one of. A segment that is written out goes before a parameter.
fn described_path(path: &str) -> Option<&'static Map<String, Value>> {
    let paths = DOCUMENT.0["paths"].as_object()?.iter();
    let (_, operations) = closest(paths, |(described, _)| described, path)?;
    operations.as_object()
}

/// Of some things with forms of paths, the one whose form a path has. A segment that is written out goes before a parameter.
pub fn closest<'f, T>(
    all: impl Iterator<Item = T>,
    form: impl Fn(&T) -> &'f str,
    path: &str,
) -> Option<T> {
    let segments: Vec<&str> = path.split('/').collect();
    let fits = |form: &str| {
        let form: Vec<&str> = form.split('/').collect();
        let same = |(a, b): (&&str, &&str)| a.starts_with('{') || a == b;
        form.len() == segments.len() && form.iter().zip(&segments).all(same)
    };
    let found = all.filter(|one| fits(form(one)));
    found.min_by_key(|one| form(one).matches('{').count())
}

fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.0.pointer(&reference[1..]).unwrap(),
        None => value,
    }
}

fn answer_faults(response: &Value, called: &Called<'_>, answer: &Response<Vec<u8>>) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        if header["required"] == true && !answer.headers().contains_key(name) {
            faults.push(format!("the header {name} is missing"));
        }
    }
    let media = media(answer.headers());
    let body = answer.body();
    match response["content"].as_object() {
        None if body.is_empty() => {}
        None => faults.push("a body is not described".to_owned()),
        Some(_) if *called.method == Method::HEAD => {}
        Some(contents) => match contents.get(&media) {
            None => faults.push(format!("{media:?} is not described")),
            Some(content) if media.ends_with("json") => {
                let body: Value = serde_json::from_slice(body).unwrap();
                faults.extend(check(&content["schema"], &body, Strictness::AllFieldsNamed));
                if media == "application/problem+json" {
                    faults.extend(kind_fault(response, &body));
                }
            }
            Some(_) => {}
        },
    }
    faults
}

/// What is wrong where a problem is of a kind that is not listed for the answer.
fn kind_fault(response: &Value, problem: &Value) -> Option<String> {
    let kind = problem["type"].as_str().unwrap_or_default();
    let listed = response["x-problems"].as_array().into_iter().flatten();
    let mut listed = listed.filter_map(Value::as_str);
    let is = listed.any(|name| kind == format!("/docs#problem-{name}"));
    (!is).then(|| format!("{kind} is not listed"))
}

fn media(headers: &HeaderMap) -> String {
    let media = headers
        .get("content-type")
        .map(|media| media.to_str().unwrap());
    let media = media.unwrap_or_default().split(';').next().unwrap();
    media.trim().to_ascii_lowercase()
}

/// What is wrong with the body of a call that succeeded. Of records, those that were rejected are left out.
fn body_faults(operation: &Value, called: &Called<'_>, answer: &Response<Vec<u8>>) -> Vec<String> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let is_json = ["", "application/json"].contains(&&*media(called.headers));
    if schema.is_null()
        || !is_json
        || called.body.is_empty()
        || called.headers.contains_key("content-encoding")
    {
        return Vec::new();
    }
    let body = String::from_utf8_lossy(called.body);
    let Ok(mut body) = serde_json::from_str::<Value>(body.trim_start_matches('\u{feff}')) else {
        return Vec::new();
    };
    let answered: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    if let (Value::Array(records), Some(rejected)) = (&mut body, answered["rejected"].as_array()) {
        let rejected: BTreeSet<u64> = rejected
            .iter()
            .filter_map(|one| one["index"].as_u64())
            .collect();
        let mut index = 0..;
        records.retain(|_| !rejected.contains(&index.next().unwrap()));
    }
    let faults = check(schema, &body, Strictness::AsWritten);
    faults
        .into_iter()
        .map(|fault| format!("of the body {fault}"))
        .collect()
}

/// What is wrong with a value that is to fit a schema.
pub fn check(schema: &Value, value: &Value, strictness: Strictness) -> Vec<String> {
    let mut faults = Vec::new();
    Checker {
        strictness,
        faults: &mut faults,
    }
    .check(schema, value, "");
    faults
}

struct Checker<'f> {
    strictness: Strictness,
    faults: &'f mut Vec<String>,
}

impl Checker<'_> {
    fn fault(&mut self, at: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{at}: {what}"));
    }

    fn check(&mut self, schema: &Value, value: &Value, at: &str) {
        if schema["x-any-case"] == true && value.is_string() {
            let upper = json!(value.as_str().unwrap().to_ascii_uppercase());
            return self.keyword("enum", &schema["enum"], &upper, at);
        }
        for (keyword, of) in schema.as_object().into_iter().flatten() {
            self.keyword(keyword, of, value, at);
        }
        self.check_fields(schema, value, at);
    }

    fn keyword(&mut self, keyword: &str, of: &Value, value: &Value, at: &str) {
        let number = |value: &Value| value.as_f64();
        let length = |value: &Value| match value {
            Value::String(text) => Some(text.chars().count() as f64),
            Value::Array(list) => Some(list.len() as f64),
            Value::Object(fields) => Some(fields.len() as f64),
            _ => None,
        };
        let below = |a: Option<f64>, b: &Value| a.is_some_and(|a| a < b.as_f64().unwrap());
        let above = |a: Option<f64>, b: &Value| a.is_some_and(|a| a > b.as_f64().unwrap());
        let wrong = match keyword {
            "$ref" => {
                let schema = DOCUMENT.0.pointer(&of.as_str().unwrap()[1..]).unwrap();
                return self.check(schema, value, at);
            }
            "anyOf" => !of
                .as_array()
                .unwrap()
                .iter()
                .any(|one| check(one, value, self.strictness).is_empty()),
            "type" => !types(of).any(|one| is_of_type(one, value)),
            "enum" => !of.as_array().unwrap().contains(value),
            "const" => of != value,
            "pattern" => value
                .as_str()
                .is_some_and(|text| !matches(of.as_str().unwrap(), text)),
            "minimum" => below(number(value), of),
            "maximum" => above(number(value), of),
            "minLength" if value.is_string() => below(length(value), of),
            "maxLength" if value.is_string() => above(length(value), of),
            "minItems" if value.is_array() => below(length(value), of),
            "maxItems" if value.is_array() => above(length(value), of),
            "maxProperties" if value.is_object() => above(length(value), of),
            "items" => return self.check_items(of, value, at),
            "minLength" | "maxLength" | "minItems" | "maxItems" | "maxProperties" => false,
            // Fields are looked at together. What is left says something to people.
            "properties" | "required" | "additionalProperties" | "propertyNames" => false,
            "description" | "examples" | "default" | "format" | "x-any-case" => false,
            other => panic!("{other} is no keyword that is checked here"),
        };
        if wrong {
            self.fault(at, format_args!("{value} is not as {keyword} says: {of}"));
        }
    }

    fn check_items(&mut self, items: &Value, value: &Value, at: &str) {
        let list = value.as_array().map_or(&[][..], Vec::as_slice);
        for (index, item) in list.iter().enumerate() {
            if index < ROWS_SEEN || index + ROWS_SEEN >= list.len() {
                self.check(items, item, &format!("{at}[{index}]"));
            }
        }
    }

    fn check_fields(&mut self, schema: &Value, value: &Value, at: &str) {
        let Some(fields) = value.as_object() else {
            return;
        };
        for name in schema["required"].as_array().into_iter().flatten() {
            if !fields.contains_key(name.as_str().unwrap()) {
                self.fault(at, format_args!("{name} is missing"));
            }
        }
        let (named, others) = (&schema["properties"], &schema["additionalProperties"]);
        let may_have_others = match (self.strictness, others) {
            (_, Value::Bool(may)) => *may,
            (Strictness::AllFieldsNamed, Value::Null) => named.is_null(),
            _ => true,
        };
        for (name, value) in fields {
            let here = format!("{at}.{name}");
            match named.get(name) {
                Some(schema) => self.check(schema, value, &here),
                None if !may_have_others => self.fault(&here, "no such field is described"),
                None => {
                    self.check(&schema["propertyNames"], &json!(name), &here);
                    self.check(others, value, &here);
                }
            }
        }
    }
}

fn types(of: &Value) -> impl Iterator<Item = &str> {
    let many = of.as_array().into_iter().flatten();
    many.chain([of]).filter_map(Value::as_str)
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|it| it.fract() == 0.0)
        }
        other => panic!("{other} is no type"),
    }
}

/// True where a pattern finds itself in a text.
pub fn matches(pattern: &str, text: &str) -> bool {
    static PATTERNS: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let known = PATTERNS.lock().unwrap().get(pattern).cloned();
    let pattern = known.unwrap_or_else(|| {
        let made = Regex::new(pattern).unwrap();
        PATTERNS
            .lock()
            .unwrap()
            .insert(pattern.to_owned(), made.clone());
        made
    });
    pattern.is_match(text)
}
