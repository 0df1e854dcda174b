//! The `rumpuser_*` symbols of a Linux process.

crate::export_hypercalls!(crate::linux::LinuxHost);

/// What the kernel's PCI asks for.
mod pci {
    crate::export_pci_hypercalls!(crate::linux::LinuxHost);
}
