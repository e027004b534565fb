//! A call as its handler gets it: caller and access are checked, and the body is read. Module `body` parses the body.

pub use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono_tz::Tz;
use http::HeaderMap;
pub use http::StatusCode;
use revtrail_core::record::{self, AcceptanceWindow, Code};
use revtrail_core::value::id::{BadId, ID_BYTES_MAX, MarketplaceId};
use revtrail_core::value::time::Instant;
use revtrail_store::market::Market;
use revtrail_store::market::access::Role;
use revtrail_store::market::once::Once;
use sha2::{Digest, Sha256};

use crate::access::Access;
use crate::app::App;
use crate::caller::Caller;
use crate::cursor::Seal;
use crate::problem::Problem;
use crate::query::{self, Query};

/// The name of the path parameter that names the marketplace.
pub(crate) const MARKETPLACE: &str = "marketplace";

/// The header with which a caller names a call.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A call that was accepted.
pub struct Call {
    /// The state that all calls share.
    pub app: App,
    /// The time of the receiver's clock, read once for the whole call.
    pub now: Instant,
    /// The headers of the request.
    pub headers: HeaderMap,
    /// The body of the request; at most 4 MiB.
    pub body: Bytes,
    pub(crate) caller: Option<Caller>,
    pub(crate) marketplace: Option<MarketplaceId>,
    pub(crate) path: String,
    pub(crate) route: &'static str,
    /// Parameters of the query that the route takes besides those that its handler reads.
    pub(crate) known: &'static [&'static str],
    pub(crate) params: Vec<(&'static str, Option<String>)>,
    pub(crate) query: Vec<(String, String)>,
}

impl Call {
    /// The marketplace of the call. It exists, except on the route that creates it.
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

    /// The marketplace's part of the table.
    ///
    /// # Errors
    /// The same as [`Call::marketplace`].
    pub fn market(&self) -> Result<Market, Problem> {
        let marketplace = self.marketplace()?;
        Ok(self.app.store().market(marketplace, self.app.retention()))
    }

    /// The zone of the marketplace, in which pages show times: as the settings have it, or had it half a minute ago.
    ///
    /// # Errors
    /// The same as [`Call::marketplace`], and those of the table.
    pub async fn zone(&self) -> Result<Tz, Problem> {
        let settings = self.app.settings(&self.market()?, self.now).await?;
        Ok(settings.map_or(Tz::UTC, |settings| settings.timezone))
    }

    /// Whose key makes the call.
    ///
    /// # Errors
    /// 500 on a route with [`Access::Open`].
    pub fn caller(&self) -> Result<&Caller, Problem> {
        self.caller
            .as_ref()
            .ok_or_else(|| Problem::internal(&"an open route asks who calls"))
    }

    /// The role of the caller; `None` on a route that anybody may call.
    pub(crate) fn role(&self) -> Option<Role> {
        self.caller.as_ref().map(|caller| caller.role)
    }

    /// Checks the role for something that only some roles of the route may have, like CSV.
    ///
    /// # Errors
    /// 403 for all other roles.
    pub fn must_be(&self, access: Access) -> Result<(), Problem> {
        let role = self.caller()?.role;
        match access {
            Access::Roles(roles) if !roles.contains(&role) => Err(Problem::role_forbidden(role)),
            _ => Ok(()),
        }
    }

    /// A parameter of the path, decoded.
    ///
    /// # Errors
    /// 404 where the parameter is not UTF-8, or where the path has no such parameter.
    pub fn param(&self, name: &str) -> Result<&str, Problem> {
        self.params
            .iter()
            .find(|(given, _)| *given == name)
            .and_then(|(_, value)| value.as_deref())
            .ok_or_else(|| Problem::not_found(format!("nothing has this {name}")))
    }

    /// An id in the path that revtrail itself assigned.
    ///
    /// # Errors
    /// 404 for a text that is longer than any such id. The table refuses keys above 1,024 bytes.
    pub fn own_id(&self, name: &str) -> Result<&str, Problem> {
        let id = self.param(name)?;
        if id.len() > ID_BYTES_MAX {
            return Err(Problem::not_found(format!("nothing has this {name}")));
        }
        Ok(id)
    }

    /// An id in the path.
    ///
    /// # Errors
    /// 404 for a text that is not a valid id, since nothing can have such an id.
    pub fn id<T>(&self, name: &str, new: impl Fn(&str) -> Result<T, BadId>) -> Result<T, Problem> {
        let text = self.param(name)?;
        new(text).map_err(|why| Problem::not_found(format!("nothing has this {name}: {why}")))
    }

    /// An id in the path of a route that may create something with this id.
    ///
    /// # Errors
    /// 422 `bad_id` for a text that is not a valid id.
    pub fn new_id<T>(
        &self,
        name: &str,
        new: impl Fn(&str) -> Result<T, BadId>,
    ) -> Result<T, Problem> {
        new(self.param(name)?).map_err(|why| {
            let problem = record::RecordProblem::of(name, Code::BadId, format!("{name}: {why}"));
            Problem::invalid(problem.into())
        })
    }

    /// The identity of this call, if the caller gave an `Idempotency-Key`. What such a call makes is made only once.
    ///
    /// # Errors
    /// 422 for a key that does not have 1 to 128 bytes, or that is given twice.
    pub fn once(&self) -> Result<Option<Once>, Problem> {
        let mut keys = self.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(key) = keys.next() else {
            return Ok(None);
        };
        if keys.next().is_some() || !(1..=ID_BYTES_MAX).contains(&key.len()) {
            let detail = "Idempotency-Key has 1 to 128 bytes, and is given once";
            let problem = record::RecordProblem::of(IDEMPOTENCY_KEY, Code::UnknownValue, detail);
            return Err(Problem::invalid(problem.into()));
        }
        let mut of = vec![self.caller()?.key_id.as_str(), self.route];
        of.extend(self.params.iter().filter_map(|(_, id)| id.as_deref()));
        let hash = |parts: &[&[u8]]| {
            let mut hash = Sha256::new();
            for part in parts {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
            hex::encode(hash.finalize())
        };
        let mut parts: Vec<&[u8]> = of.iter().map(|text| text.as_bytes()).collect();
        parts.push(key.as_bytes());
        Ok(Some(Once {
            marketplace: self.marketplace()?.clone(),
            name: hash(&parts),
            body: hash(&[self.media_type().as_bytes(), &self.plain_body()]),
        }))
    }

    /// The path as the client sent it, still encoded.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// All parameters of the query, as they were sent.
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.query.clone()
    }

    /// The query, to be read parameter by parameter.
    pub fn query(&self) -> Query<'_> {
        Query::new(&self.query, self.seal(), self.known)
    }

    /// The seal that signs the cursors of this list. It is valid only for this route with these ids and filters.
    pub(crate) fn seal(&self) -> Seal {
        let ids = self.params.iter().map(|(_, id)| id.as_deref());
        let mut list = vec!["cursor", self.route];
        list.extend(ids.map(Option::unwrap_or_default));
        list.extend(query::filters(&self.query));
        Seal(self.app.sign(&list))
    }

    /// Which times of facts are accepted now.
    pub fn acceptance_window(&self) -> AcceptanceWindow {
        AcceptanceWindow {
            now: self.now,
            retention: self.app.retention(),
        }
    }
}
