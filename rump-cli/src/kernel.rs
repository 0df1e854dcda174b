//! `rump kernel`: a kernel for the programs of several runners.
//!
//! Each `rump run --kernel unix:PATH` hands its programs over ([`rump_seccomp`]), or has them
//! be clients themselves ([`rump::remote`]), as programs of that crate can be, too. They share
//! the kernel's network, ports and all, and nothing else: no program can name a descriptor of
//! another.

use crate::clients::{Clients, Running};
use crate::descriptors;
use crate::place::Place;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use rump::remote::Server;
use std::error::Error;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Run a kernel for the programs of `rump run --kernel`
///
/// It ends with SIGINT or SIGTERM; programs that it still has then have no network any more.
/// It must be allowed to trace the programs: root may, and the same user where
/// kernel.yama.ptrace_scope is 0 or absent.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Unix socket for runners, which this user and root may connect to
    #[arg(long, value_name = "unix:PATH")]
    listen: Place,
    #[command(flatten)]
    clients: Clients,
}

/// Runs the kernel.
pub fn run(arguments: &Arguments) -> ExitCode {
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rump kernel: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    // Before there are other threads, so that the signals come here alone.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    let place = &arguments.listen;
    let listener = listen(&place.0).map_err(|error| format!("{place}: {error}"))?;
    descriptors::raise_limit()?;
    let running = Arc::new(arguments.clients.boot(None)?);
    println!("{} on {place}", running.kernel.kernel.identity()?);
    std::thread::Builder::new()
        .name("rump-runners".into())
        .spawn(move || accept(&running, &listener))?;
    signals.wait()?;
    std::fs::remove_file(&place.0)?;
    Ok(())
}

/// A socket for this user and root. One that nobody listens on any more is replaced.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let before = umask(Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path).or_else(|error| {
        if error.kind() != io::ErrorKind::AddrInUse || UnixStream::connect(path).is_ok() {
            return Err(error);
        }
        std::fs::remove_file(path)?;
        UnixListener::bind(path)
    });
    umask(before);
    listener
}

fn accept(running: &Arc<Running>, listener: &UnixListener) {
    let server = Server::new(&running.kernel.kernel);
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                eprintln!("rump kernel: a runner could not connect: {error}");
                std::thread::sleep(std::time::Duration::from_millis(100));
                continue;
            }
        };
        let (running, server) = (running.clone(), server.clone());
        let made = std::thread::Builder::new()
            .name("rump-runner".into())
            .spawn(move || {
                if let Err(error) = attend(&running, &server, &stream) {
                    eprintln!("rump kernel: a runner: {error}");
                }
            });
        if let Err(error) = made {
            eprintln!("rump kernel: a runner: {error}");
        }
    }
}

/// Has the connection open for as long as there are programs.
fn attend(running: &Running, server: &Server, stream: &UnixStream) -> io::Result<()> {
    if Server::is_client(stream)? {
        return server.attend(stream);
    }
    let programs = running.supervisor.take_over(stream)?;
    loop {
        let mut entry = [PollFd::new(programs.as_fd(), PollFlags::empty())];
        match poll(&mut entry, PollTimeout::NONE) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
