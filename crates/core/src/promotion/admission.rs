//! Why a redeem is refused, which flags a redemption carries, from when on a promotion is tracked, and what a second record with
//! a known id means (rule 6). Module [`limits`](super::limits) says what limits refuse and flag.

use std::collections::BTreeSet;

use crate::promotion::Promotion;
use crate::promotion::limits::{Cost, is_of_another_currency};
use crate::promotion::redemption::{Flag, Redemption, Refusal, Stated};
use crate::record::{Code, RecordProblem};
use crate::value::id::CustomerId;
use crate::value::time::Instant;

/// The state of the voucher of a code, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VoucherState {
    /// True where the promotion has a voucher with this code.
    pub exists: bool,
    /// True where the voucher may not be redeemed any more.
    pub disabled: bool,
    /// True where a successful assignment gave the code to any customer.
    pub assigned: bool,
}

/// What is known now of the things that a redemption names.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The promotion of the redemption.
    pub promotion: &'a Promotion,
    /// The voucher of the code; `None` where the redemption names no code.
    pub voucher: Option<VoucherState>,
    /// True where a successful assignment gave the code to the customer of the redemption.
    pub holds_code: bool,
    /// True where the named assignment belongs to the promotion and the customer of the redemption.
    pub knows_assignment: bool,
    /// The customer of the order that the redemption names; `None` where there is no such order.
    pub buyer: Option<&'a CustomerId>,
}

impl Surroundings<'_> {
    /// True where the code was given to other customers and not to this one.
    fn is_of_others(&self) -> bool {
        self.voucher.is_some_and(|voucher| voucher.assigned) && !self.holds_code
    }

    fn has_not_started(&self, at: Instant) -> bool {
        self.promotion.starts_at.is_some_and(|starts| at < starts)
    }

    fn is_over(&self, at: Instant) -> bool {
        self.promotion.ends_at.is_some_and(|ends| at > ends)
    }
}

/// Why a redeem is refused before any limit is checked. The first reason that holds is given.
pub fn refusal(at: Instant, known: &Surroundings<'_>) -> Option<Refusal> {
    let voucher = known.voucher;
    let reasons = [
        (
            voucher.is_some_and(|voucher| !voucher.exists),
            Refusal::VoucherNotFound,
        ),
        (
            voucher.is_some_and(|voucher| voucher.disabled),
            Refusal::VoucherDisabled,
        ),
        (known.is_of_others(), Refusal::WrongCustomer),
        (known.has_not_started(at), Refusal::NotStarted),
        (known.is_over(at), Refusal::Expired),
    ];
    let first = reasons.into_iter().find(|(holds, _)| *holds);
    first.map(|(_, reason)| reason)
}

/// The flags of a success that happened `at` and cost `cost`. Flags of limits are kept as they were at arrival, and all others
/// are set as they hold now. The flags are the same for a reported redemption and a redeem call, and a rollback does not change
/// them.
pub fn flags(
    redemption: &Redemption,
    at: Instant,
    cost: Option<Cost>,
    at_arrival: &BTreeSet<Flag>,
    known: &Surroundings<'_>,
) -> BTreeSet<Flag> {
    let now = [
        (
            known.voucher.is_some_and(|voucher| !voucher.exists),
            Flag::UnknownVoucher,
        ),
        (
            known.has_not_started(at) || known.is_over(at),
            Flag::OutsideTimeframe,
        ),
        (known.is_of_others(), Flag::WrongCustomer),
        (
            redemption.assignment_id.is_some() && !known.knows_assignment,
            Flag::UnknownAssignment,
        ),
        (cost.is_none(), Flag::RewardNotTold),
        (
            is_of_another_currency(cost, known.promotion),
            Flag::OtherCurrency,
        ),
        (
            known
                .buyer
                .is_some_and(|buyer| *buyer != redemption.customer_id),
            Flag::OtherCustomersOrder,
        ),
    ];
    let now = now
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, flag)| flag);
    let of_limits = at_arrival
        .iter()
        .copied()
        .filter(|flag| flag.is_of_arrival());
    now.chain(of_limits).collect()
}

/// Checks that a promotion was already tracked when it was used.
///
/// # Errors
/// `before_tracking` where it was used before `tracking_from`.
pub fn tracked(at: Instant, promotion: &Promotion) -> Result<(), RecordProblem> {
    if at >= promotion.tracking_from {
        return Ok(());
    }
    let detail = format!(
        "redeemed_at: {at} is before {}, from when on this promotion is tracked",
        promotion.tracking_from
    );
    Err(RecordProblem::of(
        "redeemed_at",
        Code::BeforeTracking,
        detail,
    ))
}

/// What a second record with a known id means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    /// No field that both records state differs. The first record is kept.
    Duplicate,
    /// This field differs. The first record is kept.
    Conflict(&'static str),
    /// The first record waits in quarantine, and this one states something different or more. It replaces the first.
    Replaces,
}

/// Compares a second record with the known one, by the fields that both state.
pub fn copy(known: &Stated, copy: &Stated, waits: bool) -> Copy {
    let pairs = || known.iter().zip(copy);
    let differs = pairs().find_map(|((field, known), (_, copy))| {
        let both = known.as_ref().zip(copy.as_ref());
        both.filter(|(known, copy)| known != copy).map(|_| *field)
    });
    let says_more = pairs().any(|((_, known), (_, copy))| known.is_none() && copy.is_some());
    match differs {
        _ if waits && (differs.is_some() || says_more) => Copy::Replaces,
        Some(field) => Copy::Conflict(field),
        None => Copy::Duplicate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promotion::PromotionInput;
    use crate::record::Record;
    use crate::value::id::PromotionId;
    use crate::value::money::{Currency, Money};

    fn at(hour: u32) -> Instant {
        Instant::parse(&format!("2026-11-20T{hour:02}:00:00Z")).unwrap()
    }

    fn promotion(json: &str) -> Promotion {
        let record = Record::from_json(json).unwrap();
        let id = PromotionId::new("p").unwrap();
        PromotionInput::read(id, &record, at(8))
            .unwrap()
            .promotion(None, None)
    }

    fn redemption(json: &str) -> Redemption {
        let json = format!(r#"{{"redemption_id":"r","promotion_id":"p","customer_id":"x"{json}}}"#);
        let acceptance_window = crate::record::AcceptanceWindow {
            now: at(12),
            retention: crate::value::time::Retention::DEFAULT,
        };
        Redemption::read(&Record::from_json(&json).unwrap(), &acceptance_window).unwrap()
    }

    /// Everything is wrong at once: the voucher does not exist, is disabled and is of others, and the time does not fit.
    #[test]
    fn the_first_reason_that_holds_is_the_reason() {
        let timed = r#"{"starts_at":"2026-11-20T10:00:00Z","ends_at":"2026-11-20T11:00:00Z"}"#;
        let promotion = promotion(timed);
        for (exists, disabled, assigned, holds_code, hour, reason) in [
            (false, true, true, false, 9, Some(Refusal::VoucherNotFound)),
            (true, true, true, false, 9, Some(Refusal::VoucherDisabled)),
            (true, false, true, false, 9, Some(Refusal::WrongCustomer)),
            (true, false, true, true, 9, Some(Refusal::NotStarted)),
            (true, false, false, false, 9, Some(Refusal::NotStarted)),
            (true, false, false, false, 10, None),
            (true, false, false, false, 11, None),
            (true, false, false, false, 12, Some(Refusal::Expired)),
        ] {
            let voucher = VoucherState {
                exists,
                disabled,
                assigned,
            };
            let known = Surroundings {
                promotion: &promotion,
                voucher: Some(voucher),
                holds_code,
                knows_assignment: false,
                buyer: None,
            };
            assert_eq!(refusal(at(hour), &known), reason, "{voucher:?} at {hour}");
        }
    }

    #[test]
    fn flags_are_of_what_is_known_now_and_limits_of_what_was() {
        let budget = r#"{"type":"amount","value":"5","currency":"EUR","budget":{"amount":"9","currency":"EUR"}}"#;
        let promotion = promotion(budget);
        let buyer = CustomerId::new("y").unwrap();
        let exists = VoucherState {
            exists: true,
            ..VoucherState::default()
        };
        let of_others = VoucherState {
            assigned: true,
            ..exists
        };
        let cost = |code| Currency::parse(code).map(|currency| (Money::from(5), currency));
        for (said, voucher, knows_assignment, order, cost, flag) in [
            ("", None, false, None, cost("EUR"), None),
            (
                r#","voucher_code":"C""#,
                Some(exists),
                false,
                None,
                cost("EUR"),
                None,
            ),
            (
                r#","voucher_code":"C""#,
                Some(VoucherState::default()),
                false,
                None,
                cost("EUR"),
                Some(Flag::UnknownVoucher),
            ),
            (
                r#","voucher_code":"C""#,
                Some(of_others),
                false,
                None,
                cost("EUR"),
                Some(Flag::WrongCustomer),
            ),
            (
                r#","assignment_id":"a""#,
                None,
                true,
                None,
                cost("EUR"),
                None,
            ),
            (
                r#","assignment_id":"a""#,
                None,
                false,
                None,
                cost("EUR"),
                Some(Flag::UnknownAssignment),
            ),
            (r#","order_id":"o""#, None, false, None, cost("EUR"), None),
            (
                r#","order_id":"o""#,
                None,
                false,
                Some(&buyer),
                cost("EUR"),
                Some(Flag::OtherCustomersOrder),
            ),
            ("", None, false, None, None, Some(Flag::RewardNotTold)),
            (
                "",
                None,
                false,
                None,
                cost("USD"),
                Some(Flag::OtherCurrency),
            ),
        ] {
            let known = Surroundings {
                promotion: &promotion,
                voucher,
                holds_code: false,
                knows_assignment,
                buyer: order,
            };
            // Other flags that older versions stored are ignored.
            let stored =
                BTreeSet::from([Flag::OverCap, Flag::OutsideTimeframe, Flag::WrongCustomer]);
            let expected: BTreeSet<Flag> = [Flag::OverCap].into_iter().chain(flag).collect();
            let found = flags(&redemption(said), at(9), cost, &stored, &known);
            assert_eq!(found, expected, "{said}");
        }
    }

    #[test]
    fn a_second_record_is_compared_by_what_both_state() {
        for (known, second, outcome, where_it_waits) in [
            ("", "", Copy::Duplicate, Copy::Duplicate),
            (
                "",
                r#","result":"success""#,
                Copy::Duplicate,
                Copy::Duplicate,
            ),
            ("", r#","order_id":"o""#, Copy::Duplicate, Copy::Replaces),
            (r#","order_id":"o""#, "", Copy::Duplicate, Copy::Duplicate),
            (
                r#","order_id":"o""#,
                r#","order_id":"u""#,
                Copy::Conflict("order_id"),
                Copy::Replaces,
            ),
            (
                r#","reward_amount":5"#,
                r#","reward_amount":"5.00""#,
                Copy::Duplicate,
                Copy::Duplicate,
            ),
            (
                "",
                r#","result":"failure""#,
                Copy::Conflict("result"),
                Copy::Replaces,
            ),
        ] {
            let (known, second) = (redemption(known).stated(), redemption(second).stated());
            assert_eq!(
                copy(&known, &second, false),
                outcome,
                "{known:?} {second:?}"
            );
            assert_eq!(
                copy(&known, &second, true),
                where_it_waits,
                "{known:?} {second:?}"
            );
        }
    }
}
