//! What mail and coupon tools post: their events and facts of promotions, taken in as those of the API are.

use revtrail_core::attribution::event::Event;
use revtrail_core::figures::daily::IntakeCounts as Counts;
use revtrail_core::promotion::redemption::{Assignment, Redemption, Rollback};
use revtrail_core::record::{AcceptanceWindow, Code, Record, RecordProblem as Bad};
use revtrail_core::value::id::{MarketplaceId, RedemptionId};
use revtrail_providers::Outcome;
use revtrail_store::ledger::intake::IntakeMarker;
use revtrail_store::promotions::redeem::{PromotionRecord, RolledBack};
use revtrail_web::call::{Call, IntoResponse, Response, StatusCode};
use revtrail_web::problem::Problem;
use revtrail_web::records::Intake;

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
    bad_events: i64,
    bad_redemptions: usize,
}

pub(crate) async fn post(call: Call) -> Result<Response, Problem> {
    let sender = call.own_id("provider")?;
    let posted = call.posted(sender).await?;
    let mut answer = Intake::default();
    let market = call.market()?;
    let window = call.acceptance_window();
    let facts = read_all(&posted.records, market.id(), &window, &mut answer);
    for some in facts.events.chunks(EVENTS_AT_ONCE) {
        answer.accepted += crate::ingest(&market, some, 0, call.now).await?;
    }
    answer.duplicates = facts.events.len() - answer.accepted;
    let before = (answer.duplicates, answer.rejected());
    settle(&call, facts.redemptions, &mut answer).await?;
    let duplicates = answer.duplicates - before.0;
    let rejected = answer.rejected() - before.1 + facts.bad_redemptions;
    let redemptions = market.redemptions();
    redemptions
        .count_redemptions(duplicates, rejected, call.now)
        .await?;
    settle(&call, facts.assignments, &mut answer).await?;
    for (index, of, rollback) in facts.rollbacks {
        // A post of a rollback carries its redemption, which was taken in above.
        match redemptions.roll_back(&of, rollback, call.now).await? {
            RolledBack::Done => answer.accepted += 1,
            refused => answer.reject(index, no_rollback(refused)),
        }
    }
    let (none, bad_events) = (Counts::default(), Counts::rejected(facts.bad_events));
    let ignored = posted.ignored_of(sender);
    if let Some(marker) = IntakeMarker::of_counts(none, bad_events, ignored, call.now) {
        market.intake().put_marker(&marker).await?;
    }
    Ok(answer.answer_to_sender(posted.ignored))
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
            facts.bad_events += i64::from(matches!(record, Outcome::Event(_)));
            facts.bad_redemptions += usize::from(matches!(record, Outcome::Redemption(_)));
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
    match record {
        Outcome::Event(text) => {
            let record = Record::from_json(text)?;
            let event = Event::read(&record, marketplace, Some(acceptance_window))?;
            facts.events.push(event);
        }
        Outcome::Redemption(text) => {
            let redemption = Redemption::read(&Record::from_json(text)?, acceptance_window)?;
            facts
                .redemptions
                .push((index, PromotionRecord::Redeemed(redemption)));
        }
        Outcome::Assignment(text) => {
            let assignment = Assignment::read(&Record::from_json(text)?, acceptance_window)?;
            facts
                .assignments
                .push((index, PromotionRecord::Assigned(assignment)));
        }
        Outcome::Rollback(text) => {
            let record = Record::from_json(text)?;
            let of = record.needed_id("redemption_id", RedemptionId::new)?;
            facts.rollbacks.push((index, of, Rollback::read(&record)?));
        }
        Outcome::Order(_) | Outcome::Ignored(_) => {
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
