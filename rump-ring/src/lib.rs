//! Lock-free rings in memory that is shared with somebody who is not trusted.
//!
//! - [`Shared`] is such memory: reached in atomic pieces, within its bounds.
//! - [`many`] is a ring of indexes for any number of threads at each end.
//! - [`one`] is a ring of words for one thread at each end.
//! - [`lane`] is a ring of messages of any length, frames, for one thread at each end.
//! - [`control`] is what a network server and its applications tell each other beside that.
//!
//! Rings live in any memory that gives out its [words](Words): that of a memfd, of pages
//! granted by another domain, or a vector of the program's own. This crate knows neither of
//! these, nor how the other side is woken.
//!
//! What the other side wrote is input. Counts and indexes are checked whenever they are read;
//! what cannot be is [`Broken`], and the ring is then of no more use. The worst that the other
//! side can do is to send nonsense, in bounds: no loop here depends on its good will.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod control;
pub mod lane;
pub mod many;
pub mod one;
mod primitive;
mod shared;
mod words;

pub use shared::Shared;
#[cfg(not(loom))]
pub use words::Area;
pub use words::Words;

/// The other side has written what an honest one never would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the other side of a ring in shared memory has written what cannot be")
    }
}

impl core::error::Error for Broken {}
