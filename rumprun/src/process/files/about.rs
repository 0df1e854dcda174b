//! What a file is (`stat(2)`, `statx(2)`), what is in a folder (`getdents64(2)`), and how
//! much room there is (`statfs(2)`).

use super::{Args, Files};
use crate::process::copy::{self, Result};
use crate::process::tree::{Id, Kind};
use alloc::vec::Vec;
use rump_linux::Errno;
use rump_linux::raw::general::*;

/// The number of the only device that files are on.
const DEVICE: u64 = 1;
/// `TMPFS_MAGIC` of `<linux/magic.h>`.
const TMPFS: u64 = 0x0102_1994;
/// Bytes of a block, for those who count in them.
const BLOCK: u64 = 4096;

/// What is told of a node.
struct About {
    node: Id,
    mode: u32,
    links: u32,
    owner: (u32, u32),
    size: u64,
    device: (u32, u32),
    times: [u64; 3],
}

impl Files {
    /// A call that asks; `None` if it does not.
    pub(super) fn told(&self, number: u32, args: &Args) -> Option<Result<i64>> {
        let here = AT_FDCWD as u64;
        let done = match number {
            __NR_stat => self
                .at((here, args[0]), true)
                .and_then(|node| self.stat(node, args[1])),
            __NR_lstat => self
                .at((here, args[0]), false)
                .and_then(|node| self.stat(node, args[1])),
            __NR_fstat => self
                .file(args[0])
                .and_then(|file| self.stat(file.node, args[1])),
            __NR_newfstatat => {
                let node = self.asked((args[0], args[1]), args[3] as u32);
                node.and_then(|node| self.stat(node, args[2]))
            }
            __NR_statx => {
                let node = self.asked((args[0], args[1]), args[2] as u32);
                node.and_then(|node| self.statx(node, args[4]))
            }
            __NR_statfs => self.at((here, args[0]), true).and_then(|_| statfs(args[1])),
            __NR_fstatfs => self.file(args[0]).and_then(|_| statfs(args[1])),
            __NR_getdents64 => self.getdents(args),
            __NR_getxattr | __NR_lgetxattr | __NR_fgetxattr | __NR_listxattr | __NR_llistxattr
            | __NR_flistxattr | __NR_setxattr | __NR_lsetxattr | __NR_fsetxattr => {
                Err(Errno::EOPNOTSUPP)
            }
            _ => return None,
        };
        Some(done)
    }

    /// By a path, or a descriptor alone.
    fn asked(&self, at: (u64, u64), flags: u32) -> Result<Id> {
        let empty = flags & AT_EMPTY_PATH != 0;
        if empty && (at.1 == 0 || copy::get::<u8>(at.1)? == 0) {
            return self.folder(at.0);
        }
        self.at(at, flags & AT_SYMLINK_NOFOLLOW == 0)
    }

    fn about(&self, node: Id) -> About {
        let tree = self.tree.lock();
        let of = tree.get(node);
        let device = match of.kind {
            Kind::Device(device) => device.numbers(),
            _ => (0, 0),
        };
        About {
            node,
            mode: of.mode(),
            links: of.links,
            owner: of.owner,
            size: of.size(),
            device,
            times: of.times,
        }
    }

    /// `struct stat` of x86-64: 144 bytes.
    fn stat(&self, node: Id, to: u64) -> Result<i64> {
        let about = self.about(node);
        let [major, minor] = [about.device.0, about.device.1].map(u64::from);
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let mut words = [0_u64; 18];
        words[0] = DEVICE;
        words[1] = number(about.node);
        words[2] = about.links.into();
        words[3] = pair(about.mode, about.owner.0);
        words[4] = about.owner.1.into();
        words[5] = minor & 0xff | major << 8 | (minor & !0xff) << 12;
        words[6] = about.size;
        words[7] = BLOCK;
        words[8] = about.size.div_ceil(512);
        for (index, time) in about.times.into_iter().enumerate() {
            let [seconds, nanos] = copy::timespec(time);
            words[9 + 2 * index] = seconds;
            words[10 + 2 * index] = nanos;
        }
        copy::put(&words, to)?;
        Ok(0)
    }

    /// `struct statx`: 256 bytes.
    fn statx(&self, node: Id, to: u64) -> Result<i64> {
        let about = self.about(node);
        let mut bytes = [0_u8; 256];
        let mut at = |offset: usize, value: &[u8]| {
            bytes[offset..offset + value.len()].copy_from_slice(value);
        };
        let word = |value: u32| value.to_ne_bytes();
        let long = |value: u64| value.to_ne_bytes();
        // All that is basic but the time of birth.
        at(0, &word(STATX_BASIC_STATS));
        at(4, &word(BLOCK as u32));
        at(16, &word(about.links));
        at(20, &word(about.owner.0));
        at(24, &word(about.owner.1));
        at(28, &(about.mode as u16).to_ne_bytes());
        at(32, &long(number(about.node)));
        at(40, &long(about.size));
        at(48, &long(about.size.div_ceil(512)));
        // Read, changed, written; the time of birth, which lies between, is not told.
        let [read, written, changed] = about.times;
        for (offset, time) in [(64, read), (96, changed), (112, written)] {
            let [seconds, nanos] = copy::timespec(time);
            at(offset, &long(seconds));
            at(offset + 8, &word(nanos as u32));
        }
        at(128, &word(about.device.0));
        at(132, &word(about.device.1));
        at(140, &word(DEVICE as u32));
        copy::copyout(&bytes, to)?;
        Ok(0)
    }

    fn getdents(&self, args: &Args) -> Result<i64> {
        let file = self.file(args[0])?;
        let room = usize::try_from(args[2]).unwrap_or(usize::MAX);
        let mut position = file.position.lock();
        let names = {
            let tree = self.tree.lock();
            let names = tree.names(file.node, *position)?;
            let with_mode = names.into_iter().map(|(next, name, id)| {
                let kind = tree.get(id).mode() >> 12;
                (next, name, id, kind as u8)
            });
            with_mode.collect::<Vec<_>>()
        };
        let mut bytes = Vec::new();
        for (next, name, id, kind) in names {
            let start = bytes.len();
            let length = (19 + name.len() + 1).next_multiple_of(8);
            if start + length > room {
                if start == 0 {
                    return Err(Errno::EINVAL);
                }
                break;
            }
            bytes.extend_from_slice(&number(id).to_ne_bytes());
            bytes.extend_from_slice(&next.to_ne_bytes());
            bytes.extend_from_slice(&(length as u16).to_ne_bytes());
            bytes.push(kind);
            bytes.extend_from_slice(&name);
            bytes.resize(start + length, 0);
            *position = next;
        }
        copy::copyout(&bytes, args[1])?;
        Ok(bytes.len() as i64)
    }
}

/// `st_ino`, which is not 0.
fn number(node: Id) -> u64 {
    node as u64 + 1
}

/// `struct statfs` of x86-64: 120 bytes. How much memory is left is not told: what is
/// written is refused when there is none.
fn statfs(to: u64) -> Result<i64> {
    let mut words = [0_u64; 15];
    words[0] = TMPFS;
    words[1] = BLOCK;
    words[8] = 255;
    words[9] = BLOCK;
    copy::put(&words, to)?;
    Ok(0)
}
