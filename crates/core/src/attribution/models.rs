//! Other models of attribution (rule 4.5): how an order's amount is shared out among the messages that passed the gates. They are
//! shown beside a look ahead. No figure is made of them.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::attribution::campaign::CampaignIx;
use crate::attribution::decide::Credit;
use crate::attribution::settings::Winner;
use crate::value::money::{Currency, Money};
use crate::value::time::{DAY_MS, Instant};

/// How an order is shared out. *First* and *last* are by the order of the touches: the time of the touch, then the time of the
/// send, the campaign, the message, and the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// The message that was sent last takes all.
    LastSent,
    /// The message that was touched last takes all.
    LastInteraction,
    /// Each message takes the same part.
    Linear,
    /// The message that was touched first takes all.
    First,
    /// The first and the last message take 40 % each, and those between share 20 %. Of two messages, each takes a half.
    PositionBased,
    /// A message takes half of what it would have taken if it had been touched a week later.
    TimeDecay,
}

impl Model {
    /// All models.
    pub const ALL: [Self; 6] = [
        Self::LastSent,
        Self::LastInteraction,
        Self::Linear,
        Self::First,
        Self::PositionBased,
        Self::TimeDecay,
    ];

    /// Shares an order out among the messages that passed the gates. A message that has no part in the model is left out, while
    /// a part may round to an amount of 0. The shares sum to `amount` exactly, unless there is no message.
    pub fn shares(
        self,
        touches: &Touches<'_>,
        amount: Money,
        currency: Currency,
    ) -> Vec<(CampaignIx, Money)> {
        let all = &touches.sorted;
        let weights = match self {
            Self::First => return whole(all.first(), amount),
            Self::LastInteraction => return whole(all.last(), amount),
            Self::LastSent => {
                let sent = |a: &&Credit<'_>, b: &&Credit<'_>| {
                    a.rank(Winner::LastSent).cmp(&b.rank(Winner::LastSent))
                };
                return whole(all.iter().max_by(sent), amount);
            }
            Self::PositionBased if all.len() > 2 => {
                // Of five parts for each message between, the first and the last take two, and that message takes one.
                let between = all.len() as u128 - 2;
                let mut weights = vec![1; all.len()];
                (weights[0], weights[all.len() - 1]) = (2 * between, 2 * between);
                weights
            }
            Self::Linear | Self::PositionBased => vec![1; all.len()],
            Self::TimeDecay => {
                let placed_at = touches.placed_at.ms();
                let ages = all.iter().map(|one| placed_at.abs_diff(one.touch.at.ms()));
                on_one_scale(ages.map(decayed).collect())
            }
        };
        let campaigns = all.iter().map(|touch| touch.message.campaign);
        campaigns
            .zip(share_out(amount, currency, &weights))
            .collect()
    }
}

/// The messages that passed the gates of an order, in the order of their touches: by the time of the touch, then by the time of the
/// send, the campaign, the message, and the channel. All models share the order out among them.
#[derive(Debug)]
pub struct Touches<'a> {
    placed_at: Instant,
    sorted: Vec<Credit<'a>>,
}

impl<'a> Touches<'a> {
    /// Sorts the messages that passed the gates of an order that was placed at this instant.
    pub fn new(placed_at: Instant, mut eligible: Vec<Credit<'a>>) -> Self {
        eligible.sort_by(|a, b| {
            a.rank(Winner::LastInteraction)
                .cmp(&b.rank(Winner::LastInteraction))
        });
        Self {
            placed_at,
            sorted: eligible,
        }
    }
}

/// The shares of a model that gives everything to one message.
fn whole(winner: Option<&Credit<'_>>, amount: Money) -> Vec<(CampaignIx, Money)> {
    let winner = winner.into_iter();
    winner
        .map(|touch| (touch.message.campaign, amount))
        .collect()
}

/// Cuts shares in proportion to the weights to the currency's minor unit, and gives the rest away unit by unit: first to the
/// share of which most was cut off, and of equal ones to the later. Where the amount has more digits than the minor unit, the last
/// piece that is given away is smaller than a unit. So the shares sum to the amount exactly.
fn share_out(amount: Money, currency: Currency, weights: &[u128]) -> Vec<Money> {
    let unit = 10_u128.pow(6 - currency.minor_digits().min(6));
    let total = amount.micros().unsigned_abs();
    let sum: u128 = weights.iter().sum();
    let mut left = total;
    let mut shares = Vec::with_capacity(weights.len());
    let mut cut_off = Vec::with_capacity(weights.len());
    for (i, weight) in weights.iter().enumerate() {
        let (micros, rest) = times_over(total, *weight, sum);
        let beyond = micros % unit;
        shares.push(micros - beyond);
        left -= micros - beyond;
        cut_off.push((beyond, rest, i));
    }
    cut_off.sort_unstable();
    for (_, _, i) in cut_off.into_iter().rev() {
        let piece = left.min(unit);
        shares[i] += piece;
        left -= piece;
    }
    let money = |micros: u128| Money::of_micros(micros as i128).unwrap_or_default();
    shares.into_iter().map(money).collect()
}

/// `amount · weight / sum` and the remainder, where the product may be too large to be held. `weight` is at most `sum`, and three
/// times `sum` can be held.
fn times_over(amount: u128, weight: u128, sum: u128) -> (u128, u128) {
    if let Some(product) = amount.checked_mul(weight) {
        let quotient = product / sum;
        return (quotient, product - quotient * sum);
    }
    // A long division that takes the amount bit by bit.
    let (mut quotient, mut rest) = (0, 0);
    for bit in (0..u128::BITS - amount.leading_zeros()).rev() {
        rest = 2 * rest + (amount >> bit & 1) * weight;
        quotient = 2 * quotient + rest / sum;
        rest %= sum;
    }
    (quotient, rest)
}

/// The age at which a touch has half of its weight, in milliseconds.
const HALF_LIFE_MS: u64 = 7 * DAY_MS as u64;
/// The significant digits of a weight.
const DIGITS: u32 = 12;
/// 1, where fractions are counted in 2^-124. So ten times a number below 1 can be held.
const ONE: u128 = 1 << 124;
/// The natural logarithm of 2, in 2^-128.
const LN_2: u128 = 0xB172_17F7_D1CF_79AB_C9E3_B398_03F2_F6AF;
/// The terms of the exponential series: the next one, ln(2)^31 / 31!, is below 2^-124.
const TERMS: u128 = 30;
/// By how many powers of ten a weight may be below the greatest before its last digits are cut: what is cut cannot move a
/// millionth of the greatest amount.
const SCALE_MAX: u32 = 18;

/// The part of an age that is no whole half-life is put together from three: so many times 2^20 ms, 2^10 ms, and 1 ms. Each has the
/// weights of its multiples here. An order asks for several weights, and their series would cost as much as all else about it.
static WEIGHTS: LazyLock<[Vec<u128>; 3]> = LazyLock::new(|| {
    SHIFTS.map(|shift| {
        let multiples = (0..=MULTIPLE).map(|n| n << shift);
        let within = multiples.take_while(|rest| *rest < HALF_LIFE_MS);
        within.map(series).collect()
    })
});
/// How many bits stand below each of the three multiples.
const SHIFTS: [u32; 3] = [20, 10, 0];
/// The bits of a multiple.
const MULTIPLE: u64 = (1 << 10) - 1;

/// 2^(−age / 7 days) as (digits, exponent): the weight is digits · 10^−exponent, where digits has 12 decimal digits, rounded
/// half-even.
///
/// The whole half-lives are halvings. For the rest, three weights are multiplied that are off by less than 2^-119 each, see [`series`],
/// and a product is off by less than 2^-123 more: all of them together are off by less than 2^-117, or 10^-35. A week has 604,800,000
/// milliseconds, so the nearest that such a weight comes to the middle between two numbers of 12 digits is about 10^-21. The rounding is
/// therefore that of the exact number.
fn decayed(age_ms: u64) -> (u128, u32) {
    let rest = age_ms % HALF_LIFE_MS;
    let parts = WEIGHTS.iter().zip(SHIFTS);
    let parts = parts.map(|(weights, shift)| weights[(rest >> shift & MULTIPLE) as usize]);
    let mut weight = parts.fold(ONE, product);
    let mut exponent = DIGITS;
    for _ in 0..age_ms / HALF_LIFE_MS {
        weight /= 2;
        if weight < ONE / 10 {
            weight *= 10;
            exponent += 1;
        }
    }
    let mut digits = 0;
    for _ in 0..DIGITS {
        weight *= 10;
        digits = digits * 10 + weight / ONE;
        weight %= ONE;
    }
    let up = weight > ONE / 2 || (weight == ONE / 2 && digits % 2 == 1);
    (digits + u128::from(up), exponent)
}

/// 2^(−rest / 7 days) in fractions of 2^124, for a rest below a half-life.
///
/// 2^−r = 1 − x(1 − x/2(1 − x/3(…))) with x = r · ln 2. Every step is off by at most 5 units, and a step is multiplied by x/n, which is
/// below 0.7, so all of them together are off by less than 2^-119.
fn series(rest_ms: u64) -> u128 {
    let (half_life, rest) = (u128::from(HALF_LIFE_MS), u128::from(rest_ms));
    let x = LN_2 / half_life * rest + LN_2 % half_life * rest / half_life;
    (1..=TERMS)
        .rev()
        .fold(ONE, |inner, n| ONE - times_fraction(inner, x) / n)
}

/// The two halves of a number.
fn halves(n: u128) -> (u128, u128) {
    (n >> 64, n & u128::from(u64::MAX))
}

/// `a` times a fraction that is counted in 2^-128. The result is too small by less than 3.
fn times_fraction(a: u128, fraction: u128) -> u128 {
    let ((a1, a0), (b1, b0)) = (halves(a), halves(fraction));
    a1 * b1 + ((a1 * b0) >> 64) + ((a0 * b1) >> 64)
}

/// The product of two fractions of at most 1, in units of 2^-124 as they are. The result is too small by less than 2.
fn product(a: u128, b: u128) -> u128 {
    let ((a1, a0), (b1, b0)) = (halves(a), halves(b));
    ((a1 * b1) << 4) + ((a1 * b0 + a0 * b1 + ((a0 * b0) >> 64)) >> 60)
}

/// Weights of (digits, exponent) as whole numbers in proportion. None of them becomes 0.
fn on_one_scale(weights: Vec<(u128, u32)>) -> Vec<u128> {
    let least = weights.iter().map(|(_, exponent)| *exponent).min();
    let most = weights.iter().map(|(_, exponent)| *exponent).max();
    let (least, most) = (least.unwrap_or(0), most.unwrap_or(0));
    let scale = (most - least).min(SCALE_MAX);
    let weight = |(digits, exponent): (u128, u32)| {
        let below = exponent - least;
        let cut = 10_u128.checked_pow(below.saturating_sub(scale));
        let scaled = digits * 10_u128.pow(scale.saturating_sub(below));
        cut.map_or(1, |cut| (scaled / cut).max(1))
    };
    weights.into_iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::campaign::{Campaign, Catalog};
    use crate::attribution::decide::{Message, Touch};
    use crate::attribution::event::{Channel, EventKind};
    use crate::value::id::CampaignId;

    const HOUR_MS: i64 = 3_600_000;

    /// Shares an order out among messages of campaigns `a`, `b`, …, each given as (hours from send to order, hours from touch to
    /// order).
    fn shares(model: Model, amount: &str, currency: &str, hours: &[(i64, i64)]) -> String {
        let id = |i: usize| CampaignId::new(&char::from(b'a' + i as u8).to_string()).unwrap();
        let campaigns = (0..hours.len()).map(|i| Campaign::named_by_id(id(i)));
        let catalog = Catalog::new(campaigns.collect());
        let placed_at = Instant::parse("2026-11-20T12:00:00Z").unwrap();
        let credit = |(i, (sent, touched)): (usize, &(i64, i64))| Credit {
            message: Message {
                campaign: catalog.place(&id(i)).unwrap(),
                channel: Channel::Email,
                message: None,
                recipient: 0,
                sent_at: placed_at.minus_ms(sent * HOUR_MS),
            },
            touch: Touch {
                at: placed_at.minus_ms(touched * HOUR_MS),
                kind: EventKind::Clicked,
            },
        };
        let eligible: Vec<Credit<'_>> = hours.iter().enumerate().map(credit).collect();
        let currency = Currency::parse(currency).unwrap();
        let amount = Money::parse(amount).unwrap();
        let shares = model.shares(&Touches::new(placed_at, eligible), amount, currency);
        let sum = shares
            .iter()
            .fold(Money::ZERO, |sum, (_, share)| sum + *share);
        assert!(sum == amount || hours.is_empty(), "{sum} of {amount}");
        let shown = |(campaign, share): &(CampaignIx, Money)| {
            let id = &catalog.at(*campaign).campaign_id;
            format!("{} {}", id.as_str(), share.in_currency(currency))
        };
        shares.iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn an_order_is_shared_out() {
        use Model::{First, LastInteraction, LastSent, Linear, PositionBased, TimeDecay};
        // `a` was sent last and touched first; `c` was touched last.
        let three = &[(10, 9), (30, 8), (20, 7)][..];
        let weeks = &[(336, 336), (336, 168), (336, 0)][..];
        // The columns: the model, the amount, its currency, the messages; the shares in the order of the touches.
        for (model, amount, currency, hours, expect) in [
            (LastSent, "10", "EUR", three, "a 10.00"),
            (LastInteraction, "10", "EUR", three, "c 10.00"),
            (First, "10", "EUR", three, "a 10.00"),
            (Linear, "10", "EUR", three, "a 3.33, b 3.33, c 3.34"),
            (Linear, "0.02", "EUR", three, "a 0.00, b 0.01, c 0.01"),
            (Linear, "100", "JPY", three, "a 33, b 33, c 34"),
            (Linear, "1", "KWD", three, "a 0.333, b 0.333, c 0.334"),
            (Linear, "0", "EUR", three, "a 0.00, b 0.00, c 0.00"),
            // A third of 10.001 is 3.33|3666…; the two last take a cent and what is below a cent.
            (Linear, "10.001", "EUR", three, "a 3.33, b 3.331, c 3.34"),
            (Linear, "0.000001", "JPY", three, "a 0, b 0, c 0.000001"),
            (PositionBased, "10", "EUR", &three[..1], "a 10.00"),
            (PositionBased, "0.03", "EUR", &three[..2], "a 0.01, b 0.02"),
            (PositionBased, "10", "EUR", three, "a 4.00, b 2.00, c 4.00"),
            (
                PositionBased,
                "1",
                "EUR",
                &[(9, 4), (9, 3), (9, 2), (9, 1), (9, 0)],
                "a 0.40, b 0.06, c 0.07, d 0.07, e 0.40",
            ),
            (TimeDecay, "7", "EUR", weeks, "a 1.00, b 2.00, c 4.00"),
            // 84 hours are half of a half-life: 0.707106781187 / 1.707106781187 = 0.41421356…
            (
                TimeDecay,
                "100",
                "EUR",
                &[(84, 84), (84, 0)],
                "a 41.42, b 58.58",
            ),
            (
                TimeDecay,
                "999999999999999.999999",
                "EUR",
                &[(84, 84), (84, 0)],
                "a 414213562373250.31, b 585786437626749.689999",
            ),
            (TimeDecay, "10", "EUR", &[], ""),
        ] {
            let found = shares(model, amount, currency, hours);
            assert_eq!(found, expect, "{model:?} {amount} {currency} {hours:?}");
        }
    }

    #[test]
    fn a_weight_has_twelve_digits() {
        let week = HALF_LIFE_MS;
        // The expected digits are those of a computation with 60 digits.
        for (age_ms, expect) in [
            (0, (1_000_000_000_000, 12)),
            (1, (999_999_998_854, 12)),
            (week / 2, (707_106_781_187, 12)),
            (week - 1, (500_000_000_573, 12)),
            (week, (500_000_000_000, 12)),
            (3 * week, (125_000_000_000, 12)),
            (4 * week, (625_000_000_000, 13)),
            (30 * DAY_MS as u64, (512_709_597_505, 13)),
            // The only exact middle: 3.814697265625·10^-6.
            (18 * week, (381_469_726_562, 17)),
        ] {
            assert_eq!(decayed(age_ms), expect, "{age_ms}");
        }
    }

    #[test]
    fn weights_that_lie_far_apart_are_in_proportion() {
        let years = |n: i64| (n * 365 * 24, n * 365 * 24);
        for hours in [
            &[years(1), years(0)][..],
            &[years(99), years(33), years(0)],
            &[years(99), years(98)],
        ] {
            shares(Model::TimeDecay, "999999999999999.999999", "EUR", hours);
        }
        assert_eq!(on_one_scale(vec![(5, 12), (7, 14)]), [500, 7]);
        assert_eq!(
            on_one_scale(vec![(DIGITS.into(), 12), (77, 31), (1, 99)]),
            [12 * 10_u128.pow(18), 7, 1]
        );
    }
}
