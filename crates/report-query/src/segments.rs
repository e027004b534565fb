//! Segments: their list, and the customers of one.

use futures_util::{Stream, stream};
use revtrail_core::value::id::CustomerId;
use revtrail_store::market::Market;
use revtrail_store::market::segments::SegmentPlace;
use revtrail_web::access::MARKETING;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::csv::{Cell, Table};
use revtrail_web::list::{Page, PageRequest, Position};
use revtrail_web::problem::Problem;
use revtrail_web::query::LIMIT_MAX;
use serde_json::json;

pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let mut query = call.query();
    let asked = PageRequest::json(&mut query);
    query.done()?;
    let market = call.market()?;
    let segments = |after, limit| market.segments().list(after, limit);
    let page = asked.gather_by_id(segments, Some).await?;
    let body = json!({ "items": page.rows, "next_cursor": page.next_cursor(&call)? });
    Ok(json(StatusCode::OK, &body))
}

/// The customers of a segment. Nobody is added to a segment, so a place in it is a chunk and the last customer that was shown.
pub(crate) async fn one(call: Call) -> Result<Response, Problem> {
    let mut query = call.query();
    let asked = PageRequest::<usize>::json_or_csv(&mut query, &call, MARKETING)?;
    query.done()?;
    let market = call.market()?;
    let segment = market.segments().segment(call.own_id("id")?).await?;
    let segment =
        segment.ok_or_else(|| Problem::not_found("this marketplace has no such segment"))?;
    let after = asked.after.clone();
    let after = after.map(|place| -> SegmentPlace { (place.value, place.id) });
    if let Some(style) = asked.csv {
        let table = Table::new(style, ["customer_id"]);
        let name = format!("{}.csv", segment.name);
        let parts = parts(market, segment.segment_id, after);
        return table
            .streamed(&name, parts, |customer| vec![Cell::text(customer.as_str())])
            .await;
    }
    let wanted = asked.limit.saturating_add(1);
    let mut rows = market
        .segments()
        .customers(&segment.segment_id, after, wanted)
        .await?;
    let more = rows.len() > asked.limit;
    rows.truncate(asked.limit);
    let next = rows.last().filter(|_| more).map(|(value, last)| Position {
        value: *value,
        id: last.to_string(),
    });
    let customers: Vec<_> = rows.into_iter().map(|(_, customer)| customer).collect();
    let page = Page {
        rows: customers,
        next,
    };
    let body = json!({
        "segment_id": segment.segment_id, "name": segment.name, "campaign_id": segment.campaign_id,
        "from": segment.from, "to": segment.to, "saved_at": segment.saved_at, "saved_by": segment.saved_by,
        "customers_total": segment.customers, "customers": page.rows, "next_cursor": page.next_cursor(&call)?,
    });
    Ok(json(StatusCode::OK, &body))
}

/// All customers of a segment after a place, part by part. A segment that is deleted meanwhile has no end, so the list breaks off.
fn parts(
    market: Market,
    segment: String,
    after: Option<SegmentPlace>,
) -> impl Stream<Item = Result<Vec<CustomerId>, Problem>> + Send + 'static {
    let start = (market, segment, Some(after));
    stream::try_unfold(start, async |(market, segment, next)| {
        let Some(after) = next else {
            return Ok(None);
        };
        let segments = market.segments();
        let rows = segments.customers(&segment, after, LIMIT_MAX).await?;
        let next = rows
            .last()
            .map(|(chunk, last)| Some((*chunk, last.to_string())));
        if next.is_none() && segments.segment(&segment).await?.is_none() {
            return Err(Problem::busy());
        }
        let customers = rows.into_iter().map(|(_, customer)| customer).collect();
        Ok(Some((customers, (market, segment, next))))
    })
}
