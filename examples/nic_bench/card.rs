//! A card that NetBSD's driver has in this process.

use rump::Kernel;
use rump::iface::{Interface, IpNet};
use rump::net::TcpStream;
use rump::pci::{Address, Options};
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long the other end may take to answer for the first time.
const LIMIT: Duration = Duration::from_secs(30);

/// A card with an address, and a server that answers at the other end.
pub struct Card {
    kernel: Kernel,
    name: String,
    server: SocketAddr,
    /// From the attachment to the server's first answer.
    pub attach: Duration,
}

impl Card {
    /// Boots a kernel, attaches the card and waits until the server answers.
    pub fn attach(
        (card, options): (Address, Options),
        address: IpNet,
        cpus: usize,
        server: SocketAddr,
    ) -> Result<Self, Box<dyn Error>> {
        let kernel = Kernel::builder().cpus(cpus).boot()?;
        let start = Instant::now();
        let name = kernel.attach_pci_with(card, options)?.name;
        let interface = Interface::named(&name)?;
        interface.add_address(address)?;
        interface.set_up(true)?;
        // Before it has a link, what is sent is lost; the first answer is what counts.
        loop {
            match TcpStream::connect_timeout(&server, Duration::from_millis(100)) {
                Ok(_) => break,
                Err(error) if start.elapsed() > LIMIT => {
                    return Err(format!("{server} does not answer on {name}: {error}").into());
                }
                Err(_) => {}
            }
        }
        Ok(Self {
            kernel,
            name,
            server,
            attach: start.elapsed(),
        })
    }

    pub fn kernel(&self) -> Result<String, Box<dyn Error>> {
        Ok(self.kernel.identity()?.to_string())
    }

    pub fn connect(&self) -> Result<TcpStream, Box<dyn Error>> {
        Ok(TcpStream::connect(self.server)?)
    }

    /// Gives the card back.
    pub fn detach(self) -> Result<(), Box<dyn Error>> {
        Ok(self.kernel.detach_pci(&self.name)?)
    }
}
