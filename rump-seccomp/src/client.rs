//! A thread of the program: its descriptors and its memory.
//!
//! Everything here goes by the thread's number, which is its own as long as it waits for the
//! answer to a notification; what was done for one that does not wait any more is thrown
//! away. What is kept between calls, the folder of its descriptors and a descriptor of its
//! process, stays with the thread that it was opened for: it works no more when that
//! thread is gone, also when another has got its number.
#![allow(unsafe_code)]

use crate::listener::owned;
use rump_linux::Fault;
use rump_linux::back::linux;
use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How many threads are remembered.
const MOST: usize = 256;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) tid: i32,
    /// `/proc/TID/fd`.
    folder: OwnedFd,
    process: OnceLock<(i32, OwnedFd)>,
}

impl Client {
    fn open(tid: i32) -> io::Result<Self> {
        let path = CString::new(format!("/proc/{tid}/fd"))?;
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: a path that ends with a null byte.
        let folder = owned(unsafe { libc::open(path.as_ptr(), flags) }.into())?;
        Ok(Self {
            tid,
            folder,
            process: OnceLock::new(),
        })
    }

    /// The inode of a socket that it has under this number; `None` if that is not a socket.
    ///
    /// # Errors
    /// There is no such descriptor, or no such thread any more.
    pub(crate) fn socket(&self, fd: i32) -> io::Result<Option<u64>> {
        let mut name = [0u8; 16];
        let mut rest = &mut name[..15];
        io::Write::write_fmt(&mut rest, format_args!("{fd}"))?;
        let mut link = [0u8; 32];
        // SAFETY: the name ends with a null byte, and the room is given with its length.
        let length = unsafe {
            libc::readlinkat(
                self.folder.as_raw_fd(),
                name.as_ptr().cast(),
                link.as_mut_ptr().cast(),
                link.len(),
            )
        };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let inode = || {
            let digits = link[..length].strip_prefix(b"socket:[")?;
            let digits = digits.strip_suffix(b"]")?;
            std::str::from_utf8(digits).ok()?.parse().ok()
        };
        Ok(inode())
    }

    /// The flags of its descriptor: of the file, and `O_CLOEXEC`, proc_pid_fdinfo(5).
    pub(crate) fn flags(&self, fd: i32) -> io::Result<u32> {
        let info = std::fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", self.tid))?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        flags
            .and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok())
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The process that it is a thread of: its number and a descriptor of it.
    fn process(&self) -> io::Result<&(i32, OwnedFd)> {
        if let Some(process) = self.process.get() {
            return Ok(process);
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.tid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
        let pid: i32 = line
            .and_then(|number| number.trim().parse().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
        // SAFETY: numbers.
        let fd = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
        Ok(self.process.get_or_init(|| (pid, fd)))
    }

    /// A copy of its descriptor.
    pub(crate) fn copy(&self, fd: i32) -> io::Result<OwnedFd> {
        let process = self.process()?.1.as_raw_fd();
        // SAFETY: numbers.
        owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, fd, 0) })
    }

    /// Sends the thread a signal.
    pub(crate) fn signal(&self, signal: i32) {
        if let Ok((pid, _)) = self.process() {
            // SAFETY: numbers. One that is gone needs no signal.
            unsafe { libc::syscall(libc::SYS_tgkill, *pid, self.tid, signal) };
        }
    }

    pub(crate) fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Fault> {
        linux::read_memory(self.tid, address, into)
    }

    pub(crate) fn write(&self, address: u64, from: &[u8]) -> Result<(), Fault> {
        linux::write_memory(self.tid, address, from)
    }

    /// Whether a signal waits for the thread that would end a call.
    pub(crate) fn has_signal(&self) -> Signal {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", self.tid)) else {
            return Signal::None;
        };
        signals(&status)
    }
}

/// Whether a signal waits for a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    None,
    /// For this thread, which cannot go on without taking it.
    Here,
    /// For one of the threads of its process, which may be another.
    Somewhere,
}

/// Reads `/proc/TID/status`, proc_pid_status(5).
fn signals(status: &str) -> Signal {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let set = |name| field(name).and_then(|text| u64::from_str_radix(text, 16).ok());
    let deaf = set("SigBlk").unwrap_or(0) | set("SigIgn").unwrap_or(0);
    let waits = |name| set(name).unwrap_or(0) & !deaf != 0;
    if waits("SigPnd") || waits("ShdPnd") && field("Threads") == Some("1") {
        Signal::Here
    } else if waits("ShdPnd") {
        Signal::Somewhere
    } else {
        Signal::None
    }
}

/// The threads that have called.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<HashMap<i32, Arc<Client>>>);

impl Clients {
    /// The thread of that number, which waits for an answer.
    pub(crate) fn get(&self, tid: i32) -> io::Result<Arc<Client>> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&tid) {
            return Ok(client.clone());
        }
        let client = Arc::new(Client::open(tid)?);
        if clients.len() >= MOST {
            // Most of them will be gone.
            clients.clear();
        }
        clients.insert(tid, client.clone());
        Ok(client)
    }

    /// What was kept may be a former thread's of the same number.
    pub(crate) fn get_anew(&self, tid: i32) -> io::Result<Arc<Client>> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.remove(&tid);
        drop(clients);
        self.get(tid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pending: &str, shared: &str, threads: u32) -> Signal {
        signals(&format!(
            "Name:\tx\nTgid:\t7\nThreads:\t{threads}\nSigPnd:\t{pending}\nShdPnd:\t{shared}\n\
             SigBlk:\t0000000000000200\nSigIgn:\t0000000000001000\n"
        ))
    }

    #[test]
    fn signals_that_are_blocked_or_ignored_do_not_wait() {
        let (none, alarm) = ("0000000000000000", "0000000000002000");
        assert_eq!(status(none, none, 1), Signal::None);
        assert_eq!(status("0000000000001200", none, 1), Signal::None);
        assert_eq!(status(alarm, none, 4), Signal::Here);
        assert_eq!(status(none, alarm, 1), Signal::Here);
        assert_eq!(status(none, alarm, 2), Signal::Somewhere);
        assert_eq!(signals(""), Signal::None);
    }

    #[test]
    fn sockets_are_told_from_others() {
        let client = Client::open(nix::unistd::gettid().as_raw()).unwrap();
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let inode = client.socket(one.as_raw_fd()).unwrap();
        let stat = nix::sys::stat::fstat(&one).unwrap();
        assert_eq!(inode, Some(stat.st_ino));
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert_eq!(client.socket(file.as_raw_fd()).unwrap(), None);
        assert!(client.socket(9999).is_err());
        assert!(client.socket(-1).is_err());
    }

    #[test]
    fn memory_that_is_not_there_is_a_fault() {
        let client = Client::open(nix::unistd::gettid().as_raw()).unwrap();
        let value = 0x1234_5678u32;
        let address = (&raw const value).expose_provenance() as u64;
        let mut bytes = [0; 4];
        client.read(address, &mut bytes).unwrap();
        assert_eq!(u32::from_ne_bytes(bytes), value);
        for nowhere in [0, 4096, u64::MAX - 2, 1 << 47] {
            assert_eq!(client.read(nowhere, &mut bytes), Err(Fault));
            assert_eq!(client.write(nowhere, &bytes), Err(Fault));
        }
    }
}
