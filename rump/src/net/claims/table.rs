//! What was asked for and is not over yet.
//!
//! A place is in the table from the time that it is asked for until nothing in the kernel
//! has it. Meanwhile others that bind there do not ask; while the first one waits for the
//! answer, they wait with it. Who is asked is called without the lock for that, and told of
//! the end with it, so that the end of one and the beginning of the next come in order.
//!
//! The lock is taken by threads that are within the kernel, and nothing waits with it.

use super::{Claims, Protocol};
use crate::error::Errno;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

/// Where a socket takes packets from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// Unspecified: all of the family.
    pub(crate) address: IpAddr,
}

impl Place {
    /// Whether this is all addresses of a family, and the other one is one of them.
    fn covers(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.port == other.port
            && self.address.is_unspecified()
            && self.address.is_ipv4() == other.address.is_ipv4()
            && self != other
    }
}

/// Leaves one of each, and none that another one covers.
fn distinct(places: &mut Vec<Place>) {
    places.sort_unstable();
    places.dedup();
    // Unspecified addresses are the first of their family.
    let mut kept: Vec<Place> = Vec::with_capacity(places.len());
    let mut whole: Option<Place> = None;
    for place in places.drain(..) {
        if whole.is_some_and(|whole| whole.covers(&place)) {
            continue;
        }
        if place.address.is_unspecified() {
            whole = Some(place);
        }
        kept.push(place);
    }
    *places = kept;
}

/// A place in the table.
#[derive(Debug)]
struct Held {
    address: IpAddr,
    /// Sockets that are being bound there.
    binding: usize,
    /// The answer is not there yet.
    asking: bool,
    /// A socket had it before anybody was asked.
    noted: bool,
}

#[derive(Default)]
struct State {
    /// Who is asked, by number.
    asked: Vec<(u64, Arc<dyn Claims>)>,
    next: u64,
    held: HashMap<(Protocol, u16), Vec<Held>>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Table {
    state: Mutex<State>,
    answered: Condvar,
}

/// That of the kernel.
pub(crate) static TABLE: LazyLock<Table> = LazyLock::new(Table::default);

impl State {
    fn find(&mut self, place: Place) -> Option<&mut Held> {
        let held = self.held.get_mut(&(place.protocol, place.port))?;
        held.iter_mut().find(|held| held.address == place.address)
    }

    fn insert(&mut self, place: Place, asking: bool) {
        let key = (place.protocol, place.port);
        self.held.entry(key).or_default().push(Held {
            address: place.address,
            binding: asking.into(),
            asking,
            noted: !asking,
        });
    }

    fn remove(&mut self, place: Place) {
        if let Entry::Occupied(mut held) = self.held.entry((place.protocol, place.port)) {
            held.get_mut().retain(|held| held.address != place.address);
            if held.get().is_empty() {
                held.remove();
            }
        }
    }

    fn release(&self, place: Place, whom: impl Fn(u64) -> bool) {
        for (_, claims) in self.asked.iter().filter(|(number, _)| whom(*number)) {
            // Whoever panics does not take the kernel with it.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                claims.release(place.protocol, place.address, place.port);
            }));
        }
    }

    /// Gives up the places of a port that no socket has, or is being bound to.
    fn sweep(&mut self, key: (Protocol, u16), used: impl Fn(Place) -> bool) {
        let Entry::Occupied(mut entry) = self.held.entry(key) else {
            return;
        };
        let mut over = Vec::new();
        entry.get_mut().retain(|held| {
            let place = Place {
                protocol: key.0,
                port: key.1,
                address: held.address,
            };
            let keep = held.binding > 0 || used(place);
            if !keep {
                over.push(place);
            }
            keep
        });
        if entry.get().is_empty() {
            entry.remove();
        }
        for place in over {
            self.release(place, |_| true);
        }
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, claims: Arc<dyn Claims>) -> u64 {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.asked.push((number, claims));
        number
    }

    /// Whether nobody is left.
    pub(super) fn remove(&self, number: u64) -> bool {
        let mut state = self.lock();
        let left = state.asked.iter().position(|(other, _)| *other == number);
        // Dropped without the lock: it may do anything.
        let gone = left.map(|index| state.asked.remove(index));
        let nobody = state.asked.is_empty();
        drop(state);
        drop(gone);
        nobody
    }

    /// Nobody is asked any more. Those that are being bound tell of it yet.
    pub(super) fn forget(&self) {
        self.lock().held.retain(|_, held| {
            held.retain(|held| held.binding > 0);
            !held.is_empty()
        });
    }

    /// Places that sockets have: their end will be told. Leaves one of each that none of
    /// the others covers, and adds those that sockets are being bound to.
    pub(super) fn note(&self, places: &mut Vec<Place>) {
        distinct(places);
        let mut state = self.lock();
        for place in &*places {
            match state.find(*place) {
                Some(held) => held.noted = true,
                None => state.insert(*place, false),
            }
        }
        for ((protocol, port), held) in &state.held {
            let binding = held.iter().filter(|held| held.binding > 0);
            places.extend(binding.map(|held| Place {
                protocol: *protocol,
                port: *port,
                address: held.address,
            }));
        }
        distinct(places);
    }

    /// A socket is about to be bound there.
    pub(crate) fn claim(&self, place: Place) -> Result<(), Errno> {
        let mut state = self.lock();
        loop {
            match state.find(place) {
                None => break,
                Some(held) if held.asking => {
                    let woken = self.answered.wait(state);
                    state = woken.unwrap_or_else(PoisonError::into_inner);
                }
                Some(held) => {
                    held.binding += 1;
                    return Ok(());
                }
            }
        }
        state.insert(place, true);
        let (asked, later) = (state.asked.clone(), state.next);
        drop(state);

        let mut granted = Vec::with_capacity(asked.len());
        let mut answer = Ok(());
        for (number, claims) in asked {
            answer = catch_unwind(AssertUnwindSafe(|| {
                claims.claim(place.protocol, place.address, place.port)
            }))
            .unwrap_or(Err(Errno::EIO));
            if answer.is_err() {
                break;
            }
            granted.push(number);
        }

        let mut state = self.lock();
        match (answer, state.find(place)) {
            (Ok(()), Some(held)) => held.asking = false,
            (Err(_), Some(held)) if held.noted => {
                held.asking = false;
                held.binding -= 1;
            }
            (Err(_), _) => {
                state.remove(place);
                // Those who came meanwhile may have been told of it.
                state.release(place, |number| number >= later || granted.contains(&number));
            }
            (Ok(()), None) => {}
        }
        drop(state);
        self.answered.notify_all();
        answer
    }

    /// A socket for which it was claimed is bound there now, or could not be.
    pub(crate) fn bound(&self, place: Place, used: impl Fn(Place) -> bool) {
        let mut state = self.lock();
        if let Some(held) = state.find(place) {
            held.binding = held.binding.saturating_sub(1);
        }
        state.sweep((place.protocol, place.port), used);
    }

    /// A socket that had this port is gone.
    pub(crate) fn gone(&self, protocol: Protocol, port: u16, used: impl Fn(Place) -> bool) {
        self.lock().sweep((protocol, port), used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::thread;
    use std::time::Duration;

    fn place(address: &str, port: u16) -> Place {
        Place {
            protocol: Protocol::Tcp,
            port,
            address: address.parse().unwrap(),
        }
    }

    /// Tells of all calls, and refuses a port.
    struct Clerk {
        name: &'static str,
        refused: u16,
        told: Mutex<Sender<String>>,
    }

    impl Clerk {
        fn tell(&self, what: &str, address: IpAddr, port: u16) {
            let told = self.told.lock().unwrap();
            told.send(format!("{} {what} {address}:{port}", self.name))
                .unwrap();
        }
    }

    impl Claims for Clerk {
        fn claim(&self, _: Protocol, address: IpAddr, port: u16) -> Result<(), Errno> {
            self.tell("claim", address, port);
            if port == self.refused {
                Err(Errno::EACCES)
            } else {
                Ok(())
            }
        }

        fn release(&self, _: Protocol, address: IpAddr, port: u16) {
            self.tell("release", address, port);
        }
    }

    #[test]
    fn what_is_covered_is_not_told() {
        let mut places = vec![
            place("10.0.0.1", 80),
            place("::", 443),
            place("10.0.0.1", 443),
            place("0.0.0.0", 80),
            place("fe80::1", 443),
            place("0.0.0.0", 80),
            place("fe80::1", 80),
        ];
        distinct(&mut places);
        let expected = [
            place("0.0.0.0", 80),
            place("fe80::1", 80),
            place("10.0.0.1", 443),
            place("::", 443),
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn all_are_asked_and_told() {
        let (told, calls) = channel();
        let table = Table::default();
        for (name, refused) in [("first", 0), ("second", 81)] {
            let told = Mutex::new(told.clone());
            table.add(Arc::new(Clerk {
                name,
                refused,
                told,
            }));
        }
        let at = |port| place("0.0.0.0", port);
        assert_eq!(table.claim(at(81)), Err(Errno::EACCES));
        let seen: Vec<_> = calls.try_iter().collect();
        let expected = [
            "first claim 0.0.0.0:81",
            "second claim 0.0.0.0:81",
            "first release 0.0.0.0:81",
        ];
        assert_eq!(seen, expected);

        // Two are bound there, and one of them fails; then one that is bound goes.
        assert_eq!((table.claim(at(80)), table.claim(at(80))), (Ok(()), Ok(())));
        table.bound(at(80), |_| false);
        table.bound(at(80), |_| true);
        table.gone(Protocol::Udp, 80, |_| false);
        table.gone(Protocol::Tcp, 80, |_| true);
        let seen: Vec<_> = calls.try_iter().collect();
        assert_eq!(seen, ["first claim 0.0.0.0:80", "second claim 0.0.0.0:80"]);
        table.gone(Protocol::Tcp, 80, |_| false);
        let seen: Vec<_> = calls.try_iter().collect();
        assert_eq!(
            seen,
            ["first release 0.0.0.0:80", "second release 0.0.0.0:80"]
        );
        assert!(table.lock().held.is_empty());
    }

    /// Answers when it is let.
    struct Slow(
        Mutex<std::sync::mpsc::Receiver<Result<(), Errno>>>,
        Sender<()>,
    );

    impl Claims for Slow {
        fn claim(&self, _: Protocol, _: IpAddr, _: u16) -> Result<(), Errno> {
            self.1.send(()).unwrap();
            self.0.lock().unwrap().recv().unwrap()
        }

        fn release(&self, _: Protocol, _: IpAddr, _: u16) {}
    }

    #[test]
    fn who_comes_meanwhile_waits_for_the_answer() {
        let (answer, answers) = channel();
        let (asked, asking) = channel();
        let table = Table::default();
        table.add(Arc::new(Slow(Mutex::new(answers), asked)));
        let at = place("10.0.0.1", 80);
        thread::scope(|scope| {
            let both = [(); 2].map(|()| scope.spawn(|| table.claim(at)));
            asking.recv().unwrap();
            let second = asking.recv_timeout(Duration::from_millis(50));
            assert!(second.is_err(), "both have asked");
            // The one is refused; the other asks for itself.
            answer.send(Err(Errno::EADDRINUSE)).unwrap();
            asking.recv().unwrap();
            answer.send(Ok(())).unwrap();
            let mut answers = both.map(|thread| thread.join().unwrap());
            answers.sort_unstable();
            assert_eq!(answers, [Ok(()), Err(Errno::EADDRINUSE)]);
        });
        assert_eq!(table.lock().find(at).map(|held| held.binding), Some(1));
        table.bound(at, |_| false);
        assert!(table.lock().held.is_empty());
    }

    struct Panics;

    impl Claims for Panics {
        fn claim(&self, _: Protocol, _: IpAddr, _: u16) -> Result<(), Errno> {
            panic!("claim");
        }

        fn release(&self, _: Protocol, _: IpAddr, _: u16) {
            panic!("release");
        }
    }

    #[test]
    fn a_panic_is_a_refusal() {
        let table = Table::default();
        let number = table.add(Arc::new(Panics));
        let at = place("::", 80);
        assert_eq!(table.claim(at), Err(Errno::EIO));
        table.note(&mut vec![at]);
        table.gone(Protocol::Tcp, 80, |_| false);
        assert!(table.remove(number) && table.lock().held.is_empty());
    }
}
