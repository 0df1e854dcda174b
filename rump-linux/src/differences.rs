//! What a program can tell from Linux, each with its reason.
//!
//! - **Datagrams on a connected socket to somebody else** are refused with `EISCONN`:
//!   NetBSD's connected sockets send to their peer alone.
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
//! - **`signalfd(2)`** and message queues are the host's.
