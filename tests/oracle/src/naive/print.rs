//! How instants, money, rates and averages are printed (rule 2).

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::Value;

/// `2026-11-20T10:15:00.000Z`
pub(crate) fn instant(at: i64) -> Value {
    let utc = DateTime::from_timestamp_millis(at).unwrap();
    utc.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string().into()
}

/// The minor digits of ISO 4217.
pub(super) fn minor_digits(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// At least the currency's minor digits, and no trailing zeros beyond them.
pub(crate) fn money(millionths: i128, currency: &str) -> String {
    let least = minor_digits(currency) as usize;
    let sign = if millionths < 0 { "-" } else { "" };
    let millionths = millionths.abs();
    let mut fraction = format!("{:06}", millionths % 1_000_000);
    while fraction.len() > least && fraction.ends_with('0') {
        fraction.pop();
    }
    let whole = millionths / 1_000_000;
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

/// Money by currency; one whose sum is zero is absent.
pub(crate) fn sums(sums: &BTreeMap<String, i128>) -> Value {
    let mut printed = BTreeMap::new();
    for (currency, sum) in sums {
        if *sum != 0 {
            printed.insert(currency, money(*sum, currency));
        }
    }
    serde_json::to_value(printed).unwrap()
}

/// Revenue by purchases, rounded half-even to the minor digits; of the currencies that have revenue.
pub(crate) fn averages(
    revenue: &BTreeMap<String, i128>,
    purchases: &BTreeMap<String, u64>,
) -> Value {
    let mut printed = BTreeMap::new();
    for (currency, sum) in revenue {
        if *sum != 0 {
            let unit = 10_i128.pow(6 - minor_digits(currency));
            let units = divide_half_even(*sum, i128::from(purchases[currency]) * unit);
            printed.insert(currency, money(units * unit, currency));
        }
    }
    serde_json::to_value(printed).unwrap()
}

/// Text with 4 decimals, half-even; null where the denominator is 0.
pub(crate) fn rate(numerator: u64, denominator: u64) -> Value {
    if denominator == 0 {
        return Value::Null;
    }
    let parts = divide_half_even(i128::from(numerator) * 10_000, i128::from(denominator));
    format!("{}.{:04}", parts / 10_000, parts % 10_000).into()
}

fn divide_half_even(dividend: i128, divisor: i128) -> i128 {
    let below = dividend / divisor;
    let twice_rest = dividend % divisor * 2;
    let up = twice_rest > divisor || (twice_rest == divisor && below % 2 == 1);
    below + i128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_the_minor_digits_and_no_more_zeros() {
        for (millionths, currency, expect) in [
            (0, "USD", "0.00"),
            (0, "JPY", "0"),
            (1_500_000, "USD", "1.50"),
            (1_500_000, "JPY", "1.5"),
            (1_500_000, "KWD", "1.500"),
            (1, "EUR", "0.000001"),
            (120_000_000, "EUR", "120.00"),
            (1_234_500, "EUR", "1.2345"),
            (-500_000, "EUR", "-0.50"),
            (-2_000_000, "JPY", "-2"),
        ] {
            assert_eq!(money(millionths, currency), expect);
        }
    }

    #[test]
    fn rates_and_averages_round_half_to_even() {
        assert_eq!(rate(1, 0), Value::Null);
        assert_eq!(rate(1, 3), "0.3333");
        assert_eq!(rate(2, 3), "0.6667");
        assert_eq!(rate(1, 20_000), "0.0000");
        assert_eq!(rate(3, 20_000), "0.0002");
        assert_eq!(rate(5, 2), "2.5000");
        for (sum, purchases, expect) in [
            (50_000, 10, "0.00"),
            (150_000, 10, "0.02"),
            (250_000, 10, "0.02"),
        ] {
            let revenue = BTreeMap::from([("EUR".to_owned(), sum)]);
            let purchases = BTreeMap::from([("EUR".to_owned(), purchases)]);
            assert_eq!(averages(&revenue, &purchases)["EUR"], expect);
        }
    }
}
