//! The report-query function answers everything that is only read.

mod batches;
mod campaigns;
mod customers;
mod docs;
mod marketplaces;
mod orders;
mod period;
mod promotions;
mod runs;
mod segments;
mod senders;
mod service;

use revtrail_core::value::time::Instant;
use revtrail_store::Reading;
use revtrail_store::market::Market;
use revtrail_web::access::{Access, MARKETING, PROMOTIONS, READERS};
use revtrail_web::api::{Method, Route};
use revtrail_web::call::Call;
use revtrail_web::problem::Problem;
use serde::Serialize;

use crate::period::Period;

pub use docs::docs;

/// Up to how many changed customers are counted.
const PENDING_MAX: usize = 1_000;

/// The routes that this function answers.
pub fn routes() -> Vec<Route> {
    let mut routes = revtrail_web::routes! {
        GET "/settings",                         READERS,   secret => marketplaces::settings;
        GET "/settings/versions",                READERS,   secret => marketplaces::versions;
        GET "/campaigns/{id}",                   READERS           => campaigns::facts;
        GET "/reports/campaigns",                READERS,     list => campaigns::report;
        GET "/reports/campaigns/{id}",           READERS,    query => campaigns::report_of_one;
        GET "/reports/campaigns/{id}/purchases", MARKETING,   list => campaigns::purchases::list;
        GET "/reports/campaigns/{id}/rivals",    READERS,    query => campaigns::rivals::rivals;
        GET "/reports/orders",                   READERS,    query => orders::report::statuses;
        GET "/reports/reconciliation",           READERS,    query => orders::report::reconciliation;
        GET "/orders",                           READERS,     list => orders::list::list;
        GET "/orders/{id}",                      READERS,     heavy => orders::one;
        GET "/orders/{id}/attribution",          READERS,     query => orders::attribution;
        GET "/customers/{id}",                   MARKETING,   heavy => customers::customer;
        GET "/segments",                         MARKETING,   list => segments::list;
        GET "/segments/{id}",                    MARKETING,   list => segments::one;
        GET "/senders",                          READERS           => senders::list;
        GET "/runs",                             READERS,     list => runs::list;
        GET "/runs/{id}",                        READERS           => runs::one;
        GET "/batches",                          PROMOTIONS,  list => batches::list;
        GET "/batches/{id}",                     PROMOTIONS, query => batches::one;
        GET "/reports/promotions",               PROMOTIONS,  list => promotions::report;
        GET "/promotions/{id}",                  PROMOTIONS        => promotions::facts;
        GET "/promotions/{id}/dashboard",        PROMOTIONS,  heavy => promotions::dashboard::dashboard;
        GET "/promotions/{id}/vouchers",         PROMOTIONS,  list => promotions::lists::vouchers;
        GET "/promotions/{id}/validation-rules", PROMOTIONS,  list => promotions::lists::rules;
        GET "/promotions/{id}/redemptions",      PROMOTIONS,  list => promotions::lists::redemptions;
        GET "/promotions/{id}/publications",     PROMOTIONS,  list => promotions::lists::publications;
        GET "/promotions/{id}/distributions",    PROMOTIONS,  list => promotions::lists::distributions;
        GET "/promotions/{id}/metadata",         PROMOTIONS,  list => promotions::lists::metadata;
        GET "/promotions/{id}/changes",          PROMOTIONS,  list => promotions::lists::changes;
        GET "/quarantine",                       PROMOTIONS,  list => promotions::lists::quarantine;
        GET "/redemptions",                      PROMOTIONS,  list => promotions::lists::feed;
    };
    let own = marketplaces::list;
    routes.extend([
        Route::new(Method::GET, "/healthz", Access::Open, service::health),
        Route::new(Method::GET, "/readyz", Access::Open, service::readiness),
        Route::new(Method::GET, "/openapi.json", Access::Open, service::openapi),
        Route::new(Method::GET, "/v1/marketplaces", Access::AnyKey, own),
    ]);
    let pages = revtrail_pages::routes(&routes);
    routes.extend(pages);
    routes
}

/// How fresh a report is; every report carries it.
#[derive(Serialize)]
struct Freshness {
    /// All facts accepted before this time are in the figures; `null` before the first run.
    as_of: Option<Instant>,
    /// How many changed customers wait for the next run.
    pending: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pending_more: bool,
    /// How figures must be read to be as fresh as this says.
    #[serde(skip)]
    reading: Reading,
}

/// How many milliseconds after figures moved an eventual read shows them. DynamoDB's replicas are at most a second or two behind,
/// and usually some milliseconds.
const REPLICATED_MS: i64 = 10_000;

impl Freshness {
    /// Must be read before the figures, which are then at least this fresh.
    async fn of(market: &Market, call: &Call) -> Result<Self, Problem> {
        let meta = market.meta().await?;
        let pending = market.intake().pending(PENDING_MAX, call.now).await?;
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

/// A report: its figures, the days that they are of, and how fresh they are.
#[derive(Serialize)]
struct Report<T> {
    #[serde(flatten)]
    figures: T,
    /// The period that the figures are of.
    period: Period,
    #[serde(flatten)]
    freshness: Freshness,
}

/// The earliest time of a single fact that users see. Decisions look further back, at facts that are kept but not shown.
fn seen_from(call: &Call) -> Instant {
    call.now.minus_ms(call.app.retention().ms())
}

/// The versions of the settings of the tenant, which exists.
async fn versions(
    market: &Market,
) -> Result<revtrail_core::attribution::settings::Versions, Problem> {
    market
        .settings()
        .versions()
        .await?
        .ok_or_else(Problem::forbidden)
}
