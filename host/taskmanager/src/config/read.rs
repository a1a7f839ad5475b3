//! `taskmanager.toml` into a [`Config`].

use super::{Config, MAX_SLOTS, invalid};
use super::{cluster, metrics};
use lockgate_core::error::code;
use lockgate_core::toml_reader::{Document, Section, integer, text, wrong};
use lockgate_core::{Error, Name, Result, human};
use lockgate_executor::jail::Policy;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// Reads `text`, or says all that is wrong with it.
pub(super) fn config(source: &str, file: &str, folder: &Path) -> Result<Config, Vec<Error>> {
    let document = Document::new(file, source);
    let (tree, errors) = DeTable::parse_recoverable(source);
    for error in errors {
        document.report(error.span().map_or(0, |span| span.start), invalid(error.message().trim().replace('\n', ", ")));
    }
    let read = (!document.has_errors())
        .then(|| root(Values { section: Section::new(&document, &tree, "the configuration"), folder }));
    match (read, document.has_errors()) {
        (Some(config), false) => Ok(config),
        _ => Err(document.into_errors().into_iter().map(ours).collect()),
    }
}

/// As [`Config::looks_like`].
pub(super) fn looks_like(source: &str) -> bool {
    const OURS: [&str; 11] = [
        "slots",
        "jail",
        "executor-memory",
        "executor-nice",
        "state",
        "cache",
        "cache-bytes",
        "volumes",
        "jobmanager",
        "trust",
        "metrics",
    ];
    let (tree, _) = DeTable::parse_recoverable(source);
    tree.get_ref().keys().any(|key| OURS.contains(&key.get_ref().as_ref()))
}

/// The reader's own errors speak of manifests by their codes; whoever looks one up shall read of this file.
fn ours(error: Error) -> Error {
    let mut own = invalid(error.cause().into());
    if let Some(help) = error.help_text() {
        own = own.help(help);
    }
    match error.place() {
        Some(place) => own.at(place),
        None => own,
    }
}

fn root(root: Values<'_, '_, '_>) -> Config {
    let default = Config::default();
    let jail = root.parsed("jail", |text| match text {
        "required" => Ok(Policy::Required),
        "best-effort" => Ok(Policy::BestEffort),
        _ => Err(invalid(format!("`jail` is {text:?}, neither \"required\" nor \"best-effort\""))),
    });
    let volumes = root.section.map("volumes", |value| path(&text(value.get_ref(), "a volume")?, root.folder));
    let mut named = BTreeMap::new();
    for (name, directory) in volumes {
        match (Name::new(&name), root.section.get("volumes")) {
            (Ok(name), _) => drop(named.insert(name, directory)),
            (Err(error), Some(place)) => root.section.report(place, error),
            (Err(_), None) => {}
        }
    }
    let config = Config {
        slots: root.number("slots", 1..=u64::from(MAX_SLOTS)).unwrap_or(default.slots),
        jail: jail.unwrap_or_default(),
        executor_memory: root.bytes("executor-memory", 1 << 20..=1 << 50),
        executor_nice: root.number("executor-nice", 0..=19).unwrap_or(default.executor_nice),
        state: root.path("state"),
        cache: root.path("cache"),
        cache_bytes: root.bytes("cache-bytes", 0..=1 << 50).unwrap_or(default.cache_bytes),
        volumes: named,
        cluster: cluster::read(&root),
        metrics: metrics::read(&root),
    };
    root.section.finish();
    config
}

fn path(text: &str, folder: &Path) -> Result<PathBuf> {
    match text {
        "" => Err(invalid("a path is empty".into())),
        text => Ok(folder.join(text)),
    }
}

/// The values of one table.
pub(super) struct Values<'s, 'a, 'i> {
    pub(super) section: Section<'a, 'i>,
    folder: &'s Path,
}

impl<'s, 'a, 'i> Values<'s, 'a, 'i> {
    pub(super) fn table(&self, key: &'static str) -> Option<Values<'s, 'a, 'i>> {
        Some(Values { section: self.section.section(key)?, folder: self.folder })
    }

    pub(super) fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.parsed(key, |text| path(text, self.folder))
    }

    /// Text that `parse` reads.
    pub(super) fn parsed<T>(&self, key: &'static str, parse: impl FnOnce(&str) -> Result<T>) -> Option<T> {
        self.section.read(key, |value| parse(&text(value.get_ref(), key)?))
    }

    pub(super) fn list<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T>) -> Option<Vec<T>> {
        self.section.list(key, |item| parse(&text(item.get_ref(), key)?))
    }

    fn number<T: TryFrom<u64>>(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<T> {
        self.section.read(key, |value| {
            let number = within(key, integer(value.get_ref(), key)?, &range, human::grouped)?;
            T::try_from(number).map_err(|_| Error::new(code::INTERNAL, format!("{key} = {number}")))
        })
    }

    /// Bytes: a number, or text such as `4 GiB`.
    pub(super) fn bytes(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.section.read(key, |value| {
            let number = match value.get_ref() {
                DeValue::String(text) => human::parse_bytes(text)?,
                other => integer(other, key)?,
            };
            within(key, number, &range, human::bytes)
        })
    }

    /// A duration as text with its unit, within `range` of milliseconds.
    pub(super) fn duration(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<Duration> {
        let millis = self.section.read(key, |value| match value.get_ref() {
            DeValue::String(text) => within(key, human::parse_millis(text)?, &range, human::millis),
            other => Err(wrong(key, "a duration in quotes, such as \"10 s\"", other)),
        })?;
        Some(Duration::from_millis(millis))
    }
}

fn within(key: &str, value: u64, range: &RangeInclusive<u64>, show: fn(u64) -> String) -> Result<u64> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (show(*range.start()), show(*range.end()));
    Err(invalid(format!("`{key}` is {}, not within {least} and {most}", show(value))))
}
