//! What is to be, checked and with names resolved: what the supervisor tells the worker.

use super::{Host, Nic, Ports, Range, Server, User};
use crate::wire::{Mac, Protocol};
use rump_hyper::linux::cable::Shape;
use rump_ring::control::MOST_ADDRESSES;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range as Span;
use std::path::PathBuf;
use toml::Spanned;

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Where applications connect.
    pub socket: PathBuf,
    /// Where `rump ctl` connects.
    pub control: PathBuf,
    /// Who the server is after it has started, if it is started by root: user and group.
    pub user: Option<(u32, u32)>,
    /// For how many seconds what an application had is kept after the server has died.
    pub grace: u64,
    /// Its NICs.
    pub nics: Vec<NicPlan>,
    /// Its hosts.
    pub hosts: Vec<HostPlan>,
}

/// A NIC.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NicPlan {
    /// What it is called here.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How many queues.
    pub queues: u16,
    /// The longest packet.
    pub mtu: u32,
}

/// What a NIC is.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A TAP interface of this name.
    Tap(String),
    /// An interface of Linux, by a packet socket.
    Packet(String),
    /// A card that a driver of NetBSD's has, in the worker.
    Pci(CardPlan),
    /// An interface of the kernel of this program's image.
    Interface(String),
}

/// A card of its own, over VFIO.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct CardPlan {
    /// Where it is: `0000:00:03.0`.
    pub address: String,
    /// Which driver is to take it, if it matters: `wm`.
    pub driver: Option<String>,
}

impl Plan {
    /// The cards among the NICs.
    pub fn cards(&self) -> impl Iterator<Item = &CardPlan> {
        self.nics.iter().filter_map(|nic| match &nic.kind {
            Kind::Pci(card) => Some(card),
            _ => None,
        })
    }
}

/// A host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostPlan {
    /// What it is called here.
    pub name: String,
    /// The place of its NIC.
    pub nic: usize,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its addresses, with the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Its routers.
    pub gateway: Option<Ipv4Addr>,
    /// The same of IPv6.
    pub gateway6: Option<Ipv6Addr>,
    /// Who may be of it; `None` is everybody.
    pub users: Option<Vec<u32>>,
    /// How many applications there may be.
    pub applications: Option<usize>,
    /// The ephemeral ports.
    pub ephemeral: (u16, u16),
    /// How many of them an application gets at a time.
    pub lease: u16,
    /// Bytes of a ring.
    pub ring: u32,
    /// Whether rings are in huge pages, where there are any.
    pub huge_pages: bool,
    /// The most queues of an application.
    pub queues: u16,
    /// The most that an application may send.
    pub frames_per_second: Option<u64>,
    /// The same in bytes.
    pub bytes_per_second: Option<u64>,
    /// Who may have which ports.
    pub rights: Vec<RightPlan>,
}

/// Ports that are for some users only.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct RightPlan {
    /// TCP, not UDP.
    pub tcp: bool,
    /// The first and the last.
    pub ports: (u16, u16),
    /// Whose they are.
    pub users: Vec<u32>,
}

impl RightPlan {
    /// All ports are this user's.
    pub(crate) fn all(user: u32) -> Vec<Self> {
        let all = |tcp| Self {
            tcp,
            ports: (1, u16::MAX),
            users: vec![user],
        };
        vec![all(true), all(false)]
    }

    /// Of which protocol.
    pub fn protocol(&self) -> Protocol {
        if self.tcp {
            Protocol::Tcp
        } else {
            Protocol::Udp
        }
    }
}

/// What is wrong, and where in the file.
type Wrong = (usize, String);

fn at<T>(span: &Span<usize>, what: impl Into<String>) -> Result<T, Wrong> {
    Err((span.start, what.into()))
}

pub(super) fn of(server: Server) -> Result<Plan, Wrong> {
    let mut nics: Vec<NicPlan> = Vec::new();
    for spanned in server.nic {
        let span = spanned.span();
        let nic = nic(spanned.into_inner(), &span)?;
        if nics.iter().any(|other| other.name == nic.name) {
            return at(
                &span,
                format!(
                    "a second NIC is called \"{}\"; give it another name",
                    nic.name
                ),
            );
        }
        nics.push(nic);
    }
    if nics.is_empty() {
        return Err((
            0,
            "there is no [[nic]]; add one with a name and tap = \"…\", packet = \"…\" or pci = \"…\"".into(),
        ));
    }
    let mut hosts: Vec<HostPlan> = Vec::new();
    for spanned in server.host {
        let span = spanned.span();
        let host = host(spanned.into_inner(), &span, &nics)?;
        clashes(&host, &hosts, &span)?;
        hosts.push(host);
    }
    if hosts.is_empty() {
        return Err((
            0,
            "there is no [[host]]; add one with a name and addresses".into(),
        ));
    }
    let user = server.user.map(|name| account(&name)).transpose()?;
    Ok(Plan {
        socket: server.socket,
        control: server.control,
        user,
        grace: server.grace,
        nics,
        hosts,
    })
}

fn nic(nic: Nic, span: &Span<usize>) -> Result<NicPlan, Wrong> {
    let kind = match (nic.tap, nic.packet, nic.pci, nic.interface) {
        (Some(name), None, None, None) => Kind::Tap(name),
        (None, Some(name), None, None) => Kind::Packet(name),
        (None, None, Some(address), None) => card(&address, nic.driver.clone())?,
        (None, None, None, Some(name)) => Kind::Interface(name),
        _ => {
            return at(
                span,
                "a NIC has one of tap = \"…\", packet = \"…\" and pci = \"…\"; or interface = \"…\", in an image",
            );
        }
    };
    if nic.driver.is_some() && !matches!(kind, Kind::Pci(_)) {
        return at(span, "driver: of a card that pci = \"…\" names only");
    }
    if !(1..=16).contains(&nic.queues) || nic.queues > 1 && !matches!(kind, Kind::Tap(_)) {
        return at(span, "queues: 1 to 16 for a TAP interface, 1 for others");
    }
    if !(1280..=65_000).contains(&nic.mtu) {
        return at(span, "mtu: 1280 to 65000");
    }
    Ok(NicPlan {
        name: nic.name,
        kind,
        queues: nic.queues,
        mtu: nic.mtu,
    })
}

/// A card by domain, bus, device and function, as Linux writes them.
fn card(address: &Spanned<String>, driver: Option<String>) -> Result<Kind, Wrong> {
    let text = address.get_ref();
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let form: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let digits = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let separators: String = text.chars().filter(|c| !c.is_ascii_hexdigit()).collect();
    if form != [4, 2, 2, 1] || separators != "::." || !parts.iter().all(digits) {
        let what = "pci: the address of a device, as in \"0000:00:03.0\": lspci -D lists them";
        return at(&address.span(), what);
    }
    Ok(Kind::Pci(CardPlan {
        address: text.to_ascii_lowercase(),
        driver,
    }))
}

fn host(host: Host, span: &Span<usize>, nics: &[NicPlan]) -> Result<HostPlan, Wrong> {
    if host.name.is_empty() || host.name.len() > 32 || host.name.chars().any(char::is_control) {
        return at(span, "name: 1 to 32 bytes without control characters");
    }
    let nic = match &host.nic {
        None if nics.len() == 1 => Some(0),
        None => return at(span, "there are several NICs; say which by nic = \"…\""),
        Some(name) => nics.iter().position(|nic| nic.name == *name),
    };
    let Some(nic) = nic else {
        return at(
            span,
            format!("there is no NIC \"{}\"", host.nic.unwrap_or_default()),
        );
    };
    let mac = match &host.mac {
        None => random_mac(span)?,
        Some(text) => match text.get_ref().parse::<Mac>() {
            Ok(mac) if mac.is_group() || mac == Mac::default() => {
                return at(
                    &text.span(),
                    "mac: not the address of a group, and not zero",
                );
            }
            Ok(mac) => mac.0,
            Err(what) => return at(&text.span(), what),
        },
    };
    if host.addresses.is_empty() || host.addresses.len() > MOST_ADDRESSES {
        return at(span, format!("addresses: 1 to {MOST_ADDRESSES}"));
    }
    let mut addresses = Vec::new();
    for text in &host.addresses {
        match address(text.get_ref()) {
            Some(address) => addresses.push(address),
            None => {
                return at(
                    &text.span(),
                    "an address of a host is written with its prefix: \"10.0.0.2/24\"",
                );
            }
        }
    }
    let [first, last] = host.ephemeral;
    if first == 0
        || last < first
        || host.lease == 0
        || usize::from(host.lease) > (first..=last).len()
    {
        return at(
            span,
            "ephemeral: the first and the last port, and at least one lease of them",
        );
    }
    if Shape::new(host.queues, host.ring).is_none() {
        return at(
            span,
            "ring: a power of two from 262144 to 67108864 bytes; queues: 1 to 16",
        );
    }
    if host.huge_pages && host.users.is_none() {
        return at(
            span,
            "huge-pages: who has some can end the server by giving them back; `users` says who is trusted so far",
        );
    }
    let mut rights = Vec::new();
    for ports in host.ports {
        let span = ports.span();
        rights.extend(right(ports.into_inner(), &span)?);
    }
    let users = |users: Vec<Spanned<User>>| users.iter().map(user).collect::<Result<_, _>>();
    Ok(HostPlan {
        name: host.name,
        nic,
        mac,
        addresses,
        gateway: host.gateway,
        gateway6: host.gateway6,
        users: host.users.map(users).transpose()?,
        applications: host.applications,
        ephemeral: (first, last),
        lease: host.lease,
        ring: host.ring,
        huge_pages: host.huge_pages,
        queues: host.queues,
        frames_per_second: host.frames_per_second,
        bytes_per_second: host.bytes_per_second,
        rights,
    })
}

fn right(ports: Ports, span: &Span<usize>) -> Result<Vec<RightPlan>, Wrong> {
    let users: Vec<u32> = ports.users.iter().map(user).collect::<Result<_, _>>()?;
    let range = |range: Range| match range {
        Range::One(port) => (port, port),
        Range::Several([first, last]) => (first, last),
    };
    let both = [(true, ports.tcp), (false, ports.udp)];
    let rights: Vec<RightPlan> = both
        .into_iter()
        .filter_map(|(tcp, ports)| {
            let ports = range(ports?);
            Some(RightPlan {
                tcp,
                ports,
                users: users.clone(),
            })
        })
        .collect();
    if rights.is_empty() || rights.iter().any(|right| right.ports.0 > right.ports.1) {
        return at(
            span,
            "ports: tcp = 80 or udp = [5000, 5010], or both, and users",
        );
    }
    Ok(rights)
}

/// Two hosts cannot be told apart.
fn clashes(host: &HostPlan, others: &[HostPlan], span: &Span<usize>) -> Result<(), Wrong> {
    if others.iter().any(|other| other.name == host.name) {
        return at(span, format!("a second host is called \"{}\"", host.name));
    }
    let here = || others.iter().filter(|other| other.nic == host.nic);
    if let Some(other) = here().find(|other| other.mac == host.mac) {
        return at(span, format!("host \"{}\" has the same mac", other.name));
    }
    let mut taken = HashSet::new();
    taken.extend(here().flat_map(|other| other.addresses.iter().map(|(address, _)| *address)));
    for (address, _) in &host.addresses {
        if !taken.insert(*address) {
            return at(span, format!("{address} is there twice"));
        }
    }
    Ok(())
}

fn address(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    let usable = !address.is_unspecified() && !address.is_multicast() && !address.is_loopback();
    (prefix <= most && usable).then_some((address, prefix))
}

fn user(user: &Spanned<User>) -> Result<u32, Wrong> {
    match user.get_ref() {
        User::Number(number) => Ok(*number),
        User::Name(name) => match nix::unistd::User::from_name(name) {
            Ok(Some(user)) => Ok(user.uid.as_raw()),
            _ => at(&user.span(), format!("there is no user \"{name}\" here")),
        },
    }
}

fn account(name: &Spanned<String>) -> Result<(u32, u32), Wrong> {
    match nix::unistd::User::from_name(name.get_ref()) {
        Ok(Some(user)) => Ok((user.uid.as_raw(), user.gid.as_raw())),
        _ => at(
            &name.span(),
            format!("there is no user \"{}\" here", name.get_ref()),
        ),
    }
}

/// An address of nobody's: administered locally, for one machine.
fn random_mac(span: &Span<usize>) -> Result<[u8; 6], Wrong> {
    let mut mac = [0; 6];
    let filled = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut mac));
    filled.map_err(|error| {
        (
            span.start,
            format!("no mac is given, and /dev/urandom: {error}"),
        )
    })?;
    mac[0] = mac[0] & 0xfc | 2;
    Ok(mac)
}
