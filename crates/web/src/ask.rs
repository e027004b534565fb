//! A call that asks another route: pages are made of the answers that the API gives to the same caller.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};
use revtrail_core::value::id::MarketplaceId;

use crate::accept::wants_csv;
use crate::access::enter;
use crate::access_log::{self, CallSeen};
use crate::api::Route;
use crate::call::{Call, MARKETPLACE, Response};
use crate::problem::Problem;

impl Call {
    /// The answer of another route to the same caller at the same time, in a marketplace that the caller may enter. `ids` are the
    /// parameters of its path after the marketplace, and then come the media type that is asked for, and a body of JSON.
    ///
    /// # Errors
    /// The problems of that route, and 403 or 404 for a marketplace that the caller may not enter.
    pub async fn ask(
        &self,
        route: &Route,
        marketplace: Option<&MarketplaceId>,
        ids: &[(&'static str, &str)],
        query: &[(&str, &str)],
        (accept, body): (&'static str, &'static str),
    ) -> Result<Response, Problem> {
        let mut params = Vec::new();
        if let Some(id) = marketplace {
            enter(&self.app, self.caller()?, Some(id), false).await?;
            params.push((MARKETPLACE, Some(id.as_str().to_owned())));
        }
        params.extend(ids.iter().map(|(name, id)| (*name, Some((*id).to_owned()))));
        let query = query
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        let seen = self.caller.clone().map(|caller| CallSeen {
            caller,
            method: route.method.clone(),
            route: route.path,
            access: route.access,
            params: params.clone(),
            is_page: false,
            csv: wants_csv(&headers),
            entered: marketplace.cloned(),
        });
        let call = Self {
            app: self.app.clone(),
            now: self.now,
            headers,
            body: Bytes::from_static(body.as_bytes()),
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
