//! Rust's toolchain: old enough or not, and whether it can really link.

use super::here::Here;
use crate::doctor::finding::{Finding, first_line};
use std::path::{Path, PathBuf};

/// A program for the bare machine, linked by the target's own linker, rust-lld.
const BARE: &str = "#![no_std]
#![no_main]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
#[unsafe(no_mangle)]
pub extern \"C\" fn _start() -> ! {
    loop {}
}
";

fn rustc(here: &Here) -> String {
    here.variable("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// A field of what `rustc -vV` prints.
pub fn field(output: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
    Some(first_line(value.as_bytes()))
}

/// rustc, if it is as new as this project needs.
pub fn version(here: &Here) -> Finding {
    let program = rustc(here);
    let answer = match here.succeed(here.command(&program).arg("-vV")) {
        Ok(answer) => answer,
        Err(finding) => return finding,
    };
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    match field(&answer.out, "release") {
        Some(release) if numbers(&release) >= numbers(oldest) => {
            let host = field(&answer.out, "host").unwrap_or_default();
            Finding::found(format!("{release}, {host}"))
        }
        Some(release) => Finding::wrong(format!(
            "`{program}` is {release}; {oldest} or newer is needed"
        )),
        None => Finding::wrong(format!("`{program} -vV` does not tell its release")),
    }
}

/// "1.88.0-nightly" as 1 and 88, which is what decides.
fn numbers(release: &str) -> (u32, u32) {
    let mut parts = release.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Compiles and links an empty program.
pub fn link(here: &Here) -> Finding {
    compile(here, "fn main() {}\n", &[])
}

/// Compiles and links a program for x86_64-unknown-none.
pub fn bare_target(here: &Here) -> Finding {
    compile(
        here,
        BARE,
        &["--target", "x86_64-unknown-none", "-Cpanic=abort"],
    )
}

fn compile(here: &Here, source: &str, arguments: &[&str]) -> Finding {
    let scratch = match tempfile::tempdir() {
        Ok(scratch) => scratch,
        Err(error) => return Finding::wrong(format!("no temporary folder: {error}")),
    };
    let (input, output) = (
        scratch.path().join("empty.rs"),
        scratch.path().join("empty"),
    );
    if let Err(error) = std::fs::write(&input, source) {
        return Finding::wrong(format!("{}: {error}", input.display()));
    }
    let mut command = here.command(rustc(here));
    command
        .env("TMPDIR", scratch.path())
        .args(["--edition=2024", "-o"])
        .args([&output, &input])
        .args(arguments);
    match here.succeed(&mut command) {
        Ok(_) => Finding::found("compiles and links a program"),
        Err(finding) => finding,
    }
}

/// The `ld.lld` of Rust's own toolchain.
pub fn lld(here: &Here) -> Finding {
    found_lld(here).unwrap_or_else(|finding| finding)
}

fn found_lld(here: &Here) -> Result<Finding, Finding> {
    let program = rustc(here);
    let sysroot = here.succeed(here.command(&program).args(["--print", "sysroot"]))?;
    let about = here.succeed(here.command(&program).arg("-vV"))?;
    let host = field(&about.out, "host").unwrap_or_default();
    let lld = lld_in(Path::new(&first_line(&sysroot.out)), &host);
    let version = here.succeed(here.command(&lld).arg("--version"))?;
    Ok(Finding::found(first_line(&version.out)))
}

fn lld_in(sysroot: &Path, host: &str) -> PathBuf {
    let tools = sysroot.join("lib/rustlib").join(host);
    tools.join("bin/gcc-ld/ld.lld")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_releases_are_read() {
        let text = b"rustc 1.95.0 (x)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0-beta.1\n";
        assert_eq!(field(text, "host").unwrap(), "x86_64-unknown-linux-gnu");
        assert_eq!(field(text, "LLVM"), None);
        assert_eq!(numbers("1.95.0-beta.1"), (1, 95));
        assert!(numbers("1.100.0") > numbers("1.88"));
        assert!(numbers("none") < numbers("1.88"));
    }
}
