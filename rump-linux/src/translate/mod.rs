//! Linux's terms in NetBSD's, and back. Tables, and little else.

pub(crate) mod address;
pub(crate) mod control;
pub(crate) mod flags;
pub(crate) mod netlink;
pub(crate) mod options;
pub(crate) mod tcp_info;
