//! A process: its table of descriptors, and what its calls are about.

use crate::calls::{interface, netlink};
use crate::errno::Errno;
use crate::host::{Host, Keeper, Slot};
use crate::kernel::Kernel;
use crate::lock::{Mutex, RwLock};
use crate::object::{Description, Object};
use crate::raw::general::__NR_ioctl;
use crate::table::{self, Handler};
use crate::wait::Doorbell;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// How long connections that end are left alone, in nanoseconds.
const LOOK: u64 = 10_000_000;
const NEVER: u64 = u64::MAX;

/// Who answers for a kind of descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The rump kernel.
    #[default]
    Kernel,
    /// The surrounding system.
    Host,
}

/// Which descriptors are whose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Sockets of `AF_INET` and `AF_INET6`.
    pub inet: Side,
    /// Pipes.
    pub pipes: Side,
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) description: Arc<Description>,
    pub(crate) close_on_exec: bool,
}

/// A Linux process, as far as its descriptors go. Dropping it closes what is open; the
/// numbers stay reserved in the host, whose process usually ends with it.
pub struct Process {
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) rules: Rules,
    /// Empty where there is a keeper.
    pub(crate) descriptors: RwLock<BTreeMap<i32, Entry>>,
    keeper: Option<Arc<dyn Keeper>>,
    /// What is closed, and has not arrived yet.
    pub(crate) ending: Mutex<Vec<Arc<Description>>>,
    /// When to look at these, in nanoseconds of the host's clock.
    look_at: AtomicU64,
    pub(crate) bells: Mutex<Vec<Arc<Doorbell>>>,
    pub(crate) pieces: Mutex<Vec<Vec<u8>>>,
}

impl Process {
    /// A process without descriptors in the kernel.
    pub fn new(kernel: Arc<dyn Kernel>, host: Arc<dyn Host>, rules: Rules) -> Self {
        Self {
            kernel,
            host,
            rules,
            descriptors: RwLock::default(),
            keeper: None,
            ending: Mutex::default(),
            look_at: AtomicU64::new(NEVER),
            bells: Mutex::default(),
            pieces: Mutex::default(),
        }
    }

    /// One whose descriptors somebody else keeps. It may then stand for several processes,
    /// one at a time.
    pub fn kept(
        kernel: Arc<dyn Kernel>,
        host: Arc<dyn Host>,
        rules: Rules,
        keeper: Arc<dyn Keeper>,
    ) -> Self {
        Self {
            keeper: Some(keeper),
            ..Self::new(kernel, host, rules)
        }
    }

    /// Makes a system call: its number, its arguments; the result, or a negative errno.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(all(feature = "in-process", feature = "linux-host"))]
    /// # {
    /// use rump_linux::back::{in_process::InProcess, linux::LinuxHost};
    /// use rump_linux::raw::{errno::EBADF, general::__NR_listen};
    /// use rump_linux::{Process, Rules};
    /// use std::sync::Arc;
    ///
    /// let process = Process::new(Arc::new(InProcess), Arc::new(LinuxHost), Rules::default());
    /// // A descriptor that nobody has is the host's to refuse.
    /// assert_eq!(process.call(__NR_listen, [9999, 1, 0, 0, 0, 0]), -i64::from(EBADF));
    /// # }
    /// ```
    pub fn call(&self, number: u32, arguments: [u64; 6]) -> i64 {
        let due = self.look_at.load(Ordering::Relaxed);
        if due != NEVER && self.now() >= due {
            self.finish();
        }
        let Some(row) = table::find(number) else {
            return self.host.call(number, arguments);
        };
        let about = row.descriptor.map(|at| arguments[at]);
        let outcome = match row.handler {
            Handler::Of(handler) => match self.find(about.unwrap_or_default()) {
                Err(_) => return self.foreign(number, arguments),
                Ok(one) => match handler(self, &one, &arguments) {
                    // None of the kernel's.
                    Err(Errno::ENOTSOCK) => netlink::call(self, &one, number, &arguments),
                    outcome => outcome,
                },
            },
            Handler::By(_) if about.is_some_and(|fd| !self.owns(fd as i32)) => {
                return self.foreign(number, arguments);
            }
            Handler::By(handler) => handler(self, &arguments),
        };
        outcome.unwrap_or_else(|errno| -i64::from(errno.0))
    }

    /// A call about a descriptor of the host's.
    fn foreign(&self, number: u32, arguments: [u64; 6]) -> i64 {
        let request = arguments[1] as u32;
        if number != __NR_ioctl || !interface::is_about_interfaces(request) {
            return self.host.call(number, arguments);
        }
        // The interfaces are the kernel's, whose socket ever asks.
        let told = self.about_interfaces(false, request, arguments[2]);
        told.unwrap_or_else(|errno| -i64::from(errno.0))
    }

    /// Whether a descriptor is answered for here, and not by the host.
    pub fn owns(&self, fd: i32) -> bool {
        if let Some(keeper) = &self.keeper {
            return keeper.find(fd).is_some();
        }
        self.descriptors.read().contains_key(&fd)
    }

    /// How many descriptors are.
    pub fn count(&self) -> usize {
        self.descriptors.read().len()
    }

    /// The child of a `fork(2)`: the same descriptions under the same numbers.
    pub fn fork(&self) -> Self {
        Self {
            kernel: self.kernel.clone(),
            host: self.host.clone(),
            rules: self.rules,
            descriptors: RwLock::new(self.descriptors.read().clone()),
            keeper: self.keeper.clone(),
            ending: Mutex::default(),
            look_at: AtomicU64::new(NEVER),
            bells: Mutex::default(),
            pieces: Mutex::default(),
        }
    }

    /// An `execve(2)` succeeded: closes what is to be closed then.
    pub fn exec(&self) {
        let closing: Vec<i32> = {
            let table = self.descriptors.read();
            let closes = table.iter().filter(|(_, entry)| entry.close_on_exec);
            closes.map(|(fd, _)| *fd).collect()
        };
        for fd in closing {
            // It may be gone meanwhile.
            let _ = self.close(fd);
        }
    }

    pub(crate) fn find(&self, fd: u64) -> Result<Arc<Description>, Errno> {
        if let Some(keeper) = &self.keeper {
            return keeper.find(fd as i32).ok_or(Errno::EBADF);
        }
        let table = self.descriptors.read();
        table
            .get(&(fd as i32))
            .map(|entry| entry.description.clone())
            .ok_or(Errno::EBADF)
    }

    /// Gives a new object a number.
    pub(crate) fn open(
        &self,
        object: Object,
        flags: u32,
        close_on_exec: bool,
    ) -> Result<i32, Errno> {
        self.open_as(
            Description::new(object, flags),
            Slot::Lowest(0),
            close_on_exec,
        )
    }

    pub(crate) fn open_as(
        &self,
        description: Arc<Description>,
        slot: Slot,
        close_on_exec: bool,
    ) -> Result<i32, Errno> {
        if let Some(keeper) = &self.keeper {
            return keeper.open(description, close_on_exec);
        }
        let entry = Entry {
            description,
            close_on_exec,
        };
        // A number that is ours already stays reserved, and what had it is closed after
        // the lock is open again.
        let (fd, old) = match slot {
            Slot::Exactly(fd) if self.owns(fd) => (fd, self.descriptors.write().insert(fd, entry)),
            _ => {
                let fd = self.host.reserve(slot)?;
                (fd, self.descriptors.write().insert(fd, entry))
            }
        };
        drop(old);
        Ok(fd)
    }

    pub(crate) fn close(&self, fd: i32) -> Result<(), Errno> {
        let entry = self.descriptors.write().remove(&fd).ok_or(Errno::EBADF)?;
        self.host.release(fd);
        self.let_go(entry.description);
        Ok(())
    }

    /// Nobody has it open under this number any more.
    fn let_go(&self, description: Arc<Description>) {
        self.finish();
        if Arc::strong_count(&description) == 1 && description.finish() {
            self.ending.lock().push(description);
            self.look_again(1);
        }
    }

    /// Drops those of which all has arrived; how many are left.
    fn finish(&self) -> usize {
        // Without the lock: what is dropped is closed by the kernel.
        let mut ending = core::mem::take(&mut *self.ending.lock());
        ending.retain(|one| one.finish());
        let mut left = self.ending.lock();
        left.append(&mut ending);
        self.look_again(left.len());
        left.len()
    }

    /// Connections that end are looked at now and then: what comes in for one breaks it off.
    fn look_again(&self, left: usize) {
        let at = if left == 0 { NEVER } else { self.now() + LOOK };
        self.look_at.store(at, Ordering::Relaxed);
    }

    /// The process ends: closes what is open. How many connections are left whose data has
    /// not all arrived; whoever is about to end the kernel, too, calls again until there are
    /// none.
    pub fn end(&self) -> usize {
        let open: Vec<i32> = self.descriptors.read().keys().copied().collect();
        for fd in open {
            // It may be gone meanwhile.
            let _ = self.close(fd);
        }
        self.finish()
    }
}

impl core::fmt::Debug for Process {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Process")
            .field("rules", &self.rules)
            .field("descriptors", &self.count())
            .finish_non_exhaustive()
    }
}
