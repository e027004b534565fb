//! One partition: which copies of its events count, what these add to the counters of engagement, and for each customer with orders the
//! messages that decide them. The rules are in `revtrail-core`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use foldhash::fast::RandomState;
use revtrail_core::attribution::campaign::{CampaignIx, Catalog};
use revtrail_core::attribution::event::Channel;
use revtrail_core::attribution::plain::{Decidable, PlainOrder};
use revtrail_core::attribution::timeline::Touchpoint;
use revtrail_core::figures::counters::{COUNTERS, CounterSet, Counters};
use revtrail_core::figures::fold::{World, counters_of};
use revtrail_core::value::address::AddressHash;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::Instant;

use super::facts::FileFacts;
use super::rows::{Bytes, Happened, OrderRow};

/// About how many bytes a row of an event has at least.
const ROW_BYTES: usize = 32;

/// What all partitions are read with.
pub(super) struct Context<'f> {
    pub(super) facts: &'f FileFacts,
    pub(super) world: &'f World<'f>,
    /// For each worker that read events, its campaigns in the catalog. A campaign that only duplicates name is in none.
    pub(super) campaigns: &'f [Vec<Option<CampaignIx>>],
    /// True where also messages that can neither earn an order nor decide one are asked for.
    pub(super) all_messages: bool,
}

impl Context<'_> {
    fn connects(&self, touchpoint: &Touchpoint<'_>) -> bool {
        let mut rules = self.world.rules().iter();
        rules.any(|rules| rules.connects(touchpoint))
    }
}

/// For each campaign of a catalog and each channel, the earliest event.
pub(super) type Seen = Vec<[Option<Instant>; 3]>;

/// What the events of many partitions add up to.
pub(super) struct Engagement {
    /// For each campaign and channel, the counters since the last call of [`Engagement::settle`]. Few bytes, so that a cache holds them.
    counts: Vec<[u32; COUNTERS]>,
    /// How many events were counted since then.
    unsettled: u32,
    settled: Vec<[i64; COUNTERS]>,
    pub(super) seen: Seen,
    /// How many events count, and how many were duplicates.
    pub(super) events: usize,
    pub(super) duplicates: usize,
}

impl Engagement {
    pub(super) fn new(catalog: &Catalog) -> Self {
        let rows = catalog.len() * Channel::ALL.len();
        Self {
            counts: vec![[0; COUNTERS]; rows],
            unsettled: 0,
            settled: vec![[0; COUNTERS]; rows],
            seen: vec![[None; 3]; catalog.len()],
            events: 0,
            duplicates: 0,
        }
    }

    /// Counts the first copy of an event of a message. A run over files knows no look-back, so a counter of messages counts each once.
    fn add(&mut self, touchpoint: &Touchpoint<'_>, counted: &mut CounterSet, world: &World<'_>) {
        self.events += 1;
        self.unsettled += 1;
        let (campaign, channel) = (touchpoint.campaign.index(), touchpoint.channel as usize);
        let counts = &mut self.counts[campaign * Channel::ALL.len() + channel];
        let [of_events, of_messages] = counters_of(touchpoint, None, world);
        for counter in of_events.into_iter().chain(counted.take(of_messages)) {
            counts[counter as usize] += 1;
        }
        let seen = &mut self.seen[campaign][channel];
        *seen = Some(seen.map_or(touchpoint.at, |first| first.min(touchpoint.at)));
        if self.unsettled == u32::MAX {
            self.settle();
        }
    }

    fn settle(&mut self) {
        for (settled, counts) in self.settled.iter_mut().zip(&mut self.counts) {
            for (settled, count) in settled.iter_mut().zip(std::mem::take(counts)) {
                *settled += i64::from(count);
            }
        }
        self.unsettled = 0;
    }

    /// The counters of each campaign and channel, in the order of the catalog.
    pub(super) fn counters(&mut self) -> impl Iterator<Item = Counters> {
        self.settle();
        self.settled
            .iter()
            .map(|counters| Counters::from(*counters))
    }
}

/// A message: the number of its recipient in the partition, its campaign, its channel and its id.
type Message<'f> = (u32, CampaignIx, Channel, Option<&'f [u8]>);

/// What is known of a message.
#[derive(Default)]
struct MessageState {
    /// The counters of messages that counted it.
    counted: CounterSet,
    /// True where some event can connect it to an order.
    connects: bool,
}

/// An event of a customer with orders, with the indexes of the customer and the message.
struct PartEvent<'f> {
    customer: u32,
    message: u32,
    campaign: CampaignIx,
    what: Happened<'f>,
}

/// An order, with the index of its customer.
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

/// The customers of a partition who have orders. A partition of addresses has none.
#[derive(Default)]
pub(super) struct Partition<'f> {
    /// Sorted by customer.
    orders: Vec<PartOrder<'f>>,
    /// For each customer, whether there is any event.
    has_event: Vec<bool>,
    events: Vec<PartEvent<'f>>,
    /// Indexes into `events`, sorted by customer and then by campaign.
    sorted: Vec<u32>,
    /// For each customer, where in `sorted` their events end.
    ends: Vec<u32>,
    /// What went to addresses that these orders name.
    guests: HashMap<AddressHash, Vec<Touchpoint<'f>>, RandomState>,
}

/// A customer with their orders, and with the messages that can decide these.
pub(super) struct Customer<'p, 'f> {
    pub(super) orders: &'p [PartOrder<'f>],
    pub(super) has_event: bool,
    /// The messages to the addresses that the orders name.
    pub(super) guests: BTreeMap<AddressHash, Vec<Touchpoint<'f>>>,
    partition: &'p Partition<'f>,
    events: &'p [u32],
}

impl<'f> Customer<'_, 'f> {
    /// The events of the messages to the customer, by campaign: timelines want them so.
    pub(super) fn touchpoints(&self) -> impl Iterator<Item = Touchpoint<'f>> {
        let events = self.events.iter();
        let events = events.map(|index| &self.partition.events[*index as usize]);
        events.map(|event| event.what.touchpoint(event.campaign))
    }
}

impl<'f> Partition<'f> {
    /// Reads a partition, and counts its events.
    ///
    /// # Errors
    /// Rows that are not in memory cannot be read again.
    pub(super) fn read(
        partition: usize,
        context: &Context<'f>,
        [buffer, guests]: &'f mut [Vec<u8>; 2],
        engagement: &mut Engagement,
    ) -> io::Result<Self> {
        let facts = context.facts;
        let mut read = Self::default();
        let mut recipients: HashMap<&[u8], u32, RandomState> = HashMap::default();
        for row in facts.standing.part(partition) {
            let next = recipients.len() as u32;
            let customer = recipients.entry(row.order.customer_id.as_bytes());
            let customer = *customer.or_insert(next);
            read.orders.push(PartOrder { customer, row });
        }
        read.orders.sort_by_key(|order| order.customer);
        read.has_event.resize(recipients.len(), false);
        let rows = facts.events.part(partition, buffer)?;
        let messages = read.count(&rows, &mut recipients, context, engagement);
        for (worker, mut bytes) in facts.guests.part(partition, guests)? {
            let campaigns = &context.campaigns[worker];
            while let Some(row) = bytes.event() {
                let campaign = campaigns.get(row.campaign as usize).copied().flatten();
                if let Some((address, campaign)) = row.address().zip(campaign) {
                    let guests = read.guests.entry(address).or_default();
                    guests.push(row.what.touchpoint(campaign));
                }
            }
        }
        if !read.orders.is_empty() {
            read.sort_events(context, &messages);
        }
        Ok(read)
    }

    /// Counts the first copy of each event, and keeps those of customers with orders. Returns the messages.
    fn count(
        &mut self,
        rows: &[(usize, Bytes<'f>)],
        recipients: &mut HashMap<&'f [u8], u32, RandomState>,
        context: &Context<'f>,
        engagement: &mut Engagement,
    ) -> Vec<MessageState> {
        let room = rows
            .iter()
            .map(|(_, rows)| rows.rest().len())
            .sum::<usize>()
            / ROW_BYTES;
        let mut seen: HashSet<&[u8], RandomState> = HashSet::default();
        let mut places: HashMap<Message<'_>, u32, RandomState> = HashMap::default();
        seen.reserve(room);
        places.reserve(room);
        let mut messages: Vec<MessageState> = Vec::new();
        for (worker, bytes) in rows {
            let (mut bytes, campaigns) = (*bytes, &context.campaigns[*worker]);
            while let Some(row) = bytes.event() {
                if !seen.insert(row.identity) {
                    engagement.duplicates += 1;
                    continue;
                }
                let Some(campaign) = campaigns.get(row.campaign as usize).copied().flatten() else {
                    continue;
                };
                let next = recipients.len() as u32;
                let recipient = *recipients.entry(row.recipient).or_insert(next);
                let touchpoint = row.what.touchpoint_of_any(campaign);
                let message = (recipient, campaign, touchpoint.channel, row.what.message);
                let next = messages.len() as u32;
                let message = *places.entry(message).or_insert(next);
                if message == next {
                    messages.push(MessageState::default());
                }
                let state = &mut messages[message as usize];
                engagement.add(&touchpoint, &mut state.counted, context.world);
                if let Some(has_event) = self.has_event.get_mut(recipient as usize) {
                    *has_event = true;
                    state.connects |= context.connects(&touchpoint);
                    self.events.push(PartEvent {
                        customer: recipient,
                        message,
                        campaign,
                        what: row.what,
                    });
                }
            }
        }
        messages
    }

    /// Sorts the events of messages that can decide an order.
    fn sort_events(&mut self, context: &Context<'_>, messages: &[MessageState]) {
        let events = &self.events;
        let decides = |event: &PartEvent<'_>| {
            context.all_messages || messages[event.message as usize].connects
        };
        let all: Vec<u32> = (0..)
            .zip(events)
            .filter(|(_, event)| decides(event))
            .map(|(i, _)| i)
            .collect();
        let campaign = |index: u32| events[index as usize].campaign.index();
        let (by_campaign, _) = counting_sort(&all, context.world.catalog.len(), campaign);
        let customer = |index: u32| events[index as usize].customer as usize;
        (self.sorted, self.ends) = counting_sort(&by_campaign, self.has_event.len(), customer);
    }

    /// The customers, each once.
    pub(super) fn customers(
        &self,
        marketplace: &MarketplaceId,
    ) -> impl Iterator<Item = Customer<'_, 'f>> {
        let all = self.orders.chunk_by(|a, b| a.customer == b.customer);
        let mut start = 0;
        all.map(move |orders| {
            let customer = orders[0].customer as usize;
            let end = self.ends[customer] as usize;
            let events = &self.sorted[std::mem::replace(&mut start, end)..end];
            Customer {
                orders,
                has_event: self.has_event[customer],
                guests: self.guests_of(orders, marketplace),
                partition: self,
                events,
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

/// Sorts indexes by a key that is less than `keys`, and leaves those with one key in their order. Also returns where each key ends.
fn counting_sort(indexes: &[u32], keys: usize, key: impl Fn(u32) -> usize) -> (Vec<u32>, Vec<u32>) {
    let mut ends = vec![0; keys];
    indexes.iter().for_each(|index| ends[key(*index)] += 1);
    let mut end = 0;
    for count in &mut ends {
        end += std::mem::replace(count, end);
    }
    let mut sorted = vec![0; indexes.len()];
    for index in indexes {
        let next = &mut ends[key(*index)];
        sorted[*next as usize] = *index;
        *next += 1;
    }
    (sorted, ends)
}
