//! What `lockgate run --output json` says of a job, and the table of several.

use crate::Result;

/// How a job went.
#[derive(Debug, PartialEq)]
pub struct Report {
    job: String,
    seconds: f64,
    rows_in: u64,
    rows_out: u64,
    dead: u64,
    fuel: u64,
    memory: u64,
}

impl Report {
    /// Takes the figures out of a report.
    ///
    /// # Errors
    /// When one is missing.
    pub fn parse(job: &str, json: &str) -> Result<Self> {
        let one = |key| numbers(json, key).next().ok_or_else(|| format!("a report without {key:?}: {json}"));
        // Rows reach sinks and nothing leaves them; dead letters reach them too.
        let (rows_in, dead) = (one("records")?, numbers(json, "dead-lettered").sum::<f64>());
        let reached: f64 = nodes(json)
            .filter(|node| node.contains(r#""kind":"sink""#))
            .flat_map(|node| numbers(node, "rows-in"))
            .sum();
        Ok(Self {
            job: job.to_owned(),
            seconds: one("seconds")?,
            rows_in: rows_in as u64,
            rows_out: (reached - dead) as u64,
            dead: dead as u64,
            fuel: numbers(json, "fuel").sum::<f64>() as u64,
            memory: numbers(json, "memory").fold(0.0, f64::max) as u64,
        })
    }

    /// Rows in, out and dead-lettered.
    pub fn rows(&self) -> [u64; 3] {
        [self.rows_in, self.rows_out, self.dead]
    }
}

/// The text of each object in the list `"nodes"`; the objects within them are never two in a row.
fn nodes(json: &str) -> impl Iterator<Item = &str> {
    json.split_once("\"nodes\":[").map_or("", |(_, nodes)| nodes).split("},{")
}

/// Every number under `key`, wherever it stands. Names in a report have no quotes in them, so no text looks like a key.
fn numbers<'a>(json: &'a str, key: &str) -> impl Iterator<Item = f64> + use<'a> {
    let key = format!("\"{key}\":");
    let found: Vec<usize> = json.match_indices(&key).map(|(at, key)| at + key.len()).collect();
    found.into_iter().filter_map(|at| {
        let rest = json.get(at..)?;
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | '.' | 'e' | 'E' | '-' | '+')).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    })
}

/// A row for each job.
pub fn table(reports: &[Report]) -> String {
    let mut text = row(["job", "rows in", "rows out", "dead letters", "records/s", "fuel/record", "peak memory"]);
    for report in reports {
        text += &row([
            &report.job,
            &grouped(report.rows_in),
            &grouped(report.rows_out),
            &grouped(report.dead),
            &grouped((report.rows_in as f64 / report.seconds.max(0.001)) as u64),
            &grouped(report.fuel / report.rows_in.max(1)),
            &format!("{:.1} MiB", report.memory as f64 / f64::from(1 << 20)),
        ]);
    }
    text + "(records/s from the first read to the last commit; peak memory is the largest instance's)\n"
}

fn row([job, cells @ ..]: [&str; 7]) -> String {
    let cells: String = cells.iter().map(|cell| format!("{cell:>14}")).collect();
    format!("{job:<18}{cells}\n")
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"finished":true,"nodes":[{"dead-lettered":0,"function":null,"kind":"source","name":"in","rows-in":1400,"rows-out":1400},{"dead-lettered":22,"function":{"fuel":2800,"fuel_max":9,"memory":1572864},"kind":"function","name":"f","rows-in":1400,"rows-out":1378},{"dead-lettered":0,"function":null,"kind":"sink","name":"dead","rows-in":22,"rows-out":0},{"dead-lettered":0,"function":null,"kind":"sink","name":"out","rows-in":1378,"rows-out":0}],"records":1400,"seconds":0.5}"#;

    #[test]
    fn figures_are_taken_from_a_report() {
        let report = Report::parse("a", REPORT).unwrap();
        assert_eq!((report.rows(), report.fuel, report.memory), ([1400, 1378, 22], 2800, 1_572_864));
        let table = table(&[report]);
        let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["a", "1,400", "1,378", "22", "2,800", "2", "1.5", "MiB"]);
    }

    #[test]
    fn a_report_that_lacks_a_figure_is_refused() {
        assert!(Report::parse("a", &REPORT.replace("seconds", "minutes")).unwrap_err().contains("seconds"));
        assert!(Report::parse("a", "error").is_err());
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
