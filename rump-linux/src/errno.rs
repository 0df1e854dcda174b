//! Linux's errnos, and what NetBSD's become.

use crate::raw::errno as linux;
use rump_abi as netbsd;

/// An errno with Linux's number; calls return it negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u32);

/// An errno with NetBSD's number, as the [`Kernel`](crate::Kernel) reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure(pub i32);

macro_rules! same {
    ($($name:ident)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`, errno(3).")]
                pub const $name: Errno = Errno(linux::$name);
            )*
        }

        /// What both systems have under one name.
        const SAME: &[(i32, u32)] = &[$((netbsd::$name, linux::$name)),*];
    };
}

same! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EDEADLK ENOMEM EACCES
    EFAULT ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY
    ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EAGAIN EINPROGRESS EALREADY
    ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT
    EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH
    ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS
    ETIMEDOUT ECONNREFUSED ELOOP ENAMETOOLONG EHOSTDOWN EHOSTUNREACH ENOTEMPTY EUSERS
    EDQUOT ESTALE EREMOTE ENOLCK ENOSYS EIDRM ENOMSG EOVERFLOW EILSEQ ECANCELED EBADMSG
    ENODATA ENOSR ENOSTR ETIME EMULTIHOP ENOLINK EPROTO
}

/// What only NetBSD has, and what a Linux program understands instead.
const CLOSEST: &[(i32, u32)] = &[
    (netbsd::ENOTSUP, linux::EOPNOTSUPP),
    (netbsd::ENOATTR, linux::ENODATA),
    (netbsd::EPROCLIM, linux::EAGAIN),
    (netbsd::EFTYPE, linux::EINVAL),
    (netbsd::EAUTH, linux::EACCES),
    (netbsd::ENEEDAUTH, linux::EACCES),
];

/// Linux's numbers by NetBSD's; 0 where that has none. Reads that find nothing are as
/// frequent as those that find something.
const BY_NUMBER: [u8; 128] = {
    let mut all = [0; 128];
    let mut lists = [SAME, CLOSEST].as_slice();
    while let [list, rest @ ..] = lists {
        let mut at = 0;
        while at < list.len() {
            let (from, to) = list[at];
            all[from as usize] = to as u8;
            at += 1;
        }
        lists = rest;
    }
    all
};

/// Restart, which a rump kernel's callers are told as an interruption.
const ERESTART: i32 = -3;

impl From<Failure> for Errno {
    /// A number that NetBSD does not have either is an I/O error.
    fn from(failure: Failure) -> Self {
        let known = usize::try_from(failure.0)
            .ok()
            .and_then(|at| BY_NUMBER.get(at));
        match known {
            Some(&linux) if linux > 0 => Errno(linux.into()),
            _ if failure.0 == ERESTART => Errno::EINTR,
            _ => Errno::EIO,
        }
    }
}

impl From<crate::memory::Fault> for Errno {
    fn from(_: crate::memory::Fault) -> Self {
        Errno::EFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_differ() {
        for (netbsd, linux) in [(35, 11), (11, 35), (61, 111), (36, 115), (86, 95)] {
            assert_eq!(Errno::from(Failure(netbsd)), Errno(linux));
        }
        assert_eq!(Errno::from(Failure(ERESTART)), Errno::EINTR);
        for unknown in [i32::MIN, -1, 0, 127, 128, 999, i32::MAX] {
            assert_eq!(Errno::from(Failure(unknown)), Errno::EIO);
        }
    }

    #[test]
    fn all_that_are_listed_are_found() {
        for (netbsd, linux) in SAME.iter().chain(CLOSEST) {
            assert_eq!(Errno::from(Failure(*netbsd)), Errno(*linux));
        }
    }

    #[test]
    fn no_number_is_listed_twice() {
        let all: alloc::vec::Vec<_> = SAME.iter().chain(CLOSEST).collect();
        for (at, row) in all.iter().enumerate() {
            assert!(
                all[at + 1..].iter().all(|other| other.0 != row.0),
                "{row:?}"
            );
        }
    }
}
