//! Files: the tree in memory, devices, proc(5), and the system calls about them.
//!
//! | module | is |
//! |---|---|
//! | [`table`] | numbers of descriptors |
//! | [`data`] | reading and writing |
//! | [`names`] | calls that are given a path |
//! | [`about`] | what a file is (`stat(2)`), and what is in a folder |
//!
//! A call takes the six arguments of Linux's ABI. What a file of proc(5) tells is asked of
//! whoever made this: it is put together when the file is opened.
//!
//! Locks: the table before the tree. A file that goes closes its node, so that none may be
//! dropped while the tree is held.

mod about;
mod data;
mod names;
pub mod table;

use super::copy::{self, Result};
use super::lock::Mutex;
use super::tree::{self, Id, Kind, Told, Tree};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use rump_linux::raw::general::*;
use rump_linux::raw::ioctl;
use rump_linux::{Errno, Slot};
use table::{Entry, Table};

/// Arguments of a system call.
pub type Args = [u64; 6];

/// What the machine does for files.
pub trait Outside: Send + Sync {
    /// The time that is now, in nanoseconds since 1970.
    fn wall(&self) -> u64;
    /// Writes to the console.
    fn print(&self, text: &[u8]);
    /// Random bytes.
    fn random(&self, into: &mut [u8]);
    /// What a file of proc(5) tells.
    fn tell(&self, what: Told) -> Vec<u8>;
}

/// An open file.
#[derive(Debug)]
pub struct File {
    tree: Arc<Mutex<Tree>>,
    /// Its node.
    pub node: Id,
    flags: AtomicU32,
    position: Mutex<u64>,
    /// Of a file of proc(5).
    text: Option<Vec<u8>>,
}

impl File {
    /// As `F_GETFL` tells.
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    fn reads(&self) -> Result<()> {
        match self.flags() & O_ACCMODE {
            O_WRONLY => Err(Errno::EBADF),
            _ => Ok(()),
        }
    }

    fn writes(&self) -> Result<()> {
        match self.flags() & O_ACCMODE {
            O_RDONLY => Err(Errno::EBADF),
            _ => Ok(()),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.tree.lock().close(self.node);
    }
}

/// The files of the program.
pub struct Files {
    /// All there are.
    pub tree: Arc<Mutex<Tree>>,
    /// Those that are open.
    pub table: Mutex<Table>,
    folder: Mutex<Id>,
    mask: AtomicU32,
    outside: &'static dyn Outside,
}

impl core::fmt::Debug for Files {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

/// Flags that `F_SETFL` changes (fcntl(2)).
const CHANGEABLE: u32 = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME;

impl Files {
    /// A tree, and descriptors 0, 1 and 2 at the console.
    pub fn new(tree: Tree, outside: &'static dyn Outside) -> Self {
        let files = Self {
            tree: Arc::new(Mutex::new(tree)),
            table: Mutex::default(),
            folder: Mutex::new(tree::ROOT),
            mask: AtomicU32::new(0o022),
            outside,
        };
        // Neither is a file, which alone could fail.
        let _ = files.tree.lock().open(tree::ROOT);
        let console = files.tree.lock().find(tree::ROOT, b"/dev/console", true);
        if let Ok(console) = console
            && let Ok(file) = files.opened(console, O_RDWR)
        {
            for _ in 0..3 {
                // There is room in an empty table.
                let _ = files.add(file.clone(), Slot::Lowest(0), false);
            }
        }
        files
    }

    /// A system call about files; `None` if it is about something else.
    pub fn call(&self, number: u32, args: &Args) -> Option<Result<i64>> {
        let path = |at: usize| copy::copyinstr(args[at], tree::PATH_MAX);
        let here = AT_FDCWD as u64;
        let done = match number {
            __NR_read => self.read(args),
            __NR_write => self.write(args),
            __NR_readv => self.readv(args, None),
            __NR_writev => self.writev(args, None),
            __NR_preadv | __NR_preadv2 => self.readv(args, Some(args[3])),
            __NR_pwritev | __NR_pwritev2 => self.writev(args, Some(args[3])),
            __NR_pread64 => self.pread(args),
            __NR_pwrite64 => self.pwrite(args),
            __NR_lseek => self.lseek(args),
            __NR_ftruncate => self.ftruncate(args),
            __NR_fallocate => self.fallocate(args),
            __NR_sendfile => self.send_file(args),
            __NR_copy_file_range => self.copy_file_range(args),
            __NR_fsync | __NR_fdatasync | __NR_sync_file_range => self.sync(args[0]),
            __NR_syncfs => self.file(args[0]).and_then(|_| self.sync_all()),
            __NR_sync => self.sync_all(),
            __NR_fadvise64 | __NR_flock => self.file(args[0]).map(|_| 0),
            __NR_close => self.close(args[0] as i32),
            __NR_close_range => self.close_range(args),
            __NR_dup => self.dup(args[0], Slot::Lowest(0), false),
            __NR_dup2 if args[0] == args[1] => self.file(args[0]).map(|_| args[1] as i64),
            __NR_dup2 => self.dup(args[0], Slot::Exactly(args[1] as i32), false),
            __NR_dup3 => {
                let close_on_exec = args[2] as u32 & O_CLOEXEC != 0;
                self.dup(args[0], Slot::Exactly(args[1] as i32), close_on_exec)
            }
            __NR_fcntl => self.fcntl(args),
            __NR_ioctl => self.ioctl(args),
            __NR_open => path(0).and_then(|path| self.open(here, &path, args[1], args[2])),
            __NR_creat => {
                let flags = u64::from(O_CREAT | O_WRONLY | O_TRUNC);
                path(0).and_then(|path| self.open(here, &path, flags, args[1]))
            }
            __NR_openat => path(1).and_then(|path| self.open(args[0], &path, args[2], args[3])),
            __NR_umask => {
                let old = self.mask.swap(args[0] as u32 & 0o777, Ordering::Relaxed);
                Ok(old.into())
            }
            _ => return self.named(number, args).or_else(|| self.told(number, args)),
        };
        Some(done)
    }

    pub(super) fn file(&self, fd: u64) -> Result<Arc<File>> {
        self.table.lock().file(fd as i32)
    }

    /// The tree, which knows what time it is.
    fn tree(&self) -> super::lock::Guard<'_, Tree> {
        let now = self.outside.wall();
        let mut tree = self.tree.lock();
        tree.now = now;
        tree
    }

    fn opened(&self, node: Id, flags: u32) -> Result<Arc<File>> {
        let told = {
            let mut tree = self.tree();
            tree.open(node)?;
            match tree.get(node).kind {
                Kind::Told(what) => Some(what),
                _ => None,
            }
        };
        Ok(Arc::new(File {
            tree: self.tree.clone(),
            node,
            flags: AtomicU32::new(flags),
            position: Mutex::new(0),
            text: told.map(|what| self.outside.tell(what)),
        }))
    }

    fn add(&self, file: Arc<File>, slot: Slot, close_on_exec: bool) -> Result<i32> {
        let entry = Entry::File {
            file,
            close_on_exec,
        };
        let (fd, old) = self.table.lock().take(slot, entry)?;
        drop(old);
        Ok(fd)
    }

    /// Closes a file. The number of something else is not given back here.
    fn close(&self, fd: i32) -> Result<i64> {
        let mut table = self.table.lock();
        table.file(fd)?;
        let old = table.free(fd);
        drop(table);
        drop(old);
        Ok(0)
    }

    fn close_range(&self, args: &Args) -> Result<i64> {
        const CLOSE_ON_EXEC: u64 = 4;
        let files = self.table.lock().files(args[0] as u32, args[1] as u32);
        for fd in files {
            if args[2] & CLOSE_ON_EXEC != 0 {
                *self.table.lock().close_on_exec(fd)? = true;
            } else {
                // Another thread may have closed it.
                let _ = self.close(fd);
            }
        }
        Ok(0)
    }

    fn dup(&self, fd: u64, slot: Slot, close_on_exec: bool) -> Result<i64> {
        let file = self.file(fd)?;
        self.add(file, slot, close_on_exec).map(Into::into)
    }

    fn fcntl(&self, args: &Args) -> Result<i64> {
        let fd = args[0] as i32;
        let file = self.file(args[0])?;
        match args[1] as u32 {
            command @ (F_DUPFD | F_DUPFD_CLOEXEC) => {
                let least = i32::try_from(args[2]).map_err(|_| Errno::EINVAL)?;
                let close_on_exec = command == F_DUPFD_CLOEXEC;
                let fd = self.add(file, Slot::Lowest(least), close_on_exec)?;
                Ok(fd.into())
            }
            F_GETFD => Ok((*self.table.lock().close_on_exec(fd)?).into()),
            F_SETFD => {
                let on = args[2] as u32 & FD_CLOEXEC != 0;
                *self.table.lock().close_on_exec(fd)? = on;
                Ok(0)
            }
            F_GETFL => Ok(file.flags().into()),
            F_SETFL => {
                let kept = file.flags() & !CHANGEABLE;
                let flags = kept | args[2] as u32 & CHANGEABLE;
                file.flags.store(flags, Ordering::Relaxed);
                Ok(0)
            }
            // Nobody else could have a lock.
            F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW => Ok(0),
            F_GETLK | F_OFD_GETLK => {
                copy::put(&(F_UNLCK as u16), args[2])?;
                Ok(0)
            }
            F_SETOWN | F_GETOWN => Ok(0),
            _ => Err(Errno::EINVAL),
        }
    }

    fn ioctl(&self, args: &Args) -> Result<i64> {
        let file = self.file(args[0])?;
        match args[1] as u32 {
            ioctl::FIONBIO => {
                let on = copy::get::<i32>(args[2])? != 0;
                let kept = file.flags() & !O_NONBLOCK;
                let flags = kept | if on { O_NONBLOCK } else { 0 };
                file.flags.store(flags, Ordering::Relaxed);
                Ok(0)
            }
            request @ (ioctl::FIOCLEX | ioctl::FIONCLEX) => {
                let on = request == ioctl::FIOCLEX;
                *self.table.lock().close_on_exec(args[0] as i32)? = on;
                Ok(0)
            }
            ioctl::FIONREAD => {
                let left = self.size(&file).saturating_sub(*file.position.lock());
                copy::put(&i32::try_from(left).unwrap_or(i32::MAX), args[2])?;
                Ok(0)
            }
            // The console is a line that text goes out by, and no terminal (termios(3)).
            _ => Err(Errno::ENOTTY),
        }
    }

    /// What of `poll(2)` holds for a file now: that is always the same.
    pub fn ready(&self, fd: i32, events: u32) -> u32 {
        match self.table.lock().file(fd) {
            Ok(_) => events & (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM),
            Err(_) => POLLNVAL,
        }
    }
}

/// A file that `sendfile(2)` copies from.
pub struct Copied<'a> {
    files: &'a Files,
    file: Arc<File>,
}

impl Files {
    /// One by its number.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` for what is no file of bytes.
    pub fn copied(&self, fd: i32) -> Result<Copied<'_>> {
        let file = self.table.lock().file(fd)?;
        file.reads()?;
        self.tree
            .lock()
            .data(file.node)
            .map_err(|_| Errno::EINVAL)?;
        Ok(Copied { files: self, file })
    }
}

impl rump_linux::File for Copied<'_> {
    fn read_at(&self, position: u64, into: &mut [u8]) -> Result<usize> {
        let tree = self.files.tree.lock();
        let data = tree.data(self.file.node)?;
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        let rest = data.get(start..).unwrap_or_default();
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn position(&self) -> Result<u64> {
        Ok(*self.file.position.lock())
    }

    fn set_position(&self, position: u64) -> Result<()> {
        *self.file.position.lock() = position;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
