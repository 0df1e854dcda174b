//! NetBSD's signals as Linux's: `signal.h` of both, matched by name.

use core::ffi::c_int;
use nix::sys::signal::{Signal, raise};

/// By NetBSD's number. SIGEMT (7) and SIGINFO (29) do not exist on Linux.
const TABLE: [Option<Signal>; 33] = [
    None,
    Some(Signal::SIGHUP),
    Some(Signal::SIGINT),
    Some(Signal::SIGQUIT),
    Some(Signal::SIGILL),
    Some(Signal::SIGTRAP),
    Some(Signal::SIGABRT),
    None,
    Some(Signal::SIGFPE),
    Some(Signal::SIGKILL),
    Some(Signal::SIGBUS),
    Some(Signal::SIGSEGV),
    Some(Signal::SIGSYS),
    Some(Signal::SIGPIPE),
    Some(Signal::SIGALRM),
    Some(Signal::SIGTERM),
    Some(Signal::SIGURG),
    Some(Signal::SIGSTOP),
    Some(Signal::SIGTSTP),
    Some(Signal::SIGCONT),
    Some(Signal::SIGCHLD),
    Some(Signal::SIGTTIN),
    Some(Signal::SIGTTOU),
    Some(Signal::SIGIO),
    Some(Signal::SIGXCPU),
    Some(Signal::SIGXFSZ),
    Some(Signal::SIGVTALRM),
    Some(Signal::SIGPROF),
    Some(Signal::SIGWINCH),
    None,
    Some(Signal::SIGUSR1),
    Some(Signal::SIGUSR2),
    Some(Signal::SIGPWR),
];

fn translate(netbsd: c_int) -> Option<Signal> {
    *TABLE.get(usize::try_from(netbsd).ok()?)?
}

/// Sends the calling thread a signal; one that Linux lacks is nobody's business.
pub(super) fn send(netbsd: c_int) {
    if let Some(signal) = translate(netbsd) {
        // It can only fail for numbers that are not in the table.
        let _ = raise(signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_differ() {
        assert_eq!(translate(10), Some(Signal::SIGBUS));
        assert_eq!(translate(16), Some(Signal::SIGURG));
        assert_eq!(translate(30), Some(Signal::SIGUSR1));
        assert_eq!(translate(13), Some(Signal::SIGPIPE));
    }

    #[test]
    fn what_linux_lacks_is_dropped() {
        for number in [-1, 0, 7, 29, 33, 63, c_int::MAX] {
            assert_eq!(translate(number), None);
        }
    }
}
