//! The memory of connections that do nothing.

use crate::Outcome;
use crate::boot::{self, CHILD, resident};
use crate::comparison::{Better, CPUS, Harness, RUNS, Subject};
use crate::layer::{Layer, Rump};
use std::error::Error;
use std::process::{Command, ExitCode};

/// Both ends of each are in the kernel.
const CONNECTIONS: usize = 10_000;

pub fn memory(harness: &mut Harness) -> Outcome {
    let sizes = (0..RUNS).map(|_| spawn()).collect::<Result<Vec<_>, _>>()?;
    let subject = Subject {
        note: Some(format!(
            "what each end of {CONNECTIONS} connections over lo0 adds to the resident memory, whose ends \
             have sent and received a byte; descriptor and process tables included"
        )),
        ..Subject::new("conn/idle-memory", "KB", Better::Less)
    };
    harness.write(&subject, &boot::identity()?, Some(CPUS), &sizes, None)
}

fn spawn() -> Result<f64, Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?)
        .args([CHILD, "idle"])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// The child: connects, and says how many kilobytes an end of a connection has.
pub fn child() -> ExitCode {
    match connect() {
        Ok(size) => {
            println!("{size}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn connect() -> Result<f64, Box<dyn Error>> {
    let _kernel = rump::Kernel::builder().cpus(CPUS).boot()?;
    let (listener, address) = Rump::listen()?;
    let open = || -> Result<_, Box<dyn Error>> {
        let mut client = Rump::connect(address)?;
        let mut server = Rump::accept(&listener)?;
        exchange(&mut client, &mut server)?;
        exchange(&mut server, &mut client)?;
        Ok((client, server))
    };
    // What the first ones need once is not counted.
    let mut all = vec![open()?];
    all.reserve(CONNECTIONS);
    let before = resident()?;
    for _ in 0..CONNECTIONS {
        all.push(open()?);
    }
    let after = resident()?;
    // They are still connections.
    for (client, server) in &mut all {
        exchange(client, server)?;
    }
    Ok(after.saturating_sub(before) as f64 / (2 * CONNECTIONS) as f64 / 1000.0)
}

fn exchange(from: &mut impl std::io::Write, to: &mut impl std::io::Read) -> std::io::Result<()> {
    let mut byte = [0];
    from.write_all(b"x")?;
    to.read_exact(&mut byte)
}
