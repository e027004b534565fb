//! Vouchers: made from given codes or generated, disabled, listed. Their uses are taken by `redeem`.

use std::collections::{BTreeMap, BTreeSet};

use revtrail_core::promotion::{FieldChange, Promotion};
use revtrail_core::value::id::{PromotionId, VoucherCode};
use revtrail_core::value::time::Instant;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::market::Market;
use crate::market::once::CallRecord;
use crate::promotions::lists::{ListPart, Placed};
use crate::promotions::records::{LoggedChange, StoredVoucher};
use crate::random::random_hex;
use crate::table::attributes::{DATA, figures, voucher};
use crate::table::change::Changes;
use crate::table::contention::{TRIES_MAX, backoff};
use crate::table::fault::StoreError;
use crate::table::item::{Item, amount, data, number, sk, unreadable};
use crate::table::keys::{self, FiguresItem, Key, PROMOTION_SHARDS, promotion_shard_of};
use crate::table::write::Transacted;

/// How many codes one transaction has. Each is a voucher and an entry of its code, and one more item counts them.
const CODES_AT_ONCE: usize = 45;
/// How often codes are drawn again because all drawn ones exist. After so many draws, the pattern is too short for the number
/// asked for.
const DRAWS_MAX: usize = 60;

/// A voucher, as it is now and as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Voucher {
    /// The code of the voucher.
    #[serde(rename = "voucher_code")]
    pub code: VoucherCode,
    /// How often the voucher may be used; `None` if there is no limit.
    pub limit: Option<i64>,
    /// How often the voucher was used.
    pub uses: i64,
    /// True if the voucher can no longer be redeemed.
    pub disabled: bool,
    /// True if the voucher was given to a customer.
    pub assigned: bool,
    /// When the voucher was made.
    #[serde(rename = "created_at")]
    pub made_at: Instant,
}

/// A voucher that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVoucher {
    /// The code of the voucher.
    pub code: VoucherCode,
    /// How often the voucher may be used; `None` for the promotion's own limit.
    pub limit: Option<i64>,
}

/// How codes are drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// How many codes to draw.
    pub count: usize,
    /// The text that the codes begin with.
    pub prefix: String,
    /// How many characters follow the prefix.
    pub length: usize,
    /// The characters that are drawn from.
    pub charset: Vec<char>,
    /// How often each voucher may be used; `None` for the promotion's own limit.
    pub limit: Option<i64>,
}

/// How many vouchers were made, and how many existed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Made {
    /// Vouchers that are new.
    pub created: usize,
    /// Codes that the promotion already had; their vouchers stay as they are.
    pub existing: usize,
}

/// A call that makes vouchers.
struct Making<'c> {
    promotion: &'c Promotion,
    by: &'c str,
    /// True if only codes are used that no promotion has.
    new_to_all: bool,
    now: Instant,
    /// The name of the call's entry in the change log. There is one entry, however many transactions the call takes.
    name: String,
    /// True if what a call of this name made counts as this call's own, even if another call made it at the same time or died
    /// before.
    once: bool,
}

impl<'c> Making<'c> {
    fn new(
        promotion: &'c Promotion,
        by: &'c str,
        new_to_all: bool,
        now: Instant,
        once: Option<&CallRecord>,
    ) -> Self {
        Self {
            promotion,
            by,
            new_to_all,
            now: once.map_or(now, |record| record.begun_at),
            name: once.map_or_else(random_hex, |record| record.seed.clone()),
            once: once.is_some(),
        }
    }

    fn made_by(&self) -> Option<String> {
        self.once.then(|| self.name.clone())
    }
}

/// Random bytes that follow from a seed: whoever has the seed draws the same bytes.
struct Lot {
    seed: String,
    drawn: u64,
}

impl Lot {
    fn next(&mut self) -> [u8; 32] {
        self.drawn += 1;
        let text = format!("{}/{}", self.seed, self.drawn);
        Sha256::digest(text.as_bytes()).into()
    }
}

/// How changing a voucher ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The voucher is now like this.
    Done(Voucher),
    /// There is no such voucher.
    Unknown,
}

/// Vouchers of one marketplace. Reached by [`Market::vouchers`].
#[derive(Debug, Clone, Copy)]
pub struct Vouchers<'m> {
    market: &'m Market,
}

impl Market {
    /// Vouchers of one marketplace.
    pub fn vouchers(&self) -> Vouchers<'_> {
        Vouchers { market: self }
    }
}

impl Vouchers<'_> {
    /// Makes vouchers of given codes. Other promotions may have the same codes. Uses that were reported before a voucher was made
    /// count.
    ///
    /// # Errors
    /// As every call of the table: what is made stays, and the same may be asked for again.
    pub async fn make_vouchers(
        self,
        promotion: &Promotion,
        new: &[NewVoucher],
        by: &str,
        now: Instant,
        once: Option<&CallRecord>,
    ) -> Result<Made, StoreError> {
        // If a code is given twice, the first one counts.
        let mut distinct: BTreeMap<&VoucherCode, &NewVoucher> = BTreeMap::new();
        for voucher in new {
            distinct.entry(&voucher.code).or_insert(voucher);
        }
        let distinct: Vec<NewVoucher> = distinct.into_values().cloned().collect();
        let mut made = Made {
            existing: new.len() - distinct.len(),
            created: 0,
        };
        let call = Making::new(promotion, by, false, now, once);
        for chunk in distinct.chunks(CODES_AT_ONCE) {
            let created = self.make_chunk(&call, made.created, chunk).await?;
            made.created += created;
            made.existing += chunk.len() - created;
        }
        Ok(made)
    }

    /// Makes vouchers with random codes that are new to the marketplace; fewer than were asked for, if the pattern has no more.
    ///
    /// # Errors
    /// As every call of the table: what is made stays.
    pub async fn generate_vouchers(
        self,
        promotion: &Promotion,
        pattern: &Pattern,
        by: &str,
        now: Instant,
        once: Option<&CallRecord>,
    ) -> Result<usize, StoreError> {
        let call = Making::new(promotion, by, true, now, once);
        let mut lot = Lot {
            seed: call.name.clone(),
            drawn: 0,
        };
        // A code is drawn only once, because the call's own voucher would be counted again.
        let mut seen: BTreeSet<VoucherCode> = BTreeSet::new();
        let mut created = 0;
        let mut draws = 0;
        while created < pattern.count && draws < DRAWS_MAX {
            let want = (pattern.count - created).min(CODES_AT_ONCE);
            let mut drawn: BTreeMap<VoucherCode, NewVoucher> = BTreeMap::new();
            for _ in 0..4 * want {
                if drawn.len() < want
                    && let Some(code) = pattern.draw(&mut lot)
                    && seen.insert(code.clone())
                {
                    let limit = pattern.limit;
                    drawn.insert(code.clone(), NewVoucher { code, limit });
                }
            }
            let drawn: Vec<NewVoucher> = drawn.into_values().collect();
            let made = self.make_chunk(&call, created, &drawn).await?;
            created += made;
            draws = if made == 0 { draws + 1 } else { 0 };
        }
        Ok(created)
    }

    /// Makes those vouchers of a chunk that do not exist, and says how many of the chunk's vouchers are the call's own. Logs how
    /// many the call has made, including the `before` of earlier chunks.
    async fn make_chunk(
        self,
        call: &Making<'_>,
        before: usize,
        chunk: &[NewVoucher],
    ) -> Result<usize, StoreError> {
        let (promotion, now) = (call.promotion, call.now);
        let id = &promotion.promotion_id;
        for attempt in 0..TRIES_MAX {
            let mut wanted = Vec::new();
            for voucher in chunk {
                wanted.push(keys::voucher(&self.market.id, id, &voucher.code));
                wanted.push(keys::code(&self.market.id, &voucher.code));
            }
            let found = self.market.store.get_map(&wanted).await?;
            let mut changes = Changes::default();
            let (mut created, mut made_before) = (0, 0);
            let shard =
                promotion_shard_of(chunk.first().map_or("", |voucher| voucher.code.as_str()));
            let total = keys::promotion_total(&self.market.id, shard, id);
            for voucher in chunk {
                let key = keys::voucher(&self.market.id, id, &voucher.code);
                let code_key = keys::code(&self.market.id, &voucher.code);
                let (known, code_item) = (found.get(&key), found.get(&code_key));
                let mut of: Vec<PromotionId> = code_item.map(data).transpose()?.unwrap_or_default();
                if let Some(item) = known.filter(|item| item.contains_key(DATA)) {
                    let made: StoredVoucher = data(item)?;
                    made_before += usize::from(call.once && made.made_by == call.made_by());
                    continue;
                }
                if call.new_to_all && !of.is_empty() {
                    continue;
                }
                let stored = StoredVoucher {
                    limit: voucher.limit.or(promotion.redemption_limit),
                    made_at: now,
                    made_by: call.made_by(),
                };
                let uses = known.and_then(|item| item.get(voucher::USES));
                let change = changes.at(&key).require(DATA, None).data(&stored);
                change.require(voucher::USES, uses.cloned());
                let used = amount(known, voucher::USES).whole();
                if let Some(limit) = stored.limit {
                    change.number(voucher::LEFT, limit - used);
                    changes
                        .at(&total)
                        .add(figures::OPEN_USES, (limit - used).max(0));
                } else {
                    changes.at(&total).add(figures::UNLIMITED, 1);
                }
                changes
                    .at(&total)
                    .add(figures::VOUCHERS, 1)
                    .add(figures::MOVES, 1);
                if !of.contains(id) {
                    of.push(id.clone());
                }
                let current = code_item.and_then(|item| item.get(DATA));
                changes
                    .at(&code_key)
                    .require(DATA, current.cloned())
                    .data(&of);
                created += 1;
            }
            if created == 0 {
                return Ok(made_before);
            }
            let created = made_before + created;
            let logged = LoggedChange {
                at: now,
                by: call.by.to_owned(),
                change: FieldChange {
                    field: "vouchers".to_owned(),
                    before: Value::Null,
                    after: json!({ "created": before + created }),
                },
            };
            let key = keys::promotion_change(&self.market.id, id, now, &call.name);
            changes.at(&key).data(&logged);
            match self
                .market
                .store
                .transact(changes.writes(&self.market.store))
                .await?
            {
                Transacted::Done => return Ok(created),
                Transacted::Cancelled(_) => backoff(attempt).await,
            }
        }
        Err(StoreError::Contended {
            op: "making vouchers",
        })
    }

    /// The promotions that have a code.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn promotions_of_code(
        self,
        code: &VoucherCode,
    ) -> Result<Vec<PromotionId>, StoreError> {
        let item = self
            .market
            .store
            .get(&keys::code(&self.market.id, code), true)
            .await?;
        Ok(item.as_ref().map(data).transpose()?.unwrap_or_default())
    }

    /// The voucher of a promotion with this code; `None` if there is none.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn voucher(
        self,
        promotion: &PromotionId,
        code: &VoucherCode,
    ) -> Result<Option<Voucher>, StoreError> {
        let item = self
            .market
            .store
            .get(&keys::voucher(&self.market.id, promotion, code), true)
            .await?;
        let made = item.filter(|item| item.contains_key(DATA));
        let items: Vec<Item> = made.into_iter().collect();
        Ok(self.with_uses(promotion, &items).await?.pop())
    }

    /// Reads stored vouchers and adds the uses that their shards counted.
    async fn with_uses(
        self,
        promotion: &PromotionId,
        items: &[Item],
    ) -> Result<Vec<Voucher>, StoreError> {
        let mut vouchers = Vec::new();
        let mut shards = Vec::new();
        for item in items {
            let stored: StoredVoucher = data(item)?;
            let code = VoucherCode::new(sk(item)).map_err(|why| unreadable(item, why))?;
            if stored.is_spread() {
                let shard = |shard| keys::voucher_shard(&self.market.id, shard, promotion, &code);
                shards.extend((0..PROMOTION_SHARDS).map(shard));
            }
            vouchers.push(Voucher {
                code,
                limit: stored.limit,
                uses: number(item, voucher::USES).unwrap_or(0),
                disabled: item.contains_key(voucher::DISABLED),
                assigned: item.contains_key(voucher::ASSIGNED),
                made_at: stored.made_at,
            });
        }
        let mut uses: BTreeMap<String, i64> = BTreeMap::new();
        for item in self.market.store.get_all(&shards, true).await? {
            let Some(FiguresItem::Voucher(code)) = keys::figures_item(sk(&item)) else {
                continue;
            };
            *uses.entry(code.to_owned()).or_default() += number(&item, voucher::USES).unwrap_or(0);
        }
        for voucher in &mut vouchers {
            voucher.uses += uses.get(voucher.code.as_str()).copied().unwrap_or(0);
        }
        Ok(vouchers)
    }

    /// Vouchers of a promotion in the order of their codes, starting after one; and the place where the next page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn list(
        self,
        promotion: &PromotionId,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Placed<Voucher>>, Option<String>), StoreError> {
        let shards =
            (0..PROMOTION_SHARDS).map(|shard| keys::vouchers(&self.market.id, shard, promotion));
        let part = ListPart {
            prefix: String::new(),
            newest_first: false,
            after,
            limit,
        };
        let (mut items, next) = self.market.lists().merged(shards.collect(), &part).await?;
        // The partition also has uses of codes that are not vouchers.
        items.retain(|item| item.contains_key(DATA));
        let vouchers = self.with_uses(promotion, &items).await?.into_iter();
        let placed = |voucher: Voucher| (voucher.code.as_str().to_owned(), voucher);
        Ok((vouchers.map(placed).collect(), next))
    }

    /// Disables or enables a voucher, changes its limit, and logs the change.
    ///
    /// # Errors
    /// As every call of the table; the same call may be made again.
    pub async fn change_voucher(
        self,
        promotion: &PromotionId,
        code: &VoucherCode,
        disabled: Option<bool>,
        limit: Option<Option<i64>>,
        by: &str,
        now: Instant,
    ) -> Result<Changed, StoreError> {
        for attempt in 0..TRIES_MAX {
            let root = keys::voucher(&self.market.id, promotion, code);
            let shards = (0..PROMOTION_SHARDS)
                .map(|shard| keys::voucher_shard(&self.market.id, shard, promotion, code));
            let shards: Vec<Key> = shards.collect();
            let mut changes = Changes::default();
            if self
                .market
                .promotions()
                .touch_promotion(promotion, &mut changes)
                .await?
                .is_none()
            {
                return Ok(Changed::Unknown);
            }
            let wanted = [shards.clone(), vec![root.clone()]].concat();
            let found = self.market.store.get_map(&wanted).await?;
            let Some(item) = found.get(&root).filter(|item| item.contains_key(DATA)) else {
                return Ok(Changed::Unknown);
            };
            let was: StoredVoucher = data(item)?;
            let was_disabled = item.contains_key(voucher::DISABLED);
            let is_disabled = disabled.unwrap_or(was_disabled);
            let is = StoredVoucher {
                limit: limit.unwrap_or(was.limit),
                made_at: was.made_at,
                made_by: was.made_by.clone(),
            };
            let counted = |attribute| {
                let of = |key: &Key| amount(found.get(key), attribute);
                shards
                    .iter()
                    .map(of)
                    .fold(of(&root), |sum, n| sum + n)
                    .whole()
            };
            let uses = counted(voucher::USES);
            let voucher = Voucher {
                code: code.clone(),
                limit: is.limit,
                uses,
                disabled: is_disabled,
                assigned: item.contains_key(voucher::ASSIGNED),
                made_at: is.made_at,
            };
            if was == is && was_disabled == is_disabled {
                return Ok(Changed::Done(voucher));
            }
            // Nothing of what was read may have changed, because what is left and what was used go back into the root.
            let change = changes
                .at(&root)
                .data(&is)
                .require(voucher::USES, item.get(voucher::USES).cloned());
            change.require(voucher::LEFT, item.get(voucher::LEFT).cloned());
            change.number(voucher::USES, uses);
            match is.limit {
                Some(limit) => change.number(voucher::LEFT, limit - uses),
                None => change.remove(voucher::LEFT),
            };
            if is_disabled {
                change.mark(voucher::DISABLED);
            } else {
                change.remove(voucher::DISABLED);
            }
            for shard in shards.iter().filter(|_| was.is_spread()) {
                match found.get(shard) {
                    Some(item) => changes
                        .at(shard)
                        .require(voucher::USES, item.get(voucher::USES).cloned())
                        .require(voucher::LEFT, item.get(voucher::LEFT).cloned())
                        .number(voucher::USES, 0)
                        .number(voucher::LEFT, 0),
                    None => changes.at(shard).require_absent(),
                };
            }
            let total = keys::promotion_total(
                &self.market.id,
                promotion_shard_of(code.as_str()),
                promotion,
            );
            let open = |limit: Option<i64>, disabled: bool| match limit {
                Some(limit) if !disabled => ((limit - uses).max(0), 0),
                None if !disabled => (0, 1),
                _ => (0, 0),
            };
            let (before, after) = (open(was.limit, was_disabled), open(is.limit, is_disabled));
            changes
                .at(&total)
                .add(figures::OPEN_USES, after.0 - before.0)
                .add(figures::UNLIMITED, after.1 - before.1);
            for (field, before, after) in [
                ("disabled", json!(was_disabled), json!(is_disabled)),
                ("limit", json!(was.limit), json!(is.limit)),
            ] {
                if before != after {
                    let field = format!("vouchers.{code}.{field}");
                    let change = FieldChange {
                        field,
                        before,
                        after,
                    };
                    self.market
                        .promotions()
                        .log(promotion, by, now, change, &mut changes);
                }
            }
            match self
                .market
                .store
                .transact(changes.writes(&self.market.store))
                .await?
            {
                Transacted::Done => return Ok(Changed::Done(voucher)),
                Transacted::Cancelled(_) => backoff(attempt).await,
            }
        }
        Err(StoreError::Contended {
            op: "changing a voucher",
        })
    }
}

impl Pattern {
    /// Draws a code; `None` if the pattern makes no valid id.
    fn draw(&self, lot: &mut Lot) -> Option<VoucherCode> {
        let mut code = self.prefix.clone();
        // Bytes beyond the largest multiple of the charset's length are skipped, so that each character is equally likely.
        let fair = 256 - 256 % self.charset.len().clamp(1, 256);
        let mut drawn = 0;
        while drawn < self.length {
            for byte in lot
                .next()
                .into_iter()
                .map(usize::from)
                .filter(|byte| *byte < fair)
            {
                if drawn < self.length {
                    code.push(*self.charset.get(byte % self.charset.len())?);
                    drawn += 1;
                }
            }
        }
        VoucherCode::new(&code).ok()
    }
}
