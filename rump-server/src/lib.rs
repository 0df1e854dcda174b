//! A network server: applications with TCP/IP stacks of their own share network cards.
//!
//! | module | is |
//! |---|---|
//! | [`wire`] | reading frames, which anybody may have made |
//! | [`table`] | hosts, applications, ports; for whom a frame is, and whether it may be sent |
//! | [`config`] | the configuration file |
//! | [`supervisor`] | the process that owns all descriptors, and has a worker run |
//! | [`worker`] | the process that frames go through |
//! | [`ledger`] | who was there and had what, for the next worker |
//! | [`link`], [`messages`] | what these processes and `rump ctl` tell each other |
//!
//! The library does no more than the command `rump server`, which is a few lines over it.
//!
//! # Who is trusted with what
//!
//! Nobody outside is: not the wire, and not the applications. `docs/server.md` says who can do
//! what to whom, and what stops it.

pub mod config;
mod descriptor;
pub mod ledger;
pub mod link;
pub mod messages;
pub mod supervisor;
pub mod table;
mod vfio;
pub mod wire;
pub mod worker;
