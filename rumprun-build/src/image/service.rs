//! Ready-made images that serve other guests of Xen's: what `cargo rumprun service` makes.
//!
//! Their programs are in the crate `rump-service`. As cargo builds no programs of a dependency,
//! a package of one line is made around it, as one is around the kernel ([`object`](super::object)):
//! so it is the same in a checkout of this project, and with what the registry has.

use super::object::Source;
use super::program::{self, Name};
use super::{Recipe, gather, write};
use crate::error::{Error, IoContext, Result};
use std::path::{Path, PathBuf};

/// The variables that choose the kernel, where one is named that has no such devices.
const KERNEL: &str = "RUMP_KERNEL";
const PREFIX: &str = "RUMP_PREFIX";

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Network interfaces, which a bridge joins.
    Network,
    /// Disks, which its arguments name.
    Storage,
    /// The network server, to applications in images.
    Server,
    /// DNS and DHCP, by dnsmasq(8).
    Dns,
}

/// Where the program of [`Service::Server`] has its configuration, below the root.
const CONFIGURATION: &str = "etc/rump/server.toml";

/// The program of [`Service::Dns`], and what names another.
const DNSMASQ: (&str, &str) = ("/usr/sbin/dnsmasq", "DNSMASQ");

impl Service {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Network, Self::Storage, Self::Server, Self::Dns];

    /// Its name: what the command calls it, and the crate its module and feature.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Storage => "storage",
            Self::Server => "server",
            Self::Dns => "dns",
        }
    }

    /// The name of its domain, unless another is given.
    pub fn domain(self) -> String {
        format!("service_{}", self.name())
    }

    /// Its memory, in MiB, unless another size is given: it is tested with this.
    pub fn memory(self) -> u32 {
        match self {
            Self::Network | Self::Storage | Self::Server => 32,
            // Its programs and libraries are there three times: as they come, as files, and as
            // they run.
            Self::Dns => 64,
        }
    }

    /// What its program says when it is ready, by which is found how little memory does.
    pub fn ready(self) -> &'static str {
        match self {
            Self::Network => "network: bridge0 is there",
            Self::Storage => "storage: all is offered",
            Self::Server => "server: serving",
            Self::Dns => ": started, version",
        }
    }

    /// Whether its program is given what it needs: its arguments, and a root.
    ///
    /// # Errors
    /// [`Error::Image`], which says what is lacking.
    pub fn check(self, arguments: &[String], root: Option<&Path>) -> Result<()> {
        match self {
            Self::Network | Self::Dns => Ok(()),
            Self::Storage => {
                if arguments.is_empty() {
                    return Err(Error::Image(
                        "service storage: what is to be offered? Its arguments, behind --, give names to disks of its kernel's and files of its --root: data=/dev/rld0d, backup=/file, or NAME=PATH:ro for what is only read".into(),
                    ));
                }
                let is_none = |word: &&String| {
                    let (name, path) = word.split_once('=').unwrap_or_default();
                    name.is_empty() || !path.starts_with('/')
                };
                match arguments.iter().find(is_none) {
                    None => Ok(()),
                    Some(other) => Err(Error::Image(format!(
                        "service storage: {other:?} gives no name to a disk: NAME=PATH, with a path that begins with /"
                    ))),
                }
            }
            Self::Server => {
                let there =
                    root.is_some_and(|root| !root.is_dir() || root.join(CONFIGURATION).is_file());
                if there || !arguments.is_empty() {
                    return Ok(());
                }
                Err(Error::Image(format!(
                    "service server: it has no configuration: --root FOLDER, with {CONFIGURATION} in it (docs/server.md)"
                )))
            }
        }
    }

    /// Lines of the configuration of a guest that the domain with this name, whose program has
    /// such arguments, serves.
    pub fn lines(self, domain: &str, arguments: &[String]) -> String {
        match self {
            Self::Network => format!("vif = [ \"type=vif,backend={domain}\" ]\n"),
            Self::Storage => {
                let disks = arguments.iter().zip('a'..='z').map(|(order, letter)| {
                    let (name, path) = order.split_once('=').unwrap_or((order, ""));
                    let access = if path.ends_with(":ro") {
                        "access=ro,"
                    } else {
                        ""
                    };
                    format!("\"vdev=xvd{letter},{access}backend={domain},target={name}\"")
                });
                let disks: Vec<_> = disks.collect();
                format!("disk = [ {} ]\n", disks.join(", "))
            }
            Self::Server => format!(
                "vif = [ \"type=vif,mac=ADDRESS,backend={domain}\" ] # the address (mac) of its host in server.toml\n"
            ),
            Self::Dns => "vif = [ \"type=vif\" ] # of the same network as this one's\n".into(),
        }
    }

    /// A program that is run in place of the image's own, and its first arguments.
    pub fn program(self) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Self::Network | Self::Storage | Self::Server => None,
            // There is nobody else to be, and nobody to write to but the console.
            Self::Dns => Some((
                DNSMASQ.0,
                &[
                    "--keep-in-foreground",
                    "--log-facility=-",
                    "--pid-file=",
                    "--user=root",
                ],
            )),
        }
    }

    /// Makes the root for that program, of what is installed here, below a folder.
    ///
    /// # Errors
    /// [`Error::Program`] if it is not installed; [`gather::root`]'s.
    pub fn root(self, folder: &Path) -> Result<Option<PathBuf>> {
        let (usual, variable) = match self {
            Self::Network | Self::Storage | Self::Server => return Ok(None),
            Self::Dns => DNSMASQ,
        };
        let named = std::env::var_os(variable).map(PathBuf::from);
        let program = named.unwrap_or_else(|| usual.into());
        if !program.is_file() {
            return Err(Error::Program {
                program: "dnsmasq",
                purpose: "serve DNS and DHCP in the image",
                problem: format!("there is no {}", program.display()),
                debian: "dnsmasq-base",
                fedora: "dnsmasq",
                pkgsrc: "dnsmasq",
                variable: DNSMASQ.1,
            });
        }
        let root = folder.join(format!("{}-root", self.name()));
        // Who it is, its configuration, and where it keeps what it has given out.
        let files = [
            ("etc/passwd", "root:x:0:0:root:/:/bin/sh\n"),
            ("etc/group", "root:x:0:\n"),
            ("etc/dnsmasq.conf", "no-resolv\nno-hosts\n"),
            ("var/lib/misc/about", "Leases are kept here.\n"),
        ];
        gather::root(&program, &files, &root)?;
        // Where it is to be called, wherever it was.
        let called = root.join(usual.trim_start_matches('/'));
        if !called.exists() {
            let bin = called.parent().unwrap_or(&root);
            std::fs::create_dir_all(bin).context("creating", bin)?;
            std::fs::copy(&program, &called).context("copying", &program)?;
            let there = root.join(program.strip_prefix("/").unwrap_or(&program));
            std::fs::remove_file(&there).context("removing", &there)?;
        }
        Ok(Some(root))
    }
}

/// How the image of a service is made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Which.
    pub service: Service,
    /// The name of its domain, and of the image.
    pub domain: String,
    /// Where the crates are from.
    pub source: Source,
    /// NetBSD's drivers in its kernel, where the environment has no `RUMP_DRIVERS`.
    pub drivers: Vec<String>,
    /// `--profile`.
    pub profile: String,
    /// Where everything is kept, and the image is put.
    pub folder: PathBuf,
}

impl Made {
    /// Makes it, and returns the image.
    ///
    /// # Errors
    /// [`Error::Image`] for a name that cannot be that of a program, and where the environment
    /// asks for a kernel that is not NetBSD's; [`Recipe::make`]'s.
    pub fn make(&self) -> Result<PathBuf> {
        let kernel = kernel(|name| std::env::var(name).ok())?;
        let recipe = Recipe {
            source: self.source.clone(),
            kernel,
            drivers: self.drivers.clone(),
            components: Vec::new(),
            program: program::Recipe {
                manifest: Some(self.package()?),
                package: None,
                name: Name::Binary(Some(self.domain.clone())),
                features: Vec::new(),
                without_defaults: false,
                profile: self.profile.clone(),
                base: None,
                folder: self.folder.clone(),
            },
        };
        recipe.make()
    }

    /// Writes the package, and returns its manifest.
    fn package(&self) -> Result<PathBuf> {
        let (domain, service) = (&self.domain, self.service.name());
        check(domain)?;
        let folder = self.folder.join("services").join(domain);
        std::fs::create_dir_all(&folder).context("creating", &folder)?;
        let manifest = format!(
            r#"# Made by `cargo rumprun service`, which writes it anew.
[package]
name = "{domain}"
version = "0.0.0"
edition = "2024"
publish = false

[[bin]]
name = "{domain}"
path = "main.rs"

[dependencies]
rump-service = {{ {}, features = ["{service}"] }}

[workspace]
"#,
            self.source.dependency("rump-service"),
        );
        let program = format!(
            "//! A service of Xen's.\nfn main() -> std::process::ExitCode {{\n    rump_service::{service}::main()\n}}\n"
        );
        write(&folder.join("main.rs"), &program)?;
        self.source.lock(&folder)?;
        let path = folder.join("Cargo.toml");
        write(&path, &manifest)?;
        Ok(path)
    }
}

/// Whether a name can be that of a domain, a package and a file.
fn check(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let first = name.chars().next();
    if first.is_some_and(|c| c.is_ascii_alphabetic()) && name.chars().all(plain) && name.len() <= 64
    {
        return Ok(());
    }
    Err(Error::Image(format!(
        "--name {name:?}: a service is named by up to 64 letters, digits, - and _, of which the first is a letter"
    )))
}

/// The value of `RUMP_KERNEL` for the kernel: NetBSD's from a tree, unless the environment says
/// which.
fn kernel(variable: impl Fn(&str) -> Option<String>) -> Result<Option<String>> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    match set(KERNEL).as_deref() {
        Some("netbsd" | "prefix") => Ok(None),
        None if set(PREFIX).is_some() => Ok(None),
        // That is for programs, and may stand there for the sake of others.
        None | Some("image") => Ok(Some("netbsd".into())),
        Some(other) => Err(Error::Image(format!(
            "{KERNEL}={other}: the kernel of a service is NetBSD's; unset {KERNEL}, and set NETBSD_SRC to a tree"
        ))),
    }
}

/// What there is to know of an image and how it is used: for people.
///
/// # Errors
/// As [`inspect::report`](super::inspect::report).
pub fn report(
    service: Service,
    domain: &str,
    arguments: &[String],
    image: &Path,
) -> Result<String> {
    let sizes = super::inspect::report(image)?;
    let lines: String = service
        .lines(domain, arguments)
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    Ok(format!(
        "\n{sizes}\nin the configuration of each guest that it is to serve:\n\n{lines}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(folder: &Path, domain: &str) -> Made {
        Made {
            service: Service::Network,
            domain: domain.into(),
            source: Source::Version("1.2.3".into()),
            drivers: Vec::new(),
            profile: "release".into(),
            folder: folder.into(),
        }
    }

    #[test]
    fn a_package_is_made_around_the_crate() {
        let folder = tempfile::tempdir().unwrap();
        let path = made(folder.path(), "net-1").package().unwrap();
        let manifest = std::fs::read_to_string(&path).unwrap();
        let dependency = "rump-service = { version = \"=1.2.3\", features = [\"network\"] }\n";
        assert!(manifest.contains(dependency), "{manifest}");
        let program = std::fs::read_to_string(path.with_file_name("main.rs")).unwrap();
        assert!(
            program.contains("rump_service::network::main()"),
            "{program}"
        );
        for name in ["", "1", "a b", "a/b", "ä", "a\"", "-a", &"a".repeat(65)] {
            let error = made(folder.path(), name).package().unwrap_err().to_string();
            assert!(error.contains("--name"), "{error}");
        }
    }

    #[test]
    fn the_kernel_is_netbsds() {
        let chosen = |kernel: &str, prefix: &str| {
            kernel_of(&[(KERNEL, kernel), (PREFIX, prefix)]).map_err(|error| error.to_string())
        };
        fn kernel_of(set: &[(&str, &str)]) -> Result<Option<String>> {
            kernel(|name| {
                let found = set.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| value.to_string())
            })
        }
        assert_eq!(chosen("", ""), Ok(Some("netbsd".into())));
        assert_eq!(chosen("image", ""), Ok(Some("netbsd".into())));
        assert_eq!(chosen("netbsd", ""), Ok(None));
        assert_eq!(chosen("", "/opt/rump"), Ok(None));
        assert!(chosen("lite", "").unwrap_err().contains("NETBSD_SRC"));
    }

    #[test]
    fn each_service_says_how_it_is_used() {
        for service in Service::ALL {
            assert!(service.lines("there", &[]).contains(" = ["), "{service:?}");
            assert!(check(&service.domain()).is_ok());
        }
        let orders = ["data=/dev/rld0d", "text=/file:ro"].map(String::from);
        assert_eq!(
            Service::Storage.lines("there", &orders),
            "disk = [ \"vdev=xvda,backend=there,target=data\", \
             \"vdev=xvdb,access=ro,backend=there,target=text\" ]\n"
        );
    }

    #[test]
    fn what_a_service_needs_is_asked_for() {
        let problem = |service: Service, words: &[&str], root: Option<&Path>| {
            let words: Vec<_> = words.iter().map(|word| word.to_string()).collect();
            let result = service.check(&words, root);
            result.err().map(|error| error.to_string())
        };
        assert_eq!(problem(Service::Network, &[], None), None);
        assert_eq!(problem(Service::Storage, &["a=/b", "c=/d:ro"], None), None);
        for (words, part) in [
            (&[][..], "NAME=PATH:ro"),
            (&["a=/b", "c"], "\"c\""),
            (&["=/b"], "\"=/b\""),
            (&["a=b"], "\"a=b\""),
        ] {
            let error = problem(Service::Storage, words, None).unwrap();
            assert!(error.contains(part), "{error}");
        }
        let root = tempfile::tempdir().unwrap();
        for root in [None, Some(root.path())] {
            let error = problem(Service::Server, &[], root).unwrap();
            assert!(error.contains("etc/rump/server.toml"), "{error}");
        }
        std::fs::create_dir_all(root.path().join("etc/rump")).unwrap();
        std::fs::write(root.path().join(CONFIGURATION), "").unwrap();
        assert_eq!(problem(Service::Server, &[], Some(root.path())), None);
    }
}
