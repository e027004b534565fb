//! Turns rows into decided orders and their sums, partition by partition and customer by customer. The rules are in
//! `revtrail-core`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use foldhash::fast::RandomState;
use revtrail_core::attribution::campaign::{Campaign, CampaignIx, Catalog};
use revtrail_core::attribution::decide::Credit;
use revtrail_core::attribution::event::Channel;
use revtrail_core::attribution::order::Order;
use revtrail_core::attribution::plain::{PlainEvent, PlainOrder, PlainRecipient};
use revtrail_core::attribution::settings::Versions;
use revtrail_core::attribution::timeline::{Timelines, Touchpoint};
use revtrail_core::figures::daily::{Aggregate, Figures, OrderFigures};
use revtrail_core::figures::fold::{FoldEntry, World, fold};
use revtrail_core::value::address::AddressHash;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::Instant;

use super::facts::FileFacts;
use super::orders::row_at;
use super::parallel::each_partition;
use super::rows::{EventRow, OrderRow};
use super::write::{Credits, Explanations, Texts};

/// What is written of each order besides the report.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) credits: bool,
    pub(super) explanations: bool,
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

/// For each campaign of a catalog and each channel, the earliest event.
type Seen = Vec<[Option<Instant>; 3]>;

fn seen_of<'c>(
    catalog: &'c Catalog,
    seen: &'c Seen,
) -> impl Iterator<Item = (&'c str, [Option<Instant>; 3])> {
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
) -> io::Result<(Decided, Seen)> {
    let world = World::new(&facts.marketplace, catalog, versions, None);
    let campaigns = facts.campaigns_in(catalog);
    let context = Context {
        facts,
        world: &world,
        campaigns: &campaigns,
        wanted,
    };
    let parts = each_partition(
        threads,
        || Part::new(catalog),
        |part: &mut Part, partition| {
            let taken = part.take(partition, &context);
            part.failed = part.failed.take().or(taken.err());
        },
    );
    let mut decided = Decided::default();
    let mut seen = vec![[None; 3]; catalog.len()];
    for part in parts {
        if let Some(error) = part.failed {
            return Err(error);
        }
        for ((campaign, _), figures) in catalog.iter().zip(&part.rows) {
            for (channel, figures) in Channel::ALL.into_iter().zip(figures) {
                decided.sums.add_row(campaign, channel, figures);
            }
        }
        for (firsts, others) in seen.iter_mut().zip(&part.seen) {
            for (first, other) in firsts.iter_mut().zip(others) {
                *first = earlier(*first, *other);
            }
        }
        decided.sums.add(&part.totals);
        decided.customers += part.customers;
        decided.without_event += part.without_event;
        decided.events += part.events;
        decided.event_duplicates += part.event_duplicates;
        decided.credits.push(part.credits.into_texts());
        decided.explanations.push(part.explanations.into_texts());
    }
    Ok((decided, seen))
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// What all partitions are decided with.
struct Context<'f> {
    facts: &'f FileFacts,
    world: &'f World<'f>,
    /// For each worker that read events, its campaigns in the catalog. A campaign that only duplicates name is in none.
    campaigns: &'f [Vec<Option<CampaignIx>>],
    wanted: Wanted,
}

/// What one thread found in its partitions.
struct Part {
    rows: Vec<[Figures; 3]>,
    seen: Seen,
    /// Without rows.
    totals: Aggregate<CampaignIx>,
    customers: usize,
    without_event: usize,
    events: usize,
    event_duplicates: usize,
    credits: Credits,
    explanations: Explanations,
    /// What is read of the rows that are not in memory.
    buffers: [Vec<u8>; 2],
    failed: Option<io::Error>,
}

/// An event of a partition.
struct PartEvent<'f> {
    /// The number of its recipient in the partition.
    recipient: u32,
    event_id: &'f str,
    /// Absent where only duplicates name its campaign.
    touchpoint: Option<Touchpoint<'f>>,
}

/// The rows of a partition, by recipient. A partition of addresses has no orders.
#[derive(Default)]
struct Partition<'f> {
    events: Vec<PartEvent<'f>>,
    /// For each recipient, where in `by_recipient` their events end.
    ends: Vec<u32>,
    /// Indexes into `events`.
    by_recipient: Vec<u32>,
    /// Sorted by customer.
    orders: Vec<(u32, OrderRow<'f>)>,
    /// What went to addresses that these orders name.
    guests: HashMap<AddressHash, Vec<Touchpoint<'f>>, RandomState>,
}

impl<'f> Partition<'f> {
    fn read(
        partition: usize,
        context: &Context<'f>,
        [buffer, guests]: &'f mut [Vec<u8>; 2],
    ) -> io::Result<Self> {
        let facts = context.facts;
        let mut rows = Self::default();
        let mut recipients: HashMap<PlainRecipient<'_>, u32, RandomState> = HashMap::default();
        for (worker, mut bytes) in facts.events.part(partition, buffer)? {
            let campaigns = &context.campaigns[worker];
            while let Some(EventRow { event, campaign }) = bytes.event() {
                let next = recipients.len() as u32;
                let recipient = *recipients.entry(event.recipient).or_insert(next);
                if recipient == next {
                    rows.ends.push(0);
                }
                rows.ends[recipient as usize] += 1;
                let campaign = campaigns.get(campaign as usize).copied().flatten();
                rows.events.push(PartEvent {
                    recipient,
                    event_id: event.event_id,
                    touchpoint: campaign.map(|campaign| touchpoint(&event, campaign)),
                });
            }
        }
        for (worker, mut bytes) in facts.guests.part(partition, guests)? {
            let campaigns = &context.campaigns[worker];
            while let Some(EventRow { event, campaign }) = bytes.event() {
                let campaign = campaigns.get(campaign as usize).copied().flatten();
                if let (PlainRecipient::Address(address), Some(campaign)) =
                    (event.recipient, campaign)
                {
                    let guests = rows.guests.entry(address).or_default();
                    guests.push(touchpoint(&event, campaign));
                }
            }
        }
        for &(standing, first) in &facts.standing.by_customer[partition] {
            let rows_at = row_at(&facts.orders, standing).zip(row_at(&facts.orders, first));
            let Some((standing, first)) = rows_at else {
                continue;
            };
            let customer_id = first.order.customer_id;
            let order = OrderRow {
                order: PlainOrder {
                    customer_id,
                    ..standing.order
                },
                ..standing
            };
            let next = recipients.len() as u32;
            let customer = PlainRecipient::Customer(customer_id);
            let customer = *recipients.entry(customer).or_insert(next);
            if customer == next {
                rows.ends.push(0);
            }
            rows.orders.push((customer, order));
        }
        rows.orders.sort_by_key(|(customer, _)| *customer);
        rows.sort_events();
        Ok(rows)
    }

    /// What went to the addresses of some orders.
    fn guests_of(
        &self,
        orders: &[Order],
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

    /// Sorts by recipient, and leaves the events of each as they arrived.
    fn sort_events(&mut self) {
        let mut end = 0;
        for count in &mut self.ends {
            end += std::mem::replace(count, end);
        }
        self.by_recipient.resize(self.events.len(), 0);
        for (index, event) in self.events.iter().enumerate() {
            let next = &mut self.ends[event.recipient as usize];
            self.by_recipient[*next as usize] = index as u32;
            *next += 1;
        }
    }
}

impl Part {
    fn new(catalog: &Catalog) -> Self {
        Self {
            rows: vec![Default::default(); catalog.len()],
            seen: vec![[None; 3]; catalog.len()],
            totals: Aggregate::default(),
            customers: 0,
            without_event: 0,
            events: 0,
            event_duplicates: 0,
            credits: Credits::default(),
            explanations: Explanations::default(),
            buffers: Default::default(),
            failed: None,
        }
    }

    fn take(&mut self, partition: usize, context: &Context<'_>) -> io::Result<()> {
        let mut buffers = std::mem::take(&mut self.buffers);
        let rows = Partition::read(partition, context, &mut buffers)?;
        let mut timelines = Timelines::default();
        let mut ids = Ids::default();
        let mut orders = rows.orders.chunk_by(|a, b| a.0 == b.0).peekable();
        let mut own_orders = Vec::new();
        let mut start = 0;
        for (recipient, end) in rows.ends.iter().enumerate() {
            let events = &rows.by_recipient[start as usize..*end as usize];
            start = *end;
            ids.clear();
            let events = events.iter().map(|index| &rows.events[*index as usize]);
            let first = events.filter(|event| {
                let is_first = ids.insert(event.event_id);
                self.event_duplicates += usize::from(!is_first);
                is_first
            });
            own_orders.clear();
            let own = orders.next_if(|orders| orders[0].0 as usize == recipient);
            let own_rows = own.unwrap_or_default().iter();
            let has_guests = !rows.guests.is_empty();
            own_orders.extend(own_rows.filter_map(|(_, row)| row.to_order_of_customer(has_guests)));
            let guests = rows.guests_of(&own_orders, context.world.marketplace);
            let seen = &mut self.seen;
            let mut count = 0;
            let touchpoints = first.filter_map(|event| {
                count += 1;
                let touchpoint = event.touchpoint?;
                let seen = &mut seen[touchpoint.campaign.index()][touchpoint.channel as usize];
                *seen = earlier(*seen, Some(touchpoint.at));
                Some(touchpoint)
            });
            let is_alone = guests.is_empty();
            match is_alone {
                true => timelines.refill(touchpoints),
                false => {
                    let sets = own_orders.iter();
                    let sets = sets.map(|order: &Order| order.addresses(context.world.marketplace));
                    timelines = Timelines::new(touchpoints.collect(), guests, sets);
                }
            }
            self.events += count;
            self.customers += usize::from(own.is_some());
            self.without_event += usize::from(own.is_some() && count == 0 && is_alone);
            self.fold_customer(&timelines, &own_orders, context);
        }
        self.buffers = buffers;
        Ok(())
    }

    fn fold_customer(
        &mut self,
        timelines: &Timelines<'_>,
        orders: &[Order],
        context: &Context<'_>,
    ) {
        let (world, wanted) = (context.world, context.wanted);
        fold(timelines, orders, world, |entry| match entry {
            FoldEntry::Counter(_, campaign, channel, counter) => {
                self.rows[campaign.index()][channel as usize].counters[counter] += 1;
            }
            FoldEntry::Order(order, decision, first_purchase) => {
                let row = |credit: &Credit<'_>| (credit.message.campaign, credit.message.channel);
                let figures = OrderFigures::of(order, &decision, first_purchase, row);
                if let Some((campaign, channel)) = figures.credit {
                    self.rows[campaign.index()][channel as usize].add_order(&figures);
                }
                self.totals.add_order_totals(&figures);
                if wanted.credits {
                    self.credits.add(order, &decision, world);
                }
                if wanted.explanations {
                    self.explanations.add(order, timelines, world);
                }
            }
        });
    }
}

fn touchpoint<'a>(event: &PlainEvent<'a>, campaign: CampaignIx) -> Touchpoint<'a> {
    Touchpoint {
        campaign,
        channel: event.channel,
        message: event.message_id,
        recipient: 0,
        at: event.occurred_at,
        kind: event.kind,
        machine: event.machine,
        app_too_old: event.app_too_old,
    }
}

/// Ids that were seen. Most customers have few events, and few ids are compared faster than hashed.
#[derive(Default)]
struct Ids<'a> {
    few: Vec<&'a str>,
    many: HashSet<&'a str, RandomState>,
}

impl<'a> Ids<'a> {
    const FEW: usize = 16;

    fn clear(&mut self) {
        self.few.clear();
        // To clear a set takes as long as it is large.
        match self.many.capacity() > 64 * Self::FEW {
            true => self.many = HashSet::default(),
            false => self.many.clear(),
        }
    }

    /// Adds an id; false where it was seen before.
    fn insert(&mut self, id: &'a str) -> bool {
        if self.few.len() == Self::FEW {
            if self.many.is_empty() {
                self.many.extend(&self.few);
            }
            return self.many.insert(id);
        }
        let is_new = !self.few.contains(&id);
        self.few.extend(is_new.then_some(id));
        is_new
    }
}
