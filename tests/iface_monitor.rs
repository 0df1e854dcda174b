//! What becomes of interfaces, addresses and routes, as the kernel tells it.

mod common;

use common::Outcome;
use rump::iface::monitor::{Event, Monitor};
use rump::iface::route::{self, Gateway};
use rump::iface::{IpNet, Link, LinkState, Pair};
use rump::net::UdpSocket;
use rump::poll::{Events, PollFd, poll};
use rump::reactor::{Async, block_on};
use rump_sys::kernel::{KIND, Kind};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::thread;
use std::time::Duration;

fn main() {
    let tests: [common::Test; 6] = [
        ("config::interfaces", interfaces),
        ("config::addresses", addresses),
        ("config::routes", routes),
        ("config::waiting", waiting),
        ("config::of_a_task", of_a_task),
        ("config::too_much", too_much),
    ];
    common::run_with_interfaces_of(tests, |_| None);
}

/// Who makes more events than there is room for has them to itself: all monitors are told.
static FLOOD: RwLock<()> = RwLock::new(());

fn no_flood() -> RwLockReadGuard<'static, ()> {
    FLOOD.read().unwrap_or_else(PoisonError::into_inner)
}

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn net(text: &str) -> IpNet {
    text.parse().expect("a net")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Up to the event that is waited for; what else happens meanwhile, by other tests too, is
/// not of interest.
fn until(monitor: &Monitor, what: &str, mut wanted: impl FnMut(&Event) -> bool) -> Result<()> {
    let mut others = Vec::new();
    loop {
        let mut entry = [PollFd::new(monitor, Events::READABLE)];
        if poll(&mut entry, Some(Duration::from_secs(10)))? == 0 {
            return Err(format!("{what} was not told, but {others:#?}").into());
        }
        let event = monitor.receive()?;
        if wanted(&event) {
            return Ok(());
        }
        others.push(event);
    }
}

/// An interface, and the other end of its cable.
fn joined() -> Result<(Link, Link)> {
    let kernel = common::boot();
    let (one, other) = Pair::new();
    Ok((kernel.attach(one)?, kernel.attach(other)?))
}

/// The state of an interface, if the event is one.
fn state(event: &Event, name: &str) -> Option<(bool, LinkState)> {
    match event {
        Event::Interface {
            interface,
            up,
            link,
        } if interface == name => Some((*up, *link)),
        _ => None,
    }
}

fn interfaces() -> Outcome {
    let _others = no_flood();
    common::boot();
    let monitor = Monitor::open()?;
    let (one, other) = joined()?;
    let name = one.name().to_string();
    until(
        &monitor,
        "an arrival",
        |event| matches!(event, Event::Arrived { interface } if *interface == name),
    )?;
    for up in [true, false, true] {
        one.set_up(up)?;
        until(&monitor, "up or down", |event| {
            state(event, &name).is_some_and(|(is_up, _)| is_up == up)
        })?;
    }
    drop(other);
    until(&monitor, "that the cable is out", |event| {
        state(event, &name) == Some((true, LinkState::Down))
    })?;
    drop(one);
    until(
        &monitor,
        "a departure",
        |event| matches!(event, Event::Departed { interface } if *interface == name),
    )?;
    Ok(())
}

fn addresses() -> Outcome {
    let _others = no_flood();
    let (one, _other) = joined()?;
    let monitor = Monitor::open()?;
    let added = |wanted: IpNet| Event::AddressAdded {
        interface: one.name().into(),
        address: wanted,
    };
    let removed = |wanted: IpNet| Event::AddressRemoved {
        interface: one.name().into(),
        address: wanted,
    };
    for address in ["10.40.0.1/24", "2001:db8:40::1/64", "10.40.1.1/32"] {
        let address = net(address);
        one.add_address(address)?;
        until(&monitor, "an address", |event| *event == added(address))?;
        one.remove_address(address.addr())?;
        until(&monitor, "its removal", |event| *event == removed(address))?;
    }
    // One that goes with its interface.
    let last = net("10.40.2.1/24");
    one.add_address(last)?;
    until(&monitor, "an address", |event| *event == added(last))?;
    let removed = removed(last);
    drop(one);
    until(&monitor, "its removal", |event| *event == removed)?;
    Ok(())
}

fn routes() -> Outcome {
    let _others = no_flood();
    let (one, _other) = joined()?;
    one.add_address(net("10.41.0.1/24"))?;
    one.add_address(net("2001:db8:41::1/64"))?;
    let monitor = Monitor::open()?;
    for (destination, router, other) in [
        ("10.141.0.0/16", "10.41.0.2", "10.41.0.3"),
        ("2001:db8:141::/48", "2001:db8:41::2", "2001:db8:41::3"),
        ("0.0.0.0/0", "10.41.0.2", "10.41.0.3"),
    ] {
        let destination = net(destination);
        let (router, other) = (Gateway::Router(ip(router)), Gateway::Router(ip(other)));
        route::add(destination, &router)?;
        until(
            &monitor,
            "a route",
            |event| matches!(event, Event::RouteAdded(route) if route.destination == destination && route.gateway == router && route.is_static),
        )?;
        assert!(route::add(destination, &router).is_err(), "it is there");
        route::replace(destination, &other)?;
        until(&monitor, "its change", |event| {
            assert!(
                !matches!(event, Event::RouteAdded(route) if route.destination == destination),
                "what was refused has not happened"
            );
            matches!(event, Event::RouteChanged(route) if route.destination == destination && route.gateway == other)
        })?;
        route::remove(destination)?;
        until(
            &monitor,
            "its removal",
            |event| matches!(event, Event::RouteRemoved(route) if route.destination == destination),
        )?;
    }
    Ok(())
}

/// A thread waits, or does not.
fn waiting() -> Outcome {
    let _others = no_flood();
    let (one, _other) = joined()?;
    let monitor = Monitor::open()?;
    let address = net("10.42.0.1/24");
    let name = one.name().to_string();
    let waiter = thread::spawn(move || -> std::io::Result<Monitor> {
        loop {
            match monitor.receive()? {
                Event::AddressAdded {
                    interface,
                    address: own,
                } if interface == name && own == address => return Ok(monitor),
                _ => {}
            }
        }
    });
    thread::sleep(Duration::from_millis(50));
    one.add_address(address)?;
    let monitor = waiter.join().map_err(|_| "the waiter panicked")??;
    monitor.set_nonblocking(true)?;
    loop {
        // Other tests may have something told still.
        match monitor.receive() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn of_a_task() -> Outcome {
    let _others = no_flood();
    let (one, _other) = joined()?;
    let monitor = Async::new(Monitor::open()?)?;
    let address = net("10.43.0.1/24");
    let adder = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        one.add_address(address).map(|()| one)
    });
    let name = block_on(async {
        loop {
            match monitor.read_with(Monitor::receive).await? {
                Event::AddressAdded {
                    interface,
                    address: own,
                } if own == address => return std::io::Result::Ok(interface),
                _ => {}
            }
        }
    })?;
    let one = adder.join().map_err(|_| "the other thread panicked")??;
    assert_eq!(name, one.name());
    Ok(())
}

/// Nobody reads: the kernel goes on, and later events are told.
fn too_much() -> Outcome {
    let _alone = FLOOD.write().unwrap_or_else(PoisonError::into_inner);
    let (one, _other) = joined()?;
    let monitor = Monitor::open()?;
    for _ in 0..1500 {
        one.add_address(net("10.44.0.1/24"))?;
        one.remove_address(ip("10.44.0.1"))?;
    }
    monitor.set_nonblocking(true)?;
    let (mut lost, mut told) = (0, 0);
    loop {
        match monitor.receive() {
            Ok(Event::Lost) => lost += 1,
            Ok(_) => told += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    assert!(told >= 100, "{told} were told");
    // NetBSD before 8 does not say that there was more.
    let identity = common::boot().identity()?;
    let major: u32 = identity.release.split('.').next().unwrap_or("").parse()?;
    let silent = KIND == Kind::Netbsd && major < 8;
    assert_eq!(lost > 0, !silent, "{told} told, {lost} losses");
    let address = net("10.44.1.1/24");
    one.add_address(address)?;
    let own = one.name();
    until(
        &monitor,
        "an address",
        |event| matches!(event, Event::AddressAdded { interface, address: told } if interface == own && *told == address),
    )?;
    UdpSocket::bind((address.addr(), 0))?;
    Ok(())
}
