//! `revtrail serve`: all functions in one process on the embedded database, with a clock that ticks every hour, and an inbox.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use hourly_attributor::Attributor;
use revtrail_aws::clock::Clock;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention, Span};
use revtrail_store::jobs::job::Nudge;
use revtrail_store::jobs::runs::RunState;
use revtrail_store::ledger::intake::Note;
use revtrail_store::market::access::OtherRetention;
use revtrail_store::table::embedded::{self, Embedded};
use revtrail_store::{Store, StoreError, random_hex};
use revtrail_web::api::Route;
use revtrail_web::app::App;
use revtrail_web::dispatch::router;
use tokio::sync::mpsc;

use crate::{demo, hints, inbox};

/// What `revtrail serve` is asked for.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  revtrail serve --demo                    a lively sample marketplace, in memory; the key is `demo`
  revtrail serve --data ./data             keep everything in ./data
  revtrail serve --now 2018-01-02T00:00:00Z --retention 500d     try old data")]
pub struct ServeArgs {
    /// Keep everything in this folder, and take in files of redemptions from DIR/inbox; without it, in memory
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Listen on this port of 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// The key that may do everything; made up and printed where none is given
    #[arg(
        long,
        value_name = "KEY",
        env = "REVTRAIL_ADMIN_KEY",
        hide_env_values = true
    )]
    pub admin_key: Option<String>,
    /// Start the clock at this time instead of the machine's, and let it run on
    #[arg(long, value_name = "TIME", value_parser = |text: &str| Instant::parse(text))]
    pub now: Option<Instant>,
    /// How long facts are seen: at least 30d
    #[arg(long, default_value = "90d", value_parser = parse_retention)]
    pub retention: Retention,
    /// Load a lively sample marketplace; the key is `demo`
    #[arg(long)]
    pub demo: bool,
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
    /// The folder.
    #[error("failed to use {path}: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process.
    #[error("{0} is in use by another revtrail: stop that one, or give another --data")]
    InUse(PathBuf),
    /// The port.
    #[error("failed to listen on {address}: {source}; give another --port")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The table.
    #[error("the database failed: {0}")]
    Store(#[from] StoreError),
    /// What it was kept for.
    #[error(transparent)]
    Retention(#[from] OtherRetention),
    /// The server.
    #[error("the server failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Every route of every function, once. `poke` hands over the runs that are asked for.
pub fn routes(poke: manage::Poke) -> Vec<Route> {
    let mut routes = ingest_event::routes();
    routes.extend(ingest_order::routes());
    routes.extend(manage::routes(poke));
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
            ExitCode::FAILURE
        }
    }
}

/// Serves until the process is told to stop. `out` gets what a person should know; the listening line comes last.
///
/// # Errors
/// What keeps the service from starting, or broke it.
pub async fn run(args: &ServeArgs, out: &mut (dyn Write + Send)) -> Result<(), ServeError> {
    let clock = args.now.map_or(Clock::REAL, Clock::starting_at);
    let (embedded, _lock) = open(args.data.as_deref())?;
    let store = embedded::store(embedded.clone()).await?;
    store.hold_retention(args.retention).await??;
    let key = match &args.admin_key {
        Some(key) if !key.is_empty() => key.clone(),
        _ if args.demo => "demo".to_owned(),
        _ => random_hex(),
    };
    let (poke, poked) = mpsc::unbounded_channel::<Nudge>();
    let poke = manage::in_process(move |nudge| drop(poke.send(nudge)));
    let app = App::new(store.clone(), clock.clone(), args.retention, &key);
    let router = router(routes(poke), app);
    bury_the_dead(&store, args.retention, clock.now()).await?;
    if args.demo {
        demo::load(
            &store,
            args.retention,
            clock.now(),
            std::io::stderr().is_terminal(),
        )
        .await?;
    }
    let address = SocketAddr::from(([127, 0, 0, 1], args.port));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    let address = listener.local_addr()?;
    let files = args.data.clone().map(|folder| {
        let (store, clock) = (store.clone(), clock.clone());
        tokio::spawn(inbox::watch(store, args.retention, clock, folder))
    });
    let now = clock.now();
    let attributor = tokio::spawn(attribute(store, args.retention, clock, poked, embedded));
    greet(out, address, &key, args, now)?;
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

/// Opens the database, and holds its folder against a second process as long as the file lives.
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

/// Calls that a killed process left open will not close: their customers are folded at the next tick, and their notes may go.
/// Runs that it left unplanned will not end; units are still there, and the first tick works them off.
async fn bury_the_dead(
    store: &Store,
    retention: Retention,
    now: Instant,
) -> Result<(), StoreError> {
    for marketplace in store.marketplaces().await? {
        let market = store.market(&marketplace.marketplace_id, retention);
        let open = |note: &Note| !note.closed;
        for mut note in market.notes().await?.into_iter().filter(open) {
            note.closed = true;
            market.put_note(&note).await?;
        }
        // Those that are planned go on.
        let runs = market.open_runs().await?;
        for run in runs.iter().filter(|run| run.planned_at.is_none()) {
            market
                .finish_run(&run.run_id, RunState::Failed, now)
                .await?;
        }
    }
    Ok(())
}

/// How long a nudge is worked on before the next has its turn.
const TURN_MS: i64 = 1_000;

/// The queue of this process. Marketplaces take turns, so that none waits for all the work of another.
#[derive(Default)]
struct Queue(VecDeque<(MarketplaceId, VecDeque<Nudge>)>);

impl Queue {
    fn push(&mut self, nudge: Nudge) {
        let marketplace = nudge.marketplace();
        match self.0.iter_mut().find(|(id, _)| id == marketplace) {
            Some((_, waiting)) => waiting.push_back(nudge),
            None => self
                .0
                .push_back((marketplace.clone(), VecDeque::from([nudge]))),
        }
    }

    fn pop(&mut self) -> Option<Nudge> {
        let (id, mut waiting) = self.0.pop_front()?;
        let nudge = waiting.pop_front();
        if !waiting.is_empty() {
            self.0.push_back((id, waiting));
        }
        nudge
    }
}

/// Works off nudges, one after the other: of runs that are asked for, and of a tick every hour; the first tick comes at once and
/// takes up what was left.
async fn attribute(
    store: Store,
    retention: Retention,
    clock: Clock,
    mut poked: mpsc::UnboundedReceiver<Nudge>,
    embedded: Embedded,
) {
    let attributor = Attributor::new(store, retention);
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    let mut queue = Queue::default();
    loop {
        tokio::select! {
            Some(nudge) = poked.recv() => queue.push(nudge),
            _ = hours.tick() => {
                match attributor.tick().await {
                    Ok(nudges) => nudges.into_iter().for_each(|nudge| queue.push(nudge)),
                    Err(error) => tracing::error!(%error, "a tick failed"),
                }
                // By the service's own clock, which may not be the machine's.
                let (embedded, now) = (embedded.clone(), clock.now());
                let swept = tokio::task::spawn_blocking(move || embedded.sweep(now)).await;
                if let Ok(Err(error)) = swept {
                    tracing::error!(%error, "failed to sweep expired items");
                }
            }
        }
        while let Some(nudge) = queue.pop() {
            let stop_at = clock.now().plus_ms(TURN_MS);
            match attributor.handle(&nudge, &|| clock.now(), stop_at).await {
                Ok(more) => more.into_iter().for_each(|nudge| queue.push(nudge)),
                Err(error) => {
                    tracing::error!(?nudge, %error, "work failed; the next tick takes it up again");
                }
            }
            while let Ok(asked) = poked.try_recv() {
                queue.push(asked);
            }
        }
    }
}

fn greet(
    out: &mut (dyn Write + Send),
    address: SocketAddr,
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
