//! Descriptors of the rump kernel.
//!
//! They are numbers in a table of the kernel's, not of the host's: never mix them with
//! the host's file descriptors. The types mirror those of [`std::os::fd`].

use crate::sys::descriptor as sys;
use std::fmt;
use std::io;
use std::marker::PhantomData;

/// The number of a descriptor.
pub type RawDescriptor = i32;

/// A descriptor that is closed when this is dropped.
pub struct OwnedDescriptor(RawDescriptor);

impl OwnedDescriptor {
    /// Takes a descriptor over.
    ///
    /// # Safety
    /// It must be open in this thread's process, and nobody else may close it.
    #[allow(unsafe_code)]
    pub unsafe fn from_raw(raw: RawDescriptor) -> Self {
        Self(raw)
    }

    /// What the kernel returned to us just now.
    pub(crate) fn adopt(raw: RawDescriptor) -> Self {
        Self(raw)
    }

    /// Its number, for calls of one's own.
    pub fn as_raw(&self) -> RawDescriptor {
        self.0
    }

    /// Gives the number away; nobody closes it any more.
    pub fn into_raw(self) -> RawDescriptor {
        std::mem::ManuallyDrop::new(self).0
    }

    /// A second descriptor for the same object (`fcntl(2)`, `F_DUPFD_CLOEXEC`).
    ///
    /// # Errors
    /// `EMFILE`; [`kernel::Down`](crate::kernel::Down).
    pub fn try_clone(&self) -> io::Result<Self> {
        sys::duplicate(self.0)
    }
}

impl Drop for OwnedDescriptor {
    fn drop(&mut self) {
        sys::close(self.0);
    }
}

impl fmt::Debug for OwnedDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedDescriptor").field(&self.0).finish()
    }
}

/// A descriptor that somebody else keeps open.
#[derive(Debug, Clone, Copy)]
pub struct BorrowedDescriptor<'a> {
    raw: RawDescriptor,
    owner: PhantomData<&'a OwnedDescriptor>,
}

impl BorrowedDescriptor<'_> {
    /// Its number.
    pub fn as_raw(&self) -> RawDescriptor {
        self.raw
    }
}

/// Anything that has a descriptor of the kernel.
pub trait AsDescriptor {
    /// Lends it.
    fn as_descriptor(&self) -> BorrowedDescriptor<'_>;
}

impl AsDescriptor for OwnedDescriptor {
    fn as_descriptor(&self) -> BorrowedDescriptor<'_> {
        BorrowedDescriptor { raw: self.0, owner: PhantomData }
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
