//! What the command says: results on standard output, errors on standard error, each as text for people or as JSON.
//!
//! Text that came from a bundle or a document is shown with its control characters spelt out, so that no name in a
//! stranger's file can move the cursor or forge a line. Colours appear on a terminal only (`NO_COLOR` is honoured).

use anstyle::{AnsiColor, Style};
use lockgate_core::Error;
use lockgate_core::error::code;
use lockgate_core::text::{steers, tame};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write as _;

/// How results and errors are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where results and errors go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
}

const FAULT: Style = AnsiColor::Red.on_default().bold();
const ADVICE: Style = AnsiColor::Cyan.on_default();
const STRONG: Style = Style::new().bold();

impl Output {
    /// Writes in `format`.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// Writes a result: `value` as JSON, or what `text` makes.
    pub fn result<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) {
        let mut line = match self.format {
            Format::Text => text(),
            Format::Json => json_line(value),
        };
        if !line.ends_with('\n') {
            line.push('\n');
        }
        // Nobody is left to tell when standard output is closed.
        let _ = anstream::stdout().write_all(line.as_bytes());
    }

    /// Writes one of many results that come over time; whether anybody still reads them.
    pub fn stream<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> bool {
        let line = match self.format {
            Format::Text => text(),
            Format::Json => json_line(value),
        };
        let mut out = anstream::stdout().lock();
        writeln!(out, "{}", line.trim_end_matches('\n')).and_then(|()| out.flush()).is_ok()
    }

    /// Whether people read it.
    pub fn is_text(&self) -> bool {
        self.format == Format::Text
    }

    /// Writes a result to standard error, because standard output is a job's.
    pub fn aside<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) {
        let line = match self.format {
            Format::Text => text(),
            Format::Json => json_line(value) + "\n",
        };
        let _ = anstream::stderr().write_all(line.as_bytes());
    }

    /// Writes a remark for people to standard error.
    pub fn note(&self, text: &str) {
        if self.format == Format::Text {
            let _ = writeln!(anstream::stderr(), "{ADVICE}note:{ADVICE:#} {}", plain(text));
        }
    }

    /// Writes errors, each with its code, place, cause and what to do.
    pub fn errors(&self, errors: &[Error]) {
        let mut text = String::new();
        for error in errors {
            let written = match self.format {
                Format::Text => show(error, &mut text),
                Format::Json => writeln!(text, "{}", json_line(&json(error))),
            };
            // Writing to a string does not fail.
            debug_assert!(written.is_ok());
        }
        let _ = anstream::stderr().write_all(text.as_bytes());
    }
}

fn show(error: &Error, out: &mut String) -> std::fmt::Result {
    writeln!(out, "{FAULT}error[{}]{FAULT:#}{STRONG}: {}{STRONG:#}", error.code(), plain(error.cause()))?;
    if let Some(place) = error.place() {
        writeln!(out, "  {ADVICE}-->{ADVICE:#} {}", plain(place))?;
    }
    match error.help_text() {
        Some(help) => writeln!(out, "  {ADVICE}help:{ADVICE:#} {}", plain(help)),
        None if error.code() == code::USAGE => writeln!(out, "  {ADVICE}help:{ADVICE:#} see `lockgate --help`"),
        None => writeln!(out, "  {ADVICE}help:{ADVICE:#} see `lockgate explain {}`", error.code()),
    }
}

fn json(error: &Error) -> serde_json::Value {
    serde_json::json!({
        "error": {
            "code": error.code().to_string(),
            "title": error.code().title(),
            "cause": error.cause(),
            "place": error.place(),
            "help": error.help_text(),
        }
    })
}

/// `value` as one line of JSON. JSON itself lets some characters stand in strings that steer a terminal (U+009B begins
/// an escape sequence as much as ESC does), so they are spelt out; outside of strings there are none.
fn json_line<T: Serialize>(value: &T) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    json.chars().fold(String::with_capacity(json.len()), |mut out, c| {
        if steers(c) {
            // All of them are below U+10000. Writing to a string does not fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
        out
    })
}

/// All of `text`, [tamed](tame).
pub fn plain(text: &str) -> String {
    tame(text, usize::MAX)
}

/// A table of two columns, without lines.
pub fn pairs<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]);
    table(None, rows)
}

/// A table with a header, if any, and without lines.
pub fn table(header: Option<&[&str]>, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    if let Some(header) = header {
        table.set_header(header.to_vec());
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)).collect::<Vec<_>>());
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end().strip_prefix(' ').unwrap_or(line.trim_end()));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_cannot_either_and_says_the_same() {
        let text = "a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{61c}\n\"é😀";
        let line = json_line(&text);
        assert!(!line.contains(steers), "{line:?}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn nothing_can_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb\r\n\u{202e}é"), "a\\u{1b}[2Jb\\r\\n\\u{202e}é");
        assert_eq!(plain("a\u{61c}b"), "a\\u{61c}b");
        assert_eq!(pairs([("name", "a\nb".to_owned())]), "name  a\\nb\n");
    }
}
