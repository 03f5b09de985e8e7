use super::{
    Caller, RACES, RunError,
    log_limit::{Room, Words},
};
use crate::{
    App,
    blobs::BlobPath,
    log::{LogLine, segment},
};
use bytes::Bytes;
use domain::{Digest, Run, RunId};
use sha2::{Digest as _, Sha256};
use store::{LogAppendError, LogGrowth, LogSegment, StoreError};

/// The longest text of one line, in bytes. Runners cut at 16 KiB; a byte that is not UTF-8 becomes
/// three.
const MAX_LINE_BYTES: usize = 48 << 10;

/// Why lines were not kept.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The call had no effect.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Lines before the first one are missing.
    #[error("line {next} is expected")]
    Gap {
        /// The number of the line that is expected.
        next: u64,
    },
    /// They could not be compressed.
    #[error("compress the lines")]
    Compress(#[source] std::io::Error),
    /// A line is not in the form of the log.
    #[error("line {line} of the body {rule}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// What it is, or is not.
        rule: &'static str,
    },
}

impl From<StoreError> for AppendError {
    fn from(error: StoreError) -> Self {
        Self::Run(error.into())
    }
}

/// What became of lines that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The number of the line that is expected next.
    pub next: u64,
    /// Whether the log has no room for more of the agent's lines: it is pointless to send them.
    pub is_full: bool,
}

impl Appended {
    const fn before(run: &Run) -> Self {
        Self { next: run.next_log_line, is_full: run.log_full_at.is_some() }
    }
}

/// Keeps lines of the log: one JSON object per line, numbered without a gap. Lines that are kept
/// already are passed over, so a runner that got no answer sends the same lines again.
///
/// Lines for which the session's log has no room are not kept: where the first of them would be, a line
/// says so. A runner that was told so may still send last words.
///
/// # Errors
/// If lines are missing before these, one is malformed, or the run is over.
pub async fn append_log(
    app: &App,
    caller: &Caller,
    body: &[u8],
    words: Words,
) -> Result<Appended, AppendError> {
    let lines = parse(body)?;
    let mut run = caller.run.clone();
    let Some(first) = lines.first().map(|line| line.number) else {
        return Ok(Appended::before(&run));
    };
    for _ in 0..RACES {
        let next = run.next_log_line;
        let known = next.checked_sub(first).ok_or(AppendError::Gap { next })?;
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(lines.len());
        let room = Room::of(app, caller, &run).await?;
        let (new, growth) = room.cut(&lines[known..], words);
        if new.is_empty() {
            return Ok(Appended::before(&run));
        }
        if let Some(next) = append(app, run.id, &new, growth).await? {
            return Ok(Appended { next, is_full: growth.is_full });
        }
        // The log has grown meanwhile.
        run = app.store.run_get(run.id).await?.ok_or(RunError::NoRun)?;
    }
    Err(StoreError::Stale.into())
}

/// The object first, then the index: what the index names is there.
/// The number of the line after these; nothing if the log has others at their place.
async fn append(
    app: &App,
    run: RunId,
    lines: &[LogLine],
    growth: LogGrowth,
) -> Result<Option<u64>, AppendError> {
    let (first, count) = (lines[0].number, lines.len() as u64);
    let bytes = segment::packed(&encode(lines)).map_err(AppendError::Compress)?;
    let digest = Digest::of_sha256(Sha256::digest(&bytes).into());
    // Named by its content too: the same lines in another cut never overwrite what is indexed.
    let ending = format!("-{}{}", &digest.digits()[..16], segment::COMPRESSED);
    let path = BlobPath::log_segment(run, first, &ending);
    let size = bytes.len() as u64;
    app.blobs.put(&path, Bytes::from(bytes)).await.map_err(RunError::from)?;
    let segment = LogSegment { first, lines: count, bytes: size, path: path.to_string(), digest };
    match app.store.log_append(run, segment, growth).await {
        Ok(next) if next == first + count => Ok(Some(next)),
        Ok(_) | Err(LogAppendError::Overlap { .. }) => {
            discard(app, run, first, &path).await?;
            Ok(None)
        }
        Err(LogAppendError::Gap { next }) => {
            discard(app, run, first, &path).await?;
            Err(AppendError::Gap { next })
        }
        Err(LogAppendError::Store(error)) => Err(error.into()),
    }
}

/// Removes an object that the index does not name.
async fn discard(app: &App, run: RunId, first: u64, path: &BlobPath) -> Result<(), AppendError> {
    let segments = app.store.log_segments(run, first).await?;
    if segments.iter().all(|segment| segment.path != path.to_string()) {
        app.blobs.delete(path).await.map_err(RunError::from)?;
    }
    Ok(())
}

fn encode(lines: &[LogLine]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line).expect("texts, times and numbers are always JSON");
        bytes.push(b'\n');
    }
    bytes
}

fn parse(body: &[u8]) -> Result<Vec<LogLine>, AppendError> {
    let mut lines: Vec<LogLine> = Vec::new();
    let texts = body.split(|byte| *byte == b'\n').filter(|text| !text.is_empty());
    for (text, line) in texts.zip(1..) {
        let malformed = |rule| AppendError::Malformed { line, rule };
        let mut parsed: LogLine = serde_json::from_slice(text)
            .map_err(|_| malformed(r#"is not {"n":NUMBER,"t":TIME,"s":"out"|"err","l":TEXT}, with "p":"first"|"middle"|"last" for a piece"#))?;
        if parsed.text.len() > MAX_LINE_BYTES {
            return Err(malformed("is longer than 48 KiB"));
        }
        let follows = lines.last().map_or(parsed.number, |last| last.number + 1);
        if parsed.number == 0 || parsed.number != follows {
            return Err(malformed("does not have the number after that of the line before"));
        }
        mask_tokens(&mut parsed.text);
        lines.push(parsed);
    }
    Ok(lines)
}

/// Takes Warren's own tokens out of a line: an agent can read its run's, and people paste theirs.
fn mask_tokens(text: &mut String) {
    const SECRET_BYTES: usize = 43;
    let is_secret = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let mut from = 0;
    while let Some(at) = text[from..].find("wr").map(|at| from + at) {
        from = at + 2;
        let rest = &text[at..];
        if !rest.starts_with("wrr_") && !rest.starts_with("wrn_") {
            continue;
        }
        let length = rest.bytes().skip(4).take_while(|byte| is_secret(*byte)).count();
        if length >= SECRET_BYTES {
            text.replace_range(at + 4..at + 4 + length, "***");
            from = at + 7;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(numbers: &[u64]) -> Vec<u8> {
        let line = |n| {
            format!("{{\"n\":{n},\"t\":\"2025-01-01T00:00:00.000Z\",\"s\":\"out\",\"l\":\"x\"}}\n")
        };
        numbers.iter().map(|n| line(*n)).collect::<String>().into_bytes()
    }

    #[test]
    fn lines_without_a_gap_are_understood_and_others_are_told_which_is_wrong() {
        assert_eq!(parse(&body(&[7, 8, 9])).expect("no gap").len(), 3);
        assert_eq!(parse(b"").expect("nothing is wrong with nothing").len(), 0);
        for (wrong, expected) in [
            (body(&[1, 3]), 2),
            (body(&[2, 1]), 2),
            (body(&[0]), 1),
            (b"{}\n".to_vec(), 1),
            (b"\xff\n".to_vec(), 1),
        ] {
            match parse(&wrong) {
                Err(AppendError::Malformed { line, .. }) => assert_eq!(line, expected),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_is_kept_is_what_was_sent() {
        let lines = parse(&body(&[1, 2])).expect("two lines");
        assert_eq!(parse(&encode(&lines)).expect("the same lines"), lines);
    }

    #[test]
    fn tokens_of_warren_do_not_reach_the_log() {
        let secret = "aB3-_".repeat(9);
        let mut text = format!("ü wrr_{secret} wrn_{secret}; wrr_short wrap wr");
        mask_tokens(&mut text);
        assert_eq!(text, "ü wrr_*** wrn_***; wrr_short wrap wr");
    }
}
