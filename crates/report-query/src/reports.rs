//! Reports: sums of sheets, and the purchases behind a campaign's row.

use std::borrow::Cow;
use std::collections::BTreeMap;

use revtrail_core::attribution::campaign::{Campaign, Catalog};
use revtrail_core::figures::report::{
    CampaignReport, CampaignRow, DayRow, Filter, Reconciliation, campaign_report, one_campaign,
    orders_report, reconciliation as reconcile, sort_rows,
};
use revtrail_core::figures::sheet::Sheet;
use revtrail_core::record::Code;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::time::Day;
use revtrail_store::jobs::parked::Parked;
use revtrail_store::ledger::purchases::PurchaseRow;
use revtrail_store::market::Market;
use revtrail_store::market::access::Role;
use revtrail_store::promotions::lists::RedemptionsIn;
use revtrail_web::answer::json;
use revtrail_web::problem::Problem;
use revtrail_web::query::Query;
use revtrail_web::route::{Call, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::period::Period;
use crate::{Freshness, versions};

/// The sheets of a period. Each adds up by itself, so their sum does.
async fn sheets(
    market: &Market,
    period: Period,
    freshness: &Freshness,
    call: &Call,
) -> Result<BTreeMap<Day, Sheet<CampaignId>>, Problem> {
    if period.is_empty() {
        return Ok(BTreeMap::new());
    }
    Ok(market
        .sheets(period.first, period.last, freshness.reading, call.now)
        .await?)
}

fn sum(sheets: &BTreeMap<Day, Sheet<CampaignId>>) -> Sheet<CampaignId> {
    let mut sums = Sheet::default();
    for sheet in sheets.values() {
        sums.add(sheet);
    }
    sums
}

fn find<'c>(catalog: &'c Catalog, id: &CampaignId) -> Cow<'c, Campaign> {
    catalog.get(id).map_or_else(
        || Cow::Owned(Campaign::named_by_id(id.clone())),
        Cow::Borrowed,
    )
}

fn filter(query: &mut Query<'_>) -> Filter {
    Filter {
        channel: query.channel("channel"),
        tag: query.text("tag").map(str::to_owned),
        name: query.text("name").map(str::to_owned),
    }
}

/// True where the caller asks for CSV, which not every role may have.
pub(crate) fn csv_wanted(call: &Call) -> Result<bool, Problem> {
    if call.wants_csv() {
        call.must_be(&[Role::Admin, Role::Marketer])?;
    }
    Ok(call.wants_csv())
}

/// A column, and whether it descends.
fn sort(query: &mut Query<'_>) -> (&'static str, bool) {
    let column = |text: &str| {
        let (name, descending) = text
            .strip_prefix('-')
            .map_or((text, false), |name| (name, true));
        CampaignRow::COLUMNS
            .into_iter()
            .find(|column| *column == name)
            .map(|column| (column, descending))
    };
    let expected = "a column of the report, with - before it for descending";
    query
        .read("sort", Code::UnknownValue, expected, column)
        .unwrap_or(("revenue", true))
}

#[derive(Serialize, Deserialize)]
struct RowCursor {
    after: usize,
}

#[derive(Serialize)]
struct CampaignsBody {
    #[serde(flatten)]
    report: CampaignReport,
    estimate: bool,
    #[serde(flatten)]
    freshness: Freshness,
    next_cursor: Option<String>,
}

pub(crate) async fn campaigns(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let mut query = call.query();
    let period = Period::read(&mut query, &call, &versions);
    let filter = filter(&mut query);
    let (column, descending) = sort(&mut query);
    let limit = query.limit();
    let cursor: Option<RowCursor> = query.cursor();
    let with_revenue = query.flag("revenue");
    let csv = csv_wanted(&call)?;
    query.done()?;
    let freshness = Freshness::of(&market, &call).await?;
    let catalog = market.catalog_shown().await?;
    let newest = &versions.newest().settings;
    let sums = sum(&sheets(&market, period, &freshness, &call).await?);
    let mut report = campaign_report(&sums, |id| find(&catalog, id), newest, &filter)
        .map_err(|error| Problem::internal(&error))?;
    sort_rows(&mut report.campaigns, column, descending, newest.currency);
    if csv {
        return Ok(crate::tables::campaigns(
            &report,
            with_revenue && newest.enabled,
        ));
    }
    let start = cursor
        .map_or(0, |cursor| cursor.after)
        .min(report.campaigns.len());
    let rest = report.campaigns.split_off(start);
    let more = rest.len() > limit;
    report.campaigns = rest.into_iter().take(limit).collect();
    let next_cursor = if more {
        Some(call.next_cursor(&RowCursor {
            after: start + limit,
        })?)
    } else {
        None
    };
    Ok(json(
        StatusCode::OK,
        &CampaignsBody {
            report,
            estimate: true,
            freshness,
            next_cursor,
        },
    ))
}

/// A campaign that is known, by its id in the path.
async fn known(call: &Call, market: &Market) -> Result<Campaign, Problem> {
    let id = call.id("id", CampaignId::new)?;
    market.campaign(&id).await?.ok_or_else(|| {
        Problem::not_found(
            "this marketplace has no such campaign; a new one appears with the next run",
        )
    })
}

#[derive(Serialize)]
struct CampaignBody {
    #[serde(flatten)]
    row: CampaignRow,
    days: Vec<DayRow>,
    estimate: bool,
    #[serde(flatten)]
    freshness: Freshness,
}

pub(crate) async fn campaign(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let mut query = call.query();
    let period = Period::read(&mut query, &call, &versions);
    let channel = query.channel("channel");
    let with_revenue = query.flag("revenue");
    let csv = csv_wanted(&call)?;
    query.done()?;
    let campaign = known(&call, &market).await?;
    let freshness = Freshness::of(&market, &call).await?;
    let sheets = sheets(&market, period, &freshness, &call).await?;
    let (newest, filter) = (
        &versions.newest().settings,
        Filter {
            channel,
            ..Filter::default()
        },
    );
    let (row, days) = one_campaign(&sheets, &campaign, newest, &filter);
    if csv {
        return Ok(crate::tables::campaign(
            &days,
            with_revenue && newest.enabled,
        ));
    }
    let body = CampaignBody {
        row,
        days,
        estimate: true,
        freshness,
    };
    Ok(json(StatusCode::OK, &body))
}

#[derive(Serialize, Deserialize)]
struct PurchaseCursor {
    after: String,
}

pub(crate) async fn purchases(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let mut query = call.query();
    let period = Period::read(&mut query, &call, &versions);
    let channel = query.channel("channel");
    let limit = query.limit();
    let cursor: Option<PurchaseCursor> = query.cursor();
    let with_revenue = query.flag("revenue");
    let csv = csv_wanted(&call)?;
    query.done()?;
    let campaign = known(&call, &market).await?;
    let freshness = Freshness::of(&market, &call).await?;
    let mut after = cursor.map(|cursor| cursor.after);
    let mut rows: Vec<(String, PurchaseRow)> = Vec::new();
    let mut more = !period.is_empty();
    while more && (csv || rows.len() <= limit) {
        let (page, next) = market
            .purchases(
                Some(&campaign.campaign_id),
                period.first..=period.last,
                after.take(),
                None,
                freshness.reading,
                call.now,
            )
            .await?;
        let wanted = |row: &PurchaseRow| {
            let on_channel = row
                .line
                .credit
                .as_ref()
                .is_some_and(|credit| channel.is_none_or(|channel| channel == credit.channel));
            row.line.not_counted.is_none() && on_channel
        };
        rows.extend(page.into_iter().filter(|(_, row)| wanted(row)));
        more = next.is_some();
        after = next;
    }
    if csv {
        return Ok(crate::tables::purchases(&rows, with_revenue));
    }
    let next_cursor = if rows.len() > limit {
        rows.truncate(limit);
        rows.last()
            .map(|(sk, _)| call.next_cursor(&PurchaseCursor { after: sk.clone() }))
            .transpose()?
    } else {
        None
    };
    let rows: Vec<Value> = rows.iter().map(|(_, row)| purchase(row)).collect();
    let report = json!({ "purchases": rows, "next_cursor": next_cursor });
    Ok(json(StatusCode::OK, &Fresh { report, freshness }))
}

fn purchase(row: &PurchaseRow) -> Value {
    let (line, credit) = (&row.line, row.line.credit.as_ref());
    json!({
        "customer_id": row.customer_id, "order_id": line.order_id, "placed_at": line.placed_at,
        "amount": line.amount.in_currency(line.currency), "currency": line.currency,
        "channel": credit.map(|credit| credit.channel), "message_id": credit.and_then(|credit| credit.message_id.as_ref()),
        "touch_kind": credit.map(|credit| credit.touch_kind), "touch_at": credit.map(|credit| credit.touch_at),
    })
}

/// A report with how fresh it is.
#[derive(Serialize)]
struct Fresh<T> {
    #[serde(flatten)]
    report: T,
    #[serde(flatten)]
    freshness: Freshness,
}

pub(crate) async fn orders(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let mut query = call.query();
    let period = Period::read(&mut query, &call, &versions);
    let with_revenue = query.flag("revenue");
    let csv = csv_wanted(&call)?;
    query.done()?;
    let freshness = Freshness::of(&market, &call).await?;
    let report = orders_report(&sum(&sheets(&market, period, &freshness, &call).await?));
    if csv {
        return Ok(crate::tables::orders(&report, with_revenue));
    }
    Ok(json(StatusCode::OK, &Fresh { report, freshness }))
}

/// A reconciliation, and the customers whose last contribution stands since their facts cannot be folded.
#[derive(Serialize)]
struct Reconciled {
    #[serde(flatten)]
    report: Reconciliation,
    redemptions: Value,
    parked: Vec<Parked>,
}

pub(crate) async fn reconciliation(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let mut query = call.query();
    let period = Period::read_or_all(&mut query, &call, &versions);
    let csv = csv_wanted(&call)?;
    query.done()?;
    let freshness = Freshness::of(&market, &call).await?;
    let sums = sum(&sheets(&market, period, &freshness, &call).await?);
    if !sums.adds_up() {
        return Err(Problem::internal(
            &revtrail_core::figures::report::DoesNotAddUp,
        ));
    }
    let report = reconcile(&sums);
    let parked = market.parked(call.now).await?;
    let came = match period.is_empty() {
        true => RedemptionsIn::default(),
        false => {
            market
                .redemptions_in(period.first, period.last.plus(1))
                .await?
        }
    };
    let redemptions = json!({
        "received": came.received, "duplicates": came.duplicates, "matched": came.matched,
        "quarantined": came.quarantined, "rejected": came.rejected,
    });
    let report = Reconciled {
        report,
        redemptions,
        parked,
    };
    if csv {
        return Ok(crate::tables::reconciliation(&report));
    }
    Ok(json(StatusCode::OK, &Fresh { report, freshness }))
}
