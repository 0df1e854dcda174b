//! Linux's errnos as NetBSD's: `errno.h` of both, matched by name. The two agree
//! up to 34 except for a few; above that they have nothing in common.

use crate::errno::Errno;
use core::ffi::c_int;
use std::io::Error;

/// What has no counterpart is an invalid argument, as upstream has it.
const TABLE: &[(c_int, Errno)] = &[
    (libc::EPERM, Errno::PERM),
    (libc::ENOENT, Errno::NOENT),
    (libc::ESRCH, Errno::SRCH),
    (libc::EINTR, Errno::INTR),
    (libc::EIO, Errno::IO),
    (libc::ENXIO, Errno::NXIO),
    (libc::E2BIG, Errno::TOOBIG),
    (libc::ENOEXEC, Errno::NOEXEC),
    (libc::EBADF, Errno::BADF),
    (libc::ECHILD, Errno::CHILD),
    (libc::EAGAIN, Errno::AGAIN),
    (libc::ENOMEM, Errno::NOMEM),
    (libc::EACCES, Errno::ACCES),
    (libc::EFAULT, Errno::FAULT),
    (libc::ENOTBLK, Errno::NOTBLK),
    (libc::EBUSY, Errno::BUSY),
    (libc::EEXIST, Errno::EXIST),
    (libc::EXDEV, Errno::XDEV),
    (libc::ENODEV, Errno::NODEV),
    (libc::ENOTDIR, Errno::NOTDIR),
    (libc::EISDIR, Errno::ISDIR),
    (libc::EINVAL, Errno::INVAL),
    (libc::ENFILE, Errno::NFILE),
    (libc::EMFILE, Errno::MFILE),
    (libc::ENOTTY, Errno::NOTTY),
    (libc::ETXTBSY, Errno::TXTBSY),
    (libc::EFBIG, Errno::FBIG),
    (libc::ENOSPC, Errno::NOSPC),
    (libc::ESPIPE, Errno::SPIPE),
    (libc::EROFS, Errno::ROFS),
    (libc::EMLINK, Errno::MLINK),
    (libc::EPIPE, Errno::PIPE),
    (libc::EDOM, Errno::DOM),
    (libc::ERANGE, Errno::RANGE),
    (libc::EDEADLK, Errno::DEADLK),
    (libc::ENAMETOOLONG, Errno::NAMETOOLONG),
    (libc::ENOLCK, Errno::NOLCK),
    (libc::ENOSYS, Errno::NOSYS),
    (libc::ENOTEMPTY, Errno::NOTEMPTY),
    (libc::ELOOP, Errno::LOOP),
    (libc::ENOMSG, Errno::NOMSG),
    (libc::EIDRM, Errno::IDRM),
    (libc::ENOSTR, Errno::NOSTR),
    (libc::ENODATA, Errno::NODATA),
    (libc::ETIME, Errno::TIME),
    (libc::ENOSR, Errno::NOSR),
    (libc::EREMOTE, Errno::REMOTE),
    (libc::ENOLINK, Errno::NOLINK),
    (libc::EPROTO, Errno::PROTO),
    (libc::EMULTIHOP, Errno::MULTIHOP),
    (libc::EBADMSG, Errno::BADMSG),
    (libc::EOVERFLOW, Errno::OVERFLOW),
    (libc::EILSEQ, Errno::ILSEQ),
    (libc::EUSERS, Errno::USERS),
    (libc::ENOTSOCK, Errno::NOTSOCK),
    (libc::EDESTADDRREQ, Errno::DESTADDRREQ),
    (libc::EMSGSIZE, Errno::MSGSIZE),
    (libc::EPROTOTYPE, Errno::PROTOTYPE),
    (libc::ENOPROTOOPT, Errno::NOPROTOOPT),
    (libc::EPROTONOSUPPORT, Errno::PROTONOSUPPORT),
    (libc::ESOCKTNOSUPPORT, Errno::SOCKTNOSUPPORT),
    (libc::EOPNOTSUPP, Errno::OPNOTSUPP),
    (libc::EPFNOSUPPORT, Errno::PFNOSUPPORT),
    (libc::EAFNOSUPPORT, Errno::AFNOSUPPORT),
    (libc::EADDRINUSE, Errno::ADDRINUSE),
    (libc::EADDRNOTAVAIL, Errno::ADDRNOTAVAIL),
    (libc::ENETDOWN, Errno::NETDOWN),
    (libc::ENETUNREACH, Errno::NETUNREACH),
    (libc::ENETRESET, Errno::NETRESET),
    (libc::ECONNABORTED, Errno::CONNABORTED),
    (libc::ECONNRESET, Errno::CONNRESET),
    (libc::ENOBUFS, Errno::NOBUFS),
    (libc::EISCONN, Errno::ISCONN),
    (libc::ENOTCONN, Errno::NOTCONN),
    (libc::ESHUTDOWN, Errno::SHUTDOWN),
    (libc::ETOOMANYREFS, Errno::TOOMANYREFS),
    (libc::ETIMEDOUT, Errno::TIMEDOUT),
    (libc::ECONNREFUSED, Errno::CONNREFUSED),
    (libc::EHOSTDOWN, Errno::HOSTDOWN),
    (libc::EHOSTUNREACH, Errno::HOSTUNREACH),
    (libc::EALREADY, Errno::ALREADY),
    (libc::EINPROGRESS, Errno::INPROGRESS),
    (libc::ESTALE, Errno::STALE),
    (libc::EDQUOT, Errno::DQUOT),
    (libc::ECANCELED, Errno::CANCELED),
];

/// NetBSD's number for a Linux errno.
pub(super) fn translate(linux: c_int) -> Errno {
    TABLE
        .iter()
        .find(|(from, _)| *from == linux)
        .map_or(Errno::INVAL, |(_, to)| *to)
}

/// NetBSD's number for an error of std's. One without an errno is about the
/// argument (a path with a NUL in it).
pub(super) fn of(error: &Error) -> Errno {
    error.raw_os_error().map_or(Errno::INVAL, translate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_listed_twice() {
        for (at, (linux, netbsd)) in TABLE.iter().enumerate() {
            for (other_linux, other_netbsd) in &TABLE[at + 1..] {
                assert_ne!(linux, other_linux);
                assert_ne!(netbsd, other_netbsd);
            }
        }
    }

    #[test]
    fn numbers_that_differ() {
        assert_eq!(translate(libc::EAGAIN), Errno(35));
        assert_eq!(translate(libc::EDEADLK), Errno(11));
        assert_eq!(translate(libc::ENOSYS), Errno(78));
        assert_eq!(translate(libc::ECONNREFUSED), Errno(61));
        assert_eq!(translate(libc::ENOENT), Errno(2));
    }

    #[test]
    fn what_netbsd_lacks_is_an_invalid_argument() {
        assert_eq!(translate(libc::EUCLEAN), Errno::INVAL);
        assert_eq!(translate(-7), Errno::INVAL);
    }
}
