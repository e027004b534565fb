//! Reads the fields of an object of settings one by one, and collects what is wrong with them.

use serde_json::{Map, Value};

use crate::record::{Code, Problems, RecordProblem, shown};

pub(super) fn by_name<T: serde::de::DeserializeOwned>(name: &str) -> Option<T> {
    serde_json::from_value(Value::String(name.to_owned())).ok()
}

/// The value of a field. A `null` is the same as a field that is left out.
pub(super) fn present<'v>(fields: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    fields.get(name).filter(|value| !value.is_null())
}

/// Collects every problem of an object. `prefix` is the dotted name of the place where the object is.
pub(super) struct SettingsReader {
    pub(super) prefix: String,
    pub(super) problems: Problems,
}

impl SettingsReader {
    pub(super) fn name(&self, field: &str) -> String {
        if self.prefix.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.prefix)
        }
    }

    pub(super) fn problem(&mut self, field: &str, code: Code, expected: &str) {
        let name = self.name(field);
        let detail = match code {
            Code::UnknownField => format!("{} is no setting; there are {expected}", shown(&name)),
            Code::Missing => format!("{name} is needed: {expected}"),
            _ => format!("{name} is {expected}"),
        };
        self.problems.push(RecordProblem::of(&name, code, detail));
    }

    pub(super) fn unknown_fields(&mut self, fields: &Map<String, Value>, known: &[&str]) {
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            self.problem(name, Code::UnknownField, &known.join(", "));
        }
    }

    pub(super) fn flag(&mut self, fields: &Map<String, Value>, field: &str) -> Option<bool> {
        let value = present(fields, field)?;
        if !value.is_boolean() {
            self.problem(field, Code::WrongType, "true or false");
        }
        value.as_bool()
    }

    pub(super) fn one_of<T>(
        &mut self,
        fields: &Map<String, Value>,
        field: &str,
        parse: impl Fn(&str) -> Option<T>,
        expected: impl Fn() -> String,
    ) -> Option<T> {
        let value = present(fields, field)?;
        let Some(text) = value.as_str() else {
            self.problem(field, Code::WrongType, &format!("a text: {}", expected()));
            return None;
        };
        let parsed = parse(text);
        if parsed.is_none() {
            self.problem(field, Code::UnknownValue, &expected());
        }
        parsed
    }

    pub(super) fn list<T>(
        &mut self,
        fields: &Map<String, Value>,
        field: &str,
        parse: impl Fn(&str) -> Option<T>,
        expected: impl Fn() -> String,
    ) -> Option<Vec<T>> {
        let value = present(fields, field)?;
        let Some(values) = value.as_array() else {
            self.problem(
                field,
                Code::WrongType,
                &format!("a list, each of {}", expected()),
            );
            return None;
        };
        let mut parsed = Vec::new();
        for (i, value) in values.iter().enumerate() {
            let here = format!("{field}[{i}]");
            match value.as_str() {
                None => self.problem(&here, Code::WrongType, &format!("a text: {}", expected())),
                Some(text) => match parse(text) {
                    None => {
                        self.problem(&here, Code::UnknownValue, &format!("one of {}", expected()))
                    }
                    Some(value) => parsed.push(value),
                },
            }
        }
        Some(parsed)
    }

    pub(super) fn object<'v>(
        &mut self,
        value: &'v Value,
        field: &str,
        expected: &str,
    ) -> Option<&'v Map<String, Value>> {
        if !value.is_object() {
            self.problem(field, Code::WrongType, expected);
        }
        value.as_object()
    }
}
