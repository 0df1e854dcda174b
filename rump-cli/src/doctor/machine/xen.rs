//! Xen for the dom0 that the tests boot in QEMU (`cargo rumprun testbed`). It is unpacked from
//! Debian's packages, and neither installed nor run on this machine.

use super::here::Here;
use crate::doctor::finding::Finding;

/// What the testbed is made of (`rumprun-build`, image::testbed).
const WANTED: [&str; 4] = [
    "xen-system-amd64",
    "qemu-system-xen",
    "linux-image-amd64",
    "busybox-static",
];

/// Whether apt-get knows where they are. It is only asked what it would do.
pub fn packages(here: &Here) -> Finding {
    let mut command = here.command("apt-get");
    command
        .args(["install", "--simulate", "--no-install-recommends"])
        .args(WANTED);
    match here.succeed(&mut command) {
        Ok(answer) => Finding::found(told(&String::from_utf8_lossy(&answer.out))),
        Err(finding) => finding,
    }
}

/// What it would do, from lines that begin with `Inst NAME`.
fn told(simulated: &str) -> String {
    let lines = simulated.lines();
    match lines.filter(|line| line.starts_with("Inst ")).count() {
        0 => "all are installed".into(),
        1 => "1 would be downloaded".into(),
        count => format!("{count} would be downloaded"),
    }
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn what_apt_would_do_is_counted() {
        let said =
            "Reading package lists...\nInst xen-utils (4)\nInst busybox-static (1)\nConf x\n";
        assert_eq!(told(said), "2 would be downloaded");
        assert_eq!(told("Reading package lists...\n"), "all are installed");
    }
}
