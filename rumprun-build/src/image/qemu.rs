//! A virtual machine for an image: QEMU.

use super::line::Line;
use crate::error::{Error, Result};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

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
            root: None,
            line: Line::default(),
            kvm: false,
            more: Vec::new(),
        }
    }
}

impl Machine {
    /// The command that runs an image, with its console on standard output.
    pub fn command(&self, image: &Path) -> Command {
        let mut command =
            Command::new(std::env::var_os("QEMU").unwrap_or_else(|| "qemu-system-x86_64".into()));
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
        let mut line = self.line.clone();
        match &self.net {
            Net::None => {}
            Net::User => {
                let mut back = String::from("user,id=net0");
                for one in &self.forwards {
                    let kind = if one.datagrams { "udp" } else { "tcp" };
                    let (from, here) = (one.host, Ipv4Addr::LOCALHOST);
                    back += &format!(",hostfwd={kind}:{here}:{from}-:{}", one.machine);
                }
                command.args(["-netdev", &back]);
                if !line.settings.iter().any(|(name, _)| name == "net") {
                    line = line.with("net", USER_NET);
                }
            }
            Net::Tap(name) => {
                let back = format!("tap,id=net0,ifname={name},script=no,downscript=no");
                command.args(["-netdev", &back]);
            }
        }
        if self.net != Net::None {
            command.args(["-device", &format!("{},netdev=net0", self.card)]);
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
        let status = command.status().map_err(|error| Error::Program {
            program: "qemu-system-x86_64",
            purpose: "run the image",
            problem: format!("it could not be started ({error})"),
            debian: "qemu-system-x86",
            fedora: "qemu-system-x86-core",
            pkgsrc: "qemu",
            variable: "QEMU",
        })?;
        of_machine(status.code()).ok_or_else(|| {
            Error::Image(format!(
                "QEMU ended, and not because the program did ({status}): {}",
                super::words(&command)
            ))
        })
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
