//! Intake markers: which customers and addresses one call of ingest touched. A marker is written open before the facts of its call, and closed
//! after them, before the answer. So no fact can be stored without the attributor hearing of its customer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures_util::future::try_join_all;
use revtrail_core::figures::daily::IntakeCounts;
use revtrail_core::value::address::{AddressHash, Recipient};
use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};

use crate::jobs::job::{ListPlace, Work};
use crate::ledger::purchases::RowPlace;
use crate::market::Market;
use crate::market::campaigns::Observed;
use crate::random::random_hex;
use crate::table::client::{Range, Reading};
use crate::table::fault::StoreError;
use crate::table::item::{Item, NewItem, data, sk};
use crate::table::keys::{self, MARKER_SHARDS};
use revtrail_core::attribution::reach::Reattribution;

/// The age, in milliseconds, above which an open intake marker belongs to a call that died. It may be deleted once its customers
/// are in jobs.
pub const OPEN_MARKER_AGE_MS_MAX: i64 = 15 * 60 * 1000;

/// What one call of ingest touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntakeMarker {
    /// The name of the call.
    #[serde(skip)]
    pub call: String,
    /// When the call arrived.
    #[serde(rename = "t")]
    pub at: Instant,
    /// True once the facts are stored and the counts are final.
    #[serde(rename = "z", default)]
    pub closed: bool,
    /// In an open marker, everybody whom the call may change; in a closed one, everybody whom it changed. An address is somebody too: its
    /// plan finds the customers whose orders named it.
    #[serde(flatten, with = "names")]
    pub customers: BTreeSet<Recipient>,
    /// In a closed marker, what the stored events of the call say about their campaigns.
    #[serde(rename = "g", default)]
    pub campaigns: Vec<Observed>,
    /// In a closed marker, the counts of the call's orders.
    #[serde(rename = "o", default)]
    pub orders_in: IntakeCounts,
    /// In a closed marker, the counts of the call's events.
    #[serde(rename = "e", default)]
    pub events_in: IntakeCounts,
    /// In a closed marker, what of a sender's post means nothing here, by sender and word.
    #[serde(rename = "i", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ignored: BTreeMap<String, i64>,
    /// How many records of the call were rejected, by what they were to be and the code, with a blank between.
    #[serde(rename = "rj", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejections: BTreeMap<String, i64>,
    /// The latest time of the call's events, if it is not before the call.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    ahead_to: Option<Instant>,
    /// The marker was planned before, and is planned again until none of its facts is ahead of the clock.
    #[serde(rename = "n", default, skip_serializing_if = "std::ops::Not::not")]
    again: bool,
}

/// How a marker names customers and addresses: the customers as a list and the addresses as one text, in which each has 32 digits. A
/// list of a hundred addresses would have half as many bytes more when it is compressed, and a marker is written twice a call.
mod names {
    use std::collections::BTreeSet;

    use revtrail_core::value::address::{AddressHash, Recipient};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// The digits of an address.
    const DIGITS: usize = 32;

    #[derive(Serialize, Deserialize)]
    struct Names {
        #[serde(rename = "c", default)]
        customers: BTreeSet<Recipient>,
        #[serde(rename = "h", default, skip_serializing_if = "String::is_empty")]
        addresses: String,
    }

    pub(super) fn serialize<S: Serializer>(
        all: &BTreeSet<Recipient>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let addresses = all.iter().filter_map(Recipient::address);
        let customers = all.iter().filter(|one| one.customer().is_some());
        Names {
            addresses: addresses.map(|address| address.to_string()).collect(),
            customers: customers.cloned().collect(),
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<Recipient>, D::Error> {
        let names = Names::deserialize(deserializer)?;
        let mut all = names.customers;
        for digits in names.addresses.as_bytes().chunks(DIGITS) {
            let address = std::str::from_utf8(digits)
                .ok()
                .and_then(AddressHash::parse);
            let bad = || D::Error::custom("an address of a marker has 32 digits");
            all.insert(address.ok_or_else(bad)?.into());
        }
        Ok(all)
    }
}

impl IntakeMarker {
    /// An open intake marker of a call that arrives now.
    pub fn open(customers: BTreeSet<Recipient>, now: Instant) -> Self {
        let nothing = IntakeCounts::default();
        Self {
            call: random_hex(),
            at: now,
            closed: false,
            customers,
            campaigns: vec![],
            orders_in: nothing,
            events_in: nothing,
            ignored: BTreeMap::new(),
            rejections: BTreeMap::new(),
            ahead_to: None,
            again: false,
        }
    }

    /// The marker of what a post of a sender had besides facts: rejected records, and what means nothing here. `None` where it had
    /// nothing else.
    pub fn of_counts(
        orders_in: IntakeCounts,
        events_in: IntakeCounts,
        ignored: BTreeMap<String, i64>,
        rejections: BTreeMap<String, i64>,
        now: Instant,
    ) -> Option<Self> {
        let nothing = orders_in.is_nothing() && events_in.is_nothing() && ignored.is_empty();
        (!nothing).then(|| Self {
            closed: true,
            orders_in,
            events_in,
            ignored,
            rejections,
            ..Self::open(BTreeSet::new(), now)
        })
    }

    /// The same marker, of a call whose latest event is of this time.
    pub fn with_events_to(mut self, latest: Instant) -> Self {
        self.ahead_to = Some(latest).filter(|latest| *latest >= self.at);
        self
    }

    /// True if the planner may delete the marker, once its customers are in jobs.
    pub fn may_go(&self, now: Instant) -> bool {
        let done = self.closed || self.at < now.minus_ms(OPEN_MARKER_AGE_MS_MAX);
        done && !(self.again && self.is_ahead(now))
    }

    /// True if settings that are saved from `now` on can be in force at one of the marker's events. An order that is ahead of the
    /// clock is decided again when settings are saved, but nobody would find the customer of an event.
    fn is_ahead(&self, now: Instant) -> bool {
        self.at > now || self.ahead_to.is_some_and(|to| to >= now)
    }

    /// The marker that replaces this one, so that its customers are folded once more when none of its events is ahead of the
    /// clock.
    pub(crate) fn successor(&self, now: Instant) -> Option<Self> {
        let nothing = IntakeCounts::default();
        let needed = self.is_ahead(now) && !self.customers.is_empty();
        needed.then(|| Self {
            call: format!("{}n", self.call),
            closed: true,
            campaigns: vec![],
            orders_in: nothing,
            events_in: nothing,
            ignored: BTreeMap::new(),
            rejections: BTreeMap::new(),
            again: true,
            ..self.clone()
        })
    }

    /// True if some facts of the marker may not be in any figure yet.
    fn is_new(&self) -> bool {
        !self.again
    }

    pub(crate) fn item(&self, market: &Market) -> NewItem {
        NewItem::at(&keys::marker(&market.id, &self.call)).packed(self)
    }
}

/// What came into one marketplace and no run has planned yet. Reached by [`Market::intake`].
#[derive(Debug, Clone, Copy)]
pub struct IntakeMarkers<'m> {
    market: &'m Market,
}

impl Market {
    /// What came into the marketplace and no run has planned yet.
    pub fn intake(&self) -> IntakeMarkers<'_> {
        IntakeMarkers { market: self }
    }
}

impl<'m> IntakeMarkers<'m> {
    /// Writes an intake marker as it is, open or closed.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn put_marker(self, marker: &IntakeMarker) -> Result<(), StoreError> {
        self.market
            .store
            .put(marker.item(self.market), None)
            .await
            .map(drop)
    }

    /// A page of one shard's intake markers, open and closed, starting after a call, and the place where the next page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn markers_of_shard(
        self,
        shard: u8,
        after: Option<String>,
        limit: Option<i32>,
    ) -> Result<(Vec<IntakeMarker>, Option<String>), StoreError> {
        let pk = keys::markers(&self.market.id, shard);
        let (items, next) = self
            .market
            .store
            .page(&pk, &Range::All, Reading::STRONG, after, limit)
            .await?;
        let marker = |item: &Item| {
            Ok(IntakeMarker {
                call: sk(item).to_owned(),
                ..data(item)?
            })
        };
        Ok((
            items
                .iter()
                .map(marker)
                .collect::<Result<_, StoreError>>()?,
            next,
        ))
    }

    /// The intake markers, page by page, so that not all of them are in memory.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn pages(self) -> Result<MarkerPages<'m>, StoreError> {
        let first = |shard| async move {
            let (markers, next) = self.markers_of_shard(shard, None, None).await?;
            Ok::<_, StoreError>((shard, markers, next))
        };
        let shards = try_join_all((0..MARKER_SHARDS).map(first)).await?;
        Ok(MarkerPages {
            markers: self,
            shards,
        })
    }

    /// All intake markers, open and closed.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn markers(self) -> Result<Vec<IntakeMarker>, StoreError> {
        let (mut pages, mut markers) = (self.pages().await?, Vec::new());
        while let Some(page) = pages.next().await? {
            markers.extend(page);
        }
        Ok(markers)
    }
}

/// The intake markers of a marketplace, shard by shard and page by page. The first pages of all shards are read at once.
#[derive(Debug)]
pub struct MarkerPages<'m> {
    markers: IntakeMarkers<'m>,
    shards: Vec<(u8, Vec<IntakeMarker>, Option<String>)>,
}

impl MarkerPages<'_> {
    /// True if there are no intake markers.
    pub fn is_empty(&self) -> bool {
        let empty = |(_, markers, next): &(_, Vec<IntakeMarker>, Option<String>)| {
            markers.is_empty() && next.is_none()
        };
        self.shards.iter().all(empty)
    }

    /// The next page, which can be empty; `None` after the last.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn next(&mut self) -> Result<Option<Vec<IntakeMarker>>, StoreError> {
        let Some((shard, markers, next)) = self.shards.pop() else {
            return Ok(None);
        };
        if next.is_some() {
            let (more, next) = self.markers.markers_of_shard(shard, next, None).await?;
            self.shards.push((shard, more, next));
        }
        Ok(Some(markers))
    }
}

/// Changed customers who wait for the next run.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    /// The customers; at most as many as were asked for.
    pub customers: BTreeSet<Recipient>,
    /// True if more customers wait, or may wait behind what was read.
    pub more: bool,
    /// How many lists and pages of purchase rows were read.
    pages: usize,
}

/// How many intake markers are read first from each shard where it is enough to know some customers. Usually a call has many.
const MARKERS_AT_FIRST: i32 = 25;
/// How many intake markers are read at once after these.
const MARKERS_AT_ONCE: i32 = 250;
/// How many such pages are read to find out who waits: behind two thousand calls that changed nobody, nobody is looked for.
const MARKER_PAGES_MAX: usize = 8;
/// How many lists of customers or pages of purchase rows are read for the same. A page can be one campaign's orders of one day.
const PAGES_MAX: usize = 200;
/// How many customers of an address are read at once for the same.
const LINKS_AT_ONCE: i32 = 1_000;

impl IntakeMarkers<'_> {
    /// The customers who wait for the next run, up to `max` of them. They are those of intake markers and of jobs, and those
    /// whose orders wait to be decided again. However many calls, jobs and orders there are, a bounded part of them is read.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn pending(self, max: usize, now: Instant) -> Result<Pending, StoreError> {
        let mut pending = Pending::default();
        let firsts = (0..MARKER_SHARDS)
            .map(|shard| self.markers_of_shard(shard, None, Some(MARKERS_AT_FIRST)));
        let mut shards = VecDeque::new();
        for (shard, (markers, next)) in (0..MARKER_SHARDS).zip(try_join_all(firsts).await?) {
            pending.take_markers(markers, max);
            shards.extend(next.map(|next| (shard, next)));
        }
        for _ in 0..MARKER_PAGES_MAX {
            let Some((shard, after)) = shards.pop_front().filter(|_| !pending.more) else {
                break;
            };
            let (markers, next) = self
                .markers_of_shard(shard, Some(after), Some(MARKERS_AT_ONCE))
                .await?;
            pending.take_markers(markers, max);
            shards.extend(next.map(|next| (shard, next)));
        }
        pending.more |= !shards.is_empty();
        let mut asked: Option<Reattribution> = None;
        for job in self.market.jobs().jobs().await? {
            match job.work {
                Work::Fold { next } => {
                    if !pending.may_read() {
                        break;
                    }
                    let list = self.market.jobs().job_list(&job.job_id).await?;
                    pending.take(list.into_iter().skip(next), max);
                }
                // Every change of a campaign asks for one. They are walked through as a run will do it, all at once.
                Work::Reattribution { span, place: None } => {
                    asked = Some(asked.map_or(span, |all| all.both(span)));
                }
                Work::FoldLinked { address, after } => {
                    self.take_linked(&mut pending, address, after, max, now)
                        .await?;
                }
                Work::Reattribution { span, place } => {
                    self.take_reattributed(&mut pending, span, place, max, now)
                        .await?;
                }
                Work::ReattributeAll { .. } => {
                    let mut place = Some(ListPlace::anywhere());
                    while let Some(at) = place
                        && pending.may_read()
                    {
                        let (lists, next) = self.market.jobs().job_lists(at, now).await?;
                        lists
                            .into_iter()
                            .for_each(|(_, list)| pending.take(list, max));
                        place = next;
                    }
                }
                Work::Verify { .. }
                | Work::LookAhead { .. }
                | Work::Export { .. }
                | Work::Erase { .. } => {}
            }
        }
        if let Some(span) = asked {
            self.take_reattributed(&mut pending, span, None, max, now)
                .await?;
        }
        Ok(pending)
    }

    async fn take_linked(
        self,
        pending: &mut Pending,
        address: AddressHash,
        mut after: Option<String>,
        max: usize,
        now: Instant,
    ) -> Result<(), StoreError> {
        while pending.may_read() {
            let links = self.market.links();
            let page = links.customers_of(address, after, LINKS_AT_ONCE, now);
            let (customers, next) = page.await?;
            pending.take(customers.into_iter().map(Recipient::from), max);
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(())
    }

    async fn take_reattributed(
        self,
        pending: &mut Pending,
        span: Reattribution,
        place: Option<RowPlace>,
        max: usize,
        now: Instant,
    ) -> Result<(), StoreError> {
        if pending.more {
            return Ok(());
        }
        let mut reattributed = self
            .market
            .purchases()
            .reattributed(span, place, now)
            .await?;
        while pending.may_read() {
            match reattributed.next().await? {
                Some(customers) => pending.take(customers.into_iter().map(Recipient::from), max),
                None => break,
            }
        }
        Ok(())
    }
}

impl IntakeMarkers<'_> {
    /// Those of some customers who may have to be folded: an intake marker or a job names them, or a job that names nobody may
    /// reach them.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn waiting_among(
        self,
        customers: &BTreeSet<Recipient>,
    ) -> Result<BTreeSet<Recipient>, StoreError> {
        let mut waiting = BTreeSet::new();
        let mut pages = self.pages().await?;
        while let Some(markers) = pages.next().await? {
            for marker in markers.iter().filter(|marker| marker.is_new()) {
                waiting.extend(marker.customers.intersection(customers).cloned());
            }
        }
        // A plan writes jobs before its markers go, so the jobs are read after them.
        for job in self.market.jobs().jobs().await? {
            match job.work {
                Work::Fold { .. } => {
                    let list = self.market.jobs().job_list(&job.job_id).await?;
                    waiting.extend(list.into_iter().filter(|one| customers.contains(one)));
                }
                Work::Reattribution { .. }
                | Work::ReattributeAll { .. }
                | Work::FoldLinked { .. } => {
                    return Ok(customers.clone());
                }
                Work::Verify { .. }
                | Work::LookAhead { .. }
                | Work::Export { .. }
                | Work::Erase { .. } => {}
            }
        }
        Ok(waiting)
    }
}

impl Pending {
    /// True if one more page may be read. If it may not, nobody knows whether more customers wait.
    fn may_read(&mut self) -> bool {
        self.more |= self.pages == PAGES_MAX;
        self.pages += 1;
        !self.more
    }

    fn take_markers(&mut self, markers: Vec<IntakeMarker>, max: usize) {
        for marker in markers.into_iter().filter(IntakeMarker::is_new) {
            self.take(marker.customers, max);
        }
    }

    fn take(&mut self, customers: impl IntoIterator<Item = Recipient>, max: usize) {
        for customer in customers {
            if self.customers.len() < max || self.customers.contains(&customer) {
                self.customers.insert(customer);
            } else {
                self.more = true;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Markers of customers are stored as they always were.
    #[test]
    fn how_a_marker_names_whom_a_call_touched() {
        let digits = ["0".repeat(32), "f".repeat(32)];
        let [first, second] = digits.each_ref().map(|digits| format!("\u{1}{digits}"));
        for (names, stored) in [
            (vec![], r#""c":[]"#.to_owned()),
            (vec!["ann", "bob"], r#""c":["ann","bob"]"#.to_owned()),
            (
                vec![first.as_str(), "ann", second.as_str()],
                format!(r#""c":["ann"],"h":"{}""#, digits.concat()),
            ),
        ] {
            let names = names
                .into_iter()
                .map(|name| Recipient::parse(name).unwrap());
            let marker = IntakeMarker::open(names.collect(), Instant::from_ms(0));
            let text = serde_json::to_string(&marker).unwrap();
            assert!(text.contains(&stored), "{text}");
            let read: IntakeMarker = serde_json::from_str(&text).unwrap();
            assert_eq!(read.customers, marker.customers);
        }
        let bad = r#"{"t":"1970-01-01T00:00:00.000Z","h":"abc"}"#;
        assert!(serde_json::from_str::<IntakeMarker>(bad).is_err());
    }
}
