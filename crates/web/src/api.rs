//! A route: one method of one path, who may call it, and the handler that answers. Each function crate has its own table.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::HeaderMap;
pub use http::Method;
use http::request::Parts;
use revtrail_store::market::access::Role;

use crate::accept::wants_csv;
use crate::access::{ADMIN, Access};
use crate::call::{Call, Response};
use crate::problem::Problem;
use crate::share::Work;

/// Makes the table of a function's routes below `/v1/marketplaces/{marketplace}`. A line has the method, the path, who may call
/// it, a mark, and the handler. The mark is `query` where the handler reads the query, `list` where it answers a list in pages,
/// `heavy` where it reads much though no query says so, `secret` where it shows secrets, and `sender` where a sender of webhooks calls.
#[macro_export]
macro_rules! routes {
    (@marked $route:expr) => { $route };
    (@marked $route:expr, query) => { $route.reads_query() };
    (@marked $route:expr, list) => { $route.in_pages() };
    (@marked $route:expr, heavy) => { $route.heavy() };
    (@marked $route:expr, secret) => { $route.shows_secrets() };
    (@marked $route:expr, sender) => { $route.key_in_url_too() };
    ($($method:ident $path:literal, $access:expr $(, $mark:ident)? => $handler:expr;)*) => {
        vec![$($crate::routes!(@marked $crate::api::Route::new(
            $crate::api::Method::$method,
            concat!("/v1/marketplaces/{marketplace}", $path),
            $access,
            $handler,
        ) $(, $mark)?)),*]
    };
}

type Handler = dyn Fn(Call) -> BoxFuture<'static, Result<Response, Problem>> + Send + Sync;

/// A call of a page that was refused.
pub struct Refused {
    /// Why.
    pub problem: Problem,
    /// The method of the request.
    pub method: Method,
    /// The path and the query of the request.
    pub address: String,
    /// The headers of the request.
    pub headers: HeaderMap,
}

impl Refused {
    pub(crate) fn new(problem: Problem, of: &Parts) -> Self {
        let address = of.uri.path_and_query().map(ToString::to_string);
        Self {
            problem,
            method: of.method.clone(),
            address: address.unwrap_or_default(),
            headers: of.headers.clone(),
        }
    }
}

/// Shows a person why a call was refused.
pub type ShowRefusal = fn(Refused) -> Response;

/// One method of one path: who may call it, and the handler that answers.
#[derive(Clone)]
pub struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) creates_marketplace: bool,
    pub(crate) key_in_url_too: bool,
    pub(crate) reads_query: bool,
    pub(crate) in_pages: bool,
    pub(crate) heavy: bool,
    pub(crate) shows_secrets: bool,
    pub(crate) page: Option<ShowRefusal>,
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
            in_pages: false,
            heavy: false,
            shows_secrets: false,
            page: None,
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

    /// Marks that the handler answers a list in pages, so that the query may have a cursor. Only cursors of this list reach the
    /// handler.
    pub fn in_pages(mut self) -> Self {
        self.in_pages = true;
        self.reads_query()
    }

    /// Marks that the handler reads much, like all facts of a customer, whatever it writes. So does every GET that reads the query.
    pub fn heavy(mut self) -> Self {
        self.heavy = true;
        self
    }

    /// What a call of the route takes of its marketplace's share of this process.
    pub(crate) fn work(&self) -> Work {
        match self.method {
            _ if self.heavy => Work::Heavy,
            Method::GET if self.reads_query => Work::Heavy,
            Method::GET => Work::Light,
            _ => Work::Write,
        }
    }

    /// Marks that the answer has secrets of the marketplace, like the keys of its mail providers.
    pub fn shows_secrets(mut self) -> Self {
        self.shows_secrets = true;
        self
    }

    /// True where the table is asked about the caller's key at every call: where secrets are shown, and for everything that only
    /// administrators may do. Somebody whose key was just revoked must not make another one.
    pub(crate) fn knows_caller_freshly(&self) -> bool {
        self.shows_secrets || self.access == ADMIN
    }

    /// Makes this the route of a page: a session's cookie is as good as a key, what changes something must come from a page of this
    /// service, and `show` tells a person why a call was refused.
    pub fn page(mut self, show: ShowRefusal) -> Self {
        self.page = Some(show);
        self
    }

    /// True for the route of a page.
    pub fn is_page(&self) -> bool {
        self.page.is_some()
    }

    /// True where a key of this role may call the route.
    pub fn may_be_called_by(&self, role: Role) -> bool {
        self.access.allows(role)
    }

    /// Answers a call whose caller may enter its marketplace: the role, the cursor and the query are checked, and the handler
    /// answers.
    pub(crate) async fn answer(&self, call: Call) -> Result<Response, Problem> {
        if let Some(role) = call.role()
            && !self.may_be_called_by(role)
        {
            return Err(Problem::role_forbidden(role));
        }
        // A table has no pages, and is refused by role first.
        if self.in_pages && !wants_csv(&call.headers) {
            call.query().cursor_is_signed()?;
        }
        if !self.reads_query
            && let Err(unknown) = call.query().done()
        {
            call.readable()?;
            return Err(unknown);
        }
        (self.handler)(call).await
    }

    /// True where the handler reads the query.
    pub fn takes_query(&self) -> bool {
        self.reads_query
    }

    /// True where the key may stand in the URL too.
    pub fn takes_key_in_url(&self) -> bool {
        self.key_in_url_too
    }

    /// True where the handler answers a list in pages.
    pub fn has_pages(&self) -> bool {
        self.in_pages
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
