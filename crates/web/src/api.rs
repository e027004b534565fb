//! A route: one method of one path, who may call it, and what answers. Each function has the table of its own.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
pub use http::Method;

use crate::access::Access;
use crate::call::{Call, Response};
use crate::problem::Problem;

/// The table of a function's routes below `/v1/marketplaces/{marketplace}`: method, path, who may call it, `query` where the
/// handler reads the query, and the handler.
#[macro_export]
macro_rules! routes {
    (@query $route:expr) => { $route };
    (@query $route:expr, query) => { $route.reads_query() };
    ($($method:ident $path:literal, $access:expr $(, $query:ident)? => $handler:expr;)*) => {
        vec![$($crate::routes!(@query $crate::api::Route::new(
            $crate::api::Method::$method,
            concat!("/v1/marketplaces/{marketplace}", $path),
            $access,
            $handler,
        ) $(, $query)?)),*]
    };
}

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
    pub(crate) reads_query: bool,
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
            reads_query: false,
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

    /// The handler reads the query, and refuses what it does not know; else there must be none.
    pub fn reads_query(mut self) -> Self {
        self.reads_query = true;
        self
    }

    /// Whether its handler reads the query.
    pub fn takes_query(&self) -> bool {
        self.reads_query
    }

    /// Who may call it.
    pub fn access(&self) -> Access {
        self.access
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
