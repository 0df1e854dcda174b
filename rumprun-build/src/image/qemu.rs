//! A virtual machine for an image: QEMU.

use super::line::Line;
use super::symbols::{Named, Symbols};
use crate::error::{Error, IoContext, Result};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The address of a machine in the net that QEMU makes for it, and who its router is
/// (QEMU's manual, "Network emulation", user mode).
const USER_NET: &str = "10.0.2.15/24,10.0.2.2";

/// What the machine's network interface is connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Net {
    /// None.
    None,
    /// A net of QEMU's own: the machine reaches what this host reaches.
    #[default]
    User,
    /// A TAP interface of this host.
    Tap(String),
}

/// A port of this host that leads to one of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// On 127.0.0.1.
    pub host: u16,
    /// In the machine.
    pub machine: u16,
    /// UDP, not TCP.
    pub datagrams: bool,
}

impl std::str::FromStr for Forward {
    type Err = String;

    /// `8080:80`, `5353:53/udp`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (ports, datagrams) = match text.rsplit_once('/') {
            Some((ports, "udp")) => (ports, true),
            Some((ports, "tcp")) => (ports, false),
            Some((_, other)) => return Err(format!("`{other}` is neither tcp nor udp")),
            None => (text, false),
        };
        let (host, machine) = ports
            .split_once(':')
            .ok_or("HOST_PORT:MACHINE_PORT is wanted")?;
        let port = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
        Ok(Self {
            host: port(host)?,
            machine: port(machine)?,
            datagrams,
        })
    }
}

/// What a disk of the machine's is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// NVMe: NetBSD's nvme(4).
    Nvme,
    /// virtio: NetBSD's virtio(4).
    Virtio,
}

impl Bus {
    /// That which one of these drivers of NetBSD's drives.
    ///
    /// # Errors
    /// [`Error::Image`] if none does.
    pub fn of_drivers(drivers: &[String]) -> Result<Self> {
        let has = |driver: &str| drivers.iter().any(|name| name == driver);
        match () {
            () if has("nvme") => Ok(Self::Nvme),
            () if has("virtio") => Ok(Self::Virtio),
            () => Err(Error::Image(
                "a disk needs a driver of NetBSD's in the kernel: RUMP_DRIVERS=nvme, or drivers = [\"nvme\"] in [package.metadata.rumprun] (nvme and virtio are known), and NETBSD_SRC".into(),
            )),
        }
    }
}

/// A disk of the machine's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The file with its contents.
    pub file: PathBuf,
    /// What it is connected to.
    pub bus: Bus,
}

impl Disk {
    /// QEMU's arguments for it.
    fn arguments(&self, number: usize) -> [String; 4] {
        // A comma in a name is written twice.
        let file = self.file.to_string_lossy().replace(',', ",,");
        let device = match self.bus {
            Bus::Nvme => format!("nvme,drive=disk{number},serial=disk{number}"),
            Bus::Virtio => format!("virtio-blk-pci,drive=disk{number}"),
        };
        [
            "-drive".into(),
            format!("if=none,id=disk{number},format=raw,file={file}"),
            "-device".into(),
            device,
        ]
    }
}

/// A machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// How many CPUs it has.
    pub cpus: u32,
    /// Its memory, in MiB.
    pub memory: u32,
    /// Its network.
    pub net: Net,
    /// Its network card, as QEMU calls it.
    pub card: String,
    /// With [`Net::User`].
    pub forwards: Vec<Forward>,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// An archive: the root of its file system.
    pub root: Option<PathBuf>,
    /// What it is told. Addresses are added for [`Net::User`] if there are none.
    pub line: Line,
    /// Linux's KVM runs the CPUs, and not QEMU itself.
    pub kvm: bool,
    /// Further arguments of QEMU's.
    pub more: Vec<String>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            cpus: 1,
            memory: 128,
            net: Net::default(),
            card: "virtio-net-pci,disable-legacy=on".into(),
            forwards: Vec::new(),
            disks: Vec::new(),
            root: None,
            line: Line::default(),
            kvm: false,
            more: Vec::new(),
        }
    }
}

/// Firmware of QEMU's that is quicker than its usual one, and finds places for no devices.
const QUICK: [&str; 2] = ["bios-microvm.bin", "qboot.rom"];

/// That firmware, if this QEMU has it, where its data is.
fn quick_firmware() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let folders = qemu().args(["-L", "help"]).output().ok()?;
        let folders = String::from_utf8(folders.stdout).ok()?;
        let files = QUICK.iter().flat_map(|name| {
            let folders = folders.lines();
            folders.map(move |folder| Path::new(folder).join(name))
        });
        files.into_iter().find(|file| file.is_file())
    };
    FOUND.get_or_init(find).as_deref()
}

/// QEMU's own net as `net0`, with ports of this host that lead to this address, by default that
/// of the machine itself.
pub(super) fn user_net(forwards: &[Forward], to: &str) -> String {
    let mut back = String::from("user,id=net0");
    for one in forwards {
        let kind = if one.datagrams { "udp" } else { "tcp" };
        let (from, here) = (one.host, Ipv4Addr::LOCALHOST);
        back += &format!(",hostfwd={kind}:{here}:{from}-{to}:{}", one.machine);
    }
    back
}

/// What an image in that net is told, which has an address there unless it is told another.
pub(super) fn in_user_net(line: Line) -> Line {
    if line.settings.iter().any(|(name, _)| name == "net") {
        line
    } else {
        line.with("net", USER_NET)
    }
}

/// QEMU, or what is named in its place.
pub(super) fn qemu() -> Command {
    Command::new(std::env::var_os("QEMU").unwrap_or_else(|| "qemu-system-x86_64".into()))
}

impl Machine {
    /// Whether an image finds places for all of its devices itself: those of virtio, which
    /// interrupt by messages and have no ports.
    fn needs_no_firmware(&self) -> bool {
        let card =
            self.net == Net::None || self.card.starts_with("virtio-net-pci,disable-legacy=on");
        card && self.disks.is_empty() && self.more.is_empty()
    }

    /// The command that runs an image, with its console on standard output.
    pub fn command(&self, image: &Path) -> Command {
        let mut command = qemu();
        let cpu = if self.kvm { "host" } else { "max" };
        command
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-serial", "stdio", "-monitor", "none"])
            .args(["-machine", "q35", "-cpu", cpu])
            .args(["-accel", if self.kvm { "kvm" } else { "tcg,thread=multi" }])
            .args(["-smp", &self.cpus.to_string()])
            .args(["-m", &self.memory.to_string()])
            .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"])
            .arg("-kernel")
            .arg(image);
        if self.needs_no_firmware()
            && let Some(file) = quick_firmware()
        {
            command.arg("-bios").arg(file);
        }
        let mut line = self.line.clone();
        match &self.net {
            Net::None => {}
            Net::User => {
                command.args(["-netdev", &user_net(&self.forwards, "")]);
                line = in_user_net(line);
            }
            Net::Tap(name) => {
                let back = format!("tap,id=net0,ifname={name},script=no,downscript=no");
                command.args(["-netdev", &back]);
            }
        }
        if self.net != Net::None {
            command.args(["-device", &format!("{},netdev=net0", self.card)]);
        }
        for (number, disk) in self.disks.iter().enumerate() {
            command.args(disk.arguments(number));
        }
        if let Some(root) = &self.root {
            command.arg("-initrd").arg(root);
        }
        let line = line.to_string();
        if !line.is_empty() {
            command.args(["-append", &line]);
        }
        command.args(&self.more);
        command
    }

    /// That command as a person would type it.
    pub fn words(&self, image: &Path) -> String {
        super::words(&self.command(image))
    }

    /// Runs an image until it ends, and returns its program's exit status. Of that, seven
    /// bits pass.
    ///
    /// # Errors
    /// [`Error::Program`] without QEMU; [`Error::Image`] if QEMU ended by itself.
    pub fn run(&self, image: &Path) -> Result<u8> {
        let mut command = self.command(image);
        let symbols = Symbols::read(&super::program::symbols(image)).unwrap_or_default();
        let started = command.stdout(Stdio::piped()).spawn();
        let mut machine = started.map_err(missing)?;
        if let Some(mut console) = machine.stdout.take() {
            // If nobody listens any more the machine runs on.
            let _ = std::io::copy(&mut console, &mut Named::new(symbols, std::io::stdout()));
        }
        let status = machine.wait().context("waiting for", "the machine")?;
        of_machine(status.code()).ok_or_else(|| {
            Error::Image(format!(
                "QEMU ended, and not because the program did ({status}): {}",
                super::words(&command)
            ))
        })
    }
}

/// QEMU could not be started.
pub(super) fn missing(error: std::io::Error) -> Error {
    Error::Program {
        program: "qemu-system-x86_64",
        purpose: "run the image",
        problem: format!("it could not be started ({error})"),
        debian: "qemu-system-x86",
        fedora: "qemu-system-x86-core",
        pkgsrc: "qemu",
        variable: "QEMU",
    }
}

/// The status, of seven bits, that the machine ended with: `isa-debug-exit` has QEMU end with
/// twice what was written there and 1. `None` if it was QEMU that failed, or a program that
/// ended with 126.
pub fn of_machine(code: Option<i32>) -> Option<u8> {
    // As `rumprun` writes it: QEMU, too, ends with 1 if it fails.
    const TURNED: u8 = 126;
    let written = code.filter(|code| code & 1 == 1)? >> 1;
    let status = u8::try_from(written).ok()? ^ TURNED;
    (status != TURNED).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(machine: &Machine) -> Vec<String> {
        let command = machine.command(Path::new("/image"));
        let words = command.get_args();
        words
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn forwards_are_understood() {
        let of = |host, machine, datagrams| Forward {
            host,
            machine,
            datagrams,
        };
        assert_eq!("8080:80".parse(), Ok(of(8080, 80, false)));
        assert_eq!("53:5353/udp".parse(), Ok(of(53, 5353, true)));
        for wrong in ["", "80", "80:", ":80", "80:99999", "80:80/sctp", "a:b"] {
            assert!(wrong.parse::<Forward>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_machine_has_what_it_was_given() {
        let machine = Machine {
            cpus: 2,
            forwards: vec!["8080:80".parse().unwrap()],
            line: Line::default().with("env", "A=1"),
            ..Machine::default()
        };
        let words = words(&machine);
        let has = |pair: [&str; 2]| words.windows(2).any(|two| two == pair);
        assert!(has(["-smp", "2"]) && has(["-kernel", "/image"]));
        assert!(has([
            "-netdev",
            "user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80"
        ]));
        assert!(has(["-append", "env=A=1 net=10.0.2.15/24,10.0.2.2"]));
    }

    #[test]
    fn disks_are_those_of_the_drivers() {
        let bus = |drivers: &[&str]| {
            let drivers: Vec<_> = drivers.iter().map(|name| name.to_string()).collect();
            Bus::of_drivers(&drivers)
        };
        assert_eq!(bus(&["wm", "nvme"]).unwrap(), Bus::Nvme);
        assert_eq!(bus(&["virtio"]).unwrap(), Bus::Virtio);
        let error = bus(&["wm"]).unwrap_err().to_string();
        assert!(error.contains("RUMP_DRIVERS=nvme"), "{error}");
        let machine = Machine {
            disks: vec![Disk {
                file: "/a,b".into(),
                bus: Bus::Nvme,
            }],
            ..Machine::default()
        };
        let words = words(&machine);
        assert!(words.contains(&"if=none,id=disk0,format=raw,file=/a,,b".to_string()));
        assert!(words.contains(&"nvme,drive=disk0,serial=disk0".to_string()));
    }

    #[test]
    fn addresses_that_are_set_stay() {
        let line = Line::default().with("net", "10.0.2.99/24");
        let machine = Machine {
            line,
            ..Machine::default()
        };
        assert!(words(&machine).contains(&"net=10.0.2.99/24".to_string()));
        let none = Machine {
            net: Net::None,
            ..Machine::default()
        };
        let words = words(&none);
        assert!(
            !words
                .iter()
                .any(|word| word == "-netdev" || word == "-append")
        );
    }

    #[test]
    fn the_machine_tells_the_status() {
        let written = |status: i32| (status & 0x7f ^ 126) << 1 | 1;
        for status in [0, 1, 3, 101, 125, 127] {
            assert_eq!(of_machine(Some(written(status))), Some(status as u8));
        }
        assert_eq!(of_machine(Some(written(134))), Some(6));
        for failed in [Some(0), Some(1), Some(2), None] {
            assert_eq!(of_machine(failed), None);
        }
    }
}
