//! Turns records into the facts that count: which copy counts when rows repeat, and what is rejected (rules 3.1 to 3.3).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use revtrail_core::attribution::campaign::{Campaign, Catalog};
use revtrail_core::attribution::event::{self, Event};
use revtrail_core::attribution::order::{self, Order};
use revtrail_core::record::{Code, Problems, Record, RecordProblem};
use revtrail_core::value::id::{CampaignId, OrderId};
use revtrail_files::SUBSTITUTE;

use super::read::each_record;
use super::rejects::{RejectedRows, Rejects};
use super::table::{grouped, plural};
use super::{AttributeArgs, Failure};

/// The facts that count after all rows of all files.
#[derive(Debug, Default)]
pub(crate) struct FileFacts {
    /// The events, sorted by customer and id.
    pub(crate) events: Vec<Event>,
    /// The orders, sorted by customer and id.
    pub(crate) orders: Vec<Order>,
    campaigns: BTreeMap<CampaignId, Campaign>,
    event_duplicates: usize,
    order_duplicates: usize,
    older_copies: usize,
}

impl FileFacts {
    /// Reads all files, in the order of the command line. Rows count as arriving in the order of their files.
    pub(crate) fn read(
        args: &AttributeArgs,
        bar: &ProgressBar,
        rejects: &mut Rejects,
    ) -> Result<Self, Failure> {
        let mut facts = Self::default();
        bar.set_message("campaigns");
        for path in &args.campaigns {
            each_fact(path, &["campaign_id"], bar, rejects, |record| {
                facts.take_campaign(record)
            })?;
        }
        bar.set_message("events");
        for path in &args.events {
            each_fact(path, &event::NEEDED, bar, rejects, |record| {
                facts.events.push(Event::read(record, None)?);
                Ok(())
            })?;
        }
        facts.keep_first_events();
        bar.set_message("orders");
        let mut places = HashMap::new();
        for path in &args.orders {
            each_fact(path, &order::NEEDED, bar, rejects, |record| {
                facts.take_order(Order::read(record, None)?, &mut places)
            })?;
        }
        facts.orders.sort_unstable_by(|a, b| {
            (&a.customer_id, &a.order_id).cmp(&(&b.customer_id, &b.order_id))
        });
        Ok(facts)
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

    /// Keeps the first event of each id of a customer.
    fn keep_first_events(&mut self) {
        let read = self.events.len();
        // The sort is stable, so of equal ids the first arrival stays first.
        self.events
            .sort_by(|a, b| (&a.customer_id, &a.event_id).cmp(&(&b.customer_id, &b.event_id)));
        self.events.dedup_by(|later, first| {
            (&later.customer_id, &later.event_id) == (&first.customer_id, &first.event_id)
        });
        self.event_duplicates = read - self.events.len();
    }

    fn take_order(
        &mut self,
        copy: Order,
        places: &mut HashMap<OrderId, usize>,
    ) -> Result<(), RecordProblem> {
        let Some(&place) = places.get(&copy.order_id) else {
            places.insert(copy.order_id.clone(), self.orders.len());
            self.orders.push(copy);
            return Ok(());
        };
        let known = &mut self.orders[place];
        copy.check_unchanged(known.currency, known.placed_at)?;
        // The order stays with the customer of its first row, whatever customer a later row names.
        let copy = copy.of_customer(&known.customer_id);
        if copy == *known {
            self.order_duplicates += 1;
            return Ok(());
        }
        self.older_copies += 1;
        if copy.standing() > known.standing() {
            *known = copy;
        }
        Ok(())
    }

    /// The campaigns of the files, and those that only events name.
    pub(crate) fn catalog(&self) -> Catalog {
        let submitted = Catalog::new(self.campaigns.values().cloned().collect());
        submitted.witnessing(&self.events).unwrap_or(submitted)
    }

    /// How much was read and rejected, in words.
    pub(crate) fn summary(&self, rejected: &RejectedRows, written: bool, took: Duration) -> String {
        let mut text = format!(
            "attributed {}{} by {}{} in {}.{:02} s\n",
            plural(self.orders.len(), "order"),
            repeats(&[
                (self.order_duplicates, "duplicate", "duplicates"),
                (self.older_copies, "older copy", "older copies"),
            ]),
            plural(self.events.len(), "event"),
            repeats(&[(self.event_duplicates, "duplicate", "duplicates")]),
            took.as_secs(),
            took.subsec_millis() / 10
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

fn each_fact(
    path: &Path,
    needed: &'static [&'static str],
    bar: &ProgressBar,
    rejects: &mut Rejects,
    take: impl FnMut(&Record<'_>) -> Result<(), RecordProblem>,
) -> Result<(), Failure> {
    each_record(path, needed, bar, take, |line, problem| {
        rejects.add(path, line, problem)
    })
}
