//! What shops post: their orders, taken in as those of the API are.

use revtrail_core::attribution::order::Order;
use revtrail_core::figures::daily::IntakeCounts as Counts;
use revtrail_core::record::{Code, Record, RecordProblem as Bad};
use revtrail_providers::Outcome;
use revtrail_store::ledger::facts::OrderOutcome;
use revtrail_store::ledger::intake::IntakeMarker;
use revtrail_web::call::{Call, IntoResponse, Response, StatusCode};
use revtrail_web::problem::Problem;
use revtrail_web::records::Intake;

use crate::{Marked, ingest, settle};

/// How many orders of a post are stored between an open intake marker and a closed one, as many as of a call of the API.
const ORDERS_AT_ONCE: usize = 1_000;

/// Senders look whether there is anybody before they save an address.
pub(crate) async fn probe(_: Call) -> Result<Response, Problem> {
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn post(
    call: Call,
    sender: &'static str,
    marked: Marked,
) -> Result<Response, Problem> {
    let posted = call.posted(sender).await?;
    let acceptance_window = call.acceptance_window();
    let mut answer = Intake::with_copies();
    let mut orders = Vec::new();
    for (index, outcome) in posted.records.iter().enumerate() {
        let Outcome::Order(text) = outcome else {
            let detail = "this sender's facts are no orders";
            answer.reject(index, Bad::whole(Code::UnknownValue, detail));
            continue;
        };
        let order = Record::from_json(text)
            .and_then(|record| Order::read(&record, Some(&acceptance_window)));
        match order {
            Ok(order) => orders.push((index, order)),
            Err(problem) => answer.reject(index, problem),
        }
    }
    let market = call.market()?;
    let mut uncounted = answer.rejected();
    for some in orders.chunks(ORDERS_AT_ONCE) {
        let outcomes = ingest(&market, &marked, some, 0, call.now).await?;
        // A call of the API of which everything is refused is not counted, but a sender's post is.
        let is_refused =
            |(_, outcome): &(usize, OrderOutcome)| matches!(outcome, OrderOutcome::Immutable(_));
        if outcomes.iter().all(is_refused) {
            uncounted += outcomes.len();
        }
        outcomes
            .into_iter()
            .for_each(|one| settle(one, &mut answer));
    }
    let (rejected, none) = (Counts::rejected(uncounted as i64), Counts::default());
    let marker = IntakeMarker::of_counts(rejected, none, posted.ignored_of(sender), call.now);
    if let Some(marker) = marker {
        market.intake().put_marker(&marker).await?;
    }
    Ok(answer.answer_to_sender(posted.ignored))
}
