//! `rump server`: network cards for applications that have stacks of their own.
//!
//! All of it is in [`rump_server`].

use nix::unistd::dup;
use rump::iface::{Backend, card};
use rump_server::config::CardPlan;
use rump_server::{link::Link, supervisor, worker};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Share network cards among applications with TCP/IP stacks of their own
///
/// It must be allowed to open the cards that its configuration names, which root is; it then
/// becomes the user that the configuration names. It ends with SIGINT or SIGTERM.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Configuration, in TOML: see docs/server.md
    #[arg(long, value_name = "FILE", default_value = "/etc/rump/server.toml")]
    config: PathBuf,
}

/// The hidden subcommand that is the worker.
const WORKER: &str = "server-worker";

/// Runs the server.
pub fn run(arguments: &Arguments) -> ExitCode {
    ended(supervisor::run(&arguments.config, &[WORKER]).map_err(|error| error.to_string()))
}

/// Runs the worker, whose standard input is the link to its supervisor.
pub fn work() -> ExitCode {
    let link = dup(std::io::stdin()).map_err(std::io::Error::from);
    let ran = link.and_then(|file| worker::run_with_cards(Link::of(file), &cards));
    ended(ran.map_err(|error| format!("worker: {error}")))
}

/// Cards that NetBSD's drivers have, in this process.
fn cards(wanted: &[CardPlan]) -> io::Result<Vec<Box<dyn Backend>>> {
    card::boot(
        wanted
            .iter()
            .map(|card| (&*card.address, card.driver.as_deref())),
    )
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rump server: {error}");
            ExitCode::FAILURE
        }
    }
}
