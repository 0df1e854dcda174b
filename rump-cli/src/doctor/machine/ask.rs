//! What is asked in a process of its own: the builder's library, which runs compilers and
//! loads libclang, and what a thread cannot undo (a new network namespace).
//!
//! The process is this program again, `rump doctor-ask QUESTION`. It answers with a
//! [`Finding`] as JSON in the last line of its output. What hangs, crashes or eats memory
//! there is ended by [`super::bounded`] and does not take the report with it.

use crate::doctor::finding::{Finding, Status, first_line};
use rumprun_build::libclang::Libclang;
use rumprun_build::settings::{self, Choice};
use rumprun_build::toolchain::Toolchain;
use rumprun_build::{Error, make};
use std::process::{Command, ExitCode, Stdio};

/// The memory that the builder and a compiler may take to answer, in bytes. The builder
/// with libclang 14 maps less than half of it.
const MEMORY: u64 = 1 << 29;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Question {
    Settings,
    Tree,
    Prefix,
    Bmake,
    Compiler,
    Libclang,
    Namespace,
    TapVeth,
}

/// Answers on the standard output.
pub fn answer(question: Question) -> ExitCode {
    limit_memory();
    let finding = match question {
        Question::Settings => settings(),
        Question::Tree => tree(),
        Question::Prefix => prefix(),
        Question::Bmake => bmake(),
        Question::Compiler => compiler(),
        Question::Libclang => libclang(),
        Question::Namespace => namespace(),
        Question::TapVeth => tap_and_veth(),
    };
    let json = serde_json::to_string(&finding).expect("two strings");
    println!("\n{json}");
    ExitCode::SUCCESS
}

/// For everything that is started from here as well.
fn limit_memory() {
    #[cfg(not(target_os = "openbsd"))]
    {
        use nix::sys::resource::{Resource, setrlimit};
        // Where it is not allowed, the time limit has to do.
        let _ = setrlimit(Resource::RLIMIT_AS, MEMORY, MEMORY);
    }
    #[cfg(target_os = "openbsd")]
    let _ = MEMORY;
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// What the builder chooses here, with some variables as they are said.
fn choose(said: &[(&str, &str)]) -> Result<Choice, Error> {
    let folder = std::env::current_dir().unwrap_or_default();
    let place = folder.ancestors().find_map(settings::repository_tree);
    let variable = |name: &str| {
        let said = said.iter().find(|(key, _)| *key == name);
        said.map(|(_, value)| value.to_string())
            .or_else(|| std::env::var(name).ok())
    };
    settings::choose(variable, place.as_deref(), true)
}

fn describe(choice: Choice) -> String {
    match choice {
        Choice::Tree(tree) => format!("NetBSD {} from {}", tree.version(), tree.root().display()),
        Choice::Prefix(prefix) => format!("the kernel in {}", prefix.display()),
        Choice::Image => "the kernel of an image".into(),
        Choice::Lite { .. } => "rump-lite, the reference kernel".into(),
        _ => "no kernel is chosen".into(),
    }
}

/// The settings as they are: what a build would link, or why there would be none.
fn settings() -> Finding {
    match choose(&[]) {
        Ok(choice) => Finding::found(describe(choice)),
        Err(error) => Finding::wrong(error.to_string()),
    }
}

/// A tree, also where the settings choose another kernel.
fn tree() -> Finding {
    match choose(&[("RUMP_KERNEL", "netbsd")]) {
        Ok(choice) => Finding::found(describe(choice)),
        Err(error @ Error::NoTree { .. }) => Finding::missing(error.to_string()),
        Err(error) => Finding::wrong(error.to_string()),
    }
}

fn prefix() -> Finding {
    if !is_set("RUMP_PREFIX") {
        return Finding::missing("not set");
    }
    match choose(&[("RUMP_KERNEL", "prefix")]) {
        Ok(choice) => Finding::found(describe(choice)),
        Err(error) => Finding::wrong(error.to_string()),
    }
}

fn bmake() -> Finding {
    match make::Program::find() {
        Ok(bmake) => Finding::found(format!("{} ({})", bmake.version(), bmake.path().display())),
        Err(error) => of_program(error),
    }
}

fn libclang() -> Finding {
    match Libclang::find() {
        Ok(libclang) => Finding::found(format!(
            "{} ({})",
            libclang.version(),
            libclang.path().display()
        )),
        Err(error) => of_program(error),
    }
}

/// The builder's error in full where a variable is to blame; else without its install
/// lines, of which the report has the one for this system.
fn of_program(error: Error) -> Finding {
    match &error {
        Error::Program {
            purpose,
            problem,
            variable,
            ..
        } if !is_set(variable.split(' ').next().unwrap_or_default()) => {
            Finding::missing(format!("{problem}; it is needed to {purpose}"))
        }
        _ => Finding::wrong(error.to_string()),
    }
}

fn compiler() -> Finding {
    let scratch = match tempfile::tempdir() {
        Ok(scratch) => scratch,
        Err(error) => return Finding::wrong(format!("no temporary folder: {error}")),
    };
    let target = target();
    match Toolchain::find(&target, &target, scratch.path()) {
        Ok(tool) => Finding::found(format!("{} ({})", tool.version(), tool.path().display())),
        Err(error) => {
            let named = target.replace('-', "_");
            let chosen = is_set("CC")
                || is_set("TARGET_CC")
                || is_set("HOST_CC")
                || is_set(&format!("CC_{target}"))
                || is_set(&format!("CC_{named}"));
            let status = if chosen {
                Status::Wrong
            } else {
                Status::Missing
            };
            Finding::new(status, &error.to_string())
        }
    }
}

/// The target that programs are built for here: rustc's host.
fn target() -> String {
    let rustc = std::env::var_os("RUSTC").filter(|name| !name.is_empty());
    // Not within limits of its own, in a process group of its own, but within this
    // process's: it is ended together with it.
    let output = Command::new(rustc.unwrap_or_else(|| "rustc".into()))
        .arg("-vV")
        .stdin(Stdio::null())
        .output();
    output
        .ok()
        .and_then(|output| super::rust::field(&output.stdout, "host"))
        .unwrap_or_else(|| {
            format!(
                "{}-unknown-{}-gnu",
                std::env::consts::ARCH,
                std::env::consts::OS
            )
        })
}

#[cfg(target_os = "linux")]
fn enter_namespace() -> Result<(), Finding> {
    use nix::sched::{CloneFlags, unshare};
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|errno| Finding::missing(format!("one could not be made ({})", errno.desc())))
}

#[cfg(not(target_os = "linux"))]
fn enter_namespace() -> Result<(), Finding> {
    Err(Finding::missing("only Linux has them"))
}

fn namespace() -> Finding {
    match enter_namespace() {
        Ok(()) => Finding::found("can be made"),
        Err(finding) => finding,
    }
}

/// Makes both in a namespace that goes with this process.
fn tap_and_veth() -> Finding {
    if let Err(finding) = enter_namespace() {
        return Finding::missing(format!("no network namespace: {}", finding.detail));
    }
    for arguments in [
        "tuntap add dev rumptap mode tap",
        "link add rumpa type veth peer name rumpb",
    ] {
        let mut ip = Command::new("ip");
        ip.args(arguments.split(' ')).stdin(Stdio::null());
        match ip.output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let words = first_line(&output.stderr);
                return Finding::missing(format!("`ip {arguments}`: {words}"));
            }
            Err(error) => return Finding::missing(format!("`ip` could not be started ({error})")),
        }
    }
    Finding::found("can be made")
}
