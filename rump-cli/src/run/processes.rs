//! The processes of a run: waiting for them, passing signals on.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io;
use std::os::fd::AsFd;

/// What the program is told too, if somebody told this process.
const PASSED_ON: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// How long the first program may take to end when all have hung up, in ms.
const GRACE: u16 = 2000;

/// Signals of this process, which come here from now on.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Takes them from this thread and all that it makes.
    pub fn take() -> io::Result<Self> {
        let mut set = SigSet::empty();
        PASSED_ON.iter().for_each(|signal| set.add(*signal));
        set.add(Signal::SIGCHLD);
        set.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&set, flags)?))
    }
}

/// Children whose parents have ended become this process's, so that it sees them end, and
/// may go on answering them where only ancestors may trace.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// The program that was started, and its descendants.
#[derive(Debug)]
pub struct Processes {
    first: Pid,
    /// Of the first, once it has ended.
    status: Option<u8>,
}

impl Processes {
    pub fn new(first: Pid) -> Self {
        Self {
            first,
            status: None,
        }
    }

    /// Waits until the first has ended and all `programs` have hung up; the status of the
    /// first.
    pub fn wait(mut self, signals: &Signals, programs: &impl AsFd) -> io::Result<u8> {
        let mut hung_up = false;
        loop {
            if let (Some(status), true) = (self.status, hung_up) {
                return Ok(status);
            }
            let mut entries = vec![PollFd::new(signals.0.as_fd(), PollFlags::POLLIN)];
            let limit = if hung_up {
                PollTimeout::from(GRACE)
            } else {
                entries.push(PollFd::new(programs.as_fd(), PollFlags::empty()));
                PollTimeout::NONE
            };
            match poll(&mut entries, limit) {
                Ok(0) => {
                    // It is not they who have hung up.
                    eprintln!("rump run: the kernel is gone; its programs cannot go on");
                    kill(self.first, Signal::SIGKILL)?;
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            hung_up |= entries
                .get(1)
                .and_then(PollFd::revents)
                .is_some_and(|found| found.contains(PollFlags::POLLHUP));
            while let Some(signal) = signals.0.read_signal()? {
                self.hear(&signal)?;
            }
        }
    }

    fn hear(&mut self, signal: &siginfo) -> io::Result<()> {
        let number = Signal::try_from(signal.ssi_signo as i32)?;
        if number == Signal::SIGCHLD {
            return self.reap();
        }
        // The terminal tells all processes in the foreground itself.
        if signal.ssi_code != nix::libc::SI_KERNEL && self.status.is_none() {
            // It may have ended just now.
            let _ = kill(self.first, number);
        }
        Ok(())
    }

    fn reap(&mut self) -> io::Result<()> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) if pid == self.first => {
                    self.status = Some(status as u8);
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.first => {
                    self.status = Some(128 + signal as u8);
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
