//! `lockgate.toml` into a [`Manifest`]: the pleasant spellings become the canonical ones here and nowhere else.
//!
//! | in TOML | in JSON |
//! |---|---|
//! | `memory = "64 MiB"`, `fuel-per-record = "100k"` | integers |
//! | `deadline = "10 s"`, `checkpoint-interval = "10 s"` | `deadline-ms`, `checkpoint-interval-ms` |
//! | `parallelism = 4`, `"1..8"`, `{ min = 1, max = 8 }` | `{"min": …, "max": …}` |
//! | `schema = ["price: float64?"]` (`?` for nullable) | objects |
//! | `delay = "1 s"` and the like under `[restart]` | `delay-ms` and the like |
//! | settings, parameters: `0.3`, `true`, `"text"` | text |
//! | a sink's folder `late/` | `late` |

use super::{Component, Job, Manifest, Operator, Parallelism, Parameter, ParameterRef, Selected, SelectedAs};
use super::{Setting, Sink, Source, path, restart};
use crate::error::{Error, Result, code};
use crate::human;
use crate::limits::{LIMITS, PartialLimits, Unit};
use crate::name::Name;
use crate::toml_reader::{Document, Section, integer, literal, text, wrong};
use crate::types::{Field, LogicalType};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

impl Manifest {
    /// The longest manifest, in bytes.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Reads `lockgate.toml`. Places in errors are `file_name:LINE:COLUMN`, counted from 1.
    ///
    /// # Errors
    /// As many as can be told at once, in the order of the sections: `LG0101` to `LG0113` and the types' own.
    pub fn parse_toml(text: &str, file_name: &str) -> Result<Self, Vec<Error>> {
        if text.len() > Self::MAX_BYTES {
            let error = Error::new(
                code::MANIFEST_TOO_LARGE,
                format!("the manifest has {}", human::about_bytes(text.len() as u64)),
            );
            return Err(vec![error.at(file_name)]);
        }
        let document = Document::new(file_name, text);
        let (tree, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let code =
                if error.message().contains("duplicate key") { code::DUPLICATE_KEY } else { code::MANIFEST_SYNTAX };
            let offset = error.span().map_or(0, |span| span.start);
            document.report(offset, Error::new(code, error.message().trim()));
        }
        if document.has_errors() {
            return Err(document.into_errors());
        }
        match (manifest(Section::new(&document, &tree, "the manifest")), document.has_errors()) {
            (Some(manifest), false) => Ok(manifest),
            _ => Err(document.into_errors()),
        }
    }
}

/// Where the node, component, parameter or table that a place of [`crate::planner`] names (`operator score`, `[job]`)
/// stands in the text: `file_name:LINE:COLUMN`.
pub fn locate(text: &str, file_name: &str, place: &str) -> Option<String> {
    let tree = DeTable::parse(text).ok()?;
    let (table, name) = match place.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(table) => (table, None),
        None => place.split_once(' ').map(|(table, name)| (table, Some(name)))?,
    };
    let table = if table == "parameter" { "parameters" } else { table };
    let (key, value) = tree.get_ref().get_key_value(table)?;
    let (key, _) = match (name, value.get_ref()) {
        (None, _) => (key, value),
        (Some(name), DeValue::Table(entries)) => entries.get_key_value(name)?,
        _ => return None,
    };
    Some(Document::new(file_name, text).place(key.span().start))
}

fn manifest(root: Section<'_, '_>) -> Option<Manifest> {
    let job = root.need("job", root.section("job")).and_then(job);
    let manifest = (
        root.sections("component", |section| Some(Component { path: section.text("path") })),
        root.sections("source", source),
        root.sections("operator", operator),
        root.sections("sink", sink),
        root.section("limits").map(limits).unwrap_or_default(),
        root.section("restart").and_then(restart::read),
        root.sections("parameters", parameter),
    );
    root.finish();
    let (component, source, operator, sink, limits, restart, parameters) = manifest;
    Some(Manifest { job: job?, component, source, operator, sink, limits, restart, parameters })
}

fn job(section: Section<'_, '_>) -> Option<Job> {
    let tenant = section.need("tenant", section.name("tenant"));
    let name = section.need("name", section.name("name"));
    let version = section.need("version", section.integer("version"));
    let parallelism = parallelism(&section).unwrap_or_default();
    let checkpoint_interval_ms =
        section.read("checkpoint-interval", |value| duration(value.get_ref(), "checkpoint-interval"));
    let batch_rows = section.integer("batch-rows");
    let sample_failed_rows = section.integer("sample-failed-rows");
    section.finish();
    let (tenant, name, version) = (tenant?, name?, version?);
    Some(Job { tenant, name, version, parallelism, checkpoint_interval_ms, batch_rows, sample_failed_rows })
}

fn parallelism(section: &Section<'_, '_>) -> Option<Parallelism> {
    const KEY: &str = "parallelism";
    let value = section.get(KEY)?;
    if let DeValue::Table(_) = value.get_ref() {
        let range = section.open(value, "`parallelism`".into(), KEY)?;
        let min = range.need("min", range.integer("min"));
        let max = range.need("max", range.integer("max"));
        range.finish();
        return Some(Parallelism { min: min?, max: max? });
    }
    let refuse = || wrong(KEY, "a number, a range such as \"1..8\" or { min = 1, max = 8 }", value.get_ref());
    let bounds = match value.get_ref() {
        DeValue::String(range) => {
            range.split_once("..").and_then(|(min, max)| Some((min.parse().ok()?, max.parse().ok()?)))
        }
        DeValue::Integer(_) => integer(value.get_ref(), KEY).ok().and_then(|n| n.try_into().ok()).map(|n| (n, n)),
        _ => None,
    };
    match bounds {
        Some((min, max)) => Some(Parallelism { min, max }),
        None => {
            section.report(value, refuse());
            None
        }
    }
}

fn source(section: &Section<'_, '_>) -> Option<Source> {
    Some(Source {
        volume: section.name("volume"),
        path: checked(section, "path", path::check_glob),
        format: section.text("format"),
        compression: section.text("compression"),
        header: section.flag("header"),
        delimiter: section.text("delimiter"),
        null: section.text("null"),
        schema: schema(section),
        on_error: section.name("on-error"),
        table: section.text("table"),
        events: section.integer("events"),
        rate: section.integer("rate"),
        seed: section.integer("seed"),
        splits: section.integer("splits"),
        prepared: section.integer("prepared"),
        connector: section.need("connector", section.text("connector"))?,
    })
}

fn operator(section: &Section<'_, '_>) -> Option<Operator> {
    Some(Operator {
        input: section.text("input"),
        inputs: texts(section, "inputs"),
        function: section.text("function"),
        arguments: section.map("arguments", |value| text(value.get_ref(), "arguments")),
        keep: texts(section, "keep"),
        rename: section.map("rename", |value| text(value.get_ref(), "rename")),
        config: section.map("config", setting),
        on_error: section.name("on-error"),
        on_overrun: section.name("on-overrun"),
        select: selected(section),
    })
}

fn sink(section: &Section<'_, '_>) -> Option<Sink> {
    Some(Sink {
        input: section.text("input"),
        inputs: texts(section, "inputs"),
        volume: section.name("volume"),
        path: section.read("path", |value| {
            let written = text(value.get_ref(), "path")?;
            let folder = written.strip_suffix('/').unwrap_or(&written);
            path::check(folder).map(|()| folder.to_owned())
        }),
        format: section.text("format"),
        compression: section.text("compression"),
        header: section.flag("header"),
        delimiter: section.text("delimiter"),
        connector: section.need("connector", section.text("connector"))?,
    })
}

fn limits(section: Section<'_, '_>) -> PartialLimits {
    let mut limits = PartialLimits::default();
    for limit in LIMITS {
        let key = limit.toml_key();
        let value = section.read(key, |value| match (limit.unit, value.get_ref()) {
            (Unit::Millis, value) => duration(value, key),
            (_, DeValue::String(text)) => limit.parse(text),
            (_, value) => integer(value, key),
        });
        if let Some(value) = value {
            limits.set(limit.key, value);
        }
    }
    section.finish();
    limits
}

fn parameter(section: &Section<'_, '_>) -> Option<Parameter> {
    let value = |key| section.read(key, |value| literal(value.get_ref(), key));
    Some(Parameter {
        default: value("default"),
        min: value("min"),
        max: value("max"),
        one_of: texts(section, "one-of"),
        max_length: section.integer("max-length"),
        kind: section.need("type", section.text("type"))?,
    })
}

fn texts(section: &Section<'_, '_>, key: &'static str) -> Option<Vec<String>> {
    section.list(key, |item| text(item.get_ref(), key))
}

fn checked(section: &Section<'_, '_>, key: &'static str, check: fn(&str) -> Result<()>) -> Option<String> {
    section.read(key, |value| {
        let text = text(value.get_ref(), key)?;
        check(&text).map(|()| text)
    })
}

/// A duration in milliseconds. A number alone could be anything, so it is refused.
pub(super) fn duration(value: &DeValue<'_>, key: &str) -> Result<u64> {
    match value {
        DeValue::String(text) => human::parse_millis(text),
        value => Err(wrong(key, "a duration in quotes, such as \"10 s\"", value)),
    }
}

fn setting(value: &Spanned<DeValue<'_>>) -> Result<Setting> {
    let DeValue::Table(table) = value.get_ref() else {
        return literal(value.get_ref(), "config").map(Setting::Text);
    };
    match (table.get("parameter").and_then(|name| name.get_ref().as_str()), table.len()) {
        (Some(name), 1) => Ok(Setting::Parameter(ParameterRef { parameter: Name::new(name)? })),
        _ => Err(wrong("config", "text or { parameter = \"NAME\" }", value.get_ref())),
    }
}

/// `["price: float64?", { name = "weird: name", type = "utf8", nullable = true }]`.
fn schema(section: &Section<'_, '_>) -> Option<Vec<Field>> {
    const KEY: &str = "schema";
    let items = array(section, KEY)?;
    let fields = items.iter().filter_map(|item| match item.get_ref() {
        DeValue::String(text) => field(text).map_err(|error| section.report(item, error)).ok(),
        _ => {
            let column = section.open(item, "a column of the schema".into(), KEY)?;
            let name = column.need("name", column.text("name"));
            let data_type = column.need("type", logical_type(&column));
            let nullable = column.flag("nullable").unwrap_or_default();
            let attributes =
                column.map("attributes", |value| text(value.get_ref(), "attributes")).into_iter().collect();
            column.finish();
            Some(Field { name: name?, data_type: data_type?, nullable, attributes })
        }
    });
    Some(fields.collect())
}

fn field(text: &str) -> Result<Field> {
    let Some((name, written)) = text.rsplit_once(": ") else {
        let shown: String = text.chars().take(80).collect();
        let error = Error::new(code::WRONG_KIND, format!("{shown:?} is not a column of a schema"));
        return Err(error.help("write \"name: type\", with `?` behind the type if the column may hold nulls"));
    };
    let (data_type, nullable) = written.strip_suffix('?').map_or((written, false), |data_type| (data_type, true));
    Ok(Field::new(name, data_type.parse()?, nullable))
}

fn selected(section: &Section<'_, '_>) -> Option<Vec<Selected>> {
    const KEY: &str = "select";
    let items = array(section, KEY)?;
    let columns = items.iter().filter_map(|item| match item.get_ref() {
        DeValue::String(column) => Some(Selected::Column(column.to_string())),
        _ => {
            let entry = section.open(item, "a column of `select`".into(), KEY)?;
            let column = entry.need("column", entry.text("column"));
            let name = entry.text("name");
            let data_type = logical_type(&entry);
            entry.finish();
            Some(Selected::As(SelectedAs { column: column?, name, data_type }))
        }
    });
    Some(columns.collect())
}

fn logical_type(section: &Section<'_, '_>) -> Option<LogicalType> {
    section.read("type", |value| text(value.get_ref(), "type")?.parse())
}

fn array<'a, 'i>(section: &Section<'a, 'i>, key: &'static str) -> Option<&'a [Spanned<DeValue<'i>>]> {
    let value = section.get(key)?;
    match value.get_ref() {
        DeValue::Array(items) => Some(items),
        other => {
            section.report(value, wrong(key, "a list", other));
            None
        }
    }
}
