//! rule 6 a second time: what a marketplace is told of promotions, call by call, what each call is answered, and what the
//! reports say then. Every question is a loop over all facts; the judge of the rules in `revtrail-core` and of their storage.
//!
//! Where the specification is silent, these rulings hold, here and in the product:
//!
//! - A success without `reward_amount` costs the value of an `amount`, of the tier that it names where that has one; else it costs
//!   nothing, and only then is it `reward_not_told`. A reward without `currency` takes the promotion's, else the budget's, else the
//!   record is rejected (`missing`, `currency`). Only costs in the budget's currency are spent from the budget.
//! - Flags are of successes, reported or redeemed, taken back or not. `over_limit`, `over_cap`, `over_budget`, `over_customer_limit`:
//!   that limit had not enough left at arrival. All others hold of the facts as they are now. What costs nothing is over no budget.
//! - `wrong_customer`: some successful assignment gave this code to somebody, and none to this customer.
//! - `other_customers_order`: the order is there, and came first with another customer. It is in `result` all the same.
//! - A record says the fields that it has, and `result` and `channel` by their default. A second record of an id is a conflict where
//!   both say a field and differ, else a duplicate. Where the first waits in quarantine, one that differs or says more takes its
//!   place, and arrives now. `result: rolled_back`, as exports say it, is said of a redemption that was taken back, or rejected.
//! - Uses of a code that is no voucher yet count once it is imported. A voucher made without a limit takes the promotion's
//!   `redemption_limit` of that moment.
//! - A redemption that names an `assignment_id` belongs to that one or to none.
//! - `result` counts orders under the settings version at their `placed_at`, with the amount of rule 4.4, and takes off all
//!   costs. `worst_case` is the smallest bound by currency: the budget that is left (never below 0), the cap that is left × value,
//!   the open uses of the enabled vouchers × value; no bound where an enabled voucher has no limit, or where there is none.
//!   It is `null` where nothing bounds it, and as everywhere a currency of which it is 0 is absent.
//! - Days are of the zone in force at `redeemed_at`; a redeemed assignment's is that of its first standing success.
//! - Facts of an unknown promotion wait in quarantine, assignments too, and are taken in in order of arrival when it appears.
//!   `tracking_from` is by default the earlier of that moment and the earliest waiting `redeemed_at`.
//! - A redeem before `tracking_from` is rejected (422), as a report of it is. One that is refused is stored as a failure whose
//!   `failure_code` is the reason. It happens at the receiver's clock. The same id with other content is a conflict (409).

#![allow(
    clippy::unwrap_used,
    reason = "worlds hold valid bodies only; anything else should stop the test where it is"
)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::naive::facts::{instant, millionths};
use crate::naive::{Facts, Version, World, print};
use crate::worlds::{DAY_MS, MINUTE_MS};

const RETENTION_MS: i64 = 90 * DAY_MS;
const AHEAD_MS: i64 = 10 * MINUTE_MS;

/// One call of a marketplace, as the bodies it comes in.
#[derive(Clone, Debug)]
pub enum Call {
    /// `PUT M/settings`: a complete object.
    Settings(Value),
    /// `POST M/orders`: valid ones.
    Orders(Vec<Value>),
    /// `POST M/events`: valid ones.
    Events(Vec<Value>),
    /// `PUT M/promotions/{id}`.
    Promotion(String, Value),
    /// `POST M/promotions/{id}/vouchers`: codes, and a limit or none.
    Vouchers(String, Vec<String>, Option<u64>),
    /// `PUT M/promotions/{id}/vouchers/{code}`: disabled, limit.
    Voucher(String, String, bool, Option<u64>),
    /// `POST M/assignments`.
    Assignments(Vec<Value>),
    /// `POST M/redemptions`.
    Redemptions(Vec<Value>),
    /// `POST M/promotions/{id}/vouchers/{code}/redeem`, or `POST M/vouchers/{code}/redeem` where the promotion is not named.
    Redeem(Option<String>, String, Value),
    /// `POST M/redemptions/{id}/rollback`.
    Rollback(String, Value),
}

/// The answer of a call: its status, and the part of its body that the specification and API.md fix. The body of a problem is its code.
pub type Answer = (u16, Value);

/// All facts of one marketplace.
#[derive(Debug)]
pub struct Market {
    /// Orders, events and settings.
    world: World,
    promotions: Vec<Promotion>,
    vouchers: Vec<Voucher>,
    assignments: Vec<Assignment>,
    redemptions: Vec<Redemption>,
    quarantine: Vec<Waiting>,
}

#[derive(Debug)]
struct Promotion {
    id: String,
    body: Value,
    tracking_from: i64,
}

impl Promotion {
    fn instant(&self, field: &str) -> Option<i64> {
        self.body[field].as_str().map(instant)
    }

    fn currency(&self) -> Option<&str> {
        let currency = self.body["currency"].as_str();
        currency.or(self.body["budget"]["currency"].as_str())
    }

    /// What uses cost where that is known, of each tier and without one: millionths, of the promotion's currency.
    fn values(&self) -> BTreeMap<Option<String>, i128> {
        let mut values = BTreeMap::new();
        if self.body["type"] == "amount" {
            for tier in self.body["tiers"].as_array().into_iter().flatten() {
                let value = [&tier["value"], &self.body["value"]]
                    .into_iter()
                    .find(|value| !value.is_null());
                values.extend(value.map(|value| (text(tier, "tier_id"), millionths(value))));
            }
            let value = Some(&self.body["value"]).filter(|value| !value.is_null());
            values.extend(value.map(|value| (None, millionths(value))));
        }
        values
    }
}

#[derive(Debug)]
struct Voucher {
    promotion: String,
    code: String,
    limit: Option<u64>,
    disabled: bool,
}

/// What a record says, read, so that two ways to write the same are the same.
type Said = Map<String, Value>;

#[derive(Debug)]
struct Assignment {
    given: Said,
    id: String,
    promotion: String,
    customer: String,
    tier: Option<String>,
    segment: Option<String>,
    code: Option<String>,
    at: i64,
    success: bool,
}

#[derive(Debug)]
struct Redemption {
    /// What was asked for or reported.
    given: Said,
    /// What a report that says the same gives.
    reported: Said,
    id: String,
    promotion: String,
    customer: String,
    code: Option<String>,
    assignment: Option<String>,
    order: Option<String>,
    at: i64,
    success: bool,
    failure_code: Option<String>,
    /// What it costs, in millionths.
    cost: Option<(i128, String)>,
    /// The limits that had not enough when it came.
    over: BTreeSet<&'static str>,
    /// The `rollback_id`, and the reason.
    rollback: Option<(String, Value)>,
}

impl Redemption {
    /// A success that was not rolled back.
    fn stands(&self) -> bool {
        self.success && self.rollback.is_none()
    }

    fn result(&self) -> &'static str {
        match (self.success, &self.rollback) {
            (false, _) => "failure",
            (true, None) => "success",
            (true, Some(_)) => "rolled_back",
        }
    }
}

/// A record whose promotion is not known.
#[derive(Debug)]
struct Waiting {
    kind: Kind,
    body: Value,
    arrived: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Assignment,
    Redemption,
}

impl Kind {
    fn id(self) -> &'static str {
        match self {
            Kind::Assignment => "assignment_id",
            Kind::Redemption => "redemption_id",
        }
    }

    fn time(self) -> &'static str {
        match self {
            Kind::Assignment => "assigned_at",
            Kind::Redemption => "redeemed_at",
        }
    }

    fn fields(self) -> &'static [&'static str] {
        match self {
            Kind::Assignment => &[
                "assignment_id",
                "promotion_id",
                "customer_id",
                "tier_id",
                "segment",
                "voucher_code",
                "assigned_at",
                "result",
                "channel",
            ],
            Kind::Redemption => &[
                "redemption_id",
                "promotion_id",
                "customer_id",
                "voucher_code",
                "tier_id",
                "assignment_id",
                "order_id",
                "redeemed_at",
                "result",
                "failure_code",
                "reward_amount",
                "currency",
            ],
        }
    }
}

/// How a limit that is reached is named.
struct Limit {
    refusal: &'static str,
    flag: &'static str,
}

/// In the order of reasons.
const LIMITS: [Limit; 4] = [
    Limit {
        refusal: "customer_limit_reached",
        flag: "over_customer_limit",
    },
    Limit {
        refusal: "limit_reached",
        flag: "over_limit",
    },
    Limit {
        refusal: "cap_reached",
        flag: "over_cap",
    },
    Limit {
        refusal: "budget_reached",
        flag: "over_budget",
    },
];

/// What becomes of one record.
enum Outcome {
    Accepted,
    Duplicate,
    Quarantined,
    Rejected(&'static str, &'static str),
}

fn text(body: &Value, field: &str) -> Option<String> {
    body[field].as_str().map(str::to_owned)
}

fn needed(body: &Value, field: &str) -> String {
    text(body, field).unwrap_or_else(|| panic!("no {field} in {body}"))
}

/// What a record says of the fields that are known.
fn given(kind: Kind, body: &Value) -> Said {
    let mut fields = Map::new();
    for name in kind.fields() {
        let value = match (*name, &body[*name]) {
            ("result", Value::Null) => json!("success"),
            ("result", said) if said == "rolled_back" => json!("success"),
            ("channel", Value::Null) => json!("api"),
            (_, Value::Null) => continue,
            (name, value) if name == kind.time() => json!(instant(value.as_str().unwrap())),
            ("reward_amount", value) => json!(millionths(value).to_string()),
            (_, value) => value.clone(),
        };
        fields.insert((*name).to_owned(), value);
    }
    fields
}

/// Whether both say a field and differ.
fn contradict(one: &Said, other: &Said) -> bool {
    one.iter()
        .any(|(name, value)| other.get(name).is_some_and(|said| said != value))
}

fn problem(status: u16, code: &str) -> Answer {
    (status, json!(code))
}

impl Market {
    /// A marketplace whose first settings are these, a complete object.
    pub fn new(settings: Value) -> Market {
        let first = Version {
            number: 1,
            in_force_from: None,
            settings,
        };
        Market {
            world: World {
                events: Vec::new(),
                orders: Vec::new(),
                campaigns: Vec::new(),
                versions: vec![first],
                replays: vec![],
                look_back: Some(RETENTION_MS / 3),
            },
            promotions: Vec::new(),
            vouchers: Vec::new(),
            assignments: Vec::new(),
            redemptions: Vec::new(),
            quarantine: Vec::new(),
        }
    }

    /// What a call is answered at an instant, and all that follows from it.
    pub fn tell(&mut self, now: i64, call: &Call) -> Answer {
        match call {
            Call::Settings(settings) => {
                // Until the first order, versions replace each other.
                if self.world.orders.is_empty() {
                    self.world.versions.clear();
                }
                let replaces = self.world.versions.is_empty();
                self.world.versions.push(Version {
                    number: self.world.versions.len() as u64 + 1,
                    in_force_from: (!replaces).then_some(now),
                    settings: settings.clone(),
                });
                (200, json!({}))
            }
            Call::Orders(orders) => {
                self.world.orders.extend(orders.iter().cloned());
                (202, json!({}))
            }
            Call::Events(events) => {
                self.world.events.extend(events.iter().cloned());
                (202, json!({}))
            }
            Call::Promotion(id, body) => self.put_promotion(now, id, body),
            Call::Vouchers(id, codes, limit) => self.make_vouchers(id, codes, *limit),
            Call::Voucher(id, code, disabled, limit) => {
                let of = |voucher: &&mut Voucher| voucher.promotion == *id && voucher.code == *code;
                match self.vouchers.iter_mut().find(of) {
                    None => problem(404, ""),
                    Some(voucher) => {
                        (voucher.disabled, voucher.limit) = (*disabled, *limit);
                        (200, json!({}))
                    }
                }
            }
            Call::Assignments(records) => self.records(now, Kind::Assignment, records),
            Call::Redemptions(records) => self.records(now, Kind::Redemption, records),
            Call::Redeem(promotion, code, body) => {
                self.redeem(now, promotion.as_deref(), code, body)
            }
            Call::Rollback(id, body) => self.roll_back(id, body),
        }
    }

    fn promotion(&self, id: &str) -> Option<&Promotion> {
        self.promotions.iter().find(|promotion| promotion.id == id)
    }

    fn voucher(&self, promotion: &str, code: &str) -> Option<&Voucher> {
        let of = |voucher: &&Voucher| voucher.promotion == promotion && voucher.code == code;
        self.vouchers.iter().find(of)
    }

    fn put_promotion(&mut self, now: i64, id: &str, body: &Value) -> Answer {
        if let Some(code) = what_is_wrong(body) {
            return problem(422, code);
        }
        if let Some(known) = self.promotions.iter_mut().find(|known| known.id == id) {
            known.body = body.clone();
            if let Some(given) = known.instant("tracking_from") {
                known.tracking_from = given;
            }
            return (200, json!({}));
        }
        let (waiting, rest): (Vec<Waiting>, Vec<Waiting>) = std::mem::take(&mut self.quarantine)
            .into_iter()
            .partition(|waiting| waiting.body["promotion_id"] == id);
        self.quarantine = rest;
        let mut tracking_from = now;
        for record in &waiting {
            if record.kind == Kind::Redemption {
                let at =
                    text(&record.body, "redeemed_at").map_or(record.arrived, |at| instant(&at));
                tracking_from = tracking_from.min(at);
            }
        }
        self.promotions.push(Promotion {
            id: id.to_owned(),
            body: body.clone(),
            tracking_from: text(body, "tracking_from").map_or(tracking_from, |at| instant(&at)),
        });
        for record in waiting {
            let taken = self.take_in(record.kind, &record.body, record.arrived);
            assert!(
                matches!(taken, Outcome::Accepted),
                "worlds leave nothing in quarantine that cannot be taken in: {}",
                record.body
            );
        }
        (201, json!({}))
    }

    fn make_vouchers(&mut self, id: &str, codes: &[String], limit: Option<u64>) -> Answer {
        let Some(promotion) = self.promotion(id) else {
            return problem(404, "");
        };
        let limit = limit.or(promotion.body["redemption_limit"].as_u64());
        let (mut created, mut existing) = (0, 0);
        for code in codes {
            if self.voucher(id, code).is_some() {
                existing += 1;
                continue;
            }
            created += 1;
            self.vouchers.push(Voucher {
                promotion: id.to_owned(),
                code: code.clone(),
                limit,
                disabled: false,
            });
        }
        (201, json!({"created": created, "existing": existing}))
    }

    fn records(&mut self, now: i64, kind: Kind, records: &[Value]) -> Answer {
        let (mut accepted, mut duplicates, mut quarantined) = (0, 0, 0);
        let mut rejected = Vec::new();
        for (index, body) in records.iter().enumerate() {
            match self.record(now, kind, body) {
                Outcome::Accepted => accepted += 1,
                Outcome::Duplicate => duplicates += 1,
                Outcome::Quarantined => quarantined += 1,
                Outcome::Rejected(field, code) => {
                    rejected.push(json!({"index": index, "field": field, "code": code}));
                }
            }
        }
        let status = if rejected.len() == records.len() {
            422
        } else {
            202
        };
        let told = json!({
            "accepted": accepted, "duplicates": duplicates, "quarantined": quarantined, "rejected": rejected,
        });
        (status, told)
    }

    fn record(&mut self, now: i64, kind: Kind, body: &Value) -> Outcome {
        for field in [kind.id(), "promotion_id", "customer_id"] {
            if body[field].is_null() {
                return Outcome::Rejected(field, "missing");
            }
        }
        if let Some(at) = text(body, kind.time()).map(|at| instant(&at)) {
            if at < now - RETENTION_MS {
                return Outcome::Rejected(kind.time(), "too_old");
            }
            if at > now + AHEAD_MS {
                return Outcome::Rejected(kind.time(), "in_future");
            }
        }
        let id = needed(body, kind.id());
        let said = given(kind, body);
        let conflict = Outcome::Rejected(kind.id(), "conflict");
        let taken_back = |known: &Redemption| known.id == id && known.rollback.is_some();
        let claims_to_be = body["result"] == "rolled_back";
        if let Some(known) = self.known(kind, &id) {
            if contradict(known, &said)
                || (claims_to_be && !self.redemptions.iter().any(taken_back))
            {
                return conflict;
            }
            return Outcome::Duplicate;
        }
        let of_it = |waiting: &Waiting| waiting.kind == kind && waiting.body[kind.id()] == *id;
        let waits = self.quarantine.iter().position(of_it);
        if let Some(at) = waits {
            let waiting = &self.quarantine[at];
            let mut first = given(kind, &waiting.body);
            first.entry(kind.time()).or_insert(json!(waiting.arrived));
            if claims_to_be {
                return conflict;
            }
            if said
                .iter()
                .all(|(name, value)| first.get(name) == Some(value))
            {
                return Outcome::Duplicate;
            }
        } else if claims_to_be {
            return Outcome::Rejected("result", "unknown_value");
        }
        let taken = if self.promotion(&needed(body, "promotion_id")).is_some() {
            self.take_in(kind, body, now)
        } else {
            self.quarantine.push(Waiting {
                kind,
                body: body.clone(),
                arrived: now,
            });
            Outcome::Quarantined
        };
        // What takes the place of one that waits is taken, or leaves it there.
        if let Some(at) = waits.filter(|_| !matches!(taken, Outcome::Rejected(..))) {
            self.quarantine.remove(at);
        }
        taken
    }

    /// What the record of an id said that was taken in.
    fn known(&self, kind: Kind, id: &str) -> Option<&Said> {
        match kind {
            Kind::Assignment => {
                let known = self.assignments.iter().find(|known| known.id == id);
                known.map(|known| &known.given)
            }
            Kind::Redemption => {
                let known = self.redemptions.iter().find(|known| known.id == id);
                known.map(|known| &known.reported)
            }
        }
    }

    fn take_in(&mut self, kind: Kind, body: &Value, arrived: i64) -> Outcome {
        let at = text(body, kind.time()).map_or(arrived, |at| instant(&at));
        let success = body["result"] != "failure";
        if kind == Kind::Assignment {
            self.assignments.push(Assignment {
                given: given(kind, body),
                id: needed(body, "assignment_id"),
                promotion: needed(body, "promotion_id"),
                customer: needed(body, "customer_id"),
                tier: text(body, "tier_id"),
                segment: text(body, "segment"),
                code: text(body, "voucher_code"),
                at,
                success,
            });
            return Outcome::Accepted;
        }
        let promotion = self.promotion(&needed(body, "promotion_id")).unwrap();
        if at < promotion.tracking_from {
            return Outcome::Rejected("redeemed_at", "before_tracking");
        }
        let Ok(cost) = cost(promotion, body) else {
            return Outcome::Rejected("currency", "missing");
        };
        let mut redemption = Redemption {
            given: given(kind, body),
            reported: given(kind, body),
            id: needed(body, "redemption_id"),
            promotion: promotion.id.clone(),
            customer: needed(body, "customer_id"),
            code: text(body, "voucher_code"),
            assignment: text(body, "assignment_id"),
            order: text(body, "order_id"),
            at,
            success,
            failure_code: text(body, "failure_code"),
            cost,
            over: BTreeSet::new(),
            rollback: None,
        };
        if redemption.success {
            let short = self.short_of(promotion, &redemption);
            redemption.over = short.into_iter().map(|limit| limit.flag).collect();
        }
        self.redemptions.push(redemption);
        Outcome::Accepted
    }

    fn flags(&self, of: &Redemption) -> BTreeSet<&'static str> {
        let promotion = self.promotion(&of.promotion).unwrap();
        let mut flags = of.over.clone();
        if !of.success {
            return flags;
        }
        if let Some(code) = &of.code {
            if self.voucher(&of.promotion, code).is_none() {
                flags.insert("unknown_voucher");
            }
            if self.is_of_others(&of.promotion, code, &of.customer) {
                flags.insert("wrong_customer");
            }
        }
        let starts = promotion.instant("starts_at");
        let ends = promotion.instant("ends_at");
        if starts.is_some_and(|starts| of.at < starts) || ends.is_some_and(|ends| of.at > ends) {
            flags.insert("outside_timeframe");
        }
        if of.assignment.is_some() && self.named(of).is_none() {
            flags.insert("unknown_assignment");
        }
        match &of.cost {
            None => drop(flags.insert("reward_not_told")),
            Some((_, currency)) => {
                let budget = promotion.body["budget"]["currency"].as_str();
                if budget.is_some_and(|budget| budget != currency) {
                    flags.insert("other_currency");
                }
            }
        }
        let mut orders = self.world.orders.iter();
        let first = orders.find(|order| of.order.is_some() && text(order, "order_id") == of.order);
        if first.is_some_and(|order| order["customer_id"] != *of.customer) {
            flags.insert("other_customers_order");
        }
        flags
    }

    /// The assignment that a redemption names, where it is of the same promotion and customer.
    fn named(&self, of: &Redemption) -> Option<&Assignment> {
        let of_it = |known: &&Assignment| {
            of.assignment.as_ref() == Some(&known.id)
                && known.promotion == of.promotion
                && known.customer == of.customer
        };
        self.assignments.iter().find(of_it)
    }

    /// Whether successful assignments gave a code to somebody, and none to this customer.
    fn is_of_others(&self, promotion: &str, code: &str, customer: &str) -> bool {
        let gave = |known: &&Assignment| {
            known.success && known.promotion == promotion && known.code.as_deref() == Some(code)
        };
        let mut owners = self
            .assignments
            .iter()
            .filter(gave)
            .map(|known| known.customer.as_str());
        let mut all = owners.clone();
        owners.next().is_some() && !all.any(|owner| owner == customer)
    }

    fn standing(&self, promotion: &str) -> Vec<&Redemption> {
        let of = |known: &&Redemption| known.promotion == promotion && known.stands();
        self.redemptions.iter().filter(of).collect()
    }

    fn uses(&self, promotion: &str, code: &str) -> u64 {
        let standing = self.standing(promotion);
        standing
            .iter()
            .filter(|known| known.code.as_deref() == Some(code))
            .count() as u64
    }

    /// What the standing successes cost, by currency.
    fn rewards(&self, promotion: &str) -> BTreeMap<String, i128> {
        let mut sums = BTreeMap::new();
        for known in self.standing(promotion) {
            if let Some((amount, currency)) = &known.cost {
                *sums.entry(currency.clone()).or_default() += amount;
            }
        }
        sums
    }

    /// The budget and what was spent of it, in its currency.
    fn budget(&self, promotion: &Promotion) -> Option<(i128, i128, String)> {
        let budget = &promotion.body["budget"];
        let currency = text(budget, "currency")?;
        let spent = self.rewards(&promotion.id).get(&currency).copied();
        Some((millionths(&budget["amount"]), spent.unwrap_or(0), currency))
    }

    /// The limits that have not enough left for one more success, in the order of reasons.
    fn short_of(&self, promotion: &Promotion, of: &Redemption) -> Vec<&'static Limit> {
        let standing = self.standing(&promotion.id);
        let mine = standing
            .iter()
            .filter(|known| known.customer == of.customer);
        let voucher = of
            .code
            .as_ref()
            .and_then(|code| self.voucher(&promotion.id, code));
        let of_customer = promotion.body["limit_per_customer"].as_u64();
        let of_voucher = voucher.and_then(|voucher| voucher.limit);
        let cap = promotion.body["cap"].as_u64();
        let uses = voucher.map_or(0, |voucher| self.uses(&promotion.id, &voucher.code));
        let is_over_budget = match (self.budget(promotion), &of.cost) {
            (Some((amount, spent, currency)), Some((cost, of))) => {
                *of == currency && *cost > 0 && spent + cost > amount
            }
            _ => false,
        };
        let is_over = [
            of_customer.is_some_and(|limit| mine.count() as u64 >= limit),
            of_voucher.is_some_and(|limit| uses >= limit),
            cap.is_some_and(|cap| standing.len() as u64 >= cap),
            is_over_budget,
        ];
        let over = LIMITS.iter().zip(is_over).filter(|(_, over)| *over);
        over.map(|(limit, _)| limit).collect()
    }

    fn redeem(&mut self, now: i64, named: Option<&str>, code: &str, body: &Value) -> Answer {
        let id = needed(body, "redemption_id");
        let mut record = body.clone();
        record["voucher_code"] = json!(code);
        let told = |known: &Redemption| {
            json!({
                "redemption_id": known.id, "result": if known.success { "success" } else { "failure" }, "reason": known.failure_code,
            })
        };
        // A retry is answered as it was, whatever became of the code.
        if let Some(known) = self.redemptions.iter().find(|known| known.id == id) {
            record["promotion_id"] = json!(named.unwrap_or(&known.promotion));
            let same = !contradict(&given(Kind::Redemption, &record), &known.given);
            return if same {
                (200, told(known))
            } else {
                problem(409, "conflict")
            };
        }
        let of_code = |known: &&Voucher| known.code == code;
        let mut having = self
            .vouchers
            .iter()
            .filter(of_code)
            .map(|known| known.promotion.as_str());
        let promotion = match (named, having.next(), having.next()) {
            (Some(named), ..) => named,
            (None, Some(_), Some(_)) => return problem(409, "ambiguous_code"),
            (None, Some(only), None) => only,
            (None, None, _) => return problem(404, ""),
        };
        let Some(promotion) = self.promotion(promotion) else {
            return problem(404, "");
        };
        if now < promotion.tracking_from {
            return problem(422, "before_tracking");
        }
        let Ok(cost) = cost(promotion, body) else {
            return problem(422, "missing");
        };
        let budget = promotion.body["budget"]["currency"].as_str();
        if let (Some((_, currency)), Some(budget)) = (&cost, budget)
            && currency != budget
        {
            return problem(422, "other_currency");
        }
        record["promotion_id"] = json!(promotion.id);
        let mut redemption = Redemption {
            given: given(Kind::Redemption, &record),
            reported: Map::new(),
            id,
            promotion: promotion.id.clone(),
            customer: needed(body, "customer_id"),
            code: Some(code.to_owned()),
            assignment: text(body, "assignment_id"),
            order: text(body, "order_id"),
            at: now,
            success: true,
            failure_code: None,
            cost,
            over: BTreeSet::new(),
            rollback: None,
        };
        let voucher = self.voucher(&promotion.id, code);
        let reason = if voucher.is_none() {
            Some("voucher_not_found")
        } else if voucher.is_some_and(|voucher| voucher.disabled) {
            Some("voucher_disabled")
        } else if self.is_of_others(&promotion.id, code, &redemption.customer) {
            Some("wrong_customer")
        } else if promotion
            .instant("starts_at")
            .is_some_and(|starts| now < starts)
        {
            Some("not_started")
        } else if promotion.instant("ends_at").is_some_and(|ends| now > ends) {
            Some("expired")
        } else {
            let short = self.short_of(promotion, &redemption);
            short.first().map(|limit| limit.refusal)
        };
        let mut ended = record.clone();
        if let Some(reason) = reason {
            ended["result"] = json!("failure");
            ended["failure_code"] = json!(reason);
        }
        redemption.reported = given(Kind::Redemption, &ended);
        redemption.success = reason.is_none();
        redemption.failure_code = reason.map(str::to_owned);
        let answer = (200, told(&redemption));
        self.redemptions.push(redemption);
        answer
    }

    fn roll_back(&mut self, id: &str, body: &Value) -> Answer {
        let rollback_id = needed(body, "rollback_id");
        let took_another = |known: &Redemption| {
            known.id != id
                && known
                    .rollback
                    .as_ref()
                    .is_some_and(|(by, _)| *by == rollback_id)
        };
        let taken = self.redemptions.iter().any(took_another);
        let Some(known) = self.redemptions.iter_mut().find(|known| known.id == id) else {
            return problem(404, "");
        };
        if taken {
            return problem(409, "conflict");
        }
        if !known.success {
            return problem(409, "not_a_success");
        }
        let given = (rollback_id.clone(), body["reason"].clone());
        match &known.rollback {
            Some((other, _)) if *other != rollback_id => {
                return problem(409, "already_rolled_back");
            }
            Some((_, reason)) => {
                let both = !reason.is_null() && !given.1.is_null();
                if both && *reason != given.1 {
                    return problem(409, "conflict");
                }
            }
            None => known.rollback = Some(given),
        }
        let told =
            json!({"redemption_id": id, "rollback_id": rollback_id, "result": "rolled_back"});
        (200, told)
    }

    /// The assignment that a standing success redeems.
    fn redeems(&self, redemption: &Redemption) -> Option<&Assignment> {
        if redemption.assignment.is_some() {
            return self.named(redemption).filter(|known| known.success);
        }
        let of = |known: &&Assignment| {
            known.success
                && known.promotion == redemption.promotion
                && known.customer == redemption.customer
        };
        let with_its_code =
            |known: &Assignment| redemption.code.is_some() && known.code == redemption.code;
        let first = |known: &&Assignment| (!with_its_code(known), known.at, known.id.clone());
        self.assignments.iter().filter(of).min_by_key(first)
    }

    /// The standing success that redeemed an assignment first.
    fn first_success(&self, assignment: &Assignment) -> Option<&Redemption> {
        let of = |known: &&Redemption| {
            self.redeems(known)
                .is_some_and(|redeemed| redeemed.id == assignment.id)
        };
        let standing = self.standing(&assignment.promotion).into_iter().filter(of);
        standing.min_by_key(|known| (known.at, known.id.clone()))
    }

    fn assigned(&self, promotion: &str) -> Vec<&Assignment> {
        let of = |known: &&Assignment| known.promotion == promotion && known.success;
        self.assignments.iter().filter(of).collect()
    }

    /// `assigned`, `redeemed` and `redemption_rate` of some successful assignments of a promotion.
    fn share(&self, promotion: &str, assigned: &[&Assignment]) -> Value {
        let redeemed = assigned
            .iter()
            .filter(|one| self.first_success(one).is_some())
            .count();
        let any = self
            .redemptions
            .iter()
            .any(|known| known.promotion == promotion);
        let rate = match any {
            true => print::rate(redeemed as u64, assigned.len() as u64),
            false => Value::Null,
        };
        json!({"assigned": assigned.len(), "redeemed": redeemed, "redemption_rate": rate})
    }

    /// The promotion's row in `reports/promotions`.
    pub fn row(&self, id: &str) -> Value {
        let promotion = self.promotion(id).unwrap();
        let standing = self.standing(id);
        let mut row = self.share(id, &self.assigned(id));
        row["promotion_id"] = json!(id);
        row["name"] = promotion.body["name"].clone();
        row["kind"] = promotion.body["kind"].clone();
        row["redemptions"] = json!(standing.len());
        row["budget"] = self.budget(promotion).map_or(Value::Null, |(amount, spent, currency)| {
            json!({
                "amount": print::money(amount, &currency), "currency": currency, "spent": print::money(spent, &currency),
                "usage": print::rate(spent as u64, amount as u64),
            })
        });
        row["cap"] = promotion.body["cap"].as_u64().map_or(Value::Null, |limit| {
            json!({
                "limit": limit, "used": standing.len(), "usage": print::rate(standing.len() as u64, limit),
            })
        });
        row["result"] = self.result(id);
        row["worst_case"] = self.worst_case(promotion);
        row
    }

    /// All rows, by id.
    pub fn rows(&self) -> Vec<Value> {
        self.promotions()
            .into_iter()
            .map(|id| self.row(id))
            .collect()
    }

    /// The ids of all promotions, sorted.
    pub fn promotions(&self) -> Vec<&str> {
        let ids = self.promotions.iter().map(|known| known.id.as_str());
        let sorted: BTreeSet<&str> = ids.collect();
        sorted.into_iter().collect()
    }

    fn result(&self, id: &str) -> Value {
        let facts = Facts::read(&self.world);
        let standing = self.standing(id);
        let orders: BTreeSet<&String> = standing
            .iter()
            .filter_map(|known| known.order.as_ref())
            .collect();
        let mut sums: BTreeMap<String, i128> = BTreeMap::new();
        for order in orders {
            let order = facts.attribution(order);
            if order["counted"] == true {
                *sums.entry(needed(&order, "currency")).or_default() +=
                    millionths(&order["amount"]);
            }
        }
        for (currency, reward) in self.rewards(id) {
            *sums.entry(currency).or_default() -= reward;
        }
        print::sums(&sums)
    }

    fn worst_case(&self, promotion: &Promotion) -> Value {
        let mut bounds: Vec<(String, i128)> = Vec::new();
        if let Some((amount, spent, currency)) = self.budget(promotion) {
            bounds.push((currency, (amount - spent).max(0)));
        }
        if let Some(value) = promotion.values().into_values().max() {
            let currency = promotion.currency().unwrap();
            if let Some(cap) = promotion.body["cap"].as_u64() {
                let left = cap.saturating_sub(self.standing(&promotion.id).len() as u64);
                bounds.push((currency.to_owned(), i128::from(left) * value));
            }
            let vouchers: Vec<&Voucher> = self
                .vouchers
                .iter()
                .filter(|voucher| voucher.promotion == promotion.id)
                .collect();
            let enabled: Vec<&&Voucher> = vouchers
                .iter()
                .filter(|voucher| !voucher.disabled)
                .collect();
            if !vouchers.is_empty() && enabled.iter().all(|voucher| voucher.limit.is_some()) {
                let mut open = 0;
                for voucher in enabled {
                    let used = self.uses(&promotion.id, &voucher.code);
                    open += voucher.limit.unwrap().saturating_sub(used);
                }
                bounds.push((currency.to_owned(), i128::from(open) * value));
            }
        }
        let mut smallest: BTreeMap<String, i128> = BTreeMap::new();
        for (currency, bound) in bounds {
            let least = smallest.entry(currency).or_insert(bound);
            *least = bound.min(*least);
        }
        if smallest.is_empty() {
            return Value::Null;
        }
        print::sums(&smallest)
    }

    /// What `GET M/promotions/{id}/dashboard` shows beside the row: lists as objects by key, without those that are nothing.
    pub fn dashboard(&self, id: &str) -> Value {
        let facts = Facts::read(&self.world);
        let day = |at: i64| facts.day_of(at).to_string();
        let assigned = self.assigned(id);
        let by = |key: fn(&Assignment) -> &Option<String>| {
            let mut groups: BTreeMap<String, Vec<&Assignment>> = BTreeMap::new();
            for one in &assigned {
                groups
                    .entry(json!(key(one)).to_string())
                    .or_default()
                    .push(one);
            }
            let share =
                |(key, group): (&String, &Vec<&Assignment>)| (key.clone(), self.share(id, group));
            Value::Object(groups.iter().map(share).collect())
        };
        let mut days: BTreeMap<String, u64> = BTreeMap::new();
        for one in &assigned {
            if let Some(first) = self.first_success(one) {
                *days.entry(day(first.at)).or_default() += 1;
            }
        }
        let mut results: BTreeMap<&str, u64> = BTreeMap::new();
        let mut by_day: BTreeMap<String, [u64; 2]> = BTreeMap::new();
        for known in self
            .redemptions
            .iter()
            .filter(|known| known.promotion == id)
        {
            *results.entry(known.result()).or_default() += 1;
            if known.stands() || !known.success {
                by_day.entry(day(known.at)).or_default()[usize::from(!known.success)] += 1;
            }
        }
        let by_day: BTreeMap<&String, Value> = by_day
            .iter()
            .map(|(day, [success, failure])| (day, json!({"success": success, "failure": failure})))
            .collect();
        let published = |success: bool| {
            let of = |known: &&Assignment| {
                known.promotion == id && known.code.is_some() && known.success == success
            };
            self.assignments.iter().filter(of).count()
        };
        let messages = self.distributions(id);
        let ended = |fate: &str| messages.iter().filter(|one| *one == fate).count();
        let vouchers = self
            .vouchers
            .iter()
            .filter(|voucher| voucher.promotion == id)
            .count();
        json!({
            "vouchers": vouchers,
            "publications": {"success": published(true), "failure": published(false)},
            "messages": {"delivered": ended("delivered"), "failed": ended("failed")},
            "redemptions_by_day": by_day,
            "breakdown": {"tier": by(|one| &one.tier), "segment": by(|one| &one.segment), "day": days, "result": results},
        })
    }

    /// What became of each message that carried a code of a promotion.
    pub fn distributions(&self, id: &str) -> Vec<String> {
        let message = |event: &Value| {
            let part = |field: &str| event[field].to_string();
            ["campaign_id", "customer_id", "channel", "message_id"].map(part)
        };
        let carries =
            |event: &&Value| event["promotion_id"] == id && !event["voucher_code"].is_null();
        let with_code: BTreeSet<[String; 4]> = self
            .world
            .events
            .iter()
            .filter(carries)
            .map(message)
            .collect();
        let fate = |of: &[String; 4]| {
            let has = |kind: &str| {
                let events = self
                    .world
                    .events
                    .iter()
                    .filter(|event| message(event) == *of);
                events.clone().any(|event| event["kind"] == kind)
            };
            if has("delivered") {
                "delivered"
            } else if has("bounced") || has("failed") {
                "failed"
            } else {
                "sent"
            }
        };
        with_code.iter().map(|of| fate(of).to_owned()).collect()
    }

    /// Each redemption of a promotion, by id: `customer_id`, `voucher_code`, `result`, `failure_code`, `flags`.
    pub fn redemptions(&self, id: &str) -> Value {
        let mut by_id = Map::new();
        for known in self
            .redemptions
            .iter()
            .filter(|known| known.promotion == id)
        {
            let told = json!({
                "customer_id": known.customer, "voucher_code": known.code, "result": known.result(),
                "failure_code": known.failure_code, "flags": self.flags(known),
            });
            by_id.insert(known.id.clone(), told);
        }
        Value::Object(by_id)
    }

    /// All redemptions as they are shown: what our exports say.
    pub fn exported(&self) -> Vec<Value> {
        let told = |known: &Redemption| {
            let mut shown = known.reported.clone();
            let default = known.cost.as_ref().map(|(_, currency)| json!(currency));
            let has_reward = shown.contains_key("reward_amount");
            if let Some(currency) = default.filter(|_| has_reward) {
                shown.entry("currency").or_insert(currency);
            }
            if has_reward {
                let amount: i128 = shown["reward_amount"].as_str().unwrap().parse().unwrap();
                shown["reward_amount"] =
                    json!(print::money(amount, shown["currency"].as_str().unwrap()));
            }
            shown.insert("redemption_id".to_owned(), json!(known.id));
            shown.insert("redeemed_at".to_owned(), print::instant(known.at));
            shown.insert("result".to_owned(), json!(known.result()));
            shown.insert("flags".to_owned(), json!(self.flags(known)));
            shown.insert("order_id".to_owned(), json!(known.order));
            Value::Object(shown)
        };
        self.redemptions.iter().map(told).collect()
    }

    /// Each voucher of a promotion, by code: `limit`, `disabled`, `used`.
    pub fn vouchers(&self, id: &str) -> Value {
        let of = |voucher: &&Voucher| voucher.promotion == id;
        let told = |voucher: &Voucher| {
            let used = self.uses(id, &voucher.code);
            let told = json!({"limit": voucher.limit, "disabled": voucher.disabled, "used": used});
            (voucher.code.clone(), told)
        };
        Value::Object(self.vouchers.iter().filter(of).map(told).collect())
    }

    /// The ids of assignments with a code, by promotion: the publications history.
    pub fn publications(&self, id: &str) -> BTreeSet<String> {
        let of = |known: &&Assignment| known.promotion == id && known.code.is_some();
        self.assignments
            .iter()
            .filter(of)
            .map(|known| known.id.clone())
            .collect()
    }

    /// Whether a record of this id waits in quarantine.
    pub fn waits(&self, id: &str) -> bool {
        let of = |waiting: &Waiting| waiting.body[waiting.kind.id()] == id;
        self.quarantine.iter().any(of)
    }

    /// The ids that wait in quarantine, in order of arrival.
    pub fn quarantine(&self) -> Vec<String> {
        let id = |waiting: &Waiting| needed(&waiting.body, waiting.kind.id());
        self.quarantine.iter().map(id).collect()
    }

    /// Whether there is such a promotion.
    pub fn knows(&self, promotion: &str) -> bool {
        self.promotion(promotion).is_some()
    }
}

/// What a record costs, in a currency; an error where its reward has none.
fn cost(promotion: &Promotion, body: &Value) -> Result<Option<(i128, String)>, ()> {
    if body["reward_amount"].is_null() {
        let values = promotion.values();
        let of_tier = values.get(&text(body, "tier_id")).or(values.get(&None));
        let value = of_tier.filter(|_| body["result"] != "failure");
        return Ok(value.map(|value| (*value, promotion.currency().unwrap().to_owned())));
    }
    let currency = body["currency"]
        .as_str()
        .or(promotion.currency())
        .ok_or(())?;
    Ok(Some((
        millionths(&body["reward_amount"]),
        currency.to_owned(),
    )))
}

/// Why the body of a promotion is refused.
fn what_is_wrong(body: &Value) -> Option<&'static str> {
    let known = "name kind type value currency redemption_limit limit_per_customer tiers starts_at ends_at tracking_from budget cap";
    let mut fields = body.as_object().unwrap().keys();
    if fields.any(|name| !known.split(' ').any(|known| known == name)) {
        return Some("unknown_field");
    }
    let tiers = body["tiers"].as_array().into_iter().flatten();
    let values = tiers.map(|tier| &tier["value"]).chain([&body["value"]]);
    let mut values = values.filter(|value| !value.is_null()).map(millionths);
    match body["type"].as_str() {
        Some("percent") if values.any(|value| value > 100_000_000) => Some("unknown_value"),
        Some("amount") if values.any(|value| value == 0) => Some("unknown_value"),
        Some("amount") if body["currency"].is_null() && body["budget"].is_null() => Some("missing"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = crate::worlds::NOW_MS;

    fn market(promotion: Value) -> Market {
        let settings = json!({
            "enabled": true, "link": true, "timezone": "UTC", "currency": null, "channels": {}, "winner": "last_sent",
            "supersede": "none", "excluded_tags": [], "counted_statuses": ["COMPLETE"], "refunds": "net", "machine_events": "ignore",
        });
        let mut market = Market::new(settings);
        market.tell(NOW, &Call::Promotion("p".to_owned(), promotion));
        market
    }

    fn record(id: &str, customer: &str, more: Value) -> Value {
        let mut record = json!({"redemption_id": id, "assignment_id": id, "promotion_id": "p", "customer_id": customer});
        let fields = record.as_object_mut().unwrap();
        fields.remove(if id.starts_with('a') {
            "redemption_id"
        } else {
            "assignment_id"
        });
        fields.extend(more.as_object().unwrap().clone());
        record
    }

    #[test]
    fn the_rate_has_three_faces() {
        let mut market = market(json!({"name": "P", "kind": "global"}));
        let mut told = |call: Call| {
            market.tell(NOW, &call);
            market.row("p")["redemption_rate"].clone()
        };
        let assigned = |n: usize| {
            Call::Assignments(vec![record(&format!("a{n}"), &format!("c{n}"), json!({}))])
        };
        let redeemed = |id: &str, customer: &str, more: Value| {
            Call::Redemptions(vec![record(id, customer, more)])
        };
        for (call, rate) in [
            (assigned(1), Value::Null),
            (
                redeemed("r1", "c1", json!({"result": "failure"})),
                json!("0.0000"),
            ),
            (redeemed("r2", "c1", json!({})), json!("1.0000")),
            (assigned(2), json!("0.5000")),
            (redeemed("r3", "c1", json!({})), json!("0.5000")),
            (
                Call::Rollback("r2".to_owned(), json!({"rollback_id": "b", "reason": ""})),
                json!("0.5000"),
            ),
            (
                Call::Rollback("r3".to_owned(), json!({"rollback_id": "d", "reason": ""})),
                json!("0.0000"),
            ),
            (redeemed("r4", "nobody", json!({})), json!("0.0000")),
        ] {
            assert_eq!(told(call.clone()), rate, "after {call:?}");
        }
    }

    #[test]
    fn money_goes_by_currency() {
        let mut market = market(json!({
            "name": "P", "kind": "global", "type": "amount", "value": "5.00", "currency": "EUR", "cap": 5,
            "budget": {"amount": "20.00", "currency": "EUR"},
        }));
        let order = |id: &str, status: &str, currency: &str| {
            json!({
                "order_id": id, "customer_id": "c", "status": status, "total": "30", "refunded_total": "4", "currency": currency,
                "placed_at": print::instant(NOW),
            })
        };
        let orders = vec![
            order("o", "COMPLETE", "EUR"),
            order("u", "COMPLETE", "USD"),
            order("w", "PENDING", "EUR"),
        ];
        market.tell(NOW, &Call::Orders(orders));
        for (id, more) in [
            ("r1", json!({"order_id": "o", "reward_amount": "5.00"})),
            ("r2", json!({"order_id": "o", "reward_amount": "7.5"})),
            (
                "r3",
                json!({"order_id": "u", "reward_amount": "28", "currency": "USD"}),
            ),
            ("r4", json!({"order_id": "w"})),
            (
                "r5",
                json!({"order_id": "w", "result": "failure", "reward_amount": "100"}),
            ),
        ] {
            market.tell(NOW, &Call::Redemptions(vec![record(id, "c", more)]));
        }
        let row = market.row("p");
        assert_eq!(
            row["budget"],
            json!({"amount": "20.00", "currency": "EUR", "spent": "17.50", "usage": "0.8750"})
        );
        assert_eq!(
            row["cap"],
            json!({"limit": 5, "used": 4, "usage": "0.8000"})
        );
        assert_eq!(row["result"], json!({"EUR": "8.50", "USD": "-2.00"}));
        assert_eq!(row["worst_case"], json!({"EUR": "2.50"}));
    }

    #[test]
    fn a_redemption_belongs_to_the_earliest_or_to_that_with_its_code_or_to_the_named_one() {
        let at = |minutes: i64| print::instant(NOW - minutes * MINUTE_MS);
        for (more, tier) in [
            (json!({}), "early"),
            (json!({"voucher_code": "C"}), "coded"),
            (json!({"voucher_code": "other"}), "early"),
            (json!({"assignment_id": "a3"}), "late"),
            (json!({"assignment_id": "a4"}), "nobody's"),
        ] {
            let mut market =
                market(json!({"name": "P", "kind": "tiered", "tracking_from": at(60)}));
            market.tell(
                NOW,
                &Call::Redemptions(vec![record("r", "c", more.clone())]),
            );
            for (id, customer, tier, minutes, code) in [
                ("a3", "c", "late", 1, Value::Null),
                ("a2", "c", "coded", 2, json!("C")),
                ("a1", "c", "early", 3, Value::Null),
                ("a4", "d", "other", 4, Value::Null),
            ] {
                let more =
                    json!({"tier_id": tier, "assigned_at": at(minutes), "voucher_code": code});
                market.tell(NOW, &Call::Assignments(vec![record(id, customer, more)]));
            }
            let tiers = market.dashboard("p")["breakdown"]["tier"].clone();
            let redeemed: Vec<&String> = tiers
                .as_object()
                .unwrap()
                .iter()
                .filter(|(_, share)| share["redeemed"] != 0)
                .map(|(tier, _)| tier)
                .collect();
            let expected = json!(tier).to_string();
            let expected: Vec<&String> = if tier == "nobody's" {
                vec![]
            } else {
                vec![&expected]
            };
            assert_eq!(redeemed, expected, "{more}");
        }
    }
}
