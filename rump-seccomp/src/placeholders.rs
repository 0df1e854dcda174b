//! All placeholders, and the *keeper*, the thread that hears them hang up.
//!
//! A connection whose program is gone is kept until all that was sent has arrived, so that
//! the runner, and with it the kernel, does not end before.

use crate::placeholder::Placeholder;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long a connection is kept at most, while nothing arrives.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Placeholders {
    /// Linux counts inodes of sockets up, so that the number of one that is closed is not
    /// soon another's.
    by_inode: RwLock<HashMap<u64, Arc<Placeholder>>>,
    ends: Epoll,
    /// Those whose programs are gone, and until when each is kept.
    ending: Mutex<Vec<(Arc<Placeholder>, Instant)>>,
    fewer: Condvar,
}

impl Placeholders {
    /// Starts the thread; `enter` is run in it first.
    pub(crate) fn new(enter: fn()) -> io::Result<Arc<Self>> {
        let placeholders = Arc::new(Self {
            by_inode: RwLock::default(),
            ends: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            ending: Mutex::default(),
            fewer: Condvar::new(),
        });
        let kept = Arc::downgrade(&placeholders);
        std::thread::Builder::new()
            .name("rump-keeper".into())
            .spawn(move || {
                enter();
                // Waits in turns, to see that nobody needs it any more.
                while let Some(placeholders) = kept.upgrade() {
                    if let Err(error) = placeholders.keep() {
                        tracing::error!(%error, "no more sockets of programs are closed");
                        return;
                    }
                }
            })?;
        Ok(placeholders)
    }

    /// A turn of the keeper.
    fn keep(&self) -> io::Result<()> {
        let turn: u16 = if self.ending().is_empty() { 250 } else { 5 };
        let mut entry = [PollFd::new(self.ends.0.as_fd(), PollFlags::POLLIN)];
        match poll(&mut entry, PollTimeout::from(turn)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.settle()?;
        let now = Instant::now();
        let mut ending = self.ending();
        ending.retain(|(one, until)| now < *until && one.description.finish());
        if ending.is_empty() {
            self.fewer.notify_all();
        }
        Ok(())
    }

    /// Closes what programs have closed so far: what they do next may depend on it, such as
    /// binding to the same port.
    pub(crate) fn settle(&self) -> io::Result<()> {
        // Held to the end, so that who comes second finds it done.
        let mut ending = self.ending();
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = match self.ends.wait(&mut events, EpollTimeout::ZERO) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            for event in &events[..count] {
                let Some(placeholder) = self.remove(event.data()) else {
                    continue;
                };
                self.ends.delete(&placeholder.ours)?;
                if placeholder.description.finish() {
                    ending.push((placeholder, Instant::now() + PATIENCE));
                }
            }
            if count < events.len() {
                return Ok(());
            }
        }
    }

    fn ending(&self) -> MutexGuard<'_, Vec<(Arc<Placeholder>, Instant)>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there are none any more, at most so long; how many are left.
    pub(crate) fn wait(&self, limit: Duration) -> usize {
        let limit = Instant::now() + limit;
        loop {
            let ending = self.ending();
            let open = self.open();
            let now = Instant::now();
            if open + ending.len() == 0 || now >= limit {
                return open + ending.len();
            }
            // What is open may be closed without anybody who waits being told.
            let turn = (limit - now).min(Duration::from_millis(10));
            drop(self.fewer.wait_timeout(ending, turn));
        }
    }

    pub(crate) fn get(&self, inode: u64) -> Option<Arc<Placeholder>> {
        let table = self.by_inode.read().unwrap_or_else(PoisonError::into_inner);
        table.get(&inode).cloned()
    }

    fn open(&self) -> usize {
        let table = self.by_inode.read().unwrap_or_else(PoisonError::into_inner);
        table.len()
    }

    pub(crate) fn count(&self) -> usize {
        let ending = self.ending();
        self.open() + ending.len()
    }

    /// From now on until the program's end is closed.
    pub(crate) fn insert(&self, placeholder: &Arc<Placeholder>) -> io::Result<()> {
        let mut table = self
            .by_inode
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        table.insert(placeholder.inode, placeholder.clone());
        drop(table);
        // That it hangs up is told without being asked for.
        let event = EpollEvent::new(EpollFlags::empty(), placeholder.inode);
        self.ends.add(&placeholder.ours, event)?;
        Ok(())
    }

    fn remove(&self, inode: u64) -> Option<Arc<Placeholder>> {
        let table = self.by_inode.write();
        table.unwrap_or_else(PoisonError::into_inner).remove(&inode)
    }
}
