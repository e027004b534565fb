//! The campaign and order reports and the classes of orders (rule 5).

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::decide::Decision;
use super::facts::{CHANNELS, Event, Facts, Order, STATUSES};
use super::print;

/// Left out while the newest settings say `enabled: false`.
const REVENUE_KEYS: [&str; 13] = [
    "purchases",
    "purchasers",
    "revenue",
    "refunded",
    "average_check",
    "purchase_to_open_rate",
    "purchase_to_click_rate",
    "order_rate",
    "revenue_per_delivery",
    "share",
    "counted",
    "credited",
    "uncredited",
];

/// What `total` of the orders report adds up.
const TOTAL_STATUSES: [&str; 6] = [
    "INITIALIZED",
    "IN_PROGRESS",
    "DELIVERED",
    "PREPARING",
    "READY",
    "COMPLETE",
];

/// Days, half-open.
struct Period {
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
}

impl Period {
    fn holds(&self, facts: &Facts, at: i64) -> bool {
        if self.from.is_none() && self.to.is_none() {
            return true;
        }
        let day = facts.day_of(at);
        self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day < to)
    }
}

/// Orders and money by currency.
#[derive(Default)]
struct Sum {
    orders: u64,
    amount: BTreeMap<String, i128>,
}

impl Sum {
    fn add(&mut self, amount: i128, currency: &str) {
        self.orders += 1;
        *self.amount.entry(currency.to_owned()).or_default() += amount;
    }
}

/// The figures of a row; those of the totals are their sums.
#[derive(Default)]
struct Figures {
    deliveries: u64,
    /// Of email and push, as `open_rate` wants them.
    deliveries_email_push: u64,
    opens: u64,
    unique_opens: u64,
    unique_opens_email_push: u64,
    bounces: u64,
    /// Emails with any event.
    emails: u64,
    clicks: u64,
    unique_clicks: u64,
    unsubscribes: u64,
    complaints: u64,
    purchases: u64,
    purchases_by_currency: BTreeMap<String, u64>,
    purchasers: u64,
    revenue: BTreeMap<String, i128>,
    refunded: BTreeMap<String, i128>,
}

impl Figures {
    fn add(&mut self, other: &Figures) {
        self.deliveries += other.deliveries;
        self.deliveries_email_push += other.deliveries_email_push;
        self.opens += other.opens;
        self.unique_opens += other.unique_opens;
        self.unique_opens_email_push += other.unique_opens_email_push;
        self.bounces += other.bounces;
        self.emails += other.emails;
        self.clicks += other.clicks;
        self.unique_clicks += other.unique_clicks;
        self.unsubscribes += other.unsubscribes;
        self.complaints += other.complaints;
        self.purchases += other.purchases;
        for (currency, purchases) in &other.purchases_by_currency {
            *self
                .purchases_by_currency
                .entry(currency.clone())
                .or_default() += purchases;
        }
        self.purchasers += other.purchasers;
        for (currency, amount) in &other.revenue {
            *self.revenue.entry(currency.clone()).or_default() += amount;
        }
        for (currency, amount) in &other.refunded {
            *self.refunded.entry(currency.clone()).or_default() += amount;
        }
    }

    fn print(&self) -> Value {
        json!({
            "deliveries": self.deliveries,
            "opens": self.opens,
            "unique_opens": self.unique_opens,
            "open_rate": if self.unique_opens_email_push > self.deliveries_email_push {
                Value::Null
            } else {
                print::rate(self.unique_opens_email_push, self.deliveries_email_push)
            },
            "bounces": self.bounces,
            "bounce_rate": print::rate(self.bounces, self.emails),
            "clicks": self.clicks,
            "unique_clicks": self.unique_clicks,
            "unsubscribes": self.unsubscribes,
            "complaints": self.complaints,
            "purchases": self.purchases,
            "purchasers": self.purchasers,
            "revenue": print::sums(&self.revenue),
            "refunded": print::sums(&self.refunded),
            "average_check": print::averages(&self.revenue, &self.purchases_by_currency),
            "purchase_to_open_rate": print::rate(self.purchases, self.unique_opens),
            "purchase_to_click_rate": print::rate(self.purchases, self.unique_clicks),
            "order_rate": print::rate(self.purchases, self.deliveries),
            "revenue_per_delivery": self.revenue_per_delivery(),
        })
    }
}

impl Figures {
    /// Of the currencies that have revenue; of none where nothing was delivered.
    fn revenue_per_delivery(&self) -> Value {
        let mut printed = json!({});
        for (currency, revenue) in &self.revenue {
            if *revenue != 0 && self.deliveries != 0 {
                let deliveries = i128::from(self.deliveries) * 1_000_000;
                printed[currency] = print::quotient(*revenue, deliveries).into();
            }
        }
        printed
    }
}

/// What part of the counted revenue is credited, of the currencies that have counted revenue.
fn share(counted: &Sum, credited: &Sum) -> Value {
    let mut printed = json!({});
    for (currency, counted) in &counted.amount {
        if *counted != 0 {
            let credited = credited.amount.get(currency).copied().unwrap_or(0);
            printed[currency] = print::quotient(credited, *counted).into();
        }
    }
    printed
}

impl Facts {
    /// See [`super::campaign_report`].
    pub fn campaign_report(
        &self,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        channel: Option<&str>,
    ) -> Value {
        let period = Period { from, to };
        let shown = |other: &str| channel.is_none_or(|channel| channel == other);
        let mut rows: BTreeMap<&str, Figures> = BTreeMap::new();

        for (place, event) in self.events.iter().enumerate() {
            if period.holds(self, event.at) && shown(&event.channel) {
                let row = rows.entry(&event.campaign_id).or_default();
                self.add_event(row, place, event);
            }
        }

        let decisions = self.decisions();
        let [mut counted, mut credited, mut uncredited] =
            [Sum::default(), Sum::default(), Sum::default()];
        for (order, decision) in &decisions {
            if !period.holds(self, order.placed_at) {
                continue;
            }
            if decision.counted {
                counted.add(decision.amount, &order.currency);
                let side = match decision.credit() {
                    Some(_) => &mut credited,
                    None => &mut uncredited,
                };
                side.add(decision.amount, &order.currency);
            }
            if let Some(credit) = decision.credit()
                && shown(credit.channel)
            {
                let (id, _) = self.campaigns.get_key_value(credit.campaign_id).unwrap();
                let row = rows.entry(id).or_default();
                self.add_credited_order(row, &decisions, order, decision);
            }
        }

        let mut totals = Figures::default();
        for row in rows.values() {
            totals.add(row);
        }
        let sort_currency = self.sort_currency(&totals);
        let mut totals = totals.print();
        totals["campaigns"] = rows.len().into();
        totals["share"] = share(&counted, &credited);
        let mut printed = Vec::new();
        for (id, figures) in &rows {
            printed.push(self.print_row(id, figures));
        }
        let purchases =
            |sum: &Sum| json!({"purchases": sum.orders, "revenue": print::sums(&sum.amount)});
        let mut report = json!({
            "totals": totals,
            "campaigns": printed,
            "counted": purchases(&counted),
            "credited": purchases(&credited),
            "uncredited": purchases(&uncredited),
            "sort_currency": sort_currency,
        });
        if !self.newest_settings().enabled {
            leave_out_revenue(&mut report);
        }
        report
    }

    /// One currency for the whole report: the settings' one, else the one with the most purchases, ties by code.
    fn sort_currency(&self, totals: &Figures) -> Option<String> {
        let settings = self.newest_settings();
        if !settings.enabled {
            return None;
        }
        if let Some(currency) = &settings.currency {
            return Some(currency.clone());
        }
        let mut best: Option<(u64, String)> = None;
        let money = totals.revenue.iter().chain(&totals.refunded);
        let with_money = money.filter(|(_, amount)| **amount != 0);
        let bought = totals.purchases_by_currency.iter();
        let bought = bought.filter(|(_, purchases)| **purchases != 0);
        let mut codes: Vec<&String> = with_money.map(|(code, _)| code).collect();
        codes.extend(bought.map(|(code, _)| code));
        codes.sort();
        for code in codes {
            let purchases = totals.purchases_by_currency.get(code).copied();
            let purchases = purchases.unwrap_or(0);
            if best.as_ref().is_none_or(|(most, _)| purchases > *most) {
                best = Some((purchases, code.clone()));
            }
        }
        best.map(|(_, code)| code)
    }

    /// Name, tags, channels, send time and `excluded` are as of now.
    fn print_row(&self, id: &str, figures: &Figures) -> Value {
        let campaign = &self.campaigns[id];
        let mut channels = CHANNELS.to_vec();
        channels.retain(|channel| campaign.channels.contains(*channel));
        let mut row = figures.print();
        row["campaign_id"] = id.into();
        row["name"] = campaign.name.as_str().into();
        row["tags"] = json!(campaign.tags);
        row["channels"] = json!(channels);
        row["sent_at"] = campaign.send_time.map_or(Value::Null, print::instant);
        row["excluded"] = self.newest_settings().excludes(campaign).into();
        row
    }

    /// Ignored machine events and push opens of too old apps enter no figure.
    fn enters_figures(&self, event: &Event) -> bool {
        let ignored = event.is_machine() && self.settings_at(event.at).ignores_machines;
        !ignored && !event.is_too_old_app()
    }

    /// Nothing like it in the look-back before it, of the same message; of several at one instant, one is the first.
    fn is_first(&self, place: usize, event: &Event, alike: impl Fn(&Event) -> bool) -> bool {
        !self.events.iter().enumerate().any(|(other_place, other)| {
            (other.at, other_place) < (event.at, place)
                && alike(other)
                && other.same_message(event)
                && self.in_look_back(other.at, event.at)
                && self.enters_figures(other)
        })
    }

    fn add_event(&self, row: &mut Figures, place: usize, event: &Event) {
        if !self.enters_figures(event) {
            return;
        }
        let first_of_kind = self.is_first(place, event, |other| other.kind == event.kind);
        let first_of_any = self.is_first(place, event, |_| true);
        let email = event.channel == "email";
        let email_or_push = email || event.channel == "push";

        match event.kind.as_str() {
            "delivered" => {
                row.deliveries += u64::from(first_of_kind);
                row.deliveries_email_push += u64::from(first_of_kind && email_or_push);
            }
            "opened" => {
                row.opens += 1;
                row.unique_opens += u64::from(first_of_kind);
                row.unique_opens_email_push += u64::from(first_of_kind && email_or_push);
            }
            "clicked" => {
                row.clicks += 1;
                row.unique_clicks += u64::from(first_of_kind);
            }
            "bounced" => row.bounces += u64::from(first_of_kind && email),
            "unsubscribed" => row.unsubscribes += u64::from(first_of_kind),
            "complained" => row.complaints += u64::from(first_of_kind),
            _ => {}
        }
        row.emails += u64::from(first_of_any && email);
    }

    fn decisions(&self) -> Vec<(&Order, Decision<'_>)> {
        let orders = self.orders.values();
        orders.map(|order| (order, self.decide(order))).collect()
    }

    fn add_credited_order(
        &self,
        row: &mut Figures,
        decisions: &[(&Order, Decision<'_>)],
        order: &Order,
        decision: &Decision<'_>,
    ) {
        let currency = &order.currency;
        *row.refunded.entry(currency.clone()).or_default() += decision.refunded;
        if !decision.counted {
            return;
        }
        row.purchases += 1;
        *row.purchases_by_currency
            .entry(currency.clone())
            .or_default() += 1;
        *row.revenue.entry(currency.clone()).or_default() += decision.amount;

        // On whatever channel the earlier ones were won: it is the buyer who is new to the campaign.
        let campaign_of = |decision: &Decision<'_>| {
            decision
                .credit()
                .map(|credit| credit.campaign_id.to_owned())
        };
        let bought_before = decisions.iter().any(|(other, its_decision)| {
            (other.placed_at, &other.order_id) < (order.placed_at, &order.order_id)
                && other.customer_id == order.customer_id
                && its_decision.counted
                && campaign_of(its_decision) == campaign_of(decision)
                && self.in_look_back(other.placed_at, order.placed_at)
        });
        row.purchasers += u64::from(!bought_before);
    }

    /// See [`super::orders_report`].
    pub fn orders_report(&self, from: Option<NaiveDate>, to: Option<NaiveDate>) -> Value {
        let period = Period { from, to };
        let mut statuses: BTreeMap<usize, Sum> = BTreeMap::new();
        let [mut total, mut cancelled] = [Sum::default(), Sum::default()];
        for order in self.orders.values() {
            if !period.holds(self, order.placed_at) {
                continue;
            }
            let status = statuses.entry(order.status).or_default();
            status.add(order.total, &order.currency);
            if TOTAL_STATUSES.contains(&order.status_name()) {
                total.add(order.total, &order.currency);
            }
            if order.status_name() == "CANCELLED" {
                cancelled.add(order.total, &order.currency);
            }
        }
        let print = |sum: &Sum| json!({"orders": sum.orders, "amount": print::sums(&sum.amount)});
        let mut printed = Vec::new();
        for (status, sum) in &statuses {
            let mut row = print(sum);
            row["status"] = STATUSES[*status].into();
            printed.push(row);
        }
        json!({"statuses": printed, "total": print(&total), "cancelled": print(&cancelled)})
    }

    /// See [`super::order_classes`].
    pub fn order_classes(&self, from: Option<NaiveDate>, to: Option<NaiveDate>) -> Value {
        let period = Period { from, to };
        let mut decisions = self.decisions();
        decisions.retain(|(order, _)| period.holds(self, order.placed_at));
        let count = |class: &dyn Fn(&Decision<'_>) -> bool| {
            decisions
                .iter()
                .filter(|(_, decision)| class(decision))
                .count()
        };
        let reason = |reason| count(&|decision| decision.uncounted_reason == Some(reason));
        json!({
            "stored": decisions.len(),
            "counted": count(&|decision| decision.counted),
            "credited": count(&|decision| decision.counted && decision.credit().is_some()),
            "uncredited": count(&|decision| decision.counted && decision.credit().is_none()),
            "other_status": reason("status"),
            "other_currency": reason("currency"),
            "refunded": reason("refunded"),
        })
    }
}

fn leave_out_revenue(report: &mut Value) {
    for key in REVENUE_KEYS {
        report.as_object_mut().unwrap().remove(key);
        report["totals"].as_object_mut().unwrap().remove(key);
        for row in report["campaigns"].as_array_mut().unwrap() {
            row.as_object_mut().unwrap().remove(key);
        }
    }
}
