//! What the rows of an export look like, where they are not the records themselves.

use revtrail_core::attribution::event::{Channel, EventKind};
use revtrail_core::attribution::explain::reason;
use revtrail_core::attribution::order::Order;
use revtrail_core::figures::fold::OrderLine;
use revtrail_core::value::id::{CampaignId, CustomerId, MessageId, OrderId};
use revtrail_core::value::money::Currency;
use revtrail_core::value::time::Instant;
use revtrail_store::StoreError;
use serde::Serialize;
use serde_json::{Value, json};

/// An order as the last run decided it, with the fields of `credits.csv`. Amount and currency are left out where revenue is hidden.
#[derive(Debug, Serialize)]
pub(super) struct CreditRow<'r> {
    order_id: &'r OrderId,
    customer_id: &'r CustomerId,
    campaign_id: Option<&'r CampaignId>,
    channel: Option<Channel>,
    message_id: Option<&'r MessageId>,
    touch_kind: Option<EventKind>,
    touch_at: Option<Instant>,
    sent_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<Currency>,
    counted: bool,
    reason: Option<&'static str>,
}

impl<'r> CreditRow<'r> {
    /// `linked`: whether the settings that decide the order connect orders with messages at all.
    pub(super) fn new(
        customer: &'r CustomerId,
        line: &'r OrderLine,
        linked: bool,
        shows_revenue: bool,
    ) -> Self {
        let figures = &line.figures;
        let credit = figures.credit.as_ref();
        let money = shows_revenue.then_some(figures.currency);
        Self {
            order_id: &line.order_id,
            customer_id: customer,
            campaign_id: credit.map(|credit| &credit.campaign_id),
            channel: credit.map(|credit| credit.channel),
            message_id: credit.and_then(|credit| credit.message_id.as_ref()),
            touch_kind: credit.map(|credit| credit.touch_kind),
            touch_at: credit.map(|credit| credit.touch_at),
            sent_at: credit.map(|credit| credit.sent_at),
            amount: money.map(|currency| figures.amount.in_currency(currency)),
            currency: money,
            counted: figures.not_counted.is_none(),
            reason: reason(figures.not_counted, credit.is_some(), linked),
        }
    }
}

/// The standing copy of an order, with its amounts as they are printed everywhere.
pub(super) fn order_row(order: &Order) -> Result<Value, StoreError> {
    let mut row = serde_json::to_value(Order {
        // They are no part of what was sent.
        erased_addresses: Vec::new(),
        ..order.clone()
    })?;
    for (name, amount) in [
        ("total", order.total),
        ("refunded_total", order.refunded_total),
    ] {
        row[name] = json!(amount.in_currency(order.currency));
    }
    Ok(row)
}
