//! What every call shares: the store, the clock, the retention, and short-lived caches of keys and marketplaces.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::market::access::{AccessKey, Role, key_hash};
use revtrail_store::{Store, StoreError};
use sha2::Sha256;

use crate::caller::Caller;
use revtrail_aws::clock::Clock;

/// How long a cached key is trusted without asking the table, in milliseconds. It is half of the 60 s in which a revocation acts.
const KEY_BELIEVED_MS: i64 = 30_000;
/// The most entries of each cache. An entry takes a few hundred bytes, so all take a few MB. A full cache is emptied.
const REMEMBERED_MAX: usize = 10_000;

/// The state that all calls of the HTTP functions share. It is cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    retention: Retention,
    deployment_hash: String,
    /// A signature under the deployment's key that has signed nothing yet. A clone of it signs each text.
    signature: Hmac<Sha256>,
    keys: Mutex<HashMap<String, (Instant, AccessKey)>>,
    marketplaces: Mutex<HashSet<MarketplaceId>>,
}

impl App {
    /// The state over a store. `deployment_key` is the admin key that is good for every marketplace. Every function of a
    /// deployment has it, so what one function signs another can verify, and so can a process that starts tomorrow.
    ///
    /// # Panics
    /// Never, since HMAC accepts keys of any length.
    pub fn new(store: Store, clock: Clock, retention: Retention, deployment_key: &str) -> Self {
        let signature = Hmac::new_from_slice(deployment_key.as_bytes());
        Self(Arc::new(Inner {
            store,
            clock,
            retention,
            deployment_hash: key_hash(deployment_key),
            signature: signature.expect("HMAC takes keys of any length"),
            keys: Mutex::default(),
            marketplaces: Mutex::default(),
        }))
    }

    /// The state of a function on Lambda, from its environment.
    ///
    /// # Errors
    /// `BadEnvironment` where a variable is missing or makes no sense.
    #[cfg(feature = "lambda")]
    pub fn from_env() -> Result<Self, revtrail_aws::environment::BadEnvironment> {
        use revtrail_aws::environment;
        let key = environment::admin_key_from_env()?;
        Ok(Self::new(
            environment::store_from_env()?,
            Clock::REAL,
            environment::retention_from_env()?,
            &key,
        ))
    }

    /// The store, which reads and writes the table.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The retention of the deployment.
    pub fn retention(&self) -> Retention {
        self.0.retention
    }

    /// The current time of the clock. Handlers use `Call::now` instead, which stays the same during a call.
    pub fn now(&self) -> Instant {
        self.0.clock.now()
    }

    /// A signature of these parts under the deployment's key, each preceded by its length. The caller may add more parts.
    pub(crate) fn sign(&self, parts: &[&str]) -> Hmac<Sha256> {
        let mut signature = self.0.signature.clone();
        let length = |n: usize| (n as u64).to_be_bytes();
        signature.update(&length(parts.len()));
        for part in parts {
            signature.update(&length(part.len()));
            signature.update(part.as_bytes());
        }
        signature
    }

    /// A secret that is derived from the deployment's key and a random text. It is not stored, since it can be derived again.
    pub fn secret(&self, purpose: &str, of: &str) -> String {
        let parts = ["secret", purpose, of];
        hex::encode(self.sign(&parts).finalize().into_bytes())
    }

    /// The caller who has this secret; `None` where nobody has it. Unknown secrets are not cached, so a new key works at once.
    pub(crate) async fn caller(
        &self,
        secret: &str,
        now: Instant,
    ) -> Result<Option<Caller>, StoreError> {
        let hash = key_hash(secret);
        if self.0.deployment_hash == hash {
            return Ok(Some(Caller {
                key_id: "deployment".to_owned(),
                name: "the deployment's key".to_owned(),
                role: Role::Admin,
                deployment: true,
                marketplaces: Vec::new(),
            }));
        }
        let believed = {
            let keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
            keys.get(&hash)
                .filter(|(read_at, _)| (0..KEY_BELIEVED_MS).contains(&(now.ms() - read_at.ms())))
                .map(|(_, key)| key.clone())
        };
        let key = match believed {
            Some(key) => Some(key),
            None => self.read_key(hash, now).await?,
        };
        Ok(key.map(|key| Caller {
            key_id: key.key_id,
            name: key.name,
            role: key.role,
            deployment: false,
            marketplaces: key.marketplaces,
        }))
    }

    async fn read_key(&self, hash: String, now: Instant) -> Result<Option<AccessKey>, StoreError> {
        let found = self.0.store.key(&hash).await?;
        let mut keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match &found {
            Some(key) => {
                if keys.len() >= REMEMBERED_MAX {
                    keys.clear();
                }
                keys.insert(hash, (now, key.clone()));
            }
            None => {
                keys.remove(&hash);
            }
        }
        Ok(found)
    }

    /// True where the marketplace exists. A marketplace that exists is cached, since marketplaces are never deleted.
    pub(crate) async fn marketplace_exists(&self, id: &MarketplaceId) -> Result<bool, StoreError> {
        let known = &self.0.marketplaces;
        if known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(id)
        {
            return Ok(true);
        }
        let exists = self.0.store.marketplace_exists(id).await?;
        if exists {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= REMEMBERED_MAX {
                known.clear();
            }
            known.insert(id.clone());
        }
        Ok(exists)
    }
}
