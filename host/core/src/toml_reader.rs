//! Reads a TOML tree key by key and remembers which keys were asked for, so that every error has a line, a column and,
//! for a key that nobody asked for, the key that was probably meant.
//!
//! Errors are collected, not returned: an author sees all of them at once. What could not be read is `None`. The manifest
//! is read with it, and so is the configuration of a JobManager.

use crate::error::{Error, code};
use crate::name::Name;
use crate::suggest;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Errors beyond this many are dropped: nobody reads them.
const MAX_ERRORS: usize = 50;

/// The text that is read and the errors found in it.
pub struct Document<'a> {
    file: &'a str,
    text: &'a str,
    errors: RefCell<Vec<Error>>,
    failed: Cell<bool>,
}

impl<'a> Document<'a> {
    /// The text of the file that errors call `file`.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, errors: RefCell::default(), failed: Cell::new(false) }
    }

    /// Notes an error at a byte offset.
    pub fn report(&self, offset: usize, error: Error) {
        self.failed.set(true);
        let mut errors = self.errors.borrow_mut();
        if errors.len() < MAX_ERRORS {
            errors.push(error.at(self.place(offset)));
        }
    }

    /// The errors in the order of their places.
    pub fn into_errors(self) -> Vec<Error> {
        self.errors.into_inner()
    }

    /// Whether an error was noted.
    pub fn has_errors(&self) -> bool {
        self.failed.get()
    }

    /// `lockgate.toml:12:3`, counted from 1, the column in characters.
    pub fn place(&self, offset: usize) -> String {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{}:{line}:{column}", self.file)
    }
}

/// A table that is being read.
pub struct Section<'a, 'i> {
    document: &'a Document<'a>,
    table: &'a DeTable<'i>,
    span: Range<usize>,
    /// As messages show it: `[source.flights]`.
    title: String,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a, 'i> Section<'a, 'i> {
    /// The whole document, which messages call `title`.
    pub fn new(document: &'a Document<'a>, table: &'a Spanned<DeTable<'i>>, title: &str) -> Self {
        Self::of(document, table.get_ref(), table.span(), title.into())
    }

    fn of(document: &'a Document<'a>, table: &'a DeTable<'i>, span: Range<usize>, title: String) -> Self {
        Self { document, table, span, title, asked: RefCell::default() }
    }

    /// Notes an error at `value`.
    pub fn report(&self, value: &Spanned<DeValue<'_>>, error: Error) {
        self.document.report(value.span().start, error);
    }

    /// The value of `key`, which from now on is known.
    pub fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    /// `value`, or an error that `key` is missing.
    pub fn need<T>(&self, key: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.table.contains_key(key) {
            let error = Error::new(code::MISSING_KEY, format!("{} has no `{key}`", self.title));
            self.document.report(self.span.start, error.help(format!("add `{key} = …`")));
        }
        value
    }

    /// Reports every key that was not asked for.
    pub fn finish(self) {
        let asked = self.asked.into_inner();
        for (key, _) in self.table {
            if !asked.contains(&key.get_ref().as_ref()) {
                let shown: String = key.get_ref().chars().take(80).collect();
                let error = Error::new(code::UNKNOWN_KEY, format!("{} has no key `{shown}`", self.title));
                let help = suggest::help(key.get_ref(), asked.iter().copied());
                self.document.report(key.span().start, error.help(help));
            }
        }
    }

    /// Reads the value of `key` with `read`, which says what it expects by its error.
    pub fn read<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Spanned<DeValue<'i>>) -> Result<T, Error>,
    ) -> Option<T> {
        let value = self.get(key)?;
        read(value).map_err(|error| self.report(value, error)).ok()
    }

    /// Text.
    pub fn text(&self, key: &'static str) -> Option<String> {
        self.read(key, |value| text(value.get_ref(), key))
    }

    /// A name.
    pub fn name(&self, key: &'static str) -> Option<Name> {
        self.read(key, |value| Name::new(&text(value.get_ref(), key)?))
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &'static str) -> Option<bool> {
        self.read(key, |value| value.get_ref().as_bool().ok_or_else(|| wrong(key, "true or false", value.get_ref())))
    }

    /// A whole number that fits `T`.
    pub fn integer<T: TryFrom<u64>>(&self, key: &'static str) -> Option<T> {
        self.read(key, |value| {
            let number = integer(value.get_ref(), key)?;
            T::try_from(number)
                .map_err(|_| Error::new(code::VALUE_OUT_OF_RANGE, format!("`{key}` is {number}: that is too large")))
        })
    }

    /// A list whose items `read` reads.
    pub fn list<T>(
        &self,
        key: &'static str,
        read: impl Fn(&Spanned<DeValue<'i>>) -> Result<T, Error>,
    ) -> Option<Vec<T>> {
        let value = self.get(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.report(value, wrong(key, "a list", value.get_ref()));
            return None;
        };
        let read = |item| read(item).map_err(|error| self.report(item, error)).ok();
        Some(items.iter().filter_map(read).collect())
    }

    /// A table of free keys whose values `read` reads; empty if absent.
    pub fn map<T>(
        &self,
        key: &'static str,
        read: impl Fn(&Spanned<DeValue<'i>>) -> Result<T, Error>,
    ) -> BTreeMap<String, T> {
        let Some(value) = self.get(key) else { return BTreeMap::new() };
        let DeValue::Table(table) = value.get_ref() else {
            self.report(value, wrong(key, "a table", value.get_ref()));
            return BTreeMap::new();
        };
        let entries = table.iter().filter_map(|(name, value)| {
            let value = read(value).map_err(|error| self.report(value, error)).ok()?;
            Some((name.get_ref().to_string(), value))
        });
        entries.collect()
    }

    /// The table at `key`.
    pub fn section(&self, key: &'static str) -> Option<Section<'a, 'i>> {
        let value = self.get(key)?;
        self.open(value, format!("[{key}]"), key)
    }

    /// The tables below `key`, each by its name.
    pub fn sections<T>(&self, key: &'static str, read: impl Fn(&Section<'a, 'i>) -> Option<T>) -> BTreeMap<Name, T> {
        let Some(group) = self.section(key) else { return BTreeMap::new() };
        let mut all = BTreeMap::new();
        for (label, value) in group.table {
            let name = Name::new(label.get_ref()).map_err(|error| self.document.report(label.span().start, error)).ok();
            let Some(section) = group.open(value, format!("[{key}.{}]", label.get_ref()), label.get_ref()) else {
                continue;
            };
            let read = read(&section);
            section.finish();
            if let (Some(name), Some(read)) = (name, read) {
                all.insert(name, read);
            }
        }
        all
    }

    /// The table `value`.
    pub fn open(&self, value: &'a Spanned<DeValue<'i>>, title: String, key: &str) -> Option<Section<'a, 'i>> {
        let DeValue::Table(table) = value.get_ref() else {
            self.report(value, wrong(key, "a table", value.get_ref()));
            return None;
        };
        Some(Self::of(self.document, table, value.span(), title))
    }
}

/// An error that `value` is not what `key` wants.
pub fn wrong(key: &str, wanted: &str, value: &DeValue<'_>) -> Error {
    let shown: String = key.chars().take(80).collect();
    Error::new(code::WRONG_KIND, format!("`{shown}` wants {wanted}, not {}", kind(value)))
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Text, of a value.
///
/// # Errors
/// `LG0105`.
pub fn text(value: &DeValue<'_>, key: &str) -> Result<String, Error> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong(key, "text in quotes", value))
}

/// A whole number, of a value.
///
/// # Errors
/// `LG0105`, `LG0112`.
pub fn integer(value: &DeValue<'_>, key: &str) -> Result<u64, Error> {
    let number = value.as_integer().ok_or_else(|| wrong(key, "a whole number", value))?;
    u64::from_str_radix(number.as_str(), number.radix()).map_err(|_| {
        Error::new(code::VALUE_OUT_OF_RANGE, format!("`{key}` is not within 0 and 18,446,744,073,709,551,615"))
    })
}

/// Text, or the digits of a number, or `true` or `false`: settings are text on every wire, and `weight = 0.3` is what
/// an author writes. A number never becomes a float on the way.
///
/// # Errors
/// `LG0105`.
pub fn literal(value: &DeValue<'_>, key: &str) -> Result<String, Error> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().trim_start_matches('+').to_owned()),
        DeValue::Float(number) => Ok(number.as_str().trim_start_matches('+').to_owned()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        _ => Err(wrong(key, "text, a decimal number, true or false", value)),
    }
}
