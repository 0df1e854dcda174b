//! A *seat*: a thread that answers one call after the other.
//!
//! It has a [`Process`] of the personality, which stands for the program's thread that it
//! serves at the moment.

use crate::client::Client;
use crate::destination;
use crate::interruptions::{Cause, End, Waiting};
use crate::listener::{Answer, Listener, Notification};
use crate::placeholder::{Caller, Placeholder};
use crate::seats::Seats;
use crate::supervisor::Shared;
use rump_linux::raw::errno::{EINTR, EIO, EPERM};
use rump_linux::raw::general::*;
use rump_linux::raw::ioctl::FIONBIO;
use rump_linux::wait::Waker;
use rump_linux::{
    Description, Errno, Fault, File, Host, Keeper, Memory, Process, Rules, is_about_interfaces,
    table,
};
use std::io::{self, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `ERESTARTSYS` of Linux's `<linux/errno.h>`: a thread for which a signal waits makes of it
/// `EINTR`, or the call again, on its way out.
const ERESTARTSYS: i64 = 512;

/// Calls that change nothing of what a socket is ready for.
const STEADY: &[u32] = &[
    __NR_bind,
    __NR_getsockname,
    __NR_getpeername,
    __NR_setsockopt,
    __NR_fcntl,
    __NR_ioctl,
];

/// Calls whose results depend on what was closed before.
const SETTLED: &[u32] = &[__NR_socket, __NR_bind, __NR_listen, __NR_connect];

/// A seat.
pub(crate) struct Seat {
    seated: Arc<Seated>,
    process: Process,
}

/// What the personality sees of the thread that is served.
struct Seated {
    seats: Arc<Seats>,
    /// Only this seat's thread changes it.
    listens: AtomicBool,
    shared: Arc<Shared>,
    listener: Arc<Listener>,
    call: Mutex<Option<Call>>,
}

/// The call that is being answered.
#[derive(Clone)]
struct Call {
    id: u64,
    client: Arc<Client>,
    /// What was found for a descriptor.
    found: Option<(i32, Arc<Placeholder>)>,
    /// The call is Linux's.
    passed_on: bool,
    /// While it waits.
    end: Option<Arc<End>>,
    /// Why it was interrupted.
    cause: Option<Cause>,
}

impl Seat {
    pub(crate) fn new(seats: Arc<Seats>) -> Self {
        let seated = Arc::new(Seated {
            listens: AtomicBool::new(false),
            shared: seats.shared.clone(),
            listener: seats.listener.clone(),
            seats,
            call: Mutex::default(),
        });
        let process = Process::kept(
            seated.shared.kernel.clone(),
            seated.clone(),
            Rules::default(),
            seated.clone(),
        );
        Self { seated, process }
    }

    /// Whether it may receive calls.
    pub(crate) fn listens(&self) -> bool {
        self.seated.listens.load(Ordering::Relaxed)
    }

    /// It has its turn now, until it waits in a call.
    pub(crate) fn listen(&self) {
        self.seated.listens.store(true, Ordering::Relaxed);
    }

    /// Makes a call; how it ends.
    pub(crate) fn answer(&self, notification: &Notification) -> Answer {
        let number = notification.number;
        let Some(row) = table::find(number) else {
            return Answer::GoOn;
        };
        let fd = notification.arguments[0] as i32;
        let by_descriptor = row.descriptor.is_some() || number == __NR_sendfile;
        let Ok((client, found)) = self.find(notification.tid, by_descriptor.then_some(fd)) else {
            // The host's network must not be what is left.
            let errno = if number == __NR_socket { EPERM } else { EIO };
            tracing::error!(tid = notification.tid, "not allowed to trace the program");
            return Answer::Return(-i64::from(errno));
        };
        let asks = number == __NR_ioctl && is_about_interfaces(notification.arguments[1] as u32);
        if row.descriptor.is_some() && found.is_none() && !asks {
            return Answer::GoOn;
        }
        if SETTLED.contains(&number)
            && let Err(error) = self.seated.shared.placeholders.settle()
        {
            tracing::error!(%error, "sockets of programs are not closed");
        }
        if let Some(placeholder) = &found
            && let Some(answer) = self.divert(notification, &client, placeholder)
        {
            return answer;
        }
        *self.seated.call() = Some(Call {
            id: notification.id,
            client: client.clone(),
            found: found.clone().map(|placeholder| (fd, placeholder)),
            passed_on: false,
            end: None,
            cause: None,
        });
        let result = self.process.call(number, notification.arguments);
        let call = self.seated.call().take();
        if call.as_ref().is_none_or(|call| call.passed_on) {
            return Answer::GoOn;
        }
        let caller = Caller {
            client: &client,
            fd,
        };
        if let Some(placeholder) = found
            && let Err(error) = self.after(&placeholder, number, result, caller)
        {
            tracing::error!(%error, "a placeholder does not follow");
        }
        let sets_flags = number == __NR_fcntl
            || number == __NR_ioctl && notification.arguments[1] as u32 == FIONBIO;
        if sets_flags && result == 0 {
            // Linux has the flag, too, and is asked for it.
            return Answer::GoOn;
        }
        match call.and_then(|call| call.cause) {
            Some(Cause::Signal) if result == -i64::from(EINTR) => Answer::Return(-ERESTARTSYS),
            _ => Answer::Return(result),
        }
    }

    /// Leaves a call to Linux if its destination is the host's.
    fn divert(
        &self,
        notification: &Notification,
        client: &Client,
        placeholder: &Placeholder,
    ) -> Option<Answer> {
        let Notification {
            id,
            number,
            arguments,
            ..
        } = notification;
        let is_hosts = self.seated.shared.is_hosts.as_ref()?;
        let kind = placeholder.description.socket_kind()?;
        if kind.is_connected_stream {
            return None;
        }
        let to = destination::of(client, *number, arguments)?;
        if !is_hosts(to) {
            return None;
        }
        let fd = arguments[0] as i32;
        let listener = &self.seated.listener;
        let diverted = destination::divert(listener, *id, client, fd, &placeholder.description);
        Some(match diverted {
            Ok(()) => Answer::GoOn,
            Err(errno) => Answer::Return(-i64::from(errno.0)),
        })
    }

    /// The thread, and what its descriptor stands for, if it is one of ours.
    fn find(
        &self,
        tid: i32,
        fd: Option<i32>,
    ) -> io::Result<(Arc<Client>, Option<Arc<Placeholder>>)> {
        let shared = &self.seated.shared;
        let mut client = shared.clients.get(tid)?;
        let Some(fd) = fd else {
            return Ok((client, None));
        };
        let mut socket = client.socket(fd);
        if socket.is_err() {
            // No such descriptor, or what is known is a former thread's.
            client = shared.clients.get_anew(tid)?;
            socket = client.socket(fd);
        }
        let inode = socket.ok().flatten();
        let found = inode.and_then(|inode| shared.placeholders.get(inode));
        Ok((client, found))
    }

    /// What a call has changed for those who wait.
    fn after(
        &self,
        placeholder: &Placeholder,
        number: u32,
        result: i64,
        caller: Caller<'_>,
    ) -> io::Result<()> {
        let watcher = &self.seated.shared.watcher;
        if number == __NR_listen && result == 0 {
            watcher.add_listening(placeholder)
        } else if STEADY.contains(&number) {
            Ok(())
        } else {
            placeholder.follow(watcher, false, Some(caller)).map(drop)
        }
    }
}

impl Seated {
    fn call(&self) -> MutexGuard<'_, Option<Call>> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose memory it is, and the number of the notification.
    fn client(&self) -> Option<(u64, Arc<Client>)> {
        let call = self.call();
        call.as_ref().map(|call| (call.id, call.client.clone()))
    }
}

impl Memory for Seated {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Fault> {
        let (id, client) = self.client().ok_or(Fault)?;
        client.read(address, into)?;
        // It was the thread's memory only if the thread still waits.
        if self.listener.waits(id) {
            Ok(())
        } else {
            Err(Fault)
        }
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), Fault> {
        let (id, client) = self.client().ok_or(Fault)?;
        if from.is_empty() {
            return Ok(());
        }
        if !self.listener.waits(id) {
            return Err(Fault);
        }
        client.write(address, from)
    }
}

fn errno(error: io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EIO) as u32)
}

/// A copy of a descriptor of the program's, which has the same position.
struct Copied(std::fs::File);

impl File for Copied {
    fn read_at(&self, position: u64, into: &mut [u8]) -> Result<usize, Errno> {
        self.0.read_at(into, position).map_err(errno)
    }

    fn position(&self) -> Result<u64, Errno> {
        (&self.0).stream_position().map_err(errno)
    }

    fn set_position(&self, position: u64) -> Result<(), Errno> {
        let moved = (&self.0).seek(SeekFrom::Start(position));
        moved.map(drop).map_err(errno)
    }
}

impl Keeper for Seated {
    fn find(&self, fd: i32) -> Option<Arc<Description>> {
        let (found, client) = {
            let call = self.call();
            let call = call.as_ref()?;
            (call.found.clone(), call.client.clone())
        };
        if let Some((_, placeholder)) = found.filter(|(known, _)| *known == fd) {
            return Some(placeholder.description.clone());
        }
        let inode = client.socket(fd).ok()??;
        let placeholder = self.shared.placeholders.get(inode)?;
        Some(placeholder.description.clone())
    }

    fn open(&self, description: Arc<Description>, close_on_exec: bool) -> Result<i32, Errno> {
        let (id, _) = self.client().ok_or(Errno::EIO)?;
        let (placeholder, theirs) = Placeholder::new(description).map_err(errno)?;
        self.shared
            .placeholders
            .insert(&placeholder)
            .map_err(errno)?;
        self.shared.watcher.add(&placeholder).map_err(errno)?;
        // Dropping the program's end, if it does not arrive, closes everything.
        let added = self.listener.add(id, theirs.as_fd(), close_on_exec);
        added.map_err(errno)
    }
}

impl Host for Seated {
    fn call(&self, _number: u32, _arguments: [u64; 6]) -> i64 {
        if let Some(call) = self.call().as_mut() {
            call.passed_on = true;
        }
        0
    }

    fn file(&self, fd: i32) -> Result<Box<dyn File>, Errno> {
        let (_, client) = self.client().ok_or(Errno::EIO)?;
        Ok(Box::new(Copied(client.copy(fd).map_err(errno)?.into())))
    }

    fn now(&self, clock: u32) -> u64 {
        let clock = nix::time::ClockId::from_raw(clock as i32);
        let time = nix::time::clock_gettime(clock);
        time.map_or(0, |time| {
            time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
        })
    }

    fn asleep(&self, waker: &Waker) {
        if self.listens.swap(false, Ordering::Relaxed) {
            self.seats.pass_turn();
        }
        let mut call = self.call();
        let Some(call) = call.as_mut() else { return };
        let end = Arc::new(End::default());
        call.end = Some(end.clone());
        self.shared.interruptions.add(Arc::new(Waiting {
            listener: self.listener.clone(),
            id: call.id,
            client: call.client.clone(),
            waker: waker.clone(),
            end,
        }));
    }

    fn awake(&self) -> bool {
        let mut call = self.call();
        let Some(call) = call.as_mut() else {
            return false;
        };
        let Some(end) = call.end.take() else {
            return false;
        };
        self.shared.interruptions.remove(&end);
        // What a thread that is gone waited for must be left to others.
        let gone = || (!self.listener.waits(call.id)).then_some(Cause::Gone);
        call.cause = end.cause().or_else(gone);
        call.cause.is_some()
    }

    fn broken_pipe(&self) {
        if let Some((_, client)) = self.client() {
            client.signal(libc::SIGPIPE);
        }
    }
}
