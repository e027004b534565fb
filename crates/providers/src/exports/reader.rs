//! Rows become records by a map. The readers of facts in `core` still check each record: here only what a file writes in its own way
//! is translated, and what cannot be is rejected with what to do.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use revtrail_core::attribution::event::{Channel, EventKind};
use revtrail_core::attribution::order::Status;
use revtrail_core::record::{Code, RecordProblem, quoted, shown};
use revtrail_core::value::address::{normalised_email, normalised_phone};
use revtrail_core::value::money::{Currency, Money};
use serde_json::{Map as Object, Value};

use super::cell::{Amounts, NoTime, Row, instant, is_spoilt};
use super::map::{Field, ITEM_FIELDS, Makes, Map};
use super::words::Meaning;
use crate::row::{hashed, short};

/// The fields that hold a time.
pub(super) const TIMES: [&str; 4] = ["occurred_at", "placed_at", "updated_at", "sent_at"];
const AMOUNTS: [&str; 2] = ["total", "refunded_total"];
const LISTS: [&str; 2] = ["coupon_codes", "tags"];
const FLAGS: [&str; 2] = ["machine", "triggered"];

/// What the word of a table says for an order that its shop has finished: which status that is depends on what the settings count.
pub(super) const FINISHED: &str = "FINISHED";

/// What the command line says of files that do not say it themselves.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The zone of times without an offset.
    pub zone: Option<Tz>,
    /// The currency of amounts.
    pub currency: Option<Currency>,
    /// The campaign of messages.
    pub campaign: Option<String>,
    /// The status of an order that its shop has finished; COMPLETE where nobody says it.
    pub finished: Option<Status>,
}

/// What became of a row, or of the rows of one order.
#[derive(Debug)]
pub struct Made {
    /// The line on which it begins.
    pub line: u64,
    /// The JSON text of a record, or why there is none.
    pub record: Result<String, RecordProblem>,
}

/// Which words of a file had no use, with how often each occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Words of rows that are none of our facts.
    pub ignored: BTreeMap<String, u64>,
    /// Words that have no meaning; their rows are rejected.
    pub unknown: BTreeMap<String, u64>,
}

/// The most different words that are noted of a file.
const WORDS_MAX: usize = 50;

fn note(words: &mut BTreeMap<String, u64>, word: &str) {
    let word = shown(word);
    if words.len() < WORDS_MAX || words.contains_key(&word) {
        *words.entry(word).or_default() += 1;
    }
}

/// Makes records of the rows of a file.
#[derive(Debug)]
pub struct Reader<'m> {
    map: &'m Map,
    given: &'m Given,
    /// The order whose further rows can follow.
    open: Option<Draft>,
    /// Which words had no use so far.
    pub notes: Notes,
}

/// The columns that are the same on all rows of an order, or empty.
const OF_THE_ORDER: [&str; 4] = ["order_id", "status", "total", "placed_at"];

#[derive(Debug)]
struct Draft {
    line: u64,
    key: Option<String>,
    own: [Option<String>; OF_THE_ORDER.len()],
    record: Result<Option<Object<String, Value>>, RecordProblem>,
    items: Vec<Value>,
}

impl Draft {
    fn new(
        line: u64,
        record: Result<Option<Object<String, Value>>, RecordProblem>,
        items: Vec<Value>,
    ) -> Self {
        Self {
            line,
            key: None,
            own: Default::default(),
            record,
            items,
        }
    }

    /// True for a row that says nothing else of the order than its first row does.
    fn goes_on(&self, key: Option<&str>, own: &[Option<String>]) -> bool {
        let mut both = own.iter().zip(&self.own);
        (key.is_none() || key == self.key.as_deref())
            && both.all(|(own, first)| own.is_none() || own == first)
    }

    fn close(self) -> Option<Made> {
        let record = self.record.map(|record| {
            let mut record = record?;
            if !self.items.is_empty() {
                record.insert("items".to_owned(), Value::Array(self.items));
            }
            Some(Value::Object(record).to_string())
        });
        let line = self.line;
        record.transpose().map(|record| Made { line, record })
    }
}

impl<'m> Reader<'m> {
    /// A reader of a file of this kind.
    pub fn new(map: &'m Map, given: &'m Given) -> Self {
        Self {
            map,
            given,
            open: None,
            notes: Notes::default(),
        }
    }

    /// Takes a row. Returns what is complete now: the row, or the order before it.
    pub fn take(&mut self, line: u64, row: Row<'_>) -> Option<Made> {
        let items = self.items(row);
        let Some(column) = &self.map.one_order else {
            let record = self.record(row);
            return Draft::new(line, record, items).close();
        };
        let key = row.text(column).map(String::from);
        let own = OF_THE_ORDER.map(|field| {
            let field = self.map.fields.get(field)?;
            field.text(row, self.map)
        });
        let open = self.open.as_mut();
        if let Some(open) = open.filter(|open| open.goes_on(key.as_deref(), &own)) {
            open.items.extend(items);
            return None;
        }
        let record = match (&own, &key) {
            ([None, _, None, _], Some(key)) => {
                let why = format!(
                    "order_id: this row of order {} has no id, and the row above is of another order: keep the rows of an order together, \
                     as they were exported",
                    quoted(key)
                );
                Err(RecordProblem::of("order_id", Code::Missing, why))
            }
            _ => self.record(row),
        };
        let draft = Draft {
            key,
            own,
            ..Draft::new(line, record, items)
        };
        self.open.replace(draft).and_then(Draft::close)
    }

    /// The order that was open at the end of the file.
    pub fn finish(&mut self) -> Option<Made> {
        self.open.take().and_then(Draft::close)
    }

    /// The items that a row says. What one costs is only shown, and then as an amount.
    fn items(&self, row: Row<'_>) -> Vec<Value> {
        let Some(items) = &self.map.items else {
            return Vec::new();
        };
        let currency = self.currency(row);
        let amounts = Amounts::of(self.map, row, currency.as_deref().and_then(Currency::parse));
        let item = |text: &dyn Fn(&str) -> Option<String>| {
            let found = ITEM_FIELDS.iter().filter_map(|field| {
                let value = text(items.fields.get(*field)?)?;
                let amount = (*field == "cost").then(|| amounts.read(&value)).flatten();
                let value = amount.map_or(value, |(amount, _)| amount);
                Some(((*field).to_owned(), Value::String(value)))
            });
            let found: Object<String, Value> = found.collect();
            (!found.is_empty()).then_some(Value::Object(found))
        };
        match &items.list {
            None => {
                let own = item(&|column| row.text(column).map(String::from));
                own.into_iter().collect()
            }
            Some(path) => {
                let list = row.list(path);
                let all = list
                    .iter()
                    .filter_map(|node| item(&|path| node.text_at(path)));
                all.collect()
            }
        }
    }

    /// The record of a row; `None` where the row is none of our facts.
    fn record(&mut self, row: Row<'_>) -> Result<Option<Object<String, Value>>, RecordProblem> {
        let map = self.map;
        let mut record = Object::new();
        if !self.is_fact(row) {
            return Ok(None);
        }
        let currency = self.currency(row);
        for &name in map.makes.fields() {
            let value = match map.fields.get(name) {
                Some(field) => self.value(name, field, row, currency.as_deref())?,
                None => None,
            };
            let value = value.or_else(|| match name {
                "campaign_id" if map.makes == Makes::Events => {
                    self.given.campaign.clone().map(Value::String)
                }
                "currency" => currency.clone().map(Value::String),
                _ => None,
            });
            if let Some(value) = value {
                record.insert(name.to_owned(), value);
            }
        }
        match map.makes {
            Makes::Events => name_event(&mut record)?,
            Makes::Orders => name_customer(&mut record)?,
            Makes::Campaigns | Makes::Vouchers => {}
        }
        Ok(Some(record))
    }

    /// False for a row whose word for its kind or status says that it is no fact of ours.
    fn is_fact(&mut self, row: Row<'_>) -> bool {
        let fields = &self.map.fields;
        let Some(field) = fields.get("kind").or(fields.get("status")) else {
            return true;
        };
        let words = field.all(row, self.map);
        let means_nothing =
            |word: &String| matches!(field.words.find(word), Some((_, Meaning::Nothing)));
        let is_fact = words.is_empty() || !words.iter().all(means_nothing);
        if !is_fact {
            note(&mut self.notes.ignored, &words.join(" "));
        }
        is_fact
    }

    /// The code of the currency of a row.
    fn currency(&self, row: Row<'_>) -> Option<String> {
        let own = self.map.fields.get("currency");
        let own = own
            .and_then(|field| field.text(row, self.map))
            .map(|code| code.to_uppercase());
        own.or_else(|| Some(self.given.currency?.code().to_owned()))
    }

    fn value(
        &mut self,
        name: &str,
        field: &Field,
        row: Row<'_>,
        currency: Option<&str>,
    ) -> Result<Option<Value>, RecordProblem> {
        let text = match name {
            "kind" | "channel" | "status" => return self.word(name, field, row),
            "event_id" if field.hashed => {
                let texts = field.all(row, self.map);
                let texts: Vec<Option<&str>> =
                    texts.iter().map(|text| Some(text.as_str())).collect();
                Some(hashed(&texts))
            }
            "currency" => currency.map(str::to_owned),
            "limit" => return Ok(limit(field.text(row, self.map))),
            _ if TIMES.contains(&name) => self.time(name, field, row)?,
            _ if AMOUNTS.contains(&name) => self.amount(name, field, row, currency)?,
            _ if LISTS.contains(&name) => return Ok(list(field, row, self.map)),
            _ if FLAGS.contains(&name) => {
                return Ok(flag(field, row, self.map).then_some(Value::Bool(true)));
            }
            _ => {
                let text = field.text(row, self.map);
                if let Some(text) = text.as_deref().filter(|text| is_spoilt(text)) {
                    return Err(spoilt(name, text));
                }
                match name {
                    "event_id" | "message_id" => text.map(short),
                    _ => text,
                }
            }
        };
        Ok(text.map(Value::String))
    }

    /// What the words of a row mean: of several, the one that stands first in the table.
    fn word(
        &mut self,
        name: &str,
        field: &Field,
        row: Row<'_>,
    ) -> Result<Option<Value>, RecordProblem> {
        let mut words = field.all(row, self.map);
        words.extend(field.is.clone().filter(|_| words.is_empty()));
        let mut strongest: Option<(usize, &Meaning)> = None;
        for word in &words {
            let own = || check_word(name, word).is_ok().then_some((usize::MAX, None));
            let found = field
                .words
                .find(word)
                .map(|(place, meaning)| (place, Some(meaning)));
            match found.or_else(own) {
                Some((place, Some(meaning)))
                    if strongest.is_none_or(|(first, _)| place < first) =>
                {
                    strongest = Some((place, meaning));
                }
                Some((_, Some(_))) => {}
                Some((_, None)) => return Ok(Some(Value::String(self.meant(word)))),
                None => {
                    note(&mut self.notes.unknown, word);
                    let code = match name {
                        "kind" => Code::UnknownKind,
                        "channel" => Code::UnknownChannel,
                        _ => Code::UnknownStatus,
                    };
                    let why = format!(
                        "{name}: {} has no meaning in the map {}: `--show-map` prints it; put what the word means into the \"words\" of {name}, and \
                         give the map as `--map`",
                        quoted(word),
                        quoted(&self.map.name)
                    );
                    return Err(RecordProblem::of(name, code, why));
                }
            }
        }
        match strongest {
            Some((_, Meaning::Is(word))) => Ok(Some(Value::String(self.meant(word)))),
            Some((_, Meaning::Rejected { rejected })) => Err(RecordProblem::of(
                name,
                Code::UnknownStatus,
                format!("{name}: {rejected}"),
            )),
            Some((_, Meaning::Nothing)) | None => Ok(None),
        }
    }

    fn meant(&self, word: &str) -> String {
        match word {
            FINISHED => self
                .given
                .finished
                .unwrap_or(Status::Complete)
                .name()
                .to_owned(),
            _ => word.to_owned(),
        }
    }

    fn time(
        &self,
        name: &str,
        field: &Field,
        row: Row<'_>,
    ) -> Result<Option<String>, RecordProblem> {
        let texts = match (&field.joined_by, field.latest) {
            (Some(_), _) => field.text(row, self.map).into_iter().collect(),
            (None, true) => field.all(row, self.map),
            (None, false) => field.first(row, self.map),
        };
        let zone = match &field.zone_in {
            None => self.map.zone.or(self.given.zone),
            Some(column) => match row.text(column) {
                None => self.map.zone.or(self.given.zone),
                Some(own) => match field.zones.get(&*own).copied().or_else(|| own.parse().ok()) {
                    Some(zone) => Some(zone),
                    None => {
                        let why = format!(
                            "{name}: {} in {column} is no zone that is known: put it into the \"zones\" of {name} in the map that `--show-map` prints, \
                             with its name like Europe/Kyiv, and give the map as `--map`",
                            quoted(&own)
                        );
                        return Err(RecordProblem::of(name, Code::BadTime, why));
                    }
                },
            },
        };
        let forms = self.map.forms(field);
        let mut latest = None;
        for text in texts {
            match instant(&text, forms, zone) {
                Ok(at) => latest = latest.max(Some(at)),
                Err(NoTime::NoZone) => {
                    let why = format!(
                        "{name}: {} has no zone: say it, like `--zone Europe/Kyiv`",
                        quoted(&text)
                    );
                    return Err(RecordProblem::of(name, Code::BadTime, why));
                }
                Err(NoTime::OtherForm) => {
                    let why = format!(
                        "{name}: {} is not written like {}: was the file saved by a spreadsheet? Else put its form into \"time\" of the map that \
                         `--show-map` prints, and give the map as `--map`",
                        quoted(&text),
                        forms.join(" or ")
                    );
                    return Err(RecordProblem::of(name, Code::BadTime, why));
                }
            }
        }
        Ok(latest.map(|at| at.to_string()))
    }

    /// An amount. Of what was paid back, the parts are summed, and their sign means nothing.
    fn amount(
        &self,
        name: &str,
        field: &Field,
        row: Row<'_>,
        currency: Option<&str>,
    ) -> Result<Option<String>, RecordProblem> {
        let is_refund = name == "refunded_total";
        let texts = field.first(row, self.map);
        let amounts = Amounts::of(self.map, row, currency.and_then(Currency::parse));
        let mut sum: Option<Money> = None;
        for text in texts {
            let bad = |why: String| RecordProblem::of(name, Code::BadMoney, why);
            let (amount, negative) = amounts.read(&text).ok_or_else(|| {
                let how = match (amounts.minor_digits, amounts.decimal) {
                    (Some(_), _) => "a whole number of the smallest unit",
                    (None, ',') => "an amount with a decimal comma",
                    (None, _) => "an amount with a decimal point",
                };
                bad(format!("{name}: {} is not {how}: \"decimal\" and \"minor_units\" of a map say how amounts are written", quoted(&text)))
            })?;
            if negative && !is_refund {
                return Err(bad(format!(
                    "{name}: {} is below 0: a refund is the refunded_total of its order",
                    quoted(&text)
                )));
            }
            let amount = Money::parse(&amount).map_err(|why| bad(format!("{name}: {why}")))?;
            sum = Some(match sum {
                None => amount,
                Some(sum) => sum
                    .checked_add(amount)
                    .ok_or_else(|| bad(format!("{name}: the sum of its parts is too large")))?,
            });
        }
        Ok(sum.map(|sum| sum.to_string()))
    }
}

/// Checks a word of ours in a map.
pub(super) fn check_word(field: &str, word: &str) -> Result<(), String> {
    let good = match field {
        "kind" => EventKind::parse(word).is_some(),
        "channel" => Channel::parse(word).is_some(),
        "status" => word == FINISHED || Status::parse(word).is_some(),
        _ => true,
    };
    match good {
        true => Ok(()),
        false => Err(format!("{field}: {word:?} is none of its words")),
    }
}

fn list(field: &Field, row: Row<'_>, map: &Map) -> Option<Value> {
    let texts = field.first(row, map);
    let entries = texts.iter().flat_map(|text| match &field.split {
        Some(between) => text.split(between.as_str()).map(str::trim).collect(),
        None => vec![text.as_str()],
    });
    let is_entry = |entry: &&str| {
        !entry.is_empty()
            && !field
                .without
                .iter()
                .any(|word| word.eq_ignore_ascii_case(entry))
    };
    let entries: Vec<Value> = entries.filter(is_entry).map(Value::from).collect();
    (!entries.is_empty()).then_some(Value::Array(entries))
}

/// True where a word of the row means true; without words, where it says so.
fn flag(field: &Field, row: Row<'_>, map: &Map) -> bool {
    let words = field.all(row, map);
    words.iter().any(|word| match field.words.find(word) {
        Some((_, meaning)) => *meaning == Meaning::Is("true".to_owned()),
        None => {
            field.words.is_empty()
                && ["true", "1", "yes", "t"]
                    .iter()
                    .any(|own| own.eq_ignore_ascii_case(word))
        }
    })
}

/// How often a code may be used. Digits are a number; anything else stays as it is, so that it is rejected.
fn limit(text: Option<String>) -> Option<Value> {
    let text = text?;
    Some(text.parse::<i64>().map_or(Value::String(text), Value::from))
}

fn spoilt(name: &str, text: &str) -> RecordProblem {
    let why = format!(
        "{name}: {} was rounded by a spreadsheet, and what it was cannot be known: export the file again, and do not save it with a spreadsheet",
        quoted(text)
    );
    RecordProblem::of(name, Code::BadId, why)
}

/// Gives an event its id where the file has none: a hash of what it says, so that a second upload changes nothing.
fn name_event(event: &mut Object<String, Value>) -> Result<(), RecordProblem> {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let recipient = text("customer_id").or(text("email")).or(text("phone"));
    if recipient.is_none() {
        let why =
            "customer_id: the row says neither a customer nor an e-mail address nor a phone number";
        return Err(RecordProblem::of("customer_id", Code::Missing, why));
    }
    if text("campaign_id").is_none() {
        let why = "campaign_id: the row says no campaign: say the one of all such rows, like `--campaign spring`, or put another column into the map \
                   that `--show-map` prints";
        return Err(RecordProblem::of("campaign_id", Code::Missing, why));
    }
    if text("event_id").is_none() {
        let id = hashed(&[
            text("kind"),
            text("channel"),
            text("campaign_id"),
            recipient,
            text("message_id"),
            text("occurred_at"),
            text("url"),
        ]);
        event.insert("event_id".to_owned(), Value::String(id));
    }
    Ok(())
}

/// An order of a guest has the address as its customer, as it is compared.
fn name_customer(order: &mut Object<String, Value>) -> Result<(), RecordProblem> {
    let text = |name: &str| order.get(name).and_then(Value::as_str);
    if text("customer_id").is_some() {
        return Ok(());
    }
    let address = text("email").and_then(normalised_email);
    let Some(address) = address.or_else(|| text("phone").and_then(normalised_phone)) else {
        let why =
            "customer_id: the row says neither a customer nor an e-mail address nor a phone number";
        return Err(RecordProblem::of("customer_id", Code::Missing, why));
    };
    order.insert("customer_id".to_owned(), Value::String(address));
    Ok(())
}
