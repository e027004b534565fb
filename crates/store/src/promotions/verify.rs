//! Verification of promotions: their totals are compared with what their accounts, redemptions, orders and vouchers add up to, one
//! promotion after the other. If nothing moved while they were added up, both must be equal.
//!
//! A promotion is left out, and named, if not everything can be found: its accounts are listed only if it was made since there is
//! such a list, records that found a full account are in none, and redemptions are not kept for ever.

use std::collections::BTreeSet;

use revtrail_core::figures::differences::WrongFigure;
use revtrail_core::promotion::Promotion;
use revtrail_core::promotion::account::{Account, Use};
use revtrail_core::promotion::redemption::Outcome;
use revtrail_core::value::id::{PromotionId, VoucherCode};
use revtrail_core::value::money::Money;
use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};

use super::account_list;
use super::order_links::Link;
use super::promotion_sums::{PromotionSums, is_money};
use super::records::{RedemptionFact, StoredVoucher};
use super::totals::{StoredFigures, StoredTotals};
use crate::jobs::job::{Job, Progress};
use crate::jobs::verification::{SavedVerification, Verification, Verifications, VerifyStep};
use crate::table::attributes::figures::{self, Amount};
use crate::table::attributes::root::MOVING;
use crate::table::attributes::{DATA, voucher};
use crate::table::client::{Range, Reading};
use crate::table::fault::StoreError;
use crate::table::item::{Item, amount, data, sk, unreadable};
use crate::table::keys::{self, Key, PROMOTION_SHARDS};

/// How many accounts or vouchers are read at once.
const READ_AT_ONCE: i32 = 100;
/// How often a promotion is added up because it changed in the meantime.
const TRIES_MAX: u8 = 3;
/// How many pages of accounts and vouchers, or promotions, are added up before what is known is saved.
const STEPS_AT_ONCE: usize = 25;

/// A walk through the promotions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PromotionWalk {
    /// The promotions up to this one are compared.
    done_to: Option<PromotionId>,
    /// How often the next promotion changed while it was added up.
    tries: u8,
    /// The promotion that is being added up.
    open: Option<OpenPromotion>,
}

/// A promotion that is being added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OpenPromotion {
    id: PromotionId,
    /// The version of the totals from before the first account was read.
    versions: i64,
    /// The count of erasures from then; `None` if the sums prove nothing, because an account was moving.
    quiet: Option<i64>,
    /// What is added up.
    part: Part,
    /// The shard of the list that is read.
    shard: u8,
    /// The place in the list; `None` at its beginning.
    after: Option<String>,
    sums: PromotionSums,
}

/// The lists that a promotion is added up from, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Accounts,
    Vouchers,
    /// Everything is added up.
    All,
}

/// How comparing a promotion ended.
enum ComparedPromotion {
    Done,
    /// The promotion changed, so it is added up once more.
    Again,
    Overtaken,
}

impl Verifications<'_> {
    /// Goes on with the walk through the promotions. False if another worker was faster.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again. What was compared stays.
    pub async fn compare_promotions(
        self,
        job: &mut Job,
        known: &mut Verification,
        repair: bool,
        clock: &(dyn Fn() -> Instant + Sync),
        stop_at: Instant,
    ) -> Result<bool, StoreError> {
        let mut counts = Progress::default();
        for _ in 0..STEPS_AT_ONCE {
            let VerifyStep::Promotions(walk) = &mut known.step else {
                break;
            };
            let Some(open) = &mut walk.open else {
                match self.next_promotion(walk).await? {
                    Some(why) => known.found.leave_out(why),
                    None if walk.open.is_none() => known.step = VerifyStep::Done,
                    None => {}
                }
                continue;
            };
            if open.part != Part::All {
                self.add_page(open).await?;
            } else {
                let ended = self.compare_one(job, known, &mut counts, repair, clock());
                match ended.await? {
                    ComparedPromotion::Done => close(known, None),
                    ComparedPromotion::Again => again(known),
                    ComparedPromotion::Overtaken => return Ok(false),
                }
            }
            if clock() >= stop_at {
                break;
            }
        }
        let saved = self.save(job, known, &counts, clock()).await?;
        Ok(saved == SavedVerification::Done)
    }

    /// Opens the promotion after those that are done. The answer says which one is left out, and why; `None` if one was opened, or
    /// if none is left.
    async fn next_promotion(self, walk: &mut PromotionWalk) -> Result<Option<String>, StoreError> {
        let (store, id) = (&self.market.store, &self.market.id);
        let after = walk.done_to.as_ref().map(|done| done.to_string());
        let all = keys::promotions(id);
        let page = store.page(&all, &Range::All, Reading::STRONG, after, Some(1));
        let Some(item) = page.await?.0.into_iter().next() else {
            return Ok(None);
        };
        let promotion: Promotion = data(&item)?;
        let name = promotion.promotion_id;
        let quiet = self.erasures_if_quiet().await?;
        let pool = store.get(&keys::promotion_pool(id, &name), true).await?;
        let is_listed = pool.is_some_and(|pool| pool.contains_key(figures::LISTED));
        let totals = StoredTotals::read(self.market, &name).await?;
        if !is_listed || totals.has_records_beside() {
            let why = match is_listed {
                true => "some records found a full account",
                false => "its accounts are not all listed, since it is older than their list",
            };
            walk.done_to = Some(name.clone());
            return Ok(Some(format!("promotion {name}: {why}")));
        }
        walk.open = Some(OpenPromotion {
            id: name,
            versions: totals.versions(),
            quiet,
            part: Part::Accounts,
            shard: 0,
            after: None,
            sums: PromotionSums::default(),
        });
        Ok(None)
    }

    /// Adds up the next accounts or vouchers of a promotion.
    async fn add_page(self, open: &mut OpenPromotion) -> Result<(), StoreError> {
        let id = &self.market.id;
        let (list, range) = match open.part {
            Part::Accounts => (
                keys::promotion_lists(id, open.shard, &open.id),
                Range::prefix(keys::ACCOUNTS_PREFIX),
            ),
            _ => (keys::vouchers(id, open.shard, &open.id), Range::All),
        };
        let (after, some) = (open.after.take(), Some(READ_AT_ONCE));
        let page = self
            .market
            .store
            .page(&list, &range, Reading::STRONG, after, some);
        let (items, next) = page.await?;
        match open.part {
            Part::Accounts => self.add_accounts(open, &items).await?,
            _ => self.add_vouchers(open, &items).await?,
        }
        open.after = next;
        if open.after.is_none() {
            open.shard += 1;
        }
        if open.shard == PROMOTION_SHARDS {
            open.shard = 0;
            open.part = match open.part {
                Part::Accounts => Part::Vouchers,
                Part::Vouchers | Part::All => Part::All,
            };
        }
        Ok(())
    }

    async fn add_accounts(
        self,
        open: &mut OpenPromotion,
        entries: &[Item],
    ) -> Result<(), StoreError> {
        let mut wanted = Vec::new();
        for entry in entries {
            let customer = account_list::customer_of(entry)?;
            wanted.push(keys::account(&self.market.id, &customer, &open.id));
        }
        for item in self.market.store.get_all(&wanted, true).await? {
            if item.contains_key(MOVING) {
                open.quiet = None;
                continue;
            }
            let account: Account = data(&item)?;
            open.sums
                .figures
                .add_account(self.market, &open.id, &account.figures());
            let counts = |used: &&Use| used.result == Outcome::Success && !used.rolled_back;
            let counting: Vec<&Use> = account.uses.iter().filter(counts).collect();
            self.add_uses(open, &counting).await?;
        }
        Ok(())
    }

    /// Adds what successes cost, and what the orders add that they name.
    async fn add_uses(self, open: &mut OpenPromotion, uses: &[&Use]) -> Result<(), StoreError> {
        let (store, id) = (&self.market.store, &self.market.id);
        let total = keys::promotion_total(id, 0, &open.id);
        let key = |used: &&Use| keys::redemption(id, &used.redemption_id);
        let facts = store
            .get_all(&uses.iter().map(key).collect::<Vec<_>>(), true)
            .await?;
        open.sums.is_over |= facts.len() < uses.len();
        let with_code = uses.iter().filter(|used| used.voucher_code.is_some());
        open.sums.uses[0] += with_code.count() as i64;
        let mut named = Vec::new();
        for item in &facts {
            let fact: RedemptionFact = data(item)?;
            if let Some((reward, currency)) = fact.reward {
                let rewards = Amount::Rewards(currency).name();
                open.sums.figures.add(&total, &rewards, reward);
            }
            let order = fact.submitted.order_id.as_ref();
            named.extend(order.map(|order| keys::order_link(id, order, &open.id)));
        }
        let links = store.get_map(&distinct(&named)).await?;
        for key in &named {
            let link: Link = links.get(key).map(data).transpose()?.unwrap_or_default();
            let (uses, adds) = open.sums.orders.entry(link.named).or_default();
            *uses += 1;
            if let Some((currency, amount)) = link.adds {
                *adds.entry(currency).or_default() += amount;
            }
        }
        Ok(())
    }

    /// Adds up vouchers, and the uses of codes that no voucher has.
    async fn add_vouchers(
        self,
        open: &mut OpenPromotion,
        items: &[Item],
    ) -> Result<(), StoreError> {
        let total = keys::promotion_total(&self.market.id, 0, &open.id);
        for item in items {
            let made = item.contains_key(DATA).then(|| data(item)).transpose()?;
            let made: Option<StoredVoucher> = made;
            let mut parts = vec![item.clone()];
            if made.as_ref().is_some_and(StoredVoucher::is_spread) {
                let shards = self.voucher_shards(open, item)?;
                parts.extend(self.market.store.get_all(&shards, true).await?);
            }
            let sum = |attribute| {
                let parts = parts.iter().map(|part| amount(Some(part), attribute));
                parts.fold(Money::ZERO, |sum, part| sum + part)
            };
            let uses = sum(voucher::USES);
            open.sums.uses[1] += uses.whole();
            let Some(made) = made else { continue };
            let figures = &mut open.sums.figures;
            figures.add(&total, figures::VOUCHERS, Money::from(1));
            let is_disabled = item.contains_key(voucher::DISABLED);
            match made.limit {
                Some(limit) => {
                    let left = Money::from(limit) - uses;
                    open.sums.left[0] += left;
                    open.sums.left[1] += sum(voucher::LEFT);
                    if !is_disabled {
                        figures.add(&total, figures::OPEN_USES, left.max(Money::ZERO));
                    }
                }
                None if !is_disabled => figures.add(&total, figures::UNLIMITED, Money::from(1)),
                None => {}
            }
        }
        Ok(())
    }

    fn voucher_shards(self, open: &OpenPromotion, item: &Item) -> Result<Vec<Key>, StoreError> {
        let code = VoucherCode::new(sk(item)).map_err(|why| unreadable(item, why))?;
        let shard = |shard| keys::voucher_shard(&self.market.id, shard, &open.id, &code);
        Ok((0..PROMOTION_SHARDS).map(shard).collect())
    }

    /// Compares a promotion that is added up with its totals, and sets wrong ones right if that is asked for.
    async fn compare_one(
        self,
        job: &mut Job,
        known: &mut Verification,
        counts: &mut Progress,
        repair: bool,
        now: Instant,
    ) -> Result<ComparedPromotion, StoreError> {
        let VerifyStep::Promotions(PromotionWalk {
            open: Some(open), ..
        }) = &known.step
        else {
            return Ok(ComparedPromotion::Done);
        };
        let open = open.clone();
        let of = format!("promotion {}", open.id);
        let found = self.market.promotions().promotion(&open.id).await?;
        let Some(promotion) = found else {
            return Ok(ComparedPromotion::Done);
        };
        let StoredFigures { totals, figures } =
            StoredFigures::read(self.market, &promotion).await?;
        let quiet = open.quiet.is_some() && open.quiet == self.erasures_if_quiet().await?;
        if !quiet || totals.versions() != open.versions {
            return Ok(ComparedPromotion::Again);
        }
        let (right, beyond) = open.sums.all(self.market, &promotion);
        let unknown = |name: &str| open.sums.is_over && is_money(name);
        let (stored, right) = (figures.without(unknown), right.without(unknown));
        let mut wrong = WrongFigure::between(&stored.named(self.market), &right.named(self.market));
        if open.sums.is_over {
            let why = format!("{of}: its money, since some of its redemptions are no longer kept");
            known.found.leave_out(why);
        }
        if wrong.is_empty() && beyond.is_empty() {
            return Ok(ComparedPromotion::Done);
        }
        counts.differences += 1;
        if !repair || wrong.is_empty() {
            wrong.extend(beyond);
            known.found.add(&of, wrong, false);
            return Ok(ComparedPromotion::Done);
        }
        let mut repaired = known.clone();
        repaired.found.add(&of, wrong, true);
        repaired.found.add(&of, beyond, false);
        close(&mut repaired, None);
        counts.repaired += 1;
        let changes = totals.correction(self.market, &open.id, &stored, &right);
        let writes = changes.writes(&self.market.store);
        let saved = self
            .save_with(job, &mut repaired, counts, writes, now)
            .await?;
        match saved {
            SavedVerification::Done => {
                *counts = Progress::default();
                *known = repaired;
                Ok(ComparedPromotion::Done)
            }
            SavedVerification::Refused => {
                counts.differences -= 1;
                counts.repaired -= 1;
                Ok(ComparedPromotion::Again)
            }
            SavedVerification::Overtaken => Ok(ComparedPromotion::Overtaken),
        }
    }
}

/// Goes on to the next promotion; `why` says why this one was not compared.
fn close(known: &mut Verification, why: Option<&str>) {
    let VerifyStep::Promotions(walk) = &mut known.step else {
        return;
    };
    let Some(open) = walk.open.take() else { return };
    walk.tries = 0;
    if let Some(why) = why {
        let of = &open.id;
        known.found.leave_out(format!("promotion {of}: {why}"));
    }
    walk.done_to = Some(open.id);
}

/// Adds a promotion up once more, or leaves it out if that was tried often enough.
fn again(known: &mut Verification) {
    let VerifyStep::Promotions(walk) = &mut known.step else {
        return;
    };
    walk.tries += 1;
    if walk.tries < TRIES_MAX {
        walk.open = None;
    } else {
        close(known, Some("it changed all the time"));
    }
}

/// The keys without those that come a second time.
fn distinct(keys: &[Key]) -> Vec<Key> {
    let distinct = BTreeSet::from_iter(keys.iter().cloned());
    distinct.into_iter().collect()
}
