//! The memory that a thread of a client shares with the thread that works for it.
//!
//! It holds one call: its number and words, the memory that they point to, and the answer.
//! Whose *turn* it is says who may touch it; the other waits, at first in a loop, then in
//! `futex(2)`. The kernel's side believes nothing that is here: it reads each word once.
#![allow(unsafe_code)]

use super::table::{WORDS, Words};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::stat::fstat;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many bytes the operands of a call can have. Only what is used takes memory.
pub(super) const AREA: usize = 1 << 20;
/// Where they begin, behind the head.
const HEAD: usize = 4096;
const SIZE: NonZeroUsize = NonZeroUsize::new(HEAD + AREA).unwrap();

/// How long a side looks before it sleeps.
const LOOK: Duration = Duration::from_micros(20);
/// How long it sleeps before it asks whether the other is still there.
const SLEEP: Duration = Duration::from_secs(1);

/// Who may touch the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Turn {
    Client = 0,
    Kernel = 1,
}

/// The answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) result: i64,
    /// What a result of -1 means, NetBSD's number.
    pub(super) errno: i32,
}

impl Answer {
    /// Of a call that was not made.
    pub(super) fn refused(errno: i32) -> Self {
        Self { result: -1, errno }
    }
}

#[repr(C)]
struct Head {
    turn: AtomicU32,
    /// Which side sleeps, by [`Turn`].
    sleeps: [AtomicU32; 2],
    call: AtomicU32,
    words: [AtomicU64; WORDS],
    result: AtomicI64,
    errno: AtomicI32,
}

/// A mapped segment.
#[derive(Debug)]
pub(super) struct Segment {
    start: NonNull<u8>,
}

// SAFETY: the head is of atomics, and the area is only reached through raw pointers.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// Makes one, which can neither shrink nor grow: touching it cannot fail on either side.
    pub(super) fn make() -> io::Result<(Self, OwnedFd)> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let fd = memfd_create(c"rump-remote", flags)?;
        nix::unistd::ftruncate(&fd, SIZE.get() as i64)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&fd, FcntlArg::F_ADD_SEALS(seals))?;
        Ok((Self::map(&fd)?, fd))
    }

    /// Maps one that the other side has made.
    pub(super) fn open(fd: OwnedFd) -> io::Result<Self> {
        if fstat(&fd)?.st_size != SIZE.get() as i64 {
            let problem = "the segment has another size";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Self::map(&fd)
    }

    fn map(fd: impl AsFd) -> io::Result<Self> {
        let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at a place of Linux's choice.
        let start = unsafe { mmap(None, SIZE, rights, MapFlags::MAP_SHARED, fd, 0) }?;
        Ok(Self {
            start: start.cast(),
        })
    }

    fn head(&self) -> &Head {
        // SAFETY: mapped as long as this lives, aligned to a page, and made of atomics, for
        // which all patterns of bits are values.
        unsafe { self.start.cast().as_ref() }
    }

    /// Where the operands lie.
    pub(super) fn area(&self) -> *mut u8 {
        // SAFETY: within the mapping.
        unsafe { self.start.as_ptr().add(HEAD) }
    }

    /// Puts a call down.
    pub(super) fn ask(&self, call: u32, words: &Words) {
        let head = self.head();
        head.call.store(call, Ordering::Relaxed);
        for (to, word) in head.words.iter().zip(words) {
            to.store(*word, Ordering::Relaxed);
        }
    }

    /// The call that was put down.
    pub(super) fn asked(&self) -> (u32, Words) {
        let head = self.head();
        let mut words = Words::default();
        for (word, from) in words.iter_mut().zip(&head.words) {
            *word = from.load(Ordering::Relaxed);
        }
        (head.call.load(Ordering::Relaxed), words)
    }

    /// Puts the answer down.
    pub(super) fn answer(&self, answer: Answer) {
        let head = self.head();
        head.result.store(answer.result, Ordering::Relaxed);
        head.errno.store(answer.errno, Ordering::Relaxed);
    }

    /// The answer that was put down.
    pub(super) fn answered(&self) -> Answer {
        let head = self.head();
        Answer {
            result: head.result.load(Ordering::Relaxed),
            errno: head.errno.load(Ordering::Relaxed),
        }
    }

    /// Gives the turn to the other side.
    pub(super) fn give(&self, turn: Turn) {
        let head = self.head();
        head.turn.store(turn as u32, Ordering::SeqCst);
        if head.sleeps[turn as usize].load(Ordering::SeqCst) != 0 {
            self.wake();
        }
    }

    /// Wakes whoever sleeps, to ask whether the other side is there.
    pub(super) fn wake(&self) {
        futex(&self.head().turn, libc::FUTEX_WAKE, i32::MAX as u32, None);
    }

    /// Waits for the turn; false if the other side is gone before it comes.
    pub(super) fn wait(&self, turn: Turn, is_there: impl Fn() -> bool) -> bool {
        let head = self.head();
        let mine = || head.turn.load(Ordering::SeqCst) == turn as u32;
        if looking_helps() {
            let limit = Instant::now() + LOOK;
            loop {
                for _ in 0..32 {
                    if mine() {
                        return true;
                    }
                    std::hint::spin_loop();
                }
                if Instant::now() > limit {
                    break;
                }
            }
        }
        let sleeps = &head.sleeps[turn as usize];
        sleeps.store(1, Ordering::SeqCst);
        let mut there = true;
        while !mine() && there {
            let seen = head.turn.load(Ordering::SeqCst);
            if seen != turn as u32 {
                futex(&head.turn, libc::FUTEX_WAIT, seen, Some(SLEEP));
            }
            there = mine() || is_there();
        }
        sleeps.store(0, Ordering::SeqCst);
        there
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and nobody refers to it any more.
        let _ = unsafe { munmap(self.start.cast(), SIZE.get()) };
    }
}

/// On one CPU, the other side does nothing while this one looks.
fn looking_helps() -> bool {
    static HELPS: OnceLock<bool> = OnceLock::new();
    *HELPS.get_or_init(|| std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1))
}

fn futex(word: &AtomicU32, operation: i32, value: u32, timeout: Option<Duration>) {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let limit = timeout
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: an aligned word that is mapped, and a time or none. All that it can say is that
    // there was nothing to wait for.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, limit) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_back_and_forth() {
        let (kernel, fd) = Segment::make().unwrap();
        let client = Segment::open(fd).unwrap();
        let worker = std::thread::spawn(move || {
            for _ in 0..1000 {
                assert!(kernel.wait(Turn::Kernel, || true));
                let (call, words) = kernel.asked();
                kernel.answer(Answer {
                    result: words[7] as i64,
                    errno: call as i32,
                });
                kernel.give(Turn::Client);
            }
        });
        for round in 0..1000 {
            client.ask(round as u32, &[0, 0, 0, 0, 0, 0, 0, round]);
            client.give(Turn::Kernel);
            assert!(client.wait(Turn::Client, || true));
            let expected = Answer {
                result: round as i64,
                errno: round as i32,
            };
            assert_eq!(client.answered(), expected);
        }
        worker.join().unwrap();
        // Nobody answers.
        client.give(Turn::Kernel);
        assert!(!client.wait(Turn::Client, || false));
    }

    #[test]
    fn its_size_cannot_change() {
        let (_segment, fd) = Segment::make().unwrap();
        assert!(nix::unistd::ftruncate(&fd, 0).is_err());
        assert!(nix::unistd::ftruncate(&fd, 1 << 30).is_err());
        let other = memfd_create(c"other", MFdFlags::MFD_CLOEXEC).unwrap();
        assert!(Segment::open(other).is_err());
    }
}
