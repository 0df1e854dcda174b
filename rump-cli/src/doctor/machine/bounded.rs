//! Running a program that may hang, write without end, or leave others behind.
//!
//! It runs in a process group of its own, which is ended when the program's time is over
//! or it has written too much. A process that leaves the group is not followed; since the
//! pipes are never waited for beyond the limit, it cannot hold up the report.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often the program is asked whether it has ended.
const TICK: u8 = 10; // milliseconds

/// What a program may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub time: Duration,
    /// Of output, in bytes, for each of its two streams.
    pub output: usize,
}

/// What it said.
#[derive(Debug)]
pub struct Answer {
    pub status: ExitStatus,
    pub out: Vec<u8>,
    pub err: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It did not start.
    #[error("could not be started ({0})")]
    Start(io::Error),
    /// It did not end in time.
    #[error("did not end within {} s", .0.as_secs_f32())]
    Time(Duration),
    /// It did not stop writing.
    #[error("wrote more than {0} bytes")]
    Output(usize),
    /// Reading from it failed.
    #[error("could not be read from ({0})")]
    Read(io::Error),
}

/// Runs `command` to its end, or to its limits.
pub fn run(command: &mut Command, limits: Limits) -> Result<Answer, Failure> {
    let child = command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Failure::Start)?;
    let mut group = Group(child);
    let answer = listen(&mut group.0, limits);
    drop(group);
    answer
}

/// Ends whatever is left of a program's process group.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // The number stays the group's as long as a member is left, reaped leader or not;
        // if none is, there is nothing by that number yet.
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

fn listen(child: &mut Child, limits: Limits) -> Result<Answer, Failure> {
    let end = Instant::now() + limits.time;
    let mut out = Stream::new(child.stdout.take().map(OwnedFd::from), limits.output)?;
    let mut err = Stream::new(child.stderr.take().map(OwnedFd::from), limits.output)?;
    loop {
        // Asked before the last reading, so that nothing written before the end is missed.
        let status = child.try_wait().map_err(Failure::Read)?;
        out.read()?;
        err.read()?;
        if let Some(status) = status {
            let (out, err) = (out.bytes, err.bytes);
            return Ok(Answer { status, out, err });
        }
        if Instant::now() >= end {
            return Err(Failure::Time(limits.time));
        }
        let open = [&out, &err].into_iter().flat_map(|s| s.source.as_ref());
        let mut open: Vec<_> = open
            .map(|source| PollFd::new(source.as_fd(), PollFlags::POLLIN))
            .collect();
        // A failure of poll(2) costs a look too many, no more.
        let _ = poll(&mut open, TICK);
    }
}

/// What comes out of a pipe, without waiting for it.
struct Stream {
    source: Option<File>,
    bytes: Vec<u8>,
    limit: usize,
}

impl Stream {
    fn new(source: Option<OwnedFd>, limit: usize) -> Result<Self, Failure> {
        let source = source.map(File::from);
        if let Some(source) = &source {
            fcntl(source, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                .map_err(|errno| Failure::Read(errno.into()))?;
        }
        Ok(Self {
            source,
            bytes: Vec::new(),
            limit,
        })
    }

    /// Takes what is there; at the pipe's end, closes it.
    fn read(&mut self) -> Result<(), Failure> {
        let mut chunk = [0; 16 << 10];
        while let Some(source) = &mut self.source {
            match source.read(&mut chunk) {
                Ok(0) => self.source = None,
                Ok(count) => self.bytes.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::Read(error)),
            }
            if self.bytes.len() > self.limit {
                return Err(Failure::Output(self.limit));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        time: Duration::from_secs(20),
        output: 100_000,
    };
    const SOON: Limits = Limits {
        time: Duration::from_millis(300),
        ..LIMITS
    };

    fn sh(script: &str, limits: Limits) -> Result<Answer, Failure> {
        run(Command::new("/bin/sh").args(["-c", script]), limits)
    }

    #[test]
    fn both_streams_and_the_status_come_back() {
        let answer = sh("echo out; echo err >&2; exit 3", LIMITS).unwrap();
        assert_eq!(answer.out, b"out\n");
        assert_eq!(answer.err, b"err\n");
        assert_eq!(answer.status.code(), Some(3));
        let error = run(&mut Command::new("/nonexistent"), LIMITS).unwrap_err();
        assert!(matches!(error, Failure::Start(_)));
    }

    #[test]
    fn a_long_answer_is_whole_and_an_endless_one_is_cut() {
        let line = "x".repeat(99);
        let thousand = format!("i=0; while [ $i -lt 900 ]; do echo {line}; i=$((i+1)); done");
        assert_eq!(sh(&thousand, LIMITS).unwrap().out.len(), 90_000);
        let endless = format!("while :; do echo {line}; done");
        let error = sh(&endless, LIMITS).unwrap_err();
        assert_eq!(error.to_string(), "wrote more than 100000 bytes");
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let start = Instant::now();
        let error = sh("echo begun; kill -STOP $$", SOON).unwrap_err();
        assert_eq!(error.to_string(), "did not end within 0.3 s");
        assert!(start.elapsed() < LIMITS.time);
    }

    /// It would hold the pipe open; it is ended with its group.
    #[test]
    fn what_a_program_leaves_behind_is_not_waited_for() {
        let start = Instant::now();
        let answer = sh("while :; do read x; done </dev/zero & echo $!", LIMITS).unwrap();
        let left: i32 = String::from_utf8(answer.out)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let gone = || nix::sys::signal::kill(Pid::from_raw(left), None).is_err() || zombie(left);
        while !gone() {
            assert!(start.elapsed() < LIMITS.time, "{left} still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Killed, and not yet collected by its new parent.
    fn zombie(process: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
        stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|s| s.starts_with(" Z")))
    }
}
