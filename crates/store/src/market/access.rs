//! Access keys, and the list of marketplaces.

use std::collections::BTreeMap;

use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{DAY_MS, Instant, Retention};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::market::once::{CallRecord, Once};
use crate::random::{hex, random_hex};
use crate::table::attributes::retention as attributes;
use crate::table::client::{PutOutcome, Range, Reading, Store};
use crate::table::condition::Condition;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, number, sk};
use crate::table::keys;
use crate::table::write::Transacted;

/// What a key may do. The routes themselves say which roles may call them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the interface has their table")]
pub enum Role {
    Admin,
    Marketer,
    Analyst,
    Partner,
    Ingest,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [
        Self::Admin,
        Self::Marketer,
        Self::Analyst,
        Self::Partner,
        Self::Ingest,
    ];

    /// The role's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Marketer => "marketer",
            Self::Analyst => "analyst",
            Self::Partner => "partner",
            Self::Ingest => "ingest",
        }
    }

    /// The role with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// An access key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// The id of the key, to name it by; it is no secret.
    pub key_id: String,
    /// The name of the key, for people.
    pub name: String,
    /// What the key may do.
    pub role: Role,
    /// The marketplaces where the key may do it.
    pub marketplaces: Vec<MarketplaceId>,
    /// When the key was made.
    pub created_at: Instant,
    /// True for a key of the deployment, which is good for every marketplace. No call of the interface makes one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deployment: bool,
}

impl AccessKey {
    /// A new key with a random id.
    pub fn new(name: &str, role: Role, marketplaces: &[MarketplaceId], now: Instant) -> Self {
        Self {
            key_id: format!("k_{}", &random_hex()[..16]),
            name: name.to_owned(),
            role,
            marketplaces: marketplaces.to_vec(),
            created_at: now,
            deployment: false,
        }
    }

    /// A new key of the deployment.
    pub fn of_deployment(now: Instant) -> Self {
        Self {
            deployment: true,
            ..Self::new("the deployment's key", Role::Admin, &[], now)
        }
    }
}

/// A key of the deployment with this secret, as an item of the table in the JSON of the AWS command line. It holds the hash of the
/// secret and nothing else of it.
pub fn deployment_key_item(secret: &str, now: Instant) -> String {
    let key = keys::access_key(&key_hash(secret));
    let item = NewItem::at(&key).data(&AccessKey::of_deployment(now));
    item.texts_as_json()
}

/// The right of a key to a marketplace. It ends when the key is revoked there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRight<'k> {
    /// The marketplace.
    pub marketplace: &'k MarketplaceId,
    /// The id of the key.
    pub key_id: &'k str,
}

/// What became of a key that was to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPut {
    /// The key is on record.
    Made,
    /// Nothing was made, because the same call arrived before.
    Before,
    /// Nothing was made, because the key that makes it was revoked.
    Revoked,
}

/// A key in a marketplace's list: the hash by which a key of a known id is found.
#[derive(Serialize, Deserialize)]
struct ListedKey {
    hash: String,
}

/// A marketplace in the list of marketplaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marketplace {
    /// The id of the marketplace.
    pub marketplace_id: MarketplaceId,
    /// The name of the marketplace, for people.
    pub name: String,
    /// When the marketplace was made.
    pub created_at: Instant,
}

/// What is stored of a key's secret: its SHA-256, in hexadecimal. Keys are random, so no salt is needed.
pub fn key_hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// A retention that differs from the one that the figures were made with.
#[derive(Debug, thiserror::Error)]
#[error(
    "what is stored was made with a retention of {current} days, and figures would be wrong with {given}: begin with {current} again, or with nothing stored"
)]
pub struct OtherRetention {
    current: i64,
    given: i64,
}

impl Store {
    /// Holds a deployment to the retention that its figures were made with. With a shorter one, folds would forget days whose
    /// figures remain, and would count them again once the retention is longer. With a longer one, days would be shown of which a
    /// part is gone.
    ///
    /// # Errors
    /// As every call of the table; the inner error says that the retention is another one.
    pub async fn hold_retention(
        &self,
        retention: Retention,
    ) -> Result<Result<(), OtherRetention>, StoreError> {
        let given = retention.ms() / DAY_MS;
        let key = keys::retention();
        // Every function asks as it starts, and the answer is there but for the first.
        let current = match self.get(&key, true).await? {
            Some(current) => Some(current),
            None => {
                let item = NewItem::at(&key).number(attributes::DAYS, given);
                match self.put(item, Some(Condition::absent())).await? {
                    PutOutcome::Done(_) => None,
                    PutOutcome::Refused(current) => Some(current),
                }
            }
        };
        let current = current.and_then(|current| number(&current, attributes::DAYS));
        let current = current.unwrap_or(given);
        let same = current == given;
        Ok(same.then_some(()).ok_or(OtherRetention { current, given }))
    }

    /// Finds out whether the table answers: it reads one small item.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn answers(&self) -> Result<(), StoreError> {
        self.get(&keys::retention(), false).await.map(drop)
    }

    /// The key whose secret has this hash.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn key(&self, hash: &str) -> Result<Option<AccessKey>, StoreError> {
        self.get(&keys::access_key(hash), true)
            .await?
            .map(|item| data(&item))
            .transpose()
    }

    /// Makes a key with a random secret. The secret is given to the caller once, and not stored. `None` if nothing was made,
    /// because the key of `by` was revoked.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn create_key(
        &self,
        name: &str,
        role: Role,
        marketplaces: &[MarketplaceId],
        by: Option<&KeyRight<'_>>,
        now: Instant,
    ) -> Result<Option<(AccessKey, String)>, StoreError> {
        let secret = format!("rt_{}{}", random_hex(), random_hex());
        let key = AccessKey::new(name, role, marketplaces, now);
        match self.put_key(&key, &secret, None, by).await? {
            KeyPut::Made => Ok(Some((key, secret))),
            KeyPut::Revoked => Ok(None),
            KeyPut::Before => Err(StoreError::Contended {
                op: "creating a key",
            }),
        }
    }

    /// Puts a key on record, with only a hash of its secret, with the record of the call that makes the key, and only if the key
    /// of `by` still has its right. So a key that is revoked while it makes another one makes none.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn put_key(
        &self,
        key: &AccessKey,
        secret: &str,
        once: Option<(&Once, &CallRecord)>,
        by: Option<&KeyRight<'_>>,
    ) -> Result<KeyPut, StoreError> {
        let hash = key_hash(secret);
        let right = by.map(|by| keys::listed_key(by.marketplace, by.key_id));
        let mut writes =
            Vec::from_iter(right.map(|right| self.check_write(&right, Condition::present())));
        writes.push(self.put_write(
            NewItem::at(&keys::access_key(&hash)).data(key),
            Some(Condition::absent()),
        ));
        writes.extend(once.map(|(once, record)| self.call_record_write(once, record)));
        for marketplace in &key.marketplaces {
            let listed = NewItem::at(&keys::listed_key(marketplace, &key.key_id))
                .data(&ListedKey { hash: hash.clone() });
            writes.push(self.put_write(listed, None));
        }
        Ok(match self.transact(writes).await? {
            Transacted::Done => KeyPut::Made,
            Transacted::Cancelled(faults) if by.is_some() && faults[0] == Fault::Condition => {
                KeyPut::Revoked
            }
            Transacted::Cancelled(_) => KeyPut::Before,
        })
    }

    /// The keys of a marketplace.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn keys(&self, marketplace: &MarketplaceId) -> Result<Vec<AccessKey>, StoreError> {
        let mut hashes = Vec::new();
        for item in self
            .query(&keys::key_list(marketplace), &Range::All, Reading::STRONG)
            .await?
        {
            hashes.push(keys::access_key(&data::<ListedKey>(&item)?.hash));
        }
        let mut found: Vec<AccessKey> = self
            .get_all(&hashes, true)
            .await?
            .iter()
            .map(data)
            .collect::<Result<_, _>>()?;
        found.sort_by(|a, b| (a.created_at, &a.key_id).cmp(&(b.created_at, &b.key_id)));
        Ok(found)
    }

    /// Remembers that a key was used in a marketplace, with one write. It is kept for the retention.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn use_key(
        &self,
        marketplace: &MarketplaceId,
        key_id: &str,
        now: Instant,
        retention: Retention,
    ) -> Result<(), StoreError> {
        let item = NewItem::at(&keys::key_use(marketplace, key_id)).data(&now);
        let item = item.expires(now.plus_ms(retention.ms()));
        self.put(item, None).await.map(drop)
    }

    /// When each key of a marketplace was used last, by the id of the key.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn key_uses(
        &self,
        marketplace: &MarketplaceId,
    ) -> Result<BTreeMap<String, Instant>, StoreError> {
        let uses = keys::key_uses(marketplace);
        let items = self.query(&uses, &Range::All, Reading::STRONG).await?;
        let used = |item: &Item| Ok((sk(item).to_owned(), data(item)?));
        items.iter().map(used).collect()
    }

    /// Takes a key's right to a marketplace away; with its last right the key is deleted. False if there is no such key.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn revoke_key(
        &self,
        marketplace: &MarketplaceId,
        key_id: &str,
    ) -> Result<bool, StoreError> {
        let listed = keys::listed_key(marketplace, key_id);
        let Some(item) = self.get(&listed, true).await? else {
            return Ok(false);
        };
        let at = keys::access_key(&data::<ListedKey>(&item)?.hash);
        let mut writes = vec![self.delete_write(&listed, None)];
        if let Some(item) = self.get(&at, true).await? {
            let mut key: AccessKey = data(&item)?;
            let stood = Some(Condition::unchanged(&item));
            key.marketplaces.retain(|id| id != marketplace);
            writes.push(if key.marketplaces.is_empty() {
                self.delete_write(&at, stood)
            } else {
                self.put_write(NewItem::at(&at).data(&key), stood)
            });
        }
        match self.transact(writes).await? {
            Transacted::Done => Ok(true),
            Transacted::Cancelled(_) => Err(StoreError::Contended {
                op: "revoking a key",
            }),
        }
    }

    /// A marketplace in the list; `None` if it is not there.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn marketplace(&self, id: &MarketplaceId) -> Result<Option<Marketplace>, StoreError> {
        self.get(&keys::marketplace(id), true)
            .await?
            .map(|item| data(&item))
            .transpose()
    }

    /// True if the list has this marketplace.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn marketplace_exists(&self, id: &MarketplaceId) -> Result<bool, StoreError> {
        Ok(self.marketplace(id).await?.is_some())
    }

    /// All marketplaces, in the order of their ids.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn marketplaces(&self) -> Result<Vec<Marketplace>, StoreError> {
        self.query(keys::MARKETPLACES, &Range::All, Reading::STRONG)
            .await?
            .iter()
            .map(data)
            .collect()
    }

    /// Gives a marketplace another name.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn rename_marketplace(&self, marketplace: &Marketplace) -> Result<(), StoreError> {
        let item = NewItem::at(&keys::marketplace(&marketplace.marketplace_id)).data(marketplace);
        match self.put(item, Some(Condition::present())).await? {
            PutOutcome::Done(_) => Ok(()),
            // No marketplace is ever deleted, so it never existed, and the same call would end the same.
            PutOutcome::Refused(_) => Err(StoreError::Refused {
                op: "PutItem",
                source: format!("there is no marketplace {}", marketplace.marketplace_id).into(),
            }),
        }
    }
}
