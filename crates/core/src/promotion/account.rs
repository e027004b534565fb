//! What one customer was offered and used of one promotion, and what that adds to the promotion's figures (rule 6).
//!
//! A promotion account is to promotions what a timeline is to campaigns: a set of facts. [`Account::figures`] is a pure function of it, so
//! which fact came first does not matter, and every figure of a promotion is a sum over promotion accounts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::promotion::redemption::Outcome;
use crate::value::id::{AssignmentId, RedemptionId, SegmentName, TierId, VoucherCode};
use crate::value::time::{Day, Instant};

/// An assignment, as far as it matters to figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Which.
    #[serde(rename = "i")]
    pub assignment_id: AssignmentId,
    /// When the offer was made.
    #[serde(rename = "t")]
    pub at: Instant,
    /// Its step.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub tier_id: Option<TierId>,
    /// Its segment.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentName>,
    /// Its code.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub voucher_code: Option<VoucherCode>,
    /// A failed one is no offer.
    #[serde(rename = "o", default)]
    pub result: Outcome,
}

/// A redemption, as far as it matters to figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Which.
    #[serde(rename = "i")]
    pub redemption_id: RedemptionId,
    /// When it happened.
    #[serde(rename = "t")]
    pub at: Instant,
    /// The calendar day of that, in the marketplace's zone of that time.
    #[serde(rename = "d")]
    pub day: Day,
    /// Its code.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub voucher_code: Option<VoucherCode>,
    /// Its step, where it was told.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub tier_id: Option<TierId>,
    /// The assignment it names.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub assignment_id: Option<AssignmentId>,
    /// Whether it went well.
    #[serde(rename = "o", default)]
    pub result: Outcome,
    /// It was taken back.
    #[serde(rename = "b", default, skip_serializing_if = "std::ops::Not::not")]
    pub rolled_back: bool,
}

impl Use {
    /// A success that stands.
    fn counts(&self) -> bool {
        self.result == Outcome::Success && !self.rolled_back
    }
}

/// All that one customer was offered and used of one promotion.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    /// Assignments, in order of arrival.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Offer>,
    /// Redemptions, in order of arrival.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<Use>,
}

/// What a figure is of: the step and the segment of the assignment.
pub type TierAndSegment = (Option<TierId>, Option<SegmentName>);

/// Figures of a step and a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CellFigures {
    /// Successful assignments.
    pub assigned: i64,
    /// Of these, redeemed at least once.
    pub redeemed: i64,
    /// Successful redemptions that stand.
    pub redemptions: i64,
}

/// Figures of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayFigures {
    /// Successful assignments whose first redemption that stands was on this day.
    pub redeemed: i64,
    /// Successful redemptions that stand.
    pub success: i64,
    /// Failed ones.
    pub failure: i64,
}

/// What a promotion account adds to the figures of its promotion.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountFigures {
    /// By step and segment.
    pub cells: BTreeMap<TierAndSegment, CellFigures>,
    /// By day.
    pub days: BTreeMap<Day, DayFigures>,
    /// Successes that were taken back.
    pub rolled_back: i64,
    /// Assignments with a code, successful and failed.
    pub publications: [i64; 2],
}

impl Account {
    /// What this promotion account adds to the figures.
    pub fn figures(&self) -> AccountFigures {
        let mut figures = AccountFigures::default();
        for offer in &self.offers {
            if offer.voucher_code.is_some() {
                figures.publications[usize::from(offer.result == Outcome::Failure)] += 1;
            }
            if offer.result == Outcome::Success {
                figures.cell(cell_of(offer)).assigned += 1;
            }
        }
        let mut first: BTreeMap<&AssignmentId, (Instant, &RedemptionId, &Offer, Day)> =
            BTreeMap::new();
        for used in &self.uses {
            let day = figures.days.entry(used.day).or_default();
            if used.result == Outcome::Failure {
                day.failure += 1;
            } else if used.rolled_back {
                figures.rolled_back += 1;
            } else {
                day.success += 1;
                let offer = self.belongs_to(used);
                let cell = offer.map_or_else(|| (used.tier_id.clone(), None), cell_of);
                figures.cell(cell).redemptions += 1;
                if let Some(offer) = offer {
                    let this = (used.at, &used.redemption_id, offer, used.day);
                    first
                        .entry(&offer.assignment_id)
                        .and_modify(|first| {
                            if (this.0, this.1) < (first.0, first.1) {
                                *first = this;
                            }
                        })
                        .or_insert(this);
                }
            }
        }
        for (_, _, offer, day) in first.into_values() {
            figures.cell(cell_of(offer)).redeemed += 1;
            figures.days.entry(day).or_default().redeemed += 1;
        }
        figures
    }

    /// The successful assignment that a redemption belongs to: the one it names, else the customer's earliest, those with its
    /// code first.
    fn belongs_to(&self, used: &Use) -> Option<&Offer> {
        let mut offers = self
            .offers
            .iter()
            .filter(|offer| offer.result == Outcome::Success);
        if let Some(named) = &used.assignment_id {
            return offers.find(|offer| offer.assignment_id == *named);
        }
        let has_its_code =
            |offer: &Offer| used.voucher_code.is_some() && offer.voucher_code == used.voucher_code;
        offers.min_by_key(|offer| (!has_its_code(offer), offer.at, &offer.assignment_id))
    }

    /// True where an assignment of this id is here, successful or not.
    pub fn knows(&self, assignment: &AssignmentId) -> bool {
        self.offers
            .iter()
            .any(|offer| offer.assignment_id == *assignment)
    }

    /// True where a successful assignment gave this code.
    pub fn holds_code(&self, code: &VoucherCode) -> bool {
        let gives = |offer: &&Offer| {
            offer.result == Outcome::Success && offer.voucher_code.as_ref() == Some(code)
        };
        self.offers.iter().find(gives).is_some()
    }

    /// Redemptions that went well and stand.
    pub fn successes(&self) -> i64 {
        self.uses.iter().filter(|used| used.counts()).count() as i64
    }
}

fn cell_of(offer: &Offer) -> TierAndSegment {
    (offer.tier_id.clone(), offer.segment.clone())
}

impl AccountFigures {
    fn cell(&mut self, cell: TierAndSegment) -> &mut CellFigures {
        self.cells.entry(cell).or_default()
    }

    /// What has to be added to `before` so that it becomes this.
    pub fn minus(&self, before: &Self) -> Self {
        let mut difference = self.clone();
        for (cell, was) in &before.cells {
            let now = difference.cell(cell.clone());
            now.assigned -= was.assigned;
            now.redeemed -= was.redeemed;
            now.redemptions -= was.redemptions;
        }
        for (day, was) in &before.days {
            let now = difference.days.entry(*day).or_default();
            now.redeemed -= was.redeemed;
            now.success -= was.success;
            now.failure -= was.failure;
        }
        difference.rolled_back -= before.rolled_back;
        difference.publications[0] -= before.publications[0];
        difference.publications[1] -= before.publications[1];
        difference
            .cells
            .retain(|_, cell| *cell != CellFigures::default());
        difference
            .days
            .retain(|_, day| *day != DayFigures::default());
        difference
    }
}
