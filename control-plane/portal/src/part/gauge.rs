//! How much of something is used.

use crate::words::{self, Tone};
use askama::{Template, filters::HtmlSafe};
use domain::{Bytes, Millicores, Share};

/// From how many percent it is told by colour, beside the number.
const WARN_AT: u64 = 80;
const BAD_AT: u64 = 95;

/// What is used of a limit, as text and as a bar.
#[derive(Debug, Clone, Template)]
#[template(path = "part/gauge.html")]
pub(crate) struct Gauge {
    label: &'static str,
    used: String,
    limit: String,
    /// At most 100.
    percent: u64,
    tone: Tone,
    /// What the tenant's control plane uses beside that.
    overhead: String,
}

impl HtmlSafe for Gauge {}

impl Gauge {
    pub(crate) fn cpu(share: Share<Millicores>) -> Self {
        Self::new("CPU", share, |cores| cores.0, words::cores)
    }

    pub(crate) fn bytes(label: &'static str, share: Share<Bytes>) -> Self {
        Self::new(label, share, |bytes| bytes.0, words::size)
    }

    pub(crate) fn count(label: &'static str, share: Share<u64>) -> Self {
        Self::new(label, share, |count| count, |count| count.to_string())
    }

    fn new<T: Copy>(
        label: &'static str,
        share: Share<T>,
        number: fn(T) -> u64,
        text: fn(T) -> String,
    ) -> Self {
        let Share { yours, overhead, limit } = share;
        let percent = number(yours).saturating_mul(100).checked_div(number(limit)).unwrap_or(0);
        let tone = match percent {
            ..WARN_AT => Tone::Ok,
            WARN_AT..BAD_AT => Tone::Warn,
            BAD_AT.. => Tone::Bad,
        };
        let percent = percent.min(100);
        let (used, limit, overhead) = (text(yours), text(limit), text(overhead));
        Self { label, used, limit, percent, tone, overhead }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_changes_its_tone_where_it_is_marked() {
        let tone = |yours| Gauge::count("Pods", Share { yours, overhead: 0, limit: 200 }).tone;
        assert_eq!([0, 159, 160, 189, 190, 400].map(tone), {
            use Tone::{Bad, Ok, Warn};
            [Ok, Ok, Warn, Warn, Bad, Bad]
        });
        let unlimited = Gauge::count("Pods", Share { yours: 3, overhead: 0, limit: 0 });
        assert_eq!(unlimited.percent, 0);
    }
}
