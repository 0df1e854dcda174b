//! Network cards of a guest's, driven by the kernel over VFIO: NetBSD's wm(4) and pcn(4) on
//! what QEMU emulates, with Linux on another card of the same hub.

#[path = "pci/guest.rs"]
mod guest;
#[path = "pci/killed.rs"]
mod killed;

use guest::{Flood, Result, card, echo, host_nic, interrupts, vfio};
use rump::iface::{Capabilities, Interface};
use rump::pci::{Interrupts, Options};
use rump::{Kernel, pci};
use rump_testbed::{Guest, Outcome, inside};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What `cargo build --example http_on_nic` makes, beside the folder that this is in.
fn example() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let folder = own.parent().and_then(|deps| deps.parent());
    folder.unwrap_or(&own).join("examples/http_on_nic")
}

/// What a card carries in each direction.
const BYTES: usize = 4 << 20;

/// The kernel, with a card of that model.
fn boot(model: &str, cpus: usize) -> Result<(Kernel, pci::Attached, Interface)> {
    boot_with(model, cpus, Options::new())
}

fn boot_with(
    model: &str,
    cpus: usize,
    options: Options,
) -> Result<(Kernel, pci::Attached, Interface)> {
    let address = vfio(&inside::device(model)?)?;
    let kernel = Kernel::builder()
        .cpus(cpus)
        .verbose(true)
        .pci_with(address, options)
        .boot()?;
    let [attached] = &pci::attached()[..] else {
        return Err("one device was to be attached".into());
    };
    let interface = card(&attached.name, "10.9.0.1/24")?;
    Ok((kernel, attached.clone(), interface))
}

/// Linux has the second of the cards that are alike.
fn linux() -> Result<()> {
    host_nic(&inside::devices()?[1].address, "10.9.0.2/24")
}

/// Linux's own driver has frames go through the card, and lets go of it again.
fn back_to_linux(address: &str) -> Outcome {
    host_nic(address, "10.9.1.1/24")?;
    guest::linux_carries(address, &inside::devices()?[1].address)?;
    inside::unbind(address)?;
    Ok(())
}

fn a_card_attaches_and_carries_tcp_both_ways() -> Outcome {
    linux()?;
    let start = Instant::now();
    let (_kernel, attached, interface) = boot("e1000e", 2)?;
    println!("attached and linked after {:?}", start.elapsed());
    assert_eq!(attached.name, "wm0");
    let enabled = interface.capabilities()?.enabled;
    assert_eq!(
        enabled & Capabilities::SEGMENTATION,
        Capabilities::SEGMENTATION
    );
    let rates = echo("10.9.0.1", "10.9.0.2", BYTES)?;
    let stats = pci::stats();
    println!("{rates:?} {stats:?}");
    assert!(stats.interrupts >= stats.handler_calls && stats.handler_calls > 0);
    Ok(())
}

fn a_card_has_several_vectors() -> Outcome {
    linux()?;
    let (_kernel, attached, _) = boot("e1000e", 2)?;
    echo("10.9.0.1", "10.9.0.2", BYTES)?;
    let vectors = interrupts("vfio-msix", attached.address)?;
    println!("{vectors:?}");
    assert!(vectors.len() > 1, "one for the link, and of the queues");
    assert!(vectors.iter().filter(|count| **count > 0).count() > 1);
    Ok(())
}

/// An 82574L has messages and a line, too.
fn a_card_interrupts_as_it_is_told_to() -> Outcome {
    linux()?;
    let address = vfio(&inside::device("e1000e")?)?;
    let kernel = Kernel::builder().verbose(true).boot()?;
    let turns = if killed::long() { 50 } else { 1 };
    for turn in 0..turns {
        for (best, kind) in [
            (Interrupts::Message, "vfio-msi["),
            (Interrupts::Line, "vfio-intx"),
            (Interrupts::Table, "vfio-msix["),
        ] {
            let options = Options::new().interrupts(best);
            let attached = kernel.attach_pci_with(address, options)?;
            card(&attached.name, "10.9.0.1/24")?;
            if let Err(error) = echo("10.9.0.1", "10.9.0.2", 1 << 20) {
                return Err(format!("turn {turn}, {best:?}: {error}; {}", state(address)).into());
            }
            let all = interrupts("vfio-", address)?;
            let counts = interrupts(kind, address)?;
            println!("{best:?}: {counts:?}");
            assert_eq!(all.len(), counts.len(), "{kind}: {counts:?}");
            assert_eq!(counts.len() > 1, best == Interrupts::Table);
            assert!(counts.iter().sum::<u64>() > 10, "{kind}: {counts:?}");
            kernel.detach_pci(&attached.name)?;
        }
    }
    Ok(())
}

/// Somebody else takes the card's interrupts, while it is used and for a while afterwards.
fn interrupts_that_are_lost_are_no_standstill() -> Outcome {
    use rump_sys::hyper::pci::bus;
    linux()?;
    let address = vfio(&inside::device("e1000e")?)?;
    let kernel = Kernel::builder().boot()?;
    for best in [Interrupts::Message, Interrupts::Line, Interrupts::Table] {
        let options = Options::new().interrupts(best);
        let attached = kernel.attach_pci_with(address, options)?;
        card(&attached.name, "10.9.0.1/24")?;
        echo("10.9.0.1", "10.9.0.2", 1 << 20)?;
        let stop = Arc::new(AtomicBool::new(false));
        let function = bus::function(0, 0, 0).ok_or("there is a card")?;
        let mut thieves = Vec::new();
        for vector in (0..).map_while(|index| function.vector(index)) {
            let stop = stop.clone();
            thieves.push(std::thread::spawn(move || {
                let mut stolen = 0;
                while !stop.load(Ordering::Relaxed) {
                    stolen += vector.wait(Some(Duration::from_millis(10))).unwrap_or(0);
                    vector.handled();
                }
                stolen
            }));
        }
        let outcome = echo("10.9.0.1", "10.9.0.2", 1 << 16);
        stop.store(true, Ordering::Relaxed);
        // One may wait for an interrupt that the card's own thread got, and then for that of a call.
        while !thieves.iter().all(std::thread::JoinHandle::is_finished) {
            for vector in (0..).map_while(|index| function.vector(index)) {
                vector.call();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let stolen: Vec<_> = thieves
            .into_iter()
            .map(std::thread::JoinHandle::join)
            .collect();
        println!("{best:?}: {stolen:?} were stolen; {outcome:?}");
        outcome?;
        echo("10.9.0.1", "10.9.0.2", 1 << 20)?;
        drop(function);
        kernel.detach_pci(&attached.name)?;
    }
    Ok(())
}

/// What is known of a card, the first of the kernel's bus, that stands still; and a second
/// later.
fn state(address: pci::Address) -> String {
    use rump_sys::hyper::pci::bus;
    let registers = || {
        let word = |at| bus::config_read(0, 0, 0, at).unwrap_or(u32::MAX);
        let start = bus::map(u64::from(word(0x10) & !15), 0x2_0000);
        let read = |at: usize| {
            // SAFETY: a register of the card's.
            #[allow(unsafe_code)]
            start.map_or(0, |start| unsafe {
                start.add(at).cast::<u32>().read_volatile()
            })
        };
        let numbers = [0x08, 0xd0, 0xc4, 0x2810, 0x2818, 0x3810, 0x3818].map(read);
        format!(
            "command and status {:x}; STATUS IMS ITR RDH RDT TDH TDT {numbers:x?}; {:?}; {:?}",
            word(4),
            interrupts("vfio-", address).unwrap_or_default(),
            pci::stats()
        )
    };
    let first = registers();
    std::thread::sleep(Duration::from_secs(1));
    format!("{first}; {}", registers())
}

/// An 82540EM has a line, which is masked at each interrupt.
fn a_card_with_a_line_carries_tcp() -> Outcome {
    linux()?;
    let (_kernel, attached, _) = boot("e1000", 2)?;
    assert_eq!(attached.name, "wm0");
    echo("10.9.0.1", "10.9.0.2", BYTES)?;
    let line = interrupts("vfio-intx", attached.address)?;
    assert!(line.len() == 1 && line[0] > 10, "{line:?}");
    Ok(())
}

/// An Am79C970A has 32 bits for addresses, and registers that are no whole page. QEMU
/// answers NetBSD's question for its hardware address with ones (it takes reads of one
/// byte for wrong in the mode that the driver uses), so nobody can answer it; what is for
/// all arrives.
fn a_card_of_32_bits_carries_frames() -> Outcome {
    const SENT: usize = 200;
    linux()?;
    let (_kernel, attached, _) = boot("pcnet", 2)?;
    assert_eq!(attached.name, "pcn0");
    let kernel = rump::net::UdpSocket::bind("0.0.0.0:7100")?;
    kernel.set_broadcast(true)?;
    let patience = Some(inside::patience(Duration::from_secs(1)));
    kernel.set_read_timeout(patience)?;
    let linux = std::net::UdpSocket::bind("0.0.0.0:7100")?;
    linux.set_broadcast(true)?;
    linux.set_read_timeout(patience)?;
    let (mut in_, mut out) = (0, 0);
    let mut frame = [0; 2048];
    for number in 0..SENT {
        let wanted = guest::bytes(64 + number * 7);
        // Either hears itself, too.
        linux.send_to(&wanted, "10.9.0.255:7100")?;
        while let Ok((count, from)) = kernel.recv_from(&mut frame) {
            if from.to_string() == "10.9.0.2:7100" {
                assert!(frame[..count] == wanted, "{number} in");
                in_ += 1;
                break;
            }
        }
        kernel.send_to(&wanted, "10.9.0.255:7100")?;
        while let Ok((count, from)) = linux.recv_from(&mut frame) {
            if from.to_string() == "10.9.0.1:7100" {
                assert!(frame[..count] == wanted, "{number} out");
                out += 1;
                break;
            }
        }
    }
    println!("{in_} in, {out} out, {:?}", pci::stats());
    assert!(in_ > SENT * 9 / 10 && out > SENT * 9 / 10);
    Ok(())
}

fn a_card_comes_late_and_goes_back_to_linux() -> Outcome {
    linux()?;
    let kernel = Kernel::builder().verbose(true).boot()?;
    let address = vfio(&inside::device("e1000e")?)?;
    for _ in 0..3 {
        let attached = kernel.attach_pci(address)?;
        assert!(matches!(
            kernel.attach_pci(address),
            Err(pci::Error::Attached { .. })
        ));
        card(&attached.name, "10.9.0.1/24")?;
        echo("10.9.0.1", "10.9.0.2", 1 << 20)?;
        println!("{:?}", pci::stats());
        kernel.detach_pci(&attached.name)?;
        assert!(pci::attached().is_empty() && Interface::named(&attached.name).is_err());
    }
    assert!(matches!(
        kernel.detach_pci("wm0"),
        Err(pci::Error::NotAttached { .. })
    ));
    back_to_linux(&address.to_string())
}

fn what_cannot_be_had_says_why() -> Outcome {
    let kernel = Kernel::builder().boot()?;
    let why = |address: &str| match kernel.attach_pci(address.parse()?) {
        Ok(attached) => Err(format!("{attached:?}").into()),
        Err(error) => Ok::<_, Box<dyn std::error::Error>>(error.to_string()),
    };
    let edu = inside::device("edu")?;
    inside::unbind(&edu)?;
    let text = why(&edu)?;
    assert!(
        text.contains("not bound") && text.contains("driver_override"),
        "{text}"
    );
    vfio(&edu)?;
    let text = why(&edu)?;
    assert!(text.contains("no driver") && text.contains("wm"), "{text}");
    assert!(text.contains("1234:11e8"), "{text}");
    // It stays with the host.
    assert!(pci::attached().is_empty());
    inside::unbind(&edu)?;
    let text = why("0000:7f:00.0")?;
    assert!(text.contains("no PCI device 0000:7f:00.0"), "{text}");
    let virtio = inside::device("virtio-net-pci")?;
    let text = why(&virtio)?;
    assert!(text.contains("virtio") && text.contains("IOMMU"), "{text}");
    Ok(())
}

/// Who has the group's file needs no more than memory that may be locked.
fn a_user_who_was_given_the_group_needs_no_root() -> Outcome {
    linux()?;
    let address = vfio(&inside::device("e1000e")?)?;
    let group = inside::group(&address.to_string())?.ok_or("no group")?;
    let file = format!("/dev/vfio/{group}");
    let (user, limit) = (nix::unistd::Uid::from_raw(1000), 64 << 10);
    let resource = nix::sys::resource::Resource::RLIMIT_MEMLOCK;
    nix::sys::resource::setrlimit(resource, limit, 1 << 30)?;
    let text = |result: std::result::Result<Kernel, rump::kernel::BootError>| match result {
        Ok(_) => panic!("it was to fail"),
        Err(error) => error.to_string(),
    };
    let boot = || Kernel::builder().verbose(true).pci(address).boot();
    // Another test may have given it away.
    let root = nix::unistd::Uid::from_raw(0);
    nix::unistd::chown(&*file, Some(root), None)?;
    // While the process belongs to another, it can become root again.
    nix::unistd::seteuid(user)?;
    let refused = text(boot());
    assert!(
        refused.contains(&file) && refused.contains("chown"),
        "{refused}"
    );
    nix::unistd::seteuid(root)?;
    nix::unistd::chown(&*file, Some(user), None)?;
    nix::unistd::setuid(user)?;
    nix::sys::resource::setrlimit(resource, 1 << 30, 1 << 30)?;
    let kernel = boot()?;
    card("wm0", "10.9.0.1/24")?;
    echo("10.9.0.1", "10.9.0.2", 1 << 20)?;
    kernel.detach_pci("wm0")?;
    Ok(())
}

fn memory_that_may_not_be_locked_says_so() -> Outcome {
    let kernel = Kernel::builder().boot()?;
    let address = vfio(&inside::device("e1000e")?)?;
    let group = inside::group(&address.to_string())?.ok_or("no group")?;
    let user = nix::unistd::Uid::from_raw(1000);
    nix::unistd::chown(&*format!("/dev/vfio/{group}"), Some(user), None)?;
    let resource = nix::sys::resource::Resource::RLIMIT_MEMLOCK;
    nix::sys::resource::setrlimit(resource, 64 << 10, 64 << 10)?;
    nix::unistd::setuid(user)?;
    let error = kernel.attach_pci(address).err().ok_or("it was to fail")?;
    let text = error.to_string();
    assert!(
        text.contains("RLIMIT_MEMLOCK is 64 KiB") && text.contains("ulimit -l"),
        "{text}"
    );
    Ok(())
}

/// Frames come while the driver starts the card, and it is not ready for their interrupts.
fn a_card_is_turned_on_while_frames_come() -> Outcome {
    const TURNS: usize = 20;
    linux()?;
    let (_kernel, _, interface) = boot("e1000e", 2)?;
    echo("10.9.0.1", "10.9.0.2", 1 << 16)?;
    let _flood = Flood::start("10.9.0.2", "10.9.0.1")?;
    for turn in 0..TURNS {
        interface.set_up(false)?;
        card(interface.name(), "10.9.0.1/24")?;
        echo("10.9.0.1", "10.9.0.2", 1 << 14).map_err(|error| format!("turn {turn}: {error}"))?;
    }
    Ok(())
}

/// The example, with a client that is Linux's.
fn a_page_is_served_on_the_card() -> Outcome {
    linux()?;
    let address = vfio(&inside::device("e1000e")?)?.to_string();
    let mut server = Command::new(example())
        .args([&address, "10.9.0.1/24", "8000"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = server.stdout.take().ok_or("no output")?;
    let served = guest::wait_for(&mut output, "serving http://10.9.0.1:8000/").and_then(|()| {
        for _ in 0..20 {
            let mut client = std::net::TcpStream::connect("10.9.0.1:8000")?;
            client.set_read_timeout(Some(inside::patience(Duration::from_secs(20))))?;
            client.write_all(b"GET / HTTP/1.1\r\nHost: card\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            client.read_to_string(&mut answer)?;
            let sound = answer.starts_with("HTTP/1.1 200 OK\r\n")
                && answer.contains("Hello from NetBSD")
                && answer.ends_with(" on wm0\n");
            if !sound {
                return Err(answer.into());
            }
        }
        Ok(())
    });
    server.kill()?;
    server.wait()?;
    Ok(served?)
}

/// Linux wants the card back while it is in use.
fn a_card_is_taken_away_while_it_is_used() -> Outcome {
    linux()?;
    let (_kernel, attached, _) = boot("e1000e", 2)?;
    let address = attached.address.to_string();
    let traffic = std::thread::spawn(|| while echo("10.9.0.1", "10.9.0.2", BYTES).is_ok() {});
    std::thread::sleep(Duration::from_millis(500));
    std::fs::write(
        format!("/sys/bus/pci/devices/{address}/driver/unbind"),
        &address,
    )?;
    assert_eq!(inside::driver(&address)?, None);
    let start = Instant::now();
    let patience = inside::patience(Duration::from_secs(20));
    while !pci::attached().is_empty() {
        assert!(
            start.elapsed() < patience,
            "it is still attached after {patience:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Interface::named(&attached.name).is_err());
    // The kernel runs on.
    assert_eq!(Interface::named("lo0")?.name(), "lo0");
    drop(traffic);
    host_nic(&address, "10.9.1.1/24")?;
    inside::unbind(&address)?;
    Ok(())
}

/// The command register, and the bit in it by which no line is asserted (PCI 3.0, 6.2.2).
const COMMAND: (i32, u32) = (4, 1 << 10);

fn a_card_that_never_interrupts_is_an_error_and_no_standstill() -> Outcome {
    use rump_sys::hyper::pci::bus::{config_read, config_write};
    linux()?;
    let (kernel, attached, _) = boot("e1000", 2)?;
    let quiet = |quiet: bool| {
        let command = config_read(0, 0, 0, COMMAND.0).expect("there is a device") & 0xffff;
        let command = if quiet {
            command | COMMAND.1
        } else {
            command & !COMMAND.1
        };
        config_write(0, 0, 0, COMMAND.0, command).expect("it has this register");
    };
    quiet(true);
    // It is looked for lost interrupts for so long after the last one.
    std::thread::sleep(inside::patience(Duration::from_secs(17)));
    let listener = rump::net::TcpListener::bind("10.9.0.1:7200")?;
    let address = listener.local_addr()?;
    let short = Duration::from_secs(2);
    let error = std::net::TcpStream::connect_timeout(&address, short).expect_err("it was heard");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    let out = "10.9.0.2:7200".parse()?;
    assert!(rump::net::TcpStream::connect_timeout(&out, short).is_err());
    // Nothing else stands still.
    let local = rump::net::TcpListener::bind("127.0.0.1:0")?;
    rump::net::TcpStream::connect(local.local_addr()?)?;
    quiet(false);
    echo("10.9.0.1", "10.9.0.2", 1 << 20)?;
    quiet(true);
    kernel.detach_pci(&attached.name)?;
    Ok(())
}

/// What is killed: sends and receives as much as it can.
fn victim() -> Result<()> {
    let (_kernel, _, interface) = boot("e1000e", 2)?;
    // Once the cards have found each other.
    echo("10.9.0.1", "10.9.0.2", 1 << 16).inspect_err(|_| {
        eprintln!("{:?} {:?}", pci::stats(), interface.statistics());
        eprintln!(
            "{:?} {:?}",
            interface.link_state(),
            rump::metrics::Snapshot::take().map(|s| s.to_string())
        );
    })?;
    killed::ready();
    loop {
        echo("10.9.0.1", "10.9.0.2", BYTES)?;
    }
}

/// The card goes on with frames that come afterwards, too, until the next one has it.
fn processes_are_killed_while_the_card_writes_to_them() -> Outcome {
    linux()?;
    let flood = Flood::start("10.9.0.2", "10.9.0.255")?;
    killed::kill(vfio(&inside::device("e1000e")?)?)?;
    drop(flood);
    let (kernel, attached, _) = boot("e1000e", 2)?;
    echo("10.9.0.1", "10.9.0.2", BYTES)?;
    kernel.detach_pci(&attached.name)?;
    back_to_linux(&attached.address.to_string())
}

fn main() -> ExitCode {
    if killed::is_victim() {
        let error = victim().err().map(|error| error.to_string());
        println!("{error:?}");
        return ExitCode::FAILURE;
    }
    let (example, mut guest) = (example(), Guest::new());
    let built = example.is_file();
    if built {
        guest = guest.program(example);
    }
    let guest = guest
        .cpus(2)
        .memory(512)
        .module("e1000e")
        .e1000e(0)
        .e1000e(0)
        .e1000(0)
        .pcnet(0)
        .device(rump_testbed::Device::edu())
        .device(rump_testbed::Device::nic(rump_testbed::Nic::Virtio, 1));
    let test = |name, driver, body| guest::test(name, driver, Duration::from_secs(120), body);
    rump_testbed::run(
        guest,
        [
            test(
                "qemu::a_card_attaches_and_carries_tcp_both_ways",
                "wm",
                a_card_attaches_and_carries_tcp_both_ways,
            ),
            test(
                "qemu::a_card_has_several_vectors",
                "wm",
                a_card_has_several_vectors,
            ),
            test(
                "qemu::a_card_interrupts_as_it_is_told_to",
                "wm",
                a_card_interrupts_as_it_is_told_to,
            )
            .limit(killed::LIMIT),
            test(
                "qemu::interrupts_that_are_lost_are_no_standstill",
                "wm",
                interrupts_that_are_lost_are_no_standstill,
            ),
            test(
                "qemu::a_card_with_a_line_carries_tcp",
                "wm",
                a_card_with_a_line_carries_tcp,
            ),
            test(
                "qemu::a_card_of_32_bits_carries_frames",
                "pcn",
                a_card_of_32_bits_carries_frames,
            ),
            test(
                "qemu::a_card_comes_late_and_goes_back_to_linux",
                "wm",
                a_card_comes_late_and_goes_back_to_linux,
            ),
            test(
                "qemu::what_cannot_be_had_says_why",
                "wm",
                what_cannot_be_had_says_why,
            ),
            test(
                "qemu::a_user_who_was_given_the_group_needs_no_root",
                "wm",
                a_user_who_was_given_the_group_needs_no_root,
            ),
            test(
                "qemu::memory_that_may_not_be_locked_says_so",
                "wm",
                memory_that_may_not_be_locked_says_so,
            ),
            test(
                "qemu::a_card_that_never_interrupts_is_an_error_and_no_standstill",
                "wm",
                a_card_that_never_interrupts_is_an_error_and_no_standstill,
            ),
            test(
                "qemu::a_card_is_turned_on_while_frames_come",
                "wm",
                a_card_is_turned_on_while_frames_come,
            ),
            test(
                "qemu::a_page_is_served_on_the_card",
                "wm",
                a_page_is_served_on_the_card,
            )
            .needs(
                built,
                "examples",
                "the example is not built: cargo build --example http_on_nic",
            ),
            test(
                "qemu::a_card_is_taken_away_while_it_is_used",
                "wm",
                a_card_is_taken_away_while_it_is_used,
            ),
            test(
                "qemu::processes_are_killed_while_the_card_writes_to_them",
                "wm",
                processes_are_killed_while_the_card_writes_to_them,
            )
            .limit(killed::LIMIT),
        ],
    )
}
