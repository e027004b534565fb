//! Promotions: what is offered, under which limits, and what changed of a promotion (rule 6).
//!
//! [`redemption`] and [`account`] say who got and used a promotion. [`admission`] says why a redeem is refused and which flags a
//! redemption carries. [`limits`] and [`pool`] say what a successful redemption costs and takes. [`result`] says what it brings
//! in money.

pub mod account;
pub mod admission;
pub mod limits;
pub mod pool;
mod read;
pub mod redemption;
pub mod result;

pub use read::{PromotionInput, TEXT_BYTES_MAX};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::promotion::limits::Cost;
use crate::value::id::{PromotionId, RuleId, TierId};
use crate::value::money::{Currency, Money};
use crate::value::time::Instant;

/// To whom a promotion is offered, and in which way.
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
    /// Each kind with its name in the interface.
    pub const NAMES: [(&str, Self); 3] = [
        ("global", Self::Global),
        ("tiered", Self::Tiered),
        ("personalised", Self::Personalised),
    ];
}

/// What a voucher of the promotion gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Type {
    Amount,
    Percent,
    Unit,
    Gift,
}

impl Type {
    /// All that a voucher can give.
    pub const ALL: [Self; 4] = [Self::Amount, Self::Percent, Self::Unit, Self::Gift];
}

impl PromotionState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Planned, Self::Running, Self::UsedUp, Self::Ended];
}

const TYPES: [(&str, Type); 4] = [
    ("amount", Type::Amount),
    ("percent", Type::Percent),
    ("unit", Type::Unit),
    ("gift", Type::Gift),
];

/// One step of a tiered promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// The id of the tier, unique in the promotion.
    pub tier_id: TierId,
    /// A name for people to read.
    #[serde(default)]
    pub name: Option<String>,
    /// What a voucher gives on this tier, where it differs from the value of the promotion.
    #[serde(default)]
    pub value: Option<Money>,
}

/// The most that a promotion may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The amount of the budget, in units of `currency`.
    pub amount: Money,
    /// The currency of the amount.
    pub currency: Currency,
}

/// A rule that applies to a promotion, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationRule {
    /// The id of the validation rule, unique in the promotion.
    pub id: RuleId,
    /// A name for people to read.
    #[serde(default)]
    pub name: Option<String>,
    /// What the validation rule requires, in words.
    #[serde(default)]
    pub text: Option<String>,
    /// The version of the validation rule: 1 when it is made, and one more after each change.
    #[serde(default = "first_version")]
    pub version: u32,
}

fn first_version() -> u32 {
    1
}

/// A promotion as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// The id of the promotion, unique in the marketplace.
    pub promotion_id: PromotionId,
    /// A name for people to read; it is the id where nobody gave a name.
    pub name: String,
    /// To whom the promotion is offered.
    pub kind: PromotionKind,
    /// What a voucher gives.
    #[serde(rename = "type")]
    pub gives: Option<Type>,
    /// How much a voucher gives, in the unit that `gives` names.
    pub value: Option<Money>,
    /// The currency of the value, where the value is an amount.
    pub currency: Option<Currency>,
    /// How many times a voucher may be used that has no limit of its own.
    pub redemption_limit: Option<i64>,
    /// How many successful redemptions that are not rolled back one customer may have.
    #[serde(default)]
    pub limit_per_customer: Option<i64>,
    /// The tiers of a tiered promotion.
    #[serde(default)]
    pub tiers: Vec<Tier>,
    /// The first instant at which the promotion runs.
    pub starts_at: Option<Instant>,
    /// The last instant at which the promotion runs.
    pub ends_at: Option<Instant>,
    /// Redemptions before this instant are refused.
    pub tracking_from: Instant,
    /// The most that all redemptions together may cost.
    pub budget: Option<Budget>,
    /// How many successful redemptions the promotion may have in total.
    pub cap: Option<i64>,
    /// What the promotion requires, in words.
    #[serde(default)]
    pub validation_rules: Vec<ValidationRule>,
    /// A description for people to read.
    pub description: Option<String>,
    /// Any further fields that the sender wants to keep with the promotion.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When the promotion was created in revtrail, in UTC.
    pub created_at: Instant,
}

/// Whether a promotion runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PromotionState {
    /// It has not begun.
    Planned,
    /// It can be redeemed.
    Running,
    /// Its time is not over, but its budget or its cap is used up.
    UsedUp,
    /// Its time is over.
    Ended,
}

/// A change of one field of a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The name of the field that changed.
    pub field: String,
    /// The value before the change, as it is shown.
    pub before: Value,
    /// The value after the change, as it is shown.
    pub after: Value,
}

impl Promotion {
    /// The fields that differ from `before`, in the order of their names, with their values as they are shown.
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

    /// Whether the promotion runs, when so much was spent of its budget and so many redemptions succeeded.
    pub fn state(&self, spent: Money, redemptions: i64, now: Instant) -> PromotionState {
        let used_up = self.budget.is_some_and(|budget| spent >= budget.amount)
            || self.cap.is_some_and(|cap| redemptions >= cap);
        if self.starts_at.is_some_and(|start| now < start) {
            PromotionState::Planned
        } else if self.ends_at.is_some_and(|end| end < now) {
            PromotionState::Ended
        } else if used_up {
            PromotionState::UsedUp
        } else {
            PromotionState::Running
        }
    }

    /// The promotion as it is shown: amounts are printed with the digits of their currency.
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

    /// What a use on this tier costs where the redemption states no reward. It is the value, where that is an amount. It is
    /// `None` where the cost is not known.
    pub fn cost_of_a_use(&self, tier: Option<&TierId>) -> Option<Cost> {
        let of_tier = self.tiers.iter().find(|one| Some(&one.tier_id) == tier);
        let value = of_tier.and_then(|tier| tier.value).or(self.value)?;
        self.cost_of(value)
    }

    /// The most that a use can cost on any tier; `None` where that is not known.
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
