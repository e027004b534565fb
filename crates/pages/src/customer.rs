//! The page of a customer, the form that forgets them, and what became of that.

use revtrail_web::access::ADMIN;
use revtrail_web::api::Method;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde_json::Value;

use crate::answer;
use crate::asked::{Api, CUSTOMER, Doing, ERASURE};
use crate::campaigns::channel_name;
use crate::field::Kind;
use crate::form::{self, Form, Input, Sent, Tried};
use crate::frame::Frame;
use crate::lists::{amount, credited, items, knows_tables};
use crate::sheet::{Cell, Head, Sheet, Table, said, text};

const ERASE: &str = "erase";
/// The field into which the id is typed once more.
const TYPED: &str = "typed";

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    show(&api, &call, None).await
}

async fn show(api: &Api, call: &Call, tried: Option<&Tried>) -> Result<Response, Problem> {
    knows_tables(call, &["id"])?;
    let frame = Frame::of(api, call, "Customer", "/customer").await?;
    let id = frame.address.get("id").unwrap_or_default().to_owned();
    let about = (Some(&frame.marketplace), &[("id", id.as_str())][..]);
    let card: Value = api.says(call, CUSTOMER, about, &[]).await?;
    let mut sheet = Sheet::new(frame, format!("Customer {id}"));
    let frame = &sheet.frame;
    let known = ["first_name", "last_name", "email", "phone"].map(|field| text(&card, field));
    let known: Vec<String> = known.into_iter().filter(|text| !text.is_empty()).collect();
    sheet.tables = vec![history(frame, &card), offers(frame, &card)];
    if ADMIN.allows(frame.who) {
        sheet.closing.push(erase(frame).after(tried));
    }
    sheet.sub.push(known.join(" · "));
    sheet.answer(call, form::status(tried))
}

/// Everything that is known of a customer, newest first.
fn history(frame: &Frame, card: &Value) -> Table {
    let orders = items(card, "orders").map(|order| {
        let cells = [
            Cell::Text("order".to_owned()),
            frame.link("/order", order, "order_id", "order_id"),
            said(order, "status"),
            amount(frame, order, "total"),
            credited(frame, order),
        ];
        (order, "placed_at", cells)
    });
    let messages = items(card, "messages").map(|message| {
        let events = items(message, "events").map(|event| {
            let by = if event["machine"] == true {
                " by a machine"
            } else {
                ""
            };
            format!("{}{by}", text(event, "kind"))
        });
        let to = if message["by_address"] == true {
            " to an address of an order"
        } else {
            ""
        };
        let cells = [
            Cell::Text(format!("{}{to}", channel_name(&text(message, "channel")))),
            frame.link("/campaign", message, "campaign_id", "campaign_id"),
            Cell::Text(events.collect::<Vec<_>>().join(", ")),
            Cell::Nothing,
            Cell::Nothing,
        ];
        (message, "first_event_at", cells)
    });
    let redemptions = items(card, "redemptions").map(|one| {
        let cells = [
            Cell::Text("redemption".to_owned()),
            frame.link("/promotion", one, "promotion_id", "promotion_id"),
            said(one, "result"),
            amount(frame, one, "reward_amount"),
            said(one, "voucher_code"),
        ];
        (one, "redeemed_at", cells)
    });
    let mut all: Vec<_> = orders.chain(messages).chain(redemptions).collect();
    all.sort_by_key(|(of, at, _)| std::cmp::Reverse(text(of, at)));
    let row = |(of, at, cells): (&Value, &str, [Cell; 5])| {
        std::iter::once(frame.time_in(of, at))
            .chain(cells)
            .collect()
    };
    let heads = vec![
        Head::text("When"),
        Head::text("What"),
        Head::text("Which"),
        Head::text("Became of it"),
        Head::number("Amount"),
        Head::text("Earned by, or code"),
    ];
    let heading = "Messages, orders and redemptions, newest first";
    Table {
        rows: all.into_iter().map(row).collect(),
        ..Table::new(
            "history",
            heading,
            heads,
            "Nothing is known of this customer.",
        )
    }
}

/// What was offered to a customer, and whether it was used.
fn offers(frame: &Frame, card: &Value) -> Table {
    let row = |one: &Value| {
        let used = match (one["redeemed"] == true, one["result"] == "failure") {
            (true, _) => "used",
            (_, true) => "not given: it failed",
            _ => "held, not used",
        };
        vec![
            frame.link("/promotion", one, "promotion_id", "promotion_id"),
            frame.time_in(one, "assigned_at"),
            Cell::Text(used.to_owned()),
            said(one, "voucher_code"),
            said(one, "tier_id"),
            said(one, "segment"),
        ]
    };
    let heads = [
        "Promotion",
        "Offered",
        "Used or not",
        "Code",
        "Tier",
        "Segment",
    ];
    Table {
        rows: items(card, "offers").map(row).collect(),
        ..Table::new(
            "offers",
            "Offers, newest first",
            heads.map(Head::text).into(),
            "Nothing was offered to this customer.",
        )
    }
}

fn erase(frame: &Frame) -> Form {
    let input = Input::new(TYPED, "Type the id of the customer", Kind::Text)
        .hint("to show that you mean this one")
        .needed();
    Form {
        inputs: vec![input],
        button: "Erase for good",
        ..Form::new(ERASE, "Erase this customer", frame.address.href())
    }
    .about("Everything that names the customer goes: facts, orders' names and addresses, segments and the rejects of files. Every figure stays. This cannot be undone.")
}

/// Erases a customer whose id was typed once more.
pub(crate) async fn sent(api: Api, call: Call) -> Result<Response, Problem> {
    let sent = Sent::of(&call)?;
    let id = call.query().text("id").unwrap_or_default().to_owned();
    if sent.text(TYPED).trim() != id {
        let says =
            "this is not the id of the customer: type it as it stands at the head of the page";
        let tried = Tried::refused(sent, form::wrong(TYPED, says))?;
        return show(&api, &call, Some(&tried)).await;
    }
    let marketplace = call.marketplace()?.clone();
    let about = (Some(&marketplace), &[("id", id.as_str())][..]);
    let route = (&Method::DELETE, CUSTOMER);
    let begun = api
        .does(&call, route, about, Doing::json(&Value::Null))
        .await?;
    let erasure = text(&begun, "erasure_id");
    Ok(answer::see(&format!(
        "/app/{marketplace}/erasure?id={erasure}"
    )))
}

/// How far an erasure is.
pub(crate) async fn erasure(api: Api, call: Call) -> Result<Response, Problem> {
    knows_tables(&call, &["id"])?;
    let frame = Frame::of(&api, &call, "Erasure", "/erasure").await?;
    let id = frame.address.get("id").unwrap_or_default();
    let about = (Some(&frame.marketplace), &[("id", id)][..]);
    let told: Value = api.says(&call, ERASURE, about, &[]).await?;
    let mut sheet = Sheet::new(frame, "Erasure of a customer");
    let frame = &sheet.frame;
    let heads = vec![
        Head::text("Asked for"),
        Head::text("By"),
        Head::text("State"),
        Head::number("Facts erased"),
    ];
    let row = vec![
        frame.time_in(&told, "at"),
        said(&told, "by"),
        said(&told, "state"),
        frame.counted(&told, "facts"),
    ];
    sheet.is_moving = told["state"] == "running";
    sheet.tables.push(Table {
        rows: vec![row],
        ..Table::new("erasure", "How far it is", heads, "")
    });
    sheet.notes.push("The figures of all reports stay as they are. A fact of the same id that comes later is a new customer's.".to_owned());
    sheet.answer(&call, StatusCode::OK)
}
