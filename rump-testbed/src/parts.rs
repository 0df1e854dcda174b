//! What a guest is made of: QEMU, a kernel with its modules, a static busybox.
//!
//! They are looked for on this machine and never fetched. Kernels are those that are
//! installed and those that `./ci.sh guest` has unpacked into the cache folder; or those
//! below the folder that `RUMP_GUEST_KERNEL` names, and no others. Of all that have the
//! modules that are wanted, the one with the fewest modules is taken: it boots fastest.

use crate::modules::Modules;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// QEMU's program.
const QEMU: &str = "qemu-system-x86_64";
/// Names a folder that has `boot/vmlinuz-VERSION` and `lib/modules/VERSION`.
const SETTING: &str = "RUMP_GUEST_KERNEL";

/// Why there can be no guest on this machine.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// No QEMU.
    #[error("no QEMU: `{QEMU}` is not there (Debian: apt install qemu-system-x86)")]
    Qemu,
    /// No kernel, or none with the modules that the guest is to have.
    #[error(
        "no guest kernel: {0} (Debian: apt install linux-image-cloud-amd64; or ./ci.sh guest, \
         or {SETTING}=FOLDER)"
    )]
    Kernel(String),
    /// No busybox that runs without libraries.
    #[error("no static busybox: {0} (Debian: apt install busybox-static)")]
    Busybox(String),
}

/// A kernel for the guest.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub image: PathBuf,
    pub modules: Modules,
}

#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub qemu: PathBuf,
    pub kernel: Kernel,
    pub busybox: PathBuf,
}

impl Parts {
    /// With a kernel that has these modules.
    pub fn find(modules: &[String]) -> Result<Self, Missing> {
        let starts = Command::new(QEMU)
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        let qemu = in_path(QEMU).filter(|_| starts).ok_or(Missing::Qemu)?;
        let kernel = choose(&roots(), modules).map_err(Missing::Kernel)?;
        let busybox = busybox()?;
        Ok(Self {
            qemu,
            kernel,
            busybox,
        })
    }
}

/// The kernel that a guest without modules boots.
///
/// # Errors
/// [`Missing`] without one, or without what else a guest needs.
pub fn kernel() -> Result<PathBuf, Missing> {
    Ok(Parts::find(&[])?.kernel.image)
}

/// What a guest that somebody puts together by himself is made of.
#[derive(Debug, Clone)]
pub struct Bare {
    /// Linux.
    pub kernel: PathBuf,
    /// A static busybox.
    pub busybox: PathBuf,
    /// Names and contents of modules, in the order in which they can be loaded.
    pub modules: Vec<(String, Vec<u8>)>,
}

/// A kernel with these modules, those that they need, and a busybox.
///
/// # Errors
/// [`Missing`] without one, or without what else a guest needs; a module cannot be read.
pub fn bare(modules: &[&str]) -> Result<Bare, Box<dyn std::error::Error>> {
    let modules: Vec<_> = modules.iter().map(|name| name.to_string()).collect();
    let parts = Parts::find(&modules)?;
    Ok(Bare {
        modules: parts.kernel.modules.in_order(&modules)?,
        kernel: parts.kernel.image,
        busybox: parts.busybox,
    })
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    places.find(|place| place.is_file())
}

fn roots() -> Vec<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value: &std::ffi::OsString| !value.is_empty());
    if let Some(folder) = set(SETTING) {
        return vec![folder.into()];
    }
    let cache = set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let cache = cache.map(|cache| cache.join("rump/guest"));
    std::iter::once(PathBuf::from("/")).chain(cache).collect()
}

/// Of the kernels in these folders, the smallest that has the modules.
fn choose(roots: &[PathBuf], wanted: &[String]) -> Result<Kernel, String> {
    let mut kernels: Vec<_> = roots.iter().flat_map(|root| kernels(root)).collect();
    if kernels.is_empty() {
        let folders: Vec<_> = roots
            .iter()
            .map(|root| root.join("boot").display().to_string())
            .collect();
        return Err(format!(
            "none that can be read in {}, with its modules beside it",
            folders.join(" or ")
        ));
    }
    kernels.sort_by_key(|kernel| kernel.modules.count());
    let mut problems = Vec::new();
    for kernel in kernels {
        let lacks: Vec<_> = wanted
            .iter()
            .filter(|module| !kernel.modules.has(module))
            .map(String::as_str)
            .collect();
        if lacks.is_empty() {
            return Ok(kernel);
        }
        problems.push(format!(
            "{} has no module {}",
            kernel.image.display(),
            lacks.join(", ")
        ));
    }
    Err(problems.join("; "))
}

/// Those below a folder that can be read and have lists of modules: `boot/vmlinuz-VERSION`,
/// or beside their modules as Fedora has them.
fn kernels(root: &Path) -> Vec<Kernel> {
    let names = |folder: &str| {
        let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        names
            .filter_map(|name| name.into_string().ok())
            .collect::<Vec<_>>()
    };
    let boot = names("boot").into_iter().filter_map(|name| {
        let version = name.strip_prefix("vmlinuz-")?.to_string();
        Some((root.join("boot").join(name), version))
    });
    let beside = names("lib/modules").into_iter().map(|version| {
        let image = root.join("lib/modules").join(&version).join("vmlinuz");
        (image, version)
    });
    boot.chain(beside)
        .filter_map(|(image, version)| {
            std::fs::File::open(&image).ok()?;
            let modules = ["lib/modules", "usr/lib/modules"]
                .iter()
                .find_map(|folder| Modules::read(&root.join(folder).join(&version)).ok())?;
            Some(Kernel { image, modules })
        })
        .collect()
}

fn busybox() -> Result<PathBuf, Missing> {
    let missing = |why: String| Missing::Busybox(why);
    let program =
        in_path("busybox").ok_or_else(|| missing("`busybox` is not in the path".into()))?;
    match crate::program::interpreter(&program) {
        Ok(None) => Ok(program),
        Ok(Some(_)) => Err(missing(format!("{} needs libraries", program.display()))),
        Err(error) => Err(missing(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn kernel(root: &Path, version: &str, modules: &[&str]) {
        let folder = root.join("lib/modules").join(version);
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(root.join("boot")).unwrap();
        fs::write(root.join("boot").join(format!("vmlinuz-{version}")), "").unwrap();
        fs::write(folder.join("modules.builtin"), "").unwrap();
        let list: String = modules
            .iter()
            .map(|name| format!("k/{name}.ko\n"))
            .collect();
        fs::write(folder.join("modules.order"), list).unwrap();
    }

    #[test]
    fn the_smallest_kernel_with_the_modules_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let roots = [folder.path().to_path_buf()];
        let none = choose(&roots, &[]).unwrap_err();
        assert!(none.contains("none that can be read"), "{none}");
        kernel(folder.path(), "1-large", &["vfio-pci", "e1000e", "other"]);
        kernel(folder.path(), "2-small", &["vfio-pci"]);
        let image = |modules: &[&str]| {
            let modules: Vec<_> = modules.iter().map(|name| name.to_string()).collect();
            choose(&roots, &modules).map(|kernel| kernel.image)
        };
        let at = |version: &str| Ok(folder.path().join("boot").join(version));
        assert_eq!(image(&["vfio_pci"]), at("vmlinuz-2-small"));
        assert_eq!(image(&["e1000e"]), at("vmlinuz-1-large"));
        let lacking = image(&["pcnet32"]).unwrap_err();
        assert!(
            lacking.contains("1-large has no module pcnet32"),
            "{lacking}"
        );
    }

    #[test]
    fn a_kernel_without_its_modules_is_none() {
        let folder = tempfile::tempdir().unwrap();
        kernel(folder.path(), "1", &[]);
        fs::remove_dir_all(folder.path().join("lib")).unwrap();
        assert!(kernels(folder.path()).is_empty());
    }
}
