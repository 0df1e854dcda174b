//! Descriptors of the rump kernel.
//!
//! They are numbers in a table of the kernel's, not of the host's: never mix them with
//! the host's file descriptors. The types mirror those of [`std::os::fd`].
//!
//! Each [process](crate::process) of the kernel has a table of its own, so the same number
//! is another socket in another process. A descriptor therefore knows its process: where
//! it is used in another one, calls fail with `EBADF`, and where it is dropped in another
//! one, it is closed in its own.

use crate::process::Home;
use crate::sys::descriptor as sys;
use std::fmt;
use std::io;
use std::marker::PhantomData;

/// The number of a descriptor.
pub type RawDescriptor = i32;

/// What stands for a descriptor in a process that it is not of: no process has so many.
const ELSEWHERE: RawDescriptor = RawDescriptor::MAX;

/// A number, and whose table it is in.
#[derive(Debug, Clone, Copy)]
struct Number {
    raw: RawDescriptor,
    home: Home,
}

impl Number {
    /// For a call that this thread makes.
    fn here(self) -> RawDescriptor {
        if self.home == Home::current() {
            self.raw
        } else {
            ELSEWHERE
        }
    }
}

/// A descriptor that is closed when this is dropped.
pub struct OwnedDescriptor(Number);

impl OwnedDescriptor {
    /// Takes a descriptor over.
    ///
    /// # Safety
    /// It must be open in this thread's process, and nobody else may close it.
    #[allow(unsafe_code)]
    pub unsafe fn from_raw(raw: RawDescriptor) -> Self {
        Self::adopt(raw)
    }

    /// What the kernel returned to us just now.
    pub(crate) fn adopt(raw: RawDescriptor) -> Self {
        Self(Number {
            raw,
            home: Home::current(),
        })
    }

    /// Its number, for calls of one's own. On a thread in another process than the
    /// descriptor's it is [`RawDescriptor::MAX`], which no descriptor has.
    pub fn as_raw(&self) -> RawDescriptor {
        self.0.here()
    }

    /// Gives the number in its process away; nobody closes it any more.
    pub fn into_raw(self) -> RawDescriptor {
        std::mem::ManuallyDrop::new(self).0.raw
    }

    /// A second descriptor for the same object (`fcntl(2)`, `F_DUPFD_CLOEXEC`).
    ///
    /// # Errors
    /// `EMFILE`; [`kernel::Down`](crate::kernel::Down).
    pub fn try_clone(&self) -> io::Result<Self> {
        sys::duplicate(self.0.here())
    }
}

impl Drop for OwnedDescriptor {
    fn drop(&mut self) {
        self.0.home.visit(|| sys::close(self.0.raw));
    }
}

impl fmt::Debug for OwnedDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedDescriptor").field(&self.0.raw).finish()
    }
}

/// A descriptor that somebody else keeps open.
#[derive(Debug, Clone, Copy)]
pub struct BorrowedDescriptor<'a> {
    number: Number,
    owner: PhantomData<&'a OwnedDescriptor>,
}

impl BorrowedDescriptor<'_> {
    /// Its number, as [`OwnedDescriptor::as_raw`].
    pub fn as_raw(&self) -> RawDescriptor {
        self.number.here()
    }
}

/// Anything that has a descriptor of the kernel.
pub trait AsDescriptor {
    /// Lends it.
    fn as_descriptor(&self) -> BorrowedDescriptor<'_>;
}

impl AsDescriptor for OwnedDescriptor {
    fn as_descriptor(&self) -> BorrowedDescriptor<'_> {
        BorrowedDescriptor {
            number: self.0,
            owner: PhantomData,
        }
    }
}

impl AsDescriptor for BorrowedDescriptor<'_> {
    fn as_descriptor(&self) -> BorrowedDescriptor<'_> {
        *self
    }
}

impl<T: AsDescriptor + ?Sized> AsDescriptor for &T {
    fn as_descriptor(&self) -> BorrowedDescriptor<'_> {
        (**self).as_descriptor()
    }
}
