//! `revtrail serve`: all functions in one process on the embedded database, with a clock that ticks every hour, and an inbox.

mod connections;
pub(crate) mod data;
mod keys;
mod metrics;
mod queue;
mod wrong_keys;

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use hourly_attributor::Attributor;
use redemption_batch::BatchLimits;
use revtrail_attribute::stop;
use revtrail_aws::clock::Clock;
use revtrail_core::value::time::{Instant, Retention, Span};
use revtrail_storage::files::{Files, Folder};
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::market::access::OtherRetention;
use revtrail_store::table::embedded::{self, OpenError};
use revtrail_store::{StoreError, random_hex};
use revtrail_web::api::Route;
use revtrail_web::app::{App, Uploads};
use revtrail_web::dispatch::router;
use revtrail_web::hosts::Hosts;
use tokio::sync::mpsc;

use crate::inbox::Inbox;
pub use crate::serve::connections::{ConnectionLimits, serve};
use crate::{demo, hints, inbox, recover};

/// What `revtrail serve` is asked for.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  revtrail serve --demo                    a lively sample marketplace, in memory; the key is `demo`
  revtrail serve --data ./data             keep everything in ./data
  revtrail serve --now 2018-01-02T00:00:00Z --retention 500d     try old data")]
pub struct ServeArgs {
    /// Keep everything in this folder, and take in files of redemptions from DIR/inbox; without it, in memory
    #[arg(long, value_name = "DIR", env = "REVTRAIL_DATA")]
    pub data: Option<PathBuf>,
    /// Listen on this port; 0 takes a free one
    #[arg(long, default_value_t = 8080, env = "REVTRAIL_PORT")]
    pub port: u16,
    /// Listen on this address; 0.0.0.0 lets other machines in
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1",
        env = "REVTRAIL_BIND"
    )]
    pub bind: IpAddr,
    /// The name that this machine is reached by, for the addresses that are printed. Behind a loopback address, calls by other
    /// names are refused; give the option once for each name
    #[arg(long, value_name = "NAME", env = "REVTRAIL_HOST", value_delimiter = ',', value_parser = parse_host)]
    pub host: Vec<String>,
    /// The key that may do everything, of at least 16 characters; without one, that of DIR/admin-key, which is made up where it
    /// is not there yet
    #[arg(
        long,
        value_name = "KEY",
        env = "REVTRAIL_ADMIN_KEY",
        hide_env_values = true
    )]
    pub admin_key: Option<String>,
    /// Read that key from this file, where no list of processes shows it
    #[arg(
        long,
        value_name = "FILE",
        env = "REVTRAIL_ADMIN_KEY_FILE",
        conflicts_with = "admin_key"
    )]
    pub admin_key_file: Option<PathBuf>,
    /// Start the clock at this time instead of the machine's, and let it run on
    #[arg(long, value_name = "TIME", env = "REVTRAIL_NOW", value_parser = |text: &str| Instant::parse(text))]
    pub now: Option<Instant>,
    /// How long facts are seen: at least 30d
    #[arg(long, default_value = "90d", env = "REVTRAIL_RETENTION", value_parser = parse_retention)]
    pub retention: Retention,
    /// The most MiB that a file in the inbox may hold, unpacked
    #[arg(long, value_name = "MIB", default_value_t = inbox::LIMITS.unpacked_bytes >> 20, env = "REVTRAIL_FILE_MIB_MAX",
        value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub file_mib_max: u64,
    /// How many calls a second a key may make, and twice as many at once; without it, as many as it likes
    #[arg(long, value_name = "CALLS", env = "REVTRAIL_KEY_CALLS_PER_SECOND")]
    pub key_calls_per_second: Option<NonZeroU32>,
    /// Load a lively sample marketplace; the key is `demo`
    #[arg(long, env = "REVTRAIL_DEMO", value_parser = clap::builder::FalseyValueParser::new())]
    pub demo: bool,
}

fn parse_host(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    match !text.is_empty() && text.chars().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err("a name is like shop.example, without http:// and without a port".to_owned()),
    }
}

fn parse_retention(text: &str) -> Result<Retention, String> {
    let days = Span::parse(text)
        .and_then(|span| u32::try_from(span.ms() / revtrail_core::value::time::DAY_MS).ok());
    days.and_then(Retention::days)
        .ok_or_else(|| "a retention is at least 30 days, like 90d".to_owned())
}

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The folder cannot be used.
    #[error("failed to use {path}: {source}; --data names a folder that revtrail may write to")]
    Folder {
        /// The path of the folder.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// Another process uses the folder.
    #[error("{0} is in use by another revtrail: stop that one, or give another --data")]
    InUse(PathBuf),
    /// The database in the folder cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file of the admin key cannot be used.
    #[error("failed to use {path}: {source}; it holds the admin key")]
    KeyFile {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The admin key is not acceptable. The key itself stays out of the text.
    #[error("the admin key {from} {why}")]
    AdminKey {
        /// Where the key comes from.
        from: String,
        /// What is wrong with the key, and what to do.
        why: String,
    },
    /// The address cannot be listened on.
    #[error("failed to listen on {address}: {source}; give another --port or --bind")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The table failed.
    #[error("the database failed: {0}")]
    Store(#[from] StoreError),
    /// The figures were made with another retention.
    #[error(transparent)]
    Retention(#[from] OtherRetention),
    /// The server failed.
    #[error("the server failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Every route of every function, once. `enqueue` hands over the runs that are asked for.
pub fn routes(enqueue: manage::Enqueue) -> Vec<Route> {
    let mut routes = ingest_event::routes();
    routes.extend(ingest_order::routes());
    routes.extend(manage::routes(enqueue));
    routes.extend(report_query::routes());
    routes
}

/// Serves until the process is told to stop, with this process's output and log.
pub fn on_this_terminal(args: &ServeArgs) -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(tracing::Level::INFO)
        .init();
    keys::warn_of_arguments();
    // Whatever is written is its owner's alone, also by SQLite, and however this process was started.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores * THREADS_PER_CORE)
        .enable_all()
        .build()
        .map_err(ServeError::Io);
    let served = runtime.and_then(|runtime| {
        let served = runtime.block_on(run(args, &mut std::io::stdout()));
        // A thread that waits for a disk or computes does not keep the process alive: what it has not stored was not answered.
        runtime.shutdown_timeout(ENDS_WITHIN);
        served
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            match error {
                ServeError::AdminKey { .. } => ExitCode::from(USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Serves until the process is told to stop. `out` gets what a person should know; the line with the address comes last.
///
/// # Errors
/// What keeps the service from starting, or what ended it.
pub async fn run(args: &ServeArgs, out: &mut (dyn Write + Send)) -> Result<(), ServeError> {
    let clock = args.now.map_or(Clock::REAL, Clock::starting_at);
    let given = keys::given_key(args)?;
    let (embedded, _locks) = data::open(args.data.as_deref())?;
    let store = embedded::store(embedded.clone()).await?;
    store.hold_retention(args.retention).await??;
    let key = match (&given, &args.data) {
        (Some(key), _) => key.clone(),
        (None, _) if args.demo => keys::DEMO_KEY.to_owned(),
        (None, Some(folder)) => keys::kept_key(folder)?,
        (None, None) => random_hex(),
    };
    let (enqueue, enqueued) = mpsc::unbounded_channel::<JobMessage>();
    let enqueue = manage::in_process(move |message| drop(enqueue.send(message)));
    let app = App::new(store.clone(), clock.clone(), args.retention, &key);
    app.fetch_by(Box::new(|url| Box::pin(revtrail_aws::fetch::amazon(url))));
    if let Some(calls) = args.key_calls_per_second {
        app.hold_keys_to(calls);
    }
    let is_sample = args.demo && key == keys::DEMO_KEY;
    if is_sample {
        app.offer_key(&key);
    }
    match &args.data {
        Some(folder) => {
            app.take_files(inbox::taker(folder.clone()));
            app.take_uploads(Uploads::Here);
            if let Err(error) = inbox::sweep(folder) {
                tracing::warn!(%error, "failed to delete what is left of files that were being sent");
            }
        }
        None => app.keep_in_memory(),
    }
    let mut router = router(routes(enqueue), app.clone());
    if let Some(folder) = &args.data {
        router = inbox::with_uploads(router, app.clone(), folder.clone(), args.file_mib_max << 20);
    }
    router = metrics::measured(router, app);
    if args.bind.is_loopback() {
        router = Hosts::new(args.host.clone()).guard(router);
    }
    recover::end_runs(&store, args.retention, clock.now()).await?;
    if args.demo {
        demo::load(
            &store,
            args.retention,
            clock.now(),
            args.data.as_deref(),
            std::io::stderr().is_terminal(),
        )
        .await?;
    }
    // No call of this process is older.
    let (now, retention) = (clock.now(), args.retention);
    let address = SocketAddr::new(args.bind, args.port);
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    let address = listener.local_addr()?;
    let files = args.data.clone().map(|folder| {
        let limits = BatchLimits {
            unpacked_bytes: args.file_mib_max << 20,
            ..inbox::LIMITS
        };
        let (store, clock) = (store.clone(), clock.clone());
        let inbox = Inbox::new(store, args.retention, clock, folder, limits);
        tokio::spawn(inbox::watch(inbox))
    });
    let worker = Attributor {
        outbox: args
            .data
            .clone()
            .map(|root| Files::Folder(Folder::new(root))),
        ..Attributor::new(store.clone(), args.retention)
    };
    let attributor = tokio::spawn(async move {
        // Ahead of the first tick, but not of the first answer: there can be hundreds of thousands of calls.
        if let Err(error) = recover::close_calls(&store, retention, now).await {
            tracing::error!(%error, "failed to close what a killed process left; each is closed 15 minutes after it came");
        }
        queue::attribute(worker, clock, enqueued, embedded).await;
    });
    let reached = match args.host.first() {
        Some(name) => format!("{name}:{}", address.port()),
        None => address.to_string(),
    };
    // Whoever gave a key knows it, and nobody knows who reads the output.
    let shown = given.map_or(key.as_str(), |_| "<the admin key that you gave>");
    greet(out, &reached, shown, args, now)?;
    let limits = ConnectionLimits::of_this_process();
    serve(listener, router, limits, stop::told()).await;
    attributor.abort();
    if let Some(files) = files {
        files.abort();
    }
    writeln!(out, "stopped")?;
    Ok(())
}

/// How many threads serve calls for each core. A report that is computed keeps its thread for a tenth of a second. Where there are more
/// threads than cores, the system takes the core from it for a short call of another marketplace, and gives it back after that.
const THREADS_PER_CORE: usize = 4;
/// How long the threads of the process are waited for at its end, after its connections.
const ENDS_WITHIN: Duration = Duration::from_secs(3);
/// The exit code for wrong arguments, the same as clap's.
const USAGE: u8 = 2;

fn greet(
    out: &mut (dyn Write + Send),
    address: &str,
    key: &str,
    args: &ServeArgs,
    now: Instant,
) -> std::io::Result<()> {
    let auth = format!("'Authorization: Bearer {key}'");
    // A key that is in an address is in the history of a browser: only that of the sample may be.
    match key == keys::DEMO_KEY {
        true => writeln!(out, "open        http://{address}/app/sign-in?key={key}")?,
        false => writeln!(out, "open        http://{address}/app")?,
    }
    match &args.data {
        Some(folder) => {
            writeln!(out, "data in     {}", folder.display())?;
            let inbox = folder.join("inbox/<marketplace>/redemptions/");
            writeln!(out, "files into  {}", inbox.display())?;
        }
        None => writeln!(
            out,
            "data in     memory: gone when this process stops; --data DIR keeps it"
        )?,
    }
    writeln!(out, "admin key   {key}")?;
    let hints = match args.demo {
        true => hints::of_the_sample(now),
        false => hints::from_nothing(now),
    };
    writeln!(out, "try, one after the other")?;
    for hint in hints {
        writeln!(out, "  # {}", hint.says)?;
        writeln!(out, "  {}", hint.curl(&format!("http://{address}"), &auth))?;
    }
    writeln!(out, "listening on http://{address}")?;
    out.flush()
}
