//! Counting tests by what the programs that ran them printed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// How the tests of a program are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// The program is one test.
    One,
    /// The program is one test, and has failed if it prints anything.
    Silent,
    /// `cargo test`.
    Cargo,
    /// `go test -json`.
    Go,
    /// Python's `unittest`.
    Python,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

/// A line of `go test -json` (`go doc test2json`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    #[serde(default)]
    package: String,
    test: Option<String>,
    output: Option<String>,
}

impl Count {
    /// Counts what a program printed. A program that failed has at least one failure,
    /// and one that ran no test has not passed either.
    pub(crate) fn tally(self, output: &str, has_succeeded: bool) -> Tally {
        let tally = match self {
            Self::One => Tally { passed: u64::from(has_succeeded), failed: 0 },
            Self::Silent => Tally { passed: u64::from(output.trim().is_empty()), failed: 0 },
            Self::Cargo => cargo(output),
            Self::Go => go(output),
            Self::Python => python(output),
        };
        let is_suspicious = !has_succeeded || tally.passed == 0;
        let failed = if is_suspicious { tally.failed.max(1) } else { tally.failed };
        // One test cannot both pass and fail.
        let is_one = matches!(self, Self::One | Self::Silent);
        Tally { passed: if is_one && failed > 0 { 0 } else { tally.passed }, failed }
    }
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// What a person would have read of `go test -json`.
pub(crate) fn go_text(output: &str) -> String {
    events(output).filter_map(|event| event.output).collect()
}

fn events(output: &str) -> impl Iterator<Item = Event> {
    output.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// Sums `test result: ok. 3 passed; 0 failed; …`.
fn cargo(output: &str) -> Tally {
    let mut sum = Tally::default();
    for line in output.lines().filter(|line| line.starts_with("test result: ")) {
        let number = |word: &str| {
            let before = line.split(['.', ';']).find_map(|part| part.trim().strip_suffix(word));
            before.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
        };
        sum.add(Tally { passed: number("passed"), failed: number("failed") });
    }
    sum
}

/// Counts tests that hold no other tests.
fn go(output: &str) -> Tally {
    let mut ends: BTreeMap<(String, String), bool> = BTreeMap::new();
    for Event { action, package, test, .. } in events(output) {
        if let (Some(test), "pass" | "fail") = (test, &*action) {
            ends.insert((package, test), action == "pass");
        }
    }
    let parents: BTreeSet<(String, String)> = ends
        .keys()
        .filter_map(|(package, test)| {
            test.rsplit_once('/').map(|(parent, _)| (package.clone(), parent.into()))
        })
        .collect();
    let mut sum = Tally::default();
    for (_, has_passed) in ends.iter().filter(|(test, _)| !parents.contains(test)) {
        sum.add(Tally { passed: u64::from(*has_passed), failed: u64::from(!has_passed) });
    }
    sum
}

/// `Ran 5 tests in 0.1s` and `FAILED (failures=1, errors=1, skipped=1)`.
fn python(output: &str) -> Tally {
    let number = |before: &str| -> u64 {
        let found = output.lines().rev().find_map(|line| line.split_once(before));
        let digits = found.map(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()));
        digits.and_then(|mut digits| digits.next()?.parse().ok()).unwrap_or(0)
    };
    let ran = number("Ran ");
    let failed = number("failures=") + number("errors=");
    Tally { passed: ran.saturating_sub(failed + number("skipped=")), failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(count: Count, output: &str, has_succeeded: bool, passed: u64, failed: u64) {
        assert_eq!(count.tally(output, has_succeeded), Tally { passed, failed }, "{output}");
    }

    #[test]
    fn the_results_of_all_test_programs_of_cargo_are_summed() {
        let output = "running 3 tests\ntest a ... ok\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished\n\
            test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        check(Count::Cargo, output, false, 7, 2);
    }

    #[test]
    fn what_does_not_compile_has_failed() {
        check(Count::Cargo, "error[E0308]: mismatched types", false, 0, 1);
    }

    #[test]
    fn a_program_that_ran_no_test_has_failed() {
        check(Count::Cargo, "", true, 0, 1);
        check(Count::Python, "Ran 0 tests in 0.000s\n\nOK\n", true, 0, 1);
    }

    #[test]
    fn a_table_of_cases_counts_by_its_cases() {
        let output = [
            r#"{"Action":"pass","Package":"p","Test":"TestRules/deny"}"#,
            r#"{"Action":"fail","Package":"p","Test":"TestRules/allow"}"#,
            r#"{"Action":"fail","Package":"p","Test":"TestRules"}"#,
            r#"{"Action":"pass","Package":"p","Test":"TestOther"}"#,
            r#"{"Action":"skip","Package":"p","Test":"TestWire"}"#,
            r#"{"Action":"fail","Package":"p"}"#,
        ];
        check(Count::Go, &output.join("\n"), false, 2, 1);
    }

    #[test]
    fn a_skipped_test_of_python_has_not_passed() {
        let output = "Ran 5 tests in 0.010s\n\nFAILED (failures=1, errors=1, skipped=1)\n";
        check(Count::Python, output, false, 2, 2);
        check(Count::Python, "Ran 1 test in 0.010s\n\nOK\n", true, 1, 0);
    }

    #[test]
    fn a_list_of_unformatted_files_is_a_failure() {
        check(Count::Silent, "", true, 1, 0);
        check(Count::Silent, "main.go\n", true, 0, 1);
        check(Count::One, "", false, 0, 1);
    }
}
