//! Every operation of the store has a span of its own.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() { sources(&path, found) } else { found.push(path) }
    }
}

#[test]
fn every_operation_of_the_store_has_a_span_that_says_which_and_holds_no_value() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("it is text");
        let lines: Vec<&str> = text.lines().collect();
        let is_store = |index: usize| {
            lines[..index].iter().rev().find(|line| line.starts_with("impl"))
                == Some(&"impl Store {")
        };
        for (index, line) in lines.iter().enumerate() {
            let Some(method) = line.strip_prefix("    pub async fn ") else { continue };
            // Having the record is no operation on it.
            let is_life =
                ["open(", "close(", "taken_over("].iter().any(|of| method.starts_with(of));
            if is_life || !is_store(index) {
                continue;
            }
            let span = lines[index - 1].trim().strip_prefix("#[tracing::instrument(name = \"db.");
            let span = span.and_then(|span| span.strip_suffix("\", skip_all)]"));
            let span = span.unwrap_or_else(|| panic!("{}: {method} has no span", file.display()));
            assert!(names.insert(span.to_owned()), "{span} stands for two operations");
            assert!(span.contains('.'), "{span} says noun and verb");
        }
    }
    assert!(names.len() > 40, "{names:?}");
}
