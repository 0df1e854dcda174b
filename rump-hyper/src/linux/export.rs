//! The `rumpuser_*` symbols of a Linux process.

crate::export_hypercalls!(crate::linux::LinuxHost);
