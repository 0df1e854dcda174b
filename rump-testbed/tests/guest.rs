//! A guest seen from outside: what it brings back, and how it is lost.

use libtest_mimic::{Arguments, Trial};
use rump_testbed::{Error, Guest, Iommu, Outcome};
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// Output of any length and content, a status, a signal, several commands in one guest, one
/// that hangs, and the guest's end.
fn what_commands_say_comes_back() -> Outcome {
    let mut guest = Guest::new().boot()?;
    let report = guest.shell("echo out; echo err >&2; exit 7", MINUTE)?;
    assert_eq!(report.status, 7);
    assert_eq!(
        (&report.stdout[..], &report.stderr[..]),
        (&b"out\n"[..], &b"err\n"[..])
    );
    assert!(!report.timed_out && !report.success());

    let mut echo = Command::new("printf");
    echo.args(["%s|", "it's", "$HOME", "two\nlines", "", "\u{fc}"]);
    let report = guest.run(&echo, MINUTE)?;
    let text = String::from_utf8(report.stdout)?;
    assert_eq!(text, "it's|$HOME|two\nlines||\u{fc}|");

    let report = guest.shell("dd if=/dev/zero bs=1024 count=3000", MINUTE)?;
    assert_eq!(report.stdout.len(), 3_072_000);
    assert!(report.stdout.iter().all(|byte| *byte == 0));

    let report = guest.shell("kill -SEGV $$", MINUTE)?;
    assert_eq!(report.status, 128 + 11);

    let report = guest.shell("echo '<3>a line of a test' > /dev/kmsg", MINUTE)?;
    assert!(report.kernel_log.contains("a line of a test"));
    assert!(
        !guest
            .shell("true", MINUTE)?
            .kernel_log
            .contains("a line of a test")
    );
    assert!(guest.shell("one\ntwo", MINUTE).is_err());

    let report = guest.shell("echo begun; sleep 1000", Duration::from_secs(1))?;
    assert!(report.timed_out, "{report}");
    assert_eq!(report.stdout, b"begun\n");
    assert!(guest.shell("true", MINUTE)?.success());

    let end = guest.shell("poweroff -f", MINUTE).err();
    let end = end.ok_or("it went on")?;
    assert!(matches!(end, Error::Ended { .. }), "{end}");
    Ok(())
}

/// A program of this machine with its libraries: this one.
fn a_program_runs() -> Outcome {
    let own = std::env::current_exe()?;
    let report = Guest::new().run(&own, ["--list"])?;
    let text = String::from_utf8_lossy(&report.stdout).into_owned();
    assert!(report.success(), "{report}");
    assert!(text.contains("qemu::a_program_runs: test"), "{text}");
    Ok(())
}

/// All is stopped in it but the first process, which waits for what it has started.
fn a_guest_that_hangs_is_lost_at_its_limit() -> Outcome {
    let mut guest = Guest::new().boot()?;
    let stop = "echo '<3>about to stop' > /dev/kmsg; kill -STOP -1; sleep 1000";
    let start = Instant::now();
    let error = guest
        .shell(stop, Duration::from_secs(1))
        .err()
        .ok_or("it went on")?;
    assert!(start.elapsed() < MINUTE, "{:?}", start.elapsed());
    let text = error.to_string();
    assert!(matches!(error, Error::Hang { .. }), "{text}");
    assert!(text.contains("about to stop"), "{text}");
    Ok(())
}

fn a_panic_is_told() -> Outcome {
    let mut guest = Guest::new().boot()?;
    let line = "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger";
    let error = guest.shell(line, MINUTE).err().ok_or("it went on")?;
    let Error::Panic { message, .. } = &error else {
        return Err(error.into());
    };
    assert!(message.contains("sysrq triggered crash"), "{message}");
    assert!(error.to_string().contains("sysrq-trigger"), "{error}");
    Ok(())
}

/// The second width, and QEMU's own words where it refuses.
fn what_was_asked_for_is_there() -> Outcome {
    let guest = Guest::new().cpus(2).iommu(Iommu::Bits48).e1000e(0);
    let places = guest.places();
    let mut guest = guest.boot()?;
    guest.bind(&places[0].address, "vfio-pci")?;
    let unknown = guest.bind(&places[0].address, "no-driver").err();
    assert!(matches!(unknown, Some(Error::Bind { .. })), "{unknown:?}");
    let log = &guest.boot_report().kernel_log;
    assert!(log.contains("DMAR: IOMMU enabled"), "{log}");
    assert!(log.contains("Host address width 48"), "{log}");
    assert_eq!(guest.shell("nproc", MINUTE)?.stdout, b"2\n");
    let refused = Guest::new().cpus(100_000).boot().err().ok_or("booted")?;
    assert!(matches!(refused, Error::Ended { .. }), "{refused}");
    assert!(refused.to_string().contains("QEMU:"), "{refused}");
    Ok(())
}

/// QEMU ends with the guest's value, and with the process that has it however that ends.
fn nothing_is_left() -> Outcome {
    let guest = Guest::new().boot()?;
    let qemu = guest.id();
    assert!(runs(qemu));
    drop(guest);
    assert!(!runs(qemu));

    let mut child = Command::new(std::env::current_exe()?)
        .env(KEEPER, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let output = child.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut line)?;
    let qemu = line.trim().parse()?;
    assert!(runs(qemu));
    child.kill()?;
    child.wait()?;
    let start = Instant::now();
    while runs(qemu) {
        assert!(start.elapsed() < MINUTE, "QEMU still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Where there is no QEMU, these tests are skipped, and fail if they must not be.
fn absence_is_told() -> Outcome {
    let test = "qemu::a_program_runs";
    let run = |required: &str| {
        Command::new(std::env::current_exe()?)
            .args(["--exact", test])
            .env("PATH", "/nowhere")
            .env("RUMP_TEST_REQUIRE", required)
            .output()
    };
    let skipped = run("")?;
    let text = String::from_utf8_lossy(&skipped.stdout).into_owned();
    assert!(skipped.status.success(), "{text}");
    assert!(
        text.contains(&format!("skipped: {test}: no QEMU: ")),
        "{text}"
    );
    let failed = run("root, qemu")?;
    let text = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert!(!failed.status.success(), "{text}");
    assert!(text.contains("RUMP_TEST_REQUIRE=qemu: no QEMU: "), "{text}");
    Ok(())
}

/// Has this program boot a guest and keep it.
const KEEPER: &str = "RUMP_TESTBED_KEEPER";

fn keep() -> ExitCode {
    match Guest::new().boot() {
        Ok(guest) => {
            println!("{}", guest.id());
            std::thread::sleep(MINUTE);
            drop(guest);
        }
        Err(error) => eprintln!("{error}"),
    }
    ExitCode::FAILURE
}

/// Whether a process of QEMU's has this number, and is not just waiting to be waited for.
fn runs(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.contains("(qemu-system") && !stat.contains(") Z ")
}

type Named = (&'static str, fn() -> Outcome);

fn main() -> ExitCode {
    if std::env::var_os(KEEPER).is_some() {
        return keep();
    }
    let tests: [Named; 6] = [
        (
            "qemu::what_commands_say_comes_back",
            what_commands_say_comes_back,
        ),
        ("qemu::a_program_runs", a_program_runs),
        (
            "qemu::a_guest_that_hangs_is_lost_at_its_limit",
            a_guest_that_hangs_is_lost_at_its_limit,
        ),
        ("qemu::a_panic_is_told", a_panic_is_told),
        (
            "qemu::what_was_asked_for_is_there",
            what_was_asked_for_is_there,
        ),
        ("qemu::nothing_is_left", nothing_is_left),
    ];
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let mut trials: Vec<_> = tests
        .into_iter()
        .map(|(name, test)| rump_testbed::trial(&Guest::new(), name, test))
        .collect();
    trials.push(Trial::test("absence_is_told", absence_is_told));
    libtest_mimic::run(&arguments, trials).exit_code()
}
