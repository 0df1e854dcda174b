//! `cargo rumprun service`: ready-made images that serve other guests of Xen's.

use super::{Options, drivers};
use clap::{Args, ValueEnum};
use rumprun_build::image::object::Source;
use rumprun_build::image::qemu::Machine;
use rumprun_build::image::service::{self, Made};
use rumprun_build::image::settings::Settings;
use rumprun_build::image::xen::{self, Guest};
use rumprun_build::image::{least, program};
use rumprun_build::{Error, Result};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Service {
    /// What it serves
    #[arg(value_name = "SERVICE")]
    service: Which,
    /// Name of its domain, which others name as that of their back ends
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Folder that the image is put into; target/rumprun of the package here, or of this folder
    /// where there is none
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Kind of the guest: HVM by default where it is given devices, else PVH
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<super::Kind>,
    /// Bridge of dom0's that its network interface is joined to
    #[arg(long, value_name = "NAME")]
    bridge: Option<String>,
    /// Domain that its network interface is served by, in place of dom0: service_network
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// PCI device of the host that it is given; may be repeated
    #[arg(long, value_name = "BUS:DEVICE.FUNCTION")]
    pci: Vec<String>,
    /// Drivers of NetBSD's for these, as RUMP_DRIVERS names them: wm,nvme
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    drivers: Vec<String>,
    /// Profile that the program is compiled with
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,
    /// Find how little memory it does with, and how fast it is ready, by trying, in QEMU
    #[arg(long)]
    measure: bool,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    /// Network interfaces, joined by a bridge
    Network,
    /// Disks; arguments, behind --, name them: data=/dev/rld0d text=/file:ro
    Storage,
    /// The network server, to applications in images; --root has etc/rump/server.toml
    Server,
    /// DNS and DHCP: dnsmasq, as it is installed here, or in --root; its arguments come behind --
    Dns,
}

impl From<Which> for service::Service {
    fn from(which: Which) -> Self {
        match which {
            Which::Network => Self::Network,
            Which::Storage => Self::Storage,
            Which::Server => Self::Server,
            Which::Dns => Self::Dns,
        }
    }
}

impl Service {
    pub(super) fn execute(mut self) -> Result<u8> {
        let service = service::Service::from(self.service);
        service.check(&self.options.args, self.options.root.as_deref())?;
        let settings = Settings {
            drivers: self.drivers.clone(),
            mem: Some(service.memory()),
            ..Settings::default()
        };
        if !self.pci.is_empty() && drivers(&settings)?.is_empty() {
            return Err(Error::Image(
                "--pci: the kernel needs a driver of NetBSD's for the device: --drivers wm, or whichever it is (CONTRIBUTING.md says how to find it)".into(),
            ));
        }
        let folder = match &self.to {
            Some(folder) => folder.clone(),
            None => usual_folder(),
        };
        let folder = std::path::absolute(&folder)
            .map_err(|error| Error::Image(format!("--to {}: {error}", folder.display())))?;
        let made = Made {
            service,
            domain: self.name.clone().unwrap_or_else(|| service.domain()),
            source: Source::own(),
            drivers: self.drivers.clone(),
            profile: self.profile.clone(),
            folder,
        };
        let image = made.make()?;
        self.run_program(service, &made.folder)?;
        let guest = Guest {
            kind: match (self.kind, self.pci.is_empty()) {
                (Some(super::Kind::Pvh), _) | (None, true) => xen::Kind::Pvh,
                (Some(super::Kind::Hvm), _) | (None, false) => xen::Kind::Hvm,
            },
            bridge: self.bridge.clone(),
            backend: self.backend.clone(),
            devices: self.pci.clone(),
            ..self.options.guest(&settings, &made.folder)?
        };
        let configuration = xen::write(&image, &guest)?;
        println!("{}\n{}", image.display(), configuration.display());
        print!(
            "{}",
            service::report(service, &made.domain, &guest.line.arguments, &image)?
        );
        if self.measure {
            measure(service, &guest, &image)?;
        }
        Ok(0)
    }
}

impl Service {
    /// Has the image run a program of its root, if the service is one.
    fn run_program(&mut self, service: service::Service, folder: &Path) -> Result<()> {
        let Some((program, first)) = service.program() else {
            return Ok(());
        };
        let options = &mut self.options;
        if options.root.is_none() {
            options.root = service.root(folder)?;
        }
        options.exec.get_or_insert(program.into());
        let first = first.iter().map(|word| word.to_string());
        options.args.splice(0..0, first);
        Ok(())
    }
}

fn measure(service: service::Service, guest: &Guest, image: &Path) -> Result<()> {
    let machine = Machine {
        cpus: guest.cpus,
        memory: guest.memory,
        root: guest.root.clone(),
        line: guest.line.clone(),
        ..Machine::default()
    };
    let (memory, time) = least::memory(image, &machine, service.ready())?;
    println!(
        "\nin QEMU it is ready {:.1} s after the start with {} MiB of memory; it gets so far with {memory} MiB",
        time.as_secs_f64(),
        guest.memory
    );
    Ok(())
}

/// That of a package, if the command is given in one.
fn usual_folder() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = named.or_else(program::target_folder_here);
    target.unwrap_or_else(|| "target".into()).join("rumprun")
}
