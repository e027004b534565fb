//! Marketplaces: made with the deployment's key, renamed with a key of their own.

use revtrail_core::attribution::settings::{Preset, Settings};
use revtrail_core::record::{Code, Problems, RecordProblem as Bad};
use revtrail_store::market::{Created, Market};
use revtrail_web::answer::{json, located};
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde_json::json;

use crate::{name, valid};

pub(crate) async fn put(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut problems = Problems::new();
    let fields = call.fields(&["name", "preset", "settings"], &mut problems)?;
    let name = name(&fields, &mut problems);
    let present = |field: &str| fields.get(field).filter(|value| !value.is_null());
    let submitted = match (present("preset"), present("settings")) {
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
        submitted.as_ref().unwrap_or(&json!({})),
        call.app.retention().look_back_ms(),
    );
    let settings = read.unwrap_or_else(|bad| {
        problems.append(match present("settings") {
            Some(_) => bad.within("settings"),
            None => bad,
        });
        Preset::Redbox.settings()
    });
    valid(problems)?;
    let caller = call.caller()?;
    if !caller.deployment {
        return rename(
            &market,
            name,
            submitted.is_some().then_some(&settings),
            &call,
        )
        .await;
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
            rename(
                &market,
                name,
                submitted.is_some().then_some(&settings),
                &call,
            )
            .await
        }
    }
}

/// Renames an existing marketplace; nothing else of it changes.
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
    let versions = market
        .settings()
        .versions()
        .await?
        .ok_or_else(Problem::forbidden)?;
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
