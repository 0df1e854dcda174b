//! One socket used by several threads.

use super::*;
use api::Shutdown;
use std::sync::Arc;
use std::thread;

pub const CASES: &[Case] = &[
    case(
        "reader_and_writer",
        reader_and_writer,
        "arrived=100000, echoed=100000",
    ),
    case(
        "shared_by_arc",
        shared_by_arc,
        "arrived=40000, balanced=true",
    ),
    case("shutdown_wakes_reader", shutdown_wakes_reader, "read=0"),
    case(
        "shutdown_wakes_writer",
        shutdown_wakes_writer,
        "write=BrokenPipe",
    ),
    case("peer_close_wakes_reader", peer_close_wakes_reader, "read=0"),
    case(
        "peer_reset_wakes_writer",
        peer_reset_wakes_writer,
        "write=ConnectionReset",
    ),
    case(
        "reading_wakes_writer",
        reading_wakes_writer,
        "written=4194304, arrived=4194304",
    ),
    case(
        "drop_of_clone_leaves_accept_waiting",
        drop_leaves_accept_waiting,
        "still waiting=true, accepted=true",
    ),
    case(
        "drop_of_clone_leaves_read_waiting",
        drop_leaves_read_waiting,
        r#"still waiting=true, read="later""#,
    ),
    case("two_acceptors", two_acceptors, "accepted=2, different=true"),
    case("two_readers", two_readers, "bytes=2, each=true"),
    case(
        "connect_wakes_accept",
        connect_wakes_accept,
        "accepted=true",
    ),
    case(
        "streams_move_between_threads",
        streams_move,
        r#"read="moved""#,
    ),
    case(
        "socket_outlives_its_thread",
        outlives_thread,
        r#"read="from the dead""#,
    ),
    case("many_short_threads", many_short_threads, "bytes=500"),
    case(
        "udp_send_wakes_receiver",
        udp_send_wakes_receiver,
        r#"read="wake up""#,
    ),
    case(
        "timeout_set_from_another_thread",
        timeout_from_other_thread,
        "read=WouldBlock",
    ),
];

fn reader_and_writer(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    let echo = thread::spawn(move || io::copy(&mut &server, &mut &server));
    let mut writer = client.try_clone()?;
    let sender = thread::spawn(move || -> io::Result<()> {
        for number in 0..1000u32 {
            writer.write_all(&[number as u8; 100])?;
        }
        writer.shutdown(Shutdown::Write)
    });
    let mut arrived = Vec::new();
    (&client).read_to_end(&mut arrived)?;
    sender.join().expect("the sender does not panic")?;
    seen.value("arrived", arrived.len());
    seen.value("echoed", echo.join().expect("the echo does not panic")?);
    Ok(())
}

fn shared_by_arc(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    let client = Arc::new(client);
    let writers: Vec<_> = (0..4u8)
        .map(|number| {
            let client = Arc::clone(&client);
            thread::spawn(move || (0..100).try_for_each(|_| (&*client).write_all(&[number; 100])))
        })
        .collect();
    for writer in writers {
        writer.join().expect("a writer does not panic")?;
    }
    client.shutdown(Shutdown::Write)?;
    let mut arrived = Vec::new();
    server.read_to_end(&mut arrived)?;
    seen.value("arrived", arrived.len());
    let count = |number: u8| arrived.iter().filter(|byte| **byte == number).count();
    seen.value("balanced", (0..4).all(|number| count(number) == 10_000));
    Ok(())
}

fn shutdown_wakes_reader(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    let mut clone = client.try_clone()?;
    let reader = thread::spawn(move || clone.read(&mut [0; 4]));
    thread::sleep(SOON);
    client.shutdown(Shutdown::Both)?;
    seen.result("read", reader.join().expect("the reader does not panic"));
    Ok(())
}

fn shutdown_wakes_writer(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    let clone = client.try_clone()?;
    let writer = thread::spawn(move || fill(&clone).1);
    thread::sleep(4 * SOON);
    client.shutdown(Shutdown::Both)?;
    seen.result::<()>(
        "write",
        Err(writer.join().expect("the writer does not panic")),
    );
    Ok(())
}

fn peer_close_wakes_reader(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    let reader = thread::spawn(move || client.read(&mut [0; 4]));
    thread::sleep(SOON);
    drop(server);
    seen.result("read", reader.join().expect("the reader does not panic"));
    Ok(())
}

fn peer_reset_wakes_writer(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    let writer = thread::spawn(move || fill(&client).1);
    thread::sleep(4 * SOON);
    reset(server)?;
    seen.result::<()>(
        "write",
        Err(writer.join().expect("the writer does not panic")),
    );
    Ok(())
}

fn reading_wakes_writer(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    let block = vec![3; 4 << 20];
    let writer = thread::spawn(move || client.write_all(&block).map(|()| block.len()));
    thread::sleep(2 * SOON);
    let mut arrived = Vec::new();
    server.read_to_end(&mut arrived)?;
    seen.result("written", writer.join().expect("the writer does not panic"));
    seen.value("arrived", arrived.len());
    Ok(())
}

fn drop_leaves_accept_waiting(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = listener.local_addr()?;
    let clone = listener.try_clone()?;
    let acceptor = thread::spawn(move || clone.accept());
    thread::sleep(SOON);
    drop(listener);
    thread::sleep(SOON);
    seen.value("still waiting", !acceptor.is_finished());
    let client = TcpStream::connect(address)?;
    let (_, from) = acceptor.join().expect("the acceptor does not panic")?;
    seen.value("accepted", from == client.local_addr()?);
    Ok(())
}

fn drop_leaves_read_waiting(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    let clone = client.try_clone()?;
    let reader = thread::spawn(move || read_text(clone));
    thread::sleep(SOON);
    drop(client);
    thread::sleep(SOON);
    seen.value("still waiting", !reader.is_finished());
    server.write_all(b"later")?;
    seen.value("read", reader.join().expect("the reader does not panic")?);
    Ok(())
}

fn two_acceptors(seen: &mut Seen) -> io::Result<()> {
    let listener = Arc::new(TcpListener::bind(LOCAL)?);
    let acceptors: Vec<_> = (0..2)
        .map(|_| {
            let listener = Arc::clone(&listener);
            thread::spawn(move || listener.accept())
        })
        .collect();
    thread::sleep(SOON);
    let _clients = [
        TcpStream::connect(listener.local_addr()?)?,
        TcpStream::connect(listener.local_addr()?)?,
    ];
    let mut peers = Vec::new();
    for acceptor in acceptors {
        peers.push(acceptor.join().expect("an acceptor does not panic")?.1);
    }
    seen.value("accepted", peers.len());
    seen.value("different", peers[0] != peers[1]);
    Ok(())
}

fn two_readers(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    let server = Arc::new(server);
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let server = Arc::clone(&server);
            thread::spawn(move || {
                let mut byte = [0];
                (&*server).read_exact(&mut byte).map(|()| byte[0])
            })
        })
        .collect();
    thread::sleep(SOON);
    client.write_all(b"ab")?;
    let mut bytes = Vec::new();
    for reader in readers {
        bytes.push(reader.join().expect("a reader does not panic")?);
    }
    bytes.sort_unstable();
    seen.value("bytes", bytes.len());
    seen.value("each", bytes == b"ab");
    Ok(())
}

fn connect_wakes_accept(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = listener.local_addr()?;
    let acceptor = thread::spawn(move || listener.accept().map(|(_, from)| from));
    thread::sleep(SOON);
    let client = TcpStream::connect(address)?;
    let from = acceptor.join().expect("the acceptor does not panic")?;
    seen.value("accepted", from == client.local_addr()?);
    Ok(())
}

fn streams_move(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = thread::spawn(pair)
        .join()
        .expect("connecting does not panic")?;
    let writer = thread::spawn(move || (&client).write_all(b"moved").map(|()| client));
    let _client = writer.join().expect("the writer does not panic")?;
    seen.value("read", read_text(server)?);
    Ok(())
}

fn outlives_thread(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = listener.local_addr()?;
    let connector = thread::spawn(move || -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"from the ")?;
        Ok(stream)
    });
    let mut client = connector.join().expect("the connector does not panic")?;
    let (mut server, _) = listener.accept()?;
    client.write_all(b"dead")?;
    let mut text = [0; 13];
    server.read_exact(&mut text)?;
    seen.text("read", &text);
    Ok(())
}

fn many_short_threads(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    let client = Arc::new(client);
    for number in 0..500u32 {
        let client = Arc::clone(&client);
        let writer = thread::spawn(move || (&*client).write_all(&[number as u8]));
        writer.join().expect("a writer does not panic")?;
    }
    drop(client);
    let mut bytes = Vec::new();
    server.read_to_end(&mut bytes)?;
    seen.value("bytes", bytes.len());
    Ok(())
}

fn udp_send_wakes_receiver(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    let receiver = thread::spawn(move || -> io::Result<String> {
        let mut buffer = [0; 16];
        let length = other.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    });
    thread::sleep(SOON);
    one.send(b"wake up")?;
    seen.value(
        "read",
        receiver.join().expect("the receiver does not panic")?,
    );
    Ok(())
}

fn timeout_from_other_thread(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    let mut clone = client.try_clone()?;
    thread::spawn(move || client.set_read_timeout(Some(SOON)))
        .join()
        .expect("setting does not panic")?;
    seen.result("read", clone.read(&mut [0; 4]));
    Ok(())
}
