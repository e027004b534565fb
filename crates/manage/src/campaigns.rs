//! Campaigns: what people say about them.

use revtrail_core::attribution::campaign::Campaign;
use revtrail_core::attribution::reach::Reattribution;
use revtrail_core::figures::daily::Tally;
use revtrail_core::record::Record;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::time::HOUR_MS;
use revtrail_store::Reading;
use revtrail_store::market::Market;
use revtrail_web::answer::{self, located};
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::etag::tagged;
use revtrail_web::patch::merge;
use revtrail_web::problem::Problem;
use serde_json::{Value, json};

pub(crate) async fn put(call: Call) -> Result<Response, Problem> {
    let submitted = call.json_object()?;
    let id = call.new_id("id", CampaignId::new)?;
    submit(&call, &id, |_| Ok(submitted.to_owned())).await
}

pub(crate) async fn patch(call: Call) -> Result<Response, Problem> {
    let patch = call.json_object()?;
    let id = call.id("id", CampaignId::new)?;
    submit(&call, &id, |current| {
        let unknown = || Problem::not_found("this marketplace has no such campaign");
        let mut current = current.ok_or_else(unknown)?.shown();
        if let Some(fields) = current.as_object_mut() {
            fields.remove("campaign_id");
        }
        Ok(merge(&current.to_string(), patch))
    })
    .await
}

/// Replaces what people say about the current campaign by what `submitted` makes of it. A dry run says what that would do, and
/// changes nothing.
async fn submit(
    call: &Call,
    id: &CampaignId,
    submitted: impl Fn(Option<&Campaign>) -> Result<String, Problem>,
) -> Result<Response, Problem> {
    let change = |current: Option<&Campaign>| {
        call.if_match(current.map(Campaign::shown).as_ref())?;
        let submitted = submitted(current)?;
        let record = Record::from_json(&submitted).map_err(|bad| Problem::invalid(bad.into()))?;
        Campaign::read_known(id.clone(), &record).map_err(Problem::invalid)
    };
    let mut query = call.query();
    let dry_run = query.flag("dry_run");
    query.done()?;
    let market = call.market()?;
    if dry_run {
        let (campaign, reach) = market.campaigns().weigh_campaign(id, change).await??;
        let mut shown = campaign.shown();
        shown["redecided"] = match reach {
            Some(reach) => redecided(&market, &reach, call).await?,
            None => Value::Null,
        };
        return Ok(answer::json(StatusCode::OK, &shown));
    }
    let (new, campaign) = market
        .campaigns()
        .submit_campaign(id, change, call.now)
        .await??;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let shown = campaign.shown();
    Ok(tagged(located(status, call.path(), &shown), &shown))
}

/// Which orders would be decided again: the days that they were placed on, and how many orders of these days there are. They are
/// counted by whole days, so it can be fewer.
async fn redecided(market: &Market, reach: &Reattribution, call: &Call) -> Result<Value, Problem> {
    let versions = market.settings().versions().await?;
    let versions = versions.ok_or_else(Problem::forbidden)?;
    // A day is named by the zone of its time, and zones are up to 26 hours apart.
    let zones = || versions.all().iter().map(|one| one.settings.timezone);
    let zone = versions.newest().settings.timezone;
    let visible = call.app.retention().first_visible(call.now.day(zone));
    // An order may be placed ten minutes ahead of the clock.
    let last = reach.to.unwrap_or(call.now.plus_ms(HOUR_MS));
    let first = zones().map(|zone| reach.from.day(zone)).min();
    let first = first.map_or(visible, |first| first.max(visible));
    let last = zones().map(|zone| last.day(zone)).max().unwrap_or(first);
    let mut orders = 0;
    if first <= last {
        let days = market.daily();
        let days = days
            .aggregates(first, last, Reading::EVENTUAL, call.now)
            .await?;
        let tallies = days.values().flat_map(|day| &day.statuses);
        orders = tallies.map(|(_, Tally(orders, _))| orders).sum();
    }
    Ok(json!({ "orders_max": orders, "from": first, "to": last.plus(1) }))
}
