//! The facts of all files: their rows, which copies of orders stand, and the campaigns (rules 3.1 to 3.3).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;
use revtrail_core::attribution::campaign::{Campaign, CampaignIx, Catalog};
use revtrail_core::attribution::event::Channel;
use revtrail_core::record::{Code, Problems, Record, RecordProblem};
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::Instant;
use revtrail_files::SUBSTITUTE;
use revtrail_providers::exports::Makes;

use super::guests::guests;
use super::intake::{
    CampaignNumbers, EventReader, OrderReader, SeenCampaign, Taken, Tuning, read_file,
};
use super::orders::{StandingOrders, take_orders};
use super::parallel::each_partition;
use super::read::each_record;
use super::rejects::{RejectedRows, Rejects};
use super::segments::Partitioning;
use super::spill::SpillingRows;
use super::table::{grouped, plural};
use super::{AttributeArgs, Failure};
use crate::exports::Exports;

/// The rows of all files, and which copies of orders stand. Which events are duplicates shows when they are folded.
#[derive(Debug)]
pub(super) struct FileFacts {
    pub(super) events: SpillingRows,
    /// The events by address that may have earned an order, in the partitions of the customers whose orders name the address.
    pub(super) guests: SpillingRows,
    pub(super) standing: StandingOrders,
    pub(super) partitioning: Partitioning,
    /// The number of partitions.
    pub(super) partitions: usize,
    campaigns: BTreeMap<CampaignId, Campaign>,
    /// The campaigns of all events, by the numbers that rows name them by.
    seen: Vec<SeenCampaign>,
    /// True where some event went to an address.
    by_address: bool,
    /// The marketplace whose hashes addresses have: that of an export, or the one of files.
    pub(super) marketplace: MarketplaceId,
    /// What the reader of the summary must know of the files.
    notes: Vec<String>,
}

/// How many bytes of files make a partition: its rows fit into the cache of a core.
const PARTITION_BYTES: u64 = 256 << 10;
/// The most partitions of customers. With more of them, a block of a file would add only few rows to each.
const PARTITIONS_MAX: u64 = 2_048;
/// How many bytes a packed byte becomes, about.
const UNPACKED: u64 = 8;

/// How many partitions of customers a run has, by the size of its files.
fn partitions(args: &AttributeArgs, tuning: &Tuning) -> usize {
    let size = |path: &PathBuf| {
        let ending = path.extension().unwrap_or_default();
        let packed = ["gz", "zst", "parquet"]
            .iter()
            .any(|one| ending.eq_ignore_ascii_case(one));
        let bytes = fs::metadata(path)
            .ok()
            .filter(|found| found.is_file())?
            .len();
        Some(if packed { UNPACKED * bytes } else { bytes })
    };
    // Of a pipe nobody knows how much comes.
    let all = args
        .events
        .iter()
        .chain(&args.orders)
        .map(size)
        .sum::<Option<u64>>();
    let wanted = all.map_or(PARTITIONS_MAX, |bytes| bytes / PARTITION_BYTES);
    let wanted = wanted.clamp(16, PARTITIONS_MAX).next_power_of_two() as usize;
    tuning.partitions.unwrap_or(wanted).max(1)
}

/// What all files of a run are read with.
struct Reading<'r> {
    tuning: &'r Tuning,
    partitioning: &'r Partitioning,
    exports: &'r Exports,
    bar: &'r ProgressBar,
}

impl FileFacts {
    /// Reads all files, in the order of the command line. Rows count as arriving in the order of their files.
    pub(super) fn read(
        args: &AttributeArgs,
        tuning: &Tuning,
        exports: &Exports,
        bar: &ProgressBar,
        rejects: &mut Rejects,
    ) -> Result<Self, Failure> {
        let partitioning = Partitioning::new(partitions(args, tuning));
        let mut facts = Self {
            events: SpillingRows::new(tuning.memory_bytes, partitioning.spare()),
            guests: SpillingRows::new(0, partitioning.spare()),
            standing: StandingOrders::new(&partitioning),
            partitions: partitioning.all(),
            partitioning: partitioning.clone(),
            campaigns: BTreeMap::new(),
            seen: Vec::new(),
            by_address: false,
            marketplace: args
                .marketplace
                .clone()
                .unwrap_or_else(MarketplaceId::of_files),
            notes: Vec::new(),
        };
        bar.set_message("campaigns");
        for path in &args.campaigns {
            let take = |record: &Record<'_>| facts.take_campaign(record);
            let kind = (Makes::Campaigns, &["campaign_id"][..]);
            each_record(path, kind, exports, bar, take, |line, problem| {
                rejects.add(path, line, problem)
            })?;
        }
        let reading = Reading {
            tuning,
            partitioning: &partitioning,
            exports,
            bar,
        };
        // Orders first, since memory holds all copies until it is known which of them stand. Their rejects come last all the same.
        let rejected = facts.read_orders(args, &reading)?;
        facts.read_events(args, &reading, rejects)?;
        for (file, line, problem) in rejected {
            let path = args.orders.get(file).map_or(Path::new(""), |path| path);
            rejects.add(path, line, &problem)?;
        }
        if facts.by_address {
            facts.guests = guests(&facts, &partitioning, tuning)?;
        }
        partitioning.spare().clear();
        #[cfg(feature = "parquet")]
        facts.notes.append(&mut super::parquet::notes(args)?);
        Ok(facts)
    }

    fn read_events(
        &mut self,
        args: &AttributeArgs,
        reading: &Reading<'_>,
        rejects: &mut Rejects,
    ) -> Result<(), Failure> {
        let Reading {
            tuning,
            partitioning,
            exports,
            bar,
        } = *reading;
        bar.set_message("events");
        let numbers = CampaignNumbers::default();
        let worker = |_| {
            let marketplace = args.marketplace.clone();
            EventReader::new(partitioning.clone(), numbers.clone(), marketplace)
        };
        let mut workers: Vec<EventReader> = (0..tuning.threads).map(worker).collect();
        for (file, path) in args.events.iter().enumerate() {
            read_file(
                path,
                file,
                &mut workers,
                tuning,
                exports,
                bar,
                |taken| match taken {
                    Taken::Rows(rows) => self.events.push(rows),
                    Taken::Rejected(line, problem) => rejects.add(path, line, &problem),
                },
            )?;
        }
        self.by_address = workers.iter().any(|worker| worker.by_address);
        self.seen = EventReader::campaigns_of(workers);
        Ok(())
    }

    /// Finds the copy that stands of each order. Returns the rows that were rejected, by file and line.
    fn read_orders(
        &mut self,
        args: &AttributeArgs,
        reading: &Reading<'_>,
    ) -> Result<Vec<(usize, u64, RecordProblem)>, Failure> {
        let Reading {
            tuning,
            partitioning,
            exports,
            bar,
        } = *reading;
        bar.set_message("orders");
        let worker = |_| OrderReader::new(partitioning.clone());
        let mut workers: Vec<OrderReader> = (0..tuning.threads).map(worker).collect();
        let (mut rejected, mut copies) = (Vec::new(), Vec::new());
        for (file, path) in args.orders.iter().enumerate() {
            read_file(path, file, &mut workers, tuning, exports, bar, |taken| {
                match taken {
                    Taken::Rows(rows) => copies.push(rows),
                    Taken::Rejected(line, problem) => rejected.push((file, line, problem)),
                }
                Ok(())
            })?;
        }
        let take = |found: &mut StandingOrders, partition| take_orders(partition, &copies, found);
        let new = || StandingOrders::new(partitioning);
        for found in each_partition(tuning.threads, self.partitions, new, take) {
            self.standing.add(found);
        }
        rejected.append(&mut self.standing.rejects);
        rejected.sort_by_key(|(file, line, _)| (*file, *line));
        Ok(rejected)
    }

    /// Takes in a campaign. A later row of a campaign replaces the whole earlier one, as `PUT` does.
    fn take_campaign(&mut self, record: &Record<'_>) -> Result<(), RecordProblem> {
        let id = record.needed_id("campaign_id", CampaignId::new)?;
        let mut campaign = Campaign::read(id.clone(), record).map_err(together)?;
        // Tags decide about credit, but a name is only shown.
        if campaign.tags.iter().any(|tag| tag.contains(SUBSTITUTE)) {
            let detail = "tags: a tag holds no control character";
            return Err(RecordProblem::of("tags", Code::WrongType, detail));
        }
        campaign.name = campaign.name.replace(SUBSTITUTE, "\u{fffd}");
        self.campaigns.insert(id, campaign);
        Ok(())
    }

    /// The campaigns of all events, with the earliest event on each channel.
    pub(super) fn seen(&self) -> impl Iterator<Item = (&str, [Option<Instant>; 3])> {
        self.seen.iter().map(|(id, first)| (&**id, *first))
    }

    /// The campaigns of the files, and those that were seen in events.
    pub(super) fn catalog<'s>(
        &self,
        seen: impl Iterator<Item = (&'s str, [Option<Instant>; 3])>,
    ) -> Catalog {
        let mut campaigns = self.campaigns.clone();
        for (id, first) in seen {
            let first = Channel::ALL.into_iter().zip(first);
            for (channel, at) in first.filter_map(|(channel, at)| Some((channel, at?))) {
                let Ok(id) = CampaignId::new(id) else {
                    continue;
                };
                let campaign = campaigns.entry(id.clone());
                campaign
                    .or_insert_with(|| Campaign::named_by_id(id))
                    .observe(at, channel);
            }
        }
        Catalog::new(campaigns.into_values().collect())
    }

    /// The campaigns of all events in a catalog, by number. A campaign that only duplicates name can be in none.
    pub(super) fn campaigns_in(&self, catalog: &Catalog) -> Vec<Option<CampaignIx>> {
        let place = |(id, _): &SeenCampaign| catalog.place(&CampaignId::new(id).ok()?);
        self.seen.iter().map(place).collect()
    }

    /// How much was read and rejected, in words. Of the events, so many count, and so many are duplicates. The second time is a
    /// part of the first.
    pub(super) fn summary(
        &self,
        (events, duplicates): (usize, usize),
        rejected: &RejectedRows,
        written: bool,
        [took, deciding]: [Duration; 2],
    ) -> String {
        let seconds =
            |time: Duration| format!("{}.{:02} s", time.as_secs(), time.subsec_millis() / 10);
        let mut text = format!(
            "attributed {}{} by {}{} in {}, {} of it to decide\n",
            plural(self.standing.orders, "order"),
            repeats(&[
                (self.standing.duplicates, "duplicate", "duplicates"),
                (self.standing.older, "older copy", "older copies"),
            ]),
            plural(events, "event"),
            repeats(&[(duplicates, "duplicate", "duplicates")]),
            seconds(took),
            seconds(deciding),
        );
        if rejected.rows > 0 {
            let by_code: Vec<String> = rejected
                .by_code
                .iter()
                .map(|(code, rows)| format!("{} {code}", grouped(&rows.to_string())))
                .collect();
            text += &format!(
                "rejected {}: {}{}\n",
                plural(rejected.rows, "row"),
                by_code.join(", "),
                if written {
                    ""
                } else {
                    "; add --rejects OUT.csv to see which and why"
                }
            );
        }
        text.extend(self.notes.iter().map(|note| format!("{note}\n")));
        text
    }
}

/// Makes one rejection of a record's problems: the code of the first problem, and all problems in words.
fn together(problems: Problems) -> RecordProblem {
    let details: Vec<&str> = problems.iter().map(|p| p.detail.as_str()).collect();
    let detail = details.join("; ");
    match problems.into_iter().next() {
        Some(first) => RecordProblem { detail, ..first },
        None => RecordProblem::whole(Code::WrongType, detail),
    }
}

fn repeats(counts: &[(usize, &str, &str)]) -> String {
    let parts: Vec<String> = counts
        .iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, one, many)| {
            let word = if *n == 1 { one } else { many };
            format!("{} {word}", grouped(&n.to_string()))
        })
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" (and {})", parts.join(", "))
    }
}
