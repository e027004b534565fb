//! The document that describes the interface: OpenAPI 3.1, made of the routes and of what is said of each. The docs of a function's
//! routes stand beside its table of routes, and nothing of them is needed while the function runs: report-query serves the
//! document as the tests made it.

mod document;
pub mod schema;

pub use document::{Function, document};

use revtrail_core::value::id::ID_BYTES_MAX;
use serde_json::{Value, json};

use crate::query::{LIMIT_DEFAULT, LIMIT_MAX};
use schema::{Field, field, like, text, text_up_to};

/// What the routes of one function are, for its readers.
#[derive(Debug, Default)]
pub struct Docs {
    /// By method and path, like `POST M/keys`, where `M` stands for `/v1/marketplaces/{marketplace}`.
    pub operations: Vec<(&'static str, Doc)>,
    /// The schemas that have a name. Names are known to all functions, so what is shown by two of them stands once.
    pub schemas: Vec<(&'static str, Value)>,
}

/// What one route is, for its readers. What the route itself says is not repeated: its path, its roles, whether it has pages.
#[derive(Debug)]
pub struct Doc {
    operation_id: &'static str,
    tag: &'static str,
    summary: &'static str,
    details: String,
    parameters: Vec<Value>,
    bodies: Vec<(&'static str, Value)>,
    body_needed: bool,
    answers: Vec<Answer>,
    conflicts: Vec<&'static str>,
    with_if_match: bool,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    meaning: &'static str,
    contents: Vec<(&'static str, Value)>,
    headers: Vec<(&'static str, &'static str)>,
    always_with_headers: bool,
    links: Vec<(&'static str, Value)>,
}

/// What every parameter of a query is made of.
fn parameter(place: &str, field: Field) -> Value {
    let (name, mut schema, required) = field.into_parts();
    let meaning = schema
        .as_object_mut()
        .and_then(|it| it.remove("description"));
    let mut parameter = json!({ "name": name, "in": place, "schema": schema });
    if required {
        parameter["required"] = json!(true);
    }
    if let Some(meaning) = meaning {
        parameter["description"] = meaning;
    }
    parameter
}

impl Doc {
    /// Begins the doc of a route: its name for programs, the group that it is shown in, and what it does, in a few words.
    pub fn new(operation_id: &'static str, tag: &'static str, summary: &'static str) -> Self {
        Self {
            operation_id,
            tag,
            summary,
            details: String::new(),
            parameters: Vec::new(),
            bodies: Vec::new(),
            body_needed: true,
            answers: Vec::new(),
            conflicts: Vec::new(),
            with_if_match: false,
        }
    }

    /// Says more about the route, in sentences.
    pub fn says(mut self, details: &str) -> Self {
        details.clone_into(&mut self.details);
        self
    }

    /// Adds a parameter of the query.
    pub fn query(mut self, field: Field) -> Self {
        self.parameters.push(parameter("query", field));
        self
    }

    /// Adds parameters of the query.
    pub fn queries(self, fields: impl IntoIterator<Item = Field>) -> Self {
        fields.into_iter().fold(self, Self::query)
    }

    /// The body is one JSON object.
    pub fn body(self, schema: Value) -> Self {
        self.body_of("application/json", schema)
    }

    /// The body may also be of this media type.
    pub fn body_of(mut self, media: &'static str, schema: Value) -> Self {
        self.bodies.push((media, schema));
        self
    }

    /// The body may be left out.
    pub fn body_may_be_empty(mut self) -> Self {
        self.body_needed = false;
        self
    }

    /// The body is one record, a list of records, or one record a line; at most 1,000.
    pub fn records(self, record: Value) -> Self {
        let many = schema::list_up_to(crate::body::RECORDS_MAX, record.clone());
        let lines = schema::says(text(), "One JSON object a line.");
        self.body(json!({ "anyOf": [record, many] }))
            .body_of("application/x-ndjson", lines)
    }

    /// The answer says what became of each record.
    pub fn intake(self) -> Self {
        let taken = "What became of each record. One bad record never spoils the others.";
        self.answer(202, taken, schema::named("Intake")).answer(
            422,
            "All records are rejected.",
            schema::named("Intake"),
        )
    }

    /// A sender posts in its own format, and is answered 200 with the counts whatever became of the records.
    pub fn post_of_sender(self) -> Self {
        self.body_of("*/*", schema::any()).answer(
            200,
            "What became of what was posted.",
            schema::named("Intake"),
        )
    }

    /// The call may name itself, so that it acts once.
    pub fn once(mut self) -> Self {
        let meaning = "Makes the call act once: for 24 hours the same key and body get the first answer, and another body with it is refused.";
        let key = like(text_up_to(ID_BYTES_MAX), "order-7-first-try");
        let key = schema::sometimes("Idempotency-Key", key).says(meaning);
        self.parameters.push(parameter("header", key));
        self.conflicts("idempotency_conflict")
    }

    /// Adds an answer with a JSON body.
    pub fn answer(self, status: u16, meaning: &'static str, schema: Value) -> Self {
        let content = ("application/json", schema);
        self.empty(status, meaning)
            .amend(|answer| answer.contents.push(content))
    }

    /// Adds an answer without a body.
    pub fn empty(mut self, status: u16, meaning: &'static str) -> Self {
        self.answers.push(Answer {
            status,
            meaning,
            contents: Vec::new(),
            headers: Vec::new(),
            always_with_headers: true,
            links: Vec::new(),
        });
        self
    }

    fn amend(mut self, change: impl FnOnce(&mut Answer)) -> Self {
        if let Some(last) = self.answers.last_mut() {
            change(last);
        }
        self
    }

    /// The answer says where the thing is that was made.
    pub fn located(self) -> Self {
        let location = ("Location", "The address of what was made.");
        self.amend(|answer| answer.headers.push(location))
    }

    /// The answer has the tag of what it shows.
    pub fn tagged(self) -> Self {
        let tag = ("ETag", "The state of what is shown, for `If-Match`.");
        self.amend(|answer| answer.headers.push(tag))
    }

    /// Some of these answers lack the headers, like those of dry runs.
    pub fn headers_may_lack(self) -> Self {
        self.amend(|answer| answer.always_with_headers = false)
    }

    /// The call takes the tag that a caller has seen.
    pub fn if_match(mut self) -> Self {
        let meaning = "The `ETag` of the state that is to be changed. The call is refused where somebody was faster.";
        let tag = schema::sometimes("If-Match", text()).says(meaning);
        self.parameters.push(parameter("header", tag));
        let new = "Lets the call make a thing, and never replace one.";
        let new = schema::sometimes("If-None-Match", schema::text()).says(new);
        self.parameters.push(parameter("header", new));
        self.with_if_match = true;
        self
    }

    /// The answer is also there as CSV, with `Accept: text/csv`.
    pub fn csv(self) -> Self {
        let csv = schema::says(
            text(),
            "The whole list, with a header and without a limit of rows.",
        );
        let raw = "In CSV: texts as they are. Otherwise one that a spreadsheet reads as a formula gets an apostrophe.";
        let excel = "In CSV: begins with a byte order mark, by which Excel recognises UTF-8.";
        self.amend(|answer| answer.contents.push(("text/csv", csv)))
            .query(schema::sometimes("raw", schema::flag()).says(raw))
            .query(schema::sometimes("excel", schema::flag()).says(excel))
    }

    /// A value of the answer, by its JSON pointer, is a parameter of another route, which has that operation id.
    pub fn link(
        self,
        operation_id: &'static str,
        parameter: &'static str,
        pointer: &'static str,
    ) -> Self {
        let link = json!({ "operationId": operation_id, "parameters": {
            "marketplace": "$request.path.marketplace", parameter: format!("$response.body#{pointer}"),
        } });
        self.amend(|answer| answer.links.push((operation_id, link)))
    }

    /// The call can be refused with a conflict of this kind.
    pub fn conflicts(mut self, kind: &'static str) -> Self {
        self.conflicts.push(kind);
        self
    }
}

/// The parameters of every list.
fn page_parameters() -> [Value; 2] {
    let limit =
        json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT });
    let cursor = "The `next_cursor` of the page before, with the same filters.";
    [
        parameter(
            "query",
            schema::sometimes("limit", limit).says("The most rows of a page."),
        ),
        parameter("query", schema::sometimes("cursor", text()).says(cursor)),
    ]
}

/// A problem, as every refused call is answered.
fn problem() -> Value {
    use crate::problem::kinds::KINDS;
    let error = schema::object([
        field("field", schema::nullable(text()))
            .says("The field that is wrong, dotted inside objects; null where it is the whole."),
        field("code", text()).says("What is wrong, as a word for programs."),
        field("detail", text()).says("What is wrong and what to do, in a sentence."),
    ]);
    let uris: Vec<String> = KINDS.iter().map(|kind| kind.uri()).collect();
    schema::object([
        field("type", schema::one_of(uris.iter().map(String::as_str)))
            .says("The kind of problem: an address that explains it."),
        field("title", text()).says("The kind in a few words."),
        field("status", schema::count()).says("The HTTP status."),
        field("detail", text()).says("What is wrong, in a sentence."),
        field("errors", schema::list(error)).says("All that is wrong, at most 100."),
        field("errors_total", schema::count()).says("How much is wrong, listed or not."),
    ])
}
