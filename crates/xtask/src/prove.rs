//! `cargo xtask prove`: all that the tests play a share of, and the harnesses at the sizes that are asked for, in an optimised build,
//! a part at a time, so that one sees how far they are; and the mutants.

use std::env;
use std::fs::{self, File};
use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::api;
use crate::counts::{Counts, without_successes};
use crate::mutants::{mutants, program};
use crate::run::{Ran, run};
use crate::tools::{MACHETE, python};
use crate::{cargo, docs, folder, root, time};

pub(crate) const HELP: &str = "Proves more than the tests do, for as long as you like

Usage: cargo xtask prove
       cargo xtask prove [--from SEED] [WHAT]...
       cargo xtask prove mutants [NAME]...
       cargo xtask prove functions

Without anything it plays all that the tests play a share of: 100,000 worlds, 2,000 histories, 500 seeds of worlds and 200 worlds of
promotions through the service, every kind of fault at every call, every order of 6 + 6 calls, and every planted bug. Before them it
looks for warnings in the documentation of every crate and for dependencies that nobody uses.

What:
  --worlds N        N random worlds against the second implementation of the rules
  --http-worlds N   N seeds of random worlds, through the service; two in five give one
  --histories N     N random histories of a marketplace, with faults, invariants checked after every step
  --pairs           crash points two at a time
  --window N        interleavings of two actors up to N + N calls
  --mutants         bugs planted into a copy of the workspace: each must be found by its harness

  --from SEED       begin at this seed, for going on where another run ended
  mutants NAME...   only these mutants; their table is crates/xtask/src/planted.rs
  functions         builds the six zips that are deployed, sees that `sam build` makes the same programs, and goes through what is in
                    them on the real parts; SAM, cargo-lambda and zig are installed into target/tools

Examples:
  cargo xtask prove
  cargo xtask prove --worlds 10000000 --histories 100000
  cargo xtask prove --histories 1000 --from 100000
  cargo xtask prove --pairs --window 10
  cargo xtask prove mutants

It ends at the first failure with the one command that replays it; the output is kept in target/xtask/prove.log.

Exit codes:
  0  nothing was found
  1  something was: the command that replays it is shown
  2  usage
";

/// A harness that can be made larger.
struct Larger {
    flag: &'static str,
    /// What it counts, in words.
    what: &'static str,
    test: &'static str,
    /// Says how large.
    variable: &'static str,
    /// So many seeds at a time; 0 where it is not counted in seeds.
    part: u64,
}

const LARGER: [Larger; 5] = [
    Larger {
        flag: "--worlds",
        what: "worlds",
        test: "rules::worlds::core_equals_the_second_implementation",
        variable: "REVTRAIL_WORLDS",
        part: 200_000,
    },
    Larger {
        flag: "--http-worlds",
        what: "worlds over HTTP",
        test: "http::worlds::worlds_over_http_equal_the_second_implementation",
        variable: "REVTRAIL_HTTP_WORLDS",
        part: 500,
    },
    Larger {
        flag: "--histories",
        what: "histories",
        test: "faults::histories::",
        variable: "REVTRAIL_HISTORIES",
        part: 500,
    },
    Larger {
        flag: "--pairs",
        what: "pairs of crash points",
        test: "faults::crash::",
        variable: "REVTRAIL_PAIRS",
        part: 0,
    },
    Larger {
        flag: "--window",
        what: "interleavings",
        test: "faults::two_at_once::",
        variable: "REVTRAIL_WINDOW",
        part: 0,
    },
];

/// What the words ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    from: u64,
    /// Which of [`LARGER`], and how large.
    harnesses: Vec<(usize, u64)>,
    mutants: bool,
}

fn asked(words: &[&str]) -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut words = words.iter();
    while let Some(&flag) = words.next() {
        let mut number = || {
            let word = words.next().ok_or(format!("{flag} needs a number"))?;
            word.parse()
                .map_err(|_| format!("{flag}: {word} is no number"))
        };
        match LARGER.iter().position(|larger| larger.flag == flag) {
            Some(place) if flag == "--pairs" => asked.harnesses.push((place, 1)),
            Some(place) => asked.harnesses.push((place, number()?)),
            None if flag == "--from" => asked.from = number()?,
            None if flag == "--mutants" => asked.mutants = true,
            None => return Err(format!("there is no {flag}")),
        }
    }
    Ok(asked)
}

/// The task.
pub(crate) fn prove(words: &[&str]) -> ExitCode {
    if let ["mutants", names @ ..] = words {
        return ended(mutants(names));
    }
    if words == ["functions"] {
        return ended(functions());
    }
    if words.is_empty() {
        return ended(whole());
    }
    match asked(words) {
        Ok(asked) if asked.mutants || !asked.harnesses.is_empty() => ended(all(&asked)),
        Ok(_) => usage("what is to be proved?"),
        Err(why) => usage(&why),
    }
}

fn usage(why: &str) -> ExitCode {
    eprintln!("{why}\n\n{HELP}");
    ExitCode::from(2)
}

fn ended(outcome: Result<bool, String>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// How many calls of each operation schemathesis makes up.
const CALLS_MADE_UP: u32 = 100;

/// The documentation and the dependencies of every crate; all tests, with all that they play a share of; many calls that are made up;
/// then all planted bugs.
fn whole() -> Result<bool, String> {
    let mut machete = Command::new(MACHETE.path(&folder("tools"))?);
    machete.args(["--with-metadata", "--skip-target-dir", "."]);
    for (name, command) in [("doc", docs(&["--workspace"])), ("machete", machete)] {
        let Ran { ok, output } = run(name, command, &folder("xtask"))?;
        if !ok {
            println!("{output}");
            return Ok(false);
        }
    }
    let mut tests = Command::new(build()?);
    tests
        .arg("--show-output")
        .current_dir(root().join("tests"))
        .env("REVTRAIL_PROVE", "1");
    let Ran { ok, output } = run("prove", tests, &folder("xtask"))?;
    if !ok {
        println!("{}", without_successes(&output));
        return Ok(false);
    }
    println!("{}", Counts::of(&output));
    let mut calls = api::made_up_calls(&folder("tools"), CALLS_MADE_UP)?;
    calls.env("REVTRAIL", crate::built()?);
    let Ran { ok, output } = run("api", calls, &folder("xtask"))?;
    println!("{output}");
    Ok(ok && mutants(&[])?)
}

fn all(asked: &Asked) -> Result<bool, String> {
    if !asked.harnesses.is_empty() {
        let program = build()?;
        for &(place, size) in &asked.harnesses {
            if !enlarge(&program, &LARGER[place], size, asked.from)? {
                return Ok(false);
            }
        }
    }
    if asked.mutants {
        return mutants(&[]);
    }
    Ok(true)
}

/// Builds the zips of the functions as they are deployed, for x86-64, and says how large they are.
pub(crate) fn zips() -> Result<String, String> {
    let mut build = Command::new("infra/build.sh");
    build.current_dir(root());
    deployed("zips", build)
}

/// Runs a command that builds what is deployed.
fn deployed(name: &str, mut build: Command) -> Result<String, String> {
    let list = "crates/xtask/parts/functions.txt";
    let bin = python("python-functions", list, "SAM, cargo-lambda and zig")?;
    let path = env::var_os("PATH").unwrap_or_default();
    let paths = [bin].into_iter().chain(env::split_paths(&path));
    let path = env::join_paths(paths).map_err(|error| format!("failed to extend PATH: {error}"))?;
    build.env("PATH", path).env("SAM_CLI_TELEMETRY", "0");
    let Ran { ok, output } = run(name, build, &folder("xtask"))?;
    if ok { Ok(output) } else { Err(output) }
}

/// Fails where `sam build` does not build, for each function, the program that is in its zip.
fn sam_builds_the_same(unpacked: &Path) -> Result<(), String> {
    let infra = root().join("infra");
    let mut build = Command::new("sam");
    build.arg("build").current_dir(&infra);
    deployed("sam", build)?;
    let read = |path: PathBuf| {
        fs::read(&path).map_err(|error| format!("failed to read {}: {error}", path.display()))
    };
    let names = fs::read_dir(unpacked)
        .map_err(|error| format!("failed to read {}: {error}", unpacked.display()))?;
    for name in names.flatten().map(|entry| entry.file_name()) {
        let name = name.to_string_lossy();
        // The template has the same name, with a capital for each word.
        let words = name
            .split('-')
            .map(|word| word[..1].to_uppercase() + &word[1..]);
        let id: String = words.collect();
        let built = infra.join(".aws-sam/build").join(id).join("bootstrap");
        if read(built)? != read(unpacked.join(&*name))? {
            return Err(format!(
                "sam build makes another program of {name} than infra/build.sh"
            ));
        }
    }
    println!("sam build makes the programs that are in the zips");
    Ok(())
}

/// Builds the functions as they are deployed, in both ways, and plays the step `real` with what is in their zips.
fn functions() -> Result<bool, String> {
    println!("{}", zips()?);
    let unpacked = folder("functions").join("unpacked");
    let mut unpack = Command::new("python3");
    unpack
        .args(["-c", UNPACK])
        .arg(folder("functions").join("x86_64"))
        .arg(&unpacked);
    let logs = folder("xtask");
    let Ran { ok, output } = run("unpack", unpack, &logs)?;
    if !ok {
        return Err(output);
    }
    sam_builds_the_same(&unpacked)?;
    let real = crate::on_real_parts(Some(unpacked))?;
    let Ran { ok, output } = run("real", real, &logs)?;
    println!(
        "{}",
        if ok {
            Counts::of(&output).to_string()
        } else {
            without_successes(&output)
        }
    );
    Ok(ok)
}

/// Takes the program out of each zip of a folder, under the name of its function.
const UNPACK: &str = "
import os, pathlib, sys, zipfile
zips, target = map(pathlib.Path, sys.argv[1:])
target.mkdir(exist_ok=True)
for zip in zips.glob('*.zip'):
    program = target / zip.stem
    program.write_bytes(zipfile.ZipFile(zip).read('bootstrap'))
    program.chmod(0o755)
";

fn build() -> Result<PathBuf, String> {
    let command = [
        "test",
        "--locked",
        "--profile",
        "prove",
        "--no-run",
        "--package",
        "revtrail-tests",
        "--test",
        "it",
    ];
    match run("build", cargo(&command), &folder("xtask"))? {
        Ran { ok: false, output } => Err(output),
        Ran { output, .. } => {
            program(&output).ok_or_else(|| format!("cargo names no test program:\n{output}"))
        }
    }
}

/// Runs a harness at a size, part by part; false where it found something.
fn enlarge(program: &Path, larger: &Larger, size: u64, from: u64) -> Result<bool, String> {
    let part = if larger.part == 0 { size } else { larger.part };
    let mut screen = ProofScreen {
        what: larger.what,
        began: Instant::now(),
        told: Duration::ZERO,
    };
    let mut counted = 0;
    let mut done = 0;
    while done < size {
        let now = part.min(size - done);
        let log = folder("xtask").join("prove.log");
        let failed = |error: std::io::Error| format!("failed to run the harness: {error}");
        let out = File::create(&log).map_err(failed)?;
        let mut child = Command::new(program)
            .args([larger.test, "--nocapture"])
            .current_dir(root().join("tests"))
            .env(larger.variable, now.to_string())
            .env("REVTRAIL_FROM", (from + done).to_string())
            .stdin(Stdio::null())
            .stderr(out.try_clone().map_err(failed)?)
            .stdout(out)
            .spawn()
            .map_err(failed)?;
        let status = loop {
            screen.show(done, size, larger.part > 0);
            match child.try_wait().map_err(failed)? {
                Some(status) => break status,
                None => thread::sleep(Duration::from_millis(200)),
            }
        };
        let told = fs::read(&log).map_err(failed)?;
        let told = String::from_utf8_lossy(&told);
        if told.contains("running 0 tests") {
            return Err(format!("there is no harness {}", larger.test));
        }
        if !status.success() {
            screen.clear();
            println!(
                "{}: FAILED in the part of {now} from seed {}",
                larger.what,
                from + done
            );
            let replay = told.lines().find(|line| line.contains("replay: "));
            println!("{}", replay.unwrap_or("see target/xtask/prove.log"));
            return Ok(false);
        }
        counted += counts(&told, larger.what);
        done += now;
    }
    screen.clear();
    if counted == 0 {
        return Err(format!(
            "{} counted no {}: it does not know {}",
            larger.test, larger.what, larger.variable
        ));
    }
    println!(
        "{}: {counted} ({})",
        larger.what,
        time(screen.began.elapsed())
    );
    Ok(true)
}

/// The sum of the lines of a name, such as `worlds: 100`.
fn counts(told: &str, name: &str) -> u64 {
    let count = |line: &str| {
        line.split_once(name)?
            .1
            .strip_prefix(": ")?
            .parse::<u64>()
            .ok()
    };
    told.lines().filter_map(count).sum()
}

/// One line that is overwritten on a terminal, and now and then one elsewhere.
struct ProofScreen {
    what: &'static str,
    began: Instant,
    told: Duration,
}

impl ProofScreen {
    fn show(&mut self, done: u64, size: u64, counted: bool) {
        let (what, took) = (self.what, self.began.elapsed());
        let so_far = if counted {
            format!("{done} of {size}, ")
        } else {
            String::new()
        };
        if stdout().is_terminal() {
            print!("\r\x1b[K{what}: {so_far}{}", time(took));
            drop(stdout().flush());
        } else if took - self.told > Duration::from_secs(60) {
            println!("{what}: {so_far}{}", time(took));
            self.told = took;
        }
    }

    fn clear(&self) {
        if stdout().is_terminal() {
            print!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_ask_for_harnesses() {
        let ask = |line: &str| asked(&line.split_whitespace().collect::<Vec<_>>());
        for (line, from, harnesses, mutants) in [
            ("--worlds 10 --from 7", 7, vec![(0, 10)], false),
            ("--pairs --window 10", 0, vec![(3, 1), (4, 10)], false),
            ("--histories 5 --mutants", 0, vec![(2, 5)], true),
        ] {
            assert_eq!(
                ask(line),
                Ok(Asked {
                    from,
                    harnesses,
                    mutants
                }),
                "{line}"
            );
        }
        for (line, why) in [
            ("--worlds", "--worlds needs a number"),
            ("--worlds many", "--worlds: many is no number"),
            ("--moons 3", "there is no --moons"),
        ] {
            assert_eq!(ask(line), Err(why.to_owned()), "{line}");
        }
    }

    #[test]
    fn counts_are_summed() {
        let told = "test a ... worlds: 12\ncrash points: 30\nworlds: 30\nworlds: many\n";
        assert_eq!(counts(told, "worlds"), 42);
    }
}
