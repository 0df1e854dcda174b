//! Where this project's own kernel-side C sources are.
//!
//! They are small components that are compiled into the kernel's namespace beside
//! those of the user's NetBSD tree. They form a crate of their own so that they are
//! packaged with the family. The tree itself is never part of it; the README says
//! where NetBSD publishes one and where it may be put.

use std::path::Path;

/// The folder of the C sources, `kern/`.
///
/// ```
/// assert!(netbsd_src::kern().ends_with("kern"));
/// ```
pub fn kern() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/kern"))
}
