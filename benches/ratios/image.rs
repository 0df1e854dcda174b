//! Images in QEMU: how large they are, the least memory that they need, how soon the program
//! begins beside one that is a minimal Linux guest's init, what they take of a CPU while they
//! wait, and what servers in them reach (`served`).
//!
//! Which kernel it is, the image says itself, on its console.

mod linux;
#[path = "../../tests/image/recipe.rs"]
mod recipe;
mod served;

use linux::Linux;

use crate::Outcome;
use crate::comparison::{Better, Harness, RUNS, Subject};
use rumprun_build::image::qemu::{Machine, Net};
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// The benchmarks here.
pub const NAMES: &[&str] = &[
    "image/hello-size",
    "image/hello-mem",
    "image/boot",
    "image/idle-cpu",
    "image/http-size",
    "image/http-mem",
    "image/http",
    "image/redis-get",
    "image/smp2",
];

pub use served::child;

/// What the program says first.
const HELLO: &str = "hello";
/// Memory of both guests, in MiB, where it is not what is measured.
const MEMORY: u32 = 192;
/// The least and the most memory that is tried.
const TRIED: (u32, u32) = (2, 64);
/// How long an image is watched while it does nothing.
const IDLE: Duration = Duration::from_secs(10);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs them.
pub fn image(harness: &mut Harness) -> Outcome {
    let made = Made::new();
    let hello = made.program("hello")?;
    let kernel = kernel(&hello)?;
    let subject = |name, unit| Subject::new(name, unit, Better::Less);
    let size = |name, image: &Path| -> Outcome {
        let size = std::fs::metadata(image)?.len() as f64 / 1e6;
        harness.write(&subject(name, "MB"), &kernel, Some(1), &[size], None)
    };
    size("image/hello-size", &hello)?;
    if harness.wants("image/http-size") || harness.wants("image/http-mem") {
        let http = made.program("http")?;
        size("image/http-size", &http)?;
        if harness.wants("image/http-mem") {
            let mut least = subject("image/http-mem", "MB");
            least.note = Some("QEMU's -m, in MiB, with a page asked for over virtio-net".into());
            let memory = served::least_memory(&http)?;
            harness.write(&least, &kernel, Some(1), &[memory], None)?;
        }
    }
    if harness.wants("image/hello-mem") {
        let mut least = subject("image/hello-mem", "MB");
        least.note = Some("QEMU's -m, in MiB, with the kernel's network stack booted".into());
        harness.write(&least, &kernel, Some(1), &[least_memory(&hello)?], None)?;
    }
    if harness.wants("image/boot") {
        let linux = Linux::hello(&made.folder)?;
        let (mut ours, mut rival) = (Vec::new(), Vec::new());
        for run in 0..=RUNS {
            let pair = (
                until_hello(&mut bare(MEMORY).command(&hello))?,
                until_hello(&mut linux.command())?,
            );
            // The first of each warms up.
            if run > 0 {
                ours.push(pair.0);
                rival.push(pair.1);
            }
        }
        let mut boot = subject("image/boot", "ms");
        boot.rival_is = Some("minimal Linux guest, same QEMU");
        boot.note = Some("from QEMU's start to the program's first line".into());
        harness.write(&boot, &kernel, Some(1), &ours, Some(&rival))?;
    }
    if harness.wants("image/idle-cpu") {
        let echo = made.program("echo")?;
        let runs = (0..3).map(|_| idle(&echo)).collect::<Result<Vec<_>>>()?;
        let mut cpu = subject("image/idle-cpu", "%");
        cpu.note = Some("of a host CPU, QEMU as a whole; a server that waits".into());
        harness.write(&cpu, &kernel, Some(2), &runs, None)?;
    }
    if served::NAMES.iter().any(|name| harness.wants(name)) {
        crate::tap::in_child("image", served::NAMES, harness)?;
    }
    Ok(())
}

/// Where images are made.
struct Made {
    folder: PathBuf,
}

impl Made {
    fn new() -> Self {
        let folder = crate::comparison::target().join("rumprun");
        Self { folder }
    }

    fn program(&self, name: &str) -> Result<PathBuf> {
        let recipe = recipe::of(name, fixture("Cargo.toml"), &[], &self.folder);
        Ok(recipe.make()?)
    }
}

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/image");
    folder.join(name)
}

/// A machine without a network.
fn bare(memory: u32) -> Machine {
    Machine {
        memory,
        net: Net::None,
        ..Machine::default()
    }
}

/// The version that the kernel prints.
fn kernel(image: &Path) -> Result<String> {
    let mut machine = bare(MEMORY);
    machine.line = machine.line.with("verbose", "1");
    let output = machine.command(image).stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().find_map(|line| {
        let from = line.find("NetBSD ").or_else(|| line.find("rump-lite "))?;
        let words: Vec<_> = line[from..].split_whitespace().take(2).collect();
        let [name, version] = words[..] else {
            return None;
        };
        let digit = version.starts_with(|c: char| c.is_ascii_digit());
        digit.then(|| format!("{name} {version}"))
    });
    version.ok_or_else(|| format!("the image tells no kernel:\n{text}").into())
}

/// The least memory with which it says hello and ends well, in MiB.
fn least_memory(image: &Path) -> Result<f64> {
    let runs = |memory| -> Result<bool> {
        let mut command = bare(memory).command(image);
        command.stderr(Stdio::null());
        let mut started = Started::new(&mut command)?;
        let said = started.hello(Duration::from_secs(20));
        Ok(said.is_ok())
    };
    least(runs)
}

/// The least memory with which it runs, by halving.
fn least(runs: impl Fn(u32) -> Result<bool>) -> Result<f64> {
    let (mut fails, mut works) = TRIED;
    if !runs(works)? {
        return Err(format!("it does not run in {works} MiB").into());
    }
    while works - fails > 1 {
        let middle = (works + fails) / 2;
        if runs(middle)? {
            works = middle;
        } else {
            fails = middle;
        }
    }
    Ok(works.into())
}

/// Milliseconds from a machine's start to its program's first line.
fn until_hello(command: &mut Command) -> Result<f64> {
    let start = Instant::now();
    Started::new(command)?.hello(Duration::from_secs(60))?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// A machine that runs, and is ended by dropping.
struct Started {
    child: Child,
    output: Option<ChildStdout>,
}

impl Started {
    fn new(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take();
        Ok(Self { child, output })
    }

    fn hello(&mut self, limit: Duration) -> Outcome {
        self.line(HELLO, limit)
    }

    /// Waits for a line that begins with this.
    fn line(&mut self, begins: &str, limit: Duration) -> Outcome {
        let begins = begins.to_string();
        self.wait(move |line| line.starts_with(&begins), limit)
    }

    /// Waits for a line with this in it.
    fn containing(&mut self, text: &str, limit: Duration) -> Outcome {
        let text = text.to_string();
        self.wait(move |line| line.contains(&text), limit)
    }

    fn wait(&mut self, is: impl Fn(&str) -> bool + Send + 'static, limit: Duration) -> Outcome {
        let output = self.output.take().ok_or("its output was read before")?;
        let (to, found) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output)
                .lines()
                .map_while(std::io::Result::ok);
            let mut all = String::new();
            for line in lines {
                if is(&line) {
                    let _ = to.send(Ok(()));
                }
                all += &line;
                all.push('\n');
            }
            let _ = to.send(Err(all));
        });
        match found.recv_timeout(limit) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(text)) => Err(format!("the machine has ended:\n{text}").into()),
            Err(_) => Err(format!("no answer within {limit:?}").into()),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How much of a host CPU a server takes that nobody asks anything, in percent.
fn idle(image: &Path) -> Result<f64> {
    let machine = Machine {
        cpus: 2,
        memory: MEMORY,
        ..Machine::default()
    };
    let mut started = Started::new(&mut machine.command(image))?;
    started.line("listening", Duration::from_secs(60))?;
    std::thread::sleep(Duration::from_secs(2));
    let before = ticks(started.child.id())?;
    std::thread::sleep(IDLE);
    let used = ticks(started.child.id())? - before;
    let second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.unwrap_or(100);
    Ok(used as f64 / second as f64 / IDLE.as_secs_f64() * 100.0)
}

/// What a process has used, user and system (proc_pid_stat(5), fields 14 and 15).
fn ticks(process: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let rest = text.rsplit_once(')').ok_or("a process without a name")?.1;
    let fields: Vec<_> = rest.split_whitespace().collect();
    let [user, system] = [11, 12].map(|at| fields.get(at).and_then(|word| word.parse().ok()));
    Ok(user.unwrap_or(0u64) + system.unwrap_or(0))
}
