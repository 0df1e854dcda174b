//! The image of `cargo rumprun service dns` in QEMU: dnsmasq, as it is installed, gives an address
//! to a client on its Ethernet, which is this test, and tells it a name.
//!
//! Frames come and go as datagrams of this host's: QEMU's netdev `dgram`.

mod image;

use image::{Outcome, Running, check};
use libtest_mimic::Failed;
use rump_sys::kernel::{KIND, Kind};
use rumprun_build::image::qemu::{Machine, Net};
use rumprun_build::image::root;
use rumprun_build::image::service::Service;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, TYPE, rdata::RData};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

fn main() {
    let program = std::env::var_os("DNSMASQ").unwrap_or("/usr/sbin/dnsmasq".into());
    let (can, need, reason) = if KIND != Kind::Netbsd {
        (
            false,
            "netbsd",
            "services are NetBSD's: it wants NETBSD_SRC",
        )
    } else if !Path::new(&program).is_file() {
        let reason = "dnsmasq is not installed (apt install dnsmasq-base)";
        (false, "programs", reason)
    } else {
        (true, "", "")
    };
    let name = "netbsd::qemu::dnsmasq_gives_an_address_and_tells_a_name";
    image::run_trials(vec![image::trial_if(can, need, reason, name, dns)]);
}

const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 7];
const ALL: [u8; 6] = [0xff; 6];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// Types of DHCP's messages (RFC 2132, 9.6).
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACKNOWLEDGED: u8 = 5;

/// A host and a port.
type End = ([u8; 6], Ipv4Addr, u16);

/// A datagram that has come: from whom, and its bytes.
struct Datagram {
    to: [u8; 6],
    from: End,
    data: Vec<u8>,
}

/// The Ethernet, from the client's side.
struct Cable {
    socket: UdpSocket,
}

impl Cable {
    fn send(&self, from: End, to: End, data: &[u8]) -> std::io::Result<()> {
        let length = 8 + data.len() as u16;
        let mut ip = vec![0x45, 0];
        ip.extend((20 + length).to_be_bytes());
        ip.extend([0, 1, 0, 0, 64, 17, 0, 0]);
        ip.extend(from.1.octets().iter().chain(&to.1.octets()));
        // RFC 1071.
        let sum: u32 = ip
            .chunks(2)
            .map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])))
            .sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let sum = !((folded & 0xffff) + (folded >> 16)) as u16;
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut frame = [to.0, from.0].concat();
        frame.extend([8, 0]);
        frame.extend(ip);
        for half in [from.2, to.2, length, 0] {
            frame.extend(half.to_be_bytes());
        }
        frame.extend(data);
        self.socket.send(&frame).map(drop)
    }

    /// A datagram for this port, if one comes soon.
    fn receive(&self, port: u16) -> Option<Datagram> {
        let end = Instant::now() + Duration::from_secs(2);
        let mut room = [0; 2048];
        while Instant::now() < end {
            let Ok(length) = self.socket.recv(&mut room) else {
                continue;
            };
            let frame = &room[..length];
            let half = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
            if length < 42 || frame[12..15] != [8, 0, 0x45] || frame[23] != 17 || half(36) != port {
                continue;
            }
            let address = <[u8; 4]>::try_from(&frame[26..30]).ok()?;
            let mac = |at: usize| <[u8; 6]>::try_from(&frame[at..at + 6]).ok();
            return Some(Datagram {
                to: mac(0)?,
                from: (mac(6)?, address.into(), half(34)),
                data: frame.get(42..34 + usize::from(half(38)))?.to_vec(),
            });
        }
        None
    }

    /// Sends a message of DHCP's until there is an answer of a type, and returns it. With the flag
    /// it is to come to all (RFC 2131, 4.1), without to the address that is given out.
    fn ask(&self, kind: u8, answer: u8, to_all: bool, options: &[u8]) -> Result<Datagram, Failed> {
        let mut message = vec![1, 1, 6, 0, 1, 2, 3, 4, 0, 0, u8::from(to_all) << 7, 0];
        message.resize(28, 0);
        message.extend(CLIENT);
        message.resize(236, 0);
        message.extend([99, 130, 83, 99, 53, 1, kind]);
        message.extend(options);
        message.push(255);
        message.resize(300, 0);
        let from = (CLIENT, Ipv4Addr::UNSPECIFIED, 68);
        for _ in 0..10 {
            self.send(from, (ALL, Ipv4Addr::BROADCAST, 67), &message)?;
            let is = |one: &Datagram| one.data.get(240..243) == Some(&[53, 1, answer]);
            if let Some(got) = self.receive(68).filter(is) {
                let expected = if to_all { ALL } else { CLIENT };
                check(got.to == expected, &format!("to {:?}", got.to), "")?;
                return Ok(got);
            }
        }
        Err(format!("no answer of type {answer}").into())
    }

    /// Has an address, and whose answers it got.
    fn lease(&self, to_all: bool) -> Result<(Ipv4Addr, End), Failed> {
        let offer = self.ask(DISCOVER, OFFER, to_all, &[])?;
        let address: [u8; 4] = offer.data[16..20].try_into()?;
        let options = [&[50, 4][..], &address, &[54, 4], &SERVER.octets()].concat();
        let got = self.ask(REQUEST, ACKNOWLEDGED, to_all, &options)?;
        check(got.data[16..20] == address, "another address", "")?;
        check(got.from.1 == SERVER, "another server", "")?;
        Ok((address.into(), got.from))
    }

    /// The address that a name has there.
    fn look_up(&self, own: Ipv4Addr, server: End, name: &str) -> Result<Ipv4Addr, Failed> {
        let mut query = Packet::new_query(7);
        query.set_flags(PacketFlag::RECURSION_DESIRED);
        let (kind, class) = (QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN));
        let question = Question::new(Name::new(name)?, kind, class, false);
        query.questions.push(question);
        self.send(
            (CLIENT, own, 5353),
            (server.0, SERVER, 53),
            &query.build_bytes_vec()?,
        )?;
        let got = self.receive(5353).ok_or("no answer to a query")?;
        let answer = Packet::parse(&got.data)?;
        let found = answer
            .answers
            .iter()
            .find_map(|record| match &record.rdata {
                RData::A(address) => Some(Ipv4Addr::from(address.address)),
                _ => None,
            });
        found.ok_or_else(|| format!("no address of {name}: {answer:?}").into())
    }
}

fn dns() -> Outcome {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let own = socket.local_addr()?.port();
    let qemus = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    socket.connect(("127.0.0.1", qemus))?;
    let image = image::service(Service::Dns, &[])?;
    let (program, first) = Service::Dns.program().ok_or("no program")?;
    let folder = image.parent().ok_or("no folder")?;
    let root = Service::Dns.root(folder)?.ok_or("no root")?;
    let archive = folder.join("dns.cpio");
    root::archive(&root, &archive)?;
    let asked = [
        "--interface=vif0",
        "--no-ping",
        "--dhcp-range=10.0.2.100,10.0.2.110,1h",
        "--address=/name.test/10.0.2.77",
    ];
    let arguments: Vec<&str> = first.iter().chain(&asked).copied().collect();
    let mut machine = Machine {
        memory: Service::Dns.memory(),
        root: Some(archive),
        ..image::machine(&arguments)
    };
    machine.net = Net::None;
    machine.line = machine
        .line
        .with("net", format!("{SERVER}/24"))
        .with("exec", program);
    let address =
        |side: &str, port| format!("{side}.type=inet,{side}.host=127.0.0.1,{side}.port={port}");
    let net = format!(
        "dgram,id=ether,{},{}",
        address("local", qemus),
        address("remote", own)
    );
    let card = "virtio-net-pci,disable-legacy=on,netdev=ether";
    machine.more = ["-netdev", &net, "-device", card].map(String::from).into();
    let mut running = Running::start(&machine, &image)?;
    running.wait_for(Service::Dns.ready())?;
    let cable = Cable { socket };
    // One that can hear it without an address, which is set as a neighbour; and one that cannot.
    let (address, server) = cable.lease(false)?;
    check(
        address.octets()[..3] == [10, 0, 2] && (100..=110).contains(&address.octets()[3]),
        &format!("{address} is not of the range"),
        "",
    )?;
    let (again, _) = cable.lease(true)?;
    check(
        again == address,
        &format!("{again}, and {address} before"),
        "",
    )?;
    let found = cable.look_up(address, server, "name.test")?;
    check(
        found == Ipv4Addr::new(10, 0, 2, 77),
        &format!("{found}"),
        "",
    )?;
    running.wait_for("DHCPACK")
}
