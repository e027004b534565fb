//! The purchases behind a campaign's row: which customers bought, and what.

use revtrail_store::ledger::purchases::PurchaseRow;
use revtrail_web::access::MARKETING;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::list::PageRequest;
use revtrail_web::problem::Problem;
use serde_json::{Value, json};

use super::{csv, known};
use crate::period::Period;
use crate::{Freshness, Report, versions};

pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let enabled = versions.newest().settings.enabled;
    let mut query = call.query();
    let period = Period::read(&mut query, &call, &versions);
    let channel = query.channel("channel");
    let with_revenue = query.flag("revenue");
    let asked = PageRequest::json_or_csv(&mut query, &call, MARKETING)?;
    query.done()?;
    let campaign = known(&call, &market).await?;
    let freshness = Freshness::of(&market, &call).await?;
    let part = |after, limit: usize| {
        let days = period.first..=period.last;
        let (market, id, reading) = (&market, &campaign.campaign_id, freshness.reading);
        async move {
            if period.is_empty() {
                return Ok((Vec::new(), None));
            }
            market
                .purchases()
                .purchases_of(id, days, after, limit, reading, call.now)
                .await
        }
    };
    let wanted = |row: PurchaseRow| {
        let credit = row.line.figures.credit.as_ref()?;
        let on_channel = channel.is_none_or(|channel| channel == credit.channel);
        (row.line.figures.not_counted.is_none() && on_channel).then_some(row)
    };
    let page = asked.gather_by_id(part, wanted).await?;
    if let Some(style) = asked.csv {
        return Ok(csv::purchases(style, &page.rows, with_revenue && enabled));
    }
    let shown = |row| purchase(row, enabled);
    let purchases: Vec<Value> = page.rows.iter().map(shown).collect();
    let report = Report {
        figures: json!({ "purchases": purchases, "next_cursor": page.next_cursor(&call)? }),
        period,
        freshness,
    };
    Ok(json(StatusCode::OK, &report))
}

/// A purchase as it is shown; without money if revenue is hidden.
fn purchase(row: &PurchaseRow, enabled: bool) -> Value {
    let (line, credit) = (&row.line, row.line.figures.credit.as_ref());
    let mut shown = json!({
        "customer_id": row.customer_id, "order_id": line.order_id, "placed_at": line.placed_at,
        "channel": credit.map(|credit| credit.channel), "message_id": credit.and_then(|credit| credit.message_id.as_ref()),
        "touch_kind": credit.map(|credit| credit.touch_kind), "touch_at": credit.map(|credit| credit.touch_at),
    });
    if enabled {
        shown["amount"] = json!(line.figures.amount.in_currency(line.figures.currency));
        shown["currency"] = json!(line.figures.currency);
    }
    shown
}
