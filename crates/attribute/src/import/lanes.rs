//! Lanes: each sends its batches one after the other, and all of them at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use hyper::body::Bytes;
use revtrail_core::record::{Record, RecordProblem};
use revtrail_core::value::id::VoucherCode;
use revtrail_providers::exports::Makes;
use serde::Deserialize;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::batches::Batch;
use super::client::{Client, ClientError, refused};
use super::state::State;
use crate::attribute::Failure;

/// How many batches wait for a lane.
const WAITING_MAX: usize = 2;

/// What became of records.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) accepted: usize,
    pub(super) duplicates: usize,
    /// Accepted copies that changed nothing.
    pub(super) older: usize,
    /// The rows that were rejected, each with its line.
    pub(super) rejected: Vec<(u64, RecordProblem)>,
}

impl Answered {
    pub(super) fn add(&mut self, more: Self) {
        self.accepted += more.accepted;
        self.duplicates += more.duplicates;
        self.older += more.older;
        self.rejected.extend(more.rejected);
    }
}

/// Why a lane ended early.
#[derive(Debug)]
pub(super) enum LaneError {
    Client(ClientError),
    State(Failure),
}

pub(super) struct Lanes {
    senders: Vec<mpsc::Sender<Batch>>,
    tasks: Vec<JoinHandle<Result<(), LaneError>>>,
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lanes {
    /// Starts as many lanes as the state has. What is on record is not sent again.
    pub(super) fn start(
        runtime: &Runtime,
        client: &Client,
        makes: Makes,
        promotion: Option<&str>,
        state: State,
    ) -> Self {
        let done = state.done.clone();
        let state = Arc::new(Mutex::new(state));
        let (mut senders, mut tasks) = (Vec::new(), Vec::new());
        for done in done {
            let (sender, mut batches) = mpsc::channel::<Batch>(WAITING_MAX);
            let (client, state) = (client.clone(), state.clone());
            let promotion = promotion.map(str::to_owned);
            tasks.push(runtime.spawn(async move {
                while let Some(batch) = batches.recv().await {
                    if batch.number < done {
                        continue;
                    }
                    let sent = deliver(&client, makes, promotion.as_deref(), &batch).await;
                    let answered = sent.map_err(LaneError::Client)?;
                    let noted = lock(&state).note(batch.lane, batch.number, answered);
                    noted.map_err(LaneError::State)?;
                }
                Ok(())
            }));
            senders.push(sender);
        }
        Self {
            senders,
            tasks,
            state,
        }
    }

    /// Hands a batch to its lane, and waits while that has enough to do.
    ///
    /// # Errors
    /// The lane ended; [`Lanes::finish`] says why.
    pub(super) fn send(&self, batch: Batch) -> Result<(), Failure> {
        let sent = self.senders[batch.lane].blocking_send(batch);
        sent.map_err(|_| Failure::Usage(vec!["nothing more can be sent".to_owned()]))
    }

    /// Waits until all was sent. `rejected` are the rows that were never sent.
    ///
    /// # Errors
    /// Why the first lane ended early.
    pub(super) fn finish(
        self,
        runtime: &Runtime,
        rejected: Vec<(u64, RecordProblem)>,
    ) -> Result<(Answered, State), LaneError> {
        drop(self.senders);
        let mut failed = None;
        for task in self.tasks {
            if let Ok(Err(why)) = runtime.block_on(task) {
                failed.get_or_insert(why);
            }
        }
        if let Some(why) = failed {
            return Err(why);
        }
        let mut answered = std::mem::take(&mut lock(&self.state).answered);
        answered.rejected.extend(rejected);
        answered.rejected.sort_by_key(|(line, _)| *line);
        let state = std::mem::replace(&mut *lock(&self.state), State::none(0));
        Ok((answered, state))
    }
}

async fn deliver(
    client: &Client,
    makes: Makes,
    promotion: Option<&str>,
    batch: &Batch,
) -> Result<Answered, ClientError> {
    match makes {
        Makes::Events | Makes::Orders => facts(client, makes.name(), batch).await,
        Makes::Campaigns => {
            let mut all = Answered::default();
            for (line, text) in &batch.records {
                all.add(campaign(client, *line, text).await?);
            }
            Ok(all)
        }
        Makes::Vouchers => vouchers(client, promotion.unwrap_or_default(), batch).await,
    }
}

#[derive(Deserialize)]
struct Intake {
    #[serde(default)]
    accepted: usize,
    #[serde(default)]
    duplicates: usize,
    #[serde(default)]
    older: usize,
    rejected: Vec<Rejected>,
}

#[derive(Deserialize)]
struct Rejected {
    index: usize,
    #[serde(flatten)]
    problem: RecordProblem,
}

async fn facts(client: &Client, path: &str, batch: &Batch) -> Result<Answered, ClientError> {
    let body: Vec<&str> = batch
        .records
        .iter()
        .map(|(_, text)| text.as_str())
        .collect();
    let body = Bytes::from(body.join("\n"));
    let (status, body) = client
        .call(Method::POST, path, "application/x-ndjson", body)
        .await?;
    let intake = matches!(
        status,
        StatusCode::ACCEPTED | StatusCode::UNPROCESSABLE_ENTITY
    )
    .then(|| serde_json::from_slice::<Intake>(&body).ok())
    .flatten()
    .ok_or_else(|| refused(status, &body))?;
    let rejected = intake.rejected.into_iter().filter_map(|rejected| {
        let (line, _) = batch.records.get(rejected.index)?;
        Some((*line, rejected.problem))
    });
    Ok(Answered {
        accepted: intake.accepted,
        duplicates: intake.duplicates,
        older: intake.older,
        rejected: rejected.collect(),
    })
}

/// An id as a step of a path, whatever characters it has.
fn step(id: &str) -> String {
    format!("~{}", BASE64_URL_SAFE_NO_PAD.encode(id))
}

fn rejected(line: u64, problem: RecordProblem) -> Answered {
    Answered {
        rejected: vec![(line, problem)],
        ..Answered::default()
    }
}

async fn campaign(client: &Client, line: u64, text: &str) -> Result<Answered, ClientError> {
    let id =
        Record::from_json(text).and_then(|record| record.needed("campaign_id").map(String::from));
    let id = match id {
        Ok(id) => id,
        Err(problem) => return Ok(rejected(line, problem)),
    };
    let path = format!("campaigns/{}", step(&id));
    let body = Bytes::from(text.to_owned());
    let (status, body) = client
        .call(Method::PUT, &path, "application/json", body)
        .await?;
    match status {
        StatusCode::OK | StatusCode::CREATED => Ok(Answered {
            accepted: 1,
            ..Answered::default()
        }),
        StatusCode::UNPROCESSABLE_ENTITY => {
            #[derive(Deserialize)]
            struct Problem {
                errors: Vec<RecordProblem>,
            }
            let problem = serde_json::from_slice::<Problem>(&body).ok();
            let first = problem.and_then(|problem| problem.errors.into_iter().next());
            first
                .map(|first| rejected(line, first))
                .ok_or_else(|| refused(status, &body))
        }
        _ => Err(refused(status, &body)),
    }
}

async fn vouchers(
    client: &Client,
    promotion: &str,
    batch: &Batch,
) -> Result<Answered, ClientError> {
    let mut answered = Answered::default();
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut write = |cells: [&str; 2]| csv.write_record(cells).is_ok();
    write(["code", "limit"]);
    for (line, text) in &batch.records {
        let read = Record::from_json(text).and_then(|record| {
            let code = record.needed_id("code", VoucherCode::new)?;
            Ok((code, record.count("limit")?))
        });
        match read {
            Ok((code, limit)) => {
                write([
                    code.as_str(),
                    &limit.map(|limit| limit.to_string()).unwrap_or_default(),
                ]);
            }
            Err(problem) => answered.rejected.push((*line, problem)),
        }
    }
    let body = csv
        .into_inner()
        .map_err(|error| ClientError::NoAnswer(error.to_string()))?;
    if answered.rejected.len() == batch.records.len() {
        return Ok(answered);
    }
    #[derive(Deserialize)]
    struct Made {
        created: usize,
        existing: usize,
    }
    let path = format!("promotions/{}/vouchers", step(promotion));
    let (status, body) = client
        .call(Method::POST, &path, "text/csv", body.into())
        .await?;
    let made = serde_json::from_slice::<Made>(&body)
        .ok()
        .filter(|_| status == StatusCode::CREATED);
    let made = made.ok_or_else(|| refused(status, &body))?;
    answered.accepted = made.created;
    answered.duplicates = made.existing;
    Ok(answered)
}
