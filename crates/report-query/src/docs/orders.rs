//! What the routes of orders, of their sums, and of customers are, for their readers.

use revtrail_core::attribution::decide::{CandidateOutcome, NotCounted};
use revtrail_store::jobs::parked::ParkedFor;
use revtrail_web::openapi::Doc;
use revtrail_web::openapi::schema::{
    Field, amount, channel, count, currency, event_kind, field, flag, free_text, id, instant, list,
    map_of, named, next_cursor, nullable, object, one_of, sometimes, status, sums, text, words,
};
use serde_json::Value;

use super::{freshness, period_parameters, with_revenue};

pub(super) fn operations() -> Vec<(&'static str, Doc)> {
    let lanes = "Adds, of each candidate, its events, its window, and when it was superseded.";
    let orders = object([
        field("orders", list(named("Order"))),
        field("period", named("Period")),
        next_cursor(),
    ]);
    vec![
        (
            "GET M/reports/orders",
            Doc::new("getOrdersReport", "Reports", "Reports orders by status")
                .queries(period_parameters())
                .query(with_revenue())
                .answer(200, "The report.", by_status())
                .csv(),
        ),
        (
            "GET M/reports/reconciliation",
            Doc::new(
                "getReconciliation",
                "Reports",
                "Tells where every record went",
            )
            .queries(period_parameters())
            .answer(
                200,
                "The reconciliation; without a period, of all visible days.",
                reconciliation(),
            )
            .csv(),
        ),
        (
            "GET M/orders",
            Doc::new("listOrders", "Orders", "Lists orders")
                .queries(period_parameters())
                .query(sometimes("status", status()).says("Only orders of this status."))
                .query(sometimes("customer_id", id()).says("Only orders of this customer."))
                .query(with_revenue())
                .answer(200, "The orders, newest first.", orders)
                .csv()
                .link("getOrder", "id", "/orders/0/order_id")
                .link("explainOrder", "id", "/orders/0/order_id"),
        ),
        (
            "GET M/orders/{id}",
            Doc::new("getOrder", "Orders", "Shows an order")
                .answer(200, "The current copy, and who earned it.", named("Order"))
                .conflicts("timeline_too_large"),
        ),
        (
            "GET M/orders/{id}/attribution",
            Doc::new(
                "explainOrder",
                "Orders",
                "Explains why an order was credited as it was",
            )
            .query(sometimes("lanes", flag()).says(lanes))
            .answer(
                200,
                "The decision, with every candidate.",
                named("OrderAttribution"),
            )
            .conflicts("timeline_too_large"),
        ),
        (
            "GET M/customers/{id}",
            Doc::new(
                "getCustomer",
                "Orders",
                "Shows what a customer got, bought and redeemed",
            )
            .answer(200, "The customer.", customer())
            .conflicts("timeline_too_large"),
        ),
    ]
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("Credit", credit()),
        ("Order", order()),
        ("Attribution", object(attribution())),
        ("OrderAttribution", order_attribution()),
    ]
}

fn credit() -> Value {
    object([
        field("campaign_id", id()),
        field("channel", channel()),
        field("message_id", nullable(id())),
        field("touch_kind", event_kind()),
        field("touch_at", instant()),
        field("sent_at", instant()),
    ])
}

fn order() -> Value {
    let item = object([
        sometimes("id", text()),
        sometimes("name", text()),
        sometimes("quantity", free_text()),
        sometimes("cost", text()),
    ]);
    object([
        field("order_id", id()),
        field("customer_id", id()),
        field("status", status()),
        field("total", amount()),
        field("currency", currency()),
        field("placed_at", instant()),
        field("updated_at", nullable(instant())),
        field("refunded_total", amount()),
        field("source", nullable(text())),
        field("coupon_codes", list(text())),
        field("items", list(item)),
        field("credited_to", nullable(named("Credit"))).says("null where nobody earned it."),
        field("counted", flag()).says("Whether the order enters revenue."),
        field(
            "not_counted",
            nullable(words([
                NotCounted::Status,
                NotCounted::Currency,
                NotCounted::Refunded,
            ])),
        )
        .says("Why it does not."),
        sometimes("email", nullable(text())).says("Not shown to analysts, as the fields below."),
        sometimes("phone", nullable(text())),
        sometimes("first_name", nullable(text())),
        sometimes("last_name", nullable(text())),
    ])
}

fn attribution() -> [Field; 13] {
    let candidate = object([
        field("campaign_id", id()),
        field("channel", channel()),
        field("message_id", nullable(id())),
        field("sent_at", instant()),
        field("touch_kind", nullable(event_kind())),
        field("touch_at", nullable(instant())),
        field("outcome", words(CandidateOutcome::ALL)).says("What became of it at the gates."),
        field("superseded_by", nullable(id())),
        field("by_address", flag())
            .says("Whether the message went to an address of the order, and not to its customer."),
    ]);
    [
        field("order_id", id()),
        field("customer_id", id()),
        field("placed_at", instant()),
        field("status", status()),
        field("amount", amount()),
        field("currency", currency()),
        field("counted", flag()),
        field("reason", nullable(text())).says("Why it does not count, else why nobody earned it."),
        field("credited_to", nullable(named("Credit"))),
        field("candidates", list(candidate))
            .says("The best first, then those that a gate stopped; at most 1,000."),
        field("candidates_total", count()),
        field("sale_formula", text()),
        field("settings_version", nullable(count()))
            .says("The version that decides; null in a what-if."),
    ]
}

fn order_attribution() -> Value {
    let event = object([
        field("kind", event_kind()),
        field("at", instant()),
        field("machine", flag()),
    ]);
    let lane = object([
        field("events", list(event)),
        field("window_from", nullable(instant())),
        field("window_to", nullable(instant())),
        field("superseded_at", nullable(instant())),
    ]);
    let own = [
        field("decided", one_of(["run", "pending"])).says("`run`: the last run stored the same."),
        sometimes("names", map_of(text())).says("With `lanes`: the names of the campaigns, by id."),
        sometimes("lanes", list(lane)).says("With `lanes`: one a candidate, in their order."),
    ];
    object(attribution().into_iter().chain(own))
}

fn customer() -> Value {
    let event = object([
        field("kind", event_kind()),
        field("occurred_at", instant()),
        field("url", nullable(text())),
        field("machine", flag()),
    ]);
    let message = object([
        field("campaign_id", id()),
        field("channel", channel()),
        field("message_id", nullable(id())),
        field("by_address", flag()).says("Whether it went to an address of the customer's orders."),
        field("first_event_at", nullable(instant())),
        field("events", list(event)),
    ]);
    let offer = object([
        field("promotion_id", id()),
        field("assignment_id", id()),
        field("assigned_at", instant()),
        field("tier_id", nullable(id())),
        field("segment", nullable(text())),
        field("voucher_code", nullable(id())),
        field("result", one_of(["success", "failure"])),
        field("redeemed", flag()).says("Whether it was redeemed, and that was not rolled back."),
    ]);
    object([
        field("customer_id", id()),
        field("email", nullable(text())).says("As the latest order says, like the fields below."),
        field("phone", nullable(text())),
        field("first_name", nullable(text())),
        field("last_name", nullable(text())),
        field("orders", list(named("Order"))),
        field("messages", list(message)).says("Newest first."),
        field("offers", list(offer)).says("What was offered, newest first."),
        field("redemptions", list(named("Redemption"))),
    ])
}

fn by_status() -> Value {
    let sum = || [field("orders", count()), field("amount", sums())];
    let row = object([field("status", status())].into_iter().chain(sum()));
    let own = [
        field("statuses", list(row)),
        field("total", object(sum())).says("Of the statuses that the orders page adds up."),
        field("cancelled", object(sum())),
    ];
    object(own.into_iter().chain(freshness()))
}

fn reconciliation() -> Value {
    let counts = |names: &[&'static str]| object(names.iter().map(|name| field(name, count())));
    let orders = [
        "received",
        "duplicates",
        "older_copies",
        "rejected",
        "stored",
        "arrived",
        "counted",
        "credited",
        "uncredited",
        "other_status",
        "other_currency",
        "refunded",
    ];
    let redemptions = [
        "received",
        "duplicates",
        "matched",
        "quarantined",
        "rejected",
    ];
    let parked = object([
        field("customer_id", nullable(id())).says("null where an address is parked."),
        field("address", nullable(text())).says("The hash of the address, where one is parked."),
        field("at", instant()),
        field(
            "reason",
            words([ParkedFor::TimelineTooLarge, ParkedFor::NotStorable]),
        ),
    ]);
    let own = [
        field("orders", counts(&orders)),
        field(
            "events",
            counts(&[
                "received",
                "stored",
                "duplicates",
                "rejected",
                "by_address",
                "by_address_named",
                "by_address_unnamed",
            ]),
        )
        .says("`by_address`: events of the period that went to an address; `by_address_named`: those of them whose address some order names; `by_address_unnamed`: the others."),
        field("redemptions", counts(&redemptions)),
        field("ignored", map_of(map_of(count())))
            .says("What senders of webhooks posted that means nothing here: by sender, and by the sender's word."),
        field("rejections", map_of(map_of(count())))
            .says("How many records were rejected: `orders`, `events` and `redemptions`, by code."),
        field("parked", list(parked))
            .says("Customers and addresses whose last figures stay; at most 1,000."),
        field("parked_total", count()).says("How many these are."),
    ];
    object(own.into_iter().chain(freshness()))
}
