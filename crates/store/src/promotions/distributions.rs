//! Distributions: messages that carried a code, and how far they got (rule 6).
//!
//! One event of a message says that the message carries a code. Other events, before or after, may say what became of the message
//! without repeating the code. So a message's codes are remembered before its events are looked through, and an event is stored
//! before its message is asked for codes. Of two events that come at once, one sees the other.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::attribution::event::{Channel, Event, EventKind};
use revtrail_core::value::address::Recipient;
use revtrail_core::value::id::{CampaignId, CustomerId, MessageId, PromotionId, VoucherCode};
use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::market::Market;
use crate::random::hex;
use crate::table::attributes::{TTL_ATTRIBUTE, VERSION};
use crate::table::attributes::{figures, meta};
use crate::table::change::Changes;
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::contention::{TRIES_MAX, backoff};
use crate::table::fault::StoreError;
use crate::table::item::{Item, NewItem, data, expired, key_of, pk, version};
use crate::table::keys::{self, Key, promotion_shard_of};
use crate::table::write::{Transacted, Write};

/// How many messages are moved on at the same time.
const AT_ONCE: usize = 16;

/// A message with a code, and how far it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// To whom the message was sent.
    #[serde(rename = "customer_id")]
    pub recipient: Recipient,
    /// The campaign of the message.
    pub campaign_id: CampaignId,
    /// The channel of the message.
    pub channel: Channel,
    /// The id of the message.
    pub message_id: Option<MessageId>,
    /// The code that the message carried.
    pub voucher_code: VoucherCode,
    /// The time of that event of the message that came in first.
    pub at: Instant,
    /// True if the message was delivered.
    #[serde(default)]
    pub delivered: bool,
    /// True if the message bounced or failed.
    #[serde(default)]
    pub failed: bool,
}

impl Distribution {
    /// How far the message got: `delivered`, else `failed`, else `sent`.
    pub fn state(&self) -> &'static str {
        match (self.delivered, self.failed) {
            (true, _) => "delivered",
            (false, true) => "failed",
            (false, false) => "sent",
        }
    }
}

/// A code of a promotion.
type Coded = (PromotionId, VoucherCode);

/// Messages of one marketplace that carried a code. Reached by [`Market::distributions`].
#[derive(Debug, Clone, Copy)]
pub struct Distributions<'m> {
    market: &'m Market,
}

impl Market {
    /// Messages of one marketplace that carried a code.
    pub fn distributions(&self) -> Distributions<'_> {
        Distributions { market: self }
    }
}

impl Distributions<'_> {
    /// Takes in what stored events say about messages with a code. Taking in the same events again changes nothing.
    ///
    /// # Errors
    /// As every call of the table; the same call may be made again.
    pub async fn distribute(self, events: &[&Event], now: Instant) -> Result<(), StoreError> {
        // Once it is marked, the item is only read, because one item bears only a thousand writes a second.
        if !self.market.meta().await?.coded {
            if events.iter().all(|event| coded(event).is_none()) {
                return Ok(());
            }
            self.mark_coded().await?;
        }
        let mut messages: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
        for event in events {
            messages.entry(message_name(event)).or_default().push(event);
        }
        let markers = messages
            .keys()
            .map(|message| keys::message(&self.market.id, message));
        let markers = self
            .market
            .store
            .get_all(&markers.collect::<Vec<_>>(), true)
            .await?;
        let mut known: BTreeMap<String, BTreeSet<Coded>> = BTreeMap::new();
        for item in markers.iter().filter(|item| !expired(item, now)) {
            known.insert(pk(item).to_owned(), data(item)?);
        }
        let moves = messages.iter().map(|(message, events)| {
            let codes = known.remove(&keys::message(&self.market.id, message).pk);
            self.move_message(message, codes.unwrap_or_default(), events, now)
        });
        stream::iter(moves.collect::<Vec<_>>())
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Moves a message on in the lists of all codes that it carried.
    async fn move_message(
        self,
        message: &str,
        mut codes: BTreeSet<Coded>,
        events: &[&Event],
        now: Instant,
    ) -> Result<(), StoreError> {
        let submitted: BTreeSet<Coded> = events.iter().filter_map(|event| coded(event)).collect();
        if !submitted.is_subset(&codes) {
            codes = self
                .remember_codes(message, &submitted, events, now)
                .await?;
        }
        for coded in &codes {
            self.move_on(message, coded, events, now).await?;
        }
        Ok(())
    }

    /// Adds to the codes that a message carried, and returns all of them.
    async fn remember_codes(
        self,
        message: &str,
        submitted: &BTreeSet<Coded>,
        events: &[&Event],
        now: Instant,
    ) -> Result<BTreeSet<Coded>, StoreError> {
        let key = keys::message(&self.market.id, message);
        for attempt in 0..TRIES_MAX {
            let item = self.market.store.get(&key, true).await?;
            let mut codes: BTreeSet<Coded> =
                item.as_ref().map(data).transpose()?.unwrap_or_default();
            codes.extend(submitted.iter().cloned());
            let mut changes = Changes::default();
            let version = item.as_ref().map_or(0, version);
            changes
                .at(&key)
                .data(&codes)
                .expires(self.last_gone(events))
                .next_version_since(version, now);
            match self
                .market
                .store
                .transact(changes.writes(&self.market.store))
                .await?
            {
                Transacted::Done => return Ok(codes),
                Transacted::Cancelled(_) => backoff(attempt).await,
            }
        }
        Err(StoreError::Contended {
            op: "remembering a code",
        })
    }

    /// When the latest of some events is no longer kept.
    fn last_gone(self, events: &[&Event]) -> Instant {
        let last = events.iter().map(|event| event.occurred_at).max();
        last.unwrap_or(Instant::from_ms(0))
            .plus_ms(self.market.retention.keep_ms())
    }

    /// Moves a message with a code on by what its events say, and the counts with it. The call that creates the distribution
    /// looks through all events of the message.
    async fn move_on(
        self,
        message: &str,
        (promotion, code): &Coded,
        events: &[&Event],
        now: Instant,
    ) -> Result<(), StoreError> {
        let Some(first) = events.first() else {
            return Ok(());
        };
        let name = distribution_name(message, code);
        let key = keys::distribution(&self.market.id, promotion, &name);
        let mut kinds: BTreeSet<EventKind> = events.iter().map(|event| event.kind).collect();
        let mut looked = false;
        for attempt in 0..TRIES_MAX {
            let item = self.market.store.get(&key, true).await?;
            let current: Option<Distribution> = item.as_ref().map(data).transpose()?;
            if current.is_none() && !looked {
                kinds.extend(self.kinds_of(first, message, now).await?);
                looked = true;
            }
            let mut distribution = current.clone().unwrap_or_else(|| Distribution {
                recipient: first.recipient.clone(),
                campaign_id: first.campaign_id.clone(),
                channel: first.channel,
                message_id: first.message_id.clone(),
                voucher_code: code.clone(),
                at: first.occurred_at,
                delivered: false,
                failed: false,
            });
            distribution.delivered |= kinds.contains(&EventKind::Delivered);
            distribution.failed |=
                kinds.contains(&EventKind::Bounced) || kinds.contains(&EventKind::Failed);
            if current.as_ref() == Some(&distribution) {
                return Ok(());
            }
            let expires = self.last_gone(events);
            let mut changes = Changes::default();
            let version = item.as_ref().map_or(0, version);
            changes
                .at(&key)
                .data(&distribution)
                .expires(expires)
                .next_version_since(version, now);
            // The message keeps its place in the list, by the event that came in first, as long as its latest known event is
            // kept.
            let listed =
                keys::listed_distribution(&self.market.id, promotion, distribution.at, &name);
            changes.at(&listed).expires(expires);
            let state = |distribution: Option<&Distribution>| {
                distribution.map_or("sent", Distribution::state)
            };
            let (was, is) = (state(current.as_ref()), state(Some(&distribution)));
            let total =
                keys::promotion_total(&self.market.id, promotion_shard_of(&name), promotion);
            for (state, attribute) in [
                ("delivered", figures::DELIVERED),
                ("failed", figures::NOT_DELIVERED),
            ] {
                let n = i64::from(is == state) - i64::from(was == state);
                changes.at(&total).add(attribute, n);
            }
            match self
                .market
                .store
                .transact(changes.writes(&self.market.store))
                .await?
            {
                Transacted::Done => return Ok(()),
                Transacted::Cancelled(_) => backoff(attempt).await,
            }
        }
        Err(StoreError::Contended {
            op: "counting a message",
        })
    }

    /// The kinds of all stored events of a message.
    async fn kinds_of(
        self,
        event: &Event,
        message: &str,
        now: Instant,
    ) -> Result<BTreeSet<EventKind>, StoreError> {
        let pk = keys::customer(&self.market.id, &event.recipient);
        let prefix = keys::EVENT_PREFIX;
        let range = Range::prefix(prefix);
        let mut kinds = BTreeSet::new();
        for item in self
            .market
            .store
            .query(&pk, &range, Reading::STRONG)
            .await?
        {
            let stored = self.market.facts().event_at(&item, &event.recipient)?;
            if !expired(&item, now) && message_name(&stored) == message {
                kinds.insert(stored.kind);
            }
        }
        Ok(kinds)
    }

    /// The writes that give messages to a pseudonym, one transaction each. The names of a message and of its distributions follow
    /// from its customer, so all of them change.
    pub(crate) async fn moves(
        self,
        events: &[Event],
        pseudonym: &CustomerId,
    ) -> Result<Vec<Vec<Write>>, StoreError> {
        let store = &self.market.store;
        let named = events.iter().map(|event| (message_name(event), event));
        let messages: BTreeMap<String, &Event> = named.collect();
        let key = |message: &str| keys::message(&self.market.id, message);
        let names: Vec<Key> = messages.keys().map(|name| key(name)).collect();
        let found = store.get_map(&names).await?;
        let mut moves = Vec::new();
        for (name, event) in messages {
            let Some(item) = found.get(&key(&name)) else {
                continue;
            };
            let new = message_name(&Event {
                recipient: pseudonym.clone().into(),
                ..event.clone()
            });
            let codes: BTreeSet<Coded> = data(item)?;
            let mut all = codes.clone();
            if let Some(there) = store.get(&key(&new), true).await? {
                all.extend(data::<BTreeSet<Coded>>(&there)?);
            }
            let moved = NewItem::copied(&key(&new), item).data(&all);
            let mut writes = vec![store.put_write(moved, None), self.delete_read(item)];
            for (promotion, code) in &codes {
                let names = [&name, &new].map(|message| distribution_name(message, code));
                writes.extend(self.moved(promotion, &names, pseudonym).await?);
            }
            moves.push(writes);
        }
        Ok(moves)
    }

    /// The writes that give a distribution another name. Where the pseudonym has one of that name, because an event of the message
    /// came late, both become one, and are counted as one.
    async fn moved(
        self,
        promotion: &PromotionId,
        [old, new]: &[String; 2],
        pseudonym: &CustomerId,
    ) -> Result<Vec<Write>, StoreError> {
        let (store, id) = (&self.market.store, &self.market.id);
        let key = keys::distribution(id, promotion, new);
        let item = store
            .get(&keys::distribution(id, promotion, old), true)
            .await?;
        let Some(item) = item else {
            return Ok(Vec::new());
        };
        let moved: Distribution = data(&item)?;
        let there = store.get(&key, true).await?;
        let before: Option<Distribution> = there.as_ref().map(data).transpose()?;
        let mut after = before.clone().unwrap_or_else(|| moved.clone());
        after.recipient = pseudonym.clone().into();
        after.delivered |= moved.delivered;
        after.failed |= moved.failed;
        let entry = |name: &str, at| keys::listed_distribution(id, promotion, at, name);
        let mut listed = NewItem::at(&entry(new, after.at));
        if let Some(expires) = item.get(TTL_ATTRIBUTE) {
            listed = listed.set(TTL_ATTRIBUTE, expires.clone());
        }
        let version_there = there.as_ref().map_or(0, version);
        let kept = NewItem::copied(&key, there.as_ref().unwrap_or(&item))
            .data(&after)
            .number(VERSION, version_there + 1);
        let mut writes = vec![
            store.put_write(kept, Some(Condition::version(version_there))),
            self.delete_read(&item),
            store.put_write(listed, None),
            store.delete_write(&entry(old, moved.at), None),
        ];
        if let Some(before) = before {
            let counted = |state| {
                let is = |one: &Distribution| i64::from(one.state() == state);
                AttributeValue::N((is(&after) - is(&before) - is(&moved)).to_string())
            };
            let counts = vec![(":md", counted("delivered")), (":mf", counted("failed"))];
            let total = keys::promotion_total(id, promotion_shard_of(old), promotion);
            let add = format!(
                "ADD {} :md, {} :mf",
                figures::DELIVERED,
                figures::NOT_DELIVERED
            );
            writes.push(store.update_write(&total, &add, counts, None));
        }
        Ok(writes)
    }

    /// A write that deletes an item as it was read.
    fn delete_read(self, item: &Item) -> Write {
        let read = Condition::version(version(item));
        self.market.store.delete_write(&key_of(item), Some(read))
    }

    /// Marks that some messages carry codes, before any code is remembered. From then on, all other events are checked for codes.
    async fn mark_coded(self) -> Result<(), StoreError> {
        let values = vec![(":a", AttributeValue::Bool(true))];
        let key = keys::meta(&self.market.id);
        let set = format!("SET {} = :a", meta::CODED);
        let marked = self.market.store.update(&key, &set, values, None);
        marked.await.map(drop)
    }
}

/// The code that an event carries.
fn coded(event: &Event) -> Option<Coded> {
    event.promotion_id.clone().zip(event.voucher_code.clone())
}

/// The name of a message: a hash, because a key can hold only one id.
fn message_name(event: &Event) -> String {
    hash(&[
        &event.recipient.to_string(),
        event.campaign_id.as_str(),
        event.channel.name(),
        event.message_id.as_ref().map_or("", MessageId::as_str),
    ])
}

fn distribution_name(message: &str, code: &VoucherCode) -> String {
    hash(&[message, code.as_str()])
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}
