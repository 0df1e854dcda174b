//! The network server over a TAP interface or a card: this program starts itself as one.

#![allow(dead_code)]

use super::netns::ip;
use rump::iface::{Backend, card};
use rump_server::config::CardPlan;
use rump_server::messages::{Reply, Request, Status};
use rump_server::{link, supervisor, worker};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const SERVER: &str = "as-network-server";
const WORKER: &str = "as-network-server-worker";

/// Is a server, or its worker, if this process was started as one.
pub fn run_if_asked() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ran = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [SERVER, file] => {
            supervisor::run(file.as_ref(), &[WORKER]).map_err(|error| error.to_string())
        }
        [WORKER] => {
            let file = std::io::stdin().as_fd().try_clone_to_owned();
            let ran = file.and_then(|file| worker::run_with_cards(link::Link::of(file), &cards));
            ran.map_err(|error| format!("worker: {error}"))
        }
        _ => return None,
    };
    Some(ran.map_or_else(
        |error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    ))
}

/// Cards of a worker's.
fn cards(wanted: &[CardPlan]) -> std::io::Result<Vec<Box<dyn Backend>>> {
    card::boot(
        wanted
            .iter()
            .map(|card| (&*card.address, card.driver.as_deref())),
    )
}

/// A running server.
pub struct Server {
    process: Child,
    folder: PathBuf,
}

impl Server {
    /// On a TAP interface of this name, where Linux has these addresses; `hosts` is a part of
    /// its configuration.
    pub fn start(tap: &str, linux: &[&str], hosts: &str) -> Result<Self, Box<dyn Error>> {
        let server = Self::over(&format!("tap = \"{tap}\""), hosts)?;
        for address in linux {
            let at_once = if address.contains(':') { "nodad" } else { "" };
            ip(&format!("address add {address} dev {tap} {at_once}"))?;
        }
        ip(&format!("link set {tap} up"))?;
        Ok(server)
    }

    /// On what these lines of its configuration say, with these hosts.
    pub fn over(nic: &str, hosts: &str) -> Result<Self, Box<dyn Error>> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rump-served-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("server.toml");
        let place = folder.display();
        let text = format!(
            "socket = \"{place}/s\"\ncontrol = \"{place}/c\"\nuser = \"nobody\"\n\
             [[nic]]\nname = \"wan\"\n{nic}\n{hosts}"
        );
        std::fs::write(&file, text)?;
        let process = Command::new(std::env::current_exe()?)
            .arg(SERVER)
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()?;
        let server = Self { process, folder };
        let start = Instant::now();
        while let Err(error) = server.request(&Request::List) {
            if start.elapsed() > Duration::from_secs(30) {
                return Err(format!("the server does not start: {error}").into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// Where applications connect.
    pub fn place(&self) -> PathBuf {
        self.folder.join("s")
    }

    /// Asks for something.
    pub fn request(&self, request: &Request) -> Result<Reply, Box<dyn Error>> {
        let mut stream = UnixStream::connect(self.folder.join("c"))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        match serde_json::from_str(&line)? {
            Reply::Error(what) => Err(what.into()),
            reply => Ok(reply),
        }
    }

    /// Who is there.
    pub fn status(&self) -> Result<Status, Box<dyn Error>> {
        match self.request(&Request::List)? {
            Reply::Status(status) => Ok(status),
            other => Err(format!("{other:?}").into()),
        }
    }

    /// Kills the worker.
    pub fn kill_worker(&self) -> Result<(), Box<dyn Error>> {
        let worker = i32::try_from(self.status()?.worker)?;
        let signal = nix::sys::signal::Signal::SIGKILL;
        Ok(nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(worker),
            signal,
        )?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.request(&Request::Stop);
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
