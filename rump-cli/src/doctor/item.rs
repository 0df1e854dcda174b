//! The things that are looked for, what a person calls them, and who installs them.
//!
//! Package names are those of Debian 12, Ubuntu 24.04, Fedora, FreeBSD's ports, pkgsrc
//! and OpenBSD's ports. Where a system has no such package there is no line.

use super::system::Kind;

/// One thing that a level may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    Cargo,
    Rustc,
    RustLink,
    Compiler,
    Ar,
    GnuLd,
    RustLld,
    Settings,
    Tree,
    Prefix,
    Bmake,
    Libclang,
    Ip,
    Tun,
    Namespace,
    TapVeth,
    Iperf3,
    Tshark,
    Qemu,
    QemuDevices,
    GuestKernel,
    GuestDrivers,
    Busybox,
    Kvm,
    Vfio,
    IommuGroups,
    RustTarget,
    XenPackages,
    Dpkg,
    Gzip,
    Xz,
}

/// How to get a thing on one system.
#[derive(Clone, Copy)]
enum How {
    /// A package, or several.
    Package(&'static str),
    /// Something else to do.
    Do(&'static str),
    /// There is no way that could be told in a line.
    Unknown,
}
use How::{Do, Package, Unknown};

#[derive(Clone, Copy)]
struct Install {
    debian: How,
    ubuntu: How,
    fedora: How,
    freebsd: How,
    netbsd: How,
    openbsd: How,
}

const fn everywhere(how: How) -> Install {
    Install {
        debian: how,
        ubuntu: how,
        fedora: how,
        freebsd: how,
        netbsd: how,
        openbsd: how,
    }
}

/// Linux only.
const fn linux(debian: How, ubuntu: How, fedora: How) -> Install {
    Install {
        debian,
        ubuntu,
        fedora,
        ..everywhere(Unknown)
    }
}

const RUSTUP: How = Do("see https://rustup.rs");
/// Debian 12 has no rustup, and no distribution's older rustc will do.
const RUST: Install = Install {
    debian: RUSTUP,
    ubuntu: Do("apt install rustup && rustup default stable"),
    fedora: Do("dnf install rustup && rustup-init"),
    ..everywhere(Package("rust"))
};
const C_COMPILER: Install = Install {
    fedora: Package("gcc glibc-devel"),
    freebsd: Do("the compiler is in the base system; see cc(1)"),
    netbsd: Do("install the set comp.tgz, see sysinst(8)"),
    openbsd: Do("install the set compXX.tgz, see install.site(5)"),
    ..everywhere(Package("gcc libc6-dev"))
};
const BINUTILS: Install = Install {
    netbsd: Do("install the set comp.tgz, see sysinst(8)"),
    ..everywhere(Package("binutils"))
};
const QEMU: Install = Install {
    debian: Package("qemu-system-x86"),
    ubuntu: Package("qemu-system-x86"),
    fedora: Package("qemu-system-x86"),
    ..everywhere(Package("qemu"))
};
const BY_HAND: Install = everywhere(Unknown);

impl Item {
    /// As it is called in the report.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The line that gets it on `system`.
    pub fn install(self, system: Kind) -> Option<String> {
        let install = self.row().1;
        let how = match system {
            Kind::Debian => install.debian,
            Kind::Ubuntu => install.ubuntu,
            Kind::Fedora => install.fedora,
            Kind::FreeBsd => install.freebsd,
            Kind::NetBsd => install.netbsd,
            Kind::OpenBsd => install.openbsd,
        };
        match how {
            Package(names) => Some(format!("{} {names}", system.installer())),
            Do(line) => Some(line.into()),
            Unknown => None,
        }
    }

    fn row(self) -> (&'static str, Install) {
        match self {
            Self::Cargo => ("cargo", RUST),
            Self::Rustc => ("rustc", RUST),
            Self::RustLink => ("Rust can link", C_COMPILER),
            Self::Compiler => ("C compiler", C_COMPILER),
            Self::Ar => ("ar", BINUTILS),
            Self::GnuLd => ("GNU ld", BINUTILS),
            Self::RustLld => (
                "rust-lld",
                everywhere(Do("a toolchain of rustup's has it: see https://rustup.rs")),
            ),
            Self::Settings => ("settings", BY_HAND),
            Self::Tree => (
                "NetBSD tree",
                everywhere(Do(
                    "see netbsd-src/README.md for where NetBSD publishes its source",
                )),
            ),
            Self::Prefix => ("RUMP_PREFIX", BY_HAND),
            Self::Bmake => (
                "bmake",
                Install {
                    freebsd: Do("set BMAKE=make"),
                    netbsd: Do("set BMAKE=make"),
                    ..everywhere(Package("bmake"))
                },
            ),
            Self::Libclang => (
                "libclang",
                Install {
                    debian: Package("libclang-dev"),
                    ubuntu: Package("libclang-dev"),
                    fedora: Package("clang-devel"),
                    netbsd: Package("clang"),
                    ..everywhere(Package("llvm"))
                },
            ),
            Self::Ip => (
                "ip",
                linux(Package("iproute2"), Package("iproute2"), Package("iproute")),
            ),
            Self::Tun => (
                "/dev/net/tun",
                modprobe("as root; if it is not there: modprobe tun"),
            ),
            Self::Namespace => (
                "network namespaces",
                modprobe("run it as root, in a container with CAP_SYS_ADMIN"),
            ),
            Self::TapVeth => (
                "tap and veth",
                modprobe("as root; if the kernel has them as modules: modprobe -a tun veth"),
            ),
            Self::Iperf3 => ("iperf3", everywhere(Package("iperf3"))),
            Self::Tshark => (
                "tshark",
                Install {
                    fedora: Package("wireshark-cli"),
                    netbsd: Package("wireshark"),
                    ..everywhere(Package("tshark"))
                },
            ),
            Self::Qemu => ("QEMU", QEMU),
            Self::QemuDevices => ("QEMU's devices", QEMU),
            Self::GuestKernel => (
                "guest kernel",
                linux(
                    Package("linux-image-cloud-amd64"),
                    Package("linux-image-virtual linux-modules-extra-virtual"),
                    Package("kernel-core kernel-modules"),
                ),
            ),
            Self::GuestDrivers => (
                "NIC drivers in a guest kernel",
                linux(
                    Do("./ci.sh guest, or apt install linux-image-amd64"),
                    Package("linux-image-generic"),
                    Package("kernel-core kernel-modules"),
                ),
            ),
            Self::Busybox => (
                "static busybox",
                linux(
                    Package("busybox-static"),
                    Package("busybox-static"),
                    Package("busybox"),
                ),
            ),
            Self::Kvm => (
                "KVM",
                modprobe("as root: modprobe kvm-intel (or kvm-amd); join the group kvm"),
            ),
            Self::Vfio => ("/dev/vfio", modprobe("as root: modprobe vfio-pci")),
            Self::IommuGroups => (
                "IOMMU groups",
                modprobe("switch the IOMMU on in the firmware; boot with intel_iommu=on"),
            ),
            Self::RustTarget => (
                "x86_64-unknown-none",
                Install {
                    fedora: Package("rust-std-static-x86_64-unknown-none lld"),
                    ..everywhere(Do("rustup target add x86_64-unknown-none"))
                },
            ),
            Self::XenPackages => (
                "Xen's packages",
                linux(
                    Do("as root: apt-get update"),
                    Do("as root: apt-get update"),
                    Unknown,
                ),
            ),
            Self::Dpkg => (
                "dpkg",
                linux(Package("dpkg"), Package("dpkg"), Package("dpkg")),
            ),
            Self::Gzip => ("gzip", everywhere(Package("gzip"))),
            Self::Xz => (
                "xz",
                linux(Package("xz-utils"), Package("xz-utils"), Package("xz")),
            ),
        }
    }
}

/// The same words on every Linux.
const fn modprobe(line: &'static str) -> Install {
    linux(Do(line), Do(line), Do(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_gets_its_own_line() {
        let lines = |item: Item| {
            super::super::system::KNOWN
                .iter()
                .filter_map(|kind| item.install(*kind))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            lines(Item::Libclang),
            [
                "apt install libclang-dev",
                "apt install libclang-dev",
                "dnf install clang-devel",
                "pkg install llvm",
                "pkgin install clang",
                "pkg_add llvm",
            ]
        );
        assert_eq!(lines(Item::Ip).len(), 3);
        assert!(lines(Item::Settings).is_empty());
    }
}
