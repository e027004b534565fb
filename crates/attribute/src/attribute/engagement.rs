//! What events add to the counters of engagement. Which counters these are, `revtrail-core` says.

use revtrail_core::attribution::campaign::CampaignIx;
use revtrail_core::attribution::event::Channel;
use revtrail_core::attribution::timeline::Touchpoint;
use revtrail_core::figures::counters::{COUNTERS, CounterSet, Counters};
use revtrail_core::figures::fold::{World, counters_of};
use revtrail_core::value::time::Instant;

use super::rows::Happened;

/// What a kind of event on a channel, from a machine or not, adds to. Each list ends with [`NO_COUNTER`], as often as it has room.
#[derive(Debug, Clone, Copy)]
struct Class {
    of_events: [u8; ADDS_MAX],
    of_messages: [u8; ADDS_MAX],
    messages: CounterSet,
}

/// The most counters of events, or of messages, that one event adds to.
const ADDS_MAX: usize = 2;
/// The place behind all counters, where nobody looks.
const NO_COUNTER: u8 = COUNTERS as u8;

impl Class {
    /// Of an event of a run over files, which has one version of the settings, so that it does not matter when it happened.
    fn new(touchpoint: &Touchpoint<'_>, world: &World<'_>) -> Self {
        let [events, messages] = counters_of(touchpoint, None, world);
        let list = |set: CounterSet| {
            let mut counters = set.into_iter().map(|counter| counter as u8);
            let list = [(); ADDS_MAX].map(|()| counters.next().unwrap_or(NO_COUNTER));
            assert!(counters.next().is_none(), "an event adds to more counters");
            list
        };
        Self {
            of_events: list(events),
            of_messages: list(messages),
            messages,
        }
    }
}

/// When the earliest event of a campaign was on each channel.
pub(super) type Firsts = [Option<Instant>; 3];

/// What the events of a campaign on a channel add up to, in one line of a cache.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Counts {
    /// The counters since the last call of [`Engagement::settle`].
    counters: [u32; COUNTERS + 1],
    /// When the earliest event was, or [`i64::MAX`].
    first_ms: i64,
}

/// An event that is not counted yet: many that are counted one behind the other wait less for the memory, where counters are far apart.
struct Waiting {
    row: u32,
    class: u8,
    /// The counters of messages that count it.
    new: CounterSet,
    at: Instant,
}

/// How many events wait to be counted.
const WAITING_MAX: usize = 256;

/// What the events of many partitions add up to.
pub(super) struct Engagement {
    /// What events of each [`Happened::class`] add to. None is needed where there is no campaign.
    classes: Vec<Class>,
    /// For each campaign and channel.
    counts: Vec<Counts>,
    /// How many events were counted since they were settled.
    unsettled: u32,
    waiting: Vec<Waiting>,
    settled: Vec<[i64; COUNTERS]>,
    /// How many events were counted, and how many were duplicates.
    pub(super) events: usize,
    pub(super) duplicates: usize,
}

impl Engagement {
    pub(super) fn new(world: &World<'_>) -> Self {
        let rows = world.catalog.len() * Channel::ALL.len();
        let counts = Counts {
            counters: [0; COUNTERS + 1],
            first_ms: i64::MAX,
        };
        // What an event adds to does not depend on its campaign.
        let any = world.catalog.iter().next();
        let classes = any.into_iter().flat_map(|(campaign, _)| {
            Happened::of_each_class().map(move |event| event.touchpoint_of_any(campaign))
        });
        Self {
            classes: classes.map(|event| Class::new(&event, world)).collect(),
            counts: vec![counts; rows],
            unsettled: 0,
            waiting: Vec::with_capacity(WAITING_MAX),
            settled: vec![[0; COUNTERS]; rows],
            events: 0,
            duplicates: 0,
        }
    }

    /// Counts the first copy of an event of a message. A run over files knows no look-back, so a counter of messages counts each once.
    #[inline]
    pub(super) fn add(
        &mut self,
        event: Happened<'_>,
        campaign: CampaignIx,
        counted: &mut CounterSet,
    ) {
        let class = event.class();
        self.waiting.push(Waiting {
            row: (campaign.index() * Channel::ALL.len() + event.channel() as usize) as u32,
            class: class as u8,
            new: counted.take(self.classes[class].messages),
            at: event.at(),
        });
        if self.waiting.len() == WAITING_MAX {
            self.count();
        }
    }

    /// Counts the events that wait.
    fn count(&mut self) {
        let waiting = self.waiting.len() as u32;
        self.events += self.waiting.len();
        if self.unsettled > u32::MAX - waiting {
            self.settle();
        }
        self.unsettled += waiting;
        for event in self.waiting.drain(..) {
            let counts = &mut self.counts[event.row as usize];
            let class = &self.classes[usize::from(event.class)];
            // Which counters these are changes from event to event, so nothing here asks.
            for counter in class.of_events {
                counts.counters[usize::from(counter)] += 1;
            }
            for counter in class.of_messages {
                counts.counters[usize::from(counter)] += u32::from(event.new.bits() >> counter & 1);
            }
            counts.first_ms = counts.first_ms.min(event.at.ms());
        }
    }

    fn settle(&mut self) {
        for (settled, counts) in self.settled.iter_mut().zip(&mut self.counts) {
            for (settled, count) in settled.iter_mut().zip(std::mem::take(&mut counts.counters)) {
                *settled += i64::from(count);
            }
        }
        self.unsettled = 0;
    }

    /// For each campaign of the catalog, the earliest event on each channel.
    pub(super) fn seen(&mut self) -> impl Iterator<Item = Firsts> {
        self.count();
        let first = |counts: &Counts| {
            let ms = Some(counts.first_ms).filter(|ms| *ms < i64::MAX);
            ms.map(Instant::from_ms)
        };
        let (campaigns, _) = self.counts.as_chunks::<3>();
        campaigns
            .iter()
            .map(move |channels| channels.each_ref().map(first))
    }

    /// The counters of each campaign and channel, in the order of the catalog.
    pub(super) fn counters(&mut self) -> impl Iterator<Item = Counters> {
        self.count();
        self.settle();
        self.settled
            .iter()
            .map(|counters| Counters::from(*counters))
    }
}
