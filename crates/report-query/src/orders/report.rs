//! Orders in sums: by status, and where every record went.

use revtrail_core::figures::report::{
    DoesNotAddUp, Reconciliation, orders_report, reconciliation as reconcile,
};
use revtrail_store::promotions::arrivals::RedemptionsIn;
use revtrail_web::access::MARKETING;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::csv::Style;
use revtrail_web::problem::Problem;
use serde::Serialize;
use serde_json::{Value, json};

use super::csv;
use crate::campaigns::{aggregates, sum};
use crate::period::Period;
use crate::{Freshness, Report, versions};

pub(crate) async fn statuses(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let mut query = call.query();
    let period = Period::read(&mut query, &call, &versions);
    let with_revenue = query.flag("revenue");
    let csv = Style::read(&mut query, &call, MARKETING)?;
    query.done()?;
    let freshness = Freshness::of(&market, &call).await?;
    let figures = orders_report(&sum(&aggregates(&market, period, &freshness, &call).await?));
    if let Some(style) = csv {
        return Ok(csv::statuses(style, &figures, with_revenue));
    }
    let report = Report {
        figures,
        period,
        freshness,
    };
    Ok(json(StatusCode::OK, &report))
}

/// A reconciliation, and the customers who are parked.
#[derive(Serialize)]
struct Reconciled {
    #[serde(flatten)]
    report: Reconciliation,
    redemptions: Value,
    parked: Vec<Value>,
    parked_total: usize,
}

/// The most parked customers that are listed. All customers of a call centre may be parked with its address.
const PARKED_MAX: usize = 1_000;

pub(crate) async fn reconciliation(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let mut query = call.query();
    let period = Period::read_or_all(&mut query, &call, &versions);
    let csv = Style::read(&mut query, &call, MARKETING)?;
    query.done()?;
    let freshness = Freshness::of(&market, &call).await?;
    let sums = sum(&aggregates(&market, period, &freshness, &call).await?);
    if !sums.adds_up() {
        return Err(Problem::internal(&DoesNotAddUp));
    }
    let mut report = reconcile(&sums);
    let parked = market.parked().list(call.now).await?;
    let parked_total = parked.len();
    let parked = parked.iter().take(PARKED_MAX).map(|one| {
        let (customer, address) = (one.recipient.customer(), one.recipient.address());
        json!({ "customer_id": customer, "address": address, "at": one.at, "reason": one.reason })
    });
    let parked = parked.collect();
    let came = match period.is_empty() {
        true => RedemptionsIn::default(),
        false => {
            market
                .lists()
                .redemptions_in(period.first, period.last.plus(1))
                .await?
        }
    };
    if !came.rejected_by_code.is_empty() {
        let of = "redemptions".to_owned();
        report.rejections.insert(of, came.rejected_by_code);
    }
    let redemptions = json!({
        "received": came.received, "duplicates": came.duplicates, "matched": came.matched,
        "quarantined": came.quarantined, "rejected": came.rejected,
    });
    let figures = Reconciled {
        report,
        redemptions,
        parked,
        parked_total,
    };
    if let Some(style) = csv {
        return Ok(csv::reconciliation(style, &figures));
    }
    let report = Report {
        figures,
        period,
        freshness,
    };
    Ok(json(StatusCode::OK, &report))
}
