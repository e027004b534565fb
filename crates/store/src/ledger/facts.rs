//! Facts: events of customers and of addresses, and orders of customers. An event is written once, and an order under the rule of the standing copy (rule 3).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::attribution::event::{Channel, Event, EventKind};
use revtrail_core::attribution::order::Order;
use revtrail_core::attribution::timeline::Timelines;
use revtrail_core::figures::counters::Counter;
use revtrail_core::figures::fold::World;
use revtrail_core::record::RecordProblem;
use revtrail_core::value::address::{AddressHash, Recipient};
use revtrail_core::value::id::{
    CampaignId, CustomerId, EventId, MarketplaceId, MessageId, OrderId, PromotionId, VoucherCode,
};
use revtrail_core::value::money::Currency;
use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};

use crate::ledger::contribution::StoredContribution;
use crate::market::Market;
use crate::random::random_hex;
use crate::table::attributes::{DATA, root};
use crate::table::client::{PutOutcome, Range, Reading, last};
use crate::table::condition::Condition;
use crate::table::contention::{TRIES_MAX, backoff};
use crate::table::fault::StoreError;
use crate::table::item::{Item, NewItem, data, expired, item_bytes, pk, sk, text, unreadable};
use crate::table::keys::{self, CustomerItem};
use crate::table::write::Transacted;

/// How storing an event ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventOutcome {
    /// The event is a new fact.
    Stored,
    /// The recipient already has an event of that id: this one, which is kept.
    Duplicate(Box<Event>),
}

/// How storing a copy of an order ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderOutcome {
    /// The order is a new fact.
    Stored,
    /// The copy replaced an older one and is current now.
    Newer,
    /// A later copy is current.
    Older,
    /// An equal copy is current.
    Duplicate,
    /// The order is known, and the copy differs in what never changes.
    Immutable(RecordProblem),
}

/// An event as it is stored; its recipient and its id are in the key. The names are short because a fold reads every event of a
/// customer.
#[derive(Serialize, Deserialize)]
struct EventItem {
    k: EventKind,
    h: Channel,
    g: CampaignId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    m: Option<MessageId>,
    t: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    u: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    a: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p: Option<PromotionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    v: Option<VoucherCode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    w: Option<String>,
}

impl EventItem {
    fn of(event: &Event) -> Self {
        Self {
            k: event.kind,
            h: event.channel,
            g: event.campaign_id.clone(),
            m: event.message_id.clone(),
            t: event.occurred_at.ms(),
            u: event.url.clone(),
            a: event.machine,
            p: event.promotion_id.clone(),
            v: event.voucher_code.clone(),
            w: event.app_version.clone(),
        }
    }

    fn event(self, event_id: EventId, recipient: Recipient) -> Event {
        Event {
            event_id,
            kind: self.k,
            channel: self.h,
            campaign_id: self.g,
            recipient,
            message_id: self.m,
            occurred_at: Instant::from_ms(self.t),
            url: self.u,
            machine: self.a,
            promotion_id: self.p,
            voucher_code: self.v,
            app_version: self.w,
        }
    }
}

/// What never changes of an order, as the first copy said it. This includes the customer, whatever customer a later copy names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// The customer in whose partition the order is stored.
    pub customer_id: CustomerId,
    currency: Currency,
    placed_at: Instant,
    /// True if the customer was erased, and a pseudonym has the order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
}

impl Pointer {
    pub(crate) fn of(order: &Order) -> Self {
        Self {
            customer_id: order.customer_id.clone(),
            currency: order.currency,
            placed_at: order.placed_at,
            erased: false,
        }
    }

    /// The pointer to an order whose customer was erased.
    pub(crate) fn of_erased(order: &Order) -> Self {
        Self {
            erased: true,
            ..Self::of(order)
        }
    }

    /// The copy, as an order of the customer whom the order belongs to; without its person if that customer was erased.
    ///
    /// # Errors
    /// `immutable_field` if the copy differs in what never changes.
    pub fn take(&self, copy: &Order, marketplace: &MarketplaceId) -> Result<Order, RecordProblem> {
        copy.check_unchanged(self.currency, self.placed_at)?;
        let copy = copy.clone();
        Ok(match self.erased {
            true => copy.without_person(&self.customer_id, marketplace),
            false => copy.of_customer(&self.customer_id),
        })
    }
}

/// The most bytes of a customer's timeline that anybody reads at once: some 150,000 events.
pub const TIMELINE_BYTES_MAX: usize = 32 << 20;

/// The facts of somebody are too large to be read: those of this address alone, if it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge(pub Option<AddressHash>);

/// How many addresses are read at the same time.
const ADDRESSES_AT_ONCE: usize = 8;
/// What reading an address counts for, however few events it has, so that nobody reads a million of them.
const ADDRESS_BYTES: usize = 1 << 10;

/// All facts of a customer or of an address, and the contribution that was stored before the first of them was read.
#[derive(Debug, Clone, Default)]
pub struct CustomerFacts {
    /// What the daily aggregates hold of this recipient, with its version.
    pub stored: StoredContribution,
    /// The events that went to this recipient, in no order.
    pub events: Vec<Event>,
    /// The events of each address that the orders name, in no order.
    pub by_address: BTreeMap<AddressHash, Vec<Event>>,
    /// The standing copies of the orders, in no order.
    pub orders: Vec<Order>,
    /// Of an address: whether some order names it, or did when it was folded last. `None` for a customer.
    pub named: Option<bool>,
    /// How many bytes were read.
    pub bytes: usize,
}

/// How an item of a customer is taken in.
type TakeItem = fn(&mut CustomerFacts, &Item, &Recipient, Instant) -> Result<(), StoreError>;

/// Events and orders of one marketplace. Reached by [`Market::facts`].
#[derive(Debug, Clone, Copy)]
pub struct Facts<'m> {
    market: &'m Market,
}

impl Market {
    /// Events and orders of one marketplace.
    pub fn facts(&self) -> Facts<'_> {
        Facts { market: self }
    }
}

impl Facts<'_> {
    /// When a fact of this time is no longer kept.
    fn gone_at(self, at: Instant) -> Instant {
        at.plus_ms(self.market.retention.keep_ms())
    }

    /// Stores an event, unless its recipient already has one of that id.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn put_event(self, event: &Event) -> Result<EventOutcome, StoreError> {
        let item = self.event_item(event);
        Ok(
            match self
                .market
                .store
                .put(item, Some(Condition::absent()))
                .await?
            {
                PutOutcome::Done(_) => EventOutcome::Stored,
                PutOutcome::Refused(current) => {
                    let current: EventItem = data(&current)?;
                    let current = current.event(event.event_id.clone(), event.recipient.clone());
                    EventOutcome::Duplicate(Box::new(current))
                }
            },
        )
    }

    /// An event as an item in the partition of its recipient.
    pub(crate) fn event_item(self, event: &Event) -> NewItem {
        let key = keys::event(&self.market.id, &event.recipient, &event.event_id);
        NewItem::at(&key)
            .data(&EventItem::of(event))
            .expires(self.gone_at(event.occurred_at))
    }

    /// An event as it is stored.
    pub(crate) fn event_at(self, item: &Item, of: &Recipient) -> Result<Event, StoreError> {
        match keys::customer_item(sk(item)) {
            Some(CustomerItem::Event(id)) => read_event(item, id, of),
            _ => Err(unreadable(item, "it is no event")),
        }
    }

    /// Stores a copy of an order, if it supersedes the stored copy. [`Facts::order_pointer`] says whose order it is.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn put_order(
        self,
        order: &Order,
        pointer: &Pointer,
    ) -> Result<OrderOutcome, StoreError> {
        let order = match pointer.take(order, &self.market.id) {
            Ok(order) => order,
            Err(problem) => return Ok(OrderOutcome::Immutable(problem)),
        };
        if let Some(sent_with) = &order.sent_with {
            return self.put_order_of_another(&order, sent_with).await;
        }
        let standing = order.standing();
        let item = self.order_item(&order);
        Ok(
            match self
                .market
                .store
                .put(item, Some(Condition::absent_or_less(DATA, &standing)))
                .await?
            {
                PutOutcome::Done(None) => OrderOutcome::Stored,
                PutOutcome::Done(Some(_)) => OrderOutcome::Newer,
                PutOutcome::Refused(current) if text(&current, DATA) == standing => {
                    OrderOutcome::Duplicate
                }
                PutOutcome::Refused(_) => OrderOutcome::Older,
            },
        )
    }

    /// Stores such a copy that names another customer than the one whose order it is. Whoever erases that customer must find the order,
    /// so it is mentioned with them in the same transaction: a mention without its order would be gone before the order comes.
    async fn put_order_of_another(
        self,
        order: &Order,
        sent_with: &CustomerId,
    ) -> Result<OrderOutcome, StoreError> {
        let (id, store) = (&self.market.id, &self.market.store);
        let standing = order.standing();
        let mention = keys::mention(id, sent_with, &order.order_id);
        for attempt in 0..TRIES_MAX {
            let key = keys::order(id, &order.customer_id, &order.order_id);
            let current = store.get(&key, true).await?;
            let stands = current.as_ref().map(|current| text(current, DATA));
            match stands.map(|stands| stands.cmp(&*standing)) {
                Some(Ordering::Equal) => return Ok(OrderOutcome::Duplicate),
                Some(Ordering::Greater) => return Ok(OrderOutcome::Older),
                Some(Ordering::Less) | None => {}
            }
            let as_read = Condition::as_read(current.as_ref());
            let mention = NewItem::at(&mention).expires(self.gone_at(order.placed_at));
            let writes = vec![
                store.put_write(mention, None),
                store.put_write(self.order_item(order), Some(as_read)),
            ];
            if let Transacted::Done = store.transact(writes).await? {
                return Ok(match current {
                    None => OrderOutcome::Stored,
                    Some(_) => OrderOutcome::Newer,
                });
            }
            backoff(attempt).await;
        }
        Err(StoreError::Contended {
            op: "storing an order that names another customer",
        })
    }

    /// What never changes of an order: as it was stored before or, if this copy is the first, as this copy says it. The pointer
    /// is no fact. It is written before the intake marker of the call that stores the order, because the marker must name the
    /// customer whom the order belongs to.
    ///
    /// A later copy finds the pointer by a read, for half a read unit, because a refused put costs as much as a write. If an
    /// eventual read does not see the pointer yet, the put meets it. But it may see a pointer from before an erasure moved it, so
    /// where somebody was erased, the read is strong.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn order_pointer(self, order: &Order, strong: bool) -> Result<Pointer, StoreError> {
        let key = keys::order_pointer(&self.market.id, &order.order_id);
        if let Some(current) = self.market.store.get(&key, strong).await? {
            return data(&current);
        }
        let pointer = Pointer::of(order);
        let item = self.pointer_item(order, &pointer);
        let store = &self.market.store;
        match store.put_or_find(item, Condition::absent()).await? {
            PutOutcome::Done(_) => Ok(pointer),
            PutOutcome::Refused(current) => data(&current),
        }
    }

    /// An order as an item in the partition of its customer.
    pub(crate) fn order_item(self, order: &Order) -> NewItem {
        let key = keys::order(&self.market.id, &order.customer_id, &order.order_id);
        NewItem::at(&key)
            .text(DATA, order.standing())
            .expires(self.gone_at(order.placed_at))
    }

    pub(crate) fn pointer_item(self, order: &Order, pointer: &Pointer) -> NewItem {
        NewItem::at(&keys::order_pointer(&self.market.id, &order.order_id))
            .data(pointer)
            .expires(self.gone_at(order.placed_at))
    }

    /// A stored event as an item of a pseudonym: under a new id, because a sender may make ids from what it knows of a customer, and
    /// without the address that was clicked. No figure follows from either.
    pub(crate) fn event_for(
        self,
        item: &Item,
        pseudonym: &CustomerId,
    ) -> Result<NewItem, StoreError> {
        let event = EventItem {
            u: None,
            ..data(item)?
        };
        let id = EventId::new(&random_hex()).map_err(|why| unreadable(item, why))?;
        let gone_at = self.gone_at(Instant::from_ms(event.t));
        Ok(NewItem::at(&keys::event(&self.market.id, pseudonym, &id))
            .data(&event)
            .expires(gone_at))
    }

    /// The standing copy of an order.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn order(self, id: &OrderId, now: Instant) -> Result<Option<Order>, StoreError> {
        let Some(pointer) = self
            .market
            .store
            .get(&keys::order_pointer(&self.market.id, id), true)
            .await?
        else {
            return Ok(None);
        };
        let customer = data::<Pointer>(&pointer)?.customer_id;
        let item = self
            .market
            .store
            .get(&keys::order(&self.market.id, &customer, id), true)
            .await?;
        item.filter(|item| !expired(item, now))
            .map(|item| read_order(&item))
            .transpose()
    }

    /// The standing copies of some customers' orders, in no order.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn orders(
        self,
        ids: &[(CustomerId, OrderId)],
        now: Instant,
    ) -> Result<Vec<Order>, StoreError> {
        let keys: Vec<_> = ids
            .iter()
            .map(|(customer, order)| keys::order(&self.market.id, customer, order))
            .collect();
        let items = self.market.store.get_all(&keys, true).await?;
        items
            .iter()
            .filter(|item| !expired(item, now))
            .map(read_order)
            .collect()
    }

    /// The orders of a customer without their events, read strongly.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn orders_of(self, id: &CustomerId, now: Instant) -> Result<Vec<Order>, StoreError> {
        let pk = keys::customer(&self.market.id, id);
        let range = Range::prefix(keys::ORDER_PREFIX);
        let items = self
            .market
            .store
            .query(&pk, &range, Reading::STRONG)
            .await?;
        let kept = items.iter().filter(|item| !expired(item, now));
        kept.map(read_order).collect()
    }

    /// A page of the events and orders of a customer or an address, or of one of the two, read strongly, starting after a place; and
    /// the place where the next page starts. Neither the contribution nor what went to the addresses of orders is read.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn page(
        self,
        id: &Recipient,
        (events, orders): (bool, bool),
        after: Option<String>,
        now: Instant,
    ) -> Result<(CustomerFacts, Option<String>), StoreError> {
        let first = if events {
            keys::EVENT_PREFIX
        } else {
            keys::ORDER_PREFIX
        };
        let behind = if orders {
            keys::ORDER_PREFIX
        } else {
            keys::EVENT_PREFIX
        };
        let range = Range::Between(first.to_owned(), last(behind));
        let pk = keys::customer(&self.market.id, id);
        let store = &self.market.store;
        let page = store.page(&pk, &range, Reading::STRONG, after, None);
        let (items, next) = page.await?;
        let mut facts = CustomerFacts::default();
        for item in &items {
            facts.take(item, id, now)?;
        }
        Ok((facts, next))
    }

    /// What the daily aggregates hold of a customer or an address, read strongly and without any fact.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn contribution_of(self, id: &Recipient) -> Result<StoredContribution, StoreError> {
        let pk = keys::customer(&self.market.id, id);
        // The root and the chunks sort before the events.
        let range = Range::Between(keys::ROOT.to_owned(), keys::EVENT_PREFIX.to_owned());
        let store = &self.market.store;
        let mut stored = StoredContribution::default();
        for item in store.query(&pk, &range, Reading::STRONG).await? {
            if let Some(CustomerItem::Root | CustomerItem::Chunk(_)) =
                keys::customer_item(sk(&item))
            {
                stored.take(&item)?;
            }
        }
        Ok(stored)
    }

    /// All facts of a customer or an address, read strongly, with the contribution's version from before the first fact; `None` if the
    /// facts have more than `bytes_max` bytes. With a customer come the events of the addresses that the standing copies of the orders
    /// name.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn customer(
        self,
        id: &Recipient,
        bytes_max: usize,
        now: Instant,
    ) -> Result<Option<CustomerFacts>, StoreError> {
        let known = BTreeSet::new();
        let read = self.customer_unless(id, bytes_max, &known, now).await?;
        Ok(read.ok())
    }

    /// The same, where addresses are `known` to have more bytes alone: they are not read again for each customer whose orders name them.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn customer_unless(
        self,
        id: &Recipient,
        bytes_max: usize,
        known: &BTreeSet<AddressHash>,
        now: Instant,
    ) -> Result<Result<CustomerFacts, TooLarge>, StoreError> {
        let take = CustomerFacts::take;
        self.read(id, bytes_max, known, now, take).await
    }

    /// The facts of a customer, as [`Facts::customer`] reads them, without the contribution: to unpack it takes longer than to decide the
    /// orders. Of what is stored, only whether the customer is being erased is known.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn alone(
        self,
        id: &Recipient,
        bytes_max: usize,
        now: Instant,
    ) -> Result<Option<CustomerFacts>, StoreError> {
        let (known, take) = (BTreeSet::new(), CustomerFacts::take_alone);
        let read = self.read(id, bytes_max, &known, now, take).await?;
        Ok(read.ok())
    }

    async fn read(
        self,
        id: &Recipient,
        bytes_max: usize,
        known: &BTreeSet<AddressHash>,
        now: Instant,
        take: TakeItem,
    ) -> Result<Result<CustomerFacts, TooLarge>, StoreError> {
        let mut facts = CustomerFacts::default();
        let pk = keys::customer(&self.market.id, id);
        facts.named = id.address().map(|_| false);
        let mut after = None;
        // The root sorts first, and the pages are read one after the other.
        loop {
            let store = &self.market.store;
            let page = store.page(&pk, &Range::All, Reading::STRONG, after, None);
            let (items, next) = page.await?;
            for item in items {
                facts.bytes += item_bytes(&item);
                take(&mut facts, &item, id, now)?;
            }
            match next {
                _ if facts.bytes > bytes_max => return Ok(Err(TooLarge(None))),
                // Behind the events of an address are its links. There may be many, and one says enough.
                Some(next) if facts.named != Some(true) => after = Some(next),
                Some(_) | None => break,
            }
        }
        let read = self.read_addresses(&mut facts, bytes_max, known, now);
        Ok(read.await?.map(|()| facts))
    }

    /// Reads the events of the addresses that the orders name, unless the facts have more than `bytes_max` bytes with them.
    async fn read_addresses(
        self,
        facts: &mut CustomerFacts,
        bytes_max: usize,
        known: &BTreeSet<AddressHash>,
        now: Instant,
    ) -> Result<Result<(), TooLarge>, StoreError> {
        let addresses = facts.addresses(&self.market.id);
        if let Some(large) = addresses.intersection(known).next() {
            return Ok(Err(TooLarge(Some(*large))));
        }
        let reads = addresses.into_iter().map(|address| async move {
            let read = self.events_of(address, bytes_max, now).await?;
            Ok::<_, StoreError>((address, read))
        });
        let mut reads = stream::iter(Vec::from_iter(reads)).buffered(ADDRESSES_AT_ONCE);
        while let Some((address, (events, bytes))) = reads.try_next().await? {
            facts.bytes += bytes.max(ADDRESS_BYTES);
            if facts.bytes > bytes_max {
                return Ok(Err(TooLarge(Some(address).filter(|_| bytes > bytes_max))));
            }
            if !events.is_empty() {
                facts.by_address.insert(address, events);
            }
        }
        Ok(Ok(()))
    }

    /// The events of an address, read strongly, and how many bytes they have. The events are not all where these are too many.
    async fn events_of(
        self,
        address: AddressHash,
        bytes_max: usize,
        now: Instant,
    ) -> Result<(Vec<Event>, usize), StoreError> {
        let recipient = Recipient::from(address);
        let pk = keys::customer(&self.market.id, &recipient);
        let range = Range::prefix(keys::EVENT_PREFIX);
        let (mut facts, mut after) = (CustomerFacts::default(), None);
        loop {
            let store = &self.market.store;
            let page = store.page(&pk, &range, Reading::STRONG, after, None);
            let (items, next) = page.await?;
            for item in items {
                facts.bytes += item_bytes(&item);
                facts.take(&item, &recipient, now)?;
            }
            match next.filter(|_| facts.bytes <= bytes_max) {
                Some(next) => after = Some(next),
                None => return Ok((facts.events, facts.bytes)),
            }
        }
    }
}

impl CustomerFacts {
    /// The addresses that the standing copies of the orders name.
    pub fn addresses(&self, marketplace: &MarketplaceId) -> BTreeSet<AddressHash> {
        let named = self.orders.iter();
        named
            .flat_map(|order| order.addresses(marketplace))
            .collect()
    }

    /// All events that decide: those of the recipient, and those of the addresses.
    pub fn all_events(&self) -> impl Iterator<Item = &Event> {
        let by_address = self.by_address.values().flatten();
        self.events.iter().chain(by_address)
    }

    /// The timelines that the orders are decided by.
    pub fn timelines(&self, world: &World<'_>) -> Timelines<'_> {
        // A link goes with its orders, and the events of the address may be seen for longer. Their figures stay.
        let was_named = || self.stored.counts(Counter::ByAddressNamed);
        let named = self.named.map(|named| named || was_named());
        let timelines = world.timelines(&self.events, &self.by_address, &self.orders);
        timelines.of_address(named)
    }

    /// True if there is nothing of the recipient: neither a fact nor a contribution.
    pub fn is_nothing(&self) -> bool {
        self.stored.version == 0 && self.events.is_empty() && self.orders.is_empty()
    }

    /// Takes an item in, but of the contribution only whether it is being moved.
    fn take_alone(&mut self, item: &Item, id: &Recipient, now: Instant) -> Result<(), StoreError> {
        match keys::customer_item(sk(item)) {
            Some(CustomerItem::Root) => self.stored.is_moving = item.contains_key(root::MOVING),
            Some(CustomerItem::Chunk(_)) => {}
            _ => self.take(item, id, now)?,
        }
        Ok(())
    }

    fn take(&mut self, item: &Item, id: &Recipient, now: Instant) -> Result<(), StoreError> {
        match keys::customer_item(sk(item)) {
            Some(CustomerItem::Root | CustomerItem::Chunk(_)) => self.stored.take(item)?,
            // The table deletes the item days late, but readers ignore it now.
            _ if expired(item, now) => {}
            Some(CustomerItem::Event(event)) => self.events.push(read_event(item, event, id)?),
            Some(CustomerItem::Order(_)) => self.orders.push(read_order(item)?),
            Some(CustomerItem::Link(_)) => self.named = self.named.map(|_| true),
            Some(CustomerItem::Mention(_)) | None => {}
        }
        Ok(())
    }
}

fn read_event(item: &Item, id: &str, of: &Recipient) -> Result<Event, StoreError> {
    let id = EventId::new(id).map_err(|why| unreadable(item, why))?;
    Ok(data::<EventItem>(item)?.event(id, of.clone()))
}

/// An order as it is stored: a copy as it was sent, in the partition of the customer whom the order belongs to.
pub(crate) fn read_order(item: &Item) -> Result<Order, StoreError> {
    let sent = Order::from_standing(text(item, DATA));
    let sent = sent.ok_or_else(|| unreadable(item, "it is no order"))?;
    let customer =
        keys::customer_of(pk(item)).ok_or_else(|| unreadable(item, "it lies with no customer"))?;
    let customer = CustomerId::new(customer).map_err(|why| unreadable(item, why))?;
    Ok(sent.of_customer(&customer))
}
