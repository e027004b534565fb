//! `revtrail attribute`: the rules of revtrail over files (rule 7.4). The files beside this one have the reading, the facts, the
//! writing and the table. `revtrail-core` decides which campaign earned an order.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use revtrail_core::attribution::campaign::Catalog;
use revtrail_core::attribution::order::Status;
use revtrail_core::attribution::settings::{Preset, Settings, Versions};
use revtrail_core::figures::hints::Hints;
use revtrail_core::figures::report::{CampaignReport, Filter, campaign_report};
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::DAY_MS;
use revtrail_files::what_is;
use serde::Serialize;

use crate::exports::Exports;
use crate::stop;

mod decided;
mod engagement;
mod facts;
mod guests;
mod intake;
mod messages;
mod numbers;
mod orders;
pub(crate) mod output;
mod parallel;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
mod partition;
pub(crate) mod paths;
pub(crate) mod read;
pub(crate) mod rejects;
mod rows;
mod segments;
mod show_map;
mod spill;
pub(crate) mod table;
mod write;

pub use crate::exports::ExportArgs;
pub use intake::Tuning;

use decided::{Decided, Wanted, decide_all};
use facts::FileFacts;
use output::Output;
use paths::{inputs, is_standard_input, is_standard_output, outputs};
use rejects::Rejects;
use write::{Texts, write_credits_head};

/// The longest window in file runs, in milliseconds: 52 weeks (rule 2).
const WINDOW_MS_MAX: i64 = 52 * 7 * DAY_MS;

/// How a process ends that ^C stops, as shells have it: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

const EXAMPLES: &str = "\
Files are .csv, .jsonl (.ndjson), each also with .gz or .zst, or .parquet; - is
standard input, known by its content, and good for one of the inputs; a pattern
like 'logs/*.csv.gz' names all files that fit, in the order of their paths. Columns are named as the
fields of events, orders and campaigns, in any order; unknown ones are ignored,
optional ones may be absent or empty; | joins a list in a CSV cell. Of events
with one event_id of a customer the first stands, of rows of a campaign the last.

Exports of shops and mail tools are known by their columns: Shopify, WooCommerce,
Magento, Square, Salesforce Marketing Cloud, SendGrid, Brevo, Mailchimp, HubSpot,
Twilio and others. What they do not say is asked for; --map describes any other.

Examples:
  revtrail attribute --events events.csv --orders orders.csv
  revtrail attribute --events email_activity.csv --orders orders_export.csv
  revtrail attribute --orders orders.csv --show-map > map.json
  revtrail attribute --events mail.jsonl.gz push.csv --orders orders.csv.gz \\
      --campaigns campaigns.csv --settings yespo_v1 --credits credits.csv \\
      --explain explain.jsonl --rejects rejects.csv
  revtrail attribute --events events.csv --orders orders.csv \\
      --settings settings.json --json | jq .totals.revenue

Exit codes:
  0  clean
  1  a file cannot be read or written, or lacks a needed column
  2  usage, or bad settings
  3  some rows were rejected (0 with --max-rejects N and at most N of them)";

/// What `revtrail attribute` takes.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct AttributeArgs {
    /// Files of message events
    #[arg(long, required_unless_present = "show_map", num_args = 1.., value_name = "FILE")]
    pub events: Vec<PathBuf>,
    /// Files of orders
    #[arg(long, required_unless_present = "show_map", num_args = 1.., value_name = "FILE")]
    pub orders: Vec<PathBuf>,
    /// Files of campaigns: names, tags, send times; campaigns not in them are named by their ids
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub campaigns: Vec<PathBuf>,
    /// A JSON file of settings, or a preset: redbox, yespo_v1, yespo_v2
    #[arg(long, default_value = "redbox", value_name = "FILE|PRESET")]
    pub settings: String,
    /// The files are revtrail's own exports of this marketplace: events name addresses by its hashes
    #[arg(long, value_name = "ID", value_parser = read_marketplace)]
    pub marketplace: Option<MarketplaceId>,
    /// Write who earned each order, one CSV row an order (- for standard output)
    #[arg(long, value_name = "OUT.csv")]
    pub credits: Option<PathBuf>,
    /// Write why, with every candidate, one JSON object an order (- for standard output)
    #[arg(long, value_name = "OUT.jsonl")]
    pub explain: Option<PathBuf>,
    /// Print the report as JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Write the rows that could not be used: file, line, code, detail
    #[arg(long, value_name = "OUT.csv")]
    pub rejects: Option<PathBuf>,
    /// Exit with 0 while at most N rows are rejected
    #[arg(long, value_name = "N")]
    pub max_rejects: Option<u64>,
    /// Read and decide with N threads; by default with as many as the machine has cores
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Keep at most SIZE of events in memory, like 512MB or 2GB, and the others in a temporary file; by default 24MB
    #[arg(long, value_name = "SIZE", value_parser = read_size)]
    pub memory: Option<usize>,
    /// What exports of other programs do not say.
    #[command(flatten, next_help_heading = "Exports of shops and mail tools")]
    pub exports: ExportArgs,
    /// Print how each file is understood, as maps with three records of each, and attribute nothing
    #[arg(long, help_heading = "Exports of shops and mail tools")]
    pub show_map: bool,
}

/// Reads a number of bytes.
fn read_size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "KB" => 10,
        "MB" => 20,
        "GB" => 30,
        _ => return Err("a size is a number of KB, MB or GB, like 512MB".to_owned()),
    };
    let size = digits
        .parse::<usize>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift));
    size.ok_or_else(|| format!("{text} is no size of this machine's memory"))
}

fn read_marketplace(text: &str) -> Result<MarketplaceId, String> {
    MarketplaceId::new(text).map_err(|why| why.to_string())
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Every row was used, or no more were rejected than allowed.
    Clean = 0,
    /// Nothing was attributed: a file cannot be read or written, or misses a needed column.
    Failed = 1,
    /// The arguments or the settings are wrong.
    Usage = 2,
    /// All was done, but some rows were rejected.
    Rejected = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Which outputs a person watches. Colours go to standard output, and the progress bar to standard error.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watched {
    /// True if standard output is a terminal.
    pub out: bool,
    /// True if standard error is a terminal.
    pub err: bool,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{}", .0.join("\n"))]
    Usage(Vec<String>),
    #[error("failed to read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("failed to write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("failed to read {}: {detail}", path.display())]
    Content { path: PathBuf, detail: String },
    #[error("failed to import into {url}: {detail}")]
    Service { url: String, detail: String },
    #[error(transparent)]
    DoesNotAddUp(#[from] revtrail_core::figures::report::DoesNotAddUp),
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            // A reader that went away, like `head`, has what it wanted.
            Self::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => Exit::Clean,
            _ => Exit::Failed,
        }
    }
}

/// Rows that are not in memory cannot be read again.
fn failed_to_read_rows(source: io::Error) -> Failure {
    Failure::Read {
        path: std::env::temp_dir(),
        source,
    }
}

/// Runs with the standard output and the standard error of this process.
pub fn on_this_terminal(args: &AttributeArgs) -> Exit {
    stop::then(|| output::abandon(INTERRUPTED));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let watched = Watched {
        out: io::stdout().is_terminal() && !no_color,
        err: io::stderr().is_terminal(),
    };
    run(args, &mut io::stdout().lock(), &mut io::stderr(), watched)
}

/// Runs: the report goes to `out`, the summary and failures to `err`.
pub fn run(
    args: &AttributeArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
    watched: Watched,
) -> Exit {
    run_tuned(
        args,
        &Tuning::new(args.threads, args.memory),
        out,
        err,
        watched,
    )
}

/// Runs as [`run`] does, and reads in a given way. Tests compare the ways.
pub fn run_tuned(
    args: &AttributeArgs,
    tuning: &Tuning,
    out: &mut dyn Write,
    err: &mut dyn Write,
    watched: Watched,
) -> Exit {
    match attribute(args, tuning, out, err, watched) {
        Ok(exit) => exit,
        Err(failure) => {
            let exit = failure.exit();
            if exit != Exit::Clean {
                // If standard error is gone, nobody is left to be told.
                let _ = writeln!(err, "revtrail attribute: {failure}");
            }
            exit
        }
    }
}

fn attribute(
    args: &AttributeArgs,
    tuning: &Tuning,
    out: &mut dyn Write,
    err: &mut dyn Write,
    watched: Watched,
) -> Result<Exit, Failure> {
    let started = std::time::Instant::now();
    let args = &paths::expand(args)?;
    paths::check(args)?;
    let settings = read_settings(&args.settings)?;
    let finished = finished(&settings);
    let exports = Exports::new(&args.exports, Some(finished)).map_err(Failure::Usage)?;
    if args.show_map {
        return show_map::show(args, &exports, out, err);
    }
    let files = inputs(args).map(|(_, path)| path.as_path());
    let bar = progress(files, watched.err)?;
    let mut rejects = Rejects::new(args.rejects.as_deref())?;
    let facts = FileFacts::read(args, tuning, &exports, &bar, &mut rejects)?;
    bar.finish_and_clear();
    let read = started.elapsed();

    let versions = Versions::only(settings);
    let newest = &versions.newest().settings;
    let wanted = Wanted {
        credits: args.credits.is_some(),
        explanations: args.explain.is_some(),
        bytes_max: tuning.memory_bytes,
    };
    let decided = decide_all(&facts, &versions, wanted, tuning.threads);
    let (mut decided, catalog) = decided.map_err(failed_to_read_rows)?;
    let deciding = started.elapsed() - read;
    let (customers, without_event) = (decided.customers, decided.without_event);
    let events = (decided.events, decided.event_duplicates);
    let report = FileReport {
        figures: report(&decided, &catalog, newest)?,
        hints: Hints::new(&decided.sums, newest, customers, without_event),
    };

    // All files are written before the first appears, so a disk that is full leaves none.
    let mut written = Vec::new();
    if let Some(path) = &args.credits {
        let credits = std::mem::take(&mut decided.credits);
        written.push(Output::write_all(path, out, |to| {
            write_credits_head(to)?;
            Texts::write(to, credits)
        })?);
    }
    if let Some(path) = &args.explain {
        let explanations = std::mem::take(&mut decided.explanations);
        written.push(Output::write_all(path, out, |to| {
            Texts::write(to, explanations)
        })?);
    }
    let (rejected, output) = rejects.finish()?;
    written.push(output);
    written.into_iter().flatten().try_for_each(Output::finish)?;
    // The table moves to standard error if a file goes to standard output.
    if outputs(args).any(|(_, path)| is_standard_output(path)) {
        print_report(args, &report, newest, err, false)?;
    } else {
        print_report(args, &report, newest, out, watched.out)?;
    }
    let took = [started.elapsed(), deciding];
    let mut summary = facts.summary(events, &rejected, args.rejects.is_some(), took);
    summary.extend(exports.remarks().iter().map(|remark| format!("{remark}\n")));
    summary.extend(report.hints.hints.iter().map(|hint| format!("{hint}\n")));
    // The figures are already written, so a summary that nobody can read is no failure.
    let _ = err.write_all(summary.as_bytes());
    let allowed = args.max_rejects.unwrap_or(0);
    Ok(if rejected.rows > allowed {
        Exit::Rejected
    } else {
        Exit::Clean
    })
}

/// The status of an order that its shop has finished: COMPLETE, or DELIVERED where the settings count only that.
fn finished(settings: &Settings) -> Status {
    let counts = |status| settings.counted_statuses.contains(&status);
    match counts(Status::Delivered) && !counts(Status::Complete) {
        true => Status::Delivered,
        false => Status::Complete,
    }
}

/// The report of a run: the figures, and why they can be zero.
#[derive(Serialize)]
struct FileReport {
    #[serde(flatten)]
    figures: CampaignReport,
    #[serde(flatten)]
    hints: Hints,
}

fn report(
    decided: &Decided,
    catalog: &Catalog,
    newest: &Settings,
) -> Result<CampaignReport, Failure> {
    let find = |place: &_| Cow::Borrowed(catalog.at(*place));
    Ok(campaign_report(
        &decided.sums,
        find,
        newest,
        &Filter::default(),
    )?)
}

/// Prints the report as a table or as JSON.
fn print_report(
    args: &AttributeArgs,
    report: &FileReport,
    newest: &Settings,
    to: &mut dyn Write,
    colours: bool,
) -> Result<(), Failure> {
    let text = if args.json {
        serde_json::to_string_pretty(report).map(|text| text + "\n")
    } else {
        Ok(table::render(&report.figures, newest, colours))
    };
    text.map_err(io::Error::from)
        .and_then(|text| to.write_all(text.as_bytes()))
        .and_then(|()| to.flush())
        .map_err(|source| Failure::Write {
            path: "standard output".into(),
            source,
        })
}

/// Reads the settings. A preset by its bare name keeps currencies apart; anything else is a file. Trouble with either is usage
/// (rule 7.4).
fn read_settings(name: &str) -> Result<Settings, Failure> {
    if let Some(preset) = Preset::parse(name) {
        return Ok(preset.settings());
    }
    let usage = |detail: String| Failure::Usage(vec![format!("--settings {name}: {detail}")]);
    let mut bytes = Vec::new();
    let read = match is_standard_input(name) {
        true => io::stdin().read_to_end(&mut bytes),
        false => File::open(name).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    read.map_err(|error| {
        let presets = Preset::ALL.map(Preset::name).join(", ");
        usage(format!(
            "this is none of the presets {presets}, and not a readable file: {error}"
        ))
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        let what = what_is(&bytes).unwrap_or("the file is not UTF-8: save it as UTF-8");
        usage(what.to_owned())
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value = serde_json::from_str(text).map_err(|error| usage(format!("no JSON: {error}")))?;
    Settings::read(&value, WINDOW_MS_MAX).map_err(|problems| {
        let line =
            |p: &revtrail_core::record::RecordProblem| format!("--settings {name}: {}", p.detail);
        let mut lines: Vec<String> = problems.iter().map(line).collect();
        let more = problems.total() - problems.len();
        lines.extend((more > 0).then(|| format!("--settings {name}: {more} more are wrong")));
        Failure::Usage(lines)
    })
}

/// A progress bar over the bytes of all files as they are on disk. So a missing file is found before any file is read.
pub(crate) fn progress<'p>(
    files: impl Iterator<Item = &'p Path>,
    watched: bool,
) -> Result<ProgressBar, Failure> {
    let mut bytes = 0;
    for path in files.filter(|path| !is_standard_input(path)) {
        let found = std::fs::metadata(path).map_err(|source| Failure::Read {
            path: path.into(),
            source,
        })?;
        bytes += found.len();
    }
    if !watched {
        return Ok(ProgressBar::hidden());
    }
    let bar = ProgressBar::new(bytes);
    let template = "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    Ok(bar)
}

#[cfg(test)]
mod tests;
