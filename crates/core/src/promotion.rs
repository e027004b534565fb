//! Promotions: what is offered, under which limits, and what changed of it (SPEC 6). Who got and used it stands elsewhere.

pub mod claim;
pub mod redemption;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::attribution::campaign::{METADATA_BYTES_MAX, NAME_BYTES_MAX};
use crate::record::{Code, FREE_ITEMS_MAX, Problem, Record};
use crate::value::id::{PromotionId, RuleId, TierId};
use crate::value::money::{Currency, Money, Sums};
use crate::value::time::Instant;

/// To whom a promotion is offered, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    #[default]
    Global,
    Tiered,
    Personalised,
}

impl Kind {
    /// The kinds by their names.
    pub const NAMES: [(&str, Self); 3] = [
        ("global", Self::Global),
        ("tiered", Self::Tiered),
        ("personalised", Self::Personalised),
    ];
}

/// What a voucher gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Type {
    Amount,
    Percent,
    Unit,
    Gift,
}

const TYPES: [(&str, Type); 4] = [
    ("amount", Type::Amount),
    ("percent", Type::Percent),
    ("unit", Type::Unit),
    ("gift", Type::Gift),
];

/// A step of a tiered promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// One in the promotion.
    pub tier_id: TierId,
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// What it gives, where that differs.
    #[serde(default)]
    pub value: Option<Money>,
}

/// What a promotion may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// How much.
    pub amount: Money,
    /// Of what.
    pub currency: Currency,
}

/// A rule that applies to a promotion, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationRule {
    /// One in the promotion.
    pub id: RuleId,
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// What it asks for.
    #[serde(default)]
    pub text: Option<String>,
    /// How often it was changed, and one.
    #[serde(default = "first_version")]
    pub version: u32,
}

fn first_version() -> u32 {
    1
}

/// A promotion as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// One in the marketplace.
    pub promotion_id: PromotionId,
    /// For people; the id where nobody named it.
    pub name: String,
    /// To whom it is offered.
    pub kind: Kind,
    /// What a voucher gives.
    #[serde(rename = "type")]
    pub gives: Option<Type>,
    /// How much of it.
    pub value: Option<Money>,
    /// Of which currency, for amounts.
    pub currency: Option<Currency>,
    /// How often a voucher may be used that is made without a limit of its own.
    pub redemption_limit: Option<i64>,
    /// Its steps.
    #[serde(default)]
    pub tiers: Vec<Tier>,
    /// From when on, included.
    pub starts_at: Option<Instant>,
    /// Until when, included.
    pub ends_at: Option<Instant>,
    /// Redemptions before it are refused.
    pub tracking_from: Instant,
    /// What it may cost.
    pub budget: Option<Budget>,
    /// How many successful redemptions it may have.
    pub cap: Option<i64>,
    /// What it asks for, in words.
    #[serde(default)]
    pub validation_rules: Vec<ValidationRule>,
    /// For people.
    pub description: Option<String>,
    /// Free.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it was made here.
    pub created_at: Instant,
}

/// A change of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which field.
    pub field: String,
    /// What it said.
    pub before: Value,
    /// What it says.
    pub after: Value,
}

/// Most bytes of a promotion as JSON: what changed of one field is kept twice, and a stored item has 400 KB.
const PROMOTION_BYTES_MAX: usize = 180_000;
/// Most tiers and rules of a promotion; longest text of a rule or a description, in bytes.
const TEXT_BYTES_MAX: usize = 4_000;

/// What a person tells of a promotion; what is not told of it is filled in by [`Told::promotion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    promotion: Promotion,
    /// From when on redemptions are tracked, where that was told.
    pub tracking_from: Option<Instant>,
}

impl Told {
    /// Understands the body of a promotion; what its voucher gives may stand in an object `voucher` too.
    ///
    /// # Errors
    /// All bad fields.
    pub fn read(
        promotion_id: PromotionId,
        record: &Record<'_>,
        now: Instant,
    ) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader(Vec::new());
        let voucher = reader.keep(record.object("voucher")).flatten();
        let voucher = voucher.as_ref().unwrap_or(record);
        let name = reader.keep(record.text("name")).flatten();
        let tracking_from = reader.keep(record.instant("tracking_from")).flatten();
        let promotion = Promotion {
            name: match name {
                Some(name) => {
                    reader.limit("name", name.len(), NAME_BYTES_MAX);
                    name.into_owned()
                }
                None => promotion_id.as_str().to_owned(),
            },
            kind: reader
                .keep(record.word("kind", &Kind::NAMES))
                .flatten()
                .unwrap_or_default(),
            gives: reader.keep(voucher.word("type", &TYPES)).flatten(),
            value: reader.keep(voucher.money("value")).flatten(),
            currency: reader.keep(voucher.currency("currency")).flatten(),
            redemption_limit: reader.keep(record.count("redemption_limit")).flatten(),
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
        if let (Some(starts_at), Some(ends_at)) = (promotion.starts_at, promotion.ends_at)
            && ends_at < starts_at
        {
            reader.wrong("ends_at", "ends_at is not before starts_at");
        }
        if let Some(description) = &promotion.description {
            reader.limit("description", description.len(), TEXT_BYTES_MAX);
        }
        let bytes = serde_json::to_string(&promotion).map_or(0, |text| text.len());
        if bytes > PROMOTION_BYTES_MAX {
            let detail = format!(
                "this promotion has {bytes} bytes as JSON, and may have {PROMOTION_BYTES_MAX}"
            );
            reader.0.push(Problem::whole(Code::UnknownValue, detail));
        }
        if reader.0.is_empty() {
            Ok(Self {
                promotion,
                tracking_from,
            })
        } else {
            Err(reader.0)
        }
    }

    /// The promotion that stands after this was told: an absent `tracking_from` keeps its value or, where there is none yet,
    /// is the time it is made or the earliest redemption that waits for it; a rule that changed gets the next version.
    pub fn promotion(
        &self,
        stands: Option<&Promotion>,
        waiting_from: Option<Instant>,
    ) -> Promotion {
        let mut promotion = self.promotion.clone();
        let made_at = stands.map_or(promotion.created_at, |stands| stands.created_at);
        promotion.created_at = made_at;
        promotion.tracking_from = match (self.tracking_from, stands) {
            (Some(told), _) => told,
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

impl Promotion {
    /// What differs from how it was, field by field, in the order of the fields' names, as it is shown.
    pub fn changes_from(&self, before: &Self) -> Vec<Change> {
        let fields = |promotion: &Self| match serde_json::to_value(promotion) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let (was, is) = (fields(before), fields(self));
        let (mut was_shown, mut is_shown) = (before.shown(), self.shown());
        let differs = |(field, value): (String, Value)| {
            (is.get(&field) != Some(&value)).then(|| Change {
                before: was_shown[&field].take(),
                after: is_shown[&field].take(),
                field,
            })
        };
        was.into_iter().filter_map(differs).collect()
    }

    /// As it is shown: amounts with their currency's digits.
    pub fn shown(&self) -> Value {
        let mut shown = serde_json::to_value(self).unwrap_or_default();
        let printed = |value: Money| match (self.gives, self.reward_currency()) {
            (Some(Type::Amount) | None, Some(currency)) => value.in_currency(currency),
            _ => value.to_string(),
        };
        if let Some(value) = self.value {
            shown["value"] = printed(value).into();
        }
        for (place, tier) in self.tiers.iter().enumerate() {
            if let Some(value) = tier.value {
                shown["tiers"][place]["value"] = printed(value).into();
            }
        }
        if let Some(budget) = self.budget {
            shown["budget"]["amount"] = budget.amount.in_currency(budget.currency).into();
        }
        shown
    }

    /// What a use may cost, where that is known: the value of an amount.
    pub fn cost_of_a_use(&self) -> Option<Budget> {
        match (self.gives, self.value, self.reward_currency()) {
            (Some(Type::Amount), Some(amount), Some(currency)) => Some(Budget { amount, currency }),
            _ => None,
        }
    }

    /// The currency of a reward that names none.
    pub fn reward_currency(&self) -> Option<Currency> {
        self.currency.or(self.budget.map(|budget| budget.currency))
    }

    /// The most that the promotion can still cost: by currency the smallest of what is left of the budget, of the cap and of
    /// the uses of its vouchers; empty where nothing bounds it.
    pub fn worst_case(&self, spent: Money, successes: i64, open_uses: Option<i64>) -> Option<Sums> {
        let left = |budget: Budget| (budget.currency, (budget.amount - spent).max(Money::ZERO));
        let cost = self.cost_of_a_use();
        let uses = |uses: i64| cost.map(|cost| (cost.currency, cost.amount.times(uses.max(0))));
        let mut bounds: Vec<(Currency, Money)> = self.budget.map(left).into_iter().collect();
        bounds.extend(self.cap.and_then(|cap| uses(cap - successes)));
        bounds.extend(open_uses.and_then(uses));
        bounds.sort();
        bounds.dedup_by_key(|(currency, _)| *currency);
        (!bounds.is_empty()).then(|| bounds.into_iter().collect())
    }
}

/// Reads fields, and keeps what is wrong.
struct Reader(Vec<Problem>);

impl Reader {
    fn keep<T>(&mut self, read: Result<T, Problem>) -> Option<T> {
        read.map_err(|problem| self.0.push(problem)).ok()
    }

    fn wrong(&mut self, field: &str, detail: impl Into<String>) {
        self.0.push(Problem::of(field, Code::UnknownValue, detail));
    }

    fn limit(&mut self, field: &str, length: usize, most: usize) {
        if length == 0 || length > most {
            self.wrong(field, format!("{field} has 1 to {most} bytes"));
        }
    }

    /// The objects of a list, each read by `one`; a text alone stands for an object with that `id`.
    fn list<T>(
        &mut self,
        record: &Record<'_>,
        field: &str,
        id: &str,
        one: impl Fn(&Record<'_>) -> Result<T, Problem>,
    ) -> Vec<T> {
        let raw = record.raw(field).unwrap_or("[]");
        let Ok(values) = serde_json::from_str::<Vec<&RawValue>>(raw) else {
            let problem = Problem::of(field, Code::WrongType, format!("{field} is a list"));
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
            match Record::from_json(&text).and_then(|record| one(&record)) {
                Ok(entry) => list.push(entry),
                Err(problem) => {
                    let inner = problem.field.map(|inner| format!(".{inner}"));
                    let named = format!("{field}[{place}]{}", inner.unwrap_or_default());
                    self.0
                        .push(Problem::of(&named, problem.code, problem.detail));
                }
            }
        }
        list
    }

    fn tiers(&mut self, record: &Record<'_>) -> Vec<Tier> {
        let tiers = self.list(record, "tiers", "tier_id", |record| {
            let field = if record.raw("tier_id").is_some() {
                "tier_id"
            } else {
                "id"
            };
            Ok(Tier {
                tier_id: record.needed_id(field, TierId::new)?,
                name: record.free_text("name"),
                value: record.money("value")?,
            })
        });
        self.unique("tiers", tiers.iter().map(|tier| tier.tier_id.as_str()));
        tiers
    }

    fn rules(&mut self, record: &Record<'_>) -> Vec<ValidationRule> {
        let rules = self.list(record, "validation_rules", "id", |record| {
            Ok(ValidationRule {
                id: record.needed_id("id", RuleId::new)?,
                name: record.free_text("name"),
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
            self.wrong(field, format!("{field}: {:?} stands there twice", pair[0]));
        }
    }

    fn budget(&mut self, record: &Record<'_>) -> Option<Budget> {
        let budget = self.keep(record.object("budget"))??;
        let read = |budget: &Record<'_>| {
            Ok(Budget {
                amount: budget.needed_money("amount")?,
                currency: budget.needed_currency("currency")?,
            })
        };
        let inside = |problem: Problem| Problem {
            field: problem.field.map(|field| format!("budget.{field}")),
            ..problem
        };
        self.keep(read(&budget).map_err(inside))
    }

    fn metadata(&mut self, record: &Record<'_>) -> Map<String, Value> {
        let raw = record.raw("metadata").unwrap_or("{}");
        if raw.len() > METADATA_BYTES_MAX {
            self.wrong("metadata", "metadata has at most 32 KiB");
        }
        let metadata = serde_json::from_str(raw)
            .map_err(|_| Problem::of("metadata", Code::WrongType, "metadata is an object"));
        self.keep(metadata).unwrap_or_default()
    }
}
