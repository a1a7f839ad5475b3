//! Figures, and how they are shown.

use crate::Result;
use serde::Serialize;

/// One row of the table.
#[derive(Serialize, Default)]
pub struct Figure {
    /// The row's name.
    pub name: &'static str,
    /// Our time to native Rust's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Nanoseconds: of a record where there is a native counterpart, else of the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns: Option<f64>,
    /// The same of the native counterpart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_ns: Option<f64>,
    /// Records a second of one busy core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records_per_s: Option<f64>,
    /// Requests a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_s: Option<f64>,
    /// Bytes a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_s: Option<f64>,
    /// What a second brings, of what it brings at a bare server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_bare: Option<f64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Slots that moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moves: Option<f64>,
}

/// What is asked for.
pub struct Report {
    /// Whether standard output takes one JSON object a line and nothing else.
    pub json: bool,
    /// What the name of a row must contain.
    pub filter: String,
}

impl Report {
    /// Whether the row is asked for.
    pub fn wants(&self, name: &str) -> bool {
        name.contains(&self.filter)
    }

    /// Shows a figure.
    ///
    /// # Errors
    /// None in practice.
    pub fn show(&self, figure: &Figure) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(figure)?);
            return Ok(());
        }
        let mut line = format!("{:<20}", figure.name);
        let values = [
            (figure.ns, "ns"),
            (figure.native_ns, "ns native"),
            (figure.ratio, "x native"),
            (figure.records_per_s.map(|records| records / 1e6), "M records/s"),
            (figure.requests_per_s, "requests/s"),
            (figure.bytes_per_s.map(|bytes| bytes / 1e6), "MB/s"),
            (figure.of_bare, "x bare"),
            (figure.bytes.map(|bytes| bytes as f64 / 1e6), "MB"),
            (figure.moves, "moves"),
        ];
        for (value, unit) in values {
            if let Some(value) = value {
                line += &format!("  {value:>10.2} {unit}");
            }
        }
        println!("{line}");
        Ok(())
    }
}

/// `value` with four significant digits: more would be noise.
pub fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    // Powers of ten are exact only above one, so the scale is either multiplied or divided by.
    match value.abs().log10().floor() as i32 - 3 {
        digits @ 0.. => (value / 10_f64.powi(digits)).round() * 10_f64.powi(digits),
        digits => (value * 10_f64.powi(-digits)).round() / 10_f64.powi(-digits),
    }
}

/// The value in the middle; 0 if there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
