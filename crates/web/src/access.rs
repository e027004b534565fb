//! Who calls, and whether they may. The routes themselves list which roles may call them.

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
use crate::caller::Caller;
use crate::problem::Problem;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody may call it without a key.
    Open,
    /// Any key may call it.
    AnyKey,
    /// A key with one of these roles may call it.
    Roles(&'static [Role]),
}

impl Access {
    /// True where a key of this role may call.
    pub fn allows(self, role: Role) -> bool {
        match self {
            Self::Roles(roles) => roles.contains(&role),
            Self::Open | Self::AnyKey => true,
        }
    }
}

/// Routes that only administrators may call.
pub const ADMIN: Access = Access::Roles(&[Role::Admin]);
/// Routes for the facts of shops and mail tools.
pub const INTAKE: Access = Access::Roles(&[Role::Admin, Role::Ingest]);
/// Routes for the facts of promotions, which partners report too.
pub const REPORTING: Access = Access::Roles(&[Role::Admin, Role::Partner, Role::Ingest]);
/// Routes for the work of marketers, and for lists of who bought.
pub const MARKETING: Access = Access::Roles(&[Role::Admin, Role::Marketer]);
/// Routes for reports.
pub const READERS: Access = Access::Roles(&[Role::Admin, Role::Marketer, Role::Analyst]);
/// Routes for reports of promotions.
pub const PROMOTIONS: Access =
    Access::Roles(&[Role::Admin, Role::Marketer, Role::Analyst, Role::Partner]);

/// How a Basic password is encoded: base64 with or without padding.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Finds out who calls a route. The answer is the same for all causes of failure. Whoever sends two keys is nobody, since what
/// stands before this service may have checked the other one. A key may stand in the URL or be a Basic password if it is taken
/// `anywhere`, and is read from the table if it must be `fresh`.
pub(crate) async fn identify(
    app: &App,
    (anywhere, fresh): (bool, bool),
    headers: &HeaderMap,
    query: &[(String, String)],
    now: Instant,
) -> Result<Caller, Problem> {
    let nobody = match anywhere {
        true => Problem::unauthorized_sender,
        false => Problem::unauthorized,
    };
    let secret = secret(headers, query, anywhere).ok_or_else(nobody)?;
    app.caller(&secret, fresh, now).await?.ok_or_else(nobody)
}

/// The secret of a call that sends exactly one, see [`identify`].
pub(crate) fn secret(
    headers: &HeaderMap,
    query: &[(String, String)],
    anywhere: bool,
) -> Option<String> {
    let mut sent: Vec<Option<String>> = headers
        .get_all(AUTHORIZATION)
        .iter()
        .map(|value| authorization(value.as_bytes(), anywhere))
        .collect();
    if anywhere {
        let in_url = query.iter().filter(|(name, _)| name == "key");
        sent.extend(in_url.map(|(_, key)| Some(key.clone())));
    }
    let secret = match sent.as_mut_slice() {
        [one] => one.take(),
        _ => None,
    };
    secret.filter(|secret| !secret.is_empty())
}

/// The secret in an `Authorization` header: a bearer token or, where `basic` allows it, a Basic password.
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

/// Checks that a caller may enter a marketplace. `None` is an id that no marketplace can have. A key is answered the same for
/// another's marketplace and for one that does not exist. The deployment's key instead gets 404, or passes where the route may
/// create it.
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
