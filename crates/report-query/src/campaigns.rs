//! Campaigns: what people said about them, and their report, which is a sum of daily aggregates.

pub(crate) mod csv;
pub(crate) mod purchases;
pub(crate) mod rivals;

use std::borrow::Cow;
use std::collections::BTreeMap;

use revtrail_core::attribution::campaign::{Campaign, Catalog};
use revtrail_core::attribution::settings::Settings;
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::figures::report::{
    Balance, CampaignReport, CampaignRow, DayBalance, DayRow, Filter, Totals, campaign_report,
    day_balances, one_campaign, sort_rows,
};
use revtrail_core::figures::sort::{SortValue, Sorting};
use revtrail_core::record::Code;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::money::Currency;
use revtrail_core::value::time::Day;
use revtrail_store::market::Market;
use revtrail_web::access::MARKETING;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::csv::Style;
use revtrail_web::etag::tagged;
use revtrail_web::list::{Page, PageRequest, Position};
use revtrail_web::problem::Problem;
use revtrail_web::query::Query;
use serde::Serialize;

use crate::period::Period;
use crate::{Freshness, Report, versions};

/// The daily aggregates of a period. In each of them, counted is credited plus uncredited, so the same holds for their sum.
pub(crate) async fn aggregates(
    market: &Market,
    period: Period,
    freshness: &Freshness,
    call: &Call,
) -> Result<BTreeMap<Day, Aggregate<CampaignId>>, Problem> {
    if period.is_empty() {
        return Ok(BTreeMap::new());
    }
    Ok(market
        .daily()
        .aggregates(period.first, period.last, freshness.reading, call.now)
        .await?)
}

pub(crate) fn sum<'d>(
    aggregates: impl IntoIterator<Item = (&'d Day, &'d Aggregate<CampaignId>)>,
) -> Aggregate<CampaignId> {
    let mut sums = Aggregate::default();
    for (_, aggregate) in aggregates {
        sums.add(aggregate);
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

/// The column that a report is sorted by, and whether the order is descending.
pub(crate) fn sort(
    query: &mut Query<'_>,
    columns: &[&'static str],
    default: (&'static str, bool),
) -> (&'static str, bool) {
    let column = |text: &str| {
        let (name, descending) = text
            .strip_prefix('-')
            .map_or((text, false), |name| (name, true));
        let found = columns.iter().find(|column| **column == name);
        found.map(|column| (*column, descending))
    };
    let expected = "a column of the report, with - before it for descending";
    query
        .read("sort", Code::UnknownValue, expected, column)
        .unwrap_or(default)
}

/// The value that a row of a report is sorted by, and the currency of all such values. The next page keeps that currency.
pub(crate) type Sorted = (Option<Currency>, Option<SortValue>);

#[derive(Serialize)]
struct CampaignsBody {
    #[serde(flatten)]
    report: CampaignReport,
    /// The totals of the period before; absent where nobody asked for them, `null` where that period is no longer visible.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Option<PreviousBody>>,
    /// The balance of each day, where the call asks for days and revenue is not hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<Vec<DayBalance>>,
    /// Of each row whose campaign was sent in these days: the figures of the seven days from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_weeks: Option<BTreeMap<CampaignId, Vec<DayRow>>>,
    sort_currency: Option<Currency>,
    estimate: bool,
    next_cursor: Option<String>,
}

/// The totals of the period of the same length just before, with their own balance.
#[derive(Serialize)]
struct PreviousBody {
    totals: Totals,
    #[serde(flatten)]
    balance: Option<Balance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<Vec<DayBalance>>,
    period: Period,
}

/// How many days of a row are shown from the send of its campaign on.
const FIRST_DAYS: u32 = 7;

/// The figures of the first days of each campaign that was sent on one of `days`, which begin at `first`.
fn first_weeks(
    days: &BTreeMap<Day, Aggregate<CampaignId>>,
    first: Day,
    rows: &[CampaignRow],
    newest: &Settings,
    filter: &Filter,
) -> BTreeMap<CampaignId, Vec<DayRow>> {
    let week = |row: &CampaignRow| {
        let sent = row.sent_at?.day(newest.timezone);
        let campaign = Campaign::named_by_id(row.campaign_id.clone());
        let week = days.range(sent..sent.plus(FIRST_DAYS));
        let (_, rows) = one_campaign(week, &campaign, newest, filter);
        (sent >= first).then(|| (row.campaign_id.clone(), rows))
    };
    rows.iter().filter_map(week).collect()
}

/// The page of sorted rows that is asked for.
fn page_of(
    asked: &PageRequest<Sorted>,
    rows: Vec<CampaignRow>,
    by: &Sorting,
) -> Page<CampaignRow, Sorted> {
    let place = |row: &CampaignRow| Position {
        value: (by.currency, row.sort_value(by)),
        id: row.campaign_id.as_str().to_owned(),
    };
    let compare = |row: &CampaignRow, place: &Position<Sorted>| {
        let row = (row.sort_value(by), row.campaign_id.as_str());
        by.compare(&row, &(place.value.1.clone(), place.id.as_str()))
    };
    asked.page_of(rows, place, compare)
}

pub(crate) async fn report(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let mut query = call.query();
    let period = Period::read(&mut query, &call, &versions);
    let filter = filter(&mut query);
    let (column, descending) = sort(&mut query, &CampaignRow::COLUMNS, ("revenue", true));
    let previous = |text: &str| (text == "previous").then_some(());
    let compare = query.read("compare", Code::UnknownValue, "previous", previous);
    let with_days = query.flag("days");
    let with_revenue = query.flag("revenue");
    let asked: PageRequest<Sorted> = PageRequest::json_or_csv(&mut query, &call, MARKETING)?;
    query.done()?;
    let freshness = Freshness::of(&market, &call).await?;
    let catalog = market.campaigns().catalog_shown().await?;
    let newest = &versions.newest().settings;
    // A CSV has no totals, and so nothing to compare.
    let compare = compare.filter(|()| asked.csv.is_none());
    let before = compare.and_then(|()| period.previous(&call, &versions));
    let with_days = with_days && newest.enabled && asked.csv.is_none();
    let weeks_from = period.week_before(&call, &versions);
    // What was sent before the period has days in it, and what was sent in it has days behind it.
    let read = match with_days && !period.is_empty() {
        true => Period {
            first: weeks_from,
            last: period.last.plus(FIRST_DAYS - 1),
        },
        false => period,
    };
    let first = before.map_or(read.first, |before| before.first.min(read.first));
    let all = aggregates(&market, Period { first, ..read }, &freshness, &call).await?;
    let days_of = |period: Period| all.range(period.first..period.last.plus(1).max(period.first));
    let report_of = |period| {
        campaign_report(
            &sum(days_of(period)),
            |id| find(&catalog, id),
            newest,
            &filter,
        )
        .map_err(|error| Problem::internal(&error))
    };
    let mut report = report_of(period)?;
    let balances = |period| with_days.then(|| day_balances(days_of(period)));
    let body_before = |period| {
        report_of(period).map(|report| PreviousBody {
            totals: report.totals,
            balance: report.balance,
            days: balances(period),
            period,
        })
    };
    let previous = before.map(body_before).transpose()?;
    let kept = asked.after.as_ref().map(|place| place.value.0);
    let by = Sorting {
        column,
        descending,
        currency: kept.unwrap_or(report.sort_currency),
    };
    sort_rows(&mut report.campaigns, &by);
    if let Some(style) = asked.csv {
        return Ok(csv::campaigns(
            style,
            &report,
            with_revenue && newest.enabled,
        ));
    }
    let rows = std::mem::take(&mut report.campaigns);
    let page = page_of(&asked, rows, &by);
    let next_cursor = page.next_cursor(&call)?;
    report.campaigns = page.rows;
    let weeks = || first_weeks(&all, weeks_from, &report.campaigns, newest, &filter);
    let figures = CampaignsBody {
        days: balances(period),
        first_weeks: with_days.then(weeks),
        report,
        previous: compare.map(|()| previous),
        sort_currency: by.currency,
        estimate: true,
        next_cursor,
    };
    let report = Report {
        figures,
        period,
        freshness,
    };
    Ok(json(StatusCode::OK, &report))
}

/// The campaign named in the path, which must be known.
async fn known(call: &Call, market: &Market) -> Result<Campaign, Problem> {
    let id = call.id("id", CampaignId::new)?;
    market.campaigns().campaign(&id).await?.ok_or_else(|| {
        Problem::not_found(
            "this marketplace has no such campaign; a new one appears with the next run",
        )
    })
}

pub(crate) async fn facts(call: Call) -> Result<Response, Problem> {
    let shown = known(&call, &call.market()?).await?.shown();
    Ok(tagged(json(StatusCode::OK, &shown), &shown))
}

#[derive(Serialize)]
struct CampaignBody {
    #[serde(flatten)]
    row: CampaignRow,
    days: Vec<DayRow>,
    estimate: bool,
}

pub(crate) async fn report_of_one(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let mut query = call.query();
    let period = Period::read(&mut query, &call, &versions);
    let channel = query.channel("channel");
    let with_revenue = query.flag("revenue");
    let csv = Style::read(&mut query, &call, MARKETING)?;
    query.done()?;
    let campaign = known(&call, &market).await?;
    let freshness = Freshness::of(&market, &call).await?;
    let aggregates = aggregates(&market, period, &freshness, &call).await?;
    let (newest, filter) = (
        &versions.newest().settings,
        Filter {
            channel,
            ..Filter::default()
        },
    );
    let (row, days) = one_campaign(&aggregates, &campaign, newest, &filter);
    if let Some(style) = csv {
        return Ok(csv::campaign(style, &days, with_revenue && newest.enabled));
    }
    let figures = CampaignBody {
        row,
        days,
        estimate: true,
    };
    let report = Report {
        figures,
        period,
        freshness,
    };
    Ok(json(StatusCode::OK, &report))
}
