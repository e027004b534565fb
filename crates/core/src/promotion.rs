//! Promotions: what is offered, under which limits, and what changed of it (rule 6).
//!
//! Who got and used it stands in [`redemption`] and [`account`]; why a redeem is refused and which flags a redemption carries in
//! [`admission`]; what a success costs and takes in [`limits`] and [`pool`]; what comes of it in money in [`result`].

pub mod account;
pub mod admission;
pub mod limits;
pub mod pool;
mod read;
pub mod redemption;
pub mod result;

pub use read::PromotionInput;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::promotion::limits::Cost;
use crate::value::id::{PromotionId, RuleId, TierId};
use crate::value::money::{Currency, Money};
use crate::value::time::Instant;

/// To whom a promotion is offered, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum PromotionKind {
    #[default]
    Global,
    Tiered,
    Personalised,
}

impl PromotionKind {
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
    pub kind: PromotionKind,
    /// What a voucher gives.
    #[serde(rename = "type")]
    pub gives: Option<Type>,
    /// How much of it.
    pub value: Option<Money>,
    /// Of which currency, for amounts.
    pub currency: Option<Currency>,
    /// How often a voucher may be used that is made without a limit of its own.
    pub redemption_limit: Option<i64>,
    /// How many successes one customer may have that stand.
    #[serde(default)]
    pub limit_per_customer: Option<i64>,
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
pub struct FieldChange {
    /// Which field.
    pub field: String,
    /// What it said.
    pub before: Value,
    /// What it says.
    pub after: Value,
}

impl Promotion {
    /// What differs from how it was, field by field, in the order of the fields' names, as it is shown.
    pub fn changes_from(&self, before: &Self) -> Vec<FieldChange> {
        let fields = |promotion: &Self| match serde_json::to_value(promotion) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let (was, is) = (fields(before), fields(self));
        let (mut was_shown, mut is_shown) = (before.shown(), self.shown());
        let differs = |(field, value): (String, Value)| {
            (is.get(&field) != Some(&value)).then(|| FieldChange {
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

    /// What a use costs where the reward is not told: the value of an amount, on this step. `None` where that is not known.
    pub fn cost_of_a_use(&self, tier: Option<&TierId>) -> Option<Cost> {
        let of_tier = self.tiers.iter().find(|one| Some(&one.tier_id) == tier);
        let value = of_tier.and_then(|tier| tier.value).or(self.value)?;
        self.cost_of(value)
    }

    /// The most that a use costs, on whatever step; `None` where that is not known.
    pub fn most_a_use_costs(&self) -> Option<Cost> {
        let values = self.tiers.iter().filter_map(|tier| tier.value);
        self.cost_of(values.chain(self.value).max()?)
    }

    fn cost_of(&self, value: Money) -> Option<Cost> {
        let is_amount = self.gives == Some(Type::Amount);
        self.reward_currency()
            .filter(|_| is_amount)
            .map(|currency| (value, currency))
    }

    /// The currency of a reward that names none.
    pub fn reward_currency(&self) -> Option<Currency> {
        self.currency.or(self.budget.map(|budget| budget.currency))
    }
}
