//! A customer's timeline: the touchpoints of their events, sorted by message and then by time. An order that names addresses is decided
//! by a timeline of its own, which has the touchpoints of those addresses too. The decision reads it, and no rule lives here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use crate::attribution::campaign::CampaignIx;
use crate::attribution::event::{Channel, Event, EventKind};
use crate::value::address::AddressHash;
use crate::value::time::Instant;

/// With fewer messages than this, looking at all of them is cheaper than finding some of them.
const MESSAGES_TO_SEARCH: usize = 32;

/// What a decision needs of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Touchpoint<'a> {
    /// The campaign of the message, as its index in the catalog.
    pub campaign: CampaignIx,
    /// The channel of the message.
    pub channel: Channel,
    /// The id of the message. A touchpoint without one sorts first.
    pub message: Option<&'a str>,
    /// Whom the message went to: 0 for the one whose timeline this is, and otherwise which address of the order, counted from 1.
    pub recipient: u8,
    /// When the event happened, in UTC.
    pub at: Instant,
    /// What happened to the message.
    pub kind: EventKind,
    /// True for an open or click that was made by a machine.
    pub machine: bool,
    /// True for a push open from an app below version 5.1.
    pub app_too_old: bool,
}

impl<'a> Touchpoint<'a> {
    /// The touchpoint of an event. `campaign` is the index of its campaign in the catalog.
    pub fn of(event: &'a Event, campaign: CampaignIx) -> Self {
        Self {
            campaign,
            channel: event.channel,
            message: event.message_id.as_ref().map(|id| id.as_str()),
            recipient: 0,
            at: event.occurred_at,
            kind: event.kind,
            machine: event.machine,
            app_too_old: event.app_too_old(),
        }
    }

    fn same_message(&self, other: &Self) -> bool {
        (self.campaign, self.channel, self.message, self.recipient)
            == (
                other.campaign,
                other.channel,
                other.message,
                other.recipient,
            )
    }
}

/// Touchpoints, sorted by message and then by time. They are those of one customer or, where an order names addresses, those of its
/// customer and of its addresses. It is built once and serves all such orders of the customer.
#[derive(Debug, Clone, Default)]
pub struct Timeline<'a> {
    touchpoints: Vec<Touchpoint<'a>>,
    /// For each message, where in `touchpoints` it ends.
    ends: Vec<u32>,
    /// Of a timeline with many messages: the events that can connect, by time, each with the index of its message.
    /// It is built when an order first asks.
    by_time: OnceLock<Vec<(Instant, u32)>>,
    /// What [`Timeline::sends`] found.
    sends: OnceLock<Vec<(Instant, CampaignIx)>>,
}

impl<'a> Timeline<'a> {
    /// Sorts the touchpoints, so their order in the argument does not matter.
    pub fn new(touchpoints: Vec<Touchpoint<'a>>) -> Self {
        let mut timeline = Self {
            touchpoints,
            ..Self::default()
        };
        timeline.sort();
        timeline
    }

    /// Makes the timeline of another customer in the memory of this one.
    pub fn refill(&mut self, touchpoints: impl IntoIterator<Item = Touchpoint<'a>>) {
        self.touchpoints.clear();
        self.touchpoints.extend(touchpoints);
        self.sort();
    }

    fn sort(&mut self) {
        self.ends.clear();
        self.by_time.take();
        self.sends.take();
        // Whoever has them by campaign already pays for one look at each.
        self.touchpoints.sort_unstable_by_key(|one| one.campaign);
        let campaigns = self
            .touchpoints
            .chunk_by_mut(|a, b| a.campaign == b.campaign);
        campaigns.for_each(<[_]>::sort_unstable);
        let messages = self.touchpoints.chunk_by(Touchpoint::same_message);
        let lengths = messages.map(|touchpoints| touchpoints.len() as u32);
        self.ends.extend(lengths.scan(0, |end, length| {
            *end += length;
            Some(*end)
        }));
    }

    fn by_time(&self) -> &[(Instant, u32)] {
        if self.ends.len() < MESSAGES_TO_SEARCH {
            return &[];
        }
        self.by_time.get_or_init(|| {
            let messages = self.messages().zip(0..);
            let connecting = messages.flat_map(|(touchpoints, index)| {
                let connects = touchpoints.iter().filter(|one| one.kind.connects());
                connects.map(move |touchpoint| (touchpoint.at, index))
            });
            let mut by_time: Vec<(Instant, u32)> = connecting.collect();
            by_time.sort_unstable();
            by_time
        })
    }

    fn message(&self, index: usize) -> &[Touchpoint<'a>] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.touchpoints[start as usize..self.ends[index] as usize]
    }

    /// The touchpoints of each message, oldest first.
    pub fn messages(&self) -> impl Iterator<Item = &[Touchpoint<'a>]> {
        (0..self.ends.len()).map(|index| self.message(index))
    }

    /// As [`Timeline::messages`], but messages may be left out that have no event that can connect within these two instants,
    /// both included.
    pub fn messages_within(
        &self,
        from: Instant,
        to: Instant,
    ) -> impl Iterator<Item = &[Touchpoint<'a>]> {
        let by_time = self.by_time();
        let first = by_time.partition_point(|(at, _)| *at < from);
        let until = by_time.partition_point(|(at, _)| *at <= to);
        let within = by_time.get(first..until).unwrap_or_default();
        // As many events as messages are looked at one by one, as they lie in memory.
        let all = match within.len() < self.ends.len() && !by_time.is_empty() {
            true => 0..0,
            false => 0..self.ends.len(),
        };
        let mut some = Vec::new();
        if all.is_empty() {
            some.extend(within.iter().map(|(_, index)| *index as usize));
            some.sort_unstable();
            some.dedup();
        }
        // Of a short timeline, each message is looked at, and hardly any has an event within.
        let is_within = move |one: &Touchpoint<'_>| from <= one.at && one.at <= to;
        let messages = all.chain(some).map(|index| self.message(index));
        messages.filter(move |message| message.iter().any(is_within))
    }

    /// When each message was sent, with its campaign, oldest first, as `find` found it when it was asked for first.
    pub(crate) fn sends(
        &self,
        find: impl FnOnce() -> Vec<(Instant, CampaignIx)>,
    ) -> &[(Instant, CampaignIx)] {
        self.sends.get_or_init(|| {
            let mut sends = find();
            sends.sort_unstable();
            sends
        })
    }
}

/// What the orders of one customer are decided by (rule 3.5): the customer's own timeline and, for each set of addresses that some
/// order names, the timeline that has the messages to these addresses too. Most orders of a customer share their addresses, so a union
/// is built for a set and not for an order. An address as a recipient has its own timeline and no orders.
#[derive(Debug, Clone, Default)]
pub struct Timelines<'a> {
    /// Of an address: whether some order names it. `None` for a customer.
    pub(crate) named: Option<bool>,
    own: Timeline<'a>,
    /// The addresses to which some message went.
    addresses: BTreeSet<AddressHash>,
    unions: BTreeMap<Vec<AddressHash>, Timeline<'a>>,
}

impl<'a> Timelines<'a> {
    /// Builds the timelines of a recipient. `by_address` has the touchpoints of addresses, and `sets` has what each order names, as
    /// [`Order::addresses`](super::order::Order::addresses) gives it.
    pub fn new(
        own: Vec<Touchpoint<'a>>,
        mut by_address: BTreeMap<AddressHash, Vec<Touchpoint<'a>>>,
        sets: impl IntoIterator<Item = Vec<AddressHash>>,
    ) -> Self {
        by_address.retain(|_, touchpoints| !touchpoints.is_empty());
        let mut timelines = Self {
            addresses: by_address.keys().copied().collect(),
            ..Self::default()
        };
        for set in sets {
            let set = timelines.known(set);
            if !set.is_empty() && !timelines.unions.contains_key(&set) {
                let mut all = own.clone();
                for (address, recipient) in set.iter().zip(1..) {
                    let of_address = &by_address[address];
                    all.extend(
                        of_address
                            .iter()
                            .map(|one| Touchpoint { recipient, ..*one }),
                    );
                }
                timelines.unions.insert(set, Timeline::new(all));
            }
        }
        timelines.own = Timeline::new(own);
        timelines
    }

    fn known(&self, mut set: Vec<AddressHash>) -> Vec<AddressHash> {
        set.retain(|address| self.addresses.contains(address));
        set
    }

    /// The same timelines, of an address: `named` says whether some order names it. `None` for those of a customer.
    pub fn of_address(self, named: Option<bool>) -> Self {
        Self { named, ..self }
    }

    /// Makes the timelines of another customer, without messages to addresses, in the memory of this one.
    pub fn refill(&mut self, own: impl IntoIterator<Item = Touchpoint<'a>>) {
        self.addresses.clear();
        self.unions.clear();
        self.own.refill(own);
    }

    /// The messages that went to the recipient under its own name. Engagement follows from them alone.
    pub fn own(&self) -> &Timeline<'a> {
        &self.own
    }

    /// The messages that an order is decided by: one of the orders that the timelines were built for. Its addresses are asked for only
    /// where some message went to an address.
    pub fn of(&self, addresses: impl FnOnce() -> Vec<AddressHash>) -> &Timeline<'a> {
        if self.addresses.is_empty() {
            return &self.own;
        }
        let set = self.known(addresses());
        self.unions.get(&set).unwrap_or(&self.own)
    }
}
