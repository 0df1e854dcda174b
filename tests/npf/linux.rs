//! Packets between the kernel and Linux.

use super::common::Outcome;
use super::setting::*;
use rump::npf::{Group, Host, Protocol, Rule, Ruleset, Table};
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

pub fn linux_is_blocked() -> Outcome {
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

pub fn linux_is_answered() -> Outcome {
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

pub fn state_lets_replies_in() -> Outcome {
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

pub fn tables_have_effect_at_once() -> Outcome {
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

pub fn ipv6() -> Outcome {
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

pub fn rulesets_change_under_traffic() -> Outcome {
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
