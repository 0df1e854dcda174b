//! Waiting in the kernel, with a doorbell for everything that is not the kernel's.

use crate::errno::Errno;
use crate::host::Watched;
use crate::kernel::{Answer, Kernel};
use crate::lock::Mutex;
use crate::object::{Description, Object, Socket};
use crate::process::Process;
use crate::raw::general::{self, CLOCK_MONOTONIC, EPOLL_CTL_ADD, epoll_event};
use crate::still::Lock;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use rump_abi::arrival::Bell;
use rump_abi::{O_CLOEXEC, O_NONBLOCK, POLLIN, pollfd};

/// A pipe of the kernel's that a thread waits for beside what it really waits for, and a bell
/// for when it waits in the kernel for one thing alone.
pub(crate) struct Doorbell {
    kernel: Arc<dyn Kernel>,
    pub(crate) read: i32,
    write: i32,
    bell: Bell,
}

impl Doorbell {
    pub(crate) fn new(kernel: &Arc<dyn Kernel>) -> Answer<Arc<Self>> {
        let [read, write] = kernel.pipe2(O_NONBLOCK | O_CLOEXEC)?;
        Ok(Arc::new(Self {
            kernel: kernel.clone(),
            read,
            write,
            bell: Bell::default(),
        }))
    }

    pub(crate) fn ring(&self) {
        if self.bell.set() {
            // A full pipe is a bell that rings already.
            let _ = self.kernel.write(self.write, &[1]);
            if self.bell.is_waited_for() {
                self.kernel.ring(&self.bell);
            }
        }
    }

    /// Rings for one who has not come yet though it rang.
    pub(crate) fn ring_again(&self) {
        if self.bell.is_set() {
            let _ = self.kernel.write(self.write, &[1]);
        }
    }

    /// To be called before what might have rung is looked at: a ring after that is heard.
    pub(crate) fn silence(&self) {
        if self.bell.is_set() {
            // Empty if the one who rings is late; it is then heard once more.
            self.hear();
        }
    }

    /// It was heard: makes it silent, also if the one who rang was late.
    pub(crate) fn hear(&self) {
        let _ = self.kernel.read(self.read, &mut [0; 16]);
        self.bell.clear();
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.kernel.close(self.read);
        self.kernel.close(self.write);
    }
}

/// Wakes a thread that waits in a call. Makes a system call of the kernel.
#[derive(Clone)]
pub struct Waker(pub(crate) Arc<Doorbell>);

impl Waker {
    /// Has the thread look again at what it waits for.
    pub fn wake(&self) {
        self.0.ring();
    }
}

impl core::fmt::Debug for Waker {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Waker").field(&self.0.read).finish()
    }
}

/// Who wants to hear of changes of an object.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<Vec<Weak<Doorbell>>>);

impl Watchers {
    pub(crate) fn add(&self, bell: &Arc<Doorbell>) {
        let mut list = self.0.lock();
        list.retain(|other| other.strong_count() > 0);
        list.push(Arc::downgrade(bell));
    }

    pub(crate) fn remove(&self, bell: &Arc<Doorbell>) {
        let mut list = self.0.lock();
        if let Some(at) = list
            .iter()
            .position(|other| other.as_ptr() == Arc::as_ptr(bell))
        {
            list.swap_remove(at);
        }
    }

    pub(crate) fn lock(&self) -> &dyn Lock {
        &self.0
    }

    pub(crate) fn ring(&self) {
        let list = self.0.lock().clone();
        list.iter()
            .filter_map(Weak::upgrade)
            .for_each(|bell| bell.ring());
    }
}

/// What a thread waits for.
#[derive(Default)]
pub(crate) struct Wants {
    /// Descriptions, with what is wanted of them in terms of the kernel's `poll(2)`.
    pub(crate) ours: Vec<(Arc<Description>, i16)>,
    /// Descriptors of the host.
    pub(crate) host: Vec<general::pollfd>,
    /// In nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) deadline: Option<u64>,
}

impl Wants {
    fn is_over(&self, process: &Process) -> bool {
        self.deadline.is_some_and(|end| process.now() >= end)
    }

    /// Whether the kernel's `poll(2)` tells of all of them.
    fn are_the_kernels(&self) -> bool {
        let is_kernels = |one: &Description| one.watchers().is_none() && one.kernel_fd().is_some();
        self.host.is_empty() && self.ours.iter().all(|(one, _)| is_kernels(one))
    }
}

impl Process {
    /// The time that is now, for deadlines.
    pub(crate) fn now(&self) -> u64 {
        self.host.now(CLOCK_MONOTONIC)
    }

    /// Waits until `ready` has a result; `None` when the time is over.
    pub(crate) fn wait<R>(
        &self,
        wants: &Wants,
        mut ready: impl FnMut() -> Result<Option<R>, Errno>,
    ) -> Result<Option<R>, Errno> {
        match ready()? {
            Some(result) => Ok(Some(result)),
            None if wants.is_over(self) => Ok(None),
            None => self.wait_on(wants, ready),
        }
    }

    /// The same, for who has looked.
    fn wait_on<R>(
        &self,
        wants: &Wants,
        mut ready: impl FnMut() -> Result<Option<R>, Errno>,
    ) -> Result<Option<R>, Errno> {
        let bell = self.bell()?;
        for watchers in wants.ours.iter().filter_map(|(one, _)| one.watchers()) {
            watchers.add(&bell);
        }
        let result = self.wait_for(&bell, wants, &mut ready);
        for watchers in wants.ours.iter().filter_map(|(one, _)| one.watchers()) {
            watchers.remove(&bell);
        }
        self.keep(bell);
        result
    }

    /// A bell for the time of one wait.
    fn bell(&self) -> Answer<Arc<Doorbell>> {
        let spare = self.bells.lock().pop();
        spare.map_or_else(|| Doorbell::new(&self.kernel), Ok)
    }

    fn keep(&self, bell: Arc<Doorbell>) {
        // One that somebody still holds might ring for what is over.
        if Arc::strong_count(&bell) == 1 {
            self.bells.lock().push(bell);
        }
    }

    /// Waits for so many bytes, or a connection, to arrive at a socket, if the kernel can do that
    /// as it does in its own `recv(2)`: for who would only be told to wait. What there is
    /// then is another matter: it may be an error, or another thread may have taken it.
    pub(crate) fn arrival(&self, socket: &Socket, room: u64) -> Result<(), Errno> {
        let bell = self.bell()?;
        bell.silence();
        self.host.asleep(&Waker(bell.clone()));
        let waited = self.kernel.arrival(socket.fd.number, room, &bell.bell);
        let interrupted = self.host.awake();
        self.keep(bell);
        match waited {
            Ok(()) if interrupted => Err(Errno::EINTR),
            _ => Ok(()),
        }
    }

    fn wait_for<R>(
        &self,
        bell: &Arc<Doorbell>,
        wants: &Wants,
        ready: &mut impl FnMut() -> Result<Option<R>, Errno>,
    ) -> Result<Option<R>, Errno> {
        let waker = Waker(bell.clone());
        let _watched = self.watch(&wants.host, &waker)?;
        // Nothing that rings the bell alone can have happened since they were looked at.
        let mut looked = wants.are_the_kernels();
        loop {
            bell.silence();
            if !looked && let Some(result) = ready()? {
                return Ok(Some(result));
            }
            looked = false;
            if wants.is_over(self) {
                return Ok(None);
            }
            let mut entries = Vec::from([pollfd {
                fd: bell.read,
                events: POLLIN,
                revents: 0,
            }]);
            let mut next = wants.deadline;
            for (one, events) in &wants.ours {
                if let Some(fd) = one.kernel_fd() {
                    entries.push(pollfd {
                        fd,
                        events: *events,
                        revents: 0,
                    });
                }
                next = next.into_iter().chain(self.expiry(one)).min();
            }
            // Rounded up, so that the time is over when the kernel says so.
            let timeout = next.map_or(-1, |next| {
                let millis = next.saturating_sub(self.now()).div_ceil(1_000_000);
                i32::try_from(millis).unwrap_or(i32::MAX)
            });
            self.host.asleep(&waker);
            let polled = self.kernel.poll(&mut entries, timeout);
            let interrupted = self.host.awake();
            if interrupted {
                // What is ready by now stays for another: this thread may be gone.
                return Err(Errno::EINTR);
            }
            polled?;
            if entries[0].revents != 0 {
                bell.hear();
            }
        }
    }

    /// Has descriptors of the host wake a waiter.
    fn watch(
        &self,
        entries: &[general::pollfd],
        waker: &Waker,
    ) -> Result<Option<Box<dyn Watched>>, Errno> {
        if entries.is_empty() {
            return Ok(None);
        }
        let watched = self.host.watch(waker.clone())?;
        let mut asked = BTreeMap::new();
        for entry in entries {
            *asked.entry(entry.fd).or_insert(0) |= u32::from(entry.events as u16);
        }
        for (fd, events) in asked {
            let event = epoll_event { events, data: 0 };
            match watched.control(EPOLL_CTL_ADD, fd, event) {
                // What cannot be waited for is ready, and what is not open is told.
                Ok(()) | Err(Errno::EPERM | Errno::EBADF) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(Some(watched))
    }

    /// When a timer in a description goes off next.
    pub(crate) fn expiry(&self, one: &Description) -> Option<u64> {
        match &one.object {
            Object::Timer(timer) => timer.expiry(&*self.host),
            Object::Epoll(epoll) => epoll
                .members()
                .iter()
                .filter_map(|member| self.expiry(member))
                .min(),
            _ => None,
        }
    }

    /// Makes an attempt after the other until one is not told to wait.
    pub(crate) fn attempt<R>(
        &self,
        one: &Arc<Description>,
        events: i16,
        waits: bool,
        timeout: Option<u64>,
        mut attempt: impl FnMut() -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let first = attempt();
        if !waits || !matches!(first, Err(Errno::EAGAIN)) {
            return first;
        }
        let wants = Wants {
            ours: Vec::from([(one.clone(), events)]),
            host: Vec::new(),
            deadline: timeout.map(|timeout| self.now().saturating_add(timeout)),
        };
        let done = self.wait_on(&wants, || match attempt() {
            Err(Errno::EAGAIN) => Ok(None),
            result => result.map(Some),
        })?;
        done.ok_or(Errno::EAGAIN)
    }
}
