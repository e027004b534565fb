//! Single orders: as they stand from the moment they are accepted, and why they were credited as they were.

use std::collections::BTreeMap;

use revtrail_core::campaign::Catalog;
use revtrail_core::explain::explain;
use revtrail_core::fold::{LineCredit, OrderLine, World};
use revtrail_core::id::{CustomerId, OrderId};
use revtrail_core::order::{Order, Status};
use revtrail_core::record::Code;
use revtrail_core::settings::Versions;
use revtrail_core::time::{Day, Instant};
use revtrail_store::access::Role;
use revtrail_store::facts::CustomerFacts;
use revtrail_store::market::Market;
use revtrail_web::answer::json;
use revtrail_web::problem::Problem;
use revtrail_web::route::{Call, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::period::Period;
use crate::{PENDING_MAX, seen_from, versions};

/// A customer's facts with all they are decided by, notes not yet planned included.
pub(crate) struct Known {
    pub(crate) facts: CustomerFacts,
    catalog: Catalog,
    versions: Versions,
    look_back_ms: i64,
}

impl Known {
    pub(crate) async fn of(
        market: &Market,
        customer: &CustomerId,
        call: &Call,
    ) -> Result<Self, Problem> {
        let versions = versions(market).await?;
        let pending = market.pending(PENDING_MAX).await?;
        let catalog = market.catalog_with(&pending.campaigns).await?;
        let facts = market.customer(customer, call.now).await?;
        let catalog = catalog.witnessing(&facts.events).unwrap_or(catalog);
        Ok(Self {
            facts,
            catalog,
            versions,
            look_back_ms: call.app.retention().look_back_ms(),
        })
    }

    pub(crate) fn world(&self) -> World<'_> {
        World::new(&self.catalog, &self.versions, Some(self.look_back_ms))
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

async fn standing(market: &Market, call: &Call) -> Result<Order, Problem> {
    let id = call.id("id", OrderId::new)?;
    market
        .order(&id, call.now)
        .await?
        .filter(|order| order.placed_at >= seen_from(call))
        .ok_or_else(|| Problem::not_found("this marketplace has no such order"))
}

pub(crate) async fn one(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let order = standing(&market, &call).await?;
    let known = Known::of(&market, &order.customer_id, &call).await?;
    let decided = known.decided();
    let (order, line) = decided
        .iter()
        .find(|(one, _)| one.order_id == order.order_id)
        .ok_or_else(Problem::busy)?;
    Ok(json(
        StatusCode::OK,
        &shown(
            order,
            line.credit.as_ref(),
            line.not_counted.is_none(),
            &call,
        )?,
    ))
}

pub(crate) async fn attribution(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let order = standing(&market, &call).await?;
    let known = Known::of(&market, &order.customer_id, &call).await?;
    let decided = known.decided();
    let (order, line) = decided
        .iter()
        .find(|(one, _)| one.order_id == order.order_id)
        .ok_or_else(Problem::busy)?;
    let world = known.world();
    let explanation = explain(order, &world.timeline(&known.facts.events), &world);
    let by_run = |stored: &OrderLine| {
        OrderLine {
            first_purchase: false,
            ..stored.clone()
        } == *line
    };
    let decided = if known.facts.stored.line(&order.order_id).is_some_and(by_run) {
        "run"
    } else {
        "pending"
    };
    #[derive(Serialize)]
    struct Body {
        #[serde(flatten)]
        explanation: revtrail_core::explain::Explanation,
        decided: &'static str,
    }
    Ok(json(
        StatusCode::OK,
        &Body {
            explanation,
            decided,
        },
    ))
}

#[derive(Serialize, Deserialize)]
struct OrderCursor {
    day: Day,
    placed_at: Instant,
    order_id: OrderId,
}

/// An order for the list: where it stands in time, and who earned it.
struct Listed {
    day: Day,
    placed_at: Instant,
    order_id: OrderId,
    customer_id: CustomerId,
    credit: Option<LineCredit>,
    counted: bool,
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

    fn before(&self, cursor: &OrderCursor) -> bool {
        (self.day, self.placed_at, &self.order_id)
            < (cursor.day, cursor.placed_at, &cursor.order_id)
    }
}

pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let mut query = call.query();
    let period = Period::read(&mut query, &call, &versions);
    let status = query.read(
        "status",
        Code::UnknownStatus,
        "a status of an order, like DELIVERED",
        Status::parse,
    );
    let customer = query.id("customer_id", CustomerId::new);
    let limit = query.limit();
    let cursor: Option<OrderCursor> = query.cursor();
    query.done()?;
    let waiting = waiting(&market, customer.as_ref(), &call).await?;
    let mut days: BTreeMap<Day, Vec<Listed>> = BTreeMap::new();
    for listed in waiting {
        days.entry(listed.day).or_default().push(listed);
    }
    let sheets = if period.is_empty() || customer.is_some() {
        BTreeMap::new()
    } else {
        market.sheets(period.first, period.last, call.now).await?
    };
    for &day in sheets.keys() {
        days.entry(day).or_default();
    }
    let mut found: Vec<Value> = Vec::new();
    let mut last = None;
    let mut more = false;
    for (day, mut listed) in days.into_iter().rev() {
        if more
            || day < period.first
            || day > period.last
            || cursor.as_ref().is_some_and(|cursor| day > cursor.day)
        {
            continue;
        }
        if let Some(sheet) = sheets.get(&day) {
            let known: std::collections::HashSet<OrderId> =
                listed.iter().map(|one| one.order_id.clone()).collect();
            let rows = market.orders_of_day(day, sheet, call.now).await?;
            listed.extend(
                rows.iter()
                    .filter(|row| !known.contains(&row.line.order_id))
                    .map(|row| Listed::of(day, &row.customer_id, &row.line)),
            );
        }
        listed.retain(|one| cursor.as_ref().is_none_or(|cursor| one.before(cursor)));
        listed.sort_by(|a, b| (b.placed_at, &b.order_id).cmp(&(a.placed_at, &a.order_id)));
        for hundred in listed.chunks(100) {
            if more {
                break;
            }
            let ids: Vec<_> = hundred
                .iter()
                .map(|one| (one.customer_id.clone(), one.order_id.clone()))
                .collect();
            let standing: BTreeMap<OrderId, Order> = market
                .orders(&ids, call.now)
                .await?
                .into_iter()
                .map(|order| (order.order_id.clone(), order))
                .collect();
            for one in hundred {
                let Some(order) = standing
                    .get(&one.order_id)
                    .filter(|order| order.placed_at >= seen_from(&call))
                    .filter(|order| status.is_none_or(|status| status == order.status))
                else {
                    continue;
                };
                if found.len() == limit {
                    more = true;
                    break;
                }
                found.push(shown(order, one.credit.as_ref(), one.counted, &call)?);
                last = Some(OrderCursor {
                    day,
                    placed_at: one.placed_at,
                    order_id: one.order_id.clone(),
                });
            }
        }
    }
    let next_cursor = last
        .filter(|_| more)
        .map(|last| call.next_cursor(&last))
        .transpose()?;
    Ok(json(
        StatusCode::OK,
        &json!({ "orders": found, "next_cursor": next_cursor }),
    ))
}

/// The orders of one customer, or of all that wait for the next run: they are listed from the moment they are accepted.
async fn waiting(
    market: &Market,
    only: Option<&CustomerId>,
    call: &Call,
) -> Result<Vec<Listed>, Problem> {
    let customers = match only {
        Some(customer) => vec![customer.clone()],
        None => market
            .pending(PENDING_MAX)
            .await?
            .customers
            .into_iter()
            .collect(),
    };
    let mut listed = Vec::new();
    for customer in customers {
        let known = Known::of(market, &customer, call).await?;
        let world = known.world();
        listed.extend(
            known
                .decided()
                .iter()
                .map(|(order, line)| Listed::of(world.day(order.placed_at), &customer, line)),
        );
    }
    Ok(listed)
}
