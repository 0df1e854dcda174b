//! The network of an image, from the host's side: connections and datagrams through QEMU to
//! a program of the standard library.

mod image;

use image::echo::Echo;
use image::{Outcome, Running, check};
use rumprun_build::image::qemu::{Machine, Net};
use std::io::{Read, Write};

fn main() {
    image::run(&[
        ("qemu::echo::one_cpu", || echo(1)),
        ("qemu::echo::two_cpus", || echo(2)),
        ("qemu::what_was_sent_arrives", what_was_sent_arrives),
        ("qemu::no_card", no_card),
    ]);
}

fn echo(cpus: u32) -> Outcome {
    let echo = Echo::new()?;
    let machine = Machine {
        cpus,
        forwards: echo.forwards(),
        ..Machine::default()
    };
    echo.ask(Running::start(&machine, &image::image("echo")?)?, 8)
}

/// Although the program ends, and with it its kernel and its machine.
fn what_was_sent_arrives() -> Outcome {
    let echo = Echo::new()?;
    let machine = Machine {
        forwards: echo.forwards(),
        ..Machine::default()
    };
    let mut running = Running::start(&machine, &image::image("echo")?)?;
    running.wait_for("listening")?;
    let mut stream = image::connect(echo.stream)?;
    stream.write_all(b"give\n")?;
    let mut got = Vec::new();
    stream.read_to_end(&mut got)?;
    let (status, text) = running.end()?;
    let length = got.len();
    check(length == 3 << 20, &format!("{length} bytes came"), &text)?;
    check(status == Some(0), &format!("{status:?}"), &text)
}

fn no_card() -> Outcome {
    let mut machine = image::machine(&[]);
    machine.net = Net::None;
    machine.line = machine.line.with("net", "10.0.2.15/24");
    let (status, text) = image::output(&machine, "hello")?;
    check(text.contains("there is no network card"), "not said", &text)?;
    check(status == Some(6), &format!("{status:?}"), &text)
}
