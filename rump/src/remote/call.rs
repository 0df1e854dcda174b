//! A client's call, made for it.
//!
//! What the client wrote is taken for what it is: anything. Each word is read once; what the
//! kernel interprets is copied aside first, so that it cannot change between two looks at
//! it; only bytes that nobody looks at go from the segment to the kernel and back. A pointer
//! that reaches the kernel is always one of this side's, or null.
#![allow(unsafe_code)]

use super::segment::{AREA, Answer, Segment};
use super::table::{Placed, Row, Side, Way, Words, row, walk};
use rump_sys::abi;
use rump_sys::syscalls::{self, Call};
use std::ffi::c_int;
use std::ops::Range;
use std::ptr::with_exposed_provenance_mut;
use std::time::{Duration, Instant};

/// How long somebody waits before it asks whether the client is still there.
const SLICE: Duration = Duration::from_millis(500);

/// Requests of `ioctl(2)` that have no pointers in their argument, but for the one of
/// `SIOCGIFCONF`, which is seen to.
const REQUESTS: &[u64] = &[
    abi::FIONREAD,
    abi::FIONBIO,
    abi::FIOASYNC,
    abi::FIOCLEX,
    abi::FIONCLEX,
    abi::FIONWRITE,
    abi::FIONSPACE,
    abi::SIOCATMARK,
    abi::SIOCAIFADDR,
    abi::SIOCAIFADDR_IN6,
    abi::SIOCDIFADDR,
    abi::SIOCDIFADDR_IN6,
    abi::SIOCGIFAFLAG_IN,
    abi::SIOCGIFAFLAG_IN6,
    abi::SIOCGIFALIAS,
    abi::SIOCGIFCAP,
    abi::SIOCGIFCONF,
    abi::SIOCGIFDATA,
    abi::SIOCGIFFLAGS,
    abi::SIOCGIFMTU,
    abi::SIOCGIFNETMASK_IN6,
    abi::SIOCIFCREATE,
    abi::SIOCIFDESTROY,
    abi::SIOCSIFCAP,
    abi::SIOCSIFFLAGS,
    abi::SIOCSIFMTU,
    abi::SIOCZIFDATA,
];

/// Commands of `fcntl(2)` whose argument is a number.
const COMMANDS: &[c_int] = &[
    abi::F_DUPFD,
    abi::F_DUPFD_CLOEXEC,
    abi::F_GETFD,
    abi::F_SETFD,
    abi::F_GETFL,
    abi::F_SETFL,
];

/// Where operands are copied to: as large as the area, and as much of it in use.
pub(super) struct Room(Box<[u128]>);

impl Room {
    pub(super) fn new() -> Self {
        // From pages that are zero, and that take no memory before they are touched.
        Self(vec![0; AREA / size_of::<u128>()].into())
    }
}

/// Makes the call that was put down in the segment.
pub(super) fn answer(segment: &Segment, room: &mut Room, is_there: &dyn Fn() -> bool) -> Answer {
    let (number, words) = segment.asked();
    let call = Call::ALL.get(number as usize).copied();
    let Some((call, row)) = call.and_then(|call| Some((call, row(call)?))) else {
        return Answer::refused(abi::ENOSYS);
    };
    let mut desk = Desk::new(segment, room, row, &words);
    if walk(row, &words, AREA, &mut desk).is_err() {
        return Answer::refused(abi::EFAULT);
    }
    match desk.make(call, is_there) {
        Ok(result) => {
            // Before anything else makes a call on this thread.
            let errno = rump_sys::syscalls::errno();
            desk.give_back();
            Answer { result, errno }
        }
        Err(errno) => Answer::refused(errno),
    }
}

/// A call with its operands.
struct Desk<'a> {
    area: *mut u8,
    room: &'a mut [u8],
    /// What the kernel gets.
    words: Words,
    placed: Vec<Placed>,
}

impl<'a> Desk<'a> {
    fn new(segment: &Segment, room: &'a mut Room, row: &Row, asked: &Words) -> Self {
        let mut words = Words::default();
        for number in row.numbers {
            words[*number] = asked[*number];
        }
        let size = size_of_val(&*room.0);
        // SAFETY: plain bytes of the room's, borrowed for as long.
        let room = unsafe { std::slice::from_raw_parts_mut(room.0.as_mut_ptr().cast(), size) };
        Self {
            area: segment.area(),
            room,
            words,
            placed: Vec::new(),
        }
    }

    /// Where the copy of an operand is.
    fn range(&self, word: usize) -> Option<Range<usize>> {
        let placed = self.placed.iter().find(|one| one.operand.word == word)?;
        Some(placed.range())
    }

    /// The copy of an operand.
    fn operand(&mut self, word: usize) -> &mut [u8] {
        let range = self.range(word).unwrap_or_default();
        &mut self.room[range]
    }

    fn make(&mut self, call: Call, is_there: &dyn Fn() -> bool) -> Result<i64, c_int> {
        match call {
            Call::fcntl if !COMMANDS.contains(&(self.words[1] as c_int)) => Err(abi::EINVAL),
            Call::ioctl if !REQUESTS.contains(&self.words[1]) => Err(abi::ENOTTY),
            Call::ioctl if self.words[1] == abi::SIOCGIFCONF => Ok(self.interfaces()),
            Call::sysctl if !self.is_harmless() => Err(abi::EPERM),
            Call::open if self.operand(0).last() != Some(&0) => Err(abi::EFAULT),
            Call::poll => Ok(self.poll(is_there)),
            Call::kevent => Ok(self.kevent(is_there)),
            Call::sendmsg => Ok(self.sendmsg()),
            Call::recvmsg => Ok(self.recvmsg()),
            // SAFETY: pointers are to operands of the length that the kernel is told, and
            // the rest are numbers (`walk`, the table); the worker has an lwp.
            _ => Ok(unsafe { call.make(&self.words) }),
        }
    }

    /// Whether a name of `sysctl(3)` makes no node, which would come with pointers.
    fn is_harmless(&mut self) -> bool {
        let (names, _) = self.operand(0).as_chunks();
        let mut names = names.iter().map(|name| c_int::from_ne_bytes(*name));
        names.all(|name| name >= 0 || name == abi::CTL_QUERY)
    }

    fn interfaces(&mut self) -> i64 {
        let buffer = std::mem::take(&mut self.words[3]);
        let own = self.operand(2);
        let length = i32::from_ne_bytes(own.first_chunk().copied().unwrap_or_default());
        let mut conf = abi::ifconf {
            ifc_len: if buffer == 0 { 0 } else { length },
            ifc_ifcu: with_exposed_provenance_mut(buffer as usize),
        };
        let argument = (&raw mut conf).expose_provenance() as u64;
        // SAFETY: the structure of the request, with a buffer of its length (`walk`).
        let result = unsafe { Call::ioctl.make(&[self.words[0], self.words[1], argument]) };
        // Not where the buffer is.
        own_length(self.operand(2), conf.ifc_len);
        result
    }

    fn poll(&mut self, is_there: &dyn Fn() -> bool) -> i64 {
        let limit = match self.words[2] as c_int {
            forever if forever < 0 => None,
            millis => Some(Duration::from_millis(millis.unsigned_abs().into())),
        };
        let [fds, count, ..] = self.words;
        in_slices(limit, is_there, |slice| {
            let millis = slice.as_nanos().div_ceil(1_000_000) as u64;
            // SAFETY: as many as the operand has.
            unsafe { Call::poll.make(&[fds, count, millis]) }
        })
    }

    fn kevent(&mut self, is_there: &dyn Fn() -> bool) -> i64 {
        let limit = match self.operand(5).as_chunks().0 {
            [seconds, nanos] => {
                let [seconds, nanos] = [seconds, nanos].map(|part| i64::from_ne_bytes(*part));
                match (u64::try_from(seconds), u32::try_from(nanos)) {
                    (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => {
                        Some(Duration::new(seconds, nanos))
                    }
                    _ => {
                        syscalls::set_errno(abi::EINVAL);
                        return -1;
                    }
                }
            }
            _ => None,
        };
        let [queue, changes, mut count, events, room, ..] = self.words;
        // Nothing to wait for.
        let limit = if room == 0 {
            Some(Duration::ZERO)
        } else {
            limit
        };
        in_slices(limit, is_there, |slice| {
            let timeout = abi::timespec {
                tv_sec: slice.as_secs() as i64,
                tv_nsec: slice.subsec_nanos().into(),
            };
            let timeout = (&raw const timeout).expose_provenance() as u64;
            // Changes are made once.
            let count = std::mem::take(&mut count);
            // SAFETY: as many as the operands have.
            unsafe { Call::kevent.make(&[queue, changes, count, events, room, timeout]) }
        })
    }

    fn vector(&self) -> abi::iovec {
        abi::iovec {
            iov_base: with_exposed_provenance_mut(self.words[5] as usize),
            iov_len: self.words[6] as usize,
        }
    }

    fn sendmsg(&mut self) -> i64 {
        let mut vector = self.vector();
        let [
            socket,
            name,
            name_length,
            control,
            control_length,
            _,
            _,
            flags,
        ] = self.words;
        let message = abi::msghdr {
            msg_name: with_exposed_provenance_mut(name as usize),
            msg_namelen: name_length as u32,
            msg_iov: &raw mut vector,
            msg_iovlen: 1,
            msg_control: with_exposed_provenance_mut(control as usize),
            msg_controllen: control_length as u32,
            msg_flags: 0,
        };
        let message = (&raw const message).expose_provenance() as u64;
        // SAFETY: a message of operands with their lengths.
        unsafe { Call::sendmsg.make(&[socket, message, flags]) }
    }

    fn recvmsg(&mut self) -> i64 {
        let mut vector = self.vector();
        let [socket, name, _, control, _, _, _, flags] = self.words;
        let number = |own: &[u8], at: usize| {
            let bytes = own.get(at..at + 4).and_then(|bytes| bytes.first_chunk());
            u32::from_ne_bytes(bytes.copied().unwrap_or_default())
        };
        let own = self.operand(2);
        let lengths = [number(own, 0), number(own, 4)];
        let or_none = |pointer: u64, length| if pointer == 0 { 0 } else { length };
        let mut message = abi::msghdr {
            msg_name: with_exposed_provenance_mut(name as usize),
            msg_namelen: or_none(name, lengths[0]),
            msg_iov: &raw mut vector,
            msg_iovlen: 1,
            msg_control: with_exposed_provenance_mut(control as usize),
            msg_controllen: or_none(control, lengths[1]),
            msg_flags: 0,
        };
        let place = (&raw mut message).expose_provenance() as u64;
        // SAFETY: as above, and room of as much.
        let result = unsafe { Call::recvmsg.make(&[socket, place, flags]) };
        let told = [
            message.msg_namelen,
            message.msg_controllen,
            message.msg_flags as u32,
        ];
        for (to, value) in self.operand(2).chunks_exact_mut(4).zip(told) {
            to.copy_from_slice(&value.to_ne_bytes());
        }
        result
    }

    /// Puts what the kernel wrote where the client finds it.
    fn give_back(&mut self) {
        for one in &self.placed {
            if let Way::Out | Way::Both = one.operand.way {
                let from = &self.room[one.range()];
                // SAFETY: within the area (`walk`); the client may read it as it is written,
                // and sees what it sees.
                unsafe {
                    (from.as_ptr()).copy_to_nonoverlapping(self.area.add(one.at), from.len())
                };
            }
        }
    }
}

impl Side for Desk<'_> {
    fn number(&self, word: usize, offset: usize, bytes: usize) -> Option<u64> {
        let own = self.room[self.range(word)?].get(offset..offset + bytes)?;
        let mut wide = [0; 8];
        wide[..bytes].copy_from_slice(own);
        Some(u64::from_le_bytes(wide))
    }

    fn place(&mut self, placed: Placed) {
        // SAFETY: within the area (`walk`).
        let shared = unsafe { self.area.add(placed.at) };
        let own = &mut self.room[placed.range()];
        let place = match placed.operand.way {
            Way::Data | Way::Room => shared,
            Way::In | Way::Both => {
                // SAFETY: as much of both; the client may write meanwhile, and what is copied
                // then is what it is.
                unsafe { shared.copy_to_nonoverlapping(own.as_mut_ptr(), own.len()) };
                own.as_mut_ptr()
            }
            Way::Out => {
                // Nothing of what other calls left.
                own.fill(0);
                own.as_mut_ptr()
            }
        };
        self.words[placed.operand.word] = place.expose_provenance() as u64;
        self.placed.push(placed);
    }
}

/// The first field of an `ifconf`, alone.
fn own_length(conf: &mut [u8], length: c_int) {
    conf.fill(0);
    if let Some(first) = conf.first_chunk_mut() {
        *first = length.to_ne_bytes();
    }
}

/// Waits in slices, at most for as long as `limit`, while somebody is there to wait for it.
fn in_slices(
    limit: Option<Duration>,
    is_there: &dyn Fn() -> bool,
    mut wait: impl FnMut(Duration) -> i64,
) -> i64 {
    let began = Instant::now();
    loop {
        let left = limit.map_or(SLICE, |limit| limit.saturating_sub(began.elapsed()));
        let result = wait(left.min(SLICE));
        if result != 0 || left <= SLICE && limit.is_some() || !is_there() {
            return result;
        }
    }
}
