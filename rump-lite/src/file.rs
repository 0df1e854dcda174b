//! Open files: what descriptors stand for.

use crate::boot::rumpns_maxfiles;
use crate::kernel::{Guard, Kernel};
use crate::lwp::Lwp;
use crate::slab::Slab;
use core::ffi::c_int;
use core::sync::atomic::Ordering;
use rump_hyper::errno::Errno;

/// What a file is. The numbers are those of the kernel's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    Socket(usize),
    /// The end of a pipe to read from.
    Reader(usize),
    /// The end of a pipe to write to.
    Writer(usize),
    Kqueue(usize),
    /// A socket of `route(4)`.
    Routing(usize),
}

/// An open file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File {
    pub(crate) object: Object,
    pub(crate) nonblocking: bool,
    /// Descriptors that stand for it, and calls that are using it.
    references: usize,
}

/// All open files.
#[derive(Debug, Default)]
pub(crate) struct Files(Slab<File>);

impl Files {
    #[inline]
    pub(crate) fn get(&self, file: usize) -> &File {
        &self.0[file]
    }

    pub(crate) fn get_mut(&mut self, file: usize) -> &mut File {
        &mut self.0[file]
    }

    #[inline]
    pub(crate) fn retain(&mut self, file: usize) {
        self.0[file].references += 1;
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn room_for(&self, count: usize) -> Result<(), Errno> {
        let most = usize::try_from(rumpns_maxfiles.load(Ordering::Relaxed)).unwrap_or(0);
        if self.0.len() + count > most {
            Err(Errno::NFILE)
        } else {
            Ok(())
        }
    }

    pub(crate) fn open(&mut self, object: Object, nonblocking: bool) -> usize {
        self.0.insert(File {
            object,
            nonblocking,
            references: 1,
        })
    }
}

impl Kernel {
    /// Gives a reference back, and closes the object with the last one.
    pub(crate) fn release_file(&mut self, file: usize) {
        let entry = self.files.get_mut(file);
        entry.references -= 1;
        if entry.references > 0 {
            return;
        }
        let object = entry.object;
        self.files.0.remove(file);
        match object {
            Object::Socket(socket) => self.close_socket(socket),
            Object::Reader(pipe) => self.close_pipe(pipe, true),
            Object::Writer(pipe) => self.close_pipe(pipe, false),
            Object::Kqueue(kqueue) => self.close_kqueue(kqueue),
            Object::Routing(socket) => drop(self.routing.remove(socket)),
        }
    }

    /// Whether this is the last reference.
    pub(crate) fn is_last_reference(&self, file: usize) -> bool {
        self.files.get(file).references == 1
    }
}

/// Runs a call with a file that stays open meanwhile, even if its descriptor is closed.
#[inline]
pub(crate) fn with_file<R>(
    kernel: &mut Guard,
    lwp: &Lwp,
    fd: c_int,
    call: impl FnOnce(&mut Guard, File) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let file = kernel.file_of(lwp.pid, fd)?;
    kernel.files.retain(file);
    let copy = *kernel.files.get(file);
    lwp.using.set(Some((fd, file)));
    let result = call(kernel, copy);
    lwp.using.set(None);
    kernel.release_file(file);
    result
}

/// The same with a socket.
#[inline]
pub(crate) fn with_socket<R>(
    kernel: &mut Guard,
    lwp: &Lwp,
    fd: c_int,
    call: impl FnOnce(&mut Guard, File, usize) -> Result<R, Errno>,
) -> Result<R, Errno> {
    with_file(kernel, lwp, fd, |kernel, file| match file.object {
        Object::Socket(socket) => call(kernel, file, socket),
        Object::Routing(_) => Err(Errno::OPNOTSUPP),
        _ => Err(Errno::NOTSOCK),
    })
}
