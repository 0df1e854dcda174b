//! QEMU: the devices that the tests give to a guest, and whether it can use KVM.

use super::here::Here;
use crate::doctor::finding::{Finding, Status, telling_line};

pub const PROGRAM: &str = "qemu-system-x86_64";

/// The devices of a guest with VFIO, and the one by which the unikernel ends QEMU.
const DEVICES: &[&str] = &[
    "intel-iommu",
    "nvme",
    "e1000e",
    "e1000",
    "pcnet",
    "edu",
    "virtio-serial-pci",
    "isa-debug-exit",
];

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

/// The size of the smallest ROM of a PC, which ends where the addresses of 32 bits do.
const ROM: usize = 64 << 10;
/// Where a processor starts in it: 16 bytes before its end (Intel SDM volume 3, "First
/// Instruction Executed").
const RESET: usize = ROM - 16;
/// `mov $0x10, %al; out %al, $0xf4; hlt`
const CODE: &[u8] = &[0xb0, 0x10, 0xe6, 0xf4, 0xf4];
/// What QEMU's isa-debug-exit makes of 0x10: twice that, and one.
const STATUS: i32 = 0x21;

/// Has a processor of KVM's run a few instructions, with the features that the tests'
/// guests are given: that `/dev/kvm` opens does not say that it works.
pub fn kvm(here: &Here) -> Finding {
    let mut rom = vec![0; ROM];
    rom[RESET..RESET + CODE.len()].copy_from_slice(CODE);
    let file = tempfile::NamedTempFile::new().and_then(|file| {
        std::fs::write(file.path(), &rom)?;
        Ok(file)
    });
    let file = match file {
        Ok(file) => file,
        Err(error) => return Finding::wrong(format!("no temporary file: {error}")),
    };
    let mut command = here.command(PROGRAM);
    command
        .args(["-accel", "kvm", "-machine", "q35", "-cpu", "max"])
        .args(["-nodefaults", "-no-reboot", "-display", "none"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"])
        .arg("-bios")
        .arg(file.path());
    match here.run(&mut command) {
        Ok(answer) if answer.status.code() == Some(STATUS) => Finding::found("a processor runs"),
        Ok(answer) => Finding::missing(format!(
            "only TCG, which is slower ({}: {})",
            answer.status,
            telling_line(&answer.err)
        )),
        Err(finding) if finding.status == Status::Missing => {
            Finding::missing("not known: QEMU is not there to ask")
        }
        Err(finding) => Finding::missing(format!("only TCG, which is slower: {}", finding.detail)),
    }
}
