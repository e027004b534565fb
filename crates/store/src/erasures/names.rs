//! Where else a customer is named: intake markers, lists of jobs, segments, rejected rows.
//!
//! A customer who has something again is a new customer, whose name stays where they are to be folded.

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::value::address::Recipient;

use super::{Erasing, LOOKS_MAX, StepEnd, rejects};
use crate::jobs::job::EraseStep;
use crate::table::attributes::{COMPRESSED, DATA, listed_batch, segment};
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::contention::backoff;
use crate::table::fault::StoreError;
use crate::table::item::{Item, NewItem, data, key_of, sk, text, version};
use crate::table::keys;
use crate::table::write::{Transacted, Write};

/// How many lists or chunks are read at once; each has at most some hundred KB.
const LISTS_AT_ONCE: i32 = 8;

/// What names customers by a list.
#[derive(Clone, Copy)]
enum Named {
    Job,
    Segment,
}

/// A list as it is to be, and what is written beside it.
type Rewritten = (Vec<Recipient>, Vec<Write>);

impl Erasing<'_> {
    /// Some items of a partition after a place, and the next place.
    async fn some(
        &self,
        pk: &str,
        after: Option<String>,
    ) -> Result<(Vec<Item>, Option<String>), StoreError> {
        let (store, some) = (&self.market.store, Some(LISTS_AT_ONCE));
        store
            .page(pk, &Range::All, Reading::STRONG, after, some)
            .await
    }

    /// True if the customer has something: whoever erases is then no longer the one to say who they are.
    async fn is_there(&self) -> Result<bool, StoreError> {
        let pk = keys::customer(&self.market.id, &self.of.customer);
        let store = &self.market.store;
        let page = store.page(&pk, &Range::All, Reading::STRONG, None, Some(1));
        Ok(!page.await?.0.is_empty())
    }

    /// Puts another value in the place of one that was read, unless somebody was faster. True if it was put.
    async fn replace(
        &self,
        item: &Item,
        value: &impl serde::Serialize,
        more: Vec<Write>,
    ) -> Result<bool, StoreError> {
        let new = NewItem::copied(&key_of(item), item)
            .without(DATA)
            .without(COMPRESSED)
            .packed(value);
        let store = &self.market.store;
        let mut writes = vec![store.put_write(new, Some(Condition::unchanged(item)))];
        writes.extend(more);
        let made = store.transact(writes).await?;
        Ok(matches!(made, Transacted::Done))
    }

    /// Takes the name out of intake markers and lists of jobs. The walk over the lists is made again after the count was raised, until
    /// it finds nothing: whoever read the name before and would write it to another list is refused then.
    pub(super) async fn lists(
        &self,
        mut shard: usize,
        mut after: Option<String>,
        mut found: bool,
    ) -> Result<StepEnd, StoreError> {
        loop {
            if (shard, &after) == (0, &None) {
                found = false;
                self.market.raise_erasures().await?;
                if !self.markers().await? {
                    return Ok(StepEnd::Waits);
                }
                self.unpark().await?;
            }
            while shard < keys::LIST_SHARDS.len() {
                let lists = keys::job_lists(&self.market.id, &keys::LIST_SHARDS[shard..=shard]);
                let (items, next) = self.some(&lists, after).await?;
                for item in items {
                    found |= self.rewrite(Named::Job, item).await?;
                }
                shard += usize::from(next.is_none());
                after = next;
                if self.is_over() {
                    return Ok(StepEnd::OutOfTime(EraseStep::Lists {
                        shard,
                        after,
                        found,
                    }));
                }
            }
            if !found {
                return Ok(StepEnd::Done);
            }
            (shard, after) = (0, None);
        }
    }

    /// Takes the name out of the intake markers. False if one must be waited for.
    async fn markers(&self) -> Result<bool, StoreError> {
        for attempt in 0..LOOKS_MAX {
            let mut waits = false;
            for shard in 0..keys::MARKER_SHARDS {
                let pk = keys::markers(&self.market.id, shard);
                let mut after = None;
                loop {
                    let store = &self.market.store;
                    let page = store.page(&pk, &Range::All, Reading::STRONG, after, None);
                    let (items, next) = page.await?;
                    for item in items {
                        waits |= !self.marker(&item).await?;
                    }
                    match next {
                        Some(next) => after = Some(next),
                        None => break,
                    }
                }
            }
            if !waits {
                return Ok(true);
            }
            backoff(attempt).await;
        }
        Ok(false)
    }

    /// False if the marker must be looked at again: its call is under way, or it changed.
    async fn marker(&self, item: &Item) -> Result<bool, StoreError> {
        let mut marker: crate::ledger::intake::IntakeMarker = data(item)?;
        let of = self.of.customer.clone().into();
        if !marker.customers.contains(&of) || self.is_there().await? {
            return Ok(true);
        }
        if !marker.closed && !marker.may_go(self.now()) {
            return Ok(false);
        }
        // All that the call stored has moved, and whoever it is now is to be folded by a job of its own.
        marker.customers.remove(&of);
        self.replace(item, &marker, Vec::new()).await
    }

    /// Takes the name out of the parked customers.
    async fn unpark(&self) -> Result<(), StoreError> {
        if self.is_there().await? {
            return Ok(());
        }
        let of = self.of.customer.clone().into();
        self.market.parked().unpark(&of).await
    }

    /// Rewrites a list until nobody was faster. True if it had the name, or is gone by now.
    async fn rewrite(&self, kind: Named, mut item: Item) -> Result<bool, StoreError> {
        for attempt in 0..LOOKS_MAX {
            let changed = match kind {
                Named::Job => self.without_name(&item).await?,
                Named::Segment => self.one_less(&item).await?,
            };
            let Some((list, beside)) = changed else {
                return Ok(attempt > 0);
            };
            if self.replace(&item, &list, beside).await? {
                return Ok(true);
            }
            backoff(attempt).await;
            match self.market.store.get(&key_of(&item), true).await? {
                Some(changed) => item = changed,
                None => return Ok(true),
            }
        }
        Err(StoreError::Contended {
            op: "erasing a name from a list",
        })
    }

    /// The list of a job with the pseudonym in the place of the name, because a job is worked off by places in its list. `None` if it
    /// does not have the name.
    async fn without_name(&self, item: &Item) -> Result<Option<Rewritten>, StoreError> {
        let mut list: Vec<Recipient> = data(item)?;
        let of = Some(&self.of.customer);
        let named = list.iter_mut().filter(|one| one.customer() == of);
        let named: Vec<&mut Recipient> = named.collect();
        if named.is_empty() || self.is_there().await? {
            return Ok(None);
        }
        for one in named {
            *one = self.of.pseudonym.clone().into();
        }
        Ok(Some((list, Vec::new())))
    }

    /// The chunk of a segment without the customer, and its segment with one customer less. `None` if it does not have the name.
    async fn one_less(&self, item: &Item) -> Result<Option<Rewritten>, StoreError> {
        let chunk: Vec<Recipient> = data(item)?;
        let kept = chunk
            .iter()
            .filter(|one| one.customer() != Some(&self.of.customer));
        let kept: Vec<Recipient> = kept.cloned().collect();
        if kept.len() == chunk.len() {
            return Ok(None);
        }
        let store = &self.market.store;
        let id = keys::segment_of(sk(item)).unwrap_or_default();
        let segment = keys::segment(&self.market.id, id);
        let there = store.get(&segment, true).await?.is_some();
        let count = there.then(|| {
            let one_less = vec![(":n", AttributeValue::N("-1".to_owned()))];
            let expression = format!("ADD {} :n", segment::CUSTOMERS);
            let there = Some(Condition::present());
            store.update_write(&segment, &expression, one_less, there)
        });
        Ok(Some((kept, Vec::from_iter(count))))
    }

    /// Deletes the what-ifs: their results name customers, and are kept for a day only. A worker of one finds that it is gone.
    async fn what_ifs(&self) -> Result<(), StoreError> {
        let store = &self.market.store;
        let all = keys::look_aheads(&self.market.id, keys::LookAheadKind::WhatIfs);
        for attempt in 0..LOOKS_MAX {
            let mut left = false;
            for root in store.query(&all, &Range::All, Reading::STRONG).await? {
                let chunks = keys::look_ahead_chunks(&self.market.id, sk(&root));
                let chunks = store.query(&chunks, &Range::All, Reading::STRONG).await?;
                let unchanged = Some(Condition::version(version(&root)));
                let mut gone = vec![store.delete_write(&key_of(&root), unchanged)];
                gone.extend(
                    chunks
                        .iter()
                        .map(|chunk| store.delete_write(&key_of(chunk), None)),
                );
                left |= !matches!(store.transact(gone).await?, Transacted::Done);
            }
            if !left {
                return Ok(());
            }
            backoff(attempt).await;
        }
        Err(StoreError::Contended {
            op: "erasing the what-ifs",
        })
    }

    /// Takes the customer out of what-ifs, exports and all segments.
    pub(super) async fn segments(&self, mut after: Option<String>) -> Result<StepEnd, StoreError> {
        if after.is_none() {
            self.what_ifs().await?;
            self.market.exports().remove_naming().await?;
        }
        let chunks = keys::segment_customers(&self.market.id);
        loop {
            let (items, next) = self.some(&chunks, after).await?;
            for item in items {
                self.rewrite(Named::Segment, item).await?;
            }
            after = next;
            if after.is_none() {
                return Ok(StepEnd::Done);
            }
            if self.is_over() {
                return Ok(StepEnd::OutOfTime(EraseStep::Segments { after }));
            }
        }
    }

    /// Takes the rows that name the customer out of what was rejected of files.
    pub(super) async fn rejects(&self, mut after: Option<String>) -> Result<StepEnd, StoreError> {
        let batches = keys::batch_list(&self.market.id);
        loop {
            let (items, next) = self.some(&batches, after).await?;
            for item in items {
                self.rejects_of(text(&item, listed_batch::BATCH)).await?;
            }
            after = next;
            if after.is_none() {
                return Ok(StepEnd::Done);
            }
            if self.is_over() {
                return Ok(StepEnd::OutOfTime(EraseStep::Rejects { after }));
            }
        }
    }

    /// A row may lie in two pieces of a chunk of a file, so the pieces of a chunk are looked at together. They are written once, so
    /// nobody else changes them. Whoever has the files is to write the results of the batch again.
    async fn rejects_of(&self, batch: &str) -> Result<(), StoreError> {
        let pk = keys::batch_rejects(&self.market.id, batch);
        let store = &self.market.store;
        let mut pieces = store
            .query(&pk, &Range::All, Reading::STRONG)
            .await?
            .into_iter()
            .peekable();
        let chunk_of = |item: &Item| keys::rejects_chunk(sk(item)).map(str::to_owned);
        while let Some(first) = pieces.next() {
            let chunk = chunk_of(&first);
            let mut together = vec![first];
            while let Some(more) = pieces.next_if(|item| chunk_of(item) == chunk) {
                together.push(more);
            }
            let texts = together
                .iter()
                .map(data)
                .collect::<Result<Vec<String>, _>>()?;
            let Some(kept) = rejects::without(&texts.concat(), self.of.customer.as_str()) else {
                continue;
            };
            // What is kept is no longer than what was there, so it is cut at the same places, or ends before them.
            let mut rest = kept.as_str();
            let mut writes = vec![self.market.batches().outdate_results(batch, self.now())];
            for (place, (item, text)) in together.iter().zip(&texts).enumerate() {
                let is_last = place + 1 == texts.len();
                let cut = if is_last {
                    rest.len()
                } else {
                    rest.floor_char_boundary(text.len())
                };
                let (piece, more) = rest.split_at(cut);
                rest = more;
                let new = NewItem::copied(&key_of(item), item)
                    .without(DATA)
                    .without(COMPRESSED)
                    .packed(&piece);
                writes.push(store.put_write(new, Some(Condition::present())));
            }
            if !matches!(store.transact(writes).await?, Transacted::Done) {
                return Err(StoreError::Contended {
                    op: "erasing rejected rows",
                });
            }
        }
        Ok(())
    }
}
