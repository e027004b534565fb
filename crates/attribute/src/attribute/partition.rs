//! One partition: which copies of its events count, what these add to the counters of engagement, and for each customer with orders the
//! messages that decide them. The rules are in `revtrail-core`.

use std::collections::{BTreeMap, HashMap};
use std::io;

use foldhash::fast::RandomState;
use revtrail_core::attribution::campaign::CampaignIx;
use revtrail_core::attribution::event::Channel;
use revtrail_core::attribution::plain::{Decidable, PlainOrder};
use revtrail_core::attribution::timeline::Touchpoint;
use revtrail_core::figures::counters::CounterSet;
use revtrail_core::figures::fold::World;
use revtrail_core::value::address::AddressHash;
use revtrail_core::value::id::MarketplaceId;

use super::engagement::Engagement;
use super::facts::FileFacts;
use super::numbers::{Ends, Hashing, Numbers, with_number};
use super::rows::{Bytes, Happened, OrderRow};

/// About how many bytes the row of an event has.
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

/// What tells a message from others: the number of its recipient in the partition, its campaign, its channel and its id.
type Message<'f> = (u32, CampaignIx, Channel, Option<&'f [u8]>);

/// What is known of a message.
struct MessageState<'f> {
    message: Message<'f>,
    /// The counters of messages that counted it.
    counted: CounterSet,
    /// True where some event can connect it to an order.
    connects: bool,
}

/// The recipients, the events and the messages of one partition, which all get numbers. The memory serves one partition after the other.
#[derive(Default)]
pub(super) struct Tables {
    recipients: Numbers,
    events: Numbers,
    messages: Numbers,
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

/// An event of a customer with orders, with the indexes of the customer and the message.
struct PartEvent<'f> {
    customer: u32,
    message: u32,
    campaign: CampaignIx,
    what: Happened<'f>,
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
        tables: &mut Tables,
        engagement: &mut Engagement,
    ) -> io::Result<Self> {
        let facts = context.facts;
        let mut read = Self::default();
        let Tables {
            recipients,
            events,
            messages,
        } = tables;
        recipients.clear();
        events.clear();
        messages.clear();
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
        let all: Vec<u32> = (0..orders.len() as u32).collect();
        let customer = |index: u32| orders[index as usize].customer as usize;
        let (sorted, _) = counting_sort(&all, recipients.ids.len(), customer);
        read.orders
            .extend(sorted.into_iter().map(|index| orders[index as usize]));
        read.has_event.resize(recipients.ids.len(), false);
        let rows = facts.events.part(partition, buffer)?;
        let messages = read.count(&rows, recipients, [events, messages], context, engagement);
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
        mut recipients: Recipients<'f, '_>,
        [ids, numbers]: [&mut Numbers; 2],
        context: &Context<'f>,
        engagement: &mut Engagement,
    ) -> Vec<MessageState<'f>> {
        let hashing = recipients.hashing;
        let bytes: usize = rows.iter().map(|(_, rows)| rows.rest().len()).sum();
        let room = bytes / ROW_BYTES;
        let mut seen: Vec<(u32, &[u8])> = Vec::with_capacity(room);
        let mut messages: Vec<MessageState<'f>> = Vec::with_capacity(room);
        if !self.orders.is_empty() {
            self.events.reserve(room);
        }
        for (worker, bytes) in rows {
            let (mut bytes, campaigns) = (*bytes, &context.campaigns[*worker]);
            while let Some(row) = bytes.event() {
                let recipient = recipients.number(row.recipient);
                let event = (recipient, row.id);
                let hash = with_number(hashing.of(row.id), recipient.into());
                let (_, is_new) = ids.number(hash, |number| seen[number as usize] == event);
                if !is_new {
                    engagement.duplicates += 1;
                    continue;
                }
                seen.push(event);
                let Some(campaign) = campaigns.get(row.campaign as usize).copied().flatten() else {
                    continue;
                };
                let channel = row.what.channel();
                let message = (recipient, campaign, channel, row.what.message);
                let hash = hashing.of(row.what.message.unwrap_or_default());
                let others = (campaign.index() as u64) << 32 | u64::from(recipient) << 2;
                let hash = with_number(hash, others | channel as u64);
                let same = |number: u32| messages[number as usize].message == message;
                let (message_number, is_new) = numbers.number(hash, same);
                if is_new {
                    messages.push(MessageState {
                        message,
                        counted: CounterSet::default(),
                        connects: false,
                    });
                }
                let state = &mut messages[message_number as usize];
                engagement.add(row.what, campaign, &mut state.counted);
                if let Some(has_event) = self.has_event.get_mut(recipient as usize) {
                    *has_event = true;
                    state.connects |= context.connects(&row.what.touchpoint_of_any(campaign));
                    self.events.push(PartEvent {
                        customer: recipient,
                        message: message_number,
                        campaign,
                        what: row.what,
                    });
                }
            }
        }
        messages
    }

    /// Sorts the events of messages that can decide an order.
    fn sort_events(&mut self, context: &Context<'_>, messages: &[MessageState<'_>]) {
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
