//! What the routes of this function are, for their readers.

use revtrail_core::record::FREE_ITEMS_MAX;
use revtrail_web::openapi::schema::{
    amount_given, currency, field, free_text_given, id, instant_given, lenient, like, list, named,
    object, optional, status,
};
use revtrail_web::openapi::{Doc, Docs};
use serde_json::{Value, json};

/// What is said of the routes.
pub fn docs() -> Docs {
    let orders = Doc::new("postOrders", "Facts", "Takes in orders, and later copies of them")
        .says("Of several copies the one with the latest `updated_at` is current. `placed_at` and `currency` of an order never change.")
        .records(named("OrderInput"))
        .intake();
    Docs {
        operations: senders().chain([("POST M/orders", orders)]).collect(),
        schemas: vec![("OrderInput", order())],
    }
}

/// What the routes of shops are.
fn senders() -> impl Iterator<Item = (&'static str, Doc)> {
    let posts = [
        (
            "POST M/webhooks/shopify",
            "postShopify",
            "Takes in what Shopify posts",
        ),
        (
            "POST M/webhooks/woocommerce",
            "postWooCommerce",
            "Takes in what WooCommerce posts",
        ),
        (
            "POST M/compat/yespo/orders",
            "postYespoOrders",
            "Takes in orders as Yespo does",
        ),
        (
            "POST M/compat/yespo/event",
            "postYespoEvent",
            "Takes in events as Yespo does",
        ),
    ];
    let probes = [
        ("GET M/webhooks/shopify", "probeShopify"),
        ("GET M/webhooks/woocommerce", "probeWooCommerce"),
    ];
    let post = |(of, id, summary)| (of, Doc::new(id, "Facts", summary).post_of_sender());
    let probe = |(of, id)| {
        let doc = Doc::new(id, "Facts", "Answers a shop that probes the address");
        (of, doc.empty(204, "The address is there."))
    };
    posts
        .into_iter()
        .map(post)
        .chain(probes.into_iter().map(probe))
}

fn order() -> Value {
    let item = object([
        optional("id", free_text_given()),
        optional("name", free_text_given()),
        optional("quantity", free_text_given()),
        optional("cost", free_text_given()),
    ]);
    // A status is understood in any case, which no pattern says in a way that people can read.
    let mut status = like(status(), "COMPLETE");
    status["x-any-case"] = json!(true);
    let cut = format!("For people. At most {FREE_ITEMS_MAX} are kept.");
    object([
        field("order_id", like(id(), "o-1")),
        field("customer_id", like(id(), "c-1")),
        field("status", status).says("In upper or lower case."),
        field("total", amount_given()).says("What the order costs."),
        field("currency", currency()).says("It never changes."),
        field("placed_at", instant_given()).says("It never changes."),
        optional("updated_at", instant_given())
            .says("When this copy was true; the latest copy is current."),
        optional("refunded_total", amount_given()).says("What was paid back until then."),
        optional("source", free_text_given()).says("Where the order was placed; for people."),
        optional("coupon_codes", lenient(list(free_text_given()))).says(&cut),
        optional("items", lenient(list(item))).says(&cut),
        optional("email", free_text_given()).says("Not shown to analysts, as the fields below."),
        optional("phone", free_text_given()),
        optional("first_name", free_text_given()),
        optional("last_name", free_text_given()),
    ])
}
