//! The page of files of redemptions: what became of their rows, the first rows that were rejected, and the upload.

use revtrail_web::access::REPORTING;
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde_json::Value;

use crate::PROMOTIONS_CSV;
use crate::address::Address;
use crate::answer;
use crate::asked::{Api, BATCH, BATCHES};
use crate::field::Kind;
use crate::form::{self, Form, Input, Sent, Tried};
use crate::frame::Frame;
use crate::lists::{items, knows_tables};
use crate::sheet::{Cell, Head, Sheet, Table, said, text};

const UPLOAD: &str = "upload";
/// The field of the file.
const FILE: &str = "file";

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    show(&api, &call, None).await
}

async fn show(api: &Api, call: &Call, tried: Option<&Tried>) -> Result<Response, Problem> {
    let known = ["cursor", "limit", "id", "uploaded"];
    knows_tables(call, &known)?;
    let frame = Frame::of(api, call, "Files", "/batches").await?;
    let mut sheet = Sheet::new(frame, "Files of redemptions");
    sheet.exports = PROMOTIONS_CSV;
    let note = "Of every file: rows = accepted + duplicates + quarantined + rejected.";
    sheet.notes.push(note.to_owned());
    match sheet.frame.address.get("id").map(str::to_owned) {
        None => list(api, call, &mut sheet).await?,
        Some(id) => one(api, call, &mut sheet, &id).await?,
    }
    let frame = &sheet.frame;
    match (REPORTING.allows(frame.who), call.app.file_taker()) {
        (false, _) => {}
        (true, Some(_)) => sheet.forms.push(upload(frame).after(tried)),
        (true, None) => sheet.notes.push(format!(
            "This service takes no files by this page. Put a file into inbox/{}/redemptions/ of its bucket; on one machine, start revtrail serve with --data.",
            frame.marketplace
        )),
    }
    sheet.answer(call, form::status(tried))
}

/// All files, newest first. One that was just uploaded is waited for.
async fn list(api: &Api, call: &Call, sheet: &mut Sheet) -> Result<(), Problem> {
    let frame = &sheet.frame;
    let query = frame.address.only(&["cursor", "limit"]);
    let about = (Some(&frame.marketplace), &[][..]);
    let list: Value = api.says(call, BATCHES, about, &query).await?;
    let files = || items(&list, "batches");
    let uploaded = frame.address.get("uploaded");
    let awaited = uploaded.filter(|name| !files().any(|file| name_of(file) == **name));
    sheet.is_moving = awaited.is_some() || files().any(is_moving);
    let waits = |name| format!("“{name}” lies in the inbox and is taken in within seconds.");
    let rows = files().map(|file| row(frame, file)).collect();
    let table = table("Newest first", rows).paged(frame, &list);
    sheet.notes.extend(awaited.map(waits));
    sheet.tables.push(table);
    Ok(())
}

/// One file, with its first rejects.
async fn one(api: &Api, call: &Call, sheet: &mut Sheet, id: &str) -> Result<(), Problem> {
    let frame = &sheet.frame;
    let about = (Some(&frame.marketplace), &[("id", id)][..]);
    let file: Value = api.says(call, BATCH, about, &[]).await?;
    let mut rejects = rejects(frame, &file);
    let csv = frame.bare("/rejected.csv").with("id", id);
    let any = PROMOTIONS_CSV.allows(frame.who) && !rejects.rows.is_empty();
    rejects.export = any.then(|| csv.href());
    let tables = [table("What became of it", vec![row(frame, &file)]), rejects];
    sheet.is_moving = is_moving(&file);
    let folder = text(&file, "file").replacen("inbox/", "outbox/", 1);
    let all = format!(
        "Export gives all rows that were rejected, to be mended and sent again. They are in {folder}/rejected.csv too, and {folder}/result.json has the counts."
    );
    sheet.notes.push(all);
    sheet.tables.extend(tables);
    Ok(())
}

fn name_of(file: &Value) -> String {
    let path = text(file, "file");
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

fn is_moving(file: &Value) -> bool {
    ["received", "running"].contains(&file["state"].as_str().unwrap_or_default())
}

fn row(frame: &Frame, file: &Value) -> Vec<Cell> {
    let mut cells = vec![
        Cell::Link {
            href: frame
                .to("/batches")
                .with("id", &text(file, "batch_id"))
                .href(),
            text: name_of(file),
        },
        said(file, "state"),
        frame.time_in(file, "started_at"),
        frame.time_in(file, "finished_at"),
    ];
    let counts = ["rows", "accepted", "duplicates", "quarantined", "rejected"];
    cells.extend(counts.map(|field| frame.counted(file, field)));
    cells.push(said(file, "detail"));
    cells
}

fn table(heading: &str, rows: Vec<Vec<Cell>>) -> Table {
    let mut heads = vec![
        Head::text("File"),
        Head::text("State"),
        Head::text("Began"),
        Head::text("Ended"),
    ];
    heads.extend(["Rows", "Accepted", "Duplicates", "Quarantined", "Rejected"].map(Head::number));
    heads.push(Head::text("What is wrong"));
    let nothing = "No file came in yet. A file of redemptions is CSV or JSON lines, with the fields of the API as columns: redemption_id, promotion_id, customer_id, and what else there is.";
    Table {
        rows,
        ..Table::new("batches", heading, heads, nothing)
    }
}

/// The first rows that were rejected.
fn rejects(frame: &Frame, file: &Value) -> Table {
    let row = |one: &Value| {
        vec![
            frame.counted(one, "line"),
            Cell::Text(text(one, "code").replace('_', " ")),
            said(one, "detail"),
        ]
    };
    let heads = vec![
        Head::number("Line"),
        Head::text("Problem"),
        Head::text("What to mend"),
    ];
    Table {
        rows: items(file, "first_rejected").map(row).collect(),
        ..Table::new(
            "rejects",
            "The first rows that were rejected",
            heads,
            "No row was rejected.",
        )
    }
}

fn upload(frame: &Frame) -> Form {
    let input = Input::new(FILE, "File", Kind::File)
        .hint(".csv, .jsonl, or either with .gz; up to 4 MiB")
        .needed();
    let action = frame.to("/batches").path().to_owned();
    Form {
        inputs: vec![input],
        button: "Upload",
        is_open: true,
        ..Form::new(UPLOAD, "Upload a file", action)
    }
    .about("It goes into the inbox of this marketplace, as a file that is put there by other means, and is taken in within seconds.")
}

/// Puts a file into the inbox.
pub(crate) async fn sent(api: Api, call: Call) -> Result<Response, Problem> {
    let mut sent = Sent::of(&call)?;
    let file = sent.file.take().filter(|(name, _)| !name.is_empty());
    let marketplace = call.marketplace()?.clone();
    let taken = match (call.app.file_taker(), file) {
        (None, _) => {
            return Err(Problem::not_found(
                "this service takes no files by this page",
            ));
        }
        (Some(_), None) => Err(form::wrong(FILE, "choose a file")),
        (Some(take), Some((name, bytes))) => {
            // Some browsers send the path of the file too.
            let name = name
                .rsplit(['/', '\\'])
                .next()
                .unwrap_or_default()
                .to_owned();
            let taken = take(marketplace.clone(), name.clone(), bytes).await;
            taken.map(|()| name)
        }
    };
    match taken {
        Ok(name) => {
            let files = Address::new(&format!("/app/{marketplace}/batches"), Vec::new());
            Ok(answer::see(&files.with("uploaded", &name).href()))
        }
        Err(problem) => {
            let tried = Tried::refused(sent, problem)?;
            show(&api, &call, Some(&tried)).await
        }
    }
}
