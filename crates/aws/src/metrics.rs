//! Lines that CloudWatch reads measures from (the embedded metric format): one JSON line of the log, which a person can read too.

use revtrail_core::value::time::Instant;
use serde_json::{Map, Value, json};

/// The namespace of all measures.
pub const NAMESPACE: &str = "revtrail";

/// A line of the log with measures in it. `fields` are for people who search the log; `measures` are names, units and values, of the
/// function with this name. Nothing in either may name a customer.
pub fn line(
    function: &str,
    now: Instant,
    fields: Map<String, Value>,
    measures: &[(&str, &str, f64)],
) -> String {
    let mut line = fields;
    let named = |(name, unit, _): &(&str, &str, f64)| json!({ "Name": name, "Unit": unit });
    let told = json!({
        "Namespace": NAMESPACE, "Dimensions": [["function"]],
        "Metrics": measures.iter().map(named).collect::<Value>(),
    });
    line.insert("function".to_owned(), json!(function));
    for (name, _, value) in measures {
        line.insert((*name).to_owned(), json!(value));
    }
    let about = json!({ "Timestamp": now.ms(), "CloudWatchMetrics": [told] });
    line.insert("_aws".to_owned(), about);
    Value::Object(line).to_string()
}

/// Writes such a line, where this process is a function on Lambda. A log that cannot be written fails nothing.
pub fn tell(now: Instant, fields: Map<String, Value>, measures: &[(&str, &str, f64)]) {
    use std::io::Write;
    if let Ok(function) = std::env::var("AWS_LAMBDA_FUNCTION_NAME") {
        let line = line(&function, now, fields, measures);
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_measures() {
        let fields = [("route".to_owned(), json!("GET /healthz"))];
        let measures = [("ms", "Milliseconds", 12.0), ("units", "Count", 1.5)];
        let line = line(
            "f",
            Instant::from_ms(7),
            fields.into_iter().collect(),
            &measures,
        );
        let told: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            told,
            json!({
                "route": "GET /healthz", "function": "f", "ms": 12.0, "units": 1.5,
                "_aws": { "Timestamp": 7, "CloudWatchMetrics": [{
                    "Namespace": "revtrail", "Dimensions": [["function"]],
                    "Metrics": [{ "Name": "ms", "Unit": "Milliseconds" }, { "Name": "units", "Unit": "Count" }],
                }] },
            })
        );
        assert!(!line.contains('\n'));
    }
}
