//! A route: one method of one path, who may call it, and the handler that answers. Each function crate has its own table.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
pub use http::Method;

use crate::access::Access;
use crate::call::{Call, Response};
use crate::problem::Problem;

/// Makes the table of a function's routes below `/v1/marketplaces/{marketplace}`. A line has the method, the path, who may call
/// it, `query` where the handler reads the query, and the handler.
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

type Handler = dyn Fn(Call) -> BoxFuture<'static, Result<Response, Problem>> + Send + Sync;

/// One method of one path: who may call it, and the handler that answers.
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
    /// Makes a route. In the path, `{name}` is a parameter, and the caller's key must be good for `{marketplace}`.
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

    /// Allows the deployment's key to call this route for a marketplace that does not exist yet.
    pub fn creates_marketplace(mut self) -> Self {
        self.creates_marketplace = true;
        self
    }

    /// Allows the key also as `?key=` or as a Basic password, since providers of webhooks offer no other way.
    pub fn key_in_url_too(mut self) -> Self {
        self.key_in_url_too = true;
        self
    }

    /// Marks that the handler reads the query and refuses unknown parameters. On any other route every parameter is refused.
    pub fn reads_query(mut self) -> Self {
        self.reads_query = true;
        self
    }

    /// True where the handler reads the query.
    pub fn takes_query(&self) -> bool {
        self.reads_query
    }

    /// Who may call the route.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The HTTP method of the route.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path with its parameters, as it was given to [`Route::new`].
    pub fn path(&self) -> &'static str {
        self.path
    }
}
