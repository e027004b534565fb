//! The promotion account: what one customer was offered and used of one promotion, and what that adds to its figures (rule 6).
//!
//! A promotion account is to promotions what a timeline is to campaigns: a set of facts. [`Account::figures`] is a pure function
//! of it. So it does not matter which fact came first, and every figure of a promotion is a sum over promotion accounts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::promotion::redemption::Outcome;
use crate::value::id::{AssignmentId, RedemptionId, SegmentName, TierId, VoucherCode};
use crate::value::time::{Day, Instant};

/// The parts of an assignment that matter to figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The id of the assignment.
    #[serde(rename = "i")]
    pub assignment_id: AssignmentId,
    /// When the offer was made, in UTC.
    #[serde(rename = "t")]
    pub at: Instant,
    /// The tier that was offered, of a tiered promotion.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub tier_id: Option<TierId>,
    /// The segment of the customer when the offer was made.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentName>,
    /// The voucher code that was given.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub voucher_code: Option<VoucherCode>,
    /// Whether the assignment succeeded. A failed assignment is not an offer.
    #[serde(rename = "o", default)]
    pub result: Outcome,
}

/// The parts of a redemption that matter to figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The id of the redemption.
    #[serde(rename = "i")]
    pub redemption_id: RedemptionId,
    /// When the promotion was used, in UTC.
    #[serde(rename = "t")]
    pub at: Instant,
    /// The calendar day of the use, in the marketplace's time zone at that time.
    #[serde(rename = "d")]
    pub day: Day,
    /// The voucher code that was used.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub voucher_code: Option<VoucherCode>,
    /// The tier that was used, where the redemption states it.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub tier_id: Option<TierId>,
    /// The assignment that the redemption names.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub assignment_id: Option<AssignmentId>,
    /// Whether the use succeeded.
    #[serde(rename = "o", default)]
    pub result: Outcome,
    /// True where the redemption was rolled back.
    #[serde(rename = "b", default, skip_serializing_if = "std::ops::Not::not")]
    pub rolled_back: bool,
}

impl Use {
    /// True for a successful redemption that was not rolled back.
    fn counts(&self) -> bool {
        self.result == Outcome::Success && !self.rolled_back
    }
}

/// Everything that one customer was offered and used of one promotion.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    /// The assignments, in order of arrival.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Offer>,
    /// The redemptions, in order of arrival.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<Use>,
}

/// What a figure is grouped by: the tier and the segment of the assignment.
pub type TierAndSegment = (Option<TierId>, Option<SegmentName>);

/// The figures of one tier and segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CellFigures {
    /// The number of successful assignments.
    pub assigned: i64,
    /// How many of these assignments were redeemed at least once.
    pub redeemed: i64,
    /// The number of successful redemptions that were not rolled back.
    pub redemptions: i64,
}

/// The figures of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayFigures {
    /// Successful assignments whose first redemption that was not rolled back happened on this day.
    pub redeemed: i64,
    /// Successful redemptions that were not rolled back.
    pub success: i64,
    /// Failed redemptions.
    pub failure: i64,
}

/// What a promotion account adds to the figures of its promotion.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountFigures {
    /// The figures by tier and segment.
    pub cells: BTreeMap<TierAndSegment, CellFigures>,
    /// The figures by calendar day.
    pub days: BTreeMap<Day, DayFigures>,
    /// The number of successful redemptions that were rolled back.
    pub rolled_back: i64,
    /// The number of assignments with a code: first the successful ones, then the failed ones.
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

    /// The successful assignment that a redemption belongs to. It is the one that the redemption names. If it names none, it is
    /// the customer's earliest, where assignments with its code come first.
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

    /// The successful assignments that were redeemed at least once, where that was not rolled back.
    pub fn redeemed_offers(&self) -> BTreeSet<AssignmentId> {
        let used = self.uses.iter().filter(|used| used.counts());
        let offers = used.filter_map(|used| self.belongs_to(used));
        offers.map(|offer| offer.assignment_id.clone()).collect()
    }

    /// True where the account has an assignment with this id, successful or not.
    pub fn knows(&self, assignment: &AssignmentId) -> bool {
        self.offers
            .iter()
            .any(|offer| offer.assignment_id == *assignment)
    }

    /// True where a successful assignment gave this code to the customer.
    pub fn holds_code(&self, code: &VoucherCode) -> bool {
        let gives = |offer: &&Offer| {
            offer.result == Outcome::Success && offer.voucher_code.as_ref() == Some(code)
        };
        self.offers.iter().find(gives).is_some()
    }

    /// The number of successful redemptions that were not rolled back.
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

    /// The difference that must be added to `before` to give these figures.
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
