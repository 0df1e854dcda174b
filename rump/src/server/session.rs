//! The control side of a connection: what was claimed, asked and leased.
//!
//! Nothing here calls the kernel or waits for it: `release` comes from within it.

use crate::error::Errno;
use rump_ring::control::{Protocol, ToApplication, ToServer, Welcome, link_local};
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(5);
/// So long the server is given to say that it knows where the interface is. Frames are lost where
/// it takes longer, and TCP sends them again.
const MOVE: Duration = Duration::from_millis(200);
/// A server that has not taken so many messages will take none.
const MOST_UNSENT: usize = 10_000;

/// A port of a protocol and an address; unspecified stands for all of a family.
pub(super) type Place = (Protocol, IpAddr, u16);

/// Something that was asked.
#[derive(Debug)]
enum Asked {
    /// For a port; somebody waits for the answer.
    Claim(Place),
    /// For a port for which nobody waits any more, as it took too long.
    Late(Place),
    /// For a port that a socket has already.
    Again(Place),
    /// For ephemeral ports.
    Lease,
    /// Whether it knows that the interface is at a network card of its own, or not.
    Move(bool),
    /// The same; nobody waits for the answer.
    MoveLate(bool),
    /// The answer to a claim, or to a move.
    Answered(Result<(), Errno>),
}

#[derive(Debug, Default)]
struct State {
    outgoing: VecDeque<ToServer>,
    asked: HashMap<u32, Asked>,
    next: u32,
    /// What was granted.
    held: HashSet<Place>,
    /// What was leased.
    leases: Vec<RangeInclusive<u16>>,
    /// The interface is at a network card of its own.
    direct: bool,
    /// No server will come any more.
    over: bool,
}

/// What the server's message is about, for the thread that listens to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It was the answer to something.
    None,
    /// There are more ephemeral ports.
    Leased,
    /// A socket has a port which it may not have.
    Lost(Place),
    /// The interface is to move.
    Order { direct: bool },
    /// What cannot come now.
    Wrong(&'static str),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Session {
    state: Mutex<State>,
    answered: Condvar,
}

/// Whether the server has to do with an address.
pub(super) fn concerns(welcome: &Welcome, address: IpAddr) -> bool {
    address.is_unspecified()
        || welcome.addresses.iter().any(|(own, _)| *own == address)
        || address == link_local(welcome.mac)
}

impl Session {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a port, and waits for the answer; `tell` has the message sent.
    pub(super) fn claim(&self, place: Place, tell: impl Fn()) -> Result<(), Errno> {
        let mut state = self.state();
        let id = state.ask(Asked::Claim(place));
        tell();
        let answer = self.answer(state, id, ANSWER, Asked::Late(place));
        answer.unwrap_or(Err(Errno::ETIMEDOUT))
    }

    /// Waits for the answer to something, up to so long; it is `late` then.
    fn answer(
        &self,
        mut state: MutexGuard<'_, State>,
        id: u32,
        time: Duration,
        late: Asked,
    ) -> Option<Result<(), Errno>> {
        let until = Instant::now() + time;
        loop {
            let answer = match state.asked.get(&id) {
                Some(Asked::Answered(answer)) => Some(*answer),
                Some(_) if state.over => Some(Err(Errno::ENETDOWN)),
                Some(_) => None,
                None => Some(Err(Errno::ENETDOWN)),
            };
            if let Some(answer) = answer {
                state.asked.remove(&id);
                return Some(answer);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.asked.insert(id, late);
                return None;
            }
            let woken = self.answered.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gives a port back, if it is held.
    pub(super) fn release(&self, place: Place, tell: impl Fn()) {
        let mut state = self.state();
        if state.held.remove(&place) {
            state.say_released(place);
            tell();
            return;
        }
        for asked in state.asked.values_mut() {
            if matches!(asked, Asked::Again(other) if *other == place) {
                *asked = Asked::Late(place);
            }
        }
    }

    /// Asks for ports that sockets have already, unless they are held.
    pub(super) fn claim_again(&self, places: impl IntoIterator<Item = Place>, tell: impl Fn()) {
        let mut state = self.state();
        for place in places {
            if !state.held.contains(&place) {
                state.ask(Asked::Again(place));
            }
        }
        tell();
    }

    /// Asks for more ephemeral ports, unless that was done already.
    pub(super) fn lease(&self, tell: impl Fn()) {
        let mut state = self.state();
        if !state
            .asked
            .values()
            .any(|asked| matches!(asked, Asked::Lease))
        {
            state.ask(Asked::Lease);
            tell();
        }
    }

    /// Tells where the interface is, and waits until the server knows. One that does not answer
    /// is told all the same.
    pub(super) fn moved(&self, direct: bool, tell: impl Fn()) -> Result<(), Errno> {
        let mut state = self.state();
        state.direct = direct;
        let id = state.ask(Asked::Move(direct));
        tell();
        let answer = self.answer(state, id, MOVE, Asked::MoveLate(direct));
        answer.unwrap_or(Ok(()))
    }

    /// The next message for the server; it is taken off by [`sent`](Self::sent).
    pub(super) fn outgoing(&self) -> Option<Vec<u8>> {
        self.state().outgoing.front().map(ToServer::encode)
    }

    pub(super) fn sent(&self) {
        self.state().outgoing.pop_front();
    }

    /// Whether the server takes no messages.
    pub(super) fn is_stuck(&self) -> bool {
        self.state().outgoing.len() > MOST_UNSENT
    }

    /// What was leased.
    pub(super) fn leases(&self) -> Vec<RangeInclusive<u16>> {
        self.state().leases.clone()
    }

    /// Another server: all that was granted is asked for again, and so is what was not
    /// answered. What sockets have beside that is in `places`. One that knows this program
    /// leaves it what it has leased.
    pub(super) fn begin(&self, ports: RangeInclusive<u16>, places: Vec<Place>, known: bool) {
        let mut state = self.state();
        state.outgoing.clear();
        let asked = std::mem::take(&mut state.asked);
        if state.direct {
            state.ask(Asked::MoveLate(true));
        }
        let mut places: HashSet<_> = places.into_iter().collect();
        places.extend(std::mem::take(&mut state.held));
        for (id, asked) in asked {
            match asked {
                Asked::Claim(place) => {
                    state.outgoing.push_back(claim(id, place));
                    state.asked.insert(id, asked);
                }
                Asked::Again(place) => drop(places.insert(place)),
                Asked::Answered(_) => drop(state.asked.insert(id, asked)),
                // The new one learns where it is in any case.
                Asked::Move(_) => drop(state.asked.insert(id, Asked::Answered(Ok(())))),
                Asked::Late(_) | Asked::Lease | Asked::MoveLate(_) => {}
            }
        }
        for place in places {
            state.ask(Asked::Again(place));
        }
        if !known {
            state.leases.clear();
        }
        if !state.leases.contains(&ports) {
            state.leases.push(ports);
        }
    }

    /// Whether nothing is asked again that has no answer yet.
    pub(super) fn is_settled(&self) -> bool {
        let state = self.state();
        let again = |asked: &Asked| matches!(asked, Asked::Again(_));
        !state.asked.values().any(again)
    }

    /// No server will come any more.
    pub(super) fn end(&self) {
        self.state().over = true;
        self.answered.notify_all();
    }

    /// What the server says.
    pub(super) fn hear(&self, message: ToApplication, tell: impl Fn()) -> News {
        let mut state = self.state();
        let (id, answer) = match message {
            ToApplication::Granted { id } => (id, Ok(())),
            ToApplication::Refused { id, errno } => (id, Err(Errno::from_raw(errno))),
            ToApplication::Leased { id, ports } => {
                return match state.asked.remove(&id) {
                    Some(Asked::Lease) if state.leases.iter().all(|it| !overlap(it, &ports)) => {
                        state.leases.push(ports);
                        News::Leased
                    }
                    _ => News::Wrong("ports that were not asked for"),
                };
            }
            ToApplication::Order { direct } => return News::Order { direct },
            ToApplication::Welcome(_) => return News::Wrong("a second welcome"),
            ToApplication::Farewell(_) => return News::Wrong("a farewell that is not the last"),
        };
        let Some(asked) = state.asked.remove(&id) else {
            return News::Wrong("an answer to what was not asked");
        };
        match (asked, answer) {
            (asked @ (Asked::Claim(_) | Asked::Move(_)), answer) => {
                if let (Asked::Claim(place), Ok(())) = (asked, answer) {
                    state.held.insert(place);
                }
                state.asked.insert(id, Asked::Answered(answer));
                drop(state);
                self.answered.notify_all();
                News::None
            }
            (Asked::Late(place), Ok(())) => {
                state.say_released(place);
                tell();
                News::None
            }
            (Asked::Again(place), Ok(())) => {
                state.held.insert(place);
                News::None
            }
            (Asked::Again(place), Err(_)) => News::Lost(place),
            (Asked::Late(_) | Asked::Lease, Err(_)) | (Asked::MoveLate(_), _) => News::None,
            (Asked::Answered(_) | Asked::Lease, _) => News::Wrong("a second answer"),
        }
    }
}

fn overlap(one: &RangeInclusive<u16>, other: &RangeInclusive<u16>) -> bool {
    one.start() <= other.end() && other.start() <= one.end()
}

fn claim(id: u32, (protocol, address, port): Place) -> ToServer {
    ToServer::Claim {
        id,
        protocol,
        address,
        port,
    }
}

impl State {
    /// Asks something.
    fn ask(&mut self, what: Asked) -> u32 {
        let mut id = self.next;
        while self.asked.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        self.next = id.wrapping_add(1);
        match &what {
            Asked::Claim(place) | Asked::Again(place) => {
                self.outgoing.push_back(claim(id, *place));
            }
            Asked::Move(direct) | Asked::MoveLate(direct) => {
                let direct = *direct;
                self.outgoing.push_back(ToServer::Moved { id, direct });
            }
            _ => self.outgoing.push_back(ToServer::Lease { id }),
        }
        self.asked.insert(id, what);
        id
    }

    fn say_released(&mut self, (protocol, address, port): Place) {
        self.outgoing.push_back(ToServer::Release {
            protocol,
            address,
            port,
        });
    }
}
