//! The generated files: what the kernel is, and which symbols its system calls have.

use rumprun_build::kernel::Kernel;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

type Io = Result<(), Box<dyn std::error::Error>>;

/// `kernel.rs`: kind, release, components, and the counts that boot checks.
pub(crate) fn kernel(path: &Path, kind: &str, release: &str, made: &Kernel) -> Io {
    let mut kind = kind.to_string();
    kind[..1].make_ascii_uppercase();
    let mut text = String::new();
    writeln!(
        text,
        "/// Which kind of kernel is linked.\npub const KIND: Kind = Kind::{kind};"
    )?;
    writeln!(
        text,
        "/// The release of the tree it was compiled from; empty if there was none.\npub const RELEASE: &str = {release:?};"
    )?;
    writeln!(
        text,
        "/// The components in it, by library name.\npub const COMPONENTS: &[&str] = &{:?};",
        made.components
    )?;
    writeln!(
        text,
        "/// See `drivers`.\npub const DRIVERS: &[&str] = &{:?};",
        made.drivers
    )?;
    let types: Vec<_> = made.component_types.iter().collect();
    writeln!(
        text,
        "/// How many components of each type were archived.\npub const COMPONENT_TYPES: &[(i32, u32)] = &{types:?};"
    )?;
    writeln!(
        text,
        "/// The link sets, with the number of entries that were archived.\npub fn link_sets() -> [LinkSet; {}] {{",
        made.link_sets.len()
    )?;
    if !made.link_sets.is_empty() {
        writeln!(text, "    unsafe extern \"C\" {{")?;
        for set in made.link_sets.keys() {
            for end in ["start", "stop"] {
                let name = format!("{end}_{set}").to_ascii_uppercase();
                writeln!(
                    text,
                    "        #[link_name = \"__{end}_link_set_{set}\"]\n        static {name}: [*const ::core::ffi::c_void; 0];"
                )?;
            }
        }
        writeln!(text, "    }}")?;
    }
    writeln!(text, "    [")?;
    for (set, entries) in &made.link_sets {
        let upper = set.to_ascii_uppercase();
        writeln!(
            text,
            "        LinkSet {{ name: {set:?}, start: (&raw const START_{upper}).cast(), stop: (&raw const STOP_{upper}).cast(), expected: {entries} }},"
        )?;
    }
    writeln!(text, "    ]\n}}")?;
    Ok(std::fs::write(path, text)?)
}

/// `links.rs`: a macro that gives each system call the symbol that the tree has for it.
pub(crate) fn links(path: &Path, names: &BTreeMap<String, String>) -> Io {
    let mut text = String::from("macro_rules! with_link_name {\n");
    for (name, symbol) in names {
        writeln!(
            text,
            "    ({name} => $(#[$meta:meta])* pub fn $function:ident($($arg:ident: $type:ty),* $(,)?) -> $result:ty;) => {{\n        unsafe extern \"C\" {{\n            $(#[$meta])*\n            #[link_name = \"{symbol}\"]\n            pub fn $function($($arg: $type),*) -> $result;\n        }}\n    }};"
        )?;
    }
    text.push_str("}\n");
    Ok(std::fs::write(path, text)?)
}

/// `links.rs` for rump-lite, whose symbols are named after the calls.
pub(crate) fn lite_links(path: &Path) -> Io {
    let text = "macro_rules! with_link_name {
    ($name:ident => $(#[$meta:meta])* pub fn $function:ident($($arg:ident: $type:ty),* $(,)?) -> $result:ty;) => {
        unsafe extern \"C\" {
            $(#[$meta])*
            #[link_name = concat!(\"rump___sysimpl_\", stringify!($name))]
            pub fn $function($($arg: $type),*) -> $result;
        }
    };
}
";
    Ok(std::fs::write(path, text)?)
}

/// `links.rs` for the program of an image, whose kernel exports the calls (`src/gate.rs`).
pub(crate) fn image_links(path: &Path) -> Io {
    let text = "macro_rules! with_link_name {
    ($name:ident => $(#[$meta:meta])* pub fn $function:ident($($arg:ident: $type:ty),* $(,)?) -> $result:ty;) => {
        unsafe extern \"C\" {
            $(#[$meta])*
            #[link_name = crate::gate::image_name!($function)]
            pub fn $function($($arg: $type),*) -> $result;
        }
    };
}
";
    Ok(std::fs::write(path, text)?)
}

/// `links.rs` for a build without a kernel: every system call answers `ENOSYS`.
pub(crate) fn fallbacks(path: &Path) -> Io {
    let text = "macro_rules! with_link_name {
    ($name:ident => $(#[$meta:meta])* pub fn $function:ident($($arg:ident: $type:ty),* $(,)?) -> $result:ty;) => {
        $(#[$meta])*
        /// # Safety
        /// There is no kernel in this build, and nothing is done with the arguments.
        pub unsafe extern \"C\" fn $function($($arg: $type),*) -> $result {
            $(let _ = $arg;)*
            crate::fallback::no_kernel() as $result
        }
    };
}
";
    Ok(std::fs::write(path, text)?)
}
