//! How a device is attached.

use rump_sys::hyper::pci::Kind;

/// The ways in which a device tells that it has something to say, from the worst to the best.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interrupts {
    /// A line, which Linux masks at each interrupt (INTx).
    Line,
    /// Messages (MSI): one, with most drivers.
    Message,
    /// Messages from a table (MSI-X): one for each queue, with drivers that have several.
    #[default]
    Table,
}

impl Interrupts {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Line => Kind::Intx,
            Self::Message => Kind::Msi,
            Self::Table => Kind::Msix,
        }
    }
}

/// How a device is attached, where its address does not say it all.
///
/// ```no_run
/// use rump::pci::{Interrupts, Options};
///
/// let kernel = rump::Kernel::builder().boot()?;
/// let options = Options::new().interrupts(Interrupts::Message);
/// kernel.attach_pci_with("0000:00:03.0".parse()?, options)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    pub(super) interrupts: Interrupts,
}

impl Options {
    /// Those of [`Kernel::attach_pci`](crate::Kernel::attach_pci).
    pub fn new() -> Self {
        Self::default()
    }

    /// The best way to interrupt that its driver may choose; what the device has of better
    /// ones is hidden from it. For devices that do not do what they say.
    #[must_use]
    pub fn interrupts(mut self, best: Interrupts) -> Self {
        self.interrupts = best;
        self
    }
}
