//! Tests that are written here and run there.
//!
//! A test file's program is two things. Outside, it makes a trial of each test; the first
//! that runs boots the guest, which has this program among its files, and each has the
//! guest run the program again for just this test. There, it runs the test and ends.
//!
//! So each test has a process, and a rump kernel, of its own; and the guest is the same for
//! all. Should a test bring it down, that one fails, with the guest's console, and the next
//! one boots another. Only if it was QEMU that ended by an assertion of its own, which no
//! guest should be able to have fail, the test is run once more, and that is told.

use crate::error::Error;
use crate::guest::Guest;
use crate::inside;
use crate::pace;
use crate::report::Report;
use crate::running::Running;
use libtest_mimic::{Arguments, Failed, Trial};
use std::io;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a test comes to.
pub type Outcome = Result<(), Failed>;

/// How the program is told that it runs in a guest, and for which test.
const TEST: &str = "RUMP_TESTBED_TEST";
/// How long a test may take, unless it says otherwise.
const LIMIT: Duration = Duration::from_secs(60);
/// The word for such tests in `RUMP_TEST_REQUIRE`.
const NEED: &str = "qemu";

/// A test that runs in the guest.
#[derive(Debug, Clone)]
pub struct Test {
    name: &'static str,
    body: fn() -> Outcome,
    limit: Duration,
    faults: bool,
    absent: Option<(&'static str, String)>,
}

impl Test {
    /// A test and its name, which is to begin with `qemu::`.
    pub fn new(name: &'static str, body: fn() -> Outcome) -> Self {
        Self {
            name,
            body,
            limit: LIMIT,
            faults: false,
            absent: None,
        }
    }

    /// It may take so long on a machine with nothing else to do; a minute unless this says
    /// otherwise.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// It has devices access what they must not. The IOMMU is to see that: the test fails
    /// without a fault. Every other test fails with one.
    #[must_use]
    pub fn faults(mut self) -> Self {
        self.faults = true;
        self
    }

    /// It needs more than a guest. If that is not there, it is skipped for this reason; or
    /// it fails, if `word` is in `RUMP_TEST_REQUIRE`.
    #[must_use]
    pub fn needs(mut self, there: bool, word: &'static str, reason: impl Into<String>) -> Self {
        if !there && self.absent.is_none() {
            self.absent = Some((word, reason.into()));
        }
        self
    }
}

/// Runs a test file all of whose tests run in a guest, with the usual arguments.
///
/// What a test that passes has printed is shown with `--nocapture`.
pub fn run(guest: Guest, tests: impl IntoIterator<Item = Test>) -> ExitCode {
    let trials = trials(guest, tests);
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The tests as trials of a test file that has others, too.
///
/// To be called before the file does anything else: in the guest it runs the one test that
/// is asked for, and ends the process.
pub fn trials(guest: Guest, tests: impl IntoIterator<Item = Test>) -> Vec<Trial> {
    let tests: Vec<_> = tests.into_iter().collect();
    if let Ok(name) = std::env::var(TEST) {
        run_inside(&name, &tests);
    }
    let missing = guest.available().err();
    let fixture = Arc::new(Fixture {
        guest,
        running: Mutex::new(None),
    });
    let trial = |mut test: Test| {
        if let Some(missing) = &missing {
            test.absent = Some((NEED, missing.to_string()));
        }
        let absent = test.absent.take();
        let fixture = Arc::clone(&fixture);
        trial_unless(absent, test.name, move || fixture.run(&test))
    };
    tests.into_iter().map(trial).collect()
}

/// A trial that runs outside and boots a guest such as this one, or several.
pub fn trial(guest: &Guest, name: &str, test: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
    let missing = guest.available().err();
    let absent = missing.map(|missing| (NEED, missing.to_string()));
    trial_unless(absent, name, test)
}

/// A trial that is skipped if something is absent: its word in `RUMP_TEST_REQUIRE`, which
/// makes it fail instead, and why.
fn trial_unless(
    absent: Option<(&'static str, String)>,
    name: &str,
    test: impl FnOnce() -> Outcome + Send + 'static,
) -> Trial {
    let Some((word, reason)) = absent else {
        return Trial::test(name, test);
    };
    if required(word) {
        return Trial::test(name, move || {
            Err(format!("RUMP_TEST_REQUIRE={word}: {reason}").into())
        });
    }
    println!("skipped: {name}: {reason}");
    Trial::test(name, test).with_ignored_flag(true)
}

fn required(word: &str) -> bool {
    std::env::var("RUMP_TEST_REQUIRE")
        .is_ok_and(|list| list.split(',').any(|each| each.trim() == word))
}

/// In the guest: the test, and nothing else. A panic ends the process with a message and
/// a status of its own.
fn run_inside(name: &str, tests: &[Test]) -> ! {
    let Some(test) = tests.iter().find(|test| test.name == name) else {
        eprintln!("there is no test {name}");
        std::process::exit(2);
    };
    let status = match (test.body)() {
        Ok(()) => 0,
        Err(failed) => {
            eprintln!(
                "{}",
                failed.message().unwrap_or("failed, and does not say why")
            );
            1
        }
    };
    std::process::exit(status)
}

/// The guest that all tests of a file run in.
#[derive(Debug)]
struct Fixture {
    guest: Guest,
    running: Mutex<Option<Running>>,
}

impl Fixture {
    fn run(&self, test: &Test) -> Outcome {
        let lost = match self.attempt(test) {
            Err(Lost::Guest(error)) => error,
            Err(Lost::Test(failed)) => return Err(failed),
            Ok(()) => return Ok(()),
        };
        if let Error::Ended { console, .. } = &lost
            && let Some(assertion) = console.assertion()
        {
            println!("{}: once more, as QEMU has ended: {assertion}", test.name);
            return self.attempt(test).map_err(Failed::from);
        }
        Err(lost.into())
    }

    fn attempt(&self, test: &Test) -> Result<(), Lost> {
        let own = std::env::current_exe()?;
        // A test that has panicked here has left a guest in no known state, or none.
        let mut running = self.running.lock().unwrap_or_else(|poisoned| {
            self.running.clear_poison();
            let mut running = PoisonError::into_inner(poisoned);
            *running = None;
            running
        });
        let mut guest = match running.take() {
            Some(guest) => guest,
            None => self.guest.clone().program(&own).boot()?,
        };
        let places = serde_json::to_string(&self.guest.places()).map_err(io::Error::from)?;
        let mut command = Command::new(&own);
        command.env(TEST, test.name).env(inside::DEVICES, places);
        command.env("RUST_BACKTRACE", "1");
        command.envs(std::env::vars().filter(|(name, _)| forwarded(name)));
        let slowness = pace::slowness();
        command.env(inside::SLOWNESS, slowness.to_string());
        let limit = pace::longer(test.limit, slowness);
        // Without a report, the guest is no more.
        let report = guest.run(&command, limit)?;
        *running = Some(guest);
        if report.success() && std::env::args().any(|argument| argument == "--nocapture") {
            println!("{}: {report}", test.name);
        }
        judge(test, limit, &report).map_err(|why| Lost::Test(why.into()))
    }
}

/// Why a test did not pass.
enum Lost {
    /// By itself.
    Test(Failed),
    /// The guest could not be had, or is no more.
    Guest(Error),
}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        Self::Guest(error)
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Test(error.into())
    }
}

impl From<Lost> for Failed {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Test(failed) => failed,
            Lost::Guest(error) => error.into(),
        }
    }
}

/// Whether a variable of this process is the test's, too.
fn forwarded(name: &str) -> bool {
    name.starts_with("RUMP_") && !name.starts_with("RUMP_TESTBED_")
}

fn judge(test: &Test, limit: Duration, report: &Report) -> Result<(), String> {
    let faults = report.faults();
    let why = match (report.success(), faults.is_empty()) {
        (false, _) if report.timed_out => {
            format!("it did not end within {} s", limit.as_secs_f64())
        }
        (false, _) => "it has failed".into(),
        (true, true) if test.faults => "the IOMMU has seen no fault".into(),
        (true, false) if !test.faults => format!("the IOMMU has refused {faults:?}"),
        (true, _) => return Ok(()),
    };
    Err(format!("{why}: {report}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(status: u8, kernel_log: &str) -> Report {
        Report {
            status,
            timed_out: false,
            stdout: b"said\n".to_vec(),
            stderr: Vec::new(),
            kernel_log: kernel_log.into(),
            time: Duration::ZERO,
        }
    }

    const FAULT: &str = "DMAR: [DMA Read] Request device [00:08.0] fault addr 0x1000 \
                         [fault reason 0x06] PTE Read access is not set\n";

    #[test]
    fn faults_fail_a_test_unless_it_is_to_have_some() {
        let test = Test::new("qemu::x", || Ok(()));
        assert_eq!(judge(&test, LIMIT, &report(0, "")), Ok(()));
        let refused = judge(&test, LIMIT, &report(0, FAULT)).unwrap_err();
        assert!(refused.contains("00:08.0"), "{refused}");
        let test = test.faults();
        assert_eq!(judge(&test, LIMIT, &report(0, FAULT)), Ok(()));
        assert!(
            judge(&test, LIMIT, &report(0, ""))
                .unwrap_err()
                .contains("no fault")
        );
    }

    #[test]
    fn a_failure_says_why() {
        let test = Test::new("qemu::x", || Ok(()));
        let text = judge(&test, LIMIT, &report(101, "")).unwrap_err();
        assert!(text.starts_with("it has failed: exit status 101\nits output:\nsaid"));
        let late = Report {
            timed_out: true,
            ..report(137, "")
        };
        let text = judge(&test, LIMIT, &late).unwrap_err();
        assert!(text.starts_with("it did not end within 60 s: "), "{text}");
    }
}
