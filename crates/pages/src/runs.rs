//! The page of runs, and the forms that start one.

use http::HeaderName;
use revtrail_core::value::money;
use revtrail_web::api::Method;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde_json::{Value, json};

use crate::answer;
use crate::asked::{Api, Doing, RUNS};
use crate::form::{Form, ONCE, Sent};
use crate::frame::Frame;
use crate::lists::{items, knows_tables};
use crate::sheet::{Cell, Head, Sheet, Table, said, text};

/// The header that names a call, so that it acts once.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The kinds of runs: how a form names one, its button, and what the API is given.
const KINDS: [(&str, &str, Option<&str>); 3] = [
    ("run", "Run now", None),
    ("verify", "Verify all", Some("all")),
    ("sample", "Verify a sample", Some("sample")),
];

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    knows_tables(&call, &["cursor", "limit"])?;
    let frame = Frame::of(&api, &call, "Runs", "/runs").await?;
    let query = frame.address.only(&["cursor", "limit"]);
    let about = (Some(&frame.marketplace), &[][..]);
    let list: Value = api.says(&call, RUNS, about, &query).await?;
    let mut sheet = Sheet::new(frame, "Runs");
    let frame = &sheet.frame;
    let rows = items(&list, "runs").map(|run| row(frame, run)).collect();
    let nothing = "There was no run yet. One comes every hour.";
    let table = Table {
        rows,
        fill: Some(("runs", "{}".to_owned())),
        ..Table::new("runs", "Newest first", heads(), nothing).paged(frame, &list)
    };
    if frame.may_export {
        let action = frame.to("/runs").path().to_owned();
        let button = |(id, label, _)| Form::button(id, label, action.clone()).once();
        sheet.forms = KINDS.map(button).into();
    }
    sheet.is_moving = items(&list, "runs").any(|run| run["state"] == "running");
    sheet.tables.push(table);
    sheet.notes.push("A run folds the customers whose facts changed, and then the reports show them. A verification compares what is stored with what the facts add up to, and changes nothing. Revenue that moves is what campaigns earn, an estimate: nobody can know what an order would have been without the message that it is credited to.".to_owned());
    sheet.answer(&call, StatusCode::OK)
}

fn row(frame: &Frame, run: &Value) -> Vec<Cell> {
    let verify = &run["verify"];
    let checked = || frame.count_in(verify, "checked").text();
    let verified = match (verify.is_null(), verify["differences"].as_i64()) {
        (true, _) => Cell::Nothing,
        (_, Some(0)) => Cell::Text(format!("{} checked, no difference", checked())),
        _ => Cell::Text(format!(
            "{} checked, {} differ",
            checked(),
            frame.count_in(verify, "differences").text()
        )),
    };
    let units = |field: &str| run[field].as_i64().unwrap_or(0);
    let share = money::rate(units("units_done"), units("units"));
    vec![
        frame.time_in(run, "started_at"),
        state(run),
        frame.part(share.as_deref()),
        frame.time_in(run, "finished_at"),
        frame.counted(run, "customers"),
        frame.counted(run, "orders"),
        frame.counted(run, "credits_changed"),
        Cell::Figures(frame.sums_in(&run["revenue_moved"])),
        frame.counted(run, "errors"),
        verified,
    ]
}

/// The state of a run and, where it failed, why.
fn state(run: &Value) -> Cell {
    match run["detail"].as_str() {
        Some(why) => Cell::Text(format!("{}: {why}", text(run, "state"))),
        None => said(run, "state"),
    }
}

fn heads() -> Vec<Head> {
    let mut heads = vec![
        Head::text("Started"),
        Head::text("State"),
        Head::number("Progress"),
        Head::text("Ended"),
    ];
    let numbers = [
        "Customers",
        "Orders",
        "Credits moved",
        "Revenue moved",
        "Errors",
    ];
    heads.extend(numbers.map(Head::number));
    heads.push(Head::text("Verification"));
    heads
}

/// Starts the run that a form asks for.
pub(crate) async fn started(api: Api, call: Call) -> Result<Response, Problem> {
    call.query().done()?;
    let marketplace = call.marketplace()?.clone();
    let sent = Sent::of(&call)?;
    let kind = KINDS.iter().find(|(id, _, _)| sent.is(id));
    let verify = kind.and_then(|(_, _, verify)| *verify);
    let once = sent.text(ONCE);
    let doing = Doing {
        header: Some((IDEMPOTENCY_KEY, once)).filter(|_| !once.is_empty()),
        ..Doing::json(&json!({ "verify": verify }))
    };
    let about = (Some(&marketplace), &[][..]);
    api.does(&call, (&Method::POST, RUNS), about, doing).await?;
    Ok(answer::see(&format!("/app/{marketplace}/runs")))
}
