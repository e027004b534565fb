//! Exports: rows are gathered by kind and day, written as files of gzipped JSON lines, and counted together with the place where the
//! export goes on. [`revtrail_store::jobs::exports`] says why each row is in one file, whoever dies.

mod buffers;
mod rows;

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::attribution::settings::Versions;
use revtrail_core::figures::report::channel_day_rows;
use revtrail_core::value::address::Recipient;
use revtrail_core::value::id::PromotionId;
use revtrail_core::value::time::{Day, Instant};
use revtrail_storage::files::Files;
use revtrail_store::Reading;
use revtrail_store::jobs::export::{Export, ExportFile, ExportKind, ExportStage, ExportState};
use revtrail_store::jobs::job::{Job, NAMES_MAX, RedemptionPlace};
use revtrail_store::ledger::contribution::StoredContribution;
use revtrail_store::ledger::facts::CustomerFacts;
use revtrail_store::market::Market;
use serde_json::json;

use crate::export::buffers::FileBuffers;
use crate::export::rows::{CreditRow, order_row};
use crate::{AttributorError, JobEnd, JobLimits, Until};

/// How many customers are read at the same time.
const READS_AT_ONCE: usize = 8;
/// How many customers' reads are made ready at a time.
const CUSTOMERS_AT_ONCE: usize = 64;
/// How many redemptions are read at once.
const REDEMPTIONS_AT_ONCE: usize = 500;
/// How many files are written at the same time.
const WRITES_AT_ONCE: usize = 8;
/// The days of a zone and of another are at most so many apart.
const ZONE_DAYS: u32 = 2;
/// The file that names the files which belong to an export.
const MANIFEST: &str = "manifest.json";

/// Works on an export until it is done or time is up, and deletes its files when its time is over. Whatever the end, the job stays
/// for as long as there may be files.
pub(crate) async fn work(
    market: &Market,
    job: &Job,
    id: &str,
    outbox: Option<&Files>,
    limits: JobLimits,
    until: Until<'_>,
) -> Result<JobEnd, AttributorError> {
    let exports = market.exports();
    let export = exports.export(id).await?;
    let versions = market.settings().versions().await?;
    let (Some(mut export), Some(versions)) = (export, versions) else {
        market.jobs().job_done(job).await?;
        return Ok(JobEnd::Done);
    };
    let exporting = Exporting {
        market,
        outbox: outbox.ok_or(AttributorError::NoOutbox)?,
        versions: &versions,
        bytes_max: limits.export_bytes,
        until,
    };
    if export.expires_at() <= until.now() {
        exporting.delete_files(&export).await?;
        exports.forget(&export).await?;
        market.jobs().job_done(job).await?;
        return Ok(JobEnd::Done);
    }
    match export.state {
        ExportState::Running => exporting.write(&mut export).await,
        ExportState::Done => Ok(JobEnd::Waits),
        ExportState::Removed => {
            exporting.delete_files(&export).await?;
            exports.files_deleted(&mut export).await?;
            Ok(JobEnd::Waits)
        }
    }
}

/// What a worker on an export has in hand.
struct Exporting<'e> {
    market: &'e Market,
    outbox: &'e Files,
    versions: &'e Versions,
    bytes_max: usize,
    until: Until<'e>,
}

/// The first facts of a customer, and the place where more of them follow.
struct FirstFacts {
    stored: StoredContribution,
    facts: CustomerFacts,
    next: Option<String>,
}

/// How a walk through facts stopped.
struct Walked {
    stage: ExportStage,
    /// True if the next customer is being erased, so that only a part of the facts is there.
    meets_erasure: bool,
}

impl Walked {
    fn to(stage: ExportStage) -> Self {
        Self {
            stage,
            meets_erasure: false,
        }
    }
}

impl Exporting<'_> {
    fn day(&self, at: Instant) -> Day {
        at.day(self.versions.at(at).settings.timezone)
    }

    /// True if it is time to write what was gathered.
    fn is_enough(&self, buffers: &FileBuffers) -> bool {
        buffers.bytes() >= self.bytes_max || self.until.is_over()
    }

    /// Writes the rest of an export, part by part.
    async fn write(&self, export: &mut Export) -> Result<JobEnd, AttributorError> {
        while export.stage != ExportStage::Manifest {
            let mut buffers = FileBuffers::default();
            let walked = match export.stage.clone() {
                ExportStage::Facts { after, within } => {
                    self.facts(export, &mut buffers, after, within).await?
                }
                ExportStage::Redemptions { place } => {
                    Walked::to(self.redemptions(export, &mut buffers, place).await?)
                }
                ExportStage::CampaignDays | ExportStage::Manifest => {
                    self.campaign_days(export, &mut buffers).await?;
                    Walked::to(export.stage.next())
                }
            };
            if !self.save(export, buffers, walked.stage).await? {
                // Another worker goes on.
                return Ok(JobEnd::Done);
            }
            if walked.meets_erasure {
                return Ok(JobEnd::Waits);
            }
            if self.until.is_over() {
                return Ok(JobEnd::HandedOver);
            }
        }
        self.finish(export).await?;
        Ok(JobEnd::Waits)
    }

    async fn campaign_days(
        &self,
        export: &Export,
        buffers: &mut FileBuffers,
    ) -> Result<(), AttributorError> {
        if !export.has(ExportKind::CampaignDays) {
            return Ok(());
        }
        let (first, last, now) = (export.from, export.to.minus(1), self.until.now());
        let daily = self.market.daily();
        let days = daily.aggregates(first, last, Reading::STRONG, now).await?;
        let newest = &self.versions.newest().settings;
        for (day, aggregate) in &days {
            for row in channel_day_rows(*day, aggregate, newest) {
                buffers.add(ExportKind::CampaignDays, *day, &row)?;
            }
        }
        Ok(())
    }

    /// Gathers events, orders and credits of customers who follow one another. Each customer's contribution is read as of one time,
    /// so each order is in the credits once.
    async fn facts(
        &self,
        export: &Export,
        buffers: &mut FileBuffers,
        mut after: Option<Recipient>,
        within: Option<(Recipient, String)>,
    ) -> Result<Walked, AttributorError> {
        use ExportKind::{Credits, Events, Orders};
        if ![Events, Orders, Credits]
            .iter()
            .any(|kind| export.has(*kind))
        {
            return Ok(Walked::to(export.stage.next()));
        }
        // However little time there is, some facts are gathered.
        let mut moved = false;
        if let Some((customer, item)) = within {
            if let Some(item) = self.rest_of(export, buffers, &customer, item).await? {
                let within = Some((customer, item));
                return Ok(Walked::to(ExportStage::Facts { after, within }));
            }
            (after, moved) = (Some(customer), true);
        }
        loop {
            let jobs = self.market.jobs();
            let names = jobs.names_after(after.as_ref(), self.until.now()).await?;
            let is_last = names.len() < NAMES_MAX;
            let names = Vec::from_iter(names);
            for some in names.chunks(CUSTOMERS_AT_ONCE) {
                let reads = some.iter().map(|name| self.first_of(export, name));
                let reads = Vec::from_iter(reads);
                let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
                for customer in some {
                    if moved && self.is_enough(buffers) {
                        let within = None;
                        return Ok(Walked::to(ExportStage::Facts { after, within }));
                    }
                    let Some(first) = reads.try_next().await? else {
                        break;
                    };
                    if first.stored.is_moving {
                        return Ok(Walked {
                            stage: ExportStage::Facts {
                                after,
                                within: None,
                            },
                            meets_erasure: true,
                        });
                    }
                    self.add_credits(export, buffers, customer, &first.stored)?;
                    self.add_facts(export, buffers, &first.facts)?;
                    if let Some(item) = first.next
                        && let Some(item) = self.rest_of(export, buffers, customer, item).await?
                    {
                        let within = Some((customer.clone(), item));
                        return Ok(Walked::to(ExportStage::Facts { after, within }));
                    }
                    (after, moved) = (Some(customer.clone()), true);
                }
            }
            if is_last {
                return Ok(Walked::to(export.stage.next()));
            }
        }
    }

    async fn first_of(
        &self,
        export: &Export,
        customer: &Recipient,
    ) -> Result<FirstFacts, AttributorError> {
        let stored = self.market.contributions().stored(customer).await?;
        let (facts, next) = self.page(export, customer, None).await?;
        Ok(FirstFacts {
            stored,
            facts,
            next,
        })
    }

    async fn page(
        &self,
        export: &Export,
        customer: &Recipient,
        after: Option<String>,
    ) -> Result<(CustomerFacts, Option<String>), AttributorError> {
        let kinds = [ExportKind::Events, ExportKind::Orders].map(|kind| export.has(kind));
        let [events, orders] = kinds;
        if !events && !orders {
            return Ok((CustomerFacts::default(), None));
        }
        let facts = self.market.facts();
        let now = self.until.now();
        Ok(facts.page(customer, (events, orders), after, now).await?)
    }

    /// Gathers a customer's facts behind an item. If it is enough before the last of them, the last item that was gathered.
    async fn rest_of(
        &self,
        export: &Export,
        buffers: &mut FileBuffers,
        customer: &Recipient,
        mut item: String,
    ) -> Result<Option<String>, AttributorError> {
        loop {
            let (facts, next) = self.page(export, customer, Some(item)).await?;
            self.add_facts(export, buffers, &facts)?;
            match next {
                Some(next) if self.is_enough(buffers) => return Ok(Some(next)),
                Some(next) => item = next,
                None => return Ok(None),
            }
        }
    }

    fn add_facts(
        &self,
        export: &Export,
        buffers: &mut FileBuffers,
        facts: &CustomerFacts,
    ) -> Result<(), AttributorError> {
        for event in &facts.events {
            let day = self.day(event.occurred_at);
            if export.has_day(day) {
                buffers.add(ExportKind::Events, day, event)?;
            }
        }
        for order in &facts.orders {
            let day = self.day(order.placed_at);
            if export.has_day(day) {
                buffers.add(ExportKind::Orders, day, &order_row(order)?)?;
            }
        }
        Ok(())
    }

    fn add_credits(
        &self,
        export: &Export,
        buffers: &mut FileBuffers,
        recipient: &Recipient,
        stored: &StoredContribution,
    ) -> Result<(), AttributorError> {
        // Only customers have orders.
        let Some(customer) = recipient.customer() else {
            return Ok(());
        };
        if !export.has(ExportKind::Credits) {
            return Ok(());
        }
        let shows_revenue = self.versions.newest().settings.enabled;
        for (day, line) in stored.lines().filter(|(day, _)| export.has_day(*day)) {
            let decided_by = self.versions.place_for_order(line.placed_at);
            let linked = self.versions.all()[decided_by].settings.link;
            let row = CreditRow::new(customer, line, linked, shows_revenue);
            buffers.add(ExportKind::Credits, day, &row)?;
        }
        Ok(())
    }

    /// Gathers redemptions of promotions that follow one another, each promotion's newest first.
    async fn redemptions(
        &self,
        export: &Export,
        buffers: &mut FileBuffers,
        place: Option<RedemptionPlace>,
    ) -> Result<ExportStage, AttributorError> {
        if !export.has(ExportKind::Redemptions) {
            return Ok(export.stage.next());
        }
        let promotions = self.market.promotions().list().await?.into_iter();
        let mut promotions: Vec<PromotionId> = promotions.map(|one| one.promotion_id).collect();
        promotions.sort();
        let (mut at, mut after) = RedemptionPlace::among(place, &promotions);
        while let Some(promotion) = promotions.get(at) {
            let lists = self.market.lists();
            let now = self.until.now();
            let page = lists.redemptions_of(promotion, after.take(), REDEMPTIONS_AT_ONCE, now);
            let (facts, next) = page.await?;
            for (_, fact) in &facts {
                let day = self.day(fact.at);
                if export.has_day(day) {
                    buffers.add(ExportKind::Redemptions, day, &fact.shown())?;
                }
            }
            let oldest = facts.last().map(|(_, fact)| self.day(fact.at));
            let has_more = oldest.is_none_or(|oldest| oldest.plus(ZONE_DAYS) >= export.from);
            match next.filter(|_| has_more) {
                Some(next) => after = Some(next),
                None => at += 1,
            }
            if self.is_enough(buffers)
                && let Some(promotion) = promotions.get(at)
            {
                let promotion = promotion.clone();
                let place = Some(RedemptionPlace { promotion, after });
                return Ok(ExportStage::Redemptions { place });
            }
        }
        Ok(export.stage.next())
    }

    /// Writes what was gathered, and counts it together with the stage that it leads to. False if another worker goes on with the
    /// export.
    async fn save(
        &self,
        export: &mut Export,
        buffers: FileBuffers,
        stage: ExportStage,
    ) -> Result<bool, AttributorError> {
        let exports = self.market.exports();
        let files = buffers.finish(export.next_attempt())?;
        let mut part = None;
        if !files.is_empty() {
            let listed = files.iter().map(|(file, _)| file.clone()).collect();
            part = exports.draft(export, listed, self.until.now()).await?;
            if part.is_none() {
                return Ok(false);
            }
            let folder = export.folder(self.market.id());
            let writes = files.into_iter().map(|(file, bytes)| {
                let key = format!("{folder}/{}", file.name());
                async move { self.outbox.put(&key, "application/gzip", bytes).await }
            });
            let writes = stream::iter(Vec::from_iter(writes)).buffer_unordered(WRITES_AT_ONCE);
            writes.try_collect::<()>().await?;
        }
        let counted = exports.count(export, part.as_ref(), stage, self.until.now());
        Ok(counted.await?)
    }

    /// Ends an export: deletes what drafts left, and writes which files belong to it. Whoever does it again does the same.
    async fn finish(&self, export: &mut Export) -> Result<(), AttributorError> {
        let exports = self.market.exports();
        let folder = export.folder(self.market.id());
        for part in exports.parts(export).await? {
            for file in part.files.iter().filter(|_| !part.counted) {
                let key = format!("{folder}/{}", file.name());
                self.outbox.delete(&key).await?;
            }
        }
        let files = exports.files(export).await?;
        let manifest = format!("{:#}\n", self.manifest(export, &files));
        let key = format!("{folder}/{MANIFEST}");
        let media_type = "application/json";
        let written = self.outbox.put(&key, media_type, manifest.into_bytes());
        written.await?;
        exports.finish(export, self.until.now()).await?;
        Ok(())
    }

    fn manifest(&self, export: &Export, files: &[ExportFile]) -> serde_json::Value {
        let file = |file: &ExportFile| {
            json!({
                "file": file.name(), "what": file.what, "day": file.day, "rows": file.rows, "bytes": file.bytes,
            })
        };
        json!({
            "export_id": export.id, "marketplace_id": self.market.id(), "what": export.what,
            "from": export.from, "to": export.to, "asked_at": export.at, "as_of": export.as_of,
            "files": files.iter().map(file).collect::<Vec<_>>(),
        })
    }

    /// Deletes all files that an export may have.
    async fn delete_files(&self, export: &Export) -> Result<(), AttributorError> {
        let folder = export.folder(self.market.id());
        let parts = self.market.exports().parts(export).await?;
        let names = parts.iter().flat_map(|part| &part.files);
        let mut keys: Vec<String> = names
            .map(|file| format!("{folder}/{}", file.name()))
            .collect();
        keys.push(format!("{folder}/{MANIFEST}"));
        Ok(self.outbox.delete_folder(&folder, &keys).await?)
    }
}
