//! Starting workers, and talking to them.

use super::Kept;
use crate::link::Link;
use crate::messages::{FromWorker, Question, Status, ToWorker};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a worker may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for one that boots a kernel and has a card reset, on a slow machine.
const PATIENCE_WITH_CARDS: Duration = Duration::from_secs(60);

/// A worker.
pub(super) struct Child {
    pub(super) link: Link,
    pub(super) since: Instant,
    process: std::process::Child,
}

impl Child {
    /// Starts one: this program, or another. With a link to another worker it waits for what
    /// that one hands over; else it serves when this returns.
    pub(super) fn start(
        kept: &Kept,
        program: Option<&str>,
        from: Option<&Link>,
    ) -> io::Result<Self> {
        let (link, its) = Link::pair()?;
        let has_cards = kept.plan.cards().next().is_some();
        link.set_patience(if has_cards {
            PATIENCE_WITH_CARDS
        } else {
            PATIENCE
        })?;
        // Its own program, also where that has been replaced or is not to be found any more.
        let process = Command::new(program.unwrap_or("/proc/self/exe"))
            .args(&kept.arguments)
            .stdin(Stdio::from(its.into_file()))
            .stdout(Stdio::null())
            .spawn()?;
        let child = Self {
            link,
            process,
            since: Instant::now(),
        };
        let setup = ToWorker::Setup {
            plan: Box::new(kept.plan.clone()),
            files: kept.nics.iter().map(Vec::len).collect(),
            heir: from.is_some(),
        };
        let mut files: Vec<BorrowedFd<'_>> = vec![kept.ledger.as_fd(), kept.listener.as_fd()];
        files.extend(kept.nics.iter().flatten().map(AsFd::as_fd));
        files.extend(from.map(AsFd::as_fd));
        child.link.send(&setup, &files)?;
        match child.hear()? {
            FromWorker::Ready => {}
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        if from.is_none() {
            child.running()?;
        }
        Ok(child)
    }

    fn hear(&self) -> io::Result<FromWorker> {
        Ok(self.link.receive()?.0)
    }

    /// Waits until it serves; returns for how many nobody did, and how long, in microseconds.
    pub(super) fn running(&self) -> io::Result<(usize, Option<u64>)> {
        match self.hear()? {
            FromWorker::Running { applications, gap } => Ok((applications, gap)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Asks it something.
    pub(super) fn ask(&self, question: Question) -> io::Result<Result<Status, String>> {
        self.link.send(&ToWorker::Ask(question), &[])?;
        match self.hear()? {
            FromWorker::Answer(answer) => Ok(answer),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Tells it to hand over to another by this link.
    pub(super) fn hand_over(&self, to: &Link) -> io::Result<()> {
        self.link.send(&ToWorker::Yield, &[to.as_fd()])
    }

    /// Waits until it has ended, and says how.
    pub(super) fn status(&mut self) -> String {
        let _ = self.process.kill();
        let status: io::Result<ExitStatus> = self.process.wait();
        status.map_or_else(|error| error.to_string(), |status| status.to_string())
    }

    /// Has it end, and waits for that.
    pub(super) fn stop(&mut self) {
        if self.link.send(&ToWorker::Stop, &[]).is_ok() {
            // It says nothing more; its end is.
            let _ = self.hear();
        }
        self.status();
    }
}

impl Drop for Child {
    /// Nobody is left behind who would take frames.
    fn drop(&mut self) {
        self.status();
    }
}
