//! Multicast membership and options on the loopback interface.

use super::*;

pub const CASES: &[Case] = &[
    case(
        "v4_loop",
        v4_loop,
        "default=true, clear=ok, get=false, set=ok, get=true",
    ),
    case("v4_ttl", v4_ttl, "default=1, set=ok, get=32"),
    case("v4_ttl_zero", v4_ttl_zero, "set=ok, get=0"),
    case(
        "v4_ttl_too_large",
        v4_ttl_too_large,
        "set=InvalidInput, still=1",
    ),
    case(
        "v6_loop",
        v6_loop,
        "default=true, clear=ok, get=false, set=ok, get=true",
    ),
    case("v4_join_and_leave", v4_join_and_leave, "join=ok, leave=ok"),
    case("v4_join_twice", v4_join_twice, "first=ok, second=AddrInUse"),
    case(
        "v4_leave_without_join",
        v4_leave_without_join,
        "leave=AddrNotAvailable",
    ),
    case("v4_join_no_group", v4_join_no_group, "join=InvalidInput"),
    case(
        "v4_join_unknown_interface",
        v4_join_unknown_interface,
        "join=Error",
    ),
    case(
        "v4_members_receive",
        v4_members_receive,
        r#"read="to the group""#,
    ),
    case("v6_join_and_leave", v6_join_and_leave, "join=ok, leave=ok"),
    case(
        "v6_leave_without_join",
        v6_leave_without_join,
        "leave=AddrNotAvailable",
    ),
    case("v6_join_no_group", v6_join_no_group, "join=InvalidInput"),
    case(
        "v6_join_unknown_interface",
        v6_join_unknown_interface,
        "join=Error",
    ),
];

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x1234, 0x5678);
/// No interface has it.
const NO_INTERFACE: u32 = 0x7fff;

fn v4_loop(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result("default", socket.multicast_loop_v4());
    seen.result("clear", socket.set_multicast_loop_v4(false));
    seen.result("get", socket.multicast_loop_v4());
    seen.result("set", socket.set_multicast_loop_v4(true));
    seen.result("get", socket.multicast_loop_v4());
    Ok(())
}

fn v4_ttl(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result("default", socket.multicast_ttl_v4());
    seen.result("set", socket.set_multicast_ttl_v4(32));
    seen.result("get", socket.multicast_ttl_v4());
    Ok(())
}

fn v4_ttl_zero(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result("set", socket.set_multicast_ttl_v4(0));
    seen.result("get", socket.multicast_ttl_v4());
    Ok(())
}

fn v4_ttl_too_large(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result("set", socket.set_multicast_ttl_v4(256));
    seen.result("still", socket.multicast_ttl_v4());
    Ok(())
}

fn v6_loop(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL6)?;
    seen.result("default", socket.multicast_loop_v6());
    seen.result("clear", socket.set_multicast_loop_v6(false));
    seen.result("get", socket.multicast_loop_v6());
    seen.result("set", socket.set_multicast_loop_v6(true));
    seen.result("get", socket.multicast_loop_v6());
    Ok(())
}

fn v4_join_and_leave(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result(
        "join",
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST),
    );
    seen.result(
        "leave",
        socket.leave_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST),
    );
    Ok(())
}

fn v4_join_twice(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result(
        "first",
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST),
    );
    seen.result(
        "second",
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST),
    );
    Ok(())
}

fn v4_leave_without_join(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result(
        "leave",
        socket.leave_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST),
    );
    Ok(())
}

fn v4_join_no_group(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result(
        "join",
        socket.join_multicast_v4(&Ipv4Addr::new(10, 0, 0, 1), &Ipv4Addr::LOCALHOST),
    );
    Ok(())
}

fn v4_join_unknown_interface(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result(
        "join",
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::new(192, 0, 2, 1)),
    );
    Ok(())
}

fn v4_members_receive(seen: &mut Seen) -> io::Result<()> {
    let member = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    member.set_read_timeout(Some(Duration::from_millis(500)))?;
    member.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST)?;
    // Bound to 127.0.0.1 so that the loopback interface is the one to send from.
    let sender = UdpSocket::bind(LOCAL)?;
    sender.send_to(b"to the group", (GROUP, member.local_addr()?.port()))?;
    let mut buffer = [0; 32];
    let length = member.recv(&mut buffer)?;
    seen.text("read", &buffer[..length]);
    Ok(())
}

fn v6_join_and_leave(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL6)?;
    // Both kernels number the loopback interface 1.
    seen.result("join", socket.join_multicast_v6(&GROUP6, 1));
    seen.result("leave", socket.leave_multicast_v6(&GROUP6, 1));
    Ok(())
}

fn v6_leave_without_join(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL6)?;
    seen.result("leave", socket.leave_multicast_v6(&GROUP6, 1));
    Ok(())
}

fn v6_join_no_group(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL6)?;
    seen.result("join", socket.join_multicast_v6(&Ipv6Addr::LOCALHOST, 1));
    Ok(())
}

fn v6_join_unknown_interface(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL6)?;
    seen.result("join", socket.join_multicast_v6(&GROUP6, NO_INTERFACE));
    Ok(())
}
