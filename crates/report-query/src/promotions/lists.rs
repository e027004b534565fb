//! The lists of a promotion, the quarantine, and the feed of redemptions: in pages, filtered, as JSON or CSV.

use revtrail_core::promotion::redemption::Outcome;
use revtrail_core::record::Code;
use revtrail_core::value::id::{CustomerId, PromotionId, VoucherCode};
use revtrail_core::value::time::Instant;
use revtrail_store::market::Market;
use revtrail_store::promotions::distributions::Distribution;
use revtrail_store::promotions::lists::Waiting;
use revtrail_store::promotions::records::{AssignmentFact, LoggedChange, RedemptionFact};
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::csv::{Cell, Style, Table};
use revtrail_web::list::{Page, PageRequest, Part, Position};
use revtrail_web::problem::Problem;
use revtrail_web::query::Query;
use serde::Serialize;
use serde_json::{Value, json};

use super::{CSV, known};
use crate::seen_from;

/// For how many milliseconds after its arrival a redemption may be on its way into the feed; no call takes longer.
const FEED_SETTLES_MS: i64 = 60_000;

/// A column of a list: its name, and whether its values are numbers.
type Column = (&'static str, bool);

fn answer<V: Serialize>(
    call: &Call,
    asked: &PageRequest<V>,
    columns: &[Column],
    page: &Page<Value, V>,
    file_name: &str,
) -> Result<Response, Problem> {
    if let Some(style) = asked.csv {
        return Ok(as_csv(style, columns, &page.rows, file_name));
    }
    let body = json!({"items": page.rows, "next_cursor": page.next_cursor(call)?});
    Ok(json(StatusCode::OK, &body))
}

fn as_csv(style: Style, columns: &[Column], rows: &[Value], file_name: &str) -> Response {
    let mut table = Table::new(style, columns.iter().map(|(name, _)| *name));
    for item in rows {
        let cells = columns
            .iter()
            .map(|(name, numbers)| cell(&item[*name], *numbers));
        table.row(cells);
    }
    table.answer(file_name)
}

fn cell(value: &Value, numbers: bool) -> Cell<'_> {
    match value {
        Value::Null => Cell::Empty,
        Value::String(text) if numbers => Cell::number(text.as_str()),
        Value::String(text) => Cell::text(text.as_str()),
        Value::Number(number) => Cell::number(number.to_string()),
        Value::Array(list) if list.iter().all(Value::is_string) => {
            let texts = list.iter().filter_map(Value::as_str);
            Cell::text(texts.collect::<Vec<_>>().join("|"))
        }
        other => Cell::text(other.to_string()),
    }
}

pub(crate) async fn vouchers(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let asked: PageRequest = PageRequest::json_or_csv(&mut query, &call, CSV)?;
    let code = query.id("voucher_code", VoucherCode::new);
    query.done()?;
    let promotion = known(&call, &market).await?.promotion_id;
    let page = match code {
        Some(code) => {
            let one = market.vouchers().voucher(&promotion, &code).await?;
            let rows = one.iter().map(|voucher| json!(voucher)).collect();
            Page { rows, next: None }
        }
        None => {
            let part = |after, limit| market.vouchers().list(&promotion, after, limit);
            asked.gather_by_id(part, |one| Some(json!(one))).await?
        }
    };
    let columns = [
        ("voucher_code", false),
        ("limit", true),
        ("uses", true),
        ("disabled", false),
        ("assigned", false),
        ("created_at", false),
    ];
    answer(&call, &asked, &columns, &page, "vouchers.csv")
}

/// A list that is stored in the promotion itself, sorted by the name of its entries, in pages like all lists.
fn held(asked: &PageRequest, named_by: &str, mut rows: Vec<Value>) -> Page<Value> {
    let name = |row: &Value| row[named_by].as_str().unwrap_or_default().to_owned();
    rows.sort_by_key(name);
    let place = |row: &Value| Position {
        value: (),
        id: name(row),
    };
    asked.page_of(rows, place, |row, place| name(row).cmp(&place.id))
}

pub(crate) async fn rules(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let asked: PageRequest = PageRequest::json_or_csv(&mut query, &call, CSV)?;
    query.done()?;
    let promotion = known(&call, &market).await?;
    let rows = promotion.validation_rules.iter().map(|rule| json!(rule));
    let columns = [
        ("id", false),
        ("name", false),
        ("text", false),
        ("version", true),
    ];
    let page = held(&asked, "id", rows.collect());
    answer(&call, &asked, &columns, &page, "validation-rules.csv")
}

pub(crate) async fn metadata(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let asked: PageRequest = PageRequest::json_or_csv(&mut query, &call, CSV)?;
    query.done()?;
    let promotion = known(&call, &market).await?;
    let rows = promotion.metadata.iter();
    let rows = rows.map(|(key, value)| json!({"key": key, "value": value}));
    let page = held(&asked, "key", rows.collect());
    let columns = [("key", false), ("value", false)];
    answer(&call, &asked, &columns, &page, "metadata.csv")
}

pub(crate) async fn changes(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let asked: PageRequest = PageRequest::json_or_csv(&mut query, &call, CSV)?;
    query.done()?;
    let promotion = known(&call, &market).await?.promotion_id;
    let part = |after, limit| {
        market
            .promotions()
            .promotion_changes(&promotion, after, limit)
    };
    let page = asked.gather_by_id(part, |one| Some(change(&one))).await?;
    let columns = [
        ("at", false),
        ("by", false),
        ("field", false),
        ("before", false),
        ("after", false),
    ];
    answer(&call, &asked, &columns, &page, "changes.csv")
}

pub(crate) fn change(logged: &LoggedChange) -> Value {
    json!(logged)
}

/// Which redemptions are asked for.
struct ListFilter {
    result: Option<Outcome>,
    rolled_back: bool,
    customer: Option<CustomerId>,
    code: Option<VoucherCode>,
    flagged: bool,
}

impl ListFilter {
    fn read(query: &mut Query<'_>) -> Self {
        let result = |text: &str| match text {
            "success" => Some((Some(Outcome::Success), false)),
            "failure" => Some((Some(Outcome::Failure), false)),
            "rolled_back" => Some((None, true)),
            _ => None,
        };
        let expected = "success, failure or rolled_back";
        let (result, rolled_back) = query
            .read("result", Code::UnknownValue, expected, result)
            .unwrap_or_default();
        Self {
            result,
            rolled_back,
            customer: query.id("customer_id", CustomerId::new),
            code: query.id("voucher_code", VoucherCode::new),
            flagged: query.flag("flagged"),
        }
    }

    fn takes(&self, fact: &RedemptionFact) -> bool {
        let stands = fact.rolled_back.is_none();
        self.result
            .is_none_or(|result| stands && result == fact.result())
            && (!self.rolled_back || !stands)
            && self
                .customer
                .as_ref()
                .is_none_or(|id| *id == fact.submitted.customer_id)
            && (self.code.is_none() || self.code == fact.submitted.voucher_code)
            && (!self.flagged || !fact.flags.is_empty())
    }
}

pub(crate) async fn redemptions(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let asked: PageRequest = PageRequest::json_or_csv(&mut query, &call, CSV)?;
    let wanted = ListFilter::read(&mut query);
    query.done()?;
    let promotion = known(&call, &market).await?.promotion_id;
    let from = seen_from(&call);
    let part = |after, limit| {
        market
            .lists()
            .redemptions_of(&promotion, after, limit, call.now)
    };
    let seen =
        |fact: RedemptionFact| (fact.at >= from && wanted.takes(&fact)).then(|| redemption(&fact));
    let page = asked.gather_by_id(part, seen).await?;
    answer(&call, &asked, &REDEMPTION, &page, "redemptions.csv")
}

const REDEMPTION: [Column; 16] = [
    ("redemption_id", false),
    ("promotion_id", false),
    ("customer_id", false),
    ("voucher_code", false),
    ("tier_id", false),
    ("assignment_id", false),
    ("order_id", false),
    ("redeemed_at", false),
    ("result", false),
    ("failure_code", false),
    ("reward_amount", true),
    ("currency", false),
    ("flags", false),
    ("rolled_back_at", false),
    ("rollback_id", false),
    ("arrived_at", false),
];

/// A redemption as it is shown.
pub(crate) fn redemption(fact: &RedemptionFact) -> Value {
    fact.shown()
}

pub(crate) async fn publications(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let asked: PageRequest = PageRequest::json_or_csv(&mut query, &call, CSV)?;
    let customer = query.id("customer_id", CustomerId::new);
    let code = query.id("voucher_code", VoucherCode::new);
    query.done()?;
    let promotion = known(&call, &market).await?.promotion_id;
    let from = seen_from(&call);
    let part = |after, limit| {
        market
            .lists()
            .publications_of(&promotion, after, limit, call.now)
    };
    let seen = |fact: AssignmentFact| {
        let submitted = &fact.submitted;
        let wanted = fact.at >= from
            && customer
                .as_ref()
                .is_none_or(|id| *id == submitted.customer_id)
            && (code.is_none() || code == submitted.voucher_code);
        wanted.then(|| assignment(&fact))
    };
    let page = asked.gather_by_id(part, seen).await?;
    let columns = [
        ("assignment_id", false),
        ("promotion_id", false),
        ("customer_id", false),
        ("voucher_code", false),
        ("tier_id", false),
        ("segment", false),
        ("assigned_at", false),
        ("result", false),
        ("channel", false),
        ("arrived_at", false),
    ];
    answer(&call, &asked, &columns, &page, "publications.csv")
}

fn assignment(fact: &AssignmentFact) -> Value {
    let submitted = &fact.submitted;
    json!({
        "assignment_id": submitted.assignment_id, "promotion_id": submitted.promotion_id, "customer_id": submitted.customer_id,
        "voucher_code": submitted.voucher_code, "tier_id": submitted.tier_id, "segment": submitted.segment,
        "assigned_at": fact.at, "result": submitted.result, "channel": submitted.channel, "arrived_at": fact.arrived_at,
    })
}

pub(crate) async fn distributions(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let asked: PageRequest = PageRequest::json_or_csv(&mut query, &call, CSV)?;
    let customer = query.id("customer_id", CustomerId::new);
    let code = query.id("voucher_code", VoucherCode::new);
    query.done()?;
    let promotion = known(&call, &market).await?.promotion_id;
    let from = seen_from(&call);
    let part = |after, limit| {
        market
            .lists()
            .distributions_of(&promotion, after, limit, call.now)
    };
    let seen = |sent: Distribution| {
        let wanted = sent.at >= from
            && customer
                .as_ref()
                .is_none_or(|id| sent.recipient.customer() == Some(id))
            && code.as_ref().is_none_or(|code| *code == sent.voucher_code);
        wanted.then(|| distribution(&sent))
    };
    let page = asked.gather_by_id(part, seen).await?;
    let columns = [
        ("customer_id", false),
        ("campaign_id", false),
        ("channel", false),
        ("message_id", false),
        ("voucher_code", false),
        ("state", false),
        ("at", false),
        ("address", false),
    ];
    answer(&call, &asked, &columns, &page, "distributions.csv")
}

fn distribution(message: &Distribution) -> Value {
    json!({
        "customer_id": message.recipient.customer(), "address": message.recipient.address(),
        "campaign_id": message.campaign_id, "channel": message.channel, "message_id": message.message_id, "voucher_code": message.voucher_code, "state": message.state(),
        "at": message.at,
    })
}

/// The place where the quarantine goes on. The id is that of a promotion, and the value is that of a waiting record; `None` is
/// the beginning.
type QuarantineCursor = Position<Option<String>>;

pub(crate) async fn quarantine(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let asked: PageRequest<Option<String>> = PageRequest::json_or_csv(&mut query, &call, CSV)?;
    let only = query.id("promotion_id", PromotionId::new);
    query.done()?;
    let mut awaited = market.promotions().awaited(call.now).await?;
    awaited.retain(|id| only.as_ref().is_none_or(|only| only == id));
    let part = |at: Option<QuarantineCursor>, limit| part(&market, &awaited, at, limit, call.now);
    let page = asked.gather(part, |one| Some(waiting(&one))).await?;
    let columns = [
        ("kind", false),
        ("id", false),
        ("promotion_id", false),
        ("customer_id", false),
        ("arrived_at", false),
        ("reason", false),
    ];
    answer(&call, &asked, &columns, &page, "quarantine.csv")
}

/// A part of the waiting records, promotion by promotion.
async fn part(
    market: &Market,
    awaited: &[PromotionId],
    at: Option<QuarantineCursor>,
    limit: usize,
    now: Instant,
) -> Result<Part<Waiting, Option<String>>, Problem> {
    let (from, after) = at.map_or_else(Default::default, |at| (at.id, at.value));
    let mut rest = awaited.iter().filter(|id| id.as_str() >= from.as_str());
    let Some(promotion) = rest.next() else {
        return Ok((Vec::new(), None));
    };
    let after = after.filter(|_| promotion.as_str() == from);
    let (page, next) = market
        .lists()
        .waiting_for(promotion, after, limit, now)
        .await?;
    let place = |promotion: &PromotionId, value: Option<String>| Position {
        value,
        id: promotion.as_str().to_owned(),
    };
    let page = page.into_iter();
    let page = page.map(|(after, waiting)| (place(promotion, Some(after)), waiting));
    let next = match next {
        Some(after) => Some(place(promotion, Some(after))),
        None => rest.next().map(|promotion| place(promotion, None)),
    };
    Ok((page.collect(), next))
}

fn waiting(waiting: &Waiting) -> Value {
    let (kind, id, promotion, customer, arrived_at, waits, record) = match waiting {
        Waiting::Assignment(fact) => (
            "assignment",
            fact.submitted.assignment_id.as_str(),
            &fact.submitted.promotion_id,
            &fact.submitted.customer_id,
            fact.arrived_at,
            &fact.waits,
            assignment(fact),
        ),
        Waiting::Redemption(fact) => (
            "redemption",
            fact.submitted.redemption_id.as_str(),
            &fact.submitted.promotion_id,
            &fact.submitted.customer_id,
            fact.arrived_at,
            &fact.waits,
            redemption(fact),
        ),
    };
    let problem = waits.as_ref().and_then(|waits| waits.problem.as_ref());
    let reason = problem.map_or("unknown_promotion".to_owned(), |problem| {
        problem.code.text()
    });
    json!({
        "kind": kind, "id": id, "promotion_id": promotion, "customer_id": customer, "arrived_at": arrived_at,
        "reason": reason, "detail": problem.map(|problem| &problem.detail), "record": record,
    })
}

pub(crate) async fn feed(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let asked: PageRequest = PageRequest::json_or_csv(&mut query, &call, CSV)?;
    let since = query.instant("since");
    query.done()?;
    let from = since.unwrap_or(seen_from(&call)).max(seen_from(&call));
    let part = |after, limit| market.lists().feed(Some(from), after, limit, call.now);
    let entry = |(at, fact): (Instant, RedemptionFact)| {
        let mut shown = redemption(&fact);
        shown["at"] = json!(at);
        (fact.at >= seen_from(&call)).then_some(shown)
    };
    let page = asked.gather_by_id(part, entry).await?;
    if let Some(style) = asked.csv {
        let mut columns = vec![("at", false)];
        columns.extend(REDEMPTION);
        return Ok(as_csv(style, &columns, &page.rows, "redemptions.csv"));
    }
    let body = json!({
        "items": page.rows, "complete_to": call.now.minus_ms(FEED_SETTLES_MS), "next_cursor": page.next_cursor(&call)?,
    });
    Ok(json(StatusCode::OK, &body))
}
