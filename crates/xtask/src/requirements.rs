//! The table of requirements in `docs/REQUIREMENTS.md`: which tests are named after each. The sentences stand in the table itself, and
//! only its last column is written here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::root;

/// Where tests are: programs in Rust and in JavaScript, and scripts of calls.
const FOLDERS: [&str; 3] = ["tests", "crates", "crates/xtask/browser"];

/// The tests of each requirement, as `file: name`.
type Tests = BTreeMap<u32, BTreeSet<String>>;

/// Writes the last column of the table. What is wrong, where a requirement has no test.
pub(crate) fn write() -> Result<String, String> {
    let path = root().join("docs/REQUIREMENTS.md");
    let failed = |error: std::io::Error| format!("docs/REQUIREMENTS.md: {error}");
    let (table, without) = filled(&fs::read_to_string(&path).map_err(failed)?, &tests());
    fs::write(&path, table).map_err(failed)?;
    match without.is_empty() {
        true => Ok("docs/REQUIREMENTS.md is written: each requirement has a test".to_owned()),
        false => Err(format!("no test is named after {}", without.join(", "))),
    }
}

/// The table with its last column, and the requirements that have no test.
fn filled(table: &str, tests: &Tests) -> (String, Vec<String>) {
    let mut without = Vec::new();
    let line = |line: &str| {
        let number = line
            .strip_prefix("| R")
            .and_then(|rest| rest.split(' ').next());
        let Some(number) = number.and_then(|number| number.parse().ok()) else {
            return line.to_owned();
        };
        let own = tests
            .get(&number)
            .map(|own| own.iter().cloned().collect::<Vec<_>>());
        if own.is_none() {
            without.push(format!("R{number}"));
        }
        let cells: Vec<&str> = line.split(" | ").take(3).collect();
        format!(
            "{} | {} |",
            cells.join(" | "),
            own.unwrap_or_default().join("<br>")
        )
    };
    let lines: Vec<String> = table.lines().map(line).collect();
    (lines.join("\n") + "\n", without)
}

/// All tests that are named after a requirement.
fn tests() -> Tests {
    let mut files = Vec::new();
    FOLDERS
        .iter()
        .for_each(|folder| walk(&root().join(folder), &mut files));
    let mut tests = Tests::new();
    for path in files {
        let name = path
            .strip_prefix(root())
            .unwrap_or(&path)
            .display()
            .to_string();
        let text = fs::read_to_string(&path).unwrap_or_default();
        for test in text.lines().filter_map(|line| named(line, &name)) {
            for number in numbers(&test) {
                let known = tests.entry(number).or_default();
                known.insert(format!("`{name}`: {}", test.replace('_', " ")));
            }
        }
    }
    tests
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let kind = path.extension().and_then(|kind| kind.to_str());
        match kind {
            _ if path.is_dir() => walk(&path, files),
            Some("rs" | "txt" | "mjs") if !files.contains(&path) => files.push(path),
            _ => {}
        }
    }
}

/// The name of the test that a line begins, if it is named after requirements: a function, an entry of a table of tests, or the head
/// of a script.
fn named(line: &str, file: &str) -> Option<String> {
    let line = line.trim_end();
    // A script begins at the margin; everything else may be indented.
    let start = if file.ends_with(".txt") {
        line
    } else {
        line.trim_start()
    };
    let start = ["async fn ", "fn ", "async "]
        .iter()
        .find_map(|word| start.strip_prefix(word))
        .unwrap_or(start);
    let end = if file.ends_with(".txt") {
        start.len()
    } else {
        start.find(['(', ':', ',']).unwrap_or(start.len())
    };
    let name = &start[..end];
    (!numbers(name).is_empty() && !name.contains(['"', '=', ';'])).then(|| name.to_owned())
}

/// The numbers at the beginning of a name like `r019_r020_seven_days` or `r019 r020 seven days`.
fn numbers(name: &str) -> Vec<u32> {
    let number = |word: &str| {
        let digits = word.strip_prefix('r').filter(|digits| digits.len() == 3)?;
        digits.parse().ok()
    };
    name.split(['_', ' ']).map_while(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_requirements() {
        for (line, file, name) in [
            (
                "fn r019_r020_seven_days() {",
                "a.rs",
                Some("r019_r020_seven_days"),
            ),
            ("    async fn r022_day_90() {", "a.rs", Some("r022_day_90")),
            (
                "    r020_new_campaign_ends_the_window",
                "a.rs",
                Some("r020_new_campaign_ends_the_window"),
            ),
            ("  async r002({ page }) {", "a.mjs", Some("r002")),
            (
                "  r054: (on) => REQUIREMENTS.r034(on),",
                "a.mjs",
                Some("r054"),
            ),
            (
                "r002 r024 figures stay inside",
                "a.txt",
                Some("r002 r024 figures stay inside"),
            ),
            ("    redemption r001", "a.txt", None),
            ("let r001 = 1;", "a.rs", None),
            ("fn r1_is_no_number() {", "a.rs", None),
        ] {
            assert_eq!(named(line, file).as_deref(), name, "{line}");
        }
        assert_eq!(numbers("r019 r020 seven r021"), [19, 20]);
    }

    #[test]
    fn every_requirement_has_a_test_and_the_table_names_it() {
        let table = fs::read_to_string(root().join("docs/REQUIREMENTS.md")).unwrap();
        let (now, without) = filled(&table, &super::tests());
        assert_eq!(without, Vec::<String>::new(), "name a test after each");
        assert!(
            now == table,
            "the table is behind the tests: cargo xtask requirements"
        );
        assert_eq!(
            table.lines().filter(|line| line.starts_with("| R")).count(),
            109
        );
    }
}
