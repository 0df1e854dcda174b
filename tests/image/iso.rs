//! Images on ISOs.

use std::path::Path;
use std::process::Command;

/// Why a test of an ISO is skipped.
pub const LACKS: &str = "grub-mkrescue, xorriso or GRUB's part for a BIOS is not installed";

/// Whether one can be made.
pub fn can() -> bool {
    let starts = |program, version| Command::new(program).arg(version).output().is_ok();
    let places = ["/usr/lib/grub/i386-pc", "/usr/share/grub/i386-pc"];
    starts("grub-mkrescue", "--version")
        && starts("xorriso", "-version")
        && places.iter().any(|place| Path::new(place).is_dir())
}
