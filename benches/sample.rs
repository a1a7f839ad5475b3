//! Timing a piece of work, beside its native counterpart if it has one.
//!
//! Both run in turns, sample by sample, so that what slows the machine down for a while slows both; the ratio is the
//! median of the samples' ratios. People get criterion's statistics of our side as well.

use crate::Result;
use crate::figure::{Figure, Report, median, rounded};
use criterion::Criterion;
use rustix::time::{ClockId, clock_gettime};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Samples that count.
const SAMPLES: usize = 50;
/// About how long a sample of one side is.
const SAMPLE: Duration = Duration::from_millis(4);
/// How long both sides run before the first sample.
const WARM_UP: Duration = Duration::from_millis(300);

/// A piece of work: does it so many times and says how long that took.
pub type Work<'a> = Box<dyn FnMut(u64) -> Result<Duration> + 'a>;

/// Times all of `work`, which stays on this thread, by the thread's CPU time: other processes do not count.
pub fn whole<'a>(mut work: impl FnMut() -> Result<()> + 'a) -> Work<'a> {
    Box::new(move |calls| {
        let begun = cpu();
        (0..calls).try_for_each(|_| work())?;
        Ok(cpu().saturating_sub(begun))
    })
}

/// The CPU time of this thread.
pub fn cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// `work` times itself, so that what has to be made ready for it is not timed.
pub fn part<'a>(mut work: impl FnMut() -> Result<Duration> + 'a) -> Work<'a> {
    Box::new(move |calls| (0..calls).map(|_| work()).sum())
}

/// The work of a row.
pub struct Pair<'a> {
    /// Our side.
    pub ours: Work<'a>,
    /// The native side.
    pub native: Option<Work<'a>>,
    /// Records that a figure is to be divided by.
    pub records: usize,
}

impl Pair<'_> {
    /// Measures and shows the row.
    ///
    /// # Errors
    /// When the work fails.
    pub fn measure(mut self, name: &'static str, report: &Report) -> Result<()> {
        let mut samples = Vec::new();
        if report.json {
            let (mut calls, begun) = (0_u64, Instant::now());
            while begun.elapsed() < WARM_UP {
                self.sample(1)?;
                calls += 1;
            }
            let calls = (u128::from(calls) * SAMPLE.as_nanos() / WARM_UP.as_nanos()).max(1) as u64;
            for _ in 0..SAMPLES {
                samples.push(self.sample(calls)?);
            }
        } else {
            let mut failed = None;
            // Criterion would put its files beside the sources of this crate.
            let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "../target".into(), PathBuf::from);
            let criterion = Criterion::default().output_directory(&target.join("criterion"));
            let criterion = criterion.sample_size(SAMPLES).warm_up_time(WARM_UP);
            criterion.measurement_time(SAMPLE * 2 * SAMPLES as u32).bench_function(name, |bencher| {
                bencher.iter_custom(|calls| match self.sample(calls) {
                    Ok(sample) => {
                        samples.push(sample);
                        Duration::from_secs_f64(sample.0 * calls as f64 / 1e9)
                    }
                    Err(error) => {
                        failed.get_or_insert(error);
                        Duration::from_millis(calls)
                    }
                });
            });
            if let Some(error) = failed {
                return Err(error);
            }
            // The first are of the warm-up.
            samples.drain(..samples.len().saturating_sub(SAMPLES));
        }
        let records = self.records.max(1) as f64;
        let middle = |of: fn(&(f64, f64)) -> f64| median(samples.iter().map(of).collect());
        let figure = Figure { name, ns: Some(rounded(middle(|(ours, _)| *ours) / records)), ..Figure::default() };
        report.show(&match self.native {
            None => figure,
            Some(_) => Figure {
                native_ns: Some(rounded(middle(|(_, native)| *native) / records)),
                ratio: Some(rounded(middle(|(ours, native)| ours / native))),
                ..figure
            },
        })
    }

    /// Nanoseconds of a call of either side, the mean of `calls`.
    fn sample(&mut self, calls: u64) -> Result<(f64, f64)> {
        let ours = mean(&mut self.ours, calls)?;
        Ok((ours, self.native.as_mut().map_or(Ok(0.0), |native| mean(native, calls))?))
    }
}

fn mean(work: &mut Work<'_>, calls: u64) -> Result<f64> {
    Ok(work(calls)?.as_nanos() as f64 / calls.max(1) as f64)
}
