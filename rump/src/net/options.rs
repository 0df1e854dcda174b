//! Socket options in Rust's types.
//!
//! NetBSD wants each value in exactly the size it keeps (`u8` for the IPv4 multicast
//! options, `int` for switches), and says `EINVAL` to any other; the tables of sizes
//! are ip(4), ip6(4), tcp(4) and getsockopt(2).

use crate::descriptor::BorrowedDescriptor;
use crate::error::Errno;
use crate::sys::socket::{OptionValue, Timeval, option, set_option};
use crate::sys::sysctl;
use rump_sys::abi;
use std::ffi::c_int;
use std::io;
use std::time::Duration;

/// The kernel keeps timeouts as a signed 32-bit number of clock ticks and refuses what
/// does not fit; this many seconds fit at up to 1000 ticks a second.
const LONGEST_TIMEOUT: u64 = (i32::MAX / 1000) as u64;

/// Microseconds in a clock tick of the rump kernel (`hz` is 100 there).
const TICK: u32 = 10_000;

/// The kernel keeps the linger time in 16 bits.
const LONGEST_LINGER: u64 = u16::MAX as u64;

/// One of the kernel's slow time-outs (`PR_SLOWHZ` is 2).
const SLOW_TICK: Duration = Duration::from_millis(500);

/// Linux's limits of keepalive. The kernel has none, and multiplies without checks.
const LONGEST_KEEPALIVE: Duration = Duration::from_secs(32767);
const MOST_PROBES: u32 = 127;

pub(in crate::net) fn flag(
    socket: BorrowedDescriptor<'_>,
    level: c_int,
    name: c_int,
) -> io::Result<bool> {
    Ok(option::<c_int>(socket, level, name)? != 0)
}

pub(in crate::net) fn set_flag(
    socket: BorrowedDescriptor<'_>,
    level: c_int,
    name: c_int,
    on: bool,
) -> io::Result<()> {
    set(socket, level, name, c_int::from(on))
}

/// Sets an option.
///
/// When the connection of a TCP socket is gone, its protocol block is gone too, and any
/// option is answered with `ECONNRESET`. At the socket level the value has been stored
/// by then, and Linux reports no error, so it is not reported.
pub(in crate::net) fn set<T: OptionValue>(
    socket: BorrowedDescriptor<'_>,
    level: c_int,
    name: c_int,
    value: T,
) -> io::Result<()> {
    match set_option(socket, level, name, value) {
        Err(error) if level == abi::SOL_SOCKET && Errno::of(&error) == Some(Errno::ECONNRESET) => {
            Ok(())
        }
        result => result,
    }
}

/// An option as it is.
pub(in crate::net) fn value<T: OptionValue>(
    socket: BorrowedDescriptor<'_>,
    level: c_int,
    name: c_int,
) -> io::Result<T> {
    option(socket, level, name)
}

/// `SO_RCVTIMEO` and `SO_SNDTIMEO`.
pub(in crate::net) fn timeout(
    socket: BorrowedDescriptor<'_>,
    name: c_int,
) -> io::Result<Option<Duration>> {
    let value: Timeval = option(socket, abi::SOL_SOCKET, name)?;
    if value.seconds == 0 && value.microseconds == 0 {
        return Ok(None);
    }
    let out_of_range = |_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the kernel has a negative timeout",
        )
    };
    let seconds = u64::try_from(value.seconds).map_err(out_of_range)?;
    let microseconds = u64::try_from(value.microseconds).map_err(out_of_range)?;
    Ok(Some(
        Duration::from_secs(seconds) + Duration::from_micros(microseconds),
    ))
}

pub(in crate::net) fn set_timeout(
    socket: BorrowedDescriptor<'_>,
    name: c_int,
    timeout: Option<Duration>,
) -> io::Result<()> {
    set(socket, abi::SOL_SOCKET, name, timeval(timeout)?)
}

/// The kernel rounds down to clock ticks, which would shorten a timeout; so it gets whole
/// ticks, rounded up.
fn timeval(timeout: Option<Duration>) -> io::Result<Timeval> {
    let Some(timeout) = timeout else {
        return Ok(Timeval {
            seconds: 0,
            microseconds: 0,
            padding: 0,
        });
    };
    if timeout.is_zero() {
        return Err(zero_timeout());
    }
    let ticks = timeout.subsec_nanos().div_ceil(TICK * 1000);
    let seconds = timeout.as_secs().saturating_add(u64::from(ticks / 100));
    if seconds >= LONGEST_TIMEOUT {
        return Ok(Timeval {
            seconds: LONGEST_TIMEOUT as i64,
            microseconds: 0,
            padding: 0,
        });
    }
    Ok(Timeval {
        seconds: seconds as i64,
        microseconds: (ticks % 100 * TICK) as c_int,
        padding: 0,
    })
}

/// std's error for a timeout that is there and zero.
pub(in crate::net) fn zero_timeout() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "cannot set a 0 duration timeout",
    )
}

/// `SO_LINGER`, in whole seconds.
pub(in crate::net) fn linger(socket: BorrowedDescriptor<'_>) -> io::Result<Option<Duration>> {
    let value: abi::linger = option(socket, abi::SOL_SOCKET, abi::SO_LINGER)?;
    Ok((value.l_onoff != 0).then(|| Duration::from_secs(u64::from(value.l_linger.unsigned_abs()))))
}

pub(in crate::net) fn set_linger(
    socket: BorrowedDescriptor<'_>,
    linger: Option<Duration>,
) -> io::Result<()> {
    let seconds = linger.unwrap_or_default().as_secs().min(LONGEST_LINGER);
    let value = abi::linger {
        l_onoff: c_int::from(linger.is_some()),
        l_linger: seconds as c_int,
    };
    set(socket, abi::SOL_SOCKET, abi::SO_LINGER, value)
}

/// `SO_ERROR`: the error that waits on the socket, which is cleared.
pub(in crate::net) fn take_error(socket: BorrowedDescriptor<'_>) -> io::Result<Option<io::Error>> {
    let number: c_int = option(socket, abi::SOL_SOCKET, abi::SO_ERROR)?;
    Ok((number != 0).then(|| Errno(number).into()))
}

/// A buffer size: a positive `int`.
pub(in crate::net) fn size(socket: BorrowedDescriptor<'_>, name: c_int) -> io::Result<usize> {
    let size: c_int = option(socket, abi::SOL_SOCKET, name)?;
    Ok(usize::try_from(size).unwrap_or(0))
}

pub(in crate::net) fn set_size(
    socket: BorrowedDescriptor<'_>,
    name: c_int,
    size: usize,
) -> io::Result<()> {
    let size = c_int::try_from(size).unwrap_or(c_int::MAX);
    set(socket, abi::SOL_SOCKET, name, size)
}

/// A keepalive time of TCP. The kernel counts it in its slow time-outs, of which
/// `PR_SLOWHZ` (`<sys/protosw.h>`) are in a second, and takes the option as such.
pub(in crate::net) fn keepalive(
    socket: BorrowedDescriptor<'_>,
    name: c_int,
) -> io::Result<Duration> {
    let slow_ticks: u32 = option(socket, abi::IPPROTO_TCP, name)?;
    Ok(SLOW_TICK * slow_ticks)
}

pub(in crate::net) fn set_keepalive(
    socket: BorrowedDescriptor<'_>,
    name: c_int,
    time: Duration,
) -> io::Result<()> {
    set(socket, abi::IPPROTO_TCP, name, slow_ticks(time)?)
}

fn slow_ticks(time: Duration) -> io::Result<u32> {
    if time.is_zero() || time > LONGEST_KEEPALIVE {
        let text = format!(
            "a keepalive time is more than 0 and at most {LONGEST_KEEPALIVE:?}, not {time:?}"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let ticks = time.as_nanos().div_ceil(SLOW_TICK.as_nanos());
    Ok(ticks as u32)
}

/// `TCP_KEEPCNT`.
pub(in crate::net) fn set_keepalive_count(
    socket: BorrowedDescriptor<'_>,
    probes: u32,
) -> io::Result<()> {
    if probes == 0 || probes > MOST_PROBES {
        let text = format!("the number of keepalive probes is 1 to {MOST_PROBES}, not {probes}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    set(socket, abi::IPPROTO_TCP, abi::TCP_KEEPCNT, probes)
}

/// The hop limit of a socket of either family: `IP_TTL`, `IPV6_UNICAST_HOPS`.
pub(in crate::net) fn ttl(socket: BorrowedDescriptor<'_>, family: c_int) -> io::Result<u32> {
    if family != abi::AF_INET6 {
        return unsigned(option(socket, abi::IPPROTO_IP, abi::IP_TTL)?);
    }
    match option::<c_int>(socket, abi::IPPROTO_IPV6, abi::IPV6_UNICAST_HOPS)? {
        // The socket has none of its own.
        -1 => unsigned(default_hop_limit()?),
        hops => unsigned(hops),
    }
}

pub(in crate::net) fn set_ttl(
    socket: BorrowedDescriptor<'_>,
    family: c_int,
    ttl: u32,
) -> io::Result<()> {
    // NetBSD would store the low byte of an IPv4 one.
    let ttl = match u8::try_from(ttl) {
        Ok(ttl) if ttl > 0 => c_int::from(ttl),
        _ => return Err(Errno::EINVAL.into()),
    };
    if family == abi::AF_INET6 {
        set(socket, abi::IPPROTO_IPV6, abi::IPV6_UNICAST_HOPS, ttl)
    } else {
        set(socket, abi::IPPROTO_IP, abi::IP_TTL, ttl)
    }
}

/// What IPv6 sockets have that were not set: `net.inet6.ip6.hlim`.
fn default_hop_limit() -> io::Result<c_int> {
    /// `IPV6CTL_DEFHLIM` of `<netinet6/in6.h>`.
    const DEFAULT_HOP_LIMIT: c_int = 3;
    sysctl::integer(&[
        abi::CTL_NET,
        abi::AF_INET6,
        abi::IPPROTO_IPV6,
        DEFAULT_HOP_LIMIT,
    ])
}

fn unsigned(value: c_int) -> io::Result<u32> {
    u32::try_from(value).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the kernel has a negative hop limit",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(timeout: Duration) -> (i64, c_int) {
        let value = timeval(Some(timeout)).unwrap();
        (value.seconds, value.microseconds)
    }

    #[test]
    fn timeouts_are_whole_ticks_rounded_up() {
        assert_eq!(pair(Duration::from_nanos(1)), (0, 10_000));
        assert_eq!(pair(Duration::from_millis(10)), (0, 10_000));
        assert_eq!(pair(Duration::from_millis(11)), (0, 20_000));
        assert_eq!(pair(Duration::from_millis(1999)), (2, 0));
        assert_eq!(pair(Duration::from_secs(5)), (5, 0));
    }

    #[test]
    fn keepalive_times_are_half_seconds_within_limits() {
        assert_eq!(slow_ticks(Duration::from_millis(1)).unwrap(), 1);
        assert_eq!(slow_ticks(Duration::from_secs(60)).unwrap(), 120);
        assert_eq!(slow_ticks(Duration::from_millis(1501)).unwrap(), 4);
        assert_eq!(slow_ticks(LONGEST_KEEPALIVE).unwrap(), 65534);
        for time in [
            Duration::ZERO,
            LONGEST_KEEPALIVE + Duration::from_nanos(1),
            Duration::MAX,
        ] {
            assert_eq!(
                slow_ticks(time).unwrap_err().kind(),
                io::ErrorKind::InvalidInput
            );
        }
    }

    #[test]
    fn absurd_timeouts_are_shortened_and_zero_is_refused() {
        assert_eq!(pair(Duration::MAX), (LONGEST_TIMEOUT as i64, 0));
        assert_eq!(
            timeval(Some(Duration::ZERO)).err().unwrap().kind(),
            io::ErrorKind::InvalidInput
        );
        let none = timeval(None).unwrap();
        assert_eq!((none.seconds, none.microseconds), (0, 0));
    }
}
