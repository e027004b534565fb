//! Campaigns: what people say about them.

use revtrail_core::attribution::campaign::Campaign;
use revtrail_core::record::Record;
use revtrail_core::value::id::CampaignId;
use revtrail_web::answer::located;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::etag::tagged;
use revtrail_web::patch::merge;
use revtrail_web::problem::Problem;

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

/// Replaces what people say about the current campaign by what `submitted` makes of it.
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
    let market = call.market()?;
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
