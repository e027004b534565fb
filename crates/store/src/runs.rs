//! The ledger of attribution runs.

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::money::{Currency, Money, Sums};
use revtrail_core::time::Instant;
use serde::{Deserialize, Serialize};

use crate::client::{
    Condition, Item, NewItem, Range, Reading, StoreError, Transacted, data, number, random_hex,
    text,
};
use crate::contribution::Moved;
use crate::keys;
use crate::market::Market;
use crate::work::Unit;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum RunState {
    Running,
    Done,
    Failed,
}

/// One run of the attributor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its name; sorts by when it started.
    pub run_id: String,
    /// How it stands.
    pub state: RunState,
    /// When it started.
    pub started_at: Instant,
    /// When it was done, or failed.
    pub finished_at: Option<Instant>,
    /// Units planned.
    pub units: i64,
    /// Units done.
    pub units_done: i64,
    /// Customers folded.
    pub customers: i64,
    /// Orders decided.
    pub orders: i64,
    /// Orders whose credit, amount or count changed.
    pub credits_changed: i64,
    /// What entered the campaigns' revenue, less what left it.
    pub revenue_moved: Sums,
    /// What went wrong on the way.
    pub errors: i64,
    /// What a verification found.
    pub verify: Option<Verified>,
}

/// What a verification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Customers compared.
    pub checked: i64,
    /// Those whose stored contribution is not what the facts add up to.
    pub differences: i64,
}

/// A run's fixed part; its counters are attributes, so that they can be added to.
#[derive(Serialize, Deserialize)]
struct Fixed {
    started_at: Instant,
}

fn read_run(item: &Item) -> Result<Run, StoreError> {
    let count = |name| number(item, name).unwrap_or(0);
    let fixed: Fixed = data(item)?;
    let moved = |(name, value): (&String, &AttributeValue)| -> Option<(Currency, Money)> {
        let amount: Money =
            serde_json::from_value(serde_json::Value::String(value.as_n().ok()?.clone())).ok()?;
        Some((Currency::parse(name.strip_prefix("moved_")?)?, amount))
    };
    let state = match text(item, "run_state") {
        "done" => RunState::Done,
        "failed" => RunState::Failed,
        _ => RunState::Running,
    };
    let verify = number(item, "checked").map(|checked| Verified {
        checked,
        differences: count("differences"),
    });
    Ok(Run {
        run_id: text(item, "sk").to_owned(),
        state,
        started_at: fixed.started_at,
        finished_at: Instant::parse(text(item, "finished_at")).ok(),
        units: count("units"),
        units_done: count("units_done"),
        customers: count("customers"),
        orders: count("orders"),
        credits_changed: count("credits_changed"),
        revenue_moved: item.iter().filter_map(moved).collect(),
        errors: count("errors"),
        verify,
    })
}

impl Market {
    /// Puts a new run on record, running.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn start_run(&self, now: Instant) -> Result<String, StoreError> {
        let run_id = format!("{now}-{}", &random_hex()[..8]);
        let gone_at = now.plus_ms(self.retention.keep_ms());
        let item = NewItem::at(&keys::run(&self.id, &run_id))
            .data(&Fixed { started_at: now })
            .text("run_state", "running")
            .expires(gone_at);
        self.store.put(item, Some(Condition::absent())).await?;
        Ok(run_id)
    }

    /// A run.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn run(&self, run_id: &str) -> Result<Option<Run>, StoreError> {
        self.store
            .get(&keys::run(&self.id, run_id), true)
            .await?
            .map(|item| read_run(&item))
            .transpose()
    }

    /// A page of runs, newest first, from after a run, and where to go on.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn runs(
        &self,
        after: Option<String>,
        limit: i32,
    ) -> Result<(Vec<Run>, Option<String>), StoreError> {
        let reading = Reading {
            strong: true,
            newest_first: true,
        };
        let (items, next) = self
            .store
            .page(
                &keys::runs(&self.id),
                &Range::All,
                reading,
                after,
                Some(limit),
            )
            .await?;
        Ok((items.iter().map(read_run).collect::<Result<_, _>>()?, next))
    }

    /// Adds to a run's counters.
    async fn update_run(
        &self,
        run_id: &str,
        expression: &str,
        values: Vec<(&str, AttributeValue)>,
    ) -> Result<(), StoreError> {
        let key = keys::run(&self.id, run_id);
        self.store.update(&key, expression, values).await
    }

    /// Records how many units a run planned.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn planned(&self, run_id: &str, units: usize) -> Result<(), StoreError> {
        self.update_run(
            run_id,
            "ADD units :u",
            vec![(":u", AttributeValue::N(units.to_string()))],
        )
        .await
    }

    /// Records that something went wrong in a run.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn run_met_error(&self, run_id: &str) -> Result<(), StoreError> {
        self.update_run(
            run_id,
            "ADD errors :u",
            vec![(":u", AttributeValue::N("1".to_owned()))],
        )
        .await
    }

    /// Records how a run ended.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn finish_run(
        &self,
        run_id: &str,
        state: RunState,
        now: Instant,
    ) -> Result<(), StoreError> {
        let state = if state == RunState::Done {
            "done"
        } else {
            "failed"
        };
        let values = vec![
            (":s", AttributeValue::S(state.to_owned())),
            (":t", AttributeValue::S(now.to_string())),
        ];
        self.update_run(run_id, "SET run_state = :s, finished_at = :t", values)
            .await
    }

    /// Records what a verification found.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn run_verified(&self, run_id: &str, found: Verified) -> Result<(), StoreError> {
        let n = |n: i64| AttributeValue::N(n.to_string());
        self.update_run(
            run_id,
            "SET checked = :c, differences = :d",
            vec![(":c", n(found.checked)), (":d", n(found.differences))],
        )
        .await
    }

    /// Deletes a unit that is done and adds what it moved to its run, in one transaction: so it is added once.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn unit_done(&self, unit: &Unit, moved: &Moved) -> Result<(), StoreError> {
        let mut writes = vec![self.store.delete_write(
            &keys::unit(&self.id, &unit.unit_id),
            Some(Condition::present()),
        )];
        if let Some(run_id) = &unit.run_id {
            let n = |n: &dyn ToString| AttributeValue::N(n.to_string());
            let mut expression =
                "ADD units_done :one, customers :c, orders :o, credits_changed :x".to_owned();
            let mut values = vec![
                (":one", n(&1)),
                (":c", n(&moved.customers)),
                (":o", n(&moved.orders)),
                (":x", n(&moved.credits_changed)),
            ];
            let currencies: Vec<(String, Money)> = moved
                .revenue_moved
                .iter()
                .map(|(currency, amount)| (currency.code().to_owned(), amount))
                .collect();
            let placeholders: Vec<String> = currencies
                .iter()
                .map(|(code, _)| format!(":m{code}"))
                .collect();
            for ((code, amount), placeholder) in currencies.iter().zip(&placeholders) {
                expression.push_str(&format!(", moved_{code} {placeholder}"));
                values.push((placeholder, n(amount)));
            }
            writes.push(
                self.store
                    .update_write(&keys::run(&self.id, run_id), &expression, values),
            );
        }
        match self.store.transact(writes).await? {
            // Cancelled: another worker finished the same unit first, and it counted.
            Transacted::Done | Transacted::Cancelled(_) => Ok(()),
        }
    }
}
