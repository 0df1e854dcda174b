//! What a program that `execve(2)` starts gets of its predecessor, where it is another image
//! of this crate: sockets, as text.
//!
//! The kernel's descriptors must be the new image's under the same numbers, which is the
//! runner's matter; what the kernel does not know of them is told here. Event and timer
//! descriptors and epoll instances are not handed on.

use crate::errno::Errno;
use crate::lock::Mutex;
use crate::object::{Description, KernelFd, Object, Socket, State};
use crate::process::{Entry, Process};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::str::FromStr;

/// A socket that is handed on, under one of its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heirloom {
    /// The descriptor's number.
    pub number: i32,
    /// The kernel's. Several numbers with one of these share a description.
    pub kernel_fd: i32,
    flags: u32,
    kind: [u32; 3],
    /// `listening`, `connected`, `connecting`, `shut_for_writing`.
    state: [bool; 4],
    timeouts: [Option<u64>; 2],
    kept: BTreeMap<(u32, u32), Vec<u8>>,
}

/// Text that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHeirloom;

impl Heirloom {
    fn of(number: i32, one: &Description) -> Option<Self> {
        let socket = one.socket()?;
        let state = socket.state.lock().clone();
        Some(Self {
            number,
            kernel_fd: socket.fd.number,
            flags: one.flags(),
            kind: [socket.domain, socket.kind, socket.protocol],
            state: [
                state.listening,
                state.connected,
                state.connecting,
                state.shut_for_writing,
            ],
            timeouts: [state.receive_timeout, state.send_timeout],
            kept: state.kept,
        })
    }

    /// The same under another number.
    #[must_use]
    pub fn under(&self, number: i32) -> Self {
        Self {
            number,
            ..self.clone()
        }
    }

    fn description(&self, process: &Process) -> Arc<Description> {
        let [domain, kind, protocol] = self.kind;
        let [listening, connected, connecting, shut_for_writing] = self.state;
        let [receive_timeout, send_timeout] = self.timeouts;
        let socket = Socket {
            fd: KernelFd::new(&process.kernel, self.kernel_fd),
            domain,
            kind,
            protocol,
            state: Mutex::new(State {
                listening,
                connected,
                connecting,
                shut_for_writing,
                receive_timeout,
                send_timeout,
                kept: self.kept.clone(),
            }),
        };
        Description::new(Object::Socket(socket), self.flags)
    }
}

impl fmt::Display for Heirloom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, .. } = self;
        let bits = self.state.iter().rev();
        let bits = bits.fold(0, |bits, bit| bits << 1 | u32::from(*bit));
        write!(f, "{},{},{}", self.number, self.kernel_fd, self.flags)?;
        write!(f, ",{},{},{},{bits}", kind[0], kind[1], kind[2])?;
        for timeout in self.timeouts {
            // Zero is none, as in the option.
            write!(f, ",{}", timeout.unwrap_or(0))?;
        }
        for ((level, name), value) in &self.kept {
            write!(f, ",{level}.{name}.")?;
            for byte in value {
                write!(f, "{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Heirloom {
    type Err = NoHeirloom;

    fn from_str(text: &str) -> Result<Self, NoHeirloom> {
        fn next<T: FromStr>(parts: &mut core::str::Split<'_, char>) -> Result<T, NoHeirloom> {
            let part = parts.next().ok_or(NoHeirloom)?;
            part.parse().map_err(|_| NoHeirloom)
        }
        let parts = &mut text.split(',');
        let [number, kernel_fd] = [next(parts)?, next(parts)?];
        if number < 0 || kernel_fd < 0 {
            return Err(NoHeirloom);
        }
        let flags = next(parts)?;
        let kind = [next(parts)?, next(parts)?, next(parts)?];
        let bits: u32 = next(parts)?;
        let state = [0, 1, 2, 3].map(|bit| bits >> bit & 1 != 0);
        if bits > 15 {
            return Err(NoHeirloom);
        }
        let timeouts = [next::<u64>(parts)?, next(parts)?];
        Ok(Self {
            number,
            kernel_fd,
            flags,
            kind,
            state,
            timeouts: timeouts.map(|timeout| (timeout != 0).then_some(timeout)),
            kept: parts.map(option).collect::<Result<_, _>>()?,
        })
    }
}

/// A kept option: level, name, and its bytes.
fn option(text: &str) -> Result<((u32, u32), Vec<u8>), NoHeirloom> {
    let parts = &mut text.split('.');
    let (level, name, value) = (parts.next(), parts.next(), parts.next());
    let number = |part: Option<&str>| part.and_then(|part| part.parse().ok()).ok_or(NoHeirloom);
    let key = (number(level)?, number(name)?);
    let (pairs, rest) = value.ok_or(NoHeirloom)?.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || parts.next().is_some() {
        return Err(NoHeirloom);
    }
    let byte = |pair: &[u8; 2]| {
        let text = core::str::from_utf8(pair).map_err(|_| NoHeirloom)?;
        u8::from_str_radix(text, 16).map_err(|_| NoHeirloom)
    };
    Ok((key, pairs.iter().map(byte).collect::<Result<_, _>>()?))
}

/// Several of them as text.
pub fn to_text<'a>(heirlooms: impl IntoIterator<Item = &'a Heirloom>) -> String {
    let mut text = String::new();
    for one in heirlooms {
        // A string takes all.
        let _ = write!(text, "{}{one}", if text.is_empty() { "" } else { ";" });
    }
    text
}

/// The same from text.
///
/// # Errors
/// It is something else.
pub fn from_text(text: &str) -> Result<Vec<Heirloom>, NoHeirloom> {
    let parts = text.split(';').filter(|part| !part.is_empty());
    parts.map(str::parse).collect()
}

impl Process {
    /// The sockets that a program gets which this process executes; or all, where something
    /// else may be done with their numbers before that.
    pub fn heirlooms(&self, all: bool) -> Vec<Heirloom> {
        let table = self.descriptors.read();
        let kept = table
            .iter()
            .filter(|(_, entry)| all || !entry.close_on_exec);
        kept.filter_map(|(fd, entry)| Heirloom::of(*fd, &entry.description))
            .collect()
    }

    /// Has the kernel's descriptors closed at `execve(2)`, as they are otherwise, or not: what
    /// the kernel makes a copy of for the program is what is not.
    pub fn set_close_at_exec(&self, heirlooms: &[Heirloom], closes: bool) {
        let flag = if closes { rump_abi::FD_CLOEXEC } else { 0 };
        for one in heirlooms {
            // Another thread may have closed it.
            let _ = (self.kernel).fcntl(one.kernel_fd, rump_abi::F_SETFD, flag as usize);
        }
    }

    /// Takes over what this image got from the one before, whose numbers are reserved in the
    /// host already. A number below 0 says that nobody has it open any more.
    ///
    /// # Errors
    /// `EBADF` if the process in the kernel has no such descriptor.
    pub fn inherit(&self, heirlooms: &[Heirloom]) -> Result<(), Errno> {
        let mut known = BTreeMap::<i32, Arc<Description>>::new();
        for one in heirlooms {
            let description = match known.get(&one.kernel_fd) {
                Some(description) => description.clone(),
                None => {
                    let closes = rump_abi::FD_CLOEXEC as usize;
                    (self.kernel).fcntl(one.kernel_fd, rump_abi::F_SETFD, closes)?;
                    let made = one.description(self);
                    known.insert(one.kernel_fd, made.clone());
                    made
                }
            };
            if one.number < 0 {
                continue;
            }
            let entry = Entry {
                description,
                close_on_exec: false,
            };
            let before = self.descriptors.write().insert(one.number, entry);
            drop(before);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn one() -> Heirloom {
        Heirloom {
            number: 3,
            kernel_fd: 70_000,
            flags: 0o4002,
            kind: [10, 1, 6],
            state: [false, true, false, true],
            timeouts: [None, Some(u64::MAX)],
            kept: BTreeMap::from([((6, 3), Vec::from([1, 0, 0, 255])), ((1, 12), Vec::new())]),
        }
    }

    #[test]
    fn they_come_back_from_text() {
        let other = Heirloom {
            number: 0,
            state: [true, false, true, false],
            ..one()
        };
        let both = [one(), other];
        assert_eq!(from_text(&to_text(&both)), Ok(both.to_vec()));
        assert_eq!(from_text(""), Ok(Vec::new()));
    }

    #[test]
    fn anything_else_is_refused() {
        let good = one().to_string();
        for at in 0..good.len() {
            // Without panics; what is cut off within a number or the last option may be one.
            let _ = good[..at].parse::<Heirloom>();
            for other in ["-", ",", ".", "x", "\u{e9}", "99999999999999999999"] {
                let changed = [&good[..at], other, &good[at + 1..]].concat();
                if let Ok(parsed) = changed.parse::<Heirloom>() {
                    assert!(parsed.number >= 0 && parsed.kernel_fd >= 0, "{changed}");
                }
            }
        }
        for wrong in [
            "-1,3,2,2,1,6,0,0,0",
            "3,-3,2,2,1,6,0,0,0",
            "3,3,2,2,1,6,16,0,0",
            "3,3,2,2,1,6,0,0",
            "3,3,2,2,1,6,0,0,0,1.2",
            "3,3,2,2,1,6,0,0,0,1.2.0",
            "3,3,2,2,1,6,0,0,0,1.2.zz",
            "3,3,2,2,1,6,0,0,0,1.2.00.00",
        ] {
            assert_eq!(wrong.parse::<Heirloom>(), Err(NoHeirloom), "{wrong}");
        }
    }
}
