//! The machine that this program runs on.

use super::bounded::{Answer, Failure, Limits, run};
use super::{Machine, Question, device, guest, qemu, rust, xen};
use crate::doctor::finding::{Finding, first_line, telling_line};
use crate::doctor::item::Item;
use crate::doctor::variables::Variables;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The longest answer that is read, in bytes. QEMU's list of devices has 20,000.
const OUTPUT: usize = 1 << 20;

/// This machine.
pub struct Here {
    variables: Variables,
    limits: Limits,
}

impl Here {
    /// With the environment of a build, and this much time for each program.
    pub fn new(variables: Variables, time: Duration) -> Self {
        let limits = Limits {
            time,
            output: OUTPUT,
        };
        Self { variables, limits }
    }

    /// A command with the environment of a build and no input.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.envs(self.variables.added()).stdin(Stdio::null());
        command
    }

    /// Runs it within the limits. A failure is a finding.
    pub fn run(&self, command: &mut Command) -> Result<Answer, Finding> {
        let name = command.get_program().to_string_lossy().into_owned();
        run(command, self.limits).map_err(|failure| {
            let text = format!("`{name}` {failure}");
            match failure {
                Failure::Start(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    Finding::missing(format!("`{name}` is not there"))
                }
                _ => Finding::wrong(text),
            }
        })
    }

    /// Runs it, and takes it for a failure if its exit status says so.
    pub fn succeed(&self, command: &mut Command) -> Result<Answer, Finding> {
        let answer = self.run(command)?;
        if answer.status.success() {
            return Ok(answer);
        }
        Err(Finding::wrong(format!(
            "`{}` failed ({}): {}",
            command.get_program().to_string_lossy(),
            answer.status,
            telling_line(if answer.err.is_empty() {
                &answer.out
            } else {
                &answer.err
            }),
        )))
    }

    /// A variable of the build's environment.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name)
    }

    /// The first line that a program says about itself.
    fn version(&self, program: &str, arguments: &[&str]) -> Finding {
        match self.succeed(self.command(program).args(arguments)) {
            Ok(answer) => match first_line(&answer.out) {
                line if line.is_empty() => {
                    Finding::wrong(format!("`{program} {}` says nothing", arguments.join(" ")))
                }
                line => Finding::found(line),
            },
            Err(finding) => finding,
        }
    }

    /// Has this program ask for a thing in a process of its own.
    fn ask(&self, item: Item, question: Question) -> Finding {
        if let Some(problem) = self.variables.problem() {
            return Finding::wrong(format!("cargo cannot read its configuration: {problem}"));
        }
        let name = clap::ValueEnum::to_possible_value(&question).expect("none is skipped");
        // Temporary files of a process that is ended go with its folder.
        let prepared = std::env::current_exe().and_then(|own| Ok((own, tempfile::tempdir()?)));
        let (own, scratch) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Finding::wrong(format!("it cannot be asked for ({error})")),
        };
        let mut command = self.command(own);
        command
            .args(["doctor-ask", name.get_name()])
            .env("TMPDIR", scratch.path());
        let asking = format!("asking for {}", item.name());
        let answer = match run(&mut command, self.limits) {
            Ok(answer) => answer,
            Err(failure) => return Finding::wrong(format!("{asking} {failure}")),
        };
        let last = answer.out.trim_ascii().rsplit(|byte| *byte == b'\n').next();
        match last.map(serde_json::from_slice::<Finding>) {
            Some(Ok(finding)) => Finding::new(finding.status, &finding.detail),
            _ => Finding::wrong(format!(
                "{asking} failed ({}): {}",
                answer.status,
                telling_line(&answer.err)
            )),
        }
    }
}

impl Machine for Here {
    fn find(&self, item: Item) -> Finding {
        let root = Path::new("/");
        match item {
            Item::Cargo => self.version("cargo", &["--version"]),
            Item::Rustc => rust::version(self),
            Item::RustLink => rust::link(self),
            Item::RustLld => rust::lld(self),
            Item::RustTarget => rust::bare_target(self),
            Item::Compiler => self.ask(item, Question::Compiler),
            Item::Ar => {
                let ar = self.variable("AR").unwrap_or_else(|| "ar".into());
                self.version(&ar, &["--version"])
            }
            Item::GnuLd => self.version("ld.bfd", &["--version"]),
            Item::Settings => self.ask(item, Question::Settings),
            Item::Tree => self.ask(item, Question::Tree),
            Item::Prefix => self.ask(item, Question::Prefix),
            Item::Bmake => self.ask(item, Question::Bmake),
            Item::Libclang => self.ask(item, Question::Libclang),
            Item::Ip => self.version("ip", &["-V"]),
            Item::Tun => device::opens(&root.join("dev/net/tun")),
            Item::Namespace => self.ask(item, Question::Namespace),
            Item::TapVeth => self.ask(item, Question::TapVeth),
            Item::Iperf3 => self.version("iperf3", &["--version"]),
            Item::Tshark => self.version("tshark", &["--version"]),
            Item::Qemu => self.version(qemu::PROGRAM, &["--version"]),
            Item::QemuDevices => qemu::devices(self),
            Item::Kvm => qemu::kvm(self),
            Item::GuestKernel => guest::kernel(&guest::roots(self), "vfio-pci"),
            Item::GuestDrivers => guest::kernel(&guest::roots(self), "e1000e"),
            Item::Busybox => guest::busybox(self),
            Item::Vfio => device::opens(&root.join("dev/vfio/vfio")),
            Item::IommuGroups => device::iommu_groups(root),
            Item::XenPackages => xen::packages(self),
            Item::Dpkg => self.version("dpkg", &["--version"]),
            Item::Gzip => self.version("gzip", &["--version"]),
            Item::Xz => self.version("xz", &["--version"]),
        }
    }
}
