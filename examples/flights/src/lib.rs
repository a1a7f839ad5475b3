//! How late a flight was, as a passenger feels it, and whether it was really late.

#![forbid(unsafe_code)]

use lockgate_sdk::prelude::*;
use std::sync::LazyLock;

/// How much a minute that was lost on the ground counts beside one at the destination.
static WEIGHT: LazyLock<f64> = LazyLock::new(|| config::parse("weight").unwrap_or(0.3));

/// What is made of a flight.
#[derive(Row, Debug, PartialEq)]
pub struct Scored {
    /// Minutes, of which those at the destination count in full.
    score: f64,
    /// Minutes made up in the air; negative if more were lost.
    made_up: i64,
    /// Miles an hour between the airports.
    speed: Option<f64>,
}

/// Scores a flight. One that never left or was diverted has nulls and therefore gets a null; one whose times
/// contradict each other fails.
#[udf]
fn score(dep_delay: i64, arr_delay: i64, air_time: Option<i64>, distance: i64) -> Result<Scored, Error> {
    if air_time.is_some_and(|minutes| minutes <= 0) {
        return Err(Error::new("a flight takes time"));
    }
    let speed = air_time.map(|minutes| distance as f64 / (minutes as f64 / 60.0));
    if speed.is_some_and(|speed| speed > 650.0) {
        return Err(Error::new(format_args!("{distance} miles in {} minutes", air_time.unwrap_or_default())));
    }
    let score = arr_delay as f64 + *WEIGHT * dep_delay as f64;
    Ok(Scored { score, made_up: dep_delay - arr_delay, speed })
}

/// Keeps flights with a score of more than two hours (or what the setting `minutes` says).
#[udf(filter)]
fn late(score: f64) -> bool {
    static MINUTES: LazyLock<f64> = LazyLock::new(|| config::parse("minutes").unwrap_or(120.0));
    score > *MINUTES
}

lockgate_sdk::export!(score, late);

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_sdk::testing;

    #[test]
    fn scores_flights() {
        let run = testing::call::<score>()
            .column("dep_delay", [Some(2), None, Some(100), Some(0)])
            .column("arr_delay", [Some(11), None, Some(90), Some(0)])
            .column("air_time", [Some(227), None, Some(120), Some(60)])
            .column("distance", [1400, 1416, 1000, 5000])
            .run()
            .unwrap();
        assert_eq!(run.column::<Option<i64>>("made_up"), [Some(-9), None, Some(10)]);
        assert_eq!(run.column::<Option<f64>>("score"), [Some(11.6), None, Some(120.0)]);
        assert_eq!(run.column::<Option<f64>>("speed").last(), Some(&Some(500.0)));
        assert_eq!(run.failures(), [(3, "5000 miles in 60 minutes".to_owned())]);
    }

    #[test]
    fn keeps_the_late() {
        let run = testing::call::<late>().column("score", [Some(120.0), Some(120.5), None]).run().unwrap();
        assert_eq!(run.origin(), [1]);
    }
}
