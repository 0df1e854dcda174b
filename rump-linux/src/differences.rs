//! What a program can tell from Linux, each with its reason.
//!
//! - **Datagrams on a connected socket to somebody else** are refused with `EISCONN`:
//!   NetBSD's connected sockets send to their peer alone.
//! - **`connect(2)` of datagrams to port 0** is refused.
//! - **`connect(2)` of a stream to `AF_UNSPEC`** is refused once it was connected: NetBSD
//!   cannot use the socket again.
//! - **`splice(2)`** on descriptors of the kernel answers `EINVAL`, as it does for what
//!   cannot be spliced; so does **`sendfile(2)`** to what is no socket.
//! - **Errors of datagrams** (`IP_RECVERR`) have no queue; `MSG_ERRQUEUE` finds it empty.
//! - **`poll(2)` with no events** is not woken by the end of a connection: NetBSD's shows it
//!   as something to read.
//! - **`SO_LINGER`** does not make `close(2)` wait: descriptors of the kernel are
//!   nonblocking.
//! - **Edges of epoll** come for reading and writing apart; Linux tells both with either.
//! - **One description under two numbers** is one member of an epoll instance: the interest
//!   that was added last counts.
//! - **A port that is bound but not listened on** does not refuse connections: NetBSD drops
//!   what comes for it, and `connect(2)` times out.
//! - **`FIONREAD` of the end of a pipe that writes** is 0.
//! - **What comes in for a connection that was closed with data on its way** is answered with
//!   a reset at the program's next system call.
//! - **`shutdown(2)` for reading** throws away what was not read yet, and what comes later;
//!   Linux's can still be read. Of what is not connected it fails and changes nothing, where
//!   Linux's fails and shows the end all the same.
//! - **A reset after the other's end** may be no error, or `ECONNRESET`: Linux's shows `POLLERR` and
//!   `EPIPE` once.
//! - **`shutdown(2)` of a listener** for reading ends it for good, which shows as something to
//!   read: `accept(2)` tells `EINVAL`. Linux's shows `POLLHUP`, and may listen again.
//! - **More than eight bytes written to an event descriptor** are taken, as Linux's did for
//!   long; newer ones answer `EINVAL`.
//! - **`IPV6_V6ONLY`** stays off when a socket is bound to an address of IPv6, so that
//!   datagrams to IPv4 fail with another error.
//! - **A connection that was reset** refuses options (`ECONNRESET`), has no name of its
//!   own, and cannot be bound or connected anew.
//! - **Datagrams to no valid address** fail before the socket gets a port, and not afterwards.
//! - **A stream that was never connected** is no event of epoll; Linux's shows `POLLHUP`.
//! - **Interfaces** have NetBSD's names: the loopback interface is `lo0`. They cannot be changed
//!   (`EPERM`), and of rtnetlink(7) there are links and addresses, no routes or neighbours
//!   (`EOPNOTSUPP`). Neighbours can be set and forgotten (arp(7)), not told; what was set stays, where
//!   Linux's grows old. Other protocols of netlink(7), as `ss` asks, are the host's.
//! - **`SO_BINDTODEVICE`** is taken for the only interface beside the loopback's, and changes nothing: what
//!   comes over `lo0` is not kept away. Where there are several it is refused (`ENOPROTOOPT`).
//! - **Urgent data** is refused by NetBSD 8.99.25 (`ENOBUFS`): it compares the room in a socket,
//!   which has no sign, with a number below zero.
//! - **UDP-Lite, SCTP, MPTCP** are not there (`EPROTONOSUPPORT`).
//! - **`epoll_wait(2)`** tells of at most 128 members at a time; the others come next.
//! - **An epoll instance of before a `fork(2)`** is the child's own afterwards, with the same
//!   members: what one of the two changes is not changed for the other, but for members of the
//!   host. Event and timer descriptors are copies, too.
//! - **`execve(2)`** hands sockets on, and no event or timer descriptors or epoll instances.
//! - **Below /proc and /sys** everything is the host's. What programs were seen to ask that is about
//!   networks is `/proc/sys/net/core/somaxconn` (redis-server): a listener of the kernel's may have as
//!   many connections waiting as that says by default, 4,096. nginx, iperf3, curl, wget, python3, nc,
//!   socat ask nothing of the kind (`tests/linux_asked.rs`).
//! - **`signalfd(2)`** and message queues are the host's.
