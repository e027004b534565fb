//! One marketplace in the table, and what holds for it as a whole. Everything else that is stored of it is in the modules beside
//! this one.

pub mod access;
pub mod access_log;
pub mod campaigns;
pub mod once;
pub mod segments;
pub mod senders;
pub mod settings;

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::attribution::settings::{Settings, Version};
use revtrail_core::figures::fold::FOLD_VERSION;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Day, Instant, Retention};

use crate::market::access::Marketplace;
use crate::table::attributes::meta as attributes;
use crate::table::client::Store;
use crate::table::condition::Condition;
use crate::table::fault::StoreError;
use crate::table::item::{Item, NewItem, number, text};
use crate::table::keys;
use crate::table::write::{Transacted, Write};

/// How often a change that meets another is tried again before the caller is told about it.
pub(crate) const TRIES_MAX: usize = 8;

/// How many days after an earlier release was replaced days begin to be split. No fact is of such a day yet, in whatever zone, and no
/// process of the earlier release runs for as long.
const SPLIT_AFTER_DAYS: u32 = 4;
/// No day that is folded is earlier.
const FIRST_DAY: &str = "0001-01-01";

/// One marketplace in the table. Everything that belongs to a tenant is reached through a `Market`, so no key of another tenant
/// can be made.
#[derive(Debug, Clone)]
pub struct Market {
    pub(crate) store: Store,
    pub(crate) id: MarketplaceId,
    pub(crate) retention: Retention,
}

/// What holds for a marketplace as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meta {
    /// True if the marketplace has an order, or is about to have one.
    pub has_orders: bool,
    /// The time that the figures are as of: all facts accepted before it are in them.
    pub as_of: Option<Instant>,
    /// When `as_of` was last raised because figures moved.
    pub moved_at: Option<Instant>,
    /// All facts accepted before this time are in jobs, or folded.
    pub planned_to: Option<Instant>,
    /// Settings come into force no earlier than this. Figures before it are made, and nobody would find everybody whom a change
    /// touches.
    pub settled_to: Option<Instant>,
    /// True if some daily aggregates are spread over several shards, or were.
    pub spread: bool,
    /// True if some messages carry codes.
    pub coded: bool,
    /// True if some stored contributions may come from an older [`FOLD_VERSION`].
    pub outdated: bool,
    /// How often an erasure said that names which were read before must not be written any more.
    pub erasures: i64,
    /// The day since which what is stored of a day is split: the orders that nobody earned are spread over shards. Of the days before
    /// it they are all in the first shard, where earlier releases put them. `None` where no run has set it yet.
    pub split_from: Option<Day>,
}

/// How creating a marketplace ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The marketplace is new, with the first version of its settings.
    New(Version),
    /// The marketplace existed before.
    Exists(Marketplace),
}

impl Store {
    /// One marketplace in this table.
    pub fn market(&self, id: &MarketplaceId, retention: Retention) -> Market {
        Market {
            store: self.clone(),
            id: id.clone(),
            retention,
        }
    }
}

impl Market {
    /// The id of the marketplace.
    pub fn id(&self) -> &MarketplaceId {
        &self.id
    }

    /// The deployment's retention.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// Creates the marketplace with the first version of its settings.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn create(
        &self,
        name: &str,
        settings: Settings,
        saved_by: &str,
        now: Instant,
    ) -> Result<Created, StoreError> {
        let marketplace = Marketplace {
            marketplace_id: self.id.clone(),
            name: name.to_owned(),
            created_at: now,
        };
        let version = Version {
            version: 1,
            saved_at: now,
            saved_by: saved_by.to_owned(),
            replaced: false,
            settings,
        };
        let writes = vec![
            self.store.put_write(
                NewItem::at(&keys::marketplace(&self.id)).data(&marketplace),
                Some(Condition::absent()),
            ),
            self.settings()
                .put_version(&version, Some(Condition::absent())),
            self.made_now(),
        ];
        match self.store.transact(writes).await? {
            Transacted::Done => Ok(Created::New(version)),
            Transacted::Cancelled(_) => match self.store.marketplace(&self.id).await? {
                Some(marketplace) => Ok(Created::Exists(marketplace)),
                None => Err(StoreError::Contended {
                    op: "creating a marketplace",
                }),
            },
        }
    }

    /// What holds for the marketplace as a whole.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn meta(&self) -> Result<Meta, StoreError> {
        let item = self
            .store
            .get(&keys::meta(&self.id), true)
            .await?
            .unwrap_or_default();
        Ok(Meta {
            split_from: split_from(&item),
            has_orders: item.contains_key(attributes::HAS_ORDERS),
            spread: item.contains_key(attributes::SPREAD),
            coded: item.contains_key(attributes::CODED),
            erasures: number(&item, attributes::ERASURES).unwrap_or(0),
            outdated: text(&item, attributes::FOLD_VERSION) < FOLD_VERSION,
            as_of: Instant::parse(text(&item, attributes::AS_OF)).ok(),
            moved_at: Instant::parse(text(&item, attributes::MOVED_AT)).ok(),
            planned_to: Instant::parse(text(&item, attributes::PLANNED_TO)).ok(),
            settled_to: Instant::parse(text(&item, attributes::SETTLED_TO)).ok(),
        })
    }

    /// A check that no erasure said since [`Market::meta`] was read that names are not to be written any more.
    pub(crate) fn check_erasures(&self, erasures: i64) -> Write {
        let condition = match erasures {
            0 => Condition::without(attributes::ERASURES),
            n => Condition::equals(attributes::ERASURES, AttributeValue::N(n.to_string())),
        };
        self.store.check_write(&keys::meta(&self.id), condition)
    }

    /// A write that records that no contribution comes from an older version, or that a job waits that folds everybody.
    pub(crate) fn raise_fold_version(&self, condition: Option<Condition>) -> Write {
        let values = vec![(":f", AttributeValue::S(FOLD_VERSION.to_owned()))];
        self.store.update_write(
            &keys::meta(&self.id),
            &format!("SET {} = :f", attributes::FOLD_VERSION),
            values,
            condition,
        )
    }

    /// A write that records that nothing of the marketplace comes from an earlier release.
    fn made_now(&self) -> Write {
        let values = vec![
            (":f", AttributeValue::S(FOLD_VERSION.to_owned())),
            (":r", AttributeValue::S(FIRST_DAY.to_owned())),
        ];
        let update = format!(
            "SET {} = :f, {} = :r",
            attributes::FOLD_VERSION,
            attributes::SPLIT_FROM
        );
        self.store
            .update_write(&keys::meta(&self.id), &update, values, None)
    }

    /// Lets days be split from some days after `today` on, in a marketplace of an earlier release.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn split_days(&self, today: Day) -> Result<(), StoreError> {
        let first = today.plus(SPLIT_AFTER_DAYS);
        let values = vec![(":r", AttributeValue::S(first.to_string()))];
        let update = format!("SET {} = :r", attributes::SPLIT_FROM);
        let unset = Condition::without(attributes::SPLIT_FROM);
        let key = keys::meta(&self.id);
        let updated = self.store.update(&key, &update, values, Some(unset));
        updated.await.map(drop)
    }

    /// Marks that the marketplace has orders. From then on, a new version of the settings no longer replaces the older ones.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn mark_orders(&self) -> Result<(), StoreError> {
        self.mark(attributes::HAS_ORDERS).await
    }

    /// Marks that daily aggregates are spread over several shards; called before they are.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn mark_spread(&self) -> Result<(), StoreError> {
        self.mark(attributes::SPREAD).await
    }

    async fn mark(&self, attribute: &str) -> Result<(), StoreError> {
        let values = vec![(":a", AttributeValue::Bool(true))];
        self.store
            .update(
                &keys::meta(&self.id),
                &format!("SET {attribute} = :a"),
                values,
                None,
            )
            .await
            .map(drop)
    }

    /// Raises the time before which all accepted facts are in jobs, or folded.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn raise_planned_to(&self, at: Instant) -> Result<(), StoreError> {
        self.raise(attributes::PLANNED_TO, at, &[(attributes::PLANNED_TO, at)])
            .await
    }

    /// Raises the time before which settings can no longer come into force, whatever the clock of the caller that saves them
    /// shows.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn raise_settled_to(&self, at: Instant) -> Result<(), StoreError> {
        self.raise(attributes::SETTLED_TO, at, &[(attributes::SETTLED_TO, at)])
            .await
    }

    /// Raises the time that the figures are as of, after they moved.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn raise_as_of(&self, at: Instant, now: Instant) -> Result<(), StoreError> {
        let times = [(attributes::AS_OF, at), (attributes::MOVED_AT, now)];
        self.raise(attributes::AS_OF, at, &times).await
    }

    /// Raises both times, if no work waits and no figure moved.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn raise_idle(&self, at: Instant) -> Result<(), StoreError> {
        let times = [(attributes::AS_OF, at), (attributes::PLANNED_TO, at)];
        self.raise(attributes::AS_OF, at, &times).await
    }

    /// Sets some times, if the time of `attribute` is earlier than `at`.
    async fn raise(
        &self,
        attribute: &str,
        at: Instant,
        times: &[(&str, Instant)],
    ) -> Result<(), StoreError> {
        let condition = Condition::absent_or_less(attribute, &at.to_string());
        let set = times.iter().map(|(name, _)| format!("{name} = :{name}"));
        let expression = format!("SET {}", Vec::from_iter(set).join(", "));
        let values = times
            .iter()
            .map(|(name, at)| (format!(":{name}"), AttributeValue::S(at.to_string())));
        let values: Vec<_> = values.collect();
        let values = values
            .iter()
            .map(|(name, at)| (name.as_str(), at.clone()))
            .collect();
        let key = keys::meta(&self.id);
        let updated = self
            .store
            .update(&key, &expression, values, Some(condition));
        updated.await.map(drop)
    }
}

/// See [`Meta::split_from`].
fn split_from(meta: &Item) -> Option<Day> {
    Day::parse(text(meta, attributes::SPLIT_FROM))
}
