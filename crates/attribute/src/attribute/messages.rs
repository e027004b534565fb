//! The messages of one recipient: which copies of events count, what these add to the counters of engagement, and which messages can
//! decide an order. The rules are in `revtrail-core`.

use revtrail_core::attribution::campaign::CampaignIx;
use revtrail_core::attribution::event::Channel;
use revtrail_core::attribution::timeline::Touchpoint;
use revtrail_core::figures::counters::CounterSet;
use revtrail_core::value::time::Instant;

use super::engagement::Engagement;
use super::numbers::{Hashing, Numbers, with_number};
use super::partition::{Context, Recipient};
use super::rows::{EventRow, Happened};

/// The numbers of the events and the messages of one recipient. The memory serves one after the other.
#[derive(Default)]
pub(super) struct MessageTables {
    events: Numbers,
    messages: Numbers,
}

/// What is known of a message.
struct MessageState<'f> {
    campaign: CampaignIx,
    channel: Channel,
    id: Option<&'f [u8]>,
    /// The counters of messages that counted it.
    counted: CounterSet,
    /// True where some event can connect it to one of the orders.
    can_earn: bool,
}

/// An event that counts, with the number of its message.
struct Counted<'f> {
    message: u32,
    campaign: CampaignIx,
    what: Happened<'f>,
}

/// The messages of one recipient after the other.
pub(super) struct Messages<'f, 't> {
    hashing: &'t Hashing,
    tables: &'t mut MessageTables,
    ids: Vec<&'f [u8]>,
    messages: Vec<MessageState<'f>>,
    /// The events of a recipient with orders.
    events: Vec<Counted<'f>>,
    /// When these orders were placed, the first one first.
    placed: Vec<Instant>,
}

impl<'f, 't> Messages<'f, 't> {
    pub(super) fn new(hashing: &'t Hashing, tables: &'t mut MessageTables) -> Self {
        Self {
            hashing,
            tables,
            ids: Vec::new(),
            messages: Vec::new(),
            events: Vec::new(),
            placed: Vec::new(),
        }
    }

    /// Counts the first copy of each event. Returns true where there is one whose campaign is known.
    pub(super) fn count(
        &mut self,
        recipient: &Recipient<'_, 'f>,
        context: &Context<'_>,
        engagement: &mut Engagement,
    ) -> bool {
        let events = recipient.events_len();
        self.tables.events.clear(events);
        self.tables.messages.clear(events);
        self.ids.clear();
        self.messages.clear();
        self.events.clear();
        let placed = recipient.orders.iter().map(|one| one.row.order.placed_at);
        self.placed.clear();
        self.placed.extend(placed);
        self.placed.sort_unstable();
        let has_orders = !self.placed.is_empty();
        let mut any = false;
        for row in recipient.events() {
            if events > 1 && !self.is_new(row.id) {
                engagement.duplicates += 1;
                continue;
            }
            let Some(campaign) = context.campaign(&row) else {
                continue;
            };
            any = true;
            let class = row.what.class();
            // Without orders, a message matters only where something counts each message once.
            if !has_orders && !engagement.counts_messages(class) {
                engagement.add(row.what, campaign, &mut CounterSet::default());
                continue;
            }
            let can_earn = has_orders
                && context.connecting[class]
                && self.is_before_an_order(row.what.at(), context.window_ms_max);
            let message = self.message(&row, campaign);
            let state = &mut self.messages[message as usize];
            engagement.add(row.what, campaign, &mut state.counted);
            if has_orders {
                state.can_earn |= can_earn;
                self.events.push(Counted {
                    message,
                    campaign,
                    what: row.what,
                });
            }
        }
        any
    }

    /// True where an order was placed at an instant, or so many milliseconds after it at most.
    #[inline]
    fn is_before_an_order(&self, at: Instant, ms: i64) -> bool {
        let next = self.placed.partition_point(|placed| *placed < at);
        let next = self.placed.get(next);
        next.is_some_and(|placed| placed.minus_ms(ms) <= at)
    }

    #[inline]
    fn is_new(&mut self, id: &'f [u8]) -> bool {
        let ids = &self.ids;
        let hash = self.hashing.of(id);
        let same = |number: u32| ids[number as usize] == id;
        let (_, is_new) = self.tables.events.number(hash, same);
        if is_new {
            self.ids.push(id);
        }
        is_new
    }

    /// The number of the message of an event.
    #[inline]
    fn message(&mut self, row: &EventRow<'f>, campaign: CampaignIx) -> u32 {
        let (id, channel) = (row.what.message, row.what.channel());
        let others = (campaign.index() as u64) << 2 | channel as u64;
        let hash = with_number(self.hashing.of(id.unwrap_or_default()), others);
        let messages = &self.messages;
        let (number, is_new) = self.tables.messages.number(hash, |number| {
            let known = &messages[number as usize];
            known.campaign == campaign && known.channel == channel && known.id == id
        });
        if is_new {
            self.messages.push(MessageState {
                campaign,
                channel,
                id,
                counted: CounterSet::default(),
                can_earn: false,
            });
        }
        number
    }

    /// The events of a recipient with orders whose messages can decide these.
    pub(super) fn touchpoints(
        &self,
        context: &Context<'_>,
    ) -> impl Iterator<Item = Touchpoint<'f>> {
        let decides = |event: &&Counted<'f>| {
            context.all_messages || self.messages[event.message as usize].can_earn
        };
        let events = self.events.iter().filter(decides);
        events.map(|event| event.what.touchpoint(event.campaign))
    }
}
