//! A network interface of Xen's (io/netif.h): the front end, as a back end of the kernel's
//! interface.
//!
//! One pair of rings ([`receive`], [`transmit`]), and one event channel for both. Pages for frames
//! are granted once and copied from and to: the sender has its own back at once, and what the
//! other domain does to a page afterwards does not matter. A frame may lie in several pages.
//! Checksums and the cutting up of TCP segments are left to the other side as far as it says that
//! it does that; it may leave both to us.
//!
//! Responses are checked: a number that no page has, or that the other side does not have at
//! the time, bytes outside of the page, or a part of a frame, end the interface's link.

mod receive;
mod transmit;

use super::abi::state;
use super::device::{Front, Place, Problem};
use super::event::Channel;
use super::grant;
use super::page::Page;
use super::store::Store;
use crate::net::counters::Counters;
use crate::process::lock::Mutex;
use crate::sched;
use crate::time;
use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use receive::Receive;
use rump_hyper::errno::Errno;
use rump_hyper::vif::shape::{self, Scratch};
use rump_hyper::vif::{Backend, Batch, Offloads, Statistics, Transmit};
use transmit::LONGEST;

/// How long a sender waits for room, and how often it looks.
const PATIENCE_NS: u64 = 1_000_000_000;
const LOOK_NS: u64 = 500_000;

/// Something that the other domain says makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nonsense;

/// A page that a domain may read, or also write, and the number by which it does.
fn share(domain: u16, writable: bool) -> Result<(Page, u32), Problem> {
    let page = Page::allocate().ok_or(Problem::Memory)?;
    Ok((page, grant::share(domain, page.address(), writable)?))
}

/// So many of them.
fn share_pages(domain: u16, count: u32, writable: bool) -> Result<Vec<(Page, u32)>, Problem> {
    (0..count).map(|_| share(domain, writable)).collect()
}

/// The interface.
#[derive(Debug)]
pub(crate) struct Netfront {
    place: Place,
    receive: Mutex<Receive>,
    transmit: Mutex<transmit::Transmit>,
    offers: Offloads,
    channel: Channel,
    address: [u8; 6],
    link: AtomicBool,
    woken: AtomicBool,
    counters: Counters,
}

/// The address that is written as `00:16:3e:01:02:03`.
pub(super) fn ethernet(text: &str) -> Option<[u8; 6]> {
    let mut address = [0; 6];
    let mut parts = text.trim().split(':');
    for byte in &mut address {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(address)
}

/// What is left to a back end that has features of these names, and may be left to us.
fn offers(mut has: impl FnMut(&str) -> bool) -> Offloads {
    let mut offers = Offloads::RX;
    // The kernel leaves checksums of both protocols, or of none.
    if has("feature-ipv6-csum-offload") {
        offers = offers | Offloads::TX_CSUM;
        for (name, offload) in [
            ("feature-gso-tcpv4", Offloads::TX_TSO4),
            ("feature-gso-tcpv6", Offloads::TX_TSO6),
        ] {
            // A segment is longer than a page.
            if has("feature-sg") && has(name) {
                offers = offers | offload;
            }
        }
    }
    offers
}

impl Netfront {
    /// Connects to the other end.
    pub(super) fn new(store: &mut Store, place: Place) -> Result<Self, Problem> {
        let text = store.read(&format!("{}/mac", place.path))?;
        let address = ethernet(&text).ok_or(Problem::Value("mac", text))?;
        let (transmit, transmit_grant) = transmit::Transmit::new(place.domain)?;
        let (mut receive, receive_grant) = Receive::new(place.domain)?;
        receive.fill();
        let channel = Channel::new(place.domain)?;
        let port = channel.port();
        place.connect(store, state::CONNECTED, |store| {
            for (name, value) in [
                ("tx-ring-ref", transmit_grant),
                ("rx-ring-ref", receive_grant),
                ("event-channel", port),
                // It copies into our pages, and tells us of frames.
                ("request-rx-copy", 1),
                ("feature-rx-notify", 1),
                ("feature-sg", 1),
                ("feature-gso-tcpv4", 1),
                ("feature-gso-tcpv6", 1),
                ("feature-ipv6-csum-offload", 1),
            ] {
                place.tell(store, name, &format!("{value}"))?;
            }
            Ok(())
        })?;
        let backend = &place.backend;
        let offers = offers(|name| store.number(&format!("{backend}/{name}")) == Ok(1_u32));
        let card = Self {
            place,
            receive: Mutex::new(receive),
            transmit: Mutex::new(transmit),
            offers,
            channel,
            address,
            link: AtomicBool::new(true),
            woken: AtomicBool::new(false),
            counters: Counters::default(),
        };
        card.channel.notify();
        Ok(card)
    }

    /// Its Ethernet address.
    pub(super) fn address(&self) -> [u8; 6] {
        self.address
    }

    /// Nothing that comes from there is believed any more.
    fn distrust<T>(&self, result: Result<T, Nonsense>) -> Option<T> {
        if result.is_err() && self.link.swap(false, Ordering::AcqRel) {
            let path = &self.place.path;
            crate::say!(
                "rumprun: {path}: its back end answers what was not asked; it is not used any more"
            );
        }
        result.ok()
    }

    /// Takes frames that have come, up to a full batch.
    fn take(&self, batch: &mut Batch) {
        let mut receive = self.receive.lock();
        let mut given = false;
        while !batch.is_full() && self.link() {
            let mut to = batch.buffer();
            let taken = receive.take(&mut to);
            match self.distrust(taken).flatten() {
                Some(Some((len, offload))) => {
                    batch.push(to, len, offload);
                    self.counters.received.fetch_add(1, Ordering::Relaxed);
                }
                Some(None) => {
                    self.counters.receive_drops.fetch_add(1, Ordering::Relaxed);
                }
                None => break,
            }
            given = true;
        }
        if given && self.link() && receive.fill() {
            self.channel.notify();
        }
    }

    /// Sends frames that are not too long, and returns how many: the first ones, up to one for
    /// which no room comes.
    fn put(&self, frames: &[Transmit<'_>]) -> usize {
        let mut until = None;
        for (sent, frame) in frames.iter().enumerate() {
            loop {
                if !self.link() {
                    return sent;
                }
                let mut transmit = self.transmit.lock();
                let reclaimed = transmit.reclaim();
                if reclaimed.is_ok() && transmit.send(frame) {
                    break;
                }
                // It has to know of those that it has.
                let tell = transmit.publish();
                drop(transmit);
                self.distrust(reclaimed);
                if tell {
                    self.channel.notify();
                }
                let now = time::monotonic_ns();
                if now > *until.get_or_insert(now + PATIENCE_NS) {
                    return sent;
                }
                sched::sleep_until(now + LOOK_NS);
            }
            until = None;
        }
        frames.len()
    }
}

impl Front for Netfront {
    fn place(&self) -> &Place {
        &self.place
    }

    fn gone(&self) {
        self.link.store(false, Ordering::Release);
        self.wake();
    }
}

impl Backend for Netfront {
    fn offers(&self) -> Offloads {
        self.offers
    }

    fn link(&self) -> bool {
        self.link.load(Ordering::Acquire)
    }

    fn receive(&self, _queue: usize, batch: &mut Batch) -> Result<(), Errno> {
        loop {
            if self.woken.swap(false, Ordering::AcqRel) {
                return Ok(());
            }
            self.take(batch);
            if !batch.is_empty() {
                return Ok(());
            }
            let waiting = self.link() && self.receive.lock().ask();
            if !waiting && self.channel.line().wait(None).is_none() {
                return Ok(());
            }
        }
    }

    fn send(&self, _queue: usize, frames: &[Transmit<'_>]) -> Result<usize, Errno> {
        let mut scratch = Scratch::default();
        let mut sent = 0;
        for run in frames.chunk_by(|a, b| a.len().max(b.len()) <= LONGEST) {
            let taken = match run {
                // One too many for a length of 16 bits is cut up here.
                [long] if long.len() > LONGEST => {
                    let put = |frames: &[Transmit<'_>]| Ok(self.put(frames));
                    shape::send(run, Offloads::NONE, || &mut scratch, put)?
                }
                run => self.put(run),
            };
            sent += taken;
            if taken < run.len() {
                break;
            }
        }
        if self.transmit.lock().publish() {
            self.channel.notify();
        }
        self.counters.sent_of(sent, frames.len());
        Ok(sent)
    }

    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.channel.line().fire();
    }

    fn statistics(&self) -> Statistics {
        self.counters.statistics()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        assert_eq!(ethernet("00:16:3e:0a:FF:3\n"), None);
        assert_eq!(
            ethernet("00:16:3e:0a:FF:03\n"),
            Some([0, 0x16, 0x3e, 0xa, 0xff, 3])
        );
        for wrong in [
            "",
            "00:16:3e:0a:ff",
            "00:16:3e:0a:ff:03:04",
            "0g:16:3e:0a:ff:03",
        ] {
            assert_eq!(ethernet(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_the_back_end_does_not_do_is_not_offered() {
        let all = [
            "feature-ipv6-csum-offload",
            "feature-sg",
            "feature-gso-tcpv4",
            "feature-gso-tcpv6",
        ];
        let offered = |has: &[&str]| offers(|name| has.contains(&name));
        assert_eq!(offered(&all), Offloads::ALL);
        assert_eq!(offered(&[]), Offloads::RX);
        assert_eq!(offered(&all[1..]), Offloads::RX);
        assert_eq!(offered(&all[..1]), Offloads::RX | Offloads::TX_CSUM);
        assert_eq!(offered(&[all[0], all[2]]), Offloads::RX | Offloads::TX_CSUM);
        let four = Offloads::RX | Offloads::TX_CSUM | Offloads::TX_TSO4;
        assert_eq!(offered(&all[..3]), four);
    }
}
