//! The system calls, by topic. Each takes the process and six arguments, as in the table.

pub(crate) mod address;
pub(crate) mod data;
pub(crate) mod descriptor;
pub(crate) mod epoll;
pub(crate) mod event;
pub(crate) mod interface;
pub(crate) mod message;
pub(crate) mod neighbor;
pub(crate) mod netlink;
pub(crate) mod option;
pub(crate) mod poll;
pub(crate) mod ready;
pub(crate) mod socket;

use crate::errno::Errno;

/// What a call comes to.
pub(crate) type Outcome = Result<i64, Errno>;
/// The arguments of a call.
pub(crate) type Args = [u64; 6];
