//! The builder, end to end, on the miniature tree in `tests/fixtures/minitree`:
//! evaluated by bmake, compiled, renamed, archived, linked by two linkers, run, counted.
//!
//! Needs bmake, a C compiler and binutils, like the builder itself; without them these
//! tests fail. Each works on its own copy of the tree.

mod support;

mod closure;
mod drivers;
mod failures;
mod incremental;
mod kernel;
mod linkers;
mod malformed;
mod places;
mod prefix;
mod remedies;
mod tools;
