//! Lists by pages: every list is read, continued and answered in the same way. Which rows there are stands with the list.

use std::cmp::Ordering;

use revtrail_store::StoreError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::call::Call;
use crate::csv::Style;
use crate::problem::Problem;
use crate::query::{LIMIT_MAX, Query};

/// Where a list goes on: behind the row with this value, by which the list is sorted, and this id. No count: rows that come, go
/// or move elsewhere in the list neither repeat another row nor hide one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place<V = ()> {
    /// What the list is sorted by; nothing where the id says it all.
    pub value: V,
    /// Of the row that was shown last.
    pub id: String,
}

/// What of a list is asked for.
#[derive(Debug)]
pub struct Asked<V = ()> {
    /// The page before ended here.
    pub after: Option<Place<V>>,
    /// Rows of a page; a CSV is one page.
    pub limit: usize,
    /// How the CSV is written, where that is asked for.
    pub csv: Option<Style>,
}

/// Rows of one page, and where the next begins; `None` where there is none.
#[derive(Debug)]
pub struct Page<T, V = ()> {
    /// In the list's order.
    pub rows: Vec<T>,
    /// The last row's place.
    pub next: Option<Place<V>>,
}

impl<V: DeserializeOwned> Asked<V> {
    /// Reads `limit` and `cursor`, of a list that is JSON only.
    pub fn json(query: &mut Query<'_>) -> Self {
        Self {
            after: query.cursor(),
            limit: query.limit(),
            csv: None,
        }
    }

    /// Reads `limit` and `cursor`, and how CSV is written where the call asks for it.
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

impl<V: Clone> Asked<V> {
    /// Gathers a page from parts of a list, each read from behind a place, until there are as many rows as asked for. `shown`
    /// leaves out what is filtered.
    ///
    /// # Errors
    /// Those of reading a part.
    pub async fn gather<T, R, F, Fut>(
        &self,
        part: F,
        shown: impl Fn(T) -> Option<R>,
    ) -> Result<Page<R, V>, Problem>
    where
        F: Fn(Option<Place<V>>, usize) -> Fut,
        Fut: Future<Output = Result<(Vec<T>, Option<Place<V>>), Problem>>,
    {
        let mut rows = Vec::new();
        let mut next = self.after.clone();
        loop {
            let wanted = (self.limit - rows.len()).min(LIMIT_MAX);
            let (part, more) = part(next, wanted).await?;
            rows.extend(part.into_iter().filter_map(&shown));
            next = more;
            if next.is_none() || rows.len() >= self.limit {
                return Ok(Page { rows, next });
            }
        }
    }

    /// A page of rows that are all there, in the list's order. `place` is a row's, `compare` tells how a row stands to a place.
    pub fn page_of<T>(
        &self,
        mut rows: Vec<T>,
        place: impl Fn(&T) -> Place<V>,
        compare: impl Fn(&T, &Place<V>) -> Ordering,
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

impl Asked {
    /// [`Asked::gather`] for the lists of the store, which is in the order of their ids.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn gather_by_id<T, R, F, Fut>(
        &self,
        part: F,
        shown: impl Fn(T) -> Option<R>,
    ) -> Result<Page<R>, Problem>
    where
        F: Fn(Option<String>, usize) -> Fut,
        Fut: Future<Output = Result<(Vec<T>, Option<String>), StoreError>>,
    {
        let part = |after: Option<Place>, limit| {
            let part = part(after.map(|place| place.id), limit);
            async {
                let (rows, next) = part.await?;
                Ok((rows, next.map(|id| Place { value: (), id })))
            }
        };
        self.gather(part, shown).await
    }
}

impl<T, V: Serialize> Page<T, V> {
    /// The cursor of the next page, as the answer tells it.
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
