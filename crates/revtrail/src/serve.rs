//! `revtrail serve`: all functions in one process on the embedded database, with a clock that ticks every hour, and an inbox.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use hourly_attributor::Attributor;
use revtrail_aws::clock::Clock;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention, Span};
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::market::access::OtherRetention;
use revtrail_store::table::embedded::{self, Embedded, OpenError};
use revtrail_store::{Store, StoreError, random_hex};
use revtrail_web::api::Route;
use revtrail_web::app::App;
use revtrail_web::dispatch::router;
use tokio::sync::mpsc;

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
    /// The name that this machine is reached by, for the addresses that are printed
    #[arg(long, value_name = "NAME", env = "REVTRAIL_HOST", value_parser = parse_host)]
    pub host: Option<String>,
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
    let served = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Io);
    match served.and_then(|runtime| runtime.block_on(run(args, &mut std::io::stdout()))) {
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
    let given = given_key(args)?;
    let (embedded, _lock) = open(args.data.as_deref())?;
    let store = embedded::store(embedded.clone()).await?;
    store.hold_retention(args.retention).await??;
    let key = match (&given, &args.data) {
        (Some(key), _) => key.clone(),
        (None, _) if args.demo => DEMO_KEY.to_owned(),
        (None, Some(folder)) => kept_key(&folder.join("admin-key"))?,
        (None, None) => random_hex(),
    };
    let (enqueue, enqueued) = mpsc::unbounded_channel::<JobMessage>();
    let enqueue = manage::in_process(move |message| drop(enqueue.send(message)));
    let app = App::new(store.clone(), clock.clone(), args.retention, &key);
    let router = router(routes(enqueue), app);
    recover::end_runs(&store, args.retention, clock.now()).await?;
    if args.demo {
        demo::load(
            &store,
            args.retention,
            clock.now(),
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
        let (store, clock) = (store.clone(), clock.clone());
        tokio::spawn(inbox::watch(store, args.retention, clock, folder))
    });
    let attributor = tokio::spawn(async move {
        // Ahead of the first tick, but not of the first answer: there can be hundreds of thousands of calls.
        if let Err(error) = recover::close_calls(&store, retention, now).await {
            tracing::error!(%error, "failed to close what a killed process left; each is closed 15 minutes after it came");
        }
        attribute(store, retention, clock, enqueued, embedded).await;
    });
    let reached = match &args.host {
        Some(name) => format!("{name}:{}", address.port()),
        None => address.to_string(),
    };
    // Whoever gave a key knows it, and nobody knows who reads the output.
    let shown = given.map_or(key.as_str(), |_| "<the admin key that you gave>");
    greet(out, &reached, shown, args, now)?;
    axum::serve(listener, router)
        .with_graceful_shutdown(told_to_stop())
        .await?;
    attributor.abort();
    if let Some(files) = files {
        files.abort();
    }
    writeln!(out, "stopped")?;
    Ok(())
}

/// The key of `--demo`. It is the only key that may be short.
const DEMO_KEY: &str = "demo";
/// The fewest characters of a key; nobody finds so many by trying.
const KEY_CHARS_MIN: usize = 16;
/// The exit code for wrong arguments, the same as clap's.
const USAGE: u8 = 2;

/// The admin key that was given; `None` if none was.
fn given_key(args: &ServeArgs) -> Result<Option<String>, ServeError> {
    match (&args.admin_key, &args.admin_key_file) {
        (Some(key), _) => checked_key(key, "of --admin-key or REVTRAIL_ADMIN_KEY").map(Some),
        (None, Some(path)) => read_key(path).map(Some),
        (None, None) => Ok(None),
    }
}

fn read_key(path: &Path) -> Result<String, ServeError> {
    let text = std::fs::read_to_string(path).map_err(|source| key_file(path, source))?;
    let key = text.trim_end_matches(['\r', '\n']);
    checked_key(key, &format!("in the file {}", path.display()))
}

fn key_file(path: &Path, source: std::io::Error) -> ServeError {
    ServeError::KeyFile {
        path: path.to_owned(),
        source,
    }
}

fn checked_key(key: &str, from: &str) -> Result<String, ServeError> {
    let bad = |why: String| ServeError::AdminKey {
        from: from.to_owned(),
        why,
    };
    let length = key.chars().count();
    if length < KEY_CHARS_MIN && key != DEMO_KEY {
        return Err(bad(format!(
            "has {length} characters: give one of at least {KEY_CHARS_MIN}, or none, and one is made up"
        )));
    }
    // Other characters cannot be sent in a header.
    if !key.chars().all(|c| c.is_ascii_graphic()) {
        let why = "holds blanks or characters beyond ASCII: give one of letters, digits and signs";
        return Err(bad(why.to_owned()));
    }
    Ok(key.to_owned())
}

/// The key that an earlier process made and left in the file; a new one if there is none.
fn kept_key(path: &Path) -> Result<String, ServeError> {
    let failed = |source| key_file(path, source);
    if path.try_exists().map_err(failed)? {
        return read_key(path);
    }
    let key = random_hex();
    let draft = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft).map_err(failed)?;
    writeln!(file, "{key}")
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&draft, path))
        .map_err(failed)?;
    Ok(key)
}

/// Opens the database. The returned file keeps a second process out of the folder for as long as it is open.
fn open(data: Option<&Path>) -> Result<(Embedded, Option<File>), ServeError> {
    let Some(folder) = data else {
        return Ok((Embedded::memory()?, None));
    };
    let failed = |source| ServeError::Folder {
        path: folder.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let lock = File::create(folder.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok((Embedded::file(&folder.join("revtrail.db"))?, Some(lock))),
        Err(TryLockError::WouldBlock) => Err(ServeError::InUse(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// For how many milliseconds a job message is worked on before the next one has its turn.
const TURN_MS: i64 = 1_000;

/// The queue of this process. Marketplaces take turns, so that none waits for all the work of another.
#[derive(Default)]
struct LocalQueue(VecDeque<(MarketplaceId, VecDeque<JobMessage>)>);

impl LocalQueue {
    fn push(&mut self, message: JobMessage) {
        let marketplace = message.marketplace();
        match self.0.iter_mut().find(|(id, _)| id == marketplace) {
            Some((_, waiting)) => waiting.push_back(message),
            None => self
                .0
                .push_back((marketplace.clone(), VecDeque::from([message]))),
        }
    }

    fn pop(&mut self) -> Option<JobMessage> {
        let (id, mut waiting) = self.0.pop_front()?;
        let message = waiting.pop_front();
        if !waiting.is_empty() {
            self.0.push_back((id, waiting));
        }
        message
    }
}

/// Works on job messages, one after the other: those of runs that are asked for, and those of a tick every hour. The first tick
/// comes at once and takes up what an earlier process left.
async fn attribute(
    store: Store,
    retention: Retention,
    clock: Clock,
    mut enqueued: mpsc::UnboundedReceiver<JobMessage>,
    embedded: Embedded,
) {
    let attributor = Attributor::new(store, retention);
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    let mut queue = LocalQueue::default();
    loop {
        tokio::select! {
            Some(message) = enqueued.recv() => queue.push(message),
            _ = hours.tick() => {
                match attributor.tick().await {
                    Ok(messages) => messages.into_iter().for_each(|message| queue.push(message)),
                    Err(error) => tracing::error!(%error, "a tick failed"),
                }
                // The time is that of the service's own clock, which may not be the machine's.
                let (embedded, now) = (embedded.clone(), clock.now());
                tokio::spawn(async move {
                    if let Err(error) = embedded.sweep(now).await {
                        tracing::error!(%error, "failed to sweep expired items");
                    }
                });
            }
        }
        while let Some(message) = queue.pop() {
            let stop_at = clock.now().plus_ms(TURN_MS);
            match attributor.handle(&message, &|| clock.now(), stop_at).await {
                Ok(more) => more.into_iter().for_each(|message| queue.push(message)),
                Err(error) => {
                    tracing::error!(?message, %error, "work failed; the next tick takes it up again");
                }
            }
            while let Ok(asked) = enqueued.try_recv() {
                queue.push(asked);
            }
        }
    }
}

fn greet(
    out: &mut (dyn Write + Send),
    address: &str,
    key: &str,
    args: &ServeArgs,
    now: Instant,
) -> std::io::Result<()> {
    let auth = format!("'Authorization: Bearer {key}'");
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

async fn told_to_stop() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        _ = interrupted => {}
        () = terminated => {}
    }
}
