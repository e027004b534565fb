//! A route, and a call as its handler gets it: the caller known, the marketplace entered, the body read.

use std::future::Future;
use std::sync::Arc;

pub use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
pub use http::{Method, StatusCode};
use revtrail_core::record::{self, Code, Door};
use revtrail_core::value::id::{BadId, ID_BYTES_MAX, MarketplaceId};
use revtrail_core::value::time::Instant;
use revtrail_store::market::Market;
use revtrail_store::market::access::Role;
use serde::Serialize;

use crate::access::{Access, Caller};
use crate::app::App;
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::{csv, records};

/// The name of the path parameter that is the tenant.
pub(crate) const MARKETPLACE: &str = "marketplace";

type Handler = dyn Fn(Call) -> BoxFuture<'static, Result<Response, Problem>> + Send + Sync;

/// One method of one path: who may call it, and what answers.
#[derive(Clone)]
pub struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) creates_marketplace: bool,
    pub(crate) key_in_url_too: bool,
    pub(crate) handler: Arc<Handler>,
}

impl Route {
    /// A route. In the path `{name}` is a parameter; `{marketplace}` is the tenant, which the caller must be let into.
    pub fn new<F, Fut>(method: Method, path: &'static str, access: Access, handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        Self {
            method,
            path,
            access,
            creates_marketplace: false,
            key_in_url_too: false,
            handler: Arc::new(move |call| Box::pin(handler(call))),
        }
    }

    /// The deployment's key may call this for a marketplace that does not exist.
    pub fn creates_marketplace(mut self) -> Self {
        self.creates_marketplace = true;
        self
    }

    /// The key may come as `?key=` or as a Basic password too: providers of webhooks know no better.
    pub fn key_in_url_too(mut self) -> Self {
        self.key_in_url_too = true;
        self
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path with its parameters, as given.
    pub fn path(&self) -> &'static str {
        self.path
    }
}

/// A call that was let in.
pub struct Call {
    /// What every call shares.
    pub app: App,
    /// The receiver's clock, read once for the whole call.
    pub now: Instant,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; at most [`crate::dispatch::BODY_BYTES_MAX`].
    pub body: Bytes,
    pub(crate) caller: Option<Caller>,
    pub(crate) marketplace: Option<MarketplaceId>,
    pub(crate) path: String,
    pub(crate) params: Vec<(&'static str, Option<String>)>,
    pub(crate) query: Vec<(String, String)>,
}

impl Call {
    /// The tenant; it exists, but where the route creates it.
    ///
    /// # Errors
    /// 422 for a malformed id on a route that creates marketplaces; 404 on a route without `{marketplace}`.
    pub fn marketplace(&self) -> Result<&MarketplaceId, Problem> {
        self.marketplace.as_ref().ok_or_else(|| {
            match self.new_id(MARKETPLACE, MarketplaceId::new) {
                Err(malformed) => malformed,
                Ok(_) => Problem::internal(&"a marketplace was not entered"),
            }
        })
    }

    /// The tenant's part of the table.
    ///
    /// # Errors
    /// As [`Call::marketplace`].
    pub fn market(&self) -> Result<Market, Problem> {
        let marketplace = self.marketplace()?;
        Ok(self.app.store().market(marketplace, self.app.retention()))
    }

    /// Who calls.
    ///
    /// # Errors
    /// 500 on a route with [`Access::Open`].
    pub fn caller(&self) -> Result<&Caller, Problem> {
        self.caller
            .as_ref()
            .ok_or_else(|| Problem::internal(&"an open route asks who calls"))
    }

    /// For what only some roles of the route may have, like CSV.
    ///
    /// # Errors
    /// 403 for the other roles.
    pub fn must_be(&self, roles: &[Role]) -> Result<(), Problem> {
        let role = self.caller()?.role;
        if roles.contains(&role) {
            Ok(())
        } else {
            Err(Problem::role_forbidden(role))
        }
    }

    /// A parameter of the path, decoded.
    ///
    /// # Errors
    /// 404 where it is not UTF-8, or the path has no such parameter.
    pub fn param(&self, name: &str) -> Result<&str, Problem> {
        self.params
            .iter()
            .find(|(given, _)| *given == name)
            .and_then(|(_, value)| value.as_deref())
            .ok_or_else(|| Problem::not_found(format!("nothing has this {name}")))
    }

    /// The id in the path of what revtrail named itself.
    ///
    /// # Errors
    /// 404 for what is longer than any such id: the table refuses keys above 1,024 bytes.
    pub fn own_id(&self, name: &str) -> Result<&str, Problem> {
        let id = self.param(name)?;
        if id.len() > ID_BYTES_MAX {
            return Err(Problem::not_found(format!("nothing has this {name}")));
        }
        Ok(id)
    }

    /// An id of the path.
    ///
    /// # Errors
    /// 404 for a text that is no id, for nothing can be named so.
    pub fn id<T>(&self, name: &str, new: impl Fn(&str) -> Result<T, BadId>) -> Result<T, Problem> {
        let text = self.param(name)?;
        new(text).map_err(|why| Problem::not_found(format!("nothing has this {name}: {why}")))
    }

    /// An id of the path, on a route that may name something by it.
    ///
    /// # Errors
    /// 422 `bad_id` for a text that is no id.
    pub fn new_id<T>(
        &self,
        name: &str,
        new: impl Fn(&str) -> Result<T, BadId>,
    ) -> Result<T, Problem> {
        new(self.param(name)?).map_err(|why| {
            let problem = record::Problem::of(name, Code::BadId, format!("{name}: {why}"));
            Problem::invalid(vec![problem])
        })
    }

    /// The path as it came, still encoded.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reads the query.
    pub fn query(&self) -> Query<'_> {
        Query::new(&self.path, &self.query)
    }

    /// The cursor that continues this list at `at`; read by [`Query::cursor`].
    ///
    /// # Errors
    /// 500 where `at` cannot be written as JSON.
    pub fn next_cursor(&self, at: &impl Serialize) -> Result<String, Problem> {
        query::next_cursor(&self.path, &self.query, at)
    }

    /// True where `Accept` asks for CSV.
    pub fn wants_csv(&self) -> bool {
        csv::wanted(&self.headers)
    }

    /// Which times of facts are let in now.
    pub fn door(&self) -> Door {
        Door {
            now: self.now,
            retention: self.app.retention(),
        }
    }

    /// The records of an intake body, in order: each the text of a JSON object for `Record::from_json`, or why it is none.
    ///
    /// # Errors
    /// 413 for too many, 415 for another media type, 400 for a body that cannot be read. Nothing is taken then.
    pub fn records(&self) -> Result<Vec<Result<&str, record::Problem>>, Problem> {
        records::cut(&self.headers, &self.body)
    }

    /// The one JSON object of the body.
    ///
    /// # Errors
    /// 415 for another media type, 400 for anything that is no JSON object.
    pub fn json_object(&self) -> Result<&str, Problem> {
        records::one(&self.headers, &self.body)
    }

    /// The one JSON object of the body; `{}` where the body is empty.
    ///
    /// # Errors
    /// As [`Call::json_object`].
    pub fn json_object_or_empty(&self) -> Result<&str, Problem> {
        if self.body.is_empty() {
            Ok("{}")
        } else {
            self.json_object()
        }
    }

    /// The media type of the body, without parameters, in lower case; empty where none is given.
    ///
    /// # Errors
    /// 415 for a compressed body.
    pub fn media_type(&self) -> Result<String, Problem> {
        records::media_type(&self.headers)
    }

    /// The body as it came.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }
}
