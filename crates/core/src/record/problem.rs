//! What is wrong with a record: a code of the interface, the name of the field, and a sentence for a person.
//!
//! Whoever sends a record decides how much is wrong with it, so everything here is bounded: how many problems are listed, how long
//! each is, and how much of an input it repeats.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::value::text::{quoted, shortened};

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
    BadAddress,
    TooOld,
    InFuture,
    ImmutableField,
    BeforeTracking,
    Conflict,
    NotJson,
    UnknownParameter,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 22] = [
        Self::Missing,
        Self::WrongType,
        Self::UnknownField,
        Self::UnknownValue,
        Self::NotCsv,
        Self::BadId,
        Self::BadTime,
        Self::BadMoney,
        Self::UnknownCurrency,
        Self::OtherCurrency,
        Self::UnknownKind,
        Self::UnknownChannel,
        Self::UnknownStatus,
        Self::BadVersion,
        Self::BadAddress,
        Self::TooOld,
        Self::InFuture,
        Self::ImmutableField,
        Self::BeforeTracking,
        Self::Conflict,
        Self::NotJson,
        Self::UnknownParameter,
    ];

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

/// The most problems of one thing that are listed. Nobody reads more, and the rest are counted.
const LISTED_MAX: usize = 100;
/// The most bytes of the name of a field: a path of two names of things, with a list's index.
const FIELD_BYTES_MAX: usize = 200;
/// The most bytes of a sentence. A call of 1,000 bad records has 1,000 of them, which are 800 KB at most, since JSON escapes a
/// printed text to at most twice its length.
const DETAIL_BYTES_MAX: usize = 400;

/// Checks the name of a thing. Lists and files show names in one line, so they hold no control characters, as ids do.
///
/// # Errors
/// `unknown_value` where the name holds one.
pub fn no_controls(field: &str, name: &str) -> Result<(), RecordProblem> {
    if !name.contains(char::is_control) {
        return Ok(());
    }
    let name = quoted(name);
    let detail = format!(
        "{field}: {name} holds a control character, like a tab or the end of a line: take it out"
    );
    Err(RecordProblem::of(field, Code::UnknownValue, detail))
}

impl RecordProblem {
    /// Makes a problem of one field. A field or a sentence that is too long to be shown is cut.
    pub fn of(field: &str, code: Code, detail: impl Into<String>) -> Self {
        let start = &field[..field.floor_char_boundary(FIELD_BYTES_MAX + 4)];
        Self {
            field: Some(shortened(start.to_owned(), FIELD_BYTES_MAX)),
            ..Self::whole(code, detail)
        }
    }

    /// Makes a problem of the record as a whole. A sentence that is too long to be shown is cut.
    pub fn whole(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            field: None,
            detail: shortened(detail.into(), DETAIL_BYTES_MAX),
        }
    }
}

/// Everything that is wrong with one thing. The first `LISTED_MAX` problems are listed, and all are counted. So neither memory
/// nor an answer grows with what a caller sends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    listed: Vec<RecordProblem>,
    total: usize,
}

impl Problems {
    /// No problem yet.
    pub const fn new() -> Self {
        Self {
            listed: Vec::new(),
            total: 0,
        }
    }

    /// Adds a problem.
    pub fn push(&mut self, problem: RecordProblem) {
        self.total += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(problem);
        }
    }

    /// Adds the problems of a part.
    pub fn append(&mut self, part: Self) {
        let counted_only = part.total - part.listed.len();
        self.extend(part.listed);
        self.total += counted_only;
    }

    /// The same problems as those of a part with a name: their fields begin with it.
    pub fn within(mut self, part: &str) -> Self {
        for problem in &mut self.listed {
            let field = problem.field.take();
            problem.field = Some(match field {
                Some(field) => format!("{part}.{field}"),
                None => part.to_owned(),
            });
        }
        self
    }

    /// How many problems there are, listed or not.
    pub fn total(&self) -> usize {
        self.total
    }
}

/// The listed problems.
impl Deref for Problems {
    type Target = [RecordProblem];

    fn deref(&self) -> &Self::Target {
        &self.listed
    }
}

impl Extend<RecordProblem> for Problems {
    fn extend<T: IntoIterator<Item = RecordProblem>>(&mut self, problems: T) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }
}

impl FromIterator<RecordProblem> for Problems {
    fn from_iter<T: IntoIterator<Item = RecordProblem>>(problems: T) -> Self {
        let mut all = Self::new();
        all.extend(problems);
        all
    }
}

impl From<RecordProblem> for Problems {
    fn from(problem: RecordProblem) -> Self {
        Self::from_iter([problem])
    }
}

impl IntoIterator for Problems {
    type Item = RecordProblem;
    type IntoIter = std::vec::IntoIter<RecordProblem>;

    fn into_iter(self) -> Self::IntoIter {
        self.listed.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::text::shown;

    #[test]
    fn a_problem_is_short_whatever_was_sent() {
        let hostile = ["x", "é", "🦀", "\"", "\\", "\u{1}", "\u{202e}"];
        for text in hostile.map(|text| text.repeat(100_000)) {
            for detail in [
                format!("{} is wrong", quoted(&text)),
                shown(&text),
                text.clone(),
            ] {
                let problem = RecordProblem::of(&text, Code::BadId, detail);
                let field = problem.field.as_deref().unwrap();
                assert!(field.len() <= 200 && field.ends_with('…'), "{field}");
                assert!(problem.detail.len() <= DETAIL_BYTES_MAX);
            }
            let start = text.chars().next().unwrap();
            assert!(shown(&text).len() <= 100 && shown(&text).ends_with('…'));
            assert!(quoted(&text).chars().filter(|c| *c == start).count() <= 200);
        }
        assert_eq!(
            (shown("a\tb"), quoted("a\tb")),
            ("a\u{fffd}b".into(), "\"a\\tb\"".into())
        );
        let fits = RecordProblem::of("name", Code::BadId, "x".repeat(400));
        assert!(!fits.detail.ends_with('…'));
    }

    #[test]
    fn a_hundred_problems_are_listed_and_all_are_counted() {
        let one = |n: usize| RecordProblem::of(&n.to_string(), Code::UnknownField, "");
        let mut all: Problems = (0..150).map(one).collect();
        assert_eq!((all.len(), all.total()), (100, 150));
        all.append((0..150).map(one).collect());
        assert_eq!((all.len(), all.total()), (100, 300));
        let mut few: Problems = one(1).into();
        few.append((0..2).map(one).collect());
        assert_eq!((few.len(), few.total()), (3, 3));
    }
}
