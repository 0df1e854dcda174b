//! QEMU: the devices that the tests give to a guest, and whether it can use KVM.

use super::here::Here;
use crate::doctor::finding::{Finding, telling_line};
use std::io::{Seek, Write};
use std::process::Stdio;

pub const PROGRAM: &str = "qemu-system-x86_64";

/// The devices of a guest with VFIO.
const DEVICES: &[&str] = &["intel-iommu", "nvme", "e1000e", "isa-debug-exit"];

/// Asks QEMU for its list of devices.
pub fn devices(here: &Here) -> Finding {
    let answer = match here.succeed(here.command(PROGRAM).args(["-device", "help"])) {
        Ok(answer) => answer,
        Err(finding) => return finding,
    };
    let list = String::from_utf8_lossy(&answer.out);
    let missing: Vec<_> = DEVICES
        .iter()
        .filter(|device| !list.contains(&format!("name \"{device}\"")))
        .copied()
        .collect();
    if missing.is_empty() {
        Finding::found(DEVICES.join(", "))
    } else {
        Finding::wrong(format!("this QEMU has no {}", missing.join(", ")))
    }
}

/// Has QEMU make a virtual machine with KVM: that `/dev/kvm` opens does not say it works.
pub fn kvm(here: &Here) -> Finding {
    // QEMU's monitor reads its commands from a file, which needs no one to write to it.
    let input = tempfile::tempfile().and_then(|mut file| {
        file.write_all(b"quit\n")?;
        file.rewind()?;
        Ok(file)
    });
    let input = match input {
        Ok(input) => input,
        Err(error) => return Finding::wrong(format!("no temporary file: {error}")),
    };
    let mut command = here.command(PROGRAM);
    command
        .args(["-accel", "kvm", "-machine", "none", "-nodefaults", "-S"])
        .args(["-display", "none", "-monitor", "stdio"])
        .stdin(Stdio::from(input));
    match here.run(&mut command) {
        Ok(answer) if answer.status.success() => Finding::found("QEMU can use it"),
        Ok(answer) => Finding::missing(format!(
            "only TCG, which is slower: {}",
            telling_line(&answer.err)
        )),
        Err(finding) => finding,
    }
}
