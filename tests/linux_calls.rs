//! Each row of the Linux personality's table: one scenario a call, and more of epoll, run on
//! Linux itself and on the kernel in this build. What it sees must be the same.

mod common;
#[path = "linux/epoll.rs"]
mod epoll;
#[path = "linux/interfaces.rs"]
mod interfaces;
#[path = "linux/scenarios.rs"]
mod scenarios;
#[path = "linux/system.rs"]
mod system;

use common::Outcome;
use libtest_mimic::{Arguments, Trial};
use rump_linux::table::TABLE;
use scenarios::{SCENARIOS, Scenario};
use system::System;

fn main() {
    let mut trials = vec![
        Trial::test("every_row_has_a_scenario", every_row_has_a_scenario),
        common::kernel_trial("wild_pointers_and_lengths", on_kernel(wild)),
        common::kernel_trial("descriptors_4096", on_kernel(many)),
        common::kernel_trial("children_and_new_programs", on_kernel(inherited)),
    ];
    for (name, scenario) in SCENARIOS.iter().chain(epoll::SCENARIOS) {
        trials.push(common::kernel_trial(*name, move || same(*scenario)));
    }
    trials.push(common::trial_if(
        rump::kernel::available() && common::kernel_name() == "NetBSD",
        "netbsd",
        "rump-lite has no TCP_INFO",
        "tcp_info",
        || same(scenarios::tcp_info),
    ));
    for (name, scenario) in [
        ("requests", interfaces::requests as Scenario),
        ("netlink", interfaces::netlink),
    ] {
        let name = format!("interfaces::{name}");
        trials.push(common::kernel_trial(name, move || same(scenario)));
    }
    trials.push(common::trial_if(
        rump::kernel::available() && common::kernel_name() == "NetBSD",
        "netbsd",
        "rump-lite has no IP_PKTINFO",
        "interfaces::packet_information",
        || same(interfaces::packet_information),
    ));
    trials.push(common::trial_if(
        rump::kernel::available() && common::kernel_name() == "NetBSD",
        "netbsd",
        "rump-lite has NetBSD's own limit of connections that wait",
        "backlog",
        || same(scenarios::backlog),
    ));
    trials.push(common::trial_if(
        rump::kernel::available() && common::kernel_name() == "NetBSD",
        "netbsd",
        "rump-lite does not wait for SO_RCVLOWAT",
        "waiting",
        || same(scenarios::waiting),
    ));
    // Both systems number descriptors from one space, and some tests choose numbers.
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit();
}

fn on_kernel(test: fn() -> Outcome) -> impl FnOnce() -> Outcome {
    move || {
        common::boot();
        test()
    }
}

fn every_row_has_a_scenario() -> Outcome {
    let named = |name: &str| SCENARIOS.iter().any(|(other, _)| *other == name);
    let lacking: Vec<_> = TABLE.iter().filter(|row| !named(row.name)).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(format!("no scenario for {lacking:?}").into())
}

fn same(scenario: Scenario) -> Outcome {
    common::boot();
    let (linux, rump) = (scenario(&System::Linux), scenario(&System::rump()));
    assert!(!linux.is_empty());
    if linux == rump {
        return Ok(());
    }
    Err(format!("\n  linux: {linux:?}\n   rump: {rump:?}").into())
}

/// Every call with pointers to nowhere and numbers of every size must return.
fn wild() -> Outcome {
    use rump_linux::raw::{general::*, net};
    let system = System::rump();
    // These could wait; or would ask the host, which is this very process.
    let [listener, client, server] = system.pair();
    for fd in [listener, client, server] {
        assert_eq!(
            system.call(__NR_fcntl, [fd, F_SETFL.into(), O_NONBLOCK.into()]),
            0
        );
    }
    let datagrams = system.socket(false, net::SOCK_DGRAM | O_NONBLOCK);
    let epoll = system.call(__NR_epoll_create1, [0]) as u64;
    let event = system.call(__NR_eventfd2, [1, O_NONBLOCK.into()]) as u64;
    let nowhere = [
        0,
        1,
        4095,
        0x7fff_ffff_efff,
        1 << 47,
        u64::MAX,
        u64::MAX - 7,
    ];
    let sizes = [
        0,
        1,
        8,
        16,
        1 << 20,
        i32::MAX as u64,
        u32::MAX.into(),
        1 << 62,
        u64::MAX,
    ];
    let mut calls = 0;
    for row in TABLE.iter().filter(|row| row.descriptor.is_some()) {
        if row.name == "close" {
            continue;
        }
        for fd in [client, datagrams, listener, epoll, event] {
            for pointer in nowhere {
                for size in sizes {
                    // With what waits told not to.
                    let arguments = match row.name {
                        "epoll_pwait2" => [fd, pointer, size, 8, 0, 0],
                        "epoll_wait" | "epoll_pwait" => [fd, pointer, size, 0, 0, 0],
                        "ioctl" | "fcntl" => [fd, size & 0xffff, pointer, 0, 0, 0],
                        "setsockopt" | "getsockopt" => [fd, 1, 4, pointer, size, 0],
                        "dup" => continue,
                        _ => [fd, pointer, size, net::MSG_NOSIGNAL.into(), pointer, size],
                    };
                    let result = system.call(row.number, arguments);
                    assert!(result >= -4095, "{row:?} {arguments:?}: {result}");
                    calls += 1;
                }
            }
        }
    }
    assert!(calls > 5_000, "{calls} calls");
    // The kernel goes on.
    let [_, client, server] = system.pair();
    assert_eq!(system.send(client, b"still"), 5);
    assert_eq!(
        system.receive(server, 5, net::MSG_WAITALL),
        (5, b"still".to_vec())
    );
    Ok(())
}

fn many() -> Outcome {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use rump_linux::raw::{general::*, net};
    const COUNT: usize = 4096;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(8192)), hard)?;
    let system = System::rump();
    let one = system.socket(false, net::SOCK_DGRAM);
    let mut fds = vec![one];
    while fds.len() < COUNT {
        let fd = system.call(__NR_dup, [one]);
        if fd < 0 {
            return Err(format!("dup number {}: {fd}", fds.len()).into());
        }
        fds.push(fd as u64);
    }
    fds.sort_unstable();
    fds.dedup();
    assert_eq!(fds.len(), COUNT);
    let (_, name) = system.bind(one, false);
    for fd in &fds {
        assert_eq!(system.name(__NR_getsockname, *fd), (0, name.clone()));
    }
    for fd in &fds {
        assert_eq!(system.close(*fd), 0);
    }
    assert_eq!(
        system.name(__NR_getsockname, one).0,
        -i64::from(libc::EBADF)
    );
    Ok(())
}

fn inherited() -> Outcome {
    use rump_linux::raw::{general::*, net};
    let System::Rump(parent) = System::rump() else {
        unreachable!()
    };
    let system = System::Rump(parent.fork());
    let parent = System::Rump(parent);
    let kept = system.socket(false, net::SOCK_DGRAM);
    let closed = system.socket(false, net::SOCK_DGRAM | O_CLOEXEC);
    let System::Rump(process) = &system else {
        unreachable!()
    };
    let child = process.fork();
    assert_eq!((child.count(), process.count()), (2, 2));
    process.exec();
    assert!(process.owns(kept as i32) && !process.owns(closed as i32));
    assert_eq!(child.count(), 2);
    let System::Rump(parent) = &parent else {
        unreachable!()
    };
    assert_eq!(parent.count(), 0);
    Ok(())
}
