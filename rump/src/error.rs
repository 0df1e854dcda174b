//! NetBSD's error numbers.
//!
//! They are not the host's: 35 is `EAGAIN` here and `EDEADLK` on Linux. So an [`Errno`]
//! is never made into an [`io::Error`] by number. It travels inside the error, from
//! where [`Errno::of`] takes it out again, and gives the error its kind.
//!
//! ```
//! use rump::Errno;
//! use std::io;
//!
//! let error = io::Error::from(Errno::ECONNREFUSED);
//! assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
//! assert_eq!(Errno::of(&error), Some(Errno::ECONNREFUSED));
//! assert_eq!(error.raw_os_error(), None);
//! ```

use std::fmt;
use std::io;

/// An error number of NetBSD's (`errno(2)`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub(crate) i32);

macro_rules! errnos {
    ($($name:ident $kind:ident $text:literal;)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`: ", $text, ".")]
                pub const $name: Self = Self(rump_sys::abi::$name);
            )*
        }

        /// Number, name, kind and text of every error, in the order of the numbers.
        const TABLE: &[(i32, &str, io::ErrorKind, &str)] =
            &[$((rump_sys::abi::$name, stringify!($name), kind::$kind, $text)),*];
    };
}

/// The kinds of the table. `Other` stands for what std has no stable kind for.
#[allow(non_upper_case_globals)]
mod kind {
    pub(super) use std::io::ErrorKind::*;
}

include!("errnos.rs");

impl Errno {
    /// The error of this thread's last system call that failed.
    pub(crate) fn last() -> Self {
        Self(rump_sys::syscalls::errno())
    }

    /// 0 is success.
    pub(crate) fn check(number: i32) -> Result<(), Self> {
        if number == 0 {
            Ok(())
        } else {
            Err(Self(number))
        }
    }

    /// The error with this number, which need not be a known one.
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn raw(self) -> i32 {
        self.0
    }

    fn row(self) -> Option<&'static (i32, &'static str, io::ErrorKind, &'static str)> {
        let index = usize::try_from(self.0).ok()?.checked_sub(1)?;
        TABLE.get(index).filter(|row| row.0 == self.0)
    }

    /// Its name, "ECONNREFUSED"; `None` for a number that NetBSD did not have when the
    /// table was made.
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.1)
    }

    /// The kind that std has for it.
    pub fn kind(self) -> io::ErrorKind {
        self.row().map_or(io::ErrorKind::Other, |row| row.2)
    }

    /// The number inside an error that a call of this crate returned.
    pub fn of(error: &io::Error) -> Option<Self> {
        let inner = error.get_ref()?;
        let lacking = || inner.downcast_ref().map(|lacking: &Lacking| lacking.errno);
        inner.downcast_ref().copied().or_else(lacking)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row() {
            Some((number, name, _, text)) => write!(f, "{text} ({name}, NetBSD error {number})"),
            None => write!(f, "NetBSD error {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "Errno({name})"),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        io::Error::new(errno.kind(), errno)
    }
}

/// The kernel that runs does not have what was asked for: rump-lite, which tells what.
///
/// It is the inner error of an [`io::Error`] of the kind
/// [`Unsupported`](io::ErrorKind::Unsupported), whatever the number is.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if !rump::kernel::available() { return Ok(()) }
/// use rump::iface::Interface;
/// use std::io;
///
/// let kernel = rump::Kernel::builder().boot()?;
/// match Interface::create("lo7").map_err(io::Error::from) {
///     Ok(interface) => println!("{interface}"),
///     Err(error) if error.kind() == io::ErrorKind::Unsupported => println!("{error}"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    what: String,
    errno: Errno,
}

impl Lacking {
    pub(crate) fn new(what: String, errno: Errno) -> Self {
        Self { what, errno }
    }

    /// What is not there, "local sockets (AF_LOCAL)".
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The number that the call returned.
    pub fn errno(&self) -> Errno {
        self.errno
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rump-lite has no {}: {}", self.what, self.errno)
    }
}

impl std::error::Error for Lacking {}

impl From<Lacking> for io::Error {
    fn from(lacking: Lacking) -> Self {
        io::Error::new(io::ErrorKind::Unsupported, lacking)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_unsupported_whatever_its_number() {
        let lacking = Lacking::new("answers".into(), Errno::EINVAL);
        let error = io::Error::from(lacking);
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert_eq!(Errno::of(&error), Some(Errno::EINVAL));
        assert!(error.to_string().starts_with("rump-lite has no answers: "));
    }

    #[test]
    fn the_table_is_complete_and_in_order() {
        assert_eq!(TABLE.len(), 96);
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, index + 1, "{}", row.1);
            let errno = Errno::from_raw(row.0);
            let error = io::Error::from(errno);
            assert_eq!(error.kind(), row.2);
            assert_eq!(Errno::of(&error), Some(errno));
            assert!(error.to_string().contains(row.1));
        }
    }

    /// The host's own mapping is the oracle: where both systems have an error of one
    /// name, std's kind for it is ours.
    #[test]
    fn kinds_are_those_of_std() {
        let host = [
            (Errno::EPERM, 1),
            (Errno::ENOENT, 2),
            (Errno::EINTR, 4),
            (Errno::E2BIG, 7),
            (Errno::ENOMEM, 12),
            (Errno::EACCES, 13),
            (Errno::EBUSY, 16),
            (Errno::EEXIST, 17),
            (Errno::EXDEV, 18),
            (Errno::ENOTDIR, 20),
            (Errno::EISDIR, 21),
            (Errno::EINVAL, 22),
            (Errno::ETXTBSY, 26),
            (Errno::EFBIG, 27),
            (Errno::ENOSPC, 28),
            (Errno::ESPIPE, 29),
            (Errno::EROFS, 30),
            (Errno::EMLINK, 31),
            (Errno::EPIPE, 32),
            (Errno::EAGAIN, 11),
            (Errno::EDEADLK, 35),
            (Errno::ENAMETOOLONG, 36),
            (Errno::ENOSYS, 38),
            (Errno::ENOTEMPTY, 39),
            (Errno::EADDRINUSE, 98),
            (Errno::EADDRNOTAVAIL, 99),
            (Errno::ENETDOWN, 100),
            (Errno::ENETUNREACH, 101),
            (Errno::ECONNABORTED, 103),
            (Errno::ECONNRESET, 104),
            (Errno::ENOTCONN, 107),
            (Errno::ETIMEDOUT, 110),
            (Errno::ECONNREFUSED, 111),
            (Errno::EHOSTUNREACH, 113),
            (Errno::ESTALE, 116),
            (Errno::EDQUOT, 122),
            (Errno::EOPNOTSUPP, 95),
        ];
        for (errno, linux) in host {
            assert_eq!(
                errno.kind(),
                io::Error::from_raw_os_error(linux).kind(),
                "{errno}"
            );
        }
    }

    #[test]
    fn unknown_numbers_are_carried() {
        for number in [-1, 0, 97, i32::MAX, i32::MIN] {
            let errno = Errno::from_raw(number);
            assert_eq!((errno.name(), errno.kind()), (None, io::ErrorKind::Other));
            assert!(errno.to_string().contains(&number.to_string()));
        }
    }
}
