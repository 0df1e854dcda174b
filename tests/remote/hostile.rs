//! A client that says anything: the kernel's process goes on, and others see nothing of it.

use crate::common::Outcome;
use crate::place;
use nix::cmsg_space;
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use rump_sys::abi;
use rump_sys::syscalls::Call;
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

const HELLO: &str = concat!("rump-remote ", env!("CARGO_PKG_VERSION"), "\n");

/// The same sequence each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// A number as hostile ones are: small, at an edge, or anything.
    fn number(&mut self) -> u64 {
        match self.below(6) {
            0 => self.below(8),
            1 => self.below(64),
            2 => [
                0,
                1,
                u64::MAX,
                1 << 31,
                1 << 32,
                (1 << 20) - 1,
                1 << 20,
                1 << 63,
            ][self.below(8) as usize],
            3 => self.below(1 << 12),
            4 => self.below(1 << 21),
            _ => self.roll(),
        }
    }
}

fn order(stream: &mut UnixStream, kind: u64, number: u64) -> io::Result<(u64, Option<OwnedFd>)> {
    stream.write_all(&kind.to_ne_bytes())?;
    stream.write_all(&number.to_ne_bytes())?;
    let mut bytes = [0; 16];
    let mut space = cmsg_space!([RawFd; 1]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let fd = message.cmsgs()?.find_map(|one| match one {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    if message.bytes < 16 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // SAFETY: it came with the message.
    #[allow(unsafe_code)]
    let fd = fd.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    Ok((
        u64::from_ne_bytes(*bytes.first_chunk().expect("16 bytes")),
        fd,
    ))
}

/// A segment, as the protocol has it.
struct Segment(NonNull<u8>);

impl Segment {
    const AREA: usize = 1 << 20;
    const HEAD: usize = 4096;

    fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at < Self::HEAD);
        // SAFETY: mapped for good, and aligned.
        #[allow(unsafe_code)]
        unsafe {
            self.0.add(at).cast().as_ref()
        }
    }

    fn wide(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at < Self::HEAD + Self::AREA);
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe {
            self.0.add(at).cast().as_ref()
        }
    }

    /// Whether the call was answered in time.
    fn call(&self, number: u32, words: [u64; 8]) -> bool {
        self.word(12).store(number, Ordering::Relaxed);
        for (at, word) in words.into_iter().enumerate() {
            self.wide(16 + 8 * at).store(word, Ordering::Relaxed);
        }
        self.word(0).store(1, Ordering::SeqCst);
        // SAFETY: a mapped word.
        #[allow(unsafe_code)]
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.word(0).as_ptr(),
                libc::FUTEX_WAKE,
                1,
                0,
            );
        }
        for round in 0.. {
            if self.word(0).load(Ordering::SeqCst) == 0 {
                return true;
            }
            match round {
                0..1000 => std::hint::spin_loop(),
                1000..1200 => std::thread::sleep(Duration::from_micros(50)),
                _ => break,
            }
        }
        false
    }
}

fn connect() -> io::Result<(UnixStream, Segment)> {
    let mut stream = UnixStream::connect(place())?;
    stream.write_all(HELLO.as_bytes())?;
    order(&mut stream, 1, 0)?;
    let (_, fd) = order(&mut stream, 3, 0)?;
    let fd = fd.ok_or(io::ErrorKind::InvalidData)?;
    let size = NonZeroUsize::new(Segment::HEAD + Segment::AREA).expect("not 0");
    let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping.
    #[allow(unsafe_code)]
    let start = unsafe { mmap(None, size, rights, MapFlags::MAP_SHARED, fd, 0) }?;
    Ok((stream, Segment(start.cast())))
}

/// Whether a call might change what all clients share: that is allowed.
fn is_everybodys(number: u32, words: &[u64; 8]) -> bool {
    match Call::ALL.get(number as usize) {
        Some(Call::sysctl) => words[4] != 0 && words[5] != 0,
        Some(Call::ioctl) => words[1] & 0xff00 == u64::from(b'i') << 8,
        _ => false,
    }
}

/// Calls with any words, while what they point to changes.
pub fn calls() -> Outcome {
    let count = if std::env::var_os("RUMP_TEST_LONG").is_some() {
        3_000_000
    } else {
        20_000
    };
    let mut dice = Dice(0x5eed);
    let (mut made, mut waited) = (0, 0);
    while made < count {
        let (stream, segment) = connect()?;
        for _ in 0..2000 {
            let number = dice.below(Call::ALL.len() as u64 + 2) as u32;
            let mut words = [0; 8].map(|_: u64| dice.number());
            if dice.below(2) == 0 {
                words[0] = dice.below(6);
            }
            if dice.below(4) == 0 {
                (words[0], words[1], words[2]) = (
                    [abi::AF_INET, abi::AF_INET6, abi::AF_LOCAL][dice.below(3) as usize] as u64,
                    dice.below(4),
                    0,
                );
            }
            for at in (0..512).step_by(8) {
                segment
                    .wide(Segment::HEAD + at)
                    .store(dice.number(), Ordering::Relaxed);
            }
            made += 1;
            if !is_everybodys(number, &words) && !segment.call(number, words) {
                // It waits, and is left there.
                waited += 1;
                break;
            }
        }
        drop(stream);
        // SAFETY: the mapping is not used any more.
        #[allow(unsafe_code)]
        unsafe {
            libc::munmap(segment.0.as_ptr().cast(), Segment::HEAD + Segment::AREA);
        }
    }
    println!("{made} hostile calls, {waited} of which were left waiting");
    still_served()
}

/// What is no order.
pub fn orders() -> Outcome {
    let mut dice = Dice(0xdead);
    for round in 0..300 {
        let mut stream = UnixStream::connect(place())?;
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        if round % 3 > 0 {
            stream.write_all(HELLO.as_bytes())?;
        }
        if round % 3 > 1 {
            order(&mut stream, 1, 0)?;
        }
        let length = dice.below(64) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| dice.roll() as u8).collect();
        // It may have been refused before all was said.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read(&mut [0; 64]);
    }
    println!("300 hostile connections");
    // A child that nobody had.
    let mut stream = UnixStream::connect(place())?;
    stream.write_all(HELLO.as_bytes())?;
    let (errno, _) = order(&mut stream, 2, 12345)?;
    assert_eq!(errno, libc::ESRCH as u64);
    still_served()
}

fn still_served() -> Outcome {
    let mut client = crate::client("streams", &[])?;
    assert!(client.wait()?.success());
    Ok(())
}
