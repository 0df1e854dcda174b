//! What can go wrong between a NetBSD tree and an archive.
//!
//! Every text says what failed, on what, and what to set or install; a compiler's
//! own first error is shown, not summarised.

use std::path::PathBuf;

/// A failure of the builder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting in the environment is contradictory or has no such value.
    #[error("{name}={value}: {problem}")]
    Setting {
        /// The environment variable.
        name: &'static str,
        /// What it was set to.
        value: String,
        /// What is wrong with it and what may stand there.
        problem: String,
    },
    /// `RUMP_KERNEL` asks for a kernel that was not found.
    #[error(
        "no NetBSD source tree found.\n{searched}\nSet NETBSD_SRC to a tree (the folder that holds sys/, common/ and share/mk/)."
    )]
    NoTree {
        /// Where it was looked for, one line each.
        searched: String,
    },
    /// A folder that was named as a tree is not one, or only a part of one.
    #[error("{} is not a complete NetBSD source tree: {problem}", .path.display())]
    Tree {
        /// The folder.
        path: PathBuf,
        /// What is missing, and what to do.
        problem: String,
    },
    /// A program that the builder runs is not installed.
    #[error(
        "{program} is needed to {purpose}, but {problem}.\nInstall it: Debian and Ubuntu `apt install {debian}`, Fedora `dnf install {fedora}`, pkgsrc and Homebrew `{pkgsrc}`; or set {variable}."
    )]
    Program {
        /// The program.
        program: &'static str,
        /// What it is needed for.
        purpose: &'static str,
        /// What happened when it was tried.
        problem: String,
        /// Debian's package.
        debian: &'static str,
        /// Fedora's package.
        fedora: &'static str,
        /// pkgsrc's package.
        pkgsrc: &'static str,
        /// The environment variable that names another one.
        variable: &'static str,
    },
    /// The C compiler is missing, or too old or of another target.
    #[error("C compiler {compiler}: {problem}")]
    Compiler {
        /// The compiler as it was called.
        compiler: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// bmake could not evaluate a component's makefile.
    #[error("bmake could not evaluate {}:\n{message}", .makefile.display())]
    Make {
        /// The component's folder or makefile.
        makefile: PathBuf,
        /// bmake's own words.
        message: String,
    },
    /// There is no component of that name.
    #[error("no rump component is called `{name}` in {}{hint}", .tree.display())]
    UnknownComponent {
        /// The name asked for.
        name: String,
        /// The tree or prefix.
        tree: PathBuf,
        /// Names that are alike.
        hint: String,
    },
    /// A source file does not compile.
    #[error("{} (component {component}) does not compile:\n{message}\ncommand: {command}", .source_file.display())]
    Compile {
        /// The source.
        source_file: PathBuf,
        /// The component it belongs to.
        component: String,
        /// The compiler's messages from the first error on.
        message: String,
        /// The command line.
        command: String,
    },
    /// Symbols that nothing in the tree defines.
    #[error(
        "component {component} needs symbols that no component of this tree defines: {symbols}"
    )]
    Undefined {
        /// The component whose object needs them.
        component: String,
        /// The symbols, a few of them.
        symbols: String,
    },
    /// Two components define the same symbol, so they exclude each other.
    #[error(
        "components {first} and {second} both define {symbol}: they cannot be in one kernel, choose one of them"
    )]
    Conflict {
        /// One component.
        first: String,
        /// The other.
        second: String,
        /// The symbol.
        symbol: String,
    },
    /// An object file that the builder cannot work with.
    #[error("{}: {problem}", .path.display())]
    Object {
        /// The object or archive.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An ioconf description could not be turned into tables.
    #[error("{component}: {message}")]
    Config {
        /// The component.
        component: String,
        /// File, line and problem.
        message: String,
    },
    /// A driver that cannot be in the kernel.
    #[error("driver {name}: {problem}")]
    Driver {
        /// The driver, or several.
        name: String,
        /// Why, and what to do.
        problem: String,
    },
    /// A command that makes an image failed.
    #[error("{purpose}: `{command}` failed ({status}){message}")]
    Command {
        /// What it was to do.
        purpose: &'static str,
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it said, on lines of their own, if that was not shown already.
        message: String,
    },
    /// There is no image, or it cannot be made or run.
    #[error("{0}")]
    Image(String),
    /// Reading or writing a file failed.
    #[error("{action} {}: {source}", .path.display())]
    Io {
        /// What was tried ("reading", "writing", ...).
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// The builder's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Attaches the action and the path to an I/O error.
pub(crate) trait IoContext<T> {
    fn context(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn context(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| Error::Io {
            action,
            path: path.into(),
            source,
        })
    }
}
