//! Who may come, and what it is told.

use super::control::Control;
use super::{Cable, Limits};
use crate::ledger::Item;
use crate::table::{Candidate, Refusal, Slot};
use nix::sys::socket::{
    ControlMessage, MsgFlags, UnixAddr, getsockopt, sendmsg, sockopt::PeerCredentials,
};
use rump_hyper::errno::Errno;
use rump_hyper::linux::cable::{End, Shape};
use rump_ring::control::{Code, Farewell, Hello, Reason, ToApplication, VERSION, Welcome};
use std::io::{IoSlice, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
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

/// The process at the other end, as it was when it connected.
pub(super) fn process(socket: &OwnedFd) -> Option<i32> {
    let peer = getsockopt(socket, PeerCredentials).ok()?;
    Some(peer.pid()).filter(|process| *process > 0)
}

/// The user at the other end.
pub(super) fn user(socket: &OwnedFd) -> nix::Result<u32> {
    getsockopt(socket, PeerCredentials).map(|peer| peer.uid())
}

impl Control {
    /// An application says who it is.
    pub(super) fn welcome(
        &mut self,
        socket: OwnedFd,
        hello: &Hello,
    ) -> Result<Slot, Box<Farewell>> {
        if hello.version != VERSION {
            let text = format!("this server speaks version {VERSION}");
            return Err(farewell(Code::Version, &text));
        }
        let refuse = |error: &dyn std::fmt::Display| {
            let text = format!("the server lacks something: {error}");
            Err(farewell(Code::TooMany, &text))
        };
        let user = match user(&socket) {
            Ok(user) => user,
            Err(error) => return refuse(&error),
        };
        let shared = self.shared.clone();
        let host = match shared.read().find(hello.host.as_str(), user) {
            Ok(host) => host,
            Err(refusal) => return Err(of_refusal(refusal)),
        };
        let plan = &shared.plan.hosts[host.0];
        let made = Shape::new(hello.queues.clamp(1, plan.queues), plan.ring)
            .ok_or_else(|| std::io::ErrorKind::InvalidInput.into())
            .and_then(if plan.huge_pages {
                End::make_huge
            } else {
                End::make
            })
            .and_then(|end| Ok((end, socket.try_clone()?, self.ticket()?)));
        let (end, copy, fresh) = match made {
            Ok(made) => made,
            Err(error) => return refuse(&error),
        };
        let cable = Arc::new(Cable {
            end,
            process: process(&socket),
            socket: copy,
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
        let files = [cable.end.file().as_raw_fd()];
        let sent = sendmsg::<UnixAddr>(
            socket.as_raw_fd(),
            &[IoSlice::new(&message.encode())],
            &[ControlMessage::ScmRights(&files)],
            MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
            None,
        );
        let served = match sent {
            Ok(_) => self.serve(slot, cable, user),
            Err(errno) => Err(errno.into()),
        };
        if let Err(error) = served {
            self.forget(slot);
            return refuse(&error);
        }
        Ok(slot)
    }

    /// A number that nobody guesses.
    fn ticket(&mut self) -> std::io::Result<u128> {
        let mut bytes = [0; 16];
        self.random.read_exact(&mut bytes)?;
        Ok(u128::from_ne_bytes(bytes).max(1))
    }
}

/// Tells an application something. One that does not read what it is told is given up.
pub(super) fn tell(socket: impl AsFd, message: &ToApplication) -> nix::Result<()> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    nix::sys::socket::send(socket.as_fd().as_raw_fd(), &message.encode(), flags).map(drop)
}
