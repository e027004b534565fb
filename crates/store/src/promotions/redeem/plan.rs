//! What becomes of a record: the rules of SPEC 6 that need what is stored.

use std::collections::BTreeSet;

use revtrail_core::promotion::Promotion;
use revtrail_core::promotion::claim::{Claim, Offer, Use};
use revtrail_core::promotion::redemption::{
    Assignment, Flag, Outcome, Redemption, Refusal, Rollback,
};
use revtrail_core::record::{Code, Problem};
use revtrail_core::value::id::{PromotionId, RedemptionId};
use revtrail_core::value::time::{DAY_MS, Instant};

use super::limits::{reward, tracked};
use super::load::Draft;
use super::{
    AssignmentFact, Done, Entry, Job, Redeemed, RedemptionFact, RolledBack, Taken, Waits, Way,
    day_of,
};
use crate::table::fault::StoreError;
use crate::table::item::{data, expired};
use crate::table::keys::{self, FeedPlace, Key};

impl Draft<'_> {
    pub(super) fn plan(&mut self, job: &Job) -> Result<Done, StoreError> {
        self.place = match job {
            Job::Arrival { place, .. } | Job::Admit { place, .. } => *place,
            Job::Redeem(_) | Job::Rollback { .. } | Job::Redate(_) => 0,
        };
        match job {
            Job::Arrival { arrival, place } => {
                let taken = match &arrival.entry {
                    Entry::Assigned(told) => {
                        self.assign(told, arrival.source.as_ref(), *place, false)?
                    }
                    Entry::Redeemed(told) => {
                        self.report(told, arrival.source.as_ref(), *place, false)?
                    }
                };
                Ok(Done::Taken(taken))
            }
            Job::Admit { entry, .. } => match entry {
                Entry::Assigned(told) => self.assign(told, None, 0, true).map(Done::Taken),
                Entry::Redeemed(told) => self.report(told, None, 0, true).map(Done::Taken),
            },
            Job::Redate(told) => self.redate(told).map(|()| Done::Taken(Taken::Accepted)),
            Job::Redeem(told) => self.redeem(told).map(Done::Redeemed),
            Job::Rollback {
                redemption,
                rollback,
            } => self.roll_back(redemption, rollback).map(Done::RolledBack),
        }
    }

    pub(super) fn assign(
        &mut self,
        told: &Assignment,
        source: Option<&String>,
        place: usize,
        admit: bool,
    ) -> Result<Taken, StoreError> {
        let id = &self.market.id;
        let key = keys::assignment(id, &told.assignment_id);
        let item = self.items.get(&key).filter(|item| !expired(item, self.now));
        let stands = match self.assignments.get(&key) {
            Some(known) => Some(known.clone()),
            None => item
                .map(|item| Ok::<_, StoreError>((data(item)?, self.version(&key))))
                .transpose()?,
        };
        let (mut fact, version) = match stands {
            Some((fact, version)) if admit && fact.waits.is_some() => (fact, version),
            Some(_) if admit => return Ok(Taken::Accepted),
            Some((fact, _)) => {
                return Ok(seen_before(
                    &fact.told,
                    told,
                    &fact.source,
                    source,
                    fact.waits.is_some(),
                    "assignment_id",
                ));
            }
            None if admit => return Ok(Taken::Accepted),
            None => (
                AssignmentFact {
                    at: told.assigned_at.unwrap_or(self.now),
                    arrived_at: self.now,
                    waits: None,
                    source: source.cloned(),
                    told: told.clone(),
                },
                self.version(&key),
            ),
        };
        let promotion = self.promotion(&told.promotion_id)?;
        let taken = if promotion.is_none() {
            fact.waits = Some(Waits {
                place,
                problem: None,
            });
            self.quarantine(
                &told.promotion_id,
                fact.arrived_at,
                place,
                false,
                told.assignment_id.as_str(),
            );
            Taken::Quarantined
        } else {
            if let Some(waits) = fact.waits.take() {
                self.leave(
                    &told.promotion_id,
                    fact.arrived_at,
                    waits.place,
                    false,
                    told.assignment_id.as_str(),
                );
            }
            self.count_assignment(&fact)?;
            Taken::Accepted
        };
        let expires = fact.at.plus_ms(self.market.retention.keep_ms());
        self.changes
            .at(&key)
            .data(&fact)
            .expires(expires)
            .next_version(version);
        self.assignments.insert(key, (fact, version));
        Ok(taken)
    }

    pub(super) fn count_assignment(&mut self, fact: &AssignmentFact) -> Result<(), StoreError> {
        let told = &fact.told;
        let offer = Offer {
            assignment_id: told.assignment_id.clone(),
            at: fact.at,
            tier_id: told.tier_id.clone(),
            segment: told.segment.clone(),
            voucher_code: told.voucher_code.clone(),
            result: told.result,
        };
        let open = self.claim(&told.promotion_id, &told.customer_id)?;
        if open.full {
            let counted = Claim {
                offers: vec![offer],
                ..Claim::default()
            };
            self.loose
                .push((told.promotion_id.clone(), Claim::default(), counted));
        } else {
            open.claim.offers.push(offer);
            open.changed = true;
        }
        if let Some(code) = &told.voucher_code {
            let listed = keys::listed_publication(
                &self.market.id,
                &told.promotion_id,
                fact.at,
                &told.assignment_id,
            );
            let expires = fact.at.plus_ms(self.market.retention.keep_ms());
            self.changes.at(&listed).expires(expires);
            if told.result == Outcome::Success {
                let voucher = self.voucher(&told.promotion_id, code)?;
                voucher.mark_assigned |= !voucher.assigned;
            }
        }
        Ok(())
    }

    pub(super) fn quarantine(
        &mut self,
        promotion: &PromotionId,
        arrived_at: Instant,
        place: usize,
        redeemed: bool,
        record: &str,
    ) {
        let id = &self.market.id;
        let entry = keys::quarantined(id, promotion, arrived_at, place, redeemed, record);
        // No fact that waits now is kept longer, by whatever clock it came.
        let over = self.now.plus_ms(self.market.retention.keep_ms() + DAY_MS);
        self.changes.at(&entry).mark("q").expires(over);
        self.changes
            .at(&keys::awaited_promotion(id, promotion))
            .mark("q")
            .expires(over);
        self.changes
            .at(&keys::promotion(id, promotion))
            .require_absent();
    }

    pub(super) fn leave(
        &mut self,
        promotion: &PromotionId,
        arrived_at: Instant,
        place: usize,
        redeemed: bool,
        record: &str,
    ) {
        let id = &self.market.id;
        let entry = keys::quarantined(id, promotion, arrived_at, place, redeemed, record);
        self.changes.at(&entry).delete();
    }

    /// Counts a redemption among those that came in on a day.
    pub(super) fn count_in(
        &mut self,
        arrived_at: Instant,
        what: &str,
        n: i64,
    ) -> Result<(), StoreError> {
        let day = day_of(self.versions()?, arrived_at);
        let key = keys::redemptions_in_on(&self.market.id, self.slot, day);
        self.changes.at(&key).add(what, n);
        Ok(())
    }

    pub(super) fn report(
        &mut self,
        told: &Redemption,
        source: Option<&String>,
        place: usize,
        admit: bool,
    ) -> Result<Taken, StoreError> {
        let key = keys::redemption(&self.market.id, &told.redemption_id);
        let (mut fact, version) = match self.fact(&key)? {
            Some((fact, version)) if admit && fact.waits.is_some() => (fact, version),
            Some(_) if admit => return Ok(Taken::Accepted),
            Some((fact, _)) => {
                return Ok(seen_before(
                    &*fact.as_told(),
                    told,
                    &fact.source,
                    source,
                    fact.waits.is_some(),
                    "redemption_id",
                ));
            }
            None if admit => return Ok(Taken::Accepted),
            None => (
                RedemptionFact {
                    at: told.redeemed_at.unwrap_or(self.now),
                    arrived_at: self.now,
                    way: Way::Reported,
                    refusal: None,
                    flags: BTreeSet::new(),
                    reward: None,
                    rolled_back: None,
                    waits: None,
                    loose: false,
                    source: source.cloned(),
                    told: told.clone(),
                },
                self.version(&key),
            ),
        };
        let Some((promotion, _)) = self.promotion(&told.promotion_id)? else {
            self.quarantine(
                &told.promotion_id,
                fact.arrived_at,
                place,
                true,
                told.redemption_id.as_str(),
            );
            self.count_in(fact.arrived_at, "rc", 1)?;
            self.count_in(fact.arrived_at, "qu", 1)?;
            fact.waits = Some(Waits {
                place,
                problem: None,
            });
            self.put_fact(key, fact, version);
            return Ok(Taken::Quarantined);
        };
        // By a clock that is behind the one by which the promotion was made: what comes in now does not come before that.
        if told.redeemed_at.is_none() && fact.waits.is_none() {
            fact.at = fact.at.max(promotion.created_at);
        }
        fact.reward = match tracked(fact.at, &promotion).and_then(|()| reward(told, &promotion)) {
            Ok(reward) => reward,
            Err(problem) => return self.keep_waiting(key, fact, version, problem),
        };
        if let Some(waits) = fact.waits.take() {
            self.leave(
                &told.promotion_id,
                fact.arrived_at,
                waits.place,
                true,
                told.redemption_id.as_str(),
            );
            self.count_in(fact.arrived_at, "qu", -1)?;
        } else {
            self.count_in(fact.arrived_at, "rc", 1)?;
        }
        self.count_in(fact.arrived_at, "ma", 1)?;
        if fact.told.result == Outcome::Success {
            fact.flags = self.broken_rules(&fact, &promotion)?;
            if fact.stands() && self.use_up(&fact, &promotion, true)?.is_err() {
                fact.flags.insert(Flag::OverLimit);
            }
        }
        self.enter(key, fact, version)?;
        Ok(Taken::Accepted)
    }

    /// A record that cannot be taken in is rejected; one that waits goes on waiting, and says why.
    pub(super) fn keep_waiting(
        &mut self,
        key: Key,
        mut fact: RedemptionFact,
        version: i64,
        problem: Problem,
    ) -> Result<Taken, StoreError> {
        if let Some(waits) = &mut fact.waits
            && waits.problem.as_ref() != Some(&problem)
        {
            waits.problem = Some(problem.clone());
            fact.reward = None;
            self.put_fact(key, fact, version);
        }
        Ok(Taken::Rejected(problem))
    }

    pub(super) fn broken_rules(
        &mut self,
        fact: &RedemptionFact,
        promotion: &Promotion,
    ) -> Result<BTreeSet<Flag>, StoreError> {
        let told = &fact.told;
        let mut flags = BTreeSet::new();
        let late = promotion.ends_at.is_some_and(|ends_at| fact.at > ends_at);
        if late
            || promotion
                .starts_at
                .is_some_and(|starts_at| fact.at < starts_at)
        {
            flags.insert(Flag::OutsideTimeframe);
        }
        let claim = &self.claim(&told.promotion_id, &told.customer_id)?.claim;
        if told
            .assignment_id
            .as_ref()
            .is_some_and(|assignment| !claim.knows(assignment))
        {
            flags.insert(Flag::UnknownAssignment);
        }
        if let Some(code) = &told.voucher_code {
            let holds = claim.holds_code(code);
            let voucher = self.voucher(&told.promotion_id, code)?;
            if voucher.made.is_none() {
                flags.insert(Flag::UnknownVoucher);
            }
            if (voucher.assigned || voucher.mark_assigned) && !holds {
                flags.insert(Flag::WrongCustomer);
            }
        }
        Ok(flags)
    }

    pub(super) fn redeem(&mut self, told: &Redemption) -> Result<Redeemed, StoreError> {
        let key = keys::redemption(&self.market.id, &told.redemption_id);
        let known = self.fact(&key)?;
        let Some((promotion, _)) = self.promotion(&told.promotion_id)? else {
            return Ok(Redeemed::NoPromotion);
        };
        // Whether it was asked for here or reported: the same is answered the same.
        if let Some((fact, _)) = known {
            return Ok(match fact.refusal {
                _ if fact.told != *told || fact.waits.is_some() => Redeemed::Conflict,
                Some(refusal) => Redeemed::Refused(refusal),
                None => Redeemed::Success,
            });
        }
        // By a clock behind the one by which it was made: not before it was tracked either.
        let made = self.now.max(promotion.created_at);
        let reward = match tracked(made, &promotion).and_then(|()| reward(told, &promotion)) {
            Ok(reward) => reward,
            Err(problem) => return Ok(Redeemed::Rejected(problem)),
        };
        let mut fact = RedemptionFact {
            told: told.clone(),
            at: self.now,
            arrived_at: self.now,
            way: Way::Redeem,
            refusal: None,
            flags: BTreeSet::new(),
            reward,
            rolled_back: None,
            waits: None,
            loose: false,
            source: None,
        };
        fact.refusal = match self.refusal(&fact, &promotion)? {
            Some(refusal) => Some(refusal),
            None => self.use_up(&fact, &promotion, false)?.err(),
        };
        self.count_in(fact.arrived_at, "rc", 1)?;
        self.count_in(fact.arrived_at, "ma", 1)?;
        let answer = match fact.refusal {
            Some(refusal) => Redeemed::Refused(refusal),
            None => Redeemed::Success,
        };
        let version = self.version(&key);
        self.enter(key, fact, version)?;
        Ok(answer)
    }

    /// Why a redeem is refused before any limit is looked at.
    pub(super) fn refusal(
        &mut self,
        fact: &RedemptionFact,
        promotion: &Promotion,
    ) -> Result<Option<Refusal>, StoreError> {
        let told = &fact.told;
        if let Some(code) = &told.voucher_code {
            let claim = &self.claim(&told.promotion_id, &told.customer_id)?.claim;
            let holds = claim.holds_code(code);
            let voucher = self.voucher(&told.promotion_id, code)?;
            if voucher.made.is_none() {
                return Ok(Some(Refusal::VoucherNotFound));
            }
            if voucher.disabled {
                return Ok(Some(Refusal::VoucherDisabled));
            }
            if voucher.assigned && !holds {
                return Ok(Some(Refusal::WrongCustomer));
            }
        }
        if promotion
            .starts_at
            .is_some_and(|starts_at| fact.at < starts_at)
        {
            return Ok(Some(Refusal::NotStarted));
        }
        let over = promotion.ends_at.is_some_and(|ends_at| fact.at > ends_at);
        Ok(over.then_some(Refusal::Expired))
    }

    /// Enters a redemption into the claim, the lists and the feed.
    pub(super) fn enter(
        &mut self,
        key: Key,
        mut fact: RedemptionFact,
        version: i64,
    ) -> Result<(), StoreError> {
        let used = fact.used(self.versions()?);
        let told = &fact.told;
        let open = self.claim(&told.promotion_id, &told.customer_id)?;
        if open.full {
            fact.loose = true;
            let id = told.promotion_id.clone();
            self.loose.push((id, Claim::default(), alone(used)));
        } else {
            open.claim.uses.push(used);
            open.changed = true;
        }
        let told = &fact.told;
        let id = &self.market.id;
        let keep_ms = self.market.retention.keep_ms();
        let listed = keys::listed_redemption(id, &told.promotion_id, fact.at, &told.redemption_id);
        self.changes.at(&listed).expires(fact.at.plus_ms(keep_ms));
        let fed = keys::fed(id, self.now, FeedPlace::In(self.place), &told.redemption_id);
        self.changes.at(&fed).expires(self.now.plus_ms(keep_ms));
        self.put_fact(key, fact, version);
        Ok(())
    }

    fn redate(&mut self, told: &Redemption) -> Result<(), StoreError> {
        let key = keys::redemption(&self.market.id, &told.redemption_id);
        let Some((fact, _)) = self.fact(&key)?.filter(|(fact, _)| fact.waits.is_none()) else {
            return Ok(());
        };
        let day = fact.used(self.versions()?).day;
        let open = self.claim(&told.promotion_id, &told.customer_id)?;
        for used in &mut open.claim.uses {
            if used.redemption_id == told.redemption_id && used.day != day {
                used.day = day;
                open.changed = true;
            }
        }
        if fact.stands() {
            self.name_order(&fact, 0)?;
        }
        Ok(())
    }

    pub(super) fn roll_back(
        &mut self,
        redemption: &RedemptionId,
        rollback: &Rollback,
    ) -> Result<RolledBack, StoreError> {
        let key = keys::redemption(&self.market.id, redemption);
        let Some((mut fact, version)) = self.fact(&key)? else {
            return Ok(RolledBack::Unknown);
        };
        let named = keys::rollback(&self.market.id, &rollback.rollback_id);
        let item = self.items.get(&named);
        let of = item.filter(|item| !expired(item, self.now)).map(data);
        let of: Option<RedemptionId> = of.transpose()?;
        if of.is_some_and(|of| of != *redemption) {
            return Ok(RolledBack::Conflict);
        }
        if let Some((by, _)) = &fact.rolled_back {
            return Ok(if by == rollback {
                RolledBack::Done
            } else if by.rollback_id == rollback.rollback_id {
                RolledBack::Conflict
            } else {
                RolledBack::Already
            });
        }
        if fact.result() == Outcome::Failure {
            return Ok(RolledBack::NotASuccess);
        }
        fact.rolled_back = Some((rollback.clone(), self.now));
        let keep_ms = self.market.retention.keep_ms();
        let named_version = self.version(&named);
        self.changes
            .at(&named)
            .data(redemption)
            .expires(self.now.plus_ms(keep_ms))
            .next_version(named_version);
        if fact.waits.is_none() {
            let told = &fact.told;
            if let Some((promotion, _)) = self.promotion(&told.promotion_id)? {
                self.give_back(&fact, &promotion)?;
            }
            if fact.loose {
                let after = fact.used(self.versions()?);
                let before = Use {
                    rolled_back: false,
                    ..after.clone()
                };
                let id = told.promotion_id.clone();
                self.loose.push((id, alone(before), alone(after)));
            } else {
                let open = self.claim(&told.promotion_id, &told.customer_id)?;
                open.changed = true;
                for used in &mut open.claim.uses {
                    used.rolled_back |= used.redemption_id == *redemption;
                }
            }
            let fed = keys::fed(&self.market.id, self.now, FeedPlace::Back, redemption);
            let expires = self.now.plus_ms(self.market.retention.keep_ms());
            self.changes.at(&fed).expires(expires);
        }
        self.put_fact(key, fact, version);
        Ok(RolledBack::Done)
    }
}

/// A claim of one redemption, and no assignment.
fn alone(used: Use) -> Claim {
    Claim {
        uses: vec![used],
        ..Claim::default()
    }
}

/// A record whose id is known: the same from the same place, the same, or another.
pub(super) fn seen_before<T: PartialEq>(
    stands: &T,
    told: &T,
    from: &Option<String>,
    source: Option<&String>,
    waits: bool,
    field: &str,
) -> Taken {
    if stands != told {
        let detail =
            format!("{field}: there is one with this id that says something else; it stands");
        Taken::Rejected(Problem::of(field, Code::Conflict, detail))
    } else if source.is_some() && from.as_ref() == source {
        if waits {
            Taken::Quarantined
        } else {
            Taken::Accepted
        }
    } else {
        Taken::Duplicate
    }
}
