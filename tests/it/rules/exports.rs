//! Files of shops and mail tools: what `--show-map` prints of them, and what a run over them says. The files in `tests/exports` were
//! made by hand; those of real senders are read where they are there.

use std::path::{Path, PathBuf};

use clap::Parser;
use revtrail::attribute::{Watched, run};
use revtrail::cli::{Cli, Command};
use serde_json::Value;

use crate::support::root::Root;

fn here(rest: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(rest)
}

/// How a run ends, and what standard output and error say. `@` stands for a folder.
fn attribute(line: &str, folder: &Path) -> (String, String, String) {
    let words = line.split(' ').map(|word| match word.strip_prefix('@') {
        Some(file) => folder.join(file).display().to_string(),
        None => word.to_owned(),
    });
    let words = ["revtrail", "attribute"]
        .map(str::to_owned)
        .into_iter()
        .chain(words);
    let Command::Attribute(args) = Cli::parse_from(words).command else {
        unreachable!("the words say attribute")
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(&args, &mut out, &mut err, Watched::default());
    let text = |bytes| {
        let text = String::from_utf8(bytes).unwrap();
        text.replace(&format!("{}/", folder.display()), "@")
    };
    (format!("{exit:?}"), text(out), text(err))
}

/// What `--show-map` understands of each file: its name and its records, a line each.
fn understood(out: &str) -> String {
    let maps: Vec<Value> = serde_json::from_str(out).unwrap();
    let mut text = String::new();
    for map in maps {
        text += &format!("{}\n", map["name"].as_str().unwrap());
        for record in map["example"].as_array().unwrap() {
            text += &format!("{record}\n");
        }
    }
    text
}

/// Every line that begins with `$` is a run; below it stands what is said.
#[test]
fn what_is_understood_of_files() {
    let expected = std::fs::read_to_string(here("exports/expected.txt")).unwrap();
    let mut actual = String::new();
    for line in expected.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let (exit, out, err) = attribute(line, &here("exports"));
        let out = match line.contains("--show-map") && !out.is_empty() {
            true => understood(&out),
            false => String::new(),
        };
        let took = |line: &&str| !line.starts_with("attributed ");
        let err: String = err
            .lines()
            .filter(took)
            .map(|line| format!("! {line}\n"))
            .collect();
        actual += &format!("$ {line}\n{out}{err}{exit}\n\n");
    }
    if actual != expected {
        println!("{actual}");
    }
    assert!(
        actual == expected,
        "tests/exports/expected.txt is not what is printed above"
    );
}

/// What `--show-map` prints is taken by `--map`, and then means the same.
#[test]
fn a_map_that_was_printed_can_be_given_back() {
    let root = Root::new();
    std::fs::create_dir_all(&root.0).unwrap();
    let map = root.0.join("map.json");
    let expected = std::fs::read_to_string(here("exports/expected.txt")).unwrap();
    let lines = expected.lines().filter_map(|line| line.strip_prefix("$ "));
    let mut runs = 0;
    for line in lines.filter(|line| line.contains("--show-map")) {
        let (exit, out, _) = attribute(line, &here("exports"));
        if exit != "Clean" {
            continue;
        }
        std::fs::write(&map, &out).unwrap();
        let again = format!("{line} --map {}", map.display());
        let (exit, again, err) = attribute(&again, &here("exports"));
        assert_eq!(exit, "Clean", "{line}: {err}");
        assert_eq!(understood(&again), understood(&out), "{line}");
        runs += 1;
    }
    assert!(runs >= 10, "{runs} files");
}
