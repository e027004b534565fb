//! One partition: its orders and the rows of its events, by recipient. The rules are in `revtrail-core`.

use std::collections::{BTreeMap, HashMap};
use std::io;

use foldhash::fast::RandomState;
use revtrail_core::attribution::campaign::CampaignIx;
use revtrail_core::attribution::plain::{Decidable, PlainOrder};
use revtrail_core::attribution::timeline::Touchpoint;
use revtrail_core::figures::fold::World;
use revtrail_core::value::address::AddressHash;
use revtrail_core::value::id::MarketplaceId;

use super::facts::FileFacts;
use super::numbers::{Ends, Hashing, Numbers};
use super::rows::{Bytes, EventRow, Happened, OrderRow};

/// What all partitions are read with.
pub(super) struct Context<'f> {
    pub(super) facts: &'f FileFacts,
    pub(super) world: &'f World<'f>,
    /// The campaigns of events in the catalog, by number. A campaign that only duplicates name is in none.
    pub(super) campaigns: &'f [Option<CampaignIx>],
    /// For each [`Happened::class`], whether such an event can connect its message to an order.
    pub(super) connecting: Vec<bool>,
    /// How long after such an event an order can be placed that it earns, in milliseconds.
    pub(super) window_ms_max: i64,
    /// True where also messages that can neither earn an order nor decide one are asked for.
    pub(super) all_messages: bool,
}

impl Context<'_> {
    /// For each [`Happened::class`], whether such an event can connect its message to an order.
    pub(super) fn connecting(world: &World<'_>) -> Vec<bool> {
        let any = world.catalog.iter().next().map(|(campaign, _)| campaign);
        let connects = |event: Happened<'_>, campaign| {
            let touchpoint = event.touchpoint_of_any(campaign);
            world
                .rules()
                .iter()
                .any(|rules| rules.connects(&touchpoint))
        };
        Happened::of_each_class()
            .map(|event| any.is_some_and(|campaign| connects(event, campaign)))
            .collect()
    }

    /// The campaign of an event in the catalog.
    #[inline]
    pub(super) fn campaign(&self, row: &EventRow<'_>) -> Option<CampaignIx> {
        self.campaigns.get(row.campaign as usize).copied().flatten()
    }
}

/// What a partition is read with. The memory serves one partition after the other.
#[derive(Default)]
pub(super) struct Tables {
    recipients: Numbers,
    /// For each event, the number of its recipient, and where its row begins.
    rows: Vec<(u32, usize)>,
}

/// The recipients of one partition.
struct Recipients<'f, 't> {
    numbers: &'t mut Numbers,
    hashing: &'t Hashing,
    ids: Vec<(Ends, &'f [u8])>,
}

impl<'f> Recipients<'f, '_> {
    #[inline]
    fn number(&mut self, id: &'f [u8]) -> u32 {
        let ids = &self.ids;
        let (hash, ends) = (self.hashing.of(id), Ends::of(id));
        let (number, is_new) = self.numbers.number(hash, |number| {
            let (known, known_id) = ids[number as usize];
            known == ends && (ends.is_all() || known_id == id)
        });
        if is_new {
            self.ids.push((ends, id));
        }
        number
    }
}

/// An order, with the index of its customer.
#[derive(Clone, Copy)]
pub(super) struct PartOrder<'f> {
    customer: u32,
    pub(super) row: OrderRow<'f>,
}

impl Decidable for PartOrder<'_> {
    fn plain(&self) -> PlainOrder<'_> {
        self.row.order
    }

    fn addresses(&self, marketplace: &MarketplaceId) -> Vec<AddressHash> {
        let order = self.row.to_order();
        order.map_or_else(Vec::new, |order| order.addresses(marketplace))
    }
}

/// The rows of a partition.
#[derive(Default)]
pub(super) struct Partition<'f> {
    /// Sorted by customer. Those who have orders have the first numbers.
    orders: Vec<PartOrder<'f>>,
    /// The rows of events.
    bytes: &'f [u8],
    /// Where each of these rows begins: those of the first recipient, as they came, then those of the next.
    rows: Vec<usize>,
    /// For each recipient, where in `rows` theirs end.
    ends: Vec<u32>,
    /// What went to addresses that these orders name.
    guests: HashMap<AddressHash, Vec<Touchpoint<'f>>, RandomState>,
}

/// A customer, or an address, with what went to them.
pub(super) struct Recipient<'p, 'f> {
    /// The orders of a customer.
    pub(super) orders: &'p [PartOrder<'f>],
    /// The messages to the addresses that the orders name.
    pub(super) guests: BTreeMap<AddressHash, Vec<Touchpoint<'f>>>,
    bytes: &'f [u8],
    rows: &'p [usize],
}

impl<'f> Recipient<'_, 'f> {
    /// How many events there are, with duplicates.
    pub(super) fn events_len(&self) -> usize {
        self.rows.len()
    }

    /// The events as they came.
    #[inline]
    pub(super) fn events(&self) -> impl Iterator<Item = EventRow<'f>> {
        let rows = self.rows.iter();
        rows.filter_map(|at| Bytes::from(self.bytes, *at).event())
    }
}

impl<'f> Partition<'f> {
    /// Reads a partition.
    ///
    /// # Errors
    /// Rows that are not in memory cannot be read again.
    pub(super) fn read(
        partition: usize,
        context: &Context<'f>,
        [buffer, guests]: &'f mut [Vec<u8>; 2],
        tables: &mut Tables,
    ) -> io::Result<Self> {
        let facts = context.facts;
        let mut read = Self::default();
        let Tables { recipients, rows } = tables;
        recipients.clear(recipients.given());
        rows.clear();
        let mut recipients = Recipients {
            numbers: recipients,
            hashing: facts.partitioning.hashing(),
            ids: Vec::new(),
        };
        let mut orders: Vec<PartOrder<'f>> = Vec::new();
        for row in facts.standing.part(partition) {
            let customer = recipients.number(row.order.customer_id.as_bytes());
            orders.push(PartOrder { customer, row });
        }
        // An order is long, so each is moved once.
        let by_customer: Vec<(u32, usize)> =
            (orders.iter().map(|order| order.customer).zip(0..)).collect();
        let (sorted, _) = counting_sort(&by_customer, recipients.ids.len());
        let sorted = sorted.into_iter().map(|index| orders[index]);
        read.orders.extend(sorted);

        facts.events.part(partition, buffer)?;
        read.bytes = buffer;
        let mut bytes = Bytes::from(read.bytes, 0);
        let mut at = 0;
        while let Some(recipient) = bytes.recipient() {
            rows.push((recipients.number(recipient), at));
            at = bytes.at();
        }
        (read.rows, read.ends) = counting_sort(rows, recipients.ids.len());

        facts.guests.part(partition, guests)?;
        let mut bytes = Bytes::from(guests, 0);
        while let Some(row) = bytes.event() {
            if let Some((address, campaign)) = row.address().zip(context.campaign(&row)) {
                let guests = read.guests.entry(address).or_default();
                guests.push(row.what.touchpoint(campaign));
            }
        }
        Ok(read)
    }

    /// The recipients, each once.
    pub(super) fn recipients(
        &self,
        marketplace: &MarketplaceId,
    ) -> impl Iterator<Item = Recipient<'_, 'f>> {
        let mut orders = self.orders.chunk_by(|a, b| a.customer == b.customer);
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let orders = orders.next().unwrap_or_default();
            let rows = &self.rows[std::mem::replace(&mut start, *end as usize)..*end as usize];
            Recipient {
                orders,
                guests: self.guests_of(orders, marketplace),
                bytes: self.bytes,
                rows,
            }
        })
    }

    /// What went to the addresses of some orders.
    fn guests_of(
        &self,
        orders: &[PartOrder<'f>],
        marketplace: &MarketplaceId,
    ) -> BTreeMap<AddressHash, Vec<Touchpoint<'f>>> {
        let mut found = BTreeMap::new();
        if self.guests.is_empty() {
            return found;
        }
        for address in orders.iter().flat_map(|order| order.addresses(marketplace)) {
            if let Some(guests) = self.guests.get(&address) {
                found.entry(address).or_insert_with(|| guests.clone());
            }
        }
        found
    }
}

/// Sorts values by their keys, which are less than `keys`, and leaves those with one key in their order. Also returns where each key
/// ends.
fn counting_sort(values: &[(u32, usize)], keys: usize) -> (Vec<usize>, Vec<u32>) {
    let mut ends = vec![0; keys];
    values.iter().for_each(|(key, _)| ends[*key as usize] += 1);
    let mut end = 0;
    for count in &mut ends {
        end += std::mem::replace(count, end);
    }
    let mut sorted = vec![0; values.len()];
    for (key, value) in values {
        let next = &mut ends[*key as usize];
        sorted[*next as usize] = *value;
        *next += 1;
    }
    (sorted, ends)
}
