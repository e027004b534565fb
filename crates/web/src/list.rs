//! Lists in pages: every list is read, continued and answered in the same way. The handler of a list decides which rows it has.

use std::cmp::Ordering;

use revtrail_store::StoreError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::call::Call;
use crate::csv::Style;
use crate::problem::Problem;
use crate::query::{LIMIT_MAX, Query};

/// The place after which a list continues: the sort value and the id of the last row that was shown. It is not a count of rows.
/// So rows that are added, removed or moved in the list neither repeat another row nor hide one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position<V = ()> {
    /// The value by which the list is sorted; empty where the id alone decides the order.
    pub value: V,
    /// The id of the row that was shown last.
    pub id: String,
}

/// The page of a list that a call asks for.
#[derive(Debug)]
pub struct PageRequest<V = ()> {
    /// The place where the page before ended; `None` for the first page.
    pub after: Option<Position<V>>,
    /// The most rows of a page. A CSV is one page.
    pub limit: usize,
    /// How the CSV is written; `None` where the call asks for JSON.
    pub csv: Option<Style>,
}

/// The rows of one page, and the place after which the next page starts.
#[derive(Debug)]
pub struct Page<T, V = ()> {
    /// The rows, in the order of the list.
    pub rows: Vec<T>,
    /// The place of the last row; `None` where there is no next page.
    pub next: Option<Position<V>>,
}

impl<V: DeserializeOwned> PageRequest<V> {
    /// Reads `limit` and `cursor`, for a list that is only shown as JSON.
    pub fn json(query: &mut Query<'_>) -> Self {
        Self {
            after: query.cursor(),
            limit: query.limit(),
            csv: None,
        }
    }

    /// Reads `limit` and `cursor`, and the style of the CSV where the call asks for CSV.
    ///
    /// # Errors
    /// 403 where the call asks for CSV and its role may not have it.
    pub fn json_or_csv(
        query: &mut Query<'_>,
        call: &Call,
        csv_for: Access,
    ) -> Result<Self, Problem> {
        let csv = Style::read(query, call, csv_for)?;
        let asked = Self::json(query);
        Ok(Self {
            limit: csv.map_or(asked.limit, |_| usize::MAX),
            csv,
            ..asked
        })
    }
}

/// The fewest rows that are read at once to look for those that a filter takes.
const FOUND_ROWS_MIN: usize = 200;
/// The most rows that are read for a page of JSON. A page that ends there is incomplete, maybe empty, and has a next one.
pub const READ_ROWS_MAX: usize = 10_000;

/// Rows of a list, each behind its place there, and the place where the next rows start; `None` where none are left.
pub type Part<T, V> = (Vec<(Position<V>, T)>, Option<Position<V>>);

impl<V: Clone> PageRequest<V> {
    /// Gathers a page from parts of a list until it has as many rows as were asked for, or [`READ_ROWS_MAX`] were looked at. Each
    /// part is read from a place on. `shown` returns `None` for rows that a filter leaves out. A CSV has no next page, so it is
    /// read to its end.
    ///
    /// # Errors
    /// The problem of the part that could not be read.
    pub async fn gather<T, R, F, Fut>(
        &self,
        part: F,
        shown: impl Fn(T) -> Option<R>,
    ) -> Result<Page<R, V>, Problem>
    where
        F: Fn(Option<Position<V>>, usize) -> Fut,
        Fut: Future<Output = Result<Part<T, V>, Problem>>,
    {
        let mut rows = Vec::new();
        let mut next = self.after.clone();
        // The first part has what is shown if no row is left out. The later ones are large, so that few hits cost few reads.
        let (mut least, mut read) = (1, 0);
        loop {
            let wanted = (self.limit - rows.len()).max(least).min(LIMIT_MAX);
            let (part, more) = part(next, wanted).await?;
            (next, least, read) = (more, FOUND_ROWS_MIN, read + wanted);
            let mut part = part.into_iter();
            while let Some((place, row)) = part.next() {
                rows.extend(shown(row));
                if rows.len() >= self.limit {
                    let next = if part.len() > 0 { Some(place) } else { next };
                    return Ok(Page { rows, next });
                }
            }
            if next.is_none() || self.csv.is_none() && read >= READ_ROWS_MAX {
                return Ok(Page { rows, next });
            }
        }
    }

    /// Makes a page of rows that are all in memory, in the list's order. `place` returns the place of a row, and `compare`
    /// compares a row with a place.
    pub fn page_of<T>(
        &self,
        mut rows: Vec<T>,
        place: impl Fn(&T) -> Position<V>,
        compare: impl Fn(&T, &Position<V>) -> Ordering,
    ) -> Page<T, V> {
        if let Some(after) = &self.after {
            let start = rows.partition_point(|row| compare(row, after).is_le());
            rows.drain(..start);
        }
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = rows.last().filter(|_| more).map(place);
        Page { rows, next }
    }
}

impl PageRequest {
    /// Does the same as [`PageRequest::gather`] for lists of the store, which are in the order of their ids.
    ///
    /// # Errors
    /// 503 where the table is busy, see [`StoreError::is_busy`]; 500 for any other failure of the table.
    pub async fn gather_by_id<T, R, F, Fut>(
        &self,
        part: F,
        shown: impl Fn(T) -> Option<R>,
    ) -> Result<Page<R>, Problem>
    where
        F: Fn(Option<String>, usize) -> Fut,
        Fut: Future<Output = Result<(Vec<(String, T)>, Option<String>), StoreError>>,
    {
        let place = |id| Position { value: (), id };
        let part = |after: Option<Position>, limit| {
            let part = part(after.map(|place| place.id), limit);
            async move {
                let (rows, next) = part.await?;
                let rows = rows.into_iter().map(|(id, row)| (place(id), row));
                Ok((rows.collect(), next.map(place)))
            }
        };
        self.gather(part, shown).await
    }
}

impl<T, V: Serialize> Page<T, V> {
    /// The cursor of the next page, as the answer shows it.
    ///
    /// # Errors
    /// 500 where the place cannot be written as JSON.
    pub fn next_cursor(&self, call: &Call) -> Result<Option<String>, Problem> {
        let closed = self.next.as_ref().map(|place| call.seal().close(place));
        closed
            .transpose()
            .map_err(|error| Problem::internal(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::FutureExt;

    use super::*;

    /// A page of a list of numbers of which a filter takes every `each`th, and how many rows were asked for at once.
    fn page(rows: usize, each: usize, asked: &PageRequest) -> (Page<usize>, Vec<usize>) {
        let reads = RefCell::new(Vec::new());
        let part = |after: Option<String>, limit: usize| {
            reads.borrow_mut().push(limit);
            let first = after.map_or(1, |id| id.parse::<usize>().unwrap() + 1);
            let last = (first + limit - 1).min(rows);
            let part: Vec<(String, usize)> = (first..=last).map(|n| (n.to_string(), n)).collect();
            let next = (last < rows).then(|| last.to_string());
            std::future::ready(Ok((part, next)))
        };
        let shown = |n: usize| n.is_multiple_of(each).then_some(n);
        let page = asked.gather_by_id(part, shown).now_or_never().unwrap();
        (page.unwrap(), reads.into_inner())
    }

    #[test]
    fn few_hits_cost_few_reads_and_no_page_reads_without_end() {
        let json = |after: Option<usize>, limit| PageRequest {
            after: after.map(|n| Position {
                value: (),
                id: n.to_string(),
            }),
            limit,
            csv: None,
        };
        let csv = PageRequest {
            csv: Some(Style::default()),
            ..json(None, usize::MAX)
        };
        let next = |n: usize| Some(n.to_string());
        for (rows, each, asked, shown, next, reads) in [
            // What is shown is read, and no more.
            (3_000, 1, json(None, 1), vec![1], next(1), 1),
            (3, 1, json(Some(1), 2), vec![2, 3], None, 1),
            // What is left out is read in large parts, and a page that ends within a part goes on behind its last row.
            (3_000, 0, json(None, 1), vec![], None, 16),
            (
                3_000,
                1_000,
                json(None, 2),
                vec![1_000, 2_000],
                next(2_000),
                11,
            ),
            (3_000, 1_000, json(Some(2_000), 2), vec![3_000], None, 6),
            (250, 250, json(None, 1), vec![250], None, 3),
            // A page of JSON ends after 10,000 rows, and a CSV has no next page.
            (30_000, 0, json(None, 1), vec![], next(10_001), 51),
            (30_000, 9_000, json(None, 5), vec![9_000], next(10_005), 51),
            (30_000, 15_000, csv, vec![15_000, 30_000], None, 30),
        ] {
            let what = format!("every {each}th of {rows}, {asked:?}");
            let (page, asked_for) = page(rows, each, &asked);
            let goes_on = page.next.map(|place| place.id);
            assert_eq!((page.rows, goes_on), (shown, next), "{what}");
            assert_eq!(asked_for.len(), reads, "{what}: {asked_for:?}");
        }
    }
}
