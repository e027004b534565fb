//! The pages of segments: all of them, the customers of one, and the forms that save and delete them.

use revtrail_web::api::Method;
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde_json::{Value, json};

use crate::answer;
use crate::asked::{Api, CAMPAIGNS, Doing, SEGMENT, SEGMENTS};
use crate::field::Kind;
use crate::form::{self, Form, Input, ONCE, Sent, Tried};
use crate::frame::{Filters, Frame, Period};
use crate::lists::{customer, items, knows_tables};
use crate::runs::IDEMPOTENCY_KEY;
use crate::sheet::{Cell, Head, Sheet, Table, said, text};

const SAVE: &str = "segment";
const DELETE: &str = "delete";
/// The box that says that one means it.
const SURE: &str = "sure";
/// How many campaigns the form offers.
const OFFERED: &str = "200";
/// The last so many days are offered.
const DAYS: u32 = 30;

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    show(&api, &call, None).await
}

async fn show(api: &Api, call: &Call, tried: Option<&Tried>) -> Result<Response, Problem> {
    let known = ["cursor", "limit", "id", "campaign"];
    knows_tables(call, &known)?;
    let frame = Frame::of(api, call, "Segments", "/segments").await?;
    let mut sheet = match frame.address.get("id").map(str::to_owned) {
        None => list(api, call, frame).await?,
        Some(id) => one(api, call, frame, &id).await?,
    };
    for form in std::mem::take(&mut sheet.forms) {
        sheet.forms.push(form.after(tried));
    }
    sheet.answer(call, form::status(tried))
}

/// The days of a segment in words.
fn days(frame: &Frame, told: &Value) -> String {
    let [from, to] = ["from", "to"].map(|field| text(told, field));
    Filters::new(frame, &Period { from, to }).words
}

/// All segments, newest first.
async fn list(api: &Api, call: &Call, frame: Frame) -> Result<Sheet, Problem> {
    let about = (Some(&frame.marketplace), &[][..]);
    let asked = frame.address.only(&["cursor", "limit"]);
    let list: Value = api.says(call, SEGMENTS, about, &asked).await?;
    let form = save(api, call, &frame).await?;
    let row = |one: &Value| {
        let at = |suffix, name, value| frame.to(suffix).with(name, &text(one, value)).href();
        vec![
            Cell::Link {
                href: at("/segments", "id", "segment_id"),
                text: text(one, "name"),
            },
            frame.counted(one, "customers"),
            frame.link("/campaign", one, "campaign_id", "campaign_id"),
            Cell::Text(days(&frame, one)),
            frame.time_in(one, "saved_at"),
            said(one, "saved_by"),
            Cell::Link {
                href: at("/promotions", "segment", "name"),
                text: "promotions".to_owned(),
            },
        ]
    };
    let mut heads = vec![Head::text("Segment"), Head::number("Customers")];
    heads.extend(["Buyers of", "Days", "Saved", "By", "Offered to it"].map(Head::text));
    let nothing = "No segment was saved yet. A segment keeps who bought from a campaign, to send to them again or to leave them out.";
    let table = Table {
        rows: items(&list, "items").map(row).collect(),
        ..Table::new("segments", "Newest first", heads, nothing).paged(&frame, &list)
    };
    let mut sheet = Sheet::new(frame, "Segments");
    sheet.tables.push(table);
    sheet.forms.push(form);
    sheet.notes.push("A segment holds the customers who had bought when it was saved; what comes later changes nothing in it, but whoever is erased leaves it.".to_owned());
    Ok(sheet)
}

/// The customers of a segment, in the order of their ids.
async fn one(api: &Api, call: &Call, frame: Frame, id: &str) -> Result<Sheet, Problem> {
    let about = (Some(&frame.marketplace), &[("id", id)][..]);
    let asked = frame.address.only(&["cursor", "limit"]);
    let told: Value = api.says(call, SEGMENT, about, &asked).await?;
    let row = |id: &Value| vec![customer(&frame, &json!({ "customer_id": id }))];
    let csv = frame.bare("/segment.csv").with("id", id);
    let table = Table {
        rows: items(&told, "customers").map(row).collect(),
        export: Some(csv.href()),
        ..Table::new(
            "customers",
            "Customers, by id",
            vec![Head::text("Customer")],
            "Nobody had bought from the campaign in these days.",
        )
        .paged(&frame, &told)
    };
    let n = frame.count_in(&told, "customers_total").text();
    let saved = match frame.time_in(&told, "saved_at") {
        Cell::Time(at) => at.shown,
        _ => String::new(),
    };
    let lines = [
        format!(
            "{n} customers: buyers of {}, {}",
            text(&told, "campaign_id"),
            days(&frame, &told)
        ),
        format!("saved {saved} by {}", text(&told, "saved_by")),
    ];
    let form = Form {
        inputs: vec![Input::new(SURE, "Yes, this segment", Kind::Flag).needed()],
        button: "Delete it for good",
        ..Form::new(DELETE, "Delete this segment", frame.address.href())
    };
    let form = form.about("The list goes; customers, orders and figures stay.");
    let mut sheet = Sheet::new(frame, text(&told, "name"));
    sheet.frame.title = text(&told, "name");
    sheet.sub = lines.into();
    sheet.tables.push(table);
    sheet.forms.push(form);
    Ok(sheet)
}

/// The form that saves the buyers of a campaign. It offers the campaigns of these days.
async fn save(api: &Api, call: &Call, frame: &Frame) -> Result<Form, Problem> {
    let about = (Some(&frame.marketplace), &[][..]);
    let mut asked = frame.address.only(&["from", "to"]);
    asked.extend([("limit", OFFERED)]);
    let report: Value = api.says(call, CAMPAIGNS, about, &asked).await?;
    let offer = |row: &Value| (text(row, "campaign_id"), text(row, "name"));
    let tomorrow = frame.now.day(frame.zone).plus(1);
    let day = |name: &str, default: String| {
        let given = frame.address.get(name).map(str::to_owned);
        given.unwrap_or(default)
    };
    let campaign = Input {
        offers: items(&report, "campaigns").map(offer).collect(),
        ..Input::new("campaign_id", "Buyers of the campaign", Kind::Text)
    };
    let chosen = frame.address.get("campaign").unwrap_or_default();
    let from = day("from", tomorrow.minus(DAYS).to_string());
    let inputs = vec![
        Input::new("name", "Name of the segment", Kind::Text).needed(),
        campaign.hint("its id").needed().value(chosen),
        Input::new("from", "Who bought from", Kind::Day)
            .needed()
            .value(from),
        Input::new("to", "and before", Kind::Day)
            .needed()
            .value(day("to", tomorrow.to_string())),
    ];
    let form = Form {
        inputs,
        button: "Save the segment",
        ..Form::new(
            SAVE,
            "Save the buyers of a campaign",
            frame.to("/segments").path().to_owned(),
        )
    };
    Ok(form.once())
}

/// Saves a segment and shows it, or deletes one and shows the others.
pub(crate) async fn sent(api: Api, call: Call) -> Result<Response, Problem> {
    let sent = Sent::of(&call)?;
    let frame = Frame::of(&api, &call, "", "/segments").await?;
    let about = |ids| (Some(&frame.marketplace), ids);
    let done = if sent.is(DELETE) && sent.text(SURE).is_empty() {
        Err(form::wrong(SURE, "tick this to delete the segment"))
    } else if sent.is(DELETE) {
        let ids = [("id", frame.address.get("id").unwrap_or_default())];
        let doing = Doing::json(&Value::Null);
        let deleted = api.does(&call, (&Method::DELETE, SEGMENT), about(&ids[..]), doing);
        deleted.await.map(|_| frame.to("/segments"))
    } else {
        let field = |name| sent.text(name).trim();
        let body = json!({ "name": field("name"), "campaign_id": field("campaign_id"), "from": field("from"), "to": field("to") });
        let once = sent.text(ONCE);
        let doing = Doing {
            header: Some((IDEMPOTENCY_KEY, once)).filter(|_| !once.is_empty()),
            ..Doing::json(&body)
        };
        let saved = api.does(&call, (&Method::POST, SEGMENTS), about(&[][..]), doing);
        let page = |told: Value| {
            let id = text(&told, "segment_id");
            frame.to("/segments").with("id", &id)
        };
        saved.await.map(page)
    };
    match done {
        Ok(page) => Ok(answer::see(&page.href())),
        Err(problem) => {
            let tried = Tried::refused(sent, problem)?;
            show(&api, &call, Some(&tried)).await
        }
    }
}
