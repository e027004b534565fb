//! Promotions as they are now, their changes, and their figures. The records that come in for them are taken in by `redeem`.

pub(crate) mod account_list;
pub mod arrivals;
pub mod distributions;
pub mod lists;
pub(crate) mod order_links;
mod promotion_sums;
pub mod records;
pub mod redeem;
pub(crate) mod totals;
pub mod verify;
pub mod vouchers;

use std::collections::BTreeMap;
use std::convert::Infallible;

use futures_util::future::{try_join, try_join_all};
use revtrail_core::promotion::account::{CellFigures, DayFigures, TierAndSegment};
use revtrail_core::promotion::{FieldChange, Promotion, PromotionInput};
use revtrail_core::value::id::PromotionId;
use revtrail_core::value::money::{Currency, Money, Sums};
use revtrail_core::value::time::{Day, Instant};

use crate::market::Market;
use crate::promotions::lists::Waiting;
use crate::promotions::records::LoggedChange;
use crate::random::random_hex;
use crate::table::attributes::figures::{self, Amount};
use crate::table::change::Changes;
use crate::table::client::{Range, Reading};
use crate::table::contention::{TRIES_MAX, backoff};
use crate::table::fault::StoreError;
use crate::table::item::{Item, amount, data, expired, number, pk, sk, unreadable, version};
use crate::table::keys::{self, FiguresItem, Key, PROMOTION_SHARDS};
use crate::table::write::Transacted;

pub use crate::table::keys::promotion_shard_of;

/// The figures of a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PromotionFigures {
    /// Successful assignments.
    pub assigned: i64,
    /// Assignments that were redeemed at least once.
    pub redeemed: i64,
    /// Successful redemptions that were not taken back.
    pub redemptions: i64,
    /// Failed redemptions.
    pub failures: i64,
    /// Successful redemptions that were taken back.
    pub rolled_back: i64,
    /// Assignments with a code: successful ones, failed ones.
    pub publications: [i64; 2],
    /// Messages with a code: delivered ones, failed ones.
    pub messages: [i64; 2],
    /// Vouchers that were made.
    pub vouchers: i64,
    /// Uses that are left of the vouchers that are not disabled.
    pub open_uses: i128,
    /// Vouchers that are not disabled and have no limit.
    pub unlimited: i64,
    /// The rewards of the successful redemptions that were not taken back.
    pub rewards: Sums,
    /// The amounts of the counted orders that these redemptions name, each order once.
    pub orders: Sums,
}

impl PromotionFigures {
    fn take(&mut self, item: &Item) {
        let n = |attribute| number(item, attribute).unwrap_or(0);
        self.assigned += n(figures::ASSIGNED);
        self.redeemed += n(figures::REDEEMED);
        self.redemptions += n(figures::REDEMPTIONS);
        self.failures += n(figures::FAILURES);
        self.rolled_back += n(figures::ROLLED_BACK);
        self.publications[0] += n(figures::PUBLISHED);
        self.publications[1] += n(figures::NOT_PUBLISHED);
        self.messages[0] += n(figures::DELIVERED);
        self.messages[1] += n(figures::NOT_DELIVERED);
        self.vouchers += n(figures::VOUCHERS);
        self.open_uses += amount(Some(item), figures::OPEN_USES).micros() / 1_000_000;
        self.unlimited += n(figures::UNLIMITED);
        for attribute in item.keys() {
            let (sums, currency) = match Amount::parse(attribute) {
                Some(Amount::Rewards(currency)) => (&mut self.rewards, currency),
                Some(Amount::Orders(currency)) => (&mut self.orders, currency),
                None => continue,
            };
            sums.add(currency, amount(Some(item), attribute));
        }
    }

    /// True if a redemption was ever taken in.
    pub fn any(&self) -> bool {
        self.redemptions + self.failures + self.rolled_back > 0
    }

    /// What was spent of a budget in this currency.
    pub fn spent(&self, currency: Currency) -> Money {
        self.rewards.get(currency)
    }

    /// How many uses are left of the vouchers; `None` if the vouchers do not bound the uses.
    pub fn bounding_uses(&self) -> Option<i128> {
        (self.vouchers > 0 && self.unlimited == 0).then_some(self.open_uses)
    }

    /// The amounts of the orders less the rewards; `None` if the result cannot be held exactly.
    pub fn result(&self) -> Option<Sums> {
        self.orders.checked_sub(&self.rewards)
    }
}

/// The figures of a promotion, broken down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Breakdown {
    /// The figures by tier and segment.
    pub cells: BTreeMap<TierAndSegment, CellFigures>,
    /// The figures by day.
    pub days: BTreeMap<Day, DayFigures>,
}

impl Breakdown {
    fn take(&mut self, item: &Item) -> Result<(), StoreError> {
        let n = |attribute| number(item, attribute).unwrap_or(0);
        match keys::figures_item(sk(item)) {
            Some(FiguresItem::Day(day)) => {
                let day = self.days.entry(day).or_default();
                day.redeemed += n(figures::REDEEMED);
                day.success += n(figures::REDEMPTIONS);
                day.failure += n(figures::FAILURES);
            }
            Some(FiguresItem::Cell(cell)) => {
                let cell = self.cells.entry(cell).or_default();
                cell.assigned += n(figures::ASSIGNED);
                cell.redeemed += n(figures::REDEEMED);
                cell.redemptions += n(figures::REDEMPTIONS);
            }
            Some(FiguresItem::Voucher(_)) => {}
            None => return Err(unreadable(item, "it is of no day and of no step")),
        }
        Ok(())
    }
}

/// How many entries of a quarantine are read at once.
const WAITING_AT_ONCE: i32 = 100;

/// Promotions of one marketplace, as they are stored. Reached by [`Market::promotions`].
#[derive(Debug, Clone, Copy)]
pub struct Promotions<'m> {
    market: &'m Market,
}

impl Market {
    /// Promotions of one marketplace, as they are stored.
    pub fn promotions(&self) -> Promotions<'_> {
        Promotions { market: self }
    }
}

impl Promotions<'_> {
    /// The promotion of an id; `None` if there is none.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn promotion(self, id: &PromotionId) -> Result<Option<Promotion>, StoreError> {
        Ok(self
            .read_promotion(id)
            .await?
            .map(|(promotion, _)| promotion))
    }

    async fn read_promotion(
        self,
        id: &PromotionId,
    ) -> Result<Option<(Promotion, i64)>, StoreError> {
        let item = self
            .market
            .store
            .get(&keys::promotion(&self.market.id, id), true)
            .await?;
        item.map(|item| Ok((data(&item)?, version(&item))))
            .transpose()
    }

    /// All promotions, in order of their ids.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn list(self) -> Result<Vec<Promotion>, StoreError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = self.page(after).await?;
            all.extend(page);
            match next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// A page of promotions, in order of their ids, starting after a place; and the place where the next page starts. So that
    /// they need not be in memory all at once: a promotion can have 180 KB.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn page(
        self,
        after: Option<String>,
    ) -> Result<(Vec<Promotion>, Option<String>), StoreError> {
        let pk = keys::promotions(&self.market.id);
        let reading = Reading::STRONG;
        let page = self
            .market
            .store
            .page(&pk, &Range::All, reading, after, None);
        let (items, next) = page.await?;
        Ok((items.iter().map(data).collect::<Result<_, _>>()?, next))
    }

    /// Makes a promotion, or replaces it, and logs what changed. True if the promotion is new. In that case the records that wait
    /// for it should be taken in by [`redeem::Redemptions::admit_waiting`].
    ///
    /// # Errors
    /// As every call of the table; the same call may be made again.
    pub async fn put_promotion(
        self,
        id: &PromotionId,
        submitted: &PromotionInput,
        by: &str,
        now: Instant,
    ) -> Result<(bool, Promotion), StoreError> {
        let submit = |_: Option<&Promotion>| Ok::<_, Infallible>(submitted.clone());
        match self.submit_promotion(id, submit, by, now).await? {
            Ok(changed) => Ok(changed),
            Err(never) => match never {},
        }
    }

    /// Does the same with what `submit` makes of the current promotion.
    ///
    /// # Errors
    /// As every call of the table; the inner error is that of `submit`.
    pub async fn submit_promotion<E>(
        self,
        id: &PromotionId,
        submit: impl Fn(Option<&Promotion>) -> Result<PromotionInput, E>,
        by: &str,
        now: Instant,
    ) -> Result<Result<(bool, Promotion), E>, StoreError> {
        for attempt in 0..TRIES_MAX {
            let current = self.read_promotion(id).await?;
            let submitted = match submit(current.as_ref().map(|(promotion, _)| promotion)) {
                Ok(submitted) => submitted,
                Err(refused) => return Ok(Err(refused)),
            };
            let waiting_from = match current {
                Some(_) => None,
                None if submitted.tracking_from.is_some() => None,
                None => self.earliest_waiting(id, now).await?,
            };
            let (before, version) = match &current {
                Some((before, version)) => (Some(before), *version),
                None => (None, 0),
            };
            let promotion = submitted.promotion(before, waiting_from);
            if before == Some(&promotion) {
                return Ok(Ok((false, promotion)));
            }
            let mut changes = Changes::default();
            changes
                .at(&keys::promotion(&self.market.id, id))
                .data(&promotion)
                .next_version(version);
            self.refill(&promotion, version + 1, &mut changes).await?;
            if let Some(before) = before {
                for change in promotion.changes_from(before) {
                    self.log(id, by, now, change, &mut changes);
                }
            }
            match self
                .market
                .store
                .transact(changes.writes(&self.market.store))
                .await?
            {
                Transacted::Done => return Ok(Ok((before.is_none(), promotion))),
                Transacted::Cancelled(_) => backoff(attempt).await,
            }
        }
        Err(StoreError::Contended {
            op: "changing a promotion",
        })
    }

    /// Puts what is left of the cap and the budget, after what was used until now, into the root, and empties the shards. A
    /// redeem under an older version of the promotion is refused. It reads the promotion again and finds the new limits.
    async fn refill(
        self,
        promotion: &Promotion,
        version: i64,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        let id = &promotion.promotion_id;
        let shards =
            (0..PROMOTION_SHARDS).map(|shard| keys::promotion_total(&self.market.id, shard, id));
        let shards: Vec<Key> = shards.collect();
        let found = self.market.store.get_all(&shards, true).await?;
        let mut figures = PromotionFigures::default();
        found.iter().for_each(|item| figures.take(item));
        for shard in &shards {
            let item = found.iter().find(|item| pk(item) == shard.pk);
            let moves = item.and_then(|item| item.get(figures::MOVES));
            changes
                .at(shard)
                .require(figures::MOVES, moves.cloned())
                .number(figures::PROMOTION_VERSION, version)
                .number(figures::CAP_LEFT, 0)
                .number(figures::BUDGET_LEFT, 0);
        }
        let pool = changes.at(&keys::promotion_pool(&self.market.id, id));
        let left_of_cap = promotion.cap.map(|cap| cap - figures.redemptions);
        pool.number(figures::CAP_LEFT, left_of_cap.unwrap_or(0));
        let left = promotion
            .budget
            .map(|budget| budget.amount - figures.spent(budget.currency));
        pool.number(figures::BUDGET_LEFT, left.unwrap_or(Money::ZERO));
        if version == 1 {
            // No account is older than its promotion, and each is listed when it is made.
            pool.mark(figures::LISTED);
        }
        Ok(())
    }

    /// Raises the version of a promotion because its vouchers change, so that a concurrent redeem reads them again.
    pub(crate) async fn touch_promotion(
        self,
        id: &PromotionId,
        changes: &mut Changes,
    ) -> Result<Option<Promotion>, StoreError> {
        let Some((promotion, version)) = self.read_promotion(id).await? else {
            return Ok(None);
        };
        changes
            .at(&keys::promotion(&self.market.id, id))
            .data(&promotion)
            .next_version(version);
        for shard in 0..PROMOTION_SHARDS {
            changes
                .at(&keys::promotion_total(&self.market.id, shard, id))
                .number(figures::PROMOTION_VERSION, version + 1);
        }
        Ok(Some(promotion))
    }

    /// Logs a change. Nobody can edit the log.
    pub(crate) fn log(
        self,
        id: &PromotionId,
        by: &str,
        at: Instant,
        change: FieldChange,
        changes: &mut Changes,
    ) {
        let key = keys::promotion_change(&self.market.id, id, at, &random_hex());
        let logged = LoggedChange {
            at,
            by: by.to_owned(),
            change,
        };
        changes.at(&key).data(&logged).require_absent();
    }

    /// Changes of a promotion, newest first, each with its place, starting after one; and the place where the next page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn promotion_changes(
        self,
        id: &PromotionId,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<(String, LoggedChange)>, Option<String>), StoreError> {
        let pk = keys::promotion_changes(&self.market.id, id);
        let (items, next) = self.market.store.newest(&pk, after, limit).await?;
        let placed = |item| Ok((sk(item).to_owned(), data(item)?));
        let placed = items.iter().map(placed).collect::<Result<_, StoreError>>();
        Ok((placed?, next))
    }

    /// The earliest redemption that waits for a promotion.
    async fn earliest_waiting(
        self,
        id: &PromotionId,
        now: Instant,
    ) -> Result<Option<Instant>, StoreError> {
        let pk = keys::quarantine(&self.market.id, id);
        let (mut earliest, mut after) = (None, None);
        loop {
            let page = self.market.store.page(
                &pk,
                &Range::All,
                Reading::STRONG,
                after,
                Some(WAITING_AT_ONCE),
            );
            let (entries, next) = page.await?;
            for (_, waiting) in self.market.lists().waiting(&entries, now).await? {
                if let Waiting::Redemption(fact) = waiting {
                    let at = fact.at;
                    earliest = Some(earliest.map_or(at, |earliest: Instant| earliest.min(at)));
                }
            }
            after = next;
            if after.is_none() {
                return Ok(earliest);
            }
        }
    }

    /// The figures of all promotions that have figures, including promotions that nobody has defined yet.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn promotions_figures(
        self,
    ) -> Result<BTreeMap<PromotionId, PromotionFigures>, StoreError> {
        let shards = (0..PROMOTION_SHARDS).map(|shard| async move {
            let pk = keys::promotion_totals(&self.market.id, shard);
            self.market
                .store
                .query(&pk, &Range::All, Reading::STRONG)
                .await
        });
        let mut all: BTreeMap<PromotionId, PromotionFigures> = BTreeMap::new();
        for item in try_join_all(shards).await?.iter().flatten() {
            let id = PromotionId::new(sk(item)).map_err(|why| unreadable(item, why))?;
            all.entry(id).or_default().take(item);
        }
        Ok(all)
    }

    /// The figures of a promotion.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn promotion_figures(self, id: &PromotionId) -> Result<PromotionFigures, StoreError> {
        let shards =
            (0..PROMOTION_SHARDS).map(|shard| keys::promotion_total(&self.market.id, shard, id));
        let found = self
            .market
            .store
            .get_all(&shards.collect::<Vec<_>>(), true)
            .await?;
        let mut figures = PromotionFigures::default();
        found.iter().for_each(|item| figures.take(item));
        Ok(figures)
    }

    /// The figures of a promotion by tier and segment, and by day.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn promotion_breakdown(self, id: &PromotionId) -> Result<Breakdown, StoreError> {
        let part = |shard: u8, prefix: &'static str| async move {
            let pk = keys::promotion_figures(&self.market.id, shard, id);
            let range = Range::prefix(prefix);
            self.market.store.query(&pk, &range, Reading::STRONG).await
        };
        let cells = try_join_all((0..PROMOTION_SHARDS).map(|shard| part(shard, keys::CELL_PREFIX)));
        let days = try_join_all((0..PROMOTION_SHARDS).map(|shard| part(shard, keys::DAY_PREFIX)));
        let (cells, days) = try_join(cells, days).await?;
        let mut breakdown = Breakdown::default();
        for item in cells.iter().chain(&days).flatten() {
            breakdown.take(item)?;
        }
        let nothing = CellFigures::default();
        breakdown.cells.retain(|_, cell| *cell != nothing);
        let nothing = DayFigures::default();
        breakdown.days.retain(|_, day| *day != nothing);
        Ok(breakdown)
    }

    /// The promotions that records wait for.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn awaited(self, now: Instant) -> Result<Vec<PromotionId>, StoreError> {
        let pk = keys::awaited(&self.market.id);
        let mut items = self
            .market
            .store
            .query(&pk, &Range::All, Reading::STRONG)
            .await?;
        items.retain(|item| !expired(item, now));
        let id = |item: &Item| PromotionId::new(sk(item)).map_err(|why| unreadable(item, why));
        items.iter().map(id).collect()
    }
}
