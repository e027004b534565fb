//! What becomes of a record: `core` judges it by what was read, and this module turns the outcome into changes.

use revtrail_core::promotion::Promotion;
use revtrail_core::promotion::account::{Account, Offer, Use};
use revtrail_core::promotion::admission::{self, Copy, Surroundings, tracked};
use revtrail_core::promotion::limits::{Limit, cost, cost_of_redeem};
use revtrail_core::promotion::redemption::{
    Assignment, Outcome, Redemption, Refusal, Rollback, Stated,
};
use revtrail_core::record::{Code, RecordProblem};
use revtrail_core::value::id::{PromotionId, RedemptionId};
use revtrail_core::value::time::{DAY_MS, Instant};

use super::load::TransactionPlan;
use super::request::{Done, PromotionRecord, PromotionRequest, Redeemed, RolledBack, Taken};
use crate::promotions::records::{AssignmentFact, RedemptionFact, Waits, Way, day_of};
use crate::table::attributes::{quarantine, redemptions_in};
use crate::table::fault::StoreError;
use crate::table::item::{data, expired};
use crate::table::keys::{self, FeedPlace, Key};

impl TransactionPlan<'_> {
    pub(super) fn plan(&mut self, job: &PromotionRequest) -> Result<Done, StoreError> {
        self.place = match job {
            PromotionRequest::Arrival { place, .. } | PromotionRequest::Admit { place, .. } => {
                *place
            }
            PromotionRequest::Redeem(_)
            | PromotionRequest::Rollback { .. }
            | PromotionRequest::Redate(_) => 0,
        };
        match job {
            PromotionRequest::Arrival { arrival, .. } => match &arrival.entry {
                PromotionRecord::Assigned(submitted) => {
                    self.assign(submitted, arrival.source.as_ref())
                }
                PromotionRecord::Redeemed(submitted) => {
                    self.report(submitted, arrival.source.as_ref())
                }
            }
            .map(Done::Taken),
            PromotionRequest::Admit { entry, .. } => match entry {
                PromotionRecord::Assigned(submitted) => self.admit_assignment(submitted),
                PromotionRecord::Redeemed(submitted) => self.admit_redemption(submitted),
            }
            .map(Done::Taken),
            PromotionRequest::Redate(submitted) => self
                .redate(submitted)
                .map(|()| Done::Taken(Taken::Accepted)),
            PromotionRequest::Redeem(submitted) => self.redeem(submitted).map(Done::Redeemed),
            PromotionRequest::Rollback {
                redemption,
                rollback,
            } => self.roll_back(redemption, rollback).map(Done::RolledBack),
        }
    }

    fn assign(
        &mut self,
        submitted: &Assignment,
        source: Option<&String>,
    ) -> Result<Taken, StoreError> {
        let key = keys::assignment(&self.market.id, &submitted.assignment_id);
        let known = self.assignment(&key)?;
        let mut fact = AssignmentFact {
            at: submitted.assigned_at.unwrap_or(self.now),
            arrived_at: self.now,
            waits: None,
            erased: false,
            source: source.cloned(),
            earlier: Vec::new(),
            submitted: submitted.clone(),
        };
        let Some((known, version)) = known else {
            let version = self.version(&key);
            return self.place_assignment(key, fact, version);
        };
        let second = Second {
            id: "assignment_id",
            known: known.stated(),
            waits: known.waits.is_some(),
            from: known.source.as_ref(),
            earlier: &known.earlier,
        };
        if let Some(taken) = second.is(&submitted.stated(), source) {
            return Ok(taken);
        }
        if let Some(waits) = &known.waits {
            let id = submitted.assignment_id.as_str();
            let promotion = &known.submitted.promotion_id;
            self.leave(promotion, known.arrived_at, waits.place, false, id);
        }
        fact.earlier = known.sources();
        self.place_assignment(key, fact, version)
    }

    /// Takes in an assignment that waits, if it still waits and still says what was read.
    fn admit_assignment(&mut self, submitted: &Assignment) -> Result<Taken, StoreError> {
        let key = keys::assignment(&self.market.id, &submitted.assignment_id);
        let known = self.assignment(&key)?;
        let Some((mut fact, version)) = known.filter(|(fact, _)| fact.waits.is_some()) else {
            return Ok(Taken::Accepted);
        };
        // It was mended, or its customer was erased, so the next look takes it in.
        if fact.submitted != *submitted {
            return Ok(Taken::Quarantined);
        }
        if self.promotion(&submitted.promotion_id)?.is_none() {
            return Ok(Taken::Quarantined);
        }
        if let Some(waits) = fact.waits.take() {
            let id = submitted.assignment_id.as_str();
            self.leave(
                &submitted.promotion_id,
                fact.arrived_at,
                waits.place,
                false,
                id,
            );
        }
        self.place_assignment(key, fact, version)
    }

    /// Counts an assignment, or lets it wait for its promotion.
    fn place_assignment(
        &mut self,
        key: Key,
        mut fact: AssignmentFact,
        version: i64,
    ) -> Result<Taken, StoreError> {
        let promotion = fact.submitted.promotion_id.clone();
        let taken = if self.promotion(&promotion)?.is_some() {
            self.count_assignment(&fact)?;
            Taken::Accepted
        } else {
            fact.waits = Some(self.waits());
            let id = fact.submitted.assignment_id.as_str();
            self.quarantine(&promotion, fact.arrived_at, false, id);
            Taken::Quarantined
        };
        self.put_assignment(key, fact, version);
        Ok(taken)
    }

    fn waits(&self) -> Waits {
        Waits {
            place: self.place,
            problem: None,
        }
    }

    fn count_assignment(&mut self, fact: &AssignmentFact) -> Result<(), StoreError> {
        let submitted = &fact.submitted;
        let offer = Offer {
            assignment_id: submitted.assignment_id.clone(),
            at: fact.at,
            tier_id: submitted.tier_id.clone(),
            segment: submitted.segment.clone(),
            voucher_code: submitted.voucher_code.clone(),
            result: submitted.result,
        };
        let open = self.account(&submitted.promotion_id, &submitted.customer_id)?;
        if open.full {
            let counted = Account {
                offers: vec![offer],
                ..Account::default()
            };
            self.loose
                .push((submitted.promotion_id.clone(), Account::default(), counted));
        } else {
            open.account.offers.push(offer);
            open.changed = true;
        }
        if let Some(code) = &submitted.voucher_code {
            let listed = keys::listed_publication(
                &self.market.id,
                &submitted.promotion_id,
                fact.at,
                &submitted.assignment_id,
            );
            let expires = fact.at.plus_ms(self.market.retention.keep_ms());
            self.changes.at(&listed).expires(expires);
            if submitted.result == Outcome::Success {
                self.voucher(&submitted.promotion_id, code)?.assigned = true;
            }
        }
        Ok(())
    }

    fn quarantine(
        &mut self,
        promotion: &PromotionId,
        arrived_at: Instant,
        redeemed: bool,
        record: &str,
    ) {
        let id = &self.market.id;
        let entry = keys::quarantined(id, promotion, arrived_at, self.place, redeemed, record);
        // No fact that waits now is kept longer than this, whatever clock set its time.
        let over = self.now.plus_ms(self.market.retention.keep_ms() + DAY_MS);
        self.changes
            .at(&entry)
            .mark(quarantine::WAITS)
            .expires(over);
        self.changes
            .at(&keys::awaited_promotion(id, promotion))
            .mark(quarantine::WAITS)
            .expires(over);
        self.changes
            .at(&keys::promotion(id, promotion))
            .require_absent();
    }

    fn leave(
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

    /// Counts a redemption among those of its promotion that came in on a day.
    fn count_in(&mut self, fact: &RedemptionFact, what: &str, n: i64) {
        let day = day_of(&self.versions, fact.arrived_at);
        let promotion = &fact.submitted.promotion_id;
        let key = keys::redemptions_in_of(&self.market.id, self.shard, day, promotion);
        self.changes.at(&key).add(what, n);
    }

    fn report(
        &mut self,
        submitted: &Redemption,
        source: Option<&String>,
    ) -> Result<Taken, StoreError> {
        let key = keys::redemption(&self.market.id, &submitted.redemption_id);
        let mut fact = RedemptionFact::new(submitted.clone(), Way::Reported, self.now);
        fact.source = source.cloned();
        if let Some(at) = submitted.redeemed_at {
            fact.at = at;
        }
        let Some((known, version)) = self.fact(&key)? else {
            if submitted.is_rolled_back {
                return Ok(Taken::Rejected(never_taken_in()));
            }
            let version = self.version(&key);
            return self.place_redemption(key, fact, version, None);
        };
        let second = Second {
            id: "redemption_id",
            known: known.stated(),
            waits: known.waits.is_some(),
            from: known.source.as_ref(),
            earlier: &known.earlier,
        };
        // A rollback belongs to the redemption, whatever copy of it is current. Only a success has a rollback.
        let was_taken_back = known.rolled_back.is_some();
        if (submitted.is_rolled_back && !was_taken_back)
            || (was_taken_back && submitted.result == Outcome::Failure)
        {
            return Ok(Taken::Rejected(second.conflict("result")));
        }
        if let Some(taken) = second.is(&submitted.stated(), source) {
            return Ok(taken);
        }
        fact.earlier = known.sources();
        fact.rolled_back = known.rolled_back.clone();
        self.place_redemption(key, fact, version, Some(&known))
    }

    /// Takes in a redemption that waits, if it still waits and still says what was read.
    fn admit_redemption(&mut self, submitted: &Redemption) -> Result<Taken, StoreError> {
        let key = keys::redemption(&self.market.id, &submitted.redemption_id);
        let known = self.fact(&key)?;
        let Some((mut fact, version)) = known.filter(|(fact, _)| fact.waits.is_some()) else {
            return Ok(Taken::Accepted);
        };
        // It was mended, or its customer was erased, so the next look takes it in.
        if fact.submitted != *submitted {
            return Ok(Taken::Quarantined);
        }
        let Some((promotion, _)) = self.promotion(&submitted.promotion_id)? else {
            return Ok(Taken::Quarantined);
        };
        match tracked(fact.at, &promotion).and_then(|()| cost(submitted, &promotion)) {
            Ok(cost) => fact.reward = cost,
            Err(problem) => {
                self.go_on_waiting(key, fact, version, &problem);
                return Ok(Taken::Rejected(problem));
            }
        }
        self.no_longer_waits(&fact);
        fact.waits = None;
        self.count_redemption(key, fact, version, &promotion)?;
        Ok(Taken::Accepted)
    }

    /// Counts a redemption that comes in, or lets it wait for its promotion; `instead` is the waiting one that it replaces.
    fn place_redemption(
        &mut self,
        key: Key,
        mut fact: RedemptionFact,
        version: i64,
        instead: Option<&RedemptionFact>,
    ) -> Result<Taken, StoreError> {
        let id = fact.submitted.promotion_id.clone();
        let promotion = self.promotion(&id)?;
        if let Some((promotion, _)) = &promotion {
            // This clock may be behind the one by which the promotion was made. What comes in now cannot have happened before
            // that.
            if fact.submitted.redeemed_at.is_none() {
                fact.at = fact.at.max(promotion.created_at);
            }
            match tracked(fact.at, promotion).and_then(|()| cost(&fact.submitted, promotion)) {
                Ok(cost) => fact.reward = cost,
                Err(problem) => return Ok(Taken::Rejected(problem)),
            }
        }
        if let Some(waiting) = instead {
            self.no_longer_waits(waiting);
            self.count_in(waiting, redemptions_in::DUPLICATES, 1);
        }
        self.count_in(&fact, redemptions_in::RECEIVED, 1);
        let Some((promotion, _)) = promotion else {
            self.count_in(&fact, redemptions_in::QUARANTINED, 1);
            fact.waits = Some(self.waits());
            self.quarantine(
                &id,
                fact.arrived_at,
                true,
                fact.submitted.redemption_id.as_str(),
            );
            self.put_fact(key, fact, version);
            return Ok(Taken::Quarantined);
        };
        self.count_redemption(key, fact, version, &promotion)?;
        Ok(Taken::Accepted)
    }

    /// Takes a redemption out of the quarantine.
    fn no_longer_waits(&mut self, fact: &RedemptionFact) {
        if let Some(waits) = &fact.waits {
            let (submitted, place) = (&fact.submitted, waits.place);
            let id = submitted.redemption_id.as_str();
            self.leave(&submitted.promotion_id, fact.arrived_at, place, true, id);
            self.count_in(fact, redemptions_in::QUARANTINED, -1);
        }
    }

    /// Counts a redemption that its till has honoured, and flags the limits that were too low.
    fn count_redemption(
        &mut self,
        key: Key,
        mut fact: RedemptionFact,
        version: i64,
        promotion: &Promotion,
    ) -> Result<(), StoreError> {
        self.count_in(&fact, redemptions_in::MATCHED, 1);
        if fact.current() {
            let short = self.use_up(&fact, promotion, true)?;
            fact.flags = short.into_iter().map(Limit::flag).collect();
        }
        self.enter(key, fact, version)
    }

    /// Lets a record that cannot be taken in go on waiting, with the reason.
    fn go_on_waiting(
        &mut self,
        key: Key,
        mut fact: RedemptionFact,
        version: i64,
        problem: &RecordProblem,
    ) {
        if let Some(waits) = &mut fact.waits
            && waits.problem.as_ref() != Some(problem)
        {
            waits.problem = Some(problem.clone());
            self.put_fact(key, fact, version);
        }
    }

    fn redeem(&mut self, submitted: &Redemption) -> Result<Redeemed, StoreError> {
        let key = keys::redemption(&self.market.id, &submitted.redemption_id);
        let known = self.fact(&key)?;
        let Some((promotion, _)) = self.promotion(&submitted.promotion_id)? else {
            return Ok(Redeemed::NoPromotion);
        };
        // The same redemption gets the same answer, whether it was asked for here or reported.
        if let Some((fact, _)) = known {
            let copy = admission::copy(&fact.stated_by_redeem(), &submitted.stated(), false);
            return Ok(match fact.refusal {
                _ if copy != Copy::Duplicate || fact.waits.is_some() => Redeemed::Conflict,
                Some(refusal) => Redeemed::Refused(refusal),
                None => Redeemed::Success,
            });
        }
        // This clock may be behind the one by which the promotion was made. A redeem now cannot be before the promotion was
        // tracked.
        let made = self.now.max(promotion.created_at);
        let mut fact = RedemptionFact::new(submitted.clone(), Way::Redeem, self.now);
        match tracked(made, &promotion).and_then(|()| cost_of_redeem(submitted, &promotion)) {
            Ok(cost) => fact.reward = cost,
            Err(problem) => return Ok(Redeemed::Rejected(problem)),
        }
        fact.refusal = match self.refusal(&fact, &promotion)? {
            Some(refusal) => Some(refusal),
            None => {
                let short = self.use_up(&fact, &promotion, false)?;
                short.first().map(|limit| limit.refusal())
            }
        };
        self.count_in(&fact, redemptions_in::RECEIVED, 1);
        self.count_in(&fact, redemptions_in::MATCHED, 1);
        let answer = match fact.refusal {
            Some(refusal) => Redeemed::Refused(refusal),
            None => Redeemed::Success,
        };
        let version = self.version(&key);
        self.enter(key, fact, version)?;
        Ok(answer)
    }

    /// Why a redeem is refused before any limit is looked at.
    fn refusal(
        &mut self,
        fact: &RedemptionFact,
        promotion: &Promotion,
    ) -> Result<Option<Refusal>, StoreError> {
        let submitted = &fact.submitted;
        let account = &self
            .account(&submitted.promotion_id, &submitted.customer_id)?
            .account;
        let holds_code = submitted
            .voucher_code
            .as_ref()
            .is_some_and(|code| account.holds_code(code));
        let voucher = match &submitted.voucher_code {
            Some(code) => Some(self.voucher(&submitted.promotion_id, code)?.state()),
            None => None,
        };
        // No refusal depends on the assignment or on the order.
        let known = Surroundings {
            promotion,
            voucher,
            holds_code,
            knows_assignment: false,
            buyer: None,
        };
        Ok(admission::refusal(fact.at, &known))
    }

    /// Enters a redemption into the promotion account, the lists and the feed.
    fn enter(
        &mut self,
        key: Key,
        mut fact: RedemptionFact,
        version: i64,
    ) -> Result<(), StoreError> {
        let used = fact.used(&self.versions);
        let submitted = &fact.submitted;
        let current = i64::from(fact.current());
        let open = self.account(&submitted.promotion_id, &submitted.customer_id)?;
        if open.full {
            fact.loose = true;
            open.beside[1] += current;
            let id = submitted.promotion_id.clone();
            self.loose.push((id, Account::default(), alone(used)));
        } else {
            open.account.uses.push(used);
            open.changed = true;
        }
        let submitted = &fact.submitted;
        let id = &self.market.id;
        let keep_ms = self.market.retention.keep_ms();
        let listed = keys::listed_redemption(
            id,
            &submitted.promotion_id,
            fact.at,
            &submitted.redemption_id,
        );
        self.changes.at(&listed).expires(fact.at.plus_ms(keep_ms));
        let fed = keys::fed(
            id,
            self.now,
            FeedPlace::In(self.place),
            &submitted.redemption_id,
        );
        self.changes.at(&fed).expires(self.now.plus_ms(keep_ms));
        self.put_fact(key, fact, version);
        Ok(())
    }

    fn redate(&mut self, submitted: &Redemption) -> Result<(), StoreError> {
        let key = keys::redemption(&self.market.id, &submitted.redemption_id);
        let Some((fact, _)) = self.fact(&key)?.filter(|(fact, _)| fact.waits.is_none()) else {
            return Ok(());
        };
        let day = fact.used(&self.versions).day;
        let open = self.account(&submitted.promotion_id, &submitted.customer_id)?;
        for used in &mut open.account.uses {
            if used.redemption_id == submitted.redemption_id && used.day != day {
                used.day = day;
                open.changed = true;
            }
        }
        if fact.current() {
            self.name_order(&fact, 0)?;
        }
        Ok(())
    }

    fn roll_back(
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
            return Ok(if by.rollback_id != rollback.rollback_id {
                RolledBack::Already
            } else if by.contradicts(rollback) {
                RolledBack::Conflict
            } else {
                RolledBack::Done
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
            let submitted = &fact.submitted;
            if let Some((promotion, _)) = self.promotion(&submitted.promotion_id)? {
                self.give_back(&fact, &promotion)?;
            }
            if fact.loose {
                let after = fact.used(&self.versions);
                let before = Use {
                    rolled_back: false,
                    ..after.clone()
                };
                let id = submitted.promotion_id.clone();
                self.account(&id, &submitted.customer_id)?.beside[1] -= 1;
                self.loose.push((id, alone(before), alone(after)));
            } else {
                let open = self.account(&submitted.promotion_id, &submitted.customer_id)?;
                open.changed = true;
                for used in &mut open.account.uses {
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

/// A promotion account with one redemption and no assignment.
fn alone(used: Use) -> Account {
    Account {
        uses: vec![used],
        ..Account::default()
    }
}

/// What is known of an id when a second record with it comes.
struct Second<'a> {
    /// The name of the id's field.
    id: &'static str,
    /// What the first record says.
    known: Stated,
    /// True if the first record waits for its promotion.
    waits: bool,
    /// The source of the first record.
    from: Option<&'a String>,
    /// The sources of the records that the first one replaced.
    earlier: &'a [String],
}

impl Second<'_> {
    /// What becomes of the second record; `None` if it replaces the first.
    fn is(&self, copy: &Stated, source: Option<&String>) -> Option<Taken> {
        if source.is_some_and(|source| self.earlier.contains(source)) {
            return Some(Taken::Quarantined);
        }
        match admission::copy(&self.known, copy, self.waits) {
            Copy::Replaces => None,
            Copy::Conflict(field) => Some(Taken::Rejected(self.conflict(field))),
            Copy::Duplicate if source.is_none() || self.from != source => Some(Taken::Duplicate),
            Copy::Duplicate if self.waits => Some(Taken::Quarantined),
            Copy::Duplicate => Some(Taken::Accepted),
        }
    }

    fn conflict(&self, field: &str) -> RecordProblem {
        let id = self.id;
        let detail = format!("{id}: there is one with this id whose {field} is another; it stands");
        RecordProblem::of(id, Code::Conflict, detail)
    }
}

/// Why a record is rejected that says of itself that it was taken back.
fn never_taken_in() -> RecordProblem {
    let detail = "result: \"rolled_back\" is said of a redemption that is known: send it as a success, then its rollback";
    RecordProblem::of("result", Code::UnknownValue, detail)
}
