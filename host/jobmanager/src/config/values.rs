//! Values of the configuration, with what they may refer to: `${ENV:NAME}` is a variable of the environment and
//! `${FILE:PATH}` the content of a file without its last line end. Both may stand in any text, and in place of a number.
//! `$${` stands for `${`.
//!
//! A secret must be one reference as a whole: what stands in the file itself gets copied, shown and committed.

use crate::secret::Secret;
use lockgate_core::error::code;
use lockgate_core::toml_reader::{Section, integer, text, wrong};
use lockgate_core::{Error, Result, human};
use lockgate_server::private;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::DeValue;
use zeroize::Zeroizing;

/// The longest file that a reference may lead to, in bytes.
pub const MAX_REFERENCED: u64 = 64 << 10;

/// Where references and relative paths lead.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The folder of the configuration file.
    pub folder: &'a Path,
    /// The environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Surroundings<'_> {
    /// `text` with every reference replaced by what it leads to.
    ///
    /// # Errors
    /// `LG1051`.
    pub fn resolve(&self, text: &str) -> Result<String> {
        let mut resolved = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, reference) = rest.split_at(at);
            if let Some(literal) = before.strip_suffix('$') {
                resolved.push_str(literal);
                resolved.push_str("${");
                rest = reference.get(2..).unwrap_or_default();
                continue;
            }
            resolved.push_str(before);
            let Some((inner, after)) = reference.get(2..).and_then(|inner| inner.split_once('}')) else {
                return Err(leads_nowhere("a reference has no `}`".into()));
            };
            resolved.push_str(&self.follow(inner, false)?);
            rest = after;
        }
        resolved.push_str(rest);
        Ok(resolved)
    }

    /// What `ENV:NAME` or `FILE:PATH` leads to. A secret's file must be for nobody else.
    fn follow(&self, reference: &str, secret: bool) -> Result<Zeroizing<String>> {
        match reference.split_once(':') {
            Some(("ENV", name)) => (self.environment)(name)
                .map(Zeroizing::new)
                .ok_or_else(|| leads_nowhere(format!("the environment has no variable {name:?}"))),
            Some(("FILE", path)) => self.content(&self.folder.join(path), secret),
            _ => Err(leads_nowhere("a reference is neither ${ENV:NAME} nor ${FILE:PATH}".into())),
        }
    }

    fn content(&self, path: &Path, secret: bool) -> Result<Zeroizing<String>> {
        let failed = |why: &str| leads_nowhere(format!("{}: {why}", path.display()));
        let file = std::fs::File::open(path).map_err(|error| failed(&error.to_string()))?;
        if secret {
            private::check(path, &file)?;
        }
        let mut content = Zeroizing::new(String::new());
        let read = file.take(MAX_REFERENCED + 1).read_to_string(&mut content);
        let length = read.map_err(|error| failed(&error.to_string()))?;
        if length as u64 > MAX_REFERENCED {
            return Err(failed("longer than 64 KiB"));
        }
        let kept = content.strip_suffix('\n').unwrap_or(&content);
        let kept = kept.strip_suffix('\r').unwrap_or(kept);
        if kept.is_empty() {
            return Err(failed("empty"));
        }
        Ok(Zeroizing::new(kept.to_owned()))
    }
}

/// The values of one table.
pub struct Values<'s, 'a, 'i> {
    /// The table.
    pub section: Section<'a, 'i>,
    /// Where references lead.
    pub around: &'s Surroundings<'s>,
}

impl<'s, 'a, 'i> Values<'s, 'a, 'i> {
    /// The table at `key`.
    pub fn table(&self, key: &'static str) -> Option<Values<'s, 'a, 'i>> {
        Some(Values { section: self.section.section(key)?, around: self.around })
    }

    /// The tables of the list at `key`, each read and finished by `read`.
    pub fn tables<T>(&self, key: &'static str, read: impl Fn(Values<'s, 'a, 'i>) -> Option<T>) -> Vec<T> {
        let Some(value) = self.section.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.section.report(value, wrong(key, &format!("tables, each as [[{key}]]"), value.get_ref()));
            return Vec::new();
        };
        let open = |item| self.section.open(item, format!("[[{key}]]"), key);
        items.iter().filter_map(open).filter_map(|section| read(Values { section, around: self.around })).collect()
    }

    /// `value`, or an error that `key` is missing.
    pub fn need<T>(&self, key: &'static str, value: Option<T>) -> Option<T> {
        self.section.need(key, value)
    }

    /// Text.
    pub fn text(&self, key: &'static str) -> Option<String> {
        self.parsed(key, |text| Ok(text.to_owned()))
    }

    /// A path, relative to the file.
    pub fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.parsed(key, |text| match text {
            "" => Err(refuse(format!("`{key}` is an empty path"))),
            text => Ok(self.around.folder.join(text)),
        })
    }

    /// Text that `parse` reads.
    pub fn parsed<T>(&self, key: &'static str, parse: impl FnOnce(&str) -> Result<T>) -> Option<T> {
        self.section.read(key, |value| parse(&self.around.resolve(&text(value.get_ref(), key)?)?))
    }

    /// A list of texts that `parse` reads; none if absent.
    pub fn list<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T>) -> Option<Vec<T>> {
        self.section.list(key, |item| parse(&self.around.resolve(&text(item.get_ref(), key)?)?))
    }

    /// A whole number within `range`.
    pub fn number(&self, key: &'static str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        self.quantity(key, range, human::parse_count, human::grouped)
    }

    /// Bytes within `range`: a number, or text such as `64 MiB`.
    pub fn bytes(&self, key: &'static str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        self.quantity(key, range, human::parse_bytes, human::bytes)
    }

    /// A duration within `range` of milliseconds, as text with its unit.
    pub fn duration(&self, key: &'static str, range: std::ops::RangeInclusive<u64>) -> Option<Duration> {
        let millis = self.section.read(key, |value| match value.get_ref() {
            DeValue::String(text) => {
                within(key, human::parse_millis(&self.around.resolve(text)?)?, &range, human::millis)
            }
            other => Err(wrong(key, "a duration in quotes, such as \"10 s\"", other)),
        })?;
        Some(Duration::from_millis(millis))
    }

    /// A secret: one reference and nothing else.
    pub fn secret(&self, key: &'static str) -> Option<Secret<String>> {
        self.section.read(key, |value| {
            let text = Zeroizing::new(text(value.get_ref(), key)?);
            let reference = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            let Some(reference) = reference.filter(|inner| !inner.contains(['$', '{', '}'])) else {
                return Err(Error::new(code::SECRET_IN_CONFIG, format!("`{key}` has a secret in plain text")).help(
                    format!("write `{key} = \"${{FILE:PATH}}\"` or `\"${{ENV:NAME}}\"`, and replace the secret"),
                ));
            };
            let secret = self.around.follow(reference, true)?;
            Ok(Secret::new(secret.as_str().to_owned()))
        })
    }

    /// Reports every key that was not asked for.
    pub fn finish(self) {
        self.section.finish();
    }

    fn quantity(
        &self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
        parse: fn(&str) -> Result<u64>,
        show: fn(u64) -> String,
    ) -> Option<u64> {
        self.section.read(key, |value| {
            let number = match value.get_ref() {
                DeValue::String(text) => parse(&self.around.resolve(text)?)?,
                other => integer(other, key)?,
            };
            within(key, number, &range, show)
        })
    }
}

fn within(key: &str, value: u64, range: &std::ops::RangeInclusive<u64>, show: fn(u64) -> String) -> Result<u64> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (show(*range.start()), show(*range.end()));
    Err(refuse(format!("`{key}` is {}, not within {least} and {most}", show(value))))
}

/// An error that a value is not allowed.
pub fn refuse(cause: String) -> Error {
    Error::new(code::JOBMANAGER_CONFIG, cause)
}

fn leads_nowhere(cause: String) -> Error {
    Error::new(code::CONFIG_REFERENCE, cause)
}
