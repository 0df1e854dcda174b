//! `UdpSocket`: datagrams.

use super::*;

pub const CASES: &[Case] = &[
    case(
        "send_to_and_receive",
        send_to_and_receive,
        r#"sent=5, text="hello", from=true"#,
    ),
    case(
        "reply_to_sender",
        reply_to_sender,
        r#"reply="pong", from=true"#,
    ),
    case(
        "boundaries_are_kept",
        boundaries_are_kept,
        r#"1="one", 2="two", 3="three""#,
    ),
    case("order_on_loopback", order_on_loopback, "in order=true"),
    case(
        "truncation",
        truncation,
        r#"read=4, text="long", next="next""#,
    ),
    case(
        "truncation_when_connected",
        truncation_when_connected,
        "read=4, next=4",
    ),
    case(
        "empty_datagram",
        empty_datagram,
        "sent=0, read=0, from=true",
    ),
    case(
        "empty_datagram_when_connected",
        empty_when_connected,
        "sent=0, read=0",
    ),
    case(
        "receive_into_nothing_discards",
        receive_into_nothing,
        r#"read=0, next="second""#,
    ),
    case(
        "peek_leaves_datagram",
        peek_leaves_datagram,
        r#"peek=5, again=5, read="stays""#,
    ),
    case(
        "peek_from_tells_sender",
        peek_from_tells_sender,
        "peek=2, from=true, read=2",
    ),
    case("peek_short", peek_short, r#"peek=2, read="complete""#),
    case(
        "connected_exchange",
        connected_exchange,
        r#"there="ping", back="pong""#,
    ),
    case("connected_recv_from", connected_recv_from, "from=true"),
    case(
        "connected_ignores_others",
        connected_ignores_others,
        r#"read="friend", then=WouldBlock"#,
    ),
    case(
        "connect_again",
        connect_again,
        r#"first="a", second="b", peer=true"#,
    ),
    case("peer_addr", peer_addr, "before=NotConnected, after=true"),
    case(
        "local_addr_after_connect",
        local_addr_after_connect,
        "before=0.0.0.0, after=127.0.0.1",
    ),
    case("send_to_self", send_to_self, r#"read="me", from=true"#),
    case(
        "port_zero_is_assigned",
        port_zero,
        "assigned=true, different=true",
    ),
    case(
        "bound_to_unspecified",
        bound_to_unspecified,
        r#"ip=0.0.0.0, read="any""#,
    ),
    case(
        "clone_shares_the_queue",
        clone_shares_the_queue,
        r#"clone="first", original="second""#,
    ),
    case(
        "clone_outlives_original",
        clone_outlives_original,
        "sent=4, read=4",
    ),
    case(
        "largest_datagram",
        largest_datagram,
        "sent=65507, read=65507, same=true",
    ),
    case(
        "datagram_of_8k",
        datagram_of_8k,
        "sent=8192, read=8192, same=true",
    ),
    case(
        "datagram_of_32k",
        datagram_of_32k,
        "sent=32768, read=32768, same=true",
    ),
    case("many_small_datagrams_queue", many_queue, "received=64"),
    case(
        "closed_socket_forgets_queue",
        closed_forgets,
        "read=WouldBlock",
    ),
    case(
        "receivers_take_one_each",
        receivers_take_one_each,
        "all=true",
    ),
    case("take_error_is_none", take_error_is_none, "error=None"),
];

/// One datagram as text.
fn receive(socket: &UdpSocket) -> io::Result<String> {
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Two sockets that are not connected.
fn free() -> io::Result<(UdpSocket, UdpSocket)> {
    let (one, other) = (UdpSocket::bind(LOCAL)?, UdpSocket::bind(LOCAL)?);
    one.set_read_timeout(Some(Duration::from_secs(5)))?;
    other.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok((one, other))
}

fn send_to_and_receive(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = free()?;
    seen.result("sent", one.send_to(b"hello", other.local_addr()?));
    let mut buffer = [0; 16];
    let (length, from) = other.recv_from(&mut buffer)?;
    seen.text("text", &buffer[..length]);
    seen.value("from", from == one.local_addr()?);
    Ok(())
}

fn reply_to_sender(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = free()?;
    one.send_to(b"ping", other.local_addr()?)?;
    let mut buffer = [0; 16];
    let (_, from) = other.recv_from(&mut buffer)?;
    other.send_to(b"pong", from)?;
    let (length, from) = one.recv_from(&mut buffer)?;
    seen.text("reply", &buffer[..length]);
    seen.value("from", from == other.local_addr()?);
    Ok(())
}

fn boundaries_are_kept(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    for word in ["one", "two", "three"] {
        one.send(word.as_bytes())?;
    }
    for number in ["1", "2", "3"] {
        seen.value(number, receive(&other)?);
    }
    Ok(())
}

fn order_on_loopback(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    let mut in_order = true;
    for round in 0..10u8 {
        for number in 0..10 {
            one.send(&[round, number])?;
        }
        for number in 0..10 {
            let mut buffer = [0; 2];
            other.recv(&mut buffer)?;
            in_order &= buffer == [round, number];
        }
    }
    seen.value("in order", in_order);
    Ok(())
}

fn truncation(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = free()?;
    one.send_to(b"long message", other.local_addr()?)?;
    one.send_to(b"next", other.local_addr()?)?;
    let mut buffer = [0; 4];
    seen.value("read", other.recv_from(&mut buffer)?.0);
    seen.text("text", &buffer);
    seen.value("next", receive(&other)?);
    Ok(())
}

fn truncation_when_connected(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    one.send(&[1; 1000])?;
    one.send(&[2; 4])?;
    seen.result("read", other.recv(&mut [0; 4]));
    seen.result("next", other.recv(&mut [0; 2000]));
    Ok(())
}

fn empty_datagram(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = free()?;
    seen.result("sent", one.send_to(b"", other.local_addr()?));
    let (length, from) = other.recv_from(&mut [0; 4])?;
    seen.value("read", length);
    seen.value("from", from == one.local_addr()?);
    Ok(())
}

fn empty_when_connected(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    seen.result("sent", one.send(b""));
    seen.result("read", other.recv(&mut [0; 4]));
    Ok(())
}

fn receive_into_nothing(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    one.send(b"first")?;
    one.send(b"second")?;
    seen.result("read", other.recv(&mut []));
    seen.value("next", receive(&other)?);
    Ok(())
}

fn peek_leaves_datagram(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    one.send(b"stays")?;
    seen.result("peek", other.peek(&mut [0; 16]));
    seen.result("again", other.peek(&mut [0; 16]));
    seen.value("read", receive(&other)?);
    Ok(())
}

fn peek_from_tells_sender(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = free()?;
    one.send_to(b"hi", other.local_addr()?)?;
    let (length, from) = other.peek_from(&mut [0; 16])?;
    seen.value("peek", length);
    seen.value("from", from == one.local_addr()?);
    seen.value("read", other.recv_from(&mut [0; 16])?.0);
    Ok(())
}

fn peek_short(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    one.send(b"complete")?;
    seen.result("peek", other.peek(&mut [0; 2]));
    seen.value("read", receive(&other)?);
    Ok(())
}

fn connected_exchange(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    one.send(b"ping")?;
    seen.value("there", receive(&other)?);
    other.send(b"pong")?;
    seen.value("back", receive(&one)?);
    Ok(())
}

fn connected_recv_from(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    one.send(b"x")?;
    seen.value("from", other.recv_from(&mut [0; 4])?.1 == one.local_addr()?);
    Ok(())
}

fn connected_ignores_others(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    UdpSocket::bind(LOCAL)?.send_to(b"stranger", other.local_addr()?)?;
    one.send(b"friend")?;
    seen.value("read", receive(&other)?);
    other.set_nonblocking(true)?;
    seen.result("then", other.recv(&mut [0; 16]));
    Ok(())
}

fn connect_again(seen: &mut Seen) -> io::Result<()> {
    let sender = UdpSocket::bind(LOCAL)?;
    let (a, b) = free()?;
    sender.connect(a.local_addr()?)?;
    sender.send(b"a")?;
    sender.connect(b.local_addr()?)?;
    sender.send(b"b")?;
    seen.value("first", receive(&a)?);
    seen.value("second", receive(&b)?);
    seen.value("peer", sender.peer_addr()? == b.local_addr()?);
    Ok(())
}

fn peer_addr(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = free()?;
    seen.result("before", one.peer_addr());
    one.connect(other.local_addr()?)?;
    seen.value("after", one.peer_addr()? == other.local_addr()?);
    Ok(())
}

fn local_addr_after_connect(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    seen.value("before", socket.local_addr()?.ip());
    socket.connect(UdpSocket::bind(LOCAL)?.local_addr()?)?;
    seen.value("after", socket.local_addr()?.ip());
    Ok(())
}

fn send_to_self(seen: &mut Seen) -> io::Result<()> {
    let (socket, _) = free()?;
    socket.send_to(b"me", socket.local_addr()?)?;
    let mut buffer = [0; 4];
    let (length, from) = socket.recv_from(&mut buffer)?;
    seen.text("read", &buffer[..length]);
    seen.value("from", from == socket.local_addr()?);
    Ok(())
}

fn port_zero(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = free()?;
    seen.value("assigned", one.local_addr()?.port() != 0);
    seen.value(
        "different",
        one.local_addr()?.port() != other.local_addr()?.port(),
    );
    Ok(())
}

fn bound_to_unspecified(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let address = socket.local_addr()?;
    seen.value("ip", address.ip());
    UdpSocket::bind(LOCAL)?.send_to(b"any", (Ipv4Addr::LOCALHOST, address.port()))?;
    seen.value("read", receive(&socket)?);
    Ok(())
}

fn clone_shares_the_queue(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    let clone = other.try_clone()?;
    one.send(b"first")?;
    one.send(b"second")?;
    seen.value("clone", receive(&clone)?);
    seen.value("original", receive(&other)?);
    Ok(())
}

fn clone_outlives_original(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    let clone = other.try_clone()?;
    drop(other);
    seen.result("sent", one.send(b"data"));
    seen.result("read", clone.recv(&mut [0; 8]));
    Ok(())
}

/// Sends one datagram of that length and compares what arrives.
fn datagram(seen: &mut Seen, length: usize) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    let sent: Vec<u8> = (0..length).map(|number| (number % 253) as u8).collect();
    seen.result("sent", one.send(&sent));
    let mut got = vec![0; length + 1];
    let length = other.recv(&mut got)?;
    seen.value("read", length);
    seen.value("same", got[..length] == sent);
    Ok(())
}

fn largest_datagram(seen: &mut Seen) -> io::Result<()> {
    datagram(seen, 65_507)
}

fn datagram_of_8k(seen: &mut Seen) -> io::Result<()> {
    datagram(seen, 8 * 1024)
}

fn datagram_of_32k(seen: &mut Seen) -> io::Result<()> {
    datagram(seen, 32 * 1024)
}

fn many_queue(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    for number in 0..64 {
        one.send(&[number; 64])?;
    }
    std::thread::sleep(SOON);
    other.set_nonblocking(true)?;
    let received = (0..64u8).take_while(|number| {
        let mut buffer = [0; 128];
        matches!(other.recv(&mut buffer), Ok(64)) && buffer[0] == *number
    });
    seen.value("received", received.count());
    Ok(())
}

fn closed_forgets(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = free()?;
    let address = other.local_addr()?;
    one.send_to(b"for the dead", address)?;
    drop(other);
    let again = UdpSocket::bind(address)?;
    again.set_nonblocking(true)?;
    seen.result("read", again.recv_from(&mut [0; 16]));
    Ok(())
}

fn receivers_take_one_each(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    let readers: Vec<_> = (0..4)
        .map(|_| other.try_clone())
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .map(|socket| std::thread::spawn(move || receive(&socket)))
        .collect();
    std::thread::sleep(SOON);
    let words = ["a", "b", "c", "d"];
    for word in words {
        one.send(word.as_bytes())?;
    }
    let mut got = Vec::new();
    for reader in readers {
        got.push(reader.join().expect("a reader does not panic")?);
    }
    got.sort();
    seen.value("all", got == words);
    Ok(())
}

fn take_error_is_none(seen: &mut Seen) -> io::Result<()> {
    let (one, _other) = udp_pair()?;
    seen.value("error", one.take_error()?.map(|error| error.kind()));
    Ok(())
}
