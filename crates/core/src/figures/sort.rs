//! The order of the rows of a report: by one column, and for money by one currency in the whole report (rule 5, API.md).

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::value::money::{Currency, Money};

/// What the rows of a report are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sorting {
    /// A column of the report.
    pub column: &'static str,
    /// True where the greatest value comes first.
    pub descending: bool,
    /// The currency to compare, where the column is money: amounts of two currencies are never compared.
    pub currency: Option<Currency>,
}

/// The value that a row is sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortValue {
    /// A count, a rate or an amount.
    Number(Money),
    /// Any other value, which is compared by its bytes.
    Text(String),
}

impl Sorting {
    /// The order of two rows, each given as a value and an id. Absent values come last in either direction, and equal values are
    /// ordered by id.
    pub fn compare<I: Ord>(
        &self,
        (a, a_id): &(Option<SortValue>, I),
        (b, b_id): &(Option<SortValue>, I),
    ) -> Ordering {
        let by_value = match (a, b) {
            (Some(a), Some(b)) if self.descending => b.cmp(a),
            (Some(a), Some(b)) => a.cmp(b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        by_value.then_with(|| a_id.cmp(b_id))
    }

    /// Sorts rows. `place` returns the value and the id of each row.
    pub fn sort<T, I: Ord>(&self, rows: &mut Vec<T>, place: impl Fn(&T) -> (Option<SortValue>, I)) {
        let mut placed: Vec<_> = rows.drain(..).map(|row| (place(&row), row)).collect();
        placed.sort_by(|(a, _), (b, _)| self.compare(a, b));
        rows.extend(placed.into_iter().map(|(_, row)| row));
    }
}
