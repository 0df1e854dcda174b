//! The kernel's object: the crate `rumprun`, and below it a rump kernel, as one relocatable
//! file.
//!
//! A crate of one line is made around `rumprun` and compiled as a static library. Of that
//! the linker makes one object, from all members at once, as what only a link set refers to
//! is referred to by nobody. Then every symbol becomes local, but for the entry and for the
//! functions that a program with the crate `rump` calls, which is what keeps the kernel's
//! `memcpy`, allocator and panic handler from those of the program.

use super::{TARGET, cargo, is_older, run, run_quietly, write};
use crate::error::{Error, IoContext, Result};
use crate::settings::DRIVERS;
use object::read::archive::ArchiveFile;
use object::read::elf::{FileHeader, SectionHeader, SectionTable, Sym};
use object::{Endianness, elf};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the machine enters the image: the symbol that stays global.
pub const ENTRY: &str = "pvh_start";

/// What the names of functions begin with that a program with the crate `rump` calls: they
/// stay global, too.
pub const GATES: &str = "rump_image_";

/// Symbols that the last linker defines at the ends of sections.
const ENDS: [&str; 2] = ["__start_", "__stop_"];

/// What the kernel may leave undefined beside them: where the program's own headers are
/// (`elf(5)`; GNU ld and lld define it), where its C library has `errno`, and its entry.
const OF_THE_PROGRAM: [&str; 3] = ["__ehdr_start", "__errno_location", "_start"];

/// Functions of C libraries that the kernel has itself, for the program to call in their place:
/// by these names with `__wrap_` before them.
pub const DIRECT: [&str; 5] = ["clock_gettime", "read", "recv", "send", "write"];
const WRAPPED: &str = "__wrap_";

/// Where the crate `rumprun` comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A checkout of this project.
    Checkout(PathBuf),
    /// The registry.
    Version(String),
}

impl Source {
    /// That which this program itself comes from: the checkout that it was compiled in, if
    /// that is still there; else the same version.
    pub fn own() -> Self {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        match checkout {
            Some(path) if path.join("rumprun/Cargo.toml").is_file() => Self::Checkout(path.into()),
            _ => Self::Version(env!("CARGO_PKG_VERSION").into()),
        }
    }

    pub(super) fn dependency(&self, name: &str) -> String {
        match self {
            Self::Checkout(path) => format!("path = {:?}", path.join(name)),
            Self::Version(version) => format!("version = \"={version}\""),
        }
    }

    /// Has a package in this folder the same versions of others as the checkout; cargo takes
    /// what it needs.
    pub(super) fn lock(&self, folder: &Path) -> Result<()> {
        let lock = folder.join("Cargo.lock");
        if let Self::Checkout(path) = self
            && !lock.exists()
            && let Ok(versions) = std::fs::read(path.join("Cargo.lock"))
        {
            std::fs::write(&lock, versions).context("writing", &lock)?;
        }
        Ok(())
    }
}

/// Which kernel is made, and where.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Where its crates are from.
    pub source: Source,
    /// The folder for all of it; the object is `kernel-HASH.o` in there.
    pub folder: PathBuf,
    /// Features of `rump-sys`, which are components of the kernel, beside `net`.
    pub features: BTreeSet<String>,
    /// The value of `RUMP_KERNEL`, if it is not the environment's.
    pub kernel: Option<String>,
    /// NetBSD's drivers in it, where the environment has no `RUMP_DRIVERS`.
    pub drivers: Vec<String>,
}

impl Recipe {
    /// Compiles and links the object.
    ///
    /// # Errors
    /// [`Error::Command`] with what cargo, the linker or objcopy said; [`Error::Object`] if
    /// what came out is not whole.
    pub fn make(&self) -> Result<PathBuf> {
        std::fs::create_dir_all(&self.folder).context("creating", &self.folder)?;
        self.write_crate()?;
        let archive = self.compile()?;
        let made = self.folder.join("kernel.o");
        if is_older(&made, &[&archive]) {
            let whole = self.folder.join("whole.o");
            let gates = gates(&archive)?;
            let mut link = link(&archive, &gates, &whole);
            run_quietly("make one object of the kernel", &mut link)?;
            run_quietly("make its symbols local", &mut localise(&whole, &made))?;
        }
        check(&made)?;
        self.named_by_content(&made)
    }

    /// The object under a name that changes with it: cargo links a program anew when its
    /// arguments change, and not when a file does that they name.
    fn named_by_content(&self, made: &Path) -> Result<PathBuf> {
        let data = std::fs::read(made).context("reading", made)?;
        let mut hasher = DefaultHasher::new();
        data.hash(&mut hasher);
        let name = format!("kernel-{:016x}.o", hasher.finish());
        let named = self.folder.join(&name);
        for entry in std::fs::read_dir(&self.folder).context("reading", &self.folder)? {
            let entry = entry.context("reading", &self.folder)?;
            let old = entry.file_name();
            let old = old.to_string_lossy();
            if old.starts_with("kernel-") && old.ends_with(".o") && old != name {
                std::fs::remove_file(entry.path()).context("removing", entry.path())?;
            }
        }
        if !named.exists() {
            std::fs::copy(made, &named).context("writing", &named)?;
        }
        Ok(named)
    }

    fn write_crate(&self) -> Result<()> {
        let features: Vec<_> = self.features.iter().collect();
        let manifest = format!(
            r#"# Made by `cargo rumprun`, which writes it anew.
[package]
name = "rumprun-kernel"
version = "0.0.0"
edition = "2024"
publish = false

[lib]
crate-type = ["staticlib"]
path = "lib.rs"

[dependencies]
rump-sys = {{ {}, default-features = false, features = {features:?} }}
rumprun = {{ {}, features = ["image"] }}

[profile.release]
panic = "abort"
opt-level = 2
debug = "line-tables-only"

[workspace]
"#,
            self.source.dependency("rump-sys"),
            self.source.dependency("rumprun"),
        );
        write(&self.folder.join("Cargo.toml"), &manifest)?;
        write(
            &self.folder.join("lib.rs"),
            "//! The kernel of an image.\n#![no_std]\nextern crate rumprun;\n",
        )?;
        self.source.lock(&self.folder)
    }

    fn compile(&self) -> Result<PathBuf> {
        let target = self.folder.join("target");
        // Code is linked low and does not move, nothing unwinds. Flags that are meant for the
        // program are not the kernel's.
        let flags = [
            "-Crelocation-model=static",
            "-Cforce-unwind-tables=no",
            // For backtraces.
            "-Cforce-frame-pointers=yes",
        ];
        let mut command = cargo();
        command
            .args(["build", "--release", "--quiet", "--target", TARGET])
            .arg("--manifest-path")
            .arg(self.folder.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("CARGO_BUILD_TARGET");
        if !self.drivers.is_empty() && std::env::var_os(DRIVERS).is_none() {
            command.env(DRIVERS, self.drivers.join(","));
        }
        match &self.kernel {
            Some(kernel) => {
                command.env("RUMP_KERNEL", kernel);
            }
            // That is for the program.
            None if std::env::var_os("RUMP_KERNEL").is_some_and(|kernel| kernel == "image") => {
                command.env_remove("RUMP_KERNEL");
            }
            None => {}
        }
        run("compile the kernel", &mut command)?;
        Ok(target.join(TARGET).join("release/librumprun_kernel.a"))
    }
}

/// The linker: GNU's, as others do not collect garbage in such a link.
fn link(archive: &Path, gates: &BTreeSet<String>, to: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("LD").unwrap_or_else(|| "ld".into()));
    command
        // Commons get their place now: an object that is made local has none later.
        .args(["-r", "-d", "--gc-sections", "-e", ENTRY, "-u", ENTRY])
        .args(gates.iter().flat_map(|name| ["-u", name]))
        .args(DIRECT.map(|name| format!("-u{WRAPPED}{name}")))
        .arg("--whole-archive")
        .arg(archive)
        .arg("-o")
        .arg(to);
    command
}

/// The functions in an archive that a program may call.
fn gates(archive: &Path) -> Result<BTreeSet<String>> {
    let data = std::fs::read(archive).context("reading", archive)?;
    let names = || -> object::read::Result<BTreeSet<String>> {
        let file = ArchiveFile::parse(&*data)?;
        let Some(symbols) = file.symbols()? else {
            return Ok(BTreeSet::new());
        };
        let mut names = BTreeSet::new();
        for symbol in symbols {
            let name = String::from_utf8_lossy(symbol?.name());
            if name.starts_with(GATES) {
                names.insert(name.into_owned());
            }
        }
        Ok(names)
    };
    names().map_err(|error| Error::Object {
        path: archive.into(),
        problem: error.to_string(),
    })
}

/// objcopy(1), of binutils.
pub(super) fn objcopy() -> Command {
    Command::new(std::env::var_os("OBJCOPY").unwrap_or_else(|| "objcopy".into()))
}

/// Few global symbols, and no tables for unwinding, in which the program's own
/// unwinder would search.
fn localise(from: &Path, to: &Path) -> Command {
    let mut command = objcopy();
    command
        .arg("--wildcard")
        .arg(format!("--keep-global-symbol={ENTRY}"))
        .arg(format!("--keep-global-symbol={GATES}*"))
        .args(DIRECT.map(|name| format!("--keep-global-symbol={WRAPPED}{name}")))
        .args(["-R", ".eh_frame", "-R", ".rela.eh_frame", "-R", ".comment"])
        .arg(from)
        .arg(to);
    command
}

/// Sections that would have the program's start-up code run something, or give every thread
/// of the program's something.
const UNWANTED: [(&str, &str); 6] = [
    (".init_array", "constructors"),
    (".ctors", "constructors"),
    (".fini_array", "destructors"),
    (".eh_frame", "tables for unwinding"),
    (".tdata", "thread-local variables"),
    (".tbss", "thread-local variables"),
];

/// Reads the object and says what is wrong with it.
///
/// # Errors
/// [`Error::Object`].
pub fn check(path: &Path) -> Result<()> {
    let data = std::fs::read(path).context("reading", path)?;
    match problem(&data) {
        Ok(None) => Ok(()),
        Ok(Some(problem)) => Err(Error::Object {
            path: path.into(),
            problem,
        }),
        Err(error) => Err(Error::Object {
            path: path.into(),
            problem: error.to_string(),
        }),
    }
}

/// The symbols that a relocation names.
fn referred(
    sections: &SectionTable<'_, elf::FileHeader64<Endianness>>,
    data: &[u8],
    endian: Endianness,
) -> object::read::Result<BTreeSet<usize>> {
    let mut referred = BTreeSet::new();
    for section in sections.iter() {
        if let Some((relocations, _)) = section.rela(endian, data)? {
            referred.extend(
                relocations
                    .iter()
                    .map(|relocation| relocation.r_sym(endian, false) as usize),
            );
        }
    }
    Ok(referred)
}

/// Whether a symbol is one of [`DIRECT`].
fn is_direct(symbol: &str) -> bool {
    symbol
        .strip_prefix(WRAPPED)
        .is_some_and(|name| DIRECT.contains(&name))
}

fn problem(data: &[u8]) -> object::read::Result<Option<String>> {
    let header = elf::FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, data)?;
    for section in sections.iter() {
        let name = String::from_utf8_lossy(sections.section_name(endian, section)?);
        let unwanted = UNWANTED
            .iter()
            .find(|(prefix, _)| name.starts_with(prefix) && section.sh_size(endian) > 0);
        if let Some((_, what)) = unwanted {
            return Ok(Some(format!("the kernel has {what} ({name})")));
        }
    }
    let symbols = sections.symbols(endian, data, elf::SHT_SYMTAB)?;
    let referred = referred(&sections, data, endian)?;
    let (mut entry, mut others, mut missing) = (false, Vec::new(), Vec::new());
    for (index, symbol) in symbols.enumerate() {
        if index.0 == 0 || symbol.is_local() {
            continue;
        }
        let name = String::from_utf8_lossy(symbols.symbol_name(endian, symbol)?).into_owned();
        match symbol.st_shndx(endian) {
            // What only code refers to that was dropped is still in the table.
            elf::SHN_UNDEF if symbol.is_weak() || !referred.contains(&index.0) => {}
            elf::SHN_UNDEF => {
                let known = ENDS.iter().any(|end| name.starts_with(end))
                    || OF_THE_PROGRAM.contains(&name.as_str())
                    || name == "_GLOBAL_OFFSET_TABLE_";
                if !known {
                    missing.push(name);
                }
            }
            _ if name == ENTRY => entry = true,
            _ if name.starts_with(GATES) || is_direct(&name) => {}
            _ => others.push(name),
        }
    }
    let few = |mut names: Vec<String>| {
        names.sort();
        let more = names.len().saturating_sub(5);
        names.truncate(5);
        let text = names.join(", ");
        match more {
            0 => text,
            more => format!("{text} and {more} more"),
        }
    };
    Ok(if !entry {
        Some(format!("the kernel has no entry {ENTRY}"))
    } else if !missing.is_empty() {
        Some(format!("nothing defines {}", few(missing)))
    } else if !others.is_empty() {
        Some(format!("still global: {}", few(others)))
    } else {
        None
    })
}
