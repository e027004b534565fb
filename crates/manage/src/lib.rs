//! The manage function: marketplaces, keys, settings, campaigns, promotions (in `promotions`), and asking for runs.

mod promotions;

use std::collections::BTreeSet;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::attribution::campaign::{Campaign, NAME_BYTES_MAX};
use revtrail_core::attribution::settings::{Settings, Version};
use revtrail_core::figures::sheet::Tally;
use revtrail_core::record::{Code, Problem as Bad, Record};
use revtrail_core::value::id::{CampaignId, MarketplaceId, OrderId};
use revtrail_store::Reading;
use revtrail_store::jobs::job::Nudge;
use revtrail_store::jobs::runs::{RunState, Sample};
use revtrail_store::ledger::facts::TIMELINE_BYTES_MAX;
use revtrail_store::market::access::{Key, Role};
use revtrail_store::market::settings::Saved;
use revtrail_store::market::{Created, Market};
use revtrail_web::access::Access;
use revtrail_web::answer::{json, located, no_content};
use revtrail_web::problem::Problem;
use revtrail_web::route::{Call, Method, Response, Route, StatusCode};
use serde_json::{Map, Value, json};

/// Hands the attributor a nudge: a run is on record and waits to be worked off.
pub type Poke = Arc<dyn Fn(Nudge) -> Poked + Send + Sync>;
/// A nudge on its way.
pub type Poked = Pin<Box<dyn Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send>>;

/// A poke inside of this process, which does not fail.
pub fn in_process(hand_over: impl Fn(Nudge) + Send + Sync + 'static) -> Poke {
    Arc::new(move |nudge| {
        hand_over(nudge);
        Box::pin(std::future::ready(Ok(())))
    })
}

/// Most customers who wait for a run whose orders are looked through when settings are saved.
const WAITING_MAX: usize = 1_000;
/// So many of them at a time.
const READS_AT_ONCE: usize = 16;
/// Most marketplaces of one key.
const KEY_MARKETPLACES_MAX: usize = 50;

const ADMIN: Access = Access::Roles(&[Role::Admin]);
const MARKETING: Access = Access::Roles(&[Role::Admin, Role::Marketer]);

/// What this function answers. `poke` starts a run that was asked for.
pub fn routes(poke: Poke) -> Vec<Route> {
    let mut routes = promotions::routes();
    routes.extend([
        Route::new(
            Method::PUT,
            "/v1/marketplaces/{marketplace}",
            ADMIN,
            put_marketplace,
        )
        .creates_marketplace(),
        Route::new(
            Method::POST,
            "/v1/marketplaces/{marketplace}/keys",
            ADMIN,
            post_key,
        ),
        Route::new(
            Method::GET,
            "/v1/marketplaces/{marketplace}/keys",
            ADMIN,
            get_keys,
        ),
        Route::new(
            Method::DELETE,
            "/v1/marketplaces/{marketplace}/keys/{key_id}",
            ADMIN,
            delete_key,
        ),
        Route::new(
            Method::PUT,
            "/v1/marketplaces/{marketplace}/settings",
            ADMIN,
            put_settings,
        ),
        Route::new(
            Method::PUT,
            "/v1/marketplaces/{marketplace}/campaigns/{id}",
            MARKETING,
            put_campaign,
        ),
        Route::new(
            Method::POST,
            "/v1/marketplaces/{marketplace}/runs",
            MARKETING,
            move |call| post_run(call, poke.clone()),
        ),
    ]);
    routes
}

/// The fields of a body; those it must not have are problems.
fn fields(
    call: &Call,
    known: &[&str],
    problems: &mut Vec<Bad>,
) -> Result<Map<String, Value>, Problem> {
    let fields: Map<String, Value> = serde_json::from_str(call.json_object_or_empty()?)
        .map_err(|error| Problem::unreadable(error.to_string()))?;
    for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
        problems.push(Bad::of(
            name,
            Code::UnknownField,
            format!("{name} is none of {}", known.join(", ")),
        ));
    }
    Ok(fields)
}

fn name(fields: &Map<String, Value>, problems: &mut Vec<Bad>) -> Option<String> {
    match fields.get("name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) if (1..=NAME_BYTES_MAX).contains(&name.len()) => {
            Some(name.clone())
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

fn valid(problems: Vec<Bad>) -> Result<(), Problem> {
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Problem::invalid(problems))
    }
}

async fn put_marketplace(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut problems = Vec::new();
    let fields = fields(&call, &["name", "preset", "settings"], &mut problems)?;
    let name = name(&fields, &mut problems);
    let present = |field: &str| fields.get(field).filter(|value| !value.is_null());
    let told = match (present("preset"), present("settings")) {
        (Some(_), Some(_)) => {
            problems.push(Bad::of(
                "preset",
                Code::UnknownField,
                "give preset or settings, not both: settings may name a preset",
            ));
            None
        }
        (Some(preset), None) => Some(json!({ "preset": preset })),
        (None, settings) => settings.cloned(),
    };
    let read = Settings::read(
        told.as_ref().unwrap_or(&json!({})),
        call.app.retention().look_back_ms(),
    );
    let settings = read.unwrap_or_else(|mut bad| {
        // Inside `settings` the fields are named from there.
        if present("settings").is_some() {
            for problem in &mut bad {
                problem.field = Some(
                    problem
                        .field
                        .as_ref()
                        .map_or("settings".to_owned(), |field| format!("settings.{field}")),
                );
            }
        }
        problems.append(&mut bad);
        revtrail_core::attribution::settings::Preset::Redbox.settings()
    });
    valid(problems)?;
    let caller = call.caller()?;
    if !caller.deployment {
        return rename(&market, name, told.is_some().then_some(&settings), &call).await;
    }
    let shown = name.clone().unwrap_or_else(|| market.id().to_string());
    match market
        .create(&shown, settings.clone(), &caller.name, call.now)
        .await?
    {
        Created::New(version) => {
            let body = json!({ "marketplace_id": market.id(), "name": shown, "settings_version": version.version });
            Ok(located(StatusCode::CREATED, call.path(), &body))
        }
        Created::Exists(_) => {
            rename(&market, name, told.is_some().then_some(&settings), &call).await
        }
    }
}

/// An existing marketplace: only its name changes.
async fn rename(
    market: &Market,
    name: Option<String>,
    settings: Option<&Settings>,
    call: &Call,
) -> Result<Response, Problem> {
    let mut marketplace = call
        .app
        .store()
        .marketplace(market.id())
        .await?
        .ok_or_else(Problem::forbidden)?;
    let versions = market.versions().await?.ok_or_else(Problem::forbidden)?;
    if settings.is_some_and(|settings| *settings != versions.newest().settings) {
        return Err(Problem::conflict(
            "conflict",
            "the marketplace exists with other settings: change them with PUT settings",
        ));
    }
    if let Some(name) = name {
        marketplace.name = name;
        call.app.store().rename_marketplace(&marketplace).await?;
    }
    let body = json!({ "marketplace_id": market.id(), "name": marketplace.name, "settings_version": versions.newest().version });
    Ok(json(StatusCode::OK, &body))
}

async fn post_key(call: Call) -> Result<Response, Problem> {
    let mut problems = Vec::new();
    let fields = fields(&call, &["name", "role", "marketplaces"], &mut problems)?;
    let name = name(&fields, &mut problems);
    if name.is_none()
        && problems
            .iter()
            .all(|problem| problem.field.as_deref() != Some("name"))
    {
        problems.push(Bad::of(
            "name",
            Code::Missing,
            "name is needed: who will use the key",
        ));
    }
    let roles = || Role::ALL.map(Role::name).join(", ");
    let role = match fields.get("role") {
        None | Some(Value::Null) => Err(Bad::of(
            "role",
            Code::Missing,
            format!("role is needed: {}", roles()),
        )),
        Some(Value::String(role)) => Role::parse(role).ok_or_else(|| {
            Bad::of(
                "role",
                Code::UnknownValue,
                format!("role is one of {}", roles()),
            )
        }),
        Some(_) => Err(Bad::of(
            "role",
            Code::WrongType,
            format!("role is a text: {}", roles()),
        )),
    };
    let role = role.map_err(|problem| problems.push(problem)).ok();
    let marketplaces = match fields.get("marketplaces") {
        None | Some(Value::Null) => vec![call.marketplace()?.clone()],
        Some(_) if !call.caller()?.deployment => return Err(Problem::forbidden()),
        Some(listed) => key_marketplaces(&call, listed, &mut problems).await?,
    };
    let (Some(name), Some(role), true) = (name, role, problems.is_empty()) else {
        return Err(Problem::invalid(problems));
    };
    let (key, secret) = call
        .app
        .store()
        .create_key(&name, role, &marketplaces, call.now)
        .await?;
    let body = json!({ "key_id": key.key_id, "key": secret, "name": key.name, "role": key.role, "marketplaces": key.marketplaces });
    Ok(located(
        StatusCode::CREATED,
        &format!("/v1/marketplaces/{}/keys/{}", marketplaces[0], key.key_id),
        &body,
    ))
}

async fn key_marketplaces(
    call: &Call,
    listed: &Value,
    problems: &mut Vec<Bad>,
) -> Result<Vec<MarketplaceId>, Problem> {
    let Ok(names) = serde_json::from_value::<Vec<String>>(listed.clone()) else {
        problems.push(Bad::of(
            "marketplaces",
            Code::WrongType,
            "marketplaces is a list of marketplace ids",
        ));
        return Ok(Vec::new());
    };
    if !(1..=KEY_MARKETPLACES_MAX).contains(&names.len()) {
        problems.push(Bad::of(
            "marketplaces",
            Code::UnknownValue,
            "marketplaces names 1 to 50 of them",
        ));
        return Ok(Vec::new());
    }
    let mut found = std::collections::BTreeSet::new();
    for name in names {
        match MarketplaceId::new(&name) {
            Ok(id) if call.app.store().marketplace_exists(&id).await? => drop(found.insert(id)),
            _ => problems.push(Bad::of(
                "marketplaces",
                Code::UnknownValue,
                format!("there is no marketplace {name:?}"),
            )),
        }
    }
    Ok(found.into_iter().collect())
}

async fn get_keys(call: Call) -> Result<Response, Problem> {
    let shown = |key: &Key| json!({ "key_id": key.key_id, "name": key.name, "role": key.role, "created_at": key.created_at });
    let keys: Vec<Value> = call
        .app
        .store()
        .keys(call.marketplace()?)
        .await?
        .iter()
        .map(shown)
        .collect();
    Ok(json(StatusCode::OK, &json!({ "keys": keys })))
}

async fn delete_key(call: Call) -> Result<Response, Problem> {
    let key_id = call.own_id("key_id")?;
    if call
        .app
        .store()
        .revoke_key(call.marketplace()?, key_id)
        .await?
    {
        Ok(no_content())
    } else {
        Err(Problem::not_found("this marketplace has no such key"))
    }
}

async fn put_settings(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let told: Value = serde_json::from_str(call.json_object()?)
        .map_err(|error| Problem::unreadable(error.to_string()))?;
    let settings =
        Settings::read(&told, call.app.retention().look_back_ms()).map_err(Problem::invalid)?;
    let (Saved::New(version) | Saved::Same(version)) = market
        .save_settings(&settings, &call.caller()?.name, call.now)
        .await?;
    let orders_before = orders_before(&market, &version, &call).await?;
    let Version {
        version,
        saved_at,
        saved_by,
        settings,
        ..
    } = version;
    let body = json!({ "version": version, "saved_at": saved_at, "saved_by": saved_by, "settings": settings, "orders_before": orders_before });
    Ok(json(StatusCode::OK, &body))
}

/// How many visible orders stay under older versions: those placed before this one was saved, in the figures or on their way there.
async fn orders_before(market: &Market, version: &Version, call: &Call) -> Result<i64, Problem> {
    let versions = market.versions().await?.ok_or_else(Problem::forbidden)?;
    if versions
        .all()
        .iter()
        .find(|one| !one.replaced)
        .is_some_and(|first| first.version == version.version)
    {
        return Ok(0);
    }
    let zone = version.settings.timezone;
    let last = version.saved_at.day(zone);
    let first = call.app.retention().first_visible(call.now.day(zone));
    let mut orders = 0;
    let waiting = market.pending(WAITING_MAX, call.now).await?;
    let read = |customer| market.customer(customer, TIMELINE_BYTES_MAX, call.now);
    let reads: Vec<_> = waiting.customers.iter().map(read).collect();
    let mut reads = stream::iter(reads).buffer_unordered(READS_AT_ONCE);
    while let Some(facts) = reads.try_next().await? {
        let Some(facts) = facts else {
            continue;
        };
        let stored = facts.stored.since(first).days;
        let stored = stored.values().flat_map(|day| &day.orders);
        let stored: BTreeSet<&OrderId> = stored.map(|line| &line.order_id).collect();
        let before = facts.orders.iter().filter(|order| {
            let visible = order
                .placed_at
                .day(versions.at(order.placed_at).settings.timezone);
            visible >= first
                && order.placed_at < version.saved_at
                && !stored.contains(&order.order_id)
        });
        orders += before.count() as i64;
    }
    // Under a version of another zone an order of before can lie up to two days ahead; what is placed from now on lies on the last
    // day or later.
    let mut sheets = market
        .sheets(first, last.plus(2), Reading::STRONG, call.now)
        .await?;
    let partly = sheets.split_off(&last);
    let tallies = sheets.values().flat_map(|sheet| sheet.statuses.values());
    orders += tallies.map(|Tally(orders, _)| orders).sum::<i64>();
    let mut rows = market.rows(&partly, None, call.now);
    while let Some(page) = rows.next().await? {
        let before = page
            .iter()
            .filter(|row| row.line.placed_at < version.saved_at);
        orders += before.count() as i64;
    }
    Ok(orders)
}

async fn put_campaign(call: Call) -> Result<Response, Problem> {
    let record =
        Record::from_json(call.json_object()?).map_err(|bad| Problem::invalid(vec![bad]))?;
    let id = call.new_id("id", CampaignId::new)?;
    let told = Campaign::read_known(id, &record).map_err(Problem::invalid)?;
    let (new, campaign) = call.market()?.put_campaign(&told, call.now).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let body = json!({
        "campaign_id": campaign.campaign_id, "name": campaign.name, "tags": campaign.tags,
        "sent_at": campaign.sent_at, "triggered": campaign.triggered, "metadata": campaign.metadata,
    });
    Ok(located(status, call.path(), &body))
}

async fn post_run(call: Call, poke: Poke) -> Result<Response, Problem> {
    let mut problems = Vec::new();
    let fields = fields(&call, &["verify"], &mut problems)?;
    let verify = match fields.get("verify").unwrap_or(&Value::Null) {
        Value::Null => None,
        told => serde_json::from_value::<Sample>(told.clone())
            .inspect_err(|_| {
                let detail = "verify is sample or all";
                problems.push(Bad::of("verify", Code::UnknownValue, detail));
            })
            .ok(),
    };
    valid(problems)?;
    let market = call.market()?;
    let run_id = market.start_run(verify, call.now).await?;
    let plan = Nudge::Plan {
        marketplace: market.id().clone(),
        run_id: Some(run_id.clone()),
    };
    if let Err(error) = poke(plan).await {
        tracing::error!(error, run_id, "a run could not be started");
        market
            .finish_run(&run_id, RunState::Failed, call.now)
            .await?;
        return Err(Problem::busy());
    }
    let location = format!("{}/{run_id}", call.path());
    Ok(located(
        StatusCode::ACCEPTED,
        &location,
        &json!({ "run_id": run_id }),
    ))
}
