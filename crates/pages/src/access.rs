//! The page of access: the keys, made and revoked; what each role may do; and who did what.

use std::sync::OnceLock;

use askama::Template;
use http::header::HeaderName;
use http::{Method, StatusCode};
use revtrail_core::value::time::Instant;
use revtrail_store::market::access::Role;
use revtrail_web::access::MARKETING;
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer;
use crate::asked::{ACCESS_LOG, Api, Doing, KEY, KEYS, OPENAPI};
use crate::docs::{operations, texts};
use crate::frame::Frame;
use crate::home::form as fields;
use crate::lists::{items, knows_tables};
use crate::sheet::text;
use crate::table_file;
use crate::times::Moment;

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    key_id: String,
    name: String,
    role: String,
    created_at: Instant,
    used_at: Option<Instant>,
}

struct KeyView {
    id: String,
    name: String,
    role: String,
    made: Moment,
    /// When it was used last, within an hour.
    used: Option<Moment>,
    /// True for the key that signed in.
    is_own: bool,
}

/// An entry of the access log.
struct EntryView {
    at: Option<Moment>,
    key: String,
    role: String,
    kind: &'static str,
    what: String,
    on: String,
    outcome: String,
    went_well: bool,
}

/// What some roles may do, of one group of routes.
struct Right {
    tag: String,
    /// What the routes do, and which they are.
    what: Vec<(String, String)>,
    /// For each role, whether it may.
    may: Vec<bool>,
}

/// What each role may do, by the roles of all routes.
fn rights(document: &Value) -> Vec<Right> {
    let mut rights: Vec<Right> = Vec::new();
    for tag in items(document, "tags") {
        for (method, path, told) in operations(document) {
            let roles = texts(told, "x-roles");
            if told["tags"][0] != tag["name"] || roles.is_empty() {
                continue;
            }
            let may: Vec<bool> = Role::ALL.map(|role| roles.contains(&role.name())).into();
            let route = format!("{} {path}", method.to_uppercase());
            let what = (text(told, "summary"), route);
            let tag = text(tag, "name");
            match rights
                .iter_mut()
                .find(|one| one.tag == tag && one.may == may)
            {
                Some(right) => right.what.push(what),
                None => rights.push(Right {
                    tag,
                    what: vec![what],
                    may,
                }),
            }
        }
    }
    rights
}

/// A key that was just made. Its secret is shown this once.
struct Made {
    name: String,
    role: String,
    secret: String,
}

/// What was filled into the form of a new key, and what is wrong with it.
#[derive(Default)]
struct Tried {
    name: String,
    role: String,
    wrong: Vec<String>,
}

#[derive(Template)]
#[template(path = "access.html")]
struct AccessPage {
    frame: Frame,
    made: Option<Made>,
    tried: Tried,
    once: String,
    keys: Vec<KeyView>,
    roles: Vec<(&'static str, &'static str)>,
    rights: &'static [Right],
    log: Vec<EntryView>,
    first: Option<String>,
    next: Option<String>,
}

/// What a role is for, in words.
fn about(role: Role) -> &'static str {
    match role {
        Role::Admin => "sees and changes everything, settings and keys too",
        Role::Marketer => "sees who bought, and changes campaigns and promotions",
        Role::Analyst => "sees figures, and not who the customers are",
        Role::Partner => "sees promotions, and reports redemptions",
        Role::Ingest => "delivers facts, and sees no page",
    }
}

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    knows_tables(&call, &["cursor", "limit"])?;
    show(&api, &call, None, Tried::default(), StatusCode::OK).await
}

async fn show(
    api: &Api,
    call: &Call,
    made: Option<Made>,
    tried: Tried,
    status: StatusCode,
) -> Result<Response, Problem> {
    let frame = Frame::of(api, call, "Access", "/access").await?;
    let about_m = (Some(&frame.marketplace), &[][..]);
    let told: Keys = api.says(call, KEYS, about_m, &[]).await?;
    let asked = frame.address.only(&["cursor", "limit"]);
    let log: Value = api.says(call, ACCESS_LOG, about_m, &asked).await?;
    // The document is the same for as long as the process lives.
    static RIGHTS: OnceLock<Vec<Right>> = OnceLock::new();
    let rights = match RIGHTS.get() {
        Some(known) => known,
        None => {
            let document: Value = api.says(call, OPENAPI, (None, &[]), &[]).await?;
            RIGHTS.get_or_init(|| rights(&document))
        }
    };
    let own = &call.caller()?.key_id;
    let key = |key: Key| KeyView {
        is_own: key.key_id == *own,
        made: frame.moment(key.created_at),
        used: key.used_at.map(|at| frame.moment(at)),
        id: key.key_id,
        name: key.name,
        role: key.role,
    };
    let next = log["next_cursor"].as_str();
    let page = AccessPage {
        made,
        tried,
        once: revtrail_store::random_hex(),
        keys: told.keys.into_iter().map(key).collect(),
        roles: Role::ALL.map(|role| (role.name(), about(role))).into(),
        rights,
        log: items(&log, "items")
            .map(|entry| EntryView::new(&frame, entry))
            .collect(),
        first: frame
            .address
            .get("cursor")
            .map(|_| frame.address.with("cursor", "").href()),
        next: next.map(|cursor| frame.address.with("cursor", cursor).href()),
        frame,
    };
    table_file::page(call, &page.frame.address, MARKETING, status, &page)
}

impl EntryView {
    fn new(frame: &Frame, entry: &Value) -> Self {
        let at = entry["at"].as_str().and_then(|at| Instant::parse(at).ok());
        let on = entry["on"].as_object().into_iter().flatten();
        let on = on.map(|(name, id)| {
            format!(
                "{} {}",
                name.replace('_', " "),
                id.as_str().unwrap_or_default()
            )
        });
        let csv = if entry["csv"] == true { " as CSV" } else { "" };
        Self {
            at: at.map(|at| frame.moment(at)),
            key: text(entry, "key"),
            role: text(entry, "role"),
            kind: match text(entry, "kind").as_str() {
                "refusal" => "was refused",
                "export" => "took out",
                _ => "changed",
            },
            what: format!("{}{csv}", text(entry, "what")),
            on: on.collect::<Vec<_>>().join(", "),
            outcome: format!("{}, {}", text(entry, "outcome"), text(entry, "status")),
            went_well: entry["outcome"] == "done",
        }
    }
}

/// Makes a key or revokes one, as the form says.
pub(crate) async fn changed(api: Api, call: Call) -> Result<Response, Problem> {
    call.query().done()?;
    let marketplace = call.marketplace()?.clone();
    let sent = fields(&call);
    let text = |name: &str| sent.get(name).map_or("", |text| text.trim());
    match text("revoke") {
        "" => {}
        id => {
            let about = (Some(&marketplace), &[("key_id", id)][..]);
            let doing = Doing::json(&Value::Null);
            api.does(&call, (&Method::DELETE, KEY), about, doing)
                .await?;
            return Ok(answer::see(&format!("/app/{marketplace}/access")));
        }
    }
    let (name, role) = (text("name").to_owned(), text("role").to_owned());
    let body = json!({ "name": name, "role": role });
    // A page that is loaded again shows the same key again, and makes no other.
    let once = Some(text("once")).filter(|once| !once.is_empty());
    let doing = Doing {
        header: once.map(|once| (HeaderName::from_static("idempotency-key"), once)),
        ..Doing::json(&body)
    };
    let about = (Some(&marketplace), &[][..]);
    match api.does(&call, (&Method::POST, KEYS), about, doing).await {
        Ok(told) => {
            let secret = told["key"].as_str().unwrap_or_default().to_owned();
            let made = Made { name, role, secret };
            show(
                &api,
                &call,
                Some(made),
                Tried::default(),
                StatusCode::CREATED,
            )
            .await
        }
        Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => {
            let wrong = problem.sentences().into_iter().map(str::to_owned).collect();
            let tried = Tried { name, role, wrong };
            show(&api, &call, None, tried, problem.status()).await
        }
        Err(problem) => Err(problem),
    }
}
