//! What `rump-linux` finds around it in an image: the host that answers what is not about
//! sockets and their like, and the rump kernel below.

use super::copy::Program;
use super::files::table::Entry;
use super::task::Task;
use super::{files, process, signal};
use crate::time;
use alloc::boxed::Box;
use rump_linux::raw::general::{__NR_socket, __NR_socketpair, SIGPIPE, epoll_event, pollfd};
use rump_linux::wait::Waker;
use rump_linux::{Errno, Fault, Host, MakeWatched, Memory, Slot, Watched};

/// The image.
#[derive(Debug)]
pub(crate) struct Image;

impl Memory for Image {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Fault> {
        Program.read(address, into)
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), Fault> {
        Program.write(address, from)
    }
}

impl Host for Image {
    fn call(&self, number: u32, arguments: [u64; 6]) -> i64 {
        // Sockets of other families than the internet's.
        let done = match number {
            __NR_socket | __NR_socketpair => Some(Err(Errno::EAFNOSUPPORT)),
            _ => process().files.call(number, &arguments),
        };
        match done.unwrap_or_else(|| Err(super::unknown(number))) {
            Ok(result) => result,
            Err(errno) => -i64::from(errno.0),
        }
    }

    fn reserve(&self, slot: Slot) -> Result<i32, Errno> {
        let taken = process().files.table.lock().take(slot, Entry::Elsewhere);
        // What had the number is closed without the lock.
        let (fd, old) = taken?;
        drop(old);
        Ok(fd)
    }

    fn release(&self, number: i32) {
        let old = process().files.table.lock().free(number);
        drop(old);
    }

    fn poll(&self, fds: &mut [pollfd], timeout: Option<u64>) -> Result<usize, Errno> {
        let files = &process().files;
        let mut count = 0;
        for entry in fds.iter_mut() {
            entry.revents = 0;
            if entry.fd >= 0 {
                let ready = files.ready(entry.fd, u32::from(entry.events as u16));
                entry.revents = ready as i16;
                count += usize::from(ready != 0);
            }
        }
        // What is not ready now never will be.
        if count > 0 || timeout == Some(0) {
            return Ok(count);
        }
        let deadline = timeout.map(|timeout| time::monotonic_ns().saturating_add(timeout));
        let task = Task::current().ok_or(Errno::EINTR)?;
        if task.pause(deadline) {
            Ok(0)
        } else {
            Err(Errno::EINTR)
        }
    }

    fn watch(&self, _waker: Waker) -> Result<Box<dyn Watched>, Errno> {
        Ok(Box::new(AlwaysReady))
    }

    fn file(&self, fd: i32) -> Result<Box<dyn rump_linux::File>, Errno> {
        process().files.copied(fd).map(|file| Box::new(file) as _)
    }

    fn now(&self, clock: u32) -> u64 {
        super::clock::now(clock).unwrap_or_else(|_| time::monotonic_ns())
    }

    fn asleep(&self, waker: &Waker) {
        if let Some(task) = Task::current() {
            task.asleep(waker);
        }
    }

    fn awake(&self) -> bool {
        Task::current().is_some_and(|task| task.awake())
    }

    fn mask(&self, mask: u64) -> u64 {
        let Some(task) = Task::current() else {
            return mask;
        };
        if task.saved_mask.lock().is_some() {
            // The end of the call.
            signal::wait_is_over(&task);
            return mask;
        }
        let old = task.mask.load(core::sync::atomic::Ordering::Acquire);
        signal::wait_with(&task, mask);
        old
    }

    fn broken_pipe(&self) {
        if let Some(task) = Task::current() {
            let told = signal::Told {
                signal: SIGPIPE,
                code: 0,
                about: super::PID.into(),
            };
            signal::send_to(&task, told);
        }
    }
}

/// Files are always ready, and so cannot be waited for (epoll_ctl(2)).
struct AlwaysReady;

impl Watched for AlwaysReady {
    fn control(&self, _: u32, fd: i32, _: epoll_event) -> Result<(), Errno> {
        process().files.table.lock().file(fd)?;
        Err(Errno::EPERM)
    }

    fn ready(&self, _: &mut [epoll_event]) -> usize {
        0
    }

    fn is_ready(&self) -> bool {
        false
    }

    fn of_child(&self) -> Result<MakeWatched, Errno> {
        Err(Errno::ENOSYS)
    }
}

/// What files ask of the machine.
#[derive(Debug)]
pub(crate) struct Machine;

impl files::Outside for Machine {
    fn wall(&self) -> u64 {
        time::wall_ns()
    }

    fn print(&self, text: &[u8]) {
        crate::console::write(text);
    }

    fn random(&self, into: &mut [u8]) {
        crate::random::fill(into);
    }

    fn tell(&self, what: super::tree::Told) -> alloc::vec::Vec<u8> {
        super::told::tell(what)
    }
}
