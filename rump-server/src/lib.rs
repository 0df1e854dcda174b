//! A network server: applications with TCP/IP stacks of their own share network cards.
//!
//! | module | is |
//! |---|---|
//! | [`wire`] | reading frames, which anybody may have made |
//! | [`table`] | hosts, applications, ports; for whom a frame is, and whether it may be sent |
//!
//! # Who is trusted with what
//!
//! Nobody outside is: not the wire, and not the applications. `docs/server.md` says who can do
//! what to whom, and what stops it.

pub mod table;
pub mod wire;
