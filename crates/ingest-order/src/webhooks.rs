//! What shops post: their orders, taken in as those of the API are.

use std::collections::BTreeMap;

use revtrail_core::attribution::order::Order;
use revtrail_core::figures::daily::IntakeCounts as Counts;
use revtrail_core::record::{Code, Record, RecordProblem as Bad};
use revtrail_providers::Outcome;
use revtrail_store::ledger::facts::OrderOutcome;
use revtrail_store::ledger::intake::IntakeMarker;
use revtrail_web::call::{Call, IntoResponse, Response, StatusCode};
use revtrail_web::problem::Problem;
use revtrail_web::records::Intake;

use crate::{Marked, ORDERS, ingest, settle};

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
    let mut uncounted = answer.rejections(ORDERS);
    for some in orders.chunks(ORDERS_AT_ONCE) {
        let outcomes = ingest(&market, &marked, some, BTreeMap::new(), call.now).await?;
        // A call of the API of which everything is refused is not counted, but a sender's post is.
        let refused = outcomes.iter().filter_map(|(_, outcome)| match outcome {
            OrderOutcome::Immutable(problem) => Some(problem.code),
            _ => None,
        });
        let refused: Vec<Code> = refused.collect();
        for code in refused.iter().filter(|_| refused.len() == outcomes.len()) {
            let code = format!("{ORDERS} {}", code.text());
            *uncounted.entry(code).or_default() += 1;
        }
        outcomes
            .into_iter()
            .for_each(|one| settle(one, &mut answer));
    }
    let rejected = Counts::rejected(uncounted.values().sum());
    let (none, ignored) = (Counts::default(), posted.ignored_of(sender));
    let marker = IntakeMarker::of_counts(rejected, none, ignored, uncounted, call.now);
    if let Some(marker) = marker {
        market.intake().put_marker(&marker).await?;
    }
    Ok(call.answer_to_sender(sender, posted, answer).await)
}
