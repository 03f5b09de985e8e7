//! `warren session logs`: every line once, whatever happens to the connection.

use application::log::{LinePart, PlainText};
use clap::Args;
use jiff::Timestamp;
use reqwest::Response;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

use super::{
    super::{
        Context,
        answer::{LogLine, Session},
        format::visible_with_colours,
        options::{Format, duration},
        output::yaml,
        problem::{Exit, Failure},
    },
    One,
};

/// A connection on which nothing came for this long is opened anew: the line number makes that free.
const IDLE: Duration = Duration::from_mins(1);
/// So long is a server that went away waited for.
const AWAY: Duration = Duration::from_mins(2);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So many orderly ends without the last lines of a session that is over mean that they are lost.
const ENDS: u32 = 4;
const MAX_LINE_BYTES: usize = 8 << 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren session logs ses_0198… --tenant acme -f
  warren session logs ses_0198… --tenant acme --tail 50
  warren session logs ses_0198… --tenant acme --since 10m --search error
  warren session logs ses_0198… --tenant acme -o json | jq -r .l")]
pub(crate) struct Logs {
    #[command(flatten)]
    one: One,
    /// Go on until the session is over
    #[arg(short, long)]
    follow: bool,
    /// Begin with this line; the first one is 1
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,
    /// Begin so many lines before the present end
    #[arg(long, value_name = "LINES", conflicts_with = "from")]
    tail: Option<u64>,
    /// Only lines of the last so much time, e.g. 10m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    since: Option<Duration>,
    /// Only lines with this text in them
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
}

impl Logs {
    pub(super) async fn run(&self, cx: &Context) -> Result<(), Failure> {
        if cx.printer.format == Format::Name {
            return Err(Failure::usage("A log line has no name").hint("-o table, json or yaml"));
        }
        let from = match (self.from, self.tail) {
            (Some(from), _) => from,
            (None, Some(tail)) => {
                let (_, session) = self.one.get(cx).await?;
                session.log_lines.saturating_sub(tail) + 1
            }
            (None, None) => 1,
        };
        let mut reader = Reader::new(cx, &self.one, from, self.follow);
        reader.filter = self.filter();
        reader.run().await
    }

    /// What narrows the lines down.
    fn filter(&self) -> Vec<(&'static str, String)> {
        let since = self.since.map(|time| ("since", (Timestamp::now() - time).to_string()));
        let search = self.search.clone().map(|text| ("search", text));
        since.into_iter().chain(search).collect()
    }
}

/// Prints the log from line `from` until the session is over.
pub(super) async fn follow(cx: &Context, one: &One, from: u64) -> Result<(), Failure> {
    Reader::new(cx, one, from, true).run().await
}

/// Reads a log over as many connections as it takes.
struct Reader<'a> {
    cx: &'a Context,
    one: &'a One,
    is_following: bool,
    /// The number of the line that is printed next.
    next: u64,
    pause: Duration,
    away_since: Option<Instant>,
    /// Orderly ends since the last line.
    ends: u32,
    /// If there is one, lines are left out on purpose.
    filter: Vec<(&'static str, String)>,
    /// Puts the pieces of long lines together.
    text: PlainText,
}

/// How a connection ended.
enum End {
    /// As it should.
    Whole,
    /// In the middle.
    Broken,
}

impl<'a> Reader<'a> {
    fn new(cx: &'a Context, one: &'a One, from: u64, is_following: bool) -> Self {
        let (pause, filter, text) = (FIRST_PAUSE, Vec::new(), PlainText::default());
        Self { cx, one, is_following, next: from, pause, away_since: None, ends: 0, filter, text }
    }

    async fn run(mut self) -> Result<(), Failure> {
        loop {
            let before = self.next;
            match self.connection().await {
                Ok(End::Whole) if self.is_complete().await? => return self.finish(),
                Ok(_) => {}
                Err(failure) if failure.is_unreachable => self.still_away(failure)?,
                Err(failure) => return Err(failure),
            }
            if self.next > before {
                self.pause = FIRST_PAUSE;
            }
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Ends a line whose next piece is not to come.
    fn finish(&mut self) -> Result<(), Failure> {
        let mut printed = String::new();
        self.text.close(&mut printed);
        self.cx.printer.text(&printed)
    }

    /// Whether there is nothing more to come after an orderly end.
    async fn is_complete(&mut self) -> Result<bool, Failure> {
        if !self.is_following {
            return Ok(true);
        }
        match self.one.get(self.cx).await {
            Ok((_, session)) => Ok(self.has_all_of(&session)),
            Err(failure) if failure.is_unreachable => {
                self.still_away(failure)?;
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    fn has_all_of(&mut self, session: &Session) -> bool {
        if !session.is_final() {
            return false;
        }
        if !self.filter.is_empty() {
            return true;
        }
        self.ends += 1;
        if self.next <= session.log_lines && self.ends < ENDS {
            return false;
        }
        self.missing(session.log_lines);
        true
    }

    /// Says so if the record lacks lines up to `last`.
    fn missing(&self, last: u64) {
        if self.next <= last && self.filter.is_empty() {
            let first = self.next;
            self.cx.messages.note(&format!("Lines {first} to {last} are missing in the record"));
        }
    }

    fn still_away(&mut self, failure: Failure) -> Result<(), Failure> {
        let since = *self.away_since.get_or_insert_with(|| {
            self.cx.messages.note("The server cannot be reached; trying again");
            Instant::now()
        });
        if since.elapsed() < AWAY {
            return Ok(());
        }
        let One { id, tenant } = self.one;
        let (next, tenant) = (self.next, &tenant.tenant);
        let follow = if self.is_following { " -f" } else { "" };
        Err(failure.hint(format!(
            "go on later: warren session logs {id} --tenant {tenant}{follow} --from {next}"
        )))
    }

    /// Opens a connection at the next line and prints what comes.
    async fn connection(&mut self) -> Result<End, Failure> {
        let mut query = vec![("from", self.next.to_string())];
        if self.is_following {
            query.push(("follow", "true".to_owned()));
        }
        query.extend(self.filter.iter().cloned());
        let path = self.one.path(&["logs"]);
        let mut response = self.cx.client.open(&path, &query, "application/x-ndjson").await?;
        let mut text = Vec::new();
        loop {
            let end = match timeout(IDLE, response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    self.away_since = None;
                    text.extend_from_slice(&chunk);
                    self.print_whole_lines(&mut text)?;
                    continue;
                }
                Ok(Ok(None)) => End::Whole,
                // What came of a line whose end did not come is asked for again.
                Ok(Err(_)) | Err(_) => return Ok(End::Broken),
            };
            check_type(&response)?;
            if !text.is_empty() {
                text.push(b'\n');
                self.print_whole_lines(&mut text)?;
            }
            return Ok(end);
        }
    }

    fn print_whole_lines(&mut self, text: &mut Vec<u8>) -> Result<(), Failure> {
        let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else {
            let is_too_long = text.len() > MAX_LINE_BYTES;
            let failure = || Failure::unexpected(format!("a line of over {MAX_LINE_BYTES} bytes"));
            return if is_too_long { Err(failure()) } else { Ok(()) };
        };
        let rest = text.split_off(end + 1);
        let mut printed = String::new();
        for line in std::mem::replace(text, rest).split(|byte| *byte == b'\n') {
            if !line.trim_ascii().is_empty() {
                self.take(line, &mut printed)?;
            }
        }
        self.cx.printer.text(&printed)
    }

    /// Takes one line into `printed`, unless it was printed before.
    fn take(&mut self, line: &[u8], printed: &mut String) -> Result<(), Failure> {
        let unexpected = |error: serde_json::Error| Failure::unexpected(error.to_string());
        let value: Value = serde_json::from_slice(line).map_err(unexpected)?;
        if value.get("n").is_none() {
            // Signs of life and remarks of the server are not lines.
            return Ok(());
        }
        let line: LogLine = super::super::answer::decode(&value)?;
        if line.number < self.next {
            return Ok(());
        }
        self.missing(line.number - 1);
        self.ends = 0;
        self.next = line.number + 1;
        match self.cx.printer.format {
            Format::Json => {
                *printed += &value.to_string();
                printed.push('\n');
            }
            Format::Yaml => {
                printed.push_str("---\n");
                printed.push_str(&yaml(&value)?);
            }
            Format::Table | Format::Name => {
                let is_terminal = self.cx.printer.is_terminal;
                let text = &line.text;
                let shown = if is_terminal { visible_with_colours(text) } else { text.into() };
                // Pieces between those that were found may be left out.
                let is_search = self.filter.iter().any(|(name, _)| *name == "search");
                let part = if is_search { LinePart::Whole } else { line.part };
                self.text.add(line.stream, part, &shown, printed);
            }
        }
        Ok(())
    }
}

/// A proxy's own page must not be taken for a log.
fn check_type(response: &Response) -> Result<(), Failure> {
    let kind = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    match kind {
        Some(kind) if kind.starts_with("text/html") => {
            Err(Failure::new(Exit::Failure, "Not Warren answered").detail(kind))
        }
        _ => Ok(()),
    }
}
