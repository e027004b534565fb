//! A call that asks another route: pages are made of the answers that the API gives to the same caller.

use bytes::Bytes;
use http::HeaderMap;
use revtrail_core::value::id::MarketplaceId;

use crate::accept::wants_csv;
use crate::access::enter;
use crate::access_log::{self, CallSeen};
use crate::api::Route;
use crate::call::{Call, MARKETPLACE, Response};
use crate::problem::Problem;

/// What a call asks another route, besides the ids in the path.
#[derive(Debug, Clone, Default)]
pub struct Asked<'a> {
    /// The parameters of the query.
    pub query: &'a [(&'a str, &'a str)],
    /// The headers, like the media type that is asked for.
    pub headers: HeaderMap,
    /// The body; empty where the route takes none.
    pub body: Bytes,
}

impl Call {
    /// The answer of another route to the same caller at the same time, in a marketplace that the caller may enter. `ids` are the
    /// parameters of its path after the marketplace.
    ///
    /// # Errors
    /// The problems of that route, and 403 or 404 for a marketplace that the caller may not enter.
    pub async fn ask(
        &self,
        route: &Route,
        marketplace: Option<&MarketplaceId>,
        ids: &[(&'static str, &str)],
        asked: Asked<'_>,
    ) -> Result<Response, Problem> {
        let mut params = Vec::new();
        if let Some(id) = marketplace {
            enter(&self.app, self.caller()?, Some(id), false).await?;
            params.push((MARKETPLACE, Some(id.as_str().to_owned())));
        }
        params.extend(ids.iter().map(|(name, id)| (*name, Some((*id).to_owned()))));
        let query = asked
            .query
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let seen = self.caller.clone().map(|caller| CallSeen {
            caller,
            method: route.method.clone(),
            route: route.path,
            access: route.access,
            params: params.clone(),
            is_page: false,
            csv: wants_csv(&asked.headers),
            entered: marketplace.cloned(),
        });
        let call = Self {
            app: self.app.clone(),
            now: self.now,
            headers: asked.headers,
            body: asked.body,
            caller: self.caller.clone(),
            marketplace: marketplace.cloned(),
            path: route.path.to_owned(),
            route: route.path,
            known: &[],
            params,
            query: query.collect(),
        };
        let answer = route.answer(call).await;
        // What the API refuses is told by the page, which is entered if its caller may not see it.
        let logged = answer
            .as_ref()
            .ok()
            .and_then(|answer| seen?.logged(&self.app, answer, self.now));
        access_log::enter(&self.app, logged).await;
        answer
    }
}
