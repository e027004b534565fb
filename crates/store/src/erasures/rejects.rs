//! Rejected rows, as lines of CSV: which of them name a customer, and the lines without these rows' contents.

/// What stands in the place of the detail and the row: nothing, so what is kept is never longer than what was there.
const ERASED: &str = ",";

/// The lines without what the rows say that name a customer: their line and code stay. `None` if no row names the customer.
pub(super) fn without(lines: &str, customer: &str) -> Option<String> {
    let mut kept = String::new();
    let mut found = false;
    for line in records(lines) {
        let fields = fields(line);
        match fields.as_slice() {
            [number, code, _, record] if names(record, customer) => {
                found = true;
                kept.push_str(&format!("{number},{code},{ERASED}\n"));
            }
            _ => kept.push_str(line),
        }
    }
    found.then_some(kept)
}

/// The records of CSV, each with its line end. A line end in quotes does not end a record.
fn records(text: &str) -> Vec<&str> {
    let (mut records, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        quoted ^= byte == b'"';
        if byte == b'\n' && !quoted {
            records.push(&text[start..=at]);
            start = at + 1;
        }
    }
    records.push(&text[start..]);
    records.retain(|record| !record.is_empty());
    records
}

/// The fields of a record, without the quotes around them.
fn fields(record: &str) -> Vec<String> {
    cells(record.trim_end_matches('\n'), ',')
}

fn cells(text: &str, separator: char) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(cell) = cells.last_mut() else { break };
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            c if c == separator && !quoted => cells.push(String::new()),
            c => cell.push(c),
        }
    }
    cells
}

/// True if a row of a file names a customer: a cell of it, or a text of its JSON, is the customer's id.
fn names(row: &str, customer: &str) -> bool {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(row) {
        return holds(&json, customer);
    }
    let is = |cell: &String| cell.trim() == customer || cell == customer;
    // A row that cannot be read may be cut anywhere, so any text in quotes counts, too.
    [',', ';', '\t']
        .iter()
        .any(|separator| cells(row, *separator).iter().any(is))
        || row.split('"').any(|text| text == customer)
}

fn holds(json: &serde_json::Value, customer: &str) -> bool {
    match json {
        serde_json::Value::String(text) => text == customer,
        serde_json::Value::Array(all) => all.iter().any(|one| holds(one, customer)),
        serde_json::Value::Object(fields) => fields.values().any(|one| holds(one, customer)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_that_name_the_customer_lose_what_they_say() {
        for (line, names) in [
            ("2,missing,d,\"r1,p,ann\"\n", true),
            ("2,missing,d,r1\n", false),
            ("2,missing,d,\"r1,p,anna\"\n", false),
            ("2,missing,d,\"r1;p;ann\"\n", true),
            ("2,missing,d,\"r1,p, ann \"\n", true),
            ("2,missing,d,\"r1,\"\"ann\"\",p\"\n", true),
            ("2,missing,d,\"r1,\"\"ann\"\n", true),
            (
                "2,missing,d,\"{\"\"customer_id\"\":\"\"a\\u006en\"\"}\"\n",
                true,
            ),
            ("2,missing,d,\"{\"\"customer_id\"\":\"\"bob\"\"}\"\n", false),
            ("2,missing,\"said \"\"ann\"\"\",\"r1,\nann\"\n", true),
            ("2,missing,ann,r1\n", false),
        ] {
            let around = "1,missing,d,\"bob,\nx\"\n";
            let lines = format!("{around}{line}{around}");
            let expected = names.then(|| format!("{around}2,missing,,\n{around}"));
            assert_eq!(without(&lines, "ann"), expected, "{line}");
        }
    }
}
