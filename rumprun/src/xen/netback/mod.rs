//! A network interface of another domain's (io/netif.h): the back end of its front end, as
//! what is behind an interface of the kernel.
//!
//! ```text
//! the front end's requests to send    -> [`from`]: copied by Xen -> the kernel receives
//! its requests to receive             <- [`to`]: copied by Xen   <- the kernel sends
//! ```
//!
//! One pair of rings and one event channel. The rings are mapped; frames are copied by Xen
//! ([`foreign`](super::foreign)), so that each byte of the front end's is read once and stays
//! as it was checked. It is there while its front end is connected ([`back`](super::back)),
//! and takes its pages out of the mappings when it is dropped.
//!
//! # What a front end can do
//! All that it writes is checked in [`packet`] and [`BackRing`]; what makes no sense ends this
//! interface's link, and nothing else. Nobody waits for it: a frame that it has no room for is
//! lost. An event masks its port until the thread of this interface has looked, which sleeps
//! for a while if it has looked in vain a few times.
//!
//! # What is known to be weak
//! - One queue. Neither the control ring nor multicast control is offered.
//! - What the kernel sends is copied twice: into memory that Xen can be told of, and by Xen.

mod from;
mod headers;
mod packet;
mod to;

use super::abi::net;
use super::back_ring::BackRing;
use super::device::Problem;
use super::event::Channel;
use super::foreign::Mapping;
use super::hypercall::Refused;
use super::store::Store;
use crate::net::counters::Counters;
use crate::process::lock::Mutex;
use crate::{sched, time};
use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicBool, Ordering};
use packet::Nonsense;
use rump_hyper::errno::Errno;
use rump_hyper::vif::{Backend, Batch, Offloads, Statistics, Transmit};

/// How often an event may come for nothing before it is slept for a while, and how long.
const IN_VAIN: u32 = 8;
const WHILE_NS: u64 = 2_000_000;

/// What a front end takes, as it says in xenstore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Takes {
    /// Frames in several pages.
    scattered: bool,
    /// Checksums that are to be completed.
    blank: bool,
    /// Segments that are to be cut up.
    tcp4: bool,
    tcp6: bool,
}

impl Takes {
    /// What may be left to it.
    fn offloads(self) -> Offloads {
        let mut offloads = Offloads::NONE;
        if self.blank {
            offloads = offloads | Offloads::TX_CSUM;
            for (takes, offload) in [
                (self.tcp4, Offloads::TX_TSO4),
                (self.tcp6, Offloads::TX_TSO6),
            ] {
                // A segment is longer than a page.
                if takes && self.scattered {
                    offloads = offloads | offload;
                }
            }
        }
        offloads
    }
}

/// The interface.
#[derive(Debug)]
pub(crate) struct Netback {
    /// Where it is in xenstore, for messages.
    path: String,
    from: Mutex<from::From>,
    to: Mutex<to::To>,
    channel: Channel,
    offers: Offloads,
    address: [u8; 6],
    link: AtomicBool,
    woken: AtomicBool,
    counters: Counters,
    // The pages of the rings, for as long as these are used.
    _mappings: [Mapping; 2],
}

/// The address of our end of a link whose other end has this one: Xen's tools give out those
/// that begin with 00, which ours then differs from by being a local one.
fn other_end(mut address: [u8; 6]) -> [u8; 6] {
    const LOCAL: u8 = 2;
    address[0] ^= LOCAL;
    address
}

impl Netback {
    /// What is offered in xenstore.
    pub(super) const FEATURES: [(&str, &str); 7] = [
        ("feature-rx-copy", "1"),
        ("feature-rx-flip", "0"),
        ("feature-sg", "1"),
        ("feature-gso-tcpv4", "1"),
        ("feature-gso-tcpv6", "1"),
        ("feature-ipv6-csum-offload", "1"),
        ("feature-split-event-channels", "0"),
    ];

    /// Connects to a front end of a domain, which has written all that it has to. `path` is
    /// ours, `front` its.
    pub(super) fn new(
        store: &mut Store,
        domain: u16,
        path: &str,
        front: &str,
    ) -> Result<Self, Problem> {
        let text = store.read(&format!("{path}/mac"))?;
        let address = super::netfront::ethernet(&text).ok_or(Problem::Value("mac", text))?;
        let mut says = |name: &str| store.number::<u32>(&format!("{front}/{name}"));
        let references = [says("tx-ring-ref")?, says("rx-ring-ref")?];
        let port = says("event-channel")?;
        // What it does not say, or not as a number, it does not have.
        let mut has = |name: &str| says(name).is_ok_and(|value| value != 0);
        if !has("request-rx-copy") {
            return Err(Problem::Value("request-rx-copy", "0".into()));
        }
        let takes = Takes {
            scattered: has("feature-sg"),
            blank: !has("feature-no-csum-offload") && has("feature-ipv6-csum-offload"),
            tcp4: has("feature-gso-tcpv4"),
            tcp6: has("feature-gso-tcpv6"),
        };
        let channel = Channel::of_other(domain, port)?;
        let [sends, receives] = references.map(|number| Mapping::new(domain, number));
        let (sends, receives) = (sends?, receives?);
        let ring = |mapping: &Mapping, size| {
            let ring = BackRing::new(mapping.page(), size);
            ring.waiting().map(|_| ring).map_err(|_| {
                Problem::Value(
                    "ring-ref",
                    String::from("a ring whose indexes make no sense"),
                )
            })
        };
        let from = from::From::new(domain, ring(&sends, net::SEND)?);
        let to = to::To::new(domain, ring(&receives, net::RECEIVE)?, takes.scattered);
        let back = Self {
            path: path.into(),
            from: Mutex::new(from),
            to: Mutex::new(to.ok_or(Refused(super::NO_MEMORY))?),
            channel,
            offers: takes.offloads() | Offloads::RX,
            address: other_end(address),
            link: AtomicBool::new(true),
            woken: AtomicBool::new(false),
            counters: Counters::default(),
            _mappings: [sends, receives],
        };
        back.channel.notify();
        Ok(back)
    }

    /// The Ethernet address of our end.
    pub(super) fn address(&self) -> [u8; 6] {
        self.address
    }

    /// Nothing that comes from there is believed any more.
    fn distrust<T>(&self, result: Result<T, Nonsense>) -> Option<T> {
        if result.is_err() && self.link.swap(false, Ordering::AcqRel) {
            let path = &self.path;
            crate::say!("rumprun: {path}: its front end writes nonsense; it is not used any more");
        }
        result.ok()
    }

    fn tell(&self, wants: bool) {
        if wants {
            self.channel.notify();
        }
    }
}

impl Backend for Netback {
    fn offers(&self) -> Offloads {
        self.offers
    }

    fn link(&self) -> bool {
        self.link.load(Ordering::Acquire)
    }

    fn receive(&self, _queue: usize, batch: &mut Batch) -> Result<(), Errno> {
        let mut in_vain = 0;
        loop {
            if self.woken.swap(false, Ordering::AcqRel) {
                return Ok(());
            }
            let mut waiting = false;
            if self.link() {
                let mut from = self.from.lock();
                let lost = from.take(batch);
                let tell = from.publish();
                let asked = match lost {
                    Ok(_) if batch.is_empty() => from.ask(),
                    _ => Ok(false),
                };
                drop(from);
                self.tell(tell);
                if let Some(lost) = self.distrust(lost) {
                    let came = batch.frames().len() as u64;
                    self.counters.received.fetch_add(came, Ordering::Relaxed);
                    self.counters
                        .receive_drops
                        .fetch_add(lost, Ordering::Relaxed);
                }
                waiting = self.distrust(asked).unwrap_or(false);
            }
            if !batch.is_empty() {
                return Ok(());
            }
            if waiting {
                continue;
            }
            if in_vain > IN_VAIN {
                sched::sleep_until(time::monotonic_ns() + WHILE_NS);
            }
            in_vain += 1;
            self.channel.rearm();
            if self.channel.line().wait(None).is_none() {
                return Ok(());
            }
        }
    }

    fn send(&self, _queue: usize, frames: &[Transmit<'_>]) -> Result<usize, Errno> {
        let mut sent = 0;
        if self.link() {
            let mut to = self.to.lock();
            let taken = to.give(frames);
            let tell = to.publish();
            drop(to);
            self.tell(tell);
            sent = self.distrust(taken).unwrap_or(0);
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
    fn what_is_left_to_a_front_end_is_what_it_takes() {
        let all = Takes {
            scattered: true,
            blank: true,
            tcp4: true,
            tcp6: true,
        };
        assert_eq!(all.offloads(), Offloads::TX);
        assert_eq!(Takes::default().offloads(), Offloads::NONE);
        let one = Takes {
            scattered: false,
            ..all
        };
        assert_eq!(one.offloads(), Offloads::TX_CSUM);
        let none = Takes {
            blank: false,
            ..all
        };
        assert_eq!(none.offloads(), Offloads::NONE);
        assert_eq!(
            other_end([0, 0x16, 0x3e, 1, 2, 3]),
            [2, 0x16, 0x3e, 1, 2, 3]
        );
    }
}
