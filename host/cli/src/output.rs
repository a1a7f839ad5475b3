//! What the command says: results on standard output, errors on standard error, each as text for people or as JSON.
//!
//! Text that came from a bundle or a document is shown with its control characters spelt out, so that no name in a
//! stranger's file can move the cursor or forge a line. Colours appear on a terminal only (`NO_COLOR` is honoured).

use anstyle::{AnsiColor, Style};
use lockgate_core::Error;
use lockgate_core::error::code;
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
            Format::Json => serde_json::to_string(value).unwrap_or_default(),
        };
        if !line.ends_with('\n') {
            line.push('\n');
        }
        // Nobody is left to tell when standard output is closed.
        let _ = anstream::stdout().write_all(line.as_bytes());
    }

    /// Writes a result to standard error, because standard output is a job's.
    pub fn aside<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) {
        let line = match self.format {
            Format::Text => text(),
            Format::Json => serde_json::to_string(value).unwrap_or_default() + "\n",
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
                Format::Json => writeln!(text, "{}", json(error)),
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

/// `text` in one line, with control characters and those that change the direction of writing spelt out.
pub fn plain(text: &str) -> String {
    let odd = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if odd(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
        out
    })
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
    fn nothing_can_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb\r\n\u{202e}é"), "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{202e}é");
        assert_eq!(pairs([("name", "a\nb".to_owned())]), "name  a\\u{a}b\n");
    }
}
