//! The server as a process, over a TAP interface in a network namespace that this process
//! makes for itself. Linux is the world beyond it; applications are bare ends of cables.
//!
//! This program is the server, too: it starts itself as its supervisor, and that its worker.
//!
//! `RUMP_SERVER_CHAOS=1000000` says how many writes and messages the hostile client tries,
//! `RUMP_SERVER_REWRITES` how many frames are sent whose headers are rewritten meanwhile.

#[path = "../../../tests/common/netns.rs"]
mod netns;

mod bare;
mod chaos;
mod process;
mod rewriting;
mod traffic;

use libtest_mimic::{Arguments, Failed, Trial};
use rump_server::{link::Link, supervisor, worker};
use std::os::fd::AsFd;

type Outcome = Result<(), Failed>;
type Test = (&'static str, fn() -> Outcome);

fn main() {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("as-server"), Some(file)) => {
            if let Err(error) = supervisor::run(file.as_ref(), &["as-worker"]) {
                eprintln!("{error}");
                std::process::exit(1);
            }
        }
        (Some("as-worker"), None) => {
            let link = std::io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .expect("a link");
            worker::run(Link::of(link)).expect("a worker");
        }
        _ => test(),
    }
}

fn test() {
    let possible = match nix::unistd::geteuid().is_root() {
        true => netns::enter(),
        false => Err("not root".into()),
    };
    let tests: [Test; 16] = [
        (
            "root::ports_of_one_address_are_shared",
            traffic::shared_address,
        ),
        (
            "root::one_port_on_several_addresses",
            traffic::several_addresses,
        ),
        ("root::ipv6_goes_as_ipv4", traffic::ipv6),
        ("root::applications_reach_each_other", traffic::each_other),
        ("root::nothing_leaves_as_another", traffic::spoofing),
        ("root::who_sends_too_much_waits", traffic::limits),
        ("root::who_always_sends_gets_the_same", traffic::shares),
        (
            "root::an_application_that_is_killed_leaves_nothing",
            process::application_killed,
        ),
        (
            "root::who_has_gone_is_not_heard_for_ever",
            process::sends_on,
        ),
        (
            "root::a_worker_that_is_killed_is_replaced",
            process::worker_killed,
        ),
        ("root::an_upgrade_loses_nothing", process::upgrade),
        ("root::a_packet_socket_goes_on", process::packets),
        ("root::a_server_has_no_privileges", process::privileges),
        ("root::farewell_is_said", process::stop),
        ("root::chaos_harms_nobody_else", chaos::chaos),
        (
            "root::headers_rewritten_meanwhile_are_of_no_use",
            rewriting::rewriting,
        ),
    ];
    let required = std::env::var("RUMP_TEST_REQUIRE")
        .is_ok_and(|list| list.split(',').any(|word| word.trim() == "root"));
    let trial = |(name, test): Test| {
        let reason = possible.as_ref().err().cloned();
        match reason {
            None => Trial::test(name, test),
            Some(reason) if required => Trial::test(name, move || {
                Err(format!("RUMP_TEST_REQUIRE=root: {reason}").into())
            }),
            Some(reason) => {
                println!("skipped: {name}: {reason}");
                Trial::test(name, test).with_ignored_flag(true)
            }
        }
    };
    let mut arguments = Arguments::from_args();
    // They measure, and each has a server of its own.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, tests.into_iter().map(trial).collect()).exit();
}
