//! The purchases behind a campaign's row: which customers bought, and what.

use std::collections::BTreeSet;

use futures_util::{Stream, stream};
use revtrail_core::attribution::event::Channel;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::money::Currency;
use revtrail_core::value::time::Instant;
use revtrail_store::ledger::purchases::PurchaseRow;
use revtrail_store::market::Market;
use revtrail_store::{Reading, StoreError};
use revtrail_web::access::MARKETING;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::list::{PageRequest, Position};
use revtrail_web::problem::Problem;
use revtrail_web::query::LIMIT_MAX;
use serde_json::{Value, json};

use super::{aggregates, csv, known, sum};
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
    let listed = Listed {
        campaign_id: campaign.campaign_id,
        period,
        channel,
        reading: freshness.reading,
        now: call.now,
        market,
    };
    if let Some(style) = asked.csv {
        let currencies = match with_revenue && enabled {
            true => Some(listed.currencies(&freshness, &call).await?),
            false => None,
        };
        return csv::purchases(style, listed.parts(asked.after), currencies).await;
    }
    let part = |after, limit| listed.part(after, limit);
    let page = asked.gather_by_id(part, |row| listed.wanted(row)).await?;
    let shown = |row| purchase(row, enabled);
    let purchases: Vec<Value> = page.rows.iter().map(shown).collect();
    let report = Report {
        figures: json!({ "purchases": purchases, "next_cursor": page.next_cursor(&call)? }),
        period,
        freshness,
    };
    Ok(json(StatusCode::OK, &report))
}

/// The purchases of a campaign on some days.
struct Listed {
    market: Market,
    campaign_id: CampaignId,
    period: Period,
    channel: Option<Channel>,
    reading: Reading,
    now: Instant,
}

impl Listed {
    async fn part(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<(String, PurchaseRow)>, Option<String>), StoreError> {
        if self.period.is_empty() {
            return Ok((Vec::new(), None));
        }
        let days = self.period.first..=self.period.last;
        let purchases = self.market.purchases();
        let page = purchases.purchases_of(
            &self.campaign_id,
            days,
            after,
            limit,
            self.reading,
            self.now,
        );
        page.await
    }

    /// A row of the list, if it is a purchase that is asked for.
    fn wanted(&self, row: PurchaseRow) -> Option<PurchaseRow> {
        let credit = row.line.figures.credit.as_ref()?;
        let on_channel = self.channel.is_none_or(|channel| channel == credit.channel);
        (row.line.figures.not_counted.is_none() && on_channel).then_some(row)
    }

    /// All purchases, part by part.
    fn parts(
        self,
        after: Option<Position>,
    ) -> impl Stream<Item = Result<Vec<PurchaseRow>, Problem>> + Send + 'static {
        let start = Some(after.map(|place| place.id));
        stream::try_unfold((self, start), async |(list, next)| {
            let Some(after) = next else {
                return Ok(None);
            };
            let (rows, next) = list.part(after, LIMIT_MAX).await?;
            let rows = rows
                .into_iter()
                .filter_map(|(_, row)| list.wanted(row))
                .collect();
            Ok(Some((rows, (list, next.map(Some)))))
        })
    }

    /// The currencies of the purchases, by the figures of the campaign. They are needed before the first row is read.
    async fn currencies(
        &self,
        freshness: &Freshness,
        call: &Call,
    ) -> Result<BTreeSet<Currency>, Problem> {
        let sums = sum(&aggregates(&self.market, self.period, freshness, call).await?);
        let rows = sums.rows.iter().filter(|((campaign, channel), _)| {
            *campaign == self.campaign_id && self.channel.is_none_or(|only| only == *channel)
        });
        let earned = rows.flat_map(|(_, figures)| &figures.earned);
        let bought = earned.filter(|(_, earned)| earned.purchases != 0);
        Ok(bought.map(|(&currency, _)| currency).collect())
    }
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
