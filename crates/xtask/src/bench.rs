//! `cargo xtask bench`: measures, and writes what it measured into `docs/BENCHMARKS.md`, with what it was measured on.

use std::fs;
use std::process::{Command, ExitCode};

use crate::run::{Ran, run};
use crate::{cargo, folder, root};

pub(crate) const HELP: &str = "Measures how fast revtrail is, and writes docs/BENCHMARKS.md

Usage: cargo xtask bench
       cargo xtask bench abuse [--megabytes N] [--seconds N] [--only WORD]
       cargo xtask bench what-if [--orders N] [--served N]

It builds with optimisations and takes some minutes. Every figure is a rate and its share of the floor of the same run: what takes
turns on a busy machine is slowed down alike, so shares can be compared and rates can not.

`abuse` measures what one marketplace can do to another: `revtrail serve` on a table of 1 GB (--megabytes), attacked in ten ways for
60 seconds each (--seconds), or in those whose point or name holds a word (--only). It prints a table with the aim beside each figure.
The data is made once, in target/abuse; delete that folder to make it anew.

`what-if` measures what-ifs with four models: by the rules alone over --orders (1,000,000) with ten events each, and by the service in
one process, from the call to the end, after it took in --served orders (20,000; taking in and folding takes most of the time). 0 leaves
a part out. It prints a table with the aims, and the progress as the answers tell it.

Exit codes:
  0  measured
  1  it could not be
  2  usage
";

const PAGE: &str = "docs/BENCHMARKS.md";

/// The task.
pub(crate) fn bench() -> ExitCode {
    match measure() {
        Ok(page) => {
            println!("\n{page}\nwritten to {PAGE}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The task `bench abuse`.
pub(crate) fn abuse(options: &[&str]) -> ExitCode {
    printed(attack(options))
}

/// The task `bench what-if`.
pub(crate) fn what_if(options: &[&str]) -> ExitCode {
    let mut command = cargo(&["bench", "--locked", "--package", "revtrail-tests"]);
    command.args(["--bench", "what-if", "--"]).args(options);
    printed(run("what-if", command, &folder("xtask")).and_then(table))
}

fn printed(table: Result<String, String>) -> ExitCode {
    match table {
        Ok(table) => {
            println!("\n{table}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn attack(options: &[&str]) -> Result<String, String> {
    let build = cargo(&["build", "--locked", "--release", "--package", "revtrail"]);
    let built = run("revtrail", build, &folder("xtask"))?;
    if !built.ok {
        return Err(built.output);
    }
    let mut command = cargo(&["bench", "--locked", "--package", "revtrail-tests"]);
    command.args(["--bench", "abuse", "--", "--program"]);
    command.arg(folder("release").join("revtrail"));
    command.arg("--folder").arg(folder("abuse"));
    command.args(options);
    table(run("abuse", command, &folder("xtask"))?)
}

/// The table that a benchmark prints last.
fn table(Ran { ok, output }: Ran) -> Result<String, String> {
    let table: Vec<&str> = output
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .collect();
    match ok && !table.is_empty() {
        true => Ok(table.join("\n")),
        false => Err(output),
    }
}

fn measure() -> Result<String, String> {
    let command = cargo(&[
        "bench",
        "--locked",
        "--package",
        "revtrail-tests",
        "--bench",
        "bench",
    ]);
    let Ran { ok, output } = run("bench", command, &folder("xtask"))?;
    if !ok {
        return Err(output);
    }
    let tables: Vec<&str> = output
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .collect();
    if tables.is_empty() {
        return Err(format!("nothing was measured:\n{output}"));
    }
    let page = format!(
        "# Benchmarks\n\nWritten by `cargo xtask bench` on {}, {}, on commit `{}`, {} cores.\n\n\
        The service in one process on its embedded database, without the socket. The floor is one small item after another, put through \
        the AWS SDK into the same database; everything is measured in turns, seven rounds after one that warms up, and a figure is the \
        median of its rounds. What else the machine does slows all of it down alike: compare shares, not rates.\n\n{}\n",
        told("date", &["-u", "+%F"])?,
        told("rustc", &["--version"])?,
        told("git", &["rev-parse", "--short", "HEAD"])?,
        std::thread::available_parallelism().map_or(1, usize::from),
        tables.join("\n").trim_end(),
    );
    let failed = |error| format!("failed to write {PAGE}: {error}");
    fs::create_dir_all(root().join("docs")).map_err(failed)?;
    fs::write(root().join(PAGE), &page).map_err(failed)?;
    Ok(page)
}

/// What a program prints, in one line.
fn told(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(root())
        .output();
    let output = output.map_err(|error| format!("failed to start {program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
