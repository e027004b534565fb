//! What every call shares: the store, the clock, the retention, and short-lived caches of keys and marketplaces.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use revtrail_core::attribution::settings::Settings;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::market::Market;
use revtrail_store::market::access::{AccessKey, key_hash};
use revtrail_store::{Store, StoreError};
use sha2::Sha256;

use crate::access;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::rate::Rates;
use crate::share::Shares;
use revtrail_aws::clock::Clock;

/// How long a cached key is trusted without asking the table, in milliseconds. It is half of the 60 s in which a revocation acts.
const KEY_BELIEVED_MS: i64 = 30_000;
/// The most entries of each cache. An entry takes a few hundred bytes, so all take a few MB. A full cache is emptied.
const REMEMBERED_MAX: usize = 10_000;
/// The most certificates that are kept. Amazon signs with one a region at a time.
const CERTIFICATES_MAX: usize = 64;

/// Puts a file of redemptions with this name into the inbox of a marketplace.
pub type TakeFile = Box<
    dyn Fn(MarketplaceId, String, Bytes) -> BoxFuture<'static, Result<(), Problem>> + Send + Sync,
>;

/// Makes the address that is good for one file of the bucket from this time on, by the file's key; or says why it
/// cannot.
pub type SignAddress = Box<dyn Fn(&str, Instant) -> Result<String, String> + Send + Sync>;

/// Reads what an address of Amazon holds; or says why it cannot.
pub type Fetch = Box<dyn Fn(String) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync>;

/// Where files are sent to by whoever was given an address for one.
pub enum Uploads {
    /// To this service itself.
    Here,
    /// To a bucket, by addresses that it knows to be ours.
    Bucket(SignAddress),
}

/// The state that all calls of the HTTP functions share. It is cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    retention: Retention,
    /// The deployment's key, signed under itself; `None` where the deployment's keys stand in the table, as others do. A secret is
    /// compared with it in constant time.
    deployment_tag: Option<Vec<u8>>,
    /// A signature under the deployment's key that has signed nothing yet. A clone of it signs each text.
    signature: Hmac<Sha256>,
    keys: Mutex<KnownKeys>,
    /// A key that is no secret, as that of the sample is not.
    open_key: OnceLock<String>,
    take_file: OnceLock<TakeFile>,
    uploads: OnceLock<Uploads>,
    fetch: OnceLock<Fetch>,
    /// The certificates that have proven a post, by their addresses.
    certificates: Mutex<HashMap<String, Bytes>>,
    /// Set where nothing is kept but in memory.
    in_memory: AtomicBool,
    marketplaces: Mutex<HashSet<MarketplaceId>>,
    /// The settings that were read lately for webhooks, each with the time of the call that read them.
    settings: Mutex<HashMap<MarketplaceId, (Instant, Arc<Settings>)>>,
    /// What was written down lately, each with the time: what became of posts of senders, and which keys were used.
    news: Mutex<HashMap<String, Instant>>,
    shares: Shares,
    rates: OnceLock<Rates>,
}

/// The keys that were read lately, by the hash of their secret, each with the time of the call that read it.
#[derive(Default)]
struct KnownKeys {
    read: HashMap<String, (Instant, AccessKey)>,
    /// How many revocations this process has seen. A key that was read while one was under way is not kept.
    revocations: u64,
}

/// The parts that are signed of a key, to compare it with the deployment's.
const DEPLOYMENT_KEY: &str = "the deployment's key";

impl App {
    /// The state over a store. `deployment_key` is the admin key that is good for every marketplace. Every function of a
    /// deployment has it, so what one function signs another can verify, and so can a process that starts tomorrow.
    ///
    /// # Panics
    /// Never, since HMAC accepts keys of any length.
    pub fn new(store: Store, clock: Clock, retention: Retention, deployment_key: &str) -> Self {
        let tag = |signature: &Hmac<Sha256>| {
            let tag = signed(signature, &[DEPLOYMENT_KEY, deployment_key]);
            tag.finalize().into_bytes().to_vec()
        };
        Self::signing(store, clock, retention, deployment_key, |signature| {
            Some(tag(signature))
        })
    }

    /// The state over a store whose table holds the deployment's keys, by their hashes. What is signed is signed under a key of its
    /// own, which every function of the deployment has and which is good for no call.
    ///
    /// # Panics
    /// Never, since HMAC accepts keys of any length.
    pub fn with_keys_in_table(
        store: Store,
        clock: Clock,
        retention: Retention,
        signing_key: &str,
    ) -> Self {
        Self::signing(store, clock, retention, signing_key, |_| None)
    }

    fn signing(
        store: Store,
        clock: Clock,
        retention: Retention,
        signing_key: &str,
        deployment_tag: impl Fn(&Hmac<Sha256>) -> Option<Vec<u8>>,
    ) -> Self {
        let signature = Hmac::new_from_slice(signing_key.as_bytes());
        let signature: Hmac<Sha256> = signature.expect("HMAC takes keys of any length");
        Self(Arc::new(Inner {
            store,
            clock,
            retention,
            deployment_tag: deployment_tag(&signature),
            signature,
            keys: Mutex::default(),
            open_key: OnceLock::new(),
            take_file: OnceLock::new(),
            uploads: OnceLock::new(),
            fetch: OnceLock::new(),
            certificates: Mutex::default(),
            in_memory: AtomicBool::new(false),
            marketplaces: Mutex::default(),
            settings: Mutex::default(),
            news: Mutex::default(),
            shares: Shares::default(),
            rates: OnceLock::new(),
        }))
    }

    /// The state of a function on Lambda, from its environment. The retention must be the one that the figures are made with.
    ///
    /// # Errors
    /// `BadEnvironment` where a variable is missing or makes no sense, `OtherRetention`, and the errors of the table.
    #[cfg(feature = "lambda")]
    pub async fn from_env() -> Result<Self, crate::lambda::Error> {
        use revtrail_aws::environment;
        let (store, retention) = (
            environment::store_from_env()?,
            environment::retention_from_env()?,
        );
        let key = environment::signing_key_from_env()?;
        let calls_per_second = environment::calls_per_second_from_env()?;
        store.hold_retention(retention).await??;
        let app = Self::with_keys_in_table(store, Clock::REAL, retention, &key);
        if let Some(calls) = calls_per_second {
            app.hold_keys_to(calls);
        }
        Ok(app)
    }

    /// Holds each key to so many calls a second in this process, and twice as many at once. Without it, keys have no rate.
    pub fn hold_keys_to(&self, calls_per_second: NonZeroU32) {
        drop(self.0.rates.set(Rates::new(calls_per_second)));
    }

    /// Counts a call of a key.
    ///
    /// # Errors
    /// 429 where the key has made too many of late.
    pub(crate) fn count_call(&self, key_id: &str, now: Instant) -> Result<(), Problem> {
        let rates = self.0.rates.get();
        match rates.is_none_or(|rates| rates.allows(key_id, now)) {
            true => Ok(()),
            false => Err(Problem::key_calls_too_often()),
        }
    }

    /// Says that a key is no secret: the page where people sign in offers it.
    pub fn offer_key(&self, key: &str) {
        drop(self.0.open_key.set(key.to_owned()));
    }

    /// The key that is offered to everybody, if there is one.
    pub fn offered_key(&self) -> Option<&str> {
        self.0.open_key.get().map(String::as_str)
    }

    /// Says that this process has an inbox, and how a file is put into it.
    pub fn take_files(&self, take: TakeFile) {
        drop(self.0.take_file.set(take));
    }

    /// How a file is put into the inbox of this process, if it has one.
    pub fn file_taker(&self) -> Option<&TakeFile> {
        self.0.take_file.get()
    }

    /// Says where files are sent to.
    pub fn take_uploads(&self, uploads: Uploads) {
        drop(self.0.uploads.set(uploads));
    }

    /// Where files are sent to, if there is anywhere.
    pub(crate) fn uploads(&self) -> Option<&Uploads> {
        self.0.uploads.get()
    }

    /// Says how this process reads what an address of Amazon holds.
    pub fn fetch_by(&self, fetch: Fetch) {
        drop(self.0.fetch.set(fetch));
    }

    /// What an address of Amazon holds.
    ///
    /// # Errors
    /// 503 where it cannot be read, so that the sender posts again.
    pub(crate) async fn fetch(&self, url: &str) -> Result<Bytes, Problem> {
        let fetched = match self.0.fetch.get() {
            Some(fetch) => fetch(url.to_owned()).await,
            None => Err("this process reads no addresses".to_owned()),
        };
        // The address may hold a token.
        fetched.map_err(|why| {
            tracing::warn!(why, "an address of Amazon was not read");
            Problem::busy()
        })
    }

    /// The certificate at an address: the one that is kept, else the one that is there.
    ///
    /// # Errors
    /// As [`App::fetch`].
    pub(crate) async fn certificate(&self, url: &str) -> Result<Bytes, Problem> {
        let kept = self.certificates().get(url).cloned();
        match kept {
            Some(kept) => Ok(kept),
            None => self.fetch(url).await,
        }
    }

    /// Keeps a certificate that has proven a post. Where too many are kept, the others go.
    pub(crate) fn keep_certificate(&self, url: String, held: Bytes) {
        let mut kept = self.certificates();
        if kept.len() >= CERTIFICATES_MAX {
            kept.clear();
        }
        kept.insert(url, held);
    }

    fn certificates(&self) -> MutexGuard<'_, HashMap<String, Bytes>> {
        let kept = self.0.certificates.lock();
        kept.unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that everything is kept in memory, so that there is nowhere to write files.
    pub fn keep_in_memory(&self) {
        self.0.in_memory.store(true, Ordering::Relaxed);
    }

    /// True if files can be written, such as those of exports.
    pub fn keeps_files(&self) -> bool {
        !self.0.in_memory.load(Ordering::Relaxed)
    }

    /// The store, which reads and writes the table.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The retention of the deployment.
    pub fn retention(&self) -> Retention {
        self.0.retention
    }

    /// How much of this process each marketplace uses.
    pub(crate) fn shares(&self) -> &Shares {
        &self.0.shares
    }

    /// The current time of the clock. Handlers use `Call::now` instead, which stays the same during a call.
    pub fn now(&self) -> Instant {
        self.0.clock.now()
    }

    /// A signature of these parts under the deployment's key, each preceded by its length. The caller may add more parts.
    pub(crate) fn sign(&self, parts: &[&str]) -> Hmac<Sha256> {
        signed(&self.0.signature, parts)
    }

    /// A secret that is derived from the deployment's key and a random text. It is not stored, since it can be derived again.
    pub fn secret(&self, purpose: &str, of: &str) -> String {
        let parts = ["secret", purpose, of];
        hex::encode(self.sign(&parts).finalize().into_bytes())
    }

    /// The caller who has this secret; `None` where nobody has it. Unknown secrets are not cached, so a new key works at once.
    /// With `fresh`, the table is asked about a key that is cached too.
    pub(crate) async fn caller(
        &self,
        secret: &str,
        fresh: bool,
        now: Instant,
    ) -> Result<Option<Caller>, StoreError> {
        match self.is_deployment_key(secret) {
            true => Ok(Some(Caller::deployment())),
            false => self.caller_by_hash(key_hash(secret), fresh, now).await,
        }
    }

    /// True for the key of the deployment that this process was given.
    pub(crate) fn is_deployment_key(&self, secret: &str) -> bool {
        let tag = self.sign(&[DEPLOYMENT_KEY, secret]);
        let expected = self.0.deployment_tag.as_ref();
        expected.is_some_and(|expected| tag.verify_slice(expected).is_ok())
    }

    /// True for a call with the key of the deployment that this process was given.
    pub fn is_called_by_deployment(&self, headers: &HeaderMap) -> bool {
        let secret = access::secret(headers, &[], false);
        secret.is_some_and(|secret| self.is_deployment_key(&secret))
    }

    /// True where this process was given the key of the deployment.
    pub(crate) fn has_deployment_key(&self) -> bool {
        self.0.deployment_tag.is_some()
    }

    /// The caller whose key has this hash.
    pub(crate) async fn caller_by_hash(
        &self,
        hash: String,
        fresh: bool,
        now: Instant,
    ) -> Result<Option<Caller>, StoreError> {
        let believed = {
            let keys = self.keys();
            keys.read
                .get(&hash)
                .filter(|(read_at, _)| !fresh && is_believed(*read_at, now))
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
            deployment: key.deployment,
            marketplaces: key.marketplaces,
        }))
    }

    async fn read_key(&self, hash: String, now: Instant) -> Result<Option<AccessKey>, StoreError> {
        let revocations = self.keys().revocations;
        let found = self.0.store.key(&hash).await?;
        let mut keys = self.keys();
        match &found {
            Some(key) if keys.revocations == revocations => {
                if keys.read.len() >= REMEMBERED_MAX {
                    keys.read.clear();
                }
                keys.read.insert(hash, (now, key.clone()));
            }
            _ => {
                keys.read.remove(&hash);
            }
        }
        Ok(found)
    }

    fn keys(&self) -> MutexGuard<'_, KnownKeys> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a key that was revoked, or may have been. From now on this process refuses it; the others do within
    /// `KEY_BELIEVED_MS`.
    pub fn forget_key(&self, key_id: &str) {
        let mut keys = self.keys();
        keys.revocations += 1;
        keys.read.retain(|_, (_, key)| key.key_id != key_id);
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

    /// The newest settings of a marketplace, at most as old as a key that is believed. A change of how a sender is understood acts
    /// within that time in every process.
    ///
    /// # Errors
    /// As every call of the table; `None` where the marketplace has no settings.
    pub(crate) async fn settings(
        &self,
        market: &Market,
        now: Instant,
    ) -> Result<Option<Arc<Settings>>, StoreError> {
        let known = |read: &HashMap<MarketplaceId, (Instant, Arc<Settings>)>| {
            let found = read.get(market.id())?;
            is_believed(found.0, now).then(|| found.1.clone())
        };
        let read = || {
            self.0
                .settings
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(settings) = known(&read()) {
            return Ok(Some(settings));
        }
        let Some(versions) = market.settings().versions().await? else {
            return Ok(None);
        };
        let settings = Arc::new(versions.newest().settings.clone());
        let mut read = read();
        if read.len() >= REMEMBERED_MAX {
            read.clear();
        }
        read.insert(market.id().clone(), (now, settings.clone()));
        Ok(Some(settings))
    }

    /// Forgets settings that were just saved by this process.
    pub fn forget_settings(&self, id: &MarketplaceId) {
        let mut read = self
            .0
            .settings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        read.remove(id);
    }
}

impl App {
    /// True where a thing is to be written down, because this process has not written it for so long.
    pub(crate) fn is_news(&self, thing: String, every_ms: i64, now: Instant) -> bool {
        let mut known = self.0.news.lock().unwrap_or_else(PoisonError::into_inner);
        let written = known.get(&thing).map(|at| now.ms() - at.ms());
        if written.is_some_and(|ago| (0..every_ms).contains(&ago)) {
            return false;
        }
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(thing, now);
        true
    }
}

/// True where something was read so lately that it is believed.
fn is_believed(read_at: Instant, now: Instant) -> bool {
    (0..KEY_BELIEVED_MS).contains(&(now.ms() - read_at.ms()))
}

/// A signature of these parts, each preceded by its length.
fn signed(signature: &Hmac<Sha256>, parts: &[&str]) -> Hmac<Sha256> {
    let mut signature = signature.clone();
    let length = |n: usize| (n as u64).to_be_bytes();
    signature.update(&length(parts.len()));
    for part in parts {
        signature.update(&length(part.len()));
        signature.update(part.as_bytes());
    }
    signature
}
