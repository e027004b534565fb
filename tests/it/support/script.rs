//! The reader of the tables in `tests/corpus`, and what their lines do. `tests/corpus/README.md` tells how one is written.
//!
//! A block is a heading and indented lines. A line is a call; lines that are indented further say what must come of it.

use std::collections::BTreeMap;
use std::path::Path;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::fixtures::{Shop, at, events, order, rest as fields, with};
use crate::support::service::{ADMIN, Service};

const ROLES: [&str; 5] = ["admin", "marketer", "analyst", "partner", "ingest"];

/// What is read of a table that has one case a line: neither blank lines nor comments.
pub fn rows(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

/// One line of a block, and what must come of it.
#[derive(Debug, Clone)]
pub struct Line {
    /// The file and the number of the line.
    place: String,
    pub text: String,
    checks: Vec<String>,
}

impl Line {
    fn replaced(&self, name: &str, value: &str) -> Self {
        let mut line = self.clone();
        line.text = line.text.replace(name, value);
        for check in &mut line.checks {
            *check = check.replace(name, value);
        }
        line
    }
}

/// A heading, and the lines below it; loops are written out.
#[derive(Debug)]
pub struct Block {
    pub name: String,
    pub lines: Vec<Line>,
}

/// The blocks of a file in `tests/corpus`.
pub fn blocks(file: &str) -> Vec<Block> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let text = std::fs::read_to_string(corpus.join(file)).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let (text, place) = (line.trim(), format!("tests/corpus/{file}:{}", n + 1));
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let depth = line.len() - line.trim_start().len();
        if depth == 0 {
            let (name, lines) = (text.to_owned(), Vec::new());
            blocks.push(Block { name, lines });
            continue;
        }
        let lines = &mut blocks.last_mut().expect(&place).lines;
        match depth {
            4 => {
                let (text, check) = match text.split_once(" -> ") {
                    Some((text, check)) => (text.trim(), vec![check.trim().to_owned()]),
                    None => (text, Vec::new()),
                };
                lines.push(Line {
                    place,
                    text: text.to_owned(),
                    checks: check,
                });
            }
            8 => lines.last_mut().expect(&place).checks.push(text.to_owned()),
            _ => panic!("{place}: lines are indented by 4, what must come of them by 8"),
        }
    }
    for block in &mut blocks {
        block.lines = written_out(&block.lines);
    }
    blocks
}

/// Writes out `for` (the rest of the block for each row below it) and `<0..9>` (the line for each number).
fn written_out(lines: &[Line]) -> Vec<Line> {
    let mut out = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(names) = line.text.strip_prefix("for ") {
            for row in &line.checks {
                let cells: Vec<&str> = row.split('|').map(str::trim).collect();
                let names: Vec<&str> = names.split('|').map(str::trim).collect();
                assert_eq!(names.len(), cells.len(), "{}: {row}", line.place);
                let replaced = |line: &Line| {
                    let pairs = names.iter().zip(&cells);
                    pairs.fold(line.clone(), |line, (name, cell)| line.replaced(name, cell))
                };
                let rest: Vec<Line> = lines[at + 1..].iter().map(replaced).collect();
                out.extend(written_out(&rest));
            }
            return out;
        }
        match range(&line.text) {
            Some((name, range)) => {
                out.extend(range.map(|n| line.replaced(&name, &n.to_string())));
            }
            None => out.push(line.clone()),
        }
    }
    out
}

/// The first `<0..9>` of a line.
fn range(text: &str) -> Option<(String, std::ops::Range<u32>)> {
    let inner = text.split('<').skip(1).find_map(|rest| {
        let inner = rest.split_once('>')?.0;
        inner.contains("..").then_some(inner)
    })?;
    let (from, to) = inner.split_once("..")?;
    Some((format!("<{inner}>"), from.parse().ok()?..to.parse().ok()?))
}

/// One call of the interface.
#[derive(Debug, Clone)]
pub struct Call {
    line: Line,
    role: Option<String>,
    pub method: Method,
    /// Below the marketplace; empty for the marketplace itself, whole where it begins with a slash.
    pub path: String,
    csv: bool,
    pub body: String,
    /// The records of a line of facts, as JSON texts.
    records: Vec<String>,
}

impl Call {
    /// What is below `/v1`.
    pub fn path_in(&self, marketplace: &str) -> String {
        if self.path.starts_with('/') {
            return self.path.clone();
        }
        let slash = if self.path.is_empty() { "" } else { "/" };
        format!("/v1/marketplaces/{marketplace}{slash}{}", self.path)
    }

    /// Makes the call in the marketplace `m`; true where it is known to be done, and then the answer is what the line says.
    pub async fn done(&self, service: &Service) -> bool {
        let (path, body) = (self.path_in("m"), serde_json::from_str(&self.body));
        let body: Value = body.expect(&self.line.place);
        let call = service.call_as(ADMIN, self.method.clone(), &path, Some(&body));
        let (status, answer) = call.await;
        assert!(
            status.is_success() || status.is_server_error(),
            "{}: {status} {answer}",
            self.line.place
        );
        if status.is_success() && !self.line.checks.is_empty() {
            self.check(status.as_u16(), &answer);
        }
        status.is_success()
    }

    /// Asserts that an answer is what the line says; where it says nothing, that all is taken.
    pub fn check(&self, status: u16, answer: &Value) {
        let Line {
            place,
            text,
            checks,
        } = &self.line;
        let told = |check: &str| format!("{place}: {text} -> {check}\ngot {status} {answer}");
        if checks.is_empty() {
            assert!((200..300).contains(&status), "{}", told("2xx"));
            if !self.records.is_empty() {
                assert_eq!(answer["rejected"], json!([]), "{}", told("none rejected"));
            }
        }
        let mut expected = None;
        for check in checks {
            let (number, rest) = match check.split_once(' ') {
                Some((number, rest)) => (number, rest.trim()),
                None => (check.as_str(), ""),
            };
            let rest = match number.parse::<u16>() {
                Ok(number) => {
                    expected = Some(number);
                    rest
                }
                Err(_) => check,
            };
            if !rest.is_empty() {
                assert!(holds(rest, answer, place), "{}", told(check));
            }
        }
        let good = expected.map_or((200..300).contains(&status), |expected| expected == status);
        assert!(good, "{}", told(&format!("{expected:?}")));
    }
}

/// Whether a check holds of an answer: `$.path OPERATOR JSON`, or `{…}` for `$ has {…}`.
fn holds(check: &str, answer: &Value, place: &str) -> bool {
    let check = match check.starts_with('{') {
        true => format!("$ has {check}"),
        false => check.to_owned(),
    };
    let mut words = check.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("{place}: {check}"));
    let (path, operator, value) = (word(), word(), word());
    let found = follow(answer, path, place);
    let value: Value =
        serde_json::from_str(value).unwrap_or_else(|why| panic!("{place}: {value}: {why}"));
    let all = match &value {
        Value::Array(values) => values.clone(),
        one => vec![one.clone()],
    };
    let contains = |one: &Value| match &found {
        Value::String(text) => text.contains(one.as_str().unwrap()),
        Value::Object(fields) => fields.contains_key(one.as_str().unwrap()),
        found => found.as_array().is_some_and(|list| list.contains(one)),
    };
    match operator {
        "==" => found == value,
        "has" => {
            let fields = value.as_object().unwrap();
            fields
                .iter()
                .all(|(name, value)| found.get(name) == Some(value))
        }
        "begins" => found.as_str().unwrap().starts_with(value.as_str().unwrap()),
        "contains" => all.iter().all(contains),
        "lacks" => !found.is_null() && !all.iter().any(contains),
        _ => panic!("{place}: == has begins contains lacks, not {operator}"),
    }
}

/// What stands at a path: `$.campaigns[campaign_id=E1].revenue`, `$.items[0]`, `$.items.*.code` (of each), `$.items.length`,
/// `$.items.sorted`. What is not there is `null`.
fn follow(answer: &Value, path: &str, place: &str) -> Value {
    let steps = path
        .strip_prefix('$')
        .unwrap_or_else(|| panic!("{place}: {path}"));
    let steps = steps.replace('[', ".[");
    let mut found = answer.clone();
    let mut steps = steps.split('.').filter(|step| !step.is_empty());
    while let Some(step) = steps.next() {
        let index = step
            .strip_prefix('[')
            .and_then(|step| step.strip_suffix(']'));
        found = match (step, index) {
            ("length", _) => json!(found.as_array().unwrap().len()),
            ("sorted", _) => {
                let mut list = found.as_array().unwrap().clone();
                list.sort_by_key(Value::to_string);
                json!(list)
            }
            ("*", _) => {
                let names = steps.next().unwrap();
                let of = |one: &Value| match names.split('+').collect::<Vec<_>>()[..] {
                    [name] => one[name].clone(),
                    ref names => {
                        let texts = names.iter().map(|name| one[*name].as_str().unwrap());
                        json!(texts.collect::<Vec<_>>().join(" "))
                    }
                };
                found.as_array().unwrap().iter().map(of).collect()
            }
            (_, Some(index)) => match index.split_once('=') {
                Some((name, value)) => {
                    let is_it = |one: &&Value| match &one[name] {
                        Value::String(text) => text == value,
                        other => format!("{other}") == value,
                    };
                    let list = found.as_array();
                    list.and_then(|list| list.iter().find(is_it).cloned())
                        .unwrap_or_default()
                }
                None => found[index.parse::<usize>().unwrap()].clone(),
            },
            (name, None) => found.get(name).cloned().unwrap_or_default(),
        };
    }
    found
}

/// What a block does, one after the other.
#[derive(Debug, Clone)]
pub enum Step {
    Call(Call),
    /// What is no call: whoever plays the block knows it.
    Word(Line),
}

impl Block {
    /// The steps: lines of facts of one kind are one call, up to one that says what must come of it, or to `and`.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for line in &self.lines {
            let step = step(line);
            if let (Some(Step::Call(last)), Step::Call(next)) = (steps.last_mut(), &step) {
                let facts = !last.records.is_empty() && !next.records.is_empty();
                if facts && last.path == next.path && last.line.checks.is_empty() {
                    last.records.extend(next.records.clone());
                    last.body = format!("[{}]", last.records.join(","));
                    last.line = next.line.clone();
                    continue;
                }
            }
            steps.push(step);
        }
        steps.retain(|step| !matches!(step, Step::Word(line) if line.text == "and"));
        steps
    }
}

fn step(line: &Line) -> Step {
    let (role, text) = match line.text.strip_prefix("as ") {
        Some(text) => {
            let (role, text) = text.split_once(' ').unwrap();
            (Some(role.to_owned()), text)
        }
        None => (None, line.text.as_str()),
    };
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut line = line.clone();
    let call = |line: Line, method: &Method, path: &str, body: String| Call {
        line,
        role,
        method: method.clone(),
        path: path.to_owned(),
        csv: word == "CSV",
        body,
        records: Vec::new(),
    };
    let method = match word {
        "GET" | "CSV" => Method::GET,
        "PUT" => Method::PUT,
        "PATCH" => Method::PATCH,
        "DELETE" => Method::DELETE,
        _ => Method::POST,
    };
    Step::Call(match word {
        "GET" | "CSV" | "PUT" | "PATCH" | "DELETE" | "POST" => {
            let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
            let path = if path == "M" { "" } else { path };
            call(line, &method, path, body.to_owned())
        }
        // Who earns it is another question than how the call is answered.
        "order" if line.checks.first().is_some_and(|who| is_name(who)) => return Step::Word(line),
        "event" | "order" | "assignment" | "redemption" => {
            let records = records(word, rest);
            let body = format!("[{}]", records.join(","));
            Call {
                records,
                ..call(line, &method, &format!("{word}s"), body)
            }
        }
        // `redeem p/CODE r-1 ann`, or by the code alone; `-> success` or why not.
        "redeem" => {
            let (code, text) = rest.split_once(' ').unwrap();
            let path = match code.split_once('/') {
                Some((id, code)) => format!("promotions/{id}/vouchers/{code}/redeem"),
                None => format!("vouchers/{code}/redeem"),
            };
            let mut words = text.split_whitespace();
            let id = words.next().unwrap();
            let record = json!({"redemption_id": id, "customer_id": words.next().unwrap()});
            let record = with(record, &fields(words));
            if let Some(told) = line.checks.first_mut().filter(|told| is_name(told)) {
                let reason = Some(told.as_str()).filter(|told| *told != "success");
                let result = reason.map_or("success", |_| "failure");
                *told =
                    json!({"redemption_id": id, "result": result, "reason": reason}).to_string();
            }
            call(line, &method, &path, record.to_string())
        }
        "rollback" => {
            let (redemption, id) = rest.split_once(' ').unwrap();
            let body = json!({"rollback_id": id, "reason": "came back"});
            if line.checks.is_empty() {
                let told = json!({"redemption_id": redemption, "rollback_id": id, "result": "rolled_back"});
                line.checks.push(told.to_string());
            }
            let path = format!("redemptions/{redemption}/rollback");
            call(line, &method, &path, body.to_string())
        }
        // A promotion that begins long before any fact.
        "promotion" => {
            let (id, more) = rest.split_once(' ').unwrap_or((rest, "{}"));
            let body =
                json!({"name": id, "kind": "global", "tracking_from": "2026-08-22T12:00:00Z"});
            let body = with(body, &serde_json::from_str(more).expect(&line.place));
            call(
                line,
                &Method::PUT,
                &format!("promotions/{id}"),
                body.to_string(),
            )
        }
        _ => return Step::Word(line),
    })
}

/// Whether a check is a name, and neither a status nor something of the answer.
fn is_name(check: &str) -> bool {
    check.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// The records of a line of facts, as JSON texts; what is JSON stays as it is.
pub fn records(kind: &str, text: &str) -> Vec<String> {
    if text.starts_with('{') {
        return vec![text.to_owned()];
    }
    let texts = text.split(" & ").filter(|text| !text.is_empty());
    let records = texts.flat_map(|text| match kind {
        "event" => events(text),
        "order" => vec![order(text)],
        _ => {
            let mut words = text.split_whitespace();
            let mut word = || words.next().unwrap();
            let record = json!({format!("{kind}_id"): word(), "promotion_id": word(), "customer_id": word()});
            vec![with(record, &fields(words))]
        }
    });
    records.map(|record| record.to_string()).collect()
}

/// A marketplace as a block goes through it.
struct Player {
    shop: Shop,
    keys: BTreeMap<String, String>,
    /// What `let` named.
    named: BTreeMap<String, String>,
    answer: Value,
}

/// Plays the case of a file that has this name. Its last line that was printed is the one that failed.
pub async fn play(file: &str, name: &str) {
    let block = blocks(file).into_iter().find(|block| block.name == name);
    let mut player = Player {
        shop: Shop::open(json!({})).await,
        keys: BTreeMap::new(),
        named: BTreeMap::new(),
        answer: Value::Null,
    };
    let steps = block.unwrap().steps();
    assert!(!steps.is_empty(), "{file}: {name} has no lines");
    for step in steps {
        match step {
            Step::Call(mut call) => {
                println!("{}: {}", call.line.place, call.line.text);
                player.fill(&mut call);
                player.call(&call).await;
            }
            Step::Word(line) => {
                println!("{}: {}", line.place, line.text);
                player.word(&line).await;
            }
        }
    }
}

impl Player {
    /// A text with what `let` named.
    fn filled(&self, text: &str) -> String {
        let named = self.named.iter();
        named.fold(text.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
    }

    fn fill(&self, call: &mut Call) {
        for text in call
            .line
            .checks
            .iter_mut()
            .chain([&mut call.path, &mut call.body])
        {
            *text = self.filled(text);
        }
    }

    async fn key(&mut self, role: &str) -> String {
        if !self.keys.contains_key(role) {
            self.keys.insert(role.to_owned(), self.shop.key(role).await);
        }
        self.keys[role].clone()
    }

    async fn answer(&mut self, call: &Call) -> (StatusCode, Value) {
        let key = match &call.role {
            Some(role) => self.key(role).await,
            None => ADMIN.to_owned(),
        };
        let bearer = format!("Bearer {key}");
        let headers = match call.csv {
            true => ("accept", "text/csv"),
            false => ("content-type", "application/json"),
        };
        let headers = [("authorization", bearer.as_str()), headers];
        let (path, body) = (call.path_in(self.shop.id), call.body.clone().into_bytes());
        let service = &self.shop.service;
        let (status, media, body) = service
            .send(call.method.clone(), &path, &headers, body)
            .await;
        let text = String::from_utf8(body).unwrap();
        // Whatever is refused is a problem of RFC 9457, but for the answer of intake.
        if status.as_u16() >= 400 && !text.contains("\"rejected\":") {
            assert_eq!(media, "application/problem+json", "{text}");
            assert!(
                text.contains(&format!("\"status\":{}", status.as_u16())),
                "{text}"
            );
        }
        let answer = match serde_json::from_str(&text) {
            Ok(answer) if !media.starts_with("text/csv") => answer,
            _ => json!(text),
        };
        (status, answer)
    }

    async fn call(&mut self, call: &Call) {
        let (status, answer) = self.answer(call).await;
        call.check(status.as_u16(), &answer);
        self.answer = answer;
    }

    async fn word(&mut self, line: &Line) {
        let (word, rest) = line.text.split_once(' ').unwrap_or((&line.text, ""));
        let place = &line.place;
        match word {
            "marketplace" => {
                self.shop = Shop::open(serde_json::from_str(rest).expect(place)).await;
                self.keys.clear();
            }
            // Another marketplace of the same service, made where it is not there yet.
            "in" => {
                let (status, _) = self
                    .shop
                    .service
                    .put(&format!("/v1/marketplaces/{rest}"), &json!({"name": rest}))
                    .await;
                assert!(status.is_success(), "{place}: {status}");
                self.shop.id = String::leak(rest.to_owned());
            }
            // One with figures to be moved.
            "lively" => {
                self.shop = Shop::lively().await;
                self.keys.clear();
            }
            "run" => drop(self.shop.run().await),
            "figures" => {
                self.answer = self.shop.figures().await;
                for check in &line.checks {
                    assert!(
                        holds(&self.filled(check), &self.answer, place),
                        "{place}: {check}"
                    );
                }
            }
            "now" => self.shop.service.set_now(at(rest)),
            "order" => {
                let who = self.shop.earner_of(rest).await;
                assert_eq!(who, line.checks[0], "{place}: {}", line.text);
            }
            "earner" => {
                let who = self.shop.earner(rest).await;
                assert_eq!(who, line.checks[0], "{place}: {}", line.text);
            }
            "let" => {
                let (name, path) = rest.split_once(" = ").expect(place);
                let value = match follow(&self.answer, path, place) {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                self.named.insert(format!("<{name}>"), value);
            }
            // `each role GET path -> 200 200 403 403 403`, in the order of API.md.
            "each" => {
                let statuses: Vec<&str> = line.checks[0].split(' ').collect();
                assert_eq!(statuses.len(), ROLES.len(), "{place}");
                for (role, status) in ROLES.into_iter().zip(statuses) {
                    let mut line = line.replaced("each role", &format!("as {role}"));
                    line.checks = vec![status.to_owned()];
                    let Step::Call(call) = step(&line) else {
                        panic!("{place}: {}", line.text)
                    };
                    self.call(&call).await;
                }
            }
            _ => panic!("{place}: nothing is called {word}"),
        }
    }
}
