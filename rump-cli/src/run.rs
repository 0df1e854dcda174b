//! `rump run`: an unmodified Linux program on the kernel, which lives in this process.
//!
//! The program and all that it starts are clients of this process
//! ([`rump_seccomp`]), which stays until the last of them is gone.

mod destination;
mod in_process;
mod processes;

use destination::Destination;
use processes::{Processes, Signals};
use rump_linux::back::in_process::InProcess;
use rump_seccomp::Supervisor;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How long what programs sent last may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// Run a Linux program with its internet sockets on NetBSD's network stack
///
/// The kernel lives in this process; the program and everything that it starts are its
/// clients, also after they have forked, executed others or become daemons. They see the
/// host's files and processes, and the kernel's network alone: 127.0.0.1 is the kernel's
/// own, and the name server in /etc/resolv.conf must be reachable from there, or be left to
/// the host (--to-host :53). The status
/// is the program's; 128 and the signal's number if a signal ended it; 127 if it could not
/// be run.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    setup: rump_run::Setup,
    /// Put the kernel into the program's own process, which is faster: for dynamic programs
    /// that do not fork with open sockets, execute others or end by signals, and that make
    /// system calls through the C library. Names are resolved by the host
    #[arg(long, conflicts_with = "to_host")]
    in_process: bool,
    /// Leave what goes to this net or port to the host's network; may be repeated. ":53" has
    /// names resolved there, which else takes a name server that the kernel can reach
    #[arg(long, value_name = "NET|ADDRESS|:PORT")]
    to_host: Vec<Destination>,
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

/// Gives the thread an lwp of its own.
fn enter() {
    // Without one it is slower, not wrong.
    let _ = rump::process::id();
}

fn supervise(arguments: &Arguments) -> Result<u8, Box<dyn Error>> {
    // Before there are other threads: all of them leave signals to this one.
    let signals = Signals::take()?;
    let running = arguments.setup.boot()?;
    if arguments.verbose {
        eprintln!("rump run: the kernel is {}", running.kernel.identity()?);
    }
    let (program, rest) = arguments.program.split_first().ok_or("no program")?;
    let rest: Vec<&OsStr> = rest.iter().map(OsString::as_os_str).collect();
    processes::adopt_orphans()?;
    let mut supervisor = Supervisor::new(Arc::new(InProcess), enter)?;
    if !arguments.to_host.is_empty() {
        let list = arguments.to_host.clone();
        supervisor = supervisor.to_host(move |to| list.iter().any(|one| one.contains(to)));
    }
    let (child, programs) = supervisor.spawn(program, &rest)?;
    processes::raise_descriptors()?;
    let status = Processes::new(child.pid()).wait(&signals, &programs)?;
    let left = supervisor.wait_closed(PATIENCE);
    if let Some(error) = child.exec_error() {
        return Err(format!("{}: {error}", program.display()).into());
    }
    if arguments.verbose {
        eprintln!("rump run: {left} sockets are left");
    }
    Ok(status)
}
