//! The packet filter: what a ruleset says is what becomes of packets, from the kernel to
//! itself, and between the kernel and Linux over TAP.

mod common;

#[cfg(not(feature = "npf"))]
fn main() {
    let reason = "without the feature npf";
    let trial = common::trial_if(false, "npf", reason, "npf", || Ok(()));
    common::run(vec![trial]);
}

#[cfg(feature = "npf")]
fn main() {
    common::run_with_interfaces_of(
        [
            ("is_there_or_says_so", tests::is_there_or_says_so),
            ("netbsd::opens_and_switches", tests::opens_and_switches),
            ("netbsd::blocks_ports", tests::blocks_ports),
            (
                "netbsd::what_cannot_be_leaves_the_ruleset",
                tests::what_cannot_be_leaves_the_ruleset,
            ),
            ("netbsd::tables", tests::tables),
            ("root::linux_is_blocked", tests::linux_is_blocked),
            ("root::linux_is_answered", tests::linux_is_answered),
            ("root::state_lets_replies_in", tests::state_lets_replies_in),
            (
                "root::tables_have_effect_at_once",
                tests::tables_have_effect_at_once,
            ),
            ("root::ipv6", tests::ipv6),
            (
                "root::rulesets_change_under_traffic",
                tests::rulesets_change_under_traffic,
            ),
            ("netbsd::leaves_no_memory", tests::leaves_no_memory),
        ],
        |name| {
            name.contains("::")
                .then_some("rump-lite has no packet filter")
        },
    );
}

#[cfg(feature = "npf")]
mod tests {
    use super::common::{self, Outcome, netns};
    use rump::Errno;
    use rump::iface::{Interface, IpNet, Link, Tap};
    use rump::npf::{Error, Group, Host, Npf, Protocol, Rule, Ruleset, Table};
    use std::io::{self, ErrorKind, Read, Write};
    use std::net::{IpAddr, SocketAddr};
    use std::ops::RangeInclusive;
    use std::sync::{Mutex, MutexGuard, OnceLock};
    use std::time::{Duration, Instant};

    const HERE: &str = "10.1.3.1";
    const THERE: &str = "10.1.3.2";
    const HERE6: &str = "fd00:13::1";
    const THERE6: &str = "fd00:13::2";

    /// After this long nobody answers.
    const SILENCE: Duration = Duration::from_millis(400);
    /// Before this long somebody has answered.
    const AT_ONCE: Duration = Duration::from_millis(300);

    pub(super) fn is_there_or_says_so() -> Outcome {
        let opened = common::boot().npf();
        if rump_sys::kernel::KIND == rump_sys::kernel::Kind::Netbsd {
            opened?;
            return Ok(());
        }
        let error = opened.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains("npf"), "{error}");
        let error = io::Error::from(error);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        Ok(())
    }

    /// There is one packet filter: a test has it alone, and leaves it off and empty.
    struct Alone {
        npf: Npf,
        _turn: MutexGuard<'static, ()>,
    }

    impl Alone {
        fn new() -> Self {
            static TURN: Mutex<()> = Mutex::new(());
            let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let npf = common::boot()
                .npf()
                .unwrap_or_else(|error| panic!("{error}"));
            Self { npf, _turn: turn }
        }

        fn with(rules: &Ruleset) -> Self {
            let alone = Self::new();
            alone
                .load(rules)
                .and_then(|()| alone.enable())
                .unwrap_or_else(|error| panic!("{error}"));
            alone
        }
    }

    impl std::ops::Deref for Alone {
        type Target = Npf;

        fn deref(&self) -> &Npf {
            &self.npf
        }
    }

    impl Drop for Alone {
        fn drop(&mut self) {
            let ended = self.npf.disable().and_then(|()| self.npf.flush());
            if !std::thread::panicking() {
                ended.unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    /// The interface that tests with Linux share: Linux has `HERE`, the kernel `THERE`.
    fn link() -> &'static Link {
        static LINK: OnceLock<Link> = OnceLock::new();
        LINK.get_or_init(|| make().unwrap_or_else(|error| panic!("{error}")))
    }

    fn make() -> Result<Link, Box<dyn std::error::Error>> {
        let kernel = common::boot();
        let tap = Tap::open("rumptap%d")?;
        let name = tap.name().to_string();
        let link = kernel.attach(tap)?;
        netns::ip(&format!("address add {HERE}/24 dev {name}"))?;
        netns::ip(&format!("address add {HERE6}/64 dev {name} nodad"))?;
        netns::ip(&format!("link set {name} up"))?;
        link.add_address(IpNet::new(THERE.parse()?, 24)?)?;
        link.add_address(IpNet::new(THERE6.parse()?, 64)?)?;
        // Their link-layer addresses are known before anything is blocked.
        let listener = rump::net::TcpListener::bind(at(THERE6, 0))?;
        std::net::TcpStream::connect(listener.local_addr()?)?;
        Ok(link)
    }

    fn at(address: &str, port: u16) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), port)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    /// Listens in the kernel; whoever connects is accepted by the kernel itself.
    fn listen(address: &str) -> io::Result<(rump::net::TcpListener, SocketAddr)> {
        common::boot();
        let listener = rump::net::TcpListener::bind(at(address, 0))?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    /// What becomes of a connection from Linux, and when.
    fn from_linux(to: SocketAddr) -> (Result<(), ErrorKind>, Duration) {
        let start = Instant::now();
        let result = std::net::TcpStream::connect_timeout(&to, SILENCE);
        (
            result.map(drop).map_err(|error| error.kind()),
            start.elapsed(),
        )
    }

    /// The same of the kernel to itself.
    fn from_itself(to: SocketAddr) -> Result<(), ErrorKind> {
        let result = rump::net::TcpStream::connect_timeout(&to, SILENCE);
        result.map(drop).map_err(|error| error.kind())
    }

    pub(super) fn opens_and_switches() -> Outcome {
        let npf = Alone::new();
        assert!([17, 20].contains(&npf.version()), "{:?}", *npf);
        assert!(!npf.is_enabled()?);
        for on in [true, true, false, false, true] {
            if on {
                npf.enable()?
            } else {
                npf.disable()?
            }
            assert_eq!(npf.is_enabled()?, on);
        }
        // Without rules, everything passes.
        let (_listener, address) = listen("127.0.0.1")?;
        let before = npf.statistics()?.passed_by_default;
        assert_eq!(from_itself(address), Ok(()));
        assert!(npf.statistics()?.passed_by_default > before);
        // One without rules lets nothing pass.
        npf.load(&Ruleset::new())?;
        assert_eq!(from_itself(address), Err(ErrorKind::NetworkUnreachable));
        assert!(npf.statistics()?.blocked_by_default > 0);
        npf.flush()?;
        assert_eq!(from_itself(address), Ok(()));
        npf.load(&Ruleset::new())?;
        npf.disable()?;
        assert_eq!(from_itself(address), Ok(()));
        Ok(())
    }

    pub(super) fn blocks_ports() -> Outcome {
        let (_open, open) = listen("127.0.0.1")?;
        let (_silent, silent) = listen("127.0.0.1")?;
        let (_refused, refused) = listen("127.0.0.1")?;
        let block = || Rule::block().inbound().protocol(Protocol::Tcp);
        let lo0 = Interface::named("lo0")?;
        let npf = Alone::with(
            &Ruleset::new().group(
                Group::on(&lo0)
                    .rule(Rule::pass())
                    .rule(block().to_port(silent.port()))
                    .rule(block().to_port(refused.port()).return_rst()),
            ),
        );
        assert_eq!(from_itself(open), Ok(()));
        let before = npf.statistics()?.blocked_by_rule;
        assert_eq!(from_itself(silent), Err(ErrorKind::TimedOut));
        assert!(npf.statistics()?.blocked_by_rule > before);
        assert_eq!(from_itself(refused), Err(ErrorKind::ConnectionRefused));
        // The last rule counts, unless one before it is final.
        let last = |rule: Rule| Ruleset::new().default_rule(rule).default_rule(Rule::pass());
        npf.load(&last(block().to_port(silent.port())))?;
        assert_eq!(from_itself(silent), Ok(()));
        npf.load(&last(block().to_port(silent.port()).finally()))?;
        assert_eq!(from_itself(silent), Err(ErrorKind::TimedOut));
        assert_eq!(from_itself(refused), Ok(()));
        // The first group with a rule that matches counts.
        let rules = Ruleset::new()
            .group(Group::on(&lo0).rule(block().to_port(silent.port()).to_port(refused.port())))
            .default_rule(Rule::pass());
        npf.load(&rules)?;
        assert_eq!(from_itself(open), Ok(()));
        assert_eq!(from_itself(refused), Err(ErrorKind::TimedOut));
        Ok(())
    }

    pub(super) fn what_cannot_be_leaves_the_ruleset() -> Outcome {
        let (_open, open) = listen("127.0.0.1")?;
        let (_closed, closed) = listen("127.0.0.1")?;
        let npf = Alone::with(
            &Ruleset::new()
                .default_rule(
                    Rule::block()
                        .inbound()
                        .to_port(closed.port())
                        .return_rst()
                        .finally(),
                )
                .default_rule(Rule::pass()),
        );
        let in_force = || {
            assert_eq!(from_itself(open), Ok(()));
            assert_eq!(from_itself(closed), Err(ErrorKind::ConnectionRefused));
        };
        in_force();
        let rule = |rule: Rule| {
            Ruleset::new()
                .default_rule(rule)
                .default_rule(Rule::block())
        };
        let twice = Table::tree("t")
            .with(net("10.0.0.0/8"))
            .with(net("10.0.0.0/8"));
        let many = |rule: Rule, n: u32| {
            (0..n).fold(rule, |rule, i| rule.from(std::net::Ipv4Addr::from(i)))
        };
        for (rules, words) in [
            (
                rule(Rule::pass().protocol(Protocol::Icmp).to_port(1)),
                "\"pass proto icmp to any port 1\" cannot be: only tcp and udp have ports",
            ),
            (
                rule(Rule::pass().to_port(RangeInclusive::new(9, 1))),
                "no ports 9-1",
            ),
            (rule(Rule::block().stateful()), "no state"),
            (rule(Rule::pass().returning()), "not answered"),
            (rule(Rule::pass().icmp_type(8)), "icmp"),
            (
                rule(Rule::block().from(Host::table("nobody"))),
                "no table <nobody>",
            ),
            (rule(many(Rule::pass(), 200)), "too long"),
            (
                Ruleset::new().table(Table::hash("t").with(net("10.0.0.0/8"))),
                "not an address",
            ),
            (
                Ruleset::new()
                    .table(Table::hash("t"))
                    .table(Table::tree("t")),
                "two of that name",
            ),
            (Ruleset::new().table(Table::hash("x".repeat(32))), "1 to 31"),
        ] {
            let error = npf.load(&rules).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.errno(), None);
            in_force();
        }
        // What only the kernel finds.
        let error = npf.load(&Ruleset::new().table(twice)).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert_eq!(error.errno(), Some(Errno::EEXIST), "{error}");
        assert!(error.to_string().contains("stays in force"), "{error}");
        in_force();
        Ok(())
    }

    pub(super) fn tables() -> Outcome {
        let rules = Ruleset::new()
            .table(
                Table::hash("hosts")
                    .with(address("10.0.0.1"))
                    .with(address("fd00::1")),
            )
            .table(Table::tree("nets").with(net("10.2.0.0/16")))
            .default_rule(Rule::pass());
        let npf = Alone::with(&rules);
        let (hosts, nets) = (npf.table("hosts"), npf.table("nets"));
        let mut found = hosts.addresses()?;
        found.sort();
        assert_eq!(found, [address("10.0.0.1"), address("fd00::1")]);
        assert!(hosts.contains(address("fd00::1"))?);
        assert!(!hosts.contains(address("10.0.0.2"))?);
        hosts.add(address("10.0.0.2"))?;
        assert!(hosts.contains(address("10.0.0.2"))?);
        let errno = |result: Result<(), Error>| result.unwrap_err().errno();
        assert_eq!(errno(hosts.add(address("10.0.0.2"))), Some(Errno::EEXIST));
        assert_eq!(errno(hosts.add(net("10.0.0.0/8"))), Some(Errno::EINVAL));
        assert_eq!(
            errno(hosts.remove(address("10.0.0.9"))),
            Some(Errno::ENOENT)
        );
        hosts.remove(address("10.0.0.2"))?;
        assert!(!hosts.contains(address("10.0.0.2"))?);

        assert!(nets.contains(address("10.2.3.4"))?);
        assert!(!nets.contains(address("10.3.0.1"))?);
        nets.add(net("fd00:1::/32"))?;
        assert!(nets.contains(address("fd00:1::77"))?);
        // Not the prefix that it is in.
        assert_eq!(errno(nets.remove(address("10.2.3.4"))), Some(Errno::ENOENT));
        assert!(nets.contains(address("10.2.3.4"))?);
        nets.remove(net("10.2.0.0/16"))?;
        assert!(!nets.contains(address("10.2.3.4"))?);

        // More than there is room for at first.
        for i in 0..500_u32 {
            hosts.add(IpAddr::from((0x0a05_0000 + i).to_be_bytes()))?;
        }
        assert_eq!(hosts.addresses()?.len(), 502);
        // A table that says nothing keeps what is in the one before.
        let again = Ruleset::new()
            .table(Table::hash("hosts"))
            .default_rule(Rule::pass());
        npf.load(&again)?;
        assert_eq!(hosts.addresses()?.len(), 502);
        hosts.clear()?;
        assert!(hosts.addresses()?.is_empty());
        let error = nets.add(address("10.0.0.1")).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EINVAL));
        assert!(error.to_string().contains("<nets>"), "{error}");
        Ok(())
    }

    pub(super) fn linux_is_blocked() -> Outcome {
        let link = link();
        let (_open, open) = listen(THERE)?;
        let (_closed, closed) = listen(THERE)?;
        let npf = Alone::with(
            &Ruleset::new()
                .group(
                    Group::on(link).rule(Rule::pass()).rule(
                        Rule::block()
                            .inbound()
                            .protocol(Protocol::Tcp)
                            .to_port(closed.port()),
                    ),
                )
                .default_rule(Rule::pass()),
        );
        assert_eq!(from_linux(open).0, Ok(()));
        assert_eq!(from_linux(closed).0, Err(ErrorKind::TimedOut));
        // By where it comes from.
        let from = |net: &str, to: &str| {
            let rule = Rule::block()
                .inbound()
                .from(self::net(net))
                .to(self::net(to));
            Ruleset::new()
                .default_rule(rule.finally())
                .default_rule(Rule::pass())
        };
        npf.load(&from("10.1.3.0/28", "10.1.3.2/32"))?;
        assert_eq!(from_linux(open).0, Err(ErrorKind::TimedOut));
        npf.load(&from("10.1.3.2/31", "0.0.0.0/0"))?;
        assert_eq!(from_linux(open).0, Ok(()));
        npf.load(&from("0.0.0.0/0", "10.1.3.3/32"))?;
        assert_eq!(from_linux(open).0, Ok(()));
        Ok(())
    }

    pub(super) fn linux_is_answered() -> Outcome {
        let link = link();
        let (_closed, closed) = listen(THERE)?;
        let udp = rump::net::UdpSocket::bind(at(THERE, 0))?;
        let _npf = Alone::with(
            &Ruleset::new().group(
                Group::on(link)
                    .rule(Rule::pass())
                    .rule(Rule::block().inbound().to_port(closed.port()).returning())
                    .rule(
                        Rule::block()
                            .inbound()
                            .to_port(udp.local_addr()?.port())
                            .returning(),
                    ),
            ),
        );
        let (result, took) = from_linux(closed);
        assert_eq!(result, Err(ErrorKind::ConnectionRefused));
        assert!(took < AT_ONCE, "{took:?}");
        let client = std::net::UdpSocket::bind(at(HERE, 0))?;
        client.set_read_timeout(Some(Duration::from_secs(2)))?;
        client.connect(udp.local_addr()?)?;
        let start = Instant::now();
        client.send(b"hello")?;
        let error = client.recv(&mut [0; 8]).unwrap_err();
        // RFC 1122, 3.2.2.1: what is prohibited is unreachable.
        assert_eq!(error.kind(), ErrorKind::HostUnreachable, "{error}");
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        Ok(())
    }

    pub(super) fn state_lets_replies_in() -> Outcome {
        let link = link();
        let (_listener, inside) = listen(THERE)?;
        let outside = std::net::TcpListener::bind(at(HERE, 0))?;
        let echo = std::net::UdpSocket::bind(at(HERE, 0))?;
        let npf = Alone::with(
            &Ruleset::new().group(Group::on(link).rule(Rule::pass().outbound().stateful())),
        );
        let before = npf.statistics()?;
        // The kernel reaches Linux, and has its replies.
        let mut client = rump::net::TcpStream::connect(outside.local_addr()?)?;
        let (mut server, _) = outside.accept()?;
        server.write_all(b"hello")?;
        let mut greeting = [0; 5];
        client.read_exact(&mut greeting)?;
        assert_eq!(&greeting, b"hello");
        let udp = rump::net::UdpSocket::bind(at(THERE, 0))?;
        udp.set_read_timeout(Some(Duration::from_secs(2)))?;
        udp.send_to(b"ping", echo.local_addr()?)?;
        let mut buffer = [0; 8];
        let (length, peer) = echo.recv_from(&mut buffer)?;
        echo.send_to(&buffer[..length], peer)?;
        assert_eq!(udp.recv(&mut buffer)?, 4);
        let after = npf.statistics()?;
        assert_eq!(after.connections - before.connections, 2);
        assert!(after.passed_with_connection > before.passed_with_connection + 3);
        // Linux does not reach the kernel.
        assert_eq!(from_linux(inside).0, Err(ErrorKind::TimedOut));
        let stranger = std::net::UdpSocket::bind(at(HERE, 0))?;
        stranger.send_to(b"psst", udp.local_addr()?)?;
        udp.set_read_timeout(Some(SILENCE))?;
        assert!(udp.recv(&mut buffer).is_err());
        // Connections go on over another ruleset, and end when all is flushed.
        npf.load(&Ruleset::new())?;
        server.write_all(b"again")?;
        client.read_exact(&mut greeting)?;
        assert_eq!(&greeting, b"again");
        npf.flush()?;
        npf.load(&Ruleset::new())?;
        server.write_all(b"never")?;
        client.set_read_timeout(Some(SILENCE))?;
        assert!(client.read_exact(&mut greeting).is_err());
        Ok(())
    }

    pub(super) fn tables_have_effect_at_once() -> Outcome {
        link();
        let (_listener, open) = listen(THERE)?;
        let npf = Alone::with(
            &Ruleset::new()
                .table(Table::tree("banned"))
                .default_rule(
                    Rule::block()
                        .inbound()
                        .from(Host::table("banned"))
                        .finally(),
                )
                .default_rule(Rule::pass()),
        );
        let banned = npf.table("banned");
        for net in [net("10.1.3.1/32"), net("10.1.0.0/16")] {
            assert_eq!(from_linux(open).0, Ok(()));
            banned.add(net)?;
            assert_eq!(from_linux(open).0, Err(ErrorKind::TimedOut));
            banned.remove(net)?;
        }
        // It is about who sends.
        banned.add(address(THERE))?;
        assert_eq!(from_linux(open).0, Ok(()));
        Ok(())
    }

    pub(super) fn ipv6() -> Outcome {
        link();
        let (_open, open) = listen(THERE6)?;
        let (_closed, closed) = listen(THERE6)?;
        let (_other, other) = listen(THERE6)?;
        let block = |port: u16| Rule::block().inbound().to_port(port).finally();
        let npf = Alone::with(
            &Ruleset::new()
                .table(Table::hash("banned"))
                .default_rule(block(closed.port()).from(net("fd00:13::/66")))
                .default_rule(block(other.port()).from(net("fd00:13::2/127")))
                .default_rule(
                    Rule::block()
                        .inbound()
                        .from(Host::table("banned"))
                        .finally(),
                )
                .default_rule(Rule::pass()),
        );
        assert_eq!(from_linux(open).0, Ok(()));
        assert_eq!(from_linux(other).0, Ok(()));
        assert_eq!(from_linux(closed).0, Err(ErrorKind::TimedOut));
        npf.table("banned").add(address(HERE6))?;
        assert_eq!(from_linux(open).0, Err(ErrorKind::TimedOut));
        Ok(())
    }

    /// Each answer comes in pages of its own, and each ruleset is freed with the next.
    pub(super) fn leaves_no_memory() -> Outcome {
        let npf = Alone::new();
        let mut table = Table::tree("nets");
        for i in 0..100_u32 {
            table = table.with(IpNet::new(IpAddr::from((i << 16).to_be_bytes()), 16)?);
        }
        let rules = (0..50).fold(Ruleset::new().table(table), |rules, port| {
            rules.default_rule(Rule::pass().to_port(port))
        });
        let round = || -> Result<(), Error> {
            for _ in 0..40 {
                npf.load(&rules)?;
                npf.is_enabled()?;
            }
            Ok(())
        };
        // The kernel's pools fill up.
        round()?;
        let before = mapped()?;
        round()?;
        round()?;
        let grown = mapped()?.saturating_sub(before);
        // 160 answers are 160 pages at least, and 80 rulesets more than 2 MB.
        assert!(grown < 300, "{grown} KiB more");
        Ok(())
    }

    /// KiB of memory that this process has mapped.
    fn mapped() -> io::Result<u64> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| io::Error::other("no VmSize"))
    }

    pub(super) fn rulesets_change_under_traffic() -> Outcome {
        const LENGTH: usize = 16 << 20;
        let link = link();
        let (listener, inside) = listen(THERE)?;
        let rules = |port: u16| {
            Ruleset::new()
                .table(Table::hash("hosts").with(address(HERE)))
                .group(
                    Group::on(link)
                        .rule(Rule::pass().inbound().from(Host::table("hosts")).stateful())
                        .rule(Rule::block().inbound().to_port(port)),
                )
                .default_rule(Rule::pass())
        };
        let npf = Alone::with(&rules(1));
        let sent: Vec<u8> = (0..LENGTH).map(|i| (i * 7 + i / 251) as u8).collect();
        let client = std::net::TcpStream::connect(inside)?;
        let (stream, _) = listener.accept()?;
        let mut copy = stream.try_clone()?;
        let echo = std::thread::spawn(move || io::copy(&mut &stream, &mut copy));
        let (mut writer, bytes) = (client.try_clone()?, sent.clone());
        let writer = std::thread::spawn(move || {
            writer.write_all(&bytes)?;
            writer.shutdown(std::net::Shutdown::Write)
        });
        let reader = std::thread::spawn(move || {
            let mut got = Vec::with_capacity(LENGTH);
            (&client).read_to_end(&mut got).map(|_| got)
        });
        let mut loads = 0_u16;
        while loads < 20 || !reader.is_finished() {
            loads += 1;
            npf.load(&rules(loads % 100))?;
            npf.table("hosts").contains(address(HERE))?;
        }
        writer.join().unwrap()?;
        assert_eq!(echo.join().unwrap()?, LENGTH as u64);
        assert!(reader.join().unwrap()? == sent, "after {loads} rulesets");
        Ok(())
    }
}
