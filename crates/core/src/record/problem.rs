//! What is wrong with a record: a code of the interface, the name of the field, and a sentence for a person.

use serde::{Deserialize, Serialize};

/// What is wrong with a record or a field. These are the codes of the interface.
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
    /// The code as the interface spells it, like `too_old`.
    pub fn text(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(text)) => text,
            _ => String::new(),
        }
    }
}

/// One problem: its code, the field that has it, and a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordProblem {
    /// What is wrong, as a code of the interface.
    pub code: Code,
    /// The name of the field that is wrong, dotted inside objects; `None` where the record itself is wrong.
    pub field: Option<String>,
    /// A sentence that tells a person what is wrong and what to do.
    pub detail: String,
}

impl RecordProblem {
    /// Makes a problem of one field.
    pub fn of(field: &str, code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            field: Some(field.to_owned()),
            detail: detail.into(),
        }
    }

    /// Makes a problem of the record as a whole.
    pub fn whole(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            field: None,
            detail: detail.into(),
        }
    }
}
