//! The thread that talks to the server, and finds another one when that is gone.

use super::hail::{Joined, hail, is_permanent};
use super::line::Line;
use super::session::{News, Place, Session, concerns};
use super::{Attached, Error};
use crate::switch::Path;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use rump_ring::control::{Hello, MOST, ToApplication, Welcome};
use rump_sys::hyper::linux::cable::Socket;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a server is given to answer that it is there.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// How long one that comes after another is: it may be the wrong time.
const ANSWER_AGAIN: Duration = Duration::from_secs(1);
/// How long the answers to all claims are waited for before frames go on.
const SETTLED: Duration = Duration::from_secs(1);
/// The first and the longest time between looks for a server.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_secs(1);
/// Whoever is left sooner is looked for again as if nobody had been there.
const PROVEN: Duration = Duration::from_millis(50);
/// After so many messages answers are looked for.
const TURN: u32 = 16;
/// How often the ephemeral ports in use are counted.
const COUNT: Duration = Duration::from_millis(500);

/// Who is told to go where.
type Ordered = Box<dyn Fn(Path) + Send>;

/// All that belongs to a connection.
pub(super) struct Shared {
    pub(super) place: PathBuf,
    pub(super) hello: Hello,
    pub(super) welcome: Mutex<Welcome>,
    pub(super) line: Line,
    pub(super) session: Session,
    /// What the kernel was told. Never locked by who is called from within it.
    pub(super) attached: Mutex<Option<Attached>>,
    pub(super) ordered: Mutex<Option<Ordered>>,
    /// Frames have told that this cable is broken.
    broken: AtomicU64,
    stop: AtomicBool,
    bell: EventFd,
}

/// Of no cable.
const NONE: u64 = u64::MAX;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why the thread looks up.
enum Ended {
    /// There is to be no connection any more.
    Stopped,
    /// The server is gone, or is not listened to any more.
    Lost(String),
    /// It says that it wants nothing to do with this application.
    Refused(String),
}

impl Shared {
    /// With the end that the first server has given.
    pub(super) fn new(place: PathBuf, hello: Hello, joined: Joined) -> io::Result<(Self, Socket)> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let session = Session::default();
        session.begin(joined.welcome.ports.clone(), Vec::new(), false);
        let shared = Self {
            place,
            hello,
            welcome: Mutex::new(joined.welcome),
            line: Line::new(joined.end),
            session,
            attached: Mutex::default(),
            ordered: Mutex::default(),
            broken: AtomicU64::new(NONE),
            stop: AtomicBool::new(false),
            bell: EventFd::from_flags(flags)?,
        };
        Ok((shared, joined.socket))
    }

    /// Has the thread look at what there is to be done.
    pub(super) fn ring(&self) {
        let _ = self.bell.write(1);
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.ring();
    }

    /// The other side of a cable has written what cannot be.
    pub(super) fn is_broken(&self, generation: u64) {
        self.broken.store(generation, Ordering::Release);
        self.ring();
    }

    pub(super) fn welcome(&self) -> Welcome {
        lock(&self.welcome).clone()
    }

    pub(super) fn concerns(&self, place: Place) -> bool {
        concerns(&lock(&self.welcome), place.1)
    }

    /// The ports that sockets have, and which the server must know of one by one.
    fn live(&self, leased: &[std::ops::RangeInclusive<u16>]) -> Vec<Place> {
        let attached = lock(&self.attached);
        let live = attached.as_ref().map(Attached::live).unwrap_or_default();
        drop(attached);
        live.into_iter()
            .filter(|place| self.concerns(*place))
            .filter(|place| !leased.iter().any(|ports| ports.contains(&place.2)))
            .collect()
    }

    /// Serves connections until it is to stop.
    pub(super) fn serve(&self, socket: Socket) {
        let mut socket = socket;
        let mut pause = Duration::ZERO;
        loop {
            let since = Instant::now();
            let why = match self.talk(&socket) {
                Ended::Stopped => break,
                Ended::Refused(text) => {
                    self.refused(&text);
                    break;
                }
                Ended::Lost(why) => why,
            };
            self.line.lose();
            // The server hears of it, if it is there.
            drop(socket);
            let lost = Instant::now();
            if lost - since >= PROVEN {
                pause = Duration::ZERO;
            }
            tracing::warn!(server = ?self.place, why, "the network server is gone");
            match self.find_another(&mut pause) {
                Some(found) => socket = found,
                None => break,
            }
            let gap = lost.elapsed();
            tracing::info!(server = ?self.place, ?gap, "connected to the network server again");
        }
        self.session.end();
        self.line.fail();
    }

    fn refused(&self, text: &str) {
        tracing::error!(server = ?self.place, text, "the network server refuses this program");
    }

    /// Waits for something to happen.
    fn wait(&self, socket: Option<&Socket>, time: Duration) {
        let mut events = PollFlags::POLLIN;
        if let Some(socket) = socket
            && self.session.outgoing().is_some()
        {
            events |= socket.room();
        }
        let bell = PollFd::new(self.bell.as_fd(), PollFlags::POLLIN);
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        let _ = match socket {
            Some(socket) => poll(&mut [bell, PollFd::new(socket.as_fd(), events)], timeout),
            None => poll(&mut [bell], timeout),
        };
        let _ = self.bell.read();
    }

    /// Talks to a server until that ends.
    fn talk(&self, socket: &Socket) -> Ended {
        let mut counted = Instant::now();
        loop {
            if self.broken.load(Ordering::Acquire) == self.line.generation() {
                return Ended::Lost("its rings are broken".into());
            }
            if let Err(ended) = self.exchange(socket) {
                return ended;
            }
            let is_attached = lock(&self.attached).is_some();
            let until = if is_attached { COUNT } else { Duration::MAX };
            if is_attached && counted.elapsed() >= COUNT {
                counted = Instant::now();
                self.look_at_ports();
            }
            self.wait(Some(socket), until);
        }
    }

    /// Sends what is to be sent, and hears what is there.
    fn exchange(&self, socket: &Socket) -> Result<(), Ended> {
        let lost = |error: io::Error| Ended::Lost(error.to_string());
        if self.stop.load(Ordering::Acquire) {
            return Err(Ended::Stopped);
        }
        let mut sent = 0;
        while let Some(message) = self.session.outgoing() {
            match socket.send(&message, None) {
                Ok(()) => {
                    self.session.sent();
                    sent += 1;
                    // Whoever does not read what it is told is given up.
                    if sent % TURN == 0 {
                        self.hear_all(socket)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // What it has said before it went may be worth hearing.
                Err(error) => {
                    self.hear_all(socket)?;
                    return Err(lost(error));
                }
            }
        }
        if self.session.is_stuck() {
            return Err(Ended::Lost("it does not take what it is told".into()));
        }
        self.hear_all(socket)
    }

    fn hear_all(&self, socket: &Socket) -> Result<(), Ended> {
        let mut bytes = [0; MOST];
        loop {
            let message = match socket.receive(&mut bytes) {
                Ok(None) => return Ok(()),
                Ok(Some(message)) => message,
                Err(error) => return Err(Ended::Lost(error.to_string())),
            };
            match ToApplication::decode(&bytes[..message.len]) {
                Ok(ToApplication::Farewell(farewell)) => {
                    let text = farewell.text.to_string();
                    return Err(if is_permanent(farewell.code) {
                        Ended::Refused(text)
                    } else {
                        Ended::Lost(text)
                    });
                }
                Ok(message) => self.heard(message)?,
                Err(error) => return Err(Ended::Lost(error.to_string())),
            }
        }
    }

    fn heard(&self, message: ToApplication) -> Result<(), Ended> {
        match self.session.hear(message, || self.ring()) {
            News::None => {}
            News::Leased => self.look_at_ports(),
            News::Lost((protocol, address, port)) => {
                tracing::error!(
                    ?protocol, %address, port,
                    "another program has this port: the network server brings nothing for it"
                );
            }
            News::Order { direct } => {
                if let Some(ordered) = &*lock(&self.ordered) {
                    ordered(if direct { Path::Direct } else { Path::Shared });
                }
            }
            News::Wrong(what) => return Err(Ended::Lost(what.into())),
        }
        Ok(())
    }

    /// Looks for a server, again and again, with longer and longer pauses.
    fn find_another(&self, pause: &mut Duration) -> Option<Socket> {
        loop {
            let until = Instant::now() + *pause;
            while Instant::now() < until && !self.stop.load(Ordering::Acquire) {
                self.wait(None, until.saturating_duration_since(Instant::now()));
            }
            if self.stop.load(Ordering::Acquire) {
                return None;
            }
            *pause = (2 * *pause).clamp(FIRST_LOOK, LAST_LOOK);
            let Welcome { ticket, ports, .. } = self.welcome();
            let hello = Hello {
                ticket,
                ports: Some(ports),
                queues: self.line.queues() as u16,
                ..self.hello.clone()
            };
            match hail(&self.place, &hello, ANSWER_AGAIN) {
                Ok(joined) => match self.join(joined) {
                    Ok(socket) => return Some(socket),
                    Err(Ended::Lost(_)) => {}
                    Err(Ended::Stopped) => return None,
                    Err(Ended::Refused(text)) => {
                        self.refused(&text);
                        return None;
                    }
                },
                Err(Error::Refused {
                    permanent: true,
                    text,
                    ..
                }) => {
                    self.refused(&text);
                    return None;
                }
                Err(error) => tracing::debug!(%error, "no network server yet"),
            }
        }
    }

    /// Has a server know all that the one of before did, and only then has frames go on.
    fn join(&self, joined: Joined) -> Result<Socket, Ended> {
        let before = self.welcome();
        let Joined {
            socket,
            welcome,
            end,
        } = joined;
        let same = |one: &Welcome| (one.mac, one.addresses.clone());
        if same(&before) != same(&welcome) {
            // The interface is set up for good.
            return Err(Ended::Refused(
                "the host has another Ethernet address, or other addresses, than before".into(),
            ));
        }
        let ports = welcome.ports.clone();
        let known = before.ticket == welcome.ticket;
        *lock(&self.welcome) = welcome;
        let live = self.live(std::slice::from_ref(&ports));
        self.session.begin(ports, live, known);
        let until = Instant::now() + SETTLED;
        loop {
            self.exchange(&socket)?;
            let left = until.saturating_duration_since(Instant::now());
            if self.session.is_settled() || left.is_zero() {
                break;
            }
            self.wait(Some(&socket), left);
        }
        self.line.renew(end);
        self.look_at_ports();
        Ok(socket)
    }

    /// Sees to it that the kernel chooses ports that are leased, and that there are enough.
    pub(super) fn look_at_ports(&self) {
        let leases = self.session.leases();
        let mut attached = lock(&self.attached);
        let Some(attached) = &mut *attached else {
            return;
        };
        let used: Vec<u16> = attached.live().iter().map(|place| place.2).collect();
        let free = |ports: &std::ops::RangeInclusive<u16>| {
            let mut of_it: Vec<_> = used.iter().filter(|port| ports.contains(port)).collect();
            of_it.sort_unstable();
            of_it.dedup();
            ports.len() - of_it.len()
        };
        let Some(best) = leases.iter().max_by_key(|ports| free(ports)) else {
            return;
        };
        let now = attached.range.ports();
        // To change is to give up what is still free.
        let is_short = free(now) * 4 < now.len() && free(best) > free(now);
        let change = is_short || !leases.contains(now);
        let changed = change.then(|| attached.range.change(best.clone()));
        if let Some(Err(error)) = changed {
            tracing::error!(%error, "the ephemeral ports cannot be those of the network server");
        }
        if free(best) * 2 < best.len() {
            self.session.lease(|| self.ring());
        }
    }

    /// Claims what sockets had before anybody was asked.
    pub(super) fn claim_live(&self) {
        let live = self.live(&self.session.leases());
        self.session.claim_again(live, || self.ring());
    }
}
