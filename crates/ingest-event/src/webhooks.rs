//! What mail and coupon tools post: their events and facts of promotions, taken in as those of the API are.

use std::collections::BTreeMap;

use revtrail_core::attribution::event::Event;
use revtrail_core::figures::daily::IntakeCounts as Counts;
use revtrail_core::promotion::redemption::Rollback;
use revtrail_core::record::{AcceptanceWindow, Code, RecordProblem as Bad};
use revtrail_core::value::id::{MarketplaceId, RedemptionId};
use revtrail_providers::Outcome;
use revtrail_store::ledger::intake::IntakeMarker;
use revtrail_store::promotions::redeem::{PromotionRecord, RolledBack};
use revtrail_web::call::{Call, IntoResponse, Response, StatusCode};
use revtrail_web::problem::Problem;
use revtrail_web::records::Intake;
use revtrail_web::webhook::Fact;

use crate::EVENTS;
use crate::promotions::settle;

/// How many events of a post are stored between an open intake marker and a closed one, as many as of a call of the API.
const EVENTS_AT_ONCE: usize = 1_000;

/// Senders look whether there is anybody before they save an address.
pub(crate) async fn probe(_: Call) -> Result<Response, Problem> {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The facts of a post, read, each with its index among the records.
#[derive(Default)]
struct Facts {
    events: Vec<Event>,
    redemptions: Vec<(usize, PromotionRecord)>,
    assignments: Vec<(usize, PromotionRecord)>,
    rollbacks: Vec<(usize, RedemptionId, Rollback)>,
    /// The events that were rejected, by code.
    bad_events: BTreeMap<String, i64>,
    /// The redemptions that were rejected, by code.
    bad_redemptions: BTreeMap<String, i64>,
}

pub(crate) async fn post(call: Call) -> Result<Response, Problem> {
    let sender = call.own_id("provider")?;
    let posted = call.posted(sender).await?;
    let mut answer = Intake::default();
    let market = call.market()?;
    let window = call.acceptance_window();
    let facts = read_all(&posted.records, market.id(), &window, &mut answer);
    for some in facts.events.chunks(EVENTS_AT_ONCE) {
        answer.accepted += crate::ingest(&market, some, BTreeMap::new(), call.now).await?;
    }
    answer.duplicates = facts.events.len() - answer.accepted;
    let before = (answer.duplicates, answer.rejected());
    settle(&call, facts.redemptions, &mut answer).await?;
    let duplicates = answer.duplicates - before.0;
    let mut rejected = facts.bad_redemptions;
    for (code, n) in answer.rejected_by_code(before.1) {
        *rejected.entry(code).or_default() += n;
    }
    let redemptions = market.redemptions();
    redemptions
        .count_redemptions(duplicates, &rejected, call.now)
        .await?;
    settle(&call, facts.assignments, &mut answer).await?;
    for (index, of, rollback) in facts.rollbacks {
        // A post of a rollback carries its redemption, which was taken in above.
        match redemptions.roll_back(&of, rollback, call.now).await? {
            RolledBack::Done => answer.accepted += 1,
            refused => answer.reject(index, no_rollback(refused)),
        }
    }
    let bad_events = Counts::rejected(facts.bad_events.values().sum());
    let none = Counts::default();
    let ignored = posted.ignored_of(sender);
    if let Some(marker) =
        IntakeMarker::of_counts(none, bad_events, ignored, facts.bad_events, call.now)
    {
        market.intake().put_marker(&marker).await?;
    }
    Ok(call.answer_to_sender(sender, posted, answer).await)
}

fn read_all(
    records: &[Outcome],
    marketplace: &MarketplaceId,
    acceptance_window: &AcceptanceWindow,
    answer: &mut Intake,
) -> Facts {
    let mut facts = Facts::default();
    for (index, record) in records.iter().enumerate() {
        if let Err(problem) = read(index, record, (marketplace, acceptance_window), &mut facts) {
            let code = problem.code.text();
            match record {
                Outcome::Event(_) => {
                    let code = format!("{EVENTS} {code}");
                    *facts.bad_events.entry(code).or_default() += 1;
                }
                Outcome::Redemption(_) => *facts.bad_redemptions.entry(code).or_default() += 1,
                _ => {}
            }
            answer.reject(index, problem);
        }
    }
    facts
}

/// Reads a record into its list.
fn read(
    index: usize,
    record: &Outcome,
    (marketplace, acceptance_window): (&MarketplaceId, &AcceptanceWindow),
    facts: &mut Facts,
) -> Result<(), Bad> {
    match Fact::read(record, marketplace, acceptance_window)? {
        Fact::Event(event) => facts.events.push(event),
        Fact::Redemption(one) => {
            let one = PromotionRecord::Redeemed(one);
            facts.redemptions.push((index, one));
        }
        Fact::Assignment(one) => {
            let one = PromotionRecord::Assigned(one);
            facts.assignments.push((index, one));
        }
        Fact::Rollback(of, rollback) => facts.rollbacks.push((index, of, rollback)),
        Fact::Order(_) => {
            let detail = "orders of this sender are not taken in here";
            return Err(Bad::whole(Code::UnknownValue, detail));
        }
    }
    Ok(())
}

fn no_rollback(refused: RolledBack) -> Bad {
    let detail = match refused {
        RolledBack::Unknown => "redemption_id: no such redemption was taken in",
        RolledBack::NotASuccess => {
            "redemption_id: this redemption did not succeed, so there is nothing to take back"
        }
        RolledBack::Already => "rollback_id: another rollback took this redemption back",
        RolledBack::Conflict => {
            "rollback_id: the rollback of this id says something else; it stands"
        }
        RolledBack::Done => "rollback_id: it is taken back",
    };
    Bad::of("rollback_id", Code::Conflict, detail)
}
