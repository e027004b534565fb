//! The cut: an erasure erases what the table has of the customer when the call that asks for it is answered. What comes later is a new
//! customer's (rule 5).
//!
//! The clocks of processes differ, and a call of ingest reads nothing that tells it of an erasure. So the call that asks writes a list:
//! the sort keys of what there is, and the promotions of which there is an account. From the mark on the roots, which it makes first,
//! until the end of the move, nobody folds the customer. So no contribution mixes what is in the list with what is not.
//!
//! A copy of a fact that is in the list is a copy of that fact until it has moved, and a promotion account moves as a whole. Records that
//! wait for a promotion have no list: those that come until the move has ended are erased with the others.
//!
//! Where there is no list, everything is erased that is there when the move ends, because nobody was answered: the call that asked died;
//! or the customer has more facts than a timeline may have, and whoever asks is told to come again until most of them have moved.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::value::id::CustomerId;
use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};

use super::{Erasures, OpenErasure};
use crate::ledger::facts::TIMELINE_BYTES_MAX;
use crate::random::random_hex;
use crate::table::attributes::erasure as attributes;
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::StoreError;
use crate::table::item::{NewItem, data, item_bytes, key_of, sk};
use crate::table::keys::{self, CustomerItem};
use crate::table::write::Transacted;

/// How many names a chunk of the list has. A name has at most 130 bytes, each of which may be escaped, so a chunk has at most 263 KB of
/// an item's 400.
const NAMES_AT_ONCE: usize = 1_000;

/// What is erased of a customer.
#[derive(Debug, Default)]
pub(super) enum Cut {
    /// Everything that is there when the move ends.
    #[default]
    Everything,
    /// What a list of this name has.
    Listed(String, ErasedNames),
}

/// How it ended to fix what is erased.
pub(super) enum CutFixed {
    Fixed,
    /// Somebody was faster: it must be looked at again.
    Overtaken,
    /// There is too much to be listed.
    TooMuch,
}

/// A list of what is erased.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ErasedNames {
    /// The sort keys of events, orders, links and mentions.
    #[serde(rename = "s")]
    sort_keys: BTreeSet<String>,
    /// The promotions of accounts.
    #[serde(rename = "p")]
    promotions: BTreeSet<String>,
}

impl Cut {
    /// The name of the list, if there is one.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Everything => None,
            Self::Listed(name, _) => Some(name),
        }
    }

    /// True if an event, an order, a link or a mention with this sort key is erased.
    pub(super) fn has(&self, sort_key: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Listed(_, names) => names.sort_keys.contains(sort_key),
        }
    }

    /// True if the account of this promotion is erased.
    pub(super) fn has_account_of(&self, promotion: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Listed(_, names) => names.promotions.contains(promotion),
        }
    }

    /// What a write to the record requires: that this is still what is erased, and that the move has not ended.
    pub(super) fn stands(&self) -> Condition {
        match self {
            Self::Everything => Condition::without(attributes::CUT),
            Self::Listed(name, _) => {
                Condition::equals(attributes::CUT, AttributeValue::S(name.clone()))
            }
        }
    }
}

impl ErasedNames {
    fn chunks(&self) -> Vec<Self> {
        let mut chunks = Vec::new();
        let sort_keys = Vec::from_iter(&self.sort_keys);
        chunks.extend(sort_keys.chunks(NAMES_AT_ONCE).map(|some| Self {
            sort_keys: some.iter().copied().cloned().collect(),
            ..Self::default()
        }));
        let promotions = Vec::from_iter(&self.promotions);
        chunks.extend(promotions.chunks(NAMES_AT_ONCE).map(|some| Self {
            promotions: some.iter().copied().cloned().collect(),
            ..Self::default()
        }));
        chunks
    }
}

impl Erasures<'_> {
    /// Fixes what an erasure erases, unless that is fixed already.
    ///
    /// # Errors
    /// [`StoreError::Contended`] also if the customer got new facts since: they are erased by an erasure that begins after this one.
    pub(super) async fn fix_cut(
        self,
        open: &OpenErasure,
        now: Instant,
    ) -> Result<CutFixed, StoreError> {
        let there = self.names_of(&open.of.customer).await?;
        match (self.cut(open).await?, there) {
            (Cut::Everything, None) => Ok(CutFixed::TooMuch),
            (Cut::Everything, Some(names)) => {
                let is_put = self.put_cut(&open.id, &names, now).await?;
                Ok(if is_put {
                    CutFixed::Fixed
                } else {
                    CutFixed::Overtaken
                })
            }
            (Cut::Listed(_, erased), Some(names))
                if names.sort_keys.is_subset(&erased.sort_keys)
                    && names.promotions.is_subset(&erased.promotions) =>
            {
                Ok(CutFixed::Fixed)
            }
            (Cut::Listed(..), _) => Err(StoreError::Contended {
                op: "erasing new facts of a customer who is being erased",
            }),
        }
    }

    /// What the table has of a customer; `None` if it is too much.
    async fn names_of(self, customer: &CustomerId) -> Result<Option<ErasedNames>, StoreError> {
        let (id, mut bytes) = (&self.market.id, 0);
        let pieces = keys::customer(id, customer);
        let Some(mut sort_keys) = self.sort_keys(&pieces, &mut bytes).await? else {
            return Ok(None);
        };
        sort_keys.retain(|key| {
            !matches!(
                keys::customer_item(key),
                Some(CustomerItem::Root | CustomerItem::Chunk(_))
            )
        });
        let accounts = keys::accounts(id, customer);
        let promotions = self.sort_keys(&accounts, &mut bytes).await?;
        Ok(promotions.map(|promotions| ErasedNames {
            sort_keys,
            promotions,
        }))
    }

    /// The sort keys of a partition; `None` if so many bytes were read that it is too much.
    async fn sort_keys(
        self,
        pk: &str,
        bytes: &mut usize,
    ) -> Result<Option<BTreeSet<String>>, StoreError> {
        let (mut keys, mut after) = (BTreeSet::new(), None);
        loop {
            let store = &self.market.store;
            let page = store.page(pk, &Range::All, Reading::STRONG, after, None);
            let (items, next) = page.await?;
            *bytes += items.iter().map(item_bytes).sum::<usize>();
            if *bytes > TIMELINE_BYTES_MAX {
                return Ok(None);
            }
            keys.extend(items.iter().map(|item| sk(item).to_owned()));
            match next {
                Some(next) => after = Some(next),
                None => return Ok(Some(keys)),
            }
        }
    }

    /// Writes a list and then its name into the record. False if the record has one already, or the move has ended.
    async fn put_cut(
        self,
        erasure: &str,
        names: &ErasedNames,
        now: Instant,
    ) -> Result<bool, StoreError> {
        let (id, store) = (&self.market.id, &self.market.store);
        let (record, cut) = (keys::erasure(id, erasure), random_hex());
        let gone_at = now.plus_ms(self.market.retention.keep_ms());
        for (n, chunk) in names.chunks().iter().enumerate() {
            let item = NewItem::at(&keys::erasure_cut(id, erasure, &cut, n));
            // A call that froze must not write names when the erasure is done.
            let writes = vec![
                store.put_write(item.packed(chunk).expires(gone_at), None),
                store.check_write(&record, Cut::Everything.stands()),
            ];
            if !matches!(store.transact(writes).await?, Transacted::Done) {
                return Ok(false);
            }
        }
        let set = format!("SET {} = :c", attributes::CUT);
        let values = vec![(":c", AttributeValue::S(cut))];
        let none_yet = Some(Cut::Everything.stands());
        store.update(&record, &set, values, none_yet).await
    }

    /// What an erasure erases.
    pub(super) async fn cut(self, open: &OpenErasure) -> Result<Cut, StoreError> {
        let Some(cut) = &open.cut else {
            return Ok(Cut::Everything);
        };
        let lists = keys::erasure_cuts(&self.market.id, &open.id);
        let range = Range::prefix(cut);
        let mut names = ErasedNames::default();
        let store = &self.market.store;
        for item in store.query(&lists, &range, Reading::STRONG).await? {
            let chunk: ErasedNames = data(&item)?;
            names.sort_keys.extend(chunk.sort_keys);
            names.promotions.extend(chunk.promotions);
        }
        Ok(Cut::Listed(cut.clone(), names))
    }

    /// Deletes the lists of an erasure. Ids of facts may name their customer.
    pub(super) async fn forget_cuts(self, erasure: &str) -> Result<(), StoreError> {
        let lists = keys::erasure_cuts(&self.market.id, erasure);
        let store = &self.market.store;
        for item in store.query(&lists, &Range::All, Reading::STRONG).await? {
            store.delete(&key_of(&item)).await?;
        }
        Ok(())
    }
}
