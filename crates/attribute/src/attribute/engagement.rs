//! What events add to the counters of engagement. Which counters these are, `revtrail-core` says.

use revtrail_core::attribution::campaign::CampaignIx;
use revtrail_core::attribution::event::Channel;
use revtrail_core::attribution::timeline::Touchpoint;
use revtrail_core::figures::counters::{COUNTERS, CounterSet, Counters};
use revtrail_core::figures::fold::{World, counters_of};
use revtrail_core::value::time::Instant;

use super::rows::Happened;

/// What a kind of event on a channel, from a machine or not, adds to.
#[derive(Debug, Clone, Copy)]
struct Class {
    of_events: [Add; ADDS_MAX],
    of_messages: [Add; ADDS_MAX],
    messages: CounterSet,
}

/// A counter, and what is added to it: 1, or 0 where a class adds to fewer counters than it has room for.
#[derive(Debug, Clone, Copy, Default)]
struct Add {
    counter: u8,
    times: u8,
}

/// The most counters of events, or of messages, that one event adds to.
const ADDS_MAX: usize = 2;

impl Class {
    /// Of an event of a run over files, which has one version of the settings, so that it does not matter when it happened.
    fn new(touchpoint: &Touchpoint<'_>, world: &World<'_>) -> Self {
        let [events, messages] = counters_of(touchpoint, None, world);
        let list = |set: CounterSet| {
            let mut counters = set.into_iter().map(|counter| counter as u8);
            let list = [(); ADDS_MAX].map(|()| {
                let add = |counter| Add { counter, times: 1 };
                counters.next().map(add).unwrap_or_default()
            });
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

/// What the events of a campaign on a channel add up to. Two of them fit into a line of a cache.
#[derive(Debug, Clone)]
#[repr(align(32))]
struct Counts {
    /// What the counters have besides what [`Engagement::carried`] has.
    counters: [u16; COUNTERS],
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
    waiting: Vec<Waiting>,
    /// For each campaign and channel, what was carried over from counters that were full.
    carried: Vec<[i64; COUNTERS]>,
    /// How many events were counted, and how many were duplicates.
    pub(super) events: usize,
    pub(super) duplicates: usize,
}

impl Engagement {
    pub(super) fn new(world: &World<'_>) -> Self {
        let rows = world.catalog.len() * Channel::ALL.len();
        let counts = Counts {
            counters: [0; COUNTERS],
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
            waiting: Vec::with_capacity(WAITING_MAX),
            carried: vec![[0; COUNTERS]; rows],
            events: 0,
            duplicates: 0,
        }
    }

    /// True where an event of a class adds to a counter that counts each message once.
    #[inline]
    pub(super) fn counts_messages(&self, class: usize) -> bool {
        self.classes[class].messages != CounterSet::default()
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
        self.events += self.waiting.len();
        for event in self.waiting.drain(..) {
            let row = event.row as usize;
            let counts = &mut self.counts[row];
            let class = &self.classes[usize::from(event.class)];
            let mut add = |counter: usize, times: u16| {
                let (sum, is_full) = counts.counters[counter].overflowing_add(times);
                counts.counters[counter] = sum;
                if is_full {
                    self.carried[row][counter] += 1 << u16::BITS;
                }
            };
            // Which counters these are changes from event to event, so nothing here asks.
            for one in class.of_events {
                add(one.counter.into(), one.times.into());
            }
            for one in class.of_messages {
                let is_new = event.new.bits() >> one.counter & 1;
                add(one.counter.into(), is_new & u16::from(one.times));
            }
            counts.first_ms = counts.first_ms.min(event.at.ms());
        }
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
        self.counts
            .iter()
            .zip(&self.carried)
            .map(|(counts, carried)| {
                let mut counters = *carried;
                for (sum, count) in counters.iter_mut().zip(counts.counters) {
                    *sum += i64::from(count);
                }
                Counters::from(counters)
            })
    }
}
