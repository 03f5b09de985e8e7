use serde::Serialize;
use serde_json::json;

/// One measured figure: both sides, interleaved in one run, and what was aimed for.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: Vec<f64>,
    pub(crate) theirs: Vec<f64>,
    pub(crate) goal: Goal,
}

/// What a figure is held against. Goals are never tests: a missed one is printed, not failed.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Goal {
    /// Median of ours over median of theirs, at most this.
    Ratio(f64),
    /// Median of ours over median of theirs, at least this: the more the better.
    RatioAtLeast(f64),
    /// Median of ours minus median of theirs, at most this.
    Difference(f64),
    /// 95th percentile of ours minus that of theirs, at most this.
    DifferenceP95(f64),
    /// Median of ours, at most this.
    AtMost(f64),
    /// Each of ours, at most this: the largest ones are compared.
    Never(f64),
    /// Reported for comparison only.
    None,
}

impl Figure {
    fn compared(&self) -> (f64, f64) {
        let quantile = match self.goal {
            Goal::DifferenceP95(_) => 0.95,
            Goal::Never(_) => 1.0,
            Goal::Ratio(_)
            | Goal::RatioAtLeast(_)
            | Goal::Difference(_)
            | Goal::AtMost(_)
            | Goal::None => 0.5,
        };
        (percentile(&self.ours, quantile), percentile(&self.theirs, quantile))
    }

    /// Whether the goal was met; nothing if there is none.
    fn is_met(&self) -> Option<bool> {
        let (ours, theirs) = self.compared();
        match self.goal {
            Goal::Ratio(most) => Some(ours / theirs <= most),
            Goal::RatioAtLeast(least) => Some(ours / theirs >= least),
            Goal::Difference(most) | Goal::DifferenceP95(most) => Some(ours - theirs <= most),
            Goal::AtMost(most) | Goal::Never(most) => Some(ours <= most),
            Goal::None => None,
        }
    }

    /// Ours over theirs; nothing if theirs is nothing.
    fn ratio(&self) -> Option<f64> {
        let (ours, theirs) = self.compared();
        (theirs > 0.0).then(|| ours / theirs)
    }

    /// One JSON object on one line.
    pub(crate) fn json(&self) -> String {
        let (ours, theirs) = self.compared();
        let has_theirs = !self.theirs.is_empty();
        json!({
            "name": self.name,
            "unit": self.unit,
            "ours": round(ours),
            "theirs": has_theirs.then(|| round(theirs)),
            "ratio": self.ratio().map(round),
            "goal": self.goal_text(),
            "met": self.is_met(),
            "runs": self.ours.len(),
        })
        .to_string()
    }

    /// One row of a table.
    pub(crate) fn row(&self) -> String {
        let (ours, theirs) = self.compared();
        let theirs_text =
            if self.theirs.is_empty() { "-".to_owned() } else { format!("{theirs:.2}") };
        let ratio = self.ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        let met = match self.is_met() {
            Some(true) => "met",
            Some(false) => "missed",
            None => "-",
        };
        let unit = self.unit;
        let goal = self.goal_text();
        let runs = self.ours.len();
        format!(
            "{:<34} {ours:>10.2} {theirs_text:>10} {unit:<6} {ratio:>6}  {goal:<22} {met:<7} {runs}",
            self.name
        )
    }

    fn goal_text(&self) -> String {
        match self.goal {
            Goal::Ratio(most) => format!("<= {most:.2}x"),
            Goal::Difference(most) => format!("<= +{most} {} p50", self.unit),
            Goal::DifferenceP95(most) => format!("<= +{most} {} p95", self.unit),
            Goal::RatioAtLeast(least) => format!(">= {least:.2}x"),
            Goal::AtMost(most) => format!("<= {most} {}", self.unit),
            Goal::Never(most) => format!("never > {most} {}", self.unit),
            Goal::None => "-".to_owned(),
        }
    }
}

pub(crate) const HEADER: &str = "figure                                   ours     theirs unit    ratio  goal                   result  runs";

/// The value below which a share of the values lies, by nearest rank; 0 of nothing.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    if sorted.len().is_multiple_of(2) && (share - 0.5).abs() < f64::EPSILON && !sorted.is_empty() {
        return f64::midpoint(sorted[sorted.len() / 2 - 1], sorted[sorted.len() / 2]);
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among a few hundred values"
    )]
    let rank = ((sorted.len() as f64 * share).ceil() as usize).max(1) - 1;
    sorted.get(rank).copied().unwrap_or(0.0)
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_are_by_rank() {
        assert!((percentile(&[3.0, 1.0, 2.0], 0.5) - 2.0).abs() < 1e-9);
        assert!((percentile(&[4.0, 1.0, 2.0, 3.0], 0.5) - 2.5).abs() < 1e-9);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((percentile(&hundred, 0.95) - 95.0).abs() < 1e-9);
        assert!((percentile(&[], 0.5)).abs() < 1e-9);
    }

    #[test]
    fn a_goal_for_every_run_is_missed_by_one_of_them() {
        let figure = |goal| Figure {
            name: "x".to_owned(),
            unit: "lines",
            ours: vec![0.0, 0.0, 1.0],
            theirs: vec![0.0],
            goal,
        };
        assert_eq!(figure(Goal::Never(0.0)).is_met(), Some(false));
        assert_eq!(figure(Goal::AtMost(0.0)).is_met(), Some(true));
        assert!(figure(Goal::Never(0.0)).json().contains("\"ratio\":null"));
    }

    #[test]
    fn a_missed_goal_is_printed_as_missed() {
        let figure = Figure {
            name: "x".to_owned(),
            unit: "s",
            ours: vec![2.0],
            theirs: vec![1.0],
            goal: Goal::Ratio(1.1),
        };
        assert!(figure.json().contains("\"met\":false") && figure.json().contains("\"ratio\":2.0"));
    }
}
