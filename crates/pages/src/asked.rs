//! What a page asks of the API: routes by their path, and answers as values.

use std::future::Future;
use std::sync::Arc;

use http_body_util::BodyExt;
use revtrail_core::value::id::MarketplaceId;
use revtrail_store::market::access::Role;
use revtrail_web::access::Access;
use revtrail_web::api::{Method, Route};
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(crate) const MARKETPLACES: &str = "/v1/marketplaces";
pub(crate) const SETTINGS: &str = "/v1/marketplaces/{marketplace}/settings";
pub(crate) const CAMPAIGNS: &str = "/v1/marketplaces/{marketplace}/reports/campaigns";
pub(crate) const CAMPAIGN: &str = "/v1/marketplaces/{marketplace}/reports/campaigns/{id}";
pub(crate) const PURCHASES: &str =
    "/v1/marketplaces/{marketplace}/reports/campaigns/{id}/purchases";
pub(crate) const ORDERS: &str = "/v1/marketplaces/{marketplace}/orders";
pub(crate) const ORDERS_REPORT: &str = "/v1/marketplaces/{marketplace}/reports/orders";
pub(crate) const CUSTOMER: &str = "/v1/marketplaces/{marketplace}/customers/{id}";
pub(crate) const RUNS: &str = "/v1/marketplaces/{marketplace}/runs";
pub(crate) const RUN: &str = "/v1/marketplaces/{marketplace}/runs";
pub(crate) const BATCHES: &str = "/v1/marketplaces/{marketplace}/batches";
pub(crate) const RECONCILIATION: &str = "/v1/marketplaces/{marketplace}/reports/reconciliation";
pub(crate) const PROMOTIONS: &str = "/v1/marketplaces/{marketplace}/reports/promotions";
pub(crate) const PROMOTION: &str = "/v1/marketplaces/{marketplace}/promotions/{id}";
pub(crate) const DASHBOARD: &str = "/v1/marketplaces/{marketplace}/promotions/{id}/dashboard";
pub(crate) const QUARANTINE: &str = "/v1/marketplaces/{marketplace}/quarantine";
pub(crate) const ORDER: &str = "/v1/marketplaces/{marketplace}/orders/{id}";
pub(crate) const WHY: &str = "/v1/marketplaces/{marketplace}/orders/{id}/attribution";

/// The routes that answer pages. It is cheap to clone.
#[derive(Clone)]
pub(crate) struct Api(Arc<[Route]>);

/// What `GET /v1/marketplaces` answers.
#[derive(Deserialize)]
pub(crate) struct Marketplaces {
    pub(crate) marketplaces: Vec<Marketplace>,
}

/// A marketplace of the caller.
#[derive(Deserialize, Clone)]
pub(crate) struct Marketplace {
    pub(crate) marketplace_id: MarketplaceId,
    pub(crate) name: String,
}

impl Api {
    pub(crate) fn new(routes: &[Route]) -> Self {
        Self(routes.into())
    }

    fn route(&self, path: &str) -> Option<&Route> {
        let is_it = |route: &&Route| route.path() == path && route.method() == Method::GET;
        self.0.iter().find(is_it)
    }

    /// The route of a page, with the roles of the route of the API that the page is made of.
    ///
    /// # Panics
    /// At the start, where the API has no such route.
    pub(crate) fn page<Fut>(
        &self,
        path: &'static str,
        asked: &str,
        handler: impl Fn(Self, Call) -> Fut + Send + Sync + 'static,
    ) -> Route
    where
        Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        let access = self.route(asked).map(Route::access);
        let access =
            access.unwrap_or_else(|| panic!("{path} asks {asked}, and there is no such route"));
        self.answering(path, access, handler)
    }

    /// The route of a file to save: what a route of the API answers as CSV, whole, under the same parameters.
    pub(crate) fn file(&self, path: &'static str, access: Access, asked: &'static str) -> Route {
        self.answering(path, access, move |api: Self, call: Call| async move {
            let marketplace = call.marketplace()?.clone();
            let mut pairs = call.pairs();
            let is_id = |(name, _): &(String, String)| name == "id" && asked.contains("{id}");
            let id = pairs
                .iter()
                .find(|pair| is_id(pair))
                .map(|(_, id)| id.clone());
            pairs.retain(|pair| !is_id(pair) && !["cursor", "limit"].contains(&pair.0.as_str()));
            let pairs: Vec<(&str, &str)> = pairs
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect();
            let ids: Vec<(&'static str, &str)> = id.iter().map(|id| ("id", id.as_str())).collect();
            api.answer(&call, asked, (Some(&marketplace), &ids), &pairs, "text/csv")
                .await
        })
    }

    fn answering<Fut>(
        &self,
        path: &'static str,
        access: Access,
        handler: impl Fn(Self, Call) -> Fut + Send + Sync + 'static,
    ) -> Route
    where
        Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        let api = self.clone();
        Route::new(Method::GET, path, access, move |call| {
            handler(api.clone(), call)
        })
        .reads_query()
    }

    /// True where a key of this role may ask a route.
    pub(crate) fn tells(&self, role: Role, path: &str) -> bool {
        self.route(path)
            .is_some_and(|route| route.may_be_called_by(role))
    }

    /// The answer of a route about a marketplace, in a media type.
    pub(crate) async fn answer(
        &self,
        call: &Call,
        path: &str,
        about: (Option<&MarketplaceId>, &[(&'static str, &str)]),
        query: &[(&str, &str)],
        accept: &'static str,
    ) -> Result<Response, Problem> {
        let route = self
            .route(path)
            .ok_or_else(|| Problem::internal(&format!("no route {path}")))?;
        call.ask(route, about.0, about.1, query, (accept, "")).await
    }

    /// Does what a `POST` of the API does, with a body of JSON.
    pub(crate) async fn does(
        &self,
        call: &Call,
        path: &str,
        marketplace: &MarketplaceId,
        body: &'static str,
    ) -> Result<Response, Problem> {
        let is_it = |route: &&Route| route.path() == path && route.method() == Method::POST;
        let route = self.0.iter().find(is_it);
        let route = route.ok_or_else(|| Problem::internal(&format!("no route {path}")))?;
        call.ask(
            route,
            Some(marketplace),
            &[],
            &[],
            ("application/json", body),
        )
        .await
    }

    /// What a route says about a marketplace.
    pub(crate) async fn says<T: DeserializeOwned>(
        &self,
        call: &Call,
        path: &str,
        about: (Option<&MarketplaceId>, &[(&'static str, &str)]),
        query: &[(&str, &str)],
    ) -> Result<T, Problem> {
        let answer = self
            .answer(call, path, about, query, "application/json")
            .await?;
        let body = answer.into_body().collect().await;
        let bytes = body.map_err(|error| Problem::internal(&error))?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|error| Problem::internal(&error))
    }

    /// The marketplaces of the caller.
    pub(crate) async fn marketplaces(&self, call: &Call) -> Result<Vec<Marketplace>, Problem> {
        let own: Marketplaces = self.says(call, MARKETPLACES, (None, &[]), &[]).await?;
        Ok(own.marketplaces)
    }
}
