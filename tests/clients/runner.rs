//! The runner: the command `rump run`.

use super::common::{self, Outcome};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

/// A file that `cargo build` makes beside this test.
fn beside(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let folder = test.ancestors().nth(2).map(Path::to_path_buf);
    folder.unwrap_or_default().join(name)
}

/// A trial that needs the files of this test's ([`super::FILES`]) and a kernel.
pub fn trial(name: impl Into<String>, test: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
    match missing() {
        Some(reason) => common::trial_if(false, "rump", reason, name, test),
        None => common::kernel_trial(name, test),
    }
}

/// A trial with a program of Debian's, which its name begins with, over interfaces of a
/// namespace of this test's.
pub fn program(
    namespace: Result<(), &'static str>,
    name: &'static str,
    test: fn() -> Outcome,
) -> Trial {
    let (program, _) = name.split_once("::").unwrap_or((name, ""));
    let reason = match namespace {
        _ if !rump::kernel::available() => Some("no rump kernel in this build"),
        _ if missing().is_some() => missing(),
        Err(reason) => Some(reason),
        Ok(()) if Command::new(program).arg("-h").output().is_err() => {
            Some(&*format!("no {program}").leak())
        }
        Ok(()) => None,
    };
    let name = format!("root::{name}");
    common::trial_if(
        reason.is_none(),
        "root",
        reason.unwrap_or_default(),
        name,
        test,
    )
}

/// Runs them: each has a runner or two of its own; more of them only wait for each other.
pub fn run(trials: Vec<Trial>) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(2));
    libtest_mimic::run(&arguments, trials).exit()
}

/// Which of the files is not there.
pub fn missing() -> Option<&'static str> {
    let missing = |name: &&&str| !beside(name).is_file();
    let name = super::FILES.iter().find(missing)?;
    Some(format!("no {name}: cargo build --workspace makes it").leak())
}

/// A command that is being put together, and that of the kernel, if it has a process of its
/// own ([`super::ELSEWHERE`]).
pub struct Runner(Command, Option<Box<Runner>>);

/// What a run came to.
#[derive(Debug)]
pub struct Told {
    pub status: i32,
    pub output: String,
    pub errors: String,
}

/// A run that goes on, and ends with this.
pub struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    seen: String,
    /// Ends after it.
    _kernel: Option<Box<Running>>,
}

impl Runner {
    pub fn new() -> Self {
        let mut runner = Self::command(&["run"]);
        runner.0.args(super::OPTIONS);
        if super::ELSEWHERE {
            static LAST: AtomicU8 = AtomicU8::new(0);
            let number = LAST.fetch_add(1, Ordering::Relaxed);
            let name = format!("rump-kernel-{}-{number}", std::process::id());
            let place = format!("unix:{}", std::env::temp_dir().join(name).display());
            runner.0.args(["--kernel", &place]);
            runner.1 = Some(Box::new(Self::kernel(&place)));
        }
        runner
    }

    /// With the kernel of another process that somebody else has started.
    pub fn elsewhere(place: &str) -> Self {
        let mut runner = Self::command(&["run"]);
        runner.0.args(super::OPTIONS).args(["--kernel", place]);
        runner
    }

    /// Instead of a runner, a kernel for runners.
    pub fn kernel(place: &str) -> Self {
        Self::command(&["kernel", "--listen", place])
    }

    fn command(arguments: &[&str]) -> Self {
        let mut command = Command::new("timeout");
        // A test that hangs must not be left behind.
        command.args(["--foreground", "-k", "5", "100"]);
        command.arg(Self::path()).args(arguments);
        command.stdin(Stdio::null());
        Self(command, None)
    }

    /// The command.
    pub fn path() -> PathBuf {
        beside("rump")
    }

    /// With an interface to Linux, which has the address 10.N.0.1/24, the kernel 10.N.0.2.
    pub fn outside(mut self, net: &Net) -> Self {
        let kernel = self.1.as_mut().map_or(&mut self.0, |kernel| &mut kernel.0);
        kernel.args(["--tap", &net.tap, "--address"]);
        kernel.arg(format!("{}/24", net.kernel));
        self
    }

    pub fn arguments<S: AsRef<OsStr>>(mut self, program: impl IntoIterator<Item = S>) -> Self {
        self.0.arg("--").args(program);
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// An option of the runner's; before the program.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.0.args([name, value]);
        self
    }

    pub fn more(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    /// This very program, in a role.
    pub fn role(mut self, role: &str) -> Self {
        self.0.env("RUMP_TEST_ROLE", role);
        let program = std::env::current_exe().unwrap_or_default();
        self.arguments([program])
    }

    /// Starts the kernel, if that is another process.
    fn begin(&mut self) -> Result<Option<Box<Running>>, Failed> {
        let Some(kernel) = self.1.take() else {
            return Ok(None);
        };
        let mut kernel = kernel.start()?;
        kernel.expect(" on unix:")?;
        Ok(Some(Box::new(kernel)))
    }

    pub fn output(mut self) -> Result<Told, Failed> {
        let _kernel = self.begin()?;
        let output = self.0.output()?;
        Ok(Told {
            status: status(output.status),
            output: String::from_utf8_lossy(&output.stdout).into(),
            errors: String::from_utf8_lossy(&output.stderr).into(),
        })
    }

    pub fn start(mut self) -> Result<Running, Failed> {
        let kernel = self.begin()?;
        self.0.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.0.spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Running {
            child,
            output,
            seen: String::new(),
            _kernel: kernel,
        })
    }
}

/// As a shell tells it.
fn status(status: ExitStatus) -> i32 {
    let signal = status.signal().map(|signal| 128 + signal);
    status.code().or(signal).unwrap_or(-1)
}

impl Running {
    /// Waits for a line that contains this.
    pub fn expect(&mut self, words: &str) -> Result<(), Failed> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                let mut errors = String::new();
                let stderr = self.child.stderr.take();
                stderr.ok_or("no errors")?.read_to_string(&mut errors)?;
                return Err(format!("no {words} in: {}{errors}", self.seen).into());
            }
            self.seen.push_str(&line);
            if line.contains(words) {
                return Ok(());
            }
        }
    }

    /// timeout(1) passes it on to the runner.
    pub fn signal(&self, signal: Signal) -> Result<(), Failed> {
        Ok(kill(Pid::from_raw(self.child.id() as i32), signal)?)
    }

    /// Waits for it.
    pub fn end(mut self) -> Result<Told, Failed> {
        let mut output = std::mem::take(&mut self.seen);
        self.output.read_to_string(&mut output)?;
        let mut errors = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut errors)?;
        }
        let status = status(self.child.wait()?);
        Ok(Told {
            status,
            output,
            errors,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.signal(Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// A TAP interface between Linux and a kernel.
pub struct Net {
    tap: String,
    pub linux: String,
    pub kernel: String,
}

impl Net {
    pub fn new() -> Result<Self, Failed> {
        static LAST: AtomicU8 = AtomicU8::new(30);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let net = Self {
            tap: format!("run{number}"),
            linux: format!("10.{number}.0.1"),
            kernel: format!("10.{number}.0.2"),
        };
        let Self { tap, linux, .. } = &net;
        common::netns::ip(&format!("tuntap add {tap} mode tap"))?;
        common::netns::ip(&format!("address add {linux}/24 dev {tap}"))?;
        common::netns::ip(&format!("link set {tap} up"))?;
        Ok(net)
    }
}
