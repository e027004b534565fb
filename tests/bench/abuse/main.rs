//! What one marketplace can do to another: `revtrail serve` on a table of a gigabyte, attacked by `loud` while the calls and files of
//! `quiet` are measured beside it. Every attack has a process and a copy of the data of its own. Prints a table in Markdown with the
//! aim beside each figure, and fails only if nothing can be measured.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks"
)]

mod attacks;
mod data;
mod service;

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use attacks::{ATTACKS, Attack};
use clap::Parser;
use revtrail_core::value::time::DAY_MS;
use revtrail_store::random_hex;
use serde_json::json;
use service::{Service, Target};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Measures a service under attack.
#[derive(Parser)]
struct Args {
    /// The program
    #[arg(long)]
    program: PathBuf,
    /// The folder for data
    #[arg(long)]
    folder: PathBuf,
    /// The size of the table
    #[arg(long, default_value_t = 1024)]
    megabytes: u64,
    /// For how long each attack goes on
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only the attacks whose point or name holds this
    #[arg(long, default_value = "")]
    only: String,
    /// Cargo tells every benchmark that it is one
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much the attacker gives way to the service. An attacker has a machine of its own, and what is asked here is what the service
/// does for it.
const ATTACKER_NICE: i32 = 10;

/// What `quiet` saw of one attack.
struct Seen {
    post: Times,
    report: Times,
    file: Times,
    first_answer: Duration,
    peak_mb: Option<u64>,
    stopped: Option<Duration>,
}

/// How long calls took that were answered, and how many were not.
#[derive(Default)]
struct Times {
    ms: Vec<f64>,
    failed: usize,
}

fn main() -> Outcome<()> {
    let args = Args::parse();
    fs::create_dir_all(&args.folder)?;
    let data = data::folder(&args.program, &args.folder, args.megabytes)?;
    let wanted = |attack: &&Attack| attack.name.contains(&args.only) || attack.point == args.only;
    let mut idle = None;
    let mut table = "| point | attack | POST p50 | POST p99 | report p99 | file of one row | peak memory | first answer | end |\n\
        |---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for attack in ATTACKS[..1]
        .iter()
        .chain(ATTACKS[1..].iter().filter(wanted))
    {
        eprintln!("{}", attack.name);
        let seen = seen(&args, &data, attack)?;
        let idle = *idle.get_or_insert(seen.post.share(0.99).unwrap_or_default());
        table.push_str(&seen.line(attack, idle));
    }
    println!(
        "{table}\nA table of {} MB, {} seconds an attack. A figure that misses its aim is bold.",
        args.megabytes, args.seconds
    );
    Ok(())
}

fn seen(args: &Args, data: &Path, attack: &Attack) -> Outcome<Seen> {
    let folder = args.folder.join("attacked");
    data::copy(data, &folder)?;
    let service = Service::start(&args.program, &folder, attack.days_ahead * DAY_MS)?;
    let (target, stop) = (&service.target, &AtomicBool::new(false));
    let (post, report, file) = thread::scope(|scope| {
        let attacker = scope.spawn(|| {
            // Its threads inherit this.
            rustix::process::nice(ATTACKER_NICE)?;
            (attack.run)(target, stop)
        });
        let post = scope.spawn(|| every(20, stop, || post(target)));
        let report = scope.spawn(|| {
            every(100, stop, || {
                target.get("/quiet/reports/campaigns").map(drop)
            })
        });
        let file = scope.spawn(|| every(1_000, stop, || take_file(target)));
        thread::sleep(Duration::from_secs(args.seconds));
        stop.store(true, Ordering::Relaxed);
        match attacker.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("{}: {error}", attack.name),
            Err(_) => eprintln!("{}: the attacker panicked", attack.name),
        }
        let of = |probe: thread::ScopedJoinHandle<'_, Times>| probe.join().unwrap_or_default();
        (of(post), of(report), of(file))
    });
    let (first_answer, peak_mb) = (service.first_answer, service.peak_mb());
    let stopped = service.stop()?;
    fs::remove_dir_all(&folder)?;
    Ok(Seen {
        post,
        report,
        file,
        first_answer,
        peak_mb,
        stopped,
    })
}

/// Does something so often, and again at once when it took longer.
fn every(ms: u64, stop: &AtomicBool, act: impl Fn() -> Outcome<()>) -> Times {
    let mut times = Times::default();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        match act() {
            Ok(()) => times.ms.push(began.elapsed().as_secs_f64() * 1_000.0),
            Err(_) => times.failed += 1,
        }
        thread::sleep(Duration::from_millis(ms).saturating_sub(began.elapsed()));
    }
    times
}

fn post(target: &Target) -> Outcome<()> {
    let id = random_hex();
    let customer = usize::from_str_radix(&id[..3], 16)?;
    target
        .send(
            "POST",
            "/quiet/events",
            &data::event(&id, customer, &target.now()),
        )
        .map(drop)
}

/// From when a file of one row is there until it is taken in.
fn take_file(target: &Target) -> Outcome<()> {
    let (id, began) = (random_hex(), Instant::now());
    let row = format!("{}\n{id},p-0,c-1,{}\n", data::HEADER, target.now());
    target.put("quiet", &format!("{id}.csv"), |out| {
        out.write_all(row.as_bytes())
    })?;
    while began.elapsed() < Duration::from_secs(60) {
        let batches = target.get("/quiet/batches?limit=5")?;
        let ours = |batch: &&serde_json::Value| {
            batch["file"]
                .as_str()
                .is_some_and(|file| file.contains(&id))
        };
        let batch = batches["batches"]
            .as_array()
            .and_then(|batches| batches.iter().find(ours));
        if batch.is_some_and(|batch| batch["state"] == json!("done")) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err("it was not taken in within a minute".into())
}

impl Times {
    /// The time that so large a share of the calls did not exceed.
    fn share(&self, share: f64) -> Option<f64> {
        let mut ms = self.ms.clone();
        ms.sort_by(f64::total_cmp);
        let at = (ms.len() as f64 * share).ceil() as usize;
        ms.get(at.saturating_sub(1)).copied()
    }
}

impl Seen {
    fn line(&self, attack: &Attack, idle: f64) -> String {
        let ms = |duration: Duration| duration.as_secs_f64() * 1_000.0;
        let times = |times: &Times, share: f64, aim: f64| {
            let failed = match times.failed {
                0 => String::new(),
                failed => format!(", {failed} of {} failed", failed + times.ms.len()),
            };
            format!("{}{failed}", figure(times.share(share), aim, "ms"))
        };
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            attack.point,
            attack.name,
            self.post
                .share(0.5)
                .map_or("none".to_owned(), |ms| format!("{ms:.1} ms")),
            times(&self.post, 0.99, idle * 10.0),
            times(&self.report, 0.99, 150.0),
            times(&self.file, 1.0, 5_000.0),
            figure(self.peak_mb.map(|mb| mb as f64), 512.0, "MB"),
            figure(Some(ms(self.first_answer)), 1_000.0, "ms"),
            figure(self.stopped.map(ms), 10_000.0, "ms"),
        )
    }
}

/// A figure and its aim, which is the most it may be.
fn figure(figure: Option<f64>, aim: f64, unit: &str) -> String {
    match figure {
        Some(figure) if figure <= aim => format!("{figure:.1} {unit} (≤ {aim:.0})"),
        Some(figure) => format!("**{figure:.1} {unit}** (≤ {aim:.0})"),
        None => format!("**none** (≤ {aim:.0} {unit})"),
    }
}
