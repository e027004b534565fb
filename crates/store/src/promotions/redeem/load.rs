//! What was read for some requests, and what they make of it. Nothing is written before all requests are planned.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::attribution::order::Order;
use revtrail_core::attribution::settings::Versions;
use revtrail_core::promotion::Promotion;
use revtrail_core::promotion::account::{Account, AccountFigures};
use revtrail_core::promotion::admission::VoucherState;
use revtrail_core::promotion::limits::Limit;
use revtrail_core::promotion::pool::Pool;
use revtrail_core::promotion::redemption::Redemption;
use revtrail_core::value::id::{CustomerId, OrderId, PromotionId, VoucherCode};
use revtrail_core::value::money::Money;
use revtrail_core::value::time::Instant;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::request::{PromotionRecord, PromotionRequest};
use crate::ledger::facts::{Pointer, read_order};
use crate::market::Market;
use crate::promotions::order_links::Link;
use crate::promotions::records::{AssignmentFact, RedemptionFact, StoredVoucher, voucher_state};
use crate::table::attributes::root::MOVING;
use crate::table::attributes::{DATA, beside_account, figures, voucher};
use crate::table::change::Changes;
use crate::table::fault::StoreError;
use crate::table::item::{Item, amount, data, expired, item_bytes, number, version};
use crate::table::keys::{self, Key, PROMOTION_SHARDS};

/// What a limit belongs to: a promotion, or one of its vouchers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PoolOf {
    pub(super) promotion: PromotionId,
    pub(super) voucher: Option<VoucherCode>,
}

impl PoolOf {
    /// The owner of the limit that a redemption meets.
    pub(super) fn new(limit: Limit, fact: &RedemptionFact) -> Self {
        let code = fact.submitted.voucher_code.as_ref();
        Self {
            promotion: fact.submitted.promotion_id.clone(),
            voucher: code.filter(|_| limit == Limit::Voucher).cloned(),
        }
    }

    pub(super) fn root(&self, market: &Market) -> Key {
        match &self.voucher {
            None => keys::promotion_pool(&market.id, &self.promotion),
            Some(code) => keys::voucher(&market.id, &self.promotion, code),
        }
    }

    pub(super) fn shards(&self, market: &Market) -> Vec<Key> {
        let shard = |shard| match &self.voucher {
            None => keys::promotion_total(&market.id, shard, &self.promotion),
            Some(code) => keys::voucher_shard(&market.id, shard, &self.promotion, code),
        };
        (0..PROMOTION_SHARDS).map(shard).collect()
    }
}

/// What a request is about.
pub(super) struct Subject {
    pub(super) promotion_id: PromotionId,
    pub(super) customer_id: CustomerId,
    pub(super) voucher_code: Option<VoucherCode>,
    pub(super) order_id: Option<OrderId>,
    pub(super) own: Option<PromotionRecord>,
}

impl PromotionRequest {
    pub(super) fn subject(&self) -> Option<Subject> {
        match self {
            Self::Arrival { arrival, .. } => Some(Subject::of_entry(&arrival.entry)),
            Self::Admit { entry, .. } => Some(Subject::of_entry(entry)),
            Self::Redeem(submitted) | Self::Redate(submitted) => Some(Subject {
                own: Some(PromotionRecord::Redeemed(submitted.clone())),
                ..Subject::of(submitted)
            }),
            Self::Rollback { .. } => None,
        }
    }
}

impl Subject {
    pub(super) fn of(submitted: &Redemption) -> Self {
        Self {
            promotion_id: submitted.promotion_id.clone(),
            customer_id: submitted.customer_id.clone(),
            voucher_code: submitted.voucher_code.clone(),
            order_id: submitted.order_id.clone(),
            own: None,
        }
    }

    pub(super) fn of_entry(entry: &PromotionRecord) -> Self {
        let own = Some(entry.clone());
        match entry {
            PromotionRecord::Redeemed(submitted) => Self {
                own,
                ..Self::of(submitted)
            },
            PromotionRecord::Assigned(submitted) => Self {
                promotion_id: submitted.promotion_id.clone(),
                customer_id: submitted.customer_id.clone(),
                voucher_code: submitted.voucher_code.clone(),
                order_id: None,
                own,
            },
        }
    }

    pub(super) fn keys(&self, market: &Market, shard: u8, wanted: &mut BTreeSet<Key>) {
        let (id, promotion) = (&market.id, &self.promotion_id);
        wanted.insert(keys::promotion(id, promotion));
        wanted.insert(keys::promotion_pool(id, promotion));
        wanted.insert(keys::promotion_total(id, shard, promotion));
        wanted.insert(keys::account(id, &self.customer_id, promotion));
        if let Some(code) = &self.voucher_code {
            wanted.insert(keys::voucher(id, promotion, code));
            wanted.insert(keys::voucher_shard(id, shard, promotion, code));
        }
        if let Some(order) = &self.order_id {
            wanted.insert(keys::order_pointer(id, order));
            wanted.insert(keys::order_link(id, order, promotion));
        }
        match &self.own {
            Some(PromotionRecord::Assigned(submitted)) => {
                wanted.insert(keys::assignment(id, &submitted.assignment_id));
            }
            Some(PromotionRecord::Redeemed(submitted)) => {
                wanted.insert(keys::redemption(id, &submitted.redemption_id));
            }
            None => {}
        }
    }
}

/// The most bytes of a promotion account as it is stored. An item has 400 KB, and the records of a chunk must still find room.
/// The limit holds thousands of redemptions of one promotion by one customer, as of a till that does not ask for names. What
/// comes beyond is counted, but belongs to no assignment.
const ACCOUNT_BYTES_MAX: usize = 250_000;

fn is_full(account: &Item) -> bool {
    item_bytes(account) > ACCOUNT_BYTES_MAX
}

/// A customer's promotion account, as it was and as it becomes.
pub(super) struct OpenAccount {
    pub(super) account: Account,
    pub(super) before: AccountFigures,
    pub(super) version: i64,
    pub(super) changed: bool,
    /// True if the account takes no more.
    pub(super) full: bool,
    /// How many successes are counted outside the account: before the plan, and after it. Their count has a version of its own.
    pub(super) beside: [i64; 2],
    pub(super) beside_version: i64,
}

impl OpenAccount {
    /// Successes that were not taken back.
    pub(super) fn successes(&self) -> i64 {
        self.account.successes() + self.beside[1]
    }
}

/// A voucher, as it was and as it becomes.
pub(super) struct OpenVoucher {
    /// The stored voucher; `None` if it was not made yet and only its uses are known.
    pub(super) made: Option<StoredVoucher>,
    pub(super) disabled: bool,
    pub(super) was_assigned: bool,
    pub(super) assigned: bool,
    pub(super) pool: Option<Pool>,
    pub(super) uses: i64,
    pub(super) opened: i64,
    /// True if the number of opened uses depends on what is in the root.
    pub(super) by_root: bool,
}

impl OpenVoucher {
    pub(super) fn state(&self) -> VoucherState {
        VoucherState {
            exists: self.made.is_some(),
            disabled: self.disabled,
            assigned: self.assigned,
        }
    }
}

pub(super) struct OpenLink {
    pub(super) link: Link,
    pub(super) before: Link,
    pub(super) version: i64,
    /// The order's standing copy, as it is stored.
    pub(super) standing: Option<AttributeValue>,
    pub(super) order: Option<Order>,
}

/// Everything that was read for some requests, and what they change.
pub(super) struct TransactionPlan<'m> {
    pub(super) market: &'m Market,
    pub(super) shard: u8,
    pub(super) now: Instant,
    /// The place of the record that is being planned, among those of its call.
    pub(super) place: usize,
    pub(super) items: HashMap<Key, Item>,
    pub(super) versions: Versions,
    pub(super) changes: Changes,
    pub(super) promotions: BTreeMap<PromotionId, Option<(Promotion, i64)>>,
    pub(super) accounts: BTreeMap<(PromotionId, CustomerId), OpenAccount>,
    pub(super) vouchers: BTreeMap<(PromotionId, VoucherCode), OpenVoucher>,
    pub(super) caps: BTreeMap<PromotionId, Pool>,
    pub(super) budgets: BTreeMap<PromotionId, Pool>,
    pub(super) links: BTreeMap<(OrderId, PromotionId), OpenLink>,
    pub(super) facts: BTreeMap<Key, (RedemptionFact, i64)>,
    pub(super) assignments: BTreeMap<Key, (AssignmentFact, i64)>,
    /// What is counted outside full promotion accounts: for each promotion, the state before the plan and the state after it.
    pub(super) loose: Vec<(PromotionId, Account, Account)>,
    /// The limits for which all shards were read.
    pub(super) whole: BTreeSet<PoolOf>,
    /// The limits for which all shards must still be read.
    pub(super) unknown: BTreeSet<PoolOf>,
}

impl<'m> TransactionPlan<'m> {
    pub(super) fn new(
        market: &'m Market,
        shard: u8,
        now: Instant,
        items: HashMap<Key, Item>,
        versions: Versions,
    ) -> Self {
        Self {
            market,
            shard,
            now,
            place: 0,
            items,
            versions,
            changes: Changes::default(),
            promotions: BTreeMap::new(),
            accounts: BTreeMap::new(),
            vouchers: BTreeMap::new(),
            caps: BTreeMap::new(),
            budgets: BTreeMap::new(),
            links: BTreeMap::new(),
            facts: BTreeMap::new(),
            assignments: BTreeMap::new(),
            loose: Vec::new(),
            whole: BTreeSet::new(),
            unknown: BTreeSet::new(),
        }
    }

    pub(super) async fn read(&mut self, keys: &[Key]) -> Result<(), StoreError> {
        let missing: BTreeSet<Key> = keys
            .iter()
            .filter(|key| !self.items.contains_key(key))
            .cloned()
            .collect();
        let missing: Vec<Key> = missing.into_iter().collect();
        self.read_again(&missing).await
    }

    pub(super) async fn read_again(&mut self, keys: &[Key]) -> Result<(), StoreError> {
        let found = self.market.store.get_map(keys).await?;
        for key in keys {
            self.items.remove(key);
        }
        self.items.extend(found);
        Ok(())
    }

    /// The key of the count of the successes that a full promotion account does not hold; `None` if the account, which was read,
    /// has much room left. An account only grows, except that it may compress a little better.
    pub(super) fn beside_account(&self, subject: &Subject) -> Option<Key> {
        let (customer, promotion) = (&subject.customer_id, &subject.promotion_id);
        let account = self
            .items
            .get(&keys::account(&self.market.id, customer, promotion))?;
        (item_bytes(account) > ACCOUNT_BYTES_MAX / 2)
            .then(|| keys::beside_account(&self.market.id, customer, promotion))
    }

    pub(super) fn number(&self, key: &Key, attribute: &str) -> Money {
        amount(self.items.get(key), attribute)
    }

    /// A stored redemption, and its version.
    pub(super) fn fact(&mut self, key: &Key) -> Result<Option<(RedemptionFact, i64)>, StoreError> {
        self.stored(&self.facts, key)
    }

    /// A fact as this transaction has made it, or else as it was read, and its version.
    fn stored<T: Clone + DeserializeOwned>(
        &self,
        made: &BTreeMap<Key, (T, i64)>,
        key: &Key,
    ) -> Result<Option<(T, i64)>, StoreError> {
        if let Some(made) = made.get(key) {
            return Ok(Some(made.clone()));
        }
        let item = self.items.get(key).filter(|item| !expired(item, self.now));
        item.map(|item| Ok((data(item)?, self.version(key))))
            .transpose()
    }

    /// Writes a fact that is kept for as long as its time demands.
    fn write_fact(&mut self, key: &Key, fact: &impl Serialize, at: Instant, version: i64) {
        self.changes
            .at(key)
            .data(fact)
            .expires(at.plus_ms(self.market.retention.keep_ms()))
            .next_version(version);
    }

    /// The version of an item, whether it is expired or not; 0 if there is none.
    pub(super) fn version(&self, key: &Key) -> i64 {
        let item = self.items.get(key);
        item.map_or(0, version)
    }

    pub(super) fn put_fact(&mut self, key: Key, fact: RedemptionFact, version: i64) {
        self.write_fact(&key, &fact, fact.at, version);
        // The fact is written once: a second change in this transaction is made under the same version.
        self.facts.insert(key, (fact, version));
    }

    pub(super) fn promotion(
        &mut self,
        id: &PromotionId,
    ) -> Result<Option<(Promotion, i64)>, StoreError> {
        if let Some(known) = self.promotions.get(id) {
            return Ok(known.clone());
        }
        let item = self.items.get(&keys::promotion(&self.market.id, id));
        let read = item.map(|item| Ok::<_, StoreError>((data(item)?, version(item))));
        let read: Option<(Promotion, i64)> = read.transpose()?;
        self.promotions.insert(id.clone(), read.clone());
        Ok(read)
    }

    pub(super) fn account(
        &mut self,
        promotion: &PromotionId,
        customer: &CustomerId,
    ) -> Result<&mut OpenAccount, StoreError> {
        let place = (promotion.clone(), customer.clone());
        let open = match self.accounts.remove(&place) {
            Some(open) => open,
            None => {
                let key = keys::account(&self.market.id, customer, promotion);
                let item = self.items.get(&key);
                if item.is_some_and(|item| item.contains_key(MOVING)) {
                    return Err(StoreError::Contended {
                        op: "changing an account that is being erased",
                    });
                }
                let account: Account = item.map(data).transpose()?.unwrap_or_default();
                let beside = keys::beside_account(&self.market.id, customer, promotion);
                let counted = self
                    .items
                    .get(&beside)
                    .and_then(|item| number(item, beside_account::SUCCESSES));
                OpenAccount {
                    beside: [counted.unwrap_or(0); 2],
                    beside_version: self.version(&beside),
                    before: account.figures(),
                    account,
                    version: self.version(&key),
                    changed: false,
                    full: item.is_some_and(is_full),
                }
            }
        };
        Ok(self.accounts.entry(place).or_insert(open))
    }

    pub(super) fn voucher(
        &mut self,
        promotion: &PromotionId,
        code: &VoucherCode,
    ) -> Result<&mut OpenVoucher, StoreError> {
        let place = (promotion.clone(), code.clone());
        let open = match self.vouchers.remove(&place) {
            Some(open) => open,
            None => {
                let root = keys::voucher(&self.market.id, promotion, code);
                let item = self.items.get(&root);
                let state = voucher_state(item);
                let made = item.filter(|item| item.contains_key(DATA));
                let made: Option<StoredVoucher> = made.map(data).transpose()?;
                let limited = made.as_ref().filter(|made| made.limit.is_some());
                let pool = limited.map(|made| {
                    if made.is_spread() {
                        let of = PoolOf {
                            promotion: promotion.clone(),
                            voucher: Some(code.clone()),
                        };
                        self.pool(&of, voucher::LEFT, true)
                    } else {
                        Pool::unspread(self.number(&root, voucher::LEFT))
                    }
                });
                OpenVoucher {
                    disabled: state.disabled,
                    was_assigned: state.assigned,
                    assigned: state.assigned,
                    made,
                    pool,
                    uses: 0,
                    opened: 0,
                    by_root: false,
                }
            }
        };
        Ok(self.vouchers.entry(place).or_insert(open))
    }

    /// What is left of a limit that is spread over shards, as it was read.
    pub(super) fn pool(&self, of: &PoolOf, attribute: &str, counted: bool) -> Pool {
        let shards = of.shards(self.market);
        let in_shard = |shard: u8| self.number(&shards[usize::from(shard)], attribute);
        let root = self.number(&of.root(self.market), attribute);
        let mut pool = Pool::new(
            root,
            PROMOTION_SHARDS,
            self.shard,
            in_shard(self.shard),
            counted,
        );
        if self.whole.contains(of) {
            (0..PROMOTION_SHARDS).for_each(|shard| pool.with_shard(shard, in_shard(shard)));
        }
        pool
    }

    /// Opens the pools of the promotion's cap and budget, if it has them.
    pub(super) fn open_pools(&mut self, promotion: &Promotion) {
        let id = &promotion.promotion_id;
        let of = PoolOf {
            promotion: id.clone(),
            voucher: None,
        };
        if promotion.cap.is_some() && !self.caps.contains_key(id) {
            let pool = self.pool(&of, figures::CAP_LEFT, true);
            self.caps.insert(id.clone(), pool);
        }
        if promotion.budget.is_some() && !self.budgets.contains_key(id) {
            let pool = self.pool(&of, figures::BUDGET_LEFT, false);
            self.budgets.insert(id.clone(), pool);
        }
    }

    /// The key of an order, if the order's pointer was read.
    pub(super) fn order_key(&self, order: &OrderId) -> Result<Option<Key>, StoreError> {
        let pointer = self.items.get(&keys::order_pointer(&self.market.id, order));
        pointer
            .map(|pointer| {
                let customer = data::<Pointer>(pointer)?.customer_id;
                Ok(keys::order(&self.market.id, &customer, order))
            })
            .transpose()
    }

    /// A stored assignment, and its version.
    pub(super) fn assignment(
        &self,
        key: &Key,
    ) -> Result<Option<(AssignmentFact, i64)>, StoreError> {
        self.stored(&self.assignments, key)
    }

    pub(super) fn put_assignment(&mut self, key: Key, fact: AssignmentFact, version: i64) {
        self.write_fact(&key, &fact, fact.at, version);
        self.assignments.insert(key, (fact, version));
    }

    pub(super) fn link(
        &mut self,
        order: &OrderId,
        promotion: &PromotionId,
    ) -> Result<&mut OpenLink, StoreError> {
        let place = (order.clone(), promotion.clone());
        let open = match self.links.remove(&place) {
            Some(open) => open,
            None => {
                let key = keys::order_link(&self.market.id, order, promotion);
                let item = self.items.get(&key);
                let link: Link = item.map(data).transpose()?.unwrap_or_default();
                let stored = self.order_key(order)?.and_then(|key| self.items.get(&key));
                let seen = stored.filter(|item| !expired(item, self.now));
                OpenLink {
                    before: link.clone(),
                    link,
                    version: self.version(&key),
                    standing: stored.and_then(|item| item.get(DATA)).cloned(),
                    order: seen.map(read_order).transpose()?,
                }
            }
        };
        Ok(self.links.entry(place).or_insert(open))
    }

    pub(super) fn total(&self, promotion: &PromotionId) -> Key {
        keys::promotion_total(&self.market.id, self.shard, promotion)
    }
}
