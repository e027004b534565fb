//! Lists of redemptions, publications and distributions, of the records that wait in quarantine, and the feed. A list has keys in
//! order, which point at the facts. It is spread over shards, and merged here.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::try_join_all;
use revtrail_core::promotion::account::Account;
use revtrail_core::promotion::admission::{self, Surroundings, VoucherState};
use revtrail_core::promotion::redemption::{Flag, Outcome};
use revtrail_core::value::id::{AssignmentId, CustomerId, PromotionId, RedemptionId};
use revtrail_core::value::time::Instant;
use serde::de::DeserializeOwned;

use crate::ledger::facts::Pointer;
use crate::market::Market;
use crate::promotions::distributions::Distribution;
use crate::promotions::records::{AssignmentFact, RedemptionFact, voucher_state};
use crate::table::attributes::root::MOVING;
use crate::table::client::{Range, Reading, last};
use crate::table::fault::StoreError;
use crate::table::item::{Item, data, expired, pk, sk, unreadable};
use crate::table::keys::{self, Key, PROMOTION_SHARDS, QuarantineEntry};

/// Which part of a list to read.
#[derive(Debug, Clone)]
pub(crate) struct ListPart {
    pub(crate) prefix: String,
    pub(crate) newest_first: bool,
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
}

/// The items that redemptions refer to, as they are stored.
struct Around(HashMap<Key, Item>);

fn voucher_key(market: &Market, fact: &RedemptionFact) -> Option<Key> {
    let code = fact.submitted.voucher_code.as_ref()?;
    Some(keys::voucher(
        &market.id,
        &fact.submitted.promotion_id,
        code,
    ))
}

fn account_key(market: &Market, fact: &RedemptionFact) -> Key {
    keys::account(
        &market.id,
        &fact.submitted.customer_id,
        &fact.submitted.promotion_id,
    )
}

impl Around {
    /// The voucher of a redemption's code; `None` if the redemption names no code.
    fn voucher(&self, market: &Market, fact: &RedemptionFact) -> Option<VoucherState> {
        voucher_key(market, fact).map(|key| voucher_state(self.0.get(&key)))
    }

    fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        self.0.get(key).map(data).transpose()
    }

    /// The flags of a redemption. Only a success whose promotion exists has any.
    fn flags(&self, market: &Market, fact: &RedemptionFact) -> Result<BTreeSet<Flag>, StoreError> {
        let submitted = &fact.submitted;
        let promotion = self.read(&keys::promotion(&market.id, &submitted.promotion_id))?;
        let Some(promotion) = promotion.filter(|_| fact.result() == Outcome::Success) else {
            return Ok(BTreeSet::new());
        };
        let account = self.0.get(&account_key(market, fact));
        // Of an account that is being erased only its mark is there.
        let account = account.filter(|item| !item.contains_key(MOVING));
        let account: Option<Account> = account.map(data).transpose()?;
        let account = account.as_ref();
        let order = submitted.order_id.as_ref();
        let pointer = order.map(|order| keys::order_pointer(&market.id, order));
        let pointer: Option<Pointer> = match &pointer {
            Some(key) => self.read(key)?,
            None => None,
        };
        let code = submitted.voucher_code.as_ref();
        let assignment = submitted.assignment_id.as_ref();
        let known = Surroundings {
            promotion: &promotion,
            voucher: self.voucher(market, fact),
            holds_code: account
                .zip(code)
                .is_some_and(|(account, code)| account.holds_code(code)),
            knows_assignment: account
                .zip(assignment)
                .is_some_and(|(account, id)| account.knows(id)),
            buyer: pointer.as_ref().map(|pointer| &pointer.customer_id),
        };
        Ok(admission::flags(
            submitted,
            fact.at,
            fact.reward,
            &fact.flags,
            &known,
        ))
    }
}

/// Something in a list, behind its place there. A list can go on after each of its rows.
pub type Placed<T> = (String, T);

/// What entries of a list point at, with the places of the entries.
fn placed<T>(entries: &[Item], of: impl Fn(&Item) -> Option<T>) -> Vec<Placed<T>> {
    let one = |entry| Some((sk(entry).to_owned(), of(entry)?));
    entries.iter().filter_map(one).collect()
}

/// A record that waits for its promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// An assignment.
    Assignment(AssignmentFact),
    /// A redemption.
    Redemption(RedemptionFact),
}

/// Lists of promotions of one marketplace. Reached by [`Market::lists`].
#[derive(Debug, Clone, Copy)]
pub struct Lists<'m> {
    pub(super) market: &'m Market,
}

impl Market {
    /// Lists of promotions of one marketplace.
    pub fn lists(&self) -> Lists<'_> {
        Lists { market: self }
    }
}

impl Lists<'_> {
    /// A part of a list that is spread over shards, and the place where the next part starts.
    pub(crate) async fn merged(
        self,
        shards: Vec<String>,
        part: &ListPart,
    ) -> Result<(Vec<Item>, Option<String>), StoreError> {
        let reading = Reading {
            newest_first: part.newest_first,
            ..Reading::STRONG
        };
        let last = last(&part.prefix);
        let range = match (&part.after, part.newest_first) {
            (None, _) if part.prefix.is_empty() => Range::All,
            (None, _) => Range::Between(part.prefix.clone(), last),
            (Some(after), true) if part.prefix.is_empty() => {
                Range::Between(" ".to_owned(), after.clone())
            }
            (Some(after), true) => Range::Between(part.prefix.clone(), after.clone()),
            (Some(after), false) => Range::Between(after.clone(), last),
        };
        let most = part.limit + 2;
        let shard = |pk: String| {
            let range = &range;
            async move {
                let mut items = Vec::new();
                let mut after = None;
                loop {
                    let limit = i32::try_from(most).ok();
                    let page = self
                        .market
                        .store
                        .page(&pk, range, reading, after, limit)
                        .await?;
                    items.extend(page.0);
                    match page.1 {
                        Some(next) if items.len() < most => after = Some(next),
                        _ => return Ok::<_, StoreError>(items),
                    }
                }
            }
        };
        let shards = try_join_all(shards.into_iter().map(shard)).await?;
        let mut items: Vec<Item> = shards.into_iter().flatten().collect();
        items.retain(|item| part.after.as_deref() != Some(sk(item)));
        items.sort_by(|a, b| {
            let order = sk(a).cmp(sk(b));
            if part.newest_first {
                order.reverse()
            } else {
                order
            }
        });
        let more = items.len() > part.limit;
        items.truncate(part.limit);
        let next = items.last().filter(|_| more);
        let next = next.map(|last| sk(last).to_owned());
        Ok((items, next))
    }

    async fn listed(
        self,
        promotion: &PromotionId,
        prefix: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Item>, Option<String>), StoreError> {
        let shards = (0..PROMOTION_SHARDS)
            .map(|shard| keys::promotion_lists(&self.market.id, shard, promotion));
        let part = ListPart {
            prefix: prefix.to_owned(),
            newest_first: true,
            after,
            limit,
        };
        self.merged(shards.collect(), &part).await
    }

    /// Redemptions of a promotion, latest first, starting after a place; and the place where the next page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn redemptions_of(
        self,
        promotion: &PromotionId,
        after: Option<String>,
        limit: usize,
        now: Instant,
    ) -> Result<(Vec<Placed<RedemptionFact>>, Option<String>), StoreError> {
        let (items, next) = self
            .listed(promotion, keys::REDEMPTIONS_PREFIX, after, limit)
            .await?;
        let key = |entry: &Item| {
            let id = RedemptionId::new(keys::listed_id(sk(entry))?).ok()?;
            Some(keys::redemption(&self.market.id, &id))
        };
        let facts = self.redemption_facts(&placed(&items, key), now).await?;
        Ok((facts, next))
    }

    /// The redemptions of some keys, in the order of the keys, with the flags that hold now. Expired ones are left out.
    async fn redemption_facts(
        self,
        wanted: &[Placed<Key>],
        now: Instant,
    ) -> Result<Vec<Placed<RedemptionFact>>, StoreError> {
        let mut facts: Vec<Placed<RedemptionFact>> = self.facts_at(wanted, now).await?;
        let around = self.around(&facts).await?;
        for (_, fact) in &mut facts {
            fact.flags = around.flags(self.market, fact)?;
        }
        Ok(facts)
    }

    /// Reads what redemptions refer to. A customer's promotion account is read only for an assignment, or for a code that
    /// somebody was given.
    async fn around(self, facts: &[Placed<RedemptionFact>]) -> Result<Around, StoreError> {
        let id = &self.market.id;
        let mut wanted = BTreeSet::new();
        for (_, fact) in facts {
            let submitted = &fact.submitted;
            wanted.insert(keys::promotion(id, &submitted.promotion_id));
            wanted.extend(voucher_key(self.market, fact));
            let order = submitted.order_id.as_ref();
            wanted.extend(order.map(|order| keys::order_pointer(id, order)));
        }
        let mut around = Around(self.market.store.get_map(&Vec::from_iter(wanted)).await?);
        let facts = facts.iter().map(|(_, fact)| fact);
        let accounts = facts.filter(|fact| {
            let submitted = &fact.submitted;
            submitted.assignment_id.is_some()
                || around
                    .voucher(self.market, fact)
                    .is_some_and(|it| it.assigned)
        });
        let accounts = accounts.map(|fact| account_key(self.market, fact));
        let accounts: BTreeSet<Key> = accounts.collect();
        let found = self.market.store.get_map(&Vec::from_iter(accounts)).await?;
        around.0.extend(found);
        Ok(around)
    }

    /// The facts of some keys, in the order of the keys, without expired ones.
    async fn facts_at<T: DeserializeOwned>(
        self,
        wanted: &[Placed<Key>],
        now: Instant,
    ) -> Result<Vec<Placed<T>>, StoreError> {
        let items = self.items_at(wanted, now).await?.into_iter();
        items
            .map(|(place, item)| Ok((place, data(&item)?)))
            .collect()
    }

    /// The items of some keys, in the order of the keys, without expired ones.
    pub(crate) async fn items_at(
        self,
        wanted: &[Placed<Key>],
        now: Instant,
    ) -> Result<Vec<Placed<Item>>, StoreError> {
        let mut distinct: Vec<Key> = wanted.iter().map(|(_, key)| key.clone()).collect();
        distinct.sort();
        distinct.dedup();
        let found = self.market.store.get_map(&distinct).await?;
        let item = |(place, key): &Placed<Key>| {
            let item = found.get(key).filter(|item| !expired(item, now))?;
            Some((place.clone(), item.clone()))
        };
        Ok(wanted.iter().filter_map(item).collect())
    }

    /// Assignments with a code, latest first, starting after a place; and the place where the next page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn publications_of(
        self,
        promotion: &PromotionId,
        after: Option<String>,
        limit: usize,
        now: Instant,
    ) -> Result<(Vec<Placed<AssignmentFact>>, Option<String>), StoreError> {
        let (items, next) = self
            .listed(promotion, keys::PUBLICATIONS_PREFIX, after, limit)
            .await?;
        let key = |entry: &Item| {
            let id = AssignmentId::new(keys::listed_id(sk(entry))?).ok()?;
            Some(keys::assignment(&self.market.id, &id))
        };
        Ok((self.facts_at(&placed(&items, key), now).await?, next))
    }

    /// Messages with a code, latest first, starting after a place; and the place where the next page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn distributions_of(
        self,
        promotion: &PromotionId,
        after: Option<String>,
        limit: usize,
        now: Instant,
    ) -> Result<(Vec<Placed<Distribution>>, Option<String>), StoreError> {
        let (items, next) = self
            .listed(promotion, keys::DISTRIBUTIONS_PREFIX, after, limit)
            .await?;
        let key = |entry: &Item| {
            let message = keys::listed_id(sk(entry))?;
            Some(keys::distribution(&self.market.id, promotion, message))
        };
        Ok((self.facts_at(&placed(&items, key), now).await?, next))
    }

    /// The feed of redemptions in order of arrival, starting at a time or after a place; and the place where the next page
    /// starts. Each redemption comes with the time when it came in or was taken back.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn feed(
        self,
        since: Option<Instant>,
        after: Option<String>,
        limit: usize,
        now: Instant,
    ) -> Result<(Vec<Placed<(Instant, RedemptionFact)>>, Option<String>), StoreError> {
        let shards = (0..PROMOTION_SHARDS).map(|shard| keys::feed(&self.market.id, shard));
        let part = ListPart {
            prefix: String::new(),
            newest_first: false,
            after: after.or(since.map(|since| since.to_string())),
            limit,
        };
        let (items, next) = self.merged(shards.collect(), &part).await?;
        let key = |item: &Item| {
            let (_, id) = keys::feed_entry(sk(item))?;
            Some(keys::redemption(&self.market.id, &id))
        };
        let facts = self.redemption_facts(&placed(&items, key), now).await?;
        let entry = |(place, fact): Placed<RedemptionFact>| {
            let (at, _) = keys::feed_entry(&place)?;
            Some((place, (at, fact)))
        };
        Ok((facts.into_iter().filter_map(entry).collect(), next))
    }

    /// Records that wait for a promotion, in order of arrival, starting after a place; and the place where the next page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn waiting_for(
        self,
        promotion: &PromotionId,
        after: Option<String>,
        limit: usize,
        now: Instant,
    ) -> Result<(Vec<Placed<Waiting>>, Option<String>), StoreError> {
        let part = ListPart {
            prefix: String::new(),
            newest_first: false,
            after,
            limit,
        };
        let shards = vec![keys::quarantine(&self.market.id, promotion)];
        let (items, next) = self.merged(shards, &part).await?;
        Ok((self.waiting(&items, now).await?, next))
    }

    /// The records that entries of the quarantine point at. An entry whose record expired is deleted.
    pub(crate) async fn waiting(
        self,
        entries: &[Item],
        now: Instant,
    ) -> Result<Vec<Placed<Waiting>>, StoreError> {
        let facts = placed(entries, |entry| self.waiting_fact(entry));
        let facts = self.items_at(&facts, now).await?;
        let read = |(place, item): &Placed<Item>| {
            let waiting = if keys::is_assignment(&self.market.id, pk(item)) {
                Waiting::Assignment(data(item)?)
            } else {
                Waiting::Redemption(data(item)?)
            };
            Ok((place.clone(), waiting))
        };
        facts.iter().map(read).collect()
    }

    /// The key of the fact that an entry of the quarantine points at.
    fn waiting_fact(self, entry: &Item) -> Option<Key> {
        Some(match keys::quarantine_entry(sk(entry))? {
            QuarantineEntry::Assignment(id) => keys::assignment(&self.market.id, &id),
            QuarantineEntry::Redemption(id) => keys::redemption(&self.market.id, &id),
        })
    }

    /// The accounts of a customer, by promotion, but for those that an erasure is moving.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn accounts_of(
        self,
        customer: &CustomerId,
    ) -> Result<Vec<(PromotionId, Account)>, StoreError> {
        let pk = keys::accounts(&self.market.id, customer);
        let items = self
            .market
            .store
            .query(&pk, &Range::All, Reading::STRONG)
            .await?;
        let there = items.iter().filter(|item| !item.contains_key(MOVING));
        let account = |item| {
            let promotion = PromotionId::new(sk(item)).map_err(|why| unreadable(item, why))?;
            Ok((promotion, data(item)?))
        };
        there.map(account).collect()
    }

    /// All redemptions of a customer with these accounts, latest first.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn redemptions_by(
        self,
        accounts: &[(PromotionId, Account)],
        now: Instant,
    ) -> Result<Vec<RedemptionFact>, StoreError> {
        let uses = accounts.iter().flat_map(|(_, account)| &account.uses);
        let wanted = uses.map(|used| {
            let key = keys::redemption(&self.market.id, &used.redemption_id);
            (String::new(), key)
        });
        let facts = self.redemption_facts(&Vec::from_iter(wanted), now).await?;
        let mut facts: Vec<RedemptionFact> = facts.into_iter().map(|(_, fact)| fact).collect();
        facts.sort_by(|a, b| {
            (b.at, &b.submitted.redemption_id).cmp(&(a.at, &a.submitted.redemption_id))
        });
        Ok(facts)
    }
}
