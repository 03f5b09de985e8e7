//! Answers on stdout, in the form that was asked for.

use comfy_table::{ContentArrangement, Table as Grid, presets};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
};

use super::{format::visible, options::Format, problem::Failure};

/// Characters of a cell that has others to its right.
pub(super) const MAX_CELL: usize = 80;

/// Writes to stdout, and only there.
#[derive(Debug)]
pub(super) struct Printer {
    pub(super) format: Format,
    pub(super) is_terminal: bool,
    stdout: io::Stdout,
}

/// Rows under a line of headings.
#[derive(Debug)]
pub(super) struct Table {
    heading: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heading: &'static [&'static str]) -> Self {
        Self { heading, rows: Vec::new() }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.heading.len(), "a row has a cell for each heading");
        let cells = cells.into_iter().enumerate();
        let is_last = |index| index + 1 == N;
        let cells = cells.map(|(index, cell)| cell_text(&cell, is_last(index)));
        self.rows.push(cells.collect());
    }

    /// Columns of equal width with two spaces between them, each line after `indent` spaces.
    pub(super) fn text(&self, indent: usize) -> String {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        grid.set_content_arrangement(ContentArrangement::Disabled);
        grid.set_header(self.heading.to_vec());
        grid.add_rows(self.rows.iter().cloned());
        for column in grid.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let indent = " ".repeat(indent);
        grid.lines().fold(String::new(), |text, line| text + &indent + line.trim_end() + "\n")
    }
}

/// Names and values below one another; what is empty is left out.
pub(super) fn fields(fields: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        let value = value.lines().map(visible).collect::<Vec<_>>().join("\n             ");
        writeln!(text, "{:<12} {value}", format!("{name}:")).expect("a string takes everything");
    }
    text
}

/// One line, whatever it came from; only the last column may be as wide as it likes.
fn cell_text(cell: &str, is_last: bool) -> String {
    let line = cell.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_CELL) {
        _ if line.is_empty() => "-".to_owned(),
        Some((end, _)) if !is_last => format!("{}…", visible(&line[..end])),
        _ => visible(&line).into_owned(),
    }
}

impl Printer {
    pub(super) fn new(format: Format) -> Self {
        let stdout = io::stdout();
        Self { format, is_terminal: stdout.is_terminal(), stdout }
    }

    /// One thing: `human` says how people read it.
    pub(super) fn item(
        &self,
        kind: &str,
        name: &str,
        value: &Value,
        human: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.text(&human()),
            Format::Name => self.text(&format!("{kind}/{}\n", visible(name))),
            Format::Json | Format::Yaml => self.document(value),
        }
    }

    /// Many things, each with the name that `-o name` gives it.
    pub(super) fn list(
        &self,
        kind: &str,
        names: &[String],
        items: &[Value],
        human: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.text(&human()),
            Format::Name => {
                let lines = names.iter().map(|name| format!("{kind}/{}\n", visible(name)));
                self.text(&lines.collect::<String>())
            }
            Format::Json | Format::Yaml => self.document(&json!({ "items": items })),
        }
    }

    /// A document for programs.
    pub(super) fn document(&self, value: &Value) -> Result<(), Failure> {
        let text = if self.format == Format::Yaml { yaml(value)? } else { pretty(value) };
        self.text(&text)
    }

    pub(super) fn text(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = self.stdout.lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        written.map_err(|error| Failure::stdout(&error))
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

pub(super) fn yaml(value: &Value) -> Result<String, Failure> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options)
        .map(|text| if text.ends_with('\n') { text } else { text + "\n" })
        .map_err(|error| Failure::local("The answer cannot be written as YAML", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_columns_and_nothing_else() {
        let mut table = Table::new(&["NAME", "MESSAGE"]);
        table.row(["acme".to_owned(), "two\nlines and \u{1b}[2J".to_owned()]);
        table.row(["a-longer-name".to_owned(), String::new()]);
        assert_eq!(
            table.text(2),
            "  NAME           MESSAGE\n  acme           two lines and \u{fffd}[2J\n  a-longer-name  -\n"
        );
    }

    #[test]
    fn what_is_written_as_yaml_reads_back_as_the_same() {
        let value = json!({
            "text": "no", "number": "12", "empty": "", "lines": "a\n  b\n\n", "list": [{"a": 1}, []],
            "long": "x y ".repeat(60), "null": null, "colon": "a: b # c", "emoji": "🐇\u{85}",
        });
        let text = yaml(&value).expect("JSON can be written as YAML");
        let back: Value = serde_saphyr::from_str(&text).expect("it can be read");
        assert_eq!(back, value, "{text}");
    }
}
