//! What a command in the guest came to, and the IOMMU's faults in what the kernel logged.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// What a command in the guest came to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The exit status as a shell tells it: of a command that a signal has ended, 128 and
    /// the number of the signal.
    pub status: u8,
    /// Whether it was ended because its time was over.
    pub timed_out: bool,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// What the guest's kernel has logged meanwhile.
    pub kernel_log: String,
    /// From sending it to the guest until all of this was back.
    pub time: Duration,
}

impl Report {
    /// Whether it has ended well.
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// The IOMMU's faults among what the kernel has logged. It logs at most ten messages
    /// in five seconds and counts the others as suppressed.
    pub fn faults(&self) -> Vec<Fault> {
        faults(&self.kernel_log)
    }
}

/// For people, when it is not as it should be.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = if self.timed_out {
            ", its time was over"
        } else {
            ""
        };
        write!(formatter, "exit status {}{why}", self.status)?;
        let parts = [
            ("its output", String::from_utf8_lossy(&self.stdout)),
            ("its error output", String::from_utf8_lossy(&self.stderr)),
            ("the guest's kernel", Cow::Borrowed(&*self.kernel_log)),
        ];
        for (what, text) in parts {
            let text = text.trim();
            if !text.is_empty() {
                write!(formatter, "\n{what}:\n{text}")?;
            }
        }
        Ok(())
    }
}

/// An access of a device's that the IOMMU has refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// What it wanted: `DMA Write`, `DMA Read` or `INTR-REMAP`, and what the kernel adds.
    pub request: String,
    /// The device, such as `00:08.0`.
    pub device: String,
    /// The address; of a refused interrupt, its index.
    pub address: u64,
    /// Why, in the kernel's words.
    pub reason: String,
}

/// The faults in the kernel's log: lines of dmar_fault_do_one() in Linux's intel-iommu
/// driver, `DMAR: [REQUEST] Request device [DEVICE] … fault addr 0xADDRESS [fault reason
/// NUMBER] REASON`.
pub fn faults(log: &str) -> Vec<Fault> {
    log.lines().filter_map(fault).collect()
}

fn fault(line: &str) -> Option<Fault> {
    let (_, rest) = line.split_once("DMAR: [")?;
    let (request, rest) = rest.split_once("] Request device [")?;
    let (device, rest) = rest.split_once(']')?;
    let (_, rest) = rest
        .split_once("fault addr ")
        .or_else(|| rest.split_once("fault index "))?;
    let (address, reason) = rest.split_once(" [fault reason ")?;
    let address = address.trim().trim_start_matches("0x");
    let (_, reason) = reason.split_once("] ")?;
    Some(Fault {
        request: request.trim().to_string(),
        device: device.to_string(),
        address: u64::from_str_radix(address, 16).ok()?,
        reason: reason.trim().to_string(),
    })
}

/// The message of a panic of the guest's kernel.
pub(crate) fn panic_message(console: &str) -> Option<&str> {
    let (_, message) = console.split_once("Kernel panic - not syncing: ")?;
    message.lines().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_said_is_told() {
        let report = Report {
            status: 137,
            timed_out: true,
            stdout: b"said\n".to_vec(),
            stderr: Vec::new(),
            kernel_log: "log\n".into(),
            time: Duration::ZERO,
        };
        assert_eq!(
            report.to_string(),
            "exit status 137, its time was over\nits output:\nsaid\nthe guest's kernel:\nlog"
        );
    }

    #[test]
    fn faults_are_read() {
        let log = "[    9.0] DMAR: DRHD: handling fault status reg 2\n\
            [    9.0] DMAR: [DMA Write NO_PASID] Request device [00:08.0] fault addr 0xdead000 [fault reason 0x05] PTE Write access is not set\n\
            [    9.1] DMAR: [DMA Read] Request device [01:00.0] PASID ffffffff fault addr fe000 [fault reason 06] PTE Read access is not set\n\
            [    9.2] DMAR: [INTR-REMAP] Request device [00:09.0] fault index 0x10 [fault reason 0x22] Present field in the IRTE entry is clear\n\
            [    9.3] DMAR: [DMA Write] Request device [00:08.0] fault addr zzz [fault reason 05] x\n";
        let faults = faults(log);
        let short: Vec<_> = faults
            .iter()
            .map(|fault| (&*fault.request, &*fault.device, fault.address))
            .collect();
        assert_eq!(
            short,
            [
                ("DMA Write NO_PASID", "00:08.0", 0xdead000),
                ("DMA Read", "01:00.0", 0xfe000),
                ("INTR-REMAP", "00:09.0", 0x10),
            ]
        );
        assert_eq!(faults[0].reason, "PTE Write access is not set");
    }

    #[test]
    fn a_panic_is_found() {
        let console = "x\n[ 1.0] Kernel panic - not syncing: Attempted to kill init!\nmore";
        assert_eq!(panic_message(console), Some("Attempted to kill init!"));
        assert_eq!(panic_message("all is well"), None);
    }
}
