//! Processes, and the descriptors of each.

use crate::file::Object;
use crate::kernel::Kernel;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ffi::c_int;
use rump_hyper::errno::Errno;

/// The number of a process.
pub(crate) type Pid = c_int;

/// The process that there always is.
pub(crate) const FIRST_PROCESS: Pid = 1;
/// `PID_MAX` of `<sys/proc.h>`.
const LAST_PID: Pid = 30_000;
/// How many descriptors a process may have unless it says otherwise.
const DESCRIPTORS: usize = 128;

/// A process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) lwps: usize,
    pub(crate) descriptors: Descriptors,
}

/// All processes.
#[derive(Debug)]
pub(crate) struct Processes {
    all: BTreeMap<Pid, Process>,
    last: Pid,
}

impl Processes {
    pub(crate) fn new() -> Self {
        let first = Process {
            // Its first lwp is nobody's, and keeps it.
            lwps: 1,
            descriptors: Descriptors::new(DESCRIPTORS),
        };
        Self {
            all: BTreeMap::from([(FIRST_PROCESS, first)]),
            last: FIRST_PROCESS,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, pid: Pid) -> Option<&mut Process> {
        self.all.get_mut(&pid)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    #[cfg(test)]
    pub(crate) fn lwps(&self) -> usize {
        self.all.values().map(|process| process.lwps).sum()
    }

    /// An event queue has gone: no descriptor is to tell it of its end.
    pub(crate) fn forget_kqueue(&mut self, kqueue: usize) {
        for process in self.all.values_mut() {
            for descriptor in process.descriptors.slots.iter_mut().flatten() {
                descriptor.kqueues.retain(|other| *other != kqueue);
            }
        }
    }

    fn unused_pid(&mut self) -> Result<Pid, Errno> {
        for _ in 0..LAST_PID {
            self.last = if self.last >= LAST_PID {
                FIRST_PROCESS + 1
            } else {
                self.last + 1
            };
            if !self.all.contains_key(&self.last) {
                return Ok(self.last);
            }
        }
        Err(Errno::AGAIN)
    }
}

/// What a descriptor's number stands for.
#[derive(Debug)]
pub(crate) struct Descriptor {
    pub(crate) file: usize,
    pub(crate) close_on_exec: bool,
    /// The event queues that wait for something by this number.
    pub(crate) kqueues: Vec<usize>,
}

impl Descriptor {
    pub(crate) fn new(file: usize, close_on_exec: bool) -> Self {
        Self {
            file,
            close_on_exec,
            kqueues: Vec::new(),
        }
    }
}

/// The descriptors of a process.
#[derive(Debug)]
pub(crate) struct Descriptors {
    slots: Vec<Option<Descriptor>>,
    /// No number below is free.
    lowest: usize,
    pub(crate) limit: usize,
}

impl Descriptors {
    fn new(limit: usize) -> Self {
        Self {
            slots: Vec::new(),
            lowest: 0,
            limit,
        }
    }

    #[inline]
    pub(crate) fn get(&self, fd: c_int) -> Result<&Descriptor, Errno> {
        let slot = usize::try_from(fd).ok().and_then(|fd| self.slots.get(fd));
        slot.and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    pub(crate) fn get_mut(&mut self, fd: c_int) -> Result<&mut Descriptor, Errno> {
        let slot = usize::try_from(fd)
            .ok()
            .and_then(|fd| self.slots.get_mut(fd));
        slot.and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    /// The lowest number from `least` on that is free.
    fn free(&mut self, least: usize) -> Result<usize, Errno> {
        let used =
            |slots: &[Option<Descriptor>], fd: usize| slots.get(fd).is_some_and(Option::is_some);
        while used(&self.slots, self.lowest) {
            self.lowest += 1;
        }
        let mut fd = least.max(self.lowest);
        while used(&self.slots, fd) {
            fd += 1;
        }
        if fd >= self.limit {
            Err(Errno::MFILE)
        } else {
            Ok(fd)
        }
    }

    fn put(&mut self, fd: usize, descriptor: Descriptor) -> Option<Descriptor> {
        if self.slots.len() <= fd {
            self.slots.resize_with(fd + 1, || None);
        }
        self.slots[fd].replace(descriptor)
    }

    pub(crate) fn take(&mut self, fd: c_int) -> Result<Descriptor, Errno> {
        self.get(fd)?;
        let fd = fd as usize;
        self.lowest = self.lowest.min(fd);
        self.slots[fd].take().ok_or(Errno::BADF)
    }
}

impl Kernel {
    /// Makes a process, with copies of the descriptors of another or with none.
    pub(crate) fn new_process(&mut self, parent: Option<Pid>) -> Result<Pid, Errno> {
        let pid = self.processes.unused_pid()?;
        let mut descriptors = Descriptors::new(DESCRIPTORS);
        if let Some(parent) = parent.and_then(|parent| self.processes.all.get(&parent)) {
            descriptors.limit = parent.descriptors.limit;
            for (fd, slot) in parent.descriptors.slots.iter().enumerate() {
                let Some(from) = slot else { continue };
                // As in kqueue(2), a queue is not inherited.
                if matches!(self.files.get(from.file).object, Object::Kqueue(_)) {
                    continue;
                }
                self.files.retain(from.file);
                descriptors.put(fd, Descriptor::new(from.file, from.close_on_exec));
            }
        }
        self.processes.all.insert(
            pid,
            Process {
                lwps: 0,
                descriptors,
            },
        );
        Ok(pid)
    }

    /// An lwp of the process has ended; what the last one leaves open is closed.
    pub(crate) fn lwp_ends(&mut self, pid: Pid) {
        let Some(process) = self.processes.all.get_mut(&pid) else {
            return;
        };
        process.lwps -= 1;
        if process.lwps > 0 {
            return;
        }
        let Some(process) = self.processes.all.remove(&pid) else {
            return;
        };
        for (fd, slot) in process.descriptors.slots.into_iter().enumerate() {
            if let Some(descriptor) = slot {
                self.forget_knotes(&descriptor, fd);
                self.release_file(descriptor.file);
            }
        }
        self.run_network();
    }

    fn descriptors(&mut self, pid: Pid) -> Result<&mut Descriptors, Errno> {
        Ok(&mut self.processes.get_mut(pid).ok_or(Errno::SRCH)?.descriptors)
    }

    /// A descriptor of the process.
    #[inline]
    pub(crate) fn descriptor(&mut self, pid: Pid, fd: c_int) -> Result<&mut Descriptor, Errno> {
        self.descriptors(pid)?.get_mut(fd)
    }

    /// The file behind a descriptor.
    #[inline]
    pub(crate) fn file_of(&mut self, pid: Pid, fd: c_int) -> Result<usize, Errno> {
        Ok(self.descriptors(pid)?.get(fd)?.file)
    }

    /// Whether so many more files can be opened and have descriptors.
    pub(crate) fn room_for(&mut self, pid: Pid, count: usize) -> Result<(), Errno> {
        self.files.room_for(count)?;
        let descriptors = self.descriptors(pid)?;
        let mut least = 0;
        for _ in 0..count {
            least = descriptors.free(least)? + 1;
        }
        Ok(())
    }

    /// Opens an object, for which there is [room](Self::room_for).
    pub(crate) fn open(
        &mut self,
        pid: Pid,
        object: Object,
        nonblocking: bool,
        close_on_exec: bool,
    ) -> Result<c_int, Errno> {
        let fd = self.descriptors(pid)?.free(0)?;
        let file = self.files.open(object, nonblocking);
        self.descriptors(pid)?
            .put(fd, Descriptor::new(file, close_on_exec));
        Ok(fd as c_int)
    }

    /// Makes another descriptor for a file, the lowest from `least` on.
    pub(crate) fn duplicate(
        &mut self,
        pid: Pid,
        fd: c_int,
        least: c_int,
        close_on_exec: bool,
    ) -> Result<c_int, Errno> {
        let file = self.file_of(pid, fd)?;
        let descriptors = self.descriptors(pid)?;
        let least = usize::try_from(least).map_err(|_| Errno::INVAL)?;
        if least >= descriptors.limit {
            return Err(Errno::INVAL);
        }
        let new = descriptors.free(least)?;
        descriptors.put(new, Descriptor::new(file, close_on_exec));
        self.files.retain(file);
        Ok(new as c_int)
    }

    /// Makes a certain descriptor stand for a file; what it stood for before is closed.
    pub(crate) fn duplicate_to(&mut self, pid: Pid, fd: c_int, to: c_int) -> Result<c_int, Errno> {
        let file = self.file_of(pid, fd)?;
        let descriptors = self.descriptors(pid)?;
        let place = usize::try_from(to).map_err(|_| Errno::BADF)?;
        if place >= descriptors.limit {
            return Err(Errno::BADF);
        }
        if fd == to {
            return Ok(to);
        }
        let old = descriptors.put(place, Descriptor::new(file, false));
        self.files.retain(file);
        if let Some(old) = old {
            self.forget_knotes(&old, place);
            self.release_file(old.file);
            self.run_network();
        }
        Ok(to)
    }

    /// Takes a descriptor away; its file is the caller's to release.
    pub(crate) fn take_descriptor(&mut self, pid: Pid, fd: c_int) -> Result<usize, Errno> {
        let descriptor = self.descriptors(pid)?.take(fd)?;
        self.forget_knotes(&descriptor, fd as usize);
        Ok(descriptor.file)
    }

    /// The highest number that a descriptor of the process has; -1 if there is none.
    pub(crate) fn last_descriptor(&mut self, pid: Pid) -> Result<c_int, Errno> {
        let slots = &self.descriptors(pid)?.slots;
        let last = slots.iter().rposition(Option::is_some);
        Ok(last.map_or(-1, |last| last as c_int))
    }

    /// How many descriptors the process may have.
    pub(crate) fn descriptor_limit(&mut self, pid: Pid) -> Result<&mut usize, Errno> {
        Ok(&mut self.descriptors(pid)?.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_next() {
        let mut descriptors = Descriptors::new(4);
        for expected in 0..4 {
            let fd = descriptors.free(0).unwrap();
            assert_eq!(fd, expected);
            descriptors.put(fd, Descriptor::new(7, false));
        }
        assert_eq!(descriptors.free(0), Err(Errno::MFILE));
        descriptors.take(2).unwrap();
        descriptors.take(1).unwrap();
        assert_eq!((descriptors.free(0), descriptors.free(2)), (Ok(1), Ok(2)));
        assert!(
            descriptors.get(1).is_err()
                && descriptors.get(-1).is_err()
                && descriptors.get(9).is_err()
        );
    }
}
