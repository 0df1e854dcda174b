//! The filter: which system calls are notified, as a program for `seccomp(2)`.
//!
//! All others run as if there were none; where that does not depend on arguments, Linux knows
//! from a bitmap and does not run the program at all.

use libc::sock_filter;
use rump_linux::raw::general::*;
use rump_linux::raw::{ioctl, net};

/// When a call is notified.
#[derive(Clone, Copy)]
enum When {
    Always,
    /// An argument, of which only the lower half counts, is one of these.
    Argument(u32, &'static [u32]),
}
use When::{Always, Argument};

/// What a socket of `AF_NETLINK` is about is looked at by whoever answers.
const FAMILIES: When = Argument(0, &[net::AF_INET, net::AF_INET6, net::AF_NETLINK]);
/// What `rump-linux` answers; about the rest Linux may say that it is no such device.
const REQUESTS: When = Argument(
    1,
    &[
        ioctl::FIONBIO,
        ioctl::FIONREAD,
        ioctl::TIOCOUTQ,
        ioctl::SIOCATMARK,
        ioctl::SIOCGIFNAME,
        ioctl::SIOCGIFCONF,
        ioctl::SIOCGIFFLAGS,
        ioctl::SIOCSIFFLAGS,
        ioctl::SIOCGIFADDR,
        ioctl::SIOCGIFDSTADDR,
        ioctl::SIOCGIFBRDADDR,
        ioctl::SIOCGIFNETMASK,
        ioctl::SIOCGIFMETRIC,
        ioctl::SIOCGIFMTU,
        ioctl::SIOCGIFHWADDR,
        ioctl::SIOCGIFINDEX,
        ioctl::SIOCGIFTXQLEN,
    ],
);

const NOTIFIED: &[(u32, When)] = &[
    (__NR_socket, FAMILIES),
    (__NR_bind, Always),
    (__NR_listen, Always),
    (__NR_accept, Always),
    (__NR_accept4, Always),
    (__NR_connect, Always),
    (__NR_shutdown, Always),
    (__NR_getsockname, Always),
    (__NR_getpeername, Always),
    (__NR_setsockopt, Always),
    (__NR_getsockopt, Always),
    (__NR_sendto, Always),
    (__NR_recvfrom, Always),
    (__NR_sendmsg, Always),
    (__NR_recvmsg, Always),
    (__NR_sendmmsg, Always),
    (__NR_recvmmsg, Always),
    (__NR_read, Always),
    (__NR_write, Always),
    (__NR_readv, Always),
    (__NR_writev, Always),
    (__NR_sendfile, Always),
    (__NR_splice, Always),
    (__NR_fcntl, Argument(1, &[F_SETFL])),
    (__NR_ioctl, REQUESTS),
];

/// Calls that would go round the filter, or around the placeholder's meaning.
const ABSENT: &[u32] = &[__NR_io_uring_setup, __NR_io_uring_enter, __NR_vmsplice];

/// `AUDIT_ARCH_X86_64` of `<linux/audit.h>`.
const ARCHITECTURE: u32 = 0xc000_003e;
/// `__X32_SYSCALL_BIT` of `<asm/unistd.h>`.
const X32: u32 = 0x4000_0000;

/// Places in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const ALLOW: sock_filter = statement(RETURN, libc::SECCOMP_RET_ALLOW);
const NOTIFY: sock_filter = statement(RETURN, libc::SECCOMP_RET_USER_NOTIF);
const NO_SUCH_CALL: sock_filter = statement(RETURN, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);

const fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

/// Jumps over so many statements unless the test holds.
const fn unless(code: u16, k: u32, over: u8) -> sock_filter {
    sock_filter {
        code,
        jt: 0,
        jf: over,
        k,
    }
}

/// The program.
pub(crate) fn program() -> Vec<sock_filter> {
    let mut program = vec![
        statement(LOAD, ARCH),
        sock_filter {
            code: EQUAL,
            jt: 1,
            jf: 0,
            k: ARCHITECTURE,
        },
        NO_SUCH_CALL,
        statement(LOAD, NUMBER),
        unless(AT_LEAST, X32, 1),
        NO_SUCH_CALL,
    ];
    for number in ABSENT {
        program.extend([unless(EQUAL, *number, 1), NO_SUCH_CALL]);
    }
    for (number, when) in NOTIFIED {
        let body = match when {
            Always => vec![NOTIFY],
            Argument(index, values) => {
                // Little-endian: the lower half is first.
                let mut body = vec![statement(LOAD, ARGUMENTS + 8 * index)];
                for value in *values {
                    body.extend([unless(EQUAL, *value, 1), NOTIFY]);
                }
                body.push(ALLOW);
                body
            }
        };
        program.push(unless(EQUAL, *number, body.len() as u8));
        program.extend(body);
    }
    program.push(ALLOW);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program comes to for a call, as Linux would run it.
    fn run(number: u32, arch: u32, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(number.to_le_bytes());
        data.extend(arch.to_le_bytes());
        data.extend([0; 8]);
        data.extend(arguments.iter().flat_map(|one| one.to_le_bytes()));
        let (program, mut at, mut accumulator) = (program(), 0, 0);
        loop {
            let step = program[at];
            at += 1;
            let jump = |holds| usize::from(if holds { step.jt } else { step.jf });
            match step.code {
                LOAD => {
                    let from = step.k as usize;
                    accumulator = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                }
                EQUAL => at += jump(accumulator == step.k),
                AT_LEAST => at += jump(accumulator >= step.k),
                RETURN => return step.k,
                code => panic!("statement {code:#x}"),
            }
        }
    }

    #[test]
    fn every_notified_call_is_answered_by_the_personality() {
        for (number, _) in NOTIFIED {
            assert!(rump_linux::table::find(*number).is_some(), "{number}");
        }
    }

    #[test]
    fn each_number_has_its_verdict() {
        for number in 0..1000 {
            let verdict = run(number, ARCHITECTURE, [u64::MAX; 6]);
            let row = NOTIFIED.iter().find(|(listed, _)| *listed == number);
            let expected = match row {
                Some((_, Always)) => libc::SECCOMP_RET_USER_NOTIF,
                _ if ABSENT.contains(&number) => NO_SUCH_CALL.k,
                _ => libc::SECCOMP_RET_ALLOW,
            };
            assert_eq!(verdict, expected, "{number}");
            assert_eq!(run(number | X32, ARCHITECTURE, [0; 6]), NO_SUCH_CALL.k);
            // i386.
            assert_eq!(run(number, 0x4000_0003, [0; 6]), NO_SUCH_CALL.k);
        }
    }

    #[test]
    fn arguments_decide_by_their_lower_half() {
        let socket = |domain: u64| run(__NR_socket, ARCHITECTURE, [domain, 1, 0, 0, 0, 0]);
        let notified = libc::SECCOMP_RET_USER_NOTIF;
        assert_eq!(socket(2), notified);
        assert_eq!(socket(10 | 7 << 32), notified);
        // Netlink's.
        assert_eq!(socket(16), notified);
        for other in [0, 1, 3, 17, 2 << 32] {
            assert_eq!(socket(other), libc::SECCOMP_RET_ALLOW, "{other}");
        }
        let fcntl = |command: u32| run(__NR_fcntl, ARCHITECTURE, [3, command.into(), 0, 0, 0, 0]);
        assert_eq!(fcntl(F_SETFL), notified);
        assert_eq!(fcntl(F_GETFL), libc::SECCOMP_RET_ALLOW);
    }
}
