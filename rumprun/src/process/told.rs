//! What files of proc(5) tell of the program and the machine.

use super::tree::Told;
use super::{PID, exec, line, stack_area, tasks};
use crate::memory::{self, frames, space};
use crate::{cpu, time};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

const KIB: u64 = 1024;
const PAGE: u64 = memory::PAGE as u64;

/// The text of such a file.
pub fn tell(what: Told) -> Vec<u8> {
    match what {
        Told::CommandLine => zeros_between(&super::given().arguments),
        Told::Environment => zeros_between(&super::given().environment),
        _ => text(what).into_bytes(),
    }
}

fn zeros_between(texts: &[String]) -> Vec<u8> {
    texts
        .iter()
        .flat_map(|text| text.bytes().chain([0]))
        .collect()
}

fn text(what: Told) -> String {
    let count = frames::count();
    let (total, free) = (count.total as u64 * PAGE, count.free as u64 * PAGE);
    let used = total - free;
    let up = time::monotonic_ns();
    let threads = tasks().len();
    let name = || super::program_name();
    match what {
        Told::Maps => maps(),
        Told::Name => format!("{}\n", name()),
        Told::Status => format!(
            "Name:\t{}\nUmask:\t0022\nState:\tR (running)\nTgid:\t{PID}\nPid:\t{PID}\nPPid:\t0\n\
             Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nVmSize:\t{} kB\nVmRSS:\t{} kB\nThreads:\t{threads}\n",
            name(),
            used / KIB,
            used / KIB,
        ),
        Told::Stat => {
            // Fields 4 to 52 of proc(5); all that nobody counts is 0.
            let mut fields = [0_u64; 49];
            fields[16] = threads as u64;
            fields[19] = used;
            fields[20] = used / PAGE;
            let mut text = format!("{PID} ({}) R", name());
            for field in fields {
                let _ = write!(text, " {field}");
            }
            text + "\n"
        }
        Told::Statm => format!("{0} {0} 0 0 0 0 0\n", used / PAGE),
        Told::Limits => format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max stack size            {0:<20} {0:<20} bytes     \n\
             Max open files            {1:<20} {1:<20} files     \n",
            exec::STACK,
            super::files::table::LIMIT,
        ),
        Told::CpuInfo => (0..cpu::data::count())
            .map(|at| format!("processor\t: {at}\nvendor_id\t: {}\n\n", vendor()))
            .collect(),
        Told::MemInfo => format!(
            "MemTotal:       {} kB\nMemFree:        {1} kB\nMemAvailable:   {1} kB\nBuffers:        0 kB\n\
             Cached:         0 kB\nSwapTotal:      0 kB\nSwapFree:       0 kB\n",
            total / KIB,
            free / KIB,
        ),
        Told::SystemStat => {
            let mut text = String::from("cpu  0 0 0 0 0 0 0 0 0 0\n");
            for at in 0..cpu::data::count() {
                let _ = writeln!(text, "cpu{at} 0 0 0 0 0 0 0 0 0 0");
            }
            let _ = writeln!(text, "btime {}", (time::wall_ns() - up) / 1_000_000_000);
            text
        }
        Told::UpTime => format!("{}.{:02} 0.00\n", up / 1_000_000_000, up / 10_000_000 % 100),
        Told::LoadAverage => format!("0.00 0.00 0.00 1/{threads} {PID}\n"),
        Told::Version => format!(
            "Linux version 6.1.0 (rumprun {})\n",
            env!("CARGO_PKG_VERSION")
        ),
        Told::Mounts => "none / tmpfs rw 0 0\nnone /proc proc rw 0 0\n".into(),
        Told::Boot => format!("{}\n", line()),
        Told::CommandLine | Told::Environment => String::new(),
    }
}

fn vendor() -> String {
    let leaf = core::arch::x86_64::__cpuid(0);
    let words = [leaf.ebx, leaf.edx, leaf.ecx];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The areas of memory. The first thread's stack is named, which the C library looks for.
fn maps() -> String {
    let stack = stack_area();
    let mut text = String::new();
    let mut at = 0;
    while let Some(area) = space::area_from(at) {
        at = area.end;
        let mut line = |start: u64, end: u64, name: &str| {
            let may = |is: bool, letter: char| if is { letter } else { '-' };
            let rights = area.rights;
            let _ = writeln!(
                text,
                "{start:x}-{end:x} {}{}{}p 00000000 00:00 0 {name}",
                may(rights.read, 'r'),
                may(rights.write, 'w'),
                may(rights.execute, 'x'),
            );
        };
        // Neighbours with the same rights are one area, but not the same for who asks.
        if (area.start..area.end).contains(&stack.0) {
            if area.start < stack.0 {
                line(area.start, stack.0, "");
            }
            line(
                stack.0,
                stack.1.min(area.end),
                "                         [stack]",
            );
            if stack.1 < area.end {
                line(stack.1, area.end, "");
            }
        } else {
            line(area.start, area.end, "");
        }
    }
    text
}
