//! Images in QEMU, for the test files `image_*.rs`: made once for all of them, from the
//! programs in `tests/fixtures/image`, with the kernel of this build in them.
//!
//! Where QEMU is not installed, trials are skipped with that reason;
//! `RUMP_TEST_REQUIRE=qemu` makes them fail instead.

#![allow(dead_code)]

pub mod cables;
pub mod echo;
pub mod ext2;
pub mod iso;
pub mod recipe;
pub mod testbed;

pub use libtest_mimic::Failed;
use libtest_mimic::{Arguments, Trial};
use rump_sys::kernel::{KIND, Kind};
use rumprun_build::image::Recipe;
use rumprun_build::image::object::Source;
use rumprun_build::image::qemu::{self, Machine, Net};
use rumprun_build::image::service::{Made, Service};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// What a test comes to.
pub type Outcome = Result<(), Failed>;
/// A test and its name.
pub type Test = (&'static str, fn() -> Outcome);

/// How long a machine may be silent: TCG on a busy host is slow.
fn patience() -> Duration {
    let long = std::env::var_os("RUMP_TEST_LONG").is_some();
    Duration::from_secs(if long { 600 } else { 100 })
}

/// Runs the tests, one after the other: each has a machine.
pub fn run(tests: &[Test]) -> ! {
    run_trials(
        tests
            .iter()
            .map(|(name, test)| trial(*name, *test))
            .collect(),
    )
}

/// The same.
pub fn run_trials(trials: Vec<Trial>) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit()
}

/// A trial with a machine.
pub fn trial(name: impl Into<String>, test: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
    trial_if(true, "", "", name, test)
}

/// A trial with a machine, which can run if `possible`; otherwise `reason` says why not, and
/// `need` is its word in `RUMP_TEST_REQUIRE`.
pub fn trial_if(
    possible: bool,
    need: &'static str,
    reason: &str,
    name: impl Into<String>,
    test: impl FnOnce() -> Outcome + Send + 'static,
) -> Trial {
    let name = name.into();
    let (need, reason) = if KIND == Kind::None {
        ("netbsd", "no rump kernel in this build")
    } else if !has_qemu() {
        ("qemu", "qemu-system-x86_64 is not installed")
    } else if !possible {
        (need, reason)
    } else {
        return Trial::test(name, test);
    };
    let list = std::env::var("RUMP_TEST_REQUIRE").unwrap_or_default();
    if list.split(',').any(|word| word.trim() == need) {
        let message = format!("RUMP_TEST_REQUIRE={need}: {reason}");
        return Trial::test(name, move || Err(message.into()));
    }
    println!("skipped: {name}: {reason}");
    Trial::test(name, test).with_ignored_flag(true)
}

fn has_qemu() -> bool {
    let qemu = std::env::var_os("QEMU").unwrap_or_else(|| "qemu-system-x86_64".into());
    let version = Command::new(qemu).arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// Where everything is made: kept between runs, and shared by the test files.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("rumprun")
}

/// The image of one of the programs.
pub fn image(name: &str) -> Result<PathBuf, Failed> {
    let manifest = fixtures().join("image/Cargo.toml");
    made(name, manifest)
}

/// The same with these components in its kernel, and beginning there in memory.
pub fn image_with(name: &str, components: &[&str], base: Option<u64>) -> Result<PathBuf, Failed> {
    let mut recipe = recipe::of(name, fixtures().join("image/Cargo.toml"), &[], &folder());
    recipe.components = components.iter().map(|name| name.to_string()).collect();
    recipe.program.base = base;
    let apart = components.join("-");
    let apart = base.map_or(apart.clone(), |base| format!("{apart}-{base:x}"));
    made_apart(&format!("{name}-with-{apart}"), recipe)
}

/// Makes one under a name of its own: others have that which it is made under.
fn made_apart(apart: &str, recipe: Recipe) -> Result<PathBuf, Failed> {
    once(apart, || {
        let place = folder().join(apart);
        let image = recipe.make()?;
        std::fs::copy(&image, &place).map_err(|source| rumprun_build::Error::Io {
            action: "copying",
            path: image,
            source,
        })?;
        Ok(place)
    })
}

/// The image of a program with dependencies, whose versions are those of this workspace.
pub fn image_with_packages(name: &str) -> Result<PathBuf, Failed> {
    let project = folder().join("project").join(name);
    std::fs::create_dir_all(project.join("src"))?;
    for file in ["Cargo.toml", "src/main.rs"] {
        std::fs::copy(
            fixtures().join("image-tokio").join(file),
            project.join(file),
        )?;
    }
    let lock = project.join("Cargo.lock");
    if !lock.exists() {
        let versions = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
        std::fs::copy(versions, lock)?;
    }
    made(name, project.join("Cargo.toml"))
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The image of one of this project's examples, with the versions of this workspace: `features`
/// are those of the package in `tests/fixtures/image-examples`.
pub fn example(name: &str, features: &[&str]) -> Result<PathBuf, Failed> {
    made_with(name, examples()?, features)
}

/// The same with these drivers in its kernel.
pub fn example_with(name: &str, features: &[&str], drivers: &[&str]) -> Result<PathBuf, Failed> {
    let mut recipe = recipe::of(name, examples()?, features, &folder());
    recipe.drivers = drivers.iter().map(|name| name.to_string()).collect();
    made_apart(&format!("{name}-with-{}", drivers.join("-")), recipe)
}

/// The manifest of the package of examples.
fn examples() -> Result<PathBuf, Failed> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = folder().join("project/examples");
    std::fs::create_dir_all(&project)?;
    let manifest = std::fs::read_to_string(fixtures().join("image-examples/Cargo.toml"))?;
    let manifest = manifest.replace("../../..", &checkout.to_string_lossy());
    let to = project.join("Cargo.toml");
    if std::fs::read_to_string(&to).ok().as_ref() != Some(&manifest) {
        std::fs::write(&to, manifest)?;
    }
    let lock = project.join("Cargo.lock");
    if !lock.exists() {
        std::fs::copy(checkout.join("Cargo.lock"), lock)?;
    }
    Ok(to)
}

/// The image of a service, as `cargo rumprun service` makes it, with these drivers of NetBSD's.
pub fn service(service: Service, drivers: &[&str]) -> Result<PathBuf, Failed> {
    let drivers: Vec<_> = drivers.iter().map(|name| name.to_string()).collect();
    let domain = [vec![service.domain()], drivers.clone()].concat().join("_");
    let made = Made {
        service,
        domain: domain.clone(),
        source: Source::Checkout(env!("CARGO_MANIFEST_DIR").into()),
        drivers,
        profile: "release".into(),
        folder: folder(),
    };
    once(&domain, || made.make())
}

fn made(name: &str, manifest: PathBuf) -> Result<PathBuf, Failed> {
    made_with(name, manifest, &[])
}

fn made_with(name: &str, manifest: PathBuf, features: &[&str]) -> Result<PathBuf, Failed> {
    let make = || recipe::of(name, manifest, features, &folder()).make();
    once(name, make)
}

fn once(
    name: &str,
    make: impl FnOnce() -> rumprun_build::Result<PathBuf>,
) -> Result<PathBuf, Failed> {
    static IMAGES: OnceLock<Mutex<HashMap<String, PathBuf>>> = OnceLock::new();
    let mut images = IMAGES.get_or_init(Mutex::default).lock()?;
    if let Some(image) = images.get(name) {
        return Ok(image.clone());
    }
    let image = make()?;
    images.insert(name.into(), image.clone());
    Ok(image)
}

/// A machine without a network, that gives its program these arguments.
pub fn machine(arguments: &[&str]) -> Machine {
    let mut machine = Machine {
        net: Net::None,
        ..Machine::default()
    };
    machine.line.arguments = arguments.iter().map(|word| word.to_string()).collect();
    machine
}

/// Connects to a port of this host that leads to a machine. QEMU has room for one connection
/// that it has not taken yet: of several at once Linux would hold some up for seconds, and
/// reset others.
pub fn connect(port: u16) -> std::io::Result<TcpStream> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    std::thread::sleep(Duration::from_millis(50));
    Ok(stream)
}

/// A machine that runs. It ends with this.
pub struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    text: String,
    patience: Duration,
}

impl Running {
    /// Starts it.
    pub fn start(machine: &Machine, image: &Path) -> Result<Self, Failed> {
        Self::spawn(machine.command(image))
    }

    /// Starts a machine whose console is the standard output of this command.
    pub fn spawn(mut command: Command) -> Result<Self, Failed> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let (to, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output
                .read_until(b'\n', &mut line)
                .is_ok_and(|length| length > 0)
            {
                let text = String::from_utf8_lossy(&line).into_owned();
                line.clear();
                if to.send(text).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            lines,
            text: String::new(),
            patience: patience(),
        })
    }

    /// It may be silent for so much longer.
    pub fn slower_by(mut self, time: Duration) -> Self {
        self.patience += time;
        self
    }

    /// Waits for a line with this in it.
    pub fn wait_for(&mut self, text: &str) -> Outcome {
        let end = Instant::now() + self.patience;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.text.push_str(&line);
                    if line.contains(text) {
                        return Ok(());
                    }
                }
                Err(_) => return Err(format!("no `{text}` in:\n{}", self.text).into()),
            }
        }
    }

    /// What it said up to what was waited for last.
    pub fn heard(&self) -> &str {
        &self.text
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        let rest: String = self.lines.try_iter().collect();
        format!("{}{rest}", self.text)
    }

    /// Waits for its end: the status, and all that it said.
    pub fn end(self) -> Result<(Option<u8>, String), Failed> {
        let (code, text) = self.end_of_qemu()?;
        Ok((qemu::of_machine(code), text))
    }

    /// The same, with the status of QEMU's process.
    pub fn end_of_qemu(mut self) -> Result<(Option<i32>, String), Failed> {
        let end = Instant::now() + self.patience;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.text.push_str(&line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(format!("the machine does not end:\n{}", self.text).into());
                }
            }
        }
        let status = self.child.wait()?;
        Ok((status.code(), std::mem::take(&mut self.text)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program in a machine: its status, and all that the machine said.
pub fn output(machine: &Machine, program: &str) -> Result<(Option<u8>, String), Failed> {
    Running::start(machine, &image(program)?)?.end()
}

/// Says what is not as expected, with all that the machine said.
pub fn check(is: bool, what: &str, text: &str) -> Outcome {
    if is {
        Ok(())
    } else {
        Err(format!("{what}:\n{text}").into())
    }
}
