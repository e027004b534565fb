//! A map: which columns of a kind of file make which fields of a record, and how its times, amounts and words are written.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use chrono_tz::Tz;
use revtrail_core::attribution::{event, order};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::reader::FINISHED;
use super::words::{Meaning, Words};
use crate::time;

/// The kinds of files that are known, one map each.
const KNOWN: [&str; 20] = [
    include_str!("known/shopify_orders.json"),
    include_str!("known/woocommerce_webtoffee.json"),
    include_str!("known/woocommerce_advanced.json"),
    include_str!("known/woocommerce_analytics.json"),
    include_str!("known/magento_order_grid.json"),
    include_str!("known/square_transactions.json"),
    include_str!("known/yespo_orders.json"),
    include_str!("known/deliverect_order.json"),
    include_str!("known/salesforce_tracking.json"),
    include_str!("known/salesforce_send_jobs.json"),
    include_str!("known/sendgrid_activity.json"),
    include_str!("known/brevo_logs.json"),
    include_str!("known/mailchimp_activity_export.json"),
    include_str!("known/mailchimp_activity_report.json"),
    include_str!("known/twilio_messages.json"),
    include_str!("known/hubspot_email_events.json"),
    include_str!("known/voucherify_vouchers.json"),
    include_str!("known/voucherify_import.json"),
    include_str!("known/talonone_coupons.json"),
    include_str!("known/yespo_promocodes.json"),
];

/// The maps of the files that are known.
pub fn known() -> Vec<Map> {
    let maps = KNOWN.iter().map(|text| serde_json::from_str(text));
    maps.filter_map(Result::ok).collect()
}

/// The kind of fact that the rows of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Makes {
    Events,
    Orders,
    Campaigns,
    Vouchers,
}

impl Makes {
    /// The fields of such a record, in the order in which their problems are told.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Events => &event::FIELDS,
            Self::Orders => &order::FIELDS,
            Self::Campaigns => &["campaign_id", "name", "tags", "sent_at", "triggered"],
            Self::Vouchers => &["code", "limit"],
        }
    }

    /// The fields that each record needs. Whom a fact is of is checked beside them, and an event without an id is given one.
    fn needed(self) -> &'static [&'static str] {
        match self {
            Self::Events => &["kind", "channel", "campaign_id", "occurred_at"],
            Self::Orders => &["order_id", "status", "total", "currency", "placed_at"],
            Self::Campaigns => &["campaign_id"],
            Self::Vouchers => &["code"],
        }
    }

    /// What such facts are called in the options of the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Orders => "orders",
            Self::Campaigns => "campaigns",
            Self::Vouchers => "vouchers",
        }
    }
}

/// Whom an event or an order can be of.
pub(super) const WHOM: [&str; 3] = ["customer_id", "email", "phone"];

/// How one kind of file is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// What people call such a file.
    pub name: String,
    /// What its rows are.
    pub makes: Makes,
    /// The columns by which such a file is recognised; those that the fields name where nothing is said.
    #[serde(default)]
    pub header: Vec<String>,
    /// Says that the columns are ours, and the file is read as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain: bool,
    /// Why such a file cannot be used, and which to use instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Of JSON: the path to the list of records. Without it each document is a record or a list of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// The column that is the same on all rows of one order, where an order has a row for each line item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_order: Option<String>,
    /// The zone of times that have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Tz>,
    /// How times are written; the first form that fits counts.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_more"
    )]
    pub(super) time: Vec<String>,
    /// What stands before the decimals of an amount: a point, or a comma.
    #[serde(default = "point", skip_serializing_if = "is_point")]
    pub(super) decimal: char,
    /// Says that amounts are whole numbers of the smallest unit, such as cents.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) minor_units: bool,
    /// The column that says how many digits of such a number are decimals; by default the currency says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) decimals_in: Option<String>,
    /// Cells that say nothing, as an empty one does.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_more"
    )]
    pub(super) nothing: Vec<String>,
    /// For each field of a record, where it comes from.
    #[serde(default)]
    pub(super) fields: BTreeMap<String, Field>,
    /// Where the items of an order are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) items: Option<Items>,
    /// What `--show-map` adds for people; it means nothing when a map is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "as above")]
    pub example: Option<Value>,
}

fn point() -> char {
    '.'
}

fn is_point(decimal: &char) -> bool {
    *decimal == '.'
}

/// Where a field comes from. In JSON a text is one column, and a list is columns of which the first that says something counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub(super) struct Field {
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_more"
    )]
    pub(super) from: Vec<Source>,
    /// Of several times the latest counts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) latest: bool,
    /// All of the columns count, with this between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) joined_by: Option<String>,
    /// An id that is hashed from all of the columns.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) hashed: bool,
    /// Every record has this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is: Option<String>,
    #[serde(skip_serializing_if = "Words::is_empty")]
    pub(super) words: Words,
    /// How this time is written where it differs from the others.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_more"
    )]
    pub(super) time: Vec<String>,
    /// The column that names the zone of this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) zone_in: Option<String>,
    /// Names of zones that are not those of the IANA.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) zones: BTreeMap<String, Tz>,
    /// What stands between the entries of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) split: Option<String>,
    /// Entries of a list that are none.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_more"
    )]
    pub(super) without: Vec<String>,
}

/// A column, and how its cell is read. In JSON a text is a column without more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub(super) struct Source {
    pub(super) column: String,
    /// The text that a cell stands for, whatever it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) set: Option<String>,
    /// Cells that say nothing.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_more"
    )]
    pub(super) nothing: Vec<String>,
    /// Of a cell like `amount:5.00|reason:late;amount:1.00`, the name of the values that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<String>,
}

/// Where the items of an order are: columns of the rows of an order, or paths in the entries of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Items {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) list: Option<String>,
    #[serde(flatten)]
    pub(super) fields: BTreeMap<String, String>,
}

/// The fields of an item.
pub(super) const ITEM_FIELDS: [&str; 4] = ["id", "name", "quantity", "cost"];

/// What a file or the command line has yet to say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// No column says the currency.
    #[error("no column says the currency of the amounts in it; say it, like `--currency EUR`")]
    Currency,
    /// No column says the campaign.
    #[error("nothing in it says the campaign of the messages; say it, like `--campaign spring`")]
    Campaign,
    /// Times without an offset.
    #[error("the times in it have no zone; say it, like `--zone Europe/Kyiv`")]
    Zone,
    /// Nothing says this field, and no option does.
    #[error(
        "nothing in it says the {0}; `--show-map` prints a map: put where the {0} comes from into its \"fields\", like {like}, and give it as `--map`",
        like = like(.0)
    )]
    Field(String),
}

fn like(field: &str) -> &'static str {
    match field {
        "status" => "\"status\": {\"is\": \"COMPLETE\"}",
        "email" => "\"email\": \"E-mail address\"",
        _ => "\"total\": \"Amount\"",
    }
}

impl Map {
    /// Reads the maps of a file that a person wrote: a map, a list of maps, or what `--show-map` printed.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn read(text: &str) -> Result<Vec<Self>, String> {
        let text = text.trim_start_matches('\u{feff}').trim_start();
        let no_map = |error: serde_json::Error| format!("this is no map: {error}");
        let mut maps: Vec<Self> = match text.starts_with('[') {
            true => serde_json::from_str(text).map_err(no_map)?,
            false => vec![serde_json::from_str(text).map_err(no_map)?],
        };
        for map in &mut maps {
            if map.header.is_empty() {
                map.header = map.columns();
            }
            map.check()?;
        }
        Ok(maps)
    }

    /// Finds what a person could have mistyped.
    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let fields = self.makes.fields();
        for (field, from) in &self.fields {
            if !fields.contains(&field.as_str()) {
                let (makes, fields) = (self.makes.name(), fields.join(", "));
                return Err(format!(
                    "map {name:?}: {field} is no field of {makes}; there are {fields}"
                ));
            }
            if from.from.is_empty() == from.is.is_none() {
                return Err(format!(
                    "map {name:?}: {field} needs either \"from\" with a column, or \"is\" with a text"
                ));
            }
            let words = from.words.0.iter();
            let meanings = words.filter_map(|(_, meaning)| match meaning {
                Meaning::Is(word) => Some(word.as_str()),
                _ => None,
            });
            for word in meanings.chain(from.is.as_deref()) {
                super::reader::check_word(field, word)
                    .map_err(|why| format!("map {name:?}: {why}"))?;
            }
        }
        let times = self.fields.values().flat_map(|field| &field.time);
        for form in self.time.iter().chain(times) {
            time::check(form).map_err(|why| format!("map {name:?}: {why}"))?;
        }
        let items = self.items.iter().flat_map(|items| items.fields.keys());
        if let Some(field) = items
            .into_iter()
            .find(|f| !ITEM_FIELDS.contains(&f.as_str()))
        {
            let fields = ITEM_FIELDS.join(", ");
            return Err(format!(
                "map {name:?}: {field} is no field of items; there are {fields}"
            ));
        }
        if !matches!(self.decimal, '.' | ',') {
            return Err(format!("map {name:?}: \"decimal\" is \".\" or \",\""));
        }
        match self.header.is_empty() && self.rows.is_none() {
            true => Err(format!("map {name:?}: no field comes from a column")),
            false => Ok(()),
        }
    }

    /// The columns that the fields are made of. Of a path into JSON it is the first step.
    fn columns(&self) -> Vec<String> {
        let sources = self.fields.values().flat_map(|field| &field.from);
        let mut columns: Vec<String> = sources.map(|source| source.column.clone()).collect();
        columns.sort();
        columns.dedup();
        columns
    }

    /// The map of a file whose columns are ours.
    pub fn plain(makes: Makes, header: &[&str]) -> Self {
        Self {
            plain: true,
            ..Self::unknown(
                "columns as revtrail names them",
                makes,
                header.iter().map(|column| (*column).to_owned()),
            )
        }
    }

    /// The beginning of a map for a file that is not known, to be filled in by a person.
    pub fn unknown(name: &str, makes: Makes, header: impl Iterator<Item = String>) -> Self {
        Self {
            name: name.to_owned(),
            makes,
            header: header.collect(),
            plain: false,
            refused: None,
            rows: None,
            one_order: None,
            zone: None,
            time: Vec::new(),
            decimal: '.',
            minor_units: false,
            decimals_in: None,
            nothing: Vec::new(),
            fields: BTreeMap::new(),
            items: None,
            file: None,
            example: None,
        }
    }

    /// True where a file with such columns is of this kind.
    pub fn fits(&self, has: impl Fn(&str) -> bool) -> bool {
        self.header.iter().all(|column| has(column))
    }

    /// What is missing before records can be made of a file with such columns.
    pub fn missing(&self, has: impl Fn(&str) -> bool, given: &super::Given) -> Option<Missing> {
        if self.plain {
            return None;
        }
        let said = |field: &str| {
            let from = self.fields.get(field)?;
            let any = from.from.iter().any(|source| has(&source.column));
            (any || from.is.is_some()).then_some(from)
        };
        for field in self.makes.needed() {
            if said(field).is_some() {
                continue;
            }
            match *field {
                "currency" if given.currency.is_some() => {}
                "currency" => return Some(Missing::Currency),
                "campaign_id" if given.campaign.is_some() && self.makes == Makes::Events => {}
                "campaign_id" if self.makes == Makes::Events => return Some(Missing::Campaign),
                _ => return Some(Missing::Field((*field).to_owned())),
            }
        }
        let is_of_somebody = matches!(self.makes, Makes::Events | Makes::Orders);
        if is_of_somebody && !WHOM.iter().any(|field| said(field).is_some()) {
            return Some(Missing::Field("email".to_owned()));
        }
        let zone = self.zone.or(given.zone);
        let local = super::reader::TIMES.iter().filter_map(|field| said(field));
        let local = local
            .filter(|from| from.zone_in.is_none())
            .any(|from| self.forms(from).iter().all(|form| time::is_local(form)));
        (local && zone.is_none()).then_some(Missing::Zone)
    }

    /// True where the status of an order that its shop has finished depends on the settings.
    pub fn says_finished(&self) -> bool {
        let is = |field: &Field| {
            let words = field
                .words
                .0
                .iter()
                .any(|(_, meaning)| *meaning == Meaning::Is(FINISHED.to_owned()));
            words || field.is.as_deref() == Some(FINISHED)
        };
        self.fields.get("status").is_some_and(is)
    }

    /// How a time is written.
    pub(super) fn forms<'m>(&'m self, field: &'m Field) -> &'m [String] {
        match field.time.is_empty() {
            true => &self.time,
            false => &field.time,
        }
    }
}

/// A value that has a short form in JSON.
trait Short<'de>: Sized {
    const EXPECTED: &'static str;

    fn of_text(text: &str) -> Self;

    fn of_list<A: SeqAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(A::Error::custom(format!("this is {}", Self::EXPECTED)))
    }

    fn of_object<A: MapAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(A::Error::custom(format!("this is {}", Self::EXPECTED)))
    }
}

struct ShortOrLong<T>(PhantomData<T>);

impl<'de, T: Short<'de>> Visitor<'de> for ShortOrLong<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::of_text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::of_list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::of_object(object)
    }
}

impl<'de> Short<'de> for Field {
    const EXPECTED: &'static str = "a column, a list of columns, or an object that says more";

    fn of_text(text: &str) -> Self {
        Self {
            from: vec![Source::of_text(text)],
            ..Self::default()
        }
    }

    fn of_list<A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        Ok(Self {
            from: Vec::of_list(list)?,
            ..Self::default()
        })
    }

    fn of_object<A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        Self::deserialize(MapAccessDeserializer::new(object))
    }
}

impl<'de> Short<'de> for Source {
    const EXPECTED: &'static str = "a column, or an object with one";

    fn of_text(text: &str) -> Self {
        Self {
            column: text.to_owned(),
            ..Self::default()
        }
    }

    fn of_object<A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        Self::deserialize(MapAccessDeserializer::new(object))
    }
}

impl<'de, T: Short<'de> + Deserialize<'de>> Short<'de> for Vec<T> {
    const EXPECTED: &'static str = "a text or a list";

    fn of_text(text: &str) -> Self {
        vec![T::of_text(text)]
    }

    fn of_object<A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        Ok(vec![T::of_object(object)?])
    }

    fn of_list<A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list))
    }
}

impl<'de> Short<'de> for String {
    const EXPECTED: &'static str = "a text";

    fn of_text(text: &str) -> Self {
        text.to_owned()
    }
}

fn one_or_more<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Short<'de> + Deserialize<'de>,
{
    deserializer.deserialize_any(ShortOrLong(PhantomData))
}

// What is derived reads and writes the long form, by the name of the trait's function and without the trait.
impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShortOrLong(PhantomData))
    }
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.from.as_slice() {
            [source] if *self == Self::of_text(&source.column) => source.serialize(serializer),
            _ => Self::serialize(self, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShortOrLong(PhantomData))
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self == Self::of_text(&self.column) {
            true => serializer.serialize_str(&self.column),
            false => Self::serialize(self, serializer),
        }
    }
}

#[cfg(test)]
impl Map {
    /// What a word of a field means, in a word of ours.
    pub(crate) fn meaning(&self, field: &str, word: &str) -> Option<&str> {
        match self.fields.get(field)?.words.find(word)? {
            (_, Meaning::Is(word)) => Some(word),
            _ => Some("nothing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map that cannot be read would be left out, and its files would not be known.
    #[test]
    fn all_known_maps_are_read() {
        for text in KNOWN {
            let maps = Map::read(text).unwrap_or_else(|why| panic!("{why}: {text}"));
            let again = serde_json::to_string(&maps).unwrap();
            assert_eq!(Map::read(&again).unwrap(), maps, "{again}");
        }
        assert_eq!(known().len(), KNOWN.len());
    }

    #[test]
    fn the_page_on_files_has_each_of_them() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/files.md");
        let page = std::fs::read_to_string(page).unwrap();
        for map in known() {
            assert!(
                page.contains(&format!("\n| {} |", map.name)),
                "{}",
                map.name
            );
        }
        let example = page.split("```json\n").nth(1).unwrap();
        let example = example.split("```").next().unwrap();
        assert_eq!(Map::read(example).unwrap().len(), 1);
    }

    #[test]
    fn what_is_wrong_with_a_map() {
        let map = |rest: &str| format!(r#"{{"name":"m","makes":"orders",{rest}}}"#);
        for (rest, why) in [
            (
                r#""fields":{"totl":"A"}"#,
                "totl is no field of orders; there are order_id",
            ),
            (r#""fields":{"total":{}}"#, "total needs either \"from\""),
            (
                r#""fields":{"total":{"from":"A","is":"5"}}"#,
                "total needs either",
            ),
            (r#""fields":{"total":{"form":"A"}}"#, "unknown field `form`"),
            (
                r#""fields":{"total":7}"#,
                "a column, a list of columns, or an object",
            ),
            (
                r#""fields":{"status":{"from":"A","words":{"ok":"DONE"}}}"#,
                "\"DONE\" is none of its words",
            ),
            (
                r#""time":"DD.MM.YYYY","fields":{"total":"A"}"#,
                "is no form of times",
            ),
            (r#""decimal":";","fields":{"total":"A"}"#, "\"decimal\" is"),
            (r#""zone":"Kyiv","fields":{"total":"A"}"#, "Kyiv"),
            (
                r#""fields":{"status":{"is":"COMPLETE"}}"#,
                "no field comes from a column",
            ),
            (
                r#""fields":{"total":"A"},"items":{"sku":"B"}"#,
                "sku is no field of items",
            ),
        ] {
            let problem = Map::read(&map(rest)).unwrap_err();
            assert!(problem.contains(why), "{rest}: {problem}");
        }
    }
}
