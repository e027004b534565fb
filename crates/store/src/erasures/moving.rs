//! The move: both roots are marked, everything is moved that is erased, and one transaction ends it.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::value::time::Instant;

use super::{ErasedCustomer, Erasing, Erasures, LOOKS_MAX, PiecesLeft, StepEnd};
use crate::jobs::job::{EraseStep, Job, Work};
use crate::ledger::contribution::StoredContribution;
use crate::ledger::intake::IntakeMarker;
use crate::table::attributes::root::MOVING;
use crate::table::attributes::{DATA, VERSION, erasure as attributes};
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::contention::backoff;
use crate::table::fault::StoreError;
use crate::table::item::{Item, NewItem, text, version};
use crate::table::keys;
use crate::table::write::{Transacted, Write};

/// What stands in the place of the name of the list of what is erased when the move has ended. No list has this name.
const ENDED: &str = "ended";

/// Whose the mark of a customer is.
enum RootsMarked {
    /// The customer is marked for this erasure.
    Own,
    /// Another erasure moves the customer.
    ByAnother,
    /// The move has ended.
    Moved,
}

impl Erasures<'_> {
    /// The writes that mark both roots.
    pub(super) fn marks(
        self,
        of: &ErasedCustomer,
        root: Option<&Item>,
        now: Instant,
    ) -> [Write; 2] {
        let (id, store) = (&self.market.id, &self.market.store);
        let pseudonym = of.pseudonym.as_str();
        let gone_at = now.plus_ms(self.market.retention.keep_ms());
        let new = |key: &keys::Key| {
            let item = NewItem::at(key).number(VERSION, 1).text(DATA, "{}");
            let item = item.text(MOVING, pseudonym).expires(gone_at);
            store.put_write(item, Some(Condition::absent()))
        };
        let key = keys::root(id, &of.customer);
        let own = match root.map(version) {
            None => new(&key),
            Some(version) => {
                let values = vec![
                    (":x", AttributeValue::S(pseudonym.to_owned())),
                    (":one", AttributeValue::N("1".to_owned())),
                ];
                let mark = format!("SET {MOVING} = :x ADD {VERSION} :one");
                let seen = Some(Condition::version(version));
                store.update_write(&key, &mark, values, seen)
            }
        };
        [own, new(&keys::root(id, &of.pseudonym))]
    }
}

impl Erasing<'_> {
    /// Moves everything that is erased to the pseudonym.
    pub(super) async fn move_all(&mut self) -> Result<StepEnd, StoreError> {
        for attempt in 0..LOOKS_MAX {
            match self.mark().await? {
                RootsMarked::Moved => return Ok(StepEnd::Done),
                RootsMarked::ByAnother => return Ok(StepEnd::Waits),
                RootsMarked::Own => {}
            }
            match self.sweep().await? {
                PiecesLeft::OutOfTime => return Ok(StepEnd::OutOfTime(EraseStep::Move)),
                PiecesLeft::Moved => {
                    backoff(attempt).await;
                    continue;
                }
                PiecesLeft::Clean => {}
            }
            // The roots are read first: a fold that is skipped after this raises their versions.
            let Some(roots) = self.roots().await? else {
                continue;
            };
            self.market.raise_erasures().await?;
            let written = self.is_being_written().await?;
            if !written && self.sweep().await? == PiecesLeft::Clean && self.end_move(roots).await? {
                return Ok(StepEnd::Done);
            }
            backoff(attempt).await;
        }
        Ok(StepEnd::Waits)
    }

    /// Moves what there is to be moved.
    async fn sweep(&mut self) -> Result<PiecesLeft, StoreError> {
        let swept = [
            self.move_partition().await?,
            self.move_accounts().await?,
            self.move_waiting().await?,
        ];
        let most = [PiecesLeft::OutOfTime, PiecesLeft::Moved];
        let most = most.into_iter().find(|most| swept.contains(most));
        Ok(most.unwrap_or(PiecesLeft::Clean))
    }

    /// Reads what is erased. Both roots are marked by whoever asks for an erasure, and here if that was an older version of this
    /// program.
    async fn mark(&mut self) -> Result<RootsMarked, StoreError> {
        let store = &self.market.store;
        for attempt in 0..LOOKS_MAX {
            let erasures = self.market.erasures();
            let Some(open) = erasures
                .open(self.erasure)
                .await?
                .filter(|open| !open.moved)
            else {
                return Ok(RootsMarked::Moved);
            };
            if self.cut.name() != open.cut.as_deref() {
                self.cut = erasures.cut(&open).await?;
            }
            let key = keys::root(&self.market.id, &self.of.customer);
            let root = store.get(&key, true).await?;
            match root.as_ref().map(|root| text(root, MOVING)) {
                Some(mark) if mark == self.of.pseudonym.as_str() => return Ok(RootsMarked::Own),
                Some("") | None => {}
                Some(_) => return Ok(RootsMarked::ByAnother),
            }
            let mut writes = Vec::from(erasures.marks(&self.of, root.as_ref(), self.now()));
            writes.push(self.count(0));
            if let Transacted::Done = store.transact(writes).await? {
                return Ok(RootsMarked::Own);
            }
            backoff(attempt).await;
        }
        Err(StoreError::Contended {
            op: "marking a customer who is erased",
        })
    }

    /// A write that counts facts, in each transaction that moves some. It fails once the move has ended, or what is erased was fixed
    /// since it was read.
    fn count(&self, facts: usize) -> Write {
        let facts = vec![(":n", AttributeValue::N(facts.to_string()))];
        let key = keys::erasure(&self.market.id, self.erasure);
        let add = format!("ADD {} :n", attributes::FACTS);
        let stands = Some(self.cut.stands());
        self.market.store.update_write(&key, &add, facts, stands)
    }

    /// Makes writes if the customer is still marked for this erasure, and counts the facts that they move. False where they met
    /// others: what they would have moved is left for the next look.
    pub(super) async fn transact(
        &self,
        mut writes: Vec<Write>,
        facts: usize,
    ) -> Result<bool, StoreError> {
        let key = keys::root(&self.market.id, &self.of.customer);
        let pseudonym = AttributeValue::S(self.of.pseudonym.to_string());
        let marked = Condition::equals(MOVING, pseudonym);
        writes.push(self.market.store.check_write(&key, marked));
        writes.push(self.count(facts));
        let transacted = self.market.store.transact(writes).await?;
        Ok(matches!(transacted, Transacted::Done))
    }

    /// Both roots, the customer's first; `None` if the move has ended.
    async fn roots(&self) -> Result<Option<[Item; 2]>, StoreError> {
        let of = [&self.of.customer, &self.of.pseudonym];
        let keys = of.map(|one| keys::root(&self.market.id, one));
        let mut roots = self.market.store.get_map(&keys).await?;
        let [own, other] = keys.map(|key| roots.remove(&key));
        Ok(own.zip(other).map(|(own, other)| [own, other]))
    }

    /// The contribution as it is stored under both ids.
    pub(super) async fn stored(&self) -> Result<StoredContribution, StoreError> {
        let mut stored = StoredContribution::default();
        let Some([own, _]) = self.roots().await? else {
            return Ok(stored);
        };
        stored.take(&own)?;
        for one in [&self.of.customer, &self.of.pseudonym] {
            let pk = keys::customer(&self.market.id, one);
            let range = Range::prefix(keys::CHUNK_PREFIX);
            for chunk in self
                .market
                .store
                .query(&pk, &range, Reading::STRONG)
                .await?
            {
                stored.take(&chunk)?;
            }
        }
        Ok(stored)
    }

    /// True if a call of ingest that is under way may still store something of the customer.
    async fn is_being_written(&self) -> Result<bool, StoreError> {
        let now = self.now();
        let of = self.of.customer.clone().into();
        let mut pages = self.market.intake().pages().await?;
        while let Some(markers) = pages.next().await? {
            let names = |marker: &IntakeMarker| marker.customers.contains(&of);
            let is_open = |marker: &IntakeMarker| !marker.closed && !marker.may_go(now);
            if markers
                .iter()
                .any(|marker| is_open(marker) && names(marker))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends the move. False if the roots changed.
    async fn end_move(&self, [own, other]: [Item; 2]) -> Result<bool, StoreError> {
        let (market, store, now) = (self.market, &self.market.store, self.now());
        let key = keys::root(&market.id, &self.of.pseudonym);
        let root = NewItem::copied(&key, &own)
            .without(MOVING)
            .number(VERSION, version(&other) + 1);
        // Whoever should have folded what came late skipped it.
        let late = self.has_late.then(|| self.of.customer.clone().into());
        let changed =
            BTreeSet::from_iter(late.into_iter().chain([self.of.pseudonym.clone().into()]));
        let changed = Vec::from_iter(changed);
        let fold = Work::Fold { next: 0 };
        let fold = Job::new(fold, self.job.run_id.clone(), 0, 0, self.job.at);
        let moved = vec![
            (":t", AttributeValue::Bool(true)),
            (":c", AttributeValue::S(ENDED.to_owned())),
        ];
        let record = keys::erasure(&market.id, self.erasure);
        let mut writes = vec![
            store.delete_write(
                &keys::root(&market.id, &self.of.customer),
                Some(Condition::version(version(&own))),
            ),
            store.put_write(root, Some(Condition::version(version(&other)))),
            store.update_write(
                &record,
                &format!("SET {} = :t, {} = :c", attributes::MOVED, attributes::CUT),
                moved,
                Some(self.cut.stands()),
            ),
            market.jobs().put_job(&fold),
            market.jobs().list_write(&fold, &changed, now),
        ];
        writes.extend(market.settings().raise_rules());
        Ok(matches!(store.transact(writes).await?, Transacted::Done))
    }
}
