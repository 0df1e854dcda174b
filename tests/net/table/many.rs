//! Many sockets at once, and many one after the other.

use super::*;
use std::thread;

pub const CASES: &[Case] = &[
    case(
        "thousand_connections_open",
        thousand_open,
        "open=1000, answered=1000",
    ),
    case(
        "thousand_connects_and_closes",
        thousand_cycles,
        "served=1000",
    ),
    case("hundred_threads", hundred_threads, "answers=100"),
    case("hundred_udp_sockets", hundred_udp, "answers=100"),
    case("hundred_listeners", hundred_listeners, "answers=100"),
    case(
        "clones_do_not_leak",
        clones_do_not_leak,
        "clones=2000, works=true",
    ),
    case("binds_do_not_leak", binds_do_not_leak, "binds=2000"),
    case("refusals_do_not_leak", refusals_do_not_leak, "refused=80"),
    case("refusals_in_a_row", refusals_in_a_row, "all refused=true"),
];

fn thousand_open(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = listener.local_addr()?;
    let mut connections = Vec::new();
    for _ in 0..1000 {
        let client = TcpStream::connect(address)?;
        connections.push((client, listener.accept()?.0));
    }
    seen.value("open", connections.len());
    let mut answered = 0;
    for (number, (client, server)) in (0u32..).zip(&mut connections) {
        client.write_all(&number.to_be_bytes())?;
        let mut bytes = [0; 4];
        server.read_exact(&mut bytes)?;
        server.write_all(&(u32::from_be_bytes(bytes) + 1).to_be_bytes())?;
    }
    for (number, (client, _)) in (1u32..).zip(&mut connections) {
        let mut bytes = [0; 4];
        client.read_exact(&mut bytes)?;
        answered += usize::from(u32::from_be_bytes(bytes) == number);
    }
    seen.value("answered", answered);
    Ok(())
}

fn thousand_cycles(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || -> io::Result<usize> {
        let mut served = 0;
        for stream in listener.incoming().take(1000) {
            let mut stream = stream?;
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            stream.write_all(&byte)?;
            served += 1;
        }
        Ok(served)
    });
    for number in 0..1000u32 {
        let mut client = TcpStream::connect(address)?;
        client.write_all(&[number as u8])?;
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        assert_eq!(byte, [number as u8], "an answer of another connection");
    }
    seen.value("served", server.join().expect("the server does not panic")?);
    Ok(())
}

fn hundred_threads(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || -> io::Result<()> {
        for stream in listener.incoming().take(100) {
            let mut stream = stream?;
            thread::spawn(move || -> io::Result<()> {
                let mut text = String::new();
                stream.read_to_string(&mut text)?;
                stream.write_all(text.to_uppercase().as_bytes())
            });
        }
        Ok(())
    });
    let client = move |number: usize| -> io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        let text = format!("client {number}");
        stream.write_all(text.as_bytes())?;
        stream.shutdown(api::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer == text.to_uppercase())
    };
    let clients: Vec<_> = (0..100)
        .map(|number| thread::spawn(move || client(number)))
        .collect();
    let mut answers = 0;
    for client in clients {
        answers += usize::from(client.join().expect("a client does not panic")?);
    }
    server.join().expect("the server does not panic")?;
    seen.value("answers", answers);
    Ok(())
}

fn hundred_udp(seen: &mut Seen) -> io::Result<()> {
    let server = UdpSocket::bind(LOCAL)?;
    server.set_read_timeout(Some(Duration::from_secs(5)))?;
    let clients = (0..100)
        .map(|_| UdpSocket::bind(LOCAL))
        .collect::<io::Result<Vec<_>>>()?;
    let mut answers = 0;
    for (number, client) in (0u8..).zip(&clients) {
        client.set_read_timeout(Some(Duration::from_secs(5)))?;
        client.send_to(&[number], server.local_addr()?)?;
        let mut byte = [0];
        let (_, from) = server.recv_from(&mut byte)?;
        server.send_to(&byte, from)?;
        client.recv_from(&mut byte)?;
        answers += usize::from(byte == [number] && from == client.local_addr()?);
    }
    seen.value("answers", answers);
    Ok(())
}

fn hundred_listeners(seen: &mut Seen) -> io::Result<()> {
    let listeners = (0..100)
        .map(|_| TcpListener::bind(LOCAL))
        .collect::<io::Result<Vec<_>>>()?;
    let mut answers = 0;
    for listener in listeners.iter().rev() {
        let client = TcpStream::connect(listener.local_addr()?)?;
        answers += usize::from(listener.accept()?.1 == client.local_addr()?);
    }
    seen.value("answers", answers);
    Ok(())
}

fn clones_do_not_leak(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    let clones = (0..2000).map(|_| client.try_clone().map(drop));
    seen.value("clones", clones.collect::<io::Result<Vec<_>>>()?.len());
    client.write_all(b"x")?;
    seen.value("works", read_text(server)? == "x");
    Ok(())
}

fn binds_do_not_leak(seen: &mut Seen) -> io::Result<()> {
    let binds = (0..2000).map(|_| UdpSocket::bind(LOCAL).map(drop));
    seen.value("binds", binds.collect::<io::Result<Vec<_>>>()?.len());
    Ok(())
}

fn refusals_do_not_leak(seen: &mut Seen) -> io::Result<()> {
    let address = closed_address()?;
    // NetBSD answers at most 100 refused connections a second (net.inet.tcp.rstppslimit);
    // the rest would wait for the retransmission of their SYN.
    let refused = (0..80).filter(|_| {
        TcpStream::connect(address)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    });
    seen.value("refused", refused.count());
    Ok(())
}

fn refusals_in_a_row(seen: &mut Seen) -> io::Result<()> {
    let address = closed_address()?;
    let mut other = None;
    for _ in 0..500 {
        match TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            result => {
                other = Some(result.map(drop));
                break;
            }
        }
    }
    // A kernel that counts refusals by the second starts again for the next case.
    thread::sleep(Duration::from_millis(1100));
    match other {
        None => seen.value("all refused", true),
        Some(result) => seen.result("not refused", result),
    }
    Ok(())
}
