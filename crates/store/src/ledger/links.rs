//! Links: which customers have an order that named an address. An event by address may earn such an order, so whoever plans the fold
//! of the address plans that of these customers too (rule 3.5).
//!
//! A link says that some copy of an order named the address. Whether the standing copy does is read from the order, so a link that is
//! out of date costs a fold that changes nothing. It is written before the copy, while the intake marker of the call names the
//! customer: a plan that does not see the link yet finds the marker later, and that fold reads the event. It lives as long as the facts
//! of the orders.
//!
//! A link has two items. The one with the customer comes first, so that whoever erases the customer finds the one with the address.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::attribution::order::Order;
use revtrail_core::value::address::{AddressHash, Recipient};
use revtrail_core::value::id::CustomerId;
use revtrail_core::value::time::{DAY_MS, Instant};

use crate::market::Market;
use crate::table::attributes::TTL_ATTRIBUTE;
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::StoreError;
use crate::table::item::{Item, NewItem, expired, key_of, number, sk, unreadable};
use crate::table::keys::{self, CustomerItem, Key};
use crate::table::write::Write;

/// How many links are written at the same time.
const WRITES_AT_ONCE: usize = 16;
/// How many addresses are asked for their customers at the same time.
const READS_AT_ONCE: usize = 16;
/// How many customers of an address are read at once where not all are needed.
const LINKED_AT_ONCE: i32 = 100;
/// How much longer than needed a link is kept, so that a customer who buys often does not write it with every order.
const SLACK_MS: i64 = 30 * DAY_MS;

/// A customer, and an address that an order of theirs named.
type Link = (CustomerId, AddressHash);

/// The links of one marketplace. Reached by [`Market::links`].
#[derive(Debug, Clone, Copy)]
pub struct Links<'m> {
    market: &'m Market,
}

impl Market {
    /// The links of one marketplace.
    pub fn links(&self) -> Links<'_> {
        Links { market: self }
    }
}

impl Links<'_> {
    /// The links that the copies of some orders ask for and that are not there, or not for long enough, each with the time until which
    /// it is needed. A link is missing where either of its items is. If somebody was erased, the read is `strong`: a link that was just
    /// taken away must be written again.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn missing(self, orders: &[Order], strong: bool) -> Result<MissingLinks, StoreError> {
        let mut wanted: BTreeMap<Link, Instant> = BTreeMap::new();
        for order in orders {
            let until = order.placed_at.plus_ms(self.market.retention.keep_ms());
            for address in order.addresses(&self.market.id) {
                let link = (order.customer_id.clone(), address);
                let longest = wanted.entry(link).or_insert(until);
                *longest = until.max(*longest);
            }
        }
        let keys: Vec<Key> = wanted.keys().flat_map(|link| self.keys(link)).collect();
        let found = self.market.store.get_all(&keys, strong).await?;
        let found: BTreeMap<Key, Item> = found
            .into_iter()
            .map(|item| (key_of(&item), item))
            .collect();
        let lasts = |key: &Key, until: Instant| {
            let expires = found.get(key).and_then(|item| number(item, TTL_ATTRIBUTE));
            expires.is_some_and(|seconds| seconds.saturating_mul(1000) >= until.ms())
        };
        wanted.retain(|link, until| !self.keys(link).iter().all(|key| lasts(key, *until)));
        Ok(MissingLinks(wanted))
    }

    /// Writes links. A link that another call wrote for longer stays.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn write(self, missing: &MissingLinks) -> Result<(), StoreError> {
        let write = |link| async move {
            for (item, sooner) in self.items(link) {
                self.market.store.put(item, Some(sooner)).await?;
            }
            Ok(())
        };
        let writes: Vec<_> = missing.0.iter().map(write).collect();
        stream::iter(writes)
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect()
            .await
    }

    /// The writes of links as parts of transactions, those of each link together.
    pub(crate) fn writes(self, missing: &MissingLinks) -> Vec<Vec<Write>> {
        let put = |(item, sooner)| self.market.store.put_write(item, Some(sooner));
        let links = missing.0.iter();
        links.map(|link| self.items(link).map(put).into()).collect()
    }

    /// The two items of a link, in the order in which they are written, each with its condition.
    fn items(self, (link, until): (&Link, &Instant)) -> [(NewItem, Condition); 2] {
        let expires = until.plus_ms(SLACK_MS);
        self.keys(link).map(|key| {
            let sooner = Condition::absent_or_sooner(expires);
            (NewItem::at(&key).expires(expires), sooner)
        })
    }

    /// The customers of an address after one of them, at most `limit`, read strongly, and the place where the next ones start.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn customers_of(
        self,
        address: AddressHash,
        after: Option<String>,
        limit: i32,
        now: Instant,
    ) -> Result<(Vec<CustomerId>, Option<String>), StoreError> {
        let pk = keys::customer(&self.market.id, &Recipient::from(address));
        let range = Range::prefix(keys::LINKS_PREFIX);
        let store = &self.market.store;
        let page = store.page(&pk, &range, Reading::STRONG, after, Some(limit));
        let (items, next) = page.await?;
        let kept = items.iter().filter(|item| !expired(item, now));
        let customer = |item: &Item| match keys::customer_item(sk(item)) {
            Some(CustomerItem::Link(id)) => {
                CustomerId::new(id).map_err(|why| unreadable(item, why))
            }
            _ => Err(unreadable(item, "it is no link")),
        };
        Ok((kept.map(customer).collect::<Result<_, _>>()?, next))
    }

    /// The customers among some recipients, and the first customers of the addresses among them, up to `max` of all.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn with_linked(
        self,
        recipients: BTreeSet<Recipient>,
        max: usize,
        now: Instant,
    ) -> Result<BTreeSet<CustomerId>, StoreError> {
        let (mut customers, mut addresses) = (BTreeSet::new(), Vec::new());
        for recipient in recipients {
            match recipient {
                Recipient::Customer(customer) => drop(customers.insert(customer)),
                Recipient::Address(address) => addresses.push(address),
            }
        }
        let first = addresses.into_iter().map(|address| async move {
            let first = self
                .customers_of(address, None, LINKED_AT_ONCE, now)
                .await?;
            Ok::<_, StoreError>(first.0)
        });
        let mut reads = stream::iter(Vec::from_iter(first)).buffered(READS_AT_ONCE);
        while customers.len() < max
            && let Some(linked) = reads.try_next().await?
        {
            customers.extend(linked);
        }
        Ok(customers)
    }

    /// The two items of a link, in the order in which they are written.
    fn keys(self, (customer, address): &Link) -> [Key; 2] {
        let id = &self.market.id;
        [
            keys::linked_address(id, customer, *address),
            keys::link(id, *address, customer),
        ]
    }
}

/// Links that are to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingLinks(BTreeMap<Link, Instant>);

impl MissingLinks {
    /// The addresses that these links are of.
    pub fn addresses(&self) -> BTreeSet<Recipient> {
        self.0
            .keys()
            .map(|(_, address)| (*address).into())
            .collect()
    }
}
