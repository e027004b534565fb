//! Forms: what they ask for, what was sent, and what is wrong with it. A form is named by a hidden field, so one address can take
//! several. The names of its fields are those of the API, so a problem of the API stands beside the field that it names.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono_tz::Tz;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use revtrail_web::call::Call;
use revtrail_web::problem::Problem;
use serde_json::{Map, Value};

use crate::field::{Kind, read, shown, stays_whole};
use crate::multipart;

/// The hidden field that names a form.
const FORM: &str = "form";
/// The hidden field with the tag of what the form was made from.
pub(crate) const SEEN: &str = "seen";
/// The hidden field that is another on each page, so that a form that is sent twice acts once.
pub(crate) const ONCE: &str = "once";
/// The name of the button that only asks what saving would do.
pub(crate) const ASKS: &str = "asks";

/// A field of a form.
pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) kind: Kind,
    /// What to write, where the label does not say it.
    pub(crate) hint: &'static str,
    pub(crate) needed: bool,
    /// What is offered to be chosen, besides what one types: values with what they are called.
    pub(crate) offers: Vec<(String, String)>,
    pub(crate) value: String,
    pub(crate) wrong: String,
}

impl Input {
    pub(crate) fn new(name: &'static str, label: &'static str, kind: Kind) -> Self {
        Self {
            name,
            label,
            kind,
            hint: "",
            needed: false,
            offers: Vec::new(),
            value: String::new(),
            wrong: String::new(),
        }
    }

    pub(crate) fn hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    pub(crate) fn needed(self) -> Self {
        Self {
            needed: true,
            ..self
        }
    }

    pub(crate) fn value(self, value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            ..self
        }
    }

    /// True for a problem of this field or of a part of it, like `tiers[0].value`.
    fn is_meant(&self, field: &str) -> bool {
        let rest = field.strip_prefix(self.name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
    }
}

/// A form of a page. One without fields is a button.
pub(crate) struct Form {
    pub(crate) id: &'static str,
    pub(crate) heading: String,
    /// A sentence on what it does.
    pub(crate) about: String,
    pub(crate) action: String,
    pub(crate) hidden: Vec<(&'static str, String)>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) button: &'static str,
    /// The label of the button that only asks what saving would do.
    pub(crate) asks: Option<&'static str>,
    pub(crate) is_open: bool,
    /// What is wrong with no field alone.
    pub(crate) wrong: Vec<String>,
    /// What saving would do.
    pub(crate) says: Vec<String>,
}

impl Form {
    pub(crate) fn new(id: &'static str, heading: impl Into<String>, action: String) -> Self {
        Self {
            id,
            heading: heading.into(),
            about: String::new(),
            action,
            hidden: vec![(FORM, id.to_owned())],
            inputs: Vec::new(),
            button: "Save",
            asks: None,
            is_open: false,
            wrong: Vec::new(),
            says: Vec::new(),
        }
    }

    /// A button by itself.
    pub(crate) fn button(id: &'static str, label: &'static str, action: String) -> Self {
        Self {
            button: label,
            ..Self::new(id, label, action)
        }
    }

    pub(crate) fn about(self, about: impl Into<String>) -> Self {
        Self {
            about: about.into(),
            ..self
        }
    }

    /// Acts once, however often it is sent.
    pub(crate) fn once(mut self) -> Self {
        self.hidden.push((ONCE, revtrail_store::random_hex()));
        self
    }

    /// Adds fields, with what they are now. A field whose value would not come back whole is left out: this form cannot change it.
    pub(crate) fn of(mut self, inputs: Vec<Input>, facts: &Value, zone: Tz) -> Self {
        for mut input in inputs {
            let value = at(facts, input.name);
            if stays_whole(input.kind, value, zone) {
                input.value = shown(input.kind, value, zone);
                self.inputs.push(input);
            }
        }
        self
    }

    /// Shows what was sent and what is wrong with it, if this is the form that was sent.
    pub(crate) fn after(mut self, tried: Option<&Tried>) -> Self {
        let Some(tried) = tried.filter(|tried| tried.sent.is(self.id)) else {
            return self;
        };
        self.is_open = true;
        self.says.clone_from(&tried.says);
        // What somebody else saved meanwhile is shown instead of what was sent on an older state.
        if tried.status() == StatusCode::PRECONDITION_FAILED {
            let says = "Somebody changed it meanwhile. This is how it stands now: change it again.";
            self.wrong.push(says.to_owned());
            return self;
        }
        for input in &mut self.inputs {
            input.value = tried.sent.text(input.name).to_owned();
        }
        let wrong = tried.problem.iter().flat_map(Problem::wrong);
        for (field, says) in wrong {
            let meant = |input: &&mut Input| field.is_some_and(|field| input.is_meant(field));
            match self.inputs.iter_mut().find(meant) {
                Some(input) if input.wrong.is_empty() => input.wrong = says.to_owned(),
                Some(input) => input.wrong = format!("{}; {says}", input.wrong),
                None => self.wrong.push(says.to_owned()),
            }
        }
        self
    }

    pub(crate) fn takes_file(&self) -> bool {
        self.inputs.iter().any(|input| input.kind == Kind::File)
    }
}

/// What stands at a dotted place of an object.
fn at<'v>(facts: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(facts, |facts, name| &facts[name])
}

/// The fields of a form that was sent, and its file.
#[derive(Default)]
pub(crate) struct Sent {
    fields: BTreeMap<String, String>,
    /// The name of the file and what it holds.
    pub(crate) file: Option<(String, Bytes)>,
}

impl Sent {
    /// Reads the body of a call.
    ///
    /// # Errors
    /// 400 for a form with a file that breaks off.
    pub(crate) fn of(call: &Call) -> Result<Self, Problem> {
        let mut sent = Self::default();
        let media = call.headers.get(CONTENT_TYPE);
        let media = media
            .and_then(|media| media.to_str().ok())
            .unwrap_or_default();
        if !media.starts_with("multipart/") {
            sent.fields = form_urlencoded::parse(&call.body).into_owned().collect();
        } else {
            let cut = || Problem::unreadable("the form broke off on its way: send it again");
            for part in multipart::parts(media, &call.body).ok_or_else(cut)? {
                match part.file {
                    Some(name) => sent.file = Some((name, part.bytes)),
                    None => {
                        let text = String::from_utf8_lossy(&part.bytes).into_owned();
                        sent.fields.insert(part.name, text);
                    }
                }
            }
        }
        // A browser sends the ends of lines as CRLF, whatever they were.
        for text in sent.fields.values_mut().filter(|text| text.contains('\r')) {
            *text = text.replace("\r\n", "\n");
        }
        Ok(sent)
    }

    /// The text of a field; empty where it was not sent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    pub(crate) fn is(&self, form: &str) -> bool {
        self.text(FORM) == form
    }

    /// The fields that were changed, as a merge patch of the API. A field that says what it said before is left out, so nothing that a
    /// form shows less exactly than it is gets lost.
    pub(crate) fn changes(&self, form: &Form, zone: Tz) -> Value {
        let mut changes = Map::new();
        for input in &form.inputs {
            let text = self.text(input.name);
            if text != input.value {
                let was = read(input.kind, &input.value, zone);
                let is = read(input.kind, text, zone);
                put(&mut changes, input.name, changed(&was, is));
            }
        }
        changes.into()
    }
}

/// What a merge patch says of a value. Of an object it names what differs and what is gone.
fn changed(was: &Value, is: Value) -> Value {
    match (was, is) {
        (Value::Object(was), Value::Object(mut is)) => {
            for (name, value) in was {
                match is.get(name) {
                    None => drop(is.insert(name.clone(), Value::Null)),
                    Some(now) if now == value => drop(is.remove(name)),
                    Some(_) => {}
                }
            }
            is.into()
        }
        (_, is) => is,
    }
}

/// Puts a value at a dotted place of an object.
fn put(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(object.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let inner = object
                .entry(first)
                .or_insert_with(|| Map::new().into())
                .as_object_mut();
            if let Some(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// A form that was sent and did not lead to another page: what is wrong with it, or what it would do.
pub(crate) struct Tried {
    pub(crate) sent: Sent,
    pub(crate) problem: Option<Problem>,
    pub(crate) says: Vec<String>,
}

impl Tried {
    /// A form that was refused, if whoever sent it can mend it; the problem where they cannot.
    pub(crate) fn refused(sent: Sent, problem: Problem) -> Result<Self, Problem> {
        let by_form = [
            StatusCode::UNPROCESSABLE_ENTITY,
            StatusCode::CONFLICT,
            StatusCode::PRECONDITION_FAILED,
            StatusCode::PAYLOAD_TOO_LARGE,
        ];
        match by_form.contains(&problem.status()) {
            true => Ok(Self {
                sent,
                problem: Some(problem),
                says: Vec::new(),
            }),
            false => Err(problem),
        }
    }

    /// A form that is shown again as it was sent.
    pub(crate) fn shown(sent: Sent) -> Self {
        Self {
            sent,
            problem: None,
            says: Vec::new(),
        }
    }

    /// A form that only asked.
    pub(crate) fn asked(sent: Sent, says: String) -> Self {
        Self {
            sent,
            problem: None,
            says: vec![says],
        }
    }

    /// The status of the page that shows it.
    pub(crate) fn status(&self) -> StatusCode {
        self.problem
            .as_ref()
            .map_or(StatusCode::OK, Problem::status)
    }
}

/// The status of a page with a form that was tried, if one was.
pub(crate) fn status(tried: Option<&Tried>) -> StatusCode {
    tried.map_or(StatusCode::OK, Tried::status)
}

/// What is wrong with a field of a form of which the API knows nothing.
pub(crate) fn wrong(field: &str, says: impl Into<String>) -> Problem {
    use revtrail_core::record::{Code, RecordProblem};
    Problem::invalid(RecordProblem::of(field, Code::UnknownValue, says).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(pairs: &[(&str, &str)]) -> Sent {
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        Sent {
            fields: pairs.iter().map(own).collect(),
            file: None,
        }
    }

    fn form(facts: &Value) -> Form {
        let inputs = vec![
            Input::new("name", "Name", Kind::Text),
            Input::new("cap", "Cap", Kind::Count),
            Input::new("budget.amount", "Budget", Kind::Text),
            Input::new("ends_at", "Ends", Kind::Time),
            Input::new("metadata", "Metadata", Kind::Pairs),
        ];
        Form::new("edit", "Edit", "/app/m/p".to_owned()).of(inputs, facts, Tz::Europe__Kyiv)
    }

    #[test]
    fn only_what_was_changed_is_sent_on() {
        let facts = json!({"name": "A", "cap": 5, "budget": {"amount": "1.00", "currency": "EUR"},
            "ends_at": "2026-11-22T21:59:59.999Z", "metadata": {"a\nb": 1}});
        let form = form(&facts);
        // What would not come back whole cannot be changed here.
        assert!(form.inputs.iter().all(|input| input.name != "metadata"));
        let same: Vec<(&str, &str)> = form.inputs.iter().map(|i| (i.name, &*i.value)).collect();
        assert_eq!(sent(&same).changes(&form, Tz::Europe__Kyiv), json!({}));
        let facts = json!({"metadata": {"a": 0.10, "b": "x", "c": [1], "d": true}});
        let pairs = sent(&[("metadata", "a = 0.1\nc = [2]\nd = true\ne = \"5\"")]);
        let told = json!({"metadata": {"b": null, "c": [2], "e": "5"}});
        let with_pairs = self::form(&facts);
        assert_eq!(pairs.changes(&with_pairs, Tz::UTC), told);
        let other = sent(&[
            ("name", "A"),
            ("cap", ""),
            ("budget.amount", "2"),
            ("ends_at", "2026-11-23T23:59"),
            ("metadata", "x = 1"),
        ]);
        let told =
            json!({"cap": null, "budget": {"amount": "2"}, "ends_at": "2026-11-23T21:59:00.000Z"});
        assert_eq!(other.changes(&form, Tz::Europe__Kyiv), told);
    }

    #[test]
    fn a_problem_stands_beside_its_field() {
        for (field, beside) in [
            ("cap", Some("cap")),
            ("budget.amount", Some("budget.amount")),
            ("budget.currency", None),
            ("metadata[1]", Some("metadata")),
            ("names", None),
        ] {
            let problem = wrong(field, "bad");
            let tried = Tried::refused(sent(&[("form", "edit"), ("cap", "x")]), problem);
            let form = form(&json!({})).after(tried.ok().as_ref());
            let said = form.inputs.iter().find(|input| !input.wrong.is_empty());
            assert_eq!(said.map(|input| input.name), beside, "{field}");
            assert_eq!(form.wrong.is_empty(), beside.is_some(), "{field}");
            assert!(form.is_open && form.inputs[1].value == "x");
        }
        let tried = Tried::refused(sent(&[("form", "other")]), wrong("cap", "bad"));
        assert!(!form(&json!({})).after(tried.ok().as_ref()).is_open);
    }
}
