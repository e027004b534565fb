//! What is wrong with a record: a code of the interface, the field, and a sentence for a person.

use serde::{Deserialize, Serialize};

/// What is wrong with a record or a field; the codes of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each name is the code itself")]
pub enum Code {
    Missing,
    WrongType,
    UnknownField,
    UnknownValue,
    NotCsv,
    BadId,
    BadTime,
    BadMoney,
    UnknownCurrency,
    OtherCurrency,
    UnknownKind,
    UnknownChannel,
    UnknownStatus,
    BadVersion,
    TooOld,
    InFuture,
    ImmutableField,
    BeforeTracking,
    Conflict,
    NotJson,
    UnknownParameter,
}

impl Code {
    /// The code as text, like `too_old`.
    pub fn text(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(text)) => text,
            _ => String::new(),
        }
    }
}

/// One problem: which code, in which field, and a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong.
    pub code: Code,
    /// Where: the field's name, dotted inside objects; `None` where it is the record itself.
    pub field: Option<String>,
    /// A sentence for a person.
    pub detail: String,
}

impl Problem {
    /// A problem with a field.
    pub fn of(field: &str, code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            field: Some(field.to_owned()),
            detail: detail.into(),
        }
    }

    /// A problem with the record as a whole.
    pub fn whole(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            field: None,
            detail: detail.into(),
        }
    }
}
