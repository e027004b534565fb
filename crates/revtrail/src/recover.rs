//! What a process that was killed left behind: runs that nobody plans, and calls that nobody closes.

use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::{Store, StoreError};

/// Why a run failed that was left unplanned.
const ENDED: &str = "the service ended before the run was planned: nothing is lost, and the next run does what this one did not";

/// Ends the runs that were left unplanned. Their jobs still exist, and the first tick works on them. Runs that are planned go on.
pub(crate) async fn end_runs(
    store: &Store,
    retention: Retention,
    now: Instant,
) -> Result<(), StoreError> {
    for marketplace in store.marketplaces().await? {
        let market = store.market(&marketplace.marketplace_id, retention);
        let runs = market.runs().open_runs().await?;
        for run in runs.iter().filter(|run| run.planned_at.is_none()) {
            market
                .runs()
                .finish_run(&run.run_id, Some(ENDED), now)
                .await?;
        }
    }
    Ok(())
}

/// Closes the calls that came before this process and were left open: the customers of a closed call are folded at the next tick,
/// and then its intake marker may go. An open call that came later is one of this process, and closes itself. The markers are read
/// a page at a time, while calls are served.
pub(crate) async fn close_calls(
    store: &Store,
    retention: Retention,
    started: Instant,
) -> Result<(), StoreError> {
    for marketplace in store.marketplaces().await? {
        let market = store.market(&marketplace.marketplace_id, retention);
        let mut pages = market.intake().pages().await?;
        while let Some(markers) = pages.next().await? {
            for mut marker in markers {
                if !marker.closed && marker.at < started {
                    marker.closed = true;
                    market.intake().put_marker(&marker).await?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use revtrail_core::attribution::settings::Settings;
    use revtrail_core::value::id::MarketplaceId;
    use revtrail_store::jobs::runs::RunState;
    use revtrail_store::ledger::intake::IntakeMarker;
    use revtrail_store::table::embedded;
    use std::collections::BTreeSet;

    /// A run that nobody planned says why it failed; one that is planned goes on.
    #[tokio::test]
    async fn a_run_that_was_cut_short_says_so() {
        let store = embedded::memory().await.unwrap();
        let id = MarketplaceId::new("m").unwrap();
        let market = store.market(&id, Retention::DEFAULT);
        let now = Instant::from_ms(1_000_000);
        let settings = Settings::read(&serde_json::json!({}), Retention::DEFAULT.look_back_ms());
        let settings = settings.unwrap();
        market.create("M", settings, "test", now).await.unwrap();
        let cut_short = market.runs().start_run(None, now).await.unwrap();
        let planned = market.runs().start_run(None, now).await.unwrap();
        market.runs().planned(&planned, now).await.unwrap();
        end_runs(&store, Retention::DEFAULT, now).await.unwrap();
        for (run, state, detail) in [
            (cut_short, RunState::Failed, Some(ENDED)),
            (planned, RunState::Running, None),
        ] {
            let run = market.runs().run(&run, now).await.unwrap().unwrap();
            assert_eq!((run.state, run.detail.as_deref()), (state, detail));
        }
    }

    /// The calls that came before the process are closed; those that it serves are not, although they are open too.
    #[tokio::test]
    async fn only_the_calls_of_an_earlier_process_are_closed() {
        let store = embedded::memory().await.unwrap();
        let id = MarketplaceId::new("m").unwrap();
        let market = store.market(&id, Retention::DEFAULT);
        let started = Instant::from_ms(1_000_000);
        let settings = Settings::read(&serde_json::json!({}), Retention::DEFAULT.look_back_ms());
        let settings = settings.unwrap();
        market.create("M", settings, "test", started).await.unwrap();
        for ms in [-2, -1, 0, 1] {
            let call = IntakeMarker::open(BTreeSet::new(), started.plus_ms(ms));
            market.intake().put_marker(&call).await.unwrap();
        }
        close_calls(&store, Retention::DEFAULT, started)
            .await
            .unwrap();
        let mut markers = market.intake().markers().await.unwrap();
        markers.sort_by_key(|marker| marker.at);
        let closed: Vec<bool> = markers.iter().map(|marker| marker.closed).collect();
        assert_eq!(closed, [true, true, false, false]);
    }
}
