//! A lease that is kept by a thread.

use super::exchange::Asker;
use super::lease::{Configured, Lease};
use super::{Error, Settings};
use crate::iface::{self, Interface};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// For how long a server is asked to renew a lease, each time.
const RENEWING: Duration = Duration::from_secs(5);
/// How long it takes until somebody is asked again who has not answered; more if much of
/// the lease is left (RFC 2131, 4.4.5).
const PAUSE: Duration = Duration::from_secs(10);

/// A client of DHCP on one interface. Dropping it ends the thread that renews the lease;
/// the interface keeps the address. [`release`](Self::release) gives it back.
pub struct Client {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    asker: Asker,
    /// Taken before `lease`. Whoever has it may ask.
    state: Mutex<State>,
    wake: Condvar,
    /// For those who only want to know.
    lease: Mutex<Option<Lease>>,
}

/// What the interface has, and when to ask again.
struct State {
    configured: Configured,
    next: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    /// Turns the interface on, asks for an address, and waits until it has one.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] after the time of the settings; and others. The interface has no
    /// address of it then.
    pub fn start(interface: &Interface, settings: Settings) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            asker: Asker::new(interface, settings)?,
            state: Mutex::new(State {
                configured: Configured::default(),
                next: None,
            }),
            wake: Condvar::new(),
            lease: Mutex::new(None),
        });
        let timeout = shared.asker.settings.timeout;
        shared.begin(&mut lock(&shared.state), timeout)?;
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("dhcp {interface}"))
            .spawn(move || worker.run());
        let mut client = Self {
            shared,
            thread: None,
        };
        match thread {
            Ok(thread) => client.thread = Some(thread),
            Err(source) => {
                client.release()?;
                return Err(Error::Message {
                    interface: interface.name().into(),
                    source,
                });
            }
        }
        Ok(client)
    }

    /// The interface.
    pub fn interface(&self) -> &Interface {
        &self.shared.asker.interface
    }

    /// The lease, unless it has ended and no server has given another so far.
    pub fn lease(&self) -> Option<Lease> {
        lock(&self.shared.lease).clone()
    }

    /// Renews the lease now.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] if the server does not answer: the lease stays what it was.
    /// [`Error::Refused`] if it takes the address back, so that the interface has none.
    /// [`Error::NoLease`].
    pub fn renew(&self) -> Result<Lease, Error> {
        let mut state = lock(&self.shared.state);
        let result = self.shared.renew(&mut state);
        self.shared.wake.notify_all();
        result
    }

    /// Gives the address back to the server, and takes it, the route and the settings of the
    /// resolver away.
    ///
    /// # Errors
    /// [`Error::Message`] if the server could not be told; all the rest is done.
    pub fn release(mut self) -> Result<(), Error> {
        self.end();
        let mut state = lock(&self.shared.state);
        let lease = lock(&self.shared.lease).take();
        let told = lease.map(|lease| self.shared.asker.release(&lease));
        state.configured.remove(self.interface());
        tracing::info!(interface = self.interface().name(), "lease released");
        told.unwrap_or(Ok(()))
    }

    fn end(&mut self) {
        self.shared.asker.stop.store(true, Ordering::Relaxed);
        // With the lock, so that a thread that is about to wait sees it.
        drop(lock(&self.shared.state));
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a DHCP client panicked");
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("interface", self.interface())
            .field("lease", &self.lease())
            .finish()
    }
}

impl Shared {
    /// Does what is due, until the client ends.
    fn run(&self) {
        let mut state = lock(&self.state);
        while !self.asker.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            let wait = match state.next {
                Some(next) if next <= now => {
                    self.act(&mut state, now);
                    continue;
                }
                Some(next) => next - now,
                // For ever, as far as anybody here will see.
                None => Duration::from_secs(3600),
            };
            state = self
                .wake
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn act(&self, state: &mut State, now: Instant) {
        let interface = self.asker.interface.name();
        let lease = lock(&self.lease).clone();
        let result = match &lease {
            None => self.begin(state, PAUSE).map(drop),
            Some(lease) if lease.ends_at().is_some_and(|end| end <= now) => {
                tracing::warn!(interface, address = %lease.address(), "lease ended");
                self.lose(state);
                Ok(())
            }
            Some(_) => self.renew(state).map(drop),
        };
        if let Err(error) = result {
            tracing::warn!(interface, %error, "no lease, or not renewed");
        }
        if state.next.is_none_or(|next| next <= now) {
            state.next = self.again(Instant::now());
        }
    }

    /// When to ask again after a failure: half of what is left of this phase, but not
    /// after the end of it.
    fn again(&self, now: Instant) -> Option<Instant> {
        let lease = lock(&self.lease).clone();
        let phases = lease.and_then(|lease| Some([lease.rebind_at()?, lease.ends_at()?]));
        let Some(phases) = phases else {
            return Some(now + PAUSE);
        };
        let end = phases.into_iter().find(|end| *end > now).unwrap_or(now);
        Some(now + ((end - now) / 2).max(PAUSE.min(end - now)))
    }

    /// From no lease to one that the interface uses.
    fn begin(&self, state: &mut State, within: Duration) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            let lease = self.asker.acquire(within.saturating_sub(began.elapsed()))?;
            match self.accept(state, &lease) {
                Err(Error::Interface(iface::Error::Conflict { address, .. })) => {
                    let interface = self.asker.interface.name();
                    tracing::warn!(interface, %address, "declined: another host has it");
                    self.asker.decline(&lease)?;
                }
                result => return result,
            }
        }
    }

    /// Asks the server of the lease, or all when it is late.
    fn renew(&self, state: &mut State) -> Result<Lease, Error> {
        let lease = lock(&self.lease).clone();
        let lease = lease.ok_or_else(|| Error::NoLease {
            interface: self.asker.interface.name().into(),
        })?;
        let now = Instant::now();
        let any = lease.rebind_at().is_some_and(|rebind| rebind <= now);
        // Not longer than what it is good for.
        let end = if any {
            lease.ends_at()
        } else {
            lease.rebind_at()
        };
        let left = end.map_or(RENEWING, |end| {
            end.saturating_duration_since(Instant::now())
        });
        match self.asker.keep(&lease, any, left.min(RENEWING)) {
            Ok(lease) => {
                self.accept(state, &lease)?;
                Ok(lease)
            }
            Err(error) => {
                if matches!(error, Error::Refused { .. }) {
                    self.lose(state);
                }
                Err(error)
            }
        }
    }

    /// Has the interface use the lease.
    fn accept(&self, state: &mut State, lease: &Lease) -> Result<(), Error> {
        let interface = &self.asker.interface;
        let settings = &self.asker.settings;
        state.configured.apply(interface, lease, settings)?;
        tracing::info!(
            interface = interface.name(),
            address = %lease.address(),
            server = %lease.server(),
            duration = ?lease.duration(),
            "lease"
        );
        state.next = lease.renew_at();
        *lock(&self.lease) = Some(lease.clone());
        Ok(())
    }

    /// The lease is no more; another is asked for at once.
    fn lose(&self, state: &mut State) {
        *lock(&self.lease) = None;
        state.configured.remove(&self.asker.interface);
        state.next = Some(Instant::now() + Duration::from_millis(1));
    }
}
