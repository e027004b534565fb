//! The days of a body: `from`, which is included, and `to`, which is not.

use revtrail_core::record::{Code, Problems, RecordProblem as Bad};
use revtrail_core::value::time::Day;
use serde_json::{Map, Value};

/// Both days; `None` where one is missing or wrong, or where they are no period.
pub(crate) fn days(fields: &Map<String, Value>, problems: &mut Problems) -> Option<(Day, Day)> {
    let from = day(fields, "from", problems);
    let to = day(fields, "to", problems);
    let (from, to) = from.zip(to)?;
    if from >= to {
        let detail = format!(
            "from: {from} is not before to: {to}, which is the first day that is not in the period"
        );
        problems.push(Bad::of("from", Code::UnknownValue, detail));
        return None;
    }
    Some((from, to))
}

fn day(fields: &Map<String, Value>, field: &str, problems: &mut Problems) -> Option<Day> {
    let problem = match fields.get(field) {
        None | Some(Value::Null) => Bad::of(
            field,
            Code::Missing,
            "from (included) and to (excluded) are needed, like 2026-11-20",
        ),
        Some(Value::String(text)) => match Day::parse(text) {
            Some(day) => return Some(day),
            None => {
                let detail = format!("{field}: {text:?} is not a day, like 2026-11-20");
                Bad::of(field, Code::BadTime, detail)
            }
        },
        Some(_) => Bad::of(field, Code::WrongType, format!("{field} is a text")),
    };
    problems.push(problem);
    None
}
