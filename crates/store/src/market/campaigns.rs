//! The campaigns of a marketplace: what people said about them, and what their events said.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use revtrail_core::attribution::campaign::{Campaign, Catalog};
use revtrail_core::attribution::reach::Reattribution;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::time::Instant;

use super::{Market, TRIES_MAX};
use crate::jobs::job::{Job, Work};
use crate::table::client::{PutOutcome, Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, key_of};
use crate::table::keys::{self, Key};
use crate::table::write::Transacted;

/// Campaigns of one marketplace. Reached by [`Market::campaigns`].
#[derive(Debug, Clone, Copy)]
pub struct Campaigns<'m> {
    market: &'m Market,
}

impl Market {
    /// Campaigns of one marketplace.
    pub fn campaigns(&self) -> Campaigns<'_> {
        Campaigns { market: self }
    }
}

impl Campaigns<'_> {
    /// All campaigns, as they are now.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn catalog(self) -> Result<Catalog, StoreError> {
        self.read_catalog(Reading::STRONG).await
    }

    /// All campaigns as a reader may see them. A change may show a moment late, at half the price. No decision uses this.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn catalog_shown(self) -> Result<Catalog, StoreError> {
        self.read_catalog(Reading::EVENTUAL).await
    }

    async fn read_catalog(self, reading: Reading) -> Result<Catalog, StoreError> {
        let items = self
            .market
            .store
            .query(&keys::campaigns(&self.market.id), &Range::All, reading)
            .await?;
        Ok(Catalog::new(
            items.iter().map(data).collect::<Result<_, _>>()?,
        ))
    }

    /// All campaigns, as they will be once everything that waits in intake markers is taken in.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn catalog_with(self, waiting: &[Observed]) -> Result<Catalog, StoreError> {
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
            seen.add_to(campaign);
        }
        Ok(Catalog::new(campaigns.into_values().collect()))
    }

    /// One campaign.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn campaign(self, id: &CampaignId) -> Result<Option<Campaign>, StoreError> {
        self.market
            .store
            .get(&keys::campaign(&self.market.id, id), true)
            .await?
            .map(|item| data(&item))
            .transpose()
    }

    /// Replaces what people said about a campaign; what its events said stays. Orders that the change touches are decided again.
    /// True if the campaign is new.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn put_campaign(
        self,
        submitted: &Campaign,
        now: Instant,
    ) -> Result<(bool, Campaign), StoreError> {
        let change = |_: Option<&Campaign>| Ok::<_, Infallible>(submitted.clone());
        match self
            .submit_campaign(&submitted.campaign_id, change, now)
            .await?
        {
            Ok(changed) => Ok(changed),
            Err(never) => match never {},
        }
    }

    /// Does the same with what `submit` makes of the current campaign.
    ///
    /// # Errors
    /// As every call of the table; the inner error is that of `submit`.
    pub async fn submit_campaign<E>(
        self,
        id: &CampaignId,
        submit: impl Fn(Option<&Campaign>) -> Result<Campaign, E>,
        now: Instant,
    ) -> Result<Result<(bool, Campaign), E>, StoreError> {
        let change = |current: Option<&Campaign>| Ok(with_learned(current, submit(current)?));
        self.change_campaign(id, change, now).await
    }

    /// What the same would do: the campaign as it would be, and which orders would be decided again, if any. Nothing is written.
    ///
    /// # Errors
    /// As every call of the table; the inner error is that of `submit`.
    pub async fn weigh_campaign<E>(
        self,
        id: &CampaignId,
        submit: impl Fn(Option<&Campaign>) -> Result<Campaign, E>,
    ) -> Result<Result<(Campaign, Option<Reattribution>), E>, StoreError> {
        let current = self.campaign(id).await?;
        let campaign = match submit(current.as_ref()) {
            Ok(submitted) => with_learned(current.as_ref(), submitted),
            Err(refused) => return Ok(Err(refused)),
        };
        let versions = self.market.settings().versions().await?;
        let reach = versions.and_then(|versions| {
            Reattribution::after_change(current.as_ref(), &campaign, &versions)
        });
        Ok(Ok((campaign, reach)))
    }

    /// Takes in what events say about a campaign. A campaign that does not exist is made. Its earliest event becomes earlier, and
    /// its channels become more. Orders that the change touches are decided again.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn observe_campaign(self, seen: &Observed, now: Instant) -> Result<(), StoreError> {
        let change = |current: Option<&Campaign>| {
            let mut campaign = current
                .cloned()
                .unwrap_or_else(|| Campaign::named_by_id(seen.campaign_id.clone()));
            seen.add_to(&mut campaign);
            Ok::<_, Infallible>(campaign)
        };
        self.change_campaign(&seen.campaign_id, change, now)
            .await
            .map(drop)
    }

    /// Notes what the stored events of a call say about their campaigns, so that explanations know it before a run takes it in, and
    /// need not read what every call said. Usually the campaigns are known, and nothing is written.
    ///
    /// # Errors
    /// As every call of the table: the same may be noted again.
    pub async fn note_observed(self, observed: &[Observed]) -> Result<(), StoreError> {
        let (store, id) = (&self.market.store, &self.market.id);
        let keys: Vec<Key> = observed
            .iter()
            .flat_map(|seen| {
                let campaign = &seen.campaign_id;
                [
                    keys::campaign(id, campaign),
                    keys::observed_campaign(id, campaign),
                ]
            })
            .collect();
        // What an eventual read finds is there. What it does not find yet is noted a second time.
        let found = store.get_all(&keys, false).await?;
        let found: HashMap<Key, Item> = found
            .into_iter()
            .map(|item| (key_of(&item), item))
            .collect();
        for (seen, keys) in observed.iter().zip(keys.chunks(2)) {
            let campaign: Option<Campaign> = found.get(&keys[0]).map(data).transpose()?;
            if campaign.is_some_and(|known| seen.is_in(&known)) {
                continue;
            }
            let mut noted = found.get(&keys[1]).cloned();
            for attempt in 0..TRIES_MAX {
                let before: Option<Observed> = noted.as_ref().map(data).transpose()?;
                let after = merge_observed(before.iter().chain([seen]).cloned());
                let [after] = &after[..] else { break };
                if before.as_ref() == Some(after) {
                    break;
                }
                let unchanged = Condition::as_read(noted.as_ref());
                let item = NewItem::at(&keys[1]).data(after);
                match store.put(item, Some(unchanged)).await? {
                    PutOutcome::Done(_) => break,
                    PutOutcome::Refused(_) if attempt + 1 == TRIES_MAX => {
                        return Err(StoreError::Contended {
                            op: "noting what events say about a campaign",
                        });
                    }
                    PutOutcome::Refused(_) => noted = store.get(&keys[1], true).await?,
                }
            }
        }
        Ok(())
    }

    /// What is noted of events that no run has taken in yet.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn noted(self) -> Result<Vec<Observed>, StoreError> {
        let notes = self.notes().await?;
        notes.iter().map(data).collect()
    }

    async fn notes(self) -> Result<Vec<Item>, StoreError> {
        let pk = keys::observed_campaigns(&self.market.id);
        let store = &self.market.store;
        store.query(&pk, &Range::All, Reading::STRONG).await
    }

    /// Deletes the notes that the campaigns themselves say by now.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn forget_known(self) -> Result<(), StoreError> {
        let notes = self.notes().await?;
        if notes.is_empty() {
            return Ok(());
        }
        let catalog = self.catalog().await?;
        for note in notes {
            if data::<Observed>(&note)?.is_known(&catalog) {
                let read = Condition::unchanged(&note);
                let store = &self.market.store;
                let delete = store.delete_write(&key_of(&note), Some(read));
                store.transact(vec![delete]).await?;
            }
        }
        Ok(())
    }

    async fn change_campaign<E>(
        self,
        id: &CampaignId,
        change: impl Fn(Option<&Campaign>) -> Result<Campaign, E>,
        now: Instant,
    ) -> Result<Result<(bool, Campaign), E>, StoreError> {
        let key = keys::campaign(&self.market.id, id);
        for _ in 0..TRIES_MAX {
            let item: Option<Item> = self.market.store.get(&key, true).await?;
            let current: Option<Campaign> = item.as_ref().map(data).transpose()?;
            let campaign = match change(current.as_ref()) {
                Ok(campaign) => campaign,
                Err(refused) => return Ok(Err(refused)),
            };
            if current.as_ref() == Some(&campaign) {
                return Ok(Ok((false, campaign)));
            }
            let condition = Condition::as_read(item.as_ref());
            let mut writes = vec![
                self.market
                    .store
                    .put_write(NewItem::at(&key).data(&campaign), Some(condition)),
            ];
            // The reach is worked out under the settings of the moment of the change, because other settings may reach other
            // orders.
            let versions = self.market.settings().versions().await?;
            if let Some(versions) = &versions {
                let next = keys::settings_version(&self.market.id, versions.newest().version + 1);
                writes.push(self.market.store.check_write(&next, Condition::absent()));
            }
            if let Some(reattribute) = versions.as_ref().and_then(|versions| {
                Reattribution::after_change(current.as_ref(), &campaign, versions)
            }) {
                writes.push(self.market.jobs().put_job(&Job::new(
                    Work::reattribute(reattribute),
                    None,
                    0,
                    0,
                    now,
                )));
                writes.extend(self.market.settings().raise_rules());
            }
            match self.market.store.transact(writes).await? {
                Transacted::Done => return Ok(Ok((current.is_none(), campaign))),
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

/// A campaign as people state it, with what its events said of the current one.
fn with_learned(current: Option<&Campaign>, mut submitted: Campaign) -> Campaign {
    if let Some(current) = current {
        submitted.first_event_at = current.first_event_at;
        submitted.channels.clone_from(&current.channels);
    }
    submitted
}

/// What events said about a campaign: the earliest event of each channel.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Observed {
    /// The id of the campaign.
    #[serde(rename = "g")]
    pub campaign_id: CampaignId,
    /// The time of the earliest event on each channel.
    #[serde(rename = "t")]
    pub first_at: BTreeMap<revtrail_core::attribution::event::Channel, Instant>,
}

impl Observed {
    /// True if the catalog already has all of this.
    pub fn is_known(&self, catalog: &Catalog) -> bool {
        catalog
            .get(&self.campaign_id)
            .is_some_and(|campaign| self.is_in(campaign))
    }

    fn is_in(&self, campaign: &Campaign) -> bool {
        let mut more = campaign.clone();
        self.add_to(&mut more);
        more == *campaign
    }

    fn add_to(&self, campaign: &mut Campaign) {
        for (&channel, &at) in &self.first_at {
            campaign.observe(at, channel);
        }
    }
}

/// Puts together what events say about campaigns.
pub fn observed<'e>(
    events: impl IntoIterator<Item = &'e revtrail_core::attribution::event::Event>,
) -> Vec<Observed> {
    let one = |event: &'e revtrail_core::attribution::event::Event| Observed {
        campaign_id: event.campaign_id.clone(),
        first_at: BTreeMap::from([(event.channel, event.occurred_at)]),
    };
    merge_observed(events.into_iter().map(one))
}

/// Puts together what several calls said about campaigns.
pub fn merge_observed(all: impl IntoIterator<Item = Observed>) -> Vec<Observed> {
    let mut merged: BTreeMap<CampaignId, Observed> = BTreeMap::new();
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
