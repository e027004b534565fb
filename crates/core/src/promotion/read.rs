//! What a person says of a promotion, read field by field; everything that is wrong with it is named at once (SPEC 6).

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Budget, Kind, Promotion, TYPES, Tier, ValidationRule};
use crate::attribution::campaign::{METADATA_BYTES_MAX, NAME_BYTES_MAX};
use crate::record::{Code, FREE_ITEMS_MAX, Problem, Record};
use crate::value::id::{PromotionId, RuleId, TierId};
use crate::value::time::Instant;

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
