//! Back ends that need nothing of the host, and such as go around another.

pub mod card;
pub mod faults;
pub mod pair;
pub mod splice;
pub mod tee;
