//! Asking NetBSD's own makefiles: `bmake` evaluates a component's makefile and
//! answers with its sources, search paths and flags.
//!
//! Nothing here knows what a component consists of. The variables given on the
//! command line choose how the kernel is built (link sets instead of constructors,
//! `curlwp` where the host wants it); everything else is the tree's answer.

use crate::alias::Aliases;
use crate::error::{Error, IoContext, Result};
use crate::tree::Tree;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Variables set on bmake's command line, where they override the makefiles' own.
const SETTINGS: &[(&str, &str)] = &[
    ("MACHINE", "amd64"),
    ("MACHINE_ARCH", "x86_64"),
    ("MAKECONF", "/dev/null"),
    ("MKPIC", "no"),
    ("MKPIE", "no"),
    ("MKSLJIT", "yes"),
    ("USE_FORT", "no"),
    ("USE_SSP", "no"),
    ("HAVE_GCC", "12"),
    ("NOGCCERROR", "1"),
    ("EXTERNAL_TOOLCHAIN", "/usr"),
    ("HOST_SH", "/bin/sh"),
    // Components, modules and set-up functions are link sets, which can be counted.
    ("RUMP_LDSCRIPT", "no"),
    ("RUMP_DIAGNOSTIC", "no"),
    ("RUMP_KTRACE", "no"),
    // Otherwise npf of NetBSD 7 takes the kernel's own dictionaries where programs pass
    // property lists.
    ("RUMP_NPF_TESTING", "no"),
    // What a Linux compiler defines by itself and NetBSD's headers would trip over.
    (
        "RUMPKERN_UNDEF",
        "-Ulinux -U__linux -U__linux__ -U__gnu_linux__",
    ),
];

/// Where the kernel keeps which lwp the calling thread is (`curlwp`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Curlwp {
    /// In a thread-local variable of the program that it is linked to.
    #[default]
    Thread,
    /// The host knows, and is asked each time: for hosts whose threads are not those of one
    /// C library, as an image's. This header comes before each C source of the kernel; what
    /// asks faster than a hypercall can be inline in there.
    Host(PathBuf),
}

impl Curlwp {
    /// The value of `RUMP_CURLWP`.
    fn setting(&self) -> &'static str {
        match self {
            Self::Thread => "RUMP_CURLWP=__thread",
            Self::Host(_) => "RUMP_CURLWP=hypercall",
        }
    }

    /// The header that comes before each C source.
    pub(crate) fn header(&self) -> Option<&Path> {
        match self {
            Self::Thread => None,
            Self::Host(header) => Some(header),
        }
    }
}

/// Separates the fields of one source file in an answer; no path or flag holds it.
const FIELD: char = '\u{1f}';
/// Separates source files.
const RECORD: char = '\u{1e}';

/// NetBSD's make, installed on this machine.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    version: String,
}

/// How to run bmake on one tree.
#[derive(Debug, Clone)]
pub struct Bmake {
    program: Program,
    tree: Tree,
    curlwp: Curlwp,
    aliases: Arc<Aliases>,
}

/// One source of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name in `SRCS`.
    pub name: String,
    /// Where `.PATH` finds it; `None` for a file that is generated.
    pub path: Option<PathBuf>,
    /// Flags for this file alone.
    pub flags: Vec<String>,
}

/// What a component's makefile says.
#[derive(Debug, Clone, Default)]
pub struct Makefile {
    /// The folder of the makefile.
    pub folder: PathBuf,
    /// `LIB`: the library's name without the leading `lib`.
    pub lib: String,
    /// Everything to compile.
    pub sources: Vec<Source>,
    /// Flags for C sources.
    pub cflags: Vec<String>,
    /// Preprocessor flags for all sources.
    pub cppflags: Vec<String>,
    /// Flags for assembly sources.
    pub aflags: Vec<String>,
    /// The device description for config(1), if there is one.
    pub ioconf: Option<PathBuf>,
    /// Sources that run on the host's side of the hypercalls.
    pub user_sources: Vec<String>,
    /// Their preprocessor flags.
    pub user_cppflags: Vec<String>,
    /// Objects whose symbols keep their names.
    pub keep_names: Vec<String>,
    /// Further symbol prefixes that are kept, a regular expression's alternatives.
    pub keep_symbols: Vec<String>,
    /// Names whose definitions in the tree this component stands in front of.
    pub wraps: Vec<String>,
    /// Every makefile that was read.
    pub read: Vec<PathBuf>,
}

impl Program {
    /// Finds bmake (`$BMAKE`, else `bmake` in the path) and asks it for its version.
    ///
    /// # Errors
    /// [`Error::Program`] if it cannot be started or is another make.
    pub fn find() -> Result<Self> {
        let named = std::env::var_os("BMAKE").filter(|name| !name.is_empty());
        let path = PathBuf::from(named.unwrap_or_else(|| "bmake".into()));
        let mut made = Self {
            path,
            version: String::new(),
        };
        let probe = made
            .command()
            .args(["-r", "-f", "/dev/null", "-V", "MAKE_VERSION"])
            .output();
        let name = made.path.display();
        let problem = match probe {
            Ok(output) => {
                made.version = lossy(output.stdout.trim_ascii());
                if output.status.success() && !made.version.is_empty() {
                    return Ok(made);
                }
                let words = lossy(&output.stderr);
                let words = words.trim().lines().next().unwrap_or("no answer");
                format!(
                    "`{name}` is not NetBSD's make, or does not work ({}: {words})",
                    output.status
                )
            }
            Err(error) => format!("`{name}` could not be started ({error})"),
        };
        Err(Error::Program {
            program: "bmake",
            purpose: "evaluate NetBSD's makefiles",
            problem,
            debian: "bmake",
            fedora: "bmake",
            pkgsrc: "bmake",
            variable: "BMAKE",
        })
    }

    /// The program, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, a date: "20200710".
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Without the user's environment, which speaks to other makes (`MAKEFLAGS`, say).
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }
}

impl Bmake {
    /// Finds bmake for `tree`.
    ///
    /// # Errors
    /// Those of [`Program::find`].
    pub fn find(tree: &Tree) -> Result<Self> {
        Ok(Self {
            program: Program::find()?,
            tree: tree.clone(),
            curlwp: Curlwp::default(),
            aliases: Arc::default(),
        })
    }

    /// The same, for a kernel that finds its `curlwp` in that way.
    #[must_use]
    pub fn with_curlwp(self, curlwp: Curlwp) -> Self {
        Self { curlwp, ..self }
    }

    /// Runs bmake and returns what it printed. Paths in it may be aliases.
    fn run(&self, folder: &Path, objects: &Path, arguments: &[String]) -> Result<String> {
        let root = self.aliases.name(self.tree.root())?;
        let mut command = self.program.command();
        command
            .env("MAKEOBJDIR", self.aliases.name(objects)?)
            // In the environment, because on the command line the literal word stays.
            .env("RUMP_NBCOMPAT", "none")
            .arg("-m")
            .arg(root.join("share/mk"))
            .arg("-C")
            .arg(self.aliases.name(folder)?)
            .args(
                SETTINGS
                    .iter()
                    .map(|(name, value)| format!("{name}={value}")),
            )
            .arg(self.curlwp.setting())
            .arg(format!("NETBSDSRCDIR={}", root.display()))
            .arg(format!("TOPRUMP={}", root.join("sys/rump").display()))
            .args(arguments);
        let output = command.output().context("running", &self.program.path)?;
        if output.status.success() {
            return Ok(lossy(&output.stdout));
        }
        let message = [output.stdout, output.stderr].map(|text| lossy(&text));
        Err(Error::Make {
            makefile: folder.into(),
            message: self.aliases.real(&message.concat()),
        })
    }

    /// Evaluates the makefile in `folder`.
    ///
    /// # Errors
    /// [`Error::Make`] with bmake's words.
    pub fn evaluate(&self, folder: &Path, objects: &Path) -> Result<Makefile> {
        let source = format!(
            "${{SRCS:@s@${{s}}{FIELD}${{${{s}}:P}}{FIELD}${{CPPFLAGS.${{s:T}}}} ${{COPTS.${{s:T}}}} ${{CFLAGS.${{s:T}}}}{RECORD}@}}"
        );
        let questions = [
            "${LIB}",
            &source,
            "${CFLAGS}",
            "${CPPFLAGS}",
            "${AFLAGS}",
            "${IOCONF:D${IOCONFDIR:U${.CURDIR}}/${IOCONF}}",
            "${RUMPCOMP_USER_SRCS}",
            "${RUMPCOMP_USER_CPPFLAGS}",
            "${RUMPOBJ_NORENAME}",
            "${RUMP_SYM_NORENAME}",
            "${RUMP_WRAP}",
            "${.MAKE.MAKEFILES}",
        ];
        let arguments: Vec<_> = questions
            .iter()
            .flat_map(|question| ["-v".to_string(), question.to_string()])
            .collect();
        let text = self.run(folder, objects, &arguments)?;
        let answers: Vec<&str> = text.split('\n').collect();
        if answers.len() < questions.len() {
            return Err(Error::Make {
                makefile: folder.into(),
                message: format!("unexpected answer:\n{text}"),
            });
        }
        // Answers are taken apart before the real paths are put back, which may have
        // anything in them.
        let real = |word: &str| self.aliases.real(word);
        let words = |answer: &str| answer.split_whitespace().map(real).collect::<Vec<_>>();
        let flags = |answer: &str| match shlex::split(answer) {
            Some(flags) => flags.iter().map(|flag| real(flag)).collect(),
            None => words(answer),
        };
        let absolute = |path: &str| {
            let path = folder.join(real(path));
            path.canonicalize().unwrap_or(path)
        };
        let sources = answers[1]
            .split(RECORD)
            .filter_map(|record| {
                let mut fields = record.trim_start().splitn(3, FIELD);
                let (name, path, own) = (fields.next()?, fields.next()?, fields.next()?);
                Some(Source {
                    name: name.into(),
                    path: path.contains('/').then(|| absolute(path)),
                    flags: flags(own),
                })
            })
            .collect();
        Ok(Makefile {
            folder: folder.into(),
            lib: answers[0].trim().into(),
            sources,
            cflags: flags(answers[2]),
            cppflags: flags(answers[3]),
            aflags: flags(answers[4]),
            ioconf: Some(answers[5].trim())
                .filter(|path| !path.is_empty())
                .map(absolute),
            user_sources: words(answers[6]),
            user_cppflags: flags(answers[7]),
            keep_names: words(answers[8]),
            keep_symbols: answers[9]
                .split('|')
                .filter(|word| !word.is_empty())
                .map(String::from)
                .collect(),
            wraps: words(answers[10]),
            read: words(answers[11])
                .iter()
                .filter(|path| *path != "/dev/null")
                .map(|path| absolute(path))
                .collect(),
        })
    }

    /// Has the tree's rules make the links that the kernel's headers expect (`machine`,
    /// and the folders of the machine's relatives) in `folder`.
    ///
    /// # Errors
    /// [`Error::Make`], [`Error::Io`].
    pub fn make_links(&self, folder: &Path) -> Result<()> {
        let makefile = folder.join("Makefile");
        std::fs::write(&makefile, "links: .PHONY\n.include <bsd.klinks.mk>\n")
            .context("writing", &makefile)?;
        self.run(folder, folder, &["links".into()])?;
        for entry in std::fs::read_dir(folder).context("reading", folder)? {
            let link = entry.context("reading", folder)?.path();
            let Ok(target) = std::fs::read_link(&link) else {
                continue;
            };
            make_link(
                &link,
                Path::new(&self.aliases.real(&target.to_string_lossy())),
            )?;
        }
        made(folder, "links", &folder.join("machine"))
    }

    /// Has the component's own makefile make a generated source in `objects`, or make
    /// it again if what it is made from changed.
    ///
    /// # Errors
    /// [`Error::Make`] if there is no rule for it or the rule fails.
    pub fn generate(&self, folder: &Path, objects: &Path, source: &str) -> Result<()> {
        self.run(folder, objects, &[source.into()])?;
        made(folder, source, &objects.join(source))
    }
}

fn made(folder: &Path, target: &str, product: &Path) -> Result<()> {
    if product.exists() {
        return Ok(());
    }
    Err(Error::Make {
        makefile: folder.into(),
        message: format!(
            "it made {target} without an error, but {} is not there",
            product.display()
        ),
    })
}

/// Makes `link` lead to `target`, unless it does.
pub(crate) fn make_link(link: &Path, target: &Path) -> Result<()> {
    if std::fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let _ = std::fs::remove_file(link);
    std::os::unix::fs::symlink(target, link).context("linking", link)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
