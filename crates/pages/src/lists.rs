//! The pages of orders and of where every record went, and what pages of lists share.

use http::StatusCode;
use revtrail_core::attribution::order::Status;
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde_json::Value;

use crate::address::KEPT;
use crate::asked::{Api, BATCHES, ORDERS, ORDERS_REPORT, QUARANTINE, RECONCILIATION, SENDERS};
use crate::frame::{Field, Filters, Frame, Freshness, Period};
use crate::sheet::{Cell, Head, Sheet, Table, Tile, said, text};
use crate::table_file::EXPORT;

fn read<T: serde::de::DeserializeOwned>(told: &Value) -> Result<T, Problem> {
    serde_json::from_value(told.clone()).map_err(|error| Problem::internal(&error))
}

/// The items of a list.
pub(crate) fn items<'v>(told: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    told[field].as_array().into_iter().flatten()
}

/// Refuses parameters that a page does not know; those that are kept from page to page, every page knows.
pub(crate) fn knows(call: &Call, known: &[&str]) -> Result<(), Problem> {
    let mut query = call.query();
    for name in KEPT.iter().chain(known) {
        query.text(name);
    }
    query.done()
}

/// The same for a page whose tables can be had as CSV.
pub(crate) fn knows_tables(call: &Call, known: &[&str]) -> Result<(), Problem> {
    knows(call, &[known, &[EXPORT]].concat())
}

pub(crate) fn credited(frame: &Frame, order: &Value) -> Cell {
    let credit = &order["credited_to"];
    match credit.is_null() {
        true => Cell::Text("nobody".to_owned()),
        false => frame.link("/campaign", credit, "campaign_id", "campaign_id"),
    }
}

pub(crate) fn amount(frame: &Frame, order: &Value, field: &str) -> Cell {
    Cell::Figures(vec![
        frame
            .numbers
            .exact(&text(order, field), &text(order, "currency")),
    ])
}

fn order_row(frame: &Frame, order: &Value) -> Vec<Cell> {
    let counted = match order["not_counted"].as_str() {
        None => "counted",
        Some("status") => "not counted: its status",
        Some("currency") => "not counted: its currency",
        Some("refunded") => "not counted: refunded",
        Some(_) => "not counted",
    };
    vec![
        frame.link("/order", order, "order_id", "order_id"),
        frame.time_in(order, "placed_at"),
        said(order, "status"),
        customer(frame, order),
        amount(frame, order, "total"),
        amount(frame, order, "refunded_total"),
        Cell::Text(counted.to_owned()),
        credited(frame, order),
    ]
}

/// The customer of an entry, with a link for those who may see who somebody is.
pub(crate) fn customer(frame: &Frame, told: &Value) -> Cell {
    match frame.may_export {
        true => frame.link("/customer", told, "customer_id", "customer_id"),
        false => said(told, "customer_id"),
    }
}

fn order_heads() -> Vec<Head> {
    let [total, refunded] = ["Total", "Refunded"].map(Head::number);
    let [order, placed, status, by] = ["Order", "Placed", "Status", "Customer"].map(Head::text);
    vec![
        order,
        placed,
        status,
        by,
        total,
        refunded,
        Head::text("Reports"),
        Head::text("Earned by"),
    ]
}

/// What a status means for a person.
fn about(status: &str) -> &'static str {
    match status {
        "ABANDONED_SHOPPING_CART" => "left before it was paid",
        "PENDING" => "waits for the shop or the payment",
        "INITIALIZED" => "was begun",
        "IN_PROGRESS" | "PREPARING" => "is being prepared",
        "READY" => "waits to be handed over",
        "COMPLETE" | "DELIVERED" => "reached the customer",
        "REJECTED" => "the shop said no",
        "REFUNDED" => "the money went back",
        _ => "",
    }
}

pub(crate) async fn orders(api: Api, call: Call) -> Result<Response, Problem> {
    knows_tables(&call, &["status", "customer_id", "cursor", "limit"])?;
    let frame = Frame::of(&api, &call, "Orders", "/orders").await?;
    let about_m = (Some(&frame.marketplace), &[][..]);
    let report: Value = api
        .says(
            &call,
            ORDERS_REPORT,
            about_m,
            &frame.address.only(&["from", "to"]),
        )
        .await?;
    let query = frame
        .address
        .only(&["from", "to", "status", "customer_id", "cursor", "limit"]);
    let list: Value = api.says(&call, ORDERS, about_m, &query).await?;
    let mut sheet = Sheet::new(frame, "Orders");
    let frame = &sheet.frame;
    sheet.fresh = read::<Freshness>(&report)?.sentence(frame);
    let filters = Filters::new(frame, &read::<Period>(&report["period"])?).of_all_channels();
    let tile = |label: &str, about: &str, told: &Value| {
        let mut figures = vec![frame.count_in(told, "orders")];
        figures.extend(frame.sums_in(&told["amount"]));
        Tile {
            label: label.to_owned(),
            about: about.to_owned(),
            figures,
            href: String::new(),
        }
    };
    let mut tiles = vec![tile(
        "Total",
        "of the six statuses from initialized to complete",
        &report["total"],
    )];
    tiles.push(tile(
        "Cancelled",
        "apart: not in the total",
        &report["cancelled"],
    ));
    let statuses = items(&report, "statuses").filter(|one| one["status"] != "CANCELLED");
    tiles.extend(statuses.map(|one| tile(&text(one, "status"), about(&text(one, "status")), one)));
    let rows = items(&list, "orders")
        .map(|order| order_row(frame, order))
        .collect();
    let nothing =
        "No order of these days fits. Orders are listed from the moment they are accepted.";
    let mut table = Table {
        rows,
        fill: Some((
            "orders",
            format!(
                r#"{{"order_id":"o-1","customer_id":"c-1","status":"COMPLETE","total":"100.00","currency":"EUR","placed_at":"{}"}}"#,
                frame.now
            ),
        )),
        ..Table::new("orders", "Newest first", order_heads(), nothing).paged(frame, &list)
    };
    let status = |name: &str| (name.to_owned(), name.to_lowercase().replace('_', " "));
    let field = |name, label, choices| Field {
        name,
        label,
        value: frame.address.get(name).unwrap_or_default().to_owned(),
        choices,
    };
    let mut csv = frame.to("/orders.csv").with("channel", "");
    for name in ["status", "customer_id"] {
        csv = csv.with(name, frame.address.get(name).unwrap_or_default());
    }
    table.export = frame.may_export.then(|| csv.with("revenue", "true").href());
    let statuses = Status::ALL.iter().map(|one| status(one.name())).collect();
    let fields = vec![
        field("customer_id", "Customer", Vec::new()),
        field("status", "Status", statuses),
    ];
    (sheet.filters, sheet.tiles, sheet.fields) = (Some(filters), tiles, fields);
    sheet.tables.push(table);
    sheet.notes.push("Figures at the head are those of the last run, in all currencies; the list is as of now. Each order says why it was credited as it was.".to_owned());
    sheet.answer(&call, StatusCode::OK)
}

/// A sum and its parts, as the page of reconciliation shows them.
type Sum = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

/// What must add up: a heading, the part of the report, the whole, and its parts.
const SUMS: [Sum; 5] = [
    (
        "Orders that came in",
        "orders",
        "received",
        &["stored", "duplicates", "older_copies", "rejected"],
    ),
    (
        "Orders that are stored",
        "orders",
        "stored",
        &["counted", "other_status", "other_currency", "refunded"],
    ),
    (
        "Orders that count",
        "orders",
        "counted",
        &["credited", "uncredited"],
    ),
    (
        "Events that came in",
        "events",
        "received",
        &["stored", "duplicates", "rejected"],
    ),
    (
        "Redemptions that came in",
        "redemptions",
        "received",
        &["matched", "duplicates", "quarantined", "rejected"],
    ),
];

pub(crate) async fn reconciliation(api: Api, call: Call) -> Result<Response, Problem> {
    knows_tables(&call, &[])?;
    let frame = Frame::of(&api, &call, "Reconciliation", "/reconciliation").await?;
    let report: Value = api
        .says(
            &call,
            RECONCILIATION,
            (Some(&frame.marketplace), &[]),
            &frame.address.only(&["from", "to"]),
        )
        .await?;
    let mut sheet = Sheet::new(frame, "Reconciliation");
    let frame = &sheet.frame;
    sheet.fresh = read::<Freshness>(&report)?.sentence(frame);
    let filters = Filters::new(frame, &read::<Period>(&report["period"])?);
    sheet.filters = Some(filters.of_all_channels());
    let mut tables = Vec::new();
    for (place, (heading, of, whole, parts)) in SUMS.iter().enumerate() {
        // By day of arrival, what was stored is what arrived; by day of the order, what is stored.
        let of = &report[*of];
        let told = |name: &str| match (place, name) {
            (0, "stored") => of["arrived"].as_i64(),
            _ => of[name].as_i64(),
        };
        let sum: i64 = parts.iter().filter_map(|part| told(part)).sum();
        let all = told(whole).unwrap_or(0);
        let row = |name: &str, n: Option<i64>| {
            let share = n.and_then(|n| revtrail_core::value::money::rate(n, all));
            let figure = n.map_or(Cell::Nothing, |n| {
                Cell::Figures(vec![frame.numbers.count(n)])
            });
            vec![
                Cell::Text(name.replace('_', " ")),
                figure,
                frame.part(share.as_deref()),
            ]
        };
        let mut rows: Vec<Vec<Cell>> = parts.iter().map(|part| row(part, told(part))).collect();
        rows.push(row(whole, Some(all)));
        let ends = match sum == all {
            true => "✓ it adds up".to_owned(),
            false => format!("✗ differs by {}", frame.numbers.count(all - sum).text()),
        };
        let ids = ["received", "stored", "counted", "events", "redemptions"];
        let heads = vec![
            Head::text("Part"),
            Head::number("Records"),
            Head::number("Share"),
        ];
        tables.push(Table {
            rows,
            is_wrong: sum != all,
            ..Table::new(ids[place], format!("{heading}: {ends}"), heads, "")
        });
    }
    tables.push(by_address(frame, &report["events"]));
    let parked = |one: &Value| {
        let who = match one["address"].is_null() {
            true => customer(frame, one),
            false => Cell::Text(format!("the address {}", text(one, "address"))),
        };
        vec![who, Cell::Text(text(one, "reason").replace('_', " "))]
    };
    let rows = items(&report, "parked").map(parked).collect();
    let heads = vec![Head::text("Customer"), Head::text("Why")];
    let nothing = "Nobody is parked: every customer's facts can be read and folded.";
    tables.push(Table {
        rows,
        ..Table::new("parked", "Parked customers", heads, nothing)
    });
    tables.push(rejections(frame, &report["rejections"]));
    tables.push(ignored(frame, &report["ignored"]));
    tables.push(failed(&api, &call, frame).await?);
    let waiting: Value = api
        .says(
            &call,
            QUARANTINE,
            (Some(&frame.marketplace), &[]),
            &[("limit", "20")],
        )
        .await?;
    tables.push(quarantine(frame, &waiting));
    sheet.tables = tables;
    sheet.answer(&call, StatusCode::OK)
}

/// How many files are looked at for one that failed, the newest first.
const FILES_LOOKED_AT: &str = "50";

/// What failed as a whole, and is in no sum: files that could not be read, and senders whose last post was refused.
async fn failed(api: &Api, call: &Call, frame: &Frame) -> Result<Table, Problem> {
    let about = (Some(&frame.marketplace), &[][..]);
    let mut rows = Vec::new();
    if api.tells(frame.who, BATCHES) {
        let files: Value = api
            .says(call, BATCHES, about, &[("limit", FILES_LOOKED_AT)])
            .await?;
        let failed = items(&files, "batches").filter(|file| file["state"] == "failed");
        rows.extend(failed.map(|file| {
            let at = frame.time_in(file, "finished_at");
            let name = frame.link("/batches", file, "batch_id", "file");
            vec![name, at, said(file, "detail")]
        }));
    }
    if api.tells(frame.who, SENDERS) {
        let told: Value = api.says(call, SENDERS, about, &[]).await?;
        let refused = items(&told, "senders").filter(|one| !one["refused"].is_null());
        rows.extend(refused.map(|one| {
            let sender = text(one, "sender");
            let href = frame.to("/senders").with("sender", &sender).href();
            let why = format!("its last post was refused: {}", text(one, "refused"));
            let name = Cell::Link { href, text: sender };
            let why = Cell::Text(why.replace('_', " "));
            vec![name, frame.time_in(one, "at"), why]
        }));
    }
    let heads = ["File or sender", "When", "Why"].map(Head::text).into();
    let nothing = "No file failed of late, and the last post of every sender was taken.";
    Ok(Table {
        is_wrong: !rows.is_empty(),
        rows,
        ..Table::new("failed", "What failed as a whole", heads, nothing)
    })
}

/// The events that went to an e-mail address or a phone number.
fn by_address(frame: &Frame, events: &Value) -> Table {
    let parts = [
        (
            "to an address that some order names: it can earn that order",
            "by_address_named",
        ),
        ("to an address that no order names", "by_address_unnamed"),
        ("to an address", "by_address"),
    ];
    let all = events["by_address"].as_i64().unwrap_or(0);
    let row = |(words, field): (&str, &str)| {
        let n = events[field].as_i64().unwrap_or(0);
        let share = revtrail_core::value::money::rate(n, all);
        vec![
            Cell::Text(words.to_owned()),
            frame.counted(events, field),
            frame.part(share.as_deref()),
        ]
    };
    let heads = vec![
        Head::text("Went"),
        Head::number("Events"),
        Head::number("Share"),
    ];
    let nothing = "No event went to an e-mail address or a phone number: each names a customer.";
    Table {
        rows: parts.map(row).into_iter().filter(|_| all > 0).collect(),
        ..Table::new(
            "addresses",
            "Events by address, by day of the event",
            heads,
            nothing,
        )
    }
}

/// The records of promotions that wait.
pub(crate) fn quarantine(frame: &Frame, waiting: &Value) -> Table {
    let row = |one: &Value| {
        let reason = Cell::Text(text(one, "reason").replace('_', " "));
        let [promotion, kind, id, customer] =
            ["promotion_id", "kind", "id", "customer_id"].map(|field| said(one, field));
        let at = frame.time_in(one, "arrived_at");
        vec![promotion, kind, id, customer, at, reason]
    };
    let heads = [
        "Promotion",
        "Kind",
        "Id",
        "Customer",
        "Came",
        "Why it waits",
    ];
    let nothing = "Nothing waits. Records of a promotion that is not there yet would wait here until it is made.";
    Table {
        rows: items(waiting, "items").map(row).collect(),
        ..Table::new(
            "quarantine",
            "In quarantine, up to 20",
            heads.map(Head::text).into(),
            nothing,
        )
    }
}

/// The records that were rejected, by code.
fn rejections(frame: &Frame, told: &Value) -> Table {
    let of = told.as_object().into_iter().flatten();
    let rows = of.flat_map(|(of, codes)| {
        let codes = codes.as_object().into_iter().flatten();
        codes.map(move |(code, _)| {
            vec![
                Cell::Text(of.clone()),
                Cell::Text(code.replace('_', " ")),
                frame.counted(&told[of], code),
            ]
        })
    });
    let heads = vec![
        Head::text("Records"),
        Head::text("Code"),
        Head::number("Rejected"),
    ];
    Table {
        rows: rows.collect(),
        ..Table::new(
            "rejections",
            "Rejected records, by code",
            heads,
            "No record was rejected in these days.",
        )
    }
}

/// What senders of webhooks posted that means nothing here. A new word in it says that a sender changed.
fn ignored(frame: &Frame, told: &Value) -> Table {
    let senders = told.as_object().into_iter().flatten();
    let words = senders.flat_map(|(sender, words)| {
        let words = words.as_object().into_iter().flatten();
        words.map(move |(word, n)| (sender, word, n))
    });
    let row = |(sender, word, n): (&String, &String, &Value)| {
        vec![
            Cell::Link {
                href: frame.to("/senders").with("sender", sender).href(),
                text: sender.clone(),
            },
            Cell::Text(word.clone()),
            Cell::Figures(vec![frame.numbers.count(n.as_i64().unwrap_or(0))]),
        ]
    };
    let heads = vec![
        Head::text("Sender"),
        Head::text("What it said"),
        Head::number("Times"),
    ];
    let nothing = "Everything that senders of webhooks posted means something here.";
    Table {
        rows: words.map(row).collect(),
        ..Table::new(
            "ignored",
            "Posts of senders that mean nothing here",
            heads,
            nothing,
        )
    }
}
