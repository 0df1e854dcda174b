//! Compiles NetBSD rump kernel components from a source tree that the user supplies.
//!
//! ```text
//! settings ── which kernel, which tree          (environment)
//! tree ────── is it whole, which version        (param.h)
//! component ─ what is there, what is one made of (make: bmake evaluates the makefile,
//!             config: tables of devices from the ioconf description)
//! compile ─── in parallel, only what changed    (toolchain, remedy)
//! object_file renames into the kernel's namespace, marks link sets, reads symbols
//! driver ──── a component of drivers that are named  (config)
//! closure ─── what else is needed               (symbols, symbol_index)
//! kernel ──── one archive, and the counts that the running kernel is checked against
//! ```
//!
//! The builder is driven by its input. It carries no list of files or dependencies of
//! any NetBSD: the tree's makefiles say what a component consists of, and the objects
//! say what it needs.
//!
//! # Example
//! ```no_run
//! use rumprun_build::{kernel::{self, Recipe}, make::Curlwp, toolchain::Toolchain, tree::Tree};
//! # fn main() -> Result<(), rumprun_build::Error> {
//! let out = std::path::Path::new("target/kernel");
//! let tree = Tree::open("/usr/src".as_ref())?;
//! let target = "x86_64-unknown-linux-gnu";
//! let toolchain = Toolchain::find(target, target, out)?;
//! let recipe = Recipe {
//!     tree: &tree,
//!     beside: &[],
//!     components: &["net".into(), "netinet".into()],
//!     drivers: &["wm".into()],
//!     curlwp: Curlwp::Thread,
//!     toolchain: &toolchain,
//!     jobs: 2,
//! };
//! let kernel = kernel::from_tree(&recipe, out)?;
//! println!("{} with {:?}", tree.version(), kernel.components);
//! # Ok(())
//! # }
//! ```

mod alias;
mod archive;
pub mod closure;
pub mod compile;
pub mod component;
pub mod config;
pub mod driver;
pub mod error;
#[cfg(feature = "cargo")]
pub mod image;
pub mod kernel;
pub mod libclang;
pub mod make;
pub mod object_file;
mod remedy;
pub mod settings;
mod survey;
mod symbol_index;
pub mod syscalls;
pub mod toolchain;
pub mod tree;

pub use error::{Error, Result};
