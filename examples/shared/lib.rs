//! What the examples, tests and benchmarks share: the form in which benchmarks are
//! written down, what is to be reached, a way to the outside, and what is on a disk that
//! is measured, and in a stream.

pub mod goals;
pub mod netstat;
pub mod outside;
pub mod pattern;
pub mod ratios;
pub mod sectors;
