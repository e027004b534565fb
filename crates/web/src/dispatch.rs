//! One router of all routes, and the checks that every call passes, in this order: 404, 401, 403, 405, 429, 413, then the handler.
//! Where a handler reads no query, a call must have none. That check gives 422, so it comes after 415 and 400.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::header::{CONTENT_LENGTH, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::Instant;

use crate::accept::wants_csv;
use crate::access::{Access, enter, identify};
use crate::access_log::{self, CallSeen};
use crate::answer::nosniff;
use crate::api::{Refused, Route, ShowRefusal};
use crate::app::App;
use crate::body::{BODY_BYTES_MAX, unpacked};
use crate::call::{Call, MARKETPLACE};
use crate::caller::Caller;
use crate::encoding::segment_text;
use crate::observed::Observed;
use crate::problem::Problem;
use crate::query;
use crate::session::same_origin;

// A handler that panics is answered with 500, and the process lives: not where a panic ends it.
#[cfg(panic = "abort")]
compile_error!("build revtrail with panic = \"unwind\", as the profiles of the workspace do");

/// How many bytes of a too large body are read and dropped. A client that is still sending would not see the answer otherwise.
const DROPPED_BYTES_MAX: usize = 64 << 20;

/// Makes one router of the routes of any number of functions.
///
/// # Panics
/// At the start, where two routes have the same method and path, or where axum cannot distinguish two paths.
pub fn router(routes: Vec<Route>, app: App) -> Router {
    let mut paths: BTreeMap<String, Vec<Route>> = BTreeMap::new();
    let show = routes.iter().find_map(|route| route.page);
    for route in routes {
        let same = paths.entry(shape(route.path)).or_default();
        let twice = same.iter().any(|other| other.method == route.method);
        assert!(!twice, "{} {} is there twice", route.method, route.path);
        same.push(route);
    }
    let mut router = Router::new();
    for (shape, routes) in paths {
        let (app, routes): (App, Arc<[Route]>) = (app.clone(), routes.into());
        let answer = any(move |request: Request| answer(app.clone(), routes.clone(), request));
        router = router.route(&shape, answer);
    }
    nosniff(router.fallback(async move |request: Request| no_route(show, request)))
}

/// The answer where there is no such route: below the pages, a page.
fn no_route(show: Option<ShowRefusal>, request: Request) -> Response {
    let problem = Problem::not_found("there is no such route");
    let show = show.filter(|_| request.uri().path().starts_with("/app/"));
    match (show, request.into_parts()) {
        (Some(show), (parts, _)) => show(Refused::new(problem, &parts)),
        (None, _) => problem.into_response(),
    }
}

/// The path with its parameters named by their position, so that routes of one path may name them differently.
fn shape(path: &str) -> String {
    let named = |(place, segment): (usize, &str)| match segment.starts_with('{') {
        true => format!("{{p{place}}}"),
        false => segment.to_owned(),
    };
    let segments: Vec<String> = path.split('/').enumerate().map(named).collect();
    segments.join("/")
}

async fn answer(app: App, routes: Arc<[Route]>, request: Request) -> Response {
    let (now, mut seen) = (app.now(), None);
    let show = routes.first().and_then(|route| route.page);
    let (parts, body) = request.into_parts();
    let path = routes.first().map_or("none", |route| route.path);
    // A method that nobody knows has any name, and names are counted.
    let method = find(&routes, &parts.method).map_or("OTHER", |route| route.method.as_str());
    let route = format!("{method} {path}");
    let refused = show.map(|show| (show, Refused::new(Problem::busy(), &parts)));
    let request = Request::from_parts(parts, body);
    let served = AssertUnwindSafe(serve(&app, &routes, request, now, &mut seen)).catch_unwind();
    let answered = match served.await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(Problem::internal(&"a handler panicked")),
    };
    let mut answer = answered.unwrap_or_else(|problem| match refused {
        Some((show, refused)) => show(Refused { problem, ..refused }),
        None => problem.into_response(),
    });
    // Some senders give a password only where they are asked for one.
    if answer.status() == StatusCode::UNAUTHORIZED
        && routes.iter().any(|route| route.key_in_url_too)
    {
        let basic = HeaderValue::from_static("Basic realm=\"revtrail\"");
        answer.headers_mut().insert(WWW_AUTHENTICATE, basic);
    }
    let observed = Observed {
        route,
        status: answer.status().as_u16(),
        ms: app.now().ms() - now.ms(),
        key_id: seen.as_ref().map(|seen| seen.caller.key_id.clone()),
        marketplace: seen.as_ref().and_then(CallSeen::marketplace),
    };
    answer.extensions_mut().insert(observed);
    let logged = seen.and_then(|seen| seen.logged(&app, &answer, now));
    access_log::enter(&app, logged).await;
    answer
}

/// Checks a call and passes it to its handler. Where the path lacks the method, its first route decides whether to need a key. What
/// the access log must know of a call with a good key is left in `seen`.
async fn serve(
    app: &App,
    routes: &[Route],
    request: Request,
    now: Instant,
    seen: &mut Option<CallSeen>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let found = find(routes, &parts.method);
    let Some(route) = found.or(routes.first()) else {
        return Err(Problem::not_found("there is no such route"));
    };
    let query = query::pairs(parts.uri.query());
    let params = params(route.path, parts.uri.path());
    let tenant = params.iter().find(|(name, _)| *name == MARKETPLACE);
    let marketplace = tenant
        .and_then(|(_, text)| text.as_deref())
        .and_then(|text| MarketplaceId::new(text).ok());

    let mut caller = None;
    if route.access != Access::Open {
        let fresh = route.knows_caller_freshly();
        let session = match route.page {
            Some(_) => app.session(&parts.headers, fresh, now).await?,
            None => None,
        };
        let known = match session {
            Some(caller) => caller,
            None => {
                identify(
                    app,
                    (route.key_in_url_too, fresh),
                    &parts.headers,
                    &query,
                    now,
                )
                .await?
            }
        };
        let seen = seen.insert(CallSeen {
            caller: known.clone(),
            method: parts.method.clone(),
            route: route.path,
            access: route.access,
            params: params.clone(),
            is_page: route.is_page(),
            csv: wants_csv(&parts.headers),
            entered: None,
        });
        if tenant.is_some() {
            let may_create = found.is_some_and(|route| route.creates_marketplace);
            enter(app, &known, marketplace.as_ref(), may_create).await?;
            seen.entered.clone_from(&marketplace);
            if let Some(id) = &marketplace {
                remember_use(app, &known, id, now).await;
            }
        }
        caller = Some(known);
    }
    let Some(route) = found else {
        return Err(Problem::method_not_allowed(allow(routes)));
    };
    if let Some(caller) = &caller
        && !route.may_be_called_by(caller.role)
    {
        return Err(Problem::role_forbidden(caller.role));
    }
    if let Some(caller) = &caller {
        app.count_call(&caller.key_id, now)?;
    }
    if route.is_page() && ![Method::GET, Method::HEAD].contains(&parts.method) {
        same_origin(&parts.headers)?;
    }
    let sharing = marketplace.as_ref().filter(|_| caller.is_some());
    let take = |work| async move {
        match sharing {
            Some(id) => app.shares().take(id, work).await.map(Some),
            None => Ok(None),
        }
    };
    let has_body = ![Method::GET, Method::HEAD].contains(&parts.method);
    let _share = take(route.work().at_the_door(has_body)).await?;
    let mut headers = parts.headers;
    let (body, _computing) = if has_body {
        let body = read(body, &headers).await?;
        let computing = match route.work().with_body(&body, &headers) {
            Some(work) => take(work).await?,
            None => None,
        };
        (unpacked(body, &mut headers)?, computing)
    } else {
        (Bytes::new(), None)
    };
    let path = parts.uri.path().to_owned();
    let call = Call {
        app: app.clone(),
        now,
        headers,
        body,
        caller,
        marketplace,
        path,
        route: route.path,
        known: if route.key_in_url_too { &["key"] } else { &[] },
        params,
        query,
    };
    route.answer(call).await
}

/// How often it is written down that a key is used, in milliseconds.
const USE_WRITTEN_MS: i64 = 3_600_000;

/// Remembers when a key was used in a marketplace, once an hour in each process. A failure is logged, and the call goes on.
async fn remember_use(app: &App, caller: &Caller, id: &MarketplaceId, now: Instant) {
    let key_id = &caller.key_id;
    if caller.deployment || !app.is_news(format!("{id} {key_id}"), USE_WRITTEN_MS, now) {
        return;
    }
    let used = app.store().use_key(id, key_id, now, app.retention());
    if let Err(error) = used.await {
        tracing::error!(%error, key_id, "the use of a key could not be remembered");
    }
}

/// The route for a method. HEAD is treated as GET, whose body axum then leaves out.
fn find<'r>(routes: &'r [Route], method: &Method) -> Option<&'r Route> {
    let method = match *method {
        Method::HEAD => &Method::GET,
        _ => method,
    };
    routes.iter().find(|route| route.method == *method)
}

fn allow(routes: &[Route]) -> String {
    let mut methods: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.sort_unstable();
    methods.join(", ")
}

/// The parameters of a path. Each is cut from the path as it was sent and then decoded; `None` where it does not decode to text.
fn params(pattern: &'static str, path: &str) -> Vec<(&'static str, Option<String>)> {
    let name = |segment: &'static str| segment.strip_prefix('{')?.strip_suffix('}');
    pattern
        .split('/')
        .zip(path.split('/'))
        .filter_map(|(pattern, segment)| Some((name(pattern)?, segment_text(segment))))
        .collect()
}

async fn read(mut body: Body, headers: &HeaderMap) -> Result<Bytes, Problem> {
    let too_large = || Problem::too_large("a body has at most 4 MiB");
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > DROPPED_BYTES_MAX) {
        return Err(too_large());
    }
    let mut kept = BytesMut::new();
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::unreadable("the body ended too early"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        seen = seen.saturating_add(data.len());
        if seen > DROPPED_BYTES_MAX {
            break;
        }
        if seen <= BODY_BYTES_MAX {
            kept.extend_from_slice(&data);
        }
    }
    if seen > BODY_BYTES_MAX {
        return Err(too_large());
    }
    Ok(kept.freeze())
}
