//! Formats of sources and sinks: which one, with which settings, and whether it can hold the columns.

use super::{Problems, refuse_options};
use crate::error::{Error, code};
use crate::plan::{Compression, Format, FormatKind};
use crate::suggest;
use crate::types::{Field, LogicalType};

const FORMATS: [&str; 4] = ["parquet", "csv", "json", "lines"];
const COMPRESSIONS: [&str; 3] = ["none", "gzip", "zstd"];

/// What a manifest says of a format.
#[derive(Clone, Copy)]
pub(super) struct Asked<'m> {
    pub(super) format: Option<&'m str>,
    pub(super) compression: Option<&'m str>,
    pub(super) header: Option<bool>,
    pub(super) delimiter: Option<&'m str>,
    pub(super) null: Option<&'m str>,
}

impl Asked<'_> {
    /// Refuses all of it, where there is no format.
    pub(super) fn refuse(&self, why: &str, place: &str, problems: &mut Problems) {
        refuse_options(
            &[("format", self.format.is_some()), ("compression", self.compression.is_some())],
            why,
            place,
            problems,
        );
        self.refuse_csv(why, place, problems);
    }

    fn refuse_csv(&self, why: &str, place: &str, problems: &mut Problems) {
        let options =
            [("header", self.header.is_some()), ("delimiter", self.delimiter.is_some()), ("null", self.null.is_some())];
        refuse_options(&options, why, place, problems);
    }

    /// The format with its settings; `default` where the manifest names none, `compression` likewise.
    pub(super) fn resolve(
        &self,
        default: Option<&'static str>,
        compression: Compression,
        place: &str,
        problems: &mut Problems,
    ) -> Option<Format> {
        let Some(name) = self.format.or(default) else {
            let error = Error::new(code::OPTION_MISSING, format!("{place} has no `format`, and no path tells it"));
            problems.add(place, error.help(format!("add `format = …`: one of {}", FORMATS.join(", "))));
            return None;
        };
        if name != "csv" {
            self.refuse_csv(&format!("the format {name}"), place, problems);
        }
        let kind = match name {
            "parquet" => FormatKind::Parquet,
            "json" => FormatKind::Json,
            "lines" => FormatKind::Lines,
            "csv" => FormatKind::Csv {
                header: self.header.unwrap_or(true),
                delimiter: self.delimiter(place, problems)?,
                null: self.null.unwrap_or_default().to_owned(),
            },
            other => {
                problems.add(place, unknown("format", other, &FORMATS));
                return None;
            }
        };
        let compression = match (self.compression, &kind) {
            (Some(_), FormatKind::Parquet) => {
                refuse_options(&[("compression", true)], "Parquet, which compresses its pages itself", place, problems);
                Compression::None
            }
            (None, FormatKind::Parquet) | (Some("none"), _) => Compression::None,
            (Some("gzip"), _) => Compression::Gzip,
            (Some("zstd"), _) => Compression::Zstd,
            (Some(other), _) => {
                problems.add(place, unknown("compression", other, &COMPRESSIONS));
                return None;
            }
            (None, _) => compression,
        };
        Some(Format { kind, compression })
    }

    fn delimiter(&self, place: &str, problems: &mut Problems) -> Option<u8> {
        match self.delimiter.unwrap_or(",").as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0) => Some(*byte),
            _ => {
                let shown: String = self.delimiter.unwrap_or_default().chars().take(20).collect();
                let error = Error::new(code::VALUE_OUT_OF_RANGE, format!("{shown:?} is not a delimiter"));
                problems.add(place, error.help("use one ASCII character that is neither a quote nor a line's end"));
                None
            }
        }
    }
}

/// The format that a path's ending tells.
pub(super) fn by_ending(path: &str) -> Option<&'static str> {
    let path = [".gz", ".zst"].iter().find_map(|ending| path.strip_suffix(ending)).unwrap_or(path);
    match path.rsplit_once('.')?.1 {
        "parquet" => Some("parquet"),
        "csv" => Some("csv"),
        "json" | "jsonl" | "ndjson" => Some("json"),
        "txt" | "log" => Some("lines"),
        _ => None,
    }
}

/// Refuses columns that the format cannot hold.
pub(super) fn check_holds(format: &Format, fields: &[Field], place: &str, problems: &mut Problems) -> bool {
    let error = match format.kind {
        FormatKind::Lines if !matches!(fields, [field] if field.data_type == LogicalType::Utf8) => {
            let columns: Vec<String> =
                fields.iter().take(5).map(|field| format!("`{}` ({})", field.name, field.data_type)).collect();
            let more = if fields.len() > 5 { ", …" } else { "" };
            Error::new(code::FORMAT_COLUMNS, format!("`lines` holds one utf8 column, not {}{more}", columns.join(", ")))
                .help("choose one column with a `select` before, or another `format`")
        }
        FormatKind::Csv { .. } => match fields.iter().find(|field| field.data_type == LogicalType::Binary) {
            Some(field) => {
                Error::new(code::FORMAT_COLUMNS, format!("CSV cannot hold column `{}`, which is binary", field.name))
                    .help("leave the column out with a `select` before, or use another `format`")
            }
            None => return true,
        },
        _ => return true,
    };
    problems.add(place, error);
    false
}

/// An error that `key` has no such value.
pub(super) fn unknown(key: &str, value: &str, choices: &[&str]) -> Error {
    let shown: String = value.chars().take(80).collect();
    Error::new(code::UNKNOWN_CHOICE, format!("there is no {key} {shown:?}"))
        .help(suggest::help(value, choices.iter().copied()))
}
