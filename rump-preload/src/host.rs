//! The process as the personality's host: mostly what [`LinuxHost`] is.

use crate::answer::linuxs;
use crate::{guarded, held, owned, signals};
use rump_linux::back::linux::LinuxHost;
use rump_linux::raw::general::{__NR_dup2, __NR_dup3, __NR_ppoll, __kernel_timespec, pollfd};
use rump_linux::wait::Waker;
use rump_linux::{Errno, Fault, File, Host, Memory, Slot, Watched};

/// Where something is, for Linux.
fn address<T>(value: &T) -> u64 {
    (&raw const *value).expose_provenance() as u64
}

/// The process that this library is loaded into.
pub(crate) struct Loaded;

impl Memory for Loaded {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Fault> {
        guarded::read(address, into)
    }
    fn write(&self, address: u64, from: &[u8]) -> Result<(), Fault> {
        guarded::write(address, from)
    }
}

impl Host for Loaded {
    fn file(&self, fd: i32) -> Result<Box<dyn File>, Errno> {
        LinuxHost.file(fd)
    }

    fn call(&self, number: u32, arguments: [u64; 6]) -> i64 {
        let result = LinuxHost.call(number, arguments);
        if result >= 0 && [__NR_dup2, __NR_dup3].contains(&number) {
            // What is Linux's own has the number now.
            owned::remove(arguments[1] as i32);
        }
        result
    }

    fn reserve(&self, slot: Slot) -> Result<i32, Errno> {
        let number = LinuxHost.reserve(slot)?;
        if owned::add(number) {
            return Ok(number);
        }
        LinuxHost.release(number);
        Err(Errno::EMFILE)
    }

    fn release(&self, number: i32) {
        // First the note: once Linux has the number back, it may be another's.
        owned::remove(number);
        LinuxHost.release(number);
    }

    fn poll(&self, fds: &mut [pollfd], timeout: Option<u64>) -> Result<usize, Errno> {
        if timeout == Some(0) {
            return LinuxHost.poll(fds, timeout);
        }
        let mask = held::for_wait().ok_or(Errno::EINTR)?;
        let limit = timeout.map(|nanos| __kernel_timespec {
            tv_sec: (nanos / 1_000_000_000) as i64,
            tv_nsec: (nanos % 1_000_000_000) as i64,
        });
        let result = linuxs(
            __NR_ppoll,
            [
                fds.as_mut_ptr().expose_provenance() as u64,
                fds.len() as u64,
                limit.as_ref().map_or(0, address),
                address(&mask),
                size_of_val(&mask) as u64,
                0,
            ],
        );
        usize::try_from(result).map_err(|_| Errno(result.unsigned_abs() as u32))
    }

    fn watch(&self, waker: Waker) -> Result<Box<dyn Watched>, Errno> {
        LinuxHost.watch(waker)
    }

    fn now(&self, clock: u32) -> u64 {
        LinuxHost.now(clock)
    }

    fn asleep(&self, waker: &Waker) {
        signals::asleep(waker);
    }

    fn awake(&self) -> bool {
        signals::awake()
    }

    fn mask(&self, mask: u64) -> u64 {
        held::mask(mask)
    }

    fn broken_pipe(&self) {
        LinuxHost.broken_pipe();
    }
}
