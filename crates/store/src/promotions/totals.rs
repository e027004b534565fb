//! The totals of a promotion as they are stored, figure by figure and with their versions: what a verification compares with the
//! sum of what they are totals of, and the write that sets wrong ones right.

use std::collections::{BTreeMap, BTreeSet};

use revtrail_core::promotion::Promotion;
use revtrail_core::promotion::account::AccountFigures;
use revtrail_core::value::id::PromotionId;
use revtrail_core::value::money::Money;
use serde::{Deserialize, Serialize};

use super::redeem::add_figures;
use crate::market::Market;
use crate::table::attributes::figures::{self, Amount};
use crate::table::change::Changes;
use crate::table::client::{Range, Reading};
use crate::table::fault::StoreError;
use crate::table::item::{Item, amount, number, sk};
use crate::table::keys::{self, FiguresItem, Key, PROMOTION_SHARDS};

/// Stands between the parts of a figure's place. No id has a control character.
const SEPARATOR: char = '\n';

/// Figures of a promotion by their places: the keys of the item in the first shard, and the attribute. A figure is the sum over all
/// shards.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct PlacedFigures(pub(crate) BTreeMap<String, Money>);

impl PlacedFigures {
    pub(crate) fn add(&mut self, key: &Key, attribute: &str, more: Money) {
        let place = [&key.pk, &key.sk, attribute].join(&SEPARATOR.to_string());
        let sum = self.0.entry(place).or_default();
        *sum += more;
    }

    pub(crate) fn at(&self, key: &Key, attribute: &str) -> Money {
        let place = [&key.pk, &key.sk, attribute].join(&SEPARATOR.to_string());
        self.0.get(&place).copied().unwrap_or_default()
    }

    /// Adds what an account adds to the figures, as taking in its records does.
    pub(crate) fn add_account(
        &mut self,
        market: &Market,
        promotion: &PromotionId,
        account: &AccountFigures,
    ) {
        let mut changes = Changes::default();
        add_figures(&mut changes, market, 0, promotion, account);
        for (key, attribute, more) in changes.added() {
            self.add(key, attribute, more);
        }
    }

    /// The same figures by the names that people read.
    pub(crate) fn named(&self, market: &Market) -> BTreeMap<String, Money> {
        let mut named = BTreeMap::new();
        for (place, value) in self.0.iter().filter(|(_, value)| !value.is_zero()) {
            let Some((key, attribute)) = place_of(place) else {
                continue;
            };
            named.insert(name(market, &key, attribute), *value);
        }
        named
    }

    /// What must be added to `stored` to make it these figures, item by item.
    fn corrections<'p>(&'p self, stored: &'p Self) -> Vec<(Key, &'p str, Money)> {
        let of = |side: &Self, place: &str| side.0.get(place).copied().unwrap_or_default();
        let places: BTreeSet<&String> = self.0.keys().chain(stored.0.keys()).collect();
        let correction = |place: &'p String| {
            let (key, attribute) = place_of(place)?;
            Some((key, attribute, of(self, place) - of(stored, place)))
        };
        places.into_iter().filter_map(correction).collect()
    }

    /// Leaves out the figures of some attributes, since nobody can say what they must be.
    pub(crate) fn without(mut self, attributes: impl Fn(&str) -> bool) -> Self {
        let keep = |place: &String| !place_of(place).is_some_and(|(_, name)| attributes(name));
        self.0.retain(|place, _| keep(place));
        self
    }
}

fn place_of(place: &str) -> Option<(Key, &str)> {
    let mut parts = place.split(SEPARATOR);
    let key = Key {
        pk: parts.next()?.to_owned(),
        sk: parts.next()?.to_owned(),
    };
    Some((key, parts.next()?))
}

/// The name of a figure, like `redeemed` or `tier gold redeemed`.
fn name(market: &Market, key: &Key, attribute: &str) -> String {
    let what = match Amount::parse(attribute) {
        Some(Amount::Rewards(currency)) => format!("rewards {currency}"),
        Some(Amount::Orders(currency)) => format!("orders {currency}"),
        None => figures::name(attribute).to_owned(),
    };
    if key.pk == keys::promotion_totals(&market.id, 0) {
        return what;
    }
    let of = match keys::figures_item(&key.sk) {
        Some(FiguresItem::Day(day)) => format!("day {day} "),
        Some(FiguresItem::Cell((tier, segment))) => {
            let tier = tier.map(|tier| format!("tier {tier} "));
            let segment = segment.map(|segment| format!("segment {segment} "));
            let both = tier.unwrap_or_default() + &segment.unwrap_or_default();
            match both.is_empty() {
                true => "no tier and no segment ".to_owned(),
                false => both,
            }
        }
        Some(FiguresItem::Voucher(_)) | None => String::new(),
    };
    of + &what
}

/// The totals of a promotion in all shards.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoredTotals {
    items: BTreeMap<u8, Item>,
}

impl StoredTotals {
    pub(crate) async fn read(market: &Market, promotion: &PromotionId) -> Result<Self, StoreError> {
        let key = |shard| keys::promotion_total(&market.id, shard, promotion);
        let keys: Vec<Key> = (0..PROMOTION_SHARDS).map(key).collect();
        let mut found = market.store.get_map(&keys).await?;
        let items =
            (0..PROMOTION_SHARDS).filter_map(|shard| Some((shard, found.remove(&key(shard))?)));
        Ok(Self {
            items: items.collect(),
        })
    }

    /// A number that grows with every change of the figures and of the promotion. An equal number means that nothing changed.
    pub(crate) fn versions(&self) -> i64 {
        let of = |item: &Item, attribute| number(item, attribute).unwrap_or(0);
        let one = |item| of(item, figures::MOVES) + of(item, figures::PROMOTION_VERSION);
        self.items.values().map(one).sum()
    }

    /// True if some records are counted outside accounts that were full.
    pub(crate) fn has_records_beside(&self) -> bool {
        self.items
            .values()
            .any(|item| item.contains_key(figures::BESIDE))
    }

    /// Writes that add what is missing to the first shard, if nothing changed since these totals were read.
    pub(crate) fn correction(
        &self,
        market: &Market,
        promotion: &PromotionId,
        stored: &PlacedFigures,
        right: &PlacedFigures,
    ) -> Changes {
        let mut changes = Changes::default();
        for (key, attribute, more) in right.corrections(stored) {
            changes.at(&key).add(attribute, more);
        }
        for shard in 0..PROMOTION_SHARDS {
            let change = changes.at(&keys::promotion_total(&market.id, shard, promotion));
            for attribute in [figures::MOVES, figures::PROMOTION_VERSION] {
                let read = self.items.get(&shard).and_then(|item| item.get(attribute));
                change.require(attribute, read.cloned());
            }
            if shard == 0 {
                change.add(figures::MOVES, 1);
            }
        }
        changes
    }
}

/// The stored figures of a promotion, and the totals that they were read with.
pub(crate) struct StoredFigures {
    pub(crate) totals: StoredTotals,
    pub(crate) figures: PlacedFigures,
}

impl StoredFigures {
    /// Reads all figures of a promotion that are compared. The totals are read last: if they have the version from before, nothing
    /// changed while the others were read.
    pub(crate) async fn read(market: &Market, promotion: &Promotion) -> Result<Self, StoreError> {
        let id = &promotion.promotion_id;
        let mut figures = PlacedFigures::default();
        for shard in 0..PROMOTION_SHARDS {
            for prefix in [keys::CELL_PREFIX, keys::DAY_PREFIX] {
                let pk = keys::promotion_figures(&market.id, shard, id);
                let (range, reading) = (Range::prefix(prefix), Reading::STRONG);
                for item in market.store.query(&pk, &range, reading).await? {
                    let key = Key {
                        pk: keys::promotion_figures(&market.id, 0, id),
                        sk: sk(&item).to_owned(),
                    };
                    for attribute in figures::PARTS {
                        figures.add(&key, attribute, amount(Some(&item), attribute));
                    }
                }
            }
        }
        let pool = keys::promotion_pool(&market.id, id);
        let in_pool = market.store.get(&pool, true).await?;
        let totals = StoredTotals::read(market, id).await?;
        let total = keys::promotion_total(&market.id, 0, id);
        for item in totals.items.values() {
            for attribute in item.keys() {
                if figures::TOTALS.contains(&attribute.as_str())
                    || Amount::parse(attribute).is_some()
                {
                    figures.add(&total, attribute, amount(Some(item), attribute));
                }
            }
        }
        let is_limited = [promotion.cap.is_some(), promotion.budget.is_some()];
        for (attribute, _) in LEFT
            .into_iter()
            .zip(is_limited)
            .filter(|(_, limited)| *limited)
        {
            for item in totals.items.values().chain(&in_pool) {
                figures.add(&pool, attribute, amount(Some(item), attribute));
            }
        }
        Ok(Self { totals, figures })
    }
}

/// What is left of the cap and of the budget.
pub(crate) const LEFT: [&str; 2] = [figures::CAP_LEFT, figures::BUDGET_LEFT];
