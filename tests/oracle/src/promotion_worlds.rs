//! Random small worlds of promotions: one call after the other, each drawn with a look at what stands, so that limits are met,
//! copies and conflicts are of what is known, and nothing is asked that the specification leaves open.

use serde_json::{Map, Value, json};

use crate::naive::print;
use crate::naive_promotions::{Answer, Call, Market};
use crate::worlds::{self, CAMPAIGNS, CUSTOMERS, DAY_MS, HOUR_MS, MINUTE_MS, NOW_MS, Rng};

const CODES: [&str; 6] = ["SAVE10", "save10", "SAVE10#1", "A/B", "ü 1", "%41"];
const SEGMENTS: [&str; 3] = ["vip", "VIP", "new / back"];
const TIERS: [&str; 3] = ["gold", "gold#2", "0"];
const ORDERS: [&str; 4] = ["o", "o#1", "o/1", "ö"];
/// Half a day and a day apart: what happens at one instant is of different days.
const ZONES: [&str; 4] = [
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Asia/Kathmandu",
    "America/New_York",
];
const STATUSES: [&str; 6] = [
    "PENDING",
    "COMPLETE",
    "DELIVERED",
    "READY",
    "CANCELLED",
    "REFUNDED",
];
const REWARDS: [&str; 5] = ["5.00", "2.5", "0.01", "7", "4.999999"];

/// A call, when it is made, and what it is answered.
#[derive(Clone, Debug)]
pub struct Step {
    /// The receiver's clock, in milliseconds.
    pub now: i64,
    /// What is called.
    pub call: Call,
    /// What the naive implementation answers.
    pub answer: Answer,
}

/// A promotion as the world wants it, made early, late or never.
struct Plan {
    id: &'static str,
    body: Value,
    appears: usize,
}

/// Draws one call after the other.
pub struct Teller {
    rng: Rng,
    now: i64,
    step: usize,
    steps: usize,
    customers: Vec<&'static str>,
    plans: Vec<Plan>,
    made: usize,
    orders: Vec<Value>,
    assignments: Vec<Value>,
    redemptions: Vec<Value>,
    redeems: Vec<(Option<String>, String, Value)>,
    rollbacks: Vec<(String, Value)>,
    /// What the world is now, as the naive implementation has it.
    pub market: Market,
    /// The first settings.
    pub settings: Value,
}

fn instant(at: i64) -> Value {
    print::instant(at)
}

fn settings(rng: &mut Rng) -> Value {
    let mut settings = worlds::settings(rng, Some(30 * DAY_MS));
    settings["timezone"] = json!(rng.pick(&ZONES));
    settings["enabled"] = json!(true);
    if rng.chance(60) {
        settings["currency"] = Value::Null;
        settings["counted_statuses"] = json!(["COMPLETE", "DELIVERED", "REFUNDED"]);
    }
    settings
}

fn promotion(rng: &mut Rng, start: i64) -> Value {
    let mut body = Map::new();
    let kind = *rng.pick(&["global", "tiered", "personalised"]);
    let of = *rng.pick(&["amount", "amount", "amount", "percent", "unit", "gift"]);
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("name", json!(format!("{kind} of {of}")));
    set("kind", json!(kind));
    set("type", json!(of));
    set("value", json!(rng.pick(&["5.00", "10", "2.5"])));
    if of == "amount" || rng.chance(40) {
        set("currency", json!(rng.pick(&["EUR", "EUR", "JPY"])));
    }
    if rng.chance(60) {
        set("redemption_limit", json!(1 + rng.below(3)));
    }
    if rng.chance(40) {
        set("limit_per_customer", json!(1 + rng.below(3)));
    }
    if kind == "tiered" {
        let values = [json!("7.5"), json!("1"), Value::Null, Value::Null];
        let mut tier = |id: &&str| json!({"tier_id": id, "name": id, "value": rng.pick(&values)});
        let tiers: Vec<Value> = TIERS.iter().map(&mut tier).collect();
        set("tiers", json!(tiers));
    }
    if rng.chance(35) {
        set("starts_at", instant(start + rng.below(20) as i64 * HOUR_MS));
    }
    if rng.chance(35) {
        set(
            "ends_at",
            instant(start + (21 + rng.below(20) as i64) * HOUR_MS),
        );
    }
    if rng.chance(50) {
        set(
            "tracking_from",
            instant(start - rng.below(72) as i64 * HOUR_MS),
        );
    }
    if rng.chance(60) {
        set("cap", json!(1 + rng.below(6)));
    }
    if rng.chance(60) {
        let amount = *rng.pick(&["10.00", "12.5", "20", "5.01"]);
        let currency = *rng.pick(&["EUR", "EUR", "EUR", "USD"]);
        set("budget", json!({"amount": amount, "currency": currency}));
    }
    Value::Object(body)
}

impl Teller {
    /// The world of a seed, before its first call.
    pub fn new(seed: u64) -> Teller {
        let mut rng = Rng::new(seed);
        let first = settings(&mut rng);
        let start = NOW_MS - 6 * DAY_MS + rng.below(24) as i64 * HOUR_MS;
        let steps = 30 + rng.below(40);
        let count = 1 + rng.below(3);
        let plans = rng.some(&CAMPAIGNS, count).into_iter().map(|id| Plan {
            id,
            body: promotion(&mut rng, start),
            appears: *rng.pick(&[0, 0, 1, 10, 25, 1_000]),
        });
        let plans = plans.collect();
        let customers = 2 + rng.below(3);
        Teller {
            customers: rng.some(&CUSTOMERS, customers),
            plans,
            rng,
            now: start,
            step: 0,
            steps,
            made: 0,
            orders: Vec::new(),
            assignments: Vec::new(),
            redemptions: Vec::new(),
            redeems: Vec::new(),
            rollbacks: Vec::new(),
            market: Market::new(first.clone()),
            settings: first,
        }
    }

    /// When the world begins.
    pub fn start(&self) -> i64 {
        self.now
    }

    /// The next call and its answer; none at the end.
    pub fn draw(&mut self) -> Option<Step> {
        if self.step == self.steps {
            return None;
        }
        let call = self.call();
        self.step += 1;
        let now = self.now;
        let answer = self.market.tell(now, &call);
        let on = *self
            .rng
            .pick(&[1, 1, MINUTE_MS, 7 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS]);
        self.now += on;
        Some(Step { now, call, answer })
    }

    fn call(&mut self) -> Call {
        // Before the first order, settings would replace each other.
        if self.step == 0 {
            return Call::Orders(vec![self.order("~first")]);
        }
        let step = self.step;
        let due = |plan: &&Plan| plan.appears < step && !self.market.knows(plan.id);
        if let Some(plan) = self.plans.iter().find(due) {
            return Call::Promotion(plan.id.to_owned(), plan.body.clone());
        }
        loop {
            let call = match self.rng.below(100) {
                0..28 => Some(self.redemptions()),
                28..43 => Some(self.assignments()),
                43..64 => self.redeem(),
                64..72 => self.rollback(),
                72..80 => self.vouchers(),
                80..84 => self.change_promotion(),
                84..91 => {
                    let id = *self.rng.pick(&ORDERS);
                    Some(Call::Orders(vec![self.order(id)]))
                }
                91..97 => Some(self.events()),
                _ => Some(Call::Settings(settings(&mut self.rng))),
            };
            if let Some(call) = call {
                return call;
            }
        }
    }

    fn id(&mut self, of: &str) -> String {
        self.made += 1;
        format!("{of}{}{}", self.made, self.rng.pick(&["", "#", "/é"]))
    }

    fn customer(&mut self) -> &'static str {
        self.rng.pick::<&'static str>(&self.customers)
    }

    /// One of the promotions, there or not; where it is not, its body is known all the same.
    fn plan(&mut self) -> (&'static str, Value) {
        let plan = self.rng.pick(&self.plans);
        (plan.id, plan.body.clone())
    }

    fn code(&mut self) -> &'static str {
        self.rng.pick::<&'static str>(&CODES[..4])
    }

    /// An order or a later state of it.
    fn order(&mut self, id: &str) -> Value {
        let rng = &mut self.rng;
        let known = self.orders.iter().find(|order| order["order_id"] == id);
        let mut order = known.cloned().unwrap_or_else(|| {
            let ahead = *rng.pick(&[-DAY_MS, -HOUR_MS, 0, 9 * MINUTE_MS]);
            json!({
                "order_id": id, "customer_id": rng.pick(&self.customers), "placed_at": instant(self.now + ahead),
                "total": rng.pick(&["10.00", "25", "99.999"]), "currency": rng.pick(&["EUR", "EUR", "USD", "JPY"]),
            })
        });
        order["status"] = json!(rng.pick(&STATUSES));
        if rng.chance(50) {
            order["refunded_total"] = json!(rng.pick(&["0", "3.50", "10.00"]));
        }
        order["updated_at"] = instant(self.now);
        self.orders.retain(|known| known["order_id"] != id);
        self.orders.push(order.clone());
        order
    }

    fn events(&mut self) -> Call {
        let (promotion, _) = self.plan();
        let message = self.rng.below(6);
        let customer = self.customers[message % self.customers.len()];
        let kind = *self
            .rng
            .pick(&["sent", "delivered", "bounced", "failed", "opened"]);
        let mut event = json!({
            "event_id": self.id("e"), "kind": kind, "channel": "email", "campaign_id": "mail", "customer_id": customer,
            "message_id": format!("{promotion} {message}"), "occurred_at": instant(self.now),
            "promotion_id": promotion,
        });
        if self.rng.chance(80) {
            event["voucher_code"] = json!(CODES[message]);
        }
        Call::Events(vec![event])
    }

    /// Around now, often at an edge of the promotion, rarely not to be accepted.
    fn time(&mut self, body: &Value) -> i64 {
        let mut edges: Vec<i64> = vec![self.now, self.now - HOUR_MS];
        for name in ["starts_at", "ends_at", "tracking_from"] {
            let edge = body[name].as_str().map(crate::naive::facts::instant);
            edges.extend(edge.filter(|edge| *edge < self.now));
        }
        match self.rng.below(40) {
            0 => self.now - 90 * DAY_MS - 1,
            1 => self.now + 10 * MINUTE_MS + 1,
            2 => self.now + 10 * MINUTE_MS,
            3..20 => *self.rng.pick(&edges) + *self.rng.pick(&[0, 0, -1, 1]),
            _ => self.now - self.rng.below(72) as i64 * HOUR_MS,
        }
    }

    fn records(
        &mut self,
        drawn: impl Fn(&mut Teller) -> Value,
        known: fn(&mut Teller) -> &mut Vec<Value>,
        own: Option<Value>,
    ) -> Vec<Value> {
        let count = *self.rng.pick(&[1, 1, 2, 4]);
        let mut records = Vec::new();
        records.extend(own);
        for _ in 0..count {
            let copy = self.rng.chance(15) && !known(self).is_empty();
            let record = if copy {
                let list = known(self).clone();
                let record = self.rng.pick(&list).clone();
                if self.rng.chance(60) {
                    record
                } else {
                    self.other(record)
                }
            } else {
                let record = drawn(self);
                known(self).push(record.clone());
                record
            };
            records.push(record);
        }
        if self.rng.chance(4) {
            let mut bad = drawn(self);
            let name = *self.rng.pick(&["promotion_id", "customer_id"]);
            bad.as_object_mut().unwrap_or(&mut Map::new()).remove(name);
            records.push(bad);
        }
        records
    }

    /// The same id with another content, with more of it, or with less.
    fn other(&mut self, mut record: Value) -> Value {
        match self.rng.below(9) {
            0 => record["customer_id"] = json!("somebody else"),
            1 => record["voucher_code"] = json!("ANOTHER"),
            2 => record["tier_id"] = json!(self.rng.pick(&TIERS)),
            3 if record["order_id"].is_null() => record["order_id"] = json!("o"),
            4 => drop(
                record
                    .as_object_mut()
                    .and_then(|fields| fields.remove("voucher_code")),
            ),
            5 => drop(
                record
                    .as_object_mut()
                    .and_then(|fields| fields.remove("redeemed_at")),
            ),
            6 if record["assignment_id"].is_null() => record["redeemed_at"] = instant(self.now),
            // A mended promotion id: there or not.
            7 => record["promotion_id"] = json!(self.plan().0),
            _ if record["result"] == "failure" => record["result"] = json!("success"),
            _ => record["result"] = json!("failure"),
        }
        record
    }

    fn assignments(&mut self) -> Call {
        let drawn = |teller: &mut Teller| {
            let (promotion, body) = teller.plan();
            let mut record = json!({
                "assignment_id": teller.id("a"), "promotion_id": promotion, "customer_id": teller.customer(),
            });
            let rng = &mut teller.rng;
            if !body["tiers"].is_null() && rng.chance(80) {
                record["tier_id"] = json!(rng.pick(&TIERS));
            }
            if rng.chance(50) {
                record["segment"] = json!(rng.pick(&SEGMENTS));
            }
            if rng.chance(60) {
                record["voucher_code"] = json!(rng.pick(&CODES[..4]));
            }
            if rng.chance(15) {
                record["result"] = json!("failure");
            }
            if rng.chance(30) {
                record["channel"] = json!(rng.pick(&["manual", "api"]));
            }
            if rng.chance(70) {
                record["assigned_at"] = instant(teller.time(&body));
            }
            record
        };
        Call::Assignments(self.records(drawn, |teller| &mut teller.assignments, None))
    }

    fn redemptions(&mut self) -> Call {
        let drawn = |teller: &mut Teller| {
            let (promotion, body) = teller.plan();
            let mut record = json!({
                "redemption_id": teller.id("r"), "promotion_id": promotion, "customer_id": teller.customer(),
            });
            if teller.rng.chance(70) {
                record["voucher_code"] = json!(teller.code());
            }
            if teller.rng.chance(25) {
                // One that was made, or that will be.
                let next = json!(format!("a{}", teller.made + 1 + teller.rng.below(3)));
                let known: Vec<Value> = teller
                    .assignments
                    .iter()
                    .map(|known| known["assignment_id"].clone())
                    .chain([next])
                    .collect();
                record["assignment_id"] = teller.rng.pick(&known).clone();
            }
            if teller.rng.chance(50) {
                record["order_id"] = json!(teller.rng.pick(&ORDERS));
            }
            if teller.rng.chance(75) {
                record["redeemed_at"] = instant(teller.time(&body));
            }
            if teller.rng.chance(15) {
                record["result"] = json!("failure");
                record["failure_code"] = json!("till_said_no");
            } else if teller.rng.chance(60) {
                // What waits in quarantine is taken in whatever the promotion says of currencies.
                let known = teller.market.knows(promotion);
                teller.reward(&mut record, !known);
            }
            record
        };
        let own = self.rng.chance(25).then(|| self.own_export()).flatten();
        let records = self.records(drawn, |teller| &mut teller.redemptions, own);
        // Nor can what was redeemed before an explicit `tracking_from` wait for it.
        let early = |record: &Value| {
            let plan = self
                .plans
                .iter()
                .find(|plan| record["promotion_id"] == plan.id);
            let Some(from) = plan
                .filter(|plan| !self.market.knows(plan.id))
                .map(|plan| &plan.body["tracking_from"])
            else {
                return false;
            };
            record["redeemed_at"].as_str() < from.as_str() && record["redeemed_at"].is_string()
        };
        let (early, rest): (Vec<Value>, Vec<Value>) = records.into_iter().partition(early);
        self.redemptions.retain(|known| !early.contains(known));
        Call::Redemptions(if rest.is_empty() {
            vec![json!({"redemption_id": self.id("r")})]
        } else {
            rest
        })
    }

    /// A redemption as we show it, sent back, or told by a till that has a clock and words of its own.
    fn own_export(&mut self) -> Option<Value> {
        let shown = self.market.exported();
        let mut record = (!shown.is_empty()).then(|| self.rng.pick(&shown).clone())?;
        match self.rng.below(6) {
            0 => record["redeemed_at"] = instant(self.now - self.rng.below(60) as i64 * MINUTE_MS),
            1 => record["result"] = json!(self.rng.pick(&["success", "failure", "rolled_back"])),
            2 => record["redemption_id"] = json!(self.id("n")),
            3 => record = self.other(record),
            _ => {}
        }
        Some(record)
    }

    fn reward(&mut self, record: &mut Value, with_currency: bool) {
        record["reward_amount"] = json!(self.rng.pick(&REWARDS));
        if with_currency || self.rng.chance(40) {
            record["currency"] = json!(self.rng.pick(&["EUR", "EUR", "USD"]));
        }
    }

    fn redeem(&mut self) -> Option<Call> {
        if self.rng.chance(20) && !self.redeems.is_empty() {
            let (promotion, code, mut body) = self.rng.pick(&self.redeems).clone();
            if self.rng.chance(25) {
                body["customer_id"] = json!("somebody else");
            }
            return Some(Call::Redeem(promotion, code, body));
        }
        let (promotion, _) = self.plan();
        let mut body = json!({"redemption_id": self.id("x"), "customer_id": self.customer()});
        if self.rng.chance(40) {
            body["order_id"] = json!(self.rng.pick(&ORDERS));
        }
        if self.rng.chance(60) {
            self.reward(&mut body, false);
        }
        let code = self.code().to_owned();
        let named = self.rng.chance(80).then(|| promotion.to_owned());
        // Redeemed before the promotion is tracked: the specification has no reason for it.
        self.redeems
            .push((named.clone(), code.clone(), body.clone()));
        Some(Call::Redeem(named, code, body))
    }

    fn rollback(&mut self) -> Option<Call> {
        if self.rng.chance(25) && !self.rollbacks.is_empty() {
            let (mut id, mut body) = self.rng.pick(&self.rollbacks).clone();
            match self.rng.below(5) {
                0 => body["rollback_id"] = json!(self.id("b")),
                1 => body["reason"] = json!("another reason"),
                2 => id.clone_from(&self.rng.pick(&self.rollbacks).0),
                _ => {}
            }
            return Some(Call::Rollback(id, body));
        }
        let reported = self.redemptions.iter().map(|known| &known["redemption_id"]);
        let redeemed = self
            .redeems
            .iter()
            .map(|(_, _, body)| &body["redemption_id"]);
        let nothing = json!("nothing");
        let ids: Vec<&Value> = reported.chain(redeemed).chain([&nothing]).collect();
        let id = self.rng.pick(&ids).as_str()?.to_owned();
        // the specification does not say what a rollback of what waits in quarantine is.
        if self.market.waits(&id) {
            return None;
        }
        let body = json!({"rollback_id": self.id("b"), "reason": "came back"});
        self.rollbacks.push((id.clone(), body.clone()));
        Some(Call::Rollback(id, body))
    }

    fn vouchers(&mut self) -> Option<Call> {
        let (promotion, _) = self.plan();
        if self.rng.chance(35) {
            let limit = 1 + self.rng.below(3) as u64;
            let (code, disabled) = (self.code().to_owned(), self.rng.chance(50));
            return Some(Call::Voucher(
                promotion.to_owned(),
                code,
                disabled,
                Some(limit),
            ));
        }
        let count = 1 + self.rng.below(3);
        let mut codes = self.rng.some(&CODES[..4], count);
        if self.rng.chance(10) {
            codes.push(codes[0]);
        }
        let limit = self.rng.chance(50).then(|| 1 + self.rng.below(3) as u64);
        let codes = codes.into_iter().map(str::to_owned).collect();
        Some(Call::Vouchers(promotion.to_owned(), codes, limit))
    }

    /// Budget, cap and limit change while it runs.
    fn change_promotion(&mut self) -> Option<Call> {
        let (id, mut body) = self.plan();
        if !self.market.knows(id) {
            return None;
        }
        body.as_object_mut()?.remove("tracking_from");
        if self.rng.chance(15) {
            let wrong = self.rng.below(4);
            let (field, value) = [
                ("redemtion_limit", json!(1)),
                ("value", json!("100.000001")),
                ("value", json!("0")),
                ("currency", Value::Null),
            ][wrong]
                .clone();
            if wrong == 1 {
                body["type"] = json!("percent");
            } else if wrong > 1 {
                body["type"] = json!("amount");
            }
            if wrong == 3 {
                body["budget"] = Value::Null;
            }
            body[field] = value;
            return Some(Call::Promotion(id.to_owned(), body));
        }
        match self.rng.below(7) {
            0 => body["cap"] = json!(1 + self.rng.below(8)),
            1 => drop(body.as_object_mut()?.remove("cap")),
            2 if !body["budget"].is_null() => {
                body["budget"]["amount"] = json!(self.rng.pick(&["1.00", "15", "40.00"]));
            }
            2 => body["budget"] = json!({"amount": "10.00", "currency": "EUR"}),
            3 => body["limit_per_customer"] = json!(1 + self.rng.below(4)),
            4 => body["limit_per_customer"] = Value::Null,
            5 => {
                body["starts_at"] = instant(self.now - self.rng.below(30) as i64 * HOUR_MS);
                body["ends_at"] = instant(self.now + self.rng.below(3) as i64 * HOUR_MS);
            }
            _ => body["redemption_limit"] = json!(1 + self.rng.below(3)),
        }
        let plan = self.plans.iter_mut().find(|plan| plan.id == id)?;
        plan.body = body.clone();
        Some(Call::Promotion(id.to_owned(), body))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every text in an answer that names an outcome, and every name of a figure that is not nothing.
    fn names(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => drop(found.insert(text.clone())),
            Value::Array(values) => values.iter().for_each(|value| names(value, found)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    if !value.is_null() && *value != json!(0) {
                        found.insert(name.clone());
                    }
                    names(value, found);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn worlds_meet_every_outcome() {
        let mut found = BTreeSet::new();
        for seed in 0..150 {
            let mut world = Teller::new(seed);
            while let Some(step) = world.draw() {
                found.insert(step.answer.0.to_string());
                names(&step.answer.1, &mut found);
            }
            for id in world.market.promotions() {
                names(&world.market.row(id), &mut found);
                names(&world.market.redemptions(id), &mut found);
                names(&world.market.dashboard(id), &mut found);
            }
        }
        let all = "200 201 202 404 409 422 accepted duplicates quarantined rejected conflict missing too_old in_future before_tracking \
            created existing voucher_not_found voucher_disabled wrong_customer not_started expired limit_reached cap_reached \
            budget_reached customer_limit_reached ambiguous_code not_a_success already_rolled_back rolled_back unknown_voucher \
            over_limit over_cap over_budget over_customer_limit outside_timeframe unknown_assignment reward_not_told other_currency \
            other_customers_order unknown_field unknown_value redemption_rate 0.0000 budget cap result worst_case delivered failed EUR USD JPY";
        let missing: Vec<&str> = all
            .split_whitespace()
            .filter(|name| !found.contains(*name))
            .collect();
        assert!(missing.is_empty(), "no world meets {missing:?}");
    }
}
