//! Single orders: as they stand from the moment they are accepted, and why they were credited as they were.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use revtrail_core::attribution::campaign::Catalog;
use revtrail_core::attribution::explain::{Explanation, explain};
use revtrail_core::attribution::order::{Order, Status};
use revtrail_core::attribution::settings::Versions;
use revtrail_core::figures::fold::{LineCredit, OrderLine, World};
use revtrail_core::record::Code;
use revtrail_core::value::id::{CustomerId, OrderId};
use revtrail_core::value::time::{Day, Instant};
use revtrail_store::Reading;
use revtrail_store::ledger::facts::{CustomerFacts, TIMELINE_BYTES_MAX};
use revtrail_store::market::Market;
use revtrail_store::market::access::Role;
use revtrail_web::answer::json;
use revtrail_web::problem::Problem;
use revtrail_web::route::{Call, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::period::Period;
use crate::{PENDING_MAX, seen_from, versions};

/// All that a customer's facts are decided by, notes not yet planned included.
pub(crate) struct Rulebook {
    catalog: Catalog,
    versions: Versions,
    look_back_ms: i64,
}

/// A customer's facts, and all that they are decided by.
pub(crate) struct Known<'r> {
    pub(crate) facts: CustomerFacts,
    catalog: Cow<'r, Catalog>,
    rules: &'r Rulebook,
}

impl Rulebook {
    pub(crate) async fn of(market: &Market, call: &Call) -> Result<Self, Problem> {
        let versions = versions(market).await?;
        let told = market.told_of_campaigns().await?;
        Ok(Self {
            catalog: market.catalog_with(&told).await?,
            versions,
            look_back_ms: call.app.retention().look_back_ms(),
        })
    }

    /// None where there is too much of a customer to be read.
    pub(crate) async fn customer(
        &self,
        market: &Market,
        id: &CustomerId,
        call: &Call,
    ) -> Result<Option<Known<'_>>, Problem> {
        let Some(facts) = market.customer(id, TIMELINE_BYTES_MAX, call.now).await? else {
            return Ok(None);
        };
        let grown = self.catalog.witnessing(&facts.events);
        let catalog = grown.map_or(Cow::Borrowed(&self.catalog), Cow::Owned);
        Ok(Some(Known {
            facts,
            catalog,
            rules: self,
        }))
    }
}

impl Known<'_> {
    pub(crate) fn world(&self) -> World<'_> {
        World::new(
            &self.catalog,
            &self.rules.versions,
            Some(self.rules.look_back_ms),
        )
    }

    /// The orders with who earned them, newest first.
    pub(crate) fn decided(&self) -> Vec<(&Order, OrderLine)> {
        let world = self.world();
        let timeline = world.timeline(&self.facts.events);
        let line =
            |order| OrderLine::of(order, &world.decide(order, &timeline), false, world.catalog);
        let mut orders: Vec<_> = self
            .facts
            .orders
            .iter()
            .map(|order| (order, line(order)))
            .collect();
        orders
            .sort_by(|(a, _), (b, _)| (b.placed_at, &b.order_id).cmp(&(a.placed_at, &a.order_id)));
        orders
    }
}

/// An order as it stands, and who earned it. Analysts see no email, phone and names.
pub(crate) fn shown(
    order: &Order,
    credit: Option<&LineCredit>,
    counted: bool,
    call: &Call,
) -> Result<Value, Problem> {
    let personal = call.caller()?.role != Role::Analyst;
    let mut body = json!({
        "order_id": order.order_id, "customer_id": order.customer_id, "status": order.status,
        "total": order.total.in_currency(order.currency), "currency": order.currency, "placed_at": order.placed_at,
        "updated_at": order.updated_at, "refunded_total": order.refunded_total.in_currency(order.currency), "source": order.source,
        "coupon_codes": order.coupon_codes, "items": order.items, "credited_to": credit, "counted": counted,
    });
    if let (true, Some(fields)) = (personal, body.as_object_mut()) {
        let person = [
            ("email", &order.email),
            ("phone", &order.phone),
            ("first_name", &order.first_name),
            ("last_name", &order.last_name),
        ];
        fields.extend(person.map(|(name, text)| (name.to_owned(), json!(text))));
    }
    Ok(body)
}

/// A bot, as a rule. The figures of the last run stand; `GET reports/reconciliation` lists the customer.
pub(crate) fn too_large() -> Problem {
    let detail = "this customer has more than 32 MiB of facts, which nothing is decided from any more: the last run's figures stand";
    Problem::conflict("timeline_too_large", detail)
}

/// The order in the path, decided from its customer's facts.
async fn with_decided<T>(
    call: &Call,
    then: impl FnOnce(&Order, &OrderLine, &Known<'_>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let market = call.market()?;
    let id = call.id("id", OrderId::new)?;
    let order = market.order(&id, call.now).await?;
    let order = order.filter(|order| order.placed_at >= seen_from(call));
    let unknown = || Problem::not_found("this marketplace has no such order");
    let customer = order.ok_or_else(unknown)?.customer_id;
    let rules = Rulebook::of(&market, call).await?;
    let known = rules.customer(&market, &customer, call).await?;
    let known = known.ok_or_else(too_large)?;
    let decided = known.decided();
    let found = decided.iter().find(|(order, _)| order.order_id == id);
    let (order, line) = found.ok_or_else(unknown)?;
    then(order, line, &known)
}

pub(crate) async fn one(call: Call) -> Result<Response, Problem> {
    let body = with_decided(&call, |order, line, _| {
        shown(
            order,
            line.credit.as_ref(),
            line.not_counted.is_none(),
            &call,
        )
    });
    Ok(json(StatusCode::OK, &body.await?))
}

#[derive(Serialize)]
struct AttributionBody {
    #[serde(flatten)]
    explanation: Explanation,
    /// Whether the last run stored the same decision.
    decided: &'static str,
}

pub(crate) async fn attribution(call: Call) -> Result<Response, Problem> {
    let body = with_decided(&call, |order, line, known| {
        let world = known.world();
        let same = |stored: &OrderLine| {
            let stored = OrderLine {
                first_purchase: false,
                ..stored.clone()
            };
            stored == *line
        };
        let by_run = known.facts.stored.line(&order.order_id).is_some_and(same);
        Ok(AttributionBody {
            explanation: explain(order, &world.timeline(&known.facts.events), &world),
            decided: if by_run { "run" } else { "pending" },
        })
    });
    Ok(json(StatusCode::OK, &body.await?))
}

/// Most orders read at the same time.
const AT_ONCE: usize = 100;

#[derive(Serialize, Deserialize)]
struct OrderCursor {
    day: Day,
    placed_at: Instant,
    order_id: OrderId,
}

/// An order for the list: where it stands in time, and who earned it.
pub(crate) struct Listed {
    day: Day,
    placed_at: Instant,
    order_id: OrderId,
    customer_id: CustomerId,
    pub(crate) credit: Option<LineCredit>,
    pub(crate) counted: bool,
}

impl Listed {
    fn of(day: Day, customer_id: &CustomerId, line: &OrderLine) -> Self {
        Self {
            day,
            placed_at: line.placed_at,
            order_id: line.order_id.clone(),
            customer_id: customer_id.clone(),
            credit: line.credit.clone(),
            counted: line.not_counted.is_none(),
        }
    }

    /// Where it stands in its day.
    fn time(&self) -> (Instant, &OrderId) {
        (self.placed_at, &self.order_id)
    }
}

/// What of the order list is asked for.
struct Wanted {
    period: Period,
    status: Option<Status>,
    customer: Option<CustomerId>,
    cursor: Option<OrderCursor>,
}

pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let mut query = call.query();
    let wanted = Wanted {
        period: Period::read(&mut query, &call, &versions),
        status: query.read(
            "status",
            Code::UnknownStatus,
            "a status of an order, like DELIVERED",
            Status::parse,
        ),
        customer: query.id("customer_id", CustomerId::new),
        cursor: query.cursor(),
    };
    let limit = query.limit();
    let with_revenue = query.flag("revenue");
    let csv = crate::reports::csv_wanted(&call)?;
    query.done()?;
    if csv {
        let (all, _) = wanted.find(&market, usize::MAX, &call).await?;
        return Ok(crate::tables::order_list(&all, with_revenue));
    }
    let (found, more) = wanted.find(&market, limit, &call).await?;
    let next = |(one, _): &(Listed, Order)| OrderCursor {
        day: one.day,
        placed_at: one.placed_at,
        order_id: one.order_id.clone(),
    };
    let last = found.last().filter(|_| more).map(next);
    let next_cursor = last.map(|last| call.next_cursor(&last)).transpose()?;
    let show =
        |(one, order): &(Listed, Order)| shown(order, one.credit.as_ref(), one.counted, &call);
    let orders: Vec<Value> = found.iter().map(show).collect::<Result<_, _>>()?;
    let body = json!({ "orders": orders, "next_cursor": next_cursor });
    Ok(json(StatusCode::OK, &body))
}

impl Wanted {
    /// The first orders from the cursor on, newest first, at most `limit` of them; and whether there are more.
    async fn find(
        &self,
        market: &Market,
        limit: usize,
        call: &Call,
    ) -> Result<(Vec<(Listed, Order)>, bool), Problem> {
        let mut waiting: BTreeMap<Day, Vec<Listed>> = BTreeMap::new();
        for one in self.waiting(market, call).await? {
            waiting.entry(one.day).or_default().push(one);
        }
        let Period { first, last } = self.period;
        let sheets = if self.period.is_empty() || self.customer.is_some() {
            BTreeMap::new()
        } else {
            market
                .sheets(first, last, Reading::STRONG, call.now)
                .await?
        };
        let last = self.cursor.as_ref().map_or(last, |at| at.day.min(last));
        let days: BTreeSet<Day> = waiting.keys().chain(sheets.keys()).copied().collect();
        // One more than are asked for says whether there are more.
        let at_once = AT_ONCE.min(limit.saturating_add(1));
        let mut found = Vec::new();
        for day in days
            .into_iter()
            .rev()
            .filter(|day| (first..=last).contains(day))
        {
            let cursor = self.cursor.as_ref().filter(|cursor| cursor.day == day);
            let cursor = cursor.map(|cursor| (cursor.placed_at, &cursor.order_id));
            let mut waiting = waiting.remove(&day).unwrap_or_default();
            let known: HashSet<OrderId> = waiting.iter().map(|one| one.order_id.clone()).collect();
            waiting.retain(|one| cursor.is_none_or(|cursor| one.time() < cursor));
            waiting.sort_by(|a, b| b.time().cmp(&a.time()));
            let mut rows = market
                .newest_first(day, sheets.get(&day), cursor, at_once, call.now)
                .await?;
            loop {
                let page = rows.next(at_once).await?;
                let oldest = page
                    .last()
                    .map(|row| (row.line.placed_at, &row.line.order_id));
                let newer = |one: &Listed| oldest.is_none_or(|oldest| one.time() > oldest);
                let older = waiting.split_off(waiting.partition_point(newer));
                let mut listed = std::mem::replace(&mut waiting, older);
                let new = page
                    .iter()
                    .filter(|row| !known.contains(&row.line.order_id));
                listed.extend(new.map(|row| Listed::of(day, &row.customer_id, &row.line)));
                listed.sort_by(|a, b| b.time().cmp(&a.time()));
                while !listed.is_empty() {
                    let rest = listed.split_off(listed.len().min(at_once));
                    for one in self.standing(market, listed, call).await? {
                        if found.len() == limit {
                            return Ok((found, true));
                        }
                        found.push(one);
                    }
                    listed = rest;
                }
                if oldest.is_none() {
                    break;
                }
            }
        }
        Ok((found, false))
    }

    /// The standing copies of some orders that are seen and asked for, in the same order.
    async fn standing(
        &self,
        market: &Market,
        listed: Vec<Listed>,
        call: &Call,
    ) -> Result<Vec<(Listed, Order)>, Problem> {
        let id = |one: &Listed| (one.customer_id.clone(), one.order_id.clone());
        let ids: Vec<_> = listed.iter().map(id).collect();
        let copies = market.orders(&ids, call.now).await?;
        let mut copies: HashMap<OrderId, Order> = copies
            .into_iter()
            .filter(|order| order.placed_at >= seen_from(call))
            .filter(|order| self.status.is_none_or(|status| status == order.status))
            .map(|order| (order.order_id.clone(), order))
            .collect();
        let with_copy = |one: Listed| copies.remove(&one.order_id).map(|order| (one, order));
        Ok(listed.into_iter().filter_map(with_copy).collect())
    }

    /// The orders of one customer, or of all that wait for the next run: they are listed from the moment they are accepted.
    async fn waiting(&self, market: &Market, call: &Call) -> Result<Vec<Listed>, Problem> {
        let rules = Rulebook::of(market, call).await?;
        let customers = match &self.customer {
            Some(customer) => vec![customer.clone()],
            None => {
                let waiting = market.pending(PENDING_MAX, call.now).await?;
                waiting.customers.into_iter().collect()
            }
        };
        let mut listed = Vec::new();
        for customer in customers {
            let Some(known) = rules.customer(market, &customer, call).await? else {
                continue;
            };
            let world = known.world();
            let decided = known.decided();
            let one = |(order, line): &(&Order, OrderLine)| {
                Listed::of(world.day(order.placed_at), &customer, line)
            };
            listed.extend(decided.iter().map(one));
        }
        Ok(listed)
    }
}
