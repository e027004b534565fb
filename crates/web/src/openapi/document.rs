//! The document of all functions, made of their routes and docs.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use revtrail_store::market::access::Role;
use serde_json::{Map, Value, json};

use super::{Answer, Doc, Docs, page_parameters, parameter, problem, schema};
use crate::access::Access;
use crate::api::Route;
use crate::call::MARKETPLACE;
use crate::problem::kinds::KINDS;
use crate::records::Intake;

/// What the paths of a marketplace begin with, which is written `M` in docs.
const M: &str = "/v1/marketplaces/{marketplace}";

/// A function, with what is said of its routes.
pub struct Function {
    /// The name of the function.
    pub name: &'static str,
    /// Its routes.
    pub routes: Vec<Route>,
    /// What is said of them.
    pub docs: Docs,
}

/// The groups of routes, in the order in which they are shown.
const TAGS: [(&str, &str); 9] = [
    (
        "Facts",
        "What happened: messages, orders, and who used which promotion.",
    ),
    ("Reports", "What campaigns and promotions brought in."),
    (
        "Orders",
        "Single orders, and why each was credited as it was.",
    ),
    (
        "Campaigns",
        "What people say about campaigns, and the segments of their buyers.",
    ),
    (
        "Promotions",
        "What is offered under which limits, and who used it.",
    ),
    (
        "Settings",
        "The rules of a marketplace: tried, saved, and applied again.",
    ),
    ("Jobs", "What works in the background."),
    ("Access", "Marketplaces, keys, and who did what."),
    ("Service", "The service itself."),
];

/// Makes the document. What is wrong with the docs is told beside it: a route without a doc, a doc without a route, a name that is
/// used twice or is nowhere explained.
pub fn document(functions: Vec<Function>) -> (Value, Vec<String>) {
    let (mut paths, mut faults) = (BTreeMap::<String, Map<String, Value>>::new(), Vec::new());
    let mut schemas = BTreeMap::from([("Problem", problem()), ("Intake", Intake::schema())]);
    let mut operation_ids = BTreeSet::new();
    for Function { name, routes, docs } in functions {
        for (named, schema) in docs.schemas {
            if schemas.insert(named, schema).is_some() {
                faults.push(format!("{named} names two schemas"));
            }
        }
        let mut said: BTreeMap<&str, Doc> = BTreeMap::new();
        for (of, doc) in docs.operations {
            if !operation_ids.insert(doc.operation_id) {
                faults.push(format!("{} names two operations", doc.operation_id));
            }
            if said.insert(of, doc).is_some() {
                faults.push(format!("{of} has two docs"));
            }
        }
        // The pages are for people, and what they show are answers of the other routes.
        for route in routes.iter().filter(|route| !route.is_page()) {
            let of = format!("{} {}", route.method(), route.path().replace(M, "M"));
            match said.remove(&*of) {
                Some(doc) => {
                    let operations = paths.entry(route.path().to_owned()).or_default();
                    let method = route.method().as_str().to_ascii_lowercase();
                    operations.insert(method, operation(name, route, doc));
                }
                None => faults.push(format!("{of} has no doc")),
            }
        }
        faults.extend(said.keys().map(|of| format!("{of} is no route of {name}")));
    }
    let responses: Map<String, Value> = statuses()
        .map(|status| (component(status), refusal(status, None)))
        .collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "revtrail",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Which campaign earned which order, and which promotion was used by whom.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": { MARKETPLACE: path_parameter(MARKETPLACE, "") },
            "responses": responses,
            "securitySchemes": { "key": {
                "type": "http", "scheme": "bearer",
                "description": "An access key. It is good for one or more marketplaces, with one role.",
            } },
        },
        "x-problems": KINDS.iter().map(|kind| json!({
            "name": kind.name, "type": kind.uri(), "status": kind.status.as_u16(), "title": kind.title, "advice": kind.advice,
        })).collect::<Vec<_>>(),
    });
    faults.extend(lost_references(&document));
    faults.sort();
    (document, faults)
}

fn operation(function: &str, route: &Route, doc: Doc) -> Value {
    let mut parameters = path_parameters(route.path());
    parameters.extend(doc.parameters.iter().cloned());
    if route.has_pages() {
        parameters.extend(page_parameters());
    }
    if route.takes_key_in_url() {
        let key = schema::sometimes("key", schema::text());
        parameters.push(parameter(
            "query",
            key.says("The access key, where a sender can set no header."),
        ));
    }
    let mut responses: Map<String, Value> = doc
        .answers
        .iter()
        .map(|answer| (answer.status.to_string(), response(answer)))
        .collect();
    for (status, refusal) in refusals(route, &doc) {
        let answered = responses.entry(status).or_insert_with(|| json!({}));
        *answered = with_contents(refusal, answered["content"].take());
    }
    let mut operation = json!({
        "operationId": doc.operation_id, "tags": [doc.tag], "summary": doc.summary, "parameters": parameters,
        "responses": responses, "x-function": function,
    });
    if !doc.details.is_empty() {
        operation["description"] = json!(doc.details);
    }
    if !doc.bodies.is_empty() {
        operation["requestBody"] =
            json!({ "required": doc.body_needed, "content": contents(&doc.bodies) });
    }
    match route.access() {
        Access::Open => {}
        Access::AnyKey => {
            operation["security"] = json!([{ "key": [] }]);
            operation["x-roles"] = json!(Role::ALL.map(Role::name));
        }
        Access::Roles(roles) => {
            operation["security"] = json!([{ "key": [] }]);
            operation["x-roles"] = roles.iter().map(|role| role.name()).collect();
        }
    }
    operation
}

fn contents(of: &[(&str, Value)]) -> Value {
    let content =
        |(media, schema): &(&str, Value)| ((*media).to_owned(), json!({ "schema": schema }));
    Value::Object(of.iter().map(content).collect())
}

fn response(answer: &Answer) -> Value {
    let mut response = json!({ "description": answer.meaning });
    if !answer.contents.is_empty() {
        response["content"] = contents(&answer.contents);
    }
    for (name, meaning) in &answer.headers {
        response["headers"][name] = json!({
            "description": meaning, "required": answer.always_with_headers, "schema": schema::text(),
        });
    }
    for (name, link) in &answer.links {
        response["links"][name] = link.clone();
    }
    response
}

/// A refusal that may also be answered in other forms, as where all records of a call are rejected.
fn with_contents(refusal: (Value, u16), others: Value) -> Value {
    let (shared, status) = refusal;
    let Value::Object(others) = others else {
        return shared;
    };
    let mut own = self::refusal(status, None);
    for (media, content) in others {
        own["content"][media] = content;
    }
    own
}

/// How a call of a route can be refused: by the route itself, and with the conflicts that its doc names.
fn refusals(route: &Route, doc: &Doc) -> Vec<(String, (Value, u16))> {
    let (keyed, reads_body) = (
        route.access() != Access::Open,
        *route.method() != Method::GET,
    );
    let in_marketplace = route.path().starts_with(M);
    let possible = [
        (400, reads_body || route.has_pages()),
        (401, keyed),
        (403, in_marketplace),
        (404, in_marketplace),
        (412, doc.with_if_match),
        (413, reads_body),
        (415, reads_body),
        (421, true),
        (422, true),
        (429, keyed || in_marketplace),
        (500, true),
        (503, true),
    ];
    let shared = |(status, _): (u16, bool)| {
        let reference = format!("#/components/responses/{}", component(status));
        (json!({ "$ref": reference }), status)
    };
    let conflict = (!doc.conflicts.is_empty()).then(|| (refusal(409, Some(&doc.conflicts)), 409));
    let possible = possible.into_iter().filter(|(_, is)| *is).map(shared);
    let possible = possible.chain(conflict);
    possible
        .map(|refusal| (refusal.1.to_string(), refusal))
        .collect()
}

/// The statuses of problems.
fn statuses() -> impl Iterator<Item = u16> {
    let statuses: BTreeSet<u16> = KINDS.iter().map(|kind| kind.status.as_u16()).collect();
    statuses.into_iter()
}

/// The name of the answer with a status, like `NotFound`.
fn component(status: u16) -> String {
    let reason = StatusCode::from_u16(status).ok();
    let reason = reason.and_then(|status| status.canonical_reason());
    let is_name = |c: &char| c.is_ascii_alphanumeric();
    reason.unwrap_or_default().chars().filter(is_name).collect()
}

/// The answer of a refused call: of all kinds with this status, or of some.
fn refusal(status: u16, only: Option<&[&str]>) -> Value {
    let kinds: Vec<_> = KINDS
        .iter()
        .filter(|kind| kind.status == status && only.is_none_or(|only| only.contains(&kind.name)))
        .collect();
    let explained = kinds
        .iter()
        .map(|kind| format!("`{}`: {}. {}", kind.name, kind.title, kind.advice));
    let problem = json!({ "application/problem+json": { "schema": schema::named("Problem") } });
    let mut refusal = json!({
        "description": explained.collect::<Vec<_>>().join("\n\n"), "content": problem,
        "x-problems": kinds.iter().map(|kind| kind.name).collect::<Vec<_>>(),
    });
    if [429, 503].contains(&status) {
        let meaning = "After how many seconds to repeat the call.";
        refusal["headers"] = json!({
            "Retry-After": { "description": meaning, "required": true, "schema": schema::text() },
        });
    }
    refusal
}

fn path_parameters(path: &str) -> Vec<Value> {
    let segments: Vec<&str> = path.split('/').collect();
    let named = |pair: &[&str]| {
        let name = pair[1].strip_prefix('{')?.strip_suffix('}')?;
        Some(match name {
            MARKETPLACE => json!({ "$ref": format!("#/components/parameters/{name}") }),
            _ => path_parameter(name, pair[0]),
        })
    };
    segments.windows(2).filter_map(named).collect()
}

/// A parameter of a path, which stands behind a segment.
fn path_parameter(name: &str, behind: &str) -> Value {
    let (schema, meaning) = match name {
        MARKETPLACE => (schema::marketplace_id(), "The marketplace.".to_owned()),
        _ => {
            let meaning = format!(
                "Which of {behind}: percent-encoded, or `~` and the base64url of its bytes without padding."
            );
            (schema::id(), meaning)
        }
    };
    json!({ "name": name, "in": "path", "required": true, "description": meaning, "schema": schema })
}

/// The references that lead nowhere.
fn lost_references(document: &Value) -> BTreeSet<String> {
    let (mut lost, mut values) = (BTreeSet::new(), vec![document]);
    while let Some(value) = values.pop() {
        match value {
            Value::Array(list) => values.extend(list),
            Value::Object(fields) => values.extend(fields.values()),
            _ => continue,
        }
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let found = reference
                .strip_prefix('#')
                .and_then(|at| document.pointer(at));
            if found.is_none() {
                lost.insert(format!("{reference} is nowhere"));
            }
        }
    }
    lost
}
