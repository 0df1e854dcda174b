//! Making and running images: what `cargo rumprun` does.
//!
//! An image is one ELF file that a virtual machine boots: an ordinary Rust program for
//! `x86_64-unknown-linux-gnu`, statically linked, with the kernel as one more object in its
//! link.
//!
//! ```text
//! object ── the crate `rumprun` and a rump kernel, as one object whose global symbols are
//!           where the machine enters it and what a program with the crate `rump` calls
//! program ─ the program, by `cargo rustc`, with that object in its link
//! root ──── a folder as an archive (cpio), the program's file system
//! line ──── settings, environment and arguments as the image's command line
//! settings  what the package says of its images
//! qemu ──── a virtual machine that runs it
//! iso ───── a CD or disk that a machine's BIOS boots
//! xen ───── a guest of Xen's that runs it
//! gather ── a root for a program that is installed here
//! service ─ ready-made images that serve other guests of Xen's
//! least ─── how little memory an image does with
//! testbed ─ a real Xen, in QEMU, for such guests
//! ```
//!
//! Nothing is changed in the program, its packages or the toolchain: link arguments are
//! given to the last crate alone, and the kernel is compiled by itself, with the panic
//! strategy and the code model that it wants. Everything is below one folder,
//! `target/rumprun`.
//!
//! # What may not go wrong silently
//! The linker keeps what nothing refers to only if it is told to, and lets the program's
//! start-up code run constructors that it finds: so [`object`] reads what came out, and
//! refuses constructors, thread-local variables and symbols that are still global.

pub mod gather;
pub mod inspect;
pub mod iso;
pub mod least;
pub mod line;
pub mod object;
pub mod program;
pub mod qemu;
mod recipe;
pub mod root;
pub mod service;
pub mod settings;
pub mod symbols;
pub mod testbed;
pub mod xen;

pub use recipe::Recipe;

use crate::error::{Error, IoContext, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The target of program and kernel.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The cargo that called this program, or the one in the path.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A command as a person would type it.
fn words(command: &Command) -> String {
    let all = std::iter::once(command.get_program()).chain(command.get_args());
    let all: Vec<_> = all.map(OsStr::to_string_lossy).collect();
    shlex::try_join(all.iter().map(AsRef::as_ref)).unwrap_or_else(|_| all.join(" "))
}

/// Runs a command whose words on standard error are shown as they come, and returns what it
/// wrote to standard output.
fn run(purpose: &'static str, command: &mut Command) -> Result<Vec<u8>> {
    let output = started(command, command_output)?;
    finished(purpose, command, output, String::new())
}

/// Runs a command whose words are only of interest if it fails.
fn run_quietly(purpose: &'static str, command: &mut Command) -> Result<Vec<u8>> {
    let output = started(command, Command::output)?;
    let message = format!("\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    finished(purpose, command, output, message)
}

fn command_output(command: &mut Command) -> std::io::Result<Output> {
    command.stderr(Stdio::inherit()).output()
}

fn started(
    command: &mut Command,
    run: fn(&mut Command) -> std::io::Result<Output>,
) -> Result<Output> {
    let program = PathBuf::from(command.get_program());
    run(command).context("starting", program)
}

fn finished(
    purpose: &'static str,
    command: &Command,
    output: Output,
    message: String,
) -> Result<Vec<u8>> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Error::Command {
        purpose,
        command: words(command),
        status: output.status.to_string(),
        message,
    })
}

/// Whether a file has to be made again: it is not there, or older than one of these.
fn is_older(file: &Path, than: &[&Path]) -> bool {
    let time = |path: &Path| path.metadata().and_then(|data| data.modified());
    let Ok(made) = time(file) else { return true };
    than.iter()
        .any(|path| time(path).map_or(true, |changed| changed > made))
}

/// Writes a file if it does not have that text already, so that cargo does not see a change.
fn write(path: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    std::fs::write(path, text).context("writing", path)
}
