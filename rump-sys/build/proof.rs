//! Proving the ABI tables of `rump-abi`: libclang evaluates each constant, size and
//! offset in the headers of the tree in use, and `proof.rs` asserts that `rump-abi` has
//! the same.

use rump_abi::{CONSTANTS, LAYOUTS, OFFSETS, bridge, fs, npf, vlan};
use std::fmt::Write as _;
use std::path::Path;

type Failure = Box<dyn std::error::Error>;

/// Tables of constants and of layouts, and the module that they are in.
type Tables = (
    &'static str,
    &'static [(&'static str, &'static [&'static str])],
    &'static [(
        &'static str,
        &'static [(&'static str, &'static [&'static str])],
    )],
);

/// Whether the component that the feature `fs` is about was asked for.
fn has_file_systems(components: &[String]) -> bool {
    components.iter().any(|name| name == "vbd")
}

/// Places of fields, and the table that has them.
type Offsets = (
    &'static str,
    &'static [(usize, &'static str, &'static str, &'static str)],
);

fn offsets(components: &[String]) -> Vec<Offsets> {
    let mut offsets: Vec<Offsets> = vec![("abi", OFFSETS)];
    if has_file_systems(components) {
        offsets.push(("abi::fs", fs::OFFSETS));
    }
    offsets
}

/// What there is to prove of this tree. A component has headers of its own, which only a
/// kernel with that component needs to agree with.
fn tables(tree: &Path, components: &[String]) -> Vec<Tables> {
    let mut tables = vec![("abi", CONSTANTS, LAYOUTS)];
    if has_file_systems(components) {
        tables.push(("abi::fs", fs::CONSTANTS, fs::LAYOUTS));
    }
    if components.iter().any(|name| name == "bridge") {
        tables.push(("abi::bridge", bridge::CONSTANTS, bridge::LAYOUTS));
    }
    if components.iter().any(|name| name == "vlan") {
        tables.push(("abi::vlan", vlan::CONSTANTS, vlan::LAYOUTS));
    }
    if components.iter().any(|name| name == "npf") {
        let common = ("abi::npf", npf::CONSTANTS, npf::LAYOUTS);
        match npf_version(tree) {
            Some(npf::nvlist::VERSION) => {
                tables.extend([common, ("abi::npf::nvlist", npf::nvlist::CONSTANTS, &[])]);
            }
            Some(npf::plist::VERSION) => {
                let plist = (npf::plist::CONSTANTS, npf::plist::LAYOUTS);
                tables.extend([common, ("abi::npf::plist", plist.0, plist.1)]);
            }
            // What opens it at run time refuses it.
            version => println!(
                "cargo::warning=npf of this tree has {}, which is not supported: the kernel has it, but rump::npf will not open it.",
                version.map_or("no version".into(), |version| format!("version {version}"))
            ),
        }
    }
    tables
}

/// `NPF_VERSION`, as the header defines it.
fn npf_version(tree: &Path) -> Option<i32> {
    let header = std::fs::read_to_string(tree.join("sys/net/npf/npf.h")).ok()?;
    let defined = header.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("#define") && words.next() == Some("NPF_VERSION"))
            .then(|| words.next())?
    });
    defined?.parse().ok()
}

/// Writes `out` for the headers of `tree`; `machine` holds the links `machine/` and so on.
pub(crate) fn generate(
    tree: &Path,
    machine: &Path,
    components: &[String],
    out: &Path,
) -> Result<(), Failure> {
    let tables = tables(tree, components);
    let offsets = offsets(components);
    let mut source = String::from(
        // The packet filter's numbers for programs that make code for it.
        "#define NPF_BPFCOP\n#include <sys/param.h>\n#include <sys/types.h>\n",
    );
    for (_, constants, layouts) in &tables {
        let headers = constants.iter().map(|(header, _)| header);
        for header in headers.chain(layouts.iter().map(|(header, _)| header)) {
            writeln!(source, "#include <{header}>")?;
        }
    }
    let constants = || tables.iter().flat_map(|(_, constants, _)| *constants);
    for name in constants().flat_map(|(_, names)| *names) {
        writeln!(
            source,
            "static const long long proof_{name} = (long long)({name});"
        )?;
    }
    let layouts = || tables.iter().flat_map(|(_, _, layouts)| *layouts);
    for (name, fields) in layouts().flat_map(|(_, structs)| *structs) {
        writeln!(
            source,
            "static const long long proof_{name}_0 = sizeof(struct {name});"
        )?;
        for (index, field) in fields.iter().enumerate() {
            let (offset, size) = (2 * index + 1, 2 * index + 2);
            writeln!(
                source,
                "static const long long proof_{name}_{offset} = __builtin_offsetof(struct {name}, {field});"
            )?;
            writeln!(
                source,
                "static const long long proof_{name}_{size} = sizeof(((struct {name} *)0)->{field});"
            )?;
        }
    }
    for (_, _, structure, field) in offsets.iter().flat_map(|(_, offsets)| *offsets) {
        writeln!(
            source,
            "static const long long proof_{structure}_{field} = __builtin_offsetof(struct {structure}, {field});"
        )?;
    }
    let evaluated = evaluate(tree, machine, source)?;
    let value = |name: &str| {
        let start = format!("pub const proof_{name}: ");
        let line = evaluated
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(&start));
        let value = line.and_then(|line| line.split_once("= ")?.1.strip_suffix(';'));
        value.ok_or_else(|| {
            format!(
                "the headers of {} do not give a value for {name}",
                tree.display()
            )
        })
    };
    let mut text = String::from(
        "use crate::abi;\nconst fn size_of_field<T, F>(_: fn(&T) -> &F) -> usize { size_of::<F>() }\n",
    );
    for (module, constants, layouts) in &tables {
        for (header, names) in *constants {
            for name in *names {
                writeln!(
                    text,
                    "const _: () = assert!({module}::{name} as i128 == {}, \"this tree has another {name} in <{header}>\");",
                    value(name)?
                )?;
            }
        }
        for (header, structs) in *layouts {
            for (name, fields) in *structs {
                let mut same = format!(
                    "size_of::<{module}::{name}>() == {}",
                    value(&format!("{name}_0"))?
                );
                for (index, field) in fields.iter().enumerate() {
                    let offset = value(&format!("{name}_{}", 2 * index + 1))?;
                    let size = value(&format!("{name}_{}", 2 * index + 2))?;
                    write!(
                        same,
                        " && core::mem::offset_of!({module}::{name}, {field}) == {offset} && size_of_field(|value: &{module}::{name}| &value.{field}) == {size}"
                    )?;
                }
                writeln!(
                    text,
                    "const _: () = assert!({same}, \"this tree lays out struct {name} of <{header}> differently\");"
                )?;
            }
        }
    }
    for (module, offsets) in offsets {
        for (index, (_, header, structure, field)) in offsets.iter().enumerate() {
            let found = value(&format!("{structure}_{field}"))?;
            writeln!(
                text,
                "const _: () = assert!({module}::OFFSETS[{index}].0 == {found}, \"this tree has {field} elsewhere in struct {structure} of <{header}>\");"
            )?;
        }
    }
    Ok(std::fs::write(out, text)?)
}

/// Has bindgen evaluate every `proof_` constant in `source`.
fn evaluate(tree: &Path, machine: &Path, source: String) -> Result<String, Failure> {
    let include = |folder: &Path| format!("-I{}", folder.display());
    let bindings = bindgen::builder()
        .header_contents("proof.h", &source)
        .clang_args([
            "-nostdlibinc",
            "-ffreestanding",
            "-w",
            "-D_NETBSD_SOURCE",
            "-D__NetBSD__",
            // Types of the kernel's that programs may know, such as paddr_t.
            "-D_KMEMUSER",
        ])
        // What a Linux compiler defines and NetBSD's headers would trip over.
        .clang_args(["-Ulinux", "-U__linux", "-U__linux__", "-U__gnu_linux__"])
        .clang_args([
            include(machine),
            include(&tree.join("sys")),
            include(&tree.join("common/include")),
            include(&tree.join("sys/rump/include")),
            include(&tree.join("include")),
            include(&tree.join("lib/libpthread")),
        ])
        .allowlist_var("proof_.*")
        .layout_tests(false)
        .generate()
        .map_err(|error| {
            format!(
                "the headers of {} cannot be read by libclang: {error}",
                tree.display()
            )
        })?;
    Ok(bindings.to_string())
}
