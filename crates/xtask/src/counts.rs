//! What the tests tell in their output: how many there were, and how many worlds and cases they went through.

use std::collections::BTreeMap;
use std::fmt;

/// The sums over all test programs.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// Lines such as `worlds: 100000` and `corpus: 140 cases`, printed by tests that passed; those of one name are added.
    told: BTreeMap<String, u64>,
}

impl Counts {
    /// Reads the output of `cargo test -- --show-output`.
    pub(crate) fn of(output: &str) -> Self {
        let mut counts = Self::default();
        for line in output.lines() {
            if let Some(result) = line.strip_prefix("test result: ") {
                counts.passed += before(result, " passed");
                counts.failed += before(result, " failed");
                counts.skipped += before(result, " ignored");
            } else if let Some((name, n)) = told(line) {
                *counts.told.entry(name.to_owned()).or_default() += n;
            }
        }
        counts
    }

    /// How many of a name.
    pub(crate) fn told(&self, name: &str) -> u64 {
        self.told.get(name).copied().unwrap_or(0)
    }
}

/// The number that stands before a word.
fn before(result: &str, word: &str) -> u64 {
    let number = result
        .split(word)
        .next()
        .and_then(|text| text.rsplit(' ').next());
    number.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// `worlds over HTTP: 300`, `corpus: 140 cases` or `82 golden cases`; nothing longer, for tests print other things too.
fn told(line: &str) -> Option<(&str, u64)> {
    let words = line.strip_suffix(" cases").unwrap_or(line);
    let (name, count) = match words.split_once(": ") {
        Some(pair) => pair,
        None => line
            .strip_suffix(" cases")?
            .split_once(' ')
            .map(|(count, name)| (name, count))?,
    };
    let is_name = name.len() <= 40 && name.chars().all(|c| c.is_ascii_alphabetic() || c == ' ');
    Some((name, count.parse().ok()?)).filter(|_| is_name)
}

/// The output without what went well: on a failure, cargo's progress and what passing tests printed are not of interest.
pub(crate) fn without_successes(output: &str) -> String {
    let mut successes = false;
    let mut kept = String::new();
    for line in output.lines() {
        match line {
            "successes:" => successes = true,
            "failures:" => successes = false,
            _ if line.starts_with("test result: ") => successes = false,
            _ => {}
        }
        let passed = line.starts_with("test ") && line.ends_with(" ... ok");
        let progress = ["Compiling ", "Checking ", "Downloaded ", "Documenting "];
        let progress = progress
            .iter()
            .any(|word| line.trim_start().starts_with(word));
        if !successes && !passed && !progress {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// A table, and at last the plain line that says how it went.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22}{:>10}", "tests", self.passed + self.failed)?;
        for (name, n) in &self.told {
            writeln!(f, "{name:<22}{n:>10}")?;
        }
        writeln!(f)?;
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 3 tests
test rules::worlds ... ok
test bad ... FAILED

successes:

---- rules::worlds stdout ----
worlds: 100000
corpus: 140 cases
82 golden cases
seed 3: 7
note: this is: 5

failures:

---- bad stdout ----
it is bad

test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 4.29s
corpus: 2 cases
test result: ok. 40 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s
";

    #[test]
    fn results_and_told_counts_are_summed() {
        let told = [("corpus", 142), ("golden", 82), ("worlds", 100_000)];
        let told = told.map(|(name, n)| (name.to_owned(), n)).into();
        let expected = Counts {
            passed: 42,
            failed: 1,
            skipped: 1,
            told,
        };
        assert_eq!(Counts::of(OUTPUT), expected);
        let shown = expected.to_string();
        assert_eq!(shown.lines().last(), Some("42 passed, 1 failed, 1 skipped"));
    }

    #[test]
    fn what_failed_is_shown_without_what_passed() {
        let kept = without_successes(OUTPUT);
        assert!(
            kept.contains("it is bad") && kept.contains("test bad ... FAILED"),
            "{kept}"
        );
        assert!(
            !kept.contains("100000") && !kept.contains("... ok"),
            "{kept}"
        );
    }
}
