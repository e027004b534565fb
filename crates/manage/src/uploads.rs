//! Addresses that files of redemptions are sent to.

use revtrail_core::record::{Code, Problems, RecordProblem as Bad};
use revtrail_storage::file::File;
use revtrail_web::answer::json;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use revtrail_web::upload::GOOD_FOR_MS;
use serde_json::{Value, json};

use crate::valid;

/// Gives an address that is good for one file.
pub(crate) async fn offer(call: Call) -> Result<Response, Problem> {
    let mut problems = Problems::new();
    let fields = call.fields(&["name"], &mut problems)?;
    let named = match fields.get("name") {
        None | Some(Value::Null) => {
            let detail = "name is needed: the name of the file, like week-48.csv.gz";
            Err(Bad::of("name", Code::Missing, detail))
        }
        Some(Value::String(name)) => File::new(call.marketplace()?, name)
            .map(|file| (file, name))
            .map_err(|why| Bad::of("name", Code::UnknownValue, format!("name: {why}"))),
        Some(_) => Err(Bad::of("name", Code::WrongType, "name is a text")),
    };
    let named = named.map_err(|problem| problems.push(problem)).ok();
    valid(problems)?;
    let Some((file, name)) = named else {
        return Err(Problem::internal(&"an upload without a name"));
    };
    let expires_at = call.now.plus_ms(GOOD_FOR_MS);
    let address = call.upload_address((&file.key, name), expires_at)?;
    let Some(url) = address else {
        let detail = "revtrail keeps everything in memory and has nowhere to put files: start it with --data DIR";
        return Err(Problem::conflict("no_files", detail));
    };
    let body = json!({ "url": url, "method": "PUT", "file": file.key, "expires_at": expires_at });
    Ok(json(StatusCode::CREATED, &body))
}
