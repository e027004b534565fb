//! Which calls enter the access log, and what is said of them (rule 5). All calls pass here after they are answered.
//!
//! A call is entered if it was refused although its key is good, if it took out who somebody is, or if it changed something or
//! tried to. Calls that bring facts in are entered only when they are refused, and plain reads are not entered: so the log costs
//! one small write for each call that is entered, and nothing for the others.
//!
//! An answer never depends on the log. A change is already made when it is entered, and a refusal holds in any case. So a call that
//! cannot be entered is answered as it is, and the log of the function says which key did what.

use std::collections::BTreeMap;

use axum::response::Response;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{Method, StatusCode};
use revtrail_core::value::id::{ID_BYTES_MAX, MarketplaceId};
use revtrail_core::value::time::Instant;
use revtrail_store::StoreError;
use revtrail_store::market::access::Role;
use revtrail_store::market::access_log::{AccessKind, AccessOutcome, LoggedAccess};

use crate::access::Access;
use crate::answer::AccessNote;
use crate::app::App;
use crate::call::MARKETPLACE;
use crate::caller::Caller;

/// The routes whose ids name a customer.
const CUSTOMERS: &str = "/customers/{id}";
/// How many hexadecimal digits of a customer's keyed hash are shown. By them two entries about one customer are recognised.
const HASH_DIGITS: usize = 16;

/// A call by a key that is good, as far as it was looked at.
pub(crate) struct CallSeen {
    pub(crate) caller: Caller,
    pub(crate) method: Method,
    pub(crate) route: &'static str,
    pub(crate) access: Access,
    pub(crate) params: Vec<(&'static str, Option<String>)>,
    /// True for a page. What a page asks of the API is entered by itself, and the page only if it was refused.
    pub(crate) is_page: bool,
    /// True if the call asks for CSV.
    pub(crate) csv: bool,
    /// The marketplace that the key may enter; `None` for another's.
    pub(crate) entered: Option<MarketplaceId>,
}

impl CallSeen {
    /// The marketplace that the key could enter.
    pub(crate) fn marketplace(&self) -> Option<String> {
        self.entered.as_ref().map(ToString::to_string)
    }

    /// What to enter into which marketplace's log; `None` if the call does not belong there. A key that is not good for a
    /// marketplace leaves no trace there: whoever rules the key should know.
    pub(crate) fn logged(
        self,
        app: &App,
        answer: &Response,
        now: Instant,
    ) -> Option<(MarketplaceId, LoggedAccess)> {
        let kind = self.kind(answer)?;
        let log_of = self.entered.as_ref().or(self.caller.marketplaces.first())?;
        let entry = self.entry(app, log_of, kind, answer, now);
        Some((log_of.clone(), entry))
    }

    fn kind(&self, answer: &Response) -> Option<AccessKind> {
        if answer.status() == StatusCode::FORBIDDEN {
            return Some(AccessKind::Refusal);
        }
        let Access::Roles(roles) = self.access else {
            return None;
        };
        let media = answer.headers().get(CONTENT_TYPE);
        let is_table = media.is_some_and(|media| media.as_bytes().starts_with(b"text/csv"));
        // A table that a page makes itself has a note; one that it was given by the API is entered by that.
        let is_own_table = is_table && answer.extensions().get::<AccessNote>().is_some();
        if self.is_page && !is_own_table || answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            return None;
        }
        let reads = [Method::GET, Method::HEAD].contains(&self.method);
        // Reports are for analysts too. What marketers may read and analysts may not is who the customers are.
        let names_people = roles.contains(&Role::Marketer) && !roles.contains(&Role::Analyst);
        if reads {
            let is_export = is_table || names_people && answer.status().is_success();
            return is_export.then_some(AccessKind::Export);
        }
        // Whoever may bring facts in does not change anything else, and what an analyst asks for changes nothing.
        let changes = ![Role::Ingest, Role::Analyst]
            .iter()
            .any(|role| roles.contains(role));
        changes.then_some(AccessKind::Change)
    }

    fn entry(
        &self,
        app: &App,
        log_of: &MarketplaceId,
        kind: AccessKind,
        answer: &Response,
        now: Instant,
    ) -> LoggedAccess {
        let route = self.route.strip_prefix("/v1/marketplaces/{marketplace}");
        let route = route.map_or_else(|| self.route.to_owned(), |rest| format!("M{rest}"));
        let named = self.params.iter().filter(|(name, _)| *name != MARKETPLACE);
        let named = named.filter_map(|(name, id)| {
            let id = id.as_deref()?;
            Some(match self.route.contains(CUSTOMERS) {
                true => ("customer".to_owned(), hashed(app, log_of, id)),
                false => ((*name).to_owned(), cut(id).to_owned()),
            })
        });
        let made = answer
            .headers()
            .get(LOCATION)
            .filter(|_| self.method != Method::PUT);
        let made = made.and_then(|at| at.to_str().ok()?.rsplit('/').next());
        let made = made.map(|id| ("made".to_owned(), cut(id).to_owned()));
        let note = answer.extensions().get::<AccessNote>();
        let note = note.map(|AccessNote(name, text)| ((*name).to_owned(), text.clone()));
        let on: BTreeMap<String, String> = named.chain(made).chain(note).collect();
        LoggedAccess {
            at: now,
            key_id: self.caller.key_id.clone(),
            key: self.caller.name.clone(),
            role: self.caller.role,
            kind,
            what: format!("{} {route}", self.method),
            csv: self.csv,
            on,
            outcome: match answer.status() {
                status if status.is_server_error() => AccessOutcome::Failed,
                status if status.is_client_error() => AccessOutcome::Refused,
                _ => AccessOutcome::Done,
            },
            status: answer.status().as_u16(),
        }
    }
}

/// Enters a call into the log, if it belongs there.
pub(crate) async fn enter(app: &App, logged: Option<(MarketplaceId, LoggedAccess)>) {
    let Some((log_of, entry)) = logged else {
        return;
    };
    let entered = async {
        // A marketplace that was not made has no log.
        if app.marketplace_exists(&log_of).await? {
            let market = app.store().market(&log_of, app.retention());
            market.access_log().enter(&entry).await?;
        }
        Ok::<_, StoreError>(())
    };
    if let Err(error) = entered.await {
        let (key_id, what, status) = (&entry.key_id, &entry.what, entry.status);
        tracing::error!(%error, key_id, what, status, "a call could not be entered into the access log");
    }
}

fn cut(id: &str) -> &str {
    &id[..id.floor_char_boundary(ID_BYTES_MAX)]
}

fn hashed(app: &App, marketplace: &MarketplaceId, customer: &str) -> String {
    let mut hash = app.secret("access log", &format!("{marketplace}\n{customer}"));
    hash.truncate(HASH_DIGITS);
    hash
}
