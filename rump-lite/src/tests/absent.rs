//! What is not there is an error with NetBSD's number, and the console tells what it was.

use super::{boot, bound, lock};
use crate::lwp::rump_lite_lacked;
use crate::syscall::descriptor::{
    rump___sysimpl___sysctl, rump___sysimpl_close, rump___sysimpl_fcntl, rump___sysimpl_ioctl,
    rump___sysimpl_open, rump___sysimpl_setrlimit,
};
use crate::syscall::socket::{rump___sysimpl_sendto, rump___sysimpl_socket};
use core::ptr::{null, null_mut};
use rump_abi as abi;
use rump_hyper::errno::Errno;

/// What the last call of this thread that failed lacked.
fn lacked() -> std::string::String {
    let mut room = [0; 64];
    // SAFETY: there is so much room.
    let length = unsafe { rump_lite_lacked(room.as_mut_ptr(), room.len()) };
    std::string::String::from_utf8_lossy(&room[..length]).into_owned()
}

#[test]
fn absent_things_are_errors_and_told_once() {
    let _kernel = boot();
    let (udp, address) = bound(abi::AF_INET, abi::SOCK_DGRAM);
    let limit = abi::rlimit {
        rlim_cur: 1,
        rlim_max: 1,
    };
    let node = [99, 98, 97];
    let call = |number: usize| {
        // SAFETY: what is pointed to lives, and has the length that is told.
        unsafe {
            match number {
                0 => rump___sysimpl_socket(abi::AF_LOCAL, abi::SOCK_STREAM, 0),
                1 => rump___sysimpl_socket(abi::AF_INET, abi::SOCK_RAW, abi::IPPROTO_ICMP),
                2 => rump___sysimpl_ioctl(udp.0, 0xdead_beef, null_mut()),
                3 => rump___sysimpl_fcntl(udp.0, 77, null_mut()),
                4 => rump___sysimpl_setrlimit(0, &raw const limit),
                5 => rump___sysimpl___sysctl(node.as_ptr(), 3, null_mut(), null_mut(), null(), 0),
                6 => rump___sysimpl_socket(77, abi::SOCK_STREAM, 0),
                7 => rump___sysimpl_socket(abi::AF_INET6, abi::SOCK_STREAM, 132),
                8 => rump___sysimpl_socket(abi::AF_INET, 5, 0),
                9 => rump___sysimpl_open(c"/dev/npf".as_ptr(), abi::O_RDWR, 0),
                _ => rump___sysimpl_sendto(
                    udp.0,
                    b"x".as_ptr().cast(),
                    1,
                    abi::MSG_OOB,
                    address.bytes.as_ptr().cast(),
                    address.length,
                ) as i32,
            }
        }
    };
    let expected = [
        (Errno::AFNOSUPPORT, "local sockets (AF_LOCAL)"),
        (Errno::PROTONOSUPPORT, "raw sockets (SOCK_RAW)"),
        (Errno::NOTTY, "ioctl(2) request 0xdeadbeef"),
        (Errno::INVAL, "fcntl(2) command 77"),
        (Errno::OPNOTSUPP, "limit 0 of setrlimit(2)"),
        (Errno::NOENT, "sysctl node 99.98.97"),
        (Errno::AFNOSUPPORT, "sockets of address family 77"),
        (Errno::PROTONOSUPPORT, "protocol 132 for sockets of type 1"),
        (Errno::PROTOTYPE, "sockets of type 5"),
        (Errno::NOSYS, "files and devices (open(2))"),
        (Errno::OPNOTSUPP, "urgent data (MSG_OOB)"),
    ];
    for _ in 0..2 {
        for (number, (errno, what)) in expected.iter().enumerate() {
            assert_eq!(call(number), -1, "{errno:?}");
            assert_eq!(rump_hyper::errno(), errno.0);
            assert_eq!(lacked(), *what);
        }
    }
    // Another failure has another reason.
    // SAFETY: takes numbers.
    assert_eq!(unsafe { rump___sysimpl_close(4000) }, -1);
    assert_eq!(lacked(), "");
    let kernel = lock();
    for (_, what) in expected {
        assert_eq!(
            kernel.lacking.iter().filter(|told| *told == what).count(),
            1,
            "{what}"
        );
    }
    let console = rump_hyper::console::tail();
    let console = std::string::String::from_utf8_lossy(&console);
    assert!(
        console.contains("rump-lite has no local sockets (AF_LOCAL)\n"),
        "{console}"
    );
}
