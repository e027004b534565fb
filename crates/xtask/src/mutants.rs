//! Mutants: bugs planted into a copy of the workspace, each of which a named harness must find. All are built at once, each
//! site a choice at run time, and the product's own source knows nothing of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::planted::{Harness, MUTANTS, Mutant};
use crate::run::{Ran, run};
use crate::{cargo, folder, root, time};

/// A harness that takes longer hangs: a bug may do that, and it is no find.
const HARNESS_TIME_MAX: Duration = Duration::from_secs(240);

/// What every crate with a bug in it gets: whether a bug was chosen.
const CHOICE: &str = r#"
pub(crate) fn mutant(name: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("REVTRAIL_MUTANT").ok());
    CHOSEN.as_deref() == Some(name)
}
"#;

/// So many are played where a change is tested.
const SHARE: usize = 4;

/// The names of a share of the bugs: the next ones with every commit.
pub(crate) fn in_turn(commits: usize) -> impl Iterator<Item = &'static str> {
    let names = MUTANTS.iter().map(|mutant| mutant.name).cycle();
    names.skip(commits % MUTANTS.len() * SHARE).take(SHARE)
}

/// Builds the copy, runs every harness without a bug, then every bug's harness with it; true where all were found. `only` are
/// the names of some, or none for all.
pub(crate) fn mutants(only: &[&str]) -> Result<bool, String> {
    let stranger = |name: &&&str| !MUTANTS.iter().any(|mutant| mutant.name == **name);
    if let Some(name) = only.iter().find(stranger) {
        return Err(format!("there is no mutant {name}"));
    }
    let chosen: Vec<&Mutant> = MUTANTS
        .iter()
        .filter(|mutant| only.is_empty() || only.contains(&mutant.name))
        .collect();
    let tree = folder("mutants").join("tree");
    plant(&tree)?;
    let program = build(&tree, only.is_empty())?;
    let harnesses: BTreeSet<Harness> = chosen.iter().map(|mutant| mutant.found_by).collect();
    for harness in harnesses {
        let (outcome, took) = play(&program, &tree, harness, None)?;
        match outcome {
            Verdict::Passed => println!("sound     {} in {}", harness.test, time(took)),
            other => return Err(format!("{}, without a bug: {other:?}", harness.test)),
        }
    }
    let mut survivors = Vec::new();
    for mutant in &chosen {
        let (outcome, took) = play(&program, &tree, mutant.found_by, Some(mutant))?;
        let (name, test) = (mutant.name, mutant.found_by.test);
        match outcome {
            Verdict::Found => println!("found     {name} by {test} in {}", time(took)),
            other => {
                println!("SURVIVED  {name}, {test}: {other:?}");
                survivors.push(name);
            }
        }
    }
    println!("mutants: {}", chosen.len() - survivors.len());
    if !survivors.is_empty() {
        let names = survivors.join(" ");
        println!("nobody noticed; again: cargo xtask prove mutants {names}");
    }
    Ok(survivors.is_empty())
}

/// Copies the files of the repository that differ, so that what did not change is not built again, and plants every bug.
fn plant(tree: &Path) -> Result<(), String> {
    let failed =
        |path: &Path, error: std::io::Error| format!("failed to copy {}: {error}", path.display());
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .map_err(|error| format!("failed to ask git for the files: {error}"))?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let files: BTreeSet<&str> = listed.split_terminator('\0').collect();
    let changed = bugs(|file| fs::read_to_string(root().join(file)).ok())?;
    for file in &files {
        let (from, to) = (root().join(file), tree.join(file));
        // Deleted, and the deletion is not committed yet.
        let Ok(original) = fs::read(&from) else {
            continue;
        };
        let text = changed
            .get(*file)
            .map_or(original, |text| text.clone().into_bytes());
        if fs::read(&to).is_ok_and(|stands| stands == text) {
            continue;
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
        }
        fs::write(&to, text).map_err(|error| failed(&to, error))?;
    }
    let gone = |path: &Path| {
        path.strip_prefix(tree)
            .is_ok_and(|path| !files.contains(&*path.to_string_lossy()))
    };
    for path in all_files(tree).into_iter().filter(|path| gone(path)) {
        fs::remove_file(&path).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

/// The manifest with a version of its own. Cargo tells crates of the same version at the same place below two workspaces' tops
/// not apart: in the shared target folder the copy's would pass for the workspace's.
fn versioned(manifest: &str) -> Result<String, String> {
    let at = "[workspace.package]\nversion = \"";
    let (before, rest) = manifest
        .split_once(at)
        .ok_or("Cargo.toml does not begin [workspace.package] with the version")?;
    let (version, after) = rest
        .split_once('"')
        .ok_or("the version of Cargo.toml does not end")?;
    Ok(format!("{before}{at}{version}-mutants\"{after}"))
}

/// The workspace's own crates among those that the manifest optimises for tests.
fn optimised(manifest: &str) -> impl Iterator<Item = &str> {
    let section = manifest.split_once("\n[profile.dev.package]\n");
    let lines = section.map_or("", |(_, rest)| rest).lines();
    let names = lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(".opt-level"))
        .map(|(name, _)| name);
    names.filter(|name| name.starts_with("revtrail-") || root().join("crates").join(name).exists())
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| {
            if entry.path().is_dir() {
                all_files(&entry.path())
            } else {
                vec![entry.path()]
            }
        })
        .collect()
}

/// The files with bugs, each site a choice. One whose text is not there exactly once is stale; all of these are named.
fn bugs(read: impl Fn(&str) -> Option<String>) -> Result<BTreeMap<String, String>, String> {
    let mut changed: BTreeMap<String, String> = BTreeMap::new();
    let mut stale = Vec::new();
    for &Mutant {
        name,
        file,
        text,
        with,
        ..
    } in MUTANTS
    {
        let original = read(file).unwrap_or_default();
        let planted = changed
            .entry(file.to_owned())
            .or_insert_with(|| original.clone());
        match (
            original.matches(text).count(),
            planted.matches(text).count(),
        ) {
            (1, 1) => {
                let choice = format!("(if crate::mutant({name:?}) {{ {with} }} else {{ {text} }})");
                *planted = planted.replacen(text, &choice, 1);
            }
            (1, n) => stale.push(format!(
                "{name}: another mutant touches its text ({n} times in {file} now)"
            )),
            (n, _) => stale.push(format!(
                "{name}: its text stands {n} times in {file}, not once"
            )),
        }
    }
    if !stale.is_empty() {
        return Err(format!(
            "stale mutants, see crates/xtask/src/planted.rs:\n{}",
            stale.join("\n")
        ));
    }
    let libs: BTreeSet<String> = changed
        .keys()
        .filter_map(|file| Some(format!("{}src/lib.rs", file.split_once("src/")?.0)))
        .collect();
    for lib in libs {
        let text = changed
            .entry(lib.clone())
            .or_insert_with(|| read(&lib).unwrap_or_default());
        text.push_str(CHOICE);
    }
    let manifest = read("Cargo.toml").unwrap_or_default();
    changed.insert("Cargo.toml".to_owned(), versioned(&manifest)?);
    Ok(changed)
}

/// Builds the test program of the copy, beside the workspace's own: crates from outside are not built again. Where all are played, its
/// crates are optimised as the workspace's are; for a few, that takes longer than it saves.
fn build(tree: &Path, all: bool) -> Result<PathBuf, String> {
    let mut command = cargo(&[
        "test",
        "--offline",
        "--no-run",
        // As the tests are built, so that nothing else is.
        "--workspace",
        "--all-features",
        "--test",
        "it",
    ]);
    command.arg("--manifest-path").arg(tree.join("Cargo.toml"));
    if !all {
        command.args(["--config", "profile.dev.debug=false"]);
        let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap_or_default();
        for name in optimised(&manifest) {
            let option = format!("profile.dev.package.{name}.opt-level=0");
            command.args(["--config", &option]);
        }
    }
    command.env("CARGO_TARGET_DIR", folder(""));
    // Its warnings are about the choices.
    command
        .env("RUSTFLAGS", "")
        .env("CARGO_TERM_COLOR", "never");
    match run("planted", command, &folder("xtask"))? {
        Ran { ok: false, output } => Err(format!(
            "the copy with the mutants does not build:\n{output}"
        )),
        Ran { output, .. } => {
            program(&output).ok_or_else(|| format!("cargo names no test program:\n{output}"))
        }
    }
}

/// `Executable it/main.rs (target/debug/deps/it-0123)`, from the top of the workspace.
pub(crate) fn program(output: &str) -> Option<PathBuf> {
    let line = output
        .lines()
        .rev()
        .find(|line| line.trim_start().starts_with("Executable"))?;
    let path = line.rsplit_once('(')?.1.strip_suffix(')')?;
    Some(root().join(path))
}

/// How a harness ended.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    /// An assertion of the tests did not hold.
    Found,
    /// There is no such test.
    NoSuchTest,
    /// It ended otherwise: see the log.
    Broken(PathBuf),
    TookTooLong,
}

fn play(
    program: &Path,
    tree: &Path,
    harness: Harness,
    mutant: Option<&Mutant>,
) -> Result<(Verdict, Duration), String> {
    let name = mutant.map_or("none", |mutant| mutant.name);
    let failed =
        |error: std::io::Error| format!("failed to run {} under {name}: {error}", harness.test);
    let log = folder("mutants").join(format!("{name}.log"));
    let out = File::create(&log).map_err(failed)?;
    let mut command = Command::new(program);
    command
        .args([harness.test, "--exact"])
        .current_dir(tree.join("tests"))
        .envs(harness.env.iter().copied())
        // The share of no commit in particular: a bug is found by the same points and seeds every time.
        .env_remove("REVTRAIL_COMMITS")
        .env_remove("REVTRAIL_MUTANT")
        .envs(mutant.map(|mutant| ("REVTRAIL_MUTANT", mutant.name)))
        .stdin(Stdio::null())
        .stderr(out.try_clone().map_err(failed)?)
        .stdout(out);
    let began = Instant::now();
    let mut child = command.spawn().map_err(failed)?;
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if began.elapsed() > HARNESS_TIME_MAX => {
                child.kill().map_err(failed)?;
                child.wait().map_err(failed)?;
                return Ok((Verdict::TookTooLong, began.elapsed()));
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let told = fs::read(&log).map_err(failed)?;
    let outcome = verdict(status.success(), &String::from_utf8_lossy(&told), &log);
    Ok((outcome, began.elapsed()))
}

fn verdict(success: bool, told: &str, log: &Path) -> Verdict {
    if told.contains("running 0 tests") {
        return Verdict::NoSuchTest;
    }
    match success {
        true => Verdict::Passed,
        false if told.contains("test result: FAILED") && told.contains("panicked at tests/") => {
            Verdict::Found
        }
        false => Verdict::Broken(log.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_a_name_of_its_own_and_its_text_stands_once() {
        let names: BTreeSet<&str> = MUTANTS.iter().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), MUTANTS.len());
        let planted = bugs(|file| fs::read_to_string(root().join(file)).ok());
        assert_eq!(planted.err(), None);
    }

    #[test]
    fn everybody_s_turn_comes() {
        let turns = (0..MUTANTS.len()).map(|commits| in_turn(commits).collect::<Vec<_>>());
        let turns: Vec<_> = turns.collect();
        assert!(turns.iter().all(|names| names.len() == SHARE));
        let rounds = turns.concat();
        for mutant in MUTANTS {
            let times = rounds.iter().filter(|name| **name == mutant.name).count();
            assert_eq!(times, SHARE, "{}", mutant.name);
        }
    }

    #[test]
    fn only_crates_of_the_workspace_are_built_plainly_for_few_mutants() {
        let manifest = "a\n[profile.dev.package]\nrevtrail-core.opt-level = 2\nmanage.opt-level = 1\nbytes.opt-level = 2\n\n[x]\nrevtrail-x.opt-level = 1\n";
        assert_eq!(
            optimised(manifest).collect::<Vec<_>>(),
            ["revtrail-core", "manage"]
        );
        let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(optimised(&manifest).any(|name| name == "revtrail-store"));
    }

    #[test]
    fn a_stale_mutant_is_told() {
        let why = bugs(|_| Some(String::new())).unwrap_err();
        assert_eq!(why.lines().count(), 1 + MUTANTS.len(), "{why}");
    }

    #[test]
    fn only_an_assertion_of_the_tests_is_a_find() {
        let found = "thread 'a' panicked at tests/it/rules.rs:1:\ntest result: FAILED. 0 passed";
        let log = Path::new("log");
        for (success, told, expected) in [
            (true, "running 1 test\n", Verdict::Passed),
            (true, "running 0 tests\n", Verdict::NoSuchTest),
            (false, found, Verdict::Found),
            (
                false,
                "panicked at crates/core/src/fold.rs:1:\ntest result: FAILED",
                Verdict::Broken(log.into()),
            ),
            (false, "signal: 9", Verdict::Broken(log.into())),
        ] {
            assert_eq!(verdict(success, told, log), expected, "{told}");
        }
    }
}
