//! What servers in an image reach, beside the same ones in a minimal Linux guest, or on one
//! CPU: through virtio-net and a TAP interface, from a client on Linux's sockets. Both guests
//! are there for the whole comparison, and wait while the other is asked.

use super::linux::{self, Linux};
use super::{MEMORY, Made, Result, Started, kernel, least, ticks};
use crate::Outcome;
use crate::comparison::{Better, Harness, Subject};
use crate::http::{self, CONNECTIONS};
use crate::redis;
use crate::tap::{self, netns};
use rumprun_build::image::qemu::{Forward, Machine, Net};
use rumprun_build::image::root;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// The benchmarks here that have a rival.
pub const NAMES: &[&str] = &["image/http", "image/redis-get", "image/smp2"];

/// How long a run takes, about.
const RUN: f64 = 1.5;
const REDIS: &str = "/usr/bin/redis-server";
const REDIS_ARGUMENTS: [&str; 6] = ["--save", "", "--protected-mode", "no", "--bind", "0.0.0.0"];

/// What the child does, in namespaces of its own.
pub fn child(names: &[String]) -> ExitCode {
    tap::exit_code(run(names))
}

fn run(names: &[String]) -> Outcome {
    let wanted = |name: &str| names.iter().any(|other| other == name);
    // Cargo may want the network.
    let made = Made::new();
    let (hello, image) = (made.program("hello")?, made.program("http")?);
    let kernel = kernel(&hello)?;
    netns::enter()?;
    let harness = Harness::new(&wanted);
    let rows = Rows {
        harness,
        kernel,
        folder: made.folder,
    };
    if wanted("image/http") {
        rows.http(&image)?;
    }
    if wanted("image/redis-get") {
        rows.redis(&hello)?;
    }
    if wanted("image/smp2") {
        rows.smp(&image)?;
    }
    Ok(())
}

struct Rows<'a> {
    harness: Harness<'a>,
    kernel: String,
    folder: PathBuf,
}

impl Rows<'_> {
    fn http(&self, image: &Path) -> Outcome {
        let (ours, rival) = (Place::new("image0", 41)?, Place::new("linux0", 42)?);
        let files = self.fresh("linux-http")?;
        linux::compile("http", &files.join("http"))?;
        let linux = Linux::server(&files, "/http", &rival.address())?;
        let _ours = ours.start(&mut ours.machine(1, &[]).command(image), "listening")?;
        let _rival = rival.start(&mut linux.command_in(rival.machine(1, &[])), "listening")?;
        let mut subject = Subject::new("image/http", "1/s", Better::More);
        subject.rival_is = Some("the same program in a minimal Linux guest");
        subject.note = Some(format!(
            "{CONNECTIONS} connections, a thread for each; one CPU"
        ));
        let (mut first, mut second) = (40, 40);
        self.compare(
            &subject,
            Some(1),
            &mut || pages(ours.socket(80), &mut first),
            &mut || pages(rival.socket(80), &mut second),
        )
    }

    fn redis(&self, hello: &Path) -> Outcome {
        let (ours, rival) = (Place::new("image1", 43)?, Place::new("linux1", 44)?);
        let files = self.fresh("image-redis")?;
        super::recipe::with_libraries(REDIS, &files)?;
        let archive = files.with_extension("cpio");
        root::archive(&files, &archive)?;
        let mut machine = ours.machine(1, &REDIS_ARGUMENTS);
        machine.root = Some(archive);
        machine.line = machine.line.with("exec", REDIS);
        let files = self.fresh("linux-redis")?;
        super::recipe::with_libraries(REDIS, &files)?;
        let words = REDIS_ARGUMENTS.map(|word| format!("'{word}'"));
        let command = format!("{REDIS} {}", words.join(" "));
        let linux = Linux::server(&files, &command, &rival.address())?;
        let _ours = ours.start(&mut machine.command(hello), "Ready to accept")?;
        let mut guest = linux.command_in(rival.machine(1, &[]));
        let _rival = rival.start(&mut guest, "Ready to accept")?;
        let mut subject = Subject::new("image/redis-get", "1/s", Better::More);
        subject.rival_is = Some("the same server in a minimal Linux guest");
        subject.note = Some("Debian's redis-server, 50 clients; one CPU".into());
        let (mut first, mut second) = (2000, 2000);
        self.compare(
            &subject,
            Some(1),
            &mut || gets(&ours, &mut first),
            &mut || gets(&rival, &mut second),
        )
    }

    fn smp(&self, image: &Path) -> Outcome {
        let (two, one) = (Place::new("image2", 45)?, Place::new("image3", 46)?);
        let start = |place: &Place, cpus| {
            let machine = place.machine(cpus, &["work"]);
            place.start(&mut machine.command(image), "listening")
        };
        let (ours, rival) = (start(&two, 2)?, start(&one, 1)?);
        let (mut first, mut second) = (40, 40);
        let (mut rates, mut rivals) = (Vec::new(), Vec::new());
        let mut used = Vec::new();
        // The first of each says how many requests a run has.
        for run in 0..=crate::comparison::RUNS {
            let (before, began) = (ticks(ours.child.id())?, Instant::now());
            let rate = pages(two.socket(80), &mut first)?;
            let cpu = (ticks(ours.child.id())? - before) as f64 / began.elapsed().as_secs_f64();
            let single = pages(one.socket(80), &mut second)?;
            if run > 0 {
                rates.push(rate);
                rivals.push(single);
                used.push(cpu);
            }
        }
        drop(rival);
        let mut subject = Subject::new("image/smp2", "1/s", Better::More);
        subject.rival_is = Some("the same image with one CPU");
        subject.note = Some(format!(
            "{CONNECTIONS} connections, 1 ms of a CPU for each answer; QEMU took {:.0} % of a host CPU",
            rump_examples::ratios::median(&used)
        ));
        let harness = &self.harness;
        harness.write(&subject, &self.kernel, Some(2), &rates, Some(&rivals))
    }

    /// Both sides in turn, on a kernel that is not this process's.
    fn compare(
        &self,
        subject: &Subject<'_>,
        cpus: Option<usize>,
        ours: &mut dyn FnMut() -> Result<f64>,
        rival: &mut dyn FnMut() -> Result<f64>,
    ) -> Outcome {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        // A run says how many requests the next has.
        for run in 0..crate::comparison::RUNS + 2 {
            let pair = (ours()?, rival()?);
            if run > 1 {
                first.push(pair.0);
                second.push(pair.1);
            }
        }
        self.harness
            .write(subject, &self.kernel, cpus, &first, Some(&second))
    }

    /// An empty folder.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// A TAP interface, with Linux at .1 and a machine at .2.
struct Place {
    name: &'static str,
    net: u8,
}

impl Place {
    fn new(name: &'static str, net: u8) -> Result<Self> {
        netns::ip(&format!("tuntap add {name} mode tap"))?;
        netns::ip(&format!("address add 10.{net}.0.1/24 dev {name}"))?;
        netns::ip(&format!("link set {name} up"))?;
        Ok(Self { name, net })
    }

    fn address(&self) -> String {
        format!("10.{}.0.2/24", self.net)
    }

    fn socket(&self, port: u16) -> SocketAddr {
        SocketAddr::from(([10, self.net, 0, 2], port))
    }

    fn machine(&self, cpus: u32, arguments: &[&str]) -> Machine {
        let mut machine = Machine {
            cpus,
            memory: MEMORY,
            net: Net::Tap(self.name.into()),
            ..Machine::default()
        };
        machine.line = machine.line.with("net", self.address());
        machine.line.arguments = arguments.iter().map(|word| word.to_string()).collect();
        machine
    }

    /// A machine that has come to say this.
    fn start(&self, command: &mut Command, says: &str) -> Result<Started> {
        let mut started = Started::new(command)?;
        started.containing(says, Duration::from_secs(100))?;
        Ok(started)
    }
}

/// Pages in a second, of so many, which becomes what a run should have.
fn pages(server: SocketAddr, count: &mut usize) -> Result<f64> {
    let requests = (*count).max(CONNECTIONS);
    let start = Instant::now();
    http::request(server, requests)?;
    let rate = requests as f64 / start.elapsed().as_secs_f64();
    *count = (rate * RUN) as usize;
    Ok(rate)
}

/// GETs in a second, likewise.
fn gets(place: &Place, count: &mut u64) -> Result<f64> {
    let address = place.socket(0).ip().to_string();
    redis::rate(
        &mut Command::new("redis-benchmark"),
        &address,
        "get",
        "1",
        count,
    )
}

/// The least memory in which a server answers, through a net of QEMU's own.
pub fn least_memory(image: &Path) -> Result<f64> {
    least(|memory| {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let machine = Machine {
            memory,
            forwards: vec![Forward {
                host: port,
                machine: 80,
                datagrams: false,
            }],
            ..Machine::default()
        };
        let mut started = Started::new(&mut machine.command(image))?;
        if started.line("listening", Duration::from_secs(20)).is_err() {
            return Ok(false);
        }
        Ok(asked_once(port).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 OK")))
    })
}

fn asked_once(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    let mut bytes = [0; 400];
    stream.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
