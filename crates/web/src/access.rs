//! Who calls, and whether they may. Which role may call which route stands with the routes.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::Instant;
use revtrail_store::market::access::Role;

use crate::app::App;
use crate::problem::Problem;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a key.
    Open,
    /// Any key.
    AnyKey,
    /// A key with one of these roles.
    Roles(&'static [Role]),
}

/// What only administrators do.
pub const ADMIN: Access = Access::Roles(&[Role::Admin]);
/// Facts of shops and mail tools.
pub const INTAKE: Access = Access::Roles(&[Role::Admin, Role::Ingest]);
/// Facts of promotions: partners report them too.
pub const REPORTING: Access = Access::Roles(&[Role::Admin, Role::Partner, Role::Ingest]);
/// What marketers do, and who bought.
pub const MARKETING: Access = Access::Roles(&[Role::Admin, Role::Marketer]);
/// Reports.
pub const READERS: Access = Access::Roles(&[Role::Admin, Role::Marketer, Role::Analyst]);
/// Reports of promotions.
pub const PROMOTIONS: Access =
    Access::Roles(&[Role::Admin, Role::Marketer, Role::Analyst, Role::Partner]);

/// The key of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The key's id; `deployment` for the deployment's key.
    pub key_id: String,
    /// The key's name.
    pub name: String,
    /// The key's role; admin for the deployment's key.
    pub role: Role,
    /// True for the deployment's key, which is good for every marketplace.
    pub deployment: bool,
    /// The key's marketplaces; empty for the deployment's key.
    pub marketplaces: Vec<MarketplaceId>,
}

impl Caller {
    /// True where this key is good for a marketplace (that may not exist).
    pub fn sees(&self, marketplace: &MarketplaceId) -> bool {
        self.deployment || self.marketplaces.contains(marketplace)
    }
}

/// How a Basic password is encoded, with padding or without.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Finds out who calls. One answer for all causes of failure.
pub(crate) async fn identify(
    app: &App,
    headers: &HeaderMap,
    url_key: Option<&str>,
    basic: bool,
    now: Instant,
) -> Result<Caller, Problem> {
    let secret = match headers.get(AUTHORIZATION) {
        Some(value) => authorization(value.as_bytes(), basic),
        None => url_key.map(str::to_owned),
    };
    let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
        return Err(Problem::unauthorized());
    };
    app.caller(&secret, now)
        .await?
        .ok_or_else(Problem::unauthorized)
}

/// The secret of an `Authorization` header: a bearer token, or where `basic` allows it a Basic password.
fn authorization(value: &[u8], basic: bool) -> Option<String> {
    let (scheme, rest) = std::str::from_utf8(value).ok()?.trim().split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if basic && scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(BASIC.decode(rest.trim()).ok()?).ok()?;
        return pair
            .split_once(':')
            .map(|(_, password)| password.to_owned());
    }
    None
}

/// Lets a caller into a marketplace, `None` being an id no marketplace can have. Another's and an absent one look the
/// same, but for the deployment's key, which gets 404; or passes, where the route may create the marketplace.
pub(crate) async fn enter(
    app: &App,
    caller: &Caller,
    marketplace: Option<&MarketplaceId>,
    may_create: bool,
) -> Result<(), Problem> {
    if caller.deployment && may_create {
        return Ok(());
    }
    let open = match marketplace {
        Some(id) => caller.sees(id) && app.marketplace_exists(id).await?,
        None => false,
    };
    match (open, caller.deployment) {
        (true, _) => Ok(()),
        (false, true) => Err(Problem::not_found("there is no such marketplace")),
        (false, false) => Err(Problem::forbidden()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_authorization_header_holds() {
        for (header, basic, secret) in [
            ("Bearer k1", false, Some("k1")),
            ("bearer  k1 ", false, Some("k1")),
            ("BEARER ключ", false, Some("ключ")),
            ("Bearer", false, None),
            ("Token k1", true, None),
            ("Basic YTprMQ==", false, None),
            ("Basic YTprMQ==", true, Some("k1")),
            ("basic YTprMQ", true, Some("k1")),
            ("Basic YQ==", true, None),
            ("Basic ???", true, None),
        ] {
            assert_eq!(
                authorization(header.as_bytes(), basic).as_deref(),
                secret,
                "{header}"
            );
        }
    }
}
