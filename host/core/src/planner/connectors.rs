//! Sources and sinks: which options a connector needs, which mean nothing to it, and what schema it has.

use super::formats::{Asked, by_ending, check_holds, unknown};
use super::{Problems, Typed, check_columns, nexmark_fields, refuse_options};
use crate::error::{Error, code};
use crate::manifest::{self, path};
use crate::plan::{
    Compression, Format, FormatKind, Nexmark, NexmarkTable, NodeKind, OnError, Sink, SinkConnector, Source,
    SourceConnector,
};
use crate::types::{Field, LogicalType};

const SOURCES: [&str; 3] = ["file", "stdin", "nexmark"];
const SINKS: [&str; 3] = ["file", "stdout", "discard"];
const TABLES: [&str; 3] = ["bid", "auction", "person"];
/// The most splits of a Nexmark source, and the most batches made beforehand.
const MAX_SPLITS: u32 = 1_024;
const MAX_PREPARED: u32 = 4_096;
/// The most records in batches made beforehand, which every slot holds for as long as it reads the split.
const MAX_PREPARED_ROWS: u64 = 1 << 20;

/// Types a source.
pub(super) fn source(
    source: &manifest::Source,
    on_error: OnError,
    batch_rows: u32,
    place: &str,
    problems: &mut Problems,
) -> Option<Typed> {
    let nexmark_only = [
        ("table", source.table.is_some()),
        ("events", source.events.is_some()),
        ("rate", source.rate.is_some()),
        ("seed", source.seed.is_some()),
        ("splits", source.splits.is_some()),
        ("prepared", source.prepared.is_some()),
    ];
    let file_only = [("volume", source.volume.is_some()), ("path", source.path.is_some())];
    let asked = asked(source);
    let (connector, format, fields) = match source.connector.as_str() {
        "file" => {
            refuse_options(&nexmark_only, "the connector file", place, problems);
            let volume = need("volume", source.volume.clone(), place, problems);
            let path = need("path", source.path.clone(), place, problems);
            let (volume, path) = (volume?, path?);
            if let Err(error) = path::check_glob(&path) {
                problems.add(place, error);
                return None;
            }
            let format = asked.resolve(by_ending(&path), Compression::Auto, place, problems)?;
            let fields = schema(source, &format, place, problems)?;
            (SourceConnector::File { volume, path }, Some(format), fields)
        }
        "stdin" => {
            refuse_options(&nexmark_only, "the connector stdin", place, problems);
            refuse_options(&file_only, "the connector stdin", place, problems);
            let format = asked.resolve(None, Compression::None, place, problems)?;
            refuse_parquet(&format, "standard input", place, problems)?;
            let fields = schema(source, &format, place, problems)?;
            (SourceConnector::Stdin, Some(format), fields)
        }
        "nexmark" => {
            let made = "the connector nexmark, which makes records itself";
            refuse_options(&file_only, made, place, problems);
            refuse_options(&[("schema", source.schema.is_some())], made, place, problems);
            asked.refuse(made, place, problems);
            let nexmark = nexmark(source, batch_rows, place, problems)?;
            let fields = nexmark_fields(nexmark.table);
            (SourceConnector::Nexmark(nexmark), None, fields)
        }
        other => {
            problems.add(place, unknown("connector", other, &SOURCES));
            return None;
        }
    };
    Some(Typed::single(NodeKind::Source(Source { connector, format, on_error, projection: None }), fields))
}

/// The format of a `file` source; none if what the manifest says of it is wrong, which planning will tell.
pub(super) fn file_format(source: &manifest::Source) -> Option<Format> {
    let (path, mut problems) = (source.path.as_deref()?, Problems(Vec::new()));
    asked(source).resolve(by_ending(path), Compression::Auto, "", &mut problems)
}

fn asked(source: &manifest::Source) -> Asked<'_> {
    Asked {
        format: source.format.as_deref(),
        compression: source.compression.as_deref(),
        header: source.header,
        delimiter: source.delimiter.as_deref(),
        null: source.null.as_deref(),
    }
}

/// Types a sink whose records have these `fields`.
pub(super) fn sink(
    sink: &manifest::Sink,
    fields: Vec<Field>,
    dead_letters: bool,
    place: &str,
    problems: &mut Problems,
) -> Option<Sink> {
    let file_only = [("volume", sink.volume.is_some()), ("path", sink.path.is_some())];
    let asked = Asked {
        format: sink.format.as_deref(),
        compression: sink.compression.as_deref(),
        header: sink.header,
        delimiter: sink.delimiter.as_deref(),
        null: None,
    };
    let (connector, format) = match sink.connector.as_str() {
        "file" => {
            let volume = need("volume", sink.volume.clone(), place, problems);
            let path = need("path", sink.path.clone(), place, problems);
            let (volume, path) = (volume?, path?);
            if let Err(error) = path::check(&path) {
                problems.add(place, error);
                return None;
            }
            (
                SinkConnector::File { volume, path },
                Some(asked.resolve(Some("json"), Compression::None, place, problems)?),
            )
        }
        "stdout" => {
            refuse_options(&file_only, "the connector stdout", place, problems);
            let format = asked.resolve(Some("json"), Compression::None, place, problems)?;
            refuse_parquet(&format, "standard output", place, problems)?;
            (SinkConnector::Stdout, Some(format))
        }
        "discard" => {
            refuse_options(&file_only, "the connector discard", place, problems);
            asked.refuse("the connector discard", place, problems);
            (SinkConnector::Discard, None)
        }
        other => {
            problems.add(place, unknown("connector", other, &SINKS));
            return None;
        }
    };
    if let Some(format) = &format
        && !check_holds(format, &fields, place, problems)
    {
        return None;
    }
    Some(Sink { connector, format, fields, dead_letters })
}

/// The schema of a source that reads bytes.
fn schema(source: &manifest::Source, format: &Format, place: &str, problems: &mut Problems) -> Option<Vec<Field>> {
    if format.kind == FormatKind::Lines {
        let why = "the format lines, which has one column, `line`";
        refuse_options(&[("schema", source.schema.is_some())], why, place, problems);
        return Some(vec![Field::new("line", LogicalType::Utf8, false)]);
    }
    let Some(fields) = &source.schema else {
        let error = Error::new(code::SCHEMA_MISSING, format!("{place} has no schema"));
        problems.add(
            place,
            error.help("run `lockgate build`, which reads it from the data, or write `schema = [\"name: type?\"]`"),
        );
        return None;
    };
    let good = check_columns(fields, "the schema", place, problems) && check_holds(format, fields, place, problems);
    good.then(|| fields.clone())
}

fn nexmark(source: &manifest::Source, batch_rows: u32, place: &str, problems: &mut Problems) -> Option<Nexmark> {
    let table = match need("table", source.table.as_deref(), place, problems)? {
        "bid" => NexmarkTable::Bid,
        "auction" => NexmarkTable::Auction,
        "person" => NexmarkTable::Person,
        other => {
            problems.add(place, unknown("table", other, &TABLES));
            return None;
        }
    };
    let nexmark = Nexmark {
        table,
        events: source.events,
        rate: source.rate,
        seed: source.seed.unwrap_or(0),
        splits: source.splits.unwrap_or(1),
        prepared: source.prepared.unwrap_or(0),
    };
    let held = u64::from(nexmark.prepared.min(MAX_PREPARED)) * u64::from(batch_rows);
    let ranges = [
        ("events", nexmark.events.is_none_or(|events| events > 0), "at least 1"),
        ("rate", nexmark.rate.is_none_or(|rate| rate > 0), "at least 1"),
        ("splits", (1..=MAX_SPLITS).contains(&nexmark.splits), "within 1 and 1,024"),
        ("prepared", nexmark.prepared <= MAX_PREPARED, "at most 4,096"),
        ("prepared", held <= MAX_PREPARED_ROWS || nexmark.prepared > MAX_PREPARED, "at most 1,048,576 records in all"),
    ];
    for (key, _, range) in ranges.iter().filter(|(_, good, _)| !good) {
        problems.add(place, Error::new(code::VALUE_OUT_OF_RANGE, format!("`{key}` is not {range}")));
    }
    Some(nexmark)
}

fn need<T>(key: &str, value: Option<T>, place: &str, problems: &mut Problems) -> Option<T> {
    if value.is_none() {
        let error = Error::new(code::OPTION_MISSING, format!("{place} has no `{key}`"));
        problems.add(place, error.help(format!("add `{key} = …`")));
    }
    value
}

fn refuse_parquet(format: &Format, stream: &str, place: &str, problems: &mut Problems) -> Option<()> {
    if format.kind != FormatKind::Parquet {
        return Some(());
    }
    let error = Error::new(code::FORMAT_NEEDS_FILE, format!("Parquet cannot go through {stream}"));
    problems.add(place, error.help("use `connector = \"file\"`, or another `format`"));
    None
}
