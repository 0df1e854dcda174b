//! Becoming a daemon, in step with the kernel's start.
//!
//! The fork comes before the kernel boots, because its threads would not
//! survive one. The parent waits on a socket for the outcome and makes it its
//! exit status, so that whoever started the program knows when it serves.
#![allow(unsafe_code)]

use super::errno;
use crate::errno::Errno;
use core::ffi::c_int;
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

/// Where the outcome goes; set between begin and done.
static OUTCOME: Mutex<Option<UnixStream>> = Mutex::new(None);

fn outcome() -> std::sync::MutexGuard<'static, Option<UnixStream>> {
    OUTCOME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn translate(error: nix::Error) -> Errno {
    errno::translate(error as c_int)
}

pub(super) fn begin() -> Result<(), Errno> {
    if outcome().is_some() {
        return Err(Errno::INPROGRESS);
    }
    let (mut parent, child) = UnixStream::pair().map_err(|error| errno::of(&error))?;
    // SAFETY: the kernel has not booted; the child only goes on with what the
    // caller was doing, as fork(2) always has it.
    match unsafe { fork() }.map_err(translate)? {
        ForkResult::Child => {
            drop(parent);
            *outcome() = Some(child);
            if let Err(error) = setsid() {
                return done(translate(error).0);
            }
            Ok(())
        }
        ForkResult::Parent { .. } => {
            drop(child);
            let mut error = [0; size_of::<c_int>()];
            let status = match parent.read_exact(&mut error) {
                Ok(()) => c_int::from_ne_bytes(error),
                Err(_) => Errno::SRCH.0,
            };
            // SAFETY: ends the process without running what the daemon, which
            // shares it, will run when it exits.
            unsafe { libc::_exit(status) }
        }
    }
}

fn detach_descriptors() -> nix::Result<()> {
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|_| nix::Error::ENODEV)?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)
}

pub(super) fn done(error: c_int) -> Result<(), Errno> {
    let mut stream = outcome().take().ok_or(Errno::NOENT)?;
    let mut outcome = error;
    if error == 0
        && let Err(error) = detach_descriptors()
    {
        outcome = translate(error).0;
    }
    stream
        .write_all(&outcome.to_ne_bytes())
        .map_err(|_| Errno::PIPE)
}
