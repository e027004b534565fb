//! Purchase rows: the orders of local days, in lists by the campaign that earned them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::figures::fold::{Contribution, OrderLine};
use revtrail_core::value::address::Recipient;
use revtrail_core::value::id::{CampaignId, CustomerId, OrderId};
use revtrail_core::value::time::{Day, Instant};
use serde::{Deserialize, Serialize};

use crate::market::Market;
use crate::market::settings::RulesSeen;
use crate::table::client::{Range, Reading};
use crate::table::fault::StoreError;
use crate::table::item::{Item, NewItem, data, expired, sk};
use crate::table::keys::{self, PurchaseList};
use crate::table::write::Write;
use revtrail_core::attribution::reach::Reattribution;

/// The most rows held of a day that is read by time: some 10 MB. All lists of the day share them.
const ROWS_IN_HAND: usize = 20_000;
/// The fewest rows of a list that are read at once there.
const LIST_ROWS_MIN: usize = 10;
/// How many lists have their first rows read at the same time.
const LISTS_AT_ONCE: usize = 16;

/// A stored order as the last run decided it, in the list of the campaign that earned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurchaseRow {
    /// The customer who bought.
    #[serde(rename = "c")]
    pub customer_id: CustomerId,
    /// The order, as it was decided.
    #[serde(rename = "l")]
    pub line: OrderLine,
}

/// Purchase rows of one marketplace. Reached by [`Market::purchases`].
#[derive(Debug, Clone, Copy)]
pub struct Purchases<'m> {
    market: &'m Market,
}

impl Market {
    /// Purchase rows of one marketplace.
    pub fn purchases(&self) -> Purchases<'_> {
        Purchases { market: self }
    }
}

impl<'m> Purchases<'m> {
    /// A write that puts a purchase row at its key.
    pub(crate) fn put_row(
        self,
        key: &keys::Key,
        day: Day,
        customer: &CustomerId,
        line: &OrderLine,
    ) -> Write {
        let item = NewItem::at(key).data(&PurchaseRow {
            customer_id: customer.clone(),
            line: line.clone(),
        });
        self.market
            .store
            .put_write(item.expires(self.market.daily().unseen_at(day)), None)
    }

    /// The key of an order's row; see [`Meta::split_from`](crate::market::Meta::split_from).
    pub(crate) fn row_key(self, spread_from: Option<Day>, day: Day, line: &OrderLine) -> keys::Key {
        let list = match &line.figures.credit {
            Some(credit) => PurchaseList::Of(credit.campaign_id.clone()),
            None if spread_from.is_some_and(|from| day >= from) => {
                PurchaseList::Uncredited(keys::uncredited_shard_of(&line.order_id))
            }
            None => PurchaseList::Uncredited(0),
        };
        keys::purchase(&self.market.id, &list, day, line.placed_at, &line.order_id)
    }

    /// True if the stored purchase rows of a customer are those that follow from a contribution.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn rows_are(
        self,
        recipient: &Recipient,
        contribution: &Contribution,
        seen: RulesSeen,
    ) -> Result<bool, StoreError> {
        let days = contribution.days.iter();
        let mut lines: Vec<(Day, &OrderLine)> = days
            .flat_map(|(&day, part)| part.orders.iter().map(move |line| (day, line)))
            .collect();
        let keys: Vec<_> = lines
            .iter()
            .map(|(day, line)| self.row_key(seen.split_from, *day, line))
            .collect();
        for item in self.market.store.get_all(&keys, true).await? {
            let row: PurchaseRow = data(&item)?;
            lines.retain(|(_, line)| {
                **line != row.line || Some(&row.customer_id) != recipient.customer()
            });
        }
        Ok(lines.is_empty())
    }

    /// A page of a list, of the orders of some days: at most `limit` of them, newest first, starting after the sort key `after`.
    /// With it comes the place where the next page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn of_list(
        self,
        list: &PurchaseList,
        days: RangeInclusive<Day>,
        after: Option<String>,
        limit: Option<i32>,
        reading: Reading,
        now: Instant,
    ) -> Result<(Vec<(String, PurchaseRow)>, Option<String>), StoreError> {
        // The rows of a day begin with the day and "/". The byte after "/" is "0".
        let range = Range::Between(days.start().to_string(), format!("{}0", days.end()));
        self.page(list, &range, after, limit, reading, now).await
    }

    /// A page of a list, newest first.
    async fn page(
        self,
        list: &PurchaseList,
        range: &Range,
        after: Option<String>,
        limit: Option<i32>,
        reading: Reading,
        now: Instant,
    ) -> Result<(Vec<(String, PurchaseRow)>, Option<String>), StoreError> {
        let reading = Reading {
            newest_first: true,
            ..reading
        };
        let pk = keys::purchases(&self.market.id, list);
        let store = &self.market.store;
        let (items, next) = store.page(&pk, range, reading, after, limit).await?;
        let row = |item: &Item| Ok((sk(item).to_owned(), data(item)?));
        let rows = items
            .iter()
            .filter(|item| !expired(item, now))
            .map(row)
            .collect::<Result<_, StoreError>>()?;
        Ok((rows, next))
    }

    /// What a campaign earned on some days: at most `limit` rows with their sort keys, newest first, after a sort key; and the
    /// place where the next page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn purchases_of(
        self,
        campaign: &CampaignId,
        days: RangeInclusive<Day>,
        after: Option<String>,
        limit: usize,
        reading: Reading,
        now: Instant,
    ) -> Result<(Vec<(String, PurchaseRow)>, Option<String>), StoreError> {
        // After a full page the table always names a next place, even if nothing is left. One more row shows whether there is
        // more.
        let one_more = i32::try_from(limit.saturating_add(1)).unwrap_or(i32::MAX);
        let list = PurchaseList::Of(campaign.clone());
        let page = self.of_list(&list, days, after, Some(one_more), reading, now);
        let (mut rows, mut next) = page.await?;
        if rows.len() > limit {
            rows.truncate(limit);
            next = rows.last().map(|(sk, _)| sk.clone());
        }
        Ok((rows, next))
    }

    /// The orders of days as the last run decided them, starting at a place. The daily aggregates of the days say which campaigns
    /// earned any.
    pub fn rows(
        self,
        aggregates: &BTreeMap<Day, Aggregate<CampaignId>>,
        place: Option<RowPlace>,
        now: Instant,
    ) -> PurchaseRows<'m> {
        let lists = |(&day, aggregate)| lists(aggregate).into_iter().map(move |one| (day, one));
        let mut lists: VecDeque<_> = aggregates.iter().flat_map(lists).collect();
        let mut after = None;
        if let Some(place) = place {
            let list = match place.campaign {
                Some(campaign) => PurchaseList::Of(campaign),
                None => PurchaseList::Uncredited(place.shard),
            };
            let next = (place.day, list);
            lists.drain(..lists.partition_point(|list| *list < next));
            after = place.after.filter(|_| lists.front() == Some(&next));
        }
        PurchaseRows {
            market: self.market,
            now,
            lists,
            after,
            from: None,
        }
    }

    /// How many orders of some days, as the last run decided them, were placed at an instant or later. No other order is read.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn placed_from(
        self,
        aggregates: &BTreeMap<Day, Aggregate<CampaignId>>,
        at: Instant,
        now: Instant,
    ) -> Result<i64, StoreError> {
        let lists = aggregates.iter().flat_map(|(&day, aggregate)| {
            let lists = lists(aggregate).into_iter();
            lists.map(move |list| (day, list))
        });
        let counts = lists.map(|(day, list)| async move {
            let pk = keys::purchases(&self.market.id, &list);
            let range = Range::Between(keys::purchases_from(day, at), format!("{day}0"));
            let store = &self.market.store;
            let items = store.query(&pk, &range, Reading::STRONG).await?;
            let kept = items.iter().filter(|item| !expired(item, now));
            Ok::<_, StoreError>(kept.count() as i64)
        });
        let counts = stream::iter(counts.collect::<Vec<_>>()).buffer_unordered(LISTS_AT_ONCE);
        counts.try_fold(0, async |sum, n| Ok(sum + n)).await
    }

    /// The orders of a day as the last run decided them, newest first, those before `before`. The caller asks for them a few at a
    /// time.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn newest_first(
        self,
        day: Day,
        aggregate: Option<&Aggregate<CampaignId>>,
        before: Option<(Instant, &OrderId)>,
        at_once: usize,
        now: Instant,
    ) -> Result<NewestFirst<'m>, StoreError> {
        let lists = aggregate.map(lists).unwrap_or_default();
        let each = at_once.min(ROWS_IN_HAND / lists.len().max(1));
        let list = RowList {
            market: self.market,
            day,
            now,
            limit: each.max(LIST_ROWS_MIN) as i32,
            rows: VecDeque::new(),
            after: before.map(|(at, order)| keys::purchase_place(day, at, order)),
            over: false,
        };
        let first = lists.into_iter().map(|of| {
            let mut list = list.clone();
            async move {
                let newest = list.fill(&of).await?;
                Ok::<_, StoreError>(newest.map(|newest| ((newest, of), list)))
            }
        });
        let lists = stream::iter(first).buffer_unordered(LISTS_AT_ONCE);
        let lists = lists.try_filter_map(async |list| Ok(list));
        Ok(NewestFirst {
            lists: lists.try_collect().await?,
        })
    }
}

/// The lists that orders of a day may be in: those of the campaigns that earned any, and of the orders that nobody earned.
fn lists(aggregate: &Aggregate<CampaignId>) -> BTreeSet<PurchaseList> {
    let rows = aggregate
        .rows
        .iter()
        .filter(|(_, figures)| figures.orders != 0);
    let campaigns = rows.map(|((campaign, _), _)| PurchaseList::Of(campaign.clone()));
    let uncredited = (0..keys::UNCREDITED_SHARDS).map(PurchaseList::Uncredited);
    campaigns.chain(uncredited).collect()
}

/// The orders of days, read strongly: day by day, list by list, page by page.
#[derive(Debug)]
pub struct PurchaseRows<'m> {
    market: &'m Market,
    now: Instant,
    lists: VecDeque<(Day, PurchaseList)>,
    after: Option<String>,
    /// Orders that were placed earlier are not read.
    from: Option<Instant>,
}

/// A place in a walk through the orders of days. The walk misses an order that moves to an earlier list, but that one was just
/// decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowPlace {
    #[serde(rename = "d")]
    day: Day,
    /// The campaign whose list is next; `None` for the orders that nobody earned.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    campaign: Option<CampaignId>,
    /// The shard of the orders that nobody earned which is next. Earlier releases had the first one alone.
    #[serde(rename = "s", default, skip_serializing_if = "is_first")]
    shard: u8,
    /// The last row that was read of the list; `None` at its beginning.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_first(shard: &u8) -> bool {
    *shard == 0
}

impl PurchaseRows<'_> {
    /// The next page, which can be empty; `None` after the last.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn next(&mut self) -> Result<Option<Vec<PurchaseRow>>, StoreError> {
        let Some((day, list)) = self.lists.front() else {
            return Ok(None);
        };
        let first = match self.from {
            Some(from) => keys::purchases_from(*day, from),
            None => day.to_string(),
        };
        let range = Range::Between(first, format!("{day}0"));
        let after = self.after.take();
        let purchases = self.market.purchases();
        let page = purchases.page(list, &range, after, None, Reading::STRONG, self.now);
        let (rows, next) = page.await?;
        self.after = next;
        if self.after.is_none() {
            self.lists.pop_front();
        }
        Ok(Some(rows.into_iter().map(|(_, row)| row).collect()))
    }

    /// The place where the walk goes on; `None` at the end.
    pub fn place(&self) -> Option<RowPlace> {
        let (day, list) = self.lists.front()?;
        let (campaign, shard) = match list {
            PurchaseList::Of(campaign) => (Some(campaign.clone()), 0),
            PurchaseList::Uncredited(shard) => (None, *shard),
        };
        Some(RowPlace {
            day: *day,
            campaign,
            shard,
            after: self.after.clone(),
        })
    }
}

/// The orders of a day, read strongly, newest first. The lists of the day are merged, each by its newest row that was not given
/// yet.
#[derive(Debug)]
pub struct NewestFirst<'m> {
    lists: BTreeMap<(String, PurchaseList), RowList<'m>>,
}

/// The rows of one list that were read and not given yet.
#[derive(Debug, Clone)]
struct RowList<'m> {
    market: &'m Market,
    day: Day,
    now: Instant,
    limit: i32,
    rows: VecDeque<(String, PurchaseRow)>,
    after: Option<String>,
    over: bool,
}

impl NewestFirst<'_> {
    /// The next rows; as many as were asked for, if there are so many.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn next(&mut self, rows: usize) -> Result<Vec<PurchaseRow>, StoreError> {
        let mut found = Vec::new();
        while found.len() < rows
            && let Some(((_, of), mut list)) = self.lists.pop_last()
        {
            found.extend(list.rows.pop_front().map(|(_, row)| row));
            if let Some(newest) = list.fill(&of).await? {
                self.lists.insert((newest, of), list);
            }
        }
        Ok(found)
    }
}

impl RowList<'_> {
    /// Reads the next rows of a list if none of it are in memory. Gives the key of the newest row in memory.
    async fn fill(&mut self, of: &PurchaseList) -> Result<Option<String>, StoreError> {
        while self.rows.is_empty() && !self.over {
            let (days, after, limit) = (self.day..=self.day, self.after.take(), Some(self.limit));
            let reading = Reading::STRONG;
            let page = self
                .market
                .purchases()
                .of_list(of, days, after, limit, reading, self.now);
            let (rows, next) = page.await?;
            self.rows.extend(rows);
            self.over = next.is_none();
            self.after = next;
        }
        Ok(self.rows.front().map(|(key, _)| key.clone()))
    }
}

/// The customers of the orders placed in a period, found through daily aggregates and purchase rows, never by a scan.
#[derive(Debug)]
pub struct OrdersInRange<'m> {
    span: Reattribution,
    rows: PurchaseRows<'m>,
}

impl<'m> Purchases<'m> {
    /// The customers whose orders a change touches, starting at a place.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn reattributed(
        self,
        mut span: Reattribution,
        place: Option<RowPlace>,
        now: Instant,
    ) -> Result<OrdersInRange<'m>, StoreError> {
        let mut days = BTreeMap::new();
        if let Some(versions) = self.market.settings().versions().await? {
            let day = |at: Instant| at.day(versions.at(at).settings.timezone);
            let first_folded = self.market.retention.first_folded(day(now));
            // Days are named by the zone in force at the order's own instant, and zones are up to 26 hours apart.
            let mut first = day(span.from).minus(2);
            if first < first_folded {
                // An order that nobody sees any more can be the purchase because of which a visible one is not the customer's
                // first.
                first = first_folded;
                let look_back_ms = self.market.retention.look_back_ms();
                span.to = span.to.map(|to| to.plus_ms(look_back_ms));
            }
            let first = place.as_ref().map_or(first, |place| first.max(place.day));
            let last = day(span.to.unwrap_or(now)).plus(2);
            if first <= last {
                days = self
                    .market
                    .daily()
                    .aggregates(first, last, Reading::STRONG, now)
                    .await?;
            }
        }
        Ok(OrdersInRange {
            rows: PurchaseRows {
                from: Some(span.from),
                ..self.rows(&days, place, now)
            },
            span,
        })
    }
}

impl OrdersInRange<'_> {
    /// The customers of the next page of orders, which can be nobody; `None` after the last page.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn next(&mut self) -> Result<Option<BTreeSet<CustomerId>>, StoreError> {
        let rows = self.rows.next().await?;
        let touched = |row: &PurchaseRow| self.span.takes(row.line.placed_at);
        let customers = |rows: Vec<PurchaseRow>| {
            let touched = rows.into_iter().filter(touched);
            touched.map(|row| row.customer_id).collect()
        };
        Ok(rows.map(customers))
    }

    /// The place where the walk goes on; `None` at the end.
    pub fn place(&self) -> Option<RowPlace> {
        self.rows.place()
    }
}
