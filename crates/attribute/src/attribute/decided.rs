//! Turns rows into decided orders and their sums, partition by partition and customer by customer. The rules are in
//! `revtrail-core`.

use std::io;

use revtrail_core::attribution::campaign::{Campaign, CampaignIx, Catalog};
use revtrail_core::attribution::decide::{Credit, Rules};
use revtrail_core::attribution::event::Channel;
use revtrail_core::attribution::plain::Decidable;
use revtrail_core::attribution::settings::Versions;
use revtrail_core::attribution::timeline::Timelines;
use revtrail_core::figures::daily::{Aggregate, Figures, OrderFigures};
use revtrail_core::figures::fold::{World, fold_orders};
use revtrail_core::value::time::Instant;

use super::engagement::{Engagement, Firsts};
use super::facts::FileFacts;
use super::messages::{MessageTables, Messages};
use super::parallel::each_partition;
use super::partition::{Context, PartOrder, Partition, Tables};
use super::write::{Credits, Explanations, Texts};

/// What is written of each order besides the report.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) credits: bool,
    pub(super) explanations: bool,
    /// About how many bytes of explanations a thread may keep in memory.
    pub(super) bytes_max: usize,
}

/// What all orders and events add up to.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// The sums over all days.
    pub(super) sums: Aggregate<CampaignIx>,
    /// How many customers have orders.
    pub(super) customers: usize,
    /// How many of these customers have no event.
    pub(super) without_event: usize,
    /// How many events count, and how many were duplicates.
    pub(super) events: usize,
    pub(super) event_duplicates: usize,
    /// What is written of each order.
    pub(super) credits: Vec<Texts>,
    pub(super) explanations: Vec<Texts>,
}

/// Decides all orders, and returns the campaigns with it.
///
/// # Errors
/// Rows that are not in memory cannot be read again.
pub(super) fn decide_all(
    facts: &FileFacts,
    versions: &Versions,
    wanted: Wanted,
    threads: usize,
) -> io::Result<(Decided, Catalog)> {
    // Duplicates say nothing of a campaign. Which events are duplicates is only known when they are folded, and hardly ever does it
    // matter. So they are folded with what all events say, and once more if the events that count say something else.
    let mut catalog = facts.catalog(facts.seen());
    loop {
        let (decided, seen) = decide_with(facts, &catalog, versions, wanted, threads)?;
        let counted = facts.catalog(seen_of(&catalog, &seen));
        if same(&counted, &catalog) {
            return Ok((decided, catalog));
        }
        catalog = counted;
    }
}

fn seen_of<'c>(
    catalog: &'c Catalog,
    seen: &'c [Firsts],
) -> impl Iterator<Item = (&'c str, Firsts)> {
    let ids = catalog
        .iter()
        .map(|(_, campaign)| campaign.campaign_id.as_str());
    ids.zip(seen.iter().copied())
}

fn same(a: &Catalog, b: &Catalog) -> bool {
    let facts = |campaign: &Campaign| (campaign.first_event_at, campaign.channels.clone());
    let all = |catalog: &Catalog| -> Vec<_> {
        let one = |(_, campaign): (_, &Campaign)| (campaign.campaign_id.clone(), facts(campaign));
        catalog.iter().map(one).collect()
    };
    all(a) == all(b)
}

fn decide_with(
    facts: &FileFacts,
    catalog: &Catalog,
    versions: &Versions,
    wanted: Wanted,
    threads: usize,
) -> io::Result<(Decided, Vec<Firsts>)> {
    let world = World::new(&facts.marketplace, catalog, versions, None);
    let campaigns = facts.campaigns_in(catalog);
    let mut rules = world.rules().iter();
    let context = Context {
        facts,
        world: &world,
        campaigns: &campaigns,
        connecting: Context::connecting(&world),
        window_ms_max: world.window_ms_max(),
        all_messages: wanted.explanations || rules.any(Rules::needs_all_messages),
    };
    let parts = each_partition(
        threads,
        facts.partitions,
        || Part::new(&world, wanted),
        |part: &mut Part, partition| {
            let taken = part.take(partition, &context, wanted);
            part.failed = part.failed.take().or(taken.err());
        },
    );
    let mut decided = Decided::default();
    let mut seen = vec![[None; 3]; catalog.len()];
    for mut part in parts {
        if let Some(error) = part.failed {
            return Err(error);
        }
        let mut counters = part.engagement.counters();
        for ((campaign, _), rows) in catalog.iter().zip(&mut part.rows) {
            for (channel, figures) in Channel::ALL.into_iter().zip(rows) {
                figures.counters = counters.next().unwrap_or_default();
                decided.sums.add_row(campaign, channel, figures);
            }
        }
        drop(counters);
        for (firsts, others) in seen.iter_mut().zip(part.engagement.seen()) {
            for (first, other) in firsts.iter_mut().zip(others) {
                *first = earlier(*first, other);
            }
        }
        decided.sums.add(&part.totals);
        decided.customers += part.customers;
        decided.without_event += part.without_event;
        decided.events += part.engagement.events;
        decided.event_duplicates += part.engagement.duplicates;
        decided.credits.push(part.credits.into_texts());
        decided.explanations.push(part.explanations.into_texts());
    }
    Ok((decided, seen))
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// What one thread found in its partitions.
struct Part {
    /// What each campaign earned on each channel.
    rows: Vec<[Figures; 3]>,
    engagement: Engagement,
    /// Without rows.
    totals: Aggregate<CampaignIx>,
    customers: usize,
    without_event: usize,
    credits: Credits,
    explanations: Explanations,
    /// What is read of the rows that are not in memory.
    buffers: [Vec<u8>; 2],
    tables: Tables,
    message_tables: MessageTables,
    failed: Option<io::Error>,
}

impl Part {
    fn new(world: &World<'_>, wanted: Wanted) -> Self {
        Self {
            rows: vec![Default::default(); world.catalog.len()],
            engagement: Engagement::new(world),
            totals: Aggregate::default(),
            customers: 0,
            without_event: 0,
            credits: Credits::default(),
            explanations: Explanations::new(wanted.bytes_max),
            buffers: Default::default(),
            tables: Tables::default(),
            message_tables: MessageTables::default(),
            failed: None,
        }
    }

    fn take(&mut self, partition: usize, context: &Context<'_>, wanted: Wanted) -> io::Result<()> {
        let mut buffers = std::mem::take(&mut self.buffers);
        let mut tables = std::mem::take(&mut self.message_tables);
        let marketplace = context.world.marketplace;
        let read = Partition::read(partition, context, &mut buffers, &mut self.tables)?;
        let mut messages = Messages::new(context.facts.partitioning.hashing(), &mut tables);
        let mut timelines = Timelines::default();
        for recipient in read.recipients(marketplace) {
            let has_event = messages.count(&recipient, context, &mut self.engagement);
            if recipient.orders.is_empty() {
                continue;
            }
            let is_alone = recipient.guests.is_empty();
            self.customers += 1;
            self.without_event += usize::from(!has_event && is_alone);
            let own = messages.touchpoints(context);
            match is_alone {
                true => timelines.refill(own),
                false => {
                    let sets = recipient.orders.iter();
                    let sets = sets.map(|order| order.addresses(marketplace));
                    timelines = Timelines::new(own.collect(), recipient.guests, sets);
                }
            }
            self.decide(recipient.orders, &timelines, context.world, wanted);
        }
        self.buffers = buffers;
        self.message_tables = tables;
        Ok(())
    }

    fn decide(
        &mut self,
        orders: &[PartOrder<'_>],
        timelines: &Timelines<'_>,
        world: &World<'_>,
        wanted: Wanted,
    ) {
        fold_orders(
            timelines,
            orders,
            world,
            |order, decision, first_purchase| {
                let row = |credit: &Credit<'_>| (credit.message.campaign, credit.message.channel);
                let figures = OrderFigures::of(&order.plain(), &decision, first_purchase, row);
                if let Some((campaign, channel)) = figures.credit {
                    self.rows[campaign.index()][channel as usize].add_order(&figures);
                }
                self.totals.add_order_totals(&figures);
                if wanted.credits {
                    self.credits.add(order, &decision, world);
                }
                if wanted.explanations
                    && let Some(order) = order.row.to_order_of_customer()
                {
                    self.explanations.add(&order, timelines, world);
                }
            },
        );
    }
}
