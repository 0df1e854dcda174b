//! The benchmarks of this repository and what each is to reach first.

/// What a benchmark is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// A ratio to the rival of at least so much.
    Ratio(f64),
    /// At most so many units.
    AtMost(f64),
}

/// A benchmark as the table of results shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Benchmark {
    /// Its name in `ratios.jsonl` and on the command line.
    pub name: &'static str,
    /// What it measures.
    pub what: &'static str,
    /// What is to be reached.
    pub goal: Goal,
}

const fn row(name: &'static str, what: &'static str, goal: Goal) -> Benchmark {
    Benchmark { name, what, goal }
}

/// In the order of the table.
pub const BENCHMARKS: &[Benchmark] = &[
    row(
        "build/cold-net",
        "the networking components compiled and archived, 2 jobs",
        Goal::AtMost(40.0),
    ),
    row(
        "build/cold-cargo",
        "`cargo run --example tcp_echo` in an empty target folder, crates downloaded",
        Goal::AtMost(180.0),
    ),
    row(
        "build/noop",
        "`cargo build` with nothing to do",
        Goal::AtMost(1.0),
    ),
    row(
        "fresh/first-request",
        "a fresh clone to a served HTTP request on rump-lite, crates downloaded",
        Goal::AtMost(120.0),
    ),
    row(
        "boot/init",
        "boot of the kernel, with all checks",
        Goal::AtMost(10.0),
    ),
    row(
        "boot/rss",
        "resident memory of a process after boot",
        Goal::AtMost(8.0),
    ),
    row(
        "syscall/null-overhead",
        "what the safe API adds to a null system call",
        Goal::AtMost(10.0),
    ),
    row(
        "loopback/stream-64k",
        "one TCP stream, writes of 64 KiB",
        Goal::Ratio(0.5),
    ),
    row(
        "loopback/stream4-64k",
        "four TCP streams at once, writes of 64 KiB",
        Goal::Ratio(0.5),
    ),
    row(
        "loopback/rtt-64",
        "TCP round trip of 64 bytes",
        Goal::Ratio(0.5),
    ),
    row(
        "loopback/connect-rate",
        "connect, accept, a byte each way, close",
        Goal::Ratio(0.5),
    ),
    row(
        "tap/to-host",
        "one TCP stream to Linux over TAP, writes of 64 KiB",
        Goal::Ratio(0.6),
    ),
    row(
        "tap/from-host",
        "one TCP stream from Linux over TAP, writes of 64 KiB",
        Goal::Ratio(0.6),
    ),
    row(
        "splice/to-host",
        "one TCP stream to Linux over an interface spliced over TAP, beside TAP by itself",
        Goal::Ratio(0.9),
    ),
    row("splice/from-host", "the same from Linux", Goal::Ratio(0.9)),
    row(
        "http/keepalive",
        "HTTP requests over TAP, 64 connections, a page of 612 bytes",
        Goal::Ratio(0.87),
    ),
    row(
        "shm/stream",
        "one TCP stream between two kernels over shared memory (feature `shmif`)",
        Goal::Ratio(3.0),
    ),
    row(
        "smp/streams4",
        "four TCP streams over lo0, two virtual CPUs beside one",
        Goal::Ratio(1.6),
    ),
    row(
        "conn/idle-memory",
        "memory of an end of a connection that does nothing, of 10,000 connections",
        Goal::AtMost(4.0),
    ),
    row(
        "preload/redis-get",
        "GET of Debian's redis-server under `rump run --in-process` over TAP, 50 clients",
        Goal::Ratio(0.8),
    ),
    row("preload/redis-set", "the same, SET", Goal::Ratio(0.8)),
    row(
        "preload/redis-get-p16",
        "the same, GET, 16 at a time",
        Goal::Ratio(0.8),
    ),
    row(
        "preload/redis-set-p16",
        "the same, SET, 16 at a time",
        Goal::Ratio(0.8),
    ),
    row(
        "remote/redis-get",
        "the same with the kernel in another process, beside its own",
        Goal::Ratio(0.6),
    ),
    row(
        "remote/vs-sysproxy",
        "a null system call of a client, beside a round trip over a Unix socket",
        Goal::Ratio(1.0),
    ),
    row(
        "nvme/randread-qd1",
        "reads of 4 KiB at random, one at a time, nvme(4) in a guest",
        Goal::Ratio(1.0),
    ),
    row(
        "nvme/randread-qd32",
        "reads of 4 KiB at random, 32 at a time, nvme(4) in a guest",
        Goal::Ratio(1.0),
    ),
    row(
        "nvme/seqread-128k",
        "reads of 128 KiB in order, 4 at a time, nvme(4) in a guest",
        Goal::Ratio(1.0),
    ),
    row(
        "nic/wm-stream",
        "one TCP stream from wm(4) to Linux, both on an emulated 82574L in a guest",
        Goal::Ratio(0.8),
    ),
    row(
        "nic/attach",
        "from the attachment of wm(4) to the first answer over TCP, in a guest",
        Goal::AtMost(1.0),
    ),
    row(
        "ring/pairs",
        "indexes put into the ring of many and taken out, 2 threads, beside two additions each",
        Goal::Ratio(0.8),
    ),
    row("ring/pairs-32", "the same, 32 at a time", Goal::Ratio(0.8)),
    row(
        "ring/vs-crossbeam",
        "the ring of many beside crossbeam's ArrayQueue",
        Goal::Ratio(1.0),
    ),
    row(
        "ring/vs-rtrb",
        "the ring for one thread at each end beside rtrb",
        Goal::Ratio(1.0),
    ),
    row(
        "server/stream",
        "one TCP stream to Linux through a network server, beside the same TAP interface by itself",
        Goal::Ratio(0.8),
    ),
    row(
        "server/stream-from",
        "the same from Linux",
        Goal::Ratio(0.8),
    ),
    row(
        "server/rps",
        "requests and answers through a network server, beside the TAP interface by itself",
        Goal::Ratio(0.85),
    ),
    row(
        "server/added-rtt",
        "what a network server adds to a round trip",
        Goal::AtMost(15.0),
    ),
    row(
        "server/fairness-64",
        "how far the share of one of 64 applications is from the mean",
        Goal::AtMost(20.0),
    ),
    row(
        "switch/gap",
        "longest time without data of 1,000 connections while interfaces move, beside none that move",
        Goal::AtMost(5.0),
    ),
    row(
        "switch/resets",
        "connections that were reset meanwhile",
        Goal::AtMost(0.0),
    ),
    row(
        "recovery/median",
        "from a server's SIGKILL until frames pass again",
        Goal::AtMost(100.0),
    ),
    row(
        "recovery/resets",
        "connections that were reset meanwhile",
        Goal::AtMost(0.0),
    ),
    row(
        "upgrade/gap",
        "longest time without a frame in an orderly upgrade",
        Goal::AtMost(5.0),
    ),
    row(
        "fs/ffs-tree",
        "10,000 files written to and read from an image with ffs and its log (feature `fs`)",
        Goal::Ratio(0.5),
    ),
    row(
        "fs/ext2-tree",
        "10,000 files written to and read from an image with ext2 (feature `fs`)",
        Goal::Ratio(0.5),
    ),
    row(
        "image/hello-size",
        "an image of a program that says hello, with NetBSD's network stack",
        Goal::AtMost(3.5),
    ),
    row(
        "image/hello-mem",
        "the least memory that it runs in",
        Goal::AtMost(12.0),
    ),
    row(
        "image/boot",
        "from QEMU's start to its first line, beside a Linux guest whose init it is",
        Goal::Ratio(10.0),
    ),
    row(
        "image/idle-cpu",
        "what QEMU takes of a host CPU while a server in an image, with two CPUs, waits",
        Goal::AtMost(1.0),
    ),
    row(
        "image/http-size",
        "an image of an HTTP server",
        Goal::AtMost(5.0),
    ),
    row(
        "image/http-mem",
        "the least memory in which it serves a page",
        Goal::AtMost(24.0),
    ),
    row(
        "image/http",
        "pages that it serves over virtio-net, beside a Linux guest",
        Goal::Ratio(1.0),
    ),
    row(
        "image/redis-get",
        "GET of Debian's redis-server in an image, beside a Linux guest",
        Goal::Ratio(1.0),
    ),
    row(
        "image/smp2",
        "pages that take 1 ms of a CPU each, two CPUs beside one",
        Goal::Ratio(1.6),
    ),
    row(
        "service/size",
        "the largest image of `cargo rumprun service network`, `storage` and `server`",
        Goal::AtMost(6.0),
    ),
    row(
        "service/mem",
        "memory of a service's domain under Xen",
        Goal::AtMost(32.0),
    ),
    row(
        "service/switch-resets",
        "connections that were reset while an application moves between the server's domain and its own interface",
        Goal::AtMost(0.0),
    ),
    row(
        "service/kill-resets",
        "connections that were reset while the network server's domain is destroyed again and again",
        Goal::AtMost(0.0),
    ),
    row(
        "service/boot-vs-linux",
        "until a network service is ready, beside a driver domain of Debian's kernel and busybox",
        Goal::Ratio(10.0),
    ),
    row(
        "service/net-vs-linux",
        "TCP streams of a Linux guest through the network service, beside that driver domain",
        Goal::Ratio(1.0),
    ),
    row(
        "service/blk-vs-linux",
        "a Linux guest's disk through the storage service, beside that driver domain",
        Goal::Ratio(1.0),
    ),
    row(
        "lite/stream-64k",
        "one TCP stream on rump-lite, writes of 64 KiB",
        Goal::Ratio(0.43),
    ),
];
