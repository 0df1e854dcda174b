//! `rump server` over a TAP interface, in the network namespace of this process.

#![allow(dead_code)]

use super::common::netns;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::error::Error;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The command, which `cargo build` makes beside the tests.
pub fn command() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let folder = test.ancestors().nth(2).map(PathBuf::from);
    folder.unwrap_or_default().join("rump")
}

/// A server that runs, until it is dropped.
pub struct Real {
    child: Child,
    folder: PathBuf,
}

impl Real {
    /// One for `10.8.N.2` and `fd00:8:N::2`; Linux is `10.8.N.1`, and `fd00:8:N::1`.
    pub fn of(net: u8) -> Result<Self, Box<dyn Error>> {
        let folder = std::env::temp_dir().join(format!("rump-real-{}-{net}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let config = format!(
            "socket = \"{0}/sock\"\ncontrol = \"{0}/ctl\"\n\
             [[nic]]\nname = \"card\"\ntap = \"real{net}\"\n\
             [[host]]\nname = \"host\"\nmac = \"02:00:00:08:{net:02x}:02\"\n\
             addresses = [\"10.8.{net}.2/24\", \"fd00:8:{net}::2/64\"]\n",
            folder.display()
        );
        std::fs::write(folder.join("server.toml"), config)?;
        let child = Command::new(command())
            .args(["server", "--config"])
            .arg(folder.join("server.toml"))
            .stdin(Stdio::null())
            .spawn()?;
        let mut real = Self { child, folder };
        real.wait("the server is there", |real| real.place().exists())?;
        netns::ip(&format!("address add 10.8.{net}.1/24 dev real{net}"))?;
        netns::ip(&format!(
            "address add fd00:8:{net}::1/64 dev real{net} nodad"
        ))?;
        netns::ip(&format!("link set real{net} up"))?;
        real.wait("there is a worker", |real| real.worker().is_some())?;
        Ok(real)
    }

    pub fn place(&self) -> PathBuf {
        self.folder.join("sock")
    }

    fn wait(&mut self, what: &str, happened: impl Fn(&Self) -> bool) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        while !happened(self) {
            if self.child.try_wait()?.is_some() || start.elapsed() > Duration::from_secs(20) {
                return Err(what.into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// The process that frames go through.
    fn worker(&self) -> Option<i32> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// Kills the worker; the server starts another one.
    pub fn kill(&mut self) -> Result<(), Box<dyn Error>> {
        let worker = self.worker().ok_or("no worker")?;
        kill(Pid::from_raw(worker), Signal::SIGKILL)?;
        self.wait("another worker", |real| {
            real.worker().is_some_and(|other| other != worker)
        })
    }

    /// Has another worker take over.
    pub fn upgrade(&self) -> Result<(), Box<dyn Error>> {
        self.ctl(&["upgrade"]).map(drop)
    }

    /// `rump ctl` for this server.
    pub fn ctl_command(&self, arguments: &[&str]) -> Command {
        let mut ctl = Command::new(command());
        ctl.args(["ctl", "--control"])
            .arg(self.folder.join("ctl"))
            .args(arguments);
        ctl
    }

    /// What it prints; the error is what it prints then.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
        let output = self.ctl_command(arguments).output()?;
        if output.status.success() {
            Ok(String::from_utf8(output.stdout)?)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into())
        }
    }

    /// Waits until it has ended by itself; whether it did so in order.
    pub fn ended(&mut self) -> Result<bool, Box<dyn Error>> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            if start.elapsed() > Duration::from_secs(20) {
                return Err("the server has not ended".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        );
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
