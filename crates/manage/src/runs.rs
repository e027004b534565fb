//! Runs that are asked for.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;

use revtrail_core::record::{Code, Problems, RecordProblem as Bad};
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::jobs::runs::{RunState, Sample, new_run_id};
use revtrail_store::market::Market;
use revtrail_store::market::access::Role;
use revtrail_store::market::once::{CallRecord, Once};
use revtrail_web::answer::{located, with_note};
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde_json::{Map, Value, json};

use crate::{once, valid};

/// Hands the attributor a job message: a run is on record and waits to be worked on.
pub type Enqueue = Arc<dyn Fn(JobMessage) -> Enqueued + Send + Sync>;
/// A job message on its way.
pub type Enqueued = Pin<Box<dyn Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send>>;

/// Why a run failed that nobody was told of.
const NOT_STARTED: &str = "the run could not be handed to the attributor: ask for another one";

/// The enqueueing inside this process, which cannot fail.
pub fn in_process(hand_over: impl Fn(JobMessage) + Send + Sync + 'static) -> Enqueue {
    Arc::new(move |message| {
        hand_over(message);
        Box::pin(std::future::ready(Ok(())))
    })
}

pub(crate) async fn start(call: Call, enqueue: Enqueue) -> Result<Response, Problem> {
    let mut problems = Problems::new();
    let fields = call.fields(&["verify", "repair"], &mut problems)?;
    let verify = verify_of(&fields, &mut problems);
    if verify == Some(Sample::Repair) && call.caller()?.role != Role::Admin {
        return Err(Problem::role_forbidden(call.caller()?.role));
    }
    valid(problems)?;
    let market = call.market()?;
    let noted = |begun: Response| match verify {
        Some(Sample::Repair) => with_note(begun, ("repair", "true")),
        _ => begun,
    };
    let Some(named) = call.once()? else {
        let run_id = market.runs().start_run(verify, call.now).await?;
        let begun = begin(&call, &market, &enqueue, run_id, None).await;
        return begun.map(noted);
    };
    let (market, named, now) = (&market, &named, call.now);
    let make = |record: CallRecord| {
        let run_id = new_run_id(now);
        let record = record.answered(json!(run_id));
        async move {
            let put = market
                .runs()
                .put_run(&run_id, verify, Some((named, &record)), now);
            Ok(put.await?.then_some(record))
        }
    };
    let record = once::only(&call, named, make).await?;
    let answer = record.answer.as_ref().and_then(Value::as_str);
    let run_id = answer.unwrap_or_default().to_owned();
    let begun = begin(&call, market, &enqueue, run_id, Some(named)).await;
    begun.map(noted)
}

/// The verification that a body asks for.
fn verify_of(fields: &Map<String, Value>, problems: &mut Problems) -> Option<Sample> {
    let of = |name| fields.get(name).filter(|value| !value.is_null());
    let verify = match of("verify").map(|verify| verify.as_str()) {
        None => None,
        Some(Some("sample")) => Some(Sample::Sample),
        Some(Some("all")) => Some(Sample::All),
        Some(_) => {
            let detail = "verify is sample or all";
            problems.push(Bad::of("verify", Code::UnknownValue, detail));
            return None;
        }
    };
    match (of("repair"), verify) {
        (None | Some(Value::Bool(false)), verify) => verify,
        (Some(Value::Bool(true)), Some(Sample::All)) => Some(Sample::Repair),
        (Some(Value::Bool(true)), _) => {
            let detail =
                "repair sets right what is wrong of everything: it goes with \"verify\": \"all\"";
            problems.push(Bad::of("repair", Code::UnknownValue, detail));
            None
        }
        (Some(_), _) => {
            let detail = "repair is true or false";
            problems.push(Bad::of("repair", Code::WrongType, detail));
            None
        }
    }
}

/// Hands a run to the attributor and answers. A run that was asked for before is handed over again until it is done, because the
/// first call may have died in between.
async fn begin(
    call: &Call,
    market: &Market,
    enqueue: &Enqueue,
    run_id: String,
    named: Option<&Once>,
) -> Result<Response, Problem> {
    let run = match named {
        Some(_) => market.runs().run(&run_id, call.now).await?,
        None => None,
    };
    let plan = JobMessage::Plan {
        marketplace: market.id().clone(),
        run_id: Some(run_id.clone()),
    };
    if run.is_none_or(|run| run.state == RunState::Running)
        && let Err(error) = enqueue(plan).await
    {
        tracing::error!(error, run_id, "a run could not be started");
        // The call is forgotten, so that asking once more starts another run.
        if let Some(named) = named {
            call.app.store().forget(named).await?;
        }
        market
            .runs()
            .finish_run(&run_id, Some(NOT_STARTED), call.now)
            .await?;
        return Err(Problem::busy());
    }
    let location = format!("{}/{run_id}", call.path());
    let body = json!({ "run_id": run_id });
    Ok(located(StatusCode::ACCEPTED, &location, &body))
}
