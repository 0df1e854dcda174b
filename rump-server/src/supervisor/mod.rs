//! The supervisor: owns all descriptors, and has a worker run.
//!
//! It opens the NICs and sockets, then gives up its privileges, and from then on only waits:
//! for `rump ctl`, and for the worker to end. Frames never come near it, so what they can do
//! ends the worker at worst. It looks at nothing that an application has written.
//!
//! | module | is |
//! |---|---|
//! | `open` | NICs, sockets, privileges |
//! | `children` | starting workers, and talking to them |
//! | `ctl` | what `rump ctl` asks for |

mod children;
mod ctl;
mod open;

use crate::config::{self, Plan};
use children::Child;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration.
    #[error("{0}")]
    Config(#[from] config::Error),
    /// A NIC cannot be opened.
    #[error(
        "NIC {name}: {source}; root, or CAP_NET_ADMIN for TAP and CAP_NET_RAW for packet sockets, may open it; a card is to have vfio-pci"
    )]
    Nic {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody can connect.
    #[error("{}: {source}; its folder must be there, and no other server", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It would still be root.
    #[error("giving up privileges: {0}")]
    Privileges(io::Error),
    /// Something else.
    #[error("{what}: {source}")]
    Other {
        /// What it is about.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

fn other(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Other { what, source }
}

/// A worker that lives shorter than this has died of what it does first.
const SHORT: Duration = Duration::from_millis(100);
/// So many that die in a row are put in place at once; after each further one is waited longer.
const AT_ONCE: u32 = 3;
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(1);

/// What outlives the worker.
struct Kept {
    plan: Plan,
    ledger: std::fs::File,
    listener: OwnedFd,
    nics: Vec<Vec<OwnedFd>>,
    arguments: Vec<String>,
}

struct Supervisor {
    kept: Kept,
    control: UnixListener,
    clients: Vec<UnixStream>,
    worker: Option<Child>,
    starts: u64,
    /// Workers that died in a row, and when the next is to be started.
    failures: u32,
    next: Instant,
}

/// Runs a server by a configuration file, until it is told to end. The worker is this program
/// with these arguments.
///
/// # Errors
/// [`Error`]
pub fn run(file: &Path, arguments: &[&str]) -> Result<(), Error> {
    let plan = config::read(file)?;
    // Workers, and their threads, have it from here.
    rump_hyper::linux::short_turns();
    // Before there are other threads, so that they come here alone.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    let blocked = signals.thread_block().and_then(|()| {
        SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
    });
    let signals = blocked.map_err(|errno| other("signals")(errno.into()))?;
    open::raise_limit().map_err(other("the limit of descriptors"))?;
    let nics = plan.nics.iter().map(|nic| open::nic(nic, plan.user));
    let nics = nics.collect::<Result<_, _>>()?;
    let socket = |path: &PathBuf, source| Error::Socket {
        path: path.clone(),
        source,
    };
    let listener = open::listen(&plan.socket).map_err(|error| socket(&plan.socket, error))?;
    let control = open::control(&plan.control, plan.user);
    let control = control.map_err(|error| socket(&plan.control, error))?;
    let ledger = crate::ledger::make().map_err(other("the ledger"))?;
    open::drop_privileges(plan.user).map_err(Error::Privileges)?;
    let mut supervisor = Supervisor {
        kept: Kept {
            plan,
            ledger,
            listener,
            nics,
            arguments: arguments.iter().map(ToString::to_string).collect(),
        },
        control,
        clients: Vec::new(),
        worker: None,
        starts: 0,
        failures: 0,
        next: Instant::now(),
    };
    supervisor.start();
    println!(
        "rump server: listening on {}",
        supervisor.kept.plan.socket.display()
    );
    supervisor.serve(&signals);
    Ok(())
}

impl Supervisor {
    fn serve(&mut self, signals: &SignalFd) {
        loop {
            let ready = self.wait(signals);
            if ready[0] {
                self.stop();
                return;
            }
            if ready[1]
                && let Ok((client, _)) = self.control.accept()
            {
                self.clients.push(client);
            }
            if ready[2] {
                self.hear_worker();
            }
            for index in (0..ready.len() - 3).rev().filter(|index| ready[index + 3]) {
                let client = self.clients.remove(index);
                match self.client(client) {
                    ctl::Next::Keep(client) => self.clients.push(client),
                    ctl::Next::Drop => {}
                    ctl::Next::Stop => return self.stop(),
                }
            }
            if self.worker.is_none() && self.next <= Instant::now() {
                self.start();
            }
        }
    }

    fn wait(&self, signals: &SignalFd) -> Vec<bool> {
        let worker = self.worker.as_ref().map(|worker| worker.link.as_fd());
        let mut all: Vec<BorrowedFd<'_>> = vec![signals.as_fd(), self.control.as_fd()];
        // Without a worker, what never tells anything stands in its place.
        all.push(worker.unwrap_or(self.kept.ledger.as_fd()));
        all.extend(self.clients.iter().map(AsFd::as_fd));
        let mut all: Vec<PollFd<'_>> = all
            .into_iter()
            .enumerate()
            .map(|(index, file)| {
                let absent = index == 2 && worker.is_none();
                PollFd::new(
                    file,
                    if absent {
                        PollFlags::empty()
                    } else {
                        PollFlags::POLLIN
                    },
                )
            })
            .collect();
        let time = match &self.worker {
            Some(_) => PollTimeout::NONE,
            None => {
                let left = self.next.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            }
        };
        let _ = poll(&mut all, time);
        all.iter().map(|entry| entry.any() == Some(true)).collect()
    }

    /// Starts a worker, now or, if that fails, later.
    fn start(&mut self) {
        self.starts += 1;
        match Child::start(&self.kept, None, None) {
            Ok(child) => self.worker = Some(child),
            Err(error) => {
                eprintln!("rump server: a worker does not start: {error}");
                self.failed();
            }
        }
    }

    fn hear_worker(&mut self) {
        let Some(worker) = &self.worker else { return };
        if worker.link.receive::<crate::messages::FromWorker>().is_ok() {
            return;
        }
        if let Some(mut worker) = self.worker.take() {
            let lived = worker.since.elapsed();
            eprintln!(
                "rump server: the worker has ended ({}) after {lived:?}",
                worker.status()
            );
            if lived > SHORT {
                self.failures = 0;
            }
            self.failed();
        }
    }

    fn failed(&mut self) {
        self.failures += 1;
        let wait = match self.failures.checked_sub(AT_ONCE) {
            None | Some(0) => Duration::ZERO,
            Some(more) => (Duration::from_millis(10) * 2_u32.saturating_pow(more)).min(LONGEST),
        };
        self.next = Instant::now() + wait;
    }

    fn stop(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            worker.stop();
        }
        // After privileges were given up that may not be allowed; the next server replaces them.
        for path in [&self.kept.plan.socket, &self.kept.plan.control] {
            let _ = std::fs::remove_file(path);
        }
    }
}
