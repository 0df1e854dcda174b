//! The network server as an image under a real Xen, with applications in images of their own, of
//! two hosts.

use super::{Failed, example};
use rumprun_build::image::root;
use rumprun_build::image::service::Service;
use rumprun_build::image::testbed::{Dom0, Machine};
use rumprun_build::image::xen::Guest;
use std::path::Path;

/// What dom0's shell knows in these tests beside what it knows in all of services, and does before
/// what is of one.
pub const DOM0: &str = include_str!("cables.sh");

/// Memory of an application, in MiB.
pub const MEMORY: u32 = 64;

/// What the server is to do.
const CONFIG: &str = r#"
grace = 30

[[nic]]
name = "wan"
interface = "@INTERFACE@"

[[host]]
name = "web"
mac = "02:00:00:00:00:0a"
addresses = ["10.0.2.60/24"]
ring = 262144

[[host]]
name = "other"
mac = "02:00:00:00:00:0b"
addresses = ["10.0.2.61/24"]
ring = 262144
"#;

/// A machine whose service is the server, over this interface of its; applications are these
/// examples.
pub fn machine(
    folder: &Path,
    dom0: Dom0,
    interface: &str,
    programs: &[&str],
) -> Result<Machine, Failed> {
    let files = folder.join("server-root");
    std::fs::create_dir_all(files.join("etc/rump"))?;
    std::fs::write(
        files.join("etc/rump/server.toml"),
        CONFIG.replace("@INTERFACE@", interface),
    )?;
    let archive = folder.join("server-root.cpio");
    root::archive(&files, &archive)?;
    let guest = Guest {
        memory: Service::Server.memory(),
        root: Some(archive),
        ..Guest::default()
    };
    let mut machine = Machine::new(dom0, guest, folder);
    machine.network = true;
    for name in programs {
        machine
            .files
            .push((name.to_string(), example(name, &["server"])?));
    }
    let rump_server = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rump-server.sh");
    machine.files.push(("rump-server.sh".into(), rump_server));
    Ok(machine)
}
