//! The life of the kernel: what fails before boot, boot itself, a second boot, threads
//! that end while they have an lwp, a fork, shutdown. One after the other, in one
//! process, because a kernel boots once.

mod common;

use libtest_mimic::Failed;
use rump::kernel::{BootError, Down, Kernel};
use rump::net::{TcpListener, TcpStream};
use rump::process::{self, Process};
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::thread;

fn main() {
    common::run(vec![common::kernel_trial("kernel::life", life)]);
}

fn down(error: &io::Error) -> Option<Down> {
    error.get_ref()?.downcast_ref().copied()
}

fn life() -> Result<(), Failed> {
    before_boot();
    let kernel = Kernel::builder().cpus(2).hostname("mayfly").boot()?;
    boots_once();
    identity(&kernel)?;
    threads_give_their_lwp_back()?;
    destructors_may_call()?;
    processes()?;
    a_forked_child_is_told()?;
    commands_are_not_concerned()?;
    after_shutdown(&kernel)?;
    Ok(())
}

fn before_boot() {
    let error = TcpListener::bind("127.0.0.1:0").unwrap_err();
    assert_eq!(down(&error), Some(Down::NotBooted), "{error}");
    assert_eq!(Kernel::current().unwrap_err(), Down::NotBooted);
    // A refused setting is no attempt to boot.
    let refused = Kernel::builder().cpus(0).boot().unwrap_err();
    assert!(matches!(
        refused,
        BootError::Setting {
            setting: "cpus",
            ..
        }
    ));
}

fn boots_once() {
    assert_eq!(
        Kernel::builder().boot().unwrap_err(),
        BootError::AlreadyBooted
    );
}

fn identity(kernel: &Kernel) -> Result<(), Failed> {
    let identity = kernel.identity()?;
    assert_eq!(identity.system, common::kernel_name());
    assert!(
        identity.version.starts_with(&identity.system),
        "{identity:?}"
    );
    if rump_sys::kernel::KIND == rump_sys::kernel::Kind::Netbsd {
        assert_eq!(identity.release, rump_sys::kernel::RELEASE);
    }
    assert_eq!(kernel.hostname()?, "mayfly");
    Ok(())
}

/// Many more threads than the kernel could keep lwps for, if they leaked.
fn threads_give_their_lwp_back() -> Result<(), Failed> {
    for _ in 0..200 {
        let threads: Vec<_> = (0..20).map(|_| thread::spawn(process::id)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap()?, process::id()?);
        }
    }
    Ok(())
}

/// A socket that is used and dropped in the destructor of a thread-local, after or
/// before the thread's own lwp has gone.
fn destructors_may_call() -> Result<(), Failed> {
    struct Last(TcpStream);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.write_all(b"last words").unwrap();
        }
    }
    thread_local!(static LAST: RefCell<Option<Last>> = const { RefCell::new(None) });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    for first in [true, false] {
        let thread = thread::spawn(move || {
            if first {
                LAST.with_borrow(|_| ());
            }
            let stream = TcpStream::connect(address).unwrap();
            LAST.set(Some(Last(stream)));
        });
        let mut text = String::new();
        listener.accept()?.0.read_to_string(&mut text)?;
        assert_eq!(text, "last words");
        thread.join().unwrap();
    }
    Ok(())
}

fn processes() -> Result<(), Failed> {
    let home = process::id()?;
    let other = Process::new()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let raw = rump::descriptor::AsDescriptor::as_descriptor(&listener).as_raw();
    let inside = other.enter(|| -> io::Result<_> {
        assert_eq!(process::id()?, other.id());
        let own = TcpListener::bind("127.0.0.1:0")?;
        let own_raw = rump::descriptor::AsDescriptor::as_descriptor(&own).as_raw();
        Ok(own_raw)
    })??;
    assert!(
        inside <= raw,
        "a new process starts with the lowest descriptors ({inside}, {raw})"
    );
    assert_eq!(process::id()?, home);
    // A panic inside brings the thread back as well.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        other.enter(|| panic!("inside"))
    }));
    assert!(panicked.is_err());
    assert_eq!(process::id()?, home);
    let moved = thread::spawn(move || other.enter(process::id))
        .join()
        .unwrap()??;
    assert_ne!(moved, home);
    for _ in 0..500 {
        Process::with_descriptors()?.enter(|| ())?;
    }
    Ok(())
}

#[allow(unsafe_code)]
fn a_forked_child_is_told() -> Result<(), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // SAFETY: the child makes calls of this crate, which refuse at once, and exits
    // without running destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let told = matches!(listener.accept(), Err(error) if down(&error) == Some(Down::Forked))
            && matches!(Kernel::builder().boot(), Err(BootError::Down(Down::Forked)))
            && matches!(process::id(), Err(error) if down(&error) == Some(Down::Forked));
        drop(listener);
        // SAFETY: ends the child.
        unsafe { libc::_exit(if told { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child that was made above.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child was not told");
    // The parent's socket is untouched by the child's drop.
    TcpStream::connect(listener.local_addr()?)?;
    listener.accept()?;
    Ok(())
}

fn commands_are_not_concerned() -> Result<(), Failed> {
    let output = std::process::Command::new("echo").arg("fine").output()?;
    assert_eq!(output.stdout, b"fine\n");
    Ok(())
}

fn after_shutdown(kernel: &Kernel) -> Result<(), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut stream = TcpStream::connect(listener.local_addr()?)?;
    kernel.shutdown();
    for error in [
        listener.accept().map(|_| ()).unwrap_err(),
        stream.write(b"late").map(|_| ()).unwrap_err(),
        TcpListener::bind("127.0.0.1:0").map(|_| ()).unwrap_err(),
        kernel.identity().map(|_| ()).unwrap_err(),
    ] {
        assert_eq!(down(&error), Some(Down::ShutDown), "{error}");
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    }
    assert_eq!(
        Kernel::builder().boot().unwrap_err(),
        BootError::AlreadyBooted
    );
    // Closing is still possible, and quiet.
    drop((stream, listener));
    Ok(())
}
