//! A worker without a supervisor: in a machine that has nothing else, such as an image under Xen.
//!
//! The table, the checks, turns and limits, counters and messages are those of the worker that is
//! a process. What there is not: another process that starts it again (xl(1) does, and all that it
//! knew is then told again by its applications), an upgrade that hands over, and a sandbox. There
//! are no other processes from which it would have to be kept, and the machine is the sandbox.
//!
//! Users are not those of a machine, either: who has the Ethernet address of a host is of that, and
//! has all its ports ([`user`]). `users` and `[[host.ports]]` of the configuration say nothing here.

use super::{control, shared};
use crate::config::{Kind, Plan, RightPlan};
use crate::ledger::Ledger;
use crate::messages::Status;
use rump_hyper::linux::cable::Door;
use rump_hyper::vif::Backend;
use std::fs::File;
use std::io;

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

/// Serves those who come by a door, over interfaces that `open` opens; does not return but with an
/// error. `ledger` is an empty file for what they have. `changed` is told who is there, each time
/// that it is somebody else, or has other ports.
///
/// # Errors
/// A NIC is no [interface](Kind::Interface), or does not open; a thread, or the ledger, fails.
pub fn serve(
    plan: Plan,
    open: impl Fn(&str) -> io::Result<Box<dyn Backend>>,
    door: Box<dyn Door>,
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
    let mut control = control::Control::new(shared, None, door, ledger, random);
    control.recall(found);
    control.report(changed);
    control.start_uplinks()?;
    control.run()
}
