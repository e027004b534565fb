//! The ingest-order function: it takes in orders and, in `webhooks`, what shops post.

mod webhooks;

mod docs;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::attribution::order::{self, Order};
use revtrail_core::figures::daily::IntakeCounts as Counts;
use revtrail_core::record::Record;
use revtrail_core::value::id::{CustomerId, MarketplaceId, OrderId};
use revtrail_core::value::time::Instant;
use revtrail_store::StoreError;
use revtrail_store::ledger::facts::{OrderOutcome, Pointer};
use revtrail_store::ledger::intake::IntakeMarker;
use revtrail_store::ledger::links::MissingLinks;
use revtrail_store::market::Market;
use revtrail_web::access::{Access, INTAKE};
use revtrail_web::api::Route;
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use revtrail_web::records::Intake;

pub use docs::docs;

/// How many orders are written at the same time.
const WRITES_AT_ONCE: usize = 16;

/// The marketplaces that are known to have an order, so that they are marked once and not at every call.
#[derive(Debug, Clone, Default)]
pub struct Marked(Arc<Mutex<HashSet<MarketplaceId>>>);

impl Marked {
    async fn mark(&self, market: &Market) -> Result<(), StoreError> {
        if !self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(market.id())
        {
            market.mark_orders().await?;
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(market.id().clone());
        }
        Ok(())
    }
}

/// The routes that this function answers.
pub fn routes() -> Vec<Route> {
    let marked = Marked::default();
    let with = |sender: &'static str| {
        let marked = marked.clone();
        move |call| webhooks::post(call, sender, marked.clone())
    };
    let (shopify, woocommerce) = (with("shopify"), with("woocommerce"));
    let (orders, event) = (with("compat/yespo/orders"), with("compat/yespo/event"));
    revtrail_web::routes! {
        POST "/orders",               INTAKE         => move |call| post_orders(call, marked.clone());
        POST "/webhooks/shopify",     INTAKE, sender => shopify;
        POST "/webhooks/woocommerce", INTAKE, sender => woocommerce;
        GET  "/webhooks/shopify",     Access::Open, sender => webhooks::probe;
        GET  "/webhooks/woocommerce", Access::Open, sender => webhooks::probe;
        POST "/compat/yespo/orders",  INTAKE, sender => orders;
        POST "/compat/yespo/event",   INTAKE, sender => event;
    }
}

async fn post_orders(call: Call, marked: Marked) -> Result<Response, Problem> {
    let acceptance_window = call.acceptance_window();
    let mut answer = Intake::with_copies();
    let mut orders = Vec::new();
    for (index, record) in call.records()?.into_iter().enumerate() {
        let read = |record: Record<'_>| {
            answer.ignore(&record, &order::FIELDS);
            Order::read(&record, Some(&acceptance_window))
        };
        match record.and_then(Record::from_json).and_then(read) {
            Ok(order) => orders.push((index, order)),
            Err(problem) => answer.reject(index, problem),
        }
    }
    let outcomes = ingest(
        &call.market()?,
        &marked,
        &orders,
        answer.rejections(ORDERS),
        call.now,
    )
    .await?;
    outcomes
        .into_iter()
        .for_each(|one| settle(one, &mut answer));
    Ok(answer.answer())
}

/// Adds to the answer what became of an order.
fn settle((index, outcome): (usize, OrderOutcome), answer: &mut Intake) {
    match outcome {
        OrderOutcome::Stored | OrderOutcome::Newer => answer.accepted += 1,
        OrderOutcome::Older => answer.older(),
        OrderOutcome::Duplicate => answer.duplicates += 1,
        OrderOutcome::Immutable(problem) => answer.reject(index, problem),
    }
}

/// What the records of orders are called where rejected ones are counted.
pub(crate) const ORDERS: &str = "orders";

/// Stores the orders of one call, between an open intake marker and a closed one. Returns for each, by its index, what became of
/// it.
///
/// # Errors
/// As every call of the table: what is stored stays, the intake marker stays open, and the same call may be made again.
pub async fn ingest(
    market: &Market,
    marked: &Marked,
    orders: &[(usize, Order)],
    mut rejections: BTreeMap<String, i64>,
    now: Instant,
) -> Result<Vec<(usize, OrderOutcome)>, StoreError> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    marked.mark(market).await?;
    // Copies of one order are stored one after the other, in the order of the call.
    let mut by_id: BTreeMap<&OrderId, Vec<&(usize, Order)>> = BTreeMap::new();
    for copy in orders {
        by_id.entry(&copy.1.order_id).or_default().push(copy);
    }
    let by_id: Vec<Vec<&(usize, Order)>> = by_id.into_values().collect();
    let mut marker = IntakeMarker::open(BTreeSet::new(), now);
    let mut erasures = market.meta().await?.erasures;
    let (found, missing) = loop {
        let found = pointers(market, &by_id, erasures > 0).await?;
        let missing = missing_links(market, &by_id, &found, erasures > 0).await?;
        // The marker names the customers whom the orders belong to: if the call died, nobody else would fold them. It names those whom
        // the copies name, because an erasure of such a customer must wait for the copy. And it names the addresses that get their
        // first link, because the figures say which addresses have one.
        let owners = found.iter().map(|pointer| &pointer.customer_id);
        let named = orders.iter().map(|(_, copy)| &copy.customer_id);
        let customers = owners.chain(named).map(|customer| customer.clone().into());
        marker.customers = customers.chain(missing.addresses()).collect();
        market.intake().put_marker(&marker).await?;
        // Somebody may have been erased since the pointers were found. From here on an erasure sees the marker, and waits for it.
        let raised = market.meta().await?.erasures;
        if raised == erasures {
            break (found, missing);
        }
        erasures = raised;
    };
    market.links().write(&missing).await?;
    let found: Vec<(Vec<&(usize, Order)>, Pointer)> = by_id.into_iter().zip(found).collect();
    let writes: Vec<_> = found
        .iter()
        .map(|(copies, pointer)| put_copies(market, copies, pointer, now))
        .collect();
    let outcomes: Vec<Vec<(usize, OrderOutcome, &CustomerId)>> = stream::iter(writes)
        .buffer_unordered(WRITES_AT_ONCE)
        .try_collect()
        .await?;
    let outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
    let changed =
        |outcome: &OrderOutcome| matches!(outcome, OrderOutcome::Stored | OrderOutcome::Newer);
    let count = |of: &[fn(&OrderOutcome) -> bool]| {
        outcomes
            .iter()
            .filter(|(_, outcome, _)| of.iter().any(|is| is(outcome)))
            .count() as i64
    };
    let refused = count(&[|outcome| matches!(outcome, OrderOutcome::Immutable(_))]);
    for (_, outcome, _) in &outcomes {
        if let OrderOutcome::Immutable(problem) = outcome {
            let code = format!("{ORDERS} {}", problem.code.text());
            *rejections.entry(code).or_default() += 1;
        }
    }
    let rejected: i64 = rejections.values().sum();
    marker.closed = true;
    marker.customers = outcomes
        .iter()
        .filter(|(_, outcome, _)| changed(outcome))
        .map(|(_, _, customer)| (*customer).clone().into())
        .chain(missing.addresses())
        .collect::<BTreeSet<_>>();
    // A call of which every record is rejected is answered with 422 and not counted.
    if refused < orders.len() as i64 {
        marker.orders_in = Counts {
            received: orders.len() as i64 + rejected - refused,
            stored: count(&[|outcome| *outcome == OrderOutcome::Stored]),
            duplicates: count(&[|outcome| *outcome == OrderOutcome::Duplicate]),
            older_copies: count(&[
                |outcome| *outcome == OrderOutcome::Newer,
                |outcome| *outcome == OrderOutcome::Older,
            ]),
            rejected,
        };
        marker.rejections = rejections;
    }
    market.intake().put_marker(&marker).await?;
    Ok(outcomes
        .into_iter()
        .map(|(index, outcome, _)| (index, outcome))
        .collect())
}

/// Stores orders of a marketplace that has none of them, each with an id of its own and many at a time, between an open intake marker and
/// a closed one. No redemption named one of them before.
///
/// # Errors
/// [`StoreError::Contended`] where one of them is there; otherwise as every call of the table.
pub async fn ingest_first(
    market: &Market,
    orders: &[Order],
    now: Instant,
) -> Result<(), StoreError> {
    market.mark_orders().await?;
    let missing = market.links().missing(orders, false).await?;
    let customers = orders.iter().map(|order| order.customer_id.clone().into());
    let touched = customers.chain(missing.addresses()).collect();
    let mut marker = IntakeMarker::open(touched, now);
    market.intake().put_marker(&marker).await?;
    let all: Vec<&Order> = orders.iter().collect();
    market.first_facts().put_orders(&all, &missing).await?;
    marker.closed = true;
    marker.orders_in = Counts {
        received: orders.len() as i64,
        stored: orders.len() as i64,
        ..Counts::default()
    };
    market.intake().put_marker(&marker).await
}

/// The links that the copies ask for and that are not there yet.
async fn missing_links(
    market: &Market,
    by_id: &[Vec<&(usize, Order)>],
    found: &[Pointer],
    strong: bool,
) -> Result<MissingLinks, StoreError> {
    let mut copies = Vec::new();
    for (some, pointer) in by_id.iter().zip(found) {
        let taken = some
            .iter()
            .map(|(_, order)| pointer.take(order, market.id()));
        copies.extend(taken.filter_map(Result::ok));
    }
    market.links().missing(&copies, strong).await
}

/// Whose the orders are.
async fn pointers(
    market: &Market,
    by_id: &[Vec<&(usize, Order)>],
    strong: bool,
) -> Result<Vec<Pointer>, StoreError> {
    let found: Vec<_> = by_id
        .iter()
        .map(|copies| market.facts().order_pointer(&copies[0].1, strong))
        .collect();
    stream::iter(found)
        .buffered(WRITES_AT_ONCE)
        .try_collect()
        .await
}

async fn put_copies<'o>(
    market: &Market,
    copies: &[&(usize, Order)],
    pointer: &'o Pointer,
    now: Instant,
) -> Result<Vec<(usize, OrderOutcome, &'o CustomerId)>, StoreError> {
    let mut outcomes = Vec::new();
    for (index, order) in copies {
        let outcome = market.facts().put_order(order, pointer).await?;
        outcomes.push((*index, outcome, &pointer.customer_id));
    }
    // This is done for duplicates too, because the call that stored the order may have died before this.
    if let Some((_, order)) = copies.last() {
        market
            .order_links()
            .settle_order(&order.order_id, now)
            .await?;
    }
    Ok(outcomes)
}
