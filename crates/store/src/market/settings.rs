//! Versions of a marketplace's settings, and the version of the rules that campaigns and settings make together.

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::attribution::reach::Reattribution;
use revtrail_core::attribution::settings::{Replay, Settings, Version, Versions};
use revtrail_core::value::time::{Day, Instant};

use super::{Market, TRIES_MAX, split_from};
use crate::jobs::job::{Job, Work};
use crate::table::attributes::{VERSION, meta as attributes};
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::StoreError;
use crate::table::item::{self, Item, NewItem, data};
use crate::table::keys;
use crate::table::write::{Transacted, Write};

/// The version of the rules (campaigns and settings) that a fold uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RulesSeen {
    shard: u8,
    version: i64,
    /// See [`Meta::split_from`](crate::market::Meta::split_from). It is set once, days before it matters.
    pub(crate) split_from: Option<Day>,
}

impl RulesSeen {
    /// The version, which every change raises in all shards at once.
    pub fn version(self) -> i64 {
        self.version
    }
}

/// The result of saving settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The newest version: a new one, or the old one if it says the same.
    pub version: Version,
    /// The settings of the newest version before the call.
    pub before: Settings,
}

/// The versions of the settings of one marketplace, and of the rules that settings and campaigns make. Reached by
/// [`Market::settings`].
#[derive(Debug, Clone, Copy)]
pub struct SettingsVersions<'m> {
    market: &'m Market,
}

impl Market {
    /// The versions of the settings of the marketplace, and of the rules that settings and campaigns make.
    pub fn settings(&self) -> SettingsVersions<'_> {
        SettingsVersions { market: self }
    }
}

impl SettingsVersions<'_> {
    pub(super) fn put_version(self, version: &Version, condition: Option<Condition>) -> Write {
        let item =
            NewItem::at(&keys::settings_version(&self.market.id, version.version)).data(version);
        self.market.store.put_write(item, condition)
    }

    /// A write of a replay that is applied after so many others. It fails where another replay was applied in the meantime.
    pub(crate) fn put_replay(self, number: usize, replay: &Replay) -> Write {
        let item = NewItem::at(&keys::replay(&self.market.id, number)).data(replay);
        self.market.store.put_write(item, Some(Condition::absent()))
    }

    /// The version of the rules; it must be read before the rules. A fold is refused if the rules changed before it is written,
    /// so that no re-attribution can miss an order that is on its way into the purchase rows.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn rules_seen(self, shard: u8) -> Result<RulesSeen, StoreError> {
        let id = &self.market.id;
        let (rules, meta) = (keys::rules(id, shard), keys::meta(id));
        let items = [rules.clone(), meta.clone()];
        let items = self.market.store.get_map(&items).await?;
        Ok(RulesSeen {
            shard,
            version: items.get(&rules).map_or(0, item::version),
            split_from: items.get(&meta).and_then(split_from),
        })
    }

    /// Writes that raise the version of the rules.
    pub(crate) fn raise_rules(self) -> Vec<Write> {
        let one = || vec![(":one", AttributeValue::N("1".to_owned()))];
        (0..keys::AGGREGATE_SHARDS)
            .map(|shard| {
                self.market.store.update_write(
                    &keys::rules(&self.market.id, shard),
                    &format!("ADD {VERSION} :one"),
                    one(),
                    None,
                )
            })
            .collect()
    }

    /// A condition that the rules are still those that were seen.
    pub(crate) fn check_rules(self, seen: RulesSeen) -> Write {
        self.market.store.check_write(
            &keys::rules(&self.market.id, seen.shard),
            Condition::version(seen.version),
        )
    }

    /// All versions of the settings, with their replays; `None` where the marketplace does not exist.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn versions(self) -> Result<Option<Versions>, StoreError> {
        let items = self
            .market
            .store
            .query(
                &keys::settings(&self.market.id),
                &Range::All,
                Reading::STRONG,
            )
            .await?;
        // The keys of versions are digits, so the replays come after them.
        let is_version = |item: &Item| !item::sk(item).starts_with(keys::REPLAY_PREFIX);
        let (versions, replays) = items.split_at(items.partition_point(is_version));
        let versions = versions.iter().map(data).collect::<Result<_, _>>()?;
        let replays = replays.iter().map(data).collect::<Result<_, _>>()?;
        Ok(Versions::new(versions).map(|versions| versions.with_replays(replays)))
    }

    /// All versions of the settings of a marketplace that exists, which is made together with its first version.
    ///
    /// # Errors
    /// As every call of the table; [`StoreError::Unreadable`] if no version is in force, which no write of revtrail leaves
    /// behind.
    pub async fn versions_there(self) -> Result<Versions, StoreError> {
        let none = || StoreError::Unreadable {
            family: keys::settings(&self.market.id),
            source: "no version of the settings is in force".into(),
        };
        self.versions().await?.ok_or_else(none)
    }

    /// Saves what `change` makes of the newest version as a new version, unless both say the same. Before the marketplace has its
    /// first order, the new version replaces the others. Afterwards, orders placed from `now` on are decided again.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again. [`StoreError::Contended`] if others save at
    /// the same time. The inner error is that of `change`.
    pub async fn save_settings<E>(
        self,
        change: impl Fn(&Version) -> Result<Settings, E>,
        saved_by: &str,
        now: Instant,
    ) -> Result<Result<Saved, E>, StoreError> {
        for _ in 0..TRIES_MAX {
            let versions = self.versions_there().await?;
            let newest = versions.newest();
            let settings = match change(newest) {
                Ok(settings) => settings,
                Err(refused) => return Ok(Err(refused)),
            };
            let before = newest.settings.clone();
            if before == settings {
                let version = newest.clone();
                return Ok(Ok(Saved { version, before }));
            }
            let meta = self.market.meta().await?;
            let settled = meta.settled_to.unwrap_or(now);
            let version = Version {
                version: newest.version + 1,
                saved_at: now.max(newest.saved_at).max(settled),
                saved_by: saved_by.to_owned(),
                replaced: false,
                settings,
            };
            let mut writes = self.raise_rules();
            writes.push(self.put_version(&version, Some(Condition::absent())));
            if meta.has_orders {
                // Functions may have decided under the old version for as long as they keep it: see the ten minutes of rule 4.1.
                let reattribute = Reattribution {
                    from: version.saved_at,
                    to: None,
                    settings: true,
                    replay: false,
                };
                writes.push(self.market.jobs().put_job(&Job::new(
                    Work::reattribute(reattribute),
                    None,
                    0,
                    0,
                    now,
                )));
                let in_force = version.saved_at.plus_ms(1).to_string();
                let settled = Condition::absent_or_less(attributes::SETTLED_TO, &in_force);
                writes.push(
                    self.market
                        .store
                        .check_write(&keys::meta(&self.market.id), settled),
                );
            } else {
                writes.push(self.market.store.check_write(
                    &keys::meta(&self.market.id),
                    Condition::without(attributes::HAS_ORDERS),
                ));
                for old in versions.all().iter().filter(|old| !old.replaced) {
                    writes.push(self.put_version(
                        &Version {
                            replaced: true,
                            ..old.clone()
                        },
                        None,
                    ));
                }
                let reattribute_all = Work::ReattributeAll { after: None };
                writes.push(self.market.jobs().put_job(&Job::new(
                    reattribute_all,
                    None,
                    0,
                    0,
                    now,
                )));
            }
            if matches!(self.market.store.transact(writes).await?, Transacted::Done) {
                return Ok(Ok(Saved { version, before }));
            }
        }
        Err(StoreError::Contended {
            op: "saving settings",
        })
    }
}
