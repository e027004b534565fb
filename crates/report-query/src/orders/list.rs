//! The list of orders: those that are folded and those that wait for a run, newest first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use revtrail_core::attribution::order::{Order, Status};
use revtrail_core::attribution::settings::Versions;
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::record::Code;
use revtrail_core::value::id::{CampaignId, CustomerId, OrderId};
use revtrail_core::value::money::Currency;
use revtrail_core::value::time::{Day, Instant};
use revtrail_store::Reading;
use revtrail_store::market::Market;
use revtrail_web::access::MARKETING;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::list::{Page, PageRequest, Position, READ_ROWS_MAX};
use revtrail_web::problem::Problem;
use revtrail_web::query::LIMIT_MAX;
use serde_json::{Value, json};

use super::listed::{At, ListedOrder};
use super::{Rulebook, csv, shown};
use crate::period::Period;
use crate::{PENDING_MAX, seen_from, versions};

/// How many orders are read at the same time where all of them are shown.
const AT_ONCE: usize = 100;
/// How many orders are read at the same time where a filter may leave out most of them.
const FILTERED_AT_ONCE: usize = 200;
/// How many waiting customers are read at the same time.
const CUSTOMERS_AT_ONCE: usize = 16;

/// Which orders of the list are asked for.
struct OrderFilter {
    period: Period,
    status: Option<Status>,
    customer: Option<CustomerId>,
}

pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let market = call.market()?;
    let versions = versions(&market).await?;
    let mut query = call.query();
    let filter = OrderFilter {
        period: Period::read(&mut query, &call, &versions),
        status: query.read(
            "status",
            Code::UnknownStatus,
            "a status of an order, like DELIVERED",
            Status::parse,
        ),
        customer: query.id("customer_id", CustomerId::new),
    };
    let asked: PageRequest<At> = PageRequest::json_or_csv(&mut query, &call, MARKETING)?;
    let with_revenue = query.flag("revenue");
    query.done()?;
    let (limit, after) = (asked.limit.min(LIMIT_MAX), asked.after);
    let mut list = OrderList::of(market, filter, &versions, call).await?;
    if let Some(style) = asked.csv {
        let currencies = with_revenue.then(|| list.currencies());
        return csv::list(style, list.parts(after), currencies).await;
    }
    let page = list.page(after.as_ref(), limit).await?;
    let call = &list.call;
    let show = |(one, order): &(ListedOrder, Order)| {
        shown(order, one.credit.as_ref(), one.not_counted, call)
    };
    let orders: Vec<Value> = page.rows.iter().map(show).collect::<Result<_, _>>()?;
    let next_cursor = page.next_cursor(call)?;
    let body =
        json!({ "orders": orders, "period": list.filter.period, "next_cursor": next_cursor });
    Ok(json(StatusCode::OK, &body))
}

type OrderPage = Page<(ListedOrder, Order), At>;

/// The orders that are asked for, with what is read once for all pages.
struct OrderList {
    market: Market,
    filter: OrderFilter,
    call: Call,
    /// The orders of one customer, or of all customers who wait for the next run, with their status and currency. They are listed
    /// from the moment they are accepted.
    waiting: Vec<(ListedOrder, Status, Currency)>,
    /// The daily aggregates say which purchase rows there are.
    aggregates: BTreeMap<Day, Aggregate<CampaignId>>,
    /// The orders of these customers are shown as the last run decided them, since nothing is decided from so many facts.
    too_large: BTreeSet<CustomerId>,
}

impl OrderList {
    async fn of(
        market: Market,
        filter: OrderFilter,
        versions: &Versions,
        call: Call,
    ) -> Result<Self, Problem> {
        let waiting = filter.waiting(&market, versions, call.now).await?;
        let Period { first, last } = filter.period;
        let aggregates = if filter.period.is_empty() || filter.customer.is_some() {
            BTreeMap::new()
        } else {
            let daily = market.daily();
            let all = daily.aggregates(first, last, Reading::STRONG, call.now);
            all.await?
        };
        Ok(Self {
            market,
            filter,
            call,
            waiting,
            aggregates,
            too_large: BTreeSet::new(),
        })
    }

    /// The currencies of the orders. They are needed before the first order is read.
    fn currencies(&self) -> BTreeSet<Currency> {
        let days = self.filter.period;
        let waiting = self.waiting.iter();
        let waiting = waiting.filter(|(one, ..)| (days.first..=days.last).contains(&one.day));
        let waiting = waiting.map(|(_, status, currency)| (*status, *currency));
        let folded = self.aggregates.values().flat_map(|day| &day.statuses);
        let folded = folded.filter(|(_, orders)| orders.0 != 0);
        let all = waiting.chain(folded.map(|(of, _)| *of));
        let wanted = all.filter(|(status, _)| self.filter.takes(*status));
        wanted.map(|(_, currency)| currency).collect()
    }

    /// All orders from a place on, part by part.
    fn parts(
        self,
        after: Option<Position<At>>,
    ) -> impl Stream<Item = Result<Vec<(ListedOrder, Order)>, Problem>> + Send + 'static {
        stream::try_unfold((self, Some(after)), async |(mut list, next)| {
            let Some(after) = next else {
                return Ok(None);
            };
            let page = list.page(after.as_ref(), LIMIT_MAX).await?;
            Ok(Some((page.rows, (list, page.next.map(Some)))))
        })
    }

    /// The first orders after a place, newest first, each decided.
    async fn page(
        &mut self,
        after: Option<&Position<At>>,
        limit: usize,
    ) -> Result<OrderPage, Problem> {
        loop {
            let mut page = self.find(after, limit).await?;
            let undecided = decide(&mut page.rows, &self.market, &self.call).await?;
            if undecided.is_empty() {
                return Ok(page);
            }
            self.too_large.extend(undecided);
        }
    }

    /// The first orders after a place, newest first. Those that wait for a run are not decided yet.
    async fn find(&self, after: Option<&Position<At>>, limit: usize) -> Result<OrderPage, Problem> {
        let now = self.call.now;
        let after = after.and_then(|at| Some((at.value, OrderId::new(&at.id).ok()?)));
        let mut waiting: BTreeMap<Day, Vec<&ListedOrder>> = BTreeMap::new();
        for (one, ..) in &self.waiting {
            if !self.too_large.contains(&one.customer_id) {
                waiting.entry(one.day).or_default().push(one);
            }
        }
        let Period { first, last } = self.filter.period;
        let last = after.as_ref().map_or(last, |((day, _), _)| last.min(*day));
        let aggregates = &self.aggregates;
        let days: BTreeSet<Day> = waiting.keys().chain(aggregates.keys()).copied().collect();
        // One order more than asked for shows whether there are more.
        let at_once = match self.filter.status {
            Some(_) => FILTERED_AT_ONCE,
            None => AT_ONCE.min(limit.saturating_add(1)),
        };
        let (mut found, mut read) = (Vec::new(), 0);
        for day in days
            .into_iter()
            .rev()
            .filter(|day| (first..=last).contains(day))
        {
            let cursor = after.as_ref().filter(|((of, _), _)| *of == day);
            let cursor = cursor.map(|((_, placed_at), id)| (*placed_at, id));
            let mut waiting = waiting.remove(&day).unwrap_or_default();
            let known: HashSet<&OrderId> = waiting.iter().map(|one| &one.order_id).collect();
            waiting.retain(|one| cursor.is_none_or(|cursor| one.time() < cursor));
            waiting.sort_by(|a, b| b.time().cmp(&a.time()));
            let mut rows = self
                .market
                .purchases()
                .newest_first(day, aggregates.get(&day), cursor, at_once, now)
                .await?;
            loop {
                let page = rows.next(at_once).await?;
                let oldest = page
                    .last()
                    .map(|row| (row.line.placed_at, &row.line.order_id));
                let newer = |one: &&ListedOrder| oldest.is_none_or(|oldest| one.time() > oldest);
                let older = waiting.split_off(waiting.partition_point(newer));
                let listed = std::mem::replace(&mut waiting, older);
                let mut listed: Vec<ListedOrder> = listed.into_iter().cloned().collect();
                let new = page
                    .iter()
                    .filter(|row| !known.contains(&row.line.order_id));
                listed.extend(new.map(|row| ListedOrder::of(day, &row.customer_id, &row.line)));
                listed.sort_by(|a, b| b.time().cmp(&a.time()));
                while !listed.is_empty() {
                    let rest = listed.split_off(listed.len().min(at_once));
                    let reached = listed.last().map(ListedOrder::place);
                    read += listed.len();
                    for one in self.standing(listed).await? {
                        if found.len() == limit {
                            let next = found
                                .last()
                                .map(|(last, _): &(ListedOrder, Order)| last.place());
                            return Ok(Page { rows: found, next });
                        }
                        found.push(one);
                    }
                    if read >= READ_ROWS_MAX {
                        return Ok(Page {
                            rows: found,
                            next: reached,
                        });
                    }
                    listed = rest;
                }
                if oldest.is_none() {
                    break;
                }
            }
        }
        Ok(Page {
            rows: found,
            next: None,
        })
    }

    /// The standing copies of those orders that are visible and asked for, in the same order.
    async fn standing(
        &self,
        listed: Vec<ListedOrder>,
    ) -> Result<Vec<(ListedOrder, Order)>, Problem> {
        let id = |one: &ListedOrder| (one.customer_id.clone(), one.order_id.clone());
        let ids: Vec<_> = listed.iter().map(id).collect();
        let copies = self.market.facts().orders(&ids, self.call.now).await?;
        let mut copies: HashMap<OrderId, Order> = copies
            .into_iter()
            .filter(|order| order.placed_at >= seen_from(&self.call))
            .filter(|order| self.filter.takes(order.status))
            .map(|order| (order.order_id.clone(), order))
            .collect();
        let with_copy = |one: ListedOrder| copies.remove(&one.order_id).map(|order| (one, order));
        Ok(listed.into_iter().filter_map(with_copy).collect())
    }
}

impl OrderFilter {
    fn takes(&self, status: Status) -> bool {
        self.status.is_none_or(|wanted| wanted == status)
    }

    /// See [`OrderList::waiting`].
    async fn waiting(
        &self,
        market: &Market,
        versions: &Versions,
        now: Instant,
    ) -> Result<Vec<(ListedOrder, Status, Currency)>, Problem> {
        let customers = match &self.customer {
            Some(customer) => BTreeSet::from([customer.clone()]),
            None => {
                let waiting = market.intake().pending(PENDING_MAX, now).await?;
                let links = market.links();
                links
                    .with_linked(waiting.customers, PENDING_MAX, now)
                    .await?
            }
        };
        let reads: Vec<_> = customers
            .iter()
            .map(|customer| market.facts().orders_of(customer, now))
            .collect();
        let mut reads = stream::iter(reads).buffer_unordered(CUSTOMERS_AT_ONCE);
        let mut listed = Vec::new();
        while let Some(orders) = reads.try_next().await? {
            let one = |order: &Order| {
                let listed = ListedOrder::waiting(order, versions);
                (listed, order.status, order.currency)
            };
            listed.extend(orders.iter().map(one));
        }
        Ok(listed)
    }
}

/// Decides the orders of a page that wait for a run. Returns the customers who have too many facts to be read.
async fn decide(
    rows: &mut [(ListedOrder, Order)],
    market: &Market,
    call: &Call,
) -> Result<BTreeSet<CustomerId>, Problem> {
    let mut asked: BTreeMap<CustomerId, BTreeSet<OrderId>> = BTreeMap::new();
    for (one, _) in rows.iter().filter(|(one, _)| one.waits) {
        let orders = asked.entry(one.customer_id.clone()).or_default();
        orders.insert(one.order_id.clone());
    }
    let mut too_large = BTreeSet::new();
    if asked.is_empty() {
        return Ok(too_large);
    }
    let rules = &Rulebook::of(market, call).await?;
    // All facts of a customer are read, and only the orders of the page are kept of them.
    let read = |(customer, orders): (CustomerId, BTreeSet<OrderId>)| async move {
        let Some(known) = rules.customer(market, &customer, call).await? else {
            return Ok::<_, Problem>(Err(customer));
        };
        let decided = known.decided().into_iter();
        let decided = decided.filter(|(order, _)| orders.contains(&order.order_id));
        let kept = decided.map(|(order, line)| (order.clone(), customer.clone(), line));
        Ok(Ok(kept.collect::<Vec<_>>()))
    };
    let reads: Vec<_> = asked.into_iter().map(read).collect();
    let mut reads = stream::iter(reads).buffer_unordered(CUSTOMERS_AT_ONCE);
    let mut decided = HashMap::new();
    while let Some(read) = reads.try_next().await? {
        match read {
            Ok(orders) => {
                decided.extend(orders.into_iter().map(|(order, customer, line)| {
                    (order.order_id.clone(), (order, customer, line))
                }))
            }
            Err(customer) => drop(too_large.insert(customer)),
        }
    }
    for (one, order) in rows.iter_mut().filter(|(one, _)| one.waits) {
        if let Some((copy, customer, line)) = decided.remove(&one.order_id) {
            // The copy that was decided is shown, which may be newer.
            *order = copy;
            *one = ListedOrder::of(one.day, &customer, &line);
        }
    }
    Ok(too_large)
}
