//! Settings: replaced or changed, each time as a new version; and what an administrator must know about the change.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::attribution::settings::{Settings, Version};
use revtrail_core::figures::daily::Tally;
use revtrail_core::record::{Code, RecordProblem as Bad};
use revtrail_core::value::address::Recipient;
use revtrail_core::value::id::{CustomerId, OrderId};
use revtrail_store::market::Market;
use revtrail_store::{Reading, StoreError};
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::etag::tagged;
use revtrail_web::patch::merge;
use revtrail_web::problem::Problem;
use serde_json::{Value, json};

/// The most waiting customers whose orders are looked through when settings are saved.
const WAITING_MAX: usize = 1_000;
/// How many of these customers are read at the same time.
const READS_AT_ONCE: usize = 16;

/// Replaces all settings. What is left out becomes what the preset says.
pub(crate) async fn put(call: Call) -> Result<Response, Problem> {
    let submitted = call.json_object()?;
    save(&call, |_| Ok(submitted.to_owned())).await
}

/// Changes some settings. What is left out stays, and `null` restores the default.
pub(crate) async fn patch(call: Call) -> Result<Response, Problem> {
    let patch = call.json_object()?;
    save(&call, |newest| {
        let merged = merge(&json!(newest).to_string(), patch);
        let fields: Value = serde_json::from_str(&merged).unwrap_or_default();
        if fields.get("preset").is_some() {
            let detail = "preset: PATCH changes single settings, and all of a preset's stand already: give it with PUT";
            let preset = Bad::of("preset", Code::UnknownField, detail);
            return Err(Problem::invalid(preset.into()));
        }
        Ok(merged)
    })
    .await
}

/// Saves what `submitted` makes of the newest settings.
async fn save(
    call: &Call,
    submitted: impl Fn(&Settings) -> Result<String, Problem>,
) -> Result<Response, Problem> {
    let market = call.market()?;
    let change = |newest: &Version| {
        call.if_match(Some(newest))?;
        let submitted: Value = serde_json::from_str(&submitted(&newest.settings)?)
            .map_err(|error| Problem::unreadable(error.to_string()))?;
        let settings = Settings::read(&submitted, call.app.retention().look_back_ms());
        let settings = settings.map_err(Problem::invalid)?;
        let stored = &newest.settings.providers;
        let providers = settings
            .providers
            .with_secrets_of(stored)
            .map_err(Problem::invalid)?;
        Ok::<_, Problem>(Settings {
            providers,
            ..settings
        })
    };
    let saved = market
        .settings()
        .save_settings(change, &call.caller()?.name, call.now);
    let saved = saved.await??;
    call.app.forget_settings(call.marketplace()?);
    let (orders_before, more) = orders_before(&market, &saved.version, call).await?;
    let before = saved.before.without_secrets();
    let changed = before.changes(&shown_since(&saved.version.settings, &saved.before));
    let version = &saved.version;
    let note = (orders_before > 0).then(|| {
        format!(
            "{orders_before} orders were placed before {}, when version {} was saved: they stay under the versions before it, \
             and only orders placed from then on are decided by it",
            version.saved_at, version.version
        )
    });
    let mut body = json!({
        "version": version.version, "saved_at": version.saved_at, "saved_by": version.saved_by, "settings": version.settings.without_secrets(),
        "orders_before": orders_before, "orders_before_note": note, "changed": changed,
    });
    if more {
        body["orders_before_more"] = json!(true);
    }
    Ok(tagged(json(StatusCode::OK, &body), version))
}

/// Settings without secrets, in which a secret that was replaced differs from the one before.
fn shown_since(settings: &Settings, before: &Settings) -> Settings {
    Settings {
        providers: settings.providers.without_secrets_since(&before.providers),
        ..settings.clone()
    }
}

/// How many visible orders stay under older versions: those placed before this one was saved, in the figures or on their way
/// there. True beside it if more customers wait than are looked through, so that there may be more orders.
async fn orders_before(
    market: &Market,
    version: &Version,
    call: &Call,
) -> Result<(i64, bool), Problem> {
    let versions = market
        .settings()
        .versions()
        .await?
        .ok_or_else(Problem::forbidden)?;
    if versions
        .all()
        .iter()
        .find(|one| !one.replaced)
        .is_some_and(|first| first.version == version.version)
    {
        return Ok((0, false));
    }
    let zone = version.settings.timezone;
    let last = version.saved_at.day(zone);
    let first = call.app.retention().first_visible(call.now.day(zone));
    let waiting = market.intake().pending(WAITING_MAX, call.now).await?;
    let read = async |customer: &CustomerId| {
        let facts = market.facts();
        let stored = facts.contribution_of(&customer.clone().into()).await?;
        Ok::<_, StoreError>((stored, facts.orders_of(customer, call.now).await?))
    };
    // An address has no orders.
    let customers = waiting.customers.iter().filter_map(Recipient::customer);
    let reads: Vec<_> = customers.map(read).collect();
    let mut reads = stream::iter(reads).buffer_unordered(READS_AT_ONCE);
    let mut count = 0;
    while let Some((stored, orders)) = reads.try_next().await? {
        let stored = stored.since(first).days;
        let stored = stored.values().flat_map(|day| &day.orders);
        let stored: BTreeSet<&OrderId> = stored.map(|line| &line.order_id).collect();
        let before = orders.iter().filter(|order| {
            let visible = order
                .placed_at
                .day(versions.at(order.placed_at).settings.timezone);
            visible >= first
                && order.placed_at < version.saved_at
                && !stored.contains(&order.order_id)
        });
        count += before.count() as i64;
    }
    // Under a version with another time zone, an older order can be up to two days ahead. An order that is placed from now on is
    // on the last day or later. Only orders that are ahead of the clock are read, so a day may have any number of them.
    let mut aggregates = market
        .daily()
        .aggregates(first, last.plus(2), Reading::STRONG, call.now)
        .await?;
    let tallies = aggregates
        .values()
        .flat_map(|aggregate| aggregate.statuses.values());
    count += tallies.map(|Tally(orders, _)| orders).sum::<i64>();
    let partly = aggregates.split_off(&last);
    count -= market
        .purchases()
        .placed_from(&partly, version.saved_at, call.now)
        .await?;
    Ok((count, waiting.more))
}
