//! `rump run`: an unmodified Linux program on the kernel, which lives in this process, in
//! that of a `rump kernel`, or in the program's own.
//!
//! In the first two cases the program and all that it starts are clients of the kernel's
//! process ([`rump_seccomp`]). This one stays until the last of them is gone.

mod in_process;
mod loadable;
mod processes;

use crate::clients::Clients;
use crate::descriptors;
use crate::place::Place;
use processes::{Processes, Signals};
use rump_seccomp::Child;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

/// How long what programs sent last may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// Run a Linux program with its internet sockets on NetBSD's network stack
///
/// The kernel lives in this process; the program and everything that it starts are its
/// clients, also after they have forked, executed others or become daemons. They see the
/// host's files and processes, and the kernel's network alone: 127.0.0.1 is the kernel's
/// own, and the name server in /etc/resolv.conf must be reachable from there, or be left to
/// the host (--to-host :53). The status is the program's; 128 and the signal's number if a
/// signal ended it; 127 if it could not be run.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    clients: Clients,
    /// Answer the program's calls in its own process, which is faster: with a kernel there, or
    /// with that of --kernel. For dynamic programs that do not execute others; without --kernel,
    /// for such that do not fork with open sockets or end by signals. Names are resolved by the
    /// host
    #[arg(long, conflicts_with = "to_host")]
    in_process: bool,
    /// Answer what the program asks by functions of the C library, and leave system calls by
    /// instructions of its own to Linux: faster by some percent, as Linux need not look at
    /// where each call comes from
    #[arg(long, requires = "in_process")]
    functions_only: bool,
    /// Use the kernel of a `rump kernel` that listens there, and what it was set up with
    #[arg(
        long,
        value_name = "unix:PATH",
        conflicts_with_all = ["tap", "packet", "server", "to_host"]
    )]
    kernel: Option<Place>,
    /// Say which kernel runs, and what is left of the program's at the end
    #[arg(long)]
    verbose: bool,
    /// The program, which is looked for in PATH, and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// Runs the program.
pub fn run(arguments: &Arguments) -> ExitCode {
    let done = if arguments.in_process {
        in_process::run(arguments).map(|never| match never {})
    } else {
        supervise(arguments)
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("rump run: {error}");
            ExitCode::from(127)
        }
    }
}

fn supervise(arguments: &Arguments) -> Result<u8, Box<dyn Error>> {
    // Before there are other threads: all of them leave signals to this one.
    let signals = Signals::take()?;
    processes::adopt_orphans()?;
    let (program, rest) = arguments.program.split_first().ok_or("no program")?;
    let rest: Vec<&OsStr> = rest.iter().map(OsString::as_os_str).collect();
    let (child, status) = match &arguments.kernel {
        None => here(arguments, &signals, program, &rest)?,
        Some(place) => elsewhere(place, &signals, program, &rest)?,
    };
    match child.exec_error() {
        None => Ok(status),
        Some(error) => Err(format!("{}: {error}", program.display()).into()),
    }
}

/// With a kernel of its own.
fn here(
    arguments: &Arguments,
    signals: &Signals,
    program: &OsStr,
    rest: &[&OsStr],
) -> Result<(Child, u8), Box<dyn Error>> {
    let running = arguments.clients.boot(Some(program))?;
    if arguments.verbose {
        let kernel = &running.kernel.kernel;
        eprintln!("rump run: the kernel is {}", kernel.identity()?);
    }
    let (child, programs) = running.supervisor.spawn(program, rest)?;
    descriptors::raise_limit()?;
    let status = Processes::new(child.pid()).wait(signals, &programs)?;
    let left = running.supervisor.wait_closed(PATIENCE);
    if arguments.verbose {
        eprintln!("rump run: {left} sockets are left");
    }
    Ok((child, status))
}

/// With the kernel of another process, which closes the connection at the end.
fn elsewhere(
    place: &Place,
    signals: &Signals,
    program: &OsStr,
    rest: &[&OsStr],
) -> Result<(Child, u8), Box<dyn Error>> {
    let failed = |error| format!("{place}: {error}");
    let stream = UnixStream::connect(&place.0).map_err(failed)?;
    let child = rump_seccomp::spawn_remote(&stream, program, rest).map_err(failed)?;
    let status = Processes::new(child.pid()).wait(signals, &stream)?;
    Ok((child, status))
}
