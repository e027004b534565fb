//! Signing in and out, and the marketplaces of a key.

use std::collections::BTreeMap;

use askama::Template;
use http::header::SET_COOKIE;
use http::{HeaderValue, StatusCode};
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use revtrail_web::session;
use serde::Deserialize;

use crate::answer::{self, Asset};
use crate::asked::{Api, CAMPAIGNS, Marketplace};
use crate::frame::Link;
use crate::numbers::{COOKIE, Figure, LANGUAGES, Numbers};

pub(crate) const SIGN_IN: &str = "/app/sign-in";
pub(crate) const SIGN_OUT: &str = "/app/_/sign-out";
pub(crate) const LANGUAGE: &str = "/app/_/language";

/// Of so many marketplaces the revenue is shown; more would take long.
const WITH_REVENUE: usize = 50;

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignInPage<'p> {
    assets: &'static [Asset; 3],
    offered: &'p str,
    next: &'p str,
    wrong: bool,
}

/// A place to go after signing in: below the pages, and on this host.
fn checked(next: &str) -> &str {
    let is_page = next == "/app" || next.starts_with("/app/") || next.starts_with("/app?");
    let is_plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_form = next.starts_with("/app/_/") || next.starts_with(SIGN_IN);
    if is_page && is_plain && !is_form {
        next
    } else {
        "/app"
    }
}

/// Shows the field for a key. A link that carries the key that is offered to everybody signs in by itself.
pub(crate) async fn sign_in(call: Call) -> Result<Response, Problem> {
    let mut query = call.query();
    let (next, key) = (query.text("next").unwrap_or("/app"), query.text("key"));
    query.done()?;
    let offered = call.app.offered_key().unwrap_or_default();
    if let Some(key) = key.filter(|key| *key == offered)
        && let Some(set) = call.app.sign_in(key, &call.headers, call.now).await?
    {
        return Ok(with_cookie(answer::see(checked(next)), set));
    }
    let page = SignInPage {
        assets: &answer::ALL,
        offered,
        next,
        wrong: false,
    };
    answer::page(StatusCode::OK, &call.headers, &page)
}

fn with_cookie(mut response: Response, set: HeaderValue) -> Response {
    response.headers_mut().append(SET_COOKIE, set);
    response
}

/// The fields of a form that was sent.
pub(crate) fn form(call: &Call) -> BTreeMap<String, String> {
    form_urlencoded::parse(&call.body).into_owned().collect()
}

pub(crate) async fn signed_in(call: Call) -> Result<Response, Problem> {
    let form = form(&call);
    let field = |name: &str| form.get(name).map_or("", |text| text.trim());
    let (key, next) = (field("key"), checked(field("next")));
    match call.app.sign_in(key, &call.headers, call.now).await? {
        Some(set) => Ok(with_cookie(answer::see(next), set)),
        None => {
            let offered = call.app.offered_key().unwrap_or_default();
            let page = SignInPage {
                assets: &answer::ALL,
                offered,
                next,
                wrong: true,
            };
            answer::page(StatusCode::UNAUTHORIZED, &call.headers, &page)
        }
    }
}

pub(crate) async fn sign_out(call: Call) -> Result<Response, Problem> {
    Ok(with_cookie(
        answer::see(SIGN_IN),
        call.app.sign_out(&call.headers),
    ))
}

/// Keeps the language that numbers are written in.
pub(crate) async fn language(call: Call) -> Result<Response, Problem> {
    let form = form(&call);
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let known = LANGUAGES
        .iter()
        .find(|(code, _)| *code == field("language"));
    let seen = answer::see(checked(field("next")));
    Ok(match known {
        Some((code, _)) => with_cookie(seen, session::remember(&call.headers, COOKIE, code)),
        None => seen,
    })
}

#[derive(Template)]
#[template(path = "marketplaces.html")]
struct MarketplacesPage {
    assets: &'static [Asset; 3],
    rows: Vec<Row>,
    key: String,
    role: &'static str,
    shows_revenue: bool,
    origin: String,
}

struct Row {
    link: Link,
    id: String,
    revenue: Vec<Figure>,
    purchases: Figure,
}

/// What the campaign report says of a whole period.
#[derive(Deserialize)]
struct Report {
    totals: Totals,
}

#[derive(Deserialize)]
struct Totals {
    purchases: Option<i64>,
    #[serde(default)]
    revenue: BTreeMap<String, String>,
}

async fn row(api: &Api, call: &Call, of: &Marketplace, place: usize) -> Result<Row, Problem> {
    let numbers = Numbers::of(&call.headers);
    let role = call.caller()?.role;
    let asked = place < WITH_REVENUE && api.tells(role, CAMPAIGNS);
    let totals = match asked {
        true => {
            let about = (Some(&of.marketplace_id), &[][..]);
            let report: Report = api.says(call, CAMPAIGNS, about, &[("limit", "1")]).await?;
            Some(report.totals)
        }
        false => None,
    };
    let totals = totals.as_ref();
    let revenue = totals.into_iter().flat_map(|totals| &totals.revenue);
    let page = crate::frame::first_page(api, role);
    Ok(Row {
        link: Link {
            href: page
                .map(|suffix| format!("/app/{}{suffix}", of.marketplace_id))
                .unwrap_or_default(),
            label: of.name.clone(),
            current: false,
        },
        id: of.marketplace_id.to_string(),
        revenue: revenue
            .map(|(currency, amount)| numbers.exact(amount, currency))
            .collect(),
        purchases: totals
            .and_then(|totals| totals.purchases)
            .map_or(Figure::default(), |n| numbers.count(n)),
    })
}

/// The marketplaces of the caller's key, each with its revenue of the last 30 days.
pub(crate) async fn marketplaces(api: Api, call: Call) -> Result<Response, Problem> {
    call.query().done()?;
    let caller = call.caller()?;
    let mut rows = Vec::new();
    for (place, one) in api.marketplaces(&call).await?.iter().enumerate() {
        rows.push(row(&api, &call, one, place).await?);
    }
    let page = MarketplacesPage {
        assets: &answer::ALL,
        rows,
        key: caller.name.clone(),
        role: caller.role.name(),
        shows_revenue: api.tells(caller.role, CAMPAIGNS),
        origin: session::origin(&call.headers),
    };
    answer::page(StatusCode::OK, &call.headers, &page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_stays_here() {
        for (next, goes) in [
            ("/app", "/app"),
            ("/app/m/order?id=o%2F1", "/app/m/order?id=o%2F1"),
            ("/app?x=1", "/app?x=1"),
            ("//evil.example", "/app"),
            ("https://evil.example/app/", "/app"),
            ("/app/\\evil.example", "/app"),
            ("/app/m\r\nSet-Cookie: a=b", "/app"),
            ("/apple", "/app"),
            ("/app/_/sign-out", "/app"),
            ("/app/sign-in?next=/app/sign-in", "/app"),
            ("", "/app"),
        ] {
            assert_eq!(checked(next), goes, "{next:?}");
        }
    }
}
