//! `revtrail import`: files into a running service, as `attribute` reads them (rule 7.4). Records go out in batches over several lanes;
//! all records with one id go through one lane, so they arrive in the order of the file. What was answered is written to a file beside
//! the source, so an import that was killed goes on where it was.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use revtrail_core::attribution::order::Status;
use revtrail_core::attribution::{event, order};
use revtrail_providers::exports::Makes;

use crate::attribute::output::Output;
use crate::attribute::rejects::Rejects;
use crate::attribute::table::{grouped, plural};
use crate::attribute::{Exit, Failure, progress};
use crate::exports::{ExportArgs, Exports};

mod batches;
mod client;
mod lanes;
mod source;
mod state;

use client::{Client, ClientError};
use lanes::Answered;
use source::{Source, each_record};
use state::State;

const EXAMPLES: &str = "\
The key is that of --key-file, or of REVTRAIL_KEY in the environment: one of the role
ingest for events and orders, of marketer or admin for campaigns and vouchers.

An import that was stopped goes on where it was when the same command is given again:
beside each file there is FILE.revtrail-import until all of it was answered. Records
that the service has already are duplicates, so nothing counts twice.

Examples:
  revtrail import --url https://revtrail.example --marketplace shop --key-file key \\
      --events email_activity.csv --orders orders_export.csv
  REVTRAIL_KEY=demo revtrail import --url http://127.0.0.1:8080 --marketplace demo \\
      --orders orders.jsonl.gz --rejects rejects.csv
  revtrail import --url http://127.0.0.1:8080 --marketplace demo --key-file key \\
      --vouchers vouchers.csv --promotion spring

Exit codes:
  0  clean
  1  a file cannot be read, or the service cannot be reached or refuses the call
  2  usage
  3  some rows were rejected (0 with --max-rejects N and at most N of them)";

/// What `revtrail import` takes.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// The address of the service, like `https://revtrail.example`
    #[arg(long, env = "REVTRAIL_URL")]
    pub url: String,
    /// The marketplace that the records are of
    #[arg(long, value_name = "ID")]
    pub marketplace: String,
    /// A file with the key; without it, the key is REVTRAIL_KEY in the environment
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Files of message events
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub events: Vec<PathBuf>,
    /// Files of orders
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub orders: Vec<PathBuf>,
    /// Files of campaigns
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub campaigns: Vec<PathBuf>,
    /// Files of vouchers
    #[arg(long, num_args = 1.., value_name = "FILE", requires = "promotion")]
    pub vouchers: Vec<PathBuf>,
    /// The promotion that the vouchers are of
    #[arg(long, value_name = "ID")]
    pub promotion: Option<String>,
    /// How many calls go on at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub parallel: u8,
    /// Write the rows that were rejected: file, line, code, detail
    #[arg(long, value_name = "OUT.csv")]
    pub rejects: Option<PathBuf>,
    /// Exit with 0 while at most N rows are rejected
    #[arg(long, value_name = "N")]
    pub max_rejects: Option<u64>,
    /// The status of an order that its shop has finished, COMPLETE or DELIVERED; by default the service's settings say it
    #[arg(long, value_name = "STATUS", value_parser = read_finished, help_heading = "Exports of shops and mail tools")]
    pub finished: Option<Status>,
    /// What exports of other programs do not say.
    #[command(flatten, next_help_heading = "Exports of shops and mail tools")]
    pub exports: ExportArgs,
}

fn read_finished(text: &str) -> Result<Status, String> {
    let finished =
        Status::parse(text).filter(|s| matches!(s, Status::Complete | Status::Delivered));
    finished.ok_or_else(|| "a finished order is COMPLETE or DELIVERED".to_owned())
}

/// The variable of the environment that holds the key.
const KEY: &str = "REVTRAIL_KEY";

/// Runs with the standard error of this process.
pub fn on_this_terminal(args: &ImportArgs) -> Exit {
    let key = std::env::var(KEY).ok();
    let watched = io::stderr().is_terminal();
    run(args, key.as_deref(), &mut io::stderr(), watched)
}

/// Runs: what happened is said on `err`. `key` is the key of the environment.
pub fn run(args: &ImportArgs, key: Option<&str>, err: &mut dyn Write, watched: bool) -> Exit {
    match import(args, key, err, watched) {
        Ok(exit) => exit,
        Err(failure) => {
            // If standard error is gone, nobody is left to be told.
            let _ = writeln!(err, "revtrail import: {failure}");
            failure.exit()
        }
    }
}

fn import(
    args: &ImportArgs,
    key: Option<&str>,
    err: &mut dyn Write,
    watched: bool,
) -> Result<Exit, Failure> {
    let key = read_key(args, key)?;
    let usage = |why: String| Failure::Usage(vec![why]);
    let client = Client::new(&args.url, &args.marketplace, &key).map_err(usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|source| Failure::Read {
        path: "the runtime".into(),
        source,
    })?;
    let failed = |error| service_failed(args, error);
    let finished = match args.finished {
        Some(status) => Some(status),
        None => runtime.block_on(client.finished()).map_err(failed)?,
    };
    let exports = Exports::new(&args.exports, finished).map_err(Failure::Usage)?;
    let inputs = inputs(args);
    if inputs.is_empty() {
        return Err(usage(
            "name what to import: --events, --orders, --campaigns or --vouchers".to_owned(),
        ));
    }
    let bar = progress(inputs.iter().map(|(path, _)| *path), watched)?;
    let mut rejects = Rejects::new(args.rejects.as_deref())?;
    for (path, makes) in inputs {
        bar.set_message(makes.name());
        let sent = send(args, path, makes, &client, &exports, &runtime, &bar)?;
        for (line, problem) in &sent.rejected {
            rejects.add(path, *line, problem)?;
        }
        let _ = bar.suspend(|| writeln!(err, "{}", said(path, makes, &sent)));
    }
    bar.finish_and_clear();
    let (rejected, output) = rejects.finish()?;
    output.map_or(Ok(()), Output::finish)?;
    for remark in exports.remarks() {
        let _ = writeln!(err, "{remark}");
    }
    match rejected.rows > args.max_rejects.unwrap_or(0) {
        true => Ok(Exit::Rejected),
        false => Ok(Exit::Clean),
    }
}

/// The files in the order in which they are sent: campaigns first, so that events do not make campaigns without a name.
fn inputs(args: &ImportArgs) -> Vec<(&Path, Makes)> {
    let kinds = [
        (&args.campaigns, Makes::Campaigns),
        (&args.events, Makes::Events),
        (&args.orders, Makes::Orders),
        (&args.vouchers, Makes::Vouchers),
    ];
    let all = kinds
        .into_iter()
        .flat_map(|(paths, makes)| paths.iter().map(move |path| (path.as_path(), makes)));
    all.collect()
}

fn read_key(args: &ImportArgs, key: Option<&str>) -> Result<String, Failure> {
    let key = match &args.key_file {
        Some(path) => std::fs::read_to_string(path).map_err(|source| Failure::Read {
            path: path.clone(),
            source,
        })?,
        None => key.unwrap_or_default().to_owned(),
    };
    match key.trim() {
        "" => Err(Failure::Usage(vec![format!(
            "a key is needed: put it into a file for --key-file, or into {KEY} of the environment"
        )])),
        key => Ok(key.to_owned()),
    }
}

fn service_failed(args: &ImportArgs, error: ClientError) -> Failure {
    Failure::Service {
        url: args.url.clone(),
        detail: error.to_string(),
    }
}

/// What a CSV file of such records must have where its columns are ours.
fn needed(makes: Makes) -> &'static [&'static str] {
    match makes {
        Makes::Events => &event::NEEDED,
        Makes::Orders => &order::NEEDED,
        Makes::Campaigns => &["campaign_id"],
        Makes::Vouchers => &["code"],
    }
}

fn send(
    args: &ImportArgs,
    path: &Path,
    makes: Makes,
    client: &Client,
    exports: &Exports,
    runtime: &tokio::runtime::Runtime,
    bar: &ProgressBar,
) -> Result<Answered, Failure> {
    let kind = (makes, needed(makes));
    let source = Source::open(path, kind, exports, bar)?;
    if source.says_finished() && exports.finished().is_none() {
        let why = "this key may not read the settings, which say whether a finished order is COMPLETE or DELIVERED: say it, like `--finished COMPLETE`";
        return Err(Failure::Usage(vec![format!("{}: {why}", path.display())]));
    }
    let given = format!("{} {:?}", exports.said(), args.promotion);
    let state = State::open(
        path,
        &[&args.url, &args.marketplace, makes.name(), &given],
        args.parallel,
    )?;
    let lanes = lanes::Lanes::start(runtime, client, makes, args.promotion.as_deref(), state);
    let mut batches = batches::Batches::new(makes, args.parallel);
    let read = each_record(path, source, kind, exports, |line, record| {
        match batches.take(line, record) {
            Some(batch) => lanes.send(batch),
            None => Ok(()),
        }
    });
    let rest = read.and_then(|()| {
        batches
            .rest()
            .into_iter()
            .try_for_each(|batch| lanes.send(batch))
    });
    let rejected = batches.rejected;
    // Where a lane failed, that is the reason why nothing more could be sent.
    let answered = lanes.finish(runtime, rejected).map_err(|why| match why {
        lanes::LaneError::Client(error) => service_failed(args, error),
        lanes::LaneError::State(failure) => failure,
    });
    match (answered, rest) {
        (Err(failure), _) => Err(failure),
        (Ok(_), Err(failure)) => Err(failure),
        (Ok((answered, state)), Ok(())) => {
            state.remove()?;
            Ok(answered)
        }
    }
}

fn said(path: &Path, makes: Makes, sent: &Answered) -> String {
    let what = makes.name().trim_end_matches('s');
    let rejected = sent.rejected.len();
    let shown = |count: usize| grouped(&count.to_string());
    let older = match sent.older {
        0 => String::new(),
        older => format!(" ({} of them older copies)", shown(older)),
    };
    format!(
        "{}: {}: {} accepted{older}, {} known before, {} rejected",
        path.display(),
        plural(sent.accepted + sent.duplicates + rejected, what),
        shown(sent.accepted),
        shown(sent.duplicates),
        shown(rejected),
    )
}
