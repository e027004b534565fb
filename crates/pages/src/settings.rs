//! The page of settings: a form in sentences; beside it, what it would do to the last 90 days; versions, and replays of them.

use askama::Template;
use http::header::{HeaderName, HeaderValue, IF_MATCH, REFRESH};
use http::{Method, StatusCode};
use revtrail_core::attribution::settings::{Preset, Settings};
use revtrail_core::value::time::Instant;
use revtrail_web::access::MARKETING;
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde::Deserialize;
use serde_json::json;

use crate::address::{Address, KEPT};
use crate::answer;
use crate::asked::{Api, Doing, REPLAY, REPLAYS, SETTINGS, VERSIONS, WHAT_IF, WHAT_IFS};
use crate::frame::{Filters, Frame, Link, Period};
use crate::home::form as fields;
use crate::looks::{Found, Replay, WhatIf};
use crate::numbers::Figure;
use crate::settings_form::{Difference, SettingsForm, differences};
use crate::table_file::{self, EXPORT};
use crate::times::{self, Moment};

/// The last so many days are looked at.
const DAYS: u32 = 90;
/// After so many seconds a page looks again whether something is done.
const AGAIN_S: HeaderValue = HeaderValue::from_static("2");
/// The models beside the proposed settings.
const MODELS: [&str; 6] = [
    "last_sent",
    "last_interaction",
    "first",
    "linear",
    "position_based",
    "time_decay",
];
/// The parameters of the page, beside the fields of its form.
const KNOWN: [&str; 8] = [
    "try", "start", "of", "what_if", "replay", "saved", "stay", EXPORT,
];

/// A saved version, as the API tells it.
#[derive(Deserialize)]
pub(crate) struct Version {
    pub(crate) version: u32,
    saved_at: Instant,
    saved_by: String,
    pub(crate) replaced: bool,
    pub(crate) settings: Settings,
}

#[derive(Deserialize)]
struct Versions {
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Replays {
    replays: Vec<Replay>,
}

/// A version as a row: what it changed against the one before it.
struct VersionView {
    version: u32,
    saved: Moment,
    by: String,
    replaced: bool,
    is_newest: bool,
    changes: Vec<Difference>,
    href: String,
}

/// A replay, in the list and as what is looked at.
struct ReplayView {
    id: String,
    href: String,
    asked: Moment,
    by: String,
    version: u32,
    from: String,
    to: String,
    period: String,
    state: String,
    is_running: bool,
    is_done: bool,
    dry_run: bool,
    progress: Progress,
    orders: Figure,
    moved: Figure,
}

/// How far something is.
struct Progress {
    share: Figure,
    part: String,
}

/// What the form would do, as far as it is known.
enum Look {
    /// Nothing was asked.
    Nothing,
    /// The form says something that no settings can say.
    Wrong(Vec<String>),
    /// It is being worked on.
    Running { progress: Progress, again: String },
    /// It is known.
    Found { found: Box<Found>, words: String },
    /// It cannot be known.
    Failed { again: String },
}

/// What became of a form that was sent.
enum Notice {
    None,
    /// It was saved as a version, and so many orders stay under those before it.
    Saved {
        version: u32,
        stay: Option<Figure>,
    },
    /// Somebody else saved a version first.
    Overtaken {
        version: u32,
        by: String,
        saved: Moment,
        changes: Vec<Difference>,
    },
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    frame: Frame,
    may_save: bool,
    /// The version that the form was made from.
    of: u32,
    /// The version that is looked at again, if one is.
    restores: Option<u32>,
    form: SettingsForm,
    is_changed: bool,
    changes: Vec<Difference>,
    presets: Vec<Link>,
    zones: Vec<&'static str>,
    kept: Vec<(String, String)>,
    notice: Notice,
    look: Look,
    /// The versions that decide the orders of these days.
    deciding: String,
    /// True where those are several, and the form is not the newest as it is.
    is_mixed: bool,
    versions: Vec<VersionView>,
    replay_of: Vec<(u32, bool)>,
    replay_period: Period,
    replays: Vec<ReplayView>,
    replay: Option<(ReplayView, Found)>,
    once: String,
}

/// What the page is asked for.
struct Asked {
    form: SettingsForm,
    /// True where the form is to be tried.
    tries: bool,
    of: u32,
    restores: Option<u32>,
    what_if: Option<String>,
    replay: Option<String>,
    notice: Notice,
    status: StatusCode,
    /// What is wrong with the form, where that is known.
    wrong: Vec<String>,
}

impl Asked {
    /// The form as it is, and nothing to be tried.
    fn new(form: SettingsForm, of: u32) -> Self {
        Self {
            form,
            tries: false,
            of,
            restores: None,
            what_if: None,
            replay: None,
            notice: Notice::None,
            status: StatusCode::OK,
            wrong: Vec::new(),
        }
    }

    /// What an address says.
    fn read(frame: &Frame, versions: &[Version]) -> Result<Self, Problem> {
        let Some(newest) = versions.first() else {
            return Err(Problem::not_found("this marketplace has no settings"));
        };
        let get = |name: &str| frame.address.get(name);
        let mut restores = None;
        let form = match get("start") {
            Some(start) => {
                let preset =
                    Preset::parse(start).map(|one| SettingsForm::of_preset(one, &newest.settings));
                let numbered = versions.iter().find(|one| one.version.to_string() == start);
                restores = numbered
                    .map(|one| one.version)
                    .filter(|n| *n != newest.version);
                preset
                    .or(numbered.map(|one| SettingsForm::new(&one.settings)))
                    .ok_or_else(|| {
                        Problem::not_found(format!(
                            "there is no version and no preset {start:?}: choose one below"
                        ))
                    })?
            }
            None if get("try").is_some() => SettingsForm::sent(frame.address.pairs().into_iter()),
            None => SettingsForm::new(&newest.settings),
        };
        let of = get("of").and_then(|of| of.parse().ok());
        let stay = get("stay").and_then(|stay| stay.parse().ok());
        Ok(Self {
            tries: get("start").or(get("try")).is_some(),
            restores,
            what_if: get("what_if").map(str::to_owned),
            replay: get("replay").map(str::to_owned),
            notice: match get("saved") {
                Some(saved) if saved == newest.version.to_string() => Notice::Saved {
                    version: newest.version,
                    stay: stay.map(|n: u32| frame.numbers.count(n.into())),
                },
                _ => Notice::None,
            },
            ..Self::new(form, of.unwrap_or(newest.version))
        })
    }
}

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    let mut query = call.query();
    for name in KEPT.into_iter().chain(KNOWN) {
        query.text(name);
    }
    SettingsForm::known(&mut query);
    query.done()?;
    let frame = Frame::of(&api, &call, "Settings", "/settings").await?;
    let versions = versions(&api, &call, &frame).await?;
    let asked = Asked::read(&frame, &versions)?;
    show(&api, &call, frame, &versions, asked).await
}

/// The saved versions, newest first.
pub(crate) async fn versions(
    api: &Api,
    call: &Call,
    frame: &Frame,
) -> Result<Vec<Version>, Problem> {
    let about = (Some(&frame.marketplace), &[][..]);
    let told: Versions = api.says(call, VERSIONS, about, &[]).await?;
    Ok(told.versions)
}

/// Shows the page, or sends the reader to where a look that takes long is waited for.
async fn show(
    api: &Api,
    call: &Call,
    frame: Frame,
    versions: &[Version],
    mut asked: Asked,
) -> Result<Response, Problem> {
    let (mut look, status) = (Look::Nothing, asked.status);
    if !asked.wrong.is_empty() {
        look = Look::Wrong(std::mem::take(&mut asked.wrong));
    } else if asked.tries {
        match what_if(api, call, &frame, &asked).await? {
            Looked::Elsewhere(href) => return Ok(answer::see(&href)),
            Looked::Here(found) => look = found,
        }
    }
    let may_save = api.lets(call.caller()?.role, &Method::PATCH, SETTINGS);
    let (replays, replay) = match may_save {
        true => replays(api, call, &frame, asked.replay.as_deref()).await?,
        false => (Vec::new(), None),
    };
    let waits = matches!(look, Look::Running { .. })
        || replay.as_ref().is_some_and(|(one, _)| one.is_running);
    let page = SettingsPage::new(frame, versions, asked, look, (may_save, replays, replay));
    let mut response = table_file::page(call, &page.frame.address, MARKETING, status, &page)?;
    if waits {
        response.headers_mut().insert(REFRESH, AGAIN_S);
    }
    Ok(response)
}

/// Where a look at the form is.
enum Looked {
    Here(Look),
    Elsewhere(String),
}

/// What the form would do to the last days: asked anew, or what an earlier question found.
async fn what_if(api: &Api, call: &Call, frame: &Frame, asked: &Asked) -> Result<Looked, Problem> {
    let about = (Some(&frame.marketplace), &[][..]);
    let address = frame.address.with("what_if", "");
    let told: WhatIf = match &asked.what_if {
        Some(id) => match api
            .says(call, WHAT_IFS, (about.0, &[("id", id.as_str())]), &[])
            .await
        {
            // It is kept for a day.
            Err(problem) if problem.status() == StatusCode::NOT_FOUND => {
                return Ok(Looked::Elsewhere(address.href()));
            }
            told => told?,
        },
        None => {
            let tomorrow = frame.now.day(frame.zone).plus(1);
            let body = json!({ "settings": asked.form.settings(), "models": MODELS,
                "from": tomorrow.minus(DAYS).to_string(), "to": tomorrow.to_string() });
            match api
                .does(call, (&Method::POST, WHAT_IF), about, Doing::json(&body))
                .await
            {
                Ok(told) => {
                    serde_json::from_value(told).map_err(|error| Problem::internal(&error))?
                }
                Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => {
                    let wrong = problem.sentences().into_iter().map(str::to_owned).collect();
                    return Ok(Looked::Here(Look::Wrong(wrong)));
                }
                Err(problem) => return Err(problem),
            }
        }
    };
    if told.state == "running" && asked.what_if.is_none() {
        return Ok(Looked::Elsewhere(
            address.with("what_if", &told.what_if_id).href(),
        ));
    }
    let again = address.href();
    Ok(Looked::Here(match told.state.as_str() {
        // The address names a result of other settings.
        _ if !asked.form.says(&told.settings) => Look::Failed { again },
        "running" => Look::Running {
            progress: Progress::new(frame, &told.progress),
            again: frame.address.href(),
        },
        "done" => Look::Found {
            words: Filters::new(frame, &told.period).words,
            found: Box::new(Found::of_what_if(frame, &told)),
        },
        _ => Look::Failed { again },
    }))
}

impl Progress {
    fn new(frame: &Frame, rate: &str) -> Self {
        Self {
            share: frame.numbers.rate(Some(rate)),
            part: rate.to_owned(),
        }
    }
}

/// The replays, newest first, and the one that is looked at.
async fn replays(
    api: &Api,
    call: &Call,
    frame: &Frame,
    id: Option<&str>,
) -> Result<(Vec<ReplayView>, Option<(ReplayView, Found)>), Problem> {
    let about = Some(&frame.marketplace);
    let told: Replays = api
        .says(call, REPLAYS, (about, &[]), &[("limit", "20")])
        .await?;
    let listed = told.replays.iter().map(|one| ReplayView::of(frame, one));
    let listed = listed.collect();
    let Some(id) = id else {
        return Ok((listed, None));
    };
    let told: Replay = api.says(call, REPLAY, (about, &[("id", id)]), &[]).await?;
    let found = Found::of_replay(frame, &told);
    Ok((listed, Some((ReplayView::of(frame, &told), found))))
}

impl ReplayView {
    fn of(frame: &Frame, told: &Replay) -> Self {
        Self {
            id: told.replay_id.clone(),
            href: format!(
                "{}#replay",
                frame.to("/settings").with("replay", &told.replay_id).href()
            ),
            asked: frame.moment(told.at),
            by: told.by.clone(),
            version: told.version,
            period: period_of(frame, told),
            from: told.from.clone(),
            to: told.to.clone(),
            state: told.state.clone(),
            is_running: told.state == "running",
            is_done: told.state == "done",
            dry_run: told.dry_run,
            progress: Progress::new(frame, &told.progress),
            orders: frame.numbers.count(told.orders),
            moved: frame.numbers.count(told.moved),
        }
    }
}

/// The period of a replay, whose bounds are days or times: in days where it is of whole days, else its two times.
fn period_of(frame: &Frame, told: &Replay) -> String {
    let bounds = [&told.from, &told.to].map(|text| match Instant::parse(text) {
        Ok(at) => (times::begins(at, frame.zone), frame.moment(at).shown),
        Err(_) => (Some(text.clone()), times::day(text, true)),
    });
    match bounds {
        [(Some(from), _), (Some(to), _)] => Filters::new(frame, &Period { from, to }).words,
        [(_, from), (_, to)] => format!("{from} to {to}"),
    }
}

impl SettingsPage {
    fn new(
        frame: Frame,
        versions: &[Version],
        asked: Asked,
        look: Look,
        (may_save, replays, replay): (bool, Vec<ReplayView>, Option<(ReplayView, Found)>),
    ) -> Self {
        let newest = &versions[0];
        let tomorrow = frame.now.day(frame.zone).plus(1);
        let proposed = Settings::read(&asked.form.settings(), i64::MAX).ok();
        let proposed = proposed.map(|settings| Settings {
            providers: newest.settings.providers.clone(),
            ..settings
        });
        let preset = |preset: &Preset| Link {
            href: frame.to("/settings").with("start", preset.name()).href(),
            label: preset.name().to_owned(),
            current: frame.address.get("start") == Some(preset.name()),
        };
        let kept = frame.address.only(&KEPT).into_iter();
        Self {
            may_save,
            of: asked.of,
            restores: asked.restores,
            is_changed: !asked.form.says(&newest.settings),
            changes: proposed.map_or(Vec::new(), |proposed| {
                differences(&newest.settings, &proposed)
            }),
            presets: Preset::ALL.iter().map(preset).collect(),
            zones: chrono_tz::TZ_VARIANTS
                .iter()
                .map(|zone| zone.name())
                .collect(),
            kept: kept
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            notice: asked.notice,
            look,
            deciding: deciding(versions),
            is_mixed: versions.iter().filter(|one| !one.replaced).count() > 1
                && !asked.form.says(&newest.settings),
            versions: version_views(&frame, versions),
            replay_of: versions
                .iter()
                .map(|one| (one.version, one.version == newest.version))
                .collect(),
            replay_period: Period {
                from: tomorrow.minus(DAYS).to_string(),
                to: tomorrow.to_string(),
            },
            replays,
            replay,
            once: revtrail_store::random_hex(),
            form: asked.form,
            frame,
        }
    }
}

/// Under which versions orders that were placed stay.
fn deciding(versions: &[Version]) -> String {
    let in_force: Vec<u32> = versions
        .iter()
        .filter(|one| !one.replaced)
        .map(|one| one.version)
        .collect();
    match in_force.as_slice() {
        [only] => format!("version {only}"),
        [newest, .., oldest] => format!(
            "versions {oldest} to {newest}, each order under the one in force when it was placed"
        ),
        [] => String::new(),
    }
}

/// The versions, each with what it changed against the one before it.
fn version_views(frame: &Frame, versions: &[Version]) -> Vec<VersionView> {
    let view = |(place, one): (usize, &Version)| VersionView {
        version: one.version,
        saved: frame.moment(one.saved_at),
        by: one.saved_by.clone(),
        replaced: one.replaced,
        is_newest: place == 0,
        changes: versions.get(place + 1).map_or(Vec::new(), |before| {
            differences(&before.settings, &one.settings)
        }),
        href: frame
            .to("/settings")
            .with("start", &one.version.to_string())
            .href(),
    };
    versions.iter().enumerate().map(view).collect()
}

/// Saves the form as a new version, if nobody saved another since the form was made.
pub(crate) async fn save(api: Api, call: Call) -> Result<Response, Problem> {
    call.query().done()?;
    let sent = fields(&call);
    let text = |name: &str| sent.get(name).map_or("", String::as_str);
    let frame = Frame::of(&api, &call, "Settings", "/settings").await?;
    // What is kept across pages came in hidden fields.
    let address = KEPT
        .into_iter()
        .fold(frame.address.clone(), |address, name| {
            address.with(name, text(name))
        });
    let frame = Frame { address, ..frame };
    let form = SettingsForm::sent(sent.iter().map(|(name, text)| (&**name, &**text)));
    let about = (Some(&frame.marketplace), &[][..]);
    let (newest, tag) = api.says_tagged(&call, SETTINGS, about).await?;
    let of = text("of");
    let is_newest = of.parse().is_ok_and(|of: u32| newest["version"] == of);
    let saved = if is_newest {
        let patch = Doing {
            header: Some((IF_MATCH, &tag)),
            ..Doing::json(&form.settings())
        };
        api.does(&call, (&Method::PATCH, SETTINGS), about, patch)
            .await
    } else {
        Err(Problem::precondition_failed())
    };
    let problem = match saved {
        Ok(saved) => {
            let version = saved["version"].to_string();
            // What differs in nothing makes no new version, and leaves no order behind.
            let stay = match version == of {
                true => String::new(),
                false => saved["orders_before"].to_string(),
            };
            let page = frame
                .to("/settings")
                .with("saved", &version)
                .with("stay", &stay);
            return Ok(answer::see(&page.href()));
        }
        Err(problem) => problem,
    };
    let versions = versions(&api, &call, &frame).await?;
    let Some(newest) = versions.first() else {
        return Err(problem);
    };
    let mut asked = Asked {
        status: problem.status(),
        ..Asked::new(form, of.parse().unwrap_or(newest.version))
    };
    match problem.status() {
        StatusCode::PRECONDITION_FAILED => {
            let since = versions.iter().find(|one| one.version.to_string() == of);
            asked.notice = Notice::Overtaken {
                version: newest.version,
                by: newest.saved_by.clone(),
                saved: frame.moment(newest.saved_at),
                changes: since.map_or(Vec::new(), |since| {
                    differences(&since.settings, &newest.settings)
                }),
            };
            asked.of = newest.version;
        }
        StatusCode::UNPROCESSABLE_ENTITY => {
            asked.wrong = problem.sentences().into_iter().map(str::to_owned).collect();
        }
        _ => return Err(problem),
    }
    show(&api, &call, frame, &versions, asked).await
}

/// Looks at what a replay would do, or applies it, and leads to how far it is.
pub(crate) async fn replay(api: Api, call: Call) -> Result<Response, Problem> {
    call.query().done()?;
    let marketplace = call.marketplace()?.clone();
    let sent = fields(&call);
    let text = |name: &str| sent.get(name).map_or("", String::as_str);
    let version = text("version");
    let body = json!({
        "version": version.parse::<u32>().map_or_else(|_| version.into(), serde_json::Value::from),
        "from": text("from"), "to": text("to"), "dry_run": text("apply").is_empty(),
    });
    let once = Some(text("once")).filter(|once| !once.is_empty());
    let doing = Doing {
        header: once.map(|once| (HeaderName::from_static("idempotency-key"), once)),
        ..Doing::json(&body)
    };
    let about = (Some(&marketplace), &[][..]);
    let told = api
        .does(&call, (&Method::POST, REPLAYS), about, doing)
        .await?;
    let id = told["replay_id"].as_str().unwrap_or_default();
    let page = Address::new(&format!("/app/{marketplace}/settings"), Vec::new());
    Ok(answer::see(&format!(
        "{}#replay",
        page.with("replay", id).href()
    )))
}
