//! `cargo xtask bench`: measures, and writes what it measured into `docs/BENCHMARKS.md`, with what it was measured on.

use std::fs;
use std::process::{Command, ExitCode};

use crate::run::{Ran, run};
use crate::tools::python;
use crate::{cargo, folder, root};

pub(crate) const HELP: &str = "Measures how fast revtrail is, and writes docs/BENCHMARKS.md

Usage: cargo xtask bench
       cargo xtask bench files [--events N] [--runs N] [--formats csv,jsonl,parquet] [--seed N]
       cargo xtask bench abuse [--megabytes N] [--seconds N] [--only WORD]
       cargo xtask bench webhooks
       cargo xtask bench lambda [--runs N]
       cargo xtask bench what-if [--orders N] [--served N]

It builds with optimisations and takes some minutes. Every figure is a rate and its share of the floor of the same run: what takes
turns on a busy machine is slowed down alike, so shares can be compared and rates can not.

`files` measures `revtrail attribute` beside DuckDB and Polars, which are installed into target/tools: the same question over the same
files, 10,000,000 events and a tenth of that of orders, made once from a seed in target/bench. All must give the same answer to the
cent. They take turns, once to warm up and then 5 times (--runs).

`abuse` measures what one marketplace can do to another: `revtrail serve` on a table of 1 GB (--megabytes), attacked in ten ways for
60 seconds each (--seconds), or in those whose point or name holds a word (--only). It prints a table with the aim beside each figure.
The data is made once, in target/abuse; delete that folder to make it anew.

`webhooks` measures how many posts of one event a core reads in a second, for each sender, without the store; the aim is 50,000. It
prints a table of the processor's time.
`lambda` measures how each function starts, as it is deployed, beside a function that does nothing: the time until it asks for its first
call, its memory, its zip, and its instructions. The zips are built first, which takes a quarter of an hour.
`what-if` measures what-ifs with four models: by the rules alone over --orders (1,000,000) with ten events each, and by the service in
one process, from the call to the end, after it took in --served orders (20,000). Taking in and folding takes most of the time; it is
done once, in target/what-if. 0 leaves a part out. It writes a table with the aims, and prints the progress as the answers tell it.

Exit codes:
  0  measured
  1  it could not be
  2  usage
";

const PAGE: &str = "docs/BENCHMARKS.md";
const HEAD: &str = "# Benchmarks\n\nEach section is written by the command that it names.\n";

/// The task.
pub(crate) fn bench() -> ExitCode {
    written(measure())
}

/// The task `bench files`.
pub(crate) fn files(options: &[&str]) -> ExitCode {
    written(compare(options))
}

fn written(section: Result<String, String>) -> ExitCode {
    match section.and_then(|section| write(&section).map(|()| section)) {
        Ok(section) => {
            println!("\n{section}\nwritten to {PAGE}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a section of the page in the place of the one that has its title.
fn write(section: &str) -> Result<(), String> {
    let failed = |error| format!("failed to write {PAGE}: {error}");
    let title = |section: &str| section.lines().next().map(str::to_owned);
    let page = fs::read_to_string(root().join(PAGE)).unwrap_or_else(|_| HEAD.to_owned());
    let mut sections = page.split("\n## ");
    let head = sections.next().unwrap_or_default().trim_end().to_owned();
    let mut sections: Vec<String> = sections
        .map(|one| format!("## {}", one.trim_end()))
        .collect();
    match sections.iter_mut().find(|one| title(one) == title(section)) {
        Some(old) => *old = section.trim_end().to_owned(),
        None => sections.push(section.trim_end().to_owned()),
    }
    sections.sort_unstable();
    fs::create_dir_all(root().join("docs")).map_err(failed)?;
    fs::write(
        root().join(PAGE),
        format!("{head}\n\n{}\n", sections.join("\n\n")),
    )
    .map_err(failed)
}

/// On what something is measured.
fn measured_on(command: &str) -> Result<String, String> {
    Ok(format!(
        "Written by `{command}` on {}, {}, on commit `{}`, {}, {} cores.",
        told("date", &["-u", "+%F"])?,
        told("rustc", &["--version"])?,
        told("git", &["rev-parse", "--short", "HEAD"])?,
        told("uname", &["-sm"])?,
        std::thread::available_parallelism().map_or(1, usize::from),
    ))
}

fn compare(options: &[&str]) -> Result<String, String> {
    let logs = folder("xtask");
    let ran = |name: &str, command: Command| {
        run(name, command, &logs)
            .and_then(|Ran { ok, output }| if ok { Ok(output) } else { Err(output) })
    };
    let options_of_build = [
        "--locked",
        "--release",
        "--package",
        "revtrail",
        "--features",
        "parquet",
    ];
    let mut build = cargo(&["build"]);
    build.args(options_of_build);
    ran("revtrail", build)?;
    let list = "crates/xtask/bench/requirements.txt";
    let bin = python("python-bench", list, "DuckDB and Polars")?;
    let script = |task: &str| {
        let mut command = Command::new(bin.join("python"));
        command
            .arg(root().join("crates/xtask/bench/files.py"))
            .arg(task);
        command.arg("--folder").arg(folder("bench"));
        command
            .arg("--program")
            .arg(folder("release").join("revtrail"));
        command.args(options);
        command
    };
    ran("data", script("make"))?;
    let output = ran("bench", script("bench"))?;
    let page: Vec<&str> = output
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .collect();
    let command = ["cargo xtask bench files"]
        .into_iter()
        .chain(options.iter().copied());
    Ok(format!(
        "## The engine over files\n\n{}\n\n{}",
        measured_on(&command.collect::<Vec<_>>().join(" "))?,
        page.join("\n"),
    ))
}

/// The task `bench abuse`.
pub(crate) fn abuse(options: &[&str]) -> ExitCode {
    printed(attack(options))
}

/// The task `bench what-if`.
pub(crate) fn what_if(options: &[&str]) -> ExitCode {
    written(look_ahead(options))
}

/// How fast what-ifs are.
fn look_ahead(options: &[&str]) -> Result<String, String> {
    let mut command = cargo(&["bench", "--locked", "--package", "revtrail-tests"]);
    command.args(["--bench", "what-if", "--", "--folder"]);
    command.arg(folder("what-if")).args(options);
    let table = run("what-if", command, &folder("xtask")).and_then(table)?;
    let command = ["cargo xtask bench what-if"]
        .into_iter()
        .chain(options.iter().copied());
    Ok(format!(
        "## What-ifs\n\n{}\n\n\
        With four models more; every order has ten events of five messages before it, and moves. The service is in one process on its \
        embedded database, in a file. A processor's time is that of all threads together, and differs little where the machine does something else beside.\n\n{table}",
        measured_on(&command.collect::<Vec<_>>().join(" "))?
    ))
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

/// The task `bench lambda`.
pub(crate) fn lambda(options: &[&str]) -> ExitCode {
    written(starts(options))
}

/// How the functions start.
fn starts(options: &[&str]) -> Result<String, String> {
    crate::prove::zips()?;
    let logs = folder("xtask");
    let hello = [
        "--package",
        "revtrail-web",
        "--features",
        "lambda",
        "--example",
        "hello",
    ];
    let mut build = cargo(&["build", "--locked", "--profile", "function"]);
    build.args(hello);
    let built = run("hello", build, &logs)?;
    if !built.ok {
        return Err(built.output);
    }
    let mut python = Command::new("python3");
    python.arg(root().join("crates/xtask/bench/lambda.py"));
    python
        .arg("--functions")
        .arg(folder("functions").join("x86_64"));
    python
        .arg("--hello")
        .arg(folder("function").join("examples/hello"));
    python.args(options);
    let table = table(run("lambda", python, &logs)?)?;
    Ok(format!(
        "## The functions\n\n{}\n\n{table}",
        measured_on("cargo xtask bench lambda")?
    ))
}

/// The task `bench webhooks`.
pub(crate) fn webhooks() -> ExitCode {
    let mut command = cargo(&["bench", "--locked", "--package", "revtrail-providers"]);
    command.args(["--bench", "webhooks"]);
    printed(run("webhooks", command, &folder("xtask")).and_then(table))
}

/// The table in what a bench printed, or all that it printed where there is none.
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
    Ok(format!(
        "## The service\n\n{}\n\n\
        The service in one process on its embedded database, without the socket. The floor is one small item after another, put through \
        the AWS SDK into the same database; everything is measured in turns, seven rounds after one that warms up, and a figure is the \
        median of its rounds. What else the machine does slows all of it down alike: compare shares, not rates.\n\n{}\n",
        measured_on("cargo xtask bench")?,
        tables.join("\n").trim_end(),
    ))
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
