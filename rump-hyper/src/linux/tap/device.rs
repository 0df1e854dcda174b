//! One descriptor of `/dev/net/tun`.
#![allow(unsafe_code)]

use crate::linux::wake::{Waited, Waker};
use crate::vif::abi::Offload;
use crate::vif::{Offloads, Transmit};
use core::ffi::{CStr, c_int, c_uint, c_void};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::borrow::ToOwned;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::string::String;
use std::vec::Vec;

/// So many pieces of a frame are described on the stack.
const PIECES: usize = 64;

/// What may be left to the kernel's interface (`TUNSETOFFLOAD`).
const FLAGS: [(Offloads, c_uint); 3] = [
    (Offloads::RX_CSUM, libc::TUN_F_CSUM),
    (Offloads::RX_LRO4, libc::TUN_F_TSO4),
    (Offloads::RX_LRO6, libc::TUN_F_TSO6),
];

#[derive(Debug)]
pub(super) struct Queue {
    file: OwnedFd,
    wake: Waker,
}

impl Queue {
    /// Opens a queue of the interface; returns its full name too.
    pub(super) fn open(name: &str, multiqueue: bool) -> Result<(Self, String)> {
        let file = open(
            c"/dev/net/tun",
            OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        // SAFETY: a structure of plain data.
        let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
        let fits = !name.is_empty() && name.len() < libc::IFNAMSIZ && !name.contains('\0');
        if !fits {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the name of a network interface has 1 to 15 bytes",
            ));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from.cast_signed();
        }
        let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        if multiqueue {
            flags |= libc::IFF_MULTI_QUEUE;
        }
        request.ifr_ifru.ifru_flags = flags as i16;
        let queue = Self {
            file,
            wake: Waker::new()?,
        };
        // SAFETY: the request is read, and the name in it written.
        unsafe { queue.ioctl(libc::TUNSETIFF, (&raw mut request).cast())? };
        let size = size_of::<Offload>() as c_int;
        // SAFETY: an int is read.
        unsafe { queue.ioctl(libc::TUNSETVNETHDRSZ, (&raw const size).cast_mut().cast())? };
        // SAFETY: Linux ended the name with a 0.
        let full = unsafe { CStr::from_ptr(request.ifr_name.as_ptr()) };
        Ok((queue, full.to_string_lossy().into_owned().to_owned()))
    }

    /// One that was opened before; returns its name too.
    pub(super) fn of(file: OwnedFd) -> Result<(Self, String)> {
        let queue = Self {
            file,
            wake: Waker::new()?,
        };
        // SAFETY: a structure of plain data.
        let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
        // SAFETY: the request is written.
        unsafe { queue.ioctl(libc::TUNGETIFF, (&raw mut request).cast())? };
        // SAFETY: Linux ended the name with a 0.
        let full = unsafe { CStr::from_ptr(request.ifr_name.as_ptr()) };
        Ok((queue, full.to_string_lossy().into_owned()))
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(super) fn set_offloads(&self, offloads: Offloads) -> Result<()> {
        let mut flags = 0;
        for (offload, flag) in FLAGS {
            if offloads.contains(offload) {
                flags |= flag;
            }
        }
        let flags = core::ptr::without_provenance_mut(flags as usize);
        // SAFETY: the argument is a number.
        unsafe { self.ioctl(libc::TUNSETOFFLOAD, flags) }
    }

    /// # Safety
    /// The argument is what the request expects.
    unsafe fn ioctl(&self, request: libc::Ioctl, argument: *mut c_void) -> Result<()> {
        // SAFETY: by contract.
        if unsafe { libc::ioctl(self.file.as_raw_fd(), request, argument) } < 0 {
            return Err(Error::last_os_error());
        }
        Ok(())
    }

    /// Reads a frame; returns its length. Does not wait.
    pub(super) fn read(&self, offload: &mut Offload, frame: &mut [u8]) -> Result<usize> {
        let header = size_of::<Offload>();
        let parts = [
            libc::iovec {
                iov_base: (&raw mut *offload).cast(),
                iov_len: header,
            },
            libc::iovec {
                iov_base: frame.as_mut_ptr().cast(),
                iov_len: frame.len(),
            },
        ];
        // SAFETY: two pieces of memory of ours; any bytes make an `Offload`.
        let got = unsafe { libc::readv(self.file.as_raw_fd(), parts.as_ptr(), 2) };
        match usize::try_from(got) {
            Ok(got) if got >= header => Ok(got - header),
            Ok(_) => Err(ErrorKind::UnexpectedEof.into()),
            Err(_) => Err(Error::last_os_error()),
        }
    }

    /// Writes a frame.
    pub(super) fn write(&self, frame: &Transmit<'_>) -> Result<()> {
        let offload = frame.offload();
        let header = libc::iovec {
            iov_base: (&raw const offload).cast_mut().cast(),
            iov_len: size_of::<Offload>(),
        };
        let pieces = frame.pieces().iter().map(|piece| libc::iovec {
            iov_base: piece.as_ptr().cast_mut().cast(),
            iov_len: piece.len(),
        });
        let mut few = [header; PIECES + 1];
        let many: Vec<libc::iovec>;
        let all = if pieces.len() <= PIECES {
            let count = 1 + pieces.len();
            for (to, piece) in few[1..].iter_mut().zip(pieces) {
                *to = piece;
            }
            &few[..count]
        } else {
            many = core::iter::once(header).chain(pieces).collect();
            &many[..]
        };
        // SAFETY: each describes memory that is borrowed for the call; Linux only reads it.
        let put = unsafe { libc::writev(self.file.as_raw_fd(), all.as_ptr(), all.len() as c_int) };
        if put < 0 {
            return Err(Error::last_os_error());
        }
        Ok(())
    }

    /// Waits until there is something to read; true if it was woken instead.
    pub(super) fn wait(&self) -> bool {
        self.wake.wait(self.file.as_fd(), None) == Waited::Woken
    }

    pub(super) fn wake(&self) {
        self.wake.wake();
    }
}
