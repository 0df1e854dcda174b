//! Vectored reads and writes.

use super::*;
use std::io::{IoSlice, IoSliceMut};

pub const CASES: &[Case] = &[
    case(
        "write_in_order",
        write_in_order,
        r#"write=9, read="onetwosix""#,
    ),
    case(
        "read_in_order",
        read_in_order,
        r#"read=7, first="abc", second="defg""#,
    ),
    case(
        "read_fills_the_first_first",
        read_fills_first,
        r#"read=2, first="ab", second="____""#,
    ),
    case("empty_slices", empty_slices, r#"write=2, read="ab""#),
    case("no_slices", no_slices, r#"write=0, read=0, then="x""#),
    case(
        "more_slices_than_the_system_takes",
        many_slices,
        "write=true, arrived=true",
    ),
    case(
        "read_into_many_slices",
        read_into_many_slices,
        "read=true, in order=true",
    ),
    case("read_at_end", read_at_end, "read=0"),
    case("would_block", would_block, "read=WouldBlock"),
    case(
        "write_after_shutdown",
        write_after_shutdown,
        "write=BrokenPipe",
    ),
    case("large_slices", large_slices, "arrived=true"),
    case(
        "through_shared_reference",
        through_shared_reference,
        r#"write=2, read=1, text="ab""#,
    ),
];

fn write_in_order(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    let slices = [b"one", b"two", b"six"].map(|slice| IoSlice::new(slice));
    seen.result("write", client.write_vectored(&slices));
    seen.value("read", read_text(server)?);
    Ok(())
}

fn read_in_order(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.write_all(b"abcdefg")?;
    let (mut first, mut second) = ([0; 3], [0; 4]);
    seen.result(
        "read",
        server.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)]),
    );
    seen.text("first", &first);
    seen.text("second", &second);
    Ok(())
}

fn read_fills_first(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.write_all(b"ab")?;
    let (mut first, mut second) = ([b'_'; 2], [b'_'; 4]);
    seen.result(
        "read",
        server.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)]),
    );
    seen.text("first", &first);
    seen.text("second", &second);
    Ok(())
}

fn empty_slices(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    let slices: [&[u8]; 5] = [b"", b"a", b"", b"b", b""];
    seen.result("write", client.write_vectored(&slices.map(IoSlice::new)));
    seen.value("read", read_text(server)?);
    Ok(())
}

fn no_slices(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    seen.result("write", client.write_vectored(&[]));
    client.write_all(b"x")?;
    seen.result("read", server.read_vectored(&mut []));
    seen.value("then", read_text(server)?);
    Ok(())
}

fn many_slices(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    let bytes: Vec<u8> = (0..3000u32).map(|number| (number % 241) as u8).collect();
    let slices: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
    let written = client.write_vectored(&slices)?;
    seen.value("write", 0 < written && written <= slices.len());
    let mut arrived = vec![0; written];
    server.read_exact(&mut arrived)?;
    seen.value("arrived", arrived == bytes[..written]);
    Ok(())
}

fn read_into_many_slices(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    let bytes: Vec<u8> = (0..3000u32).map(|number| (number % 241) as u8).collect();
    client.write_all(&bytes)?;
    std::thread::sleep(SOON);
    let mut arrived = vec![0; bytes.len()];
    let mut slices: Vec<_> = arrived.chunks_mut(1).map(IoSliceMut::new).collect();
    let length = server.read_vectored(&mut slices)?;
    seen.value("read", 0 < length && length <= bytes.len());
    seen.value("in order", arrived[..length] == bytes[..length]);
    Ok(())
}

fn read_at_end(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    drop(client);
    seen.result(
        "read",
        server.read_vectored(&mut [IoSliceMut::new(&mut [0; 4])]),
    );
    Ok(())
}

fn would_block(seen: &mut Seen) -> io::Result<()> {
    let (mut client, _server) = pair()?;
    client.set_nonblocking(true)?;
    seen.result(
        "read",
        client.read_vectored(&mut [IoSliceMut::new(&mut [0; 4])]),
    );
    Ok(())
}

fn write_after_shutdown(seen: &mut Seen) -> io::Result<()> {
    let (mut client, _server) = pair()?;
    client.shutdown(api::Shutdown::Write)?;
    seen.result(
        "write",
        client.write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")]),
    );
    Ok(())
}

fn large_slices(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    let (one, two) = (vec![1; 1 << 20], vec![2; 1 << 20]);
    let writer = std::thread::spawn(move || -> io::Result<usize> {
        let (mut rest, mut written) = ([IoSlice::new(&one), IoSlice::new(&two)], 0);
        let mut rest = &mut rest[..];
        while !rest.is_empty() {
            let length = client.write_vectored(rest)?;
            IoSlice::advance_slices(&mut rest, length);
            written += length;
        }
        Ok(written)
    });
    let mut arrived = Vec::new();
    server.read_to_end(&mut arrived)?;
    let written = writer.join().expect("the writer does not panic")?;
    let half = 1 << 20;
    seen.value(
        "arrived",
        written == arrived.len()
            && arrived.len() == 2 * half
            && arrived[..half].iter().all(|byte| *byte == 1)
            && arrived[half..].iter().all(|byte| *byte == 2),
    );
    Ok(())
}

fn through_shared_reference(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    seen.result(
        "write",
        (&client).write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")]),
    );
    let (mut first, mut second) = ([0; 1], [0; 1]);
    (&server).read_exact(&mut first)?;
    seen.result(
        "read",
        (&server).read_vectored(&mut [IoSliceMut::new(&mut second)]),
    );
    seen.text("text", &[first, second].concat());
    Ok(())
}
