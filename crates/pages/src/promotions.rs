//! The page of promotions: all of them with what they cost, what waits for one, and the form that makes one.

use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde_json::Value;

use crate::PROMOTIONS_CSV;
use crate::address::KEPT;
use crate::answer;
use crate::asked::{Api, PROMOTIONS, QUARANTINE};
use crate::edit;
use crate::form::{self, Sent, Tried};
use crate::frame::{Field, Frame};
use crate::lists::{items, quarantine};
use crate::sheet::{Cell, Head, Sheet, Table, said, text};
use crate::table_file::EXPORT;

fn usage(told: &Value) -> Option<&str> {
    told["usage"].as_str()
}

/// Whether a promotion runs, in words.
pub(crate) fn state(row: &Value) -> String {
    text(row, "state").replace('_', " ")
}

fn budget(frame: &Frame, row: &Value) -> Cell {
    let budget = &row["budget"];
    let currency = text(budget, "currency");
    let of = |field| frame.numbers.exact(&text(budget, field), &currency);
    frame.meter(usage(budget), [of("spent"), of("amount")])
}

fn cap(frame: &Frame, row: &Value) -> Cell {
    let cap = &row["cap"];
    frame.meter(
        usage(cap),
        [frame.count_in(cap, "used"), frame.count_in(cap, "limit")],
    )
}

/// The parameters that the API knows; a period and a channel are kept for other pages. `owner=crm` as metadata asks for
/// `metadata.owner`.
fn query_of(frame: &Frame) -> Vec<(String, String)> {
    let mut query = Vec::new();
    for (name, value) in frame.address.pairs() {
        match (name, value.split_once('=')) {
            (name, _) if name == EXPORT || KEPT.contains(&name) => {}
            ("metadata", Some((key, value))) => {
                query.push((format!("metadata.{}", key.trim()), value.trim().to_owned()));
            }
            _ => query.push((name.to_owned(), value.to_owned())),
        }
    }
    query
}

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    show(&api, &call, None).await
}

/// Makes the promotion that a form describes, and shows it.
pub(crate) async fn sent(api: Api, call: Call) -> Result<Response, Problem> {
    let sent = Sent::of(&call)?;
    let frame = Frame::of(&api, &call, "", "/promotions").await?;
    match edit::made(&api, &call, &sent, frame.zone).await {
        Ok(id) => Ok(answer::see(&frame.to("/promotion").with("id", &id).href())),
        Err(problem) => {
            let tried = Tried::refused(sent, problem)?;
            show(&api, &call, Some(&tried)).await
        }
    }
}

async fn show(api: &Api, call: &Call, tried: Option<&Tried>) -> Result<Response, Problem> {
    let frame = Frame::of(api, call, "Promotions", "/promotions").await?;
    let about = (Some(&frame.marketplace), &[][..]);
    let query = query_of(&frame);
    let query: Vec<(&str, &str)> = query
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let list: Value = api.says(call, PROMOTIONS, about, &query).await?;
    let waiting: Value = api
        .says(call, QUARANTINE, about, &[("limit", "20")])
        .await?;
    let page = |row: &Value| {
        frame
            .to("/promotion")
            .with("id", &text(row, "promotion_id"))
    };
    let row = |row: &Value| {
        vec![
            frame.link("/promotion", row, "promotion_id", "name"),
            said(row, "kind"),
            Cell::Text(state(row)),
            frame.counted(row, "assigned"),
            frame.counted(row, "redeemed"),
            Cell::Go {
                href: format!("{}#tiers-title", page(row).href()),
                figure: frame.rate_in(row, "redemption_rate"),
            },
            budget(&frame, row),
            cap(&frame, row),
            Cell::Figures(frame.sums_in(&row["result"])),
            Cell::Figures(frame.sums_in(&row["worst_case"])),
        ]
    };
    let rows = items(&list, "promotions").map(row).collect();
    let mut sheet = Sheet::new(frame, "Promotions");
    let frame = &sheet.frame;
    let nothing = "No promotion fits, or there is none yet. Take a filter off, make a promotion, or report a redemption: it waits in quarantine until its promotion is made.";
    let mut table = Table {
        rows,
        fill: Some((
            "redemptions",
            r#"{"redemption_id":"r-1","promotion_id":"p-1","customer_id":"c-1"}"#.to_owned(),
        )),
        ..Table::new(
            "promotions",
            "Figures show every record at once",
            heads(frame),
            nothing,
        )
        .paged(frame, &list)
    };
    let csv = query
        .iter()
        .fold(frame.bare("/promotions.csv"), |csv, (name, value)| {
            csv.with(name, value)
        });
    table.export = PROMOTIONS_CSV.allows(frame.who).then(|| csv.href());
    let value = |name: &str| frame.address.get(name).unwrap_or_default().to_owned();
    let kinds = ["global", "tiered", "personalised"].map(|kind| (kind.to_owned(), kind.to_owned()));
    let field = |name, label, choices| Field {
        name,
        label,
        value: value(name),
        choices,
    };
    sheet.fields = vec![
        field("name", "Name holds", Vec::new()),
        field("kind", "Kind", kinds.into()),
        field("segment", "Segment", Vec::new()),
        field("tier", "Tier", Vec::new()),
        field("metadata", "Metadata, like owner=crm", Vec::new()),
    ];
    if frame.may_export {
        let form = edit::make(frame.address.href(), frame.zone);
        sheet.forms.push(form.after(tried));
    }
    let quarantine = quarantine(frame, &waiting);
    sheet.exports = PROMOTIONS_CSV;
    sheet.tables = vec![table, quarantine];
    sheet.notes = vec!["The rate is the share of assigned offers that were redeemed; a dash says that nothing was redeemed yet, or that nothing is assigned. Result = orders of the redemptions − rewards; worst case = what open limits could still cost.".to_owned()];
    sheet.answer(call, form::status(tried))
}

fn heads(frame: &Frame) -> Vec<Head> {
    let sorted = frame
        .address
        .get("sort")
        .unwrap_or("promotion_id")
        .to_owned();
    let head = |(name, label, is_number): (&str, &'static str, bool)| {
        let descending = format!("-{name}");
        let (way, next) = match &sorted {
            given if given == name => ("ascending", descending),
            given if *given == descending => ("descending", name.to_owned()),
            _ if is_number => ("", descending),
            _ => ("", name.to_owned()),
        };
        let href = if name.is_empty() {
            String::new()
        } else {
            frame.address.with("sort", &next).href()
        };
        Head {
            label,
            is_number,
            href,
            sorted: if name.is_empty() { "" } else { way },
        }
    };
    [
        ("name", "Promotion", false),
        ("kind", "Kind", false),
        ("", "State", false),
        ("assigned", "Assigned", true),
        ("redeemed", "Redeemed", true),
        ("redemption_rate", "Rate", true),
        ("budget", "Budget", true),
        ("cap", "Cap", true),
        ("result", "Result", true),
        ("worst_case", "Worst case", true),
    ]
    .map(head)
    .into()
}
