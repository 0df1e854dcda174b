//! What the examples, tests and benchmarks share: the form in which benchmarks are
//! written down, and what is to be reached.

pub mod goals;
pub mod ratios;
