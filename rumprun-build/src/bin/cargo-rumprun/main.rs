//! `cargo rumprun`: ordinary Rust programs as images that a virtual machine boots.

mod service;

use clap::{Args, Parser, Subcommand};
use rumprun_build::image::line::Line;
use rumprun_build::image::object::Source;
use rumprun_build::image::program::{self, Name};
use rumprun_build::image::qemu::{Bus, Disk, Forward, Machine, Net};
use rumprun_build::image::root::{self, Root};
use rumprun_build::image::settings::{Asked, OF_KERNEL, Settings};
use rumprun_build::image::testbed::{self, Dom0};
use rumprun_build::image::xen::{self, Guest};
use rumprun_build::image::{Recipe, inspect, iso};
use rumprun_build::settings::DRIVERS;
use rumprun_build::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Rust programs as images that boot by themselves
#[derive(Parser)]
#[command(name = "cargo-rumprun", bin_name = "cargo")]
enum Cargo {
    #[command(subcommand)]
    Rumprun(Command),
}

/// Rust programs as images that boot by themselves
#[derive(Subcommand)]
#[command(version)]
enum Command {
    /// Compile a program and its kernel into one image
    Build(Box<Make>),
    /// Build an image and run it in QEMU
    Run(Box<Run>),
    /// Build an image and tell what is in it
    Inspect(Inspect),
    /// Make an image that serves other guests of Xen's, and its configuration
    Service(Box<service::Service>),
    /// Build an image and run it under a real Xen, in QEMU, made of Debian's packages
    Testbed(Box<Testbed>),
}

#[derive(Args)]
struct Build {
    /// Program of the package; may be left out where there is one only
    #[arg(long, value_name = "NAME", conflicts_with = "example")]
    bin: Option<String>,
    /// Example of the package
    #[arg(long, value_name = "NAME")]
    example: Option<String>,
    /// Package of the workspace
    #[arg(long, short, value_name = "NAME")]
    package: Option<String>,
    /// Manifest of the package
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
    /// Features of the package
    #[arg(long, short = 'F', value_name = "FEATURES", value_delimiter = ',')]
    features: Vec<String>,
    /// Without the package's default features
    #[arg(long)]
    no_default_features: bool,
    /// Profile that the program is compiled with
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,
}

#[derive(Args)]
struct Make {
    #[command(flatten)]
    build: Build,
    /// What is to run it: QEMU; a machine with a BIOS, for which an ISO is written beside the image;
    /// or Xen, for which it is a configuration of xl's
    #[arg(long, value_name = "TARGET", default_value = "qemu")]
    target: Target,
    /// Bridge that a guest's network interface is joined to
    #[arg(long, value_name = "NAME")]
    bridge: Option<String>,
    /// PCI device of the host that an HVM guest is given, for a driver of NetBSD's; may be
    /// repeated
    #[arg(long, value_name = "BUS:DEVICE.FUNCTION")]
    pci: Vec<String>,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    Qemu,
    Iso,
    XenPvh,
    XenHvm,
}

// Of a machine, whatever runs it.
#[derive(Args)]
struct Options {
    /// CPUs of the machine; 1 by default
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    smp: Option<u32>,
    /// Memory of the machine; 128 MiB by default
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    mem: Option<u32>,
    /// File that is a disk of the machine; for QEMU's the kernel needs a driver of NetBSD's. May
    /// be repeated
    #[arg(long, value_name = "FILE")]
    disk: Vec<PathBuf>,
    /// Addresses of the machine's interface, and its routers, with commas between
    #[arg(long, value_name = "ADDRESS/PREFIX,ROUTER")]
    address: Option<String>,
    /// Root of its file system: a folder, which it has in memory, or a file with ext2 or ffs in
    /// it, which is its first disk
    #[arg(long, value_name = "PATH")]
    root: Option<PathBuf>,
    /// Program below --root that runs in place of the one that was built
    #[arg(long, value_name = "PATH", requires = "root")]
    exec: Option<String>,
    /// Where in memory the image begins, in MiB: below is room for a program that must lie where
    /// it was linked to. Found by itself for --exec of a folder
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(4..1024))]
    base: Option<u32>,
    /// Variable of the program's environment; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Setting of the kernel: hostname=NAME, memlimit=BYTES, verbose=1, interface=NAME; may be
    /// repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// Arguments of the program
    #[arg(last = true)]
    args: Vec<String>,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    build: Build,
    #[command(flatten)]
    options: Options,
    /// What its network card is connected to: user, by default, none, or tap=NAME
    #[arg(long, value_name = "NET", value_parser = net)]
    net: Option<Net>,
    /// Its network card, in QEMU's words; of virtio by default
    #[arg(long, value_name = "DEVICE")]
    card: Option<String>,
    /// Port of this host that leads to one of the machine; may be repeated
    #[arg(long, short = 'P', value_name = "HOST:MACHINE[/udp]")]
    publish: Vec<Forward>,
    /// Have Linux's KVM run the CPUs; without, QEMU does it by itself
    #[arg(long)]
    kvm: bool,
    /// Further argument for QEMU; may be repeated
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    qemu: Vec<String>,
    /// Show the command that runs the machine, and do not run it
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
struct Testbed {
    #[command(flatten)]
    run: Run,
    /// Kind of the guest
    #[arg(long = "type", value_name = "TYPE", default_value = "pvh")]
    kind: Kind,
    /// Make the testbed, tell its folder, and run nothing
    #[arg(long)]
    only_make: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    Pvh,
    Hvm,
}

#[derive(Args)]
struct Inspect {
    #[command(flatten)]
    build: Build,
}

fn net(text: &str) -> std::result::Result<Net, String> {
    match text {
        "user" => Ok(Net::User),
        "none" => Ok(Net::None),
        _ => match text.strip_prefix("tap=") {
            Some(name) if !name.is_empty() => Ok(Net::Tap(name.into())),
            _ => Err("user, none or tap=NAME is wanted".into()),
        },
    }
}

fn setting(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if OF_KERNEL.contains(&name) => Ok((name.into(), value.into())),
        Some((name, _)) => Err(format!(
            "there is no setting {name}, but {}",
            OF_KERNEL.join(", ")
        )),
        None => Err("NAME=VALUE is wanted".into()),
    }
}

fn main() -> ExitCode {
    let Cargo::Rumprun(command) = Cargo::parse();
    match command.execute() {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Command {
    /// The status to end with.
    fn execute(self) -> Result<u8> {
        match self {
            Self::Build(make) => make.execute(),
            Self::Run(run) => run.execute(),
            Self::Inspect(inspect) => {
                let build = &inspect.build;
                let image = build.image(&build.settings()?, None)?;
                print!("{}", inspect::report(&image)?);
                Ok(0)
            }
            Self::Service(service) => service.execute(),
            Self::Testbed(testbed) => testbed.execute(),
        }
    }
}

impl Build {
    /// The folder that all is kept in.
    fn folder(&self) -> Result<PathBuf> {
        let target = program::target_folder(self.manifest_path.as_deref())?;
        Ok(target.join("rumprun"))
    }

    fn name(&self) -> Name {
        match &self.example {
            Some(name) => Name::Example(name.clone()),
            None => Name::Binary(self.bin.clone()),
        }
    }

    fn settings(&self) -> Result<Settings> {
        Settings::read(Asked {
            manifest: self.manifest_path.as_deref(),
            package: self.package.as_deref(),
            name: &self.name(),
        })
    }

    /// The image, with what these options want in it.
    fn image(&self, settings: &Settings, options: Option<&Options>) -> Result<PathBuf> {
        let components = options.map_or(Ok(&[][..]), |options| options.components(settings))?;
        let mut features = settings.features.clone();
        features.extend(self.features.iter().cloned());
        let program = program::Recipe {
            manifest: self.manifest_path.clone(),
            package: self.package.clone(),
            name: self.name(),
            features,
            without_defaults: self.no_default_features,
            profile: self.profile.clone(),
            base: options.and_then(|options| options.base(settings)),
            folder: self.folder()?,
        };
        let recipe = Recipe {
            source: Source::own(),
            kernel: None,
            drivers: settings.drivers.clone(),
            components: components.iter().map(|name| name.to_string()).collect(),
            program,
        };
        recipe.make()
    }
}

/// What NetBSD's kernel calls the first disk, of nvme(4) or virtio(4), and of Xen's.
const OF_QEMU: &str = "/dev/ld0d";
/// As above.
const OF_XEN: &str = "/dev/vbd0d";

/// NetBSD's drivers in the kernel: those of the environment, or of the settings.
fn drivers(settings: &Settings) -> Result<Vec<String>> {
    match std::env::var(DRIVERS) {
        Ok(value) => rumprun_build::settings::drivers(&value),
        Err(_) => Ok(settings.drivers.clone()),
    }
}

impl Make {
    fn execute(self) -> Result<u8> {
        if !self.pci.is_empty() && self.target != Target::XenHvm {
            return Err(Error::Image(
                "--pci: devices are given to an HVM guest of Xen's: --target xen-hvm".into(),
            ));
        }
        let settings = self.build.settings()?;
        let options = &self.options;
        let image = self.build.image(&settings, Some(options))?;
        println!("{}", image.display());
        let kind = match self.target {
            Target::Qemu => return Ok(0),
            Target::Iso => {
                let root = options.archive(&settings, &self.build.folder()?)?;
                let mut to = image.clone().into_os_string();
                to.push(".iso");
                let to = PathBuf::from(to);
                iso::write(
                    &image,
                    root.as_deref(),
                    &options.line(&settings, OF_QEMU)?,
                    &to,
                )?;
                println!("{}", to.display());
                return Ok(0);
            }
            Target::XenPvh => xen::Kind::Pvh,
            Target::XenHvm => xen::Kind::Hvm,
        };
        let guest = Guest {
            kind,
            bridge: self.bridge.clone(),
            devices: self.pci.clone(),
            ..options.guest(&settings, &self.build.folder()?)?
        };
        println!("{}", xen::write(&image, &guest)?.display());
        Ok(0)
    }
}

impl Testbed {
    /// 0 if the guest has powered off, 134 if it has crashed.
    fn execute(self) -> Result<u8> {
        let folder = self.run.build.folder()?.join("testbed");
        let dom0 = Dom0::make(&folder)?;
        if self.only_make {
            println!("{}", folder.display());
            return Ok(0);
        }
        let settings = self.run.build.settings()?;
        let options = &self.run.options;
        let wanted = self.run.machine(&settings, OF_XEN)?;
        if let Net::Tap(name) = &wanted.net {
            return Err(Error::Image(format!(
                "--net tap={name}: a guest of the testbed is in QEMU's own net, or in none"
            )));
        }
        let guest = Guest {
            kind: match self.kind {
                Kind::Pvh => xen::Kind::Pvh,
                Kind::Hvm => xen::Kind::Hvm,
            },
            cpus: wanted.cpus,
            memory: wanted.memory,
            root: wanted.root,
            line: wanted.line,
            ..Guest::default()
        };
        let machine = testbed::Machine {
            network: wanted.net == Net::User,
            forwards: wanted.forwards,
            disks: options.disks(&settings)?,
            more: wanted.more,
            ..testbed::Machine::new(dom0, guest, folder)
        };
        let end = machine.run(&self.run.build.image(&settings, Some(options))?)?;
        if end == testbed::End::PowerOff {
            return Ok(0);
        }
        let log = machine.log();
        let log = log.display();
        eprintln!("the guest has not powered off, but: {end:?}; {log} has what Xen and dom0 said");
        Ok(134)
    }
}

impl Run {
    fn execute(self) -> Result<u8> {
        let settings = self.build.settings()?;
        let mut machine = self.machine(&settings, OF_QEMU)?;
        machine.disks = self.disks(&settings)?;
        let image = self.build.image(&settings, Some(&self.options))?;
        if self.dry_run {
            println!("{}", machine.words(&image));
            return Ok(0);
        }
        machine.run(&image)
    }

    /// What the command line says, and where it says nothing the settings. The kernel calls its
    /// first disk so.
    fn machine(&self, settings: &Settings, first: &str) -> Result<Machine> {
        let usual = Machine::default();
        let wrong = |what: &str, problem: String| {
            Error::Image(format!("[package.metadata.rumprun]: {what}: {problem}"))
        };
        let of_settings = settings.net.as_deref().map(net).transpose();
        let of_settings = of_settings.map_err(|problem| wrong("net", problem))?;
        let mut forwards = self.publish.clone();
        if forwards.is_empty() {
            let forward = |text: &String| text.parse().map_err(|problem| wrong("publish", problem));
            forwards = settings
                .publish
                .iter()
                .map(forward)
                .collect::<Result<_>>()?;
        }
        Ok(Machine {
            cpus: self.options.cpus(settings),
            memory: self.options.memory(settings),
            net: self.net.clone().or(of_settings).unwrap_or(usual.net),
            card: self
                .card
                .clone()
                .or(settings.card.clone())
                .unwrap_or(usual.card),
            forwards,
            disks: Vec::new(),
            root: self.options.archive(settings, &self.build.folder()?)?,
            line: self.options.line(settings, first)?,
            kvm: self.kvm,
            more: self.qemu.clone(),
        })
    }

    /// Disks of a card that the kernel has a driver for.
    fn disks(&self, settings: &Settings) -> Result<Vec<Disk>> {
        let files = self.options.disks(settings)?;
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let bus = Bus::of_drivers(&drivers(settings)?)?;
        Ok(files.into_iter().map(|file| Disk { file, bus }).collect())
    }
}

impl Options {
    fn cpus(&self, settings: &Settings) -> u32 {
        let usual = Machine::default().cpus;
        self.smp.or(settings.smp).unwrap_or(usual)
    }

    fn memory(&self, settings: &Settings) -> u32 {
        let usual = Machine::default().memory;
        self.mem.or(settings.mem).unwrap_or(usual)
    }

    /// Files that are its disks, which are there.
    fn disks(&self, settings: &Settings) -> Result<Vec<PathBuf>> {
        let files = match self.disk.is_empty() {
            true => &settings.disks,
            false => &self.disk,
        };
        if let Some(file) = files.iter().find(|file| !file.exists() || file.is_dir()) {
            return Err(Error::Image(format!(
                "{}: there is no such disk",
                file.display()
            )));
        }
        let root = match self.root(settings)? {
            Some(Root::Disk(file)) => Some(file),
            _ => None,
        };
        Ok(root.into_iter().chain(files.iter().cloned()).collect())
    }

    /// A guest of Xen's with these; all that is made for it is put into the folder.
    fn guest(&self, settings: &Settings, folder: &Path) -> Result<Guest> {
        Ok(Guest {
            cpus: self.cpus(settings),
            memory: self.memory(settings),
            disks: self.disks(settings)?,
            root: self.archive(settings, folder)?,
            line: self.line(settings, OF_XEN)?,
            ..Guest::default()
        })
    }

    fn root(&self, settings: &Settings) -> Result<Option<Root>> {
        let root = self.root.as_ref().or(settings.root.as_ref());
        root.map(|path| Root::of(path)).transpose()
    }

    /// What the kernel needs for them.
    fn components(&self, settings: &Settings) -> Result<&'static [&'static str]> {
        let on_disk = matches!(self.root(settings)?, Some(Root::Disk(_)));
        Ok(if on_disk { &root::OF_DISKS } else { &[] })
    }

    /// Where the image is to begin, in bytes.
    fn base(&self, settings: &Settings) -> Option<u64> {
        let folder = || match self.root(settings) {
            Ok(Some(Root::Folder(folder))) => Some(folder),
            _ => None,
        };
        let found = || {
            let program = self.exec.as_ref()?.trim_start_matches('/');
            root::base_for(&folder()?.join(program))
        };
        self.base.map(|base| u64::from(base) << 20).or_else(found)
    }

    /// The root of its file system as an archive below the folder, if it is one.
    fn archive(&self, settings: &Settings, folder: &Path) -> Result<Option<PathBuf>> {
        let Some(Root::Folder(root)) = self.root(settings)? else {
            return Ok(None);
        };
        let to = folder.join("root.cpio");
        root::archive(&root, &to)?;
        Ok(Some(to))
    }

    /// What the image is told, whose first disk is called so.
    fn line(&self, settings: &Settings, first: &str) -> Result<Line> {
        let mut line = Line::default();
        if let Some(Root::Disk(_)) = self.root(settings)? {
            line = line.with("root", first);
        }
        if let Some(address) = self.address.as_ref().or(settings.address.as_ref()) {
            line = line.with("net", address);
        }
        let given = |name: &String| self.set.iter().any(|(other, _)| other == name);
        let of_settings = settings.set.iter().filter(|(name, _)| !given(name));
        for (name, value) in of_settings.chain(self.set.iter().map(|(name, value)| (name, value))) {
            line = line.with(name, value);
        }
        if let Some(path) = &self.exec {
            line = line.with("exec", path);
        }
        for variable in &self.env {
            if !variable.contains('=') {
                return Err(Error::Image(format!(
                    "--env {variable}: NAME=VALUE is wanted"
                )));
            }
            line = line.with("env", variable);
        }
        let given = |name: &str| {
            let mut names = self
                .env
                .iter()
                .filter_map(|variable| variable.split_once('='));
            names.any(|(other, _)| other == name)
        };
        for (name, value) in settings.env.iter().filter(|(name, _)| !given(name)) {
            line = line.with("env", format!("{name}={value}"));
        }
        line.arguments = match self.args.is_empty() {
            true => settings.args.clone(),
            false => self.args.clone(),
        };
        Ok(line)
    }
}
