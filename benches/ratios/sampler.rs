//! Criterion as the stopwatch for what is short.
//!
//! Criterion warms up, chooses how often to repeat, and prints its own analysis. It
//! measures one function after the other, though, and keeps its estimates to itself; so
//! each round of a comparison is a criterion measurement of its own, and the times that
//! criterion asked for are noted here.

use criterion::Criterion;
use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use rump_examples::ratios::median;

/// Samples of one round: criterion's least is 10.
const SAMPLES: usize = 10;

/// Measures rounds of one benchmark.
pub struct Sampler {
    group: String,
}

impl Sampler {
    pub fn new(group: &str) -> Self {
        Self {
            group: group.to_string(),
        }
    }

    /// The median time of one call, over the samples of one round.
    pub fn nanoseconds(
        &mut self,
        side: &str,
        mut once: impl FnMut() -> io::Result<()>,
    ) -> Result<f64, Box<dyn Error>> {
        let mut times = Vec::new();
        self.timed(side, |count| {
            let start = Instant::now();
            for _ in 0..count {
                once()?;
            }
            let took = start.elapsed();
            times.push(took.as_nanos() as f64 / count as f64);
            Ok(took)
        })?;
        // What comes before the samples is criterion's warm-up.
        Ok(median(&times[times.len().saturating_sub(SAMPLES)..]))
    }

    /// Lets criterion ask for the time of so many calls, until it has enough.
    pub fn timed(
        &mut self,
        side: &str,
        mut many: impl FnMut(u64) -> io::Result<Duration>,
    ) -> Result<(), Box<dyn Error>> {
        let mut failure = None;
        let mut criterion = Criterion::default()
            .without_plots()
            .sample_size(SAMPLES)
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(300));
        criterion
            .benchmark_group(&self.group)
            .bench_function(side, |bencher| {
                bencher.iter_custom(|count| {
                    let time = if failure.is_none() {
                        many(count)
                    } else {
                        Ok(Duration::ZERO)
                    };
                    let time = time.unwrap_or_else(|error| {
                        failure = Some(error);
                        Duration::ZERO
                    });
                    // Criterion cannot do with nothing.
                    time.max(Duration::from_nanos(1))
                });
            });
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}
