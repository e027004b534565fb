//! What a customer was offered and used of promotions. An account and the records in it move in one transaction. Where they are too
//! many for one, the account moves first and leaves a mark, with which everybody who would change it is told to come again until
//! its records have moved too.

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::promotion::account::Account;
use revtrail_core::value::id::{MarketplaceId, PromotionId};
use serde::Serialize;

use super::{Erasing, PiecesLeft};
use crate::promotions::account_list;
use crate::promotions::lists::Waiting;
use crate::promotions::records::{AssignmentFact, RedemptionFact};
use crate::table::attributes::VERSION;
use crate::table::attributes::root::MOVING;
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::StoreError;
use crate::table::item::{Item, NewItem, data, item_bytes, key_of, pk, sk, unreadable, version};
use crate::table::keys::{self, Key};
use crate::table::write::{TRANSACTION_BYTES_MAX, Write};

/// The most records that move in one transaction. The account, its entry in the list of accounts and the count beside it are six more
/// items of its 100, and two hold it to the erasure.
const RECORDS_AT_ONCE: usize = 90;
/// The size above which an account may be full, or was: it takes records up to 250 KB, and what comes then is in no account.
const MAYBE_FULL_BYTES_MIN: usize = 120_000;
/// How many entries of a list are read at once.
const LISTED_AT_ONCE: usize = 100;

impl Erasing<'_> {
    /// Moves the promotion accounts with their records.
    pub(super) async fn move_accounts(&self) -> Result<PiecesLeft, StoreError> {
        let mut swept = PiecesLeft::Clean;
        let pk = keys::accounts(&self.market.id, &self.of.customer);
        let accounts = self
            .market
            .store
            .query(&pk, &Range::All, Reading::STRONG)
            .await?;
        for item in accounts {
            let promotion = PromotionId::new(sk(&item)).map_err(|why| unreadable(&item, why))?;
            if !self.move_account(&item, &promotion).await? {
                continue;
            }
            swept = PiecesLeft::Moved;
            if self.is_over() {
                return Ok(PiecesLeft::OutOfTime);
            }
        }
        Ok(swept)
    }

    /// False if there is nothing to move: the account is not erased, or was moved before, so what is here came late, and is a new
    /// customer's.
    async fn move_account(&self, item: &Item, promotion: &PromotionId) -> Result<bool, StoreError> {
        let (store, id) = (&self.market.store, &self.market.id);
        if item.contains_key(MOVING) {
            self.move_records_of(promotion).await?;
            return Ok(true);
        }
        if !self.cut.has_account_of(promotion.as_str()) {
            return Ok(false);
        }
        let account: Account = data(item)?;
        let own = keys::account(id, &self.of.customer, promotion);
        let other = keys::account(id, &self.of.pseudonym, promotion);
        if store.get(&other, true).await?.is_some() {
            return Ok(false);
        }
        let unchanged = Condition::version(version(item));
        let listed = account_list::entry(self.market, promotion, &self.of.pseudonym);
        let unlisted = account_list::entry_key(self.market, promotion, &self.of.customer);
        let mut writes = vec![
            self.as_it_is(&other, item),
            store.put_write(listed, None),
            store.delete_write(&unlisted, None),
        ];
        let beside = keys::beside_account(id, &self.of.customer, promotion);
        let full = store.get(&beside, true).await?;
        if let Some(beside_item) = &full {
            let version = Condition::version(version(beside_item));
            let key = keys::beside_account(id, &self.of.pseudonym, promotion);
            writes.push(self.as_it_is(&key, beside_item));
            writes.push(store.delete_write(&beside, Some(version)));
        }
        let records = self.records(&record_keys(id, &account)).await?;
        let bytes: usize = records.iter().map(Write::bytes).sum();
        let is_small = full.is_none() && item_bytes(item) < MAYBE_FULL_BYTES_MIN;
        if is_small && records.len() <= RECORDS_AT_ONCE && bytes <= TRANSACTION_BYTES_MAX / 2 {
            let facts = records.len();
            writes.push(store.delete_write(&own, Some(unchanged)));
            writes.extend(records);
            self.transact(writes, facts).await?;
            return Ok(true);
        }
        let mark = NewItem::at(&own)
            .text(MOVING, self.of.pseudonym.as_str())
            .number(VERSION, version(item) + 1);
        writes.push(store.put_write(mark, Some(unchanged)));
        self.transact(writes, 0).await?;
        Ok(true)
    }

    /// Moves the records of an account that left its mark; the mark goes when none is left. Records that did not fit into the account
    /// are in no other list of the customer, so they are looked for among all of the promotion.
    async fn move_records_of(&self, promotion: &PromotionId) -> Result<(), StoreError> {
        let (store, id) = (&self.market.store, &self.market.id);
        let other = keys::account(id, &self.of.pseudonym, promotion);
        let item = store.get(&other, true).await?.unwrap_or_default();
        let account: Account = match item.is_empty() {
            true => Account::default(),
            false => data(&item)?,
        };
        let mut moved = false;
        for some in record_keys(id, &account).chunks(RECORDS_AT_ONCE / 2) {
            moved |= self.move_records(some).await?;
            if moved && self.is_over() {
                return Ok(());
            }
        }
        let beside = keys::beside_account(id, &self.of.pseudonym, promotion);
        let maybe_full = item_bytes(&item) >= MAYBE_FULL_BYTES_MIN;
        if maybe_full || store.get(&beside, true).await?.is_some() {
            let mut after = None;
            loop {
                let lists = self.market.lists();
                let page = lists.redemptions_of(promotion, after, LISTED_AT_ONCE, self.now());
                let (facts, next) = page.await?;
                let own = facts
                    .iter()
                    .filter(|(_, fact)| fact.submitted.customer_id == self.of.customer);
                let keys = own.map(|(_, fact)| keys::redemption(id, &fact.submitted.redemption_id));
                for some in keys.collect::<Vec<_>>().chunks(RECORDS_AT_ONCE / 2) {
                    moved |= self.move_records(some).await?;
                }
                match next {
                    _ if moved && self.is_over() => return Ok(()),
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        // What met others has not moved, so the mark stays until a look finds nothing.
        if moved {
            return Ok(());
        }
        let mark = keys::account(id, &self.of.customer, promotion);
        let marked = Condition::equals(MOVING, self.of.pseudonym_value());
        self.transact(vec![store.delete_write(&mark, Some(marked))], 0)
            .await
            .map(drop)
    }

    /// True if some of the records were still to be moved. What is over is looked at only where something was moved, so that every
    /// turn gets on.
    async fn move_records(&self, keys: &[Key]) -> Result<bool, StoreError> {
        let records = self.records(keys).await?;
        let facts = records.len();
        if facts > 0 {
            self.transact(records, facts).await?;
        }
        Ok(facts > 0)
    }

    /// Moves the records that wait for a promotion.
    pub(super) async fn move_waiting(&self) -> Result<PiecesLeft, StoreError> {
        let mut swept = PiecesLeft::Clean;
        for promotion in self.market.promotions().awaited(self.now()).await? {
            let mut after = None;
            loop {
                let lists = self.market.lists();
                let page = lists.waiting_for(&promotion, after, LISTED_AT_ONCE, self.now());
                let (waiting, next) = page.await?;
                let own: Vec<Key> = waiting
                    .iter()
                    .filter_map(|(_, one)| self.own(one))
                    .collect();
                for some in own.chunks(RECORDS_AT_ONCE / 2) {
                    swept = PiecesLeft::Moved;
                    self.move_records(some).await?;
                }
                match next {
                    _ if swept == PiecesLeft::Moved && self.is_over() => {
                        return Ok(PiecesLeft::OutOfTime);
                    }
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        Ok(swept)
    }

    /// The key of a record that waits, if it is the customer's.
    fn own(&self, waiting: &Waiting) -> Option<Key> {
        let id = &self.market.id;
        let (customer, key) = match waiting {
            Waiting::Assignment(fact) => {
                let told = &fact.submitted;
                (&told.customer_id, keys::assignment(id, &told.assignment_id))
            }
            Waiting::Redemption(fact) => {
                let told = &fact.submitted;
                (&told.customer_id, keys::redemption(id, &told.redemption_id))
            }
        };
        (*customer == self.of.customer).then_some(key)
    }

    /// The writes that move those records of some keys that are the customer's.
    async fn records(&self, keys: &[Key]) -> Result<Vec<Write>, StoreError> {
        let mut writes = Vec::new();
        for item in self.market.store.get_all(keys, true).await? {
            let of = &self.of;
            let record = if keys::is_assignment(&self.market.id, pk(&item)) {
                let fact: AssignmentFact = data(&item)?;
                let own = fact.submitted.customer_id == of.customer;
                own.then(|| self.record(&item, &fact.without_person(&of.pseudonym)))
            } else {
                let fact: RedemptionFact = data(&item)?;
                let own = fact.submitted.customer_id == of.customer;
                own.then(|| self.record(&item, &fact.without_person(&of.pseudonym)))
            };
            writes.extend(record);
        }
        Ok(writes)
    }

    fn record(&self, item: &Item, fact: &impl Serialize) -> Write {
        let version = version(item);
        let moved = NewItem::copied(&key_of(item), item)
            .data(fact)
            .number(VERSION, version + 1);
        let unchanged = Some(Condition::version(version));
        self.market.store.put_write(moved, unchanged)
    }

    /// A write that puts an item with all its attributes under a new key.
    fn as_it_is(&self, key: &Key, item: &Item) -> Write {
        let moved = NewItem::copied(key, item);
        self.market
            .store
            .put_write(moved, Some(Condition::absent()))
    }
}

/// The keys of the records that an account holds.
fn record_keys(id: &MarketplaceId, account: &Account) -> Vec<Key> {
    let offers = account
        .offers
        .iter()
        .map(|offer| keys::assignment(id, &offer.assignment_id));
    let uses = account
        .uses
        .iter()
        .map(|used| keys::redemption(id, &used.redemption_id));
    offers.chain(uses).collect()
}

impl super::ErasedCustomer {
    fn pseudonym_value(&self) -> AttributeValue {
        AttributeValue::S(self.pseudonym.to_string())
    }
}
