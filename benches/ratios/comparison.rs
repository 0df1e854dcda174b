//! Two sides taking turns, and what becomes of it: medians, spread, a ratio, a row.
//!
//! The two sides run in turn because this machine is seldom alone: what disturbs one
//! side for a while disturbs the other too.

use rump_examples::ratios::{self, Row};
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Virtual CPUs of the kernel that is measured.
pub const CPUS: usize = 2;
/// Runs of each side after the warm-up.
pub const RUNS: usize = 7;

/// A measured side of a comparison: each call is one run and yields its value.
pub type Side<'a> = &'a mut dyn FnMut() -> Result<f64, Box<dyn Error>>;

/// Whether more or less is better.
#[derive(Clone, Copy, PartialEq)]
pub enum Better {
    /// Rates.
    More,
    /// Times and sizes.
    Less,
}

/// What is measured, apart from the figures.
pub struct Subject<'a> {
    pub name: &'a str,
    pub unit: &'a str,
    pub better: Better,
    pub rival_is: Option<&'a str>,
    /// What a reader of the figures has to know.
    pub note: Option<String>,
    /// Instead of the spread of ours, where that is a difference that may be near zero.
    pub spread: Option<f64>,
}

impl<'a> Subject<'a> {
    /// Without a rival or a note.
    pub fn new(name: &'a str, unit: &'a str, better: Better) -> Self {
        Self {
            name,
            unit,
            better,
            rival_is: None,
            note: None,
            spread: None,
        }
    }
}

/// Where rows go, and the kernel that they are about.
pub struct Harness<'a> {
    file: PathBuf,
    wanted: &'a dyn Fn(&str) -> bool,
    kernel: Option<rump::Kernel>,
}

impl<'a> Harness<'a> {
    pub fn new(wanted: &'a dyn Fn(&str) -> bool) -> Self {
        let file = std::env::var_os("RUMP_BENCH_OUT")
            .map_or_else(|| target().join("ratios.jsonl"), PathBuf::from);
        Self {
            file,
            wanted,
            kernel: None,
        }
    }

    /// Whether a benchmark was asked for.
    pub fn wants(&self, name: &str) -> bool {
        (self.wanted)(name)
    }

    /// Boots the kernel of this process, once.
    pub fn boot(&mut self) -> Result<rump::Kernel, Box<dyn Error>> {
        if let Some(kernel) = &self.kernel {
            return Ok(kernel.clone());
        }
        let kernel = rump::Kernel::builder().cpus(CPUS).boot()?;
        Ok(self.kernel.insert(kernel).clone())
    }

    /// Runs both sides in turn and writes the row.
    pub fn compare(
        &mut self,
        subject: &Subject<'_>,
        ours: Side<'_>,
        rival: Side<'_>,
    ) -> Result<(), Box<dyn Error>> {
        let kernel = self.boot()?.identity()?.to_string();
        // The first run of each side warms it up.
        ours()?;
        rival()?;
        let (mut our_values, mut rival_values) = (Vec::new(), Vec::new());
        for run in 0..RUNS {
            // Who goes first changes, so that neither always finds the other's leftovers.
            if run % 2 == 0 {
                our_values.push(ours()?);
                rival_values.push(rival()?);
            } else {
                rival_values.push(rival()?);
                our_values.push(ours()?);
            }
        }
        self.write(
            subject,
            &kernel,
            Some(CPUS),
            &our_values,
            Some(&rival_values),
        )
    }

    /// Writes the row of a benchmark whose runs are done.
    pub fn write(
        &self,
        subject: &Subject<'_>,
        kernel: &str,
        cpus: Option<usize>,
        ours: &[f64],
        rival_values: Option<&[f64]>,
    ) -> Result<(), Box<dyn Error>> {
        let name = name_on(kernel, subject.name);
        if !(self.wanted)(subject.name) && !(self.wanted)(&name) {
            return Ok(());
        }
        let median = ratios::median(ours);
        let rival = rival_values.map(ratios::median);
        let ratio = rival.map(|rival| match subject.better {
            Better::More => median / rival,
            Better::Less => rival / median,
        });
        let row = Row {
            name,
            ours: rounded(median),
            rival: rival.map(rounded),
            unit: subject.unit.to_string(),
            ratio: ratio.map(rounded),
            rival_is: subject.rival_is.map(str::to_string),
            kernel: kernel.to_string(),
            runs: ours.len(),
            spread: rounded(subject.spread.unwrap_or_else(|| ratios::spread(ours))),
            when: now(),
            cpus,
            rival_spread: rival_values.map(|values| rounded(ratios::spread(values))),
            note: subject.note.clone(),
        };
        println!("{}", describe(&row));
        Ok(ratios::append(&self.file, &row)?)
    }
}

/// Rows of rump-lite's loopback interface have names of their own: it is no NetBSD, and
/// has another goal.
fn name_on(kernel: &str, name: &str) -> String {
    match name.strip_prefix("loopback/") {
        Some(rest) if kernel.starts_with("rump-lite ") => format!("lite/{rest}"),
        None if kernel.starts_with("rump-lite ")
            && ["tap/", "http/", "shm/", "preload/", "remote/"]
                .iter()
                .any(|group| name.starts_with(group)) =>
        {
            format!("lite/{name}")
        }
        _ => name.to_string(),
    }
}

/// Four digits that matter.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

fn describe(row: &Row) -> String {
    let mut line = format!("{:<24} {} {}", row.name, row.ours, row.unit);
    if let (Some(rival), Some(ratio), Some(name)) = (row.rival, row.ratio, &row.rival_is) {
        line += &format!(", {name} {rival}: ratio {ratio}");
    }
    line += &format!(
        " (spread {:.0} %, {} runs, {})",
        row.spread * 100.0,
        row.runs,
        row.kernel
    );
    if !row.counts() {
        line += "; not NetBSD, counts for nothing";
    }
    line
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Cargo's target folder of this build.
pub fn target() -> PathBuf {
    // target/release/deps/ratios-… of the running benchmark.
    let own = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.ancestors().nth(3)?.to_path_buf()));
    own.unwrap_or_else(|| PathBuf::from("target"))
}

/// Seconds as a number.
pub fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
