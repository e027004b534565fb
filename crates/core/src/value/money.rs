//! Exact money: amounts, currencies, sums by currency, averages and rates. No binary float is ever used.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use iso_currency::Currency as Iso;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A pattern (ECMA-262) of the codes of currencies, for documents of the interface. Not every such code is in ISO 4217.
pub const CURRENCY_PATTERN: &str = "^[A-Z]{3}$";
/// A pattern (ECMA-262) of printed rates, as [`rate`] and [`share`] print them.
pub const RATE_PATTERN: &str = r"^-?(0|[1-9][0-9]*)\.[0-9]{4}$";

/// The error for a text that is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is no amount: digits without leading zeros, optionally a point and 1 to 6 digits, below 10^15",
    crate::value::text::quoted(.0)
)]
pub struct BadMoney(pub String);

/// An exact amount whose currency is kept elsewhere. Only a difference can be negative.
///
/// # Example
///
/// ```
/// use revtrail_core::value::money::{Currency, Money};
///
/// let euro = Currency::parse("EUR").expect("ISO 4217 has it");
/// let price = Money::parse("19.9").expect("at most six decimals");
/// assert_eq!((price + Money::from(1)).in_currency(euro), "20.90");
/// assert!(Money::parse("1e3").is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(Decimal);

impl Money {
    /// A pattern (ECMA-262) of the texts that [`Money::parse`] takes, for documents of the interface.
    pub const PATTERN: &str = r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,6})?$";
    /// A pattern (ECMA-262) of printed amounts. A sum can have more digits than one amount, and a difference can be negative.
    pub const PRINTED: &str = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$";

    /// The amount 0.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Parses an amount: `0|[1-9]\d*`, then optionally `.` and 1 to 6 digits, with a value below 10^15.
    ///
    /// # Errors
    /// [`BadMoney`] for anything else, such as signs, exponents, spaces or leading zeros.
    pub fn parse(text: &str) -> Result<Self, BadMoney> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let digits = |s: &str, max: usize| {
            (1..=max).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit())
        };
        let good = digits(whole, 15)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(|f| digits(f, 6));
        if !good {
            return Err(BadMoney(text.to_owned()));
        }
        // Twenty-one digits fit, and without zeros at the end of the fraction the amount is as `Decimal` normalises it.
        let fraction = fraction.unwrap_or_default().trim_end_matches('0');
        let all = whole.bytes().chain(fraction.bytes());
        let number = all.fold(0_u128, |n, digit| 10 * n + u128::from(digit - b'0'));
        Ok(Self::from_parts(number, fraction.len() as u8))
    }

    /// True where the amount is 0.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// The amount in millionths. The result is exact, since an amount has at most 6 decimals.
    pub fn micros(self) -> i128 {
        // Only zeros can stand behind the sixth decimal.
        let amount = match self.0.scale() {
            0..=6 => self.0,
            _ => self.0.normalize(),
        };
        amount.mantissa() * 10_i128.pow(6_u32.saturating_sub(amount.scale()))
    }

    /// The amount of so many millionths; `None` where the amount cannot hold them exactly.
    pub(crate) fn of_micros(micros: i128) -> Option<Self> {
        if let Ok(mut digits) = i64::try_from(micros) {
            let mut scale = 6;
            while scale > 0 && digits % 10 == 0 {
                (digits, scale) = (digits / 10, scale - 1);
            }
            return Some(Self(Decimal::new(digits, scale)));
        }
        let exact = Decimal::try_from_i128_with_scale(micros, 6);
        // A whole number is stored without decimals, so it may have six digits more.
        let whole = || Decimal::try_from_i128_with_scale(micros / 1_000_000, 0).ok();
        let amount = exact
            .ok()
            .or_else(|| whole().filter(|_| micros % 1_000_000 == 0))?;
        Some(Self(amount.normalize()))
    }

    /// The sum of both amounts; `None` where it cannot be held exactly.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::of_micros(self.micros().checked_add(other.micros())?)
    }

    /// The amount minus `other`; `None` where the difference cannot be held exactly.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(-other)
    }

    /// The amount times `count`; `None` where the product cannot be held exactly.
    pub fn checked_times(self, count: i128) -> Option<Self> {
        Self::of_micros(self.micros().checked_mul(count)?)
    }

    /// The whole part of the amount. It reads a count that was handled as an amount.
    pub fn whole(self) -> i64 {
        i64::try_from(self.0.trunc().mantissa() / 10_i128.pow(self.0.trunc().scale()))
            .unwrap_or(i64::MAX)
    }

    /// The digits of an amount that is not negative, and how many of them stand behind the point.
    pub fn parts(self) -> (u128, u8) {
        (self.0.mantissa().unsigned_abs(), self.0.scale() as u8)
    }

    /// The amount of [`Money::parts`].
    pub fn from_parts(digits: u128, scale: u8) -> Self {
        Self(Decimal::from_i128_with_scale(digits as i128, scale.into()))
    }

    /// Reads a number from storage, where it may also be negative.
    pub fn stored(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// The amount divided by `of`, cut to the 6 decimals that an amount may have.
    pub fn part(self, of: i64) -> Self {
        let part = self.micros() / i128::from(of.max(1));
        Decimal::try_from_i128_with_scale(part, 6).map_or(Self::ZERO, |part| Self(part.normalize()))
    }

    /// The amount as text with at least the minor digits of the currency, and without trailing zeros beyond them.
    pub fn in_currency(self, currency: Currency) -> String {
        let mut amount = self.0.normalize();
        if amount.scale() < currency.minor_digits() {
            amount.rescale(currency.minor_digits());
        }
        amount.to_string()
    }

    /// The amount divided by `count`, rounded half-even to the minor digits of the currency; `None` where `count` is 0.
    pub fn average(self, count: i64, currency: Currency) -> Option<Self> {
        let digits = currency.minor_digits().min(6);
        let divisor = i128::from(count) * 10_i128.pow(6 - digits);
        if divisor <= 0 {
            return None;
        }
        let rounded = half_even(self.micros(), divisor);
        Decimal::try_from_i128_with_scale(rounded, digits)
            .ok()
            .map(Self)
    }
}

impl From<i64> for Money {
    /// Makes an amount of a count, for code that handles counts and amounts in the same way.
    fn from(count: i64) -> Self {
        Self(Decimal::from(count))
    }
}

impl std::ops::Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::ops::Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl std::ops::Neg for Money {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl std::ops::AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.normalize(), f)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    /// Reads what [`Serialize`] wrote, which includes sums and differences. So it accepts more than [`Money::parse`].
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// A currency of ISO 4217.
///
/// # Example
///
/// ```
/// use revtrail_core::value::money::Currency;
///
/// let yen = Currency::parse("JPY").expect("ISO 4217 has it");
/// assert_eq!((yen.code(), yen.minor_digits()), ("JPY", 0));
/// assert_eq!(Currency::parse("jpy"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(Iso);

impl Currency {
    /// Parses a code of three upper-case letters from ISO 4217; `None` for anything else.
    pub fn parse(code: &str) -> Option<Self> {
        let key = <[u8; 3]>::try_from(code.as_bytes()).ok()?;
        let by_code = BY_CODE.binary_search_by_key(&key, |(known, _)| *known);
        by_code.ok().map(|at| Self(BY_CODE[at].1))
    }

    /// The number of the ISO 4217 code. No two currencies have the same.
    pub fn number(self) -> u16 {
        self.0.numeric()
    }

    /// The currency of [`Currency::number`], if there is one.
    pub fn numbered(number: u16) -> Option<Self> {
        BY_NUMBER.get(usize::from(number)).copied().flatten()
    }

    /// The three letters of the ISO 4217 code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// The number of digits after the point: 0 for JPY, 2 for EUR, 3 for KWD.
    pub fn minor_digits(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

/// All currencies in the order of their codes: every order that is read asks for one, and a search is quicker than a walk. A code
/// has a number of three digits.
static BY_CODE: LazyLock<Vec<([u8; 3], Iso)>> = LazyLock::new(|| {
    let all = (0..1_000).filter_map(Iso::from_numeric);
    let keyed = |currency: Iso| Some((currency.code().as_bytes().try_into().ok()?, currency));
    let mut by_code: Vec<_> = all.filter_map(keyed).collect();
    by_code.sort_unstable_by_key(|(code, _)| *code);
    by_code
});

/// The currency of each number.
static BY_NUMBER: LazyLock<Vec<Option<Currency>>> = LazyLock::new(|| {
    (0..1_000)
        .map(|number| Iso::from_numeric(number).map(Currency))
        .collect()
});

impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Currency {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.code().cmp(other.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&code).ok_or_else(|| {
            serde::de::Error::custom(format_args!("{code:?} is no currency of ISO 4217"))
        })
    }
}

/// Sums by currency, which are never added across currencies. The JSON form is `{"EUR":"1234.50"}`; a sum of zero is left out.
///
/// # Example
///
/// ```
/// use revtrail_core::value::money::{Currency, Money, Sums};
///
/// let [euro, dollar] = ["EUR", "USD"].map(|code| Currency::parse(code).expect("ISO 4217 has it"));
/// let sums: Sums = [(euro, Money::from(2)), (dollar, Money::from(3)), (euro, Money::from(4))].into_iter().collect();
/// assert_eq!((sums.get(euro), sums.get(dollar)), (Money::from(6), Money::from(3)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sums(BTreeMap<Currency, Money>);

impl Sums {
    /// Adds an amount to the sum of its currency.
    pub fn add(&mut self, currency: Currency, amount: Money) {
        let sum = self.0.entry(currency).or_default();
        *sum += amount;
        if sum.is_zero() {
            self.0.remove(&currency);
        }
    }

    /// These sums minus the others, currency by currency; `None` where a difference cannot be held exactly.
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        let mut rest = self.clone();
        for (currency, amount) in other.iter() {
            match self.get(currency).checked_sub(amount)? {
                left if left.is_zero() => rest.0.remove(&currency),
                left => rest.0.insert(currency, left),
            };
        }
        Some(rest)
    }

    /// The sum in one currency; zero where there is none.
    pub fn get(&self, currency: Currency) -> Money {
        self.0.get(&currency).copied().unwrap_or_default()
    }

    /// The sums that are not zero, in the order of the currency codes.
    pub fn iter(&self) -> impl Iterator<Item = (Currency, Money)> + '_ {
        self.0.iter().map(|(&currency, &amount)| (currency, amount))
    }
}

impl FromIterator<(Currency, Money)> for Sums {
    fn from_iter<T: IntoIterator<Item = (Currency, Money)>>(amounts: T) -> Self {
        let mut sums = Self::default();
        for (currency, amount) in amounts {
            sums.add(currency, amount);
        }
        sums
    }
}

impl Serialize for Sums {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.iter()
                .map(|(currency, amount)| (currency, amount.in_currency(currency))),
        )
    }
}

impl<'de> Deserialize<'de> for Sums {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<Currency, Money>::deserialize(deserializer).map(Self)
    }
}

/// `part / whole` as text with 4 decimals, rounded half-even (`"0.3200"`); `None` where `whole` is 0.
pub fn rate(part: i64, whole: i64) -> Option<String> {
    share(Money::from(part), Money::from(whole))
}

/// Does the same as [`rate`], for two amounts.
pub fn share(part: Money, whole: Money) -> Option<String> {
    // The division is done with whole numbers, so that nothing is rounded before the end.
    let (part, whole) = (part.micros().checked_mul(10_000)?, whole.micros());
    if whole <= 0 {
        return None;
    }
    let ten_thousandths = half_even(part, whole);
    Decimal::try_from_i128_with_scale(ten_thousandths, 4)
        .ok()
        .map(|share| format!("{share:.4}"))
}

/// `part / whole`, rounded half-even to a whole number. `whole` must be above 0.
fn half_even(part: i128, whole: i128) -> i128 {
    let (quotient, rest) = (part.div_euclid(whole), part.rem_euclid(whole));
    let up = match (2 * rest).cmp(&whole) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 != 0,
        std::cmp::Ordering::Greater => true,
    };
    quotient + i128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        Money::parse(text).unwrap()
    }

    /// Every code that the list of currencies knows is one, and each has a number of its own.
    #[test]
    fn codes_and_numbers_of_currencies() {
        let letters = || ('A'..='Z').chain(['a', '1', 'É']);
        let mut known = 0;
        for a in letters() {
            for b in letters() {
                for c in letters() {
                    let code = String::from_iter([a, b, c]);
                    let currency = Currency::parse(&code);
                    assert_eq!(
                        currency.map(|found| found.0),
                        Iso::from_code(&code),
                        "{code}"
                    );
                    let Some(currency) = currency else { continue };
                    assert_eq!(Currency::numbered(currency.number()), Some(currency));
                    known += 1;
                }
            }
        }
        assert!(known > 150, "{known}");
        for code in ["", "EU", "EURO", "eur"] {
            assert_eq!(Currency::parse(code), None);
        }
    }

    #[test]
    fn what_is_an_amount() {
        for (text, printed) in [
            ("0", "0.00"),
            ("100", "100.00"),
            ("100.10", "100.10"),
            ("0.123456", "0.123456"),
            ("1.230000", "1.23"),
            ("999999999999999.999999", "999999999999999.999999"),
        ] {
            assert_eq!(
                money(text).in_currency(Currency::parse("EUR").unwrap()),
                printed,
                "{text}"
            );
            let parsed = text.parse::<Decimal>().unwrap().normalize();
            assert_eq!(
                money(text).0.unpack(),
                parsed.unpack(),
                "as it is stored: {text}"
            );
        }
        for bad in [
            "",
            "00",
            "01",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e2",
            "1,5",
            " 1",
            "1.1234567",
            "1000000000000000",
            "٣",
            "1_0",
        ] {
            assert!(Money::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn minor_digits() {
        for (code, printed) in [("JPY", "5"), ("EUR", "5.00"), ("KWD", "5.000")] {
            assert_eq!(
                money("5").in_currency(Currency::parse(code).unwrap()),
                printed
            );
        }
        assert!(Currency::parse("eur").is_none() && Currency::parse("ZZZ").is_none());
    }

    #[test]
    fn averages_are_half_even() {
        let usd = Currency::parse("USD").unwrap();
        for (sum, count, average) in [
            ("0.05", 2, "0.02"),
            ("0.15", 2, "0.08"),
            ("100.00", 3, "33.33"),
            ("0.000001", 1, "0.00"),
            ("0.03", 2, "0.02"),
            ("0.050001", 2, "0.03"),
        ] {
            assert_eq!(
                money(sum).average(count, usd).unwrap().in_currency(usd),
                average,
                "{sum} / {count}"
            );
        }
        assert_eq!(money("1").average(0, usd), None);
    }

    #[test]
    fn rates() {
        for (part, whole, text) in [
            (6400, 20_000, "0.3200"),
            (1, 3, "0.3333"),
            (1, 20_000, "0.0000"),
            (3, 20_000, "0.0002"),
            (3, 2, "1.5000"),
            (0, 5, "0.0000"),
            // The first exact share is 0.00005, which is rounded to the even digit. The second is a little more than that.
            (1, 20_000, "0.0000"),
            (50_000_000_000_001, 1_000_000_000_000_000_000, "0.0001"),
            (i64::MAX, 1, "9223372036854775807.0000"),
        ] {
            assert_eq!(rate(part, whole).unwrap(), text);
        }
        assert_eq!(rate(1, 0), None);
    }

    #[test]
    fn what_cannot_be_held_exactly_is_no_amount() {
        let most = money("999999999999999.999999");
        for (amount, count, product) in [
            ("5.00", 3, Some("15")),
            ("0.000001", 1_000_000_000_000_000, Some("1000000000")),
            ("1", i128::from(i64::MAX), Some("9223372036854775807")),
            (
                "999999999999999.999999",
                79_228_162,
                Some("79228161999999999999920.771838"),
            ),
            ("999999999999999.999999", 79_228_163, None),
            (
                "999999999999999.999999",
                10_000_000,
                Some("9999999999999999999990"),
            ),
            ("999999999999999.999999", 1_000_000_000_000_000, None),
            (
                "999999999999999",
                10_000_000_000_000,
                Some("9999999999999990000000000000"),
            ),
            ("999999999999999", 1_000_000_000_000_000, None),
            ("2", i128::MAX, None),
        ] {
            let product = product.map(|text| Money::stored(text).unwrap());
            assert_eq!(
                money(amount).checked_times(count),
                product,
                "{amount} × {count}"
            );
        }
        let large = most.checked_times(78_999_999).unwrap();
        assert_eq!(large.checked_add(large), None);
        assert_eq!(large.checked_sub(large), Some(Money::ZERO));
        assert_eq!((-large).checked_sub(large), None);
    }

    #[test]
    fn sums_are_exact_and_drop_zeros() {
        let usd = Currency::parse("USD").unwrap();
        let mut sums = Sums::default();
        for _ in 0..1_000_000 {
            sums.add(usd, money("999999999999999.999999"));
        }
        assert_eq!(
            serde_json::to_string(&sums).unwrap(),
            r#"{"USD":"999999999999999999999.00"}"#
        );
        sums.add(usd, -sums.get(usd));
        assert_eq!(serde_json::to_string(&sums).unwrap(), "{}");
    }
}
