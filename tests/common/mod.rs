//! What the test files share: trials that need a kernel, and one boot per process.
//!
//! A trial that cannot run is reported as ignored, with a line that says why;
//! `RUMP_TEST_REQUIRE=netbsd` (a list, separated by commas) makes it fail instead.

#![allow(dead_code)]

pub mod link;
pub mod netns;

use libtest_mimic::{Arguments, Failed, Trial};
use rump::net::{TcpListener, TcpStream};
use std::io;
use std::sync::OnceLock;

/// What a test comes to.
pub type Outcome = Result<(), Failed>;
/// A test and its name.
pub type Test = (&'static str, fn() -> Outcome);

/// Runs the trials of a test file with the usual arguments.
pub fn run(trials: Vec<Trial>) -> ! {
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

/// Runs named tests, each on the one kernel of this process.
pub fn run_on_kernel<const N: usize>(tests: [Test; N]) -> ! {
    run(tests.into_iter().map(on_kernel).collect())
}

/// The same for tests that count or measure, and must not meet each other.
pub fn run_on_kernel_in_turn<const N: usize>(tests: [Test; N]) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = tests.into_iter().map(on_kernel).collect();
    libtest_mimic::run(&arguments, trials).exit()
}

fn on_kernel((name, test): Test) -> Trial {
    kernel_trial(name, move || {
        boot();
        test()
    })
}

/// Runs tests that need interfaces beside lo0 and, where `root` is in their name, a
/// network namespace, which this makes for the process; where one of the [`PROGRAMS`] is in
/// it, that program; and `shmif` with the feature.
pub fn run_with_interfaces<const N: usize>(tests: [Test; N]) -> ! {
    run_with_interfaces_of(tests, |_| Some("not tried with rump-lite"))
}

/// The same on both kernels; `lacking` is why a test cannot pass on rump-lite.
pub fn run_with_interfaces_of<const N: usize>(
    tests: [Test; N],
    lacking: impl Fn(&str) -> Option<&'static str>,
) -> ! {
    run(interface_trials(tests, lacking))
}

/// The same for tests that count or measure, and must not meet each other.
pub fn run_with_interfaces_in_turn<const N: usize>(
    tests: [Test; N],
    lacking: impl Fn(&str) -> Option<&'static str>,
) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, interface_trials(tests, lacking)).exit()
}

fn interface_trials<const N: usize>(
    tests: [Test; N],
    lacking: impl Fn(&str) -> Option<&'static str>,
) -> Vec<Trial> {
    let namespace = netns::enter().map_err(|reason| &*Box::leak(reason.into_boxed_str()));
    let trial = |(name, test): Test| {
        let kernel = match rump_sys::kernel::KIND {
            rump_sys::kernel::Kind::Netbsd => Ok(()),
            rump_sys::kernel::Kind::Lite => lacking(name).map_or(Ok(()), Err),
            _ => Err("no interfaces but lo0 in this kernel"),
        };
        let absent = PROGRAMS.iter().find(|(program, _)| {
            let used = name.split("::").any(|part| part == *program);
            used && !installed(program)
        });
        let (need, possible) = match (kernel, absent) {
            (Ok(()), Some((program, reason))) => (*program, Err(*reason)),
            (Ok(()), None) if name.contains("shmif::") && !cfg!(feature = "shmif") => {
                ("shmif", Err("without the feature shmif"))
            }
            (Ok(()), None) if name.starts_with("root::") => ("root", namespace),
            _ => ("netbsd", kernel),
        };
        let reason = possible.err().unwrap_or_default();
        trial_if(possible.is_ok(), need, reason, name, test)
    };
    tests.into_iter().map(trial).collect()
}

/// Programs of others that tests use, and what is said where they are not.
const PROGRAMS: [(&str, &str); 6] = [
    ("curl", "no curl"),
    ("tshark", "no tshark"),
    ("dnsmasq", "no dnsmasq"),
    ("udhcpd", "no udhcpd"),
    ("radvd", "no radvd"),
    ("systemd-analyze", "no systemd-analyze"),
];

fn installed(program: &str) -> bool {
    let output = std::process::Command::new(program)
        .arg("--version")
        .output();
    // Not every one knows that option.
    output.is_ok()
}

/// The program of an example, which Cargo builds beside the tests.
pub fn example(name: &str) -> Result<std::path::PathBuf, Failed> {
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).ok_or("no folder of the profile")?;
    let program = profile.join("examples").join(name);
    if program.is_file() {
        return Ok(program);
    }
    Err(format!(
        "{} is not there: cargo test builds it, unless it is asked for some tests only; cargo build --examples does",
        program.display()
    )
    .into())
}

/// What the kernel in this build calls itself (`kern.ostype`).
pub fn kernel_name() -> &'static str {
    match rump_sys::kernel::KIND {
        rump_sys::kernel::Kind::Lite => "rump-lite",
        _ => "NetBSD",
    }
}

/// Whether the kernel leaves cutting up TCP's segments to its host, and says so among the
/// capabilities of an interface: rump-lite sends none that are larger than the MTU.
pub fn sends_large_segments() -> bool {
    rump_sys::kernel::KIND != rump_sys::kernel::Kind::Lite
}

/// A trial that needs a kernel in the build.
pub fn kernel_trial(
    name: impl Into<String>,
    test: impl FnOnce() -> Outcome + Send + 'static,
) -> Trial {
    trial_if(
        rump::kernel::available(),
        "netbsd",
        "no rump kernel in this build",
        name,
        test,
    )
}

/// A trial that can run if `possible`; otherwise `reason` says why it cannot, and
/// `need` is its word in `RUMP_TEST_REQUIRE`.
pub fn trial_if(
    possible: bool,
    need: &'static str,
    reason: &'static str,
    name: impl Into<String>,
    test: impl FnOnce() -> Outcome + Send + 'static,
) -> Trial {
    let name = name.into();
    if possible {
        return Trial::test(name, test);
    }
    if required(need) {
        return Trial::test(name, move || {
            Err(format!("RUMP_TEST_REQUIRE={need}: {reason}").into())
        });
    }
    println!("skipped: {name}: {reason}");
    Trial::test(name, test).with_ignored_flag(true)
}

fn required(need: &str) -> bool {
    std::env::var("RUMP_TEST_REQUIRE")
        .is_ok_and(|list| list.split(',').any(|word| word.trim() == need))
}

/// The kernel of this test process, booted at the first call with two virtual CPUs.
pub fn boot() -> &'static rump::Kernel {
    static KERNEL: OnceLock<rump::Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| match rump::Kernel::builder().cpus(2).boot() {
        Ok(kernel) => kernel,
        Err(error) => panic!("the kernel does not boot: {error}"),
    })
}

/// A TCP connection over the loopback interface: the client's end and the server's.
pub fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    Ok((client, listener.accept()?.0))
}
