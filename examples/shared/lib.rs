//! What the examples, tests and benchmarks share: the form in which benchmarks are
//! written down, what is to be reached, and a way to the outside.

pub mod goals;
pub mod netstat;
pub mod outside;
pub mod ratios;
