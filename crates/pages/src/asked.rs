//! What a page asks of the API: routes by their path, and answers as values.

use std::future::Future;
use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use revtrail_core::value::id::MarketplaceId;
use revtrail_store::market::access::Role;
use revtrail_web::access::Access;
use revtrail_web::api::{Method, Route};
use revtrail_web::ask::Asked;
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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
pub(crate) const BATCHES: &str = "/v1/marketplaces/{marketplace}/batches";
pub(crate) const BATCH: &str = "/v1/marketplaces/{marketplace}/batches/{id}";
pub(crate) const RECONCILIATION: &str = "/v1/marketplaces/{marketplace}/reports/reconciliation";
pub(crate) const PROMOTIONS: &str = "/v1/marketplaces/{marketplace}/reports/promotions";
pub(crate) const PROMOTION: &str = "/v1/marketplaces/{marketplace}/promotions/{id}";
pub(crate) const VOUCHERS: &str = "/v1/marketplaces/{marketplace}/promotions/{id}/vouchers";
pub(crate) const VOUCHER: &str = "/v1/marketplaces/{marketplace}/promotions/{id}/vouchers/{code}";
pub(crate) const FACTS: &str = "/v1/marketplaces/{marketplace}/campaigns/{id}";
pub(crate) const RIVALS: &str = "/v1/marketplaces/{marketplace}/reports/campaigns/{id}/rivals";
pub(crate) const SEGMENTS: &str = "/v1/marketplaces/{marketplace}/segments";
pub(crate) const SEGMENT: &str = "/v1/marketplaces/{marketplace}/segments/{id}";
pub(crate) const SENDERS: &str = "/v1/marketplaces/{marketplace}/senders";
pub(crate) const ERASURE: &str = "/v1/marketplaces/{marketplace}/erasures/{id}";
pub(crate) const DASHBOARD: &str = "/v1/marketplaces/{marketplace}/promotions/{id}/dashboard";
pub(crate) const QUARANTINE: &str = "/v1/marketplaces/{marketplace}/quarantine";
pub(crate) const ORDER: &str = "/v1/marketplaces/{marketplace}/orders/{id}";
pub(crate) const VERSIONS: &str = "/v1/marketplaces/{marketplace}/settings/versions";
pub(crate) const WHAT_IF: &str = "/v1/marketplaces/{marketplace}/what-if";
pub(crate) const WHAT_IFS: &str = "/v1/marketplaces/{marketplace}/what-ifs/{id}";
pub(crate) const REPLAYS: &str = "/v1/marketplaces/{marketplace}/replays";
pub(crate) const REPLAY: &str = "/v1/marketplaces/{marketplace}/replays/{id}";
pub(crate) const KEYS: &str = "/v1/marketplaces/{marketplace}/keys";
pub(crate) const KEY: &str = "/v1/marketplaces/{marketplace}/keys/{key_id}";
pub(crate) const ACCESS_LOG: &str = "/v1/marketplaces/{marketplace}/access-log";
pub(crate) const OPENAPI: &str = "/openapi.json";
pub(crate) const WHY: &str = "/v1/marketplaces/{marketplace}/orders/{id}/attribution";

const JSON: &str = "application/json";

/// What a route is given that changes something.
pub(crate) struct Doing<'d> {
    pub(crate) query: &'d [(&'d str, &'d str)],
    /// A header, like the name of the call or the tag of what was seen.
    pub(crate) header: Option<(HeaderName, &'d str)>,
    pub(crate) media: &'static str,
    pub(crate) body: String,
}

impl Doing<'_> {
    /// Gives an object.
    pub(crate) fn json(body: &Value) -> Self {
        Self {
            query: &[],
            header: None,
            media: JSON,
            body: body.to_string(),
        }
    }
}

/// The body of an answer as a value.
async fn value_of<T: DeserializeOwned>(answer: Response) -> Result<T, Problem> {
    let body = answer.into_body().collect().await;
    let bytes = body.map_err(|error| Problem::internal(&error))?.to_bytes();
    // What is deleted is answered by nothing.
    let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| Problem::internal(&error))
}

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
        self.route_of(&Method::GET, path)
    }

    fn route_of(&self, method: &Method, path: &str) -> Option<&Route> {
        let is_it = |route: &&Route| route.path() == path && route.method() == method;
        self.0.iter().find(is_it)
    }

    /// Where the forms of a page go. What a form asks of the API checks the role again.
    pub(crate) fn form<Fut>(
        &self,
        path: &'static str,
        access: Access,
        handler: impl Fn(Self, Call) -> Fut + Send + Sync + 'static,
    ) -> Route
    where
        Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        let api = self.clone();
        let handler = move |call| handler(api.clone(), call);
        Route::new(Method::POST, path, access, handler).reads_query()
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
        self.page_for(path, access, handler)
    }

    /// The route of a file to save: what a route of the API answers as CSV, whole, under the same parameters.
    pub(crate) fn file(&self, path: &'static str, access: Access, asked: &'static str) -> Route {
        self.page_for(path, access, move |api: Self, call: Call| async move {
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

    /// A page for these roles.
    pub(crate) fn page_for<Fut>(
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

    /// True where a key of this role may change something by a route.
    pub(crate) fn lets(&self, role: Role, method: &Method, path: &str) -> bool {
        let route = self.route_of(method, path);
        route.is_some_and(|route| route.may_be_called_by(role))
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
        let asked = Asked {
            query,
            headers: HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]),
            ..Asked::default()
        };
        self.ask(call, (&Method::GET, path), about, asked).await
    }

    async fn ask(
        &self,
        call: &Call,
        (method, path): (&Method, &str),
        about: (Option<&MarketplaceId>, &[(&'static str, &str)]),
        asked: Asked<'_>,
    ) -> Result<Response, Problem> {
        let route = self
            .route_of(method, path)
            .ok_or_else(|| Problem::internal(&format!("no route {method} {path}")))?;
        call.ask(route, about.0, about.1, asked).await
    }

    /// Does what a route of the API does that changes something.
    pub(crate) async fn does(
        &self,
        call: &Call,
        route: (&Method, &str),
        about: (Option<&MarketplaceId>, &[(&'static str, &str)]),
        doing: Doing<'_>,
    ) -> Result<Value, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(doing.media));
        if let Some((name, value)) = doing.header {
            // A text that no header can hold is none that this service gave.
            let value = HeaderValue::try_from(value).map_err(|_| Problem::precondition_failed())?;
            headers.insert(name, value);
        }
        let asked = Asked {
            query: doing.query,
            headers,
            body: doing.body.into(),
        };
        value_of(self.ask(call, route, about, asked).await?).await
    }

    /// What a route says about a marketplace.
    pub(crate) async fn says<T: DeserializeOwned>(
        &self,
        call: &Call,
        path: &str,
        about: (Option<&MarketplaceId>, &[(&'static str, &str)]),
        query: &[(&str, &str)],
    ) -> Result<T, Problem> {
        value_of(self.answer(call, path, about, query, JSON).await?).await
    }

    /// What a route says about a marketplace, with the tag of what it shows.
    pub(crate) async fn says_tagged(
        &self,
        call: &Call,
        path: &str,
        about: (Option<&MarketplaceId>, &[(&'static str, &str)]),
    ) -> Result<(Value, String), Problem> {
        let answer = self.answer(call, path, about, &[], JSON).await?;
        let tag = answer.headers().get(ETAG);
        let tag = tag.and_then(|tag| tag.to_str().ok());
        let tag = tag.unwrap_or_default().to_owned();
        Ok((value_of(answer).await?, tag))
    }

    /// The marketplaces of the caller.
    pub(crate) async fn marketplaces(&self, call: &Call) -> Result<Vec<Marketplace>, Problem> {
        let own: Marketplaces = self.says(call, MARKETPLACES, (None, &[]), &[]).await?;
        Ok(own.marketplaces)
    }
}
