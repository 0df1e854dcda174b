//! `cargo rumprun`: ordinary Rust programs as images that a virtual machine boots.

use clap::{Args, Parser, Subcommand};
use rumprun_build::image::line::Line;
use rumprun_build::image::object::{self, Source};
use rumprun_build::image::program::{self, Name};
use rumprun_build::image::qemu::{Forward, Machine, Net};
use rumprun_build::image::{inspect, root};
use rumprun_build::{Error, Result};
use std::path::PathBuf;
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
    Build(Build),
    /// Build an image and run it in QEMU
    Run(Box<Run>),
    /// Build an image and tell what is in it
    Inspect(Inspect),
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
struct Run {
    #[command(flatten)]
    build: Build,
    /// CPUs of the machine
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    smp: u32,
    /// Memory of the machine
    #[arg(long, value_name = "MIB", default_value_t = 128)]
    mem: u32,
    /// What its network card is connected to: user, none, or tap=NAME
    #[arg(long, value_name = "NET", default_value = "user", value_parser = net)]
    net: Net,
    /// Its network card, in QEMU's words
    #[arg(
        long,
        value_name = "DEVICE",
        default_value = "virtio-net-pci,disable-legacy=on"
    )]
    card: String,
    /// Port of this host that leads to one of the machine; may be repeated
    #[arg(long, short = 'P', value_name = "HOST:MACHINE[/udp]")]
    publish: Vec<Forward>,
    /// Addresses of the machine's interface, and its routers, with commas between
    #[arg(long, value_name = "ADDRESS/PREFIX,ROUTER")]
    address: Option<String>,
    /// Folder that is the root of its file system
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
    /// Program below --root that runs in place of the one that was built
    #[arg(long, value_name = "PATH", requires = "root")]
    exec: Option<String>,
    /// Variable of the program's environment; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Have Linux's KVM run the CPUs; without, QEMU does it by itself
    #[arg(long)]
    kvm: bool,
    /// Further argument for QEMU; may be repeated
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    qemu: Vec<String>,
    /// Show the command that runs the machine, and do not run it
    #[arg(long)]
    dry_run: bool,
    /// Arguments of the program
    #[arg(last = true)]
    args: Vec<String>,
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
            Self::Build(build) => {
                println!("{}", build.image()?.display());
                Ok(0)
            }
            Self::Run(run) => run.execute(),
            Self::Inspect(inspect) => {
                print!("{}", inspect::report(&inspect.build.image()?)?);
                Ok(0)
            }
        }
    }
}

impl Build {
    /// The folder that all is kept in.
    fn folder(&self) -> Result<PathBuf> {
        let target = program::target_folder(self.manifest_path.as_deref())?;
        Ok(target.join("rumprun"))
    }

    fn image(&self) -> Result<PathBuf> {
        let folder = self.folder()?;
        let object = object::Recipe {
            source: Source::own(),
            folder: folder.join("kernel"),
            features: Default::default(),
            kernel: None,
        }
        .make()?;
        let name = match &self.example {
            Some(name) => Name::Example(name.clone()),
            None => Name::Binary(self.bin.clone()),
        };
        program::Recipe {
            manifest: self.manifest_path.clone(),
            package: self.package.clone(),
            name,
            features: self.features.clone(),
            without_defaults: self.no_default_features,
            profile: self.profile.clone(),
            folder,
        }
        .make(&object)
    }
}

impl Run {
    fn execute(self) -> Result<u8> {
        let image = self.build.image()?;
        let mut line = Line::default();
        if let Some(address) = self.address {
            line = line.with("net", address);
        }
        if let Some(path) = self.exec {
            line = line.with("exec", path);
        }
        for variable in self.env {
            if !variable.contains('=') {
                return Err(Error::Image(format!(
                    "--env {variable}: NAME=VALUE is wanted"
                )));
            }
            line = line.with("env", variable);
        }
        line.arguments = self.args;
        let archive = match &self.root {
            Some(folder) => {
                let to = self.build.folder()?.join("root.cpio");
                root::archive(folder, &to)?;
                Some(to)
            }
            None => None,
        };
        let machine = Machine {
            cpus: self.smp,
            memory: self.mem,
            net: self.net,
            card: self.card,
            forwards: self.publish,
            root: archive,
            line,
            kvm: self.kvm,
            more: self.qemu,
        };
        if self.dry_run {
            println!("{}", machine.words(&image));
            return Ok(0);
        }
        machine.run(&image)
    }
}
