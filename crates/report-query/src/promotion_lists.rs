//! The lists of a promotion, the quarantine, and the feed of redemptions: by pages, filtered, as JSON or CSV.

use revtrail_core::promotion::redemption::Outcome;
use revtrail_core::record::Code;
use revtrail_core::value::id::{CustomerId, PromotionId, VoucherCode};
use revtrail_core::value::time::Instant;
use revtrail_store::market::Market;
use revtrail_store::promotions::LoggedChange;
use revtrail_store::promotions::distributions::Distribution;
use revtrail_store::promotions::lists::Waiting;
use revtrail_store::promotions::redeem::{AssignmentFact, RedemptionFact};
use revtrail_web::answer::json;
use revtrail_web::csv::{Cell, Table};
use revtrail_web::problem::Problem;
use revtrail_web::query::{LIMIT_MAX, Query};
use revtrail_web::route::{Call, Method, Response, Route, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::promotions::{PROMOTIONS, csv_wanted, known};
use crate::seen_from;

/// So long after its arrival a redemption may still be on its way into the feed: no call takes longer.
const FEED_SETTLES_MS: i64 = 60_000;

pub(crate) fn routes() -> Vec<Route> {
    let get = |path, handler: crate::Handler| Route::new(Method::GET, path, PROMOTIONS, handler);
    vec![
        get(
            "/v1/marketplaces/{marketplace}/promotions/{id}/vouchers",
            |call| Box::pin(vouchers(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/promotions/{id}/validation-rules",
            |call| Box::pin(rules(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/promotions/{id}/redemptions",
            |call| Box::pin(redemptions(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/promotions/{id}/publications",
            |call| Box::pin(publications(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/promotions/{id}/distributions",
            |call| Box::pin(distributions(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/promotions/{id}/metadata",
            |call| Box::pin(metadata(call)),
        ),
        get(
            "/v1/marketplaces/{marketplace}/promotions/{id}/changes",
            |call| Box::pin(changes(call)),
        ),
        get("/v1/marketplaces/{marketplace}/quarantine", |call| {
            Box::pin(quarantine(call))
        }),
        get("/v1/marketplaces/{marketplace}/redemptions", |call| {
            Box::pin(feed(call))
        }),
    ]
}

#[derive(Serialize, Deserialize)]
struct ListCursor {
    after: String,
}

/// How a list is read: what every list takes.
struct Reading {
    after: Option<String>,
    limit: usize,
    csv: bool,
}

impl Reading {
    fn of(query: &mut Query<'_>, call: &Call) -> Result<Self, Problem> {
        let csv = csv_wanted(call)?;
        let limit = query.limit();
        let cursor: Option<ListCursor> = query.cursor();
        Ok(Self {
            after: cursor.map(|cursor| cursor.after),
            limit: if csv { usize::MAX } else { limit },
            csv,
        })
    }
}

/// Rows gathered from pages, until there are as many as asked for.
struct Gathering {
    rows: Vec<Value>,
    limit: usize,
    next: Option<String>,
    over: bool,
}

impl Gathering {
    fn of(reading: &Reading) -> Self {
        Self {
            rows: Vec::new(),
            limit: reading.limit,
            next: reading.after.clone(),
            over: false,
        }
    }

    /// The page to be read: from after what, and how long.
    fn page(&self) -> Option<(Option<String>, usize)> {
        let want = self.limit - self.rows.len();
        (want > 0 && !self.over).then(|| (self.next.clone(), want.min(LIMIT_MAX)))
    }

    fn cursor(&self, call: &Call) -> Result<Option<String>, Problem> {
        let cursor = |after: &String| {
            call.next_cursor(&ListCursor {
                after: after.clone(),
            })
        };
        self.next.as_ref().map(cursor).transpose()
    }

    /// The rows of a page that are wanted, and where to go on.
    fn take(&mut self, rows: impl Iterator<Item = Value>, next: Option<String>) {
        self.rows.extend(rows);
        self.over = next.is_none();
        self.next = next;
    }
}

/// A column of a list: its name, and whether it holds numbers.
type Column = (&'static str, bool);

fn answer(
    call: &Call,
    reading: &Reading,
    columns: &[Column],
    list: Gathering,
    file_name: &str,
) -> Result<Response, Problem> {
    if reading.csv {
        let mut table = Table::new(columns.iter().map(|(name, _)| *name));
        for item in &list.rows {
            table.row(
                columns
                    .iter()
                    .map(|(name, numbers)| cell(&item[*name], *numbers)),
            );
        }
        return Ok(table.answer(file_name));
    }
    let next_cursor = list.cursor(call)?;
    let body = json!({"items": list.rows, "next_cursor": next_cursor});
    Ok(json(StatusCode::OK, &body))
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

async fn vouchers(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let reading = Reading::of(&mut query, &call)?;
    let code = query.id("voucher_code", VoucherCode::new);
    query.done()?;
    let promotion = known(&call, &market).await?.promotion_id;
    let mut list = Gathering::of(&reading);
    if let Some(code) = code {
        let one = market.voucher(&promotion, &code).await?;
        list.take(one.iter().map(|voucher| json!(voucher)), None);
    }
    while let Some((after, limit)) = list.page() {
        let (page, next) = market.vouchers(&promotion, after, limit).await?;
        list.take(page.iter().map(|voucher| json!(voucher)), next);
    }
    let columns = [
        ("voucher_code", false),
        ("limit", true),
        ("uses", true),
        ("disabled", false),
        ("assigned", false),
        ("created_at", false),
    ];
    answer(&call, &reading, &columns, list, "vouchers.csv")
}

/// A list that is held in the promotion: by pages too, so that all lists are read the same way.
fn held(reading: &Reading, rows: Vec<Value>) -> Gathering {
    let mut list = Gathering::of(reading);
    let start = reading
        .after
        .as_deref()
        .and_then(|after| after.parse().ok());
    let start = start.unwrap_or(0).min(rows.len());
    let end = rows.len().min(start.saturating_add(reading.limit));
    let next = (end < rows.len()).then(|| end.to_string());
    list.take(rows[start..end].iter().cloned(), next);
    list
}

async fn rules(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let reading = Reading::of(&mut query, &call)?;
    query.done()?;
    let promotion = known(&call, &market).await?;
    let rows = promotion.validation_rules.iter().map(|rule| json!(rule));
    let columns = [
        ("id", false),
        ("name", false),
        ("text", false),
        ("version", true),
    ];
    let list = held(&reading, rows.collect());
    answer(&call, &reading, &columns, list, "validation-rules.csv")
}

async fn metadata(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let reading = Reading::of(&mut query, &call)?;
    query.done()?;
    let promotion = known(&call, &market).await?;
    let rows = promotion.metadata.iter();
    let rows = rows.map(|(key, value)| json!({"key": key, "value": value}));
    let list = held(&reading, rows.collect());
    let columns = [("key", false), ("value", false)];
    answer(&call, &reading, &columns, list, "metadata.csv")
}

async fn changes(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let reading = Reading::of(&mut query, &call)?;
    query.done()?;
    let promotion = known(&call, &market).await?.promotion_id;
    let mut list = Gathering::of(&reading);
    while let Some((after, limit)) = list.page() {
        let (page, next) = market.promotion_changes(&promotion, after, limit).await?;
        list.take(page.iter().map(change), next);
    }
    let columns = [
        ("at", false),
        ("by", false),
        ("field", false),
        ("before", false),
        ("after", false),
    ];
    answer(&call, &reading, &columns, list, "changes.csv")
}

pub(crate) fn change(logged: &LoggedChange) -> Value {
    json!(logged)
}

/// Which redemptions.
struct Wanted {
    result: Option<Outcome>,
    rolled_back: bool,
    customer: Option<CustomerId>,
    code: Option<VoucherCode>,
    flagged: bool,
}

impl Wanted {
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
                .is_none_or(|id| *id == fact.told.customer_id)
            && (self.code.is_none() || self.code == fact.told.voucher_code)
            && (!self.flagged || !fact.flags.is_empty())
    }
}

async fn redemptions(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let reading = Reading::of(&mut query, &call)?;
    let wanted = Wanted::read(&mut query);
    query.done()?;
    let promotion = known(&call, &market).await?.promotion_id;
    let from = seen_from(&call);
    let mut list = Gathering::of(&reading);
    while let Some((after, limit)) = list.page() {
        let page = market.redemptions_of(&promotion, after, limit, call.now);
        let (page, next) = page.await?;
        let seen = page
            .iter()
            .filter(|fact| fact.at >= from && wanted.takes(fact));
        list.take(seen.map(redemption), next);
    }
    answer(&call, &reading, &REDEMPTION, list, "redemptions.csv")
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
    let told = &fact.told;
    let refusal = fact.refusal.map(|refusal| refusal.name());
    // What waits for its promotion may wait for a currency too.
    let of_reward = told.reward_amount.and(fact.reward);
    let currency = told.currency.or(of_reward.map(|(_, currency)| currency));
    let costs = fact.reward.filter(|_| fact.result() == Outcome::Success);
    let reward = told.reward_amount.map(|amount| match currency {
        Some(currency) => amount.in_currency(currency),
        None => amount.to_string(),
    });
    let rolled_back = fact.rolled_back.as_ref();
    let result = match rolled_back {
        Some(_) => json!("rolled_back"),
        None => json!(fact.result()),
    };
    json!({
        "redemption_id": told.redemption_id, "promotion_id": told.promotion_id, "customer_id": told.customer_id,
        "voucher_code": told.voucher_code, "tier_id": told.tier_id, "assignment_id": told.assignment_id,
        "order_id": told.order_id, "redeemed_at": fact.at, "result": result,
        "failure_code": refusal.or(told.failure_code.as_deref()),
        "reward_amount": reward, "currency": currency,
        "cost": costs.map(|(amount, currency)| json!({currency.code(): amount.in_currency(currency)})),
        "flags": fact.flags, "rolled_back_at": rolled_back.map(|(_, at)| at),
        "rollback_id": rolled_back.map(|(rollback, _)| &rollback.rollback_id),
        "rollback_reason": rolled_back.and_then(|(rollback, _)| rollback.reason.as_ref()),
        "arrived_at": fact.arrived_at,
    })
}

async fn publications(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let reading = Reading::of(&mut query, &call)?;
    let customer = query.id("customer_id", CustomerId::new);
    let code = query.id("voucher_code", VoucherCode::new);
    query.done()?;
    let promotion = known(&call, &market).await?.promotion_id;
    let from = seen_from(&call);
    let mut list = Gathering::of(&reading);
    while let Some((after, limit)) = list.page() {
        let page = market.publications_of(&promotion, after, limit, call.now);
        let (page, next) = page.await?;
        let seen = page.iter().filter(|fact| {
            fact.at >= from
                && customer
                    .as_ref()
                    .is_none_or(|id| *id == fact.told.customer_id)
                && (code.is_none() || code == fact.told.voucher_code)
        });
        list.take(seen.map(assignment), next);
    }
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
    answer(&call, &reading, &columns, list, "publications.csv")
}

fn assignment(fact: &AssignmentFact) -> Value {
    let told = &fact.told;
    json!({
        "assignment_id": told.assignment_id, "promotion_id": told.promotion_id, "customer_id": told.customer_id,
        "voucher_code": told.voucher_code, "tier_id": told.tier_id, "segment": told.segment,
        "assigned_at": fact.at, "result": told.result, "channel": told.channel, "arrived_at": fact.arrived_at,
    })
}

async fn distributions(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let reading = Reading::of(&mut query, &call)?;
    let customer = query.id("customer_id", CustomerId::new);
    let code = query.id("voucher_code", VoucherCode::new);
    query.done()?;
    let promotion = known(&call, &market).await?.promotion_id;
    let from = seen_from(&call);
    let mut list = Gathering::of(&reading);
    while let Some((after, limit)) = list.page() {
        let page = market.distributions_of(&promotion, after, limit, call.now);
        let (page, next) = page.await?;
        let seen = page.iter().filter(|message| {
            message.at >= from
                && customer
                    .as_ref()
                    .is_none_or(|id| *id == message.customer_id)
                && code
                    .as_ref()
                    .is_none_or(|code| *code == message.voucher_code)
        });
        list.take(seen.map(distribution), next);
    }
    let columns = [
        ("customer_id", false),
        ("campaign_id", false),
        ("channel", false),
        ("message_id", false),
        ("voucher_code", false),
        ("state", false),
        ("at", false),
    ];
    answer(&call, &reading, &columns, list, "distributions.csv")
}

fn distribution(message: &Distribution) -> Value {
    json!({
        "customer_id": message.customer_id, "campaign_id": message.campaign_id, "channel": message.channel,
        "message_id": message.message_id, "voucher_code": message.voucher_code, "state": message.state(),
        "at": message.at,
    })
}

/// Where the list of what waits goes on: a promotion, and a place in what waits for it.
#[derive(Serialize, Deserialize)]
struct Place {
    promotion: String,
    after: Option<String>,
}

async fn quarantine(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let reading = Reading::of(&mut query, &call)?;
    let only = query.id("promotion_id", PromotionId::new);
    query.done()?;
    let awaited = market.awaited(call.now).await?;
    let mut list = Gathering::of(&reading);
    while let Some((at, limit)) = list.page() {
        let (page, next) = part(&market, &awaited, only.as_ref(), at, limit, call.now).await?;
        list.take(page.into_iter(), next);
    }
    let columns = [
        ("kind", false),
        ("id", false),
        ("promotion_id", false),
        ("customer_id", false),
        ("arrived_at", false),
        ("reason", false),
    ];
    answer(&call, &reading, &columns, list, "quarantine.csv")
}

/// What waits for one promotion after the other.
async fn part(
    market: &Market,
    awaited: &[PromotionId],
    only: Option<&PromotionId>,
    at: Option<String>,
    limit: usize,
    now: Instant,
) -> Result<(Vec<Value>, Option<String>), Problem> {
    let place: Option<Place> = at.and_then(|at| serde_json::from_str(&at).ok());
    let (from, after) = match place {
        Some(place) => (place.promotion, place.after),
        None => (String::new(), None),
    };
    let wanted =
        |id: &&PromotionId| id.as_str() >= from.as_str() && only.is_none_or(|only| only == *id);
    let mut rest = awaited.iter().filter(wanted);
    let Some(promotion) = rest.next() else {
        return Ok((Vec::new(), None));
    };
    let after = after.filter(|_| promotion.as_str() == from);
    let (page, next) = market.waiting_for(promotion, after, limit, now).await?;
    let next = match next {
        Some(after) => Some((promotion.as_str(), Some(after))),
        None => rest.next().map(|promotion| (promotion.as_str(), None)),
    };
    let next =
        next.map(|(promotion, after)| json!({"promotion": promotion, "after": after}).to_string());
    Ok((page.iter().map(waiting).collect(), next))
}

fn waiting(waiting: &Waiting) -> Value {
    let (kind, id, promotion, customer, arrived_at, waits, record) = match waiting {
        Waiting::Assignment(fact) => (
            "assignment",
            fact.told.assignment_id.as_str(),
            &fact.told.promotion_id,
            &fact.told.customer_id,
            fact.arrived_at,
            &fact.waits,
            assignment(fact),
        ),
        Waiting::Redemption(fact) => (
            "redemption",
            fact.told.redemption_id.as_str(),
            &fact.told.promotion_id,
            &fact.told.customer_id,
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

async fn feed(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let mut query = call.query();
    let reading = Reading::of(&mut query, &call)?;
    let since = query.instant("since");
    query.done()?;
    let from = since.unwrap_or(seen_from(&call)).max(seen_from(&call));
    let mut list = Gathering::of(&reading);
    while let Some((after, limit)) = list.page() {
        let page = market.feed(Some(from), after, limit, call.now);
        let (page, next) = page.await?;
        let entry = |(at, fact): &(Instant, RedemptionFact)| {
            let mut shown = redemption(fact);
            shown["at"] = json!(at);
            shown
        };
        let seen = page.iter().filter(|(_, fact)| fact.at >= seen_from(&call));
        list.take(seen.map(entry), next);
    }
    if reading.csv {
        let mut columns = vec![("at", false)];
        columns.extend(REDEMPTION);
        return answer(&call, &reading, &columns, list, "redemptions.csv");
    }
    let next_cursor = list.cursor(&call)?;
    let body = json!({
        "items": list.rows, "complete_to": call.now.minus_ms(FEED_SETTLES_MS), "next_cursor": next_cursor,
    });
    Ok(json(StatusCode::OK, &body))
}
