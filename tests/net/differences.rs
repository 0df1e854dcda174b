//! Where NetBSD's sockets differ from `std::net` on Linux, and why.
//!
//! A row is valid only while both outcomes are exactly as written here: when a kernel or
//! the library changes, the row must change with it or go.

pub struct Difference {
    /// `topic::case`.
    pub case: &'static str,
    /// What `rump::net` does; what `std::net` does is the expectation in the table.
    pub rump: &'static str,
    pub reason: &'static str,
}

pub const DIFFERENCES: &[Difference] = &[];
