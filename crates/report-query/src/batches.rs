//! Files of redemptions, and how far each is taken in.

use futures_util::stream;
use revtrail_store::batches::Batch;
use revtrail_store::market::Market;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::csv::{self, Style};
use revtrail_web::list::PageRequest;
use revtrail_web::problem::Problem;
use serde_json::{Value, json};

use crate::promotions;

/// How many rejected rows a batch is shown with.
const REJECTED_MAX: usize = 20;

pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let mut query = call.query();
    let asked = PageRequest::json(&mut query);
    query.done()?;
    let market = call.market()?;
    let batches = |after, limit| market.batches().list(after, limit, call.now);
    let page = asked.gather_by_id(batches, Some).await?;
    let body = json!({ "batches": page.rows, "next_cursor": page.next_cursor(&call)? });
    Ok(json(StatusCode::OK, &body))
}

pub(crate) async fn one(call: Call) -> Result<Response, Problem> {
    let mut query = call.query();
    let csv = Style::read(&mut query, &call, promotions::CSV)?;
    query.done()?;
    let batch = call
        .market()?
        .batches()
        .batch_by_id(call.own_id("id")?, call.now)
        .await?
        .ok_or_else(|| Problem::not_found("there is no such batch"))?;
    if csv.is_some() {
        return Ok(rejected(call.market()?, batch));
    }
    let mut body = json!(batch);
    body["first_rejected"] = json!(first_rejected(&call.market()?, &batch).await?);
    Ok(json(StatusCode::OK, &body))
}

/// All rows that were rejected, exactly as they came, like the file beside the batch. It is read while it is sent.
fn rejected(market: Market, batch: Batch) -> Response {
    let name = format!("{}-rejected.csv", batch.batch_id);
    let parts = stream::try_unfold(
        (market, batch, Some(None)),
        async |(market, batch, after)| {
            let Some(after) = after else { return Ok(None) };
            let (pieces, next) = market.batches().batch_rejected(&batch, after).await?;
            Ok::<_, Problem>(Some((pieces.concat(), (market, batch, next.map(Some)))))
        },
    );
    csv::in_parts(&name, "line,code,detail,record\n", parts)
}

/// What is wrong with the first rows that were rejected, as `rejected.csv` says it. The rows themselves are left out, since they
/// name customers.
async fn first_rejected(market: &Market, batch: &Batch) -> Result<Vec<Value>, Problem> {
    let (pieces, _) = market.batches().batch_rejected(batch, None).await?;
    let text = pieces.concat();
    let mut rows = ::csv::ReaderBuilder::new();
    let mut rows = rows
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let told = |row: ::csv::StringRecord| {
        json!({
            "line": row.get(0).and_then(|line| line.parse::<u64>().ok()), "code": row.get(1), "detail": row.get(2),
        })
    };
    let first = rows.records().flatten().take(REJECTED_MAX);
    Ok(first.map(told).collect())
}
