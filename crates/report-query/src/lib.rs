//! The report-query function: everything that is read.

mod batches;
mod customers;
mod orders;
mod period;
mod promotion_lists;
mod promotions;
mod reports;
mod settings;
mod tables;

use revtrail_core::value::time::Instant;
use revtrail_store::Reading;
use revtrail_store::market::Market;
use revtrail_store::market::access::Role;
use revtrail_web::access::Access;
use revtrail_web::answer::json;
use revtrail_web::problem::Problem;
use revtrail_web::route::{Call, Method, Response, Route, StatusCode};
use serde::Serialize;
use serde_json::json;

/// Changed customers are counted up to here.
const PENDING_MAX: usize = 1_000;

const READERS: Access = Access::Roles(&[Role::Admin, Role::Marketer, Role::Analyst]);
const MARKETING: Access = Access::Roles(&[Role::Admin, Role::Marketer]);

/// What this function answers.
pub fn routes() -> Vec<Route> {
    let get = |path, access, handler: Handler| Route::new(Method::GET, path, access, handler);
    let mut routes = promotions::routes();
    routes.extend(promotion_lists::routes());
    routes.extend([
        get("/healthz", Access::Open, |call| Box::pin(health(call))),
        get("/v1/marketplaces", Access::AnyKey, |call| {
            Box::pin(settings::marketplaces(call))
        }),
        get("/v1/marketplaces/{marketplace}/settings", READERS, |call| {
            Box::pin(settings::settings(call))
        }),
        get(
            "/v1/marketplaces/{marketplace}/settings/versions",
            READERS,
            |call| Box::pin(settings::versions(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/reports/campaigns",
            READERS,
            |call| Box::pin(reports::campaigns(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/reports/campaigns/{id}",
            READERS,
            |call| Box::pin(reports::campaign(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/reports/campaigns/{id}/purchases",
            MARKETING,
            |call| Box::pin(reports::purchases(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/reports/orders",
            READERS,
            |call| Box::pin(reports::orders(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/reports/reconciliation",
            READERS,
            |call| Box::pin(reports::reconciliation(call)),
        ),
        get("/v1/marketplaces/{marketplace}/orders", READERS, |call| {
            Box::pin(orders::list(call))
        }),
        get(
            "/v1/marketplaces/{marketplace}/orders/{id}",
            READERS,
            |call| Box::pin(orders::one(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/orders/{id}/attribution",
            READERS,
            |call| Box::pin(orders::attribution(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/customers/{id}",
            MARKETING,
            |call| Box::pin(customers::customer(call)),
        ),
        get("/v1/marketplaces/{marketplace}/runs", READERS, |call| {
            Box::pin(settings::runs(call))
        }),
        get(
            "/v1/marketplaces/{marketplace}/runs/{id}",
            READERS,
            |call| Box::pin(settings::run(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/batches",
            promotions::PROMOTIONS,
            |call| Box::pin(batches::list(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/batches/{id}",
            promotions::PROMOTIONS,
            |call| Box::pin(batches::one(call)),
        ),
    ]);
    routes
}

type Answer = std::pin::Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;
type Handler = fn(Call) -> Answer;

async fn health(_: Call) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, &json!({ "status": "ok" })))
}

/// How fresh a report is; every report carries it.
#[derive(Serialize)]
struct Freshness {
    /// All facts accepted before are in the figures; `null` before the first run.
    as_of: Option<Instant>,
    /// Changed customers that wait for the next run.
    pending: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pending_more: bool,
    /// How figures must be read to be as fresh as that.
    #[serde(skip)]
    reading: Reading,
}

/// So long after figures moved an eventual read shows them: DynamoDB's replicas are at most a second or two behind, as a rule
/// some milliseconds.
const REPLICATED_MS: i64 = 10_000;

impl Freshness {
    /// To be read before the figures: they are as fresh as that, or fresher.
    async fn of(market: &Market, call: &Call) -> Result<Self, Problem> {
        let meta = market.meta().await?;
        let pending = market.pending(PENDING_MAX, call.now).await?;
        let settled_since = call.now.minus_ms(REPLICATED_MS);
        let settled = meta.moved_at.is_none_or(|at| at < settled_since);
        Ok(Self {
            as_of: meta.as_of,
            reading: match settled {
                true => Reading::EVENTUAL,
                false => Reading::STRONG,
            },
            pending: pending.customers.len(),
            pending_more: pending.more,
        })
    }
}

/// The earliest time of a single fact that users see; decisions look further back, at facts that are kept unseen.
fn seen_from(call: &Call) -> Instant {
    call.now.minus_ms(call.app.retention().ms())
}

/// The settings' versions of the tenant, which exists.
async fn versions(
    market: &Market,
) -> Result<revtrail_core::attribution::settings::Versions, Problem> {
    market.versions().await?.ok_or_else(Problem::forbidden)
}
