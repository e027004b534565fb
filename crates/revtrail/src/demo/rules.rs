//! The settings of the sample: a first version, one that was saved three weeks ago, and a replay of it that was only tried.

use std::convert::Infallible;

use revtrail_core::attribution::settings::{Bound, Period, Settings};
use revtrail_core::value::time::{DAY_MS, Instant, Retention};
use revtrail_store::StoreError;
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::jobs::look_aheads::{LookAhead, Purpose};
use revtrail_store::market::Market;
use serde_json::json;

use super::{BY, refused};

/// How many days ago the second version was saved.
const CHANGED: i64 = 21;

/// The first version: a campaign counts until the next one is sent to anybody.
pub(super) fn first(retention: &Retention) -> Result<Settings, StoreError> {
    let settings = json!({ "timezone": "Europe/Dublin", "currency": "EUR", "excluded_tags": ["technical"], "supersede": "marketplace" });
    Settings::read(&settings, retention.look_back_ms()).map_err(|bad| refused(format!("{bad:?}")))
}

/// Saves the second version: a campaign counts until the next one is sent to the same customer.
pub(super) async fn change(market: &Market, now: Instant) -> Result<(), StoreError> {
    let change = |newest: &revtrail_core::attribution::settings::Version| {
        let mut settings = newest.settings.clone();
        settings.supersede = revtrail_core::attribution::settings::Supersede::Customer;
        Ok::<_, Infallible>(settings)
    };
    let at = now.minus_ms(CHANGED * DAY_MS);
    match market.settings().save_settings(change, BY, at).await? {
        Ok(_) => Ok(()),
        Err(never) => match never {},
    }
}

/// Asks what the second version would have made of the three weeks before it.
pub(super) async fn try_a_replay(market: &Market, now: Instant) -> Result<JobMessage, StoreError> {
    let days_ago = |days: i64| Bound::Instant(now.minus_ms(days * DAY_MS));
    let period = Period {
        from: days_ago(2 * CHANGED),
        to: days_ago(CHANGED),
    };
    let purpose = Purpose::Replay {
        version: 2,
        dry_run: true,
    };
    let mut ahead = LookAhead::new(purpose, period, BY, 0, now);
    let job = market.look_aheads().begin(&mut ahead).await?;
    let job = job.ok_or_else(|| refused("the replay has the name of another"))?;
    Ok(JobMessage::Work {
        marketplace: market.id().clone(),
        job_id: job.job_id,
    })
}
