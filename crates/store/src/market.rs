//! One marketplace in the table: its settings and campaigns. Facts, notes, units, figures and runs stand in files of their own.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::campaign::{Campaign, Catalog};
use revtrail_core::id::{CampaignId, MarketplaceId};
use revtrail_core::settings::{Settings, Version, Versions};
use revtrail_core::time::{Instant, Retention};

use crate::access::Marketplace;
use crate::client::{
    Condition, Fault, Item, NewItem, Range, Reading, Store, StoreError, Transacted, Write, data,
    number, text,
};
use crate::keys;
use crate::work::{Redecide, Unit, Work};

/// How often a change that meets another is tried again before the caller is told to.
pub(crate) const TRIES_MAX: usize = 8;

/// One marketplace in the table. Everything that is a tenant's is reached through one, so no key of another can be made.
#[derive(Debug, Clone)]
pub struct Market {
    pub(crate) store: Store,
    pub(crate) id: MarketplaceId,
    pub(crate) retention: Retention,
}

/// What a marketplace is as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meta {
    /// It holds an order, or is about to.
    pub has_orders: bool,
    /// All facts accepted before are in the figures.
    pub as_of: Option<Instant>,
    /// When it was last raised because figures moved.
    pub moved_at: Option<Instant>,
    /// All facts accepted before are in units, or folded.
    pub planned_to: Option<Instant>,
    /// Settings come into force from here on: figures of before are made, and nobody would find all whom a change of them touches.
    pub settled_to: Option<Instant>,
    /// Some sheets lie in several stripes, or did.
    pub striped: bool,
    /// Some messages carry codes.
    pub coded: bool,
}

/// The version of the rules (campaigns and settings) that a fold goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RulesSeen {
    stripe: u8,
    version: i64,
}

impl RulesSeen {
    /// Raised by every change, in all stripes at once.
    pub fn version(self) -> i64 {
        self.version
    }
}

/// What became of saving settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// A new version.
    New(Version),
    /// The newest version says the same.
    Same(Version),
}

/// What became of creating a marketplace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is new, with the first version of its settings.
    New(Version),
    /// There is one.
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
    /// Which marketplace.
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
    /// What the table answers.
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
            self.put_version(&version, Some(Condition::absent())),
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

    fn put_version(&self, version: &Version, condition: Option<Condition>) -> Write {
        let item = NewItem::at(&keys::settings_version(&self.id, version.version)).data(version);
        self.store.put_write(item, condition)
    }

    /// What the marketplace is as a whole.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn meta(&self) -> Result<Meta, StoreError> {
        let item = self
            .store
            .get(&keys::meta(&self.id), true)
            .await?
            .unwrap_or_default();
        Ok(Meta {
            has_orders: item.contains_key("has_orders"),
            striped: item.contains_key("striped"),
            coded: item.contains_key("coded"),
            as_of: Instant::parse(text(&item, "as_of")).ok(),
            moved_at: Instant::parse(text(&item, "moved_at")).ok(),
            planned_to: Instant::parse(text(&item, "planned_to")).ok(),
            settled_to: Instant::parse(text(&item, "settled_to")).ok(),
        })
    }

    /// Marks that the marketplace holds orders: from here on versions of the settings no longer replace each other.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn mark_orders(&self) -> Result<(), StoreError> {
        self.mark("has_orders").await
    }

    /// Marks that sheets lie in several stripes, before they do.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn mark_striped(&self) -> Result<(), StoreError> {
        self.mark("striped").await
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

    /// Raises the time up to which all accepted facts are in units, or folded.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn raise_planned_to(&self, at: Instant) -> Result<(), StoreError> {
        self.raise("planned_to", "SET planned_to = :t", at, None)
            .await
    }

    /// Raises the time before which settings cannot come into force any more, whatever the clock of who saves them shows.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn raise_settled_to(&self, at: Instant) -> Result<(), StoreError> {
        self.raise("settled_to", "SET settled_to = :t", at, None)
            .await
    }

    /// Raises the time that figures are as of, after they moved.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn raise_as_of(&self, at: Instant, now: Instant) -> Result<(), StoreError> {
        let moved = "SET as_of = :t, moved_at = :m";
        self.raise("as_of", moved, at, Some((":m", now))).await
    }

    /// Raises both, where nothing waits and nothing moved.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn raise_idle(&self, at: Instant) -> Result<(), StoreError> {
        self.raise("as_of", "SET as_of = :t, planned_to = :t", at, None)
            .await
    }

    async fn raise(
        &self,
        attribute: &str,
        expression: &str,
        at: Instant,
        beside: Option<(&str, Instant)>,
    ) -> Result<(), StoreError> {
        let condition = Condition::absent_or_less(attribute, &at.to_string());
        let value = |(name, at): (_, Instant)| (name, AttributeValue::S(at.to_string()));
        let values = [(":t", at)].into_iter().chain(beside).map(value).collect();
        let key = keys::meta(&self.id);
        let updated = self.store.update(&key, expression, values, Some(condition));
        updated.await.map(drop)
    }

    /// The version of the rules, to be read before them: a fold under older rules than stand when it is written is refused,
    /// so that no re-decision can miss an order that is on its way into the purchase rows.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn rules_seen(&self, stripe: u8) -> Result<RulesSeen, StoreError> {
        let item = self.store.get(&keys::rules(&self.id, stripe), true).await?;
        Ok(RulesSeen {
            stripe,
            version: item.and_then(|item| number(&item, "v")).unwrap_or(0),
        })
    }

    /// Writes that raise the version of the rules.
    fn raise_rules(&self) -> Vec<Write> {
        let one = || vec![(":one", AttributeValue::N("1".to_owned()))];
        (0..keys::STRIPES)
            .map(|stripe| {
                self.store
                    .update_write(&keys::rules(&self.id, stripe), "ADD v :one", one(), None)
            })
            .collect()
    }

    /// A condition that the rules are those that were seen.
    pub(crate) fn check_rules(&self, seen: RulesSeen) -> Write {
        self.store.check_write(
            &keys::rules(&self.id, seen.stripe),
            Condition::version(seen.version),
        )
    }

    /// All versions of the settings; `None` where the marketplace does not exist.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn versions(&self) -> Result<Option<Versions>, StoreError> {
        let items = self
            .store
            .query(&keys::settings(&self.id), &Range::All, Reading::STRONG)
            .await?;
        Ok(Versions::new(
            items.iter().map(data).collect::<Result<_, _>>()?,
        ))
    }

    /// Saves settings as a new version, unless the newest says the same. Before the marketplace holds its first order the new
    /// version replaces the others; else orders placed from `now` on are decided again.
    ///
    /// # Errors
    /// What the table answers; [`StoreError::Contended`] where others save at the same time.
    pub async fn save_settings(
        &self,
        settings: &Settings,
        saved_by: &str,
        now: Instant,
    ) -> Result<Saved, StoreError> {
        for _ in 0..TRIES_MAX {
            let versions = self.versions().await?.ok_or(StoreError::Contended {
                op: "saving settings",
            })?;
            let newest = versions.newest();
            if newest.settings == *settings {
                return Ok(Saved::Same(newest.clone()));
            }
            let meta = self.meta().await?;
            let settled = meta.settled_to.unwrap_or(now);
            let version = Version {
                version: newest.version + 1,
                saved_at: now.max(newest.saved_at).max(settled),
                saved_by: saved_by.to_owned(),
                replaced: false,
                settings: settings.clone(),
            };
            let mut writes = self.raise_rules();
            writes.push(self.put_version(&version, Some(Condition::absent())));
            if meta.has_orders {
                // Functions may have decided under the version before for as long as they keep it: see the ten minutes of SPEC 4.1.
                let redecide = Redecide {
                    from: version.saved_at,
                    to: None,
                    settings: true,
                };
                writes.push(self.put_unit(&Unit::new(Work::redecide(redecide), None, 0, 0, now)));
                let in_force = version.saved_at.plus_ms(1).to_string();
                let settled = Condition::absent_or_less("settled_to", &in_force);
                writes.push(self.store.check_write(&keys::meta(&self.id), settled));
            } else {
                writes.push(
                    self.store
                        .check_write(&keys::meta(&self.id), Condition::without("has_orders")),
                );
                for old in versions.all().iter().filter(|old| !old.replaced) {
                    writes.push(self.put_version(
                        &Version {
                            replaced: true,
                            ..old.clone()
                        },
                        None,
                    ));
                }
                let refold = Work::Refold { after: None };
                writes.push(self.put_unit(&Unit::new(refold, None, 0, 0, now)));
            }
            if matches!(self.store.transact(writes).await?, Transacted::Done) {
                return Ok(Saved::New(version));
            }
        }
        Err(StoreError::Contended {
            op: "saving settings",
        })
    }

    /// All campaigns, as they stand.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn catalog(&self) -> Result<Catalog, StoreError> {
        self.read_catalog(Reading::STRONG).await
    }

    /// All campaigns as a reader may see them, a change perhaps a moment late: at half the price. Nothing is decided by it.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn catalog_shown(&self) -> Result<Catalog, StoreError> {
        self.read_catalog(Reading::EVENTUAL).await
    }

    async fn read_catalog(&self, reading: Reading) -> Result<Catalog, StoreError> {
        let items = self
            .store
            .query(&keys::campaigns(&self.id), &Range::All, reading)
            .await?;
        Ok(Catalog::new(
            items.iter().map(data).collect::<Result<_, _>>()?,
        ))
    }

    /// All campaigns, as they will stand once what waits in notes is taken in.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn catalog_with(&self, waiting: &[Witnessed]) -> Result<Catalog, StoreError> {
        let mut campaigns: BTreeMap<CampaignId, Campaign> = self
            .catalog()
            .await?
            .iter()
            .map(|(_, campaign)| (campaign.campaign_id.clone(), campaign.clone()))
            .collect();
        for seen in waiting {
            let id = &seen.campaign_id;
            let campaign = campaigns
                .entry(id.clone())
                .or_insert_with(|| Campaign::named_by_id(id.clone()));
            seen.tell(campaign);
        }
        Ok(Catalog::new(campaigns.into_values().collect()))
    }

    /// One campaign.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn campaign(&self, id: &CampaignId) -> Result<Option<Campaign>, StoreError> {
        self.store
            .get(&keys::campaign(&self.id, id), true)
            .await?
            .map(|item| data(&item))
            .transpose()
    }

    /// Replaces what people tell of a campaign; what events told of it stays. Orders that the change touches are decided again.
    /// True where the campaign is new.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn put_campaign(
        &self,
        told: &Campaign,
        now: Instant,
    ) -> Result<(bool, Campaign), StoreError> {
        let change = |stands: Option<&Campaign>| {
            let mut campaign = told.clone();
            if let Some(stands) = stands {
                campaign.first_event_at = stands.first_event_at;
                campaign.channels.clone_from(&stands.channels);
            }
            campaign
        };
        self.change_campaign(&told.campaign_id, change, now).await
    }

    /// Takes in what events tell of a campaign: it is made where it does not exist, its earliest event and its channels
    /// grow. Orders that the change touches are decided again.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn witness_campaign(&self, seen: &Witnessed, now: Instant) -> Result<(), StoreError> {
        let change = |stands: Option<&Campaign>| {
            let mut campaign = stands
                .cloned()
                .unwrap_or_else(|| Campaign::named_by_id(seen.campaign_id.clone()));
            seen.tell(&mut campaign);
            campaign
        };
        self.change_campaign(&seen.campaign_id, change, now)
            .await
            .map(drop)
    }

    async fn change_campaign(
        &self,
        id: &CampaignId,
        change: impl Fn(Option<&Campaign>) -> Campaign,
        now: Instant,
    ) -> Result<(bool, Campaign), StoreError> {
        let key = keys::campaign(&self.id, id);
        for _ in 0..TRIES_MAX {
            let item: Option<Item> = self.store.get(&key, true).await?;
            let stands: Option<Campaign> = item.as_ref().map(data).transpose()?;
            let campaign = change(stands.as_ref());
            if stands.as_ref() == Some(&campaign) {
                return Ok((false, campaign));
            }
            let condition = match item.and_then(|mut item| item.remove("d")) {
                Some(d) => Condition::equals("d", d),
                None => Condition::absent(),
            };
            let mut writes = vec![
                self.store
                    .put_write(NewItem::at(&key).data(&campaign), Some(condition)),
            ];
            // Under the settings that stand when it changes: others may ask for other orders.
            let versions = self.versions().await?;
            if let Some(versions) = &versions {
                let next = keys::settings_version(&self.id, versions.newest().version + 1);
                writes.push(self.store.check_write(&next, Condition::absent()));
            }
            if let Some(redecide) = versions
                .as_ref()
                .and_then(|versions| Redecide::after_change(stands.as_ref(), &campaign, versions))
            {
                writes.push(self.put_unit(&Unit::new(Work::redecide(redecide), None, 0, 0, now)));
                writes.extend(self.raise_rules());
            }
            match self.store.transact(writes).await? {
                Transacted::Done => return Ok((stands.is_none(), campaign)),
                Transacted::Cancelled(faults) => {
                    debug_assert!(faults.iter().any(|fault| *fault != Fault::None))
                }
            }
        }
        Err(StoreError::Contended {
            op: "changing a campaign",
        })
    }
}

/// What events told of a campaign: per channel the earliest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Witnessed {
    /// Which campaign.
    #[serde(rename = "g")]
    pub campaign_id: CampaignId,
    /// The earliest event on each channel.
    #[serde(rename = "t")]
    pub first_at: BTreeMap<revtrail_core::event::Channel, Instant>,
}

impl Witnessed {
    /// True where the catalog holds all this.
    pub fn is_known(&self, catalog: &Catalog) -> bool {
        catalog.get(&self.campaign_id).is_some_and(|campaign| {
            let mut told = campaign.clone();
            self.tell(&mut told);
            told == *campaign
        })
    }

    fn tell(&self, campaign: &mut Campaign) {
        for (&channel, &at) in &self.first_at {
            campaign.witness(at, channel);
        }
    }
}

/// Puts together what events tell of campaigns.
pub fn witnessed<'e>(
    events: impl IntoIterator<Item = &'e revtrail_core::event::Event>,
) -> Vec<Witnessed> {
    let one = |event: &'e revtrail_core::event::Event| Witnessed {
        campaign_id: event.campaign_id.clone(),
        first_at: BTreeMap::from([(event.channel, event.occurred_at)]),
    };
    merge_witnessed(events.into_iter().map(one))
}

/// Puts together what several calls told of campaigns.
pub fn merge_witnessed(all: impl IntoIterator<Item = Witnessed>) -> Vec<Witnessed> {
    let mut merged: BTreeMap<CampaignId, Witnessed> = BTreeMap::new();
    for seen in all {
        match merged.get_mut(&seen.campaign_id) {
            None => drop(merged.insert(seen.campaign_id.clone(), seen)),
            Some(known) => {
                for (channel, at) in seen.first_at {
                    known
                        .first_at
                        .entry(channel)
                        .and_modify(|first| *first = at.min(*first))
                        .or_insert(at);
                }
            }
        }
    }
    merged.into_values().collect()
}
