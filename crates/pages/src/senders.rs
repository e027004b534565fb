//! The pages of senders of webhooks: what each sent last and what of it means nothing here, the address to paste, and a mapping that is
//! tried on a pasted post before it is saved. What a post means is not decided here.

use std::collections::BTreeMap;

use askama::Template;
use http::header::{CONTENT_TYPE, IF_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use revtrail_core::attribution::settings::{SENDERS, Settings};
use revtrail_core::record::RecordProblem;
use revtrail_core::value::time::Instant;
use revtrail_web::access::ADMIN;
use revtrail_web::api::Method;
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use revtrail_web::webhook::{Post, Tried as TriedThing};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer;
use crate::asked::{Api, Doing, KEYS, RECONCILIATION, SENDERS as SENDERS_ROUTE, SETTINGS};
use crate::field::Kind;
use crate::form::{self, Form, Input, ONCE, SEEN, Sent, Tried};
use crate::frame::{Field, Filters, Frame, Period};
use crate::lists::{items, knows_tables};
use crate::runs::IDEMPOTENCY_KEY;
use crate::sheet::{Cell, Head, Sheet, Table, text};
use crate::times::Moment;

mod guide;

use guide::{GUIDES, Guide, OWN};

const KEY: &str = "key";
const MAPPING: &str = "mapping";
/// The parameter that says that a mapping was just saved.
const SAVES: &str = "saved";
/// The field of the mapping, and that of the post to try it on.
const JSON: &str = "row";
const POST: &str = "post";
/// The longest name of a sender that is looked at.
const NAME_BYTES_MAX: usize = 64;

/// The last post of a sender, as the API tells it.
#[derive(Deserialize)]
struct Last {
    sender: String,
    at: Instant,
    accepted: i64,
    duplicates: i64,
    rejected: i64,
    problem: Option<LastProblem>,
    ignored: BTreeMap<String, i64>,
    shape: Option<String>,
    refused: Option<String>,
}

#[derive(Deserialize)]
struct LastProblem {
    code: String,
    field: Option<String>,
}

#[derive(Deserialize)]
struct Lasts {
    senders: Vec<Last>,
}

impl Last {
    /// What became of the post, in words.
    fn words(&self, frame: &Frame) -> String {
        let count = |n: i64| frame.numbers.count(n).text();
        match self.refused.as_deref() {
            Some("bad_signature") => {
                return "refused: its signature is not that of the key in the settings".to_owned();
            }
            Some(_) => return "refused: its body could not be read".to_owned(),
            None => {}
        }
        let mut parts = Vec::new();
        for (n, word) in [
            (self.accepted, "accepted"),
            (self.duplicates, "known before"),
        ] {
            parts.extend((n > 0).then(|| format!("{} {word}", count(n))));
        }
        if self.rejected > 0 {
            let why = self.problem.as_ref().map(|problem| {
                let code = problem.code.replace('_', " ");
                let field = problem.field.as_ref();
                field.map_or(code.clone(), |field| format!("{field}: {code}"))
            });
            let why = why.map_or(String::new(), |why| format!(" ({why})"));
            parts.push(format!("{} rejected{why}", count(self.rejected)));
        }
        for (word, n) in &self.ignored {
            parts.push(format!("{} × “{word}” ignored", count(*n)));
        }
        match parts.is_empty() {
            true => "empty: the sender tried the address".to_owned(),
            false => parts.join(", "),
        }
    }
}

/// What one thing of a pasted post would become.
struct Line {
    kind: &'static str,
    /// The fields of the record with their values.
    fields: Vec<(String, String)>,
    problem: Option<(String, String)>,
}

impl Line {
    fn new(thing: TriedThing) -> Self {
        let record: Value = serde_json::from_str(&thing.text).unwrap_or_default();
        let fields = record.as_object().into_iter().flatten();
        let shown = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut fields: Vec<(String, String)> = fields
            .map(|(name, value)| (name.clone(), shown(value)))
            .collect();
        if thing.kind == "ignored" {
            fields = vec![("the sender's word".to_owned(), thing.text)];
        }
        let problem = |problem: RecordProblem| {
            let field = problem.field.unwrap_or_default();
            (field, problem.detail)
        };
        Self {
            kind: thing.kind,
            fields,
            problem: thing.problem.map(problem),
        }
    }
}

/// A key that was just made for a sender. Its secret is shown this once, in the address.
struct Made {
    name: String,
    address: String,
}

#[derive(Template)]
#[template(path = "sender.html")]
struct SenderPage {
    frame: Frame,
    sender: String,
    guide: &'static Guide,
    address: String,
    made: Option<Made>,
    /// When a key of this name was made before, for those who see keys.
    key_made: Option<Moment>,
    last: Option<(Moment, String, String)>,
    lines: Option<Vec<Line>>,
    key: Option<Form>,
    mapping: Option<Form>,
    saved: bool,
}

/// The name of the key of a sender.
fn key_name(sender: &str) -> String {
    format!("webhook {sender}")
}

/// What the address of a sender has after the marketplace.
fn path_of(sender: &str) -> String {
    match sender.starts_with("compat/") {
        true => sender.to_owned(),
        false => format!("webhooks/{sender}"),
    }
}

fn guide_of(sender: &str) -> &'static Guide {
    let known = GUIDES.iter().find(|guide| guide.sender == sender);
    known.unwrap_or(&OWN)
}

/// The name of a sender in the settings: both addresses of Yespo's interface are one there.
fn in_settings(sender: &str) -> &str {
    match sender.starts_with("compat/yespo") {
        true => "yespo",
        false => sender,
    }
}

/// Where the settings have the mapping of a sender.
fn place<'v>(settings: &'v Value, sender: &str) -> &'v Value {
    let providers = &settings["providers"];
    match SENDERS.contains(&in_settings(sender)) {
        true => &providers[in_settings(sender)],
        false => &providers["custom"][sender],
    }
}

/// The settings with another mapping of a sender.
fn with(mut settings: Value, sender: &str, mapping: Value) -> Value {
    // What is not there yet is made.
    for (at, name) in [("/providers", "providers"), ("/providers/custom", "custom")] {
        if settings.pointer(at).is_none_or(Value::is_null) {
            let above = at.strip_suffix(&format!("/{name}")).unwrap_or_default();
            if let Some(above) = settings.pointer_mut(above) {
                above[name] = json!({});
            }
        }
    }
    let (at, name) = match SENDERS.contains(&in_settings(sender)) {
        true => (&mut settings["providers"], in_settings(sender)),
        false => (&mut settings["providers"]["custom"], sender),
    };
    // A mapping that is emptied is taken away.
    match at.as_object_mut() {
        Some(all) if mapping.is_null() => drop(all.remove(name)),
        Some(all) => drop(all.insert(name.to_owned(), mapping)),
        None => {}
    }
    settings
}

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    knows_tables(&call, &["sender", "saved"])?;
    let frame = Frame::of(&api, &call, "Senders", "/senders").await?;
    match frame.address.get("sender").map(str::to_owned) {
        None => list(&api, &call, frame).await,
        Some(sender) => show(&api, &call, frame, &sender, Shown::default()).await,
    }
}

/// All senders: those that posted, those that the settings know, and those that could be.
async fn list(api: &Api, call: &Call, frame: Frame) -> Result<Response, Problem> {
    let about = (Some(&frame.marketplace), &[][..]);
    let told: Lasts = api.says(call, SENDERS_ROUTE, about, &[]).await?;
    let mut lasts = told.senders;
    lasts.sort_by_key(|last| std::cmp::Reverse(last.at));
    let settings: Value = api.says(call, SETTINGS, about, &[]).await?;
    let asked = frame.address.only(&["from", "to"]);
    let sums: Value = api.says(call, RECONCILIATION, about, &asked).await?;
    let own = settings["settings"]["providers"]["custom"].as_object();
    let own = own.into_iter().flatten().map(|(name, _)| name.as_str());
    let mut names: Vec<&str> = lasts.iter().map(|last| last.sender.as_str()).collect();
    names.extend(own.chain(GUIDES.iter().map(|guide| guide.sender)));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    let row = |name: &&str| {
        let last = lasts.iter().find(|last| last.sender == **name);
        let guide = guide_of(name);
        let ignored = sums["ignored"][*name].as_object().into_iter().flatten();
        let ignored = ignored.map(|(word, n)| {
            let n = frame.numbers.count(n.as_i64().unwrap_or(0)).text();
            format!("{n} × “{word}”")
        });
        let ignored: Vec<String> = ignored.collect();
        let cell = |text: String| match text.is_empty() {
            true => Cell::Nothing,
            false => Cell::Text(text),
        };
        vec![
            Cell::Link {
                href: frame.to("/senders").with("sender", name).href(),
                text: match guide.name {
                    "" => (*name).to_owned(),
                    known => known.to_owned(),
                },
            },
            Cell::Text(guide.kind.to_owned()),
            last.map_or(Cell::Nothing, |last| Cell::Time(frame.moment(last.at))),
            cell(last.map_or(String::new(), |last| last.words(&frame))),
            cell(ignored.join(", ")),
        ]
    };
    let heads = [
        "Sender",
        "Sends",
        "Last post",
        "What became of it",
        "Ignored in these days",
    ];
    let table = Table {
        rows: names.iter().map(row).collect(),
        ..Table::new(
            "senders",
            "Who posted last comes first",
            heads.map(Head::text).into(),
            "",
        )
    };
    let period: Period = serde_json::from_value(sums["period"].clone())
        .map_err(|error| Problem::internal(&error))?;
    let filters = Filters::new(&frame, &period).of_all_channels();
    let mut sheet = Sheet::new(frame, "Senders");
    sheet.filters = Some(filters);
    sheet.fields = vec![Field {
        name: "sender",
        label: "A sender of your own, by name",
        value: String::new(),
        choices: Vec::new(),
    }];
    sheet.notes.push("A mail tool, a shop or a coupon tool posts to an address of its own, which you paste there. Each leads to its address, and to how its posts are understood. A post shows here at once, and in the reports after the next run.".to_owned());
    sheet.tables.push(table);
    sheet.answer(call, StatusCode::OK)
}

/// What is shown of a sender besides what is known of it.
#[derive(Default)]
struct Shown {
    made: Option<Made>,
    lines: Option<Vec<Line>>,
    tried: Option<Tried>,
    status: Option<StatusCode>,
}

/// One sender: its address, its last post, and its mapping.
async fn show(
    api: &Api,
    call: &Call,
    mut frame: Frame,
    sender: &str,
    shown: Shown,
) -> Result<Response, Problem> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let could_be = (1..=NAME_BYTES_MAX).contains(&sender.len()) && sender.bytes().all(is_plain);
    if !could_be && guide_of(sender).sender != sender {
        let detail = "no sender is called so: a name has 1 to 64 of a-z 0-9 - _";
        return Err(Problem::not_found(detail));
    }
    let about = (Some(&frame.marketplace), &[][..]);
    let Lasts { senders: lasts } = api.says(call, SENDERS_ROUTE, about, &[]).await?;
    let last = lasts.iter().find(|last| last.sender == sender);
    let may_change = ADMIN.allows(frame.who);
    let (mut key_made, mut forms) = (None, (None, None));
    if may_change {
        let keys: Value = api.says(call, KEYS, about, &[]).await?;
        let named = items(&keys, "keys").find(|key| key["name"] == key_name(sender).as_str());
        let at = named.and_then(|key| Instant::parse(key["created_at"].as_str()?).ok());
        key_made = at.map(|at| frame.moment(at));
        let settings = api.says_tagged(call, SETTINGS, about).await?;
        let action = frame.to("/senders").with("sender", sender).href();
        let tried = shown.tried.as_ref();
        forms.0 = Some(make_key(action.clone()).after(tried));
        forms.1 = Some(mapping(action, sender, &settings).after(tried));
    }
    let guide = guide_of(sender);
    let path = format!("/v1/marketplaces/{}/{}", frame.marketplace, path_of(sender));
    let name = match guide.name {
        "" => sender,
        known => known,
    };
    frame.title = name.to_owned();
    let page = SenderPage {
        address: format!("{}{path}?key=…", frame.origin),
        made: shown.made,
        key_made,
        last: last.map(|last| {
            let shape = last.shape.clone().unwrap_or_default();
            (frame.moment(last.at), last.words(&frame), shape)
        }),
        lines: shown.lines,
        key: forms.0,
        mapping: forms.1,
        saved: frame.address.get("saved").is_some(),
        sender: name.to_owned(),
        guide,
        frame,
    };
    let status = shown.status.unwrap_or(form::status(shown.tried.as_ref()));
    answer::page(status, &call.headers, &page)
}

fn make_key(action: String) -> Form {
    Form::button(KEY, "Make the address with a key of its own", action).once()
}

/// The form of a mapping, with what the settings have, and with a post to try it on.
fn mapping(action: String, sender: &str, (settings, tag): &(Value, String)) -> Form {
    let now = place(&settings["settings"], sender);
    let now = match now.is_null() {
        true => guide_of(sender).example.to_owned(),
        false => serde_json::to_string_pretty(now).unwrap_or_default(),
    };
    let row = Input::new(JSON, "How its posts are understood", Kind::Code)
        .hint("JSON, as settings have it under providers; paths are dotted, and several are joined by |")
        .value(now);
    let post = Input::new(POST, "A post of the sender", Kind::Code)
        .hint("paste one as it was sent; it is not stored, and its signature is not checked");
    let mut form = Form {
        inputs: vec![row, post],
        button: "Try it",
        asks: Some("Save the mapping"),
        is_open: true,
        ..Form::new(MAPPING, "Mapping", action)
    }
    .about("Nothing is saved before you say so. Of a secret, (hidden) stands for the one that is stored.");
    form.hidden.push((SEEN, tag.clone()));
    form
}

/// Makes a key for a sender, tries a mapping or saves it.
pub(crate) async fn sent(api: Api, call: Call) -> Result<Response, Problem> {
    let sent = Sent::of(&call)?;
    let frame = Frame::of(&api, &call, "Senders", "/senders").await?;
    let sender = frame.address.get("sender").unwrap_or_default().to_owned();
    if sent.is(KEY) {
        let made = make(&api, &call, &frame, &sender, &sent).await?;
        let shown = Shown {
            made: Some(made),
            status: Some(StatusCode::CREATED),
            ..Shown::default()
        };
        return show(&api, &call, frame, &sender, shown).await;
    }
    let saves = !sent.text(form::ASKS).is_empty();
    let done = match saves {
        true => save(&api, &call, &frame, &sender, &sent)
            .await
            .map(|()| None),
        false => try_it(&api, &call, &frame, &sender, &sent).await.map(Some),
    };
    let shown = match done {
        Ok(None) => {
            let page = frame.to("/senders").with("sender", &sender);
            return Ok(answer::see(&page.with(SAVES, "true").href()));
        }
        Ok(lines) => Shown {
            lines,
            tried: Some(Tried::shown(sent)),
            ..Shown::default()
        },
        Err(problem) => Shown {
            tried: Some(Tried::refused(sent, problem)?),
            ..Shown::default()
        },
    };
    show(&api, &call, frame, &sender, shown).await
}

/// Makes a key that may only deliver facts, and the address with it.
async fn make(
    api: &Api,
    call: &Call,
    frame: &Frame,
    sender: &str,
    sent: &Sent,
) -> Result<Made, Problem> {
    let name = key_name(sender);
    let once = sent.text(ONCE);
    let doing = Doing {
        header: Some((IDEMPOTENCY_KEY, once)).filter(|_| !once.is_empty()),
        ..Doing::json(&json!({ "name": name, "role": "ingest" }))
    };
    let about = (Some(&frame.marketplace), &[][..]);
    let told = api.does(call, (&Method::POST, KEYS), about, doing).await?;
    let (origin, marketplace) = (&frame.origin, &frame.marketplace);
    let (path, secret) = (path_of(sender), text(&told, "key"));
    Ok(Made {
        name,
        address: format!("{origin}/v1/marketplaces/{marketplace}/{path}?key={secret}"),
    })
}

/// The settings with the mapping that was sent, and the tag of those that it replaces.
async fn proposed(
    api: &Api,
    call: &Call,
    frame: &Frame,
    sender: &str,
    sent: &Sent,
) -> Result<(Value, String), Problem> {
    let about = (Some(&frame.marketplace), &[][..]);
    let (told, tag) = api.says_tagged(call, SETTINGS, about).await?;
    let typed = match sent.text(JSON).trim() {
        "" => "null",
        typed => typed,
    };
    let mapping: Value = serde_json::from_str(typed).map_err(|error| {
        form::wrong(
            JSON,
            format!("this is no JSON: {error}; look at this place"),
        )
    })?;
    Ok((with(told["settings"].clone(), sender, mapping), tag))
}

async fn try_it(
    api: &Api,
    call: &Call,
    frame: &Frame,
    sender: &str,
    sent: &Sent,
) -> Result<Vec<Line>, Problem> {
    let (settings, _) = proposed(api, call, frame, sender, sent).await?;
    let settings =
        Settings::read(&settings, call.app.retention().look_back_ms()).map_err(Problem::invalid)?;
    let body = sent.text(POST);
    let is_json = body.trim_start().starts_with(['{', '[']);
    let media = match is_json {
        true => "application/json",
        false => "application/x-www-form-urlencoded",
    };
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]);
    let post = Post {
        headers: &headers,
        body: body.trim().as_bytes(),
        certificate: None,
    };
    let things = call.try_post(sender, &post, &settings);
    let things = things.map_err(|problem| match problem.status() {
        // The post is what cannot be read, and the mapping is what does not know the sender.
        StatusCode::BAD_REQUEST => form::wrong(POST, problem.sentences().join(" ")),
        StatusCode::NOT_FOUND => form::wrong(JSON, problem.sentences().join(" ")),
        _ => problem,
    })?;
    Ok(things.into_iter().map(Line::new).collect())
}

async fn save(
    api: &Api,
    call: &Call,
    frame: &Frame,
    sender: &str,
    sent: &Sent,
) -> Result<(), Problem> {
    let (settings, tag) = proposed(api, call, frame, sender, sent).await?;
    if sent.text(SEEN) != tag {
        return Err(Problem::precondition_failed());
    }
    let doing = Doing {
        header: Some((IF_MATCH, &tag)),
        ..Doing::json(&settings)
    };
    let about = (Some(&frame.marketplace), &[][..]);
    api.does(call, (&Method::PUT, SETTINGS), about, doing)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_mapping_is_taken_away() {
        let settings = json!({"providers": {"custom": {"b": 3}}});
        let told = json!({"providers": {"custom": {}}});
        assert_eq!(with(settings, "b", Value::Null), told);
    }

    #[test]
    fn each_built_in_sender_has_a_guide() {
        for sender in SENDERS {
            let guide = guide_of(sender);
            assert_eq!(guide.sender, sender);
            assert!(
                serde_json::from_str::<Value>(guide.example).is_ok(),
                "{sender}"
            );
        }
        assert!(serde_json::from_str::<Value>(OWN.example).is_ok());
    }

    #[test]
    fn a_mapping_is_put_in_its_place() {
        for (settings, sender, told) in [
            (
                json!({}),
                "ses",
                json!({"providers": {"custom": {}, "ses": {"a": 1}}}),
            ),
            (
                json!({"providers": null, "x": 2}),
                "my-tool",
                json!({"providers": {"custom": {"my-tool": {"a": 1}}}, "x": 2}),
            ),
            (
                json!({"providers": {"custom": {"b": 3}, "yespo": {}}}),
                "compat/yespo/event",
                json!({"providers": {"custom": {"b": 3}, "yespo": {"a": 1}}}),
            ),
        ] {
            let put = with(settings, sender, json!({"a": 1}));
            assert_eq!(put, told, "{sender}");
            assert_eq!(place(&put, sender), &json!({"a": 1}));
        }
    }
}
