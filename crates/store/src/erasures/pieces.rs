//! The pieces of a customer's partition: events, orders, chunks of the contribution, links, and the orders of others that name the
//! customer. Purchase rows move with their orders.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use revtrail_core::attribution::event::Event;
use revtrail_core::attribution::order::Order;
use revtrail_core::figures::fold::OrderLine;
use revtrail_core::value::address::AddressHash;
use revtrail_core::value::id::OrderId;
use revtrail_core::value::time::Day;

use super::{Erasing, PiecesLeft, StepEnd};
use crate::jobs::job::EraseStep;
use crate::ledger::facts::{Pointer, read_order};
use crate::ledger::purchases::PurchaseRow;
use crate::table::attributes::DATA;
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::contention::{TRIES_MAX, backoff};
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, expired, item_bytes, key_of, sk, text, unreadable};
use crate::table::keys::{self, CustomerItem, Key};
use crate::table::write::{TRANSACTION_BYTES_MAX, Transacted, Write};

/// The most pieces that are moved in one transaction: each is at most four of its 100 items, and two more hold it to the erasure.
const PIECES_AT_ONCE: usize = 24;

/// How many links are read at once.
const LINKS_AT_ONCE: i32 = 250;

/// The lines of a contribution, by order.
type OrderLines<'l> = BTreeMap<&'l OrderId, (Day, &'l OrderLine)>;

impl Erasing<'_> {
    /// Moves what lies in the customer's partition, and the purchase rows.
    pub(super) async fn move_partition(&mut self) -> Result<PiecesLeft, StoreError> {
        let pk = keys::customer(&self.market.id, &self.of.customer);
        self.split_from = self.market.meta().await?.split_from;
        let stored = self.stored().await?;
        let lines = stored
            .lines()
            .map(|(day, line)| (&line.order_id, (day, line)));
        let lines: OrderLines<'_> = lines.collect();
        let mut swept = PiecesLeft::Clean;
        let (mut links, mut late) = (Vec::new(), Vec::new());
        let mut after = None;
        self.has_late = false;
        loop {
            let store = &self.market.store;
            let page = store.page(&pk, &Range::All, Reading::STRONG, after, None);
            let (items, next) = page.await?;
            let (mut mentions, mut pieces) = (Vec::new(), Vec::new());
            for item in items {
                match keys::customer_item(sk(&item)) {
                    Some(CustomerItem::Root) => {}
                    Some(CustomerItem::Link(_)) => links.push(item),
                    Some(CustomerItem::Chunk(_)) => pieces.push(item),
                    Some(CustomerItem::Mention(_)) if self.cut.has(sk(&item)) => {
                        mentions.push(item)
                    }
                    Some(CustomerItem::Mention(_)) => {}
                    _ if self.cut.has(sk(&item)) => pieces.push(item),
                    Some(CustomerItem::Order(_)) => late.push(read_order(&item)?),
                    _ => self.has_late = true,
                }
            }
            for some in pieces.chunks(PIECES_AT_ONCE) {
                swept = PiecesLeft::Moved;
                if self.move_messages(some).await? {
                    self.move_pieces(some, &lines).await?;
                }
                if self.is_over() {
                    return Ok(PiecesLeft::OutOfTime);
                }
            }
            for mention in &mentions {
                swept = PiecesLeft::Moved;
                self.forget_mention(mention).await?;
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.has_late |= !late.is_empty();
        if self.move_links(&links, &late).await? {
            swept = PiecesLeft::Moved;
        }
        if swept == PiecesLeft::Clean && self.move_rows(&lines).await? {
            swept = PiecesLeft::Moved;
        }
        Ok(swept)
    }

    /// Moves some pieces, in as many transactions as their size asks for.
    async fn move_pieces(&self, items: &[Item], lines: &OrderLines<'_>) -> Result<(), StoreError> {
        let around = self.around(items, lines).await?;
        let (mut writes, mut facts, mut bytes) = (Vec::new(), 0, 0);
        for item in items {
            let size = 2 * item_bytes(item);
            if bytes + size > TRANSACTION_BYTES_MAX && !writes.is_empty() {
                self.transact(std::mem::take(&mut writes), facts).await?;
                (facts, bytes) = (0, 0);
            }
            bytes += size;
            let is_fact = matches!(
                keys::customer_item(sk(item)),
                Some(CustomerItem::Event(_) | CustomerItem::Order(_))
            );
            facts += usize::from(is_fact);
            writes.extend(self.piece(item, &around, lines)?);
        }
        self.transact(writes, facts).await.map(drop)
    }

    /// What orders refer to: their purchase rows, and copies that the pseudonym has already.
    async fn around(
        &self,
        items: &[Item],
        lines: &OrderLines<'_>,
    ) -> Result<HashMap<Key, Item>, StoreError> {
        let mut wanted = BTreeSet::new();
        for order in items.iter().filter_map(order_of) {
            wanted.insert(keys::order(&self.market.id, &self.of.pseudonym, &order));
            wanted.extend(lines.get(&order).map(|line| self.row_key(*line)));
        }
        self.market.store.get_map(&Vec::from_iter(wanted)).await
    }

    fn row_key(&self, (day, line): (Day, &OrderLine)) -> Key {
        let rows = self.market.purchases();
        rows.row_key(self.split_from, day, line)
    }

    /// A write that gives the row of an order to the pseudonym.
    fn put_row(&self, (day, line): (Day, &OrderLine)) -> Write {
        let (rows, key) = (self.market.purchases(), self.row_key((day, line)));
        rows.put_row(&key, day, &self.of.pseudonym, line)
    }

    /// The writes that move a piece. What is over is deleted.
    fn piece(
        &self,
        item: &Item,
        around: &HashMap<Key, Item>,
        lines: &OrderLines<'_>,
    ) -> Result<Vec<Write>, StoreError> {
        let (market, store, pseudonym) = (self.market, &self.market.store, &self.of.pseudonym);
        let moved = match keys::customer_item(sk(item)) {
            Some(CustomerItem::Chunk(name)) => {
                let key = keys::chunk(&market.id, pseudonym, name);
                Some(NewItem::copied(&key, item))
            }
            _ if expired(item, self.now()) => {
                return Ok(vec![self.delete(item, Condition::present())]);
            }
            Some(CustomerItem::Event(_)) => Some(market.facts().event_for(item, pseudonym)?),
            _ => None,
        };
        if let Some(moved) = moved {
            let moved = store.put_write(moved, None);
            return Ok(vec![moved, self.delete(item, Condition::present())]);
        }
        let Some(id) = order_of(item) else {
            return Err(unreadable(item, "it is no piece of a customer"));
        };
        let order = read_order(item)?.without_person(pseudonym, &market.id);
        let key = keys::order(&market.id, pseudonym, &id);
        let standing = order.standing();
        let mut writes = vec![self.delete(item, Condition::unchanged(item))];
        // A call that read the old pointer stored a copy of an order that was moved already.
        if around
            .get(&key)
            .is_none_or(|other| *text(other, DATA) < *standing)
        {
            let moved = market.facts().order_item(&order);
            let newer = Condition::absent_or_less(DATA, &standing);
            writes.push(store.put_write(moved, Some(newer)));
        }
        let pointer = Pointer::of_erased(&order);
        writes.push(store.put_write(market.facts().pointer_item(&order, &pointer), None));
        let line = lines
            .get(&id)
            .filter(|line| self.is_own_row(around.get(&self.row_key(**line))));
        writes.extend(line.map(|line| self.put_row(*line)));
        Ok(writes)
    }

    /// Gives the links to the pseudonym, whose orders keep what they were decided by. A link that an order names which came late stays,
    /// and the pseudonym gets another if it was there before that. Such an order may lack a link: its call found the link that was moved.
    /// True if anything was to be done.
    async fn move_links(&self, links: &[Item], late: &[Order]) -> Result<bool, StoreError> {
        let (id, store, of) = (&self.market.id, &self.market.store, &self.of);
        let named = late.iter().flat_map(|order| order.addresses(id));
        let named: BTreeSet<AddressHash> = named.collect();
        let addresses = links
            .iter()
            .map(address_of)
            .collect::<Result<Vec<_>, _>>()?;
        let moved = |address: &AddressHash| keys::linked_address(id, &of.pseudonym, *address);
        let wanted = addresses
            .iter()
            .filter(|one| named.contains(*one))
            .map(moved);
        let have = store.get_map(&Vec::from_iter(wanted)).await?;
        let mut together = Vec::new();
        for (item, address) in links.iter().zip(&addresses) {
            let (stays, mut writes) = (named.contains(address), Vec::new());
            if !stays {
                let old = keys::link(id, *address, &of.customer);
                writes.push(self.delete(item, Condition::present()));
                writes.push(store.delete_write(&old, None));
            }
            let lacks = self.cut.has(sk(item)) && !have.contains_key(&moved(address));
            if (!stays || lacks) && !expired(item, self.now()) {
                let new = [moved(address), keys::link(id, *address, &of.pseudonym)];
                writes.extend(new.map(|key| store.put_write(NewItem::copied(&key, item), None)));
            }
            together.extend(Some(writes).filter(|writes| !writes.is_empty()));
        }
        let missing = self.market.links().missing(late, true).await?;
        together.extend(self.market.links().writes(&missing));
        let found = !together.is_empty();
        let mut together = together.into_iter().peekable();
        while together.peek().is_some() {
            let some = together.by_ref().take(PIECES_AT_ONCE).flatten();
            self.transact(some.collect(), 0).await?;
        }
        Ok(found)
    }

    /// Takes the name from every address once more, after the move has ended. A call that was under way may have written the item with
    /// the address after the one with the customer had moved. A new customer of the name keeps the link: theirs has both items.
    pub(super) async fn links(&self, mut after: Option<String>) -> Result<StepEnd, StoreError> {
        let (id, store, of) = (&self.market.id, &self.market.store, &self.of);
        let pk = keys::customer(id, &of.pseudonym);
        let range = Range::prefix(keys::LINKS_PREFIX);
        loop {
            let page = store.page(&pk, &range, Reading::STRONG, after, Some(LINKS_AT_ONCE));
            let (items, next) = page.await?;
            for item in items {
                let address = address_of(&item)?;
                let theirs = keys::linked_address(id, &of.customer, address);
                let old = keys::link(id, address, &of.customer);
                self.unlink(&theirs, &old).await?;
            }
            after = next;
            if after.is_none() {
                return Ok(StepEnd::Done);
            }
            if self.is_over() {
                return Ok(StepEnd::OutOfTime(EraseStep::Links { after }));
            }
        }
    }

    /// Deletes the item with an address, unless the one with the customer is there.
    async fn unlink(&self, theirs: &Key, old: &Key) -> Result<(), StoreError> {
        let store = &self.market.store;
        for attempt in 0..TRIES_MAX {
            let writes = vec![
                store.check_write(theirs, Condition::absent()),
                store.delete_write(old, None),
            ];
            match store.transact(writes).await? {
                Transacted::Cancelled(faults) if faults.first() != Some(&Fault::Condition) => {
                    backoff(attempt).await;
                }
                Transacted::Done | Transacted::Cancelled(_) => return Ok(()),
            }
        }
        Err(StoreError::Contended {
            op: "taking a name from an address",
        })
    }

    fn is_own_row(&self, row: Option<&Item>) -> bool {
        let row = row.map(data::<PurchaseRow>);
        row.is_some_and(|row| row.is_ok_and(|row| row.customer_id == self.of.customer))
    }

    pub(super) fn delete(&self, item: &Item, condition: Condition) -> Write {
        self.market
            .store
            .delete_write(&key_of(item), Some(condition))
    }

    /// Moves the rows of orders whose facts are gone already. True if there were any.
    async fn move_rows(&self, lines: &OrderLines<'_>) -> Result<bool, StoreError> {
        let mut found = false;
        let lines: Vec<(Day, &OrderLine)> = lines.values().copied().collect();
        for some in lines.chunks(PIECES_AT_ONCE) {
            let keys: Vec<Key> = some.iter().map(|line| self.row_key(*line)).collect();
            let rows = self.market.store.get_map(&keys).await?;
            let own = some
                .iter()
                .zip(&keys)
                .filter(|(_, key)| self.is_own_row(rows.get(key)));
            let own: Vec<Write> = own.map(|(line, _)| self.put_row(*line)).collect();
            if !own.is_empty() {
                found = true;
                self.transact(own, 0).await?;
            }
        }
        Ok(found)
    }

    /// Moves the messages with a code that events tell of. Their names follow from the customer's id and the events, so these stay
    /// where they are until every such message has moved: false where one has not.
    async fn move_messages(&self, items: &[Item]) -> Result<bool, StoreError> {
        let is_event =
            |item: &&Item| matches!(keys::customer_item(sk(item)), Some(CustomerItem::Event(_)));
        let events = items.iter().filter(is_event);
        let of = self.of.customer.clone().into();
        let events = events.map(|item| self.market.facts().event_at(item, &of));
        let events: Vec<Event> = events.collect::<Result<_, _>>()?;
        if events.is_empty() || !self.market.meta().await?.coded {
            return Ok(true);
        }
        let distributions = self.market.distributions();
        let mut all = true;
        for message in distributions.moves(&events, &self.of.pseudonym).await? {
            all &= self.transact(message, 0).await?;
        }
        Ok(all)
    }

    /// Takes the customer's id out of another customer's order, of which some copy was sent with it.
    async fn forget_mention(&self, mention: &Item) -> Result<(), StoreError> {
        let store = &self.market.store;
        let mut writes = vec![self.delete(mention, Condition::present())];
        let order = match keys::customer_item(sk(mention)) {
            Some(CustomerItem::Mention(id)) => OrderId::new(id).ok(),
            _ => None,
        };
        if let Some(id) = order
            && let Some(pointer) = store
                .get(&keys::order_pointer(&self.market.id, &id), true)
                .await?
        {
            let owner = data::<Pointer>(&pointer)?.customer_id;
            let key = keys::order(&self.market.id, &owner, &id);
            let item = store.get(&key, true).await?;
            let as_read = Condition::as_read(item.as_ref());
            let order = item.as_ref().map(read_order).transpose()?;
            let names = |order: &Order| order.sent_with.as_ref() == Some(&self.of.customer);
            // Whatever stands there: a copy that comes meanwhile is mentioned anew, and that must not be deleted.
            writes.push(match order.filter(names) {
                // What the copy says of a person it says of the one whom it names.
                Some(order) => {
                    let order = order.without_person(&owner, &self.market.id);
                    let moved = self.market.facts().order_item(&order);
                    store.put_write(moved, Some(as_read))
                }
                None => store.check_write(&key, as_read),
            });
        }
        self.transact(writes, 0).await.map(drop)
    }
}

/// The address of a customer's link.
fn address_of(item: &Item) -> Result<AddressHash, StoreError> {
    let address = match keys::customer_item(sk(item)) {
        Some(CustomerItem::Link(address)) => AddressHash::parse(address),
        _ => None,
    };
    address.ok_or_else(|| unreadable(item, "it is no link"))
}

/// The order of a piece that is one.
fn order_of(item: &Item) -> Option<OrderId> {
    match keys::customer_item(sk(item))? {
        CustomerItem::Order(id) => OrderId::new(id).ok(),
        _ => None,
    }
}
