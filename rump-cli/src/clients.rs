//! A kernel in this process whose clients are programs in others.

mod destination;

use destination::Destination;
use rump_linux::back::in_process::InProcess;
use rump_run::Setup;
use rump_seccomp::Supervisor;
use std::error::Error;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

/// What the kernel is connected to, and what is left to the host.
#[derive(clap::Args, Debug)]
pub struct Clients {
    #[command(flatten)]
    pub setup: Setup,
    /// Leave what goes to this net or port to the host's network; may be repeated. ":53" has
    /// names resolved there, which else takes a name server that the kernel can reach
    #[arg(long, value_name = "NET|ADDRESS|:PORT")]
    to_host: Vec<Destination>,
}

/// A kernel that runs, and who answers for it.
#[derive(Debug)]
pub struct Running {
    pub kernel: rump_run::Running,
    pub supervisor: Supervisor,
}

/// Gives the thread an lwp of its own.
fn enter() {
    // Without one it is slower, not wrong.
    let _ = rump::lwp::enter();
}

/// As much of a name as a network server takes.
fn shortened(name: &str) -> String {
    rump::server::Name::cut(name).to_string()
}

impl Clients {
    /// Boots the kernel, for this program or for any.
    ///
    /// # Errors
    /// What was refused, for people.
    pub fn boot(&self, program: Option<&OsStr>) -> Result<Running, Box<dyn Error>> {
        let mut setup = self.setup.clone();
        let name = program.and_then(|program| Path::new(program).file_name());
        setup.label = name.map(|name| shortened(&name.to_string_lossy()));
        let kernel = setup.boot()?;
        let mut supervisor = Supervisor::new(Arc::new(InProcess), enter)?;
        if !self.to_host.is_empty() {
            let list = self.to_host.clone();
            supervisor = supervisor.to_host(move |to| list.iter().any(|one| one.contains(to)));
        }
        Ok(Running { kernel, supervisor })
    }
}
