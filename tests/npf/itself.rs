//! Packets from the kernel to itself.

use super::common::{self, Outcome};
use super::setting::*;
use rump::Errno;
use rump::iface::{Interface, IpNet};
use rump::npf::{Error, Group, Host, Protocol, Rule, Ruleset, Table};
use rump_sys::hyper::memory::in_use;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::ops::RangeInclusive;

pub fn is_there_or_says_so() -> Outcome {
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

pub fn opens_and_switches() -> Outcome {
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

pub fn blocks_ports() -> Outcome {
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

pub fn what_cannot_be_leaves_the_ruleset() -> Outcome {
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
    let many =
        |rule: Rule, n: u32| (0..n).fold(rule, |rule, i| rule.from(std::net::Ipv4Addr::from(i)));
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

pub fn tables() -> Outcome {
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

/// Each answer comes in pages of its own, and each ruleset is freed with the next.
pub fn leaves_no_memory() -> Outcome {
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
    let before = in_use();
    round()?;
    round()?;
    let grown = in_use().saturating_sub(before) >> 10;
    // 160 answers are 160 pages at least, and 80 rulesets more than 2 MB.
    assert!(grown < 300, "{grown} KiB more");
    Ok(())
}
