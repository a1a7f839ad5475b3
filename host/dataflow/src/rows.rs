//! Which records the rows of a batch are, through everything that drops, repeats or cuts rows.

use crate::Rows;
use std::ops::Range;

impl Rows {
    /// The record of row `row`.
    pub fn at(&self, row: usize) -> u64 {
        match self {
            Self::From(first) => first.saturating_add(row as u64),
            Self::Each(records) => records.get(row).copied().unwrap_or_default(),
        }
    }

    /// The records of a range of rows.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::From(_) => Self::From(self.at(range.start)),
            Self::Each(records) => Self::Each(records.get(range).unwrap_or_default().into()),
        }
    }

    /// The records of these rows.
    #[must_use]
    pub fn take(&self, rows: &[u32]) -> Self {
        Self::Each(rows.iter().map(|row| self.at(*row as usize)).collect())
    }
}
