//! What a switch does, and its thread.

use super::policy::Watch;
use super::{Builder, Direct, Error, Order, Path, Server, Status};
use crate::iface::{Backend, Link};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a policy, and a direct path's health, is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A direct path without a link is left after so long.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks at a link that is waited for.
const LINK: Duration = Duration::from_millis(1);

pub(super) struct Inner {
    link: Arc<Link>,
    shared: Arc<dyn Backend>,
    server: Option<Arc<dyn Server>>,
    link_within: Duration,
    /// Held while the interface is moved.
    direct: Mutex<Option<Direct>>,
    status: Mutex<Status>,
    /// What the thread looks at.
    watch: Mutex<Option<Watch>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(super) fn new(builder: Builder) -> Self {
        Self {
            shared: builder.link.backend(),
            link: builder.link,
            server: builder.server,
            link_within: builder.link_within,
            direct: Mutex::new(builder.direct),
            status: Mutex::new(Status {
                path: Path::Shared,
                switches: 0,
                failures: 0,
                error: None,
                took: None,
                rate: None,
            }),
            watch: Mutex::new(builder.policy.map(Watch::new)),
        }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(super) fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    fn name(&self) -> String {
        self.link.name().to_owned()
    }

    /// Moves the interface, unless it is there.
    pub(super) fn go(&self, path: Path) -> Result<bool, Error> {
        let mut direct = lock(&self.direct);
        if self.status().path == path {
            return Ok(false);
        }
        let began = Instant::now();
        let result = match path {
            Path::Direct => self.leave(&mut direct),
            Path::Shared => self.come_back(),
        };
        let mut status = lock(&self.status);
        match result {
            Ok(()) => {
                let took = began.elapsed();
                status.path = path;
                status.switches += 1;
                status.error = None;
                status.took = Some(took);
                tracing::info!(interface = self.link.name(), %path, ?took, "switched");
                Ok(true)
            }
            Err(error) => {
                status.failures += 1;
                status.error = Some(error.to_string());
                tracing::warn!(interface = self.link.name(), %path, %error, "not switched");
                Err(error)
            }
        }
    }

    fn refused(&self, path: Path) -> impl FnOnce(io::Error) -> Error {
        let interface = self.name();
        move |source| Error::Refused {
            interface,
            path,
            source,
        }
    }

    /// Puts it behind the interface, and lets go of what was there.
    fn replace(&self, backend: Arc<dyn Backend>, path: Path) -> Result<(), Error> {
        self.link
            .replace(backend)
            .map(drop)
            .map_err(|source| Error::Replace {
                interface: self.name(),
                path,
                source,
            })
    }

    fn leave(&self, direct: &mut Option<Direct>) -> Result<(), Error> {
        let Some(open) = direct else {
            return Err(Error::NoDirect {
                interface: self.name(),
            });
        };
        if let Some(server) = &self.server {
            server.may_leave().map_err(self.refused(Path::Direct))?;
        }
        let backend = open().map_err(|source| Error::Open {
            interface: self.name(),
            source,
        })?;
        self.await_link(&*backend)?;
        // What is for all on the wire has come over the other path, and this is late.
        Link::discard_late(&backend);
        self.replace(backend, Path::Direct)?;
        if let Some(server) = &self.server {
            if let Err(error) = server.moved(Path::Direct) {
                tracing::warn!(interface = self.link.name(), %error, "the server was not told");
            }
            // It answered for the addresses until now, and took what came to them.
            self.link.announce();
            self.link.take_late(&self.shared);
        }
        Ok(())
    }

    fn come_back(&self) -> Result<(), Error> {
        // As in `leave`; what comes after the server was told counts.
        Link::discard_late(&self.shared);
        if let Some(server) = &self.server {
            server
                .moved(Path::Shared)
                .map_err(self.refused(Path::Shared))?;
        }
        self.replace(Arc::clone(&self.shared), Path::Shared)
    }

    fn await_link(&self, backend: &dyn Backend) -> Result<(), Error> {
        let began = Instant::now();
        while !backend.link() {
            if began.elapsed() >= self.link_within {
                return Err(Error::NoLink {
                    interface: self.name(),
                    waited: self.link_within,
                });
            }
            std::thread::sleep(LINK);
        }
        Ok(())
    }

    /// How long the thread has nothing to look at; `None` for good.
    fn pause(&self) -> Option<Duration> {
        let looks = lock(&self.watch).is_some() || self.status().path == Path::Direct;
        looks.then_some(LOOK)
    }

    /// Looks whether the direct path works, and what the policy says.
    fn look(&self, without_link: &mut Option<Instant>) {
        let now = Instant::now();
        let path = self.status().path;
        let failed = path == Path::Direct && self.link.error().is_some();
        if path == Path::Direct && (failed || !self.link.has_link()) {
            let since = *without_link.get_or_insert(now);
            if failed || now - since >= PATIENCE {
                *without_link = None;
                tracing::warn!(interface = self.link.name(), "the direct path is lost");
                let _ = self.go(Path::Shared);
            }
            return;
        }
        *without_link = None;
        let Ok(stats) = self.link.stats() else {
            return;
        };
        let frames = stats.rx_frames.wrapping_add(stats.tx_frames);
        let (wanted, rate) = match &mut *lock(&self.watch) {
            Some(watch) => (watch.look(now, frames, path), watch.rate()),
            None => return,
        };
        lock(&self.status).rate = rate;
        if let Some(path) = wanted {
            let failed = self.go(path).is_err();
            if let Some(watch) = &mut *lock(&self.watch) {
                watch.moved(Instant::now(), failed);
            }
        }
    }
}

/// What the thread of a switch does until it is stopped.
pub(super) fn serve(inner: &Inner, orders: &Receiver<Order>) {
    let mut without_link = None;
    loop {
        let order = match inner.pause() {
            Some(pause) => orders.recv_timeout(pause),
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match order {
            // What becomes of it is in the status, and in the log.
            Ok(Order::Go(path)) => drop(inner.go(path)),
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Order::Look) | Err(RecvTimeoutError::Timeout) => inner.look(&mut without_link),
        }
    }
}
