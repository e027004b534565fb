//! The pages for people. A page asks the routes of the API, in this process and for the same caller, and lays out what they answer.
//! So figures, roles and rules exist once, and no figure is computed here. Module `answer` makes documents of templates.

mod access;
mod address;
mod answer;
mod asked;
mod campaign;
mod campaigns;
mod change;
mod chart;
mod customer;
mod docs;
mod edit;
mod field;
mod files;
mod form;
mod frame;
mod home;
mod lists;
mod looks;
mod multipart;
mod numbers;
mod promotion;
mod promotions;
mod refusal;
mod runs;
mod segments;
mod senders;
mod settings;
mod settings_form;
mod sheet;
mod table_file;
mod times;
mod why;

use revtrail_store::market::access::Role;
use revtrail_web::access::{ADMIN, Access, MARKETING, REPORTING};
use revtrail_web::api::{Method, Route};

use crate::asked::Api;

/// Who gets promotions as CSV.
pub(crate) const PROMOTIONS_CSV: Access =
    Access::Roles(&[Role::Admin, Role::Marketer, Role::Partner]);

/// The pages over the routes of the API that this function answers. Whoever may call what a page asks may see the page.
pub fn routes(api: &[Route]) -> Vec<Route> {
    let api = Api::new(api);
    let routes = vec![
        Route::new(Method::GET, answer::ASSETS, Access::Open, answer::asset),
        Route::new(Method::GET, "/app/sign-in", Access::Open, home::sign_in).reads_query(),
        api.page("/docs", asked::OPENAPI, docs::page),
        api.page("/app", asked::MARKETPLACES, home::marketplaces),
        api.page("/app/{marketplace}", asked::CAMPAIGNS, campaigns::page),
        api.file(
            "/app/{marketplace}/campaigns.csv",
            MARKETING,
            asked::CAMPAIGNS,
        ),
        api.page(
            "/app/{marketplace}/campaign",
            asked::CAMPAIGN,
            campaign::page,
        ),
        api.file(
            "/app/{marketplace}/purchases.csv",
            MARKETING,
            asked::PURCHASES,
        ),
        api.file("/app/{marketplace}/days.csv", MARKETING, asked::CAMPAIGN),
        api.file(
            "/app/{marketplace}/statuses.csv",
            MARKETING,
            asked::ORDERS_REPORT,
        ),
        api.file(
            "/app/{marketplace}/reconciliation.csv",
            MARKETING,
            asked::RECONCILIATION,
        ),
        api.file(
            "/app/{marketplace}/rejected.csv",
            PROMOTIONS_CSV,
            asked::BATCH,
        ),
        api.file("/app/{marketplace}/segment.csv", MARKETING, asked::SEGMENT),
        api.file("/app/{marketplace}/orders.csv", MARKETING, asked::ORDERS),
        api.file(
            "/app/{marketplace}/promotions.csv",
            PROMOTIONS_CSV,
            asked::PROMOTIONS,
        ),
        api.page_for(
            "/app/{marketplace}/promotion.csv",
            PROMOTIONS_CSV,
            promotion::table,
        ),
        api.page(
            "/app/{marketplace}/promotions",
            asked::PROMOTIONS,
            promotions::page,
        ),
        api.page(
            "/app/{marketplace}/promotion",
            asked::DASHBOARD,
            promotion::page,
        ),
        api.page("/app/{marketplace}/orders", asked::ORDERS, lists::orders),
        api.page(
            "/app/{marketplace}/customer",
            asked::CUSTOMER,
            customer::page,
        ),
        api.page(
            "/app/{marketplace}/reconciliation",
            asked::RECONCILIATION,
            lists::reconciliation,
        ),
        api.page(
            "/app/{marketplace}/segments",
            asked::SEGMENTS,
            segments::page,
        ),
        api.page("/app/{marketplace}/runs", asked::RUNS, runs::page),
        api.page("/app/{marketplace}/batches", asked::BATCHES, files::page),
    ];
    let shown = |route: Route| route.page(refusal::show);
    routes.into_iter().map(shown).collect()
}

/// Where the forms go that people send, over the routes of the API that change something, and `readers`, its other routes: a form
/// that is wrong is shown again on its page. Pages that look ahead ask what only this function answers, so they are here too.
pub fn forms(api: &[Route], readers: &[Route]) -> Vec<Route> {
    let open = Access::Open;
    let api = Api::new(&[api, readers].concat());
    let routes = [
        api.form("/app/{marketplace}/runs", MARKETING, runs::started),
        api.form("/app/{marketplace}/campaign", MARKETING, campaign::sent),
        api.form("/app/{marketplace}/promotions", MARKETING, promotions::sent),
        api.form("/app/{marketplace}/promotion", MARKETING, promotion::sent),
        api.form("/app/{marketplace}/segments", MARKETING, segments::sent),
        api.form("/app/{marketplace}/customer", ADMIN, customer::sent),
        api.form("/app/{marketplace}/batches", REPORTING, files::sent),
        api.page(
            "/app/{marketplace}/erasure",
            asked::ERASURE,
            customer::erasure,
        ),
        api.page(
            "/app/{marketplace}/settings",
            asked::SETTINGS,
            settings::page,
        ),
        api.form("/app/{marketplace}/settings", ADMIN, settings::save),
        api.form("/app/{marketplace}/replays", ADMIN, settings::replay),
        api.page("/app/{marketplace}/senders", asked::SENDERS, senders::page),
        api.form("/app/{marketplace}/senders", ADMIN, senders::sent),
        api.page("/app/{marketplace}/order", asked::WHY, why::page),
        api.page("/app/{marketplace}/access", asked::KEYS, access::page),
        api.form("/app/{marketplace}/access", ADMIN, access::changed),
        Route::new(Method::POST, "/app/sign-in", open, home::signed_in),
        Route::new(Method::POST, home::SIGN_OUT, open, home::sign_out),
        Route::new(Method::POST, home::LANGUAGE, open, home::language),
    ];
    let shown = |route: Route| route.page(refusal::show);
    routes.into_iter().map(shown).collect()
}
