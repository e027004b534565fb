//! Units of work: which customers wait to be folded, and which orders wait to be decided again. A unit is the truth; the
//! message that points at it is not, and may be lost or doubled.

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::attribution::reach::Redecide;
use revtrail_core::value::id::{CustomerId, MarketplaceId, PromotionId};
use revtrail_core::value::money::{Currency, Money, Sums};
use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};

use crate::ledger::purchases::RowPlace;
use crate::market::{Market, TRIES_MAX};
use crate::random::random_hex;
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, expired, number, text};
use crate::table::keys;
use crate::table::write::{Transacted, Write};

/// Lists read at once in a walk through all of them: each has at most some hundred KB.
const LISTS_AT_ONCE: i32 = 8;

/// Most customers of a unit: with ids of 128 bytes their list is still below an item's 400 KB.
pub const UNIT_CUSTOMERS_MAX: usize = 2_500;

/// A pointer to work, as it goes through the queue. It carries no truth: lost, doubled or late it changes no figure, for what
/// waits stands in the table, and every tick points at it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Nudge {
    /// Plan what changed in a marketplace.
    Plan {
        /// Which.
        marketplace: MarketplaceId,
        /// The run that was asked for and is on record already; none where a schedule asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_id: Option<String>,
    },
    /// Take in what waited for promotions that are there.
    Admit {
        /// Which.
        marketplace: MarketplaceId,
    },
    /// Work a unit off.
    Work {
        /// Whose.
        marketplace: MarketplaceId,
        /// Which unit.
        unit_id: String,
    },
}

impl Nudge {
    /// Whose work it points at.
    pub fn marketplace(&self) -> &MarketplaceId {
        match self {
            Self::Plan { marketplace, .. }
            | Self::Admit { marketplace }
            | Self::Work { marketplace, .. } => marketplace,
        }
    }
}

/// A unit of work, as far as it is small: whom it concerns stands in a list of its own, see [`Market::unit_list`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Its name: hexadecimal digits.
    #[serde(skip)]
    pub unit_id: String,
    /// When it was planned: its folds see every fact accepted before.
    #[serde(rename = "t")]
    pub at: Instant,
    /// The run that planned it; none for work that settings or campaigns asked for, until a run takes it over.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Where its folds move the sheets.
    #[serde(rename = "s", default)]
    pub stripe: u8,
    /// The version of the rules when it was planned: all its folds go by these or newer ones.
    #[serde(rename = "v", default)]
    pub rules: i64,
    /// What to do.
    #[serde(rename = "w")]
    pub work: Work,
    /// Before that: where counting redemptions anew goes on.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub recounted: Option<RedemptionPlace>,
    /// How often it was written.
    #[serde(skip)]
    version: i64,
}

/// What a unit asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Fold the customers of the unit's list, from a place in it on.
    #[serde(rename = "c")]
    Fold {
        /// Those before are folded.
        #[serde(rename = "n", default)]
        next: usize,
    },
    /// Plan folds of the customers of the orders placed in a time.
    #[serde(rename = "d")]
    Redecide {
        /// Which time.
        #[serde(rename = "s")]
        span: Redecide,
        /// Where the walk through its orders goes on; none at its beginning.
        #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
        place: Option<RowPlace>,
    },
    /// Plan folds of everybody: settings that were replaced before the first order leave nothing behind.
    #[serde(rename = "y")]
    Refold {
        /// The lists up to this one are done.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<ListPlace>,
    },
    /// Compare what is stored of customers with what their facts add up to.
    #[serde(rename = "v")]
    Verify {
        /// The lists up to this one are done.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<ListPlace>,
        /// How many customers are left to be compared; none: all of them.
        #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
        left: Option<usize>,
    },
}

/// A place in a walk through the lists of all units: from a list whose name is drawn by lot, so that a sample is one, once around.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPlace {
    /// How many lanes were begun.
    #[serde(rename = "n")]
    lanes: usize,
    /// The lane that comes first.
    #[serde(rename = "f")]
    first: usize,
    /// The last list seen in the lane; none at its beginning.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

/// A place in a walk through the redemptions of all promotions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedemptionPlace {
    /// Those of the promotions before this one are done.
    #[serde(rename = "p")]
    pub promotion: PromotionId,
    /// And of this one those up to here.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Unit {
    /// A unit with a name of its own.
    pub fn new(work: Work, run_id: Option<String>, stripe: u8, rules: i64, at: Instant) -> Self {
        Self {
            unit_id: random_hex()[..16].to_owned(),
            at,
            run_id,
            stripe,
            rules,
            work,
            recounted: None,
            version: 0,
        }
    }

    /// The name of the run that planned it; none is empty.
    pub(crate) fn run_name(&self) -> &str {
        self.run_id.as_deref().unwrap_or_default()
    }

    /// True for work that was asked for and no run has taken over.
    pub fn is_asked(&self) -> bool {
        self.run_id.is_none()
    }
}

impl Work {
    /// The orders of a time, all of them.
    pub fn redecide(span: Redecide) -> Self {
        Self::Redecide { span, place: None }
    }
}

/// What folds of a unit moved. Counted in the transactions that moved it, so each change once, whoever dies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Customers folded whom their run had not folded before.
    pub customers: i64,
    /// Orders decided that their run had not decided before.
    pub orders: i64,
    /// Orders whose credit, amount or count changed.
    pub credits_changed: i64,
    /// What entered the campaigns' revenue, less what left it.
    pub revenue_moved: Sums,
    /// Customers who were parked.
    pub parked: i64,
    /// Customers compared.
    pub checked: i64,
    /// Those whose stored contribution is not what the facts add up to.
    pub differences: i64,
}

const MOVED_PREFIX: &str = "moved_";

impl Progress {
    /// The counters, by the names of their attributes.
    fn counts(&self) -> [(&'static str, i64); 6] {
        [
            ("customers", self.customers),
            ("orders", self.orders),
            ("credits_changed", self.credits_changed),
            ("parked", self.parked),
            ("checked", self.checked),
            ("differences", self.differences),
        ]
    }

    /// What stands in an item.
    pub(crate) fn of(item: &Item) -> Self {
        let count = |name| number(item, name).unwrap_or(0);
        let moved = |(name, value): (&String, &AttributeValue)| -> Option<(Currency, Money)> {
            let amount = serde_json::Value::String(value.as_n().ok()?.clone());
            let currency = Currency::parse(name.strip_prefix(MOVED_PREFIX)?)?;
            Some((currency, serde_json::from_value(amount).ok()?))
        };
        Self {
            customers: count("customers"),
            orders: count("orders"),
            credits_changed: count("credits_changed"),
            revenue_moved: item.iter().filter_map(moved).collect(),
            parked: count("parked"),
            checked: count("checked"),
            differences: count("differences"),
        }
    }

    /// The update that adds all this, and one to a counter, to an item.
    pub(crate) fn addition(&self, one_more: &str) -> (String, Vec<(String, AttributeValue)>) {
        let counts = self
            .counts()
            .map(|(name, n)| (name.to_owned(), n.to_string()));
        let moved = self.revenue_moved.iter();
        let moved = moved.map(|(currency, sum)| {
            (
                format!("{MOVED_PREFIX}{}", currency.code()),
                sum.to_string(),
            )
        });
        let one_more = (one_more.to_owned(), "1".to_owned());
        let all = counts
            .into_iter()
            .filter(|(_, n)| n != "0")
            .chain(moved)
            .chain([one_more]);
        let (names, values): (Vec<_>, Vec<_>) = all
            .map(|(name, n)| {
                (
                    format!("{name} :{name}"),
                    (format!(":{name}"), AttributeValue::N(n)),
                )
            })
            .unzip();
        (format!("ADD {}", names.join(", ")), values)
    }
}

/// Jobs of one marketplace that wait. Reached by [`Market::jobs`].
#[derive(Debug, Clone, Copy)]
pub struct Jobs<'m> {
    market: &'m Market,
}

impl Market {
    /// Jobs of one marketplace that wait.
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs { market: self }
    }
}

impl Jobs<'_> {
    fn unit_item(self, unit: &Unit) -> NewItem {
        NewItem::at(&keys::unit(&self.market.id, &unit.unit_id))
            .number("v", 0)
            .data(unit)
    }

    /// A write that puts a unit without a list.
    pub(crate) fn put_unit(self, unit: &Unit) -> Write {
        self.market
            .store
            .put_write(self.unit_item(unit), Some(Condition::absent()))
    }

    /// Writes a unit that folds some customers: their list first.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn add_fold(
        self,
        unit: &Unit,
        customers: &[CustomerId],
        now: Instant,
    ) -> Result<(), StoreError> {
        let list = NewItem::at(&keys::unit_list(&self.market.id, &unit.unit_id)).packed(&customers);
        let list = list.expires(now.plus_ms(self.market.retention.keep_ms()));
        self.market.store.put(list, None).await?;
        self.market
            .store
            .put(self.unit_item(unit), None)
            .await
            .map(drop)
    }

    /// The customers of a unit.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn unit_list(self, unit_id: &str) -> Result<Vec<CustomerId>, StoreError> {
        let list = self
            .market
            .store
            .get(&keys::unit_list(&self.market.id, unit_id), true)
            .await?;
        list.as_ref().map_or(Ok(Vec::new()), data)
    }

    /// A unit that waits; none where it is done.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn unit(self, unit_id: &str) -> Result<Option<Unit>, StoreError> {
        let item = self
            .market
            .store
            .get(&keys::unit(&self.market.id, unit_id), true)
            .await?;
        item.as_ref().map(read_unit).transpose()
    }

    /// All units that wait.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn units(self) -> Result<Vec<Unit>, StoreError> {
        self.market
            .store
            .query(&keys::units(&self.market.id), &Range::All, Reading::STRONG)
            .await?
            .iter()
            .map(read_unit)
            .collect()
    }

    /// Puts units that a run has taken over in place of those that were asked for, in one transaction. False where one of these
    /// is gone: another plan took it over.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn take_over(self, asked: &[Unit], units: &[Unit]) -> Result<bool, StoreError> {
        let gone = asked.iter().map(|unit| {
            let key = keys::unit(&self.market.id, &unit.unit_id);
            self.market
                .store
                .delete_write(&key, Some(Condition::present()))
        });
        let writes = units.iter().map(|unit| self.put_unit(unit)).chain(gone);
        Ok(matches!(
            self.market.store.transact(writes.collect()).await?,
            Transacted::Done
        ))
    }

    /// Writes what is left of a unit, for whoever goes on with it. Nothing where it is done already.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn hand_over(self, unit: &Unit, rest: Work) -> Result<(), StoreError> {
        let unit = Unit {
            work: rest,
            ..unit.clone()
        };
        let data = serde_json::to_string(&unit)?;
        let values = vec![
            (":d", AttributeValue::S(data)),
            (":one", AttributeValue::N("1".to_owned())),
        ];
        let key = keys::unit(&self.market.id, &unit.unit_id);
        self.market
            .store
            .update(
                &key,
                "SET d = :d ADD v :one",
                values,
                Some(Condition::present()),
            )
            .await
            .map(drop)
    }

    /// Counts what a part of a verification found and writes what is left of it, in one: so each part is counted once. False where
    /// another worker was faster, and goes on with it.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn verified(
        self,
        unit: &mut Unit,
        found: &Progress,
        rest: Work,
    ) -> Result<bool, StoreError> {
        let condition = Condition::equals("v", AttributeValue::N(unit.version.to_string()));
        unit.work = rest;
        let data = AttributeValue::S(serde_json::to_string(unit)?);
        let (addition, counts) = found.addition("v");
        let mut values = vec![(":d", data)];
        values.extend(counts.iter().map(|(name, n)| (name.as_str(), n.clone())));
        let (key, update) = (
            keys::unit(&self.market.id, &unit.unit_id),
            format!("SET d = :d {addition}"),
        );
        unit.version += 1;
        self.market
            .store
            .update(&key, &update, values, Some(condition))
            .await
    }

    /// A write that counts what folds of a unit moved; it fails where the unit is done, and with it its transaction.
    pub(crate) fn count_write(self, unit: &Unit, progress: &Progress) -> Write {
        let (expression, values) = progress.addition("v");
        let values = values
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        self.market.store.update_write(
            &keys::unit(&self.market.id, &unit.unit_id),
            &expression,
            values.collect(),
            Some(Condition::present()),
        )
    }

    /// Counts what moved no sheet: customers parked. Nothing where the unit is done.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn count(self, unit: &Unit, progress: &Progress) -> Result<(), StoreError> {
        if *progress == Progress::default() {
            return Ok(());
        }
        let (expression, values) = progress.addition("v");
        let values = values
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        let key = keys::unit(&self.market.id, &unit.unit_id);
        self.market
            .store
            .update(
                &key,
                &expression,
                values.collect(),
                Some(Condition::present()),
            )
            .await
            .map(drop)
    }

    /// Deletes a unit that is done and adds what it moved to its run, in one transaction: so it is added once.
    ///
    /// # Errors
    /// What the table answers; [`StoreError::Contended`] where others count on it all the time.
    pub async fn unit_done(self, unit: &Unit) -> Result<(), StoreError> {
        let key = keys::unit(&self.market.id, &unit.unit_id);
        let mut runless = false;
        for _ in 0..TRIES_MAX {
            let Some(item) = self.market.store.get(&key, true).await? else {
                return Ok(());
            };
            let version = number(&item, "v").unwrap_or(0).to_string();
            let condition = Condition::equals("v", AttributeValue::N(version));
            let mut writes = vec![self.market.store.delete_write(&key, Some(condition))];
            if let Some(run_id) = unit.run_id.as_ref().filter(|_| !runless) {
                writes.push(self.market.runs().add_to_run(run_id, &Progress::of(&item)));
            }
            match self.market.store.transact(writes).await? {
                Transacted::Done => return Ok(()),
                // The run's record is expired.
                Transacted::Cancelled(faults) => runless = faults.get(1) == Some(&Fault::Condition),
            }
        }
        Err(StoreError::Contended {
            op: "ending a unit",
        })
    }

    /// The lists of some units after a place in the walk through all of them, and the place behind; none where the walk is over.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn unit_lists(
        self,
        place: ListPlace,
        now: Instant,
    ) -> Result<(Vec<(String, Vec<CustomerId>)>, Option<ListPlace>), StoreError> {
        let lane = (place.first + place.lanes) % keys::LIST_LANES.len();
        let pk = keys::unit_lists(&self.market.id, &keys::LIST_LANES[lane..=lane]);
        let (items, next) = self
            .market
            .store
            .page(
                &pk,
                &Range::All,
                Reading::STRONG,
                place.after,
                Some(LISTS_AT_ONCE),
            )
            .await?;
        let list = |item: &Item| Ok((text(item, "sk").to_owned(), data(item)?));
        let lists = items.iter().filter(|item| !expired(item, now)).map(list);
        let lanes = place.lanes + usize::from(next.is_none());
        let place = ListPlace {
            lanes,
            first: place.first,
            after: next,
        };
        let more = lanes < keys::LIST_LANES.len();
        Ok((
            lists.collect::<Result<_, StoreError>>()?,
            more.then_some(place),
        ))
    }
}

impl ListPlace {
    /// The beginning of a walk that begins at a lane drawn by lot.
    pub fn anywhere() -> Self {
        let first = keys::LIST_LANES.find(&random_hex()[..1]).unwrap_or(0);
        Self {
            lanes: 0,
            first,
            after: None,
        }
    }

    /// Behind a list of the page that was read from here.
    pub fn behind(&self, list: &str) -> Self {
        Self {
            after: Some(list.to_owned()),
            ..self.clone()
        }
    }
}

fn read_unit(item: &Item) -> Result<Unit, StoreError> {
    Ok(Unit {
        unit_id: text(item, "sk").to_owned(),
        version: number(item, "v").unwrap_or(0),
        ..data(item)?
    })
}
