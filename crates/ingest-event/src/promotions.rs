//! What comes in for promotions: assignments, redemptions and rollbacks, and the redeem that decides whether a use is allowed.

use revtrail_core::promotion::redemption::{Assignment, Outcome, Redemption, Rollback};
use revtrail_core::record::{AcceptanceWindow, Record, RecordProblem as Bad};
use revtrail_core::value::id::{PromotionId, RedemptionId, VoucherCode};
use revtrail_store::promotions::redeem::{Arrival, PromotionRecord, Redeemed, RolledBack, Taken};
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use revtrail_web::records::{Intake, one_answer};
use serde_json::json;

pub(crate) async fn post_assignments(call: Call) -> Result<Response, Problem> {
    Ok(
        take_in(&call, &Assignment::FIELDS, |record, acceptance_window| {
            Assignment::read(record, acceptance_window).map(PromotionRecord::Assigned)
        })
        .await?
        .answer(),
    )
}

pub(crate) async fn post_redemptions(call: Call) -> Result<Response, Problem> {
    let answer = take_in(&call, &Redemption::FIELDS, |record, acceptance_window| {
        Redemption::read(record, acceptance_window).map(PromotionRecord::Redeemed)
    })
    .await?;
    if answer.is_taken() {
        call.market()?
            .redemptions()
            .count_redemptions(answer.duplicates, &answer.rejected_by_code(0), call.now)
            .await?;
    }
    Ok(answer.answer())
}

async fn take_in(
    call: &Call,
    known: &[&str],
    read: impl Fn(&Record<'_>, &AcceptanceWindow) -> Result<PromotionRecord, Bad>,
) -> Result<Intake, Problem> {
    let acceptance_window = call.acceptance_window();
    let mut answer = Intake::with_quarantine();
    let mut records = Vec::new();
    for (index, record) in call.records()?.into_iter().enumerate() {
        let read = |record: Record<'_>| {
            answer.ignore(&record, known);
            read(&record, &acceptance_window)
        };
        match record.and_then(Record::from_json).and_then(read) {
            Ok(record) => records.push((index, record)),
            Err(problem) => answer.reject(index, problem),
        }
    }
    settle(call, records, &mut answer).await?;
    Ok(answer)
}

/// Takes in records, each with its index in the call, and adds to the answer what became of them.
pub(crate) async fn settle(
    call: &Call,
    records: Vec<(usize, PromotionRecord)>,
    answer: &mut Intake,
) -> Result<(), Problem> {
    if records.is_empty() {
        return Ok(());
    }
    let arrival = |(place, entry)| {
        let source = None;
        (place, Arrival { entry, source })
    };
    let (places, arrivals): (Vec<usize>, Vec<Arrival>) = records.into_iter().map(arrival).unzip();
    let taken = call
        .market()?
        .redemptions()
        .take_in(&arrivals, call.now)
        .await?;
    for (index, taken) in places.into_iter().zip(taken) {
        match taken {
            Taken::Accepted => answer.accepted += 1,
            Taken::Duplicate => answer.duplicates += 1,
            Taken::Quarantined => answer.quarantine(),
            Taken::Rejected(problem) => answer.reject(index, problem),
        }
    }
    Ok(())
}

pub(crate) async fn post_rollback(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let unknown = || Problem::not_found("this marketplace has no such redemption");
    let id = call.id("id", RedemptionId::new)?;
    let record = call.record()?;
    let rollback = Rollback::read(&record).map_err(|bad| Problem::invalid(bad.into()))?;
    match market
        .redemptions()
        .roll_back(&id, rollback.clone(), call.now)
        .await?
    {
        RolledBack::Done => {
            let body = json!({"redemption_id": id, "rollback_id": rollback.rollback_id, "result": "rolled_back"});
            Ok(one_answer(body, &record, &Rollback::FIELDS))
        }
        RolledBack::Unknown => Err(unknown()),
        RolledBack::NotASuccess => Err(Problem::conflict(
            "not_a_success",
            "this redemption did not succeed, so there is nothing to take back",
        )),
        RolledBack::Conflict => Err(Problem::conflict(
            "conflict",
            "there is a rollback with this id that says something else; it stands",
        )),
        RolledBack::Already => Err(Problem::conflict(
            "already_rolled_back",
            "another rollback took this redemption back",
        )),
    }
}

pub(crate) async fn post_redeem(call: Call) -> Result<Response, Problem> {
    let promotion = call.id("id", PromotionId::new)?;
    let code = call.id("code", VoucherCode::new)?;
    redeem(&call, promotion, code).await
}

pub(crate) async fn post_redeem_by_code(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let code = call.id("code", VoucherCode::new)?;
    let mut promotions = market.vouchers().promotions_of_code(&code).await?;
    if promotions.len() > 1 {
        // A redemption that was answered before its code became ambiguous gets the same answer again.
        let id = call.record()?.needed_id("redemption_id", RedemptionId::new);
        let id = id.map_err(|bad| Problem::invalid(bad.into()))?;
        let known = market.redemptions().redemption(&id, call.now).await?;
        let known = known.filter(|fact| fact.submitted.voucher_code.as_ref() == Some(&code));
        if let Some(fact) = known {
            return redeem(&call, fact.submitted.promotion_id, code).await;
        }
    }
    match (promotions.pop(), promotions.len()) {
        (None, _) => Err(Problem::not_found("no promotion has this code")),
        (Some(promotion), 0) => redeem(&call, promotion, code).await,
        (Some(_), others) => Err(Problem::conflict(
            "ambiguous_code",
            format!(
                "{} promotions have this code: name the promotion in the address",
                others + 1
            ),
        )),
    }
}

async fn redeem(
    call: &Call,
    promotion: PromotionId,
    code: VoucherCode,
) -> Result<Response, Problem> {
    let record = call.record()?;
    let asked = Redemption::read_redeem(&record, promotion, code)
        .map_err(|bad| Problem::invalid(bad.into()))?;
    let id = asked.redemption_id.clone();
    let (result, reason) = match call.market()?.redemptions().redeem(asked, call.now).await? {
        Redeemed::Success => (Outcome::Success, None),
        Redeemed::Refused(refusal) => (Outcome::Failure, Some(refusal)),
        Redeemed::Conflict => {
            return Err(Problem::conflict(
                "conflict",
                "there is a redemption with this id that says something else; it stands",
            ));
        }
        Redeemed::NoPromotion => {
            return Err(Problem::not_found("this marketplace has no such promotion"));
        }
        Redeemed::Rejected(bad) => return Err(Problem::invalid(bad.into())),
    };
    let body = json!({"redemption_id": id, "result": result, "reason": reason});
    Ok(one_answer(body, &record, &Redemption::REDEEM_FIELDS))
}
