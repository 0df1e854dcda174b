//! The packet socket itself.
#![allow(unsafe_code)]

use crate::linux::wake::{Waited, Waker};
use crate::vif::Transmit;
use crate::vif::abi::Offload;
use core::ffi::{c_int, c_short, c_void};
use core::time::Duration;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec::Vec;

/// All kinds of frames, in the byte order of the network.
const ALL: u16 = (libc::ETH_P_ALL as u16).to_be();
/// What Linux lets wait to be sent, in bytes.
const SEND_BUFFER: c_int = 4 << 20;

#[derive(Debug)]
pub(super) struct Socket {
    file: OwnedFd,
    index: c_int,
    /// Linux forgets the number when it is asked.
    drops: AtomicU64,
}

impl Socket {
    /// A socket for an interface. Frames come only when it is bound.
    pub(super) fn open(name: &str) -> Result<Self> {
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the name of a network interface has 1 to 15 bytes",
            ));
        }
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: integers.
        let file = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if file < 0 {
            return Err(Error::last_os_error());
        }
        // SAFETY: a new descriptor of ours.
        let file = unsafe { OwnedFd::from_raw_fd(file) };
        let mut socket = Self {
            file,
            index: 0,
            drops: AtomicU64::new(0),
        };
        let mut request = request();
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from.cast_signed();
        }
        socket.ioctl(libc::SIOCGIFHWADDR, &mut request)?;
        // SAFETY: the call has filled in an address.
        if unsafe { request.ifr_ifru.ifru_hwaddr }.sa_family != libc::ARPHRD_ETHER {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "only an Ethernet interface can stand behind another",
            ));
        }
        socket.ioctl(libc::SIOCGIFINDEX, &mut request)?;
        // SAFETY: the call has filled in an index.
        socket.index = unsafe { request.ifr_ifru.ifru_ifindex };

        socket.set(libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1)?;
        // What Linux sends is not for the kernel. Older ones (before 4.20) do not know it.
        let _ = socket.set::<c_int>(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1);
        // As much as the limit of the system allows does as well.
        let _ = socket
            .set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &SEND_BUFFER)
            .or_else(|_| socket.set(libc::SOL_SOCKET, libc::SO_SNDBUF, &SEND_BUFFER));
        let promiscuous = libc::packet_mreq {
            mr_ifindex: socket.index,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        socket.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &promiscuous)?;
        Ok(socket)
    }

    /// One that was opened and bound before.
    pub(super) fn of(file: OwnedFd) -> Result<Self> {
        // SAFETY: a structure of plain data.
        let mut address: libc::sockaddr_ll = unsafe { core::mem::zeroed() };
        let mut size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        let to = (&raw mut address).cast();
        // SAFETY: at most so many bytes are written.
        if unsafe { libc::getsockname(file.as_raw_fd(), to, &mut size) } < 0 {
            return Err(Error::last_os_error());
        }
        if i32::from(address.sll_family) != libc::AF_PACKET {
            return Err(ErrorKind::InvalidInput.into());
        }
        Ok(Self {
            file,
            index: address.sll_ifindex,
            drops: AtomicU64::new(0),
        })
    }

    pub(super) fn bind(&self) -> Result<()> {
        let address = self.address();
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: an address of that size is read.
        if unsafe { libc::bind(self.file.as_raw_fd(), (&raw const address).cast(), size) } < 0 {
            return Err(Error::last_os_error());
        }
        Ok(())
    }

    fn address(&self) -> libc::sockaddr_ll {
        libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: ALL,
            sll_ifindex: self.index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        }
    }

    /// Sets an option whose value is of plain data.
    pub(super) fn set<T: Copy>(&self, level: c_int, option: c_int, value: &T) -> Result<()> {
        let size = size_of::<T>() as libc::socklen_t;
        let value: *const c_void = (&raw const *value).cast();
        // SAFETY: so many bytes are read.
        if unsafe { libc::setsockopt(self.file.as_raw_fd(), level, option, value, size) } < 0 {
            return Err(Error::last_os_error());
        }
        Ok(())
    }

    /// Reads an option; `value` is of plain data for which any bytes do.
    fn get<T: Copy>(&self, level: c_int, option: c_int, value: &mut T) -> Result<()> {
        let mut size = size_of::<T>() as libc::socklen_t;
        let value: *mut c_void = (&raw mut *value).cast();
        // SAFETY: at most so many bytes are written.
        if unsafe { libc::getsockopt(self.file.as_raw_fd(), level, option, value, &mut size) } < 0 {
            return Err(Error::last_os_error());
        }
        Ok(())
    }

    fn ioctl(&self, number: libc::Ioctl, request: &mut libc::ifreq) -> Result<()> {
        // SAFETY: such a request is read and written.
        if unsafe { libc::ioctl(self.file.as_raw_fd(), number, &raw mut *request) } < 0 {
            return Err(Error::last_os_error());
        }
        Ok(())
    }

    /// Whether the interface is up and has a link; an error if it is gone.
    pub(super) fn has_link(&self) -> Result<bool> {
        let mut request = request();
        request.ifr_ifru.ifru_ifindex = self.index;
        // It may have another name by now.
        self.ioctl(libc::SIOCGIFNAME, &mut request)?;
        self.ioctl(libc::SIOCGIFFLAGS, &mut request)?;
        let wanted = (libc::IFF_UP | libc::IFF_RUNNING) as c_short;
        // SAFETY: the call has filled in flags.
        Ok(unsafe { request.ifr_ifru.ifru_flags } & wanted == wanted)
    }

    /// Forgets what went wrong.
    pub(super) fn take_error(&self) {
        let mut error: c_int = 0;
        let _ = self.get(libc::SOL_SOCKET, libc::SO_ERROR, &mut error);
    }

    /// How many frames were lost because the ring was full.
    pub(super) fn drops(&self) -> u64 {
        let mut stats = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let _ = self.get(libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut stats);
        let new = u64::from(stats.tp_drops);
        self.drops.fetch_add(new, Ordering::Relaxed) + new
    }

    /// Sends frames, and returns how many Linux took.
    pub(super) fn send(&self, frames: &[Transmit<'_>]) -> usize {
        let offloads: Vec<Offload> = frames.iter().map(Transmit::offload).collect();
        let mut parts = Vec::with_capacity(frames.len() * 4);
        let mut counts = Vec::with_capacity(frames.len());
        for (frame, offload) in frames.iter().zip(&offloads) {
            parts.push(part((&raw const *offload).cast(), size_of::<Offload>()));
            for piece in frame.pieces() {
                parts.push(part(piece.as_ptr().cast(), piece.len()));
            }
            counts.push(1 + frame.pieces().len());
        }
        let mut rest = &mut parts[..];
        let mut messages = Vec::with_capacity(frames.len());
        for count in counts {
            let (these, others) = rest.split_at_mut(count);
            rest = others;
            messages.push(message(these));
        }
        let mut sent = 0;
        let mut at = 0;
        while let Some(left) = messages.get_mut(at..).filter(|left| !left.is_empty()) {
            let (start, count) = (left.as_mut_ptr(), left.len() as u32);
            // SAFETY: so many messages, whose parts are borrowed by the frames.
            let took =
                unsafe { libc::sendmmsg(self.file.as_raw_fd(), start, count, libc::MSG_DONTWAIT) };
            match usize::try_from(took) {
                Ok(took) if took > 0 => {
                    sent += took;
                    at += took;
                }
                _ => match Error::last_os_error().kind() {
                    ErrorKind::Interrupted => {}
                    // The rest would fare no better.
                    ErrorKind::WouldBlock | ErrorKind::NetworkDown => break,
                    // This one cannot be sent.
                    _ => at += 1,
                },
            }
        }
        sent
    }

    pub(super) fn wait(&self, waker: &Waker, time: Duration) -> Waited {
        waker.wait(self.file.as_fd(), Some(time))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn request() -> libc::ifreq {
    // SAFETY: a structure of plain data.
    unsafe { core::mem::zeroed() }
}

fn part(base: *const c_void, len: usize) -> libc::iovec {
    libc::iovec {
        iov_base: base.cast_mut(),
        iov_len: len,
    }
}

fn message(parts: &mut [libc::iovec]) -> libc::mmsghdr {
    // SAFETY: a structure of plain data; all that is not set is none.
    let mut message: libc::mmsghdr = unsafe { core::mem::zeroed() };
    message.msg_hdr.msg_iov = parts.as_mut_ptr();
    message.msg_hdr.msg_iovlen = parts.len();
    message
}
