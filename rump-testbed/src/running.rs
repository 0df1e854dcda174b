//! A guest that runs.

use crate::error::{Console, Error};
use crate::ports::{Failure, Listeners, Ports};
use crate::qemu::Qemu;
use crate::report::{Report, panic_message};
use crate::shell;
use std::process::Command;
use std::time::{Duration, Instant};

/// How much longer than the command the guest may take to tell what became of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long QEMU may take to end after the guest's last word.
const ENDING: Duration = Duration::from_millis(500);
/// What `timeout -s KILL` of the guest's first process makes of a command.
const KILLED: u8 = 128 + 9;

/// A guest that runs, until this is dropped.
#[derive(Debug)]
pub struct Running {
    qemu: Qemu,
    ports: Ports,
    folder: tempfile::TempDir,
    boot: Report,
}

impl Running {
    pub(crate) fn start(
        qemu: Qemu,
        folder: tempfile::TempDir,
        listeners: Listeners,
        limit: Duration,
    ) -> Result<Self, Error> {
        let start = Instant::now();
        let ports = listeners.accept(limit, || qemu.ended());
        let mut ports = match ports {
            Ok(ports) => ports,
            Err(failure) => return Err(told(failure, "starting", limit, &qemu, &folder)),
        };
        // The first answer comes when the guest is up.
        let left = limit.saturating_sub(start.elapsed());
        let answer = ports.command(":", Duration::from_secs(1), left, || qemu.ended());
        match answer {
            Ok((came, status)) => Ok(Self {
                boot: report(came, status, start.elapsed(), limit),
                qemu,
                ports,
                folder,
            }),
            Err(failure) => Err(told(failure, "starting", limit, &qemu, &folder)),
        }
    }

    /// The number of QEMU's process.
    pub fn id(&self) -> u32 {
        self.qemu.id()
    }

    /// What its kernel has logged when it started, and how long that took.
    pub fn boot_report(&self) -> &Report {
        &self.boot
    }

    /// Has it run a command, of which the program, the arguments, the environment and the
    /// folder count. Nothing stands behind its standard input. It is ended when it takes
    /// longer than the limit, which is in whole seconds.
    ///
    /// # Errors
    /// The guest was lost. That the command fails is none.
    pub fn run(&mut self, command: &Command, limit: Duration) -> Result<Report, Error> {
        let line = shell::line(command).map_err(Error::Command)?;
        self.line(&line, limit)
    }

    /// Has it run a line of its shell (busybox).
    ///
    /// # Errors
    /// The guest was lost, or this is more than a line.
    pub fn shell(&mut self, line: &str, limit: Duration) -> Result<Report, Error> {
        if line.contains('\n') {
            let text = "a line of shell has no line breaks";
            return Err(Error::Command(std::io::Error::other(text)));
        }
        self.line(line, limit)
    }

    /// Gives the device at a PCI address to a driver of Linux's, as
    /// [`inside::bind`](crate::inside::bind) does it in the guest.
    ///
    /// # Errors
    /// The guest was lost, or the driver does not take the device.
    pub fn bind(&mut self, address: &str, driver: &str) -> Result<(), Error> {
        let quoted = |text: &str| shell::word(text.as_ref()).map_err(Error::Command);
        let (at, name) = (quoted(address)?, quoted(driver)?);
        let line = format!(
            "cd /sys/bus/pci/devices/{at} && echo {name} >driver_override && \
             {{ [ ! -e driver ] || echo {at} >driver/unbind; }} && \
             echo {at} >/sys/bus/pci/drivers_probe && \
             [ \"$(basename \"$(readlink driver)\")\" = {name} ]"
        );
        let report = self.line(&line, PATIENCE)?;
        if report.success() {
            return Ok(());
        }
        Err(Error::Bind {
            address: address.into(),
            driver: driver.into(),
            report: Box::new(report),
        })
    }

    fn line(&mut self, line: &str, limit: Duration) -> Result<Report, Error> {
        let start = Instant::now();
        let qemu = &self.qemu;
        let answer = self.ports.command(line, limit, PATIENCE, || qemu.ended());
        match answer {
            Ok((came, status)) => Ok(report(came, status, start.elapsed(), limit)),
            Err(failure) => {
                let doing = format!("running `{line}`");
                Err(told(failure, &doing, limit + PATIENCE, qemu, &self.folder))
            }
        }
    }

    /// What it and QEMU have said so far beside the answers.
    pub fn console(&self) -> Console {
        console(&self.folder)
    }

    /// Ends it, and tells whether that went well.
    ///
    /// # Errors
    /// QEMU could not be ended.
    pub fn end(mut self) -> Result<(), Error> {
        self.qemu.end().map(|_| ()).map_err(Error::Start)
    }
}

fn report(came: [Vec<u8>; 3], status: u8, time: Duration, limit: Duration) -> Report {
    let [stdout, stderr, log] = came;
    Report {
        status,
        timed_out: status == KILLED && time >= limit,
        stdout,
        stderr,
        kernel_log: String::from_utf8_lossy(&log).into_owned(),
        time,
    }
}

fn console(folder: &tempfile::TempDir) -> Console {
    let read = |name| {
        let bytes = std::fs::read(folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Console {
        guest: read("console"),
        qemu: read("qemu"),
    }
}

/// The error for what has happened; a guest that has panicked is about to end.
fn told(
    failure: Failure,
    doing: &str,
    limit: Duration,
    qemu: &Qemu,
    folder: &tempfile::TempDir,
) -> Error {
    let start = Instant::now();
    while matches!(failure, Failure::Ended) && !qemu.ended() && start.elapsed() < ENDING {
        std::thread::sleep(Duration::from_millis(10));
    }
    let console = console(folder);
    let doing = doing.to_string();
    if let Some(message) = panic_message(&console.guest) {
        return Error::Panic {
            doing,
            message: message.trim_end().to_string(),
            console,
        };
    }
    match failure {
        Failure::Ended => Error::Ended { doing, console },
        Failure::Late => Error::Hang {
            doing,
            limit,
            console,
        },
        Failure::Wrong(what) => Error::Port {
            doing,
            why: what.into(),
        },
        Failure::Io(error) => Error::Port {
            doing,
            why: error.to_string(),
        },
    }
}
