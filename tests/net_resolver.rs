//! Names looked up within the kernel's network, from a name server of the test's own on its
//! loopback interface.

mod common;

use common::Outcome;
use rump::net::resolver::{self, Error, Settings};
use rump::net::{TcpListener, UdpSocket, lookup};
use simple_dns::rdata::{A, AAAA, CNAME, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

fn main() {
    common::run_on_kernel_in_turn([
        ("resolver::hosts_are_not_asked_for", hosts_are_not_asked_for),
        ("resolver::addresses_of_both_kinds", addresses_of_both_kinds),
        ("resolver::aliases", aliases),
        ("resolver::search_domains", search_domains),
        ("resolver::unknown_names", unknown_names),
        ("resolver::wrong_names", wrong_names),
        ("resolver::long_answers_come_over_tcp", long_answers),
        ("resolver::forged_answers_are_ignored", forged_answers),
        ("resolver::another_server_is_asked", another_server),
        ("resolver::silence_ends", silence_ends),
        ("resolver::lookup_uses_the_settings", lookup_uses_them),
    ]);
}

/// What is in this server's zone, by its first label.
struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    over_tcp: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Server {
    fn start() -> io::Result<Self> {
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        let address = udp.local_addr()?;
        let tcp = TcpListener::bind(address)?;
        udp.set_read_timeout(Some(Duration::from_millis(20)))?;
        tcp.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let over_tcp = Arc::new(AtomicUsize::new(0));
        let (stop_udp, stop_tcp) = (Arc::clone(&stop), Arc::clone(&stop));
        let count = Arc::clone(&over_tcp);
        let threads = vec![
            std::thread::spawn(move || serve_udp(&udp, &stop_udp)),
            std::thread::spawn(move || serve_tcp(&tcp, &stop_tcp, &count)),
        ];
        Ok(Self {
            address,
            stop,
            over_tcp,
            threads,
        })
    }

    fn settings(&self) -> Settings {
        Settings::new()
            .server_at(self.address)
            .timeout(Duration::from_secs(2))
            .attempts(1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap().unwrap();
        }
    }
}

fn serve_udp(socket: &UdpSocket, stop: &AtomicBool) -> io::Result<()> {
    let mut buffer = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        let (length, client) = match socket.recv_from(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            // Of a client that is gone.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
            result => result?,
        };
        for answer in answers(&buffer[..length], false) {
            socket.send_to(&answer, client)?;
        }
    }
    Ok(())
}

fn serve_tcp(listener: &TcpListener, stop: &AtomicBool, count: &AtomicUsize) -> io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let mut stream = match listener.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            result => result?.0,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut question)?;
        for answer in answers(&question, true) {
            // In pieces, as TCP may bring it.
            stream.write_all(&(answer.len() as u16).to_be_bytes())?;
            for piece in answer.chunks(700) {
                stream.write_all(piece)?;
            }
        }
    }
    Ok(())
}

fn answers(question: &[u8], tcp: bool) -> Vec<Vec<u8>> {
    let question = Packet::parse(question).expect("a question");
    let name = question.questions[0].qname.to_string();
    let v6 = question.questions[0].qtype == QTYPE::TYPE(TYPE::AAAA);
    let empty = question.clone().into_reply();
    let mut answer = empty.clone();
    let own = question.questions[0].qname.clone();
    let mut add = |name: &Name<'_>, data: RData<'static>| {
        let record = ResourceRecord::new(name.clone().into_owned(), CLASS::IN, 60, data);
        answer.answers.push(record.into_owned());
    };
    let v4 = |last: u8| {
        RData::A(A {
            address: u32::from_be_bytes([127, 0, 0, last]),
        })
    };
    let label = name.split('.').next().unwrap_or_default();
    let domain = name.ends_with(".test.example");
    match label {
        "silent" => return Vec::new(),
        // As dnsmasq does where it has an address of the other kind.
        "half" if v6 => *answer.rcode_mut() = RCODE::Refused,
        "half" => add(&own, v4(1)),
        "broken" => *answer.rcode_mut() = RCODE::ServerFailure,
        "both" if v6 => add(&own, RData::AAAA(AAAA { address: 1 })),
        "both" | "v4" if domain && !v6 => add(&own, v4(1)),
        "v4" if domain => {}
        "alias" => {
            let other = Name::new("other.test.example").unwrap();
            add(&own, RData::CNAME(CNAME(other.clone())));
            if !v6 {
                add(&other, v4(7));
            }
        }
        "many" if v6 => {}
        "many" if tcp => (1..=200).for_each(|last| add(&own, v4(last))),
        "many" => {
            add(&own, v4(1));
            answer.set_flags(PacketFlag::TRUNCATION);
        }
        "forged" if !v6 => {
            let mut forged = empty;
            add(&own, v4(1));
            let record = ResourceRecord::new(own.clone(), CLASS::IN, 60, v4(66));
            forged.answers.push(record);
            let right = answer.build_bytes_vec().unwrap();
            let mut all = Vec::new();
            // Another number, another question, and a question instead of an answer.
            forged.set_id(question.id().wrapping_add(1));
            all.push(forged.build_bytes_vec().unwrap());
            forged.set_id(question.id());
            let mut other = forged.clone();
            other.questions[0].qname = Name::new("forged.test.invalid").unwrap();
            all.push(other.build_bytes_vec().unwrap());
            forged.remove_flags(PacketFlag::RESPONSE);
            all.push(forged.build_bytes_vec().unwrap());
            all.push(vec![0xff; 40]);
            all.push(Vec::new());
            all.push(right);
            return all;
        }
        "forged" => {}
        _ => *answer.rcode_mut() = RCODE::NameError,
    }
    vec![answer.build_bytes_vec_compressed().unwrap()]
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn hosts_are_not_asked_for() -> Outcome {
    let settings = Settings::new()
        .host("box", "10.0.0.1".parse()?)
        .host("BOX", "fd00::1".parse()?);
    assert_eq!(settings.resolve("Box")?, ips(&["10.0.0.1", "fd00::1"]));
    for name in ["localhost", "a.LOCALHOST", "localhost."] {
        assert_eq!(settings.resolve(name)?, ips(&["::1", "127.0.0.1"]));
    }
    let error = settings.resolve("other").unwrap_err();
    assert!(matches!(error, Error::NoServer { .. }), "{error}");
    Ok(())
}

fn addresses_of_both_kinds() -> Outcome {
    let server = Server::start()?;
    let settings = server.settings();
    let both = settings.resolve("both.test.example")?;
    assert_eq!(both, ips(&["::1", "127.0.0.1"]));
    assert_eq!(settings.resolve("v4.test.example.")?, ips(&["127.0.0.1"]));
    assert_eq!(settings.resolve("half.test.example")?, ips(&["127.0.0.1"]));
    Ok(())
}

fn aliases() -> Outcome {
    let server = Server::start()?;
    let found = server.settings().resolve("alias.test.example")?;
    assert_eq!(found, ips(&["127.0.0.7"]));
    Ok(())
}

fn search_domains() -> Outcome {
    let server = Server::start()?;
    let settings = server
        .settings()
        .search("nowhere.example")
        .search("test.example");
    assert_eq!(settings.resolve("v4")?, ips(&["127.0.0.1"]));
    let error = settings.resolve("v4.").unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
    Ok(())
}

fn unknown_names() -> Outcome {
    let server = Server::start()?;
    let settings = server.settings().search("test.example");
    let error = settings.resolve("nobody").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("nobody.test.example, nobody"),
        "it says what was asked for: {text}"
    );
    assert_eq!(io::Error::from(error).kind(), ErrorKind::NotFound);
    Ok(())
}

fn wrong_names() -> Outcome {
    let server = Server::start()?;
    for name in ["", ".", "a b", "a..b", "\u{e4}.example", &"x".repeat(64)] {
        let error = server.settings().resolve(name).unwrap_err();
        assert!(matches!(error, Error::Name { .. }), "{error}");
        assert_eq!(io::Error::from(error).kind(), ErrorKind::InvalidInput);
    }
    Ok(())
}

fn long_answers() -> Outcome {
    let server = Server::start()?;
    let found = server.settings().resolve("many.test.example")?;
    assert_eq!(found.len(), 200);
    assert_eq!(server.over_tcp.load(Ordering::Relaxed), 1);
    Ok(())
}

fn forged_answers() -> Outcome {
    let server = Server::start()?;
    let found = server.settings().resolve("forged.test.example")?;
    assert_eq!(found, ips(&["127.0.0.1"]));
    Ok(())
}

/// One that does not listen, and one that fails, are passed by.
fn another_server() -> Outcome {
    let server = Server::start()?;
    let nobody = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let settings = Settings::new()
        .server_at(nobody)
        .server_at(server.address)
        .timeout(Duration::from_secs(2));
    assert_eq!(settings.resolve("v4.test.example")?, ips(&["127.0.0.1"]));
    let error = settings.resolve("broken.test.example").unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Server { .. }), "{text}");
    assert!(
        text.contains("127.0.0.1") && text.contains("failed"),
        "{text}"
    );
    Ok(())
}

fn silence_ends() -> Outcome {
    let server = Server::start()?;
    let settings = server
        .settings()
        .timeout(Duration::from_millis(100))
        .attempts(3);
    let began = Instant::now();
    let error = settings.resolve("silent.test.example").unwrap_err();
    let took = began.elapsed();
    assert_eq!(io::Error::from(error).kind(), ErrorKind::TimedOut);
    let (least, most) = (Duration::from_millis(300), Duration::from_millis(1500));
    assert!(took >= least && took < most, "{took:?}");
    Ok(())
}

/// The whole way: a name that the host does not know, connected to.
fn lookup_uses_them() -> Outcome {
    let server = Server::start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    resolver::set(server.settings().search("test.example"));
    let stream = rump::net::TcpStream::connect(("v4", port))?;
    assert_eq!(stream.peer_addr()?.port(), port);
    let found: Vec<_> = lookup(format!("both:{port}"))?.collect();
    assert_eq!(found.len(), 2);
    // UDP does not fail on a name either.
    UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", format!("v4:{port}"))?;
    let error = lookup("nobody:80").map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = lookup("v4:x").map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        resolver::settings().map(|settings| settings.servers().to_vec()),
        Some(vec![server.address])
    );
    resolver::unset();
    assert!(resolver::settings().is_none());
    Ok(())
}
