//! The threads that serve the queues of an interface.

use super::HostErrno;
use super::moderation::Moderation;
use super::port::{Port, Turn, guarded};
use rump_sys::hyper::linux::{exact_sleeps, short_turns};
use rump_sys::hyper::vif::{Batch, Pool};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// How many frames of a queue the kernel may hold without a copy: 33 MiB at most.
const LEASES: u32 = 512;

/// The threads of an interface.
#[derive(Debug)]
pub(crate) struct Workers {
    port: Arc<Port>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Workers {
    pub(crate) fn new(port: Arc<Port>) -> Self {
        Self {
            port,
            threads: Mutex::default(),
        }
    }

    /// Sees to it that there are threads for so many queues.
    pub(crate) fn serve(&self, queues: usize) -> io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        while threads.len() < queues {
            let port = Arc::clone(&self.port);
            let queue = threads.len();
            let thread = std::thread::Builder::new()
                .name(format!("{}-{queue}", self.port.vif().name()))
                .spawn(move || serve(&port, queue))?;
            threads.push(thread);
        }
        Ok(())
    }

    /// Ends all threads.
    pub(crate) fn stop(&self) {
        // They are not in the child of a fork.
        if crate::kernel::forked() {
            return;
        }
        self.port.shared().stop();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // One that panicked has ended as well.
            let _ = thread.join();
        }
    }
}

fn serve(port: &Port, queue: usize) {
    let mut batch = Batch::new(Pool::new(LEASES));
    let mut moderation = Moderation::new(Instant::now());
    exact_sleeps();
    short_turns();
    while let Some(turn) = port.shared().turn(queue) {
        let result = receive(&turn, queue, &mut batch);
        if let Err(error) = result {
            let interface = port.vif().name();
            tracing::warn!(interface, queue, ?error, backend = ?turn.backend.0, "back end failed");
            port.shared().fail(&turn, error);
        }
        if (queue == 0 || result.is_err()) && port.shared().is_current(&turn) {
            port.set_link(result.is_ok() && turn.backend.0.link());
        }
        // A back end that was replaced meanwhile must not be kept.
        drop(turn);
        let (frames, full) = (batch.frames().len(), batch.is_full());
        port.deliver(&mut batch);
        let pause = moderation.pause_after(frames, Instant::now());
        if !full && !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
}

/// Waits for frames; fails if there will be none any more.
fn receive(turn: &Turn, queue: usize, batch: &mut Batch) -> Result<(), HostErrno> {
    let backend = &turn.backend.0;
    guarded(|| {
        if let Some(offloads) = turn.receive_offloads {
            // Where it cannot, what it goes on to bring is brought into shape here.
            let _ = backend.set_receive_offloads(offloads & backend.offers());
        }
        backend.receive(queue, batch)
    })
}
