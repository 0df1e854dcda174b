//! Who may come, and what it is told.

use super::control::Control;
use super::{Cable, Limits};
use crate::ledger::Item;
use crate::table::{Candidate, Refusal, Slot};
use rump_hyper::errno::Errno;
use rump_hyper::linux::cable::{Shape, Socket};
use rump_ring::control::{Code, Farewell, Hello, Reason, ToApplication, VERSION, Welcome};
use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What is answered to who may not have what it wants, as NetBSD numbers it.
pub(super) fn errno(refusal: Refusal) -> i32 {
    let errno = match refusal {
        Refusal::InUse => Errno::ADDRINUSE,
        Refusal::NotAllowed => Errno::ACCES,
        Refusal::NoMore => Errno::NOBUFS,
        _ => Errno::ADDRNOTAVAIL,
    };
    errno.0
}

/// That the connection ends.
pub(super) fn farewell(code: Code, text: &str) -> Box<Farewell> {
    Box::new(Farewell {
        code,
        text: Reason::cut(text),
    })
}

fn of_refusal(refusal: Refusal) -> Box<Farewell> {
    let code = match refusal {
        Refusal::NoHost => Code::NoSuchHost,
        Refusal::NotAllowed => Code::NotAllowed,
        _ => Code::TooMany,
    };
    farewell(code, &refusal.to_string())
}

impl Control {
    /// An application says who it is.
    pub(super) fn welcome(&mut self, socket: Socket, hello: &Hello) -> Result<Slot, Box<Farewell>> {
        if hello.version != VERSION {
            let text = format!("this server speaks version {VERSION}");
            return Err(farewell(Code::Version, &text));
        }
        let refuse = |error: &dyn std::fmt::Display| {
            let text = format!("the server lacks something: {error}");
            Err(farewell(Code::TooMany, &text))
        };
        let peer = match socket.peer() {
            Ok(peer) => peer,
            Err(error) => return refuse(&error),
        };
        let user = peer.user;
        let shared = self.shared.clone();
        let host = match shared.read().find(hello.host.as_str(), user) {
            Ok(host) => host,
            Err(refusal) => return Err(of_refusal(refusal)),
        };
        let plan = &shared.plan.hosts[host.0];
        let made = Shape::new(hello.queues.clamp(1, plan.queues), plan.ring)
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
            .and_then(|shape| socket.make(shape, plan.huge_pages))
            .and_then(|end| Ok((end, self.ticket()?)));
        let (end, fresh) = match made {
            Ok(made) => made,
            Err(error) => return refuse(&error),
        };
        let cable = Arc::new(Cable {
            end,
            process: peer.process,
            socket: socket.clone(),
            nic: plan.nic,
            limits: Mutex::new(Limits::new(
                plan.frames_per_second,
                plan.bytes_per_second,
                Instant::now(),
            )),
        });
        let mut table = shared.write();
        let back = table.is_awaited(host, user, hello.ticket);
        let candidate = Candidate {
            label: hello.label.as_str().into(),
            user,
            ticket: if back { hello.ticket } else { fresh },
            had: hello.ports.clone(),
            end: cable.clone(),
        };
        let ticket = candidate.ticket;
        let slot = match table.join(host, candidate, Instant::now(), shared.grace()) {
            Ok(slot) => slot,
            Err(refusal) => return Err(of_refusal(refusal)),
        };
        let leases = table.leases_of(slot);
        drop(table);
        self.note(|ledger| {
            let item = Item::Application {
                host: plan.name.clone(),
                label: hello.label.as_str().into(),
                user,
            };
            ledger.keep(slot, ticket, item)?;
            for ports in &leases {
                ledger.keep(slot, ticket, Item::Lease(ports.clone()))?;
            }
            Ok(())
        });
        let shape = cable.end.shape();
        let message = ToApplication::Welcome(Welcome {
            version: VERSION,
            mac: plan.mac,
            mtu: shared.plan.nics[plan.nic].mtu,
            queues: shape.queues(),
            data: shape.data(),
            ticket,
            ports: leases.first().cloned().unwrap_or(1..=1),
            gateway: plan.gateway,
            gateway6: plan.gateway6,
            addresses: plan.addresses.clone(),
        });
        let sent = socket.send(&message.encode(), cable.end.file());
        let served = sent.and_then(|()| self.serve(slot, cable, user));
        if let Err(error) = served {
            self.forget(slot);
            return refuse(&error);
        }
        Ok(slot)
    }

    /// A number that nobody guesses.
    fn ticket(&mut self) -> io::Result<u128> {
        let mut bytes = [0; 16];
        self.random.read_exact(&mut bytes)?;
        Ok(u128::from_ne_bytes(bytes).max(1))
    }
}

/// Tells an application something. One that does not read what it is told is given up.
pub(super) fn tell(socket: &Socket, message: &ToApplication) -> io::Result<()> {
    socket.send(&message.encode(), None)
}
