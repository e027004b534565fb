//! The manage function: its routes. What they are about has files of its own.

mod access_log;
mod campaigns;
mod days;
mod docs;
mod erasures;
mod exports;
mod keys;
mod look_ahead;
mod marketplaces;
mod once;
mod promotions;
mod replays;
mod runs;
mod segments;
mod settings;
mod uploads;
mod what_if;

use revtrail_core::attribution::campaign::NAME_BYTES_MAX;
use revtrail_core::record::{Code, Problems, RecordProblem as Bad, no_controls};
use revtrail_web::access::{ADMIN, MARKETING, READERS, REPORTING};
use revtrail_web::api::{Method, Route};
use revtrail_web::problem::Problem;
use serde_json::{Map, Value};

pub use docs::docs;
pub use runs::{Enqueue, Enqueued, in_process};

/// The routes that this function answers. `enqueue` points the attributor at what was asked for: runs, what-ifs, replays, exports and
/// erasures.
pub fn routes(enqueue: Enqueue) -> Vec<Route> {
    let (tried, replayed, erase) = (enqueue.clone(), enqueue.clone(), enqueue.clone());
    let export = enqueue.clone();
    let mut routes = revtrail_web::routes! {
        POST   "/keys",                            ADMIN     => keys::create;
        GET    "/keys",                            ADMIN     => keys::list;
        DELETE "/keys/{key_id}",                   ADMIN     => keys::revoke;
        PUT    "/settings",                        ADMIN     => settings::put;
        PATCH  "/settings",                        ADMIN     => settings::patch;
        PUT    "/campaigns/{id}",                  MARKETING, query => campaigns::put;
        PATCH  "/campaigns/{id}",                  MARKETING, query => campaigns::patch;
        PUT    "/promotions/{id}",                 MARKETING => promotions::put;
        PATCH  "/promotions/{id}",                 MARKETING => promotions::patch;
        POST   "/promotions/{id}/vouchers",        MARKETING => promotions::post_vouchers;
        PUT    "/promotions/{id}/vouchers/{code}", MARKETING => promotions::put_voucher;
        POST   "/what-if",                         READERS, heavy => move |call| what_if::start(call, tried.clone());
        GET    "/what-ifs/{id}",                   READERS   => what_if::one;
        POST   "/replays",                         ADMIN     => move |call| replays::start(call, replayed.clone());
        GET    "/replays",                         ADMIN, list => replays::list;
        GET    "/replays/{id}",                    ADMIN     => replays::one;
        POST   "/segments",                        MARKETING, heavy => segments::save;
        DELETE "/segments/{id}",                   MARKETING => segments::delete;
        GET    "/access-log",                      ADMIN, list => access_log::list;
        DELETE "/customers/{id}",                  ADMIN     => move |call| erasures::start(call, erase.clone());
        GET    "/erasures/{id}",                   ADMIN     => erasures::one;
        POST   "/exports",                         ADMIN     => move |call| exports::start(call, export.clone());
        GET    "/exports/{id}",                    ADMIN     => exports::one;
        POST   "/uploads",                         REPORTING => uploads::offer;
        POST   "/runs",                            MARKETING => move |call| runs::start(call, enqueue.clone());
    };
    let path = "/v1/marketplaces/{marketplace}";
    let put = Route::new(Method::PUT, path, ADMIN, marketplaces::put);
    routes.push(put.creates_marketplace());
    let forms = revtrail_pages::forms(&routes, &report_query::routes());
    routes.extend(forms);
    routes
}

fn name(fields: &Map<String, Value>, problems: &mut Problems) -> Option<String> {
    match fields.get("name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) if (1..=NAME_BYTES_MAX).contains(&name.len()) => {
            let checked = no_controls("name", name).map_err(|problem| problems.push(problem));
            checked.ok().map(|()| name.clone())
        }
        Some(Value::String(_)) => {
            problems.push(Bad::of(
                "name",
                Code::UnknownValue,
                "name has 1 to 256 bytes",
            ));
            None
        }
        Some(_) => {
            problems.push(Bad::of("name", Code::WrongType, "name is a text"));
            None
        }
    }
}

fn valid(problems: Problems) -> Result<(), Problem> {
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Problem::invalid(problems))
    }
}
