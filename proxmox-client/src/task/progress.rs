/// How far a task has got. Of several disks that are copied, each begins at 0.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// In percent: 0 to 100.
    pub percent: f64,
    /// The line that says so.
    pub text: String,
}

impl Progress {
    /// Reads a line like `transferred 1.0 GiB of 10.0 GiB (10.00%)`.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("transferred ")?;
        let (amounts, rest) = rest.split_once('(')?;
        let (percent, _) = rest.split_once("%)")?;
        let percent: f64 = percent.trim().parse().ok()?;
        let is_progress = amounts.contains(" of ") && (0.0..=100.0).contains(&percent);
        is_progress.then(|| Self { percent, text: line.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_percentage_of_a_copy_is_read() {
        for (line, percent) in [
            ("transferred 1.0 GiB of 10.0 GiB (10.00%)", 10.0),
            ("transferred 10.0 GiB of 10.0 GiB (100.00%)", 100.0),
            ("drive-scsi0: transferred 0.0 B of 4.0 MiB (0.00%) in 0s", 0.0),
        ] {
            let progress = Progress::read(line).expect(line);
            assert!((progress.percent - percent).abs() < 1e-9, "{line}");
        }
    }

    #[test]
    fn other_lines_are_no_progress() {
        for line in [
            "",
            "TASK OK",
            "transferred",
            "(10%)",
            "transferred all (NaN%)",
            "transferred 1 of 2 (200%)",
        ] {
            assert_eq!(Progress::read(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(line in "\\PC*|transferred [a-z0-9. ]{0,9} of [0-9.(%)]{0,20}") {
            let _ = Progress::read(&line);
        }
    }
}
