//! What the sources cite is there: the numbers of `docs/rules.md`, and no word of the specification that is not in the clone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of the workspace but those of other folders with a `target`.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The numbers that follow `rule ` or `rules `, and those that such a number is joined with: `rules 4.2 to 4.4`, `rules 3 and 4.1`.
fn cited(text: &str) -> BTreeSet<String> {
    let mut numbers = BTreeSet::new();
    for (at, word) in text.match_indices("rule") {
        let rest = text[at + word.len()..].trim_start_matches('s');
        let words = rest.strip_prefix(' ').unwrap_or_default();
        for word in words.split_whitespace() {
            let number = word.trim_end_matches(|end: char| !end.is_ascii_digit());
            let is_number = !number.is_empty()
                && number.split('.').all(|part| part.parse::<u8>().is_ok())
                && number.split('.').count() <= 2;
            if is_number {
                numbers.insert(number.to_owned());
            } else if !["to", "and"].contains(&word) {
                break;
            }
        }
    }
    numbers
}

/// The numbers of the headings.
fn headings(page: &str) -> BTreeSet<String> {
    let number = |line: &str| {
        let heading = line.strip_prefix("## ").or(line.strip_prefix("### "))?;
        let number = heading.split(' ').next()?.trim_end_matches('.');
        Some(number.to_owned())
    };
    page.lines().filter_map(number).collect()
}

#[test]
fn every_rule_that_is_cited_is_in_the_rules() {
    let found = cited("rule 4.2; see rules 3 and 4.1 to 4.4. A rule of 3 things, rule 9.9.9");
    assert_eq!(found, ["3", "4.1", "4.2", "4.4"].map(str::to_owned).into());
    let rules = headings(&fs::read_to_string(top().join("docs/rules.md")).unwrap());
    let mut files = Vec::new();
    for folder in ["crates", "tests/it", "tests/oracle"] {
        sources(&top().join(folder), &mut files);
    }
    let mut count = 0;
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        // The name of the document is put together, so that this line does not find itself.
        let outside = ["SPEC", " 4"].concat();
        assert!(
            !text.contains(&outside),
            "{}: cites what is not in the clone",
            file.display()
        );
        if file.ends_with("tidy.rs") {
            continue;
        }
        for number in cited(&text) {
            assert!(
                rules.contains(&number),
                "{}: there is no rule {number}",
                file.display()
            );
            count += 1;
        }
    }
    assert!(count > 30, "{count}: the numbers are not found any more");
    println!("cited rules: {count}");
}
