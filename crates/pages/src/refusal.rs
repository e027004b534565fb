//! A page for each call that was refused: what happened, and where to go.

use askama::Template;
use http::StatusCode;
use revtrail_web::api::{Method, Refused};
use revtrail_web::call::{IntoResponse, Response};

use crate::address::Address;
use crate::answer;
use crate::home::SIGN_IN;

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage<'p> {
    assets: &'static [answer::Asset; 3],
    status: u16,
    title: &'p str,
    sentences: Vec<&'p str>,
    /// The page without its parameters, where those may be what is wrong.
    again: Option<&'p str>,
}

/// Shows a refusal. Whoever is not signed in goes where they can, and comes back from there.
pub(crate) fn show(refused: Refused) -> Response {
    let status = refused.problem.status();
    if status == StatusCode::UNAUTHORIZED {
        let sign_in = Address::new(SIGN_IN, Vec::new()).with("next", &refused.address);
        return answer::see(&sign_in.href());
    }
    let title = match status {
        StatusCode::NOT_FOUND => "There is nothing here",
        StatusCode::FORBIDDEN => "This is not yours to see",
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => "This cannot be shown",
        StatusCode::SERVICE_UNAVAILABLE => "Just a moment",
        _ => "That did not work",
    };
    let path = refused.address.split('?').next().unwrap_or_default();
    let by_query = [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY].contains(&status);
    let page = RefusalPage {
        assets: &answer::ALL,
        status: status.as_u16(),
        title,
        sentences: refused.problem.sentences(),
        again: (by_query && refused.method == Method::GET).then_some(path),
    };
    answer::page(status, &refused.headers, &page).unwrap_or_else(IntoResponse::into_response)
}
