//! Single orders: as they are from the moment they are accepted, and why they were credited as they were.

mod csv;
pub(crate) mod list;
mod listed;
pub(crate) mod report;

use std::borrow::Cow;
use std::collections::BTreeMap;

use revtrail_core::attribution::campaign::Catalog;
use revtrail_core::attribution::decide::NotCounted;
use revtrail_core::attribution::explain::{Explanation, Lane, explain, explain_with_lanes};
use revtrail_core::attribution::order::Order;
use revtrail_core::attribution::settings::Versions;
use revtrail_core::figures::fold::{LineCredit, OrderLine, World};
use revtrail_core::value::id::{CampaignId, CustomerId, MarketplaceId, OrderId};
use revtrail_store::ledger::facts::{CustomerFacts, TIMELINE_BYTES_MAX};
use revtrail_store::market::Market;
use revtrail_store::market::access::Role;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{seen_from, versions};

/// Everything that the orders of a customer are decided by besides facts, including what events said that no run has taken in yet.
pub(crate) struct Rulebook {
    catalog: Catalog,
    versions: Versions,
    look_back_ms: i64,
}

/// A customer's facts, and everything that their orders are decided by.
pub(crate) struct Known<'r> {
    pub(crate) facts: CustomerFacts,
    marketplace: MarketplaceId,
    catalog: Cow<'r, Catalog>,
    rules: &'r Rulebook,
}

impl Rulebook {
    pub(crate) async fn of(market: &Market, call: &Call) -> Result<Self, Problem> {
        let versions = versions(market).await?;
        let told = market.campaigns().noted().await?;
        Ok(Self {
            catalog: market.campaigns().catalog_with(&told).await?,
            versions,
            look_back_ms: call.app.retention().look_back_ms(),
        })
    }

    /// Reads a customer; `None` if the facts of the customer are too many to be read.
    pub(crate) async fn customer(
        &self,
        market: &Market,
        id: &CustomerId,
        call: &Call,
    ) -> Result<Option<Known<'_>>, Problem> {
        let Some(facts) = market
            .facts()
            .customer(&id.clone().into(), TIMELINE_BYTES_MAX, call.now)
            .await?
        else {
            return Ok(None);
        };
        // Only a part of the facts is here while they move to a pseudonym.
        if facts.stored.is_moving {
            return Err(Problem::busy());
        }
        let grown = self.catalog.witnessing(facts.all_events());
        let catalog = grown.map_or(Cow::Borrowed(&self.catalog), Cow::Owned);
        Ok(Some(Known {
            marketplace: market.id().clone(),
            facts,
            catalog,
            rules: self,
        }))
    }
}

impl Known<'_> {
    pub(crate) fn world(&self) -> World<'_> {
        World::new(
            &self.marketplace,
            &self.catalog,
            &self.rules.versions,
            Some(self.rules.look_back_ms),
        )
    }

    /// The orders with the campaigns that earned them, newest first.
    pub(crate) fn decided(&self) -> Vec<(&Order, OrderLine)> {
        let world = self.world();
        let timelines = self.facts.timelines(&world);
        let line = |order| {
            OrderLine::of(
                order,
                &world.decide(order, &timelines),
                false,
                world.catalog,
            )
        };
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

/// An order as it is, and the campaign that earned it. Analysts see no email, phone and names.
pub(crate) fn shown(
    order: &Order,
    credit: Option<&LineCredit>,
    not_counted: Option<NotCounted>,
    call: &Call,
) -> Result<Value, Problem> {
    let personal = call.caller()?.role != Role::Analyst;
    let mut body = json!({
        "order_id": order.order_id, "customer_id": order.customer_id, "status": order.status,
        "total": order.total.in_currency(order.currency), "currency": order.currency, "placed_at": order.placed_at,
        "updated_at": order.updated_at, "refunded_total": order.refunded_total.in_currency(order.currency), "source": order.source,
        "coupon_codes": order.coupon_codes, "items": order.items, "credited_to": credit,
        "counted": not_counted.is_none(), "not_counted": not_counted,
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

/// The customer is usually a bot. The figures of the last run remain, and `GET reports/reconciliation` lists the customer.
pub(crate) fn too_large() -> Problem {
    let detail = "this customer has more than 32 MiB of facts, which nothing is decided from any more: the last run's figures stand";
    Problem::conflict("timeline_too_large", detail)
}

/// The order named in the path, decided from its customer's facts.
async fn with_decided<T>(
    call: &Call,
    then: impl FnOnce(&Order, &OrderLine, &Known<'_>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let market = call.market()?;
    let id = call.id("id", OrderId::new)?;
    let order = market.facts().order(&id, call.now).await?;
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
            line.figures.credit.as_ref(),
            line.figures.not_counted,
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
    /// What happened to each candidate, in their order, where the call asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    lanes: Option<Vec<Lane>>,
    /// The names of the campaigns that the explanation names, with the lanes.
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<BTreeMap<CampaignId, String>>,
}

/// The names of the candidates' campaigns, and of those that superseded them.
fn names(explanation: &Explanation, catalog: &Catalog) -> BTreeMap<CampaignId, String> {
    let ids = explanation.candidates.iter();
    let ids = ids.flat_map(|one| [Some(&one.campaign_id), one.superseded_by.as_ref()]);
    let named = |id: &CampaignId| Some((id.clone(), catalog.get(id)?.name.clone()));
    ids.flatten().filter_map(named).collect()
}

pub(crate) async fn attribution(call: Call) -> Result<Response, Problem> {
    let mut query = call.query();
    let with_lanes = query.flag("lanes");
    query.done()?;
    let body = with_decided(&call, |order, line, known| {
        let world = known.world();
        let same = |stored: &OrderLine| {
            let mut stored = stored.clone();
            stored.figures.first_purchase = false;
            stored == *line
        };
        let by_run = known.facts.stored.line(&order.order_id).is_some_and(same);
        let timelines = known.facts.timelines(&world);
        let (explanation, lanes) = match with_lanes {
            true => {
                let (explanation, lanes) = explain_with_lanes(order, &timelines, &world);
                (explanation, Some(lanes))
            }
            false => (explain(order, &timelines, &world), None),
        };
        Ok(AttributionBody {
            names: with_lanes.then(|| names(&explanation, world.catalog)),
            explanation,
            lanes,
            decided: if by_run { "run" } else { "pending" },
        })
    });
    Ok(json(StatusCode::OK, &body.await?))
}
