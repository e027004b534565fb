//! The dashboard of one promotion: its figures, broken down.

use std::collections::BTreeMap;

use revtrail_core::promotion::account::{CellFigures, TierAndSegment};
use revtrail_core::promotion::result::{PACE_DAYS, pace};
use revtrail_store::promotions::Breakdown;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde::Serialize;
use serde_json::{Value, json};

use super::lists::change;
use super::{PromotionMoney, known, redemption_rate, spent, total};

/// How many changes the dashboard shows.
const CHANGES: usize = 10;

/// A breakdown by the tier or by the segment of the cells, in order of the keys. Cells without one come first.
fn by<K: Ord + Clone + Serialize>(
    breakdown: &Breakdown,
    any: bool,
    key: impl Fn(&TierAndSegment) -> Option<K>,
) -> Vec<Value> {
    let mut parts: BTreeMap<Option<K>, CellFigures> = BTreeMap::new();
    for (cell, figures) in &breakdown.cells {
        let part = parts.entry(key(cell)).or_default();
        part.assigned += figures.assigned;
        part.redeemed += figures.redeemed;
        part.redemptions += figures.redemptions;
    }
    let row = |(key, part): (Option<K>, CellFigures)| {
        json!({
            "key": key, "assigned": part.assigned, "redeemed": part.redeemed,
            "redemption_rate": redemption_rate(part, any),
        })
    };
    parts.into_iter().map(row).collect()
}

pub(crate) async fn dashboard(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let promotion = known(&call, &market).await?;
    let id = &promotion.promotion_id;
    let figures = market.promotions().promotion_figures(id).await?;
    let breakdown = market.promotions().promotion_breakdown(id).await?;
    let (changes, _) = market
        .promotions()
        .promotion_changes(id, None, CHANGES)
        .await?;
    let any = figures.any();
    let versions = market.settings().versions().await?;
    let zone = versions.map(|versions| versions.newest().settings.timezone);
    let today = call.now.day(zone.unwrap_or_default());
    let since = today.minus(PACE_DAYS - 1);
    let of_late = breakdown.days.range(since..=today);
    let of_late = of_late.map(|(_, day)| day.success).sum();
    let money = PromotionMoney::of(&promotion, &figures, call.now);
    let [budget_used_up, cap_used_up] = pace(
        &promotion,
        today,
        spent(&promotion, &figures),
        figures.redemptions,
        of_late,
        money.worst_case.as_ref(),
    );
    let days = breakdown.days.iter();
    let by_day: Vec<Value> = days
        .clone()
        .filter(|(_, day)| day.success + day.failure != 0)
        .map(|(date, day)| json!({"date": date, "success": day.success, "failure": day.failure}))
        .collect();
    let redeemed: Vec<Value> = days
        .filter(|(_, day)| day.redeemed != 0)
        .map(|(date, day)| json!({"key": date, "redeemed": day.redeemed}))
        .collect();
    let mut body = json!({
        "promotion": promotion.shown(),
        "assigned": figures.assigned, "redeemed": figures.redeemed, "redemptions": figures.redemptions,
        "redemption_rate": redemption_rate(total(&figures), any),
        "vouchers": figures.vouchers,
        "publications": {"success": figures.publications[0], "failure": figures.publications[1]},
        "messages": {"delivered": figures.messages[0], "failed": figures.messages[1]},
        "redemptions_by_day": by_day,
        "pace": {"days": PACE_DAYS, "redemptions": of_late, "budget_used_up_on": budget_used_up, "cap_used_up_on": cap_used_up},
        "breakdown": {
            "tier": by(&breakdown, any, |(tier, _)| tier.clone()),
            "segment": by(&breakdown, any, |(_, segment)| segment.clone()),
            "day": redeemed,
            "result": [
                {"key": "success", "redemptions": figures.redemptions},
                {"key": "failure", "redemptions": figures.failures},
                {"key": "rolled_back", "redemptions": figures.rolled_back},
            ],
        },
        "changes": changes.iter().map(|(_, one)| change(one)).collect::<Vec<_>>(),
    });
    if let (Value::Object(body), Ok(Value::Object(money))) =
        (&mut body, serde_json::to_value(money))
    {
        body.extend(money);
    }
    Ok(json(StatusCode::OK, &body))
}
