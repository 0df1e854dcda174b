//! Tasks that wait when the kernel is shut down learn of it.

mod common;

use common::Outcome;
use rump::kernel::Down;
use rump::net::{TcpListener, UdpSocket};
use rump::reactor::{Async, Reactor, block_on};
use std::io;
use std::thread;
use std::time::Duration;

fn main() {
    common::run_on_kernel([("shutdown_wakes_all_who_wait", shutdown_wakes_all_who_wait)]);
}

fn is_down<T>(result: io::Result<T>) -> bool {
    let error = result.err();
    let inner = error.as_ref().and_then(io::Error::get_ref);
    matches!(
        inner.and_then(|inner| inner.downcast_ref()),
        Some(Down::ShutDown)
    )
}

fn shutdown_wakes_all_who_wait() -> Outcome {
    let global = thread::spawn(|| {
        let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0))?;
        io::Result::Ok(is_down(block_on(listener.accept())))
    });
    let own = thread::spawn(|| {
        let reactor = Reactor::new()?;
        let socket = Async::with(&reactor.handle(), UdpSocket::bind("127.0.0.1:0")?)?;
        let mut buffer = [0; 16];
        let result = reactor.block_on(socket.recv(&mut buffer));
        // Either the reactor says so, or the call.
        io::Result::Ok(match result {
            Ok(received) => is_down(received),
            Err(error) => is_down::<()>(Err(error)),
        })
    });
    thread::sleep(Duration::from_millis(200));
    rump::Kernel::current()?.shutdown();
    for thread in [global, own] {
        assert!(thread.join().map_err(|_| "a thread panicked")??);
    }
    Ok(())
}
