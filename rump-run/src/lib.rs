//! What `rump run` and its preload library share: the kernel of a run.
//!
//! A [`Setup`] says where the kernel's interface goes to and what it is called there. The
//! runner has it from its command line; where the kernel is to live in the program, it is
//! handed on in [one variable](VARIABLE) of the environment.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !rump::kernel::available() { return Ok(()) }
//! let running = rump_run::Setup::default().boot()?;     // lo0 alone
//! println!("{}", running.kernel.identity()?);
//! # Ok(())
//! # }
//! ```

mod setup;

pub use setup::{FUNCTIONS_ONLY, Route, Running, Setup, VARIABLE};
