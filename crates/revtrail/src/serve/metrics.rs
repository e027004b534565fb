//! What `revtrail serve` tells of itself at `/metrics`, in the text of Prometheus: how many calls were answered how, and how long they
//! took. It takes the deployment's key, since it says how much the marketplaces of this service do.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use revtrail_web::app::App;
use revtrail_web::observed::Observed;
use revtrail_web::problem::Problem;

/// The calls by route and status. There are as many as routes times statuses, whatever is asked for.
#[derive(Debug, Default)]
struct Calls(Mutex<BTreeMap<(String, u16), Sum>>);

#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    calls: u64,
    ms: u64,
}

impl Calls {
    fn sums(&self) -> MutexGuard<'_, BTreeMap<(String, u16), Sum>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, observed: Observed) {
        let mut sums = self.sums();
        let sum = sums.entry((observed.route, observed.status)).or_default();
        sum.calls += 1;
        sum.ms += u64::try_from(observed.ms).unwrap_or_default();
    }

    /// The text of Prometheus. Routes and methods hold neither quotes nor line ends.
    fn text(&self) -> String {
        let sums = self.sums().clone();
        let mut text = String::new();
        let mut counter = |name: &str, help: &str, value: fn(&Sum) -> u64| {
            // A text takes whatever is written.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
            for ((route, status), sum) in &sums {
                let value = value(sum);
                let _ = writeln!(
                    text,
                    "{name}{{route=\"{route}\",status=\"{status}\"}} {value}"
                );
            }
        };
        counter("revtrail_calls_total", "Calls that were answered.", |sum| {
            sum.calls
        });
        counter(
            "revtrail_call_milliseconds_total",
            "How long the calls took until their answers began.",
            |sum| sum.ms,
        );
        text
    }
}

/// Counts the calls of a router, and adds the route that tells of them.
pub(super) fn measured(router: Router, app: App) -> Router {
    let calls = Arc::new(Calls::default());
    let shown = calls.clone();
    let show = any(move |request: Request| {
        let (app, shown) = (app.clone(), shown.clone());
        async move {
            let shown = show(&app, &shown, request.method(), request.headers());
            shown.unwrap_or_else(IntoResponse::into_response)
        }
    });
    let counted = router.layer(map_response(move |response: Response| {
        let calls = calls.clone();
        async move {
            calls.count(Observed::of(&response));
            response
        }
    }));
    counted.route("/metrics", show)
}

fn show(
    app: &App,
    calls: &Calls,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    if !app.is_called_by_deployment(headers) {
        return Err(Problem::unauthorized());
    }
    if ![Method::GET, Method::HEAD].contains(method) {
        return Err(Problem::method_not_allowed("GET, HEAD".to_owned()));
    }
    let media = [(CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((media, calls.text()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_by_route_and_status() {
        let calls = Calls::default();
        for (route, status, ms) in [("GET /a", 200, 3), ("GET /a", 200, 4), ("GET /a", 503, -1)] {
            calls.count(Observed {
                route: route.to_owned(),
                status,
                ms,
                key_id: None,
                marketplace: None,
            });
        }
        assert_eq!(
            calls.text(),
            "# HELP revtrail_calls_total Calls that were answered.\n\
             # TYPE revtrail_calls_total counter\n\
             revtrail_calls_total{route=\"GET /a\",status=\"200\"} 2\n\
             revtrail_calls_total{route=\"GET /a\",status=\"503\"} 1\n\
             # HELP revtrail_call_milliseconds_total How long the calls took until their answers began.\n\
             # TYPE revtrail_call_milliseconds_total counter\n\
             revtrail_call_milliseconds_total{route=\"GET /a\",status=\"200\"} 7\n\
             revtrail_call_milliseconds_total{route=\"GET /a\",status=\"503\"} 0\n"
        );
    }
}
