//! Four streams on lo0 of a kernel with two virtual CPUs, beside one with a single one.
//!
//! A kernel boots once in a process, so each of the two has a child, which transfers
//! when it is told to.

use crate::Outcome;
use crate::boot::CHILD;
use crate::comparison::{Better, CPUS, Harness, Subject};
use crate::layer::Rump;
use crate::loopback::Transfer;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

const STREAMS: usize = 4;

pub fn streams4(harness: &mut Harness) -> Outcome {
    let subject = Subject {
        rival_is: Some("one virtual CPU"),
        ..Subject::new("smp/streams4", "MiB/s", Better::More)
    };
    let (mut ours, mut rival) = (Kernel::start(CPUS)?, Kernel::start(1)?);
    harness.compare(&subject, &mut || ours.run(), &mut || rival.run())
}

/// A child with a kernel of its own, and what joins it with this.
struct Kernel {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Kernel {
    fn start(cpus: usize) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([CHILD, "smp", &cpus.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = child.stdout.take().ok_or("no output of the child")?;
        Ok(Self {
            orders: child.stdin.take(),
            answers: BufReader::new(answers),
            child,
        })
    }

    /// MiB/s of one transfer.
    fn run(&mut self) -> Result<f64, Box<dyn Error>> {
        writeln!(self.orders.as_mut().ok_or("no input of the child")?)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim().parse().map_err(|_| "the child failed")?)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // It ends where its orders do.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// The child.
pub fn child(cpus: &str) -> ExitCode {
    match serve(cpus) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("smp/streams4 with {cpus} virtual CPUs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(cpus: &str) -> Outcome {
    let _kernel = rump::Kernel::builder().cpus(cpus.parse()?).boot()?;
    let mut transfer = Transfer::new(STREAMS);
    for order in std::io::stdin().lines() {
        order?;
        println!("{}", transfer.run::<Rump>()?);
    }
    Ok(())
}
