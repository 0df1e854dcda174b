//! All placeholders, and the *keeper*, the thread that hears them hang up.

use crate::placeholder::Placeholder;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

pub(crate) struct Placeholders {
    /// Linux counts inodes of sockets up, so that the number of one that is closed is not
    /// soon another's.
    by_inode: RwLock<HashMap<u64, Arc<Placeholder>>>,
    ends: Epoll,
}

impl Placeholders {
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        let placeholders = Arc::new(Self {
            by_inode: RwLock::default(),
            ends: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
        });
        let kept = Arc::downgrade(&placeholders);
        std::thread::Builder::new()
            .name("rump-keeper".into())
            .spawn(move || {
                let mut events = [EpollEvent::empty(); 64];
                // Waits in turns, to see that nobody needs it any more.
                while let Some(placeholders) = kept.upgrade() {
                    let count = match placeholders
                        .ends
                        .wait(&mut events, EpollTimeout::from(250u16))
                    {
                        Ok(count) => count,
                        Err(Errno::EINTR) => 0,
                        Err(error) => {
                            tracing::error!(%error, "no more sockets of programs are closed");
                            return;
                        }
                    };
                    for event in &events[..count] {
                        placeholders.remove(event.data());
                    }
                }
            })?;
        Ok(placeholders)
    }

    pub(crate) fn get(&self, inode: u64) -> Option<Arc<Placeholder>> {
        let table = self.by_inode.read().unwrap_or_else(PoisonError::into_inner);
        table.get(&inode).cloned()
    }

    pub(crate) fn count(&self) -> usize {
        let table = self.by_inode.read().unwrap_or_else(PoisonError::into_inner);
        table.len()
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

    fn remove(&self, inode: u64) {
        let mut table = self
            .by_inode
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let gone = table.remove(&inode);
        drop(table);
        if let Some(placeholder) = gone
            && let Err(error) = self.ends.delete(&placeholder.ours)
        {
            tracing::error!(%error, "a placeholder that hung up is still heard");
        }
    }
}
