//! QEMU as a process that does not outlive the one that started it.
//!
//! A thread of its own starts it, waits for its end and ends it when it is told to. Linux
//! ends it (`PR_SET_PDEATHSIG`) when that thread is gone, which is when this process is.

use nix::sys::{prctl, signal::Signal};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked whether QEMU has ended.
const TICK: Duration = Duration::from_millis(10);

/// A QEMU that runs.
#[derive(Debug)]
pub(crate) struct Qemu {
    id: u32,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<ExitStatus>>>,
}

impl Qemu {
    pub fn start(mut command: Command) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, started) = mpsc::channel();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            die_with_this_thread(&mut command);
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => {
                    let _ = sender.send(Err(error));
                    return Err(io::Error::other("not started"));
                }
            };
            let _ = sender.send(Ok(child.id()));
            loop {
                if stopped.load(Ordering::Relaxed) {
                    child.kill()?;
                    return child.wait();
                }
                if let Some(status) = child.try_wait()? {
                    return Ok(status);
                }
                std::thread::sleep(TICK);
            }
        });
        let id = started.recv().map_err(io::Error::other)??;
        Ok(Self {
            id,
            stop,
            thread: Some(thread),
        })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether it has ended by itself.
    pub fn ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it, if it has not ended yet; how it ended.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take() {
            Some(thread) => thread.join().map_err(|_| io::Error::other("a panic"))?,
            None => Err(io::Error::other("ended before")),
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.end();
        }
    }
}

#[allow(unsafe_code)]
fn die_with_this_thread(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes one system call; it neither takes
    // locks nor allocates.
    unsafe {
        command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
}
