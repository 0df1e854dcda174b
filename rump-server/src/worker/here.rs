//! A worker without a supervisor: in a machine that has nothing else, such as an image under Xen.
//!
//! The table, the checks, turns and limits, counters and messages are those of the worker that is
//! a process. What there is not: another process that starts it again (xl(1) does, and all that it
//! knew is then told again by its applications), an upgrade that hands over, and a sandbox. There
//! are no other processes from which it would have to be kept, and the machine is the sandbox.
//!
//! Users are not those of a machine, either: who has the Ethernet address of a host is of that, and
//! has all its ports ([`user`]). `users` and `[[host.ports]]` of the configuration say nothing here.

use super::asks::Asks;
use super::{control, shared};
use crate::config::{Kind, Plan, RightPlan};
use crate::ledger::Ledger;
#[cfg(doc)]
use crate::messages::Request;
use crate::messages::Status;
use rump_hyper::linux::cable::Door;
use rump_hyper::vif::Backend;
use std::fs::File;
use std::io;
use std::time::Instant;

/// Users of hosts are numbered from here on, by the order of the hosts.
const USERS: u32 = 1 << 16;
/// Who is of no host.
const NOBODY: u32 = u32::MAX;

/// As which user whoever has this Ethernet address counts: one for each host, who is of that and
/// has all its ports, and of no other.
pub fn user(plan: &Plan, address: [u8; 6]) -> u32 {
    let host = (USERS..).zip(&plan.hosts);
    let mut own = host.filter(|(_, host)| host.mac == address);
    own.next().map_or(NOBODY, |(user, _)| user)
}

/// The hosts are their users'.
fn owned(mut plan: Plan) -> Plan {
    for (user, host) in (USERS..).zip(&mut plan.hosts) {
        host.users = Some(vec![user]);
        host.rights = RightPlan::all(user);
    }
    plan
}

/// Serves those who come by a door, over interfaces that `open` opens, and who asks it. `ledger` is an empty file for what they have. `changed` is told who is there, each time
/// that it is somebody else, or has other ports. Returns when it was asked to [end](Request::Stop).
///
/// Applications of a server that was here before are given time to come back and claim what they
/// have, as much as `grace` says: until then nobody refuses what comes for a port of nobody's.
///
/// # Errors
/// A NIC is no [interface](Kind::Interface), or does not open; a thread, or the ledger, fails.
pub fn serve(
    plan: Plan,
    open: impl Fn(&str) -> io::Result<Box<dyn Backend>>,
    door: Box<dyn Door>,
    asks: Asks,
    ledger: File,
    changed: impl Fn(&Status) + 'static,
) -> io::Result<()> {
    let mut backends = Vec::new();
    for nic in &plan.nics {
        let Kind::Interface(name) = &nic.kind else {
            let what = format!(
                "NIC {}: interface = \"…\" is all that there is here",
                nic.name
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        };
        let failed = |error| io::Error::other(format!("NIC {}: {error}", nic.name));
        backends.push(open(name).map_err(failed)?);
    }
    let random = File::open("/dev/urandom")?;
    rump_hyper::linux::calibrate();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let shared = shared(owned(plan), backends, cpus);
    let (ledger, found) = Ledger::open(ledger)?;
    let settled = Instant::now() + shared.grace();
    shared.write().settles_at(settled);
    let superior = control::Superior::Asks(asks.clone());
    let mut control = control::Control::new(shared, superior, door, ledger, random);
    control.recall(found);
    control.report(changed);
    control.start_uplinks()?;
    let result = control.run();
    asks.end();
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use rump_hyper::errno::Errno;
    use rump_hyper::linux::cable::Socket;
    use rump_hyper::vif::{Batch, Offloads, Transmit};
    use rump_ring::control::{Code, Hello, MOST, ToApplication, ToServer, VERSION};
    use std::path::Path;
    use std::time::Duration;

    const CONFIG: &str = r#"
        [[nic]]
        name = "wan"
        interface = "vif0"

        [[host]]
        name = "web"
        mac = "02:00:00:00:00:0a"
        addresses = ["10.0.0.2/24"]

        [[host]]
        name = "other"
        mac = "02:00:00:00:00:0b"
        addresses = ["10.0.0.3/24"]
    "#;

    fn plan() -> Plan {
        parse(CONFIG, Path::new("server.toml")).unwrap()
    }

    #[test]
    fn a_host_is_whose_address_it_has() {
        let of = |last| user(&plan(), [2, 0, 0, 0, 0, last]);
        assert_eq!(of(0xa), USERS);
        assert_eq!(of(0xb), USERS + 1);
        assert_eq!(of(0xc), NOBODY);
        let owned = owned(plan());
        assert_eq!(owned.hosts[1].users, Some(vec![USERS + 1]));
        assert_eq!(owned.hosts[0].rights.len(), 2);
    }

    /// Nothing is behind it.
    #[derive(Debug)]
    struct Nothing;

    impl Backend for Nothing {
        fn offers(&self) -> Offloads {
            Offloads::NONE
        }

        fn receive(&self, _: usize, _: &mut Batch) -> Result<(), Errno> {
            std::thread::sleep(Duration::from_millis(10));
            Ok(())
        }

        fn send(&self, _: usize, frames: &[Transmit<'_>]) -> Result<usize, Errno> {
            Ok(frames.len())
        }

        fn wake(&self) {}
    }

    #[test]
    fn who_is_of_no_host_is_sent_away() {
        let folder = std::env::temp_dir().join(format!("rump-here-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let place = folder.join("sock");
        let door = Socket::listen(&place).unwrap();
        let ledger = crate::ledger::make().unwrap();
        let asks = Asks::new().unwrap();
        let asking = asks.clone();
        let serving = std::thread::spawn(move || {
            let open = |name: &str| -> io::Result<Box<dyn Backend>> {
                assert_eq!(name, "vif0");
                Ok(Box::new(Nothing))
            };
            serve(plan(), open, Box::new(door), asking, ledger, |_| {})
        });
        let socket = Socket::connect(&place).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let hello = Hello {
            version: VERSION,
            host: Default::default(),
            label: Default::default(),
            queues: 1,
            ticket: 0,
            ports: None,
        };
        socket.send(&ToServer::Hello(hello).encode(), None).unwrap();
        let mut bytes = [0; MOST];
        let message = loop {
            match socket.receive(&mut bytes).unwrap() {
                Some(message) => break ToApplication::decode(&bytes[..message.len]),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let is_refused = |message: &ToApplication| matches!(message, ToApplication::Farewell(last) if last.code == Code::NotAllowed);
        assert!(message.as_ref().is_ok_and(is_refused), "{message:?}");
        for (words, answer) in [
            ("list", "\"applications\":[]"),
            ("switch web direct", "there is no application web"),
            ("fly", "there is: list"),
            ("upgrade", "make another domain"),
            ("stop", "the server ends"),
        ] {
            let reply = asks.ask_in_words(words.split(' '));
            assert!(reply.contains(answer), "{words}: {reply}");
        }
        serving.join().unwrap().unwrap();
        let late = asks.ask_in_words(["list"]);
        assert!(late.contains("has ended"), "{late}");
    }

    #[test]
    fn nics_are_interfaces() {
        let text = CONFIG.replace("interface = \"vif0\"", "tap = \"tap0\"");
        let plan = parse(&text, Path::new("server.toml")).unwrap();
        let folder = std::env::temp_dir().join(format!("rump-here-nic-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let door = Socket::listen(&folder.join("sock")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let ledger = crate::ledger::make().unwrap();
        let open = |_: &str| Err(io::ErrorKind::NotFound.into());
        let asks = Asks::new().unwrap();
        let error = serve(plan, open, Box::new(door), asks, ledger, |_| {}).unwrap_err();
        assert!(error.to_string().contains("NIC wan"), "{error}");
    }
}
