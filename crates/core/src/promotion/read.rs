//! The reader of a submitted promotion: it reads field by field, and names everything that is wrong at once (rule 6).

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Budget, Promotion, PromotionKind, TYPES, Tier, Type, ValidationRule};
use crate::attribution::campaign::{METADATA_BYTES_MAX, NAME_BYTES_MAX};
use crate::record::{
    self, Code, FREE_ITEMS_MAX, Problems, Record, RecordProblem, no_controls, quoted,
};
use crate::value::id::{PromotionId, RuleId, TierId};
use crate::value::money::{Currency, Money};
use crate::value::time::Instant;

/// The most bytes of a promotion as JSON. A change of one field is kept with both values, and a stored item has at most 400 KB.
const PROMOTION_BYTES_MAX: usize = 180_000;
/// The longest text of a validation rule or a description, in bytes.
pub const TEXT_BYTES_MAX: usize = 4_000;
/// The highest percentage that a voucher can give.
const PERCENT_MAX: i64 = 100;

/// The fields of a promotion.
const FIELDS: [&str; 17] = [
    "name",
    "kind",
    "voucher",
    "type",
    "value",
    "currency",
    "redemption_limit",
    "limit_per_customer",
    "tiers",
    "starts_at",
    "ends_at",
    "tracking_from",
    "budget",
    "cap",
    "validation_rules",
    "description",
    "metadata",
];
/// Further fields with which a promotion is shown. They are accepted so that it can be sent back as it was shown, and ignored.
const SHOWN: [&str; 2] = ["promotion_id", "created_at"];
/// The fields that say what a voucher gives. They are either beside the other fields or in the object `voucher`.
const VOUCHER_FIELDS: [&str; 3] = ["type", "value", "currency"];

/// A promotion as a person submits it. [`PromotionInput::promotion`] fills in what was not submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromotionInput {
    promotion: Promotion,
    /// The instant from which redemptions are tracked, where it was submitted.
    pub tracking_from: Option<Instant>,
}

impl PromotionInput {
    /// Reads the body of a promotion. What its voucher gives may also be in an object `voucher`.
    ///
    /// # Errors
    /// A problem for each bad field; `unknown_field` for each field that no promotion has.
    pub fn read(
        promotion_id: PromotionId,
        record: &Record<'_>,
        now: Instant,
    ) -> Result<Self, Problems> {
        let mut reader = PromotionReader(Problems::new());
        reader.unknown_fields("", record, &FIELDS, &SHOWN);
        if let Some(id) = reader.keep(record.text("promotion_id")).flatten()
            && id != promotion_id.as_str()
        {
            let detail = format!("promotion_id: {} is not that of the address", quoted(&id));
            reader.wrong("promotion_id", detail);
        }
        let gives = reader.gives(record);
        let name = reader.keep(record.text("name")).flatten();
        let tracking_from = reader.keep(record.instant("tracking_from")).flatten();
        let promotion = Promotion {
            name: match name {
                Some(name) => {
                    reader.limit("name", name.len(), NAME_BYTES_MAX);
                    reader.keep(no_controls("name", &name));
                    name.into_owned()
                }
                None => promotion_id.as_str().to_owned(),
            },
            kind: reader
                .keep(record.word("kind", &PromotionKind::NAMES))
                .flatten()
                .unwrap_or_default(),
            gives: gives.of,
            value: gives.value,
            currency: gives.currency,
            redemption_limit: reader.keep(record.count("redemption_limit")).flatten(),
            limit_per_customer: reader.keep(record.count("limit_per_customer")).flatten(),
            tiers: reader.tiers(record),
            starts_at: reader.keep(record.instant("starts_at")).flatten(),
            ends_at: reader.keep(record.instant("ends_at")).flatten(),
            tracking_from: now,
            budget: reader.budget(record),
            cap: reader.keep(record.count("cap")).flatten(),
            validation_rules: reader.rules(record),
            description: reader
                .keep(record.text("description"))
                .flatten()
                .map(|text| text.into_owned()),
            metadata: reader.metadata(record),
            created_at: now,
            promotion_id,
        };
        reader.check(&promotion, &gives);
        if reader.0.is_empty() {
            Ok(Self {
                promotion,
                tracking_from,
            })
        } else {
            Err(reader.0)
        }
    }

    /// The promotion that results from this input. An absent `tracking_from` keeps its value. If it has none yet, it becomes the
    /// time of creation or of the earliest redemption that waits for the promotion. A validation rule that changed gets the next
    /// version.
    pub fn promotion(
        &self,
        stands: Option<&Promotion>,
        waiting_from: Option<Instant>,
    ) -> Promotion {
        let mut promotion = self.promotion.clone();
        let made_at = stands.map_or(promotion.created_at, |stands| stands.created_at);
        promotion.created_at = made_at;
        promotion.tracking_from = match (self.tracking_from, stands) {
            (Some(submitted), _) => submitted,
            (None, Some(stands)) => stands.tracking_from,
            (None, None) => waiting_from.map_or(made_at, |waiting| waiting.min(made_at)),
        };
        for rule in &mut promotion.validation_rules {
            let mut rules = stands.iter().flat_map(|stands| &stands.validation_rules);
            if let Some(was) = rules.find(|was| was.id == rule.id) {
                let same = (&was.name, &was.text) == (&rule.name, &rule.text);
                rule.version = was.version + u32::from(!same);
            }
        }
        promotion
    }
}

/// What a voucher gives, and the names under which its value and its currency were submitted.
struct Gives {
    of: Option<Type>,
    value: Option<Money>,
    currency: Option<Currency>,
    value_field: String,
    currency_field: String,
}

/// The name of a tier or a validation rule.
fn name(record: &Record<'_>) -> Result<Option<String>, RecordProblem> {
    let name = record.free_text("name");
    no_controls("name", name.as_deref().unwrap_or_default())?;
    Ok(name)
}

/// Reads fields and collects what is wrong with them.
struct PromotionReader(Problems);

impl PromotionReader {
    fn keep<T>(&mut self, read: Result<T, RecordProblem>) -> Option<T> {
        read.map_err(|problem| self.0.push(problem)).ok()
    }

    fn wrong(&mut self, field: &str, detail: impl Into<String>) {
        self.0
            .push(RecordProblem::of(field, Code::UnknownValue, detail));
    }

    fn limit(&mut self, field: &str, length: usize, most: usize) {
        if length == 0 || length > most {
            self.wrong(field, format!("{field} has 1 to {most} bytes"));
        }
    }

    /// Reports the fields of an object that are not known. `inside` is the prefix that names the object, like `budget.`.
    fn unknown_fields(
        &mut self,
        inside: &str,
        object: &Record<'_>,
        known: &[&str],
        shown: &[&str],
    ) {
        for name in object.fields() {
            if !known.contains(&name) && !shown.contains(&name) {
                let detail = format!("{} is none of {}", record::shown(name), known.join(", "));
                let field = format!("{inside}{name}");
                self.0
                    .push(RecordProblem::of(&field, Code::UnknownField, detail));
            }
        }
    }

    /// Reads the object in a field, of which all fields must be known.
    fn object<'a>(
        &mut self,
        record: &Record<'a>,
        field: &str,
        known: &[&str],
    ) -> Option<Record<'a>> {
        let object = self.keep(record.object(field))??;
        self.unknown_fields(&format!("{field}."), &object, known, &[]);
        Some(object)
    }

    /// Keeps the result of reading a field that was submitted under another name.
    fn named<T>(&mut self, name: &str, read: Result<T, RecordProblem>) -> Option<T> {
        self.keep(read.map_err(|problem| RecordProblem {
            field: Some(name.to_owned()),
            ..problem
        }))
    }

    /// Keeps the result of reading a part of the object `field`, and names the part by its dotted path.
    fn inside<T>(&mut self, field: &str, read: Result<T, RecordProblem>) -> Option<T> {
        self.keep(read.map_err(|problem| RecordProblem {
            field: problem.field.map(|inner| format!("{field}.{inner}")),
            ..problem
        }))
    }

    /// Reads what a voucher gives. Each part is either in the object `voucher` or beside it.
    fn gives(&mut self, record: &Record<'_>) -> Gives {
        let voucher = self.object(record, "voucher", &VOUCHER_FIELDS);
        let inside = |field| {
            voucher
                .as_ref()
                .filter(|voucher| voucher.raw(field).is_some())
        };
        for field in VOUCHER_FIELDS {
            if inside(field).is_some() && record.raw(field).is_some() {
                let detail = format!("{field} stands in voucher too: give it once");
                self.wrong(field, detail);
            }
        }
        let place = |field: &'static str| match inside(field) {
            Some(voucher) => (voucher, format!("voucher.{field}")),
            None => (record, field.to_owned()),
        };
        let (of, of_field) = place("type");
        let (value, value_field) = place("value");
        let (currency, currency_field) = place("currency");
        Gives {
            of: self.named(&of_field, of.word("type", &TYPES)).flatten(),
            value: self.named(&value_field, value.money("value")).flatten(),
            currency: self
                .named(&currency_field, currency.currency("currency"))
                .flatten(),
            value_field,
            currency_field,
        }
    }

    /// Checks the fields that depend on each other.
    fn check(&mut self, promotion: &Promotion, gives: &Gives) {
        if let (Some(starts_at), Some(ends_at)) = (promotion.starts_at, promotion.ends_at)
            && ends_at < starts_at
        {
            self.wrong("ends_at", "ends_at is not before starts_at");
        }
        if let Some(description) = &promotion.description {
            self.limit("description", description.len(), TEXT_BYTES_MAX);
        }
        let of_tiers = promotion.tiers.iter().enumerate();
        let of_tiers = of_tiers.map(|(index, tier)| (format!("tiers[{index}].value"), tier.value));
        let values = [(gives.value_field.clone(), promotion.value)]
            .into_iter()
            .chain(of_tiers);
        for (field, value) in values {
            let Some(value) = value else { continue };
            match promotion.gives {
                Some(Type::Percent) if value > Money::from(PERCENT_MAX) => {
                    let detail = format!("{field}: {value} percent are more than {PERCENT_MAX}");
                    self.wrong(&field, detail);
                }
                Some(Type::Amount) if value.is_zero() => {
                    self.wrong(&field, format!("{field}: an amount is above 0"));
                }
                _ => {}
            }
        }
        let bad = |problem: &RecordProblem| {
            problem
                .field
                .as_deref()
                .is_some_and(|field| field.ends_with("currency"))
        };
        if promotion.gives == Some(Type::Amount)
            && promotion.reward_currency().is_none()
            && !self.0.iter().any(bad)
        {
            let detail = "an amount needs a currency: give currency, or a budget in one";
            self.0.push(RecordProblem::of(
                &gives.currency_field,
                Code::Missing,
                detail,
            ));
        }
        match serde_json::to_string(promotion).map(|text| text.len()) {
            Ok(bytes) if bytes > PROMOTION_BYTES_MAX => {
                let detail = format!(
                    "this promotion has {bytes} bytes as JSON, and may have {PROMOTION_BYTES_MAX}"
                );
                self.0
                    .push(RecordProblem::whole(Code::UnknownValue, detail));
            }
            Ok(_) => {}
            Err(why) => {
                let detail = format!("this promotion is no JSON: {why}");
                self.0
                    .push(RecordProblem::whole(Code::UnknownValue, detail));
            }
        }
    }

    /// Reads the objects of a list, each with `one`. A text by itself is read as an object with that `id`.
    fn list<T>(
        &mut self,
        record: &Record<'_>,
        field: &str,
        id: &str,
        known: &[&str],
        one: impl Fn(&Record<'_>) -> Result<T, RecordProblem>,
    ) -> Vec<T> {
        let raw = record.raw(field).unwrap_or("[]");
        let Ok(values) = serde_json::from_str::<Vec<&RawValue>>(raw) else {
            let problem = RecordProblem::of(field, Code::WrongType, format!("{field} is a list"));
            self.0.push(problem);
            return Vec::new();
        };
        if values.len() > FREE_ITEMS_MAX {
            self.wrong(
                field,
                format!("{field} has at most {FREE_ITEMS_MAX} entries"),
            );
            return Vec::new();
        }
        let mut list = Vec::new();
        for (place, value) in values.into_iter().enumerate() {
            let text = match value.get() {
                text if text.starts_with('"') => Cow::Owned(format!("{{\"{id}\":{text}}}")),
                other => Cow::Borrowed(other),
            };
            let here = format!("{field}[{place}]");
            let entry = match Record::from_json(&text) {
                Ok(entry) => entry,
                Err(problem) => {
                    self.0
                        .push(RecordProblem::of(&here, problem.code, problem.detail));
                    continue;
                }
            };
            self.unknown_fields(&format!("{here}."), &entry, known, &[]);
            list.extend(self.inside(&here, one(&entry)));
        }
        list
    }

    fn tiers(&mut self, record: &Record<'_>) -> Vec<Tier> {
        let known = ["tier_id", "id", "name", "value"];
        let tiers = self.list(record, "tiers", "tier_id", &known, |record| {
            let field = match (record.raw("tier_id"), record.raw("id")) {
                (Some(_), Some(_)) => {
                    let detail = "id stands there beside tier_id: give one of them";
                    return Err(RecordProblem::of("id", Code::UnknownValue, detail));
                }
                (Some(_), None) => "tier_id",
                (None, _) => "id",
            };
            Ok(Tier {
                tier_id: record.needed_id(field, TierId::new)?,
                name: name(record)?,
                value: record.money("value")?,
            })
        });
        self.unique("tiers", tiers.iter().map(|tier| tier.tier_id.as_str()));
        tiers
    }

    fn rules(&mut self, record: &Record<'_>) -> Vec<ValidationRule> {
        // The version is counted here and not read, but a validation rule may be sent back as it was shown.
        let known = ["id", "name", "text", "version"];
        let rules = self.list(record, "validation_rules", "id", &known, |record| {
            Ok(ValidationRule {
                id: record.needed_id("id", RuleId::new)?,
                name: name(record)?,
                text: record
                    .text("text")?
                    .map(|text| text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()),
                version: 1,
            })
        });
        self.unique(
            "validation_rules",
            rules.iter().map(|rule| rule.id.as_str()),
        );
        rules
    }

    fn unique<'t>(&mut self, field: &str, ids: impl Iterator<Item = &'t str>) {
        let mut ids: Vec<&str> = ids.collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            self.wrong(
                field,
                format!("{field}: {} stands there twice", quoted(pair[0])),
            );
        }
    }

    fn budget(&mut self, record: &Record<'_>) -> Option<Budget> {
        let budget = self.object(record, "budget", &["amount", "currency"])?;
        let amount = self.inside("budget", budget.needed_money("amount"));
        let currency = self.inside("budget", budget.needed_currency("currency"));
        let (amount, currency) = amount.zip(currency)?;
        Some(Budget { amount, currency })
    }

    fn metadata(&mut self, record: &Record<'_>) -> Map<String, Value> {
        let raw = record.raw("metadata").unwrap_or("{}");
        if raw.len() > METADATA_BYTES_MAX {
            self.wrong("metadata", "metadata has at most 32 KiB");
        }
        let metadata = serde_json::from_str(raw)
            .map_err(|_| RecordProblem::of("metadata", Code::WrongType, "metadata is an object"));
        self.keep(metadata).unwrap_or_default()
    }
}
