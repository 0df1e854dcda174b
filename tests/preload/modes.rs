//! What `rump run --in-process` is tested with, wherever the kernel is.

use super::common::{Outcome, netns};
use super::{own, programs, roles, runner};
use libtest_mimic::Trial;
use runner::Runner;

/// What has to be built beside these tests.
pub const FILES: &[&str] = &["rump", "librump_preload.so"];

/// Roles of `run_clients` that neither execute other programs nor pass descriptors on.
const ROLES: &[&str] = &[
    "signals_interrupt",
    "handlers_use_sockets",
    "threads_wait_apart",
    "poll_and_select",
    "epoll_with_edges",
    "full_buffers",
    "connecting_without_waiting",
    "what_is_closed_is_closed_at_once",
    "datagrams",
    "interfaces_are_the_kernels",
    #[cfg(feature = "async")]
    "tokio_echoes",
    "pointers_to_nowhere",
    "descriptors_2000",
];

/// Those of several processes, or several programs, which must share the kernel.
const SHARED: &[&str] = &[
    "fork_shares_sockets",
    "epoll_of_before_a_fork",
    "exec_keeps_sockets",
    "exec_with_a_list_of_arguments",
    "inetd_gives_a_socket_as_stdin",
];

const PROGRAMS: &[&str] = &[
    "curl::gets_a_page",
    "wget::gets_a_page",
    "python3::is_a_client",
    "python3::is_a_server",
    "redis-server::answers",
    "iperf3::client_and_server",
];

/// Runs the roles, under the name of the mode, but for one or none; the programs; and what
/// is of this mode alone.
pub fn main(mode: &str, without: &str, more: impl FnOnce() -> Vec<Trial>) {
    if let Some(role) = std::env::var_os("RUMP_TEST_ROLE") {
        let role = role.to_string_lossy();
        return match own::ROLES.iter().find(|(name, _)| *name == role) {
            Some((_, play)) => play(),
            None => roles::play(&role),
        };
    }
    // Before there are threads.
    let namespace = netns::enter().map_err(|reason| &*reason.leak());
    let mut trials = more();
    let own = own::ROLES.iter().map(|(name, _)| name);
    let shared = SHARED.iter().filter(|_| super::ELSEWHERE);
    let roles = own.chain(ROLES).chain(shared);
    for role in roles.filter(|role| **role != without) {
        let name = format!("{mode}::{role}");
        trials.push(runner::trial(name, move || play(role)));
    }
    for (name, test) in programs::TESTS {
        // Of several processes, which must share the kernel.
        let shared = super::ELSEWHERE && name.starts_with("nginx");
        if shared || PROGRAMS.contains(name) {
            trials.push(runner::program(namespace, name, *test));
        }
    }
    runner::run(trials)
}

fn play(role: &str) -> Outcome {
    let told = Runner::new().role(role).output()?;
    assert_eq!(told.status, 0, "{told:?}");
    Ok(())
}
