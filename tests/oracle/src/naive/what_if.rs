//! What other settings, and other models, would make of the orders of a period (rule 4.5).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::decide::{Candidate, Decision};
use super::facts::{Facts, Order, read_settings};
use super::print;

const WEEK_MS: i64 = 7 * 24 * 3_600_000;

/// All models, in the order in which they are shown.
pub const MODELS: [&str; 6] = [
    "last_sent",
    "last_interaction",
    "linear",
    "first",
    "position_based",
    "time_decay",
];

/// Orders and their amounts by currency.
#[derive(Default)]
struct Sum(u64, BTreeMap<String, i128>);

impl Sum {
    fn add(&mut self, order: &Order, amount: i128) {
        self.0 += 1;
        *self.1.entry(order.currency.clone()).or_default() += amount;
    }

    fn shown(&self) -> Value {
        json!({ "purchases": self.0, "revenue": print::sums(&self.1) })
    }
}

impl Facts {
    /// See `super::what_if`.
    pub fn what_if(&self, settings: &Value, [from, to]: [&str; 2]) -> Value {
        let proposed = read_settings(&super::Version {
            number: 0,
            in_force_from: None,
            settings: settings.clone(),
        });
        let mut orders: Vec<&Order> = self.orders.values().collect();
        orders.retain(|order| self.is_within(order, from, to));
        let decided: Vec<(&Order, Decision<'_>, Decision<'_>)> = orders
            .iter()
            .map(|order| (*order, self.decide(order), self.decide_by(order, &proposed)))
            .collect();

        let now = |campaign: Option<&str>| {
            let mut sum = Sum::default();
            for (order, now, _) in &decided {
                if now.counted && now.credit().map(|one| one.campaign_id) == campaign {
                    sum.add(order, now.amount);
                }
            }
            sum
        };
        let then = |campaign: Option<&str>| {
            let mut sum = Sum::default();
            for (order, _, then) in &decided {
                if then.counted && then.credit().map(|one| one.campaign_id) == campaign {
                    sum.add(order, then.amount);
                }
            }
            sum
        };
        let ids = || self.campaigns.keys().map(String::as_str);
        let mut campaigns = Vec::new();
        for id in ids() {
            let (now, then) = (now(Some(id)), then(Some(id)));
            if now.0 + then.0 > 0 {
                campaigns.push(
                    json!({"campaign_id": id, "current": now.shown(), "proposed": then.shown()}),
                );
            }
        }
        let totals = |of: &dyn Fn(Option<&str>) -> Sum| {
            let uncredited = of(None);
            let (mut credited, mut counted) = (Sum::default(), of(None));
            for id in ids() {
                for (orders, sums) in [
                    (&mut credited.0, &mut credited.1),
                    (&mut counted.0, &mut counted.1),
                ] {
                    let one = of(Some(id));
                    *orders += one.0;
                    for (currency, amount) in one.1 {
                        *sums.entry(currency).or_default() += amount;
                    }
                }
            }
            let mut shown = credited.shown();
            shown["counted"] = counted.shown();
            shown["credited"] = credited.shown();
            shown["uncredited"] = uncredited.shown();
            shown
        };

        let mut moved = Vec::new();
        for (order, now, then) in &decided {
            let (from, to) = (holder(order, now), holder(order, then));
            if from != to {
                moved.push(json!({
                    "order_id": order.order_id, "customer_id": order.customer_id, "currency": order.currency,
                    "from": from, "to": to, "reason": then.reason(), "credited_to": then.credited_to(),
                }));
            }
        }
        let moved_total = moved.len();
        moved.truncate(1_000);

        let counted = decided.iter().filter(|(_, _, then)| then.counted);
        let counted: Vec<(&Order, &Decision<'_>)> =
            counted.map(|(order, _, then)| (*order, then)).collect();
        let models = MODELS.map(|model| {
            let mut campaigns = Vec::new();
            for id in ids() {
                let mut sum = Sum::default();
                for (order, then) in &counted {
                    if let Some(amount) = part(model, order, then, id) {
                        sum.add(order, amount);
                    }
                }
                if sum.0 > 0 {
                    campaigns.push(
                        json!({"campaign_id": id, "revenue": print::sums(&sum.1), "orders": sum.0}),
                    );
                }
            }
            json!({"model": model, "campaigns": campaigns})
        });
        json!({
            "orders": orders.len(), "current": totals(&now), "proposed": totals(&then), "campaigns": campaigns,
            "moved": moved, "moved_total": moved_total, "models": models,
        })
    }
}

/// The campaign that has the counted amount, and the amount.
fn holder(order: &Order, decision: &Decision<'_>) -> Value {
    match decision.credit() {
        Some(credit) if decision.counted => json!({
            "campaign_id": credit.campaign_id,
            "amount": print::money(decision.amount, &order.currency),
        }),
        _ => Value::Null,
    }
}

/// What a model gives a campaign of an order; none where it has no part in it.
fn part(model: &str, order: &Order, decision: &Decision<'_>, campaign: &str) -> Option<i128> {
    let mut touches = decision.eligible();
    let at = |touch: &Candidate<'_>| touch.touch.unwrap().1;
    touches.sort_by_key(|one| {
        let ids = (one.campaign_id, one.message_id, one.channel);
        (at(one), one.sent_at, ids)
    });
    let sent_last = touches.iter().max_by_key(|one| {
        (
            one.sent_at,
            at(one),
            one.campaign_id,
            one.message_id,
            one.channel,
        )
    });
    let place_of_sent_last = touches
        .iter()
        .position(|one| sent_last.is_some_and(|last| std::ptr::eq(*one, *last)));
    let count = touches.len();
    let mut weights = Vec::new();
    for (place, touch) in touches.iter().enumerate() {
        weights.push(match model {
            "linear" => 1,
            "first" => u128::from(place == 0),
            "last_interaction" => u128::from(place == count - 1),
            "last_sent" => u128::from(Some(place) == place_of_sent_last),
            "position_based" if count < 3 => 1,
            // 40 % and 40 %, and 20 % for all between.
            "position_based" if place == 0 || place == count - 1 => 40 * (count as u128 - 2),
            "position_based" => 20,
            "time_decay" => decay(order.placed_at - at(touch)),
            other => panic!("unknown model {other}"),
        });
    }
    let shares = shares(decision.amount as u128, &order.currency, &weights);
    let mut has_part = false;
    let mut amount = 0;
    for ((touch, share), weight) in touches.iter().zip(shares).zip(weights) {
        if touch.campaign_id == campaign && weight > 0 {
            has_part = true;
            amount += share as i128;
        }
    }
    has_part.then_some(amount)
}

/// Cut to the minor unit; the rest by largest remainder, ties to the later.
fn shares(amount: u128, currency: &str, weights: &[u128]) -> Vec<u128> {
    let unit = 10_u128.pow(6 - print::minor_digits(currency));
    let all: u128 = weights.iter().sum();
    let mut shares = Vec::new();
    let mut remainders = BTreeSet::new();
    for (place, weight) in weights.iter().enumerate() {
        // Digit by digit, as on paper.
        let (mut micros, mut rest) = (0, 0);
        for digit in amount.to_string().bytes() {
            rest = rest * 10 + u128::from(digit - b'0') * weight;
            micros = micros * 10 + rest / all;
            rest %= all;
        }
        remainders.insert((micros % unit, rest, place));
        shares.push(micros / unit * unit);
    }
    let mut left = amount - shares.iter().sum::<u128>();
    while left > 0 && !shares.is_empty() {
        let (_, _, place) = remainders.pop_last().unwrap();
        shares[place] += left.min(unit);
        left -= left.min(unit);
    }
    shares
}

const ONE: u128 = 10_u128.pow(30);
const HALF: u128 = 10_u128.pow(15);

/// Both are decimals of 30 digits below 1, or 1.
fn times(a: u128, b: u128) -> u128 {
    let (a1, a0, b1, b0) = (a / HALF, a % HALF, b / HALF, b % HALF);
    a1 * b1 + (a1 * b0 + a0 * b1 + a0 * b0 / HALF) / HALF
}

/// 2^(−age / 7 d) to 12 significant digits, half-even, in units of 10^-28.
fn decay(age: i64) -> u128 {
    // ln 2, of which the 31st digit is a 1.
    let ln_2 = 693_147_180_559_945_309_417_232_121_458;
    let part_of_week = ONE / WEEK_MS as u128 * (age % WEEK_MS) as u128
        + ONE % WEEK_MS as u128 * (age % WEEK_MS) as u128 / WEEK_MS as u128;
    let x = times(ln_2, part_of_week);
    // e^-x = 1 - x + x^2/2! - x^3/3! …
    let (mut plus, mut minus, mut term) = (0, 0, ONE);
    let mut n = 0;
    while term > 0 {
        *(if n % 2 == 0 { &mut plus } else { &mut minus }) += term;
        n += 1;
        term = times(term, x) / n;
    }
    let mut weight = plus - minus;
    let mut tens = 0;
    for _ in 0..age / WEEK_MS {
        weight /= 2;
        if weight < ONE / 10 {
            weight *= 10;
            tens += 1;
        }
    }
    let cut = 10_u128.pow(18);
    let (below, rest) = (weight / cut, weight % cut);
    let up = rest > cut / 2 || (rest == cut / 2 && below % 2 == 1);
    (below + u128::from(up)) * 10_u128.pow(16 - tens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_halve_every_week() {
        for (age, expect) in [
            (0, "1"),
            (WEEK_MS, "0.5"),
            (4 * WEEK_MS, "0.0625"),
            (WEEK_MS / 2, "0.707106781187"),
            (30 * 24 * 3_600_000, "0.0512709597505"),
        ] {
            let (whole, digits) = expect.split_once('.').unwrap_or((expect, ""));
            let expect: u128 = format!("{whole}{digits:0<28}").parse().unwrap();
            assert_eq!(decay(age), expect, "{age}");
        }
    }

    #[test]
    fn shares_are_of_whole_minor_units() {
        for (amount, currency, weights, expect) in [
            (
                10_000_000,
                "USD",
                vec![1, 1, 1],
                vec![3_330_000, 3_330_000, 3_340_000],
            ),
            (
                10_000_000,
                "JPY",
                vec![1, 1, 1],
                vec![3_000_000, 3_000_000, 4_000_000],
            ),
            (
                10_001_000,
                "USD",
                vec![1, 1, 1],
                vec![3_330_000, 3_331_000, 3_340_000],
            ),
            (20_000, "USD", vec![2, 1, 1], vec![10_000, 0, 10_000]),
        ] {
            assert_eq!(
                shares(amount, currency, &weights),
                expect,
                "{amount} {weights:?}"
            );
        }
    }
}
